"""Simulated observations: noise, errors and pixels are those that the release would have."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from fit_fixtures import SUN
from numpy.polynomial import chebyshev
from scipy import stats
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SettingsError, SpectrumError
from rvsemu.observing import RVS_NOISE_CORRELATION
from rvsemu.physics.wavelengths import doppler, vacuum_to_air
from rvsemu.spectra import write_spectrum

SNR = 50.0
NOISELESS = 1e8
NATIVE = 1.0 / SNR * np.sqrt(1.5)  # noise of a native pixel of the mean, in Gaia DR3
RVS = {"Gaia DR3": 8460.0 + 0.1 * np.arange(2401), "Gaia DR4": 8460.0 + 0.25 * np.arange(961)}


def star_of(wavelength, flux, medium="vacuum", unit=u.AA):
    return Spectrum(
        spectral_axis=(wavelength * u.AA).to(unit), flux=flux * u.dimensionless_unscaled, meta={"medium": medium}
    )


WAVELENGTH = np.arange(8400.0, 8760.0, 0.1)
FLAT = star_of(WAVELENGTH, np.ones(len(WAVELENGTH)))


def simulated(star=FLAT, signal_to_noise=SNR, seed=1, **more):
    return rvsemu.simulate(star, signal_to_noise=signal_to_noise, seed=seed, **more)


def many(count=150, **more):
    """Noise and errors (count, n) of as many spectra of a star without lines."""
    spectra = [simulated(seed=seed, **more) for seed in range(count)]
    return np.array([s.flux.value - 1 for s in spectra]), np.array([s.uncertainty.array for s in spectra])


def correlation(noise, lag):
    return np.mean(noise[:, lag:] * noise[:, : noise.shape[1] - lag]) / np.mean(noise**2)


@pytest.fixture(scope="module")
def sun():
    return rvsemu.shipped().spectrum(**SUN)


# ------------------------------------------------------------------ noise and errors
@pytest.mark.parametrize("ccds", [2, 7, 30])
@pytest.mark.parametrize("release", RVS)
def test_true_errors_are_the_scatter(release, ccds):
    noise, error = many(release=release, ccds=ccds, true_errors=True)
    assert np.ptp(error) == 0
    assert noise.std() == pytest.approx(error[0, 0], rel=0.01)
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(noise.size / 2.4)


@pytest.mark.parametrize("release", RVS)
def test_no_pixel_is_noisier_than_others(release):
    noise, _ = many(300, release=release, ccds=7)
    parts = [part.std() for part in np.array_split(noise, 8, axis=1)]
    assert np.ptp(parts) / np.mean(parts) < 0.03


def test_noise_of_dr3_is_correlated_like_that_of_real_spectra():
    noise, _ = many(ccds=20)
    for lag, expected in enumerate(RVS_NOISE_CORRELATION):
        assert correlation(noise, lag) == pytest.approx(
            expected, abs=0.022
        )  # 0.016 for native pixels of 2.45 instead of 2.40
    assert correlation(noise, 6) == pytest.approx(0.0, abs=0.01)


def test_noise_of_dr4_is_smaller_than_its_errors_and_less_correlated():
    noise, error = many(release="Gaia DR4", ccds=20)
    np.testing.assert_allclose(error, 1 / SNR)
    assert noise.std() * SNR == pytest.approx(0.816, abs=0.006)
    assert correlation(noise, 1) == pytest.approx(0.236, abs=0.01)
    assert correlation(noise, 2) == pytest.approx(0.0, abs=0.01)
    sums = noise[:, :960].reshape(len(noise), -1, 60).sum(axis=2)  # at low frequency white noise of the stated errors
    assert sums.std() * SNR / np.sqrt(60) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("ccds", [7, 20, 60])
def test_errors_of_dr3_scatter_like_estimates_from_few_spectra(ccds):
    _, error = many(100, ccds=ccds)
    assert np.log(error).std() == pytest.approx(1 / np.sqrt(2 * (ccds - 1)), rel=0.15)
    small = np.sqrt(stats.chi2.median(ccds - 1) / (ccds - 1))
    assert np.median(error) * SNR == pytest.approx(small, rel=0.015)
    assert np.mean(error**2) * SNR**2 == pytest.approx(1.0, rel=0.015)


def test_signal_to_noise_is_that_of_the_median_flux(sun):
    spectrum = simulated(sun, continuum=(0.1, -0.2), true_errors=True)
    clean = simulated(sun, NOISELESS, continuum=(0.1, -0.2)).flux.value
    np.testing.assert_allclose(spectrum.uncertainty.array, np.median(clean) / SNR, rtol=1e-6)


def test_tails_make_outliers_of_the_same_variance():
    gaussian, heavy = many(ccds=2)[0], many(ccds=2, tails=5)[0]
    assert heavy.std() == pytest.approx(gaussian.std(), rel=0.02)
    limit = 4.5 / SNR
    assert np.mean(np.abs(heavy) > limit) > 10 * np.mean(np.abs(gaussian) > limit)
    many_ccds = many(50, ccds=60, tails=5)[0]
    assert stats.kurtosis(many_ccds.ravel()) < 0.3


def spikes_of(seed, **more):
    """What spikes add to the flux (n,)."""
    options = {"seed": seed, "true_errors": True}
    return simulated(**options, **more).flux.value - simulated(**options).flux.value


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_spikes_are_as_many_as_asked_for(share):
    area = sum(spikes_of(seed, spikes=share, spike_size=8.0).sum() for seed in range(60))
    found = area / (8.0 * NATIVE * 2.45)  # each is a triangle of as many pixels
    expected = share * 60 * 2401 / 2.45
    assert found == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_spikes_are_as_high_as_asked_for():
    added = spikes_of(2, spikes=0.01)
    inner = added[1:-1]
    peaks = inner[(inner > added[:-2]) & (inner >= added[2:])]
    assert 1 < len(peaks) < 25
    assert np.median(peaks) == pytest.approx(10 * NATIVE, rel=0.2)  # the nearest pixel is up to 0.2 of one away
    assert np.median(peaks) > 9.5 / SNR  # in standard deviations of a pixel
    width = np.count_nonzero(added) / len(peaks)
    assert 3 < width < 6


def test_errors_do_not_know_of_spikes():
    plain, spiked = simulated(), simulated(spikes=0.1)
    np.testing.assert_array_equal(plain.uncertainty.array, spiked.uncertainty.array)


# ------------------------------------------------------------------ star, velocity, continuum
@pytest.mark.parametrize("release", RVS)
@pytest.mark.parametrize("velocity", [-40.0, 0.0, 300.0])
def test_spectrum_is_shifted(sun, release, velocity):
    wavelength = RVS[release]
    observed = simulated(sun, NOISELESS, release=release, radial_velocity=velocity)
    np.testing.assert_allclose(observed.spectral_axis.to_value("AA"), wavelength, rtol=1e-12)
    rest = doppler(wavelength, -velocity)
    expected = rvsemu.shipped().spectrum(wavelength=rest, medium="vacuum", **SUN).flux.value
    np.testing.assert_allclose(observed.flux.value, expected, atol=2e-5)


def test_velocity_may_have_a_unit(sun):
    plain = simulated(sun, radial_velocity=12.0)
    np.testing.assert_array_equal(plain.flux, simulated(sun, radial_velocity=12000 * u.m / u.s).flux)


def test_star_may_be_in_air_or_vacuum_in_any_order_and_unit():
    def line(vacuum):
        return 1 - 0.5 * np.exp(-(((vacuum - 8544.4) / 0.6) ** 2))

    clean = simulated(star_of(WAVELENGTH, line(WAVELENGTH)), NOISELESS).flux.value
    np.testing.assert_allclose(clean, line(RVS["Gaia DR3"]), atol=1e-6)
    air = star_of(vacuum_to_air(WAVELENGTH), line(WAVELENGTH), "air", u.nm)
    np.testing.assert_allclose(simulated(air, NOISELESS).flux.value, clean, atol=1e-7)
    reverse = star_of(WAVELENGTH[::-1], line(WAVELENGTH)[::-1], unit=u.um)
    np.testing.assert_allclose(simulated(reverse, NOISELESS).flux.value, clean, atol=1e-7)


@pytest.mark.parametrize("coefficients", [(), (0.02,), (0.05, -0.03, 0.01), np.array([0.1, 0.1])])
def test_continuum_multiplies_the_flux(sun, coefficients):
    plain, seen = simulated(sun, NOISELESS), simulated(sun, NOISELESS, continuum=coefficients)
    level = chebyshev.chebval(np.linspace(-1, 1, 2401), [1.0, *coefficients])
    np.testing.assert_allclose(seen.flux.value / plain.flux.value, level, rtol=1e-5)


def test_what_was_simulated_is_found_again(sun, emulator):
    given = {"radial_velocity": 12.0, "continuum": (0.03, -0.02, 0.01), "frame": "barycentric", "true_errors": True}
    result = rvsemu.fit(simulated(sun, 100.0, **given), emulator=emulator, model_error=None)
    for name, truth in {**SUN, "radial_velocity": 12.0}.items():
        assert abs(result.labels[name].value - truth) < 3.5 * result.errors[name].value
    assert result.reduced_chi2 == pytest.approx(1.0, abs=0.15)


# ------------------------------------------------------------------ gaps
@pytest.mark.parametrize("share", [0.0, 0.003, 0.1, 0.5])
def test_gaps_have_the_share_asked_for_in_runs(share):
    spectrum = simulated(gaps=share)
    assert spectrum.mask.dtype == bool
    assert spectrum.mask.sum() == round(share * 2401)
    for values in (spectrum.flux.value, spectrum.uncertainty.array):
        np.testing.assert_array_equal(np.isnan(values), spectrum.mask)
    runs = np.count_nonzero(np.diff(spectrum.mask.astype(int)) == 1)
    assert runs <= max(2, spectrum.mask.sum() / 4)


# ------------------------------------------------------------------ what comes out
def test_result_is_like_a_real_spectrum(sun):
    (real,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    made = simulated(sun, source_id=real.meta["source_id"], ccds=real.meta["combined_ccds"])
    assert made.shape == real.shape
    assert made.spectral_axis.unit == real.spectral_axis.unit
    np.testing.assert_allclose(made.spectral_axis.value, real.spectral_axis.value, rtol=1e-12)
    assert made.flux.unit == real.flux.unit
    assert type(made.uncertainty) is type(real.uncertainty) is StdDevUncertainty
    assert made.mask.dtype == real.mask.dtype
    for name in ("source_id", "combined_ccds", "medium", "frame", "release"):
        assert made.meta[name] == real.meta[name]
        assert type(made.meta[name]) is type(real.meta[name])


def test_meta_says_what_was_simulated(sun):
    settings = {"radial_velocity": 3.0, "spikes": 0.01, "gaps": 0.02, "tails": 4.0, "continuum": (0.01,)}
    made = simulated(sun, **settings)
    assert made.meta["labels"] == sun.meta["labels"]
    expected = {**settings, "radial_velocity": 3.0 * u.km / u.s, "signal_to_noise": SNR, "seed": 1}
    assert expected | {"spike_size": 10.0, "true_errors": False} == made.meta["simulated"]
    assert "labels" not in simulated().meta
    assert "source_id" not in simulated().meta


def test_it_is_written_and_read_back(sun, tmp_path):
    made = simulated(sun, gaps=0.01, source_id=7, radial_velocity=3.0)
    write_spectrum(made, tmp_path / "a.fits")
    (back,) = rvsemu.read_rvs(tmp_path / "a.fits")
    np.testing.assert_array_equal(back.flux, made.flux)
    assert back.meta["labels"] == made.meta["labels"]
    assert back.meta["simulated"]["radial_velocity"] == 3.0 * u.km / u.s


def test_star_is_left_as_it_was(sun):
    flux, meta = sun.flux.copy(), dict(sun.meta)
    simulated(sun, continuum=(0.1,), gaps=0.1)
    np.testing.assert_array_equal(sun.flux, flux)
    assert sun.meta == meta


# ------------------------------------------------------------------ seeds
def test_same_seed_gives_the_same_spectrum(sun):
    options = {"spikes": 0.01, "gaps": 0.05}
    one, same, other = (simulated(sun, seed=seed, **options) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.flux, same.flux)
    np.testing.assert_array_equal(one.uncertainty.array, same.uncertainty.array)
    assert not np.array_equal(one.flux, other.flux, equal_nan=True)
    np.testing.assert_array_equal(one.flux, simulated(sun, seed=np.random.default_rng(5), **options).flux)


def test_generator_goes_on():
    rng = np.random.default_rng(5)
    one, two = simulated(seed=rng), simulated(seed=rng)
    assert not np.array_equal(one.flux, two.flux)
    assert one.meta["simulated"]["seed"] is None


def test_errors_spikes_and_gaps_leave_the_noise_as_it_is():
    flux = simulated().flux.value
    np.testing.assert_array_equal(flux, simulated(true_errors=True).flux.value)
    spiked, gaps = simulated(spikes=0.01), simulated(gaps=0.1, spikes=0.01)
    assert np.mean(spiked.flux.value == flux) > 0.8
    np.testing.assert_array_equal(gaps.flux.value[~gaps.mask], spiked.flux.value[~gaps.mask])


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"signal_to_noise": 0.0}, "signal_to_noise=0.0: give a number from"),
        ({"signal_to_noise": np.nan}, "signal_to_noise=nan"),
        ({"signal_to_noise": "high"}, "signal_to_noise='high'"),
        ({"ccds": 1}, "ccds=1: give a whole number from 2"),
        ({"ccds": 1001}, "ccds=1001: give a whole number from 2 to 1000"),
        ({"ccds": 7.5}, "ccds=7.5"),
        ({"true_errors": "yes"}, "true_errors='yes': give True or False"),
        ({"release": "Gaia DR2"}, "release='Gaia DR2': use 'Gaia DR3' or 'Gaia DR4'"),
        ({"frame": "topocentric"}, "frame='topocentric': use 'rest' or 'barycentric'"),
        ({"radial_velocity": 3e5}, "radial_velocity=300000.0: give a velocity below"),
        ({"radial_velocity": 3 * u.K}, "radial_velocity=<Quantity 3. K>: give one number, in km/s"),
        ({"radial_velocity": np.nan}, "radial_velocity=nan"),
        ({"continuum": 0.3}, "continuum=0.3: give a row of numbers"),
        ({"continuum": (0.1, np.inf)}, "continuum=.*: give a row of numbers"),
        ({"continuum": ("a",)}, "continuum=.*: give a row of numbers"),
        ({"continuum": (0.1, 1.5)}, "continuum=.* falls to -.*: give coefficients"),
        ({"spikes": -0.1}, "spikes=-0.1: give a number from 0 to 0.9"),
        ({"spike_size": None}, "spike_size=None"),
        ({"tails": 2.0}, "tails=2.0: give a number from 2.01"),
        ({"gaps": 1.0}, "gaps=1.0: give a number from 0 to 0.9"),
        ({"source_id": 1.5}, "source_id=1.5: give a whole number"),
        ({"seed": -1}, "seed=-1: give a whole number"),
        ({"seed": None}, "seed=None: give a whole number"),
        ({"seed": True}, "seed=True: give a whole number"),
    ],
)
def test_bad_arguments_are_refused(given, words):
    with pytest.raises(SettingsError, match=words) as caught:
        simulated(**given)
    assert "\n" not in str(caught.value)


def without(name):
    star = star_of(WAVELENGTH, np.ones(len(WAVELENGTH)))
    del star.meta[name]
    return star


BAD_STARS = {
    "no Spectrum": (np.ones(10), "star is a ndarray: give a specutils Spectrum"),
    "two-dimensional": (star_of(WAVELENGTH, np.ones((2, len(WAVELENGTH)))), "shape .* one at a time"),
    "no medium": (without("medium"), "air or in vacuum: set star.meta"),
    "unknown medium": (star_of(WAVELENGTH, np.ones(len(WAVELENGTH)), "water"), "medium='water'"),
    "short": (star_of(WAVELENGTH[:3000], np.ones(3000)), r"covers 8400.0 to 8699.9 A .* 8460.0 to 8700.0 A are needed"),
    "coarse": (star_of(WAVELENGTH[::5], np.ones(720)), "points 0.5 A apart"),
    "hole": (star_of(WAVELENGTH[[*range(1500), *range(1600, 3600)]], np.ones(3500)), "points 10.1 A apart"),
    "NaN": (star_of(WAVELENGTH, np.where(WAVELENGTH > 8500, np.nan, 1.0)), "fluxes .* not finite"),
    "negative": (star_of(WAVELENGTH, -np.ones(len(WAVELENGTH))), "median flux of star is -1"),
    "unit": (Spectrum(spectral_axis=WAVELENGTH * u.AA, flux=WAVELENGTH * u.Jy, meta={"medium": "air"}), "in 'Jy'"),
    "frequency": (
        Spectrum(spectral_axis=WAVELENGTH * u.GHz, flux=WAVELENGTH * u.one, meta={"medium": "air"}),
        "spectral axis of star is in 'GHz'",
    ),
}


@pytest.mark.parametrize("kind", BAD_STARS)
def test_bad_stars_are_refused(kind):
    star, words = BAD_STARS[kind]
    with pytest.raises(SpectrumError, match=words) as caught:
        simulated(star)
    assert "\n" not in str(caught.value)


def test_star_must_reach_as_far_as_its_velocity_moves_it():
    simulated(radial_velocity=2000.0)
    with pytest.raises(SpectrumError, match="radial_velocity=2500 km/s .* smaller velocity"):
        simulated(radial_velocity=2500.0)


def test_fluxes_outside_of_the_range_do_not_matter():
    flux = np.where(WAVELENGTH < 8410, np.nan, 1.0)
    assert np.isfinite(simulated(star_of(WAVELENGTH, flux)).flux).all()


def test_signal_to_noise_and_seed_must_be_given():
    with pytest.raises(TypeError):
        rvsemu.simulate(FLAT, signal_to_noise=50)
    with pytest.raises(TypeError):
        rvsemu.simulate(FLAT, seed=1)
