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
from .._values import check_angstrom, limits, numbers, one, pairs, properties, shown, text, texts
from ..errors import RvsemuError
from ..physics.wavelengths import check_medium
from .labels import UNITS, Label, LabelSpace, check_unit
from .network import DenseNetwork, Layer
from .regions import from_json, to_json

__all__ = ["check_grid", "check_weights", "read_common", "read_network", "write_common", "write_network"]

_WEIGHTS = ("float32", "float16")
_EVEN = 1e-6  # Angstrom: rounding of steps


def check_grid(wavelength: np.ndarray, medium: str) -> None:
    """Raise `ValueError` unless wavelengths are an increasing uniform grid above 0 in a known medium."""
    check_medium(medium)
    steps = np.diff(wavelength)
    if wavelength.ndim != 1 or len(wavelength) < 2 or not (np.ptp(steps) <= _EVEN < steps[0] and wavelength[0] > 0):
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
    return {
        "labels": _read_labels(file["labels"]),
        **read_grid(file["wavelength"]),
        "info": _read_info(file),
        "history": {stage: _read_curves(curves) for stage, curves in file.get("history", {}).items()},
    }


def _read_curves(group: h5py.Group) -> dict[str, np.ndarray]:
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{group.name[1:]} has no curves")
    return {name: numbers(group, name) for name in group}


def _read_labels(group: h5py.Group) -> LabelSpace:
    labels, attributes = [Label(**dict(group[str(i)].attrs)) for i in range(len(group))], group.attrs
    for label in labels:
        check_unit(label.name, label.unit)
    nodes, regions = pairs("lowest_logg", attributes.get("lowest_logg", ())), from_json(attributes.get("regions", "[]"))
    known = {*UNITS, *(label.name for label in labels)}
    if unknown := {name for region in regions for name in region.limits} - known:
        raise ValueError(f"the regions have limits of '{min(unknown)}', which is no label")
    return LabelSpace(tuple(labels), nodes, regions, one("constant_alpha", attributes.get("constant_alpha", 0.0)))


def read_grid(data: h5py.Dataset) -> dict[str, Any]:
    """Wavelengths, Angstrom, and their medium."""
    check_angstrom(data)
    return {"wavelength": numbers(data.parent, data.name), "medium": text("medium", data.attrs["medium"])}


def _read_info(file: h5py.File) -> dict[str, Any]:
    """What the model says of itself; a `ValueError` if it is none of the kind that the package prints and fits with."""
    info = properties("info", file.attrs["info"])
    for name in {"recipe", "version"} & {name for name, value in info.items() if value is not None}:
        text(name, info[name])
    for name, values in info.get("metrics", {}).items():
        for metric, value in values.items() if isinstance(values, dict) else ():
            _check_number(f"{metric} of the metrics of {name}", value)
    if "calibration" in info:
        _check_calibration(info["calibration"])
    return info


def _check_number(name: str, value: Any) -> None:
    """Also one that is not finite, as a ratio may be."""
    if not isinstance(value, int | float):
        raise ValueError(f"{name} is {shown(value)} instead of a number")


def _check_calibration(found: Any) -> None:
    """Refuse a report of `rvsemu.calibration` of which fits or ``rvsemu info`` could not use something."""
    for name in ("base", "depth", "reach"):
        if one(f"{name} of the model error of the calibration", found["model_error"][name]) <= 0:
            raise ValueError(f"{name} of the model error of the calibration is not positive")
    ranges, held_out = limits("ranges of the calibration", found["ranges"]), found["held_out"]
    if missing := set(texts("labels of the calibration", found["labels"])) - ranges.keys():
        raise ValueError(f"the calibration has no range of {min(missing)}")
    one("stars of the calibration", found["stars"])
    text("table of the calibration", found["table"])
    for when in ("before", "after"):
        _check_number(f"rms {when} the calibration", held_out[when]["rms_less_noise"])
    for name, errors in held_out.get("labels", {}).items():
        _check_number(f"error of {name} that the calibration added", errors["added"])


def write_network(group: h5py.Group, network: DenseNetwork, dtype: DTypeLike) -> None:
    """Layers ``00``, ``01``, ... with weights as `dtype`."""
    for i, layer in enumerate(network.layers):
        one = group.create_group(f"{i:02d}")
        one.attrs["activation"] = layer.activation
        put(one, "weights", layer.weights.astype(dtype), packed=True)
        put(one, "bias", layer.bias.astype("f4"))


def read_network(group: h5py.Group) -> DenseNetwork:
    """What `write_network` wrote, as float32."""
    return DenseNetwork(tuple(_read_layer(group[name]) for name in sorted(group)))


def _read_layer(group: h5py.Group) -> Layer:
    weights, bias = (numbers(group, name, "f4") for name in ("weights", "bias"))
    return Layer(weights, bias, text("activation", group.attrs["activation"]))
