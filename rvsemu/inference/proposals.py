"""Where the walkers begin, and how they move."""

from __future__ import annotations

import numpy as np

from ..errors import SpectrumError

__all__ = ["Student", "first_ensemble", "moves", "student_from"]

_DEGREES = 5.0
_TRIES = 100


class Student:
    """Proposals that do not depend on where a walker is: a multivariate Student distribution.

    Where the posterior is nearly Gaussian most of them are accepted, and the autocorrelation time is a few steps.
    Such proposals need tails wider than those of the posterior (Mengersen & Tweedie 1996, Ann. Stat. 24, 101).

    Parameters
    ----------
    mean : ndarray, shape (m,)
    covariance : ndarray, shape (m, m)
        Of the Gaussian in its middle.
    """

    def __init__(self, mean, covariance):
        self.mean, self._root = mean, np.linalg.cholesky(covariance)
        self._inverse = np.linalg.inv(self._root)
        self._log_volume = np.sum(np.log(np.diag(self._root)))

    def log_density(self, x) -> np.ndarray:
        """Logarithm of the density (n,) at `x` (n, m), but for a constant that depends on m alone."""
        scaled = (x - self.mean) @ self._inverse.T
        tails = np.log1p(np.sum(scaled**2, axis=1) / _DEGREES)
        return -0.5 * (_DEGREES + len(self.mean)) * tails - self._log_volume

    def draw(self, n, rng) -> np.ndarray:
        """`n` rows, by a `numpy.random.RandomState`."""
        normal = rng.normal(size=(n, len(self.mean)))
        return self.mean + (normal @ self._root.T) * np.sqrt(_DEGREES / rng.chisquare(_DEGREES, size=(n, 1)))

    def __call__(self, x, rng) -> tuple[np.ndarray, np.ndarray]:
        """What `emcee.moves.MHMove` asks for: proposals, and log q(x; new) - log q(new; x)."""
        new = self.draw(len(x), rng)
        return new, self.log_density(x) - self.log_density(new)


def student_from(coords) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance for `Student` from a piece of a chain (steps, walkers, m)."""
    flat = coords.reshape(-1, coords.shape[-1])
    return flat.mean(axis=0), np.atleast_2d(np.cov(flat.T))


def moves(proposal) -> list:
    """The mixture of moves for emcee: independent proposals, of a mean and covariance, and differential evolution.

    The latter needs no tuning and finds its way where the former fail (ter Braak 2006, Stat. Comput. 16, 239). emcee's
    ``DESnookerMove`` is of no use for labels in their units: it divides the direction of a step by the root of its
    length instead of its length, and all steps are too long by that length.
    """
    from emcee.moves import DEMove, MHMove

    return [(MHMove(Student(*proposal)), 0.7), (DEMove(), 0.3)]


def first_ensemble(likelihood, mean, covariance, walkers, rng) -> tuple[np.ndarray, np.ndarray]:
    """Walkers (walkers, m) scattered like a Gaussian folded back into the bounds, with their log probability.

    Raises
    ------
    SpectrumError
        Not enough places with a finite log probability are found.
    """
    free = likelihood.parameters.free
    lower, upper = likelihood.parameters.lower[free], likelihood.parameters.upper[free]
    ensemble, log_probability = np.empty((0, len(mean))), np.empty(0)
    for attempt in range(_TRIES):
        scale = 1.0 if attempt < _TRIES // 2 else 0.1
        x = _folded(rng.multivariate_normal(mean, scale**2 * covariance, size=walkers), lower, upper)
        value = likelihood.log_probability(x)
        good = np.isfinite(value)
        ensemble = np.concatenate([ensemble, x[good]])[:walkers]
        log_probability = np.concatenate([log_probability, value[good]])[:walkers]
        if len(ensemble) == walkers:
            return ensemble, log_probability
    raise SpectrumError(
        f"only {len(ensemble)} of {walkers} walkers find a finite probability near the best fit: check the priors."
    )


def _folded(x, lower, upper) -> np.ndarray:
    """`x` reflected at the bounds as often as needed."""
    width = upper - lower
    phase = np.mod(x - lower, 2 * width)
    return lower + np.where(phase > width, 2 * width - phase, phase)
