"""Spectra of a library, computed again with `rvsemu.library.synthesis` and compared in the library's own bins.

    python validation/recomputed_library.py LIBRARY.h5 --n 20 --cn-below 7000 --tio-below 4500 --no-helium
    python validation/recomputed_library.py library/parts/002.h5 --n 10 --box wide

For a library of unbroadened spectra in bins of 8380-8818 A (air). The spectra are chosen to cover the range of Teff
evenly; where the library's lines of CN are too weak, of those in which CN plays no part. With ``--box``, the labels
are also compared with the draws of that box. Needs ``rvsemu synthesize setup``. Takes some ten seconds of one core
for each.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from rvsemu.library import Library
from rvsemu.library.synthesis import BOXES, Workspace, synthesize


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--box", choices=BOXES)
    parser.add_argument("--cn-below", type=float)
    parser.add_argument("--tio-below", type=float)
    parser.add_argument("--no-helium", action="store_true")
    options = parser.parse_args()
    library = Library.load(options.library)
    limits = {k: getattr(options, k) for k in ("cn_below", "tio_below") if getattr(options, k) is not None}
    settings = replace(BOXES[options.box or "paper"], helium=not options.no_helium, **limits)
    workspace = Workspace.open()
    if options.box:
        draws = settings.draws(int(library.index.max()) + 1, workspace.structures)[library.index]
        print(f"labels and draws of the box differ by at most {np.abs(draws - library.labels).max():.1e}")
    library = library.subset(~library.weak_cyanogen)
    by_teff = np.argsort(library.labels[:, 0])
    chosen = by_teff[np.linspace(0, len(library) - 1, options.n).round().astype(int)]
    print("index", *(f"{name:>7}" for name in library.names), "      rms        max  seconds")
    worst = 0.0
    for row in chosen:
        start = time.monotonic()
        difference = synthesize(library.labels[row], settings, workspace).flux - library.flux[row]
        rms, largest = np.sqrt(np.mean(difference**2)), np.abs(difference).max()
        worst = max(worst, rms)
        text = " ".join(f"{x:7.0f}" if x > 100 else f"{x:7.2f}" for x in library.labels[row])
        seconds = time.monotonic() - start
        print(f"{library.index[row]:5d} {text} {rms:9.1e} {largest:10.1e} {seconds:8.1f}", flush=True)
    print(f"largest rms {worst:.1e}")


if __name__ == "__main__":
    main()
