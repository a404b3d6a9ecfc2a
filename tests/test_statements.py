"""Numbers that are stated more than once are the same everywhere, and those of the package and its data."""

import ast
import re
from pathlib import Path

import pytest

from rvsemu.library import Library
from rvsemu.library.importing.lines import AIR_TO_VACUUM

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "library" / "rvs_library.h5"
PAGES = [ROOT / "README.rst", *ROOT.glob("docs/*.rst"), *ROOT.glob("docs/tutorials/*.py"), *ROOT.glob("*/README.rst")]
MODULES = sorted(ROOT.glob("rvsemu/**/*.py"))


def docstrings(path) -> str:
    """Strings that stand alone in a module: its docstrings, and the texts of its constants."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    alone = [node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return "\n".join(one.value for one in alone if isinstance(one.value, str))


@pytest.fixture(scope="module")
def texts():
    """All that is said, by file; line breaks are blanks."""
    said = {path: path.read_text(encoding="utf-8") for path in PAGES} | {path: docstrings(path) for path in MODULES}
    return {str(path.relative_to(ROOT)): re.sub(r"\n\s*#?\s*", " ", text) for path, text in said.items()}


def stated(texts, pattern) -> dict[str, set[str]]:
    """What a pattern's group finds, with the files where it is said."""
    out: dict[str, set[str]] = {}
    for file, text in texts.items():
        for found in re.findall(pattern, text):
            out.setdefault(found.replace(",", ""), set()).add(file)
    return out


AIR = r"\b(2\.[34]\d*) ?(?:Å|A\b|Angstrom)"
"""A distance between 2.3 and 2.5 Angstrom: nothing else in the package is as long."""
OWN_LIBRARY = r"(\d[\d,]*) spectra of (?:rvsemu's own|the repository's) library"
JUDGED = r"judges all (\d[\d,]*) below 10,000 K"
FIRST = r"[Ff]irst (\d[\d,]*) spectra of the library"
SPEED = r"spectr(?:um|a)\b[^.:;]{0,60}?\b(microsecond|millisecond)"


def test_air_and_vacuum_are_as_far_apart_everywhere(texts):
    found = stated(texts, AIR)
    assert set(found) == {f"{AIR_TO_VACUUM:.2f}"}, found
    assert len(found[f"{AIR_TO_VACUUM:.2f}"]) >= 3


@pytest.mark.skipif(not LIBRARY.exists(), reason="the library is in the repository alone")
def test_size_of_the_library_is_that_of_its_file(texts):
    names, labels = (Library.peek(LIBRARY)[key] for key in ("names", "labels"))
    assert set(stated(texts, OWN_LIBRARY)) == {str(len(labels))}
    assert set(stated(texts, JUDGED)) == {str((labels[:, list(names).index("teff")] < 10000).sum())}


@pytest.mark.parametrize("pattern", [FIRST, SPEED])
def test_one_number_for_one_thing(texts, pattern):
    found = stated(texts, pattern)
    assert len(found) == 1, found


PAPER = r"(?<![`/\w])((?:arXiv|ascl):[-\w./]*\d)"


def test_papers_and_codes_are_links(texts):
    assert stated(texts, PAPER) == {}


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (AIR, "they differ by 2.36 Å here, and 2.3 A there; bins of 0.04 Å, 12.35 Å", {"2.36", "2.3"}),
        (OWN_LIBRARY, "1,365 spectra of rvsemu's own library, 12 spectra of others", {"1365"}),
        (FIRST, "The first 920 spectra of the library were", {"920"}),
        (
            SPEED,
            "a spectrum takes microseconds, spectra from labels in about a millisecond",
            {"microsecond", "millisecond"},
        ),
        (
            PAPER,
            "Hubeny, ascl:1109.022 and arXiv:2005.14199, :arxiv:`2005.14199`",
            {"ascl:1109.022", "arXiv:2005.14199"},
        ),
    ],
)
def test_contradictions_are_noticed(pattern, text, found):
    assert set(stated({"page": text}, pattern)) == found
