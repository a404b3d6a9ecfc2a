"""Is there a second star in the spectrum? Its lines in the residual of a fit, at another velocity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..observing.memory import remembered
from ..physics.continuum import chebyshev_basis
from .bins import shares_of
from .coarse import CoarseModel

__all__ = ["SecondLines", "double_lined"]

_TEMPLATES = {  # of the lines looked for
    "teff": (4200.0, 5200.0, 6000.0, 6000.0, 6600.0, 7500.0, 8700.0, 10500.0),
    "logg": (4.5, 4.4, 4.2, 4.2, 4.2, 4.1, 4.0, 4.0),
    "vsini": (10.0, 10.0, 10.0, 50.0, 15.0, 30.0, 30.0, 30.0),
    "mh": (0.0,),
    "vmic": (1.5,),
    "resolution": (11900.0,),
    "alpha": (0.0,),
}
_BESIDE = 40.0, 500.0  # km/s from the velocity of the fit, where it is that of one of the stars
_AROUND = 20.0, 100.0  # where it is between those of both
_BEST = 4  # of the shifts beside it, for each template
_TOGETHER = 2.0  # errors of models are alike in neighbouring bins: factor of their variance
_TINY = 1e-12
_LEAST = 1e-3  # part of the lines that must be left when what else may change is taken out
_SCORE, _SHARE = 5.0, 0.08  # sigma, and share of the light, of one star beside the fit
_PAIR_SCORE, _PAIR_SHARE = 4.5, 0.15  # of each of two around it
_PAIR_REACH = 1.2, 10.0  # times v sin i, and km/s: two stars that were taken for one are not further from each other


class SecondLines:
    """Lines 1 - m of a few kinds of stars in logarithmic bins.

    Parameters
    ----------
    model : CoarseModel

    Attributes
    ----------
    around, beside : ndarray of int
        Shifts from the star that was fitted, where it is between two stars, half of them to either side, and where it
        is one of them.
    """

    def __init__(self, model):
        labels = model.labels.labels
        columns = [np.clip(_TEMPLATES.get(x.name, [x.lower]), x.lower, x.upper) for x in labels]
        lines = 1.0 - model.flux(np.stack(np.broadcast_arrays(*columns), axis=1)).astype("f4")
        self.model = model
        self.around, self.beside = (_on_both_sides(velocities, model.bins) for velocities in (_AROUND, _BESIDE))
        self._most = int(max(self.around.max(), self.beside.max()))
        self._lines = np.pad(lines, ((0, 0), (self._most, self._most)))  # none beyond the emulator's range

    @classmethod
    def of(cls, emulator) -> SecondLines:
        """The one of an emulator; kept with it."""
        return remembered(emulator, ("second lines",), lambda: cls(CoarseModel.of(emulator)))

    def shifted(self, shifts, first, count) -> Iterator[np.ndarray]:
        """Lines (v, count) by `shifts` (v,) in bins from the `first` on, of one template after the other."""
        for lines in self._lines:
            yield np.lib.stride_tricks.sliding_window_view(lines, count)[self._most + first - shifts]


@dataclass(frozen=True)
class Residuals:
    """What k fits leave in n bins, each at rest, as if bins were independent.

    Parameters
    ----------
    first : int
        Number of the first bin.
    weight : ndarray, shape (k, n)
        Inverse variances with the errors of noise, emulator and models; 0 where nothing was observed.
    missing : ndarray, shape (k, n)
        Model - observed / continuum, times the weights.
    nuisance : ndarray, shape (k, p, n)
        What else may change, and pass for lines: labels, velocity and continuum of the fit, and how deep its lines are.
        Rows that are orthonormal over their standard deviations, times the weights.
    along : ndarray, shape (k, p)
        Of these, what is in the residual.
    reach : ndarray, shape (k,)
        Distance in bins of two sets of lines of which those of the fit may consist.
    """

    first: int
    weight: np.ndarray
    missing: np.ndarray
    nuisance: np.ndarray
    along: np.ndarray
    reach: np.ndarray

    @classmethod
    def of(cls, problem, found) -> Residuals:
        """Those of k minima of a `Problem`, whose numbers of the spectra `star` (k,), parameters `theta` (k, ...),
        `continuum` (k, n_pixels), `error` of the emulator and covariances `weighted` are `found`."""
        stack, parameters, theta = problem.stack, problem.parameters, found.theta
        model = CoarseModel.of(stack.emulator)
        shares, _, first = shares_of(stack, model.bins, model.bins.shifts(parameters.velocities))
        used = found.weighted.used & (found.continuum > 0)
        level = np.where(used, found.continuum, 1.0)
        weight = (level / np.where(used, stack.sigma[found.star], np.inf)) ** 2
        parts = [weight, weight * np.where(used, stack.flux[found.star] / level, 0.0), weight * found.error**2]
        total, flux, emulator = ((shares @ part.T).T for part in parts)
        known = total > 0
        per_weight = np.divide(1.0, total, where=known, out=np.zeros_like(total))
        coarse, slopes = model.window(first, total.shape[1]).jacobian(theta)
        coarse = coarse.astype(float)
        variance = (problem.inflation + emulator) * per_weight
        if problem.noise.model_error is not None:
            variance += _TOGETHER * problem.noise.model_error.sigma(coarse) ** 2
        basis = chebyshev_basis(np.arange(total.shape[1], dtype=float), len(stack.basis) - 1).T
        root = np.sqrt(np.divide(1.0, variance, where=known, out=np.zeros_like(total)))
        missing = root * np.where(known, coarse - flux * per_weight, 0.0)
        nuisance = np.concatenate([slopes, 1.0 - coarse[:, None], basis * coarse[:, None]], axis=1)
        shifts = np.rint(model.bins.shift(theta[:, parameters.velocity])).astype(int)
        start = first - np.clip(shifts, first + total.shape[1] - model.bins.count, first)
        nuisance = _orthonormal(nuisance * root[:, None])
        along = (nuisance @ missing[..., None])[..., 0]

        def at_rest(rows):
            out = np.zeros((*rows.shape[:-1], np.ptp(start) + rows.shape[-1]), dtype="f4")
            for target, row, begin in zip(out, rows, start - start.min(), strict=True):
                target[..., begin : begin + rows.shape[-1]] = row
            return out

        weight, missing, nuisance = map(at_rest, (root**2, root * missing, root[:, None] * nuisance))
        reach = _reach(parameters.space.names, theta) / model.bins.width_in_km_s
        return cls(int(start.min()), weight, missing, nuisance, along.astype("f4"), reach)


def double_lined(problem, found) -> np.ndarray:
    """Whether lines of a second star are in each of k spectra, (k,).

    Parameters
    ----------
    problem : Problem
    found
        The best minima of the spectra: see `Residuals.of`.

    Notes
    -----
    The fit is either that of the brighter star, and lines of another one are missing beside it; or stars of similar
    light were taken for one that rotates fast, and its lines are too shallow at two velocities around its own. The
    first is looked for from 40 to 500 km/s away, by cross-correlation, the second from 20 to 100 km/s to either side
    where the lines of the fit are as broad, both with the lines of eight kinds of stars. Strengths are those of least
    squares, after all that labels, continuum and the depth of the fitted lines could make up for has been projected
    out. They are shares of the light.
    """
    lines = SecondLines.of(problem.stack.emulator)
    residuals = Residuals.of(problem, found)
    found_any = np.zeros(len(found.theta), dtype=bool)
    where = residuals.first, residuals.weight.shape[1]
    for beside, around in zip(*(lines.shifted(x, *where) for x in (lines.beside, lines.around)), strict=True):
        found_any |= _beside(residuals, beside) | _around(residuals, around, lines.around)
    return found_any


def _beside(residuals, lines) -> np.ndarray:
    """Whether `lines` (v, n) of one star are in residuals (k,), at one of the likeliest shifts."""
    strength = residuals.missing @ lines.T
    power = residuals.weight @ (lines**2).T
    score = strength / np.sqrt(np.maximum(power, 1e-6 * power.max(axis=1, keepdims=True) + _TINY))
    best = np.argsort(-score, axis=1, kind="stable")[:, :_BEST]
    strength, power = (np.take_along_axis(part, best, axis=1) for part in (strength, power))
    overlap = lines[best] @ residuals.nuisance.swapaxes(1, 2)
    strength, power = _less_nuisance(residuals, strength, power, overlap)
    return np.any((strength / np.sqrt(power) > _SCORE) & (strength / power > _SHARE), axis=1)


def _around(residuals, lines, shifts) -> np.ndarray:
    """Whether `lines` (v, n) of two stars are in residuals (k,), one at each side of the fit.

    Half of the `shifts` (v,) are to either side.
    """
    half = len(lines) // 2
    strength, power = residuals.missing @ lines.T, residuals.weight @ (lines**2).T
    overlap = (residuals.nuisance @ lines.T).swapaxes(1, 2)
    strength, power = _less_nuisance(residuals, strength, power, overlap)
    mixed = (residuals.weight[:, None] * lines[:half]) @ lines[half:].T
    mixed -= overlap[:, :half] @ overlap[:, half:].swapaxes(1, 2)
    a, b, aa, bb = strength[:, :half, None], strength[:, None, half:], power[:, :half, None], power[:, None, half:]
    determinant = np.maximum(aa * bb - mixed**2, _LEAST * aa * bb)
    first, second = (bb * a - mixed * b) / determinant, (aa * b - mixed * a) / determinant
    score, share = np.sqrt(np.maximum(a * first + b * second, 0.0)), np.minimum(first, second)
    near = shifts[half:] - shifts[:half, None] < residuals.reach[:, None, None]
    return np.any((score > _PAIR_SCORE) & (share > _PAIR_SHARE) & near, axis=(1, 2))


def _less_nuisance(residuals, strength, power, overlap) -> tuple[np.ndarray, np.ndarray]:
    """Products of lines with residuals and with themselves, both (k, v), less what is within the span of the nuisance.

    With that they have the products `overlap` (k, v, p).
    """
    left = np.maximum(power - np.sum(overlap**2, axis=2), _LEAST * power + _TINY)
    return strength - (overlap @ residuals.along[..., None])[..., 0], left


def _reach(names, theta) -> np.ndarray:
    """The same as in `Residuals`, in km/s (k,); where v sin i is not known, no limit."""
    factor, more = _PAIR_REACH
    return factor * theta[:, names.index("vsini")] + more if "vsini" in names else np.full(len(theta), np.inf)


def _on_both_sides(velocities, bins) -> np.ndarray:
    """Whole bins to either side, between two velocities in km/s."""
    first, last = (round(velocity / bins.width_in_km_s) for velocity in velocities)
    side = np.arange(first, last + 1)
    return np.concatenate([-side[::-1], side])


def _orthonormal(rows) -> np.ndarray:
    """Orthonormal rows that span the same spaces as `rows` (k, p, n), and rows of zeros where those are less."""
    scale = np.sqrt(np.sum(rows**2, axis=2, keepdims=True))
    rows = np.divide(rows, scale, where=scale > 0, out=np.zeros_like(rows))
    power, vectors = np.linalg.eigh(rows @ rows.swapaxes(1, 2))
    kept = power > 1e-9
    vectors = vectors * np.divide(1.0, np.sqrt(np.maximum(power, 1e-9)), where=kept, out=np.zeros_like(power))[:, None]
    return vectors.swapaxes(1, 2) @ rows
