"""The noise of an observed spectrum and the error of synthetic spectra, as covariances of the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SpectrumError
from .covariance import add_bands, banded

__all__ = [
    "MODEL_ERRORS",
    "RVS_NOISE_CORRELATION",
    "ModelError",
    "NoiseModel",
    "correlation_for",
    "model_error_for",
    "spline_correlation",
]


def spline_correlation(width, floor) -> tuple[float, ...]:
    """Correlation at lags 0, 1, 2, ... pixels of noise that was interpolated linearly from wider pixels.

    White noise in pixels `width` times as wide, interpolated linearly and averaged over many positions of
    the wide pixels, has the autocorrelation of the interpolating triangle: the cubic B-spline
    B(lag / width) / B(0), whose power spectrum sinc^4 is nowhere negative. A share `floor` of the variance
    is independent from pixel to pixel; it keeps the power spectrum above zero.

    Parameters
    ----------
    width : float
        Of the wide pixels, in pixels.
    floor : float

    Examples
    --------
    >>> from rvsemu.observing.noise import spline_correlation
    >>> [round(rho, 3) for rho in spline_correlation(2.0, 0.0)]
    [1.0, 0.719, 0.25, 0.031]
    """
    s = np.arange(np.ceil(2.0 * width)) / width
    spline = np.where(s < 1, 2 / 3 - s**2 + s**3 / 2, np.maximum(2 - s, 0) ** 3 / 6) * 1.5
    return (1.0, *((1.0 - floor) * spline[1:]).tolist())


RVS_NOISE_CORRELATION = spline_correlation(2.4, 0.005)
"""Correlation of the noise of Gaia DR3 RVS mean spectra at lags of 0, 1, 2, ... pixels of 0.01 nm.

