"""What lines of TiO at wrong places in the shipped emulator's library do to labels of cool stars.

    rvsemu synthesize setup
    python validation/titanium.py --write

computes spectra with SYNSPEC, each with the lines of 48Ti16O interpolated between its isotopologues, and with lines of
47Ti16O and 49Ti16O in their place, as in the library that the shipped emulator was trained on. Stars of the emulator
get the difference, and are fitted with and without it, with the same noise. The table has the rms difference at
R = 11,900 and what `rvsemu.library.titanium.titanium_change` says of it, and the labels of the first less those of the
second in units of their errors; with ``--write`` it goes to ``docs/_generated/titanium.rst``. With ``--spectra`` there
are no fits, and many more stars. Takes ten minutes of one core, or twenty.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy import units as u
from neodymium import RESOLUTION, SHOWN, SNRS, difference, pulls
from results import rst

import rvsemu
from rvsemu.library.synthesis import Workspace
from rvsemu.library.synthesis.lines import write_molecules
from rvsemu.library.titanium import titanium_change

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "titanium.rst"
STARS = (  # Teff, log g, [M/H], vmic
    (3600.0, 0.8, 0.0, 2.0),
    (3600.0, 4.7, 0.0, 1.0),
    (3800.0, 1.2, 0.0, 1.9),
    (3800.0, 4.7, -0.3, 1.0),
    (4000.0, 1.5, 0.0, 1.8),
    (4000.0, 4.6, 0.0, 1.0),
    (4200.0, 1.5, 0.2, 1.7),
)
MORE = (
    (3500.0, 0.5, -1.5, 1.8),
    (3500.0, 4.8, -1.8, 1.0),
    (3600.0, 1.0, -1.0, 1.8),
    (3600.0, 1.0, -0.5, 1.8),
    (3600.0, 4.7, -1.0, 1.0),
    (3800.0, 1.0, 0.4, 1.8),
    (3800.0, 4.7, -1.0, 1.0),
    (4000.0, 1.5, 0.4, 1.8),
    (4200.0, 4.6, 0.0, 1.0),
    (4300.0, 4.6, 0.4, 1.0),
    (4500.0, 4.6, 0.5, 1.0),
)


@dataclass(frozen=True)
class Oxide(Workspace):
    """A workspace with another list of TiO."""

    oxide: Path | None = None

    def molecule(self, name: str) -> Path:
        """The other list, or that of another molecule."""
        return self.oxide if name == "TiO" and self.oxide else super().molecule(name)


def stand_in(workspace, path) -> Path:
    """Write the list of TiO in which 47Ti16O and 49Ti16O stand in for 48Ti16O."""
    ...
