"""Chains of an ensemble sampler, in memory and in HDF5 files that emcee can read, too."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from .._storage import check_folder, kind_of, opened, put, replacing, stamp
from .._values import numbers, one, properties, reals, text, texts
from ..errors import PosteriorFileError
from .chain_checks import check_chain
from .lock import exclusive
from .proposals import Mixture

__all__ = ["Chain", "ChainFile"]

_KIND, _FORMAT_VERSION = "posterior", 3
_GROUP = "mcmc"  # where emcee.backends.HDFBackend looks
_PROPOSAL = ("shares", "means", "covariances")
_PATIENCE = 60.0  # seconds


@dataclass
class Chain:
    """Where the walkers have been, and all that is needed to go on exactly as if there had been no stop.

    Parameters
    ----------
    names, units : tuple of str
        Of the m labels.
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
    target : float
        Number of autocorrelation times after which the chain is long enough.
    info : dict
        What `Posterior.meta` is to have: plain values, for JSON.
    arrays : dict of ndarray
        What `Posterior.spectrum` is to have.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    coords: np.ndarray
    log_probability: np.ndarray
    accepted: np.ndarray
    ensemble: np.ndarray
    ensemble_log_probability: np.ndarray
    random_state: tuple
    proposal: Mixture
    target: float
    info: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.coords)

    def extend(self, steps: list) -> None:
        """Add steps: tuples of coordinates, log probabilities, and the state of the generator after them."""
        if not steps:
            return
        coords, log_probability, random_states = zip(*steps, strict=True)
        path = np.stack([self.ensemble, *coords])
        moved = np.any(path[1:] != path[:-1], axis=2).sum(axis=0)
        vars(self).update(  # at once: an interrupt leaves all of it or nothing
            coords=np.concatenate([self.coords, path[1:]]),
            log_probability=np.concatenate([self.log_probability, log_probability]),
            accepted=self.accepted + moved,
            ensemble=coords[-1],
            ensemble_log_probability=log_probability[-1],
            random_state=random_states[-1],
            arrays={},  # those were of a shorter chain
        )


class ChainFile:
    """HDF5 file of one chain. It is replaced as a whole: whatever ends the program leaves the last state or the next.

    Parameters
    ----------
    path : str or path
    patience : float
        How long to wait for another process that writes the same file, in seconds.
    """

    def __init__(self, path: str | PathLike, patience: float = _PATIENCE) -> None:
        self.path = check_folder(_expanded(path), PosteriorFileError)
        self._patience = patience
        if self.path.exists() and kind_of(self.path) != _KIND:
            raise PosteriorFileError(f"{path} exists and is not a file of rvsemu.sample: give another.")

    def held(self) -> AbstractContextManager:
        """Keep other processes from writing the file; see `rvsemu.fitting.lock.exclusive`."""
        return exclusive(self.path, self._patience)

    def write(self, chain: Chain) -> None:
        """Replace what is in the file."""
        try:
            with replacing(self.path) as temporary, h5py.File(temporary, "w") as file:
                _write(file, chain)
        except OSError as e:
            reason = e.strerror or " ".join(str(e).split())
            raise PosteriorFileError(f"{self.path} cannot be written ({reason}): give another file.") from e

    def read(self) -> Chain | None:
        """The chain; None if there is no file yet.

        Raises
        ------
        PosteriorFileError
            The file is damaged, of a newer format, or promises more than fits into memory.
        """
        return read_chain(self.path) if self.path.exists() else None


def read_chain(path: str | PathLike) -> Chain:
    """The chain in a file of `ChainFile`, with the same errors, also if there is no file."""
    with opened(_expanded(path), _KIND, _FORMAT_VERSION, PosteriorFileError) as file:
        chain = _read(file)
        check_chain(chain, file[_GROUP].attrs["iteration"])
        return chain


def _read(file: h5py.File) -> Chain:
    group, attrs = file[_GROUP], file[_GROUP].attrs
    coords, log_probability, accepted = (numbers(group, name) for name in ("chain", "log_prob", "accepted"))
    return Chain(
        names=texts("names", attrs["names"]),
        units=tuple(text("units", unit) for unit in attrs["units"]),
        coords=coords,
        log_probability=log_probability,
        accepted=accepted,
        ensemble=coords[-1],
        ensemble_log_probability=log_probability[-1],
        random_state=tuple(attrs[f"random_state_{i}"] for i in range(5)),
        proposal=_read_proposal(attrs),
        target=one("target", attrs["target"]),
        info=properties("info", attrs["info"]),
        arrays={key: data[()] for key, data in file["spectrum"].items()},
    )


def _read_proposal(attrs: h5py.AttributeManager) -> Mixture:
    shares, means, covariances = (reals(f"proposal_{key}", attrs[f"proposal_{key}"]) for key in _PROPOSAL)
    if not np.all(shares > 0):
        raise ValueError("the shares of the proposals are not positive")
    return Mixture(shares, means, covariances)


def _expanded(path: str | PathLike) -> Path:
    """A path of the user, whose home folder may be a tilde."""
    if not isinstance(path, str | PathLike) or not str(path):
        raise PosteriorFileError(f"file={path!r}: give the name of a file of rvsemu.sample (HDF5).")
    return Path(path).expanduser()


def _write(file: h5py.File, chain: Chain) -> None:
    stamp(file, _KIND, _FORMAT_VERSION)
    steps, walkers, m = chain.coords.shape
    group = file.create_group(_GROUP)
    for name, values in {"chain": chain.coords, "log_prob": chain.log_probability, "accepted": chain.accepted}.items():
        put(group, name, values)
    group.attrs.update(
        {
            "version": version("emcee"),
            "has_blobs": False,
            "nwalkers": walkers,
            "ndim": m,
            "iteration": steps,
            **{f"random_state_{i}": value for i, value in enumerate(chain.random_state)},
        }
    )  # so far what emcee.backends.HDFBackend has
    group.attrs.update({f"proposal_{key}": getattr(chain.proposal, key) for key in _PROPOSAL})
    group.attrs.update({"names": list(chain.names), "units": list(chain.units), "target": chain.target})
    group.attrs["info"] = json.dumps(chain.info)
    spectrum = file.create_group("spectrum")
    for key, values in chain.arrays.items():
        put(spectrum, key, values, packed=True)
