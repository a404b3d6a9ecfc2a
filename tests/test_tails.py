"""Errors of labels where the posterior is not as narrow as its curvature says."""

import numpy as np
import pytest
import scipy.stats

from rvsemu.emulator.labels import Label, LabelSpace
from rvsemu.fitting.parameters import Parameters
from rvsemu.fitting.tails import widening

BOX = LabelSpace((Label("teff", "K", 3000.0, 9000.0), Label("mh", "dex", -5.0, 5.0)))
PARAMETERS = Parameters.make(BOX, radial_velocity=(-100.0, 100.0))
CENTRE = np.array([[6000.0, 0.0, 0.0]])
HESSIAN = np.diag([100.0**-2, 0.2**-2, 1.0])[None]
HESSIAN[0, 0, 1] = HESSIAN[0, 1, 0] = 0.6 / (100.0 * 0.2)


def quadratic(x):
    away = x - CENTRE
    return 0.5 * np.einsum("ki,kij,kj->k", away, HESSIAN, away)


def factors(fall, centre=CENTRE, hessian=HESSIAN):
    return widening(PARAMETERS, centre, hessian, fall)[0]


def test_a_gaussian_is_left_as_it_is():
    assert np.array_equal(factors(quadratic), np.ones(3))


def test_each_maximum_is_looked_at_with_its_own_curvature_and_all_at_once():
    centres, curvatures = np.vstack([CENTRE, CENTRE + [500.0, 1.0, 5.0]]), np.concatenate([HESSIAN, 4.0 * HESSIAN])
    asked = []

    def fall(x):
        asked.append(len(x))
        away = x.reshape(2, -1, 3) - centres[:, None]
        return (0.5 * np.einsum("kri,kij,krj->kr", away, curvatures, away) * [[1.0], [0.25]]).ravel()

    found = widening(PARAMETERS, centres, curvatures, fall)
    assert found == pytest.approx(np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]]), rel=0.01)
    assert asked == [2 * 4]  # two labels, on both sides


def test_nothing_is_asked_where_no_label_is_looked_at():
    known = Parameters.make(BOX, fixed={"teff": 6000.0, "mh": 0.0}, radial_velocity=(-100.0, 100.0))
    assert np.array_equal(widening(known, np.zeros((2, 1)), np.ones((2, 1, 1)), None), np.ones((2, 1)))


def test_a_longer_tail_on_one_side_widens_its_label_by_what_it_is_longer():
    def fall(x):
        return np.where(x[:, 1] < -0.5, 0.25, 1.0) * quadratic(x)  # there a Gaussian of twice the width

    assert factors(fall) == pytest.approx([1.0, 2.0, 1.0])


def test_labels_with_any_function_as_prior_are_looked_at_and_those_with_a_gaussian_are_not():
    def fall(x):
        return np.where(x[:, 1] < -0.5, 0.25, 1.0) * quadratic(x)

    found = []
    for prior in (scipy.stats.uniform(-4.0, 8.0), lambda mh: 0.0 * mh, (0.0, 0.2)):
        parameters = Parameters.make(BOX, priors={"mh": prior}, radial_velocity=(-100.0, 100.0))
        found.append(widening(parameters, CENTRE, HESSIAN, fall)[0, 1])
    assert found == pytest.approx([2.0, 2.0, 1.0])


@pytest.mark.parametrize("height", [1e-6, -3.0])
def test_a_plateau_or_a_higher_place_widens_to_no_more_than_the_range(height):
    """The standard deviation of a label that may be anywhere is its range over the root of 12."""
    for error in (100.0, 1000.0):
        hessian = np.diag([error**-2, 0.2**-2, 1.0])[None]
        known = np.sqrt(1 / (error**-2 + 12 / 6000**2))
        found = factors(lambda x: np.where(x[:, 0] > 6100, height, quadratic(x)), hessian=hessian)
        assert found == pytest.approx([min(10.0, 6000 / np.sqrt(12) / known), 1.0, 1.0], rel=0.01)


def test_little_is_tolerated_and_limits_are_no_tails():
    assert np.array_equal(factors(lambda x: quadratic(x) / 1.3**2), np.ones(3))
    near = np.array([[8950.0, 0.0, 0.0]])  # half an error below the upper limit

    def fall(x):
        away = x - near
        return 0.5 * np.einsum("ki,kij,kj->k", away, HESSIAN, away)

    assert np.array_equal(factors(fall, near), np.ones(3))
