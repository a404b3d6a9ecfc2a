"""What fits and inversions share: an observed spectrum as plain floats, its noise, and the model in its pixels.

`Observation` takes a `specutils.Spectrum` apart once (floats in Angstrom, the emulator's medium). `ForwardModel` is
the emulator in the observed pixels: labels and radial velocity, Doppler shift, sampling. `NoiseModel` has the
covariance of the pixels: correlated noise, the emulator's own error, and what synthetic spectra do not know.
`simulate` makes an observed spectrum out of a noiseless one, `as_rvs` out of one that another spectrograph observed,
and `read_library` out of a file of a published library of such spectra.
"""

from .degrade import as_rvs
from .forward import ForwardModel
from .libraries import LIBRARIES, read_library
from .masks import DEFAULT_MASK, MASKS
from .noise import MODEL_ERRORS, NOISES, RVS_NOISE_CORRELATION, ModelError, NoiseModel, PixelNoise
from .observation import Observation
from .simulate import simulate
from .uncertainty import smoothed_sigma

__all__ = [
    "DEFAULT_MASK",
    "LIBRARIES",
    "MASKS",
    "MODEL_ERRORS",
    "NOISES",
    "RVS_NOISE_CORRELATION",
    "ForwardModel",
    "ModelError",
    "NoiseModel",
    "Observation",
    "PixelNoise",
    "as_rvs",
    "read_library",
    "simulate",
    "smoothed_sigma",
]
