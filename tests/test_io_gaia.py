"""Reading RVS files: every format and structure gives the same spectrum, and every bad file a clear error."""

import gzip
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io import registry as io_registry
from astropy.table import Table
from rvs_fixtures import (
    epoch_star,
    example_star,
    individual,
    raw,
    text_cells,
    variable_length_hdu,
    variable_length_votable,
    write_bulk,
    write_csv,
    write_ecsv,
    write_fits,
    write_votable,
)
from specutils import SpectrumList

from rvsemu._compat import Spectrum
from rvsemu.errors import SpectrumError, SpectrumWarning
from rvsemu.spectra import FORMAT, example_path, read_rvs

KEPLER = example_star("kepler-93")
HD = example_star("hd176650")
SCALARS = KEPLER.scalars

WRITERS = {
    "csv": lambda d: write_csv(d / "a.csv", individual(KEPLER)),
    "csv.gz": lambda d: write_csv(d / "a.csv.gz", individual(KEPLER)),
    "ecsv, commas": lambda d: write_ecsv(d / "a.ecsv", individual(KEPLER)),
    "ecsv, spaces": lambda d: write_ecsv(d / "a.ecsv", individual(KEPLER), delimiter=" "),
    "votable, params": lambda d: write_votable(d / "a.xml", individual(KEPLER, scalars=False), SCALARS),
    "votable, columns": lambda d: write_votable(d / "a.vot", individual(KEPLER), serialization="binary"),
    "votable, gz": lambda d: write_votable(d / "a.vot.gz", individual(KEPLER, scalars=False), SCALARS, "binary2"),
    "fits, header": lambda d: write_fits(d / "a.fits", individual(KEPLER, scalars=False), SCALARS),
    "fits, columns": lambda d: write_fits(d / "a.fits", individual(KEPLER)),
    "raw csv, null": lambda d: write_csv(d / "a.csv", text_cells(KEPLER)),
    "raw csv, empty": lambda d: write_csv(d / "a.csv", text_cells(KEPLER, missing="")),
    "raw csv.gz, NaN": lambda d: write_csv(d / "a.csv.gz", text_cells(KEPLER, missing="NaN")),
    "raw ecsv": lambda d: write_ecsv(d / "a.ecsv", raw(KEPLER)),
    "raw bulk": lambda d: write_bulk(d / "RvsMeanSpectrum_000000-003111.csv.gz", KEPLER),
    "raw votable": lambda d: write_votable(d / "a.xml", raw(KEPLER), serialization="binary2"),
    "raw votable, wavelengths": lambda d: write_votable(d / "a.xml", raw(KEPLER, wavelength=True)),
    "raw votable, texts": lambda d: write_votable(d / "a.xml", text_cells(KEPLER)),
    "raw fits": lambda d: write_fits(d / "a.fits", raw(KEPLER)),
    "raw fits, texts": lambda d: write_fits(d / "a.fits", text_cells(KEPLER)),
}


@pytest.fixture(scope="session", params=WRITERS)
def written(request, tmp_path_factory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp("rvs"))


@pytest.fixture
def any_file(written, tmp_path) -> Path:
    """A copy of a file of each kind: writing them takes longer than reading."""
    return Path(shutil.copy(written, tmp_path))


def assert_is(spectrum, star, rtol=1e-7):
    """The spectrum has the pixels and the scalars of the star; float32 files round at 6e-8."""
    bad = np.isnan(star.flux) | np.isnan(star.error)
    assert spectrum.spectral_axis.unit == u.nm
    assert spectrum.flux.unit == u.dimensionless_unscaled
    np.testing.assert_allclose(spectrum.spectral_axis.value, star.wavelength, rtol=1e-13)
    np.testing.assert_array_equal(spectrum.mask, bad)
    assert spectrum.mask.dtype == bool
    np.testing.assert_allclose(spectrum.flux.value[~bad], star.flux[~bad], rtol=rtol)
    assert np.isnan(spectrum.flux.value[bad]).all()
    assert spectrum.uncertainty.uncertainty_type == "std"
    np.testing.assert_allclose(spectrum.uncertainty.array, star.error, rtol=rtol)
    meta = {name: spectrum.meta[name] for name in star.scalars}
    assert meta == star.scalars
    assert {name: type(value) for name, value in meta.items()} == {n: type(v) for n, v in star.scalars.items()}


