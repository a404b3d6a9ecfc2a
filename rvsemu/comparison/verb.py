"""`compare`: fits and a reference in, their differences out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from ..errors import ComparisonError, SettingsError, SpectrumWarning
from .archive import SERVER, fetch_gspspec
from .fits import Fits, read_fits
from .reference import LABELS, Reference, Wanted, read_reference
from .result import Comparison

__all__ = ["GSPSPEC", "compare"]

GSPSPEC = "gspspec"
"""What stands for GSP-Spec of Gaia DR3 in the archive."""
_GSPSPEC_RELEASE = "Gaia DR3"

_FAILED = "the fit failed"
_NAMELESS = "the fit has no source_id"
_FLAGGED = "the fit is flagged"
_ABSENT = "not in the reference"
_CUT = "left out of the reference by its flags or cuts"
_EMPTY = "no label in both"
_REASONS = (_FAILED, _NAMELESS, _FLAGGED, _ABSENT, _CUT, _EMPTY)


def compare(
    fits: str | os.PathLike | Table,
    reference: str | os.PathLike | Table,
    *,
    columns: Mapping[str, str] | None = None,
    cuts: Sequence[str] = (),
    calibrated: bool = True,
    gspspec_flags: int | None = None,
    flagged: str = "drop",
    cache: bool | str | os.PathLike = True,
    progress: bool = True,
    server: str = SERVER,
) -> Comparison:
    """Compare labels of fits with those of another catalogue, star by star.

    Parameters
    ----------
    fits : path or Table
        Folder that `rvsemu.catalog.fit_catalog` has made, or a table of results: ECSV, CSV, FITS, VOTable or Parquet.
    reference : path, Table or 'gspspec'
        A table with Gaia source_ids and labels, in the same formats; well-known names of columns are recognised, those
        of GSP-Spec, APOGEE, GALAH, LAMOST and rvsemu. ``'gspspec'``: GSP-Spec of Gaia DR3, fetched with
        `fetch_gspspec`.
    columns : mapping of str to str, optional
        Names of columns of the reference that are not recognised, e.g. ``{"teff": "MYTEFF", "teff_error": "MYERR"}``:
        of ``source_id``, ``flags``, ``teff``, ``logg``, ``mh``, ``alpha`` and their errors.
    cuts : sequence of str
        Conditions that rows of the reference must meet, e.g. ``["flag_sp == 0", "snr > 50"]``: a column, one of ``==``,
        ``!=``, ``<``, ``<=``, ``>``, ``>=``, and a number or a text. A row without a value meets none.
    calibrated : bool
        Apply the published calibrations of GSP-Spec to its columns (``logg_gspspec``, ...): see `calibrate`.
    gspspec_flags : int, optional
        Highest value that the first 13 characters of ``flags_gspspec`` may have, from 0, the best stars, to 9, all.
        Default: 0 if the reference has such a column.
    flagged : {'drop', 'keep'}
        What to do with fits that have a flag other than ``alpha-assumed``, which nearly all metal-poor stars have. Fits
        that failed are never compared.
    cache, progress, server
        Of `fetch_gspspec`.

    Returns
    -------
    Comparison

    Raises
    ------
    ComparisonError
        A table or column is missing or of the wrong kind, source_ids are rounded, or no star is left in both.
    SettingsError
        An argument is out of range, or a cut is none.

    Warns
    -----
    SpectrumWarning
        A table is the folder of a catalogue whose run has not ended, or fits are of spectra of another release than
        the source_ids of GSP-Spec. It is among the `notes` of the result, too.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from rvsemu.comparison import compare
    >>> ours = Table({"source_id": [2**60 + 1, 2**60 + 2, 2**60 + 3], "teff": [5000.0, 5500.0, 6000.0]})
    >>> theirs = Table({"source_id": [2**60 + 3, 2**60 + 2, 2**60], "TEFF": [6020.0, 5510.0, 4000.0]})
    >>> result = compare(ours, theirs)
    >>> result.matched
    2
    >>> float(result.table["bias"][0])
    -15.0
    """
    if flagged not in ("drop", "keep"):
        raise SettingsError(f"flagged={flagged!r}: use 'drop' or 'keep'.")
    wanted = Wanted(dict(columns or {}), cuts, calibrated, gspspec_flags)
    ours = read_fits(fits)
    notes = [ours.lacks] if ours.lacks else []
    if isinstance(reference, str) and reference == GSPSPEC:
        notes += _other_releases(ours)
        fetched = fetch_gspspec(_asked(ours), cache=cache, progress=progress, server=server)
        theirs = read_reference(fetched, wanted, "GSP-Spec of Gaia DR3")
    else:
        theirs = read_reference(reference, wanted)
    place, reasons = _matched(ours, theirs, flagged == "keep")
    if not np.any(reasons == ""):
        raise ComparisonError(_no_match(ours, theirs, reasons))
    return _result(ours, theirs, place, reasons, notes)


def _other_releases(ours: Fits) -> list[str]:
    """A note, and a warning, if fits are of spectra of another release than GSP-Spec."""
    others = sorted(ours.releases - {_GSPSPEC_RELEASE})
    if not others:
        return []
    text = (
        f"{ours.name} has fits of {', '.join(others)}, and the source_ids of GSP-Spec are those of {_GSPSPEC_RELEASE}: "
        "stars whose source_id has changed are not found, or others have it now"
    )
    warnings.warn(text, SpectrumWarning, stacklevel=3)
    return [text]


def _asked(ours: Fits) -> np.ndarray:
    return ours.source_id[(ours.source_id > 0) & ~ours.failed]


def _matched(ours: Fits, theirs: Reference, keep: bool) -> tuple[np.ndarray, np.ndarray]:
    """The row of the reference for each fit, and why it has none; the reason is empty if it has one."""
    place = _places(theirs.source_id, ours.source_id)
    seen = _places(theirs.seen, ours.source_id) >= 0
    common = np.zeros(len(place), dtype=bool)
    for label in _common(ours, theirs):
        values = theirs.labels[label]
        known = np.isfinite(values[place]) & (place >= 0) if len(values) else np.zeros(len(place), dtype=bool)
        common |= np.isfinite(ours.labels[label]) & known
    flagged = ours.flagged & (not keep)
    tests = (ours.failed, ours.source_id <= 0, flagged, ~seen, place < 0, ~common)
    return place, np.select(tests, _REASONS, default="")


def _places(source_ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of the `wanted` is among sorted source_ids; -1 if it is not."""
    place = np.searchsorted(source_ids, wanted)
    inside = place < len(source_ids)
    found = np.zeros(len(wanted), dtype=bool)
    found[inside] = source_ids[place[inside]] == wanted[inside]
    return np.where(found & (wanted > 0), place, -1)


