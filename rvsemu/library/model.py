"""Library: unbroadened synthetic spectra with their intrinsic labels, in one HDF5 file."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from .._storage import replacing
from ..errors import LibraryFileError
from ..physics.broadening import Broadener
from ..physics.wavelengths import check_medium

__all__ = ["Library"]

COMPACT_RESOLUTION = 30000.0
COMPACT_STEP = 0.1
_MARGIN = 2.5  # Angstrom left out at each end by `compact`, more than 5 sigma of its LSF
_SCALE = 60000  # integers a unit of flux: a step of 1.7e-5


@dataclass
class Library:
    """Synthetic spectra before rotation and instrument.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
        Intrinsic labels in the units of `rvsemu.emulator.labels`.
    names : tuple of str
        Their names, e.g. ``("teff", "logg", "mh", "vmic")``.
    wavelength : ndarray, shape (m,)
        Uniform grid, Angstrom.
    flux : ndarray, shape (n, m)
        Continuum-normalised flux, float32.
    medium : {'air', 'vacuum'}
    bin_width : float
        Angstrom over which each flux is a mean; 0 for point values.
    resolution : float
        Of a Gaussian LSF already applied; infinite for none.
    extrapolated : ndarray of bool, shape (n,)
        The model atmosphere had to be taken from the edge of its grid.
    index : ndarray of int, shape (n,)
        Position in the sequence that drew the labels.
    failures : list of dict
        Spectra that could not be computed: index, labels, error.
    info : dict
        Provenance: code, lines, structures, abundances ...
    """

    labels: np.ndarray
    names: tuple[str, ...]
    wavelength: np.ndarray
    flux: np.ndarray
    medium: str
    bin_width: float = 0.0
    resolution: float = np.inf
    extrapolated: np.ndarray | None = None
    index: np.ndarray | None = None
    failures: list = field(default_factory=list)
    info: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self):
        low, high = self.wavelength[[0, -1]]
        what = f"R = {self.resolution:.0f}" if np.isfinite(self.resolution) else "no instrument"
        return f"<Library of {len(self)} spectra, {low:.1f}-{high:.1f} A in {self.medium}, {what}>"

    @classmethod
    def load(cls, path) -> Library:
        """Read a library file.

        Raises
        ------
        LibraryFileError
            The file is missing, is not a library, or is damaged.
        """
        with _reading(path) as file:
            return cls(**_read(file))

    @staticmethod
    def peek(path) -> dict:
        """What a library file holds besides its spectra: labels, index, failures, resolution, info.

        Raises
        ------
        LibraryFileError
            As for `load`.
        """
        with _reading(path) as file:
            return _read_labels(file)

    def save(self, path) -> None:
        """Write to HDF5: flux as 16-bit integers (a step of 1.7e-5), compressed."""
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs.update(self.info)
            wavelength = file.create_dataset("wavelength", data=self.wavelength)
            wavelength.attrs.update({"unit": "Angstrom", "medium": self.medium})
            wavelength.attrs.update({"bin_width": self.bin_width, "resolution": self.resolution})
            labels = file.create_dataset("labels", data=self.labels)
            labels.attrs["names"] = list(self.names)
            integers = _integers(self.flux)
            chunks = (min(64, len(self)), min(512, len(self.wavelength)))
            packed = {"chunks": chunks, "compression": "gzip", "compression_opts": 9, "shuffle": True}
            flux = file.create_dataset("flux", data=integers, **(packed if len(self) else {}))
            flux.attrs["scale"] = 1.0 / _SCALE
            for name in ("extrapolated", "index"):
                if getattr(self, name) is not None:
                    file[name] = getattr(self, name)
            if self.failures:
                file["failures"] = [json.dumps(f) for f in self.failures]

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with labels, wavelengths or fluxes."""
        digest = hashlib.sha256()
        for array in (self.labels, self.wavelength, _integers(self.flux)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def subset(self, chosen) -> Library:
        """The spectra of a boolean mask or an array of row numbers."""
        rows = {n: getattr(self, n)[chosen] for n in ("labels", "flux")}
        rows |= {n: getattr(self, n)[chosen] for n in ("extrapolated", "index") if getattr(self, n) is not None}
        return Library(**{**vars(self), **rows})

    def merged(self, other) -> Library:
        """This library's spectra, then the other's.

        Both must be on the same grid, with the same labels. Positions in a sequence are kept where no two are the
        same. Provenance is this library's, and the other's under the name ``merged``.

        Raises
        ------
        LibraryFileError
            The two do not fit together; the message says in what.
        """
        for name in ("names", "medium", "bin_width", "resolution"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs and not (name == "bin_width" and np.isclose(mine, theirs)):
                raise LibraryFileError(f"the libraries cannot be merged: {name} {mine} and {theirs}.")
        same = self.wavelength.shape == other.wavelength.shape
        if not (same and np.allclose(self.wavelength, other.wavelength, rtol=0, atol=1e-4)):
            raise LibraryFileError(f"the libraries cannot be merged: they have different wavelengths, {self}, {other}.")
        rows = {n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in ("labels", "flux")}
        for name in ("extrapolated", "index"):
            both = getattr(self, name), getattr(other, name)
            rows[name] = None if any(b is None for b in both) else np.concatenate(both)
        if rows["index"] is not None and len(set(rows["index"].tolist())) < len(rows["index"]):
            rows["index"] = None
        info = {**self.info, "merged": json.dumps({"fingerprint": other.fingerprint(), **other.info})}
        return Library(**{**vars(self), **rows, "failures": [*self.failures, *other.failures], "info": info})

    def compact(self, resolution=COMPACT_RESOLUTION, step=COMPACT_STEP) -> Library:
        """A smaller library that still serves any instrument well below `resolution`.

        The spectra are smoothed to `resolution` and sampled every `step` Angstrom; broadening from
        there to a lower resolution takes the smoothing into account (see `rvsemu.physics.broadening`).
        """
        low, high = self.wavelength[0] + _MARGIN, self.wavelength[-1] - _MARGIN
        wavelength = low + step * np.arange(int((high - low) / step) + 1)
        wavelength = np.round(wavelength, 6)
        broadener = Broadener(self.wavelength, wavelength, self.bin_width, self.resolution)
        flux = np.concatenate(
            [broadener.apply(broadener.transform(part), 0.0, resolution) for part in np.array_split(self.flux, 20)]
        )
        changed = {"flux": flux.astype("f4"), "wavelength": wavelength, "bin_width": 0.0, "resolution": resolution}
        changed["info"] = {**self.info, "broadening": f"no rotation; Gaussian LSF of R = {resolution:g}"}
        return Library(**{**vars(self), **changed})

    def broadener(self, wavelength) -> Broadener:
        """A `Broadener` from this library's grid to output wavelengths (Angstrom, same medium)."""
        return Broadener(self.wavelength, wavelength, self.bin_width, self.resolution)


@contextmanager
def _reading(path):
    """The open file; whatever is wrong with it becomes one `LibraryFileError`."""
    if not Path(path).exists():
        raise LibraryFileError(f"{path} does not exist: give the path of a library of spectra (HDF5).")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise LibraryFileError(
            f"{path} is not a library of spectra or is damaged ({reason}): it needs the datasets "
            "wavelength, flux and labels with their attributes; get a fresh copy."
        ) from e


def _read(file) -> dict:
    wavelength = file["wavelength"]
    out = _read_labels(file)
    flux = file["flux"][:] * np.float32(file["flux"].attrs["scale"])
    grid = wavelength[:]
    if flux.shape != (len(out["labels"]), len(grid)):
        raise ValueError(f"flux has the shape {flux.shape} for {len(out['labels'])} labels and {len(grid)} wavelengths")
    if not np.isfinite(flux).all():
        raise ValueError("flux is not finite everywhere")
    bins = wavelength.attrs.get("bin_width", _described_bins(wavelength))
    return out | {
        "wavelength": grid,
        "flux": flux.astype("f4", copy=False),
        "medium": check_medium(str(wavelength.attrs["medium"])),
        "bin_width": float(bins),
    }


def _read_labels(file) -> dict:
    labels = file["labels"]
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in labels.attrs["names"])
    if labels.shape != (len(labels), len(names)) or not np.isfinite(labels[:]).all():
        raise ValueError(f"labels has the shape {labels.shape} for the names {', '.join(names)}, or is not finite")
    return {
        "labels": labels[:],
        "names": names,
        "extrapolated": file["extrapolated"][:] if "extrapolated" in file else None,
        "index": file["index"][:] if "index" in file else None,
        "resolution": float(file["wavelength"].attrs.get("resolution", np.inf)),
        "failures": [json.loads(text) for text in file["failures"][:]] if "failures" in file else [],
        "info": {k: str(v) for k, v in file.attrs.items()},
    }


def _integers(flux) -> np.ndarray:
    return np.clip(np.round(flux * _SCALE), 0, 65535).astype("u2")


def _described_bins(wavelength) -> float:
    """Libraries before the `bin_width` attribute say it in words: 'centres of bins ... wide'."""
    if "bins" in str(wavelength.attrs.get("description", "")):
        return float(wavelength[1] - wavelength[0])
    return 0.0
