"""Training of inversions: recipes, the three-way split, noise, and a whole small training of either kind."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from training_fixtures import INVERTING, LIBRARY, intrinsic_rows, saved_draws, train_inverting

from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import TrainingError
from rvsemu.inversion import Inversion, invert
from rvsemu.library import Library
from rvsemu.training import noisy
from rvsemu.training.draws import PAPER_WAVELENGTH, make_test_set, split_library
from rvsemu.training.fit import r2_of, train
from rvsemu.training.recipes import INVERSIONS, RECIPES, InversionRecipe, NetworkPlan, Schedule, Work, recipe

DRAWS, TESTED, VALIDATED = 400, 100, 80

APART = InversionRecipe(
    name="apart",
    components=15,
    network=NetworkPlan((40, 20), "relu"),
    shared=False,
    schedule=Schedule("adamax", 64, 6, 6),
    draws=DRAWS,
    test=0.2,
    validation=0.2,
    interpolate=False,
    whitened=False,
    initializer="random_normal",
    weights="float16",
)


@pytest.fixture(scope="module")
def library(small_library):
    return small_library


# ---------------------------------------------------------------- recipes
def test_gebran2024_inversion_is_the_paper():
    """Table 4, and the text around it."""
    paper = recipe("gebran2024-inversion")
    assert paper.components == 15
    assert paper.network == NetworkPlan((5000, 2000, 1000, 512, 64), "relu", "linear", 0.0, 0)
    assert not paper.shared and not paper.whitened
    assert (paper.schedule.optimizer, paper.schedule.batch, paper.schedule.epochs) == ("adamax", 512, 200)
    assert not paper.schedule.cosine
    assert paper.initializer == "random_normal"
    assert paper.validation == 0.2 and paper.test > 0
    assert paper.noise == 0 and paper.slow_share == 0 and paper.log_labels == ()


@pytest.mark.parametrize("name", INVERSIONS)
def test_recipes_are_plain_data(name):
    assert recipe(name).name == name and recipe(name).makes == "inversion"
    assert json.loads(json.dumps(recipe(name).asdict()))["components"] == recipe(name).components
    assert recipe(name).label_space().names == LabelSpace().names
    assert not set(INVERSIONS) & set(RECIPES)


def test_default_file_is_small():
    """At most 10 MB in float32, before compression."""
    plan = recipe("inversion")
    widths = [plan.components, *plan.network.hidden, 6]
    weights = sum((a + 1) * b for a, b in zip(widths[:-1], widths[1:], strict=True))
    assert 4 * (weights * (1 if plan.shared else 6) + 4000 * (plan.components + 3)) < 10e6


# ---------------------------------------------------------------- noise
def test_noise_is_new_in_each_epoch_and_repeatable(keras):
    from rvsemu.training.stages import Batches

    inputs, noise = np.zeros((40_000, 3), "f4"), np.array([1.0, 2.0, 5.0])

    def first(epoch):
        return Batches(inputs, inputs, 40_000, 1, epoch, noise)[0]

    seen, targets = first(0)
    np.testing.assert_array_equal(targets, 0)
    np.testing.assert_allclose(seen.std(axis=0), noise / np.sqrt(3), rtol=0.03)  # levels uniform from 0 to 1
    spread = np.abs(seen / noise).mean(axis=1)
    assert np.corrcoef(spread, np.abs(seen[:, 0]))[0, 1] > 0.5  # one level a spectrum
    np.testing.assert_array_equal(first(0)[0], seen)
    assert np.all(first(1)[0][:100] != seen[:100])
    np.testing.assert_array_equal(Batches(inputs, inputs, 100, 1, 0)[0][0], 0)
    batches = Batches(inputs, inputs, 100, 1, 0, noise)
    assert np.all(batches[0][0] != batches[1][0])


# ---------------------------------------------------------------- a whole training
@pytest.fixture(scope="module")
def apart(keras, library, tmp_path_factory):
    """A network for each of four labels, two do not vary, and the Keras models they came from."""
    from rvsemu.training import networks

    models, make = [], networks.compiled

    def keeping(model, *arguments):
        models.append(model)
        return make(model, *arguments)

    labels = library.labels.copy()
    labels[:, [library.names.index(name) for name in ("mh", "vmic")]] = 0.0, 2.0
    fewer = replace(library, labels=labels)
    out = tmp_path_factory.mktemp("apart") / "apart.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "compiled", keeping)
        inversion = train(fewer, APART, out, seed=3, least_r2=None, progress=False)
    return inversion, models, out


def draws_of_test(inversion, library, share=0.2):
    return make_test_set(library.subset(split_library(library, share, 3)), inversion.labels, TESTED, 3)


def test_training_writes_an_inversion(inverting):
    inversion, out = inverting
    again = Inversion.load(out)
    flux = saved_draws(out)[1][:10]
    np.testing.assert_array_equal(again.estimate(flux)[0], inversion.estimate(flux)[0])
    np.testing.assert_array_equal(again.wavelength, PAPER_WAVELENGTH)
    assert len(again.networks) == 1 and len(again.principal.spread) == 20
    assert again.labels["teff"].transform == "log"
    info = again.info
    assert (info["recipe"], info["draws"], info["validation_draws"], info["test_draws"]) == (
        "tiny-inversion",
        DRAWS,
        VALIDATED,
        TESTED,
    )
    assert info["library"]["fingerprint"] == Library.load(LIBRARY).fingerprint()
    assert info["library_split"] == {"test": 16, "training and validation": 64}
    assert info["seed"] == 3 and {"keras", "numpy", "h5py"} <= set(info["packages"])
    assert len(again.history["labels"]["loss"]) == 20


def test_no_test_spectrum_shares_its_intrinsic_labels(inverting, library):
    inversion, out = inverting
    labels, _ = saved_draws(out)
    test = intrinsic_rows(draws_of_test(inversion, library)[0])
    validation, training = intrinsic_rows(labels[:VALIDATED]), intrinsic_rows(labels[VALIDATED:])
    assert len(test) > 10 and len(validation) > 8 and len(training) > 40
    assert not test & validation and not test & training and not validation & training


def test_training_reduces_the_error(inverting, library):
    """Labels of test spectra are far better than the mean label, those that spectra depend on most."""
    inversion, out = inverting
    losses = inversion.history["labels"]["val_loss"]
    assert losses.min() < 0.8 * losses[0]
    assert inversion.history["labels"]["loss"][-1] < 0.3 * losses[0]
    labels = saved_draws(out)[0]
    rms = inversion.info["metrics"]["test"]
    for name, share in (("teff", 0.6), ("vsini", 0.6), ("mh", 0.9)):
        i = inversion.labels.names.index(name)
        assert rms[name] < share * np.std(labels[:, i])


def test_metrics_are_those_of_the_written_inversion(inverting, library):
    inversion, out = inverting
    labels, flux = saved_draws(out)
    measured = inversion.info["metrics"]
    x, spectra = draws_of_test(inversion, library)
    for part, (true, seen) in {
        "test": (x, spectra),
        "validation": (labels[:VALIDATED], flux[:VALIDATED]),
        "training": (labels[VALIDATED:], flux[VALIDATED:]),
    }.items():
        error = inversion.estimate(seen)[0] - true
        for i, name in enumerate(inversion.labels.names):
            assert measured[part][name] == pytest.approx(np.sqrt(np.mean(error[:, i] ** 2)), rel=1e-4), part
    rebuilt = inversion.principal.rebuilt(inversion.coefficients(spectra))
    relative = np.mean(np.abs(rebuilt - spectra) / spectra)
    assert measured["components_test"]["mean_relative_error"] == pytest.approx(relative, rel=1e-3)
    assert measured["components_training"]["rms"] < 0.01
    assert sum(row["spectra"] for row in measured["test_by_teff"]) == TESTED
    assert measured["rounding_max_change"] == 0  # float32
    assert set(measured["test_error_over_stated"]) == set(inversion.labels.names)


def test_stated_errors_are_those_of_validation_spectra(inverting):
    inversion, out = inverting
    labels, flux = saved_draws(out)
    estimated, sigma = inversion.estimate(flux[:VALIDATED])
    pull = (estimated - labels[:VALIDATED]) / sigma
    assert np.all((0.6 < pull.std(axis=0)) & (pull.std(axis=0) < 1.5))


def test_training_spectra_are_like_themselves_and_others_are_not(inverting):
    inversion, out = inverting
    _, flux = saved_draws(out)
    assert not any("unlike-training" in flags for flags in invert(flux[VALIDATED:], inversion=inversion).flags)
    odd = np.concatenate([6.0 - 5.0 * flux[:5], [1.0 + 0.3 * np.sin(PAPER_WAVELENGTH)]])  # emission; ripples
    assert all("unlike-training" in flags for flags in invert(odd, inversion=inversion).flags)


def test_a_network_for_each_label(apart):
    """Trained on coefficients as they are, exported for coefficients of unit variance: as Keras has it."""
    inversion, models, out = apart
    assert len(models) == len(inversion.networks) == 4 and len(inversion.principal.spread) == 15
    _, flux = saved_draws(out)
    c = inversion.coefficients(flux[:50]) * inversion.principal.spread
    theirs = np.concatenate([model.predict(c.astype("f4"), verbose=0) for model in models], axis=1)
    ours = inversion.labels.scaled(inversion.from_coefficients(inversion.coefficients(flux[:50])))
    change = inversion.info["metrics"]["rounding_max_change"]
    assert 0 < change < 0.02  # float16
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.03)
    assert set(inversion.history) == set(inversion.labels.names) == {"teff", "logg", "vsini", "resolution"}
    assert inversion.info["constant_labels"] == {"mh": 0.0, "vmic": 2.0}
    kernel = models[0].layers[0].kernel_initializer
    assert type(kernel).__name__ == "RandomNormal"


def assert_same(inversion, expected, flux):
    for name, curves in expected.history.items():
        np.testing.assert_allclose(inversion.history[name]["val_loss"], curves["val_loss"], rtol=1e-4)
    np.testing.assert_allclose(inversion.estimate(flux)[0], expected.estimate(flux)[0], rtol=1e-3, atol=1e-3)


def test_interrupted_training_goes_on_as_if_nothing_had_happened(inverting, keras, tmp_path, monkeypatch):
    """Ctrl-C within an epoch: noise and order of the epochs that follow are the same."""
    fit, count = keras.Sequential.fit, []

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            count.append(1)
            if len(count) == 75:
                raise KeyboardInterrupt

    def interrupting(model, *arguments, callbacks, **options):
        return fit(model, *arguments, callbacks=[*callbacks, Interrupt()], **options)

    out = tmp_path / "tiny.h5"
    with monkeypatch.context() as patch:
        patch.setattr(keras.Sequential, "fit", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train_inverting(out)
    assert not out.exists()
    with np.load(tmp_path / "tiny.h5.work" / "network_labels.npz") as checkpoint:
        assert len(checkpoint["loss"]) == 7
    assert_same(train_inverting(out), inverting[0], saved_draws(out)[1][:20])


def test_finished_training_is_repeated_from_its_folder(inverting, keras, monkeypatch):
    inversion, out = inverting
    monkeypatch.setattr(keras.Model, "fit", None)
    assert_same(train_inverting(out), inversion, saved_draws(out)[1][:20])


def test_accuracy_of_an_inversion(inverting, library):
    """R2 of Teff on test spectra: 1 - mean square error / variance."""
    inversion, _ = inverting
    labels, flux = draws_of_test(inversion, library)
    error = inversion.estimate(flux)[0] - labels
    r2 = 1 - np.mean(error**2, axis=0) / labels.var(axis=0)
    assert [*inversion.info["metrics"]["test_r2"].values()] == pytest.approx(r2, rel=1e-3)
    assert r2_of(inversion.info) == pytest.approx(r2[0], rel=1e-3)
    assert inversion.info["least_r2"] is None


def test_command(keras, tmp_path, monkeypatch, capsys):
    """Without -o the file is named after what it is; 'info' reads it."""
    from rvsemu.training import recipes

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(recipes.INVERSIONS, "tiny-inversion", INVERTING)
    arguments = ["--library", str(LIBRARY), "--recipe", "tiny-inversion", "--epochs", "1", "--draws", "100", "--quiet"]
    arguments.append("--accept-poor")
    assert main(["train", *arguments]) == 0
    said = capsys.readouterr().out
    assert "wrote inversion.h5: <Inversion tiny-inversion" in said
    assert re.search(r"^note: its R2 is \S+, below 0.9: no fit with it is to be trusted$", said, re.MULTILINE)
    assert main(["info", "inversion.h5"]) == 0
    assert "test: teff" in capsys.readouterr().out


# ---------------------------------------------------------------- networks for noise
NOISY = replace(
    INVERTING,
    name="noisy",
    conditions=6,
    noisy_network=NetworkPlan((32,), "silu"),
    noisy_schedule=Schedule("adam", 32, 15, 15, 5e-3, cosine=True),
    forward_network=NetworkPlan((32,), "silu"),
    forward_schedule=Schedule("adam", 32, 15, 15, 1e-2, cosine=True),
)


@pytest.mark.parametrize("shift", [-3300.0, -60.0])
def test_noise_of_another_range_is_refused_at_the_start(keras, small_library, tmp_path, shift):
    other = replace(
        small_library, wavelength=small_library.wavelength[:3000] + shift, flux=small_library.flux[:, :3000]
    )
    with pytest.raises(TrainingError, match=r"cannot be observed, as .* \(star covers .*gebran2024-inversion"):
        train(other, NOISY, tmp_path / "i.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_conditions_that_never_come(inverting, tmp_path, monkeypatch):
    inversion = inverting[0]
    monkeypatch.setattr(noisy, "_TRIES", 2)
    dark = np.zeros((3, 4000))
    with pytest.raises(TrainingError, match=r"none of 2 spectra in a row could be observed \(.+\): check the library"):
        noisy.make_conditions(inversion, dark, 2, Work(tmp_path, 1))


def test_networks_for_noise_are_trained(keras, tmp_path):
    """Errors are about right on noisy validation spectra, larger than without noise, and written to the file."""
    inversion = train(LIBRARY, NOISY, tmp_path / "noisy.h5", seed=3, least_r2=None, progress=False)
    assert inversion.noisy.shape == (20, 6)
    measured = inversion.info["metrics"]
    for name, pull in measured["validation_observed_over_stated"].items():
        assert 0.4 < pull < 3.0, name  # of spectra of a dozen stars
        assert measured["validation_observed"][name] > 0
    curves = inversion.history["noisy"]["val_loss"]
    assert min(curves) < curves[0] and len(inversion.history["forward"]["loss"]) == 15
    again = train(LIBRARY, NOISY, tmp_path / "noisy.h5", seed=3, least_r2=None, progress=False)
    np.testing.assert_allclose(again.noisy.forward_error, inversion.noisy.forward_error, rtol=1e-3)


def test_conditions_scatter_as_least_squares_does():
    """Coefficients found are those of the normal equations with prior, and their scatter theirs."""
    from rvsemu.training.noisy import Conditions

    rng, k, n = np.random.default_rng(4), 3, 60_000
    root = rng.normal(size=(k, k))
    information = root @ root.T * 5
    covariance = np.linalg.inv(information + np.eye(k))
    observe = Conditions(np.zeros((1, k)), covariance[None]).noise(np.zeros((n, k)))
    true = np.array([1.0, -0.5, 2.0])
    seen = observe(rng, np.tile(true, (n, 1)).astype("f4"), np.arange(n))[:, :k]
    data = true + np.linalg.solve(np.linalg.cholesky(information).T, rng.normal(size=(k, n))).T
    expected = data @ information @ covariance  # c^ of each: S A (c + noise)
    np.testing.assert_allclose(seen.mean(axis=0), expected.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(seen.T), np.cov(expected.T), atol=0.02)
