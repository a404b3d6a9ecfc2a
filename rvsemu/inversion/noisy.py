"""Networks for spectra with noise: labels and errors of what is likely, and the coefficients that labels imply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from .._frozen import frozen
from ..emulator.labels import LabelSpace
from ..emulator.network import DenseNetwork

__all__ = ["Agreement", "NoiseNetworks", "network_inputs"]

_LEAST = 1e-8  # variance of a coefficient
_MOST = np.log(1.0 / np.sqrt(3.0))  # logarithm of the error of knowing nothing, labels scaled to [-1, 1]
_SMALLEST = -9.0
_UNKNOWN = 0.99  # of the variance over training spectra: a direction that the pixels say nothing about
_HELD = 3.0  # errors
_STEPS, _SETTLED = 8, 1e-3
_FAR = 2.5  # errors
_RARE = 1e-4  # probability of a chi2


@dataclass(frozen=True)
class Agreement:
    """How labels agree with observed coefficients.

    Parameters
    ----------
    steps : ndarray, shape (n_labels,)
        What least squares would add to the scaled labels, held near to them, in their errors.
    probability : float
        Of a chi2 as large as what is left then.
    """

    steps: np.ndarray
    probability: float

    @property
    def contradiction(self) -> bool:
        """Whether another set of labels, or none, implies the coefficients."""
        return bool(np.any(np.abs(self.steps) > _FAR) or self.probability < _RARE)


@frozen
class NoiseNetworks:
    """What turns coefficients of known uncertainty into labels, and labels into coefficients.

    Parameters
    ----------
    posterior : DenseNetwork
        Coefficients (k) and how well each is known (k), see `network_inputs`, to scaled labels (n_labels) and the
        logarithms of their errors (n_labels).
    forward : DenseNetwork
        Scaled labels to coefficients.
    forward_error : ndarray, shape (k,)
        RMS error of the second.

    Raises
    ------
    ValueError
        The parts do not fit each other.
    """

    posterior: DenseNetwork
    forward: DenseNetwork
    forward_error: np.ndarray

    def __post_init__(self):
        k, n = len(self.forward_error), len(self.forward.layers[0].weights)
        if len(self.forward.layers[-1].bias) != k or not np.isfinite(self.forward_error).all():
            raise ValueError("the forward network does not fit its errors")
        if len(self.posterior.layers[0].weights) != 2 * k or len(self.posterior.layers[-1].bias) != 2 * n:
            raise ValueError("the network for noise does not fit the components or the labels")

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of components and labels."""
        return len(self.forward_error), len(self.forward.layers[0].weights)

    def scaled_labels(self, coefficients: ArrayLike, variance: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Scaled labels and their errors, each (n, n_labels), of coefficients and their variances, each (n, k)."""
        return self.of_inputs(network_inputs(coefficients, variance))

    def of_inputs(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of `network_inputs` (n, 2 k)."""
        out = self.posterior(inputs).astype(float)
        values, logarithms = np.split(out, 2, axis=1)
        return values, np.exp(np.clip(logarithms, _SMALLEST, _MOST))

    def labels(self, space: LabelSpace, found: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and errors, each (n_labels,), of coefficients (k,) with their covariance (k, k)."""
        scaled, errors = self.scaled_labels(found[None], np.diag(covariance)[None])
        values = space.unscaled(scaled)
        return values[0], errors[0] / space.slope(values)[0]

    def agreement(self, scaled: ArrayLike, errors: ArrayLike, found: np.ndarray, covariance: np.ndarray) -> Agreement:
        """Compare the coefficients that labels imply with those that were found.

        Parameters
        ----------
        scaled, errors : array_like, shape (n_labels,)
            Scaled labels and their errors.
        found : ndarray, shape (k,)
        covariance : ndarray, shape (k, k)

        Notes
        -----
        The coefficients c of a spectrum with covariance S, prior N(0, 1) included, were found from data that know
        them with the information S^-1 - 1. Along the eigenvectors of S, of eigenvalues s, what these data say is
        normalised by sqrt(s (1 - s)); directions of s near 1 are left out. Labels, held within three errors by a
        Gaussian prior, then take steps of least squares; labels and errors that are right do not move by more than
        an error or so.
        """
        start, errors = np.array(scaled, dtype=float), np.array(errors, dtype=float)
        s, vectors = np.linalg.eigh(covariance)
        known = s < _UNKNOWN
        s, vectors = np.clip(s[known], _LEAST, None), vectors[:, known]
        to = np.sqrt((1.0 - s) / s)[:, None] * vectors.T
        noise = np.linalg.cholesky(np.eye(len(s)) + (to * self.forward_error**2) @ to.T)
        to = np.linalg.solve(noise, to)
        target = np.linalg.solve(noise, vectors.T @ found / np.sqrt(s * (1.0 - s)))
        held, x, left = 1.0 / (_HELD * errors) ** 2, np.clip(start, -1.0, 1.0), np.inf
        for _ in range(_STEPS):
            implied, slopes = self.forward.value_and_jacobian(x[None])
            residual, slope = target - to @ implied[0], to @ slopes[0].T
            normal = slope.T @ slope + np.diag(held)
            step = np.linalg.solve(normal, slope.T @ residual - held * (x - start))
            left, x = float(residual @ residual), np.clip(x + step, -1.0, 1.0)
            if np.all(np.abs(step) < _SETTLED * errors):
                break
        freedom = max(1, len(s) - len(start))
        return Agreement((x - start) / errors, float(chi2.sf(left, freedom)))


def network_inputs(coefficients: ArrayLike, variance: ArrayLike) -> np.ndarray:
    """Inputs (n, 2 k) of the network for noise: coefficients, and 1 + log10 of their errors, each (n, k)."""
    known = 1.0 + 0.5 * np.log10(np.clip(variance, _LEAST, 1.0))
    return np.concatenate([coefficients, known], axis=1).astype("f4")
