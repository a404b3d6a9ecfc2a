"""When an ensemble of walkers has been sampled for long enough, by its autocorrelation times."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["ADAPT", "BLOCK", "Convergence", "autocorrelation_times", "look"]

BLOCK = 100
"""Steps between two adaptations of the proposals, and the least between two looks or two writes to a file."""

ADAPT = 300
"""Steps during which the proposals are adapted; they are always part of the burn-in."""
_CHANGE = 0.01
_GROWTH = 1.1


def look(coords) -> tuple[int, np.ndarray]:
    """Burn-in, and autocorrelation times of what follows it, of a chain (steps, walkers, m).

    The burn-in is five times the longest autocorrelation time, at least `ADAPT` steps, at most half of the chain.
    """
    half = len(coords) // 2
    first = min(ADAPT, half)
    tau = autocorrelation_times(coords[first:])
    first = int(min(max(first, 5 * tau.max()), half))
    return first, tau


def autocorrelation_times(coords) -> np.ndarray:
    """Integrated autocorrelation times (m,) in steps, of chains (steps, walkers, m); from 1 to the number of steps.

    The autocorrelation function is the mean of those of the walkers, summed up to five times the result (Sokal's
    window; Goodman & Weare 2010, CAMCoS 5, 65).
    """
    from emcee.autocorr import integrated_time

    steps = max(1, len(coords))
    if steps < 4:
        return np.full(coords.shape[-1], float(steps))
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = integrated_time(coords, tol=0, quiet=True)
    return np.clip(np.where(np.isfinite(tau), tau, steps), 1.0, steps)  # not finite: a label that never moved


class Convergence:
    """Says whether a chain is long enough, looking at it when it has grown by a tenth, so that looking costs little.

    Parameters
    ----------
    target : float
        Number of autocorrelation times, of the label with the longest one, that the chain must have after the burn-in.
    """

    def __init__(self, target: float):
        self._target = target
        self._known: dict[int, tuple] = {}

    @property
    def tau(self) -> float:
        """The longest autocorrelation time at the last look; NaN before the first."""
        return float(self._known[max(self._known)][1].max()) if self._known else np.nan

    def look(self, coords: np.ndarray) -> tuple[int, np.ndarray]:
        """`look` at the chain so far; a length that was looked at before is not looked at again."""
        if len(coords) not in self._known:
            self._known[len(coords)] = look(coords)
        return self._known[len(coords)]

    def reached(self, coords: np.ndarray) -> bool:
        """Whether the chain (steps, walkers, m) is long enough, and its times have settled at some time.

        They have if at a look the chain was long enough and the mean of the times of all labels was that of the look
        before, to 1 %. The answer depends on the chain alone: not on who sampled it, in how many parts, or why it ends.
        """
        pairs = pairwise(_looks(len(coords)))
        settled = any(self._settled(coords[:n], coords[:before]) for before, n in reversed(list(pairs)))
        return settled and self._long(coords)

    def _settled(self, coords, before) -> bool:
        change = self.look(coords)[1].mean() / self.look(before)[1].mean() - 1
        return self._long(coords) and abs(change) < _CHANGE

    def _long(self, coords) -> bool:
        first, tau = self.look(coords)
        return bool(len(coords) - first > self._target * tau.max())


def _looks(steps) -> list[int]:
    """Lengths up to `steps` at which to look."""
    out, n = [], ADAPT + 2 * BLOCK
    while n <= steps:
        out.append(n)
        n = max(n + BLOCK, int(np.ceil(_GROWTH * n / BLOCK)) * BLOCK)
    return out
