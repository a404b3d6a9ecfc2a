"""Labels of any number of stars: files of spectra in, one table out.

`fit_catalog` fits bulk files of the Gaia archive and whatever else `rvsemu.iter_rvs` reads, on the cores of a machine
or a Dask cluster, and goes on where it was interrupted. Its result is a folder of Parquet files, or one table as FITS
or ECSV. `read_catalog` reads the folder, and `write_report` makes a page of it. Parquet needs pyarrow:
``pip install "rvsemu[catalog]"``.
"""

from .dataset import read_catalog
from .report import write_report
from .run import Summary, fit_catalog

__all__ = ["Summary", "fit_catalog", "read_catalog", "write_report"]
