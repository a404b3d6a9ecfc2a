"""The paper's study: what is taken and what is refused, and a whole small study that is interrupted."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_fixtures import LIBRARY

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import RvsemuError, TrainingError
from rvsemu.reproduction import FULL, QUICK, Learning, Plan, learning, models, reproduce
from rvsemu.reproduction.models import changes, obtain
from rvsemu.training.accuracy import metrics
from rvsemu.training.autoencoder import load_autoencoder
from rvsemu.training.draws import make_test_set, split_library
from rvsemu.training.recipes import InversionRecipe, NetworkPlan, Recipe, Schedule, recipe

NAMES = LabelSpace().names


@pytest.fixture(scope="module")
def library(small_library):
    return small_library


def test_models_of_something_else_are_refused(library, tmp_path):
    emulator = rvsemu.shipped()
    path = tmp_path / "gebran2024.h5"
    emulator.save(path)
    trained_on = emulator.info["library"]["identity"]
    with pytest.raises(TrainingError) as error:
        obtain(recipe("gebran2024"), library, path, seed=2)
    for text in (
        f"{path} has recipe default, not gebran2024",
        f"library {trained_on}, not {library.identity()}",
        "seed 1, not 2",
        "move it away",
        "--out",
    ):
        assert text in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(RvsemuError, match="is not an rvsemu inversion"):
        obtain(recipe("inversion"), library, path, seed=1)


def test_models_that_fit_are_taken_as_they_are(library, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "train", None)
    emulator = rvsemu.shipped()
    info = {**emulator.info, "library": {"fingerprint": library.fingerprint()}, "seed": 7}
    path = tmp_path / "default.h5"
    replace(emulator, info=info).save(path)
    assert obtain(recipe("default"), library, path, seed=7).info == info
    with pytest.raises(TrainingError, match="has seed 7, not 1: "):
        obtain(recipe("default"), library, path, seed=1)


def test_changes_of_a_recipe():
    short = replace(recipe("gebran2024"), draws=2000)
    short = replace(short, label_schedule=replace(short.label_schedule, epochs=3))
    found = changes(json.loads(json.dumps(short.asdict())), recipe("gebran2024").asdict())
    assert found == ["label_schedule.epochs 3 instead of 500", "draws 2000 instead of 205000"]
    assert changes(json.loads(json.dumps(recipe("default").asdict())), recipe("default").asdict()) == []


def test_plans(library):
    """A quick run is of another library, so that its models never pass for those of a full one."""
    assert FULL.part(library) is library and QUICK.part(library) is library
    part = replace(QUICK, spectra=50).part(library)
    assert len(part) == 50 and part.fingerprint() != library.fingerprint()
    assert {tuple(x) for x in part.labels} < {tuple(x) for x in library.labels}
    assert FULL.test_draws == 5000 and not FULL.quick and FULL.draws is FULL.epochs is None
    assert [r.name for r in FULL.emulators + FULL.inversions] == [
        "gebran2024",
        "default",
        "gebran2024-inversion",
        "inversion",
    ]


def test_the_page_and_the_help_state_limits(capsys):
    """Epochs, and disk space of the draws: 4000 fluxes of float32 each."""
    with pytest.raises(SystemExit):
        main(["reproduce", "--help"])
    assert f"default: those of the recipes, with --quick {QUICK.epochs}" in " ".join(capsys.readouterr().out.split())
    page = " ".join((Path(__file__).parents[1] / "docs/reproduction.rst").read_text(encoding="utf-8").split())
    schedules = [x for r in FULL.emulators + FULL.inversions for x in vars(r).values() if isinstance(x, Schedule)]
    assert {x.patience for x in schedules if x.epochs == 500} == {15} and "when 15 epochs have passed without" in page
    assert f"of at most {recipe('gebran2024-inversion').schedule.epochs} epochs of 39 seconds" in page
    size = sum(r.draws for r in FULL.emulators + FULL.inversions) * 4000 * 4
    assert f"the draws of the four trainings take {size / 1e9:.0f} GB" in page


@pytest.mark.parametrize(
    ("out", "message"),
    [("no/such/folder", "the folder .*no/such does not exist; make it first"), ("file", "is a file: give the name")],
)
def test_bad_folders(library, tmp_path, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(TrainingError, match=f"out={out}.*{message}"):
        reproduce(library, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed=-1: give a whole number from 0 to 4294967295"),
        ({"epochs": 0}, "epochs=0: give a whole number from 1"),
        ({"plan": replace(QUICK, spectra=40)}, "holds 40 spectra of different labels: at least 50"),
    ],
)
def test_a_study_that_cannot_begin_leaves_nothing(keras, library, tmp_path, arguments, message):
    """Nor does one whose library does not do, for which the folder had been made."""
    with pytest.raises(TrainingError, match=message):
        reproduce(library, tmp_path / "study", **{"plan": QUICK, **arguments, "progress": False})
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- a whole study
SHORT = Schedule("adam", 32, 2, 2, 5e-3)
TINY = Recipe(
    name="tiny",
    encoder=NetworkPlan((24,), "relu", "relu"),
    decoder=NetworkPlan((24,), "relu"),
    label_network=NetworkPlan((24,), "silu"),
    latent=6,
    autoencoder_schedule=SHORT,
    label_schedule=SHORT,
    finetune_schedule=None,
    draws=150,
    validation=0.2,
    center=True,
)
SMOOTH = replace(TINY, name="smooth", components=20, weights="float32")
TINY = replace(TINY, finetune_schedule=SHORT)
INVERTING = InversionRecipe(
    name="inverting",
    components=10,
    network=NetworkPlan((16,), "silu"),
    shared=True,
    schedule=SHORT,
    draws=150,
    test=0.2,
    validation=0.2,
    interpolate=False,
)
PLAN = Plan(
    emulators=(TINY, SMOOTH),
    inversions=(INVERTING,),
    test_draws=120,
    learning={
        "inversion": Learning(draws=100, epochs=1, shares=(0.85, 1.0), more_draws=(120,)),
        "emulator": Learning(draws=100, epochs=1, shares=(0.85, 1.0), more_draws=(120,)),
    },
)


def trained_in(keras, monkeypatch, stop_at=None):
    """The names of recipes whose training is begun; that of `stop_at` is interrupted after its first epoch."""
    begun, original, fit = [], models.train, keras.Sequential.fit

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if begun[-1] == stop_at:
                raise KeyboardInterrupt

    def counting(library, recipe, *arguments, **options):
        begun.append(recipe.name)
        return original(library, recipe, *arguments, **options)

    def interrupting(model, *arguments, callbacks, **options):
        return fit(model, *arguments, callbacks=[*callbacks, Interrupt()], **options)

    for module in (models, learning):
        monkeypatch.setattr(module, "train", counting)
    monkeypatch.setattr(keras.Sequential, "fit", interrupting)
    return begun


@pytest.fixture(scope="module")
def studied(keras, tmp_path_factory):
    """A study that was interrupted in the training of its second emulator and in a learning curve, then finished."""
    out, begun = tmp_path_factory.mktemp("studied") / "study", []
    for stop_at in ("smooth", "inverting", None):
        with pytest.MonkeyPatch.context() as patch:
            begun.append(trained_in(keras, patch, stop_at))
            try:
                results = reproduce(LIBRARY, out, PLAN, seed=3, progress=False)
            except KeyboardInterrupt:
                assert not (out / "report" / "index.rst").exists()
    return out, results, begun


def test_an_interrupted_study_goes_on(studied):
    _, _, begun = studied
    curves = [*["inverting"] * 3, *["smooth"] * 3]
    assert begun == [["tiny", "smooth"], ["smooth", "inverting"], ["inverting", *curves]]


def test_command_on_a_finished_study(keras, studied, tmp_path, monkeypatch, capsys):
    """It trains nothing and finds the same; without the folder of a training its autoencoder's figure is missing."""
    from rvsemu import reproduction

    out, results, _ = studied
    copy = tmp_path / "study"
    shutil.copytree(out, copy, ignore=shutil.ignore_patterns("*.work"))
    monkeypatch.setattr(reproduction, "QUICK", replace(PLAN, quick=True))
    (tmp_path / "library.txt").write_text(f"{LIBRARY}\n")
    arguments = ["reproduce", "--library", str(tmp_path / "library.txt"), "--out", str(copy), "--quick", "--quiet"]
    arguments += ["--seed", "3"]
    assert main(arguments) == 2
    assert "report of another study (quick False, not True)" in capsys.readouterr().err
    begun = trained_in(keras, monkeypatch)
    assert main([*arguments, "--overwrite"]) == 0
    assert begun == []
    text = capsys.readouterr().out
    assert "its numbers are not to be used" in text and "RMS errors of inverting" in text
    assert f"wrote {copy}/report: 'sphinx-build -C {copy}/report {copy}/html'" in text
    again = json.loads((copy / "report" / "results.json").read_text())
    for key in ("errors", "differences", "learning", "models", "flux", "test"):
        assert again[key] == json.loads(json.dumps(results[key]))
    assert "autoencoder is in the folder" in again["figures"]["4"]["missing"]
    assert "The figure is missing" in (copy / "report" / "index.rst").read_text(encoding="utf-8")


