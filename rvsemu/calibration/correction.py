"""The correction that spectra ask for: a linear problem with a Gaussian prior, solved by conjugate gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from scipy.fft import irfft, rfft
from scipy.ndimage import gaussian_filter1d

__all__ = ["Linear", "Prior", "solve"]

_TOLERANCE, _STEPS = 1e-3, 400
_LEAST_SPREAD = 1e-3  # of the continuum
_LINE = 5.0  # points


@dataclass(frozen=True)
class Linear:
    """Spectra of n stars about a model, on m points at rest, in units of the continuum.

    The residual of a star is ``residual = coordinates @ correction + nuisance.T @ z + noise``, with z standard normal
    (errors of the given labels, what is known of the others, radial velocity, continuum) and noise of the variance
    ``1 / weight**2``, independent from point to point: its variance is that of a mean over many pixels.

    Parameters
    ----------
    residual : ndarray, shape (n, m)
    weight : ndarray, shape (n, m)
        0 where nothing is known.
    nuisance : ndarray, shape (n, r, m)
    """

    residual: np.ndarray
    weight: np.ndarray
    nuisance: np.ndarray

    def __len__(self) -> int:
        return len(self.residual)

    @property
    def spread(self) -> np.ndarray:
        """RMS (m,) of the residuals, noise and all, as smooth as lines are; not below 0.001."""
        known = self.weight > 0
        total = gaussian_filter1d(np.sum(np.where(known, self.residual, 0.0) ** 2, axis=0), _LINE)
        number = gaussian_filter1d(known.sum(axis=0).astype(total.dtype), _LINE)
        return np.sqrt(np.maximum(total / np.maximum(number, 1e-9), _LEAST_SPREAD**2))

    @classmethod
    def joined(cls, each: Sequence[Linear]) -> Linear:
        """Several of them as one."""
        return cls(*(np.concatenate([getattr(one, f.name) for one in each]) for f in fields(cls)))

    def trimmed(self, some: slice) -> Linear:
        """The same on some of the points."""
        return Linear(*(np.ascontiguousarray(getattr(self, f.name)[..., some]) for f in fields(self)))

    def take(self, rows: np.ndarray) -> Linear:
        """Some of the stars."""
        out = Linear(self.residual[rows], self.weight[rows], self.nuisance[rows])
        out.__dict__["_factor"] = self._factor[rows]  # takes longer than the rest
        return out

    @cached_property
    def _factor(self) -> np.ndarray:
        """Rows (n, r, m) whose products are what the nuisances take from whitened spectra."""
        white = self.nuisance * self.weight[:, None]
        inner = np.eye(white.shape[1]) + np.einsum("nrm,nsm->nrs", white, white, optimize=True)
        lower = np.linalg.cholesky(inner.astype("f8"))
        return np.linalg.solve(lower, white.astype("f8")).astype(white.dtype)

    def whitened(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, m) over their noise, and their products (n, r) with what the nuisances take away."""
        white = rows * self.weight
        return white, np.matmul(self._factor, white[:, :, None])[:, :, 0]

    def solved(self, rows: np.ndarray) -> np.ndarray:
        """C^-1 of each star times its row, (n, m), with C the covariance of noise and nuisances (Woodbury)."""
        white, low = self.whitened(rows)
        return (white - np.matmul(low[:, None], self._factor)[:, 0]) * self.weight

    def misfit(self, rows: np.ndarray) -> np.ndarray:
        """``x^T C^-1 x`` (n,) of rows (n, m)."""
        white, low = self.whitened(rows)
        return np.sum(white**2, axis=1, dtype="f8") - np.sum(low**2, axis=1, dtype="f8")


@dataclass(frozen=True)
class Prior:
    """Gaussian prior of each row of a correction: smooth in wavelength, as what has gone through the instrument.

    Parameters
    ----------
    sigma : ndarray, shape (m,)
        Standard deviation.
    width : float
        Points: standard deviation of the Gaussian that makes white noise of unit variance into such functions.
    """

    sigma: np.ndarray
    width: float

    def functions(self, white: np.ndarray) -> np.ndarray:
        """Functions (q, m) with this prior from white numbers (q, m)."""
        return self.sigma * self._smooth(white)

    def adjoint(self, functions: np.ndarray) -> np.ndarray:
        """The transpose of `functions`."""
        return self._smooth(self.sigma * functions)

    def _smooth(self, rows):
        unit = np.sqrt(2.0 * np.sqrt(np.pi) * self.width)
        return unit * gaussian_filter1d(rows, self.width, axis=-1, mode="constant", truncate=5.0)

    def power(self, points: int) -> np.ndarray:
        """Power spectrum of `_smooth` squared, for `points`."""
        frequency = np.arange(points // 2 + 1) / points
        return 2.0 * np.sqrt(np.pi) * self.width * np.exp(-((2 * np.pi * frequency * self.width) ** 2))


def solve(stars: Linear, coordinates: np.ndarray, prior: Prior, start: np.ndarray | None = None) -> np.ndarray:
    """The white numbers (q, m) that ``prior.functions`` makes the most probable correction of.

    Parameters
    ----------
    stars : Linear
        n stars, m points.
    coordinates : ndarray, shape (n, q)
    prior : Prior
    start : ndarray, shape (q, m), optional
        White numbers to start from.
    """
    g = coordinates.astype(stars.residual.dtype)
    target = prior.adjoint(g.T @ stars.solved(stars.residual))
    precondition = _preconditioner(stars, g, prior)

    def normal(white):
        return prior.adjoint(g.T @ stars.solved(g @ prior.functions(white))) + white

    x = np.zeros_like(target) if start is None else start
    residual = target - normal(x) if start is not None else target.copy()
    step = y = precondition(residual)
    size = np.sum(residual * y, dtype="f8")
    reference = np.sum(target * precondition(target), dtype="f8")
    for _ in range(_STEPS):
        if size <= _TOLERANCE**2 * reference:
            break
        moved = normal(step)
        length = size / np.sum(step * moved, dtype="f8")
        x = x + length * step
        residual = residual - length * moved
        y = precondition(residual)
        size, before = np.sum(residual * y, dtype="f8"), size
        step = y + size / before * step
    return x


def _preconditioner(stars, g, prior):
    """Inverse of the normal matrix of stars that have the same, constant noise and no nuisances."""
    points = stars.residual.shape[1]
    weight = np.sum(stars.weight**2, axis=0) / len(stars)
    level = float(np.mean(weight * prior.sigma**2))
    values, vectors = np.linalg.eigh((g.T @ g).astype("f8"))
    vectors = vectors.astype(g.dtype)
    damp = (1.0 / (1.0 + values[:, None] * level * prior.power(points))).astype(g.dtype)

    def apply(rows):
        return vectors @ irfft(rfft(vectors.T @ rows, axis=-1) * damp, n=points, axis=-1)

    return apply
