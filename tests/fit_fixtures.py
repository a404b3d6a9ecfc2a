"""Stars with known labels, and an emulator that makes no errors."""

import dataclasses
import functools

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

import rvsemu
from rvsemu.emulator import ErrorModel
from rvsemu.fitting import fit as fit_real

RVS = 8460.0 + 0.1 * np.arange(2401)
SUN = {"teff": 5777.0, "logg": 4.44, "vsini": 8.0, "mh": 0.0, "vmic": 1.2, "resolution": 11500.0}


@functools.cache
def exact_emulator():
    """The shipped networks taken as exact: what is injected then comes from the very model that is fitted."""
    default = rvsemu.shipped()
    return with_error(default, 0.0)


def with_error(emulator, sigma):
    """The same emulator with an error that is independent from pixel to pixel."""
    teff, n = emulator.error.teff, len(emulator.wavelength)
    error = ErrorModel(teff, np.full((len(teff), n), sigma), np.zeros((len(teff), 0, n)))
    return dataclasses.replace(emulator, error=error)


fit = functools.partial(fit_real, model_error=None)
"""For spectra that come from the model that is fitted."""


def observe(emulator, labels=SUN, velocity=0.0, snr=200.0, seed=None, wave=RVS, smooth=1):
    """A star in vacuum, receding, with a sloping continuum and Gaussian noise (mean of `smooth` pixels, 1 % white)."""
    beta = velocity / 299792.458
    star = emulator.spectrum(wavelength=wave / np.sqrt((1 + beta) / (1 - beta)), medium="vacuum", **labels)
    x = (wave - wave.mean()) / np.ptp(wave)
    flux = star.flux.value * (1.01 + 0.05 * x - 0.03 * x**2)
    if seed is not None:
        white = np.random.default_rng(seed).normal(size=len(wave) + smooth - 1)
        noise = np.convolve(white, np.ones(smooth), "valid") / np.sqrt(smooth)
        if smooth > 1:
            noise = np.sqrt(0.99) * noise + 0.1 * np.random.default_rng([seed, 1]).normal(size=len(wave))
        flux = flux + noise / snr
    return Spectrum(
        spectral_axis=wave * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(wave), 1 / snr)),
        meta={"medium": "vacuum", "source_id": 123456789012345678},
    )


def replace(spectrum, **changes):
    parts = {k: getattr(spectrum, k) for k in ("spectral_axis", "flux", "uncertainty", "mask", "meta")}
    return Spectrum(**(parts | changes))


def values(result, names=None):
    return np.array([result.labels[n].value for n in names or result.labels])
