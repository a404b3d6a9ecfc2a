"""Files of libraries: HDF5 with 16-bit fluxes, read with care, as users may give anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from .._storage import DAMAGE
from .._values import check_angstrom, one, properties, shown, text, texts
from ..emulator.labels import UNITS
from ..emulator.regions import from_json, stated
from ..errors import LibraryFileError
from ..physics.wavelengths import check_medium
from .cyanogen import RIGHT_CYANOGEN, WEAK_CYANOGEN, cyanogen_of

if TYPE_CHECKING:
    from .model import Library

__all__ = ["check_promise", "integers", "read", "read_labels", "reading", "write"]

MOST_WAVELENGTHS = 1_000_000
MOST_FLUXES = 10_000_000_000
"""Numbers that a file may promise: 40 GB of float32."""
_DENSEST = 5000  # numbers in a byte of compressed data: gzip packs a constant a thousandfold, in 16 bits
_LARGEST = 1e6  # of the values of labels
_HELD = -0.01, 65535.5 / 60000  # of the continuum: fluxes that are written
_NEAR = 1e-3  # rounding
_SCALE = 60000  # integers per unit of flux: a step of 1.7e-5


def write(library: Library, path: str | os.PathLike) -> None:
    """Write a library to a new file, compressed.

    Raises
    ------
    LibraryFileError
        It has fluxes that the file cannot hold, labels that are unknown, or something else with which the file could
        not be read.
    """
    try:
        _check_names(library.names)
    except ValueError as e:
        raise LibraryFileError(f"the library cannot be written: {e}; give its labels these names.") from None
    with _unwritable():
        _check_shape(library.flux.shape, library.labels, library.wavelength)
    _check_fluxes(library)
    _write(library, path)
    with _unwritable(), h5py.File(path, "r") as file:
        _check_shape(file["flux"].shape, read_labels(file)["labels"], _read_grid(file)["wavelength"])


@contextmanager
def _unwritable() -> Iterator[None]:
    """What is wrong with a library that is written becomes a `LibraryFileError`."""
    try:
        yield
    except ValueError as e:
        raise LibraryFileError(f"the library cannot be written: {str(e).rstrip('.')}.") from None


def _write(library: Library, path: str | os.PathLike) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update(library.info)
        wavelength = file.create_dataset("wavelength", data=library.wavelength)
        wavelength.attrs.update({"unit": "Angstrom", "medium": library.medium})
        wavelength.attrs.update({"bin_width": library.bin_width, "resolution": library.resolution})
        labels = file.create_dataset("labels", data=library.labels)
        labels.attrs["names"] = list(library.names)
        chunks = (min(64, len(library)), min(512, len(library.wavelength)))
        packed = {"chunks": chunks, "compression": "gzip", "compression_opts": 9, "shuffle": True}
        flux = file.create_dataset("flux", data=integers(library.flux), **(packed if len(library) else {}))
        flux.attrs["scale"] = 1.0 / _SCALE
        for name in ("extrapolated", "index"):
            if getattr(library, name) is not None:
                file[name] = getattr(library, name)
        if library.failures:
            file["failures"] = [json.dumps(f) for f in library.failures]


def check_promise(dataset: h5py.Dataset, most: int = MOST_FLUXES) -> h5py.Dataset:
    """The dataset, if it holds numbers, no more than `most`, and about as many as there are bytes in the file for.

    Raises
    ------
    ValueError
        It does not; nothing was read.
    """
    if dataset.dtype.kind not in "iufb":
        raise ValueError(f"{dataset.name[1:]} has values of the type {dataset.dtype} instead of real numbers")
    if dataset.size > most:
        raise ValueError(f"{dataset.name[1:]} has {dataset.size:.3g} values, at most {most:.3g} are read")
    if dataset.size > _DENSEST * (dataset.id.get_storage_size() + 4096):
        raise ValueError(
            f"{dataset.name[1:]} promises {dataset.size:.3g} values, but the file has only "
            f"{dataset.id.get_storage_size()} bytes of them"
        )
    return dataset


@contextmanager
def reading(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Open file of a library; whatever is wrong with it becomes one `LibraryFileError`."""
    if not isinstance(path, str | os.PathLike):
        raise LibraryFileError(f"library={path!r}: give the path of a library of spectra (HDF5), or a Library.")
    if not Path(path).exists():
        raise LibraryFileError(f"{path} does not exist: give the path of a library of spectra (HDF5).")
    if Path(path).is_dir():
        raise LibraryFileError(
            f"{path} is a folder: give the path of a library (HDF5), which 'rvsemu library merge' makes of many files."
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DAMAGE as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise LibraryFileError(
            f"{path} is not a library of spectra or is damaged ({reason}): it needs the datasets "
            "wavelength, flux and labels with their attributes; get a fresh copy."
        ) from e


def read(file: h5py.File) -> dict[str, Any]:
    """Fields of a `Library`."""
    grid, flux = _read_grid(file), check_promise(file["flux"])
    out = read_labels(file)
    _check_shape(flux.shape, out["labels"], grid["wavelength"])
    scale = one("scale of flux", flux.attrs["scale"])
    if scale <= 0:
        raise ValueError(f"the scale of flux is {scale:g}")
    values = flux[:] * np.float32(1.0 / scale if "edges" in file else scale)
    if values.size and not (values.min() >= _HELD[0] - _NEAR and values.max() <= _HELD[1] + _NEAR):
        raise ValueError(f"flux is not finite everywhere, or beyond {_HELD[0]:g} to {_HELD[1]:.4g} of the continuum")
    return out | grid | {"flux": values.astype("f4", copy=False)}


def _check_shape(shape: tuple[int, ...], labels: np.ndarray, wavelength: np.ndarray) -> None:
    if shape != (len(labels), len(wavelength)):
        raise ValueError(f"flux has the shape {shape} for {len(labels)} labels and {len(wavelength)} wavelengths")


def _read_grid(file: h5py.File) -> dict[str, Any]:
    """Wavelengths, medium and width of bins; the parts made before the package made them have the edges of bins."""
    name = "edges" if "edges" in file else "wavelength"
    dataset = check_promise(file[name], MOST_WAVELENGTHS)
    values, medium = dataset[:].astype("f8"), check_medium(text("medium", dataset.attrs["medium"]))
    check_angstrom(dataset)
    if not (len(values) and np.isfinite(values).all() and values[0] > 0 and np.all(np.diff(values) > 0)):
        raise ValueError("the wavelengths are not above 0, finite and increasing")
    if name == "wavelength":
        width = one("bin_width", dataset.attrs["bin_width"])
        if width < 0:
            raise ValueError(f"bin_width is {width:g}")
        return {"wavelength": values, "medium": medium, "bin_width": width}
    centres = np.round((values[1:] + values[:-1]) / 2, 6)
    return {"wavelength": centres, "medium": medium, "bin_width": round(float(np.mean(np.diff(values))), 6)}


def read_labels(file: h5py.File) -> dict[str, Any]:
    """Fields of a `Library` without grid and flux."""
    labels = check_promise(file["labels"])
    names = texts("names of the labels", labels.attrs["names"])
    _check_labels(labels, names)
    columns = {n: check_promise(file[n])[:] if n in file else None for n in ("extrapolated", "index")}
    for name, values in columns.items():
        if values is not None and (values.shape != (len(labels),) or values.dtype.kind == "f"):
            raise ValueError(
                f"{name} is of the type {values.dtype} and the shape {values.shape}: one whole number each"
            )
    return {
        "labels": labels[:].astype("f8"),
        "names": names,
        **columns,
        "resolution": np.inf if "edges" in file else _read_resolution(file["wavelength"]),
        "failures": [_read_failure(said) for said in file["failures"][:]] if "failures" in file else [],
        "info": _read_info(file, names, labels[:]),
    }


def _check_labels(labels: h5py.Dataset, names: tuple[str, ...]) -> None:
    """Refuse labels of other kinds, and values that no star has."""
    _check_names(names)
    if labels.shape != (len(labels), len(names)) or not np.isfinite(labels[:]).all():
        raise ValueError(f"labels has the shape {labels.shape} for the names {', '.join(names)}, or is not finite")
    for name, values in zip(names, np.transpose(labels[:]), strict=True):
        if np.any(np.abs(values) > _LARGEST) or (name == "teff" and np.any(values <= 0)):
            raise ValueError(f"labels has values of {name} from {values.min():g} to {values.max():g}")


def _check_names(names: Iterable[str]) -> None:
    if unknown := [name for name in names if name not in UNITS]:
        raise ValueError(f"the label '{unknown[0]}' is unknown, libraries have some of {', '.join(UNITS)}")


def _read_resolution(wavelength: h5py.Dataset) -> float:
    value = wavelength.attrs.get("resolution", np.inf)
    if isinstance(value, float) and value == np.inf:  # no instrument
        return value
    if (resolution := one("resolution", value)) <= 0:
        raise ValueError(f"resolution is {resolution:g}")
    return resolution


def _read_failure(said: Any) -> dict[str, Any]:
    """What is known of a spectrum that could not be computed."""
    found = properties("failures", said)
    for name, kind in (("index", int), ("error", str)):
        if name in found and not isinstance(found[name], kind):
            raise ValueError(f"failures have {name} {shown(found[name])}")
    return found


def _read_info(file: h5py.File, names: tuple[str, ...], labels: np.ndarray) -> dict[str, str]:
    """Provenance; that which the package looks at must be of the kind that it expects."""
    info = {name: str(value) for name, value in file.attrs.items()}
    if (cyanogen := cyanogen_of(info)) is not None:
        info["cyanogen"] = cyanogen
        if cyanogen not in (RIGHT_CYANOGEN, WEAK_CYANOGEN):
            raise ValueError(f"cyanogen is {shown(cyanogen)} instead of '{RIGHT_CYANOGEN}' or '{WEAK_CYANOGEN}'")
        if cyanogen == WEAK_CYANOGEN and not {"teff", "mh"} <= set(names):
            raise ValueError("lines of CN are too weak, and teff or mh is none of the labels")
    if (regions := stated(info)) is not None:
        info["regions"] = regions
        _check_regions(regions, names)
    for name in {"manifest", "settings"} & info.keys():
        properties(name, info[name])
    if not isinstance(merged := json.loads(info.get("merged", "[]")), list):
        raise ValueError(f"merged is {shown(merged)} instead of a list")
    return info


def _check_regions(text: str, names: tuple[str, ...]) -> None:
    regions = from_json(text)
    if unknown := {name for region in regions for name in region.limits} - UNITS.keys():
        raise ValueError(f"the regions have limits of '{min(unknown)}', which is no label")
    needed = {"teff", "logg"} if any(region.lowest_logg for region in regions) else {"teff"}
    if missing := needed - set(names):
        raise ValueError(f"the regions have limits of {min(missing)}, which is none of the labels")


def _check_fluxes(library: Library) -> None:
    """Refuse fluxes that `integers` would change by more than rounding; what lies just below 0 becomes 0."""
    lowest, highest = _HELD
    for row, flux in enumerate(library.flux):
        if not (np.isfinite(flux).all() and (flux.size == 0 or (flux.min() >= lowest and flux.max() <= highest))):
            i = int(np.flatnonzero(~((flux >= lowest) & (flux <= highest)))[0])
            raise LibraryFileError(
                f"the library cannot be written: spectrum {row} has the flux {flux[i]:g} at "
                f"{library.wavelength[i]:.2f} A, a file holds {lowest:g} to {highest:.4g}; leave such spectra out "
                "(Library.subset)."
            )


def integers(flux: np.ndarray) -> np.ndarray:
    """Fluxes as they are written."""
    return np.clip(np.round(flux * _SCALE), 0, 65535).astype("u2")
