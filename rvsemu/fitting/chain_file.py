"""Chains of an ensemble sampler, in memory and in groups of an HDF5 file that emcee can read, too."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .._journal import reading, transaction
from .._storage import check_folder
from ..errors import PosteriorFileError
from .proposals import Mixture

__all__ = ["BLOCK", "Chain", "ChainFile", "names_in"]

BLOCK = 100
"""Steps between two writes, and in a chunk of the file."""
_FORMAT, _FORMAT_VERSION = "rvsemu posterior", 2
_PROPOSAL = ("shares", "means", "covariances")


@dataclass
class Chain:
    """Where the walkers have been, and all that is needed to go on exactly as if there had been no stop.

    Parameters
    ----------
    coords : ndarray, shape (steps, walkers, m)
    log_probability : ndarray, shape (steps, walkers)
    accepted : ndarray, shape (walkers,)
        Number of steps that moved each walker.
    ensemble, ensemble_log_probability : ndarray, shape (walkers, m) and (walkers,)
        After the last step, or before the first.
    random_state : tuple
        Of a `numpy.random.RandomState`, the generator of emcee, at the same time.
    proposal : Mixture
        Of the independent proposals.
    saved : int
        Number of steps that are in the file.
    """

    coords: np.ndarray
    log_probability: np.ndarray
    accepted: np.ndarray
    ensemble: np.ndarray
    ensemble_log_probability: np.ndarray
    random_state: tuple
    proposal: Mixture
    saved: int = 0

    @classmethod
    def begin(cls, ensemble, log_probability, rng, proposal) -> Chain:
        """No steps yet: an ensemble (walkers, m) with its log probability, and a Generator to seed emcee with."""
        walkers, m = ensemble.shape
        random_state = np.random.RandomState(rng.integers(2**32, size=8, dtype=np.uint32)).get_state()
        nothing = np.empty((0, walkers, m)), np.empty((0, walkers)), np.zeros(walkers)
        return cls(*nothing, ensemble, log_probability, random_state, proposal)

    def __len__(self) -> int:
        return len(self.coords)

    def extend(self, backend) -> None:
        """Add the complete steps of an `emcee.backends.Backend`."""
        if backend.iteration:
            self.coords = np.concatenate([self.coords, backend.get_chain()])
            self.log_probability = np.concatenate([self.log_probability, backend.get_log_prob()])
            self.accepted = self.accepted + backend.accepted
            self.random_state = backend.random_state
            self.ensemble, self.ensemble_log_probability = self.coords[-1], self.log_probability[-1]


class ChainFile:
    """A group of an HDF5 file with one chain; every change of the file is a `transaction`.

    Parameters
    ----------
    path : str or path
    name : str
        Of the group: the star.
    """

    def __init__(self, path, name):
        self.path, self.name = Path(path).expanduser(), name
        if not name or name.startswith(".") or "/" in name:
            raise PosteriorFileError(f"name={name!r} cannot name a group of {path}: leave out '/' and a leading dot.")
        check_folder(self.path, PosteriorFileError)

    def create(self, chain, names, units, info) -> None:
        """Begin a new group, instead of one of that name if there is one."""
        _, walkers, m = chain.coords.shape
        with _changing(self.path) as file:
            if self.name in file:
                del file[self.name]
            group = file.create_group(self.name)
            group.attrs["format"], group.attrs["format_version"] = _FORMAT, _FORMAT_VERSION
            group.attrs["names"], group.attrs["units"] = list(names), list(units)
            group.attrs["info"] = json.dumps(info)
            # the rest is what emcee.backends.HDFBackend has
            group.attrs["version"], group.attrs["has_blobs"] = version("emcee"), False
            group.attrs["nwalkers"], group.attrs["ndim"], group.attrs["iteration"] = walkers, m, 0
            group["accepted"] = np.zeros(walkers)
            for key, shape in (("log_prob", (walkers,)), ("chain", (walkers, m))):
                group.create_dataset(key, (0, *shape), "f8", maxshape=(None, *shape), chunks=(BLOCK, *shape))
        chain.saved = 0

    def append(self, chain) -> None:
        """Write the steps that are not in the file yet."""
        with _changing(self.path) as file:
            group = file[self.name]
            for key, values in (("chain", chain.coords), ("log_prob", chain.log_probability)):
                group[key].resize(len(chain), axis=0)
                group[key][chain.saved :] = values[chain.saved :]
            group["accepted"][:] = chain.accepted
            for i, value in enumerate(chain.random_state):
                group.attrs[f"random_state_{i}"] = value
            group.attrs["iteration"] = len(chain)
            for key in _PROPOSAL:
                group.attrs[f"proposal_{key}"] = getattr(chain.proposal, key)
        chain.saved = len(chain)

    def finish(self, outcome, arrays) -> None:
        """Add what is known at the end: `outcome` as JSON, and arrays in the subgroup ``spectrum``."""
        with _changing(self.path) as file:
            group = file[self.name]
            group.attrs["outcome"] = json.dumps(outcome)
            if "spectrum" in group:
                del group["spectrum"]
            for key, values in arrays.items():
                group.create_dataset(f"spectrum/{key}", data=values, compression="gzip", shuffle=True)

    def read_chain(self) -> Chain | None:
        """The chain, or None if it has no steps yet or there is none."""
        if not self.path.exists():
            return None
        with _reading(self.path) as file:
            group = file.get(self.name)
            if group is None or not _checked(group).attrs["iteration"]:
                return None
            coords, log_probability, attrs = group["chain"][:], group["log_prob"][:], group.attrs
            random_state = tuple(attrs[f"random_state_{i}"] for i in range(5))
            proposal = Mixture(*(attrs[f"proposal_{key}"] for key in _PROPOSAL))
            last = coords[-1], log_probability[-1]
            return Chain(coords, log_probability, group["accepted"][:], *last, random_state, proposal, len(coords))

    def read_rest(self) -> dict:
        """``names``, ``units``, ``info``, ``outcome`` (empty if sampling has not ended) and ``arrays``."""
        with _reading(self.path) as file:
            if self.name not in file:
                there = ", ".join(list(file)[:10]) or "none"
                raise PosteriorFileError(f"{self.path} has no posterior '{self.name}': choose one it has, {there}.")
            group = _checked(file[self.name])
            return {
                "names": tuple(group.attrs["names"]),
                "units": tuple(group.attrs["units"]),
                "info": json.loads(group.attrs["info"]),
                "outcome": json.loads(group.attrs.get("outcome", "{}")),
                "arrays": {key: data[()] for key, data in group.get("spectrum", {}).items()},
            }


def names_in(path) -> tuple[str, ...]:
    """The stars in a file of posteriors."""
    with _reading(Path(path).expanduser()) as file:
        return tuple(file)


def _checked(group):
    if group.attrs.get("format") != _FORMAT:
        raise PosteriorFileError(f"{group.file.filename}: '{group.name[1:]}' is not a posterior of rvsemu.sample.")
    if (found := group.attrs["format_version"]) != _FORMAT_VERSION:
        newer = found > _FORMAT_VERSION
        remedy = "update it with 'pip install --upgrade rvsemu'" if newer else "sample anew, into another file"
        raise PosteriorFileError(
            f"{group.file.filename}: '{group.name[1:]}' has format {found}, and this rvsemu reads {_FORMAT_VERSION}: "
            f"{remedy}."
        )
    return group


@contextmanager
def _reading(path):
    if not path.exists():
        raise PosteriorFileError(f"{path} does not exist: give a file that rvsemu.sample wrote.")
    with _readable(path), reading(path) as file:
        yield file


@contextmanager
def _changing(path):
    with _readable(path), transaction(path) as file:
        yield file


@contextmanager
def _readable(path):
    try:
        yield
    except (KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        raise PosteriorFileError(f"{path} cannot be used as a file of posteriors ({reason}): give another.") from error
