"""Signatures of the reference: types under the names that other projects document, which makes them links."""

from __future__ import annotations

import re

from rvsemu.observing import DEFAULT_MASK
from rvsemu.physics.lines import MAIN_LINES

_ALIAS = re.compile(r"TypeAliasForwardRef\('([\w.]+)'\)")  # how Sphinx writes an alias that is part of a union
_NAMES = {
    r"\bu\.(?=[A-Z])": "astropy.units.",  # in annotations that are taken as they are written
    r"\bnp\.": "numpy.",
    r"\bastropy\.units\.quantity\.": "astropy.units.",  # modules that are not the place to import from
    r"\bastropy\.table\.table\.": "astropy.table.",
    r"\bspecutils\.spectra\.\w+\.": "specutils.",
    r"\bmatplotlib\.axes\._axes\.": "matplotlib.axes.",
    r"\bnumpy\.random\._generator\.": "numpy.random.",
}
_DEFAULTS = {repr(DEFAULT_MASK): "DEFAULT_MASK", repr(MAIN_LINES): "MAIN_LINES"}


def named(text: str | None) -> str | None:
    """A signature, or the type of a result, with full names of types and the names of constants."""
    if text is None:
        return None
    text = _ALIAS.sub(r"~\1", text)
    for value, constant in _DEFAULTS.items():
        text = text.replace(value, constant)
    for other, public in _NAMES.items():
        text = re.sub(other, public, text)
    return text


def _rename(app, what, name, thing, options, signature, result):
    return named(signature), named(result)


def setup(app):
    """Have autodoc ask for the names."""
    app.connect("autodoc-process-signature", _rename)
    return {"parallel_read_safe": True, "version": "1"}
