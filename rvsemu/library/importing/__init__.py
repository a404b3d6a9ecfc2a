"""Importers of other people's synthetic spectra into the format of `rvsemu.library`.

`import_library` reads the files of one of the `FORMATS`, checks each spectrum, normalises it, brings it to air
wavelengths and rebins it. A spectrum that cannot be used is left out and reported with the reason.
"""

from .assembling import Report, import_library
from .formats import FORMATS, Format
from .settings import Settings

__all__ = ["FORMATS", "Format", "Report", "Settings", "import_library"]
