"""Spectra of a library, computed again with `rvsemu.library.synthesis` and compared in the library's own bins.

    python validation/recomputed_library.py LIBRARY.h5 --n 20 --cn-below 7000 --tio-below 4500 --no-helium

For a library of unbroadened spectra in bins of 8380-8818 A (air). The spectra are chosen to cover the range of Teff
evenly. Needs ``rvsemu synthesize setup``. Takes some ten seconds of one core for each.
"""

import argparse
import time

import numpy as np

from rvsemu.library import Library
from rvsemu.library.synthesis import Settings, Workspace, synthesize


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--cn-below", type=float, default=Settings.cn_below)
    parser.add_argument("--tio-below", type=float, default=Settings.tio_below)
    parser.add_argument("--no-helium", action="store_true")
    options = parser.parse_args()
    library = Library.load(options.library)
    settings = Settings(cn_below=options.cn_below, tio_below=options.tio_below, helium=not options.no_helium)
    by_teff = np.argsort(library.labels[:, 0])
    chosen = by_teff[np.linspace(0, len(library) - 1, options.n).round().astype(int)]
    workspace = Workspace.open()
    print("index    teff   logg     mh   vmic        rms        max  seconds")
    worst = 0.0
    for row in chosen:
        start = time.monotonic()
        difference = synthesize(library.labels[row], settings, workspace).flux - library.flux[row]
        rms, largest = np.sqrt(np.mean(difference**2)), np.abs(difference).max()
        worst = max(worst, rms)
        teff, logg, mh, vmic = library.labels[row]
        seconds = time.monotonic() - start
        print(
            f"{library.index[row]:5d} {teff:7.0f} {logg:6.2f} {mh:6.2f} {vmic:6.2f} "
            f"{rms:10.1e} {largest:10.1e} {seconds:8.1f}",
            flush=True,
        )
    print(f"largest rms {worst:.1e}")


if __name__ == "__main__":
    main()
