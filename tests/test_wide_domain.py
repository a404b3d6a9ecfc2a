"""Emulators of [alpha/M] whose domain is no box: labels, files, `generate`, fits, samples."""

import dataclasses

import numpy as np
import pytest
from emulator_fixtures import small_emulator, without_alpha
from fit_fixtures import RVS, SUN, exact_emulator, fit, observe
from scipy.optimize import minimize

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator import ALPHA, PAPER_LABELS, DenseNetwork, Emulator, LabelSpace, Layer
from rvsemu.emulator.regions import Region
from rvsemu.errors import LabelError
from rvsemu.fitting.levenberg_marquardt import Box, minimise
from rvsemu.fitting.limits import piled_up
from rvsemu.fitting.parameters import Parameters

NODES = ((5500.0, 2.0), (6500.0, 3.5))
WIDE = LabelSpace((*PAPER_LABELS, ALPHA), NODES)


def widened(emulator):
    """The same emulator with a seventh label, which changes spectra in a way of its own, and the edge of `NODES`."""
    first, *others = emulator.label_network.layers
    row = 0.2 * np.random.default_rng(5).normal(size=(1, first.weights.shape[1])).astype(first.weights.dtype)
    first = Layer(np.concatenate([first.weights, row]), first.bias, first.activation)
    space = LabelSpace((*emulator.labels.labels, ALPHA), NODES)
    return dataclasses.replace(emulator, labels=space, label_network=DenseNetwork((first, *others)))


def plain():
    """The shipped emulator as if it were exact, at [alpha/M] = 0."""
    return without_alpha(exact_emulator())


@pytest.fixture(scope="module")
def small():
    return widened(small_emulator())


@pytest.fixture(scope="module")
def emulator():
    return widened(plain())


# ---------------------------------------------------------------- labels
def test_edge_of_the_domain():
    teff = np.array([4000, 5500, 6000, 6500, 9000.0])
    np.testing.assert_allclose(WIDE.lowest(teff), [2, 2, 2.75, 3.5, 3.5])
    values = np.tile((WIDE.lower + WIDE.upper) / 2, (5, 1))
    values[:, 0], values[:, 1] = teff, WIDE.lowest(teff)
    assert WIDE.inside(values).all()
    values[:, 1] -= 1e-6
    assert not WIDE.inside(values).any()
    moved = WIDE.clipped(values)
    np.testing.assert_allclose(moved[:, 1], WIDE.lowest(teff))
    np.testing.assert_array_equal(np.delete(moved, 1, axis=1), np.delete(values, 1, axis=1))


def test_draws_fill_the_domain_evenly():
    labels = WIDE.draw(20000, np.random.default_rng(1))
    assert WIDE.inside(labels).all()
    share = (labels - WIDE.floor(labels)) / (WIDE.upper - WIDE.floor(labels))
    np.testing.assert_allclose(share.mean(axis=0), 0.5, atol=0.01)
    np.testing.assert_allclose(share.std(axis=0), 12**-0.5, atol=0.01)
    np.testing.assert_allclose(LabelSpace().floor(labels[:, :6]), np.tile(LabelSpace().lower, (20000, 1)))


def test_labels_below_the_edge_are_refused():
    given = SUN | {"alpha": 0.1, "teff": 6000, "logg": [2.8, 2.7]}
    message = r"logg=2.7 dex is below 2.75 dex, the lowest at teff=6000 K: .* \(extrapolate=True, --extrapolate\)"
    with pytest.raises(LabelError, match=message):
        WIDE.values(**given)
    assert WIDE.values(extrapolate=True, **given).shape == (2, 7)


@pytest.mark.parametrize("nodes", [((6000, 2.0), (5000, 3.0)), ((5000, 2.0), (5000, 3.0))])
def test_nodes_that_are_none(nodes):
    with pytest.raises(ValueError, match="teff increases"):
        LabelSpace(PAPER_LABELS, nodes)
    with pytest.raises(ValueError, match="needs the labels teff and logg"):
        LabelSpace(PAPER_LABELS[1:], NODES)


