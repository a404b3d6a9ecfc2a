"""Microturbulence by published relations: their values, the prior made of them, and where it counts."""

import json

import numpy as np
import pytest
from fit_fixtures import SUN, exact_emulator, fit, observe
from scipy.integrate import quad
from scipy.stats import kstest, truncnorm

import rvsemu
from rvsemu.emulator import LabelSpace
from rvsemu.errors import LabelError
from rvsemu.fitting import DEFAULT_PRIORS, Microturbulence, Normal, Uniform, prepare
from rvsemu.fitting.parameters import Parameters
from rvsemu.fitting.start import label_grid
from rvsemu.physics.microturbulence import microturbulence

STARS = np.array(  # Teff, log g, [M/H] all over the domain, also where relations meet
    [
        *((3700, 4.7, 0.1), (3800, 2.0, -0.5), (4500, 2.5, 0.0), (5010, 3.51, -1.2), (5777, 4.44, 0.0)),
        *((6500, 3.45, 0.3), (6650, 4.2, -0.2), (8000, 4.0, 1.0), (10100, 3.0, 0.0), (14500, 4.2, 0.5)),
    ]
)


@pytest.fixture(scope="module")
def emulator():
    return exact_emulator()


# ---------------------------------------------------------------- the relation


@pytest.mark.parametrize(
    ("star", "expected"),
    [
        ((5771, 4.44, 0.0), 1.07),  # the Sun in the example scripts of iSpec, from its own code
        ((8071.03, 4.0, 0.0), 3.31),  # the highest of Gebran et al. (2014)
        ((5500, 4.0, 0.0), 1.05),  # the origin of the relation of the Gaia-ESO survey, of dwarfs
        ((5500, 2.5, 0.0), 1.25 + 0.21 - 0.01125),  # and of giants
        ((4000, 4.5, 0.0), 1.05 - 0.1255 + 0.0375 - 0.07 - 0.00125),  # as at 5000 K
    ],
)
def test_values_are_those_of_the_papers(star, expected):
    assert microturbulence(*star).mean[0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("of", "teff", "logg", "expected"),
    [
        ("GALAH, Buder et al. 2021", 5777, 4.44, 1.1 + 1e-4 * 277 + 4e-7 * 277**2),
        ("GALAH, Buder et al. 2021", 4800, 4.5, 1.1 - 1.6e-4 * 700),
        ("GALAH, Buder et al. 2021", 4500, 2.5, 1.1 - 1e-4 * 1000 + 4e-7 * 1000**2),
        ("Bruntt et al. 2010", 6200, 4.2, 1.01 + 4.561e-4 * 500 + 2.75e-7 * 500**2),
        ("Tsantaki et al. 2013", 5777, 4.44, 6.932e-4 * 5777 - 0.348 * 4.44 - 1.437),
        ("Tsantaki et al. 2013", 6400, 4.4, 6.932e-4 * 6400 - 0.348 * 4.4 - 1.437),
        ("Adibekyan et al. 2015", 4900, 2.8, 2.72 - 0.457 * 2.8),
    ],
)
def test_other_relations_are_within_the_scatter(of, teff, logg, expected):
    about = microturbulence(teff, logg)
    assert abs(about.mean[0] - expected) < 1.1 * about.scatter[0], of


def test_slopes_of_the_relation():
    about, steps = microturbulence(*STARS.T), (1.0, 1e-3, 1e-3)
    for i, step in enumerate(steps):
        up, down = (microturbulence(*(STARS + sign * step * np.eye(3)[i]).T) for sign in (1, -1))
        np.testing.assert_allclose(about.mean_slope[:, i], (up.mean - down.mean) / (2 * step), rtol=1e-4, atol=1e-9)
        if i == 0:
            np.testing.assert_allclose(about.scatter_slope, (up.scatter - down.scatter) / 2, rtol=1e-4, atol=1e-10)


