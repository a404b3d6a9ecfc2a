"""Tables of results, written while the work goes on, and taken up again where it was interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack
from astropy.utils.masked import Masked

from .._compat import Spectrum
from ..errors import RvsemuError, SpectrumError
from ..observing.results import identity_of
from ..spectra import read_rvs
from ..spectra.write import check_writable, write_table

__all__ = ["ResultsTable", "add_table_options", "spectra_in"]

_EVERY = 30.0  # seconds between two writes
_NAMES = ("file", "source_id", "transit_id", "obs_time_rv")


def add_table_options(parser, option=("-o", "--out")) -> None:
    """Options of commands that write a table of results."""
    parser.add_argument(
        *option, dest="table", metavar="TABLE", help="write a table of results: .ecsv, .fits, .csv or .vot"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows of a TABLE that is there, and do what is missing"
    )


class ResultsTable:
    """Table that grows by results and is on disk, whole, every half minute and however the work ends.

    Parameters
    ----------
    path : str or None
        File; None is no file.
    overwrite : bool
        Replace one that is there.
    resume : bool
        Go on with one that is there.

    Raises
    ------
    SpectrumError
        The path cannot be written, or is there and neither to be replaced nor to be resumed, or is no such table.
    """

    def __init__(self, path, overwrite=False, resume=False):
        self.path = None if path is None else check_writable(path, overwrite=overwrite or resume)
        self._rows: list[QTable] = []
        self._written = time.monotonic()
        if self.path is not None and resume and self.path.exists():
            self._rows.append(_read(self.path))
        self._old = self._rows[0] if self._rows else None
        self._done = {key for table in self._rows for key in map(_key, table)}
        self._fresh = 0

    def __enter__(self) -> ResultsTable:
        return self

    def __exit__(self, *_) -> None:
        self._write()
        if self._rows and self.path is not None:
            print(f"wrote {self.path}")

    def has(self, spectrum: Spectrum) -> bool:
        """Whether a row of this spectrum was there already."""
        return _key(identity_of(spectrum.meta)) in self._done

    def add(self, result) -> None:
        """Add the rows of a result."""
        if self.path is None:
            return
        rows = result.to_table()
        if self._old is not None and "teff" in rows.colnames:
            _give_units(self._old, rows)
            self._old = None
        self._rows.append(rows)
        self._fresh += 1
        if time.monotonic() - self._written > _EVERY:
            self._write()

    def _write(self) -> None:
        if self.path is None or not self._fresh:
            return
        together = self._rows[0] if len(self._rows) == 1 else vstack(self._rows, metadata_conflicts="silent")
        write_table(together, self.path, overwrite=True)
        self._rows, self._fresh, self._written = [together], 0, time.monotonic()


def _give_units(table, like) -> None:
    """Give columns the units of those of another table, as CSV has none, and VOTable no dex that can be converted."""
    for name in set(table.colnames) & set(like.colnames):
        unit = getattr(like[name], "unit", None)
        if unit is not None:
            plain = getattr(table[name], "value", table[name])
            mask = np.broadcast_to(getattr(plain, "mask", False), len(table))
            values = np.asarray(getattr(plain, "unmasked", plain), dtype=float)
            table[name] = Masked(u.Quantity(values, unit), mask=mask)


def _read(path) -> QTable:
    try:
        table = QTable.read(path)
    except Exception as e:
        raise SpectrumError(f"{path} is no table that can be resumed ({e}): give another name, or --overwrite.") from e
    if missing := {"file", "flags"} - set(table.colnames):
        raise SpectrumError(f"{path} has no column {missing.pop()}: it is no table of results; give another name.")
    return table


def _key(row) -> tuple:
    """What tells one row from another: text, as formats of tables differ in what they do to numbers."""
    values = (row[name] if name in getattr(row, "colnames", row) else None for name in _NAMES)
    plain = (getattr(value, "value", value) for value in values)
    return tuple("" if x is None or np.ma.is_masked(x) or x != x else str(x) for x in plain)


def spectra_in(files, source_id, failed) -> Iterator[Spectrum]:
    """Spectra of all files; a file that cannot be read is told to `failed` (path, error), and the others go on."""
    for path in files:
        try:
            spectra = read_rvs(path, source_id)
        except (OSError, RvsemuError) as e:
            failed(path, e)
            continue
        for spectrum in spectra:
            spectrum.meta.setdefault("file", str(path))
            yield spectrum


def prefixed(path, error) -> str:
    """Text of an error, with the file that it is about."""
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
    return text if Path(path).name in text else f"{path}: {text}"


def complain(command, path, error) -> None:
    """Say on standard error what is wrong with a file."""
    print(f"rvsemu {command}: error: {prefixed(path, error)}", file=sys.stderr)
