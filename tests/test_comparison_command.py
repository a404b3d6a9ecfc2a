"""``rvsemu compare``: what it prints, writes and refuses; a catalogue and results of fits; the page."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.table import QTable, Table
from catalog_fixtures import OPTIONS, SETTINGS, simulated, write_stars

from rvsemu.cli import main
from rvsemu.errors import ComparisonError

pytest.importorskip("pyarrow.parquet")
catalog = pytest.importorskip("rvsemu.catalog")
comparison = pytest.importorskip("rvsemu.comparison")
UNFINISHED = "stars are missing, as the run has not ended; --resume (resume=True) goes on with it"
STARS = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A catalogue of simulated stars, the same as a table of results, and the truth as a table of a survey."""
    folder = tmp_path_factory.mktemp("compare")
    write_stars(folder / "a.csv.gz", STARS)
    catalog.fit_catalog([folder / "a.csv.gz"], folder / "labels", jobs=1, rows=10, progress=False, **SETTINGS)
    assert main(["fit", str(folder / "a.csv.gz"), "-o", str(folder / "fits.parquet"), *OPTIONS]) == 0
    stars = list(simulated(STARS))
    survey = Table({"gaiadr3_source_id": [star.meta["source_id"] for star in stars]})
    for ours, theirs, error in (("teff", "teff", 50.0), ("logg", "logg", 0.1), ("mh", "fe_h", 0.05)):
        survey[theirs] = [float(star.meta["labels"][ours].value) for star in stars]
        survey[f"e_{theirs}"] = [error] * STARS
    survey["flag_sp"] = [0] * (STARS - 1) + [4]
    survey.write(folder / "survey.fits")
    return folder


def run(made, *options, fits="labels"):
    return main(["compare", str(made / fits), "--with", str(made / "survey.fits"), "--flagged", "keep", *options])


def test_text_of_a_catalogue(made, capsys):
    assert run(made) == 0
    out = capsys.readouterr().out
    assert re.search(rf"fits in labels +{STARS}\n", out) and re.search(rf"compared +{STARS}\n", out)
    assert "teff with teff, logg with logg, mh with fe_h" in out
    assert re.search(rf"\nteff \(K\) +{STARS} ", out) and re.search(r"\n  S/N 50 to 100 +\d", out)


def test_a_catalogue_and_results_of_fits_agree(made, capsys):
    found = [
        comparison.compare(made / name, made / "survey.fits", flagged="keep") for name in ("labels", "fits.parquet")
    ]
    for label in ("teff", "logg", "mh"):
        one, other = (result.difference(label) for result in found)
        np.testing.assert_allclose(one, other, atol=1e-3 * np.max(np.abs(one)))
        assert np.sqrt(np.mean(found[0].normalised(label) ** 2)) < 2
    assert found[1].at("signal_to_noise") is None