def test_it_is_smooth_and_positive_everywhere():
    teff = np.arange(3000.0, 17000.0, 5.0)
    for logg in (0.0, 2.0, 3.5, 4.4, 5.3):
        about = microturbulence(teff, logg, -1.0)
        assert np.all(about.mean > -1e-3) and np.all(about.mean < 4)
        assert np.abs(np.diff(about.mean)).max() < 0.02
        assert np.all(about.scatter >= 0.19)


# ---------------------------------------------------------------- the density


@pytest.mark.parametrize("limits", [(0.0, 4.0), (0.5, 1.2), (0.0, np.inf)])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_it_is_a_density_of_each_star(limits, factor):
    prior = Microturbulence(factor).within(*limits)
    for star in STARS:
        about = microturbulence(*star)
        mean, sigma = about.mean[0], factor * about.scatter[0]
        expected = truncnorm((limits[0] - mean) / sigma, (limits[1] - mean) / sigma, mean, sigma)
        x = np.linspace(limits[0], min(limits[1], 5.0), 7)
        np.testing.assert_allclose(prior.log_density(x, *star), expected.logpdf(x), rtol=1e-10, atol=1e-8)
        assert np.all(prior.log_density(np.array([limits[0] - 1e-6]), *star) == -np.inf)
    total = quad(lambda x: np.exp(prior.log_density(np.array([x]), 5777, 4.44)[0]), limits[0], min(limits[1], 9.0))[0]
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("limits", [(0.0, 4.0), (0.3, 1.5), (0.0, np.inf)])
def test_its_derivatives_are_those_of_all_of_it(limits):
    """Of the normalisation, too, which counts for hot stars, whose mean is next to zero."""
    prior = Microturbulence(1.5).within(*limits)
    for value in (0.31, 0.9, 1.45):
        at = np.column_stack([np.full(len(STARS), value), STARS])
        first, second = prior.slopes(*at.T)
        for i, step in enumerate((1e-4, 1.0, 1e-3, 1e-3)):
            up, down = (prior.log_density(*(at + sign * step * np.eye(4)[i]).T) for sign in (1, -1))
            np.testing.assert_allclose(first[:, i], -(up - down) / (2 * step), rtol=3e-4, atol=1e-7)
        assert np.all(np.linalg.eigvalsh(second) > -1e-9)
        about = microturbulence(*STARS.T)
        np.testing.assert_allclose(second[:, 0, 0], (1.5 * about.scatter) ** -2)
        np.testing.assert_allclose(second[:, 0, 2], -about.mean_slope[:, 1] * second[:, 0, 0])


def test_draws_have_this_density():
    prior = Microturbulence().within(0.0, 4.0)
    for star in STARS[[4, 6, 9]]:
        drawn = prior.draw(np.random.default_rng(1), *np.repeat(star[:, None], 2000, axis=1))
        about = microturbulence(*star)
        mean, sigma = about.mean[0], about.scatter[0]
        assert kstest(drawn, truncnorm(-mean / sigma, (4 - mean) / sigma, mean, sigma).cdf).pvalue > 0.01


# ---------------------------------------------------------------- in the parameters of a fit


def free_values(parameters, n=6):
    """Some within the bounds, (n, m)."""
    part = np.random.default_rng(3).uniform(0.05, 0.95, (n, len(parameters.free)))
    return parameters.box.lower + part * (parameters.box.upper - parameters.box.lower)


