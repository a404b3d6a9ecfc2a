"""Where the Ca II triplet lies says whether wavelengths are in air or in vacuum."""

from __future__ import annotations

import numpy as np

from ...physics.lines import MAIN_LINES
from ...physics.wavelengths import air_to_vacuum

__all__ = ["AIR_TO_VACUUM", "shift", "verdict"]

_TRIPLET = np.array([wavelength for name, wavelength in MAIN_LINES if name == "Ca II"])
AIR_TO_VACUUM = float(np.mean(air_to_vacuum(_TRIPLET) - _TRIPLET))
"""Angstrom between air and vacuum at the triplet, 2.35."""

_REACH = 5.0
_STEP = 0.05
_CONTRAST = 0.1  # how much deeper than elsewhere the lines must be together
_HOTTEST = 10000.0  # K: beyond, Paschen lines are deeper
_TOLERANCE = 0.6  # Angstrom: 21 km/s


def shift(wavelength: np.ndarray, flux: np.ndarray, teff: float) -> float | None:
    """Angstrom by which the Ca II triplet lies redward of its place in air; None where that cannot be told.

    The depths at the places of the lines are added up for each trial shift; blends and Paschen lines do not
    line up. At least two of the lines must be in the spectrum.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.library.importing.lines import shift
    >>> wave = np.arange(8480, 8560, 0.05)
    >>> flux = 1 - sum(0.6 * np.exp(-0.5 * ((wave - x - 2.36) / 0.5) ** 2) for x in (8498.02, 8542.09))
    >>> round(shift(wave, flux, 5800), 2)
    2.35
    """
    lines = _TRIPLET[(_TRIPLET - _REACH > wavelength[0]) & (_TRIPLET + _REACH < wavelength[-1])]
    if len(lines) < 2 or teff > _HOTTEST:
        return None
    trials = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    depth = 1.0 - np.mean([np.interp(line + trials, wavelength, flux) for line in lines], axis=0)
    best = int(np.argmax(depth))
    if not depth[best] - np.median(depth) > _CONTRAST:
        return None
    return float(trials[best])


def verdict(found: float, medium: str) -> str | None:
    """The medium that a `shift` measured on wavelengths declared to be in `medium` speaks for; None for neither.

    Parameters
    ----------
    found : float
        `shift` of the spectrum brought to air wavelengths, as if it were in `medium`.
    medium : {'air', 'vacuum'}
    """
    if abs(found) <= _TOLERANCE:
        return medium
    if medium == "air" and abs(found - AIR_TO_VACUUM) <= _TOLERANCE:
        return "vacuum"
    if medium == "vacuum" and abs(found + AIR_TO_VACUUM) <= _TOLERANCE:
        return "air"
    return None