# --- reading ------------------------------------------------------------------------------------------------


def test_every_format_gives_the_values_of_the_csv(any_file):
    spectrum = Spectrum.read(any_file, format=FORMAT)
    assert_is(spectrum, KEPLER)
    assert spectrum.meta["medium"] == "vacuum"
    assert spectrum.meta["frame"] == "rest"
    assert spectrum.meta["release"] == "Gaia DR3"
    assert spectrum.meta["file"] == str(any_file)


def test_structure_is_told(request, any_file):
    expected = "RAW" if "raw" in request.node.name else "INDIVIDUAL"
    assert read_rvs(any_file)[0].meta["structure"] == expected


def test_files_are_identified_as_ours_alone_or_with_priority(any_file):
    assert_is(Spectrum.read(any_file), KEPLER)
    assert_is(Spectrum.read(str(any_file)), KEPLER)
    (spectrum,) = SpectrumList.read(any_file)
    assert_is(spectrum, KEPLER)


@pytest.mark.parametrize("name", ["kepler-93", "hd176650"])
def test_packaged_examples(name):
    spectrum = Spectrum.read(example_path(name))
    assert_is(spectrum, example_star(name), rtol=0)
    assert type(spectrum.meta["source_id"]) is int
    assert spectrum.mask.sum() == {"kepler-93": 7, "hd176650": 0}[name]


def test_unknown_example():
    with pytest.raises(SpectrumError, match="'vega'.*kepler-93, hd176650"):
        example_path("vega")


def test_file_objects(tmp_path):
    with open(example_path("kepler-93"), "rb") as opened:
        opened.read(100)
        assert_is(Spectrum.read(opened, format=FORMAT), KEPLER)
    assert_is(Spectrum.read(io.BytesIO(example_path("kepler-93").read_bytes()), format=FORMAT), KEPLER)


@pytest.mark.parametrize("write", [variable_length_votable, None])
def test_variable_length_arrays_without_scalars(tmp_path, write):
    if write:
        path = write(tmp_path / "a.xml", KEPLER)
    else:
        path = write_fits(tmp_path / "RVS-Gaia DR3 1.fits", variable_length_hdu(KEPLER))
    (spectrum,) = read_rvs(path)
    np.testing.assert_array_equal(spectrum.mask, np.isnan(KEPLER.flux))
    assert spectrum.meta["source_id"] == SCALARS["source_id"]
    assert spectrum.meta["frame"] == "rest"
    assert spectrum.meta["structure"] == "RAW"
    assert "ra" not in spectrum.meta


def test_missing_metadata_is_absent_and_the_file_name_helps(tmp_path):
    table = individual(KEPLER, scalars=False)
    named = write_fits(tmp_path / "RVS-Gaia DR3 2052747119115620352.fits", table)
    meta = Spectrum.read(named).meta
    assert (meta["source_id"], meta["frame"], meta["release"]) == (2052747119115620352, "rest", "Gaia DR3")
    unnamed = write_fits(tmp_path / "star.fits", table)
    meta = Spectrum.read(unnamed).meta
    assert "source_id" not in meta
    assert (meta["frame"], meta["release"]) == ("rest", "Gaia DR3")  # no other spectra have 2401 pixels


def test_epoch_spectrum_of_dr4(tmp_path):
    star = epoch_star()
    for path in (
        write_csv(tmp_path / "a.csv", individual(star)),
        write_fits(tmp_path / "a.fits", raw(star)),
        write_votable(tmp_path / "a.xml", individual(star, scalars=False), star.scalars),
        write_bulk(tmp_path / "RvsEpochSpectrum_0-1.csv.gz", star),
    ):
        spectrum = Spectrum.read(path)
        assert_is(spectrum, star)
        assert np.flatnonzero(spectrum.mask).tolist() == [0, 5, 7]
        assert spectrum.meta["frame"] == "barycentric"
        assert spectrum.meta["release"] == "Gaia DR4"


