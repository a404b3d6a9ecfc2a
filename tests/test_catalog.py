"""Catalogues: the labels of a single fit, the same table however it is made, and everything that can go wrong."""

import csv
import gzip
import io
import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io.votable import parse
from astropy.nddata import StdDevUncertainty, VarianceUncertainty
from astropy.table import QTable
from catalog_fixtures import OPTIONS, SETTINGS, simulated, write_stars
from fit_fixtures import exact_emulator, with_error
from rvs_fixtures import epoch_star, write_bulk
from specutils import Spectrum

import rvsemu
from rvsemu.cli import main
from rvsemu.errors import SettingsError, SpectrumError, SpectrumWarning
from rvsemu.fitting import Function, fit_many
from rvsemu.observing.flags import from_bits
from rvsemu.physics.wavelengths import convert_medium
from rvsemu.spectra import example_path
from rvsemu.spectra import write_bulk as write_gaia_bulk

pq = pytest.importorskip("pyarrow.parquet")
catalog = pytest.importorskip("rvsemu.catalog")
dataset, run, work = (pytest.importorskip(f"rvsemu.catalog.{name}") for name in ("dataset", "run", "work"))
MADE = {"rows": 10, "progress": False, **SETTINGS}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Two files, of 16 and 6 stars."""
    folder = tmp_path_factory.mktemp("inputs")
    write_stars(folder / "a.csv.gz", 16)
    write_stars(folder / "b.csv.gz", 6, 2)
    return folder


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    """The catalogue of one process that nothing disturbed."""
    out = tmp_path_factory.mktemp("made") / "labels"
    summary = catalog.fit_catalog(inputs, out, jobs=1, **MADE)
    assert (summary.spectra, summary.rejected, summary.expected, summary.rejects) == (22, 0, 0, None)
    assert str(summary) == f"{out}: 22 spectra fitted"
    return out


def number(entry):
    return float(getattr(entry, "value", entry))


def same(one, other):
    """Whether two folders have the same partitions, to the last byte."""
    first, second = ({p.name: p.read_bytes() for p in folder.glob("part-*")} for folder in (one, other))
    return first.keys() == second.keys() and all(first[name] == second[name] for name in first)


def test_labels_are_those_of_single_fits(inputs, made):
    table = catalog.read_catalog(made)
    stars = [star for name in "ab" for star in rvsemu.read_rvs(inputs / f"{name}.csv.gz")]
    assert list(table["source_id"]) == [star.meta["source_id"] for star in stars]
    for row in (0, 9, 15, 21):
        result, entry = rvsemu.fit(stars[row], **SETTINGS), table[row]
        for name, value in result.labels.items():
            error = float(result.errors[name].value)
            assert number(entry[name]) == pytest.approx(float(value.value), abs=1e-3 * error + 1e-9), name
            assert number(entry[f"{name}_error"]) == pytest.approx(error, rel=1e-3), name
        assert ",".join(result.flags) == str(entry["flags"]).replace("none", "")
        assert entry["chi2"] == pytest.approx(result.chi2, rel=1e-4)
        i, j = (result.free_names.index(name) for name in ("teff", "mh"))
        assert entry["covariance_teff_mh"].value == pytest.approx(result.covariance[i, j], rel=1e-2)


def test_labels_that_were_put_in_come_out(made):
    table = catalog.read_catalog(made)
    truth = [star.meta["labels"]["teff"].value for star in chain(simulated(16), simulated(6, 2))]
    away = (table["teff"].value - truth) / table["teff_error"].value
    assert np.sqrt(np.mean(np.square(away))) < 1.5
    assert np.all(np.abs(table["signal_to_noise"] - 95) < 60)
    assert set(table["combined_ccds"]) == {30}
    assert [set(table[name]) for name in ("release", "medium", "frame")] == [{"Gaia DR4"}, {"vacuum"}, {"rest"}]
    assert np.all(table["vmic"].value == 1.2) and np.all(table["vmic_error"].value == 0)
    for bits, names in zip(table["flag_bits"], table["flags"], strict=True):
        assert set(from_bits(int(bits))) == {name.split(":")[0] for name in names.split(",") if name != "none"}


def test_units_and_descriptions_for_every_reader(made):
    table = catalog.read_catalog(made, ["teff", "source_id", "covariance_teff_mh"])
    assert table.colnames == ["teff", "source_id", "covariance_teff_mh"]
    assert (table["teff"].unit, table["covariance_teff_mh"].unit) == (u.K, u.K * u.dex)
    assert table["source_id"].dtype == np.int64
    part = sorted(made.glob("part-*"))[0]
    by_astropy = QTable.read(part, format="parquet")
    assert by_astropy["radial_velocity"].unit == u.km / u.s
    assert by_astropy["teff"].info.description == "effective temperature"
    np.testing.assert_array_equal(by_astropy["teff"].value, table["teff"].value[:10])
    schema = pq.read_schema(part)
    assert schema.field("logg").metadata[b"unit"] == b"dex"
    run = json.loads(schema.metadata[b"rvsemu"])
    assert run["settings"]["fixed"] == {"vmic": 1.2, "resolution": 11700.0}
    assert run["emulator"]["recipe"] == "default" and len(run["emulator"]["fingerprint"]) == 12
    fields = parse(io.BytesIO(schema.metadata[b"IVOA.VOTable-Parquet.content"])).get_first_table().fields
    assert [f.name for f in fields] == schema.names


def test_pandas_reads_the_folder(made):
    pandas = pytest.importorskip("pandas")
    assert len(pandas.read_parquet(made)) == 22


@pytest.mark.parametrize("name", ["labels.fits", "labels.ecsv"])
def test_one_table_for_a_small_run(inputs, made, tmp_path, name, kept_workers):
    summary = catalog.fit_catalog(inputs, tmp_path / name, jobs=2, **MADE)
    table, expected = QTable.read(tmp_path / name), catalog.read_catalog(made)
    assert summary.spectra == len(table) == 22
    np.testing.assert_allclose(table["teff"].value, expected["teff"].value, rtol=1e-12)
    np.testing.assert_array_equal(table["source_id"], expected["source_id"])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(SpectrumError, match="exists"):
        catalog.fit_catalog(inputs, tmp_path / name, **MADE)


def test_the_same_from_more_processes(inputs, made, tmp_path, kept_workers):
    catalog.fit_catalog(inputs, tmp_path / "out", jobs=2, **MADE)
    assert same(made, tmp_path / "out")


@pytest.mark.parametrize(("groups", "workers", "stride"), [(1, 64, 64), (3386, 1000, 2), (300, 64, 1), (2, 1, 1)])
def test_no_more_workers_read_a_file_than_have_work(tmp_path, groups, workers, stride):
    """Each reads all of it, which takes longer than the fits if there are hundreds."""
    tasks = run._tasks(tmp_path, [("a.csv.gz",)] * groups, workers, {"rows": 10, "transits": "alone"}, {})
    assert [(one.unit, one.first) for one in tasks] == [(u, f) for u in range(groups) for f in range(stride)]
    assert {one.stride for one in tasks} == {stride}


def test_another_emulator_in_the_same_workers(tmp_path, kept_workers):
    write_stars(tmp_path / "a.csv.gz", 2)
    stars, seen = rvsemu.read_rvs(tmp_path / "a.csv.gz"), []
    for number, emulator in enumerate((rvsemu.shipped(), with_error(rvsemu.shipped(), 0.02), rvsemu.shipped())):
        catalog.fit_catalog(tmp_path / "a.csv.gz", tmp_path / f"{number}", emulator=emulator, **MADE)
        seen.append(np.array(catalog.read_catalog(tmp_path / f"{number}")["noise_chi2"]))
        expected = [result.noise_chi2 for result in fit_many(stars, emulator=emulator, **SETTINGS)]
        np.testing.assert_allclose(seen[-1], expected, rtol=1e-4)
    assert np.all(seen[0] == seen[2]) and np.all(seen[1] < 0.8 * seen[0])


def test_the_same_from_a_dask_cluster(inputs, made, tmp_path):
    """Of processes, which Dask starts with one thread for linear algebra, as those of a real cluster."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        catalog.fit_catalog(inputs, tmp_path / "out", dask=cluster.scheduler_address, **MADE)
    assert same(made, tmp_path / "out")
    with pytest.raises(SettingsError, match="jobs=2 is for this machine, and dask=nowhere"):
        catalog.fit_catalog(inputs, tmp_path / "other", jobs=2, dask="nowhere", **MADE)
    with pytest.raises(SettingsError, match="dask=nowhere: no"):
        catalog.fit_catalog(inputs, tmp_path / "other", dask="nowhere", **MADE)


