"""Recognising RVS files for astropy's registry, without reading more of other people's files than needed."""

import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rvsemu.errors import SpectrumError
from rvsemu.spectra.tables import sniff

__all__ = ["identify_rvs"]

_HEAD = 262_144  # bytes; holds the headers, and the first row of a bulk file
_COLUMN = re.compile(rb"\bflux_error\b", re.IGNORECASE)
# Columns of RVS spectra that BP/RP spectra, with the same flux columns, do not have.
_MARKS = re.compile(rb"\b(combined_transits|combined_ccds|deblended_ccds)\b", re.IGNORECASE)


def identify_rvs(first_record: Callable[[bytes], object]) -> Callable[..., bool]:
    """Make the function that the registry asks whether a file is ours.

    Parameters
    ----------
    first_record : callable
        Reads the first spectrum of a file's bytes, or raises `SpectrumError`; asked only if the header names
        the flux columns but nothing that is peculiar to the RVS.

    Returns
    -------
    callable
        ``identifier(origin, path, fileobj, *args, **kwargs) -> bool``.
    """

    def identifier(origin: str, path, fileobj, *args, **kwargs) -> bool:
        source = fileobj if fileobj is not None else path if path is not None else args[0] if args else None
        if origin != "read" or not (hasattr(source, "read") or isinstance(source, (str, Path))):
            return False
        if hasattr(source, "read"):
            return _is_rvs(source, first_record)
        with open(source, "rb") as opened:
            return _is_rvs(opened, first_record)

    return identifier


def _is_rvs(source: BinaryIO, first_record: Callable[[bytes], object]) -> bool:
    source.seek(0)
    head = source.read(_HEAD)
    if sniff(head) == "zip":
        return _zip_has_rvs(source, first_record)
    text = _unzipped(head)
    if not _COLUMN.search(text):
        return False
    if _MARKS.search(text):
        return True
    source.seek(0)
    return _readable(first_record, source.read())


def _zip_has_rvs(source: BinaryIO, first_record: Callable[[bytes], object]) -> bool:
    source.seek(0)
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                if _is_rvs(member, first_record):
                    return True
    return False


def _unzipped(head: bytes) -> bytes:
    if sniff(head) != "gzip":
        return head
    return zlib.decompressobj(wbits=31).decompress(head, _HEAD)


def _readable(first_record: Callable[[bytes], object], data: bytes) -> bool:
    try:
        first_record(data)
    except SpectrumError:
        return False
    return True
