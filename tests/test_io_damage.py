"""Every bad file is a clear error of one line that names it."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from rvs_fixtures import (
    HD,
    KEPLER,
    assert_is,
    check_message,
    individual,
    raw,
    text_cells,
    write_bulk,
    write_csv,
    write_ecsv,
    write_fits,
    zip_of_two,
)
from specutils import Spectrum

from rvsemu.errors import SpectrumError, SpectrumWarning
from rvsemu.spectra import FORMAT, example_path, iter_rvs, read_rvs


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
    for wavelength in (swapped, missing, KEPLER.wavelength[::-1]):
        path = write_csv(tmp_path / "a.csv", individual(KEPLER.but(wavelength=wavelength)))
        refuse(path, "do not increase")
    refuse(write_csv(path, individual(KEPLER.but(wavelength=repeated))), "a wavelength occurs more than once")
    nameless = individual(KEPLER, HD)
    nameless.remove_column("source_id")
    refuse(write_csv(path, nameless), "no column source_id or transit_id tells apart: add one")
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


@pytest.mark.parametrize("sign, word", [("\t", "tabs"), (";", "semicolons"), ("|", "vertical bars"), (" ", "spaces")])
@pytest.mark.parametrize("table", [individual(KEPLER), text_cells(HD)], ids=["individual", "raw"])
def test_other_signs_between_columns(tmp_path, table, sign, word):
    """Whether or not names are in quotes."""
    path = tmp_path / "a.csv"
    table.write(path, format="ascii.csv", delimiter=sign)
    first, rest = path.read_text().split("\n", 1)
    for names in (first, sign.join(f'"{name}"' for name in first.split(sign))):
        path.write_text(f"{names}\n{rest}")
        refuse(path, f"between the columns are {word}, not commas; write the file with commas")
        rejects = []
        assert list(iter_rvs(path, rejects=rejects)) == []
        assert [f"are {word}" in one.reason for one in rejects] == [True]


@pytest.mark.parametrize("how", ["tar", "tar.gz", "bzip2", "xz"])
def test_what_is_packed_in_other_ways(tmp_path, how):
    plain, path = write_bulk(tmp_path / "RvsMeanSpectrum_0-1.csv.gz", HD), tmp_path / "a.csv"
    if how.startswith("tar"):
        with tarfile.open(path, "w:gz" if how == "tar.gz" else "w") as archive:
            archive.add(plain, plain.name)
    else:
        path.write_bytes({"bzip2": bz2, "xz": lzma}[how].compress(gzip.decompress(plain.read_bytes())))
    words = f"packed with {how.removesuffix('.gz')}, which is not read; unpack it first, or pack it with gzip or zip"
    refuse(path, words)
    rejects = []
    assert list(iter_rvs(path, rejects=rejects)) == []
    assert [one.reason for one in rejects] == [words]


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
