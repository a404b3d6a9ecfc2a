"""Learning curves: test errors of an inversion, and of what an emulator generates, against spectra and draws."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .._storage import replacing
from ..library import Library
from ..training.fit import train
from .measure import rms

__all__ = ["EMULATOR", "INVERSION", "Learning", "learning_curve", "of_emulator", "of_inversion"]


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

    draws: int
    epochs: int
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    more_draws: tuple[int, ...] = ()

    @property
    def points(self) -> list[tuple[float, int]]:
        """Share and draws of each training."""
        return [(share, self.draws) for share in self.shares] + [(self.shares[-1], n) for n in self.more_draws]


INVERSION = Learning(20_000, 20, more_draws=(5_000, 10_000, 40_000))
"""Of the study's inversion."""

EMULATOR = Learning(40_000, 20, more_draws=(20_000,))
"""Of the study's emulator."""


def learning_curve(plan: Learning, recipe, known: Library, measure, measured_on, folder, seed, progress) -> list[dict]:
    """Train `recipe` on parts of a library, and measure all on the same spectra.

    Each training leaves a small file in `folder`; another call with the same arguments takes it from there.

    Parameters
    ----------
    plan : Learning
    recipe : Recipe or InversionRecipe
    known : Library
        All that is not for the test.
    measure : callable
        From the trained model to a dictionary of what it reaches, plain numbers: from `of_inversion` or `of_emulator`.
    measured_on : dict
        Plain values that say what `measure` depends on; files of others are not taken.
    folder : path
    seed : int
    progress : bool

    Returns
    -------
    list of dict
        ``spectra``, ``draws``, ``epochs``, and what `measure` returns.
    """
    Path(folder).mkdir(exist_ok=True)
    order = np.random.default_rng(seed).permutation(len(known))
    if recipe.makes == "inversion":
        recipe = replace(recipe, test=0.0)  # those to test on are kept apart already; one more spectrum is
    out = []
    for share, draws in plan.points:
        part = known.subset(np.sort(order[: round(share * len(known))]))
        file = Path(folder) / f"{recipe.name}-{len(part)}-spectra-{draws}-draws.json"
        limits = {"draws": draws, "epochs": plan.epochs, "seed": seed}
        identity = {"settings": recipe.asdict(), "library": part.fingerprint(), **limits, **measured_on}
        identity = json.loads(json.dumps(identity))
        if not file.exists() or json.loads(file.read_text())["identity"] != identity:
            point = _trained(part, recipe, file.with_suffix(".h5"), measure, progress=progress, **limits)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps({"identity": identity, "point": point}, indent=1))
        out.append(json.loads(file.read_text())["point"])
    return out


def _trained(part, recipe, path, measure, **options) -> dict:
    """One point; what training left is removed."""
    work = path.with_name(f"{path.name}.work")
    model = train(part, recipe, path, folder=work, **options)
    point = {
        "spectra": len(part),
        "draws": model.info["draws"],
        "epochs": max(len(curves["loss"]) for curves in model.history.values()),
        **measure(model),
    }
    path.unlink()
    shutil.rmtree(work)
    return point


def of_inversion(labels, flux):
    """What `learning_curve` measures of an inversion: ``training`` and ``test``, the RMS error of each label.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
    flux : ndarray, shape (n, n_pixels)
        Of SYNSPEC.
    """

    def measure(inversion):
        error = rms(inversion.estimate(flux)[0] - labels)
        return {
            "training": inversion.info["metrics"]["training"],
            "test": dict(zip(inversion.labels.names, error.tolist(), strict=True)),
        }

    return measure


def of_emulator(labels, flux, inversion):
    """What `learning_curve` measures of an emulator: ``flux``, its RMS error, and ``test``, those of the labels that
    `inversion` finds in its spectra.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
    flux : ndarray, shape (n, n_pixels)
        Of SYNSPEC.
    inversion : Inversion
    """

    def measure(emulator):
        generated = emulator.flux(labels)
        error = rms(inversion.estimate(generated)[0] - labels)
        return {
            "flux": float(rms((generated - flux).reshape(-1, 1))[0]),
            "test": dict(zip(inversion.labels.names, error.tolist(), strict=True)),
        }

    return measure
