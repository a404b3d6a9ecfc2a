"""The settings of a fit: checked once, and written down here alone."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import partial, wraps
from typing import Any, ParamSpec, TypeGuard, TypeVar

import numpy as np
from astropy import units as u
from specutils import Spectrum

from ..emulator.choosing import resolve
from ..emulator.labels import ALPHA
from ..emulator.model import Emulator
from ..errors import LabelError, SettingsError, check_whole
from ..observing.masks import DEFAULT_MASK, parse_mask
from ..observing.memory import remembered
from ..observing.noise import ModelError, NoiseModel, model_error_for, stated_noise
from ..observing.observation import Observation
from .parameters import RADIAL_VELOCITY, Parameters

__all__ = ["Settings", "described", "takes_settings"]

NEAR_REST = (-100.0, 100.0)
"""Radial velocities, km/s, that spectra in the rest frame of the star may have: some are wrong, or not single."""
ANYWHERE = (-1000.0, 1000.0)
"""Radial velocities, km/s, of other spectra: the escape velocity of the Galaxy, and more."""
_MOST_DEGREE = 20

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """Settings of a fit: everything except the spectrum.

    The defaults are those for Gaia RVS mean spectra.

    Parameters
    ----------
    emulator : Emulator, str or path, optional
        Emulator to fit with: name of a shipped emulator, by default ``default``, or a file.
    fixed : dict, optional
        Labels held at a value. Floats or Quantities by name, e.g. ``{"vmic": 1.0}``; also ``radial_velocity``.
        Errors of the other labels are those at this value; what the spectrum says of it is a flag, ``held-disputed``.
        The label ``alpha`` is held at 0 unless it is in `fixed` or has a prior; ``{"alpha": "free"}`` frees it.
    priors : dict, optional
        Priors by label, which replace all default priors. ``{"vmic": (1.5, 0.5)}`` is a Gaussian of this mean and
        sigma; others are names (`rvsemu.fitting.NAMED_PRIORS`: for vmic ``"relation"``, for what other labels let
        expect, or ``"wide"``, for resolution ``"gaia-rvs"``), frozen distributions of scipy.stats,
        `rvsemu.fitting.Uniform`, `Normal`, `TruncatedNormal`, `Function`, `Microturbulence` and `RvsResolution`, and
        any function from values to log densities; ``{}`` is none. Default: `rvsemu.fitting.DEFAULT_PRIORS`, which are
        ``{"vmic": "relation", "resolution": "gaia-rvs"}``, for those of these labels that are neither absent nor fixed.
        Labels without one are uniform in their domain.
    radial_velocity : (float, float) or float or Quantity, optional
        Limits of the radial velocity in km/s, or the value at which it is fixed; by default -100 to 100 for spectra
        whose ``meta["frame"]`` is ``"rest"``, such as Gaia's mean spectra, and -1000 to 1000 for others.
    continuum_degree : int
        Degree of the polynomial continuum, 0 to 20.
    mask : str, (low, high), sequence of these, or None
        Pixels to leave out in addition to bad ones: the masks ``"calcium-cores"``, ``"diffuse-band"`` and ``"edges"``,
        or ranges in the wavelengths of the spectrum, in Angstrom. Ranges may be Quantities; `rvsemu.observing.MASKS`
        has the meaning of the names. The given masks replace the default ones; None leaves out only bad pixels.
    extra_mask : str, (low, high) or sequence of these
        Pixels to leave out in addition to those of `mask`.
    medium : {'air', 'vacuum'}, optional
        Medium of the spectral axis, if ``meta["medium"]`` does not state it.
    sigma : float, array or Quantity, optional
        Standard deviation of the noise of each pixel, instead of the spectrum's uncertainty.
    noise_correlation : {'auto', 'gaia-dr3', 'gaia-dr4', 'white'} or sequence of float
        Noise correlation of neighbouring pixels: a name (`rvsemu.observing.NOISES`), or correlations at lags of 0, 1,
        2, ... pixels. ``'auto'`` depends on ``meta["release"]`` or, without it, on whether the wavelengths are those of
        a release; it is ``'white'`` for all other spectra.
    smooth_sigma : bool, optional
        Replace the errors of the pixels by a smoothed version (`rvsemu.observing.smoothed_sigma`), by default only for
        Gaia DR3, whose errors are estimates from the scatter of few CCD spectra.
    model_error : 'gaia-rvs', ModelError or None
        Model error of synthetic spectra, as measured on real RVS spectra. For a calibrated emulator
        (`rvsemu.calibration`) the name stands for the error that was measured on the stars of its calibration. Use None
        for spectra that come from the same models, or to find the errors that are due to noise alone.
    jitter : float or 'free'
        Standard deviation of extra white noise, in units of the continuum. ``'free'`` makes its natural logarithm
        another label, ``log_jitter``, for `rvsemu.sample` alone: uniform from -14 to -2 unless it has a prior, and
        two to six times slower.
    robust : bool
        Give a larger variance to pixels that neither the noise nor the errors of emulator and models explain, such as
        spikes (`rvsemu.observing.outliers`).
    scale_errors : bool
        Multiply the noise by sqrt(reduced chi2) in the errors of the labels if reduced chi2 is above 1. The misfit is
        then larger than noise and `model_error` allow for.
    errors : {'gaussian', 'sampled'}
        Errors from the Gaussian that approximates the posterior at the best fit, or from weighted draws. Weighted draws
        give medians and central intervals of the posterior around all minima that the starts lead to, but take three
        times as long. Use them for spectra of low signal to noise, whose posteriors often have two maxima, and for
        labels near the limits of their range.
    seed : int or numpy.random.Generator
        Seed of the random numbers: the same spectrum with the same seed gives the same result.
    extrapolate : bool
        Allow fixed labels outside the training domain, and free labels to leave it by up to 10 % of its width. A label
        whose domain starts at zero never becomes negative, unless it is a logarithm.

    Examples
    --------
    >>> from rvsemu.fitting import Settings
    >>> settings = Settings(fixed={"vmic": 1.2}, continuum_degree=2, extra_mask=(8650.0, 8660.0))
    >>> settings.continuum_degree, settings.errors
    (2, 'gaussian')
    >>> "vmic" in settings.parameters().free_names
    False
    """

    emulator: Emulator | str | os.PathLike | None = None
    fixed: Mapping[str, Any] | None = None
    priors: Mapping[str, Any] | None = None
    radial_velocity: tuple[float, float] | float | u.Quantity | None = None
    continuum_degree: int = 3
    mask: Any = DEFAULT_MASK
    extra_mask: Any = ()
    medium: str | None = None
    sigma: Any = None
    noise_correlation: str | Sequence[float] = "auto"
    smooth_sigma: bool | None = None
    model_error: str | ModelError | None = "gaia-rvs"
    jitter: float | str = 0.0
    robust: bool = True
    scale_errors: bool = True
    errors: str = "gaussian"
    seed: int | np.random.Generator = 1
    extrapolate: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "emulator", resolve(self.emulator))
        object.__setattr__(self, "model_error", model_error_for(self.model_error, self.loaded_emulator.info))
        check_whole(SettingsError, "continuum_degree", self.continuum_degree, 0, _MOST_DEGREE)
        _check_choice("errors", self.errors, ("gaussian", "sampled"))
        for name in ("robust", "scale_errors", "extrapolate", "smooth_sigma"):
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_) and not (name == "smooth_sigma" and value is None):
                raise SettingsError(f"{name}={getattr(self, name)!r}: give True or False.")
        if not isinstance(self.seed, np.random.Generator):
            check_whole(SettingsError, "seed", self.seed, 0, 2**63 - 1)
        parse_mask(self.mask, self.extra_mask)
        stated_noise(self.noise_correlation)
        if not self.free_jitter and not (_is_number(self.jitter) and 0 <= self.jitter < np.inf):
            raise SettingsError(f"jitter={self.jitter!r}: give a number >= 0, in units of the continuum, or 'free'.")
        self.parameters("rest")  # names and values of labels, checked now and not at the first spectrum

    @property
    def free_jitter(self) -> bool:
        """Whether the jitter is one of the labels."""
        return isinstance(self.jitter, str) and self.jitter == "free"

    @property
    def assumes_alpha(self) -> bool:
        """Whether [alpha/M] is 0 only because nothing was said about it."""
        return all(ALPHA.name not in (given or {}) for given in (self.fixed, self.priors))

    @property
    def loaded_emulator(self) -> Emulator:
        """The emulator itself, as which it may not have been given."""
        assert isinstance(self.emulator, Emulator)  # since __post_init__
        return self.emulator

    def parameters(self, frame: str | None = None) -> Parameters:
        """What is free, with bounds and priors, in spectra of a `frame`: see `radial_velocity`."""
        bounds = self.radial_velocity
        if bounds is not None and isinstance(self.fixed, Mapping) and RADIAL_VELOCITY in self.fixed:
            held = self.fixed[RADIAL_VELOCITY]
            raise LabelError(f"radial_velocity={bounds!r} is given, and {held!r} in fixed=: choose one.")
        if bounds is None:
            bounds = NEAR_REST if frame == "rest" else ANYWHERE
        given = (self.loaded_emulator.labels, self.fixed, self.priors, bounds, self.extrapolate)
        make = partial(Parameters.make, *given, free_jitter=self.free_jitter)
        return remembered(self, ("parameters", frame == "rest"), make)

    def observe(self, spectrum: Spectrum, velocities: tuple[float, float] | None = None) -> Observation:
        """A spectrum as plain floats, in the pixels that can be compared at all `velocities`; default: all allowed."""
        names = ("medium", "sigma", "noise_correlation", "smooth_sigma", "mask", "extra_mask")
        given = {name: getattr(self, name) for name in names}
        if velocities is None:
            velocities = self.parameters(getattr(spectrum, "meta", {}).get("frame")).velocities
        return Observation.from_spectrum(spectrum, self.loaded_emulator, velocities=velocities, **given)

    def noise(self, observation: Observation) -> NoiseModel:
        """What the pixels of an observation may differ by from the best model."""
        assert not isinstance(self.model_error, str)  # since __post_init__
        jitter = 0.0 if self.free_jitter else float(self.jitter)
        return NoiseModel(observation.noise.correlation, self.model_error, jitter)

    def generator(self, *numbers: int) -> np.random.Generator:
        """Random numbers: the user's Generator, or one of the seed and other whole `numbers`."""
        return self.seed if isinstance(self.seed, np.random.Generator) else np.random.default_rng([self.seed, *numbers])


