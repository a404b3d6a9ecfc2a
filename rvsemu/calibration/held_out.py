"""What is left of stars that an emulator was not calibrated on, by the likelihood of fits: residuals, misfits, and the
error of models that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import minimize

from ..observing.noise import ModelError, NoiseModel
from ..observing.stack import Doubt
from ..physics.wavelengths import doppler
from .stars import Located, at_rest

__all__ = ["MOST_FOR_MODEL_ERROR", "Left", "left_of", "model_error_of"]

MOST_FOR_MODEL_ERROR = 40
"""Stars that the model error is measured on, about."""
_LEAST = ModelError(1e-4, 1e-3, 1.75)  # no smaller: logarithms


@dataclass(frozen=True)
class Left:
    """Observed - model of n stars, in units of the continuum, on the m points of an emulator's grid.

    Parameters
    ----------
    residual : ndarray, shape (n, m)
        NaN where nothing is known.
    noise : ndarray, shape (n, m)
        Standard deviation of the noise in it.
    misfit : ndarray, shape (n,)
        -2 log of likelihood times prior at the most probable labels.
    """

    residual: np.ndarray
    noise: np.ndarray
    misfit: np.ndarray

    @classmethod
    def joined(cls, each: Sequence[Left]) -> Left:
        """Several of them as one."""
        return cls(*(np.concatenate([getattr(one, f.name) for one in each]) for f in fields(cls)))

    @property
    def rms(self) -> tuple[float, float]:
        """RMS residual, and the same less the noise."""
        known = np.isfinite(self.residual)
        whole, noise = np.mean(self.residual[known] ** 2), np.mean(self.noise[known] ** 2)
        return float(np.sqrt(whole)), float(np.sqrt(max(whole - noise, 0.0)))


def left_of(one: Located) -> Left:
    """What is left of a located star."""
    problem, stack, weighted = one.problem, one.problem.stack, one.weighted
    model = problem.model.flux(one.theta)
    solution = weighted.projection.solve(model[:, None])
    level = (solution.coefficients[:, 0] @ stack.basis)[0]
    used = weighted.used[0]
    rest = doppler(stack.wavelength, -one.theta[problem.parameters.velocity])
    grid = problem.settings.loaded_emulator.wavelength
    observed = np.where(used, stack.flux[0], 0.0) / level - model[0]
    residual, noise, known = at_rest(grid, rest, used, observed, (stack.sigma[0] / level) ** 2)
    likelihood = weighted.log_likelihood(model[:, None])[0, 0] + problem.parameters.log_prior(one.x[None])[0]
    rows = np.where(known, residual, np.nan), np.sqrt(np.where(known, noise, np.nan)), -2.0 * likelihood
    return Left(*(np.array([row]) for row in rows))


def model_error_of(each: Sequence[Located], start: ModelError) -> ModelError:
    """The `ModelError` of the highest likelihood for located stars, with the reach of `start`."""
    likelihoods = [_of_model_error(one) for one in each]
    lowest = np.log([_LEAST.base, _LEAST.depth])

    def error(p):
        base, depth = np.exp(np.maximum(p, lowest))
        return ModelError(float(base), float(depth), start.reach)

    def cost(p):
        return -sum(likelihood(error(p)) for likelihood in likelihoods)

    begin = np.log([start.base, start.depth])
    simplex = begin + np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, -1.0]])
    found = minimize(
        cost, begin, method="Nelder-Mead", options={"xatol": 0.03, "fatol": 0.1, "initial_simplex": simplex}
    )
    return error(found.x)


def _of_model_error(one: Located) -> Callable[[ModelError], float]:
    """Log likelihood of a star by the model error, its labels held."""
    problem = one.problem
    models = problem.model.flux(one.theta)[:, None]
    none = Doubt.none((1, len(problem.stack.wavelength)))

    def likelihood(error):
        noise = NoiseModel(problem.noise.correlation, error)
        return float(problem.stack.weighted(one.theta[None], noise, doubt=none).log_likelihood(models)[0, 0])

    return likelihood
