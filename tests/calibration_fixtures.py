"""A sky whose lines are deeper or shallower than those of the shipped emulator, and stars of it with known labels."""

from functools import cache

import numpy as np
from astropy import units as u
from astropy.table import Table
from scipy.ndimage import gaussian_filter1d
from specutils import Spectrum

import rvsemu
from rvsemu.physics.microturbulence import microturbulence

ERRORS = {"teff": 50.0, "logg": 0.05, "mh": 0.05}
RANGE = (8480.0, 8580.0)  # Angstrom: a part of the emulator, to be fast
BEGIN = 10**15


@cache
def part():
    """The shipped emulator on a part of its range."""
    return rvsemu.shipped().trimmed(*RANGE)


@cache
def powers():
    """By which powers of the emulator's flux the sky differs: lines change their strength by 30 %, each as a whole."""
    smooth = gaussian_filter1d(np.random.default_rng(5).normal(size=4000), 3.0)
    return 1.0 + 0.3 * smooth / smooth.std()


def sky(labels, perturbed=True):
    """Flux (n, 4000) of stars, without noise."""
    flux = np.clip(rvsemu.shipped().flux(labels).astype(float), 1e-3, None)
    return flux ** powers() if perturbed else flux


def some_labels(n, seed):
    """Labels (n, 7) of F, G and K stars, with [alpha/M] = 0."""
    rng = np.random.default_rng(seed)
    teff, mh = rng.uniform(4500, 6800, n), rng.uniform(-0.8, 0.3, n)
    logg = np.where(teff < 5500, rng.uniform(2.5, 4.7, n), rng.uniform(3.8, 4.6, n))
    about = microturbulence(teff, logg, mh)
    vmic, resolution = about.mean + about.scatter * rng.normal(size=n), 11900 + 150 * rng.normal(size=n)
    rows = np.column_stack([teff, logg, rng.uniform(0, 12, n), mh, vmic, resolution, np.zeros(n)])
    return rvsemu.shipped().labels.clipped(rows)


def observed(labels, perturbed=True, signal_to_noise=100.0):
    """Spectra of stars of the sky, some km/s off rest; their source_ids begin with `BEGIN`."""
    axis = rvsemu.shipped().wavelength * u.AA
    out = []
    for number, flux in enumerate(sky(labels, perturbed)):
        star = Spectrum(spectral_axis=axis, flux=flux * u.dimensionless_unscaled, meta={"medium": "air"})
        seen = {"signal_to_noise": signal_to_noise, "seed": number, "source_id": BEGIN + number}
        seen["radial_velocity"] = 2.0 * (number % 5 - 2)
        out.append(rvsemu.simulate(star, **seen))
    return out


def table_of(labels, seed=3, errors=True):
    """Their labels as someone else has measured them."""
    rng = np.random.default_rng(seed)
    space = rvsemu.shipped().labels
    out = Table({"source_id": BEGIN + np.arange(len(labels))})
    for name, error in ERRORS.items():
        values = labels[:, space.names.index(name)] + error * rng.normal(size=len(labels))
        out[name] = np.clip(values, space[name].lower, space[name].upper)
        if errors:
            out[f"{name}_error"] = np.full(len(labels), error)
    return out


def error_of(emulator, labels, perturbed=True):
    """RMS difference of an emulator's flux from the sky, where stars were observed."""
    inside = (rvsemu.shipped().wavelength > RANGE[0] + 3) & (rvsemu.shipped().wavelength < RANGE[1] - 3)
    kept = np.isin(np.round(emulator.wavelength, 3), np.round(rvsemu.shipped().wavelength[inside], 3))
    return float(np.sqrt(np.mean((emulator.flux(labels)[:, kept] - sky(labels, perturbed)[:, inside]) ** 2)))
