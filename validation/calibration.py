"""Calibration on stars of a simulated sky whose lines are not those of the emulator: SYNSPEC spectra with another list.

    python validation/calibration.py FOLDER [--stars 300 30 5] [--rst docs/_generated/calibration.rst]

In the list of the sky log gf of a third of the lines is changed by N(0, 0.2), and 30 of the 300 strongest lines are
missing; the cores of the calcium triplet are deeper. Its stars have a signal to noise of 100 and labels with errors
of 50 K, 0.05 and 0.05 dex. The emulator is calibrated on so many of them, and compared with the spectra of 100
others, which are fitted, too. Spectra are kept in FOLDER; 400 of them take some ten minutes of one core, and the rest
as long again. Needs ``rvsemu synthesize setup``. With ``--real`` the four shipped spectra of real stars are
calibrated on instead.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table
from comparison import draw
from results import rst
from specutils import Spectrum
from tqdm import tqdm
from varied_lines import CENTRES, Lines, Runs, expected, seen

import rvsemu
from rvsemu.calibration import Calibration, calibrate
from rvsemu.emulator import ALPHA, Emulator
from rvsemu.library.synthesis import Workspace
from rvsemu.physics.lines import CALCIUM_TRIPLET

ERRORS = {"teff": 50.0, "logg": 0.05, "mh": 0.05}
SIGNAL_TO_NOISE = 100.0
POOL = 2000  # stars that have labels: the same for any number that is used
FIRST = 2**60 + 1
RANGE = 8462.0, 8694.0  # Angstrom, air: where errors are measured
AXIS = np.arange(8453.0, 8705.0, 0.1)  # of the star before it is observed
CORE, CORE_WIDTH = 0.25, 0.25  # of the flux, Angstrom: what the cores of the triplet lose
SHARE, CHANGE, STRONGEST, MISSING = 1 / 3, 0.2, 300, 30
REAL = {  # Kepler-93 from Huber et al. (2013); the others from our own fits, with errors as wide as catalogues differ
    "kepler-93": {"teff": (5669, 75), "logg": (4.468, 0.032), "mh": (-0.18, 0.10)},
    **dict.fromkeys(("hd176650", "gaia-1535964555128078720", "gaia-3174658066485297152")),
}
WIDE = {"teff": 150.0, "logg": 0.2, "mh": 0.15}


class Sky:
    """Stars of a sky with its own lines; their spectra are kept in a folder."""

    def __init__(self, folder: Path):
        workspace = Workspace.open()
        rng = np.random.default_rng(20)
        self.labels = draw(POOL, rng) | {"resolution": 11900 + 150 * rng.normal(size=POOL)}
        self.labels["teff"] = np.clip(self.labels["teff"], 4000, 7000)
        self.atoms = changed(Lines(workspace.atoms()), workspace, rng)
        self.runs, self.kept = Runs(folder / "spectra", workspace), {}

    def flux(self, star: int) -> np.ndarray:
        """Of a star, as the instrument sees it without noise, on `AXIS`."""
        if star not in self.kept:
            named = {name: float(values[star]) for name, values in self.labels.items()}
            (bins,) = self.runs([(tuple(named[name] for name in ("teff", "logg", "mh", "vmic")), self.atoms)])
            self.kept[star] = seen(deepened(bins), named["vsini"], named["resolution"], AXIS)
        return self.kept[star]

    def observed(self, star: int) -> Spectrum:
        """The same as Gaia would observe it."""
        axis, flux = AXIS * u.AA, self.flux(star) * u.dimensionless_unscaled
        one = Spectrum(spectral_axis=axis, flux=flux, meta={"medium": "air"})
        seen_with = {"signal_to_noise": SIGNAL_TO_NOISE, "seed": star, "source_id": FIRST + star}
        return rvsemu.simulate(one, **seen_with)

    def rows(self, stars: np.ndarray, emulator: Emulator) -> np.ndarray:
        """Labels (n, n_labels) in the order of an emulator."""
        labels = {ALPHA.name: np.zeros(len(self.labels["teff"]))} | self.labels
        return np.column_stack([labels[name][stars] for name in emulator.labels.names])

    def table(self, stars: np.ndarray) -> Table:
        """Their labels as a survey would have them."""
        out = Table({"source_id": FIRST + stars})
        for name, error in ERRORS.items():
            noise = np.random.default_rng([21, len(name), ord(name[0])]).normal(size=POOL)
            out[name] = self.labels[name][stars] + error * noise[stars]
            out[f"{name}_error"] = np.full(len(stars), error)
        return out


def changed(lines: Lines, workspace: Workspace, rng: np.random.Generator) -> str:
    """The list of atoms of the sky."""
    sun = {"teff": 5500.0, "structure": workspace.structures.at(5500.0, 4.4, 0.0)}
    sun["abundances"] = workspace.structures.composition(0.0)
    inside = [atom for atom in lines.atoms if 8455 < atom.wavelength < 8702 and atom.element > 2]
    calm = [a for a in inside if np.min(np.abs(a.wavelength - np.array(CALCIUM_TRIPLET))) > 1.0]
    strongest = sorted(calm, key=lambda atom: -expected(atom, sun))[:STRONGEST]
    missing = {strongest[i].row for i in rng.choice(STRONGEST, MISSING, replace=False)}
    some = [atom.row for atom in calm if rng.random() < SHARE]
    text = lines.strengthened(dict(zip(some, CHANGE * rng.normal(size=len(some)), strict=True)))
    return "\n".join(row for i, row in enumerate(text.splitlines()) if i not in missing) + "\n"


def deepened(bins: np.ndarray) -> np.ndarray:
    """Flux in bins with deeper cores of the calcium lines."""
    cores = sum(np.exp(-0.5 * ((CENTRES - line) / CORE_WIDTH) ** 2) for line in CALCIUM_TRIPLET)
    return bins * (1 - CORE * cores)


def error_of(emulator: Emulator, sky: Sky, stars: np.ndarray) -> float:
    """RMS difference of the emulator from the sky."""
    inside = (AXIS > RANGE[0]) & (AXIS < RANGE[1])
    model = emulator.flux(sky.rows(stars, emulator))
    rows = [np.interp(AXIS[inside], emulator.wavelength, flux) for flux in model]
    truth = np.array([sky.flux(star)[inside] for star in stars])
    return float(np.sqrt(np.mean((np.array(rows) - truth) ** 2)))


def labels_off(emulator: Emulator, sky: Sky, stars: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Mean and scatter of fitted - true labels, and the share within one standard deviation."""
    fits = list(rvsemu.fit_many([sky.observed(star) for star in stars], emulator=emulator))
    out = {}
    for name in ERRORS:
        off = np.array([fit.labels[name].value for fit in fits]) - sky.labels[name][stars]
        sigma = np.array([fit.errors[name].value for fit in fits])
        out[name] = float(np.mean(off)), float(np.std(off)), float(np.mean(np.abs(off) < sigma))
    return out


