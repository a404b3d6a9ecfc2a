"""Levenberg-Marquardt for many small problems at once, inside bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..observing.results import LEAST_SQUARED

__all__ = ["LIFTED", "Box", "Minimum", "minimise"]

LIFTED = 0.002
"""Of the range of a variable that acts by its square: nearer to zero there is no slope."""
_FIRST, _LARGEST = 1e-3, 1e8  # damping at the start, and where a problem is given up
_ASIDE = 1e-6  # of a range, for the slope of an edge
_NOISE = 2e-6  # of a cost: what single precision cannot resolve
_MORE, _LESS, _POOR = 5.0, 0.1, 0.1  # factors of the damping after bad and good steps; at least after bad ones
_DOUBT = 100.0  # of a cost: the quadratic model of a start, far from any minimum, may promise so much too little
_WHILE = 10  # steps that together must lower the cost by more than the tolerance


@dataclass(frozen=True)
class Box:
    """Bounds of m variables, and how far a step may go.

    Parameters
    ----------
    lower, upper : ndarray, shape (m,)
    edge : (int, int, callable), optional
        Variables i and j, and the lowest value of the latter, ``edge(x_i)``, where that is above its lower bound.
    signed : sequence of int
        Variables that do not act by their square, even if their lower bound is 0, as those of other variables do.
    """

    lower: np.ndarray
    upper: np.ndarray
    edge: tuple[int, int, Callable] | None = None
    signed: tuple[int, ...] = ()

    @cached_property
    def from_zero(self) -> np.ndarray:
        """Variables (m,) that act by their square."""
        return (self.lower == 0) & ~np.isin(np.arange(len(self.lower)), self.signed)

    def floor(self, x) -> np.ndarray:
        """Lower bounds (k, m) at x (k, m)."""
        out = np.empty(x.shape)
        out[:] = self.lower
        if self.edge is not None:
            i, j, lowest = self.edge
            out[:, j] = np.maximum(out[:, j], lowest(x[:, i]))
        return out

    def clip(self, x) -> np.ndarray:
        """x (k, m) moved into the bounds."""
        x = np.clip(x, self.lower, self.upper)
        return x if self.edge is None else np.maximum(x, self.floor(x))

    def along(self, x) -> np.ndarray:
        """Matrices (k, m, m) that make steps from x (k, m) of such along the edge, where that is nearer than the upper
        bound, and away from it."""
        out = np.tile(np.eye(x.shape[1]), (len(x), 1, 1))
        if self.edge is not None:
            i, j, lowest = self.edge
            aside = _ASIDE * (self.upper[i] - self.lower[i])
            slope = (lowest(x[:, i] + aside) - lowest(x[:, i] - aside)) / (2.0 * aside)
            out[:, j, i] = np.where(2.0 * x[:, j] < self.floor(x)[:, j] + self.upper[j], slope, 0.0)
        return out

    def holds(self, x) -> np.ndarray:
        """Whether x (k, m) is inside, shape (k,)."""
        return np.all((x >= self.floor(x)) & (x <= self.upper), axis=1)

    def lifted(self, x) -> np.ndarray:
        """x (k, m) with variables that act by their square a little above 0, where no slope would ever move them."""
        return np.where(self.from_zero, np.maximum(x, LIFTED * (self.upper - self.lower)), x)

    def stiffness(self, x) -> np.ndarray:
        """By what the damping (k, m) is multiplied: more than 1 where a variable that acts by its square is near 0.

        There the Gauss-Newton Hessian, which grows with the square of the variable, is too small for steps of its own
        size: a damping that is right for this variable would hold all others still.
        """
        near = LEAST_SQUARED * (self.upper - self.lower)
        return np.where(self.from_zero & (x < near), np.square(near / np.maximum(x, 0.01 * near)), 1.0)

    def reach(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Longest steps down and up, each (k, m), from x (k, m).

        A third of the range of a variable. Where that begins at 0, as for v sin i, lines change with the square of the
        variable and near 0 the slope says nothing: there up to a little more than the double, and down to a half,
        unless that is a thousandth of the range.
        """
        width = self.upper - self.lower
        up = np.where(self.from_zero, np.minimum(x + 0.03 * width, width / 3), width / 3)
        down = np.where(self.from_zero & (x > 0.001 * width), np.minimum(x / 2, width / 3), width / 3)
        return down, up


@dataclass
class Minimum:
    """Where k minimisations ended.

    Parameters
    ----------
    x : ndarray, shape (k, m)
    cost : ndarray, shape (k,)
    hessian : ndarray, shape (k, m, m)
        Gauss-Newton.
    converged : ndarray of bool, shape (k,)
    """

    x: np.ndarray
    cost: np.ndarray
    hessian: np.ndarray
    converged: np.ndarray


