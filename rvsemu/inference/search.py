"""Where to start: a coarse, deterministic look at the whole label box and at all radial velocities."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..physics.wavelengths import doppler
from .forward import ForwardModel
from .priors import Uniform

__all__ = ["STARTS", "Grid", "grid_for", "label_grid", "subset"]

STARTS = 3
_GRID = 256  # spectra of the coarse grid
_FEW = 32  # of these, to look for the velocity
_COARSE = 15.0  # km/s, half the width of a line at the resolution of the RVS
_SAMPLING = 0.3  # Angstrom between the pixels looked at: still samples the lines


class Grid:
    """Emulator spectra over the label box, in every few of the pixels that many stars have in common.

    Parameters
    ----------
    model : ForwardModel
        Of the pixels to look at.
    theta : ndarray, shape (k, n_labels)
    velocities : ndarray, shape (v,)
        Radial velocities to try, km/s.
    """

    def __init__(self, model, theta, velocities):
        self.model, self.theta, self.velocities = model, theta, velocities
        self._fluxes = model.emulator.flux(theta)
        few = self._fluxes[:: max(1, len(theta) // _FEW)]
        self._few = self._at(few, velocities).reshape(len(velocities) * len(few), -1)
        self._all = {}

    def _at(self, fluxes, velocities):
        """Fluxes (k, n_grid) seen at each velocity: (v, k, n_pixels)."""
        shape = (len(velocities), *fluxes.shape)
        return self.model.sample(np.broadcast_to(fluxes, shape), velocities)

    def starts(self, flux, weight, basis, count) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `theta` (s, count), the best first, and velocities (s,) for each of s spectra.

        Parameters
        ----------
        flux, weight : ndarray, shape (s, n_pixels)
            Weights are inverse variances, zero for pixels not used.
        basis : ndarray, shape (p, n_pixels)
        """
        chi2 = _chi2(self._few, flux, weight, basis)
        best = np.argmin(chi2.reshape(len(flux), len(self.velocities), -1).min(axis=2), axis=1)
        rows = np.empty((len(flux), count), dtype=int)
        for i in np.unique(best):
            if i not in self._all:
                self._all[i] = self._at(self._fluxes, self.velocities[[i]])[0]
            stars = best == i
            chi2 = _chi2(self._all[i], flux[stars], weight[stars], basis)
            rows[stars] = np.argsort(chi2, axis=1)[:, :count]
        return rows, self.velocities[best]

    def velocity(self, fluxes, own, flux, weight, basis) -> np.ndarray:
        """The best of the velocities `own` (s,) and all of the grid for emulator spectra (s, n_grid)."""
        out = np.array(own, dtype=float)
        for i, spectrum in enumerate(fluxes):
            tried = np.append(own[i], self.velocities)
            rest = np.outer(doppler(1.0, -tried), self.model.wavelength)
            models = np.interp(rest, self.model.emulator.wavelength, spectrum)  # linear: only to tell them apart
            out[i] = tried[np.argmin(_chi2(models, flux[[i]], weight[[i]], basis)[0])]
        return out


def _chi2(models, flux, weight, basis) -> np.ndarray:
    """chi2 (s, k) of models (k, n) for spectra (s, n), each pair with its own best continuum."""
    size, n = basis.shape
    above = np.triu_indices(size)
    products = (basis[above[0]] * basis[above[1]]).astype("f4")
    weight, models = weight.astype("f4"), models.astype("f4", copy=False)
    target = weight * flux.astype("f4")
    packed = (weight[:, None] * products).reshape(-1, n) @ (models**2).T
    normal = np.empty((len(flux), len(models), size, size))
    normal[:, :, above[0], above[1]] = np.moveaxis(packed.reshape(len(flux), -1, len(models)), 1, 2)
    normal[:, :, above[1], above[0]] = normal[:, :, above[0], above[1]]
    right = np.moveaxis(
        ((target[:, None] * basis.astype("f4")).reshape(-1, n) @ models.T).reshape(len(flux), size, -1), 1, 2
    )
    right = right.astype(float)
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.sum(weight * flux**2, axis=1, dtype=float)[:, None] - np.sum(right * solved, axis=2)


def grid_for(emulator, wavelength, parameters) -> Grid:
    """The `Grid` of these pixels and parameters; the last few are kept."""
    theta = parameters.full(label_grid(parameters))[:, : len(emulator.labels)]
    velocities = _steps(*parameters.velocities, _COARSE)
    return _grid(emulator, wavelength.tobytes(), theta.tobytes(), tuple(velocities.tolist()))


@lru_cache(maxsize=4)
def _grid(emulator, wavelength, theta, velocities):
    theta = np.frombuffer(theta).reshape(-1, len(emulator.labels))
    return Grid(ForwardModel(emulator, np.frombuffer(wavelength)), theta, np.array(velocities))


def subset(step) -> int:
    """Every so many pixels of `step` Angstrom are looked at."""
    return max(1, round(_SAMPLING / step))


def label_grid(parameters) -> np.ndarray:
    """Free parameters, shape (256, m), evenly spread in their bounds; those with a prior stay at its centre.

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
    priors = [parameters.priors[i] for i in free]
    known = np.array([not isinstance(p, Uniform) for p in priors])
    centre = np.clip([p.centre for p in priors], lower, upper)
    return np.where(known, centre, lower + unit * (upper - lower))


def _steps(lowest, highest, step) -> np.ndarray:
    """Multiples of `step` within the bounds, or their middle."""
    out = np.arange(np.ceil(lowest / step), np.floor(highest / step) + 1) * step
    return out if len(out) else np.array([(lowest + highest) / 2])
