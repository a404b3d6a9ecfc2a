"""Several library files as one library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from ..errors import LibraryFileError
from .mending import is_piece, mended
from .model import Library

__all__ = ["listed_files", "merge_files", "open_library"]

StrPath = str | os.PathLike[str]


def merge_files(
    files: Sequence[StrPath], *, replace: bool = False, drop_weak_cn: bool = False
) -> tuple[Library, list[str]]:
    """Spectra of library files on the same grid, compact if one of them is; of the same stars, the first file's stay.

    Parameters
    ----------
    files : sequence of path
        Two or more.
    replace : bool
        Of the same stars, the last file's stay.
    drop_weak_cn : bool
        Leave out spectra whose lines of CN are three times too weak (`Library.weak_cyanogen`).

    Returns
    -------
    library : Library
    left_out : list of str
        What was left out and why, in words.

    Raises
    ------
    LibraryFileError
        A file is no library, the files do not fit together (`Library.merged`), or nothing is to be merged.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.library.merging import merge_files
    >>> wavelength, names = np.arange(8400.0, 8800.0, 0.1), ("teff", "logg")
    >>> with TemporaryDirectory() as folder:
    ...     for teff in (5000.0, 6000.0):
    ...         flux = np.ones((1, len(wavelength)), dtype="f4")
    ...         Library([[teff, 4.4]], names, wavelength, flux, "air").save(f"{folder}/{teff:.0f}.h5")
    ...     merged, left_out = merge_files([f"{folder}/5000.h5", f"{folder}/6000.h5"])
    >>> len(merged), left_out
    (2, [])
    """
    if len(files) < 2:
        raise LibraryFileError(f"{', '.join(map(str, files)) or 'no file'}: name two libraries or more to merge.")
    compact = any(np.isfinite(Library.peek(file)["resolution"]) for file in files)
    left_out: list[str] = []
    libraries = [found for file in files if len(found := _prepared(file, compact, drop_weak_cn, left_out))]
    if not libraries:
        raise LibraryFileError(f"nothing to merge: no spectra are left of {', '.join(map(str, files))}.")
    first, *others = libraries[::-1] if replace else libraries
    merged = reduce(Library.merged, others, first)
    if others and len(merged) == len(first):
        raise LibraryFileError(
            f"nothing to merge: all {sum(map(len, others))} spectra of the others have the labels of spectra of the "
            f"{'last' if replace else 'first'} (to 1 K and 0.005)."
        )
    if same := sum(map(len, libraries)) - len(merged):
        left_out.append(f"{same} spectra with the labels of others (to 1 K and 0.005)")
    return merged, left_out


def _prepared(file, compact, drop, left_out) -> Library:
    library = Library.load(file)
    if drop and (weak := library.weak_cyanogen).any():
        left_out.append(f"{weak.sum()} spectra of {file} with lines of CN that are three times too weak")
        library = library.subset(~weak)
    return library.compact() if compact and len(library) and np.isinf(library.resolution) else library


def listed_files(path: StrPath) -> list[Path]:
    """Library files that a text file names, one in each line, relative to its folder.

    Raises
    ------
    LibraryFileError
        There is no such text file, it names none, or one that does not exist.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from rvsemu.library.merging import listed_files
    >>> with TemporaryDirectory() as folder:
    ...     listing = Path(folder, "all.txt")
    ...     _ = listing.write_text("5000.h5\\n6000.h5\\n")
    ...     Path(folder, "5000.h5").touch()
    ...     Path(folder, "6000.h5").touch()
    ...     print([file.name for file in listed_files(listing)])
    ['5000.h5', '6000.h5']
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise LibraryFileError(f"{path} cannot be read as a list of library files: {e}.") from None
    files = [Path(path).parent / line.strip() for line in lines if line.strip()]
    if not files:
        raise LibraryFileError(f"{path} names no library: write the path of one in each line, relative to its folder.")
    if missing := [file for file in files if not file.exists()]:
        raise LibraryFileError(f"{path} names {missing[0]}, which does not exist: paths are relative to its folder.")
    return files


def open_library(path: StrPath) -> Library:
    """Library of an HDF5 file, or of the files that a text file (``.txt``) names, together.

    Of the same stars in listed files the last one's stays, and spectra with weak CN are left out. Then files of pixels
    that were computed again replace those of the spectra, in their order (`rvsemu.library.mending`).

    Raises
    ------
    LibraryFileError
        As `Library.load`, `listed_files` and `merge_files`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.library.merging import open_library
    >>> wavelength, names = np.arange(8400.0, 8800.0, 0.1), ("teff", "logg")
    >>> with TemporaryDirectory() as folder:
    ...     for teff in (5000.0, 6000.0):
    ...         flux = np.ones((1, len(wavelength)), dtype="f4")
    ...         Library([[teff, 4.4]], names, wavelength, flux, "air").save(f"{folder}/{teff:.0f}.h5")
    ...     listing = Path(folder, "all.txt")
    ...     _ = listing.write_text("5000.h5\\n6000.h5\\n")
    ...     open_library(listing)
    <Library of 2 spectra, 8400.0-8799.9 A in air, no instrument>
    """
    if not isinstance(path, str | os.PathLike) or Path(path).suffix != ".txt":
        return Library.load(path)  # which says what is wrong with what is no path
    files = listed_files(path)
    pieces = [file for file in files if is_piece(Library.peek(file)["info"])]
    spectra = [file for file in files if file not in pieces]
    if len(spectra) == 1:
        library = _prepared(spectra[0], compact=False, drop=True, left_out=[])
    else:
        library = merge_files(spectra, replace=True, drop_weak_cn=True)[0]
    return reduce(mended, map(Library.load, pieces), library)