BOXES = (
    Region({"teff": (3600, 9000), "logg": (2, 5), "mh": (-1.0, 1.5), "vmic": (0, 4)}),
    Region({"teff": (3600, 9000), "logg": (2, 5), "mh": (-1.0, 0.8), "alpha": (-0.2, 0.6), "vmic": (0, 4)}),
)
REGIONS = LabelSpace((*PAPER_LABELS, ALPHA), (), BOXES)


def test_labels_in_none_of_the_regions(emulator):
    """[alpha/M] of metal-rich stars that no region has: refused, flagged, and not drawn."""
    given = SUN | {"alpha": [0.0, 0.3, 0.3], "mh": [1.2, 0.7, 0.9]}
    np.testing.assert_array_equal(REGIONS.inside(REGIONS.values(extrapolate=True, **given)), [True, True, False])
    with pytest.raises(LabelError, match=r"mh=0.9, .*alpha=0.3 are in none of the regions .*; or .*--extrapolate"):
        REGIONS.values(**given)
    drawn = REGIONS.draw(500, np.random.default_rng(1))
    assert len(drawn) == 500 and REGIONS.inside(drawn).all()
    several = dataclasses.replace(emulator, labels=REGIONS)
    spectrum = observe(several, STAR | {"alpha": 0.3, "mh": 0.5}, seed=3)
    for mh, flagged in ((0.5, False), (0.9, True)):
        found = fit(spectrum, emulator=several, fixed={"mh": mh, "alpha": 0.3, "vmic": 1.2}, **KNOWN)
        assert ("outside-domain" in found.flags) is flagged
        settings = {"fixed": {"mh": mh, "alpha": 0.3, "vmic": 1.2}, "steps": 60, "walkers": 32, "seed": 1}
        posterior = rvsemu.sample(spectrum, emulator=several, model_error=None, **settings, **KNOWN)
        assert ("outside-domain" in posterior.flags) is flagged


def test_regions_that_drawing_does_not_meet():
    """Those at [alpha/M] = 0 and 0.4 alone have no volume where [alpha/M] is a label."""
    thin = BOXES[0], Region({**BOXES[0].limits, "alpha": (0.4, 0.4)})
    with pytest.raises(LabelError, match=r"cannot be drawn: the regions teff 3600 to 9000, .* are too thin"):
        LabelSpace((*PAPER_LABELS, ALPHA), (), thin).draw(5, np.random.default_rng(1))


def test_file(small, tmp_path):
    """With the edge; files without one are those of a box."""
    small.save(tmp_path / "wide.h5", dtype="float32")
    assert Emulator.load(tmp_path / "wide.h5") == small
    several = dataclasses.replace(small, labels=REGIONS)
    several.save(tmp_path / "several.h5", dtype="float32")
    assert Emulator.load(tmp_path / "several.h5").labels == REGIONS
    small_emulator().save(tmp_path / "box.h5")
    assert Emulator.load(tmp_path / "box.h5").labels.lowest_logg == ()


# ---------------------------------------------------------------- generate
def test_alpha_is_0_unless_it_is_given(small, tmp_path):
    labels = SUN | {"emulator": small}
    unsaid, zero, rich = (rvsemu.generate(**labels, **more) for more in ({}, {"alpha": 0.0}, {"alpha": 0.3}))
    np.testing.assert_array_equal(unsaid.flux, zero.flux)
    assert np.abs(rich.flux - unsaid.flux).max() > 1e-3
    assert rich.meta["labels"]["alpha"].value == 0.3
    with pytest.raises(LabelError, match="alpha=0.7 dex is outside -0.2 to 0.6"):
        rvsemu.generate(**labels, alpha=0.7)
    with pytest.raises(LabelError, match="alpha=0.3: this emulator has no label alpha"):
        rvsemu.generate(**SUN, emulator=plain(), alpha=0.3)
    low = rvsemu.generate(**(labels | {"teff": 7000, "logg": 3.0}), extrapolate=True)
    assert low.meta["extrapolated"] is True


