"""What a fit of all transits of a star found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack

from ..observing.flags import to_bits
from ..observing.result_table import ResultTable
from ..observing.results import identity_columns
from .moves import weights_of
from .result import FitFailure, FitResult, LeastSquares

__all__ = ["TransitsResult"]


@dataclass(frozen=True, eq=False, repr=False)
class TransitsResult(LeastSquares):
    """One set of labels for all transits of a star, and the radial velocity of each.

    Each label is an attribute, too: ``result.teff`` ...

    Parameters
    ----------
    labels : dict of Quantity
        Every label, and as ``radial_velocity`` the weighted mean of the velocities.
    errors : dict of Quantity
        One standard deviation of each; 0 for fixed labels. That of the mean velocity is the error of a constant
        velocity: it knows nothing of the scatter.
    ranges : dict of (float, float)
        Lowest and highest value that each free label could take, in its unit.
    covariance : ndarray, shape (m, m)
        Of the labels in `free_names`, in the units of `labels`; the continua are marginalised.
    chi2, n_pixels, n_outliers : float or int
        Sums over the transits: see `FitResult`.
    reduced_chi2, noise_chi2 : float
        chi2 per degree of freedom (pixels less labels, less velocity and continuum coefficients of each transit), with
        the errors of noise, emulator and models, and without that of models.
    flags : tuple of str
        What to beware of: see `rvsemu.observing.flags`. Those of the labels, those that at least half of the transits
        have, ``variable-velocity``, and ``transits-differ`` where transits want different labels.
    residual_rms : float
        Of observed - model in the pixels used, in units of the continuum.
    velocities : Quantity, shape (t,)
        Radial velocity of each transit.
    velocity_errors : Quantity, shape (t,)
        One standard deviation of each, with what all of them share: the errors of labels, emulator and models.
    velocity_noise : Quantity, shape (t,)
        The part of the noise alone, which is what velocities differ by if the star's is constant.
    velocity_chi2 : float
        Sum of the squares of (velocity - mean) / `velocity_noise`; NaN where the velocity is held.
    velocity_p_value : float
        Probability that chance makes that larger, if the velocity is constant; NaN for one transit.
    transits : tuple of FitResult, length t
        The spectra beside the model with these labels and their own velocity and continuum; chi2, flags, ``plot()``.
    skipped : tuple of FitFailure
        Transits that could not be used, with the reasons.
    meta : dict
        What names the star, recipe and version of the emulator, and the settings.

    Examples
    --------
    >>> import rvsemu
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=6, mh=0, vmic=1.3, resolution=11900)
    >>> given = {"signal_to_noise": 40, "release": "Gaia DR4", "frame": "barycentric"}
    >>> spectra = [rvsemu.simulate(star, radial_velocity=v, seed=v, **given) for v in (10, 60)]
    >>> result = rvsemu.fit_transits(spectra, model_error=None)
    >>> result.velocities.round(-1)
    <Quantity [10., 60.] km / s>
    >>> bool(result.velocity_p_value < 1e-6), result.flags
    (True, ('variable-velocity',))
    >>> len(result.transit_table())
    2
    """

    velocities: u.Quantity
    velocity_errors: u.Quantity
    velocity_noise: u.Quantity
    velocity_chi2: float
    velocity_p_value: float
    transits: tuple[FitResult, ...]
    skipped: tuple[FitFailure, ...] = ()
    meta: dict = field(default_factory=dict)

    @property
    def n_transits(self) -> int:
        """Number of transits that were fitted."""
        return len(self.transits)

    @property
    def velocity_scatter(self) -> u.Quantity:
        """Weighted standard deviation of the velocities, that of noise included; NaN for one transit."""
        if self.n_transits < 2:
            return np.nan * self.velocities.unit
        weights = weights_of(self.velocity_noise.value)
        square = np.sum(weights * (self.velocities - self.labels["radial_velocity"]) ** 2)
        return np.sqrt(square * self.n_transits / (self.n_transits - 1))

    def transit_table(self) -> QTable:
        """One row per transit: what names it, velocity, its errors, chi2, pixels and flags."""
        table = vstack([ResultTable(identity_columns(one.meta)) for one in self.transits], metadata_conflicts="silent")
        table["radial_velocity"], table["radial_velocity_error"] = self.velocities, self.velocity_errors
        table["radial_velocity_noise"] = self.velocity_noise
        for name in ("chi2", "reduced_chi2", "n_pixels", "n_outliers"):
            table[name] = [getattr(one, name) for one in self.transits]
        table["flags"] = [",".join(one.flags) or "none" for one in self.transits]
        table["flag_bits"] = np.array([to_bits(one.flags) for one in self.transits], dtype="i4")
        return table.described()

    def _quality(self) -> list[str]:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        lines = [f"{self.n_transits} transit{'s' if self.n_transits != 1 else ''}{skipped}", *super()._quality()]
        if np.isfinite(self.velocity_p_value):
            unit = self.velocities.unit
            both = self.velocity_scatter, np.median(self.velocity_noise)
            scatter, noise = (f"{x.to_value(unit):.2g}" for x in both)
            p = f"p-value of a constant velocity {self.velocity_p_value:.2g}"
            lines.append(f"velocities scatter by {scatter} {unit}, noise {noise} {unit}, {p}")
        return lines

    def _columns(self) -> dict[str, Any]:
        return super()._columns() | {
            "n_transits": self.n_transits,
            "n_skipped": len(self.skipped),
            "radial_velocity_scatter": self.velocity_scatter,
            "velocity_chi2": self.velocity_chi2,
            "velocity_p_value": self.velocity_p_value,
        }
