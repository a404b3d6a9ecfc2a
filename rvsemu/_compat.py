"""Names that differ between the supported versions of the libraries below us, resolved when they are asked for.

Not before: importing specutils makes `rvsemu._registration` import `rvsemu.spectra`, which needs this module.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["Spectrum"]


def __getattr__(name: str) -> Any:
    if name != "Spectrum":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import specutils

    try:
        return specutils.Spectrum
    except AttributeError:  # before the rename; later versions warn when a Spectrum1D is constructed
        return specutils.Spectrum1D
