"""The noise of an observed spectrum and the error of synthetic spectra, as covariances of the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from .._values import shown
from ..errors import SpectrumError
from ..physics.wavelengths import convert_medium
from .correlation import WHITE, Correlation, LagCorrelation, SmoothCorrelation, SplineCorrelation, correlation_band
from .covariance import banded_sum

if TYPE_CHECKING:
    from ..emulator import Emulator
    from ..inversion import Inversion
    from .forward import ForwardModel

__all__ = [
    "MODEL_ERRORS",
    "NOISES",
    "RVS_NOISE",
    "RVS_NOISE_CORRELATION",
    "ModelError",
    "NoiseModel",
    "PixelNoise",
    "emulator_error",
    "line_width",
    "model_error_for",
    "noise_for",
    "stated_noise",
]


@dataclass(frozen=True)
class PixelNoise:
    """How to read the errors of a kind of spectrum.

    Parameters
    ----------
    correlation : Correlation
        Of the noise, by the distance of pixels.
    scatter : float
        Standard deviation of the noise in a pixel / stated error.
    estimated : bool
        The errors are estimates from the scatter of few spectra, and better smoothed (`smoothed_sigma`).
    step : float, optional
        Angstrom from pixel to pixel, as published; rows may be missing.

    Examples
    --------
    >>> from rvsemu.observing import NOISES
    >>> dr3 = NOISES["gaia-dr3"]
    >>> dr3.estimated, dr3.step
    (True, 0.1)
    >>> dr3.correlation([0.0, 0.1, 1.0]).round(1)                              # at distances in Angstrom
    array([1. , 0.8, 0. ])
    """

    correlation: Correlation
    scatter: float = 1.0
    estimated: bool = False
    step: float | None = None


RVS_NOISE = SplineCorrelation(0.245, 0.002)
"""Correlation of the noise of Gaia RVS spectra: that of native pixels of 0.0245 nm interpolated linearly.

The power spectra of the residuals of real stars agree with it (see the page on inference of the documentation).
"""

RVS_NOISE_CORRELATION = tuple(RVS_NOISE(0.1 * np.arange(5)).tolist())
"""The same at lags of 0, 1, 2, ... pixels of 0.01 nm, those of the mean spectra of Gaia DR3."""

NOISES = {
    "gaia-dr3": PixelNoise(RVS_NOISE, estimated=True, step=0.1),
    "gaia-dr4": PixelNoise(RVS_NOISE, scatter=np.sqrt(2 / 3), step=0.25),
    "white": PixelNoise(WHITE),
}
"""Kinds of noise by name.

