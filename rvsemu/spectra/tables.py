"""Tables of spectra: those of the Gaia archive and those that rvsemu writes, as CSV, ECSV, VOTable and FITS.

This module knows file formats and no spectra: it turns bytes into `SpectrumTable` objects whose cells are
still as the file has them (text, numbers or arrays). `rvsemu.spectra.records` makes spectra of them.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from astropy.io import fits, votable
from astropy.io.votable.tree import Param
from astropy.table.meta import YamlParseError, get_header_from_yaml
from astropy.units import UnitsWarning

from ..errors import SpectrumError
from .unpacking import DAMAGE, sniff

__all__ = [
    "GRID_STEPS",
    "REQUIRED",
    "STRUCTURAL",
    "WRITTEN",
    "NotRVSError",
    "SpectrumTable",
    "TextHeader",
    "check_fields",
    "is_missing",
    "masked_nulls",
    "read_tables",
    "spelt",
]

GRID_STEPS = {2401: 0.01, 961: 0.025}
"""Step of the published RVS grids in nm, by number of samples; all of them start at 846 nm."""

WRITTEN = "rvsemu"
"""Name of the entry of a header by which a table that `write_spectrum` wrote is known; of a column in CSV."""

REQUIRED = ("flux", "flux_error")
"""Columns without which a table has no spectra."""
_OTHERS = ("wavelength", "source_id", "transit_id", "combined_ccds")
_BARE = tuple(name.replace("_", "") for name in REQUIRED)
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars", ",": "commas", " ": "spaces"}
_PROMISE = re.compile(rb"""\b(nrows|arraysize)\s*=\s*["']\s*([0-9x]+)""")
_ALONE = "give a VOTable that is complete in itself"
_FOREIGN = re.compile(rb"<!ENTITY|<STREAM\b[^>]*\bhref\b", re.IGNORECASE)
STRUCTURAL = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|TFIELDS|THEAP|EXTEND|CHECKSUM|DATASUM|COMMENT|HISTORY|"
    r"BLOCKED|BSCALE|BZERO|BLANK|CONTINUE|END|HIERARCH|INHERIT|LONGSTRN|"
    r"(TTYPE|TFORM|TUNIT|TNULL|TDIM|TDISP|TSCAL|TZERO|TCOMM|TUCD|TUTYP|TBCOL)\d+|)$"
)
"""Keywords by which a FITS file is read; they are not about its spectrum."""
_SPELT = (
    *("flux_error", "source_id", "transit_id", "solution_id", "obs_time_rv"),
    *("combined_ccds", "combined_transits", "normalisation_method"),
)
_SPELLINGS = {name.replace("_", ""): name for name in _SPELT} | {
    name: "normalisation_method" for name in ("normalization_method", "normalizationmethod")
}
"""Names of columns as in sourceId, by those in the archive's tables."""
# FITS keywords have eight characters unless written as HIERARCH, so some writers drop the underscore, and more.
_KEYWORD_ALIASES = _SPELLINGS | {"solution": "solution_id", "transit": "transit_id"}


class NotRVSError(SpectrumError):
    """A file that is readable but holds no RVS spectrum: skipped in an archive, an error by itself."""


@dataclass(frozen=True)
class SpectrumTable:
    """One table with the columns ``flux`` and ``flux_error``.

    Parameters
    ----------
    label : str
        The file, and the member of the archive, for messages.
    columns : mapping of str to sequence
        Lower-case column names; one entry a row, as text, number or array.
    units : mapping of str to str
        Units of the columns that have one.
    params : mapping of str to object
        Scalars from the header, lower-case names.
    name : str
        What the file calls the table, if anything.
    """

    label: str
    columns: Mapping[str, Sequence]
    units: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    name: str = ""

    def __len__(self) -> int:
        return len(self.columns["flux"])


def is_missing(text: str) -> bool:
    """Whether a text cell stands for no value: empty, ``null``, ``NaN`` or ``None``, in any case."""
    return text.strip().lower() in ("", "null", "nan", "none")


def spelt(names: Sequence[str]) -> list[str]:
    """Lower-case names of columns, those of the archive as it spells them, unless a column has that name already."""
    lower = [name.strip().lower() for name in names]
    return [name if (known := _SPELLINGS.get(name, name)) in lower else known for name in lower]


def read_tables(data: bytes, label: str) -> Iterator[SpectrumTable]:
    """Read the tables of spectra in one file that is not packed.

    Parameters
    ----------
    data : bytes
        The content of the file.
    label : str
        Name of the file, for messages.

    Yields
    ------
    SpectrumTable
        Each table that has the columns of a spectrum and at least one row.

    Raises
    ------
    SpectrumError
        If the file is damaged, or holds no such table.
    """
    yield from _READERS[sniff(data)](data, label)


