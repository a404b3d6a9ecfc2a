"""Fits of spectra with known labels, and of real Gaia stars with labels from the literature."""

import dataclasses
import functools
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.table import QTable, vstack
from emulator_fixtures import in_double_precision

import rvsemu
from rvsemu._compat import Spectrum
from rvsemu.emulator import Emulator, ErrorModel
from rvsemu.emulator.network import DenseNetwork, Layer
from rvsemu.errors import LabelError, SpectrumError
from rvsemu.fitting import Likelihood, fit_many
from rvsemu.fitting import fit as fit_real
from rvsemu.fitting import problem as module
from rvsemu.fitting.parameters import DEFAULT_PRIORS, Parameters
from rvsemu.observing import MASKS, ForwardModel, NoiseModel, Observation
from rvsemu.observing.continuum import Projection, White
from rvsemu.observing.noise import RVS_NOISE_CORRELATION, correlation_for

RVS = 8460.0 + 0.1 * np.arange(2401)
SUN = {"teff": 5777.0, "logg": 4.44, "vsini": 8.0, "mh": 0.0, "vmic": 1.2, "resolution": 11500.0}


@pytest.fixture(scope="module")
def emulator():
    """The shipped networks taken as exact: what is injected then comes from the very model that is fitted."""
    default = rvsemu.shipped()
    return dataclasses.replace(default, error=ErrorModel(default.error.teff, 0 * default.error.sigma))


@pytest.fixture(scope="module")
def emulator64(emulator):
    """The same in double precision, for finite differences."""
    return in_double_precision(emulator)


fit = functools.partial(fit_real, model_error=None)
"""For spectra that come from the model that is fitted."""


def observe(emulator, labels=SUN, velocity=0.0, snr=200.0, seed=None, wave=RVS, smooth=1):
    """A star in vacuum, receding, with a sloping continuum and Gaussian noise (mean of `smooth` pixels, 1 % white)."""
    beta = velocity / 299792.458
    star = emulator.spectrum(wavelength=wave / np.sqrt((1 + beta) / (1 - beta)), medium="vacuum", **labels)
    x = (wave - wave.mean()) / np.ptp(wave)
    flux = star.flux.value * (1.01 + 0.05 * x - 0.03 * x**2)
    if seed is not None:
        white = np.random.default_rng(seed).normal(size=len(wave) + smooth - 1)
        noise = np.convolve(white, np.ones(smooth), "valid") / np.sqrt(smooth)
        if smooth > 1:
            noise = np.sqrt(0.99) * noise + 0.1 * np.random.default_rng([seed, 1]).normal(size=len(wave))
        flux = flux + noise / snr
    return Spectrum(
        spectral_axis=wave * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(wave), 1 / snr)),
        meta={"medium": "vacuum", "source_id": 123456789012345678},
    )


def replace(spectrum, **changes):
    parts = {k: getattr(spectrum, k) for k in ("spectral_axis", "flux", "uncertainty", "mask", "meta")}
    return Spectrum(**(parts | changes))


def values(result, names=None):
    return np.array([result.labels[n].value for n in names or result.labels])


@pytest.fixture(scope="module")
def sun(emulator):
    return observe(emulator, seed=1)


@pytest.fixture(scope="module")
def result(sun, emulator):
    return fit(sun, emulator=emulator, noise_correlation=())


STARS = {
    "cool dwarf": ({"teff": 4300, "logg": 4.6, "vsini": 4, "mh": 0.1}, -31.0),
    "giant": ({"teff": 4600, "logg": 2.3, "vsini": 3, "mh": -0.6}, 64.0),
    "metal-poor": ({"teff": 5600, "logg": 3.8, "vsini": 5, "mh": -1.3}, 2.0),
    "F star": ({"teff": 6700, "logg": 4.1, "vsini": 45, "mh": -0.2}, -77.0),
    "fast A star": ({"teff": 8600, "logg": 4.0, "vsini": 220, "mh": 0.2}, 12.0),
    "late B star": ({"teff": 12500, "logg": 3.9, "vsini": 80, "mh": 0.0}, 25.0),
}


