"""Spectra to look at: of chosen stars of a library, broadened."""

from __future__ import annotations

import numpy as np

from ..emulator.labels import LabelSpace
from ..library import Library
from ..training.draws import PAPER_WAVELENGTH

__all__ = ["HR_DIAGRAM", "broadened", "nearest"]

HR_DIAGRAM = (
    {"teff": 13500, "logg": 4.0},
    {"teff": 11000, "logg": 3.5},
    {"teff": 9000, "logg": 4.0},
    {"teff": 7500, "logg": 3.8},
    {"teff": 6400, "logg": 4.2},
    {"teff": 5600, "logg": 4.4},
    {"teff": 4700, "logg": 2.5},
    {"teff": 3900, "logg": 4.7},
)
"""Where in the HR diagram Figure 8 looks for stars."""

_SPREAD = {"teff": 0.1, "logg": 0.5, "mh": 0.5, "vmic": 1.0}  # of log Teff, dex, dex, km/s: as far as one another


def nearest(library: Library, wanted, chosen=None) -> int:
    """Row of the spectrum whose labels are closest to those of `wanted`, a dictionary.

    Among `chosen`, a boolean mask of rows, if given; spectra whose structure had to be held at the edge of its grid are
    taken if there are no others.
    """
    rows = np.arange(len(library)) if chosen is None else np.flatnonzero(chosen)
    if library.extrapolated is not None and not library.extrapolated[rows].all():
        rows = rows[~library.extrapolated[rows]]
    distance = np.zeros(len(rows))
    for name, value in wanted.items():
        if name in library.names and name in _SPREAD:
            found = library.labels[rows, library.names.index(name)]
            away = np.log(found / value) if name == "teff" else found - value
            distance += (away / _SPREAD[name]) ** 2
    return int(rows[np.argmin(distance)])


def broadened(library: Library, rows, space: LabelSpace, vsini, resolution) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n, n_labels) and flux (n, n_pixels) of spectra of a library, with rotation and resolution (n,).

    The flux is on `PAPER_WAVELENGTH`.
    """
    given = {name: library.labels[rows, i] for i, name in enumerate(library.names)}
    given |= {"vsini": np.asarray(vsini, dtype=float), "resolution": np.asarray(resolution, dtype=float)}
    broadener = library.broadener(PAPER_WAVELENGTH)
    transforms = broadener.transform(library.flux[rows])
    flux = [broadener.apply(t, v, r) for t, v, r in zip(transforms, given["vsini"], given["resolution"], strict=True)]
    return np.stack([given[name] for name in space.names], axis=1), np.array(flux)
