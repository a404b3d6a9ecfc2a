"""The folder of a catalogue: partitions in Parquet, each written once and whole, with what was rejected on the way."""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.votable import from_table
from astropy.table import Column as TableColumn
from astropy.table import MaskedColumn, QTable, Table
from astropy.table.meta import get_yaml_from_table
from astropy.units import Unit

from .._storage import replacing
from ..errors import SpectrumError, SpectrumWarning
from ..spectra.stream import Rejected
from .columns import Column
from .plan import groups_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "UNFINISHED",
    "UNKNOWN",
    "WATCHED",
    "Part",
    "arrow",
    "has_ended",
    "parts_of",
    "read_catalog",
    "rectangular",
    "rejects_of",
    "repeated_sources",
    "table_column",
    "unfinished",
    "write_part",
    "write_rejects",
]

__doctest_requires__ = {"read_catalog": ["pyarrow"]}

_PART = "rvsemu.part"
WATCHED = ("source_id", "combined_ccds")
"""Columns whose missing values are counted, as others are worth less without."""
UNKNOWN = ("frame", "release")
"""Columns of which it is counted how often they are ``unknown``."""
UNFINISHED = "stars are missing, as the run has not ended; --resume (resume=True) goes on with it"
"""What is said of a folder in which partitions are missing."""
_AT_ONCE = 10_000_000  # sources that are compared with each other: 80 MB
_KINDS = {"int64": "i8", "int32": "i4", "double": "f8", "float": "f4", "bool": "?", "string": "U8"}


@dataclass(frozen=True)
class Part:
    """A partition that is there.

    Parameters
    ----------
    path : Path
    unit, number : int
        Group of input files, and place within it.
    last : bool
        Whether the group has no more.
    spectra, rejected, expected : int
        Rows; spectra that could not be used, and among them epoch spectra that were empty or not normalised.
    sources : (int, int) or None
        Lowest and highest source_id; None if no row has one.
    missing : mapping of str to int
        Number of rows that have no value, of the columns `WATCHED`, or are unknown, of the columns `UNKNOWN`.
    """

    path: Path
    unit: int
    number: int
    last: bool
    spectra: int
    rejected: int
    expected: int
    sources: tuple[int, int] | None
    missing: Mapping[str, int]


def arrow() -> Any:
    """The module pyarrow.parquet.

    Raises
    ------
    SpectrumError
        It is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise SpectrumError('a catalogue needs pyarrow: pip install "rvsemu[catalog]".') from None
    return pyarrow.parquet


def part_path(folder: Path, unit: int, number: int) -> Path:
    """Where a partition belongs: the order of the names is that of the input."""
    return folder / f"part-{unit:06d}-{number:06d}.parquet"


# ---------------------------------------------------------------- writing
def write_part(
    path: Path, columns: Sequence[Column], rows: Sequence[Mapping], rejects: Sequence[Rejected], about: Mapping
) -> None:
    """Write a partition: `rows`, and in its metadata what was rejected and what it is `about`."""
    import pyarrow as pa

    part = {**about, "rejected": len(rejects), "expected": sum(one.expected for one in rejects)}
    part["rejects"] = [asdict(one) for one in rejects]
    part["unknown"] = {name: sum(_is_unknown(row[name]) for row in rows) for name in UNKNOWN}
    described = [pa.field(c.name, _type(c.kind), metadata=_about(c)) for c in columns]
    values = {c.name: [row[c.name] for row in rows] for c in columns}
    longest = {c.name: max((len(x or "") for x in values[c.name]), default=1) for c in columns if c.kind == "string"}
    metadata = {**_metadata(columns, about["run"]), _PART: json.dumps(part)}
    schema = pa.schema(described, {**metadata, **{f"table::len::{name}": str(n) for name, n in longest.items()}})
    data = [pa.array(values[c.name], _type(c.kind)) for c in columns]
    buffer = io.BytesIO()  # the file is written by Python, whose errors say which file and why
    arrow().write_table(pa.Table.from_arrays(data, schema=schema), buffer, compression="zstd")
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _is_unknown(value: str | None) -> bool:
    """Whether that is what a file was taken to say, or that of one of the transits of a star."""
    return "unknown" in (value or "").split(",")


def _type(kind: str) -> Any:
    """Type of Arrow of a `Column`."""
    import pyarrow as pa

    return pa.list_(pa.type_for_alias(_element(kind))) if kind.startswith("list") else pa.type_for_alias(kind)


def _element(kind: str) -> str:
    """Kind of the elements of a list; that of a column without."""
    return kind.removeprefix("list<").removesuffix(">")


def _about(column: Column) -> dict[str, str]:
    unit = {"unit": column.unit} if column.unit else {}
    return {**unit, "description": column.description}


def _metadata(columns: Sequence[Column], run: Mapping) -> dict[str, bytes]:
    """Units and descriptions as pyarrow, astropy (`Table.read`) and TOPCAT (VOParquet) look for them."""
    empty = Table()
    for c in columns:
        dtype = _KINDS[_element(c.kind)]
        empty[c.name] = MaskedColumn([], dtype=dtype, unit=c.unit or None, description=c.description)
    document = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # VOTable knows no dex
        tree = from_table(empty)
        for c, one in zip(columns, tree.get_first_table().fields, strict=True):
            if c.kind.startswith("list"):
                one.arraysize = "*"
        tree.to_xml(document)
    return {
        "rvsemu": json.dumps(run).encode(),
        "table_meta_yaml": "\n".join(get_yaml_from_table(empty)).encode(),
        "IVOA.VOTable-Parquet.version": b"1.0",
        "IVOA.VOTable-Parquet.content": document.getvalue(),
    }


def write_rejects(parts: Sequence[Part], path: Path) -> None:
    """Write the table of what was rejected, in the order of the input; no table if there is nothing."""
    if not any(part.rejected for part in parts):
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Rejected)], lineterminator="\n")
        table.writeheader()
        for part in parts:
            table.writerows(asdict(one) for one in rejects_of(part))


# ---------------------------------------------------------------- reading
def parts_of(folder: Path, known: Mapping[Path, Part] | None = None) -> list[Part]:
    """Partitions that are in a folder, in order; those that are `known` are not opened again."""
    known = known or {}
    paths = sorted(folder.glob("part-*.parquet"))
    return [known[path] if path in known else _part(path) for path in paths]


def _part(path: Path) -> Part:
    footer, about = _footer(path)
    names = ("unit", "number", "last", "rejected", "expected")
    sources, missing = _counted(footer)
    given = {name: about[name] for name in names}
    return Part(path, spectra=footer.num_rows, sources=sources, missing=missing | about.get("unknown", {}), **given)


def _counted(footer: Any) -> tuple[tuple[int, int] | None, dict[str, int]]:
    """Range of sources, and rows without a value in some columns, as a footer has them."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    places = {name: place for place, name in enumerate(footer.schema.names) if name in WATCHED}
    found = {
        name: [group.column(place).statistics for group in groups if group.num_rows] for name, place in places.items()
    }
    ranges = [one for one in found.get("source_id", ()) if one.has_min_max]
    sources = (min(one.min for one in ranges), max(one.max for one in ranges)) if ranges else None
    return sources, {name: sum(one.null_count for one in some) for name, some in found.items()}


