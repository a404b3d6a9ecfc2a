"""Learning curves: test errors of an inversion against the number of library spectra and of draws."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .._files import replacing
from ..inversion import Inversion
from ..library import Library
from ..training.fit import train
from ..training.recipes import InversionRecipe
from .measure import rms

__all__ = ["Learning", "learning_curve"]


@dataclass(frozen=True)
class Learning:
    """Which trainings make the curves.

    Parameters
    ----------
    draws, epochs : int
        Of the curve against the number of spectra: fewer than of the recipe, to take minutes.
    shares : tuple of float
        Of the spectra that are not for the test; each part holds the smaller ones. The last one is that of the curve
        against the number of draws.
    more_draws : tuple of int
        The other numbers of draws on that curve.
    """

    draws: int = 20_000
    epochs: int = 20
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    more_draws: tuple[int, ...] = (5_000, 10_000, 40_000)

    @property
    def points(self) -> list[tuple[float, int]]:
        """Share and draws of each training."""
        return [(share, self.draws) for share in self.shares] + [(self.shares[-1], n) for n in self.more_draws]


def learning_curve(plan: Learning, recipe: InversionRecipe, known: Library, test, folder, seed, progress) -> list[dict]:
    """Train `recipe` on parts of a library, and measure all on the same spectra.

    Each training leaves a small file in `folder`; another call with the same arguments takes it from there.

    Parameters
    ----------
    plan : Learning
    recipe : InversionRecipe
    known : Library
        All that is not for the test.
    test : tuple of ndarray
        Labels (n, n_labels) and flux (n, n_pixels).
    folder : path
    seed : int
    progress : bool

    Returns
    -------
    list of dict
        ``spectra``, ``draws``, ``epochs``, and by label ``training`` and ``test``, the RMS errors.
    """
    Path(folder).mkdir(exist_ok=True)
    order = np.random.default_rng(seed).permutation(len(known))
    out = []
    for share, draws in plan.points:
        part = known.subset(np.sort(order[: round(share * len(known))]))
        # The test spectra are kept apart already: with a share of 0 one more spectrum is.
        one = replace(recipe, test=0.0, draws=draws, schedule=replace(recipe.schedule, epochs=plan.epochs))
        out.append(_point(one, part, test, Path(folder), seed, progress))
    return out


def _point(recipe, part, test, folder, seed, progress) -> dict:
    file = folder / f"{len(part)}-spectra-{recipe.draws}-draws.json"
    identity = {
        "settings": json.loads(json.dumps(recipe.asdict())),
        "library": part.fingerprint(),
        "seed": seed,
        "test_draws": len(test[0]),
    }
    if file.exists() and (saved := json.loads(file.read_text()))["identity"] == identity:
        return saved["point"]
    model = file.with_suffix(".h5")
    work = model.with_name(f"{model.name}.work")
    point = _measured(train(part, recipe, model, folder=work, seed=seed, progress=progress), part, test)
    with replacing(file) as temporary:
        temporary.write_text(json.dumps({"identity": identity, "point": point}, indent=1))
    model.unlink()
    shutil.rmtree(work)
    return point


def _measured(inversion: Inversion, part: Library, test) -> dict:
    labels, flux = test
    error = rms(inversion.estimate(flux)[0] - labels)
    return {
        "spectra": len(part),
        "draws": inversion.info["draws"],
        "epochs": max(len(curves["loss"]) for curves in inversion.history.values()),
        "training": inversion.info["metrics"]["training"],
        "test": dict(zip(inversion.labels.names, error.tolist(), strict=True)),
    }
