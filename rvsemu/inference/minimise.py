"""Levenberg-Marquardt for many small problems at once, inside bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Minimum", "minimise"]

_FIRST, _LARGEST = 1e-3, 1e8  # damping at the start, and where a problem is given up
_MORE, _LESS = 8.0, 0.1


@dataclass
class Minimum:
    """Where k minimisations ended.

    Parameters
    ----------
    x : ndarray, shape (k, m)
    cost : ndarray, shape (k,)
    hessian : ndarray, shape (k, m, m)
        Gauss-Newton, at x.
    converged : ndarray of bool, shape (k,)
    """

    x: np.ndarray
    cost: np.ndarray
    hessian: np.ndarray
    converged: np.ndarray


def minimise(evaluate, x, lower, upper, tolerance, steps) -> Minimum:
    """Minimise k functions of m variables from k starts, all of them in the same matrix products.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(which, x)`` -> cost (j,), gradient (j, m) and Gauss-Newton Hessian (j, m, m) of the
        problems `which` (j,) at x (j, m).
    x : ndarray, shape (k, m)
    lower, upper : ndarray, shape (m,)
        Bounds. A variable at its bound is held there while its gradient points outwards.
    tolerance : float
        A problem is done when its next step is expected to lower its cost by less than this.
    steps : int
        At most so many.

    Notes
    -----
    Marquardt (1963, J. SIAM 11, 431): steps solve (H + damping diag H) s = -g.
    """
    x = np.clip(x, lower, upper)
    every = np.arange(len(x))
    cost, gradient, hessian = evaluate(every, x)
    damping = np.full(len(x), _FIRST)
    converged = np.zeros(len(x), dtype=bool)
    active = every
    for _ in range(steps):
        step = _steps(x[active], gradient[active], hessian[active], damping[active], lower, upper)
        gain = -np.sum(step * gradient[active], axis=1)
        gain -= 0.5 * np.einsum("ki,kij,kj->k", step, hessian[active], step)
        done = gain < tolerance
        converged[active[done]] = True
        active, step, gain = active[~done], step[~done], gain[~done]
        if not len(active):
            break
        trial = np.clip(x[active] + step, lower, upper)
        new = evaluate(active, trial)
        ratio = (cost[active] - new[0]) / gain
        better = ratio > 1e-3
        taken = active[better]
        x[taken], cost[taken], gradient[taken], hessian[taken] = (v[better] for v in (trial, *new))
        damping[active] *= np.where(ratio > 0.7, _LESS, np.where(ratio > 0.25, 1.0, _MORE))
        damping[active] = np.maximum(damping[active], 1e-9)
        active = active[damping[active] < _LARGEST]
    return Minimum(x, cost, hessian, converged)


def _steps(x, gradient, hessian, damping, lower, upper):
    """Damped Gauss-Newton steps (k, m) that stay inside the bounds."""
    width = upper - lower
    held = ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
    step = np.zeros_like(x)
    for _ in range(x.shape[1]):
        matrix = hessian * width[:, None] * width
        diagonal = np.einsum("kii->ki", matrix)
        diagonal += damping[:, None] * diagonal + 1e-12
        matrix[held[:, :, None] | held[:, None, :]] = 0.0
        diagonal[held] = 1.0
        target = np.where(held, 0.0, -gradient * width)
        step = np.linalg.solve(matrix, target[..., None])[..., 0] * width
        ends = x + step
        leaving = ((ends < lower) & (x <= lower)) | ((ends > upper) & (x >= upper))
        if not np.any(leaving & ~held):
            break
        held |= leaving
    inside = np.clip(x + step, lower, upper) - x
    return inside
