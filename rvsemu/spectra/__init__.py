"""Reading Gaia RVS spectra, and writing what rvsemu makes.

Importing this subpackage registers two formats with specutils: ``"Gaia DR3 RVS"``, so that
``Spectrum.read(path)`` and ``SpectrumList.read(path)`` read the files of the Gaia archive, and
``"rvsemu"`` for what `write_spectrum` writes. `read_rvs` reads every spectrum of a file or of a zip archive,
and `fetch_rvs` gets spectra from the Gaia archive.
"""

from .archive import fetch_rvs
from .gaia import FORMAT, example_path, read_rvs
from .write import write_spectrum, write_table

__all__ = ["FORMAT", "example_path", "fetch_rvs", "read_rvs", "write_spectrum", "write_table"]
