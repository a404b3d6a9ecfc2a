"""Train an emulator: draws, autoencoder, label network, link, fine-tune, measure, write."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .._files import replacing
from ..emulator import Emulator, ErrorModel
from ..errors import TrainingError
from ..labels import LabelSpace
from ..library import Library
from ..network import DenseNetwork, Layer
from ..principal import MeanSpectrum, PrincipalComponents
from .domain import constant_labels, label_space_of
from .draws import TrainingSet, make_training_set
from .errors import TEFF_EDGES, error_model
from .metrics import metrics, rms_by_teff
from .recipes import Recipe, Schedule
from .recipes import recipe as recipe_named

__all__ = ["train"]

_TENSORFLOW = ("tensorflow", "tensorflow-cpu")  # the same thing under two names


def train(library, recipe="default", out="emulator.h5", *, folder=None, draws=None, epochs=None, seed=1, progress=True):
    """Train a recipe on a library and write the emulator.

    Parameters
    ----------
    library : Library or path
        Synthetic spectra before rotation and instrument.
    recipe : str or Recipe
        ``"default"`` or ``"gebran2024"``.
    out : path
        The emulator file (HDF5).
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
    Emulator
        With ``info["metrics"]`` measured on validation spectra of which no library spectrum was
        trained on: the autoencoder alone, the label network alone (on latent values), and linked,
        as written (rounded weights, NumPy).

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
    out = Path(out)
    if not out.absolute().parent.is_dir():
        raise TrainingError(f"out={out}: the folder {out.absolute().parent} does not exist; make it first.")
    if out.is_dir():
        raise TrainingError(f"out={out} is a folder: give the name of a file.")
    folder = Path(folder) if folder else out.with_name(out.name + ".work")
    _claim(folder, {"recipe": recipe.asdict(), "library": library.fingerprint(), "seed": seed})
    sets = make_training_set(library, recipe, recipe.draws, seed, folder, progress)
    emulator = _train(recipe, sets, library, folder, seed, progress)
    emulator.save(out, dtype=recipe.weights)
    return Emulator.load(out)


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


def _train(recipe: Recipe, sets: TrainingSet, library: Library, folder: Path, seed: int, progress: bool) -> Emulator:
    from .networks import build, compiled, linked, to_numpy
    from .stages import run_stage

    space = label_space_of(library, recipe.label_space())
    (x, flux), (x_val, flux_val) = sets.part(False), sets.part(True)
    z, z_val = space.scaled(x).astype("f4"), space.scaled(x_val).astype("f4")
    codec = PrincipalComponents.of(flux, recipe.components) if recipe.components else None
    if recipe.center and codec is None:
        codec = MeanSpectrum.of(flux)
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
    latent, latent_val = _in_batches(encode, y), _in_batches(encode, y_val)
    measured = {"autoencoder": metrics(flux_val, _in_batches(decoder(), latent_val))}

    network = parts["label_network"]
    stage("label_network", network, recipe.label_schedule, (z, latent), (z_val, latent_val))
    measured["label_network"] = metrics(latent_val, to_numpy(network)(z_val))

    if recipe.finetune_schedule:
        whole = linked(network, parts["decoder"], "generator")
        stage("finetune", whole, recipe.finetune_schedule, (z, y), (z_val, y_val), weights)
    emulator = _measured(recipe, sets, space, to_numpy(network), decoder(), measured, history, library)
    emulator.info["seed"] = seed
    emulator.info["constant_labels"] = constant_labels(library, recipe.label_space())
    return emulator


def _in_batches(network: DenseNetwork, x, n=4096) -> np.ndarray:
    return np.concatenate([network(x[i : i + n]) for i in range(0, len(x), n)])


def _rounded(network: DenseNetwork, dtype: str) -> DenseNetwork:
    """Weights as the file will hold them."""
    layers = (Layer(x.weights.astype(dtype).astype("f4"), x.bias, x.activation) for x in network.layers)
    return DenseNetwork(layers)


def _measured(recipe, sets, space: LabelSpace, network, decoder, measured, history, library) -> Emulator:
    """The emulator with its error model and validation metrics."""
    x, flux = sets.part(True)
    blank = ErrorModel(TEFF_EDGES[:2], np.zeros((2, len(sets.wavelength))))
    grid = (sets.wavelength, library.medium, blank)
    rounded = (_rounded(n, recipe.weights) for n in (network, decoder))
    emulator = Emulator(space, *rounded, *grid, history=history)
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
    emulator.error = error_model(teff, error)
    emulator.info = {
        "recipe": recipe.name,
        "version": datetime.now(timezone.utc).strftime("%Y.%m.%d"),
        "settings": recipe.asdict(),
        "metrics": measured,
        "draws": len(sets.labels),
        "validation_draws": len(x),
        "library": {"fingerprint": library.fingerprint(), "spectra": len(library), **library.info},
        "packages": {p: version(p) for p in ("numpy", "scipy", "h5py", "keras", *_TENSORFLOW, "rvsemu") if _has(p)},
    }
    return emulator


def _has(package: str) -> bool:
    try:
        version(package)
    except ImportError:
        return False
    return True
