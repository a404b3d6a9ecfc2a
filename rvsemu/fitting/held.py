"""What spectra say of labels that are held: what the flags ``held-disputed`` and ``alpha-assumed`` are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .levenberg_marquardt import LIFTED, Minimum
from .parameters import RADIAL_VELOCITY, Parameters

__all__ = ["external_error", "likelihood_ratio", "tension", "with_held"]

_EXTERNAL = {"teff": 50.0, "logg": 0.12, "mh": 0.05, "vmic": 0.4, "alpha": 0.05, RADIAL_VELOCITY: 1.0}
"""By what fits of real stars may differ from right labels, besides their errors: see docs/stars."""
_SHARPER = 0.04  # of the resolution, because lines of models are broader than those of real stars
_BROADENED = 50.0  # (km/s)^2, which macroturbulence, unknown to the models, may add to the square of v sin i


def external_error(parameters: Parameters, label: int, value: ArrayLike) -> np.ndarray:
    """By what right values (...) of a held label may seem to be wrong in spectra of real stars."""
    name = parameters.space.names[label]
    if name == "vsini":
        return 0.5 * _BROADENED / np.maximum(value, LIFTED * (parameters.upper - parameters.lower)[label])
    if name.startswith(RADIAL_VELOCITY):  # of one spectrum, or of all transits
        name = RADIAL_VELOCITY
    return _SHARPER * np.asarray(value) if name == "resolution" else np.full(np.shape(value), _EXTERNAL.get(name, 0.0))


def with_held(parameters: Parameters, model, projection, x: np.ndarray, held: np.ndarray):
    """Gradient (k, n + h) and Gauss-Newton Hessian (k, n + h, n + h) of chi2 / 2 by free parameters and held labels.

    Where a label is held at 0 and the slope by it vanishes there, as that by v sin i, they are those a little above 0.

    Parameters
    ----------
    parameters : Parameters
        Of which n move the model.
    model : ForwardModel
    projection : Projection
        Of the k spectra and their covariances.
    x : ndarray, shape (k, m)
        Free parameters.
    held : ndarray of int, shape (h,)
        Numbers of the held labels in the parameters' space; the last columns.
    """
    order = np.append(parameters.free[parameters.free <= parameters.velocity], held)
    theta = parameters.full(x)
    theta[:, held] = np.maximum(theta[:, held], _lift(parameters)[held])
    flux, slopes = model.jacobian(theta, np.sort(order))
    solution = projection.solve(flux[:, None])
    columns = np.searchsorted(np.sort(order), order)
    gradient, hessian = projection.normal_equations(solution, slopes[:, None, columns])
    return gradient[:, 0], hessian[:, 0]


def tension(parameters: Parameters, x: np.ndarray, gradient, hessian, held: np.ndarray, external) -> np.ndarray:
    """By how many standard deviations spectra want other values (k, h) of held labels, next to minima `x` (k, m).

    All free labels follow, and other held ones do not: it is the score test (Rao 1948, Proc. Camb. Phil. Soc. 44, 50),
    the slope of the misfit by the label over the root of its curvature, both less what the free labels have of it.
    Labels that are known no better than by their range are not disputed, nor is 0 where a label cannot be less.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (k, m)
    gradient, hessian : ndarray, shape (k, n + h) and (k, n + h, n + h)
        Those of `with_held`, to which the priors of the first n free parameters are added here.
    held : ndarray of int, shape (h,)
    external : ndarray, shape (h,)
        Standard deviations of the held values themselves.
    """
    n, (first, second) = gradient.shape[1] - len(held), parameters.prior_slopes(x)
    known = 12.0 / (parameters.upper - parameters.lower) ** 2  # of labels without effect, too
    slopes = gradient[:, :n] + first[:, :n]
    bends = hessian[:, :n, :n] + second[:, :n, :n] + np.diag(known[parameters.free[:n]])
    mixed = np.linalg.solve(bends, hessian[:, :n, n:])
    slope = gradient[:, n:] - np.einsum("kij,ki->kj", mixed, slopes)
    curvature = np.diagonal(hessian[:, n:, n:], axis1=1, axis2=2) - np.einsum("kij,kij->kj", mixed, hessian[:, :n, n:])
    curvature = np.maximum(curvature, 0.0) + known[held]
    least = (parameters.fixed <= _lift(parameters))[held]
    wanted = np.where(least, np.maximum(-slope, 0.0), np.abs(slope))
    return wanted / np.sqrt(curvature + (external * curvature) ** 2)


def likelihood_ratio(parameters: Parameters, gain, found: Minimum, at: int, external) -> np.ndarray:
    """By how many standard deviations spectra want other values (k,) of a held label, from fits where it is free.

    Far from where a label belongs, the curvature of the misfit is not what it is there, and the score test says too
    little. It is the root of twice the `gain` (Wilks 1938, Ann. Math. Stat. 9, 60) that is compared with 1; with an
    error `external` of the held value, sigma**2 of the label grows to sigma**2 + external**2.

    Parameters
    ----------
    parameters : Parameters
        With the label among the free ones.
    gain : ndarray, shape (k,)
        By how much chi2 / 2 - log prior is lower where the label is free.
    found : Minimum
        Of these fits.
    at : int
        Number of the label among the free parameters.
    external : ndarray, shape (k,)
    """
    known = 12.0 / (parameters.upper - parameters.lower)[parameters.free] ** 2
    variance = np.linalg.inv(found.hessian + np.diag(known))[:, at, at]
    return np.sqrt(2.0 * np.maximum(gain, 0.0) / (1.0 + external**2 / variance))


def _lift(parameters: Parameters) -> np.ndarray:
    """Values (n,) below which the slopes by labels vanish, for labels that act by their square, and -infinity."""
    width = parameters.upper - parameters.lower
    return np.where(parameters.from_zero, LIFTED * width, -np.inf)
