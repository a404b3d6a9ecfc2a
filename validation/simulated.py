"""Simulated stars for the scripts beside this file: labels, and spectra with the noise of the RVS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.linalg import cholesky_banded
from scipy.stats import truncnorm
from specutils import Spectrum

from rvsemu.emulator import ALPHA, Emulator
from rvsemu.fitting import DEFAULT_PRIORS, Microturbulence
from rvsemu.observing import MODEL_ERRORS, RVS_NOISE_CORRELATION
from rvsemu.observing.correlation import correlation_band

__all__ = ["WAVELENGTH", "correlated", "draw_labels", "exact", "observed", "simulate", "with_model_error"]

WAVELENGTH = 8460.0 + 0.1 * np.arange(2401)
"""Wavelengths in Angstrom, in vacuum, of the mean spectra of Gaia DR3."""
_SPEED_OF_LIGHT = 299792.458  # km/s


def exact(emulator: Emulator) -> Emulator:
    """`emulator` without errors of its own, as simulated stars are its own spectra."""
    return replace(emulator, error=replace(emulator.error, sigma=0 * emulator.error.sigma, components=None))


def draw_labels(emulator, rng, count, velocities=(-30.0, 30.0), **ranges) -> dict[str, np.ndarray]:
    """Labels and radial velocities of `count` stars, uniform in their ranges as far as these are in the domain.

    Resolution and microturbulence come from their default priors, the latter once the labels that it depends on are
    known, and [alpha/M] is 0; `ranges` narrows the range of any other label, or gives that of [alpha/M].
    """
    ranges, found = {ALPHA.name: (0.0, 0.0)} | ranges, []
    while sum(map(len, found)) < count:
        labels = _draw(emulator.labels.labels, rng, count, ranges)
        found.append(labels[emulator.labels.inside(labels)])
    out = dict(zip(emulator.labels.names, np.concatenate(found)[:count].T, strict=True))
    out["radial_velocity"] = rng.uniform(*velocities, count)
    return out


def _draw(labels, rng, count, ranges) -> np.ndarray:
    """Labels (count, n_labels) in their ranges."""
    out = {label.name: np.empty(count) for label in labels}
    for label in sorted(labels, key=lambda x: isinstance(DEFAULT_PRIORS.get(x.name), Microturbulence)):
        low, high = ranges.get(label.name, (label.lower, label.upper))
        prior = None if label.name in ranges else DEFAULT_PRIORS.get(label.name)
        if isinstance(prior, Microturbulence):
            out[label.name] = prior.within(low, high).draw(rng, **{name: out[name] for name in prior.given})
        elif prior is not None:
            limits = (low - prior.mean) / prior.sigma, (high - prior.mean) / prior.sigma
            out[label.name] = truncnorm.rvs(*limits, prior.mean, prior.sigma, size=count, random_state=rng)
        else:
            out[label.name] = rng.uniform(low, high, count)
    return np.stack(list(out.values()), axis=1)


def correlated(rng, correlation=RVS_NOISE_CORRELATION) -> np.ndarray:
    """Noise of unit variance in each pixel, with a correlation at lags 0, 1, 2, ... pixels."""
    n = len(WAVELENGTH)
    factor = cholesky_banded(np.repeat(np.asarray(correlation)[:, None], n, axis=1), lower=True)
    white, out = rng.normal(size=n), np.zeros(n)
    for lag, row in enumerate(factor):
        out[lag:] += row[: n - lag] * white[: n - lag]
    return out


def simulate(emulator, rng, snr, radial_velocity, **labels) -> np.ndarray:
    """Flux (n,) of a spectrum of the emulator with Doppler shift, continuum, and the noise of the RVS."""
    beta = radial_velocity / _SPEED_OF_LIGHT
    rest = WAVELENGTH * np.sqrt((1 - beta) / (1 + beta))
    flux = emulator.spectrum(wavelength=rest, medium="vacuum", **labels).flux.value
    x = np.linspace(-0.5, 0.5, len(WAVELENGTH))
    level = np.mean([1 + x**power * rng.normal(0, 0.02) for power in range(4)], axis=0)
    return flux * level + correlated(rng) / snr


def observed(flux, snr) -> Spectrum:
    """A mean spectrum as the readers of `rvsemu` make them, with the same error in each pixel."""
    return Spectrum(
        spectral_axis=WAVELENGTH * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(flux), 1 / snr)),
        meta={"medium": "vacuum", "frame": "rest"},
    )


def with_model_error(star, rng) -> Spectrum:
    """`star`, a spectrum of the emulator, with an error of the model as the default ``model_error`` has it."""
    error = MODEL_ERRORS["gaia-rvs"]
    wave, flux = star.spectral_axis.to_value(u.AA), star.flux.value
    band = correlation_band(error.correlation, wave)
    band[0] += 1e-4  # a little white noise, for a matrix that is positive definite
    factor = cholesky_banded(band, lower=True)
    white, smooth = rng.normal(size=len(wave)), np.zeros(len(wave))
    for lag, row in enumerate(factor):
        smooth[lag:] += row[: len(wave) - lag] * white[: len(wave) - lag]
    return Spectrum(
        spectral_axis=star.spectral_axis, flux=(flux + error.sigma(flux) * smooth) * star.flux.unit, meta=star.meta
    )
