"""Whether all transits of a star want the same labels."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from .parameters import RADIAL_VELOCITY, Parameters
from .resolution_prior import RvsResolution

__all__ = ["UNSHARED", "agreement", "own_scatter", "unsure"]

UNSHARED = 0.1
"""Of the variance of errors of models, what transits do not share: masks and velocities differ, and so do the pixels
that see an error. A tenth is enough where every transit lacks another 5 % of its pixels."""


def agreement(gradient: np.ndarray, information: np.ndarray, ranges: np.ndarray, own: np.ndarray) -> float:
    """Probability that chance makes t transits of the same star want labels as different as these do.

    Two score tests (Rao 1948, Proc. Camb. Phil. Soc. 44, 50) at the labels of all: one of the transit that differs most
    from the others, and one of the sum over all transits, which sees light of a neighbour in half of them. The smaller
    of the two probabilities counts twice; of two transits, both tests are the same one.

    Parameters
    ----------
    gradient : ndarray, shape (t, m)
        Of chi2 / 2 of each transit, by the labels and its velocity, with the errors that transits do not share: noise,
        and `UNSHARED` of the variance of models.
    information : ndarray, shape (t, m, m)
        Its covariance: the Gauss-Newton Hessian.
    ranges : ndarray, shape (m,)
        Of labels and velocity.
    own : ndarray, shape (m,)
        Standard deviations by which transits of one star may differ: see `own_scatter`.

    Notes
    -----
    If transits want the labels of all less `d`, the same for each, their slopes g_t have the mean K_t d and the
    covariance K_t, with K_t the information of the labels that is left where each transit has velocity and resolution
    of its own. Whatever the limits, priors and shared errors of models are that make d other than zero, the slopes
    g_t - K_t d do not know them if d is their weighted mean. Their chi2 with K_t, summed over all transits, has
    (t - 1) k degrees of freedom, with k the number of combinations of labels about which a transit says more, on
    average, than their ranges do. That of one transit with its covariance K_t - K_t K^-1 K_t, K the sum of all K_t, has
    k; the largest of t is judged by t times its probability.

    Below 0.001, the threshold of the flag ``transits-differ``, is 1 of 350 simulated clean stars of types B to M with 3
    to 12 transits at signal to noise 8 to 40: 1 of the 160 whose errors are estimates from three CCD spectra, as in
    Gaia DR3, and none of the 190 like those of Gaia DR4 (``python validation/transits_differ.py``).

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.fitting.agreement import agreement
    >>> information, known = np.full((4, 1, 1), 100.0), {"ranges": np.array([10.0]), "own": np.zeros(1)}
    >>> slopes = 10.0 * np.array([[1.0], [1.0], [-1.0], [-1.0]])  # one standard deviation each
    >>> [f"{agreement(times * slopes, information, **known):.1e}" for times in (1, 2, 3)]
    ['5.2e-01', '2.3e-03', '1.5e-07']
    """
    slopes, information = _of_labels(gradient, information, ranges / np.sqrt(12.0), own)
    t, k = slopes.shape
    if t < 2 or k == 0:
        return 1.0
    shared = information @ np.linalg.inv(information.sum(axis=0))
    away = slopes - shared @ slopes.sum(axis=0)
    every = _squares(away, information).sum()
    each = _squares(away, information - shared @ information)
    chance = chi2.sf(every, (t - 1) * k)
    return float(chance if t == 2 else min(1.0, 2.0 * min(chance, t * chi2.sf(each.max(), k))))


def own_scatter(parameters: Parameters) -> np.ndarray:
    """Standard deviations (m,) by which transits of one star may differ in free parameters: 0 for labels of the star.

    The velocity of each is anywhere in its range, and the resolution depends on the CCDs that a transit has crossed:
    see `rvsemu.fitting.RvsResolution`.
    """
    box, names = parameters.box, np.array(parameters.free_names)
    velocity = (names == RADIAL_VELOCITY) * (box.upper - box.lower) / np.sqrt(12.0)
    return velocity + (names == "resolution") * RvsResolution().transit


def unsure(estimates: int | None) -> float:
    """Factor of the variance of noise whose errors are estimates from the scatter of so many CCD spectra, if they are.

    The weights of pixels are wrong by as much as the estimates, and what is weighted by them scatters more than they
    say: with errors from three CCD spectra, the sum of chi2 of 183 simulated stars was 1.2 per degree of freedom, and
    2.7 for one of them. k / (k - 1) for k spectra is more than the mean, and enough for that one.
    """
    return 1.0 if estimates is None else estimates / max(1.0, estimates - 1.0)


def _of_labels(gradient, information, widths, own) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (t, k) and their covariance (t, k, k), along k combinations of labels in units of their `widths` (m,)."""
    information = information * np.outer(widths, widths)
    with_own = np.eye(len(widths)) + information * (own / widths) ** 2
    slopes = np.linalg.solve(with_own, (gradient * widths)[..., None])[..., 0]
    information = np.linalg.solve(with_own, information)
    known, combinations = np.linalg.eigh(information.sum(axis=0))
    chosen = combinations[:, known > len(gradient)]
    return slopes @ chosen, chosen.T @ information @ chosen


def _squares(values, covariance) -> np.ndarray:
    """chi2 (t,) of `values` (t, k), which are Gaussian with covariances (t, k, k) that may be singular."""
    inverse = np.linalg.pinv(covariance, rcond=1e-9, hermitian=True)
    return np.einsum("ti,tij,tj->t", values, inverse, values)
