"""Fetching spectra: a local HTTP server stands for the Gaia archive's DataLink service."""

import io
import subprocess
import sys
import zipfile
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

import numpy as np
import pytest
from rvs_fixtures import epoch_star, example_star, individual, raw, write_csv, write_fits, write_votable
from server_fixtures import serving

from rvsemu.cli import main
from rvsemu.errors import SpectrumError, SpectrumWarning
from rvsemu.spectra import archive, example_path, fetch_rvs, read_rvs, write_spectrum

KEPLER, HD, NOBODY = 2052747119115620352, 4268620287278693120, 4268620287278693121
STARS = {KEPLER: example_star("kepler-93"), HD: example_star("hd176650")}


class Service(BaseHTTPRequestHandler):
    """Speaks what `TapPlus.load_data` asks: a POST to /data-server/data, answered with a zip of files."""

    def do_POST(self):
        asked = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
        state = self.server.state
        state["requests"].append((self.path, asked))
        if asked["DATA_STRUCTURE"] not in state["vocabulary"]:
            self._send(500, b"<html><li><b>Message: </b>Unknown data structure</li></html>")
        else:
            body = state["answer"](asked)
            self._send(200, body, state["cut"] or len(body))

    def _send(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:length])

    def log_message(self, *_):
        pass


def zipped(files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def answers(tmp_path):
    """Answers by format and structure, as the archive names its files."""

    def write(suffix, writer, table, *extra):
        path = tmp_path / f"made{suffix}"
        path.unlink(missing_ok=True)
        return writer(path, table, *extra).read_bytes()

    def real(star):
        return example_path("kepler-93" if star is STARS[KEPLER] else "hd176650").read_bytes()

    def each(suffix, make):
        def answer(asked):
            ids = [int(i) for i in asked["ID"].split(",") if int(i) in STARS]
            return zipped({f"RVS-Gaia DR3 {i}{suffix}": make(suffix, STARS[i]) for i in ids})

        return answer

    return {
        "csv": each(".csv", lambda suffix, star: real(star)),
        "votable": each(
            ".xml", lambda suffix, star: write(suffix, write_votable, individual(star, scalars=False), star.scalars)
        ),
        "fits": each(
            ".fits", lambda suffix, star: write(suffix, write_fits, individual(star, scalars=False), star.scalars)
        ),
        "raw": lambda asked: zipped(
            {"RVS_RAW.xml": write(".xml", write_votable, raw(*[STARS[int(i)] for i in asked["ID"].split(",")]))}
        ),
        "nothing": lambda asked: zipped({}),
    }


@pytest.fixture
def service(answers):
    state = {"requests": [], "vocabulary": ("INDIVIDUAL",), "cut": None, "answer": answers["csv"]}
    with serving(Service, state=state) as server:
        yield server


@pytest.fixture
def fetch(service, tmp_path):
    """`fetch_rvs` from the local server into a folder of the test."""
    pytest.importorskip("astroquery")

    def run(source_ids, cache=tmp_path / "cache", **options):
        return fetch_rvs(source_ids, cache=cache, server=service.url, progress=False, **options)

    return run


def test_a_star_is_what_its_file_says(fetch, service):
    (star,) = fetch(KEPLER)
    (known,) = read_rvs(example_path("kepler-93"))
    np.testing.assert_array_equal(star.flux.value, known.flux.value)
    np.testing.assert_array_equal(star.uncertainty.array, known.uncertainty.array)
    np.testing.assert_array_equal(star.spectral_axis.value, known.spectral_axis.value)
    assert {k: v for k, v in star.meta.items() if k != "file"} == {k: v for k, v in known.meta.items() if k != "file"}
    ((path, asked),) = service.state["requests"]
    assert path == "/data-server/data"
    assert (asked["ID"], asked["RELEASE"], asked["RETRIEVAL_TYPE"]) == (str(KEPLER), "Gaia DR3", "RVS")
    assert (asked["DATA_STRUCTURE"], asked["FORMAT"], asked["USE_ZIP_ALWAYS"]) == ("INDIVIDUAL", "csv", "true")


@pytest.mark.parametrize("kind", ["votable", "fits", "raw"])
def test_every_format_gives_the_same(fetch, service, answers, kind):
    service.state["answer"] = answers[kind]
    stars = fetch([HD, KEPLER], format="votable" if kind == "raw" else kind)
    for star, source_id in zip(stars, (HD, KEPLER), strict=True):
        assert (star.meta["source_id"], star.meta["frame"], star.meta["release"]) == (source_id, "rest", "Gaia DR3")
        np.testing.assert_allclose(star.flux.value, STARS[source_id].flux, rtol=1e-7)


def test_order_repeats_and_kinds_of_identifiers(fetch, service):
    stars = fetch(np.array([HD, KEPLER, HD]))
    assert [s.meta["source_id"] for s in stars] == [HD, KEPLER]
    stars = fetch([str(KEPLER), HD])
    assert [s.meta["source_id"] for s in stars] == [KEPLER, HD]
    assert len(service.state["requests"]) == 1


@pytest.mark.parametrize(
    ("source_ids", "words"),
    [
        (float(KEPLER), ["is a float", "int64"]),
        (np.array([1.5]), ["is a float"]),
        ("Gaia DR3 5", ["'Gaia DR3 5'", "whole numbers"]),
        ([True], ["True"]),
        ([0], ["source_id=0", "2^63"]),
        ([2**63], ["2^63"]),
        ([None], ["None"]),
    ],
)
def test_bad_identifiers(source_ids, words, tmp_path):
    with pytest.raises(SpectrumError) as error:
        fetch_rvs(source_ids, cache=tmp_path / "cache")
    for word in words:
        assert word in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_masked_identifiers_are_refused(tmp_path):
    with pytest.raises(SpectrumError, match="not a Gaia identifier"):
        fetch_rvs(np.ma.masked_equal([KEPLER, 5], 5), cache=tmp_path)


def test_what_is_not_there_is_a_warning(fetch):
    with pytest.warns(SpectrumWarning, match=f"no RVS spectrum of 1 of .*: {NOBODY}"):
        stars = fetch([NOBODY, HD])
    assert [s.meta["source_id"] for s in stars] == [HD]


def test_nothing_there(fetch, service, answers):
    service.state["answer"] = answers["nothing"]
    with pytest.warns(SpectrumWarning, match="no RVS spectrum of 2 of"):
        assert fetch([NOBODY, HD]) == []


def test_chunks(fetch, service, monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "CHUNK", 2)
    with pytest.warns(SpectrumWarning):
        assert len(fetch([11, KEPLER, 12, 13, HD])) == 2
    assert [len(a["ID"].split(",")) for _, a in service.state["requests"]] == [2, 2, 1]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_cache_needs_neither_network_nor_astroquery(fetch, service, tmp_path):
    fetch([KEPLER, HD])
    names = sorted(p.name for p in (tmp_path / "cache").iterdir())
    assert names == [f"RVS-Gaia DR3 {i}.fits" for i in (KEPLER, HD)]
    code = (
        "import sys; sys.modules['astroquery'] = None\n"
        "from rvsemu.spectra import fetch_rvs\n"
        f"stars = fetch_rvs([{HD}, {KEPLER}], cache={str(tmp_path / 'cache')!r}, server='http://127.0.0.1:9/')\n"
        "print([s.meta['source_id'] for s in stars])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"[{HD}, {KEPLER}]"
    assert len(service.state["requests"]) == 1


def test_the_cache_of_the_user(fetch, monkeypatch, tmp_path):
    (tmp_path / "xdg" / "rvsemu").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    fetch(KEPLER, cache=True)
    assert (tmp_path / "xdg" / "rvsemu" / f"RVS-Gaia DR3 {KEPLER}.fits").exists()


def test_without_a_cache_nothing_is_kept(fetch, service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    for _ in range(2):
        assert len(fetch(KEPLER, cache=False)) == 1
    assert len(service.state["requests"]) == 2
    assert {p.name for p in set(tmp_path.rglob("*")) - before} == set()


def test_a_damaged_file_of_the_cache_is_fetched_again(fetch, service, tmp_path):
    fetch(KEPLER)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:20000])
    (star,) = fetch(KEPLER)
    assert star.shape == (2401,)
    assert len(service.state["requests"]) == 2


def test_a_file_of_ours_in_the_cache_is_not_the_archives(fetch, service, tmp_path):
    (star,) = fetch(KEPLER)
    (file,) = (tmp_path / "cache").iterdir()
    write_spectrum(star, file, overwrite=True)
    (again,) = fetch(KEPLER)
    np.testing.assert_array_equal(again.flux, star.flux)
    assert len(service.state["requests"]) == 2


def test_the_other_vocabulary_is_tried(fetch, service, monkeypatch, capsys):
    monkeypatch.setattr(archive, "CHUNK", 1)
    service.state["vocabulary"] = ("DATAMODEL_STANDARD",)
    assert len(fetch([KEPLER, HD])) == 2
    asked = [a["DATA_STRUCTURE"] for _, a in service.state["requests"]]
    assert asked == ["INDIVIDUAL", "DATAMODEL_STANDARD", "DATAMODEL_STANDARD"]
    assert capsys.readouterr().out == ""


def test_an_error_to_both_is_one_line(fetch, service):
    service.state["vocabulary"] = ()
    with pytest.raises(SpectrumError, match="answered with an error .*500.*try again") as error:
        fetch(KEPLER)
    assert "\n" not in str(error.value)
    assert len(service.state["requests"]) == 2


def test_a_truncated_answer_leaves_nothing_behind(fetch, service, tmp_path):
    service.state["cut"] = 3000
    with pytest.raises(SpectrumError, match="truncated"):
        fetch(KEPLER)
    assert not (tmp_path / "cache").exists()
    service.state["cut"] = None
    assert len(fetch(KEPLER)) == 1


def test_a_damaged_spectrum_does_not_take_the_others_along(fetch, service, answers, tmp_path):
    def half(asked):
        with zipfile.ZipFile(io.BytesIO(answers["csv"](asked))) as bundle:
            files = {name: bundle.read(name) for name in bundle.namelist()}
        last = list(files)[-1]
        return zipped(files | {last: files[last][:5000]})

    service.state["answer"] = half
    with pytest.warns(SpectrumWarning, match=f"1 that cannot be used is left out: .*{HD}.*truncated.*try again"):
        assert [star.meta["source_id"] for star in fetch([KEPLER, HD])] == [KEPLER]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [f"RVS-Gaia DR3 {KEPLER}.fits"]


def test_something_else_is_an_error(fetch, service):
    service.state["answer"] = lambda asked: b"<html>Service unavailable for maintenance</html>"
    with pytest.raises(SpectrumError, match="something else than spectra"):
        fetch(KEPLER)


def test_no_network(tmp_path):
    pytest.importorskip("astroquery")
    with pytest.raises(SpectrumError, match="cannot reach http://127.0.0.1:9/ .*check the network"):
        fetch_rvs(KEPLER, cache=tmp_path, server="http://127.0.0.1:9/")
    with pytest.raises(SpectrumError, match="server='gea' is not an address"):
        fetch_rvs(KEPLER, cache=tmp_path, server="gea")


def test_without_astroquery(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "astroquery.utils.tap", None)
    with pytest.raises(SpectrumError, match=r'pip install "rvsemu\[gaia\]"'):
        fetch_rvs(KEPLER, cache=tmp_path)


def test_an_error_leaves_no_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "astroquery.utils.tap", None)
    there = tmp_path / "there"
    there.mkdir()
    for folder in (tmp_path / "spectra", there):
        with pytest.raises(SpectrumError, match="needs astroquery"):
            fetch_rvs(KEPLER, cache=folder)
    assert list(tmp_path.iterdir()) == [there]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(SpectrumError, match=f"cache='{folder}': no such folder can be made"):
            fetch_rvs(KEPLER, cache=folder)


