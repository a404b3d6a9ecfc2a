"""The command line: what it writes, what it says, and what it exits with."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from emulator_fixtures import small_emulator
from specutils import Spectrum

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator import LabelSpace
from rvsemu.library import Library
from rvsemu.spectra import example_path

KEPLER = str(example_path("kepler-93"))
SUN = ["--teff", "5777", "--logg", "4.44", "--vsini", "2", "--mh", "0", "--vmic", "1", "--resolution", "11500"]


def test_generate_writes_the_spectrum_and_a_plot(tmp_path):
    out, plot = tmp_path / "sun.fits", tmp_path / "sun.png"
    assert main(["generate", *SUN, "-o", str(out), "--plot", str(plot)]) == 0
    sun = rvsemu.generate(5777, 4.44, 2, 0, 1, 11500)
    read = Spectrum.read(out)
    np.testing.assert_allclose(read.flux.value, sun.flux.value)
    np.testing.assert_allclose(read.spectral_axis.to_value("AA"), sun.spectral_axis.to_value("AA"))
    np.testing.assert_allclose(read.uncertainty.array, sun.uncertainty.array)
    assert (read.meta["labels"], read.meta["medium"]) == (sun.meta["labels"], "air")
    header = fits.getheader(out, 1)
    assert (header["TEFF"], header["LOGG"], header["RESOLUTION"]) == (5777.0, 4.44, 11500.0)
    assert (header["MEDIUM"], header["RECIPE"]) == ("air", "default")
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sun.fits", "sun.png"]


@pytest.mark.parametrize("suffix", [".ecsv", ".csv"])
def test_generate_writes_text(tmp_path, suffix):
    out = tmp_path / f"star{suffix}"
    assert main(["generate", *SUN, "--medium", "vacuum", "-o", str(out)]) == 0
    table = QTable.read(out)
    assert len(table) == 4000
    assert 2.2 < float(np.asarray(table["wavelength"])[0]) - 8400.0 < 2.4  # vacuum


def test_a_label_that_the_command_does_not_know_is_said_to_be_missing(tmp_path, capsys):
    emulator = small_emulator()
    labels = tuple(replace(x, name="helium") if x.name == "vmic" else x for x in emulator.labels.labels)
    replace(emulator, labels=LabelSpace(labels)).save(tmp_path / "e.h5")
    known = ["--teff", "5777", "--logg", "4.44", "--emulator", str(tmp_path / "e.h5"), "-o", str(tmp_path / "x.fits")]
    assert main(["generate", *known]) == 2
    assert "helium is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "--teff", "500", "--logg", "4", "-o", "x.fits"], ["teff=500 K", "3500 to 15000", "extrapolat"]),
        (["generate", "--teff", "nan", "--logg", "4", "-o", "x.fits"], ["teff=nan", "not finite", "3500 to 15000"]),
        (["generate", "--teff", "hot", "--logg", "4", "-o", "x.fits"], ["--teff", "'hot'", "--help"]),
        (["generate", "--teff", "5777K", "--logg", "4", "-o", "x.fits"], ["--teff", "'5777K'", "leave out 'K'"]),
        (["generate", "--logg", "4", "-o", "x.fits"], ["--teff", "required"]),
        (["generate", "--teff", "5000", "--logg", "4"], ["-o FILE", "--plot"]),
        (["generate", "--teff", "5000", "--logg", "4", "-o", "x.doc"], ["x.doc", ".fits"]),
        (["generate", "--teff", "5000", "--logg", "4", "-o", "no/where.fits"], ["no/where.fits", "does not exist"]),
        (["generate", "--teff", "5000", "--logg", "4", "--plot", "x.doc"], ["x.doc", ".png"]),
        (["generate", "--teff", "5000", "--logg", "4", "-o", "x.fits", "--emulator", "best"], ["'best'", "default"]),
        (["generate", "--teff", "5000", "--logg", "4", "-o", "x.fits", "--emulator", "e.h5"], ["e.h5", "not exist"]),
        (["fit", "missing.csv"], ["missing.csv", "no such file"]),
        (["fit", "missing.csv", "-o", "t.ecsv"], ["missing.csv", "no such file", "Nothing was done"]),
        (["fit", KEPLER, "missing.csv", "lost.csv", "-o", "t.ecsv"], ["missing.csv, lost.csv", "no such file"]),
        (["fit", KEPLER, "--fix", "vsini=2 km/s"], ["--fix", "'2 km/s'", "leave out 'km/s'"]),
        (["fit", "missing.csv", "--fix", "vmic"], ["--fix", "vmic", "LABEL=VALUE"]),
        (["fit", "missing.csv", "--fix", "vmic=low"], ["--fix", "'low'", "not a number"]),
        (["fit", "missing.csv", "--prior", "vmic=1"], ["--prior", "two numbers"]),
        (["fit", "missing.csv", "--prior", "vmic=narrow"], ["'narrow'", "'relation' and 'wide'"]),
        (["fit", "missing.csv", "--prior", "resolution=relation"], ["'relation'", "'gaia-rvs'"]),
        (["fit", "missing.csv", "-o", "t.doc"], ["t.doc", ".ecsv"]),
        (["fit", "missing.csv", "--fix", "vmic=1", "--fix", "vmic=2"], ["--fix vmic", "given twice"]),
        (["fit", "missing.csv", "--prior", "vmic=1,1", "--prior", "vmic=2,1"], ["--prior vmic", "given twice"]),
        (["fit", "missing.csv", "--fix", "age=1"], ["'age'", "teff"]),
        (["fit", "missing.csv", "--seed", "-1"], ["--seed", "whole number from 0"]),
        (["fit", "missing.csv", "--continuum-degree", "30"], ["--continuum-degree", "from 0 to 20"]),
        (["fit", "missing.csv", "--mask", "telluric"], ["'telluric'", "calcium-cores"]),
        (["fit", "missing.csv", "--mask", "8510,8500"], ["--mask", "lower value first"]),
        (["fit", "missing.csv", "--mask", "8500,8510,8520"], ["--mask", "two numbers"]),
        (["fit", "missing.csv", "--jitter", "free"], ["jitter='free'", "rvsemu sample"]),
        (["fit", "missing.csv", "--radial-velocity", "400000"], ["radial_velocity", "-3000 to 3000"]),
        (["sample", "missing.csv", "--seed", "-1"], ["--seed", "whole number from 0"]),
        (["sample", "missing.csv", "--steps", "0"], ["--steps", "at least 1"]),
        (["sample", "missing.csv", "--errors", "sampled"], ["--errors", "unrecognized"]),
        (["invert", "missing.csv", "--radial-velocity", "fast"], ["--radial-velocity", "'fast'"]),
        (["sample", "missing.csv"], ["missing.csv", "no such file"]),
        (["sample", "missing.csv", "--table", "t.doc"], ["t.doc", ".ecsv"]),
        (["sample", "missing.csv", "--fix", "vmic=low"], ["--fix", "'low'", "not a number"]),
        (["train", "--library", "missing.h5"], ["missing.h5", "does not exist"]),
        (["train", "--library", "missing.h5", "--recipe", "best"], ["'best'", "gebran2024"]),
        (["library", "info", "missing.h5"], ["rvsemu library info: error: missing.h5", "does not exist"]),
        (["library", "merge", "missing.h5", "-o", "out.h5"], ["missing.h5", "two libraries"]),
        (
            ["library", "merge", "missing.h5", "missing.h5", "-o", "out.h5"],
            ["rvsemu library merge: error: missing.h5", "does not exist"],
        ),
        (["info", "best"], ["'best'", "default"]),
        (["info", "sun.fits"], ["sun.fits", "does not exist"]),
        (["fit", "missing.csv", "--source-id", "Vega"], ["--source-id", "'Vega'", "whole number"]),
        (["fit", "missing.csv", "--radial-velocity", "-10,x"], ["--radial-velocity", "'x'", "not a number"]),
        (
            ["generate", "--teff", "5000", "--logg", "4", "--feh", "0"],
            ["rvsemu generate: error", "unrecognized", "--feh"],
        ),
        (["paint"], ["paint", "--help"]),
        (["--quiet"], ["COMMAND"]),
    ],
)
def test_errors_are_one_line_and_status_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as e:
        status = e.code
    said = capsys.readouterr().err
    assert status == 2
    assert said.count("\n") == 1
    assert said.startswith("rvsemu")
    for word in words:
        assert word in said
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_from_the_start_is_one_line():
    """Interrupt at each third of the modules that the command imports, whatever they are."""
    code = """if True:
        import builtins, sys
        from rvsemu.cli import main
        original, left = builtins.__import__, int(sys.argv[1])
        def counted(*args, **kwargs):
            global left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return original(*args, **kwargs)
        builtins.__import__ = counted
        sys.exit(main(["fit", sys.argv[2]]))
    """
    for imports in (1, 100, 3000):
        done = subprocess.run([sys.executable, "-c", code, str(imports), KEPLER], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "rvsemu fit: interrupted\n")


def test_the_command_itself_imports_nothing_slow():
    code = "import sys, rvsemu.cli; print({'numpy', 'astropy', 'scipy', 'argparse'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_help_has_the_ranges_of_the_default_emulator_and_no_names_of_code(capsys):
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for label in rvsemu.shipped().labels.labels:
        assert f"{label.lower:g} to {label.upper:g}" in said
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    said = capsys.readouterr().out
    assert not [word for word in ("NOISES,", "smoothed_sigma", "(outliers)") if word in said]


def test_without_arguments_there_is_help(capsys):
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("usage: rvsemu") and "Fit" in said.out and said.err == ""


def test_fit_writes_table_and_plot(tmp_path, capsys):
    table, plots = tmp_path / "stars.ecsv", tmp_path / "plots"
    path = str(example_path("kepler-93"))
    assert main(["fit", path, "--fix", "vmic=1.1", "-o", str(table), "--plot", str(plots)]) == 0
    row = QTable.read(table)[0]
    assert row["source_id"] == 2052747119115620352
    assert row["vmic"].value == 1.1
    assert row["vmic_error"].value == 0.0
    assert 5000 < row["teff"].value < 6500
    assert (plots / "2052747119115620352.png").read_bytes().startswith(b"\x89PNG")
    assert "teff" in capsys.readouterr().out


SAMPLE = ["--walkers", "12", "--seed", "5", "--fix", "vmic=1", "--fix", "resolution=11900", "--quiet"]


def test_a_file_where_a_folder_is_to_be_made(tmp_path, capsys):
    path, mine = str(example_path("kepler-93")), tmp_path / "mine"
    mine.write_text("mine")
    assert main(["sample", path, "-o", str(mine), "--steps", "9"]) == 2
    assert f"error: {mine} is a file, and a folder is to be made there: give another" in capsys.readouterr().err
    assert main(["fit", path, "--plot", str(mine)]) == 2
    assert f"{mine} is a file, and plots need a folder: give another name" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_sample_writes_chains_table_and_plots_and_resumes(tmp_path, capsys):
    chains, table, plots = tmp_path / "chains", tmp_path / "stars.ecsv", tmp_path / "plots"
    path, star = str(example_path("kepler-93")), "2052747119115620352"
    arguments = ["sample", path, *SAMPLE, "-o", str(chains)]
    assert main([*arguments, "--steps", "6"]) == 0
    assert main([*arguments, "--steps", "9", "--table", str(table), "--plot", str(plots)]) == 0
    posterior = rvsemu.Posterior.load(chains / f"{star}.h5")
    assert posterior.chain.shape == (9, 12, 5)
    assert posterior.meta["fixed"] == {"vmic": 1.0, "resolution": 11900.0, "alpha": 0.0}
    assert QTable.read(table)["source_id"].tolist() == [int(star)]
    assert sorted(p.name for p in plots.iterdir()) == [f"{star}-corner.png", f"{star}-predictive.png"]
    said = capsys.readouterr().out
    assert "teff" in said
    assert "not-converged" in said
    assert main([*arguments, "--steps", "20", "--continuum-degree", "2"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--restart" in said
    assert main([*arguments, "--steps", "2", "--continuum-degree", "2", "--restart"]) == 0
    assert len(rvsemu.Posterior.load(chains / f"{star}.h5").chain) == 2


def test_demo(tmp_path, capsys):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/sun.png").write_text("of an earlier run")
    assert main(["demo", "-o", str(tmp_path / "demo"), "--overwrite"]) == 0
    assert (tmp_path / "demo/sun.png").read_bytes().startswith(b"\x89PNG")
    files = {p.name for p in (tmp_path / "demo").iterdir()}
    assert files == {"sun.fits", "sun.png", "kepler-93.ecsv", "kepler-93.png"}
    assert "teff" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["sun.fits", "sun.png", "kepler-93.ecsv", "kepler-93.png"])
def test_demo_replaces_nothing_unasked(tmp_path, capsys, name):
    own = tmp_path / name
    own.write_text("of the user")
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert f"{own} exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert own.read_text() == "of the user"


def test_info(capsys):
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert "linked" in said
    assert "vsini" in said
    assert " 1," not in said  # no R2 is that of a perfect emulator


def test_the_installed_command():
    said = subprocess.run([sys.executable, "-m", "rvsemu", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"rvsemu {rvsemu.__version__}"


def test_merge(tmp_path, capsys):
    """What is in both is left out, with a count; nothing is overwritten unasked."""
    library = Library.load(Path(__file__).parent / "data/library_small.h5")
    library.subset(slice(0, 50)).save(tmp_path / "a.h5")
    library.subset(slice(30, 80)).save(tmp_path / "b.h5")
    out = str(tmp_path / "two.h5")
    command = ["library", "merge", str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), "-o", out]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "left out: 20 spectra with the labels of others" in said and "80 spectra" in said
    np.testing.assert_array_equal(Library.load(out).labels, library.labels)
    assert main(["library", "info", out]) == 0
    assert "merged" in capsys.readouterr().out
    assert main(command) == 2
    assert "two.h5 exists: give another name" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main(["library", "compact", out, "-o", out]) == 2
    assert main(["library", "merge", out, out, "-o", str(tmp_path / "three.h5")]) == 2
    assert "nothing to merge: all 80 spectra of the others" in capsys.readouterr().err
    assert not (tmp_path / "three.h5").exists()


def test_merge_with_spectra_that_are_recomputed(tmp_path, capsys):
    """What is at full resolution becomes compact, weak lines of CN are left out, and the last file's spectra stay."""
    old, new, out = (str(tmp_path / name) for name in ("old.h5", "new.h5", "out.h5"))
    x = 8380.02 + 0.04 * np.arange(10950)
    labels = np.array([[5000, 4, 0, 1], [9000, 4, 0, 1], [10000, 4, 0, 1.0]])
    flux = np.repeat([[0.9], [0.8], [0.7]], len(x), axis=1)
    names = ("teff", "logg", "mh", "vmic")
    whole = Library(labels, names, x, flux, "air", bin_width=0.04, info={"made_by": "SYNSPEC"})
    whole.compact().save(old)
    replace(whole, flux=flux - 0.3, info={"made_by": "log gf of CN raised"}).subset([0, 2]).save(new)
    command = ["library", "merge", old, new, "-o", out]
    assert main(command) == 2
    assert "too weak in 1 spectra" in capsys.readouterr().err
    assert main([*command, "--drop-weak-cn", "--replace"]) == 0
    assert "left out: 1 spectra of" in capsys.readouterr().out
    merged = Library.load(out)
    assert merged.resolution == 30000
    order = np.argsort(merged.labels[:, 0])
    np.testing.assert_allclose(merged.flux[order, 2000], [0.6, 0.8, 0.4], atol=2e-5)
    (tmp_path / "parts").mkdir()
    for said in ("wrote", "nothing: all its spectra"):
        assert main(["library", "split", out, "-o", str(tmp_path / "parts")]) == 0
        assert said in capsys.readouterr().out


def test_ctrl_c_while_a_class_is_made_is_one_line(monkeypatch, capsys):
    """Python 3.10 and 3.11 raise RuntimeError from it."""

    def interrupted(arguments, chosen):
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr("rvsemu.cli._run", interrupted)
    assert main(["fit", KEPLER]) == 130
    assert capsys.readouterr().err == "rvsemu fit: interrupted\n"

    def broken(arguments, chosen):
        raise RuntimeError("something else")

    monkeypatch.setattr("rvsemu.cli._run", broken)
    with pytest.raises(RuntimeError, match="something else"):
        main(["fit", KEPLER])
