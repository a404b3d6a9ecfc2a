"""Inversion of observed spectra: coefficients, radial velocity, what it cannot know."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.utils.masked import Masked
from inversion_fixtures import (
    PLAIN,
    SPACE,
    WAVELENGTH,
    K,
    exact_inversion,
    fluxes,
    meant_without_noise,
    observed,
    scaled,
    star_labels,
)
from specutils import Spectrum

import rvsemu
from rvsemu.errors import RvsemuError
from rvsemu.inversion import fit_coefficients, invert
from rvsemu.observing.noise import ModelError, NoiseModel
from rvsemu.observing.observation import Observation
from rvsemu.physics.wavelengths import air_to_vacuum, doppler


@pytest.fixture(scope="module")
def exact():
    return exact_inversion()


@pytest.fixture(scope="module")
def stars():
    return star_labels()


def reordered(spectrum, step):
    """The same with its pixels in steps of 1 or -1."""
    return Spectrum(
        spectral_axis=spectrum.spectral_axis[::step],
        flux=spectrum.flux[::step],
        uncertainty=StdDevUncertainty(spectrum.uncertainty.array[::step]),
        meta=spectrum.meta,
    )


@pytest.mark.parametrize("continuum", [(1.0, 0.0), (250.0, 0.08)])
@pytest.mark.parametrize("step", [1, -1])
def test_labels_of_an_observed_spectrum(exact, stars, continuum, step):
    """Other medium, part of the range, any continuum, red first: the labels that were put in come out."""
    for z in stars[:4]:
        result = invert(reordered(observed(exact, z, continuum=continuum), step), inversion=exact, **PLAIN)
        assert np.all(np.abs(scaled(result) - z) < 0.02)
        assert np.all(np.abs(scaled(result) - z) < 3 * scaled_noise(result))
        assert [result.flags] == meant_without_noise(result)
        assert abs(result.radial_velocity.value) < 3 * result.errors["radial_velocity"].value + 0.02
        assert result.meta["source_id"] == 7 and result.meta["medium"] == "vacuum"


def test_radial_velocity_is_taken_out(exact, stars):
    shifted = observed(exact, stars[1], velocity=80.0)
    right = invert(shifted, inversion=exact, radial_velocity=80.0 * u.km / u.s, **PLAIN)
    assert np.all(np.abs(scaled(right) - stars[1]) < 0.02)
    wrong = invert(shifted, inversion=exact, radial_velocity=0.0, **PLAIN)
    assert np.max(np.abs(scaled(wrong) - stars[1])) > 0.2
    assert "unlike-training" in wrong.flags


@pytest.mark.parametrize("velocity", [-870.0, -333.3, 4.9, 62.0, 999.0])
@pytest.mark.parametrize("frame", ["barycentric", "unknown", None])
def test_radial_velocity_is_found(exact, stars, velocity, frame):
    """Anywhere from -1000 to 1000 km/s: velocity and labels within their errors, and nothing flagged."""
    seen = {"sigma": 0.005, "velocity": velocity, "continuum": (1.0, 0.05), "rng": np.random.default_rng(10)}
    spectrum = without(observed(exact, stars[3], **seen), "frame")
    if frame:
        spectrum.meta["frame"] = frame
    result = invert(spectrum, inversion=exact, **PLAIN)
    assert 0 < result.errors["radial_velocity"].value < 2
    assert abs(result.radial_velocity.value - velocity) < 3 * result.errors["radial_velocity"].value
    assert np.all(np.abs(scaled(result) - stars[3]) < 3 * scaled_noise(result))
    assert result.flags == ()


def scaled_noise(result):
    values, errors = ([x[name].value for name in SPACE.names] for x in (result.labels, result.noise_errors))
    return SPACE.slope(np.array(values)) * errors


def test_errors_of_velocities_are_their_scatter(exact, stars):
    """Velocities and labels of realisations of noise: pulls of unit variance."""
    rng, pulls = np.random.default_rng(11), []
    for _ in range(80):
        velocity = rng.uniform(-60, 60)
        result = invert(observed(exact, stars[7], sigma=0.02, velocity=velocity, rng=rng), inversion=exact, **PLAIN)
        pulls.append((result.radial_velocity.value - velocity) / result.errors["radial_velocity"].value)
    assert 0.75 < np.std(pulls) < 1.25 and abs(np.mean(pulls)) < 0.5


def test_range_of_velocities(exact, stars):
    """What is outside the range that is looked at is not found, and its limit is flagged."""
    spectrum = observed(exact, stars[3], velocity=160.0)
    wide = invert(spectrum, inversion=exact, radial_velocity=(100.0, 200.0) * u.km / u.s, **PLAIN)
    assert wide.radial_velocity.value == pytest.approx(160, abs=0.5)
    assert wide.flags == ("smooth-noise", "not-at-rest")  # there is no noise at all
    narrow = invert(spectrum, inversion=exact, radial_velocity=(130.0, 150.0), **PLAIN)
    assert narrow.radial_velocity.value == 150 and "at-bound:radial_velocity" in narrow.flags
    fixed = invert(spectrum, inversion=exact, radial_velocity=160.0, **PLAIN)
    assert fixed.radial_velocity.value == 160 and fixed.errors["radial_velocity"].value == 0
    assert "160 (fixed)" in repr(fixed)


def real(name="kepler-93", velocity=0.0, frame="barycentric", flux=lambda x: x):
    """A real spectrum, seen from elsewhere."""
    star = rvsemu.read_rvs(rvsemu.example_path(name))[0]
    return Spectrum(
        spectral_axis=doppler(star.spectral_axis.to_value(u.AA), velocity) * u.AA,
        flux=flux(star.flux.value) * u.dimensionless_unscaled,
        uncertainty=star.uncertainty,
        mask=star.mask,
        meta={**star.meta, "frame": frame},
    )


@pytest.mark.parametrize(("name", "velocity"), [("kepler-93", 500.0), ("hd176650", -87.0)])
def test_velocities_of_real_stars(name, velocity):
    """The labels do not depend on the velocity, which comes out."""
    mask = ("calcium-cores", "edges")  # the diffuse band does not move with the star
    rest, moving = invert(real(name, frame="rest"), mask=mask), invert(real(name, velocity), mask=mask)
    assert moving.radial_velocity.value == pytest.approx(velocity + rest.radial_velocity.value, abs=0.1)
    assert abs(rest.radial_velocity.value) < 1
    for label in ("teff", "logg", "mh"):
        assert abs(moving.labels[label] - rest.labels[label]) < 0.1 * rest.errors[label]
    assert moving.flags == rest.flags
    assert not {"unlike-training", "no-information"} & {*rest.flags}


@pytest.mark.parametrize(
    ("name", "velocity"),
    [*(("kepler-93", v) for v in (-50.0, 50.0, 200.0, 500.0, 900.0)), ("hd176650", 30.0), ("hd176650", 500.0)],
)
def test_wrong_velocities_are_flagged(name, velocity):
    """Although reduced chi2 falls, as the model error grows with the model's lines."""
    assert "unlike-training" in invert(real(name), radial_velocity=velocity).flags


