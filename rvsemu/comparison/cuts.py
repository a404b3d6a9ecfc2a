"""Simple conditions on columns of a table: a column, an operator, and a number or a text."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ComparisonError, SettingsError
from .tables import Columns, plain_of, texts_of

__all__ = ["Cut"]

_OPERATORS: dict[str, Callable] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_CUT = re.compile(r"\s*([\w./\[\]-]+)\s*(==|!=|<=|>=|<|>)\s*(.*\S)\s*")


@dataclass(frozen=True)
class Cut:
    """A condition that a row must meet; one without a value never does.

    Parameters
    ----------
    text : str
        As given.
    column, operator, value : str
    """

    text: str
    column: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Cut:
        """The condition that a text like ``flag_sp == 0`` or ``survey != "test"`` stands for.

        Raises
        ------
        SettingsError
            It is none.
        """
        found = _CUT.fullmatch(text)
        if found is None:
            raise SettingsError(
                f"cut '{text}': write a column, one of {' '.join(_OPERATORS)}, and a number or a text, "
                'as in "flag_sp == 0".'
            )
        return cls(text.strip(), *found.groups())

    def of(self, table: Columns) -> Cut:
        """The same with the name of the column as the table has it.

        Raises
        ------
        ComparisonError
            There is none.
        """
        return Cut(self.text, table.named(self.column, f"cut '{self.text}'"), self.operator, self.value)

    def met(self, column: Any) -> np.ndarray:
        """Where the values of the column meet the condition, shape (n,).

        Raises
        ------
        ComparisonError
            Numbers are compared with a text, or texts by their order.
        """
        compare = _OPERATORS[self.operator]
        values, missing = plain_of(column)
        if values.dtype.kind not in "iufb":
            return self._texts_met(texts_of(column), compare)
        value = self._truth() if values.dtype.kind == "b" else self._number()
        return ~missing & np.isfinite(values) & compare(values, value)

    def _number(self) -> float:
        try:
            return int(self.value) if re.fullmatch(r"[+-]?\d+", self.value) else float(self.value)
        except ValueError:
            raise ComparisonError(
                f"cut '{self.text}': column {self.column} has numbers, {self.value} is none."
            ) from None

    def _truth(self) -> bool:
        found = _TRUTH.get(self.value.lower())
        if found is None:
            raise ComparisonError(f"cut '{self.text}': column {self.column} is true or false, {self.value} is neither.")
        return found

    def _texts_met(self, texts: list[str], compare: Callable) -> np.ndarray:
        if self.operator not in ("==", "!="):
            raise ComparisonError(f"cut '{self.text}': column {self.column} has text; use == or !=.")
        value = self.value[1:-1] if self.value[:1] in "\"'" and self.value[-1:] == self.value[:1] else self.value
        return np.array([bool(text) and compare(text, value) for text in texts], dtype=bool)
