"""How many coordinates a correction has and how strong its prior is, by cross-validation over stars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats as statistics

from .correction import Linear, Prior, solve

__all__ = ["CHANCE", "Choice", "choose", "folds_of", "surely_less"]

CHANCE = 0.01
"""Probability that a correction that does nothing is taken for one that lowers the misfit of stars not used."""
COUNTS = (1, 2, 3, 4, 6, 8, 12)
"""Numbers of coordinates that are tried; 1 is an offset, the same for all stars of the calibration."""
_EACH = 3  # stars for each coordinate, at least
_STRENGTHS = (0.3, 1.0, 3.0)
_MOST_FOLDS = 10


@dataclass(frozen=True)
class Choice:
    """Settings of a correction, and what it does to stars that it was not made from.

    Parameters
    ----------
    count : int
        Number of coordinates.
    strength : float
        Factor of the standard deviation of the prior.
    misfit : ndarray, shape (n,)
        Of each star, with the correction that the other folds make.
    """

    count: int
    strength: float
    misfit: np.ndarray


def folds_of(names: Sequence[str], seed: int) -> np.ndarray:
    """Number of the fold of each spectrum (n,), 10 or as many as there are stars; all spectra of a star are in one."""
    stars, which = np.unique(np.asarray(names), return_inverse=True)
    number = np.arange(len(stars)) % min(_MOST_FOLDS, len(stars))
    return np.random.default_rng(seed).permutation(number)[which]


def choose(
    stars: Linear,
    coordinates: np.ndarray,
    prior: Prior,
    folds: np.ndarray,
    counts: Sequence[int] = COUNTS,
    cautious: bool = True,
) -> Choice:
    """The choice with the lowest misfit of held-out stars.

    Parameters
    ----------
    stars : Linear
    coordinates : ndarray, shape (n, q)
        All that may be used, in order.
    prior : Prior
        Of strength 1.
    folds : ndarray of int, shape (n,)
    counts : sequence of int
        Numbers of coordinates that are tried.
    cautious : bool
        Whether fewer coordinates are preferred that are as good as far as stars can tell.
    """

    def tried(count: int, strength: float) -> Choice:
        one = replace(prior, sigma=prior.sigma * np.asarray(strength, dtype=prior.sigma.dtype))
        some = coordinates[:, :count]
        left = np.empty_like(stars.residual)
        for fold in np.unique(folds):
            inside = folds != fold
            white = solve(stars.take(inside), some[inside], one)
            left[~inside] = stars.residual[~inside] - some[~inside] @ one.functions(white).astype(left.dtype)
        return Choice(count, strength, stars.misfit(left))

    strength = min((tried(counts[0], strength) for strength in _STRENGTHS), key=_score).strength
    most = min(max(1, len(stars) // _EACH), coordinates.shape[1])
    ladder = [tried(count, strength) for count in counts if count <= most]
    best = min(ladder, key=_score)
    again = [tried(best.count, best.strength * factor) for factor in (0.3, 3.0)]
    stronger = min([best, *again], key=_score)
    if stronger is not best:
        ladder = [tried(one.count, stronger.strength) for one in ladder]
        best = min(ladder, key=_score)
    if not cautious:
        return best
    return next(one for one in ladder if one is best or not surely_less(best.misfit, one.misfit, 0.16))


def surely_less(misfit: np.ndarray, other: np.ndarray, chance: float = CHANCE) -> bool:
    """Whether misfits (n,) are lower than `other` ones of the same stars, by Student's test of their differences and by
    their median."""
    gain = np.asarray(other) - np.asarray(misfit)
    if len(gain) < 2 or not np.median(gain) > 0 or not np.std(gain) > 0:
        return False
    return bool(statistics.ttest_1samp(gain, 0.0, alternative="greater").pvalue < chance)


def _score(choice: Choice) -> float:
    return float(np.mean(choice.misfit))
