"""What a worker does: partitions of a group of input files, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from ..emulator import Emulator
from ..errors import SpectrumError
from ..fitting import FitFailure, FitResult, Settings, fit_many
from ..spectra.bulk import Entry, entries
from ..spectra.stream import Rejected, usable
from .columns import columns_of, values_of, what_it_is
from .dataset import part_path, write_part

__all__ = ["EMULATOR", "Task", "work"]

EMULATOR = "_emulator.h5"
"""Name of the copy of the emulator in the folder of a catalogue."""

_AT_ONCE = 64


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
    rows: list[dict] = []
    rejects: list[Rejected] = []
    found = (usable(entry, file) for file, entry in some)
    while block := list(islice(found, _AT_ONCE)):
        rejects += [one for one in block if isinstance(one, Rejected)]
        spectra = [one for one in block if not isinstance(one, Rejected)]
        for spectrum, result in zip(spectra, _results(spectra, settings), strict=True):
            if isinstance(result, FitFailure):
                source, transit = (spectrum.meta.get(name) for name in ("source_id", "transit_id"))
                rejects.append(Rejected(str(spectrum.meta["file"]), str(result.error), source, transit))
            else:
                rows.append(values_of(result, what_it_is(spectrum)))
    return rows, rejects


def _results(spectra: Sequence[Any], settings: Mapping[str, Any]) -> list[FitResult | FitFailure]:
    """Results of spectra; one for which the program fails is a failure of its own, as there are millions of others."""
    try:
        return fit_many(iter(spectra), on_error="skip", **settings)
    except MemoryError:
        raise
    except Exception as error:
        if len(spectra) == 1:
            reason = SpectrumError(f"the program failed ({type(error).__name__}: {error}): please report it.")
            return [FitFailure(reason, dict(spectra[0].meta))]
        return [_results([one], settings)[0] for one in spectra]
