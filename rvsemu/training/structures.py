"""What is known of the model atmospheres of a library: where its spectra bend, because their structures do.

Structures are interpolated linearly between the nodes of their grid, and held at its edge beyond: a spectrum is a
smooth function of its labels and of its structure, but not of its labels alone. `structure_features` gives a smooth
interpolator the structures, too.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

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
    if not str(library.info.get("structures", "")).startswith(_KNOWN):
        return np.empty((len(labels), 0))
    columns = dict(zip(library.names, np.transpose(labels), strict=True))
    interpolator = _atlas9()
    points = [
        np.clip(columns.get(name, np.zeros(len(labels))), nodes[0], nodes[-1])
        for name, nodes in zip(_AXES, interpolator.grid, strict=True)
    ]
    return interpolator(np.stack(points, axis=1))


@cache
def _atlas9() -> RegularGridInterpolator:
    """What ``tools/structure_table.py`` made of the nodes."""
    with as_file(files("rvsemu") / "data" / "structures" / "atlas9.npz") as path, np.load(path) as table:
        return RegularGridInterpolator([table[name] for name in _AXES], table["features"].astype("f8"))
