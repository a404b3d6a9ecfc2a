"""Whether a posterior is as narrow as its curvature at the best fit says: a look at places three errors away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..observing.results import LEAST_SQUARED
from .from_minima import covariance_of
from .levenberg_marquardt import Box
from .parameters import RADIAL_VELOCITY, Parameters
from .priors import Function, Uniform

__all__ = ["widening"]

_TOLERATED = 1.4
_AWAY = 3.0  # errors
_SEEN = 0.3  # of what a Gaussian falls by there: limits that are nearer say nothing
_LEAST = 0.01  # of the same: any error


def widening(parameters: Parameters, x: np.ndarray, hessian: np.ndarray, fall: Callable) -> np.ndarray:
    """By what errors of free parameters (k, m) must be multiplied for a Gaussian to be as high as the posterior is
    three errors away from its k maxima, on that side of each label where it is higher. They are 1 where errors are no
    more than 1.4 times too small.

    The lines of a hot star vanish as [M/H] falls: below some value all spectra are alike, and the posterior does not
    fall any more, whatever its curvature is where the noise looks like lines. Labels whose prior is uniform, or any
    function, are looked at, each with all other parameters where their covariance with it lets expect them. Of what
    acts by its square, as v sin i does, the square may be Gaussian instead.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (k, m)
        Maxima of the posterior.
    hessian : ndarray, shape (k, m, m)
        Of -log posterior, Gauss-Newton.
    fall : callable
        From free parameters (k * r, m), r sets for each maximum, to how much lower (k * r,) the log posterior is there.
    """
    out, looked_at = np.ones(x.shape), _labels(parameters)
    if not len(looked_at):
        return out
    covariance = covariance_of(parameters, x, hessian, 1.0)
    errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    away = _AWAY * covariance[:, looked_at] / errors[:, looked_at, None]
    rows = np.concatenate([x[:, None] - away, x[:, None] + away], axis=1)  # (k, r, m)
    there = parameters.box.clip(rows.reshape(-1, x.shape[1]))
    expected = _gaussian(parameters.box, x, there.reshape(rows.shape), hessian)
    fallen = np.maximum(fall(there).reshape(expected.shape), _LEAST * np.maximum(expected, 1.0))
    factor = np.where(expected > _SEEN * 0.5 * _AWAY**2, np.sqrt(expected / fallen), 1.0)
    out[:, looked_at] = np.maximum(1.0, factor.reshape(len(x), 2, -1).max(axis=1))
    nothing = (parameters.upper - parameters.lower)[parameters.free] / np.sqrt(12.0)
    out = np.clip(out, 1.0, np.maximum(nothing / errors, 1.0))
    return np.where(np.any(out > _TOLERATED, axis=1, keepdims=True), out, 1.0)


def _gaussian(box: Box, x: np.ndarray, there: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """How much lower (k, r) than at `x` (k, m) a Gaussian is in r places `there` (k, r, m)."""
    x = x[:, None]
    least = np.maximum(x, LEAST_SQUARED * (box.upper - box.lower))
    squares = np.where(box.from_zero, (there**2 - x**2) / (2.0 * least), there - x)
    falls = [0.5 * np.sum(away @ hessian * away, axis=2) for away in (there - x, squares)]
    return np.minimum(*falls)


def _labels(parameters: Parameters) -> np.ndarray:
    """Places, among the free parameters, of labels whose prior is uniform, or any function."""
    names, free = parameters.space.names, parameters.free
    labels = next(i for i, name in enumerate(names) if name.startswith(RADIAL_VELOCITY))
    return np.flatnonzero([i < labels and isinstance(parameters.priors[i], Uniform | Function) for i in free])
