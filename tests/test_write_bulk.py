"""Bulk files in the format of the Gaia archive, read back by astropy and by the package's own reader."""

import dataclasses
import gzip

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

import rvsemu
from rvsemu.errors import SpectrumError
from rvsemu.spectra import example_path, write_bulk

SUN = rvsemu.generate(teff=5777, logg=4.44, mh=0, vmic=1.2, resolution=11900)


def stars(release, n=3, **options):
    given = {"signal_to_noise": 40, "release": release, "gaps": 0.02, **options}
    return [rvsemu.simulate(SUN, seed=i, source_id=4268620287278693120 + i, **given) for i in range(n)]


@pytest.mark.parametrize(("release", "pixels"), [("Gaia DR3", 2401), ("Gaia DR4", 961)])
def test_what_is_written_is_read(tmp_path, release, pixels):
    path, given = tmp_path / "RvsMeanSpectrum_485283-485283.csv.gz", stars(release)
    assert write_bulk(given, path) == 3
    (block,) = rvsemu.iter_rvs(path)
    table = Table.read(path, format="ascii.ecsv", fill_values=("null", "0"))
    assert block.flux.shape == (3, pixels)
    assert (block.release, block.frame, block.medium) == (release, "rest", "vacuum")
    for row, star in enumerate(given):
        flux, error = star.flux.value.astype("f4"), star.uncertainty.array.astype("f4")
        np.testing.assert_array_equal(block.flux[row].astype("f4"), flux)
        np.testing.assert_array_equal(block.error[row].astype("f4"), error)
        np.testing.assert_array_equal(np.asarray(table["flux"][row], dtype="f4"), flux)
        assert block.source_id[row] == table["source_id"][row] == star.meta["source_id"]
        assert table["combined_ccds"][row] == 30
    assert table["ra"].mask.all() and table["ra"].unit == "deg"


def test_a_real_spectrum_makes_the_round_trip(tmp_path):
    (star,) = rvsemu.read_rvs(example_path("kepler-93"))
    write_bulk([star], tmp_path / "a.csv.gz")
    (back,) = rvsemu.read_rvs(tmp_path / "a.csv.gz")
    np.testing.assert_array_equal(back.flux.value.astype("f4"), star.flux.value.astype("f4"))
    for name in ("source_id", "solution_id", "ra", "dec", "combined_ccds", "combined_transits", "deblended_ccds"):
        assert back.meta[name] == star.meta[name]


def test_transits(tmp_path):
    (star,) = stars("Gaia DR4", 1, frame="barycentric", radial_velocity=30)
    star.meta |= {"transit_id": 17091923342681275, "obs_time_rv": 1717.25, "normalisation_method": 0}
    write_bulk([star], tmp_path / "RvsEpochSpectrum_0-1.csv.gz")
    (back,) = rvsemu.read_rvs(tmp_path / "RvsEpochSpectrum_0-1.csv.gz")
    assert {name: back.meta[name] for name in ("transit_id", "obs_time_rv", "frame")} == {
        "transit_id": 17091923342681275,
        "obs_time_rv": 1717.25,
        "frame": "barycentric",
    }
    header = gzip.decompress((tmp_path / "RvsEpochSpectrum_0-1.csv.gz").read_bytes()).decode().splitlines()
    assert header[0] == "# %ECSV 1.0" and "#   subtype: float32[null]" in header


@pytest.mark.parametrize("release", ["Gaia DR3", "Gaia DR4"])
@pytest.mark.parametrize("frame", ["rest", "barycentric"])
def test_release_and_frame_come_back(tmp_path, release, frame):
    """Also of transits with the pixels and noise of Gaia DR3, which the archive does not have."""
    write_bulk(stars(release, 1, frame=frame), tmp_path / "a.csv.gz")
    (block,) = rvsemu.iter_rvs(tmp_path / "a.csv.gz")
    assert (block.release, block.frame) == (release, frame)
    assert len(Table.read(tmp_path / "a.csv.gz", format="ascii.ecsv", fill_values=("null", "0"))) == 1


def test_what_cannot_be_written(tmp_path):
    (star,) = stars("Gaia DR3", 1)
    path = tmp_path / "a.csv.gz"
    with pytest.raises(SpectrumError, match="spectra is empty"):
        write_bulk([], path)
    with pytest.raises(SpectrumError, match=r"meta\['release'\] of the first is None: set it to Gaia DR3 or Gaia DR4"):
        write_bulk([SUN], path)
    other = dataclasses.make_dataclass("Plain", ["spectral_axis", "flux", "uncertainty", "meta"])
    parts = {"spectral_axis": star.spectral_axis[:-1], "flux": star.flux, "uncertainty": star.uncertainty}
    with pytest.raises(SpectrumError, match="spectrum 2 is not on the grid of Gaia DR3: give 2401 pixels"):
        write_bulk([star, other(meta=star.meta, **parts)], path)
    parts["spectral_axis"] = star.spectral_axis
    with pytest.raises(SpectrumError, match=r"spectrum 1 has no source_id: set meta\['source_id'\]"):
        write_bulk([other(meta={"release": "Gaia DR3", "frame": "rest"}, **parts)], path)
    with pytest.raises(
        SpectrumError, match=r"meta\['frame'\] of the first is 'unknown': set it to rest or barycentric"
    ):
        write_bulk([other(meta=star.meta | {"frame": "unknown"}, **parts)], path)
    parts["spectral_axis"] = star.spectral_axis
    for name, value in (("frame", "barycentric"), ("release", "Gaia DR4")):
        with pytest.raises(SpectrumError, match=rf"spectrum 2 has meta\['{name}'\]='{value}', and the first"):
            write_bulk([star, other(meta=star.meta | {name: value}, **parts)], path)
    with pytest.raises(SpectrumError, match="spectrum 1 is in air: give wavelengths in vacuum"):
        write_bulk([other(meta=star.meta | {"medium": "air"}, **parts)], path)
    assert list(tmp_path.iterdir()) == []
    write_bulk([star], path)
    with pytest.raises(SpectrumError, match="exists"):
        write_bulk([star], path)
    assert write_bulk([star], path, overwrite=True) == 1


def test_masked_pixels_and_units(tmp_path):
    """What is masked has no flux in the file, which has no mask; times and places are in the units of the columns."""
    (star,) = stars("Gaia DR4", 1, frame="barycentric")
    bad = star.mask.copy()
    bad[100:110] = True
    star.mask = bad
    star.meta |= {"transit_id": 10**16 + 1, "obs_time_rv": 40.0 * u.hour, "ra": 600 * u.arcmin}
    write_bulk([star], tmp_path / "a.csv.gz")
    (block,) = rvsemu.iter_rvs(tmp_path / "a.csv.gz")
    np.testing.assert_array_equal(np.isnan(block.flux[0]), bad)
    assert (block.columns["obs_time_rv"][0], block.columns["ra"][0]) == (pytest.approx(40 / 24), 10.0)


def test_a_full_disk_leaves_what_was_there(tmp_path, limit_of_file_size):
    path = tmp_path / "a.csv.gz"
    path.write_text("mine")
    with limit_of_file_size(20), pytest.raises(SpectrumError, match=f"^{path}: cannot be written .*space"):
        write_bulk(stars("Gaia DR4", 3), path, overwrite=True)
    assert path.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_arguments_in_the_wrong_order(tmp_path):
    with pytest.raises(SpectrumError, match=r"^path=\[<Spectrum.{,150}: give the name of a file\.$"):
        write_bulk(tmp_path / "a.csv", rvsemu.read_rvs(example_path("kepler-93")) * 3)
