"""Spectra and tables of results to files: whole or not at all, and never over another file unless asked to."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Param
from astropy.table import Column, Table
from astropy.units import UnitsWarning
from specutils import Spectrum

from .._storage import replacing
from ..errors import SpectrumError, SpectrumWarning
from .tables import STRUCTURAL, WRITTEN
from .written import UNCERTAINTIES, encode, quantity_as_json

__all__ = ["TABLE_ENDINGS", "check_format", "check_writable", "complete", "write_spectrum", "write_table"]

_FORMATS = {".fits": "fits", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".vot": "votable", ".xml": "votable"}
_ASTROPY = {"csv": "ascii.csv", "ecsv": "ascii.ecsv"}
TABLE_ENDINGS = {
    ".ecsv": "ecsv",
    ".fits": "fits",
    ".csv": "csv",
    ".vot": "votable",
    ".xml": "votable",
    ".json": "json",
    ".parquet": "parquet",
}
"""Formats of tables, by the endings of their names."""


def check_writable(
    path: str | os.PathLike, overwrite: bool = False, endings: str | Iterable[str] = tuple(_FORMATS)
) -> Path:
    """Check before any work is done that a file can be written later.

    Parameters
    ----------
    path : str or path-like
        File to write.
    overwrite : bool
        Whether it may be there already.
    endings : iterable of str or str
        What its name may end in; a str is the name of a format, which allows all.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    SpectrumError
        The ending is unknown, the folder is missing or not writable, the file exists, or pyarrow is not installed.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise SpectrumError(f"path={path!r} is not the name of a file; give a str or a pathlib.Path.")
    path = Path(path)
    folder = path.absolute().parent
    if not isinstance(endings, str) and path.suffix.lower() not in endings:
        raise SpectrumError(f"{path}: the ending '{path.suffix}' is unknown; use one of {', '.join(endings)}.")
    if not folder.is_dir():
        raise SpectrumError(f"{path}: the folder {folder} does not exist; make it first.")
    if not os.access(folder, os.W_OK):
        raise SpectrumError(f"{path}: the folder {folder} is not writable; choose another.")
    if path.is_dir():
        raise SpectrumError(f"{path} is a folder; name a file.")
    if path.exists() and not overwrite:
        raise SpectrumError(f"{path} exists; choose another name, or replace it with overwrite=True (--overwrite).")
    check_format(path, endings if isinstance(endings, str) else TABLE_ENDINGS.get(path.suffix.lower()))
    return path


def check_format(path: str | os.PathLike, format: str | None) -> None:
    """Check before any work is done that what writes the format is installed."""
    if format == "parquet" and find_spec("pyarrow") is None:
        raise SpectrumError(f'{path}: Parquet needs pyarrow: pip install "rvsemu[catalog]".')


def write_table(table: Table, path: str | os.PathLike, *, overwrite: bool = False, format: str | None = None) -> None:
    """Write a table in the format of its ending, or another.

    Parameters
    ----------
    table : astropy.table.Table
        For example rows of `FitResult.to_table`, stacked.
    path : str or path-like
        Ending in .fits, .ecsv, .csv, .vot, .xml, .json or .parquet, unless the format is given. CSV and JSON have no
        units, Parquet needs pyarrow.
    overwrite : bool
        Replace the file if there is one; it is replaced only when the new one is complete.
    format : {'ecsv', 'fits', 'csv', 'votable', 'json', 'parquet'}, optional
        Default: that of the ending.

    Raises
    ------
    SpectrumError
        The file exists, or cannot be written, or pyarrow is not installed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from astropy.table import QTable
    >>> from rvsemu.spectra import write_table
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> table = rvsemu.fit(star).to_table()
    >>> with TemporaryDirectory() as folder:
    ...     write_table(table, f"{folder}/labels.ecsv")
    ...     again = QTable.read(f"{folder}/labels.ecsv")
    >>> bool(again["teff"][0] == table["teff"][0])
    True
    """
    path = check_writable(path, overwrite, format or TABLE_ENDINGS)
    format = format or TABLE_ENDINGS[path.suffix.lower()]
    with complete(path) as temporary, warnings.catch_warnings():
        # astropy remarks that "dex" is in no standard of FITS or VOTable, and reads it back all the same
        warnings.filterwarnings("ignore", message=".*(unit string|could not be saved in native FITS).*")
        warnings.simplefilter("ignore", UnitsWarning)
        if format == "json":
            temporary.write_text(_json(table), encoding="utf-8")
            return
        table.write(temporary, format=_ASTROPY.get(format, format), overwrite=True)


