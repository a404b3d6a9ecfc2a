"""The autoencoder of a finished training. An emulator's file needs its decoder alone; the rest is in the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._storage import arrays_of
from ..emulator.network import DenseNetwork, Layer
from ..emulator.pca import MeanSpectrum, PrincipalComponents
from ..errors import TrainingError

__all__ = ["Autoencoder", "codec_of", "load_autoencoder"]


def codec_of(components: int, center: bool, flux: np.ndarray) -> PrincipalComponents | MeanSpectrum | None:
    """What a recipe with these settings puts between training fluxes (n, n_pixels) and the autoencoder."""
    if components:
        return PrincipalComponents.of(flux, components)
    return MeanSpectrum.of(flux) if center else None


@dataclass(frozen=True)
class Autoencoder:
    """Flux to latent space to flux.

    Parameters
    ----------
    encoder : DenseNetwork
        What `codec` makes of a spectrum, to latent values.
    decoder : DenseNetwork
        Latent values to flux.
    codec : PrincipalComponents, MeanSpectrum or None

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.emulator import DenseNetwork, Layer
    >>> from rvsemu.training.autoencoder import Autoencoder
    >>> to, back = np.array([[0.5], [0.5]]), np.array([[1.0, 1.0]])
    >>> autoencoder = Autoencoder(DenseNetwork((Layer(to, np.zeros(1)),)), DenseNetwork((Layer(back, np.zeros(2)),)))
    >>> autoencoder([[1.0, 0.8]])
    array([[0.9, 0.9]])
    """

    encoder: DenseNetwork
    decoder: DenseNetwork
    codec: PrincipalComponents | MeanSpectrum | None = None

    def __call__(self, flux: ArrayLike) -> np.ndarray:
        """Reconstructed fluxes (n, n_pixels) of fluxes (n, n_pixels)."""
        flux = np.atleast_2d(flux)
        return self.decoder(self.encoder(self.codec.coefficients(flux) if self.codec else flux))


def load_autoencoder(folder: str | os.PathLike) -> Autoencoder:
    """The autoencoder with the lowest validation loss of the training in `folder`, before any fine-tuning.

    Parameters
    ----------
    folder : path
        The folder for draws and checkpoints of an emulator's training (``FILE.work``).

    Raises
    ------
    TrainingError
        The folder, or what is needed of it, is not there.

    Examples
    --------
    >>> from rvsemu.training.autoencoder import load_autoencoder
    >>> autoencoder = load_autoencoder("emulator.h5.work")  # doctest: +SKIP
    >>> autoencoder(flux).shape == flux.shape  # doctest: +SKIP
    True
    """
    folder = Path(folder)
    needed = [folder / name for name in ("training.json", "autoencoder.npz", "draws.json", "flux.npy")]
    if missing := [file for file in needed if not file.exists()]:
        raise TrainingError(
            f"{missing[0]} does not exist: the autoencoder is in the folder of its emulator's training, "
            "which must not be deleted; train again to have it."
        )
    recipe = json.loads(needed[0].read_text())["recipe"]
    saved = arrays_of(needed[1], TrainingError, "train again to have it")
    weights = [saved[f"best{i}"] for i in range(int(saved["n_best"]))]
    validation = json.loads(needed[2].read_text())["validation"]
    training = np.load(needed[3], mmap_mode="r")[validation:]
    codec = codec_of(recipe["components"], recipe["center"], training)
    split = 2 * (len(recipe["encoder"]["hidden"]) + 1)
    decoder = _network(recipe["decoder"], weights[split:])
    return Autoencoder(_network(recipe["encoder"], weights[:split]), codec.merged(decoder) if codec else decoder, codec)


def _network(plan: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> DenseNetwork:
    """Of a plan as in JSON, and of weights and bias of each layer in turn."""
    activations = [*[plan["activation"]] * len(plan["hidden"]), plan["output_activation"]]
    return DenseNetwork(tuple(Layer(arrays[2 * i], arrays[2 * i + 1], a) for i, a in enumerate(activations)))
