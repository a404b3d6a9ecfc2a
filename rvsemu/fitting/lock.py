"""One process at a time for a file that many may want to write."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import PosteriorFileError

try:
    import fcntl
except ImportError:  # not a Unix: whoever starts two programs with one file is not warned
    fcntl = None  # type: ignore[assignment]

__all__ = ["exclusive"]

_log = logging.getLogger(__name__)
_SILENT = 1.0  # seconds to wait without a word
_PAUSE = 0.1


@contextmanager
def exclusive(path: Path, patience: float, name: Path | None = None) -> Iterator[None]:
    """Keep other processes that ask for the same away from `path` while the block runs.

    The lock is on a file ``.<name>.lock`` beside `path`, as `path` itself is replaced whenever it is written. The
    system releases it when the process ends, however that happens. After a second of waiting there is a message. It is
    about `name`: the file itself, or a folder that it stands for.

    Raises
    ------
    PosteriorFileError
        Another process has had it for `patience` seconds, or nothing can be written beside `path`.
    """
    if fcntl is None:
        yield
        return
    beside = path.with_name(f".{path.name}.lock")
    file = _acquired(name or path, beside, patience)
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        file.close()


def _acquired(path, beside, patience) -> IO[str]:
    begun, said = time.monotonic(), False
    while (file := _tried(path, beside)) is None:
        waited = time.monotonic() - begun
        if waited > patience:
            raise PosteriorFileError(
                f"{path} is being written by another process{_owner(beside)}{_since(patience)}: wait until it has "
                f"ended, or give another {'folder' if path.is_dir() else 'file'}."
            )
        if waited > _SILENT and not said:
            said = True
            _log.warning(
                "%s is being written by another process%s: waiting for up to %g s", path, _owner(beside), patience
            )
        time.sleep(_PAUSE)
    return file


def _tried(path, beside) -> IO[str] | None:
    """The open lock file, or None if another process has it."""
    try:
        file = open(beside, "a+")
    except OSError as e:
        raise PosteriorFileError(f"{path} cannot be written ({e.strerror}): give a file in another folder.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == os.stat(beside).st_ino:
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            return file
    except (BlockingIOError, FileNotFoundError):  # held, or held until now and removed by who held it
        pass
    except OSError:  # a file system without locks
        return file
    file.close()
    return None


def _since(patience: float) -> str:
    return f", for more than {patience:g} s" if patience else ""


def _owner(beside) -> str:
    try:
        number = beside.read_text().strip()
    except OSError:
        return ""
    return f" (number {number})" if number.isdigit() else ""
