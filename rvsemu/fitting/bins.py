"""Logarithmic bins of wavelength that belong to an emulator: a radial velocity is a shift by so many of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ..observing.continuum import Projection, White
from ..observing.memory import remembered
from ..physics.continuum import chebyshev_basis
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import SPEED_OF_LIGHT

__all__ = ["WIDTH", "Binned", "Bins", "shares_of"]

WIDTH = 10.0
"""Width of a bin, km/s: a third of a line at the resolution of the RVS. For emulators of higher resolution bins are
half a line at their highest one."""
_MARGIN = 2.0  # bins at either end of the emulator's grid that are left free for averages and derivatives
_NODES = np.arange(-0.8, 0.9, 0.2)  # of the average over the triangle, in bins
_OFFSET = 0.3  # bins, for derivatives
_MISFIT = 0.01  # of the continuum: what to allow for before anything is known of the star
_SLOPE = 0.05  # of the continuum in a bin, on the flank of a line: what a pixel off the middle may be wrong by


class Bins:
    """Bins of equal width in ln(wavelength), over the range of an emulator.

    A pixel is shared between the two bins next to it in linear proportion. What a bin has of a star is then the
    flux averaged with a triangle over two bins, and so models are averaged with the same triangle.

    Parameters
    ----------
    emulator : Emulator

    Attributes
    ----------
    count : int
    """

    def __init__(self, emulator):
        grid = emulator.wavelength
        self._grid: tuple[float, float, int] = grid[0], grid[1] - grid[0], len(grid)
        names, upper = emulator.labels.names, emulator.labels.upper
        highest = upper[names.index("resolution")] if "resolution" in names else 0.0
        self.width = min(WIDTH / SPEED_OF_LIGHT, 0.5 / max(highest, 1.0))
        self._start = np.log(grid[0]) + _MARGIN * self.width
        self.count = int((np.log(grid[-1]) - self._start) / self.width - _MARGIN) + 1

    @property
    def width_in_km_s(self) -> float:
        """Width of a bin, km/s."""
        return self.width * SPEED_OF_LIGHT

    def position(self, wavelength) -> np.ndarray:
        """Numbers of bins, with fractions, at which wavelengths in Angstrom are."""
        return (np.log(wavelength) - self._start) / self.width

    def shift(self, velocity) -> np.ndarray:
        """Shift, in bins, of a star that recedes at `velocity` km/s."""
        return np.arctanh(np.asarray(velocity, dtype=float) / SPEED_OF_LIGHT) / self.width

    def shift_slope(self, velocity) -> np.ndarray:
        """Derivative of `shift` by the velocity."""
        return 1.0 / (SPEED_OF_LIGHT * self.width * (1.0 - (velocity / SPEED_OF_LIGHT) ** 2))

    def velocity(self, shift) -> np.ndarray:
        """Velocity in km/s of a star whose spectrum is shifted by so many bins."""
        return SPEED_OF_LIGHT * np.tanh(np.asarray(shift, dtype=float) * self.width)

    def shifts(self, velocities) -> tuple[int, int]:
        """Lowest and highest whole shift between two velocities, or the one nearest to their middle."""
        low, high = self.shift(velocities)
        if np.ceil(low) > np.floor(high):
            low = high = round((low + high) / 2)
        return int(np.ceil(low)), int(np.floor(high))

    def averaged(self, rows, offset=0.0) -> np.ndarray:
        """Rows (k, n_grid) on the emulator's grid, in each bin moved by `offset` bins: (k, count)."""
        return (self._matrix(offset) @ rows.T).T

    def _matrix(self, offset) -> sparse.csr_array:
        weights = (1.0 - np.abs(_NODES)) / np.sum(1.0 - np.abs(_NODES))
        number = np.arange(self.count)
        points = [np.exp(self._start + (number + offset + node) * self.width) for node in _NODES]
        return sum(w * interpolation_matrix(*self._grid, x) for w, x in zip(weights, points, strict=True))

    def merged(self, rows) -> np.ndarray:
        """Rows (k, n_grid) in the bins, their first, and half their second derivative by the shift: (3, k, count)."""
        low, here, high = (self.averaged(rows, -offset) for offset in (-_OFFSET, 0.0, _OFFSET))
        return np.array([here, (high - low) / (2 * _OFFSET), ((high + low) / 2 - here) / _OFFSET**2])


