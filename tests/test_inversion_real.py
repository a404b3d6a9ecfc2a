"""Inversions of noisy spectra: networks that expect noise, labels that contradict the spectrum, real stars."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from inversion_fixtures import PLAIN, SPACE, K, exact_inversion, meant_without_noise, observed, star_labels

import rvsemu
from rvsemu.emulator import DenseNetwork, Layer
from rvsemu.errors import InversionFileError
from rvsemu.inversion import Inversion, invert
from rvsemu.inversion.noisy import NoiseNetworks, network_inputs

REAL = ("kepler-93", "hd176650", "gaia-1535964555128078720", "gaia-3174658066485297152")
MAIN = ("teff", "logg", "mh")
PRIOR = np.array([np.zeros(K), np.full(K, 0.7)])  # uniform from -1 to 1


def linear(shift=0.0, error=0.05):
    """Networks that know the truth of `exact_inversion`, c = 2 z, but for a `shift` of the scaled labels."""
    posterior = np.zeros((2 * K, 2 * K), "f4")
    posterior[:K, :K] = 0.5 * np.eye(K)
    bias = np.concatenate([np.broadcast_to(shift, K), np.full(K, np.log(error))]).astype("f4")
    forward = Layer(2 * np.eye(K, dtype="f4"), np.zeros(K, "f4"))
    return NoiseNetworks(DenseNetwork([Layer(posterior, bias)]), DenseNetwork([forward]), np.full(K, 1e-3), PRIOR)


@pytest.fixture(scope="module")
def exact():
    return exact_inversion()


@pytest.fixture(scope="module")
def stars():
    return star_labels()


def scaled(labels):
    return SPACE.scaled(np.array([labels[name].value for name in SPACE.names]).T)


def scaled_errors(result):
    values, errors = (np.array([x[n].value for n in SPACE.names]) for x in (result.labels, result.errors))
    return SPACE.slope(values) * errors


# ---------------------------------------------------------------- labels that contradict the spectrum
def test_right_labels_do_not_contradict(exact, stars):
    """The networks for noise give labels and errors of an observed spectrum, and nothing is flagged."""
    noisy = replace(exact, noisy=linear(error=0.004))
    for z in stars[:4]:
        result = invert(observed(exact, z, sigma=0.002), inversion=noisy, **PLAIN)
        np.testing.assert_allclose(scaled(result.labels), z, atol=0.02)
        assert np.all(np.abs(scaled(result.labels) - z) < 3 * scaled_errors(result))
        assert np.all(scaled_errors(result) < 0.05)  # the spectrum knows more than the network
        assert all(result.noise_errors[n] <= result.errors[n] for n in SPACE.names)
        assert [result.flags] == meant_without_noise(result)


def test_a_network_that_is_much_less_sure_is_kept(exact, stars):
    """Least squares see one of the sets of labels that a network with large errors may know of."""
    networks = linear(shift=0.1, error=0.3)
    result = invert(observed(exact, stars[1], sigma=0.002), inversion=replace(exact, noisy=networks), **PLAIN)
    np.testing.assert_allclose(scaled(result.labels), stars[1] + 0.1, atol=0.02)
    np.testing.assert_allclose(scaled_errors(result), 0.3, rtol=0.05)
    far = tuple(flag for flag in result.flags if flag != "at-bound:teff")  # any Teff is within four such errors
    assert [far] == meant_without_noise(result)


@pytest.mark.parametrize("label", range(K), ids=SPACE.names)
def test_wrong_labels_are_flagged_and_widened(exact, stars, label):
    """A label that is off by six errors is flagged, and its error reaches the truth."""
    noisy = replace(exact, noisy=linear(shift=0.3 * (np.arange(K) == label)))
    z = np.minimum(stars[1], 0.6)
    result = invert(observed(exact, z, sigma=0.002), inversion=noisy, **PLAIN)
    assert "labels-contradict" in result.flags
    name = SPACE.names[label]
    true = SPACE.quantity(name, SPACE.unscaled(z)[label])
    assert abs(result.labels[name] - true) < 1.5 * result.errors[name]


def test_noise_excuses_wrong_labels(exact, stars):
    """Where the pixels say nothing of a label, they do not contradict it."""
    noisy = replace(exact, noisy=linear(shift=0.3, error=0.4))
    assert "labels-contradict" not in invert(observed(exact, stars[1], sigma=0.5), inversion=noisy, **PLAIN).flags


def test_steps_are_blind_to_what_is_unknown():
    """A coefficient with its prior for covariance does not count, whatever it is."""
    networks, covariance = linear(), np.diag([1e-4] * (K - 1) + [1.0])
    z = np.linspace(-0.5, 0.5, K)
    found = 2 * z * (1 - np.diag(covariance))
    right = networks.polished(z, np.full(K, 0.05), found, covariance)
    assert not right.contradiction and np.abs(right.steps[:-1]).max() < 0.1
    assert abs(right.steps[-1]) < 1  # the prior's
    other = networks.polished(z + 0.3 * (np.arange(K) == K - 1), np.full(K, 0.05), found, covariance)
    assert not other.contradiction
    wrong = networks.polished(z + 0.3 * (np.arange(K) == 0), np.full(K, 0.05), found, covariance)
    assert wrong.contradiction and wrong.steps[0] == pytest.approx(-6, rel=0.05)


def test_no_labels_imply_what_is_unlike_any_spectrum():
    """More coefficients than labels: what no labels make is improbable."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(20, K)))[0].T
    posterior = Layer(np.zeros((40, 2 * K), "f4"), np.zeros(2 * K, "f4"))
    networks = NoiseNetworks(
        DenseNetwork([posterior]),
        DenseNetwork([Layer(basis.astype("f4"), np.zeros(20, "f4"))]),
        np.full(20, 1e-3),
        PRIOR,
    )
    z, covariance = np.full(K, 0.2), 1e-4 * np.eye(20)
    found = z @ basis + 0.01 * rng.normal(size=20)
    assert 1e-3 < networks.polished(z, np.full(K, 0.05), found, covariance).probability < 1
    odd = found + 0.2 * np.linalg.svd(basis)[2][-1]
    assert networks.polished(z, np.full(K, 0.05), odd, covariance).contradiction


