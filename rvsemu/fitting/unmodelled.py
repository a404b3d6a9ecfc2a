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


def unmodelled(stack, weighted, star, residual, velocity) -> list[str]:
    """Flags of one spectrum for features that are not in the model.

    Parameters
    ----------
    stack : Stack
    weighted : Weighted
        Of this spectrum alone.
    star : int
        Its number in the stack.
    residual : ndarray, shape (n,)
        Observed - model of the best fit, in units of the continuum, also of pixels not used.
    velocity : float
        Radial velocity of the star, km/s.
    """
    medium = stack.model.emulator.medium
    noise = stack.sigma[star] / weighted.level[0]
    measured = np.isfinite(residual) & np.isfinite(noise) & (noise > 0)
    flux, limit = stack.flux[star] / weighted.level[0], np.maximum(_ABOVE, _SIGNIFICANT * noise)
    rest = doppler(stack.wavelength, -velocity)
    lines = convert_medium(np.array(CALCIUM_TRIPLET), "air", medium)
    filled = sum(_filled(rest - line, residual, noise, measured) for line in lines) >= _LINES
    above = sum(_rises(rest - line, flux, limit, measured) for line in lines) >= _LINES
    flags = [EMISSION] if filled or above else []
    band = float(convert_medium(DIFFUSE_BAND_AT, "air", medium))
    return flags + ([DIFFUSE_BAND] if _band(stack.wavelength, weighted, residual, band) > _SIGNIFICANT else [])


def _filled(distance, residual, noise, measured) -> bool:
    """Whether the core of a line is much brighter than that of the model."""
    core = measured & (np.abs(distance) < _CORE)
    if core.sum() < _FEWEST:
        return False
    error = np.sqrt(np.mean(noise[core] ** 2))
    return bool(np.mean(residual[core]) > max(_FILLED, _SIGNIFICANT * error))


def _rises(distance, flux, limit, measured) -> bool:
    """Whether some pixels in a row at a line are above the continuum, or above the spectrum beside the line.

    The latter is independent of the fit, which strong emission leads astray.
    """
    beside = measured & (np.abs(distance) > _BESIDE[0]) & (np.abs(distance) < _BESIDE[1])
    levels = [1.0, *([np.median(flux[beside])] if beside.sum() >= _FEWEST else [])]
    window = np.abs(distance) < _WINDOW
    above = [measured[window] & (flux[window] - level > limit[window]) for level in levels]
    return max(map(_in_a_row, above)) >= _RUN


def _in_a_row(true) -> int:
    """Length of the longest run of what is true."""
    return max(map(len, "".join("x" if one else " " for one in true).split()), default=0)


def _band(wavelength, weighted, residual, centre) -> float:
    """Depth of the band over its standard deviation, at the place where that is largest; 0 without pixels."""
    used = weighted.used[0] & np.isfinite(residual)
    shapes = np.exp(-0.5 * ((wavelength - centre - _MOVES[:, None]) / _SIGMA) ** 2)
    seen = (shapes.max(axis=1) > 0.5) & ((shapes * used).sum(axis=1) > _SEEN * shapes.sum(axis=1))
    if not seen.any():
        return 0.0
    shapes = -shapes[seen]
    level = np.where(used, weighted.level[0], 0.0)
    rows = (np.concatenate([shapes, np.where(used, residual, 0.0)[None]]) * level).astype("f4")
    products = weighted.covariance.solve_pairs(rows[None], rows[None])[0]
    return float(np.max(products[:-1, -1] / np.sqrt(np.diag(products)[:-1])))