def _json(table: Table) -> str:
    """A list of one object per row, null where there is no value."""
    columns = {name: np.ma.asarray(getattr(table[name], "value", table[name])) for name in table.colnames}
    rows = [{name: _plain_value(values[i]) for name, values in columns.items()} for i in range(len(table))]
    return "[\n" + ",\n".join(json.dumps(row, allow_nan=False) for row in rows) + "\n]\n"


def _plain_value(value: Any) -> Any:
    if value is np.ma.masked or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def write_spectrum(spectrum: Spectrum, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write a 1-D spectrum so that reading gives it back without loss.

    Units, kind of uncertainty, mask, radial velocity and `meta` (labels, medium, frame, identifiers, ...) are kept in
    all formats: `rvsemu.read_rvs`, ``Spectrum.read(path)`` and every command read them. The file is a table of one row
    per pixel for other programs, with plain scalars of `meta` in the header of FITS, ECSV and VOTable.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One-dimensional.
    path : str or path-like
        Ending in .fits, .ecsv, .csv, .vot or .xml.
    overwrite : bool
        Replace the file if there is one; it is replaced only when the new one is complete.

    Raises
    ------
    SpectrumError
        The spectrum has more than one dimension, or the file exists or cannot be written.

    Warns
    -----
    SpectrumWarning
        An entry of `meta` is neither number, text, Quantity, array nor a list or dict of these, and is left out.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.spectra import write_spectrum
    >>> sun = rvsemu.generate(teff=5777, logg=4.44)
    >>> with TemporaryDirectory() as folder:
    ...     write_spectrum(sun, f"{folder}/sun.ecsv")
    ...     (again,) = rvsemu.read_rvs(f"{folder}/sun.ecsv")
    >>> again.meta["labels"]["teff"], bool((again.flux == sun.flux).all())
    (<Quantity 5777. K>, True)
    """
    if not isinstance(spectrum, Spectrum):
        raise SpectrumError(f"spectrum is a {type(spectrum).__name__}: give a specutils Spectrum.")
    if spectrum.flux.ndim != 1:
        raise SpectrumError(
            f"the spectrum has the shape {spectrum.flux.shape}: write one row at a time, spectrum[0], spectrum[1], ..."
        )
    with _output(path, overwrite) as (temporary, format):
        columns, stated = _columns(spectrum)
        _WRITERS[format](temporary, columns, stated, _plain(spectrum.meta))


@contextmanager
def _output(path, overwrite: bool) -> Iterator[tuple[Path, str]]:
    """A temporary file that becomes `path`, and its format."""
    path = check_writable(path, overwrite)
    with complete(path) as temporary:
        yield temporary, _FORMATS[path.suffix.lower()]


@contextmanager
def complete(path: Path) -> Iterator[Path]:
    """A temporary file that becomes `path`; what goes wrong names `path`."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise SpectrumError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another folder."
        ) from error


