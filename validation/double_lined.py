"""How often do pairs of stars have the flag ``double-lined``, and single stars?

    python validation/double_lined.py

simulates spectra of pairs of stars, and of single stars over the whole range of labels, with the noise of the RVS, fits
them with the defaults of `rvsemu.fit`, and prints how many have the flag. Takes some minutes.
"""

from __future__ import annotations

import argparse

import numpy as np
from simulated import draw_labels, observed, simulate

import rvsemu
from rvsemu.fitting import fit_many

G_STAR = {"teff": 5700.0, "logg": 4.4, "vsini": 5.0}
PAIRS = {  # labels of both stars, and the share of the first in the light
    "5800 + 5200 K": ({"teff": 5800.0, "logg": 4.35}, {"teff": 5200.0, "logg": 4.5}, 0.6),
    "6500 + 6300 K": ({"teff": 6500.0, "logg": 4.2, "vsini": 15.0}, {"teff": 6300.0, "logg": 4.2}, 0.53),
    "5700 K twins": (G_STAR, G_STAR, 0.5),
    "5000 + 4500 K": ({"teff": 5000.0, "logg": 4.5}, {"teff": 4500.0, "logg": 4.6}, 0.7),
    "6200 + 5000 K": ({"teff": 6200.0, "logg": 4.2}, {"teff": 5000.0, "logg": 4.5}, 0.85),
    "9500 + 8500 K": ({"teff": 9500.0, "logg": 4.1, "vsini": 40.0}, {"teff": 8500.0, "logg": 4.1, "vsini": 40.0}, 0.6),
}
OTHERS = {"vsini": 8.0, "mh": 0.0, "vmic": 1.5, "resolution": 11900.0}
DISTANCES = (40.0, 60.0, 80.0, 100.0, 150.0, 250.0)  # km/s
NOISES = (20, 50, 100)  # S/N


def pair(emulator, seed, snr, stars, distance):
    """Spectrum of two stars, at rest together; both have the noise and continuum of the same numbers."""
    first, second, share = stars
    parts = [(share, -distance * (1 - share), first), (1 - share, distance * share, second)]
    flux = sum(
        part * simulate(emulator, np.random.default_rng(seed), snr, velocity, **OTHERS | labels)
        for part, velocity, labels in parts
    )
    return observed(flux, snr)


def flagged(spectra) -> int:
    """How many of them have the flag."""
    return sum("double-lined" in found.flags for found in fit_many(spectra))


def main(arguments=None) -> None:
    """Simulate, fit, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10, help="of each kind (default: 10)")
    parser.add_argument("--singles", type=int, default=300, help="at each S/N (default: 300)")
    options = parser.parse_args(arguments)
    emulator = rvsemu.shipped()
    print(f"{'pairs':16}{'S/N':>5}" + "".join(f"{distance:5.0f} km/s" for distance in DISTANCES))
    for name, stars in PAIRS.items():
        for snr in NOISES:
            counts = [
                flagged([pair(emulator, seed, snr, stars, distance) for seed in range(options.pairs)])
                for distance in DISTANCES
            ]
            print(f"{name:16}{snr:5}" + "".join(f"{count:10}" for count in counts), flush=True)
    for snr in (*NOISES, 300):
        rng = np.random.default_rng(77 + snr)
        columns = draw_labels(emulator, rng, options.singles)
        stars = [{label: float(x[i]) for label, x in columns.items()} for i in range(options.singles)]
        count = flagged([observed(simulate(emulator, rng, snr, **labels), snr) for labels in stars])
        print(f"single stars at S/N {snr}: {count} of {options.singles}", flush=True)


if __name__ == "__main__":
    main()
