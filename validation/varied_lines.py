"""Spectra of real stars' labels with changed line lists, kept in files, and the groups of lines to change."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rvsemu.library.synthesis import Settings, Workspace, synthesize
from rvsemu.library.synthesis.structures import Structures
from rvsemu.physics.broadening import broaden
from rvsemu.physics.lines import CALCIUM_TRIPLET
from rvsemu.physics.wavelengths import vacuum_to_air

__all__ = ["CENTRES", "Atom", "Lines", "Runs", "groups", "hidden", "seen", "sets"]

SETTINGS = Settings(low=8448.0, high=8710.0)
CENTRES = SETTINGS.edges[:-1] + SETTINGS.bin_width / 2
RANGE = tuple(vacuum_to_air([8460.0, 8700.0]))
NEAR_CALCIUM = 2.0  # Angstrom: masked in fits, or not told from the core
SLOT = 0.35  # Angstrom between hidden lines
BESIDE = 0.15  # Angstrom: lines that can hardly be told from a stronger one
FAINTEST = -15.6  # by `expected`: with ten times the strength a few per mille of the continuum
TOGETHER = 0.5  # Angstrom: lines that the instrument does not separate
APART = 4.0  # Angstrom between lines that are changed in the same run
SHOULDER = 0.6  # Angstrom to either side of a line, between which and the centre its depth is measured
RIVALS, MUCH_WEAKER = 0.25, 0.7  # Angstrom, dex
SYMBOLS = (
    "- H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt "
    "Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U"
).split()
IONISATION = {  # eV
    **{6: 11.26, 7: 14.53, 8: 13.62, 11: 5.14, 12: 7.65, 13: 5.99, 14: 8.15, 16: 10.36, 19: 4.34, 20: 6.11, 21: 6.56},
    **{22: 6.83, 23: 6.75, 24: 6.77, 25: 7.43, 26: 7.90, 27: 7.88, 28: 7.64},
}
PER_EV = 8065.544  # cm-1


@dataclass(frozen=True)
class Atom:
    """A row of the list of atoms: wavelength (Angstrom, air), log gf, lower energy (eV)."""

    row: int
    wavelength: float
    element: int
    ion: int
    log_gf: float
    lower: float

    @property
    def species(self) -> str:
        """Such as 'Fe I'."""
        return f"{SYMBOLS[self.element]} {'I' * (self.ion + 1)}"


class Lines:
    """SYNSPEC's list of atoms, and the same with changes."""

    def __init__(self, path: Path):
        self.rows = path.read_text().splitlines()

    @cached_property
    def atoms(self) -> list[Atom]:
        """All rows."""
        words = (row.split() for row in self.rows)
        return [
            Atom(i, 10 * float(w[0]), *map(int, w[1].split(".")), float(w[2]), float(w[3]) / PER_EV)
            for i, w in enumerate(words)
        ]

    def strengthened(self, changes: dict[int, float]) -> str:
        """With log gf changed by so many dex, by row."""
        rows = list(self.rows)
        for i, dex in changes.items():
            log_gf = float(rows[i][18:26]) + dex
            rows[i] = f"{rows[i][:18]} {log_gf:7.3f}{rows[i][26:]}"
        return "\n".join(rows) + "\n"

    def damped(self, dex: float) -> str:
        """With the van der Waals widths that the list has changed by so many dex."""
        rows = []
        for row in self.rows:
            head, width, rest = row[:-9], float(row[-9:-2]), row[-2:]
            rows.append(f"{head}{width + dex * (width != 0):7.2f}{rest}")
        return "\n".join(rows) + "\n"


@dataclass(frozen=True)
class Variant(Workspace):
    """A workspace with other lists of lines, and abundances of its own."""

    atomic: Path | None = None
    cyanogen: Path | None = None
    abundances: tuple[tuple[int, float], ...] = ()

    def atoms(self, helium: bool = True) -> Path:
        """The changed list."""
        return self.atomic

    def molecule(self, name: str) -> Path:
        """The changed list of CN, or that of another molecule."""
        return self.cyanogen if name == "CN" and self.cyanogen else super().molecule(name)

    @cached_property
    def structures(self) -> Structures:
        """With the abundances changed by so many dex, by atomic number."""
        out = Structures.load(self.folder / "structures.npz")
        for z, dex in self.abundances:
            out.abundances[z - 1] *= 10**dex
        return out


class Runs:
    """Spectra by SYNSPEC, in bins of `SETTINGS`; each is a file of `folder`, and not computed again."""

    def __init__(self, folder: Path, workspace: Workspace, jobs: int = 1):
        self.folder, self.workspace, self.jobs = folder.resolve(), workspace, jobs
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, wanted: list[tuple]) -> np.ndarray:
        """Fluxes of (labels, text of the list of atoms), and abundances and log gf of CN changed by so many dex."""
        with ThreadPoolExecutor(self.jobs) as pool:
            return np.array(list(pool.map(lambda one: self._one(*one), wanted)))

    def _one(self, labels, atoms, abundances=(), cyanogen=0.0):
        what = (labels, atoms, abundances, cyanogen, SETTINGS, self.workspace.manifest["lines"])
        key = hashlib.sha256(repr(what).encode()).hexdigest()[:20]
        path = self.folder / f"{key}.npy"
        if not path.exists():
            atomic, molecules = self.folder / f"{key}.atoms", self.folder / f"{key}.cn"
            atomic.write_text(atoms)
            molecules.write_text(strengthened_molecules(self.workspace.molecule("CN"), cyanogen))
            lists = {"atomic": atomic, "cyanogen": molecules, "abundances": abundances}
            variant = Variant(self.workspace.folder, self.workspace.executable, **lists)
            np.save(self.folder / f"{key}.part.npy", synthesize(labels, SETTINGS, variant).flux)
            (self.folder / f"{key}.part.npy").replace(path)
            atomic.unlink()
            molecules.unlink()
        return np.load(path)


