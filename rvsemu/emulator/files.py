"""What the HDF5 files of trained models have in common: labels, wavelengths, networks, loss curves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from .._storage import put, stamp
from ..errors import RvsemuError
from ..physics.wavelengths import check_medium
from .labels import Label, LabelSpace
from .network import DenseNetwork, Layer
from .regions import from_json, to_json

__all__ = ["check_grid", "check_weights", "read_common", "read_network", "write_common", "write_network"]

_WEIGHTS = ("float32", "float16")


def check_grid(wavelength: np.ndarray, medium: str) -> None:
    """Raise `ValueError` unless wavelengths are an increasing uniform grid in a known medium."""
    check_medium(medium)
    steps = np.diff(wavelength)
    if wavelength.ndim != 1 or len(wavelength) < 2 or not (np.ptp(steps) <= 1e-6 and steps[0] > 0):
        raise ValueError("the wavelengths are not a uniform grid")


def check_weights(networks: Iterable[DenseNetwork], dtype: DTypeLike, error: type[RvsemuError]) -> None:
    """Raise an `error` unless weights can be saved as `dtype`, and biases as float32, and be read again."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in _WEIGHTS:
        raise error(f"dtype={dtype!r}: give float32, which keeps the weights, or float16, half the size and rounded.")
    for layer in (layer for network in networks for layer in network.layers):
        for values, kind in ((layer.weights, name), (layer.bias, "float32")):
            with np.errstate(over="ignore"):
                finite = np.isfinite(values.astype(kind)).all()
            if not finite:
                remedy = "save it as float32" if kind == "float16" else "it cannot be saved"
                raise error(f"A network has weights up to {np.abs(values).max():.3g}, too large for {kind}: {remedy}.")


def write_common(file: h5py.File, kind: str, version: int, model) -> None:
    """Format, info, labels, wavelengths and loss curves of a `model` that has these attributes."""
    stamp(file, kind, version)
    file.attrs["info"] = json.dumps(model.info, default=_plain)
    wavelength = put(file, "wavelength", model.wavelength)
    wavelength.attrs["unit"], wavelength.attrs["medium"] = "Angstrom", model.medium
    for i, label in enumerate(model.labels.labels):
        file.create_group(f"labels/{i}").attrs.update(asdict(label))
    if model.labels.lowest_logg:
        file["labels"].attrs["lowest_logg"] = np.array(model.labels.lowest_logg)
    if model.labels.regions:
        file["labels"].attrs["regions"] = to_json(model.labels.regions)
    if model.labels.constant_alpha:
        file["labels"].attrs["constant_alpha"] = model.labels.constant_alpha
    for stage, curves in model.history.items():
        for name, values in curves.items():
            put(file, f"history/{stage}/{name}", np.asarray(values, dtype="f8"))


def _plain(value: Any) -> Any:
    """What NumPy has, as Python has it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(
        f"info has {value!r}, a {type(value).__name__}: give numbers, texts, lists and dictionaries of these"
    )


def read_common(file: h5py.File) -> dict[str, Any]:
    """What `write_common` wrote."""
    labels = [Label(**dict(file[f"labels/{i}"].attrs)) for i in range(len(file["labels"]))]
    attributes = file["labels"].attrs
    nodes = tuple((float(teff), float(logg)) for teff, logg in attributes.get("lowest_logg", ()))
    wavelength = file["wavelength"]
    history = {s: {k: v[:] for k, v in g.items()} for s, g in file["history"].items()} if "history" in file else {}
    return {
        "labels": LabelSpace(
            tuple(labels),
            nodes,
            from_json(attributes.get("regions", "[]")),
            float(attributes.get("constant_alpha", 0.0)),
        ),
        "wavelength": wavelength[:],
        "medium": str(wavelength.attrs["medium"]),
        "info": json.loads(file.attrs["info"]),
        "history": history,
    }


def write_network(group: h5py.Group, network: DenseNetwork, dtype: DTypeLike) -> None:
    """Layers ``00``, ``01``, ... with weights as `dtype`."""
    for i, layer in enumerate(network.layers):
        one = group.create_group(f"{i:02d}")
        one.attrs["activation"] = layer.activation
        put(one, "weights", layer.weights.astype(dtype), packed=True)
        put(one, "bias", layer.bias.astype("f4"))


def read_network(group: h5py.Group) -> DenseNetwork:
    """What `write_network` wrote, as float32."""
    layers = [
        Layer(group[k]["weights"][:].astype("f4"), group[k]["bias"][:].astype("f4"), group[k].attrs["activation"])
        for k in sorted(group)
    ]
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers):
        raise ValueError("weights are not finite")
    return DenseNetwork(tuple(layers))
