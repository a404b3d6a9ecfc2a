"""What a fit may change: which labels are free, which are fixed, their bounds and Gaussian priors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import LabelError
from ..labels import Label, LabelSpace

__all__ = ["DEFAULT_PRIORS", "RADIAL_VELOCITY", "Parameters"]

RADIAL_VELOCITY = "radial_velocity"

DEFAULT_PRIORS = {"resolution": (11900.0, 450.0), "vmic": (1.5, 0.8)}
"""Mean and sigma of the Gaussian priors used unless told otherwise, for Gaia RVS spectra.

Resolution and microturbulence are nearly degenerate with each other and with the strength of all
lines. The resolution of the RVS was measured to be 10,983-12,587 over the field of view, mean 11,891
(on the instrument see Cropper et al. 2018, A&A 616, A5); microturbulence is 0.5-3 km/s for most stars
of spectral types A to K.
"""

_BEYOND = 0.1  # with extrapolate=True, free labels may leave the domain by this part of its width


@dataclass(frozen=True)
class Parameters:
    """The emulator's labels and the radial velocity, in that order.

    Parameters
    ----------
    space : LabelSpace
        Names, units and domains, the radial velocity last.
    fixed : ndarray, shape (n,)
        Value of each fixed parameter, NaN for the free ones.
    lower, upper : ndarray, shape (n,)
        Bounds of the free ones.
    mean, sigma : ndarray, shape (n,)
        Gaussian priors; sigma is infinite for none.

    Examples
    --------
    >>> from rvsemu.inference.parameters import Parameters
    >>> from rvsemu.labels import LabelSpace
    >>> parameters = Parameters.make(LabelSpace(), fixed={"vmic": 1.0}, priors={"resolution": (11500, 500)})
    >>> parameters.free_names
    ('teff', 'logg', 'vsini', 'mh', 'resolution', 'radial_velocity')
    """

    space: LabelSpace
    fixed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray

    @classmethod
    def make(cls, labels, fixed=None, priors=None, radial_velocity=(-100.0, 100.0), extrapolate=False):
        """Parameters from the arguments of `rvsemu.fit`.

        Raises
        ------
        LabelError
            A name, value, unit or range is wrong, a label is both fixed and has a prior, or all are fixed.
        """
        fixed = dict(fixed or {})
        bounds = _velocity_bounds(radial_velocity)
        if len(bounds) == 1:
            fixed.setdefault(RADIAL_VELOCITY, bounds[0])
            bounds = bounds[0] + np.array([-1.0, 1.0])  # a domain for the label; nothing moves in it
        velocity = Label(RADIAL_VELOCITY, "km/s", bounds[0], bounds[-1], description="radial velocity")
        space = LabelSpace((*labels.labels, velocity))
        values = _fixed_values(space, fixed, extrapolate)
        if not np.isnan(values).any():
            raise LabelError("All labels are fixed: leave at least one free, or use generate.")
        lower, upper = space.lower.copy(), space.upper.copy()
        if extrapolate:
            beyond = _BEYOND * (upper - lower)
            upper[:-1] += beyond[:-1]
            lower[:-1] = np.where(lower == 0, 0, lower - beyond)[:-1]  # what starts at 0 cannot be negative
        mean, sigma = _priors(space, values, priors)
        return cls(space, values, lower, upper, mean, sigma)

    @property
    def free(self) -> np.ndarray:
        """Indices of the free parameters."""
        return np.flatnonzero(np.isnan(self.fixed))

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the free parameters, the order of every free vector and of the covariance."""
        return tuple(self.space.names[i] for i in self.free)

    def full(self, free_values) -> np.ndarray:
        """All values (..., n) from those of the free ones (..., n_free)."""
        free_values = np.asarray(free_values, dtype=float)
        out = np.broadcast_to(self.fixed, (*free_values.shape[:-1], len(self.fixed))).copy()
        out[..., self.free] = free_values
        return out

    @property
    def velocities(self) -> tuple[float, float]:
        """Lowest and highest radial velocity a fit can try, km/s."""
        value = self.fixed[-1]
        return (self.lower[-1], self.upper[-1]) if np.isnan(value) else (value, value)


def _velocity_bounds(radial_velocity) -> np.ndarray:
    label = Label(RADIAL_VELOCITY, "km/s", -np.inf, np.inf)
    pair = isinstance(radial_velocity, tuple | list)
    out = np.atleast_1d([label.value(v) for v in radial_velocity] if pair else label.value(radial_velocity))
    if out.shape not in ((1,), (2,)) or (len(out) == 2 and not out[0] < out[1]):
        raise LabelError(f"radial_velocity={radial_velocity}: give (lowest, highest) in km/s, or one number to fix it.")
    return out


def _fixed_values(space, fixed, extrapolate) -> np.ndarray:
    out = np.full(len(space), np.nan)
    for name, value in fixed.items():
        label = space[name]
        plain = label.value(value)
        if plain.ndim:
            raise LabelError(f"fixed {name}={value}: give one number.")
        if not extrapolate and name != RADIAL_VELOCITY:
            label.check(plain)
        out[space.names.index(name)] = plain
    return out


def _priors(space, fixed, priors) -> tuple[np.ndarray, np.ndarray]:
    mean, sigma = np.zeros(len(space)), np.full(len(space), np.inf)
    default = priors is None
    for name, given in (DEFAULT_PRIORS if default else priors).items():
        if default and (name not in space.names or not np.isnan(fixed[space.names.index(name)])):
            continue
        label, i = space[name], space.names.index(name)
        if not np.isnan(fixed[i]):
            raise LabelError(f"{name} is fixed and has a prior: choose one.")
        try:
            centre, width = given
        except (TypeError, ValueError):
            raise LabelError(f"prior {name}={given!r}: give (mean, sigma).") from None
        mean[i], sigma[i] = label.value(centre), label.value(width)
        if not sigma[i] > 0:
            raise LabelError(f"prior {name}=({mean[i]:g}, {sigma[i]:g}): sigma must be positive.")
    return mean, sigma
