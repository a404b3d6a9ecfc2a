"""Known labels of stars from a table, each with the spectrum that it belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.table import Table
from specutils import Spectrum

from ..comparison.cuts import Cut
from ..comparison.reference import LABELS, label_values, labels_of, recognised
from ..comparison.tables import Columns, identifiers_of, opened_table, texts_of
from ..emulator import LabelSpace
from ..errors import CalibrationError, SettingsError
from .stars import Star

__all__ = ["LabelTable", "Wanted", "matched"]

_FILES = ("file", "filename", "file_name", "path")


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a table of labels.

    Parameters
    ----------
    space : LabelSpace
        Of the emulator.
    columns : mapping of str to str
        Names of columns by what they are: ``source_id``, ``file``, a label, or a label with ``_error``.
    errors : mapping of str to float
        Errors of labels where the table has none.
    cuts : sequence of str
        Conditions that a row must meet, such as ``"flag_sp == 0"``.

    Raises
    ------
    SettingsError
        One of them is unknown, or an error is not positive.
    """

    space: LabelSpace
    columns: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    cuts: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.cuts, str):
            raise SettingsError(f"cuts={self.cuts!r} is one text: give a list of them.")
        names = self.space.names
        roles = ("source_id", "file", *names, *(f"{name}_error" for name in names))
        if unknown := sorted(set(self.columns) - set(roles)):
            raise SettingsError(f"column '{unknown[0]}': name one of {', '.join(roles)}, as in teff=MYTEFF.")
        for name, error in self.errors.items():
            if name not in names:
                raise SettingsError(f"label error '{name}': name one of {', '.join(names)}, as in teff=80.")
            if not (isinstance(error, int | float | np.number) and 0 < error < np.inf):
                raise SettingsError(f"label error of {name}, {error!r}: give a positive number.")


@dataclass(frozen=True)
class LabelTable:
    """Labels of stars, one row per star.

    Parameters
    ----------
    name : str
    source_id : ndarray of int64, shape (n,)
        0 where there is none.
    files : mapping of str to list of int
        Rows of each file name, with and without its ending and the folders that it is in.
    values, errors : mapping of str to ndarray, shape (n,)
        In the units of the emulator's labels; NaN where there is none.
    good : ndarray of bool, shape (n,)
        Rows that meet the cuts.
    columns : mapping of str to str
        What was read: names of columns, by what they are.
    """

    name: str
    source_id: np.ndarray
    files: Mapping[str, list[int]]
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    good: np.ndarray
    columns: Mapping[str, str]

    @classmethod
    def read(cls, given: str | os.PathLike | Table, wanted: Wanted) -> LabelTable:
        """The labels of a table of any format that `rvsemu.comparison` reads.

        Raises
        ------
        ComparisonError
            The table cannot be read, or a column that was named is not there or of the wrong kind.
        CalibrationError
            There are no rows, neither source_ids nor file names, no labels, or labels without errors.
        """
        table = opened_table(given)
        columns = _columns(table, wanted)
        cuts = [Cut.parse(text).of(table) for text in wanted.cuts]
        names = dict.fromkeys([*columns.values(), *(cut.column for cut in cuts)])
        data = table.read(names, as_text=[columns[r] for r in _KEYS if r in columns])
        if not len(data):
            raise CalibrationError(f"{table.name} has no rows: there are no labels to calibrate with.")
        good = np.all([np.full(len(data), True), *(cut.met(data[cut.column]) for cut in cuts)], axis=0)
        values, errors = labels_of(table, data, columns)
        for name in set(wanted.space.names) - set(LABELS):
            for kind, into in ((name, values), (f"{name}_error", errors)):
                if kind in columns:
                    where = f"{table.name}: column {columns[kind]}"
                    into[name] = label_values(data[columns[kind]], name, wanted.space[name].unit, where)
        values = {name: values[name] for name in wanted.space.names if name in values}
        for name in values:
            stated = errors.get(name, np.full(len(data), np.nan))
            assumed = wanted.errors.get(name, np.nan)
            errors[name] = np.where(np.isfinite(stated) & (stated > 0), stated, assumed)
            if not np.isfinite(errors[name]).any():
                raise CalibrationError(
                    f"{table.name}: {name} has no errors: name their column (--column {name}_error=NAME), or state one "
                    f"for all stars (--label-error {name}=VALUE)."
                )
        source_id = _source_ids(table, data, columns)
        return cls(table.name, source_id, _files(data, columns), values, errors, good, columns)

    @cached_property
    def rows(self) -> dict[int, int]:
        """Row of each source_id; of several with the same, the first good one, or else the first."""
        rows = np.argsort(~self.good, kind="stable")[::-1].tolist()
        return {int(self.source_id[row]): row for row in rows if self.source_id[row] > 0}

    def labels_for(self, spectrum: Spectrum) -> dict[str, tuple[float, float]] | str:
        """Labels with errors of the star of a spectrum, or why there are none."""
        row = self._row(spectrum.meta.get("source_id"), str(spectrum.meta.get("file", "")))
        if isinstance(row, str):
            return row
        if not self.good[row]:
            return "does not meet the cuts"
        pairs = {name: (float(self.values[name][row]), float(self.errors[name][row])) for name in self.values}
        if missing := [name for name, pair in pairs.items() if not np.isfinite(pair).all()]:
            return f"no {missing[0]}, or no error of it, in the table"
        return pairs

    def _row(self, source_id: int | None, file: str) -> int | str:
        """Row of a spectrum, or why there is none: of its file name only if it or the row has no source_id."""
        if source_id in self.rows:
            return self.rows[source_id]
        name = next((name for name in _names(file) if name in self.files), "")
        rows = [row for row in self.files.get(name, ()) if not (source_id and self.source_id[row])]
        if len(rows) > 1:
            return f"{len(rows)} rows of the table have the file name {name}"
        return rows[0] if rows else "not in the table"


