"""Training: what is refused, what is not written or overwritten, what is left behind, and what is said."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_fixtures import INVERTING, LIBRARY, TINY, train_inverting, train_tiny

from rvsemu.cli import main
from rvsemu.emulator import Emulator
from rvsemu.errors import LibraryFileError, TrainingError
from rvsemu.training.draws import make_training_set
from rvsemu.training.fit import LEAST_R2, r2_of, train
from rvsemu.training.recipes import RECIPES, Work


# ---------------------------------------------------------------- accuracy
@pytest.mark.parametrize(("fixture", "train_again"), [("tiny", train_tiny), ("inverting", train_inverting)])
def test_a_model_that_has_learned_too_little_is_not_written(request, fixture, train_again):
    """The numbers and the remedy are said; the training is kept, and what it gave can be had all the same."""
    model, *_, out = request.getfixturevalue(fixture)
    found, before = r2_of(model.info), out.read_bytes()
    assert 0 < found < 0.99
    with pytest.raises(TrainingError) as error:
        train_again(out, least_r2=0.99)
    for text in (
        f"{out} was not written: R2 on spectra that were not trained on is {found:.3g}, at least 0.99 is asked for",
        "Train longer, with more draws or on a larger library",
        "least_r2=None, --accept-poor",
        f"{out}.work",
    ):
        assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert out.read_bytes() == before
    again = train_again(out, least_r2=0.0)
    assert r2_of(again.info) == pytest.approx(found, rel=1e-3)
    assert (model.info["least_r2"], type(model).load(out).info["least_r2"]) == (None, 0.0)


def test_r2_of_an_emulator_is_that_of_its_spectra(tiny):
    """By a second way: averaged over pixels, from the validation draws."""
    emulator, _, out = tiny
    folder = out.with_name("tiny.h5.work")
    labels, flux = np.load(folder / "labels.npy")[:48], np.load(folder / "flux.npy")[:48].astype("f8")
    r2 = np.mean(1 - np.mean((emulator.flux(labels) - flux) ** 2, axis=0) / flux.var(axis=0))
    assert r2_of(emulator.info) == pytest.approx(r2, rel=1e-4)


def test_command_with_a_poor_emulator(keras, tmp_path, monkeypatch, capfd):
    """One line on stderr, and none of TensorFlow's; with --accept-poor the file, without a new training, and a note."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "tiny", replace(TINY, finetune_schedule=None))
    arguments = ["train", "--library", str(LIBRARY), "--recipe", "tiny", "--draws", "100", "--epochs", "1", "--quiet"]
    assert main(arguments) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "emulator.h5 was not written: R2" in said
    assert not (tmp_path / "emulator.h5").exists()
    monkeypatch.setattr(keras.Model, "fit", None)
    assert main([*arguments, "--accept-poor"]) == 0
    said = capfd.readouterr()
    assert said.err == "" and f"below {LEAST_R2:g}: no fit with it is to be trusted" in said.out
    assert (tmp_path / "emulator.h5").exists()


# ---------------------------------------------------------------- overwriting
def test_a_file_of_another_training_is_not_overwritten(keras, tmp_path):
    out = tmp_path / "e.h5"
    out.write_text("precious")
    with pytest.raises(TrainingError, match=r"e\.h5 exists: give another name, or .*overwrite=True, --overwrite"):
        train_tiny(out)
    assert out.read_text() == "precious" and [p.name for p in tmp_path.iterdir()] == ["e.h5"]


def test_a_file_of_another_training_is_overwritten_if_asked(tiny, tmp_path):
    out = tmp_path / "e.h5"
    out.write_text("old")
    (tmp_path / "e.h5.work").symlink_to(tiny[2].with_name("tiny.h5.work"))
    train_tiny(out, overwrite=True)
    np.testing.assert_array_equal(Emulator.load(out).wavelength, tiny[0].wavelength)


@pytest.mark.parametrize("other", [{"seed": 4}, {"draws": 500}, {"recipe": replace(TINY, latent=7)}])
def test_folder_of_another_training(tiny, other):
    """With --overwrite, too: the folder is not deleted for it."""
    _, _, out = tiny
    before = out.read_bytes()
    given = {"library": LIBRARY, "recipe": TINY, "out": out, "seed": 3, "progress": False, **other}
    with pytest.raises(TrainingError, match=r"tiny\.h5 exists: give another name"):
        train(**given)
    with pytest.raises(TrainingError, match=r"folder=.*tiny\.h5\.work holds a training with another .*: delete it"):
        train(**given, overwrite=True)
    assert out.read_bytes() == before


def test_folder_of_another_library(tiny, small_library):
    with pytest.raises(TrainingError, match="holds a training with another"):
        train(small_library.subset(slice(0, 70)), TINY, tiny[2], seed=3, overwrite=True, progress=False)


def test_folder_of_another_inversion(inverting):
    with pytest.raises(TrainingError, match="holds a training with another"):
        train(LIBRARY, replace(INVERTING, components=21), inverting[1], seed=3, overwrite=True, progress=False)