@pytest.mark.parametrize("name", STARS)
def test_recovers_injected_labels(name, emulator):
    labels, velocity = STARS[name]
    truth = SUN | labels
    found = fit(
        observe(emulator, truth, velocity, seed=3),
        emulator=emulator,
        priors={"resolution": (11500, 200), "vmic": (1.2, 0.5)},
        noise_correlation=(),
    )
    truth = truth | {"radial_velocity": velocity}
    assert 0.9 < found.reduced_chi2 < 1.1
    assert found.residual_rms == pytest.approx(1 / 200, rel=0.1)
    for label, value in truth.items():
        assert abs(found.labels[label].value - value) < 4 * found.errors[label].value, label
    assert found.errors["teff"] < 0.02 * found.teff
    assert found.errors["logg"].value < 0.3


def test_noiseless_spectrum_gives_exact_labels_and_continuum(emulator):
    spectrum = observe(emulator, velocity=-8.0)
    found = fit(spectrum, emulator=emulator, priors={}, fixed={"resolution": 11500})
    assert found.teff.value == pytest.approx(5777, abs=3)
    assert found.logg.value == pytest.approx(4.44, abs=0.01)
    assert found.radial_velocity.value == pytest.approx(-8, abs=0.02)
    x = (RVS - RVS.mean()) / np.ptp(RVS)
    np.testing.assert_allclose(found.continuum, 1.01 + 0.05 * x - 0.03 * x**2, atol=1e-3)
    np.testing.assert_allclose(found.model.flux.value, spectrum.flux.value, atol=1e-3)


def test_result_is_complete(result, sun):
    assert result.teff.unit == u.K
    assert result.radial_velocity.unit == u.km / u.s
    assert result.resolution.unit == u.dimensionless_unscaled
    assert result.free_names == (*SUN, "radial_velocity")
    diagonal = np.sqrt(np.diag(result.covariance))
    np.testing.assert_allclose(diagonal, [result.errors[n].value for n in result.free_names])
    assert np.linalg.eigvalsh(result.covariance / np.outer(diagonal, diagonal)).min() > 0
    used = ~result.observed.mask
    assert result.n_pixels == used.sum()
    residual = (sun.flux - result.model.flux).value[used] * 200
    assert result.chi2 == pytest.approx(np.sum(residual**2), rel=1e-6)
    assert result.model.flux.shape == sun.flux.shape == result.continuum.shape
    assert result.meta["source_id"] == 123456789012345678
    assert result.meta["recipe"] == rvsemu.shipped().info["recipe"]
    for text in ("teff", "+-", "reduced chi2", "flags"):
        assert text in repr(result)
    assert "teff" in dir(result)
    with pytest.raises(AttributeError, match="its labels are teff"):
        _ = result.temperature


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_kinds_of_uncertainty_agree(kind, sun, result, emulator):
    power = {VarianceUncertainty: 2, InverseVariance: -2}[kind]
    other = fit(
        replace(sun, uncertainty=kind(np.full(len(RVS), 200.0**-power))),
        emulator=emulator,
        noise_correlation=(),
    )
    np.testing.assert_allclose(values(other), values(result), rtol=1e-6)


def test_units_and_medium_do_not_matter(sun, result, emulator):
    flux = u.Unit("erg / (s cm2 AA)")
    scaled = replace(
        sun,
        spectral_axis=RVS / 1e4 * u.um,
        flux=3e-14 * sun.flux.value * flux,
        uncertainty=StdDevUncertainty(np.full(len(RVS), 3e-14 / 200), unit=flux),
        meta={},
    )
    other = fit(scaled, emulator=emulator, medium="vacuum", noise_correlation=())
    np.testing.assert_allclose(values(other), values(result), rtol=1e-3, atol=1e-3)
    assert other.model.flux.unit == flux
    assert other.residual_rms == pytest.approx(result.residual_rms, rel=1e-3)

    air = rvsemu.physics.wavelengths.vacuum_to_air(RVS)
    other = fit(
        replace(sun, spectral_axis=air * u.AA, meta={"medium": "air"}),
        emulator=emulator,
        noise_correlation=(),
    )
    np.testing.assert_allclose(values(other), values(result), rtol=1e-3, atol=1e-3)