@pytest.mark.parametrize("velocity", [82.0, -60.0, 20.0])
def test_spectra_that_are_not_at_rest(velocity):
    """Not in another frame, nor where the velocity is given."""
    resting, moving = (real(velocity=velocity, frame=frame) for frame in ("rest", "barycentric"))
    results = invert(resting), invert(moving), invert(resting, radial_velocity=velocity)
    assert ["not-at-rest" in one.flags for one in results] == [abs(velocity) > 30, False, False]


@pytest.mark.parametrize(
    ("ccds", "release", "few"), [(7, "Gaia DR3", True), (10, "Gaia DR3", False), (3, "Gaia DR4", False)]
)
def test_few_ccds(ccds, release, few):
    """Of errors that are estimates."""
    sun = rvsemu.generate(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1.0)
    star = rvsemu.simulate(sun, signal_to_noise=60, ccds=ccds, release=release, seed=1)
    assert ("few-ccds" in invert(star).flags) is few
    for result in (invert(star, sigma=0.02), rvsemu.fit(star, sigma=0.02)):  # which are no estimates
        assert "few-ccds" not in result.flags


def test_stars_that_are_a_little_too_cool():
    """They look like hotter ones of high metallicity, and say that they may be beyond the limit."""
    rng = np.random.default_rng(7)
    for number in range(12):
        labels = {"teff": rng.uniform(3500, 3590), "logg": rng.uniform(2, 5), "mh": rng.uniform(-0.2, 0.4)}
        star = rvsemu.generate(**labels, vsini=2, vmic=1.3)
        result = invert(rvsemu.simulate(star, signal_to_noise=[30, 100, 200][number % 3], seed=number))
        assert "at-bound:teff" in result.flags


