"""Training sets: random draws of labels and their broadened spectra, split by library spectrum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .._storage import replacing
from ..errors import TrainingError
from ..library import Library
from .domain import label_space_of, without_constants
from .interpolation import LibraryInterpolator

__all__ = ["PAPER_WAVELENGTH", "TrainingSet", "make_test_set", "make_training_set", "split_library", "test_share"]

PAPER_WAVELENGTH = np.round(8400.0 + 0.1 * np.arange(4000), 1)
"""Angstrom in air: Gebran (2024), section 2.1."""

_BATCH = 256


def split_library(n: int, validation: float, seed: int) -> np.ndarray:
    """True for the library spectra kept for validation; a smaller share is a subset of a larger one."""
    order = np.random.default_rng(seed).permutation(n)
    out = np.zeros(n, dtype=bool)
    out[order[: max(1, round(validation * n))]] = True
    return out


def test_share(library: Library, share: float, seed: int) -> np.ndarray:
    """True for the library spectra kept for a test, and for all that have the same labels as one of these.

    The `split_library` of that share: with the same seed, an emulator that keeps no less for validation was not
    trained on them either.
    """
    chosen = split_library(len(library), share, seed)
    star = np.unique(library.labels, axis=0, return_inverse=True)[1].ravel()
    return np.isin(star, star[chosen])


@dataclass
class TrainingSet:
    """Draws of labels with their spectra.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
        Plain values in the order of the label space.
    flux : ndarray or memmap, shape (n, n_pixels), float32
    validation : ndarray of bool, shape (n,)
        No training draw shares the library spectrum of a validation draw.
    wavelength : ndarray, shape (n_pixels,)
        Angstrom, in the medium of the library.
    """

    labels: np.ndarray
    flux: np.ndarray
    validation: np.ndarray
    wavelength: np.ndarray

    def part(self, validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """Labels and flux of the validation or of the training draws (they are stored in that order)."""
        n = int(np.count_nonzero(self.validation))
        return (self.labels[:n], self.flux[:n]) if validation else (self.labels[n:], self.flux[n:])


def make_training_set(library: Library, recipe, draws: int, seed: int, folder, progress=True) -> TrainingSet:
    """Draw labels and broaden spectra into `folder`; what is already there is used again.

    Memory stays below 2 GB: fluxes are written to a memory-mapped float32 file as they are made.

    Parameters
    ----------
    library : Library
    recipe : Recipe
        Says how labels are drawn and how the library is split.
    draws : int
        Training and validation together.
    seed : int
    folder : path
    progress : bool

    Raises
    ------
    TrainingError
        The library has other labels than the recipe, too few spectra, or wavelengths or a resolution
        that do not suffice for the recipe's range of vsini and resolution.
    """
    folder = Path(folder)
    _check_labels(library, recipe.label_space())
    space = label_space_of(library, recipe.label_space())
    library = without_constants(library, recipe.label_space())
    broadener = _check(library, space, draws)
    key = {"library": library.fingerprint(), "draws": draws, "seed": seed, "recipe": recipe.name}
    key |= {k: getattr(recipe, k) for k in ("validation", "interpolate", "slow_share")}
    flux_file, done_file = folder / "flux.npy", folder / "labels.npz"
    if done_file.exists() and flux_file.exists():
        with np.load(done_file) as saved:
            if json.loads(str(saved["key"])) == key:
                flux = np.load(flux_file, mmap_mode="r")
                return TrainingSet(saved["labels"], flux, saved["validation"], PAPER_WAVELENGTH)
    done_file.unlink(missing_ok=True)
    rng = np.random.default_rng(seed)
    held_out = split_library(len(library), recipe.validation, seed)
    n_validation = round(draws * recipe.validation)
    intrinsic = [n for n in space.names if n in library.names]
    flux = np.lib.format.open_memmap(flux_file, "w+", dtype="f4", shape=(draws, len(PAPER_WAVELENGTH)))
    labels = np.empty((draws, len(space)))
    columns = [space.names.index(n) for n in intrinsic]
    with tqdm(total=draws, desc="spectra", disable=not progress, unit="", mininterval=1.0) as bar:
        for validation in (True, False):
            source = _source(library, intrinsic, held_out, validation, recipe, space, progress)
            start, stop = (0, n_validation) if validation else (n_validation, draws)
            slow = 0.0 if validation else recipe.slow_share
            for i in range(start, stop, _BATCH):
                rows = slice(i, min(i + _BATCH, stop))
                _draw(source, labels, flux, rows, columns, space, slow, broadener, rng)
                bar.update(rows.stop - rows.start)
    flux.flush()
    validation = np.arange(draws) < n_validation
    with replacing(done_file) as temporary, open(temporary, "wb") as file:
        np.savez(file, key=json.dumps(key), labels=labels, validation=validation)
    return TrainingSet(labels, np.load(flux_file, mmap_mode="r"), validation, PAPER_WAVELENGTH)


def make_test_set(library: Library, space, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
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
        On `PAPER_WAVELENGTH`.
    """
    intrinsic = [n for n in space.names if n in library.names]
    columns, order = [space.names.index(n) for n in intrinsic], [library.names.index(n) for n in intrinsic]
    labels, flux = np.empty((draws, len(space))), np.empty((draws, len(PAPER_WAVELENGTH)), dtype="f4")
    rng, broadener = np.random.default_rng([seed, draws]), library.broadener(PAPER_WAVELENGTH)
    for i in range(0, draws, _BATCH):
        rows = slice(i, min(i + _BATCH, draws))
        _draw((library, order), labels, flux, rows, columns, space, 0.0, broadener, rng)
    return labels, flux


