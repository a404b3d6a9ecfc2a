"""Where fits start: a coarse look at the whole label box and all velocities, and the minima that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce

import numpy as np

from ..emulator.model import Emulator
from ..observing.memory import remembered
from ..observing.stack import Stack
from .bins import Binned
from .coarse import CoarseModel
from .levenberg_marquardt import Box, minimise
from .objective import objective
from .parameters import Parameters
from .templates import Normalised, Sums, Templates

__all__ = ["STARTS", "Grid", "first_minima", "followed", "label_grid", "likely_velocity", "unit_points"]

STARTS = 8
"""Places, far from each other, from which minima are looked for."""
_GRID = 2048  # spectra of the coarse grid
_CANDIDATES = 64  # of these, the best, to choose different ones from
_ZONES = 6  # of Teff, equal in its logarithm
_PART = 0.15  # of the range of a label: what is further apart is different
_FEW, _SOME = 64, 256  # of these, to look for the velocity, and to compare some
_LOOKED_AT = 8  # minima of chi2 as a function of the velocity, the best, to compare
_HIGH, _MORE = 1.5, 200.0  # times the lowest chi2, and this: other labels do not make up for more
_FIRST_DEGREE, _DEGREE = 1, 2  # of what is left of the continuum: while the velocity is open, and then
_NEAR = 3  # bins: templates of other labels may be best at a neighbouring velocity
_PEAKS = 3  # velocities that share the starts
_APART = 6  # bins: velocities that are nearer are one
_CLOSE = 15.0  # of chi2 / 2, above the best velocity: what may be as good when labels have been fitted
_STEPS = 24
_TOLERANCE = 0.02  # of chi2 / 2: what is left is a tenth of a standard deviation
_SAME = 0.5  # sigma: starts that are nearer to each other have come together
_HOPELESS = 30.0  # above the lowest chi2 / 2, and not falling fast


class Grid:
    """Emulator spectra over the label box, in logarithmic bins, for spectra on any pixels.

    Parameters
    ----------
    model : CoarseModel
    theta : ndarray, shape (k, n_labels)
    """

    def __init__(self, model: CoarseModel, theta: np.ndarray) -> None:
        self.model, self.theta = model, theta
        self._templates = Templates(model.flux(theta), slice(None, None, max(1, len(theta) // _FEW)))
        upper, lower = theta.max(axis=0), theta.min(axis=0)
        teff = theta[:, model.labels.names.index("teff")]
        self._zone = np.searchsorted(np.geomspace(teff.min(), teff.max(), _ZONES + 1)[1:-1], teff)
        self._place = theta / np.where(upper > lower, _PART * (upper - lower), 1.0)

    @classmethod
    def of(cls, emulator: Emulator, parameters: Parameters) -> Grid:
        """The one of an emulator and priors; kept with the emulator."""
        theta = label_grid(parameters)
        return remembered(emulator, ("grid", theta.tobytes()), lambda: cls(CoarseModel.of(emulator), theta))

    def starts(self, binned: Binned, star: int, shifts: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of `theta` (8,) to start from, their shifts in bins (8,), and the whole ones (8,) of the peaks of
        likelihood that they belong to; those of the best peak first.

        Parameters
        ----------
        binned : Binned
        star : int
        shifts : (int, int)
            Lowest and highest.
        """
        spectrum = Normalised.of(binned, star)
        some = shifts[0] + _lowest(self._templates.search(spectrum.sums(_FIRST_DEGREE), shifts).min(axis=0))
        sums = spectrum.sums(_DEGREE)
        peaks = [int(some[0])] if len(some) == 1 else self._compared(sums, some)
        rows, moved = [], []
        for number, peak in enumerate(peaks):
            count = len(range(number, STARTS, len(peaks)))
            rows.append(self._different(self._templates.look(sums, peak, _CANDIDATES), count))
            moved.append(self._refined(sums, rows[-1], peak, shifts))
        return np.concatenate(rows), np.concatenate(moved), np.repeat(peaks, [len(one) for one in rows])

    def starts_together(
        self, spectra: Sequence[Normalised], shifts: Sequence[tuple[int, int]]
    ) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Rows of `theta` (8,) to start from for all of t spectra of one star, the shifts (8, t) of each, and the whole
        ones [t] near them.

        Each spectrum has the shift at which the template that fits all of them best, each at its own shift, fits it.

        Parameters
        ----------
        spectra : sequence of Normalised
        shifts : sequence of (int, int)
            Lowest and highest of each.
        """
        pairs = list(zip((one.sums(_FIRST_DEGREE) for one in spectra), shifts, strict=True))
        found = [self._templates.search(sums, limits) for sums, limits in pairs]
        best = np.argmin(sum(chi2.min(axis=1) for chi2 in found))
        peaks = [limits[0] + int(np.argmin(chi2[best])) for chi2, limits in zip(found, shifts, strict=True)]
        sums = [one.sums(_DEGREE) for one in spectra]
        looks = [self._templates.look(one, peak, _CANDIDATES) for one, peak in zip(sums, peaks, strict=True)]
        rows = self._different(reduce(np.add, looks), STARTS)
        near = zip(sums, peaks, shifts, strict=True)
        moved = [self._refined(one, rows, peak, limits) for one, peak, limits in near]
        return rows, np.column_stack(moved), peaks

    def _compared(self, sums: Sums, shifts: np.ndarray) -> list[int]:
        """Of `shifts`, those to follow: that of the lowest chi2, and others as good that are far from it."""
        part = slice(None, None, max(1, len(self.theta) // _SOME))
        chi2 = np.array([self._templates.look(sums, shift, 1, part).min() for shift in shifts])
        chosen: list[int] = []
        for i in np.argsort(chi2, kind="stable"):
            near = chi2[i] < chi2.min() + 2 * _CLOSE
            if near and len(chosen) < _PEAKS and all(abs(shifts[i] - other) >= _APART for other in chosen):
                chosen.append(int(shifts[i]))
        return chosen

    def _refined(self, sums: Sums, rows: np.ndarray, peak: int, shifts: tuple[int, int]) -> np.ndarray:
        """Shift (k,), in fractions of bins, of each of the templates `rows` (k,): the vertex of a parabola through the
        lowest chi2 near the `peak` and its neighbours."""
        near = np.arange(max(shifts[0], peak - _NEAR), min(shifts[1], peak + _NEAR) + 1)
        chi2 = self._templates.near(sums, near, rows).T
        best = np.argmin(chi2, axis=0)
        inside = (best > 0) & (best < len(near) - 1)
        below, here, above = (np.take_along_axis(chi2, (best + d * inside)[None], 0)[0] for d in (-1, 0, 1))
        bend = below - 2.0 * here + above
        vertex = np.divide(below - above, 2.0 * bend, where=bend > 0, out=np.zeros(len(rows)))
        return near[best] + np.clip(vertex, -0.5, 0.5)

    def _different(self, chi2: np.ndarray, count: int) -> np.ndarray:
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


def _lowest(chi2: np.ndarray) -> np.ndarray:
    """Indices of the local minima of chi2 (v,) that are not far above the lowest of them, the best first."""
    padded = np.pad(chi2, 1, constant_values=np.inf)
    minima = np.flatnonzero((chi2 <= padded[:-2]) & (chi2 <= padded[2:]))
    minima = minima[chi2[minima] < _HIGH * chi2.min() + _MORE]
    return minima[np.argsort(chi2[minima], kind="stable")[:_LOOKED_AT]]


def first_minima(stack: Stack, parameters: Parameters, inflation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Minima of chi2 with white noise in logarithmic bins, from several starts, the best of each spectrum first.

    Parameters
    ----------
    stack : Stack
        Of s spectra.
    parameters : Parameters
    inflation : float
        By how much the correlation of the noise makes the variance of a mean over many pixels larger.

    Returns
    -------
    star : ndarray of int, shape (k,)
        Number of the spectrum that each minimum belongs to, in order.
    x : ndarray, shape (k, m)
        Free parameters.
    """
    grid = Grid.of(stack.emulator, parameters)
    bins = grid.model.bins
    shifts = bins.shifts(parameters.velocities)
    usable = np.array([o.usable[stack.pixels] for o in stack.observations])
    binned = Binned.of(stack, bins, usable, inflation, shifts)
    found = [grid.starts(binned, star, shifts) for star in range(len(usable))]
    rows, shift, whole = (np.concatenate(part) for part in zip(*found, strict=True))
    star = np.repeat(np.arange(len(usable)), STARTS)
    seen, which = np.unique(np.column_stack([star, whole]), axis=0, return_inverse=True)
    used = [stack.observations[i].good(float(bins.velocity(at)))[stack.pixels] for i, at in seen]
    masked = Binned.of(stack, bins, np.array(used), inflation, shifts, seen[:, 0])
    x = parameters.from_labels(grid.theta[rows], np.clip(bins.velocity(shift), *parameters.velocities))
    window = grid.model.window(masked.first, masked.flux.shape[1])
    evaluate = objective(parameters, window, masked.projection, which.ravel())
    return followed(evaluate, star, x, parameters.box)


