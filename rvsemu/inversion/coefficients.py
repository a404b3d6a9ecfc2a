"""Coefficients of an observed spectrum: those of the mean and the components that fit its good pixels best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SpectrumError
from ..observing.covariance import Covariance, add_bands, banded
from ..observing.noise import EMULATOR_REACH, smooth_correlation
from ..physics.continuum import chebyshev_basis
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import doppler

__all__ = ["ObservedCoefficients", "fit_coefficients"]

_STEPS = 20
_SETTLED = 0.01  # of chi2 / 2: the last step gains less


@dataclass(frozen=True)
class ObservedCoefficients:
    """What is known of a spectrum's coefficients.

    Parameters
    ----------
    values : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
        With the continuum marginalised.
    continuum, model : ndarray, shape (n,)
        The polynomial, and it times mean and components, in the pixels inside the inversion's range at
        this radial velocity; NaN elsewhere.
    used : ndarray of bool, shape (n,)
    chi2, reduced_chi2 : float
    residual_rms : float
        Of observed / continuum - model, in the pixels used.
    """

    values: np.ndarray
    covariance: np.ndarray
    continuum: np.ndarray
    model: np.ndarray
    used: np.ndarray
    chi2: float
    reduced_chi2: float
    residual_rms: float


def fit_coefficients(inversion, observation, velocity, degree, correlation, model_error) -> ObservedCoefficients:
    """Coefficients of an observation, without interpolating it and without filling its gaps.

    Parameters
    ----------
    inversion : Inversion
    observation : Observation
    velocity : float
        Radial velocity, km/s.
    degree : int
        Of the polynomial continuum.
    correlation : ndarray
        Of the noise at lags 0, 1, 2, ... pixels.
    model_error : ModelError or None
        What the training spectra do not know about real ones.

    Notes
    -----
    The pixels y of a spectrum with continuum P p (Chebyshev polynomials P) are

        y = P p (mean + X c) + noise,

    mean and components X = spread * basis interpolated to the observed wavelengths. c has the prior of the training
    spectra, N(0, 1) each, so that what the good pixels leave open (a gap, a component lost in noise) comes out as
    likely as it was there: with all pixels, a flat continuum and no noise, c is the projection on the basis; pixels
    that are masked or not covered have no part in it. Gauss-Newton steps in c and p minimise

        chi2 = (y - model)^T C^-1 (y - model) + c^T c.

    C has the noise, what the components leave of training spectra (as smooth as the spectra) and
    `model_error`.
    """
    pixels = np.flatnonzero(observation.covered)
    rest = doppler(observation.wavelength[pixels], -velocity)
    used = observation.good(velocity)[pixels]
    level = float(np.median(observation.flux[pixels][used]))
    if not level > 0:
        raise SpectrumError(f"The median flux of the good pixels is {level:g}: it must be positive to be normalised.")
    problem = _Problem.of(inversion, rest, np.where(used, observation.flux[pixels], level) / level, used, degree)
    sigma = np.where(used, observation.sigma[pixels], level) / level
    found, start = None, problem.start(sigma)
    for known in (False, True):  # variances, then all of C, which needs to know where the spectrum is
        covariance = problem.covariance(start, sigma, correlation, model_error, observation.step, known)
        found = problem.solve(start, covariance)
        start = found[0]
    return _result(observation, pixels, problem, *found, level)


@dataclass(frozen=True)
class _Problem:
    """Normal equations in the unknowns (c, p), with y in units of its median."""

    mean: np.ndarray  # (n,)
    components: np.ndarray  # (k, n)
    left: np.ndarray  # (n,): RMS of what the components leave
    polynomials: np.ndarray  # (d + 1, n)
    y: np.ndarray  # (n,)
    used: np.ndarray  # (n,)

    @classmethod
    def of(cls, inversion, rest, y, used, degree):
        grid = inversion.wavelength
        uniform = (grid[0], grid[1] - grid[0], len(grid))
        matrix, linear = interpolation_matrix(*uniform, rest), interpolation_matrix(*uniform, rest, order=2)
        principal = inversion.principal
        components = (matrix @ (principal.spread[:, None] * principal.basis).T).T
        left = linear @ inversion.residual
        return cls(matrix @ principal.mean, components, left, chebyshev_basis(rest, degree).T, y, used)

    def start(self, sigma) -> np.ndarray:
        """No components, and the polynomial that fits best then."""
        weight = np.where(self.used, 1.0 / sigma, 0.0)
        rows = self.polynomials * self.mean * weight
        polynomial = np.linalg.lstsq(rows.T, self.y * weight, rcond=None)[0]
        return np.concatenate([np.zeros(len(self.components)), polynomial])

    def at(self, x):
        """Normalised spectrum and continuum, each (n,)."""
        k = len(self.components)
        return self.mean + x[:k] @ self.components, x[k:] @ self.polynomials

    def covariance(self, x, sigma, correlation, model_error, step, known) -> Covariance:
        """Of all that the model does not describe, at `x`; its variances alone where `x` is not `known`."""
        flux, continuum = self.at(x)
        level = np.where(self.used, np.abs(continuum), 0.0)
        bands = [banded(correlation if known else np.ones(1), sigma, self.used)]
        errors = [(smooth_correlation(step, EMULATOR_REACH) if known else np.ones(1), self.left * level)]
        if known and model_error is not None:
            errors.append((model_error.correlation(step), model_error.sigma(flux) * level))
        for rho, error in errors:
            bands.append(banded(rho, error, self.used))
            bands[-1][0, ~self.used] = 0.0
        return Covariance(add_bands(*bands)[None])

    def solve(self, x, covariance):
        """The minimum, the inverse of the normal matrix there, and chi2 without the prior."""
        k = len(self.components)
        prior = np.zeros(len(x))
        prior[:k] = 1.0
        for _ in range(_STEPS):
            flux, continuum = self.at(x)
            rows = np.concatenate([self.components * continuum, self.polynomials * flux, [self.y - flux * continuum]])
            products = covariance.solve_pairs((rows * self.used)[None], (rows * self.used)[None])[0]
            normal = products[:-1, :-1] + np.diag(prior)
            downhill = products[:-1, -1] - prior * x
            step = np.linalg.solve(normal, downhill)
            if step @ downhill < 2 * _SETTLED:
                break
            x = x + step
        return x, np.linalg.inv(normal)[:k, :k], float(products[-1, -1])


def _result(observation, pixels, problem, x, covariance, chi2, level) -> ObservedCoefficients:
    flux, continuum = problem.at(x)
    deviation = (problem.y / continuum - flux)[problem.used]
    n, k = len(observation.flux), len(problem.components)
    out = {name: np.full(n, np.nan) for name in ("continuum", "model")}
    out["continuum"][pixels], out["model"][pixels] = continuum * level, flux * continuum * level
    used = np.zeros(n, dtype=bool)
    used[pixels] = problem.used
    freedom = problem.used.sum() - len(problem.polynomials) - (k - np.trace(covariance))
    return ObservedCoefficients(
        values=x[:k],
        covariance=covariance,
        used=used,
        chi2=chi2,
        reduced_chi2=float(chi2 / max(1.0, freedom)),
        residual_rms=float(np.sqrt(np.mean(deviation**2))),
        **out,
    )
