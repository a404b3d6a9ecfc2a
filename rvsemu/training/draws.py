"""Training sets: random draws of labels and their broadened spectra, split by star."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .._storage import replacing
from ..emulator.labels import ALPHA, LabelSpace
from ..emulator.regions import Region, to_json
from ..errors import TrainingError
from ..library import Library
from ..physics.broadening import Broadener, kernel_reach
from ..physics.wavelengths import SPEED_OF_LIGHT
from .domain import constant_labels, label_space_of, without_constants
from .interpolation import LibraryInterpolator
from .recipes import InversionRecipe, Recipe, Work

__all__ = [
    "PAPER_WAVELENGTH",
    "TrainingSet",
    "check_library",
    "make_test_set",
    "make_training_set",
    "random_instrument",
    "split_library",
    "training_wavelength",
]

PAPER_WAVELENGTH = np.round(8400.0 + 0.1 * np.arange(4000), 1)
"""Angstrom in air: Gebran (2024), section 2.1."""

_SAMPLES = 5.0  # points of a line at the highest resolution
_BATCH = 256
_FEWEST_STARS, _FEWEST_DRAWS, _FEWEST_POINTS = 50, 100, 100


def split_library(library: Library, share: float, seed: int) -> np.ndarray:
    """True for the library spectra (n,) kept for validation or for a test, all of a star together.

    A smaller share is a subset of a larger one: with the same seed, an emulator that keeps no less for validation than
    an inversion for its test was not trained on that test.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.draws import split_library
    >>> labels = np.column_stack([np.linspace(4000, 7000, 20), np.full(20, 4.4)])
    >>> library = Library(labels, ("teff", "logg"), np.arange(8400, 8800, 0.1), np.ones((20, 4000), "f4"), "air")
    >>> small, large = split_library(library, 0.1, seed=1), split_library(library, 0.3, seed=1)
    >>> int(small.sum()), int(large.sum()), bool(large[small].all())
    (2, 6, True)
    """
    stars = library.stars
    order = np.random.default_rng(seed).permutation(len(np.unique(stars)))
    return np.isin(stars, order[: max(1, round(share * len(order)))])


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Draws of labels with their spectra.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
        Plain values in the order of the label space.
    flux : ndarray or memmap, shape (n, n_pixels), float32
    validation : ndarray of bool, shape (n,)
        Draws for validation, which come first; no training draw is of the star of one of them.
    wavelength : ndarray, shape (n_pixels,)
        Angstrom, in the medium of the library.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.training.draws import TrainingSet
    >>> stars = rvsemu.generate(teff=[5000, 5500, 6000], logg=4.4)
    >>> labels = np.array([[5000.0, 4.4], [5500.0, 4.4], [6000.0, 4.4]])
    >>> drawn = TrainingSet(labels, stars.flux.value, np.array([True, False, False]), stars.spectral_axis.value)
    >>> labels, flux = drawn.part(validation=False)
    >>> labels[:, 0]
    array([5500., 6000.])
    """

    labels: np.ndarray
    flux: np.ndarray
    validation: np.ndarray
    wavelength: np.ndarray

    def part(self, validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """Labels and flux of the validation or of the training draws."""
        n = int(np.count_nonzero(self.validation))
        return (self.labels[:n], self.flux[:n]) if validation else (self.labels[n:], self.flux[n:])


def training_wavelength(library: Library, space: LabelSpace) -> np.ndarray:
    """Wavelengths (m,) of the spectra to train on, Angstrom in the medium of the library.

    `PAPER_WAVELENGTH` where the library covers it. Else all that the library covers less the margins that rotation and
    instrument need at the limits of `space`, in steps, rounded down to one digit, of a fifth of a line at the highest
    resolution.

    Raises
    ------
    TrainingError
        Nothing is left of the library.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from rvsemu.emulator.labels import LabelSpace
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.draws import training_wavelength
    >>> from rvsemu.training.recipes import recipe
    >>> wavelength = np.arange(5140.0, 5210.0, 0.02)
    >>> library = Library(np.ones((2, 1)), ("teff",), wavelength, np.ones((2, len(wavelength)), "f4"), "air")
    >>> fine = replace(recipe("default"), vsini=(0, 50), resolution=(20_000, 50_000))
    >>> training_wavelength(library, fine.label_space()).round(2)[[0, 1, -1]]
    array([5141.42, 5141.44, 5208.56])
    """
    first, last = library.wavelength[[0, -1]]
    if first <= PAPER_WAVELENGTH[0] and last >= PAPER_WAVELENGTH[-1]:
        return PAPER_WAVELENGTH
    fwhm = (first + last) / 2 / space["resolution"].upper
    digit = 10.0 ** np.floor(np.log10(fwhm / _SAMPLES))
    step = digit * np.floor(fwhm / _SAMPLES / digit)
    reach = np.exp(kernel_reach(space["vsini"].upper, space["resolution"].lower) / SPEED_OF_LIGHT)
    low, high = np.ceil(first * reach / step) * step, last / reach
    if high - low < _FEWEST_POINTS * step:
        raise TrainingError(
            f"the library, {first:g} to {last:g} A, is too narrow: rotation and instrument reach "
            f"{first * (reach - 1):.3g} A over either end; make it wider, or allow less rotation and only higher "
            "resolutions (--vsini, --resolution)."
        )
    return np.round(low + step * np.arange(int((high - low) / step) + 1), 6)


def make_training_set(library: Library, recipe: Recipe | InversionRecipe, work: Work) -> TrainingSet:
    """Draw labels and broaden spectra into the folder of the work; what is already there is used again.

    Draws are written as they are made, to ``labels.npy`` and ``flux.npy``; ``draws.json``, replaced as a whole after
    each batch, says how far they have come, what they are of, and where the random numbers stand. Killed at any moment
    and called again, they go on from there and end as they would have. Memory stays below 2 GB.

    Parameters
    ----------
    library : Library
    recipe : Recipe or InversionRecipe
        How labels are drawn, how many, and how the library is split.
    work : Work

    Raises
    ------
    TrainingError
        As `check_library`.
    """
    check_library(library, recipe)
    key = {"library": library.identity(), "seed": work.seed, "recipe": recipe.name}
    key |= {k: getattr(recipe, k) for k in ("draws", "validation", "interpolate", "slow_share", "cool_share")}
    key |= recipe.instrument
    space = label_space_of(library, recipe.label_space())
    wavelength = training_wavelength(library, space)
    shape = len(space), len(wavelength)
    draws = _Draws(Path(work.folder), recipe.draws, round(recipe.draws * recipe.validation), key, shape)
    if draws.done < recipe.draws:
        library = without_constants(library, recipe.label_space())
        _fill(draws, _Sources(library, space, recipe, work), work)
    validation = np.arange(recipe.draws) < draws.validation
    return TrainingSet(np.array(draws.labels), draws.read_flux(), validation, wavelength)


def _fill(draws: _Draws, sources: _Sources, work: Work) -> None:
    rng = np.random.default_rng(work.seed)
    if draws.state:
        rng.bit_generator.state = draws.state
    with tqdm(total=draws.count, initial=draws.done, desc="spectra", disable=not work.progress, mininterval=1.0) as bar:
        for validation, stop in ((True, draws.validation), (False, draws.count)):
            if draws.done >= stop:
                continue
            source = sources.of(validation, draws.scales)
            if isinstance(source.spectra, LibraryInterpolator):
                draws.scales = source.spectra.scales.tolist()
            for start in range(draws.done, stop, _BATCH):
                batch = source.draw(min(_BATCH, stop - start), rng)
                draws.write(*batch, rng.bit_generator.state)
                bar.update(len(batch[0]))


class _Draws:
    """Files of a training set in the making, and how far it has come; begun anew where they are of another one."""

    def __init__(self, folder: Path, count: int, validation: int, key: dict[str, Any], sizes: tuple[int, int]) -> None:
        self.count, self.validation, self.key = count, validation, key
        self.note, self._flux = folder / "draws.json", folder / "flux.npy"
        noted = _noted(self.note)
        shapes = {folder / "labels.npy": ((count, sizes[0]), "f8"), self._flux: ((count, sizes[1]), "f4")}
        known = noted.get("key") == key and all(_is_array(file, *shape) for file, shape in shapes.items())
        if not known:
            self.note.unlink(missing_ok=True)
        arrays = (
            np.lib.format.open_memmap(file, "r+" if known else "w+", dtype=dtype, shape=shape)
            for file, (shape, dtype) in shapes.items()
        )
        self.labels, self.flux = arrays
        _reserve(folder, *shapes)
        self.done: int = noted["done"] if known else 0
        self.state: Any = noted["state"] if known else None
        self.scales: list[float] | None = noted["scales"] if known else None

    def write(self, labels: np.ndarray, flux: np.ndarray, state: Any) -> None:
        """Add a batch: first to the disk, then to the note."""
        rows = slice(self.done, self.done + len(labels))
        self.labels[rows], self.flux[rows] = labels, flux
        self.labels.flush()
        self.flux.flush()
        self.done, self.state = rows.stop, state
        names = ("key", "done", "state", "scales", "validation")
        with replacing(self.note) as temporary:
            temporary.write_text(json.dumps({name: getattr(self, name) for name in names}))

    def read_flux(self) -> np.memmap:
        return np.load(self._flux, mmap_mode="r")


def _check_bins(library: Library, resolution: float) -> None:
    widest = float(np.mean(library.wavelength)) / resolution / _SAMPLES
    if library.bin_width > widest * (1 + 1e-6):
        raise TrainingError(
            f"the library has bins of {library.bin_width:g} A: for lines at resolution={resolution:g} they can be at "
            f"most {widest:.3g} A wide; make them narrower (--bin, --step), or train for lower resolutions "
            "(--resolution)."
        )


def _reserve(folder: Path, *files: Path) -> None:
    """Have the disk keep room for files that so far are long in name only: writing to a memory map of them would kill
    the process where there is none."""
    sizes = {file: file.stat().st_size for file in files}
    try:
        for file, size in sizes.items():
            with open(file, "r+b") as opened:
                if hasattr(os, "posix_fallocate"):  # neither macOS nor Windows has it
                    os.posix_fallocate(opened.fileno(), 0, size)
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return  # a file system that cannot do it
        kept = sum(512 * file.stat().st_blocks for file in files)
        missing = sum(sizes.values()) - kept - shutil.disk_usage(folder).free
        for file in files:
            file.unlink()
        raise TrainingError(
            f"folder={folder}: the draws take {sum(sizes.values()) / 1e9:.3g} GB, and the disk has no room for them "
            f"({max(missing, 0) / 1e9:.3g} GB are missing): make room, give another folder (--folder), or fewer draws "
            "(--draws)."
        ) from None


def _noted(file: Path) -> dict[str, Any]:
    """What a note says; nothing if there is none, or a damaged one."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_array(file: Path, shape: tuple[int, int], dtype: str) -> bool:
    try:
        found = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return found.shape == shape and found.dtype == dtype


@dataclass(frozen=True)
class _Sources:
    """What the validation and the training draws of a recipe come from; no star is on both sides."""

    library: Library
    space: LabelSpace
    recipe: Recipe | InversionRecipe
    work: Work

    def of(self, validation: bool, scales: list[float] | None) -> _Source:
        held_out = split_library(self.library, self.recipe.validation, self.work.seed)
        part = self.library.subset(held_out if validation else ~held_out)
        broadener = self.library.broadener(training_wavelength(self.library, self.space))
        if validation:
            return _Source(part, self.space, broadener)
        spectra: Library | LibraryInterpolator = part
        if self.recipe.interpolate:
            spectra = LibraryInterpolator(self._bounded(part), progress=self.work.progress, scales=scales)
        return _Source(spectra, self.space, broadener, self.recipe.slow_share, self.recipe.cool_share)

    def _bounded(self, spectra: Library) -> Library:
        """`spectra` with the region that the label space has, if they do not state any."""
        if "regions" in spectra.info:
            return spectra
        box = Region({name: (self.space[name].lower, self.space[name].upper) for name in spectra.names})
        return replace(spectra, info={**spectra.info, "regions": to_json([box])})


@dataclass(frozen=True)
class _Source:
    """Spectra of a library, or between them, with random rotation and resolution."""

    spectra: Library | LibraryInterpolator
    space: LabelSpace
    broadener: Broadener
    slow_share: float = 0.0
    cool_share: float = 0.0

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        intrinsic, unbroadened = self._pick(n, rng)
        labels = np.empty((n, len(self.space)))
        for name, values in zip(self.spectra.names, intrinsic.T, strict=True):
            if name in self.space.names:
                labels[:, self.space.names.index(name)] = values
        vsini, resolution = random_instrument(self.space, n, self.slow_share, rng)
        labels[:, [self.space.names.index(name) for name in ("vsini", "resolution")]] = np.stack([vsini, resolution], 1)
        transforms = self.broadener.transform(unbroadened)
        return labels, np.array(
            [self.broadener.apply(t, v, r) for t, v, r in zip(transforms, vsini, resolution, strict=True)]
        )

    def _pick(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(self.spectra, LibraryInterpolator):
            return self.spectra.draw(n, rng, self.cool_share)
        rows = rng.integers(len(self.spectra), size=n)
        return self.spectra.labels[rows], self.spectra.flux[rows]


def random_instrument(
    space: LabelSpace, n: int, slow_share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random v sin i (n,) and resolution (n,) over the space; for a `slow_share` of the draws v sin i is 300 u^3."""
    u = rng.random(n)
    u = np.where(rng.random(n) < slow_share, u**3, u)
    vsini, resolution = space["vsini"], space["resolution"]
    return (
        vsini.lower + u * (vsini.upper - vsini.lower),
        resolution.lower + rng.random(n) * (resolution.upper - resolution.lower),
    )


def make_test_set(library: Library, space: LabelSpace, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the spectra of `library` themselves, with v sin i and resolution uniform in `space`.

    Parameters
    ----------
    library : Library
        The part of a library that was kept for a test.
    space : LabelSpace
        Of what was trained on the other part.
    draws : int
    seed : int

    Returns
    -------
    labels : ndarray, shape (draws, n_labels)
    flux : ndarray, shape (draws, n_pixels), float32
        At `training_wavelength`.
    """
    wavelength = training_wavelength(library, space)
    labels, flux = np.empty((draws, len(space))), np.empty((draws, len(wavelength)), dtype="f4")
    source, rng = _Source(library, space, library.broadener(wavelength)), np.random.default_rng([seed, draws])
    for start in range(0, draws, _BATCH):
        rows = slice(start, min(start + _BATCH, draws))
        labels[rows], flux[rows] = source.draw(rows.stop - rows.start, rng)
    return labels, flux


def check_library(library: Library, recipe: Recipe | InversionRecipe) -> None:
    """Raise if the library does not do for the recipe.

    Raises
    ------
    TrainingError
        The library has other labels than the recipe, too few stars, or wavelengths, a resolution or bins that do not
        suffice for the recipe's range of v sin i and resolution; or the recipe has too few draws.
    """
    expected = set(recipe.label_space().names) - {"vsini", "resolution"}
    constant = {ALPHA.name} & set(constant_labels(library, recipe.label_space()))
    if (set(library.names) - constant) | (expected & {ALPHA.name}) != expected:
        raise TrainingError(
            f"the library has the labels {', '.join(library.names)}: this recipe needs {', '.join(sorted(expected))}."
        )
    if (stars := len(np.unique(library.stars))) < _FEWEST_STARS:
        raise TrainingError(
            f"the library holds {stars} spectra of different labels: at least {_FEWEST_STARS} are needed."
        )
    if recipe.draws < _FEWEST_DRAWS:
        raise TrainingError(f"draws={recipe.draws} is too few: at least {_FEWEST_DRAWS} are needed.")
    space = label_space_of(library, recipe.label_space())
    _check_bins(library, space["resolution"].upper)
    wavelength = training_wavelength(library, space)
    try:
        broadener = library.broadener(wavelength)
        broadener.transfer(space["vsini"].upper, space["resolution"].lower)
        broadener.transfer(space["vsini"].lower, space["resolution"].upper)
    except ValueError as e:
        raise TrainingError(f"the library cannot be broadened to the spectra to train on: {e}.") from None
