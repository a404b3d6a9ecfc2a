"""What a reader hands on: labels, wavelengths and fluxes as their file has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from ...errors import LibraryFileError

__all__ = ["ABUNDANCES", "LABELS", "LABEL_UNITS", "RawSpectrum", "Source", "Unusable", "failing", "merged"]

LABELS = ("teff", "logg", "mh", "vmic")
"""What a library of rvsemu is labelled with."""

LABEL_UNITS = {"teff": "K", "vmic": "km/s", "rotation": "km/s"}
"""Units of labels; all others are in dex."""

ABUNDANCES = ("alpha", "carbon", "nitrogen", "oxygen", "r", "s")
"""Abundances some libraries vary besides [M/H], as [X/Fe] or [X/M]."""

_ROUNDING = {"teff": 1.0, "vmic": 0.051}
_ROUNDING_DEX = 0.0051  # two decimals; formats whose names round more coarsely decode them instead


class Unusable(LibraryFileError):
    """One spectrum cannot be used; the message is the reason, without the spectrum's name."""


def failing(reason: str) -> Callable[[], RawSpectrum]:
    """The `load` of a source that is known not to be usable."""

    def load() -> NoReturn:
        raise Unusable(reason)

    return load


@dataclass
class RawSpectrum:
    """A spectrum as its file has it.

    Parameters
    ----------
    wavelength, flux : ndarray, shape (n,)
    continuum : ndarray, shape (n,), or pair of ndarray, optional
        On the grid of `flux`, or with wavelengths of its own. None: `flux` is normalised, or has no continuum.
    labels : dict
        From the file's header.
    medium : str, optional
        If the file itself says so.
    unit : str, optional
        Of the wavelengths, in the file's own words if it has any.
    resolution : float, optional
        Of a Gaussian LSF already applied.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    continuum: np.ndarray | tuple[np.ndarray, np.ndarray] | None = None
    labels: dict = field(default_factory=dict)
    medium: str | None = None
    unit: str | None = None
    resolution: float | None = None


@dataclass(frozen=True)
class Source:
    """One spectrum before it is read: its name, how to read it, the labels its name gives, and its file.

    A name that says something impossible makes `load` raise `Unusable`. `path` is None for a row of a larger file.
    """

    name: str
    load: Callable[[], RawSpectrum]
    labels: dict = field(default_factory=dict)
    path: Path | None = None


def merged(**origins) -> dict:
    """Labels from several origins, e.g. ``header={...}, name={...}``; the first that has one counts.

    Raises
    ------
    Unusable
        Two origins disagree by more than the rounding of names.
    """
    out, came_from = {}, {}
    for origin, labels in origins.items():
        for name, value in labels.items():
            if name not in out:
                out[name], came_from[name] = float(value), origin
            elif not abs(out[name] - value) <= _ROUNDING.get(name, _ROUNDING_DEX):
                raise Unusable(f"{name} is {out[name]:g} in the {came_from[name]} but {value:g} in the {origin}")
    return out
