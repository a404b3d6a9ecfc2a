"""The study from beginning to end: train, test, compare, draw, write; every stage is taken up where it was left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np

from .._storage import made_folder, replacing
from ..emulator import Emulator
from ..errors import TrainingError, check_whole
from ..inversion import Inversion
from ..library import Library
from ..training.accuracy import metrics
from ..training.fit import train
from ..training.recipes import DEFAULT, GEBRAN2024, GEBRAN2024_INVERSION, INVERSION, InversionRecipe, Recipe, Work
from .figures import draw_all
from .measure import Tested, compared, machine, milliseconds, rms, stars_of, test_all
from .paper import GENERATED
from .report import page

__all__ = ["FULL", "QUICK", "Learning", "Plan", "changes", "learning_curve", "obtain", "reproduce"]


@dataclass(frozen=True)
class Learning:
    """Which trainings make the curves.

    Parameters
    ----------
    draws, epochs : int
        Numbers of the curve against the number of spectra: smaller than the recipe's, to take minutes.
    shares : tuple of float
        Shares of the spectra that are not for the test; each part holds the smaller ones. The last one is that of the
        curve against the number of draws.
    more_draws : tuple of int
        Other numbers of draws on that curve.

    Examples
    --------
    >>> from rvsemu.reproduction import Learning
    >>> Learning(draws=20_000, epochs=20, shares=(0.5, 1.0), more_draws=(40_000,)).points
    [(0.5, 20000), (1.0, 20000), (1.0, 40000)]
    """

    draws: int
    epochs: int
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    more_draws: tuple[int, ...] = ()

    @property
    def points(self) -> list[tuple[float, int]]:
        """Share and draws of each training."""
        return [(share, self.draws) for share in self.shares] + [(self.shares[-1], n) for n in self.more_draws]


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Parameters
    ----------
    emulators : tuple of Recipe
        The first one's autoencoder is shown.
    inversions : tuple of InversionRecipe
    spectra : int, optional
        Number of spectra taken from the library, evenly; default all.
    draws : int, optional
        Number of draws of each training, instead of the recipes'.
    epochs : int, optional
        Largest number in each stage of each training, where the recipe's patience would allow more.
    test_draws : int
        Number of spectra of SYNSPEC, and of each emulator, that are inverted.
    learning : dict of Learning
        Learning curves, of the last ``"inversion"`` and of the last ``"emulator"``.
    quick : bool
        The report then says that its numbers are not to be used.

    Examples
    --------
    >>> from rvsemu.reproduction import Plan
    >>> plan = Plan(spectra=500, draws=5000, epochs=10, learning={})
    >>> [recipe.name for recipe in plan.emulators], plan.quick
    (['gebran2024', 'default'], False)
    """

    emulators: tuple[Recipe, ...] = (GEBRAN2024, DEFAULT)
    inversions: tuple[InversionRecipe, ...] = (GEBRAN2024_INVERSION, INVERSION)
    spectra: int | None = None
    draws: int | None = None
    epochs: int | None = None
    test_draws: int = GENERATED
    learning: Mapping[str, Learning] = field(
        default_factory=lambda: {
            "inversion": Learning(20_000, 20, more_draws=(5_000, 10_000, 40_000)),
            "emulator": Learning(40_000, 20, more_draws=(20_000,)),
        }
    )
    quick: bool = False

    def part(self, library: Library) -> Library:
        """What of `library` is used."""
        if self.spectra is None or self.spectra >= len(library):
            return library
        return library.subset(np.linspace(0, len(library) - 1, self.spectra).round().astype(int))


