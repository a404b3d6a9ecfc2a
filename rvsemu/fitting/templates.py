"""chi2 of many template spectra against a binned one, at one shift or at all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ..physics.continuum import chebyshev_basis

__all__ = ["Normalised", "Templates"]

_FEW_COMPONENTS = 24  # principal ones, of the few templates that are tried at all shifts
_COMPONENTS, _SOME = 64, 256  # of all, and how many templates they are taken of
_NEGLIGIBLE = 1e-6  # sum of squares: rounding
_LEAST = 0.01  # mean square of a template's flux, and more than errors of the compression


@dataclass(frozen=True)
class Normalised:
    """A spectrum in n bins, divided by a polynomial that was fitted to it as if it had no lines.

    What is left of the continuum is then of low degree.

    Parameters
    ----------
    excess, weight : ndarray, shape (n,)
        Flux - 1, and inverse variances.
    first : int
        Number of the first bin.
    """

    excess: np.ndarray
    weight: np.ndarray
    first: int

    @classmethod
    def of(cls, binned, star) -> Normalised:
        """One of the spectra of a `Binned`."""
        flux, weight = binned.flux[star], binned.weight[star]
        basis, root = binned.basis(binned.degree), np.sqrt(weight)
        level = np.linalg.lstsq((basis * root).T, root * flux, rcond=None)[0] @ basis
        level = np.where(np.min(level[weight > 0]) > 0, level, 1.0)
        return cls(flux / level - 1.0, weight * level**2, binned.first)

    def sums(self, degree) -> Sums:
        """What chi2 of lines is made of, with what is left of the continuum a polynomial."""
        basis, pairs = _polynomials(len(self.weight), degree)
        squares = self.weight * pairs
        lines = np.concatenate([self.weight * self.excess * basis, squares])
        total = float(np.sum(self.weight * self.excess**2))
        return Sums(self.first, total, squares.astype("f4"), lines.astype("f4"), lines.sum(axis=1))


@dataclass(frozen=True)
class Sums:
    """Sums over n bins that chi2 of a template is made of: see `Templates`.

    Parameters
    ----------
    first : int
        Number of the first bin.
    total : float
        chi2 without lines and continuum.
    squares, lines : ndarray, shape (q, n)
        Vectors to be multiplied with squares of lines, and with lines.
    ones : ndarray, shape (q,)
        Products of the latter with ones.
    """

    first: int
    total: float
    squares: np.ndarray
    lines: np.ndarray
    ones: np.ndarray

    def chi2(self, squares, lines) -> np.ndarray:
        """chi2 (...) from products of the vectors with squares of lines and with lines, each (q, ...)."""
        size = len(lines) - len(squares)
        ones = self.ones.reshape(-1, *[1] * (lines.ndim - 1))
        excess, pairs, squares = lines[:size].astype(float), lines[size:].astype(float), squares.astype(float)
        normal = ones[size:] - 2.0 * pairs + squares
        right = ones[:size] - excess + pairs[:size] - squares[:size]  # the first polynomial is 1
        out = self.total + 2.0 * excess[0] + squares[0] - _explained(normal, right, _LEAST * self.ones[size:])
        return np.maximum(out, 0.0)


@lru_cache(maxsize=32)
def _polynomials(count, degree) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev polynomials (p, count) and products of all pairs of them, those with the first one first."""
    basis = chebyshev_basis(np.arange(count, dtype=float), degree).T
    return basis, np.array([basis[i] * basis[j] for i in range(len(basis)) for j in range(i, len(basis))])


