"""Do neighbouring pixels differ from each other as much as the stated errors say?"""

from __future__ import annotations

import numpy as np

__all__ = ["is_smooth", "roughness"]

_SMOOTH = 0.55  # of the expected variance of second differences: noise that is as stated has 0.95 or more
_FEWEST = 300  # second differences: with so many, noise that is as stated is 4.7 standard deviations from that
_MOST = 4.0  # that one square may be, in units of its expected value
_MEAN = 0.9205  # of the square of a normal variable of unit variance, cut off there


def roughness(residual: np.ndarray, sigma: np.ndarray, band: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Variance of the second differences of residuals, over that of noise with the stated errors.

    The second difference of neighbouring pixels, ``r[i] - 2 r[i + 1] + r[i + 2]``, hardly knows of errors of models,
    which are as smooth as lines, and is noise alone. With correlations c and standard deviations s its variance is that
    of a sum of three numbers. It is 1 where errors and correlation are right, above 1 where errors are too small, and
    below 1 where they are too large, or where the noise is smoother than its correlation says: in spectra that were
    smoothed, or put on narrower pixels. No square counts as more than four times its expected value, so that spikes and
    single lines hardly matter.

    Parameters
    ----------
    residual : ndarray, shape (k, n)
        Observed - model. Like `sigma` it may be anything where pixels are not used.
    sigma : ndarray, shape (k, n)
        Standard deviation of the noise, in the same unit.
    band : ndarray, shape (w + 1, n)
        Its correlation (`rvsemu.observing.correlation.correlation_band`).
    used : ndarray of bool, shape (k, n)

    Returns
    -------
    ndarray, shape (k,)
        NaN where there are fewer than 300 second differences.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.observing.roughness import roughness
    >>> noise = np.random.default_rng(1).normal(size=(1, 2000))
    >>> smoothed = (noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]) / np.sqrt(3)    # of the same variance
    >>> white, sigma, used = np.ones((1, 1998)), np.ones((1, 1998)), np.ones((1, 1998), dtype=bool)
    >>> one, other = roughness(noise[:, 2:], sigma, white, used), roughness(smoothed, sigma, white, used)
    >>> bool(abs(one[0] - 1) < 0.15), bool(other[0] < 0.4)
    (True, True)
    """
    residual, sigma = np.where(used, residual, 0.0), np.where(used, sigma, 1.0)
    n = max(0, residual.shape[1] - 2)
    first, middle, last = (slice(i, i + n) for i in range(3))
    inside = used[:, first] & used[:, middle] & used[:, last]
    variance = sigma[:, first] ** 2 + 4 * sigma[:, middle] ** 2 + sigma[:, last] ** 2
    for lag, (one, other), factor in ((1, (first, middle), -4), (1, (middle, last), -4), (2, (first, last), 2)):
        if lag < len(band):
            variance = variance + factor * band[lag, one] * sigma[:, one] * sigma[:, other]
    difference = residual[:, first] - 2 * residual[:, middle] + residual[:, last]
    square = np.where(inside, difference**2 / variance, 0.0)
    count = inside.sum(axis=1)
    return np.where(count < _FEWEST, np.nan, np.minimum(square, _MOST).sum(axis=1) / (_MEAN * np.maximum(count, 1)))


def is_smooth(residual: np.ndarray, sigma: np.ndarray, band: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Whether the `roughness` of spectra (k,) is that of the flag ``smooth-noise``."""
    return np.nan_to_num(roughness(residual, sigma, band, used), nan=1.0) < _SMOOTH
