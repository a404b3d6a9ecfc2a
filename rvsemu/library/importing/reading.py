"""From files to plain arrays: text columns (gzip, Fortran's numbers), FITS tables and images, files of a folder."""

from __future__ import annotations

import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import ArrayLike

from ...errors import LibraryFileError
from ...spectra.tables import masked_nulls
from .spectrum import Unusable

__all__ = ["ENCODING", "Files", "columns", "content", "fits_open", "fits_table", "lines_of", "native", "plain_name"]

_EXPONENTS = (
    (re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)"), "E"),  # 1.0D-05
    (re.compile(r"(?<=[\d.])(?=[+-]\d{3}(?!\d))"), "E"),  # 1.0-100: Fortran drops the letter
    (re.compile(r"\*{2,}"), " nan "),  # a number too wide for its field
)
_MAX_HEADER = 40
ENCODING = "utf-8-sig"
"""Of text files: spreadsheets begin theirs with a mark of the order of bytes."""
MOST_BYTES = 1_000_000_000
"""Size of a file, unpacked, beyond which it is not read into memory."""


class Files:
    """The files a user names, folders searched through.

    Raises
    ------
    LibraryFileError
        A path does not exist.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.named: list[Path] = []
        self.found: list[Path] = []
        self._titles: dict[Path, str] = {}
        for path in map(Path, paths):
            if path.is_dir():
                inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
                self.found += inside
                self._titles |= {p: p.relative_to(path).as_posix() for p in inside}
            elif path.exists():
                self.named.append(path)
            else:
                raise LibraryFileError(f"{path} does not exist: give files or folders of spectra.")

    def title(self, path: Path) -> str:
        """How messages name a file: as the user did, or by its place in the folder the user named."""
        return self._titles.get(path, str(path))

    def matching(self, pattern: str, any_name: bool = False) -> list[Path]:
        """Files whose name has `pattern` (case ignored); with `any_name` also all that the user named one by one."""
        regex = re.compile(pattern, re.IGNORECASE)
        named = [p for p in self.named if any_name or regex.search(p.name)]
        return [*named, *(p for p in self.found if regex.search(p.name))]

    def companion(self, name: str, beside: Path) -> Path:
        """The file called `name` (or ``name.gz``) beside `beside`, above it, or anywhere in the folders given.

        Raises
        ------
        Unusable
            There is none.
        """
        for folder in [beside.parent, *list(beside.absolute().parents)[1:3]]:
            for candidate in (folder / name, folder / f"{name}.gz"):
                if candidate.exists():
                    return candidate
        for path in [*self.named, *self.found]:
            if path.name in (name, f"{name}.gz"):
                return path
        raise Unusable(f"its companion {name} is missing: put it beside the spectra")


def plain_name(path: Path) -> str:
    """The file's name without ``.gz``."""
    return path.name.removesuffix(".gz")


def content(path: Path) -> bytes:
    """All bytes of a file, gunzipped if they are gzipped.

    Raises
    ------
    Unusable
        It cannot be read, is empty, its compression is damaged, or it is larger than 1 GB.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as e:
        raise Unusable(f"{path.name} cannot be read ({getattr(e, 'strerror', None) or e})") from None
    if len(data) > MOST_BYTES:
        raise Unusable(f"{path.name} holds more than {MOST_BYTES / 1e9:g} GB: give a smaller part of it")
    if not data.strip():
        raise Unusable(f"{path.name} is empty")
    return data


def lines_of(path: Path) -> list[str]:
    """The lines of a text file."""
    return content(path).decode(ENCODING, "replace").splitlines()


def columns(lines: list[str], at_least: int = 1) -> np.ndarray:
    """Columns of numbers, shape (n_columns, n); lines before the first number are a header, ``#`` a comment.

    Raises
    ------
    Unusable
        There are no numbers, too few columns, or rows of different lengths.
    """
    start = next((i for i, line in enumerate(lines[:_MAX_HEADER]) if _is_row(line)), None)
    if start is None:
        raise Unusable("it holds no columns of numbers")
    text = "\n".join(lines[start:]).replace(",", " ").replace(";", " ")
    try:
        out = _loadtxt(text)
    except ValueError:
        for pattern, replacement in _EXPONENTS:
            text = pattern.sub(replacement, text)
        try:
            out = _loadtxt(text)
        except ValueError as e:
            raise Unusable(f"it is not columns of numbers ({str(e).splitlines()[0]})") from None
    if len(out) < at_least:
        raise Unusable(f"it has {len(out)} columns instead of {at_least} or more")
    return out


def _loadtxt(text: str) -> np.ndarray:
    return np.loadtxt(io.StringIO(text), comments="#", ndmin=2).T


def _is_row(line: str) -> bool:
    first = line.replace(",", " ").split()[:1]
    return bool(first) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD]?[+-]?\d+)?", first[0]) is not None


@contextmanager
def fits_open(path: Path) -> Iterator[fits.HDUList]:
    """The HDUs of a FITS file; damage is `Unusable`."""
    data = content(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            warnings.filterwarnings("error", message=".*truncated.*")
            with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False) as hdus:
                yield hdus
    except Unusable:
        raise
    except (AstropyUserWarning, OSError, TypeError, ValueError, KeyError, IndexError) as e:
        raise Unusable(f"{path.name} is not a complete FITS file ({str(e).splitlines()[0] if str(e) else e})") from None


def fits_table(hdus: fits.HDUList) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Columns and their units of the first table, by lower-case name; numbers in this machine's byte order."""
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    if not tables:
        raise Unusable("it has no table")
    data, definitions = tables[0].data, tables[0].columns
    values = {c.name.lower(): native(masked_nulls(data[c.name], c)) for c in definitions}
    return values, {c.name.lower(): c.unit for c in definitions if c.unit}


def native(values: ArrayLike) -> np.ndarray:
    """`values` in this machine's byte order, numbers as float64, NaN where they are masked."""
    values = np.ma.asarray(values)
    return np.ma.filled(values.astype("f8"), np.nan) if values.dtype.kind in "fiu" else np.ma.getdata(values)
