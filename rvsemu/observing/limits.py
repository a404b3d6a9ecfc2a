"""Whether a value with a Gaussian error is at a limit of its range: the same rule for fits and inversions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["CROWDED", "near_limits"]

_LEAST = 1e-3  # of the range of a label
CROWDED = 1.3  # standard deviations from a limit: see `rvsemu.fitting.limits.crowded`
_NOTHING = 0.5  # of the error that a label has if its range is all that is known


def near_limits(
    values: np.ndarray,
    errors: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    from_zero: np.ndarray,
    floor: np.ndarray | None = None,
    crowded: ArrayLike = CROWDED,
) -> np.ndarray:
    """Whether values are beyond a limit, or nearer to it than some errors or a thousandth of the range.

    Errors do not count where the label is not known twice as well as from its range alone: its value is then near the
    middle or a limit by chance.

    Parameters
    ----------
    values, errors : ndarray, shape (..., m)
    lower, upper : ndarray, shape (m,)
    from_zero : ndarray of bool, shape (m,)
        Labels that have no lower limit, as nothing lies beyond.
    floor : ndarray, shape (..., m), optional
        Lower limits at these values, where they differ from `lower`.
    crowded : array_like, shape () or (m,)
        Number of errors.

    Returns
    -------
    ndarray of bool, shape (..., m)

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.observing.limits import near_limits
    >>> lower, upper, from_zero = np.array([3600.0, 0.0]), np.array([15000.0, 300.0]), np.array([False, True])
    >>> near_limits(np.array([3700.0, 1.0]), np.array([100.0, 5.0]), lower, upper, from_zero)
    array([ True, False])
    >>> near_limits(np.array([3700.0, 290.0]), np.array([50.0, 5.0]), lower, upper, from_zero)
    array([False, False])
    """
    width = upper - lower
    known = errors < _NOTHING * width / np.sqrt(12.0)
    margin = np.maximum(_LEAST * width, np.where(known, crowded * errors, 0.0))
    above = np.where(from_zero, np.inf, values - (lower if floor is None else floor))
    return np.minimum(above, upper - values) < margin
