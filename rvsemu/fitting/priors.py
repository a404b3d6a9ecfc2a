"""What is known of a label before its spectrum is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from astropy.units import Quantity
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import log_ndtr, ndtr, ndtri

from ..emulator.labels import Label
from ..errors import LabelError
from ..physics.microturbulence import Expected, microturbulence

__all__ = ["NAMED_PRIORS", "Function", "Microturbulence", "Normal", "Prior", "TruncatedNormal", "Uniform"]

_STEP = 1e-4  # of the range of a label, for the derivatives of a user's function
_SCAN = 2001  # values of a label at which a user's function is looked at


@dataclass(frozen=True)
class Prior:
    """Base of the priors; write your own as a `Function`.

    Values are floats in the unit of the label or Quantities until `plain` has made them floats.
    """

    lower, upper = -np.inf, np.inf
    """Where the density is zero beyond."""

    given: ClassVar[tuple[str, ...]] = ()
    """Names of the labels that it depends on; the first `required` of them an emulator must have."""

    required: ClassVar[int] = 0

    def plain(self, label: Label) -> Prior:
        """The same with floats in the unit of `label`; raises `LabelError` for what cannot be."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: _limit(label, v) for k, v in values.items()})._checked(label)

    def log_density(self, x: ArrayLike) -> np.ndarray:
        """Natural logarithm of the density at `x`, -inf beyond `lower` and `upper`."""
        x = np.asarray(x, dtype=float)
        inside = (x >= self.lower) & (x <= self.upper)
        return np.where(inside, self._log_density(np.where(inside, x, self.centre)), -np.inf)

    def slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First derivatives (n,) of ``-log_density`` at `x` (n,), and second ones (0 where they are negative)."""
        raise NotImplementedError

    @property
    def centre(self) -> float:
        """A value to start from."""
        raise NotImplementedError

    def spread(self, unit: np.ndarray) -> np.ndarray:
        """Values to start from, shape (n,), for numbers `unit` (n,) between 0 and 1."""
        return np.full(len(unit), self.centre)

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        """The logarithm of the density at `x` between `lower` and `upper`."""
        raise NotImplementedError

    def _checked(self, label: Label) -> Prior:
        return self

    def _bad(self, label: Label, what: str) -> LabelError:
        return LabelError(f"prior of {label.name}, {self!r}: {what}.")


def _limit(label: Label, value: ArrayLike | Quantity) -> float:
    """Plain float; infinities without a unit are limits."""
    return float(value if isinstance(value, float | np.floating) and np.isinf(value) else label.value(value))


@dataclass(frozen=True)
class Uniform(Prior):
    """The same density everywhere between two limits.

    Parameters
    ----------
    lower, upper : float or Quantity

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import Uniform
    >>> rvsemu.fitting.Settings(priors={"teff": Uniform(5000, 6000)}).priors
    {'teff': Uniform(lower=5000, upper=6000)}
    >>> Uniform(5000, 6000).log_density([5500, 7000]).round(2)
    array([-6.91,  -inf])
    """

    lower: float
    upper: float

    @property
    def centre(self) -> float:
        """A value to start from."""
        return (self.lower + self.upper) / 2

    def slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Prior.slope`."""
        return np.zeros(len(x)), np.zeros(len(x))

    def spread(self, unit: np.ndarray) -> np.ndarray:
        """See `Prior.spread`; where a label begins at zero, as velocities do, most stars are near it."""
        return self.lower + (unit**2 if self.lower == 0 else unit) * (self.upper - self.lower)

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        return np.full(np.shape(x), -np.log(self.upper - self.lower))

    def _checked(self, label: Label) -> Prior:
        if not (np.isfinite(self.lower) and np.isfinite(self.upper) and self.lower < self.upper):
            raise self._bad(label, "give a lower and a higher limit")
        return self


