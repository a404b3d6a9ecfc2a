"""Reading RVS files: every format and structure gives the same spectrum; several spectra of a file; identification."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io import registry as io_registry
from astropy.table import Table
from rvs_fixtures import (
    HD,
    KEPLER,
    SCALARS,
    assert_is,
    bp_rp_csv,
    check_message,
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
    zip_of_two,
)
from specutils import Spectrum, SpectrumList

from rvsemu.errors import SpectrumError
from rvsemu.spectra import FORMAT, example_path, iter_rvs, read_rvs

# --- reading ------------------------------------------------------------------------------------------------


def test_every_format_gives_the_values_of_the_csv(any_file):
    spectrum = Spectrum.read(any_file, format=FORMAT)
    assert_is(spectrum, KEPLER)
    assert spectrum.meta["medium"] == "vacuum"
    assert spectrum.meta["frame"] == "rest"
    assert spectrum.meta["release"] == "Gaia DR3"
    assert spectrum.meta["file"] == str(any_file)


def named(table, name):
    table.rename_column("wavelength", name)
    return table


AXES = [
    "wave",
    "Wave",
    "WAVELENGTH_NM",
    "wavelength [nm]",
    "wavelength_air",
    "lambda",
    "lam",
    "loglam",
    "wl",
    "Angstrom",
    "x",
]
WITH_AXES = {
    "csv": lambda path, name: write_csv(path, named(individual(KEPLER, HD), name)),
    "csv without scalars": lambda path, name: write_csv(path, named(individual(KEPLER, scalars=False), name)),
    "ecsv": lambda path, name: write_ecsv(path, named(individual(KEPLER), name)),
    "fits": lambda path, name: write_fits(path, named(individual(KEPLER), name)),
    "fits, raw": lambda path, name: write_fits(path, named(raw(KEPLER, HD, wavelength=True), name)),
    "votable": lambda path, name: write_votable(path, named(individual(KEPLER), name)),
}


@pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.W03")  # writing a name with a space
@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("write", WITH_AXES.values(), ids=WITH_AXES)
def test_wavelengths_of_another_name_are_not_replaced_by_the_published_grid(tmp_path, write, name):
    path = write(tmp_path / "own.dat", name)
    with pytest.raises(SpectrumError, match="no column wavelength, but .*name it wavelength") as caught:
        read_rvs(path)
    check_message(caught, path)


@pytest.mark.parametrize("name", ["flame_flags", "spectraltype_esphs", "max_pixel", "n_samples"])
def test_columns_that_are_no_wavelengths_are_no_reason_to_refuse_a_file(tmp_path, name):
    table = individual(KEPLER, wavelength=False)
    table[name] = 3
    (spectrum,) = read_rvs(write_csv(tmp_path / "own.csv", table))
    assert_is(spectrum, KEPLER)


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
    with pytest.raises(SpectrumError, match="'vega'.*kepler-93, hd176650, gaia-1535964555128078720"):
        example_path("vega")


def test_file_objects(tmp_path):
    with open(example_path("kepler-93"), "rb") as opened:
        opened.read(100)
        assert_is(Spectrum.read(opened, format=FORMAT), KEPLER)
    assert_is(Spectrum.read(io.BytesIO(example_path("kepler-93").read_bytes()), format=FORMAT), KEPLER)
    with (
        open(example_path("kepler-93")) as opened,
        pytest.raises(SpectrumError, match="kepler-93.csv: the file is open as text; give its path, or open it with"),
    ):
        Spectrum.read(opened, format=FORMAT)


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


@pytest.mark.parametrize("scaled", [True, False])
def test_nulls_of_whole_numbers_are_bad_pixels(tmp_path, scaled):
    """Also where a column is scaled, so that its nulls would be fluxes."""
    scale, null = 1e-4, -32768
    good = np.isfinite(KEPLER.flux) & (KEPLER.error > 0)
    raw = {"flux": KEPLER.flux, "flux_error": KEPLER.error}
    counts = {
        name: np.where(good, np.nan_to_num(values) / scale, null).round().astype("i2") for name, values in raw.items()
    }
    columns = [fits.Column("wavelength", "D", unit="nm", array=KEPLER.wavelength)]
    columns += [fits.Column(name, "I", array=values, null=null) for name, values in counts.items()]
    hdu = fits.BinTableHDU.from_columns(columns)
    if scaled:
        for number in (2, 3):
            hdu.header[f"TSCAL{number}"] = scale
    hdu.writeto(tmp_path / "RVS-Gaia DR3 1.fits")
    (spectrum,) = read_rvs(tmp_path / "RVS-Gaia DR3 1.fits")
    assert spectrum.mask[~good].all()
    expected = np.where(good, counts["flux"] * (scale if scaled else 1), np.nan)
    np.testing.assert_allclose(spectrum.flux.value[~spectrum.mask], expected[~spectrum.mask], rtol=1e-6)


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


@pytest.mark.parametrize("camel", [True, False], ids=["transitId", "transitid"])
def test_names_of_columns_without_underscores(tmp_path, camel):
    """As in the archive's own data model; units go with them."""
    star = epoch_star()

    def renamed(table):
        for name in table.colnames:
            first, *others = name.split("_")
            table.rename_column(name, first + "".join(word.title() if camel else word for word in others))
        return table

    paths = [
        write_csv(tmp_path / "a.csv", renamed(individual(star))),
        write_ecsv(tmp_path / "b.ecsv", renamed(individual(star))),
        write_fits(tmp_path / "a.fits", renamed(raw(star))),
        write_votable(tmp_path / "a.xml", renamed(individual(star))),
        write_csv(tmp_path / "c.csv", renamed(text_cells(star))),
    ]
    for spectrum in [read_rvs(path)[0] for path in paths] + [b.spectrum(0) for b in iter_rvs(paths)]:
        assert_is(spectrum, star)
        assert spectrum.meta["frame"] == "barycentric"
        assert spectrum.meta["release"] == "Gaia DR4"


