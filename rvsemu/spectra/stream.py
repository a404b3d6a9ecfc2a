"""Any number of RVS spectra as arrays, a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from ..errors import SpectrumError, check_whole
from .bulk import Entry, entries
from .records import PlainSpectrum, is_logarithmic
from .unpacking import Skipped, why_missing

__all__ = ["RVSBlock", "Rejected", "check_normalised", "files_in", "iter_rvs", "usable"]

_ENDINGS = (".csv", ".gz", ".ecsv", ".xml", ".vot", ".fits", ".zip", ".parquet")
_MOST = 100_000
_SAME = ("medium", "frame", "release")
_UNKNOWN = "unknown"
_NOT_NORMALISED = 4  # normalisation_method of Gaia DR4: the median of the fluxes is negative


@dataclass(frozen=True)
class Rejected:
    """A spectrum, or a file, that cannot be used.

    Parameters
    ----------
    file : str
    reason : str
    source_id, transit_id : int or None
        Where they are known.
    expected : bool
        Whether it is one of those that every set of epoch spectra has: a transit without a good pixel, or one that
        the Gaia archive did not normalise.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> rejects = []
    >>> with TemporaryDirectory() as folder:
    ...     size = Path(folder, "notes.csv").write_text("no, spectrum")
    ...     blocks = list(rvsemu.iter_rvs(folder, rejects=rejects))
    >>> print(len(blocks), rejects[0].reason)
    0 not an RVS spectrum: no column flux ...
    """

    file: str
    reason: str
    source_id: int | None = None
    transit_id: int | None = None
    expected: bool = False


@dataclass(frozen=True, eq=False)
class RVSBlock:
    """RVS spectra with the same wavelengths as arrays.

    Parameters
    ----------
    wavelength : ndarray, shape (pixels,)
        nm in vacuum.
    flux, error : ndarray, shape (n, pixels)
        Normalised flux, NaN at bad pixels, and its standard deviation.
    medium, frame, release : str
        As in the ``meta`` of `rvsemu.read_rvs`; ``"unknown"`` where the file does not say it.
    columns : dict of MaskedArray, shape (n,)
        The scalars of the spectra: ``file``, and those of source_id, transit_id, obs_time_rv, ra, dec,
        combined_ccds, ... that the files have; masked where one has no value.

    Examples
    --------
    >>> import rvsemu
    >>> (block,) = rvsemu.iter_rvs(rvsemu.example_path("kepler-93"))
    >>> len(block), block.flux.shape, block.frame
    (1, (1, 2401), 'rest')
    >>> rvsemu.fit(block.spectrum(0)).teff.round(-3)
    <Quantity 6000. K>
    """

    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    medium: str
    frame: str
    release: str
    columns: dict[str, np.ma.MaskedArray]

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def source_id(self) -> np.ma.MaskedArray:
        """The sources, int64, shape (n,); all masked where the file does not say them."""
        return self.columns.get("source_id", np.ma.masked_all(len(self), np.int64))

    def spectrum(self, row: int) -> Spectrum:
        """One of them as a `specutils.Spectrum`."""
        there = {name: values for name, values in self.columns.items() if not np.ma.getmaskarray(values)[row]}
        scalars = {name: _item(values.data[row]) for name, values in there.items()}
        stated = {name: value for name in _SAME if (value := getattr(self, name)) != _UNKNOWN}
        return Spectrum(
            spectral_axis=self.wavelength * u.nm,
            flux=self.flux[row] * u.dimensionless_unscaled,
            uncertainty=StdDevUncertainty(self.error[row]),
            mask=np.isnan(self.flux[row]),
            meta=scalars | stated,
        )


def iter_rvs(
    paths: str | os.PathLike | Iterable[str | os.PathLike], *, block: int = 256, rejects: list[Rejected] | None = None
) -> Iterator[RVSBlock]:
    """Read any number of RVS spectra, a block at a time.

    Bulk files of the Gaia archive (``RvsMeanSpectrum_*.csv.gz``) and Parquet are read row by row: memory is that of one
    block, however large they are. Of other files one is in memory at a time.

    Parameters
    ----------
    paths : path, or iterable of paths
        Files that `rvsemu.read_rvs` reads, Parquet with the columns of the archive's tables, and folders of these.
    block : int
        Number of spectra in a block, 1 to 100,000. The last one of a file, or one before a spectrum with other
        wavelengths, may have fewer.
    rejects : list of Rejected, optional
        Receives what cannot be used. Without it there is one `~rvsemu.errors.SpectrumWarning` for each file.

    Yields
    ------
    RVSBlock

    Raises
    ------
    SpectrumError
        A path does not exist, or `block` is out of range.

    Examples
    --------
    >>> import rvsemu
    >>> for block in rvsemu.iter_rvs(rvsemu.example_path("kepler-93")):
    ...     print(block.source_id, block.flux.shape)
    [2052747119115620352] (1, 2401)
    """
    size = check_whole(SpectrumError, "block", block, 1, _MOST)
    return _blocks(files_in(paths), size, rejects)


def files_in(
    paths: str | os.PathLike | Iterable[str | os.PathLike], without: Iterable[str | os.PathLike] = ()
) -> list[str]:
    """Files that are meant by `paths`: themselves, and those in folders with the ending of a format that is read.

    Files and folders `without` which folders are meant, as they are an output there, are passed over.

    Raises
    ------
    SpectrumError
        Something is no path, a path does not exist, or a folder has no such file.
    """
    given = paths if isinstance(paths, Iterable) and not isinstance(paths, str | os.PathLike) else [paths]
    out: list[str] = []
    passed = {Path(one).absolute() for one in without}
    for one in given:
        if not isinstance(one, str | os.PathLike):
            raise SpectrumError(
                f"{type(one).__name__} is not the name of a file or folder: give paths; spectra that are in memory are "
                "fitted by rvsemu.fit_many, or written with rvsemu.spectra.write_bulk first."
            )
        path = Path(one)
        if not path.exists():
            raise SpectrumError(f"{one}: {why_missing(one)}")
        found = sorted(_inputs(path, passed)) if path.is_dir() else [path]
        if not found:
            raise SpectrumError(f"{path}: no file in this folder has one of the endings {', '.join(_ENDINGS)}")
        out += map(str, found)
    return out


def _inputs(folder: Path, passed: set[Path]) -> Iterator[Path]:
    """Files in a folder that may be spectra, but for those that are `passed` over in it."""
    inside = {one for one in passed if folder.absolute() in one.parents}
    for path in folder.rglob("*"):
        if _is_input(path, folder) and not (inside and inside & {path.absolute(), *path.absolute().parents}):
            yield path


def _is_input(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    return path.suffix.lower() in _ENDINGS and not hidden and path.is_file()


def check_normalised(meta: Mapping[str, Any]) -> None:
    """Refuse a spectrum that the Gaia archive could not normalise, by what `meta` says of it.

    Raises
    ------
    SpectrumError
        It is one.
    """
    if meta.get("normalisation_method") == _NOT_NORMALISED:
        raise SpectrumError("the Gaia archive could not normalise it (method 4): its median flux is negative")


def usable(entry: Entry, file: str) -> PlainSpectrum | Spectrum | Rejected:
    """What an entry of a file is: a spectrum that can be fitted, or why there is none."""
    scalars: dict[str, Any] = {}
    try:
        record = entry()
        scalars = record.scalars
        check_normalised(scalars)
        return record.plain()
    except SpectrumError as error:
        about = {**error.about, **scalars}
        transit = about.get("transit_id")
        reason = str(error).removeprefix(f"{file}: ")
        return Rejected(file, reason, about.get("source_id"), transit, expected=bool(scalars) and transit is not None)


def _blocks(files: list[str], size: int, rejects: list[Rejected] | None) -> Iterator[RVSBlock]:
    for file in files:
        skipped, some = Skipped(), list[PlainSpectrum]()
        for entry in entries(file):
            found = _with_errors(usable(entry, file), file)
            if isinstance(found, Rejected):
                skipped.append(found.reason)
                if rejects is not None:
                    rejects.append(found)
                continue
            if some and (len(some) == size or not _alike(found, some[0])):
                yield _block(some)
                some = []
            some.append(found)
        if some:
            yield _block(some)
        if rejects is None:
            skipped.warn(file)


def _with_errors(found: PlainSpectrum | Spectrum | Rejected, file: str) -> PlainSpectrum | Spectrum | Rejected:
    """The same, unless it is a spectrum that blocks have no place for."""
    if isinstance(found, Rejected) or not (reason := _unlike_a_row(found)):
        return found
    return Rejected(file, reason, found.meta.get("source_id"), found.meta.get("transit_id"))


def _unlike_a_row(spectrum: PlainSpectrum | Spectrum) -> str:
    """Why a spectrum is not one of a block; nothing if it is."""
    if not isinstance(spectrum.uncertainty, StdDevUncertainty):
        kind = "no uncertainty" if spectrum.uncertainty is None else f"a {type(spectrum.uncertainty).__name__}"
        return f"the spectrum has {kind}: blocks have standard deviations"
    if is_logarithmic(spectrum.flux.unit):
        return f"the flux is in '{spectrum.flux.unit}', a logarithm: blocks have linear fluxes"
    axis = u.Quantity(spectrum.spectral_axis)
    return "" if axis.unit.is_equivalent(u.nm) else f"the spectral axis is in '{axis.unit}': blocks have wavelengths"


def _alike(one: PlainSpectrum, other: PlainSpectrum) -> bool:
    same = all(one.meta.get(name) == other.meta.get(name) for name in _SAME)
    return same and np.array_equal(one.spectral_axis, other.spectral_axis)


def _block(spectra: list[PlainSpectrum]) -> RVSBlock:
    flux = np.array([s.flux.value for s in spectra])
    error = np.array([s.uncertainty.array for s in spectra])
    bad = np.array([np.broadcast_to(False if s.mask is None else s.mask, s.flux.shape) for s in spectra])
    names = dict.fromkeys(name for s in spectra for name in s.meta if name not in _SAME)
    return RVSBlock(
        wavelength=u.Quantity(spectra[0].spectral_axis).to_value(u.nm),
        flux=np.where(bad, np.nan, flux),
        error=error,
        columns={name: _column([s.meta.get(name) for s in spectra]) for name in names},
        **{name: str(spectra[0].meta.get(name, _UNKNOWN)) for name in _SAME},
    )


def _column(values: list) -> np.ma.MaskedArray:
    """Values of one kind, masked where there are none."""
    missing = [value is None for value in values]
    kinds = {type(value) for value in values if value is not None}
    kind = kinds.pop() if len(kinds) == 1 else float if kinds == {int, float} else str
    if kind in (bool, int, float, str):
        return np.ma.MaskedArray([kind() if value is None else value for value in values], mask=missing)
    data = np.empty(len(values), dtype=object)  # lists, Quantities, ... as they are
    for row, value in enumerate(values):
        data[row] = value
    return np.ma.MaskedArray(data, mask=missing)


def _item(value: Any) -> Any:
    """A Python object for a number of NumPy, and anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
