"""The emulator in logarithmic bins, for a first look at all labels and velocities."""

from __future__ import annotations

import numpy as np

from ..emulator.network import DenseNetwork
from ..observing.memory import remembered
from .bins import Bins

__all__ = ["CoarseModel"]


class CoarseModel:
    """The emulator with the average over bins merged into its last layer.

    The last layer is linear, and so are averages: their product is computed once, with its first two derivatives by
    the shift. A velocity is a whole number of bins, which takes other columns of the product, and a rest of up to half
    a bin, for which the flux is the Taylor polynomial and the derivatives by the labels are those without it.

    Parameters
    ----------
    emulator : Emulator
        Its last layer is linear.
    """

    def __init__(self, emulator):
        self.bins, self.labels = Bins(emulator), emulator.labels
        layers = [*emulator.label_network.layers, *emulator.decoder.layers]
        hidden, last = layers[:-1], layers[-1]
        if last.activation != "linear":
            raise ValueError("the last layer must be linear")
        self._hidden = DenseNetwork(tuple(hidden))
        rows = np.vstack([last.weights, last.bias])  # the bias below the weights
        self._merged = self.bins.merged(rows.astype(float)).astype(rows.dtype)

    @classmethod
    def of(cls, emulator) -> CoarseModel:
        """The one of an emulator; kept with it."""
        return remembered(emulator, ("coarse",), lambda: cls(emulator))

    def flux(self, labels) -> np.ndarray:
        """Normalised flux (n, count) in all bins, at rest, for plain labels (n, n_labels)."""
        merged = self._merged[0]
        return self._hidden(self.labels.scaled(labels)) @ merged[:-1] + merged[-1]

    def window(self, first, count) -> Window:
        """The model in `count` observed bins from the one numbered `first`."""
        return Window(self, first, count)

    def hidden(self, labels, by):
        """Values (n, q) before the last layer, and their derivatives (n, k, q) by the labels with numbers `by` (k,)."""
        value, tangents = self._hidden.value_and_jacobian(self.labels.scaled(labels), by)
        tangents *= self.labels.slope(labels)[:, by, None].astype(tangents.dtype)
        return value, tangents

    def layers(self, first, count) -> np.ndarray:
        """The last layer and its derivatives by the shift (3, q + 1, count), from a bin on."""
        return self._merged[:, :, first : first + count]


class Window:
    """A `CoarseModel` in the bins of some spectra.

    Parameters
    ----------
    model : CoarseModel
    first, count : int
        Of the observed bins.
    """

    def __init__(self, model, first, count):
        self._model, self._first, self._count = model, first, count

    def jacobian(self, theta, by=None) -> tuple[np.ndarray, np.ndarray]:
        """Like `ForwardModel.jacobian`."""
        bins, n_labels = self._model.bins, len(self._model.labels)
        by = np.arange(n_labels + 1) if by is None else np.asarray(by)
        velocity, labels = theta[:, n_labels], by[by < n_labels]
        hidden, tangents = self._model.hidden(theta[:, :n_labels], labels)
        shift = bins.shift(velocity)
        nearest = np.clip(np.round(shift).astype(int), self._first + self._count - bins.count, self._first)
        n, m, size = tangents.shape
        flux = np.empty((n, self._count), dtype=hidden.dtype)
        slopes = np.empty((n, len(by), self._count), dtype=hidden.dtype)
        for whole in np.unique(nearest):
            rows = nearest == whole
            merged = self._model.layers(self._first - int(whole), self._count)
            value, first, second = (hidden[rows] @ part[:-1] + part[-1] for part in merged)
            away = (shift[rows] - whole)[:, None].astype(hidden.dtype)
            flux[rows] = value + away * (first + away * second)
            by_label = tangents[rows].reshape(-1, size) @ merged[0, :-1]
            slopes[rows, :m] = by_label.reshape(np.count_nonzero(rows), m, self._count)
            if m < len(by):
                per_velocity = bins.shift_slope(velocity[rows])[:, None].astype(hidden.dtype)
                slopes[rows, m] = per_velocity * (first + 2 * away * second)
        return flux, slopes
