"""The report: reStructuredText from the results, in which no number is typed."""

from __future__ import annotations

from . import paper
from .learned import learning_section
from .tables import METRICS, number, percent, rst_table, significant, with_unit
from .verdicts import bars, claims, limited

__all__ = ["body", "page"]

_REBUILT = ("components_training", "components_test")
_CAPTIONS = {
    "1": "The library, as the paper's Figure 1: spectra in the order of Teff, and an example.",
    "3": "Loss of the autoencoders (Figure 3).",
    "4": "A test spectrum before and after the autoencoder of ``{first}`` (Figure 4).",
    "6": "Loss of the label networks, and of fine-tuning where the recipe has it (Figure 6).",
    "8": "Test spectra of SYNSPEC and of the emulator ``{model}``, and their differences (Figure 8).",
    "9": "Errors of the labels that ``{model}`` finds, for SYNSPEC's test spectra and for generated ones (Figure 9).",
    "learning": "Learning curve of ``{learner}``.",
}


def page(results) -> str:
    """The report as a page of its own, its figures beside it."""
    title = "The study of Gebran (2024), repeated"
    return f"{title}\n{'=' * len(title)}\n\n{body(results)}"


def body(results, figures="") -> str:
    """The report without a title; `figures` goes before the names of the figures' files."""
    parts = {
        "In short": _short(results),
        "What was trained": _trained(results),
        "The library": _figure(results, "1", figures),
        "Autoencoder": _autoencoder(results, figures),
        "Generated spectra": _generated(results, figures),
        "Inversion": _inversion(results),
        "The central claim": _claim(results, figures),
        "Bars": _bars(results),
        "What limits it": learning_section(results) + _all_figures(results, "learning", figures),
        "What differs from the paper": _differences(results),
    }
    return "\n".join(f"{title}\n{'~' * len(title)}\n\n{text.rstrip()}\n" for title, text in parts.items() if text)


def _short(results) -> str:
    out = ""
    if results["quick"]:
        out += (
            ".. warning::\n\n   This was a quick run, with a part of the library, few draws and few epochs. It shows "
            "that everything\n   works. **Its numbers are not to be used.**\n\n"
        )
    if found := limited(results):
        what = "\n".join(f"   * ``{name}``: {'; '.join(changed)}" for name, changed in found.items())
        out += f".. note::\n\n   Not trained as the recipes have it:\n\n{what}\n\n"
    met = [bar["met"] for bar in bars(results)]
    found = [one for *_, one in claims(results)]
    test = results["test"]
    return out + (
        f"{sum(met)} of {len(met)} bars were met. The inversions' errors on generated spectra were within "
        f"{100 * paper.CLAIM_BAR:g} % of those on SYNSPEC spectra with the same labels in "
        f"{sum(one['within'] for one in found)} of {len(found)} comparisons (label, emulator, inversion); in "
        f"{sum(one['surely_within'] for one in found)} the whole 95 % interval was, and in "
        f"{sum(one['includes_zero'] for one in found)} it included zero.\n\n"
        f"Run on {results['date']} with rvsemu {results['rvsemu']}, seed {results['seed']}, on a library of "
        f"{results['library']['spectra']:,} spectra (``{results['library']['fingerprint']}``). The test has "
        f"{test['draws']:,} spectra of {test['stars_drawn']:,} library stars at random v sin i and resolution, without "
        "noise. No inversion has seen these stars, and no emulator was trained on them; but they were among the "
        "emulators' validation spectra, which decided when their training stopped. None of them shares its intrinsic "
        "labels with a spectrum trained on.\n"
    )


def _trained(results) -> str:
    rows = []
    for name, model in results["models"].items():
        stages = [f"{s}: {x['epochs']} of at most {x['most']}, best {x['best']}" for s, x in model["stages"].items()]
        draws = f"{model['draws'] - model['validation_draws']:,} + {model['validation_draws']:,}"
        rows.append((f"``{name}``", model["makes"], model["version"], draws, "; ".join(stages)))
    head = ("recipe", "makes", "version", "draws: training + validation", "epochs by stage")
    between = [f"``{name}``" for name, model in results["models"].items() if model["settings"]["interpolate"]]
    text = "Draws are the library's own spectra, broadened"
    if between:
        text += (
            f"; but the training draws of {', '.join(between)} come from a Gaussian process through the training part "
            "of the library, at labels of their own"
        )
    text += ". Recipes and settings are in the files of the models (``rvsemu info FILE --json``).\n\n"
    return text + rst_table(head, rows)