def arguments(inputs, out, *more):
    return ["catalog", "fit", str(inputs), "-o", str(out), "--rows", "10", "--quiet", *OPTIONS, *more]


def started(*words):
    command = [sys.executable, "-m", "rvsemu", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def workers_of(pid):
    """Processes that it has started, but for the tracker of Python's multiprocessing."""
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return [int(line.split()[0]) for line in listed if "spawn_main" in line]


def test_killed_and_resumed(inputs, made, tmp_path, kept_workers):
    """SIGKILL after the first partition; no process is left; the table is that of an undisturbed run."""
    out = tmp_path / "out"
    process = started(*arguments(inputs, out, "--jobs", "1"))
    until(lambda: out.is_dir() and any(out.glob("part-*")))
    children = workers_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert children
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    there = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 0 < len(there) < 3 and not same(made, out)
    (out / ".part-000000-000002.parquet.1.0.tmp").write_bytes(b"half")
    assert main(arguments(inputs, out)) == 2
    assert main(arguments(inputs, out, "--resume")) == 0
    assert same(made, out)
    assert all((out / name).stat().st_mtime_ns == when for name, when in there.items())
    assert not list(out.glob(".*.tmp"))


def test_interrupted_and_resumed(inputs, made, tmp_path, kept_workers):
    out = tmp_path / "out"
    process = started(*arguments(inputs, out, "--jobs", "1"))
    until(lambda: out.is_dir() and any(out.glob("part-*")))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, said) == (130, "rvsemu catalog: interrupted\n")
    assert main(arguments(inputs, out, "--resume")) == 0
    assert same(made, out)


