"""Generated spectra and result tables to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from .._files import replacing
from ..errors import SpectrumError

__all__ = ["check_writable", "write_spectrum", "write_table"]

_FORMATS = {".fits": "fits", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".vot": "votable", ".xml": "votable"}


def check_writable(path) -> Path:
    """`path` as a Path, if its ending is known and its folder exists; else `SpectrumError`."""
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise SpectrumError(f"{path}: the ending '{path.suffix}' is unknown; use one of {', '.join(_FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise SpectrumError(f"{path}: the folder {path.absolute().parent} does not exist; make it first.")
    if path.is_dir():
        raise SpectrumError(f"{path} is a folder; name a file.")
    return path


def write_table(table: Table, path) -> None:
    """Write a table in the format of its ending (.fits, .ecsv, .csv, .vot); replaces `path` when complete."""
    path = check_writable(path)
    with replacing(path) as temporary:
        table.write(temporary, format=_FORMATS[path.suffix.lower()], overwrite=True)


def write_spectrum(spectrum, path) -> None:
    """Write a 1-D spectrum as a table of wavelength, flux and uncertainty.

    Labels, medium, frame, recipe and emulator version go into the header. A FITS file of this kind is
    read back by ``specutils.Spectrum.read(path, format="tabular-fits")``.

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
    table["wavelength"] = spectrum.spectral_axis.to(u.AA)
    table["flux"] = spectrum.flux
    if spectrum.uncertainty is not None:
        table["uncertainty"] = u.Quantity(spectrum.uncertainty.array, spectrum.flux.unit)
    for name, value in spectrum.meta.get("labels", {}).items():
        table.meta[_keyword(name)] = float(np.squeeze(value.value))
    for name in ("medium", "frame", "recipe", "emulator_version", "extrapolated"):
        if spectrum.meta.get(name) is not None:
            table.meta[_keyword(name)] = spectrum.meta[name]
    write_table(table, path)


def _keyword(name: str) -> str:
    """FITS keywords have eight characters: ``resolution`` becomes RESOLUTI, ``emulator_version`` EMULVERS."""
    short = {"emulator_version": "EMULVERS", "extrapolated": "EXTRAPOL"}
    return short.get(name, name.upper()[:8])
