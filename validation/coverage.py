"""Do the intervals hold what they say? Fits, weighted draws and chains of simulated stars.

    python validation/coverage.py

draws labels from the priors; the spectra are the emulator's, with a random continuum, noise of the RVS's correlation,
and an error of the emulator drawn from its error model: what the likelihood assumes. Measured is how many true labels
the intervals of 68 and 95 % hold, and their ranks among the samples. Each star is a line of
``validation/measured/coverage.jsonl``; stars that are there already, with the emulator and the priors of today, are not
done again, so the command can be stopped and repeated at any time. The table goes to ``docs/_generated/coverage.rst``
and the ranks to ``docs/_static/coverage.png``; the exit status is 1 where an interval is further from the truth than
``TOLERANCE``. Takes an hour or two of one core for the 300 stars.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from results import add, read, rst
from scipy import stats
from simulated import WAVELENGTH, correlated, draw_labels, observed
from specutils import Spectrum
from tqdm import tqdm

import rvsemu
from rvsemu.observing import ForwardModel
from rvsemu.observing.noise import EMULATOR_ERROR
from rvsemu.physics.continuum import chebyshev_basis
from rvsemu.physics.wavelengths import vacuum_to_air

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
RESULTS = HERE / "measured" / "coverage.jsonl"
NOISES = (20, 50, 100, 300)  # S/N, in turn
VELOCITIES = (-50.0, 50.0)
SETTINGS = {"model_error": None, "radial_velocity": VELOCITIES}
FIRST = 300  # stars of smaller numbers were looked at when the sampling was made as it is
STOP = 25  # autocorrelation times: half of the default, and still hundreds of independent samples
LEVELS = (0.68, 0.95)
TOLERANCE = {0.68: 0.04, 0.95: 0.03}


def simulate(number) -> tuple[Spectrum, dict, int]:
    """Spectrum, labels and S/N of a star; its number is the seed."""
    rng, emulator = np.random.default_rng([20261122, number]), rvsemu.shipped()
    snr = NOISES[number % len(NOISES)]
    truth = {name: float(value[0]) for name, value in draw_labels(emulator, rng, 1, VELOCITIES).items()}
    model = ForwardModel(emulator, vacuum_to_air(WAVELENGTH))
    theta = np.array([*truth.values()])
    variance, low_rank = model.error(theta)
    smooth = correlated(rng, EMULATOR_ERROR(0.1 * np.arange(16)))
    error = np.sqrt(variance) * smooth + rng.normal(size=len(low_rank)) @ low_rank
    coefficients = np.array([1.0, *(0.02 * rng.normal(size=3))])
    level = chebyshev_basis(vacuum_to_air(WAVELENGTH), 3) @ coefficients
    flux = (model.flux(theta)[0] + error) * level + correlated(rng) / snr
    return observed(flux, snr), truth, snr


def measure(number) -> dict:
    """Where the true labels are in the results of `rvsemu.fit`, with both kinds of errors, and of `rvsemu.sample`."""
    spectrum, truth, snr = simulate(number)
    fit = rvsemu.fit(spectrum, **SETTINGS)
    draws = rvsemu.fit(spectrum, errors="sampled", **SETTINGS).draws
    posterior = rvsemu.sample(spectrum, seed=number, stop=STOP, progress=False, **SETTINGS)
    apart = posterior.chain[posterior.burn_in :: int(np.ceil(2 * posterior.tau.max()))]
    return {
        "star": number,
        "snr": snr,
        "truth": truth,
        "fit": {n: [float(fit.labels[n].value), float(fit.errors[n].value)] for n in truth},
        "fit_flags": fit.flags,
        "draws": {n: float(draws.weights @ (draws.x[:, i] < truth[n])) for i, n in enumerate(posterior.names)},
        "effective_draws": draws.effective,
        "rank": {n: float(np.mean(apart[..., i] < truth[n])) for i, n in enumerate(posterior.names)},
        "steps": len(posterior.chain),
        "tau": float(posterior.tau.max()),
        "flags": posterior.flags,
    }


def covered(rows, name, level) -> dict[str, np.ndarray]:
    """Of each star, whether its true label is in the central interval of each method."""
    deviation = np.array([(row["truth"][name] - row["fit"][name][0]) / row["fit"][name][1] for row in rows])
    drawn, rank = (np.array([row[key][name] for row in rows]) for key in ("draws", "rank"))
    return {
        "least squares": np.abs(deviation) < stats.norm.ppf((1 + level) / 2),
        "weighted draws": np.abs(drawn - 0.5) < level / 2,
        "sampling": np.abs(rank - 0.5) < level / 2,
    }


def table(rows) -> str:
    """Coverage of each label, then of each S/N."""
    names, methods = list(rows[0]["truth"]), ("least squares", "weighted draws", "sampling")
    head = ["", *(f"{method}: {100 * level:.0f} %" for method in methods for level in LEVELS)]
    noises = [row["snr"] for row in rows]
    counts = ", ".join(f"{noises.count(snr)} at S/N {snr}" for snr in NOISES)
    stop = sum(not row["flags"] for row in rows)
    steps = np.median([row["steps"] for row in rows])
    chance = (f"{100 * np.sqrt(level * (1 - level) / len(rows)):.1f} at {100 * level:.0f} %" for level in LEVELS)
    text = (
        f"Emulator ``default``, version {rvsemu.shipped().info['version']}; {len(rows)} stars, {counts}. The chance "
        f'errors of the percentages are {" and ".join(chance)}. Weighted draws are ``errors="sampled"``. '
        f"Sampling took {steps:.0f} steps in the median, and ended converged for {100 * stop / len(rows):.0f} % of "
        "the stars.\n\n"
    )

    def line(title, chosen, labels, *more):
        cells = [
            f"{100 * np.mean([covered(chosen, name, level)[method] for name in labels]):.1f}"
            for method in methods
            for level in LEVELS
        ]
        return [title, *cells, *more]

    ranks = {n: stats.kstest([row["rank"][n] for row in rows], "uniform").pvalue for n in names}
    by_label = [line(f"``{n}``", rows, [n], f"{ranks[n]:.2f}") for n in names]
    by_noise = [line(f"S/N {s}", [r for r in rows if r["snr"] == s], names) for s in NOISES if s in noises]
    return text + rst([*head, "ranks uniform: p"], by_label) + "\n" + rst(head, by_noise)


def figure(plt, rows):
    """Histograms of the ranks of the true labels among the samples, with the range that chance allows."""
    names = list(rows[0]["truth"])
    fig, axes = plt.subplots(2, 4, figsize=(10, 4.4), sharex=True, sharey=True, layout="constrained")
    bins = 10 if len(rows) >= 100 else 5
    low, high = stats.binom.ppf([0.005, 0.995], len(rows), 1 / bins)
    for ax, name in zip(axes.flat, names, strict=False):
        ax.axhspan(low, high, color="0.9", lw=0)
        ax.hist([row["rank"][name] for row in rows], bins=bins, range=(0, 1), histtype="step", color="#c1272d", lw=1.4)
        ax.set_title(name, fontsize=10)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("stars")
    for ax in axes[1]:
        ax.set_xlabel("rank of the true label")
    axes[0, -1].xaxis.set_tick_params(labelbottom=True)
    axes[0, 0].set(xlim=(0, 1), ylim=(0, None))
    return fig


def report(rows) -> bool:
    """Write table and figure, and say whether every label is within the aims."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    (DOCS / "_generated" / "coverage.rst").write_text(table(rows), encoding="utf-8")
    figure(plt, rows).savefig(DOCS / "_static" / "coverage.png", dpi=110)
    good = True
    for name in rows[0]["truth"]:
        for level in LEVELS:
            for method, inside in covered(rows, name, level).items():
                off = inside.mean() - level
                if abs(off) > TOLERANCE[level]:
                    good = False
                    print(f"{name}: {method} covers {100 * inside.mean():.1f} % instead of {100 * level:.0f} %")
    return good


def main(arguments=None) -> int:
    """Measure the stars that are missing, then report."""
    parser = argparse.ArgumentParser(description="Coverage of intervals, on simulated stars.")
    parser.add_argument("--stars", type=int, default=300, help="(default: 300, in turn at S/N 20, 50, 100, 300)")
    parser.add_argument("--first", type=int, default=FIRST, help=f"number of the first star (default: {FIRST})")
    parser.add_argument("--report", action="store_true", help="only write table and figure of what is there")
    options = parser.parse_args(arguments)
    done = {row["star"]: row for row in read(RESULTS)}
    numbers = range(options.first, options.first + options.stars)
    for number in tqdm([n for n in numbers if n not in done and not options.report], unit="star"):
        done[number] = measure(number)
        add(RESULTS, done[number])
    if not done:
        raise SystemExit("nothing has been measured yet: leave --report out")
    return 0 if report([done[n] for n in sorted(done)]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
