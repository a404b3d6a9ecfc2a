"""Importers: known spectra written in each format come back normalised, in air and in their place, or are refused."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import importer_fixtures as fx
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import LibraryFileError, TrainingError
from rvsemu.library import Library
from rvsemu.library.importing import FORMATS, Settings, import_library
from rvsemu.library.importing.formats import REFUSED, listing
from rvsemu.library.importing.lines import AIR_TO_VACUUM, shift
from rvsemu.library.importing.naming import BOSZ2017, BOSZ2024, COELHO, MARCS, MUNARI, PHOENIX, POLLUX, TLUSTY
from rvsemu.library.importing.preparing import pseudo_continuum
from rvsemu.library.importing.spectrum import LABELS, Unusable
from rvsemu.training.domain import constant_labels, label_space_of
from rvsemu.training.draws import PAPER_WAVELENGTH, make_training_set
from rvsemu.training.recipes import NetworkPlan, Recipe, Schedule

SMALL = Path(__file__).parent / "data" / "library_small.h5"
SHORT = Settings(limits=fx.LIMITS)
RANGE = ["--range", "8490,8610"]


def run(folder, name, *options, out=None):
    """The command on a folder; returns the exit status and the path of the library."""
    out = out or folder.parent / f"{folder.name}.h5"
    return main(["library", "import", "--format", name, *RANGE, "-o", str(out), *options, str(folder)]), out


def imported(folder, name, **settings):
    return import_library([folder], name, replace(SHORT, **settings), progress=False)


def by_teff(library):
    return {row[0]: flux for row, flux in zip(library.labels, library.flux, strict=True)}


def triplet_core(wavelength, flux):
    """Place of the Ca II 8542 line: middle of the chord at half its depth within 1.5 A."""
    near = np.abs(wavelength - 8542.09) < 1.5
    w, f = wavelength[near], flux[near]
    k = int(np.argmin(f))
    level = f[k] + 0.1
    left = np.interp(level, f[k::-1][: k + 1], w[k::-1][: k + 1])
    right = np.interp(level, f[k:], w[k:])
    return (left + right) / 2


# ---------------------------------------------------------------- each format
TEXT, MEDIUM, DEPTHS = 2e-5, 2e-3, 7e-5
"""Accuracies of the flux: text of 5 or 6 digits and a library's 16-bit integers; where the two formulas for air differ
by 1e-4 A; where a file has depths of 4 digits."""

WRITERS = {
    "synspec": ("synspec", fx.synspec, TEXT),
    "turbospectrum": ("turbospectrum", fx.turbospectrum, TEXT),
    "tsfitpy": ("tsfitpy", fx.tsfitpy, TEXT),
    "moog smoothed": ("moog", fx.moog_smoothed, TEXT),
    "moog summary": ("moog", fx.moog_summary, DEPTHS),
    "ispec": ("ispec", fx.ispec, TEXT),
    "pollux text": ("pollux", fx.pollux, TEXT),
    "pollux fits": ("pollux", fx.pollux_fits, TEXT),
    "ambre": ("ambre", fx.ambre, TEXT),
    "bosz2024": ("bosz2024", fx.bosz2024, TEXT),
    "bosz2017": ("bosz2017", fx.bosz2017, MEDIUM),
    "tlusty": ("tlusty", fx.tlusty, TEXT),
    "table files": ("table", fx.files, TEXT),
    "table npz": ("table", fx.npz, TEXT),
    "table fits": ("table", fx.fits_arrays, TEXT),
}


@pytest.mark.parametrize("case", WRITERS)
def test_known_spectra_come_back(case, tmp_path):
    """Labels exactly, fluxes of a solar, a K and a B star to the accuracy of the file, in air, in bins of 0.04 A."""
    name, write, accuracy = WRITERS[case]
    folder = tmp_path / "in"
    folder.mkdir()
    options = write(folder, fx.STARS)
    status, out = run(folder, name, *options)
    assert status == 0
    library = Library.load(out)
    assert (library.medium, library.bin_width, library.names) == ("air", 0.04, LABELS)
    assert library.resolution == (300000 if name.startswith("bosz") else np.inf)
    assert sorted(map(tuple, library.labels)) == sorted(map(tuple, (s.labels for s in fx.STARS)))
    assert library.wavelength[0] == 8490.02 and len(library.wavelength) == 3000
    flux = by_teff(library)
    for star in fx.STARS:
        np.testing.assert_allclose(flux[star.teff], fx.expected(star), rtol=0, atol=accuracy)
    for star in (fx.SUN, fx.DWARF):
        found = triplet_core(library.wavelength, flux[star.teff])
        assert found == pytest.approx(triplet_core(library.wavelength, fx.expected(star)), abs=5e-4)
        assert found == pytest.approx(8542.09, abs=0.04)
    assert library.info["format"] == name and library.info["assumptions"] == FORMATS[name].assumes


def test_formats_without_a_test_of_their_own():
    """Those above and below are all there are."""
    assert {name for name, _, _ in WRITERS.values()} | {"munari", "phoenix-aces", "coelho2014", "ferre"} == set(FORMATS)


def test_munari(tmp_path):
    """Sampled with two pixels a FWHM: the spline between them is good to 6e-3, and the resolution is kept."""
    fx.munari(tmp_path, fx.STARS)
    library, _ = imported(tmp_path, "munari")
    assert library.resolution == 20000
    flux = by_teff(library)
    for star in fx.STARS:
        true = fx.smoothed(star, 20000.0, library.wavelength[::7])
        np.testing.assert_allclose(flux[star.teff][::7], true, rtol=0, atol=6e-3)
        assert np.sqrt(np.mean((flux[star.teff][::7] - true) ** 2)) < 5e-4


@pytest.mark.parametrize(("name", "write"), [("phoenix-aces", fx.phoenix), ("coelho2014", fx.coelho)])
def test_absolute_fluxes_with_a_pseudo_continuum(name, write, tmp_path, capsys):
    """0.3 % for the Sun, 1 % for a K dwarf: what a pseudo-continuum is worth; the lines are in their place."""
    folder = tmp_path / "in"
    folder.mkdir()
    options = write(folder, (fx.SUN, fx.DWARF))
    status, out = run(folder, name, *options)
    assert status == 0 and "its continuum is a fitted one" in capsys.readouterr().out
    library = Library.load(out)
    assert library.info["normalisation"].startswith("pseudo-continuum: polynomial of degree 1")
    flux = by_teff(library)
    for star, accuracy in ((fx.SUN, 3e-3), (fx.DWARF, 1e-2)):
        np.testing.assert_allclose(flux[star.teff], fx.expected(star), rtol=0, atol=accuracy)
        found = triplet_core(library.wavelength, flux[star.teff])
        assert found == pytest.approx(triplet_core(library.wavelength, fx.expected(star)), abs=2e-3)


def test_absolute_fluxes_without_are_refused(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.phoenix(folder, [fx.SUN])
    status, out = run(folder, "phoenix-aces")
    assert status == 2 and not out.exists()
    assert "phoenix-aces holds flux without a continuum: ask for a pseudo-continuum" in capsys.readouterr().err


def test_pseudo_continuum_of_a_straight_line_with_lines():
    """Exact where there is continuum in every piece; deep lines in half of the pixels change nothing."""
    wave = np.arange(8400, 8800, 0.02)
    truth = 5e6 * (1 - 3e-4 * (wave - 8600))
    flux = truth * np.where((wave % 1.0) < 0.5, 1.0, 0.4)
    np.testing.assert_allclose(pseudo_continuum(wave, flux, 1) / truth, 1, rtol=0, atol=5e-3)


def test_ferre_grid(tmp_path):
    """A row for each node, the last label fastest; vmic from its logarithm, wavelengths from theirs."""
    fx.ferre(tmp_path, [fx.SUN])
    library, report = imported(tmp_path, "ferre")
    nodes = [(5000, 4, 0, 2), (5000, 4.5, 0, 2), (5250, 4, 0, 2), (5250, 4.5, 0, 2)]
    np.testing.assert_allclose(library.labels, nodes, rtol=1e-6)
    for flux in library.flux:
        np.testing.assert_allclose(flux, fx.expected(fx.SUN), rtol=0, atol=TEXT)
    assert report.left_out == {}
    header = (tmp_path / "grid.dat").read_text()
    for old, new, message in (
        ("LOGW = 1", "LOGW = 7", "its header lacks '7' or has a bad value"),
        ("NPIX =", "PIXELS =", "its header lacks 'npix'"),
        ("'LOGG'", "'MASS'", "its label 'mass' is none that rvsemu knows"),
        ("&SYNTH", "SYNTH", "does not begin with the '&'"),
        ("VACUUM = 0", "VACUUM = 1", "wavelengths are in air, not in vacuum"),
    ):
        (tmp_path / "grid.dat").write_text(header.replace(old, new))
        with pytest.raises(LibraryFileError, match=message):
            imported(tmp_path, "ferre")
    (tmp_path / "grid.dat").write_text(header)
    text = header.splitlines()
    (tmp_path / "grid.dat").write_text("\n".join(text[:-1]))
    library, report = imported(tmp_path, "ferre")
    assert len(library) == 3 and report.left_out == {"grid.dat spectrum 4": "the file ends after 3 spectra"}


@pytest.mark.parametrize("logarithm", [0, 2])
def test_ferre_grid_of_another_axis(logarithm, tmp_path):
    """Wavelengths and natural logarithms of them."""
    fx.ferre(tmp_path, [fx.SUN], logarithm)
    library, _ = imported(tmp_path, "ferre")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.SUN), rtol=0, atol=TEXT)


def test_default_grid_is_wide_enough_to_train_on():
    """8380-8818 A in bins of 0.04 A, as rvsemu's own library."""
    wavelength = Settings().wavelength()
    assert (wavelength[0], wavelength[-1], len(wavelength)) == (8380.02, 8817.98, 10950)
    assert np.ptp(np.diff(wavelength)) < 1e-9


