"""What a library is made of: the box of labels, how they are drawn, which lines, which bins."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

import numpy as np

from ...errors import SynthesisError

__all__ = ["NAMES", "Settings"]

NAMES = ("teff", "logg", "mh", "vmic")

_POSSIBLE = {"teff": (3500.0, 50000.0), "logg": (0.0, 5.0), "mh": (-2.5, 2.0), "vmic": (0.0, 20.0)}
_COOL = 8500.0  # K: where half of the lines of the sequence's cool part end


@dataclass(frozen=True)
class Settings:
    """Everything that decides which spectra a library holds, and what they look like.

    Parameters
    ----------
    teff, logg, mh, vmic : (float, float)
        The box: K, dex, dex, km/s.
    seed : int
        Of the scrambled Sobol sequence (Owen 1998; `scipy.stats.qmc.Sobol`).
    cool_fraction : float
        Share of the spectra whose Teff is drawn log-uniform below 8500 K; the others are uniform in Teff. Cool
        spectra are full of lines and need more of them.
    low, high : float
        Angstrom (air) kept; 1 A more at the low and 3 A more at the high end are computed and cut off, as the last
        half Angstrom of a SYNSPEC run is wrong.
    bin_width : float
        Angstrom over which each stored flux is a mean.
    cn_below, tio_below : float
        K. Stars below have lines of these molecules. The limits lie where the lines have faded to 1e-4 in the most
        metal-rich dwarfs, so that switching them off leaves no step.
    weakest : float
        Lines with less than this fraction of the continuum's opacity at all standard depths are left out.
    sampling : float
        Wavelength points per full width of the narrowest profile (a thermal atom of mass 100 at the coolest layer,
        and `vmic`), besides one at the centre of each line.
    continuum_points : int
        Where SYNSPEC tabulates the continuum to select lines.
    helium : bool
        Whether the He I lines are in (see `rvsemu.library.synthesis.helium`).
    """

    teff: tuple[float, float] = (3600.0, 15000.0)
    logg: tuple[float, float] = (2.0, 5.0)
    mh: tuple[float, float] = (-1.5, 1.5)
    vmic: tuple[float, float] = (0.0, 4.0)
    seed: int = 1
    cool_fraction: float = 0.4
    low: float = 8380.0
    high: float = 8818.0
    bin_width: float = 0.04
    cn_below: float = 8500.0
    tio_below: float = 6000.0
    weakest: float = 1e-4
    sampling: float = 3.0
    continuum_points: int = 30
    helium: bool = True

    def __post_init__(self):
        for name, (lowest, highest) in _POSSIBLE.items():
            low, high = getattr(self, name)
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
        if not 0 <= self.seed < 2**32:
            raise SynthesisError(f"seed={self.seed}: give a whole number from 0 to 4294967295.")

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, Angstrom, air."""
        return self.low + self.bin_width * np.arange(round((self.high - self.low) / self.bin_width) + 1)

    @property
    def computed(self) -> tuple[float, float]:
        """What SYNSPEC computes, Angstrom, air."""
        return self.low - 1.0, self.high + 3.0

    def draws(self, n: int) -> np.ndarray:
        """The first `n` labels of the sequence, shape (n, 4) in the order teff, logg, mh, vmic.

        A longer sequence begins with the shorter one, so a library can grow.
        """
        from scipy.stats import qmc

        power = int(np.ceil(np.log2(max(n, 2))))
        unit = qmc.Sobol(4, seed=self.seed).random_base2(power)[:n]
        boxes = np.array([self.logg, self.mh, self.vmic])
        others = boxes[:, 0] + unit[:, 1:] * (boxes[:, 1] - boxes[:, 0])
        return np.column_stack([self._teff(unit[:, 0]), others])

    def _teff(self, u) -> np.ndarray:
        low, high = self.teff
        even = 1.0 - self.cool_fraction
        cool = np.clip((u - even) / max(self.cool_fraction, 1e-12), 0, 1)
        uniform = low + (high - low) * np.clip(u / max(even, 1e-12), 0, 1)
        return np.where(u < even, uniform, low * (min(_COOL, high) / low) ** cool)

    def molecules(self, teff: float) -> tuple[str, ...]:
        """Names of the molecular line lists for a star of `teff`."""
        limits = {"CN": self.cn_below, "TiO": self.tio_below}
        return tuple(name for name, limit in limits.items() if teff < limit)

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
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def differences(self, other: Settings) -> str:
        """What differs, in words; empty if nothing does."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return ", ".join(f"{name} {theirs} instead of {ours}" for name, ours, theirs in pairs if ours != theirs)
