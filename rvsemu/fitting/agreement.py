"""Whether all transits of a star want the same labels."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

__all__ = ["agreement"]


def agreement(gradient: np.ndarray, hessian: np.ndarray, ranges: np.ndarray) -> float:
    """Probability that chance makes one of t transits of the same star want other labels as strongly as the one does
    that wants them most.

    A score test (Rao 1948, Proc. Camb. Phil. Soc. 44, 50) for each transit at the labels of all: its slope, less its
    share in that of all, which limits and priors may hold, is Gaussian with the covariance of the curvature.

    Parameters
    ----------
    gradient : ndarray, shape (t, m)
        Of chi2 / 2 of each transit, by the labels and its velocity, if that is free, at which the slope vanishes.
    hessian : ndarray, shape (t, m, m)
    ranges : ndarray, shape (m,)
        Of the labels, and anything for the velocity: a label without effect is anywhere in its range.
    """
    information = hessian + np.diag(12.0 / ranges**2)
    together = np.linalg.solve(information.sum(axis=0), gradient.sum(axis=0))
    own = gradient - information @ together
    chi2s = np.einsum("ti,ti->t", own, np.linalg.solve(information, own[..., None])[..., 0])
    return float(min(1.0, len(chi2s) * chi2.sf(chi2s.max(), gradient.shape[1])))
