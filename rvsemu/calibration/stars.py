"""Observed stars with known labels, each as a linear problem about an emulator's model of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import make_interp_spline
from specutils import Spectrum

from ..emulator import ALPHA, Emulator
from ..fitting.levenberg_marquardt import minimise
from ..fitting.parameters import default_priors
from ..fitting.priors import Normal, Uniform
from ..fitting.problem import Problem
from ..fitting.settings import Settings
from ..observing.noise import ModelError, emulator_error
from ..observing.stack import Weighted
from ..physics.continuum import chebyshev_basis
from ..physics.wavelengths import SPEED_OF_LIGHT, doppler
from .correction import Linear

__all__ = ["Located", "Star", "at_rest", "free_alpha", "linear", "locate"]

_SPEEDS = (4.0, 40.0)  # km/s: v sin i to start from
_TOLERANCE, _STEPS = 1e-2, 40
_WIDE = 0.3  # of the range of a label that nothing is known of: standard deviation
_CONTINUUM = 1.0  # prior standard deviation of coefficients, in units of the continuum: any
_BASIC = ("teff", "logg", "mh")


@dataclass(frozen=True)
class Star:
    """A spectrum, and what is known of its star.

    Parameters
    ----------
    name : str
    spectrum : Spectrum
    labels : mapping of str to (float, float)
        Value and error, plain.
    """

    name: str
    spectrum: Spectrum
    labels: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Located:
    """A star where its given labels, its spectrum and an emulator put it.

    Parameters
    ----------
    star : Star
    problem : Problem
        Of the spectrum, with the given labels as priors.
    x : ndarray, shape (m,)
        Free parameters.
    """

    star: Star
    problem: Problem
    x: np.ndarray

    @property
    def theta(self) -> np.ndarray:
        """Labels, then the radial velocity."""
        return self.problem.parameters.full(self.x)

    @cached_property
    def weighted(self) -> Weighted:
        """The spectrum with the mask and covariance that it has there."""
        return self.problem.weighted(np.zeros(1, dtype=int), self.x[None])


def free_alpha(names: Collection[str]) -> dict[str, str]:
    """What is ``fixed`` in fits of these labels: not [alpha/M] at 0 if it is one of them."""
    return {ALPHA.name: "free"} if ALPHA.name in names else {}


def locate(
    star: Star, emulator: Emulator, settings: Mapping[str, Any], near: np.ndarray | None = None, held: bool = False
) -> Located:
    """The most probable labels of a star, given those that are known with their errors.

    Parameters
    ----------
    star : Star
    emulator : Emulator
    settings : mapping
        Of `rvsemu.fitting.Settings`, without emulator, priors and fixed labels.
    near : ndarray, optional
        Labels and radial velocity to start from.
    held : bool
        Whether labels are those that are known, without errors.

    Raises
    ------
    RvsemuError
        The spectrum cannot be used, or a label is outside of the emulator's domain.
    """
    free = {name: prior for name, prior in default_priors(emulator.labels).items() if name not in star.labels}
    fixed: dict[str, Any] = dict(free_alpha(emulator.labels.names))
    if held:
        fixed |= {name: value for name, (value, _) in star.labels.items()}
    else:
        free |= {name: Normal(*pair) for name, pair in star.labels.items()}
    made = Settings(emulator=emulator, fixed=fixed, priors=free, **settings)
    problem = Problem([Problem.observe(star.spectrum, made)], made)
    if near is None and not set(_BASIC) & set(emulator.labels.names) <= set(star.labels):
        minima = problem.minima()
        x = minima.found.x[minima.best(0)]
    else:
        rows = _starts(problem) if near is None else near[None]
        x = problem.parameters.box.clip(rows[:, problem.parameters.free])
        weighted = problem.weighted(np.zeros(len(x), dtype=int), x)
        found = minimise(problem.evaluate(weighted), x, problem.parameters.box, _TOLERANCE, _STEPS)
        x = found.x[np.argmin(found.cost)]
    return Located(star, problem, x)


def _starts(problem: Problem) -> np.ndarray:
    """Labels and radial velocity (k, n): those that are known, several v sin i."""
    parameters = problem.parameters
    pairs = zip(parameters.fixed, parameters.priors, strict=True)
    theta = np.array([value if prior is None else prior.spread(np.array([0.5]))[0] for value, prior in pairs])
    free = np.isnan(parameters.fixed)
    at_rest = problem.stack.observations[0].meta.get("frame") == "rest"
    if free[parameters.velocity]:
        theta[parameters.velocity] = 0.0 if at_rest else problem.likely_velocity()
    rows = np.tile(theta, (len(_SPEEDS), 1))
    names = parameters.space.names
    if "vsini" in names and type(parameters.priors[names.index("vsini")]) is Uniform:
        rows[:, names.index("vsini")] = _SPEEDS
    else:
        rows = rows[:1]
    return parameters.expected(rows)


def linear(one: Located) -> Linear:
    """The problem of one star, linear about where it is, on the grid of its emulator."""
    problem, theta = one.problem, one.theta
    emulator, stack = problem.settings.loaded_emulator, problem.stack
    grid = emulator.wavelength
    flux, slopes = _model(emulator, theta)
    slopes = slopes[problem.parameters.free]
    shift, spread = _expected(problem, one.x)
    level, used = one.weighted.level[0], one.weighted.used[0]
    rest = doppler(stack.wavelength, -theta[problem.parameters.velocity])
    observed = np.where(used, stack.flux[0], 0.0) / level - problem.model.flux(theta)[0]
    noise = (stack.sigma[0] ** 2 + one.weighted.doubt.variance[0]) / level**2
    residual, noise, known = at_rest(grid, rest, used, observed, noise)
    step = float(np.median(np.abs(np.diff(rest)))) / (grid[1] - grid[0])
    variance = problem.inflation * step * noise + _of_models(problem.noise.model_error, emulator, theta, flux)
    weight = np.where(known, 1.0 / np.sqrt(np.where(known, variance, 1.0)), 0.0)
    continuum = _CONTINUUM * flux * chebyshev_basis(grid, problem.settings.continuum_degree).T
    parts = np.where(known, residual - shift @ slopes, 0.0), weight, np.vstack([spread.T @ slopes, continuum])
    return Linear(*(part[None].astype("f4") for part in parts))


def _model(emulator: Emulator, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux (m,) at rest, and its derivatives by the labels and the radial velocity."""
    flux, slopes = emulator.jacobian(theta[None, : len(emulator.labels)])
    shifted = -np.gradient(flux[0], emulator.wavelength) * emulator.wavelength / SPEED_OF_LIGHT
    return flux[0], np.vstack([slopes[0], shifted])