def _check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    if not (isinstance(value, str) and value in allowed):
        raise SettingsError(f"{name}={value!r}: use {' or '.join(map(repr, allowed))}.")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def described() -> dict[str, str]:
    """Description of each setting, by name: its text in the docstring of `Settings`, with the line of its type."""
    text = inspect.cleandoc(Settings.__doc__ or "").partition("----------\n")[2].partition("\nExamples\n")[0]
    return {part.split(" : ")[0]: part.rstrip() for part in re.split(r"\n(?=\w+ : )", text)}


def takes_settings(*without: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a function with ``**settings``: the fields of `Settings` are in its signature and docstring.

    Parameters
    ----------
    *without : str
        Fields that mean nothing to the function; they are refused.
    """
    taken = [f for f in fields(Settings) if f.name not in without]

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in without:
                if name in kwargs:
                    raise SettingsError(f"{name}= means nothing to {function.__name__}: leave it out.")
            for name in kwargs.keys() - known:
                raise TypeError(_no_setting(function.__name__, name, known))
            return function(*args, **kwargs)

        own = inspect.signature(function)
        keyword = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(f.name, keyword, default=f.default, annotation=f.type) for f in taken]
        named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        vars(checked)["__signature__"] = own.replace(parameters=[*named, *added])
        known = [p.name for p in (*named, *added)]
        texts = described()
        checked.__doc__ = re.sub(
            r"^( *)\*\*settings\n(?:\1 .*\n)*",
            lambda m: "".join(_indented(texts[f.name], m[1]) for f in taken),
            function.__doc__ or "",
            flags=re.MULTILINE,
        )
        return checked

    return decorate


def _no_setting(function: str, name: str, known: Sequence[str]) -> str:
    """What to say of an argument that a function does not have."""
    near = get_close_matches(name, known, n=1)
    remedy = f"did you mean {near[0]}=?" if near else f"there are {', '.join(known)}."
    return f"{function}() got an unexpected keyword argument '{name}': {remedy}"


def _indented(text: str, margin: str) -> str:
    return "".join(f"{margin}{line}\n" if line else "\n" for line in text.splitlines())
