"""chi2 of many template spectra against a binned one, at one shift or at all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

__all__ = ["Search", "Templates"]

_COMPONENTS = 40  # principal ones, and the mean: enough for what differs by more than the misfit allowed for
_FEW_COMPONENTS = 20  # of these, while the velocity is open
_DEGREE = 2  # of the continuum, while the velocity is open
_NEGLIGIBLE = 1e-6  # sum of squares: rounding
_SAMPLE = 512  # templates that the components are made of


class _Compressed:
    """Rows (k, n) as sums of a mean and principal components, with coefficients."""

    def __init__(self, rows):
        rows = rows.astype(float)
        mean = rows.mean(axis=0)
        sample = rows[:: max(1, len(rows) // _SAMPLE)] - mean
        power, vectors = np.linalg.eigh(sample @ sample.T)
        count = min(_COMPONENTS, int(np.sum(power > _NEGLIGIBLE)))
        leading = slice(-1, -count - 1, -1)
        components = (vectors[:, leading] / np.sqrt(power[leading])).T @ sample
        self.parts = np.vstack([mean, components])
        self.coefficients = np.column_stack([np.ones(len(rows)), (rows - mean) @ components.T])
        size = next_fast_len(rows.shape[1], real=True)
        self._size, self._transformed = size, rfft(self.parts[: _FEW_COMPONENTS + 1], size).conj()

    def correlations(self, vectors, shifts) -> np.ndarray:
        """Sums over n of vectors (q, n) times the leading parts moved by whole shifts (v,): (q, r, v)."""
        products = rfft(vectors, self._size)[:, None] * self._transformed
        return irfft(products, self._size)[..., shifts]

    def at(self, vectors, first) -> np.ndarray:
        """Sums over n of vectors (q, n) times rows from column `first` on: (q, k)."""
        return (vectors @ self.parts[:, first : first + vectors.shape[1]].T) @ self.coefficients.T


@dataclass(frozen=True)
class Search:
    """chi2 at all shifts, not worked out yet.

    Parameters
    ----------
    first : int
        Lowest shift.
    normal, right : (ndarray, ndarray)
        Correlations with the leading parts of squares and templates, and coefficients of all templates.
    total : float
        chi2 without a model.
    """

    first: int
    normal: tuple
    right: tuple
    total: float

    def chi2(self, rows, some=slice(None)) -> np.ndarray:
        """chi2 (v, k) of the templates `rows` (k,), at some of the shifts."""
        normal, right = (
            np.moveaxis(sums[..., some], 1, 2) @ coefficients[rows].T
            for sums, coefficients in (self.normal, self.right)
        )
        return self.total - _explained(normal, right)

    def refined(self, rows, peak) -> np.ndarray:
        """Shift (k,) of each of the templates `rows` (k,), in fractions of bins: the vertex of a parabola through
        the lowest chi2 near the `peak` and its neighbours."""
        low, high = max(0, peak - _NEAR), min(self.right[0].shape[2], peak + _NEAR + 1)
        chi2 = self.chi2(rows, slice(low, high))
        best = np.argmin(chi2, axis=0)
        column = np.arange(len(rows))
        inside = np.clip(best, 1, max(1, len(chi2) - 2))
        if len(chi2) < 3:
            return self.first + low + best.astype(float)
        below, here, above = (chi2[inside + step, column] for step in (-1, 0, 1))
        bend = below - 2 * here + above
        vertex = np.divide(below - above, 2 * bend, where=bend > 0, out=np.zeros(len(rows)))
        fraction = np.where(inside == best, np.clip(vertex, -0.5, 0.5), 0.0)
        return self.first + low + best + fraction


_NEAR = 3  # bins: templates of other labels may be best at a neighbouring shift


class Templates:
    """Template spectra in bins, compressed to principal components.

    chi2 of a template with its best continuum needs sums over the bins: of weight times polynomials times its square,
    and of weight times flux times polynomials times the template. Both are linear in what they are compressed to, and,
    as functions of the shift, cross-correlations.

    Parameters
    ----------
    flux : ndarray, shape (k, n)
    """

    def __init__(self, flux):
        self._flux, self._squares = _Compressed(flux), _Compressed(np.square(flux, dtype=float))

    def look(self, binned, star, shift) -> np.ndarray:
        """chi2 (k,) of all templates at a whole shift."""
        weight, flux, basis = binned.weight[star], binned.flux[star], binned.basis(binned.degree)
        first = binned.first - shift
        normal = self._squares.at(weight * _products(basis), first)
        right = self._flux.at(weight * flux * basis, first)
        return np.sum(weight * flux**2) - _explained(normal, right)

    def search(self, binned, star, shifts) -> Search:
        """chi2 at all shifts from the lowest to the highest, with a continuum of low degree."""
        weight, flux = binned.weight[star], binned.flux[star]
        degree = min(binned.degree, _DEGREE)
        if binned.degree > degree:  # what is left when the flux has been divided by a polynomial can be of low degree
            level = _level(flux, weight, binned.basis(binned.degree))
            flux, weight = flux / level, weight * level**2
        basis = binned.basis(degree)
        moved = np.arange(shifts[0], shifts[1] + 1) - binned.first
        parts = []
        for part, vectors in ((self._squares, weight * _products(basis)), (self._flux, weight * flux * basis)):
            sums = part.correlations(vectors, moved)
            parts.append((sums, part.coefficients[:, : sums.shape[1]]))
        return Search(shifts[0], *parts, float(np.sum(weight * flux**2)))


def _level(flux, weight, basis) -> np.ndarray:
    """Polynomial (n,) of a spectrum without lines; 1 where it is not positive everywhere."""
    design = basis * np.sqrt(weight)
    level = np.linalg.lstsq(design.T, np.sqrt(weight) * flux, rcond=None)[0] @ basis
    return np.where(np.min(level[weight > 0]) > 0, level, 1.0)


def _products(basis) -> np.ndarray:
    """Products of all pairs of rows (p, n): (p (p + 1) / 2, n), those of the first row first."""
    return np.array([basis[i] * basis[j] for i in range(len(basis)) for j in range(i, len(basis))])


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
