"""Air and vacuum wavelengths, Doppler shifts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import SpectrumError

__all__ = [
    "MEDIA",
    "RVS_RESOLUTION",
    "SPEED_OF_LIGHT",
    "air_to_vacuum",
    "check_medium",
    "convert_medium",
    "doppler",
    "vacuum_to_air",
]

RVS_RESOLUTION = 11_900.0
"""Resolving power of the Gaia RVS, the mean of what was measured: see `rvsemu.fitting.RvsResolution`."""

SPEED_OF_LIGHT = 299792.458
"""Speed of light in km/s."""

MEDIA = ("air", "vacuum")
"""What wavelengths may be measured in."""


def _refractive_index(vacuum: np.ndarray) -> np.ndarray:
    """Index of standard air (15 C, 1 atm) at vacuum wavelengths in Angstrom: Morton (2000), eq. 8."""
    s2 = (1e4 / vacuum) ** 2
    return 1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - s2) + 1.5998e-4 / (38.9 - s2)


def vacuum_to_air(wavelength: ArrayLike) -> np.ndarray:
    """Air wavelengths of vacuum `wavelength` (both Angstrom), Morton (2000, ApJS 130, 403).

    Examples
    --------
    >>> from rvsemu.physics.wavelengths import vacuum_to_air
    >>> print(round(float(vacuum_to_air(8500.0)), 3))
    8497.665
    """
    wavelength = np.asarray(wavelength, dtype=float)
    return wavelength / _refractive_index(wavelength)


def air_to_vacuum(wavelength: ArrayLike) -> np.ndarray:
    """Vacuum wavelengths of air `wavelength` (both Angstrom): the inverse of `vacuum_to_air` to 1e-9.

    Examples
    --------
    >>> from rvsemu.physics.wavelengths import air_to_vacuum
    >>> air_to_vacuum([8498.02, 8542.09, 8662.14]).round(2)                    # Ca II
    array([8500.35, 8544.44, 8664.52])
    """
    air = np.asarray(wavelength, dtype=float)
    vacuum = air
    for _ in range(4):  # a contraction by 1e-6 a step
        vacuum = air * _refractive_index(vacuum)
    return vacuum


def check_medium(medium: str) -> str:
    """`medium` if it is 'air' or 'vacuum', else `SpectrumError`."""
    if medium not in MEDIA:
        raise SpectrumError(f"medium={medium!r} is unknown: use 'air' or 'vacuum'.")
    return medium


def convert_medium(wavelength: ArrayLike, medium: str, to: str) -> np.ndarray:
    """Wavelengths (Angstrom) given in `medium`, in the medium `to`.

    Examples
    --------
    >>> from rvsemu.physics.wavelengths import convert_medium
    >>> convert_medium([8500.0, 8600.0], "vacuum", to="air").round(3)
    array([8497.665, 8597.637])
    >>> convert_medium([8500.0, 8600.0], "air", to="air")
    array([8500., 8600.])
    """
    if check_medium(medium) == check_medium(to):
        return np.asarray(wavelength, dtype=float)
    return vacuum_to_air(wavelength) if to == "air" else air_to_vacuum(wavelength)


def doppler(wavelength: ArrayLike, velocity: ArrayLike) -> np.ndarray:
    """Wavelengths of light emitted at `wavelength` by a source that recedes at `velocity` km/s (relativistic).

    Raises
    ------
    SpectrumError
        A velocity is not below that of light, or not a number.

    Examples
    --------
    >>> from rvsemu.physics.wavelengths import doppler
    >>> doppler(8542.09, [-30.0, 0.0, 30.0]).round(2)
    array([8541.24, 8542.09, 8542.94])
    """
    beta = np.asarray(velocity, dtype=float) / SPEED_OF_LIGHT
    if not (np.abs(beta) < 1.0).all():
        raise SpectrumError(f"velocity={velocity!r} km/s: give velocities below that of light, {SPEED_OF_LIGHT} km/s.")
    return np.asarray(wavelength, dtype=float) * np.sqrt((1.0 + beta) / (1.0 - beta))
