"""Error of an emulator by region of labels, and of its own error model, on spectra that it was not trained on.

    python validation/emulator.py [--emulator FILE] [--library LIBRARY.h5] [--draws 8000] [--rst FILE]

Of the stars that the training kept for validation, spectra with v sin i uniform over 0-300 km/s and resolution over
5000-14,500, drawn anew. Takes a minute.
"""

import argparse
from pathlib import Path

import numpy as np
from results import rst

import rvsemu
from rvsemu.library import Library
from rvsemu.training.accuracy import TEFF_EDGES
from rvsemu.training.draws import make_test_set, split_library

LIBRARY = Path(__file__).parents[1] / "library" / "rvs_library.h5"
HEAD = ["Teff (K)", "[M/H]", "spectra", "RMS", "MAE", "99 % of maxima", "error / stated"]
BOUND = 0.5  # of [M/H]: above, structures are those of +0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", help="file; default: the shipped one")
    parser.add_argument("--library", default=LIBRARY, help="that it was trained on")
    parser.add_argument("--draws", type=int, default=8000)
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    options = parser.parse_args()
    emulator = rvsemu.Emulator.load(options.emulator) if options.emulator else rvsemu.shipped()
    library = Library.load(options.library)
    if emulator.info["library"]["fingerprint"] != library.fingerprint():
        raise SystemExit(f"{options.library} is not what the emulator was trained on.")
    held_out = library.subset(split_library(library, emulator.info["settings"]["validation"], emulator.info["seed"]))
    labels, flux = make_test_set(held_out, emulator.labels, options.draws, seed=43)
    rows = list(regions(emulator, labels, emulator.flux(labels) - flux))
    table = rst(HEAD, rows)
    if options.rst:
        options.rst.write_text(table, encoding="utf-8")
    for row in [HEAD, *rows]:
        print("".join(f"{cell:>16}" for cell in row))


def regions(emulator, labels, error):
    """Rows of the table for errors (n, n_pixels) at labels (n, n_labels): all, and each range of Teff."""
    teff, mh = (labels[:, emulator.labels.names.index(name)] for name in ("teff", "mh"))
    pull = np.sqrt(np.mean((error / emulator.sigma(labels)) ** 2, axis=1))
    largest = np.abs(error).max(axis=1)
    parts = {"all": np.full(len(mh), True), f"≤ {BOUND}": mh <= BOUND, f"> {BOUND}": mh > BOUND}
    for low, high in ((TEFF_EDGES[0], TEFF_EDGES[-1]), *zip(TEFF_EDGES[:-1], TEFF_EDGES[1:], strict=True)):
        for name, part in parts.items():
            some = part & (teff >= low) & (teff < high)
            if some.any():
                yield [
                    f"{low:.0f}-{high:.0f}",
                    name,
                    f"{some.sum()}",
                    f"{np.sqrt(np.mean(error[some] ** 2)):.1e}",
                    f"{np.abs(error[some]).mean():.1e}",
                    f"{np.percentile(largest[some], 99):.1e}",
                    f"{np.sqrt(np.mean(pull[some] ** 2)):.2f}",
                ]


if __name__ == "__main__":
    main()
