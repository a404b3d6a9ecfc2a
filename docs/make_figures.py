"""Make the figures and generated tables of the documentation: ``python docs/make_figures.py``.

Figures go to ``docs/_static``, tables (reStructuredText) to ``docs/_generated``; both are committed.
Run it again whenever an emulator in ``rvsemu/data/emulators``, a recipe, the library or the command line changes.
``tests/test_docs.py`` compares the tables with the installed package.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

import rvsemu
from rvsemu.cli import main as rvsemu_command
from rvsemu.emulator import DEFAULT
from rvsemu.emulator.labels import PAPER_LABELS
from rvsemu.library import Library
from rvsemu.library.importing.formats import FORMATS, REFUSED
from rvsemu.reproduction import paper
from rvsemu.reproduction.figures import loss_curves, spectra_compared, star_text
from rvsemu.reproduction.report import METRICS, number, rst_table, significant
from rvsemu.training.draws import PAPER_WAVELENGTH, split_library
from rvsemu.training.recipes import INVERSIONS, RECIPES

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent / "library" / "rvs_library.h5"
SPLIT_SEED = 1  # the seed of `rvsemu train` and of the shipped emulators
SAMPLING_SEED = 1
STARS = {"kepler-93": "Kepler-93", "hd176650": "HD 176650"}
LITERATURE = {"kepler-93": {"teff": (5669, 75), "logg": (4.468, 0.032), "mh": (-0.18, "0.10")}}  # Huber et al. 2013
STAGES = {
    "autoencoder": "autoencoder",
    "label_network": "labels → latent space",
    "finetune": "linked, fine-tuned on flux",
}
COMMANDS = (
    "demo",
    "generate",
    "fetch",
    "fit",
    "sample",
    "invert",
    "info",
    "train",
    "reproduce",
    "library info",
    "library compact",
    "library merge",
    "library import",
    "synthesize setup",
    "synthesize run",
    "synthesize status",
)


def shipped_names() -> list[str]:
    """Names of the emulators in the installed package, the default one first."""
    folder = Path(rvsemu.__file__).parent / "data" / "emulators"
    return sorted((f.stem for f in folder.glob("*.h5")), key=lambda name: (name != DEFAULT, name))


def trained() -> dict[str, dict]:
    """What each emulator says of itself, loss curves included: those in the package, then those that were trained
    but not shipped, of which docs/trained has what ``rvsemu info FILE --json`` prints."""
    out = {name: {**rvsemu.shipped(name).info, "history": rvsemu.shipped(name).history} for name in shipped_names()}
    reports = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in sorted((HERE / "trained").glob("*.json"))}
    return out | {name: info for name, info in reports.items() if name not in out}


# ---------------------------------------------------------------------- tables
def labels_table() -> str:
    """The labels and their ranges."""
    rows = [(f"``{x.name}``", x.description, f"{x.lower:g}", f"{x.upper:g}", x.unit or "none") for x in PAPER_LABELS]
    return rst_table(("label", "meaning", "lowest", "highest", "unit"), rows)


def metrics_tables() -> str:
    """What the emulators reach on their validation spectra, next to the paper's autoencoder."""
    infos = [*trained().values()]
    head = ("", *(f"``{name}``" for name in trained()))
    facts = [
        ("recipe", *(i["recipe"] for i in infos)),
        ("in the package", *("yes" if name in shipped_names() else "no" for name in trained())),
        ("version", *(i["version"] for i in infos)),
        ("library spectra", *(f"{i['library']['spectra']:,}" for i in infos)),
        ("library fingerprint", *(f"``{i['library']['fingerprint']}``" for i in infos)),
        ("draws, training and validation", *(f"{i['draws']:,}" for i in infos)),
        ("of these validation", *(f"{i['validation_draws']:,}" for i in infos)),
        *(
            (
                f"epochs: {text.lower()}",
                *(str(len(i["history"].get(stage, {"loss": []})["loss"]) or "none") for i in infos),
            )
            for stage, text in STAGES.items()
        ),
        (
            "largest flux change by rounding the weights",
            *(number(i["metrics"]["rounding_max_change"]) for i in infos),
        ),
    ]
    out = [rst_table(head, facts, "What was trained on what")]
    for stage, title in (
        ("linked", "Labels to flux, weights as written: all validation spectra"),
        (
            "linked_vsini_below_30",
            "Labels to flux, weights as written: validation spectra with v sin i below 30 km/s",
        ),
        ("autoencoder", "Autoencoder alone: flux to latent space to flux"),
        ("label_network", "Label network alone: labels to latent values, before any fine-tuning"),
    ):
        beside = stage == "autoencoder"
        rows = [
            (
                text,
                *(number(i["metrics"][stage][key]) for i in infos),
                *([paper.AUTOENCODER.get(key, "")] * beside),
            )
            for key, text in METRICS.items()
        ]
        out.append(rst_table((*head, *["Gebran (2024)"] * beside), rows, title))
    by_teff = [{(r["teff_low"], r["teff_high"]): r for r in i["metrics"]["linked_by_teff"]} for i in infos]
    rows = [
        (
            f"{low:.0f}-{high:.0f}",
            *(
                f"{number(b[low, high]['rms'])} ({b[low, high]['spectra']:,})" if (low, high) in b else ""
                for b in by_teff
            ),
        )
        for low, high in sorted(set().union(*by_teff))
    ]
    out.append(rst_table(("Teff (K)", *head[1:]), rows, "RMS error of the flux by Teff (number of validation spectra)"))
    return "\n".join(out)


