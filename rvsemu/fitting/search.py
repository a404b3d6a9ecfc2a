"""The minima of a posterior: how they are looked for, whatever the posterior is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..emulator.labels import ALPHA
from ..observing.results import LEAST_SQUARED
from .disputes import disputes
from .from_minima import covariance_of
from .held import external_error, likelihood_ratio, tension
from .label_errors import label_errors
from .levenberg_marquardt import Minimum, minimise
from .parameters import Parameters
from .proposals import Mixture
from .settings import Settings
from .tails import widening

__all__ = ["Minima", "Search"]

_ROUGH = 0.2  # of chi2 / 2: enough to take the covariance there once more
_TOLERANCE = 1e-4  # the last step gains less: where labels are degenerate many small ones make a large one
_HOPELESS = 20.0  # of log probability, below the best
_STEPS = 40
_ENOUGH = 0.01  # of chi2 / 2, to say that a held label is far off
_DEEP = 8.0  # minima less deep by more, of log probability, have no share in the posterior
_APART = 2.0  # sigma: minima that are nearer are one
_SECOND = 0.01  # share of the posterior from which a second minimum counts: more than Gaussian errors have outside


@dataclass(frozen=True)
class Minima:
    """Where k minimisations for s stars ended, each with the covariance of its own neighbourhood.

    Parameters
    ----------
    star : ndarray of int, shape (k,)
        Number of the star of each.
    at : ndarray, shape (k, m)
        Free parameters, next to the minimum, at which its covariance was taken.
    weighted : Weighted
        Or what else `Search.weighted` gives.
    found : Minimum
    log_posterior : ndarray, shape (k,)
        Of the minimum, with the determinants of its covariance.
    tension : ndarray, shape (k, n)
        By how many standard deviations spectra want other values of held labels, 0 for all others: the larger one of
        `rvsemu.fitting.held.tension` and `rvsemu.fitting.held.likelihood_ratio`.
    widening : ndarray, shape (k, m)
        Factors of errors: see `rvsemu.fitting.tails.widening`.
    disputes : ndarray, shape (k, m)
        Of spectra with priors, in standard deviations: see `rvsemu.fitting.disputes.disputes`.
    """

    star: np.ndarray
    at: np.ndarray
    weighted: Any
    found: Minimum
    log_posterior: np.ndarray
    tension: np.ndarray
    widening: np.ndarray
    disputes: np.ndarray

    def best(self, star) -> int:
        """Row of the most probable minimum of a star."""
        rows = np.flatnonzero(self.star == star)
        return int(rows[np.argmax(self.log_posterior[rows])])


class Search(ABC):
    """What is minimised: base of `Problem`, where a star has one spectrum, and of `Transits`, where it has many.

    A class has `settings` and `parameters` and says where to start, and what is minimised with the covariances that the
    spectra have at given parameters.
    """

    settings: Settings
    parameters: Parameters

    @property
    def label_errors(self) -> np.ndarray:
        """Covariance (m, m) that the free parameters have besides that of the fit: see `ErrorModel`."""
        return label_errors(self.settings.loaded_emulator.error, self.parameters)

    @abstractmethod
    def starts(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the stars (k,), in order, and free parameters (k, m) to start from."""

    @abstractmethod
    def weighted(self, star, x) -> Any:
        """Spectra of `star` (k,) with the masks, covariances and outliers that they have at free parameters `x`."""

    @abstractmethod
    def evaluate(self, weighted) -> Callable:
        """Function for `minimise` of rows that each have a covariance of their own."""

    @abstractmethod
    def log_likelihood(self, weighted, x) -> np.ndarray:
        """Log likelihoods (k, r) of free parameters `x` (k, r, m), r sets for each row of what `weighted` gave."""

    @abstractmethod
    def doubted(self, weighted) -> np.ndarray:
        """Whether a pixel of each row (k,) of what `weighted` gave is more likely an outlier than not."""

    def minima(self) -> Minima:
        """All minima that several starts lead to, each with the covariance that it has nearly at its end."""
        first = self._followed(*self.starts(), _ROUGH)
        best = np.array([first.log_posterior[first.best(one)] for one in np.unique(first.star)])
        kept = first.log_posterior > best[first.star] - _HOPELESS
        star, x = first.star[kept], first.found.x[kept]
        pulled = self.doubted(first.weighted)[kept]  # by outliers, to where covariances were taken
        if pulled.any():
            x[pulled] = self._followed(star[pulled], x[pulled], _TOLERANCE).found.x
        found = self._followed(star, x, _TOLERANCE)
        self._widen(found)
        against = disputes(self.parameters, found.found.x, found.found.hessian, self.label_errors)
        return replace(found, tension=self.tension(found), widening=self._widening(found), disputes=against)

    def _followed(self, star, x, tolerance) -> Minima:
        """Minima with the covariances that they have at free parameters `x` (k, m)."""
        weighted = self.weighted(star, x)
        found = minimise(self.evaluate(weighted), x, self.parameters.box, tolerance, _STEPS)
        likelihood = self.log_likelihood(weighted, found.x[:, None])[:, 0]
        log_posterior = likelihood + self.parameters.log_prior(found.x)
        held = np.zeros((len(x), len(self.parameters.fixed)))
        return Minima(star, x, weighted, found, log_posterior, held, np.ones(x.shape), np.zeros(x.shape))

    @cached_property
    def held(self) -> np.ndarray:
        """Numbers (h,) of the labels that are held."""
        return np.flatnonzero(~np.isnan(self.parameters.fixed))

    @abstractmethod
    def with_held(self, minima: Minima) -> tuple[np.ndarray, np.ndarray]:
        """See `rvsemu.fitting.held.with_held`: at the minima, with `held`."""

    @abstractmethod
    def released(self, label: int) -> Search:
        """The same where the held label with this number is free."""

    def tension(self, minima: Minima) -> np.ndarray:
        """See `Minima`. What was only assumed, as that [alpha/M] is 0, has no error."""
        out, held = np.zeros((len(minima.at), len(self.parameters.fixed))), self.held
        if not len(held):
            return out
        assumed = self.settings.assumes_alpha & (np.array(self.parameters.space.names)[held] == ALPHA.name)
        external = np.where(assumed, 0.0, np.hypot(self._external(held), self._unseen(held)))
        out[:, held] = tension(self.parameters, minima.found.x, *self.with_held(minima), held, external)
        for label in held[~assumed & (held < len(self.settings.loaded_emulator.labels))]:
            out[:, label] = np.maximum(out[:, label], self._freed(minima, label))
        return out

    def _external(self, labels) -> np.ndarray:
        """See `external_error`: of labels (h,), at the values where they are held."""
        return np.array([external_error(self.parameters, i, self.parameters.fixed[i]) for i in labels], dtype=float)

    def _unseen(self, labels) -> np.ndarray:
        """Standard deviations (h,) of labels that no spectrum shows: see `ErrorModel`."""
        variance = np.diag(self.settings.loaded_emulator.error.label_covariance)
        return np.sqrt(np.append(variance, np.zeros(len(self.parameters.fixed) - len(variance)))[labels])

    def _freed(self, minima: Minima, label: int) -> np.ndarray:
        """By how many standard deviations (k,) spectra want another value of a held label: by fits where it is free."""
        other = self.released(label)
        at = int(np.searchsorted(other.parameters.free, label))
        x = np.insert(minima.found.x, at, self.parameters.fixed[label], axis=1)
        found = minimise(other.evaluate(minima.weighted), x, other.parameters.box, _ENOUGH, _STEPS)
        width = self.parameters.upper[label] - self.parameters.lower[label]
        gain = minima.found.cost + np.log(width) - found.cost  # of the density of the label, which is uniform
        external = np.hypot(external_error(self.parameters, label, found.x[:, at]), self._unseen([label]))
        return likelihood_ratio(other.parameters, gain, found, at, external)

    def _widening(self, minima) -> np.ndarray:
        """See `Minima`."""

        def fall(x):
            k, m = minima.found.x.shape
            likelihood = self.log_likelihood(minima.weighted, x.reshape(k, -1, m))
            return (minima.log_posterior[:, None] - likelihood).ravel() - self.parameters.log_prior(x)

        return widening(self.parameters, minima.found.x, minima.found.hessian, fall)

    def _widen(self, minima) -> None:
        """Take the Hessian of what acts by its square a little away from zero, where its slope vanishes.

        At v sin i = 0 the slope says that neither v sin i nor what resembles it, the resolution, matters.
        """
        box, found = self.parameters.box, minima.found
        least = np.where(box.from_zero, LEAST_SQUARED * (box.upper - box.lower), -np.inf)
        rows = np.flatnonzero(np.any(found.x < least, axis=1))
        if len(rows):
            found.hessian[rows] = self.evaluate(minima.weighted)(rows, np.maximum(found.x[rows], least))[2]

    def modes(self, minima, star, scale) -> Mixture:
        """Gaussians at the minima that may have a share in the posterior of a star, the best first.

        Shares are by Laplace's approximation: the density at the minimum times the volume around it. The noise is
        multiplied by `scale`.
        """
        rows = np.flatnonzero(minima.star == star)
        rows = rows[np.argsort(-minima.log_posterior[rows], kind="stable")]
        below = (minima.log_posterior[rows] - minima.log_posterior[rows[0]]) / scale**2
        x = minima.found.x
        every = covariance_of(self.parameters, x[rows], minima.found.hessian[rows], scale)
        kept, covariances, shares = list[int](), list[np.ndarray](), list[float]()
        for i, log_density, covariance in zip(rows, below, every, strict=True):
            away = [x[i] - x[j] for j in kept]
            far = all(d @ np.linalg.solve(c, d) > _APART**2 for d, c in zip(away, covariances, strict=True))
            if far and log_density > -_DEEP:
                kept.append(int(i))
                covariances.append(covariance)
                shares.append(log_density + 0.5 * np.linalg.slogdet(covariances[-1])[1])
        return Mixture(np.exp(np.array(shares) - max(shares)), x[kept], covariances)

    def second_minimum(self, minima, star) -> bool:
        """Whether other labels than the best have a share in the posterior of a star that counts."""
        if np.sum(minima.star == star) == 1:
            return False
        return bool(np.any(self.modes(minima, star, 1.0).shares[1:] > _SECOND))
