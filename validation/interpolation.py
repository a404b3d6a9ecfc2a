"""Error of the interpolation of a library, on spectra that it does not know.

    python validation/interpolation.py LIBRARY [--without-structures] [--spectra N]

The tenth of the stars that a training with seed 1 keeps for validation is predicted from the others, or from N of them,
and both are broadened: v sin i uniform over 0-300 km/s, resolution over 5000-14,500. Takes some minutes.
"""

import argparse
from dataclasses import replace

import numpy as np

from rvsemu.library.merging import open_library
from rvsemu.training.accuracy import TEFF_EDGES
from rvsemu.training.draws import PAPER_WAVELENGTH, split_library
from rvsemu.training.interpolation import LibraryInterpolator


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--without-structures", action="store_true", help="labels alone are known")
    parser.add_argument("--spectra", type=int, help="number of spectra to interpolate (default: all)")
    options = parser.parse_args()
    library = open_library(options.library)
    if options.without_structures:
        library = replace(library, info={})
    held_out = split_library(library, 0.1, 1)
    known = np.random.default_rng(1).permutation(np.flatnonzero(~held_out))[: options.spectra]
    interpolator = LibraryInterpolator(library.subset(np.sort(known)))
    test = library.subset(held_out)
    error = broadened(library, interpolator(test.labels) - test.flux)
    teff, mh = (test.labels[:, test.names.index(name)] for name in ("teff", "mh"))
    print(f"length scales {np.array2string(interpolator.scales, precision=3)}")
    print("Teff            [M/H]          spectra     RMS       MAE")
    for low, high in ((TEFF_EDGES[0], TEFF_EDGES[-1]), *zip(TEFF_EDGES[:-1], TEFF_EDGES[1:], strict=True)):
        for which, rows in (("up to +0.5", mh <= 0.5), ("above +0.5", mh > 0.5)):
            rows = rows & (teff >= low) & (teff < high)
            if rows.any():
                rms, mae = np.sqrt(np.mean(error[rows] ** 2)), np.mean(np.abs(error[rows]))
                print(f"{low:5.0f}-{high:5.0f} K   {which}   {rows.sum():8d}   {rms:.2e}  {mae:.2e}")


def broadened(library, error):
    """Errors (n, m) of unbroadened spectra as random rotation and resolution leave them."""
    rng = np.random.default_rng(0)
    vsini, resolution = rng.uniform(0, 300, len(error)), rng.uniform(5000, 14500, len(error))
    broadener = library.broadener(PAPER_WAVELENGTH)
    transforms = broadener.transform(error)
    return np.array([broadener.apply(*one) for one in zip(transforms, vsini, resolution, strict=True)])


if __name__ == "__main__":
    main()
