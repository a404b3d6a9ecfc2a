"""Gaia RVS spectra as specutils spectra: the DR3 mean spectra, and DR4 files as far as they are known.

Wavelengths are in vacuum. Mean spectra are in the rest frame of the star, epoch spectra in the barycentric
frame; ``meta["frame"]`` says which. Bad pixels are masked and their flux is NaN, never 0.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import BinaryIO, NoReturn

from specutils import Spectrum, SpectrumList
from specutils.io.registers import data_loader

from ..errors import SpectrumError
from .identify import identify_rvs, identify_written
from .reading import read_records, select
from .unpacking import Skipped, load

__all__ = ["FORMAT", "WRITTEN_FORMAT", "example_path", "read_rvs"]

FORMAT = "Gaia DR3 RVS"
"""Name under which the reader of files of the Gaia archive is registered with specutils."""
WRITTEN_FORMAT = "rvsemu"
"""Name of the format that `write_spectrum` writes; `read_rvs` reads it too."""

_EXTENSIONS = ["csv", "csv.gz", "ecsv", "xml", "vot", "vot.gz", "fits", "zip"]
_EXAMPLES = ("kepler-93", "hd176650", "gaia-1535964555128078720", "gaia-3174658066485297152")


def read_rvs(path: str | os.PathLike | BinaryIO, source_id: int | str | None = None) -> list[Spectrum]:
    """Read every RVS spectrum of a file or of a zip archive of files.

    Parameters
    ----------
    path : str, path-like or binary file object
        A file of the Gaia archive: CSV, ECSV, VOTable or FITS, in the INDIVIDUAL structure (one row per pixel) or
        the RAW structure (one row per source), possibly gzip compressed; a bulk file; a zip archive of these, in which
        files that are no RVS spectra are passed over; or what `write_spectrum` wrote.
    source_id : int or str of digits, optional
        Return the spectra of this source only.

    Returns
    -------
    list of `~specutils.Spectrum`
        One spectrum per source, or transit, in the order of the file. The spectral axis is in nm, the flux is
        normalised and has no unit, the uncertainty is a standard deviation, and ``mask`` is True at bad pixels: no
        value, or an error that is not positive and finite. Bad pixels have the flux NaN. ``meta`` has what tells
        spectra apart, ``source_id``, ``transit_id``, ``obs_time_rv``, ``ra``, ``dec``, ``combined_ccds``,
        ``combined_transits`` and the other scalars of the file where it has them, and always ``medium`` ("vacuum", or
        "air" if a header says ``medium: air``), ``frame`` ("rest", "barycentric" or "unknown"), ``release`` ("Gaia
        DR3", ... or "unknown"), ``structure`` ("INDIVIDUAL" or "RAW") and ``file`` (the path as given;
        ``path:member`` in an archive). What `write_spectrum` wrote comes back as it was, and with ``file``.

    Raises
    ------
    SpectrumError
        If the file is missing, empty, damaged or not of RVS spectra, if it is above the limits of
        `rvsemu.spectra.unpacking`, if it has no spectrum of ``source_id``, or none that can be used. A spectrum that
        lacks rows of its published grid (2401 rows in Gaia DR3, 961 in Gaia DR4) cannot be used.

    Warns
    -----
    SpectrumWarning
        Some of several spectra cannot be used: the others are returned, the warning counts and names those.

    Examples
    --------
    >>> from rvsemu.spectra import example_path, read_rvs
    >>> spectrum, = read_rvs(example_path("kepler-93"))
    >>> spectrum.meta["source_id"], spectrum.shape
    (2052747119115620352, (2401,))
    """
    return _read(path, source_id)[0]


def _read(path: str | os.PathLike | BinaryIO, source_id: int | str | None) -> tuple[list[Spectrum], str]:
    """The spectra, and the name of the file."""
    data, label = load(path)
    skipped, spectra = Skipped(), []
    for record in select(read_records(data, label, skipped), source_id, label, skipped):
        try:
            spectra.append(record.spectrum())
        except SpectrumError as error:
            skipped.append(error)
    if not spectra:
        _refuse(label, skipped)
    skipped.warn(label)
    return spectra, label


def _refuse(label: str, skipped: Skipped) -> NoReturn:
    if len(skipped) == 1:
        raise skipped[0]
    raise SpectrumError(f"{label}: none of {len(skipped)} spectra can be used; the first: {skipped[0]}")


def example_path(name: str = "kepler-93") -> Path:
    """Path of an RVS mean spectrum of Gaia DR3 that comes with the package.

    Parameters
    ----------
    name : {"kepler-93", "hd176650", "gaia-1535964555128078720", "gaia-3174658066485297152"}
        A G dwarf, a brighter K giant with a higher signal-to-noise ratio, a K dwarf, another G dwarf.

    Returns
    -------
    pathlib.Path
        The CSV file.

    Raises
    ------
    SpectrumError
        If there is no example of this name.

    Examples
    --------
    >>> from rvsemu.spectra import example_path
    >>> example_path("hd176650").name
    'hd176650.csv'
    """
    if name not in _EXAMPLES:
        raise SpectrumError(f"no example spectrum is called {name!r}; choose one of: {', '.join(_EXAMPLES)}")
    return Path(str(resources.files("rvsemu") / "data" / "rvs" / f"{name}.csv"))


def load_spectrum(file_obj: str | os.PathLike | BinaryIO, source_id: int | str | None = None) -> Spectrum:
    """Read one spectrum; behind ``Spectrum.read(path)``, formats "Gaia DR3 RVS" and "rvsemu".

    Parameters
    ----------
    file_obj : str, path-like or binary file object
        The file.
    source_id : int or str of digits, optional
        Which source to read, needed if the file has several.

    Returns
    -------
    `~specutils.Spectrum`
        The spectrum, as `read_rvs` describes it.

    Raises
    ------
    SpectrumError
        As `read_rvs`, and if the file has several spectra of the wanted source.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.spectra.gaia import load_spectrum
    >>> star = load_spectrum(rvsemu.example_path("hd176650"))
    >>> star.shape, star.meta["frame"]
    ((2401,), 'rest')
    """
    spectra, label = _read(file_obj, source_id)
    if len(spectra) == 1:
        return spectra[0]
    sources = list(dict.fromkeys(spectrum.meta.get("source_id") for spectrum in spectra))
    if len(sources) == 1:
        raise SpectrumError(f"{label}: {len(spectra)} spectra of source {sources[0]}; read_rvs(path) returns them all")
    raise SpectrumError(
        f"{label}: {len(spectra)} spectra of {len(sources)} sources; "
        f"choose one with source_id={sources[0]}, or get all of them from read_rvs(path)"
    )


def load_spectrum_list(file_obj: str | os.PathLike | BinaryIO, source_id: int | str | None = None) -> SpectrumList:
    """Read all spectra of a file; behind ``SpectrumList.read(path)``, formats "Gaia DR3 RVS" and "rvsemu".

    Parameters
    ----------
    file_obj : str, path-like or binary file object
        The file.
    source_id : int or str of digits, optional
        Only the spectra of this source.

    Returns
    -------
    `~specutils.SpectrumList`
        The spectra, as `read_rvs` describes them.

    Raises
    ------
    SpectrumError
        As `read_rvs`.

    Examples
    --------
    >>> import rvsemu
    >>> from specutils import SpectrumList
    >>> len(SpectrumList.read(rvsemu.example_path("hd176650")))
    1
    """
    return SpectrumList(read_rvs(file_obj, source_id))


def _register() -> None:
    """Tell specutils of both formats, above its own loaders (10 at most): some claim any FITS table or any .ecsv."""
    for name, identifier in ((FORMAT, identify_rvs), (WRITTEN_FORMAT, identify_written)):
        options = {"identifier": identifier, "extensions": _EXTENSIONS, "priority": 20, "force": True}
        data_loader(name, dtype=Spectrum, autogenerate_spectrumlist=False, **options)(load_spectrum)
        data_loader(name, dtype=SpectrumList, **options)(load_spectrum_list)


_register()
