"""The formats that can be imported, with what each assumes (``formats.csv``), and those that are refused."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import LibraryFileError
from .arrays import table
from .codes import ferre, ispec, moog, synspec, tlusty, tsfitpy, turbospectrum
from .grids import bosz2017, bosz2024, coelho2014, munari, phoenix_aces, pollux
from .labels import LabelTable
from .reading import Files
from .spectrum import Source

__all__ = ["FORMATS", "REFUSED", "Format", "format_named", "listing"]


@dataclass(frozen=True)
class Format:
    """How spectra of one origin are stored.

    Parameters
    ----------
    name : str
        For ``--format``.
    title : str
    reader : callable
        From `Files` and the table of labels (or None) to one `Source` for each spectrum.
    medium : {'air', 'vacuum'} or None
        Assumed of the wavelengths unless the user or the file says otherwise; None: measured from the Ca II triplet.
    unit : str
        Assumed of the wavelengths unless the user or the file says otherwise.
    flux : {'normalised', 'continuum', 'either', 'absolute'}
        What the files hold: normalised flux, flux with its continuum, one of the two (or absolute flux, if the user
        asks for a pseudo-continuum), or absolute flux alone.
    labels : str
        Where they come from.
    assumes : str
        What else is taken for granted.
    reference : str
        The library's or the code's paper.
    licence : str

    Examples
    --------
    >>> from rvsemu.library.importing.formats import format_named
    >>> bosz = format_named("bosz2024")
    >>> bosz.medium, bosz.unit, bosz.flux
    ('air', 'Angstrom', 'continuum')
    """

    name: str
    title: str
    reader: Callable[[Files, LabelTable | None], Iterator[Source]]
    medium: str | None
    flux: str
    labels: str
    assumes: str
    reference: str
    unit: str
    licence: str


_SOME = (bosz2017, bosz2024, coelho2014, ferre, ispec, moog, munari, phoenix_aces, pollux, synspec, table)
_READERS = {reader.__name__: reader for reader in (*_SOME, tlusty, tsfitpy, turbospectrum)}


def _formats() -> dict[str, Format]:
    """What ``formats.csv`` beside this file lists; an empty medium is one that is not known."""
    with open(Path(__file__).with_name("formats.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["name"]: _format(**row) for row in rows}


def _format(*, reader: str, medium: str, **texts: str) -> Format:
    return Format(reader=_READERS[reader], medium=medium or None, **texts)


FORMATS = _formats()
"""The formats by name."""

_OBSERVED = "it holds observed spectra, with noise, rotation and the instrument in them: training needs synthetic ones"

_NO_CONTINUUM = (
    "its files hold logarithms of flux without a continuum: convert them to columns of wavelength and flux, then "
    "--format table with --pseudo-continuum"
)

REFUSED = {
    "galah": "GALAH's red arm is 6478-6737 A, and none of its arms covers 8400-8800 A",
    "gbs": "the normalised files of the Gaia benchmark stars do not cover 8400-8800 A",
    "melchiors": _OBSERVED,
    "pepsi": _OBSERVED,
    "s4n": _OBSERVED,
    "rave": _OBSERVED,
    "marcs": "MARCS .flx files sample opacity at R = 20000: they are no line spectra; take POLLUX or AMBRE",
    "bt-settl": _NO_CONTINUUM,
    "newera": _NO_CONTINUUM,
    "pysme": "its files need pickles or a layout of their own: save wave, synth and labels as .npz, use --format table",
}
"""Libraries that are known and cannot be imported, with the reason."""


def format_named(name: str) -> Format:
    """The format of that name.

    Raises
    ------
    LibraryFileError
        There is none, or it is one of `REFUSED`.
    """
    if name in REFUSED:
        raise LibraryFileError(f"format {name} cannot be imported: {REFUSED[name]}.")
    if name not in FORMATS:
        raise LibraryFileError(f"format '{name}' is unknown: use one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def listing() -> str:
    """What each format assumes, as text."""
    out = []
    for f in FORMATS.values():
        out.append(f"{f.name}: {f.title}")
        out.append(f"  wavelengths  {f.unit}, {f.medium or 'air or vacuum by --medium or from the Ca II lines'}")
        out.append(f"  flux         {_FLUX[f.flux]}")
        out.append(f"  labels       {f.labels}")
        out.append(f"  assumes      {f.assumes}")
        out.append(f"  reference    {f.reference}")
    out.append("refused:")
    out += [f"  {name}: {reason}" for name, reason in REFUSED.items()]
    return "\n".join(out)


_FLUX = {
    "normalised": "normalised",
    "continuum": "divided by the files' continuum",
    "either": "normalised, or divided by the files' continuum or by a --pseudo-continuum",
    "absolute": "absolute: needs --pseudo-continuum",
}
