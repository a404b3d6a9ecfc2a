"""The whole forward model on one screen: labels and radial velocity to the flux in the observed pixels."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..emulator import Emulator
from ..physics.resampling import Resampler
from ..physics.wavelengths import SPEED_OF_LIGHT, doppler
from .memory import remembered

__all__ = ["ForwardModel"]

T = TypeVar("T")
_LATEST = 4  # calls for one star alone, whose values are kept: a fit asks again where a minimisation has ended


@dataclass(frozen=True)
class ForwardModel:
    """Emulator, Doppler shift, sampling: everything about the star but its continuum.

    Parameters
    ----------
    emulator : Emulator
    wavelength : ndarray, shape (n_pixels,)
        Observed pixels, Angstrom, in the emulator's medium. (The shift is applied in that medium; in air
        this differs from the exact way by 1 m/s.)
    precise : Emulator, optional
        The emulator in a higher precision, of which fluxes are then taken, and not their derivatives.

    Notes
    -----
    Parameters `theta` are plain floats (n, k): labels in the emulator's order, then the radial velocity in
    km/s; what follows is ignored.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.observing import ForwardModel
    >>> emulator = rvsemu.shipped()
    >>> star = emulator.labels.draw(1, np.random.default_rng(1))[0]
    >>> model = ForwardModel(emulator, np.arange(8480.0, 8680.0, 0.25))
    >>> theta = [[*star, 0.0], [*star, 30.0]]                                  # at rest, and receding
    >>> model.flux(theta).shape
    (2, 800)
    """

    emulator: Emulator
    wavelength: np.ndarray
    precise: Emulator | None = None
    _sampler: Resampler = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        grid = self.emulator.wavelength
        sampler = Resampler(grid[0], grid[1] - grid[0], len(grid), self.wavelength)
        object.__setattr__(self, "_sampler", sampler)

    @property
    def _labels(self) -> int:
        return len(self.emulator.labels)

    def flux(self, theta: ArrayLike) -> np.ndarray:
        """Normalised flux (n, n_pixels), in the precision of the emulator."""
        theta = np.atleast_2d(np.asarray(theta, dtype=float))
        return self.sample(self._flux(theta)[:, None], theta[:, self._labels])[:, 0]

    def _flux(self, theta: np.ndarray) -> np.ndarray:
        """That on the emulator's grid (n, n_grid)."""
        labels, emulator = theta[:, : self._labels], self.precise or self.emulator
        return self._latest(("flux", labels.tobytes()), len(theta), lambda: emulator.flux(labels))

    def _latest(self, key: Hashable, n: int, make: Callable[[], T]) -> T:
        """What `make` gives for n stars, or what it gave when it was last asked for one star with this `key`."""
        return make() if n > 1 else remembered(self, key, make, _LATEST)

    def jacobian(self, theta: ArrayLike, by: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Flux (n, n_pixels) and its derivatives (n, k, n_pixels) by labels and radial velocity.

        Parameters
        ----------
        theta : array_like, shape (n, n_parameters)
        by : array_like of int, shape (k,), optional
            Numbers of what to derive by, increasing; default: all labels, then the radial velocity.

        Returns
        -------
        flux, slopes : ndarray
            Read-only.
        """
        theta = np.atleast_2d(np.asarray(theta, dtype=float))
        by = np.arange(self._labels + 1) if by is None else np.asarray(by)
        key = ("jacobian", theta.tobytes(), by.tobytes())
        return self._latest(key, len(theta), lambda: self._jacobian(theta, by))

    def _jacobian(self, theta: np.ndarray, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `jacobian`."""
        velocity = theta[:, self._labels]
        labels = by[by < self._labels]
        flux, slopes = self.emulator.jacobian(theta[:, : self._labels], labels.tolist())
        flux = flux if self.precise is None else self._flux(theta)
        stretch = _stretch(velocity)
        out = np.empty((len(theta), len(by), len(self.wavelength)), dtype=slopes.dtype)
        out[:, : len(labels)] = self._sampler(slopes, stretch)
        sampled, by_wavelength = self._sampler(flux[:, None], stretch, derivative=True)
        if len(labels) < len(by):
            per_velocity = -stretch / SPEED_OF_LIGHT / (1.0 - (velocity / SPEED_OF_LIGHT) ** 2)
            out[:, -1] = by_wavelength * np.outer(per_velocity, self.wavelength)
        flux = sampled[:, 0]
        for array in (flux, out):
            array.setflags(write=False)
        return flux, out

    def sample(self, values: np.ndarray, velocity: ArrayLike) -> np.ndarray:
        """Rows (n, k, n_grid) on the emulator's grid, in the observed pixels at velocities (n,)."""
        return self._sampler(values, _stretch(np.asarray(velocity, dtype=float)))

    def error(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The emulator's error at `theta` (..., k), in units of the continuum: variance (..., n_pixels) of what is
        independent from pixel to pixel, and the low rank (..., r, n_pixels) of the rest (see `ErrorModel`)."""
        grid, theta = self.emulator.wavelength, np.asarray(theta)
        rest = doppler(self.wavelength, -theta[..., self._labels, None])
        position = (rest - grid[0]) / (grid[1] - grid[0])
        before = np.clip(position.astype(int), 0, len(grid) - 2)
        return self.emulator.error_covariance(theta[..., : self._labels], (before, position - before))

    def sigma(self, theta: np.ndarray) -> np.ndarray:
        """RMS error of the emulator (..., n_pixels) at `theta` (..., k), in units of the continuum."""
        rows = np.atleast_2d(theta)
        grid, errors = self.emulator.wavelength, self.emulator.sigma(rows[:, : self._labels])
        rest = doppler(self.wavelength, -rows[:, self._labels, None])
        out = np.array([np.interp(at, grid, error) for at, error in zip(rest, errors, strict=True)])
        return out.reshape(*np.shape(theta)[:-1], -1)


def _stretch(velocity: np.ndarray) -> np.ndarray:
    """Rest wavelength / observed wavelength."""
    return doppler(1.0, -velocity)