def _autoencoder(results, figures) -> str:
    emulators = _made(results, "emulator")
    rows = [
        (text, paper.AUTOENCODER.get(key, ""), *(number(m["metrics"]["autoencoder"][key]) for m in emulators.values()))
        for key, text in METRICS.items()
    ]
    head = ("on validation spectra", "Gebran (2024)", *(f"``{name}``" for name in emulators))
    shown = "".join(_figure(results, name, figures) for name in ("3", "4"))
    return rst_table(head, rows, "Flux to latent space to flux") + shown


def _generated(results, figures) -> str:
    emulators = _made(results, "emulator")
    head = ("on test spectra", *(f"``{name}``" for name in emulators))
    rows = [(text, *(number(results["flux"][name][key]) for name in emulators)) for key, text in METRICS.items()]
    out = _figure(results, "6", figures)
    out += rst_table(head, rows, "Labels to flux: generated spectra against those of SYNSPEC") + "\n"
    times = results["milliseconds"]
    batch = next(iter(times.values()))["batch"]
    rows = [
        ("one alone", f"{1e3 * paper.SECONDS_GENERATED:g} ms", *(f"{times[n]['alone']:.2g} ms" for n in emulators)),
        (f"in a batch of {batch:,}", "not stated", *(f"{times[n]['batched']:.2g} ms" for n in emulators)),
        ("by SYNSPEC", f"{paper.SECONDS_SYNSPEC:g} s", *("not measured here" for _ in emulators)),
    ]
    out += rst_table(("", "Gebran (2024)", *head[1:]), rows, "Time a spectrum takes")
    here = results["machine"]
    return out + f"\nOn {_machine(here)}, in NumPy.\n" + _all_figures(results, "8", figures)


def _inversion(results) -> str:
    out = (
        "RMS errors (predicted - true). The paper calls its numbers MSE, but gives them in the units of the labels; "
        "they are taken as RMS errors here.\n\n"
    )
    stated = ("training", "validation", "test", "generated")
    for name, errors in results["errors"].items():
        head = ("", *(f"paper: {part}" for part in stated), *(_part(part) for part in errors))
        rows = []
        for label in results["labels"]:
            theirs = paper.TABLE_5.get(label["name"], {})
            ours = (significant(row[label["name"]]) for row in errors.values())
            rows.append((with_unit(label), *(significant(theirs[p]) if theirs else "" for p in stated), *ours))
        out += rst_table(head, rows, f"Table 5, with the recipe ``{name}``") + "\n"
    rows = [
        (
            f"``{name}``",
            f"{model['settings']['components']}",
            *(f"{100 * model['metrics'][k]['mean_relative_error']:.2f} %" for k in _REBUILT),
        )
        for name, model in _made(results, "inversion").items()
    ]
    bar = f"{100 * paper.COMPONENTS_BAR:g} %"
    rows.insert(0, ("Gebran (2024)", "15", f"at most {bar}", "not stated"))
    head = ("", "components", "training spectra", "test spectra")
    return out + rst_table(head, rows, "Mean relative error of spectra rebuilt from their principal components")


def _part(part) -> str:
    return "test (SYNSPEC)" if part == "test" else part


def _claim(results, figures) -> str:
    out = (
        "Are the errors of the inversion on generated spectra those on SYNSPEC spectra with the same labels? The "
        "difference of the RMS errors is given as a share of the error on SYNSPEC spectra, with a 95 % interval from a "
        "paired bootstrap over stars. *Shift* is the RMS of what the label found for one and the same spectrum changes "
        f"by, as a share, too. The bar is {100 * paper.CLAIM_BAR:g} %.\n\n"
    )
    head = ("", "SYNSPEC", "generated", "difference", "95 % interval", "within the bar", "zero inside", "shift")
    for inversion, by in results["differences"].items():
        for emulator, found in by.items():
            rows = [(with_unit(label), *_compared(found[label["name"]])) for label in results["labels"]]
            out += rst_table(head, rows, f"Inverted by ``{inversion}``, generated by ``{emulator}``") + "\n"
    return out + _all_figures(results, "9", figures)


