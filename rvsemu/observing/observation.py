"""An observed spectrum as plain floats: units, medium, uncertainty and masks are dealt with here, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from numpy.typing import ArrayLike

from .._compat import Spectrum
from ..errors import SettingsError, SpectrumError
from ..physics.lines import CALCIUM_TRIPLET, DIFFUSE_BAND_AT
from ..physics.wavelengths import check_medium, convert_medium, doppler
from .noise import PixelNoise, noise_for
from .uncertainty import smoothed_sigma

if TYPE_CHECKING:
    from ..emulator import Emulator
    from ..inversion import Inversion

__all__ = ["DEFAULT_MASK", "MASKS", "MIN_PIXELS", "Masks", "Observation", "covered_at", "parse_mask"]

MASKS = {
    "calcium-cores": "within 1.5 A of the Ca II triplet, in the rest frame of the star: chromospheres and "
    "departures from LTE fill or deepen the cores, and synthetic spectra do not know them",
    "diffuse-band": "within 6 A of 8620.4 A (in air) in the frame of the spectrum: an interstellar band, which stars "
    "behind much dust have; it is up to 6 % deep, and moved by the velocity of the clouds",
    "edges": "the outermost 1 A of the measured range at either end: fewer CCDs, larger errors, spikes",
}
"""Masks that go by a name, and what they leave out."""

DEFAULT_MASK = ("calcium-cores", "diffuse-band", "edges")
"""Masks that fits and inversions use unless told otherwise, by their names in `MASKS`."""
CORE_HALF_WIDTH = 1.5
"""Angstrom."""
EDGE_WIDTH = 1.0
"""Angstrom."""
BAND_HALF_WIDTH = 6.0
"""Angstrom."""
MIN_PIXELS = 50
"""Fewer good pixels than this are refused."""

_HUGE = 1e6
"""Pixels whose flux or error is larger, in units of the median flux, are bad: nothing in the sky is like that."""
_VELOCITY_STEP = 5.0
_LOGARITHMIC = (u.mag, u.dex, u.dB)

_POWER = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}


@dataclass(frozen=True)
class Observation:
    """One spectrum, ready for a likelihood.

    Parameters
    ----------
    axis : Quantity, shape (n,)
        Spectral axis as given.
    unit : Unit
        Of flux and sigma.
    wavelength : ndarray, shape (n,)
        Angstrom, in the emulator's medium.
    flux, sigma : ndarray, shape (n,)
        Where a pixel is unusable they may be NaN.
    scale : float
        Median flux of the usable pixels.
    velocities : (float, float)
        Lowest and highest radial velocity that will be tried, km/s.
    covered : ndarray of bool, shape (n,)
        Inside the emulator's range at all of them.
    usable : ndarray of bool, shape (n,)
        Covered, finite, sigma > 0, and outside of the masks that do not move with the star.
    cores : tuple of (float, float)
        Rest-frame wavelength ranges (Angstrom, emulator's medium) to leave out.
    medium : {'air', 'vacuum'}
        Of `axis`.
    meta : dict
        The spectrum's.
    noise : PixelNoise
        What the errors of the spectrum are.
    smoothed : bool
        Whether `sigma` is a smooth level of noise instead of the errors as given.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.observing import Observation
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> observation = Observation.from_spectrum(star, rvsemu.shipped())
    >>> observation.smoothed, round(observation.step, 2)
    (True, 0.1)
    >>> observation.ccds == star.meta["combined_ccds"]
    True
    >>> bool(observation.good(0.0).sum() < observation.usable.sum())          # the cores of Ca II are left out
    True
    """

    axis: u.Quantity
    unit: u.UnitBase
    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    scale: float
    velocities: tuple[float, float]
    covered: np.ndarray
    usable: np.ndarray
    cores: tuple
    medium: str
    meta: dict
    noise: PixelNoise
    smoothed: bool

    @classmethod
    def from_spectrum(
        cls,
        spectrum: Spectrum,
        emulator: Emulator | Inversion,
        *,
        medium: str | None = None,
        sigma: ArrayLike | u.Quantity | None = None,
        noise_correlation: str | Sequence[float] = "auto",
        smooth_sigma: bool | None = None,
        mask: Any = DEFAULT_MASK,
        extra_mask: Any = (),
        velocities: tuple[float, float] = (0.0, 0.0),
    ) -> Observation:
        """Take a specutils Spectrum apart.

        Parameters
        ----------
        spectrum : specutils.Spectrum
            One-dimensional, with a wavelength axis and a linear flux.
        emulator : Emulator or Inversion
            Gives medium and range of wavelengths.
        medium : {'air', 'vacuum'}, optional
            Of the spectral axis, where ``spectrum.meta["medium"]`` does not say it.
        sigma : float, array or Quantity, optional
            Standard deviation of each pixel, instead of ``spectrum.uncertainty``.
        noise_correlation : str or sequence of float
            See `rvsemu.observing.noise.noise_for`.
        smooth_sigma : bool, optional
            Whether to take a smooth level of the errors (`smoothed_sigma`). Default: where they are estimates of few
            spectra and `sigma` is not given.
        mask, extra_mask : str, (low, high), sequence of these, or None
            Names of `MASKS` and wavelength ranges in the spectrum's medium (floats: Angstrom).
        velocities : (float, float)
            Lowest and highest radial velocity that will be tried, km/s.

        Raises
        ------
        SpectrumError
            The spectrum or one of the arguments cannot be used; the message says why.
        """
        native, flux, error, measured, medium = taken_apart(spectrum, medium, sigma)
        wavelength = convert_medium(native, medium, emulator.medium)
        noise = noise_for(native, spectrum.meta, medium, noise_correlation)
        covered = covered_at(wavelength, emulator, velocities)
        smoothed = bool(noise.estimated and sigma is None) if smooth_sigma is None else bool(smooth_sigma)
        if smoothed:
            error = smoothed_sigma(error, measured, _combined(spectrum.meta))
        if sigma is None:
            error = error * noise.scatter
        _check_some(measured, covered, native, medium, emulator)
        masks = parse_mask(mask, extra_mask)
        cores = _calcium_cores(emulator.medium) if "calcium-cores" in masks.names else ()
        usable = covered & measured & ~masks.fixed(native, measured, medium)
        scale = _scale(flux[usable] if usable.any() else flux[covered & measured])
        with np.errstate(invalid="ignore", over="ignore"):
            usable &= (np.abs(flux) < _HUGE * scale) & (error < _HUGE * scale)
        out = cls(
            axis=u.Quantity(spectrum.spectral_axis),
            unit=spectrum.flux.unit,
            wavelength=wavelength,
            flux=flux,
            sigma=error,
            scale=scale,
            velocities=(float(velocities[0]), float(velocities[-1])),
            covered=covered,
            usable=usable,
            cores=cores,
            medium=medium,
            meta=dict(spectrum.meta),
            noise=noise,
            smoothed=smoothed,
        )
        out.good(sum(velocities) / 2)
        return out

    def good(self, velocity: float) -> np.ndarray:
        """Pixels to compare, shape (n,), when the star recedes at `velocity` km/s.

        Cores move with it, in steps of 5 km/s: else the last digits of a velocity would decide on a pixel.
        """
        rest = doppler(self.wavelength, -_VELOCITY_STEP * round(velocity / _VELOCITY_STEP))
        good = self.usable.copy()
        for low, high in self.cores:
            good &= (rest < low) | (rest > high)
        if good.sum() < MIN_PIXELS:
            raise SpectrumError(
                f"Only {good.sum()} good pixels are left inside the emulator's range and outside of the "
                f"masks, {MIN_PIXELS} are needed: check the mask and uncertainty of the spectrum, and mask=."
            )
        return good

    @property
    def ccds(self) -> int | None:
        """Number of CCD spectra that were combined, if the spectrum says it."""
        return _combined(self.meta)

    @property
    def step(self) -> float:
        """Median distance of pixels, Angstrom."""
        return float(np.median(np.abs(np.diff(self.wavelength))))


def covered_at(wavelength, emulator, velocities) -> np.ndarray:
    """Pixels (n,) inside the emulator's range at all velocities (km/s) from the lowest to the highest."""
    rest = doppler(wavelength, -np.array(velocities)[:, None])
    return np.all((rest >= emulator.wavelength[0]) & (rest <= emulator.wavelength[-1]), axis=0)


def _check_shape(spectrum):
    """Refuse what is no one-dimensional spectrum of linear fluxes."""
    if not hasattr(spectrum, "spectral_axis") or not hasattr(spectrum, "flux"):
        kind = type(spectrum).__name__
        raise SpectrumError(
            f"spectrum is a {kind}: give a specutils Spectrum, e.g. Spectrum.read(path); several to fit_many."
        )
    if spectrum.flux.ndim != 1:
        raise SpectrumError(
            f"spectrum has the shape {spectrum.flux.shape}: fit one at a time, [fit(s) for s in spectrum]."
        )
    unit = spectrum.flux.unit
    if any(unit.is_equivalent(other) for other in _LOGARITHMIC):
        raise SpectrumError(f"The flux is in '{unit}', a logarithm: give linear fluxes, e.g. 10**(-0.4 * magnitudes).")


def _combined(meta) -> int | None:
    """Number of CCD spectra that were combined, if `meta` says it."""
    stated = meta.get("combined_ccds")
    if stated is None or np.ma.is_masked(stated):
        return None
    try:
        return int(u.Quantity(stated).value)
    except (TypeError, ValueError):
        return None


def taken_apart(spectrum, medium=None, sigma=None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Wavelengths (n,) in Angstrom, flux, standard deviations, which pixels are measured, and the medium of a spectrum.

    Parameters and errors are those of `Observation.from_spectrum`.
    """
    _check_shape(spectrum)
    medium = _medium(spectrum, medium)
    native = _wavelength(spectrum)
    flux, error = np.array(spectrum.flux.value, dtype=float), _sigma(spectrum, sigma)
    return native, flux, error, _measured(spectrum, flux, error), medium


def _measured(spectrum, flux, error) -> np.ndarray:
    """Pixels with a finite flux and a positive finite error that the spectrum does not mask."""
    with np.errstate(invalid="ignore"):
        measured = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if spectrum.mask is not None:
        measured &= ~np.asarray(spectrum.mask, dtype=bool)
    return measured


def _scale(flux) -> float:
    """Median of the usable fluxes (n,)."""
    scale = float(np.median(flux))
    if not scale > 0:
        raise SpectrumError(
            f"The median flux of the good pixels is {scale:g}: it must be positive. Are the fluxes subtracted from "
            "something, or of the wrong sign?"
        )
    return scale


def _medium(spectrum, medium) -> str:
    stated = spectrum.meta.get("medium")
    if medium is None and stated is None:
        raise SpectrumError(
            "The spectrum does not say whether its wavelengths are in air or in vacuum: set "
            "spectrum.meta['medium'], or pass medium='air' or medium='vacuum'."
        )
    if medium is not None and stated is not None and medium != stated:
        raise SpectrumError(
            f"medium={medium!r} contradicts spectrum.meta['medium']={stated!r}: correct one of the two."
        )
    return check_medium(stated if medium is None else medium)


def _wavelength(spectrum) -> np.ndarray:
    axis = u.Quantity(spectrum.spectral_axis)
    if not axis.unit.is_equivalent(u.AA):
        raise SpectrumError(f"The spectral axis is in '{axis.unit}': give wavelengths, e.g. in Angstrom or nm.")
    out = np.array(axis.to_value(u.AA), dtype=float)
    if len(out) < MIN_PIXELS or not np.all(np.isfinite(out)):
        raise SpectrumError(f"The spectral axis must have at least {MIN_PIXELS} finite wavelengths, not {len(out)}.")
    return out


def _sigma(spectrum, sigma) -> np.ndarray:
    """Standard deviations in the unit of the flux."""
    unit, shape = spectrum.flux.unit, spectrum.flux.shape
    if sigma is not None:
        try:
            return np.array(np.broadcast_to(u.Quantity(sigma, unit, dtype=float).value, shape))
        except (u.UnitConversionError, TypeError, ValueError):
            raise SpectrumError(
                f"sigma does not fit the flux: give one number or {shape[0]} of them, in '{unit}' or plain."
            ) from None
    uncertainty = spectrum.uncertainty
    if uncertainty is None:
        raise SpectrumError(
            "The spectrum has no uncertainty: set spectrum.uncertainty = StdDevUncertainty(...), or pass sigma=."
        )
    if type(uncertainty) not in _POWER:
        kinds = ", ".join(kind.__name__ for kind in _POWER)
        raise SpectrumError(f"The uncertainty is a {type(uncertainty).__name__}: use one of {kinds}, or pass sigma=.")
    power = _POWER[type(uncertainty)]
    own = unit**power if uncertainty.unit is None else uncertainty.unit
    try:
        values = u.Quantity(uncertainty.array, own, dtype=float).to_value(unit**power)
    except u.UnitConversionError:
        raise SpectrumError(f"The uncertainty is in '{own}', the flux in '{unit}': make them agree.") from None
    with np.errstate(all="ignore"):  # zeros and negative numbers become inf or nan, which are bad pixels
        return values ** (1.0 / power)


def _check_some(measured, covered, wavelength, medium, emulator):
    if not measured.any():
        raise SpectrumError("The spectrum has no valid pixel: all are masked, NaN or without a positive uncertainty.")
    if not covered.any():
        low, high = convert_medium(emulator.wavelength[[0, -1]], emulator.medium, medium)
        raise SpectrumError(
            f"The spectrum runs from {wavelength.min():.1f} to {wavelength.max():.1f} A in {medium}, not in "
            f"the emulator's {low:.1f} to {high:.1f} A (less the range of radial velocities): check its unit; "
            "of a narrow range, give a narrow radial_velocity, too."
        )


@dataclass(frozen=True)
class Masks:
    """What is left out besides bad pixels.

    Parameters
    ----------
    names : frozenset of str
        Of `MASKS`.
    ranges : tuple of (float, float)
        Angstrom, in the spectrum's medium.
    """

    names: frozenset
    ranges: tuple

    def fixed(self, native, measured, medium) -> np.ndarray:
        """Pixels (n,) masked at any velocity, at wavelengths `native` (n,) in `medium`; some are `measured`."""
        out = np.zeros(len(native), dtype=bool)
        for low, high in self.ranges:
            inside = (native >= low) & (native <= high)
            if not inside.any():
                raise SpectrumError(
                    f"mask=({low:g}, {high:g}) in Angstrom masks no pixel: the spectrum runs from {native.min():.1f} "
                    f"to {native.max():.1f} Angstrom. Ranges are in Angstrom unless they have a unit."
                )
            out |= inside
        if "diffuse-band" in self.names:
            out |= np.abs(native - convert_medium(DIFFUSE_BAND_AT, "air", medium)) < BAND_HALF_WIDTH
        if "edges" in self.names:
            ends = native[measured]
            out |= (native <= ends.min() + EDGE_WIDTH) | (native >= ends.max() - EDGE_WIDTH)
        return out


def parse_mask(mask, extra_mask=()) -> Masks:
    """`Masks` from the arguments of `rvsemu.fit`.

    Raises
    ------
    SettingsError
        One of them is no name of `MASKS`, no range, or neither str, tuple, list nor None.
    """
    items = [*_items(mask, "mask"), *_items(extra_mask, "extra_mask")]
    names = frozenset(item for item in items if isinstance(item, str))
    if unknown := names - set(MASKS):
        raise SettingsError(f"mask={sorted(unknown)[0]!r} is unknown: use {', '.join(MASKS)}, or ranges (low, high).")
    return Masks(names, tuple(_range(item) for item in items if not isinstance(item, str)))


def _items(mask, argument) -> list:
    if mask is None:
        return []
    if isinstance(mask, str) or _is_range(mask):
        return [mask]
    if not isinstance(mask, list | tuple):
        raise SettingsError(
            f"{argument}={mask!r}: give a name ({', '.join(MASKS)}), a range (low, high), a list of these, or None."
        )
    return list(mask)


def _is_range(mask) -> bool:
    return (
        isinstance(mask, list | tuple | np.ndarray)
        and len(mask) == 2
        and all(np.ndim(x) == 0 and not isinstance(x, str) for x in mask)
    )


def _range(item) -> tuple[float, float]:
    try:
        low, high = (float(u.Quantity(x, u.AA).value) for x in item)
    except (u.UnitConversionError, TypeError, ValueError):
        raise SettingsError(f"mask={item!r} is not a range: give (low, high), lengths or floats in Angstrom.") from None
    if not low < high:
        raise SettingsError(f"mask=({low:g}, {high:g}) is empty: give the lower wavelength first.")
    return low, high


def _calcium_cores(medium) -> tuple:
    centres = convert_medium(list(CALCIUM_TRIPLET), "air", medium)
    return tuple((float(c) - CORE_HALF_WIDTH, float(c) + CORE_HALF_WIDTH) for c in centres)