def test_errors_of_polished_labels_are_their_scatter(exact):
    """Realisations of noise: labels scatter as stated where the spectrum knows more than prior and network."""
    networks, rng, pulls = linear(error=0.3), np.random.default_rng(8), []
    information = np.diag(rng.uniform(200, 2000, K))
    covariance = np.linalg.inv(information + np.eye(K))
    z = np.linspace(-0.5, 0.5, K)
    for _ in range(300):
        data = 2 * z + rng.normal(size=K) / np.sqrt(np.diag(information))
        found = covariance @ information @ data
        polished = networks.polished(z, np.full(K, 0.3), found, covariance)
        pulls.append((polished.scaled - z) / polished.errors)
    assert 0.9 < np.std(pulls) < 1.1 and np.all(np.abs(np.mean(pulls, axis=0)) < 0.25)


# ---------------------------------------------------------------- inputs and files
def test_inputs_say_how_well_coefficients_are_known():
    inputs = network_inputs([[0.5, -1.0, 0.0]], [[1.0, 0.01, 0.0]])
    np.testing.assert_allclose(inputs, [[0.5, -1.0, 0.0, 1.0, 0.0, -3.0]], atol=1e-6)


def test_networks_must_fit(exact):
    good = linear()
    with pytest.raises(ValueError, match="forward network"):
        replace(good, forward_error=np.zeros(K - 1))
    with pytest.raises(ValueError, match="network for noise"):
        replace(good, posterior=good.forward)
    with pytest.raises(ValueError, match="prior"):
        replace(good, prior=0 * PRIOR)
    few = NoiseNetworks(
        DenseNetwork([Layer(np.zeros((4, 2 * K), "f4"), np.zeros(2 * K, "f4"))]),
        DenseNetwork([Layer(np.zeros((K, 2), "f4"), np.zeros(2, "f4"))]),
        np.zeros(2),
        PRIOR,
    )
    with pytest.raises(ValueError, match="networks for noise do not fit"):
        replace(exact, noisy=few)


