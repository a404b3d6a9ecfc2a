"""Spectra of other spectrographs as the RVS would have them: smoothed, with errors and their correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.sparse import csr_array
from specutils import Spectrum

from ..errors import SpectrumError
from ..physics.broadening import lsf_sigma
from ..physics.wavelengths import RVS_RESOLUTION, SPEED_OF_LIGHT, convert_medium
from .arrays import taken_apart
from .noise import noise_for

__all__ = ["as_rvs"]

_LOW, _HIGH = 8460.0, 8700.0  # Angstrom, in vacuum
_STEP = 1.25  # sigma of the instrument: finer pixels have nothing that is new, neither of the star nor of the noise
_REACH = 4.5  # sigma, beyond which a Gaussian does not count
_SEEN = 0.95  # of the profile of a pixel must be measured
_WIDEST = 0.7  # pixels of the spectrum, in units of the sigma that is to be added
_FLOOR = 0.005  # of the variance, independent from pixel to pixel: keeps the power spectrum above 0
_LAST = 1e-4  # correlations that are smaller do not count


def as_rvs(
    spectrum: Spectrum,
    from_resolution: float,
    *,
    resolution: float = RVS_RESOLUTION,
    medium: str | None = None,
    sigma: float | u.Quantity | None = None,
    wavelength: u.Quantity | None = None,
) -> Spectrum:
    """A spectrum of higher resolution as the Gaia RVS would have it.

    It is smoothed with the Gaussian that is missing to `resolution`. Pixels are independent before, and correlated
    afterwards: ``meta["pixel_correlation"]`` says how, in steps of ``meta["pixel_correlation_step"]`` (Angstrom), and
    `rvsemu.fit` takes it from there. The continuum is left as it is.

    Parameters
    ----------
    spectrum : Spectrum
        One-dimensional, with wavelengths in any order and of any steps, gaps allowed, and an uncertainty. Of echelle
        orders that overlap, give one at a time, or merge them before. Not one of Gaia or of `as_rvs`, whose noise is
        correlated already.
    from_resolution : float
        Its resolving power lambda / FWHM.
    resolution : float
        That of the result, 1000 to below `from_resolution`; default: the one that fits expect, 11,900.
    medium : {'air', 'vacuum'}, optional
        Of the spectral axis, where ``spectrum.meta["medium"]`` does not say it.
    sigma : float, array or Quantity, optional
        Standard deviation of each pixel, instead of ``spectrum.uncertainty``.
    wavelength : Quantity, shape (n,), optional
        Of the result, in vacuum, at a constant step. Default: 8460 to 8700 Angstrom, every 1.25 standard deviations of
        the instrument (0.4 Angstrom at a resolution of 11,900).

    Returns
    -------
    Spectrum
        In vacuum. Pixels of which more than a twentieth was not measured are masked. Radial velocity and frame are
        those of `spectrum`.

    Raises
    ------
    SpectrumError
        The spectrum cannot be used, is too coarse, has correlated noise, or does not overlap with `wavelength`; or a
        resolution is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from astropy import units as u
    >>> from astropy.nddata import StdDevUncertainty
    >>> from specutils import Spectrum
    >>> fine = Spectrum(
    ...     spectral_axis=np.arange(8440, 8720, 0.05) * u.AA, flux=np.ones(5600) * u.one,
    ...     uncertainty=StdDevUncertainty(np.full(5600, 0.01)), meta={"medium": "air", "frame": "rest"})
    >>> coarse = rvsemu.as_rvs(fine, 60_000)
    >>> coarse.flux.shape, coarse.meta["medium"], bool(coarse.uncertainty.array[0] < 0.004)
    ((628,), 'vacuum', True)
    """
    native, flux, error, measured, medium = taken_apart(spectrum, medium, sigma)
    _check_independent(native, spectrum.meta, medium)
    width = _missing(from_resolution, resolution)
    out = _grid(wavelength, resolution)
    order = np.argsort(native)
    pixels = convert_medium(native[order], medium, "vacuum")
    weights, seen = _weights(pixels, measured[order], out, width)
    good = seen > _SEEN
    if not good.any():
        raise SpectrumError(
            f"The spectrum runs from {pixels[0]:.1f} to {pixels[-1]:.1f} A in vacuum: nothing of it is left between "
            f"{out[0]:.1f} and {out[-1]:.1f} A."
        )
    usable = measured[order]
    mean = weights @ np.where(usable, flux[order], 0.0)
    variance = weights.power(2) @ np.where(usable, error[order], 0.0) ** 2
    step = float(out[1] - out[0])
    correlation = _correlation(width * np.mean(out) / SPEED_OF_LIGHT, step)
    return Spectrum(
        spectral_axis=out * u.AA,
        flux=np.where(good, mean, np.nan) * spectrum.flux.unit,
        uncertainty=StdDevUncertainty(np.where(good, np.sqrt(variance), np.nan)),
        mask=~good,
        meta=spectrum.meta | {"medium": "vacuum", "pixel_correlation": correlation, "pixel_correlation_step": step},
    )


def _check_independent(native: np.ndarray, meta: Mapping[str, Any], medium: str) -> None:
    """Refuse correlated noise, which does not average out as that of independent pixels does."""
    step = np.min(np.abs(np.diff(native)))
    if np.any(noise_for(native, meta, medium).correlation(step) != 0):
        raise SpectrumError(
            "The noise of neighbouring pixels of spectrum is correlated, as in spectra of Gaia and of as_rvs: errors "
            "would come out too small. Give the spectrum before it was smoothed or resampled."
        )


def _missing(from_resolution: float, resolution: float) -> float:
    """Standard deviation of the Gaussian to smooth with, km/s."""
    for name, value, least in (("resolution", resolution, 1000.0), ("from_resolution", from_resolution, resolution)):
        if not (isinstance(value, int | float | np.number) and least <= value < np.inf):
            raise SpectrumError(f"{name}={value!r}: give a number, {least:g} or more.")
    missing = lsf_sigma(resolution) ** 2 - lsf_sigma(from_resolution) ** 2
    if missing <= 0:
        raise SpectrumError(
            f"from_resolution={from_resolution:g} is that of the result already: nothing is to be done."
        )
    return float(np.sqrt(missing))


def _grid(wavelength, resolution) -> np.ndarray:
    """Wavelengths of the result, Angstrom."""
    if wavelength is None:
        step = _STEP * lsf_sigma(resolution) / SPEED_OF_LIGHT * (_LOW + _HIGH) / 2
        return np.linspace(_LOW, _HIGH, round((_HIGH - _LOW) / step) + 1)
    try:
        out = u.Quantity(wavelength, u.AA, dtype=float).value
    except (u.UnitConversionError, TypeError, ValueError):
        raise SpectrumError(f"wavelength={str(wavelength)[:60]}: give increasing lengths at a constant step.") from None
    steps = np.diff(out) if out.ndim == 1 else np.zeros(0)
    if len(steps) < 1 or not (steps.min() > 0 and np.ptp(steps) < 1e-6 * steps.mean() + 1e-9):
        raise SpectrumError(f"wavelength={str(wavelength)[:60]}: give increasing lengths at a constant step.")
    return out


def _weights(pixels, measured, out, width) -> tuple[csr_array, np.ndarray]:
    """Share of each pixel in each of the result (n, m), summing to 1, and how much of its profile is measured (n,)."""
    sigma = out * width / SPEED_OF_LIGHT
    edges = np.concatenate([[1.5 * pixels[0] - 0.5 * pixels[1]], (pixels[1:] + pixels[:-1]) / 2])
    size = np.diff(np.append(edges, 1.5 * pixels[-1] - 0.5 * pixels[-2]))
    first, last = np.searchsorted(pixels, [out - _REACH * sigma, out + _REACH * sigma])
    inside = (pixels > out[0] - _REACH * sigma[0]) & (pixels < out[-1] + _REACH * sigma[-1])
    if inside.any() and np.median(size[inside]) > _WIDEST * np.median(sigma):
        raise SpectrumError(
            f"The pixels, {np.median(size[inside]):.3g} A apart, are too wide to be smoothed with a Gaussian of "
            f"{np.median(sigma):.3g} A: the spectrum's resolution is not much above the one asked for."
        )
    count = last - first
    rows = np.repeat(np.arange(len(out)), count)
    columns = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    profile = np.exp(-0.5 * ((pixels[columns] - out[rows]) / sigma[rows]) ** 2)
    share = profile * np.minimum(size[columns], sigma[rows]) * measured[columns]  # beside a gap a pixel is not wider
    total = np.bincount(rows, share, minlength=len(out))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = share / total[rows]
    shape = len(out), len(pixels)
    return csr_array((np.nan_to_num(values), (rows, columns)), shape=shape), total / (np.sqrt(2 * np.pi) * sigma)


def _correlation(sigma, step) -> tuple[float, ...]:
    """Of white noise smoothed with a Gaussian of `sigma`, at lags of 0, 1, 2, ... pixels of a `step`."""
    lags = np.arange(1, 2 + int(np.sqrt(-np.log(_LAST)) * 2 * sigma / step))
    smooth = (1 - _FLOOR) * np.exp(-((lags * step) ** 2) / (4 * sigma**2))
    return (1.0, *smooth.tolist())
