"""What a library is made of: the box of labels, how they are drawn, which lines, which bins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ...emulator.labels import UNITS
from ...emulator.regions import WIDE, Region
from ...emulator.stated_units import number, pair
from ...errors import SynthesisError, check_whole

if TYPE_CHECKING:
    from .structures import Structures

__all__ = ["BOXES", "Settings"]

_POSSIBLE = {
    "teff": (3500.0, 50000.0),
    "logg": (0.0, 5.0),
    "mh": (-2.5, 2.0),
    "alpha": (-1.0, 1.0),
    "vmic": (0.0, 20.0),
}
_LINES = (4200.0, 9200.0)  # Angstrom, air: of the Gaia-ESO list
_FEWEST_BINS = 16  # those that broadening needs
_WIDEST_BIN = 0.5  # Angstrom
_COOL = 8500.0  # K: where half of the lines of the sequence's cool part end
_POOR = -0.5  # [M/H] + [alpha/M] up to which a star counts as poor in the atoms of TiO


@dataclass(frozen=True)
class Settings:
    """Everything that decides which spectra a library holds, and what they look like.

    Parameters
    ----------
    teff, logg, mh, vmic : (float, float)
        The box: K, dex, dex, km/s; Quantities are converted, here and in wavelengths.
    alpha : (float, float), optional
        Range of [alpha/M], dex, a fifth label: of O, Ne, Mg, Si, S, Ar, Ca and Ti. None for a library without it, where
        it is 0.
    above_nodes : bool
        Whether logg begins at the lowest one that the structures have at each Teff, where that is above the box's.
    seed : int
        Of the scrambled Sobol sequence (Owen 1998; `scipy.stats.qmc.Sobol`).
    cool_fraction : float
        Share of the spectra whose Teff is drawn log-uniform below 8500 K; the others are uniform in Teff. Cool
        spectra are full of lines and need more of them.
    low, high : float
        Angstrom (air) kept; 1 A more at the low and 3 A more at the high end are computed and cut off, as the last
        half Angstrom of a SYNSPEC run is wrong. Within 4200 to 9200, where the list of atoms is complete.
    bin_width : float
        Angstrom over which each stored flux is a mean.
    cn_below, tio_below : float
        K. Stars below have lines of these molecules. The limits lie where the lines have faded to 1e-4 in the most
        metal-rich dwarfs, so that switching them off leaves no step.
    tio_below_poor : float
        K. The same of TiO where [M/H] + [alpha/M] is not above -0.5.
    weakest : float
        Lines with less than this fraction of the continuum's opacity at all standard depths are left out.
    sampling : float
        Wavelength points per full width of the narrowest profile (a thermal atom of mass 100 at the coolest layer,
        and `vmic`), besides one at the centre of each line.
    continuum_points : int
        Where SYNSPEC tabulates the continuum to select lines.
    helium : bool
        Whether the He I lines are in (see `rvsemu.library.synthesis.helium`).

    Examples
    --------
    >>> from rvsemu.library.synthesis import Settings
    >>> settings = Settings(teff=(5000, 6000), cool_fraction=0, helium=False)
    >>> settings.draws(4).shape, settings.names
    ((4, 4), ('teff', 'logg', 'mh', 'vmic'))
    >>> bool((settings.draws(4) == settings.draws(8)[:4]).all())               # a library can grow
    True
    """

    teff: tuple[float, float] = (3600.0, 15000.0)
    logg: tuple[float, float] = (2.0, 5.0)
    mh: tuple[float, float] = (-1.5, 1.5)
    vmic: tuple[float, float] = (0.0, 4.0)
    alpha: tuple[float, float] | None = None
    above_nodes: bool = False
    seed: int = 1
    cool_fraction: float = 0.4
    low: float = 8380.0
    high: float = 8818.0
    bin_width: float = 0.04
    cn_below: float = 8500.0
    tio_below: float = 6000.0
    tio_below_poor: float = 6000.0
    weakest: float = 1e-4
    sampling: float = 3.0
    continuum_points: int = 30
    helium: bool = True

    def __post_init__(self) -> None:
        self._make_plain()
        for name in self.names:
            (low, high), (lowest, highest) = getattr(self, name), _POSSIBLE[name]
            if not lowest <= low < high <= highest:
                raise SynthesisError(
                    f"{name}={low:g},{high:g}: give the lower and the upper end within {lowest:g} to {highest:g}."
                )
        if not 0 <= self.cool_fraction <= 1:
            raise SynthesisError(f"cool_fraction={self.cool_fraction:g}: give a number from 0 to 1.")
        if self.cool_fraction and not self.teff[0] < _COOL:
            raise SynthesisError(
                f"cool_fraction={self.cool_fraction:g} with no teff below {_COOL:g} K: give --cool-fraction 0."
            )
        if not _LINES[0] <= self.low < self.high <= _LINES[1]:
            raise SynthesisError(
                f"range {self.low:g},{self.high:g}: give the lower and the upper end, Angstrom in air, within "
                f"{_LINES[0]:g} to {_LINES[1]:g}, which the list of atoms covers."
            )
        if not 0 < self.bin_width <= _WIDEST_BIN:
            raise SynthesisError(f"bin_width={self.bin_width:g}: give Angstrom, above 0 and up to {_WIDEST_BIN:g}.")
        if (bins := len(self.edges) - 1) < _FEWEST_BINS:
            raise SynthesisError(
                f"range {self.low:g},{self.high:g} has {bins} bins of {self.bin_width:g} A: give a range of at least "
                f"{_FEWEST_BINS}, or narrower bins."
            )
        check_whole(SynthesisError, "seed", self.seed, 0, 2**32 - 1)

    def _make_plain(self) -> None:
        """Numbers instead of Quantities."""
        plain: dict[str, Any] = {x: pair(SynthesisError, x, getattr(self, x), UNITS[x]) for x in self.names}
        plain |= {x: number(SynthesisError, x, getattr(self, x), "Angstrom") for x in ("low", "high", "bin_width")}
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, Angstrom, air."""
        return self.low + self.bin_width * np.arange(round((self.high - self.low) / self.bin_width) + 1)

    @property
    def computed(self) -> tuple[float, float]:
        """What SYNSPEC computes, Angstrom, air."""
        return self.low - 1.0, self.high + 3.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels: teff, logg, mh, alpha if it has a range, vmic."""
        return tuple(name for name in _POSSIBLE if getattr(self, name) is not None)

    def region(self, structures: Structures) -> Region:
        """Where the draws are, and all labels between them that the structures allow."""
        low, high = self.teff
        nodes = structures.edge(low, high) if self.above_nodes else ()
        return Region({name: getattr(self, name) for name in self.names}, nodes)

    def draws(self, n: int, structures: Structures | None = None) -> np.ndarray:
        """The first `n` labels of the sequence, shape (n, n_labels) in the order of `names`.

        A longer sequence begins with the shorter one, so a library can grow. `structures` are needed for `above_nodes`.
        """
        from scipy.stats import qmc

        power = int(np.ceil(np.log2(max(n, 2))))
        unit = qmc.Sobol(len(self.names), seed=self.seed).random_base2(power)[:n]
        teff = self._teff(unit[:, 0])
        low, high = (np.tile([getattr(self, name)[end] for name in self.names[1:]], (n, 1)) for end in (0, 1))
        if self.above_nodes:
            if structures is None:
                raise SynthesisError("above_nodes=True: draws need the structures; give those of the workspace.")
            low[:, 0] = np.maximum(low[:, 0], [structures.lowest(t) for t in teff])
        return np.column_stack([teff, low + unit[:, 1:] * (high - low)])

    def _teff(self, u: np.ndarray) -> np.ndarray:
        low, high = self.teff
        even = 1.0 - self.cool_fraction
        cool = np.clip((u - even) / max(self.cool_fraction, 1e-12), 0, 1)
        uniform = low + (high - low) * np.clip(u / max(even, 1e-12), 0, 1)
        return np.where(u < even, uniform, low * (min(_COOL, high) / low) ** cool)

    def molecules(self, teff: float, mh: float = 0.0, alpha: float = 0.0) -> tuple[str, ...]:
        """Names of the molecular line lists for a star of these labels."""
        limits = {"CN": self.cn_below, "TiO": self.tio_below if mh + alpha > _POOR else self.tio_below_poor}
        return tuple(name for name, limit in limits.items() if teff < limit)

    def checked(self, labels: Sequence[float] | np.ndarray) -> dict[str, float]:
        """Labels of one star, in the order of `names`, by name, if spectra can be computed there.

        Raises
        ------
        SynthesisError
            There are more or fewer, or one is not finite or outside what structures and line lists are for.
        """
        values = np.asarray(labels, dtype=float)
        if values.shape != (len(self.names),):
            raise SynthesisError(f"labels have the shape {values.shape}: give {', '.join(self.names)}.")
        for name, value in zip(self.names, values.tolist(), strict=True):
            low, high = _POSSIBLE[name]
            if not low <= value <= high:
                raise SynthesisError(f"{name}={value:g}: give a value within {low:g} to {high:g}.")
        return dict(zip(self.names, values.tolist(), strict=True))

    def to_json(self) -> str:
        """As text, for a library's provenance."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """From what `to_json` wrote."""
        values = json.loads(text)
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise SynthesisError(f"unknown settings {', '.join(sorted(unknown))}: made by a newer rvsemu; update it.")
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**given)

    def differences(self, other: Settings) -> str:
        """What differs, in words; empty if nothing does."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return ", ".join(f"{name} {theirs} instead of {ours}" for name, ours, theirs in pairs if ours != theirs)


BOXES = {
    "paper": Settings(),
    "wide": Settings(
        teff=WIDE.limits["teff"],
        logg=WIDE.limits["logg"],
        mh=WIDE.limits["mh"],
        vmic=WIDE.limits["vmic"],
        alpha=WIDE.limits["alpha"],
        above_nodes=True,
        seed=20261126,
        cool_fraction=0.7,
        tio_below_poor=4800.0,
    ),
}
"""Settings by the name of their box: that of Gebran (2024), Table 1; one with giants, metal-poor, alpha-rich stars."""
