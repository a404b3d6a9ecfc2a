"""What do labels become where stars are rich in alpha elements, poor in metals or giants?

    python validation/alpha.py [--free] [--teff 4000 7500] [--snr 100] [--most 60] [--rst FILE] [--library LIBRARY]

Fits spectra of SYNSPEC as if they were Gaia's, of stars that the training of the emulator kept for validation, with the
defaults of `rvsemu.fit`, which hold [alpha/M] at 0, or with [alpha/M] free (``--free``), and compares. The stars have
any microturbulence from 0 to 4 km/s, so that is the prior, and not what real stars let expect. Takes some minutes.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy import units as u
from results import rst
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import DEFAULT_PRIORS, Uniform, fit_many
from rvsemu.library import Library
from rvsemu.library.merging import open_library
from rvsemu.training.draws import PAPER_WAVELENGTH, split_library

VSINI, RESOLUTION = 4.0, 11700.0
TEFF = 4000.0, 7500.0  # K: what the RVS sees most of, where metals have lines
METALS = ((0.8, 0.2), (0.2, -0.5), (-0.5, -1.0), (-1.0, -1.5), (-1.5, -2.5))
ALPHA = ((-0.1, 0.1), (0.1, 0.3), (0.3, 0.6))
GIANTS = {"log g ≥ 2": (2.0, 5.0), "log g < 2": (0.0, 2.0)}
LABELS = {
    "teff": ("Teff (K)", 0),
    "logg": ("log g (dex)", 2),
    "mh": ("[M/H] (dex)", 2),
    "alpha": ("[alpha/M] (dex)", 2),
}
HEAD = ["[M/H]", "[alpha/M]", "log g", "stars"]
LIBRARY = Path(__file__).parents[1] / "library" / "default.txt"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--free", action="store_true", help="fit [alpha/M], too")
    limits = {"nargs": 2, "type": float, "metavar": ("LOW", "HIGH")}
    parser.add_argument("--teff", **limits, default=TEFF, help="of stars, K (default: 4000 7500)")
    parser.add_argument("--snr", type=float, default=100.0)
    parser.add_argument("--most", type=int, default=60, help="stars of a row (default: 60)")
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    parser.add_argument("--library", default=LIBRARY, help="of the emulator (default: library/default.txt)")
    options = parser.parse_args()
    labels = [name for name in LABELS if options.free or name != "alpha"]
    head = [*HEAD, *(LABELS[name][0] for name in labels), "beyond 3 errors", "and no flag"]
    rows = list(table(list(spectra(held_out(options.library), options)), options.most, labels))
    if options.rst:
        options.rst.write_text(rst(head, rows), encoding="utf-8")
    for row in [head, *rows]:
        print("".join(f"{cell:>18}" for cell in row))


def held_out(path) -> Library:
    """Stars that the emulator was not trained on."""
    library, info = open_library(path), rvsemu.shipped().info
    if info["library"]["fingerprint"] != library.fingerprint():
        raise SystemExit(f"{path} is not what the emulator was trained on.")
    return library.subset(split_library(library, info["settings"]["validation"], info["seed"]))


def spectra(library, options):
    """(labels by name, a function that makes the spectrum) of the stars of a library."""
    broadener = library.broadener(PAPER_WAVELENGTH)
    for row in range(len(library)):
        labels = dict(zip(library.names, library.labels[row].tolist(), strict=True))
        if options.teff[0] <= labels["teff"] < options.teff[1]:
            yield labels, lambda row=row: observed(library, broadener, row, options.snr)


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


def table(stars, most, names):
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
                    yield [*metals, name, f"{len(some)}", *compared(some, names)]


def compared(some, names):
    """Cells of the table for stars and their spectra."""
    truth = np.array([[labels[name] for name in names] for labels, _ in some])
    free = {"fixed": {"alpha": "free"}} if "alpha" in names else {}
    priors = {**DEFAULT_PRIORS, "vmic": Uniform(0.0, 4.0)}
    results = list(fit_many([spectrum for _, spectrum in some], priors=priors, **free))
    away = np.array([[found.labels[name].value for name in names] for found in results]) - truth
    errors = np.array([[found.errors[name].value for name in names] for found in results])
    for name, column in zip(names, away.T, strict=True):
        low, middle, high = np.percentile(column, [16, 50, 84])
        digits = LABELS[name][1]
        yield f"{middle:+.{digits}f} ± {(high - low) / 2:.{digits}f}"
    wrong = np.any(np.abs(away) > 3 * errors, axis=1)
    yield f"{np.sum(wrong)}"
    yield f"{np.sum(wrong & [not found.flags for found in results])}"


if __name__ == "__main__":
    main()