def test_unknown_format(tmp_path):
    with pytest.raises(SpectrumError, match="format='hdf5' is unknown"):
        fetch_rvs(KEPLER, cache=tmp_path, format="hdf5")


def test_other_releases_use_the_names_of_dr4(fetch, service, tmp_path):
    (star,) = fetch(KEPLER, data_release="Gaia DR4")
    ((_, asked),) = service.state["requests"]
    assert (asked["RELEASE"], asked["RETRIEVAL_TYPE"]) == ("Gaia DR4", "MEAN_SPECTRUM_RVS")
    assert star.meta["file"] == str(tmp_path / "cache" / f"MEAN_SPECTRUM_RVS-Gaia DR4 {KEPLER}.fits")


def test_command(service, monkeypatch, tmp_path, capsys):
    pytest.importorskip("astroquery")
    monkeypatch.setattr(
        archive.fetch_rvs, "__kwdefaults__", {**archive.fetch_rvs.__kwdefaults__, "server": service.url}
    )
    out, listed = tmp_path / "spectra", tmp_path / "ids.txt"
    listed.write_text(f"{KEPLER}\n{NOBODY}\n")
    assert main(["fetch", str(HD), "--list", str(listed), "-o", str(out)]) == 3
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"{out}/RVS-Gaia DR3 {i}.fits" for i in (HD, KEPLER)]
    assert str(NOBODY) in said.err
    assert len(read_rvs(out / f"RVS-Gaia DR3 {HD}.fits")) == 1
    assert main(["fetch", str(HD), str(KEPLER), "-o", str(out)]) == 0
    assert main(["fetch", str(NOBODY), "-o", str(out)]) == 3
    assert main(["fetch", "-o", str(out)]) == 2
    assert "--list FILE" in capsys.readouterr().err