Errors of Gaia DR3 are the scatter of the CCD spectra that were combined, those of DR4 are propagated from native pixels
as if these were not interpolated, which lowers the variance to two thirds on average.
"""
_RELEASES = {"Gaia DR3": "gaia-dr3", "Gaia DR4": "gaia-dr4"}
_OTHER_STEP = {"Gaia DR4": 0.1}  # Angstrom; drafts have 0.25, and the release may have the pixels of Gaia DR3
_FIRST, _LAST = 8460.0, 8700.0
_ON_GRID = 0.02  # of a step
_SHORTEST = 0.01  # Angstrom
_NEAR = 0.1  # of a step


def stated_noise(given, step=1.0) -> PixelNoise | None:
    """The `PixelNoise` that an argument states for pixels that are `step` apart; None for ``'auto'``.

    Raises
    ------
    SpectrumError
        The name is unknown, or the sequence is no correlation.
    """
    if not isinstance(given, str | Sequence | np.ndarray):
        raise SpectrumError(f"noise_correlation={given!r}: use {_names()}; 'white' are independent pixels.")
    if not isinstance(given, str):
        return PixelNoise(LagCorrelation(tuple(given), step)) if len(given) else NOISES["white"]
    if given not in ("auto", *NOISES):
        raise SpectrumError(f"noise_correlation={given!r} is unknown: use {_names()}.")
    return NOISES.get(given)


def noise_for(spectrum_axis, meta, medium, given="auto") -> PixelNoise:
    """The `PixelNoise` of a spectrum.

    Parameters
    ----------
    spectrum_axis : ndarray, shape (n,)
        Its wavelengths, Angstrom.
    meta : dict
        Its ``pixel_correlation`` (of `rvsemu.as_rvs`) decides, if there is one, at lags of ``pixel_correlation_step``
        (Angstrom; its pixels, if that is missing), else its ``release``, else whether all wavelengths, converted to
        vacuum, are those of a release.
    medium : {'air', 'vacuum'}
    given : str or sequence of float
        ``'auto'``, a name of `NOISES`, or a correlation at lags of 0, 1, 2, ... pixels; empty is white noise.

    Raises
    ------
    SpectrumError
        The name is unknown, the sequence is no correlation, or the pixels are not those of the release.
    """
    step = float(np.min(np.abs(np.diff(spectrum_axis))))
    if (noise := stated_noise(given, step)) is not None:
        return noise
    if (values := meta.get("pixel_correlation")) is not None:
        return PixelNoise(_correlation_of(values, meta.get("pixel_correlation_step", step)))
    release = str(meta.get("release"))
    if release in _RELEASES:
        noise = NOISES[_RELEASES[release]]
        other = _OTHER_STEP.get(release)
        if other and _on_grid(convert_medium(spectrum_axis, medium, "vacuum"), other, step):
            return replace(noise, step=other)
        _check_pixels(spectrum_axis, release, noise)
        return noise
    return NOISES["white"] if "recipe" in meta else _noise_of_pixels(convert_medium(spectrum_axis, medium, "vacuum"))


def _correlation_of(values, step) -> LagCorrelation:
    """What the meta of a spectrum says of the correlation of its pixels."""
    try:
        plain = float(u.Quantity(step, u.AA).value)
        if not 0 < plain < np.inf:
            raise ValueError
        return LagCorrelation(tuple(values), plain)
    except (SpectrumError, TypeError, ValueError):
        raise SpectrumError(
            f"meta['pixel_correlation']={shown(values)} at steps of {shown(step)}: give the correlation at lags 0, 1, "
            "2, ... steps, starting with 1, and meta['pixel_correlation_step'] in Angstrom, or remove both."
        ) from None


def _noise_of_pixels(wavelength) -> PixelNoise:
    """Noise of the release that has pixels at these wavelengths, Angstrom in vacuum; white noise if there is none."""
    step = float(np.min(np.abs(np.diff(wavelength))))
    releases = (noise for noise in NOISES.values() if noise.step is not None)
    return next((noise for noise in releases if _on_grid(wavelength, noise.step, step)), NOISES["white"])


def _names() -> str:
    return f"{', '.join(map(repr, ('auto', *NOISES)))} or a tuple of numbers"


def _check_pixels(wavelength, release, noise):
    """Refuse spectra that were resampled: neither their errors nor the correlation of these are known."""
    steps = np.abs(np.diff(wavelength)) / noise.step
    near = steps[steps < 1 / _NEAR]
    if not len(near) or np.any(np.abs(near - np.rint(near)) > _NEAR) or np.rint(near.min()) != 1:
        raise SpectrumError(
            f"The spectrum is of {release} by meta['release'], whose pixels are {noise.step:g} A apart, and its own "
            f"are {np.median(steps) * noise.step:.3g} A apart: resampling changes errors and their correlation. Fit "
            "the spectrum as published, or say what they are with noise_correlation= (and sigma=)."
        )


def _on_grid(wavelength, step, least) -> bool:
    """Whether all wavelengths are those of a release, at its `step`, with some neighbours among them."""
    number = (wavelength - _FIRST) / step
    near = np.abs(number - np.rint(number)) < _ON_GRID
    inside = _FIRST - step < wavelength.min() and wavelength.max() < _LAST + step
    return bool(near.all() and inside and abs(least / step - 1) < _ON_GRID)


EMULATOR_ERROR = SmoothCorrelation(1.6)
"""What the components of an emulator's `ErrorModel` leave is as smooth as the spectra: the instrument
(sigma 0.3 A) has the autocorrelation of a Gaussian of 0.43 A, this that of one of 0.37 A."""
_RVS_LINE = 8599.95 / 14500.0  # Angstrom, of the emulators for which this was measured


def line_width(emulator: Emulator | Inversion) -> float:
    """Width of a line at the highest resolution of an emulator, in units of that of the emulators of the RVS."""
    highest = emulator.labels["resolution"].upper if "resolution" in emulator.labels.names else 14500.0
    return float(np.mean(emulator.wavelength[[0, -1]]) / highest / _RVS_LINE)


def emulator_error(emulator: Emulator | Inversion) -> SmoothCorrelation:
    """`EMULATOR_ERROR` as narrow or wide as the lines of an emulator."""
    return SmoothCorrelation(EMULATOR_ERROR.reach * line_width(emulator))


@dataclass(frozen=True)
class ModelError:
    """What synthetic spectra do not know about real ones, as a random function of wavelength.

    Its variance in units of the continuum, where the model has the flux m, is
    ``base**2 + (depth * (1 - m))**2``, and its correlation is a `SmoothCorrelation`.

    Parameters
    ----------
    base : float
    depth : float
    reach : float
        Angstrom.

    Raises
    ------
    SpectrumError
        One of them is no number, or negative, or the reach is below 0.01.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.observing import ModelError
    >>> error = ModelError(base=0.003, depth=0.04, reach=1.75)
    >>> print(error.sigma(0.5).round(4))
    0.0202
    >>> settings = rvsemu.fitting.Settings(model_error=error)
    """

    base: float
    depth: float
    reach: float

    def __post_init__(self) -> None:
        for name, least in (("base", 0.0), ("depth", 0.0), ("reach", _SHORTEST)):
            value = getattr(self, name)
            if not (isinstance(value, int | float | np.number) and least <= value < np.inf):
                raise SpectrumError(f"ModelError: {name}={shown(value)}: give a plain number, {least:g} or more.")

    def sigma(self, flux: ArrayLike) -> np.ndarray:
        """Standard deviation where the model has the normalised `flux`."""
        return np.hypot(self.base, self.depth * (1.0 - np.asarray(flux)))

    @property
    def correlation(self) -> SmoothCorrelation:
        """By the distance of pixels."""
        return SmoothCorrelation(self.reach)


MODEL_ERRORS = {"gaia-rvs": ModelError(base=0.0079, depth=0.059, reach=1.75)}
"""Model errors that go by a name."""


def model_error_for(given, info: Mapping[str, Any] = MappingProxyType({})) -> ModelError | None:
    """A `ModelError` from a name of `MODEL_ERRORS`, an instance or None.

    Parameters
    ----------
    given : str, ModelError or None
    info : mapping
        Of the emulator. One that was calibrated has what a name means there: the error that was left of stars which
        it was not calibrated on.

    Raises
    ------
    SpectrumError
        It is neither.
    """
    if given is None or isinstance(given, ModelError):
        return given
    if isinstance(given, str) and given in MODEL_ERRORS:
        return ModelError(**info["calibration"]["model_error"]) if "calibration" in info else MODEL_ERRORS[given]
    names = ", ".join(map(repr, MODEL_ERRORS))
    raise SpectrumError(f"model_error={given!r} is unknown: use {names}, a ModelError, or None.")


@dataclass(frozen=True)
class NoiseModel:
    """Everything that makes an observed pixel differ from the best model, but the continuum.

    Parameters
    ----------
    correlation : Correlation
        Of the noise.
    model_error : ModelError or None
    jitter : float
        Standard deviation of extra white noise, in units of the continuum.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.observing import MODEL_ERRORS, NOISES, NoiseModel
    >>> noise = NoiseModel(NOISES["gaia-dr3"].correlation, MODEL_ERRORS["gaia-rvs"])
    >>> bands = noise.bands(np.arange(8480.0, 8490.0, 0.1))
    >>> len(bands), bands[0].shape[1]                                          # noise, emulator, models
    (3, 100)
    """

    correlation: Correlation
    model_error: ModelError | None = None
    jitter: float = 0.0

    def bands(self, wavelength: np.ndarray, emulator: Correlation = EMULATOR_ERROR) -> tuple[np.ndarray, ...]:
        """`correlation_band` of the noise, the emulator's error and the model error, in pixels at `wavelength` (n,)."""
        parts = [self.correlation, emulator]
        parts += [] if self.model_error is None else [self.model_error.correlation]
        return tuple(correlation_band(part, wavelength) for part in parts)

    def parts(
        self,
        bands: tuple[np.ndarray, ...],
        sigma: np.ndarray,
        model: ForwardModel,
        theta: np.ndarray,
        flux: np.ndarray,
        level: np.ndarray,
        used: np.ndarray,
        times: np.ndarray | float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bands (s, w + 1, n) and low ranks (s, k, n) of the covariances of the pixels of s spectra.

        Parameters
        ----------
        bands : tuple of ndarray
            Of the pixels, by `bands`.
        sigma : ndarray, shape (s, n)
            Standard deviation of the noise.
        model : ForwardModel
            Of the same pixels.
        theta : ndarray, shape (s, n_parameters)
            Labels and radial velocity at which the emulator's error is taken.
        flux : ndarray, shape (s, n)
            Normalised model there.
        level : ndarray, shape (s, n)
            The continuum there.
        used : ndarray of bool, shape (s, n)
            Other pixels are made independent of these.
        times : ndarray, shape (s,), or float
            By which the variances of emulator and models are multiplied.
        """
        variance, low_rank = model.error(theta)
        jitter = (self.jitter * np.where(used, level, 0.0)) ** 2
        level = np.sqrt(np.reshape(times, (-1, 1))) * np.where(used, np.abs(level), 0.0)
        errors = [np.sqrt(variance) * level]
        errors += [] if self.model_error is None else [self.model_error.sigma(flux) * level]
        band = banded_sum(bands, [sigma, *errors], used)
        band[:, 0] += jitter
        low_rank *= level[:, None]
        return band, low_rank