def test_dr4_mean_spectrum_says_what_is_not_known(tmp_path):
    star = epoch_star()
    scalars = {"source_id": 123456789012345678, "solution_id": 1, "combined_ccds": 3}
    table = raw(star.__class__(scalars, star.wavelength, star.flux, star.error))
    meta = read_rvs(write_fits(tmp_path / "Gaia DR4.fits", table))[0].meta
    assert (meta["frame"], meta["release"]) == ("unknown", "Gaia DR4")


def test_the_grid_comes_from_the_wavelength_column(tmp_path):
    shifted = KEPLER.but(wavelength=KEPLER.wavelength + 0.003)
    assert_is(read_rvs(write_csv(tmp_path / "a.csv", individual(shifted)))[0], shifted)
    angstrom = individual(KEPLER)
    angstrom["wavelength"] = angstrom["wavelength"].to("AA")
    assert_is(read_rvs(write_fits(tmp_path / "a.fits", angstrom))[0], KEPLER)
    assert_is(read_rvs(write_ecsv(tmp_path / "a.ecsv", angstrom))[0], KEPLER)
    text = write_votable(tmp_path / "a.xml", individual(KEPLER.but(wavelength=KEPLER.wavelength * 10))).read_text()
    (tmp_path / "a.xml").write_text(text.replace('unit="nm"', 'unit="Angstrom"'))
    assert_is(read_rvs(tmp_path / "a.xml")[0], KEPLER)


def test_the_grid_comes_from_the_number_of_samples(tmp_path):
    for star in (KEPLER, epoch_star()):
        path = write_csv(tmp_path / "a.csv", individual(star, wavelength=False))
        assert_is(Spectrum.read(path), star)
    path = write_csv(tmp_path / "a.csv", individual(epoch_star(960), wavelength=False))
    with pytest.raises(SpectrumError, match="960 samples.*2401 or 961"):
        read_rvs(path)


@pytest.mark.parametrize("value", [0.0, -0.01, np.inf, np.nan])
def test_pixels_without_a_positive_finite_error_are_bad(tmp_path, value):
    error = HD.error.copy()
    error[100] = value
    flux = HD.flux.copy()
    flux[200] = np.inf
    (spectrum,) = read_rvs(write_fits(tmp_path / "a.fits", raw(HD.but(flux=flux, error=error))))
    assert np.flatnonzero(spectrum.mask).tolist() == [100, 200]
    assert np.isnan(spectrum.flux.value[[100, 200]]).all()
    np.testing.assert_equal(spectrum.uncertainty.array[100], float(np.float32(value)))


@pytest.mark.parametrize("source_id", [2**63 - 1, 6917528997577384321, 9007199254740993, 4295806720])
@pytest.mark.parametrize("name", ["csv", "bulk", "xml", "params", "fits", "header"])
def test_source_id_is_exact(tmp_path, source_id, name):
    star = KEPLER.but(source_id=source_id)
    path = {
        "csv": lambda: write_csv(tmp_path / "a.csv", individual(star)),
        "bulk": lambda: write_bulk(tmp_path / "a.csv.gz", star),
        "xml": lambda: write_votable(tmp_path / "a.xml", raw(star), serialization="binary2"),
        "params": lambda: write_votable(tmp_path / "a.xml", individual(star, scalars=False), star.scalars, "binary"),
        "fits": lambda: write_fits(tmp_path / "a.fits", raw(star)),
        "header": lambda: write_fits(tmp_path / "a.fits", individual(star, scalars=False), star.scalars),
    }[name]()
    meta = read_rvs(path, source_id=source_id)[0].meta
    assert meta["source_id"] == source_id
    assert type(meta["source_id"]) is int


