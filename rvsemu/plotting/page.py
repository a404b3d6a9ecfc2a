"""Pages of HTML that are complete in themselves: one file, figures in it, no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["html_image", "html_page", "html_table"]

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.45 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }}
img {{ max-width: 100% }} table {{ border-collapse: collapse }} td, th {{ padding: 0 1em 0 0; vertical-align: top }}
th {{ text-align: left; border-bottom: 1px solid #999 }} th.n {{ text-align: right }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums }} h2 {{ margin-top: 1.6em }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


def html_page(title: str, sections: Iterable[str]) -> str:
    """A page of a title, which is plain text, and sections of HTML."""
    return _PAGE.format(title=escape(title), body="\n".join(sections))


def html_table(rows: Iterable[Sequence[str]], numbers: Collection[int] = (), head: Sequence[str] | None = None) -> str:
    """A table of cells that are HTML already.

    Parameters
    ----------
    rows : iterable of sequence of str
    numbers : collection of int
        Columns that are aligned to the right.
    head : sequence of str, optional
        Headings of the columns.
    """
    lines = [] if head is None else [_line("th", head, numbers)]
    return f"<table>{''.join([*lines, *(_line('td', row, numbers) for row in rows)])}</table>"


def _line(tag: str, cells: Sequence[str], numbers: Collection[int]) -> str:
    parts = (f'<{tag} class="n">{c}</{tag}>' if i in numbers else f"<{tag}>{c}</{tag}>" for i, c in enumerate(cells))
    return f"<tr>{''.join(parts)}</tr>"


def html_image(figure: Figure, text: str) -> str:
    """A figure as an image within the page, with the `text` that stands for it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'
