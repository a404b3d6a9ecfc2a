"""Rows of results, kept in a file so that a script can be stopped and go on, and tables of them."""

from __future__ import annotations

import json
from pathlib import Path

import rvsemu
from rvsemu.fitting import DEFAULT_PRIORS

__all__ = ["add", "read", "rst"]


def read(path: Path) -> list[dict]:
    """The rows of a file that were made with the emulator and the priors of today."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = (json.loads(line) for line in lines if line.endswith("}"))  # not the half of a line
    return [row for row in rows if _today().items() <= row.items()]


def _today() -> dict:
    return {"emulator": rvsemu.shipped().info["version"], "priors": repr(DEFAULT_PRIORS)}


def add(path: Path, row: dict) -> None:
    """Append a row."""
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    begin = "\n" if text and not text.endswith("\n") else ""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{begin}{json.dumps(row | _today())}\n")


def rst(head: list, rows: list[list], title: str = "") -> str:
    """A table of reStructuredText."""
    lines = [f".. list-table:: {title}".rstrip(), "   :header-rows: 1", "   :widths: auto", ""]
    for row in [head, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
