"""What a run is: inputs in groups, settings and emulator as text, kept in its folder and compared when it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .._storage import replacing
from ..emulator import Emulator
from ..errors import SettingsError, SpectrumError

__all__ = ["PLAN", "agreed", "described", "groups"]

PLAN = "_run.json"
"""Name of the file in the folder of a catalogue that says what the run is."""
_FORMAT = 1
GROUP = 2**24  # bytes of files that are taken together: some 800 spectra of Gaia DR3 in bulk files, 80 in CSV
_MOST_FILES = 1000
_NAMES = {
    "settings": "settings",
    "emulator": "another emulator",
    "rows": "rows=",
    "transits": "transits=",
    "inputs": "other input files",
}
_BEFORE = {"transits": "alone"}  # of runs that were begun when there was no choice
_SOURCE = re.compile(r"\d{10,19}")  # in the name of a file: the first number so long is that of the source


def groups(files: Sequence[str]) -> list[tuple[str, ...]]:
    """Files in order, small ones taken together: the share of a worker, and what partitions are numbered in.

    Files that have the same source in their names are never in different groups.
    """
    out: list[tuple[str, ...]] = []
    some: list[str] = []
    total = 0
    for file in files:
        size = os.path.getsize(file)
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
    return {
        "format": _FORMAT,
        "rvsemu": version("rvsemu"),
        "emulator": {
            "fingerprint": fingerprint(emulator),
            "recipe": emulator.info.get("recipe"),
            "version": emulator.info.get("version"),
        },
        "settings": {name: _plain(name, value) for name, value in sorted(settings.items())},
        "rows": rows,
        "transits": transits,
        "inputs": [[file, os.path.getsize(file)] for file in files],
    }


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
            different = [text for name, text in _NAMES.items() if found[name] != json.loads(json.dumps(run[name]))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpectrumError(f"{plan} cannot be read ({error}): give another folder.") from None
        if different:
            differences = _differences(found, run, different)
            raise SpectrumError(f"{folder} was made with other {differences}: give another folder, or these settings.")
        return
    if any(path.name[0] != "." for path in folder.iterdir()):
        what = "has a catalogue: go on with it by resume=True (--resume), or" if plan.exists() else "is not empty:"
        raise SpectrumError(f"{folder} {what} give another folder.")
    with replacing(plan) as temporary:
        temporary.write_text(json.dumps(run, indent=1), encoding="utf-8")


def _differences(found: Mapping, run: Mapping, different: list[str]) -> str:
    if "settings" not in different:
        return ", ".join(text.removeprefix("another ").removeprefix("other ") for text in different)
    old, new = found["settings"], json.loads(json.dumps(run["settings"]))
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return "settings (" + ", ".join(f"{name}: {old.get(name, 'default')}" for name in names) + ")"


def fingerprint(emulator: Emulator) -> str:
    """Twelve hexadecimal digits that change with anything in an emulator but its `info`."""
    digest = hashlib.sha256()
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
