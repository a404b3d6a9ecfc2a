"""Tables of results: printed with the digits that mean something, written with all of them."""

from __future__ import annotations

from typing import Any

from astropy.table import QTable
from astropy.table.pprint import TableFormatter

from ..emulator.labels import ALPHA, PAPER_LABELS

__all__ = ["DESCRIPTIONS", "EXTERNAL_ERRORS", "FORMATS", "ResultTable", "description_of", "format_of"]

FORMATS = {
    "teff": ".1f",
    "logg": ".3f",
    "vsini": ".2f",
    "mh": ".3f",
    "vmic": ".2f",
    "alpha": ".3f",
    "resolution": ".0f",
    "radial_velocity": ".2f",
    "log_jitter": ".2f",
    "ra": ".6f",
    "dec": ".6f",
    "obs_time_rv": ".5f",
    "chi2": ".1f",
    "reduced_chi2": ".3f",
    "noise_chi2": ".3f",
    "velocity_chi2": ".1f",
    "velocity_p_value": ".2g",
    "residual_rms": ".5f",
    "ess": ".0f",
    "acceptance": ".2f",
}
"""How columns are printed; those of errors and limits like that of their label."""

EXTERNAL_ERRORS = {"logg": 0.15, "mh": 0.1}
"""Standard deviations (dex) by which fits of real stars may differ from the literature besides the errors of both;
those of Teff suffice. From the five stars of ``validation/real_stars.py``, F to K; [M/H] as catalogues differ."""

_NOT_ALL = {f"{name}_error" for name in EXTERNAL_ERRORS}

_LONGEST = 24  # characters of the name of a file that are printed
_LABELS = {label.name: label.description for label in (*PAPER_LABELS, ALPHA)}

DESCRIPTIONS = _LABELS | {
    "file": "File with the spectrum; with member after a colon, in an archive",
    "source_id": "Gaia source",
    "transit_id": "Transit of an epoch spectrum",
    "obs_time_rv": "Time of the transit, BJD(TCB) - 2455197.5",
    "ra": "Right ascension as in the file",
    "dec": "Declination as in the file",
    "radial_velocity": "radial velocity",
    "log_jitter": "natural logarithm of extra white noise / continuum",
    "chi2": "Of the best fit, with the errors of noise, emulator and models",
    "reduced_chi2": "chi2 of the best fit per degree of freedom",
    "noise_chi2": "Reduced chi2 without the errors of models",
    "residual_rms": "Observed - model, in units of the continuum",
    "n_pixels": "Pixels compared",
    "n_outliers": "Pixels that are more likely outliers than not",
    "errors_smoothed": "Whether a smooth level of the errors was used",
    "n_transits": "Transits that were fitted together",
    "n_skipped": "Transits of the star that could not be used",
    "radial_velocity_scatter": "Weighted standard deviation of the velocities of transits",
    "velocity_chi2": "Of a constant velocity",
    "velocity_p_value": "Probability that chance makes velocity_chi2 larger",
    "steps": "Steps of the chain",
    "ess": "Effective number of independent samples, of the parameter with the fewest",
    "acceptance": "Share of the proposed steps that were accepted",
    "flags": "Names of the flags, joined by commas; none if there are none",
    "flag_bits": "The flags as bits: see rvsemu.observing.flags",
    "recipe": "Recipe of the emulator or the inversion",
    "emulator_version": "Version of the emulator: the date of its training",
    "inversion_version": "Version of the inversion: the date of its training",
    "error": "Why there are no labels",
}
"""What the columns of tables of results are; those that belong to a label are described by `description_of`."""

_OF_A_LABEL = {
    "_error": "Standard deviation: {}",
    "_minus": "Median less the lower end of the interval: {}",
    "_plus": "Upper end of the interval less the median: {}",
    "_upper_limit": "95 % upper limit where it may be zero: {}",
    "_noise": "Standard deviation by noise alone: {}",
    "_scatter": "Scatter: {}",
}


def format_of(column: str) -> str | None:
    """How a column is printed; None if nothing is said about it."""
    if column in FORMATS:
        return FORMATS[column]
    return FORMATS.get(_label_of(column)[0])


def description_of(column: str) -> str | None:
    """What a column is, in words; None if nothing is said about it."""
    label, end = _label_of(column)
    if column in DESCRIPTIONS or label not in DESCRIPTIONS:
        return DESCRIPTIONS.get(column)
    external = f"; uncalibrated, real stars differ by {EXTERNAL_ERRORS[label]:g} more" if column in _NOT_ALL else ""
    return _OF_A_LABEL[end].format(DESCRIPTIONS[label]) + external


def _label_of(column: str) -> tuple[str, str]:
    """Name of the label that a column belongs to, and the rest of the column's name; empty if there is none."""
    end = next((end for end in _OF_A_LABEL if column.endswith(end)), "")
    return (column.removesuffix(end), end) if end else ("", "")


def _shortened(name: str) -> str:
    """The end of the name of a file, so that a terminal has room for other columns."""
    return name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}"


class _Formatter(TableFormatter):
    """Prints a copy whose columns have formats.

    A format of the column itself would be taken by the writers of CSV and other text, too, which lost digits.
    """

    def _pformat_table(self, table: QTable, *args: Any, **options: Any) -> Any:
        shown = table.copy(copy_data=False)
        for name in shown.colnames:
            if shown[name].info.format is None and shown[name].dtype.kind == "f":
                shown[name].info.format = format_of(name)
        if "file" in shown.colnames and shown["file"].info.format is None:
            shown["file"].info.format = _shortened
        return super()._pformat_table(shown, *args, **options)


class ResultTable(QTable):
    """A table that prints `FORMATS` where a column has no format of its own; files have all digits."""

    TableFormatter = _Formatter

    def described(self) -> ResultTable:
        """The table itself, with the descriptions that `description_of` has of its columns."""
        for name in self.colnames:
            self[name].info.description = description_of(name)
        return self
