"""From one wavelength grid to another: interpolation as a sparse matrix, and flux-conserving rebinning."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, overload

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import ArrayLike
from scipy import sparse

__all__ = ["Resampler", "interpolation_matrix", "rebin"]

_RUNS = 9  # number of ranges of equally spaced points above which handling them one by one gains nothing
_KEPT = 256  # stretches for which the grid points used are kept
_PHASES = 4  # every so manieth point, at most, to be equally spaced


def interpolation_matrix(
    start: float, step: float, n: int, x: ArrayLike, order: int = 8, derivative: bool = False
) -> sparse.csr_array:
    """Matrix that interpolates values on a uniform grid at points `x`, by local Lagrange polynomials.

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

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.physics.resampling import interpolation_matrix
    >>> wave = 8400 + 0.1 * np.arange(1000)
    >>> line = np.exp(-0.5 * ((wave - 8450) / 0.5) ** 2)
    >>> matrix = interpolation_matrix(8400, 0.1, 1000, [8450.0, 8450.25])
    >>> (matrix @ line).round(4)
    array([1.    , 0.8825])
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


@lru_cache(maxsize=8)
def _lagrange_powers(order) -> np.ndarray:
    """Lagrange's basis polynomials on `order` nodes one apart and centred on 0: row j holds the powers of
    the one that is 1 at node j."""
    nodes = np.arange(order) - (order - 1) / 2
    others = [np.delete(nodes, j) for j in range(order)]
    return np.array([polynomial.polyfromroots(o) / np.prod(n - o) for n, o in zip(nodes, others, strict=True)])


