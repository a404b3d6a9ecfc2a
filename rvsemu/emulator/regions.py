"""Where a library has spectra: regions of its labels, boxes but for the lowest logg, which may follow Teff."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from .._frozen import frozen, read_only
from .._values import limits, pairs, shown

__all__ = ["PAPER", "WIDE", "Region", "bends", "from_json", "lowest_logg", "stated", "to_json"]

_NEAR = 1e-9  # of a range: rounding
_BARE = 0.05  # of a range: what random labels leave uncovered at its ends
_STRAIGHT = 1e-12  # dex per K


@frozen
class Region:
    """Limits of labels within which random ones were drawn.

    Parameters
    ----------
    limits : dict of (float, float)
        Lower and upper limit of each label, in the units of `rvsemu.emulator.labels`; of labels that are not here, 0.
    lowest_logg : sequence of (float, float)
        Teff and the lowest logg there, as for `rvsemu.emulator.LabelSpace`.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.emulator.regions import Region
    >>> cool = Region({"teff": (4000.0, 6000.0), "logg": (1.0, 5.0)}, lowest_logg=((4000.0, 1.0), (6000.0, 3.0)))
    >>> cool.inside(np.array([[5500.0, 4.4], [5500.0, 1.5]]), ("teff", "logg"))
    array([ True, False])
    """

    limits: dict[str, tuple[float, float]]
    lowest_logg: tuple[tuple[float, float], ...] = ()

    def __post_init__(self):
        limits = {name: (float(low), float(high)) for name, (low, high) in self.limits.items()}
        object.__setattr__(self, "limits", read_only(limits))

    def __str__(self):
        limits = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in self.limits.items())
        return limits + (" and logg not below that of the structures" if self.lowest_logg else "")

    def bounds(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits, each (n_labels,)."""
        lower, upper = np.array([self.limits.get(name, (0.0, 0.0)) for name in names]).T
        return lower, upper

    def floor(self, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Lower limits (n, n_labels) at these labels."""
        floor = np.tile(self.bounds(names)[0], (len(labels), 1))
        if self.lowest_logg:
            g, t = names.index("logg"), names.index("teff")
            floor[:, g] = np.maximum(floor[:, g], np.interp(labels[:, t], *np.transpose(self.lowest_logg)))
        return floor

    def inside(self, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Whether labels (n, n_labels) are in the region, shape (n,)."""
        lower, upper = self.bounds(names)
        near = _NEAR * (upper - lower) + 1e-12
        return np.all((labels >= self.floor(labels, names) - near) & (labels <= upper + near), axis=1)

    def cut(self, limits: Mapping[str, tuple[float, float]]) -> Region:
        """The part of the region within limits of some of its labels; of what does not overlap, the lower is higher."""
        own = {name: ends for name, ends in self.limits.items() if name in limits}
        both = {n: (max(low, limits[n][0]), min(high, limits[n][1])) for n, (low, high) in own.items()}
        return replace(self, limits={**self.limits, **both})

    def covers(self, other: Region) -> bool:
        """Whether another region of the same lowest logg is a part of this one."""
        mine, names = self.limits, [*self.limits, *other.limits]
        (low, high), (lower, upper) = self.bounds(names), other.bounds(names)
        return bool(mine and self.lowest_logg == other.lowest_logg and np.all((low <= lower) & (upper <= high)))

    def covered(self, labels: np.ndarray, names: Sequence[str]) -> Region:
        """The region without its ends that have none of some labels (n, n_labels), if they are above 5 % of a range."""
        limits = {}
        for i, name in enumerate(names):
            low, high = self.limits.get(name, (0.0, 0.0))
            lowest, highest = float(labels[:, i].min()), float(labels[:, i].max())
            short = _BARE * (high - low)
            if low < high and lowest <= high and highest >= low:
                limits[name] = lowest if lowest > low + short else low, highest if highest < high - short else high
        return self.cut(limits)

    def from_unit(self, unit: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Labels (n, n_labels) of points in the unit cube, of the same shape; logg is uniform at each Teff."""
        lower, upper = self.bounds(names)
        labels = lower + (upper - lower) * unit
        return upper - (upper - self.floor(labels, names)) * (1.0 - unit)


WIDE = Region(
    {"teff": (3500.0, 15000.0), "logg": (0.0, 5.0), "mh": (-2.5, 0.8), "alpha": (-0.2, 0.6), "vmic": (0.0, 4.0)},
    (
        (5750.0, 0.0),
        (6000.0, 0.5),
        (7250.0, 0.5),
        (7500.0, 1.0),
        (8000.0, 1.0),
        (8250.0, 1.5),
        (8750.0, 1.5),
        (9000.0, 2.0),
        (11500.0, 2.0),
        (11750.0, 2.5),
    ),
)
"""That of ``library/parts``. Its lowest logg is nowhere below that of both neighbouring nodes of the structures."""

PAPER = Region({"teff": (3600.0, 15000.0), "logg": (2.0, 5.0), "mh": (-1.5, 1.5), "vmic": (0.0, 4.0)})
"""That of Gebran (2024), Table 1, and of ``library/rvs_library.h5``."""

_OLDER = (("made_by", "eed 20261126", WIDE), ("sampling", "3600-15000 K", PAPER))
"""Attributes of libraries that do not state their region, and words in them."""


def lowest_logg(regions: Sequence[Region]) -> tuple[tuple[float, float], ...]:
    """Nodes of the lowest logg that any of some regions has at each Teff; none if that is the same everywhere.

    Where a region ends, the nodes are a Kelvin apart.

    Examples
    --------
    >>> from rvsemu.emulator.regions import PAPER, WIDE, lowest_logg
    >>> lowest_logg([PAPER])                                                   # the same at all Teff
    ()
    >>> lowest_logg([WIDE])[:2]
    ((5750.0, 0.0), (6000.0, 0.5))
    """
    nodes = {teff for region in regions for teff, _ in region.lowest_logg}
    ends = {teff + d for region in regions for teff in region.limits["teff"] for d in (-1.0, 0.0, 1.0)}
    lowest, highest = (f(region.limits["teff"][i] for region in regions) for i, f in ((0, min), (1, max)))
    teff = np.array(sorted(t for t in nodes | ends if lowest <= t <= highest))
    names = ("teff", "logg")
    floors = []
    for region in regions:
        low, high = region.limits["teff"]
        floor = region.floor(np.stack([teff, teff], axis=1), names)[:, 1]
        floors.append(np.where((teff >= low) & (teff <= high), floor, np.inf))
    edge = np.min(floors, axis=0)
    some = np.isfinite(edge)  # not in a gap between regions
    return () if np.ptp(edge[some]) == 0 else bends(teff[some], edge[some])


def bends(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Nodes (x, y) at which a broken line, constant beyond its ends, bends; the first one if it does nowhere."""
    slope = np.concatenate([[0.0], np.diff(y) / np.diff(x), [0.0]])
    chosen = np.abs(np.diff(slope)) > _STRAIGHT
    chosen[0] |= not chosen.any()
    return tuple(zip(x[chosen].tolist(), y[chosen].tolist(), strict=True))


def to_json(regions: Sequence[Region]) -> str:
    """As text, for a library's provenance."""
    return json.dumps([asdict(region) for region in regions])


def from_json(text: str) -> tuple[Region, ...]:
    """From what `to_json` wrote.

    Raises
    ------
    ValueError
        It has not written that, or something in it is impossible.
    """
    try:
        return tuple(_region(one["limits"], one["lowest_logg"]) for one in json.loads(text))
    except (KeyError, TypeError, ValueError) as e:
        raise ValueError(f"the regions {shown(text)} cannot be read ({e})") from None


def _region(given: Any, nodes: Any) -> Region:
    """A region of values that were read."""
    found, edge = limits("limits", given), pairs("lowest_logg", nodes)
    if missing := ({"teff", "logg"} if edge else {"teff"}) - found.keys():
        raise ValueError(f"{min(missing)} has no limits")
    return Region(found, edge)


def stated(info: Mapping[str, str]) -> str | None:
    """The regions that a library's provenance states, in words if it is an older one, as `to_json` would; or None."""
    if "regions" in info:
        return info["regions"]
    known = [region for name, words, region in _OLDER if words in info.get(name, "")]
    return to_json(known) if known else None
