"""The study from beginning to end: train, test, compare, draw, write; every stage is taken up where it was left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .._storage import check_folder, replacing
from ..errors import TrainingError
from ..library import Library
from ..training.metrics import metrics
from ..training.recipes import DEFAULT, GEBRAN2024, GEBRAN2024_INVERSION, INVERSION, InversionRecipe, Recipe
from .illustrations import draw_all
from .learning import EMULATOR, Learning, learning_curve, of_emulator, of_inversion
from .learning import INVERSION as INVERSION_CURVE
from .measure import compared, machine, milliseconds, rms, stars_of
from .models import facts, obtain
from .paper import GENERATED
from .report import page
from .tested import Tested, test_all

__all__ = ["FULL", "QUICK", "Plan", "reproduce"]


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Parameters
    ----------
    emulators : tuple of Recipe
        The first one's autoencoder is shown.
    inversions : tuple of InversionRecipe
    spectra : int, optional
        At most so many of the library, evenly picked.
    draws : int, optional
        Of each training, instead of the recipes' numbers.
    epochs : int, optional
        At most so many in each stage of each training, where the recipe's patience would allow more.
    test_draws : int
        Spectra of SYNSPEC, and of each emulator, that are inverted.
    learning : dict of Learning
        Learning curves, of the last ``"inversion"`` and of the last ``"emulator"``.
    quick : bool
        The report then says that its numbers are not to be used.
    """

    emulators: tuple[Recipe, ...] = (GEBRAN2024, DEFAULT)
    inversions: tuple[InversionRecipe, ...] = (GEBRAN2024_INVERSION, INVERSION)
    spectra: int | None = None
    draws: int | None = None
    epochs: int | None = None
    test_draws: int = GENERATED
    learning: Mapping[str, Learning] = field(
        default_factory=lambda: {"inversion": INVERSION_CURVE, "emulator": EMULATOR}
    )
    quick: bool = False

    def part(self, library: Library) -> Library:
        """What of `library` is used."""
        if self.spectra is None or self.spectra >= len(library):
            return library
        return library.subset(np.linspace(0, len(library) - 1, self.spectra).round().astype(int))


FULL = Plan(epochs=60)
QUICK = Plan(spectra=300, draws=1000, epochs=2, test_draws=300, learning={}, quick=True)


def reproduce(library, out="rvsemu-reproduction", plan=FULL, *, seed=1, epochs=None, progress=True) -> dict:
    """Run the study of Gebran (2024) on a library, and write the report.

    Parameters
    ----------
    library : Library or path
        Synthetic spectra before rotation and instrument.
    out : path
        Folder for ``models``, ``learning`` and ``report``. Models that are in ``models`` are taken as they are. Called
        again with the same arguments, the study goes on where it was stopped.
    plan : Plan
        `FULL`, `QUICK` or another.
    seed : int
        Of the trainings and of the test.
    epochs : int, optional
        Instead of the plan's.
    progress : bool
        Show progress bars.

    Returns
    -------
    dict
        All numbers of the report, as in ``report/results.json``.

    Raises
    ------
    TrainingError
        A model in ``models`` is of another recipe, library or seed; or training cannot start (see
        `rvsemu.training.fit.train`).
    LibraryFileError
        The library cannot be read.
    """
    library = plan.part(library if isinstance(library, Library) else Library.load(library))
    models, report = _folders(out)
    limits = {"draws": plan.draws, "epochs": plan.epochs if epochs is None else epochs, "progress": progress}

    def obtained(recipes):
        return {r.name: obtain(r, library, models / f"{r.name}.h5", seed, **limits) for r in recipes}

    tested = test_all(library, obtained(plan.emulators), obtained(plan.inversions), plan.test_draws, seed)
    points = _curves(plan, library, tested, models.with_name("learning"), seed, progress)
    results = _results(library, plan, tested, seed) | {"learning": points}
    work = models / f"{plan.emulators[0].name}.h5.work"
    results["figures"] = draw_all(report, work, library, tested, points, seed)
    for name, text in {"results.json": json.dumps(results, indent=1), "index.rst": page(results)}.items():
        with replacing(report / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return results


def _folders(out) -> tuple[Path, Path]:
    """The folders of models and report, made if need be."""
    out = check_folder(out, TrainingError)
    if out.exists() and not out.is_dir():
        raise TrainingError(f"out={out} is a file: give the name of a folder.")
    folders = out / "models", out / "report"
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _curves(plan, library, tested: Tested, folder, seed, progress) -> dict[str, list[dict]]:
    """The learning curves by what they are of."""
    (name, inversion), test = [*tested.inversions.items()][-1], (tested.labels, tested.flux)
    by = {"inversion": f"{name} {inversion.info['version']}"}
    wanted = {
        "inversion": (plan.inversions[-1], of_inversion(*test), {}),
        "emulator": (plan.emulators[-1], of_emulator(*test, inversion), by),
    }
    known, out = library.subset(~tested.rows), {}
    for kind, learning in plan.learning.items():
        recipe, measure, measured_on = wanted[kind]
        measured_on = {"test_draws": len(tested.labels), **measured_on}
        out[kind] = learning_curve(learning, recipe, known, measure, measured_on, folder, seed, progress)
    return out


def _results(library, plan, tested: Tested, seed) -> dict:
    names = tested.space.names
    stars = stars_of(tested.labels, names)
    recipes = {recipe.name: recipe for recipe in (*plan.emulators, *plan.inversions)}
    models = {**tested.emulators, **tested.inversions}
    return {
        "quick": plan.quick,
        "seed": seed,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "rvsemu": version("rvsemu"),
        "machine": machine(),
        "library": {"fingerprint": library.fingerprint(), "spectra": len(library), "info": library.info},
        "test": {"stars": int(tested.rows.sum()), "stars_drawn": int(stars.max()) + 1, "draws": len(tested.labels)},
        "labels": [{"name": x.name, "unit": x.unit} for x in tested.space.labels],
        "models": {name: facts(model, recipes[name]) for name, model in models.items()},
        "flux": {name: metrics(tested.flux, made) for name, made in tested.generated.items()},
        "milliseconds": {name: milliseconds(e.flux, tested.labels) for name, e in tested.emulators.items()},
        "errors": {name: _errors(tested, name) for name in tested.inversions},
        "differences": {
            name: {by: compared(names, e["synthetic"], x, stars, seed) for by, x in e["generated"].items()}
            for name, e in tested.errors.items()
        },
    }


def _errors(tested, inversion) -> dict:
    """Table 5: RMS errors by set of spectra and label."""
    measured, errors = tested.inversions[inversion].info["metrics"], tested.errors[inversion]
    named = {part: measured[part] for part in ("training", "validation")}
    arrays = {"test": errors["synthetic"], **{f"generated by {by}": e for by, e in errors["generated"].items()}}
    return named | {k: dict(zip(tested.space.names, rms(e).tolist(), strict=True)) for k, e in arrays.items()}
