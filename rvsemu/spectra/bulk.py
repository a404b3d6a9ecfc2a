"""Files with one source per row, read row by row: the bulk files of the Gaia archive, and Parquet.

Nothing is made of a row before it is asked for: who wants the second half of a file passes over the first at the speed
of gzip.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from ..errors import SpectrumError
from .cells import is_array
from .reading import read_records, record_of_row
from .records import Record
from .tables import REQUIRED, WRITTEN, SpectrumTable, TextHeader, check_fields, is_missing
from .unpacking import DAMAGE, Skipped, check_packing, load, sniff
from .written import WrittenRecord

__all__ = ["Entry", "entries"]

Entry = Callable[[], Record | WrittenRecord]
"""Makes one record, or raises the `SpectrumError` that says why it cannot be made."""

_LONGEST = 2**22  # bytes of a line; one of 2401 pixels has 60,000
_LONGEST_NAMES = 2**12  # bytes; arrays of 961 pixels have 20,000
_BUFFER = 2**16  # bytes; as many are lost before the end of a truncated file
_BATCH = 64  # rows of Parquet at a time
_MOST_EMPTY = 100_000  # rows without a flux before the first array: 10 MB
_TAR = 512  # bytes of the header of a tar archive


def entries(path: str | os.PathLike) -> Iterator[Entry]:
    """Every spectrum of a file, in order, whether it can be read or not; the memory for a few of them.

    Bulk files and Parquet are read row by row. Other files of the Gaia archive are loaded, up to the limits of
    `rvsemu.spectra.unpacking`. A file that is damaged from some place on ends with an entry that says so.

    Parameters
    ----------
    path : path
        A file that `rvsemu.read_rvs` reads, or Parquet.

    Yields
    ------
    callable
        Its result is the `Record`; it raises SpectrumError where there is none.
    """
    label = os.fspath(path)
    try:
        yield from _entries(label)
    except SpectrumError as error:
        yield partial(_refuse, error)
    except (EOFError, OSError, zlib.error) as error:
        yield partial(_refuse, SpectrumError(f"{label}: {error}: {DAMAGE}"))


def _refuse(error: SpectrumError) -> Record:
    raise error


def _entries(label: str) -> Iterator[Entry]:
    try:
        opened = open(label, "rb")
    except OSError:
        yield from _loaded(label)  # says what is wrong with the path
        return
    with opened as file:
        start = file.read(4)
        file.seek(0)
        if start == b"PAR1":
            yield from _parquet_rows(label)
            return
        stream = io.BufferedReader(gzip.GzipFile(fileobj=file), _BUFFER) if sniff(start) == "gzip" else file
        check_packing(stream.peek(_TAR), label)
        table = _Rows.of(stream, label) if sniff(stream.peek(64)) == "text" else None
        if table is not None:
            yield from table.entries(stream)
            return
    yield from _loaded(label)


def _loaded(label: str) -> Iterator[Entry]:
    """Entries of a file that is read as a whole; what is skipped has its place among them."""
    skipped = Skipped()
    for record in read_records(load(label)[0], label, skipped):
        yield from (partial(_refuse, error) for error in skipped)
        skipped.clear()
        yield partial(_same, record)
    yield from (partial(_refuse, error) for error in skipped)


def _same(record: Record | WrittenRecord) -> Record | WrittenRecord:
    return record


# ---------------------------------------------------------------------- text
@dataclass(frozen=True)
class _Rows:
    """A text file with one source per row: its header, and its rows up to the first with arrays."""

    table: SpectrumTable
    header: TextHeader
    first: tuple[str, ...]

    @classmethod
    def of(cls, stream: BinaryIO, label: str) -> _Rows | None:
        """None if it is another kind of text file."""
        try:
            comments, line = [], _line(stream, label)
            while line.startswith("#") or line.isspace():
                comments.append(line)
                line = _line(stream, label)
            header = TextHeader.of(comments, label)
            names = header.names(next(csv.reader([line], **header.dialect), []))
            written = WRITTEN in names or WRITTEN in header.params  # a text in braces, which looks like an array
            first = () if written else _up_to_arrays(stream, label, header, names.index(REQUIRED[0]))
        except (SpectrumError, csv.Error):
            return None  # the reader of whole files says what is wrong
        columns: dict[str, Sequence] = dict.fromkeys(names, ())
        table = SpectrumTable(label, columns, header.units, header.params)
        return cls(table, header, first) if first else None

    def entries(self, stream: BinaryIO) -> Iterator[Entry]:
        """Every row; where files were joined to one, the header of the next one holds from there on."""
        rows, comments, number = self, list[str](), 1
        for line in chain(self.first, iter(partial(_line, stream, self.table.label), "")):
            if line.startswith("#"):
                comments.append(line)
            elif _is_names(line):
                rows, comments = rows._again(comments, line), []
            elif not line.isspace():
                yield partial(rows._record, line, number)
                number += 1

    def _again(self, comments: list[str], line: str) -> _Rows:
        label = self.table.label
        header = TextHeader.of(comments, label) if comments else self.header
        names = header.names(next(csv.reader([line], **header.dialect), []))
        return _Rows(SpectrumTable(label, dict.fromkeys(names, ()), header.units, header.params), header, ())

    def _record(self, line: str, number: int) -> Record:
        label, names = self.table.label, list(self.table.columns)
        if not line.endswith(("\n", "\r")):
            raise SpectrumError(f"{label}: row {number} has no line end: {DAMAGE}, or end the last line")
        try:
            fields = _fields(line, self.header)
        except csv.Error as error:
            raise SpectrumError(f"{label}: row {number}: {error}: {DAMAGE}") from error
        check_fields(fields, names, number, label)
        return record_of_row(self.table, dict(zip(names, fields, strict=True)))


def _up_to_arrays(stream: BinaryIO, label: str, header: TextHeader, flux: int) -> tuple[str, ...]:
    """Rows up to the first with arrays; none if they have pixels. Rows before it may be empty, or damaged.

    `flux` is the place of this column.
    """
    rows: list[str] = []
    while len(rows) < _MOST_EMPTY and (line := _line(stream, label)):
        rows.append(line)
        with suppress(csv.Error):
            fields = _fields(line, header)
            if is_array(fields):
                return tuple(rows)
            if len(fields) > flux and not is_missing(fields[flux]):
                break
    return ()


def _is_names(line: str) -> bool:
    """Whether a line names columns, as rows of spectra, which are much longer, do not."""
    return len(line) < _LONGEST_NAMES and "fluxerror" in line.lower().replace("_", "")


def _line(stream: BinaryIO, label: str) -> str:
    line = stream.readline(_LONGEST)
    if len(line) == _LONGEST:
        raise SpectrumError(f"{label}: a line has more than {_LONGEST:,} bytes: {DAMAGE}")
    return line.decode("utf-8-sig", "replace")  # what is damaged is for the row to say


def _fields(line: str, header: TextHeader) -> list[str]:
    """Fields of a row: what stands between quotes is not searched for commas, which takes the csv module most time."""
    fields: list[str] = []
    parts = line.strip("\r\n").split('"')
    last = len(parts) - 1
    for i, part in enumerate(parts):
        if i % 2:
            fields.append(part)
            continue
        begins, ends = part.startswith(","), part.endswith(",")
        if header.delimiter != "," or last % 2 or (0 < i < last and not (begins and ends)):
            return next(csv.reader([line], **header.dialect), [])
        if part != ("," if 0 < i < last else ""):  # else nothing is between two texts, or before and behind them
            fields += part[1 if i else 0 : -1 if i < last else None].split(",")
    return fields


# ---------------------------------------------------------------------- Parquet
def _parquet_rows(label: str) -> Iterator[Entry]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise SpectrumError(f'{label}: reading Parquet needs pyarrow: pip install "rvsemu[catalog]".') from None
    try:
        file = pq.ParquetFile(label)
        header = TextHeader(label, ",", {}, {})
        names = header.names(file.schema_arrow.names)
        _check_lists(label, dict(zip(names, file.schema_arrow.types, strict=True)))
        about = {name: field.metadata or {} for name, field in zip(names, file.schema_arrow, strict=True)}
        units = {name: metadata[b"unit"].decode() for name, metadata in about.items() if b"unit" in metadata}
        table = SpectrumTable(label, dict.fromkeys(names, ()), units)
        if not file.metadata.num_rows:
            raise SpectrumError(f"{label}: the table has no rows: {DAMAGE}")
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in range(batch.num_rows):
                cells = [_cell(column[row]) for column in batch.columns]
                yield partial(record_of_row, table, dict(zip(names, cells, strict=True)))
    except pa.ArrowException as error:
        raise SpectrumError(f"{label}: not a complete Parquet file ({error}): {DAMAGE}") from error


def _check_lists(label: str, types: dict[str, Any]) -> None:
    """Refuse Parquet with one row per pixel, which would be a million rows that cannot be used."""
    numbers = [name for name in REQUIRED if not (hasattr(types[name], "value_type") or "string" in str(types[name]))]
    if numbers:
        raise SpectrumError(
            f"{label}: column {numbers[0]} has one number a row ({types[numbers[0]]}): Parquet is read with one "
            "spectrum a row, whose flux and flux_error are lists; group the rows by source_id, or write CSV or FITS"
        )


def _cell(scalar: Any) -> Any:
    """A number or text, or the array of a list, which all scalars of lists have as an attribute."""
    values = getattr(scalar, "values", None)
    return scalar.as_py() if values is None or callable(values) else values.to_numpy(zero_copy_only=False)
