"""rvsemu: stellar spectra in the Gaia RVS range from neural networks, and labels from observed spectra.

=================  =============================================================
`generate`         labels -> `specutils.Spectrum`
`fit`              observed spectrum -> labels with errors (`FitResult`)
`fit_many`         many observed spectra -> a result each, faster
`fit_transits`     all epoch spectra of a star -> one set of labels, a velocity each
`sample`           observed spectrum -> samples of the labels (`Posterior`)
`invert`           spectrum -> labels by a network (`InversionResult`)
`read_rvs`         Gaia RVS files -> list of Spectrum
`fetch_rvs`        Gaia sources -> their RVS spectra from the archive
`iter_rvs`         any number of Gaia RVS files -> blocks of arrays
`as_rvs`           spectrum of higher resolution -> as the RVS would have it
`explore`          labels, fits and posteriors with sliders, in the browser
`simulate`         noiseless spectrum -> one as Gaia would observe it
`plot_spectrum`    a spectrum with its main lines
`RVSModel`         the emulator as a model of astropy.modeling
`shipped`          an emulator that comes with the package
`Emulator`         load, save, flux, Jacobian, spectrum
`Inversion`        load, save, estimate, Jacobian
`example_path`     a real Gaia RVS file to try things on
`RvsemuError`      what every bad input raises
=================  =============================================================

Importing the package registers the format ``"Gaia DR3 RVS"`` with ``specutils.Spectrum.read``. Names are imported when
they are first used, so that the import itself takes no time.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from ._registration import register_formats as _register_formats

if TYPE_CHECKING:
    from .emulator import Emulator, generate, shipped
    from .errors import RvsemuError
    from .explorer import explore
    from .fitting import FitResult, Posterior, RVSModel, TransitsResult, fit, fit_many, fit_transits, sample
    from .inversion import Inversion, InversionResult, invert
    from .observing import as_rvs, simulate
    from .plotting import plot_spectrum
    from .spectra import example_path, fetch_rvs, iter_rvs, read_rvs

__all__ = [
    "Emulator",
    "FitResult",
    "Inversion",
    "InversionResult",
    "Posterior",
    "RVSModel",
    "RvsemuError",
    "TransitsResult",
    "as_rvs",
    "example_path",
    "explore",
    "fetch_rvs",
    "fit",
    "fit_many",
    "fit_transits",
    "generate",
    "invert",
    "iter_rvs",
    "plot_spectrum",
    "read_rvs",
    "sample",
    "shipped",
    "simulate",
]
_HOMES = {
    "calibration": (),
    "catalog": (),
    "comparison": (),
    "emulator": ("Emulator", "generate", "shipped"),
    "errors": ("RvsemuError",),
    "explorer": ("explore",),
    "fitting": ("FitResult", "Posterior", "RVSModel", "TransitsResult", "fit", "fit_many", "fit_transits", "sample"),
    "inversion": ("Inversion", "InversionResult", "invert"),
    "library": (),
    "spectra": ("example_path", "fetch_rvs", "iter_rvs", "read_rvs"),
    "observing": ("as_rvs", "simulate"),
    "physics": (),
    "plotting": ("plot_spectrum",),
}


def __getattr__(name: str) -> Any:
    found: Any
    if name == "__version__":
        from importlib.metadata import version

        found = version("rvsemu")
    else:
        for home, names in _HOMES.items():
            if name == home or name in names:
                module = _import_module(f".{home}", __name__)
                found = module if name == home else getattr(module, name)
                break
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *_HOMES, "__version__"])


_register_formats()
