"""From the fits of the transits of a star to one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u

from ..observing.flags import DOUBLE_LINED, FEW_CCDS, POOR_FIT, TRANSITS_DIFFER, VARIABLE_VELOCITY, few_ccds
from ..observing.results import COMBINED
from .flagging import fits_poorly
from .moves import Moves
from .parameters import RADIAL_VELOCITY
from .result import FitFailure, FitResult
from .transits_result import TransitsResult

__all__ = ["summarised"]

_CHANCE = 1e-3  # of a constant velocity, below which it is called variable; of labels that all transits share
_OF_ONE = ("transit_id", "obs_time_rv", *COMBINED)
_SHARED = 0.5  # of the transits have a flag that the star has, too
_ENOUGH = {DOUBLE_LINED: 2}  # transits, if that is less than half: the lines of two stars often coincide


def summarised(
    transits: tuple[FitResult, ...],
    moves: Moves,
    covariance: np.ndarray,
    scale: float,
    ccds: Sequence[int | None],
    skipped: tuple[FitFailure, ...],
    agreed: float,
) -> TransitsResult:
    """Result of a star.

    Parameters
    ----------
    transits : tuple of FitResult, length t
        At the same labels.
    moves : Moves
        Their velocities.
    covariance : ndarray, shape (m, m)
        Of labels and mean velocity.
    scale : float
        By which the noise is multiplied in it.
    ccds : sequence of int or None, length t
        CCD spectra in each.
    skipped : tuple of FitFailure
        Other transits.
    agreed : float
        Probability that chance makes the transits want labels as different: see `rvsemu.fitting.agreement`.
    """
    about = _about(transits, moves, scale) | _quality(transits, moves)
    return TransitsResult(
        errors=_errors(transits[0], covariance),
        covariance=covariance,
        flags=_flags(transits, about, ccds, agreed),
        transits=transits,
        skipped=skipped,
        **about,
    )


def _about(transits, moves, scale) -> dict[str, Any]:
    """Labels, their ranges, and the velocities."""
    first = transits[0]
    unit = first.labels[RADIAL_VELOCITY].unit
    ranges = dict(first.ranges)
    if RADIAL_VELOCITY in ranges:
        low, high = np.transpose([one.ranges[RADIAL_VELOCITY] for one in transits])
        ranges[RADIAL_VELOCITY] = float(low.min()), float(high.max())
    chi2, p_value = moves.variability(scale)
    errors = [one.errors[RADIAL_VELOCITY].to_value(unit) for one in transits]
    meta = {name: value for name, value in first.meta.items() if name not in _OF_ONE}
    smoothed = any(one.meta["errors_smoothed"] for one in transits)
    return {
        "labels": first.labels | {RADIAL_VELOCITY: u.Quantity(moves.mean, unit)},
        "ranges": ranges,
        "velocities": u.Quantity(moves.velocities, unit),
        "velocity_errors": u.Quantity(errors, unit),
        "velocity_noise": u.Quantity(scale * moves.noise, unit),
        "velocity_chi2": chi2,
        "velocity_p_value": p_value,
        "meta": meta | {"errors_smoothed": smoothed},
    }


def _errors(first, covariance) -> dict[str, u.Quantity]:
    """Errors of labels and mean velocity, from their covariance (m, m)."""
    known = dict(zip(first.ranges, np.sqrt(np.diag(covariance)), strict=True))
    return {name: u.Quantity(known.get(name, 0.0), value.unit) for name, value in first.labels.items()}


def _quality(transits, moves) -> dict[str, Any]:
    """How well the model fits all transits."""
    pixels = np.array([one.n_pixels for one in transits])
    kept = np.array([one.n_pixels - one.n_outliers for one in transits])
    coefficients = 1 + transits[0].meta["continuum_degree"]
    freedom = max(1, int(kept.sum()) - moves.spent(coefficients, len(transits)))
    alone = np.maximum(1, kept - moves.spent(coefficients, 1))
    chi2 = float(sum(one.chi2 for one in transits))
    return {
        "chi2": chi2,
        "reduced_chi2": chi2 / freedom,
        "noise_chi2": float(alone @ [one.noise_chi2 for one in transits]) / freedom,
        "n_pixels": int(pixels.sum()),
        "n_outliers": int(pixels.sum() - kept.sum()),
        "residual_rms": float(np.sqrt(np.average([one.residual_rms**2 for one in transits], weights=pixels))),
    }


def _flags(transits, about: Mapping[str, Any], ccds: Sequence[int | None], agreed: float) -> tuple[str, ...]:
    """Flags that at least half of the transits have, or enough; those of chi2, CCD spectra and velocity are of all."""
    counts: dict[str, int] = {}
    for flag in (flag for one in transits for flag in one.flags):
        counts[flag] = counts.get(flag, 0) + 1
    half = _SHARED * len(transits)
    shared = [name for name, n in counts.items() if n >= min(half, _ENOUGH.get(name, half))]
    found = [name for name in shared if name not in (POOR_FIT, FEW_CCDS)]
    poor = fits_poorly(about["reduced_chi2"], about["n_pixels"])
    known = [n for n in ccds if n is not None]
    few = len(known) == len(ccds) and few_ccds(sum(known))
    varies = about["velocity_p_value"] < _CHANCE
    true = {POOR_FIT: poor, FEW_CCDS: few, VARIABLE_VELOCITY: varies, TRANSITS_DIFFER: agreed < _CHANCE}
    more = [name for name, there in true.items() if there]
    return tuple([*found, *more])