@pytest.mark.parametrize("step", [0.04, 0.1])
def test_rebinning_conserves_area(step, tmp_path):
    """Bins of another width hold the same area, below 1e-6 of it."""
    fx.npz(tmp_path, [fx.SUN])
    library, _ = imported(tmp_path, "table", step=step)
    area = np.sum(1 - library.flux[0].astype(float)) * step
    assert area == pytest.approx(np.sum(1 - fx.expected(fx.SUN)) * 0.04, rel=1e-5)


# ---------------------------------------------------------------- names
@pytest.mark.parametrize(
    ("grammar", "name", "labels"),
    [
        (
            POLLUX,
            "M_p5500g4.0z0.00t1.0_a0.00c0.00n0.00o0.00r0.00s0.00_VIS.spec",
            {"teff": 5500, "logg": 4, "mh": 0, "vmic": 1, "alpha": 0, "carbon": 0, "nitrogen": 0, "oxygen": 0}
            | {"r": 0, "s": 0},
        ),
        (
            POLLUX,
            "A_s3600g-0.5z-1.25t2.0_a+0.40_VIS.fits",
            {"teff": 3600, "logg": -0.5, "mh": -1.25, "vmic": 2, "alpha": 0.4},
        ),
        (
            MARCS,
            "s5500_g-0.5_m1.0_t05_st_z-1.50_a+0.40_c+0.00_n+0.00_o+0.40_r+0.00_s+0.00.spec",
            {"teff": 5500, "logg": -0.5, "mh": -1.5, "vmic": 5, "alpha": 0.4, "carbon": 0, "nitrogen": 0}
            | {"oxygen": 0.4, "r": 0, "s": 0},
        ),
        (
            BOSZ2024,
            "bosz2024_ms_t3500_g-0.5_m-2.50_a+0.25_c-0.75_v4_r50000_resam.txt.gz",
            {"teff": 3500, "logg": -0.5, "mh": -2.5, "alpha": 0.25, "carbon": -0.75, "vmic": 4, "resolution": 50000},
        ),
        (
            BOSZ2017,
            "amm08cm03op05t6250g45v20modrt0b300000rs.fits",
            {"mh": -0.75, "carbon": -0.25, "alpha": 0.5, "teff": 6250, "logg": 4.5, "vmic": 2}
            | {"rotation": 0, "resolution": 300000},
        ),
        (TLUSTY, "BG25000g275v10.vis.7.gz", {"mh": 0, "teff": 25000, "logg": 2.75, "vmic": 10}),
        (TLUSTY, "T35000g400v10.vis.7", {"mh": -1, "teff": 35000, "logg": 4, "vmic": 10}),
        (
            PHOENIX,
            "lte05800-4.50-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits",
            {"teff": 5800, "logg": 4.5, "mh": 0},
        ),
        (
            PHOENIX,
            "lte02300+0.50+0.5.Alpha=-0.20.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits",
            {"teff": 2300, "logg": -0.5, "mh": 0.5, "alpha": -0.2},
        ),
        (COELHO, "t06000_g+5.0_m05p04_hrplc.fits", {"teff": 6000, "logg": 5, "mh": -0.5, "alpha": 0.4}),
        (COELHO, "t03200_g-0.5_p02p00_hrplc.fits", {"teff": 3200, "logg": -0.5, "mh": 0.2, "alpha": 0}),
    ],
)
def test_names(grammar, name, labels):
    assert grammar.labels(name) == pytest.approx(labels)
    assert grammar.matches(grammar.example)
    assert grammar.labels("WAVE.fits") == {}


