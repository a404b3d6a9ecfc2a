"""Where the walkers begin, and how they move."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri, ndtri

from ..errors import SpectrumError
from .start import unit_points

__all__ = ["LEAST", "Mixture", "Student", "first_ensemble", "moves"]

LEAST = 5.0
"""Effective draws for each label, before a distribution is made from them."""

_DEGREES = 5.0
_SMALLEST = 0.02  # share of a component


class Student:
    """A multivariate Student distribution of five degrees of freedom: as narrow as a Gaussian, with longer tails.

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
        """`n` rows, by a `numpy.random.Generator`, more evenly spread than random ones.

        Each of them is distributed as it should be: they come from points in the unit cube of an additive recurrence
        (Roberts 2018, see `rvsemu.fitting.start.label_grid`), all shifted by the same random vector (Cranley &
        Patterson 1976, SIAM J. Numer. Anal. 13, 904). Their quantiles are off by less than those of random draws.
        """
        m = len(self.mean)
        unit = (unit_points(n, m + 1) + rng.uniform(size=m + 1)) % 1.0
        unit = rng.permutation(np.clip(unit, 1e-12, 1 - 1e-12))
        return self.mean + (ndtri(unit[:, :m]) @ self._root.T) * np.sqrt(_DEGREES / chdtri(_DEGREES, unit[:, m:]))


class Mixture:
    """Proposals that do not depend on where a walker is: Student distributions, one for each mode of the posterior.

    Where the posterior is like them most are accepted, and the autocorrelation time is a few steps. Such proposals need
    tails wider than those of the posterior (Mengersen & Tweedie 1996, Ann. Stat. 24, 101).

    Parameters
    ----------
    shares : ndarray, shape (k,)
        Of the components; made to add up to 1.
    means : ndarray, shape (k, m)
    covariances : ndarray, shape (k, m, m)
    """

    def __init__(self, shares, means, covariances):
        self.shares = np.asarray(shares, dtype=float) / np.sum(shares)
        self.means, self.covariances = np.asarray(means, dtype=float), np.asarray(covariances, dtype=float)
        self._components = [Student(*one) for one in zip(self.means, self.covariances, strict=True)]

    def __len__(self) -> int:
        return len(self.shares)

    def wider(self, factor) -> Mixture:
        """With all standard deviations times `factor`."""
        return Mixture(self.shares, self.means, factor**2 * self.covariances)

    def with_equal_shares(self) -> Mixture:
        """The same components, all with the same share."""
        return Mixture(np.ones(len(self)), self.means, self.covariances)

    def _log_densities(self, x):
        densities = [component.log_density(x) for component in self._components]
        return np.log(self.shares)[:, None] + np.array(densities)

    def log_density(self, x) -> np.ndarray:
        """Logarithm of the density (n,) at `x` (n, m), but for a constant that depends on m alone."""
        return np.logaddexp.reduce(self._log_densities(x), axis=0)

    def draw(self, n, rng) -> np.ndarray:
        """`n` rows, by a `numpy.random.Generator`."""
        counts = rng.multinomial(n, self.shares)
        rows = [one.draw(count, rng) for one, count in zip(self._components, counts, strict=True)]
        return rng.permutation(np.concatenate(rows))

    def propose(self, x, rng) -> tuple[np.ndarray, np.ndarray]:
        """Rows like `x` by a `numpy.random.Generator`, and what a Metropolis step adds: log q(x) - log q(new), (n,)."""
        new = self.draw(len(x), rng)
        return new, self.log_density(x) - self.log_density(new)

    def fitted(self, x, weights) -> Mixture:
        """Each component with the share, mean and covariance of what is most likely its own among weighted rows (n, m).

        The step of population Monte Carlo (Cappe et al. 2008, Stat. Comput. 18, 447), which is one of expectation
        maximisation. Components to which too few rows belong stay where they are.
        """
        own = self._log_densities(x)
        own = weights * np.exp(own - np.logaddexp.reduce(own, axis=0))
        means, covariances = self.means.copy(), self.covariances.copy()
        for i, part in enumerate(own):
            if part.sum() > _SMALLEST and part.sum() ** 2 > LEAST * x.shape[1] * np.sum(part**2):
                part = part / part.sum()
                means[i] = part @ x
                away = x - means[i]
                covariances[i] = (away * part[:, None]).T @ away
        return Mixture(np.maximum(own.sum(axis=1), _SMALLEST), means, covariances)


def moves(mixture) -> list:
    """The moves for emcee: independent proposals from a `Mixture`, and differential evolution.

    The latter needs no tuning and finds its way where the former fail (ter Braak 2006, Stat. Comput. 16, 239). emcee's
    ``DESnookerMove`` is of no use for labels in their units: it divides the direction of a step by the root of its
    length instead of its length, and all steps are too long by that length.

    emcee hands a `numpy.random.RandomState` of its own to each move; it seeds the Generator of the proposals, so that
    a chain goes on from that state alone.
    """
    from emcee.moves import DEMove, MHMove

    def propose(x, random_state):
        return mixture.propose(x, np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint32)))

    return [(MHMove(propose), 0.7), (DEMove(), 0.3)]


def first_ensemble(draws, walkers, rng) -> np.ndarray:
    """Different ones of weighted draws, (walkers, m).

    Parameters
    ----------
    draws : Draws
    walkers : int
    rng : numpy.random.Generator

    Raises
    ------
    SpectrumError
        Too few of the draws have any weight.
    """
    if (good := np.count_nonzero(draws.weights)) < walkers:
        raise SpectrumError(
            f"only {good} of {len(draws.x)} places near the best fit have a finite probability, fewer than the "
            f"{walkers} walkers: give fewer walkers; if there are few already, check the priors."
        )
    return draws.x[rng.choice(len(draws.x), size=walkers, replace=False, p=draws.weights)]
