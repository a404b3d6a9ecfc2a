"""What a fit minimises: chi2 / 2 - log prior, with its derivatives."""

from __future__ import annotations

import numpy as np

__all__ = ["misfit", "objective", "tension"]


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
        flux, slopes = model.jacobian(parameters.full(x))
        some = projection.take(star[which])
        solution = some.solve(flux[:, None])
        gradient, hessian = np.zeros(x.shape), np.zeros((*x.shape, x.shape[1]))
        parts = some.normal_equations(solution, slopes[:, None, moved])
        gradient[:, :n], hessian[:, :n, :n] = parts[0][:, 0], parts[1][:, 0]
        return 0.5 * solution.chi2[:, 0], gradient, hessian

    return evaluate


def tension(parameters, model, projection, x, label) -> np.ndarray:
    """By how many standard deviations spectra want another value (k,) of a fixed label, next to a minimum.

    All other labels follow: it is the score test (Rao 1948, Proc. Camb. Phil. Soc. 44, 50), the slope of the misfit
    by the label over the root of its curvature, both less what the free labels have of it.

    Parameters
    ----------
    parameters : Parameters
    model : ForwardModel
    projection : Projection
        Of the k spectra and their covariances.
    x : ndarray, shape (k, m)
        Free parameters at the minima.
    label : int
        Number of the label in the parameters' space.
    """
    moved = parameters.free[parameters.free <= parameters.velocity]
    flux, slopes = model.jacobian(parameters.full(x))
    solution = projection.solve(flux[:, None])
    parts = projection.normal_equations(solution, slopes[:, None, [*moved, label]])
    gradient, hessian = parts[0][:, 0].copy(), parts[1][:, 0].copy()
    n, (first, second) = len(moved), parameters.prior_slopes(x)
    width = (parameters.upper - parameters.lower)[moved]
    gradient[:, :n] += first[:, :n]
    hessian[:, :n, :n] += second[:, :n, :n] + np.diag(12.0 / width**2)  # of labels without effect, too
    mixed = np.linalg.solve(hessian[:, :n, :n], hessian[:, :n, n:])[..., 0]
    slope = gradient[:, n] - np.sum(mixed * gradient[:, :n], axis=1)
    curvature = hessian[:, n, n] - np.sum(mixed * hessian[:, n, :n], axis=1)
    return np.abs(slope) / np.sqrt(np.maximum(curvature, np.finfo(float).tiny))
