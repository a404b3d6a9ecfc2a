"""Bulk files as the Gaia archive has them: one source per row, arrays as text, ECSV in gzip."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from astropy import units as u
from specutils import Spectrum

from .._storage import check_output
from ..errors import SpectrumError
from .records import PlainSpectrum
from .write import complete

__all__ = ["write_bulk"]

_ARRAY = "string, subtype float32[null]"
_COLUMNS: dict[str, tuple[str, str | None, str]] = {
    "source_id": ("int64", None, "Unique source identifier"),
    "solution_id": ("int64", None, "Solution identifier"),
    "transit_id": ("int64", None, "Transit unique identifier"),
    "obs_time_rv": ("float64", "d", "Observation time (barycentric)"),
    "ra": ("float64", "deg", "Right ascension"),
    "dec": ("float64", "deg", "Declination"),
    "flux": (_ARRAY, None, "Normalised flux"),
    "flux_error": (_ARRAY, None, "Error of the normalised flux"),
    "combined_transits": ("int16", None, "Number of transits combined"),
    "combined_ccds": ("int16", None, "Number of CCD spectra combined"),
    "deblended_ccds": ("int16", None, "Number of CCD spectra that were deblended"),
    "normalisation_method": ("int8", None, "Method of normalisation"),
}
_ONLY_IN = {"transit_id": "epoch", "obs_time_rv": "epoch", "combined_transits": "mean", "normalisation_method": "dr4"}
_GRIDS = {"Gaia DR3": (2401, 0.01), "Gaia DR4": (961, 0.025)}
_KINDS = {"rest": "mean", "barycentric": "epoch"}
_NOT_OF_GAIA = {"epoch", "dr3"}
"""Epoch spectra came after Gaia DR3: a file with the columns of some is taken for one of Gaia DR4."""
_LEVEL = 6  # of gzip


def write_bulk(spectra: Iterable[Spectrum | PlainSpectrum], path: str | os.PathLike, *, overwrite: bool = False) -> int:
    """Write spectra to a bulk file in the format of Gaia DR3 or, as far as it is known, DR4.

    It has the columns of ``rvs_mean_spectrum``, or of ``rvs_epoch_spectrum`` for a barycentric frame, fluxes and errors
    in single precision, and no wavelengths. For tests, and to see what a catalogue of stars like yours will take.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum
        For example of `rvsemu.simulate`: on the grid of the release that ``meta["release"]`` of the first one says,
        with ``meta["frame"]`` "rest" or "barycentric", standard deviations and ``meta["source_id"]``. One is in memory
        at a time.
    path : path
        The archive calls such files ``RvsMeanSpectrum_000000-003111.csv.gz``, after the first and the last
        ``source_id // 8796093022208``.
    overwrite : bool
        Replace a file that is there. It appears, or is replaced, only when it is complete.

    Returns
    -------
    int
        Number of spectra.

    Raises
    ------
    SpectrumError
        There is none, one has no source_id or frame or is not on the grid, or the file exists or its folder does not.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.spectra import write_bulk
    >>> sun = rvsemu.generate(teff=5777, logg=4.44, mh=0, vmic=1.2, resolution=11900)
    >>> stars = (rvsemu.simulate(sun, signal_to_noise=50, seed=i, source_id=i) for i in range(1, 4))
    >>> with TemporaryDirectory() as folder:
    ...     write_bulk(stars, f"{folder}/RvsMeanSpectrum_000000-000000.csv.gz")
    ...     (block,) = rvsemu.iter_rvs(folder)
    3
    >>> block.source_id.tolist()
    [1, 2, 3]
    """
    path, stream = check_output(path, SpectrumError, overwrite), iter(spectra)
    first = next(stream, None)
    if first is None:
        raise SpectrumError("spectra is empty: give at least one.")
    release = first.meta.get("release")
    if release not in _GRIDS:
        raise SpectrumError(f"spectra: meta['release'] of the first is {release!r}: set it to {' or '.join(_GRIDS)}.")
    frame = first.meta.get("frame")
    if frame not in _KINDS:
        raise SpectrumError(f"spectra: meta['frame'] of the first is {frame!r}: set it to {' or '.join(_KINDS)}.")
    kinds = {_KINDS[frame], "dr3" if release == "Gaia DR3" else "dr4"}
    names = [name for name in _COLUMNS if _ONLY_IN.get(name, "mean") in kinds or name not in _ONLY_IN]
    count = 0
    with (
        complete(path) as temporary,
        gzip.open(temporary, "wb", compresslevel=_LEVEL) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        file.write("\n".join([*_header(names, release if kinds == _NOT_OF_GAIA else ""), ",".join(names), ""]))
        for count, spectrum in enumerate(chain([first], stream), start=1):
            _check(spectrum, count, first.meta)
            file.write(",".join(_cell(spectrum, name) for name in names) + "\n")
    return count


def _header(names: list[str], release: str) -> list[str]:
    """Comments with the columns, and the release if they do not tell it."""
    lines = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:"]
    for name in names:
        kind, unit, description = _COLUMNS[name]
        datatype, _, subtype = kind.partition(", subtype ")
        lines += ["-", f"  name: {name}", f"  datatype: {datatype}"]
        lines += [f"  subtype: {subtype}"] * bool(subtype) + [f"  unit: {unit}"] * bool(unit)
        lines.append(f"  description: {description}")
    lines += [f"meta: {{release: {release}}}"] * bool(release)
    return [f"# {line}" for line in lines]


def _check(spectrum: Any, number: int, first: Mapping[str, Any]) -> None:
    release = first["release"]
    pixels, step = _GRIDS[release]
    if spectrum.meta.get("medium", "vacuum") != "vacuum":
        raise SpectrumError(f"spectrum {number} is in {spectrum.meta['medium']}: give wavelengths in vacuum.")
    for name in ("release", "frame"):
        if spectrum.meta.get(name) != first.get(name):
            raise SpectrumError(
                f"spectrum {number} has meta['{name}']={spectrum.meta.get(name)!r}, and the first {first.get(name)!r}, "
                "which a file says of all: write them to files of their own."
            )
    axis = u.Quantity(spectrum.spectral_axis).to_value(u.nm)
    if axis.shape != (pixels,) or np.abs(axis - 846.0 - step * np.arange(pixels)).max() > step / 100:
        raise SpectrumError(f"spectrum {number} is not on the grid of {release}: give {pixels} pixels from 846 nm on.")
    source = spectrum.meta.get("source_id")
    if not isinstance(source, int | np.integer) or not 0 < source < 2**63:
        given = "no source_id" if source is None else f"source_id={source!r}"
        raise SpectrumError(f"spectrum {number} has {given}: set meta['source_id'] to a whole number, 1 to 2^63 - 1.")
    if getattr(spectrum.uncertainty, "uncertainty_type", None) != "std":
        raise SpectrumError(f"spectrum {number} has no standard deviations: set its uncertainty to StdDevUncertainty.")


def _cell(spectrum: Any, name: str) -> str:
    if name == "flux":
        return _array(np.where(False if spectrum.mask is None else spectrum.mask, np.nan, spectrum.flux.value))
    if name == "flux_error":
        return _array(spectrum.uncertainty.array)
    value = spectrum.meta.get(name)
    if isinstance(value, u.Quantity):
        value = value.to_value(_COLUMNS[name][1] or value.unit)
    return "null" if value is None else str(value)


def _array(values: np.ndarray) -> str:
    return f'"[{", ".join(np.asarray(values, dtype="f4").astype(str).tolist())}]"'.replace("nan", "NaN")
