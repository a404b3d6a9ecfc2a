"""Labels of fits, from a catalogue or a table of results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..errors import ComparisonError
from ..observing.flags import ALPHA_ASSUMED, FAILED, from_bits
from .reference import LABELS, label_values
from .tables import Columns, floats_of, identifiers_of, opened_table, texts_of

__all__ = ["Fits", "read_fits"]


@dataclass(frozen=True)
class Fits:
    """Labels of fits, one row per spectrum.

    Parameters
    ----------
    name : str
    source_id : ndarray of int64, shape (n,)
        0 where it is not known.
    labels, errors : mapping of str to ndarray, shape (n,)
        In K or dex; NaN where there is no value, as in fits that failed. An error of 0 means that the label was held.
    flags : list of str
        Names of the flags, joined by commas; empty if there are none.
    signal_to_noise : ndarray, shape (n,), or None
    releases : frozenset of str
        Of Gaia, of which the spectra are; empty if the table does not say it.
    lacks : str
        That fits are missing, as the run has not ended; empty if they are not, or nothing tells.
    """

    name: str
    source_id: np.ndarray
    labels: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    flags: list[str]
    signal_to_noise: np.ndarray | None
    releases: frozenset[str] = frozenset()
    lacks: str = ""

    @property
    def failed(self) -> np.ndarray:
        """Where a fit has no labels, shape (n,)."""
        without = np.all([np.isnan(values) for values in self.labels.values()], axis=0)
        return without | np.array([FAILED in text.split(",") for text in self.flags], dtype=bool)

    @property
    def flagged(self) -> np.ndarray:
        """Where a fit has any flag but that [alpha/M] was assumed, which nearly all metal-poor stars have, shape (n,):
        to leave them out by our [M/H] would make a trend of the errors of [M/H] alone."""
        return np.array([bool(set(text.split(",")) - {"", ALPHA_ASSUMED}) for text in self.flags], dtype=bool)


def read_fits(given: str | os.PathLike | Table) -> Fits:
    """The labels of a folder of ``rvsemu catalog fit``, or of a table of ``rvsemu fit``.

    Raises
    ------
    ComparisonError
        It is none.
    """
    table = opened_table(given)
    labels = [label for label in LABELS if label in table.names]
    errors = [label for label in labels if f"{label}_error" in table.names]
    others = [name for name in ("source_id", "flags", "flag_bits", "signal_to_noise", "release") if name in table.names]
    if "source_id" not in others or not labels:
        raise ComparisonError(
            f"{table.name} has no columns source_id and teff, logg or mh: give what 'rvsemu catalog fit' or "
            "'rvsemu fit' has written."
        )
    data = table.read(
        [*labels, *(f"{label}_error" for label in errors), *others], as_text=["source_id", "flags", "release"]
    )

    def values(name: str, label: str) -> np.ndarray:
        return label_values(data[name], label, LABELS[label], f"{table.name}: column {name}")

    return Fits(
        Path(given).name if isinstance(given, str | os.PathLike) else "the fits",
        identifiers_of(data["source_id"], f"{table.name}: column source_id"),
        {label: values(label, label) for label in labels},
        {label: values(f"{label}_error", label) for label in errors},
        _flags(data),
        _signal(table, data),
        _releases(data),
        table.lacks,
    )


def _flags(data: Table) -> list[str]:
    if "flags" in data.colnames:
        return [text if text != "none" else "" for text in texts_of(data["flags"])]
    if "flag_bits" in data.colnames:
        return [",".join(from_bits(int(bits))) for bits in np.ma.filled(data["flag_bits"], 0)]
    return [""] * len(data)


def _releases(data: Table) -> frozenset[str]:
    """Releases of Gaia of all rows, of which those of stars with several transits may have more than one."""
    several = set(texts_of(data["release"])) if "release" in data.colnames else set()
    return frozenset(one for text in several for one in text.split(",")) - {"", "unknown"}


def _signal(table: Columns, data: Table) -> np.ndarray | None:
    if "signal_to_noise" not in data.colnames:
        return None
    return floats_of(data["signal_to_noise"], f"{table.name}: column signal_to_noise")
