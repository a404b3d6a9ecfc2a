"""Training: draws, interpolation between library spectra, components, metrics, and a whole small training."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rvsemu.emulator import Emulator
from rvsemu.emulator.labels import LabelSpace
from rvsemu.emulator.network import DenseNetwork, Layer
from rvsemu.emulator.pca import MeanSpectrum, PrincipalComponents
from rvsemu.errors import LibraryFileError, TrainingError
from rvsemu.library import Library
from rvsemu.physics.broadening import Broadener
from rvsemu.training import draws as draws_module
from rvsemu.training import fit as fit_module
from rvsemu.training.draws import PAPER_WAVELENGTH, TrainingSet, make_training_set, split_library
from rvsemu.training.errors import error_model
from rvsemu.training.fit import train
from rvsemu.training.interpolation import LibraryInterpolator
from rvsemu.training.metrics import metrics, rms_by_teff
from rvsemu.training.recipes import RECIPES, NetworkPlan, Recipe, Schedule, recipe

LIBRARY = Path(__file__).parent / "data" / "library_small.h5"
INTRINSIC = ("teff", "logg", "mh", "vmic")

TINY = Recipe(
    name="tiny",
    encoder=NetworkPlan((24,), "silu"),
    decoder=NetworkPlan((24,), "silu"),
    label_network=NetworkPlan((32, 24), "silu", dropout=0.05, dropout_layers=1),
    latent=8,
    autoencoder_schedule=Schedule("adam", 32, 8, 8, 1e-2, cosine=True, epsilon=1e-12),
    label_schedule=Schedule("adamax", 32, 8, 8, 5e-3),
    finetune_schedule=Schedule("adam", 32, 6, 6, 5e-3, cosine=True, epsilon=1e-12),
    draws=240,
    validation=0.2,
    interpolate=True,
    slow_share=0.5,
    log_labels=("teff", "resolution"),
    components=30,
    weights="float32",
)
NODES = replace(TINY, name="nodes", interpolate=False, slow_share=0.0)


def train_tiny(out):
    """Called by tests here and, in a process of its own, by the one that kills it."""
    return train(LIBRARY, TINY, out, seed=3, progress=False)


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def library():
    return Library.load(LIBRARY)


@pytest.fixture(scope="module")
def nodes(library, tmp_path_factory):
    """A training set of draws at the library's own labels."""
    return make_training_set(library, NODES, 400, 5, tmp_path_factory.mktemp("nodes"), progress=False)


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
    assert space.names == LabelSpace().names
    assert {x.name for x in space.labels if x.transform == "log"} == set(recipe(name).log_labels)


def test_fewer_epochs():
    short = fit_module._limited(TINY, 7)
    assert [x.epochs for x in (short.autoencoder_schedule, short.label_schedule, short.finetune_schedule)] == [7, 7, 6]
    assert fit_module._limited(TINY, None) == TINY
    assert fit_module._limited(recipe("gebran2024"), 3).finetune_schedule is None


def test_unknown_recipe():
    with pytest.raises(TrainingError, match="recipe 'best' is unknown: use one of default, gebran2024"):
        recipe("best")


# ---------------------------------------------------------------- draws
def test_split_is_nested_and_repeatable():
    masks = [split_library(200, share, seed=4) for share in (0.05, 0.1, 0.2, 0.5)]
    assert [m.sum() for m in masks] == [10, 20, 40, 100]
    for smaller, larger in zip(masks[:-1], masks[1:], strict=True):
        assert not np.any(smaller & ~larger)
    np.testing.assert_array_equal(split_library(200, 0.2, seed=4), masks[2])
    assert np.any(split_library(200, 0.2, seed=5) != masks[2])
    assert split_library(60, 1e-3, seed=1).sum() == 1


def intrinsic_rows(labels):
    space = LabelSpace()
    return {tuple(row) for row in labels[:, [space.names.index(n) for n in INTRINSIC]]}


def test_no_validation_draw_shares_its_intrinsic_labels_with_training(nodes, library):
    validation, training = (intrinsic_rows(nodes.part(v)[0]) for v in (True, False))
    assert len(validation) == 16 and len(training) > 55
    assert not validation & training
    assert validation | training <= {tuple(row) for row in library.labels}


def test_interpolated_draws(library, tmp_path, monkeypatch):
    """Training draws are the interpolator's spectra broadened; it never saw a validation spectrum."""
    made = []

    class Watched(LibraryInterpolator):
        def __init__(self, library, bounds, **settings):
            super().__init__(library, bounds, evaluations=0)
            made.append((self, library.labels))

    monkeypatch.setattr(draws_module, "LibraryInterpolator", Watched)
    sets = make_training_set(library, TINY, 200, 5, tmp_path, progress=False)
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


