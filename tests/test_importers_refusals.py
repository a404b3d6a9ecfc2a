"""Importers: spectra whose medium, labels or content are wrong are left out, with the reason."""

import gzip
import re
import tracemalloc
import zipfile
from dataclasses import replace

import h5py
import importer_fixtures as fx
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from training_fixtures import LIBRARY as SMALL

from rvsemu.errors import LibraryFileError
from rvsemu.library import Library
from rvsemu.library.importing import Settings, import_library, reading
from rvsemu.library.importing.labels import LabelTable
from rvsemu.library.importing.lines import AIR_TO_VACUUM, shift
from rvsemu.library.importing.spectrum import Unusable


# ---------------------------------------------------------------- air and vacuum
def test_ca_lines_of_real_spectra_tell_the_medium():
    """All 80 spectra of the tests' library: right where judged, and most below 10,000 K are."""
    library = Library.load(SMALL)
    teff = library.labels[:, 0]
    for offset in (0.0, 2.36, -2.36):
        found = [shift(library.wavelength + offset, f, t) for f, t in zip(library.flux, teff, strict=True)]
        judged = np.array([x for x in found if x is not None])
        np.testing.assert_allclose(judged, offset, rtol=0, atol=0.11)
        assert len(judged) > 0.95 * np.count_nonzero(teff < 10000)
    assert AIR_TO_VACUUM == pytest.approx(2.36, abs=0.01)


@pytest.mark.parametrize(("true", "declared"), [("air", "vacuum"), ("vacuum", "air")])
def test_wrong_medium_is_refused(true, declared, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    arrays = fx.arrays([fx.SUN, fx.DWARF])
    if true == "vacuum":
        arrays["wavelength"] = fx.vacuum(fx.AIR)
    np.savez(folder / "grid.npz", **arrays)
    status, out = fx.run(folder, "table", "--medium", declared)
    assert status == 2 and not out.exists()
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"say that its wavelengths are in {true}, not in {declared}" in message


def test_medium_that_is_not_stated_is_measured(tmp_path):
    arrays = fx.arrays([fx.HOT, fx.SUN])
    arrays["wavelength"] = fx.vacuum(fx.AIR)
    np.savez(tmp_path / "grid.npz", **arrays)
    library, _ = fx.imported(tmp_path, "table")
    assert library.info["source_medium"].startswith("vacuum, measured from the Ca II lines of grid.npz row 2")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.HOT), rtol=0, atol=fx.MEDIUM)  # too hot to tell
    np.testing.assert_allclose(library.flux[1], fx.expected(fx.SUN), rtol=0, atol=fx.MEDIUM)


def test_medium_that_cannot_be_told(tmp_path):
    fx.npz(tmp_path, [fx.HOT])
    with pytest.raises(LibraryFileError, match="not stated, and no spectrum's Ca II lines can tell: give --medium"):
        fx.imported(tmp_path, "table")
    library, _ = fx.imported(tmp_path, "table", medium="air")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.HOT), rtol=0, atol=fx.TEXT)
    assert library.info["source_medium"].startswith("air, stated by the user")


def test_star_that_is_not_at_rest(tmp_path):
    arrays = fx.arrays([fx.SUN])
    arrays["wavelength"] = fx.AIR * (1 + 40 / 299792.458)
    np.savez(tmp_path / "grid.npz", **arrays)
    with pytest.raises(LibraryFileError, match=r"lines lie \+1\.1 A from their place at rest"):
        fx.imported(tmp_path, "table", medium="air")


# ---------------------------------------------------------------- labels
def test_header_and_name_that_disagree(tmp_path):
    fx.phoenix(tmp_path, [fx.DWARF])
    fx.phoenix(tmp_path, [fx.SUN], PHXTEFF=5800)
    library, report = fx.imported(tmp_path, "phoenix-aces", pseudo_continuum=1)
    assert len(library) == 1
    assert [*report.left_out.values()] == ["teff is 5800 in the header but 5750 in the name"]


def test_header_counts_where_the_name_is_rounded(tmp_path):
    """Teff within 1 K; vmic is in the header alone."""
    fx.phoenix(tmp_path, [fx.SUN], PHXTEFF=5750.4, PHXXI_L=1.37)
    library, _ = fx.imported(tmp_path, "phoenix-aces", pseudo_continuum=1)
    np.testing.assert_allclose(library.labels, [[5750.4, 4.5, 0, 1.37]])


