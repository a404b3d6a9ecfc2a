"""The catalogue that fits are compared with: which of its columns are what, in which units, and which rows are good."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from ..emulator.stated_units import check_gravity, scale
from ..errors import ComparisonError, SettingsError
from .cuts import Cut
from .gspspec import CHARACTERS, EXTRAPOL, calibrate, worst_flag
from .tables import Columns, floats_of, identifiers_of, opened_table, texts_of

__all__ = [
    "LABELS",
    "ROLES",
    "Reference",
    "Wanted",
    "label_values",
    "labels_of",
    "read_reference",
    "recognised",
]

LABELS: dict[str, str] = {"teff": "K", "logg": "dex", "mh": "dex", "alpha": "dex"}
"""Labels that are compared, and their units."""

_KNOWN: dict[str, tuple[str, ...]] = {
    "source_id": (
        *("source_id", "gaiadr3_source_id", "gaia_dr3_source_id", "dr3_source_id", "gaiaedr3_source_id"),
        *("gaia_source_id", "gaiadr3", "gaiaedr3"),
    ),
    "teff": ("teff_gspspec", "teff"),
    "logg": ("logg_gspspec", "logg"),
    "mh": ("mh_gspspec", "m_h", "mh", "fe_h", "feh"),
    "alpha": ("alphafe_gspspec", "alpha_m", "alpha_fe", "alphafe", "alpha"),
    "flags": ("flags_gspspec",),
}
"""Names by which columns are recognised, whatever their case.

Those of GSP-Spec; of APOGEE, ``GAIAEDR3_SOURCE_ID, TEFF, LOGG, M_H, ALPHA_M``; of GALAH DR3 and DR4, ``dr3_source_id``
or ``gaiadr3_source_id, teff, logg, fe_h, alpha_fe``; of LAMOST, ``gaia_source_id, teff, logg, feh, alpha_m``; and of
rvsemu itself.
"""
_ERRORS = ("{}_error", "{}_err", "e_{}", "{}_uncertainty")
_ENDS = ("{}_lower", "{}_upper")

ROLES = (*("source_id", "flags"), *LABELS, *(f"{label}_error" for label in LABELS))
"""What a column can be named as."""

_ABSENT = -999.0  # surveys write -999, -9999 or -9999.99 where there is no value


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a reference.

    Parameters
    ----------
    columns : mapping of str to str
        Names of columns, by what they are: see `ROLES`.
    cuts : sequence of str
        Conditions that a row must meet.
    calibrated : bool
        Whether GSP-Spec's calibrations are applied.
    gspspec_flags : int, optional
        Highest value that its first 13 flags may have; 9 allows all rows. Default: 0, where there are flags.

    Raises
    ------
    SettingsError
        One of them is unknown or out of range.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    cuts: Sequence[str] = ()
    calibrated: bool = True
    gspspec_flags: int | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.columns) - set(ROLES)):
            raise SettingsError(f"column '{unknown[0]}': name one of {', '.join(ROLES)}, as in teff=MYTEFF.")
        limit = self.gspspec_flags
        if limit is not None and (isinstance(limit, bool) or limit not in range(10)):
            raise SettingsError(f"gspspec_flags={limit!r}: give a whole number from 0, the best alone, to 9, all rows.")
        if isinstance(self.cuts, str):
            raise SettingsError(f"cuts={self.cuts!r} is one text: give a list of them.")


@dataclass(frozen=True)
class Reference:
    """Labels of a reference, one row per star.

    Parameters
    ----------
    name : str
    source_id : ndarray of int64, shape (n,)
        In ascending order, each once.
    labels, errors : mapping of str to ndarray, shape (n,)
        In K or dex; NaN where there is no value. A label without errors is not in `errors`.
    columns : mapping of str to str
        What was read: names of columns, by what they are.
    steps : sequence of (str, int)
        Rows that were left after each step.
    seen : ndarray of int64
        Source_ids of all rows before any was left out, in ascending order, each once.
    notes : sequence of str
        What else to know.
    """

    name: str
    source_id: np.ndarray
    labels: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    columns: Mapping[str, str]
    steps: Sequence[tuple[str, int]]
    seen: np.ndarray
    notes: Sequence[str] = ()

    def take(self, rows: np.ndarray) -> Reference:
        """Some of the rows, or those of a mask."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        errors = {name: values[rows] for name, values in self.errors.items()}
        return replace(self, source_id=self.source_id[rows], labels=labels, errors=errors)