def test_a_worker_that_is_killed(inputs, made, tmp_path, capsys, request):
    out, others = tmp_path / "out", set(multiprocessing.active_children())

    def kill():
        until(lambda: out.is_dir() and any(out.glob("part-*")))
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()

    with ThreadPoolExecutor(1) as other:
        killing = other.submit(kill)
        assert main(arguments(inputs, out, "--jobs", "1")) == 2
        killing.result()
    said = capsys.readouterr().err
    assert "a worker was killed" in said and "Traceback" not in said
    request.getfixturevalue("kept_workers")
    assert main(arguments(inputs, out, "--resume")) == 0
    assert same(made, out)


def test_only_the_same_run_goes_on(inputs, made, tmp_path, kept_workers):
    out = tmp_path / "out"
    shutil.copytree(made, out)
    again = {"resume": True, **MADE}
    assert catalog.fit_catalog(inputs, out, **again).spectra == 22
    with pytest.raises(SpectrumError, match=r"has a catalogue: go on with it by resume=True \(--resume\), or give"):
        catalog.fit_catalog(inputs, out, **MADE)
    with pytest.raises(SpectrumError, match=r"was made with other settings \(mask: \['edges'\]\): give another"):
        catalog.fit_catalog(inputs, out, **{**again, "mask": None})
    with pytest.raises(SpectrumError, match=r"was made with other rows=10: give another"):
        catalog.fit_catalog(inputs, out, **{**again, "rows": 11})
    with pytest.raises(SpectrumError, match=r"was made with other input files \(.*b.csv.gz is missing\)"):
        catalog.fit_catalog(inputs / "a.csv.gz", out, **again)
    with pytest.raises(SpectrumError, match=r"was made with other input files \(in another order"):
        catalog.fit_catalog([inputs / "b.csv.gz", inputs / "a.csv.gz"], out, **again)
    with pytest.raises(SpectrumError, match=r"was made with another emulator|other emulator"):
        catalog.fit_catalog(inputs, out, emulator=exact_emulator(), **again)
    about = {"ranges": {"teff": [4900.0, 6300.0]}, "model_error": {"base": 0.003, "depth": 0.01, "reach": 1.75}}
    calibrated = replace(rvsemu.shipped(), info={**rvsemu.shipped().info, "calibration": about})
    with pytest.raises(SpectrumError, match=r"was made with other emulator"):
        catalog.fit_catalog(inputs, out, emulator=calibrated, **again)
    with pytest.raises(SpectrumError, match=r"is not empty: give another folder"):
        catalog.fit_catalog(inputs, inputs, **MADE)
    assert same(made, out)


def test_another_version_does_not_go_on(inputs, made, tmp_path, monkeypatch):
    """Half of the stars would have labels by other code than the rest, and nothing would say so."""
    out = tmp_path / "out"
    shutil.copytree(made, out)
    monkeypatch.setattr("rvsemu.catalog.plan.version", lambda name: "99.0")
    words = r"was made with other code: rvsemu .*, and this is 99.0: give another folder, install that version, or"
    with pytest.raises(SpectrumError, match=words):
        catalog.fit_catalog(inputs, out, resume=True, **MADE)
    assert same(made, out)


@pytest.mark.parametrize("group", [2**24, 2**12], ids=["whole files", "parts of files"])
def test_a_file_whose_rows_have_moved_does_not_go_on(tmp_path, monkeypatch, kept_workers, group):
    """It is as long as before, and what is left to do would be other stars than those that are not done."""
    monkeypatch.setattr("rvsemu.catalog.plan.GROUP", group)
    path, out = tmp_path / "a.csv", tmp_path / "out"
    text = gzip.decompress(write_stars(tmp_path / "a.csv.gz", 22).read_bytes()).decode()
    path.write_text(text)
    catalog.fit_catalog(path, out, **MADE)
    sorted(out.glob("part-*"))[1].unlink()
    *others, first, last = text.splitlines(keepends=True)
    path.write_text("".join([*others, last, first]))
    assert path.stat().st_size == len(text)
    with pytest.raises(SpectrumError, match=r"other input files \(the content of .*a.csv has changed\): give another"):
        catalog.fit_catalog(path, out, resume=True, **MADE)
    path.write_text(text)
    assert catalog.fit_catalog(path, out, resume=True, **MADE).repeated == 0


def test_a_file_that_is_replaced_while_it_is_read(tmp_path, kept_workers):
    """As by a download that goes on; the same content with another date is no harm."""
    out, touched, path = tmp_path / "out", tmp_path / "a.csv.gz", tmp_path / "b.csv.gz"
    write_stars(touched, 1)
    other = write_stars(tmp_path / "other", 30, first=2)
    path.write_bytes(write_stars(tmp_path / "b", 30).read_bytes())

    def replace_it():
        until(lambda: out.is_dir() and any(out.glob("part-*")))
        touched.touch()
        path.write_bytes(other.read_bytes())

    with ThreadPoolExecutor(1) as thread:
        replacing = thread.submit(replace_it)
        with pytest.raises(SpectrumError, match=r"b.csv.gz has changed while it was read.*with another folder"):
            catalog.fit_catalog([touched, path], out, **MADE)
        replacing.result()


