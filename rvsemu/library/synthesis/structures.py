"""Model atmospheres: the ATLAS9 ODFNEW grid of Castelli & Kurucz (2003), interpolated."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..._storage import arrays_of, replacing
from ...emulator.regions import bends
from ...errors import SynthesisError

__all__ = ["Structure", "Structures", "read_grid"]

_METALS = {"m25": -2.5, "m20": -2.0, "m15": -1.5, "m10": -1.0, "m05": -0.5, "p00": 0.0, "p05": 0.5}
_FILES = {  # vturb 2 km/s, solar ratios and enhanced: file name in the index -> [M/H], [alpha/M]
    f"a{text}{kind}k2odfnew.dat": (mh, alpha) for text, mh in _METALS.items() for kind, alpha in (("", 0.0), ("a", 0.4))
}
_ALPHA = (8, 10, 12, 14, 16, 18, 20, 22)
"""Atomic numbers of the elements that the grids count as alpha: O, Ne, Mg, Si, S, Ar, Ca, Ti."""
_MISSING = 1e-20  # abundance of an element that the grid leaves out


@dataclass(frozen=True)
class Structure:
    """One atmosphere, one value per layer from the top: column mass (g/cm2), temperature (K), gas pressure (dyn/cm2),
    electron density (1/cm3)."""

    column_mass: np.ndarray
    temperature: np.ndarray
    pressure: np.ndarray
    electrons: np.ndarray


class Structures:
    """The grid of structures.

    Parameters
    ----------
    nodes : dict
        (teff, logg, mh, alpha) -> ndarray, shape (4, layers): the fields of `Structure`.
    abundances : ndarray, shape (99,)
        Number of atoms per hydrogen atom, by atomic number, solar: Grevesse & Sauval (1998, Space Sci. Rev. 85,
        161), as in the headers of the structures.
    """

    def __init__(self, nodes: dict[tuple[float, float, float, float], np.ndarray], abundances: np.ndarray) -> None:
        self.abundances = abundances
        self._nodes = nodes
        self._alpha = np.array(sorted({k[3] for k in nodes}))
        self._teff = np.array(sorted({k[0] for k in nodes}))
        self._mh = np.array(sorted({k[2] for k in nodes}))
        self._logg = {t: np.array(sorted({k[1] for k in nodes if k[0] == t})) for t in self._teff}

    @property
    def labels(self) -> list[tuple[float, float, float, float]]:
        """(teff, logg, mh, alpha) of the nodes."""
        return list(self._nodes)

    @classmethod
    def load(cls, path: str | Path) -> Structures:
        """Read what `save` wrote."""
        file = arrays_of(Path(path), SynthesisError, "delete its folder and run 'rvsemu synthesize setup' again")
        keys = [tuple(k) for k in file["keys"].tolist()]
        return cls(dict(zip(keys, file["nodes"], strict=True)), file["abundances"])

    def save(self, path: str | Path) -> None:
        """Write to one NumPy archive."""
        keys, nodes = np.array(list(self._nodes)), np.array(list(self._nodes.values()))
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, keys=keys, nodes=nodes, abundances=self.abundances)

    def at(self, teff: float, logg: float, mh: float, alpha: float = 0.0) -> Structure:
        """The structure at any labels, linear in each between the nodes, in the logarithm of each quantity, layer
        by layer. Outside the grid it is the one at the nearest edge (see `extrapolated`)."""
        total = 0.0
        for t, a in _neighbours(self._teff, teff):
            for g, b in _neighbours(self._logg[t], logg):
                for m, c in _neighbours(self._mh, mh):
                    for f, d in _neighbours(self._alpha, alpha):
                        if a * b * c * d:
                            total = total + a * b * c * d * np.log10(self._nodes[t, g, m, f])
        return Structure(*10.0**total)

    def lowest(self, teff: float) -> float:
        """The lowest logg that both neighbouring nodes of `teff` have."""
        return float(max(self._logg[t][0] for t, weight in _neighbours(self._teff, teff) if weight))

    def edge(self, low: float, high: float) -> tuple[tuple[float, float], ...]:
        """Nodes (teff, logg) of a broken line that is nowhere below `lowest`, over this range of Teff."""
        highest = [max(self._logg[t][0] for t in self._teff[max(i - 1, 0) : i + 2]) for i in range(len(self._teff))]
        first, last = np.searchsorted(self._teff, low, "right") - 1, np.searchsorted(self._teff, high) + 1
        return bends(self._teff[max(first, 0) : last], np.array(highest[max(first, 0) : last]))

    def extrapolated(self, teff: float, logg: float, mh: float, alpha: float = 0.0) -> bool:
        """Whether the labels are outside the nodes: logg below the lowest or above the highest of both neighbouring
        nodes of `teff`, or another label beyond the last."""
        others = (self._teff, teff), (self._mh, mh), (self._alpha, alpha)
        beyond = any(not nodes[0] <= x <= nodes[-1] for nodes, x in others)
        highest = min(self._logg[t][-1] for t, weight in _neighbours(self._teff, teff) if weight)
        return bool(beyond or not self.lowest(teff) <= logg <= highest)

    def composition(self, mh: float, alpha: float = 0.0) -> np.ndarray:
        """Atoms per hydrogen atom: solar, everything beyond helium times 10^[M/H], and alpha elements 10^[alpha/M]."""
        abundances = self.abundances.copy()
        abundances[2:] *= 10.0**mh
        abundances[np.array(_ALPHA) - 1] *= 10.0**alpha
        return abundances


def _neighbours(nodes: np.ndarray, x: float) -> tuple[tuple[float, float], ...]:
    """The two nodes around `x` with their weights; the last two beyond an edge, with weights 0 and 1."""
    if len(nodes) == 1:
        return ((float(nodes[0]), 1.0),)
    x = np.clip(x, nodes[0], nodes[-1])
    i = int(np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2))
    fraction = float((x - nodes[i]) / (nodes[i + 1] - nodes[i]))
    return (float(nodes[i]), 1.0 - fraction), (float(nodes[i + 1]), fraction)


def read_grid(data: str | Path, index: str | Path) -> Structures:
    """Read the structures from roland's two files: text in Kurucz's format, and the table of what is where."""
    from astropy.table import Table

    nodes: dict[tuple[float, float, float, float], np.ndarray] = {}
    abundances: np.ndarray | None = None
    with gzip.open(data, "rt") as file:
        for row in Table.read(index):
            lines = [file.readline() for _ in range(int(row["nlines"]))]
            name = str(row["filename"]).strip()
            if name not in _FILES:
                continue
            mh, alpha = _FILES[name]
            nodes[float(row["teff"]), float(row["logg"]), mh, alpha] = _layers(lines)
            if mh == alpha == 0.0 and abundances is None:
                abundances = _abundances(lines)
    if abundances is None:
        raise SynthesisError(f"{data} has no structures of solar composition: download it again.")
    return Structures(nodes, abundances)


def _layers(lines: Sequence[str]) -> np.ndarray:
    """RHOX, T, P, XNE, in their fixed widths: columns may touch."""
    heads = ((i, re.match(r"READ DECK6\s*(\d+)", line)) for i, line in enumerate(lines))
    start, n = next((i, int(head[1])) for i, head in heads if head)
    rows = [(line[:15], line[15:24], line[24:34], line[34:44]) for line in lines[start + 1 : start + 1 + n]]
    return np.array(rows, dtype=float).T


def _abundances(lines: Sequence[str]) -> np.ndarray:
    """Numbers relative to hydrogen from the header: fractions for H and He, logarithms of them beyond."""
    found: dict[int, float] = {}
    for line in lines:
        if "ABUNDANCE CHANGE" in line:
            pairs = re.findall(r"(\d+)\s+(-?\d+\.\d+)", line.split("CHANGE", 1)[1])
            found |= {int(z): float(value) for z, value in pairs}
    out = np.full(99, _MISSING)
    for z, value in found.items():
        out[z - 1] = max((value if z <= 2 else 10.0**value) / found[1], _MISSING)
    return out
