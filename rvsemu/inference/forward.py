"""The whole forward model on one screen: labels and radial velocity to the flux in the observed pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..emulator import Emulator
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import SPEED_OF_LIGHT, doppler

__all__ = ["Continuum", "ForwardModel"]


@dataclass(frozen=True)
class ForwardModel:
    """Emulator, Doppler shift, sampling: everything about the star but its continuum.

    Parameters
    ----------
    emulator : Emulator
    wavelength : ndarray, shape (n,)
        Observed pixels, Angstrom, in the emulator's medium. (The shift is applied in that medium; in air
        this differs from the exact way by 1 m/s.)
    """

    emulator: Emulator
    wavelength: np.ndarray

    def flux(self, theta) -> np.ndarray:
        """Normalised flux, shape (n,), for `theta` = labels and radial velocity (km/s) as plain floats."""
        return self._sample(theta[-1]) @ self.emulator.flux(theta[:-1])[0].astype(float)

    def jacobian(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Flux (n,) and its derivatives (n, n_labels + 1) by each label and by the radial velocity."""
        velocity = theta[-1]
        flux, slopes = self.emulator.jacobian(theta[:-1])
        rest = doppler(self.wavelength, -velocity)
        per_velocity = -rest / SPEED_OF_LIGHT / (1.0 - (velocity / SPEED_OF_LIGHT) ** 2)
        everything = np.vstack([flux, slopes[0]]).T.astype(float)
        sampled = self._sample(velocity) @ everything
        shift = per_velocity * (self._sample(velocity, derivative=True) @ everything[:, 0])
        return sampled[:, 0], np.column_stack([sampled[:, 1:], shift])

    def sigma(self, theta) -> np.ndarray:
        """RMS error of the emulator, shape (n,), in units of the continuum."""
        rest = doppler(self.wavelength, -theta[-1])
        return np.interp(rest, self.emulator.wavelength, self.emulator.sigma(theta[:-1])[0])

    def fluxes(self, fluxes, velocity) -> np.ndarray:
        """Emulator fluxes (k, n_grid), already computed, in the observed pixels: (n, k)."""
        return self._sample(velocity) @ np.asarray(fluxes, dtype=float).T

    def _sample(self, velocity, derivative=False):
        grid = self.emulator.wavelength
        rest = doppler(self.wavelength, -velocity)
        return interpolation_matrix(grid[0], grid[1] - grid[0], len(grid), rest, derivative=derivative)


class Continuum:
    """The polynomial that multiplies a model: best coefficients, and what is left orthogonal to them.

    The coefficients enter linearly and are solved for at each step (variable projection, Golub & Pereyra
    1973, SIAM J. Numer. Anal. 10, 413); derivatives of the residual are those of Kaufman (1975, BIT 15,
    49), whose product with the residual is the exact gradient of chi2.

    Parameters
    ----------
    model : ndarray, shape (n,)
        Normalised flux.
    basis : ndarray, shape (n, k)
        Polynomials in the same pixels.
    flux : ndarray, shape (n,)
        Observed.
    inverse_sigma : ndarray, shape (n,)
        Square roots of the weights.
    """

    def __init__(self, model, basis, flux, inverse_sigma):
        self._inverse_sigma = inverse_sigma
        self._q, r = np.linalg.qr(basis * (model * inverse_sigma)[:, None])
        target = flux * inverse_sigma
        inside = self._q.T @ target
        self.coefficients = np.linalg.lstsq(r, inside, rcond=None)[0]
        self.continuum = basis @ self.coefficients
        self.residual = target - self._q @ inside
        """(observed - model x continuum) / sigma, shape (n,)."""

    def jacobian(self, slopes) -> np.ndarray:
        """Derivatives (n, m) of `residual` for derivatives `slopes` (n, m) of the normalised flux."""
        full = -slopes * (self.continuum * self._inverse_sigma)[:, None]
        return full - self._q @ (self._q.T @ full)
