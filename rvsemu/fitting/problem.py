"""What a fit is asked for, and its steps: coarse look, first solutions, covariance, last steps."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from ..emulator import resolve
from ..errors import SpectrumError
from ..observing.noise import NoiseModel, correlation_for, model_error_for
from ..observing.observation import Observation
from ..observing.stack import Stack
from .importance import weighted_draws
from .levenberg_marquardt import minimise
from .likelihood import Likelihood
from .parameters import Parameters
from .proposals import Mixture
from .result import FitResult, covariance_of, make_results
from .start import STARTS, grid_for, subset

__all__ = ["Setup"]

_TOLERANCE = 0.05  # of chi2 / 2: the last step, of 0.3 sigma, gains less; what is left is of second order
_ROUGH = 0.5  # enough to take the covariance there
_STEPS = 40
_FIRST_STEPS, _ROUGH_STEPS = 2, 14  # with all starts, and with the best of them
_AWAY = 0.02  # of the range of a label
_DEEP, _APART = (
    8.0,
    2.0,
)  # minima less deep by more, of log probability, and nearer, in sigma, are no modes of their own


class Setup:
    """The arguments of `fit`, checked; and the steps of a fit."""

    def __init__(
        self,
        emulator=None,
        fixed=None,
        priors=None,
        radial_velocity=(-100.0, 100.0),
        continuum_degree=3,
        noise_correlation="gaia-rvs",
        model_error="gaia-rvs",
        jitter=0.0,
        scale_errors=True,
        errors="gaussian",
        extrapolate=False,
    ):
        self.emulator = resolve(emulator)
        if continuum_degree not in range(21):
            raise SpectrumError(f"continuum_degree={continuum_degree!r}: give a whole number from 0 to 20.")
        self.degree, self._correlation = continuum_degree, noise_correlation
        self._model_error, self._scale_errors = model_error_for(model_error), scale_errors
        if errors not in ("gaussian", "sampled"):
            raise SpectrumError(f"errors={errors!r}: use 'gaussian' or 'sampled'.")
        self._sampled = errors == "sampled"
        free = isinstance(jitter, str) and jitter == "free"
        if not free and not (np.isscalar(jitter) and not isinstance(jitter, str) and 0 <= jitter < np.inf):
            raise SpectrumError(f"jitter={jitter!r}: give a number >= 0, in units of the continuum, or 'free'.")
        self._jitter = 0.0 if free else float(jitter)
        labels = (self.emulator.labels, fixed, priors, radial_velocity, extrapolate)
        self.parameters = Parameters.make(*labels, free_jitter=free)

    def observe(self, spectrum, medium, sigma, mask) -> Observation:
        """A spectrum as plain floats."""
        velocities = self.parameters.velocities
        return Observation.from_spectrum(
            spectrum, self.emulator, medium=medium, sigma=sigma, mask=mask, velocities=velocities
        )

    def noise(self, observation) -> NoiseModel:
        """What an observation's pixels may differ by from the best model."""
        return NoiseModel(correlation_for(observation, self._correlation), self._model_error, self._jitter)

    def fit(self, observations) -> list[FitResult]:
        """Results for observations on the same pixels."""
        stack = Stack(observations, self.emulator, self.parameters, self.degree)
        x = self.rough(stack)[:, 0]
        noise = self.noise(observations[0])
        weighted = stack.weighted(self.parameters.full(x), noise)
        found = self._minima(self._objective(stack.model, weighted.projection), x)
        results = make_results(stack, weighted, noise, found, self._scale_errors)
        if not self._sampled:
            return results
        return [self._sample(*one) for one in zip(observations, results, found.x, strict=True)]

    def _sample(self, observation, result, x):
        """A result with labels and errors from weighted draws."""
        scale = result.meta["errors_scaled_by"]
        seed = crc32(observation.flux.tobytes())  # the same for the same star, and another for others
        draws = weighted_draws(self.prepare(observation, x), self._modes(observation, x, scale), scale, seed)
        return result.sampled(draws, self.parameters)

    def _modes(self, observation, x, scale) -> Mixture:
        """Gaussians at the best solution `x` and at other minima that may have a share in the posterior."""
        stack = Stack([observation], self.emulator, self.parameters, self.degree)
        starts = np.vstack([x, self.rough(stack, STARTS)[0]])
        weighted = stack.weighted(self.parameters.full(x[None]), self.noise(observation))
        found = self._minima(self._objective(stack.model, weighted.projection, len(starts)), starts)
        means, covariances = [], []
        for i in np.argsort(found.cost):
            if found.cost[i] > found.cost.min() + _DEEP * scale**2:
                break
            away = [found.x[i] - mean for mean in means]
            if all(d @ np.linalg.solve(c, d) > _APART**2 for d, c in zip(away, covariances, strict=True)):
                means.append(found.x[i])
                covariances.append(covariance_of(self.parameters, found.x[i], found.hessian[i], scale))
        return Mixture(np.ones(len(means)), means, covariances)

    def _minima(self, evaluate, x):
        """Where `minimise` ends from starts `x`, with Hessians that can be inverted."""
        found = minimise(evaluate, x, *self._bounds, self._reach, _TOLERANCE, _STEPS)
        self._widen(evaluate, found)
        return found

    @property
    def _bounds(self):
        free = self.parameters.free
        return self.parameters.lower[free], self.parameters.upper[free]

    def prepare(self, observation, x=None) -> Likelihood:
        """The likelihood with its covariance taken at free parameters `x`; default: at a first solution."""
        if x is None:
            x = self.rough(Stack([observation], self.emulator, self.parameters, self.degree))[0, 0]
        arguments = (observation, self.emulator, self.parameters, self.noise(observation))
        return Likelihood(*arguments, continuum_degree=self.degree, theta=self.parameters.full(x))

    def _widen(self, evaluate, found):
        """Take the Hessian of what acts by its square a little away from zero, where its slope vanishes.

        At v sin i = 0 the slope says that neither v sin i nor what resembles it, the resolution, matters.
        """
        lower, upper = self.parameters.lower[self.parameters.free], self.parameters.upper[self.parameters.free]
        least = np.where(lower == 0, _AWAY * (upper - lower), -np.inf)
        rows = np.flatnonzero(np.any(found.x < least, axis=1))
        if len(rows):
            found.hessian[rows] = evaluate(rows, np.maximum(found.x[rows], least))[2]

    def rough(self, stack, keep=1) -> np.ndarray:
        """First solutions (s, keep, m): those of the best of several starts, with white noise in every few pixels."""
        parameters, count = self.parameters, len(stack.observations)
        every = subset(stack.observations[0].step)
        grid = grid_for(stack.model.emulator, stack.wavelength[::every], parameters)
        used = np.array([o.usable[stack.pixels] for o in stack.observations])
        flux, sigma, _ = stack.rough(used, every)
        parts = flux, 1.0 / sigma**2
        rows, velocity = grid.starts(*parts, stack.basis[:, ::every], STARTS)
        theta = parameters.full(np.zeros((count, STARTS, len(parameters.free))))
        labels = len(self.emulator.labels)
        theta[..., :labels] = grid.theta[rows]
        theta[..., parameters.velocity] = velocity[:, None]
        if theta.shape[-1] > labels + 1:
            theta[..., labels + 1] = parameters.priors[labels + 1].centre
        x = theta[..., parameters.free].reshape(count * STARTS, -1)
        used = np.array([o.good(v)[stack.pixels] for o, v in zip(stack.observations, velocity, strict=True)])
        projection = stack.rough(used, every)[2]
        arguments = (*self._bounds, self._reach, _ROUGH)
        found = minimise(self._objective(grid.model, projection, STARTS), x, *arguments, _FIRST_STEPS)
        best = np.argsort(found.cost.reshape(count, STARTS), axis=1)[:, :keep]
        x = np.take_along_axis(found.x.reshape(count, STARTS, -1), best[..., None], axis=1).reshape(count * keep, -1)
        x = minimise(self._objective(grid.model, projection, keep), x, *arguments, _ROUGH_STEPS).x
        theta = parameters.full(x)
        parts = (np.repeat(part, keep, axis=0) for part in parts)
        velocity = grid.velocity(theta[:, :labels], theta[:, parameters.velocity], *parts, stack.basis[:, ::every])
        theta[:, parameters.velocity] = velocity
        return theta[:, parameters.free].reshape(count, keep, -1)

    def _reach(self, x):
        """Longest steps down and up (n, m) from free parameters (n, m).

        A third of the range of a label. Where that begins at 0, as for v sin i, lines change with the square of the
        label and near 0 the slope says nothing: there up to a little more than the double, and down to a half, unless
        that is a hundredth of the range.
        """
        lower, upper = self.parameters.lower[self.parameters.free], self.parameters.upper[self.parameters.free]
        width = upper - lower
        up = np.where(lower == 0, np.minimum(x + 0.03 * width, width / 3), width / 3)
        down = np.where((lower == 0) & (x > 0.01 * width), np.minimum(x / 2, width / 3), width / 3)
        return down, up

    def _objective(self, model, projection, repeats=1):
        """chi2 / 2 - log prior with derivatives, for `repeats` problems of each spectrum (see `minimise`)."""
        parameters = self.parameters
        free = parameters.free
        moved = free[free <= parameters.velocity]  # the jitter does not move the model

        def evaluate(which, x):
            flux, slopes = model.jacobian(parameters.full(x))
            some = projection.take(which // repeats)
            solution = some.solve(flux[:, None])
            gradient = np.zeros(x.shape)
            hessian = np.zeros((*x.shape, x.shape[1]))
            n = len(moved)
            parts = some.normal_equations(solution, slopes[:, None, moved])
            gradient[:, :n], hessian[:, :n, :n] = parts[0][:, 0], parts[1][:, 0]
            first, second = parameters.prior_slopes(x)
            diagonal = np.arange(x.shape[1])
            hessian[:, diagonal, diagonal] += second
            return 0.5 * solution.chi2[:, 0] - parameters.log_prior(x), gradient + first, hessian

        return evaluate
