"""Proposals: densities that are as they say, and draws that are spread evenly."""

import numpy as np
import pytest
from sampling_fixtures import BEGIN, COVARIANCE, MEAN, Gauss
from scipy import stats

from rvsemu.errors import SpectrumError
from rvsemu.fitting.importance import Draws, weighted_draws
from rvsemu.fitting.proposals import Mixture, Student, first_ensemble


def test_proposals_have_the_density_they_claim():
    student = Student(MEAN, COVARIANCE)
    known = stats.multivariate_t(MEAN, COVARIANCE, df=5)
    x = known.rvs(50, random_state=1)
    difference = student.log_density(x) - known.logpdf(x)
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)
    drawn = student.draw(20000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=0.05 * np.sqrt(np.diag(COVARIANCE)).max())
    distance = np.sum(np.linalg.solve(np.linalg.cholesky(COVARIANCE), (drawn - MEAN).T) ** 2, axis=0)
    assert stats.kstest(distance / 3, stats.f(3, 5).cdf).pvalue > 1e-3


def test_draws_are_more_even_than_random_ones():
    """Medians of 192 draws scatter by half of what those of random draws would."""
    student, known = Student(np.zeros(3), np.eye(3)), stats.t(5)
    medians = [np.median(student.draw(192, np.random.default_rng(i)), axis=0) for i in range(60)]
    random = 0.5 / known.pdf(0) / np.sqrt(192)
    assert np.sqrt(np.mean(np.square(medians))) < 0.6 * random


def test_a_mixture_has_the_density_it_claims():
    other, narrow = MEAN + [2000.0, 0.0, 0.5], 0.3 * COVARIANCE
    mixture = Mixture([3, 1], [MEAN, other], [COVARIANCE, narrow])
    np.testing.assert_allclose(mixture.shares, [0.75, 0.25])
    known = [stats.multivariate_t(m, c, df=5) for m, c in ((MEAN, COVARIANCE), (other, narrow))]
    x = np.concatenate([one.rvs(50, random_state=1) for one in known])
    density = 0.75 * known[0].pdf(x) + 0.25 * known[1].pdf(x)
    difference = mixture.log_density(x) - np.log(density)
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)
    drawn = mixture.draw(4000, np.random.default_rng(2))
    assert np.mean(drawn[:, 0] > MEAN[0] + 1000) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    new, ratio = mixture.propose(x, np.random.default_rng(3))
    np.testing.assert_allclose(ratio, mixture.log_density(x) - mixture.log_density(new))
    np.testing.assert_allclose(mixture.wider(2).covariances, 4 * mixture.covariances)


def test_a_mixture_is_fitted_to_what_belongs_to_it():
    """Rows of two clouds, with weights; a third component, where nothing is, stays."""
    rng = np.random.default_rng(1)
    clouds = [rng.multivariate_normal(m, COVARIANCE, 3000) for m in (MEAN, MEAN + [2000, 0, 0])]
    x, weights = np.concatenate(clouds), np.repeat([3.0, 1.0], 3000) / 12000
    far = MEAN - [2000, 0, 0]
    begun = Mixture([1, 1, 1], [MEAN + [50, 0, 0], MEAN + [1900, 0, 0], far], 2 * np.array([COVARIANCE] * 3))
    fitted = begun.fitted(x, weights)
    np.testing.assert_allclose(fitted.shares, np.array([0.75, 0.25, 0.02]) / 1.02, atol=1e-3)
    for mean, covariance, cloud in zip(fitted.means, fitted.covariances, clouds, strict=False):
        np.testing.assert_allclose(mean, cloud.mean(axis=0), rtol=1e-3)
        np.testing.assert_allclose(covariance, np.cov(cloud.T), rtol=0.02, atol=1e-4)
    np.testing.assert_array_equal(fitted.means[2], far)
    np.testing.assert_array_equal(fitted.covariances[2], 2 * COVARIANCE)


def test_walkers_begin_inside():
    likelihood = Gauss(lower=(5650, 4.3, -3), upper=(5700, 4.35, 3))
    x = first_ensemble(weighted_draws(likelihood, BEGIN), 32, np.random.default_rng(1))
    assert np.all((x >= likelihood.parameters.lower) & (x <= likelihood.parameters.upper))
    assert len(np.unique(x, axis=0)) == 32 and np.linalg.matrix_rank(x - x.mean(axis=0)) == 3
    few = Draws(x, np.where(np.arange(32) < 5, 0.2, 0.0))
    with pytest.raises(SpectrumError, match="only 5 of 32 places"):
        first_ensemble(few, 8, np.random.default_rng(1))
