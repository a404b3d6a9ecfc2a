"""The noise correlation and the model error, measured on the shipped spectra of real stars.

    python validation/noise.py

prints what `rvsemu.observing.RVS_NOISE_CORRELATION` and `rvsemu.observing.MODEL_ERRORS` were set from: Whittle's
likelihood of the residuals' power spectra, and the likelihood of the spectra with the labels refitted. Makes
``docs/_static/noise.png`` and ``docs/_generated/noise.rst``. Takes a few minutes of one core.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import rvsemu
from rvsemu.fitting import prepare
from rvsemu.observing import MODEL_ERRORS, RVS_NOISE_CORRELATION, ModelError
from rvsemu.observing.correlation import SplineCorrelation

DOCS = Path(__file__).resolve().parents[1] / "docs"
STARS = {
    "gaia-1535964555128078720": "K dwarf",
    "gaia-3174658066485297152": "G dwarf",
    "kepler-93": "Kepler-93",
    "hd176650": "HD 176650",
}
LOWEST = 0.15  # cycles a pixel: above, the instrument lets nothing of a stellar spectrum through
ENDS = 20  # pixels left out at either end
ROUNDS = 3


def power(correlation, frequency):
    """Power spectrum of noise of unit variance with this correlation, at cycles a pixel."""
    lags = np.arange(len(correlation))
    return np.asarray(correlation) @ (np.cos(2 * np.pi * np.outer(lags, frequency)) * np.where(lags, 2, 1)[:, None])


def periodogram(result):
    """Frequencies and power of the residuals over their errors; bad pixels count as zero."""
    z = ((result.flux - result.model_flux) / result.flux_sigma)[ENDS:-ENDS]
    z = np.where(np.isfinite(z), z, 0.0)
    window = np.hanning(len(z))
    out = np.abs(np.fft.rfft((z - z.mean()) * window)) ** 2 / np.sum(window**2)
    return np.arange(len(out)) / len(z), out


def measure_correlation(result):
    """Variance, width in pixels and floor of `SplineCorrelation`, by Whittle's likelihood above `LOWEST`."""
    frequency, measured = periodogram(result)
    some = (frequency > LOWEST) & (frequency < 0.5)

    def cost(p):
        variance, width, floor = np.exp(p)
        expected = variance * power(SplineCorrelation(width, floor)(np.arange(8)), frequency[some])
        return np.sum(np.log(expected) + measured[some] / expected)

    return np.exp(minimize(cost, np.log([1.0, 2.45, 0.01]), method="Nelder-Mead").x)


def measure_model_error(spectra, start):
    """The `ModelError` of the highest likelihood, labels refitted with it `ROUNDS` times."""

    def cost(p, labels):
        error = ModelError(*np.exp(p))
        return -sum(prepare(s, model_error=error).log_likelihood(x)[0] for s, x in zip(spectra, labels, strict=True))

    p = np.log([start.base, start.depth, start.reach])
    for _ in range(ROUNDS):
        results = [rvsemu.fit(s, model_error=ModelError(*np.exp(p))) for s in spectra]
        labels = [np.array([r.labels[name].value for name in r.free_names]) for r in results]
        p = minimize(cost, p, (labels,), method="Nelder-Mead", options={"xatol": 0.01, "fatol": 0.05}).x
    return ModelError(*np.exp(p))


def noise_table(spectra, correlations, errors):
    """What was measured, and what the fits are with and without it."""
    rows = [
        ("reduced chi2, noise alone", lambda s: rvsemu.fit(s, model_error=None).reduced_chi2, "{:.2f}"),
        ("reduced chi2 with the model error", lambda s: rvsemu.fit(s).reduced_chi2, "{:.2f}"),
        ("error of Teff, noise alone, not scaled (K)", lambda s: _error(s, "teff", False), "{:.0f}"),
        ("error of Teff with the model error (K)", lambda s: _error(s, "teff", True), "{:.0f}"),
        ("error of log g, noise alone, not scaled", lambda s: _error(s, "logg", False), "{:.3f}"),
        ("error of log g with the model error", lambda s: _error(s, "logg", True), "{:.3f}"),
    ]
    lines = [".. list-table::", "   :header-rows: 1", "", "   * -"]
    lines += [f"     - {STARS[name]}" for name in spectra]
    lines += ["   * - width of the wide pixels (pixels), variance, floor"]
    lines += ["     - {1:.2f}, {0:.2f}, {2:.4f}".format(*correlations[name]) for name in spectra]
    lines += ["   * - model error fitted to the star: base, depth, reach (A)"]
    lines += [f"     - {e.base:.4f}, {e.depth:.3f}, {e.reach:.1f}" for e in errors.values()]
    for text, value, form in rows:
        lines += [f"   * - {text}"] + [f"     - {form.format(value(s))}" for s in spectra.values()]
    return "\n".join(lines) + "\n"


def _error(spectrum, name, model):
    settings = {} if model else {"model_error": None, "scale_errors": False}
    return rvsemu.fit(spectrum, **settings).errors[name].value


def noise_figure(plt, results, correlations):
    """Power spectra of the residuals, and of the noise."""
    fig, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharex=True, sharey=True)
    for ax, (name, result) in zip(axes.flat, results.items(), strict=True):
        frequency, measured = periodogram(result)
        edges = np.linspace(0, 0.5, 41)
        middle = (edges[1:] + edges[:-1]) / 2
        binned = [
            measured[(frequency >= a) & (frequency < b)].mean() for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        ax.semilogy(middle, binned, "o", ms=4, color="#333333", label="residuals / errors")
        ax.semilogy(middle, power(RVS_NOISE_CORRELATION, middle), color="#c23b22", label="RVS_NOISE_CORRELATION")
        ax.axvline(LOWEST, color="#999999", lw=0.8, ls=":")
        ax.set(title=STARS[name], xlim=(0, 0.5), ylim=(2e-3, 1e3))
        ax.grid(alpha=0.25, lw=0.5)
    for ax in axes[-1]:
        ax.set_xlabel("cycles per pixel of 0.1 Å")
    for ax in axes[:, 0]:
        ax.set_ylabel("power (1: white noise)")
    axes[0, 0].legend(frameon=False)
    return fig


def main(arguments=None):
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DOCS / "_static", help="folder of the figure")
    parser.add_argument("--tables", type=Path, default=DOCS / "_generated", help="folder of the table")
    options = parser.parse_args(arguments)
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    spectra = {name: rvsemu.read_rvs(rvsemu.example_path(name))[0] for name in STARS}
    results = {name: rvsemu.fit(s) for name, s in spectra.items()}
    correlations = {name: measure_correlation(r) for name, r in results.items()}
    for name, (variance, width, floor) in correlations.items():
        print(f"{name}: variance {variance:.2f} of the stated, wide pixels {width:.2f} pixels, floor {floor:.4f}")
    print("set to:", np.round(RVS_NOISE_CORRELATION, 3))
    start = MODEL_ERRORS["gaia-rvs"]
    print("model error of all stars:", measure_model_error(list(spectra.values()), start), "set to:", start)
    errors = {name: measure_model_error([s], start) for name, s in spectra.items()}
    table = noise_table(spectra, correlations, errors)
    print(table)
    (options.tables / "noise.rst").write_text(table, encoding="utf-8")
    fig = noise_figure(plt, results, correlations)
    fig.savefig(options.out / "noise.png", dpi=110)


if __name__ == "__main__":
    main()
