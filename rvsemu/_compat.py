"""Names that differ between the supported versions of the libraries below us, resolved once."""

try:
    from specutils import Spectrum
except ImportError:  # specutils before the rename; later versions warn when a Spectrum1D is constructed
    from specutils import Spectrum1D as Spectrum

__all__ = ["Spectrum"]
