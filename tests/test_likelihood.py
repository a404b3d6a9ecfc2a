"""The likelihood against dense matrices, numerical integration and an independent Gaussian-process library."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from emulator_fixtures import in_double_precision
from scipy.integrate import dblquad, quad
from scipy.stats import multivariate_normal
from specutils import Spectrum

import rvsemu
from rvsemu.errors import LabelError, SpectrumError
from rvsemu.fitting import Function, Likelihood, Normal, Settings, TruncatedNormal, Uniform, prepare
from rvsemu.fitting.problem import Problem
from rvsemu.observing import ModelError
from rvsemu.observing.correlation import LagCorrelation, SplineCorrelation, correlation_band
from rvsemu.observing.covariance import Covariance, banded, dense
from rvsemu.observing.noise import EMULATOR_ERROR, RVS_NOISE, RVS_NOISE_CORRELATION

WAVE = 8500.0 + 0.1 * np.arange(400)
THETA = np.array([5700.0, 4.3, 12.0, -0.1, 1.4, 11800.0, 3.0])
SPREAD = np.array([80.0, 0.2, 4.0, 0.1, 0.3, 300.0, 1.0])


@pytest.fixture(scope="module")
def star():
    emulator = rvsemu.shipped()
    labels = dict(zip(emulator.labels.names[:6], THETA[:6], strict=True))
    flux = emulator.spectrum(wavelength=WAVE, medium="vacuum", **labels).flux.value
    rng = np.random.default_rng(3)
    flux = 1.3 * flux * (1 + 1e-3 * (WAVE - 8520)) + rng.normal(size=len(WAVE)) * 0.013
    flux[[40, 41, 300]] = np.nan
    sigma = 0.013 * (1 + 0.3 * np.sin(WAVE))
    return Spectrum(
        spectral_axis=WAVE * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(sigma),
        meta={"medium": "vacuum"},
    )


SETTINGS = {"continuum_degree": 2, "mask": (8515, 8517), "jitter": 0.004, "robust": False, "smooth_sigma": False}


def likelihood_of(star, **settings):
    return prepare(star, **SETTINGS | settings)


@pytest.fixture(scope="module")
def likelihood(star):
    return likelihood_of(star)


@pytest.fixture(scope="module")
def points(likelihood):
    x = THETA + SPREAD * np.random.default_rng(1).normal(size=(8, 7))
    parameters = likelihood.parameters
    return np.clip(x, parameters.lower[parameters.free], parameters.upper[parameters.free])


def written_out(likelihood, star):
    """Data, covariance and continuum basis of the good pixels as dense arrays, from the definitions."""
    noise, emulator = likelihood.noise, rvsemu.shipped()
    good = np.flatnonzero(likelihood.used)
    flux, sigma = star.flux.value[likelihood.pixels][good], star.uncertainty.array[likelihood.pixels][good]
    level = likelihood.level[good]
    wave = likelihood.wavelength[good]
    apart = np.abs(wave[:, None] - wave)
    start = likelihood.parameters.full(likelihood.start)
    model = likelihood.model.flux(start)[0, good].astype(float)
    error = noise.model_error.sigma(model) * level
    out = np.outer(sigma, sigma) * noise.correlation(apart)
    out += np.outer(error, error) * noise.model_error.correlation(apart)
    at = likelihood.parameters.velocity
    rest = likelihood.wavelength[good] * np.sqrt((1 - start[at] / 299792.458) / (1 + start[at] / 299792.458))
    variance, low_rank = emulator.error_covariance(start[:at])
    low_rank = np.array([np.interp(rest, emulator.wavelength, row) for row in low_rank]) * level
    error = np.sqrt(np.interp(rest, emulator.wavelength, variance)) * level
    out += np.outer(error, error) * EMULATOR_ERROR(apart)
    out += np.diag((noise.jitter * level) ** 2 + likelihood.doubt.variance[0, good] * likelihood.observation.scale**2)
    return flux, out + low_rank.T @ low_rank, likelihood.basis[:, good], good


def brute_force(likelihood, star, points):
    """log L with the dense covariance of the data given a flat prior on the continuum, by generalised inverse."""
    flux, covariance, basis, good = written_out(likelihood, star)
    inverse = np.linalg.inv(covariance)
    out = []
    for model in likelihood.model.flux(likelihood.parameters.full(points))[:, good].astype(float):
        a = (basis * model).T
        normal = a.T @ inverse @ a
        best = np.linalg.solve(normal, a.T @ inverse @ flux)
        residual = flux - a @ best
        determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
        free = len(flux) - len(best)
        out.append(-0.5 * (residual @ inverse @ residual + determinants + free * np.log(2 * np.pi)))
    return np.array(out) + likelihood.doubt.log_odds


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"noise_correlation": (), "model_error": None, "jitter": 0.0},
        {"noise_correlation": (1, 0.4), "continuum_degree": 0},
        {"model_error": ModelError(0.01, 0.1, 4.5), "continuum_degree": 5},
        {"robust": True},
    ],
)
def test_against_dense_matrices(star, points, settings):
    likelihood = likelihood_of(star, **settings)
    if likelihood.noise.model_error is None:
        object.__setattr__(likelihood.noise, "model_error", ModelError(0.0, 0.0, 0.1))  # for `written_out` alone
    expected = brute_force(likelihood, star, points)
    np.testing.assert_allclose(likelihood.log_likelihood(points), expected, rtol=1e-8)


def test_continuum_against_numerical_integration(star, points):
    """The integral of the likelihood over the coefficients, with a flat prior, is what log_likelihood says."""
    for degree, integrate in ((0, quad), (1, dblquad)):
        likelihood = likelihood_of(star, continuum_degree=degree)
        flux, covariance, basis, good = written_out(likelihood, star)
        model = likelihood.model.flux(likelihood.parameters.full(points[0]))[0, good].astype(float)
        a = (basis * model).T
        gaussian = multivariate_normal(cov=covariance)
        normal = a.T @ np.linalg.solve(covariance, a)
        best = np.linalg.solve(normal, a.T @ np.linalg.solve(covariance, flux))
        top, width = gaussian.logpdf(flux - a @ best), 1 / np.sqrt(np.diag(normal))

        def density(*c, a=a, best=best, width=width, gaussian=gaussian, top=top, flux=flux):
            return np.exp(gaussian.logpdf(flux - a @ (best + width * np.array(c))) - top)

        limits = (-9, 9) * (degree + 1)
        integral = integrate(density, *limits, epsabs=1e-10)[0] * np.prod(width)
        assert likelihood.log_likelihood(points[0])[0] == pytest.approx(top + np.log(integral), rel=1e-8)


def test_against_an_independent_gaussian_process(star, likelihood, points):
    """tinygp (Foreman-Mackey), with its banded noise and a linear kernel for the low rank.

    log p(y | continuum) is quadratic in the coefficients: three values along each of them give the integral.
    """
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    tinygp = pytest.importorskip("tinygp")
    flux, covariance, basis, good = written_out(likelihood, star)
    low_rank = likelihood.model.error(likelihood.parameters.full(likelihood.start))[1][:, good]
    low_rank = low_rank * likelihood.level[good]
    band = covariance - low_rank.T @ low_rank
    reach = 20
    off = np.zeros((len(flux), reach))
    for lag in range(1, reach + 1):
        off[:-lag, lag - 1] = np.diag(band, lag)
    noise = tinygp.noise.Banded(diag=np.diag(band), off_diags=off)
    process = tinygp.GaussianProcess(tinygp.kernels.DotProduct(), low_rank.T, noise=noise)
    model = likelihood.model.flux(likelihood.parameters.full(points[0]))[0, good].astype(float)
    a, p = (basis * model).T, len(basis)

    centre = np.linalg.lstsq(a, flux, rcond=None)[0]
    step = 1e-3

    def at(*which):
        return float(process.log_probability(flux - a @ (centre + step * np.sum(np.eye(p)[list(which)], axis=0))))

    zero = at()
    one = np.array([at(i) for i in range(p)])
    curvature = np.array([[at(i, j) - one[i] - one[j] + zero for j in range(p)] for i in range(p)]) / step**2
    slope = (one - zero) / step - 0.5 * step * np.diag(curvature)
    top = zero + 0.5 * slope @ np.linalg.solve(-curvature, slope)
    expected = top + 0.5 * p * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(-curvature)[1]
    assert likelihood.log_likelihood(points[0])[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("given", [{"noise_correlation": ()}, {"release": "Gaia DR3"}])
def test_free_jitter_is_jitter(star, points, given):
    """Whatever it is, and all in one call: at its bounds, far below the noise, like it, next to each other, above."""
    if "release" in given:
        labels = dict(zip(rvsemu.shipped().labels.names[:6], THETA[:6], strict=True))
        star = rvsemu.generate(**labels)
        star = rvsemu.simulate(star, signal_to_noise=100, radial_velocity=THETA[6], seed=1, **given)
        given = {"model_error": None}
    exact = in_double_precision(rvsemu.shipped())

    def at(start, jitter):
        settings = Settings(**SETTINGS | given | {"jitter": jitter, "emulator": exact})
        return Likelihood(Problem([settings.observe(star)], settings), 0, start)

    logs = np.array([-14.0, -11.3, -8.05, -7.0, -5.52, -5.5, -3.9, -2.0])
    near = THETA + 0.05 * (points - THETA)
    free = at(np.append(THETA, -2.0), "free")
    assert free.parameters.free_names[-1] == "log_jitter"
    got = free.log_likelihood(np.column_stack([near, logs]))
    expected = [at(THETA, np.exp(log)).log_likelihood(x)[0] for x, log in zip(near, logs, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)
    assert np.ptp(expected) > 500


def test_many_at_once_are_as_one_by_one(star, likelihood, points):
    exact = likelihood_of(star, emulator=in_double_precision(rvsemu.shipped()))
    together = exact.log_probability(points)
    np.testing.assert_allclose(together, [exact.log_probability(p)[0] for p in points], rtol=1e-8)
    apart = [likelihood.log_probability(p)[0] for p in points]
    np.testing.assert_allclose(likelihood.log_probability(points), apart, rtol=2e-6)  # float32
    assert likelihood.predict(points).shape == (len(points), len(likelihood.wavelength))


def test_probability_outside_and_for_nonsense(likelihood, points):
    x = points[[0, 0, 0, 0]].copy()
    x[1, 0], x[2, 3], x[3, 1] = 2000.0, np.nan, np.inf
    got = likelihood.log_probability(x)
    assert np.isfinite(got[0]) and np.all(got[1:] == -np.inf)
    assert np.all(likelihood.log_prior(x)[1:] == -np.inf)
    assert got[0] == pytest.approx(likelihood.log_likelihood(x[0])[0] + likelihood.log_prior(x[0])[0])


def test_prediction_is_near_the_data(star, likelihood):
    good = np.flatnonzero(likelihood.used)
    predicted = likelihood.predict(likelihood.start)[0]
    assert np.std((predicted - star.flux.value[likelihood.pixels])[good]) < 0.017


# ---------------------------------------------------------------- covariance


def toeplitz(rho, n):
    """Correlations at lags 0, 1, 2 ... of `n` pixels, as `banded` takes them."""
    return np.array([np.append(np.full(n - lag, value), np.zeros(lag)) for lag, value in enumerate(rho)])


@pytest.mark.parametrize("width", [1, 2, 18, 40])
@pytest.mark.parametrize("blocks", [False, True])
def test_covariance_against_dense(width, blocks):
    rng = np.random.default_rng(width)
    n = 301
    rho = np.maximum(1 - np.arange(width) / width, 0)
    bands = []
    for _ in range(2):
        used = rng.random(n) > 0.1
        bands.append(banded(toeplitz(rho, n), 1 + rng.random(n), used))
        bands[-1][0] += 0.3
    low_rank = rng.normal(size=(2, 5, n))
    covariance = Covariance(np.array(bands), low_rank)
    covariance = covariance.prepared() if blocks else covariance
    rows = rng.normal(size=(2, 3, n))
    for i, band in enumerate(bands):
        full = dense(band, low_rank[i])
        expected = rows[i] @ np.linalg.solve(full, rows[i].T)
        np.testing.assert_allclose(covariance.solve_pairs(rows)[i], expected, rtol=1e-9, atol=1e-9)
        assert covariance.log_determinant[i] == pytest.approx(np.linalg.slogdet(full)[1], rel=1e-10)
        one = covariance.take([i])
        np.testing.assert_allclose(one.solve_pairs(rows[[i]])[0], expected, rtol=1e-9, atol=1e-9)


def test_covariance_that_is_none():
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        Covariance(banded(toeplitz([1.0, 0.9, 0.0], 50), np.ones(50), np.ones(50, dtype=bool))[None])


def test_correlation_of_the_rvs_is_that_of_interpolated_noise():
    """Native pixels at many positions, interpolated linearly: measured on 4000 rows of simulated noise."""
    rng = np.random.default_rng(0)
    width, x = 2.45, np.arange(40.0)
    total = np.zeros((40, 40))
    for _ in range(400):
        nodes = np.arange(-10, 30) * width + width * rng.random()
        weights = np.maximum(1 - np.abs(x[:, None] - nodes) / width, 0)
        total += weights @ weights.T
    measured = np.array([np.diag(total, k).mean() for k in range(8)]) / np.diag(total).mean()
    np.testing.assert_allclose(measured, SplineCorrelation(width, 0.0)(np.arange(8)), atol=0.01)
    np.testing.assert_allclose(RVS_NOISE(0.1 * np.arange(8)), measured, atol=0.01)
    np.testing.assert_allclose(RVS_NOISE_CORRELATION, RVS_NOISE(0.1 * np.arange(5)))
    assert RVS_NOISE(0.5) == 0


@pytest.mark.parametrize("correlation", [RVS_NOISE, EMULATOR_ERROR, LagCorrelation((1.0, 0.4, 0.1), 0.1)])
def test_correlation_is_by_distance(correlation):
    """Rows dropped from a spectrum take their rows and columns of the matrix with them, and nothing else changes."""
    rng, wave = np.random.default_rng(2), 8460 + 0.1 * np.arange(300)
    kept = np.flatnonzero(rng.random(300) > 0.4)
    ones = np.ones(300), np.ones(300, dtype=bool)
    full = dense(banded(correlation_band(correlation, wave), *ones))
    some = dense(banded(correlation_band(correlation, wave[kept]), *(x[kept] for x in ones)))
    np.testing.assert_allclose(some, full[np.ix_(kept, kept)], atol=1e-9)
    np.testing.assert_allclose(full, correlation(np.abs(wave[:, None] - wave)), atol=1e-9)
    assert np.linalg.eigvalsh(some).min() > 0


def test_model_error():
    error = ModelError(base=0.003, depth=0.04, reach=1.8)
    np.testing.assert_allclose(error.sigma(np.array([1.0, 0.5])), [0.003, np.hypot(0.003, 0.02)])
    rho = error.correlation(0.1 * np.arange(20))
    assert rho[1] == pytest.approx(np.exp(-0.5 * (0.1 / (1.8 / 4.3)) ** 2), abs=0.01)
    assert rho[0] == 1 and np.all(np.diff(rho[:18]) < 0) and np.all(rho[18:] == 0)
    band = correlation_band(error.correlation, 0.1 * np.arange(200))
    assert len(band) == 18
    assert np.linalg.eigvalsh(dense(banded(band, np.ones(200), np.ones(200, dtype=bool)))).min() > 0


# ---------------------------------------------------------------- priors

LABEL = rvsemu.shipped().labels["teff"]


@pytest.mark.parametrize(
    "prior",
    [
        Uniform(4000, 6000),
        Normal(5000, 300),
        TruncatedNormal(5000, 300, 4900, 5600),
        Function(lambda x: -np.abs(x - 5000) / 300 - np.log(600)),
        Normal(5 * 1000 * u.K, 0.3 * u.kK) if hasattr(u, "kK") else Normal(5000 * u.K, 300 * u.K),
    ],
)
def test_priors_are_densities_with_these_slopes(prior):
    prior = prior.plain(LABEL)
    low, high = max(prior.lower, LABEL.lower), min(prior.upper, LABEL.upper)
    total = quad(lambda x: np.exp(prior.log_density(x)), low, high, points=[5000], limit=200)[0]
    assert total == pytest.approx(1, abs=0.01)
    x, h = np.array([5100.0, 5400.0]), 1.0
    expected = (prior.log_density(x - h) - prior.log_density(x + h)) / (2 * h)
    np.testing.assert_allclose(prior.slope(x)[0], expected, rtol=1e-3, atol=1e-9)
    unit = (np.arange(1000) + 0.5) / 1000
    assert np.all((prior.spread(unit) >= low) & (prior.spread(unit) <= high))
    assert np.all(prior.slope(x)[1] >= 0)
    assert low <= prior.centre <= high
    if np.isfinite(prior.upper):
        assert prior.log_density(prior.upper + 1) == -np.inf


def test_frozen_distributions_of_scipy_are_priors(star):
    settings = {"model_error": None, "continuum_degree": 2, "noise_correlation": ()}
    ours = rvsemu.fit(star, priors={"teff": (5650, 50)}, **settings)
    theirs = rvsemu.fit(star, priors={"teff": scipy.stats.norm(5650, 50)}, **settings)
    assert theirs.teff.value == pytest.approx(ours.teff.value, abs=1)
    assert theirs.errors["teff"].value == pytest.approx(ours.errors["teff"].value, rel=0.01)


@pytest.mark.parametrize("errors", ["gaussian", "sampled"])
def test_fits_stay_where_a_prior_is_not_zero(star, errors):
    """Written by hand with -inf outside of a box, as emcee's tutorials do."""
    settings = {"model_error": None, "continuum_degree": 2, "noise_correlation": (), "errors": errors}
    limit = rvsemu.fit(star, **settings).teff.value + 400
    boxes = ((limit, 9000), (limit + 0.123, limit + 50))
    for low, high in boxes:
        found = rvsemu.fit(
            star, priors={"teff": lambda x, a=low, b=high: np.where((x > a) & (x < b), 0.0, -np.inf)}, **settings
        )
        assert low <= found.teff.value <= high
        assert (
            low - 1e-3 <= found.interval(0.99)["teff"].value.min() <= found.interval(0.99)["teff"].value.max() <= high
        )
        assert "at-bound:teff" in found.flags
    two = rvsemu.fit(star, priors={"teff": lambda x: np.where(np.abs(x - limit) > 100, 0.0, -np.inf)}, **settings)
    assert abs(two.teff.value - limit) > 100  # a hole is no place to end in


