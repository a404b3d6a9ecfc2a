"""chi2 of many template spectra against a binned one, at one shift or at all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ..physics.continuum import chebyshev_basis

__all__ = ["Normalised", "Templates"]

_COMPONENTS = 24  # principal ones, of the few templates that are tried at all shifts
_NEGLIGIBLE = 1e-6  # sum of squares: rounding
_DEGREE, _FIRST_DEGREE = 2, 1  # of what is left of the continuum; while the velocity is open


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

    def vectors(self, degree) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (q, n) whose products with lines and their squares chi2 is made of: see `_chi2`."""
        basis = chebyshev_basis(np.arange(len(self.weight), dtype=float), degree).T
        pairs = [basis[i] * basis[j] for i in range(len(basis)) for j in range(i, len(basis))]
        squares = self.weight * np.array(pairs)
        return squares, np.concatenate([self.weight * self.excess * basis, squares])


class Templates:
    """Lines, 1 - m, of template spectra in bins.

    With L = 1 - m, a continuum 1 + B d and the excess e = flux - 1, chi2 is that of e + L - (1 - L) B d, least in d. Its
    sums are linear in L and in L squared, and, as functions of the shift, cross-correlations. Sums over lines, and not
    over models, lose nothing in single precision.

    Parameters
    ----------
    flux : ndarray, shape (k, n)
    few : slice
        Of them, the few that are tried at all shifts.
    """

    def __init__(self, flux, few):
        self._lines = 1.0 - flux
        self._squares = self._lines**2
        self._size = next_fast_len(flux.shape[1], real=True)
        self._few = [_Compressed(part[few], self._size) for part in (self._squares, self._lines)]

    def look(self, spectrum, shift, rows=slice(None)) -> np.ndarray:
        """chi2 (k,) of the templates `rows` at a whole shift."""
        start = spectrum.first - shift
        window = slice(start, start + len(spectrum.weight))
        squares, lines = (x.astype("f4") for x in spectrum.vectors(_DEGREE))
        products = [squares @ self._squares[rows, window].T, lines @ self._lines[rows, window].T]
        return _chi2(spectrum, _DEGREE, *products)

    def search(self, spectrum, shifts) -> np.ndarray:
        """chi2 (k, v) of the few templates at all whole shifts from the lowest to the highest."""
        moved = np.arange(shifts[0], shifts[1] + 1) - spectrum.first
        vectors = zip(self._few, spectrum.vectors(_FIRST_DEGREE), strict=True)
        return _chi2(spectrum, _FIRST_DEGREE, *(part.correlations(x, moved) for part, x in vectors))


class _Compressed:
    """Rows (k, n) as sums of a mean and principal components, ready for cross-correlation.

    Parameters
    ----------
    rows : ndarray, shape (k, n)
    size : int
        Of the transform: at least n.
    """

    def __init__(self, rows, size):
        rows = rows.astype(float)
        mean = rows.mean(axis=0)
        left, power, right = np.linalg.svd(rows - mean, full_matrices=False)
        count = min(_COMPONENTS, int(np.sum(power**2 > _NEGLIGIBLE)))
        parts = np.vstack([mean, right[:count]])
        self._coefficients = np.column_stack([np.ones(len(rows)), left[:, :count] * power[:count]]).astype("f4")
        self._size, self._transformed = size, rfft(parts.astype("f4"), size).conj()

    def correlations(self, vectors, shifts) -> np.ndarray:
        """Sums over n of vectors (q, n) times rows moved by whole shifts (v,): (q, k, v)."""
        products = rfft(vectors.astype("f4"), self._size)[:, None] * self._transformed
        return self._coefficients @ irfft(products, self._size)[..., shifts]


def _chi2(spectrum, degree, squares, lines) -> np.ndarray:
    """chi2 from the products of `Normalised.vectors` with squares of lines and with lines, each (q, ...)."""
    (plain_squares, plain), size = spectrum.vectors(degree), degree + 1
    ones = [x.sum(axis=1).reshape(-1, *[1] * (squares.ndim - 1)) for x in (plain_squares, plain)]
    excess, pairs, squares = lines[:size].astype(float), lines[size:].astype(float), squares.astype(float)
    normal = ones[0] - 2.0 * pairs + squares
    right = ones[1][:size] - excess + pairs[:size] - squares[:size]  # the first basis vector is 1
    total = np.sum(spectrum.weight * spectrum.excess**2) + 2.0 * excess[0] + squares[0]
    return total - _explained(normal, right)


def _explained(normal, right) -> np.ndarray:
    """b^T N^-1 b for matrices N, by the rows of their upper halves (p (p + 1) / 2, ...), and vectors b (p, ...).

    Gaussian elimination, all systems side by side.
    """
    size = len(right)
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    matrix, vector = dict(zip(pairs, normal, strict=True)), list(right)
    out = np.zeros(right.shape[1:])
    for i in range(size):
        out += vector[i] ** 2 / matrix[i, i]
        for j in range(i + 1, size):
            factor = matrix[i, j] / matrix[i, i]
            vector[j] = vector[j] - factor * vector[i]
            for k in range(j, size):
                matrix[j, k] = matrix[j, k] - factor * matrix[i, k]
    return out
