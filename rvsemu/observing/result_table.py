"""Tables of results: printed with the digits that mean something, written with all of them."""

from __future__ import annotations

from typing import Any

from astropy.table import QTable
from astropy.table.pprint import TableFormatter

__all__ = ["FORMATS", "ResultTable", "format_of"]

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

_OF_A_LABEL = ("_error", "_minus", "_plus", "_upper_limit", "_noise", "_scatter")


def format_of(column: str) -> str | None:
    """How a column is printed; None if nothing is said about it."""
    if column in FORMATS:
        return FORMATS[column]
    label = next((column.removesuffix(end) for end in _OF_A_LABEL if column.endswith(end)), "")
    return FORMATS.get(label)


class _Formatter(TableFormatter):
    """Prints a copy whose columns have formats.

    A format of the column itself would be taken by the writers of CSV and other text, too, which lost digits.
    """

    def _pformat_table(self, table: QTable, *args: Any, **options: Any) -> Any:
        shown = table.copy(copy_data=False)
        for name in shown.colnames:
            if shown[name].info.format is None and shown[name].dtype.kind == "f":
                shown[name].info.format = format_of(name)
        return super()._pformat_table(shown, *args, **options)


class ResultTable(QTable):
    """A table that prints `FORMATS` where a column has no format of its own; files have all digits."""

    TableFormatter = _Formatter
