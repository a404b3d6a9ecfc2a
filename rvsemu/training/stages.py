"""One training stage: epochs with early stopping, a checkpoint after each, and resuming. Imports Keras."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
from tqdm import tqdm

from .._storage import arrays_of, replacing
from ..errors import TrainingError
from .memory import kept_memory
from .recipes import Schedule, Work

__all__ = ["Batches", "Noise", "run_stage"]

Noise: TypeAlias = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
"""Noisy inputs of a generator, inputs (m, k) and their rows (m,)."""


class Batches(keras.utils.PyDataset):
    """Shuffled batches from arrays or memory maps; order and noise depend on seed and epoch alone."""

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        batch: int,
        seed: int,
        first_epoch: int,
        noise: np.ndarray | Noise | None = None,
    ):
        super().__init__(workers=1)
        self.noise = noise
        self.inputs, self.targets, self.batch, self.seed, self.epoch = inputs, targets, batch, seed, first_epoch
        self._shuffle()

    def _shuffle(self):
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.inputs))

    def __len__(self):
        return math.ceil(len(self.inputs) / self.batch)

    def __getitem__(self, i):
        rows = np.sort(self.order[i * self.batch : (i + 1) * self.batch])  # sorted: a memory map reads forwards
        inputs = self.inputs[rows]
        targets = inputs if self.targets is self.inputs else self.targets[rows]
        return (inputs if self.noise is None else self._noisy(self.noise, i, inputs, rows)), targets

    def _noisy(self, noise: np.ndarray | Noise, i: int, inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Inputs with noise: of a level that is uniform from 0 to `noise`, spectrum by spectrum, or as it makes it."""
        rng = np.random.default_rng([self.seed, self.epoch, i])
        if callable(noise):
            return noise(rng, inputs, rows)
        return inputs + (rng.random((len(rows), 1)) * noise * rng.normal(size=inputs.shape)).astype("f4")

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()


class _Keeper(keras.callbacks.Callback):
    """Keeps the best weights, stops when they no longer improve, and writes both down after every epoch."""

    def __init__(self, schedule: Schedule, checkpoint: Path, progress: bool, name: str):
        super().__init__()
        self.schedule, self.checkpoint, self.name, self.progress = schedule, checkpoint, name, progress
        self.history: dict[str, list[float]] = {"loss": [], "val_loss": []}
        self.best, self.finished = math.inf, False
        self.best_weights: list[np.ndarray] = []

    @property
    def epoch(self) -> int:
        return len(self.history["loss"])

    @property
    def waited(self) -> int:
        return self.epoch - 1 - int(np.argmin(self.history["val_loss"])) if self.epoch else 0

    def restore(self):
        """Take up where the checkpoint left off, if there is one for this very stage."""
        if not self.checkpoint.exists():
            return
        saved = arrays_of(self.checkpoint, TrainingError, "delete it, and the stage begins anew")
        self.history = {k: saved[k].tolist() for k in self.history}
        self.finished = bool(saved["finished"])
        self.best, self.best_weights = min(self.history["val_loss"]), _listed(saved, "best")
        _assign(self._random(), _listed(saved, "random"))
        if not self.finished:
            self.model.set_weights(_listed(saved, "weights"))
            self.model.optimizer.build(self.model.trainable_variables)
            _assign(self.model.optimizer.variables, _listed(saved, "optimizer"))

    def _random(self):
        """Where dropout's random numbers stand, which later stages go on from."""
        weights = {id(v) for v in self.model.weights}
        return [v for v in self.model.variables if id(v) not in weights]

    def on_train_begin(self, logs=None):
        total = self.schedule.epochs if self.schedule.cosine else None
        self.bar = tqdm(
            total=total, initial=self.epoch, desc=self.name, unit="epoch", disable=not self.progress, mininterval=1.0
        )

    def on_epoch_begin(self, epoch, logs=None):
        if self.schedule.cosine:
            share = 0.5 * (1 + math.cos(math.pi * epoch / self.schedule.epochs))
            self.model.optimizer.learning_rate.assign(self.schedule.learning_rate * share)

    def on_epoch_end(self, epoch, logs=None):
        if not all(math.isfinite(logs[name]) for name in self.history):
            raise TrainingError(
                f"{self.name} diverged in epoch {epoch + 1} (loss {logs['loss']:g}, validation {logs['val_loss']:g}): "
                "lower the learning rate of its schedule and use another folder."
            )
        for name, values in self.history.items():
            values.append(float(logs[name]))
        if logs["val_loss"] < self.best:
            self.best, self.best_weights = logs["val_loss"], self.model.get_weights()
        self.finished = self.waited >= self.schedule.patience or self.epoch >= self.schedule.epochs
        self._save()
        self.bar.set_postfix(loss=f"{logs['loss']:.3g}", validation=f"{logs['val_loss']:.3g}", refresh=False)
        self.bar.update(1)
        if self.finished:
            self.model.stop_training = True

    def _save(self):
        parts = {"best": self.best_weights, "random": self._random()}
        if not self.finished:  # to go on takes three times as much
            parts |= {"weights": self.model.get_weights(), "optimizer": self.model.optimizer.variables}
        arrays: dict[str, Any] = {f"{k}{i}": np.asarray(v) for k, values in parts.items() for i, v in enumerate(values)}
        arrays |= {f"n_{k}": len(values) for k, values in parts.items()} | self.history
        with replacing(self.checkpoint) as temporary, open(temporary, "wb") as file:
            np.savez(file, finished=self.finished, **arrays)

    def on_train_end(self, logs=None):
        self.bar.close()


def _listed(saved: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    """Arrays that a checkpoint has under one name, in order."""
    return [saved[f"{name}{i}"] for i in range(int(saved[f"n_{name}"]))]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def run_stage(
    model: keras.Model,
    schedule: Schedule,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    work: Work,
    name: str,
    noise: np.ndarray | Noise | None = None,
) -> dict[str, list[float]]:
    """Train a compiled `model` as `schedule` says; it ends with its best weights.

    Parameters
    ----------
    model : keras.Model
    schedule : Schedule
    training, validation : tuple of (inputs, targets)
    work : Work
        Its folder gets the checkpoint ``NAME.npz`` after each epoch; the stage goes on from one that is there.
    name : str
        Name of the stage.
    noise : ndarray, shape (n_inputs,), or callable, optional
        Normally distributed noise is added to the inputs of training, anew in every epoch, of a standard deviation
        that is this times a number between 0 and 1 for each row. Or what makes noisy inputs of a generator, the
        inputs of some rows, and the numbers of these rows.

    Returns
    -------
    dict
        ``loss`` and ``val_loss`` of each epoch.
    """
    keeper = _Keeper(schedule, Path(work.folder) / f"{name}.npz", work.progress, name)
    keeper.set_model(model)
    keeper.restore()
    if not keeper.finished:
        with kept_memory():
            model.fit(
                Batches(*training, schedule.batch, work.seed, keeper.epoch, noise),
                validation_data=Batches(*validation, 2048, work.seed, 0),
                initial_epoch=keeper.epoch,
                epochs=schedule.epochs,
                callbacks=[keeper],
                shuffle=False,  # Keras would reorder the batches with Python's global random state
                verbose=0,
            )
    model.set_weights(keeper.best_weights)
    return keeper.history