def test_slow_share_is_for_training_only():
    """Half of the draws at 300 u^3: below 37.5 km/s lie 0.5 x 0.125 + 0.5 x 0.5 of them."""
    space, n = LabelSpace(), 40000
    column = space.names.index("vsini")
    for slow, expected in ((0.0, 0.125), (0.5, 0.3125), (1.0, 0.5)):
        labels = draws_module._instrument(np.zeros((n, 6)), space, slow, np.random.default_rng(1))
        assert np.mean(labels[:, column] < 37.5) == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(n))
        assert labels[:, column].max() > 299
    labels = draws_module._instrument(np.zeros((n, 6)), space, 1.0, np.random.default_rng(1))
    assert abs(np.corrcoef(labels[:, 2], labels[:, 5])[0, 1]) < 0.02


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
    sets = make_training_set(shuffled, NODES, 400, 5, tmp_path, progress=False)
    np.testing.assert_array_equal(sets.labels, nodes.labels)
    np.testing.assert_array_equal(sets.flux, nodes.flux)


def test_draws_depend_on_the_seed_alone(library, nodes, tmp_path_factory):
    again = make_training_set(library, NODES, 400, 5, tmp_path_factory.mktemp("again"), progress=False)
    np.testing.assert_array_equal(again.labels, nodes.labels)
    np.testing.assert_array_equal(again.flux, nodes.flux)
    other = make_training_set(library, NODES, 400, 6, tmp_path_factory.mktemp("other"), progress=False)
    assert np.all(other.labels[:, 2] != nodes.labels[:, 2])


