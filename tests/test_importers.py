"""Importers: known spectra written in each format come back normalised, in air and in their place."""

from dataclasses import replace

import h5py
import importer_fixtures as fx
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from rvsemu.errors import LibraryFileError
from rvsemu.library import Library
from rvsemu.library.importing import FORMATS, Settings, import_library
from rvsemu.library.importing.naming import BOSZ2017, BOSZ2024, COELHO, MARCS, MUNARI, PHOENIX, POLLUX, TLUSTY
from rvsemu.library.importing.preparing import pseudo_continuum
from rvsemu.library.importing.spectrum import LABELS, Unusable

# ---------------------------------------------------------------- each format


WRITERS = {
    "synspec": ("synspec", fx.synspec, fx.TEXT),
    "turbospectrum": ("turbospectrum", fx.turbospectrum, fx.TEXT),
    "tsfitpy": ("tsfitpy", fx.tsfitpy, fx.TEXT),
    "moog smoothed": ("moog", fx.moog_smoothed, fx.TEXT),
    "moog summary": ("moog", fx.moog_summary, fx.DEPTHS),
    "ispec": ("ispec", fx.ispec, fx.TEXT),
    "pollux text": ("pollux", fx.pollux, fx.TEXT),
    "pollux fits": ("pollux", fx.pollux_fits, fx.TEXT),
    "ambre": ("ambre", fx.ambre, fx.TEXT),
    "bosz2024": ("bosz2024", fx.bosz2024, fx.TEXT),
    "bosz2017": ("bosz2017", fx.bosz2017, fx.MEDIUM),
    "tlusty": ("tlusty", fx.tlusty, fx.TEXT),
    "table files": ("table", fx.files, fx.TEXT),
    "table npz": ("table", fx.npz, fx.TEXT),
    "table fits": ("table", fx.fits_arrays, fx.TEXT),
}


@pytest.mark.parametrize("case", WRITERS)
def test_known_spectra_come_back(case, tmp_path):
    """Labels exactly, fluxes of a solar, a K and a B star to the accuracy of the file, in air, in bins of 0.04 A."""
    name, write, accuracy = WRITERS[case]
    folder = tmp_path / "in"
    folder.mkdir()
    options = write(folder, fx.STARS)
    status, out = fx.run(folder, name, *options)
    assert status == 0
    library = Library.load(out)
    assert (library.medium, library.bin_width, library.names) == ("air", 0.04, LABELS)
    assert library.resolution == (300000 if name.startswith("bosz") else np.inf)
    assert sorted(map(tuple, library.labels)) == sorted(map(tuple, (s.labels for s in fx.STARS)))
    assert library.wavelength[0] == 8490.02 and len(library.wavelength) == 3000
    flux = fx.by_teff(library)
    for star in fx.STARS:
        np.testing.assert_allclose(flux[star.teff], fx.expected(star), rtol=0, atol=accuracy)
    for star in (fx.SUN, fx.DWARF):
        found = fx.triplet_core(library.wavelength, flux[star.teff])
        assert found == pytest.approx(fx.triplet_core(library.wavelength, fx.expected(star)), abs=5e-4)
        assert found == pytest.approx(8542.09, abs=0.04)
    assert library.info["format"] == name and library.info["assumptions"] == FORMATS[name].assumes


def test_formats_without_a_test_of_their_own():
    """Those above and below are all there are."""
    assert {name for name, _, _ in WRITERS.values()} | {"munari", "phoenix-aces", "coelho2014", "ferre"} == set(FORMATS)


def test_munari(tmp_path):
    """Sampled with two pixels a FWHM: the spline between them is good to 6e-3, and the resolution is kept."""
    fx.munari(tmp_path, fx.STARS)
    library, _ = fx.imported(tmp_path, "munari")
    assert library.resolution == 20000
    flux = fx.by_teff(library)
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
    status, out = fx.run(folder, name, *options)
    assert status == 0 and "its continuum is a fitted one" in capsys.readouterr().out
    library = Library.load(out)
    assert library.info["normalisation"].startswith("pseudo-continuum: polynomial of degree 1")
    flux = fx.by_teff(library)
    for star, accuracy in ((fx.SUN, 3e-3), (fx.DWARF, 1e-2)):
        np.testing.assert_allclose(flux[star.teff], fx.expected(star), rtol=0, atol=accuracy)
        found = fx.triplet_core(library.wavelength, flux[star.teff])
        assert found == pytest.approx(fx.triplet_core(library.wavelength, fx.expected(star)), abs=2e-3)