class Resampler:
    """Interpolation of rows on a uniform grid, each at its own stretch of the same points: many Doppler shifts at once.

    Polynomials like those of `interpolation_matrix`, without building a matrix for each shift. Stretches that differ
    by less than half a grid step use the same grid points, so that a point may be 3/4 instead of 1/2 of a step from the
    middle of its own; the polynomials' error is largest in the middle. Where the points are about as dense as the
    grid, or every third grid point, say, the values that belong to successive points are equally spaced, and all
    rows together are a few products of strided arrays. So it is with every second point where they are two and a half
    grid points apart.

    Parameters
    ----------
    start, step : float
        First grid point and spacing.
    n : int
        Number of grid points.
    x : array_like, shape (m,)
        Points before they are stretched.
    order : int
        Grid points used for each point (even).
    """

    def __init__(self, start: float, step: float, n: int, x: ArrayLike, order: int = 8) -> None:
        self._n, self._order = n, order
        self._start, self._scaled = start / step, np.asarray(x, dtype=float) / step
        self._apart = 0.5 / np.median(self._scaled)
        spacing = np.ptp(self._scaled) / max(1, len(self._scaled) - 1)
        self._phases = min(
            range(1, _PHASES + 1), key=lambda count: round(abs(count * spacing - round(count * spacing)), 2)
        )
        self._stride = max(1, round(self._phases * spacing))
        self._kept: dict[float, tuple[np.ndarray, list[slice]]] = {}
        powers = _lagrange_powers(order)
        slopes = powers[:, 1:] * np.arange(1, order) / step
        self._powers = {d: powers.astype(d) for d in ("f4", "f8")}
        self._slopes = {d: slopes.astype(d) for d in ("f4", "f8")}

    @overload
    def __call__(self, values: np.ndarray, stretch: ArrayLike, derivative: Literal[False] = False) -> np.ndarray: ...
    @overload
    def __call__(
        self, values: np.ndarray, stretch: ArrayLike, derivative: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def __call__(
        self, values: np.ndarray, stretch: ArrayLike, derivative: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Values at ``x * stretch``.

        Parameters
        ----------
        values : ndarray, shape (r, k, n)
            float32 or float64, which is the precision of the result.
        stretch : ndarray, shape (r,)
        derivative : bool
            Return also the derivatives d/dx (r, m) of ``values[:, 0]`` there.

        Raises
        ------
        ValueError
            Points leave the grid, or the grid has fewer than `order` points.
        """
        kind = "f4" if values.dtype == np.float32 else "f8"
        values, stretch = np.ascontiguousarray(values, dtype=kind), np.asarray(stretch, dtype=float)
        near = np.round((stretch - 1.0) / self._apart)
        anchors = set(near.tolist())
        if len(anchors) == 1:
            out, slopes = self._at(anchors.pop(), values, stretch, derivative)
            return (out, slopes) if derivative else out
        out = np.empty((*values.shape[:2], len(self._scaled)), dtype=kind)
        slopes = np.empty((len(values) if derivative else 0, len(self._scaled)), dtype=kind)
        for anchor in anchors:
            rows = np.flatnonzero(near == anchor)
            out[rows], some = self._at(anchor, values[rows], stretch[rows], derivative)
            if derivative:
                slopes[rows] = some
        return (out, slopes) if derivative else out

    def _at(self, anchor, values, stretch, derivative) -> tuple[np.ndarray, np.ndarray]:
        """Values, and their derivatives or nothing, at stretches that are next to the same multiple of the distance
        within which they use the same grid points."""
        kind = values.dtype.str[1:]
        first, runs = self._runs(1.0 + anchor * self._apart)
        position = self._scaled * stretch[:, None] - self._start
        self._check(position)
        powers = self._powers_of(position - (first + (self._order - 1) / 2), kind)
        out = self._products(self._powers[kind], powers, values, first, runs)
        if not derivative:
            return out, np.empty((0, out.shape[2]), dtype=kind)
        return out, self._products(self._slopes[kind], powers[:-1], values[:, :1], first, runs)[:, 0]

    def _runs(self, factor) -> tuple[np.ndarray, list[slice]]:
        """`_find_runs`, kept for next time."""
        if factor not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[factor] = self._find_runs(factor)
        return self._kept[factor]

    def _find_runs(self, factor) -> tuple[np.ndarray, list[slice]]:
        """The first grid point used for each point at a stretch, and points of which these are equally spaced."""
        middle = np.floor(self._scaled * factor - self._start).astype(int)
        first = np.clip(middle - (self._order // 2 - 1), 0, self._n - self._order)
        runs = []
        for phase in range(min(self._phases, len(first))):
            own = first[phase :: self._phases]
            ends = np.append(np.flatnonzero(np.diff(own) != self._stride) + 1, len(own)) * self._phases + phase
            starts = [phase, *ends[:-1].tolist()]
            runs += [slice(low, high, self._phases) for low, high in zip(starts, ends.tolist(), strict=True)]
        return first, runs

    def _check(self, position):
        low, high = position.min(), position.max()
        if self._n < self._order or not (low >= -1e-6 and high <= self._n - 1 + 1e-6):
            raise ValueError(f"points at {low:g} to {high:g} steps leave the grid of {self._n}")

    def _powers_of(self, position, kind) -> np.ndarray:
        """Powers (order, r, m) of the distances (r, m) of points from the middle of the grid points used for them."""
        powers = np.ones((self._order, *position.shape), dtype=kind)
        powers[1] = position
        for i in range(2, self._order):
            np.multiply(powers[i // 2], powers[i - i // 2], out=powers[i])
        return powers

    def _products(self, coefficients, powers, values, first, runs) -> np.ndarray:
        """Sums over j of the j-th weight of a point times the j-th value from its first, (r, k, m).

        Parameters
        ----------
        coefficients : ndarray, shape (order, q)
            Of the weights as polynomials.
        powers : ndarray, shape (q, r, m)
        values : ndarray, shape (r, k, n)
        first : ndarray of int, shape (m,)
        runs : list of slice
            See `_runs`.
        """
        weights = (coefficients @ powers.reshape(len(powers), -1)).reshape(-1, *powers.shape[1:])
        out = np.empty((*values.shape[:2], powers.shape[2]), dtype=values.dtype)
        if len(runs) > _RUNS * self._phases:
            chosen = np.lib.stride_tricks.sliding_window_view(values, self._order, axis=2)[:, :, first]
            return np.einsum("jri,rkij->rki", weights, chosen, out=out)
        for run in runs:
            start, last = int(first[run][0]), int(first[run][-1])
            weight, total = weights[:, :, None, run], np.empty((*out.shape[:2], len(first[run])), dtype=out.dtype)
            np.multiply(weight[0], values[:, :, start : last + 1 : self._stride], out=total)
            for j in range(1, self._order):
                total += weight[j] * values[:, :, start + j : last + 1 + j : self._stride]
            out[:, :, run] = total
        return out


def rebin(edges: ArrayLike, flux: ArrayLike, new_edges: ArrayLike) -> np.ndarray:
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

    Examples
    --------
    >>> from rvsemu.physics.resampling import rebin
    >>> rebin([8400, 8401, 8402, 8403], [1.0, 0.6, 1.0], [8400, 8401.5, 8403])
    array([0.86666667, 0.86666667])
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