@pytest.mark.parametrize(
    ("spectrum", "sigma", "flag"),
    [
        ({"velocity": 500.0, "frame": "rest"}, None, "unlike-training"),
        ({"frame": "rest", "flux": lambda x: 2 - x}, None, "unlike-training"),
        ({"frame": "rest", "flux": lambda x: 1 + 0.3 * np.sin(np.arange(2401) / 7)}, 1e-3, "unlike-training"),
        (
            {"frame": "rest", "flux": lambda x: 1 + 0.1 * np.random.default_rng(0).normal(size=2401)},
            1e-2,
            "unlike-training",
        ),
        ({"frame": "rest", "flux": lambda x: np.ones(2401)}, 1e-2, "labels-contradict"),
        ({"frame": "rest"}, 1e3, "no-information"),
        ({"frame": "rest"}, 1.0, "no-information"),
    ],
)
def test_spectra_that_cannot_be_inverted(spectrum, sigma, flag):
    result = invert(real(**spectrum), sigma=sigma)
    assert flag in result.flags
    for name, (low, high) in result.limits.items():
        assert low <= result.labels[name].value <= high
        assert result.errors[name].value < (high - low)


@pytest.mark.parametrize("seed", range(8))
def test_noise_in_a_wide_range_is_no_traceback(seed):
    """The velocity stays where the pixels are within the range of the components."""
    axis = np.arange(8300.0, 8900.0, 0.25)
    spectrum = Spectrum(
        spectral_axis=axis * u.AA,
        flux=(1 + 0.5 * np.random.default_rng(seed).normal(size=len(axis))) * u.one,
        uncertainty=StdDevUncertainty(np.full(len(axis), 0.5)),
        meta={"medium": "air", "frame": "rest"},
    )
    result = invert(spectrum)
    assert abs(result.radial_velocity.value) <= 100 and result.flags


@pytest.mark.parametrize("masked", [np.ma.MaskedArray, Masked])
def test_masked_errors_are_of_bad_pixels(masked):
    """As an argument, and of the spectrum; masked fluxes on the inversion's own wavelengths are refused."""
    star, bad = real(), np.zeros(2401, dtype=bool)
    bad[600:900] = True
    flux, sigma = np.where(bad, 0.0, star.flux.value), np.nan_to_num(star.uncertainty.array, nan=1.0)
    parts = {"spectral_axis": star.spectral_axis, "flux": flux * u.one, "meta": star.meta}
    plain = Spectrum(**parts, uncertainty=StdDevUncertainty(sigma), mask=bad | star.mask)
    wanted, fitted = invert(plain, sigma=sigma), rvsemu.fit(plain, sigma=sigma)
    given = Spectrum(**parts, mask=star.mask)
    for one, found in (
        (wanted, invert(given, sigma=masked(sigma, mask=bad))),
        (fitted, rvsemu.fit(given, sigma=masked(sigma, mask=bad))),
    ):
        assert (found.n_pixels, found.teff, found.radial_velocity) == (one.n_pixels, one.teff, one.radial_velocity)
    own = rvsemu.generate(teff=5777, logg=4.44).flux.value
    with pytest.raises(RvsemuError, match="1 fluxes are not finite, or masked"):
        invert(masked(own, mask=np.arange(len(own)) == 7))


