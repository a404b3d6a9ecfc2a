"""Commands on many spectra: a row each, whatever happens to the others, and nothing lost or repeated."""

import gzip
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable, Table
from catalog_fixtures import simulated

import rvsemu
from rvsemu.cli import main
from rvsemu.fitting import Posterior, Settings
from rvsemu.spectra import example_path, write_bulk, write_spectrum

KEPLER, GIANT = str(example_path("kepler-93")), str(example_path("hd176650"))
IDS = {KEPLER: 2052747119115620352, GIANT: 4268620287278693120}


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("source_id,flux\n1,2\n")
    return str(path)


@pytest.mark.parametrize("command", ["fit", "invert"])
@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot"])
def test_a_row_for_each_spectrum_and_for_each_that_failed(command, suffix, bad, tmp_path, capsys):
    table = tmp_path / f"stars{suffix}"
    assert main([command, KEPLER, bad, GIANT, "-o", str(table)]) == 2
    assert "bad.csv" in capsys.readouterr().err
    rows = QTable.read(table)
    files = {str(row["file"]).strip(): row for row in rows}
    assert set(files) == {KEPLER, bad, GIANT}
    assert [int(files[name]["source_id"]) for name in (KEPLER, GIANT)] == [IDS[KEPLER], IDS[GIANT]]
    assert str(files[bad]["flags"]).strip() == "failed"
    assert "bad.csv" in str(files[bad]["error"]) or "column" in str(files[bad]["error"])
    teff = np.ma.filled(np.ma.asarray(getattr(rows["teff"], "value", rows["teff"]), dtype=float), np.nan)
    assert np.isfinite(teff).sum() == 2


def test_columns_are_in_the_same_order_whichever_row_failed(bad, tmp_path):
    for name, files in (("a.ecsv", [bad, KEPLER]), ("b.ecsv", [KEPLER, bad])):
        assert main(["fit", *files, "-o", str(tmp_path / name)]) == 2
    first, last = (QTable.read(tmp_path / name) for name in ("a.ecsv", "b.ecsv"))
    assert first.colnames == last.colnames and first.colnames[-1] == "error"
    assert [str(row["flags"]) for row in first] == ["failed", "none"]


def test_a_mask_that_masks_nothing_is_an_error_of_each_spectrum(tmp_path, capsys):
    assert main(["fit", KEPLER, "--mask", "850,851", "-o", str(tmp_path / "t.ecsv")]) == 2
    said = capsys.readouterr().err
    assert "masks no pixel" in said and "Angstrom" in said
    assert QTable.read(tmp_path / "t.ecsv")["flags"].tolist() == ["failed"]


def test_masks_replace_or_add(tmp_path):
    used = []
    for options in ([], ["--extra-mask", "8600,8610"], ["--mask", "8600,8610"], ["--mask", "none"]):
        table = tmp_path / "t.ecsv"
        assert main(["fit", KEPLER, *options, "-o", str(table), "--overwrite"]) == 0
        used.append(int(QTable.read(table)["n_pixels"][0]))
    default, more, only, none = used
    assert default - more == pytest.approx(100, abs=1)
    assert none - only == pytest.approx(100, abs=1)
    assert none > default


def test_tables_are_not_overwritten_unasked(tmp_path, capsys):
    table = tmp_path / "stars.ecsv"
    assert main(["fit", KEPLER, "-o", str(table)]) == 0
    before = table.read_bytes()
    assert main(["fit", GIANT, "-o", str(table)]) == 2
    said = capsys.readouterr().err
    assert "stars.ecsv exists" in said and "--overwrite" in said
    assert table.read_bytes() == before
    assert main(["fit", GIANT, "-o", str(table), "--overwrite"]) == 0
    assert QTable.read(table)["source_id"].tolist() == [IDS[GIANT]]


