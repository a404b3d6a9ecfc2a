"""Do the lines of one element want another strength than labels give them? Score tests beside the best fits.

One number for all metals, and hydrogen without emission: where a star has other lines of calcium or nitrogen, or weak
emission in Paschen or Ca II lines, the labels of hot stars follow these few lines, and the rest of the spectrum, which
has hardly any others, does not contradict by much. It does by these tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..observing.flags import EMISSION, LINES_DISAGREE
from ..physics.lines import CALCIUM_TRIPLET, NITROGEN, PASCHEN
from ..physics.wavelengths import convert_medium, doppler

__all__ = ["GROUPS", "Group", "disagreements", "line_groups"]

_FAR = 4.0  # standard deviations
_HOT = 7000.0  # K: below, other lines cover those of hydrogen and nitrogen
_LEAST = 1e-4  # part of the template that must be left when what labels and continuum may change is taken out


@dataclass(frozen=True)
class Group:
    """Lines that may be stronger or weaker together.

    Parameters
    ----------
    name : str
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

    name: str
    flag: str
    lines: tuple[float, ...]
    width: float
    metals: bool = False
    hot: bool = False
    filled: bool = False

    def template(self, rest, slope, medium) -> np.ndarray:
        """Change of spectra (k, n) at the wavelengths `rest` (k, n), whose slopes by [M/H] are `slope` (k, n)."""
        out = np.zeros(rest.shape)
        for line in convert_medium(np.array(self.lines), "air", medium):
            out = np.maximum(out, np.exp(-0.5 * ((rest - line) / self.width) ** 2))
        return out * slope if self.metals else out


GROUPS = (
    *(Group("emission", EMISSION, CALCIUM_TRIPLET, width, filled=True) for width in (1.5, 3.0)),
    Group("emission", EMISSION, CALCIUM_TRIPLET, 6.0, hot=True, filled=True),
    *(Group("hydrogen", f"{LINES_DISAGREE}:hydrogen", PASCHEN, width, hot=True) for width in (1.5, 3.0)),
    Group("nitrogen", f"{LINES_DISAGREE}:nitrogen", NITROGEN, 1.5, hot=True),
    Group("calcium", f"{LINES_DISAGREE}:calcium", CALCIUM_TRIPLET, 10.0, metals=True, hot=True),
)
"""What is looked for."""


def line_groups(problem, found) -> list[list[str]]:
    """Flags of each of k spectra for groups of lines that want another strength.

    Parameters
    ----------
    problem : Problem
    found
        The best minima of the spectra, with `theta` (k, n_parameters), `residual` (k, n) and `weighted`.
    """
    far, names, out = disagreements(problem, found), problem.parameters.space.names, []
    hot = found.theta[:, names.index("teff")] > _HOT if "teff" in names else np.zeros(len(far), dtype=bool)
    for one, is_hot in zip(far, hot, strict=True):
        there = [g.flag for g, z in zip(GROUPS, one, strict=True) if (z if g.filled else abs(z)) > _FAR]
        cool = {g.flag for g in GROUPS if g.hot and not is_hot}
        out.append([flag for flag in dict.fromkeys(there) if flag not in cool])
    return out


def disagreements(problem, found) -> np.ndarray:
    """By how many standard deviations lines of each of g `GROUPS` are weaker than the labels want, (k, g).

    All free labels, the velocity and the continuum follow: it is the score test (Rao 1948, Proc. Camb. Phil. Soc. 44,
    50), as that of `rvsemu.fitting.held.tension`, with the errors of noise, emulator and models, on the pixels of the
    fit. It is 0 where labels could make up for all of the change, or no pixel of the lines was used.
    """
    stack, parameters, weighted = problem.stack, problem.parameters, found.weighted
    free = parameters.free[parameters.free <= parameters.velocity]
    metals = [i for i, name in enumerate(parameters.space.names) if name == "mh"]
    columns = np.union1d(free, metals).astype(int)
    flux, slopes = stack.model.jacobian(found.theta, columns)
    by_metals = slopes[:, np.searchsorted(columns, metals)].sum(axis=1)  # 0 of an emulator without [M/H]
    rest = doppler(stack.wavelength, -found.theta[:, [parameters.velocity]])
    templates = np.stack([group.template(rest, by_metals, stack.model.emulator.medium) for group in GROUPS], axis=1)
    other = slopes[:, np.searchsorted(columns, free)], stack.basis * flux[:, None], found.residual[:, None]
    used = weighted.used & np.isfinite(found.residual)
    rows = np.where(used[:, None], np.concatenate([templates, *other], axis=1) * weighted.level[:, None], 0.0)
    return _scores(weighted.covariance.solve_pairs(rows), len(GROUPS))


def _scores(products, count) -> np.ndarray:
    """Scores (k, count) from products (k, r, r) of the templates, what else may change, and the residual, weighted."""
    size = np.sqrt(np.maximum(np.diagonal(products, axis1=1, axis2=2), 1e-300))
    unit = products / size[:, :, None] / size[:, None, :]
    other = unit[:, count:-1, count:-1] + 1e-9 * np.eye(unit.shape[1] - count - 1)
    mixed = np.linalg.solve(other, unit[:, count:-1, :count])
    slope = unit[:, :count, -1] - np.einsum("kij,ki->kj", mixed, unit[:, count:-1, -1])
    left = 1.0 - np.einsum("kij,kij->kj", mixed, unit[:, count:-1, :count])
    return np.where(left > _LEAST, slope * size[:, -1:] / np.sqrt(np.maximum(left, _LEAST)), 0.0)
