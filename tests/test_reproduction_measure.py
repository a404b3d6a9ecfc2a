"""What the study measures: the bootstrap, spectra that no model has seen, and the spectra it shows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from training_fixtures import with_twins

from rvsemu.emulator.labels import LabelSpace
from rvsemu.errors import TrainingError
from rvsemu.reproduction.figures import broadened, nearest
from rvsemu.reproduction.measure import compared, milliseconds, paired_bootstrap, stars_of, unseen
from rvsemu.training.draws import make_test_set, split_library

NAMES = LabelSpace().names


@pytest.fixture(scope="module")
def library(small_library):
    return small_library


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
    for _ in range(100):
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


# ---------------------------------------------------------------- spectra that no model has seen
def model(share, seed=1, **settings):
    return SimpleNamespace(info={"seed": seed, "settings": {"validation": share, **settings}})


def test_unseen_spectra_are_in_no_training_part(library):
    found = unseen(library, [model(0.2), model(0.1), model(0.3, test=0.1)])
    np.testing.assert_array_equal(found, split_library(library, 0.1, 1))
    fewer = unseen(library, [model(0.4), model(0.5, seed=2), model(0.3, test=0.5)])
    np.testing.assert_array_equal(fewer, split_library(library, 0.4, 1) & split_library(library, 0.5, 2))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_unseen_spectra_have_no_twin_in_a_training_part(library, shift):
    """Each spectrum of the first half is in the second half again."""
    found = unseen(with_twins(library, shift), [model(0.5), model(0.6, seed=2)])
    np.testing.assert_array_equal(found, np.tile(unseen(library, [model(0.5), model(0.6, seed=2)]), 2))
    assert 0 < found.sum() < 160


def test_too_few_unseen_spectra(library):
    with pytest.raises(TrainingError, match=r"^0 of the library's 80 spectra were kept from all trainings: at least 5"):
        unseen(library, [model(0.05, seed=1), model(0.05, seed=2)])


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
