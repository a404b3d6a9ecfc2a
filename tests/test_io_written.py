"""What is written comes back: formats x kinds of uncertainty x content."""

import json
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.table import QTable, Table
from rvs_fixtures import zip_members
from specutils import Spectrum, SpectrumList

import rvsemu
from rvsemu.cli import main
from rvsemu.errors import SpectrumError, SpectrumWarning
from rvsemu.spectra import example_path, read_rvs, write_spectrum, write_table

FORMATS = [".fits", ".ecsv", ".csv", ".vot", ".xml"]
UNCERTAINTIES = [None, StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty]


def random_spectrum(uncertainty, flux_unit=u.dimensionless_unscaled, axis_unit=u.AA, **options):
    """A short spectrum of numbers with all their digits."""
    rng = np.random.default_rng(3)
    axis = np.sort(rng.uniform(8450.0, 8700.0, 60)) * u.AA
    given = None if uncertainty is None else uncertainty(rng.uniform(0.1, 1.0, 60))
    return Spectrum(
        spectral_axis=axis.to(axis_unit, u.spectral()),
        flux=rng.normal(1.0, 0.1, 60) * flux_unit,
        uncertainty=given,
        **options,
    )


def assert_same(read, spectrum):
    """Equal to the last digit, in everything but the name of the file."""
    for name in ("spectral_axis", "flux", "radial_velocity"):
        one, other = getattr(read, name), getattr(spectrum, name)
        assert one.unit == other.unit
        np.testing.assert_array_equal(one.value, other.value)
    assert type(read.uncertainty) is type(spectrum.uncertainty)
    if spectrum.uncertainty is not None:
        np.testing.assert_array_equal(read.uncertainty.array, spectrum.uncertainty.array)
        assert read.uncertainty.unit == spectrum.uncertainty.unit
    if spectrum.mask is None:
        assert read.mask is None
    else:
        np.testing.assert_array_equal(read.mask, spectrum.mask)
        assert read.mask.dtype == bool
    assert_same_meta({k: v for k, v in read.meta.items() if k != "file"}, dict(spectrum.meta))


def assert_same_meta(read, meta):
    meta.pop("file", None)
    assert set(read) == set(meta)
    for name, value in meta.items():
        assert np.all(read[name] == value), name
        assert isinstance(read[name], type(value)), name


def contents():
    masked = random_spectrum(StdDevUncertainty, mask=np.arange(60) % 7 == 0)
    masked.flux[masked.mask] = np.nan
    meta = {
        "medium": "vacuum",
        "frame": "barycentric",
        "release": "Gaia DR4",
        "source_id": 2**63 - 1,
        "transit_id": 17091923342681275,
        "obs_time_rv": 1717.2512345678901,
        "ra": 291.41812236713093,
        "dec": -38.672311565036644,
        "combined_ccds": 3,
        "combined_transits": 1,
        "labels": {"teff": 5777.123 * u.K, "logg": 4.44 * u.dex, "vsini": 2.0 * u.km / u.s},
        "velocities": np.array([1.0, 2.5]) * u.km / u.s,
        "Remark": "it's 100 % 'quoted' & long, \"doubly\"\nä " + "x & ' " * 80,
        "number like text": "12",
        "flag": True,
        "nothing": None,
        "not a number": [1.5, [2, 3]],
        "nested": {"a": {"b": [1 * u.AA]}},
        "x" * 80: 1e-300,
    }
    return {
        "plain": lambda kind: random_spectrum(kind),
        "mask": lambda kind: random_spectrum(kind, mask=np.arange(60) % 7 == 0),
        "all masked": lambda kind: random_spectrum(kind, mask=np.ones(60, dtype=bool)),
        "nan and infinity": lambda kind: with_gaps(random_spectrum(kind)),
        "nm, jansky": lambda kind: random_spectrum(kind, u.Jy, u.nm),
        "odd units": lambda kind: random_spectrum(kind, u.Unit("1e-17 erg / (s cm2 AA)"), u.GHz),
        "magnitudes": lambda kind: random_spectrum(kind, u.mag),
        "a unit of no standard": lambda kind: random_spectrum(kind, u.dex),
        "velocity": lambda kind: random_spectrum(kind, radial_velocity=-31.25 * u.km / u.s),
        "meta": lambda kind: random_spectrum(kind, meta=meta),
    }


def with_gaps(spectrum):
    flux = spectrum.flux.copy()
    flux[[0, 5]], flux[9] = np.nan, np.inf
    return Spectrum(spectral_axis=spectrum.spectral_axis, flux=flux, uncertainty=spectrum.uncertainty)


