"""From the cells of a table to checked arrays and scalars, and on to a specutils spectrum.

Grouping rows into spectra, the wavelength grid, bad pixels and ``meta`` are decided here and nowhere else.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty

from .._compat import Spectrum
from ..errors import SpectrumError
from .cells import as_floats, as_scalar, is_array
from .tables import GRID_STEPS, WRITTEN, NotRVSError, SpectrumTable, read_tables
from .unpacking import Skipped, sniff, unpacked
from .written import WrittenRecord

__all__ = ["PlainSpectrum", "Record", "read_records", "record_of_row", "select"]

_FIRST = 846.0
_ON_GRID = 1e-3  # nm; single precision rounds at 3e-5
_RELEASE_OF_GRID: dict[int | None, str] = {2401: "Gaia DR3", 961: "Gaia DR4"}

# nm; wide enough for any RVS grid, too narrow for a BP/RP spectrum, whose columns have the same names
_RANGE = (840.0, 880.0)
_BP_RP_SIZE = 343
_DATA_COLUMNS = ("wavelength", "flux", "flux_error")
_ID_COLUMNS = ("source_id", "transit_id")
_EPOCH_COLUMNS = ("transit_id", "obs_time_rv")
_MEAN_NAME = re.compile(r"RVS-Gaia DR3|rvs_?mean_?spectrum|mean_spectrum_rvs", re.IGNORECASE)
_EPOCH_NAME = re.compile(r"rvs_?epoch_?spectrum|epoch_spectrum_rvs", re.IGNORECASE)
_RELEASE_NAME = re.compile(r"Gaia[ _-]?(E?DR\d)", re.IGNORECASE)
_SOURCE_NAME = re.compile(r"Gaia[ _]E?DR\d[ _](\d+)", re.IGNORECASE)
# a solution_id names the processing; this is the one of the DR3 mean spectra
_RELEASE_OF_SOLUTION: dict[object, str] = {5950420259779346465: "Gaia DR3"}


@dataclass(frozen=True, eq=False)
class PlainSpectrum:
    """What a fit asks a `specutils.Spectrum` for, and nothing else.

    Parameters
    ----------
    spectral_axis, flux : Quantity, shape (n,)
    uncertainty : StdDevUncertainty
    mask : ndarray of bool, shape (n,)
        True at bad pixels.
    meta : dict
    """

    spectral_axis: u.Quantity
    flux: u.Quantity
    uncertainty: StdDevUncertainty
    mask: np.ndarray
    meta: dict


@dataclass(frozen=True)
class Record:
    """One spectrum out of a table: plain arrays and scalars, checked.

    Parameters
    ----------
    table : SpectrumTable
        Where it comes from.
    wavelength, flux, error : numpy.ndarray
        nm in vacuum; normalised; standard deviation. NaN where the file has no value.
    scalars : dict
        ``source_id`` and whatever else the file says about the spectrum as a whole.
    structure : str
        ``"INDIVIDUAL"`` or ``"RAW"``.
    """

    table: SpectrumTable
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    scalars: dict
    structure: str

    @property
    def source_id(self) -> int | None:
        """The source, if the file says which."""
        return self.scalars.get("source_id")

    @property
    def bad(self) -> np.ndarray:
        """Mask of the pixels without a value or without a positive, finite error."""
        return ~(np.isfinite(self.flux) & np.isfinite(self.error) & (self.error > 0))

    def spectrum(self) -> Spectrum:
        """Make the specutils spectrum; it costs a millisecond, so only of the records that are wanted.

        Raises
        ------
        SpectrumError
            If there is no good pixel.
        """
        return Spectrum(**vars(self.plain()))

    def plain(self) -> PlainSpectrum:
        """The same without the cost of a specutils spectrum.

        Raises
        ------
        SpectrumError
            If there is no good pixel.
        """
        bad = self.bad
        if bad.all():
            name = f"source {self.source_id}" if self.source_id is not None else "the spectrum"
            what = f"{name} has no good pixel (a flux with an error above 0); leave it out"
            raise SpectrumError(f"{self.table.label}: {what}")
        return PlainSpectrum(
            flux=np.where(bad, np.nan, self.flux) * u.dimensionless_unscaled,
            spectral_axis=self.wavelength * u.nm,
            uncertainty=StdDevUncertainty(self.error),
            mask=bad,
            meta=self._meta(),
        )

    def _meta(self) -> dict:
        names = f"{Path(self.table.label).name} {self.table.name}"
        release = _release(self, names)
        return self.scalars | {
            "medium": "vacuum",
            "frame": _frame(self.table, names, release),
            "release": release,
            "structure": self.structure,
            "file": self.table.label,
        }


def _frame(table: SpectrumTable, names: str, release: str) -> str:
    known = {*table.columns, *table.params}
    if known.intersection(_EPOCH_COLUMNS) or _EPOCH_NAME.search(names):
        return "barycentric"
    # DR3 has no other spectra than means, which are in the rest frame; later releases have both
    mean = release == "Gaia DR3" or "combined_transits" in known or _MEAN_NAME.search(names)
    return "rest" if mean else "unknown"


def _release(record: Record, names: str) -> str:
    stated = f"{record.scalars.get('release', '')} {record.scalars.get('data_release', '')}"
    match = _RELEASE_NAME.search(f"{stated} {names}")
    if match:
        return f"Gaia {match[1].upper()}"
    of_solution = _RELEASE_OF_SOLUTION.get(record.scalars.get("solution_id"))
    size = record.wavelength.size if _on_grid(record.wavelength, record.wavelength.size) else None
    return of_solution or _RELEASE_OF_GRID.get(size, "unknown")


def _on_grid(wavelength: np.ndarray, size: int) -> bool:
    """Whether all wavelengths are among those of the published grid with that number of samples."""
    step = GRID_STEPS.get(size)
    if step is None:
        return False
    number = np.rint((wavelength - _FIRST) / step)
    near = np.abs(wavelength - _FIRST - step * number) < _ON_GRID
    return bool(near.all() and number[0] >= 0 and number[-1] < size)


def select(
    records: Iterator[Record | WrittenRecord], source_id: int | str | None, label: str, skipped: Skipped
) -> Iterator[Record | WrittenRecord]:
    """Pass on the records of one source, or all; none only if some were skipped.

    Parameters
    ----------
    records : iterator of Record
        As `read_records` gives them.
    source_id : int, str or None
        The source, or None for all.
    label : str
        The file, for messages.
    skipped : Skipped
        What `read_records` could not read.

    Yields
    ------
    Record or WrittenRecord
        The selected ones.

    Raises
    ------
    SpectrumError
        If nothing is selected and nothing was skipped, or ``source_id`` is not a whole number.
    """
    wanted = None if source_id is None else _wanted_id(source_id)
    seen, found = 0, False
    for record in records:
        seen += 1
        if wanted is None or record.source_id == wanted:
            found = True
            yield record
    if not seen and not skipped:
        raise NotRVSError(f"{label}: no RVS spectrum; give a file of the Gaia archive's RVS product")
    if seen and not found:
        skipped.warn(label)
        raise SpectrumError(f"{label}: source_id={wanted} is not among its {seen} spectra; check the number")


def _wanted_id(source_id: int | str) -> int:
    try:
        return int(source_id, 10) if isinstance(source_id, str) else operator.index(source_id)
    except (TypeError, ValueError) as error:
        raise SpectrumError(
            f"source_id={source_id!r} is not a whole number; give an int: floats cannot hold all its digits"
        ) from error


def read_records(data: bytes, label: str, skipped: Skipped | None = None) -> Iterator[Record | WrittenRecord]:
    """Read the spectra of a file one at a time.

    Parameters
    ----------
    data : bytes
        The content of the file.
    label : str
        Name of the file, for messages.
    skipped : Skipped, optional
        Receives the errors of members of an archive and of single spectra; without it they are raised.

    Yields
    ------
    Record or WrittenRecord
        One spectrum.

    Raises
    ------
    SpectrumError
        If the file, or without `skipped` a spectrum in it, cannot be used.
    """
    found = other = False
    for name, content in unpacked(data, label, skipped):
        try:
            for table in read_tables(content, name):
                yield from _records(table, skipped)
                found = True
        except NotRVSError:  # an archive of "ALL" products holds other spectra, with alike columns, and photometry
            if sniff(data) != "zip":
                raise
            other = True
        except SpectrumError as error:
            if skipped is None or name == label:
                raise
            skipped.append(error)
    if other and not found and not skipped:
        raise NotRVSError(f"{label}: no file in this archive is an RVS spectrum; give one that has RVS products")


def _records(table: SpectrumTable, skipped: Skipped | None) -> Iterator[Record | WrittenRecord]:
    if WRITTEN in table.params:
        yield WrittenRecord.from_table(table)
        return
    for pixels, scalars, structure, alone in _raw(table) if is_array(table.columns["flux"]) else _individual(table):
        try:
            yield _record(table, pixels, scalars, structure, alone)
        except NotRVSError:
            raise
        except SpectrumError as error:
            if skipped is None:
                raise
            skipped.append(error)


def record_of_row(table: SpectrumTable, cells: Mapping[str, Any]) -> Record:
    """Record of one row of a table of the RAW structure that is read row by row.

    Parameters
    ----------
    table : SpectrumTable
        Label, units and params, and the names of its columns, which need no rows.
    cells : mapping of str to object
        One for each column.

    Raises
    ------
    SpectrumError
        The row cannot be used.
    """
    pixels = {name: cells[name] for name in _DATA_COLUMNS if name in cells}
    scalars = {name: as_scalar(cell) for name, cell in cells.items() if not (name in _DATA_COLUMNS or is_array([cell]))}
    return _record(table, pixels, scalars, "RAW", False)


def _raw(table: SpectrumTable) -> Iterator[tuple]:
    names = [name for name, cells in table.columns.items() if not (name in _DATA_COLUMNS or is_array(cells))]
    for row in range(len(table)):
        scalars = {name: as_scalar(table.columns[name][row]) for name in names}
        pixels = {name: table.columns[name][row] for name in _DATA_COLUMNS if name in table.columns}
        yield pixels, scalars, "RAW", len(table) == 1


def _individual(table: SpectrumTable) -> Iterator[tuple]:
    keys = [table.columns[name] for name in _ID_COLUMNS if name in table.columns]
    groups: dict[tuple, list[int]] = {}
    for row in range(len(table)):
        groups.setdefault(tuple(str(key[row]) for key in keys), []).append(row)
    for rows in groups.values():
        scalars, pixels = {}, {}
        for name, cells in table.columns.items():
            taken = cells[rows] if isinstance(cells, np.ndarray) else [cells[row] for row in rows]
            if name in _DATA_COLUMNS:
                pixels[name] = taken
            elif len({str(cell) for cell in taken}) == 1:  # a column that varies is a property of the pixels
                scalars[name] = as_scalar(taken[0])
        yield pixels, scalars, "INDIVIDUAL", len(groups) == 1


def _record(table: SpectrumTable, pixels: dict, scalars: dict, structure: str, alone: bool) -> Record:
    params = {name: as_scalar(value) for name, value in table.params.items()}
    scalars = {name: value for name, value in (params | scalars).items() if value is not None}
    match = _SOURCE_NAME.search(Path(table.label).name)
    if alone and match and "source_id" not in scalars:
        scalars["source_id"] = int(match[1])
    try:
        for name in (*_ID_COLUMNS, "solution_id"):
            _check_id(table.label, name, scalars.get(name, 1))
        return Record(table, *_pixels(table, pixels, scalars), scalars, structure)
    except SpectrumError as error:
        error.about = {name: scalars[name] for name in _ID_COLUMNS if isinstance(scalars.get(name), int)}
        raise


def _pixels(table: SpectrumTable, pixels: dict, scalars: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux and error, checked."""
    flux, error = (as_floats(pixels[name], name, table.label) for name in ("flux", "flux_error"))
    if flux.shape != error.shape:
        raise SpectrumError(f"{table.label}: {flux.size} fluxes but {error.size} errors; download the file again")
    wavelength = _wavelength(table, pixels.get("wavelength"), flux.size)
    _check_complete(table, wavelength, scalars)
    return wavelength, flux, error


