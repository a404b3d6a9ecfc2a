"""What labels are called on a page, where its sliders begin, and in words where labels leave the training domain."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..emulator.labels import Label, LabelSpace

__all__ = ["SUN", "TITLES", "beyond", "in_words", "nice_step", "start_of", "title_of"]

SUN = {"teff": 5777.0, "logg": 4.44, "vsini": 2.0, "mh": 0.0, "vmic": 1.0, "resolution": 11500.0, "alpha": 0.0}
"""Labels that a page begins with."""

TITLES = {
    "teff": ("Temperature", "T<sub>eff</sub>"),
    "logg": ("Gravity", "log <i>g</i>"),
    "vsini": ("Rotation", "<i>v</i> sin <i>i</i>"),
    "mh": ("Metallicity", "[M/H]"),
    "vmic": ("Microturbulence", "<i>v</i><sub>mic</sub>"),
    "resolution": ("Resolving power", "<i>R</i>"),
    "alpha": ("Alpha elements", "[α/M]"),
}
"""What a label is called beside its slider, and its symbol; others have their name."""

_STEPS_OF_SLIDER = 300


def title_of(name: str) -> tuple[str, str]:
    """Title and symbol of a label; the symbol of one that is unknown is empty."""
    return TITLES.get(name, (name.replace("_", " ").capitalize(), ""))


def start_of(label: Label) -> float:
    """Where its slider begins: at the Sun, or as near as its range allows."""
    return float(min(max(SUN.get(label.name, 0.0), label.lower), label.upper))


def nice_step(low: float, high: float) -> float:
    """Step of a slider from `low` to `high`: the largest of 1, 2 and 5 times a power of ten that makes 300 steps."""
    step = (high - low) / _STEPS_OF_SLIDER
    power = 10.0 ** math.floor(math.log10(step) + 1e-9)
    return round(max(m for m in (1, 2, 5) if m * power <= step * (1 + 1e-9)) * power, 12)


def beyond(space: LabelSpace, values: Mapping[str, float]) -> dict[str, str]:
    """The limit that each label is beyond, in words, for those that are.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.explorer.labels import SUN, beyond
    >>> beyond(rvsemu.shipped().labels, SUN | {"teff": 9000.0, "logg": 1.0, "vsini": 400.0})
    {'logg': 'below 2 dex, the lowest at 9000 K', 'vsini': 'above 300 km/s'}
    """
    out = {}
    for label in space.labels:
        value, unit = values[label.name], f" {label.unit}" if label.unit else ""
        lowest = float(space.lowest(np.array(values["teff"]))) if label.name == "logg" else label.lower
        if value > label.upper:
            out[label.name] = f"above {label.upper:g}{unit}"
        elif value < label.lower:
            out[label.name] = f"below {label.lower:g}{unit}"
        elif value < lowest:
            out[label.name] = f"below {lowest:.3g}{unit}, the lowest at {values['teff']:g} K"
    return out


def in_words(space: LabelSpace, values: Mapping[str, float]) -> str:
    """How labels are outside of the training domain, or an empty text."""
    found = [f"{title_of(name)[0]} is {words}" for name, words in beyond(space, values).items()]
    if not found and not space.inside(np.array([values[name] for name in space.names])):
        regions = "; or ".join(map(str, space.regions))
        found = [f"these labels are in none of the regions that it was trained in: {regions}"]
    return f"Outside of the emulator's training domain: {'; '.join(found)}." if found else ""
