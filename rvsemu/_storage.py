"""Writing files so that a reader never meets a half-written one, and finding those of the package."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

__all__ = ["is_path", "replacing", "shipped_files"]


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