@dataclass(frozen=True)
class Binned:
    """Spectra of a `Stack` in `Bins`, each bin as if its noise were independent.

    Parameters
    ----------
    bins : Bins
    first : int
        Number of the first of the n bins that the spectra have.
    flux, sigma : ndarray, shape (s, n)
        0 and infinite where there is nothing. Sigma has what emulator and models may err in addition to the noise.
    degree : int
        Of the continuum.
    """

    bins: Bins
    first: int
    flux: np.ndarray
    sigma: np.ndarray
    degree: int

    @classmethod
    def of(cls, stack, bins, used, inflation, shifts, which=slice(None)) -> Binned:
        """Bins of a stack.

        Parameters
        ----------
        stack : Stack
        bins : Bins
        used : ndarray of bool, shape (s, n_pixels)
        inflation : float
            By how much correlation makes the variance of a mean over many pixels larger.
        shifts : (int, int)
            Lowest and highest that will be tried: bins that then leave the emulator's are left out.
        which : ndarray of int, shape (s,), optional
            Numbers of the spectra; default: all of them.
        """
        shares, offsets, first = shares_of(stack, bins, shifts)
        flux = np.where(used, stack.flux[which], 0.0)
        weight = 1.0 / np.where(used, stack.sigma[which], np.inf) ** 2
        total = (shares @ weight.T).T
        known = total > 0
        per_weight = np.divide(1.0, total, where=known, out=np.zeros_like(total))
        flux = (shares @ (weight * flux).T).T * per_weight
        away = (offsets @ weight.T).T * per_weight
        sigma = np.sqrt(inflation * per_weight + _MISFIT**2 + (_SLOPE * away) ** 2)
        return cls(bins, first, flux, np.where(known, sigma, np.inf), stack.basis.shape[0] - 1)

    @cached_property
    def weight(self) -> np.ndarray:
        """Inverse variances (s, n)."""
        return 1.0 / self.sigma**2

    def basis(self, degree) -> np.ndarray:
        """Continuum polynomials in the bins, (degree + 1, n)."""
        return chebyshev_basis(np.arange(self.flux.shape[1], dtype=float), degree).T

    @property
    def projection(self) -> Projection:
        """`Projection` of the spectra, in single precision."""
        used = np.isfinite(self.sigma)
        basis = self.basis(self.degree) * used[:, None]
        return Projection(self.flux.astype("f4"), basis.astype("f4"), White(self.sigma))


def shares_of(stack, bins, shifts):
    """Matrices (n, n_pixels) of the share of each pixel that each bin has, and of the same times the distance of the
    pixel from the middle of the bin; and the number of the first bin."""
    key = ("shares", stack.wavelength.tobytes(), shifts)
    return remembered(bins, key, lambda: _make_shares(bins.position(stack.wavelength), bins, shifts))


def _make_shares(position, bins, shifts):
    first = max(int(np.floor(position.min())), shifts[1], shifts[0])
    last = min(int(np.floor(position.max())) + 1, bins.count - 1 + min(shifts))
    below = np.floor(position).astype(int)
    part = position - below
    pixel = np.arange(len(position))
    row, column = np.concatenate([below, below + 1]) - first, np.tile(pixel, 2)
    share, away = np.concatenate([1 - part, part]), np.concatenate([part, part - 1])
    kept = (row >= 0) & (row <= last - first)
    shape = (last - first + 1, len(position))

    def matrix(values):
        return sparse.coo_array((values[kept], (row[kept], column[kept])), shape=shape).tocsr()

    return matrix(share), matrix(share * away), first
