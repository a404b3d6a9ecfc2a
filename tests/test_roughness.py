"""Noise that is smoother than the errors say is flagged, however it came about, and no other noise is."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.ndimage import uniform_filter1d
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SpectrumError
from rvsemu.fitting import fit_many, fit_transits
from rvsemu.observing.roughness import is_smooth, roughness
from rvsemu.physics.wavelengths import vacuum_to_air

STAR = {"teff": 5800, "logg": 4.4, "vsini": 5, "mh": -0.1, "vmic": 1.1, "resolution": 11900}


def observed(count=2, snr=40, **how):
    star = rvsemu.generate(**STAR)
    return [rvsemu.simulate(star, signal_to_noise=snr, seed=i, **how) for i in range(count)]


def apart(spectrum):
    return spectrum.spectral_axis.to_value(u.AA), spectrum.flux.value, spectrum.uncertainty.array


def made(wave, flux, error, **meta):
    """A spectrum as a user makes one, that does not say where it comes from."""
    return Spectrum(
        spectral_axis=wave * u.AA,
        flux=flux * u.one,
        uncertainty=StdDevUncertainty(error),
        meta={"medium": "vacuum"} | meta,
    )


def resampled(spectrum, wave):
    return made(wave, *(np.interp(wave, apart(spectrum)[0], values) for values in apart(spectrum)[1:]))


def smoothed(spectrum):
    wave, flux, error = apart(spectrum)
    return made(wave, uniform_filter1d(flux, 5), error)


def moved(spectrum):
    """At rest, by its user, so that its pixels are no longer those of the release."""
    wave, flux, error = apart(spectrum)
    return made(wave * (1 + 25 / 299792.458), flux, error)


def too_uncertain(spectrum):
    wave, flux, error = apart(spectrum)
    return made(wave, flux, 3 * error)


ACCIDENTS = {
    "smoothed": smoothed,
    "oversampled": lambda spectrum: resampled(spectrum, np.linspace(8460, 8700, 7001)),
    "logarithmic": lambda spectrum: resampled(spectrum, np.geomspace(8460, 8700, 2401)),
    "smoothed, with errors": lambda spectrum: made(*apart(smoothed(spectrum))[:2], apart(spectrum)[2] / np.sqrt(5)),
    "moved": moved,
    "errors too large": too_uncertain,
}


# ---------------------------------------------------------------- spectra


@pytest.mark.parametrize("name", ACCIDENTS)
def test_spectra_that_are_not_as_observed(name):
    """Fits, inversions and fits of all transits say so."""
    spectra = [ACCIDENTS[name](one) for one in observed()]
    for found in (*fit_many(spectra, model_error=None), fit_transits(spectra), *map(rvsemu.invert, spectra)):
        assert "smooth-noise" in found.flags


@pytest.mark.parametrize("how", [{"ccds": 5}, {"spikes": 0.01, "gaps": 0.1}, {"release": "Gaia DR4"}])
@pytest.mark.parametrize("snr", [15, 400])
def test_spectra_as_observed(how, snr):
    spectra = observed(snr=snr, **how)
    for found in (*fit_many(spectra), rvsemu.invert(spectra[0])):
        assert "smooth-noise" not in found.flags


@pytest.mark.parametrize("name", ["kepler-93", "hd176650"])
def test_real_spectra(name):
    (star,) = rvsemu.read_rvs(rvsemu.example_path(name))
    wave, flux, error = apart(star)
    noisy = fit_many([star, made(vacuum_to_air(wave), flux, error, medium="air"), smoothed(star)])
    assert ["smooth-noise" in found.flags for found in noisy] == [False, False, True]


def test_the_remedies_help():
    """What the noise is can be said; and mean spectra in air are what they are in vacuum."""
    (spectrum,) = observed(count=1)
    wave, flux, error = apart(spectrum)
    told = rvsemu.fit(moved(spectrum), noise_correlation="gaia-dr3")
    assert "smooth-noise" not in told.flags
    vacuum = rvsemu.fit(made(wave, flux, error))
    air = rvsemu.fit(made(vacuum_to_air(wave), flux, error, medium="air"))
    for name in ("teff", "logg", "mh", "radial_velocity"):
        assert air.errors[name].value == pytest.approx(vacuum.errors[name].value, rel=0.01)
        assert abs(air.labels[name] - vacuum.labels[name]) < 0.05 * vacuum.errors[name]
    assert vacuum.errors["teff"] > 1.4 * rvsemu.fit(moved(spectrum)).errors["teff"]


@pytest.mark.parametrize("shift", [0.0, 0.013])
def test_wavelengths_that_occur_twice(shift):
    """As where orders overlap: once on the pixels of a release, once on others."""
    spectrum = observed(count=1)[0]
    wave, flux, error = (np.insert(values, 1200, values[1200]) for values in apart(spectrum))
    twice = made(wave + shift, flux, error)
    message = f"neither increase nor decrease from pixel to pixel: {wave[1200] + shift:.4f} A follows"
    for way in (rvsemu.fit, rvsemu.invert):
        with pytest.raises(SpectrumError, match=message):
            way(twice)
    (failed,) = fit_many([made(wave[::-1] + shift, flux[::-1], error[::-1])], on_error="skip")
    assert "failed" in failed.flags and "Average pixels at the same wavelength" in str(failed.error)


# ---------------------------------------------------------------- the number


def of(noise, sigma=1.0, correlation=(1.0,)):
    band = np.repeat(np.array(correlation)[:, None], noise.shape[1], axis=1)
    return roughness(noise, np.full(noise.shape, sigma), band, np.ones(noise.shape, dtype=bool))


def test_roughness_is_the_variance_over_the_expected_one():
    """Of white noise, of its mean of two neighbours by errors that do and do not know of that, and of sigma / 2."""
    white = np.random.default_rng(1).normal(size=(20, 4000))
    halfway = (white[:, 1:] + white[:, :-1]) / 2
    assert of(white).mean() == pytest.approx(1, abs=0.02)
    assert of(halfway).mean() == pytest.approx(1 / 6 / 0.9205, rel=0.05)  # next to none of the squares is cut off
    assert of(halfway, np.sqrt(0.5), (1.0, 0.5)).mean() == pytest.approx(1, abs=0.02)
    assert of(white, 2.0).mean() == pytest.approx(1 / 4 / 0.9205, rel=0.05)


def test_spikes_do_not_hide_smooth_noise():
    rng = np.random.default_rng(2)
    noise = uniform_filter1d(rng.normal(size=(5, 2000)), 5)
    noise[:, rng.integers(0, 2000, 30)] += 1e3
    assert np.all(of(noise) < 0.55)


def test_pixels_that_are_not_used_and_short_spectra_say_nothing():
    rng = np.random.default_rng(3)
    noise, sigma, white = rng.normal(size=(2, 1000)), np.ones((2, 1000)), np.ones((1, 1000))
    used = np.ones((2, 1000), dtype=bool)
    used[:, 300:800] = False
    expected = roughness(noise, sigma, white, used)
    noise[:, 300:800], sigma[:, 400:500], sigma[:, 500:600] = np.nan, np.inf, np.nan
    np.testing.assert_array_equal(roughness(noise, sigma, white, used), expected)
    used[1, 960:] = False  # 298 + 158 second differences are left
    assert not np.isnan(roughness(noise, sigma, white, used)).any()
    used[1, 800:] = False
    np.testing.assert_array_equal(np.isnan(roughness(noise, sigma, white, used)), [False, True])
    assert not is_smooth(np.zeros((1, 100)), np.ones((1, 100)), white[:, :100], np.ones((1, 100), dtype=bool))[0]


def test_false_alarms():
    """None of 2000 spectra of 310 pixels."""
    noise = np.random.default_rng(4).normal(size=(2000, 310))
    assert not is_smooth(noise, np.ones(noise.shape), np.ones((1, 310)), np.ones(noise.shape, dtype=bool)).any()
