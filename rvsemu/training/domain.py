"""What an emulator of a library can be asked: labels the library varies, between the values it reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..emulator.labels import ALPHA, LabelSpace
from ..emulator.regions import lowest_logg
from ..errors import TrainingError
from ..library import Library

__all__ = ["constant_labels", "label_space_of", "without_constants"]

_SHORT = 0.05  # of a label's range: what random labels leave uncovered at its ends


def constant_labels(library: Library, space: LabelSpace) -> dict[str, float]:
    """Labels that have one value throughout the library, e.g. vmic in many published grids: those of `space`, and
    `ALPHA`.

    Raises
    ------
    TrainingError
        That label is the effective temperature.
    """
    columns = {n: library.labels[:, i] for i, n in enumerate(library.names) if n in (*space.names, ALPHA.name)}
    out = {n: float(x[0]) for n, x in columns.items() if len(x) and np.ptp(x) <= 1e-6 * max(1.0, abs(x[0]))}
    if "teff" in out:
        raise TrainingError(f"all spectra of the library have teff={out['teff']:g}: an emulator needs several.")
    return out


def label_space_of(library: Library, space: LabelSpace) -> LabelSpace:
    """`space` with the domain of `library`.

    A label that does not vary in the library is dropped. Bounds are those of `space` where the library's labels
    come within 5 % of the range of them from inside, as random labels do, and those of the library's regions
    otherwise: a network is neither trained where there are no spectra nor kept from where there are some. The lowest
    logg is that of the regions at each Teff, and of several regions each is kept. `ALPHA` is dropped, too, where the
    library has no such label; where it has one value, this is the space's `constant_alpha`.
    """
    constant = constant_labels(library, space)
    left_out = {*constant, *({ALPHA.name} - set(library.names))}
    regions = library.regions
    lower, upper = (np.array([region.bounds(library.names)[i] for region in regions]) for i in (0, 1))
    bounds = dict(zip(library.names, zip(lower.min(axis=0), upper.max(axis=0), strict=True), strict=True))
    labels = tuple(_fitted(lab, bounds.get(lab.name)) for lab in space.labels if lab.name not in left_out)
    curved = {"teff", "logg"} <= {label.name for label in labels}
    edge = lowest_logg(regions) if curved and any(r.lowest_logg for r in regions) else ()
    return LabelSpace(labels, edge, regions if len(regions) > 1 else (), constant.get(ALPHA.name, 0.0))


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