def _read_text(data: bytes, label: str) -> Iterator[SpectrumTable]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # not text at all
        raise NotRVSError(
            f"{label}: not an RVS spectrum file; give CSV, ECSV, VOTable or FITS, or a zip archive of them"
        )
    lines = text.splitlines()
    header = TextHeader.of([line for line in lines if line.startswith("#")], label)
    _check_separator(next((line for line in lines if line and not line.startswith("#")), ""), header)
    limit = csv.field_size_limit(len(text) + 1)  # what is known of a written spectrum is one field, however long
    try:
        rows = csv.reader((line for line in lines if line and not line.startswith("#")), **header.dialect)
        names = header.names(next(rows, []))
        cells = [row for row in rows if row]
    except csv.Error as error:
        raise SpectrumError(f"{label}: {error}: {DAMAGE}") from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(cells, start=1):
        check_fields(row, names, number, label)
    columns = dict(zip(names, zip(*cells, strict=True), strict=True)) if cells else {"flux": ()}
    params = dict(header.params)
    if WRITTEN in columns:
        params[WRITTEN] = columns.pop(WRITTEN)[0]
    _require_last_line(text, columns, label, WRITTEN in params)
    yield from _if_rows(SpectrumTable(label, columns, header.units, params))


@dataclass(frozen=True)
class TextHeader:
    """What the comments at the beginning of a CSV or ECSV file say.

    Parameters
    ----------
    label : str
        The file, for messages.
    delimiter : str
        Between the fields of a row.
    units : mapping of str to str
        Units of the columns that have one, by lower-case names.
    params : mapping of str to object
        Scalars, by lower-case names.
    """

    label: str
    delimiter: str
    units: Mapping[str, str]
    params: Mapping[str, object]

    @classmethod
    def of(cls, comments: Sequence[str], label: str) -> TextHeader:
        """Header in the lines that begin with ``#``."""
        header = _ecsv_header(comments, label)
        entries = header.get("datatype", [])
        names = spelt([str(entry.get("name", "")) for entry in entries])
        units = {name: str(entry["unit"]) for name, entry in zip(names, entries, strict=True) if entry.get("unit")}
        params = {str(key).lower(): value for key, value in dict(header.get("meta") or {}).items()}
        return cls(label, header.get("delimiter", " ") if header else ",", units, params)

    @property
    def dialect(self) -> dict[str, Any]:
        """Arguments of `csv.reader`."""
        return {"delimiter": self.delimiter, "skipinitialspace": True, "strict": True}

    def names(self, row: Sequence[str]) -> list[str]:
        """Lower-case names of the columns, in the first row; refused if they are not those of a spectrum."""
        names = spelt(row)
        _require(names, self.label, WRITTEN in names or WRITTEN in self.params)
        _check_once(names, self.label)
        return names


def _check_separator(line: str, header: TextHeader) -> None:
    """Refuse a file whose first row has names of columns with something else than the delimiter between them."""
    others = [word for sign, word in _SEPARATORS.items() if sign in line and sign != header.delimiter]
    if others and header.delimiter not in line and all(name in line.lower().replace("_", "") for name in _BARE):
        wanted = "commas" if header.delimiter == "," else repr(header.delimiter)
        raise SpectrumError(
            f"{header.label}: between the columns are {others[0]}, not {wanted}; write the file with {wanted}"
        )


def _check_once(names: Sequence[str], label: str) -> None:
    """Refuse columns that tables of spectra are read by, if there are two of the same name, as in a bad join."""
    twice = [name for name in (*REQUIRED, *_OTHERS) if names.count(name) > 1]
    if twice:
        raise SpectrumError(
            f"{label}: {names.count(twice[0])} columns are called {twice[0]}, in any case of letters: leave one of them"
        )


def check_fields(row: Sequence[str], names: Sequence[str], number: int, label: str) -> None:
    """Refuse a row that has not one field for each column."""
    if len(row) != len(names):
        raise SpectrumError(f"{label}: row {number} has {len(row)} fields instead of {len(names)}: {DAMAGE}")


def _ecsv_header(comments: Sequence[str], label: str) -> Mapping:
    """Units, metadata and delimiter from the YAML comments of ECSV; empty for plain CSV."""
    if not comments or not comments[0].startswith("# %ECSV"):
        return {}
    try:
        header = get_header_from_yaml([re.sub("^# ?", "", line.rstrip()) for line in comments[1:]])
    except YamlParseError as error:
        raise SpectrumError(f"{label}: the ECSV header cannot be read: {DAMAGE}") from error
    return header if isinstance(header, Mapping) else {}


def _require_last_line(text: str, columns: Mapping[str, Sequence], label: str, written: bool) -> None:
    """Refuse a file cut inside its last number, which a count of fields cannot see."""
    n_rows = len(columns["flux"])
    whole = text.endswith(("\n", "\r")) or (not written and any(n_rows % size == 0 for size in GRID_STEPS))
    if not whole and not columns["flux"][-1].rstrip().endswith(("]", ")", "}")):
        raise SpectrumError(
            f"{label}: ends after {n_rows} pixels without a line end: {DAMAGE}, or end the last line if it is complete"
        )


