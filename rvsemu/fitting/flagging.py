"""Flags of fits."""

from __future__ import annotations

import numpy as np

from ..observing.flags import (
    AT_BOUND,
    DOUBLE_LINED,
    ERRORS_TOO_LARGE,
    FEW_CCDS,
    FEW_GOOD_PIXELS,
    NEGATIVE_CONTINUUM,
    NO_INFORMATION,
    NOT_CONVERGED,
    NOT_GAUSSIAN,
    OUTLIERS,
    OUTSIDE_DOMAIN,
    POOR_FIT,
    PRIOR_DISPUTED,
    SECOND_MINIMUM,
    alpha_assumed,
    broad_lines,
)
from .priors import Uniform
from .unmodelled import unmodelled
from .vmic_prior import Microturbulence

__all__ = ["FEWEST_CCDS", "at_bounds", "fits_poorly", "flags_of"]

FEWEST_CCDS = 10
"""Fewer have the flag ``few-ccds``."""
_BOUND = 1e-3  # of the range of a label
_POOR, _BY_CHANCE = 1.2, 5.0  # reduced chi2, and its standard deviations
_MANY = 0.01  # of the pixels
_CROWDED = 1.3  # standard deviations from a limit: see `rvsemu.fitting.limits.crowded`
_FEW = 0.5  # of the pixels
_DISPUTED = 3.3  # standard deviations of the difference of prior and spectrum
_PULLED = 4.0  # standard deviations of a prior that depends on other labels
_TOO_GOOD = 0.25  # mean square of residuals in units of the noise
_NOTHING = 0.5  # of the error that a label has if its range is all that is known


def flags_of(found, i, errors, second_minimum, double) -> list[str]:
    """Flags of the i-th of what was found, whose parameters have the `errors`, 0 if they are held."""
    problem, stack, parameters = found.problem, found.problem.stack, found.problem.parameters
    observation, theta, row = stack.observations[found.star[i]], found.theta[i], found.rows[i]
    used, doubted, continuum = found.weighted.used[i], found.doubted(i), found.continuum[i]
    free, n_pixels, noise = errors[parameters.free], int(used.sum()), (stack.sigma[found.star[i]] / continuum)[used]
    true = {
        NOT_CONVERGED: not found.minima.found.converged[row],
        SECOND_MINIMUM: second_minimum,
        NOT_GAUSSIAN: np.any(found.minima.widening[row] > 1),
        OUTSIDE_DOMAIN: not stack.model.emulator.labels.inside(theta[: parameters.velocity]),
        FEW_GOOD_PIXELS: n_pixels < _FEW * observation.covered.sum(),
        POOR_FIT: fits_poorly(found.chi2[i] / found.freedom(i), n_pixels),
        OUTLIERS: doubted.sum() > _MANY * n_pixels,
        FEW_CCDS: observation.ccds is not None and observation.ccds < FEWEST_CCDS,
        NEGATIVE_CONTINUUM: continuum[used].min() <= 0,
        ERRORS_TOO_LARGE: np.mean((found.residual[i][used] / noise) ** 2) < _TOO_GOOD,
    }
    one = found.weighted.take(np.array([i]))
    return [
        *at_bounds(parameters, found.minima.found.x[row], free),
        *_disputed(parameters, found.minima.disputes[row]),
        *(flag for flag, it_is in true.items() if it_is),
        *unmodelled(stack, one, found.star[i], found.residual[i], theta[parameters.velocity]),
        *([DOUBLE_LINED] if double else []),
        *broad_lines(parameters.space.names, theta, errors),
        *([NO_INFORMATION] if _knows_nothing(parameters, free) else []),
        *(
            alpha_assumed(parameters.space.names, theta, found.minima.tension[row])
            if problem.settings.assumes_alpha
            else []
        ),
    ]


def fits_poorly(reduced_chi2, n_pixels) -> bool:
    """Whether `reduced_chi2` is what the flag ``poor-fit`` means."""
    return bool(reduced_chi2 > _POOR + _BY_CHANCE * np.sqrt(2 / n_pixels))


def _disputed(parameters, disputes) -> list[str]:
    """Flags of the free parameters whose normal priors spectra dispute, by standard deviations `disputes` (m,)."""
    related = [isinstance(parameters.priors[i], Microturbulence) for i in parameters.free]
    far = disputes > np.where(related, _PULLED, _DISPUTED)
    return [f"{PRIOR_DISPUTED}:{name}" for name, there in zip(parameters.free_names, far, strict=True) if there]


def _knows_nothing(parameters, errors) -> bool:
    """Whether no label without an informative prior is known better than half as well as from its range alone."""
    width = (parameters.upper - parameters.lower)[parameters.free] / np.sqrt(12)
    open_ = [isinstance(parameters.priors[i], Uniform) for i in parameters.free]
    return bool(np.any(open_) and np.all((errors > _NOTHING * width)[open_]))


def at_bounds(parameters, x, errors) -> list[str]:
    """Flags of the free parameters `x` (m,) with `errors` (m,) that are at a limit, by the rule of `crowded`.

    Nothing lies beyond a lower limit of 0.
    """
    box = parameters.box
    lower, upper = box.floor(x[None])[0], box.upper
    width = upper - box.lower
    known = errors < _NOTHING * width / np.sqrt(12)
    margin = np.maximum(_BOUND * width, np.where(known, _CROWDED * errors, 0.0))
    near = np.minimum(np.where(box.from_zero, np.inf, x - lower), upper - x) < margin
    return [f"{AT_BOUND}:{name}" for name, there in zip(parameters.free_names, near, strict=True) if there]
