"""What if a spectrum is not what it is said to be, or not that of a star as the models have it?

    python validation/messy_spectra.py [--stars 16] [--invert] [--write]

simulates stars as ``wrong_labels.py`` does, at signals to noise of 20, 30, 60 and 100, and then does to the spectra
what happens to spectra before someone fits them: errors of another kind, gaps that are filled, other pixels, another
continuum. A second part has light that is not that of a single star in the library. For each accident it prints the
number of stars of which a label is off by more than five of its errors, how many of these have no flag, and how many
have none but ``smooth-noise``. ``at-bound`` of microturbulence, resolution or v sin i alone does not count as a flag.
With ``--write``, the sums over kinds of stars go to ``docs/_generated/messy_spectra.rst``. Takes three minutes of one
core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from results import rst
from scipy.ndimage import gaussian_filter1d, percentile_filter, uniform_filter1d
from simulated import with_model_error
from specutils import Spectrum
from wrong_labels import DWARF, GIANT, HOT, HOTTER, MATTERS, NO_WARNING, SPEED_OF_LIGHT, Star, made, star

import rvsemu
from rvsemu.fitting import fit_many

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "messy_spectra.rst"
SNRS = (20, 30, 60, 100)
ERRORS = 5.0
COOL, ALL = (DWARF, GIANT, HOT), (DWARF, GIANT, HOT, HOTTER)
PASCHEN = np.array([8437.96, 8467.25, 8502.48, 8545.38, 8598.39, 8665.02, 8750.47])
SKY = np.array([8465.4, 8493.4, 8504.9, 8538.7, 8548.9, 8553.3, 8570.0, 8610.2, 8627.5, 8649.5, 8682.2])  # like OH

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # wavelength in vacuum, flux, error


def with_error(change) -> Callable:
    """Errors are those that ``change(flux, error)`` gives."""
    return lambda w, f, e, rng: (w, f, change(f, e))


def filled(value) -> Callable:
    """5 % of the pixels, in runs of 25, are a number, or interpolated over."""

    def change(w, f, e, rng) -> Arrays:
        bad = np.zeros(len(f), dtype=bool)
        for first in rng.integers(0, len(f) - 25, 5):
            bad[first : first + 25] = True
        between = np.interp(w, w[~bad], f[~bad])
        return w, np.where(bad, between if value is None else value, f), e

    return change


def resampled(wave) -> Callable:
    """Flux and error interpolated linearly to other wavelengths."""
    return lambda w, f, e, rng: (wave, np.interp(wave, w, f), np.interp(wave, w, e))


def smoothed(factor) -> Callable:
    """A mean of five pixels; errors are divided by a factor."""
    return lambda w, f, e, rng: (w, uniform_filter1d(f, 5), e / factor)


def averaged(w, f, e, rng) -> Arrays:
    """Each five pixels are one, with errors as if their noise were independent."""
    w, f, e = (values[:2400].reshape(-1, 5).mean(axis=1) for values in (w, f, e))
    return w, f, e / np.sqrt(5)


def pseudo_continuum(width) -> Callable:
    """Divided by the 90 % percentile in windows of a width in Angstrom."""

    def change(w, f, e, rng) -> Arrays:
        level = percentile_filter(gaussian_filter1d(f, 3), 90, size=10 * width)
        level = gaussian_filter1d(level, 3 * width)
        return w, f / level, e / level

    return change


def moved(velocity) -> Callable:
    """Pixels are moved to where they were for another velocity."""
    return lambda w, f, e, rng: (w * (1 + velocity / SPEED_OF_LIGHT), f, e)


INPUT: dict[str, tuple] = {  # kinds of stars, what is done, arguments of the fit
    "nothing": (ALL, lambda w, f, e, rng: (w, f, e), {}),
    "variance as error": (COOL, with_error(lambda f, e: e**2), {}),
    "percent as error": (COOL, with_error(lambda f, e: 100 * e), {}),
    "S/N as error": (COOL, with_error(lambda f, e: f / e), {}),
    "errors three times too small": (COOL, with_error(lambda f, e: e / 3), {}),
    "errors three times too large": (COOL, with_error(lambda f, e: 3 * e), {}),
    "5 % gaps filled with 0": (COOL, filled(0.0), {}),
    "5 % gaps filled with 1": (COOL, filled(1.0), {}),
    "5 % gaps interpolated over": (COOL, filled(None), {}),
    "magnitudes": (COOL, lambda w, f, e, rng: (w, 10 - 2.5 * np.log10(f.clip(0.01)), e / f.clip(0.05)), {}),
    "flux cut off at 1": (ALL, lambda w, f, e, rng: (w, np.minimum(f, 1), e), {}),
    "pseudo-continuum of 15 Å": (ALL, pseudo_continuum(15), {}),
    "pseudo-continuum of 40 Å": (ALL, pseudo_continuum(40), {}),
    "pixels moved by 25 km/s": (COOL, moved(25.0), {}),
    "pixels equal in log wavelength": (COOL, resampled(np.geomspace(8460, 8700, 2401)), {}),
    "four times as many pixels": (COOL, resampled(np.linspace(8460, 8700, 9601)), {}),
    "mean of 5 pixels, errors as before": (COOL, smoothed(1.0), {}),
    "mean of 5 pixels, errors less": (COOL, smoothed(np.sqrt(5)), {}),
    "averaged to pixels of 0.5 Å": (COOL, averaged, {}),
    "velocity held, 8 km/s off": (COOL, moved(8.0), {"fixed": {"radial_velocity": 0.0}}),
}


def bump(wavelength, centre, width) -> np.ndarray:
    """Gaussian of height 1."""
    return np.exp(-0.5 * ((wavelength - centre) / width) ** 2)


def sky(one) -> np.ndarray:
    """Residuals of sky lines, 5 % high."""
    return one.flux + sum(one.rng.normal(0, 0.05) * bump(one.wavelength, line, 0.35) for line in SKY)


def ghosts(one) -> np.ndarray:
    """Five groups of pixels, 8 A wide, that are 5 % too bright."""
    return one.flux + sum(0.05 * (np.abs(one.wavelength - x) < 4) for x in one.rng.uniform(8460, 8690, 5))


def refilled(share) -> Callable:
    """Emission fills a share of the Paschen lines' centres, as in a weak Be star."""

    def change(one) -> np.ndarray:
        depth = 1 - np.interp(PASCHEN, one.wavelength, one.flux)
        return one.flux + share * sum(d * bump(one.wavelength, x, 5) for d, x in zip(depth, PASCHEN, strict=True))

    return change


