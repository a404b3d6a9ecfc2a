"""What the C library does with freed memory, which decides how fast large networks are trained on processors."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kept_memory"]

_KEPT = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 2**28), "M_ARENA_MAX": (-8, 2)}
_USUAL = {  # thresholds as they become by themselves with large arrays, but not after they were set
    "M_MMAP_MAX": (-4, 2**16),
    "M_MMAP_THRESHOLD": (-3, 2**25),
    "M_TRIM_THRESHOLD": (-1, 2**26),
    "M_TOP_PAD": (-2, 2**17),
    "M_ARENA_MAX": (-8, 0),
}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let glibc keep memory that is freed, inside of a ``with`` block, for the next array of the same size.

    By default each array above 128 kB to 32 MB is a new one of the operating system, which fills every page of it with
    zeros: 40 % of the time of a training. See mallopt(3). Other C libraries are left as they are.
    """
    _set(_KEPT)
    try:
        yield
    finally:
        _set(_USUAL)


def _set(options: dict[str, tuple[int, int]]) -> None:
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in options.values():
            library.mallopt(option, value)
