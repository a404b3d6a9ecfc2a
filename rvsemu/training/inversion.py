"""Train an inversion: draws, principal components, a network or one for each label, measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._storage import arrays_of, replacing
from ..emulator.labels import LabelSpace
from ..emulator.network import DenseNetwork
from ..emulator.pca import PrincipalComponents
from ..errors import TrainingError
from ..inversion import Inversion, LabelErrors, Limits
from ..library import Library
from .accuracy import metrics, teff_edges
from .domain import constant_labels, label_space_of
from .draws import make_test_set, make_training_set, split_library
from .export import provenance, rounded
from .noisy import make_conditions, train_noisy
from .recipes import InversionRecipe, Work

__all__ = ["train_inversion"]

_MEASURED = 10_000  # of the training spectra, to within a factor of two
_BATCH = 4096


def train_inversion(recipe: InversionRecipe, library: Library, work: Work) -> Inversion:
    """Train an inversion; `rvsemu.training.fit.train` calls it, and writes the file.

    The library is split three ways. No spectrum of the test shares its intrinsic labels with one of training or
    validation, and it is looked at when all is done.

    Returns
    -------
    Inversion
        ``info["metrics"]`` has the RMS error of each label on training, validation and test spectra (the paper's
        Table 5), more measures on the test spectra, and how well the components rebuild spectra. All are those of
        the weights as written, in NumPy.

    Examples
    --------
    >>> from pathlib import Path
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.inversion import train_inversion
    >>> from rvsemu.training.recipes import Work, recipe
    >>> work = Work(Path("inversion.h5.work"), seed=1)
    >>> inversion = train_inversion(recipe("inversion"), Library.load("library.h5"), work)  # doctest: +SKIP
    """
    test = split_library(library, recipe.test, work.seed)
    known = library.subset(~test)
    sets = make_training_set(known, recipe, work)
    space = label_space_of(known, recipe.label_space())
    (x, flux), (x_val, flux_val) = sets.part(False), sets.part(True)
    principal = _components(flux, recipe.components, work.folder)
    c, c_val = principal.coefficients(flux), principal.coefficients(flux_val)
    networks, history = _networks(recipe, space, principal, (c, x), (c_val, x_val), work)
    some = slice(None, None, max(1, len(flux) // _MEASURED))
    inversion = Inversion(
        space,
        principal,
        tuple(rounded(network, recipe.weights) for network in networks),
        sets.wavelength,
        library.medium,
        LabelErrors(np.arange(2.0), np.arange(2.0), np.zeros((2, 2, len(space)))),
        *_left(principal, flux[some], np.concatenate([c, c_val])),
        history=history,
    )
    estimated = inversion.from_coefficients(c_val)
    teff, vsini = _columns(space, estimated, "teff", "vsini")
    error = LabelErrors.of(teff, vsini, estimated - x_val)
    inversion = replace(inversion, error=error)
    observed: dict[str, dict[str, float]] = {}
    if recipe.conditions:
        conditions = make_conditions(inversion, flux_val, recipe.conditions, work)
        noisy, curves, observed = train_noisy(recipe, inversion, (c, x), (c_val, x_val), conditions, work)
        inversion = replace(inversion, noisy=noisy, history=inversion.history | curves)
    full = replace(inversion, networks=networks).from_coefficients(c_val)
    tested = make_test_set(library.subset(test), space, max(100, round(recipe.draws * recipe.test)), work.seed)
    info = {
        **provenance(recipe, library),
        "metrics": {
            "training": _rms(space.names, inversion.from_coefficients(c[some]) - x[some]),
            "validation": _rms(space.names, estimated - x_val),
            **observed,
            **_measured(inversion, *tested),
            "components_training": _rebuilding(principal, flux[some]),
            "components_test": _rebuilding(principal, tested[1]),
            "rounding_max_change": float(np.max(np.abs(space.scaled(full) - space.scaled(estimated)))),
        },
        "draws": len(sets.labels),
        "validation_draws": len(x_val),
        "test_draws": len(tested[0]),
        "library_split": {"test": int(test.sum()), "training and validation": len(known)},
        "seed": work.seed,
        "constant_labels": constant_labels(library, recipe.label_space()),
    }
    return replace(inversion, info=info)


def _components(flux: np.ndarray, count: int, folder: Path) -> PrincipalComponents:
    """Computed once: a network that is trained on must see the very same coefficients, signs included."""
    file = folder / "components.npz"
    if not file.exists():
        with replacing(file) as temporary, open(temporary, "wb") as opened:
            np.savez(opened, **vars(PrincipalComponents.of(flux, count)))
    saved = arrays_of(file, TrainingError, f"delete the folder {folder}, and train anew")
    return PrincipalComponents(saved["mean"], saved["basis"], saved["spread"])


def _networks(
    recipe: InversionRecipe,
    space: LabelSpace,
    principal: PrincipalComponents,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    work: Work,
) -> tuple[tuple[DenseNetwork, ...], dict[str, dict[str, np.ndarray]]]:
    """The trained networks, for coefficients of unit variance, and their loss curves by name."""
    from .networks import build_inversion, compiled, to_numpy
    from .stages import run_stage

    scale = np.ones(len(principal.spread)) if recipe.whitened else principal.spread
    inputs, inputs_val = ((c * scale).astype("f4") for c, _ in (training, validation))
    targets, targets_val = (space.scaled(x).astype("f4") for _, x in (training, validation))
    noise = recipe.noise / principal.spread * scale if recipe.noise else None  # of pixels, as coefficients have it
    groups = {"labels": slice(None)} if recipe.shared else {n: slice(i, i + 1) for i, n in enumerate(space.names)}
    networks, history = [], {}
    for name, columns in groups.items():
        pairs = (inputs, targets[:, columns]), (inputs_val, targets_val[:, columns])
        model = build_inversion(recipe, name, inputs.shape[1], pairs[0][1].shape[1], work.seed)
        compiled(model, recipe.schedule)
        curves = run_stage(model, recipe.schedule, *pairs, work, f"network_{name}", noise)
        history[name] = {key: np.array(values) for key, values in curves.items()}
        first, *others = to_numpy(model).layers
        first = replace(first, weights=(first.weights * scale[:, None]).astype("f4"))
        networks.append(DenseNetwork((first, *others)))
    return tuple(networks), history


def _left(principal: PrincipalComponents, flux: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, Limits]:
    """RMS (n_pixels,) of what the components leave of spectra, and how far spectra and coefficients reach."""
    squares, largest = np.zeros(flux.shape[1]), 0.0
    for i in range(0, len(flux), _BATCH):
        part = np.asarray(flux[i : i + _BATCH])
        error = np.square(principal.rebuilt(principal.coefficients(part)) - part, dtype="f8")
        squares += error.sum(axis=0)
        largest = max(largest, float(error.mean(axis=1).max()))
    distance = float(np.max(np.mean(np.square(coefficients), axis=1, dtype="f8")))
    return np.sqrt(squares / len(flux)), Limits(distance, float(np.sqrt(largest)))


def _rebuilding(principal: PrincipalComponents, flux: np.ndarray) -> dict[str, float]:
    """How far rebuilt spectra are from what they were; the paper states the mean relative error."""
    flux = np.asarray(flux[:_BATCH])
    found = metrics(flux, principal.rebuilt(principal.coefficients(flux)))
    return {key: found[key] for key in ("mean_relative_error", "rms", "p99_max_error")}


def _columns(space: LabelSpace, labels: np.ndarray, *names: str) -> list[np.ndarray]:
    return [labels[:, space.names.index(name)] for name in names]


def _rms(names: Sequence[str], error: np.ndarray) -> dict[str, float]:
    return {name: float(np.sqrt(np.mean(error[:, i] ** 2))) for i, name in enumerate(names)}


def _measured(inversion: Inversion, labels: np.ndarray, flux: np.ndarray) -> dict[str, Any]:
    """Everything about the labels of test spectra."""
    names = inversion.labels.names
    estimated, sigma = inversion.estimate(flux)
    error = estimated - labels
    teff, vsini = _columns(inversion.labels, labels, "teff", "vsini")
    columns = list(zip(names, error.T, labels.T, strict=True))
    by_teff: list[dict[str, float]] = []
    out: dict[str, Any] = {
        "test": _rms(names, error),
        "test_r2": {n: float(1 - np.mean(e**2) / x.var()) for n, e, x in columns if np.ptp(x) > 0},
        "test_median_absolute": dict(zip(names, np.median(np.abs(error), axis=0).tolist(), strict=True)),
        "test_error_over_stated": _rms(names, error / sigma),
        "test_by_teff": by_teff,
    }
    edges = teff_edges(teff).tolist()
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if (rows := (teff >= low) & (teff < high)).any():
            one = {"teff_low": low, "teff_high": high, "spectra": int(rows.sum()), **_rms(names, error[rows])}
            by_teff.append(one)
    if (slow := vsini < 30.0).any():
        out["test_vsini_below_30"] = _rms(names, error[slow])
    return out
