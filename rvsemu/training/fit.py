"""Train a recipe. An emulator: draws, autoencoder, label network, link, fine-tune, measure, write."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._storage import check_output, made_folder, replacing
from ..emulator import Emulator, ErrorModel
from ..emulator.labels import UNITS, LabelSpace
from ..emulator.network import DenseNetwork
from ..emulator.stated_units import pair
from ..errors import TrainingError, check_whole
from ..inversion import Inversion
from ..library import Library
from ..library.merging import open_library
from .accuracy import TEFF_EDGES, error_model, metrics, rms_by_teff, teff_edges
from .autoencoder import codec_of
from .domain import constant_labels, label_space_of
from .draws import TrainingSet, check_library, make_training_set, split_library, training_wavelength
from .export import in_batches, provenance, rounded
from .inversion import train_inversion
from .noisy import check_observable
from .recipes import InversionRecipe, Recipe, Schedule, Work
from .recipes import recipe as recipe_named

__all__ = ["LEAST_R2", "limited", "measured_emulator", "r2_of", "train"]

LEAST_R2 = 0.9
"""R2 below which a model has learned too little for any fit to be trusted; the shipped emulator reaches 0.9999."""

_SLOW = 30.0  # km/s
_POSSIBLE = {"vsini": (0.0, 500.0), "resolution": (1000.0, 1e6)}  # limits
_BACKENDS = ("tensorflow", "jax", "torch")  # of Keras, those that train


def train(
    library: Library | str | os.PathLike,
    recipe: str | Recipe | InversionRecipe = "default",
    out: str | os.PathLike | None = None,
    *,
    folder: str | os.PathLike | None = None,
    draws: int | None = None,
    epochs: int | None = None,
    vsini: tuple[float, float] | None = None,
    resolution: tuple[float, float] | None = None,
    seed: int = 1,
    least_r2: float | None = LEAST_R2,
    overwrite: bool = False,
    progress: bool = True,
) -> Emulator | Inversion:
    """Train a recipe on a library and write the emulator, or the inversion.

    Parameters
    ----------
    library : Library or path
        Synthetic spectra before rotation and instrument: the library, its file, or a list of files
        (`rvsemu.library.merging.open_library`).
    recipe : str, Recipe or InversionRecipe
        ``"default"`` or ``"gebran2024"`` for an emulator, ``"inversion"`` or ``"gebran2024-inversion"``
        for an inversion.
    out : path, optional
        The file (HDF5); default ``emulator.h5`` or ``inversion.h5``.
    folder : path, optional
        Folder of draws and checkpoints; default `out` with the suffix ``.work``. Called again with the same arguments,
        training goes on from what is there, draws included; the folder may be deleted afterwards.
    draws : int, optional
        Number of draws, instead of the recipe's.
    epochs : int, optional
        Largest number of epochs in each stage, where the recipe's patience would allow more.
    vsini, resolution : (float, float), optional
        Lowest and highest v sin i (km/s) and resolving power, instead of the recipe's.
    seed : int
        Seed of the split, the draws, the first weights and the batches.
    least_r2 : float or None
        R2 that must be reached for the file to be written: of the flux of validation spectra for an emulator, of Teff
        of test spectra for an inversion (see `r2_of`). None accepts any. Stored as ``info["least_r2"]``.
    overwrite : bool
        Replace a file `out` of another training. (That of the same one is replaced anyway.)
    progress : bool
        Show progress bars.

    Returns
    -------
    Emulator or Inversion
        With ``info["metrics"]``. Those of an emulator are measured on validation spectra of stars that were not trained
        on: the autoencoder alone, the label network alone (on latent values), and linked, as written (rounded weights,
        NumPy). For those of an inversion see `rvsemu.training.inversion.train_inversion`.

    Raises
    ------
    TrainingError
        Keras or its backend is missing, an argument is impossible, the library does not do, `out` exists, `folder`
        belongs to another training, or `least_r2` was not reached.
    LibraryFileError
        The library cannot be read.

    Examples
    --------
    >>> from rvsemu.training.fit import train
    >>> emulator = train("library.h5", "default", "emulator.h5")  # takes hours  # doctest: +SKIP
    >>> trial = train("library.h5", draws=2000, epochs=2, least_r2=None)         # doctest: +SKIP
    """
    recipe = observed_by(limited(recipe, draws, epochs), vsini, resolution)
    seed = check_whole(TrainingError, "seed", seed, 0, 2**32 - 1)
    library = library if isinstance(library, Library) else open_library(library)
    _need_keras()
    out = Path(out or f"{recipe.makes}.h5")
    folder = Path(folder) if folder else out.parent / f"{out.name}.work"
    parts = {"recipe": recipe.asdict(), "library": library.identity(), "seed": seed}
    identity = json.dumps(parts, sort_keys=True, indent=1)
    check_output(out, TrainingError, overwrite or _text(folder) == identity)
    _check_known(library, recipe, seed)
    work = Work(folder, seed, progress)
    _claim(folder, identity)
    trained: Emulator | Inversion
    if isinstance(recipe, InversionRecipe):
        trained = train_inversion(recipe, library, work)
    else:
        trained = _train_emulator(recipe, library, work)
    trained = replace(trained, info={**trained.info, "least_r2": least_r2})
    _check_accuracy(trained, out, folder, least_r2)
    trained.save(out, dtype=recipe.weights, overwrite=True)
    return type(trained).load(out)


def limited(
    recipe: str | Recipe | InversionRecipe, draws: int | None = None, epochs: int | None = None
) -> Recipe | InversionRecipe:
    """The recipe, or that of the name, with another number of draws, and no stage longer than `epochs`."""
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    if not isinstance(recipe, Recipe | InversionRecipe):
        raise TrainingError(f"recipe={recipe!r}: give the name of a recipe, a Recipe or an InversionRecipe.")
    if draws is not None:
        recipe = replace(recipe, draws=check_whole(TrainingError, "draws", draws, 100, 10**9))
    if epochs is None:
        return recipe
    check_whole(TrainingError, "epochs", epochs, 1, 10**6)
    schedules = {k: v for k, v in vars(recipe).items() if isinstance(v, Schedule)}
    shorter: dict[str, Any] = {k: replace(v, epochs=min(v.epochs, epochs)) for k, v in schedules.items()}
    return replace(recipe, **shorter)


def observed_by(
    recipe: Recipe | InversionRecipe,
    vsini: tuple[float, float] | None = None,
    resolution: tuple[float, float] | None = None,
) -> Recipe | InversionRecipe:
    """The recipe with other limits of v sin i (km/s) and resolving power."""
    changes: dict[str, Any] = {}
    for name, given in (("vsini", vsini), ("resolution", resolution)):
        if given is not None:
            (low, high), (least, most) = pair(TrainingError, name, given, UNITS[name]), _POSSIBLE[name]
            if not least <= low < high <= most:
                raise TrainingError(f"{name}={low:g},{high:g}: give two limits in {least:g} to {most:g}, lower first.")
            changes[name] = (float(low), float(high))
    return replace(recipe, **changes)


def r2_of(info: dict) -> float:
    """R2 by which a model is accepted, from its `info`; NaN if it has none.

    The share of the variance that is explained: of the flux of validation spectra, averaged over pixels, for an
    emulator; of Teff of test spectra for an inversion.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.training.fit import LEAST_R2, r2_of
    >>> LEAST_R2 < r2_of(rvsemu.shipped().info) < 1
    True
    """
    found = info.get("metrics", {})
    return found.get("linked", {}).get("r2", found.get("test_r2", {}).get("teff", math.nan))


def _check_accuracy(trained: Emulator | Inversion, out: Path, folder: Path, least_r2: float | None) -> None:
    found = r2_of(trained.info)
    if least_r2 is None or found >= least_r2:
        return
    raise TrainingError(
        f"{out} was not written: R2 on spectra that were not trained on is {found:.3g}, at least {least_r2:g} is asked "
        "for. Train longer, with more draws or on a larger library; or write it as it is (least_r2=None, "
        f"--accept-poor): the training is kept in {folder}."
    )


def _need_keras() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow: its messages are not for users
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    try:
        with _silent():
            import keras

            chosen = keras.backend.backend()
            importlib.import_module(chosen)
    except (ImportError, ValueError) as e:  # the latter: Keras has no backend of that name
        raise TrainingError(
            f"Keras with its backend {chosen!r} is needed to train, and cannot be imported ({e}): "
            f"pip install 'rvsemu[train]' brings TensorFlow; KERAS_BACKEND chooses among {', '.join(_BACKENDS)}."
        ) from None
    if chosen not in _BACKENDS:
        raise TrainingError(f"KERAS_BACKEND={chosen} cannot train: use one of {', '.join(_BACKENDS)}.")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing on the standard error: what libraries say there before their own settings are read is not for users."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_known(library: Library, recipe: Recipe | InversionRecipe, seed: int) -> None:
    """Refuse a library that does not do before anything is written."""
    test = getattr(recipe, "test", None)
    check_library(library if test is None else library.subset(~split_library(library, test, seed)), recipe)
    if getattr(recipe, "conditions", 0):
        check_observable(training_wavelength(library, label_space_of(library, recipe.label_space())), library.medium)


def _text(folder: Path) -> str | None:
    file = folder / "training.json"
    return file.read_text() if file.is_file() else None


def _claim(folder: Path, identity: str) -> None:
    """Make the folder this training's own, or check that it is."""
    if _text(folder) not in (None, identity):
        raise TrainingError(
            f"folder={folder} holds a training with another recipe, library, seed or number of draws: "
            "delete it or give another folder."
        )
    try:
        with made_folder(folder), replacing(folder / "training.json") as temporary:
            temporary.write_text(identity)
    except OSError as e:
        raise TrainingError(f"folder={folder} cannot be made ({e.strerror}): choose another.") from None


