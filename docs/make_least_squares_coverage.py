"""How often the intervals of least squares hold the truth, on many simulated stars.

    python docs/make_least_squares_coverage.py

takes half an hour of one core and makes ``_generated/coverage_least_squares.rst`` and ``.csv``; docs/make_coverage.py
samples as well.

Simulated stars are spectra of the emulator, with noise of the correlation of the RVS, a continuum, and a radial
velocity. Two draws of labels:

interior  away from the bounds of all labels, where posteriors are nearly Gaussian
prior     from the prior of the fit itself: uniform in all of the domain, Gaussian for resolution and vmic

Both are fitted twice, with ``errors="gaussian"`` and with ``errors="sampled"``.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.stats import norm

import rvsemu
from rvsemu._compat import Spectrum
from rvsemu.fitting import DEFAULT_PRIORS, fit_many
from rvsemu.fitting.parameters import Parameters
from rvsemu.observing import RVS_NOISE_CORRELATION
from rvsemu.observing.covariance import dense

HERE = Path(__file__).resolve().parent
SNRS = (20, 50, 100, 300)
LEVELS = (68.0, 95.0)
ERRORS = {"gaussian": 1000, "sampled": 300}  # stars for each signal to noise
TITLES = {
    ("interior", "gaussian"): "Labels drawn from the interior, Gaussian errors",
    ("interior", "sampled"): "Labels drawn from the interior, sampled errors",
    ("prior", "gaussian"): "Labels drawn from the prior, Gaussian errors",
    ("prior", "sampled"): "Labels drawn from the prior, sampled errors",
}
RVS = 8460.0 + 0.1 * np.arange(2401)
INTERIOR = {  # most stars with RVS spectra; slower than 20 km/s the instrument hides the rotation
    "teff": (4800.0, 7000.0),
    "logg": (3.0, 4.5),
    "vsini": (20.0, 60.0),
    "mh": (-0.6, 0.4),
}


def draw_labels(emulator, n, rng, kind):
    """Labels and radial velocities (n, 7), with resolution and vmic from their priors."""
    parameters = Parameters.make(emulator.labels, radial_velocity=(-30.0, 30.0))
    out = np.empty((n, len(parameters.space)))
    for i, label in enumerate(parameters.space.labels):
        low, high = parameters.lower[i], parameters.upper[i]
        if label.name in DEFAULT_PRIORS:
            mean, sigma = DEFAULT_PRIORS[label.name]
            shares = rng.uniform(norm.cdf(low, mean, sigma), norm.cdf(high, mean, sigma), n)
            out[:, i] = norm.ppf(shares, mean, sigma)
        else:
            if kind == "interior" and label.name in INTERIOR:
                low, high = INTERIOR[label.name]
            out[:, i] = rng.uniform(low, high, n)
    return out


def simulate(emulator, theta, snr, rng):
    """A spectrum of the emulator with continuum, Doppler shift, and noise correlated like that of the RVS."""
    beta = theta[-1] / 299792.458
    labels = dict(zip(emulator.labels.names, theta, strict=False))
    flux = emulator.spectrum(wavelength=RVS * np.sqrt((1 - beta) / (1 + beta)), medium="vacuum", **labels).flux.value
    x = (RVS - RVS.mean()) / np.ptp(RVS)
    continuum = 1 + x[None] ** np.arange(4)[:, None] * rng.normal(0, 0.02, (4, 1))
    sigma = np.full(len(RVS), 1.0 / snr)
    noise = _factor() @ rng.normal(size=len(RVS)) * sigma
    return Spectrum(
        spectral_axis=RVS * u.AA,
        flux=(flux * continuum.mean(axis=0) + noise) * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(sigma),
        meta={"medium": "vacuum"},
    )


def _factor(cache={}):  # noqa: B006
    """Cholesky factor of the correlation matrix."""
    if "factor" not in cache:
        band = np.array([np.full(len(RVS), rho) for rho in RVS_NOISE_CORRELATION])
        cache["factor"] = np.linalg.cholesky(dense(band))
    return cache["factor"]


def exact(emulator):
    """`emulator` taken as exact, as simulated stars are its own spectra."""
    from dataclasses import replace

    error = replace(emulator.error, sigma=0 * emulator.error.sigma, components=None)
    return replace(emulator, error=error)


def coverage(emulator, kind, errors, snr, count, seed):
    """Rows of (label, share within the 68 % interval, within 95 %, RMS of the pulls, share at a bound)."""
    rng = np.random.default_rng([seed, snr, kind == "prior"])
    truth = draw_labels(emulator, count, rng, kind)
    stars = (simulate(emulator, theta, snr, rng) for theta in truth)
    results = fit_many(stars, emulator=emulator, model_error=None, radial_velocity=(-100.0, 100.0), errors=errors)
    intervals = [[r.interval(level / 100) for r in results] for level in LEVELS]
    rows = []
    for i, name in enumerate(results[0].free_names):
        shares = [100 * np.mean(_within(truth[:, i], some, name)) for some in intervals]
        pull = [(r.labels[name].value - t) / r.errors[name].value for r, t in zip(results, truth[:, i], strict=True)]
        bound = 100 * np.mean([f"at-bound:{name}" in r.flags for r in results])
        rows.append((name, *shares, float(np.sqrt(np.mean(np.clip(pull, -6, 6) ** 2))), bound))
    lost = 100 * np.mean([r.reduced_chi2 > 1.25 for r in results])
    return rows, lost


def _within(truth, intervals, name):
    low, high = np.array([one[name].value for one in intervals]).T
    return (low <= truth) & (truth <= high)


def main(arguments=None):
    """Simulate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, help="for each signal to noise (default: 1000, and 300 with draws)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tables", type=Path, default=HERE / "_generated")
    options = parser.parse_args(arguments)
    emulator = exact(rvsemu.shipped())
    lines, records = [], []
    for (kind, errors), title in TITLES.items():
        table, stars = {}, options.stars or ERRORS[errors]
        for snr in SNRS:
            rows, lost = coverage(emulator, kind, errors, snr, stars, options.seed)
            for name, *values in rows:
                table.setdefault(name, []).append(values)
                records.append([kind, errors, snr, stars, name, *(f"{v:.2f}" for v in values)])
            shown = [f"{n} {a:.1f} {b:.1f} {p:.2f}" for n, a, b, p, _ in rows]
            print(kind, errors, snr, shown, f"lost {lost:.1f} %", flush=True)
            table.setdefault("in a wrong minimum (%)", []).append([lost])
        lines += [f".. list-table:: {title}: {stars} stars at each signal to noise"]
        lines += ["   :header-rows: 1", "", "   * - S/N", *(f"     - {snr}" for snr in SNRS)]
        for name, columns in table.items():
            lines.append(f"   * - {name}")
            lines += [f"     - {c[0]:.1f} / {c[1]:.1f}" if len(c) > 1 else f"     - {c[0]:.1f}" for c in columns]
        lines.append("")
    (options.tables / "coverage_least_squares.rst").write_text("\n".join(lines), encoding="utf-8")
    with open(options.tables / "coverage_least_squares.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["labels", "errors", "snr", "stars", "name", "within_68", "within_95", "rms_pull", "at_bound"]
        writer.writerow(columns)
        writer.writerows(records)


if __name__ == "__main__":
    main()
