"""When an ensemble of walkers has been sampled for long enough, by its autocorrelation times."""

from __future__ import annotations

import numpy as np

from .chain_file import BLOCK

__all__ = ["ADAPT", "Convergence", "autocorrelation_times", "look"]

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
    """Says when to stop, looking at chains whose lengths grow by a tenth, so that looking costs little.

    Parameters
    ----------
    stop : float or None
        Number of autocorrelation times, of the label with the longest one, that the chain must have after the
        burn-in; and the mean of the times of all labels must have changed by less than 1 % since the look before.
        None never stops.
    """

    def __init__(self, stop):
        self._stop, self._known = stop, {}

    @property
    def tau(self) -> float:
        """The longest autocorrelation time at the last look; NaN before the first."""
        return max(self._known.values())[2] if self._known else np.nan

    def reached(self, coords) -> bool:
        """Whether the chain (steps, walkers, m) is long enough; what was looked at before makes no difference."""
        if self._stop is None or len(coords) != (looks := _looks(len(coords)))[-1]:
            return False
        (_, first, longest, mean), before = self._look(coords), self._look(coords[: looks[-2]])
        return len(coords) - first > self._stop * longest and abs(mean / before[3] - 1) < _CHANGE

    def _look(self, coords) -> tuple:
        if len(coords) not in self._known:
            first, tau = look(coords)
            self._known[len(coords)] = len(coords), first, float(tau.max()), float(tau.mean())
        return self._known[len(coords)]


def _looks(steps) -> list[int]:
    """Lengths up to `steps` at which to look, two at least."""
    out = [ADAPT + 2 * BLOCK]
    while out[-1] < steps or len(out) < 2:
        out.append(max(out[-1] + BLOCK, int(np.ceil(_GROWTH * out[-1] / BLOCK)) * BLOCK))
    return out
