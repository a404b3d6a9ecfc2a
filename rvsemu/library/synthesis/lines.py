"""Line lists in SYNSPEC's format: Gaia-ESO atoms and He I; CN and TiO.

Atoms have eleven columns: wavelength (nm, air), element.ion, log gf, lower energy (cm-1) and J, upper energy and J,
log10 of the radiative, Stark and van der Waals widths (the latter two per perturber, van der Waals at 10^4 K; 0 is
the classical value), 0. Molecules have four: wavelength, code, log gf, lower energy; with seven, SYNSPEC reads the
last three as linear widths. SYNSPEC divides their populations by the partition functions of ExoMol, which count the
states of nuclear spin; the gf have to do so, too.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import constants

from ..._storage import replacing
from ...errors import SynthesisError
from ...physics.wavelengths import air_to_vacuum
from .helium import helium_lines
from .titanium import FARTHEST, ISOTOPES_OF_TITANIUM, MISSING, titanium_oxide

__all__ = ["abo_width", "write_atoms", "write_molecules"]

_PER_EV = 8065.544  # cm-1
_BLOCK = re.compile(r"'\s*(\d+)\.(\d+)\s*'\s+(\d+)\s+(\d+)")  # 'element.isotope' ion
_BOHR = constants.value("Bohr radius") * 100
_MASS_UNIT = constants.atomic_mass * 1000

CARBON13, NITROGEN15 = 0.0108, 0.0037
"""Terrestrial fractions: the list of CN has isotopologues with unscaled gf."""

NITROGEN_SPINS = 3
"""States of the spin of 14N. The partition function of CN that SYNSPEC takes from ExoMol is three times that of
astronomers' tables (11111 at 3000 K; Sauval & Tatum 1984, ApJS 56, 193, have 3700), for which the list's gf are. 48Ti
and 16O have no spin."""

ISOTOPES = {
    3: {6: 0.0759, 7: 0.9241},
    29: {63: 0.6915, 65: 0.3085},
    56: {130: 0.00106, 132: 0.00101, 134: 0.02417, 135: 0.06592, 136: 0.07854, 137: 0.11232, 138: 0.71698},
    57: {138: 0.0009, 139: 0.9991},
    59: {141: 1.0},
    60: {142: 0.27152, 143: 0.12174, 144: 0.23798, 145: 0.08293, 146: 0.17189, 148: 0.05756, 150: 0.05638},
    62: {144: 0.0307, 147: 0.1499, 148: 0.1124, 149: 0.1382, 150: 0.0738, 152: 0.2675, 154: 0.2275},
    63: {151: 0.4781, 153: 0.5219},
}
"""Terrestrial fractions by atomic number and mass number (Berglund & Wieser 2011, Pure Appl. Chem. 83, 397), of the
elements whose isotopes the Gaia-ESO list has apart: each with the gf of the whole element."""


def write_atoms(gaia_eso: str | Path, path: str | Path, low: float, high: float, helium: bool = True) -> int:
    """Write the atomic list between `low` and `high` (Angstrom, air) from the Gaia-ESO list in Turbospectrum's
    format, with the He I lines of `rvsemu.library.synthesis.helium`; returns the number of lines."""
    rows = [*_gaia_eso(gaia_eso, low, high), *(_helium(low, high) if helium else ())]
    return _write(sorted(rows), path)


def write_molecules(kind: str, moog: str | Path, path: str | Path, low: float, high: float) -> int:
    """Write ``kind`` = 'CN' or 'TiO' from MOOG's list (gzip); returns the number of lines."""
    code, lines = {"CN": ("607.00", _carbon_nitrogen), "TiO": ("822.00", _titanium_oxide)}[kind]
    rows = [
        (wavelength, f"{wavelength / 10:10.4f} {code:>7} {gf:7.3f} {lower * _PER_EV:10.3f}")
        for wavelength, gf, lower in lines(moog, low, high)
        if low < wavelength < high
    ]
    return _write(sorted(rows), path)


def abo_width(sigma: float, alpha: float, atomic_number: int) -> float:
    """log10 of the width (rad/s per hydrogen atom per cm3, full width at half maximum) at 10^4 K.

    Anstee & O'Mara (1995, MNRAS 276, 859), eq. 1: cross-section `sigma` (Bohr radii squared) at 10 km/s, growing
    with velocity to the power -`alpha`. The reduced mass takes the atom's mass as 2.2 Z; the width depends on its
    error by less than 0.1 %.
    """
    mass = 1.008 * 2.2 * atomic_number / (1.008 + 2.2 * atomic_number) * _MASS_UNIT
    mean_speed = math.sqrt(8 * constants.k * 1e7 * 1e4 / (math.pi * mass))
    reference = 1e6  # cm/s
    half = (4 / math.pi) ** (alpha / 2) * math.gamma(2 - alpha / 2) * mean_speed * sigma * _BOHR**2
    return math.log10(2 * half * (mean_speed / reference) ** -alpha)


