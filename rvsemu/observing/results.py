"""What fits, samples and inversions have in common: labels, errors, intervals, flags, and how they are shown."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from astropy import units as u
from astropy.table import MaskedColumn, QTable
from astropy.time import Time
from scipy.special import ndtri

from .._display import html_card
from .._frozen import same
from ..errors import RvsemuError, SpectrumError, SpectrumWarning
from .flags import describe, to_bits
from .result_table import ResultTable

__all__ = [
    "COMBINED",
    "IDENTITY",
    "LEAST_SQUARED",
    "LIMITED",
    "WAVELENGTHS",
    "Result",
    "count_of",
    "identity_columns",
    "identity_of",
    "identity_value",
    "is_of",
    "limit_of_square",
    "name_of",
    "normal_interval",
    "tails",
    "without_prior",
]

LEAST_SQUARED = 0.02
"""Of the range of a label that acts by its square: nearer to zero its slope says nothing."""
LIMITED = ("vsini",)
"""Labels that have an upper limit where they may be zero; others that begin at zero have priors."""

IDENTITY: dict[str, tuple[type, str, Any]] = {
    "file": (str, "", ""),
    "source_id": (np.int64, "", -1),
    "transit_id": (np.int64, "", -1),
    "obs_time_rv": (float, "", np.nan),
    "ra": (float, "deg", np.nan),
    "dec": (float, "deg", np.nan),
}
"""What tells which spectrum a row is of, from ``spectrum.meta``: kind, unit, and what stands where it is missing."""

_PLAIN_IN = {"obs_time_rv": u.day, "ra": u.deg, "dec": u.deg}
_EPOCH = Time(2455197.5, format="jd", scale="tcb")

COMBINED = ("combined_ccds", "combined_transits")
"""Numbers of spectra that a spectrum is the mean of, in its ``meta``."""
_MOST_COMBINED = 1_000_000
WAVELENGTHS = ("release", "medium", "frame")
"""What ``meta`` says of pixels and wavelengths, on which noise model, mask and range of velocities depend."""


def identity_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spectrum's `meta` that goes into that of a result: what it is called, and how it was made.

    This is `IDENTITY`, `WAVELENGTHS`, and the number of spectra in the mean.

    Raises
    ------
    SpectrumError
        One of them has several values, as a row of a two-dimensional Spectrum has the meta of all rows.
    """
    out = {name: meta[name] for name in (*IDENTITY, *WAVELENGTHS, *COMBINED) if meta.get(name) is not None}
    for name, value in out.items():
        if np.size(value) != 1:
            raise SpectrumError(
                f"meta['{name}'] has {np.size(value)} values: a spectrum has one. Give a list of Spectrum, each with a "
                "meta of its own."
            )
    return out


