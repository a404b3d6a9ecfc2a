"""Values out of the cells of a table, whatever the file stored them as: text, numbers, masked arrays."""

import re
import warnings
from collections.abc import Sequence
from decimal import Decimal
from typing import SupportsFloat

import numpy as np

from ..errors import SpectrumError
from .tables import is_missing

__all__ = ["as_floats", "as_scalar", "is_array"]

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_NOTHING_READ = -1.0
"""What `numpy.fromstring` makes of blanks between two commas, without a word."""
_WORDS = 100
_INTEGER = re.compile(r"[+-]?[0-9]+$")


def is_array(cells: Sequence) -> bool:
    """Whether the cells of a column are arrays themselves, one a source (the RAW structure).

    Parameters
    ----------
    cells : sequence
        The column.

    Returns
    -------
    bool
        True if any cell is an array, or a text in brackets.
    """
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biufc":
        return cells.ndim > 1
    return any(cell.lstrip()[:1] in tuple(_BRACKETS) if isinstance(cell, str) else np.ndim(cell) > 0 for cell in cells)


def as_floats(cells: Sequence | str | None, name: str, label: str) -> np.ndarray:
    """Numbers of a column, or of one array cell, with NaN where there is none.

    Parameters
    ----------
    cells : sequence, str or None
        Numbers, texts, a masked array, one text such as ``"[1.0, NaN, null]"``, or None, as Parquet has empty cells.
    name, label : str
        Column and file, for messages.

    Returns
    -------
    numpy.ndarray
        One-dimensional array of float64.

    Raises
    ------
    SpectrumError
        If a text is no number, or an array in text is not closed.
    """
    if cells is None:
        return np.empty(0)
    if isinstance(cells, str):
        numbers = _numbers(cells)
        if numbers is not None:
            return numbers
        cells = _split(cells, name, label)
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        return np.ma.filled(np.ma.asarray(cells).astype(float), np.nan).ravel()
    try:
        return np.array([_as_float(cell) for cell in cells], dtype=float)
    except (TypeError, ValueError) as error:
        reason = str(error) if len(str(error)) <= _WORDS else f"{str(error)[:_WORDS]}..."  # it may be all of a spectrum
        raise SpectrumError(f"{label}: column {name}: {reason}; the file is damaged, download it again") from error


def _numbers(text: str) -> np.ndarray | None:
    """The numbers of an array in text, read by NumPy at once; None where a cell is neither a number, NaN nor null."""
    text = text.strip()
    if "," not in text or text[-1] != _BRACKETS.get(text[0]):
        return None
    inner = text[1:-1].replace("null", "nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of text that is no number: the count tells
        try:
            numbers = np.fromstring(inner, sep=",")
        except ValueError:
            return None
    empty = np.any(numbers == _NOTHING_READ)
    return numbers if numbers.size == inner.count(",") + 1 and not empty else None


def _split(text: str, name: str, label: str) -> list[str]:
    text = text.strip()
    if text[-1:] != _BRACKETS.get(text[:1]):
        if is_missing(text):
            return []
        raise SpectrumError(f"{label}: column {name}: an array is not closed; the file is damaged, download it again")
    inner = text[1:-1]
    return inner.split(",") if "," in inner else inner.split()


def _as_float(cell: str | SupportsFloat | None) -> float:
    if cell is None or cell is np.ma.masked or (isinstance(cell, str) and is_missing(cell)):
        return np.nan
    return float(cell)


def as_scalar(cell: object) -> int | float | str | bool | None:
    """One value as a Python object; whole numbers never pass through a float, which would spoil a source_id.

    Parameters
    ----------
    cell : object
        A text, a NumPy scalar, a masked value, ...

    Returns
    -------
    int, float, str, bool or None
        None where there is no value, or where it is not a scalar.
    """
    if isinstance(cell, np.ndarray):
        if cell.size != 1 or np.ma.is_masked(cell):
            return None
        cell = cell.reshape(-1)[0]
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "replace")
    if isinstance(cell, str):
        return _parse(cell.strip())
    if isinstance(cell, Decimal):  # of Parquet; those of integers have no digits behind the point
        cell = int(cell) if cell.is_finite() and cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, float):
        return cell if np.isfinite(cell) else None
    return cell if isinstance(cell, int) else None


def _parse(text: str) -> int | float | str | bool | None:
    if is_missing(text):
        return None
    if _INTEGER.match(text):
        return int(text) if len(text) < 400 else text  # Python refuses to turn thousands of digits into a number
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    return number if np.isfinite(number) else None