def _expected(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the mean of the prior is from `x` (m,), and a root (m, m) of its covariance, in the Gaussian
    approximation, times a wide one about `x` for labels that nothing is known of."""
    first, second = (part[0] for part in problem.parameters.prior_slopes(x[None]))
    box = problem.parameters.box
    covariance = np.linalg.inv(second + np.diag((_WIDE * (box.upper - box.lower)) ** -2.0))
    return -covariance @ first, np.linalg.cholesky((covariance + covariance.T) / 2)


def _of_models(model_error: ModelError | None, emulator: Emulator, theta: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Variance of the errors of emulator and models (m,), as white noise that does to a mean what they do."""
    step = emulator.wavelength[1] - emulator.wavelength[0]

    def together(correlation):
        distance = step * np.arange(1, int(correlation.reach / step) + 2)
        return 1.0 + 2.0 * float(np.sum(correlation(distance)))

    out = together(emulator_error(emulator)) * emulator.sigma(theta[None, : len(emulator.labels)])[0] ** 2
    if model_error is not None:
        out = out + together(model_error.correlation) * model_error.sigma(flux) ** 2
    return out


def at_rest(
    grid: np.ndarray, rest: np.ndarray, used: np.ndarray, values: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and their variances on the grid of an emulator, and where they are known.

    Parameters
    ----------
    grid : ndarray, shape (m,)
    rest : ndarray, shape (n,)
        Wavelengths of pixels in the frame of the star, ascending or descending.
    used : ndarray of bool, shape (n,)
        A point is known where it is between two such pixels, or on one.
    values, variance : ndarray, shape (n,)
        As smooth as spectra are, or nearly.
    """
    if rest[0] > rest[-1]:
        rest, used, values, variance = (x[::-1] for x in (rest, used, values, variance))
    known = np.interp(grid, rest, used.astype(float), left=0.0, right=0.0) > 1 - 1e-9
    filled = make_interp_spline(rest, np.interp(rest, rest[used], values[used]), k=3)
    between = np.interp(grid, rest[used], variance[used])
    return filled(np.clip(grid, rest[0], rest[-1])), between, known
