"""A library in parts: numbered files of at most 10 MB, each written once, for a repository."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from ..errors import LibraryFileError
from .cyanogen import weak_spectra
from .model import Library

__all__ = ["write_parts"]

_MOST_BYTES = 9_800_000  # of fluxes before they are compressed
_DIGITS = 6  # of labels that have been written and read


def write_parts(library: Library, folder: str | PathLike) -> list[Path]:
    """Write the spectra that no part in `folder` has as new parts; those that are there are not changed.

    Spectra in which lines of CN are too weak neither count nor are written (see `Library.weak_cyanogen`), nor are
    messages about those that failed.

    Parameters
    ----------
    library : Library
    folder : path
        Of ``000.h5``, ``001.h5`` ...

    Returns
    -------
    list of Path
        What was written; empty if there was nothing new.

    Raises
    ------
    LibraryFileError
        `folder` is none, or has a file of that kind which is no library, or one of another grid or other labels.
    """
    if not Path(folder).is_dir():
        raise LibraryFileError(f"{folder} is no folder: make it first.")
    parts = sorted(Path(folder).glob("[0-9][0-9][0-9].h5"))
    if parts:
        library.check_grid(Library.load(parts[-1]))
    known = {row for part in parts for row in _known(part)}
    right = zip(_rounded(library.labels), ~library.weak_cyanogen, strict=True)
    rows = np.array([i for i, (row, good) in enumerate(right) if good and row not in known], dtype=int)
    most = max(1, _MOST_BYTES // (2 * len(library.wavelength)))
    number = int(parts[-1].stem) + 1 if parts else 0
    written: list[Path] = []
    for start in range(0, len(rows), most):
        written.append(Path(folder) / f"{number + len(written):03d}.h5")
        replace(library.subset(rows[start : start + most]), failures=[]).save(written[-1])
    return written


def _known(part) -> list[tuple[float, ...]]:
    found = Library.peek(part)
    return _rounded(found["labels"][~weak_spectra(found["info"], found["names"], found["labels"])])


def _rounded(labels) -> list[tuple[float, ...]]:
    return list(map(tuple, np.round(labels, _DIGITS).tolist()))