def test_priors_bound_the_fit(star):
    settings = {"model_error": None, "continuum_degree": 2, "noise_correlation": ()}
    free = rvsemu.fit(star, **settings)
    limit = free.teff.value + 300
    for prior in (Uniform(limit, 9000), TruncatedNormal(6000, 1000, lower=limit)):
        found = rvsemu.fit(star, priors={"teff": prior}, **settings)
        assert found.teff.value == pytest.approx(limit, abs=1)
        assert "at-bound:teff" in found.flags
    normal = rvsemu.fit(star, priors={"teff": Normal(5650, 50)}, **settings)
    function = rvsemu.fit(star, priors={"teff": lambda x: -0.5 * ((x - 5650) / 50) ** 2}, **settings)
    assert function.teff.value == pytest.approx(normal.teff.value, abs=1)
    assert function.errors["teff"].value == pytest.approx(normal.errors["teff"].value, rel=0.01)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Uniform(6000, 4000), "lower and a higher"),
        (Uniform(100, 200), "nothing of"),
        (TruncatedNormal(5000, 100, 6000, 5000), "lower limit first"),
        (Function(lambda x: 1 / 0), "failed with ZeroDivisionError"),
        (Function(lambda x: 0.0), "n log densities"),
        (Function(np.abs, 1e5, 2e5), "leave nothing"),
        (Function(lambda x: np.full(x.shape, -np.inf)), "zero everywhere"),
        (Function(lambda x: np.where(x > 5000, np.inf, 0.0)), "is infinite"),
        ((50.0, 10.0), "outside 3500 to 15000"),
        ((1.0, 2.0, 3.0), "give \\(mean, sigma\\)"),
        (3.0, "give \\(mean, sigma\\), a frozen"),
    ],
)
def test_bad_priors(prior, message):
    with pytest.raises(LabelError, match=message):
        Settings(priors={"teff": prior})