def inversion_table() -> str:
    """What the shipped inversion reaches, next to the paper's Table 5."""
    inversion = rvsemu.inversion.shipped_inversion()
    info, measured = inversion.info, inversion.info["metrics"]
    parts = ("training", "validation", "test")
    names = inversion.labels.names
    rows = []
    for label in inversion.labels.labels:
        theirs = paper.TABLE_5.get(label.name, {})
        ours = (significant(measured[part][label.name]) for part in parts)
        middle = significant(measured["test_median_absolute"][label.name])
        unit = f" ({label.unit})" if label.unit else ""
        rows.append((f"``{label.name}``{unit}", *ours, *(f"{theirs[p]:g}" if theirs else "" for p in parts), middle))
    head = ("RMS error", *parts, *(f"paper: {part}" for part in parts), "test, median of absolute error")
    split = info["library_split"]
    text = (
        f"Inversion ``default``, version {info['version']}: {info['draws']:,} draws of "
        f"{split['training and validation']:,} library spectra for training and validation, {info['test_draws']:,} of "
        f"{split['test']:,} others for the test. "
        f"Test spectra rebuilt from {len(inversion.principal.spread)} components have a mean relative error of "
        f"{100 * measured['components_test']['mean_relative_error']:.2f} %.\n\n"
    )
    by_teff = [
        (f"{r['teff_low']:.0f}-{r['teff_high']:.0f} ({r['spectra']:,})", *(significant(r[name]) for name in names))
        for r in measured["test_by_teff"]
    ]
    columns = ("Teff in K (spectra)", *(f"``{name}``" for name in names))
    return text + rst_table(head, rows) + "\n" + rst_table(columns, by_teff, "RMS error on test spectra, by Teff")


def recipes_table() -> str:
    """The recipes side by side."""
    return _recipes_side_by_side(RECIPES)


def inversions_table() -> str:
    """The recipes of inversions side by side."""
    return _recipes_side_by_side(INVERSIONS)


def _recipes_side_by_side(recipes) -> str:
    recipes = [asdict(r) for r in recipes.values()]
    keys = (*recipes[0],)
    rows = [(f"``{key}``", *(_cell(r[key]) for r in recipes)) for key in keys if key != "name"]
    return rst_table(("", *(f"``{r['name']}``" for r in recipes)), rows, widths="22 39 39")


