"""A dense neural network in NumPy: forward pass and Jacobian, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._frozen import frozen

__all__ = ["ACTIVATIONS", "DenseNetwork", "Layer"]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _silu(x: np.ndarray) -> np.ndarray:
    return x * _sigmoid(x)


def _silu_and_slope(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s = _sigmoid(x)
    return x * s, s * (1.0 + x * (1.0 - s))


def _tanh_and_slope(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = np.tanh(x)
    return y, 1.0 - y**2


_Function: TypeAlias = Callable[[np.ndarray], np.ndarray]
_Both: TypeAlias = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

#: name -> (function, the same with its derivative), both of the pre-activation
ACTIVATIONS: dict[str, tuple[_Function, _Both]] = {
    "linear": (lambda x: x, lambda x: (x, np.ones_like(x))),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (np.maximum(x, 0), (x > 0).astype(x.dtype))),
    "silu": (_silu, _silu_and_slope),
    "tanh": (np.tanh, _tanh_and_slope),
}


@frozen
class Layer:
    """``activation(x @ weights + bias)``: `weights` has shape (n_in, n_out), `bias` (n_out,).

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.emulator.network import Layer
    >>> layer = Layer(weights=np.ones((6, 10)), bias=np.zeros(10), activation="silu")
    >>> layer.weights.shape
    (6, 10)
    """

    weights: np.ndarray
    bias: np.ndarray
    activation: str = "linear"


@frozen
class DenseNetwork:
    """Dense layers one after the other, computed in the dtype of their weights.

    Parameters
    ----------
    layers : tuple of Layer
        Sizes must follow on each other.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.emulator.network import DenseNetwork, Layer
    >>> network = DenseNetwork((Layer(np.array([[1.0, -1.0]]), np.zeros(2), "relu"),))
    >>> network(np.array([[3.0], [-2.0]]))
    array([[3., 0.],
           [0., 2.]])
    >>> value, slope = network.value_and_jacobian(np.array([[3.0]]))
    >>> slope.shape
    (1, 1, 2)
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("a network needs at least one layer")
        for layer in self.layers:
            if layer.activation not in ACTIVATIONS:
                known = ", ".join(ACTIVATIONS)
                raise ValueError(f"activation '{layer.activation}' is unknown: use one of {known}.")
            if layer.weights.ndim != 2 or layer.bias.shape != layer.weights.shape[1:]:
                raise ValueError(f"weights of shape {layer.weights.shape} meet a bias of shape {layer.bias.shape}.")
        for a, b in zip(self.layers, self.layers[1:], strict=False):
            if a.weights.shape[1] != b.weights.shape[0]:
                raise ValueError(f"layer of {a.weights.shape[1]} outputs meets one of {b.weights.shape[0]} inputs.")

    def astype(self, dtype: DTypeLike) -> DenseNetwork:
        """The same network with weights, and so results, of another precision."""
        layers = [Layer(x.weights.astype(dtype), x.bias.astype(dtype), x.activation) for x in self.layers]
        return DenseNetwork(tuple(layers))

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Output, shape (n, n_out), for inputs of shape (n, n_in)."""
        y = np.asarray(x, dtype=self.layers[0].weights.dtype)
        for layer in self.layers:
            y = ACTIVATIONS[layer.activation][0](y @ layer.weights + layer.bias)
        return y

    def value_and_jacobian(self, x: ArrayLike, inputs: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Output (n, n_out) and d output / d input (n, k, n_out), by forward accumulation.

        Tangents are carried beside the values: with six inputs that costs seven forward passes.

        Parameters
        ----------
        x : array_like, shape (n, n_in)
        inputs : sequence of int, optional
            Numbers of the k inputs to derive by; default: all.
        """
        x = np.asarray(x, dtype=self.layers[0].weights.dtype)
        tangents = np.eye(x.shape[1], dtype=x.dtype)
        tangents = tangents if inputs is None else tangents[np.asarray(inputs, dtype=int)]
        n, k = len(x), len(tangents)
        both = np.empty((n, k + 1, x.shape[1]), dtype=x.dtype)  # the value, then the tangents: one product a layer
        both[:, 0], both[:, 1:] = x, tangents
        for layer in self.layers:
            both = (both.reshape(n * (k + 1), len(layer.weights)) @ layer.weights).reshape(n, k + 1, len(layer.bias))
            both[:, 0] += layer.bias
            if layer.activation != "linear":
                both[:, 0], slope = ACTIVATIONS[layer.activation][1](both[:, 0])
                both[:, 1:] *= slope[:, None, :]
        return both[:, 0], both[:, 1:]