def test_a_known_name_beside_another_spelling_of_it(tmp_path):
    table = raw(epoch_star())
    table["sourceId"] = [77]
    (spectrum,) = read_rvs(write_fits(tmp_path / "a.fits", table))
    assert spectrum.meta["source_id"] == epoch_star().scalars["source_id"] and spectrum.meta["sourceid"] == 77
    table = text_cells(epoch_star())
    table["sourceId"], table["SOURCEID"] = [77], [78]
    with pytest.raises(SpectrumError, match="2 columns are called source_id, in any case of letters"):
        read_rvs(write_csv(tmp_path / "b.csv", table["sourceId", "SOURCEID", "flux", "flux_error"]))


def test_transits_that_were_not_normalised_in_american_english(tmp_path):
    star = epoch_star()
    table = raw(star)
    for name in set(table.colnames) & {"normalisation_method", "normalization_method"}:
        table.remove_column(name)
    table["normalization_method"] = [4]
    rejects = []
    assert list(iter_rvs(write_fits(tmp_path / "a.fits", table), rejects=rejects)) == []
    assert "could not normalise it (method 4)" in rejects[0].reason and rejects[0].expected


def test_dr4_mean_spectrum_says_what_is_not_known(tmp_path):
    star = epoch_star()
    scalars = {"source_id": 123456789012345678, "solution_id": 1, "combined_ccds": 3}
    table = raw(star.__class__(scalars, star.wavelength, star.flux, star.error))
    meta = read_rvs(write_fits(tmp_path / "Gaia DR4.fits", table))[0].meta
    assert (meta["frame"], meta["release"]) == ("unknown", "Gaia DR4")


@pytest.mark.parametrize(
    ("scalars", "release"),
    [
        ({}, "Gaia DR3"),
        ({"solution_id": SCALARS["solution_id"]}, "Gaia DR3"),
        ({"solution_id": SCALARS["solution_id"] + 1}, "Gaia DR4"),
        ({"normalisation_method": 3}, "Gaia DR4"),
        ({"transit_id": 17091923342681275}, "Gaia DR4"),
    ],
)
def test_a_later_release_with_the_pixels_of_dr3_is_not_taken_for_dr3(scalars, release, tmp_path):
    star = KEPLER.__class__(
        {"source_id": SCALARS["source_id"], **scalars}, KEPLER.wavelength, KEPLER.flux, KEPLER.error
    )
    meta = read_rvs(write_bulk(tmp_path / "RvsMeanSpectrum_0-1.csv.gz", star))[0].meta
    assert meta["release"] == release


def test_medium_and_frame_that_a_header_states_are_heard(tmp_path):
    table = individual(KEPLER)
    table.meta = {"medium": "Air", "frame": "barycentric"}
    meta = read_rvs(write_ecsv(tmp_path / "stated.ecsv", table))[0].meta
    assert (meta["medium"], meta["frame"]) == ("air", "barycentric")
    table.meta = {"medium": "interstellar", "frame": "ICRS"}  # of something else
    meta = read_rvs(write_ecsv(tmp_path / "other.ecsv", table))[0].meta
    assert (meta["medium"], meta["frame"]) == ("vacuum", "rest")


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
