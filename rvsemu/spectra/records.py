"""From the cells of a table to checked arrays and scalars, and on to a specutils spectrum.

Grouping rows into spectra, the wavelength grid, bad pixels and ``meta`` are decided here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from ..errors import SpectrumError
from .cells import as_floats, as_scalar
from .tables import GRID_STEPS, NotRVSError, SpectrumTable

__all__ = ["DATA_COLUMNS", "ID_COLUMNS", "PlainSpectrum", "Record", "is_logarithmic", "record_of_cells"]

_FIRST = 846.0
_ON_GRID = 1e-3  # nm; single precision rounds at 3e-5
_RELEASE_OF_GRID: dict[int | None, str] = {2401: "Gaia DR3", 961: "Gaia DR4"}

# nm; wide enough for any RVS grid, too narrow for a BP/RP spectrum, whose columns have the same names
_RANGE = (840.0, 880.0)
_BP_RP_SIZE = 343
DATA_COLUMNS = ("wavelength", "flux", "flux_error")
ID_COLUMNS = ("source_id", "transit_id")
# other names of wavelengths, but not flame_... or spectral_type
_LIKE_WAVELENGTH = re.compile(r"wave|lambda|^(log_?)?lam|^wl|spectral_?axis|angstrom|^(x|nm|aa|micron)$", re.IGNORECASE)
_UNITS = {"obs_time_rv": "d", "ra": "deg", "dec": "deg"}
_EPOCH_COLUMNS = ("transit_id", "obs_time_rv")
_MEAN_NAME = re.compile(r"RVS-Gaia DR3|rvs_?mean_?spectrum|mean_spectrum_rvs", re.IGNORECASE)
_EPOCH_NAME = re.compile(r"rvs_?epoch_?spectrum|epoch_spectrum_rvs", re.IGNORECASE)
_RELEASE_NAME = re.compile(r"Gaia[ _-]?(E?DR\d)", re.IGNORECASE)
_SOURCE_NAME = re.compile(r"Gaia[ _]E?DR\d[ _](\d+)", re.IGNORECASE)
# a solution_id names the processing; this is the one of the DR3 mean spectra
_RELEASE_OF_SOLUTION: dict[object, str] = {5950420259779346465: "Gaia DR3"}
_AFTER_DR3 = {*_EPOCH_COLUMNS, "normalisation_method"}
_MEDIA = ("vacuum", "air")
_FRAMES = ("rest", "barycentric")


def is_logarithmic(unit: u.UnitBase) -> bool:
    """Whether a flux in this unit is a logarithm, as magnitudes are."""
    return any(unit.is_equivalent(other) for other in (u.mag, u.dex, u.dB))


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
            "medium": _stated(self, "medium", _MEDIA) or "vacuum",
            "frame": _stated(self, "frame", _FRAMES) or _frame(self.table, names, release),
            "release": release,
            "structure": self.structure,
            "file": self.table.label,
        }


def _stated(record: Record, name: str, known: Sequence[str]) -> str | None:
    """What a file says of all its wavelengths, if that is one of the `known` words."""
    stated = str(record.scalars.get(name)).strip().lower()
    return stated if stated in known else None


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
    solution = record.scalars.get("solution_id")
    if solution in _RELEASE_OF_SOLUTION:
        return _RELEASE_OF_SOLUTION[solution]
    size = record.wavelength.size if _on_grid(record.wavelength, record.wavelength.size) else None
    # whatever its pixels, what was processed by other means or has other columns than DR3 came after it
    later = size in _RELEASE_OF_GRID and (solution is not None or _AFTER_DR3.intersection(record.table.columns))
    return "Gaia DR4" if later else _RELEASE_OF_GRID.get(size, "unknown")


def _on_grid(wavelength: np.ndarray, size: int) -> bool:
    """Whether all wavelengths are among those of the published grid with that number of samples."""
    step = GRID_STEPS.get(size)
    if step is None:
        return False
    number = np.rint((wavelength - _FIRST) / step)
    near = np.abs(wavelength - _FIRST - step * number) < _ON_GRID
    return bool(near.all() and number[0] >= 0 and number[-1] < size)


def record_of_cells(table: SpectrumTable, pixels: dict, scalars: dict, structure: str, alone: bool) -> Record:
    params = {name: as_scalar(value) for name, value in table.params.items()}
    scalars = {name: value for name, value in (params | scalars).items() if value is not None}
    for name, unit in _UNITS.items():
        if isinstance(scalars.get(name), int | float) and (factor := _factor(table.units.get(name), unit)) != 1:
            scalars[name] *= factor
    match = _SOURCE_NAME.search(Path(table.label).name)
    if alone and match and "source_id" not in scalars:
        scalars["source_id"] = int(match[1])
    try:
        for name in (*ID_COLUMNS, "solution_id"):
            _check_id(table.label, name, scalars.get(name, 1))
        return Record(table, *_pixels(table, pixels, scalars), scalars, structure)
    except SpectrumError as error:
        error.about = {name: scalars[name] for name in ID_COLUMNS if isinstance(scalars.get(name), int)}
        raise


def _pixels(table: SpectrumTable, pixels: dict, scalars: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux and error, checked."""
    flux, error = (as_floats(pixels[name], name, table.label) for name in ("flux", "flux_error"))
    error = error * _factor(table.units.get("flux_error"), table.units.get("flux", ""))
    if flux.shape != error.shape:
        raise SpectrumError(f"{table.label}: {flux.size} fluxes but {error.size} errors; download the file again")
    if not flux.size:  # an empty cell: there is no good pixel
        return flux, flux, error
    wavelength = _wavelength(table, pixels.get("wavelength"), flux.size)
    _check_complete(table, wavelength, scalars)
    return wavelength, flux, error


