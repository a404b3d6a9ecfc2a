"""Coefficients and radial velocity of an observed spectrum: those that fit its good pixels best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import SpectrumError
from ..observing.covariance import Covariance, banded_sum
from ..observing.noise import ModelError, NoiseModel
from ..observing.observation import Observation
from ..observing.roughness import is_smooth
from ..physics.continuum import chebyshev_basis
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import SPEED_OF_LIGHT, doppler
from .model import Inversion

__all__ = ["ObservedCoefficients", "find_velocity", "fit_coefficients", "velocity_of_labels"]

_STEPS = 20
_SETTLED = 0.01  # of chi2 / 2: the last step gains less
_COARSE = 10.0  # km/s between the velocities looked at: less than half a line at the resolution of the RVS
_SAMPLING = 0.3  # Angstrom between the pixels looked at: still samples the lines
_LEADING = 25  # components: enough to tell where the lines are
_MOVES = 20  # steps of the velocity
_KEPT = 5.0  # km/s: pixels are chosen anew beyond that, and not to and fro
_STILL, _STILL_OF_ERROR = 0.02, 0.01  # km/s of the last one, or of its error


@dataclass(frozen=True)
class ObservedCoefficients:
    """What is known of a spectrum's coefficients.

    Parameters
    ----------
    values : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
        With the continuum, and the velocity where it was found, marginalised.
    velocity, velocity_error : float
        Radial velocity, km/s, and one standard deviation of it, 0 where it was given.
    settled : bool
        Whether another step would not move it.
    continuum, model : ndarray, shape (n,)
        The polynomial, and it times mean and components, in the pixels inside the inversion's range at
        this radial velocity; NaN elsewhere.
    used : ndarray of bool, shape (n,)
    chi2, reduced_chi2 : float
    residual_rms : float
        Of observed / continuum - model, in the pixels used.
    expected_rms : float
        What `residual_rms` should be: noise, what the components leave of training spectra, and the model error where
        lines are as deep as in their mean.
    smooth_noise : bool
        Neighbouring pixels differ by less than the errors say (``rvsemu.observing.roughness``).

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.inversion import fit_coefficients, shipped_inversion
    >>> from rvsemu.observing import NoiseModel, Observation
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> inversion = shipped_inversion()
    >>> observation = Observation.from_spectrum(star, inversion)
    >>> found = fit_coefficients(inversion, observation, 0.0, 3, NoiseModel(observation.noise.correlation))
    >>> found.velocity, found.velocity_error       # it was given
    (0.0, 0.0)
    >>> bool(found.residual_rms < 0.05)
    True
    """

    values: np.ndarray
    covariance: np.ndarray
    velocity: float
    velocity_error: float
    settled: bool
    continuum: np.ndarray
    model: np.ndarray
    used: np.ndarray
    chi2: float
    reduced_chi2: float
    residual_rms: float
    expected_rms: float
    smooth_noise: bool

    def moved(self, velocity: float, error: float, settled: bool) -> ObservedCoefficients:
        """The same with another velocity."""
        return replace(self, velocity=velocity, velocity_error=error, settled=settled)


def find_velocity(
    inversion: Inversion,
    observation: Observation,
    limits: tuple[float, float],
    degree: int,
    model_error: ModelError | None,
) -> float:
    """Radial velocity in km/s, to 5 km/s, at which mean and leading components fit best.

    Parameters
    ----------
    inversion : Inversion
    observation : Observation
        Made for these limits.
    limits : (float, float)
        Lowest and highest velocity to look at, km/s.
    degree : int
        Of the polynomial continuum.
    model_error : ModelError or None
        Its base alone counts, as what depends on the model would excuse bad fits.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.inversion import shipped_inversion
    >>> from rvsemu.inversion.coefficients import find_velocity
    >>> from rvsemu.observing import Observation
    >>> star = rvsemu.generate(teff=5800, logg=4.4, resolution=11900)
    >>> spectrum = rvsemu.simulate(star, signal_to_noise=50, radial_velocity=40, seed=1)
    >>> observation = Observation.from_spectrum(spectrum, shipped_inversion(), velocities=(-100, 100))
    >>> velocity = find_velocity(shipped_inversion(), observation, (-100, 100), 3, None)
    >>> abs(velocity - 40) <= 5
    True
    """
    every = max(1, round(_SAMPLING / observation.step))
    pixels = np.flatnonzero(observation.covered)[::every]
    used, base = observation.usable[pixels], 0.0 if model_error is None else model_error.base
    velocities = np.linspace(*limits, 1 + int(np.ceil((limits[1] - limits[0]) / _COARSE)))
    chi2, basis = [], _Basis.of(inversion, _LEADING)
    for velocity in velocities:
        problem = _Problem.of(basis, observation, pixels, used, velocity, degree)
        x = problem.start()
        normal, downhill, now = problem.equations(x, np.hypot(np.hypot(problem.sigma, problem.left), base))
        chi2.append(now - downhill @ np.linalg.solve(normal, downhill))
    return float(velocities[np.argmin(chi2)])


def fit_coefficients(
    inversion: Inversion,
    observation: Observation,
    velocity: float,
    degree: int,
    noise: NoiseModel,
    move: bool = False,
) -> ObservedCoefficients:
    """Coefficients of an observation, without interpolating it and without filling its gaps.

    Parameters
    ----------
    inversion : Inversion
    observation : Observation
    velocity : float
        Radial velocity, km/s.
    degree : int
        Of the polynomial continuum.
    noise : NoiseModel
        With the correlation of the noise, and what the training spectra do not know about real ones.
    move : bool
        Fit the velocity, too, beginning with the one given.

    Notes
    -----
    The pixels y of a spectrum with continuum P p (Chebyshev polynomials P) are

        y = P p (mean + X c) + noise,

    mean and components X = spread * basis interpolated to the observed wavelengths. c has the prior of the training
    spectra, N(0, 1) each, so that what the good pixels leave open (a gap, a component lost in noise) comes out as
    likely as it was there: with all pixels, a flat continuum and no noise, c is the projection on the basis; pixels
    that are masked or not covered have no part in it. Gauss-Newton steps in c and p minimise

        chi2 = (y - model)^T C^-1 (y - model) + c^T c,

    and steps in c, p and the velocity together move the velocity. C has the noise, what the components leave of
    training spectra (as smooth as the spectra) and the model error.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.inversion import fit_coefficients, shipped_inversion
    >>> from rvsemu.observing import NoiseModel, Observation
    >>> star = rvsemu.generate(teff=5800, logg=4.4, resolution=11900)
    >>> spectrum = rvsemu.simulate(star, signal_to_noise=100, radial_velocity=8, seed=1)
    >>> inversion = shipped_inversion()
    >>> observation = Observation.from_spectrum(spectrum, inversion, velocities=(-15, 15))
    >>> noise = NoiseModel(observation.noise.correlation)
    >>> found = fit_coefficients(inversion, observation, 5.0, 3, noise, move=True)
    >>> round(found.velocity), found.values.shape == inversion.principal.spread.shape
    (8, True)
    """
    pixels = np.flatnonzero(observation.covered)
    found = _minimum(_Basis.of(inversion), observation, pixels, velocity, degree, noise, move)
    k, inverse = len(found.problem.components), found.inverse
    return ObservedCoefficients(
        values=found.x[:k],
        covariance=inverse[:k, :k],
        velocity=found.problem.velocity,
        velocity_error=found.velocity_error,
        settled=found.settled,
        chi2=found.chi2,
        smooth_noise=found.smooth_noise,
        **_quality(observation, pixels, found, np.trace(inverse[:k, :k]), noise.model_error),
    )


def velocity_of_labels(
    inversion: Inversion,
    observation: Observation,
    velocity: float,
    degree: int,
    noise: NoiseModel,
    scaled: np.ndarray,
) -> tuple[float, float, bool]:
    """Radial velocity and its error in km/s, and whether it settled, of spectra that labels next to given ones imply.

    Lines that are broad, as those of hot or fast stars, can be shifted by what components do, and labels cannot: the
    velocity at which coefficients fit best is another one then, and its error too small.

    Parameters
    ----------
    inversion : Inversion
        With networks for noise.
    observation, velocity, degree, noise
        As for `fit_coefficients`.
    scaled : ndarray, shape (n_labels,)
        Scaled labels.
    """
    pixels, basis = np.flatnonzero(observation.covered), _Basis.next_to(inversion, scaled)
    found = _minimum(basis, observation, pixels, velocity, degree, noise, True)
    return found.problem.velocity, found.velocity_error, found.settled


@dataclass(frozen=True)
class _Minimum:
    """Unknowns `x` of a problem that fit best, the inverse of the normal matrix, and the velocity with its error."""

    problem: _Problem
    x: np.ndarray
    inverse: np.ndarray
    chi2: float
    velocity_error: float
    settled: bool
    smooth_noise: bool


def _minimum(
    basis: _Basis,
    observation: Observation,
    pixels: np.ndarray,
    velocity: float,
    degree: int,
    noise: NoiseModel,
    move: bool,
) -> _Minimum:
    """The best fit at a velocity, or at the best one near it within the range that the observation is made for."""
    x: np.ndarray | None = None
    bands, best, cores = noise.bands(observation.wavelength[pixels]), velocity, velocity
    for _ in range(_MOVES if move else 1):
        velocity = best
        if abs(velocity - cores) > _KEPT:
            cores = velocity
        problem = _Problem.of(basis, observation, pixels, observation.good(cores)[pixels], velocity, degree)
        x = problem.start() if x is None else x
        for known in (False, True):  # variances, then all of C, which needs to know where the spectrum is
            covariance = problem.covariance(x, noise, bands, known)
            x = problem.solve(x, covariance)
        step, inverse, chi2 = problem.moved(x, covariance, move)
        error = float(np.sqrt(inverse[-1, -1])) if move else 0.0
        best = float(np.clip(velocity + np.clip(step, -_COARSE, _COARSE), *observation.velocities))
        settled = not move or abs(step) < max(_STILL, _STILL_OF_ERROR * error)
        if settled or best == velocity:  # at a limit
            break
    assert x is not None  # as there was at least one step
    return _Minimum(problem, x, inverse, chi2, error, settled, problem.has_smooth_noise(x, bands[0]))


@dataclass(frozen=True)
class _Basis:
    """Mean and components on the inversion's own wavelengths."""

    uniform: tuple[float, float, int]  # first wavelength, step, number
    rows: np.ndarray  # (k + 1, n_pixels): mean, then components
    left: np.ndarray  # (n_pixels,): RMS of what they leave

    @classmethod
    def of(cls, inversion: Inversion, leading: int | None = None) -> _Basis:
        """Of all, or of the `leading` components alone; what the others do is left over, too."""
        wave, principal = inversion.wavelength, inversion.principal
        components = principal.spread[:, None] * principal.basis
        left = inversion.residual
        if leading is not None:
            left = np.hypot(left, np.linalg.norm(components[leading:], axis=0))
        rows = np.concatenate([principal.mean[None], components[:leading]])
        return cls((wave[0], wave[1] - wave[0], len(wave)), rows, left)

    @classmethod
    def next_to(cls, inversion: Inversion, scaled: np.ndarray) -> _Basis:
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
class _Problem:
    """Normal equations in the unknowns (c, p), with y in units of its median."""

    basis: _Basis
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
        basis: _Basis,
        observation: Observation,
        pixels: np.ndarray,
        used: np.ndarray,
        velocity: float,
        degree: int,
    ) -> _Problem:
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

    def equations(
        self, x: np.ndarray, noise: Covariance | np.ndarray, slope: bool = False
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Normal matrix, the way downhill, and chi2 without the prior.

        `noise` is a `Covariance` or standard deviations (n,); with `slope` the velocity is the last of the unknowns.
        """
        flux, continuum = self.at(x)
        k = len(self.components)
        parts = [self.components * continuum, self.polynomials * flux, (self.y - flux * continuum)[None]]
        if slope:
            parts.insert(2, (self.basis.slope(x[:k], self.rest, self.velocity) * continuum)[None])
        rows = np.concatenate(parts) * self.used
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


def _quality(
    observation: Observation, pixels: np.ndarray, found: _Minimum, free: float, model_error: ModelError | None
) -> dict[str, Any]:
    """The parts of the result that say how well the model fits, `free` of whose components the data leave open."""
    problem = found.problem
    flux, continuum = problem.at(found.x)
    used, n, k = np.zeros(len(observation.flux), dtype=bool), len(observation.flux), len(problem.components)
    used[pixels] = problem.used
    out = {name: np.full(n, np.nan) for name in ("continuum", "model")}
    out["continuum"][pixels] = continuum * problem.level
    out["model"][pixels] = flux * continuum * problem.level
    deviation = problem.y / continuum - flux
    models = 0.0 if model_error is None else model_error.sigma(problem.mean)
    variance = (problem.sigma / continuum) ** 2 + problem.left**2 + np.square(models)
    freedom = problem.used.sum() - len(problem.polynomials) - (k - free)
    return {
        **out,
        "used": used,
        "reduced_chi2": float(found.chi2 / max(1.0, freedom)),
        "residual_rms": float(np.sqrt(np.mean(deviation[problem.used] ** 2))),
        "expected_rms": float(np.sqrt(np.mean(variance[problem.used]))),
    }
