"""Stellar labels: names, units, bounds, scaling, and the one place where units are taken off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from functools import cached_property, lru_cache
from math import isfinite
from numbers import Real
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from .._frozen import frozen, read_only
from ..errors import LabelError
from .regions import Region

__all__ = ["ALPHA", "PAPER_LABELS", "UNITS", "Label", "LabelSpace", "check_unit", "is_signed", "lost"]

_NEAR = 1e-9  # dex: rounding
_SINGLE = 6  # decimals: numbers of single precision are rounded to these
_MOST_SETS = 10_000_000
_ABSURD = 100.0  # times the limits of a label: networks overflow, and nothing there is a star
_DRAWS = 1000  # of labels, before regions count as too thin to be met
_Function: TypeAlias = Callable[[np.ndarray], np.ndarray]

_EVEN = 10.0
"""Where 'even' passes from the square of a label to its logarithm, in the unit of the label."""

#: name -> (function, derivative, inverse)
_TRANSFORMS: dict[str, tuple[_Function, _Function, _Function]] = {
    "linear": (lambda x: x, lambda x: np.ones_like(x), lambda y: y),
    "log": (np.log, lambda x: 1.0 / x, np.exp),
    "even": (
        lambda x: np.log1p((x / _EVEN) ** 2),
        lambda x: 2.0 * x / (_EVEN**2 + x**2),
        lambda y: _EVEN * np.sqrt(np.expm1(np.maximum(y, 0.0))),
    ),
}


def lost(x: ArrayLike | u.Quantity, nested: bool = False) -> str:
    """What NumPy would drop without a word from an array, or a list of them, with a remedy; or nothing.

    Units are not dropped from what is not `nested` in a list.
    """
    if isinstance(x, list | tuple):
        return next((what for one in x if (what := lost(one, nested=True))), "")
    if isinstance(x, float | int):
        return ""
    mask = getattr(x, "mask", False)
    if not callable(mask) and np.any(mask):
        return "masked values: leave these rows out or fill them"
    if nested and getattr(x, "unit", None) is not None and np.ndim(x):
        return "a list of arrays with units: make one array of them first, with astropy.units.Quantity"
    return ""


def _joined(x: ArrayLike | u.Quantity) -> ArrayLike | u.Quantity:
    """One Quantity of a list of some with the same kind of unit; all else as it is."""
    if isinstance(x, list | tuple) and any(isinstance(one, u.Quantity) for one in x):
        with suppress(TypeError, ValueError):
            return u.Quantity(x)
    return x


def _floats(x: ArrayLike) -> np.ndarray:
    """As NumPy makes them, but not of complex numbers, times and tables."""
    given = np.asarray(x)
    if given.dtype.kind in "cmMV":
        raise TypeError(f"no real numbers but {given.dtype}")
    return np.asarray(given, dtype=float)


@lru_cache(maxsize=32)
def _unit(text: str) -> u.UnitBase:
    """A unit of astropy, which takes 0.2 ms to read one; a `ValueError` if there is none of that name."""
    try:
        return u.Unit(text)
    except (TypeError, ValueError):
        raise ValueError(f"'{text}' is no unit") from None


@frozen
class Label:
    """One label: its name, unit, allowed range, and the function of it that a network sees.

    Parameters
    ----------
    name : str
        The field's name of it, e.g. ``"teff"``.
    unit : str
        Unit of the plain floats used inside rvsemu, in astropy's spelling; ``""`` for a pure number.
    lower, upper : float
        The training domain, in `unit`.
    transform : {'linear', 'log', 'even'}
        Applied before the range is mapped to [-1, 1] for the network. 'even' is ln(1 + (x / 10)^2), for labels such as
        v sin i that act by their square: it is quadratic near 0, where spectra do not depend on them to first order.
    description : str
        For help texts and tables.

    Raises
    ------
    ValueError
        The name is no identifier, the unit is unknown, the range is empty or not finite, or there is no such transform
        or none of its lower limit.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from rvsemu.emulator.labels import Label
    >>> teff = Label("teff", "K", 3600, 15000, transform="log")
    >>> float(teff.value(0.5778 * u.kK))
    577.8
    >>> teff.scaled(np.array([3600, 15000])).round(6)
    array([-1.,  1.])
    """

    name: str
    unit: str
    lower: float
    upper: float
    transform: str = "linear"
    description: str = ""

    def __post_init__(self) -> None:
        words = (self.name, self.unit, self.transform, self.description)
        if not (all(isinstance(word, str) for word in words) and self.name.isidentifier()):
            raise ValueError(f"a label has the name {self.name!r}, or a property that is no text")
        _unit(self.unit)
        if not all(isinstance(x, Real) and isfinite(x) for x in (self.lower, self.upper)):
            raise ValueError(f"label {self.name}: its limits {self.lower!r} and {self.upper!r} are no finite numbers")
        if self.transform not in _TRANSFORMS or not self.lower < self.upper:
            raise ValueError(f"label {self.name}: unknown transform '{self.transform}' or empty range")
        if (self.transform == "even" and self.lower < 0) or (self.transform == "log" and self.lower <= 0):
            raise ValueError(f"label {self.name}: transform '{self.transform}' has no values from {self.lower:g} on")

    def value(self, x: ArrayLike | u.Quantity) -> np.ndarray:
        """Plain floats of `x` in this label's unit; a Quantity of the wrong kind is a `LabelError`.

        A table column with a unit counts as a Quantity; masked values are errors. Of single precision, 0.1 is 0.1, and
        not 0.10000000149.
        """
        if what := lost(x):
            raise LabelError(f"{self.name} has {what}.")
        x = _joined(x)
        unit = getattr(x, "unit", None)
        if unit is not None:
            x = self._strip(x if isinstance(x, u.Quantity) else np.asarray(x) * unit)
        try:
            out = _floats(x)
        except (TypeError, ValueError):
            raise LabelError(f"{self.name}={x!r} is not a number: give {self._expects()}.") from None
        if not np.all(np.isfinite(out)):
            bad = np.asarray(x, dtype=object)[~np.isfinite(out)].flat[0]  # None, too, is NaN among floats
            raise LabelError(f"{self.name}={bad} is not finite: give {self._expects()}.")
        return np.round(out, _SINGLE) if np.asarray(x).dtype == np.float32 else out

    def _strip(self, x: u.Quantity) -> np.ndarray:
        plain = x.unit.is_equivalent(u.dimensionless_unscaled)
        if isinstance(x.unit, u.LogUnit) or x.unit == u.dex:  # decibels and magnitudes are no labels
            plain = x.unit == u.dex and self.unit == "dex"
        if self.name == "logg" and isinstance(x.unit, u.DexUnit):
            try:
                return x.to_value(u.dex(u.cm / u.s**2))
            except u.UnitConversionError:
                plain = False
        if self.unit in ("", "dex"):
            if plain:
                return x.value if x.unit == u.dex else x.to_value(u.dimensionless_unscaled)
        elif x.unit.is_equivalent(self.unit):
            return x.to_value(self.unit)
        first = np.ravel(x.value)[0] if x.size else ""
        raise LabelError(f"{self.name}={first} has the unit '{x.unit}': give {self._expects()}.")

    def _expects(self) -> str:
        kind = f"in {self.unit}" if self.unit else "without a unit"
        return f"a value {kind} within {self.lower:g} to {self.upper:g}"

    def check(self, values: np.ndarray) -> None:
        """Raise `LabelError` at the first value outside the domain."""
        outside = (values < self.lower) | (values > self.upper)
        if np.any(outside):
            bad = values[outside].flat[0]
            unit = f" {self.unit}" if self.unit else ""
            shown = next(text for text in (f"{bad:.10g}", f"{bad:.17g}") if not self.lower <= float(text) <= self.upper)
            raise LabelError(
                f"{self.name}={shown}{unit} is outside {self.lower:g} to {self.upper:g}{unit}: "
                "choose a value inside, or allow extrapolation (extrapolate=True, --extrapolate)."
            )

    def check_scale(self, values: np.ndarray) -> None:
        """Raise `LabelError` at the first value without a logarithm, if the network sees that, or far too large."""
        impossible = values <= 0
        if self.transform == "log" and np.any(impossible):
            bad = values[impossible].flat[0]
            raise LabelError(f"{self.name}={bad:.10g} is not positive: give {self._expects()}.")
        absurd = np.abs(values) > _ABSURD * max(abs(self.lower), abs(self.upper))
        if np.any(absurd):
            bad = values[absurd].flat[0]
            raise LabelError(f"{self.name}={bad:.10g} is too far away to be extrapolated to: give {self._expects()}.")

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Map the domain to [-1, 1] (after `transform`)."""
        middle, half = self._scale
        return (_TRANSFORMS[self.transform][0](values) - middle) / half

    def unscaled(self, scaled: np.ndarray) -> np.ndarray:
        """The inverse of `scaled`, exact at the limits."""
        middle, half = self._scale
        values = _TRANSFORMS[self.transform][2](middle + half * scaled)
        return np.where(scaled == -1.0, self.lower, np.where(scaled == 1.0, self.upper, values))

    def slope(self, values: np.ndarray) -> np.ndarray:
        """Derivative of `scaled` with respect to the label."""
        return _TRANSFORMS[self.transform][1](values) / self._scale[1]

    @cached_property
    def _scale(self) -> tuple[float, float]:
        low, high = (float(_TRANSFORMS[self.transform][0](np.asarray(v))) for v in (self.lower, self.upper))
        return (low + high) / 2, (high - low) / 2


