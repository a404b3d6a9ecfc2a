"""Libraries of synthetic spectra: what emulators are trained on.

`Library` is one HDF5 file of unbroadened spectra with their labels. `rvsemu.library.synthesis` makes them with SYNSPEC,
`rvsemu.library.importing` from the files of other codes.
"""

from .model import Library

__all__ = ["Library"]
