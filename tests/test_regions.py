"""Where libraries have spectra: regions, random labels in them, and the domain of an emulator of several."""

from dataclasses import replace

import numpy as np
import pytest
from synthesis_fixtures import structures

from rvsemu.emulator import LabelSpace
from rvsemu.emulator.regions import PAPER, WIDE, Region, bends, from_json, lowest_logg, to_json
from rvsemu.errors import FrozenError, TrainingError
from rvsemu.library import Library
from rvsemu.library.synthesis import BOXES
from rvsemu.training.domain import label_space_of
from rvsemu.training.draws import check_library, make_test_set
from rvsemu.training.recipes import recipe

FIVE = ("teff", "logg", "mh", "alpha", "vmic")


def library(n=60, region=WIDE, names=FIVE, seed=1):
    """Flat spectra of random stars."""
    rng = np.random.default_rng(seed)
    wavelength = 8382.52 + 0.1 * np.arange(4330)
    flux = np.tile(1 - 0.1 * rng.random((n, 1)), (1, 4330)).astype("f4")
    labels = region.from_unit(rng.random((n, len(names))), names)
    info = {"regions": to_json([region])}
    return Library(labels, names, wavelength, flux, "air", resolution=30000.0, info=info)


def test_region_follows_the_lowest_gravity():
    labels = WIDE.from_unit(np.random.default_rng(1).random((5000, 5)), FIVE)
    assert WIDE.inside(labels, FIVE).all()
    teff, logg = labels[:, 0], labels[:, 1]
    for low, high, lowest in ((3500, 5700, 0.0), (6000, 7250, 0.5), (9000, 11500, 2.0), (11750, 15000, 2.5)):
        some = (teff > low) & (teff < high)
        assert lowest <= logg[some].min() < lowest + 0.05
        assert logg[some].mean() == pytest.approx((lowest + 5) / 2, abs=0.15)
    assert not WIDE.inside(np.array([[5875.0, 0.24, 0, 0, 1]]), FIVE)[0]
    assert WIDE.inside(np.array([[5875.0, 0.26, 0, 0, 1]]), FIVE)[0]


def test_without_a_limit_a_label_is_0():
    labels = np.array([[5000, 4, 0, 0.0, 1], [5000, 4, 0, 0.1, 1]])
    assert PAPER.inside(labels, FIVE).tolist() == [True, False]
    assert np.all(PAPER.from_unit(np.random.default_rng(1).random((9, 5)), FIVE)[:, 3] == 0)


def test_regions_as_text():
    assert from_json(to_json([WIDE, PAPER])) == (WIDE, PAPER)
    assert {name: getattr(BOXES["paper"], name) for name in PAPER.limits} == PAPER.limits


def test_regions_are_models_that_do_not_change():
    assert hash(WIDE) == hash(from_json(to_json([WIDE]))[0]) and WIDE != PAPER
    assert hash(LabelSpace(regions=(PAPER, WIDE))) == hash(LabelSpace(regions=(PAPER, WIDE)))
    with pytest.raises(FrozenError):
        WIDE.limits["teff"] = (0.0, 1.0)


def test_edge_of_structures():
    """Nowhere below the lowest gravity that both neighbouring nodes have."""
    grid = structures()
    nodes = grid.edge(3500.0, 15000.0)
    teff = np.linspace(3500, 15000, 500)
    assert np.all(np.interp(teff, *np.transpose(nodes)) >= [grid.lowest(t) for t in teff])
    assert nodes == ((3500.0, 1.0), (8000.0, 2.5))
    assert grid.edge(3500.0, 3600.0)[0] == (3500.0, 1.0)
    assert BOXES["wide"].region(grid).lowest_logg == nodes
    assert BOXES["paper"].region(grid) == PAPER


def test_bends():
    assert bends(np.arange(6.0), np.array([1.0, 1, 2, 3, 3, 3])) == ((1, 1), (3, 3))
    assert bends(np.arange(3.0), np.ones(3)) == ((0, 1),)
    assert bends(np.arange(3.0), np.array([0.0, 1, 2])) == ((0, 0), (2, 2))


def test_lowest_gravity_of_several_regions():
    """At each Teff that of the region that reaches furthest down."""
    nodes = lowest_logg([WIDE, PAPER])
    assert nodes[-1] == (9000.0, 2.0)  # above, the paper's box reaches further down
    teff = np.linspace(3500, 15000, 800)
    expected = np.minimum(np.interp(teff, *np.transpose(WIDE.lowest_logg)), 2.0)
    np.testing.assert_allclose(np.interp(teff, *np.transpose(nodes)), expected)
    assert lowest_logg([PAPER]) == ()
    hot = Region({"teff": (8000.0, 20000.0), "logg": (3.0, 5.0)})
    found = np.interp([7000, 7998, 8002, 14998, 15002], *np.transpose(lowest_logg([hot, PAPER])))
    np.testing.assert_allclose(found, [2, 2, 2, 2, 3])


