"""Coordinates of a correction: functions of the labels that an emulator's last layer can carry, 1 or of order 1 at the
stars of a calibration and near 0 elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..emulator import DenseNetwork, Emulator, Layer
from ..errors import CalibrationError

__all__ = ["Coordinates"]

_KNOWN = ("teff", "logg", "mh", "alpha")
_BEYOND = 0.15  # of the range of the stars: the correction fades out over it
_LEAST_RANGE = {"teff": 300.0, "logg": 0.3, "mh": 0.2, "alpha": 0.1}  # of few stars that are alike
_BETWEEN, _DOMAIN = 2000, 6000  # sets of labels drawn
_OUTSIDE = 0.03  # how much a value outside counts against one inside
_DEPENDENT = 1e-3  # of the length of a function: if less of it is new, it is left out
_SMALL = 1e-5  # of the mean square of the activations: keeps the coefficients small


@dataclass(frozen=True)
class Coordinates:
    """Linear functions of the activations of a decoder's last hidden layer.

    With the activations h(labels) the flux is ``h W + b``, and the correction ``(a0 + h a) D`` makes of it
    ``h (W + a D) + (b + a0 D)``: a decoder of the same form. The functions approximate, at the stars and between them,
    1 and the leading principal components of the emulator's flux over the stars; outside of the range of the stars in
    Teff, log g, [M/H] and [alpha/M] they approximate 0, as far as functions of h can.

    Parameters
    ----------
    emulator : Emulator
    constant : ndarray, shape (q,)
        a0.
    weights : ndarray, shape (n_hidden, q)
        a.
    """

    emulator: Emulator
    constant: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, emulator: Emulator, stars: np.ndarray, count: int, seed: int = 1) -> Coordinates:
        """The first `count` coordinates for `stars` (n, n_labels), plain labels.

        Raises
        ------
        CalibrationError
            The decoder ends in a layer that is not linear, or has one layer only.
        """
        hidden = _hidden(emulator)
        rng = np.random.default_rng(seed)
        inside = np.concatenate([stars, _between(stars, rng)])
        outside = _outside(emulator, stars, rng)
        flux, every = emulator.flux(stars).astype("f8"), emulator.flux(inside).astype("f8")
        _, size, basis = np.linalg.svd(flux - flux.mean(axis=0), full_matrices=False)
        some = min(count - 1, int(np.count_nonzero(size > 1e-6 * max(size[0], 1e-6))))
        scale = size[:some] / np.sqrt(len(stars))
        target = np.column_stack([np.ones(len(inside)), (every - flux.mean(axis=0)) @ basis[:some].T / scale])
        near, far = (_with_one(hidden, emulator, labels) for labels in (inside, outside))
        matrix = near.T @ near / len(near) + _OUTSIDE * far.T @ far / max(len(far), 1)
        matrix += _SMALL * np.diag(np.diag(matrix) + np.mean(np.diag(matrix)))
        found = np.linalg.solve(matrix, near.T @ target / len(near))
        return cls(emulator, found[0], found[1:])

    @classmethod
    def polynomials(cls, emulator: Emulator, stars: np.ndarray) -> Coordinates:
        """Functions orthonormal over `stars` (n, n_labels): a constant, the labels, their squares, and products.

        Those that hardly differ from sums of earlier ones, as labels that go together make them, are left out. The
        emulator's last hidden layer has pairs silu(x), silu(-x), x a direction in the space of labels, the axes first:
        their difference is x, and their sum, x tanh(x / 2), is what stands for squares.
        """
        labels, pairs = len(emulator.labels), emulator.decoder.layers[0].weights.shape[1] // 2
        combined = np.zeros((1 + 2 * pairs, 1 + labels + pairs))
        combined[0, 0] = 1.0
        for i in range(pairs):
            combined[[1 + 2 * i, 2 + 2 * i], 1 + labels + i] = 1.0
        for i in range(labels):
            combined[[1 + 2 * i, 2 + 2 * i], 1 + i] = 1.0, -1.0
        values = cls(emulator, combined[0], combined[1:])(stars) / np.sqrt(len(stars))
        new = np.abs(np.diag(np.linalg.qr(values)[1])) > _DEPENDENT * np.linalg.norm(values, axis=0)
        combined = combined[:, new] @ np.linalg.inv(np.linalg.qr(values[:, new])[1])
        return cls(emulator, combined[0], combined[1:])

    def take(self, count: int) -> Coordinates:
        """The first `count` of them."""
        return replace(self, constant=self.constant[:count], weights=self.weights[:, :count])

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Values (n, q) at plain labels (n, n_labels)."""
        rows = _with_one(_hidden(self.emulator), self.emulator, labels)
        return rows @ np.vstack([self.constant, self.weights])

    def corrected(self, correction: np.ndarray) -> Emulator:
        """The emulator with a `correction` (q, n_pixels), one row for each coordinate, in its last layer."""
        *layers, last = self.emulator.decoder.layers
        weights = last.weights + self.weights @ correction
        bias = last.bias + self.constant @ correction
        last = Layer(weights.astype(last.weights.dtype), bias.astype(last.bias.dtype), last.activation)
        return replace(self.emulator, decoder=DenseNetwork((*layers, last)))


def _hidden(emulator: Emulator) -> DenseNetwork:
    """The network from scaled labels to the last hidden layer."""
    *before, last = emulator.decoder.layers
    if last.activation != "linear" or not before:
        raise CalibrationError(
            f"the decoder of this emulator ends in a layer that is {last.activation} after {len(before)} others: only "
            "a linear one after a hidden layer can be corrected; train the default recipe."
        )
    return DenseNetwork((*emulator.label_network.layers, *before))


def _with_one(hidden: DenseNetwork, emulator: Emulator, labels: np.ndarray) -> np.ndarray:
    """Activations with a leading column of ones."""
    values = hidden(emulator.labels.scaled(labels)).astype("f8")
    return np.column_stack([np.ones(len(values)), values])


def _between(stars: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels on the lines between pairs of stars."""
    one, other = rng.integers(len(stars), size=(2, _BETWEEN))
    return stars[one] + rng.random((_BETWEEN, 1)) * (stars[other] - stars[one])


def _outside(emulator: Emulator, stars: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels of the domain that are well outside of the range of the stars."""
    labels = emulator.labels.draw(_DOMAIN, rng)
    out = np.zeros(len(labels), dtype=bool)
    for i, name in enumerate(emulator.labels.names):
        if name in _KNOWN:
            low, high = stars[:, i].min(), stars[:, i].max()
            margin = max(_BEYOND * (high - low), _LEAST_RANGE[name])
            out |= (labels[:, i] < low - margin) | (labels[:, i] > high + margin)
    return labels[out]