def test_what_a_study_leaves(studied):
    out, results, _ = studied
    assert sorted(p.name for p in (out / "report").iterdir()) == sorted(
        ["index.rst", "results.json", *(f["file"] for f in results["figures"].values())]
    )
    assert len(list((out / "learning").iterdir())) == 6
    written = json.loads((out / "report" / "results.json").read_text()) | {"milliseconds": None}  # of the last run
    assert written == json.loads(json.dumps(results)) | {"milliseconds": None}
    assert set(results["figures"]) == {
        *("1", "3", "4", "6", "8-tiny", "8-smooth", "9-inverting"),
        *("learning-spectra", "learning-draws", "learning-emulator"),
    }
    text = (out / "report" / "index.rst").read_text(encoding="utf-8")
    assert sorted(re.findall(r"figure:: (\S+)", text)) == sorted(f["file"] for f in results["figures"].values())
    assert all((out / "report" / f["file"]).read_bytes().startswith(b"\x89PNG") for f in results["figures"].values())


def test_numbers_are_those_of_the_models(studied, library):
    """Table 5 and the differences, by a second way."""
    out, results, _ = studied
    inversion = rvsemu.Inversion.load(out / "models" / "inverting.h5")
    emulator = rvsemu.Emulator.load(out / "models" / "tiny.h5")
    rows = split_library(library, 0.2, 3)
    assert results["test"] == {"stars": 16, "stars_drawn": 16, "draws": 120}
    labels, flux = make_test_set(library.subset(rows), inversion.labels, 120, 3)
    for part, spectra in (("test", flux), ("generated by tiny", emulator.flux(labels))):
        error = inversion.estimate(spectra)[0] - labels
        for i, name in enumerate(NAMES):
            assert results["errors"]["inverting"][part][name] == pytest.approx(np.sqrt(np.mean(error[:, i] ** 2)))
    one, table = results["differences"]["inverting"]["tiny"]["logg"], results["errors"]["inverting"]
    assert one["difference"] == pytest.approx(table["generated by tiny"]["logg"] / table["test"]["logg"] - 1)
    assert table["validation"] == inversion.info["metrics"]["validation"]
    assert results["models"]["tiny"]["stages"]["finetune"] == {
        "epochs": 2,
        "best": results["models"]["tiny"]["stages"]["finetune"]["best"],
        "most": 2,
    }
    trained = {k: [(p["spectra"], p["draws"], p["epochs"]) for p in v] for k, v in results["learning"].items()}
    assert trained == {
        "inversion": [(54, 100, 1), (64, 100, 1), (64, 120, 1)],
        "emulator": [(54, 100, 1), (64, 100, 1), (64, 120, 1)],
    }


