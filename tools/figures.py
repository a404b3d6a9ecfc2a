"""Figures and tables of the documentation, all of them.

    python tools/figures.py

Figures go to ``docs/_static``, tables (reStructuredText) to ``docs/_generated``; both are committed. Run it again
whenever an emulator in ``rvsemu/data/emulators``, a recipe, the library or the command line changes;
``tests/test_docs.py`` compares the tables with the installed package. ``--tables-only`` leaves out all that needs a fit
and takes seconds; the whole takes two minutes of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import emulator_tables
import numpy as np
import package_tables
from emulator_tables import STAGES, shipped_names, trained
from package_tables import LIBRARY
from star_tables import LITERATURE, SAMPLING_SEED, STARS, posterior_table, settings_table, stars_tables

import rvsemu
from rvsemu.library.merging import open_library
from rvsemu.reproduction.panels import loss_curves, spectra_compared, star_text
from rvsemu.training.draws import PAPER_WAVELENGTH, split_library

DOCS = Path(__file__).resolve().parents[1] / "docs"
SPLIT_SEED = 1  # the seed of `rvsemu train` and of the shipped emulators


def tables() -> dict[str, str]:
    """File names and texts of all tables that need no fit."""
    return {
        "labels.rst": emulator_tables.labels_table(),
        "metrics.rst": emulator_tables.metrics_tables(),
        "recipes.rst": emulator_tables.recipes_table(),
        "inversion.rst": emulator_tables.inversion_table(),
        "inversions.rst": emulator_tables.inversions_table(),
        "figures.rst": emulator_tables.validation_figures(),
        "histories.rst": emulator_tables.history_figures(),
        "library.rst": package_tables.library_table(),
        "formats.rst": package_tables.formats_table(),
        "commands.rst": package_tables.command_help(),
    }


def readme_figure(plt, results):
    """Generated spectra along the main sequence and of giants, above the fit of Kepler-93."""
    fig = plt.figure(figsize=(6.6, 9.6), layout="constrained")  # narrow: legible on a telephone
    grid = fig.add_gridspec(2, 1, height_ratios=[1, 1])
    ax = fig.add_subplot(grid[0])
    stars = [  # Teff, logg, vsini, [M/H], what
        (13500, 4.1, 20, 0.0, "B"),
        (9500, 4.1, 150, 0.0, "A, 150 km/s"),
        (7800, 2.6, 10, 0.0, "A, low gravity"),
        (6500, 4.2, 25, 0.0, "F"),
        (5777, 4.44, 2, 0.0, "G: the Sun"),
        (5200, 2.6, 3, -1.4, "metal-poor giant"),
        (4700, 2.5, 3, 0.0, "K giant"),
        (3800, 4.7, 3, 0.0, "M dwarf"),
    ]
    values = np.array([s[:4] for s in stars]).T
    spectra = rvsemu.generate(*values, vmic=1.5, resolution=11500)
    wave = spectra.spectral_axis.value
    colors = plt.get_cmap("plasma")(np.linspace(0.05, 0.75, len(stars)))
    for i, (flux, star) in enumerate(zip(spectra.flux.value, stars, strict=True)):
        offset = 0.62 * (len(stars) - 1 - i)
        ax.plot(wave, flux + offset, lw=0.9, color=colors[i])
        text = f"{star[4]}\n{star[0]} K, log g {star[1]:g}" + (f"\n[M/H] {star[3]:g}" if star[3] else "")
        ax.text(8806, 1 + offset, text, fontsize=10, va="center", color=colors[i], linespacing=1.0)
    ax.set(
        xlim=(8400, 8800),
        ylabel="flux + offset",
        title="generated from labels",
        xlabel="wavelength in air (Å)",
    )
    ax.set_yticks([])
    ax.spines[["right", "top"]].set_visible(False)
    lower = fig.add_subplot(grid[1])
    results["kepler-93"].plot(ax=lower)
    return fig


def history_figure(history):
    """Loss against epoch of each stage: the paper's figures 3 and 6."""
    return loss_curves({title: history[stage] for stage, title in STAGES.items() if stage in history})


