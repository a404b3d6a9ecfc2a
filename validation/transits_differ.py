"""How often joint fits of transits have the flag ``transits-differ``: of clean stars, and with light of a neighbour.

    python validation/transits_differ.py --stars 350 --write

simulates clean stars of seven types, with 3 to 12 transits each at signal to noise 8 to 40, in the pixels of Gaia DR3
and DR4, with errors of models that all transits of a star share. The resolution of each transit is that of the CCDs it
has crossed; half of the stars have velocities that scatter by 30 km/s. The fits have the default settings. Then some of
the transits of a star have other light in them, as where Gaia's window lies along a neighbour: light without lines, or
that of a star which is displaced along the window, so that its lines appear to be shifted. *Wrong* are fits with Teff,
log g, [M/H] or v sin i more than four standard deviations off; *no warning* is no flag that would make one doubt them.

The tables are printed, and with ``--write`` go to ``docs/_generated/transits_differ.rst``. Takes four minutes of one
core; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy import units as u
from results import rst
from simulated import with_model_error
from specutils import Spectrum
from wrong_labels import ERRORS, NO_WARNING

import rvsemu
from rvsemu.fitting import RvsResolution
from rvsemu.physics.microturbulence import microturbulence

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "transits_differ.rst"
TYPES = {
    "B": {"teff": 12500.0, "logg": 4.0, "vsini": 150.0, "mh": 0.0},
    "A": {"teff": 9000.0, "logg": 4.0, "vsini": 100.0, "mh": 0.0},
    "F": {"teff": 6600.0, "logg": 4.2, "vsini": 40.0, "mh": 0.0},
    "G": {"teff": 5777.0, "logg": 4.44, "vsini": 3.0, "mh": 0.0},
    "K giant": {"teff": 4400.0, "logg": 2.0, "vsini": 3.0, "mh": -0.1},
    "metal-poor giant": {"teff": 4700.0, "logg": 1.5, "vsini": 3.0, "mh": -1.5},
    "M": {"teff": 3700.0, "logg": 4.75, "vsini": 3.0, "mh": 0.0},
}
LABELS = ("teff", "logg", "vsini", "mh")
FLAG = "transits-differ"
OTHER = {"light without lines": None, "a G star, lines shifted by 25 Angstrom": 25.0, "a G star, by 8 Angstrom": 8.0}
CASES = (
    # type, other light, its share, transits that have it, of so many, signal to noise
    ("G", "light without lines", 0.25, 4, 8, 20.0),
    ("A", "light without lines", 0.25, 4, 8, 20.0),
    ("M", "light without lines", 0.25, 4, 8, 20.0),
    ("G", "light without lines", 0.15, 4, 8, 20.0),
    ("G", "light without lines", 0.33, 4, 8, 12.0),
    ("G", "light without lines", 0.33, 2, 4, 12.0),
    ("G", "light without lines", 0.33, 1, 8, 20.0),
    ("G", "a G star, lines shifted by 25 Angstrom", 0.3, 4, 8, 12.0),
    ("A", "a G star, lines shifted by 25 Angstrom", 0.3, 4, 8, 12.0),
    ("G", "a G star, by 8 Angstrom", 0.3, 4, 8, 12.0),
)


def star_of(kind: str, **changes) -> Spectrum:
    """Spectrum of a type, with the most likely microturbulence."""
    labels = {"resolution": RvsResolution().mean} | TYPES[kind] | changes
    vmic = float(np.squeeze(microturbulence(labels["teff"], labels["logg"], labels["mh"]).mean))
    return rvsemu.generate(vmic=min(vmic, 4.0), **labels)


def mixed(star: Spectrum, share: float, shift: float | None) -> Spectrum:
    """`star` with a share of light without lines, or of a G star's that is shifted, in Angstrom."""
    other = 1.0
    if shift is not None:
        neighbour = star_of("G")
        wave = neighbour.spectral_axis.to_value(u.AA)
        other = np.interp(wave - shift, wave, neighbour.flux.value, left=1.0, right=1.0)
    flux = (1.0 - share) * star.flux.value + share * other
    return Spectrum(spectral_axis=star.spectral_axis, flux=flux * star.flux.unit, meta=star.meta)


