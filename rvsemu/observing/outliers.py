"""Pixels that neither noise nor errors of models explain: spikes, bad columns, lines that no model has."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

__all__ = ["SHARE", "doubtful"]

SHARE = 1e-3
"""Of the pixels are expected to be outliers."""
_WIDTH = 10.0  # standard deviations: of the outliers
_LEAST = 0.01  # probability: less is none
_MEDIAN = 0.6745  # of |x| for a normal distribution


def doubtful(deviation, used, neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Probability that a pixel is an outlier, and by how much its variance has to grow so that it does no harm.

    The deviations have a mixture of two normal distributions: of unit variance, and, for one pixel in a thousand, ten
    times as wide (Hogg, Bovy & Lang 2010, :arxiv:`1008.4686`, section 3). They are in units of their typical size where
    that is above 1: a model that fits badly everywhere has no outliers. A spike is as wide as the noise is correlated,
    and its flanks have the variance of its peak.

    Parameters
    ----------
    deviation : ndarray, shape (..., n)
        Observed - model over the standard deviation of all that is expected.
    used : ndarray of bool, shape (..., n)
    neighbours : int
        Pixels on either side that share the noise of one.

    Returns
    -------
    probability : ndarray, shape (..., n)
        Zero where the deviation is below 3.05.
    growth : ndarray, shape (..., n)
        What to add to the variance, in units of it.
    """
    size = np.where(used, np.abs(deviation), 0.0)
    rows = zip(size.reshape(-1, size.shape[-1]), used.reshape(-1, size.shape[-1]), strict=True)
    typical = np.reshape([np.median(row[good]) for row, good in rows], (*size.shape[:-1], 1)) / _MEDIAN
    size = size / np.maximum(1.0, typical)
    odds = np.log(SHARE / (1 - SHARE) / _WIDTH) + 0.5 * size**2 * (1 - _WIDTH**-2)
    probability = 1.0 / (1.0 + np.exp(-np.minimum(odds, 50.0)))
    probability = np.where(probability > _LEAST, probability, 0.0)
    growth = probability * size**2
    if neighbours:
        probability, growth = (maximum_filter1d(x, 2 * neighbours + 1) for x in (probability, growth))
    return np.where(used, probability, 0.0), np.where(used, growth, 0.0)