@pytest.mark.parametrize("fixed", [{}, {"teff": 5777.0}, {"logg": 3.4, "mh": -0.3}, {"vmic": 1.0}])
@pytest.mark.parametrize("names", [None, ("teff", "logg", "vmic"), ("vmic", "resolution", "logg", "teff")])
def test_slopes_of_all_priors(fixed, names):
    """Gradient against differences of the density; whatever is fixed, absent or in another order."""
    space = LabelSpace()
    if names is not None:
        space = LabelSpace(tuple(space[name] for name in names))
    parameters = Parameters.make(space, fixed={k: v for k, v in fixed.items() if k in space.names})
    x = free_values(parameters)
    first, second = parameters.prior_slopes(x)
    assert second.shape == (*x.shape, x.shape[1])
    np.testing.assert_allclose(second, second.transpose(0, 2, 1))
    for j, step in enumerate(1e-5 * (parameters.box.upper - parameters.box.lower)):
        move = step * np.eye(x.shape[1])[j]
        expected = (parameters.log_prior(x - move) - parameters.log_prior(x + move)) / (2 * step)
        np.testing.assert_allclose(first[:, j], expected, rtol=1e-4, atol=1e-6)
    coupled = np.abs(second - np.eye(x.shape[1]) * second).max() > 0
    assert coupled == ("vmic" in parameters.free_names and bool({"teff", "logg", "mh"} & {*parameters.free_names}))


def test_with_teff_fixed_it_is_a_plain_gaussian():
    fixed = {"teff": 5777.0, "logg": 4.44, "mh": 0.0}
    parameters = Parameters.make(LabelSpace(), fixed=fixed)
    about = microturbulence(*fixed.values())
    mean, sigma = about.mean[0], about.scatter[0]
    x = free_values(parameters)
    other = Parameters.make(LabelSpace(), fixed=fixed, priors=DEFAULT_PRIORS | {"vmic": Normal(mean, sigma)})
    np.testing.assert_allclose(parameters.log_prior(x), other.log_prior(x), atol=1e-6)
    np.testing.assert_allclose(parameters.prior_slopes(x)[1], other.prior_slopes(x)[1])


def test_fits_begin_where_it_expects_them():
    parameters = Parameters.make(LabelSpace(), fixed={"mh": 0.1})
    theta = label_grid(parameters)
    np.testing.assert_allclose(theta[:, 4], np.clip(microturbulence(*theta.T[[0, 1, 3]]).mean, 0, 4))
    assert np.all(theta[:, 5] == 11900)
    wide = Parameters.make(LabelSpace(), priors=DEFAULT_PRIORS | {"vmic": "wide"})
    assert np.all(label_grid(wide)[:, 4] == 1.5)


def test_without_its_labels_it_is_the_wide_one():
    space = LabelSpace(tuple(label for label in LabelSpace().labels if label.name != "logg"))
    assert Parameters.make(space).informative == {"vmic": (1.5, 0.8), "resolution": (11900, 150)}
    with pytest.raises(LabelError, match="needs logg, which is no label"):
        Parameters.make(space, priors={"vmic": "relation"})
    assert Parameters.make(LabelSpace(), fixed={"vmic": 1.0}).informative == {"resolution": (11900, 150)}


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"vmic": "narrow"}, "'narrow' is unknown: there are 'relation' and 'wide'"),
        ({"teff": "relation"}, "'relation' is unknown: none of this label has a name"),
        ({"teff": Microturbulence()}, "for vmic alone"),
        ({"vmic": Microturbulence(0.0)}, "factor must be positive"),
    ],
)
def test_wrong_names_and_labels(priors, message):
    with pytest.raises(LabelError, match=message):
        Parameters.make(LabelSpace(), priors=priors)


# ---------------------------------------------------------------- in fits, draws and chains


def test_names_are_the_priors(emulator):
    star = observe(emulator, SUN, snr=60, seed=1)
    default = fit(star, emulator=emulator)
    named = fit(star, emulator=emulator, priors={"vmic": "relation", "resolution": "gaia-rvs"})
    wide = fit(star, emulator=emulator, priors={"vmic": "wide", "resolution": "gaia-rvs"})
    given = fit(star, emulator=emulator, priors={"vmic": (1.5, 0.8), "resolution": (11900, 150)})
    assert default.labels == named.labels and wide.labels == given.labels
    assert default.meta["priors"] == named.meta["priors"] == DEFAULT_PRIORS | {"resolution": (11900, 150)}
    assert wide.meta["priors"] == {"vmic": (1.5, 0.8), "resolution": (11900, 150)}
    assert default.errors["vmic"] < 0.7 * wide.errors["vmic"]