def test_name_of_munari():
    labels = MUNARI.labels("T04000G45M05V015K2ANWNVR20N.ASC")
    expected = {"teff": 4000, "logg": 4.5, "mh": -0.5, "rotation": 15, "vmic": 2, "alpha": 0.4, "sampling": 20000}
    assert labels == pytest.approx(expected | {"fluxed": 0})


@pytest.mark.parametrize(
    ("grammar", "name", "message"),
    [
        (TLUSTY, "Z35000g400v10.vis.7", r"composition 'Z' in its name has no finite \[M/H\]"),
        (TLUSTY, "BGCN25000g275v10.vis.7", "CN-processed"),
        (POLLUX, "C_s30000g4.0z0.00t10.0_a0.00_Mdot-6.5_VIS.spec", "mass loss"),
    ],
)
def test_names_of_models_without_labels_of_ours(grammar, name, message):
    with pytest.raises(Unusable, match=message):
        grammar.labels(name)


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
    status, out = run(folder, "table", "--medium", declared)
    assert status == 2 and not out.exists()
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"say that its wavelengths are in {true}, not in {declared}" in message


def test_medium_that_is_not_stated_is_measured(tmp_path):
    arrays = fx.arrays([fx.HOT, fx.SUN])
    arrays["wavelength"] = fx.vacuum(fx.AIR)
    np.savez(tmp_path / "grid.npz", **arrays)
    library, _ = imported(tmp_path, "table")
    assert library.info["source_medium"].startswith("vacuum, measured from the Ca II lines of grid.npz row 2")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.HOT), rtol=0, atol=MEDIUM)  # too hot to measure itself
    np.testing.assert_allclose(library.flux[1], fx.expected(fx.SUN), rtol=0, atol=MEDIUM)