FULL = Plan(epochs=60)
QUICK = Plan(spectra=300, draws=1000, epochs=2, test_draws=300, learning={}, quick=True)


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
        Synthetic spectra before rotation and instrument.
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
    >>> from rvsemu.reproduction import reproduce
    >>> from rvsemu.reproduction.study import QUICK
    >>> numbers = reproduce("library.h5", "trial", QUICK)  # minutes; without a plan, days  # doctest: +SKIP
    """
    check_whole(TrainingError, "seed", seed, 0, 2**32 - 1)
    library = plan.part(library if isinstance(library, Library) else Library.load(library))
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
        "inversion": (plan.inversions[-1], _of_inversion(*test), {}),
        "emulator": (plan.emulators[-1], _of_emulator(*test, inversion), by),
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
        "models": {name: _facts(model, recipes[name]) for name, model in models.items()},
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


# ---------------------------------------------------------------------- models
@overload
def obtain(
    recipe: Recipe,
    library: Library,
    path: str | os.PathLike,
    seed: int,
    draws: int | None = None,
    epochs: int | None = None,
    progress: bool = True,
) -> Emulator: ...
@overload
def obtain(
    recipe: InversionRecipe,
    library: Library,
    path: str | os.PathLike,
    seed: int,
    draws: int | None = None,
    epochs: int | None = None,
    progress: bool = True,
) -> Inversion: ...
def obtain(
    recipe: Recipe | InversionRecipe,
    library: Library,
    path: str | os.PathLike,
    seed: int,
    draws: int | None = None,
    epochs: int | None = None,
    progress: bool = True,
) -> Emulator | Inversion:
    """The model of `recipe`: the one in the file `path`, or one that is trained and written there.

    Returns
    -------
    Emulator or Inversion

    Raises
    ------
    TrainingError
        The file is of another recipe, library or seed.
    """
    path = Path(path)
    if not path.exists():
        return train(library, recipe, path, draws=draws, epochs=epochs, seed=seed, least_r2=None, progress=progress)
    model = (Inversion if recipe.makes == "inversion" else Emulator).load(path)
    info = model.info
    compared = {
        "recipe": (info.get("recipe"), recipe.name),
        "library": (info.get("library", {}).get("fingerprint"), library.fingerprint()),
        "seed": (info.get("seed"), seed),
    }
    if wrong := [f"{what} {found}, not {wanted}" for what, (found, wanted) in compared.items() if found != wanted]:
        raise TrainingError(
            f"{path} has {'; '.join(wrong)}: move it away to have one trained, put the right file there, "
            "or give another folder (out=, --out)."
        )
    return model


def _facts(model: Emulator | Inversion, recipe: Recipe | InversionRecipe) -> dict:
    """What was trained, as plain data, all of it from the model itself; `recipe` is what it is compared with."""
    info = model.info
    kept = ("recipe", "version", "settings", "metrics", "draws", "validation_draws", "packages")
    return {
        **{key: info[key] for key in kept},
        "makes": recipe.makes,
        "changes": changes(info["settings"], recipe.asdict()),
        "stages": {name: _stage(curves, _most(info["settings"], name)) for name, curves in model.history.items()},
    }


def _stage(curves: Mapping[str, np.ndarray], most: int) -> dict[str, int]:
    losses = np.asarray(curves["val_loss"])
    return {"epochs": len(losses), "best": int(np.argmin(losses)) + 1, "most": most}


def _most(settings: Mapping[str, Any], stage: str) -> int:
    """Largest number of epochs of a stage: an emulator has a schedule for each, an inversion one."""
    return settings.get(f"{stage.removesuffix('_network')}_schedule", settings.get("schedule"))["epochs"]


def changes(settings: Mapping, recipe: Mapping) -> list[str]:
    """In what `settings` differ from those of `recipe`, both nested dictionaries: ``draws 2000 instead of 40000``."""
    found, wanted = (dict(_flat(json.loads(json.dumps(x)))) for x in (settings, recipe))
    return [f"{key} {found.get(key)} instead of {wanted[key]}" for key in wanted if found.get(key) != wanted[key]]


def _flat(nested: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


# ---------------------------------------------------------------------- learning curves
def learning_curve(
    plan: Learning,
    recipe: Recipe | InversionRecipe,
    known: Library,
    measure: Callable[[Any], dict],
    measured_on: dict[str, Any],
    work: Work,
) -> list[dict]:
    """Train `recipe` on parts of a library, and measure all on the same spectra.

    Each training leaves a small file in the folder of `work`; another call with the same arguments takes it from there.

    Parameters
    ----------
    plan : Learning
    recipe : Recipe or InversionRecipe
    known : Library
        All that is not for the test.
    measure : callable
        From the trained model to a dictionary of what it reaches, plain numbers.
    measured_on : dict
        Plain values that say what `measure` depends on; files of others are not taken.
    work : Work

    Returns
    -------
    list of dict
        ``spectra``, ``draws``, ``epochs``, and what `measure` returns.
    """
    order = np.random.default_rng(work.seed).permutation(len(known))
    if isinstance(recipe, InversionRecipe):
        recipe = replace(recipe, test=0.0)  # those to test on are kept apart already; one more spectrum is
    out = []
    for share, draws in plan.points:
        part = known.subset(np.sort(order[: round(share * len(known))]))
        file = work.folder / f"{recipe.name}-{len(part)}-spectra-{draws}-draws.json"
        limits = {"draws": draws, "epochs": plan.epochs, "seed": work.seed}
        identity = {"settings": recipe.asdict(), "library": part.fingerprint(), **limits, **measured_on}
        identity = json.loads(json.dumps(identity))
        if not file.exists() or json.loads(file.read_text())["identity"] != identity:
            point = _trained(part, recipe, file.with_suffix(".h5"), measure, progress=work.progress, **limits)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps({"identity": identity, "point": point}, indent=1))
        out.append(json.loads(file.read_text())["point"])
    return out


def _trained(
    part: Library,
    recipe: Recipe | InversionRecipe,
    path: Path,
    measure: Callable[[Any], dict],
    **options: Any,
) -> dict[str, Any]:
    """One point; what training left is removed."""
    work = path.with_name(f"{path.name}.work")
    with made_folder(path.parent):
        model = train(part, recipe, path, folder=work, least_r2=None, **options)
    point = {
        "spectra": len(part),
        "draws": model.info["draws"],
        "epochs": max(len(curves["loss"]) for curves in model.history.values()),
        **measure(model),
    }
    path.unlink()
    shutil.rmtree(work)
    return point


def _of_inversion(labels: np.ndarray, flux: np.ndarray) -> Callable[[Inversion], dict[str, Any]]:
    """What `learning_curve` measures of an inversion: RMS errors of the labels, in ``training`` and ``test``."""

    def measure(inversion: Inversion) -> dict[str, Any]:
        error = rms(inversion.estimate(flux)[0] - labels)
        return {
            "training": inversion.info["metrics"]["training"],
            "test": dict(zip(inversion.labels.names, error.tolist(), strict=True)),
        }

    return measure


def _of_emulator(labels: np.ndarray, flux: np.ndarray, inversion: Inversion) -> Callable[[Emulator], dict[str, Any]]:
    """What `learning_curve` measures of an emulator: ``flux``, its RMS error, and ``test``, those of the labels that
    `inversion` finds in its spectra."""

    def measure(emulator: Emulator) -> dict[str, Any]:
        generated = emulator.flux(labels)
        error = rms(inversion.estimate(generated)[0] - labels)
        return {
            "flux": float(rms((generated - flux).reshape(-1, 1))[0]),
            "test": dict(zip(inversion.labels.names, error.tolist(), strict=True)),
        }

    return measure
