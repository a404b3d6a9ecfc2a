"""What a fit minimises: chi2 / 2 - log prior, with its derivatives."""

from __future__ import annotations

import numpy as np

__all__ = ["CHUNK", "misfit", "objective", "tension", "with_held"]

CHUNK = 32
"""Models at a time: more do not fit into the processor's cache."""


def objective(parameters, model, projection, star):
    """`misfit` less the logarithm of the prior, for `rvsemu.fitting.levenberg_marquardt.minimise`."""
    compared = misfit(parameters, model, projection, star)

    def evaluate(which, x):
        cost, gradient, hessian = compared(which, x)
        first, second = parameters.prior_slopes(x)
        return cost - parameters.log_prior(x), gradient + first, hessian + second

    return evaluate


def misfit(parameters, model, projection, star):
    """chi2 / 2 as a function of free parameters.

    Parameters
    ----------
    parameters : Parameters
    model : ForwardModel or CoarseModel
        With ``jacobian(theta)``.
    projection : Projection
        Of the spectra and their covariances.
    star : ndarray of int, shape (k,)
        Number, in `projection`, of the spectrum that each of k problems is about.

    Returns
    -------
    callable
        ``evaluate(which, x)`` -> cost (j,), gradient (j, m) and Gauss-Newton Hessian (j, m, m) of the problems
        `which` (j,) at x (j, m).
    """
    moved = parameters.free[parameters.free <= parameters.velocity]  # the jitter does not move the model
    n = len(moved)

    def evaluate(which, x):
        theta, m = parameters.full(x), x.shape[1]
        if len(x) <= CHUNK:
            return some(which, theta, m)
        order = np.argsort(theta[:, parameters.velocity], kind="stable")  # alike, for the model's sake
        parts = [some(which[rows], theta[rows], m) for rows in np.array_split(order, -(-len(x) // CHUNK))]
        back = np.argsort(order)
        return tuple(np.concatenate(part)[back] for part in zip(*parts, strict=True))

    def some(which, theta, m):
        flux, slopes = model.jacobian(theta, moved)
        spectra = projection.take(star[which])
        solution = spectra.solve(flux[:, None])
        gradient, hessian = np.zeros((len(theta), m)), np.zeros((len(theta), m, m))
        parts = spectra.normal_equations(solution, slopes[:, None])
        gradient[:, :n], hessian[:, :n, :n] = parts[0][:, 0], parts[1][:, 0]
        return 0.5 * solution.chi2[:, 0], gradient, hessian

    return evaluate


def with_held(parameters, model, projection, x, label) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (k, n + 1) and Gauss-Newton Hessian (k, n + 1, n + 1) of chi2 / 2 by free parameters and a held label.

    Parameters
    ----------
    parameters : Parameters
        Of which n move the model.
    model : ForwardModel
    projection : Projection
        Of the k spectra and their covariances.
    x : ndarray, shape (k, m)
        Free parameters.
    label : int
        Number of the label in the parameters' space; the last column.
    """
    moved = np.sort(np.append(parameters.free[parameters.free <= parameters.velocity], label))
    last = np.argsort(moved == label, kind="stable")
    flux, slopes = model.jacobian(parameters.full(x), moved)
    solution = projection.solve(flux[:, None])
    gradient, hessian = projection.normal_equations(solution, slopes[:, None, last])
    return gradient[:, 0], hessian[:, 0]


def tension(parameters, x, gradient, hessian) -> np.ndarray:
    """By how many standard deviations spectra want another value (k,) of a held label, next to minima `x` (k, m).

    All other labels follow: it is the score test (Rao 1948, Proc. Camb. Phil. Soc. 44, 50), the slope of the misfit
    by the label over the root of its curvature, both less what the free labels have of it. Gradient and Hessian are
    those of `with_held`; the priors of the first n free parameters are added.
    """
    n, (first, second) = gradient.shape[1] - 1, parameters.prior_slopes(x)
    width = (parameters.upper - parameters.lower)[parameters.free[:n]]
    slopes = gradient[:, :n] + first[:, :n]
    bends = hessian[:, :n, :n] + second[:, :n, :n] + np.diag(12.0 / width**2)  # of labels without effect, too
    mixed = np.linalg.solve(bends, hessian[:, :n, n:])[..., 0]
    slope = gradient[:, n] - np.sum(mixed * slopes, axis=1)
    curvature = hessian[:, n, n] - np.sum(mixed * hessian[:, n, :n], axis=1)
    return np.abs(slope) / np.sqrt(np.maximum(curvature, np.finfo(float).tiny))
