"""Flags of fits."""

from __future__ import annotations

import numpy as np

from ..emulator.labels import ALPHA
from ..observing.flags import (
    AT_BOUND,
    DOUBLE_LINED,
    ERRORS_TOO_LARGE,
    FEW_CCDS,
    FEW_GOOD_PIXELS,
    HELD_DISPUTED,
    NEGATIVE_CONTINUUM,
    NO_INFORMATION,
    NOT_AT_REST,
    NOT_CONVERGED,
    NOT_GAUSSIAN,
    OUTLIERS,
    OUTSIDE_CALIBRATION,
    OUTSIDE_DOMAIN,
    POOR_FIT,
    PRIOR_DISPUTED,
    SECOND_MINIMUM,
    SMOOTH_NOISE,
    alpha_assumed,
    broad_lines,
    few_ccds,
    not_at_rest,
    titanium_oxide,
)
from ..observing.limits import near_limits
from ..observing.roughness import is_smooth
from .line_groups import line_groups
from .priors import Uniform
from .unmodelled import unmodelled
from .vmic_prior import Microturbulence

__all__ = ["at_bounds", "fits_poorly", "flags_of"]

_POOR, _BY_CHANCE = 1.2, 5.0  # reduced chi2, and its standard deviations
_MANY = 0.01  # of the pixels
_FEW = 0.5  # of the pixels
_DISPUTED = 3.3  # standard deviations of the difference of a prior, or a held label, and spectrum
_PULLED = 4.0  # standard deviations of a prior that depends on other labels
_TOO_GOOD = 0.25  # mean square of residuals in units of the noise
_CALIBRATED = ("teff", "logg", "mh")  # labels outside of whose range corrections vanish
_NOTHING = 0.5  # of the error that a label has if its range is all that is known


def flags_of(found, errors, second_minimum, double) -> list[tuple[str, ...]]:
    """Flags of each of k minima that were `found`, whose parameters have the `errors` (k, n_parameters), 0 if held.

    `second_minimum` and `double` (k,) say whether there is another minimum, and a second star.
    """
    problem, parameters = found.problem, found.problem.parameters
    names, free, x = parameters.space.names, errors[:, parameters.free], found.minima.found.x[found.rows]
    of_labels = [at_bounds(parameters, x, free), _disputed(parameters, found.minima.disputes[found.rows])]
    nothing = [[NO_INFORMATION] if it_is else [] for it_is in _knows_nothing(parameters, free)]
    features = unmodelled(
        problem.stack, found.weighted, found.star, found.residual, found.theta[:, parameters.velocity]
    )
    features = [list(dict.fromkeys(a + b)) for a, b in zip(features, line_groups(problem, found), strict=True)]
    two = [[DOUBLE_LINED] if it_is else [] for it_is in double]
    broad = [broad_lines(names, *one) for one in zip(found.theta, errors, strict=True)]
    known = _true({NOT_AT_REST: _moved(found, errors), OUTSIDE_CALIBRATION: _uncalibrated(found, errors)})
    oxide = [titanium_oxide(problem.settings.loaded_emulator.info, names, one) for one in found.theta]
    parts = [*of_labels, _true(_conditions(found, second_minimum)), features, two, broad, nothing, known, oxide]
    tension = dict(zip(names, found.minima.tension[found.rows].T, strict=True))
    if problem.settings.assumes_alpha:
        assumed = tension.pop(ALPHA.name, np.zeros(len(x)))
        parts.append([alpha_assumed(names, *one) for one in zip(found.theta, assumed, strict=True)])
    parts.append(_true({f"{HELD_DISPUTED}:{name}": far > _DISPUTED for name, far in tension.items()}))
    return [tuple(flag for part in of_one for flag in part) for of_one in zip(*parts, strict=True)]


