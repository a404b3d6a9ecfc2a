"""Files: written so that a reader never meets a half-written one, opened with care, found by name."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from itertools import count
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from ._values import one, shown
from .errors import RvsemuError

__all__ = [
    "DAMAGE",
    "arrays_of",
    "cache_folder",
    "check_folder",
    "check_named",
    "check_output",
    "is_path",
    "kind_of",
    "made_folder",
    "opened",
    "put",
    "replacing",
    "shipped_file",
    "shipped_files",
    "stamp",
]

_FORMAT = "rvsemu "
_COMMAND = {
    "emulator": "rvsemu train",
    "inversion": "rvsemu train --recipe inversion",
    "posterior": "rvsemu sample",
}
_LARGE = {"emulator": "gebran2024", "inversion": "gebran2024-inversion"}  # not in the package
_NUMBER = count()

DAMAGE = (*(ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),)
"""Whatever may be raised while a file is read that is damaged."""

MOST = 2**31
"""Bytes that the datasets of a file may have in memory."""
_ALWAYS = 2**26  # bytes that they may have however small the file is
_MOST_PACKED = 200  # bytes in memory for one in the file: networks reach 2, zeros packed by gzip 1000


# ---------------------------------------------------------------- writing
def check_folder(path, error: type[RvsemuError]) -> Path:
    """`path` as a Path, if the folder that it is to be in exists; else an `error`."""
    if not isinstance(path, str | os.PathLike):
        raise error(f"path={shown(path)}: give the name of a file.")
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise error(f"{path}: the folder {path.absolute().parent} does not exist; make it first.")
    return path


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, else delete it.

    What was written is on the disk before it gets its name. Errors of the file system are about `path`. Of a symbolic
    link, the file that it leads to is replaced.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_NUMBER)}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as e:
        if e.filename is None or Path(os.fsdecode(e.filename)) == temporary:
            e.strerror = e.strerror or str(e)  # of astropy and h5py, which say it in another way
            e.filename, e.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path):
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


# ---------------------------------------------------------------- NumPy archives
def arrays_of(path: Path, error: type[RvsemuError], remedy: str) -> dict[str, np.ndarray]:
    """Arrays of a NumPy archive that the package has written, by name; a damaged one becomes an `error`."""
    try:
        with open(path, "rb") as opened, np.load(opened) as archive:
            return {name: archive[name] for name in archive.files}
    except (AttributeError, EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as e:
        raise error(f"{path} is damaged ({e}): {remedy}.") from None


# ---------------------------------------------------------------- HDF5 files of a kind and a version
def stamp(file: h5py.File, kind: str, version: int) -> None:
    """Write what `opened` checks into a new file."""
    file.attrs["format"], file.attrs["format_version"] = _FORMAT + kind, version


def put(group: h5py.Group, name: str, values: ArrayLike, packed: bool = False) -> h5py.Dataset:
    """Write an array with checksums, by which a reader notices damage, and `packed` where that saves room."""
    values = np.asarray(values)
    if not values.size or not values.ndim:  # HDF5 takes them in one piece, which has no checksum
        return group.create_dataset(name, data=values)
    packing = {"compression": "gzip", "shuffle": True} if packed else {}
    return group.create_dataset(name, data=values, fletcher32=True, **packing)


@contextmanager
def opened(path, kind: str, newest: int, error: type[RvsemuError]) -> Iterator[h5py.File]:
    """The open file of a trained model or a posterior; whatever is wrong with it becomes one `error`.

    Parameters
    ----------
    path : path
    kind : {'emulator', 'inversion', 'posterior'}
        What the file must be.
    newest : int
        The highest format version that can be read.
    error : type
        A subclass of `RvsemuError`.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_format(file, path, kind, newest, error)
            _check_size(file, os.path.getsize(path))
            yield file
    except FileNotFoundError:
        raise error(f"{path} does not exist: give the path of {_a(kind)} file.") from None
    except IsADirectoryError:
        raise error(f"{path} is a folder: give the path of {_a(kind)} file.") from None
    except error:
        raise
    except DAMAGE as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise error(
            f"{path} is damaged or not {_a(kind)} file ({reason}): get a fresh copy, or make it again with "
            f"'{_COMMAND[kind]}'."
        ) from e


