"""All transits of a star fitted together: one set of labels, and a radial velocity and a continuum each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import SpectrumError
from ..observing.observation import Observation
from ..observing.stack import Weighted
from .agreement import UNSHARED, agreement, own_scatter, unsure
from .bins import Binned
from .from_minima import covariance_of, make_results, scale_of
from .levenberg_marquardt import Box, Minimum, minimise
from .moves import Moves
from .objective import misfit
from .parameters import RADIAL_VELOCITY, Parameters
from .problem import Problem, alike
from .result import FitFailure, FitResult
from .search import Minima, Search
from .settings import Settings
from .start import STARTS, Grid, followed
from .templates import Normalised
from .transits_result import TransitsResult
from .transits_summary import summarised

__all__ = ["MOST_TRANSITS", "Transits"]

MOST_TRANSITS = 500
"""Spectra of one star that are fitted together: more than Gaia has taken of any, and a limit to memory."""
_TOLERANCE, _STEPS = 1e-4, 40  # of the velocities
_ASIDE = 0.05  # of the logarithm of a factor of the variance of models, for the derivative of a determinant


class Transits(Search):
    """Spectra of one star, and what a fit of all of them together goes through.

    Parameters
    ----------
    observations : sequence of Observation
        1 to 500.
    settings : Settings

    Notes
    -----
    Noise is independent from transit to transit. The errors e of emulator and models are not: it is the same model.
    With y_t = m + e + n_t, noise n_t of covariance s_t N and e of covariance M, all that the spectra say about m is
    their mean with the weights 1 / s_t, and its covariance N / W + M, W = sum 1 / s_t. Its chi2 is, up to what does not
    depend on m, the sum over the transits of chi2 with the covariances

        s_t N + s_t W M,

    for (s_t N + s_t W M)^-1 = (N / W + M)^-1 / (s_t W). So labels and their errors come from transits that look
    independent, and have the variance of the errors of models multiplied by s_t W, which is the number of transits if
    they are alike. This is exact if covariances are proportional and the velocities equal. Where velocities differ,
    e moves with the star, and what is neglected is that other pixels are used and other noise meets the same line.

    Beside chi2 and determinant of the mean, the sums have t - 1 times those of the scatter of the transits about it, as
    if that were not of the noise alone, but of N / W + M. They do not depend on m, but on M, which is another one in
    another minimum. So they are taken out of the likelihoods by which minima are compared: these have in addition half
    of (1 - 1 / t) times the sum of ``log det(s_t N + s_t W M) - log det(s_t N) - f D`` over the transits, with D the
    derivative of the first determinant's logarithm by that of M. f is the size of the scatter in units of N: chi2 with
    the noise alone per degree of freedom.

    What is common to the velocities, their mean, has the error of the same fit. Their differences know nothing of e:
    they are taken with the noise alone, at the labels that were found.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.fitting import Settings, Transits
    >>> star = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=0, vmic=1.3, resolution=11900)
    >>> settings = Settings(radial_velocity=(-100, 100), model_error=None)
    >>> given = {"signal_to_noise": 60, "release": "Gaia DR4", "frame": "barycentric"}
    >>> spectra = [rvsemu.simulate(star, radial_velocity=v, seed=v, **given) for v in (10, 30)]
    >>> transits = Transits([settings.observe(spectrum) for spectrum in spectra], settings)
    >>> result = transits.result(transits.minima(), ())
    >>> result.n_transits, result.velocities.round(-1)
    (2, <Quantity [10., 30.] km / s>)
    """

    def __init__(self, observations: Sequence[Observation], settings: Settings) -> None:
        if not 1 <= len(observations) <= MOST_TRANSITS:
            raise SpectrumError(f"{len(observations)} transits: give 1 to {MOST_TRANSITS} spectra of a star.")
        self.settings, self.observations = settings, list(observations)
        groups: dict[tuple, list[int]] = {}
        for i, one in enumerate(observations):
            groups.setdefault(alike(one, settings), []).append(i)
        count = None if len(observations) == 1 else sum(one.transits or 1 for one in observations)  # alone as in `fit`
        made = (Problem([observations[i] for i in at], settings, count) for at in groups.values())
        self._arrange([_Part(problem, np.array(at)) for problem, at in zip(made, groups.values(), strict=True)])
        weights = self._gathered(lambda part: part.weights())
        self._times = weights.sum() / weights

    def _arrange(self, parts: list[_Part]) -> None:
        """Parameters of the star, and which of them each transit knows, from those of the parts."""
        self._parts = parts
        each = {i: part.problem.parameters for part in self._parts for i in part.at}
        self.parameters = Parameters.joined([each[i] for i in range(len(each))])
        first = each[0]
        self._labels = int(np.sum(first.free < first.velocity))
        own = np.arange(len(each))[:, None] + np.arange(self._labels, len(first.free))
        shared = np.tile(np.arange(self._labels), (len(each), 1))
        self._columns = np.hstack([shared, own])  # (t, m): which of all free parameters a transit knows

    def _gathered(self, values: Callable[[_Part], np.ndarray]) -> np.ndarray:
        """Values of all transits, in order, from those of the parts."""
        out = np.zeros(len(self.observations))
        for part in self._parts:
            out[part.at] = values(part)
        return out

    def _rows(self, part, x) -> np.ndarray:
        """Free parameters (k * n, m) of the n transits of a part from those of the star (k, all)."""
        return x[:, self._columns[part.at]].reshape(len(x) * len(part.at), -1)

    def _sets(self, part, x) -> np.ndarray:
        """Free parameters (k * n, r, m) of the n transits of a part from r sets of those of the star (k, r, all)."""
        own = x[:, :, self._columns[part.at]].swapaxes(1, 2)
        return own.reshape(len(x) * len(part.at), x.shape[1], -1)

    # ------------------------------------------------------------------ the search
    def starts(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`; a spectrum alone starts as in `Problem`."""
        if len(self.observations) == 1:
            return self._parts[0].problem.starts()
        grid = Grid.of(self.settings.loaded_emulator, self._parts[0].problem.parameters)
        limits = {i: part.shifts(grid) for part in self._parts for i in part.at}
        spectra = {i: one for part in self._parts for i, one in zip(part.at, part.normalised(grid), strict=True)}
        order = range(len(spectra))
        rows, shifts, peaks = grid.starts_together([spectra[i] for i in order], [limits[i] for i in order])
        velocities = grid.model.bins.velocity(shifts)
        x = np.empty((STARTS, len(self.parameters.free)))
        compared = []
        for part in self._parts:
            parameters = part.problem.parameters
            for i in part.at:
                velocity = np.clip(velocities[:, i], *parameters.velocities)
                x[:, self._columns[i]] = parameters.from_labels(grid.theta[rows], velocity)
            compared.append(part.coarse(grid, [peaks[i] for i in part.at]))
        return followed(self._together(compared), np.zeros(STARTS, dtype=int), x, self.parameters.box)

    def weighted(self, star: np.ndarray, x: np.ndarray) -> list[Weighted]:
        """See `Search`: those of each part, of all transits of a row of `x` one after the other."""
        rows = [self._rows(part, x) for part in self._parts]
        found = [part.weighted(one, self._times[part.at]) for part, one in zip(self._parts, rows, strict=True)]
        return self._without_scatter(rows, found) if len(self.observations) > 1 else found

    def _without_scatter(self, rows: Sequence[np.ndarray], found: Sequence[Weighted]) -> list[Weighted]:
        """The same with likelihoods that can be compared between places where models have other errors: see the class.

        `rows` are the free parameters of the transits of each part.
        """
        given = zip(self._parts, rows, found, strict=True)
        parts = [part.scatter(x, weighted, self._times[part.at]) for part, x, weighted in given]
        pairs = list(zip(self._parts, parts, strict=True))
        chi2 = sum(one.chi2.reshape(-1, len(part.at)).sum(axis=1) for part, one in pairs)
        freedom = sum(one.freedom.reshape(-1, len(part.at)).sum(axis=1) for part, one in pairs)
        size = float(np.min(chi2 / np.maximum(freedom, 1)))
        share = 0.5 * (1.0 - 1.0 / len(self.observations))
        more = [share * (one.grown - size * one.slope) for one in parts]
        return [replace(one, more=extra) for one, extra in zip(found, more, strict=True)]

    def evaluate(self, weighted: Sequence[Weighted]) -> Callable:
        """See `Search`."""
        return self._together([part.misfit(one) for part, one in zip(self._parts, weighted, strict=True)])

    def log_likelihood(self, weighted: Sequence[Weighted], x: np.ndarray) -> np.ndarray:
        """See `Search`."""
        pairs = zip(self._parts, weighted, strict=True)
        each = [part.problem.log_likelihood(one, self._sets(part, x)) for part, one in pairs]
        return np.sum([values.reshape(len(x), -1, x.shape[1]).sum(axis=1) for values in each], axis=0)

    def doubted(self, weighted: Sequence[Weighted]) -> np.ndarray:
        """See `Search`."""
        pairs = zip(self._parts, weighted, strict=True)
        each = [part.problem.doubted(one).reshape(-1, len(part.at)) for part, one in pairs]
        return np.any(np.hstack(each), axis=1)

    @cached_property
    def held(self) -> np.ndarray:
        """Numbers (h,) of the labels that are held; that of the first velocity is for what all have in common."""
        return np.flatnonzero(~np.isnan(self.parameters.fixed[: self._parts[0].problem.parameters.velocity + 1]))

    def released(self, label: int) -> Transits:
        """See `Search`."""
        out = copy(self)
        out._arrange([_Part(part.problem.released(label), part.at) for part in self._parts])
        return out

    def with_held(self, minima: Minima) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        x, n, h = minima.found.x, len(self.parameters.free), len(self.held)
        gradient, hessian = np.zeros((len(x), n + h)), np.zeros((len(x), n + h, n + h))
        row = np.arange(len(x))
        for part, weighted in zip(self._parts, minima.weighted, strict=True):
            parts = part.problem.slopes_with(weighted, self._rows(part, x), self.held)
            slope, bend = (values.reshape(len(x), len(part.at), *values.shape[1:]) for values in parts)
            moved = self._columns[part.at, : slope.shape[2] - h]
            columns = np.hstack([moved, np.tile(n + np.arange(h), (len(part.at), 1))])
            np.add.at(gradient, (row[:, None, None], columns), slope)
            np.add.at(hessian, (row[:, None, None, None], columns[:, :, None], columns[:, None]), bend)
        return gradient, hessian

    def _together(self, compared) -> Callable:
        """Function for `minimise` from the `misfit` of each part."""

        def evaluate(which, x):
            gradient, hessian = self.parameters.prior_slopes(x)
            cost, row = -self.parameters.log_prior(x), np.arange(len(x))
            for part, function in zip(self._parts, compared, strict=True):
                n, columns = len(part.at), self._columns[part.at]
                parts = function((which[:, None] * n + np.arange(n)).ravel(), self._rows(part, x))
                chi2, slope, bend = (values.reshape(len(x), n, *values.shape[1:]) for values in parts)
                cost = cost + chi2.sum(axis=1)
                np.add.at(gradient, (row[:, None, None], columns), slope)
                np.add.at(hessian, (row[:, None, None, None], columns[:, :, None], columns[:, None]), bend)
            return cost, gradient, hessian

        return evaluate

    # ------------------------------------------------------------------ the result
    def result(self, minima: Minima, skipped: Sequence[FitFailure] = ()) -> TransitsResult:
        """What the best of the minima says.

        Parameters
        ----------
        minima : Minima
            Of `minima`.
        skipped : sequence of FitFailure
            Transits that could not be used.
        """
        row, problem = minima.best(0), self._parts[0].problem
        x = minima.found.x[row]
        moves = self._moves(x)
        fits = [
            part.fit(self._rows(part, minima.at[row][None]), self._rows(part, x[None]), moves.velocities[part.at])
            for part in self._parts
        ]
        freedom = _kept(fits) - moves.spent(len(problem.stack.basis), len(self.observations))
        scale = scale_of(self.settings, sum(2.0 * np.sum(one.found.cost) for one in fits) / max(1, freedom))
        covariance = covariance_of(self.parameters, x[None], minima.found.hessian[row][None], scale)[0]
        covariance = moves.of_mean(covariance * np.outer(minima.widening[row], minima.widening[row]))
        covariance = covariance + problem.label_errors
        second = self.second_minimum(minima, 0)
        results: dict[int, FitResult] = {}
        for part, found in zip(self._parts, fits, strict=True):
            found.found.converged[:] = minima.found.converged[row]
            found.tension[:, self.held] = np.maximum(minima.tension[row, self.held], part.alone(found, self.held))
            found.widening[:] = minima.widening[row][self._columns[part.at]]
            found.disputes[:] = minima.disputes[row][self._columns[part.at]]
            spreads = [(moves.of_one(covariance, at, scale), scale) for at in part.at]
            made = make_results(part.problem, found, range(len(part.at)), [second] * len(part.at), spreads)
            results.update(zip(part.at.tolist(), made, strict=True))
        transits = tuple(results[i] for i in range(len(results)))
        ccds = [one.estimates for one in self.observations]
        agreed = self._agreed([one.found.x for one in fits], scale)
        return summarised(transits, moves, covariance, scale, ccds, tuple(skipped), agreed)

    def _agreed(self, rows: Sequence[np.ndarray], scale: float) -> float:
        """Probability that chance makes transits want labels as different; `rows` as for `_without_scatter`."""
        pairs = zip(self._parts, rows, strict=True)
        slopes, bends = (np.concatenate(some) for some in zip(*(part.slopes(x) for part, x in pairs), strict=True))
        parameters = self._parts[0].problem.parameters
        widths = parameters.box.upper - parameters.box.lower
        return agreement(slopes / scale**2, bends / scale**2, widths, own_scatter(parameters))

    def _moves(self, x) -> Moves:
        """Velocities at the labels of the best minimum `x` (all,), with the noise alone."""
        if self._columns.shape[1] == self._labels:
            held = np.array([one.velocities[0] for one in self.observations])
            return Moves(self._labels, held, held, np.zeros(len(held)))
        alone, noise = np.zeros((2, len(self.observations)))
        for part in self._parts:
            alone[part.at], noise[part.at] = part.velocities(self._rows(part, x[None]))
        return Moves(self._labels, x[self._labels :], alone, noise)


