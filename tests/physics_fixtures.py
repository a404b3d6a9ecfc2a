"""Analytic lines, for tests of the physics."""

import numpy as np
from scipy.special import erf

FINE = np.arange(8480.0, 8620.0, 0.04)

LINES = np.array(  # centre (Angstrom), depth, sigma (Angstrom)
    [
        [8520.0, 0.6, 0.05],
        [8520.6, 0.3, 0.06],
        [8531.3, 0.8, 0.25],
        [8542.1, 0.5, 1.5],
        [8542.1, 0.4, 0.12],
        [8560.0, 0.9, 0.06],
        [8560.25, 0.05, 0.05],
        [8575.5, 0.2, 12.0],
    ]
)


def analytic(wavelength):
    """A spectrum of Gaussian lines, as a function."""
    out = np.ones_like(wavelength)
    for centre, depth, sigma in LINES:
        out -= depth * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)
    return out


def analytic_means(centres, width):
    """Its means over bins, by the error function."""
    out = np.ones_like(centres)
    for centre, depth, sigma in LINES:
        low, high = ((centres + s * width / 2 - centre) / (np.sqrt(2) * sigma) for s in (-1, 1))
        out -= depth * sigma * np.sqrt(np.pi / 2) * (erf(high) - erf(low)) / width
    return out