def measure(folder: Path, counts: list[int], number: int) -> dict[str, dict]:
    """What calibrations on so many stars are worth for a `number` of others; rows that are there are kept."""
    kept = folder / f"rows-{number}.json"
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    sky = Sky(folder)
    others = POOL - 1 - np.arange(number)
    for star in tqdm([*range(max(counts)), *others.tolist()], desc="SYNSPEC"):
        sky.flux(star)
    for count in [0, *counts]:
        if str(count) in rows:
            continue
        emulator, row = rvsemu.shipped(), {}
        if count:
            stars = np.arange(count)
            spectra = [sky.observed(star) for star in stars]
            result = calibrate(spectra, sky.table(stars), mask="edges")
            emulator, row = result.emulator, {"improved": result.improved, "report": dict(result.report)}
            emulator.save(folder / f"calibrated-{count}.h5", overwrite=True)
            print(result)
        row |= {"rms": error_of(emulator, sky, others), "labels": labels_off(emulator, sky, others)}
        rows[str(count)] = row
        kept.write_text(json.dumps(rows, indent=1))
        print(count, row)
    return rows


def table(rows: dict[str, dict]) -> str:
    """The table of the documentation."""
    head = ["stars", "coordinates", "RMS error", "Teff: bias, scatter (K)", "log g", "[M/H]", "within 1 sigma"]
    lines = []
    for count, row in sorted(rows.items(), key=lambda pair: int(pair[0])):
        report = row.get("report", {})
        teff, logg, mh = (row["labels"][name] for name in ERRORS)
        lines.append(
            [
                count if int(count) else "none: as it is",
                f"{report.get('coordinates', '')}" if row.get("improved", True) else "none",
                f"{row['rms']:.4f}",
                f"{teff[0]:+.0f}, {teff[1]:.0f}",
                f"{logg[0]:+.3f}, {logg[1]:.3f}",
                f"{mh[0]:+.3f}, {mh[1]:.3f}",
                ", ".join(f"{100 * one[2]:.0f} %" for one in (teff, logg, mh)),
            ]
        )
    return rst(head, lines)


def real() -> Calibration:
    """A calibration on the four shipped stars."""
    spectra, rows = [], []
    for name, known in REAL.items():
        (spectrum,) = rvsemu.read_rvs(rvsemu.example_path(name))
        if known is None:
            labels = rvsemu.fit(spectrum).labels
            known = {label: (labels[label].value, error) for label, error in WIDE.items()}
        spectra.append(spectrum)
        row = {"source_id": spectrum.meta["source_id"]}
        for label, (value, error) in known.items():
            row |= {label: value, f"{label}_error": error}
        rows.append(row)
    return calibrate(spectra, Table(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("calibration"), help="for spectra and rows")
    parser.add_argument("--stars", type=int, nargs="+", default=[300, 30, 5], help="numbers to calibrate on")
    parser.add_argument("--others", type=int, default=100, help="number to measure errors on")
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    parser.add_argument("--real", action="store_true", help="calibrate on the shipped spectra of real stars")
    options = parser.parse_args()
    if options.real:
        text = str(real())
        if options.rst:
            indented = "".join(f"   {line}\n" for line in text.splitlines())
            options.rst.write_text(f".. code-block:: none\n\n{indented}", encoding="utf-8")
        print(text)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    text = table(measure(options.folder, options.stars, options.others))
    if options.rst:
        options.rst.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