def _check_id(label: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpectrumError(
            f"{label}: {name} {_short(value)} is not stored as an integer, it may be inexact; download the file again"
        )
    if not 0 <= value < 2**63:
        raise SpectrumError(f"{label}: {name} {_short(value)} is not within 0 to 2^63 - 1; download the file again")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _check_complete(table: SpectrumTable, wavelength: np.ndarray, scalars: dict) -> None:
    """Refuse a part of a published grid: a file that was cut at the end of a line, or lost lines."""
    for size, step in GRID_STEPS.items():
        own = "solution_id" in scalars or np.diff(wavelength).min(initial=np.inf) < 1.5 * step
        if wavelength.size < size and own and _on_grid(wavelength, size):
            source = f"source {scalars['source_id']}" if "source_id" in scalars else "the spectrum"
            raise SpectrumError(
                f"{table.label}: {source} has {wavelength.size} rows instead of the {size} of the {step} nm grid of "
                f"{_RELEASE_OF_GRID[size]}: the file is truncated or damaged; download it again "
                "(a part that is meant to be one: make a specutils.Spectrum of it)"
            )


def _wavelength(table: SpectrumTable, cells: Sequence | None, n_pixels: int) -> np.ndarray:
    """The grid in nm: what the file says, else the published grid of this number of samples."""
    if cells is None:
        if n_pixels == _BP_RP_SIZE:
            raise NotRVSError(f"{table.label}: a sampled BP/RP spectrum, by its size; give an RVS spectrum")
        if n_pixels not in GRID_STEPS:
            raise SpectrumError(
                f"{table.label}: no wavelength column, and {n_pixels} samples fit no published RVS grid "
                f"({' or '.join(map(str, GRID_STEPS))}); add a column wavelength in nm"
            )
        return _FIRST + GRID_STEPS[n_pixels] * np.arange(n_pixels)
    wavelength = as_floats(cells, "wavelength", table.label) * _nm_per_unit(table)
    if wavelength.size != n_pixels or not n_pixels:
        raise SpectrumError(
            f"{table.label}: {wavelength.size} wavelengths but {n_pixels} fluxes; download the file again"
        )
    if not (np.isfinite(wavelength).all() and (np.diff(wavelength) > 0).all()):
        raise SpectrumError(
            f"{table.label}: the wavelengths do not increase from pixel to pixel; sort the rows by wavelength"
        )
    if wavelength[0] < _RANGE[0] or wavelength[-1] > _RANGE[1]:
        raise NotRVSError(
            f"{table.label}: wavelengths {wavelength[0]:g} to {wavelength[-1]:g} nm are not those of the RVS "
            "(846 to 870 nm); give an RVS spectrum, with the unit of its wavelengths if that is not nm"
        )
    return wavelength


def _nm_per_unit(table: SpectrumTable) -> float:
    name = table.units.get("wavelength", "nm")
    try:
        return u.Unit(name).to(u.nm)
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise SpectrumError(
            f"{table.label}: the unit {name!r} of the wavelengths is not a length; correct it in the file"
        ) from error
