"""How far predicted spectra, latent values or labels are from true ones: measures, and the error model of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..emulator import ErrorModel

__all__ = ["FACTOR_EDGES", "TEFF_EDGES", "error_model", "metrics", "rms_by_teff", "teff_edges"]

TEFF_EDGES = np.array([3500.0, 4200, 5000, 6000, 7200, 8500, 10500, 12500, 15001])
"""K; errors are measured in the ranges between, and beyond in those of `teff_edges`."""
_COOLER, _HOTTER = [1500.0, 2500, 3000], [18000.0, 22000, 27000, 33000, 40000, 60001]
FACTOR_EDGES = {
    "mh": np.array([-2.5, -1.5, -0.75, 0.0, 0.5, 1.0, 1.5001]),
    "logg": np.array([-1.0, 1.0, 2.0, 3.0, 4.0, 5.0001]),
}
"""dex; in the ranges between, the outermost of which are open, errors are compared with those of all spectra of the
same Teff."""

_COMPONENTS = 6
_FEWEST = 10  # spectra in a range
_TINY = 1e-9  # of the continuum
_ROUNDS = 5
_AT_ONCE = 2000  # spectra


def teff_edges(teff: np.ndarray) -> np.ndarray:
    """`TEFF_EDGES`, and as many more (K) as are needed for all of `teff` to be between them.

    Examples
    --------
    >>> from rvsemu.training.accuracy import teff_edges
    >>> teff_edges([2800.0, 19000.0])[[0, 1, -2, -1]]
    array([ 2500.,  3000., 18000., 22000.])
    """
    every = np.array([*_COOLER, *TEFF_EDGES, *_HOTTER])
    own = len(_COOLER), len(_COOLER) + len(TEFF_EDGES) - 1
    first = min(own[0], np.searchsorted(every, np.min(teff), side="right") - 1)
    last = max(own[1], np.searchsorted(every, np.max(teff), side="right"))
    return every[max(first, 0) : last + 1]


def error_model(
    teff: np.ndarray, error: np.ndarray, labels: Mapping[str, np.ndarray] | None = None, components: int = _COMPONENTS
) -> ErrorModel:
    """RMS per pixel, and the leading principal components, in ranges of Teff, at the ranges' middles; and factors of
    both in ranges of other labels.

    Parameters
    ----------
    teff : ndarray, shape (n,)
    error : ndarray, shape (n, n_pixels)
        Predicted - true. Errors are not centred: a mean error is an error.
    labels : mapping of str to ndarray, shape (n,), optional
        By name; those of `FACTOR_EDGES` give factors.
    components : int
        Largest number of them in a range.

    Returns
    -------
    ErrorModel
        Its components are the eigenvectors of the second moments times the roots of their eigenvalues.
    """
    middles, sigma, leading = [], [], []
    edges = teff_edges(teff)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        rows = (teff >= low) & (teff < high)
        if np.count_nonzero(rows) >= _FEWEST:
            middles.append((low + high) / 2)
            some = np.asarray(error[rows], dtype="f8")
            sigma.append(np.sqrt(np.mean(some**2, axis=0)))
            leading.append(_leading(some, components))
    if len(middles) < 2:
        every = np.asarray(error, dtype="f8")
        middles = [edges[0], edges[-1]]
        sigma, leading = [np.sqrt(np.mean(every**2, axis=0))] * 2, [_leading(every, components)] * 2
    model = ErrorModel(np.array(middles), np.array(sigma), np.array(leading))
    return replace(model, factors=_factors(_excess(model, teff, error), labels or {}))


def _excess(model: ErrorModel, teff: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Mean (n,) over pixels of the square of error / sigma."""
    parts = [slice(i, i + _AT_ONCE) for i in range(0, len(teff), _AT_ONCE)]
    ratios = [np.mean((error[some] / np.maximum(model(teff[some]), _TINY)) ** 2, axis=1) for some in parts]
    return np.concatenate(ratios)


def _factors(excess: np.ndarray, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Factors by label: each the RMS in ranges of the label beyond the factors of the others, in turn."""
    tables: dict[str, np.ndarray] = {}
    for _ in range(_ROUNDS):
        for name in (name for name in FACTOR_EDGES if name in labels):
            others = [np.interp(labels[key], *table) for key, table in tables.items() if key != name]
            table = _table(FACTOR_EDGES[name], labels[name], excess / np.prod(others, axis=0) ** 2)
            tables |= {name: table} if table.size else {}
    return tables


def _table(edges: np.ndarray, values: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Middles of the ranges of a label and roots of the mean excess there (2, l)."""
    ends = np.array([-np.inf, *edges[1:-1], np.inf])
    rows = [(values >= low) & (values < high) for low, high in zip(ends[:-1], ends[1:], strict=True)]
    middles = (edges[:-1] + edges[1:]) / 2
    known = [(m, np.sqrt(np.mean(excess[r]))) for m, r in zip(middles, rows, strict=True) if np.sum(r) >= _FEWEST]
    return np.transpose(known)


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
