"""Units that columns of tables state for labels, and what their numbers are in the units of the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u

__all__ = ["check_gravity", "scale"]

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
