"""Values that were read from files: those of the kind they must be, or a `ValueError` that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

__all__ = [
    "check_angstrom",
    "covariance",
    "limits",
    "numbers",
    "one",
    "pairs",
    "properties",
    "reals",
    "shown",
    "text",
    "texts",
]

_ROUNDING = 1e-6
_SHOWN = 60  # characters of a value


def reals(name: str, values: Any, dtype: DTypeLike = "f8", shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Finite real numbers as an array of `dtype`, of a `shape` if one is given."""
    found = np.asarray(values)
    if found.dtype.kind not in "iuf":
        raise ValueError(f"{name} is {shown(values)} instead of real numbers")
    if shape is not None and found.shape != shape:
        raise ValueError(f"{name} has the shape {found.shape} instead of {shape}")
    with np.errstate(over="ignore"):
        found = found.astype(dtype, copy=False)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} is not finite")
    return found


def one(name: str, value: Any) -> float:
    """One finite real number."""
    return float(reals(name, value, shape=()))


def numbers(group: Mapping[str, Any], name: str, dtype: DTypeLike = "f8") -> np.ndarray:
    """All of a dataset, of finite real numbers."""
    data = group[name]
    if not hasattr(data, "dtype"):
        raise ValueError(f"{data.name[1:]} has no numbers")
    return reals(data.name[1:], data[()], dtype)


def check_angstrom(data: Any) -> None:
    """Raise a `ValueError` if a dataset of wavelengths says that it is in another unit."""
    if (unit := data.attrs.get("unit", "Angstrom")) != "Angstrom":
        raise ValueError(f"{data.name[1:]} is in {shown(unit)} instead of Angstrom")


def pairs(name: str, values: Any) -> tuple[tuple[float, float], ...]:
    """Pairs of finite numbers, the first of which increase, as of nodes; or none."""
    found = reals(name, values) if np.size(values) else np.empty((0, 2))
    if found.ndim != 2 or found.shape[1] != 2 or not np.all(np.diff(found[:, 0]) > 0):
        raise ValueError(f"{name} has no pairs of numbers the first of which increase")
    return tuple((float(x), float(y)) for x, y in found)


def covariance(name: str, values: Any, size: int | None = None) -> np.ndarray:
    """A covariance matrix of any or a given size: symmetric and without negative eigenvalues, but for rounding."""
    found = reals(name, values)
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise ValueError(f"{name} of the shape {found.shape} is not square")
    if size not in (None, len(found)):
        raise ValueError(f"{name} has the shape {found.shape} instead of {(size, size)}")
    least = _ROUNDING * np.max(np.abs(found), initial=0.0)
    if np.any(np.abs(found - found.T) > least) or np.any(np.linalg.eigvalsh(found) < -least):
        raise ValueError(f"{name} is no covariance matrix")
    return found


def limits(name: str, values: Any) -> dict[str, tuple[float, float]]:
    """Lower and upper limits by name, the upper of which are not lower."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} is {shown(values)} instead of limits by name")
    out = {}
    for key, ends in values.items():
        low, high = reals(f"{name} of {key}", ends, shape=(2,)).tolist()
        if low > high:
            raise ValueError(f"{name} of {key} runs from {low:g} to {high:g}")
        out[key] = low, high
    return out


def properties(name: str, value: Any) -> dict[str, Any]:
    """Values by name, of JSON."""
    found = json.loads(text(name, value))
    if not isinstance(found, dict):
        raise ValueError(f"{name} is {shown(found)} instead of values by name")
    return found


def text(name: str, value: Any) -> str:
    """A text."""
    if isinstance(value, bytes):  # as some programs write it
        value = value.decode()
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown(value)} instead of a text")
    return str(value)


def texts(name: str, values: Any) -> tuple[str, ...]:
    """Texts that differ, none of which is empty."""
    if np.ndim(values) != 1:
        raise ValueError(f"{name} is {shown(values)} instead of a list of texts")
    found = tuple(text(name, value) for value in values)
    if "" in found or len(set(found)) < len(found):
        raise ValueError(f"{name} has one twice, or an empty one: {', '.join(found)}")
    return found


def shown(value: Any) -> str:
    """The beginning of a value, in one line."""
    return " ".join(repr(value).split())[:_SHOWN]
