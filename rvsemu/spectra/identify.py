"""Recognising RVS files for astropy's registry, without reading more of other people's files than needed."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from ..errors import SpectrumError
from .reading import read_records
from .tables import WRITTEN
from .unpacking import MAX_FILE_BYTES, sniff

__all__ = ["identify_rvs", "identify_written"]

_HEAD = 262_144  # bytes; holds the headers, and the first row of a bulk file
_COLUMN = re.compile(rb"\bflux_error\b", re.IGNORECASE)
# Columns of RVS spectra that BP/RP spectra, with the same flux columns, do not have.
_MARKS = re.compile(rb"\b(combined_transits|combined_ccds|deblended_ccds)\b", re.IGNORECASE)
_OURS = re.compile(rb"\b" + WRITTEN.encode() + rb"\b.{0,300}?\{.{0,12}units", re.IGNORECASE | re.DOTALL)


def identify_rvs(origin: str, path: str | Path | None, fileobj: IO[bytes] | None, *args: Any, **kwargs: Any) -> bool:
    """Whether a file has RVS spectra of the Gaia archive, as astropy's registry asks."""
    return _asked(origin, path, fileobj, args) == "gaia"


def identify_written(
    origin: str, path: str | Path | None, fileobj: IO[bytes] | None, *args: Any, **kwargs: Any
) -> bool:
    """Whether `write_spectrum` wrote a file, as astropy's registry asks."""
    return _asked(origin, path, fileobj, args) == "written"


def _asked(origin: str, path: str | Path | None, fileobj: IO[bytes] | None, args: tuple[Any, ...]) -> str | None:
    source: Any = fileobj if fileobj is not None else path if path is not None else args[0] if args else None
    if origin != "read" or not (hasattr(source, "read") or isinstance(source, (str, Path))):
        return None
    if hasattr(source, "read"):
        return _kind(source)
    with open(source, "rb") as opened:
        return _kind(opened)


def _kind(source: IO[bytes]) -> str | None:
    source.seek(0)
    head = source.read(_HEAD)
    if sniff(head) == "zip":
        return _kind_in_zip(source)
    text = _unzipped(head)
    if _OURS.search(text):
        return "written"
    if not _COLUMN.search(text):
        return None
    if _MARKS.search(text):
        return "gaia"
    source.seek(0)
    return "gaia" if _readable(source.read(MAX_FILE_BYTES)) else None


def _kind_in_zip(source: IO[bytes]) -> str | None:
    """Kind of the first member that is ours; what cannot be opened is of no kind."""
    source.seek(0)
    try:
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    if kind := _kind(member):
                        return kind
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        pass
    return None


def _unzipped(head: bytes) -> bytes:
    if sniff(head) != "gzip":
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def _readable(data: bytes) -> bool:
    try:
        next(read_records(data, "file"))
    except (SpectrumError, StopIteration):
        return False
    return True
