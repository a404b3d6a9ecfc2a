"""Keras networks of a recipe, and the way from Keras to NumPy. Imports Keras."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ..emulator.network import DenseNetwork, Layer
from .recipes import InversionRecipe, NetworkPlan, Recipe, Schedule

__all__ = ["build", "build_inversion", "build_noisy", "compiled", "compiled_gaussian", "linked", "to_numpy"]


def _dense(
    name: str, n_in: int, n_out: int, plan: NetworkPlan, initializer: str = "glorot_uniform"
) -> keras.Sequential:
    layers = [keras.Input((n_in,), dtype="float32")]
    for i, width in enumerate(plan.hidden):
        layers.append(keras.layers.Dense(width, activation=plan.activation, kernel_initializer=initializer))
        if i < plan.dropout_layers:
            layers.append(keras.layers.Dropout(plan.dropout))
    layers.append(keras.layers.Dense(n_out, activation=plan.output_activation, kernel_initializer=initializer))
    return keras.Sequential(layers, name=name)


def build(recipe: Recipe, n_labels: int, n_flux: int, seed: int) -> dict[str, keras.Model]:
    """Encoder, decoder and label network with fresh weights drawn from `seed`."""
    keras.utils.set_random_seed(seed)
    return {
        "encoder": _dense("encoder", n_flux, recipe.latent, recipe.encoder),
        "decoder": _dense("decoder", recipe.latent, n_flux, recipe.decoder),
        "label_network": _dense("label_network", n_labels, recipe.latent, recipe.label_network),
    }


def build_noisy(
    plans: tuple[NetworkPlan, NetworkPlan], components: int, labels: int, seed: int
) -> tuple[keras.Model, keras.Model]:
    """Networks for noise, with fresh weights drawn from `seed`: to labels with errors, and from labels."""
    keras.utils.set_random_seed(seed)
    return (
        _dense("noisy", 2 * components, 2 * labels, plans[0]),
        _dense("forward", labels, components, plans[1]),
    )


def build_inversion(recipe: InversionRecipe, name: str, n_in: int, n_out: int, seed: int) -> keras.Model:
    """Network from coefficients to labels with fresh weights drawn from `seed`."""
    keras.utils.set_random_seed(seed)
    return _dense(name, n_in, n_out, recipe.network, recipe.initializer)


def _dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """Of a network, or of linked ones, in order."""
    parts = (_dense_layers(layer) if isinstance(layer, keras.Sequential) else [layer] for layer in model.layers)
    return [layer for part in parts for layer in part if isinstance(layer, keras.layers.Dense)]


def linked(first: keras.Model, second: keras.Model, name: str) -> keras.Model:
    """One model that applies `first`, then `second`, sharing their weights."""
    return keras.Sequential([keras.Input(first.input_shape[1:]), first, second], name=name)


def compiled(model: keras.Model, schedule: Schedule, weights: np.ndarray | None = None) -> keras.Model:
    """`model` with the schedule's optimiser and the MSE loss, its outputs weighted by `weights` if given."""
    loss = "mse" if weights is None else _weighted_mse(weights)
    model.compile(_optimizer(model, schedule), loss=loss)
    return model


def _optimizer(model: keras.Model, schedule: Schedule) -> keras.optimizers.Optimizer:
    settings: dict[str, Any] = {"learning_rate": schedule.learning_rate, "epsilon": schedule.epsilon}
    if schedule.optimizer == "muon":  # for all matrices but that of the output, which its authors leave to Adam
        last = re.escape(_dense_layers(model)[-1].path)
        return keras.optimizers.Muon(**settings, exclude_layers=[f"{last}/"], weight_decay=None, adam_weight_decay=None)
    return {"adam": keras.optimizers.Adam, "adamax": keras.optimizers.Adamax}[schedule.optimizer](**settings)


def compiled_gaussian(model: keras.Model, schedule: Schedule) -> keras.Model:
    """`model`, half of whose outputs are logarithms of errors of the others, with the loss -log of a Gaussian."""
    compiled(model, schedule)
    model.compile(model.optimizer, loss=_gaussian)
    return model


def _gaussian(true: Any, predicted: Any) -> Any:
    values, logarithms = keras.ops.split(predicted, 2, axis=-1)
    logarithms = keras.ops.clip(logarithms, -9.0, 2.0)
    return keras.ops.mean(0.5 * keras.ops.square((true - values) * keras.ops.exp(-logarithms)) + logarithms, axis=-1)


def _weighted_mse(weights: np.ndarray) -> Callable[[Any, Any], Any]:
    constant = keras.ops.convert_to_tensor(np.asarray(weights, dtype="f4"))
    return lambda true, predicted: keras.ops.mean(constant * keras.ops.square(true - predicted), axis=-1)


def to_numpy(model: keras.Model) -> DenseNetwork:
    """The same network in NumPy; dropout does nothing outside training and is left out."""
    layers = []
    for layer in _dense_layers(model):
        weights, bias = map(np.asarray, layer.get_weights())
        layers.append(Layer(weights, bias, layer.activation.__name__))
    return DenseNetwork(tuple(layers))
