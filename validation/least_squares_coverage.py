"""How often the intervals of least squares hold the truth, on many simulated stars.

    python validation/least_squares_coverage.py

Simulated stars are spectra of the emulator, with noise of the correlation of the RVS, a continuum, and a radial
velocity. Three draws of labels:

interior  away from the bounds of all labels, where posteriors are nearly Gaussian
prior     from the prior of the fit itself: uniform in all of the domain, Gaussian for the resolution, and for vmic
          about what Teff, log g and [M/H] let expect; [alpha/M] is 0, and known to be
wide      as prior, but with [alpha/M] of any value, which is fitted, too; at one signal to noise

All are fitted twice, with ``errors="gaussian"`` and with ``errors="sampled"``; measured are the true labels within the
intervals of 68 and 95 %, the RMS of the pulls, and the fits that end in a wrong minimum. Makes
``docs/_generated/coverage_least_squares.rst`` and ``.csv``; ``coverage.py`` samples as well. Takes half an hour of one
core.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from simulated import draw_labels, exact, observed, simulate

import rvsemu
from rvsemu.fitting import fit_many

TABLES = Path(__file__).resolve().parents[1] / "docs" / "_generated"
SNRS = {"interior": (20, 50, 100, 300), "prior": (20, 50, 100, 300), "wide": (100,)}
LEVELS = (68.0, 95.0)
ERRORS = {"gaussian": 1000, "sampled": 300}  # stars for each signal to noise
TITLES = {
    ("interior", "gaussian"): "Labels drawn from the interior, Gaussian errors",
    ("interior", "sampled"): "Labels drawn from the interior, sampled errors",
    ("prior", "gaussian"): "Labels drawn from the prior, Gaussian errors",
    ("prior", "sampled"): "Labels drawn from the prior, sampled errors",
    ("wide", "gaussian"): "Labels drawn from the wide box, [alpha/M] free, Gaussian errors",
    ("wide", "sampled"): "Labels drawn from the wide box, [alpha/M] free, sampled errors",
}
RANGES: dict[str, dict] = {"prior": {}, "wide": {"alpha": (-0.2, 0.6)}}
RANGES["interior"] = {  # most stars with RVS spectra; slower than 20 km/s the instrument hides the rotation
    "teff": (4800.0, 7000.0),
    "logg": (3.0, 4.5),
    "vsini": (20.0, 60.0),
    "mh": (-0.6, 0.4),
}


def coverage(emulator, kind, errors, snr, count, seed):
    """Rows of (label, share within the 68 % interval, within 95 %, RMS of the pulls, share at a bound)."""
    rng = np.random.default_rng([seed, snr, list(RANGES).index(kind)])
    truth = draw_labels(emulator, rng, count, **RANGES[kind])
    stars = [
        observed(simulate(emulator, rng, snr, **dict(zip(truth, row, strict=True))), snr)
        for row in zip(*truth.values(), strict=True)
    ]
    settings = {"model_error": None, "radial_velocity": (-100.0, 100.0), "errors": errors}
    settings |= {"fixed": {"alpha": "free"}} if kind == "wide" else {}
    results = fit_many(stars, emulator=emulator, **settings)
    intervals = [[r.interval(level / 100) for r in results] for level in LEVELS]
    rows = []
    for name in results[0].free_names:
        shares = [100 * np.mean(_within(truth[name], some, name)) for some in intervals]
        pull = [(r.labels[name].value - t) / r.errors[name].value for r, t in zip(results, truth[name], strict=True)]
        bound = 100 * np.mean([f"at-bound:{name}" in r.flags for r in results])
        rows.append((name, *shares, float(np.sqrt(np.mean(np.clip(pull, -6, 6) ** 2))), bound))
    lost = 100 * np.mean([r.reduced_chi2 > 1.25 for r in results])
    return rows, lost


def _within(truth, intervals, name):
    low, high = np.array([one[name].value for one in intervals]).T
    return (low <= truth) & (truth <= high)


def table(title, columns, stars, snrs) -> list[str]:
    """Lines of a table: a row for each label, a column for each signal to noise."""
    lines = [f".. list-table:: {title}: {stars} stars at each signal to noise"]
    lines += ["   :header-rows: 1", "", "   * - S/N", *(f"     - {snr}" for snr in snrs)]
    for name, cells in columns.items():
        lines.append(f"   * - {name}")
        lines += [f"     - {' / '.join(f'{x:.1f}' for x in cell[:2])}" for cell in cells]
    return [*lines, ""]


def main(arguments=None):
    """Simulate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, help="for each signal to noise (default: 1000, and 300 with draws)")
    parser.add_argument("--seed", type=int, default=1, help="of labels and noise (default: 1)")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    options = parser.parse_args(arguments)
    emulator = exact(rvsemu.shipped())
    lines, records = [], []
    for (kind, errors), title in TITLES.items():
        columns, stars = {}, options.stars or ERRORS[errors]
        for snr in SNRS[kind]:
            rows, lost = coverage(emulator, kind, errors, snr, stars, options.seed)
            for name, *values in rows:
                columns.setdefault(name, []).append(values)
                records.append([kind, errors, snr, stars, name, *(f"{v:.2f}" for v in values)])
            shown = [f"{n} {a:.1f} {b:.1f} {p:.2f}" for n, a, b, p, _ in rows]
            print(kind, errors, snr, shown, f"lost {lost:.1f} %", flush=True)
            columns.setdefault("in a wrong minimum (%)", []).append([lost])
        lines += table(title, columns, stars, SNRS[kind])
    (options.tables / "coverage_least_squares.rst").write_text("\n".join(lines), encoding="utf-8")
    with open(options.tables / "coverage_least_squares.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["labels", "errors", "snr", "stars", "name", "within_68", "within_95", "rms_pull", "at_bound"])
        writer.writerows(records)


if __name__ == "__main__":
    main()