def _draw(source, labels, flux, rows, columns, space, slow, broadener, rng):
    """Fill in some rows of labels and flux."""
    labels[rows, columns], unbroadened = _pick(source, rows.stop - rows.start, rng)
    labels[rows] = _instrument(labels[rows], space, slow, rng)
    flux[rows] = _broadened(broadener, unbroadened, labels[rows], space)


def _check_labels(library, space):
    expected = set(space.names) - {"vsini", "resolution"}
    if set(library.names) != expected:
        raise TrainingError(
            f"the library has the labels {', '.join(library.names)}: this recipe needs {', '.join(sorted(expected))}."
        )


def _check(library, space, draws):
    """The library's broadener, once it is sure that it can do what will be asked of it."""
    if len(library) < 50:
        raise TrainingError(f"the library holds {len(library)} spectra: at least 50 are needed.")
    if draws < 100:
        raise TrainingError(f"draws={draws} is too few: at least 100 are needed.")
    try:
        broadener = library.broadener(PAPER_WAVELENGTH)
        broadener.transfer(space["vsini"].upper, space["resolution"].lower)
        broadener.transfer(space["vsini"].lower, space["resolution"].upper)
    except ValueError as e:
        raise TrainingError(f"the library cannot be broadened to the spectra to train on: {e}.") from None
    return broadener


def _source(library, intrinsic, held_out, validation, recipe, space, progress):
    """What spectra are picked from: an interpolator, or rows of the library with labels in order."""
    order = [library.names.index(n) for n in intrinsic]
    chosen = library.subset(held_out if validation else ~held_out)
    if recipe.interpolate and not validation:
        bounds = np.array([[space[n].lower, space[n].upper] for n in library.names])
        return LibraryInterpolator(chosen, bounds, progress=progress), order
    return chosen, order


def _pick(source, n, rng):
    spectra, order = source
    if isinstance(spectra, LibraryInterpolator):
        labels, flux = spectra.draw(n, rng)
    else:
        rows = rng.integers(len(spectra), size=n)
        labels, flux = spectra.labels[rows], spectra.flux[rows]
    return labels[:, order], flux


def _instrument(labels, space, slow, rng):
    """Fill in vsini and resolution."""
    n = len(labels)
    u = rng.random(n)
    u = np.where(rng.random(n) < slow, u**3, u)
    for name, share in (("vsini", u), ("resolution", rng.random(n))):
        label = space[name]
        labels[:, space.names.index(name)] = label.lower + share * (label.upper - label.lower)
    return labels


def _broadened(broadener, flux, labels, space):
    vsini, resolution = (labels[:, space.names.index(n)] for n in ("vsini", "resolution"))
    transforms = broadener.transform(flux)
    return [broadener.apply(t, v, r) for t, v, r in zip(transforms, vsini, resolution, strict=True)]