@pytest.mark.parametrize("content", contents())
@pytest.mark.parametrize("kind", UNCERTAINTIES, ids=lambda kind: kind.__name__ if kind else "none")
@pytest.mark.parametrize("ending", FORMATS)
def test_what_is_written_comes_back(tmp_path, ending, kind, content):
    spectrum, path = contents()[content](kind), tmp_path / f"star{ending}"
    write_spectrum(spectrum, path)
    (read,) = read_rvs(path)
    assert_same(read, spectrum)
    assert read.meta["file"] == str(path)
    assert_same(Spectrum.read(path), spectrum)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", FORMATS)
def test_gaia_and_generated_spectra_come_back(tmp_path, ending):
    (star,) = read_rvs(example_path("kepler-93"))
    for number, spectrum in enumerate(
        (star, rvsemu.generate(5777, 4.44), rvsemu.generate(5777, 4.44, medium="vacuum"))
    ):
        path = tmp_path / f"{number}{ending}"
        write_spectrum(spectrum, path)
        (read,) = SpectrumList.read(path)
        assert_same(read, spectrum)
    assert len(read_rvs(tmp_path / f"0{ending}", source_id=star.meta["source_id"])) == 1
    with pytest.raises(SpectrumError, match="source_id=5 is not among"):
        read_rvs(tmp_path / f"0{ending}", source_id=5)


def test_what_was_written_is_read_from_archives(tmp_path):
    sun = rvsemu.generate(5777, 4.44)
    for ending in FORMATS:
        write_spectrum(sun, tmp_path / f"sun{ending}")
    archive = zip_members(tmp_path / "a.zip", {e: (tmp_path / f"sun{e}").read_bytes() for e in FORMATS})
    for spectrum in read_rvs(archive):
        assert_same(spectrum, sun)
    assert len(read_rvs(archive)) == len(FORMATS)


