"""What do labels become where stars are rich in alpha elements, poor in metals or giants, and [alpha/M] is held at 0?

    python validation/alpha.py [--snr 100] [--most 60] [--rst FILE] PART.h5 [PART.h5 ...]

Fits spectra of SYNSPEC with labels of the wide box (``library/parts``) as if they were Gaia's, with the defaults of
`rvsemu.fit`, and compares. Spectra in which lines of CN are too weak are left out. Takes some minutes.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy import units as u
from results import rst

import rvsemu
from rvsemu._compat import Spectrum
from rvsemu.fitting import fit_many
from rvsemu.library import Library
from rvsemu.training.draws import PAPER_WAVELENGTH

VSINI, RESOLUTION = 4.0, 11700.0
COOL, HOT = 4000.0, 7500.0  # K: what the RVS sees most of, where metals have lines
METALS = ((0.2, -0.5), (-0.5, -1.0), (-1.0, -1.5), (-1.5, -2.5))
ALPHA = ((-0.1, 0.1), (0.1, 0.3), (0.3, 0.6))
GIANTS = {"log g ≥ 2": (2.0, 5.0), "log g < 2": (0.0, 2.0)}
HEAD = ["[M/H]", "[alpha/M]", "log g", "stars", "Teff (K)", "log g (dex)", "[M/H] (dex)", "beyond 3 errors, no flag"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", metavar="PART.h5")
    parser.add_argument("--snr", type=float, default=100.0)
    parser.add_argument("--most", type=int, default=60, help="stars of a row (default: 60)")
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    options = parser.parse_args()
    stars = [star for path in options.parts for star in spectra(Library.load(path), options.snr)]
    rows = list(table(stars, options.most))
    if options.rst:
        options.rst.write_text(rst(HEAD, rows), encoding="utf-8")
    for row in [HEAD, *rows]:
        print("".join(f"{cell:>18}" for cell in row))


def spectra(library, snr):
    """(labels by name, a function that makes the spectrum) of the stars of a library."""
    broadener = library.broadener(PAPER_WAVELENGTH)
    for row in np.flatnonzero(~library.weak_cyanogen):
        labels = dict(zip(library.names, library.labels[row].tolist(), strict=True))
        if COOL <= labels["teff"] < HOT:
            yield labels, lambda row=row: observed(library, broadener, row, snr)


def observed(library, broadener, row, snr):
    """A spectrum of the library as if it were Gaia's."""
    (transform,) = broadener.transform(library.flux[row : row + 1])
    flux = broadener.apply(transform, VSINI, RESOLUTION)
    star = Spectrum(
        spectral_axis=PAPER_WAVELENGTH * u.AA,
        flux=flux * u.dimensionless_unscaled,
        meta={"medium": library.medium, "frame": "rest"},
    )
    return rvsemu.simulate(star, signal_to_noise=snr, seed=row)


def table(stars, most):
    """Rows: median differences and their scatter, found - true, and how many are wrong without a flag."""
    for high, low in METALS:
        for least, greatest in ALPHA:
            for name, (bottom, top) in GIANTS.items():
                some = [
                    (labels, make())
                    for labels, make in stars
                    if low <= labels["mh"] < high
                    and least <= labels["alpha"] < greatest
                    and bottom <= labels["logg"] < top
                ][:most]
                if len(some) >= 5:
                    metals = f"{low} to {high}", f"{least} to {greatest}"
                    yield [*metals, name, f"{len(some)}", *compared(some)]


def compared(some):
    """Cells of the table for stars and their spectra."""
    names = ("teff", "logg", "mh")
    truth = np.array([[labels[name] for name in names] for labels, _ in some])
    results = list(fit_many([spectrum for _, spectrum in some]))
    away = np.array([[found.labels[name].value for name in names] for found in results]) - truth
    errors = np.array([[found.errors[name].value for name in names] for found in results])
    wrong = np.any(np.abs(away) > 3 * errors, axis=1)
    silent = np.array([not found.flags for found in results])
    for column, digits in zip(away.T, (0, 2, 2), strict=True):
        low, middle, high = np.percentile(column, [16, 50, 84])
        yield f"{middle:+.{digits}f} ± {(high - low) / 2:.{digits}f}"
    yield f"{np.sum(wrong & silent)} of {len(some)}"


if __name__ == "__main__":
    main()
