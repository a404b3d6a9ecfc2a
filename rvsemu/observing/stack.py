"""Spectra on the same pixels as arrays, and what compares them with models: weights, masks, continua."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..physics.continuum import chebyshev_basis
from ..physics.wavelengths import doppler
from .continuum import Projection, White
from .covariance import Covariance
from .forward import ForwardModel

__all__ = ["Stack", "Weighted", "pixels_of"]

_MISFIT = 0.01  # of the continuum: what to allow for before anything is known of the star
_MARGIN = 2.0  # Angstrom beyond the pixels: interpolation needs some, and a few make for fewer versions


class Stack:
    """s spectra on the same pixels.

    Parameters
    ----------
    observations : sequence of Observation
        Equal in wavelength and covered.
    emulator : Emulator
    parameters : Parameters
    continuum_degree : int

    Attributes
    ----------
    pixels : slice
        Those within the emulator's range: of all arrays here.
    wavelength : ndarray, shape (n,)
    flux, sigma : ndarray, shape (s, n)
    basis : ndarray, shape (p, n)
        Continuum polynomials.
    model : ForwardModel
    """

    def __init__(self, observations, emulator, parameters, continuum_degree):
        self.observations, self.parameters = list(observations), parameters
        first = self.observations[0]
        self.pixels = pixels_of(first)
        self.wavelength = first.wavelength[self.pixels]
        rest = [
            doppler(end, -v) for end in (self.wavelength.min(), self.wavelength.max()) for v in parameters.velocities
        ]
        low, high = np.floor(min(rest) - _MARGIN), np.ceil(max(rest) + _MARGIN)
        self.model = ForwardModel(_trimmed(emulator, low, high), self.wavelength)
        self.basis = chebyshev_basis(self.wavelength, continuum_degree).T
        self.flux = np.array([o.flux[self.pixels] for o in self.observations])
        self.sigma = np.array([o.sigma[self.pixels] for o in self.observations])

    def rough(self, used, every):
        """Every few pixels in single precision and in units of the median flux, with independent noise.

        Parameters
        ----------
        used : ndarray of bool, shape (s, n)
            The mask of the other pixels.
        every : int

        Returns
        -------
        flux, sigma : ndarray, shape (s, m)
            Sigma has what emulator and models may err in addition; 0 and infinite in pixels not used.
        projection : Projection
        """
        level = np.nanmedian(np.where(used, self.flux, np.nan), axis=1)[:, None]
        used, flux, sigma = (part[:, ::every] for part in (used, self.flux / level, self.sigma / level))
        flux, sigma = np.where(used, flux, 0.0), np.where(used, np.hypot(sigma, _MISFIT), np.inf)
        basis = self.basis[:, ::every] * used[:, None]
        return flux, sigma, Projection(flux.astype("f4"), basis.astype("f4"), White(sigma.astype("f4")))

    def weighted(self, theta, noise, jitter=0.0, blocks=False) -> Weighted:
        """With masks and covariances taken at labels and velocities `theta` (s, k).

        Parameters
        ----------
        theta : ndarray, shape (s, k)
        noise : NoiseModel
        jitter : float
            Extra white noise / continuum, besides that of `noise`.
        blocks : bool
            See `Covariance`.
        """
        velocities = theta[:, self.parameters.velocity]
        used = np.array([o.good(v)[self.pixels] for o, v in zip(self.observations, velocities, strict=True)])
        models = self.model.flux(theta)
        flux, basis = np.where(used, self.flux, 0.0), self.basis * used[:, None]
        white = Projection(flux, basis, White(np.where(used, self.sigma, np.inf)))
        coefficients = white.solve(models[:, None]).coefficients[:, 0]
        level = coefficients @ self.basis
        step = self.observations[0].step
        rows = zip(self.sigma, theta, models, level, used, strict=True)
        parts = [noise.parts(s, step, self.model, t, m, x, u) for s, t, m, x, u in rows]
        band, low_rank = (np.array(part) for part in zip(*parts, strict=True))
        band[:, 0] += np.where(used, (jitter * level) ** 2, 0.0)
        covariance = Covariance(band, low_rank, blocks)
        projection = Projection(flux, basis, covariance)
        return Weighted(projection, covariance, used, level)


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
    """

    projection: Projection
    covariance: Covariance
    used: np.ndarray
    level: np.ndarray


def pixels_of(observation) -> slice:
    """The pixels that the emulator covers at all velocities: an interval, as the axis is sorted."""
    covered = np.flatnonzero(observation.covered)
    return slice(int(covered[0]), int(covered[-1]) + 1)


@lru_cache(maxsize=4)
def _trimmed(emulator, low, high):
    return emulator.trimmed(low, high)