def test_medium_that_cannot_be_told(tmp_path):
    fx.npz(tmp_path, [fx.HOT])
    with pytest.raises(LibraryFileError, match="not stated, and no spectrum's Ca II lines can tell: give --medium"):
        imported(tmp_path, "table")
    library, _ = imported(tmp_path, "table", medium="air")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.HOT), rtol=0, atol=TEXT)
    assert library.info["source_medium"].startswith("air, stated by the user")


def test_star_that_is_not_at_rest(tmp_path):
    arrays = fx.arrays([fx.SUN])
    arrays["wavelength"] = fx.AIR * (1 + 40 / 299792.458)
    np.savez(tmp_path / "grid.npz", **arrays)
    with pytest.raises(LibraryFileError, match=r"lines lie \+1\.1 A from their place at rest"):
        imported(tmp_path, "table", medium="air")


# ---------------------------------------------------------------- labels
def test_header_and_name_that_disagree(tmp_path):
    fx.phoenix(tmp_path, [fx.DWARF])
    fx.phoenix(tmp_path, [fx.SUN], PHXTEFF=5800)
    library, report = imported(tmp_path, "phoenix-aces", pseudo_continuum=1)
    assert len(library) == 1
    assert [*report.left_out.values()] == ["teff is 5800 in the header but 5750 in the name"]


def test_header_counts_where_the_name_is_rounded(tmp_path):
    """Teff within 1 K; vmic is in the header alone."""
    fx.phoenix(tmp_path, [fx.SUN], PHXTEFF=5750.4, PHXXI_L=1.37)
    library, _ = imported(tmp_path, "phoenix-aces", pseudo_continuum=1)
    np.testing.assert_allclose(library.labels, [[5750.4, 4.5, 0, 1.37]])


def test_table_and_name_that_disagree(tmp_path):
    fx.turbospectrum(tmp_path, [fx.SUN, fx.DWARF])
    names = [fx.marcs_name(s) for s in (fx.SUN, fx.DWARF)]
    fx.table(tmp_path / "labels.csv", [(names[0], 5750, 4.0, 0, 1), (names[1], 4250, 4.5, 0, 2)])
    library, report = imported(tmp_path, "turbospectrum", labels=tmp_path / "labels.csv")
    assert len(library) == 1
    assert report.left_out == {names[0]: "logg is 4.5 in the name but 4 in the table"}


def test_label_of_all_spectra(tmp_path):
    """vmic of Coelho's library is not in its files; where files have another value, that is a contradiction."""
    fx.coelho(tmp_path, [fx.SUN])
    with pytest.raises(LibraryFileError, match="vmic is missing: give a table of labels or one value for all"):
        imported(tmp_path, "coelho2014", pseudo_continuum=1)
    library, _ = imported(tmp_path, "coelho2014", pseudo_continuum=1, given={"vmic": 1.5})
    assert library.labels[0, 3] == 1.5 and library.info["labels_given"] == "vmic = 1.5"
    with pytest.raises(LibraryFileError, match="teff is 5750 in the .* but 6000 in the setting"):
        imported(tmp_path, "coelho2014", pseudo_continuum=1, given={"vmic": 1.5, "teff": 6000})


def test_alpha_enhanced_ones_are_left_out_unless_asked_for(tmp_path):
    """Also carbon; oxygen goes with alpha."""
    enhanced = replace(fx.DWARF, more={"alpha": 0.4})
    rich = replace(fx.SUN, more={"carbon": 0.25}, logg=4.0)
    fx.bosz2024(tmp_path, [fx.SUN, enhanced, rich])
    library, report = imported(tmp_path, "bosz2024")
    assert library.labels[:, 0].tolist() == [fx.SUN.teff]
    assert sorted(report.left_out.values()) == ["alpha=0.4, 0 is wanted", "carbon=0.25, 0 is wanted"]
    assert library.info["abundances"] == "scaled solar, as far as the files say"
    library, _ = imported(tmp_path, "bosz2024", abundances={"alpha": 0.4})
    assert library.labels[:, 0].tolist() == [fx.DWARF.teff]
    assert library.info["abundances"] == "alpha +0.4, oxygen +0.4"
    library, _ = imported(tmp_path, "bosz2024", abundances={"carbon": 0.25})
    assert library.labels[0, 1] == 4.0


def test_oxygen_of_marcs_names_goes_with_alpha(tmp_path):
    fx.turbospectrum(tmp_path, [replace(fx.SUN, more={"alpha": 0.4})])
    library, _ = imported(tmp_path, "turbospectrum", abundances={"alpha": 0.4})
    assert len(library) == 1