def test_alpha_on_the_command_line(small, tmp_path, capsys):
    small.save(tmp_path / "wide.h5", dtype="float32")
    star = ["generate", *(f"--{name}={value}" for name, value in SUN.items()), "-o", str(tmp_path / "s.ecsv")]
    for more, alpha in (([], 0.0), (["--alpha", "0.3", "--overwrite"], 0.3)):
        assert main([*star, "--emulator", str(tmp_path / "wide.h5"), *more]) == 0
        written = (tmp_path / "s.ecsv").read_text()
        assert f"{alpha}" in written[written.index("alpha") :][:200]
    plain().save(tmp_path / "plain.h5")
    assert main([*star, "--emulator", str(tmp_path / "plain.h5"), "--alpha", "0.3", "--overwrite"]) == 2
    assert "this emulator has no label alpha" in capsys.readouterr().err


# ---------------------------------------------------------------- fits
def test_minimum_at_the_curved_edge():
    """A bowl whose centre lies beyond: the lowest point inside, as another minimiser finds it."""
    centre, edge = np.array([6.0, 1.0]), lambda x: 1.0 + 0.2 * x
    hessian = np.array([[2.0, 0.0], [0.0, 5.0]])

    def bowl(which, x):
        away = x - centre
        return 0.5 * np.einsum("ki,ij,kj->k", away, hessian, away), away @ hessian, np.tile(hessian, (len(x), 1, 1))

    box = Box(np.zeros(2), np.full(2, 10.0), (0, 1, edge))
    start = np.random.default_rng(1).uniform(0, 10, (20, 2))
    found = minimise(bowl, start, box, 1e-10, 200)
    assert box.holds(found.x).all() and found.converged.all()
    above = {"type": "ineq", "fun": lambda x: x[1] - edge(x[0])}
    expected = minimize(lambda x: bowl(None, x[None])[0][0], [5, 5], constraints=above).x
    np.testing.assert_allclose(found.x, np.tile(expected, (20, 1)), atol=1e-4)
    inside = Box(np.zeros(2), np.full(2, 10.0), (0, 1, lambda x: 0.1 * x))
    np.testing.assert_allclose(minimise(bowl, start, inside, 1e-10, 200).x, np.tile(centre, (20, 1)), atol=1e-4)


STAR = {"teff": 6000.0, "logg": 3.4, "vsini": 8.0, "mh": -0.6, "vmic": 1.2, "resolution": 11500.0}
KNOWN = {"priors": {"resolution": (11500, 200)}, "noise_correlation": ()}


def test_fit_with_alpha(emulator):
    """Held at 0 by default, recovered where it is free; the edge is near and no matter."""
    spectrum = observe(emulator, STAR | {"alpha": 0.35}, seed=3)
    held = fit(spectrum, emulator=emulator, fixed={"vmic": 1.2}, **KNOWN)
    assert held.labels["alpha"].value == 0 and "alpha" not in held.free_names
    found = fit(spectrum, emulator=emulator, fixed={"vmic": 1.2, "alpha": "free"}, **KNOWN)
    for name, value in (STAR | {"alpha": 0.35}).items():
        if name != "vmic":
            assert abs(found.labels[name].value - value) < 4 * found.errors[name].value, name
    assert found.errors["alpha"].value < 0.1
    assert "alpha-assumed" in held.flags and "alpha-assumed" not in found.flags
    assert found.reduced_chi2 < held.reduced_chi2
    other = KNOWN | {"priors": {"resolution": (11500, 200), "alpha": (0.3, 0.2)}}
    assert "alpha" in fit(spectrum, emulator=emulator, fixed={"vmic": 1.2}, **other).free_names


