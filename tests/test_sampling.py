"""Sampling: known posteriors are recovered, and what makes no sense is refused."""

import numpy as np
import pytest
from sampling_fixtures import BEGIN, COVARIANCE, MEAN, Gauss, quickly
from scipy import stats

from rvsemu.errors import SettingsError
from rvsemu.fitting.convergence import autocorrelation_times
from rvsemu.fitting.importance import weighted_draws
from rvsemu.fitting.mcmc import Sampler, run
from rvsemu.fitting.proposals import Mixture, first_ensemble


@pytest.fixture(scope="module")
def gauss():
    return quickly(Gauss(), walkers=32)


def test_a_gaussian_is_recovered(gauss):
    assert gauss.converged
    assert gauss.flags == ()
    error = np.sqrt(np.diag(COVARIANCE) / gauss.ess)
    assert np.all(np.abs(gauss.values.mean(axis=0) - MEAN) < 4 * error)
    scale = np.sqrt(np.outer(np.diag(COVARIANCE), np.diag(COVARIANCE)))
    np.testing.assert_allclose(gauss.covariance / scale, COVARIANCE / scale, atol=5 / np.sqrt(gauss.ess.min()))
    apart = gauss.chain[gauss.burn_in :: int(4 * gauss.tau.max())].reshape(-1, 3)
    z = (apart - MEAN) / np.sqrt(np.diag(COVARIANCE))
    assert min(stats.kstest(column, "norm").pvalue for column in z.T) > 1e-3


def test_bounds_cut_the_posterior_off():
    posterior = quickly(Gauss(lower=(5600, 0, -3)), walkers=32)
    teff = posterior["teff"].value
    half = MEAN[0] + np.sqrt(COVARIANCE[0, 0]) * stats.halfnorm().ppf([0.16, 0.5, 0.84])
    error = np.sqrt(COVARIANCE[0, 0] / posterior.ess[0])
    np.testing.assert_allclose(np.quantile(teff, [0.16, 0.5, 0.84]), half, atol=6 * error)
    assert teff.min() >= 5600


def test_independent_proposals_beat_the_default_of_emcee(gauss):
    import emcee

    sampler = emcee.EnsembleSampler(32, 3, Gauss().log_probability, vectorize=True)
    sampler.random_state = np.random.RandomState(1).get_state()
    ensemble = first_ensemble(weighted_draws(Gauss(), BEGIN), 32, np.random.default_rng(0))
    sampler.run_mcmc(ensemble, 1500)
    assert gauss.tau.max() < 0.3 * autocorrelation_times(sampler.get_chain(discard=300)).max()


def test_the_seed_decides(gauss):
    first, again = (quickly(Gauss(), steps=150, seed=5) for _ in range(2))
    other = quickly(Gauss(), steps=150, seed=6)
    np.testing.assert_array_equal(first.chain, again.chain)
    assert not np.array_equal(first.chain, other.chain)
    generator = quickly(Gauss(), steps=150, seed=np.random.default_rng(5))
    np.testing.assert_array_equal(first.chain, generator.chain)


def test_progress_is_told_step_by_step_and_can_end_it():
    told = []
    chain = quickly(Gauss(), steps=150, seed=5, progress=lambda *numbers: told.append(numbers)).chain
    assert told == [(n, 150) for n in range(1, 151)]
    np.testing.assert_array_equal(chain, quickly(Gauss(), steps=150, seed=5).chain)

    def stop(done, steps):
        if done == 130:
            raise TimeoutError("enough")

    with pytest.raises(TimeoutError, match="enough"):
        quickly(Gauss(), steps=150, seed=5, progress=stop)


class TwoModes(Gauss):
    """The Gaussian, and another with a third of its probability at a Teff so far away that no step reaches it."""

    AWAY = np.array([1500.0, 0.0, 0.0])

    def log_likelihood(self, x):
        return np.logaddexp(super().log_likelihood(x), super().log_likelihood(x - self.AWAY) - np.log(3))


def test_all_modes_are_sampled():
    """Begun in both, in equal shares; the walkers come and go between them."""
    likelihood = TwoModes()
    start = weighted_draws(likelihood, Mixture([1, 1], [MEAN, MEAN + TwoModes.AWAY], [COVARIANCE] * 2))
    far = start.x[:, 0] > MEAN[0] + 750
    assert start.weights[far].sum() == pytest.approx(0.25, abs=4 * np.sqrt(0.19 / start.effective))
    posterior = run(likelihood, start, Sampler(seed=1, progress=False))
    assert posterior.converged
    share = np.mean(posterior.values[:, 0] > MEAN[0] + 750)
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.19 / posterior.ess[0]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"walkers": 4}, "walkers=4: give an even number of at least 6"),
        ({"walkers": 31}, "walkers=31: give an even number"),
        ({"walkers": 32.0}, "walkers=32.0: .*whole number"),
        ({"steps": 0}, "steps=0: .*whole number from 1"),
        ({"steps": 1e3}, "steps=1000.0: .*whole number"),
        ({"steps": True}, "steps=True: .*whole number"),
        ({"stop": -1}, "stop=-1: give a positive number"),
        ({"stop": 0}, "stop=0: "),
        ({"stop": np.nan}, "stop=nan: "),
        ({"stop": np.inf}, "stop=inf: .*or None"),
        ({"stop": "50"}, "stop='50': "),
        ({"stop": True}, "stop=True: "),
        ({"resume": "no"}, "resume='no': give True or False"),
        ({"progress": "no"}, "progress='no': give True, False or a function"),
        ({"seed": -1}, "seed=-1: .*whole number from 0"),
        ({"seed": "a"}, "seed='a': "),
        ({"seed": None}, "seed=None: "),
    ],
)
def test_arguments_without_sense(options, words):
    with pytest.raises(SettingsError, match=words):
        quickly(Gauss(), **options)


def test_an_error_of_the_likelihood_is_said_once(capfd):
    class Broken(Gauss):
        def log_probability(self, x):
            if len(x) < 8:
                raise ZeroDivisionError("here")
            return super().log_probability(x)

    with pytest.raises(ZeroDivisionError, match="here"):
        quickly(Broken(), steps=10)
    assert capfd.readouterr() == ("", "")
