"""Recipes and draws: split by star, repeatable, resumed after a kill, refused where a library does not do."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_fixtures import INTRINSIC, INVERTING, NODES, TINY, intrinsic_rows, with_twins

from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import TrainingError
from rvsemu.library import Library
from rvsemu.physics.broadening import Broadener
from rvsemu.training import draws as draws_module
from rvsemu.training.draws import (
    PAPER_WAVELENGTH,
    check_library,
    make_test_set,
    make_training_set,
    random_instrument,
    split_library,
)
from rvsemu.training.fit import limited
from rvsemu.training.interpolation import LibraryInterpolator
from rvsemu.training.recipes import RECIPES, NetworkPlan, Work, recipe


@pytest.fixture(scope="module")
def library(small_library):
    return small_library


@pytest.fixture(scope="module")
def nodes(library, tmp_path_factory):
    """A training set of draws at the library's own labels."""
    return make_training_set(library, NODES, Work(tmp_path_factory.mktemp("nodes"), 5))


def drawn(library, folder, recipe=NODES, seed=5, **changes):
    return make_training_set(library, replace(recipe, **changes), Work(folder, seed))


def assert_equal_sets(one, other):
    for name in ("labels", "flux", "validation"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# ---------------------------------------------------------------- recipes
def test_gebran2024_is_the_paper():
    """Tables 2 and 3, and the text around them."""
    paper = recipe("gebran2024")
    assert paper.encoder == NetworkPlan((1024, 512, 256, 64, 32), "relu", "relu")
    assert paper.decoder == NetworkPlan((32, 64, 256, 512, 1024), "relu", "linear")
    assert paper.latent == 10
    assert paper.label_network == NetworkPlan((5000, 2000, 512, 32), "relu", "linear", 0.3, 3)
    assert (paper.autoencoder_schedule.optimizer, paper.label_schedule.optimizer) == ("adam", "adamax")
    for schedule in (paper.autoencoder_schedule, paper.label_schedule):
        assert (schedule.batch, schedule.patience, schedule.cosine) == (512, 15, False)
    assert paper.validation == 0.2
    assert paper.finetune_schedule is None and paper.components == 0 and paper.log_labels == ()
    assert paper.slow_share == 0


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_plain_data(name):
    assert recipe(name).name == name
    assert json.loads(json.dumps(recipe(name).asdict()))["latent"] == recipe(name).latent
    space = recipe(name).label_space()
    assert space.names == (*LabelSpace().names, *(["alpha"] if name == "default" else []))  # the paper has none
    assert {x.name for x in space.labels if x.transform == "log"} == set(recipe(name).log_labels)


def test_fewer_epochs():
    short = limited(TINY, epochs=7)
    assert [x.epochs for x in (short.autoencoder_schedule, short.label_schedule, short.finetune_schedule)] == [7, 7, 6]
    assert limited(TINY) == TINY
    assert limited("gebran2024", draws=500, epochs=3).finetune_schedule is None
    assert limited("gebran2024", draws=500, epochs=3).draws == 500


def test_unknown_recipe():
    with pytest.raises(TrainingError, match="recipe 'best' is unknown: use one of default, gebran2024"):
        recipe("best")


# ---------------------------------------------------------------- draws
def flat_library(n):
    """Stars on a line, of no flux to speak of."""
    labels = np.column_stack([4000 + 50.0 * np.arange(n), np.full((n, 3), [4.0, 0.0, 1.0])])
    return Library(labels, INTRINSIC, np.arange(8400.0, 8403.0), np.ones((n, 3), "f4"), "air")


def test_split_is_nested_and_repeatable():
    library = flat_library(200)
    masks = [split_library(library, share, seed=4) for share in (0.05, 0.1, 0.2, 0.5)]
    assert [m.sum() for m in masks] == [10, 20, 40, 100]
    for smaller, larger in zip(masks[:-1], masks[1:], strict=True):
        assert not np.any(smaller & ~larger)
    np.testing.assert_array_equal(split_library(library, 0.2, seed=4), masks[2])
    assert np.any(split_library(library, 0.2, seed=5) != masks[2])
    assert split_library(flat_library(60), 1e-3, seed=1).sum() == 1


def test_split_of_the_shipped_emulator_has_not_changed():
    """It is a permutation of the rows where all stars differ: what was held out then is held out now."""
    order = np.random.default_rng(1).permutation(200)
    assert set(np.flatnonzero(split_library(flat_library(200), 0.1, seed=1))) == set(order[:20])


@pytest.mark.parametrize("shift", [0.0, 1e-9, 0.9, -0.9])
def test_twins_are_on_the_same_side(library, shift):
    """A doubled library, or one whose second half has labels that are equal to rounding, is split as the single one."""
    both = split_library(with_twins(library, shift), 0.2, seed=4)
    np.testing.assert_array_equal(both, np.tile(split_library(library, 0.2, seed=4), 2))
    assert both.sum() == 32


def test_twins_do_not_leak_into_validation(library, tmp_path):
    twins = with_twins(library, 0.5)
    sets = drawn(twins, tmp_path, draws=400)
    validation, training = (intrinsic_rows(sets.part(v)[0]) for v in (True, False))
    star = dict(zip(map(tuple, twins.labels), twins.stars.tolist(), strict=True))
    assert not {star[x] for x in validation} & {star[x] for x in training}
    assert len({star[x] for x in validation}) == 16


def test_twins_do_not_count(library, tmp_path):
    """40 stars, twice each, are 40."""
    with pytest.raises(TrainingError, match="holds 40 spectra of different labels: at least 50 are needed"):
        drawn(with_twins(library.subset(slice(0, 40))), tmp_path)


def test_no_validation_draw_shares_its_intrinsic_labels_with_training(nodes, library):
    validation, training = (intrinsic_rows(nodes.part(v)[0]) for v in (True, False))
    assert len(validation) == 16 and len(training) > 55
    assert not validation & training
    assert validation | training <= {tuple(row) for row in library.labels}


def test_interpolated_draws(library, tmp_path, monkeypatch):
    """Training draws are the interpolator's spectra broadened; it never saw a validation spectrum."""
    made = []

    class Watched(LibraryInterpolator):
        def __init__(self, library, **_):
            super().__init__(library, evaluations=0)
            made.append((self, library.labels))

    monkeypatch.setattr(draws_module, "LibraryInterpolator", Watched)
    sets = drawn(library, tmp_path, TINY, draws=200)
    ((interpolator, known),) = made
    validation = intrinsic_rows(sets.part(True)[0])
    assert len(known) == 64
    assert not validation & {tuple(row) for row in known}
    assert validation <= {tuple(row) for row in library.labels}
    space = LabelSpace()
    columns = [space.names.index(n) for n in INTRINSIC]
    labels, flux = sets.part(False)
    broadener = library.broadener(PAPER_WAVELENGTH)
    for i in (0, 50, 159):
        (unbroadened,) = interpolator(labels[i, columns])
        expected = broadener.apply(broadener.transform(unbroadened), labels[i, 2], labels[i, 5])
        np.testing.assert_allclose(flux[i], expected, rtol=0, atol=1e-5)


def test_draws_fill_the_paper_ranges(nodes):
    space = LabelSpace()
    assert nodes.labels.shape == (400, 6)
    assert nodes.flux.shape == (400, 4000) and nodes.flux.dtype == "f4"
    assert nodes.validation.sum() == 80
    assert space.inside(nodes.labels).all()
    np.testing.assert_array_equal(nodes.wavelength, PAPER_WAVELENGTH)
    assert (PAPER_WAVELENGTH[0], PAPER_WAVELENGTH[-1], len(PAPER_WAVELENGTH)) == (8400.0, 8799.9, 4000)
    for name in ("vsini", "resolution"):
        i = space.names.index(name)
        share = np.sort((nodes.labels[:, i] - space.lower[i]) / (space.upper[i] - space.lower[i]))
        # Kolmogorov-Smirnov against uniform: 1.95 / sqrt(n) is exceeded once in 1000
        assert np.max(np.abs(share - (np.arange(400) + 0.5) / 400)) < 1.95 / np.sqrt(400)


def test_slow_share():
    """Half of the draws at 300 u^3: below 37.5 km/s lie 0.5 x 0.125 + 0.5 x 0.5 of them."""
    n = 40000
    for slow, expected in ((0.0, 0.125), (0.5, 0.3125), (1.0, 0.5)):
        vsini, resolution = random_instrument(LabelSpace(), n, slow, np.random.default_rng(1))
        assert np.mean(vsini < 37.5) == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(n))
        assert 299 < vsini.max() <= 300 and 5000 <= resolution.min() < resolution.max() <= 14500
        assert abs(np.corrcoef(vsini, resolution)[0, 1]) < 0.02


