"""Writing files so that a reader never meets a half-written one, and finding those of the package."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

__all__ = ["check_output", "is_path", "made_folder", "replacing", "shipped_files"]


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def shipped_files(folder: str) -> dict[str, Path]:
    """Files that come with the package in ``data/<folder>``, by their names without ``.h5``."""
    found = resources.files("rvsemu") / "data" / folder
    if not found.is_dir():
        return {}
    return {Path(f.name).stem: Path(str(f)) for f in found.iterdir() if f.name.endswith(".h5")}


def is_path(given) -> bool:
    """Whether `given` is meant as the path of a file, and not as the name of a shipped one."""
    return isinstance(given, Path) or str(given).endswith((".h5", ".hdf5")) or "/" in str(given)


def check_output(path: str | os.PathLike, error: type, overwrite: bool = False) -> Path:
    """The path, if a file can be written there: its folder exists, and it is none itself.

    Raises
    ------
    error
        It cannot; or the file is there, and `overwrite` does not allow to replace it.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise error(f"{path}: the folder {path.absolute().parent} does not exist; make it first.")
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
