"""Spectra of published libraries of observed stars that cover the calcium triplet, as the RVS would have them.

Formats are those of their documentation; what it does not say, the user must:

=========  ====================================================================  ==========  =========  ===========
Library    File                                                                  Resolution  Medium     Frame
=========  ====================================================================  ==========  =========  ===========
eso        One-row table of the ESO Science Data Products Standard: Gaia-ESO     in header   in header  in header
           HR21, FEROS, UVES, X-shooter
melchiors  Table with columns wave and flux_norm, without errors,                85,000      air        not said
           ``*_melchiors_spectrum.fits.gz`` (Royer et al., :arxiv:`2311.02705`)
pepsi      Table of wavelength, normalised flux, variance (pepsi.aip.de,         220,000     not said   rest
           Strassmeier et al. 2018, A&A 612, A45)
s4n        3 x n image of wavelength, normalised flux, error, ``HIP*.fits``      50,000      not said   not said
           (Allende Prieto et al. 2004, A&A 420, 183)
=========  ====================================================================  ==========  =========  ===========
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from ..errors import SpectrumError
from .degrade import as_rvs

__all__ = ["LIBRARIES", "read_library"]

_FRAMES = {"BARYCENT": "barycentric", "HELIOCEN": "barycentric"}


@dataclass(frozen=True)
class _Content:
    """Resolution, arrays (n,) of a file (wavelength in Angstrom, flux, error, bad pixels), and what is known of it."""

    resolution: float
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray | None
    bad: np.ndarray | bool = False
    medium: str | None = None
    frame: str | None = None


def _eso(hdus: fits.HDUList) -> _Content:
    """Columns by their utypes: of several fluxes the one that is not ESO's own second; a UCD that says air."""
    table, header = hdus[1].data, hdus[1].header
    names: dict[str, tuple[str, int]] = {}
    for number, column in enumerate(hdus[1].columns, start=1):
        utype = str(header.get(f"TUTYP{number}", "")).lower()
        if not utype.startswith("eso:"):
            names.setdefault(utype.partition("data.")[2], (column.name, number))
    wave, number = names["spectralaxis.value"]
    flux, error = (names[f"fluxaxis.{name}"][0] for name in ("value", "accuracy.staterror"))
    bad = table["QUAL"][0] != 0 if "QUAL" in table.names else False
    unit = u.Unit(str(header[f"TUNIT{number}"]).lower())
    medium = "air" if "obs.atmos" in str(header.get(f"TUCD{number}", "")).lower() else "vacuum"
    first = hdus[0].header
    frame = _FRAMES.get(str(first.get("SPECSYS", header.get("SPECSYS", ""))).strip(), "unknown")
    axis = (np.asarray(table[wave][0], dtype=float) * unit).to_value(u.AA)
    return _Content(float(first["SPEC_RES"]), axis, table[flux][0], table[error][0], bad, medium, frame)


def _melchiors(hdus: fits.HDUList) -> _Content:
    table = hdus[1].data
    return _Content(85_000.0, table["wave"], table["flux_norm"], None, medium="air")


def _pepsi(hdus: fits.HDUList) -> _Content:
    """The first three columns. The fourth, a mask, is not read: the page does not say what its values mean."""
    wavelength, flux, variance = (hdus[1].data.field(i) for i in range(3))
    return _Content(220_000.0, wavelength, flux, np.sqrt(np.maximum(variance, 0.0)), frame="rest")


def _s4n(hdus: fits.HDUList) -> _Content:
    data = hdus[0].data
    rows = data if len(data) == 3 else data.T
    wavelength, flux, error = rows
    return _Content(50_000.0, wavelength, flux, error)


_KNOWN: dict[str, Callable[[fits.HDUList], _Content]] = {
    "eso": _eso,
    "melchiors": _melchiors,
    "pepsi": _pepsi,
    "s4n": _s4n,
}
LIBRARIES = tuple(_KNOWN)
"""Names of libraries that `read_library` knows."""


