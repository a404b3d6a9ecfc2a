"""What two choices of `rvsemu.library.synthesis.Settings` cost: the sampling of the profiles, and the lines of He I.

    python validation/synthesis_choices.py

computes stars of a few kinds twice each, with 3 and with 6 points per profile, and with and without helium, in about
five minutes on one core. Needs ``rvsemu synthesize setup``.
"""

import argparse
from dataclasses import replace

import numpy as np

from rvsemu.library.model import COMPACT_RESOLUTION
from rvsemu.library.synthesis import Settings, Workspace, synthesize
from rvsemu.physics.broadening import broaden

SAMPLED = [  # teff, logg, mh, vmic: from a cool giant full of molecules to a hot star with few lines
    (3800, 2.0, 0.0, 1.0),
    (4500, 2.0, 0.5, 0.5),
    (4500, 4.5, 0.5, 2.0),
    (5777, 4.44, 0.0, 1.0),
    (5777, 2.0, 1.0, 0.0),
    (5777, 4.44, -1.5, 1.0),
    (7500, 4.0, 0.5, 2.0),
    (9500, 3.0, 0.0, 2.0),
    (14500, 4.0, 0.0, 2.0),
]
HOT = [  # with lines of helium, or nearly so
    (15000, 2.0, 0.0, 2.0),
    *((14500, logg, 0.0, 2.0) for logg in (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)),
    *((12500, logg, 0.0, 2.0) for logg in (2.0, 3.0, 4.0)),
    *((10500, logg, 0.0, 2.0) for logg in (2.0, 3.0, 4.0)),
    (10500, 2.0, -1.5, 2.0),
    (10500, 2.0, 1.0, 2.0),
    (9500, 2.0, 0.0, 2.0),
    (9500, 2.0, 1.0, 2.0),
    (8500, 2.0, 0.0, 2.0),
]
INSTRUMENT = 14500  # the highest resolution of the emulators


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("sampling", "helium"), help="only one of the two")
    options = parser.parse_args()
    workspace = Workspace.open()
    if options.part != "helium":
        sampling(workspace)
    if options.part != "sampling":
        helium(workspace)


def sampling(workspace):
    usual = Settings()
    finer = replace(usual, sampling=2 * usual.sampling)
    print(f"{finer.sampling:g} instead of {usual.sampling:g} points per profile")
    print(f"   teff   logg     mh   vmic   bins: rms     max   R={COMPACT_RESOLUTION:g}: rms     max")
    for star in SAMPLED:
        change = synthesize(star, finer, workspace).flux - synthesize(star, usual, workspace).flux
        _, smooth = smoothed(change, usual, COMPACT_RESOLUTION)
        print(f"{label(star)} {size(change)}     {size(smooth)}", flush=True)


def helium(workspace):
    usual = Settings()
    without = replace(usual, helium=False)
    print(f"He I lines, per cent of the continuum's flux that they take at R={INSTRUMENT}")
    print("   teff   logg     mh   vmic    largest   at (A)")
    for star in HOT:
        taken = synthesize(star, without, workspace).flux - synthesize(star, usual, workspace).flux
        wavelength, taken = smoothed(taken, usual, INSTRUMENT)
        where = np.argmax(taken)
        print(f"{label(star)} {100 * taken[where]:10.3f} {wavelength[where]:8.1f}", flush=True)


def smoothed(flux, settings, resolution):
    centres = settings.edges[:-1] + settings.bin_width / 2
    return broaden(centres, flux, resolution=resolution, bin_width=settings.bin_width)


def label(star):
    teff, logg, mh, vmic = star
    return f"{teff:7.0f} {logg:6.2f} {mh:6.2f} {vmic:6.2f}"


def size(change):
    return f"{np.sqrt(np.mean(change**2)):10.1e} {np.abs(change).max():8.1e}"


if __name__ == "__main__":
    main()
