"""The rounds of a calibration: stars located with the synthetic emulator, a correction, stars located with that, the
correction again, and what it does to the stars of each fold that the others have corrected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..emulator import Emulator
from ..errors import RvsemuError
from ..observing.noise import MODEL_ERRORS, ModelError, line_width, model_error_for
from .accuracy import error_model
from .coordinates import Coordinates
from .correction import Linear, Prior, solve
from .held_out import MOST_FOR_MODEL_ERROR, Left, left_of, model_error_of
from .label_errors import deviations
from .selection import COUNTS, Choice, choose, folds_of, surely_less
from .stars import Located, Star, linear, locate

__all__ = ["Round", "Work", "calibrated", "with_info"]

_WIDTH = 0.26  # Angstrom: white noise smoothed by this is as smooth as errors of lines that the instrument has seen
_MARGIN = 30  # points on either side of what was observed


@dataclass(frozen=True)
class Round:
    """Stars located with an emulator.

    Parameters
    ----------
    stars : sequence of Star
    theta : ndarray, shape (n, n_labels + 1)
        Labels and radial velocity.
    linear : Linear
        About them.
    left : Left
    """

    stars: Sequence[Star]
    theta: np.ndarray
    linear: Linear
    left: Left

    @property
    def names(self) -> list[str]:
        """What the stars are called."""
        return [star.name for star in self.stars]


@dataclass(frozen=True)
class Work:
    """What all rounds share.

    Parameters
    ----------
    emulator : Emulator
        The synthetic one.
    settings : mapping
        Of `rvsemu.fitting.Settings`.
    seed : int
    progress : bool
    from_scratch : bool
        Whether the emulator knows no more than the mean spectrum of the stars (`rvsemu.calibration.scratch`).
    """

    emulator: Emulator
    settings: Mapping[str, Any]
    seed: int
    progress: bool
    from_scratch: bool = False

    @property
    def model_error(self) -> ModelError:
        """What is expected of synthetic spectra."""
        return model_error_for(self.settings.get("model_error", "gaia-rvs")) or MODEL_ERRORS["gaia-rvs"]

    def labels(self, theta: np.ndarray) -> np.ndarray:
        """Labels (n, n_labels) without the radial velocity."""
        return theta[:, : len(self.emulator.labels)]

    def coordinates(self, labels: np.ndarray) -> Coordinates:
        """What the flux may change with, for stars of these labels (n, n_labels)."""
        if self.from_scratch:
            return Coordinates.polynomials(self.emulator, labels)
        return Coordinates.of(self.emulator, labels, COUNTS[-1], self.seed)

    def counts(self, coordinates: Coordinates) -> tuple[int, ...]:
        """Numbers of them that are tried."""
        most = len(coordinates.constant)
        labels = len(self.emulator.labels)
        return (1 + labels, min(1 + 2 * labels, most), most) if self.from_scratch else COUNTS

    def prior(self, stars: Linear, flux: np.ndarray) -> Prior:
        """Prior of the rows of a correction of strength 1; `flux` (n, m) is that of the emulator."""
        step = self.emulator.wavelength[1] - self.emulator.wavelength[0]
        sigma = stars.spread if self.from_scratch else self.model_error.sigma(flux.mean(axis=0))
        return Prior(sigma.astype("f4"), _WIDTH * line_width(self.emulator) / step)

    def each(self, stars: Sequence[Any], text: str) -> Iterable[Any]:
        """The stars, with a progress bar."""
        from tqdm.auto import tqdm

        return tqdm(stars, desc=text, disable=not self.progress)

    def located(self, star: Star, emulator: Emulator, near: np.ndarray | None = None, robust: bool = False) -> Located:
        """A star where an emulator puts it; from scratch with the labels that it has, as nothing else can tell."""
        return locate(star, emulator, {**self.settings, "robust": robust}, near, held=self.from_scratch)

    def begin(self, stars: Sequence[Star]) -> tuple[Round | None, list[tuple[str, str]]]:
        """Stars located with the synthetic emulator, None without any; name and reason of those that cannot be used."""
        used, rows, rejects = [], [], []
        for star in self.each(stars, "stars"):
            try:
                one = self.located(star, self.emulator)
                rows.append((one.theta, linear(one), left_of(one)))
                used.append(star)
            except RvsemuError as error:
                rejects.append((star.name, str(error)))
        return _round(used, rows) if used else None, rejects

    def again(self, before: Round, emulator: Emulator) -> Round:
        """The same stars located with another emulator; outliers are what that does not explain."""
        rows = []
        for star, theta in zip(self.each(before.stars, "again"), before.theta, strict=True):
            one = self.located(star, emulator, theta, robust=True)
            rows.append((one.theta, linear(one), left_of(one)))
        return _round(before.stars, rows)


def _round(stars: Sequence[Star], rows: Sequence[tuple]) -> Round:
    theta, problems, left = zip(*rows, strict=True)
    return Round(stars, np.array(theta), Linear.joined(problems), Left.joined(left))


@dataclass(frozen=True)
class _Fit:
    """Coordinates, prior and folds of a round, and the correction in it.

    Parameters
    ----------
    coordinates : Coordinates
    values : ndarray, shape (n, q)
        At the stars.
    stars : Linear
        On the points `some`, their residuals those of the synthetic emulator.
    some : slice
        Points of the emulator's grid.
    prior : Prior
    choice : Choice
    """

    coordinates: Coordinates
    values: np.ndarray
    stars: Linear
    some: slice
    prior: Prior
    choice: Choice

    def correction(self, which: np.ndarray) -> np.ndarray:
        """That of some of the stars (q, n_pixels)."""
        prior = replace(self.prior, sigma=self.prior.sigma * np.float32(self.choice.strength))
        values = self.values[which, : self.choice.count]
        out = np.zeros((self.choice.count, len(self.coordinates.emulator.wavelength)))
        out[:, self.some] = prior.functions(solve(self.stars.take(which), values, prior))
        return out

    def emulator(self, which: np.ndarray) -> Emulator:
        """The emulator that some of the stars correct."""
        return self.coordinates.take(self.choice.count).corrected(self.correction(which))


def _fitted(work: Work, found: Round, folds: np.ndarray, before: tuple[_Fit, np.ndarray] | None = None) -> _Fit:
    """The best correction of the stars of a round, which were located with the correction `before`."""
    labels = work.labels(found.theta)
    coordinates = work.coordinates(labels) if before is None else before[0].coordinates
    values = coordinates(labels).astype("f4")
    known = np.flatnonzero(np.any(found.linear.weight > 0, axis=0))
    some = slice(max(known[0] - _MARGIN, 0), known[-1] + 1 + _MARGIN)
    stars = found.linear.trimmed(some)
    if before is not None:
        made = before[1][:, some]
        stars = replace(stars, residual=stars.residual + (values[:, : len(made)] @ made).astype("f4"))
    prior = work.prior(stars, work.emulator.flux(labels)[:, some])
    choice = choose(stars, values, prior, folds, work.counts(coordinates), cautious=not work.from_scratch)
    return _Fit(coordinates, values, stars, some, prior, choice)


def calibrated(work: Work, first: Round) -> tuple[Emulator | None, dict[str, Any]]:
    """The calibrated emulator, or None if no correction is surely better, and a report.

    Parameters
    ----------
    work : Work
    first : Round
        Stars located with the synthetic emulator.
    """
    folds, every = folds_of(first.names, work.seed), np.full(len(first.stars), True)
    fit = _fitted(work, first, folds)
    correction = fit.correction(every)
    again = work.again(first, fit.emulator(every))
    fit = _fitted(work, again, folds, (fit, correction))
    emulators = {int(fold): fit.emulator(folds != fold) for fold in np.unique(folds)}
    left, some = _held_out(work, again, folds, emulators)
    report = _report(work, again, first.left, left)
    if not surely_less(_by_star(first.names, left.misfit), _by_star(first.names, first.left.misfit)):
        return None, report
    error = model_error_of(some, work.model_error)
    report |= {"coordinates": fit.choice.count, "strength": fit.choice.strength, "model_error": dict(vars(error))}
    emulator = fit.emulator(every)
    errors = error_model(emulator, left, work.labels(again.theta), (work.model_error, error), work.seed)
    if work.from_scratch:
        others = {fold: replace(one, error=errors, info={"calibration": report}) for fold, one in emulators.items()}
        fitted_with = {name: value for name, value in work.settings.items() if name != "mask"}  # as by others
        found = deviations(again.stars, folds, others, fitted_with)
        report["held_out"]["labels"] = found.report()
        errors = replace(errors, label_covariance=found.excess)
    return replace(emulator, error=errors), report


def _held_out(
    work: Work, found: Round, folds: np.ndarray, emulators: Mapping[int, Emulator]
) -> tuple[Left, list[Located]]:
    """What is left of the stars of each fold with the emulator that the others correct; and some of them."""
    left, some, step = [], [], max(1, len(folds) // MOST_FOR_MODEL_ERROR)
    stars = zip(found.stars, found.theta, folds, strict=True)
    for number, (star, theta, fold) in enumerate(work.each(list(stars), "held out")):
        one = work.located(star, emulators[fold], theta)
        left.append(left_of(one))
        if number % step == 0:
            some.append(one)
    return Left.joined(left), some


def _by_star(names: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Sums over the spectra of each star."""
    _, which = np.unique(np.asarray(names), return_inverse=True)
    return np.bincount(which, values)


