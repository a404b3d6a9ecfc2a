"""What microturbulence stars of given labels are known to have: two published relations, joined smoothly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit

__all__ = ["Expected", "microturbulence"]

_TEFF, _LOGG = 5500.0, 4.0  # where the relation of the Gaia-ESO survey has its origin
_COOLEST = 5000.0  # K: its main sequence stays as it is there
_GIANTS = 3.5  # log g
_DWARF = (1.05, 2.51e-4, 1.5e-7)  # km/s, km/s/K, km/s/K2
_GIANT = (1.25, 4.01e-4, 3.1e-7)
_HIGHEST, _HOTTEST, _WIDTH = 3.31, 8071.03, 0.01045  # km/s, K, dex2: Gebran et al. (2014)
_JOIN = 6600.0  # K
_SMOOTH = {"teff": 150.0, "coolest": 100.0, "logg": 0.1}  # half widths of the joins, in K, K and dex
_SCATTER = 0.2  # km/s, of F, G and K stars
_WIDER = ((4100.0, -150.0, 0.3), (_JOIN, 200.0, 0.5), (10000.0, 500.0, 0.3))  # at K, over K, by km/s
_AT, _OVER = np.array([(_JOIN, _SMOOTH["teff"]), *(step[:2] for step in _WIDER)]).T[..., None]  # all steps in Teff
_BY = np.array([step[2] for step in _WIDER])


@dataclass(frozen=True)
class Expected:
    """Mean and scatter of the microturbulence of stars, and how they depend on labels.

    Parameters
    ----------
    mean, scatter : ndarray, shape (n,)
        km/s.
    mean_slope : ndarray, shape (n, 3)
        Derivatives of the mean by Teff, log g and [M/H].
    scatter_slope : ndarray, shape (n,)
        Derivative of the scatter by Teff.

    Examples
    --------
    >>> from rvsemu.physics.microturbulence import microturbulence
    >>> sun = microturbulence(5777, 4.44)
    >>> sun.mean.round(2), sun.scatter.round(1)
    (array([1.07]), array([0.2]))
    >>> bool(sun.mean_slope[0, 0] > 0)                                         # hotter stars have more
    True
    """

    mean: np.ndarray
    scatter: np.ndarray
    mean_slope: np.ndarray
    scatter_slope: np.ndarray


def microturbulence(teff: ArrayLike, logg: ArrayLike, mh: ArrayLike = 0.0) -> Expected:
    """Microturbulence of stars by relations of the literature, with derivatives.

    Below 6600 K it is the relation that M. Bergemann made for the Gaia-ESO survey, from stars of its first internal
    release, the Gaia benchmark stars (Jofre et al. 2014, A&A 564, A133) and globular clusters. It is that of iSpec, too
    (Blanco-Cuaresma et al. 2014, A&A 569, A111). With t = Teff - 5500 and g = log g - 4, in km/s,

        dwarfs, log g > 3.5:  1.05 + 2.51e-4 t + 1.5e-7 t^2 - 0.14 g - 0.005 g^2 + 0.05 [M/H] + 0.01 [M/H]^2
        giants, log g < 3.5:  1.25 + 4.01e-4 t + 3.1e-7 t^2 - ... the same

    and dwarfs cooler than 5000 K are taken as they are at 5000 K. Above 6600 K it is that of A and F dwarfs by Gebran
    et al. (2014, :arxiv:`1312.0442`), ``3.31 exp(-log10(Teff / 8071.03)^2 / 0.01045)``; they cross at 6500 K
    for dwarfs. All changes from one to another are logistic functions, so that derivatives are continuous.

    The scatter is a **judgement**, not a measurement. F, G and K stars: 0.2 km/s, by which other relations differ, too
    (Bruntt et al. 2010, MNRAS 405, 1907; Tsantaki et al. 2013, A&A 555, A150, for dwarfs hotter than 5300 K; that of
    the GALAH survey in Buder et al. 2021, MNRAS 506, 150). Cooler than 4100 K: 0.5 km/s, as none applies; hydrodynamic
    models of M stars have 0.1-0.6 km/s (Wende et al. 2009, A&A 508, 1429). A stars: 0.7 km/s, a quarter of what they
    have. Hotter than 10,000 K: 1 km/s, as many stars there show none (Landstreet et al. 2009, A&A 503, 973).

    Parameters
    ----------
    teff, logg, mh : array_like, shape (n,)
        K, log10 of cm/s2, and dex.

    Examples
    --------
    >>> from rvsemu.physics.microturbulence import microturbulence
    >>> microturbulence([5777, 4500, 8000], [4.44, 2.5, 4.0]).mean.round(2)
    array([1.07, 1.36, 3.31])
    """
    teff, logg, mh = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, dtype=float)) for x in (teff, logg, mh)))
    cool, cool_slope = _cool(teff, logg, mh)
    hot, hot_slope = _hot(teff)
    (share, *wider), (share_slope, *wider_slopes) = _step(teff, _AT, _OVER)
    slope = (1 - share)[:, None] * cool_slope
    slope[:, 0] += share * hot_slope + share_slope * (hot - cool)
    mean = (1 - share) * cool + share * hot
    return Expected(mean, _SCATTER + _BY @ wider, slope, _BY @ wider_slopes)


def _cool(teff, logg, mh):
    """Relation of the Gaia-ESO survey (n,), and its derivatives (n, 3)."""
    above = (teff - _COOLEST) / _SMOOTH["coolest"]
    dwarf, dwarf_slope = _parabola(_COOLEST - _SMOOTH["coolest"] * log_expit(-above), _DWARF)
    giant, giant_slope = _parabola(teff, _GIANT)
    share, share_slope = _step(logg, _GIANTS, -_SMOOTH["logg"])
    g = logg - _LOGG
    mean = (1 - share) * dwarf + share * giant - 0.14 * g - 0.005 * g**2 + 0.05 * mh + 0.01 * mh**2
    by_teff = (1 - share) * dwarf_slope * expit(above) + share * giant_slope
    by_logg = share_slope * (giant - dwarf) - 0.14 - 0.01 * g
    return mean, np.stack([by_teff, by_logg, 0.05 + 0.02 * mh], axis=1)


def _parabola(teff, coefficients):
    a, b, c = coefficients
    t = teff - _TEFF
    return a + b * t + c * t**2, b + 2 * c * t


def _hot(teff):
    """Relation of Gebran et al. (2014) (n,), and its derivative by Teff."""
    away = np.log10(teff / _HOTTEST)
    mean = _HIGHEST * np.exp(-(away**2) / _WIDTH)
    return mean, -mean * 2 * away / _WIDTH / (teff * np.log(10))


def _step(x, at, over):
    """Logistic function from 0 to 1, or down where `over` is negative, and its derivative."""
    share = expit((x - at) / over)
    return share, share * (1 - share) / over