def _compared(one) -> tuple[str, ...]:
    within = ("yes, the whole interval" if one["surely_within"] else "yes") if one["within"] else "**no**"
    return (
        significant(one["synthetic"]),
        significant(one["generated"]),
        percent(one["difference"]),
        f"{percent(one['low'])} to {percent(one['high'])}",
        within,
        "yes" if one["includes_zero"] else "no",
        f"{100 * one['shift']:.0f} %",
    )


def _bars(results) -> str:
    rows = [(b["what"], b["value"], b["bar"], "met" if b["met"] else "**missed**") for b in bars(results)]
    return rst_table(("", "measured", "bar", ""), rows)


def _differences(results) -> str:
    library, info = results["library"], results["library"]["info"]
    emulators, inversions = (_made(results, kind) for kind in ("emulator", "inversion"))

    def each(models, of):
        return "; ".join(f"``{name}`` {of(model)}" for name, model in models.items())

    def epochs(stage):
        return each(emulators, lambda model: model["stages"][stage]["epochs"])

    def of_inversion(model):
        return "-".join(str(n) for n in sorted({x["epochs"] for x in model["stages"].values()}))

    test = results["test"]
    ours = {
        "spectra": f"{library['spectra']:,}, without rotation and instrument; to train on, draws: "
        + each(emulators | inversions, lambda model: f"{model['draws']:,}"),
        "test": f"{test['draws']:,} spectra of {test['stars_drawn']:,} stars",
        **{key: info.get(key, "not stated by the library") for key in ("code", "structures", "abundances", "lines")},
        "broadening": "of unbroadened spectra, when they are drawn (" + info.get("broadening", "not stated") + ")",
        "autoencoder": f"epochs: {epochs('autoencoder')}",
        "label_network": f"epochs: {epochs('label_network')}",
        "inversion": f"epochs: {each(inversions, of_inversion)}",
        "machine": _machine(results["machine"]) + " (of this run; models may have been trained elsewhere)",
        "decoder": each(emulators, lambda model: model["settings"]["decoder"]["output_activation"]),
        "fluxes": each(emulators, _fluxes),
        "labels": each(emulators | inversions, _scaled),
        "finetune": each(emulators, lambda model: "yes" if "finetune" in model["stages"] else "no"),
    }
    names = {
        "spectra": "library",
        "label_network": "label network",
        "decoder": "decoder's output",
        "fluxes": "fluxes, as the autoencoder sees them",
        "labels": "labels, as networks see them",
        "finetune": "fine-tuning of the linked networks",
    }
    theirs = paper.RUN
    rows = [(names.get(key, key), theirs[key], ours[key]) for key in theirs]
    return rst_table(("", "Gebran (2024)", "here"), rows, widths="14 36 50")


def _fluxes(model) -> str:
    settings = model["settings"]
    if settings["components"]:
        return f"{settings['components']} principal components"
    return "less their mean" if settings["center"] else "as they are"


def _scaled(model) -> str:
    logarithms = model["settings"]["log_labels"]
    return "from -1 to 1" + (f", {' and '.join(logarithms)} as logarithms" if logarithms else "")


def _machine(here) -> str:
    cores = f"{here['cores']} core{'s' if here['cores'] != 1 else ''}"
    return f"{here['processor']}, {cores}, {here['system']}, Python {here['python']}"


def _made(results, kind) -> dict:
    return {name: model for name, model in results["models"].items() if model["makes"] == kind}


def _figure(results, name, folder) -> str:
    figure = results["figures"][name]
    kind, _, model = name.partition("-")
    learner = [*_made(results, "emulator" if model == "emulator" else "inversion")][-1]
    names = {"first": next(iter(_made(results, "emulator"))), "learner": learner}
    caption = _CAPTIONS[kind].format(model=model, **names)
    if "missing" in figure:
        return f"\n{caption} The figure is missing: {figure['missing']}\n"
    alt = caption.replace("`", "")
    text = figure["text"] and f" {figure['text'][0].upper()}{figure['text'][1:]}."
    return f"\n.. figure:: {folder}{figure['file']}\n   :alt: {alt}\n\n   {caption}{text}\n\n"


def _all_figures(results, kind, folder) -> str:
    return "".join(_figure(results, name, folder) for name in results["figures"] if name.startswith(f"{kind}-"))