def test_same_labels_twice(tmp_path):
    """A MARCS and an ATLAS9 spectrum of one star, which a smooth function of labels cannot both be."""
    fx.bosz2024(tmp_path, [fx.SUN])
    (path,) = (tmp_path / "spectra").iterdir()
    (path.with_name(path.name.replace("_mp_", "_ap_"))).write_bytes(path.read_bytes())
    library, report = imported(tmp_path, "bosz2024")
    assert len(library) == 1
    assert re.match("the same teff, logg, mh and vmic as spectra/bosz2024_ap_", next(iter(report.left_out.values())))


def test_rotating_ones_are_left_out(tmp_path):
    fx.munari(tmp_path, [fx.SUN])
    path = tmp_path / fx.munari_name(fx.SUN)
    path.with_name(fx.munari_name(fx.DWARF, rotation=15)).write_bytes(path.read_bytes())
    path.with_name(fx.munari_name(fx.DWARF, kind="F")).write_bytes(path.read_bytes())
    path.with_name(fx.munari_name(fx.DWARF, sampling="D1A")).write_bytes(path.read_bytes())
    library, report = imported(tmp_path, "munari")
    assert len(library) == 1
    reasons = " ".join(report.left_out.values())
    for part in ("rotationally broadened already", "absolute flux without", "no Gaussian LSF of known resolution"):
        assert part in reasons


def test_within_takes_a_part(tmp_path):
    fx.pollux(tmp_path, fx.STARS)
    (tmp_path / fx.pollux_name(fx.HOT, ".spec")).write_text("not even read")
    library, report = imported(tmp_path, "pollux", within={"teff": (5000, 8000)})
    assert library.labels[:, 0].tolist() == [5750]
    assert set(report.left_out.values()) == {"teff is outside 5000 to 8000, as asked"}


def test_implausible_label(tmp_path):
    fx.npz(tmp_path, [replace(fx.SUN, logg=44.0)])
    with pytest.raises(LibraryFileError, match=r"logg=44 is implausible: -1 to 7 would do"):
        imported(tmp_path, "table", medium="air")


# ---------------------------------------------------------------- what spectra can have wrong
def one(tmp_path, **changes):
    """The Sun as arrays, with changes, imported as air."""
    np.savez(tmp_path / "grid.npz", **{**fx.arrays([fx.SUN]), **changes})
    return imported(tmp_path, "table", medium="air")[0]


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
        ({"flux": fx.SUN.flux()}, r"'flux' has the shape \(13600,\): a row a spectrum is expected"),
        ({"flux": 1.0}, r"'flux' has the shape \(\): a row a spectrum is expected"),
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
        imported(tmp_path, "table", medium="air", pseudo_continuum=2)
    with pytest.raises(LibraryFileError, match="format pollux needs no pseudo-continuum: leave it out"):
        imported(tmp_path, "pollux", pseudo_continuum=2)


def test_coverage_that_is_too_short_for_the_default_range(tmp_path):
    fx.npz(tmp_path, [fx.SUN])
    with pytest.raises(LibraryFileError, match=r"it covers 8482.0 to 8618.0 A, 8380 to 8818 A are needed"):
        import_library([tmp_path], "table", Settings(medium="air"), progress=False)


def test_companions_that_are_missing(tmp_path):
    fx.bosz2024(tmp_path, [fx.SUN])
    (tmp_path / "bosz2024_wave_r300000.txt").unlink()
    with pytest.raises(LibraryFileError, match=r"companion bosz2024_wave_r300000\.txt is missing"):
        imported(tmp_path, "bosz2024")
    fx.tlusty(tmp_path, [fx.SUN])
    next(tmp_path.glob("*.17.gz")).unlink()
    with pytest.raises(LibraryFileError, match=r"companion BG05750g450v1\.vis\.17 is missing"):
        imported(tmp_path, "tlusty")


def test_continuum_that_is_too_short(tmp_path):
    fx.tlusty(tmp_path, [fx.SUN])
    wave = np.arange(8000.0, 8560.0, 20.0)
    fx.text(next(tmp_path.glob("*.17.gz")), wave, fx.continuum(wave), formats=("%.3f", "%.5E"))
    with pytest.raises(LibraryFileError, match=r"its continuum covers 80\d\d.0 to 8540.0 A only"):
        imported(tmp_path, "tlusty")


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
    library, report = imported(tmp_path, "bosz2024")
    assert library.labels[:, 0].tolist() == [5750] and len(report.left_out) == 1
    assert message in report.left_out[f"spectra/{path.name}"]


def test_damaged_fits_is_left_out(tmp_path):
    fx.pollux_fits(tmp_path, [fx.SUN, fx.DWARF])
    path = tmp_path / fx.pollux_name(fx.DWARF, ".fits")
    path.write_bytes(path.read_bytes()[:100_000])
    library, report = imported(tmp_path, "pollux")
    assert len(library) == 1 and "is not a complete FITS file" in report.left_out[path.name]
    fits.writeto(path, np.arange(10.0), overwrite=True)
    assert "it has no table" in imported(tmp_path, "pollux")[1].left_out[path.name]


