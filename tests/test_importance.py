"""Weighted draws against distributions that are known, and against integrals of real likelihoods."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.special import ndtr
from scipy.stats import multivariate_normal
from specutils import Spectrum

import rvsemu
from rvsemu.errors import RvsemuError, SettingsError
from rvsemu.fitting import DEFAULT_PRIORS, Uniform, fit_many, prepare
from rvsemu.fitting.importance import Draws, weighted_draws
from rvsemu.fitting.proposals import Mixture
from rvsemu.observing.flags import FEW_DRAWS

WAVE = 8460.0 + 0.1 * np.arange(2401)


class Known:
    """A posterior written down: a prior that is flat in a box, and a log likelihood."""

    def __init__(self, log_likelihood, lower=-np.inf, upper=np.inf):
        self.log_likelihood, self.lower, self.upper = log_likelihood, lower, upper

    def log_prior(self, x):
        return np.where(np.all((x >= self.lower) & (x <= self.upper), axis=1), 0.0, -np.inf)


def one(mean, covariance):
    return Mixture([1], [mean], [covariance])


def noisy(snr, seed=0, **labels):
    """A spectrum with white noise."""
    labels = {"teff": 5800, "logg": 4.3, "vsini": 6, "mh": -0.2, "vmic": 1.4, "resolution": 11900} | labels
    flux = rvsemu.generate(**labels, wavelength=WAVE * u.AA, medium="vacuum").flux.value
    return Spectrum(
        spectral_axis=WAVE * u.AA,
        flux=(flux + np.random.default_rng(seed).normal(size=len(WAVE)) / snr) * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(WAVE), 1 / snr)),
        meta={"medium": "vacuum"},
    )


SETTINGS = {"noise_correlation": (), "model_error": None}


def test_of_a_gaussian_begun_with_a_wrong_one():
    truth = np.array([1.0, -2.0, 0.5])
    root = np.array([[1.0, 0, 0], [0.8, 0.5, 0], [-0.3, 0.2, 2.0]])
    gaussian = multivariate_normal(truth, root @ root.T)
    draws = weighted_draws(Known(gaussian.logpdf), one(truth + 0.7, 0.5 * np.eye(3)))
    assert draws.weights.sum() == pytest.approx(1)
    assert 200 < draws.effective < len(draws.x)
    spread = np.sqrt(np.diag(root @ root.T))
    np.testing.assert_allclose((draws.mean - truth) / spread, 0, atol=4 / np.sqrt(draws.effective))
    np.testing.assert_allclose(
        draws.covariance / np.outer(spread, spread), gaussian.cov / np.outer(spread, spread), atol=0.3
    )
    twice = weighted_draws(Known(gaussian.logpdf), one(truth, gaussian.cov), scale=2.0)
    np.testing.assert_allclose(np.sqrt(np.diag(twice.covariance)) / spread, 2, rtol=0.2)


def test_of_a_curved_one_cut_by_a_bound():
    """Its quantiles are those of numerical integration."""

    def log_likelihood(x):
        return -0.5 * x[:, 0] ** 2 - 0.5 * ((x[:, 1] - 0.5 * x[:, 0] ** 2) / 0.5) ** 2

    lower = np.array([-0.5, -np.inf])
    draws = weighted_draws(Known(log_likelihood, lower), one(np.zeros(2), np.eye(2)))
    grid = np.linspace(-6, 12, 1801)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    density = np.exp(log_likelihood(np.column_stack([x.ravel(), y.ravel()]))).reshape(x.shape) * (x >= -0.5)
    for i, axis in enumerate((1, 0)):
        below = np.cumsum(density.sum(axis=axis)) / density.sum()
        shares = np.interp(draws.quantiles([0.16, 0.5, 0.84])[:, i], grid, below)
        np.testing.assert_allclose(shares, [0.16, 0.5, 0.84], atol=3 * 0.5 / np.sqrt(draws.effective))


def test_quantiles_of_weights():
    draws = Draws(np.array([[3.0], [1.0], [2.0]]), np.array([0.25, 0.5, 0.25]))
    assert draws.effective == pytest.approx(1 / (0.25**2 + 0.5**2 + 0.25**2))
    np.testing.assert_allclose(draws.quantiles([0.0, 0.25, 0.625, 1.0])[:, 0], [1, 1, 2, 3])
    assert draws.mean == pytest.approx(1.75)


def test_a_fit_with_a_label_at_its_bound():
    """v sin i of a slow rotator piles up at zero: one label, so that its posterior can be integrated."""
    star = noisy(60, vsini=1)
    fixed = {"teff": 5800, "logg": 4.3, "mh": -0.2, "vmic": 1.4, "resolution": 11900, "radial_velocity": 0.0}
    result = rvsemu.fit(star, fixed=fixed, priors={}, errors="sampled", scale_errors=False, **SETTINGS)
    likelihood = prepare(star, fixed=fixed, priors={}, **SETTINGS)
    grid = np.linspace(0, 30, 3001)
    log_posterior = likelihood.log_probability(grid[:, None])
    below = np.cumsum(np.exp(log_posterior - log_posterior.max()))
    below /= below[-1]
    for level in (0.68, 0.95):
        ends = np.interp(result.interval(level)["vsini"].value, grid, below)
        np.testing.assert_allclose(ends, 0.5 + np.array([-0.5, 0.5]) * level, atol=0.06)
    assert np.interp(result.vsini.value, grid, below) == pytest.approx(0.5, abs=0.06)
    low, high = np.interp(ndtr([-1, 1]), below, grid)
    assert result.errors["vsini"].value == pytest.approx((high - low) / 2, rel=0.1)
    assert result.labels["teff"].value == 5800 and "teff" not in result.interval()
    gaussian = rvsemu.fit(star, fixed=fixed, priors={}, scale_errors=False, **SETTINGS)
    assert gaussian.interval(0.95)["vsini"][0].value == 0 <= result.interval()["vsini"][0].value


def test_many_are_as_one_by_one_and_agree_with_gaussians_where_these_hold():
    stars = [noisy(200, seed, vsini=25) for seed in (0, 1)]
    results, gaussians = (fit_many(stars, errors=errors, **SETTINGS) for errors in ("sampled", "gaussian"))
    for star, result, gaussian in zip(stars, results, gaussians, strict=True):
        alone = rvsemu.fit(star, errors="sampled", **SETTINGS)
        assert result.reduced_chi2 == gaussian.reduced_chi2
        assert result.draws.effective > 200
        for name in result.free_names:
            error = gaussian.errors[name].value
            assert result.labels[name].value == pytest.approx(alone.labels[name].value, abs=0.1 * error)
            assert result.labels[name].value == pytest.approx(gaussian.labels[name].value, abs=0.5 * error)
            assert result.errors[name].value == pytest.approx(error, rel=0.25)
        assert result.to_table()["teff_error"][0] == result.errors["teff"]


def test_intervals_of_a_gaussian():
    result = rvsemu.fit(noisy(100), **SETTINGS)
    interval = result.interval(0.9545)["mh"]
    assert interval.unit == result.mh.unit
    assert np.ptp(interval.value) / 4 == pytest.approx(result.errors["mh"].value, rel=1e-3)
    assert interval.value.mean() == pytest.approx(result.mh.value)
    for level in (0, 1, 68):
        with pytest.raises(RvsemuError, match="between 0 and 1"):
            result.interval(level)


def test_flags_of_the_draws_are_added_to_those_of_the_best_fit():
    """Few draws are flagged, and labels that pile up at bounds; nothing that was flagged is forgotten."""
    result = rvsemu.fit(noisy(100), **SETTINGS)
    rng = np.random.default_rng(0)
    lower, upper = np.array(list(result.ranges.values())).T
    x = rng.normal((lower + upper) / 2, (upper - lower) / 20, (1000, 7))
    few = np.full(1000, 0.05 / 999)
    few[0] = 0.95
    assert FEW_DRAWS in result.sampled(Draws(x, few)).flags
    even = np.full(1000, 1e-3)
    begun = replace(result, flags=("at-bound:logg", "few-good-pixels"))
    assert begun.sampled(Draws(x, even)).flags == ("at-bound:logg", "few-good-pixels")
    x[:, 2] = upper[2] - rng.exponential(1.0, 1000)
    assert set(begun.sampled(Draws(x, even)).flags) == {"at-bound:logg", "at-bound:vsini", "few-good-pixels"}


def test_both_sides_of_the_strongest_hydrogen_lines_are_found():
    """At S/N 20 this star of 9200 K may be of 12,300 K, too; a fit of one of the two excludes the other."""
    star = noisy(20, seed=1, teff=9200, logg=4.2, vsini=120, mh=-1.0)
    result, gaussian = (rvsemu.fit(star, errors=errors, **SETTINGS) for errors in ("sampled", "gaussian"))
    draws = result.draws
    hot = draws.weights[draws.x[:, 0] > 11500].sum()
    assert 0.1 < hot < 0.9
    low, high = result.interval(0.95)["teff"].value
    assert low < 9700 and high > 12000
    assert "second-minimum" in result.flags and "second-minimum" in gaussian.flags
    again = rvsemu.fit(star, errors="sampled", seed=2, **SETTINGS).draws
    assert again.weights[again.x[:, 0] > 11500].sum() == pytest.approx(hot, abs=0.12)


def test_the_best_minimum_is_the_best_fit():
    """Of two minima the fit ends in the more probable one: no start at any label leads to a better one."""
    star = noisy(20, seed=1, teff=9200, logg=4.2, vsini=120, mh=-1.0)
    found = rvsemu.fit(star, **SETTINGS)
    for low, high in ((3600, 6000), (6000, 8000), (8000, 9500), (9500, 11000), (11000, 13000), (13000, 15000)):
        there = rvsemu.fit(star, **SETTINGS, priors=DEFAULT_PRIORS | {"teff": Uniform(low, high)})
        assert there.chi2 + penalty(there) > found.chi2 + penalty(found) - 0.3


def penalty(result):
    """-2 log prior of the labels, but for a constant."""
    teff, logg, mh, vmic, resolution = (result.labels[n].value for n in ("teff", "logg", "mh", "vmic", "resolution"))
    prior = DEFAULT_PRIORS["resolution"]
    of_vmic = DEFAULT_PRIORS["vmic"].within(0.0, 4.0).log_density(vmic, teff, logg, mh)[0]
    return ((resolution - prior.mean) / prior.sigma) ** 2 - 2 * of_vmic


def test_wrong_errors():
    with pytest.raises(SettingsError, match="errors='wide': use 'gaussian' or 'sampled'"):
        rvsemu.fit(noisy(100), errors="wide")
