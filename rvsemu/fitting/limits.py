"""Whether a distribution is piled up against a limit of its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from ..emulator.labels import UNITS, is_signed
from ..observing.flags import AT_BOUND

__all__ = ["OUTSIDE", "crowded", "piled_up"]

OUTSIDE = 0.05
"""Share of a posterior outside the domain from which on the flag ``outside-domain`` is set."""

_EDGE = 0.02  # of the range; also the share that a flat distribution has there
_OWN = 0.25  # of half the width of the central 68 %
_SHARE = 0.05


def piled_up(
    x: np.ndarray,
    weights: ArrayLike | None,
    ranges: Mapping[str, tuple[float, float]],
    lowest_logg: Sequence[tuple[float, float]] = (),
    units: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Flags ``at-bound:<label>`` of the labels whose weighted samples are `crowded`.

    Nothing lies beyond a lower limit of 0, as that of v sin i: there the result has an upper limit instead. It does
    beyond that of a logarithm or a radial velocity.

    Parameters
    ----------
    x : ndarray, shape (n, m)
        Samples of the labels in `ranges`, in their units.
    weights : array_like, shape (n,), or None
    ranges : dict of (float, float)
        Lower and upper limit of each label.
    lowest_logg : sequence of (float, float)
        Nodes of the lowest logg at each teff, linear between them, where that is above its lower limit.
    units : dict of str
        Of labels that are not well known.
    """
    columns = dict(zip(ranges, x.T, strict=True))
    if len(lowest_logg) and {"teff", "logg"} <= set(ranges):
        (low, high), logg = ranges["logg"], columns["logg"]
        edge = np.maximum(low, np.interp(columns["teff"], *np.transpose(lowest_logg)))
        columns["logg"] = high - (high - logg) * (high - low) / (high - edge)  # as if the domain were a box
    known = UNITS | dict(units)
    beyond = {n: low if low or is_signed(n, known.get(n, "")) else -np.inf for n, (low, _) in ranges.items()}
    return [f"{AT_BOUND}:{n}" for n in ranges if crowded(columns[n], weights, beyond[n], ranges[n][1])]


def crowded(x: ArrayLike, weights: ArrayLike | None, lower: float, upper: float) -> bool:
    """Whether weighted samples of a label crowd at one of its limits, so that the answer may lie beyond it.

    They do if more than 5 % of the weight is within 2 % of the range from a limit, or within an eighth of the width of
    the central 68 % if that is less, and more than chance makes of 2 %. A normal distribution does if the limit is
    nearer than some 1.3 standard deviations. A narrow one near a limit, but clear of it, does not. One that is flat
    over the whole range does not, either: it says that the data know nothing of the label, not that its value is
    beyond.

    Parameters
    ----------
    x : array_like, shape (n,)
        Samples, in the unit of the limits.
    weights : array_like, shape (n,), or None
        Their weights, whose sum need not be 1; None if they are all equal.
    lower, upper : float
        Limits of the label; an infinite one is none.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.fitting.limits import crowded
    >>> x = np.linspace(0.0, 1.0, 1000)
    >>> crowded(x, None, 0.0, 1.0), crowded(x**4, None, 0.0, 1.0)
    (False, True)
    """
    x = np.asarray(x, dtype=float)
    shares = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)
    shares = shares / shares.sum()
    order = np.argsort(x)
    low, high = np.interp((0.16, 0.84), np.cumsum(shares[order]), x[order])
    width = min(_EDGE * (upper - lower), _OWN * (high - low) / 2)
    share = max(shares[x <= lower + width].sum(), shares[x >= upper - width].sum())
    chance = _EDGE + 4 * np.sqrt(_EDGE * (1 - _EDGE) * np.sum(shares**2))
    return bool(share > max(_SHARE, chance))
