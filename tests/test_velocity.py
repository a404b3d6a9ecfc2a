"""Radial velocities are found wherever they may be, on any pixels, and their range follows the frame."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from fit_fixtures import RVS, SUN, observe, replace, values
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import Settings, fit_many, start
from rvsemu.fitting.bins import Binned
from rvsemu.fitting.problem import Problem
from rvsemu.fitting.templates import Normalised, Templates

SPEED_OF_LIGHT = 299792.458
SETTINGS = {"noise_correlation": (), "model_error": None}
GRIDS = {  # wavelengths of the pixels in Angstrom, S/N of each
    "0.25 A": (np.arange(8460, 8700, 0.25), 50),
    "0.02 A": (np.arange(8460, 8700, 0.02), 20),
    "1 A": (np.arange(8460, 8700, 1.0), 100),
    "part of the range": (np.arange(8480, 8600, 0.1), 50),
    "decreasing": (np.arange(8460, 8700, 0.1)[::-1], 50),
    "uneven": (8460 + 240 * np.linspace(0, 1, 1500) ** 1.5, 50),
}


def star(wave, velocity, snr, seed=0, **labels):
    """A spectrum with white noise on any pixels; flux 1 beyond the emulator."""
    rng = np.random.default_rng(seed)
    rest = wave * np.sqrt((1 - velocity / SPEED_OF_LIGHT) / (1 + velocity / SPEED_OF_LIGHT))
    inside = (rest > 8403) & (rest < 8801)
    flux = np.ones(len(wave))
    model = rvsemu.generate(**SUN | labels, wavelength=rest[inside], medium="vacuum")
    flux[inside] = model.flux.value
    return Spectrum(
        spectral_axis=wave * u.AA,
        flux=(flux + rng.normal(size=len(wave)) / snr) * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(wave), 1 / snr)),
        meta={"medium": "vacuum"},
    )


def deviation(found, velocity):
    """In units of 5 standard deviations, or of 10 km/s where these are smaller."""
    error = found.errors["radial_velocity"].value
    return abs(found.radial_velocity.value - velocity) / max(5 * error, 10.0)


def test_stars_of_all_kinds_at_low_signal_to_noise():
    """Labels over the whole range, hot, metal-poor and fast rotating ones among them."""
    space, rng = rvsemu.shipped().labels, np.random.default_rng(3)
    velocities = rng.uniform(-980, 980, 120)
    stars = []
    for i, velocity in enumerate(velocities):
        labels = dict(zip(space.names, space.draw(1, rng)[0], strict=True)) | {"alpha": 0.0}
        labels |= {"vmic": rng.uniform(0.5, 2.5), "resolution": rng.uniform(11500, 12300)}
        stars.append(star(RVS, velocity, 20, i, **labels))
    found = fit_many(stars, **SETTINGS)
    assert sum(deviation(*pair) < 1 for pair in zip(found, velocities, strict=True)) >= 117


@pytest.mark.parametrize(
    "labels",
    [
        {"mh": -1.5, "teff": 6500},
        {"teff": 11000, "logg": 4.0, "vsini": 40},
        {"teff": 14000, "logg": 3.5, "vsini": 20},
        {"teff": 3700, "logg": 4.8},
        {"vsini": 200, "teff": 7500},
    ],
    ids=lambda labels: ", ".join(f"{name} {x}" for name, x in labels.items()),
)
@pytest.mark.parametrize("velocity", [-900.0, -320.0, 555.0])
def test_few_lines(labels, velocity):
    assert deviation(rvsemu.fit(star(RVS, velocity, 20, 1, **labels), **SETTINGS), velocity) < 1


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("velocity", [-870.0, 3.0, 640.0])
def test_any_pixels(name, velocity):
    wave, snr = GRIDS[name]
    found = rvsemu.fit(star(wave, velocity, snr), **SETTINGS)
    assert deviation(found, velocity) < 1
    assert abs(found.teff.value - SUN["teff"]) < 5 * found.errors["teff"].value


@pytest.mark.parametrize(
    ("frame", "given", "expected"),
    [
        ("rest", None, (-100, 100)),
        ("barycentric", None, (-1000, 1000)),
        ("unknown", None, (-1000, 1000)),
        (None, None, (-1000, 1000)),
        ("rest", (-300, 300), (-300, 300)),
        ("barycentric", (-5, 40), (-5, 40)),
    ],
)
def test_the_range_follows_the_frame(frame, given, expected, sun):
    meta = sun.meta | ({} if frame is None else {"frame": frame})
    found = rvsemu.fit(replace(sun, meta=meta), radial_velocity=given, **SETTINGS)
    assert found.ranges["radial_velocity"] == expected


def test_frames_together_are_as_alone(emulator):
    """Spectra on the same pixels, in different frames: each has its own range."""
    spectra = [observe(emulator, velocity=v, seed=i) for i, v in enumerate([0.0, 400.0, -30.0, 12.0])]
    frames = ["rest", "barycentric", None, "rest"]
    spectra = [replace(s, meta=s.meta | {"frame": f}) for s, f in zip(spectra, frames, strict=True)]
    for together, spectrum in zip(fit_many(spectra, **SETTINGS), spectra, strict=True):
        alone = rvsemu.fit(spectrum, **SETTINGS)
        assert together.ranges == alone.ranges
        errors = np.array([alone.errors[name].value for name in alone.labels])
        assert np.all(np.abs(values(together) - values(alone)) <= 0.01 * errors)


def test_a_generated_spectrum_is_at_rest():
    made = rvsemu.generate(teff=6000, logg=4.2, vsini=12, mh=-0.3)
    made.uncertainty = StdDevUncertainty(np.full(len(made.flux), 0.01))
    assert rvsemu.fit(made, **SETTINGS).ranges["radial_velocity"] == (-100, 100)


def test_bounds_and_held_velocities(emulator):
    spectrum = observe(emulator, velocity=333.0, seed=2)
    settings = SETTINGS | {"emulator": emulator}
    narrow = rvsemu.fit(spectrum, radial_velocity=(331, 334), **settings)
    assert narrow.radial_velocity.value == pytest.approx(333, abs=0.2)
    outside = rvsemu.fit(spectrum, radial_velocity=(-20, 20), **settings)
    assert -20 <= outside.radial_velocity.value <= 20
    held = rvsemu.fit(spectrum, radial_velocity=333.0, **settings)
    assert held.radial_velocity.value == 333 and abs(held.teff.value - SUN["teff"]) < 60


@pytest.mark.parametrize("velocity", [-700.0, 20.0, 850.0])
def test_a_wide_range_costs_no_pixels(velocity):
    """A spectrum that is longer than the emulator: pixels are those of a narrow range around its velocity."""
    wave = np.arange(8350, 8850, 0.1)
    spectrum = star(wave, velocity, 50)
    found = rvsemu.fit(spectrum, **SETTINGS)
    assert deviation(found, velocity) < 1
    middle = round(velocity, -1)
    near = rvsemu.fit(spectrum, radial_velocity=(middle - 100, middle + 100), **SETTINGS)
    assert abs(found.n_pixels - near.n_pixels) < 20 and found.n_pixels > 3600
    low, high = found.ranges["radial_velocity"]
    assert -1000 <= low < velocity < high <= 1000


def test_the_search_belongs_to_the_emulator(emulator, monkeypatch):
    """Spectra on other pixels and in other ranges of velocity are looked at with the same templates."""
    made, fresh = [], dataclasses.replace(emulator)

    def counted(*args):
        made.append(args)
        return Templates(*args)

    monkeypatch.setattr(start, "Templates", counted)
    for first, velocities in ((8460.0, None), (8460.03, (0, 200)), (8461.0, 100.0)):
        spectrum = star(first + 0.1 * np.arange(2300), 100.0, 50)
        rvsemu.fit(spectrum, emulator=fresh, radial_velocity=velocities, **SETTINGS)
    assert len(made) == 1


@pytest.mark.parametrize("first", [8480.0, 8540.0, 8640.0])
def test_the_best_templates_are_no_artefacts_of_their_compression(first):
    """Part of the range, where templates of the deepest lines seemed to fit everything: the best are exact."""
    spectrum = star(first + 0.1 * np.arange(400), 0.0, 80)
    settings = Settings(**SETTINGS, continuum_degree=2)
    problem = Problem([Problem.observe(spectrum, settings)], settings)
    grid = start.Grid.of(settings.loaded_emulator, problem.parameters)
    shifts = grid.model.bins.shifts(problem.parameters.velocities)
    usable = np.array([one.usable[problem.stack.pixels] for one in problem.stack.observations])
    binned = Binned.of(problem.stack, grid.model.bins, usable, problem.inflation, shifts)
    sums = Normalised.of(binned, 0).sums(2)
    templates = Templates(grid.model.flux(grid.theta), slice(None, None, 32))
    exact = templates.near(sums, np.array([0]), np.arange(len(grid.theta)))[:, 0]
    found = templates.look(sums, 0, 20)
    best = np.argsort(found)[:20]
    np.testing.assert_allclose(found[best], exact[best], atol=0.05)  # sums in single precision
    assert found.min() < 1.5 * exact.min() + 20
    assert abs(rvsemu.fit(spectrum, **SETTINGS, continuum_degree=2).radial_velocity.value) < 10


def test_starts_of_many_spectra_are_chosen_as_those_of_each_alone():
    rng = np.random.default_rng(3)
    star = np.repeat(np.arange(5), [1, 8, 3, 8, 2])
    x, falling, cost = rng.normal(size=(22, 4)), rng.exponential(5.0, 22), rng.exponential(20.0, 22)
    hessian = np.array([np.diag(row) for row in rng.exponential(0.1, (22, 4))])
    together = start.worth_following(star, x, cost, hessian, falling)
    alone = [
        rows[start.worth_following(star[rows], x[rows], cost[rows], hessian[rows], falling[rows])]
        for rows in (np.flatnonzero(star == one) for one in range(5))
    ]
    assert 5 < len(together) < 22
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_starts_are_one_only_if_the_curvature_of_both_says_so():
    """At v sin i = 0 the slope vanishes, and with it the distance to all other v sin i."""
    x = np.array([[0.0, 0.0], [0.0, 100.0], [0.0, 101.0]])
    hessian = np.array([np.diag([1.0, 0.0]), np.diag([1.0, 0.01]), np.diag([1.0, 0.01])])
    cost, falling = np.array([10.0, 10.1, 10.2]), np.zeros(3)
    kept = start.worth_following(np.zeros(3, dtype=int), x, cost, hessian, falling)
    np.testing.assert_array_equal(kept, [0, 1])