def test_file_round_trip(exact, stars, tmp_path):
    noisy = replace(exact, noisy=linear())
    noisy.save(tmp_path / "noisy.h5")
    again = Inversion.load(tmp_path / "noisy.h5")
    spectrum = observed(exact, stars[2], sigma=0.002)
    first, second = (invert(spectrum, inversion=one, **PLAIN) for one in (noisy, again))
    np.testing.assert_allclose(scaled(first.labels), scaled(second.labels), atol=1e-4)
    exact.save(tmp_path / "plain.h5")
    assert Inversion.load(tmp_path / "plain.h5").noisy is None


def test_damaged_file(exact, tmp_path):
    import h5py

    replace(exact, noisy=linear()).save(tmp_path / "noisy.h5", overwrite=True)
    with h5py.File(tmp_path / "noisy.h5", "r+") as file:
        del file["noisy/forward"]
    with pytest.raises(InversionFileError):
        Inversion.load(tmp_path / "noisy.h5")


# ---------------------------------------------------------------- real and simulated stars
@pytest.fixture(scope="module", params=REAL)
def real(request):
    star = rvsemu.read_rvs(rvsemu.example_path(request.param))[0]
    return request.param, invert(star), rvsemu.fit(star, priors={"vmic": "wide", "resolution": "gaia-rvs"})


def test_real_stars_agree_with_fits(real):
    """Within two of the stated errors, which are small where there is no flag; with as wide a prior of vmic."""
    _, inverted, fitted = real
    for label, most in zip(MAIN, (400.0, 0.6, 0.4), strict=True):
        assert inverted.errors[label].value < most or "labels-contradict" in inverted.flags
        assert abs(inverted.labels[label] - fitted.labels[label]) < 2 * inverted.errors[label]
    for label in ("vsini", "resolution"):
        near = abs(inverted.labels[label] - fitted.labels[label]) < 2 * inverted.errors[label]
        assert near or "labels-contradict" in inverted.flags


