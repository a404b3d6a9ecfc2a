"""What lines of Nd II that are too strong in the shipped emulator do to labels of giants.

    rvsemu synthesize setup
    python validation/neodymium.py --write

computes spectra with SYNSPEC, each with the list of atoms as it is and with the gf of the whole element in all isotopes
of Nd, as in the library that the shipped emulator was trained on. Stars of the emulator get the difference, and are
fitted with and without it, with the same noise. The table has the largest difference at R = 11,900, and the labels of
the first less those of the second in units of their errors; with ``--write`` it goes to
``docs/_generated/neodymium.rst``. With ``--masked`` the fits leave these lines out. Takes a minute of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy import units as u
from results import rst
from specutils import Spectrum
from varied_lines import CENTRES, SETTINGS, Variant, seen

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.library.synthesis import Workspace, synthesize
from rvsemu.library.synthesis.lines import ISOTOPES, write_atoms

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "neodymium.rst"
STARS = (  # Teff, log g, [M/H], vmic
    (3900.0, 0.8, -0.3, 2.0),
    (4200.0, 1.2, 0.2, 1.9),
    (4500.0, 1.5, 0.0, 1.8),
    (4800.0, 2.5, 0.1, 1.5),
    (4700.0, 1.5, -1.5, 1.9),
    (5777.0, 4.44, 0.0, 1.0),
)
SHOWN = {"teff": "Teff", "logg": "log g", "mh": "[M/H]"}
RESOLUTION, SEEDS, SNRS = 11900.0, 6, (100, 400)
MASK = [(8532.2, 8533.4), (8596.7, 8597.9), (8645.3, 8646.7), (8693.2, 8694.4)]  # Angstrom, vacuum


def difference(labels, right, wrong, wavelength) -> np.ndarray:
    """Flux with the right lines less that with the wrong ones, at R = 11,900."""
    fluxes = [synthesize(labels, SETTINGS, workspace).flux for workspace in (right, wrong)]
    inner = (wavelength > CENTRES[0] + 3) & (wavelength < CENTRES[-1] - 3)
    out = np.zeros(len(wavelength))
    first, second = (seen(flux, 0.0, RESOLUTION, wavelength[inner]) for flux in fluxes)
    out[inner] = first - second
    return out


def shifts(labels, right, wrong, mask) -> tuple[float, np.ndarray]:
    """The largest difference, and shifts of labels in errors, one row for each signal to noise."""
    named = dict(zip(("teff", "logg", "mh", "vmic"), labels, strict=True))
    star = rvsemu.generate(**named, vsini=3, resolution=RESOLUTION)
    changed = difference(labels, right, wrong, star.spectral_axis.to_value(u.AA))
    rows = []
    for snr in SNRS:
        with_it, without = (_fitted(star, flux, snr, mask) for flux in (star.flux.value + changed, star.flux.value))
        pulls = [
            [(a.labels[n] - b.labels[n]) / a.errors[n] for n in SHOWN] for a, b in zip(with_it, without, strict=True)
        ]
        rows.append(np.mean(np.array(pulls, dtype=float), axis=0))
    return float(np.max(changed)), np.array(rows)


def _fitted(star, flux, snr, mask) -> list:
    changed = Spectrum(spectral_axis=star.spectral_axis, flux=flux * u.one, meta=star.meta)
    observed = [rvsemu.simulate(changed, signal_to_noise=snr, ccds=40, seed=seed) for seed in range(SEEDS)]
    return fit_many(observed, fixed={"alpha": 0.0}, extra_mask=mask)


def main(arguments=None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table of the documentation, too")
    parser.add_argument("--masked", action="store_true", help="leave the lines out of the fits")
    options = parser.parse_args(arguments)
    if options.masked and options.write:
        parser.error("the table of the documentation is about fits without a mask: leave --masked or --write out")
    workspace, shares = Workspace.open(), dict(ISOTOPES[60])
    source = next((workspace.folder / "sources").rglob("nlte_ges_linelist*_I_II"))
    with TemporaryDirectory() as folder:
        lists = {}
        for name, isotopes in (("right", shares), ("wrong", dict.fromkeys(shares, 1.0))):
            ISOTOPES[60] = isotopes
            path = Path(folder, name)
            write_atoms(source, path, SETTINGS.low - 10, SETTINGS.high + 10)
            lists[name] = Variant(workspace.folder, atomic=path)
        rows = []
        for labels in STARS:
            largest, found = shifts(labels, lists["right"], lists["wrong"], MASK if options.masked else ())
            texts = [f"{value:+.1f}" for row in found for value in row]
            rows.append([f"{labels[0]:.0f}", *map(str, labels[1:3]), f"{100 * largest:.1f} %", *texts])
            print(*rows[-1], sep="  ", flush=True)
    head = ["Teff (K)", "log g", "[M/H]", "8643.7 Å"]
    text = rst([*head, *(f"{name}, {snr}" for snr in SNRS for name in SHOWN.values())], rows)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
