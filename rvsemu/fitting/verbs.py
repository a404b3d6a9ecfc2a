"""`fit`, `fit_many`, `fit_stream`, `fit_transits` and `prepare`: what a user does with observed spectra."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from specutils import Spectrum

from ..errors import RvsemuError, SettingsError, SpectrumError
from ..observing.observation import Observation
from ..spectra.stream import check_normalised
from .label_errors import broadened
from .likelihood import Likelihood
from .problem import Problem, alike
from .result import FitFailure, FitResult
from .settings import Settings, takes_settings
from .transits import MOST_TRANSITS, Transits
from .transits_result import TransitsResult

__all__ = ["fit", "fit_many", "fit_stream", "fit_transits", "prepare"]

_AT_ONCE = 64  # spectra in the same matrix products
_AHEAD = 64  # spectra among which those on the same pixels are looked for
_SAME = 1e-6  # of the continuum: the rounding of single precision is less, noise more


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
    (`rvsemu.fitting.Likelihood`) is minimised by Levenberg-Marquardt with the analytic Jacobian. Starts are
    eight of a fixed grid of 2048 emulator spectra, at the velocity that cross-correlation finds: the best of each range
    of Teff, and others that differ. Where several velocities are nearly as good, they share the eight. They are
    followed with white noise in logarithmic bins of wavelength until they have ended in minima. All minima that differ
    are followed further, each with the covariance C of its own neighbourhood and the mask of the calcium cores, which
    moves with the star. The most probable is the result.

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
    return _fit_together([Problem.observe(spectrum, checked)], checked)[0]


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

    Examples
    --------
    >>> import rvsemu
    >>> sun = rvsemu.generate(teff=5777, logg=4.44, vsini=4, mh=0, vmic=1.1, resolution=11900)
    >>> spectra = [rvsemu.simulate(sun, signal_to_noise=s, seed=s) for s in (30, 100)]
    >>> faint, bright = rvsemu.fit_many(spectra, model_error=None)
    >>> bool(faint.errors["teff"] > bright.errors["teff"])
    True
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

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import fit_stream
    >>> paths = [rvsemu.example_path(name) for name in ("kepler-93", "hd176650")]
    >>> stars = (spectrum for path in paths for spectrum in rvsemu.read_rvs(path))
    >>> for result in fit_stream(stars):
    ...     print(result.teff.round(-3), "dwarf" if result.logg.value > 3.5 else "giant")
    6000.0 K dwarf
    5000.0 K giant
    """
    if on_error not in ("raise", "skip"):
        raise SettingsError(f"on_error={on_error!r}: use 'raise' or 'skip'.")
    return _stream(iter(_one_by_one(spectra)), on_error == "skip", _for_least_squares(settings))


