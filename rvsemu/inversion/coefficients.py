"""Coefficients and radial velocity of an observed spectrum: those that fit its good pixels best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..observing.line_groups import scores, templates
from ..observing.noise import ModelError, NoiseModel
from ..observing.observation import Observation
from .least_squares import COARSE, Basis, Minimum, Problem, best_near
from .model import Inversion

__all__ = ["NextToLabels", "ObservedCoefficients", "find_velocity", "fit_coefficients", "fit_next_to_labels"]

_SAMPLING = 0.3  # Angstrom between the pixels looked at: still samples the lines
_LEADING = 25  # components: enough to tell where the lines are


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
    velocities = np.linspace(*limits, 1 + int(np.ceil((limits[1] - limits[0]) / COARSE)))
    chi2, basis = [], Basis.of(inversion, _LEADING)
    for velocity in velocities:
        problem = Problem.of(basis, observation, pixels, used, velocity, degree)
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
    found = best_near(Basis.of(inversion), observation, pixels, velocity, degree, noise, move)
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


@dataclass(frozen=True)
class NextToLabels:
    """Best fit of spectra that labels next to given ones imply.

    Parameters
    ----------
    velocity, velocity_error : float
        km/s.
    settled : bool
        Whether the steps of the velocity did not run out.
    disagreement : ndarray, shape (g,)
        Of groups of lines: see `rvsemu.observing.line_groups.scores`.
    """

    velocity: float
    velocity_error: float
    settled: bool
    disagreement: np.ndarray


def fit_next_to_labels(
    inversion: Inversion,
    observation: Observation,
    velocity: float,
    degree: int,
    noise: NoiseModel,
    scaled: np.ndarray,
    move: bool = False,
) -> NextToLabels:
    """Fit the spectra that labels next to given ones imply.

    Lines that are broad, as those of hot or fast stars, can be shifted by what components do, and labels cannot: the
    velocity at which coefficients fit best is another one then, and its error too small. Nor can labels make the lines
    of one element stronger, as components can.

    Parameters
    ----------
    inversion : Inversion
        With networks for noise.
    observation, velocity, degree, noise, move
        As for `fit_coefficients`.
    scaled : ndarray, shape (n_labels,)
        Scaled labels.
    """
    pixels, basis = np.flatnonzero(observation.covered), Basis.next_to(inversion, scaled)
    found = best_near(basis, observation, pixels, velocity, degree, noise, move)
    bands = noise.bands(observation.wavelength[pixels])
    covariance = found.problem.covariance(found.x, noise, bands, known=True)
    metals = [i for i, name in enumerate(inversion.labels.names) if name == "mh"]
    added = templates(found.problem.rest, found.problem.components[metals].sum(axis=0), inversion.medium)
    rows = found.problem.rows(found.x, move, added)
    far = scores(covariance.solve_pairs(rows[None]))[0]
    return NextToLabels(found.problem.velocity, found.velocity_error, found.settled, far)


def _quality(
    observation: Observation, pixels: np.ndarray, found: Minimum, free: float, model_error: ModelError | None
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
