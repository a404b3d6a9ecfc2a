"""Texts of provenance that say several things, each once."""

from __future__ import annotations

__all__ = ["together", "without"]

_AND = "; "


def together(*texts: str) -> str:
    """All that some texts say.

    Examples
    --------
    >>> from rvsemu.library.provenance import together
    >>> together("lines of Nd II; lines of TiO", "lines of Nd II", "")
    'lines of Nd II; lines of TiO'
    """
    return _AND.join(dict.fromkeys(part for text in texts for part in text.split(_AND) if part))


def without(text: str, part: str) -> str:
    """What else than one thing a text says.

    Examples
    --------
    >>> from rvsemu.library.provenance import without
    >>> without("lines of Nd II; lines of TiO; lines of CN", "lines of TiO")
    'lines of Nd II; lines of CN'
    """
    others = (one.strip(", ") for one in text.replace(part, _AND).split(_AND))  # commas are between them in older files
    return _AND.join(filter(None, others))
