"""Small recipes, and what is trained with them once for all tests (conftest.py makes the fixtures known)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rvsemu.emulator.labels import LabelSpace
from rvsemu.library import Library
from rvsemu.training.fit import train
from rvsemu.training.recipes import InversionRecipe, NetworkPlan, Recipe, Schedule

LIBRARY = Path(__file__).parent / "data" / "library_small.h5"
INTRINSIC = ("teff", "logg", "mh", "vmic")

TINY = Recipe(
    name="tiny",
    encoder=NetworkPlan((24,), "silu"),
    decoder=NetworkPlan((24,), "silu"),
    label_network=NetworkPlan((32, 24), "silu", dropout=0.05, dropout_layers=1),
    latent=8,
    autoencoder_schedule=Schedule("adam", 32, 8, 8, 1e-2, cosine=True, epsilon=1e-12),
    label_schedule=Schedule("adamax", 32, 8, 8, 5e-3),
    finetune_schedule=Schedule("muon", 32, 6, 6, 2e-2, cosine=True, epsilon=1e-12),
    draws=240,
    validation=0.2,
    interpolate=True,
    slow_share=0.5,
    log_labels=("teff", "resolution"),
    components=30,
    weights="float32",
)
NODES = replace(TINY, name="nodes", interpolate=False, slow_share=0.0, draws=400)

INVERTING = InversionRecipe(
    name="tiny-inversion",
    components=20,
    network=NetworkPlan((48, 32), "silu"),
    shared=True,
    schedule=Schedule("adam", 32, 20, 20, 5e-3, cosine=True),
    draws=400,
    test=0.2,
    validation=0.2,
    interpolate=False,
    slow_share=0.5,
    log_labels=("teff", "resolution"),
    noise=0.002,
)


def train_tiny(out, **changes):
    """The small emulator; called by tests and, in a process of its own, by those that kill it."""
    return train(LIBRARY, TINY, out, **{"seed": 3, "least_r2": None, "progress": False, **changes})


def train_inverting(out, **changes):
    """The small inversion."""
    return train(LIBRARY, INVERTING, out, **{"seed": 3, "least_r2": None, "progress": False, **changes})


def intrinsic_rows(labels):
    """The stars among rows of labels in the order of the paper's space."""
    space = LabelSpace()
    return {tuple(row) for row in labels[:, [space.names.index(n) for n in INTRINSIC]]}


def saved_draws(out):
    """Labels and fluxes in the folder of a training."""
    folder = out.with_name(f"{out.name}.work")
    return np.load(folder / "labels.npy"), np.load(folder / "flux.npy")


def with_twins(library, shift=0.0):
    """Each spectrum twice, the second time with labels that differ by `shift` of what counts as rounding."""
    labels = np.concatenate([library.labels, library.labels + shift * np.array([1.0, 0.005, 0.005, 0.005])])
    twice = {n: np.concatenate([getattr(library, n)] * 2) for n in ("flux", "extrapolated")}
    return replace(library, labels=labels, **twice, index=None)


@pytest.fixture(scope="session")
def keras():
    """Keras with the backend that KERAS_BACKEND chooses; without it the test is skipped."""
    return pytest.importorskip("keras")


@pytest.fixture(scope="session")
def small_library():
    """80 spectra of SYNSPEC at R = 30000."""
    return Library.load(LIBRARY)


@pytest.fixture(scope="session")
def tiny(keras, tmp_path_factory):
    """The small emulator trained without interruption, the Keras models that were linked on the way, and its file."""
    from rvsemu.training import networks

    models, link = {}, networks.linked

    def keeping(first, second, name):
        models[name] = link(first, second, name)
        return models[name]

    out = tmp_path_factory.mktemp("trained") / "tiny.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "linked", keeping)
        emulator = train_tiny(out)
    return emulator, models, out


@pytest.fixture(scope="session")
def inverting(keras, tmp_path_factory):
    """The small inversion trained without interruption, and its file."""
    out = tmp_path_factory.mktemp("inverting") / "tiny.h5"
    return train_inverting(out), out
