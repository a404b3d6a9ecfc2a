"""Correlation of pixels by their distance in wavelength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import SpectrumError

__all__ = [
    "WHITE",
    "Correlation",
    "LagCorrelation",
    "SmoothCorrelation",
    "SplineCorrelation",
    "correlation_band",
    "lag_correlation",
]


@dataclass(frozen=True)
class SplineCorrelation:
    """Of noise that was interpolated linearly from wider pixels.

    White noise in pixels of a `width`, interpolated linearly and averaged over many positions of the wide pixels, has
    the autocorrelation of the interpolating triangle: the cubic B-spline B(distance / width) / B(0), whose power
    spectrum sinc^4 is nowhere negative. A share `floor` of the variance is independent from pixel to pixel; it keeps
    the power spectrum above zero.

    Parameters
    ----------
    width : float
        Of the wide pixels, Angstrom.
    floor : float

    Examples
    --------
    >>> from rvsemu.observing.correlation import SplineCorrelation
    >>> SplineCorrelation(width=0.2, floor=0.0)([0.0, 0.1, 0.2, 0.3, 0.4]).round(3).tolist()
    [1.0, 0.719, 0.25, 0.031, 0.0]
    """

    width: float
    floor: float

    @property
    def reach(self) -> float:
        """Pixels further apart, Angstrom, are independent."""
        return 2.0 * self.width

    def __call__(self, distance) -> np.ndarray:
        """Correlation at `distance` (n,), Angstrom."""
        s = np.asarray(distance, dtype=float) / self.width
        spline = np.where(s < 1, 2 / 3 - s**2 + s**3 / 2, np.maximum(2 - s, 0) ** 3 / 6) * 1.5
        return np.where(s > 0, (1.0 - self.floor) * spline, 1.0)


@dataclass(frozen=True)
class SmoothCorrelation:
    """Of errors that have gone through the instrument.

    At a distance d it is Wendland's ``(1 - r)**6 (35 r**2 + 18 r + 3) / 3``, r = d / reach < 1, else 0 (Wendland
    1995, Adv. Comput. Math. 4, 389), which is positive definite, four times differentiable, close to a Gaussian
    of sigma reach / 4.3, and makes a banded matrix.

    Parameters
    ----------
    reach : float
        Angstrom.
    """

    reach: float

    def __call__(self, distance) -> np.ndarray:
        """Correlation at `distance` (n,), Angstrom."""
        r = np.minimum(np.asarray(distance, dtype=float) / self.reach, 1.0)
        return (1 - r) ** 6 * (35 * r**2 + 18 * r + 3) / 3


@dataclass(frozen=True)
class LagCorrelation:
    """Given at distances of 0, 1, 2, ... steps, and nothing beyond.

    Parameters
    ----------
    values : tuple of float
        The first is 1.
    step : float
        Angstrom.

    Raises
    ------
    SpectrumError
        They are no correlation: not within -1 to 1, or with a power spectrum that is not positive.
    """

    values: tuple[float, ...]
    step: float

    def __post_init__(self):
        try:
            rho = np.asarray(self.values, dtype=float)
        except (TypeError, ValueError):
            rho = np.empty(0)
        if rho.ndim != 1 or not rho.size or rho[0] != 1 or not np.all(np.abs(rho) <= 1):
            raise SpectrumError(
                f"noise_correlation={self.values!r}: give the correlation at lags 0, 1, 2, ... pixels, starting "
                "with 1 and within -1 to 1, or () for white noise."
            )
        phase, lags = np.linspace(0.0, np.pi, 2001), np.arange(len(rho))
        power = rho @ (np.cos(np.outer(lags, phase)) * np.where(lags, 2, 1)[:, None])
        if not power.min() > 1e-4:
            raise SpectrumError(
                f"noise_correlation={self.values!r} has a power spectrum that falls to {power.min():.2g}: no noise has "
                "it, or none that can be solved for. Lower all numbers but the first until it is positive."
            )

    @property
    def reach(self) -> float:
        """Pixels further apart, Angstrom, are independent."""
        return (len(self.values) - 0.5) * self.step

    def __call__(self, distance) -> np.ndarray:
        """Correlation at `distance` (n,), Angstrom: that of the nearest number of steps."""
        lag = np.rint(np.asarray(distance, dtype=float) / self.step).astype(int)
        return np.append(self.values, 0.0)[np.minimum(lag, len(self.values))]


WHITE = LagCorrelation((1.0,), 1e-9)
"""Independent pixels."""

Correlation = SplineCorrelation | SmoothCorrelation | LagCorrelation | Callable[[np.ndarray], np.ndarray]


def lag_correlation(correlation, wavelength) -> tuple[tuple[float, ...], float]:
    """Correlations at lags of 0, 1, 2, ... pixels, and what a pixel is, in Angstrom.

    Parameters
    ----------
    correlation : Correlation
    wavelength : ndarray, shape (n,)
        Angstrom; a pixel is the least distance of two that follow each other.

    Examples
    --------
    >>> from rvsemu.observing.correlation import SplineCorrelation, lag_correlation
    >>> lags, step = lag_correlation(SplineCorrelation(0.2, 0.0), [8500.0, 8500.1, 8500.2])
    >>> [round(rho, 3) for rho in lags], round(step, 3)
    ([1.0, 0.719, 0.25, 0.031], 0.1)
    """
    step = float(np.min(np.abs(np.diff(wavelength))))
    lags = max(1, int(np.ceil(correlation.reach / step * (1 - 1e-9))))
    return tuple(correlation(step * np.arange(lags)).tolist()), step


def correlation_band(correlation, wavelength) -> np.ndarray:
    """Correlations of pixels with those that follow them.

    Parameters
    ----------
    correlation : Correlation
    wavelength : ndarray, shape (n,)
        Sorted, Angstrom.

    Returns
    -------
    ndarray, shape (w + 1, n)
        Row d has those of the pixels i + d and i; its last d columns are zero. At w + 1 pixels all are independent.
    """
    n, rows = len(wavelength), []
    for lag in range(n):
        distance = np.abs(wavelength[lag:] - wavelength[: n - lag])
        if lag and distance.min() >= correlation.reach * (1 - 1e-9):
            break
        rows.append(np.pad(correlation(distance), (0, lag)))
    return np.array(rows)