def test_absolute_fluxes_without_are_refused(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    fx.phoenix(folder, [fx.SUN])
    status, out = fx.run(folder, "phoenix-aces")
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
    library, report = fx.imported(tmp_path, "ferre")
    nodes = [(5000, 4, 0, 2), (5000, 4.5, 0, 2), (5250, 4, 0, 2), (5250, 4.5, 0, 2)]
    np.testing.assert_allclose(library.labels, nodes, rtol=1e-6)
    for flux in library.flux:
        np.testing.assert_allclose(flux, fx.expected(fx.SUN), rtol=0, atol=fx.TEXT)
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
            fx.imported(tmp_path, "ferre")
    (tmp_path / "grid.dat").write_text(header)
    text = header.splitlines()
    (tmp_path / "grid.dat").write_text("\n".join(text[:-1]))
    library, report = fx.imported(tmp_path, "ferre")
    assert len(library) == 3 and report.left_out == {"grid.dat spectrum 4": "the file ends after 3 spectra"}


@pytest.mark.parametrize("logarithm", [0, 2])
def test_ferre_grid_of_another_axis(logarithm, tmp_path):
    """Wavelengths and natural logarithms of them."""
    fx.ferre(tmp_path, [fx.SUN], logarithm)
    library, _ = fx.imported(tmp_path, "ferre")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.SUN), rtol=0, atol=fx.TEXT)


def test_default_grid_is_wide_enough_to_train_on():
    """8380-8818 A in bins of 0.04 A, as rvsemu's own library."""
    wavelength = Settings().wavelength()
    assert (wavelength[0], wavelength[-1], len(wavelength)) == (8380.02, 8817.98, 10950)
    assert np.ptp(np.diff(wavelength)) < 1e-9


@pytest.mark.parametrize("step", [0.04, 0.1])
def test_rebinning_conserves_area(step, tmp_path):
    """Bins of another width hold the same area, below 1e-6 of it."""
    fx.npz(tmp_path, [fx.SUN])
    library, _ = fx.imported(tmp_path, "table", step=step)
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


# ---------------------------------------------------------------- files and arrays
def test_gzipped_and_named_files(tmp_path):
    """Files may be named one by one, whatever they are called, if their labels are in a table."""
    fx.text(tmp_path / "star.dat", fx.AIR, fx.SUN.flux(), formats=("%.3f", "%.6f"))
    fx.text(tmp_path / "dwarf.anything.gz", fx.AIR, fx.DWARF.flux(), formats=("%.3f", "%.6f"))
    fx.table(tmp_path / "t.csv", [("star.dat", *fx.SUN.labels), ("dwarf.anything", *fx.DWARF.labels)])
    paths = [tmp_path / "star.dat", tmp_path / "dwarf.anything.gz"]
    library, _ = import_library(paths, "table", replace(fx.SHORT, labels=tmp_path / "t.csv"), progress=False)
    np.testing.assert_allclose(library.flux[1], fx.expected(fx.DWARF), rtol=0, atol=fx.TEXT)


def test_damaged_arrays(tmp_path):
    """Also no file stays open."""
    fx.npz(tmp_path, [fx.SUN])
    data = (tmp_path / "grid.npz").read_bytes()
    (tmp_path / "grid.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(LibraryFileError, match=r"grid.npz: it is not a readable .npz file"):
        fx.imported(tmp_path, "table", medium="air")
    (tmp_path / "grid.npz").rename(tmp_path / "grid.h5")
    with pytest.raises(LibraryFileError, match=r"grid.h5: it is not a readable HDF5 file"):
        fx.imported(tmp_path, "table", medium="air")


def test_arrays_in_hdf5(tmp_path):
    """With the unit of the wavelengths as an attribute."""
    with h5py.File(tmp_path / "grid.hdf5", "w") as file:
        for name, values in fx.arrays(fx.STARS).items():
            file[name] = values / 10 if name == "wavelength" else values
        file["wavelength"].attrs["unit"] = "nm"
    library, _ = fx.imported(tmp_path, "table")
    np.testing.assert_allclose(library.flux[1], fx.expected(fx.DWARF), rtol=0, atol=fx.TEXT)


def test_no_pickles_are_read(tmp_path):
    np.savez(tmp_path / "grid.npz", wavelength=fx.AIR, flux=np.array([{"a": 1}], dtype=object))
    with pytest.raises(LibraryFileError, match="not a readable .npz file of plain arrays"):
        fx.imported(tmp_path, "table", medium="air")


def test_unit_that_is_not_known(tmp_path):
    table = Table({"wavelength": fx.AIR, "flux": fx.SUN.flux()}, units={"wavelength": "cm"})
    table.write(tmp_path / "a.fits")
    fx.table(tmp_path / "labels.csv", [("a.fits", *fx.SUN.labels)])
    with pytest.raises(LibraryFileError, match="its wavelengths are in 'cm': Angstrom, nm, um are known"):
        fx.imported(tmp_path, "table", labels=tmp_path / "labels.csv", medium="air")
    library, _ = fx.imported(tmp_path, "table", labels=tmp_path / "labels.csv", medium="air", unit="Angstrom")
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.SUN), rtol=0, atol=fx.TEXT)