def test_table_and_name_that_disagree(tmp_path):
    fx.turbospectrum(tmp_path, [fx.SUN, fx.DWARF])
    names = [fx.marcs_name(s) for s in (fx.SUN, fx.DWARF)]
    fx.table(tmp_path / "labels.csv", [(names[0], 5750, 4.0, 0, 1), (names[1], 4250, 4.5, 0, 2)])
    library, report = fx.imported(tmp_path, "turbospectrum", labels=tmp_path / "labels.csv")
    assert len(library) == 1
    assert report.left_out == {names[0]: "logg is 4.5 in the name but 4 in the table"}


def test_columns_that_disagree(tmp_path):
    """[M/H] and [Fe/H], say: neither is taken without a word."""
    arrays = fx.arrays([fx.SUN, fx.DWARF])
    np.savez(tmp_path / "grid.npz", **arrays, feh=[0.3, 0.0])
    library, report = fx.imported(tmp_path, "table", medium="air")
    assert library.labels.tolist() == [fx.DWARF.labels]
    assert list(report.left_out.values()) == ["mh is 0 in the column mh but 0.3 in the column feh"]
    fx.table(
        tmp_path / "labels.csv", [("grid.npz", *fx.SUN.labels, 0.3)], ("file", "teff", "logg", "mh", "vmic", "feh")
    )
    with pytest.raises(Unusable, match="mh is 0 in the column mh but 0.3 in the column feh"):
        LabelTable(tmp_path / "labels.csv").labels(tmp_path / "grid.npz")


def test_rows_of_no_file(tmp_path):
    table = Table({"file": MaskedColumn(["a", "b", "c"], mask=[False, True, True]), "teff": [5000.0] * 3})
    table.write(tmp_path / "labels.ecsv")
    with pytest.raises(LibraryFileError, match=r"labels.ecsv has no file in row 2: leave this row out"):
        LabelTable(tmp_path / "labels.ecsv")
    with pytest.raises(LibraryFileError, match="labels is a Table: give the path of a table of labels"):
        Settings(labels=table)


def test_label_of_all_spectra(tmp_path):
    """vmic of Coelho's library is not in its files; where files have another value, that is a contradiction."""
    fx.coelho(tmp_path, [fx.SUN])
    with pytest.raises(LibraryFileError, match="vmic is missing: give a table of labels or one value for all"):
        fx.imported(tmp_path, "coelho2014", pseudo_continuum=1)
    library, _ = fx.imported(tmp_path, "coelho2014", pseudo_continuum=1, given={"vmic": 1.5})
    assert library.labels[0, 3] == 1.5 and library.info["labels_given"] == "vmic = 1.5"
    with pytest.raises(LibraryFileError, match="teff is 5750 in the .* but 6000 in the setting"):
        fx.imported(tmp_path, "coelho2014", pseudo_continuum=1, given={"vmic": 1.5, "teff": 6000})


def test_alpha_enhanced_ones_are_left_out_unless_asked_for(tmp_path):
    """Also carbon; oxygen goes with alpha."""
    enhanced = replace(fx.DWARF, more={"alpha": 0.4})
    rich = replace(fx.SUN, more={"carbon": 0.25}, logg=4.0)
    fx.bosz2024(tmp_path, [fx.SUN, enhanced, rich])
    library, report = fx.imported(tmp_path, "bosz2024")
    assert library.labels[:, 0].tolist() == [fx.SUN.teff]
    assert sorted(report.left_out.values()) == ["alpha=0.4, 0 is wanted", "carbon=0.25, 0 is wanted"]
    assert library.info["abundances"] == "scaled solar, as far as the files say"
    library, _ = fx.imported(tmp_path, "bosz2024", abundances={"alpha": 0.4})
    assert library.labels[:, 0].tolist() == [fx.DWARF.teff]
    assert library.info["abundances"] == "alpha +0.4, oxygen +0.4"
    assert library.names == ("teff", "logg", "mh", "alpha", "vmic")
    star = fx.DWARF
    assert library.labels.tolist() == [[star.teff, star.logg, star.mh, 0.4, star.vmic]]
    library, _ = fx.imported(tmp_path, "bosz2024", abundances={"carbon": 0.25})
    assert library.labels[0, 1] == 4.0


def test_oxygen_of_marcs_names_goes_with_alpha(tmp_path):
    fx.turbospectrum(tmp_path, [replace(fx.SUN, more={"alpha": 0.4})])
    library, _ = fx.imported(tmp_path, "turbospectrum", abundances={"alpha": 0.4})
    assert len(library) == 1