def test_null_scalars_and_pixel_columns_stay_out_of_meta(tmp_path):
    path = write_bulk(tmp_path / "a.csv.gz", KEPLER.but(ra=None))
    assert "ra" not in read_rvs(path)[0].meta
    table = individual(KEPLER)
    table["weight"] = np.arange(len(table))
    assert "weight" not in read_rvs(write_csv(tmp_path / "a.csv", table))[0].meta


# --- several spectra ----------------------------------------------------------------------------------------


def two_sources(name: str, folder: Path) -> Path:
    return {
        "csv": lambda: write_csv(folder / "a.csv", individual(KEPLER, HD)),
        "fits": lambda: write_fits(folder / "a.fits", individual(KEPLER, HD)),
        "raw fits": lambda: write_fits(folder / "a.fits", raw(KEPLER, HD)),
        "raw votable": lambda: write_votable(folder / "a.xml", raw(KEPLER, HD)),
        "bulk": lambda: write_bulk(folder / "a.csv.gz", KEPLER, HD),
        "zip": lambda: zip_of_two(folder),
    }[name]()


def zip_of_two(folder: Path) -> Path:
    fits_file = write_fits(folder / "hd.fits", raw(HD))
    with zipfile.ZipFile(folder / "products.zip", "w") as archive:
        archive.writestr("readme.txt", "some words\n")
        archive.writestr("empty/", "")
        archive.writestr("XP_SAMPLED-Gaia DR3 1.csv", bp_rp_csv())
        archive.write(example_path("kepler-93"), "RVS-Gaia DR3 2052747119115620352.csv")
        archive.write(fits_file, "more/hd.fits")
    return folder / "products.zip"


def bp_rp_csv() -> str:
    rows = [f"1,2,3.0,4.0,{w},1e-16,1e-18" for w in np.arange(336, 1021, 2.0)]
    return "\n".join(["source_id,solution_id,ra,dec,wavelength,flux,flux_error", *rows, ""])


@pytest.mark.parametrize("name", ["csv", "fits", "raw fits", "raw votable", "bulk", "zip"])
def test_files_with_two_sources(tmp_path, name):
    path = two_sources(name, tmp_path)
    for spectra in (read_rvs(path), SpectrumList.read(path), SpectrumList.read(path, format=FORMAT)):
        assert len(spectra) == 2
        assert_is(spectra[0], KEPLER)
        assert_is(spectra[1], HD)
    assert_is(Spectrum.read(path, format=FORMAT, source_id=HD.scalars["source_id"]), HD)
    (spectrum,) = read_rvs(path, source_id=str(HD.scalars["source_id"]))
    assert_is(spectrum, HD)
    with pytest.raises(SpectrumError, match="2 spectra of 2 sources.*source_id=2052747119115620352.*read_rvs"):
        Spectrum.read(path, format=FORMAT)
    with pytest.raises(SpectrumError, match="source_id=42 is not among its 2 spectra"):
        read_rvs(path, source_id=42)


def test_members_of_an_archive_are_named(tmp_path):
    path = zip_of_two(tmp_path)
    files = [spectrum.meta["file"] for spectrum in read_rvs(path)]
    assert files == [f"{path}:RVS-Gaia DR3 2052747119115620352.csv", f"{path}:more/hd.fits"]


def test_several_transits_of_one_source(tmp_path):
    first = epoch_star()
    second = first.but(transit_id=first.scalars["transit_id"] + 1, obs_time_rv=1800.5)
    for path in (
        write_csv(tmp_path / "a.csv", individual(first, second)),
        write_fits(tmp_path / "a.fits", raw(first, second)),
    ):
        spectra = read_rvs(path)
        assert [spectrum.meta["obs_time_rv"] for spectrum in spectra] == [1717.25, 1800.5]
        with pytest.raises(SpectrumError, match="2 spectra of source 2052747119115620352; read_rvs"):
            Spectrum.read(path, format=FORMAT)


