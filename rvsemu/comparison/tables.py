"""Columns of tables in any format: only those that are asked for, and identifiers to the last digit."""

from __future__ import annotations

import csv
import gzip
import os
import re
import reprlib
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import ascii, fits
from astropy.table import Table
from astropy.table.meta import get_header_from_yaml

from ..catalog.dataset import UNFINISHED, arrow, has_ended, parts_of, table_column
from ..catalog.plan import groups_of
from ..errors import ComparisonError, RvsemuError, SpectrumWarning

__all__ = ["Columns", "floats_of", "identifiers_of", "opened_table", "plain_of", "texts_of"]

_FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".ecsv": "ecsv",
    ".csv": "csv",
    ".vot": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
}
_MISSING = [("", "0"), ("null", "0"), ("NaN", "0"), ("nan", "0")]  # cells of text files without a value
_ENCODING = "utf-8-sig"  # spreadsheets begin their files with a mark of the order of bytes
_UNSIGNED = 2**63  # TZERO of unsigned integers of 64 bits, which would become floats
_MASK = ".mask"  # what astropy appends to the name of a column of Parquet for where it has no value
_ROUNDED = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+|\d{7,}\.\d*")
_DIGITS = re.compile(r"(?:Gaia\s+E?DR\d\s+)?([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """A table that is open, and read by columns.

    Parameters
    ----------
    name : str
        For messages.
    names : sequence of str
        Names of its columns.
    load : callable
        From names of columns, and those among them whose digits are text, to a table.
    lacks : str
        That rows are missing, as of a catalogue whose run has not ended; empty if they are not, or nothing tells.
    """

    name: str
    names: Sequence[str]
    load: Callable[[Sequence[str], Collection[str]], Table]
    lacks: str = ""

    def find(self, wanted: str) -> str | None:
        """The column of a name, whatever the case of its letters if none has exactly these."""
        if wanted in self.names:
            return wanted
        return next((name for name in self.names if name.lower() == wanted.lower()), None)

    def named(self, wanted: str, asked_by: str) -> str:
        """The column of a name that a user has given, see `find`.

        Raises
        ------
        ComparisonError
            There is none.
        """
        found = self.find(wanted)
        if found is None:
            close = get_close_matches(wanted.lower(), [name.lower() for name in self.names], n=1)
            hint = f"did you mean {self.find(close[0])}? It" if close else "it"
            raise ComparisonError(f"{asked_by}: {self.name} has no column {wanted}: {hint} has {_some(self.names)}.")
        return found

    def read(self, names: Collection[str], as_text: Collection[str] = ()) -> Table:
        """Columns as a table.

        Parameters
        ----------
        names : collection of str
        as_text : collection of str
            Those whose digits are to be kept as they are where the file is text: identifiers, chains of flags.

        Raises
        ------
        ComparisonError
            The file is damaged, or a column has arrays.
        """
        with _about(self.name):
            table = self.load(list(names), set(as_text))
        for name in names:
            if table[name].ndim > 1:
                raise ComparisonError(
                    f"{self.name}: column {name} has arrays of {table[name].shape[1:]}: name another."
                )
        return table


def opened_table(given: str | os.PathLike | Table) -> Columns:
    """A file, a folder of Parquet files, or a table in memory.

    Raises
    ------
    ComparisonError
        It is not there, of an unknown ending, or cannot be read.

    Warns
    -----
    SpectrumWarning
        It is the folder of a catalogue whose run has not ended.
    """
    if isinstance(given, Table):
        return Columns("the table", given.colnames, lambda names, as_text: given[names])
    if not isinstance(given, str | os.PathLike):
        raise ComparisonError(
            f"{reprlib.repr(given)} is a {type(given).__name__}: give the path of a file or folder, or a Table."
        )
    path = Path(given)
    if not path.exists():
        raise ComparisonError(f"{path} does not exist: give a table file, or a folder of Parquet files.")
    with _about(str(path)):
        names, load = _OPENERS[_format(path)](path)
    lacks = _lacks(path)
    if lacks:
        warnings.warn(lacks, SpectrumWarning, stacklevel=3)
    return Columns(str(path), names, load, lacks)


def _lacks(path: Path) -> str:
    """That stars are missing in a folder, as far as it is that of a catalogue; empty if none are."""
    unfinished = path.is_dir() and groups_of(path) is not None and not has_ended(path, parts_of(path))
    return f"{path}: {UNFINISHED}" if unfinished else ""


def _format(path: Path) -> str:
    if path.is_dir():
        return "parquet"
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in _FORMATS:
        raise ComparisonError(f"{path}: the ending '{path.suffix}' is unknown; use one of {', '.join(_FORMATS)}.")
    return "ecsv" if suffix == ".csv" and _first_line(path).startswith("# %ECSV") else _FORMATS[suffix]


class _about:
    """What goes wrong with a table becomes one error that names it; warnings about its units are of no use here."""

    def __init__(self, name: str):
        self._name, self._warnings = name, warnings.catch_warnings()

    def __enter__(self) -> None:
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind, error, trace) -> None:
        self._warnings.__exit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, RvsemuError | MemoryError):
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ComparisonError(f"{self._name} cannot be read as a table ({reason}): get a fresh copy.") from error


# ---------------------------------------------------------------- formats
def _open_fits(path: Path) -> tuple[list[str], Callable]:
    with fits.open(path, memmap=True) as hdus:
        number = next((i for i, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if number is None:
            raise ValueError("it has no table")
        names = list(hdus[number].columns.names)

    def load(chosen, as_text):
        with fits.open(path, memmap=True) as hdus:
            columns = [hdus[number].columns[name] for name in chosen]
            signed = fits.ColDefs([column for column in columns if column.bzero != _UNSIGNED])
            table = Table.read(fits.BinTableHDU.from_columns(signed), format="fits") if len(signed) else Table()
            for column in columns:
                if column.bzero == _UNSIGNED:
                    table[column.name] = np.array(hdus[number].data[column.name])
            return table[list(chosen)]

    return names, load


def _open_csv(path: Path) -> tuple[list[str], Callable]:
    names = [name.strip() for name in next(csv.reader([_first_line(path)]), [])]
    if not names:
        raise ValueError("it is empty")

    def load(chosen, as_text):
        given = {name: [ascii.convert_numpy(str)] for name in chosen if name in as_text}
        options = {"include_names": chosen, "converters": given, "fill_values": _MISSING, "guess": False}
        return ascii.read(str(path), format="csv", encoding=_ENCODING, **options)

    return names, load


def _first_line(path: Path) -> str:
    open_it = gzip.open if path.suffix.lower() == ".gz" else open
    with open_it(path, "rt", encoding=_ENCODING, newline="") as file:
        return file.readline().rstrip("\r\n")


def _open_ecsv(path: Path) -> tuple[list[str], Callable]:
    return _whole(Table.read(path, format="ascii.ecsv", fill_values=_MISSING[:2]))


def _open_votable(path: Path) -> tuple[list[str], Callable]:
    return _whole(Table.read(path, format="votable"))


def _whole(table: Table) -> tuple[list[str], Callable]:
    return table.colnames, lambda chosen, as_text: table[chosen]


def _open_parquet(path: Path) -> tuple[list[str], Callable]:
    pq = arrow()
    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not paths:
        raise ComparisonError(f"{path}: no Parquet file is in this folder; give that of 'rvsemu catalog fit -o'.")

    schema = pq.read_schema(paths[0])
    units = _units(schema)

    def load(chosen, as_text):
        import pyarrow as pa

        masks = [mask for name in chosen if (mask := f"{name}{_MASK}") in schema.names]
        data = pa.concat_tables([pq.read_table(p, columns=[*chosen, *masks], partitioning=None) for p in paths])
        plain = data.cast(pa.schema([_plain_field(field) for field in data.schema]))
        table = Table({name: table_column(plain, name) for name in chosen}, masked=bool(masks), copy=False)
        for name in chosen:
            table[name].unit = table[name].unit or units.get(name)
        for mask in masks:
            table[mask.removesuffix(_MASK)].mask |= np.asarray(table_column(plain, mask), dtype=bool)
        return table

    return [name for name in schema.names if not name.endswith(_MASK)], load


def _units(schema: Any) -> dict[str, str]:
    """Units of columns in a file that astropy has written."""
    text = (schema.metadata or {}).get(b"table_meta_yaml", b"").decode()
    columns = get_header_from_yaml(text.splitlines())["datatype"] if text else []
    return {column["name"]: column["unit"] for column in columns if "unit" in column}


def _plain_field(field: Any) -> Any:
    """The field with text and numbers as plain ones, which pandas, databases and others write in several types."""
    import pyarrow as pa

    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_decimal(kind):
        return field.with_type(pa.float64() if kind.scale else pa.int64())
    texts = [pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary]
    return field.with_type(pa.string() if any(is_a(kind) for is_a in texts) else kind)


_OPENERS: dict[str, Callable[[Path], tuple[list[str], Callable]]] = {
    "fits": _open_fits,
    "csv": _open_csv,
    "ecsv": _open_ecsv,
    "votable": _open_votable,
    "parquet": _open_parquet,
}


# ---------------------------------------------------------------- values
def identifiers_of(column: Any, where: str) -> np.ndarray:
    """Gaia source_ids as int64, shape (n,); 0 where there is none, which is what is masked, not positive or no number.

    Raises
    ------
    ComparisonError
        They are floats, or text of rounded numbers: the last digits are lost.
    """
    values, missing = plain_of(column)
    if values.dtype.kind == "f" and np.any(~missing & np.isfinite(values)):
        raise ComparisonError(f"{where} has floats, which lose the last digits: write source_ids as int64 or as text.")
    if values.dtype.kind in "iu":
        # compared before they are converted, as 2**63 and more would become negative or wrap around
        known = ~missing & (values > 0) & (values <= np.iinfo(np.int64).max)
        return np.where(known, values, 0).astype(np.int64)
    if values.dtype.kind == "f":
        return np.zeros(len(values), dtype=np.int64)
    return np.array([_identifier(text, where) for text in texts_of(column)], dtype=np.int64)


def _identifier(text: str, where: str) -> int:
    if _ROUNDED.fullmatch(text):
        raise ComparisonError(f"{where} has '{text}', a rounded number: write source_ids as int64 or as whole digits.")
    found = _DIGITS.fullmatch(text)
    number = int(found[1]) if found else 0
    return number if number < 2**63 else 0


def texts_of(column: Any) -> list[str]:
    """Text of each row, without blanks around it; empty where it is masked."""
    values, missing = plain_of(column)
    plain = (x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in values.tolist())
    return ["" if gone else text.strip() for text, gone in zip(plain, missing, strict=True)]


def floats_of(column: Any, where: str) -> np.ndarray:
    """Numbers, shape (n,); NaN where they are masked.

    Raises
    ------
    ComparisonError
        The column has no numbers.
    """
    values, missing = plain_of(column)
    if missing.all():
        return np.full(np.shape(values), np.nan)
    if values.dtype.kind not in "iufb":
        raise ComparisonError(f"{where} has text, not numbers: name another column.")
    return np.where(missing, np.nan, values.astype(float))


def plain_of(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Plain values and where they are masked, of a Column or a Quantity, masked or not."""
    values = getattr(column, "value", column)
    mask = np.broadcast_to(np.asarray(getattr(values, "mask", False)), np.shape(values))
    plain = getattr(values, "unmasked", np.ma.getdata(values))
    return np.asarray(plain), np.array(mask, dtype=bool)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
