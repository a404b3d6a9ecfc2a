"""Generated spectra to files and back, and result tables to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable, Table
from specutils.io.registers import data_loader

from .._compat import Spectrum
from .._storage import replacing
from ..emulator.labels import PAPER_LABELS
from ..errors import SpectrumError

__all__ = ["check_writable", "write_spectrum", "write_table"]

_ORIGIN = "rvsemu"
_STATED = ("medium", "frame", "recipe", "emulator_version", "extrapolated")

_FORMATS = {".fits": "fits", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".vot": "votable", ".xml": "votable"}


def check_writable(path, overwrite=False) -> Path:
    """`path` as a Path, if its ending is known and its folder exists; else `SpectrumError`."""
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise SpectrumError(f"{path}: the ending '{path.suffix}' is unknown; use one of {', '.join(_FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise SpectrumError(f"{path}: the folder {path.absolute().parent} does not exist; make it first.")
    if path.is_dir():
        raise SpectrumError(f"{path} is a folder; name a file.")
    if path.exists() and not overwrite:
        raise SpectrumError(
            f"{path} exists: give another name, or allow it to be replaced (overwrite=True, --overwrite)."
        )
    return path


def write_table(table: Table, path, overwrite=False) -> None:
    """Write a table in the format of its ending (.fits, .ecsv, .csv, .vot); replaces `path` when complete."""
    path = check_writable(path, overwrite)
    with replacing(path) as temporary:
        table.write(temporary, format=_FORMATS[path.suffix.lower()], overwrite=True)


def write_spectrum(spectrum, path, overwrite=False) -> None:
    """Write a 1-D spectrum as a table of wavelength, flux and uncertainty.

    Labels, medium, frame, recipe and emulator version go into the header. A FITS file comes back
    with them by ``specutils.Spectrum.read(path)``, format "rvsemu".

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One-dimensional.
    path : str or path
        Ending in .fits, .ecsv, .csv or .vot.

    Raises
    ------
    SpectrumError
        The spectrum has more than one dimension, or the path cannot be written.
    """
    if spectrum.flux.ndim != 1:
        raise SpectrumError(f"the spectrum has the shape {spectrum.flux.shape}: write one row at a time.")
    table = QTable()
    table["wavelength"] = spectrum.spectral_axis.to_value(u.AA) * u.AA  # a SpectralAxis is not for tables
    table["flux"] = u.Quantity(spectrum.flux)
    if spectrum.uncertainty is not None:
        table["uncertainty"] = u.Quantity(spectrum.uncertainty.array, spectrum.flux.unit)
    for name, value in spectrum.meta.get("labels", {}).items():
        table.meta[_keyword(name)] = float(np.squeeze(value.value))
    table.meta["ORIGIN"] = _ORIGIN
    for name in _STATED:
        if spectrum.meta.get(name) is not None:
            table.meta[_keyword(name)] = spectrum.meta[name]
    write_table(table, path)


def _keyword(name: str) -> str:
    """FITS keywords have eight characters: ``resolution`` becomes RESOLUTI, ``emulator_version`` EMULVERS."""
    short = {"emulator_version": "EMULVERS", "extrapolated": "EXTRAPOL"}
    return short.get(name, name.upper()[:8])


def _is_ours(origin, path, fileobj, *args, **kwargs) -> bool:
    if not str(path).lower().endswith(".fits"):
        return False
    try:
        return fits.getheader(path, 1).get("ORIGIN") == _ORIGIN
    except (OSError, IndexError):
        return False


@data_loader(_ORIGIN, identifier=_is_ours, dtype=Spectrum, extensions=["fits"], priority=20, force=True)
def load_generated(path) -> Spectrum:
    """Read what `write_spectrum` wrote as FITS; behind ``Spectrum.read(path)``."""
    table = Table.read(path, format="fits", hdu=1)
    meta = {name: table.meta[_keyword(name)] for name in _STATED if _keyword(name) in table.meta}
    labels = {lab.name: table.meta[_keyword(lab.name)] for lab in PAPER_LABELS if _keyword(lab.name) in table.meta}
    meta["labels"] = {lab.name: labels[lab.name] * u.Unit(lab.unit) for lab in PAPER_LABELS if lab.name in labels}
    return Spectrum(
        spectral_axis=u.Quantity(table["wavelength"]),
        flux=u.Quantity(table["flux"].data, table["flux"].unit or u.dimensionless_unscaled),
        uncertainty=StdDevUncertainty(table["uncertainty"].data) if "uncertainty" in table.colnames else None,
        meta=meta,
    )
