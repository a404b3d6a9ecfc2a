"""Labels that are held at a value that the spectrum disputes."""

import dataclasses

import numpy as np
import pytest
from fit_fixtures import SUN, fit, observe

import rvsemu
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import LabelError
from rvsemu.fitting import Settings, fit_many, fit_transits
from rvsemu.fitting.held import external_error
from rvsemu.fitting.problem import Problem

STAR = SUN | {"vsini": 25.0, "vmic": 1.2}
WAYS = {
    "gaussian": rvsemu.fit,
    "sampled": lambda *a, **k: rvsemu.fit(*a, errors="sampled", **k),
    "chain": lambda *a, **k: rvsemu.sample(*a, steps=100, stop=None, progress=False, **k),
    "many": lambda star, **k: fit_many([star], **k)[0],
    "transits": lambda star, **k: fit_transits([star, star], **k),
}


@pytest.fixture(scope="module")
def white(emulator):
    return {"emulator": emulator, "model_error": None, "noise_correlation": (), "priors": {}}


def disputed(result) -> list[str]:
    return [flag for flag in result.flags if flag.startswith("held-disputed")]


@pytest.mark.parametrize("way", WAYS)
def test_flag_held_disputed(way, white):
    """Of a label that is held far from what it is, and of no label that is held where it is."""
    star = observe(white["emulator"], STAR, snr=100, seed=4)
    held = {name: STAR[name] for name in ("teff", "mh", "vmic")} | {"alpha": 0.0}
    assert disputed(WAYS[way](star, **white, fixed=held)) == []
    wrong = {"logg": STAR["logg"] - 1.5, "vmic": STAR["vmic"]}
    assert disputed(WAYS[way](star, **white, fixed=wrong)) == ["held-disputed:logg"]


def tension(white, star, **fixed) -> dict[str, float]:
    settings = Settings(**white, fixed=fixed)
    problem = Problem([settings.observe(star)], settings)
    minima = problem.minima()
    return dict(zip(problem.parameters.space.names, minima.tension[minima.best(0)], strict=True))


