"""Pixels of library spectra with lines of Nd II, computed again with the shares of its isotopes.

    rvsemu synthesize setup
    python tools/isotopes.py library/rvs_library.h5 library/parts/*.h5 -o library/isotopes --jobs 2

Spectra that were made before these shares were noticed (without ``isotopes`` in their provenance) have lines that are
seven times too strong (docs/synthesis.rst). For each where that matters, the range of these lines is computed with
SYNSPEC again, and the pixels next to them are kept: libraries of few wavelengths and the same labels, as numbered parts
that are written once. The strongest lines come first, and labels that a part has already are passed over.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rvsemu.library import Library
from rvsemu.library.cyanogen import weak_spectra
from rvsemu.library.mending import MENDS
from rvsemu.library.model import COMPACT_RESOLUTION
from rvsemu.library.synthesis import BOXES, Workspace, synthesize
from rvsemu.library.synthesis.engine import Failure

LINES = (8530.45, 8594.95, 8643.6, 8691.4)  # Angstrom, air: of Nd II, or between two of them
NEAR = 1.6  # Angstrom on either side: two full widths at R = 30,000, and half of the distance of two lines
REACH = 6.0  # Angstrom: lines of molecules that are farther away change nothing in these pixels
SETTINGS = replace(BOXES["wide"], low=8527.0, high=8696.0)
LEAST = -1.45  # of `strength`: changes of 0.4 % of the continuum at R = 11,900
HOTTEST = 7500.0  # K: above, Nd is ionised twice
NAMES = ("teff", "logg", "mh", "alpha", "vmic")


def strength(labels) -> np.ndarray:
    """log10 of the change of the line at 8643.7 A at R = 11,900, but for a constant; from six giants and the Sun."""
    teff, logg, mh = labels[:, :3].T
    return 0.52 * mh - 0.33 * logg - (teff - 4500.0) / 9000.0


def outdated(file) -> np.ndarray:
    """Labels (n, 5) of the spectra of a file that were made without the shares, but for those that are left out."""
    found = Library.peek(file)
    names, labels = found["names"], found["labels"]
    labels = labels[~weak_spectra(found["info"], names, labels)]
    if "isotopes" in found["info"]:
        labels = labels[:0]
    return np.stack([labels[:, names.index(n)] if n in names else np.zeros(len(labels)) for n in NAMES], axis=1)


def quicker(workspace, folder) -> Workspace:
    """The workspace with shorter line lists in a folder, for the same pixels in three quarters of the time."""
    for path in (workspace.atoms(True), workspace.atoms(False)):
        (folder / path.name).symlink_to(path)
    for path in map(workspace.molecule, ("CN", "TiO")):
        lines = path.read_text().splitlines(keepends=True)
        away = np.abs(10 * np.array([float(line.split()[0]) for line in lines])[:, None] - LINES).min(axis=1)  # nm
        (folder / path.name).write_text("".join(line for line, far in zip(lines, away, strict=True) if far < REACH))
    return replace(workspace, lists=folder)


def computed(labels, workspace) -> tuple[np.ndarray, np.ndarray] | None:
    """Wavelengths and fluxes of the pixels next to the lines; None if SYNSPEC gave no spectrum."""
    try:
        flux = synthesize(labels, SETTINGS, workspace).flux
    except Failure:
        return None
    edges = SETTINGS.edges
    centres = np.round((edges[1:] + edges[:-1]) / 2, 9)
    spectrum = Library(labels[None], NAMES, centres, flux[None].astype("f4"), "air", SETTINGS.bin_width).compact()
    near = np.min(np.abs(spectrum.wavelength[:, None] - LINES), axis=1) < NEAR
    return spectrum.wavelength[near], spectrum.flux[0, near]


def write(folder, rows, found) -> None:
    """Write the next part: labels (n, 5), and for each what `computed` gave."""
    pairs = [(row, one) for row, one in zip(rows, found, strict=True) if one is not None]
    if not pairs:
        return
    labels, flux = np.array([row for row, _ in pairs]), np.array([one[1] for _, one in pairs], dtype="f4")
    info = {MENDS: "lines of Nd II, whose isotopes have their shares", "computed": SETTINGS.to_json()}
    path = folder / f"{len(parts(folder)):03d}.h5"
    Library(labels, NAMES, pairs[0][1][0], flux, "air", resolution=COMPACT_RESOLUTION, info=info).save(path)
    print(f"wrote {path} with {len(labels)} spectra", flush=True)


def parts(folder) -> list[Path]:
    """Those that are there."""
    return sorted(folder.glob("[0-9][0-9][0-9].h5"))


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="libraries")
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder of the parts")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most", type=int, help="number of spectra, default all")
    parser.add_argument("--each", type=int, default=500, help="number in a part")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    had = {tuple(row) for part in parts(options.out) for row in np.round(Library.peek(part)["labels"], 6).tolist()}
    labels = np.unique(np.round(np.concatenate([outdated(file) for file in options.files]), 6), axis=0)
    labels = labels[np.argsort(-strength(labels), kind="stable")]
    labels = labels[(strength(labels) > LEAST) & (labels[:, 0] < HOTTEST)]
    todo = [row for row in labels if tuple(row.tolist()) not in had][: options.most]
    print(f"{len(todo)} spectra to compute, {len(had)} done before", flush=True)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.jobs) as pool:
        job = partial(computed, workspace=quicker(Workspace.open(), Path(folder)))
        for first in range(0, len(todo), options.each):
            rows = todo[first : first + options.each]
            write(options.out, rows, list(pool.map(job, rows)))


if __name__ == "__main__":
    main()