def test_sigma_argument_replaces_the_uncertainty(sun, result, emulator):
    bare = replace(sun, uncertainty=None)
    other = fit(bare, emulator=emulator, sigma=0.005 * u.dimensionless_unscaled, noise_correlation=())
    np.testing.assert_allclose(values(other), values(result), rtol=1e-6)


def test_result_survives_pickling(result):
    again = pickle.loads(pickle.dumps(result))
    assert again.teff == result.teff
    np.testing.assert_array_equal(again.model.flux, result.model.flux)


# ---------------------------------------------------------------- derivatives and covariance


THETA = np.array([5700.0, 4.3, 12.0, -0.1, 1.4, 11800.0, 3.0])
STEPS = np.array([1.0, 1e-3, 1e-2, 1e-3, 1e-3, 5.0, 1e-2])


def _differences(function, x=THETA):
    rows = [(function(x + d) - function(x - d)) / (2 * h) for h, d in zip(STEPS, np.diag(STEPS), strict=True)]
    return np.stack(rows, axis=-1)


def test_model_jacobian_against_finite_differences(emulator64):
    model = ForwardModel(emulator64, rvsemu.physics.wavelengths.vacuum_to_air(RVS))
    flux, jacobian = model.jacobian(THETA)
    np.testing.assert_allclose(flux, model.flux(THETA), atol=1e-12)
    expected = _differences(lambda x: model.flux(x)[0])
    scale = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(jacobian[0].T / scale, expected / scale, atol=1e-4)


def test_model_of_many_is_that_of_each(emulator):
    model = ForwardModel(emulator, rvsemu.physics.wavelengths.vacuum_to_air(RVS))
    theta = THETA + np.outer([0, 1, -2], 30 * STEPS)
    np.testing.assert_allclose(model.flux(theta), np.vstack([model.flux(t) for t in theta]), atol=1e-6)
    together, apart = model.jacobian(theta)[1], np.vstack([model.jacobian(t)[1] for t in theta])
    np.testing.assert_allclose(together, apart, atol=1e-5 * np.abs(apart).max())


def _projection(emulator, spectrum):
    likelihood = Likelihood(
        Observation.from_spectrum(spectrum, emulator, velocities=(-100, 100)),
        emulator,
        Parameters.make(emulator.labels),
        NoiseModel(np.array([1.0, 0.6, 0.2])),
        theta=THETA,
    )
    return likelihood.model, likelihood._weighted.projection


def test_normal_equations_against_finite_differences(emulator64):
    """The gradient is exact everywhere, the Gauss-Newton Hessian where the residual is zero."""
    model, projection = _projection(emulator64, observe(emulator64, seed=2))

    def chi2(x):
        return projection.solve(model.flux(x)[None]).chi2[0]

    flux, slopes = model.jacobian(THETA)
    gradient, _ = projection.normal_equations(projection.solve(flux[None]), slopes[None])
    expected = _differences(chi2)[0] / 2
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-3, atol=1e-4 * np.abs(expected * STEPS).max())

    names = emulator64.labels.names
    exact = observe(emulator64, dict(zip(names, THETA[:-1], strict=True)), THETA[-1])
    model, projection = _projection(emulator64, exact)
    flux, slopes = model.jacobian(THETA)
    _, hessian = projection.normal_equations(projection.solve(flux[None]), slopes[None])

    def gradient_at(x):
        flux, slopes = model.jacobian(x)
        return projection.normal_equations(projection.solve(flux[None]), slopes[None])[0][0, 0]

    expected = _differences(gradient_at)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(hessian[0, 0] / scale, expected / scale, atol=3e-3)


def test_continuum_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    model, basis, flux, sigma = (
        1 - 0.5 * rng.random(80),
        rng.normal(size=(3, 80)),
        rng.random(80),
        rng.random(80) + 0.5,
    )
    projection = Projection(flux[None], basis[None], White(sigma[None]))
    found = projection.solve(model[None, None])
    expected, chi2, *_ = np.linalg.lstsq((basis * (model / sigma)).T, flux / sigma, rcond=None)
    error = np.sqrt(np.diag(np.linalg.inv((basis / sigma * model) @ (basis / sigma * model).T)))
    np.testing.assert_allclose(found.coefficients[0, 0] / error, expected / error, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.chi2[0, 0], chi2[0], rtol=1e-12)


