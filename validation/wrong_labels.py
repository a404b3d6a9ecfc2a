"""What makes labels wrong, and do flags say so?

    python validation/wrong_labels.py [--stars 40] [--write | --invert]

simulates stars that are not as the models are, or were not observed as the package takes for granted, with the noise of
the RVS and an error of the models as large as assumed, at signals to noise of 30, 60, 100 and 200. They are fitted with
the defaults, or with a label held at a wrong value. Labels are wrong where one is off by more than four of its errors
and by what matters to astronomers; of two stars, those of the brighter one count, and those that are held do not. The
table has the percentage of such stars, and of those that have no flag either; ``at-bound`` of microturbulence,
resolution or v sin i alone does not count as one. With ``--write`` it goes to ``docs/_generated/wrong_labels.rst``.
With ``--invert`` it is about `rvsemu.invert` instead of fits. Takes some minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from astropy import units as u
from results import rst
from simulated import with_model_error
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.physics.lines import CALCIUM_TRIPLET, NITROGEN, PASCHEN
from rvsemu.physics.microturbulence import microturbulence

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "wrong_labels.rst"
SNRS = (30, 60, 100, 200)
MATTERS = {"teff": 200.0, "logg": 0.3, "mh": 0.2, "vsini": 15.0}
ERRORS = 4.0
NO_WARNING = {"at-bound:vmic", "at-bound:resolution", "at-bound:vsini", "few-ccds"}
RANGES = {  # Teff, log g (dwarfs: that of the main sequence), v sin i
    "FGK dwarf": ((4800.0, 6800.0), None, (1.0, 8.0)),
    "K giant": ((4000.0, 5000.0), (1.0, 3.0), (1.0, 6.0)),
    "A dwarf": ((7500.0, 10500.0), (3.8, 4.3), (20.0, 200.0)),
    "B dwarf": ((10500.0, 14500.0), (3.6, 4.3), (30.0, 250.0)),
}
MAIN_SEQUENCE = ((4000.0, 5000.0, 5800.0, 6500.0, 7000.0), (4.65, 4.55, 4.42, 4.27, 4.2))  # Teff, log g
LIGHT = 7.5  # of a dwarf at 860 nm goes with about this power of Teff
SPEED_OF_LIGHT = 299792.458


@dataclass(frozen=True)
class Star:
    """What is simulated: true labels, flux at `wavelength` in Angstrom in air, and its random numbers."""

    labels: dict[str, float]
    wavelength: np.ndarray
    flux: np.ndarray
    rng: np.random.Generator = field(repr=False)


def star(emulator, kind, number, **labels) -> Star:
    """A star of a kind."""
    rng = np.random.default_rng([20261127, number])
    teff, logg, vsini = (None if limits is None else rng.uniform(*limits) for limits in RANGES[kind])
    drawn = {"teff": teff, "logg": np.interp(teff, *MAIN_SEQUENCE) if logg is None else logg, "vsini": vsini}
    drawn |= {"mh": rng.uniform(-0.25, 0.3), "resolution": rng.normal(11900.0, 150.0)} | labels
    return made(emulator, {name: float(value) for name, value in drawn.items()}, rng)


def made(emulator, labels, rng) -> Star:
    """The one of these labels, with the microturbulence that is expected."""
    expected = microturbulence(labels["teff"], labels["logg"], labels["mh"]).mean.item()
    spectrum = emulator.spectrum(**labels, vmic=min(expected, 4.0))
    return Star(labels, spectrum.spectral_axis.to_value(u.AA), spectrum.flux.value, rng)


def pair(apart, colder=(0.8, 1.0)) -> Callable:
    """With a dwarf beside it, cooler by these factors; velocities differ by these km/s."""

    def change(one, emulator) -> np.ndarray:
        factor, velocity = one.rng.uniform(*colder), one.rng.choice([-1, 1]) * one.rng.uniform(*apart)
        teff = max(4000.0, factor * one.labels["teff"])
        labels = one.labels | {"teff": teff, "logg": float(np.interp(teff, *MAIN_SEQUENCE)), "vsini": 3.0}
        rest = one.wavelength * (1 - velocity / SPEED_OF_LIGHT)
        other = np.interp(rest, one.wavelength, made(emulator, labels, one.rng).flux)
        share = 1 / (1 + (teff / one.labels["teff"]) ** -LIGHT)
        return (1 - share) * one.flux + share * other

    return change


def veiled(light) -> Callable:
    """With light that has no lines, as a share of the star's; below 0, background that was overestimated."""
    return lambda one, _: (one.flux + light) / (1 + light)


