"""The trained models of the study: those that are there, or newly trained; what each is; what none has seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..emulator import Emulator
from ..errors import TrainingError
from ..inversion import Inversion
from ..library import Library
from ..training.draws import split_library, test_share
from ..training.fit import train
from ..training.recipes import InversionRecipe, Recipe

__all__ = ["SCHEDULES", "changes", "facts", "obtain", "unseen"]

SCHEDULES = {
    "autoencoder": "autoencoder_schedule",
    "label_network": "label_schedule",
    "finetune": "finetune_schedule",
}
"""Stages of an emulator's training, and the settings that have their schedules."""

_FEWEST = 5


def obtain(recipe: Recipe | InversionRecipe, library: Library, path, seed, draws=None, epochs=None, progress=True):
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
        return train(library, recipe, path, draws=draws, epochs=epochs, seed=seed, progress=progress)
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


def unseen(library: Library, models) -> np.ndarray:
    """True for the library spectra that no model was trained on, and that share no labels with one that was.

    Emulators looked at them to stop in time (validation), inversions did not look at them at all (test).

    Raises
    ------
    TrainingError
        There are fewer than five.
    """
    trained_on = np.zeros(len(library), dtype=bool)
    for model in models:
        trained_on |= ~_held_out(library, model.info)
    star = np.unique(library.labels, axis=0, return_inverse=True)[1].ravel()
    out = ~np.isin(star, star[trained_on])
    if (found := int(out.sum())) < _FEWEST:
        raise TrainingError(
            f"{found} of the library's {len(library)} spectra were kept from all trainings: at least {_FEWEST} are "
            "needed. Give a larger library, or train with larger shares for validation and test."
        )
    return out


def _held_out(library, info) -> np.ndarray:
    settings = info["settings"]
    if "test" in settings:
        return test_share(library, settings["test"], info["seed"])
    return split_library(len(library), settings["validation"], info["seed"])


def facts(model: Emulator | Inversion, recipe: Recipe | InversionRecipe) -> dict:
    """What was trained, as plain data, all of it from the model itself; `recipe` is what it is compared with."""
    info = model.info
    kept = ("recipe", "version", "settings", "metrics", "draws", "validation_draws", "packages")
    return {
        **{key: info[key] for key in kept},
        "makes": recipe.makes,
        "changes": changes(info["settings"], recipe.asdict()),
        "stages": {name: _stage(curves, _most(info["settings"], name)) for name, curves in model.history.items()},
    }


def _stage(curves, most) -> dict:
    losses = np.asarray(curves["val_loss"])
    return {"epochs": len(losses), "best": int(np.argmin(losses)) + 1, "most": most}


def _most(settings, stage) -> int:
    return settings[SCHEDULES.get(stage, "schedule")]["epochs"]


def changes(settings, recipe) -> list[str]:
    """In what `settings` differ from those of `recipe`, both nested dictionaries: ``draws 2000 instead of 40000``."""
    found, wanted = (dict(_flat(json.loads(json.dumps(x)))) for x in (settings, recipe))
    return [f"{key} {found.get(key)} instead of {wanted[key]}" for key in wanted if found.get(key) != wanted[key]]


def _flat(nested, path=""):
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