@pytest.mark.parametrize("name", ["tiny", "smooth"])
def test_autoencoder_is_the_one_that_was_measured(studied, name):
    out, results, _ = studied
    folder = out / "models" / f"{name}.h5.work"
    flux = np.load(folder / "flux.npy")[:30]  # the validation draws
    rebuilt = load_autoencoder(folder)(flux)
    measured = metrics(flux, rebuilt)
    for key, value in results["models"][name]["metrics"]["autoencoder"].items():
        assert measured[key] == pytest.approx(value, rel=1e-3), key


def test_autoencoder_whose_folder_is_gone(tmp_path):
    with pytest.raises(TrainingError, match=r"training\.json does not exist: the autoencoder is in the folder of its"):
        load_autoencoder(tmp_path)


def test_another_seed_is_refused(studied):
    out, _, _ = studied
    before = (out / "report" / "results.json").read_bytes()
    with pytest.raises(TrainingError, match="report is the report of another study .seed 3, not 4.: .*--overwrite"):
        reproduce(LIBRARY, out, PLAN, seed=4, progress=False)
    with pytest.raises(TrainingError, match="tiny.h5 has seed 3, not 4: move it away"):
        reproduce(LIBRARY, out, PLAN, seed=4, overwrite=True, progress=False)
    assert (out / "report" / "results.json").read_bytes() == before


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"quick": true, "seed": 3, "library": {"fingerprint": "x"}}'])
def test_a_report_of_another_study_is_kept(library, tmp_path, content):
    (tmp_path / "study/report").mkdir(parents=True)
    file = tmp_path / "study/report/results.json"
    file.write_text(content)
    with pytest.raises(TrainingError, match="is the report of another study .*give another folder, or .*overwrite"):
        reproduce(library, tmp_path / "study", PLAN, seed=3, progress=False)
    assert file.read_text() == content and [p.name for p in (tmp_path / "study").iterdir()] == ["report"]


def test_interrupted_command(keras, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "train", interrupted)
    out = tmp_path / "study"
    assert main(["reproduce", "--library", str(LIBRARY), "--out", str(out), "--quick", "--quiet"]) == 130
    said = capsys.readouterr().err
    assert said == "rvsemu reproduce: interrupted; nothing was done yet\n"
    assert list(tmp_path.iterdir()) == []