# ------------------------------------------------------------------ epoch spectra
FIRST = 17091923342681275


@pytest.fixture
def epochs(service, tmp_path):
    """The service with three transits of each source, latest first, as the archive sends them: CSV files in a zip."""
    folder = tmp_path / "made"
    folder.mkdir()

    def transit(source_id, number, **changes):
        star = epoch_star().but(
            source_id=source_id, transit_id=FIRST + number, obs_time_rv=1717.25 + number, **{**changes}
        )
        return write_csv(folder / "one.csv", individual(star, wavelength=False)).read_bytes()

    def answer(asked):
        ids = [int(i) for i in asked["ID"].split(",") if int(i) in STARS]
        return zipped({f"EPOCH_SPECTRUM_RVS-Gaia DR4 {i}-{n}.csv": transit(i, n) for n in (2, 1, 0) for i in ids})

    service.state["answer"], service.state["transit"] = answer, transit
    return service


def test_epoch_spectra_of_each_source_in_order_of_time(fetch, epochs, tmp_path):
    spectra = fetch([HD, KEPLER], product="epoch")
    ((_, asked),) = epochs.state["requests"]
    assert (asked["RELEASE"], asked["RETRIEVAL_TYPE"]) == ("Gaia DR4", "EPOCH_SPECTRUM_RVS")
    assert asked["USE_ZIP_ALWAYS"] == "true"
    names = [(one.meta["source_id"], one.meta["transit_id"] - FIRST, one.meta["obs_time_rv"]) for one in spectra]
    assert names == [(i, n, 1717.25 + n) for i in (HD, KEPLER) for n in range(3)]
    assert {one.meta["frame"] for one in spectra} == {"barycentric"}
    assert {one.meta["release"] for one in spectra} == {"Gaia DR4"}
    known = epoch_star()
    np.testing.assert_allclose(spectra[4].flux.value, np.where(np.isnan(known.error), np.nan, known.flux), rtol=1e-6)
    np.testing.assert_allclose(spectra[4].spectral_axis.value, known.wavelength)
    kept = [tmp_path / "cache" / f"EPOCH_SPECTRUM_RVS-Gaia DR4 {i}.zip" for i in sorted((HD, KEPLER))]
    assert sorted((tmp_path / "cache").iterdir()) == kept
    assert [one.meta["transit_id"] for one in read_rvs(kept[0])] == [FIRST, FIRST + 1, FIRST + 2]