def is_signed(name: str, unit: str) -> bool:
    """Whether 0 is a value like any other of a label, and something lies below it: of logarithms and radial velocities.

    Of all others, such as v sin i, nothing does.

    Examples
    --------
    >>> from rvsemu.emulator.labels import is_signed
    >>> is_signed("mh", "dex"), is_signed("radial_velocity", "km/s"), is_signed("vsini", "km/s")
    (True, True, False)
    """
    return unit == "dex" or name.startswith("radial_velocity")


PAPER_LABELS = (
    Label("teff", "K", 3600.0, 15000.0, description="effective temperature"),
    Label("logg", "dex", 2.0, 5.0, description="surface gravity, log10 of cm/s2"),
    Label("vsini", "km/s", 0.0, 300.0, description="projected equatorial rotational velocity"),
    Label("mh", "dex", -1.5, 1.5, description="metallicity [M/H]"),
    Label("vmic", "km/s", 0.0, 4.0, description="microturbulent velocity"),
    Label("resolution", "", 5000.0, 14500.0, description="resolving power lambda / FWHM"),
)
"""The labels and ranges of Gebran (2024), Table 1."""

ALPHA = Label("alpha", "dex", -0.2, 0.6, description="[alpha/M]: O, Ne, Mg, Si, S, Ar, Ca and Ti, beyond [M/H]")
"""What the paper's labels lack; an emulator may have it, and 0 is meant where it is not given."""

