"""From an observed spectrum to stellar labels.

`fit` compares a spectrum with the emulator (`rvsemu.observing`) and a polynomial continuum that is solved for linearly,
and returns a `FitResult`: labels with units, errors that allow for the correlated noise of the Gaia RVS and for what
synthetic spectra do not know, and flags that say when not to trust them. `fit_many` does the same to many spectra at
once, `fit_transits` fits all epoch spectra of a star together (`TransitsResult`), `sample` draws from the posterior
with emcee, and `prepare` gives the `Likelihood` behind them.
"""

from .astropy_model import RVSModel
from .given_priors import NAMED_PRIORS
from .likelihood import Likelihood
from .parameters import DEFAULT_PRIORS
from .posterior import Posterior
from .priors import Function, Normal, TruncatedNormal, Uniform
from .resolution_prior import RvsResolution
from .result import FitFailure, FitResult
from .sampling import sample
from .settings import Settings
from .transits import Transits
from .transits_result import TransitsResult
from .verbs import fit, fit_many, fit_stream, fit_transits, prepare
from .vmic_prior import Microturbulence

__all__ = [
    "DEFAULT_PRIORS",
    "NAMED_PRIORS",
    "FitFailure",
    "FitResult",
    "Function",
    "Likelihood",
    "Microturbulence",
    "Normal",
    "Posterior",
    "RVSModel",
    "RvsResolution",
    "Settings",
    "Transits",
    "TransitsResult",
    "TruncatedNormal",
    "Uniform",
    "fit",
    "fit_many",
    "fit_stream",
    "fit_transits",
    "prepare",
    "sample",
]
