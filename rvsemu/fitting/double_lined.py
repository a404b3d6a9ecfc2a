"""Is there a second star in the spectrum? Its lines in the residual of a fit, at another velocity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

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
_BEYOND = 4000.0  # km/s around the emulator's range, without lines: more than any shift
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
    """

    def __init__(self, model):
        labels = model.labels.labels
        columns = [np.clip(_TEMPLATES.get(x.name, [x.lower]), x.lower, x.upper) for x in labels]
        lines = 1.0 - model.flux(np.stack(np.broadcast_arrays(*columns), axis=1)).astype("f4")
        self.model = model
        self._beyond = int(_BEYOND / model.bins.width_in_km_s)
        self._lines = np.pad(lines, ((0, 0), (self._beyond, self._beyond)))
        self._size = next_fast_len(self._lines.shape[1], real=True)
        self._transformed = [rfft(part, self._size).conj() for part in (lines, lines**2)]

    @classmethod
    def of(cls, emulator) -> SecondLines:
        """The one of an emulator; kept with it."""
        return remembered(emulator, ("second lines",), lambda: cls(CoarseModel.of(emulator)))

    def likely(self, residual) -> np.ndarray:
        """Shifts (k, 4) beside that of the fit at which a `Residual` looks most like the lines of each template."""
        shifts = residual.shift + _on_both_sides(_BESIDE, self.model.bins)
        vectors = rfft(np.array([residual.weight * residual.missing, residual.weight], dtype="f4"), self._size)
        products = zip(vectors, self._transformed, strict=True)
        strength, power = (irfft(v * t, self._size)[:, shifts - residual.first] for v, t in products)
        score = strength / np.sqrt(np.maximum(power, 1e-6 * power.max() + _TINY))
        return shifts[np.argsort(-score, axis=1, kind="stable")[:, :_BEST]]

    def rows(self, shifts, first, count) -> np.ndarray:
        """Lines (k, v, count) of each template at its shifts (k, v), from the observed bin `first` on."""
        windows = np.lib.stride_tricks.sliding_window_view(self._lines, count, axis=1)
        return windows[np.arange(len(shifts))[:, None], self._beyond + first - shifts]


@dataclass(frozen=True)
class Residual:
    """What a fit leaves in n bins, as if they were independent.

    Parameters
    ----------
    missing, weight : ndarray, shape (n,)
        Model - observed / continuum, and inverse variances with the errors of noise, emulator and models.
    nuisance : ndarray, shape (p, n)
        What else may change, and pass for lines: labels, velocity and continuum of the fit, and how deep its lines are.
    first, shift : int
        Numbers of the first bin and of the whole bins by which the star is shifted.
    reach : float
        Distance in bins of two sets of lines of which those of the fit may consist.
    """

    missing: np.ndarray
    weight: np.ndarray
    nuisance: np.ndarray
    first: int
    shift: int
    reach: float

    @classmethod
    def each(cls, problem, found) -> list[Residual]:
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
        missing = np.where(known, coarse - flux * per_weight, 0.0)
        weight = np.divide(1.0, variance, where=known, out=np.zeros_like(total))
        shifts = np.rint(model.bins.shift(theta[:, parameters.velocity])).astype(int)
        return [
            cls(
                missing=missing[i],
                weight=weight[i],
                nuisance=np.vstack([slopes[i], 1.0 - coarse[i], basis * coarse[i]]),
                first=first,
                shift=int(shifts[i]),
                reach=_reach(parameters.space.names, theta[i]) / model.bins.width_in_km_s,
            )
            for i in range(len(theta))
        ]


def double_lined(problem, found) -> list[bool]:
    """Whether lines of a second star are in each of the spectra.

    Parameters
    ----------
    problem : Problem
    found
        The best minima of the spectra: see `Residual.each`.

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
    return [_has_second(residual, lines) for residual in Residual.each(problem, found)]


def _has_second(residual, lines) -> bool:
    """Whether lines of a second star are in a residual."""
    around = residual.shift + _on_both_sides(_AROUND, lines.model.bins)
    half = len(around) // 2
    likely = lines.likely(residual)
    shifts = np.concatenate([np.broadcast_to(around, (len(likely), len(around))), likely], axis=1)
    strength, gram = _projected(residual, lines.rows(shifts, residual.first, len(residual.weight)))
    beside = slice(len(around), None)
    score, share = _alone(strength[:, beside], np.einsum("kii->ki", gram)[:, beside])
    alone = (score > _SCORE) & (share > _SHARE)
    score, share = _in_pairs(strength, gram, half)
    apart = around[half:] - around[:half, None]
    pairs = (score > _PAIR_SCORE) & (share > _PAIR_SHARE) & (apart < residual.reach)
    return bool(np.any(alone) or np.any(pairs))


def _reach(names, theta) -> float:
    """The same as in `Residual`, in km/s; where v sin i is not known, no limit."""
    factor, more = _PAIR_REACH
    return factor * theta[names.index("vsini")] + more if "vsini" in names else np.inf


def _on_both_sides(velocities, bins) -> np.ndarray:
    """Whole bins to either side, between two velocities in km/s."""
    first, last = (round(velocity / bins.width_in_km_s) for velocity in velocities)
    side = np.arange(first, last + 1)
    return np.concatenate([-side[::-1], side])


def _projected(residual, rows) -> tuple[np.ndarray, np.ndarray]:
    """Products of lines (k, v, n) with the residual, (k, v), and with each other, (k, v, v), less what is within the
    span of the nuisance."""
    root = np.sqrt(residual.weight)
    nuisance = _orthonormal(residual.nuisance * root)
    missing, nuisance, rows = (root * residual.missing).astype("f4"), nuisance.astype("f4"), root.astype("f4") * rows
    overlap = rows @ nuisance.T
    strength = rows @ missing - overlap @ (nuisance @ missing)
    gram = rows @ rows.swapaxes(1, 2)
    diagonal = np.arange(gram.shape[1])
    floor = _LEAST * gram[:, diagonal, diagonal] + _TINY
    gram -= overlap @ overlap.swapaxes(1, 2)
    gram[:, diagonal, diagonal] = np.maximum(gram[:, diagonal, diagonal], floor)
    return strength, gram


def _orthonormal(rows) -> np.ndarray:
    """Orthonormal rows that span the same space as `rows` (p, n)."""
    scale = np.sqrt(np.sum(rows**2, axis=1))
    rows = rows[scale > 0] / scale[scale > 0, None]
    power, vectors = np.linalg.eigh(rows @ rows.T)
    kept = power > 1e-9
    return (vectors[:, kept] / np.sqrt(power[kept])).T @ rows


def _alone(strength, power) -> tuple[np.ndarray, np.ndarray]:
    """Significance and share of the light of single sets of lines."""
    return strength / np.sqrt(power), strength / power


def _in_pairs(strength, gram, half) -> tuple[np.ndarray, np.ndarray]:
    """Significance (k, half, half) of lines at two shifts, one of the first `half` and one of the next, and the
    smaller of their shares of the light."""
    a, b = strength[:, :half, None], strength[:, None, half : 2 * half]
    power = np.einsum("kii->ki", gram)
    aa, bb, ab = power[:, :half, None], power[:, None, half : 2 * half], gram[:, :half, half : 2 * half]
    determinant = np.maximum(aa * bb - ab**2, _LEAST * aa * bb)
    first, second = (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant
    return np.sqrt(np.maximum(a * first + b * second, 0.0)), np.minimum(first, second)
