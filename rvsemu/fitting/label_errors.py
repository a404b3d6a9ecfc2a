"""Errors of labels that no spectrum shows, as `rvsemu.emulator.ErrorModel` has them: they are added to what a fit
finds. In the covariance of the pixels they would weaken the very differences that tell labels apart."""

from __future__ import annotations

import numpy as np

from ..emulator import ErrorModel
from .parameters import Parameters

__all__ = ["broadened", "label_errors"]


def label_errors(error: ErrorModel, parameters: Parameters) -> np.ndarray:
    """Covariance (m, m) that the free parameters have besides that of the fit."""
    free = np.asarray(parameters.free)
    labels = len(error.label_covariance)
    out, own = np.zeros((len(free), len(free))), np.flatnonzero(free < labels)
    out[np.ix_(own, own)] = error.label_covariance[np.ix_(free[own], free[own])]
    return out


def broadened(x: np.ndarray, covariance: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Draws (n, m) with Gaussian errors of a covariance (m, m) added, reflected at the limits (m,); the same numbers
    for the same draws."""
    some = np.flatnonzero(np.diag(covariance) > 0)
    values, vectors = np.linalg.eigh(covariance[np.ix_(some, some)])
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    low, width = lower[some], (upper - lower)[some]
    noise = np.random.default_rng(len(x)).normal(size=(len(x), len(some))) @ root
    away = (x[:, some] + noise - low) % (2 * width)
    out = x.copy()
    out[:, some] = low + np.minimum(away, 2 * width - away)
    return out