def library_table() -> str:
    """What the library in the repository is, in its own words."""
    library = Library.load(LIBRARY)
    held = int(np.count_nonzero(library.extrapolated)) if library.extrapolated is not None else 0
    low, high = library.wavelength[[0, -1]]
    rows = [
        ("spectra", f"{len(library):,}"),
        ("fingerprint", f"``{library.fingerprint()}``"),
        (
            "wavelengths",
            f"{low:.1f}-{high:.1f} Å in {library.medium}, step {library.wavelength[1] - low:.2f} Å",
        ),
        ("smoothed to", f"R = {library.resolution:g}"),
        (
            "structure held at the edge of its grid",
            f"{held:,} spectra ({100 * held / len(library):.0f} %)",
        ),
        *((key, library.info[key]) for key in sorted(library.info) if key != "manifest"),
        *_hashes(library.info),
    ]
    return rst_table(("", "``library/rvs_library.h5``"), rows, widths="25 75")


def _hashes(info):
    """The sources and line lists of a library, from its manifest."""
    manifest = json.loads(info.get("manifest", "{}"))
    for name, digest in manifest.get("sources", {}).items():
        yield name, f"SHA-256 ``{digest[:12]}...``"
    for name, made in manifest.get("lines", {}).items():
        yield f"lines: {name}", f"{made['lines']:,}, SHA-256 ``{made['sha256'][:12]}...``"


def formats_table() -> str:
    """The formats that can be imported and what each assumes; then those that are refused."""
    head = ("``--format``", "of", "wavelengths", "flux", "labels", "assumed besides", "reference, licence")
    rows = [
        (f"``{f.name}``", f.title, f"{f.unit}, {f.medium or 'medium measured'}", f.flux, f.labels, f.assumes)
        + (f"{f.reference}; {f.licence}",)
        for f in FORMATS.values()
    ]
    refused = [(f"``{name}``", reason) for name, reason in REFUSED.items()]
    text = (
        "Flux is *normalised*, comes with its *continuum*, *either* of the two, or is *absolute* and needs a "
        "pseudo-continuum. *Medium measured*: from the Ca II triplet, unless ``--medium`` or the file states it.\n\n"
    )
    return text + rst_table(head, rows) + "\n" + rst_table(("refused", "because"), refused, widths="20 80")


def stars_tables(results) -> str:
    """Fitted labels beside those of the literature."""
    names = next(iter(results.values())).labels
    head = (
        "",
        *(f"{STARS[key]}{x}" for key in results for x in ("", *[": literature"] * (key in LITERATURE))),
    )
    rows = []
    for name in names:
        row = [
            f"``{name}``"
            + (f" ({u})" if (u := results["kepler-93"].labels[name].unit.to_string().replace(" ", "")) else "")
        ]
        for key, result in results.items():
            row.append(_with_error(result.labels[name].value, result.errors[name].value))
            if key in LITERATURE:
                row.append("{} ± {}".format(*LITERATURE[key][name]) if name in LITERATURE[key] else "")
        rows.append(row)
    quality = {
        "reduced chi2": lambda r: f"{r.reduced_chi2:.2f}",
        "residual rms": lambda r: f"{r.residual_rms:.4f}",
        "median sigma / flux of the data": lambda r: f"{_noise(r):.4f}",
        "pixels used": lambda r: f"{r.n_pixels:,}",
        "flags": lambda r: ", ".join(f"``{f}``" for f in r.flags) or "none",
    }
    for text, of in quality.items():
        row = [text]
        for key, result in results.items():
            row += [of(result), *[""] * (key in LITERATURE)]
        rows.append(row)
    return f"Emulator ``{DEFAULT}``, version {rvsemu.shipped().info['version']}.\n\n" + rst_table(head, rows)


