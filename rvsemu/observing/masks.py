"""Pixels that are left out besides bad ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u

from ..errors import SettingsError, SpectrumError
from ..physics.lines import CALCIUM_TRIPLET, DIFFUSE_BAND_AT
from ..physics.wavelengths import convert_medium

__all__ = ["DEFAULT_MASK", "MASKS", "Masks", "calcium_cores", "parse_mask"]

MASKS = {
    "calcium-cores": "within 1.5 A of the Ca II triplet, in the rest frame of the star: chromospheres and "
    "departures from LTE fill or deepen the cores, and synthetic spectra do not know them",
    "diffuse-band": "within 6 A of 8620.4 A (in air) in the frame of the spectrum: an interstellar band, which stars "
    "behind much dust have; it is up to 6 % deep, and moved by the velocity of the clouds",
    "edges": "the outermost 1 A of the measured range at either end: fewer CCDs, larger errors, spikes",
}
"""Masks that go by a name, and what they leave out."""

DEFAULT_MASK = ("calcium-cores", "diffuse-band", "edges")
"""Masks that fits and inversions use unless told otherwise, by their names in `MASKS`."""
CORE_HALF_WIDTH = 1.5
"""Angstrom."""
EDGE_WIDTH = 1.0
"""Angstrom."""
BAND_HALF_WIDTH = 6.0
"""Angstrom."""
_ROUNDING = 1e-6  # Angstrom: the unit of a range or of an axis does not decide on a pixel at its end


@dataclass(frozen=True)
class Masks:
    """What is left out besides bad pixels.

    Parameters
    ----------
    names : frozenset of str
        Of `MASKS`.
    ranges : tuple of (float, float)
        Angstrom, in the spectrum's medium.
    """

    names: frozenset
    ranges: tuple

    def fixed(self, native, measured, medium) -> np.ndarray:
        """Pixels (n,) masked at any velocity, at wavelengths `native` (n,) in `medium`; some are `measured`."""
        out = np.zeros(len(native), dtype=bool)
        for low, high in self.ranges:
            inside = (native >= low - _ROUNDING) & (native <= high + _ROUNDING)
            if not inside.any():
                raise SpectrumError(
                    f"mask=({low:g}, {high:g}) in Angstrom masks no pixel: the spectrum runs from {native.min():.1f} "
                    f"to {native.max():.1f} Angstrom. Ranges are in Angstrom unless they have a unit."
                )
            out |= inside
        if "diffuse-band" in self.names:
            out |= np.abs(native - convert_medium(DIFFUSE_BAND_AT, "air", medium)) < BAND_HALF_WIDTH
        if "edges" in self.names:
            ends = native[measured]
            out |= (native <= ends.min() + EDGE_WIDTH) | (native >= ends.max() - EDGE_WIDTH)
        return out


def parse_mask(mask, extra_mask=()) -> Masks:
    """`Masks` from the arguments of `rvsemu.fit`.

    Raises
    ------
    SettingsError
        One of them is no name of `MASKS`, no range, or neither str, tuple, list nor None.
    """
    items = [*_items(mask, "mask"), *_items(extra_mask, "extra_mask")]
    names = frozenset(item for item in items if isinstance(item, str))
    if unknown := names - set(MASKS):
        raise SettingsError(f"mask={sorted(unknown)[0]!r} is unknown: use {', '.join(MASKS)}, or ranges (low, high).")
    return Masks(names, tuple(_range(item) for item in items if not isinstance(item, str)))


def _items(mask, argument) -> list:
    if mask is None:
        return []
    if isinstance(mask, str) or _is_range(mask):
        return [mask]
    if not isinstance(mask, list | tuple):
        raise SettingsError(
            f"{argument}={mask!r}: give a name ({', '.join(MASKS)}), a range (low, high), a list of these, or None; "
            "single pixels are left out by spectrum.mask."
        )
    return list(mask)


def _is_range(mask) -> bool:
    return (
        isinstance(mask, list | tuple | np.ndarray)
        and len(mask) == 2
        and all(np.ndim(x) == 0 and not isinstance(x, str) for x in mask)
    )


def _range(item) -> tuple[float, float]:
    try:
        low, high = (float(u.Quantity(x, u.AA).value) for x in item)
    except (u.UnitConversionError, TypeError, ValueError):
        raise SettingsError(f"mask={item!r} is not a range: give (low, high), lengths or floats in Angstrom.") from None
    if not low < high:
        raise SettingsError(f"mask=({low:g}, {high:g}) is empty: give the lower wavelength first.")
    return low, high


def calcium_cores(medium) -> tuple:
    centres = convert_medium(list(CALCIUM_TRIPLET), "air", medium)
    return tuple((float(c) - CORE_HALF_WIDTH, float(c) + CORE_HALF_WIDTH) for c in centres)
