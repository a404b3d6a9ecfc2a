"""Errors of inverted labels, as measured on validation spectra and depending on where in the box the star is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._frozen import frozen

__all__ = ["LabelErrors"]

_TEFF_RANGES, _VSINI_RANGES = 8, 4
_IN_RANGE = 60  # spectra a range of one label at least, where there are enough for two ranges
_FEWEST = 15  # in a cell of both


@frozen
class LabelErrors:
    """RMS error of each label on a grid of inverted Teff and v sin i, interpolated linearly and held outside.

    The two decide most of what a spectrum can tell: which lines there are, and how much of them rotation leaves.
    They are *inverted* values, as those are what a user has.

    Parameters
    ----------
    teff : ndarray, shape (a,)
        Nodes in K, increasing, a >= 2.
    vsini : ndarray, shape (b,)
        Nodes in km/s, increasing, b >= 2.
    sigma : ndarray, shape (a, b, n_labels)
        RMS errors in the units of the labels.

    Raises
    ------
    ValueError
        The shapes do not fit each other, nodes do not increase, a number is not finite, or an error is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.inversion import LabelErrors
    >>> sigma = np.array([[[50.0], [300.0]], [[100.0], [500.0]]])
    >>> errors = LabelErrors(teff=np.array([5000.0, 8000.0]), vsini=np.array([5.0, 200.0]), sigma=sigma)
    >>> errors([5000, 6500], [5, 5])
    array([[50.],
           [75.]])
    """

    teff: np.ndarray
    vsini: np.ndarray
    sigma: np.ndarray

    def __post_init__(self):
        nodes = (self.teff, self.vsini)
        if any(x.ndim != 1 or len(x) < 2 or not np.all(np.diff(x) > 0) for x in nodes):
            raise ValueError("the nodes of the errors do not increase")
        if self.sigma.ndim != 3 or self.sigma.shape[:2] != tuple(map(len, nodes)):
            raise ValueError("the errors do not fit their nodes")
        if not all(np.isfinite(x).all() for x in (*nodes, self.sigma)) or (self.sigma < 0).any():
            raise ValueError("the errors or their nodes are not finite, or an error is below 0")

    @classmethod
    def of(cls, teff: np.ndarray, vsini: np.ndarray, error: np.ndarray) -> LabelErrors:
        """Measured in cells with about equal numbers of spectra, with nodes at their medians.

        A cell with less than 15 spectra takes the RMS of all spectra in its range of Teff, or of all.

        Parameters
        ----------
        teff, vsini : ndarray, shape (n,)
            Inverted values.
        error : ndarray, shape (n, n_labels)
            Inverted - true. Errors are not centred: a mean error is an error.
        """
        in_teff, teff_nodes = _ranges(teff, _TEFF_RANGES)
        in_vsini, vsini_nodes = _ranges(vsini, _VSINI_RANGES)
        sigma = np.empty((len(teff_nodes), len(vsini_nodes), error.shape[1]))
        for i in range(len(teff_nodes)):
            row = in_teff == i
            for j in range(len(vsini_nodes)):
                chosen = next((c for c in (row & (in_vsini == j), row) if c.sum() >= _FEWEST), slice(None))
                sigma[i, j] = np.sqrt(np.mean(error[chosen] ** 2, axis=0))
        return cls(teff_nodes, vsini_nodes, sigma)

    def __call__(self, teff: ArrayLike, vsini: ArrayLike) -> np.ndarray:
        """Errors (n, n_labels) at inverted values (n,)."""
        i, f = _between(self.teff, teff)
        j, g = _between(self.vsini, vsini)
        f, g = f[:, None], g[:, None]
        below = (1 - g) * self.sigma[i, j] + g * self.sigma[i, j + 1]
        above = (1 - g) * self.sigma[i + 1, j] + g * self.sigma[i + 1, j + 1]
        return (1 - f) * below + f * above


def _ranges(x, most):
    """The number of the range of each value, and the median of each range."""
    count = int(np.clip(len(x) // _IN_RANGE, 2, most))
    edges = np.quantile(x, np.linspace(0, 1, count + 1)[1:-1])
    which = np.searchsorted(edges, x, side="right")
    medians = [np.median(x[which == i]) if np.any(which == i) else np.nan for i in range(count)]
    if not np.all(np.diff(medians) > 0):  # all alike: two nodes that say the same
        which, medians = np.zeros(len(x), dtype=int), [np.median(x), np.median(x) + 1.0]
    return which, np.array(medians)


def _between(nodes, x):
    """Node below, and the share of the next."""
    x = np.clip(np.asarray(x, dtype=float), nodes[0], nodes[-1])
    i = np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2)
    return i, (x - nodes[i]) / (nodes[i + 1] - nodes[i])