@pytest.mark.parametrize("ended", [True, False])
def test_a_catalogue_whose_run_has_not_ended(made, tmp_path, ended):
    """Whichever of the two it is; folders of other Parquet files are none."""
    folder = tmp_path / "labels"
    shutil.copytree(made / "labels", folder)
    if not ended:
        plan = json.loads((folder / "_run.json").read_text())
        plan["inputs"].append(["z.csv.gz", 2**25, "0"])  # a second group
        (folder / "_run.json").write_text(json.dumps(plan))
    for one, other in ((folder, made / "survey.fits"), (made / "fits.parquet", folder)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            result = comparison.compare(one, other, flagged="keep")
        assert [str(one.message) for one in said] == ([] if ended else [f"{folder}: {UNFINISHED}"])
        assert any(UNFINISHED in note for note in result.notes) is not ended
    (folder / "_run.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison.compare(folder, made / "survey.fits", flagged="keep")


@pytest.mark.parametrize("format", ["json", "csv", "ecsv"])
def test_formats_on_the_terminal(made, capsys, format):
    assert run(made, "--format", format, "--cut", "flag_sp == 0") == 0
    out = capsys.readouterr().out
    if format == "json":
        rows = json.loads(out)
    elif format == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
    else:
        rows = list(QTable.read(out, format="ascii.ecsv"))
    (row,) = [row for row in rows if row["label"] == "mh" and row["region"] == "all"]
    assert int(row["n"]) == STARS - 1 and row["unit"] == "dex"


def test_files_to_write(made, tmp_path, capsys):
    page, table, rejects = (tmp_path / name for name in ("page.html", "table.ecsv", "rejects.csv"))
    options = ["-o", str(page), "-o", str(table), "--rejects", str(rejects), "--cut", "flag_sp == 0"]
    assert run(made, *options) == 0
    out = capsys.readouterr().out
    assert all(f"wrote {path}" in out for path in (page, table, rejects))
    assert QTable.read(table).meta["lost"] == ["left out of the reference by its flags or cuts: 1"]
    assert Table.read(rejects)["reason"].tolist() == ["left out of the reference by its flags or cuts"]
    assert run(made, *options) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(made, *options, "--overwrite") == 0


NOTHING = np.full(3, np.nan)


@pytest.mark.parametrize(
    ("ours", "theirs", "images"),
    [
        ({"alpha": np.zeros(3)}, {"alpha": NOTHING}, 1 + 2),
        ({"mh": NOTHING}, {"mh": np.zeros(3)}, 1 + 2),
        ({"mh": np.zeros(3)}, {"mh": np.array([np.nan, np.nan, 0.1])}, 1 + 3),
        ({"signal_to_noise": NOTHING}, {}, 1 + 2),
        ({"logg": NOTHING}, {}, 1),
    ],
)
def test_a_page_of_what_is_hardly_known(ours, theirs, images, tmp_path):
    """Labels of which no star has both values, and a signal to noise that nobody knows, are not drawn."""
    both = {"source_id": [1, 2, 3], "teff": [5000.0, 5400.0, 5600.0], "logg": [4.0, 4.1, 4.2]}
    result = comparison.compare(Table({**both, **ours}), Table({**both, **theirs}))
    result.write_report(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<img") == images


def test_tables_are_there_if_the_page_fails(made, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(comparison.Comparison, "write_report", full)
    table, rejects = tmp_path / "table.ecsv", tmp_path / "rejects.csv"
    options = ["-o", str(tmp_path / "page.html"), "-o", str(table), "--rejects", str(rejects)]
    assert run(made, *options, "--cut", "flag_sp == 0") == 2
    assert len(QTable.read(table)) > 3 and len(Table.read(rejects)) == 1


def test_the_page_is_complete_in_itself(made, tmp_path):
    page = tmp_path / "page.html"
    result = comparison.compare(made / "labels", made / "survey.fits", flagged="keep")
    result.write_report(page)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(images) == 1 + 3 and all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))
    row = result.table[0]
    assert f"teff (K) {STARS} {STARS} {row['bias']:+.1f} {row['bias_error']:.1f} {row['scatter']:.1f}" in plain
    with pytest.raises(ComparisonError, match="exists"):
        result.write_report(page)


def test_a_page_of_many_stars_with_names_that_are_no_html(tmp_path):
    rng = np.random.default_rng(2)
    n = 4000
    ours = Table({"source_id": np.arange(1, n + 1), "teff": rng.uniform(4000, 7000, n), "logg": rng.uniform(1, 5, n)})
    ours.write(tmp_path / "a<b>.fits")
    comparison.compare(tmp_path / "a<b>.fits", ours).write_report(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a<b>" not in text and "a&lt;b&gt;.fits" in text and text.count("<img") == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cut", "flag"], "cut 'flag': write a column"),
        (["--column", "teff"], "write WHAT=NAME"),
        (["--column", "teff=TEF"], "has no column TEF: did you mean teff?"),
        (["--column", "size=teff"], "column 'size'"),
        (["--gspspec-flags", "10"], "a whole number from 0 to 9"),
        (["--gspspec-flags", "0"], "has no column flags_gspspec"),
        (["-o", "page.txt"], "ending '.txt' is unknown"),
        (["--rejects", "page.html"], "ending '.html' is unknown"),
        (["-o", "missing/page.html"], "missing does not exist"),
        (["-o", "page.html", "-o", "./page.html"], "page.html would be written twice"),
        (["-o", "table.csv", "--rejects", "table.csv"], "table.csv would be written twice"),
    ],
)
def test_what_is_refused(made, capsys, options, words):
    try:
        status = run(made, *options)
    except SystemExit as exit:
        status = exit.code
    err = capsys.readouterr().err
    assert status == 2 and words in err and "Traceback" not in err


@pytest.mark.parametrize("option", ["-o", "--rejects"])
def test_what_is_compared_is_not_replaced(made, capsys, option):
    before = (made / "survey.fits").read_bytes()
    assert run(made, option, str(made / "survey.fits"), "--overwrite") == 2
    assert "survey.fits is read and would be replaced" in capsys.readouterr().err
    assert (made / "survey.fits").read_bytes() == before


def test_help(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["compare", "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    for option in ("--with", "--column", "--cut", "--no-calibrated", "--gspspec-flags", "--flagged", "--rejects"):
        assert option in out


def test_a_table_needs_no_pyarrow_and_no_astroquery(made):
    QTable.read(made / "survey.fits").write(made / "survey.csv", overwrite=True)
    code = (
        "import sys; sys.modules['pyarrow'] = sys.modules['astroquery'] = sys.modules['pandas'] = None\n"
        "from astropy.table import Table\n"
        "from rvsemu.comparison import compare\n"
        f"table = Table.read({str(made / 'survey.csv')!r})['gaiadr3_source_id', 'teff']\n"
        "table.rename_column('gaiadr3_source_id', 'source_id')\n"
        f"print(compare(table, {str(made / 'survey.csv')!r}).matched)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(STARS)
