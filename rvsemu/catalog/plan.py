"""What a run is: inputs in groups, settings and emulator as text, kept in its folder and compared when it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .._storage import replacing
from ..emulator import Emulator
from ..errors import SettingsError, SpectrumError

__all__ = [
    "PLAN",
    "agreed",
    "changed",
    "check_unchanged",
    "described",
    "groups",
    "groups_of",
    "made_with",
    "stamps_of",
]

PLAN = "_run.json"
"""Name of the file in the folder of a catalogue that says what the run is."""
_FORMAT = 3
_SAME_GROUPS = (2, 3)  # formats whose files are grouped as they are now
GROUP = 2**24  # bytes of files that are taken together: some 800 spectra of Gaia DR3 in bulk files, 80 in CSV
_MOST_FILES = 1000
_BLOCKS, _BLOCK = 32, 2**16  # what is compared of files that are longer than a group
_READERS = 8  # threads: files are on disks that many may read from
_NAMES = (
    "format",
    "rvsemu",
    "settings",
    "emulator",
    "rows",
    "transits",
    "inputs",
)  # what a run that goes on must have in common
_BEFORE = {"transits": "alone"}  # of runs that were begun when there was no choice
_SOURCE = re.compile(r"\d{10,19}")  # in the name of a file: the first number so long is that of the source


def groups(files: Sequence[str]) -> list[tuple[str, ...]]:
    """Files in order, small ones taken together: the share of a worker, and what partitions are numbered in.

    Files that have the same source in their names are never in different groups.
    """
    return _grouped((file, os.path.getsize(file)) for file in files)


def groups_of(folder: Path) -> int | None:
    """Number of the groups of the run in a folder; None if that does not say it."""
    try:
        run = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        sized = [(str(file), int(size)) for file, size, _ in run["inputs"]]
        return len(_grouped(sized)) if run["format"] in _SAME_GROUPS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _grouped(sized: Iterable[tuple[str, int]]) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    some: list[str] = []
    total = 0
    for file, size in sized:
        if some and (total + size > GROUP or len(some) >= _MOST_FILES) and not _same_source(some[-1], file):
            out.append(tuple(some))
            some, total = [], 0
        some.append(file)
        total += size
    return [*out, tuple(some)] if some else out


def _same_source(one: str, other: str) -> bool:
    found = [_SOURCE.search(os.path.basename(file)) for file in (one, other)]
    return None not in found and len({match[0] for match in found if match}) == 1


def described(
    files: Iterable[str], settings: Mapping[str, Any], emulator: Emulator, rows: int, transits: str
) -> dict[str, Any]:
    """What a run is, for JSON.

    Raises
    ------
    SettingsError
        One of the settings cannot be sent to other processes.
    """
    about = {"rows": rows, "transits": transits, "inputs": _contents(files)}
    return {"format": _FORMAT, **made_with(settings, emulator), **about}


def made_with(settings: Mapping[str, Any], emulator: Any) -> dict[str, Any]:
    """What labels depend on besides the spectra, for JSON: code, settings, and an emulator or inversion.

    Raises
    ------
    SettingsError
        One of the settings cannot be sent to other processes.
    """
    info = emulator.info
    return {
        "rvsemu": version("rvsemu"),
        "emulator": {
            "fingerprint": fingerprint(emulator),
            "recipe": info.get("recipe"),
            "version": info.get("version"),
        },
        "settings": {name: _plain(name, value) for name, value in sorted(settings.items())},
    }


def _contents(files: Iterable[str]) -> list[list]:
    """Name, size and digest of the content of each file."""
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(_content, files))


def stamps_of(files: Iterable[str]) -> dict[str, int]:
    """When each file was written last."""
    return {file: os.stat(file).st_mtime_ns for file in files if os.path.exists(file)}


def check_unchanged(inputs: Sequence[Sequence], before: Mapping[str, int]) -> None:
    """Refuse files that have become others since they had the stamps of `before`; a missing one has been read.

    Raises
    ------
    SpectrumError
        The content of one has changed.
    """
    now = stamps_of(file for file, *_ in inputs)
    for one in inputs:
        if one[0] in now and now[one[0]] != before[one[0]] and _content(one[0]) != list(one):
            raise SpectrumError(
                f"{one[0]} has changed while it was read, so that some of its labels may be those of the old file: "
                "wait until the inputs are complete, and run again with another folder."
            )


def _content(file: str) -> list:
    """Of files longer than `GROUP` the digest is that of parts; packed ones change everywhere behind a change."""
    size, digest = os.path.getsize(file), hashlib.blake2b(digest_size=8)
    step = 0 if size <= GROUP else (size - _BLOCK) // (_BLOCKS - 1)
    with open(file, "rb") as opened:
        for number in range(_BLOCKS if step else 1):
            opened.seek(number * step)
            digest.update(opened.read(_BLOCK if step else -1))
    return [file, size, digest.hexdigest()]


def agreed(folder: Path, run: Mapping[str, Any], resume: bool) -> None:
    """Keep what the run is in its folder; refuse a folder of another run, or of one that is not to be resumed.

    Raises
    ------
    SpectrumError
        The folder is not empty and not to be resumed, or is that of another run.
    """
    plan = folder / PLAN
    if plan.exists() and resume:
        try:
            found = _BEFORE | json.loads(plan.read_text(encoding="utf-8"))
            different = changed(found, run, _NAMES)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpectrumError(f"{plan} cannot be read ({error}): give another folder.") from None
        if different:
            back = ", install that version" if {"format", "rvsemu"} & set(different) else ""
            differences = ", ".join(different.values())
            raise SpectrumError(
                f"{folder} was made with other {differences}: give another folder{back}, or what it was made with."
            )
        return
    if any(path.name[0] != "." for path in folder.iterdir()):
        what = "has a catalogue: go on with it by resume=True (--resume), or" if plan.exists() else "is not empty:"
        raise SpectrumError(f"{folder} {what} give another folder.")
    with replacing(plan) as temporary:
        temporary.write_text(json.dumps(run, indent=1), encoding="utf-8")


def changed(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """What of a run is not as it was, in words, by the names of these parts of it; `old` was read from JSON."""
    same = json.loads(json.dumps(new))
    return {name: _difference(name, old[name], same[name]) for name in names if old[name] != same[name]}


def _difference(name: str, old: Any, new: Any) -> str:
    """What of a run was other than it is now, in words."""
    if name == "format":
        return f"code, which wrote format {old} of such folders, and this one writes {new}"
    if name == "rvsemu":
        return f"code: rvsemu {old}, and this is {new}"
    if name == "settings":
        names = [one for one in sorted({*old, *new}) if old.get(one, "default") != new.get(one, "default")]
        return "settings (" + ", ".join(f"{one}: {old.get(one, 'default')}" for one in names) + ")"
    if name == "inputs":
        return f"input files ({_changed_file(old, new)})"
    return f"emulator ({old['recipe']} {old['version']})" if name == "emulator" else f"{name}={old}"


def _changed_file(old: list[list], new: list[list]) -> str:
    """The first of the input files that is not as it was."""
    before, now = ({file: about for file, *about in files} for files in (old, new))
    for words, files in (("is missing", before.keys() - now.keys()), ("is new", now.keys() - before.keys())):
        if files:
            return f"{min(files)} {words}"
    changed = [file for file in now if now[file] != before[file]]
    return f"the content of {changed[0]} has changed" if changed else "in another order, or not as many times"


def fingerprint(emulator: Any) -> str:
    """Twelve hexadecimal digits that change with anything in an emulator or inversion that results depend on.

    Of its `info` that is the calibration alone.
    """
    digest = hashlib.sha256(json.dumps(emulator.info.get("calibration"), sort_keys=True).encode())
    _add(digest, emulator)
    return digest.hexdigest()[:12]


def _add(digest: Any, part: Any) -> None:
    if isinstance(part, np.ndarray):
        digest.update(np.ascontiguousarray(part).tobytes())
    elif is_dataclass(part):
        for field in fields(part):
            if field.name != "info":
                _add(digest, getattr(part, field.name))
    elif isinstance(part, list | tuple):
        for one in part:
            _add(digest, one)
    else:
        digest.update(repr(part).encode())


def _plain(name: str, value: Any) -> Any:
    """A setting for JSON: itself if it is simple, else a digest of its content."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, np.random.Generator):
        raise SettingsError("seed: a catalogue needs a whole number, as its stars are fitted in any order.")
    if isinstance(value, Mapping):
        return {str(key): _plain(name, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, one) for one in value]
    try:
        return f"{type(value).__name__} {hashlib.sha256(pickle.dumps(value)).hexdigest()[:12]}"
    except Exception as error:  # whatever objects raise that cannot be pickled
        raise SettingsError(
            f"{name}={value!r} cannot be sent to other processes ({error}): give numbers, a frozen distribution of "
            "scipy.stats, or, in place of a lambda, a function that a module defines by its name."
        ) from None
