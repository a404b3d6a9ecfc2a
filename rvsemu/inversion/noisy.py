"""Networks for spectra with noise: labels and errors of what is likely, and the coefficients that labels imply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from .._frozen import frozen
from ..emulator.labels import LabelSpace
from ..emulator.network import DenseNetwork

__all__ = ["NoiseNetworks", "Polished", "network_inputs"]

_LEAST = 1e-8  # variance of a coefficient
_MOST = np.log(1.0 / np.sqrt(3.0))  # logarithm of the error of knowing nothing, labels scaled to [-1, 1]
_SMALLEST = -9.0
_UNKNOWN = 0.99  # of the variance over training spectra: a direction that the pixels say nothing about
_HELD = 3.0  # errors
_STEPS, _SETTLED = 8, 1e-3
_FAR = 2.5  # errors
_RARE = 1e-4  # probability of a chi2


@dataclass(frozen=True)
class Polished:
    """Scaled labels after steps of least squares, and how they agree with where these began.

    Parameters
    ----------
    scaled, errors : ndarray, shape (n_labels,)
        Scaled labels, and one standard deviation of each.
    steps : ndarray, shape (n_labels,)
        From the network's labels to these, in errors of the network.
    probability : float
        Of a chi2 as large as what is left of the coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.inversion.noisy import Polished
    >>> one = np.ones(6)
    >>> Polished(scaled=0 * one, errors=0.1 * one, steps=0.3 * one, probability=0.5).contradiction
    False
    >>> Polished(scaled=0 * one, errors=0.1 * one, steps=5 * one, probability=0.5).contradiction
    True
    """

    scaled: np.ndarray
    errors: np.ndarray
    steps: np.ndarray
    probability: float

    @property
    def contradiction(self) -> bool:
        """Whether network and spectrum contradict each other, or no labels imply the spectrum."""
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
    prior : ndarray, shape (2, n_labels)
        Median and spread of the scaled labels of training spectra.

    Raises
    ------
    ValueError
        The parts do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.inversion import shipped_inversion
    >>> inversion = shipped_inversion()
    >>> k, n = inversion.noisy.shape
    >>> known = np.full((1, k), 0.01)              # variances of the coefficients
    >>> scaled, errors = inversion.noisy.scaled_labels(np.zeros((1, k)), known)
    >>> scaled.shape == errors.shape == (1, n)
    True
    """

    posterior: DenseNetwork
    forward: DenseNetwork
    forward_error: np.ndarray
    prior: np.ndarray

    def __post_init__(self):
        k, n = len(self.forward_error), len(self.forward.layers[0].weights)
        if len(self.forward.layers[-1].bias) != k or not np.all(
            (self.forward_error >= 0) & (self.forward_error < np.inf)
        ):
            raise ValueError("the forward network does not fit its errors")
        if len(self.posterior.layers[0].weights) != 2 * k or len(self.posterior.layers[-1].bias) != 2 * n:
            raise ValueError("the network for noise does not fit the components or the labels")
        if self.prior.shape != (2, n) or not np.isfinite(self.prior).all() or not np.all(self.prior[1] > 0):
            raise ValueError("the prior of the labels does not fit them")

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

    def polished(
        self, scaled: ArrayLike, errors: ArrayLike, found: np.ndarray, covariance: np.ndarray, scale: float = 1.0
    ) -> Polished:
        """Steps of least squares from the network's labels to those that imply the coefficients found.

        Parameters
        ----------
        scaled, errors : array_like, shape (n_labels,)
            Scaled labels and their errors, of the network.
        found : ndarray, shape (k,)
        covariance : ndarray, shape (k, k)
        scale : float
            Factor by which the errors of the data are larger than they were taken to be.

        Notes
        -----
        The coefficients c of a spectrum with covariance S, prior N(0, 1) included, were found from data that know
        them with the information S^-1 - 1. Along the eigenvectors of S, of eigenvalues s, what these data say is
        normalised by sqrt(s (1 - s)), times `scale`; directions of s near 1 are left out. Labels have a Gaussian prior,
        that of the training spectra, and are held within three errors of the network: where the spectrum does not
        change with a label, as with v sin i near zero, the network knows more than derivatives do.
        """
        start, errors = np.array(scaled, dtype=float), np.array(errors, dtype=float)
        to, target = self._whitened(found, covariance, scale)
        mean, sigma = self.prior
        held, prior = 1.0 / (_HELD * errors) ** 2, 1.0 / sigma**2
        x, left, normal = np.clip(start, -1.0, 1.0), np.inf, np.diag(held)
        for _ in range(_STEPS):
            implied, slopes = self.forward.value_and_jacobian(x[None])
            residual, slope = target - to @ implied[0], to @ slopes[0].T
            normal = slope.T @ slope + np.diag(held + prior)
            step = np.linalg.solve(normal, slope.T @ residual - held * (x - start) - prior * (x - mean))
            left, x = float(residual @ residual), np.clip(x + step, -1.0, 1.0)
            if np.all(np.abs(step) < _SETTLED * errors):
                break
        freedom = max(1, len(target) - len(start))
        found_errors = np.sqrt(np.diag(np.linalg.inv(normal)))
        return Polished(x, found_errors, (x - start) / errors, float(chi2.sf(left, freedom)))

    def tension(
        self, scaled: ArrayLike, found: np.ndarray, covariance: np.ndarray, by: np.ndarray, scale: float = 1.0
    ) -> float:
        """By how many standard deviations coefficients want something else that changes them by `by` (k,).

        The labels follow: a score test (Rao 1948, Proc. Camb. Phil. Soc. 44, 50), as `polished` weighs coefficients.

        Parameters
        ----------
        scaled : array_like, shape (n_labels,)
            Scaled labels.
        found, covariance, scale
            As for `polished`.
        by : ndarray, shape (k,)
        """
        x, (mean, sigma) = np.clip(scaled, -1.0, 1.0), self.prior
        to, target = self._whitened(found, covariance, scale)
        implied, slopes = self.forward.value_and_jacobian(x[None])
        residual, slope, other = target - to @ implied[0], to @ slopes[0].T, to @ by
        shared = np.linalg.solve(slope.T @ slope + np.diag(1.0 / sigma**2), slope.T @ other)
        wanted = other @ residual - shared @ (slope.T @ residual - (x - mean) / sigma**2)
        curvature = other @ other - shared @ (slope.T @ other)
        return float(abs(wanted) / np.sqrt(max(curvature, np.finfo(float).tiny)))

    def _whitened(self, found, covariance, scale) -> tuple[np.ndarray, np.ndarray]:
        """What makes numbers with independent errors of one out of coefficients, (m, k), and these numbers (m,)."""
        s, vectors = np.linalg.eigh(covariance)
        known = s < _UNKNOWN
        s, vectors = np.clip(s[known], _LEAST, None), vectors[:, known]
        to = np.sqrt((1.0 - s) / s)[:, None] * vectors.T / scale
        noise = np.linalg.cholesky(np.eye(len(s)) + (to * self.forward_error**2) @ to.T)
        target = vectors.T @ found / np.sqrt(s * (1.0 - s)) / scale
        return np.linalg.solve(noise, to), np.linalg.solve(noise, target)


def network_inputs(coefficients: ArrayLike, variance: ArrayLike) -> np.ndarray:
    """Inputs (n, 2 k) of the network for noise: coefficients, and 1 + log10 of their errors, each (n, k).

    Examples
    --------
    >>> from rvsemu.inversion.noisy import network_inputs
    >>> network_inputs([[0.5, -1.0]], [[1.0, 0.01]])
    array([[ 0.5, -1. ,  1. ,  0. ]], dtype=float32)
    """
    known = 1.0 + 0.5 * np.log10(np.clip(variance, _LEAST, 1.0))
    return np.concatenate([coefficients, known], axis=1).astype("f4")
