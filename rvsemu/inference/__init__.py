"""From an observed spectrum to stellar labels.

`fit` takes a `specutils.Spectrum` apart once (`Observation`: floats in Angstrom and the emulator's
medium), compares it with the emulator through one `ForwardModel` (labels and radial velocity, Doppler
shift, observed pixels, a polynomial continuum solved for linearly) and returns a `FitResult`: labels with
units, errors that allow for the correlated noise of the Gaia RVS, and flags that say when not to
trust them.
"""

from .forward import ForwardModel
from .least_squares import fit
from .modeling import RVSModel
from .observation import DEFAULT_MASK, MASKS, Observation
from .parameters import DEFAULT_PRIORS
from .result import FitResult

__all__ = ["DEFAULT_MASK", "DEFAULT_PRIORS", "MASKS", "FitResult", "ForwardModel", "Observation", "RVSModel", "fit"]