class Templates:
    """Lines, 1 - m, of template spectra in bins.

    With L = 1 - m, the excess e = flux - 1 and a continuum 1 + B d, chi2 is that of e + L - (1 - L) B d, least in d.
    Its sums are linear in L and in L squared, and, as functions of the shift, cross-correlations. Sums over lines, and
    not over models, lose nothing in single precision.

    Parameters
    ----------
    flux : ndarray, shape (k, n)
    few : slice
        Of them, the few that are tried at all shifts.
    """

    def __init__(self, flux, few):
        self._lines = 1.0 - flux
        self._squares = self._lines**2
        some = slice(None, None, max(1, len(flux) // _SOME))
        self._all = [_Compressed(part, some, _COMPONENTS) for part in (self._squares, self._lines)]
        self._few = [_Compressed(part[few], slice(None), _FEW_COMPONENTS) for part in (self._squares, self._lines)]

    def look(self, sums, shift, sure, rows=slice(None)) -> np.ndarray:
        """chi2 (k,) of the templates `rows` at a whole shift, exact for the lowest `sure` of them.

        Lines and their squares are compressed apart. Where that is poor, as of the deepest lines, they contradict each
        other, and chi2 may seem to be as low as 0.
        """
        start = sums.first - shift
        squares, lines = self._all
        out = sums.chi2(squares.products(sums.squares, start, rows), lines.products(sums.lines, start, rows))
        numbers, exact = np.arange(len(self._lines))[rows], np.zeros(len(out), dtype=bool)
        while True:
            lowest = np.argsort(out, kind="stable")[:sure]
            new = lowest[~exact[lowest]]
            if not len(new):
                return out
            out[new] = self.near(sums, np.array([shift]), numbers[new])[:, 0]
            exact[new] = True

    def near(self, sums, shifts, rows) -> np.ndarray:
        """chi2 (k, v) of the templates `rows` (k,) at whole shifts (v,), exact."""
        count = sums.lines.shape[1]
        moved = np.lib.stride_tricks.sliding_window_view(self._lines, count, axis=1)[rows[:, None], sums.first - shifts]
        lines = np.tensordot(sums.lines, moved, (1, 2))
        return sums.chi2(np.tensordot(sums.squares, moved**2, (1, 2)), lines)

    def search(self, sums, shifts) -> np.ndarray:
        """chi2 (k, v) of the few templates at all whole shifts from the lowest to the highest."""
        moved = np.arange(shifts[0], shifts[1] + 1) - sums.first
        squares, lines = self._few
        return sums.chi2(squares.correlations(sums.squares, moved), lines.correlations(sums.lines, moved))


class _Compressed:
    """Rows (k, n) as sums of a mean and principal components, for products with many vectors.

    Parameters
    ----------
    rows : ndarray, shape (k, n)
    some : slice
        Rows of which the components are taken.
    count : int
        Maximum number of components.
    """

    def __init__(self, rows, some, count):
        mean = rows[some].mean(axis=0, dtype=float)
        _, power, right = np.linalg.svd(rows[some] - mean, full_matrices=False)
        right = right[: min(count, int(np.sum(power**2 > _NEGLIGIBLE)))]
        self._parts = np.vstack([mean, right]).astype("f4")
        self._coefficients = np.column_stack([np.ones(len(rows)), (rows - mean) @ right.T]).astype("f4")
        self._size = next_fast_len(rows.shape[1], real=True)

    @cached_property
    def _transformed(self) -> np.ndarray:
        return rfft(self._parts, self._size).conj()

    def products(self, vectors, start, rows) -> np.ndarray:
        """Sums over n of vectors (q, n) and the n numbers of the rows from `start` on: (q, k)."""
        window = self._parts[:, start : start + vectors.shape[1]]
        return (vectors @ window.T) @ self._coefficients[rows].T

    def correlations(self, vectors, shifts) -> np.ndarray:
        """Sums over n of vectors (q, n) times rows moved by whole shifts (v,): (q, k, v)."""
        products = rfft(vectors, self._size)[:, None] * self._transformed
        return self._coefficients @ irfft(products, self._size)[..., shifts]


def _explained(normal, right, least) -> np.ndarray:
    """b^T N^-1 b for matrices N, by the rows of their upper halves (p (p + 1) / 2, ...), and vectors b (p, ...).

    Gaussian elimination, all systems side by side, with pivots not below those of a matrix `least` (p (p + 1) / 2,):
    templates without light, beyond the domain, would be singular.
    """
    size = len(right)
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    matrix, vector, floor = dict(zip(pairs, normal, strict=True)), list(right), dict(zip(pairs, least, strict=True))
    out = np.zeros(right.shape[1:])
    for i in range(size):
        pivot = np.maximum(matrix[i, i], floor[i, i])
        out += vector[i] ** 2 / pivot
        for j in range(i + 1, size):
            factor = matrix[i, j] / pivot
            vector[j] = vector[j] - factor * vector[i]
            for k in range(j, size):
                matrix[j, k] = matrix[j, k] - factor * matrix[i, k]
    return out
