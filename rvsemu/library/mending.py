"""Pixels that were computed again, in place of those of library spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..errors import LibraryFileError
from .model import Library
from .provenance import together

__all__ = ["MENDS", "is_piece", "mended"]

MENDS = "mends"
"""What a library of such pixels says in its provenance: what they are mended of."""
_DIGITS = 6  # of labels that have been written and read


def is_piece(info: Mapping[str, str]) -> bool:
    """Whether a file of this provenance has pixels of other libraries' spectra, instead of spectra."""
    return MENDS in info


def mended(library: Library, piece: Library) -> Library:
    """A library with the pixels of another one in its spectra of the same labels.

    Parameters
    ----------
    library : Library
    piece : Library
        At some of the library's wavelengths, and of the same instrument. Labels that the library does not have are
        passed over, and if it has no [alpha/M], those with another value than 0 are.

    Raises
    ------
    LibraryFileError
        The two do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.library.mending import mended
    >>> wavelength, names = np.arange(8400.0, 8800.0, 0.1), ("teff", "logg")
    >>> library = Library([[5000, 4.4], [6000, 4.4]], names, wavelength, np.ones((2, 4000), dtype="f4"), "air")
    >>> piece = Library([[6000, 4.4]], names, wavelength[1000:1003], np.full((1, 3), 0.5, dtype="f4"), "air")
    >>> mended(library, piece).flux[:, 999:1004].tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 0.5, 0.5, 0.5, 1.0]]
    """
    piece = piece.without_alpha() if "alpha" not in library.names else piece
    for name in ("names", "medium", "resolution"):
        if (mine := getattr(library, name)) != (theirs := getattr(piece, name)):
            raise LibraryFileError(f"the library cannot be mended: its {name} is {mine}, that of the pixels {theirs}.")
    pixels = np.abs(library.wavelength[:, None] - piece.wavelength).argmin(axis=0)
    if not np.allclose(library.wavelength[pixels], piece.wavelength, rtol=0, atol=1e-4):
        raise LibraryFileError("the library cannot be mended: the pixels are at other wavelengths than its own.")
    places = {tuple(row): i for i, row in enumerate(np.round(piece.labels, _DIGITS).tolist())}
    found = [places.get(tuple(row), -1) for row in np.round(library.labels, _DIGITS).tolist()]
    rows = np.flatnonzero(np.array(found, dtype=int) >= 0)
    flux = library.flux.copy()
    flux[np.ix_(rows, pixels)] = piece.flux[np.array(found, dtype=int)[rows]]
    text = together(library.info.get("mended", ""), piece.info.get(MENDS, ""))
    return replace(library, flux=flux, info=library.info | ({"mended": text} if text else {}))