def test_several_syntheses_in_one_file(tmp_path):
    options = fx.moog_smoothed(tmp_path, [fx.SUN, fx.DWARF])
    path = tmp_path / "star1" / "smoothed_out"
    path.write_text(path.read_text() * 2)
    library, report = imported(tmp_path, "moog", labels=options[1])
    assert len(library) == 1
    assert [*report.left_out.values()] == ["it holds 2 syntheses of MOOG: there must be one in a file"]


def test_models_that_failed_are_reported(tmp_path):
    options = fx.tsfitpy(tmp_path, [fx.SUN, fx.DWARF])
    _, report = imported(tmp_path, "tsfitpy", labels=options[1])
    assert report.left_out == {"row 1": "in the table, but there is no file of it"}
    with pytest.raises(LibraryFileError, match="the labels are in a table of their own: give it with --labels"):
        imported(tmp_path, "tsfitpy")


def test_mixed_resolutions(tmp_path):
    fx.bosz2017(tmp_path, [fx.SUN, fx.DWARF])
    path = next(tmp_path.glob("*t4250*"))
    path.rename(path.with_name(path.name.replace("b300000", "b100000")))
    with pytest.raises(LibraryFileError, match="resolutions from 100000 to 300000: import one at a time"):
        imported(tmp_path, "bosz2017")


# ---------------------------------------------------------------- the command
def test_reasons_are_summed_up(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.bosz2024(folder, [fx.SUN, *(replace(fx.SUN, logg=g, more={"alpha": 0.25}) for g in (3.0, 3.5))])
    status, out = run(folder, "bosz2024")
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
    status, out = run(folder, "bosz2024", "--strict")
    assert status == 2 and not out.exists()
    assert "_resam.txt.gz: alpha=0.25, 0 is wanted." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "best"], "format 'best' is unknown: use one of synspec, turbospectrum"),
        (["--format", "galah"], "format galah cannot be imported: GALAH's red arm is 6478-6737 A"),
        (["--format", "melchiors"], "observed spectra"),
        (["--set", "teff"], "--set teff: write LABEL=VALUE"),
        (["--set", "vmic=fast"], "--set vmic=fast: 'fast' is not a number"),
        (["--set", "vsini=3"], "given: label=vsini is unknown: use one of teff, logg, mh, vmic, alpha"),
        (["--alpha", "high"], "--alpha high: 'high' is not a number"),
        (["--within", "teff=4000"], "--within teff=4000: write two numbers"),
        (["--within", "teff=8000,4000"], "within teff=8000,4000: give the lower value first"),
        (["--within", "alpha=0,1"], "within: label=alpha is unknown"),
        (["--resolution", "0"], "resolution=0: give lambda / FWHM, above 0"),
        (["--range", "8400"], "--range 8400: write two wavelengths, e.g. 8380,8818"),
        (["--range", "8600,8500"], "range 8600 to 8500: give 50 A or more"),
        (["--step", "1"], "step=1: give 0.001 to 0.2 A"),
        (["--labels", "none.csv"], "labels=none.csv does not exist"),
        (["--labels", "labels.xyz"], "the ending '.xyz' is unknown"),
        (["--labels", "empty.csv"], "labels=empty.csv"),
        (["--labels", "twice.csv"], "has a.txt twice"),
        (["--labels", "columns.csv"], "it needs 'file'"),
        (["-o", "no/such/folder/x.h5"], "name a file in a folder that exists"),
        (["-o", "."], "name a file in a folder that exists"),
        (["--pseudo-continuum", "9"], "pseudo_continuum=9: give a degree from 0 to 6"),
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
    assert main(["library", "import", "--format", "table", *RANGE, "-o", "x.h5", "in", *options]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("\r")]
    assert len(error) == 1 and message in error[0], error
    assert sorted(p.name for p in tmp_path.iterdir()) == before


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
    from rvsemu.library.importing import assembling

    count, original = [], assembling._one

    def interrupting(*args):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(assembling, "_one", interrupting)
    status, _ = run(folder, "table")
    assert status == 130 and "interrupted" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.skipif(os.name == "nt", reason="interrupts by signal")
def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    """SIGINT while it reads: status 130, one line, and a library that was there before is kept."""
    (tmp_path / "in").mkdir()
    arrays = fx.arrays([fx.SUN] * 400)
    arrays["teff"] = 5000.0 + np.arange(400)
    np.savez(tmp_path / "in" / "grid.npz", **arrays)
    out = tmp_path / "x.h5"
    out.write_text("before")
    command = [sys.executable, "-m", "rvsemu", "library", "import", "--format", "table", *RANGE, "-o", str(out)]
    with open(tmp_path / "log", "w+") as log:
        process = subprocess.Popen([*command, str(tmp_path / "in")], stdout=log, stderr=log)
        try:
            limit = time.monotonic() + 60
            while "/400" not in (tmp_path / "log").read_text() and time.monotonic() < limit:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130, (tmp_path / "log").read_text()
        finally:
            process.kill()
    printed = (tmp_path / "log").read_text()
    assert "interrupted" in printed and "Traceback" not in printed
    assert out.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "log", "x.h5"]


