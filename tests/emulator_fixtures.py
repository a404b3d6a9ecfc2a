"""Emulators for tests."""

from dataclasses import replace

import numpy as np

from rvsemu.emulator import PAPER_LABELS, DenseNetwork, Emulator, ErrorModel, LabelSpace, Layer

SUN = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0, "vmic": 1, "resolution": 11500}
NAMES = ("teff", "logg", "vsini", "mh", "vmic", "resolution")


def layers(sizes, activations, rng, dtype="f4"):
    """Layers of random weights."""
    return [
        Layer((rng.normal(size=(a, b)) / np.sqrt(a)).astype(dtype), rng.normal(0, 0.1, b).astype(dtype), act)
        for a, b, act in zip(sizes[:-1], sizes[1:], activations, strict=True)
    ]


def without_alpha(emulator):
    """The same at [alpha/M] = 0, without this label, whose domain is the box of its labels."""
    space = emulator.labels
    i = space.names.index("alpha")
    first, *others = emulator.label_network.layers
    bias = first.bias + space["alpha"].scaled(np.zeros(1)).astype(first.bias.dtype) * first.weights[i]
    kept = Layer(np.delete(first.weights, i, axis=0), bias, first.activation)
    labels = LabelSpace(tuple(label for label in space.labels if label.name != "alpha"))
    return replace(emulator, labels=labels, label_network=DenseNetwork((kept, *others)))


def small_emulator():
    """An emulator with random weights: 40 pixels, every activation, logarithmic scalings."""
    rng = np.random.default_rng(1)
    space = LabelSpace(
        tuple(replace(x, transform="log") if x.name in ("teff", "resolution") else x for x in PAPER_LABELS)
    )
    label_network = DenseNetwork(layers((6, 16, 16, 5), ("silu", "tanh", "linear"), rng))
    decoder = DenseNetwork(layers((5, 12, 40), ("silu", "linear"), rng))
    sigma = rng.uniform(1e-3, 3e-3, (3, 40)).astype("f4")
    components = np.random.default_rng(6).normal(size=(3, 4, 40)) * 3e-4
    return Emulator(
        labels=space,
        label_network=label_network,
        decoder=decoder,
        wavelength=8400.0 + 0.1 * np.arange(40),
        medium="air",
        error=ErrorModel(np.array([4000.0, 6000.0, 12000.0]), sigma, components.astype("f4")),
        info={"recipe": "test", "version": "1", "metrics": {"linked": {"mse": 1e-6}}},
        history={"autoencoder": {"loss": np.array([3.0, 2.0, 1.5]), "val_loss": np.array([3.1, 2.2, 1.9])}},
    )


def random_labels(emulator, n=300):
    """Labels (n, 6) all over the domain."""
    return np.random.default_rng(2).uniform(emulator.labels.lower, emulator.labels.upper, (n, 6))


def in_double_precision(emulator):
    """The same emulator with weights, and so results, in double precision."""
    return emulator.astype(float)