def test_a_spectrum_that_speaks_against_alpha_0_is_flagged(emulator):
    """As the improvement of chi2 by a free [alpha/M] says; not where it is 0, nor where something was said about it."""
    star, how = STAR | {"mh": -0.1}, {"emulator": emulator, **KNOWN}
    for alpha, flagged in ((0.3, True), (0.0, False)):
        spectrum = observe(emulator, star | {"alpha": alpha}, seed=5)
        held = fit(spectrum, fixed={"vmic": 1.2}, **how)
        free = fit(spectrum, fixed={"vmic": 1.2, "alpha": "free"}, **how)
        assert (held.chi2 - free.chi2 > 9) is flagged
        assert ("alpha-assumed" in held.flags) is flagged
        assert "alpha-assumed" not in fit(spectrum, fixed={"vmic": 1.2, "alpha": 0.0}, **how).flags
    several = [observe(emulator, star | {"alpha": 0.0}, seed=seed) for seed in range(40)]
    flags = [found.flags for found in rvsemu.fit_many(several, fixed={"vmic": 1.2}, model_error=None, **how)]
    assert sum("alpha-assumed" in one for one in flags) <= 1  # 0.3 % of 40


def test_alpha_of_an_emulator_without(emulator):
    spectrum = observe(plain(), STAR, seed=3)
    assert "alpha" not in fit(spectrum, emulator=plain(), fixed={"alpha": 0.0}, **KNOWN).labels
    with pytest.raises(LabelError, match="alpha=0.2: this emulator has no label alpha"):
        fit(spectrum, emulator=plain(), fixed={"alpha": 0.2}, **KNOWN)


def test_a_star_beyond_the_edge_is_flagged(emulator):
    """The fit stays inside, and says that logg is at its bound; draws pile up there, too."""
    star = emulator.spectrum(wavelength=RVS, medium="vacuum", extrapolate=True, **(STAR | {"logg": 2.3, "alpha": 0.0}))
    spectrum = observe(emulator, STAR | {"alpha": 0.0}, seed=3)
    noise = spectrum.flux.value - observe(emulator, STAR | {"alpha": 0.0}).flux.value
    spectrum = type(spectrum)(
        spectral_axis=spectrum.spectral_axis,
        flux=(star.flux.value + noise) * spectrum.flux.unit,
        uncertainty=spectrum.uncertainty,
        meta=spectrum.meta,
    )
    for more in ({}, {"errors": "sampled", "seed": 1}):
        found = fit(spectrum, emulator=emulator, fixed={"vmic": 1.2}, **KNOWN, **more)
        assert "at-bound:logg" in found.flags
        lowest = emulator.labels.lowest(found.teff.value)
        assert lowest <= found.logg.value < lowest + 0.1
    posterior = rvsemu.sample(
        spectrum,
        emulator=emulator,
        fixed={"vmic": 1.2},
        model_error=None,
        steps=60,
        walkers=32,
        seed=1,
        progress=False,
        **KNOWN,
    )
    teff, logg = (posterior.chain[..., posterior.names.index(name)] for name in ("teff", "logg"))
    assert np.all(logg >= emulator.labels.lowest(teff))
    assert "at-bound:logg" in posterior.flags and "outside-domain" not in posterior.flags


def test_bounds_where_teff_or_logg_is_fixed():
    def bounds(**fixed):
        parameters = Parameters.make(WIDE, fixed=fixed)
        return {name: (parameters.lower[i], parameters.upper[i]) for i, name in enumerate(WIDE.names)}

    assert bounds(teff=6000.0)["logg"] == (2.75, 5.0)
    assert bounds(logg=2.75)["teff"] == (3600, pytest.approx(6000, abs=3))
    assert bounds(logg=4.0)["teff"] == (3600, 15000)
    with pytest.raises(LabelError, match="logg=2.5 dex is below 2.75 dex, the lowest at teff=6000 K"):
        bounds(teff=6000.0, logg=2.5)
    beyond = Parameters.make(WIDE, fixed={"teff": 6000.0}, extrapolate=True)
    assert beyond.lower[1] == pytest.approx(2.75 - 0.3)