def read_reference(given: str | os.PathLike | Table, wanted: Wanted, name: str | None = None) -> Reference:
    """The labels of a table, in the units of ours, of the rows that are good.

    Parameters
    ----------
    given : path or Table
    wanted : Wanted
    name : str, optional
        What to call it. Default: the name of the file.

    Raises
    ------
    ComparisonError
        A column is missing, of the wrong kind of unit, or not of numbers.
    """
    table = opened_table(given)
    columns = _columns(table, wanted.columns)
    cuts = [Cut.parse(text).of(table) for text in wanted.cuts]
    data = table.read(
        dict.fromkeys([*columns.values(), *(cut.column for cut in cuts)]),
        as_text=[columns[role] for role in ("source_id", "flags") if role in columns],
    )
    name = name or (Path(given).name if isinstance(given, str | os.PathLike) else "the reference")
    labels, errors = labels_of(table, data, columns)
    source_id = identifiers_of(data[columns["source_id"]], f"{table.name}: column {columns['source_id']}")
    every = Reference(name, source_id, labels, errors, columns, [], np.unique(source_id[source_id > 0]))
    flags = texts_of(data[columns["flags"]]) if "flags" in columns else None
    good, steps = _good(every, data, cuts, flags, wanted)
    calibrated, notes = _calibrated(every, flags, wanted)
    notes = [*notes, table.lacks] if table.lacks else notes
    return _one_row_each(replace(calibrated, steps=steps, notes=notes), good)


# ---------------------------------------------------------------- columns
def recognised(table: Columns, named: Mapping[str, str]) -> dict[str, str]:
    """Names of columns by what they are: those that are named, and those that are recognised.

    Raises
    ------
    ComparisonError
        There is no column of a name that was given.
    """
    out = {role: table.named(name, f"--column {role}={name}") for role, name in named.items()}
    for role, names in _KNOWN.items():
        found = next((column for name in names if (column := table.find(name))), None)
        if role not in out and found:
            out[role] = found
    for label in LABELS:
        if label in out and f"{label}_error" not in out:
            out |= _error_columns(table, label, out[label])
    return out


def _columns(table: Columns, named: Mapping[str, str]) -> dict[str, str]:
    """What is `recognised`, if it is enough."""
    out = recognised(table, named)
    if "source_id" not in out:
        raise ComparisonError(
            f"{table.name}: no column of Gaia source_ids is recognised among {', '.join(table.names[:30])}: "
            "name it, --column source_id=NAME."
        )
    if not set(LABELS) & set(out):
        raise ComparisonError(
            f"{table.name}: no column of labels is recognised among {', '.join(table.names[:30])}: "
            f"name at least one of {', '.join(LABELS)}, as in --column teff=NAME."
        )
    return out


def _error_columns(table: Columns, label: str, column: str) -> dict[str, str]:
    """The column of errors that goes with one of labels, or the two of the ends of its interval."""
    for pattern in _ERRORS:
        if found := table.find(pattern.format(column)):
            return {f"{label}_error": found}
    ends = [table.find(pattern.format(column)) for pattern in _ENDS]
    return {f"{label}_{end}": name for end, name in zip(("lower", "upper"), ends, strict=True) if name and all(ends)}


# ---------------------------------------------------------------- values
def labels_of(table: Columns, data: Table, columns: Mapping[str, str]) -> tuple[dict, dict]:
    """Labels and errors in K or dex, by label, of `data` that were read from a table's `columns`.

    Raises
    ------
    ComparisonError
        A unit is of another kind, or there are no numbers.
    """

    def values(role: str, label: str) -> np.ndarray:
        column, where = data[columns[role]], f"{table.name}: column {columns[role]}"
        found = label_values(column, label, LABELS[label], where)
        return found if role.endswith("_error") else found + scale(getattr(column, "unit", None), LABELS[label])[1]

    labels, errors = {}, {}
    for label in LABELS:
        if label in columns:
            labels[label] = values(label, label)
        if f"{label}_error" in columns:
            errors[label] = values(f"{label}_error", label)
        elif f"{label}_lower" in columns:
            errors[label] = (values(f"{label}_upper", label) - values(f"{label}_lower", label)) / 2
        if label in errors:
            errors[label] = np.where(errors[label] > 0, errors[label], np.nan)
    if "teff" in labels:
        labels["teff"] = np.where(labels["teff"] > 0, labels["teff"], np.nan)
    return labels, errors


