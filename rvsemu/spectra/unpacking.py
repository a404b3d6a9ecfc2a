"""Bytes of files and of what is packed in them (gzip, zip), with a limit on how much they may unpack to."""

from __future__ import annotations

import gzip
import io
import os
import re
import reprlib
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SpectrumError, SpectrumWarning

__all__ = [
    "MAX_ARCHIVE_BYTES",
    "MAX_FILE_BYTES",
    "MAX_NESTING",
    "Skipped",
    "check_packing",
    "load",
    "sniff",
    "unpacked",
    "why_missing",
]

MAX_FILE_BYTES = 2**30
"""Largest file that is read, and largest member of an archive after unpacking: 1 GiB, some 3000 spectra as CSV."""
MAX_ARCHIVE_BYTES = 2**33
"""Largest sum over the members of one archive: 8 GiB; the 5000 CSV files of one request to the archive have 1.6 GB."""
MAX_NESTING = 3
"""Layers of gzip and zip around a file of spectra; the Gaia archive delivers at most two."""

DAMAGE = "the file is truncated or damaged; download it again"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError, RuntimeError, ValueError)


_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"(\xb5/\xfd": "zstd", b"7z\xbc\xaf'\x1c": "7-Zip", b"Rar!": "RAR"}
"""What files that are packed in other ways begin with."""
_TAR = (b"ustar", slice(257, 262))


class Skipped(list):
    """Errors of the spectra that could not be read, for readers that go on with the others."""

    def warn(self, label: str, remedy: str = "") -> None:
        """Issue one `~rvsemu.errors.SpectrumWarning` that counts and names them."""
        if self:
            some = " | ".join(str(error) for error in self[:5]) + (" | ..." if len(self) > 5 else "")
            text = f"{label}: {len(self)} that cannot be used {'is' if len(self) == 1 else 'are'} left out: {some}"
            warnings.warn(f"{text}; {remedy}" if remedy else text, SpectrumWarning, stacklevel=4)


def why_missing(name: object) -> str:
    """What to say of a name that is no file's."""
    if _URL.match(str(name)):
        return "addresses are not read; download the file first, or use fetch_rvs (rvsemu fetch)"
    return "there is no such file; check the path"


