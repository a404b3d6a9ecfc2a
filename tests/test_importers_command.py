"""``rvsemu library import``: what it says, refuses and leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import importer_fixtures as fx
import numpy as np
import pytest

from rvsemu.cli import main
from rvsemu.errors import LibraryFileError
from rvsemu.library import Library
from rvsemu.library.importing import FORMATS, import_library
from rvsemu.library.importing.formats import REFUSED, listing


# ---------------------------------------------------------------- the command
def test_reasons_are_summed_up(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.bosz2024(folder, [fx.SUN, *(replace(fx.SUN, logg=g, more={"alpha": 0.25}) for g in (3.0, 3.5))])
    status, out = fx.run(folder, "bosz2024")
    printed = capsys.readouterr().out
    assert status == 0 and "left out: 2 x alpha=0.25, 0 is wanted (e.g. spectra/bosz2024_mp_t5750_g+3.0" in printed
    assert f"wrote {out}: <Library of 1 spectra, 8490.0-8610.0 A in air, R = 300000>" in printed
    assert main(["library", "info", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "reference: Meszaros et al. 2024" in printed and "left out" in printed


def test_strict_stops_at_the_first(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.bosz2024(folder, [fx.SUN, replace(fx.SUN, logg=3.0, more={"alpha": 0.25})])
    status, out = fx.run(folder, "bosz2024", "--strict")
    assert status == 2 and not out.exists()
    assert "_resam.txt.gz: alpha=0.25, 0 is wanted." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "best"], "format 'best' is unknown: use one of synspec, turbospectrum"),
        (["--format", "galah"], "format galah cannot be imported: GALAH's red arm is 6478-6737 A"),
        (["--format", "melchiors"], "observed spectra"),
        (["--set", "teff"], "argument --set: teff: write LABEL=VALUE"),
        (["--set", "vmic=fast"], "argument --set: 'fast' is not a number"),
        (["--set", "vmic=nan"], "argument --set: 'nan' is not finite"),
        (["--set", "vsini=3"], "given: label=vsini is unknown: use one of teff, logg, mh, vmic, alpha"),
        (["--set", "vmic=2", "--set", "vmic=3"], "argument --set: vmic is given twice"),
        (["--alpha", "0.4", "--abundance", "alpha=0.2"], "--alpha and --abundance alpha differ"),
        (["--alpha", "high"], "argument --alpha: 'high' is not a number"),
        (["--within", "teff=4000"], "argument --within: 4000: write two numbers, LOW,HIGH"),
        (["--within", "teff=8000,4000"], "argument --within: 8000,4000: give the lower value first"),
        (["--within", "alpha=0,1"], "within: label=alpha is unknown"),
        (["--resolution", "0"], "argument --resolution: 0: give a number from 1000 to 1e+07"),
        (["--range", "8400"], "argument --range: 8400: write two numbers, LOW,HIGH"),
        (["--range", "8600,8500"], "argument --range: 8600,8500: give the lower value first"),
        (["--range", "8600,8610"], "range 8600 to 8610: give 50 A or more"),
        (["--step", "1"], "argument --step: 1: give a number from 0.001 to 0.2"),
        (["--labels", "none.csv"], "labels=none.csv does not exist"),
        (["--labels", "labels.xyz"], "the ending '.xyz' is unknown"),
        (["--labels", "empty.csv"], "labels=empty.csv"),
        (["--labels", "twice.csv"], "has a.txt twice"),
        (["--labels", "columns.csv"], "it needs 'file'"),
        (["-o", "no/such/folder/x.h5"], "does not exist; make it first"),
        (["-o", "."], ". is a folder: give the name of a file"),
        (["-o", "labels.xyz"], "labels.xyz exists: give another name, or allow it to be replaced"),
        (["--pseudo-continuum", "9"], "argument --pseudo-continuum: 9: give a whole number from 0 to 6"),
        (["nothing"], "nothing does not exist"),
        (["--format", "tlusty"], "format tlusty: no files of it"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, capsys, options, message):
    """One line, exit status 2, no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    fx.npz(tmp_path / "in", [fx.SUN])
    (tmp_path / "labels.xyz").write_text("file teff\n")
    (tmp_path / "empty.csv").write_text("")
    fx.table(tmp_path / "twice.csv", [("a.txt", 1, 1, 1, 1), ("a.txt", 1, 1, 1, 1)])
    fx.table(tmp_path / "columns.csv", [("a.txt", 1)], ("star", "mass"))
    before = sorted(p.name for p in tmp_path.iterdir())
    try:
        status = main(["library", "import", "--format", "table", *fx.RANGE, "-o", "x.h5", "in", *options])
    except SystemExit as e:
        status = e.code
    assert status == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("\r")]
    assert len(error) == 1 and message in error[0], error
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_imported_files_are_not_replaced(tmp_path, capsys):
    path = tmp_path / "grid.h5"
    path.write_bytes(b"a grid")
    assert main(["library", "import", "--format", "table", "-o", str(path), "--overwrite", str(path)]) == 2
    assert "grid.h5 is read and would be replaced" in capsys.readouterr().err
    assert path.read_bytes() == b"a grid"


