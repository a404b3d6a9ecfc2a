"""Derivatives and covariances of fits: against finite differences, dense matrices and the scatter of simulations."""

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from emulator_fixtures import in_double_precision
from fit_fixtures import RVS, SUN, fit, observe, replace, values, with_error

import rvsemu
from rvsemu.fitting import Likelihood, Settings, fit_many
from rvsemu.fitting.problem import Problem
from rvsemu.observing import ForwardModel
from rvsemu.observing.continuum import Projection, White


@pytest.fixture(scope="module")
def emulator64(emulator):
    """The same in double precision, for finite differences."""
    return in_double_precision(emulator)


THETA = np.array([5700.0, 4.3, 12.0, -0.1, 1.4, 11800.0, 0.1, 3.0])
STEPS = np.array([1.0, 1e-3, 1e-2, 1e-3, 1e-3, 5.0, 1e-3, 1e-2])


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


def test_values_that_are_kept_are_those_of_the_same_labels(emulator):
    """The model keeps its last values for one star, and does not give them for other labels, changed in place."""
    model, by = ForwardModel(emulator, rvsemu.physics.wavelengths.vacuum_to_air(RVS)), np.array([0, 3, 7])
    theta = THETA.copy()
    for change in (0.0, 100.0, -100.0, 0.0, 300.0):
        theta[0] += change
        fresh = ForwardModel(emulator, model.wavelength)
        for asked in (None, by, None):
            for got, expected in zip(model.jacobian(theta, asked), fresh.jacobian(theta, asked), strict=True):
                assert np.array_equal(got, expected)
                with pytest.raises(ValueError, match="read-only"):
                    got[:] = 0.0
        assert np.array_equal(model.flux(theta), ForwardModel(emulator, model.wavelength).flux(theta))


@pytest.mark.parametrize("sets", [1, 3, 40])
def test_likelihoods_of_many_places_are_those_of_each(emulator64, sets):
    """Several for each star, also if they are more than go into one product of matrices."""
    settings = Settings(emulator=emulator64)
    problem = Problem([settings.observe(observe(emulator64, seed=seed)) for seed in (1, 2, 3)], settings)
    start = np.delete(THETA, 6)
    weighted = problem.weighted(np.arange(3), np.tile(start, (3, 1)))
    x = start + np.random.default_rng(1).normal(size=(3, sets, 7)) * np.delete(10 * STEPS, 6)
    together = problem.log_likelihood(weighted, x)
    each = [Likelihood(problem, star, start).log_likelihood(x[star]) for star in range(3)]
    assert together.shape == (3, sets)
    units = np.log(problem.stack.scale) * (weighted.used.sum(axis=1) - len(problem.stack.basis))
    np.testing.assert_allclose(together - units[:, None], each, rtol=1e-7)


def _projection(emulator, spectrum):
    settings = Settings(emulator=emulator, noise_correlation=(1.0, 0.6, 0.2), model_error=None)
    problem = Problem([settings.observe(spectrum)], settings)
    likelihood = Likelihood(problem, 0, np.delete(THETA, 6))  # [alpha/M] is held
    return likelihood.model, likelihood.projection


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


def test_emulator_error_enters_weights_and_errors(sun, result, emulator):
    rough = with_error(emulator, 0.02)
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