def count_of(meta: Mapping[str, Any], name: str) -> int | None:
    """One of the numbers `COMBINED`; None where `meta` has none, or what cannot be one, as 0 or a text.

    Examples
    --------
    >>> from rvsemu.observing.results import count_of
    >>> [count_of({"combined_ccds": stated}, "combined_ccds") for stated in (30, 30.0, 0, -1, "many", None)]
    [30, 30, None, None, None, None]
    """
    stated = meta.get(name)
    if stated is None or isinstance(stated, bool | np.bool_) or np.ma.is_masked(stated):
        return None
    try:
        number = float(u.Quantity(stated).value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if 1 <= number <= _MOST_COMBINED else None


def identity_value(name: str, value: Any) -> Any:
    """A value of `IDENTITY` without its unit; as text, which is no number, if that is another kind of unit."""
    if isinstance(value, Time):
        return (value.tcb - _EPOCH).to_value(u.day)
    if not (isinstance(value, u.Quantity) and name in _PLAIN_IN):
        return getattr(value, "value", value)
    unit = _PLAIN_IN[name]
    return value.to_value(unit) if value.unit.is_equivalent(unit) else str(value)


def name_of(meta: Mapping[str, Any], default: str = "spectrum") -> str:
    """What to call a spectrum: its source_id, and transit_id, in `meta`; else `default`."""
    known = [str(meta[key]) for key in ("source_id", "transit_id") if meta.get(key) is not None]
    return "-".join(known) or default


def identity_columns(meta: Mapping[str, Any], rows: int = 1) -> dict[str, MaskedColumn]:
    """First columns of a table of results: see `IDENTITY`; masked where `meta` does not say it."""
    out = {}
    for name, (kind, unit, missing) in IDENTITY.items():
        value = identity_value(name, meta.get(name))
        unknown = value is None or np.ma.is_masked(value) or np.size(value) not in (1, rows)
        if not unknown and not is_of(kind, value):
            unknown = True
            what = "a whole number" if kind is np.int64 else "a number"
            text = f"meta['{name}']={value!r} is not {what}, and left out of the table: set it to one, or remove it"
            warnings.warn(text, SpectrumWarning, stacklevel=4)
        data = np.full(rows, np.asarray(missing if unknown else value).astype(kind))
        out[name] = MaskedColumn(data, mask=np.full(rows, unknown), unit=unit or None, fill_value=missing)
    return out


def is_of(kind: type, value: Any) -> bool:
    """Whether a value, or each of several, is one of a kind without a loss, as floats are no identifiers."""
    values = np.asarray(value)
    if kind is np.int64 and values.dtype.kind not in "USiu":
        return False
    try:
        values.astype(kind)
    except (TypeError, ValueError, OverflowError):
        return False
    return values.dtype.kind != "u" or bool(np.all(values <= np.iinfo(np.int64).max))


def tails(level: float) -> np.ndarray:
    """Probabilities below the two ends of a central interval of the probability `level`.

    Raises
    ------
    RvsemuError
        `level` is not between 0 and 1.
    """
    if not (isinstance(level, int | float | np.number) and 0 < level < 1):
        raise RvsemuError(f"level={level!r}: give a probability between 0 and 1, e.g. 0.68.")
    return 0.5 + 0.5 * level * np.array([-1.0, 1.0])


def without_prior(meta: Mapping[str, Any]) -> list[str]:
    """A line for ``print`` if `meta` says that labels are free and without the prior that they have by default."""
    names = meta.get("without_prior")
    return [f"no prior on {names}: those given replace the default ones"] if names else []


def limit_of_square(value: u.Quantity, error: u.Quantity, limits, level: float) -> u.Quantity:
    """What a label that acts by its square is below, if this square has a normal distribution.

    Parameters
    ----------
    value, error : Quantity, shape (...)
    limits : (float, float)
        Of the label, in the unit of `value`.
    level : float
        The probability.

    Returns
    -------
    Quantity, shape (...)
    """
    low, high = limits
    slope = 2 * np.maximum(value.value, LEAST_SQUARED * (high - low)) * error.value
    return u.Quantity(np.minimum(np.sqrt(value.value**2 + ndtri(level) * slope), high), value.unit)


def normal_interval(value: u.Quantity, error: u.Quantity, limits, level: float) -> u.Quantity:
    """Central interval of a normal distribution, cut off at the limits of the label.

    Parameters
    ----------
    value, error : Quantity, shape (...)
    limits : (float, float)
        Of the label, in the unit of `value`.
    level : float
        Its probability before it is cut off.

    Returns
    -------
    Quantity, shape (2, ...)
    """
    ends = np.multiply.outer(ndtri(tails(level)), error.value) + value.value
    return u.Quantity(np.clip(ends, *limits), value.unit)


class Result(ABC):
    """Base of results: dataclasses with `labels`, `errors`, `flags`, `meta` and `interval`.

    Each label is an attribute, too: ``result.teff``. A class adds what it knows besides through ``_quality`` (for
    ``print``), ``_columns`` (for tables) and ``_spread`` (the columns of a label's uncertainty).

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.observing.results import Result
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path())
    >>> for result in (rvsemu.fit(star), rvsemu.invert(star)):
    ...     print(isinstance(result, Result), result.teff.unit, "teff" in result.errors, len(result.interval()["teff"]))
    True K True 2
    True K True 2
    """

    meta: dict[str, Any]
    if TYPE_CHECKING:  # fields of some classes, properties of others

        @property
        def labels(self) -> dict[str, u.Quantity]: ...
        @property
        def errors(self) -> dict[str, u.Quantity]: ...
        @property
        def flags(self) -> tuple[str, ...] | list[tuple[str, ...]]: ...

    _origin: ClassVar[tuple[str, str]] = ("recipe", "emulator_version")

    @abstractmethod
    def interval(self, level: float = 0.68) -> dict[str, u.Quantity]:
        """Central interval of each free label that has the probability `level`: lower and upper end, a Quantity of 2.

        It never leaves the range of the label.
        """

    def upper_limits(self, level: float = 0.95) -> dict[str, u.Quantity]:
        """What v sin i is below with the probability `level`, if it may be zero; empty if it is not, or held.

        It may be zero where it is less than four of its errors: spectra change with its square, which is then less
        than two of its own errors from zero. For n spectra it is NaN where it is not.
        """
        if not (isinstance(level, int | float | np.number) and 0.5 < level < 1):
            raise RvsemuError(f"level={level!r}: give a probability between 0.5 and 1, e.g. 0.95.")
        may_be_zero = {name: self.labels[name] < 4 * self.errors[name] for name in self._from_zero()}
        highest = {name: self._highest(name, level) for name, there in may_be_zero.items() if np.any(there)}
        return {n: np.where(may_be_zero[n], x, np.nan) if x.ndim else x for n, x in highest.items()}

    def _from_zero(self) -> list[str]:
        """Free labels of `LIMITED`."""
        return []

    def _highest(self, name, level) -> u.Quantity:
        """What a label is below with the probability `level`."""
        return self.interval(2 * level - 1)[name][1]

    def __getattr__(self, name: str) -> u.Quantity:
        if name.startswith("_") or name == "labels":  # also while a copy is being made, which has no labels yet
            raise AttributeError(name)
        if name in self.labels:
            return self.labels[name]
        kind, labels = type(self).__name__, ", ".join(self.labels)
        raise AttributeError(f"{kind} has no attribute '{name}'; its labels are {labels}; errors has their errors.")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.labels]

    def __eq__(self, other: object) -> bool:
        return same(self, other) if type(self) is type(other) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = type(self).__name__
        if isinstance(self.flags, list):
            return f"<{kind} of {len(self.flags)} spectra: {', '.join(self.labels)}>"
        rows = [f"  {name:<16}{self.text(name)} {value.unit}".rstrip() for name, value in self.labels.items()]
        quality = [f"  {line}" for line in self._quality()]
        return "\n".join([f"<{kind}", *rows, *quality, f"  flags: {', '.join(self.flags) or 'none'}>"])

    def _repr_html_(self) -> str:
        """Table of labels, quality and flags in words, for notebooks."""
        if isinstance(self.flags, list):
            return self.to_table()._repr_html_()
        rows = [(name, self.text(name), value.unit) for name, value in self.labels.items()]
        lines = [*self._quality(), *describe(self.flags)] if self.flags else [*self._quality(), "flags: none"]
        title = f"{type(self).__name__} of {name_of(self.meta, 'a spectrum')}"
        return html_card(title, ("label", "value", "unit"), rows, lines)

    def to_table(self) -> QTable:
        """One row per spectrum: what names it, labels, errors as ``<label>_error``, quality, flags, and what made it.

        The columns file, source_id, transit_id, obs_time_rv, ra and dec are masked where the spectrum does not say
        them. ``flags`` are joined by commas, ``none`` if there are none (ECSV reads an empty text as missing), and
        ``flag_bits`` has the same as one integer (`rvsemu.observing.flags`). Tables of several results stack with
        ``astropy.table.vstack`` and can be written as ECSV or FITS. They are printed with the digits that mean
        something (`rvsemu.observing.result_table.FORMATS`); files have all of them. Each column has a description.
        """
        flags = self.flags if isinstance(self.flags, list) else [self.flags]
        rows = len(flags)
        table = ResultTable(identity_columns(self.meta, rows))
        for name, value in self.labels.items():
            table[name] = u.Quantity(np.broadcast_to(np.atleast_1d(value), rows, subok=True))
            for column, spread in self._spread(name).items():
                table[column] = u.Quantity(np.broadcast_to(np.atleast_1d(spread), rows, subok=True))
        for name, values in self._columns().items():
            table[name] = np.atleast_1d(values)
        highest = self.upper_limits() if self._from_zero() else {}
        for name in self._from_zero():
            table[f"{name}_upper_limit"] = np.atleast_1d(highest.get(name, np.nan * self.labels[name].unit))
        table["flags"] = [",".join(one) or "none" for one in flags]
        table["flag_bits"] = np.array([to_bits(one) for one in flags], dtype="i4")
        for name in self._origin:
            table[name] = [str(self.meta.get(name))] * rows
        return table.described()

    def text(self, name: str) -> str:
        """Value and error of a label, to two digits of the error."""
        value, error = self.labels[name].value, self.errors[name].value
        if error == 0:
            return f"{value:g} (fixed)"
        digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-9)))))
        return f"{value:.{digits}f} +- {error:.{digits}f}"

    def _spread(self, name) -> dict[str, u.Quantity]:
        return {f"{name}_error": self.errors[name]}

    def _quality(self) -> list[str]:
        return []

    def _columns(self) -> dict[str, Any]:
        return {}
