"""From minima to results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy import units as u

from ..observing.covariance import Covariance
from ..observing.results import identity_of
from ..observing.stack import Weighted
from .double_lined import double_lined
from .flagging import flags_of
from .result import FitResult

__all__ = ["covariance_of", "make_results", "scale_of"]


def make_results(problem, minima, rows, second_minimum, spreads=None) -> list[FitResult]:
    """`FitResult` of some of the minima of a `Problem`.

    Parameters
    ----------
    problem : Problem
    minima : Minima
    rows : sequence of int
        Of the minima.
    second_minimum : sequence of bool
        For each of these, whether another one has a share in the posterior.
    spreads : sequence of (ndarray, float), optional
        Covariance (m, m) of the free parameters and the factor of the noise in it, where other spectra of the star have
        a say; default: those of each spectrum alone.
    """
    found = _Found.of(problem, minima, np.asarray(rows))
    covariance, scale = zip(*(found.spreads() if spreads is None else spreads), strict=True)
    errors = np.zeros(found.theta.shape)
    errors[:, problem.parameters.free] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    flags = flags_of(found, errors, second_minimum, double_lined(problem, found))
    named = _by_name(problem.parameters.space, found.theta), _by_name(problem.parameters.space, errors)
    return [_result(found, i, *given) for i, given in enumerate(zip(*named, covariance, scale, flags, strict=True))]


def _by_name(space, values) -> list[dict[str, u.Quantity]]:
    """Each row of `values` (k, n_parameters) as quantities by name."""
    columns = [space.quantity(name, column) for name, column in zip(space.names, values.T, strict=True)]
    return [dict(zip(space.names, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class _Found:
    """What is at k minima of a `Problem`, where n pixels are compared.

    Parameters
    ----------
    problem : Problem
    minima : Minima
    rows : ndarray of int, shape (k,)
        Numbers of the minima.
    star : ndarray of int, shape (k,)
        Numbers of their spectra.
    weighted : Weighted
    theta : ndarray, shape (k, n_parameters)
    flux, continuum, residual, error : ndarray, shape (k, n)
        Model, polynomial over the `scale` of the spectrum, observed / continuum - model, and error of the emulator.
    chi2, noise_chi2 : ndarray, shape (k,)
    """

    problem: Any
    minima: Any
    rows: np.ndarray
    star: np.ndarray
    weighted: Weighted
    theta: np.ndarray
    flux: np.ndarray
    continuum: np.ndarray
    residual: np.ndarray
    error: np.ndarray
    chi2: np.ndarray
    noise_chi2: np.ndarray

    @classmethod
    def of(cls, problem, minima, rows) -> _Found:
        stack, star, weighted = problem.stack, minima.star[rows], minima.weighted.take(rows)
        theta = problem.parameters.full(minima.found.x[rows])
        flux = stack.model.flux(theta).astype(float)
        solution = weighted.projection.solve(flux[:, None])
        continuum = solution.coefficients[:, 0] @ stack.basis
        residual = stack.flux[star] / continuum - flux
        error = stack.model.sigma(theta)
        noise_chi2 = _noise_chi2(problem, star, weighted, theta, flux)
        about = (theta, flux, continuum, residual, error, solution.chi2[:, 0], noise_chi2)
        return cls(problem, minima, rows, star, weighted, *about)

    @cached_property
    def doubted(self) -> np.ndarray:
        """Pixels (k, n) that are more likely outliers than not."""
        return self.weighted.doubt.probability > 0.5

    @cached_property
    def n_pixels(self) -> np.ndarray:
        """Number (k,) of pixels compared."""
        return self.weighted.used.sum(axis=1)

    @cached_property
    def freedom(self) -> np.ndarray:
        """Pixels less what was fitted, 1 at least, (k,)."""
        spent = len(self.problem.parameters.free) + len(self.problem.stack.basis)
        return np.maximum(1, self.n_pixels - self.doubted.sum(axis=1) - spent)

    def spreads(self) -> list[tuple[np.ndarray, float]]:
        """Covariance of the free parameters and factor of the noise in it, for each."""
        scale = [scale_of(self.problem.settings, one) for one in self.chi2 / self.freedom]
        x, hessian = self.minima.found.x[self.rows], self.minima.found.hessian[self.rows]
        wider = self.minima.widening[self.rows]
        covariance = covariance_of(self.problem.parameters, x, hessian, scale) * wider[:, None] * wider[:, :, None]
        covariance = covariance + self.problem.label_errors
        return list(zip(covariance, scale, strict=True))


def _result(found, i, labels, errors, covariance, scale, flags) -> FitResult:
    """`FitResult` of the i-th of what was found."""
    problem, parameters, stack = found.problem, found.problem.parameters, found.problem.stack
    observation, used, doubted = stack.observations[found.star[i]], found.weighted.used[i], found.doubted[i]
    level = found.continuum[i] * observation.scale

    def everywhere(values, fill=np.nan):
        out = np.full(len(observation.flux), fill)
        out[stack.pixels] = values
        return out

    return FitResult(
        labels=labels,
        errors=errors,
        ranges={
            name: (float(parameters.lower[j]), float(parameters.upper[j]))
            for name, j in zip(parameters.free_names, parameters.free, strict=True)
        },
        covariance=covariance,
        chi2=float(found.chi2[i]),
        reduced_chi2=float(found.chi2[i] / found.freedom[i]),
        noise_chi2=float(found.noise_chi2[i] / found.freedom[i]),
        n_pixels=int(found.n_pixels[i]),
        n_outliers=int(doubted.sum()),
        flags=flags,
        residual_rms=float(np.sqrt(np.mean(found.residual[i][used] ** 2))),
        spectral_axis=observation.axis,
        flux_unit=observation.unit,
        flux=observation.flux,
        flux_sigma=observation.sigma,
        used=everywhere(used, False),
        doubted=everywhere(doubted, False),
        model_flux=everywhere(found.flux[i] * level),
        model_sigma=everywhere(found.error[i] * np.abs(level)),
        continuum=everywhere(level),
        meta=_meta(problem, observation, scale),
    )


def scale_of(settings, reduced_chi2) -> float:
    """By what the noise is multiplied in the errors of labels: see `Settings.scale_errors`."""
    return float(np.sqrt(max(1.0, reduced_chi2))) if settings.scale_errors else 1.0


def _noise_chi2(problem, star, weighted, theta, flux) -> np.ndarray:
    """Least chi2 (k,) of the best models with the errors of noise and emulator alone, the continuum fitted anew."""
    stack, noise = problem.stack, replace(problem.noise, model_error=None)
    about = (stack.sigma[star], stack.model, theta, flux, weighted.level, weighted.used)
    band, low_rank = noise.parts(stack.bands(noise), *about)
    band[:, 0] += weighted.doubt.variance
    projection = weighted.projection.with_covariance(Covariance(band, low_rank))
    return projection.solve(flux[:, None]).chi2[:, 0]


def _meta(problem, observation, scale) -> dict:
    """What names the star, the emulator and the settings."""
    emulator, noise = problem.settings.loaded_emulator, problem.noise
    return {
        **identity_of(observation.meta),
        "medium": observation.medium,
        "recipe": emulator.info.get("recipe"),
        "emulator_version": emulator.info.get("version"),
        "calibrated": bool(len(emulator.error.label_covariance)),
        "continuum_degree": problem.settings.continuum_degree,
        "noise_correlation": noise.correlation,
        "errors_smoothed": observation.smoothed,
        "model_error": noise.model_error,
        "jitter": noise.jitter,
        "errors_scaled_by": float(scale),
        "priors": problem.parameters.informative,
        "without_prior": ", ".join(problem.parameters.without_default),
    }


def covariance_of(parameters, x, hessian, scale) -> np.ndarray:
    """Covariances (k, m, m) of the free parameters at solutions `x` (k, m), from Hessians (k, m, m) of
    chi2 / 2 - log prior, and factors `scale` (k,), or one, of the noise.

    With H that of chi2 alone and P that of the priors it is ``(H + P)^-1 (scale^2 H + P) (H + P)^-1``. P has
    also the domain of each label (a uniform distribution of width L has the variance L^2 / 12), so that a
    label without any effect on the spectrum gets the error of knowing nothing.
    """
    free = parameters.free
    known = parameters.prior_slopes(x)[1]
    prior = known + np.diag(12.0 / (parameters.upper[free] - parameters.lower[free]) ** 2)
    data = hessian - known
    inverse = np.linalg.inv(data + prior)
    return inverse @ (np.reshape(scale, (-1, 1, 1)) ** 2 * data + prior) @ inverse