def test_errors_cover_the_scatter_of_correlated_noise(emulator):
    """Noise as means of three white pixels has the correlation 1, 2/3, 1/3, and 1 % of the variance is white."""
    labels = SUN | {"vsini": 30.0}
    settings = {"fixed": {"vmic": 1.2, "resolution": 11500}, "emulator": emulator, "model_error": None}
    stars = [observe(emulator, labels, snr=100, seed=seed, smooth=3) for seed in range(60)]
    settings |= {"scale_errors": False, "priors": {}}
    results = fit_many(stars, noise_correlation=(1, 0.66, 0.33), **settings)
    white = fit_many(stars, noise_correlation=(), **settings)
    names = results[0].free_names
    truth = np.array([(labels | {"radial_velocity": 0.0})[n] for n in names])
    errors = np.array([[r.errors[n].value for n in names] for r in results])
    pulls = (np.array([values(r, names) for r in results]) - truth) / errors
    assert np.all(np.abs(pulls.mean(axis=0)) < 3 / np.sqrt(60)), names
    rms = np.sqrt(np.mean(pulls**2, axis=0))
    assert np.all(np.abs(rms - 1) < 3 / np.sqrt(120)), dict(zip(names, rms, strict=True))
    assert np.mean([r.reduced_chi2 for r in results]) == pytest.approx(1, abs=0.02)
    narrow = np.array([[r.errors[n].value for n in names] for r in white]) / errors
    assert np.all(narrow.mean(axis=0) < 0.75)  # as white noise: errors that are too small


def test_noise_correlation_of_the_rvs_only_on_its_grid(sun, emulator):
    def rho(spectrum, *given):
        return correlation_for(Observation.from_spectrum(spectrum, emulator), *given).tolist()

    assert rho(sun) == list(RVS_NOISE_CORRELATION)
    assert rho(observe(emulator, wave=8460 + 0.25 * np.arange(961))) == [1]
    assert rho(sun, (1, 0.4)) == [1, 0.4]
    with pytest.raises(SpectrumError, match="starting with 1"):
        rho(sun, (0.5, 0.2))
    with pytest.raises(SpectrumError, match="no noise has"):
        rho(sun, (1, 0.77, 0.33))
    with pytest.raises(SpectrumError, match="'pink' is unknown"):
        rho(sun, "pink")


def test_emulator_error_enters_weights_and_errors(sun, result, emulator):
    rough = dataclasses.replace(emulator, error=ErrorModel(emulator.error.teff, 0 * emulator.error.sigma + 0.02))
    other = fit(sun, emulator=rough, noise_correlation=())
    # smooth errors allow for the slow part of the white noise, whose share is the width of their correlation
    assert 0.5 < other.reduced_chi2 / result.reduced_chi2 < 0.85
    assert other.errors["teff"] > 3 * result.errors["teff"]
    used = ~other.observed.mask
    np.testing.assert_allclose(other.model.uncertainty.array[used], 0.02 * other.continuum[used])


def test_misfit_widens_the_errors(sun, emulator):
    small = replace(sun, uncertainty=StdDevUncertainty(np.full(len(RVS), 0.0025)))
    plain, scaled = (fit(small, emulator=emulator, noise_correlation=(), scale_errors=s) for s in (False, True))
    assert plain.reduced_chi2 == pytest.approx(4, rel=0.1)
    assert float(scaled.errors["teff"] / plain.errors["teff"]) == pytest.approx(np.sqrt(plain.reduced_chi2), rel=0.1)
    np.testing.assert_allclose(values(plain), values(scaled))


# ---------------------------------------------------------------- fixed, priors, bounds, masks


