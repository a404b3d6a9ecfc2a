"""How far spectra disagree with priors: what the flag ``prior-disputed`` is made of."""

from __future__ import annotations

import numpy as np

from .parameters import Parameters
from .priors import Prior, Uniform
from .vmic_prior import Microturbulence

__all__ = ["disputes"]

_HELD = 1e8  # by which what is at a limit is more certain than its range says
_TOLERATED = {"resolution": 0.04}  # of the prior's mean: lines of models are broader than those of real stars


def disputes(parameters: Parameters, x: np.ndarray, hessian: np.ndarray, label_errors: np.ndarray) -> np.ndarray:
    """By how many standard deviations spectra and priors differ (k, m); 0 for labels whose prior is uniform.

    A fit with a narrow prior stays near it, whatever the spectrum says. So it is what the spectrum and the other priors
    would have found without this prior, by one Gauss-Newton step from the minimum, that is compared with it. With u the
    slope of the prior's logarithm there, and v the variance of the label without the prior, the step gains u^2 v / 2.
    The distance is the root of twice this gain and of twice what the prior's logarithm is below its highest value: of
    what agreement costs both. That of a Gaussian is (free - mean) / sqrt(v + sigma^2), a standard normal number where
    the prior is right, and a smaller one for the resolution, of which bright real stars would dispute any right prior
    (see docs/stars). Labels at a limit stay there. Of `Microturbulence` it is the distance from the prior alone:
    without that prior, strong and broad lines are far from linear in their labels, and one step would dispute right
    priors.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (k, m)
        Maxima of the posterior.
    hessian : ndarray, shape (k, m, m)
        Of -log posterior, Gauss-Newton.
    label_errors : ndarray, shape (m, m)
        Covariance of the labels that no spectrum shows: see `rvsemu.fitting.label_errors`.
    """
    box, out = parameters.box, np.zeros(x.shape)
    lower = box.floor(x)
    domain = (parameters.space.upper - parameters.space.lower)[parameters.free]
    held = 1.0 + np.where((x <= lower) | (x >= box.upper), _HELD, 0.0)
    known = held * 12.0 / (box.upper - box.lower) ** 2  # at least, that labels without effect have errors, too
    first, second = parameters.prior_slopes(x)
    for column, (i, name) in enumerate(zip(parameters.free, parameters.free_names, strict=True)):
        prior = parameters.priors[i]
        if isinstance(prior, Microturbulence):
            out[:, column] = np.abs(first[:, column]) / np.sqrt(second[:, column, column])
        elif prior is not None and not isinstance(prior, Uniform):
            slope, bend = prior.slope(x[:, column])
            without, alone = hessian.copy(), known.copy()
            without[:, column, column] -= bend
            alone[:, column] = held[:, column] * 12.0 / domain[column] ** 2  # a truncated prior limits it no more
            variance = np.linalg.inv(without + np.eye(x.shape[1]) * alone[:, None, :])[:, column, column]
            more = label_errors[column, column] + (_TOLERATED.get(name, 0.0) * prior.centre) ** 2
            out[:, column] = _dispute(prior, x[:, column], slope, bend, np.maximum(variance, 0.0), more)
    return out


def _dispute(prior: Prior, x, slope, bend, variance, more: float) -> np.ndarray:
    """That of one prior (k,) at `x` (k,), from its derivatives there, and two variances of the label: without the prior
    (k,), and one to be added to it."""
    below = np.maximum(prior.log_density(prior.centre) - prior.log_density(x), 0.0)
    loss = slope**2 * variance + 2.0 * below
    return np.sqrt(loss * (1.0 + variance * bend) / (1.0 + (variance + more) * bend))
