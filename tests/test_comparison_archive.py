"""GSP-Spec from the archive: a local HTTP server stands for its service of queries."""

import io
import re
import subprocess
import sys
import warnings
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

import numpy as np
import pytest
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from server_fixtures import serving

from rvsemu.errors import ComparisonError, SpectrumWarning

pytest.importorskip("pyarrow.parquet")
comparison = pytest.importorskip("rvsemu.comparison")
archive = pytest.importorskip("rvsemu.comparison.archive")

FIRST = 4268620287278693120
STARS = [FIRST + 3 * i for i in range(5)]
LAST = STARS[-1]  # without [alpha/Fe]
FLAGS = "0000000000000" + "9" * 28


def answer(stars):
    """A VOTable as the archive sends it."""
    table = Table({"SOURCE_ID": np.array(stars, dtype=np.int64)})
    n = len(stars)
    for name, value in (("teff", 5000.0), ("logg", 2.0), ("mh", -0.5), ("alphafe", 0.1)):
        values = value + (np.array(stars) - FIRST if name == "teff" else np.zeros(n))
        mask = [name == "alphafe" and star == LAST for star in stars]
        for end, shift in (("", 0), ("_lower", -0.1), ("_upper", 0.1)):
            unit = "K" if name == "teff" else "dex"
            table[f"{name}_gspspec{end}"] = MaskedColumn(values + shift, mask=mask, unit=unit)
    table["flags_gspspec"] = np.array([FLAGS] * n, dtype="U41")
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from_table(table).to_xml(out, tabledata_format="binary2")
    return out.getvalue()


class Service(BaseHTTPRequestHandler):
    """Speaks what `TapPlus.launch_job` asks: a POST to /tap-server/tap/sync with a query, answered with a VOTable."""

    def do_POST(self):
        asked = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
        self.server.asked.append((self.path, asked))
        if self.server.broken:
            self._send(500, b"<html><li><b>Message: </b>out of order</li></html>")
            return
        wanted = {int(i) for i in re.search(r"IN \(([\d, ]+)\)", asked["QUERY"])[1].split(",")}
        self._send(200, answer([star for star in STARS if star in wanted]))

    def _send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    pytest.importorskip("astroquery")
    with serving(Service, asked=[], broken=False) as server:
        yield server


def test_rows_of_the_archive(service, tmp_path):
    table = comparison.fetch_gspspec([LAST, FIRST, 17], cache=tmp_path, server=service.url, progress=False)
    assert table["source_id"].tolist() == [FIRST, LAST] and table["source_id"].dtype == np.int64
    assert table["flags_gspspec"].tolist() == [FLAGS] * 2
    assert table["alphafe_gspspec"].mask.tolist() == [False, True]
    assert table["teff_gspspec"].tolist() == [5000, 5012] and table["teff_gspspec"].unit == "K"
    ((path, asked),) = service.asked
    assert path == "/tap-server/tap/sync" and "gaiadr3.astrophysical_parameters" in asked["QUERY"]


def test_requests_are_cached_one_by_one(service, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "CHUNK", 2)
    service.broken = True
    with pytest.raises(ComparisonError, match="answered with an error .*out of order.*try again later"):
        comparison.fetch_gspspec(STARS, cache=tmp_path, server=service.url, progress=False)
    assert not list(tmp_path.iterdir())
    service.broken, service.asked = False, []
    table = comparison.fetch_gspspec(STARS[:2], cache=tmp_path, server=service.url, progress=False)
    assert len(table) == 2 and len(service.asked) == 1
    table = comparison.fetch_gspspec(STARS, cache=tmp_path, server=service.url, progress=False)
    assert table["source_id"].tolist() == STARS and len(service.asked) == 3
    assert len(list(tmp_path.iterdir())) == 3
    code = (
        "import sys; sys.modules['astroquery'] = None\n"
        "from rvsemu.comparison import archive\n"
        "archive.CHUNK = 2\n"
        f"found = archive.fetch_gspspec({STARS}, cache={str(tmp_path)!r}, progress=False)\n"
        "print(found['source_id'].tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(STARS)


def test_a_comparison_with_the_archive(service, tmp_path):
    ours = Table({"source_id": [*STARS, 17, -1], "teff": np.full(7, 5000.0), "logg": np.full(7, 2.3528)})
    result = comparison.compare(ours, "gspspec", cache=tmp_path, server=service.url, progress=False)
    assert result.reference == "GSP-Spec of Gaia DR3"
    assert result.lost == {"the fit has no source_id": 1, "not in the reference": 1}
    assert -result.difference("teff").astype(int) == pytest.approx([0, 3, 6, 9, 12])
    np.testing.assert_allclose(result.difference("logg"), 0, atol=1e-12)
    np.testing.assert_allclose(result.pairs["logg_reference_error"].value, 0.1)


@pytest.mark.parametrize("release", ["Gaia DR4", "Gaia DR3,Gaia DR4"])
def test_source_ids_of_another_release_are_warned_of(service, tmp_path, release):
    ours = Table({"source_id": STARS, "teff": np.full(5, 5000.0), "logg": np.full(5, 2.3528)})
    given = {"cache": tmp_path, "server": service.url, "progress": False}
    ours["release"] = [*["Gaia DR3"] * 2, *["unknown"] * 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any("source_ids" in note for note in comparison.compare(ours, "gspspec", **given).notes)
    ours["release"] = [*["Gaia DR3"] * 4, release]
    with pytest.warns(SpectrumWarning, match="has fits of Gaia DR4, and the source_ids of GSP-Spec are those of Gaia"):
        result = comparison.compare(ours, "gspspec", **given)
    assert any("has fits of Gaia DR4" in note for note in result.notes) and "fits of Gaia DR4" in str(result)


def test_what_cannot_be_reached(tmp_path):
    pytest.importorskip("astroquery")
    with pytest.raises(ComparisonError, match="cannot reach http://127.0.0.1:9/ .*--with FILE"):
        comparison.fetch_gspspec(STARS, cache=tmp_path, server="http://127.0.0.1:9/", progress=False)
    with pytest.raises(ComparisonError, match="source_ids is empty"):
        comparison.fetch_gspspec([], cache=tmp_path)
    for given, words in (
        ([1.5e18], "source_ids has floats, which lose the last digits"),
        (["abc"], "source_ids has 'abc', which is no Gaia identifier"),
        ([FIRST, -5], "source_ids has -5, which is no Gaia identifier"),
        (FIRST, f"source_ids={FIRST}: give a list of whole numbers"),
    ):
        with pytest.raises(ComparisonError, match=words):
            comparison.fetch_gspspec(given, cache=tmp_path)