def test_epoch_spectra_from_the_cache(fetch, epochs, tmp_path):
    first = fetch(KEPLER, product="epoch")
    again = fetch(KEPLER, product="epoch")
    assert len(epochs.state["requests"]) == 1
    for one, other in zip(first, again, strict=True):
        assert one.meta == other.meta
        np.testing.assert_array_equal(one.flux.value, other.flux.value)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:9000])
    assert len(fetch(KEPLER, product="epoch")) == 3
    assert len(epochs.state["requests"]) == 2


def test_dr3_has_no_epoch_spectra(fetch, epochs):
    with pytest.raises(SpectrumError, match=r"data_release='Gaia DR3' has no epoch spectra.*Gaia DR4.*product='mean'"):
        fetch(KEPLER, product="epoch", data_release="Gaia DR3")
    with pytest.raises(SpectrumError, match="product='all' is unknown: use 'mean' or 'epoch'"):
        fetch(KEPLER, product="all")
    assert epochs.state["requests"] == []


def test_requests_for_epoch_spectra_hold_fewer_sources(fetch, epochs, monkeypatch):
    monkeypatch.setattr(archive, "EPOCH_CHUNK", 1)
    assert len(fetch([KEPLER, HD], product="epoch")) == 6
    assert [a["ID"] for _, a in epochs.state["requests"]] == [str(KEPLER), str(HD)]