def step(size) -> Callable:
    """Brighter by this share beyond some wavelength."""
    return lambda one, _: one.flux * np.where(one.wavelength > one.rng.uniform(8500, 8680), 1 + size, 1)


def wiggled(size, period) -> Callable:
    """The continuum is a wave of this height and period in Angstrom."""

    def change(one, _) -> np.ndarray:
        return one.flux * (1 + size * np.sin(2 * np.pi * one.wavelength / period + one.rng.uniform(0, 2 * np.pi)))

    return change


def calcium(factor) -> Callable:
    """Lines of calcium are deeper by this factor, their wings included."""

    def change(one, _) -> np.ndarray:
        near = np.max([1.5 - np.abs(one.wavelength - line) / 12 for line in CALCIUM_TRIPLET], axis=0)
        return 1 - (1 - one.flux) * (1 + (factor - 1) * np.clip(near, 0, 1))

    return change


def filled(lines, height, width) -> Callable:
    """Emission in lines (absorption below 0), Gaussian, of this height and standard deviation in Angstrom."""

    def change(one, _) -> np.ndarray:
        distance = one.wavelength - np.array(lines)[:, None]
        return one.flux + height * np.exp(-0.5 * (distance / width) ** 2).sum(axis=0)

    return change


DWARF, GIANT, HOT, HOTTER = RANGES
ATTACKS: dict[str, tuple] = {  # kinds of stars, what is done to the flux, labels that all have
    "nothing": ((DWARF, GIANT, HOT), None, {}),
    "a second dwarf, 0-10 km/s": ((DWARF,), pair((0, 10)), {}),
    "a second dwarf, 10-20 km/s": ((DWARF,), pair((10, 20)), {}),
    "a second dwarf, 20-30 km/s": ((DWARF,), pair((20, 30)), {}),
    "a second dwarf, 30-40 km/s": ((DWARF,), pair((30, 40)), {}),
    "R = 7000": ((DWARF, GIANT), None, {"resolution": 7000.0}),
    "15 % more light, without lines": ((DWARF, GIANT, HOT), veiled(0.15), {}),
    "10 % less light": ((DWARF, GIANT, HOT), veiled(-0.1), {}),
    "a step of 3 %": ((DWARF, GIANT, HOT), step(0.03), {}),
    "a wave of 2 % and 60 Å": ((DWARF, GIANT, HOT), wiggled(0.02, 60.0), {}),
    "calcium 30 % weaker": ((DWARF, HOT), calcium(0.7), {}),
    "emission of 0.15 in calcium": ((DWARF, GIANT), filled(CALCIUM_TRIPLET, 0.15, 1.2), {}),
    "emission of 0.1 in calcium": ((HOT,), filled(CALCIUM_TRIPLET, 0.1, 2.0), {}),
    "emission of 0.03 in Paschen lines": ((HOT,), filled(PASCHEN, 0.03, 2.0), {}),
    "shell lines of 0.03 in Paschen lines": ((HOT,), filled(PASCHEN, -0.03, 1.5), {}),
    "nitrogen lines, 0.1 Å stronger": ((HOT,), filled(NITROGEN, -0.027, 1.5), {}),
    "[alpha/M] = 0.3": ((DWARF, GIANT), None, {"alpha": 0.3, "mh": -0.2}),
}
HELD: dict[str, dict[str, float]] = {  # by how much labels are wrong that are held
    "Teff held, 400 K too low": {"teff": -400.0},
    "log g held, 0.5 too low": {"logg": -0.5},
    "[M/H] held, 0.4 too low": {"mh": -0.4},
    "v sin i held, 20 km/s too high": {"vsini": 20.0},
}


