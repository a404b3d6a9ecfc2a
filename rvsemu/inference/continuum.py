"""The polynomial that multiplies a model: solved for, projected out, marginalised."""

from __future__ import annotations

from dataclasses import dataclass

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

    def take(self, which) -> White:
        """Those of the spectra with the numbers `which`."""
        out = object.__new__(White)
        out._weight = self._weight[which]
        return out

    def whiten(self, rows) -> np.ndarray:
        """Rows (s, r, n) over their standard deviations."""
        return rows * self._weight

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
    log_determinant : ndarray, shape (s, r)
        Of the normal matrix A^T C^-1 A.
    """

    coefficients: np.ndarray
    chi2: np.ndarray
    log_determinant: np.ndarray
    white: tuple
    residual: tuple
    normal: np.ndarray


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
    """

    def __init__(self, flux, basis, covariance):
        self.basis = basis
        self._covariance = covariance
        white = covariance.whiten(flux[:, None])
        self._data = white[:, 0], covariance.low(white)[:, 0]

    def take(self, which) -> Projection:
        """Those of the spectra with the numbers `which`."""
        out = object.__new__(Projection)
        out.basis, out._covariance = self.basis[which], self._covariance.take(which)
        out._data = tuple(x[which] for x in self._data)
        return out

    def solve(self, models) -> Solution:
        """Best coefficients for models (s, r, n)."""
        s, r, n = models.shape
        p = self.basis.shape[1]
        columns = models[:, :, None] * self.basis[:, None]
        white = self._covariance.whiten(columns.reshape(s, r * p, n))
        low = self._covariance.low(white).reshape(s, r, p, -1)
        white = white.reshape(s, r, p, -1)
        data, data_low = self._data
        normal = white @ white.swapaxes(-1, -2) - low @ low.swapaxes(-1, -2)
        right = np.einsum("srpn,sn->srp", white, data) - np.einsum("srpk,sk->srp", low, data_low)
        coefficients = np.linalg.solve(normal, right[..., None])[..., 0]
        residual = data[:, None] - (coefficients[:, :, None] @ white)[:, :, 0]
        residual_low = data_low[:, None] - (coefficients[:, :, None] @ low)[:, :, 0]
        chi2 = np.sum(residual**2, axis=-1) - np.sum(residual_low**2, axis=-1)
        determinant = np.linalg.slogdet(normal)[1]
        return Solution(coefficients, chi2, determinant, (white, low), (residual, residual_low), normal)

    def continuum(self, solution) -> np.ndarray:
        """The polynomials of a solution, (s, r, n)."""
        return solution.coefficients @ self.basis

    def normal_equations(self, solution, slopes) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (s, r, q) and Gauss-Newton Hessian (s, r, q, q) of chi2 / 2.

        Parameters
        ----------
        solution : Solution
        slopes : ndarray, shape (s, r, q, n)
            Derivatives of the models.
        """
        s, r, q, n = slopes.shape
        slopes = -slopes * self.continuum(solution)[:, :, None]
        white = self._covariance.whiten(slopes.reshape(s, r * q, n))
        low = self._covariance.low(white).reshape(s, r, q, -1)
        white = white.reshape(s, r, q, -1)
        white_columns, low_columns = solution.white
        residual, residual_low = solution.residual
        mixed = white_columns @ white.swapaxes(-1, -2) - low_columns @ low.swapaxes(-1, -2)
        hessian = white @ white.swapaxes(-1, -2) - low @ low.swapaxes(-1, -2)
        hessian -= mixed.swapaxes(-1, -2) @ np.linalg.solve(solution.normal, mixed)
        gradient = (white @ residual[..., None])[..., 0] - (low @ residual_low[..., None])[..., 0]
        return gradient, hessian
