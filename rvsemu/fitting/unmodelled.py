"""What stars and the space before them have that no model knows: emission in the calcium triplet, the diffuse band."""

from __future__ import annotations

import numpy as np

from ..observing.flags import DIFFUSE_BAND, EMISSION
from ..physics.lines import CALCIUM_TRIPLET, DIFFUSE_BAND_AT
from ..physics.wavelengths import convert_medium, doppler

__all__ = ["unmodelled"]

_CORE = 1.0  # Angstrom on either side of the centre of a line
_FILLED = 0.2  # of the continuum: active dwarfs have 0.1
_ABOVE, _WINDOW, _RUN = 0.1, 4.0, 4  # of the continuum, Angstrom, pixels
_BESIDE = 8.0, 16.0  # Angstrom from a line
_LINES = 2  # of the triplet
_SIGNIFICANT = 5.0  # standard deviations
_SIGMA = 2.0  # Angstrom: of the band, whose width at half its depth is 4.7 A
_MOVES = np.arange(-9.0, 9.1, 1.0)  # Angstrom: the frame of the band is that of interstellar clouds
_SEEN = 0.6  # of the band: what is left when the rest is masked
_FEWEST = 3  # pixels


def unmodelled(stack, weighted, star, residual, velocity) -> list[list[str]]:
    """Flags of each of k spectra for features that are not in the model.

    Parameters
    ----------
    stack : Stack
    weighted : Weighted
        Of these spectra.
    star : ndarray of int, shape (k,)
        Their numbers in the stack.
    residual : ndarray, shape (k, n)
        Observed - model of the best fit, in units of the continuum, also of pixels not used.
    velocity : ndarray, shape (k,)
        Radial velocities of the stars, km/s.
    """
    medium = stack.model.emulator.medium
    rest = doppler(stack.wavelength, -velocity[:, None])
    counts = [
        _at_line(rest - line, stack.flux[star], stack.sigma[star], weighted.level, residual)
        for line in convert_medium(np.array(CALCIUM_TRIPLET), "air", medium)
    ]
    emission = np.any(np.sum(counts, axis=0) >= _LINES, axis=0)
    band = float(convert_medium(DIFFUSE_BAND_AT, "air", medium))
    seen = _band(stack.wavelength, weighted, residual, band) > _SIGNIFICANT
    flags = {EMISSION: emission, DIFFUSE_BAND: seen}
    return [[flag for flag, there in flags.items() if there[i]] for i in range(len(star))]


def _at_line(distance, flux, sigma, level, residual) -> tuple[np.ndarray, np.ndarray]:
    """Whether the core of a line, from which pixels are at a `distance` (k, n), is filled, and whether flux rises."""
    near = np.any(np.abs(distance) < _BESIDE[1], axis=0)
    distance, flux, sigma, level, residual = (part[:, near] for part in (distance, flux, sigma, level, residual))
    flux, noise = flux / level, sigma / level
    measured = np.isfinite(residual) & np.isfinite(noise) & (noise > 0)
    return _filled(distance, residual, noise, measured), _rises(distance, flux, noise, measured)


def _filled(distance, residual, noise, measured) -> np.ndarray:
    """Whether the core of a line is much brighter than that of the model, (k,)."""
    core = measured & (np.abs(distance) < _CORE)
    count = np.maximum(core.sum(axis=1), 1)
    error = np.sqrt(np.sum(np.where(core, noise, 0.0) ** 2, axis=1) / count)
    brighter = np.sum(np.where(core, residual, 0.0), axis=1) / count
    return (count >= _FEWEST) & (brighter > np.maximum(_FILLED, _SIGNIFICANT * error))


def _rises(distance, flux, noise, measured) -> np.ndarray:
    """Whether some pixels in a row at a line are above the continuum, or above the spectrum beside the line, (k,).

    The latter is independent of the fit, which strong emission leads astray.
    """
    beside = measured & (np.abs(distance) > _BESIDE[0])
    count = beside.sum(axis=1)
    ordered, row = np.sort(np.where(beside, flux, np.inf), axis=1), np.arange(len(flux))
    middle = (ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2 if flux.shape[1] else np.inf
    lowest = np.where(count < _FEWEST, 1.0, np.minimum(1.0, middle))
    window = measured & (np.abs(distance) < _WINDOW)
    with np.errstate(invalid="ignore"):
        return _in_a_row(window & (flux - lowest[:, None] > np.maximum(_ABOVE, _SIGNIFICANT * noise)))


def _in_a_row(true) -> np.ndarray:
    """Whether 4 in a row are `true` (k, n), (k,)."""
    if true.shape[1] < _RUN:
        return np.zeros(len(true), dtype=bool)
    return np.any(np.all(np.lib.stride_tricks.sliding_window_view(true, _RUN, axis=1), axis=2), axis=1)


def _band(wavelength, weighted, residual, centre) -> np.ndarray:
    """Depth of the band over its standard deviation, at the place where that is largest, or 0 if it is less, (k,)."""
    used = weighted.used & np.isfinite(residual)
    shapes = np.exp(-0.5 * ((wavelength - centre - _MOVES[:, None]) / _SIGMA) ** 2)
    seen = (shapes.max(axis=1) > 0.5) & (used @ shapes.T > _SEEN * shapes.sum(axis=1))
    tried = seen.any(axis=0)
    if not tried.any():
        return np.zeros(len(used))
    level = np.where(used, weighted.level, 0.0)[:, None]
    shapes = np.broadcast_to(-shapes[tried], (len(used), tried.sum(), len(wavelength)))
    rows = (np.concatenate([shapes, np.where(used, residual, 0.0)[:, None]], axis=1) * level).astype("f4")
    products = weighted.covariance.solve_pairs(rows)
    power = np.where(seen[:, tried], np.einsum("kii->ki", products)[:, :-1], np.inf)
    return np.max(products[:, :-1, -1] / np.sqrt(power), axis=1, initial=0.0)