def test_same_labels_twice(tmp_path):
    """A MARCS and an ATLAS9 spectrum of one star, which a smooth function of labels cannot both be."""
    fx.bosz2024(tmp_path, [fx.SUN])
    (path,) = (tmp_path / "spectra").iterdir()
    (path.with_name(path.name.replace("_mp_", "_ap_"))).write_bytes(path.read_bytes())
    library, report = fx.imported(tmp_path, "bosz2024")
    assert len(library) == 1
    assert re.match("the same teff, logg, mh and vmic as spectra/bosz2024_ap_", next(iter(report.left_out.values())))


def test_rotating_ones_are_left_out(tmp_path):
    fx.munari(tmp_path, [fx.SUN])
    path = tmp_path / fx.munari_name(fx.SUN)
    path.with_name(fx.munari_name(fx.DWARF, rotation=15)).write_bytes(path.read_bytes())
    path.with_name(fx.munari_name(fx.DWARF, kind="F")).write_bytes(path.read_bytes())
    path.with_name(fx.munari_name(fx.DWARF, sampling="D1A")).write_bytes(path.read_bytes())
    library, report = fx.imported(tmp_path, "munari")
    assert len(library) == 1
    reasons = " ".join(report.left_out.values())
    for part in ("rotationally broadened already", "absolute flux without", "no Gaussian LSF of known resolution"):
        assert part in reasons


def test_within_takes_a_part(tmp_path):
    fx.pollux(tmp_path, fx.STARS)
    (tmp_path / fx.pollux_name(fx.HOT, ".spec")).write_text("not even read")
    library, report = fx.imported(tmp_path, "pollux", within={"teff": (5000, 8000)})
    assert library.labels[:, 0].tolist() == [5750]
    assert set(report.left_out.values()) == {"teff is outside 5000 to 8000, as asked"}


def test_implausible_label(tmp_path):
    fx.npz(tmp_path, [replace(fx.SUN, logg=44.0)])
    with pytest.raises(LibraryFileError, match=r"logg=44 is implausible: -1 to 7 would do"):
        fx.imported(tmp_path, "table", medium="air")


# ---------------------------------------------------------------- what spectra can have wrong
def one(tmp_path, **changes):
    """The Sun as arrays, with changes, imported as air."""
    np.savez(tmp_path / "grid.npz", **{**fx.arrays([fx.SUN]), **changes})
    return fx.imported(tmp_path, "table", medium="air")[0]


def test_duplicates_reversed_and_stray_wavelengths(tmp_path):
    """Repeated samples, decreasing order, a missing flux at the end and a few out of order change nothing."""
    flux = fx.SUN.flux()
    twice = np.repeat(np.arange(len(flux)), np.where(np.arange(len(flux)) % 50 == 0, 2, 1))
    reference = one(tmp_path).flux
    for order in (twice, np.arange(len(flux))[::-1]):
        np.testing.assert_array_equal(one(tmp_path, wavelength=fx.AIR[order], flux=[flux[order]]).flux, reference)
    stray = fx.AIR.copy()
    stray[7000] -= 0.5
    np.testing.assert_allclose(one(tmp_path, wavelength=stray).flux, reference, rtol=0, atol=1e-3)


@pytest.mark.parametrize("ending", ["ecsv", "fits"])
def test_masked_fluxes(tmp_path, ending):
    """They are no fluxes, whatever stands below the mask; few of them are interpolated over."""
    flux = np.round(fx.SUN.flux() * 10000).astype(int)
    flux[7000:7003] = -32768
    table = Table(
        {"wavelength": fx.AIR, "flux": MaskedColumn(flux, mask=flux < 0), "continuum": np.full(len(flux), 1e4)}
    )
    table.write(tmp_path / f"sun.{ending}")
    fx.table(tmp_path / "labels.csv", [(f"sun.{ending}", *fx.SUN.labels)])
    library, _ = fx.imported(tmp_path, "table", labels=tmp_path / "labels.csv", medium="air")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.SUN), rtol=0, atol=2e-3)


