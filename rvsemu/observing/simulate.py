"""Observed Gaia RVS spectra out of noiseless ones: pixels, noise, and the errors that a release states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.interpolate import make_interp_spline
from specutils import Spectrum

from ..errors import SettingsError, SpectrumError, check_whole
from ..physics.continuum import chebyshev_basis
from ..physics.wavelengths import SPEED_OF_LIGHT, convert_medium, doppler

__all__ = ["NATIVE_PIXEL", "RELEASES", "Release", "simulate"]

NATIVE_PIXEL = 0.245
"""Angstrom. Width of the pixels of the CCDs, in which noise is independent."""


@dataclass(frozen=True)
class Release:
    """The pixels of the mean spectra of a Gaia release, and where their errors come from.

    Parameters
    ----------
    pixels : int
    step : float
        Distance of pixels, Angstrom.
    white : float
        Share of the variance of the noise that is independent from pixel to pixel.
    propagated : bool
        Whether errors are propagated from the variances of the CCD spectra; else they are the empirical standard
        errors of their mean.

    Examples
    --------
    >>> from rvsemu.observing.simulate import RELEASES
    >>> RELEASES["Gaia DR4"].wavelength[[0, 1, -1]]
    array([8460.  , 8460.25, 8700.  ])
    """

    pixels: int
    step: float
    white: float
    propagated: bool

    @property
    def wavelength(self) -> np.ndarray:
        """Angstrom, in vacuum, shape (pixels,)."""
        return 8460.0 + self.step * np.arange(self.pixels)


RELEASES = {"Gaia DR3": Release(2401, 0.1, 0.002, False), "Gaia DR4": Release(961, 0.25, 0.0, True)}
"""Releases that can be simulated."""

_SCATTER = np.sqrt(2.0 / 3.0)
"""Standard deviation of what is interpolated linearly between native pixels, in theirs, on average over positions."""
_FRAMES = ("rest", "barycentric")
_WIDEST = 0.3  # Angstrom: points of a star further apart than a native pixel do not show what the instrument does
_MARGIN = 10  # points of the star on either side of the range that the interpolation sees
_RUN = 20  # pixels; typical length of a gap
_MOST_CCDS = 1000


def simulate(
    star: Spectrum,
    *,
    signal_to_noise: float,
    seed: int | np.random.Generator,
    ccds: int = 30,
    true_errors: bool = False,
    release: str = "Gaia DR3",
    radial_velocity: float | u.Quantity = 0.0,
    frame: str = "rest",
    continuum: Sequence[float] | None = None,
    spikes: float = 0.0,
    spike_size: float = 10.0,
    tails: float | None = None,
    gaps: float = 0.0,
    source_id: int | None = None,
) -> Spectrum:
    """Observe a noiseless spectrum as Gaia's RVS would.

    Parameters
    ----------
    star : specutils.Spectrum
        Normalised flux without noise, with its medium in ``meta["medium"]``. For example one of `rvsemu.generate`, or a
        sum of several. Its points may be at any wavelengths, up to 0.3 A apart. Rotation and the resolution of the
        instrument must be in it; its uncertainty and mask are not used.
    signal_to_noise : float
        Median flux over the error that the release states where many CCD spectra are combined.
    seed : int or numpy.random.Generator
        Seed of everything random. The same number gives the same noise whatever `true_errors`, `spikes` and `gaps` are.
    ccds : int
        Number of CCD spectra whose mean is the spectrum, 2-1000. Stars of Gaia DR3 have some 5 to 100.
    true_errors : bool
        State the true standard deviation of the noise, instead of the error that the release states.
    release : {'Gaia DR3', 'Gaia DR4'}
        Gaia DR3 has 2401 pixels of 0.01 nm and errors that are estimated from the scatter of the CCD spectra. Gaia DR4
        has 961 pixels of 0.025 nm and errors that are propagated from their variances.
    radial_velocity : float or Quantity
        Velocity of the star in the result, km/s. In the rest frame it is what the release has not removed.
    frame : {'rest', 'barycentric'}
        What ``meta["frame"]`` says about the wavelengths.
    continuum : sequence of float, optional
        Coefficients c1, c2, ... of Chebyshev polynomials; the flux is multiplied by 1 + c1 T1 + c2 T2 + ...
    spikes : float
        Share of native pixels that have a spike, which the errors do not know.
    spike_size : float
        Height of the spikes, in standard deviations of a native pixel of the mean spectrum.
    tails : float, optional
        Degrees of freedom of Student's distribution, above 2, for the noise of a native pixel of one CCD spectrum; its
        variance is the same. Default: Gaussian noise. The mean of many spectra is nearly Gaussian all the same.
    gaps : float
        Share of pixels that are missing, in runs of some 20.
    source_id : int, optional
        For ``meta["source_id"]``.

    Returns
    -------
    specutils.Spectrum
        Like those that `rvsemu.read_rvs` reads: wavelengths in nm in vacuum, flux without unit, standard deviations,
        and a mask that is True in gaps, where flux and error are NaN. ``meta`` has ``medium``, ``frame``, ``release``,
        ``combined_ccds``, ``source_id`` if it is given, ``labels`` if the star has them, and ``simulated``: a dict of
        ``radial_velocity``, ``signal_to_noise``, ``seed`` (None for a Generator) and the other arguments.

    Raises
    ------
    SpectrumError
        The star has no or an unknown medium, is not one-dimensional, has a unit, has points too far apart, or does not
        cover the RVS at this velocity.
    SettingsError
        Another argument is of the wrong kind or out of range.

    Notes
    -----
    The noise of each CCD spectrum is independent in pixels of 0.245 A, and has the same variance in all of them, as for
    faint stars. The first pixel begins anywhere. The spectrum is interpolated linearly to the pixels of the release,
    and the result is the mean of all n. Interpolation lowers the variance, by 1/3 on average, and correlates
    the pixels. In Gaia DR3 a share of 0.002 of the variance is independent from pixel to pixel besides; the correlation
    is then `rvsemu.observing.RVS_NOISE_CORRELATION`, which was measured on a real spectrum, within 0.02.

    The errors of Gaia DR3 are here the standard error ``std / sqrt(n)`` of the n values of a pixel. They scatter by
    1 / sqrt(2 (n - 1)), as those of real spectra do, and most are too small: their median is below the true one
    by sqrt(m / (n - 1)), m the median of chi2 with n - 1 degrees of freedom (0.944 for n = 7). How
    flux_error of Gaia DR3 is defined was not published. The errors of Gaia DR4 follow the draft of its data
    model: the variances of the CCD spectra are interpolated like their fluxes, and the error is sqrt(sum) / n. The
    scatter of the fluxes is then 0.816 of the stated error, and neighbours have the correlation 0.235.

    Spikes are added to the mean, interpolated like the noise. In a single CCD spectrum they would raise an
    error from the scatter by as much as the flux.

    Examples
    --------
    >>> import rvsemu
    >>> sun = rvsemu.generate(teff=5777, logg=4.44, mh=0, vmic=1.2, resolution=11900)
    >>> spectrum = rvsemu.simulate(sun, signal_to_noise=50, ccds=20, seed=1)
    >>> spectrum.shape, spectrum.meta["release"], spectrum.meta["combined_ccds"]
    ((2401,), 'Gaia DR3', 20)
    >>> rvsemu.fit(spectrum, model_error=None).teff.round(-3)
    <Quantity 6000. K>
    """
    kind = RELEASES[_one_of("release", release, tuple(RELEASES))]
    velocity = _velocity(radial_velocity)
    rng = _generator(seed)
    settings: dict[str, Any] = {
        "radial_velocity": velocity * u.km / u.s,
        "signal_to_noise": _number("signal_to_noise", signal_to_noise, 1e-6, 1e9),
        "seed": None if isinstance(seed, np.random.Generator) else int(seed),
        "true_errors": _flag("true_errors", true_errors),
        "continuum": _coefficients(continuum),
        "spikes": _number("spikes", spikes, 0.0, 0.9),
        "spike_size": _number("spike_size", spike_size, -1e6, 1e6),
        "tails": None if tails is None else _number("tails", tails, 2.01, 1e6),
        "gaps": _number("gaps", gaps, 0.0, 0.9),
    }
    meta = _meta(star, settings) | {
        "frame": _one_of("frame", frame, _FRAMES),
        "release": release,
        "combined_ccds": check_whole(SettingsError, "ccds", ccds, 2, _MOST_CCDS),
    }
    if source_id is not None:
        meta["source_id"] = check_whole(SettingsError, "source_id", source_id, 1, 2**63 - 1)
    flux = _observable(star, kind, velocity) * _level(kind, settings["continuum"])
    noise, error = _noise(rng, kind, meta["combined_ccds"], settings)
    stated = _median(flux) / settings["signal_to_noise"]
    missing = _gaps(rng, kind.pixels, settings["gaps"])
    return Spectrum(
        spectral_axis=kind.wavelength / 10 * u.nm,
        flux=np.where(missing, np.nan, flux + stated * noise) * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.where(missing, np.nan, stated * error)),
        mask=missing,
        meta=meta,
    )


# ------------------------------------------------------------------ the star
def _observable(star: Spectrum, release: Release, velocity: float) -> np.ndarray:
    """Flux of the star (n,) in the pixels of a release, when it recedes at `velocity` km/s."""
    wavelength, flux = _points(star)
    rest = doppler(release.wavelength, -velocity)
    if rest[0] < wavelength[0] or rest[-1] > wavelength[-1]:
        raise SpectrumError(
            f"star covers {wavelength[0]:.1f} to {wavelength[-1]:.1f} A in vacuum: at "
            f"radial_velocity={velocity:g} km/s {rest[0]:.1f} to {rest[-1]:.1f} A are needed; give a star that covers "
            "them, or a smaller velocity."
        )
    first, last = np.searchsorted(wavelength, rest[[0, -1]])
    some = slice(max(first - _MARGIN, 0), last + _MARGIN)
    wavelength, flux = wavelength[some], flux[some]
    apart = np.diff(wavelength).max()
    if apart > _WIDEST:
        raise SpectrumError(
            f"star has points {apart:.3g} A apart in the range of the RVS: give one with points at most {_WIDEST} A "
            "apart, or the lines are lost."
        )
    if not np.isfinite(flux).all():
        count = np.count_nonzero(~np.isfinite(flux))
        raise SpectrumError(f"star has {count} fluxes in the range of the RVS that are not finite: give all of them.")
    return make_interp_spline(wavelength, flux, k=5)(rest)


def _points(star: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Vacuum wavelengths in Angstrom, increasing, and fluxes, both (m,)."""
    if not (hasattr(star, "spectral_axis") and hasattr(star, "flux") and hasattr(star, "meta")):
        raise SpectrumError(f"star is a {type(star).__name__}: give a specutils Spectrum, e.g. of rvsemu.generate.")
    if star.flux.ndim != 1:
        raise SpectrumError(f"star has the shape {star.flux.shape}: simulate one at a time, e.g. star[0].")
    if "medium" not in star.meta:
        raise SpectrumError(
            "star does not say whether its wavelengths are in air or in vacuum: set star.meta['medium'] to 'air' or "
            "'vacuum'."
        )
    axis = u.Quantity(star.spectral_axis)
    if not axis.unit.is_equivalent(u.AA):
        raise SpectrumError(f"The spectral axis of star is in '{axis.unit}': give wavelengths, e.g. in Angstrom or nm.")
    if not star.flux.unit.is_equivalent(u.dimensionless_unscaled):
        raise SpectrumError(f"The flux of star is in '{star.flux.unit}': divide it by its continuum.")
    wavelength = convert_medium(axis.to_value(u.AA), star.meta["medium"], "vacuum")
    order = np.argsort(wavelength)
    return wavelength[order], np.asarray(star.flux.to_value(u.dimensionless_unscaled), dtype=float)[order]