def test_slow_share_is_for_training_only(library, tmp_path):
    sets = drawn(library, tmp_path, slow_share=1.0, draws=600)
    validation, training = (sets.part(v)[0][:, 2] for v in (True, False))
    assert np.mean(training < 37.5) == pytest.approx(0.5, abs=0.1)
    assert np.mean(validation < 37.5) == pytest.approx(0.125, abs=0.12)


def test_cool_share_is_for_training_only(library, tmp_path):
    folders = {share: tmp_path / f"{share}" for share in (0.0, 1.0)}
    for folder in folders.values():
        folder.mkdir()
    warm, cool = (drawn(library, folder, replace(TINY, cool_share=share)) for share, folder in folders.items())
    np.testing.assert_array_equal(warm.part(True)[0], cool.part(True)[0])
    medians = [np.median(one.part(False)[0][:, 0]) for one in (warm, cool)]
    assert medians[1] < 0.8 * medians[0]


def test_draws_are_library_spectra_broadened(nodes, library):
    """Row by row, with a broadener made here."""
    space = LabelSpace()
    broadener = Broadener(library.wavelength, PAPER_WAVELENGTH, 0.0, native_resolution=30000)
    for i in (0, 1, 79, 80, 200, 399):
        given = dict(zip(space.names, nodes.labels[i], strict=True))
        (row,) = np.flatnonzero(np.all(library.labels == [given[n] for n in INTRINSIC], axis=1))
        transform = broadener.transform(library.flux[row])
        expected = broadener.apply(transform, given["vsini"], given["resolution"])
        np.testing.assert_allclose(nodes.flux[i], expected, rtol=0, atol=1e-6)


