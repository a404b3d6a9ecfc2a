"""Error of an emulator by region of labels, and of its own error model, on spectra that it was not trained on.

    python validation/emulator.py [--emulator FILE] [--library LIBRARY] [--draws 8000] [--rst FILE]

Of the stars that the training kept for validation, spectra with v sin i uniform over 0-300 km/s and resolution over
5000-14,500, drawn anew. Takes a minute.
"""

import argparse
from pathlib import Path

import numpy as np
from results import rst

import rvsemu
from rvsemu.emulator.regions import PAPER
from rvsemu.library.merging import open_library
from rvsemu.training.accuracy import TEFF_EDGES
from rvsemu.training.draws import make_test_set, split_library

LIBRARY = Path(__file__).parents[1] / "library" / "default.txt"
HEAD = ["stars", "[M/H]", "spectra", "RMS", "MAE", "99 % of maxima", "error / stated"]
METALS = {"all": (-9, 9), "≤ -1": (-9, -1), "-1 to 0.5": (-1, 0.5), "> 0.5": (0.5, 9)}
"""Above +0.5, structures are those of +0.5."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", help="file; default: the shipped one")
    parser.add_argument(
        "--library",
        default=LIBRARY,
        help="that it was trained on (default: library/default.txt)",
    )
    parser.add_argument("--draws", type=int, default=8000)
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    options = parser.parse_args()
    emulator, held_out, _ = opened(options)
    labels, flux = make_test_set(held_out, emulator.labels, options.draws, seed=43)
    rows = list(regions(emulator, labels, emulator.flux(labels) - flux))
    table = rst(HEAD, rows)
    if options.rst:
        options.rst.write_text(table, encoding="utf-8")
    for row in [HEAD, *rows]:
        print("".join(f"{cell:>16}" for cell in row))


def opened(options):
    """The emulator, and of the library that it was trained on the part kept for validation, and the other one."""
    emulator = rvsemu.Emulator.load(options.emulator) if options.emulator else rvsemu.shipped()
    library = open_library(options.library)
    if emulator.info["library"]["fingerprint"] != library.fingerprint():
        raise SystemExit(f"{options.library} is not what the emulator was trained on.")
    held_out = split_library(library, emulator.info["settings"]["validation"], emulator.info["seed"])
    return emulator, library.subset(held_out), library.subset(~held_out)


def regions(emulator, labels, error):
    """Rows of the table for errors (n, n_pixels) at labels (n, n_labels): all, and by Teff, log g and [M/H]."""
    names = emulator.labels.names
    teff, logg, mh = (labels[:, names.index(name)] for name in ("teff", "logg", "mh"))
    pull = np.sqrt(np.mean((error / emulator.sigma(labels)) ** 2, axis=1))
    largest = np.abs(error).max(axis=1)
    for stars, part in groups(names, labels, teff, logg):
        for metals, (low, high) in METALS.items():
            some = part & (mh > low) & (mh <= high)
            if some.any():
                yield [
                    stars,
                    metals,
                    f"{some.sum()}",
                    f"{np.sqrt(np.mean(error[some] ** 2)):.1e}",
                    f"{np.abs(error[some]).mean():.1e}",
                    f"{np.percentile(largest[some], 99):.1e}",
                    f"{np.sqrt(np.mean(pull[some] ** 2)):.2f}",
                ]


def groups(names, labels, teff, logg):
    """Names of groups of stars, and which rows are in them."""
    yield "all", np.full(len(teff), True)
    columns = [names.index(name) for name in PAPER.limits]
    in_box = PAPER.inside(labels[:, columns], list(PAPER.limits))
    yield "box of the paper", in_box & (labels[:, names.index("alpha")] == 0) if "alpha" in names else in_box
    yield "log g < 2", logg < 2
    for low, high in zip(TEFF_EDGES[:-1], TEFF_EDGES[1:], strict=True):
        yield f"{low:.0f}-{high:.0f} K", (teff >= low) & (teff < high)


if __name__ == "__main__":
    main()
