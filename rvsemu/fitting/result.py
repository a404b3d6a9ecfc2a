"""What a fit found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import Column, QTable
from scipy.special import ndtr, ndtri

from .._compat import Spectrum
from .importance import Draws

__all__ = [
    "AT_BOUND",
    "FEW_DRAWS",
    "FEW_GOOD_PIXELS",
    "NOT_CONVERGED",
    "OUTSIDE_DOMAIN",
    "POOR_FIT",
    "FitResult",
    "covariance_of",
    "make_results",
]

AT_BOUND = "at-bound"
"""Followed by a colon and the label, e.g. ``at-bound:vsini``: within 0.1 % of its range from a limit."""
NOT_CONVERGED = "not-converged"
"""The steps ran out before chi2 settled."""
OUTSIDE_DOMAIN = "outside-domain"
"""A label is outside the range the emulator was trained for (only with ``extrapolate=True``)."""
FEW_GOOD_PIXELS = "few-good-pixels"
"""Less than half of the pixels in the emulator's range were used."""
FEW_DRAWS = "few-draws"
"""The draws for ``errors="sampled"`` are worth less than 50 independent ones: sample with `rvsemu.sample`."""
POOR_FIT = "poor-fit"
"""Reduced chi2 above 3: the model cannot be this star (binary, emission, peculiar abundances, spikes)."""

_BOUND = 1e-3
_POOR = 3.0
_FEW = 0.5
_FEW_DRAWS = 50


