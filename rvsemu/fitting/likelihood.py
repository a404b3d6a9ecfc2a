"""How probable a spectrum is, given labels: correlated noise, errors of the models, and no continuum to choose."""

from __future__ import annotations

import numpy as np

from ..observing.noise import NoiseModel
from ..observing.stack import Stack
from .parameters import LOG_JITTER

__all__ = ["Likelihood"]


class Likelihood:
    """The likelihood of the free parameters of one spectrum, with pixels and covariance held fixed.

    The data are y = diag(m) B c + noise of covariance C, where m is the normalised model and B the continuum's
    polynomials. Their coefficients c, with a flat prior, are integrated out:

        log L = -1/2 [ chi2 + log det C + log det N + (n - p) log 2 pi ],    N = A^T C^-1 A,   A = diag(m) B

    where chi2 is that of the best coefficients. N is the inverse of their covariance: its determinant counts
    with the same sign as that of C (e.g. Hogg, Price-Whelan & Leistedt 2020, arXiv:2005.14199, in the limit of
    a prior without bounds).

    Parameters
    ----------
    observation : Observation
    emulator : Emulator
    parameters : Parameters
        With `free_names`, `full`, `lower`, `upper`, `free`.
    noise : NoiseModel, optional
        Default: the observation's sigma, independent from pixel to pixel.
    continuum_degree : int
    theta : ndarray
        Labels and radial velocity (`Parameters.full`) at which the mask that moves with the star and the errors
        of emulator and models are taken. They stay as they are there.

    Attributes
    ----------
    start : ndarray, shape (m,)
        Free parameters of `theta`.
    pixels : slice
        Pixels of the observation within reach of the emulator: those of `used`, `wavelength` and `predict`.
    used : ndarray of bool, shape (n_pixels,)
        Of these, the ones compared.
    """

    def __init__(self, observation, emulator, parameters, noise=None, *, continuum_degree=3, theta):
        self.observation, self.parameters = observation, parameters
        self.noise = NoiseModel(np.ones(1)) if noise is None else noise
        self._theta = np.atleast_2d(np.asarray(theta, dtype=float))
        self.start = self._theta[0, parameters.free]
        self._stack = Stack([observation], emulator, parameters, continuum_degree)
        self._weighted = self._stack.weighted(self._theta, self.noise, blocks=True)
        self._jitter = parameters.space.names.index(LOG_JITTER) if LOG_JITTER in parameters.space.names else None

    @property
    def model(self):
        """The `ForwardModel`."""
        return self._stack.model

    @property
    def pixels(self) -> slice:
        """See the class."""
        return self._stack.pixels

    @property
    def wavelength(self) -> np.ndarray:
        """Angstrom, in the emulator's medium."""
        return self._stack.wavelength

    @property
    def used(self) -> np.ndarray:
        """See the class."""
        return self._weighted.used[0]

    @property
    def covariance(self):
        """`Covariance` of all `pixels`; those not used are independent of the others."""
        return self._weighted.covariance

    @property
    def basis(self) -> np.ndarray:
        """Polynomials of the continuum, (p, n_pixels)."""
        return self._stack.basis

    def log_likelihood(self, x) -> np.ndarray:
        """Log likelihood (n,) of free parameters (n, m) or (m,), the continuum marginalised."""
        theta = self.parameters.full(np.atleast_2d(x))
        models = self.model.flux(theta)
        if self._jitter is None:
            return self._marginal(self._weighted, models)
        scatter = np.exp(theta[:, self._jitter])
        rows = [
            self._marginal(self._stack.weighted(self._theta, self.noise, jitter), model[None])
            for jitter, model in zip(scatter, models, strict=True)
        ]
        return np.concatenate(rows)

    def _marginal(self, weighted, models):
        solution = weighted.projection.solve(models[None])
        free = weighted.used.sum() - len(self.basis)
        determinants = weighted.covariance.log_determinant[0] + solution.log_determinant[0]
        return -0.5 * (solution.chi2[0] + determinants + free * np.log(2 * np.pi))

    def log_prior(self, x) -> np.ndarray:
        """Log prior (n,) of free parameters (n, m); -inf outside of the bounds."""
        return self.parameters.log_prior(x)

    def log_probability(self, x) -> np.ndarray:
        """Log likelihood + log prior (n,) of free parameters (n, m); -inf outside of the bounds, never NaN."""
        x = np.atleast_2d(x)
        out = self.log_prior(x)
        inside = np.isfinite(out)
        if inside.any():
            out[inside] += self.log_likelihood(x[inside])
        return np.where(np.isnan(out), -np.inf, out)

    def predict(self, x) -> np.ndarray:
        """Model times its best continuum (n, n_pixels), for free parameters (n, m) or (m,)."""
        theta = self.parameters.full(np.atleast_2d(x))
        models = self.model.flux(theta)
        coefficients = self._weighted.projection.solve(models[None]).coefficients[0]
        return models * (coefficients @ self.basis)
