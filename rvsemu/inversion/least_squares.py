"""Least squares in coefficients, continuum and radial velocity of an observed spectrum: normal equations and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import SpectrumError
from ..observing.covariance import Covariance, banded_sum
from ..observing.noise import NoiseModel
from ..observing.observation import Observation
from ..observing.roughness import is_smooth
from ..physics.continuum import chebyshev_basis
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import SPEED_OF_LIGHT, doppler
from .model import Inversion

__all__ = ["COARSE", "Basis", "Minimum", "Problem", "best_near"]

_STEPS = 20
_SETTLED = 0.01  # of chi2 / 2: the last step gains less
COARSE = 10.0
"""km/s between the velocities looked at, and the largest step: less than half a line at the resolution of the RVS."""
_MOVES = 20  # steps of the velocity
_KEPT = 5.0  # km/s: pixels are chosen anew beyond that, and not to and fro
_STILL, _STILL_OF_ERROR = 0.02, 0.01  # km/s of the last one, or of its error


@dataclass(frozen=True)
class Basis:
    """Mean and components on the inversion's own wavelengths."""

    uniform: tuple[float, float, int]  # first wavelength, step, number
    rows: np.ndarray  # (k + 1, n_pixels): mean, then components
    left: np.ndarray  # (n_pixels,): RMS of what they leave

    @classmethod
    def of(cls, inversion: Inversion, leading: int | None = None) -> Basis:
        """Of all, or of the `leading` components alone; what the others do is left over, too."""
        wave, principal = inversion.wavelength, inversion.principal
        components = principal.spread[:, None] * principal.basis
        left = inversion.residual
        if leading is not None:
            left = np.hypot(left, np.linalg.norm(components[leading:], axis=0))
        rows = np.concatenate([principal.mean[None], components[:leading]])
        return cls((wave[0], wave[1] - wave[0], len(wave)), rows, left)

    @classmethod
    def next_to(cls, inversion: Inversion, scaled: np.ndarray) -> Basis:
        """Of the spectra that labels next to `scaled` ones imply, in units of the spread of labels in the training."""
        noisy = inversion.noisy
        assert noisy is not None  # or there are no coefficients of labels
        every, (middle, spread) = cls.of(inversion), noisy.prior
        implied, slopes = noisy.forward.value_and_jacobian(np.asarray(scaled)[None])
        along = spread[:, None] * slopes[0]
        c = implied[0] - ((scaled - middle) / spread) @ along
        rows = np.concatenate([(every.rows[0] + c @ every.rows[1:])[None], along @ every.rows[1:]])
        left = np.hypot(every.left, np.sqrt(noisy.forward_error**2 @ every.rows[1:] ** 2))
        return cls(every.uniform, rows, left)

    def at(self, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (k + 1, n) and what they leave (n,) at the wavelengths `rest`."""
        left = interpolation_matrix(*self.uniform, rest, order=2) @ self.left
        return (interpolation_matrix(*self.uniform, rest) @ self.rows.T).T, left

    def slope(self, c: np.ndarray, rest: np.ndarray, velocity: float) -> np.ndarray:
        """Derivative (n,) by the velocity of the spectrum with the coefficients `c`."""
        stretch = -rest / (SPEED_OF_LIGHT * (1.0 - (velocity / SPEED_OF_LIGHT) ** 2))
        to = interpolation_matrix(*self.uniform, rest, derivative=True)
        return stretch * (to @ (self.rows[0] + c @ self.rows[1:]))


@dataclass(frozen=True)
class Problem:
    """Normal equations in the unknowns (c, p), with y in units of its median."""

    basis: Basis
    velocity: float
    rest: np.ndarray  # (n,): wavelengths
    mean: np.ndarray  # (n,)
    components: np.ndarray  # (k, n)
    left: np.ndarray  # (n,): RMS of what the components leave
    polynomials: np.ndarray  # (d + 1, n)
    y: np.ndarray  # (n,)
    sigma: np.ndarray  # (n,)
    level: float  # median of the observed flux
    used: np.ndarray  # (n,)

    @classmethod
    def of(
        cls,
        basis: Basis,
        observation: Observation,
        pixels: np.ndarray,
        used: np.ndarray,
        velocity: float,
        degree: int,
    ) -> Problem:
        """Some pixels of an observation at a radial velocity."""
        flux, sigma = observation.flux[pixels], observation.sigma[pixels]
        level = float(np.median(flux[used])) if used.any() else np.nan
        if not level > 0:
            raise SpectrumError(
                f"The median flux of the good pixels is {level:g}: it must be positive to be normalised."
            )
        rest = doppler(observation.wavelength[pixels], -velocity)
        rows, left = basis.at(rest)
        return cls(
            basis=basis,
            velocity=velocity,
            rest=rest,
            mean=rows[0],
            components=rows[1:],
            left=left,
            polynomials=chebyshev_basis(rest, degree).T,
            y=np.where(used, flux, level) / level,
            sigma=np.where(used, sigma, level) / level,
            level=level,
            used=used,
        )

    def start(self) -> np.ndarray:
        """No components, and the polynomial that fits best then."""
        weight = np.where(self.used, 1.0 / self.sigma, 0.0)
        rows = self.polynomials * self.mean * weight
        polynomial = np.linalg.lstsq(rows.T, self.y * weight, rcond=None)[0]
        return np.concatenate([np.zeros(len(self.components)), polynomial])

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normalised spectrum and continuum, each (n,)."""
        k = len(self.components)
        return self.mean + x[:k] @ self.components, x[k:] @ self.polynomials

    def has_smooth_noise(self, x: np.ndarray, band: np.ndarray) -> bool:
        """Whether the noise at the minimum `x` is smoother than its correlation `band` says."""
        residual = self.y - np.prod(self.at(x), axis=0)
        return bool(is_smooth(residual[None], self.sigma[None], band, self.used[None])[0])

    def covariance(self, x: np.ndarray, noise: NoiseModel, bands: Sequence[np.ndarray], known: bool) -> Covariance:
        """Of all that the model does not describe, at `x`; its variances alone where `x` is not `known`."""
        flux, continuum = self.at(x)
        level = np.where(self.used, np.abs(continuum), 0.0)
        errors = [self.left * level]
        if known and noise.model_error is not None:
            errors.append(noise.model_error.sigma(flux) * level)
        rows = [band if known else band[:1] for band in bands[: 1 + len(errors)]]
        return Covariance(banded_sum(rows, [self.sigma, *errors], self.used)[None])

    def rows(self, x: np.ndarray, slope: bool, added: np.ndarray | None = None) -> np.ndarray:
        """What is `added` to the spectrum (g, n), derivatives by the unknowns, and what is left, all at `x`.

        With `slope` the velocity is the last of the unknowns.
        """
        flux, continuum = self.at(x)
        parts = [] if added is None else [added * continuum]
        parts += [self.components * continuum, self.polynomials * flux]
        if slope:
            by_velocity = self.basis.slope(x[: len(self.components)], self.rest, self.velocity)
            parts.append((by_velocity * continuum)[None])
        return np.concatenate([*parts, (self.y - flux * continuum)[None]]) * self.used

    def equations(
        self, x: np.ndarray, noise: Covariance | np.ndarray, slope: bool = False
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Normal matrix, the way downhill, and chi2 without the prior.

        `noise` is a `Covariance` or standard deviations (n,); with `slope` the velocity is the last of the unknowns.
        """
        k, rows = len(self.components), self.rows(x, slope)
        if isinstance(noise, Covariance):
            products = noise.solve_pairs(rows[None])[0]
        else:
            rows /= noise
            products = rows @ rows.T
        prior = np.zeros(len(rows) - 1)
        prior[:k] = 1.0
        downhill = products[:-1, -1].copy()
        downhill[:k] -= x[:k]
        return products[:-1, :-1] + np.diag(prior), downhill, float(products[-1, -1])

    def solve(self, x: np.ndarray, covariance: Covariance) -> np.ndarray:
        """The minimum."""
        for _ in range(_STEPS):
            normal, downhill, _ = self.equations(x, covariance)
            step = np.linalg.solve(normal, downhill)
            if step @ downhill < 2 * _SETTLED:
                break
            x = x + step
        return x

    def moved(self, x: np.ndarray, covariance: Covariance, move: bool) -> tuple[float, np.ndarray, float]:
        """Step of the velocity from the minimum `x`, the inverse of the normal matrix there, and chi2."""
        normal, downhill, chi2 = self.equations(x, covariance, move)
        inverse = np.linalg.inv(normal)
        return float((inverse @ downhill)[-1]), inverse, chi2


@dataclass(frozen=True)
class Minimum:
    """Unknowns `x` of a problem that fit best, the inverse of the normal matrix, and the velocity with its error."""

    problem: Problem
    x: np.ndarray
    inverse: np.ndarray
    chi2: float
    velocity_error: float
    settled: bool
    smooth_noise: bool


def best_near(
    basis: Basis,
    observation: Observation,
    pixels: np.ndarray,
    velocity: float,
    degree: int,
    noise: NoiseModel,
    move: bool,
) -> Minimum:
    """The best fit at a velocity, or at the best one near it within the range that the observation is made for."""
    x: np.ndarray | None = None
    bands, best, cores = noise.bands(observation.wavelength[pixels]), velocity, velocity
    for _ in range(_MOVES if move else 1):
        velocity = best
        if abs(velocity - cores) > _KEPT:
            cores = velocity
        problem = Problem.of(basis, observation, pixels, observation.good(cores)[pixels], velocity, degree)
        x = problem.start() if x is None else x
        for known in (False, True):  # variances, then all of C, which needs to know where the spectrum is
            covariance = problem.covariance(x, noise, bands, known)
            x = problem.solve(x, covariance)
        step, inverse, chi2 = problem.moved(x, covariance, move)
        error = float(np.sqrt(inverse[-1, -1])) if move else 0.0
        best = float(np.clip(velocity + np.clip(step, -COARSE, COARSE), *observation.velocities))
        settled = not move or abs(step) < max(_STILL, _STILL_OF_ERROR * error)
        if settled or best == velocity:  # at a limit
            break
    assert x is not None  # as there was at least one step
    return Minimum(problem, x, inverse, chi2, error, settled, problem.has_smooth_noise(x, bands[0]))
