"""Covariance matrices that are a band plus a low rank, factorised once and applied to many vectors."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cholesky_banded, lapack

__all__ = ["Covariance", "banded", "banded_sum", "dense"]

_BLOCK = 48


def banded(correlation, sigma, used) -> np.ndarray:
    """Lower bands (..., w + 1, n) of ``sigma_i sigma_j correlation_ij``.

    Parameters
    ----------
    correlation : ndarray, shape (w + 1, n)
        Row d has the elements (i + d, i); see `rvsemu.observing.correlation.correlation_band`.
    sigma : ndarray, shape (..., n)
    used : ndarray of bool, shape (..., n)
        Elsewhere the matrix is that of independent numbers of unit variance, which the others do not know.

    Returns
    -------
    ndarray, shape (..., w + 1, n)
        Row d has the elements (i + d, i); its last d columns are zero.
    """
    return banded_sum([correlation], [sigma], used)


def banded_sum(correlations, sigmas, used) -> np.ndarray:
    """Sum of the lower bands of several `correlations`, of any widths, each with its `sigmas`: see `banded`."""
    parts = sorted(zip(correlations, sigmas, strict=True), key=lambda part: -len(part[0]))
    n, width = used.shape[-1], len(parts[0][0])
    scaled = np.zeros((len(parts), used.size // n, n + width - 1))
    for target, (_, sigma) in zip(scaled, parts, strict=True):
        target[:, :n] = np.where(used, sigma, 0.0).reshape(-1, n)
    lagged = np.lib.stride_tricks.sliding_window_view(scaled, n, axis=-1)
    out = np.zeros((used.size // n, width, n))
    for i, band in enumerate(out):  # one matrix at a time stays in the cache
        for (correlation, _), own in zip(parts, lagged[:, i], strict=True):
            product = correlation * own[0]
            product *= own[: len(correlation)]
            band[: len(correlation)] += product
    out[:, 0] = np.where(used.reshape(-1, n), out[:, 0], 1.0)
    return out.reshape(*used.shape[:-1], width, n)


def dense(band, low_rank=None) -> np.ndarray:
    """The full matrix (n, n): for tests and small things."""
    n = band.shape[1]
    out = np.diag(band[0])
    for lag in range(1, len(band)):
        values = band[lag, : n - lag]
        out += np.diag(values, lag) + np.diag(values, -lag)
    return out if low_rank is None else out + low_rank.T @ low_rank


class Covariance:
    """``C = A + U^T U`` with A banded: A by its Cholesky factor, U by the Woodbury identity.

    With A = L L^T, the whitened low rank V = U L^-T = P S Q^T (singular values S),

        x^T C^-1 y  = x' . y' - g(x') . g(y'),    x' = L^-1 x,    g(x') = S / sqrt(1 + S^2) Q^T x'
        log det C = 2 sum log L_ii + sum log(1 + S^2)

    (Woodbury 1950, Mem. Rep. 42, Princeton; matrix determinant lemma). L^-1 is applied by substitution, row
    by row, or, for matrices that are to be used many times, in blocks of 48 or more pixels: products of small
    matrices that were inverted once, and what a block passes on to the next.

    Parameters
    ----------
    band : ndarray, shape (s, w + 1, n)
        Lower bands of s matrices (see `banded`), positive definite.
    low_rank : ndarray, shape (s, k, n), optional

    Raises
    ------
    numpy.linalg.LinAlgError
        A matrix is not positive definite.
    """

    def __init__(self, band, low_rank=None):
        _, width, self._n = np.shape(band)
        self._width = width - 1
        try:
            factors = [cholesky_banded(one, lower=True, check_finite=False) for one in band]
        except LinAlgError as e:
            raise np.linalg.LinAlgError("the covariance is not positive definite") from e
        self._factors = [{"f8": factor, "f4": factor.astype("f4")} for factor in factors]
        self.log_determinant = np.array([2.0 * np.sum(np.log(factor[0])) for factor in factors])
        self._size, self._blocks = 0, 0
        self._parts: dict[str, tuple[np.ndarray, ...]] = {}  # of those that are prepared
        self._projection: dict[str, tuple[np.ndarray, ...]] | None = None
        if low_rank is not None and np.shape(low_rank)[1]:
            self._project(low_rank)

    def prepared(self) -> Covariance:
        """The same, ready for many uses: worth it from a hundred rows on (see the class)."""
        out = object.__new__(Covariance)
        out.__dict__.update(self.__dict__)
        out._size = max(_BLOCK, -(-self._width // 16) * 16)
        out._blocks = -(-self._n // out._size)
        padded = np.zeros((len(self._factors), self._width + 1, out._blocks * out._size))
        padded[:, 0, self._n :] = 1.0
        padded[:, :, : self._n] = [factor["f8"] for factor in self._factors]
        out._parts = _in_both(*out._in_blocks(padded))
        if self._projection is not None:
            more = ((0, 0), (0, padded.shape[2] - self._n), (0, 0))
            out._projection = _in_both(np.pad(self._projection["f8"][0], more))
        return out

    def _in_blocks(self, factor):
        """Transposed inverses (s, blocks, b, b) of the diagonal blocks of L, and the (s, blocks, w, b) by which
        the last w results of a block change those of the next."""
        stars, size, width = len(factor), self._size, self._width
        columns = factor.reshape(stars, width + 1, self._blocks, size)
        inverse = np.zeros((stars, self._blocks, size, size))
        below = np.zeros((stars, self._blocks, size, width))
        reciprocal = 1.0 / columns[:, 0]
        for row in range(size):
            reach = min(row, width)
            inverse[:, :, row, row] = 1.0
            if reach:
                lags = np.arange(reach, 0, -1)
                coefficients = columns[:, lags, :, row - lags]  # (reach, stars, blocks): L[row, row - lag]
                coefficients = np.moveaxis(coefficients, 0, -1)[:, :, None, :]
                inverse[:, :, row, :row] = -(coefficients @ inverse[:, :, row - reach : row, :row])[:, :, 0]
            inverse[:, :, row] *= reciprocal[:, :, row, None]
        for lag in range(1, width + 1):
            for row in range(min(lag, size)):  # element (row, row - lag), in the last columns of the block before
                below[:, 1:, row, width + row - lag] = columns[:, lag, :-1, size + row - lag]
        passed = inverse @ below
        return np.ascontiguousarray(inverse.swapaxes(-1, -2)), np.ascontiguousarray(passed.swapaxes(-1, -2))

    def whiten(self, rows) -> np.ndarray:
        """``L^-1 x`` for the rows (s, r, n) of each of s matrices: (s, r, n), or a little longer, with zeros.

        In single precision for rows of float32.
        """
        kind = "f4" if rows.dtype == np.float32 else "f8"
        if self._blocks:
            return self._in_products(rows, *self._parts[kind])
        out = np.array(rows, dtype=kind, order="C")
        substitute = lapack.stbtrs if kind == "f4" else lapack.dtbtrs
        for factor, target in zip(self._factors, out, strict=True):
            substitute(factor[kind], target.T, uplo="L", overwrite_b=True)
        return out

    def _in_products(self, rows, inverse, passed):
        """`whiten` block by block."""
        stars, many = rows.shape[:2]
        out = np.zeros((stars, many, self._blocks, self._size), dtype=rows.dtype)
        out.reshape(stars, many, -1)[:, :, : self._n] = rows
        blocks = out.swapaxes(1, 2) @ inverse
        if self._width:
            for i in range(1, self._blocks):
                blocks[:, i] -= blocks[:, i - 1, :, -self._width :] @ passed[:, i]
        out[:] = blocks.swapaxes(1, 2)
        return out.reshape(stars, many, -1)

    def _project(self, low_rank):
        white = self.whiten(low_rank)
        gram = white @ white.swapaxes(-1, -2)
        power, vectors = np.linalg.eigh(gram)  # S^2, and what turns white into S times Q^T
        power = np.maximum(power, 0.0)
        self.log_determinant = self.log_determinant + np.sum(np.log1p(power), axis=1)
        projection = (vectors / np.sqrt(1.0 + power)[:, None, :]).swapaxes(-1, -2) @ white
        self._projection = _in_both(projection.swapaxes(-1, -2))

    def take(self, which) -> Covariance:
        """Those of the matrices with the numbers `which`."""
        out = object.__new__(Covariance)
        out.__dict__.update(self.__dict__)
        out._factors = [self._factors[i] for i in which]
        out.log_determinant = self.log_determinant[which]
        for name in ("_projection", "_parts"):
            both = getattr(self, name)
            setattr(out, name, both and {kind: tuple(a[which] for a in arrays) for kind, arrays in both.items()})
        return out

    def low(self, white) -> np.ndarray:
        """g(x') (s, r, k) of whitened rows (s, r, padded n); k is 0 without a low rank."""
        if self._projection is None:
            return np.zeros((*white.shape[:2], 0), dtype=white.dtype)
        return white @ self._projection["f4" if white.dtype == np.float32 else "f8"][0]

    def solve_pairs(self, rows) -> np.ndarray:
        """``x^T C^-1 y`` for all pairs x, y of the rows (s, r, n) of each of s matrices: (s, r, r)."""
        white = self.whiten(rows)
        low = self.low(white)
        return white @ white.swapaxes(-1, -2) - low @ low.swapaxes(-1, -2)


def _in_both(*arrays: np.ndarray) -> dict[str, tuple[np.ndarray, ...]]:
    """The arrays in both precisions."""
    return {kind: tuple(np.ascontiguousarray(a, dtype=kind) for a in arrays) for kind in ("f4", "f8")}