@pytest.mark.parametrize("source_id", [2.05e18, "Kepler-93", None.__class__])
def test_source_id_must_be_whole(source_id):
    with pytest.raises(SpectrumError, match="not a whole number"):
        read_rvs(example_path("kepler-93"), source_id=source_id)


# --- identification -----------------------------------------------------------------------------------------


def formats_claiming(path: Path) -> list[str]:
    with open(path, "rb") as opened:
        return io_registry.identify_format("read", Spectrum, str(path), opened, [opened], {})


def test_only_ours_claims_text_and_votable(tmp_path):
    for path in (
        example_path("hd176650"),
        write_votable(tmp_path / "a.xml", individual(KEPLER, scalars=False), SCALARS),
        write_bulk(tmp_path / "a.csv.gz", KEPLER),
        write_csv(tmp_path / "bare.csv", individual(KEPLER, scalars=False)),
    ):
        assert formats_claiming(path) == [FORMAT]


def other_files(folder: Path) -> list[Path]:
    bp_rp = folder / "xp.csv"
    bp_rp.write_text(bp_rp_csv())
    catalogue = Table({"source_id": [1, 2], "phot_g_mean_flux_error": [1.0, 2.0], "combined_ccds": [1, 2]})
    picture = folder / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    grid = np.arange(336, 1021, 2.0)
    xp_table = Table({"wavelength": grid * u.nm, "flux": grid * 1e-16, "flux_error": grid * 1e-18})
    plain = Table({"wavelength": grid * u.nm, "flux": grid * u.Jy})
    with zipfile.ZipFile(folder / "others.zip", "w") as archive:
        archive.write(bp_rp, "xp.csv")
    return [
        bp_rp,
        write_csv(folder / "catalogue.csv", catalogue),
        write_fits(folder / "catalogue.fits", catalogue),
        write_fits(folder / "xp.fits", xp_table),
        write_votable(folder / "xp.xml", xp_table),
        write_fits(folder / "plain.fits", plain),
        write_ecsv(folder / "plain.ecsv", plain),
        picture,
        folder / "others.zip",
    ]


def test_other_files_are_neither_claimed_nor_read(tmp_path):
    for path in other_files(tmp_path):
        assert FORMAT not in formats_claiming(path), path.name
        with pytest.raises(SpectrumError) as caught:
            read_rvs(path)
        check_message(caught, path)


def test_other_formats_still_find_their_reader(tmp_path):
    other_files(tmp_path)
    assert Spectrum.read(tmp_path / "plain.fits").flux.unit == u.Jy


# --- bad files ----------------------------------------------------------------------------------------------


def check_message(caught, path: Path) -> None:
    """One line that begins with the file, says what is wrong and, after a semicolon, what to do."""
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 420
    assert ";" in message or "download it again" in message, message


def refuse(path: Path, match: str) -> None:
    for read in (read_rvs, lambda path: Spectrum.read(path, format=FORMAT)):
        with pytest.raises(SpectrumError, match=match) as caught:
            read(path)
        check_message(caught, path)


def test_missing_file_and_folder(tmp_path):
    refuse(tmp_path / "nothing.csv", "no such file")
    refuse(tmp_path, "cannot be read")


@pytest.mark.parametrize("name", ["a.csv", "a.xml", "a.fits", "a.zip", "a.csv.gz"])
def test_empty_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    refuse(path, "empty")


@pytest.mark.parametrize("fraction", [0.4, 0.999])
def test_truncated_files(any_file, fraction):
    data = any_file.read_bytes()
    if any_file.suffix == ".fits":
        fraction = min(fraction, 0.9)  # the last block is partly padding; see the next test
    end = int(len(data) * fraction)
    if any_file.suffix in (".csv", ".ecsv") and data[end - 1 : end] == b"\n":
        end -= 3
    any_file.write_bytes(data[:end])
    refuse(any_file, "damaged|download")


def test_truncated_fits_in_its_last_rows(tmp_path):
    path = write_fits(tmp_path / "a.fits", individual(KEPLER))
    with fits.open(path) as hdus:
        end = hdus[1].fileinfo()["datLoc"] + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
    path.write_bytes(path.read_bytes()[: end - 10])
    refuse(path, "damaged")