def test_table_of_labels_in_fits(tmp_path):
    """Its names are bytes there."""
    fx.files(tmp_path, fx.STARS)
    Table.read(tmp_path / "labels.ecsv").write(tmp_path / "labels.fits")
    (tmp_path / "labels.ecsv").unlink()
    library, report = fx.imported(tmp_path, "table", labels=tmp_path / "labels.fits")
    assert len(library) == 3 and report.left_out == {}


def test_units_of_labels(tmp_path):
    """They are converted, in tables of labels and in arrays."""
    table = QTable({"file": ["sun.txt"], "teff": [5.75] * u.kK, "logg": [2.5] * u.dex(u.m / u.s**2)})
    table["mh"], table["vmic"] = [0.0] * u.dex, [1000.0] * u.m / u.s
    table.write(tmp_path / "labels.ecsv")
    np.savetxt(tmp_path / "sun.txt", np.transpose([fx.AIR, fx.SUN.flux()]))
    library, _ = fx.imported(tmp_path, "table", labels=tmp_path / "labels.ecsv", medium="air")
    np.testing.assert_allclose(library.labels, [fx.SUN.labels], atol=1e-9)
    (tmp_path / "sun.txt").unlink()
    table["teff"] = [5.75] * u.km
    table.write(tmp_path / "labels.ecsv", overwrite=True)
    with pytest.raises(LibraryFileError, match=r"labels.ecsv: teff is in 'km': give it in K"):
        fx.imported(tmp_path, "table", labels=tmp_path / "labels.ecsv", medium="air")


def test_settings_with_units():
    settings = Settings(
        unit=u.nm,
        given={"vmic": 2000 * u.m / u.s, "logg": 2.5 * u.dex(u.m / u.s**2)},
        abundances={"alpha": 0.4 * u.dex},
        within={"teff": [4, 8] * u.kK},
        limits=(840.2 * u.nm, 8798.0),
        step=0.01 * u.nm,
    )
    plain = Settings(
        unit="nm",
        given={"vmic": 2.0, "logg": 4.5},
        abundances={"alpha": 0.4},
        within={"teff": (4000.0, 8000.0)},
        limits=(8402.0, 8798.0),
        step=0.1,
    )
    assert settings == plain


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"limits": "8402,8798"}, "limits='8402,8798': give two numbers"),
        ({"step": 0.1 * u.s}, "step=<Quantity 0.1 s>: give a number in Angstrom"),
        ({"within": {"teff": 5000}}, "within teff=5000: give two numbers"),
        ({"given": {"vmic": "2"}}, "given vmic='2': give a number in km/s"),
        ({"pseudo_continuum": 1.5}, "pseudo_continuum=1.5: give a whole number from 0 to 6"),
    ],
)
def test_settings_of_other_kinds(given, words):
    with pytest.raises(LibraryFileError, match=words):
        Settings(**given)


def test_units_of_labels_in_arrays(tmp_path):
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        for name, values in fx.arrays(fx.STARS).items():
            file[name] = np.divide(values, 1000) if name == "teff" else values
        file["teff"].attrs["unit"] = np.bytes_("kK")
    library, _ = fx.imported(tmp_path, "table", medium="air")
    np.testing.assert_allclose(library.labels, [star.labels for star in fx.STARS])
    with h5py.File(tmp_path / "grid.h5", "a") as file:
        file["teff"].attrs["unit"] = "km"
    with pytest.raises(LibraryFileError, match=r"grid.h5: teff is in 'km': give it in K"):
        fx.imported(tmp_path, "table", medium="air")


def test_table_of_labels_of_a_spreadsheet(tmp_path):
    """It begins with a mark of the order of bytes, as the spectra may."""
    fx.files(tmp_path, fx.STARS)
    Table.read(tmp_path / "labels.ecsv").write(tmp_path / "labels.csv", format="ascii.csv")
    (tmp_path / "labels.ecsv").unlink()
    for path in (*tmp_path.glob("*.csv"), *tmp_path.glob("*.txt")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    library, report = fx.imported(tmp_path, "table", labels=tmp_path / "labels.csv")
    assert len(library) == 3 and report.left_out == {}
    np.testing.assert_allclose(library.flux[0], fx.expected(fx.SUN), rtol=0, atol=fx.TEXT)


def test_files_of_one_name_in_several_folders(tmp_path):
    """Each is reported."""
    options = fx.moog_smoothed(tmp_path, fx.STARS)
    for i in (1, 2):
        (tmp_path / f"star{i}" / "smoothed_out").write_text("nothing\n")
    _, report = fx.imported(tmp_path, "moog", labels=options[1])
    assert sorted(report.left_out) == ["star1/smoothed_out", "star2/smoothed_out"]
