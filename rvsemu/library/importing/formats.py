"""The formats that can be imported, what each assumes, and those that are refused: data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
        From `Files` and the table of labels (or None) to one `Source` a spectrum.
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
    """

    name: str
    title: str
    reader: Callable[[Files, LabelTable | None], Iterator[Source]]
    medium: str | None
    flux: str
    labels: str
    assumes: str
    reference: str
    unit: str = "Angstrom"
    licence: str = "of whoever made the spectra"


_OWN = "the file's name in the MARCS style, or --labels"

FORMATS = {
    f.name: f
    for f in (
        Format(
            "synspec",
            "SYNSPEC fort.7 and fort.17",
            synspec,
            "air",
            "continuum",
            _OWN,
            "NAME.7 with NAME.17, or fort.7 with fort.17 in a folder a star; the run did not switch air off",
            "Hubeny & Lanz 2011, ascl:1109.022",
        ),
        Format(
            "turbospectrum",
            "Turbospectrum .spec",
            turbospectrum,
            "air",
            "normalised",
            _OWN,
            "second column normalised; a line list in air",
            "Plez 2012, ascl:1205.004",
        ),
        Format(
            "tsfitpy",
            "TSFitPy INDEX.spec and a table",
            tsfitpy,
            "air",
            "normalised",
            "--labels (column index, specname or file)",
            "as turbospectrum",
            "Gerber et al. 2023, A&A 669, A43",
        ),
        Format(
            "moog",
            "MOOG smoothed_out and summary_out",
            moog,
            None,
            "normalised",
            _OWN,
            "one synthesis a file; give --resolution if MOOG smoothed it",
            "Sneden 1973, PhD thesis",
        ),
        Format(
            "ispec",
            "iSpec text (waveobs flux err)",
            ispec,
            None,
            "normalised",
            _OWN,
            "neither rotation nor macroturbulence; give --resolution if iSpec smoothed it",
            "Blanco-Cuaresma et al. 2014, A&A 569, A111",
            unit="nm",
        ),
        Format(
            "ferre",
            "FERRE grids of text (.dat)",
            ferre,
            None,
            "either",
            "the header's LABEL, LLIMITS and STEPS",
            "fluxes are normalised; the header's RESOLUTION is that of a Gaussian LSF, VACUUM 1 or 0 its medium",
            "Allende Prieto et al. 2006, ApJ 636, 804",
        ),
        Format(
            "pollux",
            "POLLUX .spec and FITS",
            pollux,
            None,
            "normalised",
            "the file's name",
            "the column of normalised flux",
            "Palacios et al. 2010, A&A 516, A13",
            licence="CC BY 4.0",
        ),
        Format(
            "ambre",
            "AMBRE .spec and FITS",
            pollux,
            None,
            "normalised",
            "the file's name (POLLUX or MARCS style)",
            "the column of normalised flux",
            "de Laverny et al. 2012, A&A 544, A126",
            licence="CC BY 4.0",
        ),
        Format(
            "bosz2024",
            "BOSZ 2024 ..._resam.txt.gz",
            bosz2024,
            "air",
            "continuum",
            "the file's name",
            "bosz2024_wave_r<R>.txt beside or above them; resolution from the name",
            "Meszaros et al. 2024, A&A 688, A197",
            licence="CC BY 4.0",
        ),
        Format(
            "bosz2017",
            "BOSZ 2017 FITS",
            bosz2017,
            "vacuum",
            "continuum",
            "the file's name (m03 is -0.25)",
            "resolution from the name",
            "Bohlin et al. 2017, AJ 153, 234",
        ),
        Format(
            "tlusty",
            "TLUSTY OSTAR2002 and BSTAR2006 .vis.7 and .vis.17",
            tlusty,
            "air",
            "continuum",
            "the file's name",
            "[M/H] from the letter of the composition",
            "Lanz & Hubeny 2003, ApJS 146, 417; 2007, ApJS 169, 83",
        ),
        Format(
            "munari",
            "Munari et al. ...N.ASC",
            munari,
            "air",
            "normalised",
            "the file's name",
            "LAMBDA_R20.DAT beside or above them; V000 (no rotation) and N (normalised) files; R20 is R = 20000",
            "Munari et al. 2005, A&A 442, 1127",
        ),
        Format(
            "phoenix-aces",
            "PHOENIX-ACES HiRes FITS",
            phoenix_aces,
            "vacuum",
            "absolute",
            "the header's PHXTEFF, PHXLOGG, PHXM_H, PHXALPHA, PHXXI_L",
            "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits beside or above them",
            "Husser et al. 2013, A&A 553, A6",
        ),
        Format(
            "coelho2014",
            "Coelho 2014 ..._hrplc.fits",
            coelho2014,
            "air",
            "absolute",
            "header (TEFF, LOG_G, FEH, AFE) and the file's name; vmic by --set or --labels",
            "linear axis of CRVAL1 and CDELT1",
            "Coelho 2014, MNRAS 440, 1027",
        ),
        Format(
            "table",
            "any files of wavelength and flux with a table of labels, or arrays in one FITS, .npz or HDF5 file",
            table,
            None,
            "either",
            "--labels, or teff, logg, mh, vmic in the file of arrays",
            "columns wavelength (or wave, lambda ...), flux, perhaps continuum; without names the first two; "
            "a unit that the file states counts",
            "none",
        ),
    )
}

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
