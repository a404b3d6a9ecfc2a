"""Models of the study: trained, or taken as they are if they are the right ones; and what they say of themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..emulator import Emulator
from ..errors import TrainingError
from ..inversion import Inversion
from ..library import Library
from ..training.fit import train
from ..training.recipes import InversionRecipe, Recipe

__all__ = ["changes", "facts", "obtain"]


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
    trained_on = info.get("library", {})
    kind = "identity" if "identity" in trained_on else "fingerprint"  # older files have no identity
    compared = {
        "recipe": (info.get("recipe"), recipe.name),
        "library": (trained_on.get(kind), getattr(library, kind)()),
        "seed": (info.get("seed"), seed),
    }
    if wrong := [f"{what} {found}, not {wanted}" for what, (found, wanted) in compared.items() if found != wanted]:
        raise TrainingError(
            f"{path} has {'; '.join(wrong)}: move it away to have one trained, put the right file there, "
            "or give another folder (out=, --out)."
        )
    return model


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
