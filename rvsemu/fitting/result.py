"""What a fit found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from scipy.special import ndtr, ndtri

from .._compat import Spectrum
from ..errors import RvsemuError
from ..observing.covariance import Covariance
from ..observing.flags import (
    AT_BOUND,
    DOUBLE_LINED,
    ERRORS_TOO_LARGE,
    FAILED,
    FEW_CCDS,
    FEW_DRAWS,
    FEW_GOOD_PIXELS,
    NEGATIVE_CONTINUUM,
    NO_INFORMATION,
    NOT_CONVERGED,
    OUTLIERS,
    OUTSIDE_DOMAIN,
    POOR_FIT,
    SECOND_MINIMUM,
    alpha_assumed,
    to_bits,
)
from ..observing.result_table import ResultTable
from ..observing.results import LIMITED, Result, identity_columns, identity_of, normal_interval, tails
from ..observing.stack import Weighted
from .double_lined import double_lined
from .importance import Draws
from .levenberg_marquardt import LEAST_SQUARED
from .limits import piled_up
from .priors import Uniform
from .unmodelled import unmodelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FEWEST_CCDS",
    "FitFailure",
    "FitResult",
    "LeastSquares",
    "at_bounds",
    "covariance_of",
    "fits_poorly",
    "make_results",
    "scale_of",
]

FEWEST_CCDS = 10
"""Fewer have the flag ``few-ccds``."""
_BOUND = 1e-3  # of the range of a label
_POOR, _BY_CHANCE = 1.2, 5.0  # reduced chi2, and its standard deviations
_MANY = 0.01  # of the pixels
_CROWDED = 1.3  # standard deviations from a limit: see `rvsemu.fitting.limits.crowded`
_FEW = 0.5  # of the pixels
_FEW_DRAWS = 50
_TOO_GOOD = 0.25  # mean square of residuals in units of the noise
_NOTHING = 0.5  # of the error that a label has if its range is all that is known


@dataclass(frozen=True, eq=False, repr=False)
class LeastSquares(Result):
    """What results of least squares have in common, of one spectrum or of all transits of a star: see `FitResult`."""

    labels: dict
    errors: dict
    ranges: dict
    covariance: np.ndarray
    chi2: float
    reduced_chi2: float
    noise_chi2: float
    n_pixels: int
    n_outliers: int
    flags: tuple
    residual_rms: float

    @property
    def free_names(self) -> tuple[str, ...]:
        """What was fitted."""
        return tuple(self.ranges)

    def interval(self, level: float = 0.68) -> dict[str, u.Quantity]:
        """Where each free label is with a probability of `level`: its central interval, as Quantities of two.

        That of a Gaussian, within the range of the label.
        """
        return {n: normal_interval(self.labels[n], self.errors[n], r, level) for n, r in self.ranges.items()}

    def _highest(self, name, level) -> u.Quantity:
        """One-sided limit; of Gaussian errors, that of the square of the label, by which it acts."""
        value, error = self.labels[name].value, self.errors[name].value
        low, high = self.ranges[name]
        slope = 2 * max(value, LEAST_SQUARED * (high - low)) * error
        return u.Quantity(min(np.sqrt(value**2 + ndtri(level) * slope), high), self.labels[name].unit)

    def _from_zero(self) -> list[str]:
        return [name for name in LIMITED if name in self.ranges]

    def _quality(self) -> list[str]:
        chi2 = f"reduced chi2 {self.reduced_chi2:.2f} ({self.noise_chi2:.2f} from noise alone)"
        outliers = f", {self.n_outliers} outliers" if self.n_outliers else ""
        limits = [f"{name} below {limit:.2g} (95 %)" for name, limit in self.upper_limits().items()]
        return [*limits, f"{chi2}, residual rms {self.residual_rms:.4f}, {self.n_pixels} pixels{outliers}"]

    def _columns(self) -> dict[str, Any]:
        names = ("chi2", "reduced_chi2", "noise_chi2", "residual_rms", "n_pixels", "n_outliers")
        return {name: getattr(self, name) for name in names} | {"errors_smoothed": int(self.meta["errors_smoothed"])}


@dataclass(frozen=True, eq=False, repr=False)
class FitResult(LeastSquares):
    """Labels of one spectrum, their errors, and how well the model fits.

    Each label is an attribute, too: ``result.teff``, ``result.radial_velocity`` ...

    Parameters
    ----------
    labels : dict of Quantity
        Every label and the radial velocity.
    errors : dict of Quantity
        One standard deviation of each; 0 for fixed labels.
    ranges : dict of (float, float)
        Lowest and highest value that each free label could take, in its unit.
    covariance : ndarray, shape (m, m)
        Of the labels in `free_names`, in the units of `labels`; the continuum is marginalised.
    chi2, reduced_chi2 : float
        (y - model)^T C^-1 (y - model) over the pixels, without priors, with the errors of emulator and
        models in C; per degree of freedom (pixels less free labels less continuum coefficients).
    noise_chi2 : float
        Reduced chi2 with the errors of noise and emulator alone, without that of models: 1 +- sqrt(2 / n_pixels) for a
        perfect model, and the larger the better the spectrum for a real star.
    n_pixels : int
        Pixels compared.
    n_outliers : int
        Pixels, of these, that are more likely outliers than not.
    flags : tuple of str
        What to beware of: see `rvsemu.observing.flags`. Empty is good.
    residual_rms : float
        Of observed - model in the pixels used, in units of the continuum.
    spectral_axis : Quantity, shape (n,)
        As given.
    flux_unit : Unit
        Of the arrays that follow.
    flux, flux_sigma : ndarray, shape (n,)
        What was fitted.
    used : ndarray of bool, shape (n,)
        Pixels compared.
    doubted : ndarray of bool, shape (n,)
        Pixels that are more likely outliers than not.
    model_flux, model_sigma : ndarray, shape (n,)
        The fit with its continuum, and the emulator's error; NaN beyond the emulator's range.
    continuum : ndarray, shape (n,)
        The polynomial; NaN beyond the emulator's range.
    meta : dict
        Of the spectrum's meta what names it, recipe and version of the emulator, and the settings.
    draws : Draws or None
        Weighted draws from the posterior, with ``errors="sampled"``. Then `labels` are its medians, `errors` half of
        its central 68.27 %, and `covariance` is its own; chi2, model and continuum are those of the best fit.

    Examples
    --------
    >>> import rvsemu
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> result = rvsemu.fit(star)
    >>> result.teff.round(-2), result.flags
    (<Quantity 5700. K>, ())
    >>> low, high = result.interval(0.95)["teff"]
    >>> bool(low < result.teff < high)
    True
    >>> list(result.upper_limits())
    ['vsini']
    >>> table = result.to_table()
    >>> print(table["source_id", "n_pixels"])
         source_id      n_pixels
    ------------------- --------
    2052747119115620352     2162
    """

    spectral_axis: u.Quantity
    flux_unit: u.UnitBase
    flux: np.ndarray
    flux_sigma: np.ndarray
    used: np.ndarray
    doubted: np.ndarray
    model_flux: np.ndarray
    model_sigma: np.ndarray
    continuum: np.ndarray
    meta: dict = field(default_factory=dict)
    draws: Draws | None = None

    def interval(self, level: float = 0.68) -> dict[str, u.Quantity]:
        """Where each free label is with a probability of `level`: its central interval, as Quantities of two.

        Of the draws if there are any, or of a Gaussian; within the range of the label.
        """
        if self.draws is None:
            return super().interval(level)
        ends = self.draws.quantiles(tails(level)).T
        return {n: u.Quantity(x, self.labels[n].unit) for n, x in zip(self.ranges, ends, strict=True)}

    def _highest(self, name, level) -> u.Quantity:
        return super()._highest(name, level) if self.draws is None else Result._highest(self, name, level)

    def sampled(self, draws: Draws, lowest_logg: Sequence[tuple[float, float]] = ()) -> FitResult:
        """The same with labels and errors from `draws` of the free ones; what was flagged stays flagged.

        `lowest_logg` are the nodes of a `rvsemu.emulator.LabelSpace` that is no box.
        """
        low, middle, high = draws.quantiles(ndtr([-1.0, 0.0, 1.0]))
        units = {name: self.labels[name].unit for name in self.free_names}
        labels = {name: u.Quantity(x, units[name]) for name, x in zip(units, middle, strict=True)}
        errors = {name: u.Quantity(x, units[name]) for name, x in zip(units, (high - low) / 2, strict=True)}
        found = [*self.flags, *piled_up(draws.x, draws.weights, self.ranges, lowest_logg)]
        few = [FEW_DRAWS] if draws.effective < _FEW_DRAWS else []
        return replace(
            self,
            labels=self.labels | labels,
            errors=self.errors | errors,
            covariance=draws.covariance,
            flags=tuple(dict.fromkeys([*found, *few])),
            draws=draws,
        )

    @property
    def observed(self) -> Spectrum:
        """What was fitted, ``mask`` True in the pixels left out; made anew at each access (1 ms)."""
        return self._spectrum(self.flux, self.flux_sigma, ~self.used)

    @property
    def model(self) -> Spectrum:
        """The fit on the same axis, with its continuum and the emulator's error; made anew at each access."""
        return self._spectrum(self.model_flux, self.model_sigma, np.isnan(self.model_flux))

    def _spectrum(self, flux, sigma, mask) -> Spectrum:
        return Spectrum(
            spectral_axis=self.spectral_axis,
            flux=u.Quantity(flux, self.flux_unit),
            uncertainty=StdDevUncertainty(sigma),
            mask=mask,
            meta=dict(self.meta),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Data, model and residual: see `rvsemu.plotting.plot_fit`."""
        from ..plotting import plot_fit

        return plot_fit(self, ax=ax)


@dataclass(frozen=True)
class FitFailure:
    """What stands in the place of a `FitResult` where a spectrum cannot be used.

    Parameters
    ----------
    error : RvsemuError
        What is wrong with the spectrum.
    meta : dict
        Of the spectrum.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy import units as u
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path())
    >>> (failure,) = rvsemu.fit_many([star], mask=(846, 870) * u.nm, on_error="skip")
    >>> failure.flags
    ('failed',)
    >>> print(failure.error)
    Only 0 good pixels are left ...
    """

    error: RvsemuError
    meta: dict = field(default_factory=dict)
    flags: tuple = (FAILED,)

    def to_table(self) -> QTable:
        """One row: what names the spectrum, the flag ``failed``, and the error; stacks with those of results."""
        table = ResultTable(identity_columns(self.meta))
        table["flags"], table["flag_bits"] = [FAILED], np.array([to_bits([FAILED])], dtype="i4")
        table["error"] = [str(self.error)]
        return table


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
    spreads = found.spreads() if spreads is None else spreads
    pairs = zip(second_minimum, spreads, double_lined(problem, found), strict=True)
    return [_result(found, i, *given) for i, given in enumerate(pairs)]


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

    def doubted(self, i) -> np.ndarray:
        """Pixels (n,) that are more likely outliers than not."""
        return self.weighted.doubt.probability[i] > 0.5

    def freedom(self, i) -> int:
        """Pixels less what was fitted, 1 at least."""
        spent = len(self.problem.parameters.free) + len(self.problem.stack.basis)
        return max(1, int(self.weighted.used[i].sum() - self.doubted(i).sum()) - spent)

    def spreads(self) -> list[tuple[np.ndarray, float]]:
        """Covariance of the free parameters and factor of the noise in it, for each."""
        scale = [scale_of(self.problem.settings, self.chi2[i] / self.freedom(i)) for i in range(len(self.rows))]
        x, hessian = self.minima.found.x[self.rows], self.minima.found.hessian[self.rows]
        return list(zip(covariance_of(self.problem.parameters, x, hessian, scale), scale, strict=True))


def _result(found, i, second_minimum, spread, double) -> FitResult:
    """`FitResult` of the i-th of what was found."""
    problem, parameters, stack = found.problem, found.problem.parameters, found.problem.stack
    observation, theta, space, free = (
        stack.observations[found.star[i]],
        found.theta[i],
        parameters.space,
        parameters.free,
    )
    used, doubted, (covariance, scale) = found.weighted.used[i], found.doubted(i), spread
    errors = np.zeros(len(theta))
    errors[free] = np.sqrt(np.diag(covariance))
    level = found.continuum[i] * observation.scale

    def everywhere(values, fill=np.nan):
        out = np.full(len(observation.flux), fill)
        out[stack.pixels] = values
        return out

    return FitResult(
        labels={n: space.quantity(n, theta[k]) for k, n in enumerate(space.names)},
        errors={n: space.quantity(n, errors[k]) for k, n in enumerate(space.names)},
        ranges={space.names[j]: (float(parameters.lower[j]), float(parameters.upper[j])) for j in free},
        covariance=covariance,
        chi2=float(found.chi2[i]),
        reduced_chi2=float(found.chi2[i] / found.freedom(i)),
        noise_chi2=float(found.noise_chi2[i] / found.freedom(i)),
        n_pixels=int(used.sum()),
        n_outliers=int(doubted.sum()),
        flags=tuple(_flags(found, i, errors[free], second_minimum, double)),
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


def _flags(found, i, errors, second_minimum, double) -> list[str]:
    """Flags of the i-th of what was found, whose free parameters have the `errors` (m,)."""
    problem, stack, parameters = found.problem, found.problem.stack, found.problem.parameters
    observation, theta, row = stack.observations[found.star[i]], found.theta[i], found.rows[i]
    used, doubted, continuum = found.weighted.used[i], found.doubted(i), found.continuum[i]
    n_pixels, noise = int(used.sum()), (stack.sigma[found.star[i]] / continuum)[used]
    true = {
        NOT_CONVERGED: not found.minima.found.converged[row],
        SECOND_MINIMUM: second_minimum,
        OUTSIDE_DOMAIN: not stack.model.emulator.labels.inside(theta[: parameters.velocity]),
        FEW_GOOD_PIXELS: n_pixels < _FEW * observation.covered.sum(),
        POOR_FIT: fits_poorly(found.chi2[i] / found.freedom(i), n_pixels),
        OUTLIERS: doubted.sum() > _MANY * n_pixels,
        FEW_CCDS: observation.ccds is not None and observation.ccds < FEWEST_CCDS,
        NEGATIVE_CONTINUUM: continuum[used].min() <= 0,
        ERRORS_TOO_LARGE: np.mean((found.residual[i][used] / noise) ** 2) < _TOO_GOOD,
    }
    one = found.weighted.take(np.array([i]))
    return [
        *at_bounds(parameters, found.minima.found.x[row], errors),
        *(flag for flag, it_is in true.items() if it_is),
        *unmodelled(stack, one, found.star[i], found.residual[i], theta[parameters.velocity]),
        *([DOUBLE_LINED] if double else []),
        *([NO_INFORMATION] if _knows_nothing(parameters, errors) else []),
        *(
            alpha_assumed(parameters.space.names, theta, found.minima.tension[row])
            if problem.settings.assumes_alpha
            else []
        ),
    ]


def scale_of(settings, reduced_chi2) -> float:
    """By what the noise is multiplied in the errors of labels: see `Settings.scale_errors`."""
    return float(np.sqrt(max(1.0, reduced_chi2))) if settings.scale_errors else 1.0


def fits_poorly(reduced_chi2, n_pixels) -> bool:
    """Whether `reduced_chi2` is what the flag ``poor-fit`` means."""
    return bool(reduced_chi2 > _POOR + _BY_CHANCE * np.sqrt(2 / n_pixels))


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
    info, noise = problem.settings.emulator.info, problem.noise
    return {
        **identity_of(observation.meta),
        "medium": observation.medium,
        "recipe": info.get("recipe"),
        "emulator_version": info.get("version"),
        "continuum_degree": problem.settings.continuum_degree,
        "noise_correlation": noise.correlation,
        "errors_smoothed": observation.smoothed,
        "model_error": noise.model_error,
        "jitter": noise.jitter,
        "errors_scaled_by": float(scale),
        "priors": problem.parameters.informative,
    }


def _knows_nothing(parameters, errors) -> bool:
    """Whether no label without an informative prior is known better than half as well as from its range alone."""
    width = (parameters.upper - parameters.lower)[parameters.free] / np.sqrt(12)
    open_ = [isinstance(parameters.priors[i], Uniform) for i in parameters.free]
    return bool(np.any(open_) and np.all((errors > _NOTHING * width)[open_]))


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


def at_bounds(parameters, x, errors) -> list[str]:
    """Flags of the free parameters `x` (m,) with `errors` (m,) that are at a limit, by the rule of `crowded`.

    Nothing lies beyond a lower limit of 0.
    """
    box = parameters.box
    lower, upper = box.floor(x[None])[0], box.upper
    width = upper - box.lower
    known = errors < _NOTHING * width / np.sqrt(12)
    margin = np.maximum(_BOUND * width, np.where(known, _CROWDED * errors, 0.0))
    near = np.minimum(np.where(box.from_zero, np.inf, x - lower), upper - x) < margin
    return [f"{AT_BOUND}:{name}" for name, there in zip(parameters.free_names, near, strict=True) if there]