def _conditions(found, second_minimum) -> dict[str, np.ndarray]:
    """By flag, whether it is true (k,) of each of what was found."""
    stack, velocity = found.problem.stack, found.problem.parameters.velocity
    observations = [stack.observations[star] for star in found.star]  # equal in covered
    used, continuum, n_pixels = found.weighted.used, found.continuum, found.n_pixels
    in_noise = np.divide(found.residual * continuum, stack.sigma[found.star], where=used, out=np.zeros(used.shape))
    return {
        NOT_CONVERGED: ~found.minima.found.converged[found.rows],
        SECOND_MINIMUM: np.asarray(second_minimum),
        NOT_GAUSSIAN: np.any(found.minima.widening[found.rows] > 1, axis=1),
        OUTSIDE_DOMAIN: ~stack.model.emulator.labels.inside(found.theta[:, :velocity]),
        FEW_GOOD_PIXELS: n_pixels < _FEW * observations[0].covered.sum(),
        POOR_FIT: fits_poorly(found.chi2 / found.freedom, n_pixels),
        OUTLIERS: found.doubted.sum(axis=1) > _MANY * n_pixels,
        FEW_CCDS: np.array([few_ccds(one.estimates) for one in observations]),
        NEGATIVE_CONTINUUM: np.any(used & (continuum <= 0), axis=1),
        ERRORS_TOO_LARGE: np.sum(in_noise**2, axis=1) < _TOO_GOOD * n_pixels,
        SMOOTH_NOISE: _smooth(found),
    }


def _smooth(found) -> np.ndarray:
    """Whether the noise of spectra (k,) is smoother than their errors and its correlation say."""
    stack = found.problem.stack
    band, sigma = stack.bands(found.problem.noise)[0], stack.sigma[found.star]
    return is_smooth(found.residual * found.continuum, sigma, band, found.weighted.used & ~found.doubted)


def _moved(found, errors) -> np.ndarray:
    """Whether spectra that should be at rest are surely not (k,); `errors` are 0 where the velocity is given."""
    velocity, stack = found.problem.parameters.velocity, found.problem.stack
    moved = zip(found.star, found.theta[:, velocity], errors[:, velocity], strict=True)
    return np.array([not_at_rest(stack.observations[star].meta.get("frame"), *one) for star, *one in moved])


def _uncalibrated(found, errors) -> np.ndarray:
    """Whether labels (k,) of a calibrated emulator are outside those of its stars, and its errors not those there."""
    calibration = found.problem.settings.loaded_emulator.info.get("calibration", {})
    names, ranges = found.problem.parameters.space.names, calibration.get("ranges", {})

    def beyond(name: str) -> np.ndarray:
        if name not in ranges or name not in names:
            return np.zeros(len(found.theta), dtype=bool)
        column = names.index(name)
        low, high = ranges[name]
        value, sigma = found.theta[:, column], errors[:, column]
        return (value + sigma < low) | (value - sigma > high)

    return np.any([beyond(name) for name in _CALIBRATED], axis=0)


def _true(conditions) -> list[list[str]]:
    """Of each of k, the names of `conditions`, arrays (k,) by name, that are true."""
    return [
        [name for name, it_is in zip(conditions, one, strict=True) if it_is]
        for one in zip(*conditions.values(), strict=True)
    ]


def fits_poorly(reduced_chi2, n_pixels) -> np.ndarray:
    """Whether `reduced_chi2` (k,) of so many pixels (k,), or one, is what the flag ``poor-fit`` means."""
    return np.asarray(reduced_chi2 > _POOR + _BY_CHANCE * np.sqrt(2 / n_pixels))


def _disputed(parameters, disputes) -> list[list[str]]:
    """Flags of the free parameters whose priors spectra dispute, by standard deviations `disputes` (k, m)."""
    related = [isinstance(parameters.priors[i], Microturbulence) for i in parameters.free]
    far = disputes > np.where(related, _PULLED, _DISPUTED)
    names = (f"{PRIOR_DISPUTED}:{name}" for name in parameters.free_names)
    return _true(dict(zip(names, far.T, strict=True)))


def _knows_nothing(parameters, errors) -> np.ndarray:
    """Whether no label without an informative prior is known better than half as well as from its range alone, (k,)."""
    width = (parameters.upper - parameters.lower)[parameters.free] / np.sqrt(12)
    open_ = [isinstance(parameters.priors[i], Uniform) for i in parameters.free]
    return np.any(open_) & np.all((errors > _NOTHING * width)[:, open_], axis=1)


def at_bounds(parameters, x, errors) -> list[list[str]]:
    """Flags of the free parameters `x` (k, m) with `errors` (k, m) that are at a limit, by the rule of `near_limits`.

    Nothing lies beyond a lower limit of 0, but of a logarithm or a radial velocity.
    """
    box = parameters.box
    near = near_limits(x, errors, box.lower, box.upper, box.from_zero, box.floor(x))
    return _true({f"{AT_BOUND}:{name}": there for name, there in zip(parameters.free_names, near.T, strict=True)})