def test_gzipped_and_named_files(tmp_path):
    """Files may be named one by one, whatever they are called, if their labels are in a table."""
    fx.text(tmp_path / "star.dat", fx.AIR, fx.SUN.flux(), formats=("%.3f", "%.6f"))
    fx.text(tmp_path / "dwarf.anything.gz", fx.AIR, fx.DWARF.flux(), formats=("%.3f", "%.6f"))
    fx.table(tmp_path / "t.csv", [("star.dat", *fx.SUN.labels), ("dwarf.anything", *fx.DWARF.labels)])
    paths = [tmp_path / "star.dat", tmp_path / "dwarf.anything.gz"]
    library, _ = import_library(paths, "table", replace(SHORT, labels=tmp_path / "t.csv"), progress=False)
    np.testing.assert_allclose(library.flux[1], fx.expected(fx.DWARF), rtol=0, atol=TEXT)


def test_damaged_arrays(tmp_path):
    """Also no file stays open."""
    fx.npz(tmp_path, [fx.SUN])
    data = (tmp_path / "grid.npz").read_bytes()
    (tmp_path / "grid.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(LibraryFileError, match=r"grid.npz: it is not a readable .npz file"):
        imported(tmp_path, "table", medium="air")
    (tmp_path / "grid.npz").rename(tmp_path / "grid.h5")
    with pytest.raises(LibraryFileError, match=r"grid.h5: it is not a readable HDF5 file"):
        imported(tmp_path, "table", medium="air")


def test_arrays_in_hdf5(tmp_path):
    """With the unit of the wavelengths as an attribute."""
    with h5py.File(tmp_path / "grid.hdf5", "w") as file:
        for name, values in fx.arrays(fx.STARS).items():
            file[name] = values / 10 if name == "wavelength" else values
        file["wavelength"].attrs["unit"] = "nm"
    library, _ = imported(tmp_path, "table")
    np.testing.assert_allclose(library.flux[1], fx.expected(fx.DWARF), rtol=0, atol=TEXT)


def test_no_pickles_are_read(tmp_path):
    np.savez(tmp_path / "grid.npz", wavelength=fx.AIR, flux=np.array([{"a": 1}], dtype=object))
    with pytest.raises(LibraryFileError, match="not a readable .npz file of plain arrays"):
        imported(tmp_path, "table", medium="air")


def test_unit_that_is_not_known(tmp_path):
    table = Table({"wavelength": fx.AIR, "flux": fx.SUN.flux()}, units={"wavelength": "cm"})
    table.write(tmp_path / "a.fits")
    fx.table(tmp_path / "labels.csv", [("a.fits", *fx.SUN.labels)])
    with pytest.raises(LibraryFileError, match="its wavelengths are in 'cm': Angstrom, nm, um are known"):
        imported(tmp_path, "table", labels=tmp_path / "labels.csv", medium="air")
    library, _ = imported(tmp_path, "table", labels=tmp_path / "labels.csv", medium="air", unit="Angstrom")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.SUN), rtol=0, atol=TEXT)


def test_table_of_labels_in_fits(tmp_path):
    """Its names are bytes there."""
    fx.files(tmp_path, fx.STARS)
    Table.read(tmp_path / "labels.ecsv").write(tmp_path / "labels.fits")
    (tmp_path / "labels.ecsv").unlink()
    library, report = imported(tmp_path, "table", labels=tmp_path / "labels.fits")
    assert len(library) == 3 and report.left_out == {}


def test_files_of_one_name_in_several_folders(tmp_path):
    """Each is reported."""
    options = fx.moog_smoothed(tmp_path, fx.STARS)
    for i in (1, 2):
        (tmp_path / f"star{i}" / "smoothed_out").write_text("nothing\n")
    _, report = imported(tmp_path, "moog", labels=options[1])
    assert sorted(report.left_out) == ["star1/smoothed_out", "star2/smoothed_out"]


# ---------------------------------------------------------------- training on an imported library
TINY = Recipe(
    name="tiny",
    encoder=NetworkPlan((16,), "silu"),
    decoder=NetworkPlan((16,), "silu"),
    label_network=NetworkPlan((16,), "silu"),
    latent=6,
    autoencoder_schedule=Schedule("adam", 32, 2, 2, 1e-2),
    label_schedule=Schedule("adam", 32, 2, 2, 1e-2),
    finetune_schedule=None,
    draws=120,
    validation=0.2,
    interpolate=True,
    log_labels=("teff",),
    components=20,
    weights="float32",
)


