"""The result of a comparison: stars in both, statistics of their differences, and what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.table import Column, MaskedColumn, QTable

from ..errors import ComparisonError
from .reference import LABELS
from .statistics import COLUMNS, middle, normalised, regions, statistics

__all__ = ["HEADINGS", "Comparison"]

_DIGITS = {"K": 1, "dex": 3}
HEADINGS = ("label, region", "stars", "fits", "bias", "+-", "scatter", "> 3", "> 5", "bias/error", "scatter/error")
"""Of the rows of `Comparison.lines`."""
_FORMS = ("<26", ">9", ">9", ">10", ">8", ">9", ">8", ">8", ">12", ">15")


@dataclass(frozen=True)
class Comparison:
    """Labels of fits beside those of a reference.

    Parameters
    ----------
    fits, reference : str
        Names of the two.
    pairs : QTable
        One row per fit whose star is in both: ``source_id``; of each label of the fits, ``<label>`` and
        ``<label>_error``, and of those that both have, ``<label>_reference`` and ``<label>_reference_error``, in K or
        dex, NaN where there is none; ``signal_to_noise`` if it is known; and ``flags`` of the fit.
    rejects : QTable
        ``source_id`` and ``reason`` of each fit that is not in `pairs`; a source_id of 0 is not known.
    lost : mapping of str to int
        Numbers of fits by reason.
    flagged : int
        Fits with a flag that have labels, whether they were left out or not.
    steps : sequence of (str, int)
        Rows of the reference that were left after each step.
    notes : sequence of str
        Which columns were compared, calibrations, and what was not to be had.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from rvsemu.comparison import compare
    >>> ours = Table({"source_id": [7, 8, 9], "teff": [5000.0, 5500.0, 6000.0]})
    >>> theirs = Table({"source_id": [7, 8], "teff": [5020.0, 5510.0]})
    >>> result = compare(ours, theirs)
    >>> result.matched, result.labels
    (2, ('teff',))
    >>> result.difference("teff")
    array([-20., -10.])
    >>> len(result.rejects)
    1
    """

    fits: str
    reference: str
    pairs: QTable
    rejects: QTable
    lost: Mapping[str, int]
    flagged: int
    steps: Sequence[tuple[str, int]]
    notes: Sequence[str]

    @property
    def matched(self) -> int:
        """Number of fits with a star in the reference."""
        return len(self.pairs)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that both have."""
        return tuple(label for label in LABELS if f"{label}_reference" in self.pairs.colnames)

    @cached_property
    def table(self) -> QTable:
        """Statistics, one row per label and region.

        The columns are ``label``, ``region``, ``unit``, in which bias and scatter are, and those of
        `rvsemu.comparison.statistics.COLUMNS`, masked where there is no value. Regions are bins of the mean of both
        catalogues' labels, and of our signal to noise.
        """
        rows = [row for label in self.labels for row in self._rows(label)]
        table = QTable()
        for name in ("label", "region", "unit"):
            table[name] = Column([row[name] for row in rows], dtype=str)
        for name, description in COLUMNS.items():
            values = np.array([row[name] for row in rows])
            table[name] = MaskedColumn(values, mask=~np.isfinite(values), description=description)
        table.meta.update(self._meta())
        return table

    def at(self, name: str) -> np.ndarray | None:
        """Where stars are, shape (n,): the mean of both values of a label, in K or dex, or ``signal_to_noise``.

        It is our value where theirs is not known; None if the fits do not have it.
        """
        if name not in self.pairs.colnames:
            return None
        ours = _plain(self.pairs[name])
        return middle(ours, _plain(self.pairs[f"{name}_reference"])) if name in self.labels else ours

    def difference(self, label: str) -> np.ndarray:
        """Ours - theirs, shape (n,), in K or dex; NaN where one of them is not known.

        Raises
        ------
        ComparisonError
            The label is not one of `labels`.
        """
        if label not in self.labels:
            raise ComparisonError(f"label={label!r} is not compared: use one of {', '.join(self.labels)}.")
        return _plain(self.pairs[label]) - _plain(self.pairs[f"{label}_reference"])

    def normalised(self, label: str) -> np.ndarray:
        """`difference` over the errors of both in quadrature, shape (n,); NaN where one of them is not known.

        Raises
        ------
        ComparisonError
            The label is not one of `labels`.
        """
        errors = [
            self.pairs[n] if n in self.pairs.colnames else None for n in (f"{label}_error", f"{label}_reference_error")
        ]
        return normalised(self.difference(label), *(None if x is None else _plain(x) for x in errors))

    def write_report(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write a page with numbers and plots: one HTML file, complete in itself.

        Parameters
        ----------
        path : path
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        ComparisonError
            The file cannot be written.
        """
        from .report import write_report

        write_report(self, path, overwrite=overwrite)

    def counts(self) -> Iterator[tuple[str, int]]:
        """What became of all fits and of all rows of the reference, and how many, in order."""
        yield f"fits in {self.fits}", self.matched + len(self.rejects)
        yield from ((f"  {reason}", number) for reason, number in self.lost.items())
        yield "  compared", self.matched
        yield "fits with a flag", self.flagged
        first, *others = self.steps
        yield f"{first[0]} of {self.reference}", first[1]
        yield from ((f"  {text}", number) for text, number in others)

    def __str__(self) -> str:
        counts = [f"{text:<62}{number:>12,}" for text, number in self.counts()]
        return "\n".join([*counts, "", *self.notes, "", *self._lines()])

    def _rows(self, label: str) -> Iterator[dict]:
        difference, over_error = self.difference(label), self.normalised(label)
        places = {
            name: values for name in ("teff", "logg", "mh", "signal_to_noise") if (values := self.at(name)) is not None
        }
        for region, inside in regions(places):
            known = inside & np.isfinite(difference)
            if known.any():
                found = statistics(difference[known], over_error[known], np.asarray(self.pairs["source_id"])[known])
                yield {"label": label, "region": region, "unit": LABELS[label], **found}

    def _lines(self) -> Iterator[str]:
        yield "".join(f"{text:{form}}" for text, form in zip(HEADINGS, _FORMS, strict=True))
        for cells in self.lines():
            yield "".join(f"{text:{form}}" for text, form in zip(cells, _FORMS, strict=True))

    def lines(self) -> Iterator[tuple[str, ...]]:
        """The rows of `table` as text, below `HEADINGS`; "-" stands where there is no value."""
        for row in self.table:
            digits = _DIGITS[row["unit"]]
            every = row["region"] == "all"
            yield (
                f"{row['label']} ({row['unit']})" if every else f"  {row['region']}",
                f"{row['n_stars']:,}",
                f"{row['n']:,}",
                _number(row["bias"], f"+.{digits}f"),
                _number(row["bias_error"], f".{digits}f"),
                _number(row["scatter"], f".{digits}f"),
                _number(row["outliers_3"], ".1%"),
                _number(row["outliers_5"], ".1%"),
                _number(row["normalised_bias"], "+.2f"),
                _number(row["normalised_scatter"], ".2f"),
            )

    def _meta(self) -> dict:
        steps = [f"{text}: {number}" for text, number in self.steps]
        lost = [f"{reason}: {number}" for reason, number in self.lost.items()]
        return {"fits": self.fits, "reference": self.reference, "lost": lost, "steps": steps, "notes": list(self.notes)}


def _number(value: float, form: str) -> str:
    return "-" if np.ma.is_masked(value) else format(float(value), form)


def _plain(column) -> np.ndarray:
    return np.asarray(getattr(column, "value", column), dtype=float)
