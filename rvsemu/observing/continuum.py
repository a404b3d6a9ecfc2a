"""The polynomial that multiplies a model: solved for, projected out, marginalised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["Projection", "Solution"]


class White:
    """Independent noise, with the interface of `Covariance`.

    Parameters
    ----------
    sigma : ndarray, shape (s, n)
        Standard deviations of s spectra, infinite for pixels not used.
    """

    def __init__(self, sigma):
        self._weight = 1.0 / sigma[:, None]
        self._single = self._weight.astype("f4")

    def take(self, which) -> White:
        """Those of the spectra with the numbers `which`."""
        out = object.__new__(White)
        out._weight, out._single = self._weight[which], self._single[which]
        return out

    def whiten(self, rows) -> np.ndarray:
        """Rows (s, r, n) over their standard deviations."""
        return rows * (self._single if rows.dtype == np.float32 else self._weight)

    def low(self, white) -> np.ndarray:
        """Nothing: there is no low rank."""
        return np.zeros((*white.shape[:2], 0), dtype=white.dtype)


@dataclass(frozen=True)
class Solution:
    """The best continuum of r models for each of s spectra.

    Parameters
    ----------
    coefficients : ndarray, shape (s, r, p)
    chi2 : ndarray, shape (s, r)
        (y - A c)^T C^-1 (y - A c) at these.
    white, residual : tuple of ndarray
        Whitened columns of A and residuals: see `Projection`.
    normal : ndarray, shape (s, r, p, p)
        The matrix A^T C^-1 A.
    """

    coefficients: np.ndarray
    chi2: np.ndarray
    white: tuple
    residual: tuple
    normal: np.ndarray

    @cached_property
    def log_determinant(self) -> np.ndarray:
        """Of the normal matrix, (s, r)."""
        return np.linalg.slogdet(self.normal)[1]


class Projection:
    """Spectra y, their covariance C, and the polynomials that are the continuum of any model m.

    With A = diag(m) B the model is A c, linear in the coefficients c. Minimised over c, chi2 is a function
    of m alone (variable projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413). Its Gauss-Newton
    derivatives are Kaufman's (1975, BIT 15, 49): those of the residual at fixed c, less their part within
    the span of A. Their gradient is exact.

    Parameters
    ----------
    flux : ndarray, shape (s, n)
        Zero in pixels not used.
    basis : ndarray, shape (s, p, n)
        Polynomials, zero in pixels not used.
    covariance : Covariance or White
        Of the s spectra.

    Notes
    -----
    The columns of A are whitened in single precision, the residual in that of `flux`. One more step from
    there, towards the minimum, makes chi2 as good as the residual, and coefficients to 1e-6 of their errors.
    """

    def __init__(self, flux, basis, covariance):
        self._flux, self._basis, self._covariance = flux, basis, covariance
        self._single = basis.astype("f4")
        self._data = self._whitened(flux[:, None].astype("f4"))

    def _whitened(self, rows):
        """Pairs of whitened rows, and of these what belongs to the low rank; to be multiplied in `flux`'s precision."""
        white = self._covariance.whiten(rows)
        return tuple(x.astype(self._flux.dtype, copy=False) for x in (white, self._covariance.low(white)))

    def take(self, which) -> Projection:
        """Those of the spectra with the numbers `which`."""
        if np.array_equal(which, np.arange(len(self._flux))):
            return self
        out = object.__new__(Projection)
        out._flux, out._basis, out._single = self._flux[which], self._basis[which], self._single[which]
        out._covariance = self._covariance.take(which)
        out._data = tuple(part[which] for part in self._data)
        return out

    def with_covariance(self, covariance) -> Projection:
        """The same spectra and polynomials with another covariance."""
        return Projection(self._flux, self._basis, covariance)

    def solve(self, models) -> Solution:
        """Best coefficients for models (s, r, n)."""
        s, r, n = models.shape
        p = self._basis.shape[1]
        columns = models.astype("f4", copy=False)[:, :, None] * self._single[:, None]
        white = tuple(part.reshape(s, r, p, -1) for part in self._whitened(columns.reshape(s, r * p, n)))
        normal = _product(white, white)
        data = tuple(part[:, None] for part in self._data)
        coefficients = np.linalg.solve(normal, _product(white, data))[..., 0].astype(self._flux.dtype)
        residual = self._whitened(self._flux[:, None] - models * (coefficients @ self._basis))
        chi2 = np.subtract(*(np.einsum("srn,srn->sr", part, part) for part in residual))
        residual = tuple(part[:, :, None] for part in residual)
        slope = _product(white, residual)
        step = np.linalg.solve(normal, slope)
        chi2 -= np.sum(slope * step, axis=(-1, -2))
        return Solution(coefficients + step[..., 0], chi2, white, residual, normal)

    def continuum(self, solution) -> np.ndarray:
        """The polynomials of a solution, (s, r, n)."""
        return solution.coefficients @ self._basis

    def normal_equations(self, solution, slopes) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (s, r, q) and Gauss-Newton Hessian (s, r, q, q) of chi2 / 2.

        Parameters
        ----------
        solution : Solution
        slopes : ndarray, shape (s, r, q, n)
            Derivatives of the models.
        """
        s, r, q, n = slopes.shape
        slopes = slopes * -self.continuum(solution)[:, :, None].astype(slopes.dtype)
        white = tuple(part.reshape(s, r, q, -1) for part in self._whitened(slopes.reshape(s, r * q, n)))
        mixed = _product(solution.white, white)
        hessian = _product(white, white) - mixed.swapaxes(-1, -2) @ np.linalg.solve(solution.normal, mixed)
        return _product(white, solution.residual)[..., 0], hessian


def _product(left, right) -> np.ndarray:
    """``x^T C^-1 y`` for all rows x, y of two pairs (see `Projection`)."""
    white, low = (a @ b.swapaxes(-1, -2) for a, b in zip(left, right, strict=True))
    return white - low
