"""Distributions that are, and are not, piled up against a limit of their range."""

import numpy as np
import pytest
from scipy import stats

import rvsemu
from rvsemu.fitting import Uniform
from rvsemu.fitting.limits import crowded, piled_up

LOWER, UPPER = 100.0, 300.0
RANGE = UPPER - LOWER


def normal(mean, std):
    """Normal distribution, in parts of the range, cut off at the limits."""
    mean, std = LOWER + mean * RANGE, std * RANGE
    return stats.truncnorm((LOWER - mean) / std, (UPPER - mean) / std, mean, std)


KNOWN = {
    "well inside": (normal(0.5, 0.05), False),
    "two sigma from the limit": (normal(0.1, 0.05), False),
    "narrow, near the limit and clear of it": (normal(0.01, 0.001), False),
    "flat over the range: nothing is known": (stats.uniform(LOWER, RANGE), False),
    "a broad slope": (normal(0.4, 0.3), False),
    "half a normal distribution at the lower limit": (normal(0.0, 0.05), True),
    "half a narrow one": (normal(0.0, 0.0003), True),
    "half a normal distribution at the upper limit": (normal(1.0, 0.05), True),
    "its maximum beyond the limit": (normal(-0.05, 0.05), True),
    "one sigma from the limit, the median inside": (normal(0.05, 0.05), True),
    "exponential of 1 % of the range": (stats.expon(LOWER, 0.01 * RANGE), True),
    "exponential of 0.01 % of the range": (stats.expon(LOWER, 1e-4 * RANGE), True),
}


@pytest.mark.parametrize("n", [1000, 20000])
@pytest.mark.parametrize("name", KNOWN)
def test_known_distributions(name, n):
    known, expected = KNOWN[name]
    found = [crowded(known.rvs(n, random_state=seed), None, LOWER, UPPER) for seed in range(50)]
    assert np.mean(np.equal(found, expected)) >= 0.96


@pytest.mark.parametrize("name", KNOWN)
def test_weights_count(name):
    """Rows spread over the range by another law, weighted, say what plain samples say."""
    known, expected = KNOWN[name]
    x = np.concatenate([known.rvs(2000, random_state=1), stats.uniform(LOWER, RANGE).rvs(2000, random_state=2)])
    density = known.pdf(x)
    weights = density / (density + 1 / RANGE)
    assert crowded(x, weights, LOWER, UPPER) is expected
    assert crowded(x, 7 * weights, LOWER, UPPER) is expected


def test_few_samples_do_not_decide():
    """Of 30 draws from a flat distribution two at a limit are chance."""
    found = [crowded(stats.uniform(LOWER, RANGE).rvs(30, random_state=i), None, LOWER, UPPER) for i in range(400)]
    assert np.mean(found) < 0.02


def test_all_at_one_place():
    at_limit, inside = np.full(100, LOWER), np.full(100, LOWER + 0.3 * RANGE)
    assert crowded(at_limit, None, LOWER, UPPER)
    assert not crowded(inside, None, LOWER, UPPER)
    assert not crowded(inside, None, -np.inf, np.inf)


def test_flags_name_the_label():
    rng = np.random.default_rng(1)
    ranges = {"teff": (3600.0, 15000.0), "vsini": (0.0, 300.0), "mh": (-1.5, 1.5)}
    x = np.column_stack([rng.normal(5800, 80, 1000), rng.exponential(2.0, 1000), 1.5 - rng.exponential(0.01, 1000)])
    assert piled_up(x, None, ranges) == ["at-bound:mh"]  # nothing is beyond v sin i = 0
    away = np.where(x[:, 2] < 1.49, 1.0, 0.0)  # weights that leave nothing at the upper limit of [M/H]
    assert piled_up(x, away, ranges) == []
    x[:, 1] = 300 - x[:, 1]
    assert piled_up(x, away, ranges) == ["at-bound:vsini"]


@pytest.mark.parametrize("way", ["gaussian", "sampled", "chain"])
@pytest.mark.parametrize(
    ("label", "settings"),
    [
        ("radial_velocity", {"radial_velocity": (0, 200)}),
        ("mh", {"priors": {"mh": Uniform(0.0, 0.5), "vmic": (1.2, 0.2), "resolution": "gaia-rvs"}}),
        ("alpha", {"priors": {"alpha": Uniform(0.0, 0.4), "vmic": (1.2, 0.2), "resolution": "gaia-rvs"}}),
    ],
)
def test_a_limit_of_0_of_what_may_be_negative_is_a_limit(label, settings, way):
    """What lies beyond 0 is a velocity towards us, or less of something: the label is as wrong as at other limits."""
    labels = {"teff": 5800, "logg": 4.4, "vsini": 6, "mh": -0.2, "alpha": -0.15, "vmic": 1.2, "resolution": 11900}
    star = rvsemu.simulate(rvsemu.generate(**labels), signal_to_noise=100, radial_velocity=-15, seed=1)
    ways = {
        "gaussian": lambda **given: rvsemu.fit(star, model_error=None, **given),
        "sampled": lambda **given: rvsemu.fit(star, model_error=None, errors="sampled", **given),
        "chain": lambda **given: rvsemu.sample(star, model_error=None, steps=60, stop=None, progress=False, **given),
    }
    found = ways[way](**settings)
    assert abs(found.labels[label].value) < 0.05
    assert f"at-bound:{label}" in found.flags
