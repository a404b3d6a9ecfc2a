"""What the interstellar band at 862 nm does to labels, left in and masked.

    python validation/diffuse_band.py --write

observes stars with bands of some depths by `rvsemu.simulate`, at a signal to noise of 150, and fits them with the
default settings, with the mask of the band and without. The table has the mean of Teff and of its error, and how many
of the fits without the mask have the flag ``diffuse-band``; with ``--write`` it goes to
``docs/_generated/diffuse_band.rst``. Takes ten seconds of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy import units as u
from results import rst
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.physics.lines import DIFFUSE_BAND_AT

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "diffuse_band.rst"
STARS = {  # Teff, log g, v sin i, [M/H], vmic
    "K giant": (4600, 2.3, 3, -0.2, 1.5),
    "G dwarf": (5800, 4.4, 5, -0.1, 1.1),
    "F dwarf": (6800, 4.2, 20, -0.3, 1.5),
    "A dwarf": (9000, 4.0, 60, 0.0, 2.0),
    "B dwarf": (12000, 4.0, 100, 0.0, 1.0),
}
DEPTHS = (0.0, 0.02, 0.04, 0.06)
SIGMA = 2.0  # Angstrom
SNR, COUNT = 150, 6
LEFT_IN = ("calcium-cores", "edges")


def with_band(star, depth) -> Spectrum:
    """A generated star behind dust."""
    wave = star.spectral_axis.to_value(u.AA)
    band = 1 - depth * np.exp(-0.5 * ((wave - DIFFUSE_BAND_AT) / SIGMA) ** 2)
    return Spectrum(spectral_axis=star.spectral_axis, flux=star.flux * band, meta=dict(star.meta))


def row(name, depth) -> list[str]:
    """Of the table."""
    star = with_band(rvsemu.generate(*STARS[name], resolution=11900), depth)
    observed = [rvsemu.simulate(star, signal_to_noise=SNR, seed=i) for i in range(COUNT)]
    left_in, masked = fit_many(observed, mask=LEFT_IN), fit_many(observed)
    cells = [
        f"{np.mean([r.teff.value for r in fits]):.0f} ± {np.mean([r.errors['teff'].value for r in fits]):.1f}"
        for fits in (masked, left_in)
    ]
    flagged = sum("diffuse-band" in r.flags for r in left_in)
    return [name, f"{100 * depth:.0f}", *cells, f"{flagged} of {COUNT}"]


def main(arguments=None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table of the documentation, too")
    options = parser.parse_args(arguments)
    head = ["", "depth (%)", "Teff, masked (K)", "Teff, left in (K)", "flagged"]
    text = rst(head, [row(name, depth) for name in STARS for depth in DEPTHS])
    print(text)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