def _common(ours: Fits, theirs: Reference) -> list[str]:
    return [label for label in LABELS if label in ours.labels and label in theirs.labels]


def _no_match(ours: Fits, theirs: Reference, reasons: np.ndarray) -> str:
    """Why there is nothing to compare, with examples."""
    for name, rows in ((ours.name, len(reasons)), (theirs.name, theirs.steps[0][1])):
        if not rows:
            return f"there are no rows in {name}, and so nothing to compare."
    if not np.any(np.isin(reasons, [_FAILED, _NAMELESS, _FLAGGED, _CUT, _EMPTY])):
        return (
            f"none of the source_ids of {ours.name} ({_examples(ours.source_id)}) is among the {len(theirs.seen)} of "
            f"{theirs.name} ({_examples(theirs.seen)}): are they of the same release of Gaia? "
            "Name another column of source_ids, --column source_id=NAME."
        )
    counts = Counter(reasons.tolist())
    listed = "; ".join(f"{counts[reason]}: {reason}" for reason in _REASONS if counts[reason])
    steps = ", ".join(f"{text} {count}" for text, count in theirs.steps)
    return (
        f"no star is left to compare of {len(reasons)} fits ({listed}; source_ids {_examples(ours.source_id)}) and "
        f"{theirs.name} ({steps}; source_ids {_examples(theirs.seen)}): loosen cuts (--cut, --gspspec-flags), or keep "
        "flagged fits (--flagged keep)."
    )


def _examples(source_ids: np.ndarray) -> str:
    known = source_ids[source_ids > 0][:3]
    return ", ".join(map(str, known.tolist())) + (", ..." if len(source_ids) > 3 else "") if len(known) else "none"


def _result(ours: Fits, theirs: Reference, place: np.ndarray, reasons: np.ndarray, notes: Sequence[str]) -> Comparison:
    rows = np.flatnonzero(reasons == "")
    lost = np.flatnonzero(reasons != "")
    rejects = QTable({"source_id": ours.source_id[lost], "reason": reasons[lost].astype("U64")})
    counts = Counter(reasons[lost].tolist())
    return Comparison(
        fits=ours.name,
        reference=theirs.name,
        pairs=_pairs(ours, theirs.take(place[rows]), rows),
        rejects=rejects,
        lost={reason: counts[reason] for reason in _REASONS if counts[reason]},
        flagged=int(np.sum(ours.flagged & ~ours.failed)),
        steps=tuple(theirs.steps),
        notes=(*_notes(ours, theirs, rows), *notes),
    )


def _pairs(ours: Fits, star: Reference, rows: np.ndarray) -> QTable:
    """Labels of some of the fits, and of their stars in the reference, row by row."""
    pairs = QTable({"source_id": ours.source_id[rows]})
    for label, values in ours.labels.items():
        columns = {"": values[rows]}
        if label in ours.errors:
            columns["_error"] = ours.errors[label][rows]
        if label in star.labels:
            columns["_reference"] = star.labels[label]
        if label in star.errors:
            columns["_reference_error"] = star.errors[label]
        for end, column in columns.items():
            pairs[f"{label}{end}"] = u.Quantity(column, LABELS[label])
    if ours.signal_to_noise is not None:
        pairs["signal_to_noise"] = ours.signal_to_noise[rows]
    pairs["flags"] = [ours.flags[row] or "none" for row in rows]
    return pairs


def _notes(ours: Fits, theirs: Reference, rows: np.ndarray) -> tuple[str, ...]:
    common = _common(ours, theirs)
    notes = [", ".join(f"{label} with {theirs.columns[label]}" for label in common), *theirs.notes]
    if bare := [label for label in common if label not in theirs.errors]:
        notes.append(f"no errors of the reference for {', '.join(bare)}: no normalised differences")
    held = {label: int(np.sum(ours.errors[label][rows] == 0)) for label in common if label in ours.errors}
    if said := [f"{label} ({number} of {len(rows)} fits)" for label, number in held.items() if number]:
        notes.append(f"held, not fitted, and so not in normalised differences: {', '.join(said)}")
    return tuple(notes)