@pytest.mark.parametrize("ending", [".fits", ".ecsv", ".csv", ".vot"])
def test_every_command_reads_what_generate_writes(tmp_path, ending, capsys):
    out, table = str(tmp_path / f"sun{ending}"), str(tmp_path / "labels.ecsv")
    assert main(["generate", "--teff", "5777", "--logg", "4.44", "-o", out]) == 0
    assert main(["fit", out, "--fix", "vmic=1", "--fix", "resolution=11900", "-o", table]) == 0
    assert abs(QTable.read(table)["teff"][0].value - 5777) < 20
    assert main(["invert", out, "--radial-velocity", "0"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ending", FORMATS)
def test_a_part_of_what_was_written_is_refused(tmp_path, ending):
    path = tmp_path / f"sun{ending}"
    write_spectrum(rvsemu.generate(5777, 4.44), path)
    data = path.read_bytes()
    cut = {".fits": -2880, ".vot": -3000, ".xml": -3000}.get(ending) or data[: len(data) // 2].rindex(b"\n") + 1
    for end in (cut, cut + 3):
        path.write_bytes(data[:end])
        with pytest.raises(SpectrumError, match="truncated") as error:
            read_rvs(path)
        assert str(path) in str(error.value)


def test_a_header_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "sun.fits"
    write_spectrum(rvsemu.generate(5777, 4.44), path)
    for text in ("5", "{}", "{", '{"pixels":4000,"units":{},"masked":false,"meta":1}'):
        fits.setval(path, "RVSEMU", value=text, ext=1)
        with pytest.raises(SpectrumError, match="rvsemu of its header cannot be read"):
            read_rvs(path)


@pytest.mark.parametrize("ending", FORMATS)
def test_other_programs_read_a_plain_table(tmp_path, ending):
    path = tmp_path / f"sun{ending}"
    sun = rvsemu.generate(5777, 4.44, wavelength=np.linspace(846, 870, 101) * u.nm, medium="air")
    write_spectrum(sun, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(path)
    assert table.colnames[:3] == ["wavelength", "flux", "uncertainty"]
    np.testing.assert_array_equal(table["flux"], sun.flux.value)
    if ending == ".fits":
        header = fits.getheader(path, 1)
        assert (header["TEFF"], header["LOGG"], header["MEDIUM"], header["RECIPE"]) == (5777, 4.44, "air", "default")
        assert header["resolution"] == 11900


def test_what_a_file_cannot_keep_is_named(tmp_path):
    spectrum = random_spectrum(None, meta={"ra": 5.0, "thing": object(), "header": fits.Header()})
    with pytest.warns(SpectrumWarning, match=r"not written.*thing \(object\), header \(Header\)"):
        write_spectrum(spectrum, tmp_path / "a.fits")
    assert read_rvs(tmp_path / "a.fits")[0].meta["ra"] == 5.0


def test_parts_of_a_spectrum_are_written_without_remarks(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_spectrum(random_spectrum(StdDevUncertainty, meta={"ra": 5.0})[5:], tmp_path / "a.fits")
    assert len(read_rvs(tmp_path / "a.fits")[0].flux) == 55


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(
    "meta",
    [
        {"TSCAL2": 2.0, "TZERO2": 0.5, "TNULL2": 3},
        {"NAXIS": 1, "NAXIS1": 4096, "NAXIS2": 7, "BITPIX": 16, "GCOUNT": 2, "XTENSION": "IMAGE", "END": "now"},
        {"trace": list(range(50_000))},
        {"labels": ["a", "b"]},
        {"labels": np.arange(3.0)},
    ],
    ids=["scale", "structure", "long", "list", "array"],
)
def test_what_meta_says_does_no_harm(tmp_path, ending, meta):
    """As the header of another file does, of which some keywords say how that file is to be read."""
    spectrum = random_spectrum(StdDevUncertainty, meta=meta)
    write_spectrum(spectrum, tmp_path / f"a{ending}")
    (read,) = read_rvs(tmp_path / f"a{ending}")
    spectrum.meta = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in meta.items()}
    assert_same(read, spectrum)


def test_numbers_that_json_does_not_have_are_null(tmp_path):
    write_table(QTable({"a": [1.0, np.inf, np.nan, -np.inf], "b": [1, 2, 3, 4]}), tmp_path / "t.json")
    assert [row["a"] for row in json.loads((tmp_path / "t.json").read_text())] == [1.0, None, None, None]


def test_what_is_no_single_spectrum_is_refused(tmp_path):
    with pytest.raises(SpectrumError, match=r"shape \(2, 4000\): write one row at a time"):
        write_spectrum(rvsemu.generate([5000, 6000], 4.4), tmp_path / "a.fits")
    with pytest.raises(SpectrumError, match="spectrum is a list"):
        write_spectrum([1.0], tmp_path / "a.fits")
    assert list(tmp_path.iterdir()) == []


# --- outputs are whole, and replace nothing unasked ------------------------------------------------------------------

LABELS = QTable({"teff": [5777.0] * u.K, "logg": [4.44] * u.dex, "ew": [1.0] * u.AA, "vsini": [2.0] * u.km / u.s})


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(("write", "thing"), [(write_table, LABELS), (write_spectrum, random_spectrum(None))])
def test_nothing_is_replaced_unasked(tmp_path, write, thing, ending):
    path = tmp_path / f"a{ending}"
    path.write_text("mine")
    with pytest.raises(SpectrumError, match=f"{path} exists; .*overwrite=True"):
        write(thing, path)
    assert path.read_text() == "mine"
    write(thing, path, overwrite=True)
    assert len(Table.read(path, unit_parse_strict="silent") if ending == ".fits" else path.read_bytes()) > 0
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize(("write", "thing"), [(write_table, LABELS), (write_spectrum, random_spectrum(None))])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no/a.fits", "folder .*no does not exist"),
        ("a.doc", "ending '.doc' is unknown"),
        ("folder.fits", "is a folder"),
        (None, "path=None is not the name"),
        (5, "path=5 is not the name"),
    ],
)
def test_where_nothing_can_be_written(tmp_path, monkeypatch, write, thing, path, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.fits").mkdir()
    with pytest.raises(SpectrumError, match=words):
        write(thing, path)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.fits"]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(("write", "thing"), [(write_table, LABELS), (write_spectrum, random_spectrum(None))])
def test_a_full_disk_leaves_what_was_there(tmp_path, write, thing, ending, limit_of_file_size):
    path = tmp_path / f"a{ending}"
    path.write_text("mine")
    with limit_of_file_size(20), pytest.raises(SpectrumError, match=f"^{path}: cannot be written .*space"):
        write(thing, path, overwrite=True)
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", [".fits", ".vot", ".ecsv"])
def test_tables_keep_their_units_without_remarks(tmp_path, ending):
    table = LABELS["teff", "logg", "vsini"]
    write_table(table, tmp_path / f"a{ending}")
    read = QTable.read(tmp_path / f"a{ending}")
    assert [str(read[name].unit) for name in table.colnames] == ["K", "dex", "km / s"]
