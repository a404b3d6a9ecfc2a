"""What is known of the model atmospheres of a library: where its spectra bend, because their structures do.

Structures are interpolated linearly between the nodes of their grid, and held at its edge beyond: a spectrum is a
smooth function of its labels and of its structure, but not of its labels alone. `structure_features` gives a smooth
interpolator the structures, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from ..library import Library

__all__ = ["structure_features"]

_AXES = ("teff", "logg", "mh", "alpha")
_KNOWN = "ATLAS9 ODFNEW"


def structure_features(library: Library, labels: np.ndarray) -> np.ndarray:
    """Numbers that the structures of spectra are smooth functions of.

    Parameters
    ----------
    library : Library
        Its provenance says which structures it has.
    labels : ndarray, shape (n, n_labels)
        In the library's order and units.

    Returns
    -------
    ndarray, shape (n, k)
        For the ATLAS9 structures of Castelli & Kurucz (2003): fourteen principal components of the logarithms of column
        mass, temperature, pressure and electron density of all layers, and by how much log g is below the lowest of
        the nodes, interpolated as the structures are. For others k is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.structures import structure_features
    >>> labels = np.array([[5000.0, 4.4], [6000.0, 4.4]])
    >>> grid = np.arange(8400, 8800, 0.1), np.ones((2, 4000), "f4")
    >>> library = Library(labels, ("teff", "logg"), *grid, "air", info={"structures": "ATLAS9 ODFNEW"})
    >>> structure_features(library, labels).shape
    (2, 15)
    """
    table = atlas9_table(library)
    return np.empty((len(labels), 0)) if table is None else table.features(labels_by_name(library, labels))


def labels_by_name(library: Library, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Columns (n,) of `labels` (n, n_labels), in the library's order; 0 for those that it may be without."""
    zeros = {name: np.zeros(len(labels)) for name in ("logg", "mh", "vmic", "alpha")}
    return zeros | dict(zip(library.names, np.transpose(labels), strict=True))


def atlas9_table(library: Library) -> StructureTable | None:
    """The table of the ATLAS9 structures, if the library has these."""
    return _atlas9() if str(library.info.get("structures", "")).startswith(_KNOWN) else None


class StructureTable:
    """What ``tools/structure_table.py`` made of the structures, linear between their nodes and held beyond.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | Path) -> None:
        with np.load(path) as table:
            self.abundances = table["abundances"]
            axes = [table[name] for name in _AXES]
            self._features, self._layers = (
                RegularGridInterpolator(axes, table[name].astype("f8")) for name in ("features", "layers")
            )

    def features(self, label: Mapping[str, np.ndarray]) -> np.ndarray:
        """Principal components and missing log g (n, k) of structures, by label (n,)."""
        return self._features(self._inside(label))

    def layers(self, label: Mapping[str, np.ndarray]) -> np.ndarray:
        """log10 of temperature (K), gas pressure (dyn/cm2) and electron density (1/cm3), shape (n, 3, 3), at Rosseland
        optical depths of 0.001, 0.01 and 0.1."""
        return self._layers(self._inside(label))

    def _inside(self, label: Mapping[str, np.ndarray]) -> np.ndarray:
        nodes = zip(_AXES, self._features.grid, strict=True)
        return np.stack([np.clip(label[name], axis[0], axis[-1]) for name, axis in nodes], axis=1)


@cache
def _atlas9() -> StructureTable:
    with as_file(files("rvsemu") / "data" / "structures" / "atlas9.npz") as path:
        return StructureTable(path)
