"""From the cells of a table to checked arrays and scalars, and on to a specutils spectrum.

Grouping rows into spectra, the wavelength grid, bad pixels and ``meta`` are decided here and nowhere else.
"""

import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty

from rvsemu._compat import Spectrum
from rvsemu.errors import SpectrumError
from rvsemu.spectra.cells import as_floats, as_scalar, is_array
from rvsemu.spectra.tables import GRID_STEPS, NotRVSError, SpectrumTable, read_tables

__all__ = ["Record", "read_records", "select"]

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
_RELEASE_OF_SOLUTION = {5950420259779346465: "Gaia DR3"}


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
        bad = self.bad
        if bad.all():
            name = f"source {self.source_id}" if self.source_id is not None else "the spectrum"
            raise SpectrumError(
                f"{self.table.label}: {name} has no good pixel; choose another, "
                "or leave such spectra out with read_rvs(path, skip_empty=True)"
            )
        return Spectrum(
            flux=np.where(bad, np.nan, self.flux) * u.dimensionless_unscaled,
            spectral_axis=self.wavelength * u.nm,
            uncertainty=StdDevUncertainty(self.error),
            mask=bad,
            meta=self._meta(),
        )

    def _meta(self) -> dict:
        file = Path(self.table.label).name
        return self.scalars | {
            "medium": "vacuum",
            "frame": _frame(self.table, f"{file} {self.table.name}"),
            "release": _release(self.scalars, f"{file} {self.table.name}"),
            "structure": self.structure,
            "file": file,
        }


def _frame(table: SpectrumTable, names: str) -> str:
    known = {*table.columns, *table.params}
    if known.intersection(_EPOCH_COLUMNS) or _EPOCH_NAME.search(names):
        return "barycentric"
    return "rest" if "combined_transits" in known or _MEAN_NAME.search(names) else "unknown"


def _release(scalars: dict, names: str) -> str:
    stated = f"{scalars.get('release', '')} {scalars.get('data_release', '')}"
    match = _RELEASE_NAME.search(f"{stated} {names}")
    if match:
        return f"Gaia {match[1].upper()}"
    return _RELEASE_OF_SOLUTION.get(scalars.get("solution_id"), "unknown")


def select(records: Iterator[Record], source_id: int | None, label: str) -> Iterator[Record]:
    """Pass on the records of one source, or all; never none.

    Parameters
    ----------
    records : iterator of Record
        As `read_records` gives them.
    source_id : int or None
        The source, or None for all.
    label : str
        The file, for messages.

    Yields
    ------
    Record
        The selected ones.

    Raises
    ------
    SpectrumError
        If nothing is selected, or ``source_id`` is not a whole number.
    """
    wanted = None if source_id is None else _wanted_id(source_id)
    seen, found = 0, False
    for record in records:
        seen += 1
        if wanted is None or record.source_id == wanted:
            found = True
            yield record
    if not seen:
        raise NotRVSError(f"{label}: no RVS spectrum; give a file of the Gaia archive's RVS product")
    if not found:
        raise SpectrumError(f"{label}: source_id={wanted} is not among its {seen} spectra; check the number")


def _wanted_id(source_id) -> int:
    try:
        return int(source_id, 10) if isinstance(source_id, str) else operator.index(source_id)
    except (TypeError, ValueError) as error:
        raise SpectrumError(
            f"source_id={source_id!r} is not a whole number; give an int: floats cannot hold all its digits"
        ) from error


def read_records(data: bytes, label: str) -> Iterator[Record]:
    """Read the spectra of a file one at a time.

    Parameters
    ----------
    data : bytes
        The content of the file.
    label : str
        Name of the file, for messages.

    Yields
    ------
    Record
        One spectrum.

    Raises
    ------
    SpectrumError
        If the file or a spectrum in it cannot be used.
    """
    for table in read_tables(data, label):
        try:
            yield from _raw_records(table) if is_array(table.columns["flux"]) else _individual_records(table)
        except NotRVSError:
            if table.label == label:
                raise
            # a member of an archive: archives of "ALL" products hold BP/RP spectra, whose columns are alike


def _raw_records(table: SpectrumTable) -> Iterator[Record]:
    names = [name for name, cells in table.columns.items() if not (name in _DATA_COLUMNS or is_array(cells))]
    for row in range(len(table)):
        scalars = {name: as_scalar(table.columns[name][row]) for name in names}
        pixels = {name: table.columns[name][row] for name in _DATA_COLUMNS if name in table.columns}
        yield _record(table, pixels, scalars, "RAW", alone=len(table) == 1)


def _individual_records(table: SpectrumTable) -> Iterator[Record]:
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
        yield _record(table, pixels, scalars, "INDIVIDUAL", alone=len(groups) == 1)


def _record(table: SpectrumTable, pixels: dict, scalars: dict, structure: str, alone: bool) -> Record:
    params = {name: as_scalar(value) for name, value in table.params.items()}
    scalars = {name: value for name, value in (params | scalars).items() if value is not None}
    match = _SOURCE_NAME.search(Path(table.label).name)
    if alone and match and "source_id" not in scalars:
        scalars["source_id"] = int(match[1])
    for name in (*_ID_COLUMNS, "solution_id"):
        if name in scalars and (isinstance(scalars[name], bool) or not isinstance(scalars[name], int)):
            raise SpectrumError(
                f"{table.label}: {name} {scalars[name]!r} is not stored as an integer, it may be inexact; "
                "download the file again"
            )
    flux, error = (as_floats(pixels[name], name, table.label) for name in ("flux", "flux_error"))
    if flux.shape != error.shape:
        raise SpectrumError(f"{table.label}: {flux.size} fluxes but {error.size} errors; download the file again")
    wavelength = _wavelength(table, pixels.get("wavelength"), flux.size)
    return Record(table, wavelength, flux, error, scalars, structure)


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
        return 846.0 + GRID_STEPS[n_pixels] * np.arange(n_pixels)
    wavelength = as_floats(cells, "wavelength", table.label) * _nm_per_unit(table)
    if wavelength.size != n_pixels:
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