def _kept(fits) -> int:
    """Pixels that are compared and no outliers."""
    return sum(int(np.sum(one.weighted.used)) - int(np.sum(one.weighted.doubt.probability > 0.5)) for one in fits)


@dataclass(frozen=True)
class _Scatter:
    """What k spectra scatter by about the mean of their star: see `Transits`.

    Parameters
    ----------
    grown, slope : ndarray, shape (k,)
        By how much errors of models make the logarithm of the determinant larger, and its derivative by that of their
        variance.
    chi2, freedom : ndarray, shape (k,)
        With the noise alone.
    """

    grown: np.ndarray
    slope: np.ndarray
    chi2: np.ndarray
    freedom: np.ndarray


@dataclass(frozen=True)
class _Part:
    """Transits on the same pixels: n of all.

    Parameters
    ----------
    problem : Problem
    at : ndarray of int, shape (n,)
        Their numbers.
    """

    problem: Problem
    at: np.ndarray

    def weights(self) -> np.ndarray:
        """Inverse variance (n,) of the noise, in units of the median flux."""
        stack = self.problem.stack
        pairs = zip(stack.observations, stack.sigma, strict=True)
        return np.array([np.median(sigma[one.usable[stack.pixels]]) ** -2.0 for one, sigma in pairs])

    # ------------------------------------------------------------------ in logarithmic bins
    def shifts(self, grid) -> tuple[int, int]:
        """Lowest and highest whole shift."""
        return grid.model.bins.shifts(self.problem.parameters.velocities)

    def _binned(self, grid, used) -> Binned:
        problem = self.problem
        return Binned.of(problem.stack, grid.model.bins, np.array(used), problem.inflation, self.shifts(grid))

    def normalised(self, grid) -> list[Normalised]:
        """The spectra in bins."""
        stack = self.problem.stack
        binned = self._binned(grid, [one.usable[stack.pixels] for one in stack.observations])
        return [Normalised.of(binned, i) for i in range(len(self.at))]

    def coarse(self, grid, peaks) -> Callable:
        """`misfit` of eight rows in bins, with the masks of stars that are shifted by `peaks` [n]."""
        stack, velocities = self.problem.stack, grid.model.bins.velocity(peaks)
        pairs = zip(stack.observations, velocities, strict=True)
        binned = self._binned(grid, [one.good(float(velocity))[stack.pixels] for one, velocity in pairs])
        window = grid.model.window(binned.first, binned.flux.shape[1])
        return misfit(self.problem.parameters, window, binned.projection, np.tile(np.arange(len(self.at)), STARTS))

    # ------------------------------------------------------------------ in pixels
    def weighted(self, x, times=None) -> Weighted:
        """The spectra at free parameters `x` (k * n, m), with variances of models multiplied by `times` (n,).

        Outliers are those of the variances as they are.
        """
        which = np.tile(np.arange(len(self.at)), len(x) // len(self.at))
        alone = self.problem.weighted(which, x)
        if times is None or np.all(times == 1):
            return alone
        theta, stack = self.problem.parameters.full(x), self.problem.stack
        return stack.weighted(theta, self.problem.noise, which, doubt=alone.doubt, times=times[which])

    def scatter(self, x, weighted, times) -> _Scatter:
        """What `weighted` spectra at free parameters `x` (k * n, m) scatter by: see `Transits`."""
        problem = self.problem
        which, theta = np.tile(np.arange(len(self.at)), len(x) // len(self.at)), problem.parameters.full(x)

        def determinants(factor):
            return problem.stack.log_determinants(weighted, theta, problem.noise, which, factor * times[which])

        slope = (determinants(np.exp(_ASIDE)) - determinants(np.exp(-_ASIDE))) / (2.0 * _ASIDE)
        noise = problem.stack.weighted(theta, problem.noise, which, doubt=weighted.doubt, times=0.0 * times[which])
        chi2 = noise.projection.solve(problem.model.flux(theta)[:, None]).chi2[:, 0]
        kept = np.sum(weighted.used & (weighted.doubt.probability <= 0.5), axis=1) - len(problem.stack.basis)
        return _Scatter(weighted.covariance.log_determinant - noise.covariance.log_determinant, slope, chi2, kept)

    def misfit(self, weighted) -> Callable:
        """`misfit` of rows that each have a covariance of their own."""
        rows = np.arange(len(weighted.used))
        return misfit(self.problem.parameters, self.problem.model, weighted.projection, rows)

    def velocities(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Velocities (n,) with the noise alone, and their errors, at the labels of `x` (n, m)."""
        compared = self.misfit(self.weighted(x, np.zeros(len(x))))

        def evaluate(which, velocity):
            cost, gradient, hessian = compared(which, np.hstack([x[which, :-1], velocity]))
            return cost, gradient[:, -1:], hessian[:, -1:, -1:]

        low, high = (np.array([limit]) for limit in self.problem.parameters.velocities)
        box = Box(low, high, signed=(0,))
        found = minimise(evaluate, x[:, -1:], box, _TOLERANCE, _STEPS)
        width = float((box.upper - box.lower)[0])
        return found.x[:, 0], 1.0 / np.sqrt(found.hessian[:, 0, 0] + 12.0 / width**2)

    def alone(self, found, held) -> np.ndarray:
        """By how many standard deviations each of the spectra wants another velocity, and 0 for labels (n, held)."""
        velocity = held == self.problem.parameters.velocity
        return (
            self.problem.tension(found)[:, held] * velocity if velocity.any() else np.zeros((len(self.at), len(held)))
        )

    def slopes(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Gradients (n, m) of chi2 / 2 at `x` (n, m), with the errors that transits do not share, and Hessians."""
        weighted = self.weighted(x, np.full(len(self.at), UNSHARED))
        _, gradient, hessian = self.misfit(weighted)(np.arange(len(x)), x)
        growth = np.array([unsure(one.estimates) for one in self.problem.stack.observations])
        return gradient / growth[:, None], hessian / growth[:, None, None]

    def fit(self, start, x, velocities) -> Minima:
        """The spectra as if each had been fitted alone, from `start` (n, m) to the labels of `x` and `velocities`."""
        weighted, at = self.weighted(start), x.copy()
        if RADIAL_VELOCITY in self.problem.parameters.free_names:
            at[:, -1] = velocities
        cost, _, hessian = self.misfit(weighted)(np.arange(len(x)), at)
        found = Minimum(at, cost, hessian, np.ones(len(x), dtype=bool))
        held = np.zeros((len(x), len(self.problem.parameters.fixed)))
        unknown = held, np.ones(x.shape), np.zeros(x.shape)
        return Minima(np.arange(len(x)), start, weighted, found, -cost, *unknown)
