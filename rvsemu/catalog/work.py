"""What a worker does: partitions of a group of input files, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from specutils import Spectrum

from ..emulator import Emulator
from ..errors import RvsemuError, SpectrumError
from ..fitting import FitFailure, FitResult, Settings, fit_many, fit_transits
from ..fitting.transits import MOST_TRANSITS
from ..spectra.bulk import Entry, entries
from ..spectra.records import PlainSpectrum
from ..spectra.stream import Rejected, usable
from .columns import columns_of, star_values, values_of, what_it_is
from .dataset import part_path, write_part

__all__ = ["EMULATOR", "Stream", "Task", "by_frame", "emulator_of", "fitted_stars", "stars_of", "work"]

EMULATOR = "_emulator.h5"
"""Name of the copy of the emulator in the folder of a catalogue."""

_AT_ONCE = 64
_last: list[Emulator] = []  # that of the tasks before


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
    joint : bool
        Whether transits of a star are fitted together.
    """

    folder: str
    files: tuple[str, ...]
    unit: int
    first: int
    stride: int
    rows: int
    run: Mapping[str, Any]
    settings: Mapping[str, Any]
    joint: bool = False


def work(task: Task) -> None:
    """Make the partitions of a task."""
    folder = Path(task.folder)
    settings = {**task.settings, "emulator": emulator_of(folder / EMULATOR)}
    columns = columns_of(Settings(**settings), task.joint)
    stream = Stream((file, entry) for file in task.files for entry in entries(file))
    for number in count():
        path = part_path(folder, task.unit, number)
        mine = number % task.stride == task.first and not path.exists()
        before, some = stream.before, islice(stream, task.rows)
        rows: list[dict] = []
        rejects: list[Rejected] = []
        if mine and task.joint:
            rows, rejects = fitted_stars(stars_of(before, some, stream), settings)
        elif mine:
            rows, rejects = _fitted(some, settings)
        deque(some, maxlen=0)
        last = stream.peek(0) is None
        if mine:
            about = {"unit": task.unit, "number": number, "last": last, "run": task.run}
            write_part(path, columns, rows, rejects, about)
        if last:
            return


class Stream(Iterator):
    """Entries of files one after the other, of which the last one is remembered and the next ones can be seen.

    Parameters
    ----------
    entries : iterator of (str, Entry)

    Attributes
    ----------
    before : (str, Entry) or None
        The last one.
    """

    def __init__(self, entries: Iterator[tuple[str, Entry]]):
        self._entries, self._ahead = entries, deque[tuple[str, Entry]]()
        self.before: tuple[str, Entry] | None = None

    def __next__(self) -> tuple[str, Entry]:
        self.before = self._ahead.popleft() if self._ahead else next(self._entries)
        return self.before

    def peek(self, number: int) -> tuple[str, Entry] | None:
        """The entry that comes after `number` others, or None if there is none."""
        while len(self._ahead) <= number:
            entry = next(self._entries, None)
            if entry is None:
                return None
            self._ahead.append(entry)
        return self._ahead[number]


def emulator_of(path: Path) -> Emulator:
    """Emulator of a run; like the one before, it is that one, which has been searched for starts of fits already."""
    found = Emulator.load(path)
    if not _last or _last[0] != found:
        _last[:] = [found]
    return _last[0]


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
                rejects.append(_rejected(spectrum.meta, result.error))
            else:
                rows.append(values_of(result, what_it_is(spectrum)))
    return rows, rejects


# ---------------------------------------------------------------- stars
def stars_of(
    before: tuple[str, Entry] | None, some: Iterator[tuple[str, Entry]], stream: Stream
) -> Iterator[list[PlainSpectrum | Spectrum | Rejected]]:
    """Entries of a partition in runs of the same source, one after the other, in memory one at a time.

    A run belongs to the partition in which it begins, whose last one goes on in the next. What does not say of which
    source it is, is a run of its own; more than 500 are several.
    """
    earlier = None if before is None else _source(_usable(before))
    run: list[PlainSpectrum | Spectrum | Rejected] = []
    for one in map(_usable, some):
        source = _source(one)
        if source is not None and source == earlier:
            continue
        earlier = None
        if run and (source is None or source != _source(run[0]) or len(run) == MOST_TRANSITS):
            yield run
            run = []
        run.append(one)
    if not run:
        return
    last = _source(run[0])
    for number in count():
        entry = stream.peek(number)
        if last is None or entry is None or _source(one := _usable(entry)) != last:
            break
        if len(run) == MOST_TRANSITS:
            yield run
            run = []
        run.append(one)
    yield run


def _usable(entry: tuple[str, Entry]) -> PlainSpectrum | Spectrum | Rejected:
    return usable(entry[1], entry[0])


def _source(one: PlainSpectrum | Spectrum | Rejected) -> int | None:
    return one.source_id if isinstance(one, Rejected) else one.meta.get("source_id")


def fitted_stars(stars: Iterable[list], settings: Mapping[str, Any]) -> tuple[list[dict], list[Rejected]]:
    """Rows of the table, one a star, and what could not be used."""
    rows: list[dict] = []
    rejects: list[Rejected] = []
    for star in stars:
        bad = [one for one in star if isinstance(one, Rejected)]
        spectra = [one for one in star if not isinstance(one, Rejected)]
        rejects += bad
        for number, some in enumerate(by_frame(spectra)):
            try:
                result = fit_transits(iter(some), **settings)
                rows.append(star_values(result, some, 0 if number else len(bad)))
                rejects += [_rejected(one.meta, one.error) for one in result.skipped]
            except MemoryError:
                raise
            except Exception as error:
                rejects += _all_rejected(some, _reason(error), settings)
    return rows, rejects


def by_frame(spectra: Iterable[Any]) -> list[list[Any]]:
    """Spectra of a star, those in its rest frame apart: a mean spectrum is no transit, and has another velocity."""
    out: dict[bool, list[Any]] = {}
    for one in spectra:
        out.setdefault(one.meta.get("frame") == "rest", []).append(one)
    return list(out.values())


def _all_rejected(spectra: Sequence[Any], reason: RvsemuError, settings: Mapping[str, Any]) -> Iterator[Rejected]:
    """The transits of a star that cannot be fitted together: each with its own reason, if it has one."""
    for one in spectra:
        (alone,) = _results([one], settings) if isinstance(reason, SpectrumError) else (None,)
        yield _rejected(one.meta, alone.error if isinstance(alone, FitFailure) else reason)


def _rejected(meta: Mapping[str, Any], reason: Exception) -> Rejected:
    return Rejected(str(meta["file"]), str(reason), meta.get("source_id"), meta.get("transit_id"))


def _reason(error: Exception) -> RvsemuError:
    """What stands among the rejects for an error; one of the program is worth a report."""
    if isinstance(error, RvsemuError):
        return error
    return SpectrumError(f"the program failed ({type(error).__name__}: {error}): please report it.")


# ---------------------------------------------------------------- spectra
def _results(spectra: Sequence[Any], settings: Mapping[str, Any]) -> list[FitResult | FitFailure]:
    """Results of spectra; one for which the program fails is a failure of its own, as there are millions of others."""
    try:
        return fit_many(iter(spectra), on_error="skip", **settings)
    except MemoryError:
        raise
    except Exception as error:
        if len(spectra) == 1:
            reason = _reason(error)
            return [FitFailure(reason, dict(spectra[0].meta))]
        return [_results([one], settings)[0] for one in spectra]