# ---------------------------------------------------------------- arguments
@pytest.mark.parametrize("recipe", [TINY, INVERTING], ids=lambda x: x.makes)
@pytest.mark.parametrize("missing", ["keras", os.environ.get("KERAS_BACKEND", "tensorflow")])
def test_without_keras_or_its_backend(tmp_path, monkeypatch, recipe, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(TrainingError, match=r"is needed to train, .*pip install 'rvsemu\[train\]' brings TensorFlow"):
        train(LIBRARY, recipe, tmp_path / "e.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_command_without_keras(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.chdir(tmp_path)
    for command in (["train"], ["reproduce", "--quick"]):
        assert main([*command, "--library", str(LIBRARY), "--quiet"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "pip install 'rvsemu[train]'" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", [TINY, INVERTING], ids=lambda x: x.makes)
def test_library_without_spectra(keras, small_library, tmp_path, recipe):
    with pytest.raises(TrainingError, match="the library holds 0 spectra of different labels: at least 50"):
        train(small_library.subset([]), recipe, tmp_path / "e.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_damaged_checkpoints(inverting, keras, tmp_path):
    out = tmp_path / "i.h5"
    folder = shutil.copytree(f"{inverting[1]}.work", tmp_path / "i.h5.work")
    for name in ("network_labels.npz", "components.npz"):
        file = folder / name
        file.write_bytes(file.read_bytes()[:2000])
        with pytest.raises(TrainingError, match=rf"{name} is damaged \(.*delete"):
            train_inverting(out)


@pytest.mark.parametrize(("library", "message"), [("none.h5", "does not exist"), (5, "library=5: give the path")])
def test_library_that_is_none(keras, tmp_path, library, message):
    with pytest.raises(LibraryFileError, match=message):
        train(library, TINY, tmp_path / "e.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "best"}, "recipe 'best' is unknown"),
        ({"recipe": 5}, "recipe=5: give the name of a recipe, a Recipe or an InversionRecipe"),
        ({"out": "no/such/folder/e.h5"}, "folder .* does not exist; make it first"),
        ({"out": "."}, "is a folder: give the name of a file"),
        ({"folder": "file/in/the/way"}, "cannot be made"),
        ({"folder": "file"}, "cannot be made"),
        ({"draws": 20}, "draws=20: give a whole number from 100"),
        ({"draws": 0}, "draws=0: give a whole number from 100"),
        ({"draws": "many"}, "draws='many': give a whole number"),
        ({"draws": 1e6}, "draws=1000000.0: give a whole number"),
        ({"epochs": 0}, "epochs=0: give a whole number from 1"),
        ({"epochs": 1.5}, "epochs=1.5: give a whole number"),
        ({"seed": -1}, "seed=-1: give a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296: give a whole number"),
        ({"seed": True}, "seed=True: give a whole number"),
        ({"seed": None}, "seed=None: give a whole number"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_bad_arguments_leave_nothing(keras, small_library, tmp_path, monkeypatch, arguments, message, overwrite):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    given = {"library": small_library, "recipe": TINY, "out": "e.h5", "progress": False, **arguments}
    with pytest.raises(TrainingError, match=message):
        train(**given, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("recipe", [TINY, INVERTING], ids=lambda x: x.makes)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.subset(slice(0, 49)), "spectra of different labels: at least 50"),
        (lambda x: replace(x, resolution=12000.0), "cannot be broadened"),
        (lambda x: replace(x, names=("teff", "logg", "mh", "alpha")), "this recipe needs"),
    ],
)
def test_a_library_that_does_not_do_leaves_nothing(keras, small_library, tmp_path, recipe, change, message):
    with pytest.raises(TrainingError, match=message):
        train(change(small_library), recipe, tmp_path / "e.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--seed", "-1"], "argument --seed: -1: give a whole number from 0 to 4294967295"),
        (["--seed", "one"], "argument --seed: 'one' is not a number: give a whole number from 0"),
        (["--draws", "99"], "argument --draws: 99: give a whole number of at least 100"),
        (["--epochs", "0"], "argument --epochs: 0: give a whole number of at least 1"),
    ],
)
def test_options_out_of_range(tmp_path, monkeypatch, capsys, option, message):
    """The option and its range are named, before anything is read."""
    monkeypatch.chdir(tmp_path)
    commands = ["train"] if option[0] == "--draws" else ["train", "reproduce"]
    for command in commands:
        with pytest.raises(SystemExit) as e:
            main([command, "--library", "none.h5", *option])
        said = capsys.readouterr().err
        assert e.value.code == 2 and said.count("\n") == 1 and message in said
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- Ctrl-C
@pytest.mark.skipif(os.name == "nt", reason="interrupts by signal")
def test_ctrl_c_in_a_process_of_its_own(tmp_path, keras):
    """One line with what can be resumed, status 130; the same command goes on."""
    out, folder = tmp_path / "e.h5", tmp_path / "e.h5.work"
    options = ["--draws", "100000", "--quiet", "-o", str(out)]
    command = [sys.executable, "-m", "rvsemu", "train", "--library", str(LIBRARY), *options]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            limit = time.monotonic() + 120
            while not (folder / "draws.json").exists() and time.monotonic() < limit and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130, (tmp_path / "log").read_text()
        finally:
            process.kill()
    said = (tmp_path / "log").read_text()
    assert said == f"rvsemu train: interrupted; what is done is in {folder}: the same command goes on from there\n"
    assert not out.exists()


def test_ctrl_c_before_anything_was_done(keras, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rvsemu.training.fit.check_library", interrupted)
    assert main(["train", "--library", str(LIBRARY), "--quiet"]) == 130
    assert capsys.readouterr().err == "rvsemu train: interrupted; nothing was done yet\n"
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_cannot_be_made_is_said_before_it_is_begun(small_library, tmp_path):
    with pytest.raises(TrainingError, match="draws=99 is too few"):
        make_training_set(small_library, replace(TINY, draws=99), Work(Path(tmp_path), 1))
    assert list(tmp_path.iterdir()) == []
