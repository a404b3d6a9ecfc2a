"""An observed spectrum beside a computed one: in the rest frame of the star, over a continuum, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..emulator import Emulator
from ..observing import Observation
from ..physics.continuum import chebyshev_basis
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import doppler

__all__ = ["Overlay", "overlay"]

_CLIPPED = 4.0  # rms of the residuals
_ROUNDS = 3


@dataclass(frozen=True)
class Overlay:
    """Observed pixels in the rest frame, NaN where the emulator does not reach.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Angstrom, in the emulator's medium.
    flux, sigma : ndarray, shape (n,)
        Observed, over the continuum.
    residual : ndarray, shape (n,)
        Observed minus computed flux, over the continuum.
    rms : float
        Of the residuals in the pixels that fits use; NaN if there are none.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    residual: np.ndarray
    rms: float


def overlay(
    observation: Observation, emulator: Emulator, flux: np.ndarray, velocity: float, degree: int | None
) -> Overlay:
    """Observed pixels beside a flux that the emulator has computed on its own grid.

    Parameters
    ----------
    observation : Observation
    emulator : Emulator
    flux : ndarray, shape (n_grid,)
    velocity : float
        Of the star, km/s.
    degree : int or None
        Of the polynomial that the observed flux is divided by: the one that leaves least. None: divide by nothing.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.explorer.overlay import overlay
    >>> from rvsemu.observing import Observation
    >>> emulator = rvsemu.shipped()
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> flux = rvsemu.generate(teff=5669, logg=4.47, mh=-0.18).flux.value
    >>> beside = overlay(Observation.from_spectrum(star, emulator), emulator, flux, velocity=0.0, degree=3)
    >>> bool(0.005 < beside.rms < 0.03)
    True
    """
    grid = emulator.wavelength
    rest = doppler(observation.wavelength, -velocity)
    inside = (rest >= grid[0]) & (rest <= grid[-1])
    model = np.full(len(rest), np.nan)
    if inside.any():
        model[inside] = interpolation_matrix(grid[0], grid[1] - grid[0], len(grid), rest[inside]) @ flux
    good = inside & observation.good(velocity)
    continuum = np.ones(len(rest))
    if degree is not None and good.sum() > degree + 1:
        continuum = _continuum(observation, model, good, degree)
    residual = observation.flux / continuum - model
    rms = float(np.sqrt(np.mean(residual[good] ** 2))) if good.any() else np.nan
    return Overlay(rest, observation.flux / continuum, observation.sigma / np.abs(continuum), residual, rms)


def _continuum(observation: Observation, model: np.ndarray, good: np.ndarray, degree: int) -> np.ndarray:
    """Polynomial c with flux = c model by weighted least squares, without pixels that are far off."""
    basis = chebyshev_basis(observation.wavelength, degree)
    used, out = good, np.ones(len(model))
    for _ in range(_ROUNDS):
        weight = 1.0 / observation.sigma[used]
        rows = basis[used] * (model[used] * weight)[:, None]
        out = basis @ np.linalg.lstsq(rows, observation.flux[used] * weight, rcond=None)[0]
        left = np.where(good, observation.flux - out * model, np.inf)
        fewer = good & (np.abs(left) <= _CLIPPED * np.std(left[used]))
        if fewer.sum() <= degree + 1:
            break
        used = fewer
    return out