def test_fixed_labels_stay(sun, emulator):
    found = fit(sun, emulator=emulator, fixed={"vmic": 1000 * u.m / u.s, "logg": 4.4}, radial_velocity=1.5)
    assert (found.vmic.value, found.logg.value, found.radial_velocity.value) == (1.0, 4.4, 1.5)
    assert found.free_names == ("teff", "vsini", "mh", "resolution")
    assert found.covariance.shape == (4, 4)
    assert found.errors["vmic"] == 0 * u.km / u.s
    assert "(fixed)" in repr(found)


def test_prior_and_data_are_weighted_by_their_precision(sun, emulator):
    fixed = {k: v for k, v in SUN.items() if k != "mh"} | {"radial_velocity": 0.0}
    free = fit(sun, emulator=emulator, fixed=fixed, priors={}, noise_correlation=(), scale_errors=False)
    x, s = free.mh.value, free.errors["mh"].value
    pulled = fit(
        sun,
        emulator=emulator,
        fixed=fixed,
        priors={"mh": (x + s, s)},
        noise_correlation=(),
        scale_errors=False,
    )
    assert pulled.mh.value == pytest.approx(x + s / 2, abs=0.05 * s)
    assert pulled.errors["mh"].value == pytest.approx(s / np.sqrt(2), rel=0.02)
    assert pulled.meta["priors"] == {"mh": (x + s, s)}


def test_default_priors_can_be_turned_off(result, sun, emulator):
    assert result.meta["priors"] == DEFAULT_PRIORS
    found = fit(sun, emulator=emulator, priors={}, noise_correlation=())
    assert found.meta["priors"] == {}
    assert found.errors["resolution"] > result.errors["resolution"]
    fixed = fit(sun, emulator=emulator, fixed={"vmic": 1.2}, noise_correlation=())
    assert set(fixed.meta["priors"]) == {"resolution"}


def test_a_label_without_effect_gets_the_error_of_its_range():
    """A featureless model teaches nothing: errors are those of a uniform distribution, L / sqrt(12)."""
    default = rvsemu.shipped()
    flat = Layer(np.zeros((6, len(default.wavelength))), np.ones(len(default.wavelength)), "linear")
    blank = Emulator(
        default.labels,
        DenseNetwork([Layer(np.eye(6), np.zeros(6))]),
        DenseNetwork([flat]),
        default.wavelength,
        default.medium,
        default.error,
    )
    spectrum = observe(default, seed=5)
    found = fit(spectrum, emulator=blank, priors={}, scale_errors=False)
    expected = np.append(default.labels.upper - default.labels.lower, 200) / np.sqrt(12)
    np.testing.assert_allclose([found.errors[n].value for n in found.free_names], expected, rtol=1e-3)


def test_masks(emulator, sun, result):
    wave = RVS
    used = ~result.observed.mask
    for centre in (8500.36, 8544.44, 8664.52):  # vacuum
        assert not used[np.abs(wave - centre) < 1.45].any()
        assert used[(np.abs(wave - centre) > 1.6) & (np.abs(wave - centre) < 3)].all()
    assert not used[:10].any()
    assert not used[-10:].any()
    assert set(MASKS) == {"calcium-cores", "edges"}

    everything = fit(sun, emulator=emulator, mask=None)
    assert everything.n_pixels == 2401
    band = fit(sun, emulator=emulator, mask=["edges", (855.005, 856.005) * u.nm])
    assert band.n_pixels == result.n_pixels + 90 - 100
    assert fit(sun, emulator=emulator, mask=(8550.05, 8560.05)).n_pixels == 2301

    moved = fit(observe(emulator, velocity=80.0, seed=1), emulator=emulator)
    centre = 8544.44 * (1 + 80 / 299792.458)
    left_out = wave[moved.observed.mask & (np.abs(wave - centre) < 5)]
    assert left_out.mean() == pytest.approx(centre, abs=0.1)


def test_bad_pixels_are_left_out(sun, result, emulator):
    flux, error = sun.flux.value.copy(), sun.uncertainty.array.copy()
    mask = np.zeros(len(flux), dtype=bool)
    flux[100:120], error[900:910], error[910:920] = np.nan, 0.0, np.inf
    flux[1500], mask[1500] = 40.0, True
    spectrum = replace(sun, flux=flux * u.dimensionless_unscaled, uncertainty=StdDevUncertainty(error), mask=mask)
    found = fit(spectrum, emulator=emulator, noise_correlation=())
    assert found.n_pixels == result.n_pixels - 41
    assert abs(found.teff - result.teff) < result.errors["teff"]


