"""What notebooks and terminals show of results, models and libraries, and that files lose nothing by it."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table, vstack
from emulator_fixtures import small_emulator
from inversion_fixtures import exact_inversion, fluxes

import rvsemu
from rvsemu.errors import SpectrumError
from rvsemu.fitting import FitFailure
from rvsemu.library import Library
from rvsemu.spectra import write_table

STAR = 2**61 + 1


@pytest.fixture(scope="module")
def posterior():
    """40 steps of ten walkers, of two labels."""
    chain = np.random.default_rng(1).normal([5600.0, 4.3], [80.0, 0.1], (40, 10, 2))
    return rvsemu.Posterior(
        names=("teff", "logg"),
        units=("K", "dex"),
        chain=chain,
        log_probability=np.zeros((40, 10)),
        acceptance=0.4,
        tau=np.array([2.0, 3.0]),
        burn_in=10,
        converged=False,
        meta={"source_id": STAR},
    )


@pytest.fixture(scope="module")
def inverted():
    inversion = exact_inversion()
    return rvsemu.invert(fluxes(inversion, np.zeros(6)), inversion=inversion)


@pytest.fixture(scope="module")
def shown(result, posterior, inverted, small_library):
    things = {"fit": result, "posterior": posterior, "inverted": inverted, "library": small_library}
    things |= {"emulator": small_emulator(), "inversion": exact_inversion()}
    return {name: thing._repr_html_() for name, thing in things.items()}


WORDS = {
    "fit": ("FitResult of 123456789012345678", "teff", "reduced chi2", "flags: "),
    "posterior": (f"Posterior of {STAR}", "40 steps of 10 walkers", "not-converged: "),
    "inverted": ("InversionResult", "resolution", "residual rms", "4000 pixels"),
    "library": ("Library of 80 spectra", "vmic", "code: SYNSPEC"),
    "emulator": (
        "Emulator: recipe test, version 1",
        "3600",
        "15000",
        "effective temperature",
        "40 fluxes, 8400.0-8403.9",
    ),
    "inversion": ("Inversion: recipe exact, version 1", "4000 fluxes", "6 principal components", "without networks"),
}


@pytest.mark.parametrize("name", WORDS)
def test_notebooks_show_a_table(shown, name):
    text = shown[name]
    root = ElementTree.fromstring(text)  # well formed
    assert len(root.findall(".//table")) == 1
    assert not [words for words in WORDS[name] if words not in "".join(root.itertext())]


@pytest.mark.parametrize("name", WORDS)
def test_colours_are_those_of_the_page(shown, name):
    """Light or dark, only the page knows."""
    colours = re.findall(r"(?:color|background)[-\w]*: *([^;\"]+)", shown[name])
    assert set(colours) == {"inherit", "transparent"}
    assert not re.search(r"#[0-9a-fA-F]{3}|rgb|<style", shown[name])


def test_texts_are_escaped(posterior, small_library):
    bad = "<script>alert('x')</script>"
    emulator = small_emulator()
    label = replace(emulator.labels.labels[0], description=bad)
    labels = replace(emulator.labels, labels=(label, *emulator.labels.labels[1:]))
    things = [
        replace(emulator, labels=labels),
        replace(emulator, info={"recipe": bad}),
        replace(small_library, info={"code": bad}),
        replace(posterior, meta={"source_id": bad}),
    ]
    for thing in things:
        assert "&lt;script&gt;" in thing._repr_html_() and "<script" not in thing._repr_html_()


def test_an_empty_library_is_shown():
    empty = Library(np.empty((0, 2)), ("teff", "logg"), np.arange(8400.0, 8410.0), np.empty((0, 10)), "air")
    assert "Library of 0 spectra" in empty._repr_html_()


def printed(table):
    """All of a table as text."""
    return "\n".join(table.pformat(max_lines=-1, max_width=-1))


def longest(text):
    """Largest number of digits after a point in a text."""
    return max((len(x) for x in re.findall(r"\d\.(\d+)", text)), default=0)


@pytest.mark.parametrize("name", ["result", "posterior", "inverted"])
def test_tables_are_printed_with_few_digits(name, request):
    table = request.getfixturevalue(name).to_table()
    for text in (printed(table), table._repr_html_(), str(table)):
        assert longest(text) <= 6
    assert re.search(r"\b\d{4,5}\.\d\b", printed(table["teff", "teff_error"]))
    assert all(table[column].info.format is None for column in table.colnames)  # writers of text would take it


@pytest.mark.parametrize("name", ["result", "posterior", "inverted"])
def test_columns_are_described(name, request):
    table = request.getfixturevalue(name).to_table()
    assert [column for column in table.colnames if not table[column].info.description] == []
    assert table["logg_error"].info.description == (
        "Standard deviation: surface gravity, log10 of cm/s2; uncalibrated, real stars differ by 0.15 more"
    )


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot"])
def test_files_have_descriptions(result, tmp_path, suffix):
    table, path = result.to_table(), tmp_path / f"labels{suffix}"
    write_table(table, path)
    again = Table.read(path)
    words = {c: again[c].description.split() for c in again.colnames}  # VOTables break long lines
    assert words == {c: table[c].info.description.split() for c in table.colnames}


@pytest.mark.filterwarnings("ignore:.*could not be saved in native FITS")  # dex is in no standard
@pytest.mark.parametrize(
    ("through", "suffix"),
    [
        *(("rvsemu", suffix) for suffix in (".csv", ".ecsv", ".fits", ".vot", ".json")),
        *(("astropy", suffix) for suffix in (".csv", ".ecsv", ".fits", ".vot")),
    ],
)
def test_files_have_all_digits(result, tmp_path, through, suffix):
    table, path = result.to_table(), tmp_path / f"labels{suffix}"
    str(table)
    format = {".vot": "votable"}.get(suffix)
    if through == "rvsemu":
        write_table(table, path)
    else:
        table.write(path, format=format)
    if suffix == ".json":
        written = float(re.search(r'"teff_error": ([\d.]+)', path.read_text())[1])
    else:
        written = float(u.Quantity(QTable.read(path, format=format)["teff_error"][0]).value)
    assert written == table["teff_error"][0].value


def test_tables_stay_what_they_are(result):
    """Rows of results and failures, columns and copies print the same way; a user's own format counts."""
    table, failure = result.to_table(), FitFailure(SpectrumError("no medium"), {"ra": 12.3456789012}).to_table()
    both = vstack([table, failure])
    for some in (both, both["teff", "ra"], both[:1], both.copy()):
        assert longest(printed(some)) <= 6
    both["teff"].info.format = ".9f"
    assert longest(printed(both["teff", "logg"])) == 9
    assert isinstance(table, QTable)


def test_tables_of_transits_are_printed_with_few_digits(sun, emulator):
    transits = rvsemu.fit_transits([sun, sun], emulator=emulator, noise_correlation=(), model_error=None)
    for table in (transits.to_table(), transits.transit_table()):
        assert longest(printed(table)) <= 6
        assert all(table[column].info.description for column in table.colnames)


def test_long_names_of_files_leave_room_for_other_columns(result, tmp_path):
    table = replace(result, meta={**result.meta, "file": "/a/long/name/of/a/folder/star.csv"}).to_table()
    assert ".../of/a/folder/star.csv " in printed(table) and "/a/long" not in printed(table)
    assert table["file"][0] == "/a/long/name/of/a/folder/star.csv"
    table.write(tmp_path / "labels.csv")
    assert "/a/long/name/of/a/folder/star.csv" in (tmp_path / "labels.csv").read_text()
    named = replace(result, meta={**result.meta, "file": "star.csv"}).to_table()
    assert "\nstar.csv " in printed(named) and "..." not in printed(named)
