"""How far predicted spectra, latent values or labels are from true ones: measures, and the error model of a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..emulator import ErrorModel

__all__ = ["MH_EDGES", "TEFF_EDGES", "error_model", "metrics", "rms_by_teff"]

TEFF_EDGES = np.array([3500.0, 4200, 5000, 6000, 7200, 8500, 10500, 12500, 15001])
"""K; errors are measured in the ranges between."""
MH_EDGES = np.array([-2.5, -1.5, -0.75, 0.0, 0.5, 1.0, 1.5001])
"""dex; in the ranges between, errors are compared with those of all metallicities."""

_COMPONENTS = 6
_FEWEST = 10  # spectra in a range
_TINY = 1e-9  # of the continuum


def error_model(
    teff: np.ndarray, error: np.ndarray, mh: np.ndarray | None = None, components: int = _COMPONENTS
) -> ErrorModel:
    """RMS per pixel, and the leading principal components, in ranges of Teff, at the ranges' middles; and a factor of
    both in ranges of [M/H].

    Parameters
    ----------
    teff : ndarray, shape (n,)
    error : ndarray, shape (n, n_pixels)
        Predicted - true. Errors are not centred: a mean error is an error.
    mh : ndarray, shape (n,), optional
        [M/H], dex, where that is a label.
    components : int
        Largest number of them in a range.

    Returns
    -------
    ErrorModel
        Its components are the eigenvectors of the second moments times the roots of their eigenvalues.
    """
    middles, sigma, leading = [], [], []
    for low, high in zip(TEFF_EDGES[:-1], TEFF_EDGES[1:], strict=True):
        rows = (teff >= low) & (teff < high)
        if np.count_nonzero(rows) >= _FEWEST:
            middles.append((low + high) / 2)
            some = np.asarray(error[rows], dtype="f8")
            sigma.append(np.sqrt(np.mean(some**2, axis=0)))
            leading.append(_leading(some, components))
    if len(middles) < 2:
        every = np.asarray(error, dtype="f8")
        middles = [TEFF_EDGES[0], TEFF_EDGES[-1]]
        sigma, leading = [np.sqrt(np.mean(every**2, axis=0))] * 2, [_leading(every, components)] * 2
    model = ErrorModel(np.array(middles), np.array(sigma), np.array(leading))
    return model if mh is None else _by_metallicity(model, teff, mh, error)


def _by_metallicity(model: ErrorModel, teff: np.ndarray, mh: np.ndarray, error: np.ndarray) -> ErrorModel:
    """The error model with the RMS of error / sigma in ranges of [M/H]."""
    middles, scale = [], []
    for low, high in zip(MH_EDGES[:-1], MH_EDGES[1:], strict=True):
        rows = (mh >= low) & (mh < high)
        if np.count_nonzero(rows) >= _FEWEST:
            middles.append((low + high) / 2)
            scale.append(np.sqrt(np.mean((error[rows] / np.maximum(model(teff[rows]), _TINY)) ** 2)))
    return replace(model, mh=np.array(middles), scale=np.array(scale)) if middles else model


def _leading(error: np.ndarray, count: int) -> np.ndarray:
    """Rows u (count, n_pixels) whose sum of u u^T is closest to the mean of e e^T; zeros where there are too few."""
    moments = error.T @ error if len(error) > error.shape[1] else error @ error.T
    values, vectors = np.linalg.eigh(moments / len(error))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    if len(moments) == error.shape[1]:
        rows = vectors.T * np.sqrt(np.maximum(values, 0.0))[:, None]
    else:
        rows = vectors.T @ error / np.sqrt(len(error))
    out = np.zeros((count, error.shape[1]))
    out[: len(rows)] = rows
    return out


def metrics(true: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Error measures over all elements of two arrays of shape (n, m).

    Parameters
    ----------
    true, predicted : ndarray, shape (n, m)

    Returns
    -------
    dict
        mse, mae, rms; r2 and explained_variance, averaged over columns with equal weight as
        scikit-learn does (columns that do not vary are left out); mean_relative_error, abs(error) / abs(true)
        over elements with abs(true) > 0.01; p99_max_error, the 99th percentile over rows of the largest
        absolute error in a row.
    """
    true, predicted = np.asarray(true, dtype="f8"), np.asarray(predicted, dtype="f8")
    error = predicted - true
    varies = true.var(axis=0) > 1e-12
    variance = true[:, varies].var(axis=0)
    large = np.abs(true) > 0.01
    mse = float(np.mean(error**2))
    return {
        "mse": mse,
        "rms": float(np.sqrt(mse)),
        "mae": float(np.mean(np.abs(error))),
        "r2": float(np.mean(1 - np.mean(error[:, varies] ** 2, axis=0) / variance)),
        "explained_variance": float(np.mean(1 - error[:, varies].var(axis=0) / variance)),
        "mean_relative_error": float(np.mean(np.abs(error[large] / true[large]))),
        "p99_max_error": float(np.percentile(np.max(np.abs(error), axis=1), 99)),
    }


def rms_by_teff(teff: np.ndarray, error: np.ndarray, edges: ArrayLike) -> list[dict[str, float]]:
    """RMS of `error` (n, m) for rows with `teff` between successive `edges` (K); empty ranges are left out."""
    out = []
    edges = np.asarray(edges)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        rows = (teff >= low) & (teff < high)
        if rows.any():
            rms = float(np.sqrt(np.mean(np.asarray(error[rows], dtype="f8") ** 2)))
            out.append({"teff_low": float(low), "teff_high": float(high), "rms": rms, "spectra": int(rows.sum())})
    return out
