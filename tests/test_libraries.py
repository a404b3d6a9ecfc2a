"""Published libraries of observed stars: files in their documented layouts become spectra like those of the RVS."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from specutils import Spectrum

import rvsemu
from rvsemu.calibration import calibrate
from rvsemu.errors import SpectrumError
from rvsemu.observing import LIBRARIES, read_library
from rvsemu.physics.wavelengths import convert_medium

AXIS = np.arange(8420.0, 8780.0, 0.05)  # Angstrom, air
ERROR = 0.01


@pytest.fixture(scope="module")
def star():
    """Noiseless flux of a star at the resolution of the emulator's limit."""
    labels = {"teff": 5500, "logg": 4.3, "vsini": 3, "mh": -0.2, "vmic": 1.1, "resolution": 14_500}
    return rvsemu.generate(wavelength=AXIS, medium="air", **labels).flux.value


def phase3(path, flux, *, medium="air", unit="angstrom", more=(), **header):
    """As the ESO Science Data Products Standard has it: one row of arrays, TUTYP and TUCD in the header."""
    axis = AXIS if medium == "air" else convert_medium(AXIS, "air", "vacuum")
    axis = axis / 10 if unit == "nm" else axis
    arrays = [("WAVE", axis), ("FLUX", flux), ("ERR", np.full(len(flux), ERROR)), *more]
    columns = [fits.Column(name, f"{len(values)}D", array=[values]) for name, values in arrays]
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
    utypes = ["SpectralAxis.Value", "FluxAxis.Value", "FluxAxis.Accuracy.StatError"]
    utypes.append("FluxAxis.Accuracy.QualityStatus")
    for number, utype in enumerate(utypes[: len(arrays)], start=1):
        table.header[f"TUTYP{number}"] = f"Spectrum.Data.{utype}"
    table.header.update({"VOCLASS": "SPECTRUM v1.0", "TUNIT1": unit, "NELEM": len(flux)})
    table.header["TUCD1"] = "em.wl;obs.atmos" if medium == "air" else "em.wl"
    first = fits.PrimaryHDU()
    first.header.update({"SPECSYS": "BARYCENT", "SPEC_RES": 14_500.0, "INSTRUME": "GIRAFFE", **header})
    fits.HDUList([first, table]).writeto(path)
    return path


def pepsi(path, flux):
    """A table of three columns in double precision and a mask of bytes."""
    parts = (AXIS, flux, np.full(len(flux), ERROR**2))
    columns = [fits.Column(name, "D", array=x) for name, x in zip(("Arg", "Fun", "Var"), parts, strict=True)]
    columns.append(fits.Column("Mask", "B", array=np.zeros(len(flux), dtype="u1")))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return path


def s4n(path, flux):
    """A 3 x n image in double precision."""
    fits.PrimaryHDU(np.column_stack([AXIS, flux, np.full(len(flux), ERROR)])).writeto(path)
    return path


def melchiors(path, flux):
    """A table of wavelengths in air and two fluxes, without errors."""
    parts = {"wave": AXIS, "flux_norm": flux, "flux_tac": 7e3 * flux}
    columns = [fits.Column(name, "D", array=x) for name, x in parts.items()]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return path


def same_as_rvs(found, flux, from_resolution):
    """Whether a spectrum is that which as_rvs makes of the same arrays."""
    meta = {"medium": "air", "frame": "rest"}
    one = Spectrum(spectral_axis=AXIS * u.AA, flux=flux * u.one, meta=meta)
    wanted = rvsemu.as_rvs(one, from_resolution, sigma=ERROR)
    np.testing.assert_allclose(found.flux.value, wanted.flux.value, atol=1e-5)
    np.testing.assert_allclose(found.uncertainty.array, wanted.uncertainty.array, rtol=1e-3)
    assert found.meta["medium"] == "vacuum" and found.meta["pixel_correlation"] == wanted.meta["pixel_correlation"]


