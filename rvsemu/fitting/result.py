"""What a fit found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from scipy.special import ndtr
from specutils import Spectrum

from ..errors import RvsemuError
from ..observing.correlation import lag_correlation
from ..observing.flags import FAILED, FEW_DRAWS, NOT_GAUSSIAN, OUTSIDE_DOMAIN, to_bits
from ..observing.result_table import EXTERNAL_ERRORS, ResultTable
from ..observing.results import (
    LIMITED,
    Result,
    identity_columns,
    limit_of_square,
    name_of,
    normal_interval,
    tails,
    without_prior,
)
from .importance import Draws
from .limits import OUTSIDE, piled_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FitFailure", "FitResult", "LeastSquares"]

_FEW_DRAWS = 50


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

    @property
    def external_errors(self) -> dict[str, u.Quantity]:
        """What real stars show to be missing in `errors` of free labels, to be added in quadrature.

        See `rvsemu.observing.result_table.EXTERNAL_ERRORS`. Empty without a model error, and with a calibrated
        emulator, whose errors include it.
        """
        applies = self.meta.get("model_error") is not None and not self.meta.get("calibrated")
        known = EXTERNAL_ERRORS if applies else {}
        return {name: u.Quantity(error, self.labels[name].unit) for name, error in known.items() if name in self.ranges}

    def interval(self, level: float = 0.68) -> dict[str, u.Quantity]:
        """Where each free label is with a probability of `level`: its central interval, as Quantities of two.

        That of a Gaussian, within the range of the label. Near a limit of 0, as of v sin i of slow rotators, it is
        too short: `upper_limits` has more to say there.
        """
        return {n: normal_interval(self.labels[n], self.errors[n], r, level) for n, r in self.ranges.items()}

    def _highest(self, name, level) -> u.Quantity:
        """One-sided limit; of Gaussian errors, that of the square of the label, by which it acts."""
        return limit_of_square(self.labels[name], self.errors[name], self.ranges[name], level)

    def _from_zero(self) -> list[str]:
        return [name for name in LIMITED if name in self.ranges]

    def _quality(self) -> list[str]:
        chi2 = f"reduced chi2 {self.reduced_chi2:.2f} ({self.noise_chi2:.2f} from noise alone)"
        outliers = f", {self.n_outliers} outliers" if self.n_outliers else ""
        limits = [f"{name} below {limit:.2g} (95 %)" for name, limit in self.upper_limits().items()]
        external = ", ".join(f"{name} {error.value:g} dex" for name, error in self.external_errors.items())
        more = [f"not in the errors, from real stars: {external}"] if external else []
        fit = f"{chi2}, residual rms {self.residual_rms:.4f}, {self.n_pixels} pixels{outliers}"
        return [*limits, *more, *without_prior(self.meta), fit]

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
        Of the labels in `free_names`, in the units of `labels`; the continuum is marginalised. With the flag
        ``not-gaussian`` it is larger than that of the curvature at the best fit.
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

    def sampled(self, draws: Draws, lowest_logg: Sequence[tuple[float, float]] = (), outside: float = 0.0) -> FitResult:
        """The same with labels and errors from `draws` of the free ones; flags stay, but for that of Gaussian errors.

        `lowest_logg` are the nodes of a `rvsemu.emulator.LabelSpace` that is no box, and `outside` is the share of the
        posterior that is outside of it.
        """
        low, middle, high = draws.quantiles(ndtr([-1.0, 0.0, 1.0]))
        units = {name: self.labels[name].unit for name in self.free_names}
        labels = {name: u.Quantity(x, units[name]) for name, x in zip(units, middle, strict=True)}
        errors = {name: u.Quantity(x, units[name]) for name, x in zip(units, (high - low) / 2, strict=True)}
        kept = [flag for flag in self.flags if flag != NOT_GAUSSIAN]
        texts = {name: str(unit) for name, unit in units.items()}
        found = [*kept, *piled_up(draws.x, draws.weights, self.ranges, lowest_logg, texts)]
        more = {FEW_DRAWS: draws.effective < _FEW_DRAWS, OUTSIDE_DOMAIN: outside > OUTSIDE}
        return replace(
            self,
            labels=self.labels | labels,
            errors=self.errors | errors,
            covariance=draws.covariance,
            flags=tuple(dict.fromkeys([*found, *(flag for flag, there in more.items() if there)])),
            draws=draws,
        )

    @property
    def observed(self) -> Spectrum:
        """What was fitted, ``mask`` True in the pixels left out; made anew at each access (1 ms).

        Its uncertainty is `flux_sigma`, and ``meta["pixel_correlation"]`` the correlation of its noise, so that another
        fit of it, also after it was written to a file, takes the same noise, and the same prior of the resolution.
        """
        lags, step = lag_correlation(self.meta["noise_correlation"], self.spectral_axis.to_value(u.AA))
        noise = {"pixel_correlation": lags, "pixel_correlation_step": step}
        return self._spectrum(self.flux, self.flux_sigma, ~self.used, **noise)

    @property
    def model(self) -> Spectrum:
        """The fit on the same axis, with its continuum and the emulator's error; made anew at each access."""
        return self._spectrum(self.model_flux, self.model_sigma, np.isnan(self.model_flux))

    def _spectrum(self, flux, sigma, mask, **more: Any) -> Spectrum:
        return Spectrum(
            spectral_axis=self.spectral_axis,
            flux=u.Quantity(flux, self.flux_unit),
            uncertainty=StdDevUncertainty(sigma),
            mask=mask,
            meta=self.meta | more,
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

    def __repr__(self) -> str:
        return f"<FitFailure {name_of(self.meta)}: {self.error}>"

    def to_table(self) -> QTable:
        """One row: what names the spectrum, the flag ``failed``, and the error; stacks with those of results."""
        table = ResultTable(identity_columns(self.meta))
        table["flags"], table["flag_bits"] = [FAILED], np.array([to_bits([FAILED])], dtype="i4")
        table["error"] = [str(self.error)]
        return table.described()
