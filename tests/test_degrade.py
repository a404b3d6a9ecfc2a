"""Spectra of other spectrographs as the RVS would have them."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty, VarianceUncertainty
from astropy.table import Table
from fit_fixtures import RVS, SUN, exact_emulator, fit
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SpectrumError
from rvsemu.physics.wavelengths import vacuum_to_air
from rvsemu.spectra import write_spectrum

SPEED_OF_LIGHT = 299792.458  # km/s


def fine(flux=None, sigma=0.01, step=0.04, wavelength=None, **meta):
    """A spectrum of narrow pixels in vacuum."""
    wavelength = np.arange(8440.0, 8720.0, step) if wavelength is None else wavelength
    flux = np.ones(len(wavelength)) if flux is None else flux(wavelength)
    error = StdDevUncertainty(np.broadcast_to(sigma, len(wavelength)).copy())
    meta = {"medium": "vacuum", "frame": "rest"} | meta
    return Spectrum(spectral_axis=wavelength * u.AA, flux=flux * u.one, uncertainty=error, meta=meta)


def line(centre, sigma, depth=0.5):
    return lambda wavelength: 1 - depth * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)


@pytest.mark.parametrize(("given", "wanted"), [(60_000, 11_500), (20_000, 8_000), (200_000, 14_500)])
def test_a_line_becomes_wider_and_keeps_its_area(given, wanted):
    """A Gaussian line as the given resolution leaves it becomes the Gaussian of the wanted one."""
    centre, fwhm = 8600.0, 2 * np.sqrt(2 * np.log(2))
    before, after = (centre / resolution / fwhm for resolution in (given, wanted))
    found = rvsemu.as_rvs(fine(line(centre, before), step=before / 2), given, resolution=wanted)
    expected = line(centre, after, 0.5 * before / after)(found.spectral_axis.value)
    np.testing.assert_allclose(found.flux.value, expected, atol=2e-4)
    assert not found.mask.any() and found.meta["frame"] == "rest"


def test_errors_and_their_correlation_are_those_of_the_noise():
    rng, sigma = np.random.default_rng(1), np.linspace(0.01, 0.03, 7000)
    noise = [
        rvsemu.as_rvs(fine(lambda wavelength: 1 + sigma * rng.normal(size=len(wavelength)), sigma), 60_000)
        for _ in range(300)
    ]
    flux, stated = np.array([one.flux.value for one in noise]) - 1, noise[0].uncertainty.array
    white = flux / stated
    assert np.std(white) == pytest.approx(1, abs=0.01)
    for lag, expected in enumerate(noise[0].meta["pixel_correlation"]):
        assert np.mean(white[:, lag:] * white[:, : white.shape[1] - lag]) == pytest.approx(expected, abs=0.03)


def test_medium_unit_order_and_steps_make_no_difference():
    wavelength = np.sort(np.random.default_rng(2).uniform(8440, 8720, 9000))
    shape = line(8550.0, 0.5)
    even, uneven = fine(shape), fine(shape, wavelength=wavelength)
    air = Spectrum(
        spectral_axis=(vacuum_to_air(even.spectral_axis.value) / 10)[::-1] * u.nm,
        flux=even.flux[::-1],
        uncertainty=StdDevUncertainty(even.uncertainty.array[::-1]),
    )
    expected = rvsemu.as_rvs(even, 60_000).flux.value
    np.testing.assert_allclose(rvsemu.as_rvs(air, 60_000, medium="air").flux.value, expected, atol=1e-5)
    np.testing.assert_allclose(rvsemu.as_rvs(uneven, 60_000).flux.value, expected, atol=5e-3)


def test_gaps_are_masked_and_bad_pixels_do_not_leak():
    spectrum = fine(lambda wavelength: np.where(np.abs(wavelength - 8500) < 2, 1e6, 1.0))
    spectrum.mask = np.abs(spectrum.spectral_axis.value - 8500) < 2
    found = rvsemu.as_rvs(spectrum, 60_000)
    away = np.abs(found.spectral_axis.value - 8500)
    assert found.mask[away < 2].all() and not found.mask[away > 2.5].any()
    np.testing.assert_allclose(found.flux.value[~found.mask], 1, atol=1e-9)
    assert np.isnan(found.flux.value[found.mask]).all()
    short = rvsemu.as_rvs(fine(wavelength=np.arange(8500.0, 8600.0, 0.04)), 60_000)
    assert 8500 < short.spectral_axis.value[~short.mask].min() < 8502


def test_a_fit_of_what_was_made_finds_the_labels():
    """With errors that hold: the correlation comes along."""
    emulator, labels = exact_emulator(), SUN | {"teff": 5600.0, "vsini": 12.0, "resolution": 14000.0}
    wavelength = np.arange(8440.0, 8720.0, 0.05)
    star = emulator.spectrum(wavelength=wavelength * u.AA, medium="vacuum", **labels).flux.value
    pulls = []
    for seed in range(12):
        noise = 0.02 * np.random.default_rng(seed).normal(size=len(wavelength))
        made = rvsemu.as_rvs(
            fine(lambda _, noise=noise: star + noise, 0.02, wavelength=wavelength), 14_000, resolution=9000
        )
        known = {"resolution": 9000.0, "vmic": labels["vmic"]}
        found = fit(made, emulator=emulator, fixed=known, radial_velocity=(-20, 20))
        assert 0.8 < found.reduced_chi2 < 1.2
        pulls += [(found.labels[n].value - labels[n]) / found.errors[n].value for n in ("teff", "logg", "mh", "vsini")]
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.4


def test_the_correlation_survives_a_file(tmp_path):
    made = rvsemu.as_rvs(fine(line(8550.0, 0.5)), 60_000)
    write_spectrum(made, tmp_path / "made.fits")
    read = Spectrum.read(tmp_path / "made.fits", format="rvsemu")
    assert tuple(read.meta["pixel_correlation"]) == made.meta["pixel_correlation"]
    np.testing.assert_array_equal(read.mask, made.mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from_resolution": 9000}, "from_resolution=9000: give a number, 11900 or more"),
        ({"from_resolution": np.nan}, "from_resolution=nan"),
        ({"resolution": 500}, "resolution=500: give a number, 1000 or more"),
        ({"from_resolution": 11900}, "from_resolution=11900 is that of the result already"),
        ({"wavelength": [8500, 8501, 8503] * u.AA}, "wavelength=.*constant step"),
        ({"wavelength": 3 * u.km / u.s}, "wavelength=3.*increasing lengths"),
        (
            {"wavelength": np.arange(8000, 8100) * u.AA},
            "from 8440.0 .*nothing of it is left between 8000.0 and 8099",
        ),
        ({"medium": "air"}, "contradicts"),
    ],
)
def test_what_cannot_be_done(change, message):
    with pytest.raises(SpectrumError, match=message):
        rvsemu.as_rvs(fine(), **({"from_resolution": 60_000} | change))


def test_pixels_that_are_too_wide():
    with pytest.raises(SpectrumError, match="0.3 A apart, are too wide to be smoothed with a Gaussian of 0.1"):
        rvsemu.as_rvs(fine(step=0.3), 13_000)


def test_a_file_as_pepsi_publishes_them_becomes_one_of_the_rvs(tmp_path):
    """As https://pepsi.aip.de/?page_id=552 has it: a FITS table of wavelength at rest, normalised flux and variance in
    double precision, and a mask of bytes. Read, degraded, written and read again as the page on calibration says."""
    wavelength = np.arange(8440.0, 8720.0, 0.02)
    columns = (
        wavelength,
        line(8542.09, 0.3)(wavelength),
        np.full(len(wavelength), 1e-4),
        np.zeros(len(wavelength), dtype="u1"),
    )
    Table(columns, names=("Arg", "Fun", "Var", "Mask")).write(tmp_path / "star.fits")
    table = Table.read(tmp_path / "star.fits")
    axis, flux, variance = (np.asarray(table[name]) for name in table.colnames[:3])
    star = Spectrum(
        spectral_axis=axis * u.AA,
        flux=flux * u.one,
        uncertainty=VarianceUncertainty(variance),
        meta={"medium": "air", "frame": "rest", "source_id": 7},
    )
    write_spectrum(rvsemu.as_rvs(star, from_resolution=220_000), tmp_path / "as-rvs.fits")
    (found,) = rvsemu.read_rvs(tmp_path / "as-rvs.fits")
    assert (found.meta["source_id"], found.meta["frame"], found.meta["medium"]) == (7, "rest", "vacuum")
    lowest = found.spectral_axis.to_value("AA")[np.nanargmin(found.flux.value)]
    assert lowest == pytest.approx(8544.44, abs=0.2)  # in vacuum
    width = np.hypot(0.3, 0.3044)  # of the line and of what was missing, Angstrom
    depth = 0.5 * 0.3 / width * np.exp(-0.5 * ((lowest - 8544.437) / width) ** 2)  # in the pixel next to the middle
    assert np.nanmin(found.flux.value) == pytest.approx(1 - depth, abs=0.01)
    assert "pixel_correlation" in found.meta


def test_thinned_pixels_have_the_correlation_of_their_distance():
    """Also where the thinned spectrum was fitted, and what was fitted is fitted again."""
    made = rvsemu.as_rvs(fine(line(8550.0, 0.5)), 60_000)
    thinned = Spectrum(
        spectral_axis=made.spectral_axis[::2],
        flux=made.flux[::2],
        uncertainty=StdDevUncertainty(made.uncertainty.array[::2]),
        mask=made.mask[::2],
        meta=made.meta,
    )
    for one, factor in ((made, 1), (thinned, 2)):
        result = rvsemu.fit(one)
        for found in (result.meta["noise_correlation"], rvsemu.fit(result.observed).meta["noise_correlation"]):
            step = factor * made.meta["pixel_correlation_step"]
            lags = made.meta["pixel_correlation"][::factor]
            np.testing.assert_allclose(found(step * np.arange(len(lags))), lags, atol=0.01)


def test_noise_that_is_correlated_already_is_refused():
    """Its errors would come out too small: of what was smoothed before, and of Gaia's spectra."""
    (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    nameless = Spectrum(
        spectral_axis=star.spectral_axis, flux=star.flux, uncertainty=star.uncertainty, meta={"medium": "vacuum"}
    )
    for given in (rvsemu.as_rvs(fine(), 60_000, resolution=30_000), star, nameless):
        with pytest.raises(SpectrumError, match="noise of neighbouring pixels of spectrum is correlated"):
            rvsemu.as_rvs(given, 30_000)
    made = rvsemu.generate(5777, 4.44, wavelength=RVS, medium="vacuum")  # pixels of Gaia, and no noise of it
    assert rvsemu.as_rvs(made, 11_900, resolution=6000).flux.shape
