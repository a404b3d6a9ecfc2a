"""Errors of pixels that are themselves estimates from the scatter of few spectra, made smooth."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri

__all__ = ["smoothed_sigma"]

_WINDOW = 151  # good pixels
_LEAST = 21
_EVERY = 10
_CHANCE = 1e-4  # that a larger error is an accident of few spectra


def smoothed_sigma(sigma: np.ndarray, good: np.ndarray, spectra: int | None = None) -> np.ndarray:
    """Level of the noise along a spectrum whose errors are estimates.

    The standard error of n spectra scatters about the true one by 1 / sqrt(2 (n - 1)), and weights made from it favour
    pixels whose few values happened to agree. Its running median over 151 good pixels does not; at the ends of the
    spectrum, where errors rise, the window shrinks to 21. The median of a sample's standard deviation lies below the
    true one: for normal noise by the square root of the median of chi2 / (n - 1) with n - 1 degrees of freedom. Errors
    that are larger than this level by more than chance allows, one in ten thousand, are kept as they are: there the
    spectra differ by more than noise.

    Parameters
    ----------
    sigma : ndarray, shape (n,)
    good : ndarray of bool, shape (n,)
        Pixels with an error; the others keep theirs.
    spectra : int, optional
        How many were combined. Without it the median is not corrected, and no error is too large.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.observing.uncertainty import smoothed_sigma
    >>> values = np.random.default_rng(1).normal(size=(7, 2401))
    >>> estimates = values.std(axis=0, ddof=1) / np.sqrt(7)
    >>> level = smoothed_sigma(estimates, np.ones(2401, dtype=bool), 7)
    >>> float(np.round(level.mean() * np.sqrt(7), 1))
    1.0
    """
    places = np.flatnonzero(good)
    out = np.array(sigma, dtype=float)
    if not len(places):
        return out
    level = _running_median(out[places])
    if spectra is not None and spectra > 1:
        free = spectra - 1
        level = level / np.sqrt(chdtri(free, 0.5) / free)
        level = np.where(out[places] > level * np.sqrt(chdtri(free, _CHANCE) / free), out[places], level)
    out[places] = level
    return out


def _running_median(values) -> np.ndarray:
    """Median of the neighbours of each value, as many on either side, fewer towards the ends: taken at every tenth
    value, and interpolated."""
    n, most, least = len(values), _WINDOW // 2, _LEAST // 2
    places = np.unique(np.append(np.arange(0, n, _EVERY), n - 1))
    half = np.clip(np.minimum(places, n - 1 - places), least, most)
    padded = np.pad(values, most, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[places]
    inside = np.abs(np.arange(_WINDOW) - most) <= half[:, None]
    ordered = np.sort(np.where(inside, windows, np.nan), axis=1)  # NaN last
    count, row = np.sum(~np.isnan(ordered), axis=1), np.arange(len(places))
    medians = (ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2
    return np.interp(np.arange(n), places, medians)
