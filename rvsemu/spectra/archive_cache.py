"""Spectra from the Gaia archive on disk: one file a source, which `read_rvs` reads."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.config import get_cache_dir
from astropy.io import fits
from astropy.table import Table

from .._storage import replacing
from ..errors import SpectrumError
from .reading import read_records
from .records import Record
from .unpacking import load

__all__ = ["folder_of", "store", "stored"]


@contextlib.contextmanager
def folder_of(cache: bool | str | os.PathLike | None) -> Iterator[Path]:
    """The folder of the cache; a temporary one for none. One that was made here does not stay empty after an error."""
    if cache is None or cache is False:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    kept = Path(get_cache_dir("rvsemu")) if cache is True else Path(cache).expanduser()
    made = not kept.exists()
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpectrumError(
            f"cache={str(cache)!r}: no such folder can be made ({error.strerror}); choose another."
        ) from None
    try:
        yield kept
    except BaseException:
        if made:
            with contextlib.suppress(OSError):  # there is something in it
                kept.rmdir()
        raise


def store(records: Sequence[Record], path: Path) -> None:
    """Write the spectra of a source: FITS, or, with the ending .zip, an archive of one FITS file each.

    Raises
    ------
    SpectrumError
        The file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            if path.suffix == ".fits":
                _as_fits(records[0]).writeto(temporary)
                return
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle:
                for number, record in enumerate(records):
                    data = io.BytesIO()
                    _as_fits(record).writeto(data)
                    name = record.scalars.get("transit_id", number)
                    bundle.writestr(f"{path.stem}-{name}.fits", data.getvalue())
    except OSError as error:
        raise SpectrumError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another folder, cache=."
        ) from error


def _as_fits(record) -> fits.HDUList:
    columns = {"wavelength": record.wavelength, "flux": record.flux, "flux_error": record.error}
    table = Table({name: np.asarray(values, dtype=float) for name, values in columns.items()})
    table["wavelength"].unit = "nm"
    hdu = fits.BinTableHDU(table)
    for name, value in record.scalars.items():
        if isinstance(value, int | str) or np.isfinite(value):
            hdu.header[f"HIERARCH {name}" if len(name) > 8 else name] = value
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def stored(path: Path) -> list[Record]:
    """What `store` wrote; nothing if it is not there, or damaged, which makes it be fetched again."""
    try:
        data, label = load(path)
        return [one for one in read_records(data, label) if isinstance(one, Record)]
    except SpectrumError:
        return []
