"""The paper's study: the bootstrap, what is refused, the report, and a whole small study that is interrupted."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rvsemu.reproduction.examples import broadened, nearest
from rvsemu.reproduction.learning import Learning
from rvsemu.reproduction.models import changes, obtain, unseen
from rvsemu.reproduction.verdicts import bars, summary
from rvsemu.training.metrics import metrics

import rvsemu
from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import RvsemuError, TrainingError
from rvsemu.library import Library
from rvsemu.reproduction import FULL, QUICK, Plan, reproduce, study
from rvsemu.reproduction import models as models_module
from rvsemu.reproduction.measure import compared, milliseconds, paired_bootstrap, stars_of
from rvsemu.reproduction.report import body, page
from rvsemu.training.autoencoder import load_autoencoder
from rvsemu.training.draws import make_test_set, split_library
from rvsemu.training.recipes import InversionRecipe, NetworkPlan, Recipe, Schedule, recipe

LIBRARY = Path(__file__).parent / "data" / "library_small.h5"
NAMES = LabelSpace().names


@pytest.fixture(scope="module")
def library():
    return Library.load(LIBRARY)


# ---------------------------------------------------------------- the bootstrap
def test_what_two_errors_have_in_common_cancels():
    """Errors a fifth larger throughout: the difference is 0.2 in every resample."""
    error = np.random.default_rng(1).normal(size=(300, 2))
    found = paired_bootstrap(error, 1.2 * error, np.arange(300), seed=1, resamples=50)
    np.testing.assert_allclose(found, 0.2, rtol=1e-12)


def test_bootstrap_of_independent_errors():
    """The RMS of n normal numbers has the relative error 1 / sqrt(2 n): the ratio of two, 1 / sqrt(n)."""
    n, rng = 400, np.random.default_rng(2)
    found = paired_bootstrap(rng.normal(size=(n, 20)), rng.normal(size=(n, 20)), np.arange(n), seed=1, resamples=1000)
    assert np.mean(found.std(axis=0)) == pytest.approx(1 / np.sqrt(n), rel=0.1)
    assert np.mean(found) == pytest.approx(0, abs=0.03)


def test_rows_of_one_star_do_not_count_as_independent():
    """Ten equal rows a star tell no more than one; taken for ten stars they would seem to."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 200, 1))
    once = paired_bootstrap(a, b, np.arange(200), seed=1).std()
    ten = np.repeat(np.arange(200), 10)
    assert paired_bootstrap(a[ten], b[ten], ten, seed=1).std() == pytest.approx(once, rel=1e-9)
    assert paired_bootstrap(a[ten], b[ten], np.arange(2000), seed=1).std() == pytest.approx(
        once / np.sqrt(10), rel=0.15
    )


def test_coverage_of_the_interval():
    """The 95 % interval holds the truth about 95 % of the time, where stars are of unequal numbers of rows."""
    rng, held = np.random.default_rng(4), []
    for _ in range(200):
        stars = rng.integers(80, size=400)
        stars = np.unique(stars, return_inverse=True)[1]
        common, a, b = rng.normal(size=(3, stars.max() + 1, 1))
        one = compared(("x",), (common + a)[stars], (common + b)[stars], stars, seed=1)["x"]
        held.append(one["low"] <= 0 <= one["high"])
        assert one["includes_zero"] == held[-1]
    assert 0.89 < np.mean(held) <= 0.99


