"""A comparison whose answer is known: simulated stars, fitted, beside their own labels as GSP-Spec would publish them.

    python validation/comparison.py 500 --out comparison

makes a bulk file of simulated stars, the catalogue of their fits, and ``gspspec.ecsv``, a table with the columns of
GSP-Spec: labels with noise and with offsets that are stated, through the inverse of the published calibrations, one in
ten with flags and labels that are far off. Then it runs ``rvsemu compare``, and prints what it prints. With ``--write``
the tables of ``docs/_generated/comparison.rst`` are made of it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.table import QTable, Table, join

import rvsemu
from rvsemu.catalog import fit_catalog
from rvsemu.cli import main as rvsemu_command
from rvsemu.comparison import COEFFICIENTS, Comparison, compare
from rvsemu.fitting import DEFAULT_PRIORS
from rvsemu.reproduction.report import rst_table
from rvsemu.spectra import write_bulk

OFFSETS = {"teff": 30.0, "logg": 0.10, "mh": -0.05}
"""Added to the labels of the reference, in K and dex: ours - theirs is minus this."""
ERRORS = {"teff": 60.0, "logg": 0.12, "mh": 0.08}
"""Standard deviations of the reference's noise, which it states."""
OUTLIERS = 0.1
ABSENT = 0.1
WRONG = {"teff": 700.0, "logg": 1.0, "mh": 0.5}
"""Added to the labels of outliers."""
FIRST = 2**60 + 1
_GENERATED = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "comparison.rst"


def draw(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Labels of stars of the main sequence and, in a third of the cases, of the red giant branch."""
    giant = rng.random(n) < 1 / 3
    along = rng.random(n)
    teff = np.where(giant, 5100 - 700 * along, 4800 + 1900 * along) + rng.uniform(-100, 100, n)
    logg = np.where(giant, 3.3 - 0.9 * along, 4.6 - 0.5 * along) + rng.uniform(-0.15, 0.15, n)
    labels = {"teff": teff, "logg": logg, "mh": rng.uniform(-1.2, 0.3, n), "vsini": rng.uniform(2, 12, n)}
    vmic = DEFAULT_PRIORS["vmic"].within(0.5, 3.0)
    return labels | {"vmic": vmic.draw(rng, **{name: labels[name] for name in vmic.given})}


def spectra(labels: dict[str, np.ndarray], rng: np.random.Generator) -> Iterator:
    """Spectra as Gaia DR3 has them, at signal to noise 20 to 200."""
    for i in range(len(labels["teff"])):
        star = rvsemu.generate(**{name: values[i] for name, values in labels.items()}, resolution=11900)
        noise = 20 * 10 ** rng.uniform()
        yield rvsemu.simulate(star, signal_to_noise=noise, release="Gaia DR3", seed=rng, source_id=FIRST + i)


def uncalibrated(logg: np.ndarray) -> np.ndarray:
    """The log g that the calibration turns into `logg`; each step has a seventh of the error of the one before."""
    out = logg
    for _ in range(40):
        out = logg - np.polynomial.polynomial.polyval(out, COEFFICIENTS["logg"])
    return out


def reference(labels: dict[str, np.ndarray], rng: np.random.Generator) -> Table:
    """The stars as a table of GSP-Spec, some of them absent, some with flags and wrong labels."""
    n = len(labels["teff"])
    wrong = rng.random(n) < OUTLIERS
    values = {
        name: labels[name] + OFFSETS[name] + rng.normal(0, ERRORS[name], n) + wrong * WRONG[name] for name in OFFSETS
    }
    logg = uncalibrated(values["logg"])
    values["logg"], values["mh"] = logg, values["mh"] - np.polynomial.polynomial.polyval(logg, COEFFICIENTS["mh"])
    table = Table({"source_id": FIRST + np.arange(n)})
    for name, error in ERRORS.items():
        for end, shift in (("", 0.0), ("_lower", -error), ("_upper", error)):
            table[f"{name}_gspspec{end}"] = values[name] + shift
            table[f"{name}_gspspec{end}"].unit = "K" if name == "teff" else "dex"
    table["flags_gspspec"] = np.where(wrong, "0000002000000", "0000000000000")
    return table[rng.random(n) >= ABSENT]


def make(folder: Path, n: int, seed: int) -> None:
    """Make bulk file, catalogue, reference and true labels in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = draw(n, rng)
    write_bulk(spectra(labels, rng), folder / "stars.csv.gz")
    fit_catalog([folder / "stars.csv.gz"], folder / "labels", jobs=1)
    reference(labels, rng).write(folder / "gspspec.ecsv", overwrite=True)
    true = {name: labels[name] for name in OFFSETS}
    Table({"source_id": FIRST + np.arange(n), **true}).write(folder / "truth.ecsv", overwrite=True)


def block(text: str) -> str:
    """Text as a literal block of reStructuredText."""
    return ".. code-block:: none\n\n" + "".join(f"   {line}".rstrip() + "\n" for line in text.strip().splitlines())


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", nargs="?", type=int, default=500, help="stars (default: 500)")
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder (default: comparison)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write {_GENERATED.name}")
    options = parser.parse_args()
    make(options.out, options.n, options.seed)
    fits, table, truth = (options.out / name for name in ("labels", "gspspec.ecsv", "truth.ecsv"))
    printed = io.StringIO()
    page = ["-o", str(options.out / "comparison.html"), "--overwrite"]
    with contextlib.redirect_stdout(printed):
        rvsemu_command(["compare", str(fits), "--with", str(table), *page])
    text = printed.getvalue().split("wrote ")[0]
    print(text)
    print(found := effects(fits, table, truth))
    if options.write:
        about = f"Of ``python validation/comparison.py {options.n}``:\n\n"
        _GENERATED.write_text(about + block(text) + "\n" + found, encoding="utf-8")


def effects(fits: Path, table: Path, truth: Path) -> str:
    """Bias and outliers of all stars with other options, and what they are made of, as a table of reStructuredText."""
    default = compare(fits, table)
    stars = QTable({"source_id": default.pairs["source_id"]})
    rows = [
        _row("default", default),
        _row("``--no-calibrated``", compare(fits, table, calibrated=False)),
        _row("``--gspspec-flags 9``", compare(fits, table, gspspec_flags=9)),
        _row("``--flagged keep``", compare(fits, table, flagged="keep")),
        _row("our fits - true labels, the stars of the first row", compare(fits, join(stars, QTable.read(truth)))),
    ]
    put_in = [f"{-OFFSETS['teff']:+.1f}", f"{-OFFSETS['logg']:+.3f}", f"{-OFFSETS['mh']:+.3f}"]
    rows.append(("minus what was added to the reference", "–", *put_in, "–"))
    head = ("comparison", "stars", "Teff (K)", "log g (dex)", "[M/H] (dex)", "Teff beyond 5 scatters")
    return rst_table(head, rows)


def _row(text: str, result: Comparison) -> tuple[str, ...]:
    every = {row["label"]: row for row in result.table if row["region"] == "all"}
    biases = [
        f"{every[name]['bias']:+.{digits}f} ± {every[name]['bias_error']:.{digits}f}"
        for name, digits in (("teff", 1), ("logg", 3), ("mh", 3))
    ]
    return text, f"{result.matched:,}", *biases, f"{every['teff']['outliers_5']:.1%}"


if __name__ == "__main__":
    main()
