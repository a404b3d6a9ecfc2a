"""Do the lines of one element want another strength than labels give them? Score tests beside best fits.

One number for all metals, and hydrogen without emission: where a star has other lines of calcium or nitrogen, or weak
emission in Paschen or Ca II lines, the labels of hot stars follow these few lines, and the rest of the spectrum, which
has hardly any others, does not contradict by much. It does by these tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..physics.lines import CALCIUM_TRIPLET, NITROGEN, PASCHEN
from ..physics.wavelengths import convert_medium
from .flags import EMISSION, LINES_DISAGREE

__all__ = ["GROUPS", "Group", "disagreeing", "scores", "templates"]

_FAR = 4.0  # standard deviations
_HOT = 7000.0  # K: below, other lines cover those of hydrogen and nitrogen
_REACH, _STEP = 60.0, 0.1  # Angstrom beyond the first and last line, and between points
_LEAST = 1e-4  # part of the template that must be left when what labels and continuum may change is taken out


@dataclass(frozen=True)
class Group:
    """Lines that may be stronger or weaker together.

    Parameters
    ----------
    flag : str
    lines : tuple of float
        Angstrom, in air.
    width : float
        Of each line, Angstrom: the standard deviation of emission, or of the window on the slopes by [M/H].
    metals : bool
        Whether the lines change as by [M/H], instead of by emission.
    hot : bool
        Whether it is for hot stars only.
    filled : bool
        Whether only weaker lines count.
    """

    flag: str
    lines: tuple[float, ...]
    width: float
    metals: bool = False
    hot: bool = False
    filled: bool = False

    def profile(self, wavelength, medium) -> np.ndarray:
        """How much of the change is at each of some wavelengths (n,), at most 1."""
        lines = convert_medium(np.array(self.lines), "air", medium)
        return np.max(np.exp(-0.5 * ((wavelength - lines[:, None]) / self.width) ** 2), axis=0)


GROUPS = (
    *(Group(EMISSION, CALCIUM_TRIPLET, width, filled=True) for width in (1.5, 3.0)),
    Group(EMISSION, CALCIUM_TRIPLET, 6.0, hot=True, filled=True),
    *(Group(f"{LINES_DISAGREE}:hydrogen", PASCHEN, width, hot=True) for width in (1.5, 3.0)),
    Group(f"{LINES_DISAGREE}:nitrogen", NITROGEN, 1.5, hot=True),
    Group(f"{LINES_DISAGREE}:calcium", CALCIUM_TRIPLET, 10.0, metals=True, hot=True),
)
"""What is looked for."""


def templates(rest, by_metals, medium) -> np.ndarray:
    """What `GROUPS` change in spectra: (..., g, n) at wavelengths `rest` (..., n), with slopes `by_metals` (..., n)."""
    wavelength, profiles = _profiles(medium)
    changes = [np.interp(rest, wavelength, profile, left=0.0, right=0.0) for profile in profiles]
    return np.stack([c * by_metals if g.metals else c for c, g in zip(changes, GROUPS, strict=True)], axis=-2)


@lru_cache(maxsize=2)
def _profiles(medium) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths (n,) and profiles (g, n) of `GROUPS`, so closely that lines between them are as good."""
    lines = [line for group in GROUPS for line in group.lines]
    wavelength = np.arange(min(lines) - _REACH, max(lines) + _REACH, _STEP)
    return wavelength, np.array([group.profile(wavelength, medium) for group in GROUPS])


def scores(products: np.ndarray) -> np.ndarray:
    """By how many standard deviations there is more of what each of g `GROUPS` changes than labels want, (k, g).

    All that may change follows: it is the score test (Rao 1948, Proc. Camb. Phil. Soc. 44, 50). It is 0 where that
    could make up for all of the change, or no pixel of the lines was used.

    Parameters
    ----------
    products : ndarray, shape (k, r, r)
        ``x^T C^-1 y`` of all pairs of r rows: g templates, what else may change, and what a best fit leaves.
    """
    count = len(GROUPS)
    size = np.sqrt(np.maximum(np.diagonal(products, axis1=1, axis2=2), 1e-300))
    unit = products / size[:, :, None] / size[:, None, :]
    other = unit[:, count:-1, count:-1] + 1e-9 * np.eye(unit.shape[1] - count - 1)
    mixed = np.linalg.solve(other, unit[:, count:-1, :count])
    slope = unit[:, :count, -1] - np.einsum("kij,ki->kj", mixed, unit[:, count:-1, -1])
    left = 1.0 - np.einsum("kij,kij->kj", mixed, unit[:, count:-1, :count])
    return np.where(left > _LEAST, slope * size[:, -1:] / np.sqrt(np.maximum(left, _LEAST)), 0.0)


def disagreeing(far: np.ndarray, names: Sequence[str], labels: ArrayLike) -> list[list[str]]:
    """Flags of each of k spectra of these labels (k, n or more), from their `scores` (k, g)."""
    teff = np.asarray(labels)[:, list(names).index("teff")] if "teff" in names else np.zeros(len(far))
    out = []
    for one, temperature in zip(far, teff, strict=True):
        there = [g for g, z in zip(GROUPS, one, strict=True) if (z if g.filled else abs(z)) > _FAR]
        out.append(list(dict.fromkeys(g.flag for g in there if temperature > _HOT or not g.hot)))
    return out