def test_any_flux_outside_of_the_emulator_is_ignored(emulator, sun):
    wave = np.arange(8300.0, 8900.0, 0.1)
    flux = np.ones(len(wave))
    inside = (wave > 8420) & (wave < 8780)
    flux[inside] = observe(emulator, wave=wave[inside]).flux.value
    spectrum = Spectrum(spectral_axis=wave * u.AA, flux=flux * u.dimensionless_unscaled)
    found = fit(spectrum, emulator=emulator, medium="vacuum", sigma=0.005, mask=[(8300, 8420), (8780, 8900)])
    assert found.teff.value == pytest.approx(5777, abs=20)
    assert np.isnan(found.model.flux.value[:100]).all()


# ---------------------------------------------------------------- flags


def test_good_fit_has_no_flags(result):
    assert result.flags == ()


def test_flag_at_bound(emulator):
    found = fit(observe(emulator, velocity=20.0, seed=1), emulator=emulator, radial_velocity=(-5, 5))
    assert "at-bound:radial_velocity" in found.flags
    assert found.radial_velocity.value == pytest.approx(5, abs=0.02)


def test_flag_not_converged(sun, emulator, monkeypatch):
    monkeypatch.setattr(module, "_STEPS", 1)
    monkeypatch.setattr(module, "_ROUGH_STEPS", 1)
    assert "not-converged" in fit(sun, emulator=emulator).flags


def test_flag_outside_domain(sun, emulator):
    found = fit(sun, emulator=emulator, fixed={"vmic": -0.1}, extrapolate=True)
    assert "outside-domain" in found.flags


def test_flag_few_good_pixels(sun, emulator):
    found = fit(sun, emulator=emulator, mask=["calcium-cores", (8575, 8800)])
    assert "few-good-pixels" in found.flags


def test_flag_poor_fit(sun, emulator):
    emission = 0.5 * np.exp(-0.5 * ((RVS - 8600) / 5) ** 2)
    found = fit(replace(sun, flux=sun.flux + emission), emulator=emulator)
    assert "poor-fit" in found.flags


# ---------------------------------------------------------------- bad input

N = len(RVS)
BAD_SPECTRA = {
    "has no uncertainty: set": {"uncertainty": None},
    "UnknownUncertainty: use one of": {"uncertainty": UnknownUncertainty(np.ones(N))},
    "has no valid pixel": {"flux": np.full(N, np.nan) * u.dimensionless_unscaled},
    "Only 9 good pixels": {"mask": np.arange(N) > 30},
    "air or in vacuum": {"meta": {}},
    "'ether' is unknown": {"meta": {"medium": "ether"}},
    "not in the emulator's": {"spectral_axis": (RVS - 3000) * u.AA},
    "give wavelengths": {"spectral_axis": np.linspace(3.5e14, 3.4e14, N) * u.Hz},
}


@pytest.mark.parametrize("message", BAD_SPECTRA)
def test_bad_spectrum(message, sun, emulator):
    with pytest.raises(SpectrumError, match=message):
        fit(replace(sun, **BAD_SPECTRA[message]), emulator=emulator)


def test_two_dimensional_spectrum(sun, emulator):
    flux = np.vstack([sun.flux, sun.flux])
    both = Spectrum(spectral_axis=sun.spectral_axis, flux=flux, meta=sun.meta)
    with pytest.raises(SpectrumError, match="one at a time"):
        fit(both, emulator=emulator)
    with pytest.raises(SpectrumError, match="is a ndarray"):
        fit(sun.flux.value, emulator=emulator)


