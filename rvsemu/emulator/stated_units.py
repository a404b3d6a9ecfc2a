"""Units that columns of tables and arguments state, and what their numbers are in those of labels and wavelengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u

from ..errors import RvsemuError

__all__ = ["check_gravity", "number", "pair", "scale"]

_HIGHEST = 10.0  # of the logarithm of a gravity, far above that of any star


def scale(unit: Any, wanted: str) -> tuple[float, float]:
    """What the numbers of a column are to be multiplied with, and what is then to be added to them.

    To errors nothing is to be added.

    Parameters
    ----------
    unit : unit, str or None
        Of the column. None, an empty or an unknown one: taken to be the right one; so is what surveys call the unit of
        a logarithm.
    wanted : str
        Unit of the label.

    Raises
    ------
    UnitsError or TypeError
        The unit is of another kind.

    Examples
    --------
    >>> from rvsemu.emulator.stated_units import scale
    >>> scale("kK", "K"), scale("dex(m / s2)", "dex"), scale(None, "km/s")
    ((1000.0, 0.0), (1.0, 2.0), (1.0, 0.0))
    """
    found = _known(unit)
    if found is None:
        return 1.0, 0.0
    if wanted == "dex" and _is_logarithm(found):
        return 1.0, _zero(found)
    return float(found.to(wanted)), 0.0


def check_gravity(values: np.ndarray, unit: Any) -> None:
    """Raise a `ValueError` if values are gravities, and not their logarithms, by which tables mean the same unit."""
    found = _known(unit)
    if found is None or not _is_gravity(found):
        return
    highest = np.max(values, initial=0.0, where=np.isfinite(values))
    if highest > _HIGHEST:
        raise ValueError(f"has values up to {highest:g} {found}, which are no logarithms: take log10 of them in cm/s2")


def number(error: type[RvsemuError], name: str, value: Any, unit: str) -> float:
    """A number, or a Quantity as one in `unit`; an `error` that names the argument if it is neither.

    Examples
    --------
    >>> from astropy import units as u
    >>> from rvsemu.emulator.stated_units import number
    >>> from rvsemu.errors import LibraryFileError
    >>> number(LibraryFileError, "step", 0.01 * u.nm, "Angstrom")
    0.1
    """
    try:
        if isinstance(value, str | bool):
            raise TypeError
        factor, zero = scale(getattr(value, "unit", None), unit)
        found = float(getattr(value, "value", value))
    except (TypeError, ValueError):
        raise error(f"{name}={value!r}: give a number{f' in {unit}' if unit else ''}.") from None
    if (factor, zero) == (1.0, 0.0):
        return value if isinstance(value, int | float) else found
    return float(f"{found * factor + zero:.12g}")  # 840 nm are 8400 A, and not 8399.999999999999 A


def pair(error: type[RvsemuError], name: str, values: Any, unit: str) -> tuple[float, float]:
    """Two numbers in `unit`, as `number`."""
    try:
        low, high = values
    except (TypeError, ValueError):
        raise error(f"{name}={values!r}: give two numbers, the lower first.") from None
    return number(error, name, low, unit), number(error, name, high, unit)


def _known(unit: Any) -> Any:
    found = u.Unit(unit.strip(), parse_strict="silent") if isinstance(unit, str) else unit
    return None if isinstance(found, u.UnrecognizedUnit) or not str(found or "").strip() else found


def _is_logarithm(unit: Any) -> bool:
    return isinstance(unit, u.function.FunctionUnitBase) or unit == u.dimensionless_unscaled or _is_gravity(unit)


def _is_gravity(unit: Any) -> bool:
    """Whether a unit is that of a gravity, by which some tables mean that of its logarithm."""
    return not isinstance(unit, u.function.FunctionUnitBase) and unit.physical_type == "acceleration"


def _zero(unit: Any) -> float:
    """Logarithm of the unit of a gravity in cm/s2: what is to be added to log g."""
    physical = getattr(unit, "physical_unit", unit)
    if not _is_gravity(physical):
        return 0.0
    return float(np.log10(physical.to(u.cm / u.s**2)))
