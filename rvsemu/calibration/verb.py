"""`calibrate`: an emulator and observed stars with known labels in, a corrected emulator out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from specutils import Spectrum

from ..emulator import resolve
from ..errors import CalibrationError, SettingsError, check_whole
from ..fitting import FitResult, fit_many
from ..fitting.settings import takes_settings
from ..spectra import read_rvs
from .labels import LabelTable, Wanted, matched
from .result import Calibration
from .rounds import Work, calibrated, with_info
from .scratch import from_nothing
from .stars import Star, free_alpha

__all__ = ["LEAST_STARS", "against", "calibrate"]

LEAST_STARS = 4
"""Fewer stars than this are refused: what is left of one says nothing about others."""


@takes_settings("fixed", "priors", "jitter", "robust", "scale_errors", "errors", "extrapolate")
def calibrate(
    spectra: Iterable[Spectrum | str | os.PathLike],
    labels: str | os.PathLike | Table,
    *,
    columns: Mapping[str, str] | None = None,
    label_errors: Mapping[str, float] | None = None,
    cuts: Sequence[str] = (),
    from_scratch: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Calibration:
    """Correct an emulator with observed spectra of stars whose labels are known.

    Parameters
    ----------
    spectra : iterable of specutils.Spectrum or paths
        Files are read with `rvsemu.read_rvs`.
    labels : path or Table
        Labels with errors, one row per star, found by the ``source_id`` of the spectra or, where a spectrum or the row
        has none, by its file name: ECSV, CSV, FITS, VOTable or Parquet. Well-known names of columns are recognised, as
        in `rvsemu.comparison.compare`. Labels of the emulator that the table does not have are free.
    columns : mapping of str to str, optional
        Names of columns that are not recognised, e.g. ``{"teff": "MYTEFF", "teff_error": "MYERR"}``: of ``source_id``,
        ``file``, any label and its error.
    label_errors : mapping of str to float, optional
        Errors of labels, in their units, where the table has none.
    cuts : sequence of str
        Conditions that rows of the table must meet, such as ``"flag_sp == 0"``; see `rvsemu.comparison.compare`.
    from_scratch : bool
        Learn an emulator from the observed spectra alone: of the one that is given, only labels and wavelengths are
        taken. At least 60 stars in their rest frames are needed; see Notes.
    progress : bool
        Show a progress bar.
    **settings

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        No spectrum has labels, there are fewer than four stars (60 from scratch), the emulator has no linear last
        layer, or it was calibrated before.
    ComparisonError
        The table cannot be read, or a column is missing or of the wrong kind.
    SettingsError
        An argument has a bad value.

    Notes
    -----
    See `rvsemu.calibration`. With ``mask="edges"``, the default from scratch, the calcium cores, which fits leave out,
    are corrected too.

    From scratch, the flux is the mean spectrum of the stars, and to that are added functions of the labels that all
    stars of the table have: linear ones, or squares and products too, as cross-validation over stars decides. Limits
    of the labels are those of the stars. There are no labels of rotation and instrument unless the table has them: the
    emulator is for stars and a spectrograph like those that it was learned from.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from astropy.table import Table
    >>> from rvsemu.calibration import calibrate
    >>> emulator = rvsemu.shipped().trimmed(8480, 8580)  # a part, for a quick example
    >>> teff = np.linspace(5000.0, 6000.0, 6)
    >>> stars = rvsemu.generate(teff=teff, logg=4.4, resolution=11900)
    >>> spectra = [
    ...     rvsemu.simulate(stars[i], signal_to_noise=100, seed=i, source_id=i + 1) for i in range(len(teff))]
    >>> labels = Table({"source_id": np.arange(1, 7), "teff": teff, "teff_error": np.full(6, 50.0)})
    >>> found = calibrate(spectra, labels, emulator=emulator, progress=False)
    >>> found.improved, found.report["stars"]  # the emulator's own stars: nothing to correct
    (False, 6)
    """
    emulator = resolve(settings.pop("emulator", None))
    seed = check_whole(SettingsError, "seed", settings.get("seed", 1), 0, 2**32 - 1)
    if "calibration" in emulator.info:
        raise CalibrationError("this emulator was calibrated before: give the synthetic one that it was made from.")
    table = LabelTable.read(labels, Wanted(emulator.labels, columns or {}, label_errors or {}, cuts))
    stars, unknown = matched(table, _read(spectra))
    work = Work(emulator, {"mask": "edges", **settings} if from_scratch else settings, seed, progress)
    if from_scratch:
        work, usable, unusable = from_nothing(work, stars)
        stars, unknown = list(usable), [*unknown, *unusable]
    first, unusable = work.begin(stars)
    rejects = (*unknown, *unusable)
    found = 0 if first is None else len(set(first.names))
    if first is None or found < LEAST_STARS:
        reasons = "".join(f"; {name}: {reason}" for name, reason in rejects[:3])
        raise CalibrationError(
            f"stars with labels that can be used: {found}; at least {LEAST_STARS} are needed to see whether a "
            f"correction that some of them ask for does others any good{reasons}."
        )
    corrected, report = calibrated(work, first)
    report |= {"table": Path(table.name).name, "labels": list(table.values)}
    if not from_scratch:
        report["fitted_less_given"] = against(work, stars)
    if corrected is None:
        return Calibration(emulator, False, report, rejects)
    return Calibration(with_info(corrected, report), True, report, rejects)


def against(work: Work, stars: Sequence[Star]) -> dict[str, dict[str, float]]:
    """Labels fitted with the emulator as it was, less those given: median of stars, its standard error, and scatter.

    Nothing if no star could be fitted.
    """
    given = {"on_error": "skip", "emulator": work.emulator, "fixed": free_alpha(stars[0].labels), **work.settings}
    results = fit_many([star.spectrum for star in stars], **given)
    pairs = [(one, star) for one, star in zip(results, stars, strict=True) if isinstance(one, FitResult)]
    out = {}
    for name in stars[0].labels if pairs else ():
        off = np.array([float(one.labels[name].value) - star.labels[name][0] for one, star in pairs])
        spread = 1.4826 * np.median(np.abs(off - np.median(off)))
        error = 1.25 * spread / np.sqrt(len(off))
        out[name] = {"median": float(np.median(off)), "error": float(error), "scatter": float(spread)}
    return out


def _read(spectra: Iterable[Spectrum | str | os.PathLike]) -> list[Spectrum]:
    if isinstance(spectra, str | os.PathLike | Spectrum):
        raise SettingsError(f"spectra={str(spectra)[:60]}: give a list of spectra or of paths.")
    out: list[Spectrum] = []
    for one in spectra:
        out += read_rvs(one) if isinstance(one, str | os.PathLike) else [one]
    return out
