"""From one wavelength grid to another: interpolation as a sparse matrix, and flux-conserving rebinning."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial
from scipy import sparse

__all__ = ["interpolation_matrix", "rebin"]


def interpolation_matrix(start, step, n, x, order=8, derivative=False) -> sparse.csr_array:
    """Matrix that takes values on a uniform grid to points `x` by local Lagrange polynomials.

    Parameters
    ----------
    start, step : float
        First grid point and spacing.
    n : int
        Number of grid points.
    x : array_like, shape (m,)
        Where to evaluate, inside the grid.
    order : int
        Grid points used for each `x` (even). The error of a Gaussian profile with sigma s is about
        C (step / s)^order of its depth: with 8 points 5e-5 at s = 2.5 steps (the RVS at its sharpest).
    derivative : bool
        Return the matrix of d/dx instead.

    Returns
    -------
    scipy.sparse.csr_array, shape (m, n)

    Raises
    ------
    ValueError
        `x` leaves the grid, or the grid has fewer than `order` points.
    """
    x = np.asarray(x, dtype=float)
    position = (x - start) / step
    if n < order or not (position.min() >= -1e-6 and position.max() <= n - 1 + 1e-6):
        raise ValueError(f"points {x.min():g} to {x.max():g} leave the grid {start:g} to {start + step * (n - 1):g}")
    first = np.clip(np.floor(position).astype(int) - (order // 2 - 1), 0, n - order)
    powers = _lagrange_powers(order)
    middle = (order - 1) / 2
    if derivative:
        powers = powers[:, 1:] * np.arange(1, order) / step
    weights = np.vander(position - first - middle, powers.shape[1], increasing=True) @ powers.T
    columns = first[:, None] + np.arange(order)
    pointers = np.arange(len(x) + 1) * order
    return sparse.csr_array((weights.ravel(), columns.ravel(), pointers), shape=(len(x), n))


def _lagrange_powers(order) -> np.ndarray:
    """Lagrange's basis polynomials on `order` nodes one apart and centred on 0: row j holds the powers of
    the one that is 1 at node j."""
    nodes = np.arange(order) - (order - 1) / 2
    others = [np.delete(nodes, j) for j in range(order)]
    return np.array([polynomial.polyfromroots(o) / np.prod(n - o) for n, o in zip(nodes, others, strict=True)])


def rebin(edges, flux, new_edges) -> np.ndarray:
    """Mean flux in each new bin, of a spectrum that is constant within its bins; area is conserved.

    Parameters
    ----------
    edges : array_like, shape (n + 1,)
        Increasing bin edges of `flux`.
    flux : array_like, shape (..., n)
        Mean flux in each bin.
    new_edges : array_like, shape (m + 1,)
        Increasing, inside `edges`.

    Returns
    -------
    ndarray, shape (..., m)

    Raises
    ------
    ValueError
        The new bins leave the old ones, or edges do not increase.
    """
    edges, new_edges = np.asarray(edges, dtype=float), np.asarray(new_edges, dtype=float)
    if np.any(np.diff(edges) <= 0) or np.any(np.diff(new_edges) <= 0):
        raise ValueError("bin edges must increase")
    if new_edges[0] < edges[0] or new_edges[-1] > edges[-1]:
        raise ValueError(
            f"new bins {new_edges[0]:g} to {new_edges[-1]:g} leave the old ones {edges[0]:g} to {edges[-1]:g}"
        )
    area = np.zeros((*np.shape(flux)[:-1], len(edges)))
    np.cumsum(np.asarray(flux) * np.diff(edges), axis=-1, out=area[..., 1:])
    bin_of = np.clip(np.searchsorted(edges, new_edges, side="right") - 1, 0, len(edges) - 2)
    fraction = (new_edges - edges[bin_of]) / (edges[bin_of + 1] - edges[bin_of])
    cumulative = area[..., bin_of] * (1 - fraction) + area[..., bin_of + 1] * fraction
    return np.diff(cumulative, axis=-1) / np.diff(new_edges)