def transits(kind: str, rng, count: int, snr: float, scatter: float, release: str, changed: Callable) -> list[Spectrum]:
    """`count` transits of a star; ``changed(i, star)`` is what the i-th of them sees."""
    resolutions = np.clip(rng.normal(RvsResolution().mean, RvsResolution().transit, count), 10_000.0, 14_000.0)
    error = with_model_error(star_of(kind), rng).flux - star_of(kind).flux
    out = []
    for i, resolution in enumerate(resolutions):
        star = star_of(kind, resolution=float(resolution))
        star = Spectrum(spectral_axis=star.spectral_axis, flux=star.flux + error, meta=star.meta)
        given = {"radial_velocity": 20.0 + scatter * rng.normal(), "continuum": rng.normal(0, 0.02, 3)}
        given |= {"signal_to_noise": snr, "release": release, "frame": "barycentric"}
        out.append(rvsemu.simulate(changed(i, star), seed=rng, ccds=3, **given))
    return out


def clean(count: int, seed: int) -> dict[str, list]:
    """Results of clean stars by type."""
    found: dict[str, list] = {kind: [] for kind in TYPES}
    for i in range(count):
        rng, kind = np.random.default_rng([seed, i]), list(TYPES)[i % len(TYPES)]
        n, snr = int(rng.integers(3, 13)), float(np.exp(rng.uniform(np.log(8), np.log(40))))
        release = ("Gaia DR3", "Gaia DR4")[rng.integers(2)]
        spectra = transits(kind, rng, n, snr, 30.0 * rng.integers(2), release, lambda _, star: star)
        found[kind].append(rvsemu.fit_transits(spectra))
    return found


def contaminated(case: tuple, count: int, seed: int) -> list:
    """Results of stars of a case."""
    kind, other, share, some, n, snr = case
    found = []
    for i in range(count):
        rng = np.random.default_rng([seed, CASES.index(case), i])
        spectra = transits(
            kind, rng, n, snr, 0.0, "Gaia DR4", lambda j, star: mixed(star, share, OTHER[other]) if j < some else star
        )
        found.append(rvsemu.fit_transits(spectra))
    return found


def wrong(result, kind: str) -> bool:
    """Whether a label is far off, in units of its error."""
    off = [(result.labels[name].value - TYPES[kind][name]) / result.errors[name].value for name in LABELS]
    return bool(np.max(np.abs(off)) > ERRORS)


def flagged(results) -> str:
    """How many have the flag."""
    return f"{sum(FLAG in one.flags for one in results)} of {len(results)}"


def tables(count: int, each: int, seed: int) -> str:
    """Both tables."""
    found = clean(count, seed)
    every = [one for results in found.values() for one in results]
    rows = [[kind, flagged(results)] for kind, results in found.items()] + [["all", flagged(every)]]
    first = rst(["Clean stars", "flagged"], rows)
    head = ["Star", "other light", "share", "in", "signal to noise", "flagged", "wrong", "wrong, no warning"]
    rows = []
    for case in CASES:
        kind, other, share, some, n, snr = case
        results = contaminated(case, each, seed)
        off = [one for one in results if wrong(one, kind)]
        silent = sum(not set(one.flags) - NO_WARNING for one in off)
        where = f"{some} of {n} transits"
        rows.append([kind, other, f"{100 * share:.0f} %", where, f"{snr:.0f}", flagged(results), len(off), silent])
    return f"{first}\n{rst(head, rows)}"


def main(arguments=None) -> None:
    """Simulate, fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=350, help="that are clean (default: 350)")
    parser.add_argument("--each", type=int, default=10, help="of each case with other light (default: 10)")
    parser.add_argument("--seed", type=int, default=2, help="of noise (default: 2)")
    parser.add_argument("--write", action="store_true", help="write the tables of the documentation")
    options = parser.parse_args(arguments)
    text = tables(options.stars, options.each, options.seed)
    print(text)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
