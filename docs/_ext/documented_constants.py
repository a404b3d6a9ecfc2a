"""Texts of constants on the pages of the reference, where a constant is imported from the module that defines it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from functools import cache
from pathlib import Path


def text_of(module: str, name: str) -> str | None:
    """The string below the assignment of a constant, in the module that it is defined in; None without one.

    Parameters
    ----------
    module : str
        Where it is defined, or imported to.
    name : str
    """
    statements = _statements(module)
    for node in statements:
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            package = importlib.import_module(module).__package__
            home = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            return text_of(home, name)
    for node, below in zip(statements, statements[1:], strict=False):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(getattr(target, "id", None) == name for target in targets):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            return inspect.cleandoc(text) if isinstance(text, str) else None
    return None


@cache
def _statements(module: str) -> list[ast.stmt]:
    file = inspect.getsourcefile(importlib.import_module(module))
    return ast.parse(Path(file).read_text(encoding="utf-8")).body


def _describe(app, what, name, thing, options, lines):
    """Replace the docstring of the constant's type, which autodoc takes for want of a better one."""
    if what != "data":
        return
    text = text_of(*name.rsplit(".", 1))
    if text is not None:
        lines[:] = [*text.splitlines(), ""]


def setup(app):
    """Have the texts in place before numpydoc reads them."""
    app.connect("autodoc-process-docstring", _describe, priority=400)
    return {"parallel_read_safe": True, "version": "1"}