def _train_emulator(recipe: Recipe, library: Library, work: Work) -> Emulator:
    from .networks import build, compiled, linked, to_numpy
    from .stages import run_stage

    sets = make_training_set(library, recipe, work)
    space = label_space_of(library, recipe.label_space())
    (x, flux), (x_val, flux_val) = sets.part(False), sets.part(True)
    z, z_val = space.scaled(x).astype("f4"), space.scaled(x_val).astype("f4")
    codec = codec_of(recipe.components, recipe.center, flux)
    y, y_val = (codec.coefficients(f) for f in (flux, flux_val)) if codec else (flux, flux_val)
    weights = codec.weights if codec else None
    parts = build(recipe, len(space), y.shape[1], work.seed)
    history: dict[str, dict[str, np.ndarray]] = {}

    def stage(name, model, schedule, training, validation, weights=None):
        compiled(model, schedule, weights)
        curves = run_stage(model, schedule, training, validation, work, name)
        history[name] = {key: np.array(values) for key, values in curves.items()}

    def decoder():
        network = to_numpy(parts["decoder"])
        return codec.merged(network) if codec else network

    autoencoder = linked(parts["encoder"], parts["decoder"], "autoencoder")
    stage("autoencoder", autoencoder, recipe.autoencoder_schedule, (y, y), (y_val, y_val), weights)
    encode = to_numpy(parts["encoder"])
    latent, latent_val = in_batches(encode, y), in_batches(encode, y_val)
    measured = {"autoencoder": metrics(flux_val, in_batches(decoder(), latent_val))}

    network = parts["label_network"]
    stage("label_network", network, recipe.label_schedule, (z, latent), (z_val, latent_val))
    measured["label_network"] = metrics(latent_val, to_numpy(network)(z_val))

    if recipe.finetune_schedule:
        whole = linked(network, parts["decoder"], "generator")
        stage("finetune", whole, recipe.finetune_schedule, (z, y), (z_val, y_val), weights)
    emulator = measured_emulator(recipe, sets, space, (to_numpy(network), decoder()), library.medium)
    info = {
        **provenance(recipe, library),
        "metrics": {**measured, **emulator.info["metrics"]},
        "draws": len(sets.labels),
        "validation_draws": len(x_val),
        "seed": work.seed,
        "constant_labels": constant_labels(library, recipe.label_space()),
    }
    return replace(emulator, history=history, info=info)