@dataclass(frozen=True)
class Normal(Prior):
    """Gaussian.

    Parameters
    ----------
    mean, sigma : float or Quantity

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import Normal
    >>> settings = rvsemu.fitting.Settings(priors={"vmic": Normal(1.5, 0.5)})   # or (1.5, 0.5)
    >>> Normal(1.5, 0.5).log_density([1.5, 2.0]).round(2)
    array([-0.23, -0.73])
    """

    mean: float
    sigma: float

    @property
    def centre(self) -> float:
        """A value to start from."""
        return self.mean

    def slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Prior.slope`."""
        return (x - self.mean) / self.sigma**2, np.full(len(x), self.sigma**-2.0)

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        return -0.5 * ((x - self.mean) / self.sigma) ** 2 - np.log(np.sqrt(2 * np.pi) * self.sigma)

    def _checked(self, label: Label) -> Prior:
        if not (np.isfinite(self.mean) and np.isfinite(self.sigma) and self.sigma > 0):
            raise self._bad(label, "sigma must be positive")
        return self


@dataclass(frozen=True)
class TruncatedNormal(Normal):
    """Gaussian between two limits, zero beyond.

    Parameters
    ----------
    mean, sigma : float or Quantity
    lower, upper : float or Quantity

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import TruncatedNormal
    >>> prior = TruncatedNormal(1.0, 0.5, lower=0.5, upper=2.0)
    >>> settings = rvsemu.fitting.Settings(priors={"vmic": prior})
    >>> prior.log_density([1.0, 3.0]).round(2)
    array([-0.03,  -inf])
    """

    lower: float = -np.inf
    upper: float = np.inf

    @property
    def centre(self) -> float:
        """A value to start from."""
        return float(np.clip(self.mean, self.lower, self.upper))

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        limits = (np.array([self.lower, self.upper]) - self.mean) / self.sigma
        return stats.truncnorm.logpdf(x, *limits, loc=self.mean, scale=self.sigma)

    def _checked(self, label: Label) -> Prior:
        if not self.lower < self.upper:
            raise self._bad(label, "give the lower limit first")
        return super()._checked(label)


@dataclass(frozen=True)
class Function(Prior):
    """The logarithm of any density, normalised or not.

    Parameters
    ----------
    function : callable
        From an array of values, floats in the unit of the label, to an array of log densities; -inf where the density
        is zero.
    lower, upper : float or Quantity
        Limits, beyond which the density is zero. Without them they are found, if the density is not narrower than
        1/2000 of the label's range.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import Function
    >>> twice = Function(lambda vsini: -vsini / 20.0)                           # an exponential
    >>> settings = rvsemu.fitting.Settings(priors={"vsini": twice})
    >>> twice.log_density([0.0, 20.0])
    array([ 0., -1.])
    """

    function: Callable[[np.ndarray], np.ndarray]
    lower: float = -np.inf
    upper: float = np.inf

    def plain(self, label: Label) -> Function:
        """See `Prior.plain`; the limits become those between which the density is not zero."""
        lower, upper = max(_limit(label, self.lower), label.lower), min(_limit(label, self.upper), label.upper)
        if not lower < upper:
            raise self._bad(label, f"its limits leave nothing of {label.lower:g} to {label.upper:g}")
        x = np.linspace(lower, upper, _SCAN)
        there = np.flatnonzero(np.isfinite(self._scanned(label, x)))
        if not len(there):
            raise self._bad(label, f"its density is zero everywhere from {lower:g} to {upper:g}: check its unit")
        first, last = there[0], there[-1]
        if first > 0:
            lower = self._edge(x[first], x[first - 1])
        if last < _SCAN - 1:
            upper = self._edge(x[last], x[last + 1])
        if not lower < upper:
            raise self._bad(label, f"it allows {lower:g} alone: hold the label there (fixed=, --fix) instead")
        return replace(self, lower=float(lower), upper=float(upper))

    def _scanned(self, label: Label, x: np.ndarray) -> np.ndarray:
        """Log densities at `x`, once they are known to be such."""
        try:
            values = np.asarray(self.function(x), dtype=float)
        except Exception as e:
            raise self._bad(label, f"it failed with {type(e).__name__}: {e}") from e
        if values.shape != x.shape:
            raise self._bad(label, "from n values it must return n log densities")
        if np.any(values == np.inf):
            raise self._bad(label, f"its log density at {x[values == np.inf][0]:g} is infinite")
        return values

    def _edge(self, inside: float, outside: float) -> float:
        """The last value from `inside` towards `outside` where the density is not zero, by bisection."""
        for _ in range(50):
            middle = (inside + outside) / 2
            if np.isfinite(self._log_density(np.array([middle])))[0]:
                inside = middle
            else:
                outside = middle
        return inside

    @property
    def centre(self) -> float:
        """A value to start from: where the density is highest."""
        x = np.linspace(self.lower, self.upper, _SCAN)
        return float(x[np.argmax(self._log_density(x))])

    def spread(self, unit: np.ndarray) -> np.ndarray:
        """See `Prior.spread`: quantiles."""
        x = np.linspace(self.lower, self.upper, _SCAN)
        log_density = self._log_density(x)
        below = np.cumsum(np.exp(log_density - log_density.max()))
        return np.interp(unit, below / below[-1], x)

    def slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Prior.slope`; by finite differences."""
        h = _STEP * (self.upper - self.lower)
        x = np.clip(x, self.lower + h, self.upper - h)
        low, here, high = -self._log_density(np.array([x - h, x, x + h]))
        with np.errstate(invalid="ignore"):
            first, second = (high - low) / (2 * h), (high - 2 * here + low) / h**2
        known = np.isfinite(first) & np.isfinite(second)
        return np.where(known, first, 0.0), np.where(known, np.maximum(second, 0.0), 0.0)

    def log_density(self, x: ArrayLike) -> np.ndarray:
        """See `Prior.log_density`."""
        x = np.asarray(x, dtype=float)
        out = np.full(x.shape, -np.inf)
        inside = (x >= self.lower) & (x <= self.upper)
        if inside.any():
            out[inside] = self._log_density(x[inside])
        return out

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        values = np.asarray(self.function(np.ravel(x)), dtype=float).reshape(np.shape(x))
        return np.where(np.isnan(values), -np.inf, values)


@dataclass(frozen=True)
class Microturbulence(Prior):
    """What `rvsemu.physics.microturbulence` says of stars of these labels: a Gaussian that Teff, log g and [M/H] move.

    It is cut off at the limits of the label and normalised between them for each star anew, so that on its own it
    makes no Teff, log g or [M/H] more probable than another.

    Parameters
    ----------
    factor : float
        The scatter of the relation is multiplied by it.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.fitting import Microturbulence
    >>> settings = rvsemu.fitting.Settings(priors={"vmic": Microturbulence(2.0), "resolution": (11900, 450)})
    >>> Microturbulence().expected(np.array([5777.0]), np.array([4.44])).round(1)
    array([1.1])
    """

    factor: float = 1.0
    lower: float = field(default=0.0, repr=False, compare=False)
    upper: float = field(default=np.inf, repr=False, compare=False)

    given: ClassVar[tuple[str, ...]] = ("teff", "logg", "mh")
    required: ClassVar[int] = 2

    def plain(self, label: Label) -> Microturbulence:
        """See `Prior.plain`."""
        if label.name != "vmic":
            raise self._bad(label, "it is for vmic alone")
        if not (np.isfinite(self.factor) and self.factor > 0):
            raise self._bad(label, "the factor must be positive")
        return self

    def within(self, lower: float, upper: float) -> Microturbulence:
        """The same, normalised between other limits."""
        return replace(self, lower=float(lower), upper=float(upper))

    @property
    def centre(self) -> float:
        """A value to start from, before anything is known of the star."""
        return float(np.clip(1.0, self.lower, self.upper))

    def expected(self, teff: ArrayLike, logg: ArrayLike, mh: ArrayLike = 0.0) -> np.ndarray:
        """Most probable value (n,) for stars of these labels, each (n,)."""
        return np.clip(_about(teff, logg, mh).mean, self.lower, self.upper)

    def draw(self, rng: np.random.Generator, teff: ArrayLike, logg: ArrayLike, mh: ArrayLike = 0.0) -> np.ndarray:
        """A value (n,) for each of n stars of these labels, by a `numpy.random.Generator`."""
        about = _about(teff, logg, mh)
        sigma = self.factor * about.scatter
        low, high = ((end - about.mean) / sigma for end in (self.lower, self.upper))
        unit = rng.uniform(size=len(sigma))
        return np.clip(about.mean + sigma * ndtri(ndtr(low) + unit * (ndtr(high) - ndtr(low))), self.lower, self.upper)

    def log_density(  # type: ignore[override]  # what it depends on must be given, too
        self, x: ArrayLike, teff: ArrayLike, logg: ArrayLike, mh: ArrayLike = 0.0
    ) -> np.ndarray:
        """See `Prior.log_density`; of `x` (n,) in stars of labels that are each (n,)."""
        x, about = np.asarray(x, dtype=float), _about(teff, logg, mh)
        sigma = self.factor * about.scatter
        out = -0.5 * ((x - about.mean) / sigma) ** 2 - np.log(np.sqrt(2 * np.pi) * sigma)
        out = out - _log_share(*((end - about.mean) / sigma for end in (self.lower, self.upper)))
        return np.where((x >= self.lower) & (x <= self.upper), out, -np.inf)

    def slopes(
        self, x: ArrayLike, teff: ArrayLike, logg: ArrayLike, mh: ArrayLike = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of ``-log_density`` by `x`, Teff, log g and [M/H]: (n, 4), and (n, 4, 4) as in Gauss-Newton.

        The former are those of all of it. The latter are products of the first derivatives of (x - mean) / scatter,
        which are never negative: what the logarithm of scatter and normalisation add is left out.
        """
        about = _about(teff, logg, mh)
        sigma, by_teff = self.factor * about.scatter, self.factor * about.scatter_slope

        def scaled(value: np.ndarray | float, moves: bool) -> tuple[np.ndarray, np.ndarray]:
            """(value - mean) / sigma (n,), and its derivatives (n, 4)."""
            z = (value - about.mean) / sigma
            slope = np.column_stack([np.full(len(z), float(moves)), -about.mean_slope])
            slope[:, 1] -= z * by_teff
            return z, slope / sigma[:, None]

        z, slope = scaled(np.asarray(x, dtype=float), True)
        first = z[:, None] * slope
        first[:, 1] += by_teff / sigma
        share = _log_share(*((end - about.mean) / sigma for end in (self.lower, self.upper)))
        for sign, end in ((-1, self.lower), (1, self.upper)):
            if np.isfinite(end):
                at, moved = scaled(end, False)
                first += sign * (np.exp(-0.5 * at**2 - share) / np.sqrt(2 * np.pi))[:, None] * moved
        return first, slope[:, :, None] * slope[:, None, :]


def _about(*labels: ArrayLike) -> Expected:
    """`microturbulence` of Teff, log g and [M/H]; density and slopes ask for the same one after the other."""
    return _kept(*(np.asarray(x, dtype=float).tobytes() for x in labels))


@lru_cache(maxsize=4)
def _kept(*labels: bytes) -> Expected:
    return microturbulence(*(np.frombuffer(x) for x in labels))


def _log_share(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Logarithm of the part of a Gaussian between `low` and `high` standard deviations, however far out they are."""
    other = low + high > 0  # seen from the other side, so that none is the difference of two numbers next to 1
    low, high = np.where(other, -high, low), np.where(other, -low, high)
    return log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))


NAMED_PRIORS: dict[str, dict[str, Prior]] = {
    "vmic": {"relation": Microturbulence(), "wide": Normal(1.5, 0.8)},
    "resolution": {"gaia-rvs": Normal(11900.0, 450.0)},
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