def test_logg_0_is_a_limit_like_others():
    """v sin i begins at 0 because it acts by its square; logg is a logarithm."""
    space = LabelSpace(tuple(dataclasses.replace(x, lower=0.0) if x.name == "logg" else x for x in PAPER_LABELS))
    parameters = Parameters.make(space, priors={})
    assert dict(zip(parameters.free_names, parameters.box.from_zero, strict=True))["vsini"]
    assert not dict(zip(parameters.free_names, parameters.box.from_zero, strict=True))["logg"]
    assert Parameters.make(space, extrapolate=True).lower[1] == pytest.approx(-0.5)
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.normal(5000, 100, 2000), rng.exponential(0.02, 2000)])
    assert piled_up(x, None, {"teff": (3600, 15000), "logg": (0.0, 5.0)}) == ["at-bound:logg"]
    x[:, 1] += WIDE.lowest(x[:, 0])
    assert piled_up(x, None, {"teff": (3600, 15000), "logg": (1.0, 5.0)}) == []
    x[:, 0] += 1000
    x[:, 1] = rng.exponential(0.02, 2000) + WIDE.lowest(x[:, 0])
    assert piled_up(x, None, {"teff": (3600, 15000), "logg": (1.0, 5.0)}, NODES) == ["at-bound:logg"]


def test_astropy_model_with_alpha(emulator):
    """Held at what was given; the derivatives are those of the seven parameters."""
    model = rvsemu.RVSModel(6000, 3.4, mh=-0.5, medium="vacuum", emulator=emulator, alpha=0.3)
    given = {"teff": 6000, "logg": 3.4, "vsini": 2, "mh": -0.5, "vmic": 1, "resolution": 11900, "alpha": 0.3}
    expected = emulator.spectrum(wavelength=RVS[500:520], medium="vacuum", **given).flux.value
    np.testing.assert_allclose(model(RVS[500:520]), expected, atol=2e-5)
    assert len(model.fit_deriv(RVS[:9], *model.parameters)) == 7
    with pytest.raises(LabelError, match="no label alpha"):
        rvsemu.RVSModel(6000, 3.4, medium="vacuum", emulator=plain(), alpha=0.3)
    model.logg = 2.6
    with pytest.raises(LabelError, match="logg=2.6 dex is below 2.75"):
        model(RVS[:9])


def test_a_posterior_beyond_the_regions():
    """A faint hot star may be poor in metals, where no region has gravities as low as its own: chains and draws say so,
    and those of one that is surely in a region do not."""
    known = {"model_error": None, "fixed": {"vmic": 1.0}}
    for snr, mh, flagged in ((40, -1.4, True), (200, 0.0, False)):
        star = rvsemu.generate(teff=13000, logg=2.3, vsini=20, mh=mh, vmic=1.0, resolution=11900)
        spectrum = rvsemu.simulate(star, signal_to_noise=snr, seed=3)
        assert "outside-domain" not in rvsemu.fit(spectrum, **known).flags  # the best labels are inside
        sampled = rvsemu.fit(spectrum, errors="sampled", **known)
        chain = rvsemu.sample(spectrum, steps=150, stop=None, seed=1, progress=False, **known)
        for found, names, x in (
            (sampled, sampled.free_names, sampled.draws.x[sampled.draws.weights > 1e-4]),
            (chain, chain.names, chain.values),
        ):
            columns = dict(zip(names, x.T, strict=True)) | {"vmic": np.full(len(x), 1.0), "alpha": np.zeros(len(x))}
            space = rvsemu.shipped().labels
            inside = space.inside(np.stack([columns[name] for name in space.names], axis=1))
            assert bool(inside.all()) is not flagged
            assert ("outside-domain" in found.flags) is flagged
