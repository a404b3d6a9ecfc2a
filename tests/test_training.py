"""Training: networks, stages, a whole small training, and one that is killed."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_fixtures import LIBRARY, TINY, saved_draws, train_tiny

from rvsemu.emulator import Emulator
from rvsemu.emulator.pca import PrincipalComponents
from rvsemu.errors import TrainingError
from rvsemu.library import Library
from rvsemu.training.draws import PAPER_WAVELENGTH
from rvsemu.training.memory import kept_memory
from rvsemu.training.recipes import RECIPES, Schedule, Work


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
    history = run_stage(model, schedule, (x[:150], y[:150]), (x[150:], y[150:]), Work(tmp_path, 1), name)
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
    rates, fit = [], keras.Sequential.fit

    class Watched(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    def watching(self, *arguments, callbacks, **options):
        return fit(self, *arguments, callbacks=[*callbacks, Watched()], **options)

    monkeypatch.setattr(keras.Sequential, "fit", watching)
    stage(keras, tmp_path, Schedule("adam", 50, 10, 10, 0.1, cosine=True))
    np.testing.assert_allclose(rates, 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(10) / 10)), rtol=1e-5)


def test_muon_turns_the_momentum_of_all_matrices_but_the_last(keras):
    """One step: changes of matrices have singular values alike, those of the last layer and of biases are Adam's."""
    from rvsemu.training.networks import compiled, linked

    keras.utils.set_random_seed(2)
    parts = [
        keras.Sequential([keras.Input((n,)), keras.layers.Dense(12, "silu"), keras.layers.Dense(6)]) for n in (4, 6)
    ]
    model = compiled(linked(*parts, "both"), Schedule("muon", 64, 1, 1, 1e-3, epsilon=1e-12))
    before = model.get_weights()
    rng = np.random.default_rng(3)
    model.train_on_batch(rng.normal(size=(64, 4)).astype("f4"), rng.normal(size=(64, 6)).astype("f4"))
    *changes, last, bias = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
    for change in (x for x in changes if x.ndim == 2):
        values = np.linalg.svd(change, compute_uv=False)
        assert values.min() > 0.5 * values.max()
    for change in (x for x in (*changes, last, bias) if x.ndim == 1 or x is last):
        np.testing.assert_allclose(np.abs(change[change != 0]), 1e-3, rtol=1e-2)


def test_stage_that_diverges(keras, tmp_path):
    with pytest.raises(TrainingError, match=r"stage diverged in epoch \d+ .*lower the learning rate"):
        stage(keras, tmp_path, Schedule("adam", 50, 50, 50, 1e30))


# ---------------------------------------------------------------- a whole training
def test_training_writes_an_emulator(keras, tiny):
    emulator, _, out = tiny
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
    assert any(name.startswith(keras.backend.backend()) for name in info["packages"])
    assert list(info["settings"]["decoder"]["hidden"]) == [24]


def test_training_reduces_the_error(tiny):
    emulator, _, out = tiny
    for name, epochs in (("autoencoder", 8), ("label_network", 8), ("finetune", 6)):
        curves = emulator.history[name]
        assert len(curves["loss"]) == len(curves["val_loss"]) == epochs
        assert curves["loss"][-1] < curves["loss"][0]
        assert curves["val_loss"].min() < curves["val_loss"][0]
    assert emulator.history["autoencoder"]["val_loss"].min() < 0.5 * emulator.history["autoencoder"]["val_loss"][0]
    _, flux = saved_draws(out)
    constant = np.sqrt(np.mean((flux[:48] - flux[48:].mean(axis=0)) ** 2))
    assert emulator.info["metrics"]["linked"]["rms"] < 0.8 * constant


def test_metrics_are_those_of_the_written_emulator(tiny):
    emulator, _, out = tiny
    labels, flux = (x[:48] for x in saved_draws(out))
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


def test_emulator_agrees_with_the_keras_model_it_came_from(tiny):
    """The fine-tuned generator's coefficients, turned into flux by components computed here."""
    emulator, models, out = tiny
    _, flux = saved_draws(out)
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
    code = f"import training_fixtures; training_fixtures.train_tiny({str(out)!r})"
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


class PressedDuring:
    """Ctrl-C in the middle of training: in batch `batch` of the `stage`-th call of `fit`."""

    def __init__(self, keras, monkeypatch, stage, batch):
        fit, calls = keras.Sequential.fit, []

        class Interrupt(keras.callbacks.Callback):
            seen = 0

            def on_train_batch_end(self, _, logs=None):
                self.seen += 1
                if len(calls) == stage and self.seen == batch:
                    raise KeyboardInterrupt

        def interrupting(model, *arguments, callbacks, **options):
            calls.append(model)
            return fit(model, *arguments, callbacks=[*callbacks, Interrupt()], **options)

        monkeypatch.setattr(keras.Sequential, "fit", interrupting)


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_killed_and_interrupted_training_goes_on_as_if_nothing_had_happened(keras, tiny, tmp_path, monkeypatch):
    """SIGKILL in the second stage (it has dropout, with random numbers of its own), Ctrl-C within an epoch of the
    third: the same losses in the end as without."""
    out, folder, expected = tmp_path / "tiny.h5", tmp_path / "tiny.h5.work", tiny[0]
    killed(out, tmp_path / "log", "label_network")
    assert not out.exists()
    with monkeypatch.context() as patch:
        PressedDuring(keras, patch, 2, 16)  # the second stage goes on, then comes the third: six batches an epoch
        with pytest.raises(KeyboardInterrupt):
            train_tiny(out)
    assert not out.exists()
    with np.load(folder / "finetune.npz") as checkpoint:
        assert len(checkpoint["loss"]) == 2
    assert_same_training(train_tiny(out), expected)


def test_finished_training_is_repeated_from_its_folder(tiny, keras, monkeypatch):
    """Of a stage that has ended, the best weights are kept, and where random numbers stand; not the optimiser."""
    emulator, _, out = tiny
    monkeypatch.setattr(keras.Model, "fit", None)
    assert_same_training(train_tiny(out), emulator)
    with np.load(out.with_name(f"{out.name}.work") / "finetune.npz") as checkpoint:
        kept = {name.rstrip("0123456789") for name in checkpoint}
    assert kept == {"best", "n_best", "random", "n_random", "finished", "loss", "val_loss"}


def test_a_stage_begins_where_the_one_before_has_ended(tiny, keras, tmp_path):
    """Also when the program was ended in between: dropout's random numbers go on from the second to the third."""
    emulator, _, out = tiny
    again = tmp_path / "again.h5"
    kept = shutil.ignore_patterns("finetune.npz")
    shutil.copytree(out.with_name(f"{out.name}.work"), again.with_name(f"{again.name}.work"), ignore=kept)
    assert_same_training(train_tiny(again), emulator)


class _Blocks(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd"))
    _fields_ += tuple((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"))


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="glibc 2.33 tells what it takes from the system",
)
def test_large_arrays_are_the_systems_but_while_memory_is_kept():
    about = ctypes.CDLL(None).mallinfo2
    about.restype = _Blocks

    def taken(size):
        before = about().hblkhd
        array = np.empty(size, dtype="u1")
        return about().hblkhd - before >= array.nbytes

    assert taken(2**30)  # more than other tests have left free in the heap, where it would be taken from
    with pytest.raises(KeyError), kept_memory():
        assert not taken(2**26)
        raise KeyError
    assert taken(2**30)  # more than has been kept