BAD_ARGUMENTS = [
    ({"medium": "air"}, SpectrumError, "contradicts"),
    ({"sigma": np.ones(3)}, SpectrumError, "sigma does not fit"),
    ({"sigma": 1 * u.K}, SpectrumError, "sigma does not fit"),
    ({"continuum_degree": -1}, SpectrumError, "whole number from 0 to 20"),
    ({"mask": "telluric"}, SpectrumError, "'telluric' is unknown"),
    ({"mask": [(8600, 8500)]}, SpectrumError, "lower wavelength first"),
    ({"mask": [(8500, 8600) * u.K]}, SpectrumError, "is not a range"),
    ({"mask": [(8000, 9000)]}, SpectrumError, "Only 0 good pixels"),
    ({"noise_correlation": (2, 1)}, SpectrumError, "starting with 1"),
    ({"fixed": {"age": 5}}, LabelError, "no label 'age'"),
    ({"fixed": {"teff": 5000 * u.km}}, LabelError, "has the unit 'km'"),
    ({"fixed": {"teff": 50000}}, LabelError, "outside 3600 to 15000"),
    ({"fixed": {"teff": [5000, 6000]}}, LabelError, "give one number"),
    ({"fixed": SUN, "radial_velocity": 0}, LabelError, "leave at least one free"),
    ({"fixed": {"vmic": 1}, "priors": {"vmic": (1, 1)}}, LabelError, "choose one"),
    ({"priors": {"vmic": 1}}, LabelError, "give \\(mean, sigma\\)"),
    ({"priors": {"vmic": (1, 0)}}, LabelError, "sigma must be positive"),
    ({"priors": {"vmic": (np.nan, 1)}}, LabelError, "not finite"),
    ({"radial_velocity": (5, -5)}, LabelError, "lowest, highest"),
    ({"radial_velocity": 5 * u.AA}, LabelError, "radial_velocity"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments(arguments, error, message, sun, emulator):
    with pytest.raises(error, match=message):
        fit(sun, emulator=emulator, **arguments)


# ---------------------------------------------------------------- tables, other labels, real stars


def test_table_round_trip(tmp_path, result, sun, emulator):
    other = fit(sun, emulator=emulator, fixed={"vmic": 1.0}, radial_velocity=(5, 9))
    other.meta.pop("source_id")
    table = vstack([result.to_table(), other.to_table()])
    path = tmp_path / "fits.ecsv"
    table.write(path)
    again = QTable.read(path)
    assert again.colnames == table.colnames
    assert again["source_id"].tolist() == [123456789012345678, -1]
    assert again["teff"].unit == u.K
    np.testing.assert_allclose(again["teff"].value, [result.teff.value, other.teff.value])
    np.testing.assert_allclose(again["vmic_error"].value, [result.errors["vmic"].value, 0.0])
    assert again["flags"].tolist() == ["none", ",".join(other.flags)]
    assert "at-bound:radial_velocity" in again["flags"][1]


def test_emulator_with_other_labels(emulator):
    """Five labels: the resolution is built in."""
    first, *rest = emulator.label_network.layers
    at = emulator.labels["resolution"].scaled(np.array(11500.0))
    fewer = dataclasses.replace(
        emulator,
        labels=type(emulator.labels)(emulator.labels.labels[:5]),
        label_network=DenseNetwork(
            [Layer(first.weights[:5], first.bias + at * first.weights[5], first.activation), *rest]
        ),
    )
    labels = {k: v for k, v in SUN.items() if k != "resolution"}
    found = fit(observe(fewer, labels, seed=8), emulator=fewer, noise_correlation=())
    assert found.free_names == (*labels, "radial_velocity")
    assert abs(found.teff.value - 5777) < 4 * found.errors["teff"].value
    assert "resolution" not in found.to_table().colnames


def test_kepler_93():
    """Literature: 5669 K, 4.468 (asteroseismic), -0.18."""
    spectrum = Spectrum.read(rvsemu.example_path("kepler-93"), format="Gaia DR3 RVS")
    found = rvsemu.fit(spectrum)
    assert abs(found.teff.value - 5669) < 100
    assert abs(found.logg.value - 4.468) < 0.2
    assert abs(found.mh.value + 0.18) < 0.15
    assert abs(found.radial_velocity.value) < 2
    noise = np.nanmedian(spectrum.uncertainty.array / spectrum.flux.value)
    assert found.residual_rms < 1.35 * noise
    assert "poor-fit" not in found.flags
    assert found.to_table()["source_id"][0] == 2052747119115620352