def darkened(one) -> np.ndarray:
    """A quarter of the light is from an equator that is cooler by a quarter and rotates faster."""
    labels = one.labels | {"teff": 0.75 * one.labels["teff"], "vsini": min(300.0, 1.3 * one.labels["vsini"])}
    return 0.75 * one.flux + 0.25 * made(rvsemu.shipped(), labels, one.rng).flux


def as_by(resolution) -> Callable:
    """At a lower resolution."""

    def change(one) -> np.ndarray:
        return gaussian_filter1d(
            one.flux, 8600 / 2.355 / 0.1 * np.sqrt(resolution**-2.0 - one.labels["resolution"] ** -2)
        )

    return change


LIGHT: dict[str, tuple] = {
    "resolution of 5500": (COOL, as_by(5500.0)),
    "sky residuals of 5 %": (ALL, sky),
    "ghosts of 5 %": (ALL, ghosts),
    "Paschen lines filled by 15 %": ((HOTTER,), refilled(0.15)),
    "Paschen lines filled by 30 %": ((HOTTER,), refilled(0.3)),
    "gravity darkening": ((HOT, HOTTER), darkened),
    "no lines at all": ((HOT,), lambda one: np.ones_like(one.flux)),
    "a quasar's broad line": ((HOT,), lambda one: 1 + 0.4 * bump(one.wavelength, 8600, 60)),
    "a galaxy, 150 km/s": ((GIANT,), lambda one: gaussian_filter1d(one.flux, 150 / SPEED_OF_LIGHT * 86000)),
}