def unfinished(parts: Iterable[Part], units: int) -> list[int]:
    """Those of the groups of input files of which partitions are missing."""
    there: dict[int, set[int]] = {}
    last = {}
    for part in parts:
        there.setdefault(part.unit, set()).add(part.number)
        if part.last:
            last[part.unit] = part.number
    return [u for u in range(units) if not (u in last and there[u].issuperset(range(last[u] + 1)))]


def has_ended(folder: Path, parts: Iterable[Part]) -> bool:
    """Whether all partitions of a run are there, as far as its folder says what these are."""
    return not unfinished(parts, groups_of(folder) or 0)


def rejects_of(part: Part) -> Iterator[Rejected]:
    """What was rejected next to the rows of a partition."""
    return (Rejected(**one) for one in _footer(part.path)[1]["rejects"]) if part.rejected else iter(())


def _footer(path: Path) -> tuple[Any, dict]:
    pq = arrow()
    import pyarrow as pa

    try:
        footer = pq.read_metadata(path)
        return footer, json.loads(footer.metadata[_PART.encode()])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise SpectrumError(f"{path} is no partition of a catalogue ({error}): delete it, and run again.") from error


def read_catalog(path: str | os.PathLike, columns: Sequence[str] | None = None) -> QTable:
    """Read a catalogue, or some of its columns, as a table with units and descriptions.

    Parameters
    ----------
    path : path
        Folder that `fit_catalog` has made, or one of its files.
    columns : sequence of str, optional
        Names. Default: all.

    Returns
    -------
    astropy.table.QTable
        In the order of the input. What is not known is masked. ``meta["rvsemu"]`` has emulator and settings, as JSON.

    Raises
    ------
    SpectrumError
        It is no catalogue, lacks a column, or pyarrow is not installed.

    Warns
    -----
    SpectrumWarning
        Partitions are missing, as the run has not ended.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.catalog import fit_catalog, read_catalog
    >>> with TemporaryDirectory() as folder:
    ...     summary = fit_catalog(rvsemu.example_path("kepler-93"), f"{folder}/labels", jobs=1, progress=False)
    ...     table = read_catalog(f"{folder}/labels", columns=["source_id", "teff", "teff_error"])
    >>> print(table["source_id"][0], table["teff"].unit)
    2052747119115620352 K
    """
    arrow()  # says what to install
    import pyarrow as pa

    folder = Path(path)
    parts = parts_of(folder) if folder.is_dir() else []
    paths = [part.path for part in parts] if folder.is_dir() else [folder]
    if parts and not has_ended(folder, parts):
        warnings.warn(f"{path}: {UNFINISHED}", SpectrumWarning, stacklevel=2)
    if not paths:
        raise SpectrumError(f"{path}: no catalogue is there; give the folder that 'rvsemu catalog fit -o' has made.")
    try:
        known = arrow().read_schema(paths[0]).names
        chosen = known if columns is None else list(columns)
        if missing := set(chosen) - set(known):
            raise SpectrumError(f"{path} has no column {missing.pop()}: it has {', '.join(known)}.")
        data = pa.concat_tables([arrow().read_table(p, columns=chosen, partitioning=None) for p in paths])
        run = data.schema.metadata[b"rvsemu"].decode()
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise SpectrumError(f"{path} cannot be read as a catalogue ({error}).") from error
    table = Table({name: table_column(data, name) for name in data.column_names}, copy=False)
    table.meta["rvsemu"] = run
    return QTable(table, copy=False)


