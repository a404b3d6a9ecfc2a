"""Spectra on the same pixels as arrays, and what compares them with models: weights, masks, continua."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..emulator.model import Emulator
from ..physics.continuum import chebyshev_basis
from ..physics.wavelengths import doppler
from .continuum import Projection, White
from .covariance import Covariance
from .forward import ForwardModel
from .memory import remembered
from .noise import NoiseModel, emulator_error
from .observation import Observation
from .outliers import SHARE, doubtful

__all__ = ["Doubt", "Stack", "Weighted", "pixels_of"]

_MARGIN = 2.0  # Angstrom beyond the pixels: interpolation needs some, and a few make for fewer versions


class Stack:
    """s spectra on the same pixels, in units of their median fluxes.

    Parameters
    ----------
    observations : sequence of Observation
        Equal in wavelength and covered.
    emulator : Emulator
    velocities : (float, float)
        Lowest and highest radial velocity that will be tried, km/s.
    continuum_degree : int

    Attributes
    ----------
    pixels : slice
        Those within the emulator's range: of all arrays here.
    wavelength : ndarray, shape (n,)
    flux, sigma : ndarray, shape (s, n)
        Over the `scale` of each observation.
    basis : ndarray, shape (p, n)
        Continuum polynomials.
    model : ForwardModel
    """

    def __init__(
        self,
        observations: Iterable[Observation],
        emulator: Emulator,
        velocities: tuple[float, float],
        continuum_degree: int,
    ) -> None:
        self.observations, self.emulator = list(observations), emulator
        first = self.observations[0]
        self.pixels = pixels_of(first)
        self.wavelength = first.wavelength[self.pixels]
        rest = [doppler(end, -v) for end in (self.wavelength.min(), self.wavelength.max()) for v in velocities]
        low, high = float(np.floor(min(rest) - _MARGIN)), float(np.ceil(max(rest) + _MARGIN))
        trimmed = remembered(emulator, ("trimmed", low, high), lambda: emulator.trimmed(low, high))
        self.model = ForwardModel(trimmed, self.wavelength)
        self.basis = chebyshev_basis(self.wavelength, continuum_degree).T
        self.scale = np.array([o.scale for o in self.observations])
        self.flux = np.array([o.flux[self.pixels] for o in self.observations]) / self.scale[:, None]
        self.sigma = np.array([o.sigma[self.pixels] for o in self.observations]) / self.scale[:, None]

    def bands(self, noise: NoiseModel) -> tuple[np.ndarray, ...]:
        """`NoiseModel.bands` of the pixels; kept with the emulator."""
        key = ("bands", noise.correlation, noise.model_error, self.wavelength.tobytes())
        return remembered(self.emulator, key, lambda: noise.bands(self.wavelength, emulator_error(self.emulator)))

    def weighted(
        self,
        theta: np.ndarray,
        noise: NoiseModel,
        which: np.ndarray | None = None,
        jitter: float = 0.0,
        doubt: Doubt | None = None,
        times: np.ndarray | None = None,
    ) -> Weighted:
        """Spectra with the masks and covariances that they have at labels and velocities `theta`.

        Pixels that differ from the model by more than these covariances allow get a larger variance: see
        `rvsemu.observing.outliers.doubtful`.

        Parameters
        ----------
        theta : ndarray, shape (k, n_parameters)
            Labels, then the radial velocity.
        noise : NoiseModel
        which : ndarray of int, shape (k,), optional
            Number of the spectrum of each row; default: each spectrum once.
        jitter : float
            Standard deviation of extra white noise / continuum, besides that of `noise`.
        doubt : Doubt, optional
            Of the pixels (k, n), if it is known.
        times : ndarray, shape (k,), optional
            By which the variances of emulator and models are multiplied; default: 1.
        """
        which = np.arange(len(self.flux)) if which is None else which
        velocities = theta[:, len(self.model.emulator.labels)]
        good = [self.observations[i].good(v)[self.pixels] for i, v in zip(which, velocities, strict=True)]
        used = np.array(good)
        models = self.model.flux(theta).astype(float)
        flux, sigma, basis = np.where(used, self.flux[which], 0.0), self.sigma[which], self.basis * used[:, None]
        white = Projection(flux, basis, White(np.where(used, sigma, np.inf)))
        level = white.solve(models[:, None]).coefficients[:, 0] @ self.basis
        bands = self.bands(noise)
        band, low_rank = noise.parts(
            bands, sigma, self.model, theta, models, level, used, 1.0 if times is None else times
        )
        band[:, 0] += np.where(used, (jitter * level) ** 2, 0.0)
        if doubt is None:
            variance = band[:, 0] + np.sum(low_rank**2, axis=1)
            doubt = Doubt.of((flux - models * level) / np.sqrt(variance), used, len(bands[0]) // 2, variance)
        band[:, 0] += doubt.variance
        covariance = Covariance(band, low_rank)
        return Weighted(Projection(flux, basis, covariance), covariance, used, level, doubt)

    def log_determinants(
        self, weighted: Weighted, theta: np.ndarray, noise: NoiseModel, which: np.ndarray, times: np.ndarray
    ) -> np.ndarray:
        """Those (k,) of the covariances that `weighted` spectra would have with other `times`: see `weighted`."""
        models = self.model.flux(theta).astype(float)
        about = (self.sigma[which], self.model, theta, models, weighted.level, weighted.used, times)
        band, low_rank = noise.parts(self.bands(noise), *about)
        band[:, 0] += weighted.doubt.variance
        return Covariance(band, low_rank).log_determinant


@dataclass(frozen=True)
class Doubt:
    """Pixels that are outliers, each with a probability.

    Parameters
    ----------
    probability : ndarray, shape (s, n)
    variance : ndarray, shape (s, n)
        Added to that of the noise.
    log_odds : ndarray, shape (s,)
        Prior probability of so many outliers, natural logarithm.
    """

    probability: np.ndarray
    variance: np.ndarray
    log_odds: np.ndarray

    @classmethod
    def of(cls, deviation: np.ndarray, used: np.ndarray, neighbours: int, variance: np.ndarray) -> Doubt:
        """From deviations of observed from model in units of the root of the `variance`, each (s, n)."""
        probability, growth = doubtful(deviation, used, neighbours)
        return cls(probability, growth * variance, np.log(SHARE) * probability.sum(axis=1) / (2 * neighbours + 1))

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Doubt:
        """No outliers in spectra of the `shape` (s, n)."""
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape[0]))

    def take(self, which: np.ndarray) -> Doubt:
        """Those of the spectra with the numbers `which`."""
        return Doubt(self.probability[which], self.variance[which], self.log_odds[which])


@dataclass(frozen=True)
class Weighted:
    """Spectra ready to be compared with models.

    Parameters
    ----------
    projection : Projection
    covariance : Covariance
    used : ndarray of bool, shape (s, n)
        Pixels compared.
    level : ndarray, shape (s, n)
        The continuum by which errors of models were multiplied.
    doubt : Doubt
        Of the pixels; their covariance has it.
    more : ndarray, shape (s,), or float
        What is added to the logarithm of the likelihood.
    """

    projection: Projection
    covariance: Covariance
    used: np.ndarray
    level: np.ndarray
    doubt: Doubt
    more: np.ndarray | float = 0.0

    def log_likelihood(self, models: np.ndarray) -> np.ndarray:
        """Log likelihood (k, r) of normalised models (k, r, n), the continuum marginalised: see `Likelihood`."""
        solution = self.projection.solve(models)
        free = self.used.sum(axis=1) - solution.coefficients.shape[-1]
        determinants = self.covariance.log_determinant[:, None] + solution.log_determinant
        out = -0.5 * (solution.chi2 + determinants + (free * np.log(2 * np.pi))[:, None])
        return out + np.reshape(self.doubt.log_odds + self.more, (-1, 1))

    def take(self, rows: np.ndarray) -> Weighted:
        """Some rows of them."""
        projection, covariance = self.projection.take(rows), self.covariance.take(rows)
        more = self.more[rows] if isinstance(self.more, np.ndarray) else self.more
        return Weighted(projection, covariance, self.used[rows], self.level[rows], self.doubt.take(rows), more)

    def prepared(self, row: int) -> Weighted:
        """One row of them, ready for many models."""
        one = self.take(np.array([row]))
        covariance = one.covariance.prepared()
        return replace(one, covariance=covariance, projection=one.projection.with_covariance(covariance))


def pixels_of(observation: Observation) -> slice:
    """The pixels that the emulator covers at all velocities: an interval, as the axis is sorted."""
    covered = np.flatnonzero(observation.covered)
    return slice(int(covered[0]), int(covered[-1]) + 1)
