"""Train a recipe. An emulator: draws, autoencoder, label network, link, fine-tune, measure, write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from .._storage import check_folder, replacing
from ..emulator import Emulator, ErrorModel
from ..emulator.labels import LabelSpace
from ..errors import TrainingError
from ..library import Library
from .autoencoder import codec_of
from .domain import constant_labels, label_space_of
from .draws import make_training_set
from .errors import TEFF_EDGES, error_model
from .export import in_batches, provenance, rounded
from .inversion import train_inversion
from .metrics import metrics, rms_by_teff
from .recipes import InversionRecipe, Recipe, Schedule
from .recipes import recipe as recipe_named

__all__ = ["train"]


def train(library, recipe="default", out=None, *, folder=None, draws=None, epochs=None, seed=1, progress=True):
    """Train a recipe on a library and write the emulator, or the inversion.

    Parameters
    ----------
    library : Library or path
        Synthetic spectra before rotation and instrument.
    recipe : str, Recipe or InversionRecipe
        ``"default"`` or ``"gebran2024"`` for an emulator, ``"inversion"`` or ``"gebran2024-inversion"``
        for an inversion.
    out : path, optional
        The file (HDF5); default ``emulator.h5`` or ``inversion.h5``.
    folder : path, optional
        For the draws and checkpoints; default `out` with the suffix ``.work``. Called again with the
        same arguments, training goes on from what is there; the folder may be deleted afterwards.
    draws : int, optional
        Instead of the recipe's number.
    epochs : int, optional
        At most so many in each stage, where the recipe's patience would allow more.
    seed : int
        Of the split, the draws, the first weights and the batches.
    progress : bool
        Show progress bars.

    Returns
    -------
    Emulator or Inversion
        With ``info["metrics"]``. Those of an emulator are measured on validation spectra of which no library
        spectrum was trained on: the autoencoder alone, the label network alone (on latent values), and
        linked, as written (rounded weights, NumPy). For those of an inversion see
        `rvsemu.training.inversion.train_inversion`.

    Raises
    ------
    TrainingError
        TensorFlow is missing, the library does not fit, or `folder` belongs to another training.
    LibraryFileError
        The library cannot be read.
    """
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    recipe = _limited(replace(recipe, draws=draws or recipe.draws), epochs)
    library = library if isinstance(library, Library) else Library.load(library)
    _need_tensorflow()
    out = check_folder(out or f"{recipe.makes}.h5", TrainingError)
    if out.is_dir():
        raise TrainingError(f"out={out} is a folder: give the name of a file.")
    folder = Path(folder) if folder else out.with_name(out.name + ".work")
    _claim(folder, {"recipe": recipe.asdict(), "library": library.fingerprint(), "seed": seed})
    make = train_inversion if isinstance(recipe, InversionRecipe) else _train
    trained = make(recipe, library, folder, seed, progress)
    trained.save(out, dtype=recipe.weights)
    return type(trained).load(out)


def _limited(recipe: Recipe, epochs) -> Recipe:
    """`recipe` with no stage longer than `epochs`."""
    if epochs is None:
        return recipe
    if epochs < 1:
        raise TrainingError(f"epochs={epochs}: give at least 1.")
    schedules = {k: v for k, v in vars(recipe).items() if isinstance(v, Schedule)}
    return replace(recipe, **{k: replace(v, epochs=min(v.epochs, epochs)) for k, v in schedules.items()})


def _need_tensorflow():
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        raise TrainingError("TensorFlow is needed to train: pip install 'rvsemu[train]'.") from None


def _claim(folder: Path, identity: dict):
    """Make `folder` this training's own, or check that it is."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as e:
        raise TrainingError(f"folder={folder} cannot be made ({e.strerror}): choose another.") from None
    file, text = folder / "training.json", json.dumps(identity, sort_keys=True, indent=1)
    if file.exists() and file.read_text() != text:
        raise TrainingError(
            f"folder={folder} holds a training with another recipe, library, seed or number of draws: "
            "delete it or give another folder."
        )
    with replacing(file) as temporary:
        temporary.write_text(text)


def _train(recipe: Recipe, library: Library, folder: Path, seed: int, progress: bool) -> Emulator:
    from .networks import build, compiled, linked, to_numpy
    from .stages import run_stage

    sets = make_training_set(library, recipe, recipe.draws, seed, folder, progress)
    space = label_space_of(library, recipe.label_space())
    (x, flux), (x_val, flux_val) = sets.part(False), sets.part(True)
    z, z_val = space.scaled(x).astype("f4"), space.scaled(x_val).astype("f4")
    codec = codec_of(recipe.components, recipe.center, flux)
    y, y_val = (codec.coefficients(f) for f in (flux, flux_val)) if codec else (flux, flux_val)
    weights = codec.weights if codec else None
    parts = build(recipe, len(space), y.shape[1], seed)
    history = {}

    def stage(name, model, schedule, training, validation, weights=None):
        compiled(model, schedule, weights)
        history[name] = run_stage(model, schedule, training, validation, folder / f"{name}.npz", seed, name, progress)

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
    emulator = _measured(recipe, sets, space, to_numpy(network), decoder(), measured, history, library)
    constant = constant_labels(library, recipe.label_space())
    return replace(emulator, info={**emulator.info, "seed": seed, "constant_labels": constant})


def _measured(recipe, sets, space: LabelSpace, network, decoder, measured, history, library) -> Emulator:
    """The emulator with its error model and validation metrics."""
    x, flux = sets.part(True)
    blank = ErrorModel(TEFF_EDGES[:2], np.zeros((2, len(sets.wavelength))))
    grid = (sets.wavelength, library.medium, blank)
    written = (rounded(n, recipe.weights) for n in (network, decoder))
    emulator = Emulator(space, *written, *grid, history=history)
    predicted = emulator.flux(x)
    full = Emulator(space, network, decoder, *grid).flux(x)
    teff = x[:, space.names.index("teff")]
    error = predicted - flux
    slow = x[:, space.names.index("vsini")] < 30.0
    measured["linked"] = metrics(flux, predicted)
    if slow.any():
        measured["linked_vsini_below_30"] = metrics(flux[slow], predicted[slow])
    measured["linked_by_teff"] = rms_by_teff(teff, error, TEFF_EDGES)
    measured["rounding_max_change"] = float(np.max(np.abs(predicted - full)))
    info = {
        **provenance(recipe, library),
        "metrics": measured,
        "draws": len(sets.labels),
        "validation_draws": len(x),
    }
    return replace(emulator, error=error_model(teff, error), info=info)
