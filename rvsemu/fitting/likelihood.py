"""How probable a spectrum is, given labels: correlated noise, errors of the models, and no continuum to choose."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._values import shown
from ..errors import LabelError
from ..observing.continuum import Projection
from ..observing.covariance import Covariance
from ..observing.forward import ForwardModel
from ..observing.stack import Doubt, Weighted
from .jitter import Jittered
from .parameters import LOG_JITTER

if TYPE_CHECKING:
    from .problem import Problem

__all__ = ["Likelihood"]


class Likelihood:
    """The likelihood of the free parameters of one spectrum, with pixels and covariance held fixed.

    The data are y = diag(m) B c + noise of covariance C, where m is the normalised model and B the continuum's
    polynomials. Their coefficients c, with a flat prior, are integrated out:

        log L = -1/2 [ chi2 + log det C + log det N + (n - p) log 2 pi ],    N = A^T C^-1 A,   A = diag(m) B

    where chi2 is that of the best coefficients. N is the inverse of their covariance: its determinant counts
    with the same sign as that of C (e.g. Hogg, Price-Whelan & Leistedt 2020, :arxiv:`2005.14199`, in the limit of
    a prior without bounds).

    Parameters
    ----------
    problem : Problem
    star : int
        Number of the spectrum in it.
    start : ndarray, shape (m,)
        Free parameters at which the mask that moves with the star and the errors of emulator and models are taken.
        They stay as they are there.
    weighted : Weighted, optional
        The spectrum with these, if they are known already.

    Attributes
    ----------
    start : ndarray, shape (m,)
    observation : Observation
    parameters : Parameters
    pixels : slice
        Pixels of the observation within reach of the emulator: those of `used`, `wavelength` and `predict`.
    used : ndarray of bool, shape (n_pixels,)
        Of these, the ones compared.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.fitting import prepare
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> likelihood = prepare(star)
    >>> likelihood.predict(likelihood.start).shape == (1, len(likelihood.wavelength))
    True
    >>> bool(np.isfinite(likelihood.log_likelihood(likelihood.start)[0]))
    True
    """

    def __init__(self, problem: Problem, star: int, start: ArrayLike, weighted: Weighted | None = None) -> None:
        self.observation, self.parameters = problem.stack.observations[star], problem.parameters
        self.noise, self.start = problem.noise, np.asarray(start, dtype=float)
        self._stack, self._which = problem.stack, np.array([star])
        self._theta = self.parameters.full(self.start)[None]
        if weighted is None:
            weighted = problem.weighted(self._which, self.start[None]).prepared(0)
        self._weighted = weighted
        free = weighted.used.sum() - len(problem.stack.basis)
        self._units = free * np.log(self.observation.scale)  # densities are those of fluxes in their own unit
        names = self.parameters.space.names
        self._jitter = names.index(LOG_JITTER) if LOG_JITTER in names else None

    @property
    def model(self) -> ForwardModel:
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
    def covariance(self) -> Covariance:
        """`Covariance` of all `pixels`; those not used are independent of the others."""
        return self._weighted.covariance

    @property
    def doubt(self) -> Doubt:
        """`Doubt` of the pixels: what was added to their variance, in units of the median flux squared."""
        return self._weighted.doubt

    @property
    def level(self) -> np.ndarray:
        """Continuum (n_pixels,) by which the errors of emulator and models were multiplied, in the unit of the flux."""
        return self._weighted.level[0] * self.observation.scale

    @property
    def projection(self) -> Projection:
        """`Projection` of the spectrum, in units of its median flux."""
        return self._weighted.projection

    @property
    def basis(self) -> np.ndarray:
        """Polynomials of the continuum, (p, n_pixels)."""
        return self._stack.basis

    def log_likelihood(self, x: ArrayLike) -> np.ndarray:
        """Log likelihood (n,) of free parameters (n, m) or (m,), the continuum marginalised."""
        theta = self.parameters.full(self._rows(x))
        models = self.model.flux(theta)
        if self._jitter is None:
            return self._weighted.log_likelihood(models[None])[0] - self._units
        return self._jittered.log_likelihood(models, np.exp(theta[:, self._jitter])) - self._units

    @cached_property
    def _jittered(self) -> Jittered:
        """For a free jitter; its first use takes half a second."""
        stack, level, used = self._stack, self._weighted.level[0], self.used

        def weighted(jitter: float) -> Weighted:
            return stack.weighted(self._theta, self.noise, self._which, jitter, self._weighted.doubt)

        noise = float(np.median(stack.sigma[self._which[0], used] / np.abs(level[used])))
        low, high = (float(np.exp(end[self._jitter])) for end in (self.parameters.lower, self.parameters.upper))
        return Jittered(weighted, self.model.flux(self._theta)[0], noise, (low, high))

    def log_prior(self, x: ArrayLike) -> np.ndarray:
        """Log prior (n,) of free parameters (n, m) or (m,); -inf outside of the bounds."""
        return self.parameters.log_prior(self._rows(x))

    def log_probability(self, x: ArrayLike) -> np.ndarray:
        """Log likelihood + log prior (n,) of free parameters (n, m) or (m,); -inf outside of the bounds, never NaN."""
        x = self._rows(x)
        out = self.log_prior(x)
        inside = np.isfinite(out)
        if inside.any():
            out[inside] += self.log_likelihood(x[inside])
        return np.where(np.isnan(out), -np.inf, out)

    def predict(self, x: ArrayLike) -> np.ndarray:
        """Model times its best continuum (n, n_pixels), for free parameters (n, m) or (m,)."""
        theta = self.parameters.full(self._rows(x))
        models = self.model.flux(theta)
        coefficients = self._weighted.projection.solve(models[None]).coefficients[0]
        return models * (coefficients @ self.basis) * self.observation.scale

    def _rows(self, x: ArrayLike) -> np.ndarray:
        """Free parameters (n, m) from what a user gives."""
        rows, names = np.atleast_2d(x), self.parameters.free_names
        if rows.ndim != 2 or rows.shape[1] != len(names) or rows.dtype.kind not in "iuf" or hasattr(x, "unit"):
            raise LabelError(
                f"x is {shown(x)}: give plain numbers of the shape ({len(names)},) or (n, {len(names)}), which are "
                f"{', '.join(names)}."
            )
        return rows
