"""rvsemu: stellar spectra in the Gaia RVS range from neural networks, and labels from observed spectra.

=================  =======================================================
`generate`         labels -> `specutils.Spectrum`
`fit`              observed spectrum -> labels with errors (`FitResult`)
`sample`           observed spectrum -> samples of the labels (`Posterior`)
`invert`           spectrum -> labels by a network (`InversionResult`)
`read_rvs`         Gaia RVS files -> list of Spectrum
`RVSModel`         the emulator as a model of astropy.modeling
`shipped`          an emulator that comes with the package
`Emulator`         load, save, flux, Jacobian, spectrum
`Inversion`        load, save, estimate, Jacobian
`example_path`     a real Gaia RVS file to try things on
`RvsemuError`      what every bad input raises
=================  =======================================================

Importing the package registers the format ``"Gaia DR3 RVS"`` with ``specutils.Spectrum.read``.
"""

from importlib.metadata import version as _version

from .emulator import Emulator, generate, shipped
from .errors import RvsemuError
from .fitting import FitResult, Posterior, RVSModel, fit, sample
from .inversion import Inversion, InversionResult, invert
from .spectra import example_path, read_rvs

__version__ = _version("rvsemu")
__all__ = [
    "Emulator",
    "FitResult",
    "Inversion",
    "InversionResult",
    "Posterior",
    "RVSModel",
    "RvsemuError",
    "example_path",
    "fit",
    "generate",
    "invert",
    "read_rvs",
    "sample",
    "shipped",
]