def _read_xml(data: bytes, label: str) -> Iterator[SpectrumTable]:
    if b"<VOTABLE" not in data[:100_000]:
        raise NotRVSError(f"{label}: XML, but not a VOTable; download it again from the Gaia archive")
    if _FOREIGN.search(data):
        raise SpectrumError(f"{label}: refers to entities or to other files, which are not read; {_ALONE}")
    if any(prod(map(int, filter(None, n.split(b"x")))) > len(data) for _, n in _PROMISE.findall(data)):
        raise SpectrumError(f"{label}: promises an array larger than the file: {DAMAGE}")
    try:
        with warnings.catch_warnings():
            # remarks on how units and attributes should be spelt do not concern the reader of a spectrum
            warnings.simplefilter("ignore", UnitsWarning)
            document = votable.parse(io.BytesIO(data), verify="ignore")
    except Exception as error:  # damaged files make the parser raise a dozen unrelated classes
        raise SpectrumError(f"{label}: not a complete VOTable ({_one_line(error)}): {DAMAGE}") from error
    found, columns_seen = False, set()
    for resource in document.resources:
        for table, params in _votable_tables(resource, {}):
            names = spelt([entry.name for entry in table.fields])
            columns_seen.update(names)
            if not (set(REQUIRED).issubset(names) or WRITTEN in params):
                continue
            _check_once(names, label)
            keys = table.array.dtype.names
            columns = {name: table.array[key] for name, key in zip(names, keys, strict=True)}
            units = {name: str(entry.unit) for name, entry in zip(names, table.fields, strict=True) if entry.unit}
            found = True
            yield from _if_rows(SpectrumTable(label, columns, units, params, f"{resource.name} {table.name}"))
    if not found:
        _require(sorted(columns_seen), label)


def _votable_tables(resource, inherited: dict) -> Iterator[tuple]:
    """Each table of a resource with the PARAMs that apply to it, the nearest one winning."""
    params = inherited | {param.name.lower(): param.value for param in resource.params}
    for table in resource.tables:
        own = {p.name.lower(): p.value for p in table.iter_fields_and_params() if isinstance(p, Param)}
        yield table, params | own
    for child in resource.resources:
        yield from _votable_tables(child, params)


def _read_fits(data: bytes, label: str) -> Iterator[SpectrumTable]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on what does not follow the standard to the letter
            # astropy only warns here, and would go on with a table that ends early
            warnings.filterwarnings("error", message=".*truncated.*")
            hdus = fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False, disable_image_compression=True)
            complete = all(hdu.fileinfo()["datLoc"] + hdu.size <= len(data) for hdu in hdus)
            found = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
            complete &= all(hdu.header["NAXIS2"] <= len(data) for hdu in found)  # rows may have no bytes
            tables = [_fits_table(hdu, hdus[0].header, label) for hdu in found] if complete else []
    except SpectrumError:
        raise
    except Exception as error:  # damaged files make the parser raise a dozen unrelated classes
        raise SpectrumError(f"{label}: not a complete FITS file ({_one_line(error)}): {DAMAGE}") from error
    if not complete:
        raise SpectrumError(f"{label}: not a complete FITS file, its header promises more than it has: {DAMAGE}")
    spectra = [table for table in tables if set(REQUIRED).issubset(table.columns) or WRITTEN in table.params]
    if not spectra:
        _require(sorted({name for table in tables for name in table.columns}), label)
    for table in spectra:
        yield from _if_rows(table)


def _fits_table(hdu: fits.BinTableHDU, primary: fits.Header, label: str) -> SpectrumTable:
    columns, units = {}, {}
    names = spelt(hdu.columns.names)
    if set(REQUIRED).issubset(names):
        _check_once(names, label)
    for name, column in zip(names, hdu.columns, strict=True):
        columns[name] = masked_nulls(hdu.data[column.name], column)
        if column.unit:
            units[name] = column.unit
    params = {}
    for card in [*primary.cards, *hdu.header.cards]:
        if not STRUCTURAL.match(card.keyword) and not isinstance(card.value, fits.card.Undefined):
            key = card.keyword.lower()
            params[_KEYWORD_ALIASES.get(key, key)] = card.value
    return SpectrumTable(label, columns, units, params, hdu.name)


def masked_nulls(values: Any, column: fits.Column) -> Any:
    """Values of a column of a FITS table, masked where they are the number that its header states for none."""
    if column.null is None or values.dtype.kind not in "iuf":
        return values
    step, zero = column.bscale or 1, column.bzero or 0
    null = step * column.null + zero  # scaled like other values
    whole = values.dtype.kind != "f"
    return np.ma.masked_where(values == null if whole else np.abs(values - null) < abs(step) / 2, values)


def _require(names: Sequence[str], label: str, written: bool = False) -> None:
    missing = [name for name in REQUIRED[: 1 if written else 2] if name not in names]
    if missing:
        has = _one_line(", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "none"
        raise NotRVSError(
            f"{label}: not an RVS spectrum: no column {' nor '.join(missing)} (it has: {has}); "
            "give a file of the Gaia archive's RVS product, or name the columns wavelength, flux and flux_error"
        )


def _if_rows(table: SpectrumTable) -> Iterator[SpectrumTable]:
    if not len(table):
        raise SpectrumError(f"{table.label}: the table has no rows: {DAMAGE}")
    yield table


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 160 else line[:157] + "..."


_READERS = {"fits": _read_fits, "xml": _read_xml, "text": _read_text}
