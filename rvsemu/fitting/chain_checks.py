"""Whether what a file says of a chain can be used: each property is of its kind, and goes with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._values import covariance, limits, one, pairs, reals, shown, text, texts
from ..emulator.labels import check_unit
from ..emulator.regions import from_json
from ..observing.flags import to_bits
from ..physics.wavelengths import check_medium

if TYPE_CHECKING:
    from .chain_file import Chain

__all__ = ["check_chain"]

_TEXTS = ("name", "medium", "release", "frame", "recipe", "emulator_version", "without_prior")
_STRUCTURED = ("units", "fixed", "ranges", "label_errors", "domain", "lowest_logg", "flags")
_PREDICTION = ("wavelength", "flux", "sigma", "used", "predicted")
_NEAR = 1e-9  # of a range: rounding
_KEYS = 624  # of the state of a Mersenne twister


def check_chain(chain: Chain, steps: int) -> None:
    """Raise a `ValueError` where parts of a chain of so many steps are of the wrong kind or contradict each other."""
    shape = steps, len(chain.accepted), len(chain.names)
    if chain.coords.shape != shape or chain.log_probability.shape != shape[:2] or len(chain.units) != shape[2]:
        raise ValueError(f"chain of the shape {chain.coords.shape}, not {shape}")
    if not np.all((chain.accepted >= 0) & (chain.accepted <= steps)):
        raise ValueError(f"accepted is not from 0 to {steps}")
    if chain.proposal.means.shape[1] != shape[2]:
        raise ValueError("proposals for other labels")
    if chain.target <= 0:
        raise ValueError(f"target is {chain.target:g}")
    _check_random_state(chain.random_state)
    for name, unit in zip(chain.names, chain.units, strict=True):
        check_unit(name, unit)
    _check_info(chain.info, chain)
    if chain.arrays.keys() & set(_PREDICTION):
        _check_prediction(chain.arrays)


def _check_random_state(state: tuple) -> None:
    for part in state[1:]:
        reals("the state of random numbers", part)
    np.random.RandomState().set_state(state)
    if not 0 <= state[2] <= _KEYS:  # which NumPy does not look at
        raise ValueError(f"the state of random numbers is at {state[2]} of {_KEYS}")


def _check_info(info: Mapping[str, Any], chain: Chain) -> None:
    for name, value in info.items():
        if name in _TEXTS and value is not None:
            text(name, value)
        if name not in _STRUCTURED and not isinstance(value, int | float | str | None):
            raise ValueError(f"{name} is {shown(value)} instead of a number or a text")
    if "medium" in info:
        check_medium(info["medium"])
    _check_labels(info, chain.names)
    _check_ranges(info, chain)
    to_bits(texts("flags", info.get("flags", ())))
    limits("domain", info.get("domain", {}))
    pairs("lowest_logg", info.get("lowest_logg", ()))
    from_json(info.get("regions", "[]"))


def _check_labels(info: Mapping[str, Any], names: Sequence[str]) -> None:
    """The labels that are fixed, and all units."""
    units, fixed = _by_name("units", info), _by_name("fixed", info)
    for name, unit in units.items():
        check_unit(name, text(f"unit of {name}", unit))
    for name, value in fixed.items():
        one(f"fixed {name}", value)
    if unknown := fixed.keys() - {*units, *names}:
        raise ValueError(f"the fixed {min(unknown)} has no unit")


def _by_name(name: str, info: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(found := info.get(name, {}), Mapping):
        raise ValueError(f"{name} is {shown(found)} instead of values by name")
    return found


def _check_ranges(info: Mapping[str, Any], chain: Chain) -> None:
    """Ranges of all labels, if there are any, in which the samples are; with them there may be errors of labels."""
    ranges, m = limits("ranges", info.get("ranges", {})), len(chain.names)
    if np.any(covariance("label_errors", info.get("label_errors", np.zeros((m, m))), m)) and not ranges:
        raise ValueError("there are label_errors without ranges of the labels")
    if ranges and set(ranges) != set(chain.names):
        raise ValueError(f"ranges of {', '.join(ranges)}, but samples of {', '.join(chain.names)}")
    for i, (name, (low, high)) in enumerate((name, ranges[name]) for name in chain.names if ranges):
        values, near = chain.coords[..., i], _NEAR * (high - low)
        if values.min() < low - near or values.max() > high + near:
            raise ValueError(f"samples of {name} are outside its range from {low:g} to {high:g}")


def _check_prediction(arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays that figures are made of."""
    wavelength, flux, sigma, used, predicted = (arrays[name] for name in _PREDICTION)
    n = len(reals("wavelength", wavelength))
    if not (wavelength.ndim == 1 and np.all(wavelength > 0) and np.all(np.diff(wavelength) > 0)):
        raise ValueError("the wavelengths are not above 0 and increasing")
    if used.dtype != bool or used.shape != (n,) or not used.any():
        raise ValueError("used does not say which pixels were used")
    if flux.shape != (n,) or sigma.shape != (n,):
        raise ValueError(f"flux and sigma have the shapes {flux.shape} and {sigma.shape} instead of {(n,)}")
    reals("flux", flux[used]), reals("sigma", sigma[used]), reals("predicted", predicted, "f4", (5, n))