def test_order_of_the_librarys_labels_does_not_matter(library, nodes, tmp_path):
    """A library may hold its labels in any order: the same draws come out."""
    order = [3, 1, 0, 2]
    shuffled = replace(library, labels=library.labels[:, order], names=tuple(library.names[i] for i in order))
    assert_equal_sets(drawn(shuffled, tmp_path), nodes)


def test_draws_depend_on_the_seed_alone(library, nodes, tmp_path_factory):
    assert_equal_sets(drawn(library, tmp_path_factory.mktemp("again")), nodes)
    other = drawn(library, tmp_path_factory.mktemp("other"), seed=6)
    assert np.all(other.labels[:, 2] != nodes.labels[:, 2])


# ---------------------------------------------------------------- going on
def counted(monkeypatch, stop_after=None):
    """Batches of draws that are made from now on; after some of them Ctrl-C is pressed."""
    made, original = [], draws_module.random_instrument

    def counting(space, n, *arguments):
        if len(made) == stop_after:
            raise KeyboardInterrupt
        made.append(n)
        return original(space, n, *arguments)

    monkeypatch.setattr(draws_module, "random_instrument", counting)
    return made


def test_draws_are_used_again(library, tmp_path, monkeypatch):
    first = drawn(library, tmp_path, draws=120)
    with monkeypatch.context() as patch:
        made = counted(patch)
        again = drawn(library, tmp_path, draws=120)
    assert made == []
    assert_equal_sets(again, first)


