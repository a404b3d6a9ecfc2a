"""The documentation says what the installed package is and does."""

import ast
import builtins
import doctest
import importlib
import re
import zlib
from pathlib import Path

import figures
import inventories
import package_tables
import pytest
import reproduction

import rvsemu

DOCS = Path(__file__).resolve().parents[1] / "docs"
REMEDY = "python tools/figures.py makes them"


def committed(name):
    return (DOCS / "_generated" / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables(library_folder):
    """Of the installed package and of the whole library."""
    return figures.tables()


@pytest.mark.parametrize(
    "name",
    [
        *("labels.rst", "metrics.rst", "recipes.rst", "inversion.rst", "inversions.rst"),
        *("library.rst", "formats.rst", "figures.rst", "histories.rst"),
    ],
)
def test_tables_are_those_of_the_installed_package(tables, name):
    assert committed(name) == tables[name], REMEDY


def test_every_command_has_its_help(tables):
    text = committed("commands.rst")  # the layout of the help depends on the version of Python
    assert set(package_tables.COMMANDS) <= set(re.findall(r"(?m)^rvsemu (.+)$", text))
    options = set(re.findall(r"--[a-z][-a-z]+", tables["commands.rst"]))
    assert options == set(re.findall(r"--[a-z][-a-z]+", text)), REMEDY


def test_fits_of_the_stars_are_from_the_shipped_emulator():
    assert f"version {rvsemu.shipped().info['version']}." in committed("stars.rst"), REMEDY
    assert f"version {rvsemu.shipped().info['version']}, seed" in committed("posterior.rst"), REMEDY


def test_report_of_the_study_is_that_of_its_numbers():
    assert committed("reproduction.rst") == reproduction.text(), "tools/reproduction.py makes it"


TUTORIALS = sorted(DOCS.glob("tutorials/*.py"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_are_as_the_gallery_needs_them(path):
    text = path.read_text(encoding="utf-8")
    compile(text, str(path), "exec")
    title, rule = ast.get_docstring(ast.parse(text)).splitlines()[:2]
    assert re.fullmatch("=+", rule) and len(rule) == len(title)
    assert "plt.show()" in text
    links = set(re.findall(r":doc:`(?:[^`<]*<)?(?:\.\./)?([\w/]+)>?`", text))
    pages = {p.stem for p in [*DOCS.glob("*.rst"), *TUTORIALS]}
    assert links <= pages, links - pages


def test_tutorials_are_numbered_without_gaps():
    assert [path.stem[:2] for path in TUTORIALS] == [f"{i:02}" for i in range(1, len(TUTORIALS) + 1)]


def test_every_page_is_in_the_structure():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in DOCS.glob("*.rst")}
    entries = re.findall(r"\.\. toctree::\n((?:   .*\n|\n)+)", "\n".join(pages.values()))
    named = {line.strip().split("<")[-1].rstrip(">") for block in entries for line in block.splitlines()}
    orphans = {name for name, text in pages.items() if text.startswith(":orphan:")}
    assert set(pages) - named - orphans == {"index"}
    assert "gallery/index" in named


def documented() -> list[tuple[str, str]]:
    """Names in the tables of the API, with the modules that they are said to be in."""
    module, out = "", []
    pages = [page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("reference/*.rst"))]
    for line in "\n".join(pages).splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            out.append((module, line.strip()))
    return out


@pytest.mark.parametrize(("module", "name"), documented())
def test_documented_names_exist(module, name):
    assert hasattr(importlib.import_module(module), name)


def test_public_names_are_documented():
    assert {("rvsemu", name) for name in rvsemu.__all__} - {*documented()} <= {("rvsemu", "RvsemuError")}


@pytest.mark.parametrize("path", sorted(DOCS.glob("_inventories/*.txt")), ids=lambda path: path.stem)
def test_addresses_in_other_projects_are_whole(path, tmp_path):
    address, *names = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"https://\S+/", address)
    packed = inventories.pack(path.stem, names, tmp_path).read_bytes()
    lines = zlib.decompress(packed.split(b"zlib.\n", 1)[1]).decode().splitlines()
    assert len(lines) == len(names)
    for line in lines:
        name, kind, _, place, _ = line.split(maxsplit=4)
        assert ":" in kind and "$" not in place and place.endswith((".html", "/", name)), line


def test_figures_are_there():
    pages = "".join(p.read_text(encoding="utf-8") for p in [*DOCS.glob("*.rst"), *DOCS.glob("_generated/*.rst")])
    named = set(re.findall(r"_static/[-\w/]+\.png", pages))
    assert named
    assert not [name for name in named if not (DOCS / name).exists()]


@pytest.mark.parametrize(("page", "examples"), [("quickstart", 20), ("modeling", 18), ("sampling", 8)])
def test_pages_run(page, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    outcome = doctest.testfile(str(DOCS / f"{page}.rst"), module_relative=False, optionflags=flags)
    assert outcome.attempted > examples
    assert outcome.failed == 0


def _code(page):
    """All Python of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    examples = [(example.lineno, example.source) for example in doctest.DocTestParser().get_examples(text)]
    for block in re.finditer(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text):
        examples.append((text[: block.start()].count("\n"), re.sub("(?m)^   ", "", block[1])))
    return "\n".join(source for _, source in sorted(examples))


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.rst")), ids=lambda page: page.stem)
def test_names_in_examples_are_imported_or_of_the_reader(page):
    """What a reader copies from a page runs: the rest of the names are data that only he can have."""
    nodes = list(ast.walk(ast.parse(_code(page))))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    made = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    imported = {
        a.asname or a.name.split(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    assert used - made - imported - set(dir(builtins)) <= {"paths", "spectrum", "star", "stars", "table"}


def test_readme_example_runs(capsys):
    text = (DOCS.parent / "README.rst").read_text(encoding="utf-8")
    block = re.search(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)[1]
    exec(compile(re.sub("(?m)^   ", "", block), "README.rst", "exec"), {})
    assert "teff" in capsys.readouterr().out
