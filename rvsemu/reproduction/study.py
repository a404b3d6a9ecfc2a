"""The study from beginning to end: train, test, compare, draw, write; every stage is taken up where it was left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .._storage import made_folder, replacing
from ..emulator import Emulator
from ..errors import TrainingError, check_whole
from ..inversion import Inversion
from ..library import Library
from ..library.merging import open_library
from ..training.accuracy import metrics
from ..training.recipes import InversionRecipe, Recipe, Work
from .figures import draw_all
from .learning import learning_curve, of_emulator, of_inversion
from .measure import Tested, compared, machine, milliseconds, rms, stars_of, test_all
from .models import facts, obtain
from .plan import FULL, Plan
from .report import page

__all__ = ["reproduce"]


def reproduce(
    library: Library | str | os.PathLike,
    out: str | os.PathLike = "rvsemu-reproduction",
    plan: Plan = FULL,
    *,
    seed: int = 1,
    epochs: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Run the study of Gebran (2024) on a library, and write the report.

    Parameters
    ----------
    library : Library or path
        Synthetic spectra before rotation and instrument: the library, its file, or a list of files
        (`rvsemu.library.merging.open_library`).
    out : path
        Folder for ``models``, ``learning`` and ``report``. Models that are in ``models`` are taken as they are. Called
        again with the same arguments, the study goes on where it was stopped. Trained models are written however
        accurate they are, as it is for the report to say.
    plan : Plan
        `FULL`, `QUICK` or another.
    seed : int
        Seed of the trainings and of the test.
    epochs : int, optional
        Largest number in each stage of a training, instead of the plan's.
    overwrite : bool
        Replace the report of another study.
    progress : bool
        Show progress bars.

    Returns
    -------
    dict
        All numbers of the report, as in ``report/results.json``.

    Raises
    ------
    TrainingError
        A model in ``models`` is of another recipe, library or seed; ``report`` is of another study; or training cannot
        start (see `rvsemu.training.fit.train`).
    LibraryFileError
        The library cannot be read.

    Examples
    --------
    >>> from rvsemu.reproduction import QUICK, reproduce
    >>> numbers = reproduce("library.h5", "trial", QUICK)  # minutes; without a plan, days  # doctest: +SKIP
    """
    check_whole(TrainingError, "seed", seed, 0, 2**32 - 1)
    library = plan.part(library if isinstance(library, Library) else open_library(library))
    out = Path(out)
    _check_folder(out)
    most = plan.epochs if epochs is None else epochs
    study = {"quick": plan.quick, "seed": seed, "fingerprint": library.fingerprint()}
    _check_report(out / "report" / "results.json", study, overwrite)

    with made_folder(out / "models") as models:
        how = (seed, plan.draws, most, progress)
        emulators = {r.name: obtain(r, library, models / f"{r.name}.h5", *how) for r in plan.emulators}
        inversions = {r.name: obtain(r, library, models / f"{r.name}.h5", *how) for r in plan.inversions}
        tested = test_all(library, emulators, inversions, plan.test_draws, seed)
    points = _curves(plan, library, tested, Work(out / "learning", seed, progress))
    results = _results(library, plan, tested, seed) | {"learning": points}
    work = out / "models" / f"{plan.emulators[0].name}.h5.work"
    with made_folder(out / "report") as report:
        results["figures"] = draw_all(report, work, library, tested, points, seed)
        for name, text in {"results.json": json.dumps(results, indent=1), "index.rst": page(results)}.items():
            with replacing(report / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return results


def _check_folder(out: Path) -> None:
    if not out.absolute().parent.is_dir():
        raise TrainingError(f"out={out}: the folder {out.absolute().parent} does not exist; make it first.")
    if out.exists() and not out.is_dir():
        raise TrainingError(f"out={out} is a file: give the name of a folder.")


def _check_report(file: Path, study: dict[str, Any], overwrite: bool) -> None:
    if overwrite or not file.exists():
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        found = {**{key: found[key] for key in ("quick", "seed")}, "fingerprint": found["library"]["fingerprint"]}
    except (KeyError, TypeError, ValueError):
        found = dict.fromkeys(study)
    if wrong := [f"{key} {found[key]}, not {study[key]}" for key in study if found[key] != study[key]]:
        raise TrainingError(
            f"{file.parent} is the report of another study ({'; '.join(wrong)}): give another folder, or allow it "
            "to be replaced (overwrite=True, --overwrite)."
        )


def _curves(plan: Plan, library: Library, tested: Tested, work: Work) -> dict[str, list[dict]]:
    """The learning curves by what they are of."""
    (name, inversion), test = [*tested.inversions.items()][-1], (tested.labels, tested.flux)
    by = {"inversion": f"{name} {inversion.info['version']}"}
    wanted: dict[str, tuple[Recipe | InversionRecipe, Callable[[Any], dict], dict[str, Any]]] = {
        "inversion": (plan.inversions[-1], of_inversion(*test), {}),
        "emulator": (plan.emulators[-1], of_emulator(*test, inversion), by),
    }
    known, out = library.subset(~tested.rows), {}
    for kind, learning in plan.learning.items():
        recipe, measure, measured_on = wanted[kind]
        measured_on = {"test_draws": len(tested.labels), **measured_on}
        out[kind] = learning_curve(learning, recipe, known, measure, measured_on, work)
    return out


def _results(library: Library, plan: Plan, tested: Tested, seed: int) -> dict[str, Any]:
    names = tested.space.names
    stars = stars_of(tested.labels, names)
    planned: tuple[Recipe | InversionRecipe, ...] = (*plan.emulators, *plan.inversions)
    recipes = {recipe.name: recipe for recipe in planned}
    models: dict[str, Emulator | Inversion] = {**tested.emulators, **tested.inversions}
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


def _errors(tested: Tested, inversion: str) -> dict[str, dict[str, float]]:
    """Table 5: RMS errors by set of spectra and label."""
    measured, errors = tested.inversions[inversion].info["metrics"], tested.errors[inversion]
    named = {part: measured[part] for part in ("training", "validation")}
    arrays = {"test": errors["synthetic"], **{f"generated by {by}": e for by, e in errors["generated"].items()}}
    return named | {k: dict(zip(tested.space.names, rms(e).tolist(), strict=True)) for k, e in arrays.items()}