@pytest.mark.parametrize(
    "other",
    [
        {"draws": 140},
        {"seed": 6},
        {"slow_share": 0.5},
        {"validation": 0.3},
        {"library": slice(0, 79)},
        {"lsf": 25000.0},
    ],
    ids=lambda x: next(iter(x)),
)
@pytest.mark.parametrize("stop_after", [1, None], ids=["unfinished", "finished"])
def test_stale_draws_are_not_used(library, tmp_path, monkeypatch, other, stop_after):
    """Of another number, seed, recipe or library, whether they were finished or not."""
    settings = {"draws": 120, "seed": 5, **other}
    library_of_other = library.subset(settings.pop("library")) if "library" in settings else library
    library_of_other = replace(library_of_other, resolution=settings.pop("lsf", library.resolution))
    (tmp_path / "same").mkdir()
    with monkeypatch.context() as patch:
        counted(patch, stop_after and 1)
        try:
            drawn(library, tmp_path / "same", draws=120)
        except KeyboardInterrupt:
            assert stop_after
    (tmp_path / "fresh").mkdir()
    assert_equal_sets(
        drawn(library_of_other, tmp_path / "same", **settings), drawn(library_of_other, tmp_path / "fresh", **settings)
    )


def test_disk_keeps_room_for_all_draws(tmp_path):
    """Not a sparse file, in which writing to a memory map would end the process where the disk is full."""
    draws_module._Draws(tmp_path, 1000, 100, {}, (6, 500))
    assert (tmp_path / "flux.npy").stat().st_size > 2e6
    for file in (tmp_path / "flux.npy", tmp_path / "labels.npy"):
        assert 512 * file.stat().st_blocks >= file.stat().st_size


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot keep room on a disk")
def test_full_disk_is_an_error_before_draws(library, tmp_path, monkeypatch):
    def full(number, start, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1e5))
    with pytest.raises(TrainingError, match=r"draws take 0\.00193 GB, .*\(0\.00\d+ GB are missing\): .*--draws"):
        drawn(library, tmp_path, draws=120)
    assert not list(tmp_path.glob("*.npy"))


@pytest.mark.parametrize("width", [0.12, 0.2])
def test_bins_that_are_too_wide(library, width):
    """For lines of 0.59 A, the narrowest of the RVS."""
    check_library(replace(library, bin_width=0.118), TINY)
    with pytest.raises(TrainingError, match=rf"bins of {width} A: for lines at resolution=14500 .* at most 0\.119 A"):
        check_library(replace(library, bin_width=width), TINY)
    check_library(replace(library, bin_width=width), replace(TINY, resolution=(5000.0, 8000.0)))


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_interrupted_draws_go_on(library, tmp_path_factory, monkeypatch, stop_after):
    """Only what is missing is made, in the validation and in the training part, and nothing differs in the end."""
    batches = [120, 256, 224]
    whole = drawn(library, tmp_path_factory.mktemp("whole"), draws=600)
    folder = tmp_path_factory.mktemp("stopped")
    with monkeypatch.context() as patch:
        made = counted(patch, stop_after)
        with pytest.raises(KeyboardInterrupt):
            drawn(library, folder, draws=600)
    assert made == batches[:stop_after]
    made = counted(monkeypatch)
    assert_equal_sets(drawn(library, folder, draws=600), whole)
    assert made == batches[stop_after:]


SLOWLY = """
import sys, time
from dataclasses import replace
from training_fixtures import LIBRARY, TINY
from rvsemu.library import Library
from rvsemu.training import draws
from rvsemu.training.recipes import Work

make = draws.random_instrument
def slowly(*arguments):
    time.sleep(0.3)
    return make(*arguments)

draws.random_instrument = slowly
draws.make_training_set(Library.load(LIBRARY), replace(TINY, draws=1200), Work(sys.argv[1], 5))
"""


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_killed_draws_go_on(library, tmp_path, monkeypatch):
    """SIGKILL among the training draws, which come from an interpolator: the same set bit for bit, no search anew."""
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", SLOWLY, str(tmp_path / "killed")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})
    note, limit = tmp_path / "killed" / "draws.json", time.monotonic() + 120
    try:
        while process.poll() is None and time.monotonic() < limit:
            if note.exists() and json.loads(note.read_text())["done"] > 240:
                break
            time.sleep(0.01)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    done = json.loads(note.read_text())["done"]
    assert 240 < done < 1200
    whole = drawn(library, tmp_path / "whole", TINY, draws=1200)
    made, given = counted(monkeypatch), []

    class Watched(LibraryInterpolator):
        def __init__(self, *arguments, scales=None, **settings):
            given.append(scales)
            super().__init__(*arguments, scales=scales, **settings)

    monkeypatch.setattr(draws_module, "LibraryInterpolator", Watched)
    assert_equal_sets(drawn(library, tmp_path / "killed", TINY, draws=1200), whole)
    assert sum(made) == 1200 - done
    assert given[0] is not None


