"""Each flag of a fit, caused by a spectrum that deserves it."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
from fit_fixtures import RVS, SUN, fit, observe, replace

import rvsemu
from rvsemu.fitting import DEFAULT_PRIORS, Function, Settings, TruncatedNormal, Uniform, fit_many, fit_transits
from rvsemu.fitting.problem import Problem


def test_good_fit_has_no_flags(result):
    assert result.flags == ()


def test_flag_at_bound(emulator):
    found = fit(observe(emulator, velocity=20.0, seed=1), emulator=emulator, radial_velocity=(-5, 5))
    assert "at-bound:radial_velocity" in found.flags
    assert found.radial_velocity.value == pytest.approx(5, abs=0.02)


def test_flag_not_converged(sun, emulator):
    settings = Settings(emulator=emulator)
    problem = Problem([settings.observe(sun)], settings)
    minima = problem.minima()
    assert "not-converged" not in problem.results(minima)[0].flags
    unsettled = dataclasses.replace(minima.found, converged=np.zeros(len(minima.star), dtype=bool))
    assert "not-converged" in problem.results(dataclasses.replace(minima, found=unsettled))[0].flags


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


def test_flag_negative_continuum(sun, emulator):
    x = np.linspace(0, 1, len(RVS))
    found = fit(replace(sun, flux=sun.flux * (1 - 1.3 * x)), emulator=emulator)
    assert "negative-continuum" in found.flags


def test_flag_errors_too_large(sun, emulator):
    found = fit(sun, emulator=emulator, sigma=0.02)  # four times the noise
    assert "errors-too-large" in found.flags
    assert "errors-too-large" not in fit(sun, emulator=emulator, sigma=0.0075).flags


WAYS = {
    "gaussian": rvsemu.fit,
    "sampled": lambda *a, **k: rvsemu.fit(*a, errors="sampled", **k),
    "chain": lambda *a, **k: rvsemu.sample(*a, steps=100, stop=None, progress=False, **k),
    "many": lambda star, **k: fit_many([star], **k)[0],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_fitting_keeps_a_flag_to_itself(way, sun, emulator):
    """What is wrong with data or settings is said by Gaussian errors, weighted draws, chains and batches alike."""
    ways = {"emulator": emulator, "model_error": None}
    flags = WAYS[way](sun, priors={"teff": Uniform(4000, 5000)}, **ways).flags
    assert "at-bound:teff" in flags and "poor-fit" in flags
    assert "no-information" in WAYS[way](sun, sigma=1e3, **ways).flags
    assert "few-good-pixels" in WAYS[way](sun, mask=["calcium-cores", (8575, 8800)], **ways).flags


@pytest.mark.parametrize("way", ["gaussian", "sampled", "chain"])
def test_flag_second_minimum(way, emulator):
    """At S/N 20 this star of 9200 K may be of 12,300 K, too."""
    labels = {"teff": 9200.0, "logg": 4.2, "vsini": 120.0, "mh": -1.0, "vmic": 1.4, "resolution": 11900.0}
    star = observe(emulator, labels, snr=20, seed=1)
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    assert "second-minimum" in WAYS[way](star, **settings).flags


HOT = {"teff": 12000.0, "logg": 4.0, "vsini": 60.0, "mh": -1.8, "vmic": 0.7, "resolution": 11900.0}


def test_flag_not_gaussian(emulator):
    """Noise looks like lines of [M/H] = -0.1, known to 0.4 by the curvature: but lines below -1 are lost in noise."""
    star, white = observe(emulator, HOT, snr=20, seed=13), {"emulator": emulator, "noise_correlation": ()}
    found = fit(star, **white)
    assert found.flags == ("not-gaussian",)
    assert found.mh.value > -0.4 and found.interval(0.99)["mh"][0].value < HOT["mh"]
    assert found.errors["mh"].value == pytest.approx(np.sqrt(found.covariance[3, 3]))
    together = fit_transits([star], model_error=None, **white)
    assert together.flags == found.flags
    assert together.errors["mh"].value == pytest.approx(found.errors["mh"].value, rel=1e-3)
    drawn = fit(star, errors="sampled", **white)
    low, high = drawn.interval(0.95)["mh"].value
    assert "not-gaussian" not in drawn.flags and low < HOT["mh"] < high
    assert found.errors["mh"].value == pytest.approx(drawn.errors["mh"].value, rel=0.3)


def test_flags_of_good_fits(emulator):
    """None of 30 stars of all kinds at a S/N of 200 has a second minimum, or errors that are too large, or no fit."""
    rng = np.random.default_rng(5)
    low, high = [4500, 2.5, 3, -1.0, 1.0, 11000], [8000, 4.8, 60, 0.4, 2.5, 12500]
    labels = [dict(zip(SUN, rng.uniform(low, high), strict=True)) for _ in range(30)]
    stars = [observe(emulator, one, seed=i) for i, one in enumerate(labels)]
    results = fit_many(stars, emulator=emulator, model_error=None, noise_correlation=(), fixed={"alpha": 0.0})
    expected = ("at-bound", "prior-disputed:vmic")  # the prior does not know of uniform microturbulence
    found = [{flag for flag in one.flags if not flag.startswith(expected)} for one in results]
    assert set().union(*found) <= {"broad-lines"}
    assert not any(flags for flags, one in zip(found, labels, strict=True) if one["vsini"] < 9 or one["teff"] > 6350)


@pytest.mark.parametrize("way", ["gaussian", "sampled", "chain"])
def test_flag_alpha_assumed(way, emulator):
    """A metal-poor star has it, unless [alpha/M] = 0 is said to be meant; one of solar metallicity has not."""
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    poor, solar = (observe(emulator, SUN | {"mh": mh}, snr=100, seed=2) for mh in (-0.8, 0.0))
    assert "alpha-assumed" in WAYS[way](poor, **settings).flags
    assert "alpha-assumed" not in WAYS[way](poor, **settings, fixed={"alpha": 0.0}).flags
    assert "alpha-assumed" not in WAYS[way](solar, **settings).flags


@pytest.mark.parametrize("way", WAYS)
def test_flag_broad_lines(way, emulator):
    """Two suns 30 km/s apart look like one that rotates fast; slow rotation, and that which is said, have no flag."""
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    slow, first, second = (observe(emulator, velocity=v, snr=100, seed=3) for v in (0.0, -15.0, 15.0))
    pair = replace(slow, flux=(first.flux + second.flux) / 2)
    found = WAYS[way](pair, **settings)
    assert "broad-lines" in found.flags and found.labels["vsini"].value > 20
    assert "broad-lines" not in WAYS[way](slow, **settings).flags
    assert "broad-lines" not in WAYS[way](pair, **settings, fixed={"vsini": found.labels["vsini"]}).flags


def test_stars_that_may_rotate_have_no_broad_lines(emulator):
    """A star of 7000 K never, and of 120 slow stars, some of them noisy, the 2 % that two sigma let pass."""
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    rng = np.random.default_rng(8)
    stars = [observe(emulator, SUN | {"teff": 7000.0, "vsini": 40.0}, snr=100, seed=1)]
    for i, snr in enumerate([15, 30, 60, 200] * 30):
        labels = {"teff": rng.uniform(4200, 6500), "logg": rng.uniform(1.5, 4.8), "vsini": rng.uniform(0, 8)}
        stars.append(observe(emulator, SUN | labels | {"mh": rng.uniform(-1, 0.3)}, snr=snr, seed=i))
    hot, *slow = ("broad-lines" in found.flags for found in fit_many(stars, **settings))
    assert not hot and sum(slow) <= 0.023 * len(slow)


@pytest.mark.parametrize("way", WAYS)
def test_flag_prior_disputed(way, sun, emulator):
    """The sun is not 700 K hotter than it is, whatever a prior says; nor does one that is right have the flag."""
    settings = {"emulator": emulator, "model_error": None}
    flags = WAYS[way](sun, **settings, priors={"teff": (6500.0, 50.0)}).flags
    assert "prior-disputed:teff" in flags
    flags = WAYS[way](sun, **settings, priors={"teff": (5800.0, 50.0), "vmic": "wide"}).flags
    assert not any(flag.startswith("prior-disputed") for flag in flags)


@pytest.mark.parametrize("way", WAYS)
def test_a_narrow_prior_cannot_hide_that_it_is_disputed(way, emulator):
    """The fit stays next to a prior that is much narrower than what the spectrum says, and still it is disputed."""
    star = observe(emulator, snr=50, seed=4)
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    sigma = 0.02
    found = WAYS[way](star, **settings, priors={"logg": (SUN["logg"] - 1.5, sigma), "vmic": "wide"})
    assert abs(found.labels["logg"].value - (SUN["logg"] - 1.5)) < 4 * sigma
    assert "prior-disputed:logg" in found.flags
    found = WAYS[way](star, **settings, priors={"logg": (SUN["logg"], sigma), "vmic": "wide"})
    assert not any(flag.startswith("prior-disputed") for flag in found.flags)


@pytest.mark.parametrize(
    "make",
    [
        lambda mean, sigma: Function(lambda logg: -0.5 * ((logg - mean) / sigma) ** 2),
        lambda mean, sigma: TruncatedNormal(mean, sigma, mean - 4 * sigma, mean + 4 * sigma),
        lambda mean, sigma: scipy.stats.truncnorm(-4, 4, mean, sigma),
        lambda mean, sigma: scipy.stats.t(5, mean, sigma),
        lambda mean, sigma: scipy.stats.gamma((mean / sigma) ** 2, scale=sigma**2 / mean),
    ],
)
def test_priors_of_any_shape_are_disputed(make, emulator):
    """A narrow one that is wrong hides nothing, whatever its shape; one that is right does not have the flag."""
    star = observe(emulator, snr=50, seed=4)
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    found = [fit(star, **settings, priors={"logg": make(SUN["logg"] - away, 0.02)}) for away in (1.5, 0.0)]
    assert ["prior-disputed:logg" in one.flags for one in found] == [True, False]
    assert abs(found[0].logg.value - (SUN["logg"] - 1.5)) < 0.1


def test_the_shape_of_a_prior_decides_and_not_its_form(emulator):
    """A Gaussian is disputed as much as the same function is, or one that is cut off far from its mean."""
    star, white = observe(emulator, snr=50, seed=4), {"emulator": emulator, "noise_correlation": ()}
    mean, sigma, found = 5400.0, 25.0, []
    forms = (
        (mean, sigma),
        Function(lambda t: -0.5 * ((t - mean) / sigma) ** 2),
        TruncatedNormal(mean, sigma, 5200, 5600),
    )
    for prior in forms:
        settings = Settings(**white, model_error=None, priors=DEFAULT_PRIORS | {"teff": prior})
        problem = Problem([settings.observe(star)], settings)
        minima = problem.minima()
        found.append(minima.disputes[minima.best(0), problem.parameters.free_names.index("teff")])
    assert found[0] > 3.3 and found[1:] == pytest.approx([found[0]] * 2, rel=0.01)


@pytest.mark.parametrize("velocity", [82.0, -60.0, 25.0])
def test_flag_not_at_rest(velocity):
    """As with wavelengths in air (82 km/s), or moved pixels; not in another frame, or where the velocity is given."""
    star = rvsemu.generate(**SUN)
    seen = {"signal_to_noise": 60, "seed": 3, "radial_velocity": velocity, "release": "Gaia DR4"}
    resting, moving = (rvsemu.simulate(star, **seen, frame=frame) for frame in ("rest", "barycentric"))
    given = fit(resting, fixed={"radial_velocity": velocity})
    results = [fit(resting), fit(moving), given]
    assert ["not-at-rest" in one.flags for one in results] == [abs(velocity) > 30, False, False]


def test_flag_outside_calibration():
    """Of Teff, log g and [M/H], each."""
    shipped = rvsemu.shipped()
    ranges = {"teff": [4900.0, 6300.0], "logg": [4.0, 4.6], "mh": [-0.3, 0.3]}
    calibration = {"ranges": ranges, "model_error": {"base": 0.003, "depth": 0.01}}
    emulator = dataclasses.replace(shipped, info={**shipped.info, "calibration": calibration})
    cases = {(5777.0, 4.4, 0.0): False, (5200.0, 2.8, 0.0): True, (5777.0, 4.4, -0.8): True, (4300.0, 4.6, 0.0): True}
    for (teff, logg, mh), expected in cases.items():
        star = rvsemu.generate(**SUN | {"teff": teff, "logg": logg, "mh": mh})
        seen = rvsemu.simulate(star, signal_to_noise=100, seed=5, release="Gaia DR4")
        assert ("outside-calibration" in fit(seen, emulator=emulator).flags) is expected, teff
        assert "outside-calibration" not in fit(seen).flags


@pytest.mark.parametrize("way", WAYS)
def test_flag_titanium_oxide(way):
    """Cool stars have it, where lines of 48Ti16O are displaced in the library that the emulator learnt from."""
    shipped = rvsemu.shipped()
    library = {"lines": shipped.info["library"]["lines"]}
    older = dataclasses.replace(shipped, info={**shipped.info, "library": library})
    cool, sun = (rvsemu.generate(**SUN | labels) for labels in ({"teff": 3700.0, "logg": 4.7}, {}))
    cool, sun = (rvsemu.simulate(star, signal_to_noise=100, seed=5, release="Gaia DR4") for star in (cool, sun))
    assert "titanium-oxide" in WAYS[way](cool, emulator=older).flags
    assert "titanium-oxide" not in WAYS[way](sun, emulator=older).flags
    assert "titanium-oxide" not in WAYS[way](cool).flags


def test_transits_together_dispute_a_prior(emulator):
    """What each of eight noisy transits does not know alone."""
    settings = {"emulator": emulator, "noise_correlation": (), "model_error": None}
    settings |= {"priors": {"logg": (SUN["logg"] - 0.8, 0.02), "vmic": "wide"}}
    transits = [observe(emulator, snr=25, seed=seed) for seed in range(8)]
    alone = [one for one in fit_many(transits, **settings) if "prior-disputed:logg" in one.flags]
    assert len(alone) < 4
    assert "prior-disputed:logg" in fit_transits(transits, **settings).flags


def test_disputes_are_those_of_fits_without_the_prior(emulator):
    """(free - mean) / sqrt(error**2 + sigma**2), of a prior narrower than the error, as wide, or wider."""
    star, white = observe(emulator, snr=100, seed=5), {"emulator": emulator, "noise_correlation": ()}
    held = {"model_error": None, "fixed": {"vmic": SUN["vmic"], "alpha": 0.0}, "priors": {}}
    free = fit(star, **white, **held)
    value, error = free.logg.value, free.errors["logg"].value
    for sigma in (0.1 * error, error, 5 * error):
        settings = Settings(**white, **held | {"priors": {"logg": (value - 2 * np.hypot(error, sigma), sigma)}})
        problem = Problem([settings.observe(star)], settings)
        minima = problem.minima()
        found = dict(zip(problem.parameters.free_names, minima.disputes[minima.best(0)], strict=True))
        assert found["logg"] == pytest.approx(2.0, rel=0.15)
        assert found["teff"] == found["mh"] == 0


@pytest.mark.parametrize(("resolution", "disputed"), [(12700.0, False), (14200.0, True)])
def test_four_per_cent_of_resolution_are_tolerated(emulator, resolution, disputed):
    """As models make that of bright real stars too high: by the errors of fit, prior and models together."""
    star = observe(emulator, SUN | {"resolution": resolution}, snr=400, seed=5)
    held = {"emulator": emulator, "noise_correlation": (), "model_error": None}
    held |= {"fixed": {"vmic": SUN["vmic"], "vsini": SUN["vsini"], "alpha": 0.0}}
    free = fit(star, **held, priors={})
    settings = Settings(**held, priors={"resolution": "gaia-rvs"})
    problem = Problem([settings.observe(star)], settings)
    minima = problem.minima()
    found = dict(zip(problem.parameters.free_names, minima.disputes[minima.best(0)], strict=True))
    scatter = np.sqrt(free.errors["resolution"].value ** 2 + 150**2 + (0.04 * 11900) ** 2)
    assert found["resolution"] == pytest.approx((free.resolution.value - 11900) / scatter, rel=0.15)
    assert ("prior-disputed:resolution" in problem.results(minima)[0].flags) is disputed


def test_a_frozen_normal_distribution_is_a_normal_prior(sun, emulator):
    """What is asked for in another way has the same flags."""
    one, other = (
        fit(sun, emulator=emulator, model_error=None, priors={"teff": prior})
        for prior in ((6500.0, 50.0), scipy.stats.norm(6500.0, 50.0))
    )
    assert "prior-disputed:teff" in one.flags and other.flags == one.flags
    assert other.teff == one.teff
