"""An observed spectrum, ready to be compared with models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike
from specutils import Spectrum

from ..errors import SpectrumError
from ..physics.wavelengths import convert_medium, doppler
from .arrays import MIN_PIXELS, taken_apart
from .masks import DEFAULT_MASK, calcium_cores, parse_mask
from .noise import PixelNoise, noise_for
from .results import count_of, is_of
from .uncertainty import smoothed_sigma

if TYPE_CHECKING:
    from ..emulator import Emulator
    from ..inversion import Inversion

__all__ = ["Observation", "covered_at"]

_STRIPS = 3  # of CCDs, which a star crosses in a transit
_HUGE = 1e6
"""Pixels whose flux or error is larger, in units of the median flux, are bad: nothing in the sky is like that."""
_TINY = 1e-9
"""Pixels whose error is smaller, in the same units, are bad: beside them sums have no digits left for others."""
_VELOCITY_STEP = 5.0


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
            error = smoothed_sigma(error, measured, count_of(spectrum.meta, "combined_ccds"))
        if sigma is None:
            error = error * noise.scatter
        else:
            noise = replace(noise, estimated=False)
        _check_some(measured, covered, native, medium, emulator)
        masks = parse_mask(mask, extra_mask)
        cores = calcium_cores(emulator.medium) if "calcium-cores" in masks.names else ()
        usable = covered & measured & ~masks.fixed(native, measured, medium)
        scale = _scale(flux[usable] if usable.any() else flux[covered & measured])
        with np.errstate(invalid="ignore", over="ignore"):
            usable &= (np.abs(flux) < _HUGE * scale) & (error < _HUGE * scale) & (error > _TINY * scale)
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
        return count_of(self.meta, "combined_ccds")

    @property
    def estimates(self) -> int | None:
        """Number of CCD spectra whose scatter the errors are estimates of, if they are, and the spectrum says it."""
        return self.ccds if self.noise.estimated else None

    @property
    def transits(self) -> int | None:
        """Number of transits that were combined, of up to three CCD spectra each, if the spectrum says it or is one."""
        if (transits := count_of(self.meta, "combined_transits")) is not None:
            return transits
        if self.ccds is not None:
            return -(-self.ccds // _STRIPS)
        return 1 if is_of(np.int64, self.meta.get("transit_id")) else None

    @property
    def step(self) -> float:
        """Median distance of pixels, Angstrom."""
        return float(np.median(np.abs(np.diff(self.wavelength))))


def covered_at(wavelength, emulator, velocities) -> np.ndarray:
    """Pixels (n,) inside the emulator's range at all velocities (km/s) from the lowest to the highest."""
    rest = doppler(wavelength, -np.array(velocities)[:, None])
    return np.all((rest >= emulator.wavelength[0]) & (rest <= emulator.wavelength[-1]), axis=0)


def _scale(flux) -> float:
    """Median of the usable fluxes (n,)."""
    scale = float(np.median(flux))
    if not scale > 0:
        raise SpectrumError(
            f"The median flux of the good pixels is {scale:g}: it must be positive. Are the fluxes subtracted from "
            "something, or of the wrong sign?"
        )
    return scale


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