@pytest.mark.parametrize("missing", [0, -1], ids=["the first partition", "the last group"])
def test_a_catalogue_that_is_not_complete_says_so(made, tmp_path, missing):
    out = tmp_path / "out"
    shutil.copytree(made, out)
    assert len(catalog.read_catalog(out)) == 22
    sorted(out.glob("part-*"))[missing].unlink()
    with pytest.warns(SpectrumWarning, match="stars are missing, as the run has not ended; --resume"):
        assert len(catalog.read_catalog(out)) < 22
    catalog.write_report(out, tmp_path / "page.html")
    assert "Not complete: stars are missing" in (tmp_path / "page.html").read_text(encoding="utf-8")
    (out / "_run.json").unlink()  # nothing tells any more
    assert len(catalog.read_catalog(out)) < 22


@pytest.mark.parametrize("kind", ["damaged", "another"])
def test_the_emulator_in_the_folder_is_that_of_the_run(inputs, made, tmp_path, kept_workers, kind):
    out = tmp_path / "out"
    shutil.copytree(made, out)
    sorted(out.glob("part-*"))[1].unlink()
    copy = out / work.EMULATOR
    if kind == "damaged":
        copy.write_bytes(copy.read_bytes()[:100_000])
    else:
        with_error(rvsemu.shipped(), 0.02).save(copy, overwrite=True)
    catalog.fit_catalog(inputs, out, resume=True, **MADE)
    assert same(made, out)


def test_one_run_at_a_time(inputs, made, tmp_path, capsys):
    """The second is refused and the first unharmed."""
    out = tmp_path / "out"
    process = started(*arguments(inputs, out, "--jobs", "1"))
    until(lambda: out.is_dir() and any(out.glob("part-*")))
    assert main(arguments(inputs, out, "--resume")) == 2
    said = capsys.readouterr().err
    assert f"{out} is being written by another process (number {process.pid}): wait until it has ended, or" in said
    assert said.endswith("give another folder.\n")
    assert process.communicate(timeout=120)[1] == "" and process.returncode == 0
    assert same(made, out)


def test_rejects_of_another_table_stay(tmp_path, kept_workers):
    """Of a table of the same name in another format, and those of one that was deleted or moved."""
    bad = tmp_path / "b.csv"
    bad.write_text("words\n")
    stars = write_stars(tmp_path / "a.csv.gz", 2)
    first = catalog.fit_catalog([stars, bad], tmp_path / "labels.ecsv", **MADE)
    assert first.rejects == tmp_path / "labels.ecsv-rejects.csv"
    kept = first.rejects.read_bytes()
    for inputs in ([stars], [bad, stars]):
        catalog.fit_catalog(inputs, tmp_path / f"labels.{'fits' if bad in inputs else 'vot'}", **MADE)
    assert first.rejects.read_bytes() == kept
    assert {path.name for path in tmp_path.glob("*-rejects.csv")} == {
        "labels.ecsv-rejects.csv",
        "labels.fits-rejects.csv",
    }
    (tmp_path / "labels.ecsv").unlink()
    with pytest.raises(SpectrumError, match="labels.ecsv-rejects.csv exists, as a run has ended there"):
        catalog.fit_catalog([stars], tmp_path / "labels.ecsv", **MADE)
    assert first.rejects.read_bytes() == kept and not (tmp_path / "labels.ecsv").exists()


def test_output_within_the_folder_of_the_inputs(tmp_path, kept_workers):
    """It is no input when the run goes on."""
    folder = tmp_path / "bulk"
    folder.mkdir()
    write_stars(folder / "a.csv.gz", 12)
    (folder / "b.csv").write_text("words\n")
    for out in (folder / "labels", folder / "labels.csv"):
        assert catalog.fit_catalog(folder, out, **MADE).spectra == 12
        if out.suffix:
            out.unlink()
            (folder / "labels.csv-rejects.csv").unlink()
        else:
            sorted(out.glob("part-*"))[1].unlink()
        summary = catalog.fit_catalog(folder, out, resume=True, **MADE)
        assert (summary.spectra, summary.rejected) == (12, 1)
        shutil.rmtree(folder / "labels", ignore_errors=True)


def test_what_rows_lack_is_said(tmp_path, capsys, kept_workers):
    """Files without the columns, as if they had other names; a cell of a file that has them."""
    text = gzip.decompress(write_stars(tmp_path / "a.csv.gz", 3).read_bytes()).decode()
    (tmp_path / "b.csv").write_text(text.replace("source_id", "star").replace("combined_ccds", "ccds"))
    (tmp_path / "c.csv").write_text(text.replace(f"\n{(1 << 40) + 1},", "\n,"))
    (tmp_path / "d.csv").write_text(text.replace("combined_transits", "transits"))
    inputs = [str(tmp_path / name) for name in ("a.csv.gz", "b.csv", "c.csv", "d.csv")]
    summary = catalog.fit_catalog(inputs, tmp_path / "out", **MADE)
    assert (summary.spectra, summary.missing) == (12, {"source_id": 4, "combined_ccds": 3, "frame": 3})
    assert "3 of unknown frame: taken for barycentric; a column frame in the file" in str(summary)
    assert "4 without source_id: file and order say which they are, 3 without combined_ccds: " in str(summary)
    assert catalog.fit_catalog(inputs[:1], tmp_path / "other", **MADE).missing == {}


