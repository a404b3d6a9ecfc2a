"""The spectra in a file, one at a time."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import SpectrumError
from .cells import as_scalar, is_array
from .records import DATA_COLUMNS, ID_COLUMNS, Record, record_of_cells
from .tables import WRITTEN, NotRVSError, SpectrumTable, read_tables
from .unpacking import Skipped, sniff, unpacked
from .written import WrittenRecord

__all__ = ["NoSuchSourceError", "read_records", "record_of_row", "select"]


class NoSuchSourceError(SpectrumError):
    """A file has spectra, and none of the source that is asked for."""


def select(
    records: Iterator[Record | WrittenRecord], source_id: int | str | None, label: str, skipped: Skipped
) -> Iterator[Record | WrittenRecord]:
    """Pass on the records of one source, or all; none only if some were skipped.

    Parameters
    ----------
    records : iterator of Record
        As `read_records` gives them.
    source_id : int, str or None
        The source, or None for all.
    label : str
        The file, for messages.
    skipped : Skipped
        What `read_records` could not read.

    Yields
    ------
    Record or WrittenRecord
        The selected ones.

    Raises
    ------
    SpectrumError
        If nothing is selected and nothing was skipped, or ``source_id`` is not a whole number.
    """
    wanted = None if source_id is None else _wanted_id(source_id)
    seen, found = 0, False
    for record in records:
        seen += 1
        if wanted is None or record.source_id == wanted:
            found = True
            yield record
    if not seen and not skipped:
        raise NotRVSError(f"{label}: no RVS spectrum; give a file of the Gaia archive's RVS product")
    if seen and not found:
        skipped.warn(label)
        raise NoSuchSourceError(f"{label}: source_id={wanted} is not among its {seen} spectra; check the number")


def _wanted_id(source_id: int | str) -> int:
    try:
        return int(source_id, 10) if isinstance(source_id, str) else operator.index(source_id)
    except (TypeError, ValueError) as error:
        raise SpectrumError(
            f"source_id={source_id!r} is not a whole number; give an int: floats cannot hold all its digits"
        ) from error


def read_records(data: bytes, label: str, skipped: Skipped | None = None) -> Iterator[Record | WrittenRecord]:
    """Read the spectra of a file one at a time.

    Parameters
    ----------
    data : bytes
        The content of the file.
    label : str
        Name of the file, for messages.
    skipped : Skipped, optional
        Receives the errors of members of an archive and of single spectra; without it they are raised.

    Yields
    ------
    Record or WrittenRecord
        One spectrum.

    Raises
    ------
    SpectrumError
        If the file, or without `skipped` a spectrum in it, cannot be used.
    """
    found = other = False
    for name, content in unpacked(data, label, skipped):
        try:
            for table in read_tables(content, name):
                yield from _records(table, skipped)
                found = True
        except NotRVSError:  # an archive of "ALL" products holds other spectra, with alike columns, and photometry
            if sniff(data) != "zip":
                raise
            other = True
        except SpectrumError as error:
            if skipped is None or name == label:
                raise
            skipped.append(error)
    if other and not found and not skipped:
        raise NotRVSError(f"{label}: no file in this archive is an RVS spectrum; give one that has RVS products")


def _records(table: SpectrumTable, skipped: Skipped | None) -> Iterator[Record | WrittenRecord]:
    if WRITTEN in table.params:
        yield WrittenRecord.from_table(table)
        return
    for pixels, scalars, structure, alone in _raw(table) if is_array(table.columns["flux"]) else _individual(table):
        try:
            yield record_of_cells(table, pixels, scalars, structure, alone)
        except NotRVSError:
            raise
        except SpectrumError as error:
            if skipped is None:
                raise
            skipped.append(error)


def record_of_row(table: SpectrumTable, cells: Mapping[str, Any]) -> Record:
    """Record of one row of a table of the RAW structure that is read row by row.

    Parameters
    ----------
    table : SpectrumTable
        Label, units and params, and the names of its columns, which need no rows.
    cells : mapping of str to object
        One for each column.

    Raises
    ------
    SpectrumError
        The row cannot be used.
    """
    pixels = {name: cells[name] for name in DATA_COLUMNS if name in cells}
    scalars = {name: as_scalar(cell) for name, cell in cells.items() if not (name in DATA_COLUMNS or is_array([cell]))}
    return record_of_cells(table, pixels, scalars, "RAW", False)


def _raw(table: SpectrumTable) -> Iterator[tuple]:
    names = [name for name, cells in table.columns.items() if not (name in DATA_COLUMNS or is_array(cells))]
    for row in range(len(table)):
        scalars = {name: as_scalar(table.columns[name][row]) for name in names}
        pixels = {name: table.columns[name][row] for name in DATA_COLUMNS if name in table.columns}
        yield pixels, scalars, "RAW", len(table) == 1


def _individual(table: SpectrumTable) -> Iterator[tuple]:
    keys = [table.columns[name] for name in ID_COLUMNS if name in table.columns]
    groups: dict[tuple, list[int]] = {}
    for row in range(len(table)):
        groups.setdefault(tuple(str(key[row]) for key in keys), []).append(row)
    for rows in groups.values():
        scalars, pixels = {}, {}
        for name, cells in table.columns.items():
            taken = cells[rows] if isinstance(cells, np.ndarray) else [cells[row] for row in rows]
            if name in DATA_COLUMNS:
                pixels[name] = taken
            elif len({str(cell) for cell in taken}) == 1:  # a column that varies is a property of the pixels
                scalars[name] = as_scalar(taken[0])
        yield pixels, scalars, "INDIVIDUAL", len(groups) == 1