def _report(work: Work, found: Round, before: Left, after: Left) -> dict[str, Any]:
    """What the file will say of the stars, and of what is left of them."""
    labels = work.labels(found.theta)
    names = work.emulator.labels.names
    gain = _by_star(found.names, before.misfit) - _by_star(found.names, after.misfit)
    rms = {
        when: dict(zip(("rms", "rms_less_noise"), left.rms, strict=True))
        for when, left in (("before", before), ("after", after))
    }
    return {
        "stars": len(set(found.names)),
        "spectra": len(found.stars),
        "ranges": {n: [float(x.min()), float(x.max())] for n, x in zip(names, labels.T, strict=True)},
        "held_out": {**rms, "median_gain": float(np.median(gain)), "improved_stars": int(np.sum(gain > 0))},
        "from_scratch": work.from_scratch,
        "of": {name: work.emulator.info.get(name) for name in ("recipe", "version")},
    }


def with_info(emulator: Emulator, report: Mapping[str, Any]) -> Emulator:
    """The emulator with a report in its info, and another version."""
    stamp = datetime.now(timezone.utc).strftime("%Y.%m.%d.%H%M")
    version = f"{emulator.info.get('version')}, calibrated {stamp}"
    return replace(emulator, info={**emulator.info, "version": version, "calibration": dict(report)})
