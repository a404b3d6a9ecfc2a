"""Reading Gaia RVS spectra, and writing what rvsemu makes.

Importing this subpackage registers two formats with specutils: ``"Gaia DR3 RVS"``, so that
``Spectrum.read(path)`` and ``SpectrumList.read(path)`` read the files of the Gaia archive, and
``"rvsemu"`` for what `write_spectrum` writes. `read_rvs` reads every spectrum of a file or of a zip archive,
`iter_rvs` any number of them as arrays, a block at a time, and `fetch_rvs` gets spectra from the Gaia archive.
"""

from .archive import fetch_rvs
from .gaia import FORMAT, example_path, read_rvs
from .stream import Rejected, RVSBlock, iter_rvs
from .write import write_spectrum, write_table
from .write_bulk import write_bulk

__all__ = [
    "FORMAT",
    "RVSBlock",
    "Rejected",
    "example_path",
    "fetch_rvs",
    "iter_rvs",
    "read_rvs",
    "write_bulk",
    "write_spectrum",
    "write_table",
]
