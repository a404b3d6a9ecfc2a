"""Pixels of library spectra with lines of Nd II, computed again with the shares of its isotopes.

    rvsemu synthesize setup
    python tools/isotopes.py library/rvs_library.h5 library/parts/*.h5 -o library/isotopes --jobs 2

Spectra that were made before these shares were noticed (without ``isotopes`` in their provenance) have lines that are
seven times too strong (docs/synthesis.rst). For each where that matters, the range of these lines is computed with
SYNSPEC again, and the pixels next to them are kept: libraries of few wavelengths and the same labels, as numbered parts
that are written once. The strongest lines come first, and labels that a part has already are passed over.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from pieces import arguments, labels_of, make, spectrum

from rvsemu.library.synthesis import BOXES, Workspace

LINES = (8530.45, 8594.95, 8643.6, 8691.4)  # Angstrom, air: of Nd II, or between two of them
NEAR = 1.6  # Angstrom on either side: two full widths at R = 30,000, and half of the distance of two lines
REACH = 6.0  # Angstrom: lines of molecules that are farther away change nothing in these pixels
SETTINGS = replace(BOXES["wide"], low=8527.0, high=8696.0)
LEAST = -1.45  # of `strength`: changes of 0.4 % of the continuum at R = 11,900
HOTTEST = 7500.0  # K: above, Nd is ionised twice


def strength(labels) -> np.ndarray:
    """log10 of the change of the line at 8643.7 A at R = 11,900, but for a constant; from six giants and the Sun."""
    teff, logg, mh = labels[:, :3].T
    return 0.52 * mh - 0.33 * logg - (teff - 4500.0) / 9000.0


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
    if (found := spectrum(labels, SETTINGS, workspace)) is None:
        return None
    near = np.min(np.abs(found.wavelength[:, None] - LINES), axis=1) < NEAR
    return found.wavelength[near], found.flux[0, near]


def main() -> None:
    """Compute and write."""
    options = arguments(__doc__.splitlines()[0], each=500)
    labels = labels_of(options.files, lambda info: "isotopes" not in info)
    labels = labels[np.argsort(-strength(labels), kind="stable")]
    labels = labels[(strength(labels) > LEAST) & (labels[:, 0] < HOTTEST)]
    with tempfile.TemporaryDirectory() as folder:
        job = partial(computed, workspace=quicker(Workspace.open(), Path(folder)))
        make(options, labels, job, "lines of Nd II, whose isotopes have their shares", SETTINGS)


if __name__ == "__main__":
    main()