@pytest.mark.parametrize("snr", [20, 100])
@pytest.mark.parametrize(
    "labels",
    [
        {"teff": 5777, "logg": 4.44, "vsini": 3, "mh": 0.0, "vmic": 1.2},
        {"teff": 4600, "logg": 2.4, "vsini": 3, "mh": -0.3, "vmic": 1.5},
        {"teff": 8500, "logg": 4.0, "vsini": 80, "mh": 0.0, "vmic": 2.0},
    ],
    ids=["sun", "giant", "A star"],
)
def test_simulated_stars(labels, snr):
    """Labels within three errors, at any signal to noise."""
    star = rvsemu.generate(**labels, resolution=11900)
    result = invert(rvsemu.simulate(star, signal_to_noise=snr, seed=5))
    for name, value in labels.items():
        assert abs(result.labels[name].value - value) < 3 * result.errors[name].value, name
    assert "labels-contradict" not in result.flags


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("outside", "label"),
    [
        ({"teff": 3300.0, "logg": 4.8}, "teff"),
        ({"teff": 3450.0, "logg": 4.7}, "teff"),
        ({"teff": 16500.0, "vmic": 2.0}, "teff"),
        ({"logg": 5.4}, "logg"),
    ],
)
def test_stars_outside_the_domain_are_flagged(outside, label, seed):
    """What is beyond a limit is set to it, exactly; least squares end there, whatever the transform of the label.

    Networks have learnt nothing of stars that are far beyond, and may see them on this side.
    """
    sun = {"teff": 5200.0, "logg": 4.4, "vsini": 3.0, "mh": 0.0, "vmic": 1.0, "resolution": 11900.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        star = rvsemu.generate(**sun | outside, extrapolate=True)
    result = invert(rvsemu.simulate(star, signal_to_noise=150, seed=seed))
    assert f"at-bound:{label}" in result.flags
    far = outside.get("teff") == 3300.0
    assert far or result.labels[label].value in result.limits[label]


@pytest.mark.parametrize(
    "labels",
    [
        {"teff": 6400.0, "logg": 4.3, "vsini": 3.0, "vmic": 1.4},
        {"teff": 4600.0, "logg": 2.5, "vsini": 3.0, "vmic": 1.4},
        {"teff": 8500.0, "logg": 4.1, "vsini": 60.0, "vmic": 3.0},
    ],
)
def test_a_given_velocity_that_is_wrong_is_disputed(labels):
    """Labels at a wrong one are wrong, too: two lines beside each other look like fast rotation."""
    star = rvsemu.generate(**labels, resolution=11900)
    settings = {"signal_to_noise": 80, "frame": "barycentric"}
    seen = [rvsemu.simulate(star, radial_velocity=200 + v, seed=seed, **settings) for v in (0, 40) for seed in range(3)]
    flags = [invert(spectrum, radial_velocity=200.0).flags for spectrum in seen]
    assert ["held-disputed:radial_velocity" in one for one in flags] == [False] * 3 + [True] * 3
    assert "held-disputed:radial_velocity" not in invert(seen[-1]).flags


def test_a_floor_of_logg_is_a_limit():
    """What is below the lowest log g at a Teff is set to it, and flagged."""
    inversion = rvsemu.inversion.shipped_inversion()
    limited = replace(inversion, labels=replace(inversion.labels, lowest_logg=((3600.0, 2.0), (15000.0, 4.5))))
    star = rvsemu.generate(teff=7500, logg=2.6, vsini=30, mh=0, vmic=2, resolution=11900)
    spectrum = rvsemu.simulate(star, signal_to_noise=100, seed=1)
    free, result = (invert(spectrum, inversion=one) for one in (inversion, limited))
    floor = limited.labels.lowest(result.teff.value)
    assert free.logg.value < floor - 0.1 and "at-bound:logg" not in free.flags
    assert result.logg.value == pytest.approx(floor) and "at-bound:logg" in result.flags


@pytest.mark.parametrize("labels", [{"teff": 5777, "logg": 4.44, "mh": 0.0}, {"teff": 4600, "logg": 2.3, "mh": -0.2}])
def test_errors_that_are_too_small_do_not_move_labels(labels):
    """They are scaled by what they are too small by, and nothing else."""
    star = rvsemu.generate(**labels, vsini=4, vmic=1.3, resolution=11900)
    given, found = {"smooth_sigma": False, "model_error": None}, []
    for seed in range(12):
        spectrum = rvsemu.simulate(star, signal_to_noise=25, seed=seed, true_errors=True)
        sigma = spectrum.uncertainty.array
        right, small = (invert(spectrum, sigma=sigma / factor, **given) for factor in (1.0, 1.6))
        assert small.meta["errors_scaled_by"] == pytest.approx(1.6, rel=0.05)
        found.append([(small.labels[n] - right.labels[n]) / right.errors[n] for n in (*MAIN, "vmic")])
        assert ("labels-contradict" in small.flags) == ("labels-contradict" in right.flags)
    assert np.sqrt(np.mean(np.square(found))) < 0.5


@pytest.mark.parametrize(
    ("labels", "snr"),
    [
        ({"teff": 5777, "logg": 4.4, "vsini": 5}, 50),
        ({"teff": 7500, "logg": 4.0, "vsini": 150}, 30),
        ({"teff": 12000, "logg": 4.0, "vsini": 60}, 60),
        ({"teff": 12000, "logg": 4.0, "vsini": 200}, 50),
    ],
    ids=["sun", "fast F star", "B star", "fast B star"],
)
def test_errors_of_velocities_are_right(labels, snr):
    """Also where lines are so broad that components fit best at other velocities than labels do."""
    star = rvsemu.generate(**labels, mh=0, vmic=1.5, resolution=11900)
    given = {"signal_to_noise": snr, "radial_velocity": 12.0, "release": "Gaia DR4"}
    results = [invert(rvsemu.simulate(star, seed=seed, **given)) for seed in range(12)]
    pulls = [(one.radial_velocity.value - 12.0) / one.errors["radial_velocity"].value for one in results]
    assert 0.4 < np.sqrt(np.mean(np.square(pulls))) < 1.6
    assert not any("not-converged" in one.flags for one in results)


def test_errors_grow_with_noise():
    star = rvsemu.generate(teff=5777, logg=4.44, vsini=3, mh=0, vmic=1.2, resolution=11900)
    errors = [invert(rvsemu.simulate(star, signal_to_noise=s, seed=1)).errors for s in (10, 40, 200)]
    for name in MAIN:
        assert errors[0][name] > errors[1][name] > errors[2][name]


def test_another_star_contradicts():
    """Labels of another star are flagged by the spectrum, which leads home, and errors reach from one to the other."""
    inversion = rvsemu.inversion.shipped_inversion()
    bias = inversion.noisy.posterior.layers[-1].bias.copy()
    bias[inversion.labels.names.index("teff")] -= 0.3
    *layers, last = inversion.noisy.posterior.layers
    wrong = replace(inversion.noisy, posterior=DenseNetwork([*layers, replace(last, bias=bias)]))
    star = rvsemu.generate(teff=5777, logg=4.44, vsini=3, mh=0, vmic=1.2, resolution=11900)
    spectrum = rvsemu.simulate(star, signal_to_noise=100, seed=1)
    result = invert(spectrum, inversion=replace(inversion, noisy=wrong))
    assert abs(result.teff - 5777 * u.K) < 300 * u.K and result.errors["teff"] > 300 * u.K
    assert "labels-contradict" in result.flags


# ---------------------------------------------------------------- alpha elements, which inversions do not know
@pytest.mark.parametrize(
    "labels", [{"teff": 5600.0, "logg": 4.4, "vmic": 1.0}, {"teff": 4600.0, "logg": 2.4, "vmic": 1.4}]
)
def test_a_star_rich_in_alpha_elements_is_flagged_at_any_metallicity(labels):
    """Its [M/H] comes out 0.2 or more too high, so that a limit of [M/H] does not see it."""
    for alpha, mh in ((0.0, 0.0), (0.0, -0.2), (0.3, -0.2)):
        star = rvsemu.generate(**labels, vsini=4.0, resolution=11900.0, mh=mh, alpha=alpha)
        result = invert(rvsemu.simulate(star, signal_to_noise=80, seed=3))
        assert ("alpha-assumed" in result.flags) == (alpha > 0), (alpha, mh)
        assert result.mh.value > -0.3
    assert result.mh.value - mh > 0.15


def test_tension_is_the_score_of_a_linear_problem():
    """Of coefficients c = 2 z + by a, known to 0.01, a is known to 0.01 / |the part of by that no label has|."""
    noisy, covariance = linear(), 1e-4 * np.eye(K)
    by = np.zeros(K)
    by[0] = 1.0
    free = replace(
        noisy, forward=DenseNetwork([Layer(np.diag([0.0, *[2.0] * (K - 1)]).astype("f4"), np.zeros(K, "f4"))])
    )
    error = np.sqrt(1e-4 / (1.0 - 1e-4) + 1e-6)
    found = 0.05 * by
    assert free.tension(np.zeros(K), found, covariance, by) == pytest.approx(0.05 / (1.0 - 1e-4) / error, rel=1e-3)
    assert free.tension(np.zeros(K), 0 * found, covariance, by) == pytest.approx(0.0, abs=1e-6)
    assert noisy.tension(0.5 * found, found, covariance, by) < 0.2
