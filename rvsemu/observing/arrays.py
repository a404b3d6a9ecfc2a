"""A specutils spectrum as plain arrays: units, medium and uncertainty are dealt with here, once."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.utils.masked import Masked
from numpy.typing import ArrayLike

from .._values import shown
from ..errors import SpectrumError
from ..physics.wavelengths import check_medium
from ..spectra.records import is_logarithmic

__all__ = ["MIN_PIXELS", "taken_apart", "unmasked"]

MIN_PIXELS = 50
"""Fewer good pixels than this are refused."""
_POWER = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}


def taken_apart(spectrum, medium=None, sigma=None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Wavelengths (n,) in Angstrom, flux, standard deviations, which pixels are measured, and the medium of a spectrum.

    Parameters and errors are those of `Observation.from_spectrum`.
    """
    quantity = _checked_flux(spectrum)
    medium = _medium(spectrum, medium)
    native = _wavelength(spectrum)
    flux, error = np.array(quantity.value, dtype=float), _sigma(spectrum, quantity, sigma)
    return native, flux, error, _measured(spectrum, flux, error), medium


def unmasked(values: ArrayLike) -> ArrayLike:
    """Values that are floats and NaN where they were masked, or what is not masked as it is."""
    if isinstance(values, np.ma.MaskedArray | Masked):
        return (values * 1.0).filled(np.nan)
    return values


def _measured(spectrum, flux, error) -> np.ndarray:
    """Pixels with a finite flux and a positive finite error that the spectrum does not mask."""
    with np.errstate(invalid="ignore"):
        measured = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if spectrum.mask is not None:
        measured &= ~np.asarray(spectrum.mask, dtype=bool)
    return measured


def _checked_flux(spectrum) -> u.Quantity:
    """The flux, which a Spectrum makes anew at each access, of what is a one-dimensional spectrum of linear fluxes."""
    flux = getattr(spectrum, "flux", None)
    if not hasattr(spectrum, "spectral_axis") or not isinstance(flux, u.Quantity):
        kind = type(spectrum).__name__
        raise SpectrumError(
            f"spectrum is a {kind}: give a specutils Spectrum, e.g. Spectrum.read(path); several to fit_many."
        )
    if flux.ndim != 1:
        raise SpectrumError(f"spectrum has the shape {flux.shape}: give one at a time, e.g. spectrum[0].")
    unit = flux.unit
    if is_logarithmic(unit):
        raise SpectrumError(f"The flux is in '{unit}', a logarithm: give linear fluxes, e.g. 10**(-0.4 * magnitudes).")
    return flux


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
    _check_order(out)
    return out


def _check_order(wavelength) -> None:
    """Refuse wavelengths (n,) of which some occur twice, as where orders overlap: their covariance is singular."""
    steps = np.diff(wavelength)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        i = int(np.argmin(steps * np.sign(wavelength[-1] - wavelength[0])))
        raise SpectrumError(
            f"The wavelengths neither increase nor decrease from pixel to pixel: {wavelength[i + 1]:.4f} A follows "
            f"{wavelength[i]:.4f} A. Average pixels at the same wavelength, and fit orders that overlap one by one, or "
            "cut them where they meet."
        )


def _sigma(spectrum, flux, sigma) -> np.ndarray:
    """Standard deviations in the unit of the flux."""
    unit, shape = flux.unit, flux.shape
    if sigma is not None:
        try:
            values = np.array(np.broadcast_to(u.Quantity(unmasked(sigma), unit, dtype=float).value, shape))
        except (u.UnitConversionError, TypeError, ValueError):
            raise SpectrumError(
                f"sigma does not fit the flux: give one number or {shape[0]} of them, plain or in the unit of the flux"
                f"{f', {unit}' if str(unit) else ', which is dimensionless'}."
            ) from None
        if not np.any(values > 0):
            raise SpectrumError(f"sigma={shown(sigma)} is nowhere positive: give standard deviations.")
        return values
    uncertainty = spectrum.uncertainty
    if uncertainty is None:
        raise SpectrumError(
            "The spectrum has no uncertainty: set spectrum.uncertainty = StdDevUncertainty(...), or pass sigma=."
        )
    power = next((power for kind, power in _POWER.items() if isinstance(uncertainty, kind)), None)
    if power is None:
        kinds = ", ".join(kind.__name__ for kind in _POWER)
        raise SpectrumError(f"The uncertainty is a {type(uncertainty).__name__}: use one of {kinds}, or pass sigma=.")
    own = unit**power if uncertainty.unit is None else uncertainty.unit
    try:
        values = u.Quantity(unmasked(uncertainty.array), own, dtype=float).to_value(unit**power)
    except u.UnitConversionError:
        raise SpectrumError(f"The uncertainty is in '{own}', the flux in '{unit}': make them agree.") from None
    with np.errstate(all="ignore"):  # zeros and negative numbers become inf or nan, which are bad pixels
        return values if power == 1 else values ** (1.0 / power)
