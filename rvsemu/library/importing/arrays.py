"""The reader of anything else: one file per spectrum with a table of labels, or one file with arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table

from ..._values import text
from ..files import check_promise
from .codes import lazily
from .grids import image_spectrum
from .labels import LabelTable, agreeing, in_unit, label_name
from .naming import MARCS
from .reading import Files, columns, fits_open, fits_table, lines_of, native
from .spectrum import RawSpectrum, Source, Unusable, failing

__all__ = ["table"]

_WAVELENGTH = ("wavelength", "wavelengths", "wave", "lambda", "wl", "waveobs", "wave_a", "lam")
_NORMALISED = ("flux_norm", "normalized flux", "normalized_flux", "normalised_flux", "norm_flux")
_FLUX = (*_NORMALISED, "flux", "fluxes", "spectrum")
_CONTINUUM = ("continuum", "cont", "cntm")
_ARRAYS = (".npz", ".h5", ".hdf5")
_MOST_BYTES = 40_000_000_000

_Arrays: TypeAlias = dict[str, np.ndarray]
_Units: TypeAlias = dict[str, str]


def table(files: Files, labels: LabelTable | None) -> Iterator[Source]:
    """One file per spectrum (text, CSV, ECSV, FITS), or arrays in one file (FITS table, ``.npz``, HDF5)."""
    for path in files.matching(r"\.(txt|dat|csv|ecsv|asc|spec|fits|npz|h5|hdf5)(\.gz)?$", any_name=True):
        if labels is not None and path.absolute() == labels.path.absolute():
            continue
        try:
            arrays = _arrays(path)
        except Unusable as reason:
            yield Source(files.title(path), failing(str(reason)))
            continue
        if arrays is None:
            yield lazily(files, path, MARCS, partial(_spectrum, path))
        else:
            yield from _rows(files.title(path), *arrays)


def _first(names: Sequence[str], values: _Arrays, what: str) -> str:
    """The name of `names` that `values` has."""
    found = next((n for n in names if n in values), None)
    if found is None:
        raise Unusable(f"it has no {what} ({', '.join(names)}): its columns are {', '.join(values) or 'none'}")
    return found


# ---------------------------------------------------------------------- one file, many spectra
def _arrays(path: Path) -> tuple[_Arrays, _Units] | None:
    """Arrays and units by lower-case name, if the file holds one spectrum per row; None if it is one spectrum."""
    suffix = path.suffix.lower()
    if suffix in _ARRAYS:
        return _hdf5(path) if suffix != ".npz" else _npz(path)
    if not path.name.lower().removesuffix(".gz").endswith(".fits"):
        return None
    with fits_open(path) as hdus:
        if not any(isinstance(h, fits.BinTableHDU | fits.TableHDU) for h in hdus):
            return None
        values, units = fits_table(hdus)
        for hdu in hdus:
            if hdu.name.lower() in _WAVELENGTH and isinstance(hdu, fits.ImageHDU | fits.PrimaryHDU):
                values[hdu.name.lower()] = native(hdu.data)
    flux = values[_first(_FLUX, values, "flux")]
    return (values, units) if flux.ndim == 2 else None


def _npz(path: Path) -> tuple[_Arrays, _Units]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(f"its arrays take {size / 1e9:.3g} GB, at most {_MOST_BYTES / 1e9:g} GB are read")
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {k.lower(): np.asarray(file[k]) for k in file.files}, {}
    except Exception as e:  # damaged archives raise a dozen unrelated classes
        raise Unusable(f"it is not a readable .npz file of plain arrays ({str(e).splitlines()[0]})") from None


def _hdf5(path: Path) -> tuple[_Arrays, _Units]:
    try:
        with h5py.File(path, "r") as file:
            datasets = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset) and v.dtype.kind in "iufb"}
            units = {k.lower(): text("unit", v.attrs["unit"]) for k, v in datasets.items() if "unit" in v.attrs}
            return {k.lower(): check_promise(v)[()] for k, v in datasets.items()}, units
    except (MemoryError, OSError, RuntimeError, ValueError) as e:
        raise Unusable(f"it is not a readable HDF5 file ({str(e).splitlines()[0]})") from None


def _rows(title: str, values: _Arrays, units: _Units) -> Iterator[Source]:
    try:
        wave, flux = _first(_WAVELENGTH, values, "wavelength"), _first(_FLUX, values, "flux")
        n = _check_rows(values, wave, flux)
        labels = [(k, x, in_unit(x, np.atleast_1d(v), units.get(k))) for k, v in values.items() if (x := label_name(k))]
    except (Unusable, TypeError, ValueError) as reason:
        yield Source(title, failing(str(reason)))
        return
    continuum = next((c for c in _CONTINUUM if c in values and flux not in _NORMALISED), None)
    for i in range(n):
        name = f"{title} row {i + 1}"
        try:
            found = agreeing((column, label, float(numbers[i])) for column, label, numbers in labels)
        except Unusable as reason:
            yield Source(name, failing(str(reason)))
            continue
        yield Source(name, _row(values, wave, flux, continuum, units.get(wave), i), found)


def _check_rows(values: _Arrays, wave: str, flux: str) -> int:
    """How many spectra there are; labels, continuum and wavelengths (if they have rows) must be as many."""
    if np.ndim(values[flux]) != 2:
        raise Unusable(f"'{flux}' has the shape {np.shape(values[flux])}: one row per spectrum is expected")
    n = len(values[flux])
    for name, value in values.items():
        wanted = label_name(name) or name in _CONTINUUM or (name == wave and np.ndim(value) > 1)
        if wanted and len(np.atleast_1d(value)) != n:
            raise Unusable(f"'{name}' has {len(np.atleast_1d(value))} rows where '{flux}' has {n}")
    return n


def _row(
    values: _Arrays, wave: str, flux: str, continuum: str | None, unit: str | None, i: int
) -> Callable[[], RawSpectrum]:
    def load() -> RawSpectrum:
        wavelength = values[wave][i] if values[wave].ndim == 2 else values[wave]
        return RawSpectrum(
            np.asarray(wavelength, float),
            np.asarray(values[flux][i], float),
            None if continuum is None else np.asarray(values[continuum][i], float),
            unit=unit,
        )

    return load


# ---------------------------------------------------------------------- one file, one spectrum
def _spectrum(path: Path) -> RawSpectrum:
    if path.name.removesuffix(".gz").lower().endswith(".fits"):
        return _fits_spectrum(path)
    if path.suffix.lower() == ".ecsv":
        return _ecsv_spectrum(path)
    lines = lines_of(path)
    numbers = columns(lines, 2)
    names = _header(lines, len(numbers))
    if names is None:
        return RawSpectrum(numbers[0], numbers[1])
    return _of_columns(dict(zip(names, numbers, strict=True)), {})


def _header(lines: list[str], n: int) -> list[str] | None:
    """Names of the columns: the last line before the numbers, if it has as many words as there are columns."""
    for line in lines[:200]:
        words = line.lstrip("# ").replace(",", " ").replace(";", " ").lower().split()
        if len(words) == n and words[0] in _WAVELENGTH:
            return words
    return None


def _ecsv_spectrum(path: Path) -> RawSpectrum:
    try:
        read = Table.read(path, format="ascii.ecsv")
    except Exception as e:  # damaged tables make the reader raise unrelated classes
        raise Unusable(f"it is not a readable ECSV table ({str(e).splitlines()[0]})") from None
    values = {c.lower(): native(read[c]) for c in read.colnames}
    return _of_columns(values, {c.lower(): str(read[c].unit) for c in read.colnames if read[c].unit is not None})


def _of_columns(values: _Arrays, units: _Units, labels: dict[str, float] | None = None) -> RawSpectrum:
    wave, flux = _first(_WAVELENGTH, values, "wavelength"), _first(_FLUX, values, "flux")
    continuum = next((values[c] for c in _CONTINUUM if c in values and flux not in _NORMALISED), None)
    return RawSpectrum(values[wave], values[flux], continuum, labels=labels or {}, unit=units.get(wave))


def _fits_spectrum(path: Path) -> RawSpectrum:
    with fits_open(path) as hdus:
        if not any(isinstance(h, fits.BinTableHDU | fits.TableHDU) for h in hdus):
            return image_spectrum(path)
        values, units = fits_table(hdus)
        headers = [*hdus[0].header.items(), *hdus[1].header.items()]
    labels = {name: float(v) for k, v in headers if (name := label_name(k)) and isinstance(v, int | float)}
    return _of_columns(values, units, labels)