def followed(evaluate: Callable, star: np.ndarray, x: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Minima that starts `x` (k, m) of the spectra `star` (k,) lead to."""
    alive = np.arange(len(star))

    def prune(x: np.ndarray, cost: np.ndarray, hessian: np.ndarray, last: np.ndarray) -> np.ndarray:
        nonlocal alive
        falling = last - cost
        alive = alive[worth_following(*(part[alive] for part in (star, x, cost, hessian, falling)))]
        return alive

    found = minimise(evaluate, x, box, _TOLERANCE, _STEPS, prune)
    prune(found.x, found.cost, found.hessian, found.cost)
    return star[alive], found.x[alive]


def likely_velocity(stack: Stack, parameters: Parameters, inflation: float = 1.0) -> float:
    """Radial velocity of the first spectrum of a `Stack`, km/s, to a bin."""
    grid = Grid.of(stack.emulator, parameters)
    shifts = grid.model.bins.shifts(parameters.velocities)
    usable = np.array([stack.observations[0].usable[stack.pixels]])
    binned = Binned.of(stack, grid.model.bins, usable, inflation, shifts, [0])
    return float(grid.model.bins.velocity(grid.starts(binned, 0, shifts)[1][0]))


def worth_following(
    star: np.ndarray, x: np.ndarray, cost: np.ndarray, hessian: np.ndarray, falling: np.ndarray
) -> np.ndarray:
    """Minimisations to go on with: those that have hope, and of those that have come together the best.

    Parameters
    ----------
    star : ndarray of int, shape (k,)
        Number of the spectrum of each.
    x, cost, hessian : ndarray, shape (k, m), (k,) and (k, m, m)
        Where they are.
    falling : ndarray, shape (k,)
        By how much the last step has lowered the cost.

    Returns
    -------
    ndarray of int
        Rows, those of each spectrum together and the best first.
    """
    order = np.lexsort((cost, star))
    _, first, stars, counts = np.unique(star[order], return_index=True, return_inverse=True, return_counts=True)
    place = np.arange(len(order)) - first[stars]  # among those of the same spectrum
    rows = np.full((len(counts), counts.max()), -1)
    rows[stars, place] = order
    above = cost[rows] - cost[rows[:, :1]]
    kept = (rows >= 0) & ((above < _HOPELESS) | (falling[rows] > above))
    apart = _apart(x[rows], hessian[rows])
    for i in range(1, rows.shape[1]):
        kept[:, i] &= np.all(apart[:, i, :i] | ~kept[:, :i], axis=1)
    return rows[kept]


def _apart(x: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Whether each two of j places `x` (s, j, m) with Hessians (s, j, m, m) differ, shape (s, j, j).

    The curvature of one may vanish, as along v sin i where that is 0: either tells them apart.
    """
    away = x[:, :, None] - x[:, None]
    distance = np.sum(away @ hessian * away, axis=3)
    return np.maximum(distance, distance.swapaxes(1, 2)) > _SAME**2


def label_grid(parameters: Parameters) -> np.ndarray:
    """Labels, shape (2048, n_labels), spread evenly over their priors; those with a Gaussian one stay at its mean.

    Where the mean depends on other labels it is that of each point.

    Points of the additive recurrence of Roberts (2018, "The unreasonable effectiveness of quasirandom
    sequences"), the same each time.
    """
    free = parameters.free[parameters.free < parameters.velocity]
    out = np.tile(parameters.fixed[: parameters.velocity], (_GRID, 1))
    for i, column in zip(free, unit_points(_GRID, len(free)).T, strict=True):
        out[:, i] = np.clip(parameters.priors[i].spread(column), parameters.lower[i], parameters.upper[i])
    return parameters.expected(parameters.squeezed(out))


@lru_cache(maxsize=32)
def unit_points(n: int, dimensions: int) -> np.ndarray:
    """Evenly spread points in the unit cube, (n, dimensions); do not change them."""
    ratio = 2.0
    for _ in range(50):  # the root of x^(m + 1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    return (0.5 + np.outer(np.arange(1, n + 1), ratio ** -np.arange(1.0, dimensions + 1))) % 1.0
