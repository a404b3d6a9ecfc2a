"""The report of ``rvsemu reproduce``, put into the documentation.

    python tools/reproduction.py DIR

DIR is what ``--out`` was. The text goes to ``docs/_generated/reproduction.rst`` with the numbers beside it, the figures
to ``docs/_static/reproduction``; all are committed, and ``tests/test_docs.py`` compares text and numbers. Takes a
second.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from rvsemu.reproduction.report import body

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT, NUMBERS = DOCS / "_generated" / "reproduction.rst", DOCS / "_generated" / "reproduction.json"
FIGURES = DOCS / "_static" / "reproduction"
NONE = """No report has been put here yet: ``python tools/reproduction.py DIR`` does it, where DIR is what ``--out``
was of a full run.
"""


def text() -> str:
    """What the page must include: the report of the committed numbers, or that there is none."""
    if not NUMBERS.exists():
        return NONE
    return body(json.loads(NUMBERS.read_text(encoding="utf-8")), f"_static/{FIGURES.name}/")


def main(arguments=None):
    """Copy numbers and figures, and write the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="what --out was")
    report = parser.parse_args(arguments).folder / "report"
    if not (report / "results.json").exists():
        raise SystemExit(f"{report / 'results.json'} does not exist: run 'rvsemu reproduce' to its end first.")
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    if results["quick"]:
        raise SystemExit(f"{report} is of a quick run, whose numbers are not to be used: run without --quick.")
    shutil.copy(report / "results.json", NUMBERS)
    shutil.rmtree(FIGURES, ignore_errors=True)
    FIGURES.mkdir(parents=True)
    for figure in results["figures"].values():
        if "file" in figure:
            shutil.copy(report / figure["file"], FIGURES)
    TEXT.write_text(text(), encoding="utf-8")
    print(f"wrote {TEXT}, {NUMBERS.name} and {FIGURES}")


if __name__ == "__main__":
    main()
