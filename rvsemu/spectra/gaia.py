"""Gaia RVS spectra as specutils spectra: the DR3 mean spectra, and DR4 files as far as they are known.

Wavelengths are in vacuum. Mean spectra are in the rest frame of the star, epoch spectra in the barycentric
frame; ``meta["frame"]`` says which. Bad pixels are masked and their flux is NaN, never 0.
"""

import os
from importlib import resources
from pathlib import Path

from specutils import SpectrumList
from specutils.io.registers import data_loader

from rvsemu._compat import Spectrum
from rvsemu.errors import SpectrumError
from rvsemu.spectra.identify import identify_rvs
from rvsemu.spectra.records import read_records, select

__all__ = ["FORMAT", "example_path", "read_rvs"]

FORMAT = "Gaia DR3 RVS"
"""Name under which the reader is registered with specutils."""

_EXTENSIONS = ["csv", "csv.gz", "ecsv", "xml", "vot", "vot.gz", "fits", "zip"]
_EXAMPLES = ("kepler-93", "hd176650")


def read_rvs(path: str | os.PathLike, source_id: int | None = None, *, skip_empty: bool = False) -> list[Spectrum]:
    """Read every RVS spectrum of a file or of a zip archive of files.

    Parameters
    ----------
    path : str or path-like
        A file of the Gaia archive: CSV, ECSV, VOTable or FITS, in the INDIVIDUAL structure (a row a pixel) or
        the RAW structure (a row a source), possibly gzip compressed; a bulk file; or a zip archive of these.
        Files in an archive that are no RVS spectra are passed over.
    source_id : int, optional
        Return the spectra of this source only.
    skip_empty : bool, optional
        Leave out spectra without a single good pixel, instead of raising an error.

    Returns
    -------
    list of `~specutils.Spectrum`
        One spectrum a source, or a transit, in the order of the file. The spectral axis is in nm
        (vacuum), the flux is normalised and has no unit, the uncertainty is a standard deviation, and
        ``mask`` is True at bad pixels: no value, or an error that is not positive and finite. Bad pixels
        have the flux NaN. ``meta`` has ``source_id``, ``solution_id``, ``ra``, ``dec`` and the other
        scalars of the file where it has them, and always ``medium`` ("vacuum"), ``frame`` ("rest",
        "barycentric" or "unknown"), ``release`` ("Gaia DR3", ... or "unknown"), ``structure``
        ("INDIVIDUAL" or "RAW") and ``file`` (the name without its folder).

    Raises
    ------
    SpectrumError
        If the file is missing, empty, damaged or not of RVS spectra, if a spectrum in it cannot be used,
        or if it has no spectrum of ``source_id``.

    Examples
    --------
    >>> from rvsemu.spectra import example_path, read_rvs
    >>> spectrum, = read_rvs(example_path("kepler-93"))
    >>> spectrum.meta["source_id"], spectrum.shape
    (2052747119115620352, (2401,))
    """
    data, label = _load(path)
    records = select(read_records(data, label), source_id, label)
    return [record.spectrum() for record in records if not (skip_empty and record.bad.all())]


def example_path(name: str = "kepler-93") -> Path:
    """Path of an RVS mean spectrum of Gaia DR3 that comes with the package.

    Parameters
    ----------
    name : {"kepler-93", "hd176650"}
        A G dwarf, or a brighter star with a higher signal-to-noise ratio.

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


@data_loader(
    FORMAT,
    identifier=identify_rvs(lambda data: next(read_records(data, "file"))),
    dtype=Spectrum,
    extensions=_EXTENSIONS,
    priority=20,  # above specutils' own loaders (10 at most): some claim any FITS table or any .ecsv
    autogenerate_spectrumlist=False,
    force=True,
)
def load_spectrum(file_obj, source_id: int | None = None) -> Spectrum:
    """Read one RVS spectrum; behind ``Spectrum.read(path, format="Gaia DR3 RVS")``.

    Parameters
    ----------
    file_obj : str, path-like or binary file object
        The file.
    source_id : int, optional
        Which source to read, needed if the file has several.

    Returns
    -------
    `~specutils.Spectrum`
        The spectrum, as `read_rvs` describes it.

    Raises
    ------
    SpectrumError
        As `read_rvs`, and if the file has several spectra of the wanted source.
    """
    data, label = _load(file_obj)
    records = list(select(read_records(data, label), source_id, label))
    if len(records) == 1:
        return records[0].spectrum()
    sources = list(dict.fromkeys(record.source_id for record in records))
    if len(sources) == 1:
        raise SpectrumError(f"{label}: {len(records)} spectra of source {sources[0]}; read_rvs(path) returns them all")
    raise SpectrumError(
        f"{label}: {len(records)} spectra of {len(sources)} sources; "
        f"choose one with source_id={sources[0]}, or get all of them from read_rvs(path)"
    )


@data_loader(
    FORMAT,
    identifier=identify_rvs(lambda data: next(read_records(data, "file"))),
    dtype=SpectrumList,
    extensions=_EXTENSIONS,
    priority=20,
    force=True,
)
def load_spectrum_list(file_obj, source_id: int | None = None) -> SpectrumList:
    """Read all RVS spectra of a file; behind ``SpectrumList.read(path, format="Gaia DR3 RVS")``.

    Parameters
    ----------
    file_obj : str, path-like or binary file object
        The file.
    source_id : int, optional
        Only the spectra of this source.

    Returns
    -------
    `~specutils.SpectrumList`
        The spectra, as `read_rvs` describes them.

    Raises
    ------
    SpectrumError
        As `read_rvs`.
    """
    return SpectrumList(read_rvs(file_obj, source_id))


def _load(source) -> tuple[bytes, str]:
    """Content and name of a path or of a binary file object, which astropy's registry hands over."""
    if hasattr(source, "read"):
        source.seek(0)
        return source.read(), str(getattr(source, "name", "file object"))
    path = Path(source).expanduser()
    try:
        return path.read_bytes(), str(path)
    except FileNotFoundError as error:
        raise SpectrumError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise SpectrumError(f"{path}: cannot be read ({error.strerror}); give a readable file") from error
