"""What the errors of a spectrum are: by release, by the distance of pixels, estimated or true, with outliers."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SettingsError, SpectrumError, SpectrumWarning
from rvsemu.fitting import Settings, fit_many
from rvsemu.observing import NOISES, RVS_NOISE_CORRELATION, ModelError, smoothed_sigma
from rvsemu.observing.correlation import LagCorrelation
from rvsemu.observing.noise import noise_for
from rvsemu.observing.outliers import doubtful
from rvsemu.physics.wavelengths import vacuum_to_air
from rvsemu.spectra import write_spectrum

DR3 = 8460.0 + 0.1 * np.arange(2401)
DR4 = 8460.0 + 0.25 * np.arange(961)
SUN = {"teff": 5777, "logg": 4.44, "vsini": 5, "mh": 0, "vmic": 1.1, "resolution": 11900}
EXACT = {"model_error": None}


@pytest.fixture(scope="module")
def sun():
    return rvsemu.generate(**SUN)


@pytest.fixture(scope="module")
def exact():
    """The shipped emulator without errors of its own: simulated stars are its spectra."""
    emulator = rvsemu.shipped()
    error = dataclasses.replace(emulator.error, sigma=0 * emulator.error.sigma, components=None)
    return dataclasses.replace(emulator, error=error)


def part(spectrum, pixels):
    """Some of the pixels of a spectrum, the others dropped."""
    return Spectrum(
        spectral_axis=spectrum.spectral_axis[pixels],
        flux=spectrum.flux[pixels],
        uncertainty=StdDevUncertainty(spectrum.uncertainty.array[pixels]),
        mask=spectrum.mask[pixels],
        meta=dict(spectrum.meta),
    )


# ---------------------------------------------------------------- kinds of noise


@pytest.mark.parametrize(
    ("wave", "meta", "medium", "kind"),
    [
        (DR3, {"release": "Gaia DR3"}, "vacuum", "gaia-dr3"),
        (DR3[::3], {}, "vacuum", "white"),
        (DR3[200:900], {}, "vacuum", "gaia-dr3"),
        (np.delete(DR3, np.arange(100, 1900, 7)), {}, "vacuum", "gaia-dr3"),
        (DR3 * (1 + 30 / 299792.458), {"release": "Gaia DR3"}, "vacuum", "gaia-dr3"),
        (DR3, {}, "air", "white"),
        (vacuum_to_air(DR3), {}, "air", "gaia-dr3"),
        (vacuum_to_air(DR4)[:400], {}, "air", "gaia-dr4"),
        (vacuum_to_air(DR3), {}, "vacuum", "white"),
        (vacuum_to_air(DR3), {"recipe": "default"}, "air", "white"),
        (DR3, {"recipe": "default"}, "vacuum", "white"),
        (DR3, {"release": "unknown"}, "vacuum", "gaia-dr3"),
        (DR4, {"release": "Gaia DR4"}, "vacuum", "gaia-dr4"),
        (DR4, {}, "vacuum", "gaia-dr4"),
        (8400.0 + 0.1 * np.arange(4000), {}, "air", "white"),
        (8400.03 + 0.1 * np.arange(3000), {}, "vacuum", "white"),
    ],
)
def test_kind_of_noise_is_that_of_the_spectrum(wave, meta, medium, kind):
    assert noise_for(wave, meta, medium) == NOISES[kind]
    assert noise_for(wave, meta, medium, "white") == NOISES["white"] == noise_for(wave, meta, medium, ())
    assert noise_for(wave, meta, medium, (1, 0.4)).correlation == LagCorrelation((1, 0.4), np.diff(wave).min())


def test_gaia_dr4_may_have_the_pixels_of_dr3():
    found = noise_for(DR3, {"release": "Gaia DR4"}, "vacuum")
    assert (
        found
        == dataclasses.replace(NOISES["gaia-dr4"], step=0.1)
        == noise_for(vacuum_to_air(DR3), {"release": "Gaia DR4"}, "air")
    )
    with pytest.raises(SpectrumError, match=r"of Gaia DR4 by meta.*resampling changes"):
        noise_for(DR3[::2], {"release": "Gaia DR4"}, "vacuum")


@pytest.mark.parametrize(
    "wave", [DR3[::2], DR3[::2] + 0.05, 8460 + 0.25 * np.arange(961), 8460 + 0.02 * np.arange(9000)]
)
def test_resampled_spectra_are_refused(wave):
    with pytest.raises(SpectrumError, match=r"of Gaia DR3 by meta.*resampling changes.*noise_correlation="):
        noise_for(wave, {"release": "Gaia DR3"}, "vacuum")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        *((given, r"noise_correlation=.*: use 'auto'.*'white' are independent") for given in (None, 0.5)),
        ("pink", "'pink' is unknown: use 'auto'"),
        ((0.5, 0.2), "starting with 1"),
        ((1, 0.77, 0.33), "no noise has"),
    ],
)
def test_noise_that_is_none(given, message):
    with pytest.raises(SpectrumError, match=message):
        noise_for(DR3, {}, "vacuum", given)


def test_generated_spectra_have_white_noise_unless_told_otherwise(sun, exact):
    rng = np.random.default_rng(4)
    noisy = Spectrum(
        spectral_axis=sun.spectral_axis,
        flux=sun.flux + 0.02 * rng.normal(size=sun.flux.shape),
        uncertainty=StdDevUncertainty(np.full(sun.flux.shape, 0.02)),
        meta=dict(sun.meta),
    )
    found = rvsemu.fit(noisy, emulator=exact, **EXACT)
    assert found.reduced_chi2 == pytest.approx(1, abs=4 * np.sqrt(2 / found.n_pixels))
    assert found.meta["noise_correlation"] == NOISES["white"].correlation
    assert not found.meta["errors_smoothed"]


@pytest.fixture(scope="module")
def kepler():
    (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    return star


@pytest.mark.parametrize("suffix", [None, ".fits", ".csv"])
def test_what_was_fitted_can_be_fitted_again(kepler, suffix, tmp_path):
    """With the same noise: taken to be white, it would make errors of the labels smaller by a sixth."""
    first = rvsemu.fit(kepler)
    observed = first.observed
    assert observed.meta["pixel_correlation"] == pytest.approx(RVS_NOISE_CORRELATION, abs=1e-4)
    if suffix:
        with pytest.warns(SpectrumWarning, match="not written"):
            write_spectrum(observed, tmp_path / f"star{suffix}")
        (observed,) = rvsemu.read_rvs(tmp_path / f"star{suffix}")
    again = rvsemu.fit(observed, mask=None)
    np.testing.assert_array_equal(again.used, first.used)
    for name in first.free_names:
        error = first.errors[name].value
        assert again.labels[name].value == pytest.approx(first.labels[name].value, abs=0.02 * error)
        assert again.errors[name].value == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("dropped", [0.2, 0.4])
def test_dropped_rows_change_little(sun, exact, dropped):
    """Errors and chi2 are those of the complete spectrum, but for the information lost."""
    rng = np.random.default_rng(8)
    stars = [rvsemu.simulate(sun, signal_to_noise=50, seed=i) for i in range(16)]
    fewer = [part(s, np.flatnonzero(rng.random(2401) > dropped)) for s in stars]
    settings = {"emulator": exact, "fixed": {"vmic": 1.1, "resolution": 11900}, **EXACT}
    whole, some = (fit_many(s, **settings) for s in (stars, fewer))

    def spread(results):
        return np.sqrt(np.mean([((r.teff.value - 5777) / 60) ** 2 for r in results]))

    assert np.mean([r.reduced_chi2 for r in some]) < 1.1
    assert spread(some) < 1.35 * spread(whole)
    errors = [np.mean([r.errors["teff"].value for r in results]) for results in (whole, some)]
    assert errors[0] < errors[1] < 1.3 * errors[0]


# ---------------------------------------------------------------- errors that are estimates


@pytest.mark.parametrize("n", [4, 7, 20, 60, None])
def test_smoothed_errors_are_the_true_ones(n):
    rng = np.random.default_rng(1)
    true = 0.02 * (1 + 0.5 * np.linspace(-1, 1, 2401) ** 2)
    free = 1000 if n is None else n - 1
    estimates = true * np.sqrt(rng.chisquare(free, 2401) / free)
    good = rng.random(2401) > 0.05
    level = smoothed_sigma(np.where(good, estimates, np.nan), good, n)
    assert np.all(np.isnan(level[~good]))
    ratio = (level / true)[good]
    assert np.mean(ratio) == pytest.approx(1, abs=0.015)
    assert np.std(ratio[ratio < 1.5]) < 0.25 / np.sqrt(2 * free) + 0.01


def test_errors_that_are_really_larger_stay():
    sigma = np.full(2401, 0.01)
    sigma[1200:1230] = 0.05
    sigma[:12] = np.linspace(0.03, 0.01, 12)
    level = smoothed_sigma(sigma, np.ones(2401, dtype=bool), 30)
    np.testing.assert_allclose(level[1200:1230], 0.05)
    assert level[0] > 0.02
    assert level[600] == pytest.approx(0.01, rel=0.02)
    assert np.isnan(smoothed_sigma(np.full(5, np.nan), np.zeros(5, dtype=bool))).all()
    assert smoothed_sigma(np.full(30, 2.0), np.ones(30, dtype=bool)).tolist() == [2.0] * 30


def test_smoothing_is_the_default_for_dr3_alone(sun):
    dr3 = rvsemu.simulate(sun, signal_to_noise=30, seed=1, ccds=9)
    dr4 = rvsemu.simulate(sun, signal_to_noise=30, seed=1, ccds=9, release="Gaia DR4")
    settings = {n: Settings(smooth_sigma=n) for n in (None, True, False)}
    stated = dr3.uncertainty.array
    assert settings[None].observe(dr3).smoothed
    assert settings[True].observe(dr4).smoothed
    np.testing.assert_array_equal(settings[False].observe(dr3).sigma, stated)
    assert np.std(settings[None].observe(dr3).sigma) < 0.2 * np.std(stated)
    plain = settings[None].observe(dr4)
    assert not plain.smoothed
    np.testing.assert_allclose(plain.sigma, np.sqrt(2 / 3) * dr4.uncertainty.array)
    own = Settings(sigma=0.5).observe(dr3)
    assert not own.smoothed and np.all(own.sigma == 0.5)
    with pytest.raises(SettingsError, match="smooth_sigma='yes'"):
        Settings(smooth_sigma="yes")


@pytest.mark.parametrize("stated", [None, np.ma.masked, "many", np.nan])
def test_unknown_number_of_spectra(sun, stated):
    star = rvsemu.simulate(sun, signal_to_noise=30, seed=1, ccds=9)
    star.meta["combined_ccds"] = stated
    seen = Settings().observe(star)
    assert seen.ccds is None and seen.smoothed
    np.testing.assert_allclose(seen.sigma, smoothed_sigma(star.uncertainty.array, np.ones(2401, dtype=bool)))


def test_estimated_errors_cost_nothing(sun, exact):
    """Errors estimated from 7 spectra lead to labels as good as with the true ones; as they are, twice as bad."""
    settings = {"emulator": exact, "fixed": {"vmic": 1.1, "resolution": 11900, "vsini": 5}, **EXACT}

    def rms(smooth, **how):
        stars = [rvsemu.simulate(sun, signal_to_noise=30, seed=i, ccds=7, **how) for i in range(24)]
        found = fit_many(stars, smooth_sigma=smooth, **settings)
        return np.sqrt(np.mean([(r.teff.value - 5777) ** 2 for r in found])), found

    true, _ = rms(False, true_errors=True)
    smooth, found = rms(None)
    as_given, _ = rms(False)
    assert smooth < 1.25 * true
    assert as_given > 1.4 * true
    assert all("few-ccds" in r.flags and r.meta["errors_smoothed"] for r in found)
    assert found[0].to_table()["errors_smoothed"][0]


# ---------------------------------------------------------------- outliers


def test_doubt_is_that_of_a_mixture():
    rng = np.random.default_rng(0)
    deviation, used = rng.normal(size=20000), np.ones(20000, dtype=bool)
    deviation = np.clip(deviation, -2.8, 2.8)
    deviation[100], deviation[300] = 10.0, -6.0
    probability, growth = doubtful(deviation, used, 2)
    assert np.flatnonzero(probability).tolist() == [*range(98, 103), *range(298, 303)]
    np.testing.assert_allclose(growth[98:103], 100, rtol=0.02)
    np.testing.assert_allclose(growth[298:303], 36, rtol=0.02)
    used[100] = False
    assert doubtful(deviation, used, 0)[0].nonzero()[0].tolist() == [300]
    bad = doubtful(5 * deviation, used, 0)[0]  # a model that is wrong everywhere has no outliers
    assert bad.nonzero()[0].tolist() == [300]


def test_spikes_are_found_and_do_no_harm(sun, exact):
    settings = {"emulator": exact, "fixed": {"vmic": 1.1, "resolution": 11900, "vsini": 5}, **EXACT}
    clean, spiky = (
        [rvsemu.simulate(sun, signal_to_noise=30, seed=i, ccds=30, spikes=share) for i in range(20)]
        for share in (0.0, 0.01)
    )

    def rms(found):
        return np.sqrt(np.mean([(r.teff.value - 5777) ** 2 for r in found]))

    plain, robust = fit_many(clean, robust=False, **settings), fit_many(clean, **settings)
    marred = fit_many(spiky, **settings)
    assert rms(robust) < 1.03 * rms(plain)
    assert rms(marred) < 1.15 * rms(robust)
    assert all("outliers" in r.flags and r.n_outliers > 20 for r in marred)
    assert not any("outliers" in r.flags for r in robust)
    for one, star in zip(marred, spiky, strict=True):
        assert one.doubted.sum() == one.n_outliers
        deviation = np.abs(star.flux.value - one.model_flux)[one.used] / one.flux_sigma[one.used]
        assert deviation[~one.doubted[one.used]].max() < 6


def test_every_way_of_fitting_knows_the_outliers(sun, exact):
    star = rvsemu.simulate(sun, signal_to_noise=30, seed=3, spikes=0.01)
    sampled = rvsemu.fit(star, emulator=exact, errors="sampled", **EXACT)
    chain = rvsemu.sample(star, emulator=exact, steps=50, progress=False, **EXACT)
    assert "outliers" in sampled.flags and "outliers" in chain.flags


def test_fit_of_a_perfect_star_is_as_good_as_its_noise(sun, exact):
    for snr in (20, 100, 400):
        star = rvsemu.simulate(sun, signal_to_noise=snr, seed=5)
        found = rvsemu.fit(star, emulator=exact)
        assert found.noise_chi2 == pytest.approx(0.9, abs=0.12)
        assert found.reduced_chi2 <= found.noise_chi2 * 1.05
        assert "poor-fit" not in found.flags


def test_noise_chi2_sees_what_the_model_error_excuses(sun, exact):
    star = rvsemu.simulate(sun, signal_to_noise=300, seed=5)
    wave = star.spectral_axis.to_value(u.AA)
    ripple = 1 + 0.006 * np.sin(wave / 0.8)
    odd = Spectrum(
        spectral_axis=star.spectral_axis, flux=star.flux * ripple, uncertainty=star.uncertainty, meta=dict(star.meta)
    )
    found = rvsemu.fit(odd, emulator=exact)
    assert found.noise_chi2 > 1.2 > found.reduced_chi2 + 0.3


@pytest.mark.parametrize(
    "bad",
    [
        {"pixel_correlation": "x"},
        {"pixel_correlation": 0.3},
        {"pixel_correlation": [1, 2]},
        {"pixel_correlation": [1, 0.2], "pixel_correlation_step": 0.0},
        {"pixel_correlation": [1, 0.2], "pixel_correlation_step": "x"},
        {"pixel_correlation": [1, 0.2], "pixel_correlation_step": 1 * u.km / u.s},
    ],
)
def test_what_meta_says_of_noise_is_checked(bad):
    with pytest.raises(SpectrumError, match=r"^meta\['pixel_correlation'\]=.* at steps of .*: give the correlation"):
        noise_for(8500.0 + 0.1 * np.arange(100), bad, "air")


def test_steps_have_units():
    found = noise_for(
        8500.0 + 0.1 * np.arange(100), {"pixel_correlation": [1, 0.2], "pixel_correlation_step": 0.01 * u.nm}, "air"
    )
    np.testing.assert_allclose(found.correlation([0.0, 0.1, 0.2]), [1.0, 0.2, 0.0])


@pytest.mark.parametrize(
    ("name", "bad"), [("base", -1.0), ("depth", np.nan), ("reach", 0.0), ("reach", 1.75 * u.AA), ("base", "large")]
)
def test_model_errors_are_checked(name, bad):
    with pytest.raises(SpectrumError, match=f"^ModelError: {name}=.*: give a plain number"):
        ModelError(**{"base": 0.01, "depth": 0.05, "reach": 1.75, name: bad})