def measure(stars, fluxes, fit, held=()) -> tuple[float, float]:
    """Percentages of stars of which a label that is not `held` is wrong, and of those without a flag that warns.

    `fit` makes results of spectra.
    """
    spectra = [observed(one, flux, number) for number, (one, flux) in enumerate(zip(stars, fluxes, strict=True))]
    found = zip(stars, fit(spectra), strict=True)
    wrong = [result for one, result in found if is_wrong(result, one.labels, MATTERS.keys() - set(held))]
    silent = [result for result in wrong if set(result.flags) <= NO_WARNING]
    return 100 * len(wrong) / len(stars), 100 * len(silent) / len(stars)


def inverted(spectra) -> list:
    """Results of `rvsemu.invert`."""
    return [rvsemu.invert(spectrum) for spectrum in spectra]


def rows_of(emulator, count, invert) -> Iterator[list[str]]:
    """Rows of the table."""

    def row(name, kind, *measured) -> list[str]:
        return [name, kind, *(f"{share:.0f}" for share in measure(*measured))]

    for name, (kinds, change, labels) in ATTACKS.items():
        for kind in kinds:
            stars = [star(emulator, kind, number, **labels) for number in range(count)]
            fluxes = [one.flux if change is None else change(one, emulator) for one in stars]
            yield row(name, kind, stars, fluxes, inverted if invert else fit_many)
    for name, offsets in {} if invert else HELD.items():
        for kind in (DWARF, GIANT, HOT):
            stars = [star(emulator, kind, number) for number in range(count)]
            held = [{label: one.labels[label] + offset for label, offset in offsets.items()} for one in stars]
            yield row(name, kind, stars, [one.flux for one in stars], partial(fits_with, held), offsets)


def fits_with(held, spectra) -> list:
    """Fits of spectra, each with labels `held` at values of its own."""
    return [rvsemu.fit(spectrum, fixed=fixed) for spectrum, fixed in zip(spectra, held, strict=True)]


def observed(one, flux, number) -> Spectrum:
    """A flux as Gaia would see it."""
    spectrum = Spectrum(spectral_axis=one.wavelength * u.AA, flux=flux * u.one, meta={"medium": "air", "frame": "rest"})
    return rvsemu.simulate(
        with_model_error(spectrum, one.rng),
        signal_to_noise=SNRS[number % len(SNRS)],
        seed=number,
        ccds=int(one.rng.choice([12, 20, 40, 80])),
        radial_velocity=one.rng.uniform(-4, 4),
        continuum=0.02 * one.rng.normal(size=3),
    )


def is_wrong(result, labels, names) -> bool:
    """Whether one of the labels `names` is off by much, and by much more than its error."""
    away = {name: abs(result.labels[name].value - labels[name]) for name in names}
    return any(away[name] > max(MATTERS[name], ERRORS * result.errors[name].value) for name in names)


def main(arguments=None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=40, help="of each kind (default: 40)")
    parser.add_argument("--write", action="store_true", help="write the table of the documentation, too")
    parser.add_argument("--invert", action="store_true", help="invert the spectra instead of fitting them")
    options = parser.parse_args(arguments)
    if options.invert and options.write:
        parser.error("the table of the documentation is about fits: leave --invert or --write out")
    rows = []
    for row in rows_of(rvsemu.shipped(), options.stars, options.invert):
        print(*row, sep="  ", flush=True)
        rows.append(row)
    if options.write:
        TABLE.write_text(rst(["What is done", "star", "labels wrong", "and no flag"], rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