@pytest.mark.parametrize(("command", "option"), [("fit", "-o"), ("invert", "-o"), ("sample", "--table")])
def test_spectra_are_not_replaced_by_their_table(command, option, tmp_path, capsys):
    path = tmp_path / "star.csv"
    path.write_bytes(Path(KEPLER).read_bytes())
    assert main([command, str(path), option, str(path), "--overwrite"]) == 2
    assert "star.csv is read and would be replaced: give what is written another name" in capsys.readouterr().err
    assert path.read_bytes() == Path(KEPLER).read_bytes()


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot"])
def test_what_is_there_is_not_done_again(suffix, tmp_path, capsys):
    table = tmp_path / f"stars{suffix}"
    assert main(["fit", KEPLER, "-o", str(table)]) == 0
    capsys.readouterr()
    assert main(["fit", KEPLER, GIANT, "-o", str(table), "--resume"]) == 0
    said = capsys.readouterr().out
    assert str(IDS[KEPLER]) not in said and str(IDS[GIANT]) in said
    assert [int(x) for x in QTable.read(table)["source_id"]] == [IDS[KEPLER], IDS[GIANT]]


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot", ".parquet"])
@pytest.mark.parametrize("every", [0.0, 30.0])
def test_failures_between_results_are_resumed_in_all_formats(suffix, every, bad, tmp_path, monkeypatch):
    """Also where the table is written after each of them."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table = tmp_path / f"stars{suffix}"
    assert main(["fit", KEPLER, "-o", str(table)]) == 0
    monkeypatch.setattr("rvsemu.cli.tables._EVERY", every)
    assert main(["fit", bad, GIANT, "-o", str(table), "--resume"]) == 2
    rows = QTable.read(table)
    assert [str(file).strip() for file in rows["file"]] == [KEPLER, bad, GIANT]
    teff = np.ma.asarray(getattr(rows["teff"], "value", rows["teff"]), dtype=float).filled(np.nan)
    assert np.isfinite(teff).tolist() == [True, False, True]


@pytest.mark.parametrize("suffix", [".ecsv", ".csv"])
def test_what_failed_is_done_again_and_has_one_row(suffix, bad, tmp_path):
    table = tmp_path / f"stars{suffix}"
    for _ in range(2):
        assert main(["fit", bad, KEPLER, "-o", str(table), *(["--resume"] if table.exists() else [])]) == 2
        assert sorted(map(str, Table.read(table)["flags"])) == ["failed", "none"]
    Path(bad).write_bytes(Path(GIANT).read_bytes())
    assert main(["fit", bad, KEPLER, "-o", str(table), "--resume"]) == 0
    rows = Table.read(table)
    assert [str(file) for file in rows["file"]] == [KEPLER, bad]
    assert rows["source_id"].tolist() == [IDS[KEPLER], IDS[GIANT]] and "failed" not in set(rows["flags"])


def test_a_spectrum_that_failed_is_done_again(tmp_path):
    """A spectrum, and not a file: its row has a source_id."""
    (star,) = rvsemu.read_rvs(KEPLER)
    star.mask = np.ones(star.flux.shape, dtype=bool)
    path, table = tmp_path / "star.fits", tmp_path / "stars.fits"
    write_spectrum(star, path)
    assert main(["fit", str(path), GIANT, "-o", str(table)]) == 2
    assert str(QTable.read(table)["flags"][0]) == "failed"
    star.mask[:] = False
    write_spectrum(star, path, overwrite=True)
    assert main(["fit", str(path), GIANT, "-o", str(table), "--resume"]) == 0
    assert QTable.read(table)["source_id"].tolist() == [IDS[GIANT], IDS[KEPLER]]


@pytest.mark.parametrize("command", ["fit", "invert"])
@pytest.mark.parametrize("kept", [[0, 1], [0, 3], [0, 1, 2, 3], [3]])
def test_spectra_that_nothing_tells_apart_are_not_lost(command, kept, tmp_path):
    """A file of four without source_id, of which the last cannot be fitted; some had a row when it was interrupted."""
    spectra = [*simulated(3), next(simulated(1, 2))]
    spectra[-1].flux[40:] = np.nan
    write_bulk(spectra, tmp_path / "a.csv.gz")
    text = gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode()
    (tmp_path / "a.csv").write_text(text.replace("source_id", "star"))
    given, table = [command, str(tmp_path / "a.csv"), "-o"], tmp_path / "stars.ecsv"
    assert main([*given, str(tmp_path / "whole.ecsv")]) == 2
    whole = QTable.read(tmp_path / "whole.ecsv")
    assert whole["flags"].tolist()[3] == "failed"
    whole[kept].write(table)
    assert main([*given, str(table), "--resume"]) == 2
    rows = QTable.read(table)
    assert rows["flags"].tolist() == whole["flags"].tolist()
    np.testing.assert_allclose(rows["teff"].value[:3], whole["teff"].value[:3], rtol=1e-6)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".parquet"])
def test_settings_of_a_table_are_not_mixed(suffix, tmp_path, capsys):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table = tmp_path / f"stars{suffix}"
    assert main(["fit", KEPLER, "--fix", "vmic=1.2", "--mask", "none", "-o", str(table)]) == 0
    before = table.read_bytes()
    assert main(["fit", GIANT, "--fix", "vmic=1.2", "-o", str(table), "--resume"]) == 2
    assert "was made with other settings (mask: None): give another name" in capsys.readouterr().err
    assert main(["invert", GIANT, "--mask", "none", "-o", str(table), "--resume"]) == 2
    assert "was made with other command=fit, emulator (" in capsys.readouterr().err
    assert table.read_bytes() == before
    assert main(["fit", GIANT, "--mask", "none", "--fix", "vmic=1.2", "-o", str(table), "--resume"]) == 0
    assert len(QTable.read(table)) == 2


@pytest.mark.parametrize("suffix", [".csv", ".vot"])
def test_tables_without_settings_are_of_one_emulator(suffix, tmp_path, capsys):
    table, other = tmp_path / f"stars{suffix}", tmp_path / "other.h5"
    emulator = rvsemu.shipped()
    replace(emulator, info={**emulator.info, "version": "of another day"}).save(other)
    assert main(["fit", KEPLER, "-o", str(table)]) == 0
    assert main(["fit", GIANT, "--emulator", str(other), "-o", str(table), "--resume"]) == 2
    there = emulator.info["version"]
    assert f"was made with other emulator_version ({there}): give another name" in capsys.readouterr().err
    assert len(QTable.read(table)) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sample", "--walkers", "33", "--quiet"], "walkers=33: give an even number"),
        (["sample", "--walkers", "12", "--quiet"], "walkers=12: give an even number of at least 14"),
        (["sample", "--prior", "teff=5000,0"], "sigma must be positive"),
        (["sample", "--noise-correlation", "1,0.9,0.9,-1"], "has a power spectrum that falls to"),
        (["fit", "--noise-correlation", "1,0.9,0.9,-1"], "has a power spectrum that falls to"),
        (["invert", "--noise-correlation", "1,0.9,0.9,-1"], "has a power spectrum that falls to"),
        (["invert", "--mask", "edge"], "mask='edge' is unknown"),
    ],
)
def test_bad_settings_are_one_error_and_no_row(command, said, tmp_path, capsys):
    table = tmp_path / "stars.ecsv"
    out = ["--table", str(table), "-o", str(tmp_path / "chains")] if command[0] == "sample" else ["-o", str(table)]
    assert main([*command, KEPLER, GIANT, *out]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def namesakes(tmp_path):
    """Two stars without source_ids, in files of one name."""
    paths = []
    for folder, path in (("a", KEPLER), ("b", GIANT)):
        (tmp_path / folder).mkdir()
        (star,) = rvsemu.read_rvs(path)
        del star.meta["source_id"]
        paths.append(str(tmp_path / folder / "star.fits"))
        write_spectrum(star, paths[-1])
    return paths


def test_plots_of_files_of_one_name(namesakes, tmp_path, capsys):
    """None is lost, none replaces another, and the labels of all are in the table."""
    plots, table = tmp_path / "plots", tmp_path / "t.ecsv"
    assert main(["fit", *namesakes, "-o", str(table), "--plot", str(plots)]) == 0
    pages = {path.name: path.read_bytes() for path in plots.iterdir()}
    assert set(pages) == {"star.png", "star-2.png"} and pages["star.png"] != pages["star-2.png"]
    (plots / "star-2.png").unlink()
    assert main(["fit", *namesakes, "-o", str(tmp_path / "u.ecsv"), "--plot", str(plots)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "star.png exists" in said
    assert {path.name: path.read_bytes() for path in plots.iterdir()} == pages
    assert "failed" not in QTable.read(tmp_path / "u.ecsv")["flags"].tolist()
    (plots / "star-2.png").unlink()
    table.unlink()
    assert main(["fit", namesakes[0], "-o", str(table)]) == 0
    assert main(["fit", *namesakes, "-o", str(table), "--resume", "--plot", str(plots)]) == 0
    assert (plots / "star.png").read_bytes() == pages["star.png"] and (plots / "star-2.png").exists()


def test_chains_of_files_of_one_name(namesakes, tmp_path):
    command = ["sample", *namesakes, "--steps", "4", "--quiet", "-o", str(tmp_path / "chains")]
    for more in ([], ["--restart"]):
        assert main([*command, *more]) == 0
        means = [Posterior.load(tmp_path / "chains" / name).chain[..., 1].mean() for name in ("star.h5", "star-2.h5")]
        assert means[0] > 4 > 3 > means[1]  # log g of a dwarf and of a giant


def test_files_without_the_source_are_passed_over(tmp_path, capsys):
    """Unless none of them has it."""
    table = tmp_path / "stars.ecsv"
    assert main(["fit", KEPLER, GIANT, "--source-id", str(IDS[GIANT]), "-o", str(table)]) == 0
    assert QTable.read(table)["source_id"].tolist() == [IDS[GIANT]]
    assert capsys.readouterr().err == ""
    assert main(["fit", KEPLER, GIANT, "--source-id", "7", "-o", str(table), "--overwrite"]) == 2
    assert capsys.readouterr().err.count("source_id=7 is not among its 1 spectra") == 2


def test_only_tables_of_results_are_resumed(tmp_path, capsys):
    table = tmp_path / "mine.csv"
    table.write_text("a,b\n1,2\n")
    assert main(["fit", KEPLER, "-o", str(table), "--resume"]) == 2
    assert "no column" in capsys.readouterr().err
    assert table.read_text() == "a,b\n1,2\n"


def test_an_interrupted_fit_keeps_its_rows_and_goes_on(tmp_path):
    """A real Ctrl-C, in a real process, when it has written the rows of the first stars and fits others."""
    table, log = tmp_path / "stars.ecsv", tmp_path / "log"
    files = []
    for i in range(300):
        files.append(tmp_path / f"{i}.csv")
        files[-1].symlink_to(KEPLER)
    command = [sys.executable, "-m", "rvsemu", "fit", *map(str, files), "-o", str(table)]
    with open(log, "wb") as out:
        with subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE) as run:
            while str(IDS[KEPLER]).encode() not in log.read_bytes():
                assert run.poll() is None
                time.sleep(0.05)
            run.send_signal(signal.SIGINT)
            said = run.communicate(timeout=120)[1].decode()
    assert run.returncode == 130
    assert said.splitlines()[-1] == "rvsemu fit: interrupted"
    assert "Traceback" not in said
    done = len(QTable.read(table))
    assert 1 <= done < 300


def test_a_reader_that_has_gone_is_no_error():
    """As of ``rvsemu fit ... | head -1``."""
    command = [sys.executable, "-m", "rvsemu", "fit", KEPLER, GIANT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        said = run.stderr.read().decode()
        assert run.wait(timeout=120) == 141
    assert said == ""


def test_priors_by_name_or_numbers(tmp_path):
    found = []
    for vmic in ("relation", "wide", "1.5,0.8"):
        table = tmp_path / "t.ecsv"
        options = ["--prior", f"vmic={vmic}", "--prior", "resolution=gaia-rvs", "-o", str(table), "--overwrite"]
        assert main(["fit", KEPLER, *options]) == 0
        found.append(QTable.read(table)["vmic"].value[0])
    assert found[1] == found[2] < found[0] - 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--prior", "teff=5669,75"],
            "rvsemu fit: no prior on resolution, vmic: those given replace the default ones\n",
        ),
        (["--prior", "vmic=1,0.3", "--fix", "resolution=11900"], ""),
        (["--no-priors"], ""),
        ([], ""),
    ],
)
def test_default_priors_that_are_gone_are_said_once(options, said, capsys):
    assert main(["fit", KEPLER, GIANT, *options]) == 0
    assert capsys.readouterr().err == said


def test_every_setting_has_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    said = capsys.readouterr().out
    options = {"fixed": "--fix", "priors": "--prior"}
    for field in fields(Settings):
        assert options.get(field.name, f"--{field.name.replace('_', '-')}") in said


def test_a_line_for_each_star_or_all_about_it(bad, capsys):
    assert main(["fit", KEPLER, bad, GIANT]) == 2
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["spectrum", "teff", "[K]"] and heading.split()[-3:] == ["reduced", "chi2", "flags"]
    assert [line.split()[0] for line in lines] == [str(IDS[KEPLER]), str(IDS[GIANT])]
    assert lines[0][heading.index("teff") :].split()[1] == "+-"
    for words in map(str.split, lines):  # columns do not touch
        errors = [float(after) for word, after in zip(words, words[1:], strict=False) if word == "+-"]
        assert len(errors) == 7 and min(errors) > 0
    assert main(["fit", KEPLER, "--verbose"]) == 0
    said = capsys.readouterr().out
    assert KEPLER in said and "<FitResult" in said and "residual rms" in said


READERS = {
    "json": lambda data: json.loads(data)[0],
    "csv": lambda data: QTable.read(data.decode(), format="ascii.csv")[0],
    "ecsv": lambda data: QTable.read(data.decode(), format="ascii.ecsv")[0],
    "fits": lambda data: QTable.read(io.BytesIO(data), format="fits")[0],
    "votable": lambda data: QTable.read(io.BytesIO(data), format="votable")[0],
    "parquet": lambda data: Table.read(io.BytesIO(data), format="parquet")[0],
}


@pytest.mark.parametrize("form", READERS)
def test_a_table_on_the_terminal(form, capfdbinary):
    """Nothing else is there, so that it can go on in a pipe."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    assert main(["fit", KEPLER, "-o", "-", "--format", form]) == 0
    row = READERS[form](capfdbinary.readouterr().out)
    assert int(row["source_id"]) == IDS[KEPLER]
    assert 5400 < float(getattr(row["teff"], "value", row["teff"])) < 5900


