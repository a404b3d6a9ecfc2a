"""What is known of a label before its spectrum is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import stats

from ..errors import LabelError

__all__ = ["Function", "Normal", "Prior", "TruncatedNormal", "Uniform"]

_STEP = 1e-4  # of the range of a label, for the derivatives of a user's function
_SCAN = 2001  # values of a label at which a user's function is looked at


class Prior:
    """Base of the priors; write your own as a `Function`.

    Values are floats in the unit of the label or Quantities until `plain` has made them floats.
    """

    lower, upper = -np.inf, np.inf
    """Where the density is zero beyond."""

    def plain(self, label) -> Prior:
        """The same with floats in the unit of `label`; raises `LabelError` for what cannot be."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: _limit(label, v) for k, v in values.items()})._checked(label)

    def log_density(self, x) -> np.ndarray:
        """Natural logarithm of the density at `x`, -inf beyond `lower` and `upper`."""
        x = np.asarray(x, dtype=float)
        inside = (x >= self.lower) & (x <= self.upper)
        return np.where(inside, self._log_density(np.where(inside, x, self.centre)), -np.inf)

    def slope(self, x) -> tuple[np.ndarray, np.ndarray]:
        """First derivatives (n,) of ``-log_density`` at `x` (n,), and second ones (0 where they are negative)."""
        raise NotImplementedError

    def spread(self, unit) -> np.ndarray:
        """Values to start from, shape (n,), for numbers `unit` (n,) between 0 and 1."""
        return np.full(len(unit), self.centre)

    def _checked(self, label):
        return self

    def _bad(self, label, what):
        return LabelError(f"prior of {label.name}, {self!r}: {what}.")


def _limit(label, value):
    """Plain float; infinities without a unit are limits."""
    return float(value) if np.isscalar(value) and np.isinf(value) else float(label.value(value))


@dataclass(frozen=True)
class Uniform(Prior):
    """The same density everywhere between two limits.

    Parameters
    ----------
    lower, upper : float or Quantity
    """

    lower: float
    upper: float

    @property
    def centre(self) -> float:
        """A value to start from."""
        return (self.lower + self.upper) / 2

    def slope(self, x):
        """See `Prior.slope`."""
        return np.zeros(len(x)), np.zeros(len(x))

    def spread(self, unit):
        """See `Prior.spread`; where a label begins at zero, as velocities do, most stars are near it."""
        return self.lower + (unit**2 if self.lower == 0 else unit) * (self.upper - self.lower)

    def _log_density(self, x):
        return np.full(np.shape(x), -np.log(self.upper - self.lower))

    def _checked(self, label):
        if not (np.isfinite(self.lower) and np.isfinite(self.upper) and self.lower < self.upper):
            raise self._bad(label, "give a lower and a higher limit")
        return self


@dataclass(frozen=True)
class Normal(Prior):
    """Gaussian.

    Parameters
    ----------
    mean, sigma : float or Quantity
    """

    mean: float
    sigma: float

    @property
    def centre(self) -> float:
        """A value to start from."""
        return self.mean

    def slope(self, x):
        """See `Prior.slope`."""
        return (x - self.mean) / self.sigma**2, np.full(len(x), self.sigma**-2.0)

    def _log_density(self, x):
        return -0.5 * ((x - self.mean) / self.sigma) ** 2 - np.log(np.sqrt(2 * np.pi) * self.sigma)

    def _checked(self, label):
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
    """

    lower: float = -np.inf
    upper: float = np.inf

    @property
    def centre(self) -> float:
        """A value to start from."""
        return float(np.clip(self.mean, self.lower, self.upper))

    def _log_density(self, x):
        limits = (np.array([self.lower, self.upper]) - self.mean) / self.sigma
        return stats.truncnorm.logpdf(x, *limits, loc=self.mean, scale=self.sigma)

    def _checked(self, label):
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
    """

    function: Callable[[np.ndarray], np.ndarray]
    lower: float = -np.inf
    upper: float = np.inf

    def plain(self, label):
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

    def _scanned(self, label, x):
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

    def _edge(self, inside, outside):
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

    def spread(self, unit):
        """See `Prior.spread`: quantiles."""
        x = np.linspace(self.lower, self.upper, _SCAN)
        log_density = self._log_density(x)
        below = np.cumsum(np.exp(log_density - log_density.max()))
        return np.interp(unit, below / below[-1], x)

    def slope(self, x):
        """See `Prior.slope`; by finite differences."""
        h = _STEP * (self.upper - self.lower)
        x = np.clip(x, self.lower + h, self.upper - h)
        low, here, high = -self._log_density(np.array([x - h, x, x + h]))
        with np.errstate(invalid="ignore"):
            first, second = (high - low) / (2 * h), (high - 2 * here + low) / h**2
        known = np.isfinite(first) & np.isfinite(second)
        return np.where(known, first, 0.0), np.where(known, np.maximum(second, 0.0), 0.0)

    def log_density(self, x):
        """See `Prior.log_density`."""
        x = np.asarray(x, dtype=float)
        out = np.full(x.shape, -np.inf)
        inside = (x >= self.lower) & (x <= self.upper)
        if inside.any():
            out[inside] = self._log_density(x[inside])
        return out

    def _log_density(self, x):
        values = np.asarray(self.function(np.ravel(x)), dtype=float).reshape(np.shape(x))
        return np.where(np.isnan(values), -np.inf, values)


def as_prior(given, label) -> Prior:
    """A plain `Prior` from what a user gives.

    Parameters
    ----------
    given : Prior, (mean, sigma), frozen distribution of scipy.stats, or callable
    label : Label
    """
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