@pytest.mark.parametrize("method", ["log_likelihood", "log_prior", "log_probability", "predict"])
def test_parameters_are_one_row_or_several(likelihood, method):
    of = getattr(likelihood, method)
    np.testing.assert_array_equal(of(THETA.tolist()), of(THETA[None]))
    for bad in (THETA[:3], np.ones((2, 2, 7)), "teff", None, THETA * u.K):
        with pytest.raises(
            LabelError, match=r"^x is .*: give plain numbers of the shape \(7,\) or \(n, 7\), which are teff"
        ):
            of(bad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_error": "mine"}, "model_error='mine' is unknown"),
        ({"noise_correlation": (1, 0.77, 0.33)}, "no noise has"),
    ],
)
def test_bad_noise(star, settings, message):
    with pytest.raises(SpectrumError, match=message):
        prepare(star, **settings)


def test_emulators_without_low_rank_have_likelihoods(star, points):
    default = rvsemu.shipped()
    plain = dataclasses.replace(default, error=dataclasses.replace(default.error, components=None))
    likelihood = likelihood_of(star, emulator=plain)
    assert likelihood.covariance.low(np.ones((1, 1, len(likelihood.wavelength)))).shape[-1] == 0
    assert np.all(np.isfinite(likelihood.log_likelihood(points)))
