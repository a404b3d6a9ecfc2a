"""The smooth part of an observed spectrum that a normalised model leaves open."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike

__all__ = ["chebyshev_basis"]


def chebyshev_basis(wavelength: ArrayLike, degree: int) -> np.ndarray:
    """Chebyshev polynomials T0 ... T_degree over the range of `wavelength`, shape (n, degree + 1)."""
    wavelength = np.asarray(wavelength, dtype=float)
    low, high = wavelength.min(), wavelength.max()
    return chebyshev.chebvander(2.0 * (wavelength - low) / (high - low) - 1.0, degree)
