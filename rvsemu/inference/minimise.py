"""Levenberg-Marquardt for many small problems at once, inside bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Minimum", "minimise"]

_FIRST, _LARGEST = 1e-3, 1e8  # damping at the start, and where a problem is given up
_MORE, _LESS, _POOR = 5.0, 0.1, 0.1  # factors of the damping after bad and good steps; at least after bad ones


@dataclass
class Minimum:
    """Where k minimisations ended.

    Parameters
    ----------
    x : ndarray, shape (k, m)
    cost : ndarray, shape (k,)
    hessian : ndarray, shape (k, m, m)
        Gauss-Newton, at x or one last small step before.
    converged : ndarray of bool, shape (k,)
    """

    x: np.ndarray
    cost: np.ndarray
    hessian: np.ndarray
    converged: np.ndarray


def minimise(evaluate, x, lower, upper, reach, tolerance, steps) -> Minimum:
    """Minimise k functions of m variables from k starts, all of them in the same matrix products.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(which, x)`` -> cost (j,), gradient (j, m) and Gauss-Newton Hessian (j, m, m) of the
        problems `which` (j,) at x (j, m).
    x : ndarray, shape (k, m)
    lower, upper : ndarray, shape (m,)
        Bounds.
    reach : callable
        From x (j, m), the longest steps to take there, down (j, m) and up (j, m).
    tolerance : float
        A problem is done when a step is expected to lower its cost by less than this; the step is taken
        without another evaluation.
    steps : int
        At most so many.

    Notes
    -----
    Marquardt (1963, J. SIAM 11, 431): steps minimise the quadratic model with H + damping diag H within the
    bounds and the reach, by an active set.
    """
    x = np.clip(x, lower, upper)
    every = np.arange(len(x))
    cost, gradient, hessian = evaluate(every, x)
    damping = np.full(len(x), _FIRST)
    converged = np.zeros(len(x), dtype=bool)
    active = every
    for _ in range(steps):
        step = _steps(x[active], gradient[active], hessian[active], damping[active], lower, upper, reach)
        gain = -np.sum(step * gradient[active], axis=1)
        gain -= 0.5 * np.einsum("ki,kij,kj->k", step, hessian[active], step)
        done = gain * (1.0 + damping[active]) < tolerance
        last = active[done]
        x[last] = np.clip(x[last] + step[done], lower, upper)
        cost[last] -= gain[done]
        converged[last] = True
        active, step, gain = active[~done], step[~done], gain[~done]
        if not len(active):
            break
        trial = np.clip(x[active] + step, lower, upper)
        new = evaluate(active, trial)
        ratio = (cost[active] - new[0]) / gain
        better = ratio > 1e-3
        taken = active[better]
        x[taken], cost[taken], gradient[taken], hessian[taken] = (v[better] for v in (trial, *new))
        worse = np.maximum(_MORE * damping[active], _POOR)
        kept = np.where(ratio > 0.7, np.maximum(_LESS * damping[active], 1e-9), damping[active])
        damping[active] = np.where(ratio > 0.25, kept, worse)
        active = active[damping[active] < _LARGEST]
    return Minimum(x, cost, hessian, converged)


def _steps(x, gradient, hessian, damping, lower, upper, reach):
    """Damped Gauss-Newton steps (k, m) inside the bounds and no longer than `reach`."""
    width = upper - lower  # the unit of each variable here
    matrix = hessian * width[:, None] * width
    index = np.arange(x.shape[1])
    matrix[:, index, index] += damping[:, None] * matrix[:, index, index] + 1e-12
    gradient = gradient * width
    down, up = reach(x)
    low, high = np.maximum(lower - x, -down) / width, np.minimum(upper - x, up) / width
    held = np.zeros(x.shape, dtype=bool)
    step = np.zeros(x.shape)
    for _ in range(x.shape[1]):
        target = -gradient - np.einsum("kij,kj->ki", matrix, np.where(held, step, 0.0))
        free = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix)
        free[:, index, index] = np.where(held, 1.0, free[:, index, index])
        solved = np.linalg.solve(free, np.where(held, step, target)[..., None])[..., 0]
        step = np.clip(solved, low, high)
        beyond = (solved != step) & ~held
        if not beyond.any():
            break
        held |= beyond
    return step * width