def minimise(evaluate, x, box, tolerance, steps, prune=None) -> Minimum:
    """Minimise k functions of m variables from k starts, all of them in the same matrix products.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(which, x)`` -> cost (j,), gradient (j, m) and Gauss-Newton Hessian (j, m, m) of the
        problems `which` (j,) at x (j, m).
    x : ndarray, shape (k, m)
    box : Box
        Bounds, and the longest steps.
    tolerance : float
        A problem is done when a step is expected to lower its cost by less than this; it is the last one. Or when it
        did not, and was expected to do so by less than the rounding of the cost. Or when ten steps together have
        lowered it by less than this.
    steps : int
        Maximum number of steps.
    prune : callable, optional
        ``prune(x, cost, hessian, last)`` -> rows (j,), of all k problems, that are worth going on with; `last` (k,) are
        the costs before the step. Asked after every step; and before the first one, as if that had gained what it is
        expected to, and somewhat more.

    Notes
    -----
    Marquardt (1963, J. SIAM 11, 431): steps minimise the quadratic model with H + damping diag H within the
    bounds and the reach, by a primal-dual active set (Hintermueller, Ito & Kunisch 2002, SIAM J. Optim. 13, 865). Where
    that does not settle, steps may be uphill; then, too, the damping rises, and with it the matrix becomes diagonal.
    """
    x = box.clip(box.lifted(x))
    every = np.arange(len(x))
    cost, gradient, hessian = evaluate(every, x)
    damping = np.full(len(x), _FIRST)
    converged = np.zeros(len(x), dtype=bool)
    active, last, earlier = every, cost.copy(), cost.copy()
    if prune is not None:
        first = _steps(x, gradient, hessian, damping, box)
        active = np.sort(prune(x, cost, hessian, cost + _gain(first, gradient, hessian) + _DOUBT))
    for number in range(steps):
        step = _steps(x[active], gradient[active], hessian[active], damping[active], box)
        gain = _gain(step, gradient[active], hessian[active])
        done = (gain >= 0) & (gain * (1.0 + damping[active]) < tolerance)
        trial = box.clip(x[active] + step)
        new = evaluate(active, trial)
        with np.errstate(invalid="ignore"):  # infinite costs, where a prior is zero
            ratio = (cost[active] - new[0]) / np.maximum(gain, 1e-300)
        better = ratio > 1e-3
        done |= ~better & (gain >= 0) & (gain * (1.0 + damping[active]) < _NOISE * np.abs(cost[active]))
        taken = active[better]
        x[taken], cost[taken], gradient[taken], hessian[taken] = (v[better] for v in (trial, *new))
        worse = np.maximum(_MORE * damping[active], _POOR)
        kept = np.where(ratio > 0.7, np.maximum(_LESS * damping[active], 1e-9), damping[active])
        damping[active] = np.where(ratio > 0.25, kept, worse)
        if number % _WHILE == _WHILE - 1:
            done |= earlier[active] - cost[active] < tolerance
            earlier = cost.copy()
        converged[active[done]] = True
        active = active[~done & (damping[active] < _LARGEST)]
        if prune is not None:
            active = np.intersect1d(active, prune(x, cost, hessian, last))
            last = cost.copy()
        if not len(active):
            break
    return Minimum(x, cost, hessian, converged)


def _gain(step, gradient, hessian):
    """By how much steps (k, m) lower the quadratic models, shape (k,)."""
    return -np.sum(step * gradient, axis=1) - 0.5 * np.einsum("ki,kij,kj->k", step, hessian, step)


def _steps(x, gradient, hessian, damping, box):
    """Damped Gauss-Newton steps (k, m) inside the bounds and no longer than their reach."""
    if box.edge is None:
        return _held_steps(x, gradient, hessian, damping, box)
    along = box.along(x)
    gradient, hessian = np.einsum("ki,kij->kj", gradient, along), along.transpose(0, 2, 1) @ hessian @ along
    return np.einsum("kij,kj->ki", along, _held_steps(x, gradient, hessian, damping, box))


def _held_steps(x, gradient, hessian, damping, box):
    """The same in variables of which some are held at constant bounds."""
    width = box.upper - box.lower  # the unit of each variable here
    matrix = hessian * width[:, None] * width
    index = np.arange(x.shape[1])
    matrix[:, index, index] += damping[:, None] * box.stiffness(x) * matrix[:, index, index] + 1e-12
    gradient = gradient * width
    down, up = box.reach(x)
    low, high = np.maximum(box.floor(x) - x, -down) / width, np.minimum(box.upper - x, up) / width
    at_low, at_high = np.zeros(x.shape, dtype=bool), np.zeros(x.shape, dtype=bool)
    for _ in range(2 * x.shape[1]):
        held = at_low | at_high
        edge = np.where(at_low, low, np.where(at_high, high, 0.0))
        free = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix)
        free[:, index, index] = np.where(held, 1.0, free[:, index, index])
        target = np.where(held, edge, -gradient - np.einsum("kij,kj->ki", matrix, edge))
        step = np.linalg.solve(free, target[..., None])[..., 0]
        uphill = gradient + np.einsum("kij,kj->ki", matrix, step)
        now_low, now_high = (step < low) | (at_low & (uphill > 0)), (step > high) | (at_high & (uphill < 0))
        if np.array_equal(now_low, at_low) and np.array_equal(now_high, at_high):
            break
        at_low, at_high = now_low, now_high
    step = np.clip(step, low, high)
    return step * width
