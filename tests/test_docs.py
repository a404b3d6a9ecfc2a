"""The documentation says what the installed package is and does."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

import rvsemu

DOCS = Path(__file__).resolve().parents[1] / "docs"
REMEDY = "python docs/make_figures.py makes them"


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures():
    return script("make_figures")


def committed(name):
    return (DOCS / "_generated" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("labels.rst", "labels_table"),
        ("metrics.rst", "metrics_tables"),
        ("recipes.rst", "recipes_table"),
        ("inversion.rst", "inversion_table"),
        ("inversions.rst", "inversions_table"),
        ("library.rst", "library_table"),
        ("formats.rst", "formats_table"),
        ("figures.rst", "validation_figures"),
        ("histories.rst", "history_figures"),
    ],
)
def test_tables_are_those_of_the_installed_package(figures, name, function):
    assert committed(name) == getattr(figures, function)(), REMEDY


def test_every_command_has_its_help(figures):
    text = committed("commands.rst")  # the layout of the help depends on the version of Python
    options = set(re.findall(r"--[a-z][-a-z]+", figures.command_help()))
    assert options == set(re.findall(r"--[a-z][-a-z]+", text)), REMEDY


def test_fits_of_the_stars_are_from_the_shipped_emulator():
    assert f"version {rvsemu.shipped().info['version']}." in committed("stars.rst"), REMEDY
    assert f"version {rvsemu.shipped().info['version']}, seed" in committed("posterior.rst"), REMEDY


def test_report_of_the_study_is_that_of_its_numbers():
    assert committed("reproduction.rst") == script("make_reproduction").text(), "docs/make_reproduction.py makes it"


def test_figures_are_there():
    pages = "".join(p.read_text(encoding="utf-8") for p in [*DOCS.glob("*.rst"), *DOCS.glob("_generated/*.rst")])
    named = set(re.findall(r"_static/[-\w/]+\.png", pages))
    assert named
    assert not [name for name in named if not (DOCS / name).exists()]


@pytest.mark.parametrize(("page", "examples"), [("quickstart", 20), ("modeling", 18), ("sampling", 9)])
def test_pages_run(page, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    outcome = doctest.testfile(str(DOCS / f"{page}.rst"), module_relative=False, optionflags=flags)
    assert outcome.attempted > examples
    assert outcome.failed == 0


def test_readme_example_runs(capsys):
    text = (DOCS.parent / "README.rst").read_text(encoding="utf-8")
    block = re.search(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)[1]
    exec(compile(re.sub("(?m)^   ", "", block), "README.rst", "exec"), {})
    assert "teff" in capsys.readouterr().out