def kind_of(path) -> str | None:
    """``"emulator"``, ``"inversion"`` or ``"posterior"``, as the file says of itself; None if it cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            stated = str(file.attrs.get("format", ""))
    except OSError:
        return None
    return stated.removeprefix(_FORMAT) if stated.startswith(_FORMAT) else None


def _a(kind):
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _check_format(file, path, kind, newest, error):
    stated = str(file.attrs.get("format", ""))
    if stated != _FORMAT + kind:
        what = f"an {stated}" if stated.removeprefix(_FORMAT) in _COMMAND else "some other file"
        raise error(f"{path} is not an rvsemu {kind} but {what}: '{_COMMAND[kind]}' makes them.")
    version = one("format_version", file.attrs["format_version"])
    if version < 1:
        raise ValueError(f"{kind} format {version:g}")
    if version > newest:
        raise error(
            f"{path} has {kind} format {version:g}, this rvsemu reads up to {newest}: "
            "update it with 'pip install --upgrade rvsemu'."
        )


def _check_size(file, size):
    """Refuse what would fill the memory, before it is read: promised sizes, packed nothing, data in other files."""
    total, allowed = 0, min(MOST, max(_ALWAYS, _MOST_PACKED * size))

    def visit(name, item):
        nonlocal total
        if isinstance(item, h5py.Group):
            elsewhere = [key for key in item if not isinstance(item.get(key, getlink=True), h5py.HardLink)]
        else:
            elsewhere = [name] if item.external or item.is_virtual else []
            total += (item.size or 0) * item.dtype.itemsize
        if elsewhere:
            raise ValueError(f"{elsewhere[0]} is a link to another place")
        if total > allowed:
            raise ValueError(
                f"with {name} of the shape {item.shape} it takes more than {allowed / 1e6:.0f} MB of memory"
            )

    visit("/", file)
    file.visititems(visit)


# ---------------------------------------------------------------- finding
def shipped_files(kind: str) -> dict[str, Path]:
    """Files of a kind ('emulator', 'inversion') that come with the package, by their names without ``.h5``.

    They are in its folder ``data``; in a checkout of its repository there are larger ones in ``models``.
    """
    package = Path(str(resources.files("rvsemu")))
    places = [package / "data" / f"{kind}s"]
    if (package.parent / "pyproject.toml").is_file():
        places.append(package.parent / "models" / f"{kind}s")
    return {file.stem: file for place in places for file in sorted(place.glob("*.h5"))}


def shipped_file(name: str, kind: str, error: type[RvsemuError]) -> Path:
    """The one of this name among `shipped_files`; an `error` that says what to do if there is none."""
    files = shipped_files(kind)
    if name in files:
        return files[name]
    if name == _LARGE.get(kind):
        raise error(
            f"{kind} '{name}' is too large for the package: train it ('rvsemu train --recipe {name} --library FILE') "
            f"and give its file, or use a checkout of the repository that has models/{kind}s/{name}.h5."
        )
    there = f"use one of {', '.join(sorted(files))}, or" if files else "none comes with this copy of rvsemu:"
    raise error(
        f"{kind} '{name}' is not shipped: {there} give the file of your own ({kind}=FILE, --{kind} FILE), "
        f"which '{_COMMAND[kind]} --library FILE' makes."
    )


def is_path(given) -> bool:
    """Whether `given` is meant as the path of a file, and not as the name of a shipped one."""
    return isinstance(given, Path) or bool(Path(str(given)).suffix) or "/" in str(given)


def check_named(given, kind: str, error: type[RvsemuError]) -> None:
    """Refuse with an `error` what is neither a path nor the name of a shipped file of this kind."""
    if not isinstance(given, str | os.PathLike):
        raise error(f"{kind}={given!r}: give the name of a shipped {kind}, the path of a file, or {_a(kind)}.")


def cache_folder() -> Path:
    """``$RVSEMU_CACHE``, or ``rvsemu`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    if named := os.environ.get("RVSEMU_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rvsemu"


def check_output(path: str | os.PathLike, error: type, overwrite: bool = False) -> Path:
    """The path, if a file can be written there: its folder exists, and it is none itself.

    Raises
    ------
    error
        It cannot; or the file is there, and `overwrite` does not allow to replace it.
    """
    path = check_folder(path, error)
    if path.is_dir():
        raise error(f"{path} is a folder: give the name of a file.")
    if path.exists() and not overwrite:
        raise error(f"{path} exists: give another name, or allow it to be replaced (overwrite=True, --overwrite).")
    return path


@contextmanager
def made_folder(path: str | os.PathLike):
    """Yield a folder, made with its parents; what was made and is still empty after a failure is removed again."""
    path = Path(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # it holds something
                folder.rmdir()
        raise
