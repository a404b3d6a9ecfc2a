"""SYNSPEC: building it, and one run in a scratch folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import SynthesisError
from .repairs import repaired
from .settings import Settings
from .structures import Structure

__all__ = ["Engine", "Failure", "Star", "compile_synspec", "step"]

COMPILE = ("gfortran", "-O2", "-fno-automatic", "-mcmodel=medium", "-std=legacy", "-w")
_SOURCE = "synspec54.f"

_NEEDED = 5e6  # bytes on the disk of one run

_EXPLICIT = (1, 2, 6, 7, 8, 11, 12, 13, 14, 20, 26)
_ATOMS = {  # atomic number: (symbol, levels of the neutral atom and of the ion)
    6: ("C", 104, 40),
    7: ("N", 89, 51),
    8: ("O", 54, 74),
    11: ("Na", 32, 8),
    12: ("Mg", 71, 31),
    13: ("Al", 33, 81),
    14: ("Si", 57, 46),
    20: ("Ca", 79, 32),
}


class Failure(RuntimeError):
    """A run that gave no spectrum; the message ends with the end of SYNSPEC's log."""


def compile_synspec(source: str | Path, target: str | Path) -> str:
    """Repair and compile SYNSPEC; returns the compiler's version.

    See `rvsemu.library.synthesis.repairs`.

    Parameters
    ----------
    source : path
        Folder with ``synspec54.f`` and its include files.
    target : path
        The executable to write.
    """
    compiler = shutil.which(COMPILE[0])
    if compiler is None:
        raise SynthesisError(
            "gfortran is missing, which compiles SYNSPEC: install it ('apt-get install gfortran' on Debian and Ubuntu, "
            "'brew install gcc' on macOS, 'conda install gfortran' in conda), or name a SYNSPEC with --engine."
        )
    text = repaired((Path(source) / _SOURCE).read_text(errors="replace"))
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder:
        for include in Path(source).glob("*.FOR"):
            shutil.copy(include, folder)
        (Path(folder) / _SOURCE).write_text(text)
        done = subprocess.run([*COMPILE, _SOURCE, "-o", "synspec"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SynthesisError(f"gfortran could not compile SYNSPEC: {_last_line(done.stderr)}")
        os.replace(Path(folder) / "synspec", target)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.splitlines()
    return version[0] if version else "unknown"


def step(temperature: float, vmic: float, wavelength: float, sampling: float) -> float:
    """Largest spacing of wavelength points, Angstrom.

    A `sampling`-th of the full width of a Gaussian with the variance ``2 k T / m + vmic^2 / 2`` for atoms of
    mass 100 at the temperature (K) of the coolest layer, with `vmic` in km/s.
    """
    thermal = 0.1289**2 * temperature / 100  # (km/s)^2
    return wavelength / 299792.458 * 2.355 / sampling * np.sqrt(thermal + vmic**2 / 2)


@dataclass(frozen=True)
class Star:
    """What SYNSPEC computes the spectrum of.

    Parameters
    ----------
    teff, logg, vmic : float
        K, dex, km/s.
    structure : Structure
    abundances : ndarray, shape (99,)
        Atoms per hydrogen atom, by atomic number.
    atoms : path
        Atomic line list.
    molecules : sequence of path
        Molecular line lists.
    """

    teff: float
    logg: float
    vmic: float
    structure: Structure
    abundances: np.ndarray
    atoms: Path
    molecules: Sequence[Path] = ()


@dataclass(frozen=True)
class Engine:
    """A SYNSPEC executable and the folder of its data.

    Parameters
    ----------
    executable, data : Path
    """

    executable: Path
    data: Path

    def run(
        self, star: Star, limits: tuple[float, float], settings: Settings, scratch: Path | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """One spectrum.

        Parameters
        ----------
        star : Star
        limits : (float, float)
            Angstrom, air.
        settings : Settings
        scratch : path, optional
            Where to make the folder of this run.

        Returns
        -------
        wavelength : ndarray, shape (n,)
            Angstrom, air, increasing.
        flux : ndarray, shape (n,)
            Relative to the continuum.

        Raises
        ------
        Failure
            No spectrum came out.
        SynthesisError
            None came out because the disk is full.
        """
        with tempfile.TemporaryDirectory(prefix="rvsemu-", dir=scratch) as name:
            folder = Path(name)
            (folder / "data").symlink_to(self.data)
            (folder / "fort.5").write_text(_atmosphere_input(star))
            (folder / "fort.8").write_text(_structure_input(star))
            (folder / "tas").write_text(_options_input(star))
            spacing = step(star.structure.temperature.min(), star.vmic, float(np.mean(limits)), settings.sampling)
            (folder / "fort.55").write_text(_spectrum_input(star, limits, spacing, settings))
            for unit, path in enumerate((star.atoms, *star.molecules), start=19):
                (folder / f"fort.{unit}").symlink_to(path)
            try:
                return _normalised(folder, self._execute(folder))
            except Failure as e:
                _check_disk(folder)
                raise e

    def _execute(self, folder: Path) -> Path:
        log = folder / "log"
        with open(folder / "fort.5") as commands, open(log, "w") as out:
            try:
                done = subprocess.run(
                    [self.executable], stdin=commands, stdout=out, stderr=subprocess.STDOUT, cwd=folder, timeout=1800
                )
            except (OSError, subprocess.TimeoutExpired) as e:
                raise Failure(f"SYNSPEC could not run or took over half an hour: {e}. {_end(log)}") from None
        if done.returncode:
            raise Failure(f"SYNSPEC stopped with the status {done.returncode}: {_end(log)}")
        return log


def _check_disk(folder: Path) -> None:
    if (free := shutil.disk_usage(folder).free) < _NEEDED:
        raise SynthesisError(
            f"the disk of {folder.parent} is full ({free / 1e6:.1f} MB left, SYNSPEC needs {_NEEDED / 1e6:g} MB): "
            "make room, then give the same command again; what is done is kept."
        ) from None


def _atmosphere_input(star: Star) -> str:
    """fort.5: labels; LTE; for each element 1 (implicit) or 2 (explicit), abundance; the explicit ions, the `ap18`
    set of the package (H, He, C, N, O, Na, Mg, Al, Si, Ca, Fe)."""
    lines = [f" {star.teff:.1f} {star.logg:.4f}", " T F", " 'tas'", " 50", f" {len(star.abundances)}"]
    lines += [f" {2 if z in _EXPLICIT else 1:2d} {value:e} 0" for z, value in enumerate(star.abundances, start=1)]
    lines += ["*", "*", "*", "* ions", *_ions(), "* end"]
    return "\n".join(lines) + "\n"


def _ions() -> Iterator[str]:
    """Atomic number, charge, levels, 1 for the last ion of its atom, 0 0, name, data file."""

    def ion(z: int, charge: int, levels: int, last: int, name: str, data: str) -> str:
        return f"{z} {charge} {levels} {last} 0 {int(charge == -1)} '{name}' '{data}'"

    yield ion(1, -1, 1, 0, " H 1", "data/hm.dat")
    yield "0 0 3 0"
    yield ion(1, 0, 9, 0, " H 1", "data/h1s.dat")
    yield ion(1, 1, 1, 1, " H 2", " ")
    yield ion(2, 0, 14, 0, "He 1", "data/he1.dat")
    yield ion(2, 1, 14, 0, "He 2", "data/he2.dat")
    yield ion(2, 2, 1, 1, "He 3", " ")
    for z, (symbol, neutral, ionised) in _ATOMS.items():
        for charge, levels in enumerate((neutral, ionised)):
            file = f"data/{symbol.lower()}{charge + 1}.t"
            yield ion(z, charge, levels, 0, f"{symbol:>2} {charge + 1}", file)
        yield ion(z, 2, 1, 1, f"{symbol:>2} 3", " ")
    yield ion(26, 0, 49, 0, "Fe 1", "data/tlusty_fe1_topmod.dat")
    yield ion(26, 1, 41, 0, "Fe 2", "data/tlusty_fe2_topmod.dat")
    yield ion(26, 2, 1, 1, "Fe 3", " ")
    yield "0 0 0 -1 0 0 ' ' ' '"


def _structure_input(star: Star) -> str:
    """fort.8: a header, 21 lines that are skipped, one row per layer."""
    s = star.structure
    rows = zip(s.column_mass, s.temperature, s.pressure, s.electrons, strict=True)
    head = f"TEFF {star.teff:7.0f}  GRAVITY {star.logg:7.5f}  LTE \n" + "\n" * 21
    head += f"READ DECK6{len(s.temperature):3d} RHOX,T,P,XNE \n"
    return head + "".join(f"{m:e} {t:f} {p:e} {e:e} \n" for m, t, p, e in rows)


def _options_input(star: Star) -> str:
    return f"ND= {len(star.structure.temperature)} \n" + ("IFMOL= 1 \n" if star.molecules else "") + "TMOLIM= 8000. \n"


def _spectrum_input(star: Star, limits: tuple[float, float], spacing: float, settings: Settings) -> str:
    """fort.55; hydrogen profiles 2 are those of Tremblay & Bergeron (2009), lines reach out to 250 A."""
    head = " 0 0 0\n 0 0 0 0\n 0 0 0 0 0\n 1 0 0 10 0\n 2 0 0\n"
    line = f" {limits[0]} {limits[1]} 250.0 {settings.continuum_points} {settings.weakest:g} {spacing}\n"
    units = " ".join(str(unit) for unit in range(20, 20 + len(star.molecules))) or "0"
    return head + line + f"{len(star.molecules)} {units}\n {star.vmic}\n"


def _normalised(folder: Path, log: Path) -> tuple[np.ndarray, np.ndarray]:
    """Flux (fort.7) over continuum (fort.17, coarser), at the wavelengths that increase."""
    tables = []
    for name in ("fort.7", "fort.17"):
        path = folder / name
        if not path.exists() or not path.stat().st_size:
            raise Failure(f"SYNSPEC wrote no {name}: {_end(log)}")
        try:
            table = np.loadtxt(path, unpack=True, ndmin=2)
        except ValueError as e:
            raise Failure(f"{name} cannot be read ({e}): {_end(log)}") from None
        tables.append(table[:, np.unique(table[0], return_index=True)[1]])
    (wavelength, flux), continuum = tables
    return wavelength, flux / np.interp(wavelength, *continuum)


def _end(log: Path, length: int = 300) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "its log ends: " + " ".join(text[-3 * length :].split())[-length:]


def _last_line(text: str) -> str:
    return ([line for line in text.splitlines() if line.strip()] or ["no message"])[-1]