def measured_emulator(
    recipe: Recipe, sets: TrainingSet, space: LabelSpace, networks: tuple[DenseNetwork, DenseNetwork], medium: str
) -> Emulator:
    """The emulator of a label network and a decoder, with its error model and ``info["metrics"]`` on validation."""
    x, flux = sets.part(True)
    blank = ErrorModel(TEFF_EDGES[:2], np.zeros((2, len(sets.wavelength))), np.zeros((2, 0, len(sets.wavelength))))
    full = Emulator(space, *networks, sets.wavelength, medium, blank)
    label_network, decoder = (rounded(n, recipe.weights) for n in networks)
    emulator = replace(full, label_network=label_network, decoder=decoder)
    predicted = emulator.flux(x)
    columns = dict(zip(space.names, x.T, strict=True))
    teff, vsini = columns["teff"], columns["vsini"]
    error = predicted - flux
    measured: dict[str, Any] = {"linked": metrics(flux, predicted)}
    if (slow := vsini < _SLOW).any():
        measured["linked_vsini_below_30"] = metrics(flux[slow], predicted[slow])
    measured["linked_by_teff"] = rms_by_teff(teff, error, teff_edges(teff))
    measured["rounding_max_change"] = float(np.max(np.abs(predicted - full.flux(x))))
    return replace(emulator, error=error_model(teff, error, columns), info={"metrics": measured})
