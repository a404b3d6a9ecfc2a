"""The build of a library: resuming after a kill, failures, growing, refusing; SYNSPEC's output is recorded."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from synthesis_fixtures import SETTINGS, workspace

from rvsemu.cli import main
from rvsemu.emulator.regions import Region, from_json
from rvsemu.errors import SynthesisError
from rvsemu.library import Library
from rvsemu.library.cyanogen import WEAK_CYANOGEN
from rvsemu.library.synthesis import BOXES, Settings, Workspace, build, status, synthesize
from rvsemu.library.synthesis.build import Result, provenance
from rvsemu.library.synthesis.journal import Journal, _check_inputs

COOL = {"teff": (3800.0, 9000.0)}


@pytest.fixture
def space(tmp_path):
    return workspace(tmp_path / "cache")


def test_a_library_from_nothing(tmp_path, space):
    path = tmp_path / "l.h5"
    library = build(path, 12, SETTINGS, workspace=space, progress=False)
    np.testing.assert_allclose(library.labels, SETTINGS.draws(12))
    assert library.index.tolist() == list(range(12))
    for row in (0, 7):
        made = synthesize(library.labels[row], SETTINGS, space)
        np.testing.assert_allclose(library.flux[row], made.flux, atol=1e-5)
        assert library.extrapolated[row] == made.extrapolated
    assert library.wavelength[0] == pytest.approx(8530.02)
    assert (library.medium, library.bin_width, library.names) == ("air", 0.04, ("teff", "logg", "mh", "vmic"))
    assert Settings.from_json(library.info["settings"]) == SETTINGS
    assert "recorded output of SYNSPEC" in json.loads(library.info["manifest"])["engine"]
    assert {p.name for p in tmp_path.iterdir()} == {"l.h5", "cache"}


def test_it_grows_with_the_settings_it_has(tmp_path, space):
    path = tmp_path / "l.h5"
    first = build(path, 5, SETTINGS, workspace=space, progress=False)
    more = build(path, 9, workspace=space, progress=False)
    np.testing.assert_array_equal(more.flux[:5], first.flux)
    np.testing.assert_allclose(more.labels, SETTINGS.draws(9))
    again = build(path, 9, workspace=space, progress=False)
    assert again.fingerprint() == more.fingerprint()


def test_only_part_of_the_box(tmp_path, space):
    library = build(
        tmp_path / "l.h5", 40, SETTINGS, workspace=space, progress=False, within={"teff": (4000, 6000), "mh": (0, 1)}
    )
    draws = SETTINGS.draws(40)
    wanted = (draws[:, 0] > 4000) & (draws[:, 0] < 6000) & (draws[:, 2] > 0) & (draws[:, 2] < 1)
    assert 0 < wanted.sum() < 20
    assert library.index.tolist() == np.flatnonzero(wanted).tolist()
    box = Region({name: getattr(SETTINGS, name) for name in SETTINGS.names})
    part = box.cut({"teff": (4000, 6000), "mh": (0, 1)})
    assert from_json(library.info["regions"]) == (part,)
    other = build(tmp_path / "l.h5", 10, workspace=space, progress=False, within={"teff": (9000, 20000)})
    assert from_json(other.info["regions"]) == (part, box.cut({"teff": (9000, 15000)}))
    with pytest.raises(SynthesisError, match="within: teff=16000,20000 is outside the box: .* 3800 to 15000"):
        build(tmp_path / "l.h5", 20, workspace=space, progress=False, within={"teff": (16000, 20000)})
    with pytest.raises(SynthesisError, match="within: 'age' is unknown; use teff, logg, mh, vmic"):
        build(tmp_path / "l.h5", 20, workspace=space, progress=False, within={"age": (1, 2)})
    whole = build(tmp_path / "l.h5", 20, workspace=space, progress=False)
    assert from_json(whole.info["regions"]) == (box,)
    again = build(tmp_path / "l.h5", 21, workspace=space, progress=False, within={"teff": (4000, 6000)})
    assert from_json(again.info["regions"]) == (box,)
    hot = np.flatnonzero(draws[:10, 0] > 9000).tolist()
    assert sorted(whole.index.tolist()) == sorted({*range(20), *np.flatnonzero(wanted).tolist(), *hot})


def test_a_library_with_alpha_in_two_pieces(tmp_path, space):
    settings = replace(BOXES["wide"], low=8530.0, high=8560.0, teff=(3800.0, 15000.0))
    whole = build(tmp_path / "l.h5", 8, settings, workspace=space, progress=False)
    assert whole.names == ("teff", "logg", "mh", "alpha", "vmic")
    some = [0, 1, 3, 4]
    whole.subset(some).save(tmp_path / "some.h5")
    piece = build(tmp_path / "p.h5", 8, settings, workspace=space, without=[tmp_path / "some.h5"], progress=False)
    assert piece.index.tolist() == [2, 5, 6, 7]
    np.testing.assert_array_equal(piece.labels, np.delete(whole.labels, some, axis=0))
    weak = replace(whole, info={**whole.info, "cyanogen": WEAK_CYANOGEN})
    weak.save(tmp_path / "weak.h5")
    ours = build(tmp_path / "w.h5", 8, settings, workspace=space, without=[tmp_path / "weak.h5"], progress=False)
    assert 0 < len(ours) < 8 and ours.index.tolist() == np.flatnonzero(weak.weak_cyanogen).tolist()
    build(tmp_path / "four.h5", 2, SETTINGS, workspace=space, progress=False)
    with pytest.raises(SynthesisError, match="without: .*four.h5 has the labels teff, logg, mh, vmic, not teff"):
        build(tmp_path / "x.h5", 8, settings, workspace=space, without=[tmp_path / "four.h5"], progress=False)
    for words in ("plain and [alpha/Fe] = +0.4", "4800 K where", "alpha 10^[alpha/M]"):
        assert any(words in text for text in whole.info.values())
    made = synthesize(whole.labels[3], settings, space)
    np.testing.assert_allclose(whole.flux[3], made.flux, atol=1e-5)
    assert whole.extrapolated[3] == made.extrapolated


def test_failures_are_kept_and_can_be_tried_again(tmp_path, space):
    settings = Settings(low=8530.0, high=8560.0, teff=(3600.0, 3800.0), cool_fraction=0.0)
    path = tmp_path / "l.h5"
    library = build(path, 10, settings, workspace=space, progress=False)
    cold = np.flatnonzero(settings.draws(10)[:, 0] < 3700)
    assert 0 < len(cold) < 10
    assert [f["index"] for f in library.failures] == cold.tolist()
    assert all("too many lines in a set" in f["error"] for f in library.failures)
    assert len(library) == 10 - len(cold)
    before = path.stat().st_mtime_ns
    build(path, 10, workspace=space, progress=False)
    assert path.stat().st_mtime_ns == before  # nothing to do
    player = space.folder / "engine/synspec54"
    player.write_text(player.read_text().replace("teff < 3700", "teff < 0"))
    mended = build(path, 10, workspace=space, retry=True, progress=False)
    assert mended.failures == []
    assert mended.index.tolist() == list(range(10))


def test_all_may_fail(tmp_path, space):
    settings = Settings(low=8530.0, high=8560.0, teff=(3600.0, 3690.0), cool_fraction=0.0)
    library = build(tmp_path / "l.h5", 3, settings, workspace=space, progress=False)
    assert (len(library), len(library.failures)) == (0, 3)
    assert status(tmp_path / "l.h5")["library"].flux.shape == (0, 750)


def test_many_failures_in_a_row_stop_the_run(tmp_path, space):
    """They are no fault of the stars: none is noted, what was computed before is kept."""
    build(tmp_path / "l.h5", 2, SETTINGS, workspace=space, progress=False)
    player = space.folder / "engine/synspec54"
    whole = player.read_text()
    player.write_text("#!/bin/sh\necho out of licences; exit 1\n")
    with pytest.raises(SynthesisError, match="the last 20 spectra all failed .*out of licences.*--retry"):
        build(tmp_path / "l.h5", 40, workspace=space, progress=False)
    found = status(tmp_path / "l.h5")
    assert (len(found["library"]), found["failures"], found["pending"]) == (2, [], 0)
    build(tmp_path / "l.h5", 23, workspace=space, retry=True, progress=False)
    assert len(status(tmp_path / "l.h5")["failures"]) == 21
    player.write_text(whole)
    assert len(build(tmp_path / "l.h5", 25, workspace=space, progress=False)) == 4


def test_a_full_disk_is_no_failure_of_a_star(tmp_path, space, monkeypatch):
    """SYNSPEC stops with a status as it does about a star; the run stops and notes nothing."""
    build(tmp_path / "l.h5", 2, SETTINGS, workspace=space, progress=False)
    (space.folder / "engine/synspec54").write_text("#!/bin/sh\nexit 1\n")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1e5))
        with pytest.raises(SynthesisError, match=r"disk of .*scratch is full \(0\.1 MB left.*: make room"):
            build(tmp_path / "l.h5", 9, workspace=space, progress=False)
    assert (len(Library.load(tmp_path / "l.h5")), status(tmp_path / "l.h5")["failures"]) == (2, [])


def test_a_library_without_spectra_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "cache"))
    (workspace(tmp_path / "cache").folder / "engine/synspec54").write_text("#!/bin/sh\nexit 1\n")
    out = str(tmp_path / "l.h5")
    assert main(["synthesize", "run", "--n", "2", "--range", "8530,8560", "-o", out, "--quiet"]) == 2
    assert "l.h5 has no spectrum: 2 spectra failed" in capsys.readouterr().err


RUN = """
import sys
from synthesis_fixtures import SETTINGS
from rvsemu.library.synthesis import Workspace, build
build(sys.argv[1], 12, SETTINGS, workspace=Workspace.open(sys.argv[2]), jobs=2, progress=False)
"""


def start(path, cache):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", RUN, str(path), str(cache)], env=env, start_new_session=True)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_killed_run_goes_on(tmp_path):
    """SIGKILL to the whole process group: what was finished stays, the rest comes with the next call."""
    workspace(tmp_path / "cache", seconds=0.2)
    path = tmp_path / "l.h5"
    process = start(path, tmp_path / "cache")
    wait_for(lambda: finished(path) >= 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not status(path)["running"])  # its children are killed, too, a little later
    assert 4 <= finished(path) < 12
    space = Workspace.open(tmp_path / "cache")
    build(path, 12, SETTINGS, workspace=space, progress=False)
    library = Library.load(path)
    assert library.index.tolist() == list(range(12))
    np.testing.assert_allclose(library.labels, SETTINGS.draws(12))
    assert not Journal(path).folder.exists()


def finished(path):
    found = len(Library.load(path)) if path.exists() else 0
    return found + Journal(path).pending


def test_killed_between_writing_the_library_and_removing_the_parts(tmp_path, space):
    path = tmp_path / "l.h5"
    journal = Journal(path)
    with journal.lock():
        journal.begin(provenance(SETTINGS, space))
        for i in (4, 2):
            made = synthesize(SETTINGS.draws(8)[i], SETTINGS, space)
            journal.write(Result(i, SETTINGS.draws(8)[i], made.flux, made.extrapolated, None, 0.1))
        shutil.copytree(journal.folder, tmp_path / "copy")
        journal.merge()
        first = Library.load(path)
    shutil.copytree(tmp_path / "copy", journal.folder)  # as if they had not been removed
    assert status(path)["pending"] == 2
    library = build(path, 5, workspace=space, progress=False)
    np.testing.assert_array_equal(library.flux[[2, 4]], first.flux)
    assert library.index.tolist() == list(range(5))


def test_two_runs_do_not_write_to_one_library(tmp_path):
    workspace(tmp_path / "cache", seconds=0.3)
    path = tmp_path / "l.h5"
    process = start(path, tmp_path / "cache")
    try:
        wait_for(lambda: Journal(path).pending > 0)
        assert status(path)["running"]
        with pytest.raises(SynthesisError, match="another run"):
            build(path, 3, SETTINGS, workspace=workspace(tmp_path / "other"), progress=False)
    finally:
        process.wait()
    assert len(Library.load(path)) == 12


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([2500, 4.5, 0, 1], "teff=2500: give a value within 3500 to 50000"),
        ([5000, 5.5, 0, 1], "logg=5.5: give a value within 0 to 5"),
        ([5000, 4.5, np.nan, 1], "mh=nan: give a value within -2.5 to 2"),
        ([5000, 4.5, 0, -1], "vmic=-1: give a value within 0 to 20"),
        ([5000, 4.5, 0], r"labels have the shape \(3,\): give teff, logg, mh, vmic"),
    ],
)
def test_labels_of_no_star_are_refused(space, labels, words):
    with pytest.raises(SynthesisError, match=words):
        synthesize(labels, SETTINGS, space)


def test_other_settings_or_inputs_are_refused(tmp_path, space):
    path = tmp_path / "l.h5"
    build(path, 2, SETTINGS, workspace=space, progress=False)
    with pytest.raises(SynthesisError, match="seed 2 instead of 1"):
        build(path, 3, replace(SETTINGS, seed=2), workspace=space, progress=False)
    manifest, atoms = space.folder / "manifest.json", space.folder / "atoms.19"
    for file, text, words in (
        (atoms, "854.209 20.01 0.8\n", "made with other lines than"),
        (
            manifest,
            manifest.read_text().replace('"structures": "0"', '"structures": "1"'),
            "made with other structures",
        ),
    ):
        before = file.read_text()
        file.write_text(text)
        with pytest.raises(SynthesisError, match=words):
            build(path, 3, workspace=space, progress=False)
        file.write_text(before)
    own = shutil.copy(space.folder / "engine/synspec54", tmp_path / "own")
    with pytest.raises(SynthesisError, match=r"other engine \(SYNSPEC 54 .* recorded output of SYNSPEC\) than"):
        build(path, 3, workspace=Workspace.open(tmp_path / "cache", engine=own), progress=False)
    assert len(Library.load(path)) == 2


def test_another_compiler_is_the_same_program():
    texts = ["SYNSPEC 54 of synspec 1.0.3, HYDLIN repaired; gfortran -O2; GNU Fortran 12.2", "own, SHA-256 0a1b"]
    same = [texts[0].replace("12.2", "14.1"), texts[1].replace("own", "renamed")]
    other = [texts[0].replace("1.0.3", "1.0.4"), texts[1].replace("0a", "0b")]
    for old, new, different in zip(texts, same, other, strict=True):
        _check_inputs({"engine": old}, {"engine": new})
        with pytest.raises(SynthesisError, match="other engine"):
            _check_inputs({"engine": old}, {"engine": different})


def test_hashes_are_those_of_the_line_lists_as_they_are(tmp_path, space):
    (space.folder / "atoms.19").write_text("changed\n")
    library = build(tmp_path / "l.h5", 1, SETTINGS, workspace=space, progress=False)
    noted = json.loads(library.info["manifest"])["lines"]["atoms"]["sha256"]
    assert noted == hashlib.sha256(b"changed\n").hexdigest()
    (space.folder / "atoms.19").unlink()
    with pytest.raises(SynthesisError, match=r"atoms\.19 cannot be read .*synthesize setup"):
        build(tmp_path / "l.h5", 2, workspace=space, progress=False)


def test_damaged_files_of_the_setup(tmp_path, space):
    whole = (space.folder / "structures.npz").read_bytes()
    (space.folder / "structures.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SynthesisError, match=r"structures\.npz is damaged .*synthesize setup"):
        build(tmp_path / "l.h5", 1, SETTINGS, workspace=Workspace.open(tmp_path / "cache"), progress=False)
    (space.folder / "structures.npz").write_bytes(whole)
    (space.folder / "manifest.json").write_text('{"sources": {')
    with pytest.raises(SynthesisError, match=r"manifest\.json is damaged .*synthesize setup"):
        build(tmp_path / "l.h5", 1, SETTINGS, workspace=space, progress=False)


def test_damaged_files_of_a_run(tmp_path, space):
    """Its results, or what it was made with."""
    path = tmp_path / "l.h5"
    journal = Journal(path)
    with journal.lock():
        journal.begin(provenance(SETTINGS, space))
        made = synthesize(SETTINGS.draws(1)[0], SETTINGS, space)
        journal.write(Result(0, SETTINGS.draws(1)[0], made.flux, made.extrapolated, None, 0.1))
    one, noted = journal.folder / "spectra/0.npz", journal.folder / "info.json"
    whole = one.read_bytes()
    one.write_bytes(whole[:900])
    with pytest.raises(SynthesisError, match=r"0\.npz is damaged .*delete it, and its spectrum is computed again"):
        build(path, 2, workspace=space, progress=False)
    one.write_bytes(whole)
    noted.write_text('{"settings": ')
    with pytest.raises(SynthesisError, match=r"info\.json is damaged .*delete .*l\.h5\.work"):
        build(path, 2, workspace=space, progress=False)


def test_bins_of_any_width(tmp_path, space):
    """What is made can be broadened, also in files whose wavelengths were rounded more coarsely."""
    settings = replace(SETTINGS, bin_width=0.03333333)
    library = build(tmp_path / "l.h5", 1, settings, workspace=space, progress=False)
    np.testing.assert_allclose(np.diff(library.wavelength), 0.03333333, rtol=0, atol=2e-9)
    for wavelength in (library.wavelength, np.round(library.wavelength, 6)):
        assert replace(library, wavelength=wavelength).compact().wavelength[0] == pytest.approx(8532.516667)
    with pytest.raises(SynthesisError, match=r"range 8530,8530\.5 has 12 bins of 0\.04 A: give a range of at least 16"):
        replace(SETTINGS, high=8530.5)
    with pytest.raises(SynthesisError, match="range 8400,8400.01 has 0 bins"):
        Settings(low=8400.0, high=8400.01)


def test_one_spectrum_without_those_of_another_library(tmp_path, space):
    build(tmp_path / "had.h5", 1, SETTINGS, workspace=space, progress=False)
    options = {"workspace": space, "without": [tmp_path / "had.h5"], "progress": False}
    with pytest.raises(SynthesisError, match="none of the first 1 labels of the sequence is left"):
        build(tmp_path / "l.h5", 1, SETTINGS, **options)
    assert build(tmp_path / "l.h5", 2, SETTINGS, **options).index.tolist() == [1]


def test_a_merged_library_does_not_grow(tmp_path, space):
    """Its spectra are of two sequences: what has an index in one of them is not done in the other."""
    first = build(tmp_path / "l.h5", 2, SETTINGS, workspace=space, progress=False)
    other = build(tmp_path / "m.h5", 4, replace(SETTINGS, seed=2), workspace=space, within=COOL, progress=False)
    for more in (other.subset(other.index > 1), other):
        first.merged(more).save(tmp_path / "both.h5", overwrite=True)
        with pytest.raises(SynthesisError, match=r"both\.h5 was put together .* 'rvsemu library merge'"):
            build(tmp_path / "both.h5", 4, SETTINGS, workspace=space, progress=False)
    first.merged(replace(other, extrapolated=None)).compact(step=0.2).save(tmp_path / "compact.h5")
    for name in ("both.h5", "compact.h5"):  # their state can be seen
        assert main(["synthesize", "status", str(tmp_path / name)]) == 0


def test_a_library_of_another_origin_is_refused(tmp_path, space):
    path = tmp_path / "l.h5"
    library = build(path, 2, SETTINGS, workspace=space, progress=False)
    del library.info["settings"]
    library.save(path, overwrite=True)
    with pytest.raises(SynthesisError, match="not made by"):
        build(path, 3, SETTINGS, workspace=space, progress=False)
    assert not Journal(path).folder.exists()


def test_a_compact_copy_does_not_grow(tmp_path, space):
    path = tmp_path / "c.h5"
    build(path, 2, SETTINGS, workspace=space, progress=False).compact(step=0.2).save(path, overwrite=True)
    with pytest.raises(SynthesisError, match="compact copy"):
        build(path, 3, workspace=space, progress=False)


def test_bad_arguments(tmp_path, space):
    with pytest.raises(SynthesisError, match="n=0"):
        build(tmp_path / "l.h5", 0, SETTINGS, workspace=space, progress=False)
    with pytest.raises(SynthesisError, match="'vsini' is unknown"):
        build(tmp_path / "l.h5", 4, SETTINGS, workspace=space, progress=False, within={"vsini": (0, 1)})
    with pytest.raises(SynthesisError, match="does not exist"):
        build(tmp_path / "no/l.h5", 4, SETTINGS, workspace=space, progress=False)
    with pytest.raises(SynthesisError, match="does not exist"):
        status(tmp_path / "nothing.h5")
    assert {p.name for p in tmp_path.iterdir()} == {"cache"}


def test_on_a_dask_cluster(tmp_path, space):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
    ):
        library = build(tmp_path / "l.h5", 6, SETTINGS, workspace=space, dask=cluster.scheduler_address, progress=False)
    assert library.index.tolist() == list(range(6))
    local = build(tmp_path / "m.h5", 6, SETTINGS, workspace=space, progress=False)
    assert library.fingerprint() == local.fingerprint()


def test_no_scheduler_is_one_line(tmp_path, space):
    pytest.importorskip("distributed")
    with pytest.raises(SynthesisError, match="jobs=2 is for this machine, and dask=nowhere"):
        build(tmp_path / "l.h5", 6, SETTINGS, workspace=space, jobs=2, dask="nowhere", progress=False)
    with pytest.raises(SynthesisError, match="dask=nowhere: no"):
        build(tmp_path / "l.h5", 6, SETTINGS, workspace=space, dask="nowhere", progress=False)


# ---------------------------------------------------------------------- command line
def test_run_and_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "cache"))
    space = workspace(tmp_path / "cache")
    path = str(tmp_path / "l.h5")
    build(path, 2, replace(SETTINGS, seed=4), workspace=space, progress=False)
    assert main(["synthesize", "run", "--n", "4", "--seed", "4", "-o", path, "--quiet"]) == 0
    assert "4 spectra" in capsys.readouterr().out
    assert main(["synthesize", "status", path]) == 0
    said = capsys.readouterr().out
    assert main(["synthesize", "run", "--n", "6", "--box", "wide", "-o", path, "--quiet"]) == 2
    assert "alpha (-0.2, 0.6) instead of None" in capsys.readouterr().err
    assert main(["synthesize", "status", path]) == 0
    said = capsys.readouterr().out
    for words in ("4 spectra", "0 failures", '"seed": 4', "teff", "Gaia-ESO", "fingerprint"):
        assert words in said
    assert main(["synthesize", "status", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["spectra"], found["settings"]["seed"], found["running"]) == (4, 4, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["setup", "--engine", "nothing"], ["nothing", "executable"]),
        (["run", "--n", "4", "-o", "l.h5"], ["rvsemu synthesize setup"]),
        (["run", "--n", "4", "-o", "l.h5", "--jobs", "0"], ["--jobs", "0: give a whole number from 1 to 4096"]),
        (["run", "--n", "4", "-o", "l.h5", "--within", "teff"], ["--within", "teff: write LABEL=VALUE"]),
        (
            ["run", "--n", "4", "-o", "l.h5", "--within", "teff=3600,6000", "--within", "teff=12000,15000"],
            ["--within: teff is given twice: give one value for it"],
        ),
        (["run", "--n", "4", "-o", "l.h5", "--within", "teff=5,x"], ["--within", "'x' is not a number"]),
        (["run", "--n", "x", "-o", "l.h5"], ["--n", "'x'"]),
        (["run", "--n", "0", "-o", "l.h5"], ["--n: 0: give a whole number of at least 1"]),
        (["run", "--n", "4", "-o", "l.h5", "--seed", "-1"], ["--seed: -1: give a whole number from 0 to 4294967295"]),
        (["run", "--n", "4", "-o", "l.h5", "--cool-fraction", "2"], ["--cool-fraction: 2: give a number from 0 to 1"]),
        (["run", "--n", "4", "-o", "l.h5", "--teff", "5000"], ["--teff: 5000: write two numbers, LOW,HIGH"]),
        (["status", "l.h5"], ["l.h5", "does not exist"]),
    ],
)
def test_errors_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "cache"))
    try:
        code = main(["synthesize", *arguments])
    except SystemExit as e:
        code = e.code
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    for word in words:
        assert word in said
    assert list(tmp_path.iterdir()) == []


def test_interrupted_run(tmp_path, monkeypatch, capsys):
    """One line with what can be resumed, status 130; what was finished is there, and the same command goes on."""
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "cache"))
    space = workspace(tmp_path / "cache")
    path = tmp_path / "l.h5"
    build(path, 2, SETTINGS, workspace=space, progress=False)
    write = Journal.write

    def interrupted(self, result):
        if result.index == 4:
            raise KeyboardInterrupt
        write(self, result)

    command = ["synthesize", "run", "--n", "6", "-o", str(path), "--quiet", "--jobs", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", interrupted)
        assert main(command) == 130
    said = capsys.readouterr().err
    text = f"rvsemu synthesize run: interrupted; what is done is in {path}: the same command goes on from there\n"
    assert said == text
    assert Library.load(path).index.tolist() == [0, 1, 2, 3]
    assert main(command) == 0
    assert Library.load(path).index.tolist() == list(range(6))


def test_most_without_improve(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "cache"))
    workspace(tmp_path / "cache")
    assert main(["synthesize", "run", "--n", "4", "--most", "2", "-o", str(tmp_path / "l.h5")]) == 2
    assert "--most chooses spectra that improve a library: name that with --improve" in capsys.readouterr().err
    assert not (tmp_path / "l.h5").exists()


def test_spectra_that_improve_a_library(tmp_path, monkeypatch, capsys):
    """Some of those that it lacks; the same command has nothing to add."""
    monkeypatch.setenv("RVSEMU_CACHE", str(tmp_path / "cache"))
    space, had, more = workspace(tmp_path / "cache"), str(tmp_path / "l.h5"), str(tmp_path / "more.h5")
    build(had, 20, SETTINGS, workspace=space, progress=False)
    build(more, 1, SETTINGS, workspace=space, progress=False)
    command = ["synthesize", "run", "--n", "40", "--most", "3", "--quiet", "-o", more, "--without", had, "--improve"]
    for _ in range(2):
        assert main([*command, had]) == 0
        found = Library.load(more).index.tolist()
        assert len(found) == 4 and min(found[1:]) >= 20
    (tmp_path / "list.txt").write_text("no.h5")
    assert main([*command, str(tmp_path / "list.txt")]) == 2
    assert "no.h5" in capsys.readouterr().err


def test_a_run_that_cannot_begin_leaves_nothing(tmp_path, space):
    for arguments, options in (((0,), {}), ((4,), {"within": {"vsini": (0, 1)}})):
        with pytest.raises(SynthesisError):
            build(tmp_path / "l.h5", *arguments, SETTINGS, workspace=space, progress=False, **options)
        assert [p.name for p in tmp_path.iterdir()] == ["cache"]
