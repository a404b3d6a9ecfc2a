"""From an observed spectrum to stellar labels.

`fit` takes a `specutils.Spectrum` apart once (`Observation`: floats in Angstrom and the emulator's
medium), compares it with the emulator through one `ForwardModel` (labels and radial velocity, Doppler
shift, observed pixels) and a polynomial continuum that is solved for linearly, and returns a `FitResult`:
labels with units, errors that allow for the correlated noise of the Gaia RVS and for what synthetic
spectra do not know, and flags that say when not to trust them. `fit_many` does the same to many spectra at
once, and `prepare` gives the `Likelihood` behind it.
"""

from .forward import ForwardModel
from .least_squares import fit, fit_many, prepare
from .likelihood import Likelihood
from .modeling import RVSModel
from .noise import MODEL_ERRORS, RVS_NOISE_CORRELATION, ModelError, NoiseModel
from .observation import DEFAULT_MASK, MASKS, Observation
from .parameters import DEFAULT_PRIORS
from .posterior import Posterior
from .priors import Function, Normal, TruncatedNormal, Uniform
from .result import FitResult
from .sampling import sample

__all__ = [
    "DEFAULT_MASK",
    "DEFAULT_PRIORS",
    "MASKS",
    "MODEL_ERRORS",
    "RVS_NOISE_CORRELATION",
    "FitResult",
    "ForwardModel",
    "Function",
    "Likelihood",
    "ModelError",
    "NoiseModel",
    "Normal",
    "Observation",
    "Posterior",
    "RVSModel",
    "TruncatedNormal",
    "Uniform",
    "fit",
    "fit_many",
    "prepare",
    "sample",
]
