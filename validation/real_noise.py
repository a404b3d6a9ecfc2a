"""What noise like that of Gaia DR3 does to fits: errors from few CCD spectra, and spikes.

    python validation/real_noise.py --write

draws F and G stars of the main sequence and observes them with `rvsemu.simulate`, with 60, 20 and 7 CCD spectra: the
same noise with the true errors and with the estimated ones, with and without spikes. All are fitted with the default
settings, with ``errors="gaussian"`` and ``errors="sampled"``; but without errors of models, for the stars are the
emulator's own spectra. Measured are the RMS errors of labels, the true labels within the intervals of 68 and 95 %,
reduced chi2 and flags.

Each star is a line of ``validation/measured/real_noise.jsonl``; stars that are there already, with the emulator of
today and at the same signal to noise, are not done again, so the command can be stopped and repeated at any time. To
judge a change of the code, give another file to ``--results``. The tables are printed, and with ``--write`` go to
``docs/_generated/real_noise.rst``. Takes 8 seconds of one core for a star; set OMP_NUM_THREADS=1 with several
``--jobs``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from results import add, read, rst
from scipy.stats import truncnorm
from simulated import exact
from specutils import Spectrum
from tqdm import tqdm

import rvsemu
from rvsemu.fitting import DEFAULT_PRIORS

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "measured" / "real_noise.jsonl"
TABLE = HERE.parent / "docs" / "_generated" / "real_noise.rst"
CCDS = (60, 20, 7)
TRUE = "true errors"
NOISES = (TRUE, *(f"{n} CCD spectra" for n in CCDS))
SPIKES = {"clean": {}, "spikes": {"spikes": 0.01, "spike_size": 10.0}}
ERRORS = ("gaussian", "sampled")
LEVELS = (0.68, 0.95)
SHOWN = {"teff": ("K", 0), "logg": ("dex", 3), "mh": ("dex", 3)}  # units and decimals of the RMS errors
UNIFORM = {"teff": (5000.0, 7000.0), "logg": (3.5, 4.7), "vsini": (2.0, 30.0), "mh": (-0.8, 0.3)}
RESOLUTION = (11900.0, 150.0, 11400.0, 12400.0)  # mean, sigma, range
VELOCITY = 5.0


@cache
def emulator():
    """The default one, without errors of its own."""
    return exact(rvsemu.shipped())


def draw(number) -> tuple[dict[str, float], np.ndarray]:
    """Labels with radial velocity, and coefficients of the continuum, of a star; its number is the seed."""
    rng = np.random.default_rng([20261126, number])
    truth = {name: float(rng.uniform(*limits)) for name, limits in UNIFORM.items()}
    vmic = DEFAULT_PRIORS["vmic"].within(0.0, 4.0)
    truth["vmic"] = float(vmic.draw(rng, **{name: np.array([truth[name]]) for name in vmic.given})[0])
    mean, sigma, low, high = RESOLUTION
    truth["resolution"] = float(
        truncnorm.rvs((low - mean) / sigma, (high - mean) / sigma, mean, sigma, random_state=rng)
    )
    truth["radial_velocity"] = float(rng.uniform(-VELOCITY, VELOCITY))
    return truth, 0.02 * rng.normal(size=3)


def spectra(number, snr) -> Iterator[tuple[dict, Spectrum]]:
    """What is in a spectrum and where its errors are from, and the spectrum."""
    truth, continuum = draw(number)
    star = emulator().spectrum(**{name: value for name, value in truth.items() if name != "radial_velocity"})
    same = {"signal_to_noise": snr, "seed": number, "continuum": continuum, "radial_velocity": truth["radial_velocity"]}
    for content, ccds, true in product(SPIKES, CCDS, (True, False)):
        spectrum = rvsemu.simulate(star, ccds=ccds, true_errors=true, **same, **SPIKES[content])
        yield {"content": content, "ccds": ccds, "true": true}, spectrum


def measure(number, snr) -> dict:
    """The fits of a star."""
    runs, (truth, _) = [], draw(number)
    for kind, spectrum in spectra(number, snr):
        for errors in ERRORS:
            smooth = False if kind["true"] else None
            fit = rvsemu.fit(spectrum, emulator=emulator(), model_error=None, errors=errors, smooth_sigma=smooth)
            runs.append({**kind, "errors": errors, **_told(fit, truth)})
    return {"star": number, "snr": snr, "truth": truth, "runs": runs}


def _told(fit, truth) -> dict:
    """What is kept of a fit; labels in the order of the true ones."""
    intervals = [fit.interval(level) for level in LEVELS]
    return {
        "labels": [float(f"{fit.labels[name].value:.6g}") for name in truth],
        "inside": [[int(_within(truth[name], some[name])) for name in truth] for some in intervals],
        "reduced_chi2": float(f"{fit.reduced_chi2:.4g}"),
        "flags": list(fit.flags),
    }


def _within(value, interval) -> bool:
    low, high = (float(limit.value) for limit in interval)
    return low <= value <= high


def chosen(rows, **kind) -> list[tuple[dict, dict]]:
    """Pairs of true labels and run, of the runs of a kind."""
    return [(row["truth"], run) for row in rows for run in row["runs"] if kind.items() <= run.items()]


def grouped(rows) -> dict[tuple[str, str, str], tuple[list, list]]:
    """Runs by kind of fit, content and noise; each with the runs of the same noise, clean and with true errors."""
    out = {}
    for errors, content in product(ERRORS, SPIKES):
        for noise, ccds in zip(NOISES, (None, *CCDS), strict=True):
            same = {"errors": errors} | ({} if ccds is None else {"ccds": ccds})
            pairs = chosen(rows, **same, content=content, true=ccds is None)
            out[errors, content, noise] = pairs, chosen(rows, **same, content="clean", true=True)
    return out


def rms(pairs, name) -> float:
    """RMS error of a label."""
    return float(
        np.sqrt(np.mean([(run["labels"][list(truth).index(name)] - truth[name]) ** 2 for truth, run in pairs]))
    )


def covered(pairs, name) -> list[float]:
    """Percentages of true labels within the intervals of each level."""
    inside = [[level[list(truth).index(name)] for level in run["inside"]] for truth, run in pairs]
    return (100 * np.mean(inside, axis=0)).tolist()


def flagged(pairs) -> dict[str, float]:
    """Percentage of stars with each flag, without its label."""
    flags = [{flag.partition(":")[0] for flag in run["flags"]} for _, run in pairs]
    return {name: 100 * float(np.mean([name in some for some in flags])) for name in sorted(set().union(*flags))}


def tables(rows) -> str:
    """The text for the documentation."""
    groups = grouped(rows)
    return "\n".join([_intro(rows), *(make(groups) for make in (_errors_table, _coverage_table, _flags_table))])


def _intro(rows) -> str:
    chance = " and ".join(
        f"{100 * np.sqrt(level * (1 - level) / len(rows)):.1f} at {100 * level:.0f} %" for level in LEVELS
    )
    return (
        f"Emulator ``default``, version {rvsemu.shipped().info['version']}; {len(rows)} stars at a signal to noise of "
        f"{rows[0]['snr']:g}. Spikes: {100 * SPIKES['spikes']['spikes']:g} % of native pixels, "
        f"{SPIKES['spikes']['spike_size']:g} sigma. Rows of true errors are the mean of {', '.join(map(str, CCDS))} "
        f"CCD spectra. The chance errors of percentages are {chance}; that of an RMS error is "
        f"{100 / np.sqrt(2 * len(rows)):.1f} % of it.\n"
    )


def _errors_table(groups) -> str:
    head = ["Fit", *(f"{name} ({unit})" for name, (unit, _) in SHOWN.items()), "reduced chi2"]
    body = []
    for kind, (pairs, best) in groups.items():
        cells = [f"{rms(pairs, n):.{digits}f} ({rms(pairs, n) / rms(best, n):.2f})" for n, (_, digits) in SHOWN.items()]
        chi2 = np.mean([run["reduced_chi2"] for _, run in pairs])
        body.append([", ".join(kind), *cells, f"{chi2:.2f}"])
    return rst(
        head,
        body,
        "RMS errors, and their ratio to those of the same noise without spikes and with true errors; mean reduced chi2",
    )


def _coverage_table(groups) -> str:
    names = [*UNIFORM, "vmic", "resolution", "radial_velocity"]
    body = [
        [", ".join(kind), *(" / ".join(f"{x:.0f}" for x in covered(pairs, name)) for name in names)]
        for kind, (pairs, _) in groups.items()
    ]
    return rst(["Fit", *names], body, "Percentage of true labels within the intervals of 68 / 95 %")


def _flags_table(groups) -> str:
    shares = {kind: flagged(pairs) for kind, (pairs, _) in groups.items()}
    names = sorted({name for some in shares.values() for name in some})
    body = [[", ".join(kind), *(f"{some.get(name, 0.0):.0f}" for name in names)] for kind, some in shares.items()]
    return rst(["Fit", *names], body, "Percentage of stars with a flag")


def run(numbers, snr, jobs, path) -> None:
    """Measure stars, and keep each when it is there."""
    work, bar = partial(measure, snr=snr), partial(tqdm, total=len(numbers), unit="star")
    if jobs == 1:
        for row in bar(map(work, numbers)):
            add(path, row)
        return
    with Pool(jobs) as pool:
        for row in bar(pool.imap_unordered(work, numbers)):
            add(path, row)


def main(arguments=None) -> int:
    """Measure the stars that are missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=300, help="(default: 300)")
    parser.add_argument("--snr", type=float, default=20.0, help="signal to noise (default: 20)")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the stars (default: in measured/)")
    parser.add_argument("--write", action="store_true", help="write the tables of the documentation, too")
    options = parser.parse_args(arguments)

    def known() -> dict[int, dict]:
        rows = (row for row in read(options.results) if row["snr"] == options.snr and row["star"] < options.stars)
        return {row["star"]: row for row in sorted(rows, key=lambda row: row["star"])}

    done = known()
    run([n for n in range(options.stars) if n not in done], options.snr, options.jobs, options.results)
    text = tables([*known().values()])
    print(text)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