def _check_id(label: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpectrumError(
            f"{label}: {name} {_short(value)} is not stored as an integer, it may be inexact; download the file again"
        )
    least = int(name == "source_id")  # 0 stands for none in some tables; transits of different stars would share it
    if not least <= value < 2**63:
        raise SpectrumError(
            f"{label}: {name} {_short(value)} is not within {least} to 2^63 - 1; download the file again, or leave "
            "the cell empty if there is none"
        )


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
        if other := next((name for name in table.columns if _LIKE_WAVELENGTH.search(name)), None):
            raise SpectrumError(
                f"{table.label}: no column wavelength, but {other!r}; if that has the wavelengths, name it wavelength "
                "(in nm, or with its unit in the header), else leave it out"
            )
        return _FIRST + GRID_STEPS[n_pixels] * np.arange(n_pixels)
    wavelength = as_floats(cells, "wavelength", table.label) * _nm_per_unit(table)
    if wavelength.size != n_pixels or not n_pixels:
        raise SpectrumError(
            f"{table.label}: {wavelength.size} wavelengths but {n_pixels} fluxes; download the file again"
        )
    if np.unique(wavelength[np.isfinite(wavelength)]).size < np.isfinite(wavelength).sum():
        raise SpectrumError(
            f"{table.label}: a wavelength occurs more than once, as in rows of several spectra that no column "
            f"{' or '.join(ID_COLUMNS)} tells apart: add one; of pixels that overlap, leave one"
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


def _factor(stated: str | None, unit: str) -> float:
    """What a number in the unit that a file states, if any, has to be multiplied by; 1 if that is another quantity."""
    if stated is None or stated == unit:
        return 1.0
    try:
        return float(u.Unit(stated).to(u.Unit(unit)))
    except (ValueError, TypeError, u.UnitConversionError):
        return 1.0


def _nm_per_unit(table: SpectrumTable) -> float:
    name = table.units.get("wavelength", "nm")
    try:
        return u.Unit(name).to(u.nm)
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise SpectrumError(
            f"{table.label}: the unit {name!r} of the wavelengths is not a length; correct it in the file"
        ) from error