That of native pixels of 0.0245 nm interpolated linearly; the power spectra of the residuals of real stars agree
with it (see the page on inference of the documentation).
"""


def correlation_for(observation, correlation="gaia-rvs") -> np.ndarray:
    """Noise correlation at lags 0, 1, 2, ... pixels.

    Parameters
    ----------
    observation : Observation
    correlation : 'gaia-rvs' or sequence of float
        ``'gaia-rvs'`` is `RVS_NOISE_CORRELATION` for pixels of 0.1 A (to 10 %), the grid on which it was
        measured, and white noise for all others. A sequence starts with 1; empty or ``(1,)`` is white noise.

    Raises
    ------
    SpectrumError
        It is not a correlation: not within -1 to 1, or with a power spectrum that is not positive.
    """
    if isinstance(correlation, str):
        if correlation != "gaia-rvs":
            raise SpectrumError(f"noise_correlation={correlation!r} is unknown: use 'gaia-rvs' or a tuple of numbers.")
        correlation = RVS_NOISE_CORRELATION if abs(observation.step - 0.1) < 0.01 else ()
    rho = np.asarray(correlation if len(correlation) else (1.0,), dtype=float)
    if rho.ndim != 1 or rho[0] != 1 or not np.all(np.abs(rho) <= 1):
        raise SpectrumError(
            f"noise_correlation={correlation!r}: give the correlation at lags 0, 1, 2, ... pixels, starting "
            "with 1 and within -1 to 1, or () for white noise."
        )
    phase = np.linspace(0.0, np.pi, 2001)
    power = rho @ (np.cos(np.outer(np.arange(len(rho)), phase)) * np.where(np.arange(len(rho)), 2, 1)[:, None])
    if not power.min() > 1e-4:
        raise SpectrumError(
            f"noise_correlation={correlation!r} has a power spectrum that falls to {power.min():.2g}: no noise has "
            "it, or none that can be solved for. Lower all numbers but the first until it is positive."
        )
    return rho


EMULATOR_REACH = 1.6
"""Angstrom. What the components of an emulator's `ErrorModel` leave is as smooth as the spectra: the instrument
(sigma 0.3 A) has the autocorrelation of a Gaussian of 0.43 A, this that of one of 0.37 A."""


def smooth_correlation(step, reach) -> np.ndarray:
    """Correlation, at lags 0, 1, 2, ... pixels, of errors that have gone through the instrument.

    At a distance d it is Wendland's ``(1 - r)**6 (35 r**2 + 18 r + 3) / 3``, r = d / reach < 1, else 0 (Wendland
    1995, Adv. Comput. Math. 4, 389), which is positive definite, four times differentiable, close to a Gaussian
    of sigma reach / 4.3, and makes a banded matrix.

    Parameters
    ----------
    step, reach : float
        Angstrom.
    """
    r = np.arange(max(1, np.ceil(reach / step))) * step / reach
    return (1 - r) ** 6 * (35 * r**2 + 18 * r + 3) / 3


@dataclass(frozen=True)
class ModelError:
    """What synthetic spectra do not know about real ones, as a random function of wavelength.

    Its variance in units of the continuum, where the model has the flux m, is
    ``base**2 + (depth * (1 - m))**2``, and its correlation is that of `smooth_correlation`.

    Parameters
    ----------
    base : float
    depth : float
    reach : float
        Angstrom.
    """

    base: float
    depth: float
    reach: float

    def sigma(self, flux) -> np.ndarray:
        """Standard deviation where the model has the normalised `flux`."""
        return np.hypot(self.base, self.depth * (1.0 - flux))

    def correlation(self, step) -> np.ndarray:
        """At lags 0, 1, 2, ... pixels of `step` Angstrom."""
        return smooth_correlation(step, self.reach)


MODEL_ERRORS = {"gaia-rvs": ModelError(base=0.0089, depth=0.054, reach=1.6)}
"""Model errors that go by a name."""


def model_error_for(given) -> ModelError | None:
    """A `ModelError` from a name of `MODEL_ERRORS`, an instance or None.

    Raises
    ------
    SpectrumError
        It is neither.
    """
    if given is None or isinstance(given, ModelError):
        return given
    if isinstance(given, str) and given in MODEL_ERRORS:
        return MODEL_ERRORS[given]
    names = ", ".join(map(repr, MODEL_ERRORS))
    raise SpectrumError(f"model_error={given!r} is unknown: use {names}, a ModelError, or None.")


@dataclass(frozen=True)
class NoiseModel:
    """Everything that makes an observed pixel differ from the best model, but the continuum.

    Parameters
    ----------
    correlation : ndarray
        Of the noise at lags 0, 1, 2, ... pixels.
    model_error : ModelError or None
    jitter : float
        Standard deviation of extra white noise, in units of the continuum.
    """

    correlation: np.ndarray
    model_error: ModelError | None = None
    jitter: float = 0.0

    def parts(self, sigma, step, model, theta, flux, level, used):
        """Band (w + 1, n) and low rank (k, n) of the covariance of the pixels of a spectrum.

        Parameters
        ----------
        sigma : ndarray, shape (n,)
            Standard deviation of the noise.
        step : float
            Distance of pixels, Angstrom.
        model : ForwardModel
            Of the same pixels.
        theta : ndarray
            Labels and radial velocity at which the emulator's error is taken.
        flux : ndarray, shape (n,)
            Normalised model there.
        level : ndarray, shape (n,)
            The continuum there.
        used : ndarray of bool, shape (n,)
            Other pixels are made independent of these.
        """
        variance, low_rank = model.error(theta)
        level = np.where(used, np.abs(level), 0.0)
        bands = [banded(self.correlation, sigma, used), (self.jitter * level)[None] ** 2]
        smooth = smooth_correlation(step, EMULATOR_REACH)
        errors = [(smooth, np.sqrt(variance) * level)]
        if self.model_error is not None:
            errors.append((self.model_error.correlation(step), self.model_error.sigma(flux) * level))
        for correlation, error in errors:
            bands.append(banded(correlation, error, used))
            bands[-1][0, ~used] = 0.0
        return add_bands(*bands), low_rank * level
