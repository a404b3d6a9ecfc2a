"""Tables of results, written while the work goes on, and taken up again where it was interrupted."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack
from astropy.utils.masked import Masked
from specutils import Spectrum

from ..catalog.plan import changed
from ..errors import RvsemuError, SpectrumError
from ..fitting import FitFailure
from ..observing.flags import FAILED
from ..observing.results import identity_of, name_of
from ..spectra import read_rvs
from ..spectra.reading import NoSuchSourceError
from ..spectra.unpacking import why_missing
from ..spectra.write import TABLE_ENDINGS, check_format, check_writable, write_table
from .common import check_only_read

__all__ = ["Lines", "ResultsTable", "add_table_options", "spectra_in"]

_EVERY = 30.0  # seconds between two writes
_NARROW = 18  # characters of a label on the terminal
_META = "rvsemu"
_NAMES = ("file", "source_id", "transit_id", "obs_time_rv")


def add_table_options(parser, option=("-o", "--out")) -> None:
    """Options of commands that write a table of results."""
    text = f"table of results: {', '.join(TABLE_ENDINGS)}, or - for the terminal or a pipe"
    parser.add_argument(*option, dest="table", metavar="TABLE", help=text)
    formats = sorted(set(TABLE_ENDINGS.values()))
    parser.add_argument("--format", choices=formats, help="format of TABLE (default: from its ending; ecsv for -)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    text = "keep the rows of an existing TABLE of the same settings, and add those that are missing or failed"
    parser.add_argument("--resume", action="store_true", help=text)


class ResultsTable:
    """Table that grows by results and is on disk, whole, every half minute and however the work ends.

    Parameters
    ----------
    command : str
        For messages.
    options : Namespace
        With what `add_table_options` adds.
    made : mapping
        What the labels depend on: `rvsemu.catalog.plan.made_with`. The table keeps it as JSON, ``meta["rvsemu"]``.

    Raises
    ------
    SpectrumError
        The path cannot be written, or is there and neither to be replaced nor to be resumed, is no such table, or was
        made with other settings.
    """

    def __init__(self, command: str, options: Namespace, made: Mapping[str, Any]):
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
        self.names: deque[str] = deque()
        """What to call the files of spectra that `spectra_in` has passed on, each another name."""
        self._rows: list[QTable] = []
        self._made = {"command": command, **made}
        self._written = time.monotonic()
        if self.path is not None and resume and self.path.exists():
            self._rows.append(_read(self.path))
            _check_made(self._rows[0], self.path, self._made)
        self._without_units = bool(self._rows)  # perhaps: some formats have none
        there = [(_has_failed(row), _key(row)) for table in self._rows for row in table]
        self._failed = {key for failed, key in there if failed}
        self._done = Counter(key for failed, key in there if not failed)
        self._mixed = self._failed & self._done.keys()
        self._fresh = False

    def __enter__(self) -> ResultsTable:
        return self

    def __exit__(self, *_) -> None:
        self._write()
        if self._rows and self.path is not None:
            print(f"wrote {self.path}")

    def has(self, spectrum: Spectrum) -> bool:
        """Whether a row of this spectrum, with labels, was there already.

        Of spectra that nothing tells apart, as many as have rows are the first ones. If one of them failed, it may be
        any: all are done again.
        """
        key = _key(identity_of(spectrum.meta))
        if key in self._mixed:
            self._mixed.remove(key)
            self._failed.discard(key)
            del self._done[key]
            self._keep([_key(row) != key for row in self._rows[0]])
        found = self._done[key] > 0
        self._done[key] -= found
        return found

    @property
    def status(self) -> int:
        """Exit status of the command: 2 if there was a failure."""
        return 2 if self.failures else 0

    def failed(self, path, error, meta=None) -> None:
        """Say on standard error what is wrong with a spectrum or a file, and add a row for it."""
        self._say(path, error)
        self.add(FitFailure(error, {"file": str(path), **(meta or {})}))

    @contextmanager
    def going_on(self, path) -> Iterator[None]:
        """Say on standard error what goes wrong with plots of a spectrum, and go on: its labels are in the table."""
        try:
            yield
        except (OSError, RvsemuError) as error:
            self._say(path, error)

    def _say(self, path, error) -> None:
        print(f"rvsemu {self._command}: error: {_prefixed(path, error)}", file=sys.stderr)
        self.failures += 1

    def add(self, result) -> None:
        """Add the rows of a result."""
        if self.path is None and not self.to_terminal:
            return
        rows = result.to_table()
        self._drop_failed(map(_key, rows))
        if self._without_units:
            _give_units(self._rows[0], rows)
            self._without_units = isinstance(result, FitFailure)  # whose rows have not all columns
        self._rows.append(rows)
        self._fresh = True
        if self.path is not None and time.monotonic() - self._written > _EVERY:
            self._write()

    def begin(self, path) -> None:
        """A file could be read now: drop the row that says that it could not."""
        self._drop_failed([_key({"file": str(path)})])

    def _drop_failed(self, keys: Iterable[tuple]) -> None:
        """Drop old rows of failures that are done again."""
        again = self._failed.intersection(keys)
        if not again:
            return
        self._keep([not (_has_failed(row) and _key(row) in again) for row in self._rows[0]])
        self._failed -= again

    def _keep(self, which: list[bool]) -> None:
        """Keep some of the old rows."""
        kept = self._rows[0][which]
        self._rows[:1] = [kept] if len(kept) else []
        self._without_units &= bool(len(kept))
        self._fresh = True

    def _write(self) -> None:
        if not (self._fresh and self._rows):
            return
        together = self._rows[0] if len(self._rows) == 1 else vstack(self._rows, metadata_conflicts="silent")
        order = max((rows.colnames for rows in self._rows), key=len)  # also where the first row is a failure
        together = together[[*order, *(name for name in together.colnames if name not in order)]]
        together.meta = {_META: json.dumps(self._made)}
        if self.path is None:
            with TemporaryDirectory() as folder:
                write_table(together, Path(folder, "table"), format=self._format)
                sys.stdout.buffer.write(Path(folder, "table").read_bytes())
        else:
            write_table(together, self.path, overwrite=True, format=self._format)
        self._rows, self._fresh, self._written = [together], False, time.monotonic()


class Lines:
    """Results on the terminal as they come: a table with a line each, or, if `verbose`, all that each says."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose, self._widths = verbose, list[int]()

    def print(self, result) -> None:
        """Print a result; the first line is below a heading."""
        if self._verbose:
            print(f"{result.meta['file']}: source {result.meta.get('source_id', 'unknown')}\n{result}", flush=True)
            return
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


