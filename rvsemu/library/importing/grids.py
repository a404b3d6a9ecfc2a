"""Readers of published grids: POLLUX and AMBRE, BOSZ, Munari, PHOENIX-ACES, Coelho."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
from astropy.io import fits

from .codes import lazily
from .labels import LabelTable, label_name
from .naming import BOSZ2017, BOSZ2024, COELHO, MARCS, MUNARI, PHOENIX, POLLUX, Grammar
from .reading import Files, columns, fits_open, fits_table, lines_of, native
from .spectrum import RawSpectrum, Source, Unusable

__all__ = ["bosz2017", "bosz2024", "coelho2014", "munari", "phoenix_aces", "pollux"]

_PHOENIX_WAVE = "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits"
_PHOENIX_KEYWORDS = {
    "PHXTEFF": "teff",
    "PHXLOGG": "logg",
    "PHXM_H": "mh",
    "PHXALPHA": "alpha",
    "PHXXI_L": "vmic",
}


def _header_labels(header: fits.Header, keywords: Mapping[str, str] | None = None) -> dict[str, float]:
    """Labels among the keywords of a FITS header."""
    out = {}
    for keyword in header:
        name = keywords.get(keyword) if keywords else label_name(keyword)
        if name and isinstance(header[keyword], int | float):
            out[name] = float(header[keyword])
    return out


def pollux(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """``..._VIS.spec`` (wavelength, flux, normalised flux) or FITS with these columns."""
    for path in files.matching(r"\.(spec|fits)(\.gz)?$", any_name=True):
        grammar = POLLUX if POLLUX.matches(path.name) else MARCS
        yield lazily(files, path, grammar, partial(_pollux, path))


def _pollux(path: Path) -> RawSpectrum:
    if not path.name.removesuffix(".gz").endswith(".fits"):
        wavelength, _, flux = columns(lines_of(path), 3)[:3]
        return RawSpectrum(wavelength, flux)
    with fits_open(path) as hdus:
        values, units = fits_table(hdus)
        labels = _header_labels(hdus[0].header)
    missing = {"wavelength", "normalized flux"} - set(values)
    if missing:
        raise Unusable(f"its table has no column '{min(missing)}'")
    return RawSpectrum(values["wavelength"], values["normalized flux"], labels=labels, unit=units.get("wavelength"))


def bosz2024(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """Flux and continuum as text; the wavelengths are in ``bosz2024_wave_r<R>.txt``."""
    waves = cache(lambda path: columns(lines_of(path))[0])
    for path in files.matching(BOSZ2024.pattern):
        yield lazily(files, path, BOSZ2024, partial(_bosz2024, files, path, waves))


def _bosz2024(files: Files, path: Path, waves: Callable[[Path], np.ndarray]) -> RawSpectrum:
    resolution = _named(path, BOSZ2024)["resolution"]
    wavelength = waves(files.companion(f"bosz2024_wave_r{resolution:.0f}.txt", path))
    flux, continuum = columns(lines_of(path), 2)[:2]
    return RawSpectrum(wavelength, flux, continuum, resolution=resolution)


def bosz2017(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """FITS tables of wavelength, flux and continuum."""
    for path in files.matching(BOSZ2017.pattern):
        yield lazily(files, path, BOSZ2017, partial(_bosz2017, path))


def _bosz2017(path: Path) -> RawSpectrum:
    resolution = _named(path, BOSZ2017)["resolution"]
    with fits_open(path) as hdus:
        values, units = fits_table(hdus)
    names = ("wavelength", "specificintensity", "continuum")
    missing = [n for n in names if n not in values]
    if missing:
        raise Unusable(f"its table has no column '{missing[0]}'")
    wavelength, flux, continuum = (values[n] for n in names)
    return RawSpectrum(wavelength, flux, continuum, unit=units.get("wavelength"), resolution=resolution)


def munari(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """Normalised fluxes as text; the wavelengths are in ``LAMBDA_R20.DAT`` and its like."""
    waves = cache(lambda path: columns(lines_of(path))[0])
    for path in files.matching(r"[FN]\.ASC(\.gz)?$"):
        yield lazily(files, path, MUNARI, partial(_munari, files, path, waves))


def _munari(files: Files, path: Path, waves: Callable[[Path], np.ndarray]) -> RawSpectrum:
    name = _named(path, MUNARI)
    if name["fluxed"]:
        raise Unusable("it is absolute flux without a continuum: take the normalised one (...N.ASC)")
    sampling = MUNARI.text(path.name, "sampling")
    if not np.isfinite(name["sampling"]):
        raise Unusable(f"sampling '{sampling}' has no Gaussian LSF of known resolution: take R20")
    wavelength = waves(files.companion(f"LAMBDA_{sampling}.DAT", path))
    return RawSpectrum(wavelength, columns(lines_of(path))[0], resolution=name["sampling"])


def phoenix_aces(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """HiRes FITS files; the wavelengths are in ``WAVE_PHOENIX-ACES-AGSS-COND-2011.fits``."""
    waves = cache(_first_image)
    for path in files.matching(r"^lte.*PHOENIX-ACES.*\.fits(\.gz)?$"):
        yield lazily(files, path, PHOENIX, partial(_phoenix, files, path, waves))


def _phoenix(files: Files, path: Path, waves: Callable[[Path], np.ndarray]) -> RawSpectrum:
    flux, header = _image(path)
    wavelength = waves(files.companion(_PHOENIX_WAVE, path))
    return RawSpectrum(wavelength, flux, labels=_header_labels(header, _PHOENIX_KEYWORDS))


def coelho2014(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """FITS images with a linear axis of wavelength."""
    for path in files.matching(r"_hr\w*\.fits(\.gz)?$"):
        yield lazily(files, path, COELHO, partial(image_spectrum, path))


def image_spectrum(path: Path) -> RawSpectrum:
    """A one-dimensional FITS image whose header has CRVAL1 and CDELT1 (or CD1_1)."""
    flux, header = _image(path)
    step = header.get("CDELT1", header.get("CD1_1"))
    if step is None or "CRVAL1" not in header:
        raise Unusable("its header has no CRVAL1 with CDELT1 or CD1_1")
    pixel = np.arange(flux.size) + 1.0 - header.get("CRPIX1", 1.0)
    wavelength = header["CRVAL1"] + step * pixel
    logarithmic = header.get("DC-FLAG", 0) == 1
    wavelength = 10.0**wavelength if logarithmic else wavelength
    return RawSpectrum(wavelength, flux, labels=_header_labels(header), unit=header.get("CUNIT1"))


def _image(path: Path) -> tuple[np.ndarray, fits.Header]:
    with fits_open(path) as hdus:
        if hdus[0].data is None:
            raise Unusable(f"{path.name} has no image in its first HDU")
        return native(hdus[0].data).squeeze(), hdus[0].header


def _first_image(path: Path) -> np.ndarray:
    return _image(path)[0]


def _named(path: Path, grammar: Grammar) -> dict[str, float]:
    labels = grammar.labels(path.name)
    if not labels:
        raise Unusable(f"its name is not like {grammar.example}")
    return labels
