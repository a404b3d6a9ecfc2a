"""Known labels of stars from a table, each with the spectrum that it belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.table import Table
from specutils import Spectrum

from ..comparison.cuts import Cut
from ..comparison.reference import LABELS, labels_of, recognised
from ..comparison.tables import Columns, floats_of, identifiers_of, opened_table, texts_of
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
    rows : mapping of (int or str) to int
        Row of each source_id, and of each file name with and without its ending.
    values, errors : mapping of str to ndarray, shape (n,)
        In the units of the emulator's labels; NaN where there is none.
    good : ndarray of bool, shape (n,)
        Rows that meet the cuts.
    columns : mapping of str to str
        What was read: names of columns, by what they are.
    """

    name: str
    rows: Mapping[int | str, int]
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
            There are neither source_ids nor file names, no labels, or labels without errors.
        """
        table = opened_table(given)
        columns = _columns(table, wanted)
        cuts = [Cut.parse(text).of(table) for text in wanted.cuts]
        names = dict.fromkeys([*columns.values(), *(cut.column for cut in cuts)])
        data = table.read(names, as_text=[columns[r] for r in _KEYS if r in columns])
        good = np.all([np.full(len(data), True), *(cut.met(data[cut.column]) for cut in cuts)], axis=0)
        values, errors = labels_of(table, data, columns)
        for name in set(wanted.space.names) - set(LABELS):
            for kind, into in ((name, values), (f"{name}_error", errors)):
                if kind in columns:
                    into[name] = floats_of(data[columns[kind]], f"{table.name}: column {columns[kind]}")
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
        return cls(table.name, _rows(table, data, columns, good), values, errors, good, columns)

    def labels_for(self, spectrum: Spectrum) -> dict[str, tuple[float, float]] | str:
        """Labels with errors of the star of a spectrum, or why there are none."""
        keys = [spectrum.meta.get("source_id"), *_names(str(spectrum.meta.get("file", "")))]
        row = next((self.rows[key] for key in keys if key in self.rows), None)
        if row is None:
            return "not in the table"
        if not self.good[row]:
            return "does not meet the cuts"
        pairs = {name: (float(self.values[name][row]), float(self.errors[name][row])) for name in self.values}
        if missing := [name for name, pair in pairs.items() if not np.isfinite(pair).all()]:
            return f"no {missing[0]}, or no error of it, in the table"
        return pairs


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
        raise CalibrationError(
            f"none of {len(spectra)} spectra has labels in {table.name} ({reasons}; the table has "
            f"{', '.join(str(key) for key in list(table.rows)[:3]) or 'no rows'}, ...): are they the same stars? Name "
            "the column of source_ids or of file names, --column source_id=NAME or --column file=NAME."
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


def _rows(table: Columns, data: Table, columns: Mapping[str, str], good: np.ndarray) -> dict[int | str, int]:
    """Row of each source_id and file name; of several with the same, the first good one, or else the first."""
    out: dict[int | str, int] = {}
    order = np.argsort(~good, kind="stable").tolist()
    if "source_id" in columns:
        where = f"{table.name}: column {columns['source_id']}"
        numbers = identifiers_of(data[columns["source_id"]], where).tolist()
        for row in order:
            if numbers[row] > 0:
                out.setdefault(numbers[row], row)
    if "file" in columns:
        texts = texts_of(data[columns["file"]])
        for row in order:
            for name in _names(texts[row]):
                out.setdefault(name, row)
    return out


def _names(text: str) -> list[str]:
    """A file name without its folder, with and without its ending."""
    path = Path(text.rsplit(":", 1)[-1])  # of a member of an archive, path:member
    return [path.name, path.stem] if path.name else []
