"""Stellar labels straight from a spectrum: principal components, then a network (Gebran 2024, section 3.2).

Where `rvsemu.fit` looks for the labels whose spectrum is nearest, an `Inversion` has learnt them from many spectra:
flux -> coefficients of principal components -> network -> labels, in one pass and without a start. `invert` does it
for an observed spectrum, whose coefficients are those that fit its good pixels best (`fit_coefficients`), or for
fluxes on the inversion's own wavelengths. Errors are those on validation spectra, and the noise carried through the
network; or, for observed spectra, those that a network gives which has learnt from noisy spectra (`NoiseNetworks`).
"""

from .coefficients import fit_coefficients
from .inverting import invert, resolve, shipped_inversion
from .label_errors import LabelErrors
from .model import Inversion, Limits
from .noisy import NoiseNetworks
from .result import InversionResult

__all__ = [
    "Inversion",
    "InversionResult",
    "LabelErrors",
    "Limits",
    "NoiseNetworks",
    "fit_coefficients",
    "invert",
    "resolve",
    "shipped_inversion",
]
