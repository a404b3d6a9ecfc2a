"""What every trained file needs: weights as they will be written, and where it all came from."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ..emulator.network import DenseNetwork, Layer
from ..library import Library
from .recipes import InversionRecipe, Recipe

__all__ = ["in_batches", "provenance", "rounded"]

_PACKAGES = ("numpy", "scipy", "h5py", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "rvsemu")


def in_batches(network: DenseNetwork, x: np.ndarray, n: int = 4096) -> np.ndarray:
    """``network(x)``, computed for n rows at a time."""
    return np.concatenate([network(x[i : i + n]) for i in range(0, len(x), n)])


def rounded(network: DenseNetwork, dtype: str) -> DenseNetwork:
    """The network with its weights as a file will hold them."""
    layers = (Layer(x.weights.astype(dtype).astype("f4"), x.bias, x.activation) for x in network.layers)
    return DenseNetwork(tuple(layers))


def provenance(recipe: Recipe | InversionRecipe, library: Library) -> dict:
    """Recipe, version (the date), settings, library and packages, for the `info` of a file."""
    return {
        "recipe": recipe.name,
        "version": datetime.now(timezone.utc).strftime("%Y.%m.%d.%H%M"),
        "settings": recipe.asdict(),
        "library": {
            **{"fingerprint": library.fingerprint(), "identity": library.identity(), "spectra": len(library)},
            **library.info,
        },
        "packages": {name: version(name) for name in _PACKAGES if _has(name)},
    }


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