@pytest.fixture(scope="module")
def trainable(tmp_path_factory):
    """Real spectra of R = 30000 as arrays in vacuum with one vmic for all, imported for what training needs."""
    folder = tmp_path_factory.mktemp("trainable")
    source = Library.load(SMALL).subset(slice(0, 60))
    np.savez(
        folder / "grid.npz",
        wavelength=fx.vacuum(source.wavelength),
        flux=source.flux,
        **dict(zip(("teff", "logg", "mh"), source.labels.T, strict=False)),
        vmic=np.full(60, 2.0),
    )
    limits = ["--range", "8387.5,8812.5", "--resolution", "30000", "--medium", "vacuum"]
    command = ["library", "import", "--format", "table", *limits, "-o", str(folder / "x.h5"), str(folder / "grid.npz")]
    assert main(command) == 0
    return source, Library.load(folder / "x.h5")


def test_imported_library_broadens_as_the_original(trainable):
    """To what an RVS spectrum shows: the import changes it by less than 2e-3."""
    source, library = trainable
    assert library.resolution == 30000
    spectra = []
    for each in (source, library):
        broadener = each.broadener(PAPER_WAVELENGTH)
        spectra.append(broadener.apply(broadener.transform(each.flux[:10]), 5.0, 11500.0))
    np.testing.assert_allclose(spectra[1], spectra[0], rtol=0, atol=2e-3)


def test_draws_of_an_imported_library(trainable, tmp_path):
    """vmic does not vary: it is no label of the draws, and the spectra do not depend on it."""
    _, library = trainable
    sets = make_training_set(library, TINY, 120, 5, tmp_path, progress=False)
    space = label_space_of(library, TINY.label_space())
    assert space.names == ("teff", "logg", "vsini", "mh", "resolution") and sets.labels.shape == (120, 5)
    assert space.inside(sets.labels).all()
    assert 0 <= sets.flux.min() and 0.9 < np.median(sets.flux) < 1.02
    validation = {tuple(row) for row in sets.part(True)[0][:, [0, 1, 3]]}
    assert validation <= {tuple(row) for row in library.labels[:, :3]}


def test_training_on_an_imported_library(trainable, tmp_path, capsys):
    pytest.importorskip("tensorflow")
    pytest.importorskip("keras")
    from rvsemu.training.fit import train

    emulator = train(trainable[1], replace(TINY, interpolate=False), tmp_path / "e.h5", seed=3, progress=False)
    assert emulator.labels.names == ("teff", "logg", "vsini", "mh", "resolution")
    assert emulator.info["constant_labels"] == {"vmic": 2.0}
    assert emulator.info["library"]["format"] == "table"
    spectrum = emulator.spectrum(teff=5777, logg=4.4, vsini=2, mh=0, resolution=11500)
    assert spectrum.flux.shape == (4000,) and spectrum.meta["medium"] == "air"
    result = rvsemu.fit(rvsemu.read_rvs(rvsemu.example_path("kepler-93"))[0], emulator=emulator)
    assert "vmic" not in result.labels and set(emulator.labels.names) <= set(result.labels)
    command = ["generate", "--emulator", str(tmp_path / "e.h5"), "--teff", "5777", "--logg", "4.4"]
    assert main([*command, "-o", str(tmp_path / "sun.fits")]) == 0
    assert main([*command, "--vmic", "1", "-o", str(tmp_path / "x.fits")]) == 2
    assert "--vmic: this emulator has no such label, it takes teff, logg, vsini, mh" in capsys.readouterr().err


def grid_library(teff, logg, mh, vmic):
    labels = np.array(np.meshgrid(teff, logg, mh, vmic, indexing="ij")).reshape(4, -1).T
    wavelength = np.arange(8380.0, 8400.0, 0.1)
    return Library(labels, LABELS, wavelength, np.ones((len(labels), 200), "f4"), "air")


def test_domain_is_that_of_the_library():
    """Where a grid ends before the paper's range does, or goes beyond it, so does the emulator."""
    space = label_space_of(grid_library([15000, 30000], [1.75, 4.75], [-1.0, 0.3], [2.0, 10.0]), LabelSpace())
    bounds = {x.name: (x.lower, x.upper) for x in space.labels}
    assert bounds["teff"] == (15000, 30000) and bounds["logg"] == (1.75, 4.75) and bounds["mh"] == (-1.0, 0.3)
    assert bounds["vmic"] == (2.0, 10.0)
    assert bounds["vsini"] == (0, 300) and bounds["resolution"] == (5000, 14500)


def test_domain_of_the_projects_own_library_is_the_papers():
    space = label_space_of(Library.load(SMALL), LabelSpace())
    np.testing.assert_array_equal(space.lower, LabelSpace().lower)
    np.testing.assert_array_equal(space.upper, LabelSpace().upper)


def test_labels_that_do_not_vary():
    library = grid_library([4000, 5000], [4.5], [0.0], [1.0, 2.0])
    assert constant_labels(library, LabelSpace()) == {"logg": 4.5, "mh": 0.0}
    with pytest.raises(TrainingError, match="all spectra of the library have teff=5777: an emulator needs several"):
        label_space_of(grid_library([5777], [4.4, 4.5], [0.0], [1.0]), LabelSpace())
