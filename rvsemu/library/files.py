"""Files of libraries: HDF5 with 16-bit fluxes, read with care, as users may give anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ..emulator.regions import stated
from ..errors import LibraryFileError
from ..physics.wavelengths import check_medium
from .cyanogen import cyanogen_of

if TYPE_CHECKING:
    from .model import Library

__all__ = ["check_promise", "integers", "read", "read_labels", "reading", "write"]

MOST_WAVELENGTHS = 1_000_000
MOST_FLUXES = 10_000_000_000
"""Numbers that a file may promise: 40 GB of float32."""
_DENSEST = 5000  # numbers in a byte of compressed data: gzip packs a constant a thousandfold, in 16 bits
_HELD = -0.01, 65535.5 / 60000  # of the continuum: fluxes that are written
_SCALE = 60000  # integers per unit of flux: a step of 1.7e-5


def write(library: Library, path: str | os.PathLike) -> None:
    """Write a library to a new file, compressed.

    Raises
    ------
    LibraryFileError
        It has fluxes that the file cannot hold.
    """
    _check_fluxes(library)
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
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (AttributeError, IndexError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise LibraryFileError(
            f"{path} is not a library of spectra or is damaged ({reason}): it needs the datasets "
            "wavelength, flux and labels with their attributes; get a fresh copy."
        ) from e


def read(file: h5py.File) -> dict[str, Any]:
    """Fields of a `Library`."""
    grid, flux = _read_grid(file), check_promise(file["flux"])
    out = read_labels(file)
    if flux.shape != (len(out["labels"]), len(grid["wavelength"])):
        raise ValueError(
            f"flux has the shape {flux.shape} for {len(out['labels'])} labels and {len(grid['wavelength'])} wavelengths"
        )
    if not (np.isfinite(grid["wavelength"]).all() and np.all(np.diff(grid["wavelength"]) > 0)):
        raise ValueError("the wavelengths are not finite and increasing")
    scale = flux.attrs["scale"]
    values = flux[:] * np.float32(1.0 / scale if "edges" in file else scale)
    if not np.isfinite(values).all():
        raise ValueError("flux is not finite everywhere")
    return out | grid | {"flux": values.astype("f4", copy=False)}


def _read_grid(file: h5py.File) -> dict[str, Any]:
    """Wavelengths, medium and width of bins; the parts made before the package made them have the edges of bins."""
    name = "edges" if "edges" in file else "wavelength"
    dataset = check_promise(file[name], MOST_WAVELENGTHS)
    values, medium = dataset[:].astype("f8"), check_medium(str(dataset.attrs["medium"]))
    if name == "wavelength":
        return {"wavelength": values, "medium": medium, "bin_width": float(dataset.attrs["bin_width"])}
    centres = np.round((values[1:] + values[:-1]) / 2, 6)
    return {"wavelength": centres, "medium": medium, "bin_width": round(float(np.mean(np.diff(values))), 6)}


def read_labels(file: h5py.File) -> dict[str, Any]:
    """Fields of a `Library` without grid and flux."""
    labels = check_promise(file["labels"])
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in labels.attrs["names"])
    if labels.shape != (len(labels), len(names)) or not np.isfinite(labels[:]).all():
        raise ValueError(f"labels has the shape {labels.shape} for the names {', '.join(names)}, or is not finite")
    columns = {n: check_promise(file[n])[:] if n in file else None for n in ("extrapolated", "index")}
    for name, values in columns.items():
        if values is not None and (values.shape != (len(labels),) or values.dtype.kind == "f"):
            raise ValueError(
                f"{name} is of the type {values.dtype} and the shape {values.shape}: one whole number each"
            )
    info = {k: str(v) for k, v in file.attrs.items()}
    if (cyanogen := cyanogen_of(info)) is not None:
        info["cyanogen"] = cyanogen
    if (regions := stated(info)) is not None:
        info["regions"] = regions
    return {
        "labels": labels[:].astype("f8"),
        "names": names,
        **columns,
        "resolution": np.inf if "edges" in file else float(file["wavelength"].attrs.get("resolution", np.inf)),
        "failures": [json.loads(text) for text in file["failures"][:]] if "failures" in file else [],
        "info": info,
    }


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
