"""Where fits start: a coarse look at the whole label box and all velocities, and the minima that it leads to."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..emulator.network import DenseNetwork
from ..observing.forward import ForwardModel
from ..observing.memory import remembered
from .levenberg_marquardt import minimise
from .objective import objective

__all__ = ["STARTS", "CoarseModel", "Grid", "first_minima", "label_grid", "unit_points"]

STARTS = 8
"""Places, far from each other, from which minima are looked for."""
_GRID = 2048  # spectra of the coarse grid
_CANDIDATES = 64  # of these, the best, to choose different ones from
_ZONES = 6  # of Teff, equal in its logarithm
_PART = 0.15  # of the range of a label: what is further apart is different
_FEW = 64  # of these, to look for the velocity
_COARSE = 15.0  # km/s, half the width of a line at the resolution of the RVS
_SAMPLING = 0.3  # Angstrom between the pixels looked at: still samples the lines
_KEPT = 32  # of the things that are made for a velocity
_FIRST_STEPS, _STEPS = 2, 24
_TOLERANCE = 0.02  # of chi2 / 2: what is left is a tenth of a standard deviation
_SAME = 0.5  # sigma: starts that are nearer to each other have come together
_HOPELESS = 30.0  # above the lowest chi2 / 2, and not falling fast


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
        self._all = lru_cache(maxsize=_KEPT)(lambda i: _with_squares(model.flux(theta, [i])[0]))
        upper, lower = theta.max(axis=0), theta.min(axis=0)
        teff = theta[:, model.labels.names.index("teff")]
        self._zone = np.searchsorted(np.geomspace(teff.min(), teff.max(), _ZONES + 1)[1:-1], teff)
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
            rows[stars] = [self._different(one, count) for one in chi2]
        return rows, self.velocities[best]

    def _different(self, chi2, count) -> np.ndarray:
        """Rows to start from: the best of each zone of Teff, then the best that differ from all before.

        Lines of hydrogen and ionised metals are as strong on one side of 9500 K as on the other, and noise may hide the
        difference.
        """
        order = np.argsort(chi2, kind="stable")
        chosen = sorted((order[self._zone[order] == zone][0] for zone in np.unique(self._zone)), key=lambda i: chi2[i])
        place = self._place[order[:_CANDIDATES]]
        away = np.abs(place[:, None] - self._place[chosen]).max(axis=2).min(axis=1)
        while len(chosen) < count and (away > 1).any():
            first = int(np.argmax(away > 1))
            chosen.append(order[first])
            away = np.minimum(away, np.abs(place - place[first]).max(axis=1))
        chosen += [i for i in order[:_CANDIDATES] if i not in chosen][: count - len(chosen)]
        return np.array(chosen[:count])

    def velocity(self, labels, own, flux, weight, basis) -> np.ndarray:
        """The best of the velocities `own` (s,) and all of the grid for stars of plain `labels` (s, n_labels)."""
        own_flux = self.model.jacobian(np.column_stack([labels, own]))[0]
        models = np.stack([own_flux, *self.model.flux(labels, range(len(self.velocities)))], axis=1)
        best = np.argmin(_chi2(*_with_squares(models), flux, weight, basis), axis=1)
        return np.where(best == 0, own, np.append(np.nan, self.velocities)[best])


def _with_squares(models):
    models = models.astype(float)
    return models, models**2


def _chi2(models, squares, flux, weight, basis) -> np.ndarray:
    """chi2 (s, k) of models (k, n), or others (s, k, n) for each star, for spectra (s, n): each pair with its
    own best continuum. Double precision: which models are the best must not depend on rounding."""
    size, n = basis.shape
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    products = np.array([basis[i] * basis[j] for i, j in pairs])
    target = weight * flux

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


class CoarseModel:
    """The emulator with Doppler shift and sampling merged into its last layer.

    The last layer is linear, and so is sampling: at each of a few velocities their product is computed once, with
    its first two derivatives by the velocity. In between, the flux is the Taylor polynomial around the nearest of
    them, and its derivatives by the labels are those at that velocity. At 7.5 km/s from it, a fifth of a pixel, the
    flux is within some 1e-4.

    Parameters
    ----------
    model : ForwardModel
        Of the pixels to look at.
    velocities : ndarray, shape (v,)
        km/s.
    """

    def __init__(self, model, velocities):
        self.velocities, self.labels = velocities, model.emulator.labels
        *hidden, self._last = (*model.emulator.label_network.layers, *model.emulator.decoder.layers)
        if self._last.activation != "linear":
            raise ValueError("the last layer must be linear")
        self._hidden, self._model = DenseNetwork(hidden), model
        self._merged = lru_cache(maxsize=_KEPT)(self._merge)

    def _merge(self, i):
        """Last layer at velocity `i`: (3, inputs + 1, n_pixels), the weights and below them the bias; value,
        first and half the second derivative by the velocity."""
        rows = np.vstack([self._last.weights, self._last.bias])
        low, here, high = (self._model.sample(rows[None], [self.velocities[i] + dv])[0] for dv in (-1.0, 0.0, 1.0))
        return np.array([here, (high - low) / 2, (high + low) / 2 - here])

    def flux(self, labels, which) -> np.ndarray:
        """Normalised flux (v, n, n_pixels) for plain labels (n, n_labels) at the velocities numbered `which` (v,)."""
        hidden = self._hidden(self.labels.scaled(labels))
        merged = (self._merged(int(i))[0] for i in which)
        return np.array([hidden @ part[:-1] + part[-1] for part in merged])

    def jacobian(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Like `ForwardModel.jacobian`."""
        labels = theta[:, : len(self.labels)]
        velocity = theta[:, len(self.labels)]
        hidden, tangents = self._hidden.value_and_jacobian(self.labels.scaled(labels))
        tangents = tangents * self.labels.slope(labels)[:, :, None].astype(tangents.dtype)
        nearest = np.argmin(np.abs(velocity[:, None] - self.velocities), axis=1)
        n, m, size = tangents.shape
        flux = np.empty((n, len(self._model.wavelength)), dtype=hidden.dtype)
        slopes = np.empty((n, m + 1, flux.shape[1]), dtype=hidden.dtype)
        for i in np.unique(nearest):
            rows = nearest == i
            merged = self._merged(int(i))
            value, first, second = (hidden[rows] @ part[:-1] + part[-1] for part in merged)
            away = (velocity[rows] - self.velocities[i])[:, None].astype(hidden.dtype)
            flux[rows] = value + away * (first + away * second)
            slopes[rows, :m] = (tangents[rows].reshape(-1, size) @ merged[0, :-1]).reshape(-1, m, flux.shape[1])
            slopes[rows, m] = first + 2 * away * second
        return flux, slopes