_KEYS = ("source_id", "file")


def matched(table: LabelTable, spectra: Sequence[Spectrum]) -> tuple[list[Star], list[tuple[str, str]]]:
    """Stars whose labels are known, and (name, reason) of the spectra that are left out.

    Raises
    ------
    CalibrationError
        No spectrum has labels.
    """
    stars, rejects = [], []
    for number, spectrum in enumerate(spectra):
        name = str(spectrum.meta.get("source_id") or spectrum.meta.get("file") or f"spectrum {number}")
        found = table.labels_for(spectrum)
        if isinstance(found, str):
            rejects.append((name, found))
        else:
            stars.append(Star(name, spectrum, found))
    if not stars:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in rejects[:3])
        there = ", ".join(map(str, [*table.rows, *table.files][:3])) or "no rows"
        raise CalibrationError(
            f"none of {len(spectra)} spectra has labels in {table.name} ({reasons}; the table has {there}, ...): are "
            "they the same stars? Name the column of source_ids or of file names, --column source_id=NAME or --column "
            "file=NAME."
        )
    return stars, rejects


def _columns(table: Columns, wanted: Wanted) -> dict[str, str]:
    """Names of columns by what they are."""
    out = recognised(table, wanted.columns)
    out = {role: name for role, name in out.items() if role.split("_")[0] in wanted.space.names or role in _KEYS}
    found = next((column for name in _FILES if (column := table.find(name))), None)
    if "file" not in out and found:
        out["file"] = found
    if not set(_KEYS) & set(out):
        raise CalibrationError(
            f"{table.name}: no column of Gaia source_ids or of file names is recognised among "
            f"{', '.join(table.names[:30])}: name it, --column source_id=NAME or --column file=NAME."
        )
    if not set(wanted.space.names) & set(out):
        raise CalibrationError(
            f"{table.name}: no column of labels is recognised among {', '.join(table.names[:30])}: name at least one "
            f"of {', '.join(wanted.space.names)}, as in --column teff=NAME."
        )
    return out


def _source_ids(table: Columns, data: Table, columns: Mapping[str, str]) -> np.ndarray:
    if "source_id" not in columns:
        return np.zeros(len(data), dtype=np.int64)
    return identifiers_of(data[columns["source_id"]], f"{table.name}: column {columns['source_id']}")


def _files(data: Table, columns: Mapping[str, str]) -> dict[str, list[int]]:
    """Rows of each file name."""
    out: dict[str, list[int]] = {}
    for row, text in enumerate(texts_of(data[columns["file"]]) if "file" in columns else ()):
        for name in _names(text):
            out.setdefault(name, []).append(row)
    return out


def _names(text: str) -> list[str]:
    """Names of a file: its whole path, with ever fewer of its folders, and at last without its ending."""
    parts = Path(text.replace(":", "/")).parts  # a member of an archive is path:member
    names = [str(Path(*parts[i:])) for i in range(len(parts))]
    return list(dict.fromkeys([*names, Path(parts[-1]).stem])) if names else []
