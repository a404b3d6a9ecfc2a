"""What `write_spectrum` writes, and how a `specutils.Spectrum` comes out of it again.

A file has one row per pixel: wavelength (or ``spectral_axis``), flux, and where the spectrum has them uncertainty and
mask. Everything else, from units to labels, is one JSON text, the entry `WRITTEN` of the header: all formats keep a
text, none keeps all kinds of units, numbers and names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from specutils import Spectrum

from ..errors import SpectrumError
from .cells import as_floats
from .tables import WRITTEN, SpectrumTable
from .unpacking import DAMAGE

__all__ = ["UNCERTAINTIES", "WrittenRecord", "decode", "encode", "quantity_as_json"]

UNCERTAINTIES = {
    kind().uncertainty_type: kind
    for kind in (StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty)
}
"""Kinds of uncertainty by the names that astropy has for them."""

_QUANTITY = {"value", "unit"}
_TRUE = ("true", "1")


def encode(values: Mapping) -> str:
    """JSON of a mapping that `decode` turns into the same, in ASCII that no header format changes.

    Raises
    ------
    TypeError
        Something in it is no number, text, Quantity, array, sequence or mapping of these.
    """
    text = json.dumps(values, default=_as_json, separators=(",", ":"))
    return text.replace("'", "\\u0027").replace("&", "\\u0026").replace(" ", "\\u0020")  # FITS trims and quotes


def _as_json(value: object) -> object:
    if isinstance(value, u.Quantity):
        return quantity_as_json(value)
    if isinstance(value, u.UnitBase | PurePath):
        return str(value)
    if isinstance(value, np.ma.MaskedArray) or not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} is not for JSON")
    return value.tolist()


def quantity_as_json(quantity: u.Quantity) -> dict:
    """Plain value and unit."""
    return {"value": np.asarray(quantity.value).tolist(), "unit": quantity.unit.to_string()}


def decode(text: str) -> dict:
    """What `encode` was given, with lists for arrays and tuples."""
    return json.loads(text, object_hook=lambda found: _quantity(found) if set(found) == _QUANTITY else found)


def _quantity(found: dict) -> u.Quantity:
    return u.Quantity(found["value"], u.Unit(found["unit"]))


@dataclass(frozen=True)
class WrittenRecord:
    """One spectrum out of a table that `write_spectrum` wrote, with the interface of `Record`.

    Parameters
    ----------
    table : SpectrumTable
        Where it comes from.
    stated : dict
        The entry `WRITTEN` of its header: ``units``, ``pixels``, ``uncertainty``, ``radial_velocity``, ``meta``.
    """

    table: SpectrumTable
    stated: dict

    @classmethod
    def from_table(cls, table: SpectrumTable) -> WrittenRecord:
        """Take the header apart, and check that all rows are there."""
        try:
            stated = decode(str(table.params[WRITTEN]))
            pixels, needed = int(stated["pixels"]), {*stated["units"], *(["mask"] if stated["masked"] else [])}
            if not isinstance(stated["meta"], dict):
                raise TypeError("meta is no mapping")
        except (ValueError, TypeError, KeyError) as error:
            raise SpectrumError(f"{table.label}: the entry {WRITTEN} of its header cannot be read: {DAMAGE}") from error
        if len(table) != pixels or not needed.issubset(table.columns):
            raise SpectrumError(
                f"{table.label}: has {len(table)} rows instead of the {pixels} its header says, or lacks a column: "
                "the file is truncated or damaged; write it again"
            )
        return cls(table, stated)

    @property
    def source_id(self) -> int | None:
        """The source, if the spectrum has one."""
        return self.stated["meta"].get("source_id")

    @property
    def scalars(self) -> dict:
        """The ``meta`` of the spectrum."""
        return self.stated["meta"]

    def plain(self) -> Spectrum:
        """The spectrum, with standard deviations where the kind of its uncertainty is known, as `Record.plain` has."""
        out = self.spectrum()
        if out.uncertainty is not None and not isinstance(out.uncertainty, UnknownUncertainty):
            unit = out.flux.unit
            with np.errstate(all="ignore"):  # what is no variance becomes inf or nan, which are bad pixels
                found = out.uncertainty.represent_as(StdDevUncertainty)
            error = found.array if found.unit is None else u.Quantity(found.array, found.unit).to_value(unit)
            out.uncertainty = StdDevUncertainty(error)
        return out

    def spectrum(self) -> Spectrum:
        """The spectrum as it was written; ``meta["file"]`` is the file that it was read from."""
        axis, *_ = self.stated["units"]
        kind, velocity = self.stated["uncertainty"], self.stated["radial_velocity"]
        return Spectrum(
            spectral_axis=self._column(axis),
            flux=self._column("flux"),
            uncertainty=UNCERTAINTIES[kind](self._column("uncertainty")) if kind else None,
            mask=self._mask() if self.stated["masked"] else None,
            meta=self.stated["meta"] | {"file": self.table.label},
            **({} if velocity is None else {"radial_velocity": velocity}),
        )

    def _column(self, name: str) -> u.Quantity | np.ndarray:
        values, unit = as_floats(self.table.columns[name], name, self.table.label), self.stated["units"][name]
        return values if unit is None else u.Quantity(values, u.Unit(unit), copy=False)

    def _mask(self) -> np.ndarray:
        cells = self.table.columns["mask"]
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "b":
            return np.array(cells, dtype=bool)
        return np.array([str(cell).strip().lower() in _TRUE for cell in cells])
