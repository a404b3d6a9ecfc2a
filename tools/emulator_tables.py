"""Tables of the documentation about emulators, inversions and their recipes: what each reaches, beside the paper."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import rvsemu
from rvsemu.emulator import DEFAULT
from rvsemu.reproduction import paper
from rvsemu.reproduction.report import METRICS, number, rst_table, significant
from rvsemu.training.recipes import INVERSIONS, RECIPES

TRAINED = Path(__file__).resolve().parents[1] / "docs" / "trained"
STAGES = {
    "autoencoder": "autoencoder",
    "label_network": "labels → latent space",
    "finetune": "linked, fine-tuned on flux",
}


def shipped_names() -> list[str]:
    """Names of the emulators in the installed package, the default one first."""
    folder = Path(rvsemu.__file__).parent / "data" / "emulators"
    return sorted((f.stem for f in folder.glob("*.h5")), key=lambda name: (name != DEFAULT, name))


def trained() -> dict[str, dict]:
    """What each emulator says of itself, loss curves included: those in the package, then those that were trained
    but not shipped, of which docs/trained has what ``rvsemu info FILE --json`` prints."""
    out = {name: {**rvsemu.shipped(name).info, "history": rvsemu.shipped(name).history} for name in shipped_names()}
    reports = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in sorted(TRAINED.glob("*.json"))}
    return out | {name: info for name, info in reports.items() if name not in out}


def labels_table() -> str:
    """The labels and their ranges."""
    labels = rvsemu.shipped().labels.labels
    rows = [(f"``{x.name}``", x.description, f"{x.lower:g}", f"{x.upper:g}", x.unit or "none") for x in labels]
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
