"""What is known of the microturbulence of a star of given Teff, log g and [M/H]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri

from ..emulator.labels import Label
from ..physics.microturbulence import Expected, microturbulence
from .priors import Prior

__all__ = ["Microturbulence"]


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
    >>> settings = rvsemu.fitting.Settings(priors={"vmic": Microturbulence(2.0), "resolution": (11900, 150)})
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
        values = np.empty((3, len(sigma)))
        values[0], values[1], values[2] = x, self.lower, self.upper
        z = (values - about.mean) / sigma
        near = np.where(np.isfinite(z), z, 0.0)  # infinite limits have no density, wherever they are
        slopes = np.zeros((*z.shape, 4))  # of z, by x and the labels
        slopes[0, :, 0], slopes[:, :, 1:] = 1.0, -about.mean_slope
        slopes[:, :, 1] -= near * by_teff
        slopes /= sigma[:, None]
        density = np.exp(-0.5 * z[1:] ** 2 - _log_share(z[1], z[2])) / np.sqrt(2 * np.pi)
        first = z[0, :, None] * slopes[0] - density[0, :, None] * slopes[1] + density[1, :, None] * slopes[2]
        first[:, 1] += by_teff / sigma
        return first, slopes[0, :, :, None] * slopes[0, :, None, :]


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
