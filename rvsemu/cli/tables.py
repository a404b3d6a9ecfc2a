"""Tables of results, written while the work goes on, and taken up again where it was interrupted."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack
from astropy.utils.masked import Masked
from specutils import Spectrum

from ..errors import RvsemuError, SpectrumError
from ..fitting import FitFailure
from ..observing.results import identity_of, name_of
from ..spectra import read_rvs
from ..spectra.unpacking import why_missing
from ..spectra.write import TABLE_ENDINGS, check_format, check_writable, write_table

__all__ = ["Lines", "ResultsTable", "add_table_options", "spectra_in"]

_EVERY = 30.0  # seconds between two writes
_NARROW = 18  # characters of a label on the terminal
_NAMES = ("file", "source_id", "transit_id", "obs_time_rv")


def add_table_options(parser, option=("-o", "--out")) -> None:
    """Options of commands that write a table of results."""
    text = f"table of results: {', '.join(TABLE_ENDINGS)}, or - for the terminal or a pipe"
    parser.add_argument(*option, dest="table", metavar="TABLE", help=text)
    formats = sorted(set(TABLE_ENDINGS.values()))
    parser.add_argument("--format", choices=formats, help="format of TABLE (default: from its ending; ecsv for -)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows of an existing TABLE and add those that are missing"
    )


class ResultsTable:
    """Table that grows by results and is on disk, whole, every half minute and however the work ends.

    Parameters
    ----------
    command : str
        For messages.
    options : Namespace
        With what `add_table_options` adds.

    Raises
    ------
    SpectrumError
        The path cannot be written, or is there and neither to be replaced nor to be resumed, or is no such table.
    """

    def __init__(self, command: str, options: Namespace):
        path, resume = options.table, options.resume
        self.to_terminal = path == "-"
        if self.to_terminal and resume:
            raise SpectrumError("--resume needs a file to go on with, not '-o -': name one.")
        self._command, self._format = command, options.format or ("ecsv" if self.to_terminal else None)
        self.path = None
        if self.to_terminal:
            check_format(path, self._format)
        if path is not None and not self.to_terminal:
            self.path = check_writable(path, options.overwrite or resume, options.format or TABLE_ENDINGS)
        self.failures = 0
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

    @property
    def status(self) -> int:
        """Exit status of the command: 2 if there was a failure."""
        return 2 if self.failures else 0

    def failed(self, path, error, meta=None) -> None:
        """Say on standard error what is wrong with a spectrum or a file, and add a row for it."""
        print(f"rvsemu {self._command}: error: {_prefixed(path, error)}", file=sys.stderr)
        self.failures += 1
        self.add(FitFailure(error, {"file": str(path), **(meta or {})}))

    def add(self, result) -> None:
        """Add the rows of a result."""
        if self.path is None and not self.to_terminal:
            return
        rows = result.to_table()
        if self._old is not None and "teff" in rows.colnames:
            _give_units(self._old, rows)
            self._old = None
        self._rows.append(rows)
        self._fresh += 1
        if self.path is not None and time.monotonic() - self._written > _EVERY:
            self._write()

    def _write(self) -> None:
        if not self._fresh:
            return
        together = self._rows[0] if len(self._rows) == 1 else vstack(self._rows, metadata_conflicts="silent")
        order = max((rows.colnames for rows in self._rows), key=len)  # also where the first row is a failure
        together = together[[*order, *(name for name in together.colnames if name not in order)]]
        if self.path is None:
            with TemporaryDirectory() as folder:
                write_table(together, Path(folder, "table"), format=self._format)
                sys.stdout.buffer.write(Path(folder, "table").read_bytes())
        else:
            write_table(together, self.path, overwrite=True, format=self._format)
        self._rows, self._fresh, self._written = [together], 0, time.monotonic()


class Lines:
    """Results as a table on the terminal, a line each as they come."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def print(self, result) -> None:
        """Print a line for a result, below a heading if it is the first."""
        if not self._widths:
            labels = [f"{name} [{q.unit}]".replace(" []", "") for name, q in result.labels.items()]
            self._widths = [21, *(max(_NARROW, len(label) + 2) for label in labels), 13, 1]
            self._line("spectrum", *labels, "reduced chi2", "flags")
        values = [result.text(name) for name in result.labels]
        name = name_of(result.meta, Path(result.meta["file"]).name)
        self._line(name, *values, f"{result.reduced_chi2:.2f}", ",".join(result.flags) or "none")

    def _line(self, *texts) -> None:
        columns = (f"{text:<{width - 1}}" for text, width in zip(texts, self._widths, strict=True))
        print(" ".join(columns), flush=True)  # a space between columns, whatever their width


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


def spectra_in(options: Namespace, table: ResultsTable) -> Iterator[Spectrum]:
    """Spectra of all files that `table` does not have; a file that cannot be read fails, and the others go on.

    Raises
    ------
    SpectrumError
        There is no file of a name, which is a typing error: nothing is read or written.
    """
    if missing := [str(path) for path in options.files if not Path(path).exists()]:
        raise SpectrumError(f"{', '.join(missing)}: {why_missing(missing[0])}. Nothing was done.")
    for path in options.files:
        try:
            spectra = read_rvs(path, options.source_id)
        except (OSError, RvsemuError) as e:
            table.failed(path, e)
            continue
        for spectrum in spectra:
            spectrum.meta.setdefault("file", str(path))
            if not table.has(spectrum):
                yield spectrum


def _prefixed(path, error) -> str:
    """Text of an error, with the file that it is about."""
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
    return text if Path(path).name in text else f"{path}: {text}"