def label_values(column: Any, label: str, unit: str, where: str) -> np.ndarray:
    """A column of a label, or of its errors, in the unit of the label.

    Parameters
    ----------
    column : Column or Quantity, shape (n,)
        Without a unit, it is taken to be in the right one; so is what surveys call the unit of a logarithm.
    label, unit : str
    where : str
        For messages.

    Returns
    -------
    ndarray, shape (n,)
        NaN where it is masked or -999 and less.

    Raises
    ------
    ComparisonError
        The unit is of another kind, there are no numbers, or there are gravities instead of their logarithms.
    """
    plain = floats_of(column, where)
    known = np.where(np.isfinite(plain) & (plain > _ABSENT), plain, np.nan)
    stated = getattr(column, "unit", None)
    try:
        factor = scale(stated, unit)[0]
        if unit == "dex":
            check_gravity(known, stated)
    except (u.UnitsError, TypeError):
        raise ComparisonError(
            f"{where} is in {stated}: {label} has the unit {unit}; name another column, or change its unit."
        ) from None
    except ValueError as error:
        raise ComparisonError(f"{where} {error}.") from None
    return known * factor


# ---------------------------------------------------------------- rows
def _good(
    every: Reference, data: Table, cuts: Sequence[Cut], flags: list[str] | None, wanted: Wanted
) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Which rows are left after all steps, and how many after each."""
    good = every.source_id > 0
    steps = [("rows", len(good)), ("with a source_id", int(good.sum()))]
    for text, passed in [*_by_flags(every, flags, wanted), *((cut.text, cut.met(data[cut.column])) for cut in cuts)]:
        good = good & passed
        steps.append((text, int(good.sum())))
    return good, steps


def _by_flags(every: Reference, flags: list[str] | None, wanted: Wanted) -> list[tuple[str, np.ndarray]]:
    if flags is None:
        if wanted.gspspec_flags is not None:
            raise ComparisonError(
                f"{every.name} has no column flags_gspspec: leave gspspec_flags (--gspspec-flags) away, or name the "
                "column, --column flags=NAME."
            )
        return []
    limit = wanted.gspspec_flags or 0
    if limit == 9:
        return [("flags_gspspec: any", np.ones(len(flags), dtype=bool))]
    worst = worst_flag(flags)
    stated = worst >= 0
    text = f"its first {len(CHARACTERS)} characters up to {limit}"
    return [("with flags_gspspec as defined", stated), (text, stated & (worst <= limit))]


def _calibrated(every: Reference, flags: list[str] | None, wanted: Wanted) -> tuple[Reference, list[str]]:
    """The labels with the corrections of GSP-Spec, if they are its labels, and what was done."""
    mine = [label for label in every.labels if every.columns[label].lower().endswith("_gspspec") and label != "teff"]
    if not mine:
        return every, []
    if not wanted.calibrated:
        return every, [f"GSP-Spec's {', '.join(mine)} as published, without calibration"]
    if "logg" not in mine:
        return every, ["GSP-Spec's calibrations need logg_gspspec, which is not there: labels as published"]
    logg = every.labels["logg"]
    labels = dict(every.labels) | {label: calibrate(label, every.labels[label], logg) for label in mine}
    if "alpha" in mine and flags is not None:
        inside = np.array([text[EXTRAPOL : EXTRAPOL + 1] == "0" for text in flags], dtype=bool)
        labels["alpha"] = np.where(inside, labels["alpha"], np.nan)
    text = f"GSP-Spec's {', '.join(mine)} calibrated (Recio-Blanco et al. 2023, A&A 674, A29, Table 3)"
    return replace(every, labels=labels), [text]


def _one_row_each(every: Reference, good: np.ndarray) -> Reference:
    """The good rows in the order of their source_ids; of several with one source_id, the first in the table."""
    rows = np.flatnonzero(good)
    _, first = np.unique(every.source_id[rows], return_index=True)
    steps = [*every.steps, ("first of its source_id", len(first))]
    return replace(every.take(rows[first]), steps=steps)