def test_fixed_labels(emulator):
    """With vmic fixed nothing is left of it; with Teff fixed, vmic is where the relation and the spectrum have it."""
    star = observe(emulator, SUN, snr=60, seed=1)
    held = {"fixed": {"vmic": 1.2}, "emulator": emulator}
    assert fit(star, **held).labels == fit(star, priors={"resolution": "gaia-rvs"}, **held).labels
    found = fit(star, emulator=emulator, fixed={"teff": 5777.0})
    assert found.teff.value == 5777
    assert abs(found.vmic.value - 1.15) < 3 * found.errors["vmic"].value


def test_a_star_of_no_information_is_as_the_relation_says(emulator):
    star = observe(emulator, SUN, snr=2, seed=2)
    found = fit(star, emulator=emulator, fixed={"teff": 5777.0, "logg": 4.44, "mh": 0.0})
    assert found.vmic.value == pytest.approx(1.07, abs=0.1)
    assert found.errors["vmic"].value == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(("snr", "count"), [(100, 100)])
def test_intervals_hold_labels_drawn_from_the_joint_prior(emulator, snr, count):
    """Labels first, then vmic given them: least squares must hold the truth as often as it says."""
    rng = np.random.default_rng(7)
    stars, truth = [], []
    for number in range(count):
        labels = {"teff": rng.uniform(4800, 6500), "logg": rng.uniform(3.2, 4.6), "vsini": rng.uniform(15, 40)}
        labels |= {"mh": rng.uniform(-0.6, 0.4), "resolution": rng.normal(11900, 150)}
        three = (labels[name] for name in ("teff", "logg", "mh"))
        labels["vmic"] = Microturbulence().within(0, 4).draw(rng, *three)[0]
        stars.append(observe(emulator, labels, snr=snr, seed=number))
        truth.append(labels)
    settings = {"model_error": None, "noise_correlation": (), "emulator": emulator, "radial_velocity": 0.0}
    found = rvsemu.fitting.fit_many(stars, **settings)
    for name in ("teff", "logg", "mh", "vmic"):
        pull = [(r.labels[name].value - t[name]) / r.errors[name].value for r, t in zip(found, truth, strict=True)]
        assert 0.79 < np.sqrt(np.mean(np.square(pull))) < 1.21, name  # three chance errors
        assert 0.54 < np.mean(np.abs(pull) < 1) < 0.82, name  # 0.68, within three chance errors


def test_draws_and_chains_have_the_same_prior(emulator, tmp_path):
    star = observe(emulator, SUN | {"vmic": 0.8}, snr=40, seed=4)
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": (), "radial_velocity": 0.0}
    likelihood = prepare(star, **settings)
    x = free_values(likelihood.parameters, 3)
    np.testing.assert_allclose(likelihood.log_prior(x), likelihood.parameters.log_prior(x))
    drawn = rvsemu.fit(star, errors="sampled", scale_errors=False, **settings)
    file = tmp_path / "chain.h5"
    chain = rvsemu.sample(star, steps=400, seed=1, progress=False, file=file, **settings)
    for name in ("teff", "logg", "vmic", "mh"):
        sigma = drawn.errors[name]
        assert abs(chain.labels[name] - drawn.labels[name]) < 0.25 * sigma, name
        assert (chain.errors[name] / sigma).value == pytest.approx(1, abs=0.25), name
    assert "Microturbulence" in json.dumps(chain.meta["priors"])
    with pytest.raises(rvsemu.errors.PosteriorFileError, match="other data or settings"):
        other = {"priors": DEFAULT_PRIORS | {"vmic": "wide"}}
        rvsemu.sample(star, steps=401, seed=1, progress=False, file=file, **settings, **other)


def test_a_uniform_vmic_still_is_one(emulator):
    parameters = Parameters.make(emulator.labels, priors={"vmic": Uniform(0.5, 2.0)})
    assert parameters.informative == {"vmic": Uniform(0.5, 2.0)}