def test_empty_transits_are_counted_and_left_out(fetch, epochs):
    nothing = np.full(961, np.nan)
    made, transit = epochs.state["answer"], epochs.state["transit"]

    def answer(asked):
        with zipfile.ZipFile(io.BytesIO(made(asked))) as bundle:
            files = {name: bundle.read(name) for name in bundle.namelist()}
        return zipped(files | {"empty.csv": transit(KEPLER, 7, flux=nothing)})

    epochs.state["answer"] = answer
    for _ in range(2):  # from the archive, and from the cache
        with pytest.warns(SpectrumWarning, match="1 transits of 1 sources have no good pixel and are left out"):
            spectra = fetch([KEPLER, HD], product="epoch")
        assert [one.meta["transit_id"] - FIRST for one in spectra] == [0, 1, 2, 0, 1, 2]
    assert len(epochs.state["requests"]) == 1


@pytest.mark.parametrize(("lines", "kept"), [(True, [KEPLER]), (False, [])])
def test_a_damaged_transit_and_its_source_are_not_kept(fetch, epochs, tmp_path, lines, kept):
    """Where the damaged file does not even say of which source it is, none of the answer is kept."""
    made = epochs.state["answer"]

    def answer(asked):
        with zipfile.ZipFile(io.BytesIO(made(asked))) as bundle:
            files = {name: bundle.read(name) for name in bundle.namelist()}
        half = next(name for name in files if str(HD) in name)
        rows = files[half].splitlines(keepends=True)[:500]
        return zipped(files | {half: b"".join(rows) if lines else b"".join(rows)[:-20]})

    epochs.state["answer"] = answer
    with pytest.warns(SpectrumWarning, match=f"1 that cannot be used is left out: .*{HD}.*try again"):
        assert len(fetch([KEPLER, HD], product="epoch")) == 5
    names = [f"EPOCH_SPECTRUM_RVS-Gaia DR4 {i}.zip" for i in kept]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == names
    epochs.state["answer"] = made
    assert len(fetch([KEPLER, HD], product="epoch")) == 6
    asked = ",".join(str(i) for i in (KEPLER, HD) if i not in kept)
    assert epochs.state["requests"][-1][1]["ID"] == asked


def test_what_is_damaged_hides_nothing_that_is_missing(fetch, epochs):
    """Several damaged transits of one source, and none of another."""
    made = epochs.state["answer"]

    def answer(asked):
        with zipfile.ZipFile(io.BytesIO(made(asked))) as bundle:
            files = {name: bundle.read(name) for name in bundle.namelist()}
        return zipped({n: b"".join(d.splitlines(keepends=True)[:500]) if str(HD) in n else d for n, d in files.items()})

    epochs.state["answer"] = answer
    with pytest.warns(SpectrumWarning) as said:
        assert {one.meta["source_id"] for one in fetch([KEPLER, HD, NOBODY], product="epoch")} == {KEPLER}
    texts = [str(one.message) for one in said]
    assert any("3 that cannot be used are left out" in text for text in texts)
    assert any(f"no RVS epoch spectrum of 1 of the sources asked for: {NOBODY}" in text for text in texts)


def test_sources_without_epoch_spectra(fetch, epochs):
    with pytest.warns(SpectrumWarning, match=f"Gaia DR4 has no RVS epoch spectrum of 1 of the sources.*: {NOBODY}"):
        assert len(fetch([NOBODY, HD], product="epoch")) == 3


def test_command_for_epoch_spectra(epochs, monkeypatch, tmp_path, capsys):
    pytest.importorskip("astroquery")
    defaults = {**archive.fetch_rvs.__kwdefaults__, "server": epochs.url}
    monkeypatch.setattr(archive.fetch_rvs, "__kwdefaults__", defaults)
    assert main(["fetch", str(HD), "--product", "epoch", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/EPOCH_SPECTRUM_RVS-Gaia DR4 {HD}.zip\n"
    assert main(["fetch", str(HD), "--product", "epoch", "--release", "Gaia DR3", "-o", str(tmp_path)]) == 2
    assert "has no epoch spectra" in capsys.readouterr().err


@pytest.mark.remote_data
def test_the_archive_itself(tmp_path):
    pytest.importorskip("astroquery")
    (star,) = fetch_rvs(KEPLER, cache=tmp_path)
    (known,) = read_rvs(example_path("kepler-93"))
    np.testing.assert_allclose(star.flux.value, known.flux.value, rtol=1e-6)
    assert star.meta["release"] == "Gaia DR3"