@pytest.mark.parametrize(
    ("factor", "within", "surely"), [(1.05, True, True), (0.93, True, True), (1.2, False, False), (0.8, False, False)]
)
def test_verdicts(factor, within, surely):
    error = np.random.default_rng(5).normal(size=(200, 1)) * 30
    one = compared(("teff",), error, factor * error, np.arange(200), seed=1)["teff"]
    assert one["synthetic"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert one["generated"] == pytest.approx(factor * one["synthetic"])
    assert one["difference"] == pytest.approx(factor - 1) and one["low"] == pytest.approx(factor - 1)
    assert (one["within"], one["surely_within"], one["includes_zero"]) == (within, surely, False)
    assert one["shift"] == pytest.approx(abs(factor - 1))


def test_equal_errors_that_are_not_the_same():
    """Opposite errors are equally large: no difference, but a shift of twice the error; few stars prove nothing."""
    error = np.random.default_rng(6).normal(size=(8, 1))
    one = compared(("teff",), error, -error, np.arange(8), seed=1)["teff"]
    assert one["difference"] == 0 and one["shift"] == pytest.approx(2)
    other = np.random.default_rng(7).normal(size=(8, 1))
    one = compared(("teff",), error, other * np.sqrt(np.sum(error**2) / np.sum(other**2)), np.arange(8), seed=1)["teff"]
    assert one["within"] and one["includes_zero"] and not one["surely_within"]


def test_stars_are_rows_with_the_same_intrinsic_labels(library):
    labels, _ = make_test_set(library.subset(slice(0, 6)), LabelSpace(), 100, seed=1)
    stars = stars_of(labels, NAMES)
    assert set(stars) == set(range(6))
    for star in range(6):
        rows = labels[stars == star]
        assert len(np.unique(rows[:, [0, 1, 3, 4]], axis=0)) == 1 and len(np.unique(rows[:, 2])) == len(rows)


def test_milliseconds():
    import time

    found = milliseconds(lambda rows: time.sleep(0.002 + 0.0001 * len(rows)), np.zeros((100, 6)))
    assert 2 < found["alone"] < 30
    assert 0.1 < found["batched"] < found["alone"] and found["batch"] == 100


# ---------------------------------------------------------------- models
def model(share, seed=1, **settings):
    return SimpleNamespace(info={"seed": seed, "settings": {"validation": share, **settings}})


def test_unseen_spectra_are_in_no_training_part(library):
    found = unseen(library, [model(0.2), model(0.1), model(0.3, test=0.1)])
    np.testing.assert_array_equal(found, split_library(80, 0.1, 1))
    fewer = unseen(library, [model(0.4), model(0.5, seed=2), model(0.3, test=0.5)])
    np.testing.assert_array_equal(fewer, split_library(80, 0.4, 1) & split_library(80, 0.5, 2))


def test_unseen_spectra_have_no_twin_in_a_training_part(library):
    """Each spectrum of the first half is in the second half again."""
    twins = library.merged(library)
    found = unseen(twins, [model(0.5)])
    held = split_library(160, 0.5, 1)
    np.testing.assert_array_equal(found, np.tile(held[:80] & held[80:], 2))
    assert 0 < found.sum() < held.sum()


def test_too_few_unseen_spectra(library):
    with pytest.raises(TrainingError, match=r"^0 of the library's 80 spectra were kept from all trainings: at least 5"):
        unseen(library, [model(0.05, seed=1), model(0.05, seed=2)])


def test_models_of_something_else_are_refused(library, tmp_path):
    emulator = rvsemu.shipped()
    path = tmp_path / "gebran2024.h5"
    emulator.save(path)
    trained_on = emulator.info["library"]["fingerprint"]
    with pytest.raises(TrainingError) as error:
        obtain(recipe("gebran2024"), library, path, seed=2)
    for text in (
        f"{path} has recipe default, not gebran2024",
        f"library {trained_on}, not {library.fingerprint()}",
        "seed 1, not 2",
        "move it away",
        "--out",
    ):
        assert text in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(RvsemuError, match="is not an rvsemu inversion"):
        obtain(recipe("inversion"), library, path, seed=1)


def test_models_that_fit_are_taken_as_they_are(library, tmp_path, monkeypatch):
    monkeypatch.setattr(models_module, "train", None)
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
    assert found == ["label_schedule.epochs 3 instead of 500", "draws 2000 instead of 40000"]
    assert changes(json.loads(json.dumps(recipe("default").asdict())), recipe("default").asdict()) == []


def test_plans(library):
    """A quick run is of another library, so that its models never pass for those of a full one."""
    assert FULL.part(library) is library and QUICK.part(library) is library
    part = replace(QUICK, spectra=50).part(library)
    assert len(part) == 50 and part.fingerprint() != library.fingerprint()
    assert {tuple(x) for x in part.labels} < {tuple(x) for x in library.labels}
    assert FULL.test_draws == 5000 and not FULL.quick and FULL.draws is None
    most = {r.name: r.schedule.epochs for r in FULL.inversions}
    assert most["inversion"] <= FULL.epochs < most["gebran2024-inversion"]  # ours to its end, the paper's in hours
    assert [r.name for r in FULL.emulators + FULL.inversions] == [
        "gebran2024",
        "default",
        "gebran2024-inversion",
        "inversion",
    ]


@pytest.mark.parametrize(
    ("out", "message"),
    [("no/such/folder", "the folder .*no/such does not exist; make it first"), ("file", "is a file: give the name")],
)
def test_bad_folders(library, tmp_path, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(TrainingError, match=f"out={out}.*{message}"):
        reproduce(library, out)


# ---------------------------------------------------------------- examples
def test_nearest_spectrum(library):
    everything = replace(library, extrapolated=None)
    for row in (3, 40):
        wanted = dict(zip(library.names, library.labels[row], strict=True)) | {"vsini": 2.0}
        assert nearest(everything, wanted) == row
    chosen = np.arange(80) != 3
    assert nearest(everything, dict(zip(library.names, library.labels[3], strict=True)), chosen) != 3
    held = np.arange(80) == 3
    wanted = dict(zip(library.names, library.labels[3], strict=True))
    assert nearest(replace(library, extrapolated=held), wanted) != 3
    assert nearest(replace(library, extrapolated=held), wanted, held) == 3


def test_broadened_spectra(library):
    """Labels in the order of the space, and the same flux as that of a test set."""
    labels, flux = make_test_set(library.subset([7]), LabelSpace(), 2, seed=1)
    vsini, resolution = labels[:, 2], labels[:, 5]
    again, spectra = broadened(library, [7, 7], LabelSpace(), vsini, resolution)
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_allclose(spectra, flux, rtol=0, atol=1e-6)


# ---------------------------------------------------------------- the report
MEASURED = {"mse": 1e-5, "rms": 3e-3, "mae": 2e-3, "r2": 0.99, "explained_variance": 0.99}
MEASURED |= {"mean_relative_error": 2e-3, "p99_max_error": 0.05}
LABELS = {"teff": 100.0, "vmic": 0.3, "resolution": 1500.0}  # Teff is within its bar, vmic is not


def difference(share):
    one = {"synthetic": 100.0, "generated": 100.0 * (1 + share), "difference": share, "shift": 0.4}
    return (
        one
        | {"low": share - 0.03, "high": share + 0.03, "within": abs(share) <= 0.1}
        | {
            "surely_within": abs(share) <= 0.07,
            "includes_zero": abs(share) <= 0.03,
        }
    )


def made(makes, **more):
    stages = {
        "autoencoder": {"epochs": 12, "best": 9, "most": 34},
        "label_network": {"epochs": 5, "best": 5, "most": 5},
    }
    return {
        "makes": makes,
        "version": "2026.01.02",
        "settings": {
            "decoder": {"output_activation": "linear"},
            "components": 15,
            "log_labels": ["teff"],
            "interpolate": makes == "emulator",
        },
        "metrics": {"autoencoder": MEASURED}
        | {k: {"mean_relative_error": v} for k, v in (("components_training", 0.004), ("components_test", 0.006))},
        "draws": 1000,
        "validation_draws": 200,
        "stages": stages,
        "changes": [],
        **more,
    }


@pytest.fixture
def results():
    doubled = {name: 2 * value for name, value in LABELS.items()}
    found = ((50, 100, doubled), (100, 100, LABELS), (100, 200, LABELS))
    points = [{"spectra": s, "draws": d, "epochs": 3, "test": test} for s, d, test in found]
    points = {
        "inversion": [{**point, "training": {n: 1.0 for n in LABELS}} for point in points],
        "emulator": [{**point, "flux": flux} for point, flux in zip(points, (4e-3, 3e-3, 2.97e-3), strict=True)],
    }
    shown = {name: {"file": f"figure-{name}.png", "text": "text"} for name in ("1", "3", "6", "8-a", "9-b")}
    return {
        "quick": False,
        "seed": 1,
        "date": "2026-01-03",
        "rvsemu": "0.1",
        "machine": {"processor": "Z80", "cores": 1, "system": "CP/M", "python": "3.12"},
        "library": {"fingerprint": "abc", "spectra": 3204, "info": {"lines": "a line list of ours"}},
        "test": {"stars": 320, "stars_drawn": 319, "draws": 5000},
        "labels": [{"name": "teff", "unit": "K"}, {"name": "vmic", "unit": "km/s"}, {"name": "resolution", "unit": ""}],
        "models": {"a": made("emulator", changes=["draws 1000 instead of 40000"]), "b": made("inversion")},
        "flux": {"a": MEASURED},
        "milliseconds": {"a": {"alone": 8.1, "batched": 1.2, "batch": 1000}},
        "errors": {"b": {part: LABELS for part in ("training", "validation", "test", "generated by a")}},
        "differences": {
            "b": {"a": {"teff": difference(0.02), "vmic": difference(0.08), "resolution": difference(0.3)}}
        },
        "learning": points,
        "figures": shown | {"4": {"missing": "no folder"}, "learning-draws": {"file": "figure-l.png", "text": "x"}},
    }


def cells(text, first):
    """The row of a list-table that begins with `first`."""
    row = re.search(rf"   \* - {re.escape(first)}\n((?:     -.*\n)+)", text)[1]
    return [line.removeprefix("     -").strip() for line in row.splitlines()]


def test_report(results):
    text = body(results)
    assert cells(text, "``teff`` (K)") == ["70", "110", "120", "119", "100", "100", "100", "100"]
    assert cells(text, "``resolution``")[:5] == ["", "", "", "", "1,500"]
    claim = text[text.index("The central claim") :]
    assert cells(claim, "``teff`` (K)") == [
        "100",
        "102",
        "+2.0 %",
        "-1.0 % to +5.0 %",
        "yes, the whole interval",
        "yes",
        "40 %",
    ]
    assert cells(claim, "``vmic`` (km/s)")[4:6] == ["yes", "no"]
    assert cells(claim, "``resolution``")[4:6] == ["**no**", "no"]
    assert "within 10 % of those on SYNSPEC spectra with the same labels in 2 of 3 comparisons" in " ".join(
        text.split()
    )
    assert "in 1 the whole 95 % interval was, and in 1 it included zero" in " ".join(text.split())
    assert "``a``: draws 1000 instead of 40000" in text
    assert cells(text, "``a``")[2:] == [
        "800 + 200",
        "autoencoder: 12 of at most 34, best 9; label_network: 5 of at most 5, best 5",
    ]
    assert cells(text, "MSE") == ["4e-6", "1.0e-05"]
    assert cells(text, "one alone") == ["9 ms", "8.1 ms"]
    assert "Z80, 1 core, CP/M" in text
    assert "but the training draws of ``a`` come from a Gaussian process" in text
    assert cells(text, "labels, as networks see them")[1].startswith("``a`` from -1 to 1, teff as logarithms; ``b``")
    assert cells(text, "lines")[1] == "a line list of ours"
    assert "The figure is missing: no folder" in text
    limits = text[text.index("What limits it") :]
    assert cells(limits, "``teff`` (K)") == ["1", "100", "-50.0 %", "+0.0 %", "spectra"]
    assert cells(limits, "50") == ["3", "4.0e-03", "+100.0 %", "+100.0 %", "+100.0 %"]
    assert cells(limits, "100, the emulator itself") == ["12", "3.0e-03", "+2.0 %", "+8.0 %", "+30.0 %"]
    assert "changes by -25.0 %, with that of the draws by -1.0 %: it is limited by spectra." in " ".join(limits.split())


def test_bars(results):
    found = {bar["what"]: (bar["value"], bar["bar"], bar["met"]) for bar in bars(results)}
    assert found["``b``: error of ``teff`` on test spectra"] == ("100 K", "120 K", True)
    assert found["``b``: error of ``vmic`` on test spectra"] == ("0.3 km/s", "0.17 km/s", False)
    assert found["``b``: mean relative error of training spectra rebuilt from components"] == ("0.40 %", "0.5 %", True)
    assert not found["``b``: error of ``resolution``, generated by ``a`` against SYNSPEC"][2]
    assert len(found) == 2 + 1 + 3 and sum(met for *_, met in found.values()) == 4
    assert "4 of 6 bars were met" in body(results) and "4 of 6 bars met" in summary(results)
    assert body(results).count("**missed**") == 2


def test_quick_reports_say_so(results):
    assert "not to be used" not in body(results) + summary(results)
    quick = {**results, "quick": True}
    assert "**Its numbers are not to be used.**" in body(quick) and "not to be used" in summary(quick)


def test_report_without_learning_curve(results):
    figures = {k: v for k, v in results["figures"].items() if not k.startswith("learning")}
    assert "What limits it" not in body({**results, "learning": {}, "figures": figures})


def test_figures_are_where_they_are_said_to_be(results):
    names = re.findall(r"\.\. figure:: (\S+)", body(results, "_static/here/"))
    assert sorted(names) == sorted(f"_static/here/{f['file']}" for f in results["figures"].values() if "file" in f)


def test_report_is_restructured_text(results):
    core = pytest.importorskip("docutils.core")
    settings = {"report_level": 1, "halt_level": 2}
    core.publish_doctree(page(results), settings_overrides=settings)


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
SMOOTH = replace(TINY, name="smooth", components=20, finetune_schedule=SHORT, weights="float32")
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


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


def trained_in(monkeypatch, stop_at=None):
    """The names of recipes whose training is begun; that of `stop_at` is interrupted in its second epoch."""
    from rvsemu.training import stages

    begun = []
    for module in (models_module, study.learning_curve.__globals__):
        where = module if isinstance(module, dict) else vars(module)
        original = where["train"]

        def counting(library, recipe, *arguments, _original=original, **options):
            begun.append(recipe.name)
            return _original(library, recipe, *arguments, **options)

        monkeypatch.setitem(where, "train", counting)
    save = stages._Keeper._save

    def interrupting(self):
        save(self)
        if begun[-1] == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(stages._Keeper, "_save", interrupting)
    return begun


@pytest.fixture(scope="module")
def studied(keras, tmp_path_factory):
    """A study that was interrupted in the training of its second emulator and in a learning curve, then finished."""
    out, begun = tmp_path_factory.mktemp("studied") / "study", []
    for stop_at in ("smooth", "inverting", None):
        with pytest.MonkeyPatch.context() as patch:
            begun.append(trained_in(patch, stop_at))
            try:
                results = reproduce(LIBRARY, out, PLAN, seed=3, progress=False)
            except KeyboardInterrupt:
                assert not (out / "report" / "index.rst").exists()
    return out, results, begun


def test_an_interrupted_study_goes_on(studied):
    _, _, begun = studied
    curves = [*["inverting"] * 3, *["smooth"] * 3]
    assert begun == [["tiny", "smooth"], ["smooth", "inverting"], ["inverting", *curves]]


def test_a_finished_study_trains_nothing_and_finds_the_same(studied, monkeypatch):
    out, results, _ = studied
    begun = trained_in(monkeypatch)
    again = reproduce(LIBRARY, out, PLAN, seed=3, progress=False)
    assert begun == []
    for key in ("errors", "differences", "learning", "models", "flux", "test"):
        assert again[key] == results[key]


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
    rows = split_library(80, 0.2, 3)
    assert results["test"] == {"stars": 16, "stars_drawn": 16, "draws": 120}
    labels, flux = make_test_set(library.subset(rows), inversion.labels, 120, 3)
    for part, spectra in (("test", flux), ("generated by tiny", emulator.flux(labels))):
        error = inversion.estimate(spectra)[0] - labels
        for i, name in enumerate(NAMES):
            assert results["errors"]["inverting"][part][name] == pytest.approx(np.sqrt(np.mean(error[:, i] ** 2)))
    one, table = results["differences"]["inverting"]["tiny"]["logg"], results["errors"]["inverting"]
    assert one["difference"] == pytest.approx(table["generated by tiny"]["logg"] / table["test"]["logg"] - 1)
    assert table["validation"] == inversion.info["metrics"]["validation"]
    assert results["models"]["smooth"]["stages"]["finetune"] == {
        "epochs": 2,
        "best": results["models"]["smooth"]["stages"]["finetune"]["best"],
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


def test_without_the_folder_the_figure_is_missing(studied, tmp_path):
    import shutil

    out, _, _ = studied
    shutil.copytree(out / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.work"))
    results = reproduce(LIBRARY, tmp_path, replace(PLAN, learning={}), seed=3, progress=False)
    assert "autoencoder is in the folder" in results["figures"]["4"]["missing"]
    assert "The figure is missing" in (tmp_path / "report" / "index.rst").read_text(encoding="utf-8")


def test_another_seed_is_refused(studied):
    out, _, _ = studied
    with pytest.raises(TrainingError, match="tiny.h5 has seed 3, not 4: move it away"):
        reproduce(LIBRARY, out, PLAN, seed=4, progress=False)


def test_command(studied, monkeypatch, capsys):
    from rvsemu import reproduction

    out, _, _ = studied
    monkeypatch.setattr(reproduction, "QUICK", replace(PLAN, quick=True))
    arguments = ["reproduce", "--library", str(LIBRARY), "--out", str(out), "--seed", "3", "--quick", "--quiet"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "its numbers are not to be used" in text and "RMS errors of inverting" in text
    assert f"wrote {out}/report: 'sphinx-build -C {out}/report {out}/html'" in text
    assert main([*arguments, "--seed", "5"]) == 2
    assert "tiny.h5 has seed 3, not 5" in capsys.readouterr().err