def _level(release: Release, coefficients: tuple[float, ...]) -> np.ndarray:
    """The continuum (n,) of a release's pixels."""
    level = chebyshev_basis(release.wavelength, len(coefficients)) @ np.array([1.0, *coefficients])
    if not level.min() > 0:
        raise SettingsError(
            f"continuum={coefficients} falls to {level.min():.2g}: give coefficients after the leading 1 that leave it "
            "positive, e.g. (0.02, -0.01)."
        )
    return level


def _median(flux: np.ndarray) -> float:
    median = float(np.median(flux))
    if not median > 0:
        raise SpectrumError(f"The median flux of star is {median:g}: give a normalised spectrum, whose continuum is 1.")
    return median


# ------------------------------------------------------------------ the noise
def _noise(rng: np.random.Generator, release: Release, n: int, settings: dict[str, Any]) -> tuple:
    """Noise and stated error (pixels,) of the mean of n CCD spectra, in units of the median stated error."""
    propagated = 1.0 if release.propagated else 1.0 / _SCATTER  # of a native pixel of the mean
    position = np.arange(release.pixels) * (release.step / NATIVE_PIXEL)
    native = int(position[-1]) + 3
    values = _white(rng, (n, native), settings["tails"])
    each = _interpolated(values, rng.random(n), position) * np.sqrt(1.0 - release.white)
    each += rng.standard_normal(each.shape) * (_SCATTER * np.sqrt(release.white))
    each *= propagated * np.sqrt(n)
    noise = each.mean(axis=0)
    if settings["true_errors"]:
        error = np.full(release.pixels, propagated * _SCATTER)
    elif release.propagated:
        error = np.ones(release.pixels)
    else:
        error = each.std(axis=0, ddof=1) / np.sqrt(n)
    phase, chosen = rng.random(1), rng.random((1, native)) < settings["spikes"]
    if settings["spikes"]:
        noise += propagated * settings["spike_size"] * _interpolated(chosen.astype(float), phase, position)[0]
    return noise, error


