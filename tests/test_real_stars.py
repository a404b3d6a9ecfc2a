"""Real stars that the error of the models was not made with, beside the literature: ``validation/stars``."""

import sys
from pathlib import Path

import numpy as np
import pytest

import rvsemu
from rvsemu.observing.result_table import EXTERNAL_ERRORS

VALIDATION = Path(__file__).resolve().parents[1] / "validation"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(VALIDATION))
    try:
        import real_stars
    finally:
        sys.path.remove(str(VALIDATION))
    return real_stars


@pytest.fixture(scope="module")
def results(script):
    return [star.fitted() for star in script.STARS]


def test_spectra_are_complete(script):
    for star, ccds in zip(script.STARS, (47, 38, 7, None, None), strict=True):
        spectrum = star.spectrum()
        assert spectrum.shape == (2401,) and spectrum.mask.sum() < 11
        assert spectrum.meta.get("combined_ccds") == ccds


def test_labels_are_those_of_the_literature_within_all_errors(script, results):
    """Internal, external, and of the literature: 15 differences, of which one in a thousand would be beyond 3.3."""
    for name in script.SHOWN:
        difference, error = script.compared(results, name)
        assert np.all(np.abs(difference) < 3.3 * np.hypot(error, EXTERNAL_ERRORS.get(name, 0.0)))


def test_external_errors_are_those_measured(script, results):
    """Not less than it is measured to be, and no more than five stars can rule out."""
    for name in script.SHOWN:
        difference, error = script.compared(results, name)
        known, measured = EXTERNAL_ERRORS.get(name, 0.0), script.external_error(difference, error)
        assert measured <= known + 0.1 * np.median(error)
        assert known <= max(2 * measured, np.median(error))


def test_external_error_of_known_differences(script):
    rng = np.random.default_rng(1)
    error = rng.uniform(0.05, 0.1, 4000)
    difference = np.hypot(error, 0.2) * rng.normal(size=4000)
    assert script.external_error(difference, error) == pytest.approx(0.2, rel=0.05)
    assert script.external_error(error * rng.normal(size=4000), error) < 0.02


def test_results_say_what_their_errors_lack(results):
    """Where it was measured: with the error of the models, for free labels; a calibration measures it itself."""
    found = results[0]
    assert {name: error.value for name, error in found.external_errors.items()} == EXTERNAL_ERRORS
    assert found.external_errors["logg"].unit == found.logg.unit
    assert "not in the errors, from real stars: logg 0.15 dex, mh 0.1 dex" in str(found)
    (star,) = rvsemu.read_rvs(rvsemu.example_path())
    for settings, names in (({"model_error": None}, []), ({"fixed": {"logg": 4.47}}, ["mh"])):
        assert list(rvsemu.fit(star, **settings).external_errors) == names