def table_column(data: pa.Table, name: str) -> TableColumn:
    """A column of Arrow with its unit, masked where it has no value."""
    field, values = data.schema.field(name), data.column(name)
    kind, missing = str(field.type), values.is_null().to_numpy()
    if kind.startswith("list"):
        return _lists(values.to_pylist(), (field.metadata or {}).get(b"description", b"").decode())
    if kind == "string":
        plain = np.array([value or "" for value in values.to_pylist()], dtype="U")
    else:
        plain = values.fill_null(False if kind == "bool" else 0).to_numpy()
        if kind in ("double", "float"):
            plain = np.where(missing, np.nan, plain)
    about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    unit = about.get("unit")
    given = {"unit": Unit(unit) if unit else None, "description": about.get("description")}
    return MaskedColumn(plain, mask=missing, **given) if missing.any() else TableColumn(plain, **given)


def _lists(rows: list, description: str) -> TableColumn:
    """A column of arrays, without a unit: astropy has none for objects."""
    out = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        out[i] = np.array(row)
    return TableColumn(out, description=description)


def rectangular(table: Table, text: bool) -> Table:
    """The table with its columns of arrays in two dimensions, filled up with NaN or -1, or as texts of JSON."""
    out = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype != object:
            continue
        rows, description = list(table[name]), table[name].info.description
        if text:
            values = np.array([json.dumps([None if x != x else x for x in row.tolist()]) for row in rows], dtype="U")
        elif not rows:
            values = np.empty(0)  # of two dimensions, ECSV could not be read
        else:
            kind = np.result_type(*rows)
            shape, missing = (len(rows), max(map(len, rows))), -1 if kind.kind == "i" else np.nan
            values = np.full(shape, missing, dtype=kind)
            for one, row in zip(values, rows, strict=True):
                one[: len(row)] = row
        out[name] = TableColumn(values, description=description)
    return out


def repeated_sources(parts: Sequence[Part], names: Sequence[str] = ("source_id",)) -> int:
    """Number of sources that are in more than one row; with ``transit_id`` among the `names`, that of their transits.

    Rows without a source are not counted; those without a transit have the same. Partitions whose ranges of sources
    overlap are compared with each other. Bulk files of the Gaia archive are sorted, so each partition is read once.
    """
    return sum(_repeated_among(some, names) for some in _overlapping(parts))


def _overlapping(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Partitions, so that none has a source of those in another list; as many together as are compared at once."""
    some: list[Part] = []
    rows = 0
    for chain in _chains(parts):
        more = _rows(chain)
        if some and rows + more > _AT_ONCE:
            yield some
            some, rows = [], 0
        some += chain
        rows += more
    yield some


def _chains(parts: Sequence[Part]) -> list[list[Part]]:
    """Partitions in the order of their sources, apart where one has none of those before it."""
    out: list[list[Part]] = []
    highest = -1
    for (low, high), part in sorted(((p.sources, p) for p in parts if p.sources is not None), key=itemgetter(0)):
        if low > highest:
            out.append([])
        out[-1].append(part)
        highest = max(high, highest)
    return out


def _rows(parts: Sequence[Part]) -> int:
    return sum(part.spectra for part in parts)


def _repeated_among(parts: Sequence[Part], names: Sequence[str]) -> int:
    """Number of repeated sources of some partitions, a share of them after the other if they are too many."""
    shares = max(1, -(-_rows(parts) // _AT_ONCE))
    return sum(_repeated(_keys(parts, names, share, shares)) for share in range(shares))


def _keys(parts: Sequence[Part], names: Sequence[str], share: int, shares: int) -> np.ndarray:
    """Columns `names` (n, k), the source first, of the rows whose source is in one of the `shares`."""
    some = [np.empty((0, len(names)), dtype="i8")]
    for part in parts:
        table = arrow().read_table(part.path, columns=list(names), partitioning=None)
        known = table.filter(table["source_id"].is_valid())
        values = np.column_stack([known[name].fill_null(-1).to_numpy() for name in names])
        some.append(values[values[:, 0] % shares == share])
    return np.concatenate(some)


def _repeated(keys: np.ndarray) -> int:
    """Number of different rows of `keys` (n, k) that are there more than once."""
    ordered = keys[np.lexsort(keys.T)]
    again = np.append(False, np.all(ordered[1:] == ordered[:-1], axis=1))  # as the one before
    return int(np.sum(again[1:] & ~again[:-1]))
