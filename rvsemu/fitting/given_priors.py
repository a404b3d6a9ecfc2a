"""Priors as users give them: by name, as two numbers, as a distribution or a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..emulator.labels import Label
from ..errors import LabelError
from .priors import Function, Normal, Prior
from .resolution_prior import RvsResolution
from .vmic_prior import Microturbulence

__all__ = ["NAMED_PRIORS", "as_prior"]

NAMED_PRIORS: dict[str, dict[str, Prior]] = {
    "vmic": {"relation": Microturbulence(), "wide": Normal(1.5, 0.8)},
    "resolution": {"gaia-rvs": RvsResolution()},
}
"""Priors that go by a name, of each label."""


def _named(name: str, label: Label) -> Prior:
    known = NAMED_PRIORS.get(label.name, {})
    if name not in known:
        names = f"there are {' and '.join(map(repr, known))}" if known else "none of this label has a name"
        raise LabelError(f"prior {label.name}={name!r} is unknown: {names}; or give (mean, sigma).")
    return known[name]


def as_prior(given: Any, label: Label) -> Prior:
    """A plain `Prior` from what a user gives.

    Parameters
    ----------
    given : Prior, str, (mean, sigma), frozen distribution of scipy.stats, or callable
    label : Label
    """
    if isinstance(given, str):
        return _named(given, label).plain(label)
    if isinstance(given, Prior):
        return given.plain(label)
    if hasattr(given, "logpdf") and hasattr(given, "support"):
        lower, upper = given.support()
        if np.ndim(lower):
            raise LabelError(f"prior {label.name}={given!r} is {np.size(lower)} distributions: give one.")
        if getattr(getattr(given, "dist", None), "name", "") == "norm":  # what is known of a `Normal` is of it, too
            return Normal(float(given.mean()), float(given.std())).plain(label)
        return Function(given.logpdf, float(lower), float(upper)).plain(label)
    if callable(given):
        return Function(given).plain(label)
    try:
        mean, sigma = given
    except (TypeError, ValueError):
        raise LabelError(
            f"prior {label.name}={given!r}: give (mean, sigma), a frozen distribution of scipy.stats, a function of "
            "the label, or one of Uniform, Normal, TruncatedNormal, Function of rvsemu.fitting."
        ) from None
    return Normal(mean, sigma).plain(label)
