"""What the HDF5 files of trained models have in common: labels, wavelengths, networks, loss curves."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import h5py
import numpy as np

from .._storage import stamp
from ..physics.wavelengths import check_medium
from .labels import Label, LabelSpace
from .network import DenseNetwork, Layer
from .regions import from_json, to_json

__all__ = ["check_grid", "read_common", "read_network", "write_common", "write_network"]


def check_grid(wavelength: np.ndarray, medium: str) -> None:
    """Raise `ValueError` unless wavelengths are an increasing uniform grid in a known medium."""
    check_medium(medium)
    steps = np.diff(wavelength)
    if wavelength.ndim != 1 or len(wavelength) < 2 or not (np.ptp(steps) <= 1e-6 and steps[0] > 0):
        raise ValueError("the wavelengths are not a uniform grid")


def write_common(file: h5py.File, kind: str, version: int, model) -> None:
    """Format, info, labels, wavelengths and loss curves of a `model` that has these attributes."""
    stamp(file, kind, version)
    file.attrs["info"] = json.dumps(model.info)
    wavelength = file.create_dataset("wavelength", data=model.wavelength)
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
            file[f"history/{stage}/{name}"] = np.asarray(values, dtype="f8")


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


def write_network(group: h5py.Group, network: DenseNetwork, dtype) -> None:
    """Layers ``00``, ``01``, ... with weights as `dtype`."""
    for i, layer in enumerate(network.layers):
        one = group.create_group(f"{i:02d}")
        one.attrs["activation"] = layer.activation
        one.create_dataset("weights", data=layer.weights.astype(dtype), compression="gzip", shuffle=True)
        one["bias"] = layer.bias.astype("f4")


def read_network(group: h5py.Group) -> DenseNetwork:
    """What `write_network` wrote, as float32."""
    layers = [
        Layer(group[k]["weights"][:].astype("f4"), group[k]["bias"][:].astype("f4"), group[k].attrs["activation"])
        for k in sorted(group)
    ]
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers):
        raise ValueError("weights are not finite")
    return DenseNetwork(tuple(layers))