def test_masked_labels(tmp_path):
    """Whole numbers of FITS, where a number stands for none."""
    table = Table({"wavelength": [fx.AIR] * 2, "flux": [fx.SUN.flux(), fx.DWARF.flux()]})
    for name, values in zip(
        ("teff", "logg", "mh", "vmic"), zip(fx.SUN.labels, fx.DWARF.labels, strict=True), strict=True
    ):
        table[name] = values
    table["logg"] = MaskedColumn([-1, 4], mask=[True, False])
    table.write(tmp_path / "grid.fits")
    library, report = fx.imported(tmp_path, "table", medium="air")
    assert library.labels[:, 1].tolist() == [4.0]
    assert list(report.left_out.values()) == ["logg=nan is implausible: -1 to 7 would do"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wavelength": np.random.default_rng(1).permutation(fx.AIR)}, "its wavelengths are not in order"),
        ({"wavelength": fx.AIR + 30}, r"it covers 8512\.0 to 8648\.0 A, 8490 to 8610 A are needed"),
        ({"wavelength": fx.AIR / 10}, r"are needed \(is its unit nm\?\)"),
        ({"wavelength": np.where(fx.AIR < 8550, fx.AIR, fx.AIR + 1)}, r"leave 8549\.99 to 8551\.00 A out"),
        ({"flux": [fx.SUN.flux() * 3e6]}, "of the continuum: emission, or not normalised"),
        ({"flux": [fx.SUN.flux() * 0.1]}, "hardly reaches 0.09.* of the continuum: not normalised"),
        ({"flux": [fx.SUN.flux() - 0.5]}, "its normalised flux falls to -0.3"),
        ({"flux": [np.full(len(fx.AIR), np.nan)]}, "it has no finite fluxes"),
        ({"continuum": [np.zeros(len(fx.AIR))]}, "its continuum is not positive everywhere"),
        ({"flux": [fx.SUN.flux()[1:]]}, "13600 wavelengths for 13599 fluxes"),
        ({"flux": [fx.SUN.flux()] * 2}, "'teff' has 1 rows where 'flux' has 2"),
        ({"flux": fx.SUN.flux()}, r"'flux' has the shape \(13600,\): one row per spectrum is expected"),
        ({"flux": 1.0}, r"'flux' has the shape \(\): one row per spectrum is expected"),
        ({"flux": [["one"] * len(fx.AIR)]}, "it cannot be read .could not convert string to float"),
        ({"logg": ["high"]}, "could not convert string to float"),
        ({"wavelength": [fx.AIR] * 2}, "'wavelength' has 2 rows where 'flux' has 1"),
        ({"teff": [np.nan]}, "teff=nan is implausible"),
    ],
)
def test_spectra_that_cannot_be_used(tmp_path, changes, message):
    with pytest.raises(LibraryFileError, match=message):
        one(tmp_path, **changes)


def test_pseudo_continuum_beside_a_continuum(tmp_path):
    np.savez(tmp_path / "grid.npz", **fx.arrays([fx.SUN]), continuum=[np.ones(len(fx.AIR))])
    with pytest.raises(LibraryFileError, match="it carries a continuum: leave the pseudo-continuum out"):
        fx.imported(tmp_path, "table", medium="air", pseudo_continuum=2)
    with pytest.raises(LibraryFileError, match="format pollux needs no pseudo-continuum: leave it out"):
        fx.imported(tmp_path, "pollux", pseudo_continuum=2)


def test_coverage_that_is_too_short_for_the_default_range(tmp_path):
    fx.npz(tmp_path, [fx.SUN])
    with pytest.raises(LibraryFileError, match=r"it covers 8482.0 to 8618.0 A, 8380 to 8818 A are needed"):
        import_library([tmp_path], "table", Settings(medium="air"), progress=False)


def test_companions_that_are_missing(tmp_path):
    fx.bosz2024(tmp_path, [fx.SUN])
    (tmp_path / "bosz2024_wave_r300000.txt").unlink()
    with pytest.raises(LibraryFileError, match=r"companion bosz2024_wave_r300000\.txt is missing"):
        fx.imported(tmp_path, "bosz2024")
    fx.tlusty(tmp_path, [fx.SUN])
    next(tmp_path.glob("*.17.gz")).unlink()
    with pytest.raises(LibraryFileError, match=r"companion BG05750g450v1\.vis\.17 is missing"):
        fx.imported(tmp_path, "tlusty")