@dataclass(frozen=True, repr=False)
class FitResult:
    """Labels of one spectrum, their errors, and how well the model fits.

    Each label is an attribute, too: ``result.teff``, ``result.radial_velocity`` ...

    Parameters
    ----------
    labels : dict of Quantity
        Every label and the radial velocity.
    errors : dict of Quantity
        One standard deviation of each; 0 for fixed labels.
    free_names : tuple of str
        What was fitted.
    covariance : ndarray, shape (m, m)
        Of the labels in `free_names`, in the units of `labels`; the continuum is marginalised.
    chi2, reduced_chi2 : float
        (y - model)^T C^-1 (y - model) over the pixels, without priors, with the errors of emulator and
        models in C; per degree of freedom (pixels less free labels less continuum coefficients).
    n_pixels : int
        Pixels compared.
    flags : tuple of str
        What to beware of: see the constants of `rvsemu.fitting.result`. Empty is good.
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
    model_flux, model_sigma : ndarray, shape (n,)
        The fit with its continuum, and the emulator's error; NaN beyond the emulator's range.
    continuum : ndarray, shape (n,)
        The polynomial; NaN beyond the emulator's range.
    meta : dict
        Of the spectrum's meta what names it, recipe and version of the emulator, and the settings.
    draws : Draws or None
        Weighted draws from the posterior, with ``errors="sampled"``. Then `labels` are its medians, `errors` half of
        its central 68.27 %, and `covariance` is its own; chi2, model and continuum are those of the best fit.
    """

    labels: dict
    errors: dict
    free_names: tuple
    covariance: np.ndarray
    chi2: float
    reduced_chi2: float
    n_pixels: int
    flags: tuple
    residual_rms: float
    spectral_axis: u.Quantity
    flux_unit: u.UnitBase
    flux: np.ndarray
    flux_sigma: np.ndarray
    used: np.ndarray
    model_flux: np.ndarray
    model_sigma: np.ndarray
    continuum: np.ndarray
    meta: dict = field(default_factory=dict)
    draws: Draws | None = None

    def __getattr__(self, name):
        labels = self.__dict__.get("labels", {})
        if name in labels:
            return labels[name]
        raise AttributeError(f"FitResult has no attribute '{name}'; its labels are {', '.join(labels)}.")

    def __dir__(self):
        return [*super().__dir__(), *self.labels]

    def __repr__(self):
        rows = [self._row(name) for name in self.labels]
        quality = f"reduced chi2 {self.reduced_chi2:.2f}, residual rms {self.residual_rms:.4f}"
        flags = f"flags: {', '.join(self.flags) or 'none'}"
        return "\n".join(["<FitResult", *rows, f"  {quality}, {self.n_pixels} pixels", f"  {flags}>"])

    def _row(self, name):
        value, error = self.labels[name], self.errors[name].value
        if name in self.free_names:
            digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-9)))))
            text = f"{value.value:.{digits}f} +- {error:.{digits}f}"
        else:
            text = f"{value.value:g} (fixed)"
        return f"  {name:<16}{text} {value.unit}".rstrip()

    def interval(self, level=0.68) -> dict:
        """Where each label is with a probability of `level`: its central interval, as Quantities of two.

        Of the draws if there are any, or of a Gaussian.
        """
        if not 0 < level < 1:
            raise ValueError(f"level={level}: give a number between 0 and 1.")
        shares = 0.5 + 0.5 * level * np.array([-1.0, 1.0])
        out = {}
        for i, name in enumerate(self.free_names):
            value = self.labels[name]
            if self.draws is None:
                out[name] = value + self.errors[name] * ndtri(shares)
            else:
                out[name] = u.Quantity(self.draws.quantiles(shares)[:, i], value.unit)
        return out

    def sampled(self, draws, parameters) -> FitResult:
        """The same with labels and errors from `draws` of the free ones of `parameters`."""
        low, middle, high = draws.quantiles(ndtr([-1.0, 0.0, 1.0]))
        units = {name: self.labels[name].unit for name in self.free_names}
        labels = {name: u.Quantity(x, units[name]) for name, x in zip(units, middle, strict=True)}
        errors = {name: u.Quantity(x, units[name]) for name, x in zip(units, (high - low) / 2, strict=True)}
        others = tuple(flag for flag in self.flags if not flag.startswith(AT_BOUND))
        few = (FEW_DRAWS,) * (draws.effective < _FEW_DRAWS)
        return replace(
            self,
            labels=self.labels | labels,
            errors=self.errors | errors,
            covariance=draws.covariance,
            flags=(*_at_bounds(parameters, middle), *others, *few),
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

    def plot(self, ax=None):
        """Data, model and residual: see `rvsemu.plotting.plot_fit`."""
        from ..plotting import plot_fit

        return plot_fit(self, ax=ax)

    def to_table(self) -> QTable:
        """One row: source_id (-1 if unknown), labels, errors as ``<label>_error``, quality and flags.

        Flags are joined by commas, ``none`` if there are none (ECSV would read an empty text as missing).
        Tables of several fits stack with ``astropy.table.vstack`` and can be written as ECSV or FITS.
        """
        table = QTable()
        table["source_id"] = Column([int(self.meta.get("source_id", -1))], dtype="i8")
        for name, value in self.labels.items():
            table[name] = u.Quantity([value])
            table[f"{name}_error"] = u.Quantity([self.errors[name]])
        for name in ("chi2", "reduced_chi2", "residual_rms", "n_pixels"):
            table[name] = [getattr(self, name)]
        table["flags"] = [",".join(self.flags) or "none"]
        table["recipe"] = [str(self.meta.get("recipe"))]
        table["emulator_version"] = [str(self.meta.get("emulator_version"))]
        return table


def make_results(stack, weighted, noise, found, scale_errors) -> list[FitResult]:
    """The `FitResult` of each spectrum of a `Stack`.

    Parameters
    ----------
    stack : Stack
    weighted : Weighted
    noise : NoiseModel
    found : Minimum
    scale_errors : bool
    """
    theta = stack.parameters.full(found.x)
    flux = stack.model.flux(theta).astype(float)
    solution = weighted.projection.solve(flux[:, None])
    continuum = solution.coefficients[:, 0] @ stack.basis
    parts = zip(range(len(flux)), theta, flux, continuum, solution.chi2[:, 0], strict=True)
    return [_result(stack, weighted.used[i], noise, found, i, scale_errors, *one) for i, *one in parts]


def _result(stack, used, noise, found, i, scale_errors, theta, flux, continuum, chi2):
    parameters, observation, pixels = stack.parameters, stack.observations[i], stack.pixels
    emulator, space, x = stack.model.emulator, parameters.space, found.x[i]
    n_pixels = int(used.sum())
    reduced = float(chi2 / max(1, n_pixels - len(x) - len(stack.basis)))
    scale = np.sqrt(max(1.0, reduced)) if scale_errors else 1.0
    covariance = covariance_of(parameters, x, found.hessian[i], scale)
    errors = np.zeros(len(theta))
    errors[parameters.free] = np.sqrt(np.diag(covariance))
    deviation = (stack.flux[i] / continuum - flux)[used]

    def everywhere(values, fill=np.nan):
        out = np.full(len(observation.flux), fill)
        out[pixels] = values
        return out

    return FitResult(
        labels={n: space.quantity(n, theta[k]) for k, n in enumerate(space.names)},
        errors={n: space.quantity(n, errors[k]) for k, n in enumerate(space.names)},
        free_names=parameters.free_names,
        covariance=covariance,
        chi2=float(chi2),
        reduced_chi2=reduced,
        n_pixels=n_pixels,
        flags=_flags(parameters, emulator, theta, found.converged[i], n_pixels / observation.covered.sum(), reduced),
        residual_rms=float(np.sqrt(np.mean(deviation**2))),
        spectral_axis=observation.axis,
        flux_unit=observation.unit,
        flux=observation.flux,
        flux_sigma=observation.sigma,
        used=everywhere(used, False).astype(bool),
        model_flux=everywhere(flux * continuum),
        model_sigma=everywhere(stack.model.sigma(theta) * np.abs(continuum)),
        continuum=everywhere(continuum),
        meta={
            **{k: observation.meta[k] for k in ("source_id", "frame") if k in observation.meta},
            "medium": observation.medium,
            "recipe": emulator.info.get("recipe"),
            "emulator_version": emulator.info.get("version"),
            "continuum_degree": len(stack.basis) - 1,
            "noise_correlation": tuple(noise.correlation.tolist()),
            "model_error": noise.model_error,
            "jitter": noise.jitter,
            "errors_scaled_by": float(scale),
            "priors": parameters.informative,
        },
    )


def covariance_of(parameters, x, hessian, scale) -> np.ndarray:
    """Covariance of the free parameters at the solution `x`, from the Hessian of chi2 / 2 - log prior.

    With H that of chi2 alone and P that of the priors it is ``(H + P)^-1 (scale^2 H + P) (H + P)^-1``. P has
    also the domain of each label (a uniform distribution of width L has the variance L^2 / 12), so that a
    label without any effect on the spectrum gets the error of knowing nothing.
    """
    free = parameters.free
    known = np.diag(parameters.prior_slopes(x[None])[1][0])
    prior = known + np.diag(12.0 / (parameters.upper[free] - parameters.lower[free]) ** 2)
    data = hessian - known
    inverse = np.linalg.inv(data + prior)
    return inverse @ (scale**2 * data + prior) @ inverse


def _flags(parameters, emulator, theta, converged, share, reduced) -> tuple[str, ...]:
    flags = _at_bounds(parameters, theta[parameters.free])
    if not converged:
        flags.append(NOT_CONVERGED)
    if not emulator.labels.inside(theta[: len(emulator.labels)]):
        flags.append(OUTSIDE_DOMAIN)
    if share < _FEW:
        flags.append(FEW_GOOD_PIXELS)
    if reduced > _POOR:
        flags.append(POOR_FIT)
    return tuple(flags)


def _at_bounds(parameters, x) -> list[str]:
    """Flags of the free parameters `x` (m,) that are at a limit."""
    lower, upper = parameters.lower[parameters.free], parameters.upper[parameters.free]
    near = np.minimum(x - lower, upper - x) < _BOUND * (upper - lower)
    return [f"{AT_BOUND}:{name}" for name, there in zip(parameters.free_names, near, strict=True) if there]
