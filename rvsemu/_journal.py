"""Changes to an HDF5 file that happen as a whole or not at all, however the process ends.

HDF5 writes into the middle of its files, and one that is interrupted there may never open again. Here changes are
collected in memory, then written to a journal beside the file, and only then to the file itself. Whoever finds a
journal finishes what it says. The cost of a change is that of the bytes that change, however large the file is.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import h5py
import numpy as np

from ._storage import replacing

try:
    import fcntl
except ImportError:  # not a Unix: one process a file at a time
    fcntl = None

__all__ = ["reading", "transaction"]

_PAGE = 4096


@contextlib.contextmanager
def transaction(path):
    """Yield an `h5py.File` to read and write; `path` changes when the block ends without an exception.

    The file is made if there is none. Several processes may take turns.
    """
    path = Path(path)
    if not path.exists():
        _create(path)
    with open(path, "rb") as base, _locked(base):
        _recover(path)
        overlay = _Overlay(base)
        with h5py.File(overlay, "r+") as file:
            yield file
        with replacing(_journal(path)) as temporary, open(temporary, "wb") as journal:
            pages = overlay.changed
            index = np.fromiter(pages, dtype=np.int64, count=len(pages))
            np.savez(journal, length=overlay.length, index=index, pages=np.frombuffer(b"".join(pages.values()), "u1"))
            _to_disk(journal)
        _recover(path)


@contextlib.contextmanager
def reading(path):
    """Yield an `h5py.File` to read, after finishing an interrupted `transaction` if there was one."""
    with open(path, "rb") as base, _locked(base):
        _recover(path)
        _share(base)  # h5py takes a shared lock itself
        with h5py.File(path, "r") as file:
            yield file


def _recover(path) -> None:
    journal = _journal(path)
    if not journal.exists():
        return
    with np.load(journal) as change, open(path, "r+b") as file:
        for number, page in zip(change["index"], change["pages"].reshape(-1, _PAGE), strict=True):
            file.seek(int(number) * _PAGE)
            file.write(page.tobytes())
        file.truncate(int(change["length"]))
        _to_disk(file)
    journal.unlink()


def _journal(path) -> Path:
    return Path(path).with_name(f"{Path(path).name}.journal")


def _create(path) -> None:
    """An HDF5 file with nothing in it; another process may do the same at the same time."""
    with replacing(path.with_name(f".{path.name}.{os.getpid()}.new")) as temporary:
        h5py.File(temporary, "w").close()
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    path.with_name(f".{path.name}.{os.getpid()}.new").unlink()


@contextlib.contextmanager
def _locked(file):
    if fcntl is None:
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _share(file) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_SH)


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


class _Overlay(io.RawIOBase):
    """A binary file whose changes stay in memory, in pages; what `h5py.File` asks of a file object."""

    def __init__(self, base):
        super().__init__()
        self._base, self._at = base, 0
        self.length = base.seek(0, io.SEEK_END)
        self.changed: dict[int, bytearray] = {}

    def seek(self, offset, whence=io.SEEK_SET):
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.length}[whence]
        return self._at

    def tell(self):
        return self._at

    def readable(self):
        return True

    def writable(self):
        return True

    def seekable(self):
        return True

    def truncate(self, size=None):
        self.length = self._at if size is None else size
        return self.length

    def readinto(self, buffer):
        size = max(0, min(len(buffer), self.length - self._at))
        done = 0
        while done < size:
            page, start, count = self._piece(size - done)
            buffer[done : done + count] = page[start : start + count]
            done, self._at = done + count, self._at + count
        return size

    def write(self, data):
        done = 0
        while done < len(data):
            page, start, count = self._piece(len(data) - done)
            page[start : start + count] = data[done : done + count]
            self.changed[self._at // _PAGE] = page
            done, self._at = done + count, self._at + count
        self.length = max(self.length, self._at)
        return done

    def _piece(self, size):
        """The page at the present place, the place in it, and how many of `size` bytes it holds from there."""
        number, start = divmod(self._at, _PAGE)
        page = self.changed.get(number)
        if page is None:
            self._base.seek(number * _PAGE)
            page = bytearray(self._base.read(_PAGE).ljust(_PAGE, b"\0"))
        return page, start, min(size, _PAGE - start)