def posterior_table(posterior, result) -> str:
    """The posterior of Kepler-93 beside its least-squares fit."""
    rows = []
    for row in posterior.summary():
        name, unit = row["name"], f" ({row['unit']})" if row["unit"] else ""
        digits = max(0, 1 - int(np.floor(np.log10(min(row["minus"], row["plus"])))))
        median, plus, minus = (f"{row[key]:.{digits}f}" for key in ("median", "plus", "minus"))
        literature = "{} ± {}".format(*LITERATURE["kepler-93"][name]) if name in LITERATURE["kepler-93"] else ""
        fitted = _with_error(result.labels[name].value, result.errors[name].value)
        rows.append((f"``{name}``{unit}", f"{median} +{plus} -{minus}", fitted, literature))
    steps, walkers, _ = posterior.chain.shape
    text = (
        f"Emulator ``{DEFAULT}``, version {rvsemu.shipped().info['version']}, seed {SAMPLING_SEED}: {steps} steps of "
        f"{walkers} walkers, of which {posterior.burn_in} were left out; the longest autocorrelation time was "
        f"{posterior.tau.max():.1f} steps, so there are {posterior.ess.min():,.0f} independent samples.\n\n"
    )
    return text + rst_table(("", "posterior: median, 16 and 84 %", "least squares", "literature"), rows)


def validation_figures() -> str:
    """Figure directives, one an emulator."""
    text = (
        "and SYNSPEC for library stars that no emulator was trained on, R = 11,500 (the paper's Figure 8). They are "
        "those nearest to six temperatures, of the stars whose structure is not held at the edge of its grid."
    )
    return _figures("validation", "Library spectra, the emulator's, and the differences", text, shipped_names())


def history_figures() -> str:
    """Figure directives, one an emulator."""
    return _figures("history", "Training and validation loss against epoch", "stage by stage.", trained())


def _figures(kind, alt, text, names) -> str:
    return "\n".join(
        f".. figure:: _static/{kind}-{name}.png\n   :alt: {alt}: {name}\n\n   ``{name}`` {text}\n" for name in names
    )


def command_help() -> str:
    """The help of each command."""
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "88", "1"
    out = []
    for command in ("", *COMMANDS):
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            rvsemu_command([*command.split(), "--help"])
        title = f"rvsemu {command}".strip()
        indented = "\n".join(f"   {line}".rstrip() for line in text.getvalue().rstrip().splitlines())
        out.append(f"{title}\n{'-' * len(title)}\n\n.. code-block:: none\n\n{indented}\n")
    return "\n".join(out)


def tables() -> dict[str, str]:
    """File names and texts of all tables that need no fit."""
    return {
        "labels.rst": labels_table(),
        "metrics.rst": metrics_tables(),
        "recipes.rst": recipes_table(),
        "inversion.rst": inversion_table(),
        "inversions.rst": inversions_table(),
        "library.rst": library_table(),
        "formats.rst": formats_table(),
        "commands.rst": command_help(),
        "figures.rst": validation_figures(),
        "histories.rst": history_figures(),
    }


def _with_error(value, error) -> str:
    if not error > 0:
        return f"{value:g} (fixed)"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _noise(result) -> float:
    good = ~result.observed.mask
    return float(np.median((result.observed.uncertainty.array / result.observed.flux.value)[good]))


def _cell(value) -> str:
    if value is None or value == () or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and "hidden" in value:
        widths = "-".join(map(str, value["hidden"]))
        dropout = f"; dropout {value['dropout']:g} x {value['dropout_layers']}" if value["dropout"] else ""
        return f"{widths}, {value['activation']}; output {value['output_activation']}{dropout}"
    if isinstance(value, dict):
        rate = f"{value['learning_rate']:g}" + (" falling to 0 (cosine)" if value["cosine"] else "")
        text = f"{value['optimizer']}, batch {value['batch']}, at most {value['epochs']} epochs, "
        return text + f"patience {value['patience']}, rate {rate}, epsilon {value['epsilon']:g}"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


