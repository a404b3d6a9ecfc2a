"""Library: unbroadened synthetic spectra with their intrinsic labels, in one HDF5 file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from .._display import html_card
from .._storage import check_output, replacing
from ..emulator.labels import lost
from ..emulator.regions import Region, from_json, to_json
from ..errors import LibraryFileError
from ..physics.broadening import Broadener
from .cyanogen import RIGHT_CYANOGEN, WEAK_CYANOGEN, weak_spectra
from .files import integers, read, read_labels, reading, write
from .provenance import without
from .titanium import RIGHT_TITANIUM, displaced_titanium

__all__ = ["Library"]

COMPACT_RESOLUTION = 30000.0
COMPACT_STEP = 0.1
_SAME = {"teff": 1.0}  # K
_SAME_OTHERS = 0.005  # dex or km/s: names and tables round to 0.01
_MARGIN = 2.5  # Angstrom left out at each end by `compact`, more than 5 sigma of its LSF
_SHOWN = ("code", "structures", "lines", "abundances")  # of the provenance


@dataclass(frozen=True, eq=False)
class Library:
    """Synthetic spectra before rotation and instrument; arrays are read-only, `dataclasses.replace` makes another.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
        Intrinsic labels in the units of `rvsemu.emulator.labels`.
    names : tuple of str
        Their names, e.g. ``("teff", "logg", "mh", "vmic")``.
    wavelength : ndarray, shape (m,)
        Uniform grid, Angstrom; a Quantity is converted.
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

    Raises
    ------
    LibraryFileError
        Values are masked.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.library import Library
    >>> labels = np.array([[4500.0, 2.5, 0.0, 1.5], [5777.0, 4.44, 0.0, 1.0]])
    >>> stars = rvsemu.generate(teff=labels[:, 0], logg=labels[:, 1], vmic=labels[:, 3], resolution=14500)
    >>> wavelength, flux = stars.spectral_axis.value, stars.flux.value.astype("f4")
    >>> library = Library(labels, ("teff", "logg", "mh", "vmic"), wavelength, flux, "air", resolution=14500)
    >>> library
    <Library of 2 spectra, 8400.0-8799.9 A in air, R = 14500>
    >>> with TemporaryDirectory() as folder:
    ...     library.save(f"{folder}/library.h5")
    ...     again = Library.load(f"{folder}/library.h5")
    >>> again.fingerprint() == library.fingerprint()
    True
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

    def __post_init__(self) -> None:
        for name in ("labels", "wavelength", "flux", "extrapolated", "index"):
            if (array := getattr(self, name)) is not None:
                if what := lost(array):
                    raise LibraryFileError(f"{name} has {what}.")
                if name == "wavelength" and getattr(array, "unit", None) is not None:
                    array = u.Quantity(array).to_value(u.AA)
                view = np.asarray(array).view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)
        for name, kind in (("names", tuple), ("failures", list), ("info", dict)):
            object.__setattr__(self, name, kind(getattr(self, name)))  # copies: nothing is shared with another library

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        low, high = self.wavelength[[0, -1]]
        what = f"R = {self.resolution:.0f}" if np.isfinite(self.resolution) else "no instrument"
        return f"<Library of {len(self)} spectra, {low:.1f}-{high:.1f} A in {self.medium}, {what}>"

    def _repr_html_(self) -> str:
        """Ranges of the labels, grid and provenance, for notebooks."""
        columns = zip(self.names, np.transpose(self.labels), strict=True) if len(self) else ()
        rows = [(name, f"{values.min():.4g}", f"{values.max():.4g}") for name, values in columns]
        lines = [f"{name}: {self.info[name]}" for name in _SHOWN if name in self.info]
        lines += [f"{len(self.failures)} spectra could not be computed"] if self.failures else []
        return html_card(repr(self).strip("<>"), ("label", "from", "to"), rows, lines)

    @property
    def stars(self) -> np.ndarray:
        """Number of the star of each spectrum (n,), from 0 in the order in which stars appear.

        Spectra are of the same star if their labels are equal to rounding: to 1 K in Teff and to 0.005 in the others.
        """
        if not len(self):
            return np.zeros(0, dtype=int)
        tolerance = [_SAME.get(name, _SAME_OTHERS) for name in self.names]
        tree = KDTree(np.reshape(self.labels, (len(self), -1)) / np.array(tolerance))
        i, j = tree.query_pairs(1.0, p=np.inf, output_type="ndarray").T
        pairs = coo_array((np.ones(len(i)), (i, j)), shape=(len(self), len(self)))
        found = connected_components(pairs, directed=False)[1]
        _, first, star = np.unique(found, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[star.ravel()]

    @classmethod
    def load(cls, path: str | os.PathLike) -> Library:
        """Read a library file.

        Raises
        ------
        LibraryFileError
            The file is missing, is not a library, or is damaged.
        """
        with reading(path) as file:
            return cls(**read(file))

    @staticmethod
    def peek(path: str | os.PathLike) -> dict:
        """What a library file holds besides its spectra: labels, index, failures, resolution, info.

        Raises
        ------
        LibraryFileError
            As for `load`.
        """
        with reading(path) as file:
            return read_labels(file)

    def save(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write to HDF5: flux as 16-bit integers (a step of 1.7e-5), compressed.

        Parameters
        ----------
        path : path
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        LibraryFileError
            The file is there and is not to be replaced, is a folder, or its folder does not exist; or a flux is not
            finite, below -0.01 or above 1.092 of the continuum, which a file does not hold; or a label is unknown.
        """
        path = check_output(path, LibraryFileError, overwrite)
        with replacing(path) as temporary:
            write(self, temporary)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with labels, wavelengths or fluxes."""
        digest = hashlib.sha256()
        for array in (self.labels, self.wavelength, integers(self.flux)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def identity(self) -> str:
        """Twelve hexadecimal digits that change with all that decides what is trained on the library.

        That is, besides what changes the `fingerprint`, names of labels, medium, width of bins, resolution and regions.
        """
        said = [self.names, self.medium, self.bin_width, self.resolution, to_json(self.regions), self.fingerprint()]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]

    def subset(self, chosen: np.ndarray | Sequence[int] | slice) -> Library:
        """The spectra of a boolean mask or an array of row numbers."""
        extrapolated = None if self.extrapolated is None else self.extrapolated[chosen]
        index = None if self.index is None else self.index[chosen]
        labels, flux = self.labels[chosen], self.flux[chosen]
        return replace(self, labels=labels, flux=flux, extrapolated=extrapolated, index=index)

    def without_alpha(self) -> Library:
        """Its spectra of [alpha/M] = 0, without this label; itself, if it has no such label."""
        if "alpha" not in self.names:
            return self
        column = self.names.index("alpha")
        names = tuple(name for name in self.names if name != "alpha")
        solar = self.subset(self.labels[:, column] == 0)
        return replace(solar, names=names, labels=np.delete(solar.labels, column, axis=1))

    @property
    def regions(self) -> tuple[Region, ...]:
        """Where the library has spectra: what its provenance says, or between the extremes of its labels.

        What it says is cut at these extremes where more than 5 % of the range of a label is beyond: the library may be
        a part of what was drawn.
        """
        found = self._stated_regions()
        return tuple(region.covered(self.labels, self.names) for region in found) if len(self) else found

    def _stated_regions(self) -> tuple[Region, ...]:
        if "regions" in self.info:
            return from_json(self.info["regions"])
        if not len(self):
            return ()
        low, high = self.labels.min(axis=0).tolist(), self.labels.max(axis=0).tolist()
        return (Region(dict(zip(self.names, zip(low, high, strict=True), strict=True))),)

    def inside(self, labels: ArrayLike) -> np.ndarray:
        """Whether labels (n, n_labels), in the library's order, are in one of its `regions`, shape (n,)."""
        rows = np.atleast_2d(np.asarray(labels, dtype=float))
        return np.any([region.inside(rows, self.names) for region in self.regions], axis=0)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Random labels (n, n_labels) in the library's `regions`, each as often as it has spectra.

        Half of them are log-uniform in Teff, the others uniform, as are all other labels; logg at each Teff.
        """
        regions = self.regions
        counts = np.array([region.inside(self.labels, self.names).sum() for region in regions])
        unit = rng.random((n, len(self.names)))
        chosen = rng.choice(len(regions), size=n, p=counts / counts.sum())
        logarithmic = rng.random(n) < 0.5
        out, i = np.empty(unit.shape), self.names.index("teff")
        for number, region in enumerate(regions):
            low, high = region.limits["teff"]
            rows = np.flatnonzero((chosen == number) & logarithmic & (low < high))
            unit[rows, i] = (low * (high / low) ** unit[rows, i] - low) / (high - low)
            out[chosen == number] = region.from_unit(unit[chosen == number], self.names)
        return out

    @property
    def weak_cyanogen(self) -> np.ndarray:
        """Whether the lines of CN are three times too weak in a spectrum (n,), and it has such that matter."""
        return weak_spectra(self.info, self.names, self.labels)

    def merged(self, other: Library) -> Library:
        """This library's spectra, then those of the other whose stars are not in this one (see `stars`).

        Both must be on the same grid, with the same labels; where only one has the label alpha, it is 0 in the other.
        Positions in a sequence are kept where no two are the same. Provenance is this library's; that of the others
        where it differs, and how many of their spectra were left out, is under the name ``merged``, a list.

        Raises
        ------
        LibraryFileError
            The two do not fit together; the message says in what. Among that is that the lines of CN are too weak in
            spectra of one of them, and right in the other: see `weak_cyanogen`.
        """
        first, second = self._with_alpha(other.names), other._with_alpha(self.names)
        first.check_grid(second)
        cyanogen = first._common_cyanogen(second)
        labels, flux = (np.concatenate([getattr(x, name) for x in (first, second)]) for name in ("labels", "flux"))
        both = replace(first, labels=labels, flux=flux)
        stars = both.stars
        new = ~np.isin(stars[len(self) :], stars[: len(self)])
        kept = np.concatenate([np.ones(len(self), dtype=bool), new])
        extrapolated = _joined(self.extrapolated, other.extrapolated, kept)
        index = _joined(self.index, other.index, kept)
        if index is not None and len(set(index.tolist())) < len(index):
            index = None
        said = {"fingerprint": other.fingerprint(), "left_out": int(np.sum(~new))}
        said |= {k: text for k, text in other.info.items() if k != "regions" and self.info.get(k) != text}
        earlier = json.loads(self.info.get("merged", "[]"))
        mine = self._stated_regions()
        regions = [*mine, *(region for region in other._stated_regions() if region not in mine)]
        info = {**self.info, **cyanogen, "regions": to_json(regions), "merged": json.dumps([*earlier, said])}
        if displaced_titanium(other.info):
            info |= {k: without(info[k], RIGHT_TITANIUM) for k in ("titanium", "mended") if k in info}
        return replace(
            both,
            labels=both.labels[kept],
            flux=both.flux[kept],
            extrapolated=extrapolated,
            index=index,
            failures=[*self.failures, *other.failures],
            info=info,
        )

    def _with_alpha(self, names: tuple[str, ...]) -> Library:
        """The same with the label alpha, which is 0, if it is the one of `names` that is missing."""
        if "alpha" in self.names or set(names) != {*self.names, "alpha"}:
            return self
        columns = {"alpha": np.zeros(len(self)), **dict(zip(self.names, self.labels.T, strict=True))}
        return replace(self, names=names, labels=np.stack([columns[name] for name in names], axis=1))

    def _common_cyanogen(self, other: Library) -> dict[str, str]:
        """What two libraries together have of CN, for their provenance."""
        found = {x.info["cyanogen"] for x in (self, other) if "cyanogen" in x.info}
        weak = int(self.weak_cyanogen.sum() + other.weak_cyanogen.sum())
        if len(found) > 1 and weak:
            raise LibraryFileError(
                f"the libraries cannot be merged: the lines of CN are three times too weak in {weak} spectra of one, "
                "and right in the other; leave these spectra out (--drop-weak-cn; Library.weak_cyanogen)."
            )
        return {"cyanogen": max(found, key=(WEAK_CYANOGEN, RIGHT_CYANOGEN).index)} if found else {}

    def check_grid(self, other: Library) -> None:
        """Check that another library has these labels, medium, resolution and wavelengths.

        Raises
        ------
        LibraryFileError
            It has not; the message says what differs.
        """
        for name in ("names", "medium", "bin_width", "resolution"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs and not (name == "bin_width" and np.isclose(mine, theirs)):
                raise LibraryFileError(f"the libraries do not go together: {name} {mine} and {theirs}.")
        same = self.wavelength.shape == other.wavelength.shape
        if not (same and np.allclose(self.wavelength, other.wavelength, rtol=0, atol=1e-4)):
            raise LibraryFileError(
                f"the libraries do not go together: they have different wavelengths, {self}, {other}."
            )

    def compact(self, resolution: float = COMPACT_RESOLUTION, step: float = COMPACT_STEP) -> Library:
        """A smaller library that still serves any instrument well below `resolution`.

        The spectra are smoothed to `resolution` and sampled every `step` Angstrom; broadening from
        there to a lower resolution takes the smoothing into account (see `rvsemu.physics.broadening`).

        Raises
        ------
        LibraryFileError
            The library has no spectra, a lower resolution, this one and this step already, or too few wavelengths.
        """
        if not len(self):
            raise LibraryFileError("the library has no spectra: there is nothing to make compact.")
        spacing = np.ptp(self.wavelength) / max(1, len(self.wavelength) - 1)
        if self.resolution < resolution or (self.resolution == resolution and spacing > 0.999 * step):
            what = "at" if self.resolution == resolution else "below"
            raise LibraryFileError(
                f"the library has R = {self.resolution:g}, {what} {resolution:g}: it is as compact as it can be; use "
                "it as it is."
            )
        low, high = self.wavelength[0] + _MARGIN, self.wavelength[-1] - _MARGIN
        wavelength = low + step * np.arange(int((high - low) / step) + 1)
        wavelength = np.round(wavelength, 6)
        try:
            broadener = Broadener(self.wavelength, wavelength, self.bin_width, self.resolution)
        except ValueError as e:
            raise LibraryFileError(f"the library, {self}, cannot be made compact: {e}.") from None
        flux = np.concatenate(
            [broadener.apply(broadener.transform(part), 0.0, resolution) for part in np.array_split(self.flux, 20)]
        )
        grid = {"flux": flux.astype("f4"), "wavelength": wavelength, "bin_width": 0.0, "resolution": resolution}
        info = {**self.info, "broadening": f"no rotation; Gaussian LSF of R = {resolution:g}"}
        return replace(self, **grid, info=info)

    def broadener(self, wavelength: ArrayLike) -> Broadener:
        """A `Broadener` from this library's grid to output wavelengths (Angstrom, same medium)."""
        return Broadener(self.wavelength, wavelength, self.bin_width, self.resolution)


def _joined(first: np.ndarray | None, second: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if first is None or second is None else np.concatenate([first, second])[kept]
