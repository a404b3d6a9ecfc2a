"""What an emulator of a library can be asked: labels the library varies, between the values it reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..emulator.labels import LabelSpace
from ..errors import TrainingError
from ..library import Library

__all__ = ["constant_labels", "label_space_of", "without_constants"]

_SHORT = 0.05  # of a label's range: what random labels leave uncovered at its ends


def constant_labels(library: Library, space: LabelSpace) -> dict[str, float]:
    """Labels of `space` that have one value throughout the library, e.g. vmic in many published grids.

    Raises
    ------
    TrainingError
        That label is the effective temperature.
    """
    columns = {n: library.labels[:, i] for i, n in enumerate(library.names) if n in space.names}
    out = {n: float(x[0]) for n, x in columns.items() if len(x) and np.ptp(x) <= 1e-6 * max(1.0, abs(x[0]))}
    if "teff" in out:
        raise TrainingError(f"all spectra of the library have teff={out['teff']:g}: an emulator needs several.")
    return out


def label_space_of(library: Library, space: LabelSpace) -> LabelSpace:
    """`space` with the domain of `library`.

    A label that does not vary in the library is dropped. Bounds are those of `space` where the library's labels
    come within 5 % of the range of them from inside, as random labels do, and the library's own otherwise: a
    network is neither trained where there are no spectra nor kept from where there are some.
    """
    constant = constant_labels(library, space)
    bounds = {n: (library.labels[:, i].min(), library.labels[:, i].max()) for i, n in enumerate(library.names)}
    return LabelSpace(tuple(_fitted(lab, bounds.get(lab.name)) for lab in space.labels if lab.name not in constant))


def _fitted(label, bounds):
    if bounds is None:
        return label
    short = _SHORT * (label.upper - label.lower)
    lower = label.lower if label.lower <= bounds[0] <= label.lower + short else float(bounds[0])
    upper = label.upper if label.upper - short <= bounds[1] <= label.upper else float(bounds[1])
    return replace(label, lower=lower, upper=upper)


def without_constants(library: Library, space: LabelSpace) -> Library:
    """`library` without the labels that do not vary in it."""
    constant = constant_labels(library, space)
    keep = [i for i, name in enumerate(library.names) if name not in constant]
    return replace(library, labels=library.labels[:, keep], names=tuple(library.names[i] for i in keep))