@takes_settings("errors")
def fit_transits(spectra: Spectrum | Iterable[Spectrum], **settings: Any) -> TransitsResult:
    """Fit all epoch spectra of a star together: one set of labels, and a radial velocity and a continuum each.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum, or Spectrum of two dimensions
        1 to 500 of one star, each as for `fit`. They may have different pixels. Those that cannot be used, as they have
        too few good pixels, the Gaia archive did not normalise them (``meta["normalisation_method"]`` 4), or they are
        given twice, are passed over, and are in ``skipped`` of the result.
    **settings

    Returns
    -------
    TransitsResult

    Raises
    ------
    SpectrumError
        None of the spectra can be used, there are none or more than 500, they are of more than one source by their
        ``meta["source_id"]``, or some are in the rest frame, as mean spectra are, and some barycentric.
    LabelError, SettingsError
        As `fit`.

    Notes
    -----
    Labels are those of the product of the likelihoods of all transits, each with its own velocity, continuum, mask and
    covariance of the noise. The errors of emulator and models are the same in all transits, and do not average out: see
    `rvsemu.fitting.Transits`, also for the velocities and their errors. It is assumed that the star itself is the same
    in all spectra: not a double-lined binary, nor a variable star. One transit has the result of `fit`.

    Examples
    --------
    >>> import rvsemu
    >>> star = rvsemu.generate(teff=6500, logg=4.2, vsini=12, mh=0, vmic=1.3, resolution=11900)
    >>> given = {"signal_to_noise": 40, "release": "Gaia DR4", "frame": "barycentric"}
    >>> transits = [rvsemu.simulate(star, radial_velocity=v, seed=v, **given) for v in (5, 30, 60)]
    >>> result = rvsemu.fit_transits(transits, model_error=None)
    >>> result.velocities.shape, result.flags
    ((3,), ('variable-velocity',))
    >>> bool(abs(result.teff.value - 6500) < 3 * result.errors["teff"].value)
    True
    """
    checked = _for_least_squares(settings)
    observations, skipped, seen = [], list[FitFailure](), list[np.ndarray]()
    given = list(islice(_one_by_one(spectra), MOST_TRANSITS + 1))
    _check_transits(given)
    for spectrum in given:
        try:
            check_normalised(getattr(spectrum, "meta", {}))
            one = Problem.observe(spectrum, checked)
            _check_new(one, seen)
            observations.append(one)
        except SpectrumError as e:
            skipped.append(FitFailure(e, dict(getattr(spectrum, "meta", {}))))
    if not observations:
        raise SpectrumError(f"none of {len(given)} transits can be used; the first: {skipped[0].error}")
    transits = Transits(observations, checked)
    return transits.result(transits.minima(), skipped)


def _check_new(observation: Observation, seen: list[np.ndarray]) -> None:
    """Refuse a spectrum whose fluxes were `seen` before, and note them: its noise would count as independent.

    Neither its unit, nor the order of its pixels, nor single precision makes it another spectrum.
    """
    good, order = observation.usable, np.argsort(observation.wavelength)
    fluxes = np.where(good, observation.flux, 0.0)[order] / observation.scale
    for other in seen:
        if len(other) == len(fluxes) and np.max(np.abs(fluxes - other)) < _SAME:
            raise SpectrumError("its fluxes are those of another transit that is given: the same spectrum twice.")
    seen.append(fluxes)