def test_truncated_zip(tmp_path):
    path = zip_of_two(tmp_path)
    path.write_bytes(path.read_bytes()[:-2000])
    refuse(path, "damaged")


def test_a_damaged_member_of_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cut.csv", example_path("kepler-93").read_bytes()[:5000])
    with pytest.raises(SpectrumError, match="a.zip:cut.csv: .*damaged"):
        read_rvs(tmp_path / "a.zip")


def test_csv_cut_within_its_last_number(tmp_path):
    lines = example_path("kepler-93").read_text().splitlines()
    path = tmp_path / "cut.csv"
    path.write_text("\n".join(lines[:1500])[:-1])
    refuse(path, "1499 pixels without a line end")
    path.write_text("\n".join(lines))
    assert_is(read_rvs(path)[0], KEPLER)


def test_header_without_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("source_id,wavelength,flux,flux_error\n")
    refuse(path, "no rows")


def test_other_xml_and_votable_without_spectra(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<html><body>Service unavailable</body></html>")
    refuse(path, "not a VOTable")
    path.write_text('<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE/></VOTABLE>')
    refuse(path, "no column flux nor flux_error")


def test_no_good_pixel(tmp_path):
    empty = HD.but(flux=np.full(2401, np.nan))
    for path in (
        write_csv(tmp_path / "a.csv", individual(empty)),
        write_fits(tmp_path / "a.fits", raw(empty)),
    ):
        refuse(path, "source 4268620287278693120 has no good pixel")
    path = write_bulk(tmp_path / "a.csv.gz", KEPLER, empty)
    with pytest.warns(SpectrumWarning, match="1 that cannot be used is left out: .*source 4268620287278693120"):
        assert len(read_rvs(path)) == 1


def test_bad_wavelengths(tmp_path):
    swapped = KEPLER.wavelength.copy()
    swapped[[10, 11]] = swapped[[11, 10]]
    repeated = KEPLER.wavelength.copy()
    repeated[10] = repeated[9]
    missing = KEPLER.wavelength.copy()
    missing[10] = np.nan
    for wavelength in (swapped, repeated, missing, KEPLER.wavelength[::-1]):
        path = write_csv(tmp_path / "a.csv", individual(KEPLER.but(wavelength=wavelength)))
        refuse(path, "do not increase")
    refuse(write_csv(path, individual(KEPLER.but(wavelength=KEPLER.wavelength * 10))), "8460 to 8700 nm")


def test_unit_that_is_no_length(tmp_path):
    table = individual(KEPLER)
    table["wavelength"].unit = u.s
    refuse(write_ecsv(tmp_path / "a.ecsv", table), "unit 's' of the wavelengths is not a length")


def test_binary_files(tmp_path):
    path = tmp_path / "a.csv"
    for data in (bytes(100), b"\x89PNG\r\n\x1a\n\x00", b"flux,flux_error\n\xff\xfe"):
        path.write_bytes(data)
        refuse(path, "not an RVS spectrum file")


def test_words_among_the_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(example_path("kepler-93").read_text().replace("0.9942193", "0.99x2193"))
    refuse(path, "column flux: .*0.99x2193")


def test_ids_kept_as_floats_are_refused(tmp_path):
    table = individual(KEPLER)
    table["source_id"] = table["source_id"].astype(float)
    for path in (write_csv(tmp_path / "a.csv", table), write_fits(tmp_path / "a.fits", table)):
        refuse(path, "source_id .* is not stored as an integer")


def test_arrays_of_unequal_length(tmp_path):
    refuse(write_csv(tmp_path / "a.csv", text_cells(KEPLER.but(error=KEPLER.error[:-1]))), "2401 fluxes but 2400")
    refuse(
        write_fits(tmp_path / "a.fits", raw(KEPLER.but(wavelength=KEPLER.wavelength[:-1]), wavelength=True)),
        "2400 wavelengths but 2401",
    )
