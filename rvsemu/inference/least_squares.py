"""Least squares: the labels of observed spectra, one or many at a time."""

from __future__ import annotations

import numpy as np

from ..emulator import resolve
from ..errors import RvsemuError, SpectrumError
from .likelihood import Likelihood
from .minimise import minimise
from .noise import NoiseModel, correlation_for, model_error_for
from .observation import DEFAULT_MASK, Observation
from .parameters import Parameters
from .result import FitResult, make_results
from .search import STARTS, grid_for, subset
from .stack import Stack

__all__ = ["fit", "fit_many", "prepare"]

_TOLERANCE = 0.05  # of chi2 / 2: the last step, of 0.3 sigma, gains less; what is left is of second order
_ROUGH = 0.5  # enough to take the covariance there
_STEPS = 40
_FIRST_STEPS, _ROUGH_STEPS = 2, 14  # with all starts, and with the best of them
_AWAY = 0.02  # of the range of a label
_AT_ONCE = 16  # spectra in the same matrix products


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
    model_error="gaia-rvs",
    jitter=0.0,
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
        (standard deviation, variance or inverse variance). For many spectra see `fit_many`.
    emulator : Emulator, str or path, optional
        Another emulator than the default one.
    fixed : dict, optional
        Labels held at a value, e.g. ``{"vmic": 1.0}``; floats or Quantities. Also ``radial_velocity``.
    priors : dict, optional
        Priors by name: ``(mean, sigma)`` of a Gaussian, a `rvsemu.inference.Uniform`, `Normal`,
        `TruncatedNormal` or `Function`, or any function from values to log densities. Default:
        `DEFAULT_PRIORS` for those of its labels that are neither absent nor fixed. What is given
        replaces all of them: ``{}`` is none. Labels without one are uniform in their domain.
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
        `rvsemu.inference.RVS_NOISE_CORRELATION` for pixels of 0.1 A, and white noise for others.
    model_error : 'gaia-rvs', ModelError or None
        What synthetic spectra do not know about real ones, as measured on real RVS spectra. None is for
        spectra that come from the same models, or to see how far the noise alone would go.
    jitter : float
        Extra white noise, in units of the continuum.
    scale_errors : bool
        Multiply the noise by sqrt(reduced chi2) in the errors where that is above 1, as then there is
        more misfit than noise and `model_error` allow for.
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
    chi2 = (y - model)^T C^-1 (y - model) with the covariance C of noise, emulator and models
    (`rvsemu.inference.Likelihood`) is minimised by Levenberg-Marquardt with the analytic Jacobian. Starts
    are six of a fixed grid of 2048 emulator spectra, the best that differ from each other. They are followed
    for two steps, and the best of them further, with white noise in every third pixel. C, and the mask of the
    calcium cores, which moves with the star, are taken where that ends, and held.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy.nddata import StdDevUncertainty
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=-0.3, vmic=1.3, resolution=11900)
    >>> star.uncertainty = StdDevUncertainty(0.01 + 0 * star.flux.value)
    >>> result = rvsemu.fit(star, noise_correlation=(), model_error=None)
    >>> bool(abs(result.teff.value - 6000) < 20)
    True
    """
    settings = {k: v for k, v in locals().items() if k not in ("spectrum", "medium", "sigma", "mask")}
    setup = Setup(**settings)
    return setup.fit([setup.observe(spectrum, medium, sigma, mask)])[0]


def fit_many(spectra, *, mask=DEFAULT_MASK, medium=None, sigma=None, skip_bad=False, **settings) -> list:
    """Fit stellar labels to many spectra, several at a time in the same matrix products.

    The results are those of `fit`, at a fraction of its time where the spectra have the same pixels.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum, or Spectrum of two dimensions
    mask, medium, sigma, **settings
        Those of `fit`, for all spectra alike.
    skip_bad : bool
        Where a spectrum cannot be used, have None in the list instead of raising `SpectrumError`.

    Returns
    -------
    list of FitResult
        In the order of `spectra`.

    Raises
    ------
    SpectrumError, LabelError
        As `fit`.
    """
    setup = Setup(**settings)
    flux = getattr(spectra, "flux", None)
    if flux is not None and flux.ndim == 2:
        spectra = (spectra[i] for i in range(len(flux)))
    elif flux is not None:
        spectra = (spectra,)
    observations = []
    for i, spectrum in enumerate(spectra):
        try:
            observations.append(setup.observe(spectrum, medium, sigma, mask))
        except RvsemuError as e:
            if not skip_bad:
                raise SpectrumError(f"spectrum {i}: {e}") from e
            observations.append(None)
    groups = {}
    for i, o in enumerate(observations):
        if o is not None:
            groups.setdefault((o.wavelength.tobytes(), o.covered.tobytes()), []).append(i)
    out = [None] * len(observations)
    for rows in groups.values():
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            for i, result in zip(some, setup.fit([observations[i] for i in some]), strict=True):
                out[i] = result
    return out


def prepare(
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
    model_error="gaia-rvs",
    jitter=0.0,
    extrapolate=False,
) -> Likelihood:
    """The `Likelihood` of a spectrum, with its covariance taken at a first solution (``.start``).

    Parameters
    ----------
    spectrum, emulator, fixed, priors, radial_velocity, continuum_degree, mask, medium, sigma, noise_correlation,
    model_error, extrapolate
        See `fit`.
    jitter : float or 'free'
        Extra white noise in units of the continuum; ``'free'`` makes its natural logarithm the last of the
        free parameters, ``log_jitter``, uniform from -14 to -2 unless there is a prior.

    Returns
    -------
    Likelihood

    Raises
    ------
    SpectrumError, LabelError
        As `fit`.
    """
    settings = {k: v for k, v in locals().items() if k not in ("spectrum", "medium", "sigma", "mask")}
    setup = Setup(**settings)
    observation = setup.observe(spectrum, medium, sigma, mask)
    x = setup.rough(Stack([observation], setup.emulator, setup.parameters, setup.degree))[0]
    arguments = (observation, setup.emulator, setup.parameters, setup.noise(observation))
    return Likelihood(*arguments, continuum_degree=setup.degree, theta=setup.parameters.full(x))


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
        extrapolate=False,
    ):
        self.emulator = resolve(emulator)
        if continuum_degree not in range(21):
            raise SpectrumError(f"continuum_degree={continuum_degree!r}: give a whole number from 0 to 20.")
        self.degree, self._correlation = continuum_degree, noise_correlation
        self._model_error, self._scale_errors = model_error_for(model_error), scale_errors
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
        x = self.rough(stack)
        noise = self.noise(observations[0])
        weighted = stack.weighted(self.parameters.full(x), noise)
        evaluate = self._objective(stack.model, weighted.projection)
        free = self.parameters.free
        bounds = self.parameters.lower[free], self.parameters.upper[free]
        found = minimise(evaluate, x, *bounds, self._reach, _TOLERANCE, _STEPS)
        self._widen(evaluate, found)
        return make_results(stack, weighted, noise, found, self._scale_errors)

    def _widen(self, evaluate, found):
        """Take the Hessian of what acts by its square a little away from zero, where its slope vanishes.

        At v sin i = 0 the slope says that neither v sin i nor what resembles it, the resolution, matters.
        """
        lower, upper = self.parameters.lower[self.parameters.free], self.parameters.upper[self.parameters.free]
        least = np.where(lower == 0, _AWAY * (upper - lower), -np.inf)
        rows = np.flatnonzero(np.any(found.x < least, axis=1))
        if len(rows):
            found.hessian[rows] = evaluate(rows, np.maximum(found.x[rows], least))[2]

    def rough(self, stack) -> np.ndarray:
        """First solutions (s, m): the best of several starts, with white noise in every few pixels."""
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
        evaluate = self._objective(grid.model, projection, STARTS)
        bounds = parameters.lower[parameters.free], parameters.upper[parameters.free]
        found = minimise(evaluate, x, *bounds, self._reach, _ROUGH, _FIRST_STEPS)
        best = np.argmin(found.cost.reshape(count, STARTS), axis=1)
        x = found.x.reshape(count, STARTS, -1)[np.arange(count), best]
        x = minimise(self._objective(grid.model, projection), x, *bounds, self._reach, _ROUGH, _ROUGH_STEPS).x
        theta = parameters.full(x)
        velocity = grid.velocity(theta[:, :labels], theta[:, parameters.velocity], *parts, stack.basis[:, ::every])
        theta[:, parameters.velocity] = velocity
        return theta[:, parameters.free]

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
