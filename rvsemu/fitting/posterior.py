"""What sampling found: the samples of the labels, and how far they can be trusted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from astropy import units as u
from astropy.table import Column, QTable, Table

from ..errors import PosteriorFileError
from ..observing.flags import NOT_CONVERGED, OUTSIDE_DOMAIN
from .chain_file import ChainFile, names_in
from .convergence import look

__all__ = ["QUANTILES", "Posterior"]

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Of the predicted flux, in `Posterior.spectrum`."""


@dataclass(frozen=True, repr=False)
class Posterior:
    """Samples of the labels of one spectrum.

    ``posterior["teff"]`` are the samples of a label as a Quantity.

    Parameters
    ----------
    names : tuple of str
        The free labels and the radial velocity, m of them.
    units : tuple of str
        Theirs.
    chain : ndarray, shape (steps, walkers, m)
        Every step, from the first.
    log_probability : ndarray, shape (steps, walkers)
    acceptance : float
        Part of the proposals that were accepted.
    tau : ndarray, shape (m,)
        Integrated autocorrelation times, in steps.
    burn_in : int
        Steps to leave out at the beginning.
    converged : bool
        Whether sampling ended because the autocorrelation times said so, not because the steps ran out.
    spectrum : dict of ndarray
        The observation and its posterior prediction: ``wavelength`` (Angstrom, in ``meta["medium"]``), ``flux``,
        ``sigma``, ``used`` and ``predicted``, of shape (5, n), the `QUANTILES` of the model.
    meta : dict
        Name, medium, settings, recipe and version of the emulator, fixed labels.
    """

    names: tuple
    units: tuple
    chain: np.ndarray
    log_probability: np.ndarray
    acceptance: float
    tau: np.ndarray
    burn_in: int
    converged: bool
    spectrum: dict = field(default_factory=dict)
    meta: dict = field(default_factory=dict)

    def __repr__(self):
        rows = [f"  {r['name']:<16}{_spread(r)} {r['unit']}".rstrip() for r in self.summary()]
        steps, walkers, _ = self.chain.shape
        return "\n".join(
            [
                f"<Posterior {self.meta.get('name', '')}".rstrip(),
                *rows,
                f"  {steps} steps of {walkers} walkers, {self.burn_in} left out, acceptance {self.acceptance:.2f}",
                f"  autocorrelation {self.tau.max():.1f} steps, {self.ess.min():.0f} independent samples",
                f"  flags: {', '.join(self.flags) or 'none'}>",
            ]
        )

    def __getitem__(self, name) -> u.Quantity:
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
        """Plain samples (n, m), after burn-in and thinning."""
        return self.chain[self.burn_in :: self.thin].reshape(-1, len(self.names))

    @property
    def samples(self) -> QTable:
        """The same with units, a column a label, and ``log_probability``."""
        table = QTable({name: self[name] for name in self.names}, meta=dict(self.meta))
        table["log_probability"] = self.log_probability[self.burn_in :: self.thin].ravel()
        return table

    @property
    def ess(self) -> np.ndarray:
        """Effective number of independent samples of each label, shape (m,)."""
        steps, walkers, _ = self.chain[self.burn_in :].shape
        return steps * walkers / self.tau

    @property
    def flags(self) -> tuple[str, ...]:
        """What to beware of; empty is good.

        ``not-converged``; ``outside-domain`` if samples or fixed labels are outside the range the emulator was trained
        for (only with ``extrapolate=True``); and ``poor-fit`` and ``few-good-pixels`` of the least-squares fit.
        """
        flags = list(self.meta.get("flags", ()))
        flags += [] if self.converged else [NOT_CONVERGED]
        values = dict(zip(self.names, self.values.T, strict=True)) | self.meta.get("fixed", {})
        for name, (lower, upper) in self.meta.get("domain", {}).items():
            if np.any((values[name] < lower) | (values[name] > upper)):
                return (*flags, OUTSIDE_DOMAIN)
        return tuple(flags)

    @property
    def covariance(self) -> np.ndarray:
        """Of the samples, shape (m, m)."""
        return np.atleast_2d(np.cov(self.values.T))

    @property
    def standard_errors(self) -> dict[str, u.Quantity]:
        """Half of the distance of the 16 and 84 % quantiles of each label."""
        return {r["name"]: u.Quantity((r["p84"] - r["p16"]) / 2, r["unit"]) for r in self.summary()}

    def summary(self) -> Table:
        """A row a label, in its unit: median, 16 and 84 % quantiles and their distances from it, mean, std, ess."""
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

    def to_table(self) -> QTable:
        """One row: source_id (-1 if unknown), medians, ``<label>_minus``, ``<label>_plus``, and the state of the chain.

        Flags are joined by commas, ``none`` if there are none. Tables of several posteriors stack with
        ``astropy.table.vstack`` and can be written as ECSV or FITS.
        """
        table = QTable()
        table["source_id"] = Column([int(self.meta.get("source_id", -1))], dtype="i8")
        for row in self.summary():
            for key, column in (("median", ""), ("minus", "_minus"), ("plus", "_plus")):
                table[f"{row['name']}{column}"] = u.Quantity([row[key]], row["unit"])
        table["steps"] = [len(self.chain)]
        table["ess"] = [self.ess.min()]
        table["acceptance"] = [self.acceptance]
        table["flags"] = [",".join(self.flags) or "none"]
        for name in ("recipe", "emulator_version"):
            table[name] = [str(self.meta.get(name))]
        return table

    def plot_corner(self, **options):
        """Corner plot: see `rvsemu.plotting.plot_corner`."""
        from ..plotting import plot_corner

        return plot_corner(self, **options)

    def plot_predictive(self, ax=None):
        """Data and the posterior of the model: see `rvsemu.plotting.plot_predictive`."""
        from ..plotting import plot_predictive

        return plot_predictive(self, ax=ax)

    def to_arviz(self):
        """As `arviz.InferenceData`, each walker a chain, without the burn-in; needs arviz (``rvsemu[arviz]``)."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # on what its next versions will be
                import arviz
        except ImportError:
            raise ImportError('to_arviz needs arviz: pip install "rvsemu[arviz]"') from None
        kept = np.swapaxes(self.chain[self.burn_in :], 0, 1)
        return arviz.from_dict(
            posterior={name: kept[..., i] for i, name in enumerate(self.names)},
            sample_stats={"lp": self.log_probability[self.burn_in :].T},
            attrs={"units": ", ".join(f"{n}: {x or 'none'}" for n, x in zip(self.names, self.units, strict=True))},
        )

    @classmethod
    def load(cls, path, name=None) -> Posterior:
        """Read a posterior that `rvsemu.sample` wrote, complete or not.

        Parameters
        ----------
        path : str or path
        name : str, optional
            Of the star; not needed if there is only one in the file.

        Raises
        ------
        PosteriorFileError
            The file or the star is not there, it is no file of posteriors, or nothing has been sampled yet.
        """
        if name is None:
            names = names_in(path)
            if len(names) != 1:
                there = ", ".join(names[:10])
                raise PosteriorFileError(f"{path} has {len(names)} posteriors: choose one by name=, of {there}.")
            (name,) = names
        file = ChainFile(path, str(name))
        rest, chain = file.read_rest(), file.read_chain()
        if chain is None:
            raise PosteriorFileError(f"{path}: nothing has been sampled of '{name}' yet: sample it first.")
        return make_posterior(chain, rest["names"], rest["units"], rest["info"], rest["outcome"], rest["arrays"])

    @staticmethod
    def names_in(path) -> tuple[str, ...]:
        """The stars in a file of posteriors."""
        return names_in(path)


def make_posterior(chain, names, units, info, outcome, arrays) -> Posterior:
    """Put together a `Posterior`; ``converged`` comes from `outcome`."""
    first, tau = look(chain.coords)
    return Posterior(
        names=tuple(names),
        units=tuple(units),
        chain=chain.coords,
        log_probability=chain.log_probability,
        acceptance=float(np.mean(chain.accepted) / len(chain)),
        tau=tau,
        burn_in=first,
        converged=bool(outcome.get("converged", False)),
        spectrum=dict(arrays),
        meta=dict(info),
    )


def _spread(row) -> str:
    """Median with its two errors, to two digits of the smaller one."""
    smaller = max(min(row["minus"], row["plus"]), 1e-9)
    digits = max(0, 1 - int(np.floor(np.log10(smaller))))
    return f"{row['median']:.{digits}f} +{row['plus']:.{digits}f} -{row['minus']:.{digits}f}"