def _columns(spectrum: Spectrum) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays of the table, and all that they do not say."""
    axis = u.Quantity(spectrum.spectral_axis)
    found = {"wavelength" if axis.unit.is_equivalent(u.AA) else "spectral_axis": axis, "flux": spectrum.flux}
    kind, uncertainty = None, spectrum.uncertainty
    if uncertainty is not None:
        kind = uncertainty.uncertainty_type
        if kind not in UNCERTAINTIES:
            raise SpectrumError(f"the uncertainty is of the kind {kind!r}; use one of {', '.join(UNCERTAINTIES)}.")
        plain = uncertainty.unit is None  # an unknown uncertainty has no unit
        found["uncertainty"] = uncertainty.array if plain else u.Quantity(uncertainty.array, uncertainty.unit)
    columns = {name: np.asarray(getattr(values, "value", values), dtype=float) for name, values in found.items()}
    if spectrum.mask is not None:
        columns["mask"] = np.broadcast_to(np.asarray(spectrum.mask, dtype=bool), axis.shape)
    velocity = spectrum.radial_velocity
    stated = {
        "units": {n: values.unit.to_string() if hasattr(values, "unit") else None for n, values in found.items()},
        "pixels": axis.size,
        "masked": spectrum.mask is not None,
        "uncertainty": kind,
        "radial_velocity": quantity_as_json(velocity) if velocity is not None and velocity.value else None,
        "meta": _storable(spectrum.meta),
    }
    return columns, stated


_OF_A_SLICE = "original_wcs"  # which specutils adds; the axis itself is written


def _storable(meta) -> dict:
    """The entries of `meta` that JSON holds."""
    out, left_out = {}, []
    for name, value in meta.items():
        if name == _OF_A_SLICE:
            continue
        try:
            encode({name: value})
            out[name] = value
        except (TypeError, ValueError):
            left_out.append(f"{name} ({type(value).__name__})")
    if left_out:
        warnings.warn(f"not written, a file cannot keep it: meta {', '.join(left_out)}", SpectrumWarning, stacklevel=5)
    return out


def _plain(meta) -> dict:
    """Scalars for people and other programs: labels in their units, and what else is a number or a text."""
    labels = meta.get("labels")
    labels = labels if isinstance(labels, Mapping) else {}
    labels = {name: getattr(value, "value", value) for name, value in labels.items()}
    scalars = {name: v.item() if isinstance(v, np.generic) else v for name, v in (meta | labels).items()}
    return {str(name): value for name, value in scalars.items() if _printable(value)}


def _printable(value) -> bool:
    """Whether headers can hold a value: a text of one line, or a number that is finite and of 64 bits."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, float):
        return bool(np.isfinite(value))
    return isinstance(value, int) and abs(value) < 2**63


def _write_fits(path: Path, columns: dict, stated: dict, plain: dict) -> None:
    hdu = fits.BinTableHDU(_table(columns, stated, "fits"))
    for name, value in plain.items():
        key = name if len(name) <= 8 else f"HIERARCH {name}"
        fits_in = name.isidentifier() and f"{name}{value}".isascii() and len(f"{name}{value!r}") < 60  # one card has 80
        if fits_in and not STRUCTURAL.match(name.upper()):
            hdu.header[key] = value
    hdu.header[WRITTEN.upper()] = encode(stated)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _write_votable(path: Path, columns: dict, stated: dict, plain: dict) -> None:
    document = from_table(_table(columns, stated, "vounit"))
    for name, value in {**plain, WRITTEN: encode(stated)}.items():
        kinds = {bool: "boolean", int: "long", float: "double"}
        text = {"datatype": "unicodeChar", "arraysize": "*"}
        field = {"datatype": kinds[type(value)]} if type(value) in kinds else text
        if name.isidentifier() and not (type(value) is int and abs(value) >= 2**63):
            document.get_first_table().params.append(Param(document, name=name, value=str(value), **field))
    document.to_xml(str(path))


def _write_ecsv(path: Path, columns: dict, stated: dict, plain: dict) -> None:
    table = _table(columns, stated, "generic")
    table.meta = {**plain, WRITTEN: encode(stated)}
    table.write(path, format="ascii.ecsv")


def _write_csv(path: Path, columns: dict, stated: dict, plain: dict) -> None:
    table = _table(columns, stated, "generic")
    table[WRITTEN] = [encode(stated)] + [""] * (len(table) - 1)  # CSV has no header for it
    table.write(path, format="ascii.csv")


_WRITERS = {"fits": _write_fits, "votable": _write_votable, "ascii.ecsv": _write_ecsv, "ascii.csv": _write_csv}


def _table(columns: dict, stated: dict, standard: str) -> Table:
    """The columns with units as far as the standard of the format has them; the header says all."""
    table = Table()
    for name, values in columns.items():
        table[name] = Column(values, unit=_unit_within(stated["units"].get(name) or "", standard))
    return table


def _unit_within(text: str, standard: str) -> u.UnitBase | None:
    unit = u.Unit(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return unit if unit.to_string(standard) else None
        except (ValueError, Warning):
            return None