def _white(rng: np.random.Generator, shape: tuple[int, int], tails: float | None) -> np.ndarray:
    """Independent numbers of unit variance."""
    if tails is None:
        return rng.standard_normal(shape)
    return rng.standard_t(tails, shape) * np.sqrt((tails - 2.0) / tails)


def _interpolated(values: np.ndarray, phase: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Rows of native pixels (n, m) linearly interpolated at `position` (k,), in native pixels, plus a row's `phase`."""
    place = position + phase[:, None]
    left = place.astype(np.intp)
    place -= left
    left += values.shape[1] * np.arange(len(values))[:, None]
    low, high = values.ravel()[left], values.ravel()[left + 1]
    return low + place * (high - low)


def _gaps(rng: np.random.Generator, pixels: int, share: float) -> np.ndarray:
    """Mask (pixels,) of a share of the pixels, in runs: where smoothed noise is highest."""
    smooth = np.convolve(rng.standard_normal(pixels + 2 * _RUN - 1), np.hanning(2 * _RUN), "valid")
    missing = np.zeros(pixels, dtype=bool)
    missing[np.argsort(smooth)[pixels - round(share * pixels) :]] = True
    return missing


# ------------------------------------------------------------------ the arguments
def _meta(star: Spectrum, settings: dict[str, Any]) -> dict[str, Any]:
    labels = getattr(star, "meta", {}).get("labels")
    known = {"labels": dict(labels)} if isinstance(labels, Mapping) else {}
    if any(np.size(value) > 1 for value in known.get("labels", {}).values()):  # a row of many has the labels of all
        known = {}
    return known | {"medium": "vacuum", "simulated": settings}


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if not (isinstance(value, str) and value in allowed):
        raise SettingsError(f"{name}={value!r}: use {' or '.join(map(repr, allowed))}.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise SettingsError(f"{name}={value!r}: give True or False.")
    return bool(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and low <= value <= high):
        raise SettingsError(f"{name}={value!r}: give a number from {low:g} to {high:g}.")
    return float(value)


def _velocity(value: Any) -> float:
    try:
        velocity = float(u.Quantity(value, u.km / u.s).value)
    except (u.UnitConversionError, TypeError, ValueError):
        raise SettingsError(f"radial_velocity={value!r}: give one number, in km/s unless it has a unit.") from None
    if not abs(velocity) < SPEED_OF_LIGHT:
        raise SettingsError(f"radial_velocity={value!r}: give a velocity below that of light, {SPEED_OF_LIGHT} km/s.")
    return velocity


def _coefficients(value: Any) -> tuple[float, ...]:
    try:
        coefficients = np.array(() if value is None else value, dtype=float)
    except (TypeError, ValueError):
        coefficients = np.array(np.nan)
    if coefficients.ndim != 1 or not np.isfinite(coefficients).all():
        raise SettingsError(f"continuum={value!r}: give a row of numbers, those after the leading 1, or None.")
    return tuple(coefficients.tolist())


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(check_whole(SettingsError, "seed", seed, 0, 2**63 - 1))