def test_continuum_that_is_too_short(tmp_path):
    fx.tlusty(tmp_path, [fx.SUN])
    wave = np.arange(8000.0, 8560.0, 20.0)
    fx.text(next(tmp_path.glob("*.17.gz")), wave, fx.continuum(wave), formats=("%.3f", "%.5E"))
    with pytest.raises(LibraryFileError, match=r"its continuum covers 80\d\d.0 to 8540.0 A only"):
        fx.imported(tmp_path, "tlusty")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: b"", "is empty"),
        (lambda data: b"no numbers\n", "holds no columns of numbers"),
        (lambda data: b"8400.0 0.9\n8401.0\n", "it is not columns of numbers"),
        (lambda data: b"8400.0\n8401.0\n", "it has 1 columns instead of 2 or more"),
    ],
)
def test_damaged_files_are_left_out(tmp_path, spoil, message):
    """And the others are imported all the same."""
    fx.bosz2024(tmp_path, [fx.SUN, fx.DWARF])
    path = next((tmp_path / "spectra").glob("*_t4250_*"))
    path.write_bytes(spoil(path.read_bytes()))
    library, report = fx.imported(tmp_path, "bosz2024")
    assert library.labels[:, 0].tolist() == [5750] and len(report.left_out) == 1
    assert message in report.left_out[f"spectra/{path.name}"]


def test_damaged_fits_is_left_out(tmp_path):
    fx.pollux_fits(tmp_path, [fx.SUN, fx.DWARF])
    path = tmp_path / fx.pollux_name(fx.DWARF, ".fits")
    path.write_bytes(path.read_bytes()[:100_000])
    library, report = fx.imported(tmp_path, "pollux")
    assert len(library) == 1 and "is not a complete FITS file" in report.left_out[path.name]
    fits.writeto(path, np.arange(10.0), overwrite=True)
    assert "it has no table" in fx.imported(tmp_path, "pollux")[1].left_out[path.name]


def test_several_syntheses_in_one_file(tmp_path):
    options = fx.moog_smoothed(tmp_path, [fx.SUN, fx.DWARF])
    path = tmp_path / "star1" / "smoothed_out"
    path.write_text(path.read_text() * 2)
    library, report = fx.imported(tmp_path, "moog", labels=options[1])
    assert len(library) == 1
    assert [*report.left_out.values()] == ["it holds 2 syntheses of MOOG: there must be one in a file"]


def test_models_that_failed_are_reported(tmp_path):
    options = fx.tsfitpy(tmp_path, [fx.SUN, fx.DWARF])
    _, report = fx.imported(tmp_path, "tsfitpy", labels=options[1])
    assert report.left_out == {"row 1": "in the table, but there is no file of it"}
    with pytest.raises(LibraryFileError, match="the labels are in a table of their own: give it with --labels"):
        fx.imported(tmp_path, "tsfitpy")


def test_mixed_resolutions(tmp_path):
    fx.bosz2017(tmp_path, [fx.SUN, fx.DWARF])
    path = next(tmp_path.glob("*t4250*"))
    path.rename(path.with_name(path.name.replace("b300000", "b100000")))
    with pytest.raises(LibraryFileError, match="resolutions from 100000 to 300000: import one at a time"):
        fx.imported(tmp_path, "bosz2017")


def test_files_that_unpack_to_more_than_fits(tmp_path, monkeypatch):
    """A megabyte of zeros in a few hundred bytes, where half a megabyte is the limit; read no further than that."""
    fx.bosz2024(tmp_path, [fx.SUN, fx.DWARF])
    path = next((tmp_path / "spectra").glob("*_t4250_*"))
    path.write_bytes(gzip.compress(b"1.0 1.0\n" * 10_000_000))
    monkeypatch.setattr(reading, "MOST_BYTES", 20_000_000)
    tracemalloc.start()
    library, report = fx.imported(tmp_path, "bosz2024")
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()
    assert len(library) == 1
    assert report.left_out == {
        f"spectra/{path.name}": f"{path.name} holds more than 0.02 GB: give a smaller part of it"
    }


def test_arrays_that_promise_more_than_there_is(tmp_path):
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file.create_dataset("flux", (1000, 100_000_000), "f4", chunks=(1, 1000))
        file["wavelength"], file["teff"] = fx.AIR, np.full(1000, 5000.0)
    with pytest.raises(LibraryFileError, match=r"flux has 1e\+11 values, at most 1e\+10 are read"):
        fx.imported(tmp_path, "table", medium="air")
    with zipfile.ZipFile(tmp_path / "grid.npz", "w") as archive:
        archive.writestr("flux.npy", b"few")
        archive.infolist()[0].file_size = 4_000_000_000_000
    (tmp_path / "grid.h5").unlink()
    with pytest.raises(LibraryFileError, match=r"its arrays take 4e\+03 GB, at most 40 GB are read"):
        fx.imported(tmp_path, "table", medium="air")
