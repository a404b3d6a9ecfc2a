"""From observations on the same pixels to minima, covariances and draws: the steps of every fit, each taken once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from copy import copy
from functools import cached_property
from zlib import crc32

import numpy as np
from specutils import Spectrum

from ..emulator.model import Emulator
from ..observing.forward import ForwardModel
from ..observing.memory import remembered
from ..observing.observation import Observation, covered_at
from ..observing.stack import Doubt, Stack, Weighted
from .from_minima import make_results
from .held import with_held
from .importance import Draws, weighted_draws
from .likelihood import Likelihood
from .objective import CHUNK, objective
from .parameters import Parameters
from .resolution_prior import RvsResolution
from .result import FitResult
from .search import Minima, Search
from .settings import Settings
from .start import first_minima, likely_velocity

__all__ = ["Problem", "alike"]

_AROUND = 100.0  # km/s: range of velocities that are left where more would cost pixels


class Problem(Search):
    """Spectra on the same pixels, and what a fit of them goes through.

    ``minima`` looks for the labels, ``results`` says what was found for each of the spectra, ``likelihood`` has its
    covariance at the best minimum, and ``draws`` are weighted draws from its posterior. Each takes what the one before
    has found, and `rvsemu.fit` and `rvsemu.sample` are made of nothing else.

    Parameters
    ----------
    observations : sequence of Observation
        `alike`: with the same wavelengths, covered pixels, velocities, noise and priors.
    settings : Settings
    transits : int, optional
        Of which each spectrum is the mean, or all of them together where they are of one star; default: that of the
        first, if it is known.
    """

    def __init__(self, observations: Sequence[Observation], settings: Settings, transits: int | None = None) -> None:
        first = observations[0]
        self.settings = settings
        self.parameters = _parameters(first, settings, transits).within(first.velocities)
        self.stack = Stack(observations, settings.loaded_emulator, first.velocities, settings.continuum_degree)
        self.noise = settings.noise(first)

    @classmethod
    def observe(cls, spectrum: Spectrum, settings: Settings) -> Observation:
        """Observation of a spectrum.

        A pixel can be compared at all velocities or at none. Where a wide range of velocities would cost pixels near
        the ends of the emulator, the range is that around the likely velocity instead.
        """
        out = settings.observe(spectrum)
        low, high = out.velocities
        if high - low <= 2 * _AROUND or not _loses_pixels(out, settings.loaded_emulator):
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

    def starts(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        return first_minima(self.stack, self.parameters, self.inflation)

    @cached_property
    def model(self) -> ForwardModel:
        """The model with fluxes in double precision: else rounding decides on steps along degenerate labels."""
        single = self.stack.model
        precise = remembered(single.emulator, ("double",), lambda: single.emulator.astype("f8"))
        return ForwardModel(single.emulator, single.wavelength, precise)

    def weighted(self, star: np.ndarray, x: np.ndarray) -> Weighted:
        """Spectra `star` (k,) with the masks, covariances and outliers that they have at free parameters `x` (k, m)."""
        doubt = None if self.settings.robust else Doubt.none((len(star), len(self.stack.wavelength)))
        return self.stack.weighted(self.parameters.full(x), self.noise, star, doubt=doubt)

    def evaluate(self, weighted: Weighted) -> Callable:
        """See `Search`."""
        return objective(self.parameters, self.model, weighted.projection, np.arange(len(weighted.used)))

    def log_likelihood(self, weighted: Weighted, x: np.ndarray) -> np.ndarray:
        """See `Search`."""
        k, r, _ = x.shape
        out, some = np.empty((k, r)), max(1, CHUNK // r)
        for rows in (np.arange(first, min(first + some, k)) for first in range(0, k, some)):
            models = self.stack.model.flux(self.parameters.full(x[rows].reshape(len(rows) * r, -1)))
            out[rows] = weighted.take(rows).log_likelihood(models.reshape(len(rows), r, -1))
        return out

    def released(self, label: int) -> Problem:
        """See `Search`."""
        out = copy(self)
        out.parameters = self.parameters.released(label)
        return out

    def with_held(self, minima: Minima) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        return self.slopes_with(minima.weighted, minima.found.x, self.held)

    def slopes_with(self, weighted: Weighted, x: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `rvsemu.fitting.held.with_held`."""
        return with_held(self.parameters, self.model, weighted.projection, x, held)

    def doubted(self, weighted: Weighted) -> np.ndarray:
        """See `Search`."""
        return np.any(weighted.doubt.probability > 0.5, axis=1)

    def results(self, minima: Minima) -> list[FitResult]:
        """Labels at the best minimum of each spectrum, with errors as if the posterior were Gaussian there."""
        stars = range(len(self.stack.observations))
        second = [self.second_minimum(minima, star) for star in stars]
        return make_results(self, minima, [minima.best(star) for star in stars], second)

    def likelihood(self, minima: Minima, star: int = 0) -> Likelihood:
        """Likelihood of a spectrum, with mask and covariance as they are next to its best minimum."""
        row = minima.best(star)
        return Likelihood(self, star, minima.at[row], minima.weighted.prepared(row))

    def draws(self, minima: Minima, likelihood: Likelihood, star: int = 0, scale: float = 1.0) -> Draws:
        """Weighted draws from the posterior of a spectrum, whose noise is multiplied by `scale`."""
        flux = self.stack.observations[star].flux
        rng = self.settings.generator(crc32(flux.tobytes()))  # other numbers for other stars
        modes = self.modes(minima, star, scale)
        return weighted_draws(likelihood, modes.with_equal_shares(), scale, rng)


def _parameters(observation: Observation, settings: Settings, transits: int | None = None) -> Parameters:
    """What is free, with the priors of a spectrum, or of one that is the mean of so many `transits`."""
    transits = observation.transits if transits is None else transits
    return settings.parameters(observation.meta.get("frame")).of_transits(transits)


def alike(observation: Observation, settings: Settings) -> tuple[Hashable, ...]:
    """What observations that are fitted together have in common: pixels, velocities, noise, and priors."""
    pixels = observation.wavelength.tobytes(), observation.covered.tobytes()
    of_transits = [one for one in _parameters(observation, settings).priors if isinstance(one, RvsResolution)]
    return *pixels, observation.velocities, observation.noise.correlation, *of_transits


def _loses_pixels(observation: Observation, emulator: Emulator) -> bool:
    """Whether a narrower range of velocities, at some place in that of the observation, would have more pixels."""
    low, high = observation.velocities
    for velocity in np.linspace(low + _AROUND, high - _AROUND, 9):
        near = covered_at(observation.wavelength, emulator, (velocity - _AROUND, velocity + _AROUND))
        if near.sum() > observation.covered.sum():
            return True
    return False
