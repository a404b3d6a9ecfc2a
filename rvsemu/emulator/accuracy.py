"""How far an emulator errs: measured on validation spectra, per pixel, of pixels together, and by label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .._frozen import frozen, read_only
from .._values import covariance

__all__ = ["ErrorModel"]


@frozen
class ErrorModel:
    """Error of an emulator measured on validation spectra in ranges of Teff: per pixel, and how pixels err together.

    Errors also depend on other labels, by factors that are the same in all pixels.

    Parameters
    ----------
    teff : ndarray, shape (k,)
        Nodes in K, increasing; between them the error is interpolated, outside it is held.
    sigma : ndarray, shape (k, n_pixels)
        RMS error.
    components : ndarray, shape (k, r, n_pixels), optional
        Low-rank part of the covariance: that of node i is ``components[i].T @ components[i]`` plus a
        diagonal that brings the variances up to ``sigma[i]**2``. Without it errors are independent, r = 0.
    factors : dict of ndarray, shape (2, l), optional
        By name of a label: its nodes, increasing, and factors of the error there, which are interpolated between them
        and held outside. The error has the product of those of all labels.
    label_covariance : ndarray, shape (l, l), optional
        Errors of labels that no spectrum shows, in the units of all l labels of the emulator: the errors of fits have
        them besides. Without it there are none, l = 0.

    Raises
    ------
    ValueError
        The shapes do not fit each other, nodes do not increase, a number is not finite, an error or a factor is
        negative, or `label_covariance` is none.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.emulator import ErrorModel
    >>> error = ErrorModel(teff=np.array([4000.0, 8000.0]), sigma=np.array([[0.002, 0.004], [0.001, 0.001]]))
    >>> error([6000, 20000])
    array([[0.0015, 0.0025],
           [0.001 , 0.001 ]])
    >>> poor = ErrorModel(error.teff, error.sigma, factors={"logg": np.array([[1.0, 3.0], [2.0, 1.0]])})
    >>> poor([6000, 20000], logg=np.array([2.0, 4.5]))
    array([[0.00225, 0.00375],
           [0.001  , 0.001  ]])
    >>> variance, low_rank = error.covariance(6000)
    >>> variance.shape, low_rank.shape
    ((2,), (0, 2))
    """

    teff: np.ndarray
    sigma: np.ndarray
    components: np.ndarray = None  # type: ignore[assignment]  # arrays when it is made
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    label_covariance: np.ndarray = field(default_factory=lambda: read_only(np.zeros((0, 0))))

    def __post_init__(self):
        if self.components is None:
            none = read_only(np.zeros((len(self.teff), 0, self.sigma.shape[-1])))
            object.__setattr__(self, "components", none)
        if self.teff.ndim != 1 or len(self.teff) < 2 or not np.all(np.diff(self.teff) > 0):
            raise ValueError("the nodes of the error model do not increase")
        if self.sigma.ndim != 2 or len(self.sigma) != len(self.teff):
            raise ValueError("sigma does not fit the nodes of the error model")
        if self.components.ndim != 3 or self.components.shape[::2] != self.sigma.shape:
            raise ValueError("the components of the error model do not fit its sigma")
        for name, table in self.factors.items():
            if table.ndim != 2 or len(table) != 2 or not table.size or not np.all(np.diff(table[0]) > 0):
                raise ValueError(f"the nodes of the error model in {name} do not increase, or have no factors")
        arrays = [self.teff, self.sigma, self.components, *self.factors.values()]
        if not all(np.isfinite(x).all() for x in arrays):
            raise ValueError("the error model is not finite")
        if (self.sigma < 0).any() or any((table[1] < 0).any() for table in self.factors.values()):
            raise ValueError("the error model has errors or factors below 0")
        covariance("label_covariance", self.label_covariance)

    def trimmed(self, some: slice) -> ErrorModel:
        """The same for `some` of the pixels."""
        return replace(self, sigma=self.sigma[:, some], components=self.components[..., some])

    def __call__(self, teff: ArrayLike, **labels: ArrayLike) -> np.ndarray:
        """Error (n, n_pixels) at effective temperatures (n,) and other labels (n,) or one of them; those that are not
        given have the factor 1."""
        i, f = self._between(teff)
        factor = np.atleast_1d(self.factor(labels))[:, None]
        return ((1 - f[:, None]) * self.sigma[i] + f[:, None] * self.sigma[i + 1]) * factor

    def factor(self, labels: Mapping[str, ArrayLike]) -> np.ndarray:
        """Product of the factors at labels by name."""
        out = np.ones(())
        for name, table in self.factors.items():
            if name in labels:
                out = out * np.interp(np.asarray(labels[name], dtype=float), *table)
        return out

    def covariance(
        self, teff: ArrayLike, *, at: tuple[np.ndarray, np.ndarray] | None = None, **labels: ArrayLike
    ) -> tuple[np.ndarray, np.ndarray]:
        """Covariances of stars, interpolated linearly between the nodes' covariances.

        Parameters
        ----------
        teff, **labels : float or array_like, shape (...)
        at : (ndarray of int, ndarray), each of shape (..., m), optional
            Where between the pixels: number of the one before, and the share of the next; default: at all n pixels.

        Returns
        -------
        variance : ndarray, shape (..., m)
            Its diagonal part, >= 0.
        low_rank : ndarray, shape (..., 2 r, m)
            Rows u; the covariance is diag(variance) + sum of u u^T.
        """
        node, share = self._between(teff)
        factor = np.broadcast_to(self.factor(labels), share.shape)[..., None]
        shares = np.stack([1 - share, share], axis=-1)
        (diagonal, components), shape = self._parts, share.shape
        between = (
            [None] * share.size if at is None else zip(*(np.reshape(x, (share.size, -1)) for x in at), strict=True)
        )
        n = self.sigma.shape[-1] if at is None else at[0].shape[-1]
        variance, low_rank = np.empty((share.size, 2, n)), np.empty((share.size, 2, components.shape[1], n))
        for i, where, *out in zip(node.ravel(), between, variance, low_rank, strict=True):
            for part, target in zip((diagonal, components), out, strict=True):
                _interpolate(part[i : i + 2], where, target)
        variance = variance.reshape(*shape, 2, n)
        variance = (shares[..., :1] * variance[..., 0, :] + shares[..., 1:] * variance[..., 1, :]) * factor**2
        low_rank = low_rank.reshape(*shape, *low_rank.shape[1:])
        low_rank *= (np.sqrt(shares) * factor)[..., None, None]
        return variance, low_rank.reshape(*shape, -1, n)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each node the diagonal part of the covariance (k, n_pixels), and the components (k, r, n_pixels)."""
        components = self.components.astype(float)
        return np.maximum(np.square(self.sigma, dtype=float) - np.sum(components**2, axis=1), 0.0), components

    def _between(self, teff):
        """Node below, and the share of the next."""
        teff = np.clip(np.asarray(teff, dtype=float), self.teff[0], self.teff[-1])
        i = np.clip(np.searchsorted(self.teff, teff) - 1, 0, len(self.teff) - 2)
        return i, (teff - self.teff[i]) / (self.teff[i + 1] - self.teff[i])


def _interpolate(rows, at, out):
    """Write `rows` (..., n), or what they are `at` places between their columns, to `out` (..., m)."""
    if at is None:
        out[:] = rows
        return
    before, share = at
    np.take(rows, before, axis=-1, mode="clip", out=out)  # faster than rows[..., before]
    out *= 1 - share
    out += rows[..., before + 1] * share