def errors_figure(plt, infos, emulators):
    """RMS error on validation spectra, by Teff and by pixel (of those whose pixels are at hand)."""
    fig, axes = plt.subplots(2, 1, figsize=(7.5, 6.4), layout="constrained", height_ratios=[1, 1.2])
    for i, (name, info) in enumerate(infos.items()):
        ranges = info["metrics"]["linked_by_teff"]
        edges = [ranges[0]["teff_low"], *(r["teff_high"] for r in ranges)]
        axes[0].stairs([r["rms"] for r in ranges], edges, color=f"C{i}", lw=1.6, label=name, baseline=None)
    for i, (name, emulator) in enumerate(emulators.items()):
        rms = np.sqrt(np.mean(emulator.error.sigma**2, axis=0))
        axes[1].plot(emulator.wavelength, rms, color=f"C{i}", lw=0.8, label=name)
    axes[0].set(xlabel="Teff (K)", ylabel="RMS error of the flux", yscale="log")
    axes[1].set(xlabel="wavelength in air (Å)", ylabel="RMS error of the flux", yscale="log", xlim=(8400, 8800))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    for ax in axes:
        ax.grid(alpha=0.25, which="both", lw=0.5)
    return fig


def validation_spectra(library, validation, count=6, seed=1):
    """Labels and SYNSPEC spectra (R = 11500, drawn vsini) of stars that no training has seen, hot to cool."""
    held_out = np.flatnonzero(split_library(library, validation, SPLIT_SEED))
    if library.extrapolated is not None:
        held_out = held_out[~library.extrapolated[held_out]]
    teff = library.labels[:, library.names.index("teff")]
    wanted = np.geomspace(14000, 3900, count)
    rows = [held_out[np.argmin(np.abs(np.log(teff[held_out] / t)))] for t in wanted]
    vsini = 150 * np.random.default_rng(seed).random(count) ** 2
    broadener = library.broadener(PAPER_WAVELENGTH)
    transforms = broadener.transform(library.flux[rows])
    flux = np.array([broadener.apply(t, v, 11500.0) for t, v in zip(transforms, vsini, strict=True)])
    labels = {name: library.labels[rows, i] for i, name in enumerate(library.names)}
    return labels | {"vsini": vsini, "resolution": np.full(count, 11500.0)}, flux


def validation_figure(emulator, labels, true):
    """SYNSPEC, the emulator, and their difference: the paper's figure 8."""
    flux = emulator.spectrum(extrapolate=True, **labels).flux.value
    texts = [star_text([*labels], row) for row in zip(*labels.values(), strict=True)]
    return spectra_compared(PAPER_WAVELENGTH, texts, true, flux)


def figures_of_stars(plt, results, posterior):
    """Names and figures of what is fitted to the shipped stars."""
    yield "readme", readme_figure(plt, results)
    for key, result in results.items():
        yield key, result.plot().figure
    truths = {name: value for name, (value, _) in LITERATURE["kepler-93"].items()}
    yield "kepler-93-corner", posterior.plot_corner(truths=truths)
    yield "kepler-93-predictive", posterior.plot_predictive().figure


def figures_of_emulators(plt):
    """Names and figures of what the emulators reach."""
    library = open_library(LIBRARY)
    infos, emulators = trained(), {name: rvsemu.shipped(name) for name in shipped_names()}
    for name, emulator in emulators.items():
        trained_on = emulator.info["library"]["fingerprint"]
        if trained_on != library.fingerprint():
            raise SystemExit(f"emulator '{name}' was trained on library {trained_on}, not on {LIBRARY}")
    yield "errors", errors_figure(plt, infos, emulators)
    share = min(i["settings"]["validation"] for i in infos.values())  # held out by all of them
    labels, true = validation_spectra(library, share)
    for name, info in infos.items():
        yield f"history-{name}", history_figure(info["history"])
    for name, emulator in emulators.items():
        yield f"validation-{name}", validation_figure(emulator, labels, true)


def write(folder, texts):
    """Write tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


def save(plt, folder, figures):
    """Save figures as they are made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, fig in figures:
        fig.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
        plt.close(fig)
        print(f"wrote {folder / name}.png")


def main(arguments=None):
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DOCS / "_static", help="folder of the figures")
    parser.add_argument("--tables", type=Path, default=DOCS / "_generated", help="folder of the tables")
    parser.add_argument("--tables-only", action="store_true", help="only the tables that need no fit")
    options = parser.parse_args(arguments)
    write(options.tables, tables())
    if options.tables_only:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 11
    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7"])  # Okabe & Ito
    results = {key: rvsemu.fit(rvsemu.read_rvs(rvsemu.example_path(key))[0]) for key in STARS}
    posterior = rvsemu.sample(rvsemu.read_rvs(rvsemu.example_path("kepler-93"))[0], seed=SAMPLING_SEED)
    fitted = {
        "stars.rst": stars_tables(results),
        "stars_settings.rst": settings_table(),
        "posterior.rst": posterior_table(posterior, results["kepler-93"]),
    }
    write(options.tables, fitted)
    save(plt, options.out, figures_of_emulators(plt))
    save(plt, options.out, figures_of_stars(plt, results, posterior))


if __name__ == "__main__":
    main()