def _check_made(table: QTable, path: Path, made: Mapping[str, Any]) -> None:
    """Refuse a table that was made with other settings, or, if it does not keep them, with another emulator."""
    kept = {name.lower(): value for name, value in table.meta.items()}.get(_META)  # FITS has capitals alone
    different = changed(json.loads(kept), made, made).values() if kept else _other_emulators(table, made["emulator"])
    if different:
        raise SpectrumError(
            f"{path} was made with other {', '.join(different)}: give another name, or what it was made with."
        )


def _other_emulators(table: QTable, emulator: Mapping[str, Any]) -> list[str]:
    """What columns of a table say of emulators that are not this one."""
    said = {"recipe": "recipe", "emulator_version": "version", "inversion_version": "version"}
    out = []
    for column in said.keys() & set(table.colnames):
        there = {_text(value) for value in table[column]} - {"", str(emulator[said[column]])}
        out += [f"{column} ({name})" for name in sorted(there)]
    return sorted(out)


def _has_failed(row) -> bool:
    return _text(row["flags"]) == FAILED


def _key(row) -> tuple:
    """What tells one row from another: text, as formats of tables differ in what they do to numbers."""
    values = (row[name] if name in getattr(row, "colnames", row) else None for name in _NAMES)
    return tuple(map(_text, values))


def _text(value) -> str:
    """A cell as text, empty where there is no value."""
    plain = getattr(value, "value", value)
    return "" if plain is None or np.ma.is_masked(plain) or plain != plain else str(plain).strip()


def spectra_in(options: Namespace, table: ResultsTable) -> Iterator[Spectrum]:
    """Spectra of all files that `table` does not have; a file that cannot be read fails, and the others go on.

    Raises
    ------
    SpectrumError
        There is no file of a name, which is a typing error, or one is that of the table: nothing is read or written.
    """
    check_only_read(table.path, options.files, SpectrumError)
    if missing := [str(path) for path in options.files if not Path(path).exists()]:
        raise SpectrumError(f"{', '.join(missing)}: {why_missing(missing[0])}. Nothing was done.")
    used: set[str] = set()
    without: dict[str, NoSuchSourceError] = {}
    for path in options.files:
        try:
            spectra = read_rvs(path, options.source_id)
        except NoSuchSourceError as e:
            without[path] = e
            continue
        except (OSError, RvsemuError) as e:
            table.failed(path, e)
            continue
        table.begin(path)
        for spectrum in spectra:
            spectrum.meta.setdefault("file", str(path))
            name = _unused(name_of(spectrum.meta, Path(spectrum.meta["file"]).stem), used)
            if not table.has(spectrum):
                table.names.append(name)
                yield spectrum
    for path, error in without.items() if len(without) == len(options.files) else ():
        table.failed(path, error)


def _unused(name: str, used: set[str]) -> str:
    """The name, with a number behind it if it was used before; that of the same files is the same in each run."""
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    found = next(one for one in names if one not in used)
    used.add(found)
    return found


def _prefixed(path, error) -> str:
    """Text of an error, with the file that it is about."""
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
    return text if Path(path).name in text else f"{path}: {text}"
