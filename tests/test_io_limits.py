"""Files that lack rows, that are hostile, or that hold one bad thing among good ones."""

import gzip
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from rvs_fixtures import epoch_star, example_star, individual, raw, write_csv, write_ecsv, write_fits, write_votable
from rvs_fixtures import zip_members as zipped
from specutils import Spectrum

from rvsemu.cli import main
from rvsemu.errors import SpectrumError, SpectrumWarning
from rvsemu.spectra import example_path, read_rvs, unpacking

KEPLER, HD = example_star("kepler-93"), example_star("hd176650")
GOOD = example_path("kepler-93").read_bytes()


# --- rows that are not there ----------------------------------------------------------------------------------------

WRITERS = {
    "csv": lambda d, star: write_csv(d / "a.csv", individual(star)),
    "ecsv": lambda d, star: write_ecsv(d / "a.ecsv", individual(star)),
    "votable": lambda d, star: write_votable(d / "a.xml", individual(star)),
    "fits": lambda d, star: write_fits(d / "a.fits", individual(star)),
    "raw": lambda d, star: write_fits(d / "a.fits", raw(star, wavelength=True)),
}
LOST = {
    "the end": slice(0, 1500),
    "the last": slice(0, -1),
    "the beginning": slice(3, None),
    "the middle": np.r_[0:400, 500:900, 901:961],
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("star", [KEPLER, epoch_star()], ids=["DR3", "DR4"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_spectrum_without_all_its_rows_is_refused(tmp_path, name, star, lost):
    rows = LOST[lost] if lost != "the end" else slice(0, star.flux.size * 2 // 3)
    part = star.but(wavelength=star.wavelength[rows], flux=star.flux[rows], error=star.error[rows])
    path = WRITERS[name](tmp_path, part)
    words = f"{path}: source {star.scalars['source_id']} has {part.flux.size} rows instead of the {star.flux.size} of"
    with pytest.raises(SpectrumError, match=words) as error:
        read_rvs(path)
    assert "download it again" in str(error.value)


def test_every_second_row_of_a_gaia_file_is_refused_and_another_grid_is_not(tmp_path):
    half = KEPLER.but(wavelength=KEPLER.wavelength[::2], flux=KEPLER.flux[::2], error=KEPLER.error[::2])
    with pytest.raises(SpectrumError, match="1201 rows instead of the 2401"):
        read_rvs(write_csv(tmp_path / "a.csv", individual(half)))
    own = half.but(wavelength=np.linspace(846.5, 869.5, 1201))
    assert read_rvs(write_csv(tmp_path / "a.csv", individual(own)))[0].shape == (1201,)


# --- one bad thing among good ones ----------------------------------------------------------------------------------

EMPTY = HD.but(flux=np.full(2401, np.nan))
SHORT = HD.but(wavelength=HD.wavelength[:99], flux=HD.flux[:99], error=HD.error[:99])
BAD_MEMBERS = {
    "0 bytes": (b"", "the file is empty"),
    "corrupt fits": (b"SIMPLE  =                    T" + bytes(3000), "not a complete FITS file"),
    "corrupt gzip": (gzip.compress(GOOD)[:-99], "not a complete gzip file"),
    "zip in zip": (b"PK\x03\x04 and nothing else", "not a complete zip archive"),
    "cut": (b"\n".join(GOOD.split(b"\n")[:1000]) + b"\n", "999 rows instead of the 2401"),
    "no rows": (GOOD.split(b"\n")[0] + b"\n", "has no rows"),
}


@pytest.mark.parametrize("bad", BAD_MEMBERS)
def test_a_bad_member_does_not_take_the_others_along(tmp_path, bad):
    content, words = BAD_MEMBERS[bad]
    path = zipped(tmp_path / "a.zip", {"first.csv": GOOD, "bad.csv": content, "last.csv": GOOD})
    with pytest.warns(SpectrumWarning, match=f"1 that cannot be used is left out: {path}:bad.csv: .*{words}"):
        spectra = read_rvs(path)
    assert [spectrum.meta["file"] for spectrum in spectra] == [f"{path}:first.csv", f"{path}:last.csv"]
    path = zipped(tmp_path / "b.zip", {"bad.csv": content, "worse.csv": content})
    with pytest.raises(SpectrumError, match=f"none of 2 spectra can be used; the first: {path}:bad.csv: .*{words}"):
        read_rvs(path)


def test_a_member_with_a_wrong_checksum(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bad.csv", GOOD)
        archive.writestr("good.csv", GOOD)
    path.write_bytes(path.read_bytes().replace(b"0.9942193", b"0.9942194", 1))
    with pytest.warns(SpectrumWarning, match="bad.csv: cannot be unpacked"):
        assert len(read_rvs(path)) == 1


@pytest.mark.parametrize("bad", [EMPTY, SHORT], ids=["empty", "short"])
@pytest.mark.parametrize("write", [write_csv, write_ecsv, write_votable, write_fits])
def test_a_bad_spectrum_does_not_take_the_others_along(tmp_path, write, bad):
    path = write(tmp_path / "a", individual(KEPLER, bad))
    with pytest.warns(SpectrumWarning, match="1 that cannot be used is left out: .*source 4268620287278693120"):
        (spectrum,) = read_rvs(path)
    assert spectrum.meta["source_id"] == KEPLER.scalars["source_id"]


@pytest.mark.parametrize("value", ["9223372036854775808", "-5", "9" * 4500, "4.2e18", "Kepler-93", "True"])
def test_what_is_no_source_id(tmp_path, value):
    path = tmp_path / "a.csv"
    path.write_bytes(GOOD.replace(b"2052747119115620352", value.encode()))
    with pytest.raises(SpectrumError, match=r"a.csv: source_id .*(2\^63|not stored as an integer)") as error:
        read_rvs(path)
    assert len(str(error.value)) < len(str(path)) + 200


# --- hostile files --------------------------------------------------------------------------------------------------


def nested(times: int) -> bytes:
    data = GOOD
    for _ in range(times):
        data = gzip.compress(data, 1)
    return data


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_FILE_BYTES", 2**20)


@pytest.mark.parametrize("packed", ["gzip", "zip", "plain", "gzip in zip"])
def test_what_unpacks_to_more_than_the_limit_is_refused_before(tmp_path, small_limit, packed):
    bomb = bytes(2**27)
    path = tmp_path / "bomb"
    if packed == "plain":
        path.write_bytes(bomb)
    elif packed == "gzip":
        path.write_bytes(gzip.compress(bomb))
    else:
        zipped(path, {"a.csv": bomb if packed == "zip" else gzip.compress(bomb)})
    del bomb
    tracemalloc.start()
    with pytest.raises(SpectrumError, match=f"^{path}.*more than 1,048,576 bytes, the limit"):
        read_rvs(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_the_sum_over_an_archive_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_ARCHIVE_BYTES", 2 * len(GOOD))
    path = zipped(tmp_path / "a.zip", {f"{i}.csv": GOOD for i in range(4)})
    with pytest.raises(SpectrumError, match="a.zip: unpacks to more than"):
        read_rvs(path)


def test_the_documented_limit_is_a_gibibyte():
    assert unpacking.MAX_FILE_BYTES == 2**30


@pytest.mark.parametrize("times", [4, 2000])
def test_packed_many_times_over(tmp_path, times):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(nested(times))
    with pytest.raises(SpectrumError, match="packed more than 3 times over"):
        read_rvs(path)
    path.write_bytes(nested(2))
    assert len(read_rvs(path)) == 1


def test_fits_that_promises_more_than_it_has(tmp_path):
    path = write_fits(tmp_path / "a.fits", individual(KEPLER))
    for rows in (10**5, 10**11, 10**18):
        data = path.read_bytes()
        card = fits.Card("NAXIS2", rows).image.encode()
        start = data.index(b"NAXIS2  =")
        (tmp_path / "b.fits").write_bytes(data[:start] + card + data[start + 80 :])
        with pytest.raises(SpectrumError, match=r"b.fits: not a complete FITS file"):
            read_rvs(tmp_path / "b.fits")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<TABLE", '<TABLE nrows="100000000000"', "promises an array larger than the file"),
        ('name="flux"', 'name="flux" arraysize="1000000x1000000"', "promises an array larger than the file"),
        ("<VOTABLE", '<!DOCTYPE x [<!ENTITY a "b">]><VOTABLE', "refers to entities"),
        ("<TABLEDATA>", '<STREAM href="file:///etc/hostname"/><TABLEDATA>', "refers to entities or to other files"),
    ],
)
def test_votables_that_promise_or_refer(tmp_path, old, new, words):
    text = write_votable(tmp_path / "a.xml", individual(KEPLER)).read_text()
    assert old in text
    (tmp_path / "b.xml").write_text(text.replace(old, new, 1))
    with pytest.raises(SpectrumError, match=f"b.xml: {words}"):
        read_rvs(tmp_path / "b.xml")


def test_an_endless_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("source_id,flux,flux_error\n1," + "1" * 300_000 + ",2\n")
    with pytest.raises(SpectrumError, match="a.csv: "):
        read_rvs(path)


# --- what is no file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, "path=None is not the name of a file"),
        (5, "path=5 is not the name of a file"),
        (["a.csv"], r"path=\['a.csv'\] is not the name"),
        (["a.csv"] * 1000, r"path=\['a.csv', .*\.\.\.\] is not the name"),
        (Table({"flux": [1.0]}), "path=<Table> is not the name of a file"),
        (
            Spectrum(flux=[1.0, 1.0] * u.one, spectral_axis=[850, 851] * u.nm),
            "path=<Spectrum> is not the name",
        ),
        ("https://gea.esac.esa.int/a.csv", "https://gea.esac.esa.int/a.csv: addresses are not read; download"),
        ("", "cannot be read|no such file"),
        (".", "cannot be read, it is a folder"),
        ("a\0b", "cannot be read"),
        ("no/such.csv", "no/such.csv: there is no such file"),
    ],
)
def test_what_is_no_file(tmp_path, monkeypatch, path, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpectrumError, match=words) as error:
        read_rvs(path)
    assert "\n" not in str(error.value)


def test_the_command_says_that_addresses_are_not_read(capsys):
    assert main(["fit", "https://gea.esac.esa.int/a.csv"]) == 2
    assert "https://gea.esac.esa.int/a.csv: addresses are not read" in capsys.readouterr().err


def test_an_endless_file_object_is_limited(small_limit):
    with pytest.raises(SpectrumError, match="file object: .*the limit"):
        read_rvs(io.BytesIO(bytes(2**21)))
