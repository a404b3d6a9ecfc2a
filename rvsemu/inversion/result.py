"""What an inversion found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from astropy import units as u

from ..emulator.labels import is_signed
from ..observing.flags import (
    AT_BOUND,
    FEW_GOOD_PIXELS,
    NO_INFORMATION,
    OUTSIDE_DOMAIN,
    UNLIKE_TRAINING,
    alpha_assumed,
    broad_lines,
    titanium_oxide,
)
from ..observing.limits import CROWDED, near_limits
from ..observing.results import LIMITED, Result, limit_of_square, normal_interval

__all__ = ["InversionResult", "flags_of"]

_BEYOND = 2.0  # errors
_NEAR_TEFF = 4.0  # errors: of stars beyond the limits of Teff, networks make such that are up to so far inside
_LITTLE = 0.5  # of the error of knowing nothing: no label is known better


@dataclass(frozen=True, repr=False, eq=False)
class InversionResult(Result):
    """Labels of one spectrum or of n, and their errors.

    Each label is an attribute, too: ``result.teff``, ``result.resolution`` ...

    Parameters
    ----------
    labels : dict of Quantity
        Scalars for one spectrum, arrays (n,) for n; within the training domain. Of observed spectra, the radial
        velocity is among them.
    errors : dict of Quantity
        One standard deviation of each; 0 for a radial velocity that was given. With networks for noise it is that of
        least squares and half of what the network differs by, added in quadrature; else the error on
        validation spectra with similar labels and that of the noise.
    noise_errors : dict of Quantity
        What noise does to labels through the networks for spectra without noise, never more than the error.
    limits : dict of (float, float)
        Range of each label, in its unit.
    flags : tuple of str, or list of n of them
        What to beware of (`rvsemu.observing.flags`); empty is good. Here ``at-bound:<label>`` means that the label is
        nearer to a limit of the domain than 1.3 times its error, or was beyond it and was set to it;
        ``outside-domain:<label>``, that it was beyond by more than two errors.
    residual_rms : float or ndarray (n,)
        Of what mean and components leave of the spectrum, in units of the continuum.
    reduced_chi2 : float or ndarray (n,)
        Of that; NaN for arrays of fluxes.
    n_pixels : int or ndarray (n,)
        Pixels used.
    coefficients : ndarray, shape (k,) or (n, k)
        Of the principal components, in units of their spread over the training spectra.
    meta : dict
        Of the spectrum's meta what names it, recipe and version of the inversion, and the settings.

    Examples
    --------
    >>> import rvsemu
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> result = rvsemu.invert(star)
    >>> result.teff.round(-3), result.flags
    (<Quantity 6000. K>, ())
    >>> bool(result.errors["teff"] >= result.noise_errors["teff"])
    True
    >>> len(result.to_table())
    1
    """

    labels: dict[str, u.Quantity]
    errors: dict[str, u.Quantity]
    noise_errors: dict[str, u.Quantity]
    limits: dict[str, tuple[float, float]]
    flags: tuple[str, ...] | list[tuple[str, ...]]
    residual_rms: float | np.ndarray
    reduced_chi2: float | np.ndarray
    n_pixels: int | np.ndarray
    coefficients: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)

    _origin: ClassVar[tuple[str, str]] = ("recipe", "inversion_version")

    def interval(self, level: float = 0.68) -> dict[str, u.Quantity]:
        """Central interval of each label with the probability `level`, as Quantities (2,) or (2, n).

        It is that of a normal distribution, cut off at the limits of the label.
        """
        return {
            name: normal_interval(value, self.errors[name], self.limits[name], level)
            for name, value in self.labels.items()
        }

    def _highest(self, name, level) -> u.Quantity:
        """That of the square of the label, by which it acts."""
        return limit_of_square(self.labels[name], self.errors[name], self.limits[name], level)

    def _from_zero(self) -> list[str]:
        return [name for name in LIMITED if name in self.limits]

    def _quality(self) -> list[str]:
        limits = [f"{name} below {limit:.2g} (95 %)" for name, limit in self.upper_limits().items()]
        return [*limits, f"residual rms {self.residual_rms:.4f}, {self.n_pixels} pixels"]

    def _columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("reduced_chi2", "residual_rms", "n_pixels")}


def flags_of(inversion, values, errors, noise, unlike, few=False, alpha=0.0) -> tuple[str, ...]:
    """Flags of one spectrum, whose labels are `values` (n_labels,) before they are set to the limits of the domain.

    By `alpha` standard deviations it wants another [alpha/M] than 0.
    """
    out, space = [], inversion.labels
    lower, floor = space.lower, space.floor(values)
    from_zero = (lower == 0) & ~np.array([is_signed(label.name, label.unit) for label in space.labels])
    crowded = np.where(np.array(space.names) == "teff", _NEAR_TEFF, CROWDED)
    near = near_limits(values, errors, lower, space.upper, from_zero, floor, crowded)
    beyond = np.maximum(floor - values, values - space.upper) > _BEYOND * errors
    for name, at_limit, outside in zip(space.names, near, beyond, strict=True):
        out += [f"{AT_BOUND}:{name}"] * bool(at_limit) + [f"{OUTSIDE_DOMAIN}:{name}"] * bool(outside)
    if few:
        out.append(FEW_GOOD_PIXELS)
    if unlike:
        out.append(UNLIKE_TRAINING)
    nothing = _LITTLE * (space.upper - lower) / np.sqrt(12.0)
    if np.all((noise > nothing) | (np.array(space.names) == "resolution")):  # known before, to 450
        out.append(NO_INFORMATION)
    out += [*broad_lines(space.names, values, errors), *alpha_assumed(space.names, values, alpha)]
    return (*out, *titanium_oxide(inversion.info, space.names, values))