@pytest.mark.parametrize("name", ["flux.npy", "labels.npy"])
@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:1000])])
def test_draws_whose_files_are_gone_or_damaged_are_made_again(library, tmp_path, name, damage):
    first = drawn(library, tmp_path, draws=120)
    flux, labels = np.array(first.flux), first.labels
    del first
    damage(tmp_path / name)
    again = drawn(library, tmp_path, draws=120)
    np.testing.assert_array_equal(again.flux, flux)
    np.testing.assert_array_equal(again.labels, labels)


@pytest.mark.parametrize(
    ("change", "draws", "message"),
    [
        (lambda x: x.subset(slice(0, 49)), 200, "holds 49 spectra of different labels: at least 50"),
        (lambda x: replace(x, names=("teff", "logg", "mh", "alpha")), 200, "has the labels .*alpha: .* needs .*vmic"),
        (lambda x: replace(x, names=("teff", "logg", "mh"), labels=x.labels[:, :3]), 200, "needs .*vmic"),
        (lambda x: x, 99, "draws=99 is too few: at least 100"),
        (lambda x: replace(x, resolution=12000.0), 200, "cannot be broadened .*resolution=14500 is above"),
        (
            lambda x: replace(x, wavelength=x.wavelength[50:-50], flux=x.flux[:, 50:-50]),
            200,
            "cannot be broadened .*margin .*wider",
        ),
        (
            lambda x: replace(x, wavelength=x.wavelength[:300], flux=x.flux[:, :300]),
            200,
            "is too narrow: rotation and instrument reach 12 A over either end",
        ),
    ],
    ids=["few", "other labels", "missing label", "few draws", "low resolution", "narrow margin", "short range"],
)
def test_unfit_library(library, tmp_path, change, draws, message):
    """Told before anything is computed."""
    with pytest.raises(TrainingError, match=message):
        drawn(change(library), tmp_path, draws=draws, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_training_sets_and_recipes_are_frozen(nodes):
    for thing in (nodes, NODES, INVERTING, NODES.decoder, NODES.label_schedule, Work(Path("x"), 1)):
        with pytest.raises(AttributeError):
            thing.name = "changed"
    with pytest.raises(ValueError, match="read-only"):
        nodes.flux[0, 0] = 2.0


def test_test_set_is_library_spectra_broadened(library):
    part, space = library.subset(slice(5, 15)), LabelSpace()
    labels, flux = make_test_set(part, space, 600, seed=3)
    assert intrinsic_rows(labels) == {tuple(row) for row in part.labels}
    assert space.inside(labels).all() and flux.shape == (600, 4000)
    broadener = Broadener(library.wavelength, PAPER_WAVELENGTH, 0.0, native_resolution=30000)
    for i in (0, 255, 256, 599):
        (row,) = np.flatnonzero(np.all(part.labels == labels[i, [0, 1, 3, 4]], axis=1))
        expected = broadener.apply(broadener.transform(part.flux[row]), labels[i, 2], labels[i, 5])
        np.testing.assert_allclose(flux[i], expected, rtol=0, atol=1e-6)
    assert np.mean(labels[:, 2] < 150) == pytest.approx(0.5, abs=0.08)  # uniform: no share of slow rotators
    np.testing.assert_array_equal(make_test_set(part, space, 600, seed=3)[0], labels)