# ---------------------------------------------------------------------- figures
def readme_figure(plt, results):
    """Generated spectra along the main sequence and of giants, above the fit of Kepler-93."""
    fig = plt.figure(figsize=(10, 10.2), layout="constrained")
    grid = fig.add_gridspec(2, 1, height_ratios=[1.12, 1])
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
    colors = plt.get_cmap("plasma")(np.linspace(0.05, 0.82, len(stars)))
    for i, (flux, star) in enumerate(zip(spectra.flux.value, stars, strict=True)):
        offset = 0.62 * (len(stars) - 1 - i)
        ax.plot(wave, flux + offset, lw=0.9, color=colors[i])
        text = f"{star[4]}   {star[0]} K, log g {star[1]:g}" + (f", [M/H] {star[3]:g}" if star[3] else "")
        ax.text(8806, 1 + offset, text.replace("   ", "\n"), fontsize=10, va="center", color=colors[i])
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
    fig, axes = plt.subplots(2, 1, figsize=(9, 6), layout="constrained", height_ratios=[1, 1.2])
    for i, (name, info) in enumerate(infos.items()):
        ranges = info["metrics"]["linked_by_teff"]
        edges = [ranges[0]["teff_low"], *(r["teff_high"] for r in ranges)]
        axes[0].stairs([r["rms"] for r in ranges], edges, color=f"C{i}", lw=1.6, label=name, baseline=None)
    for i, (name, emulator) in enumerate(emulators.items()):
        rms = np.sqrt(np.mean(emulator.error.sigma**2, axis=0))
        axes[1].plot(emulator.wavelength, rms, color=f"C{i}", lw=0.8, label=name)
    axes[0].set(xlabel="Teff (K)", ylabel="RMS error of the flux", yscale="log")
    axes[1].set(xlabel="wavelength in air (Å)", ylabel="RMS error of the flux", yscale="log", xlim=(8400, 8800))
    axes[0].legend(frameon=False)
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


def main(arguments=None):
    """Write everything."""
    parser = argparse.ArgumentParser(description="Make the figures and generated tables of the documentation.")
    parser.add_argument("--out", type=Path, default=HERE / "_static", help="folder of the figures")
    parser.add_argument("--tables", type=Path, default=HERE / "_generated", help="folder of the tables")
    options = parser.parse_args(arguments)
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 10

    library = Library.load(LIBRARY)
    emulators = {name: rvsemu.shipped(name) for name in shipped_names()}
    infos = trained()
    for name, emulator in emulators.items():
        trained_on = emulator.info["library"]["fingerprint"]
        if trained_on != library.fingerprint():
            raise SystemExit(f"emulator '{name}' was trained on library {trained_on}, not on {LIBRARY}")

    for folder in (options.out, options.tables):
        folder.mkdir(parents=True, exist_ok=True)

    def save(fig, name):
        fig.savefig(options.out / f"{name}.png", dpi=110, bbox_inches="tight")
        plt.close(fig)
        print(f"wrote {options.out / name}.png")

    results = {key: rvsemu.fit(rvsemu.read_rvs(rvsemu.example_path(key))[0]) for key in STARS}
    posterior = rvsemu.sample(rvsemu.read_rvs(rvsemu.example_path("kepler-93"))[0], seed=SAMPLING_SEED)
    from_fits = {"stars.rst": stars_tables(results), "posterior.rst": posterior_table(posterior, results["kepler-93"])}
    for name, text in {**tables(), **from_fits}.items():
        (options.tables / name).write_text(text, encoding="utf-8")
        print(f"wrote {options.tables / name}")
    save(readme_figure(plt, results), "readme")
    for key, result in results.items():
        save(result.plot().figure, key)
    truths = {name: value for name, (value, _) in LITERATURE["kepler-93"].items()}
    save(posterior.plot_corner(truths=truths), "kepler-93-corner")
    save(posterior.plot_predictive().figure, "kepler-93-predictive")
    save(errors_figure(plt, infos, emulators), "errors")
    share = min(i["settings"]["validation"] for i in infos.values())  # held out by all of them
    labels, true = validation_spectra(library, share)
    for name, info in infos.items():
        save(history_figure(info["history"]), f"history-{name}")
    for name, emulator in emulators.items():
        save(validation_figure(emulator, labels, true), f"validation-{name}")


if __name__ == "__main__":
    main()
