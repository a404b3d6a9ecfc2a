"""Where to start: a coarse, deterministic look at the whole label box and at all radial velocities."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .coarse import coarse_model
from .priors import Uniform

__all__ = ["STARTS", "Grid", "grid_for", "label_grid", "subset", "unit_points"]

STARTS = 6
_GRID = 2048  # spectra of the coarse grid
_CANDIDATES = 64  # of these, the best, to choose different ones from
_PART = 0.15  # of the range of a label: what is further apart is different
_FEW = 64  # of these, to look for the velocity
_COARSE = 15.0  # km/s, half the width of a line at the resolution of the RVS
_SAMPLING = 0.3  # Angstrom between the pixels looked at: still samples the lines


class Grid:
    """Emulator spectra over the label box, in every few of the pixels that many stars have in common.

    Parameters
    ----------
    model : CoarseModel
    theta : ndarray, shape (k, n_labels)
    """

    def __init__(self, model, theta):
        self.model, self.theta, self.velocities = model, theta, model.velocities
        few = theta[:: max(1, len(theta) // _FEW)]
        self._few = _with_squares(np.concatenate(model.flux(few, range(len(self.velocities)))))
        self._all = lru_cache(maxsize=16)(lambda i: _with_squares(model.flux(theta, [i])[0]))
        upper, lower = theta.max(axis=0), theta.min(axis=0)
        self._place = theta / np.where(upper > lower, _PART * (upper - lower), 1.0)

    def starts(self, flux, weight, basis, count) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `theta` (s, count), the best first, and velocities (s,) for each of s spectra.

        Parameters
        ----------
        flux, weight : ndarray, shape (s, n_pixels)
            Weights are inverse variances, zero for pixels not used.
        basis : ndarray, shape (p, n_pixels)
        """
        chi2 = _chi2(*self._few, flux, weight, basis)
        best = np.argmin(chi2.reshape(len(flux), len(self.velocities), -1).min(axis=2), axis=1)
        rows = np.empty((len(flux), count), dtype=int)
        for i in np.unique(best):
            stars = best == i
            chi2 = _chi2(*self._all(int(i)), flux[stars], weight[stars], basis)
            rows[stars] = [self._different(order, count) for order in np.argsort(chi2, axis=1)[:, :_CANDIDATES]]
        return rows, self.velocities[best]

    def _different(self, order, count):
        """The first `count` of the rows `order` that are not in the same part of the label space as one before."""
        place = self._place[order]
        chosen = [0]
        apart = np.max(np.abs(place - place[0]), axis=1) > 1
        while len(chosen) < count and apart.any():
            chosen.append(int(np.argmax(apart)))
            apart &= np.max(np.abs(place - place[chosen[-1]]), axis=1) > 1
        chosen += [i for i in range(len(order)) if i not in chosen][: count - len(chosen)]
        return order[chosen]

    def velocity(self, labels, own, flux, weight, basis) -> np.ndarray:
        """The best of the velocities `own` (s,) and all of the grid for stars of plain `labels` (s, n_labels)."""
        own_flux = self.model.jacobian(np.column_stack([labels, own]))[0]
        models = np.stack([own_flux, *self.model.flux(labels, range(len(self.velocities)))], axis=1)
        best = np.argmin(_chi2(models, models**2, flux, weight, basis), axis=1)
        return np.where(best == 0, own, np.append(np.nan, self.velocities)[best])


def _with_squares(models):
    return models, models**2


def _chi2(models, squares, flux, weight, basis) -> np.ndarray:
    """chi2 (s, k) of models (k, n), or others (s, k, n) for each star, for spectra (s, n): each pair with its
    own best continuum. Single precision: only to tell models apart."""
    size, n = basis.shape
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    products = np.array([basis[i] * basis[j] for i, j in pairs], dtype="f4")
    basis, weight, target = basis.astype("f4"), weight.astype("f4"), (weight * flux).astype("f4")

    def sums(factors, values, of):
        """Sum over pixels of factors (q, n) times values (s, n) times each model: (q, s, k)."""
        if of.ndim == 3:
            return np.moveaxis((of * values[:, None]) @ factors.T, -1, 0)
        return ((factors[:, None] * values).reshape(-1, n) @ of.T).reshape(len(factors), len(values), -1)

    normal = dict(zip(pairs, sums(products, weight, squares), strict=True))
    right = list(sums(basis, target, models))
    out = np.sum(weight * flux**2, axis=1, dtype=float)[:, None] - np.zeros(right[0].shape)
    for i in range(size):  # Gaussian elimination, all systems side by side
        out -= right[i] ** 2 / normal[i, i]
        for j in range(i + 1, size):
            factor = normal[i, j] / normal[i, i]
            right[j] = right[j] - factor * right[i]
            for k in range(j, size):
                normal[j, k] = normal[j, k] - factor * normal[i, k]
    return out


def grid_for(emulator, wavelength, parameters) -> Grid:
    """The `Grid` of these pixels and parameters; the last few are kept."""
    theta = parameters.full(label_grid(parameters))[:, : len(emulator.labels)]
    velocities = _steps(*parameters.velocities, _COARSE)
    return _grid(emulator, wavelength.tobytes(), theta.tobytes(), tuple(velocities.tolist()))


@lru_cache(maxsize=4)
def _grid(emulator, wavelength, theta, velocities):
    theta = np.frombuffer(theta).reshape(-1, len(emulator.labels))
    return Grid(coarse_model(emulator, wavelength, velocities), theta)


def subset(step) -> int:
    """Every so many pixels of `step` Angstrom are looked at."""
    return max(1, round(_SAMPLING / step))


def label_grid(parameters) -> np.ndarray:
    """Free parameters, shape (2048, m), evenly spread in their bounds; those with a prior stay at its centre.

    Points of the additive recurrence of Roberts (2018, "The unreasonable effectiveness of quasirandom
    sequences"), the same each time. Labels whose domain starts at zero (velocities) are squared, as
    most stars are near it.
    """
    free = parameters.free
    lower, upper = parameters.lower[free], parameters.upper[free]
    unit = np.where(lower == 0, unit_points(_GRID, len(free)) ** 2, unit_points(_GRID, len(free)))
    priors = [parameters.priors[i] for i in free]
    known = np.array([not isinstance(p, Uniform) for p in priors])
    centre = np.clip([p.centre for p in priors], lower, upper)
    return np.where(known, centre, lower + unit * (upper - lower))


@lru_cache(maxsize=32)
def unit_points(n, dimensions):
    """Evenly spread points in the unit cube, (n, dimensions); do not change them."""
    ratio = 2.0
    for _ in range(50):  # the root of x^(m + 1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    return (0.5 + np.outer(np.arange(1, n + 1), ratio ** -np.arange(1.0, dimensions + 1))) % 1.0


def _steps(lowest, highest, step) -> np.ndarray:
    """Multiples of `step` within the bounds, or their middle."""
    out = np.arange(np.ceil(lowest / step), np.floor(highest / step) + 1) * step
    return out if len(out) else np.array([(lowest + highest) / 2])
