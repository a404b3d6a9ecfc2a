"""From observations on the same pixels to minima, covariances and draws: the steps of every fit, each taken once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np

from ..observing.forward import ForwardModel
from ..observing.memory import remembered
from ..observing.observation import Observation, covered_at
from ..observing.stack import Doubt, Stack, Weighted
from .importance import Draws, weighted_draws
from .levenberg_marquardt import Minimum, minimise
from .likelihood import Likelihood
from .objective import objective
from .proposals import Mixture
from .result import LEAST_SQUARED, FitResult, covariance_of, make_result
from .start import first_minima, likely_velocity

__all__ = ["Minima", "Problem"]

_ROUGH = 0.2  # of chi2 / 2: enough to take the covariance there once more
_TOLERANCE = 1e-4  # the last step gains less: where labels are degenerate many small ones make a large one
_HOPELESS = 20.0  # of log probability, below the best
_STEPS = 40
_DEEP = 8.0  # minima less deep by more, of log probability, have no share in the posterior
_AROUND = 100.0  # km/s: range of velocities that are left where more would cost pixels
_APART = 2.0  # sigma: minima that are nearer are one
_SECOND = 0.05  # share of the posterior from which a second minimum counts


@dataclass(frozen=True)
class Minima:
    """Where k minimisations for s spectra ended, each with the covariance of its own neighbourhood.

    Parameters
    ----------
    star : ndarray of int, shape (k,)
        Number of the spectrum of each.
    at : ndarray, shape (k, m)
        Free parameters, next to the minimum, at which its covariance was taken.
    weighted : Weighted
    found : Minimum
    log_posterior : ndarray, shape (k,)
        Of the minimum, with the determinants of its covariance.
    """

    star: np.ndarray
    at: np.ndarray
    weighted: Weighted
    found: Minimum
    log_posterior: np.ndarray

    def best(self, star) -> int:
        """Row of the most probable minimum of a spectrum."""
        rows = np.flatnonzero(self.star == star)
        return int(rows[np.argmax(self.log_posterior[rows])])


class Problem:
    """Spectra on the same pixels, and what a fit of them goes through.

    ``minima`` looks for the labels, ``result`` says what was found for one of the spectra, ``likelihood`` has its
    covariance at the best minimum, and ``draws`` are weighted draws from its posterior. Each takes what the one before
    has found, and `rvsemu.fit` and `rvsemu.sample` are made of nothing else.

    Parameters
    ----------
    observations : sequence of Observation
        Equal in wavelength, covered and velocities.
    settings : Settings
    """

    def __init__(self, observations, settings):
        first = observations[0]
        self.settings = settings
        self.parameters = settings.parameters(first.meta.get("frame")).within(first.velocities)
        self.stack = Stack(observations, settings.emulator, first.velocities, settings.continuum_degree)
        self.noise = settings.noise(first)

    @classmethod
    def observe(cls, spectrum, settings) -> Observation:
        """Observation of a spectrum.

        A pixel can be compared at all velocities or at none. Where a wide range of velocities would cost pixels near
        the ends of the emulator, the range is that around the likely velocity instead.
        """
        out = settings.observe(spectrum)
        low, high = out.velocities
        if high - low <= 2 * _AROUND or not _loses_pixels(out, settings.emulator):
            return out
        velocity = cls([out], settings).likely_velocity()
        return settings.observe(spectrum, (max(low, velocity - _AROUND), min(high, velocity + _AROUND)))

    def likely_velocity(self) -> float:
        """Radial velocity of the first spectrum, km/s, before anything else is known; a multiple of 10."""
        return round(likely_velocity(self.stack, self.parameters, self.inflation), -1)

    @property
    def inflation(self) -> float:
        """By how much the correlation of the noise makes the variance of a mean over many pixels larger."""
        band = self.stack.bands(self.noise)[0]
        return float((2.0 * band.sum() - band[0].sum()) / band.shape[1])

    def minima(self) -> Minima:
        """All minima that several starts lead to, each with the covariance that it has nearly at its end."""
        rough = first_minima(self.stack, self.parameters, self.inflation)
        first = self._followed(*rough, _ROUGH)
        best = np.array([first.log_posterior[first.best(one)] for one in range(len(self.stack.flux))])
        kept = first.log_posterior > best[first.star] - _HOPELESS
        found = self._followed(first.star[kept], first.found.x[kept], _TOLERANCE)
        if np.any(found.weighted.doubt.probability > 0.5):  # taken at places that outliers had pulled at
            found = self._followed(found.star, found.found.x, _TOLERANCE)
        self._widen(found)
        return found

    @cached_property
    def _model(self) -> ForwardModel:
        """The model in double precision: in single precision rounding decides on steps along degenerate labels."""
        single = self.stack.model
        emulator = remembered(single.emulator, ("double",), lambda: single.emulator.astype("f8"))
        return ForwardModel(emulator, single.wavelength)

    def weighted(self, star, x) -> Weighted:
        """Spectra `star` (k,) with the masks, covariances and outliers that they have at free parameters `x` (k, m)."""
        doubt = None if self.settings.robust else Doubt.none((len(star), len(self.stack.wavelength)))
        return self.stack.weighted(self.parameters.full(x), self.noise, star, doubt=doubt)

    def _followed(self, star, x, tolerance) -> Minima:
        """Minima with the covariances that they have at free parameters `x` (k, m)."""
        weighted = self.weighted(star, x)
        found = minimise(self._evaluate(weighted), x, self.parameters.box, tolerance, _STEPS)
        models = self._model.flux(self.parameters.full(found.x))
        likelihood = weighted.log_likelihood(models[:, None])[:, 0]
        return Minima(star, x, weighted, found, likelihood + self.parameters.log_prior(found.x))

    def _evaluate(self, weighted):
        """Objective of rows that each have a covariance of their own."""
        return objective(self.parameters, self._model, weighted.projection, np.arange(len(weighted.used)))

    def _widen(self, minima) -> None:
        """Take the Hessian of what acts by its square a little away from zero, where its slope vanishes.

        At v sin i = 0 the slope says that neither v sin i nor what resembles it, the resolution, matters.
        """
        box, found = self.parameters.box, minima.found
        least = np.where(box.from_zero, LEAST_SQUARED * (box.upper - box.lower), -np.inf)
        rows = np.flatnonzero(np.any(found.x < least, axis=1))
        if len(rows):
            found.hessian[rows] = self._evaluate(minima.weighted)(rows, np.maximum(found.x[rows], least))[2]

    def result(self, minima, star=0) -> FitResult:
        """Labels at the best minimum of a spectrum, with errors as if the posterior were Gaussian there."""
        shares = self._modes(minima, star, 1.0).shares
        return make_result(self, minima, minima.best(star), second_minimum=bool(np.any(shares[1:] > _SECOND)))

    def likelihood(self, minima, star=0) -> Likelihood:
        """Likelihood of a spectrum, with mask and covariance as they are next to its best minimum."""
        row = minima.best(star)
        return Likelihood(self, star, minima.at[row], minima.weighted.prepared(row))

    def draws(self, minima, likelihood, star=0, scale=1.0) -> Draws:
        """Weighted draws from the posterior of a spectrum, whose noise is multiplied by `scale`."""
        flux = self.stack.observations[star].flux
        rng = self.settings.generator(crc32(flux.tobytes()))  # other numbers for other stars
        modes = self._modes(minima, star, scale)
        return weighted_draws(likelihood, modes.with_equal_shares(), scale, rng)

    def _modes(self, minima, star, scale) -> Mixture:
        """Gaussians at the minima that may have a share in the posterior, the best first.

        Shares are by Laplace's approximation: the density at the minimum times the volume around it.
        """
        rows = np.flatnonzero(minima.star == star)
        rows = rows[np.argsort(-minima.log_posterior[rows], kind="stable")]
        below = (minima.log_posterior[rows] - minima.log_posterior[rows[0]]) / scale**2
        x, kept, covariances, shares = minima.found.x, [], [], []
        for i, log_density in zip(rows, below, strict=True):
            away = [x[i] - x[j] for j in kept]
            far = all(d @ np.linalg.solve(c, d) > _APART**2 for d, c in zip(away, covariances, strict=True))
            if far and log_density > -_DEEP:
                kept.append(int(i))
                covariances.append(covariance_of(self.parameters, x[i], minima.found.hessian[i], scale))
                shares.append(log_density + 0.5 * np.linalg.slogdet(covariances[-1])[1])
        return Mixture(np.exp(np.array(shares) - max(shares)), x[kept], covariances)


def _loses_pixels(observation, emulator) -> bool:
    """Whether a narrower range of velocities, at some place in that of the observation, would have more pixels."""
    low, high = observation.velocities
    for velocity in np.linspace(low + _AROUND, high - _AROUND, 9):
        near = covered_at(observation.wavelength, emulator, (velocity - _AROUND, velocity + _AROUND))
        if near.sum() > observation.covered.sum():
            return True
    return False
