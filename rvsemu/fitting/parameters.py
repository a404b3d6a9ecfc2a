"""What a fit may change: which labels are free, which are fixed, their bounds and priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
from astropy.units import Quantity
from numpy.typing import ArrayLike

from ..emulator.labels import ALPHA, Label, LabelSpace, is_signed
from ..errors import LabelError
from .given_priors import as_prior
from .levenberg_marquardt import Box
from .priors import Normal, Prior, TruncatedNormal, Uniform
from .resolution_prior import RvsResolution
from .vmic_prior import Microturbulence

__all__ = ["DEFAULT_PRIORS", "LOG_JITTER", "RADIAL_VELOCITY", "Parameters", "default_priors"]

RADIAL_VELOCITY = "radial_velocity"
LOG_JITTER = "log_jitter"

DEFAULT_PRIORS: dict[str, Any] = {"resolution": RvsResolution(), "vmic": Microturbulence()}
"""Priors used unless told otherwise, for Gaia RVS spectra. That of the resolution is left out for an emulator whose
resolutions are others.

Resolution and microturbulence are nearly degenerate with each other and with the strength of all lines. The resolution
is what was measured, 11,900 +- 150, and less certain for spectra of few transits: see `RvsResolution`. Microturbulence
follows published relations with Teff, log g and [M/H], with their scatter: see `Microturbulence`. For an emulator
without Teff or log g it is a Gaussian, 1.5 +- 0.8 km/s. All other labels are uniform in their bounds.
"""

_FASTEST = 3000.0  # km/s: beyond, nothing of the emulator's range is left in the pixels of the RVS
_ANY = 100.0  # km/s about a velocity that is held: a range that says nothing, so that the spectrum may dispute it
_SCAN = 4001  # values of teff at which the lowest logg is looked at
_BEYOND = 0.1  # with extrapolate=True, free labels may leave the domain by this part of its width
_LOG_JITTER = Label(LOG_JITTER, "", -14.0, -2.0, description="natural logarithm of extra white noise / continuum")


@dataclass(frozen=True)
class Parameters:
    """The emulator's labels, the radial velocity and, where asked for, the jitter, in that order.

    Parameters
    ----------
    space : LabelSpace
        Names, units and domains.
    fixed : ndarray, shape (n,)
        Value of each fixed parameter, NaN for the free ones.
    lower, upper : ndarray, shape (n,)
        Bounds of the free ones: their domains, or what the priors leave of them.
    priors : tuple of Prior
        Of each parameter; None for the fixed ones.

    Examples
    --------
    >>> from rvsemu.fitting.parameters import Parameters
    >>> from rvsemu.emulator.labels import LabelSpace
    >>> parameters = Parameters.make(LabelSpace(), fixed={"vmic": 1.0}, priors={"resolution": (11500, 500)})
    >>> parameters.free_names
    ('teff', 'logg', 'vsini', 'mh', 'resolution', 'radial_velocity')
    """

    space: LabelSpace
    fixed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    priors: tuple[Prior | None, ...]

    @classmethod
    def make(
        cls,
        labels: LabelSpace,
        fixed: Mapping[str, Any] | None = None,
        priors: Mapping[str, Any] | None = None,
        radial_velocity: tuple[float, float] | float | Quantity = (-100.0, 100.0),
        extrapolate: bool = False,
        free_jitter: bool = False,
    ) -> Parameters:
        """Parameters from the arguments of `rvsemu.fit`.

        Raises
        ------
        LabelError
            A name, value, unit or range is wrong, a label is both fixed and has a prior, or all are fixed.
        """
        fixed = _mapping("fixed", fixed, "{'vmic': 1.0}")
        if ALPHA.name not in labels.names:
            labels.alpha(fixed.pop(ALPHA.name, labels.constant_alpha))
        elif ALPHA.name not in (priors or {}):
            fixed.setdefault(ALPHA.name, 0.0)
        if isinstance(fixed.get(ALPHA.name), str) and fixed[ALPHA.name] == "free":
            del fixed[ALPHA.name]
        priors = priors if priors is None else _mapping("priors", priors, "{'vmic': (1.5, 0.5)}")
        bounds = _velocity_bounds(radial_velocity)
        if len(bounds) == 1:
            fixed.setdefault(RADIAL_VELOCITY, bounds[0])
            bounds = bounds[0] + np.array([-_ANY, _ANY])  # a domain for the label; nothing moves in it
        velocity = Label(RADIAL_VELOCITY, "km/s", bounds[0], bounds[-1], description="radial velocity")
        space = LabelSpace((*labels.labels, velocity, *([_LOG_JITTER] if free_jitter else ())), labels.lowest_logg)
        n = len(labels)
        if LOG_JITTER in fixed:
            raise LabelError(f"fixed {LOG_JITTER}={fixed[LOG_JITTER]}: jitter= takes the number itself, not 'free'.")
        values = _fixed_values(space, fixed, extrapolate)
        if not np.isnan(values[: n + 1]).any():
            raise LabelError("All labels are fixed: leave at least one free, or use generate.")
        lower, upper = space.lower.copy(), space.upper.copy()
        if extrapolate:
            beyond = _BEYOND * (upper - lower)
            upper[:n] += beyond[:n]
            held = (lower == 0) & ~_signed(space)  # what starts at 0 cannot be negative, but logarithms can
            lower[:n] = np.where(held, 0, lower - beyond)[:n]
        _hold_to_edge(space, values, lower, upper, extrapolate)
        return cls(space, values, *_priors(space, values, lower, upper, priors))

    @classmethod
    def joined(cls, each: Sequence[Parameters]) -> Parameters:
        """The labels of the first of `each` (sequence of Parameters), and the radial velocity of every one of them.

        The velocities are named ``radial_velocity_0``, ``radial_velocity_1``, ... and are free if the first one is.
        """
        first, at = each[0], each[0].velocity
        velocities = (replace(one.space.labels[at], name=f"{RADIAL_VELOCITY}_{i}") for i, one in enumerate(each))
        space = LabelSpace((*first.space.labels[:at], *velocities), first.space.lowest_logg)
        fixed, lower, upper = (
            np.append(getattr(first, name)[:at], [getattr(one, name)[at] for one in each])
            for name in ("fixed", "lower", "upper")
        )
        return cls(space, fixed, lower, upper, (*first.priors[:at], *(one.priors[at] for one in each)))

    def within(self, velocities: tuple[float, float]) -> Parameters:
        """The same where the radial velocity, if it is free, has narrower bounds (lowest, highest) in km/s."""
        if velocities == self.velocities:
            return self
        lower, upper = self.lower.copy(), self.upper.copy()
        lower[self.velocity], upper[self.velocity] = velocities
        return replace(self, lower=lower, upper=upper)

    def of_transits(self, transits: int | None) -> Parameters:
        """The same for a spectrum that is the mean of so many transits, or of an unknown number."""
        priors = tuple(one.of(transits) if isinstance(one, RvsResolution) else one for one in self.priors)
        return self if priors == self.priors else replace(self, priors=priors)

    def released(self, label: int) -> Parameters:
        """The same where the held label with this number is free, and uniform between its bounds."""
        fixed = np.where(np.arange(len(self.fixed)) == label, np.nan, self.fixed)
        uniform = Uniform(float(self.lower[label]), float(self.upper[label]))
        priors = (*self.priors[:label], uniform, *self.priors[label + 1 :])
        return replace(self, fixed=fixed, priors=priors)

    @cached_property
    def free(self) -> np.ndarray:
        """Indices of the free parameters."""
        return np.flatnonzero(np.isnan(self.fixed))

    @cached_property
    def free_names(self) -> tuple[str, ...]:
        """Names of the free parameters, the order of every free vector and of the covariance."""
        return tuple(self.space.names[i] for i in self.free)

    def full(self, free_values: ArrayLike) -> np.ndarray:
        """All values (..., n) from those of the free ones (..., n_free)."""
        free_values = np.asarray(free_values, dtype=float)
        out = np.empty((*free_values.shape[:-1], len(self.fixed)))
        out[:] = self.fixed
        out[..., self.free] = free_values
        return out

    @cached_property
    def from_zero(self) -> np.ndarray:
        """Parameters (n,) that act by their square, as nothing lies below 0, where they begin."""
        return (self.space.lower == 0) & ~_signed(self.space)

    @cached_property
    def box(self) -> Box:
        """Bounds of the free parameters."""
        at, names = self.free, self.free_names
        edge = None
        if self.space.lowest_logg and {"teff", "logg"} <= set(names):
            beyond = max(0.0, self.space["logg"].lower - self.lower[self.space.names.index("logg")])
            edge = names.index("teff"), names.index("logg"), lambda teff: self.space.lowest(teff) - beyond
        signed = tuple(np.flatnonzero(_signed(self.space)[at]).tolist())
        return Box(self.lower[at], self.upper[at], edge, signed)

    def squeezed(self, labels: np.ndarray) -> np.ndarray:
        """Labels (k, n_labels) of the box with logg squeezed linearly into what the domain has of it at each teff."""
        if self.box.edge is None:
            return labels
        t, g = (self.space.names.index(name) for name in ("teff", "logg"))
        low, high = self.lower[g], self.upper[g]
        share = (high - np.maximum(low, self.box.edge[2](labels[:, t]))) / (high - low)
        labels = labels.copy()
        labels[:, g] = high - (high - labels[:, g]) * share
        return labels

    def from_labels(self, labels: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Free parameters (k, m) from labels (k, n_labels) and velocities (k,); a jitter is what its prior says."""
        theta = self.full(np.zeros((len(labels), len(self.free))))
        theta[:, : self.velocity], theta[:, self.velocity] = labels, velocity
        for i in range(self.velocity + 1, theta.shape[1]):
            theta[:, i] = self._prior(i).centre
        return theta[:, self.free]

    def log_prior(self, x: ArrayLike) -> np.ndarray:
        """Sum of the log densities (n,) of free values (n, m); -inf outside of the bounds, never NaN."""
        x = np.atleast_2d(x)
        inside = self.box.holds(x)
        out = np.where(inside, self._uniform, -np.inf)
        theta = self.full(x[inside])
        for i, prior in self._others:
            if isinstance(prior, Microturbulence):
                out[inside] += prior.log_density(theta[:, i], *theta[:, self._given(prior)].T)
            else:
                out[inside] += prior.log_density(theta[:, i])
        return out

    def prior_slopes(self, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of -log prior at free values (n, m) inside of the bounds: first (n, m), and second (n, m, m).

        The latter are without what could make them negative.
        """
        theta, n = self.full(x), len(self.fixed)
        first, second = np.zeros((len(theta), n)), np.zeros((len(theta), n, n))
        for i, prior in self._others:
            if isinstance(prior, Microturbulence):
                given = self._given(prior)
                which = np.array([i, *given])
                by, twice = prior.slopes(theta[:, i], *theta[:, given].T)
                first[:, which] += by[:, : len(which)]
                second[:, which[:, None], which] += twice[:, : len(which), : len(which)]
            else:
                by, twice = prior.slope(theta[:, i])
                first[:, i] += by
                second[:, i, i] += twice
        return first[:, self.free], second[:, self.free[:, None], self.free]

    def expected(self, theta: np.ndarray) -> np.ndarray:
        """Labels (n, k), and what may follow, with those whose prior depends on others where it expects them to be."""
        theta = theta.copy()
        for i in self.free:
            prior = self.priors[i]
            if isinstance(prior, Microturbulence):
                theta[:, i] = prior.expected(*theta[:, self._given(prior)].T)
        return theta

    @cached_property
    def _uniform(self) -> float:
        """Logarithm of the product of the uniform densities."""
        uniform = [prior for prior in map(self._prior, self.free) if type(prior) is Uniform]
        return -float(np.sum(np.log([prior.upper - prior.lower for prior in uniform])))

    @cached_property
    def _others(self) -> list[tuple[int, Prior]]:
        """Indices of the free parameters whose priors are not uniform, with these."""
        return [(int(i), self._prior(i)) for i in self.free if type(self._prior(i)) is not Uniform]

    def _prior(self, i: int) -> Prior:
        """That of a free parameter."""
        prior = self.priors[i]
        assert prior is not None  # it is for fixed ones alone
        return prior

    def _given(self, prior: Prior) -> list[int]:
        """Indices of the labels that a prior depends on."""
        return _present(prior, self.space)

    @property
    def without_default(self) -> tuple[str, ...]:
        """Free parameters that have a default prior, but none now, as `priors` were given that replaced all of them."""
        return tuple(name for name in DEFAULT_PRIORS if name in self.free_names and name not in self.informative)

    @property
    def informative(self) -> dict[str, Prior | tuple[float, float]]:
        """Priors that are not just uniform in the label's domain, by name: (mean, sigma) of the Gaussian ones."""
        out: dict[str, Prior | tuple[float, float]] = {}
        for name, prior, label in zip(self.space.names, self.priors, self.space.labels, strict=True):
            if _is_gaussian(prior):
                out[name] = (prior.mean, prior.sigma)
            elif prior is not None and not (isinstance(prior, Uniform) and prior.upper >= label.upper):
                out[name] = prior
        return out

    @cached_property
    def velocity(self) -> int:
        """Index of the radial velocity."""
        return self.space.names.index(RADIAL_VELOCITY)

    @property
    def velocities(self) -> tuple[float, float]:
        """Lowest and highest radial velocity a fit can try, km/s."""
        i = self.velocity
        value = self.fixed[i]
        return (self.lower[i], self.upper[i]) if np.isnan(value) else (value, value)


def _signed(space: LabelSpace) -> np.ndarray:
    """Labels (n,) below 0 of which something lies, whatever their lower limit is."""
    return np.array([is_signed(label.name, label.unit) for label in space.labels])


def _velocity_bounds(radial_velocity: tuple[float, float] | float | Quantity) -> np.ndarray:
    """Lowest and highest velocity, or one that is held; km/s."""
    remedy = "give (lowest, highest) in km/s, or one number to hold it at"
    label = Label(RADIAL_VELOCITY, "km/s", -_FASTEST, _FASTEST)
    if isinstance(radial_velocity, tuple | list):
        out = np.array([label.value(v) for v in radial_velocity])
    else:
        out = label.value(radial_velocity)
    if out.shape not in ((), (2,)):
        raise LabelError(f"radial_velocity={radial_velocity}: {remedy}.")
    out = np.atleast_1d(out)
    if len(out) == 2 and not out[0] < out[1]:
        raise LabelError(f"radial_velocity={radial_velocity}: the lowest comes first; {remedy}.")
    if np.any(np.abs(out) > _FASTEST):
        raise LabelError(f"radial_velocity={radial_velocity} leaves {-_FASTEST:g} to {_FASTEST:g} km/s: {remedy}.")
    return out


def _mapping(argument: str, given: Mapping[str, Any] | None, example: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise LabelError(f"{argument}={given!r}: give a dictionary from labels to values, e.g. {argument}={example}.")
    return dict(given)


def _fixed_values(space: LabelSpace, fixed: Mapping[str, Any], extrapolate: bool) -> np.ndarray:
    out = np.full(len(space), np.nan)
    for name, value in fixed.items():
        label = space[name]
        plain = label.value(value)
        if plain.ndim:
            raise LabelError(f"fixed {name}={value}: give one number.")
        if name == RADIAL_VELOCITY:
            _velocity_bounds(float(plain))
        elif extrapolate:
            label.check_scale(plain)
        else:
            label.check(plain)
        out[space.names.index(name)] = plain
    return out


def _hold_to_edge(
    space: LabelSpace, values: np.ndarray, lower: np.ndarray, upper: np.ndarray, extrapolate: bool
) -> None:
    """Where one of teff and logg is fixed, bounds of the other that are inside of a domain which is no box."""
    if not space.lowest_logg:
        return
    t, g = space.names.index("teff"), space.names.index("logg")
    beyond = space.lower[g] - lower[g]
    if not np.isnan(values[t]):
        lower[g] = max(lower[g], float(space.lowest(values[t])) - beyond)
        if not (np.isnan(values[g]) or extrapolate):
            space.check_edge(np.where(np.isnan(values), space.upper, values))
    elif not np.isnan(values[g]):
        teff = np.linspace(lower[t], upper[t], _SCAN)
        allowed = teff[space.lowest(teff) - beyond <= values[g]]
        if len(allowed):
            lower[t], upper[t] = allowed[[0, -1]]


def _present(prior: Prior, space: LabelSpace) -> list[int]:
    """Indices of the labels that a prior depends on, as far as there are such."""
    return [space.names.index(name) for name in prior.given if name in space.names]


def _chosen(space: LabelSpace, fixed: np.ndarray, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was asked for by label; of the default ones those that make sense."""
    chosen = default_priors(space) if given is None else dict(given)
    for name in list(chosen):
        if given is None and not np.isnan(fixed[space.names.index(name)]):
            del chosen[name]
        elif not np.isnan(fixed[space.names.index(space[name].name)]):
            raise LabelError(f"{name} is fixed and has a prior: choose one.")
    return chosen


def default_priors(space: LabelSpace) -> dict[str, Any]:
    """Those of `DEFAULT_PRIORS` that make sense for the labels of an emulator."""
    chosen = {name: prior for name, prior in DEFAULT_PRIORS.items() if name in space.names}
    if "resolution" in chosen and not _holds(space["resolution"], chosen["resolution"].mean):
        del chosen["resolution"]
    if "vmic" in chosen and not {"teff", "logg"} <= set(space.names):
        chosen["vmic"] = "wide"
    return chosen


def _priors(
    space: LabelSpace, fixed: np.ndarray, lower: np.ndarray, upper: np.ndarray, given: Mapping[str, Any] | None
) -> tuple[np.ndarray, np.ndarray, tuple[Prior | None, ...]]:
    """Bounds and a prior for each free parameter; without any other it is uniform."""
    chosen = _chosen(space, fixed, given)
    priors: list[Prior | None] = []
    for i, label in enumerate(space.labels):
        if not np.isnan(fixed[i]):
            priors.append(None)
        elif label.name in chosen:
            prior = as_prior(chosen[label.name], label)
            lower[i], upper[i] = _bounded(prior, label, lower[i], upper[i])
            priors.append(_conditional(prior, label, space, (lower[i], upper[i])))
        else:
            priors.append(Uniform(lower[i], upper[i]))
    return lower, upper, tuple(priors)


def _bounded(prior: Prior, label: Label, lower: float, upper: float) -> tuple[float, float]:
    """What a prior leaves of the bounds of its label."""
    low, high = max(lower, prior.lower), min(upper, prior.upper)
    if _is_gaussian(prior) and not lower <= prior.mean <= upper:
        raise LabelError(
            f"prior of {label.name}: the mean {prior.mean:g} is outside {lower:g} to {upper:g}; give one "
            "inside, or a Function or TruncatedNormal if only the tail is meant."
        )
    if not low < high:
        raise LabelError(f"prior of {label.name}, {prior!r}: nothing of {lower:g} to {upper:g} is left.")
    return low, high


def _is_gaussian(prior: Prior | None) -> TypeGuard[Normal]:
    """Whether it is a Gaussian without limits."""
    return isinstance(prior, Normal) and not isinstance(prior, TruncatedNormal)


def _holds(label: Label, value: float) -> bool:
    """Whether the range of a label has a value."""
    return bool(label.lower <= value <= label.upper)


def _conditional(prior: Prior, label: Label, space: LabelSpace, bounds: tuple[float, float]) -> Prior:
    """The same; one that depends on other labels is normalised within the bounds."""
    if not isinstance(prior, Microturbulence):
        return prior
    if missing := [name for name in prior.given[: prior.required] if name not in space.names]:
        raise LabelError(f"prior of {label.name}, {prior!r}: it needs {' and '.join(missing)}, which is no label here.")
    return prior.within(*bounds)