def load(source: str | os.PathLike | BinaryIO) -> tuple[bytes, str]:
    """Read a path, or a binary file object, which astropy's registry hands over.

    Returns
    -------
    bytes, str
        Content and name as given.

    Raises
    ------
    SpectrumError
        The argument is no path, or the file is missing, unreadable or above `MAX_FILE_BYTES`.
    """
    if not isinstance(source, str | os.PathLike) and hasattr(source, "seek"):
        source.seek(0)
        label = str(getattr(source, "name", "file object"))
        return _limited(source, label), label
    if not isinstance(source, (str, os.PathLike)):
        plain = isinstance(source, int | float | list | tuple | None)
        given = reprlib.repr(source) if plain else f"<{type(source).__name__}>"
        raise SpectrumError(f"path={given} is not the name of a file; give a str or a pathlib.Path, one at a time")
    label = os.fspath(source)
    try:
        with open(Path(label).expanduser(), "rb") as opened:
            return _limited(opened, str(label)), str(label)
    except FileNotFoundError as error:
        raise SpectrumError(f"{label}: {why_missing(label)}") from error
    except IsADirectoryError as error:
        remedy = "give the files in it one by one, or fit all of them by 'rvsemu catalog fit'"
        raise SpectrumError(f"{label}: cannot be read, it is a folder; {remedy}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or error
        raise SpectrumError(f"{label!s}: cannot be read ({reason}); give a readable file") from error


def _limited(opened: Any, label: str, limit: int | None = None) -> bytes:
    """All that a stream gives, unless that is more than the limit; no more than that is ever held."""
    limit = MAX_FILE_BYTES if limit is None else limit
    data = opened.read(limit + 1)
    if not isinstance(data, bytes):
        raise SpectrumError(f"{label}: the file is open as text; give its path, or open it with mode 'rb'")
    if len(data) > limit:
        raise SpectrumError(
            f"{label}: has or unpacks to more than {limit:,} bytes, the limit; give it in smaller parts"
        )
    return data


def sniff(data: bytes) -> str:
    """Tell the format from the first bytes: file names are not reliable.

    Parameters
    ----------
    data : bytes
        The beginning of the file, or all of it.

    Returns
    -------
    str
        ``"gzip"``, ``"zip"``, ``"fits"``, ``"xml"`` or, for anything else, ``"text"``.
    """
    if data.startswith(b"\x1f\x8b"):
        return "gzip"
    if data.startswith(b"PK\x03\x04"):
        return "zip"
    if data.startswith(b"SIMPLE  ="):
        return "fits"
    if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "xml"
    return "text"


def check_packing(data: bytes, label: str) -> None:
    """Refuse what is packed in ways that are not read, by its first bytes.

    Raises
    ------
    SpectrumError
        It is.
    """
    how = next((name for start, name in _PACKED.items() if data.startswith(start)), None)
    magic, place = _TAR
    how = "tar" if data[place] == magic else how
    if how:
        raise SpectrumError(
            f"{label}: packed with {how}, which is not read; unpack it first, or pack it with gzip or zip"
        )


def unpacked(data: bytes, label: str, skipped: Skipped | None = None, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Unpack a file, one member at a time: an archive may hold thousands.

    Parameters
    ----------
    data : bytes
        The content of the file.
    label : str
        Name of the file, for messages; members are called ``label:member``.
    skipped : Skipped, optional
        Receives the errors of members of archives; without it they are raised.
    depth : int
        Layers around it.

    Yields
    ------
    str, bytes
        Name and content of each file that is no container.

    Raises
    ------
    SpectrumError
        The file is empty, damaged, nested too deep, or unpacks to more than the limits.
    """
    if not data:
        raise SpectrumError(f"{label}: the file is empty; download it again")
    check_packing(data, label)
    kind = sniff(data)
    if kind not in ("gzip", "zip"):
        yield label, data
        return
    if depth >= MAX_NESTING:
        raise SpectrumError(f"{label}: packed more than {MAX_NESTING} times over, the limit; unpack it first")
    if kind == "gzip":
        yield from unpacked(_gunzip(data, label), label, skipped, depth + 1)
    else:
        yield from _members(data, label, skipped, depth + 1)


def _gunzip(data: bytes, label: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as opened:
            return _limited(opened, label)
    except (EOFError, OSError, zlib.error) as error:
        raise SpectrumError(f"{label}: not a complete gzip file ({error}): {DAMAGE}") from error


def _members(data: bytes, label: str, skipped: Skipped | None, depth: int) -> Iterator[tuple[str, bytes]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _ZIP_ERRORS as error:
        raise SpectrumError(f"{label}: not a complete zip archive ({error}): {DAMAGE}") from error
    total = 0
    for info in archive.infolist():
        if info.is_dir() or "__MACOSX" in info.filename:
            continue
        name = f"{label}:{info.filename}"
        try:
            content = _member(archive, info, name)
            total += len(content)
            files = unpacked(content, name, skipped, depth)
            yield from files
        except SpectrumError as error:
            if skipped is None:
                raise
            skipped.append(error)
        if total > MAX_ARCHIVE_BYTES:
            raise SpectrumError(f"{label}: unpacks to more than {MAX_ARCHIVE_BYTES:,} bytes, the limit; split it")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with archive.open(info) as opened:
            return _limited(opened, name)
    except SpectrumError:
        raise
    except _ZIP_ERRORS as error:  # RuntimeError: it is encrypted
        raise SpectrumError(f"{name}: cannot be unpacked ({error}): {DAMAGE}") from error
