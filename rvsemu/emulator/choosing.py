"""Which emulator is meant."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike
from pathlib import Path

from .._storage import check_named, is_path, shipped_file
from ..errors import EmulatorFileError
from .model import Emulator

__all__ = ["DEFAULT", "resolve", "shipped"]

DEFAULT = "default"


def shipped(name: str = DEFAULT) -> Emulator:
    """An emulator that comes with the package, by the name of its recipe; read once a process.

    That is "default"; in a checkout of the repository those of its folder ``models/emulators``, too.

    Raises
    ------
    EmulatorFileError
        There is none of that name.

    Examples
    --------
    >>> import rvsemu
    >>> emulator = rvsemu.shipped("default")
    >>> emulator.labels.names[:4]
    ('teff', 'logg', 'vsini', 'mh')
    """
    return _loaded_once(shipped_file(name, "emulator", EmulatorFileError))


@lru_cache(maxsize=4)
def _loaded_once(path: Path) -> Emulator:
    return Emulator.load(path)


def resolve(emulator: Emulator | str | PathLike | None = None) -> Emulator:
    """The `Emulator` meant by None (the default one), a shipped name, a path, or an Emulator."""
    if isinstance(emulator, Emulator):
        return emulator
    if emulator is None:
        return shipped()
    check_named(emulator, "emulator", EmulatorFileError)
    return Emulator.load(emulator) if is_path(emulator) else shipped(str(emulator))
