"""Least squares: the labels of one observed spectrum, with errors that know the noise is correlated."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from ..emulator import resolve
from ..errors import SpectrumError
from ..physics.continuum import chebyshev_basis
from .forward import Continuum, ForwardModel
from .observation import DEFAULT_MASK, Observation, correlation_for
from .parameters import Parameters
from .result import FitResult, make_result
from .search import Search

__all__ = ["Objective", "fit"]

_TOLERANCE = 1e-6  # of chi2: a change of 1e-6 x 2400 moves a label by 0.05 sigma
_ROUGH = 1e-4  # enough to tell which start leads to the best solution


class Objective:
    """Residuals of one observation and their derivatives, with pixels and weights held fixed.

    Parameters
    ----------
    observation : Observation
    emulator : Emulator
    parameters : Parameters
    basis : ndarray, shape (n, k)
        Continuum polynomials in all pixels of the observation.
    theta : ndarray
        Labels and radial velocity at which the emulator's error and the mask are taken.
    """

    def __init__(self, observation, emulator, parameters, basis, theta):
        self.parameters = parameters
        self.good = observation.good(theta[-1])
        self.model = ForwardModel(emulator, observation.wavelength[self.good])
        self.basis, self.flux = basis[self.good], observation.flux[self.good]
        sigma = observation.sigma[self.good]
        level = Continuum(self.model.flux(theta), self.basis, self.flux, 1.0 / sigma).continuum
        self.sigma = np.hypot(sigma, self.model.sigma(theta) * level)
        free = parameters.free
        self._prior_mean, self._prior_weight = parameters.mean[free], 1.0 / parameters.sigma[free]

    def continuum(self, x) -> Continuum:
        """The best continuum, and residuals, for free parameters `x`."""
        return Continuum(self.model.flux(self.parameters.full(x)), self.basis, self.flux, 1.0 / self.sigma)

    def residual(self, x) -> np.ndarray:
        """Whitened residuals of the pixels, then those of the priors."""
        return np.concatenate([self.continuum(x).residual, (x - self._prior_mean) * self._prior_weight])

    def jacobian(self, x) -> np.ndarray:
        """Derivatives of `residual` by the free parameters (Kaufman's, see `Continuum`)."""
        return np.vstack([self.data_jacobian(x), np.diag(self._prior_weight)])

    def data_jacobian(self, x) -> np.ndarray:
        """The part of `jacobian` that belongs to the pixels."""
        flux, slopes = self.model.jacobian(self.parameters.full(x))
        continuum = Continuum(flux, self.basis, self.flux, 1.0 / self.sigma)
        return continuum.jacobian(slopes[:, self.parameters.free])

    def cost(self, x) -> float:
        """chi2 + prior + sum of log variance: comparable between different weights of the same pixels."""
        return float(np.sum(self.residual(x) ** 2) + 2 * np.sum(np.log(self.sigma)))

    def minimise(self, x, max_steps=50, tolerance=_TOLERANCE):
        """`scipy.optimize.least_squares` from `x`, inside the bounds."""
        free = self.parameters.free
        lower, upper = self.parameters.lower[free], self.parameters.upper[free]
        width = upper - lower
        start = np.clip(x, lower + 1e-4 * width, upper - 1e-4 * width)
        return least_squares(
            self.residual,
            start,
            self.jacobian,
            bounds=(lower, upper),
            method="trf",
            x_scale=width,
            ftol=tolerance,
            xtol=tolerance,
            gtol=None,
            max_nfev=max_steps,
        )

    def covariance(self, x, correlation, scale=1.0) -> np.ndarray:
        """Covariance of the free parameters at the solution `x`.

        Parameters
        ----------
        x : ndarray, shape (m,)
        correlation : ndarray
            Of the noise at lags 0, 1, 2, ... pixels.
        scale : float
            Factor on the noise.

        Notes
        -----
        The estimate minimises a chi2 with white weights W, whatever the noise covariance C is, so its
        covariance is the sandwich ``A^-1 (J^T W C W J + P) A^-1`` with ``A = J^T W J + P``; J is
        orthogonal to the continuum, which marginalises it. P holds the inverse variances of the priors
        and of the domain itself (a uniform distribution of width L has the variance L^2 / 12), so that
        a label without any effect on the spectrum gets the error of knowing nothing.
        """
        free = self.parameters.free
        width = self.parameters.upper[free] - self.parameters.lower[free]
        prior = np.diag(self._prior_weight**2 + 12.0 / width**2)
        jacobian = self.data_jacobian(x)
        spread = np.zeros((len(self.good), len(x)))  # all pixels, so that lags count across the gaps
        spread[self.good] = jacobian
        coloured = correlation[0] * spread
        for lag, rho in enumerate(correlation[1:], start=1):
            coloured[lag:] += rho * spread[:-lag]
            coloured[:-lag] += rho * spread[lag:]
        inner = scale**2 * (spread.T @ coloured) + prior
        inverse = np.linalg.inv(jacobian.T @ jacobian + prior)
        return inverse @ inner @ inverse


def fit(
    spectrum,
    *,
    emulator=None,
    fixed=None,
    priors=None,
    radial_velocity=(-100.0, 100.0),
    continuum_degree=3,
    mask=DEFAULT_MASK,
    medium=None,
    sigma=None,
    noise_correlation="gaia-rvs",
    scale_errors=True,
    extrapolate=False,
) -> FitResult:
    """Fit stellar labels to an observed spectrum by least squares.

    Radial velocity is fitted along, and the continuum is a polynomial that multiplies the model and is
    solved for at each step. The defaults are those for Gaia RVS mean spectra.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One-dimensional, any flux unit, with a wavelength axis, ``meta["medium"]`` and an uncertainty
        (standard deviation, variance or inverse variance).
    emulator : Emulator, str or path, optional
        Another emulator than the default one.
    fixed : dict, optional
        Labels held at a value, e.g. ``{"vmic": 1.0}``; floats or Quantities. Also ``radial_velocity``.
    priors : dict, optional
        Gaussian priors as ``{name: (mean, sigma)}``. Default: `DEFAULT_PRIORS` for those of its labels
        that are neither absent nor fixed. What is given replaces all of them: ``{}`` is none.
    radial_velocity : (float, float) or float or Quantity
        Bounds in km/s, or the value to fix it at.
    continuum_degree : int
        Of the polynomial, 0-20.
    mask : str, (low, high), sequence of these, or None
        What to leave out besides bad pixels: names (``"calcium-cores"``, ``"edges"``, see
        `rvsemu.inference.MASKS`) and wavelength ranges in the spectrum's own wavelengths (Quantity,
        or floats in Angstrom).
    medium : {'air', 'vacuum'}, optional
        Of the spectral axis, where ``meta["medium"]`` does not say it.
    sigma : float, array or Quantity, optional
        Noise of each pixel, instead of the spectrum's uncertainty.
    noise_correlation : 'gaia-rvs' or sequence of float
        Correlation of the noise at lags 0, 1, 2, ... pixels; ``()`` is white noise. The default is
        1, 0.77, 0.33 for spectra with pixels of 0.1 A, and white noise for others. It
        changes the errors, not the labels.
    scale_errors : bool
        Multiply the noise by sqrt(reduced chi2) in the errors where that is above 1, as then the
        model's misfit, not the noise, limits the labels.
    extrapolate : bool
        Allow fixed labels outside the training domain, and free ones to leave it by 10 % of its width
        (never below zero, where it starts there).

    Returns
    -------
    FitResult

    Raises
    ------
    SpectrumError
        The spectrum cannot be used: 2-D, no uncertainty, no medium, too few good pixels ...
    LabelError
        `fixed`, `priors` or `radial_velocity` name an unknown label or have a bad value.

    Notes
    -----
    Weights are 1 / (sigma_observed^2 + sigma_emulator^2), the latter the emulator's error on its
    validation spectra near that Teff, taken at the start and once again at the first solution, like the
    mask of the calcium cores, which moves with the star. Starts are the best three of a fixed grid of
    256 emulator spectra, and other velocities are tried at the end. See `Objective.covariance` for the
    errors.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy.nddata import StdDevUncertainty
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=-0.3, vmic=1.3, resolution=11900)
    >>> star.uncertainty = StdDevUncertainty(0.01 + 0 * star.flux.value)
    >>> result = rvsemu.fit(star, noise_correlation=())
    >>> bool(abs(result.teff.value - 6000) < 20)
    True
    """
    emulator = resolve(emulator)
    if continuum_degree not in range(21):
        raise SpectrumError(f"continuum_degree={continuum_degree!r}: give a whole number from 0 to 20.")
    parameters = Parameters.make(emulator.labels, fixed, priors, radial_velocity, extrapolate)
    observation = Observation.from_spectrum(
        spectrum, emulator, medium=medium, sigma=sigma, mask=mask, velocities=parameters.velocities
    )
    correlation = correlation_for(observation, noise_correlation)
    basis = np.full((len(observation.flux), continuum_degree + 1), np.nan)
    covered = observation.covered
    basis[covered] = chebyshev_basis(observation.wavelength[covered], continuum_degree)

    objective, solution = _refine(observation, emulator, parameters, basis)
    return make_result(objective, solution, observation, basis, correlation, scale_errors)


def _refine(observation, emulator, parameters, basis):
    """The best of several starts, then once more with weights, mask and velocity of that solution."""
    search = Search(observation, emulator, parameters, basis)
    solutions = []
    for x in search.starts():
        objective = Objective(observation, emulator, parameters, basis, parameters.full(x))
        found = objective.minimise(x, max_steps=30, tolerance=_ROUGH)
        solutions.append((objective.cost(found.x), found.x))
    best = search.other_velocity(min(solutions, key=lambda s: s[0])[1])
    objective = Objective(observation, emulator, parameters, basis, parameters.full(best))
    return objective, objective.minimise(best)
