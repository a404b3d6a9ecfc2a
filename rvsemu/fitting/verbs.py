"""`fit`, `fit_many`, `sample` and `prepare`: what a user does with an observed spectrum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from .._compat import Spectrum
from ..errors import RvsemuError, SettingsError, SpectrumError
from .likelihood import Likelihood
from .problem import Problem
from .result import FitFailure, FitResult
from .settings import Settings, takes_settings

__all__ = ["fit", "fit_many", "fit_stream", "prepare"]

_AT_ONCE = 16  # spectra in the same matrix products
_AHEAD = 64  # spectra among which those on the same pixels are looked for


@takes_settings()
def fit(spectrum: Spectrum, **settings: Any) -> FitResult:
    """Fit stellar labels to an observed spectrum by least squares.

    Radial velocity is fitted along, and the continuum is a polynomial that multiplies the model and is
    solved for at each step. The defaults are those for Gaia RVS mean spectra.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One-dimensional, any linear flux unit, with a wavelength axis, ``meta["medium"]`` and an uncertainty
        (standard deviation, variance or inverse variance). For many spectra see `fit_many`.
    **settings

    Returns
    -------
    FitResult

    Raises
    ------
    SpectrumError
        The spectrum cannot be used: 2-D, no uncertainty, no medium, too few good pixels ...
    LabelError
        `fixed`, `priors` or `radial_velocity` name an unknown label or have a bad value.
    SettingsError
        Another setting has a bad value.

    Notes
    -----
    chi2 = (y - model)^T C^-1 (y - model) with the covariance C of noise, emulator and models
    (`rvsemu.fitting.Likelihood`) is minimised by Levenberg-Marquardt with the analytic Jacobian. Starts
    are six of a fixed grid of 2048 emulator spectra, the best that differ from each other. All are followed with white
    noise in every third pixel until they have ended in minima, and all minima that differ further, each with the
    covariance C of its own neighbourhood, and the mask of the calcium cores, which moves with the star. The most
    probable is the result.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy.nddata import StdDevUncertainty
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=-0.3, vmic=1.3, resolution=11900)
    >>> star.uncertainty = StdDevUncertainty(0.01 + 0 * star.flux.value)
    >>> result = rvsemu.fit(star, noise_correlation=(), model_error=None)
    >>> bool(abs(result.teff.value - 6000) < 20)
    True
    """
    checked = _for_least_squares(settings)
    return _fit_together([checked.observe(spectrum)], checked)[0]


@takes_settings()
def fit_many(
    spectra: Spectrum | Iterable[Spectrum], *, on_error: str = "raise", **settings: Any
) -> list[FitResult | FitFailure]:
    """Fit stellar labels to many spectra, several at a time in the same matrix products.

    The results are those of `fit`, at a fraction of its time where the spectra have the same pixels.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum, or Spectrum of two dimensions
    on_error : {'raise', 'skip'}
        Where a spectrum cannot be used, raise the error, or have a `FitFailure` with it in its place.
    **settings

    Returns
    -------
    list of FitResult
        In the order of `spectra`.

    Raises
    ------
    SpectrumError, LabelError, SettingsError
        As `fit`.
    """
    return list(fit_stream(spectra, on_error=on_error, **settings))


@takes_settings()
def fit_stream(
    spectra: Spectrum | Iterable[Spectrum], *, on_error: str = "raise", **settings: Any
) -> Iterator[FitResult | FitFailure]:
    """Results of `fit_many` one by one, in the order of the spectra, without waiting for all of them.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum, or Spectrum of two dimensions
        Up to 64 of an iterable are read ahead.
    on_error : {'raise', 'skip'}
        See `fit_many`.
    **settings

    Yields
    ------
    FitResult or FitFailure

    Raises
    ------
    SpectrumError, LabelError, SettingsError
        As `fit`.
    """
    if on_error not in ("raise", "skip"):
        raise SettingsError(f"on_error={on_error!r}: use 'raise' or 'skip'.")
    return _stream(iter(_one_by_one(spectra)), on_error == "skip", _for_least_squares(settings))


@takes_settings("errors", "scale_errors")
def prepare(spectrum: Spectrum, **settings: Any) -> Likelihood:
    """Likelihood of a spectrum, with its covariance taken at the best fit.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        As for `fit`.
    **settings

    Returns
    -------
    Likelihood
        With the free labels of the best fit in ``.start``.

    Raises
    ------
    SpectrumError, LabelError, SettingsError
        As `fit`.
    """
    checked = Settings(**settings)
    problem = Problem([checked.observe(spectrum)], checked)
    return problem.likelihood(problem.minima())


def _for_least_squares(settings) -> Settings:
    checked = Settings(**settings)
    if checked.free_jitter:
        raise SettingsError(
            "jitter='free': least squares cannot find it; give a number, or sample it (rvsemu.sample, rvsemu sample)."
        )
    return checked


def _one_by_one(spectra):
    """The spectra of an iterable, or those of a two-dimensional Spectrum."""
    if getattr(spectra, "flux", None) is None:
        return spectra
    return [spectra] if spectra.flux.ndim < 2 else [spectra[i] for i in range(len(spectra.flux))]


def _stream(spectra, skip, settings):
    first = 0
    while block := list(islice(spectra, _AHEAD)):
        out = [_observed(spectrum, first + i, skip, settings) for i, spectrum in enumerate(block)]
        groups: dict[tuple, list[int]] = {}
        for i, one in enumerate(out):
            if not isinstance(one, FitFailure):
                groups.setdefault((one.wavelength.tobytes(), one.covered.tobytes()), []).append(i)
        for rows in groups.values():
            for start in range(0, len(rows), _AT_ONCE):
                some = rows[start : start + _AT_ONCE]
                for i, result in zip(some, _fit_some(some, out, first, skip, settings), strict=True):
                    out[i] = result
        yield from out
        first += len(block)


def _observed(spectrum, number, skip, settings):
    """Observation of a spectrum, or what is wrong with it."""
    try:
        return settings.observe(spectrum)
    except RvsemuError as e:
        return _failed(getattr(spectrum, "meta", {}), number, e, skip)


def _fit_some(rows, observations, first, skip, settings):
    """Results of spectra together; should one of them make that impossible, one by one."""
    try:
        return _fit_together([observations[i] for i in rows], settings)
    except (ArithmeticError, np.linalg.LinAlgError, RvsemuError) as e:
        if len(rows) == 1:
            return [_failed(observations[rows[0]].meta, first + rows[0], e, skip)]
        return [_fit_some([i], observations, first, skip, settings)[0] for i in rows]


def _failed(meta, number, error, skip) -> FitFailure:
    error = error if isinstance(error, RvsemuError) else SpectrumError(f"no fit is possible: {error}.")
    if not skip:
        raise SpectrumError(f"spectrum {number}: {error}") from error
    return FitFailure(error, dict(meta))


def _fit_together(observations, settings) -> list[FitResult]:
    problem = Problem(observations, settings)
    minima = problem.minima()
    results = [problem.result(minima, star) for star in range(len(observations))]
    if settings.errors == "gaussian":
        return results
    out = []
    for star, result in enumerate(results):
        scale = result.meta["errors_scaled_by"]
        draws = problem.draws(minima, problem.likelihood(minima, star), star, scale)
        out.append(result.sampled(draws))
    return out
