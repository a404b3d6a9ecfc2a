"""What sampling found: the samples of the labels, and how far they can be trusted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from ..emulator.regions import from_json
from ..observing.flags import NOT_CONVERGED, OUTSIDE_DOMAIN
from ..observing.results import LIMITED, Result, tails, without_prior
from .chain_file import Chain, read_chain
from .convergence import Convergence
from .label_errors import broadened
from .limits import OUTSIDE, piled_up

if TYPE_CHECKING:
    from arviz import InferenceData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["QUANTILES", "Posterior"]

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Of the predicted flux, in `Posterior.spectrum`."""


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(Result):
    """Samples of the labels of one spectrum.

    ``posterior["teff"]`` are the samples of a label as a Quantity, ``posterior.teff`` is their median.

    Parameters
    ----------
    names : tuple of str
        The free labels and the radial velocity, m of them.
    units : tuple of str
        Theirs.
    chain : ndarray, shape (steps, walkers, m)
        Coordinates of all walkers at every step, from the first.
    log_probability : ndarray, shape (steps, walkers)
    acceptance : float
        Share of the proposals that were accepted.
    tau : ndarray, shape (m,)
        Integrated autocorrelation times, in steps.
    burn_in : int
        Steps to leave out at the beginning.
    converged : bool
        Whether the chain has as many autocorrelation times after its burn-in as were asked for (50 if none were), and
        they have settled (`rvsemu.fitting.convergence.Convergence`), whatever ended the sampling.
    spectrum : dict of ndarray
        The observation and its posterior prediction: ``wavelength`` (Angstrom, in ``meta["medium"]``), ``flux``,
        ``sigma``, ``used`` and ``predicted``, of shape (5, n), the `QUANTILES` of the model.
    meta : dict
        Name, medium, settings, recipe and version of the emulator, fixed labels, and the ``ranges`` of the free ones.

    Examples
    --------
    >>> import rvsemu
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> posterior = rvsemu.sample(star, steps=10, seed=1, progress=False)
    >>> posterior["teff"].unit, posterior.teff.round(-3)
    (Unit("K"), <Quantity 6000. K>)
    >>> posterior.converged, "not-converged" in posterior.flags                # 10 steps are far too few
    (False, True)
    >>> posterior.summary().colnames[:5]
    ['name', 'unit', 'median', 'p16', 'p84']
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    chain: np.ndarray
    log_probability: np.ndarray
    acceptance: float
    tau: np.ndarray
    burn_in: int
    converged: bool
    spectrum: dict = field(default_factory=dict)
    meta: dict = field(default_factory=dict)

    @cached_property
    def labels(self) -> dict[str, u.Quantity]:
        """Medians of the free labels, and the fixed ones at their values."""
        medians = dict(zip(self.names, np.median(self.values, axis=0), strict=True))
        return {name: u.Quantity(x, self._units[name]) for name, x in (medians | self.meta.get("fixed", {})).items()}

    @cached_property
    def errors(self) -> dict[str, u.Quantity]:
        """Half of the width of the central 68 % of each label; 0 for fixed ones."""
        zeros = {name: 0.0 * value for name, value in self.labels.items()}
        return zeros | {name: (ends[1] - ends[0]) / 2 for name, ends in self._central.items()}

    def interval(self, level: float = 0.68) -> dict[str, u.Quantity]:
        """Central interval of each free label that has the probability `level`, from its quantiles: a Quantity of 2.

        It never leaves the range of the label, as no sample does.
        """
        ends = np.quantile(self.values, tails(level), axis=0).T
        return {name: u.Quantity(x, self._units[name]) for name, x in zip(self.names, ends, strict=True)}

    @cached_property
    def _central(self) -> dict[str, u.Quantity]:
        return self.interval()

    def _from_zero(self) -> list[str]:
        return [name for name in LIMITED if name in self.meta.get("ranges", {})]

    @property
    def _units(self) -> dict[str, str]:
        return self.meta.get("units", {}) | dict(zip(self.names, self.units, strict=True))

    def __getitem__(self, name: str) -> u.Quantity:
        if name not in self.names:
            raise KeyError(f"{name!r}: the labels of this posterior are {', '.join(self.names)}")
        i = self.names.index(name)
        return u.Quantity(self.values[:, i], self.units[i])

    @property
    def thin(self) -> int:
        """Every how many steps a sample is taken: half of the shortest autocorrelation time."""
        return max(1, int(self.tau.min() / 2))

    @property
    def values(self) -> np.ndarray:
        """Plain samples (n, m), after burn-in and thinning, with what the emulator adds to errors of labels."""
        return self._broadened(self.visited)

    @property
    def visited(self) -> np.ndarray:
        """The same without that, as they are in the `chain`."""
        return self.chain[self.burn_in :: self.thin].reshape(-1, len(self.names))

    def _broadened(self, x: np.ndarray) -> np.ndarray:
        if not np.any(self.meta.get("label_errors", 0.0)):
            return x
        limits = np.transpose([self.meta["ranges"].get(name, (0.0, 1.0)) for name in self.names])
        return broadened(x, np.array(self.meta["label_errors"]), *limits)

    @property
    def samples(self) -> QTable:
        """The same with units, one column per label, and ``log_probability``."""
        table = QTable({name: self[name] for name in self.names}, meta=dict(self.meta))
        table["log_probability"] = self.log_probability[self.burn_in :: self.thin].ravel()
        return table

    @property
    def ess(self) -> np.ndarray:
        """Effective number of independent samples of each label, shape (m,)."""
        steps, walkers, _ = self.chain[self.burn_in :].shape
        return steps * walkers / self.tau

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """What to beware of (`rvsemu.observing.flags`); empty is good.

        Those of the best fit, ``not-converged``, ``at-bound:<label>`` where the samples are piled up at a limit, and
        ``outside-domain`` if samples or fixed labels are outside the range the emulator was trained for.
        """
        flags = [*self.meta.get("flags", ()), *([] if self.converged else [NOT_CONVERGED])]
        ranges = self.meta.get("ranges", {})
        inside = [i for i, name in enumerate(self.names) if name in ranges]
        nodes, limits = self.meta.get("lowest_logg", ()), {self.names[i]: ranges[self.names[i]] for i in inside}
        flags += piled_up(self.values[:, inside], None, limits, nodes, self._units)
        flags += [OUTSIDE_DOMAIN] if self._outside() > OUTSIDE else []
        return tuple(dict.fromkeys(flags))

    def _outside(self) -> float:
        """Share of the samples, with the labels that are fixed, where the emulator was not trained."""
        values = dict(zip(self.names, self.values.T, strict=True)) | self.meta.get("fixed", {})
        outside = np.zeros(len(self.values), dtype=bool)
        for name, (lower, upper) in self.meta.get("domain", {}).items():
            if name in values:
                outside |= (values[name] < lower) | (values[name] > upper)
        nodes, regions = self.meta.get("lowest_logg", ()), from_json(self.meta.get("regions", "[]"))
        if len(nodes) and {"teff", "logg"} <= set(values):
            outside |= values["logg"] < np.interp(values["teff"], *np.transpose(nodes))
        names = [name for name in values if any(name in region.limits for region in regions)]
        if names:
            rows = np.stack(np.broadcast_arrays(*(np.atleast_1d(values[name]) for name in names)), axis=1)
            outside |= ~np.any([region.inside(rows, names) for region in regions], axis=0)
        return float(np.mean(outside))

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the samples, shape (m, m)."""
        return np.atleast_2d(np.cov(self.values.T))

    def summary(self) -> Table:
        """One row per free label, in its unit: median, quantiles and their distances from it, mean, std, ess."""
        low, median, high = np.quantile(self.values, (0.16, 0.5, 0.84), axis=0)
        columns = {
            "name": list(self.names),
            "unit": list(self.units),
            "median": median,
            "p16": low,
            "p84": high,
            "minus": median - low,
            "plus": high - median,
            "mean": self.values.mean(axis=0),
            "std": self.values.std(axis=0, ddof=1),
            "ess": self.ess,
        }
        table = Table(columns)
        for name in list(columns)[2:]:
            table[name].format = ".5g"
        return table

    def text(self, name: str) -> str:
        """Median and its two errors, to two digits of the smaller one."""
        if name not in self.names:
            return super().text(name)
        minus, plus = (side.value for side in self._sides(name).values())
        digits = max(0, 1 - int(np.floor(np.log10(max(min(minus, plus), 1e-9)))))
        return f"{self.labels[name].value:.{digits}f} +{plus:.{digits}f} -{minus:.{digits}f}"

    def _sides(self, name: str) -> dict[str, u.Quantity]:
        low, high = self._central[name] if name in self.names else (self.labels[name],) * 2
        return {f"{name}_minus": self.labels[name] - low, f"{name}_plus": high - self.labels[name]}

    def _spread(self, name: str) -> dict[str, u.Quantity]:
        return super()._spread(name) | self._sides(name)

    def _quality(self) -> list[str]:
        steps, walkers, _ = self.chain.shape
        return [
            f"{steps} steps of {walkers} walkers, {self.burn_in} left out, acceptance {self.acceptance:.2f}",
            f"autocorrelation {self.tau.max():.1f} steps, {self.ess.min():.0f} independent samples",
            *without_prior(self.meta),
        ]

    def _columns(self) -> dict[str, Any]:
        return {"steps": len(self.chain), "ess": self.ess.min(), "acceptance": self.acceptance}

    def plot_corner(self, **options: Any) -> Figure:
        """Corner plot: see `rvsemu.plotting.plot_corner`."""
        from ..plotting import plot_corner

        return plot_corner(self, **options)

    def plot_predictive(self, ax: Axes | None = None) -> Axes:
        """Data and the posterior of the model: see `rvsemu.plotting.plot_predictive`."""
        from ..plotting import plot_predictive

        return plot_predictive(self, ax=ax)

    def to_arviz(self) -> InferenceData:
        """As `arviz.InferenceData`, each walker a chain, without the burn-in; needs arviz (``rvsemu[arviz]``)."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # on what its next versions will be
                import arviz
        except ImportError:
            raise ImportError('to_arviz needs arviz: pip install "rvsemu[arviz]"') from None
        chain = self.chain[self.burn_in :]
        kept = np.swapaxes(self._broadened(chain.reshape(-1, len(self.names))).reshape(chain.shape), 0, 1)
        return arviz.from_dict(
            posterior={name: kept[..., i] for i, name in enumerate(self.names)},
            sample_stats={"lp": self.log_probability[self.burn_in :].T},
            attrs={"units": ", ".join(f"{n}: {x or 'none'}" for n, x in zip(self.names, self.units, strict=True))},
        )

    @classmethod
    def load(cls, path: str | PathLike) -> Posterior:
        """Read a posterior that `rvsemu.sample` wrote, complete or not.

        Raises
        ------
        PosteriorFileError
            The file is not there, is damaged or something else, or has a newer format.
        """
        return make_posterior(read_chain(path))


def make_posterior(chain: Chain) -> Posterior:
    """`Posterior` of a `Chain`."""
    check = Convergence(chain.target)
    first, tau = check.look(chain.coords)
    return Posterior(
        names=chain.names,
        units=chain.units,
        chain=chain.coords,
        log_probability=chain.log_probability,
        acceptance=float(np.mean(chain.accepted) / len(chain)),
        tau=tau,
        burn_in=first,
        converged=check.reached(chain.coords),
        spectrum=dict(chain.arrays),
        meta=dict(chain.info),
    )
