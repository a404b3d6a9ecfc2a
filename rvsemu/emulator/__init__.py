"""The emulator: stellar labels -> label network -> latent space -> decoder -> flux.

`Emulator` holds the two networks, their `LabelSpace`, the wavelengths and an `ErrorModel` measured on validation
spectra; `generate` and `Emulator.spectrum` make `specutils.Spectrum` objects of it. Emulators are frozen: what differs
is another one, made with `dataclasses.replace`.
"""

from .accuracy import ErrorModel
from .choosing import DEFAULT, resolve, shipped
from .generating import generate
from .labels import ALPHA, PAPER_LABELS, Label, LabelSpace
from .model import Emulator
from .network import DenseNetwork, Layer

__all__ = [
    "ALPHA",
    "DEFAULT",
    "PAPER_LABELS",
    "DenseNetwork",
    "Emulator",
    "ErrorModel",
    "Label",
    "LabelSpace",
    "Layer",
    "generate",
    "resolve",
    "shipped",
]