@pytest.mark.parametrize("way", ["gaussian", "transits"])
@pytest.mark.parametrize(("name", "value"), [("logg", 3.0), ("teff", 4500.0), ("mh", -1.2)])
def test_a_label_held_far_off_is_disputed(name, value, way):
    """Of Kepler-93, with the error of models: far off, the curvature of the misfit alone would hardly say so."""
    (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    assert f"held-disputed:{name}" in WAYS[way](star, fixed={name: value}).flags


NAMES = ("teff", "logg", "mh", "vmic", "alpha", "resolution", "vsini", "radial_velocity")


@pytest.mark.parametrize("name", NAMES)
def test_tension_is_that_of_the_fit_where_the_label_is_free(name, white):
    """(free - held) / sqrt(error**2 + external**2), in both directions; of v sin i, of its square."""
    star = observe(white["emulator"], STAR, snr=200, seed=5)
    others = {} if name in ("vmic", "resolution", "vsini") else {"vmic": STAR["vmic"], "resolution": STAR["resolution"]}
    others |= {} if name == "alpha" else {"alpha": 0.0}
    free = fit(star, **white | ({"priors": {"alpha": (0.0, 10.0)}} if name == "alpha" else {}), fixed=others)
    value, error = free.labels[name].value, free.errors[name].value
    for direction in (-1.0, 1.0):
        held = value + 2.0 * direction * error
        settings = Settings(**white, fixed={**others, name: held})
        parameters = settings.parameters("rest")
        external = float(external_error(parameters, parameters.space.names.index(name), held))
        away, sigma = (value**2 - held**2, 2 * held * error) if name == "vsini" else (value - held, error)
        expected = abs(away) / np.hypot(sigma, external * (2 * held if name == "vsini" else 1.0))
        assert tension(white, star, **others, **{name: held})[name] == pytest.approx(expected, rel=0.2), held


def test_vsini_0_is_disputed_by_lines_that_rotate_alone(white):
    """There the slope by v sin i vanishes; and lines that are sharper than expected ask for no v sin i at all."""
    fast, slow = (observe(white["emulator"], SUN | {"vsini": v}, snr=100, seed=6) for v in (30.0, 0.0))
    sharp = observe(white["emulator"], SUN | {"vsini": 0.0, "resolution": 13_500.0}, snr=100, seed=6)
    held = {"vmic": SUN["vmic"], "resolution": SUN["resolution"], "vsini": 0.0, "alpha": 0.0}
    assert "held-disputed:vsini" in fit(fast, **white, fixed=held).flags
    assert disputed(fit(slow, **white, fixed=held)) == []
    assert "held-disputed:vsini" not in fit(sharp, **white, fixed=held).flags


def test_right_labels_are_not_disputed(emulator):
    """Of 60 stars of all kinds, each with one of its labels held where it is, at most one: 0.1 % is expected."""
    rng, found = np.random.default_rng(7), []
    settings = {"emulator": emulator, "model_error": None, "noise_correlation": ()}
    for i in range(60):
        labels = SUN | {"teff": rng.uniform(4200, 12000), "logg": rng.uniform(3.8, 4.6), "vsini": rng.uniform(0, 80)}
        labels |= {"mh": rng.uniform(-1.5, 0.4), "alpha": 0.0}
        star = observe(emulator, labels, snr=[20, 50, 100, 300][i % 4], seed=i)
        name = ("teff", "logg", "vsini", "mh", "resolution", "alpha")[i % 6]
        found.append(fit(star, **settings, fixed={name: labels[name]}))
    assert sum(bool(disputed(one)) for one in found) <= 1


def test_what_a_spectrum_does_not_show_is_not_disputed(white):
    """Nor is anything where there is only noise."""
    star = observe(white["emulator"], STAR, snr=100, seed=8)
    found = fit(star, **white, sigma=100.0, fixed={"logg": 1.0, "mh": 1.0, "vsini": 0.0})
    assert disputed(found) == []


def test_transits_together_dispute_a_held_label(white):
    """What each of eight noisy transits does not know alone."""
    spectra = [observe(white["emulator"], SUN, snr=25, seed=seed) for seed in range(8)]
    settings = white | {"fixed": {"logg": SUN["logg"] - 0.8, "vmic": SUN["vmic"]}}
    assert sum(bool(disputed(one)) for one in fit_many(spectra, **settings)) < 4
    together = fit_transits(spectra, **settings)
    assert disputed(together) == ["held-disputed:logg"]
    assert all(disputed(one) == ["held-disputed:logg"] for one in together.transits)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("snr", [10, 100])
@pytest.mark.parametrize("how", ["radial_velocity", "fixed"])
def test_a_velocity_that_is_wrong_is_disputed(how, snr, way, white):
    """However it is held, and however little the spectrum knows of it; one that is right is not."""
    star = observe(white["emulator"], STAR, snr=snr, seed=4)
    for velocity, wrong in ((25.0, True), (0.0, False)):
        given = {"fixed": {"vmic": STAR["vmic"], "resolution": STAR["resolution"], "alpha": 0.0}}
        if how == "fixed":
            given["fixed"]["radial_velocity"] = velocity
        else:
            given["radial_velocity"] = velocity
        flags = disputed(WAYS[way](star, **white, **given))
        assert "held-disputed:radial_velocity" in flags if wrong else not flags


def test_velocities_of_transits_that_are_all_wrong_or_each():
    """By as much, which none of the faint ones knows alone; and by as much to one side as to the other."""
    star = {"teff": 5900.0, "logg": 4.2, "vsini": 10.0, "mh": -0.2, "vmic": 1.3, "resolution": 11900.0}
    given = {"release": "Gaia DR4", "frame": "barycentric", "ccds": 3}

    def found(velocities, signal_to_noise):
        model = rvsemu.generate(**star)
        spectra = [
            rvsemu.simulate(model, signal_to_noise=signal_to_noise, radial_velocity=v, seed=i, **given)
            for i, v in enumerate(velocities)
        ]
        return fit_transits(spectra, radial_velocity=0.0, model_error=None)

    flag = "held-disputed:radial_velocity"
    together = found([6.0] * 12, 12.0)
    assert flag in together.flags
    alone = found([6.0], 12.0)
    assert flag not in alone.flags
    binary = found([-25.0, 25.0] * 3, 20.0)
    assert flag in binary.flags and all(flag in one.flags for one in binary.transits)
    one_of_six = found([0.0, 0.0, 25.0, 0.0, 0.0, 0.0], 25.0)
    assert [flag in one.flags for one in one_of_six.transits] == [False, False, True, False, False, False]
    assert flag not in found([0.0] * 6, 25.0).flags


def test_vsini_that_a_network_sees_as_it_is(white):
    """As those of the paper do: 0 is the least it can be, whatever function of it is learned."""
    emulator = white["emulator"]
    labels = [dataclasses.replace(x, transform="linear") if x.name == "vsini" else x for x in emulator.labels.labels]
    plain = dataclasses.replace(emulator, labels=LabelSpace(tuple(labels)))
    held = {"vmic": SUN["vmic"], "resolution": SUN["resolution"], "vsini": 0.0, "alpha": 0.0}
    for vsini in (100.0, 0.0):  # 30 km/s, and 0, to the network
        star = observe(plain, SUN | {"vsini": vsini}, snr=100, seed=6)
        assert ("held-disputed:vsini" in fit(star, **white | {"emulator": plain}, fixed=held).flags) is (vsini > 0)


def test_a_free_jitter_is_not_held():
    with pytest.raises(LabelError, match=r"jitter= takes the number itself"):
        Settings(jitter="free", fixed={"log_jitter": -5.0})


@pytest.mark.parametrize("way", ["gaussian", "transits"])
def test_errors_of_labels_that_no_spectrum_shows_count(way, white):
    """Those of an emulator of observed spectra, whose labels are those of its stars to 300 K."""
    emulator, n = white["emulator"], len(white["emulator"].labels)
    star = observe(emulator, STAR, snr=200, seed=4)
    held = {"teff": STAR["teff"] + 400.0, "vmic": STAR["vmic"], "alpha": 0.0}
    assert "held-disputed:teff" in WAYS[way](star, **white, fixed=held).flags
    covariance = np.diag([300.0**2, *np.zeros(n - 1)])
    learned = dataclasses.replace(emulator, error=dataclasses.replace(emulator.error, label_covariance=covariance))
    assert "held-disputed:teff" not in WAYS[way](star, **white | {"emulator": learned}, fixed=held).flags
