"""When a chain is long enough: chains of known autocorrelation times."""

import numpy as np
import pytest
from sampling_fixtures import Gauss, autoregressive, quickly

from rvsemu import Posterior
from rvsemu.fitting.chain_file import ChainFile
from rvsemu.fitting.convergence import Convergence, autocorrelation_times


def test_autocorrelation_times_of_known_chains():
    rho = np.array([0.0, 0.5, 0.9])
    tau = autocorrelation_times(autoregressive(rho, 6000))
    np.testing.assert_allclose(tau, (1 + rho) / (1 - rho), rtol=0.08)
    still = np.zeros((100, 4, 1))
    assert autocorrelation_times(still) == 100


def test_convergence_needs_length_and_rest():
    coords = autoregressive(np.array([0.8]), 3000)  # 9 steps
    lengths = [n for n in range(100, 3001, 100) if Convergence(50.0).reached(coords[:n])]
    assert 300 + 50 * 8 <= lengths[0] <= 1500
    assert lengths == list(range(lengths[0], 3001, 100))
    together = Convergence(50.0)
    assert [n for n in range(100, 3001, 100) if together.reached(coords[:n])] == lengths
    assert not Convergence(500.0).reached(coords)


@pytest.mark.parametrize(
    ("rho", "steps", "expected"),
    [
        (0.8, 20_000, True),  # 2200 times
        (0.8, 19_937, True),  # a length at which nobody would look
        (0.8, 4000, True),  # 410 times after the burn-in
        (0.8, 650, False),  # 39 times
        (0.8, 400, False),  # proposals were adapted until a moment ago
        (0.99, 20_000, True),  # 95 times
        (0.99, 5000, False),  # 20 times
        (0.999, 20_000, False),  # 5 times
    ],
)
def test_the_length_in_autocorrelation_times_decides(rho, steps, expected):
    found = [Convergence(50.0).reached(autoregressive(np.array([rho]), steps, seed=seed)) for seed in range(3)]
    assert found == [expected] * 3


def test_a_chain_that_became_slow_is_not_long_enough():
    """Long enough at a look in between, but then walkers met something that keeps them."""
    quick = autoregressive(np.array([0.5]), 1500)
    slow = autoregressive(np.array([0.9995]), 6000, seed=1) * 10
    assert Convergence(50.0).reached(quick)
    assert not Convergence(50.0).reached(np.concatenate([quick, slow]))


# ---------------------------------------------------------------------- the flag
@pytest.mark.parametrize("steps", [3000, 2950])
def test_all_the_steps_are_enough_if_they_are(steps):
    """Done to the last, not stopped: what counts is that there are 50 times of them."""
    posterior = quickly(Gauss(), steps=steps)
    assert len(posterior.chain) == steps > 300 + 50 * posterior.tau.max()
    assert posterior.converged
    assert posterior.flags == ()


def test_the_end_of_the_steps_is_not_enough():
    posterior = quickly(Gauss(), steps=450)
    assert not posterior.converged
    assert posterior.flags == ("not-converged",)
    sampled = quickly(Gauss(), file=None, stop=5000.0)
    assert len(sampled.chain) == 3000
    assert sampled.flags == ("not-converged",)


def test_a_resumed_chain_is_as_good_as_one_of_a_piece(tmp_path):
    file = ChainFile(tmp_path / "p.h5")
    for steps in (700, 1234, 2500):
        posterior = quickly(Gauss(), steps=steps, file=file)
        whole = quickly(Gauss(), steps=steps)
        assert (posterior.converged, posterior.flags) == (whole.converged, whole.flags)
        assert Posterior.load(file.path).flags == whole.flags
    assert whole.flags == ()
    again = quickly(Gauss(), file=file)  # to stop when it is enough, and it is
    assert len(again.chain) == 2500
    assert again.converged
