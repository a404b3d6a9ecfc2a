"""How far an emulator errs: measured on validation spectra, per pixel and of pixels together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ErrorModel"]


@dataclass(frozen=True)
class ErrorModel:
    """Error of an emulator measured on validation spectra in ranges of Teff: per pixel, and how pixels err together.

    Parameters
    ----------
    teff : ndarray, shape (k,)
        Nodes in K, increasing; between them the error is interpolated, outside it is held.
    sigma : ndarray, shape (k, n_pixels)
        RMS error.
    components : ndarray, shape (k, r, n_pixels), optional
        Low-rank part of the covariance: that of node i is ``components[i].T @ components[i]`` plus a
        diagonal that brings the variances up to ``sigma[i]**2``. Without it errors are independent.
    """

    teff: np.ndarray
    sigma: np.ndarray
    components: np.ndarray | None = None

    def __call__(self, teff) -> np.ndarray:
        """Error (n, n_pixels) at effective temperatures (n,)."""
        i, f = self._between(teff)
        return (1 - f[:, None]) * self.sigma[i] + f[:, None] * self.sigma[i + 1]

    def covariance(self, teff) -> tuple[np.ndarray, np.ndarray]:
        """Covariance at one temperature, interpolated linearly between the nodes' covariances.

        Returns
        -------
        variance : ndarray, shape (n_pixels,)
            Its diagonal part, >= 0.
        low_rank : ndarray, shape (2 r, n_pixels)
            Rows u; the covariance is diag(variance) + sum of u u^T.
        """
        (i,), (f,) = self._between([teff])
        variance = (1 - f) * np.square(self.sigma[i], dtype=float) + f * np.square(self.sigma[i + 1], dtype=float)
        if self.components is None:
            return variance, np.zeros((0, len(variance)))
        low_rank = np.concatenate([np.sqrt(1 - f) * self.components[i], np.sqrt(f) * self.components[i + 1]])
        return np.maximum(variance - np.sum(low_rank**2, axis=0), 0.0), low_rank

    def _between(self, teff):
        """Node below, and the share of the next."""
        teff = np.clip(np.asarray(teff, dtype=float), self.teff[0], self.teff[-1])
        i = np.clip(np.searchsorted(self.teff, teff) - 1, 0, len(self.teff) - 2)
        return i, (teff - self.teff[i]) / (self.teff[i + 1] - self.teff[i])
