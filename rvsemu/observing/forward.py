"""The whole forward model on one screen: labels and radial velocity to the flux in the observed pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..emulator import Emulator
from ..physics.resampling import Resampler
from ..physics.wavelengths import SPEED_OF_LIGHT, doppler

__all__ = ["ForwardModel"]


@dataclass(frozen=True)
class ForwardModel:
    """Emulator, Doppler shift, sampling: everything about the star but its continuum.

    Parameters
    ----------
    emulator : Emulator
    wavelength : ndarray, shape (n_pixels,)
        Observed pixels, Angstrom, in the emulator's medium. (The shift is applied in that medium; in air
        this differs from the exact way by 1 m/s.)

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
        theta = np.atleast_2d(theta)
        flux = self.emulator.flux(theta[:, : self._labels])
        return self.sample(flux[:, None], theta[:, self._labels])[:, 0]

    def jacobian(self, theta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Flux (n, n_pixels) and its derivatives (n, n_labels + 1, n_pixels), the last by the radial velocity."""
        theta = np.atleast_2d(theta)
        velocity = theta[:, self._labels]
        flux, slopes = self.emulator.jacobian(theta[:, : self._labels])
        everything = np.concatenate([flux[:, None], slopes], axis=1)
        sampled, by_wavelength = self._sampler(everything, _stretch(velocity), derivative=True)
        per_velocity = -_stretch(velocity) / SPEED_OF_LIGHT / (1.0 - (velocity / SPEED_OF_LIGHT) ** 2)
        shift = by_wavelength * np.outer(per_velocity, self.wavelength).astype(by_wavelength.dtype)
        return sampled[:, 0], np.concatenate([sampled[:, 1:], shift[:, None]], axis=1)

    def sample(self, values: np.ndarray, velocity: ArrayLike) -> np.ndarray:
        """Rows (n, k, n_grid) on the emulator's grid, in the observed pixels at velocities (n,)."""
        return self._sampler(values, _stretch(np.asarray(velocity, dtype=float)))

    def error(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The emulator's error at one `theta` (k,), in units of the continuum: variance (n_pixels,) of what is
        independent from pixel to pixel, and the low rank (r, n_pixels) of the rest (see `ErrorModel`)."""
        rest = doppler(self.wavelength, -theta[self._labels])
        variance, low_rank = self.emulator.error_covariance(theta[: self._labels])
        grid = self.emulator.wavelength
        position = (rest - grid[0]) / (grid[1] - grid[0])
        before = np.clip(position.astype(int), 0, len(grid) - 2)
        share = position - before
        both = np.vstack([variance, low_rank])
        sampled = both[:, before] * (1 - share) + both[:, before + 1] * share
        return sampled[0], sampled[1:]

    def sigma(self, theta: np.ndarray) -> np.ndarray:
        """RMS error of the emulator (n_pixels,) at one `theta` (k,), in units of the continuum."""
        rest = doppler(self.wavelength, -theta[self._labels])
        return np.interp(rest, self.emulator.wavelength, self.emulator.sigma(theta[: self._labels])[0])


def _stretch(velocity: np.ndarray) -> np.ndarray:
    """Rest wavelength / observed wavelength."""
    return doppler(1.0, -velocity)