def _gaia_eso(path, low, high):
    """Blocks begin with a quoted species and ion; the damping column is log gamma (negative), ABO's sigma + alpha
    (above 20) or a factor on Unsoeld's formula, for which the classical value is left to SYNSPEC."""
    element, ion, share = 0, 0, 0.0
    with open(path) as file:
        for line in file:
            if line.startswith("'"):
                if found := _BLOCK.match(line):
                    element, ion, share = int(found[1]), int(found[3]) - 1, _isotope(int(found[1]), int(found[2]))
                continue
            words = line.split()
            wavelength = float(words[0])
            if low < wavelength < high:
                lower, gf, damping, upper_weight, radiative = (float(w) for w in words[1:6])
                waals = damping if damping < 0 else 0.0
                if damping > 20:
                    waals = abo_width(int(damping), damping - int(damping), element)
                radiative = math.log10(radiative) if radiative > 1 else 0.0
                upper_j = (upper_weight - 1) / 2
                energies = lower * _PER_EV, lower * _PER_EV + 1e8 / float(air_to_vacuum(wavelength))
                gf += math.log10(share)
                yield _atom(wavelength, element, ion, gf, energies, (0.0, upper_j), (radiative, 0.0, waals))


def _isotope(element, mass) -> float:
    """What share of an element its isotope of mass number `mass` is; 0 stands for all of them together."""
    if mass == 0:
        return 1.0
    try:
        return ISOTOPES[element][mass]
    except KeyError:
        raise SynthesisError(
            f"the Gaia-ESO list has lines of the isotope {mass} of the element {element}, whose share is not known: "
            "add it to rvsemu.library.synthesis.lines.ISOTOPES."
        ) from None


def _helium(low, high):
    for line in helium_lines(low, high):
        weights = (line.lower_weight - 1) / 2, (line.upper_weight - 1) / 2
        energies = line.lower, line.upper
        yield _atom(line.wavelength, 2, 0, line.log_gf, energies, weights, (0.0, line.log_stark, 0.0))


def _atom(wavelength, element, ion, gf, energies, js, widths):
    """(wavelength, row): the lower J is not known to the Gaia-ESO list, nor used by SYNSPEC."""
    text = f"{wavelength / 10:11.5f} {f'{element}.{ion:02d}':>6} {gf:7.3f}"
    text += "".join(f" {e:11.3f} {j:4.1f}" for e, j in zip(energies, js, strict=True))
    return wavelength, text + "".join(f" {w:6.2f}" for w in widths) + " 0"


def _carbon_nitrogen(moog, low, high) -> Iterator[tuple[float, float, float]]:
    """Wavelength (Angstrom), log gf and lower energy (eV) of each line."""
    for isotopes, wavelength, gf, lower in _moog(moog, low, high):
        share = (CARBON13 if "13" in isotopes else 1.0) * (NITROGEN15 if isotopes.endswith("15") else 1.0)
        yield wavelength, gf + math.log10(NITROGEN_SPINS * share), lower


def _titanium_oxide(moog, low, high) -> Iterator[tuple[float, float, float]]:
    """The same; lines of the isotopologue that the list lacks depend on some beyond the range, too."""
    lines: dict[int, list] = {mass: [] for mass in ISOTOPES_OF_TITANIUM if mass != MISSING}
    for isotopes, *line in _moog(moog, low - FARTHEST, high + FARTHEST):
        lines[int(isotopes[-2:])].append(line)
    for rows in titanium_oxide({mass: np.reshape(rows, (-1, 3)) for mass, rows in lines.items()}).values():
        yield from map(tuple, rows.tolist())


def _moog(path, low, high) -> Iterator[tuple[str, float, float, float]]:
    """Isotopes, wavelength (Angstrom), log gf and lower energy (eV) of each line between `low` and `high`."""
    with gzip.open(path, "rt") as file:
        for line in file:
            words = line.split()
            if len(words) >= 4 and _number(words[0]) and low < float(words[0]) < high:
                yield words[1].partition(".")[2], float(words[0]), float(words[3]), float(words[2])


def _number(text) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _write(rows, path) -> int:
    with replacing(path) as temporary:
        temporary.write_text("".join(text + "\n" for _, text in rows))
    return len(rows)