@pytest.mark.parametrize("transits", ["alone", "joint"])
def test_what_is_no_number_is_missing(tmp_path, transits, kept_workers):
    """A place in hours and minutes, a time in words, numbers of CCD spectra that are none: all spectra are fitted."""
    text = gzip.decompress(write_stars(tmp_path / "a.csv.gz", 6).read_bytes()).decode()
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    ccds = ["many", "true", "0", "1e30", str(10**400), "30"]
    for row, number, place, when in zip(rows, ccds, ["10:20:30", *"12345"], ["2026-12-02", *"12345"], strict=True):
        row |= {"combined_ccds": number, "ra": place, "obs_time_rv": when}
    with open(tmp_path / "b.csv", "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    summary = catalog.fit_catalog(tmp_path / "b.csv", tmp_path / "out", **MADE, transits=transits)
    assert (summary.spectra, summary.rejected, summary.missing) == (6, 0, {"combined_ccds": 5})
    table = catalog.read_catalog(tmp_path / "out")
    times = table["obs_time_rv"] if transits == "alone" else np.concatenate(table["transit_times"])
    for values in (table["ra"], times):
        plain = np.ma.asarray(getattr(values, "value", values))
        assert np.ma.filled(plain, np.nan).tolist() == pytest.approx([np.nan, 1, 2, 3, 4, 5], nan_ok=True)


@pytest.mark.parametrize("transits", ["alone", "joint"])
def test_spectra_of_which_neither_frame_nor_release_is_known_are_counted(tmp_path, transits, kept_workers):
    """They have other pixels than any release, and nothing says what they are; a column does of the second file."""
    for name, star in zip("ab", simulated(2), strict=True):
        columns = (star.spectral_axis.value, star.flux.value, star.uncertainty.array)
        table = QTable([one[~star.mask][::2] for one in columns], names=["wavelength", "flux", "flux_error"])
        if name == "b":
            table["frame"], table["release"] = "rest", "Gaia DR3"
        table.write(tmp_path / f"{name}.csv")
    given = {**MADE, "transits": transits, "noise_correlation": "white"}
    summary = catalog.fit_catalog(tmp_path, tmp_path / "out", **given)
    unknown = {"frame": 1, "release": 1}
    assert (summary.spectra, summary.missing) == (2, {"source_id": 2, "combined_ccds": 2} | unknown)
    assert "1 of unknown release: unless noise_correlation says it, only the wavelengths tell" in str(summary)
    table = catalog.read_catalog(tmp_path / "out")
    found = [list(row) for row in table["release", "frame"]]
    assert found == [["unknown", "unknown"], ["Gaia DR3", "rest"]]


def test_no_source_is_zero(tmp_path, kept_workers):
    """With 0 for none, transits of different stars would be fitted together."""
    text = gzip.decompress(write_stars(tmp_path / "a.csv.gz", 2).read_bytes()).decode()
    for value in ("0", "-5"):
        (tmp_path / "b.csv").write_text(text.replace(f"\n{(1 << 40) + 1},", f"\n{value},"))
        out = tmp_path / f"out{value}"
        assert catalog.fit_catalog(tmp_path / "b.csv", out, **MADE).spectra == 1
        assert f"source_id {value} is not within 1 to 2^63 - 1" in (out / "_rejects.csv").read_text()


def synthetic(folder, rows, sources):
    """Partitions of so many `rows` each, which have `sources` and nothing else."""
    import pyarrow as pa

    about = {"unit": 0, "last": True, "rejected": 0, "expected": 0}
    for number, some in enumerate(np.split(sources, len(sources) // rows)):
        table = pa.table({"source_id": pa.array(some, mask=some < 0), "transit_id": pa.nulls(rows, pa.int64())})
        metadata = {"rvsemu.part": json.dumps({**about, "number": number})}
        pq.write_table(table.replace_schema_metadata(metadata), dataset.part_path(folder, 0, number))
    return dataset.parts_of(folder)


@pytest.mark.parametrize("order", ["sorted", "sorted but for two", "random"])
@pytest.mark.parametrize("at_once", [20, 100, 10_000])
def test_repeated_sources_are_those_of_a_count(tmp_path, monkeypatch, order, at_once):
    """However many are compared at once; of sorted ones each partition is read once."""
    rng = np.random.default_rng(3)
    sources = rng.integers(1, 2000, 1000) + 2**61
    if order != "random":
        sources.sort()
    if order == "sorted but for two":
        sources[[5, 995]] = sources[[995, 5]]
    sources[rng.integers(0, 1000, 30)] = -1  # has none
    parts, read = synthetic(tmp_path, 10, sources), []
    monkeypatch.setattr(dataset, "_AT_ONCE", at_once)
    table_of = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path, **options: read.append(path) or table_of(path, **options))
    expected = np.sum(np.unique(sources[sources > 0], return_counts=True)[1] > 1)
    assert dataset.repeated_sources(parts, ["source_id", "transit_id"]) == expected > 100
    if at_once == 10_000 or (order == "sorted" and at_once == 100):
        assert sorted(read) == [part.path for part in parts]


@pytest.fixture
def trouble(tmp_path):
    """Good stars among files and rows that cannot be used."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    write_stars(folder / "a.csv.gz", 4)
    whole = write_stars(folder / "b.csv.gz", 14, 2).read_bytes()
    (folder / "b.csv.gz").write_bytes(whole[: len(whole) * 4 // 5])
    (folder / "c.csv").write_text("words\n")
    (folder / "d.fits").write_bytes(b"SIMPLE  =                    T" + bytes(3000))
    good = list(simulated(2, 4))
    empty = next(simulated(1, 5))
    lines = gzip.decompress(write_stars(folder / "e.csv.gz", 3, 4).read_bytes()).decode().splitlines(keepends=True)
    row = lines[-2].split('"')
    row[1] = "[" + ", ".join(["NaN"] * 961) + "]"
    (folder / "e.csv.gz").write_bytes(gzip.compress("".join([*lines[:-2], '"'.join(row), lines[-1]]).encode()))
    few = next(simulated(1, 6))
    few.flux[40:] = np.nan
    write_gaia_bulk([few], folder / "f.csv.gz")
    assert good and empty
    return folder


def test_what_cannot_be_used_is_listed_and_the_run_goes_on(trouble, tmp_path, capsys, kept_workers):
    out = tmp_path / "out"
    assert main(arguments(trouble, out, "--jobs", "2")) == 3
    captured = capsys.readouterr()
    with open(out / "_rejects.csv", newline="") as file:
        rejects = list(csv.DictReader(file))
    table = catalog.read_catalog(out)
    reasons = {Path(one["file"]).name: one["reason"] for one in rejects}
    assert list(reasons) == ["b.csv.gz", "c.csv", "d.fits", "e.csv.gz", "f.csv.gz"]
    words = ["end-of-stream marker", "not an RVS spectrum", "not a complete FITS", "has no good pixel", "good pixels"]
    assert all(word in reason for word, reason in zip(words, reasons.values(), strict=True)), reasons
    by_file = {name: sum(Path(file).name == name for file in table["file"]) for name in ("a.csv.gz", "e.csv.gz")}
    assert by_file == {"a.csv.gz": 4, "e.csv.gz": 2}
    assert 0 < len(table) - 6 < 14
    assert [one["source_id"] for one in rejects if "pixel" in one["reason"]] == [str((4 << 40) + 1), str(6 << 40)]
    assert captured.out == f"{out}: {len(table)} spectra fitted, 5 rejected; the reasons are in {out}/_rejects.csv\n"
    assert captured.err == ""


def test_transits_are_fitted_alone_and_empty_ones_counted(tmp_path, capsys, kept_workers):
    transits = list(simulated(3, 7, frame="barycentric", radial_velocity=25.0))
    for number, one in enumerate(transits):
        one.meta |= {"transit_id": 10**16 + number, "obs_time_rv": 1700.5 + number, "normalisation_method": 0}
    transits[1].meta["normalisation_method"] = 4
    path = tmp_path / "RvsEpochSpectrum_0-1.csv.gz"
    write_gaia_bulk(transits, path)
    write_bulk(tmp_path / "z.csv.gz", epoch_star().but(flux=np.full(961, np.nan)))
    out = tmp_path / "labels.ecsv"
    assert main(["catalog", "fit", str(path), str(tmp_path / "z.csv.gz"), "-o", str(out), "--quiet", *OPTIONS]) == 0
    table = QTable.read(out)
    assert list(table["transit_id"]) == [10**16, 10**16 + 2]
    assert list(table["obs_time_rv"].value) == [1700.5, 1702.5]
    assert np.all(np.abs(table["radial_velocity"].value - 25) < 5 * table["radial_velocity_error"].value)
    assert ": 2 spectra fitted, 2 transits that are empty or not normalised passed over; the" in capsys.readouterr().out


def test_any_mix_of_inputs(tmp_path, kept_workers):
    (tmp_path / "folder").mkdir()
    shutil.copy(example_path("kepler-93"), tmp_path / "folder")
    (star,) = rvsemu.read_rvs(example_path("hd176650"))
    rvsemu.spectra.write_spectrum(star, tmp_path / "own.fits")
    write_stars(tmp_path / "a.csv.gz", 1)
    given = [tmp_path / "own.fits", tmp_path / "folder", tmp_path / "a.csv.gz"]
    summary = catalog.fit_catalog(given, tmp_path / "out", jobs=1, **MADE)
    table = catalog.read_catalog(tmp_path / "out")
    assert summary.spectra == 3
    assert table["release"].tolist() == ["Gaia DR3", "Gaia DR3", "Gaia DR4"]
    expected = fit_many([star, *rvsemu.read_rvs(example_path("kepler-93"))], **SETTINGS)
    assert list(table["source_id"][:2]) == [one.meta["source_id"] for one in expected]
    for row, one in enumerate(expected):
        assert abs(table["teff"][row] - one.teff) < 0.01 * one.errors["teff"]
    assert table["ra"][0].value == star.meta["ra"]


def test_own_spectra_of_any_kind(tmp_path, kept_workers):
    """Their signal to noise is that of standard deviations, their position has no unit in the file, and CSV is one."""
    (star,) = rvsemu.read_rvs(example_path("hd176650"))
    error = star.uncertainty.array
    kinds = {"a.csv": StdDevUncertainty(error), "b.fits": VarianceUncertainty(error**2), "c.ecsv": None}
    for name, uncertainty in kinds.items():
        parts = {key: getattr(star, key) for key in ("spectral_axis", "flux", "mask")}
        meta = star.meta | {"ra": star.meta["ra"] * 60 * u.arcmin, "source_id": str(star.meta["source_id"])}
        rvsemu.spectra.write_spectrum(Spectrum(**parts, uncertainty=uncertainty, meta=meta), tmp_path / name)
    options = {"smooth_sigma": False, "sigma": 0.003}
    summary = catalog.fit_catalog(tmp_path, tmp_path / "out", jobs=1, **MADE | options)
    table = catalog.read_catalog(tmp_path / "out")
    assert summary.spectra == 3 and list(table["source_id"]) == [star.meta["source_id"]] * 3
    expected = np.median((star.flux.value / error)[~star.mask])
    np.testing.assert_allclose(table["signal_to_noise"], [expected, expected, np.nan], rtol=1e-5)
    np.testing.assert_allclose(table["ra"].value, star.meta["ra"])


def test_what_a_spectrum_is_said_to_be(tmp_path, kept_workers):
    """The medium is that of the wavelengths as given; what a file does not say is missing, in a FITS table too."""
    (star,) = rvsemu.read_rvs(example_path("hd176650"))
    axis = convert_medium(star.spectral_axis.to_value(u.AA), "vacuum", "air")
    parts = {key: getattr(star, key) for key in ("flux", "mask", "uncertainty")}
    spectrum = Spectrum(**parts, spectral_axis=axis * u.AA, meta={"medium": "air"})
    rvsemu.spectra.write_spectrum(spectrum, tmp_path / "a.fits")
    catalog.fit_catalog([tmp_path / "a.fits", example_path("hd176650")], tmp_path / "out.fits", jobs=1, **MADE)
    table = QTable.read(tmp_path / "out.fits")
    assert table["medium"].tolist() == ["air", "vacuum"]
    assert np.ma.getmaskarray(table["release"]).tolist() == [True, False]
    assert (table["release"][1], table["frame"][1]) == ("Gaia DR3", "rest")


def test_stars_that_are_there_twice_are_counted(tmp_path, kept_workers):
    """Two of three stars again, and one of two transits; not what has no source, or another transit of a star."""
    stars, transits = list(simulated(3)), list(simulated(2, 7, frame="barycentric"))
    for number, one in enumerate(transits):
        one.meta |= {"source_id": 7, "transit_id": 10**16 + number, "obs_time_rv": 1700.5, "normalisation_method": 0}
    for name, some in {"a": stars, "b": stars[1:], "c": transits, "d": transits[1:]}.items():
        write_gaia_bulk(some, tmp_path / f"{name}.csv.gz")
    nameless = gzip.decompress(write_stars(tmp_path / "e.csv.gz", 2, 9).read_bytes()).decode()
    text = nameless.replace(str(9 << 40), "").replace(str((9 << 40) + 1), "")
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress(text.encode()))
    once = [tmp_path / f"{name}.csv.gz" for name in "ace"]
    assert catalog.fit_catalog(once, tmp_path / "once", jobs=1, **MADE).repeated == 0
    summary = catalog.fit_catalog(sorted(tmp_path.glob("*.gz")), tmp_path / "twice", jobs=1, **MADE)
    assert (summary.spectra, summary.repeated) == (10, 3)
    assert "3 stars or transits in several rows, as they are in the input more than once, 2 without" in str(summary)


def test_one_star_for_which_the_program_fails(tmp_path, monkeypatch):
    """Rejected, and the others have the labels that they have without it."""
    write_stars(tmp_path / "a.csv.gz", 3)
    poison = (1 << 40) + 1

    def failing(spectra, **options):
        some = list(spectra)
        if any(one.meta["source_id"] == poison for one in some):
            raise IndexError("too far")
        return fit_many(iter(some), **options)

    monkeypatch.setattr(work, "fit_many", failing)
    rvsemu.shipped().save(tmp_path / work.EMULATOR)
    run = {"emulator": {"fingerprint": "a"}}
    work.work(work.Task(str(tmp_path), (str(tmp_path / "a.csv.gz"),), 0, 0, 1, 10, run, SETTINGS))
    (part,) = dataset.parts_of(tmp_path)
    assert (part.spectra, part.rejected, part.last) == (2, 1, True)
    (reject,) = dataset.rejects_of(part)
    assert reject.source_id == poison and "IndexError: too far" in reject.reason


def test_errors_from_draws(tmp_path, kept_workers):
    write_stars(tmp_path / "a.csv.gz", 2)
    catalog.fit_catalog(tmp_path / "a.csv.gz", tmp_path / "out", jobs=1, errors="sampled", **MADE)
    table = catalog.read_catalog(tmp_path / "out")
    (star, _) = rvsemu.read_rvs(tmp_path / "a.csv.gz")
    result = rvsemu.fit(star, errors="sampled", **SETTINGS)
    assert abs(table["teff"][0] - result.teff) < 0.05 * result.errors["teff"]
    assert np.all(table["effective_draws"] > 50)


def test_a_full_disk(inputs, made, tmp_path, limit_of_file_size, capsys, request):
    """The limit holds for the worker, too."""
    out = tmp_path / "out"
    shutil.copytree(made, out)
    for path in sorted(out.glob("part-*"))[1:]:
        path.unlink()
    with limit_of_file_size(20_000):
        assert main(arguments(inputs, out, "--jobs", "1", "--resume")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rvsemu catalog fit: error: {out}/part-0000") and "Traceback" not in said
    assert [path.name for path in out.glob("part-*")] == ["part-000000-000000.parquet"]
    request.getfixturevalue("kept_workers")
    assert main(arguments(inputs, out, "--resume")) == 0
    assert same(made, out)
    shutil.rmtree(out)
    with limit_of_file_size(30_000):
        assert main(arguments(inputs, out, "--jobs", "1")) == 2
    assert f"{out / '_emulator.h5'}: " in capsys.readouterr().err
    assert main(arguments(inputs, out, "--resume")) == 0
    assert same(made, out)


def flat(values):
    """A prior that a module defines by its name."""
    return 0 * values


def flat_within():
    def flat(values):
        return 0 * values

    return flat


NOT_SENT = "^priors=.* cannot be sent to other processes .*in place of a lambda, a function that a module defines"
BAD_ARGUMENTS = {
    "rows": ({"rows": 5}, "rows=5: give a whole number from 10 to 100000"),
    "jobs": ({"jobs": 0}, "jobs=0: give a whole number from 1 to 1024"),
    "seed": ({"seed": np.random.default_rng(1)}, "seed: a catalogue needs a whole number"),
    "jitter": ({"jitter": "free"}, "jitter='free'"),
    "lambda": ({"priors": {"mh": lambda x: 0 * x}}, NOT_SENT),
    "function of a lambda": ({"priors": {"mh": Function(lambda x: 0 * x)}}, NOT_SENT),
    "function within a function": ({"priors": {"mh": flat_within()}}, NOT_SENT),
    "lambda, with Dask": ({"priors": {"mh": lambda x: 0 * x}, "dask": "tcp://127.0.0.1:9"}, NOT_SENT),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(tmp_path, name):
    given, words = BAD_ARGUMENTS[name]
    with pytest.raises(SettingsError, match=words):
        catalog.fit_catalog(example_path(), tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_none(tmp_path):
    """As those of a pattern with a typing error."""
    with pytest.raises(SpectrumError, match="inputs is empty, perhaps as no file has the name of a pattern: give"):
        catalog.fit_catalog(tmp_path.glob("*.csv.gz"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.hdf5", "x.h5", "x.fits.gz", "x.XLSX", "x.txt", "x.fit"])
def test_endings_of_tables_that_are_not_written(tmp_path, name, capsys):
    """They would be names of folders."""
    assert main(arguments(example_path("kepler-93"), tmp_path / name)) == 2
    said = capsys.readouterr().err
    assert f"no catalogue is written as {Path(name).suffix.lower()}: give" in said
    assert "ends in .ecsv, .fits, .csv, .vot, .xml, .json, or of a folder" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_have_any_other_ending(tmp_path, kept_workers):
    catalog.fit_catalog(example_path("kepler-93"), tmp_path / "labels.v1", **MADE)
    assert len(catalog.read_catalog(tmp_path / "labels.v1")) == 1


@pytest.mark.parametrize("out", ["labels", "labels.fits"])
def test_a_file_where_a_folder_is_to_be(tmp_path, out, capsys):
    path = tmp_path / ("labels.fits.parts" if out.endswith("fits") else out)
    path.write_text("mine")
    assert main(arguments(example_path("kepler-93"), tmp_path / out)) == 2
    assert f"{path} is a file, and partitions need a folder of this name: give another" in capsys.readouterr().err
    assert [one.read_text() for one in tmp_path.iterdir()] == ["mine"]


def test_what_to_give_in_place_of_spectra(tmp_path):
    """Those of specutils cannot be sent to other processes."""
    (star,) = rvsemu.read_rvs(example_path("kepler-93"))
    for given in (star, [star, star]):
        for more in ({}, {"dask": "tcp://127.0.0.1:9"}):
            with pytest.raises(SpectrumError, match="give paths; spectra that are in memory are fitted by"):
                catalog.fit_catalog(given, tmp_path / "out", **more)
    assert list(tmp_path.iterdir()) == []


def test_a_prior_function_of_a_module_is_sent(tmp_path, kept_workers):
    """By its name; a flat one changes nothing."""
    one, other = tmp_path / "one", tmp_path / "other"
    write_stars(tmp_path / "a.csv.gz", 2)
    catalog.fit_catalog(tmp_path / "a.csv.gz", one, priors={"mh": flat}, **MADE)
    catalog.fit_catalog(tmp_path / "a.csv.gz", other, priors={}, **MADE)
    labels = [catalog.read_catalog(folder)["teff"].value for folder in (one, other)]
    np.testing.assert_allclose(*labels, rtol=1e-3)


def test_what_is_no_catalogue(tmp_path, made):
    with pytest.raises(SpectrumError, match="no catalogue is there"):
        catalog.read_catalog(tmp_path)
    (tmp_path / "part-000000-000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(SpectrumError, match="is no partition of a catalogue"):
        catalog.read_catalog(tmp_path)
    with pytest.raises(SpectrumError, match="has no column age: it has file, source_id"):
        catalog.read_catalog(made, ["age"])


def test_without_pyarrow(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert main(["catalog", "fit", str(example_path()), "-o", str(tmp_path / "out")]) == 2
    assert 'a catalogue needs pyarrow: pip install "rvsemu[catalog]"' in capsys.readouterr().err


def test_reading_a_catalogue_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SpectrumError, match=r'needs pyarrow: pip install "rvsemu\[catalog\]"'):
        rvsemu.catalog.read_catalog(tmp_path)