def test_bad_pixels_have_no_part(exact, stars):
    """Masked, NaN and masked-by-name pixels: any value in them gives the same labels."""
    clean = observed(exact, stars[2])
    values = clean.flux.value.copy()
    values[300:360], values[1000:1010] = -5.0, np.nan
    spoilt = Spectrum(
        spectral_axis=clean.spectral_axis,
        flux=values * clean.flux.unit,
        uncertainty=clean.uncertainty,
        mask=(np.arange(2401) >= 300) & (np.arange(2401) < 360),
        meta=clean.meta,
    )
    result = invert(spoilt, inversion=exact, **PLAIN)
    assert np.all(np.abs(scaled(result) - stars[2]) < 0.02)
    assert result.n_pixels == 2401 - 70
    values[300:360] = 1e3
    again = invert(
        Spectrum(
            spectral_axis=clean.spectral_axis,
            flux=values * clean.flux.unit,
            uncertainty=clean.uncertainty,
            mask=spoilt.mask,
            meta=clean.meta,
        ),
        inversion=exact,
        **PLAIN,
    )
    np.testing.assert_allclose(scaled(again), scaled(result), rtol=0, atol=1e-9)
    default = invert(clean, inversion=exact)
    assert 2401 - 3 * 31 - 121 - 25 < default.n_pixels < 2401 - 3 * 29 - 119 - 15
    assert np.all(np.abs(scaled(default) - stars[2]) < 0.2)


def coefficients_of(exact, spectrum, correlation=(1.0,), model_error=None, degree=3):
    observation = Observation.from_spectrum(spectrum, exact, mask=None, noise_correlation=correlation)
    return fit_coefficients(exact, observation, 0.0, degree, NoiseModel(observation.noise.correlation, model_error))


def test_whole_spectra_are_projected(exact, stars):
    """On the inversion's own grid, with little noise and white residuals, fitting is projecting."""
    flux = fluxes(exact, stars[0])
    spectrum = Spectrum(
        spectral_axis=WAVELENGTH * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(4000, 1e-4)),
        meta={"medium": "air", "frame": "rest"},
    )
    found = coefficients_of(exact, spectrum, degree=0)
    np.testing.assert_allclose(found.values, exact.coefficients(flux)[0], rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.continuum, 1.0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.model, flux, rtol=0, atol=1e-4)


def test_coefficients_are_the_minimum(exact, stars):
    """The sum of squares, written out with a dense covariance, rises in all directions from what was found."""
    spectrum = observed(exact, stars[5], sigma=0.01, continuum=(1.0, 0.05), rng=np.random.default_rng(6))
    found = coefficients_of(exact, spectrum, degree=1)
    y, sigma = spectrum.flux.value, spectrum.uncertainty.array
    air = np.interp(spectrum.spectral_axis.value, air_to_vacuum(WAVELENGTH), WAVELENGTH)
    components = np.array([np.interp(air, WAVELENGTH, row) for row in exact.principal.basis])
    components *= exact.principal.spread[:, None]
    mean = np.interp(air, WAVELENGTH, exact.principal.mean)
    variance = sigma**2 + (1e-3 * found.continuum) ** 2
    x = np.linspace(-1, 1, 2401)

    def chi2(c, continuum):
        return np.sum((y - continuum * (mean + c @ components)) ** 2 / variance) + np.sum(c**2)

    best = chi2(found.values, found.continuum)
    step = 0.3 * np.sqrt(np.diag(found.covariance))
    for i in range(K):
        for sign in (-1, 1):
            assert chi2(found.values + sign * step * (np.arange(K) == i), found.continuum) > best
    for slope in (-2e-3, 2e-3):
        assert chi2(found.values, found.continuum * (1 + slope * x)) > best
    assert found.reduced_chi2 == pytest.approx(1.0, abs=0.1)


def test_a_component_outside_the_range_keeps_its_prior(exact):
    """What the pixels do not tell comes out as the mean of the training spectra, with their spread."""
    basis = exact.principal.basis.copy()
    basis[0] = np.where(WAVELENGTH > 8720, np.sin(WAVELENGTH), 0)
    basis[0] /= np.linalg.norm(basis[0])
    blind = replace(exact, principal=replace(exact.principal, basis=basis))
    found = coefficients_of(blind, observed(blind, np.full(K, 0.4)))
    assert abs(found.values[0]) < 1e-3
    assert found.covariance[0, 0] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found.values[1:], 0.8, rtol=0, atol=0.03)


