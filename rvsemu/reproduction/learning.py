"""Learning curves: what a recipe reaches when it is trained on less."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._storage import made_folder, replacing
from ..emulator import Emulator
from ..inversion import Inversion
from ..library import Library
from ..training.fit import train
from ..training.recipes import InversionRecipe, Recipe, Work
from .measure import rms
from .plan import Learning

__all__ = ["learning_curve", "of_emulator", "of_inversion"]


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
        identity = {"settings": recipe.asdict(), "library": part.identity(), **limits, **measured_on}
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


def of_inversion(labels: np.ndarray, flux: np.ndarray) -> Callable[[Inversion], dict[str, Any]]:
    """What `learning_curve` measures of an inversion: RMS errors of the labels, in ``training`` and ``test``."""

    def measure(inversion: Inversion) -> dict[str, Any]:
        error = rms(inversion.estimate(flux)[0] - labels)
        return {
            "training": inversion.info["metrics"]["training"],
            "test": dict(zip(inversion.labels.names, error.tolist(), strict=True)),
        }

    return measure


def of_emulator(labels: np.ndarray, flux: np.ndarray, inversion: Inversion) -> Callable[[Emulator], dict[str, Any]]:
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