def test_list_of_formats(capsys):
    """It needs neither paths nor an output."""
    with pytest.raises(SystemExit) as e:
        main(["library", "import", "--list-formats"])
    assert e.value.code == 0
    printed = capsys.readouterr().out
    assert printed.strip() == listing()
    for name in (*FORMATS, *REFUSED):
        assert re.search(rf"^ *{name}: ", printed, re.MULTILINE)


def test_interrupted_import_leaves_no_file(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.npz(folder, fx.STARS)
    from rvsemu.library.importing import preparing

    count, original = [], preparing.rebinned

    def interrupting(*arguments):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(preparing, "rebinned", interrupting)
    status, _ = fx.run(folder, "table")
    assert status == 130 and "interrupted" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_library_that_is_there_is_replaced_if_asked(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.npz(folder, fx.STARS)
    (tmp_path / "x.h5").write_text("before")
    assert fx.run(folder, "table", out=tmp_path / "x.h5")[0] == 2
    assert (tmp_path / "x.h5").read_text() == "before" and "--overwrite" in capsys.readouterr().err
    assert fx.run(folder, "table", "--overwrite", out=tmp_path / "x.h5")[0] == 0
    assert len(Library.load(tmp_path / "x.h5")) == 3


@pytest.mark.parametrize("given", ["string", "path", "list"])
def test_one_path_or_several(tmp_path, given):
    fx.npz(tmp_path, fx.STARS)
    paths = {"string": str(tmp_path), "path": tmp_path, "list": [str(tmp_path)]}[given]
    assert len(import_library(paths, "table", fx.SHORT, progress=False)[0]) == 3


@pytest.mark.parametrize("given", [5, None, [5]])
def test_paths_of_the_wrong_type(given):
    with pytest.raises(LibraryFileError, match=re.escape(f"paths={given!r}: give a path or a sequence of paths")):
        import_library(given, "table", fx.SHORT, progress=False)


@pytest.mark.skipif(os.name == "nt", reason="interrupts by signal")
def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    """SIGINT while it reads: status 130, one line, and a library that was there before is kept."""
    (tmp_path / "in").mkdir()
    arrays = fx.arrays([fx.SUN] * 400)
    arrays["teff"] = 5000.0 + np.arange(400)
    np.savez(tmp_path / "in" / "grid.npz", **arrays)
    out = tmp_path / "x.h5"
    out.write_text("before")
    command = [sys.executable, "-m", "rvsemu", "library", "import", "--format", "table", "--overwrite"]
    command += [*fx.RANGE, "-o", str(out)]
    with open(tmp_path / "log", "w+") as log:
        process = subprocess.Popen([*command, str(tmp_path / "in")], stdout=log, stderr=log)
        try:
            limit = time.monotonic() + 120
            while "/400" not in (tmp_path / "log").read_text() and time.monotonic() < limit:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 130, (tmp_path / "log").read_text()
        finally:
            process.kill()
    printed = (tmp_path / "log").read_text()
    assert "interrupted" in printed and "Traceback" not in printed
    assert out.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "log", "x.h5"]
