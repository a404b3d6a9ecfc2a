"""Spectra on their way into a library: one file each, merged from time to time.

HDF5 written in place can be lost whole when the process dies. Here nothing is ever written in place: a spectrum is a
small file that appears under its name when it is complete, and the library is written anew beside the old one and
renamed. Merging what is in the library already changes nothing, so a run killed between the two steps does no harm.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ..._storage import arrays_of, check_folder, replacing
from ...emulator.regions import from_json, to_json
from ...errors import SynthesisError
from ..model import Library
from .settings import Settings

if TYPE_CHECKING:
    from .build import Result

__all__ = ["Journal"]


class Journal:
    """The folder ``<library>.work`` beside a library.

    Parameters
    ----------
    path : path
        Of the library.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.folder = self.path.with_name(self.path.name + ".work")
        self._parts = self.folder / "spectra"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the lock of a process that died does not count."""
        check_folder(self.path, SynthesisError)
        self._parts.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "a") as file:
            if not _lock(file):
                raise SynthesisError(f"another run is writing to {self.path}: wait for it, or give another --out.")
            try:
                yield
            finally:
                if not self._files():
                    shutil.rmtree(self.folder, ignore_errors=True)

    def locked(self) -> bool:
        """Whether a run holds the folder."""
        if not (self.folder / "lock").exists():
            return False
        with open(self.folder / "lock", "a") as file:
            return not _lock(file)

    def scratch(self) -> Path:
        """An empty folder for the runs of SYNSPEC; what killed ones left there is removed."""
        folder = self.folder / "scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder.absolute()

    @property
    def settings(self) -> Settings | None:
        """Of the library, or of the run that has begun it."""
        text = None
        if self.path.exists():
            text = Library.peek(self.path)["info"].get("settings")
        elif (self.folder / "info.json").exists():
            text = self._begun()["settings"]
        return None if text is None else Settings.from_json(text)

    def check_grows(self) -> None:
        """Refuse a library that is not what runs have made of one sequence."""
        if self.path.exists():
            _check_grows(self.path, Library.peek(self.path))

    def begin(self, info: dict[str, str]) -> None:
        """Note down what the spectra to come are made with; refuse other lines, structures or engine."""
        if self.path.exists():
            _check_inputs(json.loads(Library.peek(self.path)["info"]["manifest"]), json.loads(info["manifest"]))
        with replacing(self.folder / "info.json") as temporary:
            temporary.write_text(json.dumps(info))

    def write(self, result: Result) -> None:
        """Keep one result."""
        with replacing(self._parts / f"{result.index}.npz") as temporary, open(temporary, "wb") as file:
            labels, extrapolated, seconds = result.labels, result.extrapolated, result.seconds
            if result.flux is not None:
                flux = result.flux.astype("f4")
                np.savez(file, flux=flux, labels=labels, extrapolated=extrapolated, seconds=seconds)
            else:
                error = str(result.error)
                np.savez(file, error=error, labels=labels, extrapolated=extrapolated, seconds=seconds)

    @property
    def pending(self) -> int:
        """Results not merged yet."""
        return len(self._files())

    def done(self, including_failures: bool = True) -> set[int]:
        """Indices of what is there."""
        failed = {f["index"] for f in self.failures()}
        found = {int(f.stem) for f in self._files()} - failed
        if self.path.exists():
            found |= set(Library.peek(self.path)["index"].tolist())
        return found | failed if including_failures else found

    def failures(self) -> list[dict[str, Any]]:
        """index, labels and error of the spectra that failed."""
        kept = Library.peek(self.path)["failures"] if self.path.exists() else []
        return [*kept, *(_failure(r) for r in map(_read, self._files()) if "error" in r)]

    def merge(self) -> None:
        """Put the results into the library."""
        results = [_read(f) for f in self._files()]
        if not results:
            return
        info = self._begun()
        old = Library.load(self.path) if self.path.exists() else None
        _merged(old, results, info).save(self.path, overwrite=True)
        for file in self._files():
            file.unlink()

    def _begun(self) -> dict[str, str]:
        """What `begin` has noted down."""
        file = self.folder / "info.json"
        try:
            found = json.loads(file.read_text())
            _ = found["settings"], found["manifest"]
        except (KeyError, OSError, TypeError, ValueError) as e:
            raise SynthesisError(f"{file} is damaged ({e}): delete {self.folder}, whose spectra are lost.") from None
        return found

    def _files(self) -> list[Path]:
        return sorted(self._parts.glob("*.npz")) if self._parts.exists() else []


def _read(file: Path) -> dict[str, Any]:
    out: dict[str, Any] = arrays_of(file, SynthesisError, "delete it, and its spectrum is computed again")
    out |= {"index": int(file.stem), "labels": out["labels"].tolist(), "extrapolated": bool(out["extrapolated"])}
    if "error" in out:
        out["error"] = str(out["error"])
    return out


def _merged(old: Library | None, results: Sequence[dict[str, Any]], info: dict[str, str]) -> Library:
    """A library with everything, by index; a later result replaces an earlier one, a spectrum a failure."""
    good = {r["index"]: r for r in results if "flux" in r}
    failed = {r["index"]: _failure(r) for r in results if "error" in r}
    settings = Settings.from_json(info["settings"])
    edges = settings.edges
    rows: dict[int, list[Any]] = {}
    if old is not None:
        assert old.index is not None and old.extrapolated is not None  # as this function has written it
        columns = zip(old.index.tolist(), old.labels, old.flux, old.extrapolated.tolist(), strict=True)
        rows = {index: row for index, *row in columns}
        failed = {**{f["index"]: f for f in old.failures}, **failed}
    rows |= {i: [np.array(r["labels"]), r["flux"], r["extrapolated"]] for i, r in good.items()}
    order = sorted(rows)
    bins = len(edges) - 1
    return Library(
        labels=np.array([rows[i][0] for i in order]).reshape(-1, len(settings.names)),
        names=settings.names,
        wavelength=np.round((edges[1:] + edges[:-1]) / 2, 9),
        flux=np.array([rows[i][1] for i in order], dtype="f4").reshape(-1, bins),
        medium="air",
        bin_width=settings.bin_width,
        extrapolated=np.array([rows[i][2] for i in order], dtype=bool),
        index=np.array(order, dtype=int),
        failures=[failed[i] for i in sorted(failed) if i not in rows],
        info=info if old is None else {**old.info, **info, "regions": _regions(old.info, info)},
    )


def _regions(old: dict[str, str], new: dict[str, str]) -> str:
    """Where the spectra of a library and those to come are: a run may compute only a part of the box."""
    kept, more = (list(from_json(info["regions"])) if "regions" in info else [] for info in (old, new))
    kept = [region for region in kept if not any(one.covers(region) for one in more)]
    return to_json([*kept, *(region for region in more if not any(one.covers(region) for one in kept))])


def _check_grows(path: Path, found: dict[str, Any]) -> None:
    reason, how = None, ""
    if np.isfinite(found["resolution"]):
        reason, how = f"is a compact copy (R = {found['resolution']:g})", " make that compact, too,"
    elif "settings" not in found["info"]:
        reason = "was not made by 'rvsemu synthesize'"
    elif "merged" in found["info"] or found["index"] is None or found["extrapolated"] is None:
        reason = "was put together from several libraries, whose spectra are of different sequences"
    if reason is not None:
        raise SynthesisError(
            f"{path} {reason}, so it cannot grow: give another --out,{how} and put the two together with "
            "'rvsemu library merge'."
        )


def _check_inputs(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Spectra in one library must come from the same line lists, structures and program."""
    names = ("lines", "structures", "enhanced", "abundances")
    other = [name for name in names if name in old and old[name] != new.get(name)]
    if "engine" in old and _program(old["engine"]) != _program(new["engine"]):
        other.append(f"engine ({old['engine']})")
    if other:
        raise SynthesisError(
            f"the library was made with other {' and '.join(other)} than this workspace has: use the files and the "
            "rvsemu release that made it, or give another --out."
        )


def _program(engine: str) -> str:
    """What a text about an engine says of the program: the hash of a user's own, no version of the compiler."""
    _, named, digest = engine.partition("SHA-256 ")
    return digest if named else engine.rpartition("; ")[0] or engine


def _failure(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("index", "labels", "error")}


def _lock(file: TextIO) -> bool:
    """Take the lock if nobody holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: no locks between processes
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    file.write(f"{os.getpid()}\n")
    return True