def observed(one: Star, flux: np.ndarray, number: int) -> Spectrum:
    """A flux as Gaia would see it."""
    spectrum = Spectrum(spectral_axis=one.wavelength * u.AA, flux=flux * u.one, meta={"medium": "air"})
    return rvsemu.simulate(
        with_model_error(spectrum, one.rng),
        signal_to_noise=SNRS[number % len(SNRS)],
        seed=number,
        ccds=int(one.rng.choice([12, 20, 40, 80])),
        radial_velocity=one.rng.uniform(-4, 4) if flux is one.flux else 0.0,
        continuum=0.02 * one.rng.normal(size=3),
    )


def by_hand(spectrum: Spectrum, change: Callable, number: int) -> Spectrum:
    """A spectrum that a user has made of arrays, and that says nothing but its medium."""
    arrays = spectrum.spectral_axis.to_value(u.AA), spectrum.flux.value, spectrum.uncertainty.array
    wave, flux, error = change(*arrays, np.random.default_rng(number))
    return Spectrum(
        spectral_axis=wave * u.AA,
        flux=flux * u.one,
        uncertainty=StdDevUncertainty(error),
        meta={"medium": "vacuum"},
    )


def is_off(result, labels) -> bool:
    """Whether a label is off by more than five errors."""
    return any(abs(result.labels[name].value - labels[name]) > ERRORS * result.errors[name].value for name in MATTERS)


def count(stars, spectra, invert, settings) -> tuple[int, int, int]:
    """Stars with a label that is off; those without a flag; and those without a flag other than ``smooth-noise``."""
    results = [rvsemu.invert(one) for one in spectra] if invert else fit_many(spectra, **settings)
    off = [result for one, result in zip(stars, results, strict=True) if is_off(result, one.labels)]
    silent = [sum(set(result.flags) <= NO_WARNING | more for result in off) for more in (set(), {"smooth-noise"})]
    return len(off), *silent


def measured(count_of: int, invert: bool) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """What is done, to which kind of star; number of stars, and what `count` finds."""
    emulator, numbers = rvsemu.shipped(), range(count_of)
    for name, (kinds, change, settings) in INPUT.items():
        for kind in kinds if not (invert and settings) else ():
            stars = [star(emulator, kind, i) for i in numbers]
            spectra = [by_hand(observed(one, one.flux, i), change, i) for i, one in enumerate(stars)]
            yield name, kind, (len(stars), *count(stars, spectra, invert, settings))
    for name, (kinds, change) in LIGHT.items():
        for kind in kinds:
            stars = [star(emulator, kind, i) for i in numbers]
            spectra = [observed(one, change(one), i) for i, one in enumerate(stars)]
            yield name, kind, (len(stars), *count(stars, spectra, invert, {}))


def main(arguments=None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=16, help="of each kind (default: 16)")
    parser.add_argument("--invert", action="store_true", help="invert the spectra instead of fitting them")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name} of the documentation")
    options = parser.parse_args(arguments)
    head = ["what is done", "of", "off by five errors", "and no flag", "and none but ``smooth-noise``"]
    print(head[0], "star", *head[1:], sep=" | ")
    sums: dict[str, np.ndarray] = {}
    for name, kind, numbers in measured(options.stars, options.invert):
        print(name, kind, *numbers, sep=" | ", flush=True)
        sums[name] = sums.get(name, 0) + np.array(numbers)
    if options.write:
        TABLE.write_text(rst(head, [[name, *numbers] for name, numbers in sums.items()]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