@pytest.mark.parametrize("correlation", [(1.0,), (1.0, 0.5, 0.1)], ids=["white", "correlated"])
def test_scatter_of_observed_coefficients_is_their_error(exact, stars, correlation):
    """Realisations of noise with the stated correlation: the pulls of the coefficients have unit variance."""
    rng, sigma = np.random.default_rng(7), 0.01
    lags = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    root = np.linalg.cholesky(np.array([*correlation, *np.zeros(40)])[lags])
    clean, pulls = observed(exact, stars[6], sigma=sigma), []
    for _ in range(60):
        noise = (root @ rng.normal(size=(40, 61))).T.ravel()[:2401]
        noisy = Spectrum(
            spectral_axis=clean.spectral_axis,
            flux=clean.flux + sigma * noise * clean.flux.unit,
            uncertainty=clean.uncertainty,
            meta=clean.meta,
        )
        found = coefficients_of(exact, noisy, correlation=correlation)
        pulls.append((found.values - 2 * stars[6]) / np.sqrt(np.diag(found.covariance)))
    rms = np.sqrt(np.mean(np.square(pulls)))
    assert 0.85 < rms < 1.15


def test_model_error_widens_the_errors(exact, stars):
    spectrum = observed(exact, stars[0], sigma=0.002)
    plain = coefficients_of(exact, spectrum)
    wide = coefficients_of(exact, spectrum, model_error=ModelError(0.01, 0.05, 2.0))
    assert np.all(np.diag(wide.covariance) > 4 * np.diag(plain.covariance))


def without(spectrum, *names):
    return Spectrum(
        spectral_axis=spectrum.spectral_axis,
        flux=spectrum.flux,
        uncertainty=spectrum.uncertainty,
        meta={k: v for k, v in spectrum.meta.items() if k not in names},
    )


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda s: s, {"radial_velocity": 5 * u.K}, "radial_velocity=.*one velocity in km/s"),
        (lambda s: s, {"radial_velocity": 1e4}, "within -1000 to 1000"),
        (lambda s: s, {"radial_velocity": (50, -50)}, "give one velocity in km/s or .low, high."),
        (lambda s: s, {"radial_velocity": (1, 2, 3)}, "give one velocity in km/s or .low, high."),
        (lambda s: s, {"radial_velocity": np.nan}, "give one velocity in km/s or .low, high."),
        (lambda s: s, {"radial_velocity": "fast"}, "give one velocity in km/s or .low, high."),
        (lambda s: s, {"continuum_degree": 21}, "continuum_degree=21: give a whole number from 0 to 20"),
        (lambda s: s, {"continuum_degree": 1.5}, "continuum_degree=1.5"),
        (lambda s: s, {"mask": "best"}, "mask='best' is unknown"),
        (lambda s: s, {"noise_correlation": "none"}, "noise_correlation='none' is unknown"),
        (lambda s: s, {"model_error": "none"}, "model_error='none' is unknown"),
        (lambda s: without(s, "medium"), {}, "in air or in vacuum"),
        (lambda s: s.__class__(spectral_axis=s.spectral_axis, flux=s.flux, meta=s.meta), {}, "no uncertainty"),
        (
            lambda s: s.__class__(spectral_axis=s.spectral_axis, flux=-s.flux, uncertainty=s.uncertainty, meta=s.meta),
            {},
            "median flux .* must be positive",
        ),
    ],
)
def test_bad_spectra(exact, stars, change, settings, message):
    spectrum = change(observed(exact, stars[0]))
    with pytest.raises(RvsemuError, match=message) as raised:
        invert(spectrum, inversion=exact, **settings)
    assert "\n" not in str(raised.value)


def test_few_good_pixels(exact, stars):
    spectrum = observed(exact, stars[0])
    result = invert(spectrum, inversion=exact, **PLAIN | {"mask": [(8470.0, 8600.0)]})
    assert "few-good-pixels" in result.flags
    assert np.all(np.abs(scaled(result) - stars[0]) < 0.1)