@pytest.mark.parametrize(("medium", "unit"), [("air", "angstrom"), ("vacuum", "nm")])
def test_a_table_of_the_eso_standard(star, tmp_path, medium, unit):
    path = phase3(tmp_path / "ges.fits", star, medium=medium, unit=unit)
    found = read_library(path, "eso", source_id=7)
    same_as_rvs(found, star, 14_500.0)
    assert found.meta["frame"] == "barycentric" and found.meta["source_id"] == 7


def test_pixels_of_bad_quality_are_left_out(star, tmp_path):
    spoiled, quality = star.copy(), np.zeros(len(star))
    some = (AXIS > 8600) & (AXIS < 8603)
    spoiled[some], quality[some] = 40.0, 1
    found = read_library(phase3(tmp_path / "ges.fits", spoiled, more=[("QUAL", quality)]), "eso")
    assert found.flux.value[~found.mask].max() < 1.1
    assert found.mask[np.abs(found.spectral_axis.value - 8603.9).argmin()]


def test_pepsi_and_s4n(star, tmp_path):
    one = read_library(pepsi(tmp_path / "pepsi.fits", star), "pepsi", medium="air")
    same_as_rvs(one, star, 220_000.0)
    assert one.meta["frame"] == "rest"
    same_as_rvs(read_library(s4n(tmp_path / "HIP1.fits", star), "s4n", medium="air", frame="rest"), star, 50_000.0)


def test_melchiors_has_no_errors(star, tmp_path):
    path = melchiors(tmp_path / "1_melchiors_spectrum.fits.gz", star)
    for sigma in (ERROR, np.full(len(star), ERROR)):
        same_as_rvs(read_library(path, "melchiors", frame="barycentric", sigma=sigma), star, 85_000.0)
    with pytest.raises(SpectrumError, match="no errors: give sigma="):
        read_library(path, "melchiors", frame="barycentric")
    with pytest.raises(SpectrumError, match="sigma has the shape .2,.: give one number, or 7200"):
        read_library(path, "melchiors", frame="barycentric", sigma=[0.1, 0.1])
    with pytest.raises(SpectrumError, match="errors of its own: leave out sigma"):
        read_library(s4n(tmp_path / "HIP1.fits", star), "s4n", medium="air", frame="rest", sigma=0.1)


def test_they_are_fitted_like_other_spectra(star, tmp_path):
    """And a calibration takes them with their labels by the names of files."""
    noise = ERROR * np.random.default_rng(3).normal(size=len(star))
    found = read_library(pepsi(tmp_path / "pepsi.fits", star + noise), "pepsi", medium="air", resolution=11_500.0)
    result = rvsemu.fit(found)
    assert abs(result.teff.value - 5500) < 4 * result.errors["teff"].value
    table = {"file": ["pepsi.fits"], "teff": [5500.0], "teff_error": [50.0]}
    with pytest.raises(rvsemu.RvsemuError, match="stars with labels that can be used: 1"):
        calibrate([found], Table(table), progress=False)


def test_what_is_not_said_must_be(star, tmp_path):
    path = pepsi(tmp_path / "pepsi.fits", star)
    with pytest.raises(SpectrumError, match="nothing says the medium.*medium=air or vacuum"):
        read_library(path, "pepsi")
    with pytest.raises(SpectrumError, match="frame='barycentric', but the library has 'rest'"):
        read_library(path, "pepsi", medium="air", frame="barycentric")
    with pytest.raises(SpectrumError, match="medium='vacuum', but the library has 'air'"):
        read_library(phase3(tmp_path / "ges.fits", star), "eso", medium="vacuum")


def test_other_files_and_libraries_are_refused(star, tmp_path):
    with pytest.raises(SpectrumError, match=f"library='rave': use {', '.join(map(repr, LIBRARIES))}"):
        read_library(tmp_path / "x.fits", "rave")
    for library in LIBRARIES:
        other = pepsi if library == "s4n" else s4n
        path = other(tmp_path / f"{library}.fits", star)
        with pytest.raises(SpectrumError, match=f"not a file of the library '{library}'"):
            read_library(path, library, medium="air", frame="rest")
    coarse = phase3(tmp_path / "coarse.fits", star, SPEC_RES=7500.0)
    with pytest.raises(SpectrumError, match="from_resolution=7500"):
        read_library(coarse, "eso")
