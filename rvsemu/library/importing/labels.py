"""Tables of labels: which file or row of an array has which star."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from numpy.typing import ArrayLike

from ...emulator.stated_units import scale
from ...errors import LibraryFileError
from .reading import ENCODING
from .spectrum import ABUNDANCES, LABEL_UNITS, LABELS, Unusable, merged

__all__ = ["LabelTable", "agreeing", "in_unit", "label_name"]

_ALIASES = {
    "mh": ("m_h", "m/h", "feh", "fe_h", "fe/h", "metallicity", "met"),
    "teff": ("t_eff", "temperature"),
    "logg": ("log_g", "log(g)", "gravity"),
    "vmic": ("vturb", "xi", "v_micro", "microturbulence"),
    "alpha": ("alpha_fe", "alpha/fe", "afe", "alphafe", "alpha_m", "alpha/m"),
    "carbon": ("c_fe", "c/fe", "c_m", "c/m"),
    "rotation": ("vsini", "vrot"),
}
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_KEYS = ("file", "filename", "name", "specname", "spectrum", "path", "index", "id")
_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable", ".xml": "votable"}


def label_name(column: str) -> str | None:
    """The label that a column (or header keyword) of this name holds; None for none."""
    plain = column.strip().lower().strip("[]").replace("[", "").replace("]", "")
    name = _NAMES.get(plain, plain)
    return name if name in (*LABELS, *ABUNDANCES, "rotation") else None


def in_unit(label: str, values: ArrayLike, unit: Any) -> np.ndarray:
    """Numbers of a column of labels in K, km/s or dex, from the unit that the column states, if it does.

    Raises
    ------
    Unusable
        It is a unit of another kind.
    """
    wanted = LABEL_UNITS.get(label, "dex")
    try:
        factor, zero = scale(unit, wanted)
    except (u.UnitsError, TypeError):
        raise Unusable(f"{label} is in '{unit}': give it in {wanted}") from None
    return np.asarray(values, dtype=float) * factor + zero


def agreeing(found: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Labels from (column, label, value): one label may be in several columns.

    Raises
    ------
    Unusable
        They disagree.
    """
    return merged(**{f"column {column}": {label: value} for column, label, value in found})


class LabelTable:
    """Labels by name of the file.

    Parameters
    ----------
    path : path
        CSV, ECSV, FITS or VOTable with a column ``file`` (or ``name``, ``specname``, ``index`` ...) that holds the
        names of the files (with or without folder and endings) and columns ``teff``, ``logg``, ``mh``, ``vmic``,
        perhaps ``alpha``, ``carbon``, ``vsini``; in K, km/s and dex, or in units of these kinds that it states.

    Raises
    ------
    LibraryFileError
        The table cannot be read, has no such columns or one in another kind of unit, or names a file twice or not.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        table = _read(self.path)
        self.columns: dict[str, str] = {c: name for c in table.colnames if (name := label_name(c))}
        key = next((c for k in _KEYS for c in table.colnames if c.strip().lower() == k), None)
        if key is None or "teff" not in self.columns.values():
            raise LibraryFileError(
                f"labels={path} has the columns {', '.join(table.colnames)}: it needs 'file' (names of the spectra) "
                f"and {', '.join(LABELS)}."
            )
        self._units = {c: getattr(table[c], "unit", None) for c in self.columns}
        try:
            for column, label in self.columns.items():
                in_unit(label, (), self._units[column])
        except Unusable as reason:
            raise LibraryFileError(f"labels={path}: {reason}.") from None
        if np.any(nameless := np.ma.getmaskarray(table[key])):
            raise LibraryFileError(f"labels={path} has no {key} in row {np.argmax(nameless) + 1}: leave this row out.")
        self.names = [str(x).strip() for x in table[key]]
        self.rows: dict[str, dict[str, Any]] = {}
        for name, row in zip(self.names, table, strict=True):
            if name in self.rows:
                raise LibraryFileError(f"labels={path} has {name} twice: leave one row.")
            self.rows[name] = {column: row[column] for column in self.columns}

    def labels(self, path: Path) -> dict[str, float]:
        """Labels of the spectrum in the file `path`.

        Raises
        ------
        Unusable
            The table does not have it, or not as numbers, or two of its columns disagree.
        """
        name = self._name(path)
        if name is None:
            raise Unusable(f"the table {self.path.name} does not have it")
        return self._numbers(self.rows[name])

    def unused(self, paths: Iterable[Path]) -> list[str]:
        """Names in the table that none of the files `paths` has."""
        used = {self._name(path) for path in paths}
        return [name for name in self.rows if name not in used]

    def _name(self, path: Path) -> str | None:
        """What the table calls a file: with or without its folder, ``.gz`` and ending, or its folder alone."""
        stem = path.name.removesuffix(".gz")
        folder = path.absolute().parent.name
        names = (str(path), f"{folder}/{path.name}", path.name, stem, stem.rsplit(".", 1)[0], folder)
        return next((name for name in names if name in self.rows), None)

    def _numbers(self, row: Mapping[str, Any]) -> dict[str, float]:
        out = []
        for column, value in row.items():
            label = self.columns[column]
            try:
                number = np.nan if np.ma.is_masked(value) else float(value)
            except (TypeError, ValueError):
                number = np.nan
            if not np.isfinite(number):
                raise Unusable(f"{label} is {value} in the table {self.path.name}")
            out.append((column, label, float(in_unit(label, number, self._units[column]))))
        return agreeing(out)


def _read(path: Path) -> Table:
    if not path.exists():
        raise LibraryFileError(f"labels={path} does not exist: give a table of labels.")
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise LibraryFileError(f"labels={path}: the ending '{path.suffix}' is unknown; use {', '.join(_FORMATS)}.")
    try:
        return Table.read(path, format=kind, **({"encoding": ENCODING} if kind == "ascii.csv" else {}))
    except Exception as e:  # damaged tables make the readers raise a dozen unrelated classes
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise LibraryFileError(f"labels={path} cannot be read as a table ({reason}): check the file.") from None
