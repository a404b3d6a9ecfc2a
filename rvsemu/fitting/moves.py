"""Radial velocities of the transits of a star: what they share, and what they differ by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

__all__ = ["Moves", "weights_of"]


@dataclass(frozen=True)
class Moves:
    """Radial velocities of t transits, km/s.

    Parameters
    ----------
    labels : int
        Number of free labels besides them.
    together : ndarray, shape (t,)
        Of the fit of all: their mean counts.
    alone, noise : ndarray, shape (t,)
        With the noise alone, and the errors of these: their differences count. The errors are 0 if velocities are held.
    """

    labels: int
    together: np.ndarray
    alone: np.ndarray
    noise: np.ndarray

    @property
    def held(self) -> bool:
        """Whether velocities are not free."""
        return not np.any(self.noise)

    @property
    def weights(self) -> np.ndarray:
        """Of the mean; their sum is 1."""
        return weights_of(self.noise)

    @property
    def mean(self) -> float:
        """Weighted mean."""
        return float(self.weights @ self.together)

    @property
    def differences(self) -> np.ndarray:
        """Velocities - mean (t,)."""
        return self.alone - self.weights @ self.alone

    @property
    def velocities(self) -> np.ndarray:
        """The velocities (t,)."""
        return self.mean + self.differences

    def spent(self, coefficients, transits) -> int:
        """Degrees of freedom that a fit of so many transits takes, with so many coefficients of the continuum each."""
        return self.labels + transits * (coefficients + (not self.held))

    def of_mean(self, covariance) -> np.ndarray:
        """Covariance of labels and mean velocity (m, m), from that of labels and all velocities."""
        if self.held:
            return covariance
        matrix = np.zeros((self.labels + 1, len(covariance)))
        matrix[: self.labels, : self.labels] = np.eye(self.labels)
        matrix[-1, self.labels :] = self.weights
        return matrix @ covariance @ matrix.T

    def of_one(self, covariance, which, scale) -> np.ndarray:
        """Covariance of labels and the velocity of one transit (m, m), from `of_mean`; noise is times `scale`."""
        out = covariance.copy()
        if not self.held:
            out[-1, -1] += (scale * self.noise[which]) ** 2 * (1.0 - self.weights[which])
        return out

    def variability(self, scale) -> tuple[float, float]:
        """chi2 of a constant velocity, and the probability that chance makes it larger; noise is times `scale`."""
        if self.held:
            return np.nan, np.nan
        chi2 = float(np.sum((self.differences / (scale * self.noise)) ** 2))
        free = len(self.noise) - 1
        return chi2, float(chi2_distribution.sf(chi2, free)) if free else np.nan


def weights_of(noise) -> np.ndarray:
    """Weights (t,), of the sum 1, of velocities with standard deviations `noise` (t,); equal if these are 0."""
    inverse = np.divide(1.0, noise**2, where=noise > 0, out=np.ones_like(noise))
    return inverse / inverse.sum()
