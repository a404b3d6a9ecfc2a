"""`invert`: from a spectrum, or fluxes on the inversion's own wavelengths, to labels with errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike
from specutils import Spectrum

from .._storage import check_named, is_path, shipped_file
from ..errors import InversionFileError, SpectrumError, check_whole
from ..observing.arrays import unmasked
from ..observing.flags import (
    AT_BOUND,
    FEW_CCDS,
    HELD_DISPUTED,
    LABELS_CONTRADICT,
    NOT_AT_REST,
    NOT_CONVERGED,
    SMOOTH_NOISE,
    few_ccds,
    not_at_rest,
)
from ..observing.line_groups import disagreeing
from ..observing.masks import DEFAULT_MASK
from ..observing.noise import ModelError, NoiseModel, model_error_for
from ..observing.observation import Observation
from ..observing.results import identity_of
from .alpha import by_alpha
from .coefficients import find_velocity, fit_coefficients, fit_next_to_labels
from .model import Inversion
from .result import InversionResult, flags_of

__all__ = ["invert", "resolve", "shipped_inversion"]

DEFAULT = "default"
_POOR = 3.0  # reduced chi2: as for fits
_FEW = 0.5
_AT_ONCE = 64  # spectra: their tangents in a layer of 5000 take 20 MB each
_MOST_DEGREE = 20
_MOST_VELOCITY = 1000.0  # km/s
_NEAR_REST = 100.0  # km/s
_MARGIN = 60.0  # km/s: how far the velocity can still move from where it was found
_DISPUTED = 3.3  # standard deviations between a velocity that was given and the one of the spectrum: as for fits
_UNKNOWN = 1.0  # km/s by which right velocities may differ from those of spectra: as for fits
_EMISSION = 1.1  # of the continuum: training spectra reach 1.01
_UNEXPECTED = 1.5  # times the residual that is to be expected
_SURE = 2.5  # times: least squares that are so much surer of Teff than the network do not see other labels that it does
_ROUNDED = 1.0 + 1e-4  # limits were measured in float32, in other batches
_SHARE = 0.5  # of what two ways to a label differ by: another part of its error


def shipped_inversion(name: str = DEFAULT) -> Inversion:
    """An inversion that comes with the package, by name; read once a process.

    That is "default"; in a checkout of the repository those of its folder ``models/inversions``, too.

    Raises
    ------
    InversionFileError
        There is none of that name.

    Examples
    --------
    >>> from rvsemu.inversion import shipped_inversion
    >>> inversion = shipped_inversion()
    >>> len(inversion.wavelength), inversion.medium
    (4000, 'air')
    """
    return _loaded_once(shipped_file(name, "inversion", InversionFileError))


@lru_cache(maxsize=4)
def _loaded_once(path: Path) -> Inversion:
    return Inversion.load(path)


def resolve(inversion: Inversion | str | PathLike | None = None) -> Inversion:
    """The `Inversion` meant by None (the default one), a shipped name, a path, or an Inversion."""
    if isinstance(inversion, Inversion):
        return inversion
    if inversion is None:
        return shipped_inversion()
    check_named(inversion, "inversion", InversionFileError)
    return Inversion.load(inversion) if is_path(inversion) else shipped_inversion(str(inversion))


def invert(
    spectrum: Spectrum | ArrayLike,
    *,
    inversion: Inversion | str | PathLike | None = None,
    radial_velocity: float | u.Quantity | tuple[float, float] | None = None,
    continuum_degree: int = 3,
    mask: Any = DEFAULT_MASK,
    medium: str | None = None,
    sigma: ArrayLike | u.Quantity | None = None,
    noise_correlation: str | Sequence[float] = "auto",
    smooth_sigma: bool | None = None,
    model_error: str | ModelError | None = "gaia-rvs",
) -> InversionResult:
    """Stellar labels of a spectrum from principal components and a network.

    Parameters
    ----------
    spectrum : specutils.Spectrum or array_like
        An observed spectrum, one-dimensional, with a wavelength axis, ``meta["medium"]`` and an uncertainty. Or
        normalised fluxes (n_pixels,) or (n, n_pixels) on the inversion's own wavelengths, at rest; of the arguments
        below these take `inversion` and `sigma` alone.
    inversion : Inversion, str or path, optional
        Another one than the default: a shipped one by name, or a file.
    radial_velocity : float, (low, high) or Quantity, optional
        Of the star, km/s: one value fixes it, two are the range in which it is looked for. Default: -100 to 100 km/s
        for spectra whose ``meta["frame"]`` is ``"rest"`` (Gaia's mean spectra), -1000 to 1000 km/s for others.
    continuum_degree : int
        Of the polynomial, 0-20, that is fitted along with the components.
    mask : str, (low, high), sequence of these, or None
        What to leave out besides bad pixels, as for `rvsemu.fit`.
    medium : {'air', 'vacuum'}, optional
        Of the spectral axis, where ``meta["medium"]`` does not say it.
    sigma : float, array or Quantity, optional
        Standard deviation of the noise: of an observed spectrum, instead of its uncertainty; of fluxes, which have
        none without it, a number or (n_pixels,).
    noise_correlation, smooth_sigma, model_error
        As for `rvsemu.fit`.

    Returns
    -------
    InversionResult

    Raises
    ------
    InversionFileError
        There is no such inversion.
    SpectrumError
        The spectrum cannot be used, or an argument does not fit it.

    Notes
    -----
    Coefficients of an observed spectrum, and their covariance, are those of a least-squares fit
    (`rvsemu.inversion.fit_coefficients`). An inversion with networks for noise, as the default one, turns them into
    the labels that are likely in noise like this, and takes steps of least squares from these to the labels that imply
    the coefficients (`rvsemu.inversion.NoiseNetworks`); the flag ``labels-contradict`` says that the two contradict
    each other, or that no labels imply the spectrum. Others, and fluxes, go through networks
    that were trained on spectra without noise, or with little: noise reaches the labels through the network's
    Jacobian, to first order. It is not weighed against what each pixel tells of a label, as in a fit.

    Examples
    --------
    >>> import rvsemu
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=-0.3, vmic=1.3)
    >>> result = rvsemu.invert(star.flux.value)
    >>> bool(abs(result.teff.value - 6000) < 200)
    True
    """
    inversion = resolve(inversion)
    if not hasattr(spectrum, "spectral_axis"):
        _refuse(
            radial_velocity=radial_velocity is not None,
            continuum_degree=continuum_degree != 3,
            mask=mask is not DEFAULT_MASK,
            medium=medium is not None,
            noise_correlation=noise_correlation != "auto",
            smooth_sigma=smooth_sigma is not None,
            model_error=model_error != "gaia-rvs",
        )
        return _invert_fluxes(inversion, spectrum, sigma)
    check_whole(SpectrumError, "continuum_degree", continuum_degree, 0, _MOST_DEGREE)
    low, high = limits = _velocities(radial_velocity, spectrum)
    model_error = model_error_for(model_error)
    pixels = {"medium": medium, "sigma": sigma, "mask": mask}
    pixels |= {"noise_correlation": noise_correlation, "smooth_sigma": smooth_sigma}
    observation = Observation.from_spectrum(spectrum, inversion, **pixels, velocities=limits)
    velocity, move = low, low < high
    if move:
        velocity = find_velocity(inversion, observation, limits, continuum_degree, model_error)
        observation = Observation.from_spectrum(spectrum, inversion, **pixels, velocities=_around(velocity))
    noise = NoiseModel(observation.noise.correlation, model_error)
    found = fit_coefficients(inversion, observation, velocity, continuum_degree, noise, move)
    scale = float(np.sqrt(max(1.0, found.reduced_chi2)))
    estimate = _estimate(inversion, found, scale)
    flags: list[str] = []
    if inversion.noisy is not None:
        values = inversion.labels.clipped(estimate.values)
        scaled = inversion.labels.scaled(values)
        beside = fit_next_to_labels(inversion, observation, found.velocity, continuum_degree, noise, scaled, move)
        (flags,) = disagreeing(beside.disagreement[None] / scale, inversion.labels.names, values[None])
        if move:
            found = found.moved(beside.velocity, beside.velocity_error, beside.settled)
        else:
            near = Observation.from_spectrum(spectrum, inversion, **pixels, velocities=_around(low))
            free = fit_next_to_labels(inversion, near, low, continuum_degree, noise, scaled, move=True)
            flags += _disputed(free, low, scale)
    meta = {
        **identity_of(observation.meta),
        "medium": observation.medium,
        "continuum_degree": int(continuum_degree),
        "noise_correlation": noise.correlation,
        "errors_smoothed": observation.smoothed,
        "model_error": model_error,
        "errors_scaled_by": scale,
    }
    result = _result_of_spectrum(inversion, observation, found, estimate, limits, meta)
    return replace(result, flags=(*result.flags, *flags))


def _around(velocity) -> tuple[float, float]:
    """The range in which a velocity can move from where it was found, or given."""
    return velocity - _MARGIN, velocity + _MARGIN


def _disputed(free, velocity, scale) -> list[str]:
    """The flag of a given velocity, if the one of a fit next to the labels, which is `free`, differs from it."""
    error = np.hypot(scale * free.velocity_error, _UNKNOWN)
    return [f"{HELD_DISPUTED}:radial_velocity"] if abs(free.velocity - velocity) > _DISPUTED * error else []


def _refuse(**given):
    """Arguments that fluxes do not take."""
    for name in [name for name, there in given.items() if there]:
        raise SpectrumError(f"{name}= is for a Spectrum: fluxes on the inversion's wavelengths take none; omit it.")


def _result_of_spectrum(inversion, observation, found, estimate, limits, meta) -> InversionResult:
    unlike = (
        found.reduced_chi2 > _POOR
        or found.residual_rms > _UNEXPECTED * found.expected_rms
        or np.mean(found.values**2) > inversion.limits.distance
        or _in_emission(inversion, found.values)[0]
    )
    few = found.used.sum() < _FEW * observation.covered.sum()
    parts = _quantities(inversion, estimate.values, estimate.errors, estimate.noise)
    flags = flags_of(inversion, estimate.values, estimate.errors, estimate.telling, unlike, few, estimate.alpha)
    flags += (LABELS_CONTRADICT,) * estimate.contradiction + (SMOOTH_NOISE,) * found.smooth_noise
    velocity_error = found.velocity_error * meta["errors_scaled_by"]
    if limits[0] < limits[1]:
        nothing = (limits[1] - limits[0]) / np.sqrt(12.0)
        velocity_error /= np.hypot(1.0, velocity_error / nothing)
        if not limits[0] < found.velocity < limits[1]:
            flags = (f"{AT_BOUND}:radial_velocity", *flags)
    flags += (NOT_CONVERGED,) * (not found.settled)
    flags += (FEW_CCDS,) * few_ccds(observation.estimates)
    flags += (NOT_AT_REST,) * bool(not_at_rest(meta.get("frame"), found.velocity, velocity_error))
    parts["labels"]["radial_velocity"] = np.clip(found.velocity, *limits) * u.km / u.s
    for name in ("errors", "noise_errors"):
        parts[name]["radial_velocity"] = velocity_error * u.km / u.s
    parts["limits"]["radial_velocity"] = limits
    return InversionResult(
        **parts,
        flags=flags,
        residual_rms=found.residual_rms,
        reduced_chi2=found.reduced_chi2,
        n_pixels=int(found.used.sum()),
        coefficients=found.values,
        meta={**_names(inversion), **meta},
    )


@dataclass(frozen=True)
class _Estimate:
    """Labels of one spectrum, each array (n_labels,)."""

    values: np.ndarray
    errors: np.ndarray
    noise: np.ndarray  # the part of the errors that is due to noise
    telling: np.ndarray  # the errors that say whether the spectrum tells anything
    contradiction: bool = False
    alpha: float = 0.0  # by how many standard deviations another [alpha/M] than 0 is wanted


def _estimate(inversion, found, scale) -> _Estimate:
    """Labels of observed coefficients, whose stated errors are too small by a factor of `scale`."""
    values, slopes = inversion.jacobian(found.values.astype("f4"))
    propagated = inversion.propagated(slopes[0], found.covariance * scale**2)
    if inversion.noisy is None:
        return _Estimate(values[0], np.hypot(inversion.sigma(values)[0], propagated), propagated, propagated)
    return _noisy_estimate(inversion, found, scale, propagated)


def _noisy_estimate(inversion, found, scale, propagated) -> _Estimate:
    """The same by the networks for noise, and least squares from there."""
    space, noisy = inversion.labels, inversion.noisy
    raw, errors = noisy.labels(space, found.values, found.covariance)
    nothing = (space.upper - space.lower) / np.sqrt(12.0)
    errors = scale * errors / np.sqrt(1.0 + (scale**2 - 1.0) * (errors / nothing) ** 2)
    slope = space.slope(raw)
    polished = noisy.polished(space.scaled(raw), slope * errors, found.values, found.covariance, scale)
    i = space.names.index("teff")
    kept = slope[i] * errors[i] > _SURE * polished.errors[i]
    values = raw if kept else space.unscaled(polished.scaled)
    own = errors if kept else polished.errors / space.slope(values)
    apart = (1.0 if polished.contradiction else 0.0 if kept else _SHARE) * errors * polished.steps
    errors = np.minimum(np.hypot(own, apart), nothing)
    beyond = ((raw < space.lower) & (values <= space.lower)) | ((raw > space.upper) & (values >= space.upper))
    values = np.where(beyond, raw, values)  # how far beyond, for flags
    by = by_alpha(inversion, values)
    alpha = 0.0 if by is None else noisy.tension(space.scaled(values), found.values, found.covariance, by, scale)
    return _Estimate(values, errors, np.minimum(propagated, errors), errors, polished.contradiction, alpha)


def _invert_fluxes(inversion, flux, sigma) -> InversionResult:
    flux, sigma = _fluxes(inversion, flux), _noise(inversion, sigma)
    rows = np.atleast_2d(flux)
    c = inversion.coefficients(rows)
    residual = np.sqrt(np.mean((inversion.principal.rebuilt(c) - rows) ** 2, axis=1))
    if sigma is None:
        values = inversion.from_coefficients(c)
        noise = np.zeros(values.shape)
    else:
        covariance = inversion.noise_covariance(sigma)
        parts = [inversion.jacobian(c[i : i + _AT_ONCE]) for i in range(0, len(c), _AT_ONCE)]
        values = np.concatenate([v for v, _ in parts])
        noise = np.array([inversion.propagated(one, covariance) for _, slopes in parts for one in slopes])
    errors = np.hypot(inversion.sigma(values), noise)
    left = np.hypot(inversion.limits.residual, 0.0 if sigma is None else np.sqrt(np.mean(sigma**2)))
    distance = np.mean(c.astype(float) ** 2, axis=1)
    unlike = (residual > _ROUNDED * left) | (distance > _ROUNDED * _reach(inversion, sigma))
    unlike |= _in_emission(inversion, c)
    flags = [flags_of(inversion, *one) for one in zip(values, errors, noise, unlike, strict=True)]
    chi2, pixels = np.full(len(rows), np.nan), np.full(len(rows), rows.shape[1])
    one = flux.ndim == 1
    pick = (lambda x: x[0]) if one else (lambda x: x)
    return InversionResult(
        **_quantities(inversion, *(pick(x) for x in (values, errors, noise))),
        flags=pick(flags),
        residual_rms=pick(residual.astype(float)),
        reduced_chi2=pick(chi2),
        n_pixels=pick(pixels),
        coefficients=pick(c),
        meta={**_names(inversion), "medium": inversion.medium, "frame": "rest"},
    )


def _reach(inversion, sigma) -> float:
    """The largest mean square of coefficients of training spectra, and what noise adds to it."""
    noise = 0.0 if sigma is None else np.mean(np.diag(inversion.noise_covariance(sigma)))
    return inversion.limits.distance + noise


def _in_emission(inversion, coefficients) -> np.ndarray:
    """Whether spectra (n,) rise above the continuum, which none of absorption lines does."""
    return np.quantile(inversion.principal.rebuilt(np.atleast_2d(coefficients)), 0.99, axis=1) > _EMISSION


def _names(inversion) -> dict:
    return {"recipe": inversion.info.get("recipe"), "inversion_version": inversion.info.get("version")}


def _quantities(inversion, values, errors, noise) -> dict:
    """Dictionaries of Quantities, labels within their limits, and the limits."""
    space = inversion.labels
    values = space.clipped(values)

    def named(x):
        return {name: space.quantity(name, x[..., i]) for i, name in enumerate(space.names)}

    limits = {label.name: (label.lower, label.upper) for label in space.labels}
    return {"labels": named(values), "errors": named(errors), "noise_errors": named(noise), "limits": limits}


def _fluxes(inversion, flux) -> np.ndarray:
    n = len(inversion.wavelength)
    try:
        flux = np.asarray(u.Quantity(unmasked(flux), u.dimensionless_unscaled).value, dtype="f4")
    except (u.UnitConversionError, TypeError, ValueError):
        raise SpectrumError(f"spectrum is a {type(flux).__name__}: give a specutils Spectrum, or fluxes.") from None
    if flux.ndim not in (1, 2) or flux.shape[-1] != n or not flux.size:
        raise SpectrumError(
            f"fluxes have the shape {flux.shape}: give ({n},) or (n, {n}), on the wavelengths of the inversion "
            f"({inversion.wavelength[0]:.1f} to {inversion.wavelength[-1]:.1f} A in {inversion.medium}), or a Spectrum."
        )
    if bad := np.count_nonzero(~np.isfinite(flux)):
        raise SpectrumError(
            f"{bad} fluxes are not finite, or masked: give a Spectrum with a mask, whose bad pixels are left out."
        )
    return flux


def _noise(inversion, sigma):
    if sigma is None:
        return None
    n = len(inversion.wavelength)
    try:
        sigma = np.asarray(u.Quantity(unmasked(sigma), u.dimensionless_unscaled).value, dtype=float)
        sigma = np.broadcast_to(sigma, (n,))
    except (u.UnitConversionError, TypeError, ValueError):
        raise SpectrumError(f"sigma does not fit the fluxes: give one number, or {n} of them.") from None
    if not np.all(np.isfinite(sigma) & (sigma >= 0)):
        raise SpectrumError("sigma has values that are negative or not finite: give standard deviations.")
    return sigma


def _velocities(radial_velocity, spectrum) -> tuple[float, float]:
    """Lowest and highest radial velocity, km/s; equal if it is fixed."""
    if radial_velocity is None:
        most = _NEAR_REST if spectrum.meta.get("frame") == "rest" else _MOST_VELOCITY
        return -most, most
    try:
        given = np.atleast_1d(u.Quantity(radial_velocity, u.km / u.s).value).astype(float)
    except (u.UnitConversionError, TypeError, ValueError):
        given = np.full(1, np.nan)
    if given.shape not in ((1,), (2,)) or not np.all(np.abs(given) <= _MOST_VELOCITY) or given[0] > given[-1]:
        raise SpectrumError(
            f"radial_velocity={radial_velocity!r}: give one velocity in km/s or (low, high), within -1000 to 1000."
        )
    return float(given[0]), float(given[-1])