def _check_transits(spectra: Sequence[Spectrum]) -> None:
    if not 1 <= len(spectra) <= MOST_TRANSITS:
        number = "no" if not spectra else f"more than {MOST_TRANSITS}"
        raise SpectrumError(f"spectra: {number} transits are given; give 1 to {MOST_TRANSITS} spectra of one star.")
    given = (getattr(spectrum, "meta", {}).get("source_id") for spectrum in spectra)
    sources = {source for source in given if source is not None}
    if len(sources) > 1:
        some = ", ".join(map(str, sorted(sources)[:3]))
        raise SpectrumError(f"spectra: {len(sources)} sources ({some}): give the transits of one star.")
    frames = [getattr(spectrum, "meta", {}).get("frame") for spectrum in spectra]
    if {"rest", "barycentric"} <= set(frames):
        raise SpectrumError(
            f"spectra: {frames.count('rest')} of {len(spectra)} are in the rest frame by meta['frame'], and others "
            "barycentric: leave the mean spectrum out, which is no transit."
        )


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
        With the free labels next to the best fit, at which the covariance was taken, in ``.start``.

    Raises
    ------
    SpectrumError, LabelError, SettingsError
        As `fit`.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import prepare
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> likelihood = prepare(star, fixed={"vmic": 1.0})
    >>> names = likelihood.parameters.free_names
    >>> hotter = likelihood.start.copy()
    >>> hotter[names.index("teff")] += 500
    >>> best, worse = likelihood.log_probability([likelihood.start, hotter])
    >>> bool(best > worse)
    True
    """
    checked = Settings(**settings)
    problem = Problem([Problem.observe(spectrum, checked)], checked)
    return problem.likelihood(problem.minima())


def _for_least_squares(settings: Mapping[str, Any]) -> Settings:
    checked = Settings(**settings)
    if checked.free_jitter:
        raise SettingsError(
            "jitter='free': least squares cannot find it; give a number, or sample it (rvsemu.sample, rvsemu sample)."
        )
    return checked


def _one_by_one(spectra: Any) -> Iterable[Spectrum]:
    """The spectra of an iterable, or those of a two-dimensional Spectrum."""
    if isinstance(spectra, str | os.PathLike) or not (hasattr(spectra, "flux") or isinstance(spectra, Iterable)):
        raise SpectrumError(
            f"spectra is a {type(spectra).__name__}: give a list of specutils Spectrum, e.g. rvsemu.read_rvs(path)."
        )
    if getattr(spectra, "flux", None) is None:
        return spectra
    return [spectra] if spectra.flux.ndim < 2 else [spectra[i] for i in range(len(spectra.flux))]


def _stream(spectra: Iterator[Spectrum], skip: bool, settings: Settings) -> Iterator[FitResult | FitFailure]:
    first = 0
    while block := list(islice(spectra, _AHEAD)):
        out: dict[int, FitResult | FitFailure] = {}
        observations: dict[int, Observation] = {}
        groups: dict[tuple, list[int]] = {}
        for i, spectrum in enumerate(block, first):
            one = _observed(spectrum, i, skip, settings)
            if isinstance(one, FitFailure):
                out[i] = one
            else:
                observations[i] = one
                groups.setdefault(alike(one, settings), []).append(i)
        for rows in groups.values():
            for start in range(0, len(rows), _AT_ONCE):
                some = {i: observations.pop(i) for i in rows[start : start + _AT_ONCE]}
                out.update(zip(some, _fit_some(some, skip, settings), strict=True))
        yield from (out[i] for i in sorted(out))
        first += len(block)


def _observed(spectrum: Spectrum, number: int, skip: bool, settings: Settings) -> Observation | FitFailure:
    """Observation of a spectrum, or what is wrong with it."""
    try:
        return Problem.observe(spectrum, settings)
    except RvsemuError as e:
        return _failed(getattr(spectrum, "meta", {}), number, e, skip)


def _fit_some(observations: Mapping[int, Observation], skip: bool, settings: Settings) -> list[FitResult | FitFailure]:
    """Results of spectra together; should one of them make that impossible, one by one."""
    try:
        return list(_fit_together(list(observations.values()), settings))
    except (ArithmeticError, np.linalg.LinAlgError, RvsemuError) as e:
        if len(observations) == 1:
            return [_failed(one.meta, i, e, skip) for i, one in observations.items()]
        return [_fit_some({i: one}, skip, settings)[0] for i, one in observations.items()]


def _failed(meta: Mapping[str, Any], number: int, error: Exception, skip: bool) -> FitFailure:
    error = error if isinstance(error, RvsemuError) else SpectrumError(f"no fit is possible: {error}.")
    if not skip:
        raise SpectrumError(f"spectrum {number}: {error}") from error
    return FitFailure(error, dict(meta))


def _fit_together(observations: Sequence[Observation], settings: Settings) -> list[FitResult]:
    problem = Problem(observations, settings)
    minima = problem.minima()
    results = problem.results(minima)
    if settings.errors == "gaussian":
        return results
    out, domain, parameters = [], settings.loaded_emulator.labels, problem.parameters
    for star, result in enumerate(results):
        scale = result.meta["errors_scaled_by"]
        draws = problem.draws(minima, problem.likelihood(minima, star), star, scale)
        x = broadened(draws.x, problem.label_errors, *np.transpose(list(result.ranges.values())))
        inside = domain.inside(parameters.full(x)[:, : parameters.velocity])
        outside = 1.0 - float(draws.weights @ inside)
        out.append(result.sampled(replace(draws, x=x), domain.lowest_logg, outside))
    return out
