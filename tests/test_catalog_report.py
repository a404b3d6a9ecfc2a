"""The page about a catalogue: complete in itself, with the numbers of the catalogue."""

import base64
import re

import numpy as np
import pytest
from catalog_fixtures import SETTINGS, write_stars

from rvsemu.cli import main
from rvsemu.errors import SpectrumError

pytest.importorskip("pyarrow.parquet")
catalog = pytest.importorskip("rvsemu.catalog")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_stars(folder / "a.csv.gz", 7)
    (folder / "b.csv").write_text("words")
    catalog.fit_catalog(
        [folder / "a.csv.gz", folder / "b.csv"], folder / "out", jobs=1, rows=10, progress=False, **SETTINGS
    )
    return folder


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_a_page_of_its_own(made, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["catalog", "report", str(made / "out"), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    page = out.read_text(encoding="utf-8")
    table = catalog.read_catalog(made / "out")
    text = text_of(page)
    assert "spectra fitted 7 rejected, or transits passed over 1" in text
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == 2 + 4
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert f"{np.sum(np.asarray(table['flag_bits']) == 0)} spectra (" in text
    worst = table[int(np.argmax(table["reduced_chi2"]))]
    assert f"source {worst['source_id']}, reduced chi2 {worst['reduced_chi2']:.2f}" in text
    assert len(page) < 2e6
    assert main(["catalog", "report", str(made / "out"), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_without_the_spectra(made, tmp_path):
    hidden = made / "a.csv.gz"
    hidden.rename(made / "hidden")
    try:
        catalog.write_report(made / "out", tmp_path / "page.html")
    finally:
        (made / "hidden").rename(hidden)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and page.count("reduced chi2 ") >= 4


def test_what_is_no_catalogue(tmp_path):
    with pytest.raises(SpectrumError, match="no catalogue is there"):
        catalog.write_report(tmp_path, tmp_path / "page.html")
