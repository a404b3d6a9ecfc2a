"""Files of inversions, errors on validation spectra, the command."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy.table import QTable
from inversion_fixtures import WAVELENGTH, curved, exact_inversion, fluxes, star_labels

import rvsemu
from rvsemu import _storage
from rvsemu.cli import main
from rvsemu.emulator import LabelSpace
from rvsemu.errors import InversionFileError
from rvsemu.inversion import Inversion, LabelErrors, invert, resolve

NOWHERE = "none comes with this copy of rvsemu"


@pytest.fixture(scope="module")
def exact():
    return exact_inversion()


@pytest.fixture(scope="module")
def stars():
    return star_labels()


# ---------------------------------------------------------------- errors on validation spectra
def test_label_errors_are_those_of_their_cells():
    rng, n = np.random.default_rng(8), 6000
    teff, vsini = rng.uniform(4000, 12000, n), rng.uniform(0, 300, n)
    true = np.stack([0.01 * teff, 1 + 0.1 * vsini], axis=1)
    errors = LabelErrors.of(teff, vsini, true * rng.normal(size=(n, 2)))
    assert errors.sigma.shape == (8, 4, 2)
    np.testing.assert_allclose(errors.teff, 4000 + 1000 * (np.arange(8) + 0.5), atol=200)
    np.testing.assert_allclose(errors([6000.0, 10000.0], [150.0, 150.0])[:, 0], [60, 100], rtol=0.12)
    np.testing.assert_allclose(errors([8000.0, 8000.0], [60.0, 220.0])[:, 1], [7, 23], rtol=0.15)
    np.testing.assert_array_equal(errors([1.0], [-50.0]), errors.sigma[0, 0][None])
    np.testing.assert_array_equal(errors([1e6], [1e6]), errors.sigma[-1, -1][None])


def test_label_errors_keep_biases_and_fill_empty_cells():
    """Cool stars rotate slowly here, hot ones fast: cells of cool fast ones take the error of the cool ones."""
    rng = np.random.default_rng(9)
    teff = np.concatenate([rng.uniform(4500, 5500, 120), rng.uniform(8500, 9500, 120)])
    vsini = np.where(teff < 7000, rng.uniform(0, 10, 240), rng.uniform(200, 300, 240))
    errors = LabelErrors.of(teff, vsini, np.where(teff < 7000, 3.0, -7.0)[:, None])
    assert errors.sigma.shape == (4, 4, 1)
    np.testing.assert_allclose(errors([4800.0, 9200.0, 4800.0, 9200.0], [5.0, 250.0, 250.0, 5.0])[:, 0], [3, 7, 3, 7])
    alike = LabelErrors.of(np.full(30, 5000.0), np.full(30, 5.0), np.full((30, 1), 2.0))
    np.testing.assert_allclose(alike([4000.0, 6000.0], [0.0, 9.0]), 2.0)


def test_label_errors_are_interpolated():
    errors = LabelErrors(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0]), np.arange(6.0).reshape(3, 2, 1))
    np.testing.assert_allclose(errors([-1.0, 0.5, 2.0, 9.0], np.zeros(4))[:, 0], [0, 1, 3, 4])
    np.testing.assert_allclose(errors([0.0, 1.0, 3.0], [0.5, 1.0, -2.0])[:, 0], [0.5, 3, 4])


# ---------------------------------------------------------------- files
def test_file_round_trip(exact, stars, tmp_path):
    inversion = replace(curved(exact), history={"labels": {"loss": np.array([2.0, 1.0])}})
    exact.save(tmp_path / "i.h5")
    with pytest.raises(InversionFileError, match=r"exists: give another name, or .*overwrite=True"):
        inversion.save(tmp_path / "i.h5")
    inversion.save(tmp_path / "i.h5", overwrite=True)
    again = Inversion.load(tmp_path / "i.h5")
    flux = fluxes(exact, stars)
    for a, b in zip(again.estimate(flux), inversion.estimate(flux), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    assert again.labels["teff"].transform == "log" and again.labels.names == LabelSpace().names
    assert (again.medium, again.limits, again.info) == ("air", inversion.limits, inversion.info)
    np.testing.assert_array_equal(again.wavelength, WAVELENGTH)
    np.testing.assert_allclose(again.residual, inversion.residual)
    assert again.history["labels"]["loss"].tolist() == [2, 1]
    assert repr(again).startswith("<Inversion exact 1: 4000 fluxes, 8400.0-8799.9 A in air -> 6 components")
    assert [p.name for p in tmp_path.iterdir()] == ["i.h5"]


def _shorter(file, name):
    values = file[name][:-1]
    del file[name]
    file[name] = values


def _times(file, name, factor):
    file[name][...] = file[name][:] * factor


def _promising(file, name):
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, (10**11,), "f4", chunks=(1024,)).attrs.update(attributes)


def _not_finite(file, name):
    file[name][0] = np.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: f.attrs.modify("format", "rvsemu emulator"),
            "is not an rvsemu inversion but an rvsemu emulator: 'rvsemu train --recipe inv",
        ),
        (lambda f: f.attrs.modify("format_version", 2), "has inversion format 2, this rvsemu reads up to 1"),
        (lambda f: f.attrs.modify("format_version", 0), "damaged"),
        (lambda f: f.pop("error"), "damaged or not an inversion file"),
        (lambda f: f.pop("networks/00/00"), "damaged"),
        (lambda f: _shorter(f, "principal/mean"), "mean, basis and spread of the components do not fit"),
        (lambda f: _shorter(f, "principal/residual"), "residuals do not fit"),
        (lambda f: _shorter(f, "error/sigma"), "errors do not fit"),
        (lambda f: _promising(f, "principal/basis"), "principal/basis of the shape .* takes more than .*--recipe inv"),
        (lambda f: _promising(f, "wavelength"), "wavelength of the shape .* takes more than"),
        (lambda f: _not_finite(f, "principal/spread"), "not finite"),
        (lambda f: _not_finite(f, "error/sigma"), "not finite"),
        (lambda f: _not_finite(f, "networks/00/00/weights"), "not finite"),
        (lambda f: f.copy("networks/00", "networks/01"), "networks do not fit the labels"),
        (lambda f: _times(f, "principal/mean", 0), "mean spectrum is not positive"),
        (lambda f: _times(f, "principal/mean", -1), "mean spectrum is not positive"),
        (lambda f: _times(f, "principal/basis", 0), "components have not the length 1"),
        (lambda f: _times(f, "principal/spread", 0), "a spread is not positive"),
        (lambda f: _times(f, "principal/residual", -1), "residuals do not fit .*, or are no errors"),
        (lambda f: _times(f, "error/sigma", -1), "below 0"),
        (lambda f: _times(f, "error/teff", np.inf), "error/teff is not finite"),
        (lambda f: f["principal"].attrs.modify("distance", np.nan), "distance is not finite"),
        (lambda f: f["principal"].attrs.modify("residual", -1.0), "limits of what is like .* not positive"),
        (lambda f: f["labels/0"].attrs.modify("unit", "nonsense"), "'nonsense' is no unit"),
        (lambda f: f["labels/0"].attrs.modify("lower", -1.0), "label teff: transform 'log' has no values"),
        (lambda f: f["labels/0"].attrs.create("name", 5), "a label has the name"),
        (lambda f: f.attrs.modify("info", "[]"), "info is .* instead of values by name"),
        (lambda f: f["wavelength"].attrs.modify("unit", "nm"), "instead of Angstrom"),
        (lambda f: _times(f, "wavelength", -1), "not a uniform grid"),
        (lambda f: _times(f, "wavelength", np.inf), "wavelength is not finite"),
    ],
)
def test_damaged_files(exact, tmp_path, damage, message):
    exact.save(tmp_path / "i.h5")
    with h5py.File(tmp_path / "i.h5", "r+") as file:
        damage(file)
    with pytest.raises(InversionFileError, match=message) as raised:
        Inversion.load(tmp_path / "i.h5")
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(InversionFileError, match="does not exist: give the path of an inversion file"):
        Inversion.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(InversionFileError, match="damaged or not an inversion"):
        Inversion.load(tmp_path / "text.h5")


def test_resolve(exact, tmp_path, monkeypatch):
    exact.save(tmp_path / "mine.h5")
    assert resolve(exact) is exact
    assert resolve(tmp_path / "mine.h5").info == exact.info
    assert resolve(str(tmp_path / "mine.h5")).info == exact.info
    monkeypatch.setattr(_storage, "shipped_files", lambda kind: {})
    with pytest.raises(InversionFileError, match=f"'default' is not shipped: {NOWHERE}.*rvsemu train --recipe inv"):
        invert(np.ones(4000))
    monkeypatch.setattr(_storage, "shipped_files", lambda kind: {"default": tmp_path / "mine.h5"})
    assert resolve().info == exact.info
    assert resolve() is resolve("default")
    with pytest.raises(InversionFileError, match="'best' is not shipped: use one of default, or give the file"):
        resolve("best")
    with pytest.raises(InversionFileError, match="too large for the package.*models/inversions/gebran2024-inv"):
        resolve("gebran2024-inversion")
    with pytest.raises(InversionFileError, match="inversion=5: give the name of a shipped inversion, the path of a"):
        resolve(5)


# ---------------------------------------------------------------- the command
@pytest.fixture
def file(tmp_path):
    exact_inversion().save(tmp_path / "exact.h5")
    return str(tmp_path / "exact.h5")


def test_command(file, tmp_path, capsys):
    table, path = tmp_path / "labels.ecsv", str(rvsemu.example_path("kepler-93"))
    assert main(["invert", path, "--inversion", file, "-o", str(table), "--mask", "edges"]) == 0
    heading, line, *_ = capsys.readouterr().out.splitlines()
    expected = invert(rvsemu.read_rvs(path)[0], inversion=file, mask="edges")
    assert heading.startswith("spectrum") and "logg [dex]" in heading
    assert line.startswith("2052747119115620352") and expected.text("logg") in line
    row = QTable.read(table)[0]
    assert row["source_id"] == 2052747119115620352
    assert 3600 <= row["teff"].value <= 15000 and row["teff_error"].value > 0
    assert row["n_pixels"] == expected.n_pixels
    assert row["logg"].value == pytest.approx(expected.logg.value)
    assert main(["invert", path, "--inversion", file, "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "source 2052747119115620352" in said and "<InversionResult" in said and "rms" in said
    assert main(["info", file]) == 0
    assert "<Inversion exact" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.csv"], ["missing.csv", "no such file"]),
        (["missing.csv", "-o", "t.doc"], ["t.doc", ".ecsv"]),
        (["missing.csv", "--mask", "1,b"], ["'b'", "not a number"]),
        (["missing.csv", "--continuum-degree", "x"], ["--continuum-degree"]),
    ],
)
def test_command_errors(file, arguments, words, capsys):
    try:
        status = main(["invert", *arguments, "--inversion", file])
    except SystemExit as e:
        status = e.code
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1 and said.startswith("rvsemu invert")
    for word in words:
        assert word in said


def test_command_goes_on_after_a_bad_file(file, tmp_path, capsys):
    table, bad = tmp_path / "t.ecsv", tmp_path / "bad.csv"
    bad.write_text("source_id,flux\n1,2\n")
    arguments = ["invert", str(bad), str(rvsemu.example_path("hd176650")), "--inversion", file, "-o", str(table)]
    assert main(arguments) == 2
    assert "bad.csv" in capsys.readouterr().err
    assert QTable.read(table)["flags"][0] == "failed" and len(QTable.read(table)) == 2
