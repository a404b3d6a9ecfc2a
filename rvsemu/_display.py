"""What notebooks show of objects: one small table and some lines, in the colours of the page, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["html_card", "labels_card"]

_TABLE = "border-collapse: collapse; margin: 0.3em 0; color: inherit; background: transparent"
_CELL = "text-align: left; padding: 0.1em 1em 0.1em 0; color: inherit; background: transparent"


def html_card(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], lines: Iterable[str] = ()) -> str:
    """A title, a table and lines below it, as HTML.

    Parameters
    ----------
    title : str
    header : sequence of str, length k
    rows : iterable of sequences of length k
    lines : iterable of str

    Returns
    -------
    str
        All texts are escaped, and no colour is set.
    """
    head = _row("th", header)
    body = "".join(_row("td", row) for row in rows)
    below = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return f'<div><b>{escape(title)}</b><table style="{_TABLE}">{head}{body}</table>{below}</div>'


def labels_card(title: str, labels: Iterable[Any], lines: Iterable[str]) -> str:
    """`html_card` of a model that is trained for a range of each `rvsemu.emulator.labels.Label`."""
    rows = [(x.name, f"{x.lower:g}", f"{x.upper:g}", x.unit, x.description) for x in labels]
    return html_card(title, ("label", "from", "to", "unit", "description"), rows, lines)


def _row(cell: str, texts: Iterable[Any]) -> str:
    cells = "".join(f'<{cell} style="{_CELL}">{escape(str(text))}</{cell}>' for text in texts)
    return f'<tr style="background: transparent">{cells}</tr>'
