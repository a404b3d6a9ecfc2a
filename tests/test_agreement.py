"""Whether transits want the same labels: slopes that are Gaussian in fact, and spectra with other light in them."""

import numpy as np
import pytest
from astropy import units as u
from fit_fixtures import exact_emulator
from scipy.stats import chi2
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import Settings
from rvsemu.fitting.agreement import agreement, own_scatter, unsure

RANGES = np.array([10.0, 5.0, 2.0, 100.0])
OWN = np.array([0.0, 0.0, 0.3, 100.0 / np.sqrt(12)])
STAR = {"teff": 5777.0, "logg": 4.4, "vsini": 5.0, "mh": 0.0, "vmic": 1.1, "resolution": 11900.0}


def informations(rng, t):
    """Of t transits with the signal to noise 1, 2, ... of each other."""
    root = rng.normal(size=(4, 4)) * 20.0 / RANGES[:, None]
    return np.arange(1, t + 1)[:, None, None] ** 2 * (root @ root.T)


def slopes(rng, information, away):
    """Of transits that want the labels less `away` (4,), with noise, and with a resolution of their own."""
    t = len(information)
    own = rng.normal(size=(t, 4)) * np.array([0.0, 0.0, 0.3, 0.0])
    noise = np.linalg.cholesky(information) @ rng.normal(size=(t, 4, 1))
    return (information @ (away + own)[..., None] + noise)[..., 0]


@pytest.mark.parametrize("t", [2, 3, 9])
def test_chance_is_as_rare_as_the_probability_says(t):
    """What all transits share, as limits, priors and errors of models make it, and what each may have, do not count."""
    rng = np.random.default_rng(t)
    information, shared = informations(rng, t), np.array([0.4, -0.3, 0.2, 5.0])
    found = np.array([agreement(slopes(rng, information, shared), information, RANGES, OWN) for _ in range(1000)])
    for level in (0.05, 0.2):  # the smaller of two probabilities that are not independent, times two
        share = np.mean(found < level)
        assert 0.4 * level < share < level + 3 * np.sqrt(level / len(found)), (t, level, share)


def test_half_of_the_transits_or_one_of_them():
    """By hand, for one label: eight transits with the same information, off by one and a half errors up and down."""
    information, given = np.full((8, 1, 1), 4.0), {"ranges": np.array([100.0]), "own": np.zeros(1)}
    half = np.repeat([1.5, -1.5], 4)[:, None] * 2.0
    assert agreement(half, information, **given) == pytest.approx(2 * chi2.sf(8 * 1.5**2, 7))
    one = np.array([[7.0], *[[-1.0]] * 7])  # away from their mean: 7 and -1, whose variances are 4 (1 - 1 / 8)
    assert agreement(one, information, **given) == pytest.approx(2 * 8 * chi2.sf(49 / 3.5, 1))
    assert agreement(one + 50.0, information, **given) == pytest.approx(agreement(one, information, **given))


def test_transits_that_say_nothing():
    """About labels known no better than their ranges, or beside one transit that knows all, or alone."""
    rng = np.random.default_rng(1)
    information = informations(rng, 4)
    wild = 100.0 * rng.normal(size=(4, 4))
    assert agreement(wild, information, RANGES, OWN) < 1e-6
    assert agreement(wild, 1e-9 * information, RANGES, OWN) == 1.0
    assert agreement(wild[:1], information[:1], RANGES, OWN) == 1.0
    information[1:] = wild[1:] = 0.0
    assert agreement(wild, information, RANGES, OWN) > 0.9


def test_what_transits_of_one_star_may_differ_by():
    parameters = Settings(radial_velocity=(-60.0, 60.0)).parameters("barycentric")
    own = dict(zip(parameters.free_names, own_scatter(parameters), strict=True))
    assert own.pop("resolution") == 370.0 and own.pop("radial_velocity") == pytest.approx(120 / np.sqrt(12))
    assert set(own.values()) == {0.0} and {"teff", "logg", "mh"} <= own.keys()


def test_errors_from_few_spectra_are_trusted_less():
    assert [unsure(n) for n in (None, 2, 3, 11)] == [1.0, 2.0, 1.5, 1.1]


def test_light_of_a_neighbour_in_half_of_the_transits():
    """A quarter of the light has no lines in four of eight transits. In none and in all of them, transits agree."""
    clean = rvsemu.generate(**STAR)
    diluted = Spectrum(spectral_axis=clean.spectral_axis, flux=0.75 * clean.flux + 0.25 * u.one, meta=clean.meta)
    for some, differ in ((0, False), (4, True), (8, False)):
        rng = np.random.default_rng(some)
        given = {"signal_to_noise": 20.0, "release": "Gaia DR4", "frame": "barycentric", "ccds": 3, "seed": rng}
        seen = [rvsemu.simulate(diluted if i < some else clean, radial_velocity=20.0, **given) for i in range(8)]
        settings = {"emulator": exact_emulator(), "radial_velocity": (-60.0, 100.0)}
        flags = rvsemu.fit_transits(seen, **settings).flags
        assert ("transits-differ" in flags) == differ, (some, flags)
