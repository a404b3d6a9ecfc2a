"""What limits an emulator: the interpolation between spectra of the library, or the network that learns from it.

    python validation/error_budget.py [--emulator FILE] [--library LIBRARY] [--rst FILE]

Of the stars that the training kept for validation, spectra with v sin i uniform over 0-300 km/s and resolution over
5000-14,500; the same interpolated from the other stars, as in the training; and the emulator's. RMS differences by
region. Takes four minutes and 2 GB.
"""

import argparse
from pathlib import Path

import numpy as np
from emulator import LIBRARY, METALS, groups, opened
from results import rst

from rvsemu.training.domain import without_constants
from rvsemu.training.draws import random_instrument
from rvsemu.training.interpolation import LibraryInterpolator

HEAD = ["stars", "[M/H]", "spectra", "emulator", "interpolation", "network"]
EACH = 4  # spectra of a star


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", help="file; default: the shipped one")
    parser.add_argument("--library", default=LIBRARY, help="that it was trained on (default: library/default.txt)")
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    options = parser.parse_args()
    emulator, held_out, trained = opened(options)
    rows = list(regions(emulator, *spectra(emulator, held_out, trained)))
    if options.rst:
        options.rst.write_text(rst(HEAD, rows), encoding="utf-8")
    for row in [HEAD, *rows]:
        print("".join(f"{cell:>18}" for cell in row))


def spectra(emulator, held_out, trained):
    """Labels (n, n_labels) and fluxes (n, n_pixels): true ones, and those interpolated."""
    interpolated = LibraryInterpolator(without_constants(trained, emulator.labels), progress=True)(held_out.labels)
    broadener = held_out.broadener(emulator.wavelength)
    both = broadener.transform(held_out.flux), broadener.transform(interpolated.astype("f4"))
    star = np.repeat(np.arange(len(held_out)), EACH)
    vsini, resolution = random_instrument(emulator.labels, len(star), 0.0, np.random.default_rng(5))
    columns = dict(zip(held_out.names, held_out.labels[star].T, strict=True)) | {
        "vsini": vsini,
        "resolution": resolution,
    }
    observed = list(zip(star, vsini, resolution, strict=True))
    true, between = (np.array([broadener.apply(some[i], v, r) for i, v, r in observed]) for some in both)
    return np.stack([columns[name] for name in emulator.labels.names], axis=1), true, between


def regions(emulator, labels, true, between):
    """Rows of the table."""
    names = emulator.labels.names
    teff, logg, mh = (labels[:, names.index(name)] for name in ("teff", "logg", "mh"))
    flux = emulator.flux(labels)
    squares = [np.mean((a - b) ** 2, axis=1) for a, b in ((flux, true), (between, true), (flux, between))]
    for stars, part in groups(names, labels, teff, logg):
        for metals, (low, high) in METALS.items():
            some = part & (mh > low) & (mh <= high)
            if some.any():
                yield [stars, metals, f"{some.sum()}", *(f"{np.sqrt(np.mean(x[some])):.1e}" for x in squares)]


if __name__ == "__main__":
    main()
