"""What the HDF5 files of trained models have in common: labels, wavelengths, networks, loss curves, refusals."""

from __future__ import annotations

import json
from contextlib import contextmanager

import h5py
import numpy as np

from ..physics.wavelengths import check_medium
from .labels import Label, LabelSpace
from .network import ACTIVATIONS, DenseNetwork, Layer

__all__ = ["kind_of", "opened", "read_common", "read_network", "write_common", "write_network"]

_FORMAT = "rvsemu "


@contextmanager
def opened(path, kind, newest, error):
    """The open file of a trained model; whatever is wrong with it becomes one `error`.

    Parameters
    ----------
    path : path
    kind : str
        ``"emulator"`` or ``"inversion"``: what the file must be.
    newest : int
        The highest format version that can be read.
    error : type
        A subclass of `RvsemuError`.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_format(file, path, kind, newest, error)
            yield file
    except FileNotFoundError:
        raise error(f"{path} does not exist: give the path of an {kind} file.") from None
    except error:
        raise
    except (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise error(f"{path} is damaged or not an {kind} file ({reason}): get a fresh copy or train it again.") from e


def _check_format(file, path, kind, newest, error):
    if file.attrs.get("format") != _FORMAT + kind:
        raise error(f"{path} is not an rvsemu {kind}: 'rvsemu train' makes them.")
    version = int(file.attrs["format_version"])
    if version < 1:
        raise ValueError(f"{kind} format {version}")
    if version > newest:
        raise error(
            f"{path} has {kind} format {version}, this rvsemu reads up to {newest}: "
            "update it with 'pip install --upgrade rvsemu'."
        )


def kind_of(path) -> str | None:
    """``"emulator"`` or ``"inversion"`` as the file says of itself; None if it says nothing or cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            stated = str(file.attrs.get("format", ""))
    except OSError:
        return None
    return stated.removeprefix(_FORMAT) if stated.startswith(_FORMAT) else None


def write_common(file, kind, version, model):
    """Format, info, labels, wavelengths and loss curves of a `model` that has these attributes."""
    file.attrs["format"], file.attrs["format_version"] = _FORMAT + kind, version
    file.attrs["info"] = json.dumps(model.info)
    wavelength = file.create_dataset("wavelength", data=model.wavelength)
    wavelength.attrs["unit"], wavelength.attrs["medium"] = "Angstrom", model.medium
    for i, label in enumerate(model.labels.labels):
        file.create_group(f"labels/{i}").attrs.update(vars(label))
    for stage, curves in model.history.items():
        for name, values in curves.items():
            file[f"history/{stage}/{name}"] = np.asarray(values, dtype="f8")


def read_common(file) -> dict:
    """What `write_common` wrote, checked."""
    labels = [Label(**dict(file[f"labels/{i}"].attrs)) for i in range(len(file["labels"]))]
    wavelength = file["wavelength"]
    grid = wavelength[:]
    if len(grid) < 2 or np.ptp(np.diff(grid)) > 1e-6 or not grid[1] > grid[0]:
        raise ValueError("the wavelengths are not a uniform grid")
    history = {s: {k: v[:] for k, v in g.items()} for s, g in file["history"].items()} if "history" in file else {}
    return {
        "labels": LabelSpace(labels),
        "wavelength": grid,
        "medium": check_medium(wavelength.attrs["medium"]),
        "info": json.loads(file.attrs["info"]),
        "history": history,
    }


def write_network(group, network: DenseNetwork, dtype):
    """Layers ``00``, ``01``, ... with weights as `dtype`."""
    for i, layer in enumerate(network.layers):
        one = group.create_group(f"{i:02d}")
        one.attrs["activation"] = layer.activation
        one.create_dataset("weights", data=layer.weights.astype(dtype), compression="gzip", shuffle=True)
        one["bias"] = layer.bias.astype("f4")


def read_network(group) -> DenseNetwork:
    """What `write_network` wrote, as float32."""
    layers = [
        Layer(group[k]["weights"][:].astype("f4"), group[k]["bias"][:].astype("f4"), group[k].attrs["activation"])
        for k in sorted(group)
    ]
    if not layers or not all(layer.activation in ACTIVATIONS for layer in layers):
        raise ValueError("a network has no layers or an unknown activation")
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers):
        raise ValueError("weights are not finite")
    return DenseNetwork(layers)
