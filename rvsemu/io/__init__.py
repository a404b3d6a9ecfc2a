"""Reading Gaia RVS spectra.

Importing this subpackage registers the format ``"Gaia DR3 RVS"`` with specutils, so that
``Spectrum.read(path)`` and ``SpectrumList.read(path)`` read the files of the Gaia archive.
`read_rvs` reads every spectrum of a file or of a zip archive.
"""

from rvsemu.io.gaia import FORMAT, example_path, read_rvs

__all__ = ["FORMAT", "example_path", "read_rvs"]
