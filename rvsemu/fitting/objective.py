"""What a fit minimises: chi2 / 2 - log prior, with its derivatives."""

from __future__ import annotations

import numpy as np

__all__ = ["CHUNK", "misfit", "objective"]

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
