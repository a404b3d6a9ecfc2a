"""What is known of a label before its spectrum is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
from astropy.units import Quantity
from numpy.typing import ArrayLike
from scipy import stats

from ..emulator.labels import Label
from ..errors import LabelError

__all__ = ["Function", "Normal", "Prior", "TruncatedNormal", "Uniform"]

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
