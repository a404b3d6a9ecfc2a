"""Lines of 48Ti16O, which the list of TiO lacks, from those of its four lighter and heavier isotopologues.

Three quarters of titanium are 48Ti, but linemake's list has 46Ti16O, 47Ti16O, 49Ti16O and 50Ti16O alone. The energy of
a level, and so the wavenumber of a line, is nearly linear in the square root of the reciprocal reduced mass: the same
transition is found in all four, and lies on a straight line, on which 48Ti16O is interpolated. From 47Ti16O to
49Ti16O, lines between 8380 and 8820 Angstrom move by up to 19.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["FARTHEST", "ISOTOPES_OF_TITANIUM", "MISSING", "titanium_oxide"]

ISOTOPES_OF_TITANIUM = {46: 0.0825, 47: 0.0744, 48: 0.7372, 49: 0.0541, 50: 0.0518}
"""Terrestrial fractions (Berglund & Wieser 2011, Pure Appl. Chem. 83, 397)."""

FARTHEST = 22.0
"""Angstrom: by how much the lines of neighbouring isotopologues are apart at most, in the near infrared."""
_MASSES = {46: 45.952628, 47: 46.951759, 48: 47.947942, 49: 48.947866, 50: 49.944787}  # u (Wang et al. 2021, AME2020)
_OXYGEN = 15.994915
MISSING = 48
"""The isotope of titanium that the list of TiO lacks."""
_BELOW, _ABOVE = 47, 49
_WIDEST = 30.0, 0.014, 0.03  # cm-1, eV, dex: by how much a line of the neighbours differs at most
_SCATTER = 0.02, 0.0012, 0.01  # the same, of a line of the others from where these two put it
_DOUBTFUL = 8.0  # sum of the squares of deviations in units of that


def titanium_oxide(lines: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Lines of all isotopologues, with gf times the fraction of each isotope.

    Parameters
    ----------
    lines : mapping of int to ndarray, shape (n, 3)
        By mass number of titanium, 48 missing: wavelength (Angstrom), log gf, lower energy (eV), to 0.001 each.

    Returns
    -------
    dict of int to ndarray, shape (n, 3)
        A line whose counterparts are not found keeps half of the fraction of 48Ti, if it is of a neighbour's.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.library.synthesis.titanium import titanium_oxide
    >>> places = {46: 8463.469, 47: 8465.450, 49: 8469.185, 50: 8470.946}
    >>> titanium_oxide({mass: np.array([[place, -0.5, 1.0]]) for mass, place in places.items()})[48].round(2).tolist()
    [[8467.35, -0.63, 1.0]]
    """
    found, matched = _between(lines)
    out = {MISSING: found}
    out |= {mass: np.array(rows, dtype=float) for mass, rows in lines.items()}
    share = {mass: np.full(len(rows), ISOTOPES_OF_TITANIUM[mass]) for mass, rows in out.items()}
    for mass, rows in matched.items():
        share[mass][~rows] += ISOTOPES_OF_TITANIUM[MISSING] / 2
    for mass, rows in out.items():
        rows[:, 1] += np.log10(share[mass])
    return out


def _between(lines):
    """Lines of 48Ti16O (k, 3), and which lines of its neighbours have a counterpart, by mass number."""
    matched = {mass: np.zeros(len(lines[mass]), dtype=bool) for mass in (_BELOW, _ABOVE)}
    transitions = []
    for at, rows in _candidates(lines):
        if not (matched[_BELOW][at[_BELOW]] or matched[_ABOVE][at[_ABOVE]]):
            matched[_BELOW][at[_BELOW]] = matched[_ABOVE][at[_ABOVE]] = True
            transitions.append(rows)
    if not transitions:
        return np.empty((0, 3)), matched
    masses = sorted(lines)
    line = np.stack([np.ones(len(masses)), [_place(mass) for mass in masses]], axis=1)
    wavenumber, energy, gf = np.einsum("m,kmi->ik", np.linalg.pinv(line)[0], np.array(transitions))
    return np.stack([1e8 / wavenumber, gf, energy], axis=1), matched


def _candidates(lines):
    """What may be a transition, the likeliest first: rows in `lines` by mass number, and what is there (4, 3).

    A row has wavenumber (cm-1), lower energy (eV) and log gf.
    """
    levels = {mass: np.stack([1e8 / rows[:, 0], rows[:, 2], rows[:, 1]], axis=1) for mass, rows in lines.items()}
    if not all(map(len, levels.values())):
        return
    near = [cKDTree(levels[mass] / _WIDEST) for mass in (_BELOW, _ABOVE)]
    pairs = near[0].sparse_distance_matrix(near[1], 1.0, p=np.inf, output_type="coo_matrix")
    at = {_BELOW: pairs.row, _ABOVE: pairs.col}
    below, above = (levels[mass][rows] for mass, rows in at.items())
    slope = (above - below) * [1, 1, 0] / (_place(_ABOVE) - _place(_BELOW))
    score = ((above - below)[:, 2] / _SCATTER[2]) ** 2
    for mass in lines.keys() - at.keys():
        expected = below + slope * (_place(mass) - _place(_BELOW))
        distance, at[mass] = cKDTree(levels[mass] / _SCATTER).query(expected / _SCATTER)
        score += distance**2
    for i in np.argsort(score, kind="stable")[: np.sum(score < _DOUBTFUL)]:
        rows = {mass: int(found[i]) for mass, found in at.items()}
        yield rows, [levels[mass][rows[mass]] for mass in sorted(rows)]


def _place(mass: int) -> float:
    """What wavenumbers are linear in, less that of 48Ti16O."""
    reduced = {m: _MASSES[m] * _OXYGEN / (_MASSES[m] + _OXYGEN) for m in (mass, MISSING)}
    return float(np.sqrt(reduced[MISSING] / reduced[mass])) - 1.0