UNITS = MappingProxyType({label.name: label.unit for label in (*PAPER_LABELS, ALPHA)})
"""Those of well-known labels, by name."""


def check_unit(name: str, unit: str) -> None:
    """Raise `ValueError` unless a label of that name can have the unit: any known one, or its own if it is in `UNITS`.

    Examples
    --------
    >>> from rvsemu.emulator.labels import check_unit
    >>> check_unit("vsini", "km s-1")
    >>> check_unit("teff", "km/s")
    Traceback (most recent call last):
    ...
    ValueError: label teff has the unit 'km/s' instead of 'K'
    """
    if _unit(unit) != _unit(UNITS.get(name, unit)):
        raise ValueError(f"label {name} has the unit '{unit}' instead of '{UNITS[name]}'")


@frozen
class LabelSpace:
    """The labels of an emulator, in order.

    Parameters
    ----------
    labels : sequence of Label
        Default: the six labels of Gebran (2024), Table 1.
    lowest_logg : sequence of (float, float)
        Where the domain is no box: teff (K), increasing, and the lowest logg there, linear between these nodes and
        constant beyond; nowhere below the label's own limit.
    regions : sequence of Region
        Where the domain is of several regions: labels are inside if they are in one of them. None: one box.
    constant_alpha : float
        Where `ALPHA` is no label: [alpha/M] of all spectra.

    Raises
    ------
    ValueError
        There are no labels, or two of a name; or there are such nodes, or regions that have them, and no labels teff
        and logg, their teff does not increase, or a number is not finite.

    Examples
    --------
    >>> from rvsemu.emulator.labels import LabelSpace
    >>> space = LabelSpace()
    >>> space.names
    ('teff', 'logg', 'vsini', 'mh', 'vmic', 'resolution')
    >>> space.values(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1, resolution=11500).shape
    (6,)
    """

    labels: tuple[Label, ...] = PAPER_LABELS
    lowest_logg: tuple[tuple[float, float], ...] = ()
    regions: tuple[Region, ...] = ()
    constant_alpha: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.names)) < len(self.names):
            raise ValueError(f"there are no labels or two of a name: {', '.join(self.names)}")
        curved = self.lowest_logg or any(region.lowest_logg for region in self.regions)
        if curved and not ({"teff", "logg"} <= set(self.names) and np.all(np.diff(self._nodes[0]) > 0)):
            raise ValueError("lowest_logg needs the labels teff and logg, and nodes whose teff increases")
        if not (np.isfinite(self._nodes).all() and isfinite(self.constant_alpha)):
            raise ValueError("lowest_logg or constant_alpha is not finite")

    @cached_property
    def _nodes(self) -> np.ndarray:
        """teff and logg (2, k) of the nodes."""
        return np.reshape(np.array(self.lowest_logg, dtype=float), (-1, 2)).T

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def lower(self) -> np.ndarray:
        """Lower limits of the labels, shape (n_labels,), read-only."""
        return read_only(np.array([label.lower for label in self.labels]))

    @cached_property
    def upper(self) -> np.ndarray:
        """Upper limits of the labels, shape (n_labels,), read-only."""
        return read_only(np.array([label.upper for label in self.labels]))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, name: str) -> Label:
        if name not in self.names:
            raise LabelError(f"There is no label '{name}': the labels are {', '.join(self.names)}.")
        return self.labels[self.names.index(name)]

    def values(self, extrapolate: bool = False, **labels: ArrayLike | u.Quantity) -> np.ndarray:
        """Plain float array, shape (..., n_labels), of labels that broadcast against each other.

        Parameters
        ----------
        extrapolate : bool
            Allow values outside the training domain.
        **labels : float, array or Quantity
            Every label of the space, by name; [alpha/M] is 0 if it is missing.

        Raises
        ------
        LabelError
            A label is missing, unknown, not finite, of the wrong unit, outside the domain, the shapes
            do not broadcast, there are more than 10 million sets of labels, or `extrapolate` is neither True nor False.
        """
        if not isinstance(extrapolate, bool | np.bool_):
            raise LabelError(f"extrapolate={extrapolate!r}: give True or False.")
        labels = {**({ALPHA.name: 0.0} if ALPHA.name in self.names else {}), **labels}
        missing = [name for name in self.names if name not in labels]
        if missing:
            raise LabelError(f"{missing[0]} is missing: give all of {', '.join(self.names)}.")
        given = {name: self[name].value(x) for name, x in labels.items()}
        try:
            columns = np.broadcast_arrays(*(given[name] for name in self.names))
        except ValueError:
            shapes = ", ".join(f"{n} {np.shape(labels[n])}" for n in self.names)
            raise LabelError(f"The labels do not broadcast: {shapes}. Give scalars or equal shapes.") from None
        if columns[0].size > _MOST_SETS:
            raise LabelError(
                f"The labels broadcast to the shape {columns[0].shape}: give at most {_MOST_SETS} sets at once, "
                "in a loop over parts."
            )
        for label, column in zip(self.labels, columns, strict=True):
            if extrapolate:
                label.check_scale(column)
            else:
                label.check(column)
        values = np.stack(columns, axis=-1).astype(float)
        if not extrapolate:
            self.check_edge(values)
        return values

    def rows(self, labels: ArrayLike) -> np.ndarray:
        """Plain labels as floats (n, n_labels), one row per star, which a network can take; not held to the domain.

        Raises
        ------
        LabelError
            `labels` have another shape, a unit, or values that are masked, not numbers, or not finite.
        """
        expected = f"give plain numbers of the shape (n, {len(self)}), one row per star with {', '.join(self.names)}"
        try:
            if getattr(labels, "unit", None) is not None or lost(labels):
                raise TypeError
            out = np.atleast_2d(_floats(labels))
        except (TypeError, ValueError):
            raise LabelError(f"labels={str(labels)[:60]} are not an array of plain numbers: {expected}.") from None
        if out.ndim != 2 or out.shape[1] != len(self):
            raise LabelError(f"labels have the shape {np.shape(labels)}: {expected}.")
        if not np.isfinite(out).all():
            row, i = np.argwhere(~np.isfinite(out))[0]
            raise LabelError(f"labels have {self.names[i]}={out[row, i]}: {expected}, all finite.")
        logarithms = self._transformed.get("log", [])
        if (out[:, logarithms] <= 0).any():
            for i in logarithms:
                self.labels[i].check_scale(out[:, i])
        return out

    def inside(self, values: np.ndarray) -> np.ndarray:
        """True where a row of `values`, shape (..., n_labels), lies in the training domain."""
        return np.all((values >= self.floor(values)) & (values <= self.upper), axis=-1) & self._in_regions(values)

    def _in_regions(self, values: np.ndarray) -> np.ndarray:
        """True where a row of `values`, shape (..., n_labels), lies in one of the regions, or there are none."""
        if not self.regions:
            return np.ones(np.shape(values)[:-1], dtype=bool)
        limited = [i for i, name in enumerate(self.names) if any(name in region.limits for region in self.regions)]
        rows, names = np.reshape(values, (-1, len(self)))[:, limited], [self.names[i] for i in limited]
        return np.any([region.inside(rows, names) for region in self.regions], axis=0).reshape(np.shape(values)[:-1])

    def lowest(self, teff: np.ndarray) -> np.ndarray:
        """Lowest logg of the domain at `teff`, of the same shape."""
        lower = self["logg"].lower
        return np.maximum(lower, np.interp(teff, *self._nodes)) if self.lowest_logg else np.full(np.shape(teff), lower)

    def floor(self, values: np.ndarray) -> np.ndarray:
        """Lower limits of the labels of each row of `values`, both of the shape (..., n_labels)."""
        out = np.broadcast_to(self.lower, np.shape(values))
        if self.lowest_logg:
            out = out.copy()
            out[..., self.names.index("logg")] = self.lowest(values[..., self.names.index("teff")])
        return out

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """`values` (..., n_labels) moved into the domain, each label by itself."""
        inside = np.clip(values, self.lower, self.upper)
        return np.maximum(inside, self.floor(inside))

    def squeezed(self, values: np.ndarray) -> np.ndarray:
        """Rows (..., n_labels) of the box with logg squeezed linearly into what the domain has of it at their teff."""
        share = (self.upper - self.floor(values)) / (self.upper - self.lower)
        return self.upper - (self.upper - values) * share

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Labels (n, n_labels) that are random in the domain: uniform, logg at each teff.

        Raises
        ------
        LabelError
            The regions are so small a part of the box of all labels that drawing hardly ever meets them.
        """
        out = np.empty((0, len(self)))
        for _ in range(_DRAWS):
            if len(out) >= n:
                return out
            labels = self.squeezed(self.lower + (self.upper - self.lower) * rng.random((max(n, 100), len(self))))
            out = np.concatenate([out, labels[self._in_regions(labels)]])[:n]
        raise LabelError(f"labels cannot be drawn: the regions {'; '.join(map(str, self.regions))} are too thin.")

    def check_edge(self, values: np.ndarray) -> None:
        """Raise `LabelError` at the first of `values` (..., n_labels) that the domain lacks although it is in its box.

        That is if logg is too low for its teff, or if the labels are in none of the regions.
        """
        low = np.empty((0, values.ndim - 1), dtype=int)
        if self.lowest_logg:
            low = np.argwhere(np.any(values < self.floor(values), axis=-1))
        if len(low):
            row = dict(zip(self.names, values[tuple(low[0])], strict=True))
            raise LabelError(
                f"logg={row['logg']:.10g} dex is below {self.lowest(row['teff']):.3g} dex, the lowest at "
                f"teff={row['teff']:.10g} K: choose a value inside, or allow extrapolation (extrapolate=True, "
                "--extrapolate)."
            )
        away = np.argwhere(~self._in_regions(values))
        if len(away):
            row = dict(zip(self.names, values[tuple(away[0])], strict=True))
            said = ", ".join(f"{name}={row[name]:.10g}" for name in self.names if name not in ("vsini", "resolution"))
            raise LabelError(
                f"{said} are in none of the regions that the emulator was trained in: "
                f"{'; or '.join(map(str, self.regions))}. Choose values in one of them, or allow extrapolation "
                "(extrapolate=True, --extrapolate)."
            )

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """What the network sees: each label's domain mapped to [-1, 1]. Shape is kept."""
        out = np.array(values, dtype=float)
        for transform, columns in self._transformed.items():
            out[..., columns] = _TRANSFORMS[transform][0](out[..., columns])
        middle, half = self._scales
        return (out - middle) / half

    @cached_property
    def _transformed(self) -> dict[str, list[int]]:
        """By transform, if it is not linear, the numbers of its labels."""
        kinds = [label.transform for label in self.labels]
        return {kind: [i for i, own in enumerate(kinds) if own == kind] for kind in kinds if kind != "linear"}

    @cached_property
    def _scales(self) -> np.ndarray:
        """Middle and half width (2, n_labels) of the transformed domains."""
        return np.transpose([label._scale for label in self.labels])

    def unscaled(self, scaled: np.ndarray) -> np.ndarray:
        """Label values of what the network sees: the inverse of `scaled`."""
        return np.stack([lab.unscaled(scaled[..., i]) for i, lab in enumerate(self.labels)], axis=-1)

    def slope(self, values: np.ndarray) -> np.ndarray:
        """d scaled / d label, same shape as `values` (the scaling acts on each label alone)."""
        out = np.ones(np.shape(values))
        for transform, columns in self._transformed.items():
            out[..., columns] = _TRANSFORMS[transform][1](values[..., columns])
        return out / self._scales[1]

    def alpha(self, value: ArrayLike | u.Quantity) -> dict[str, ArrayLike | u.Quantity]:
        """[alpha/M] by its name where it is a label here; nothing where it is none and has its one value.

        Raises
        ------
        LabelError
            It is no label, and not `constant_alpha`.
        """
        if ALPHA.name in self.names:
            return {ALPHA.name: value}
        own = self.constant_alpha
        if np.any(np.abs(ALPHA.value(value) - own) > _NEAR):
            remedy = f"give alpha={own:g}" if own else "leave alpha away"
            raise LabelError(
                f"alpha={value!s}: this emulator has no label alpha, its spectra are those of [alpha/M] = {own:g}; "
                f"{remedy}, or choose another emulator (emulator=, --emulator)."
            )
        return {}

    def quantity(self, name: str, value: ArrayLike) -> u.Quantity:
        """`value` of label `name` with its unit."""
        return u.Quantity(value, _unit(self[name].unit))
