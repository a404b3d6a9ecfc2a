"""What a fit minimises: chi2 / 2 - log prior, with its derivatives."""

from __future__ import annotations

import numpy as np

__all__ = ["misfit", "objective"]


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