def test_draws_of_a_library_are_where_its_spectra_are():
    both = library().merged(library(30, PAPER, tuple(PAPER.limits), seed=2))
    assert both.regions == (WIDE, PAPER) and both.subset(slice(1, None)).regions == both.regions
    assert both.merged(library(seed=3)).regions == both.regions
    labels = both.draw(4000, np.random.default_rng(1))
    assert both.inside(labels).all() and both.inside(both.labels).all()
    shared = WIDE.inside(both.labels[60:], FIVE).sum()  # count for both regions
    assert np.mean(labels[:, 3] == 0) == pytest.approx(30 / (90 + shared), abs=0.03)
    assert np.all((labels[:, 2] <= 0.8) | (labels[:, 3] == 0))
    assert np.mean(labels[:, 0] < 7000) == pytest.approx((np.log(2) / np.log(30 / 7) + 7 / 23) / 2, abs=0.03)
    assert not both.inside([[5000, 4, 1.2, 0.2, 1]])[0]


def test_draws_between_the_extremes_of_labels():
    plain = replace(library(50, PAPER, tuple(PAPER.limits)), info={})
    labels = plain.draw(500, np.random.default_rng(1))
    assert np.all((labels >= plain.labels.min(axis=0) - 1e-9) & (labels <= plain.labels.max(axis=0) + 1e-9))


def test_part_of_a_library_has_the_region_of_its_spectra():
    whole = library(400, PAPER, tuple(PAPER.limits))
    assert whole.regions == (PAPER,)
    cool = whole.subset(whole.labels[:, 0] < 5000)
    highest = cool.labels[:, 0].max()
    assert cool.regions == (PAPER.cut({"teff": (0, highest)}),) and 4800 < highest < 5000
    assert cool.draw(500, np.random.default_rng(1))[:, 0].max() <= highest
    space = label_space_of(cool, recipe("default").label_space())
    assert (space["teff"].lower, space["teff"].upper) == (3600, highest)
    assert (space["logg"].lower, space["logg"].upper) == (2, 5)
    again = cool.merged(whole.subset(whole.labels[:, 0] >= 5000))
    assert again.regions == (PAPER,)  # a part has lost nothing of what the whole states


def test_regions_that_cover_others():
    cool = WIDE.cut({"teff": (3000, 5000), "mh": (-1, 2)})
    assert cool.limits == {**WIDE.limits, "teff": (3500, 5000), "mh": (-1, 0.8)}
    assert WIDE.covers(cool) and WIDE.covers(WIDE) and not cool.covers(WIDE)
    assert not WIDE.covers(PAPER) and not PAPER.covers(Region(PAPER.limits, WIDE.lowest_logg))


def test_domain_of_an_emulator_of_both_boxes():
    both = library().merged(library(30, PAPER, tuple(PAPER.limits), seed=2))
    space = label_space_of(both, recipe("default").label_space())
    assert space.names == (*LabelSpace().names, "alpha")
    limits = {x.name: (x.lower, x.upper) for x in space.labels}
    assert limits["mh"] == (-2.5, 1.5) and limits["logg"] == (0, 5) and limits["alpha"] == (-0.2, 0.6)
    assert limits["teff"] == (3500, 15000)
    np.testing.assert_allclose(space.lowest(np.array([5000, 6500, 12000])), [0, 0.5, 2.0])
    labels, flux = make_test_set(both, space, 50, seed=1)
    assert space.inside(labels).all() and flux.shape == (50, 4000)
    assert set(np.round(labels[:, 6], 9)) <= set(np.round(both.labels[:, 3], 9))


def test_recipes_that_take_alpha():
    check_library(library(), recipe("default"))
    plain = library(60, PAPER, tuple(PAPER.limits))
    for name in ("default", "gebran2024"):
        check_library(plain, recipe(name))
        space = label_space_of(plain, recipe(name).label_space())
        assert space.names == LabelSpace().names and space.lowest_logg == ()
    with pytest.raises(TrainingError, match="has the labels teff, logg, mh, alpha, vmic: this recipe needs"):
        check_library(library(), recipe("gebran2024"))