def test_formats_of_files(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    assert main(["fit", KEPLER, "-o", str(tmp_path / "a.json")]) == 0
    (row,) = json.loads((tmp_path / "a.json").read_text())
    assert (row["source_id"], row["transit_id"], row["flags"]) == (IDS[KEPLER], None, "none")
    assert main(["fit", KEPLER, "-o", str(tmp_path / "b.parquet")]) == 0
    assert QTable.read(tmp_path / "b.parquet")["teff"][0].unit == "K"
    assert main(["fit", KEPLER, "-o", str(tmp_path / "c.doc"), "--format", "csv"]) == 0
    assert QTable.read(tmp_path / "c.doc", format="ascii.csv")["source_id"][0] == IDS[KEPLER]
    assert main(["fit", KEPLER, "-o", "-", "--resume"]) == 2
    assert "--resume needs a file" in capsys.readouterr().err


def test_parquet_without_pyarrow_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for out in (["-o", str(tmp_path / "t.parquet")], ["-o", "-", "--format", "parquet"]):
        assert main(["fit", KEPLER, *out]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert 'Parquet needs pyarrow: pip install "rvsemu[catalog]"' in said.err
    assert list(tmp_path.iterdir()) == []


def test_zero_and_negative_numbers_are_values_of_options(tmp_path):
    path = tmp_path / "t.ecsv"
    assert main(["fit", KEPLER, "--radial-velocity", "0", "-o", str(path)]) == 0
    row = QTable.read(path)[0]
    assert (row["radial_velocity"].value, row["radial_velocity_error"].value) == (0, 0)
    assert main(["fit", KEPLER, "--radial-velocity", "-50,-0.5", "-o", str(path), "--overwrite"]) == 0
    assert -50 <= QTable.read(path)["radial_velocity"][0].value <= -0.5
    assert main(["fit", KEPLER, "--continuum-degree", "0", "-o", str(path), "--overwrite"]) == 0
    (star,) = rvsemu.read_rvs(KEPLER)
    assert QTable.read(path)["teff"][0] == rvsemu.fit(star, continuum_degree=0).teff
