"""How far spectra disagree with normal priors: what the flag ``prior-disputed`` is made of."""

from __future__ import annotations

import numpy as np

from .parameters import Parameters
from .priors import Normal
from .vmic_prior import Microturbulence

__all__ = ["disputes"]

_HELD = 1e8  # by which what is at a limit is more certain than its range says
_TOLERATED = {"resolution": 0.04}  # of the prior's mean: lines of models are broader than those of real stars


def disputes(parameters: Parameters, x: np.ndarray, hessian: np.ndarray, label_errors: np.ndarray) -> np.ndarray:
    """By how many standard deviations spectra and normal priors differ (k, m); 0 for labels without such a prior.

    A fit with a narrow prior stays near it, whatever the spectrum says. So it is what the spectrum and the other priors
    would have found without this prior, by one Gauss-Newton step from the minimum, that is compared with it. If r is
    the distance from the prior in its standard deviations, with the derivatives u, and A the Hessian without it, r
    grows to r (1 + q) with q = u A^-1 u, and it is expected to scatter by sqrt(1 + q). Right priors give a standard
    normal number, smaller ones for the resolution, of which bright real stars would dispute any right prior (see
    docs/stars). Labels at a limit stay there. Of `Microturbulence` it is r itself: without that prior, strong and
    broad lines are far from linear in their labels, and one step would dispute right priors.

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
    width = box.upper - box.lower
    held = np.where((x <= lower) | (x >= box.upper), _HELD, 0.0)
    known = (1.0 + held) * 12.0 / width**2  # at least, that labels without effect have errors, too
    first, second = parameters.prior_slopes(x)
    for column, (i, name) in enumerate(zip(parameters.free, parameters.free_names, strict=True)):
        prior = parameters.priors[i]
        if isinstance(prior, Microturbulence):
            out[:, column] = np.abs(first[:, column]) / np.sqrt(second[:, column, column])
        elif isinstance(prior, Normal):
            by = np.zeros(x.shape)
            by[:, column] = 1.0 / prior.sigma
            far = (x[:, column] - prior.mean) / prior.sigma
            tolerated = (_TOLERATED.get(name, 0.0) * prior.mean / prior.sigma) ** 2
            out[:, column] = _dispute(far, by, hessian, known, label_errors, tolerated)
    return out


def _dispute(far, by, hessian, known, label_errors, tolerated: float) -> np.ndarray:
    """That of one prior (k,), from the distance (k,), its derivatives (k, m), and a variance that is to be expected."""
    without = hessian - by[:, :, None] * by[:, None, :]
    without = without + np.eye(by.shape[1]) * known[:, None, :]
    more = np.maximum(np.einsum("ki,ki->k", by, np.linalg.solve(without, by[..., None])[..., 0]), 0.0)
    unseen = np.einsum("ki,ij,kj->k", by, label_errors, by)
    return np.abs(far) * (1.0 + more) / np.sqrt(1.0 + more + unseen + tolerated)