def grid_for(model, parameters) -> Grid:
    """`Grid` for the pixels of a `ForwardModel`; kept with its emulator."""
    theta = parameters.full(label_grid(parameters))[:, : len(model.emulator.labels)]
    velocities = _steps(*parameters.velocities, _COARSE)
    key = ("grid", model.wavelength.tobytes(), theta.tobytes(), velocities.tobytes())
    return remembered(model.emulator, key, lambda: Grid(CoarseModel(model, velocities), theta))


def first_minima(stack, parameters) -> tuple[np.ndarray, np.ndarray]:
    """Minima of chi2 with white noise in every few pixels, from several starts, the best of each spectrum first.

    Parameters
    ----------
    stack : Stack
        Of s spectra.
    parameters : Parameters

    Returns
    -------
    star : ndarray of int, shape (k,)
        Number of the spectrum that each minimum belongs to, in order.
    x : ndarray, shape (k, m)
        Free parameters.
    """
    every = max(1, round(_SAMPLING / stack.observations[0].step))
    grid = grid_for(ForwardModel(stack.model.emulator, stack.wavelength[::every]), parameters)
    basis = stack.basis[:, ::every]
    used = np.array([o.usable[stack.pixels] for o in stack.observations])
    flux, sigma, _ = stack.rough(used, every)
    weight = 1.0 / sigma**2
    rows, velocity = grid.starts(flux, weight, basis, STARTS)
    star = np.repeat(np.arange(len(flux)), STARTS)
    x = parameters.from_labels(grid.theta[rows].reshape(len(star), -1), velocity[star])
    used = np.array([o.good(v)[stack.pixels] for o, v in zip(stack.observations, velocity, strict=True)])
    projection = stack.rough(used, every)[2]
    evaluate = objective(parameters, grid.model, projection, star)
    x = minimise(evaluate, x, parameters.box, _TOLERANCE, _FIRST_STEPS).x
    theta = parameters.full(x)
    labels, own = theta[:, : parameters.velocity], theta[:, parameters.velocity]
    theta[:, parameters.velocity] = grid.velocity(labels, own, flux[star], weight[star], basis)

    alive = np.arange(len(star))

    def prune(x, cost, hessian, last):
        nonlocal alive
        falling = last - cost
        alive = alive[worth_following(*(part[alive] for part in (star, x, cost, hessian, falling)))]
        return alive

    found = minimise(evaluate, theta[:, parameters.free], parameters.box, _TOLERANCE, _STEPS, prune)
    prune(found.x, found.cost, found.hessian, found.cost)
    return star[alive], found.x[alive]


def worth_following(star, x, cost, hessian, falling) -> np.ndarray:
    """Minimisations to go on with: those that have hope, and of those that have come together the best.

    Parameters
    ----------
    star : ndarray of int, shape (k,)
        Number of the spectrum of each.
    x, cost, hessian : ndarray, shape (k, m), (k,) and (k, m, m)
        Where they are.
    falling : ndarray, shape (k,)
        By how much the last steps have lowered the cost.

    Returns
    -------
    ndarray of int
        Rows, those of each spectrum together and the best first.
    """
    out = []
    for one in np.unique(star):
        rows = np.flatnonzero(star == one)
        rows = rows[np.argsort(cost[rows], kind="stable")]
        above = cost[rows] - cost[rows[0]]
        kept = []
        for i in rows[(above < _HOPELESS) | (falling[rows] > 2 * above)]:
            away = [x[i] - x[j] for j in kept]
            if all(d @ hessian[j] @ d > _SAME**2 for d, j in zip(away, kept, strict=True)):
                kept.append(i)
        out.extend(kept)
    return np.array(out)


def label_grid(parameters) -> np.ndarray:
    """Free parameters, shape (2048, m), spread evenly over their priors; those with a Gaussian one stay at its mean.

    Where the mean depends on other labels it is that of each point.

    Points of the additive recurrence of Roberts (2018, "The unreasonable effectiveness of quasirandom
    sequences"), the same each time.
    """
    free = parameters.free
    unit = unit_points(_GRID, len(free))
    columns = [parameters.priors[i].spread(column) for i, column in zip(free, unit.T, strict=True)]
    return parameters.expected(np.clip(np.array(columns).T, parameters.lower[free], parameters.upper[free]))


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
