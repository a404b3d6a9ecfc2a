"""How far predicted spectra (or latent values) are from true ones: the paper's metrics, and ours."""

from __future__ import annotations

import numpy as np

__all__ = ["metrics", "rms_by_teff"]


def metrics(true, predicted) -> dict[str, float]:
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


def rms_by_teff(teff, error, edges) -> list[dict[str, float]]:
    """RMS of `error` (n, m) for rows with `teff` between successive `edges` (K); empty ranges are left out."""
    out = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        rows = (teff >= low) & (teff < high)
        if rows.any():
            rms = float(np.sqrt(np.mean(np.asarray(error[rows], dtype="f8") ** 2)))
            out.append({"teff_low": float(low), "teff_high": float(high), "rms": rms, "spectra": int(rows.sum())})
    return out
