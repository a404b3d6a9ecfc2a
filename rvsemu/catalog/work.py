"""What a worker does: partitions of a group of input files, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from ..emulator import Emulator
from ..fitting import FitFailure, Settings, fit_stream
from ..spectra.bulk import Entry, entries
from ..spectra.stream import Rejected, usable
from .columns import columns_of, values_of, what_it_is
from .dataset import part_path, write_part

__all__ = ["EMULATOR", "Task", "work"]

EMULATOR = "_emulator.h5"
"""Name of the copy of the emulator in the folder of a catalogue."""


@dataclass(frozen=True)
class Task:
    """Some of the partitions of a group of files.

    Parameters
    ----------
    folder : str
        Of the catalogue; all workers see it under this name.
    files : tuple of str
        The group.
    unit : int
        Its number.
    first, stride : int
        Partitions first, first + stride, ... are to be made, those that are not there.
    rows : int
        Spectra in a partition.
    run : dict
        What the run is, with the fingerprint of the emulator; for the metadata.
    settings : dict
        Arguments of `rvsemu.fit`, but the emulator.
    """

    folder: str
    files: tuple[str, ...]
    unit: int
    first: int
    stride: int
    rows: int
    run: Mapping[str, Any]
    settings: Mapping[str, Any]


def work(task: Task) -> None:
    """Make the partitions of a task."""
    folder = Path(task.folder)
    settings = {**task.settings, "emulator": _emulator(folder / EMULATOR, task.run["emulator"]["fingerprint"])}
    columns = columns_of(Settings(**settings))
    stream: Iterator[tuple[str, Entry]] = ((file, entry) for file in task.files for entry in entries(file))
    head = next(stream, None)
    for number in count():
        some: Iterator[tuple[str, Entry]] = chain([head], islice(stream, task.rows - 1)) if head else iter(())
        path = part_path(folder, task.unit, number)
        mine = number % task.stride == task.first and not path.exists()
        rows, rejects = _fitted(some, settings) if mine else ([], [])
        deque(some, maxlen=0)
        head = next(stream, None)
        if mine:
            about = {"unit": task.unit, "number": number, "last": head is None, "run": task.run}
            write_part(path, columns, rows, rejects, about)
        if head is None:
            return


@lru_cache(maxsize=1)
def _emulator(path: Path, fingerprint: str) -> Emulator:
    """Emulator of a run, read once a process."""
    return Emulator.load(path)


def _fitted(some: Iterable[tuple[str, Entry]], settings: Mapping[str, Any]) -> tuple[list[dict], list[Rejected]]:
    """Rows of the table, and what could not be used."""
    rejects: list[Rejected] = []
    known: deque[dict] = deque()  # of spectra whose results have not come yet

    def spectra() -> Iterator[Any]:
        for file, entry in some:
            found = usable(entry, file)
            if isinstance(found, Rejected):
                rejects.append(found)
            else:
                known.append(what_it_is(found))
                yield found

    rows = []
    for result in fit_stream(spectra(), on_error="skip", **settings):
        about = known.popleft()
        if isinstance(result, FitFailure):
            meta = result.meta
            source, transit = meta.get("source_id"), meta.get("transit_id")
            rejects.append(Rejected(str(meta["file"]), str(result.error), source, transit))
        else:
            rows.append(values_of(result, about))
    return rows, rejects