def read_library(
    path: str | os.PathLike,
    library: str,
    *,
    medium: str | None = None,
    frame: str | None = None,
    sigma: float | u.Quantity | None = None,
    source_id: int | None = None,
    **options: Any,
) -> Spectrum:
    """A file of a published library of observed stars as a spectrum like those of the RVS.

    Parameters
    ----------
    path : path
    library : {'eso', 'melchiors', 'pepsi', 's4n'}
        See `rvsemu.observing.libraries` for formats, resolutions and sources.
    medium : {'air', 'vacuum'}, optional
        Of the wavelengths, where neither file nor documentation says it. The calcium lines tell: in the star's rest
        frame they are at 8498.02, 8542.09 and 8662.14 Angstrom in air, 2.3 to 2.4 more in vacuum.
    frame : {'rest', 'barycentric'}, optional
        Of the wavelengths, likewise.
    sigma : float, array or Quantity, optional
        Standard deviation of the flux in each pixel, where the file has none.
    source_id : int, optional
        Of the star in Gaia, for tables of labels.
    **options
        ``resolution`` and ``wavelength`` of the result, for `rvsemu.as_rvs`.

    Returns
    -------
    Spectrum
        In vacuum, with ``file``, ``library``, ``frame`` and ``pixel_correlation`` in ``meta``.

    Raises
    ------
    SpectrumError
        The library is unknown, the file is not of its format, medium, frame or errors are not known or contradict the
        file, or
        `rvsemu.as_rvs` cannot use the spectrum: that of RAVE, for instance, has a lower resolution than the RVS.

    Examples
    --------
    >>> from rvsemu.observing import read_library
    >>> star = read_library("HIP171.fits", "s4n", medium="air", frame="barycentric")  # doctest: +SKIP
    >>> from rvsemu.observing import LIBRARIES
    >>> LIBRARIES
    ('eso', 'melchiors', 'pepsi', 's4n')
    """
    if library not in _KNOWN:
        raise SpectrumError(f"library={library!r}: use {', '.join(map(repr, LIBRARIES))}, or rvsemu.as_rvs.")
    content = _opened(path, library)
    meta: dict[str, Any] = {
        "file": str(path),
        "library": library,
        "medium": _said("medium", medium, content.medium, ("air", "vacuum"), path),
        "frame": _said("frame", frame, content.frame, ("rest", "barycentric"), path),
    }
    if source_id is not None:
        meta["source_id"] = source_id
    flux, error = np.asarray(content.flux, dtype=float), _error(content, sigma, path)
    bad = np.asarray(content.bad) | ~(np.isfinite(flux) & (error > 0) & np.isfinite(error))
    spectrum = Spectrum(
        spectral_axis=np.asarray(content.wavelength, dtype=float) * u.AA,
        flux=np.where(bad, np.nan, flux) * u.one,
        uncertainty=StdDevUncertainty(np.where(bad, np.nan, error)),
        mask=bad,
        meta=meta,
    )
    return as_rvs(spectrum, content.resolution, **options)


def _opened(path: str | os.PathLike, library: str) -> _Content:
    try:
        with fits.open(Path(path), memmap=False) as hdus:
            return _KNOWN[library](hdus)
    except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SpectrumError(
            f"{path}: not a file of the library {library!r} as it is documented ({type(error).__name__}: {error}); "
            "read it otherwise, and give rvsemu.as_rvs the spectrum."
        ) from None


def _error(content: _Content, sigma: Any, path: Any) -> np.ndarray:
    """Standard deviation (n,) of the flux, of the file or as given."""
    if content.error is not None:
        if sigma is not None:
            raise SpectrumError(f"{path}: the file has errors of its own: leave out sigma.")
        return np.asarray(content.error, dtype=float)
    if sigma is None:
        raise SpectrumError(f"{path}: the file has no errors: give sigma=, that of a pixel.")
    given = u.Quantity(sigma, u.one).value
    try:
        return np.broadcast_to(given, np.shape(content.flux))
    except ValueError:
        raise SpectrumError(
            f"sigma has the shape {np.shape(given)}: give one number, or {np.size(content.flux)}."
        ) from None


def _said(what: str, given: str | None, stated: str | None, allowed: tuple[str, ...], path: Any) -> str:
    """What file or documentation state, or the user."""
    if given is not None and given not in allowed:
        raise SpectrumError(f"{what}={given!r}: use {' or '.join(map(repr, allowed))}.")
    if given is None and stated is None:
        raise SpectrumError(f"{path}: nothing says the {what} of its wavelengths: give {what}={' or '.join(allowed)}.")
    if stated in allowed and given not in (None, stated):
        raise SpectrumError(f"{path}: {what}={given!r}, but the library has {stated!r}.")
    return given or str(stated)
