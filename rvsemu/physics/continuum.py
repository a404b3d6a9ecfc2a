"""The smooth part of an observed spectrum that a normalised model leaves open."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike

__all__ = ["chebyshev_basis"]


def chebyshev_basis(wavelength: ArrayLike, degree: int) -> np.ndarray:
    """Chebyshev polynomials T0 ... T_degree over the range of `wavelength`, shape (n, degree + 1).

    Examples
    --------
    >>> from rvsemu.physics.continuum import chebyshev_basis
    >>> chebyshev_basis([8460.0, 8580.0, 8700.0], degree=2)
    array([[ 1., -1.,  1.],
           [ 1.,  0., -1.],
           [ 1.,  1.,  1.]])
    """
    wavelength = np.asarray(wavelength, dtype=float)
    low, high = wavelength.min(), wavelength.max()
    return chebyshev.chebvander(2.0 * (wavelength - low) / (high - low) - 1.0, degree)
