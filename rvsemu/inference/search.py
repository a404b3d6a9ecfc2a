"""Where to start: a coarse, deterministic look at the whole label box and at all radial velocities."""

from __future__ import annotations

import numpy as np

from .forward import ForwardModel

__all__ = ["Search", "label_grid"]

_GRID = 256  # spectra of the coarse grid
_STARTS = 3
_COARSE = 15.0  # km/s, half the width of a line at the resolution of the RVS
_FINE = 5.0
_SAMPLING = 0.3  # Angstrom between the pixels looked at: still samples the lines


class Search:
    """chi2 of emulator spectra in every few pixels, each with its own best continuum.

    Parameters
    ----------
    observation : Observation
    emulator : Emulator
    parameters : Parameters
    basis : ndarray, shape (n, k)
        Continuum polynomials in all pixels of the observation.
    """

    def __init__(self, observation, emulator, parameters, basis):
        self._emulator, self._parameters = emulator, parameters
        some = np.flatnonzero(observation.usable)[:: max(1, round(_SAMPLING / observation.step))]
        self._model = ForwardModel(emulator, observation.wavelength[some])
        self._flux, self._basis = observation.flux[some], basis[some]
        noise = np.mean(emulator.error.sigma) * np.median(self._flux)
        self._weight = 1.0 / (observation.sigma[some] ** 2 + noise**2)

    def starts(self) -> np.ndarray:
        """Free parameters, shape (3, m): the best of `label_grid`, at the best velocity of a few."""
        theta = self._parameters.full(label_grid(self._parameters))
        fluxes = self._emulator.flux(theta[:, :-1])
        velocities = _steps(*self._parameters.velocities, _COARSE)
        few = fluxes[:: _GRID // 32]
        theta[:, -1] = velocities[np.argmin([self.chi2(few, v).min() for v in velocities])]
        best = np.argsort(self.chi2(fluxes, theta[0, -1]))[:_STARTS]
        return theta[best][:, self._parameters.free]

    def other_velocity(self, x) -> np.ndarray:
        """`x`, or `x` at another radial velocity where the same spectrum fits better."""
        theta = self._parameters.full(x)
        flux = self._emulator.flux(theta[:-1])
        velocities = np.append(theta[-1], _steps(*self._parameters.velocities, _FINE))
        theta[-1] = velocities[np.argmin([self.chi2(flux, v)[0] for v in velocities])]
        return theta[self._parameters.free]

    def chi2(self, fluxes, velocity) -> np.ndarray:
        """chi2 (k,) of emulator fluxes (k, n_grid), by the normal equations of their continua."""
        models = self._model.fluxes(fluxes, velocity)
        n, size = self._basis.shape
        products = (self._basis[:, :, None] * self._basis[:, None, :]).reshape(n, -1)
        normal = ((self._weight[:, None] * models**2).T @ products).reshape(-1, size, size)
        right = ((self._weight * self._flux)[:, None] * models).T @ self._basis
        solved = np.linalg.solve(normal, right[..., None])[..., 0]
        return np.sum(self._weight * self._flux**2) - np.sum(right * solved, axis=1)


def label_grid(parameters) -> np.ndarray:
    """Free parameters, shape (256, m), evenly spread in their bounds; those with a prior stay at its mean.

    Points of the additive recurrence of Roberts (2018, "The unreasonable effectiveness of quasirandom
    sequences"), the same each time. Labels whose domain starts at zero (velocities) are squared, as
    most stars are near it.
    """
    free = parameters.free
    lower, upper = parameters.lower[free], parameters.upper[free]
    ratio = 2.0
    for _ in range(50):  # the root of x^(m + 1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (len(free) + 1))
    steps = ratio ** -np.arange(1.0, len(free) + 1)
    unit = (0.5 + np.outer(np.arange(1, _GRID + 1), steps)) % 1.0
    unit[:, lower == 0] **= 2
    centre = np.clip(parameters.mean[free], lower, upper)
    return np.where(np.isfinite(parameters.sigma[free]), centre, lower + unit * (upper - lower))


def _steps(lowest, highest, step) -> np.ndarray:
    """Multiples of `step` within the bounds, or their middle."""
    out = np.arange(np.ceil(lowest / step), np.floor(highest / step) + 1) * step
    return out if len(out) else np.array([(lowest + highest) / 2])
