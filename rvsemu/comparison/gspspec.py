"""GSP-Spec of Gaia DR3: its calibrations and its flags, from Recio-Blanco et al. 2023, A&A 674, A29."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from astropy import units as u
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike

from ..emulator.stated_units import scale
from ..errors import ComparisonError, SettingsError
from .tables import floats_of, texts_of

__all__ = ["CHARACTERS", "COEFFICIENTS", "EXTRAPOL", "calibrate", "worst_flag"]

COEFFICIENTS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "logg": (0.4496, -0.0036, -0.0224),
        "mh": (0.274, -0.1373, -0.0050, 0.0048),
        "mh of open clusters": (-0.7541, 1.8108, -1.1779, 0.2809, -0.0222),
        "alpha": (-0.5809, 0.7018, -0.2402, 0.0239),
    }
)
"""Coefficients of the corrections, lowest order first, as polynomials of the uncalibrated log g (their Table 3)."""

_ALPHA_RANGE = (1.01, 4.85)  # uncalibrated log g of the correction of [alpha/Fe], for stars with extrapol = 0

CHARACTERS: Mapping[str, str] = MappingProxyType(
    {
        "vbroadT": "0129",
        "vbroadG": "0129",
        "vbroadM": "0129",
        "vradT": "0129",
        "vradG": "0129",
        "vradM": "0129",
        "fluxNoise": "0123459",
        "extrapol": "012349",
        "negFlux": "019",
        "nanFlux": "09",
        "emission": "09",
        "nullFluxErr": "09",
        "KMgiantPar": "012",
    }
)
"""The first 13 characters of ``flags_gspspec``, in order, and the values that each may have (their Table 2).

They are about the atmospheric parameters; those that follow are about abundances of single elements.
"""

EXTRAPOL = list(CHARACTERS).index("extrapol")
"""Place of the flag that says whether labels are extrapolated, from 0."""


def calibrate(label: str, value: ArrayLike, logg: ArrayLike, *, open_clusters: bool = False) -> np.ndarray:
    """Labels of GSP-Spec with the published correction, ``X + sum_i p_i logg**i``.

    Parameters
    ----------
    label : {'teff', 'logg', 'mh', 'alpha'}
        Effective temperatures have no correction and are returned as they are.
    value : array_like, shape (n,)
        Uncalibrated labels, in K or dex, or in a unit that they state.
    logg : array_like, shape (n,)
        Uncalibrated log g, in dex, as the archive has it.
    open_clusters : bool
        Whether [M/H] is corrected by the polynomial that was derived from stars of open clusters.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In K or dex; NaN where a value or log g is masked, and where [alpha/Fe] has no correction, which is at an
        uncalibrated log g outside 1.01-4.85. Its correction is meant for stars with ``extrapol`` = 0 alone, which this
        function does not check.

    Raises
    ------
    SettingsError
        The label is unknown.
    ComparisonError
        There are no numbers, or their unit is of another kind.

    References
    ----------
    Recio-Blanco et al. 2023, A&A 674, A29, Section 9 and Table 3.

    Examples
    --------
    >>> from rvsemu.comparison import calibrate
    >>> float(calibrate("logg", 4.0, 4.0))
    4.0768
    """
    if label not in ("teff", "logg", "mh", "alpha"):
        raise SettingsError(f"label={label!r} has no calibration: use teff, logg, mh or alpha.")
    value = _numbers("value", value, label)
    if label == "teff":
        return value
    logg = _numbers("logg", logg, "logg")
    name = "mh of open clusters" if label == "mh" and open_clusters else label
    out = value + polyval(logg, COEFFICIENTS[name])
    if label == "alpha":
        low, high = _ALPHA_RANGE
        out = np.where((logg >= low) & (logg <= high), out, np.nan)
    return out


def _numbers(name: str, given: ArrayLike, label: str) -> np.ndarray:
    """Labels in K or dex, NaN where they are masked."""
    plain, unit = floats_of(given, name), getattr(given, "unit", None)
    try:
        factor, zero = scale(unit, "K" if label == "teff" else "dex")
    except (u.UnitsError, TypeError):
        raise ComparisonError(f"{name} is in {unit}: give {label} in {'K' if label == 'teff' else 'dex'}.") from None
    return plain * factor + zero


def worst_flag(flags: ArrayLike) -> np.ndarray:
    """Highest of the first 13 characters of ``flags_gspspec``; -1 where the text is missing or malformed.

    Parameters
    ----------
    flags : sequence of str or bytes, shape (n,)
        A column of a table, say, or a list.

    Returns
    -------
    numpy.ndarray of int, shape (n,)
        From 0, the best, to 9. A text is malformed if it has fewer than 13 characters, or any of the 13 is no value
        of its flag in `CHARACTERS`.

    Examples
    --------
    >>> from rvsemu.comparison import worst_flag
    >>> worst_flag(["0000000000000", "0100002000000999999", "000"])
    array([ 0,  2, -1])
    """
    if isinstance(flags, str | bytes):
        raise SettingsError(f"flags={flags!r} is one text: give a list of them.")
    return np.array([_worst(text) for text in texts_of(flags)], dtype=int)


def _worst(text: str) -> int:
    first = text.strip()[: len(CHARACTERS)]
    if len(first) < len(CHARACTERS):
        return -1
    known = all(c in allowed for c, allowed in zip(first, CHARACTERS.values(), strict=True))
    return int(max(first)) if known else -1