def test_draws_are_used_again(library, tmp_path, monkeypatch):
    first = make_training_set(library, NODES, 120, 5, tmp_path, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(draws_module, "_broadened", None)  # would fail if it were called
        again = make_training_set(library, NODES, 120, 5, tmp_path, progress=False)
    np.testing.assert_array_equal(again.labels, first.labels)
    np.testing.assert_array_equal(again.flux, first.flux)
    np.testing.assert_array_equal(again.validation, first.validation)
    more = make_training_set(library, NODES, 140, 5, tmp_path, progress=False)
    assert more.flux.shape == (140, 4000)
    assert make_training_set(library, NODES, 140, 6, tmp_path, progress=False).labels[0, 2] != more.labels[0, 2]


def test_interrupted_draws_are_made_again(library, nodes, tmp_path, monkeypatch):
    make, calls = draws_module._broadened, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return make(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(draws_module, "_broadened", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_training_set(library, NODES, 400, 5, tmp_path, progress=False)
    again = make_training_set(library, NODES, 400, 5, tmp_path, progress=False)
    np.testing.assert_array_equal(again.labels, nodes.labels)
    np.testing.assert_array_equal(again.flux, nodes.flux)


def test_draws_whose_fluxes_were_deleted_are_made_again(library, tmp_path):
    first = make_training_set(library, NODES, 120, 5, tmp_path, progress=False)
    flux = np.array(first.flux)
    (tmp_path / "flux.npy").unlink()
    again = make_training_set(library, NODES, 120, 5, tmp_path, progress=False)
    np.testing.assert_array_equal(again.flux, flux)


@pytest.mark.parametrize(
    ("change", "draws", "message"),
    [
        (lambda x: x.subset(slice(0, 49)), 200, "holds 49 spectra: at least 50"),
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
            lambda x: replace(x, wavelength=x.wavelength[500:], flux=x.flux[:, 500:]),
            200,
            "cannot be broadened .*leaves the input grid",
        ),
    ],
    ids=["few", "other labels", "missing label", "few draws", "low resolution", "narrow margin", "short range"],
)
def test_unfit_library(library, tmp_path, change, draws, message):
    """Told before anything is computed."""
    with pytest.raises(TrainingError, match=message):
        make_training_set(change(library), NODES, draws, 1, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- interpolation between library spectra
def smooth_library(n=120, seed=1):
    """Spectra that depend on their labels in a simple way."""
    rng = np.random.default_rng(seed)
    low, high = np.array([4000, 2, -1.5, 0]), np.array([9000, 5, 1.5, 4])
    labels = rng.uniform(low, high, (n, 4))
    return Library(labels, INTRINSIC, 8400 + np.arange(60.0), smooth_flux(labels).astype("f4"), "air")


def smooth_flux(labels):
    teff, logg, mh, vmic = labels.T[:, :, None]
    x = np.linspace(-1, 1, 60)
    depth = 0.4 * (5040 / teff - 0.3) + 0.05 * mh
    return 1 - depth * np.exp(-((x / (0.3 + 0.03 * logg + 0.01 * vmic)) ** 2))


BOUNDS = np.array([[4000, 9000], [2, 5], [-1.5, 1.5], [0, 4]])


def test_interpolator_reproduces_nodes():
    library = smooth_library(60)
    interpolator = LibraryInterpolator(library, BOUNDS, evaluations=0)
    np.testing.assert_allclose(interpolator(library.labels), library.flux, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(interpolator(library.labels[3]), interpolator(library.labels[3:4]))


def test_interpolator_predicts_between_nodes():
    """The search for length scales brings the errors down, those it counts and those it cannot know."""
    library = smooth_library()
    labels = np.random.default_rng(2).uniform([4300, 2.2, -1.2, 0.3], [8500, 4.8, 1.2, 3.7], (200, 4))
    start, found = (LibraryInterpolator(library, BOUNDS, evaluations=n) for n in (0, 120))
    rms = [np.sqrt(np.mean((x(labels) - smooth_flux(labels)) ** 2)) for x in (start, found)]
    assert rms[1] < 0.5 * rms[0]
    assert rms[1] < 5e-4
    assert np.mean(np.log(found.leave_one_out)) < np.mean(np.log(start.leave_one_out))
    assert np.median(found.leave_one_out) < 1e-3


def test_leave_one_out_is_leaving_one_out():
    """The formula against leaving each spectrum out and solving again, with the same length scales."""
    library = smooth_library(40)
    interpolator = LibraryInterpolator(library, BOUNDS, evaluations=0)
    coefficients = (library.flux.astype("f8") - interpolator._mean) @ interpolator._basis.T
    kernel = interpolator._kernel(interpolator._x, interpolator._scales)
    for i in (0, 7, 39):
        others = np.delete(np.arange(40), i)
        predicted = kernel[i, others] @ np.linalg.solve(kernel[np.ix_(others, others)], coefficients[others])
        rms = np.sqrt(np.sum((coefficients[i] - predicted) ** 2) / 60)
        assert interpolator.leave_one_out[i] == pytest.approx(rms, rel=1e-5)


def test_interpolation_of_real_spectra(library):
    """Nodes come back; what is left out is met far better than by the nearest library spectrum."""
    interpolator = LibraryInterpolator(library, BOUNDS, evaluations=0)
    rms = np.sqrt(np.mean((interpolator(library.labels) - library.flux) ** 2, axis=1))
    assert np.max(rms) < 0.2 * np.median(interpolator.leave_one_out)
    x = (library.labels - library.labels.mean(axis=0)) / library.labels.std(axis=0)
    distance = np.linalg.norm(x[:, None] - x, axis=2) + 1e9 * np.eye(len(x))
    nearest = library.flux[np.argmin(distance, axis=1)]
    by_neighbour = np.sqrt(np.mean((nearest - library.flux) ** 2, axis=1))
    assert np.median(interpolator.leave_one_out) < 0.5 * np.median(by_neighbour)


@pytest.mark.parametrize("column", [0, 1, 2, 3])
def test_a_label_that_does_not_vary(column):
    """Nor is there any [M/H] above +0.5 in many a library: no division by zero."""
    library = smooth_library(30)
    labels = library.labels.copy()
    labels[:, 2] = np.minimum(labels[:, 2], 0.4)
    labels[:, column] = labels[0, column]
    library = replace(library, labels=labels, flux=smooth_flux(labels).astype("f4"))
    interpolator = LibraryInterpolator(library, BOUNDS, evaluations=0)
    np.testing.assert_allclose(interpolator(labels), library.flux, rtol=0, atol=1e-3)


def test_interpolator_draws_over_the_box():
    interpolator = LibraryInterpolator(smooth_library(30), BOUNDS, evaluations=0)
    labels, flux = interpolator.draw(20000, np.random.default_rng(3))
    low, high = BOUNDS.T
    assert np.all((labels >= low) & (labels <= high))
    np.testing.assert_allclose(flux[:5], interpolator(labels[:5]), rtol=0, atol=1e-12)
    middle = np.sqrt(4000 * 9000)  # half of the log-uniform half, and less of the uniform one, lie below
    expected = 0.5 * 0.5 + 0.5 * (middle - 4000) / 5000
    assert np.mean(labels[:, 0] < middle) == pytest.approx(expected, abs=0.015)
    for i in (1, 2, 3):
        assert np.mean(labels[:, i]) == pytest.approx(np.mean(BOUNDS[i]), abs=0.02 * np.ptp(BOUNDS[i]))


# ---------------------------------------------------------------- principal components
@pytest.fixture(scope="module")
def flux():
    """200 spectra of 50 pixels that span 12 dimensions and a little noise."""
    rng = np.random.default_rng(4)
    return (1 + 0.1 * rng.normal(size=(200, 12)) @ rng.normal(size=(12, 50))).astype("f4")


def test_components_have_unit_variance_and_are_orthonormal(flux):
    principal = PrincipalComponents.of(flux, 8)
    np.testing.assert_allclose(principal.basis @ principal.basis.T, np.eye(8), rtol=0, atol=1e-12)
    coefficients = principal.coefficients(flux, batch=64)
    assert coefficients.shape == (200, 8) and coefficients.dtype == "f4"
    np.testing.assert_allclose(coefficients.mean(axis=0), 0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(coefficients.std(axis=0), 1, rtol=1e-4)
    assert np.all(np.diff(principal.spread) < 0)


def test_few_of_many_components_are_those_of_all():
    """What iteration finds are the leading ones of the full decomposition."""
    rng = np.random.default_rng(15)
    falling = 0.8 ** np.arange(300)
    flux = (1 + (rng.normal(size=(500, 300)) * falling) @ np.linalg.qr(rng.normal(size=(400, 300)))[0].T).astype("f4")
    few, every = PrincipalComponents.of(flux, 10), PrincipalComponents.of(flux, 20)
    np.testing.assert_allclose(few.spread, every.spread[:10], rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(few.basis * every.basis[:10], axis=1)), 1, rtol=0, atol=1e-9)


def test_all_components_rebuild_the_spectra(flux):
    principal = PrincipalComponents.of(flux, 12)
    rebuilt = principal.mean + (principal.coefficients(flux) * principal.spread) @ principal.basis
    np.testing.assert_allclose(rebuilt, flux, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n", "components"), [(200, 50), (10, 200), (200, 12)])
def test_no_more_components_than_the_spectra_span(flux, n, components):
    """Directions without variance would turn other spectra's coefficients into huge numbers."""
    principal = PrincipalComponents.of(flux[:n], components)
    assert len(principal.spread) == min(n - 1, 12)
    assert np.max(np.abs(principal.coefficients(flux))) < 100


def test_weights_turn_the_loss_into_that_of_flux(flux):
    principal = PrincipalComponents.of(flux, 8)
    true, wrong = np.random.default_rng(5).normal(size=(2, 30, 8))
    weighted = np.mean(principal.weights * (true - wrong) ** 2)
    in_flux = np.mean((((true - wrong) * principal.spread) @ principal.basis) ** 2)
    assert weighted == pytest.approx(in_flux, rel=1e-10)


def test_merged_decoder_is_the_decoder_and_the_components(flux):
    principal, rng = PrincipalComponents.of(flux, 8), np.random.default_rng(6)
    decoder = DenseNetwork(
        [
            Layer(rng.normal(size=(3, 10)).astype("f4"), rng.normal(size=10).astype("f4"), "silu"),
            Layer(rng.normal(size=(10, 8)).astype("f4"), rng.normal(size=8).astype("f4"), "linear"),
        ]
    )
    latent = rng.normal(size=(20, 3))
    merged = principal.merged(decoder)
    assert len(merged.layers) == 2 and merged.layers[1].weights.dtype == "f4"
    by_hand = principal.mean + (decoder(latent).astype("f8") * principal.spread) @ principal.basis
    np.testing.assert_allclose(merged(latent), by_hand, rtol=0, atol=2e-6)
    bent = DenseNetwork([replace(decoder.layers[0]), replace(decoder.layers[1], activation="relu")])
    with pytest.raises(ValueError, match="ends in relu"):
        principal.merged(bent)


def test_mean_spectrum_goes_into_the_last_bias(flux):
    codec = MeanSpectrum.of(flux)
    np.testing.assert_allclose(codec.coefficients(flux) + flux.mean(axis=0), flux, rtol=0, atol=1e-6)
    rng = np.random.default_rng(16)
    decoder = DenseNetwork([Layer(rng.normal(size=(3, 50)).astype("f4"), rng.normal(size=50).astype("f4"))])
    latent = rng.normal(size=(20, 3))
    np.testing.assert_allclose(codec.merged(decoder)(latent), decoder(latent) + flux.mean(axis=0), rtol=0, atol=2e-6)


# ---------------------------------------------------------------- metrics
def test_metrics_by_brute_force():
    rng = np.random.default_rng(7)
    true = rng.uniform(0, 1, (30, 5))
    true[:, 3] = 0.7  # does not vary: no variance to explain
    true[:4, 1] = 0.0  # no relative error
    predicted = true + rng.normal(0.02, 0.05, (30, 5))
    squares, absolutes, relatives, largest = [], [], [], []
    for t_row, p_row in zip(true, predicted, strict=True):
        for t, p in zip(t_row, p_row, strict=True):
            squares.append((p - t) ** 2)
            absolutes.append(abs(p - t))
            if abs(t) > 0.01:
                relatives.append(abs(p - t) / t)
        largest.append(max(abs(p - t) for t, p in zip(t_row, p_row, strict=True)))
    r2, explained = [], []
    for j in (0, 1, 2, 4):
        t, p = true[:, j], predicted[:, j]
        total = sum((x - sum(t) / 30) ** 2 for x in t)
        r2.append(1 - sum((a - b) ** 2 for a, b in zip(t, p, strict=True)) / total)
        e = [b - a for a, b in zip(t, p, strict=True)]
        explained.append(1 - sum((x - sum(e) / 30) ** 2 for x in e) / total)
    got = metrics(true, predicted)
    expected = {
        "mse": sum(squares) / 150,
        "rms": (sum(squares) / 150) ** 0.5,
        "mae": sum(absolutes) / 150,
        "r2": sum(r2) / 4,
        "explained_variance": sum(explained) / 4,
        "mean_relative_error": sum(relatives) / len(relatives),
        "p99_max_error": sorted(largest)[28] + 0.71 * (sorted(largest)[29] - sorted(largest)[28]),
    }
    assert got == pytest.approx(expected, rel=1e-9)
    assert got["explained_variance"] > got["r2"]  # there is a bias
    assert all(type(x) is float for x in got.values())


def test_metrics_of_perfection():
    true = np.random.default_rng(8).uniform(0.5, 1, (20, 3)).astype("f4")
    got = metrics(true, true)
    assert (got["mse"], got["mae"], got["r2"], got["explained_variance"]) == (0, 0, 1, 1)


def test_rms_by_teff():
    teff = np.array([3600.0, 4000, 5000, 5500, 6000])
    error = np.arange(10.0).reshape(5, 2)
    got = rms_by_teff(teff, error, [3600, 5000, 5200, 5400, 6000])
    assert [(x["teff_low"], x["teff_high"], x["spectra"]) for x in got] == [
        (3600, 5000, 2),
        (5000, 5200, 1),
        (5400, 6000, 1),
    ]
    assert [x["rms"] for x in got] == pytest.approx([np.sqrt(14 / 4), np.sqrt(41 / 2), np.sqrt(85 / 2)])


def test_error_model_is_the_rms_by_teff():
    rng = np.random.default_rng(9)
    teff = np.concatenate([rng.uniform(3600, 4200, 50), rng.uniform(5000, 6000, 50), [9000.0]])
    error = np.concatenate([np.full((50, 3), 0.01), np.full((50, 3), -0.002), np.ones((1, 3))]).astype("f4")
    model = error_model(teff, error)
    assert model.teff.tolist() == [3900, 5500]  # one star is no measurement
    np.testing.assert_allclose(model.sigma, [[0.01] * 3, [0.002] * 3], rtol=1e-6)
    alone = error_model(teff[:50], error[:50])
    np.testing.assert_allclose(alone([3600.0, 15000.0]), 0.01, rtol=1e-6)


def test_error_model_has_the_leading_components():
    """Errors of known covariance: two common patterns and independent noise."""
    rng = np.random.default_rng(10)
    patterns = np.array([np.sin(np.arange(60) / 5), np.cos(np.arange(60) / 9)]) * [[0.02], [0.01]]
    teff = np.repeat([3900.0, 5500.0], 4000)
    error = rng.normal(size=(8000, 2)) @ patterns + 0.003 * rng.normal(size=(8000, 60))
    model = error_model(teff, error, components=2)
    variance, low_rank = model.covariance(4700.0)
    found = np.diag(variance) + low_rank.T @ low_rank
    np.testing.assert_allclose(found, patterns.T @ patterns + 9e-6 * np.eye(60), atol=3e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(found)), model([4700.0])[0], rtol=0.02)
    few = error_model(teff[::400], error[::400], components=15)  # fewer spectra than components
    assert few.components.shape == (2, 15, 60) and not few.components[:, 10:].any()
    np.testing.assert_allclose(few.covariance(3900.0)[0], 0, atol=1e-12)


def test_measuring_without_slow_rotators(library):
    """A small validation set need not have any: everything else is measured all the same."""
    rng, space = np.random.default_rng(10), NODES.label_space()
    labels = rng.uniform(space.lower, space.upper, (40, 6))
    labels[:, 2] = rng.uniform(100, 300, 40)
    flux = rng.uniform(0.5, 1, (40, 4000)).astype("f4")
    sets = TrainingSet(labels, flux, np.arange(40) < 30, PAPER_WAVELENGTH)
    label_network = DenseNetwork([Layer(np.zeros((6, 8), "f4"), np.zeros(8, "f4"))])
    decoder = DenseNetwork([Layer(np.zeros((8, 4000), "f4"), np.full(4000, 0.75, "f4"))])
    emulator = fit_module._measured(NODES, sets, space, label_network, decoder, {}, {}, library)
    assert "linked_vsini_below_30" not in emulator.info["metrics"]
    expected = np.sqrt(np.mean((flux[:30].astype("f8") - 0.75) ** 2))
    assert emulator.info["metrics"]["linked"]["rms"] == pytest.approx(expected, rel=1e-6)
    assert emulator.info["metrics"]["rounding_max_change"] == 0


# ---------------------------------------------------------------- Keras and NumPy
@pytest.mark.parametrize("plan", [*RECIPES.values(), TINY], ids=lambda x: x.name)
def test_numpy_agrees_with_keras(keras, plan):
    """Label network linked to decoder, on labels over the whole box, to 1e-5."""
    from rvsemu.training.networks import build, linked, to_numpy

    parts = build(plan, 6, plan.components or 4000, seed=1)
    model = linked(parts["label_network"], parts["decoder"], "generator")
    assert to_numpy(parts["decoder"]).layers[0].weights.shape[0] == plan.latent
    widths = [x.weights.shape[1] for x in to_numpy(parts["label_network"]).layers]
    assert widths == [*plan.label_network.hidden, plan.latent]
    rng = np.random.default_rng(11)
    model.set_weights([w + rng.normal(0, 0.02, w.shape).astype("f4") for w in model.get_weights()])
    labels = rng.uniform(-1, 1, (20, 6)).astype("f4")
    ours = to_numpy(parts["decoder"])(to_numpy(parts["label_network"])(labels))
    theirs = model.predict(labels, verbose=0)
    scale = max(1.0, float(np.max(np.abs(theirs))))
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=1e-5)
    encoded = rng.uniform(0, 1, (20, plan.components or 4000)).astype("f4")
    np.testing.assert_allclose(
        to_numpy(parts["encoder"])(encoded), parts["encoder"].predict(encoded, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_first_weights_depend_on_the_seed_alone(keras):
    from rvsemu.training.networks import build

    a, b, c = (build(TINY, 6, 30, seed)["decoder"].get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.all(a != c)


# ---------------------------------------------------------------- one stage
def stage(keras, tmp_path, schedule, name="stage"):
    """A straight line to learn; returns the model, its history, and what was recorded of the rates."""
    from rvsemu.training.networks import compiled
    from rvsemu.training.stages import run_stage

    rng = np.random.default_rng(12)
    x = rng.uniform(-1, 1, (200, 2)).astype("f4")
    y = x @ np.array([[1.0], [2.0]], "f4") + 0.1 * rng.normal(size=(200, 1)).astype("f4")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    compiled(model, schedule)
    history = run_stage(model, schedule, (x[:150], y[:150]), (x[150:], y[150:]), tmp_path / name, 1, name, False)
    return model, history, (x[150:], y[150:])


def test_stage_ends_with_its_best_weights(keras, tmp_path, monkeypatch):
    """At a rate that lets the validation loss jump about, it stops `patience` epochs after the best one."""
    schedule = Schedule("adam", 50, 60, 5, 0.3)
    model, history, (x, y) = stage(keras, tmp_path, schedule)
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == len(history["loss"]) == min(best + 1 + 5, 60) < 60
    assert np.mean((model.predict(x, verbose=0) - y) ** 2) == pytest.approx(losses[best], rel=1e-4)
    monkeypatch.setattr(keras.Sequential, "fit", None)  # finished: it is not trained again
    again, same, _ = stage(keras, tmp_path, schedule)
    assert same == history
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_cosine_schedule_falls_to_zero(keras, tmp_path, monkeypatch):
    from rvsemu.training import stages

    rates, begin = [], stages._Keeper.on_epoch_begin

    def watched(self, epoch, logs=None):
        begin(self, epoch, logs)
        rates.append(float(self.model.optimizer.learning_rate))

    monkeypatch.setattr(stages._Keeper, "on_epoch_begin", watched)
    stage(keras, tmp_path, Schedule("adam", 50, 10, 10, 0.1, cosine=True))
    np.testing.assert_allclose(rates, 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(10) / 10)), rtol=1e-5)


def test_stage_that_diverges(keras, tmp_path):
    with pytest.raises(TrainingError, match=r"stage diverged in epoch \d+ .*lower the learning rate"):
        stage(keras, tmp_path, Schedule("adam", 50, 50, 50, 1e30))


# ---------------------------------------------------------------- a whole training
@pytest.fixture(scope="module")
def trained(keras, tmp_path_factory):
    """The tiny recipe trained without interruption; the linked Keras models are kept for comparison."""
    from rvsemu.training import networks

    models, link = {}, networks.linked

    def keeping(first, second, name):
        models[name] = link(first, second, name)
        return models[name]

    out = tmp_path_factory.mktemp("trained") / "tiny.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "linked", keeping)
        emulator = train_tiny(out)
    return emulator, models, out


def test_training_writes_an_emulator(trained):
    emulator, _, out = trained
    again = Emulator.load(out)
    labels = np.random.default_rng(13).uniform(emulator.labels.lower, emulator.labels.upper, (20, 6))
    np.testing.assert_array_equal(again.flux(labels), emulator.flux(labels))
    np.testing.assert_array_equal(again.wavelength, PAPER_WAVELENGTH)
    assert again.medium == "air"
    assert again.labels["teff"].transform == "log" and again.labels["logg"].transform == "linear"
    assert again.spectrum(teff=5777, logg=4.4, vsini=2, mh=0, vmic=1, resolution=11500).flux.shape == (4000,)
    info = again.info
    assert (info["recipe"], info["draws"], info["validation_draws"]) == ("tiny", 240, 48)
    assert info["library"]["fingerprint"] == Library.load(LIBRARY).fingerprint()
    assert info["library"]["spectra"] == 80 and "SYNSPEC" in info["library"]["code"]
    assert {"keras", "numpy", "h5py"} <= set(info["packages"])
    assert any(name.startswith("tensorflow") for name in info["packages"])
    assert info["settings"]["decoder"]["hidden"] == [24]


def test_training_reduces_the_error(trained):
    emulator, _, out = trained
    for name, epochs in (("autoencoder", 8), ("label_network", 8), ("finetune", 6)):
        curves = emulator.history[name]
        assert len(curves["loss"]) == len(curves["val_loss"]) == epochs
        assert curves["loss"][-1] < curves["loss"][0]
        assert curves["val_loss"].min() < curves["val_loss"][0]
    assert emulator.history["autoencoder"]["val_loss"].min() < 0.5 * emulator.history["autoencoder"]["val_loss"][0]
    flux = np.load(out.with_name("tiny.h5.work") / "flux.npy")
    constant = np.sqrt(np.mean((flux[:48] - flux[48:].mean(axis=0)) ** 2))
    assert emulator.info["metrics"]["linked"]["rms"] < 0.8 * constant


def test_metrics_are_those_of_the_written_emulator(trained):
    emulator, _, out = trained
    folder = out.with_name("tiny.h5.work")
    labels, flux = np.load(folder / "labels.npz")["labels"][:48], np.load(folder / "flux.npy")[:48]
    measured = emulator.info["metrics"]
    error = emulator.flux(labels).astype("f8") - flux
    assert measured["linked"]["rms"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    slow = labels[:, 2] < 30
    assert measured["linked_vsini_below_30"]["mae"] == pytest.approx(np.mean(np.abs(error[slow])), rel=1e-5)
    assert sum(x["spectra"] for x in measured["linked_by_teff"]) == 48
    assert measured["rounding_max_change"] == 0  # float32
    assert {"mse", "mae", "r2", "explained_variance", "mean_relative_error"} <= set(measured["autoencoder"])
    assert set(measured["label_network"]) == set(measured["linked"])
    assert np.isfinite(emulator.sigma(labels)).all() and (emulator.sigma(labels) > 0).all()


def test_emulator_agrees_with_the_keras_model_it_came_from(trained):
    """The fine-tuned generator's coefficients, turned into flux by components computed here."""
    emulator, models, out = trained
    flux = np.load(out.with_name("tiny.h5.work") / "flux.npy")
    principal = PrincipalComponents.of(flux[48:], TINY.components)
    labels = np.random.default_rng(14).uniform(emulator.labels.lower, emulator.labels.upper, (50, 6))
    coefficients = models["generator"].predict(emulator.labels.scaled(labels).astype("f4"), verbose=0)
    expected = principal.mean + (coefficients * principal.spread) @ principal.basis
    np.testing.assert_allclose(emulator.flux(labels), expected, rtol=0, atol=1e-5)


def assert_same_training(emulator, expected):
    for name, curves in expected.history.items():
        for kind, values in curves.items():
            np.testing.assert_allclose(emulator.history[name][kind], values, rtol=1e-4, err_msg=f"{name} {kind}")
    labels = np.random.default_rng(15).uniform(expected.labels.lower, expected.labels.upper, (20, 6))
    np.testing.assert_allclose(emulator.flux(labels), expected.flux(labels), rtol=0, atol=1e-4)


def killed(out, log, stage):
    """The same training in a process of its own, killed without warning once `stage` has a checkpoint."""
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
    code = f"import test_training; test_training.train_tiny({str(out)!r})"
    with open(log, "w") as opened:
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=opened, stderr=opened)
        try:
            checkpoint, limit = out.with_name(f"{out.name}.work") / f"{stage}.npz", time.monotonic() + 120
            while not checkpoint.exists() and process.poll() is None and time.monotonic() < limit:
                time.sleep(0.01)
            assert checkpoint.exists(), log.read_text()
        finally:
            process.kill()
            status = process.wait()
    assert status == -signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_killed_and_interrupted_training_goes_on_as_if_nothing_had_happened(trained, tmp_path, monkeypatch):
    """SIGKILL in the second stage (it has dropout, with random numbers of its own), Ctrl-C within an epoch of the
    third: the same losses in the end as without."""
    from rvsemu.training import stages

    out, folder, expected = tmp_path / "tiny.h5", tmp_path / "tiny.h5.work", trained[0]
    killed(out, tmp_path / "log", "label_network")
    assert not out.exists()
    original, count = stages._Keeper.on_train_batch_end, []

    def interrupting(self, batch, logs=None):
        original(self, batch, logs)
        if self.name == "finetune":
            count.append(1)
            if len(count) == 16:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages._Keeper, "on_train_batch_end", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train_tiny(out)
    assert not out.exists()
    with np.load(folder / "finetune.npz") as checkpoint:
        assert len(checkpoint["loss"]) == 2
    assert_same_training(train_tiny(out), expected)


def test_finished_training_is_repeated_from_its_folder(trained, keras, monkeypatch):
    emulator, _, out = trained
    monkeypatch.setattr(keras.Model, "fit", None)
    assert_same_training(train_tiny(out), emulator)


@pytest.mark.parametrize("other", [{"seed": 4}, {"draws": 500}, {"recipe": replace(TINY, latent=7)}])
def test_folder_of_another_training(trained, other):
    _, _, out = trained
    before = out.read_bytes()
    with pytest.raises(TrainingError, match=r"folder=.*tiny\.h5\.work holds a training with another .*: delete it"):
        train(**{"library": LIBRARY, "recipe": TINY, "out": out, "seed": 3, "progress": False, **other})
    assert out.read_bytes() == before


def test_folder_of_another_library(trained, library):
    with pytest.raises(TrainingError, match="holds a training with another"):
        train(library.subset(slice(0, 70)), TINY, trained[2], seed=3, progress=False)


# ---------------------------------------------------------------- what a user can get wrong
def test_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(TrainingError, match=r"TensorFlow is needed to train: pip install 'rvsemu\[train\]'"):
        train(LIBRARY, TINY, tmp_path / "e.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_library_that_is_none(tmp_path):
    with pytest.raises(LibraryFileError, match="does not exist"):
        train(tmp_path / "none.h5", TINY, tmp_path / "e.h5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "best"}, "recipe 'best' is unknown"),
        ({"out": "no/such/folder/e.h5"}, "folder .* does not exist; make it first"),
        ({"out": "."}, "is a folder: give the name of a file"),
        ({"folder": "no/such/folder"}, "folder=no.such.folder cannot be made"),
        ({"folder": "file/in/the/way"}, "cannot be made"),
        ({"draws": 20}, "draws=20 is too few"),
        ({"epochs": 0}, "epochs=0: give at least 1"),
    ],
)
def test_bad_arguments(keras, library, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    given = {"library": library, "recipe": TINY, "out": "e.h5", "progress": False, **arguments}
    with pytest.raises(TrainingError, match=message):
        train(**given)
    assert not (tmp_path / "e.h5").exists()