def strengthened_molecules(path: Path, dex: float) -> str:
    """A list of molecules with every log gf changed."""
    rows = (row.split() for row in path.read_text().splitlines())
    return "".join(f"{w[0]:>10} {w[1]:>7} {float(w[2]) + dex:7.3f} {w[3]:>10}\n" for w in rows)


def seen(flux: np.ndarray, vsini: float, resolution: float, wavelength: np.ndarray) -> np.ndarray:
    """Fluxes in bins (..., n) as the instrument sees them at the `wavelength` (Angstrom, air) of the star at rest."""
    return broaden(CENTRES, flux, vsini, resolution, out=wavelength, bin_width=SETTINGS.bin_width)[1]


def groups(lines: Lines, stars: list[dict], fluxes: np.ndarray, shallowest: float) -> list[list[Atom]]:
    """Lines deeper than `shallowest` in one of the stars, those next to each other together.

    Parameters
    ----------
    lines : Lines
    stars : list of dict
        teff, and ``structure`` and ``abundances`` of each star.
    fluxes : ndarray, shape (stars, bins)
    shallowest : float
        Of the continuum, without rotation and instrument.
    """
    inside, where, strength = _candidates(lines, stars)
    depth = np.max([[depth_at(flux, x) for x in where] for flux in fluxes], axis=0)
    out, last = [], -np.inf
    for i in np.flatnonzero(depth > shallowest):
        if strength[i] < strength[np.abs(where - where[i]) < RIVALS].max() - MUCH_WEAKER:
            continue
        if where[i] - last > TOGETHER:
            out.append([])
        out[-1].append(i)
        last = where[i]
    return [[inside[i] for i in sorted(group, key=lambda i: -strength[i])] for group in out]


def hidden(lines: Lines, stars: list[dict], known: list[list[Atom]]) -> list[list[Atom]]:
    """Lines that the synthetic spectra hardly show, the strongest of each interval, and none next to `known` ones."""
    inside, where, strength = _candidates(lines, stars)
    taken = np.array([a.wavelength for group in known for a in group])
    chosen: list[int] = []
    for i in np.argsort(-strength):
        beside = [where[k] for k in chosen]
        if strength[i] < FAINTEST:
            break
        if np.abs(taken - where[i]).min() > BESIDE and np.all(np.abs(np.array(beside) - where[i]) > SLOT):
            chosen.append(i)
    return [[inside[i]] for i in sorted(chosen)]


def _candidates(lines, stars):
    """Lines in the range of the spectra, away from calcium, their wavelengths, and their greatest strengths."""
    inside = [a for a in lines.atoms if RANGE[0] < a.wavelength < RANGE[1] and a.element > 2]
    inside = [a for a in inside if np.min(np.abs(a.wavelength - np.array(CALCIUM_TRIPLET))) > NEAR_CALCIUM]
    inside.sort(key=lambda a: a.wavelength)
    strength = np.max([[expected(a, star) for a in inside] for star in stars], axis=0)
    return inside, np.array([a.wavelength for a in inside]), strength


def expected(atom: Atom, star: dict) -> float:
    """log10 of the strength of a line where the temperature is 0.9 Teff, by Saha and Boltzmann with equal partition
    functions; good enough to say which line of a blend counts."""
    structure = star["structure"]
    layer = np.argmin(np.abs(structure.temperature - 0.9 * star["teff"]))
    theta, temperature = 5040 / structure.temperature[layer], structure.temperature[layer]
    ionised = 15.38 + 1.5 * math.log10(temperature) - theta * IONISATION.get(atom.element, 7.0)
    ratio = 10 ** (ionised + math.log10(2) - math.log10(structure.electrons[layer]))
    share = (ratio if atom.ion else 1.0) / (1 + ratio)
    return atom.log_gf - theta * atom.lower + math.log10(star["abundances"][atom.element - 1] * share)


def depth_at(flux: np.ndarray, wavelength: float) -> float:
    """How far a line reaches below the lower of its two shoulders."""
    near = flux[np.abs(CENTRES - wavelength) < 0.06].min()
    left = (wavelength - SHOULDER < CENTRES) & (wavelength > CENTRES)
    right = (wavelength + SHOULDER > CENTRES) & (wavelength < CENTRES)
    return min(flux[left].max(), flux[right].max()) - near


def sets(found: list[list[Atom]], apart: float = APART) -> list[list[int]]:
    """Numbers of groups that are changed together, as few sets as keep them `apart`."""
    out, ends = [], []
    for i, group in enumerate(found):
        low, high = (pick(a.wavelength for a in group) for pick in (min, max))
        free = [k for k, end in enumerate(ends) if low - end >= apart]
        if free:
            out[free[0]].append(i)
            ends[free[0]] = high
        else:
            out.append([i])
            ends.append(high)
    return out
