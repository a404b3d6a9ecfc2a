"""Interpolation between library spectra."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from training_fixtures import INTRINSIC

from rvsemu.emulator.regions import Region, to_json
from rvsemu.errors import LibraryFileError
from rvsemu.library import Library
from rvsemu.training.acquisition import neediest
from rvsemu.training.interpolation import LibraryInterpolator
from rvsemu.training.structures import structure_features


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


BOX = Region({"teff": (4000, 9000), "logg": (2, 5), "mh": (-1.5, 1.5), "vmic": (0, 4)})


def test_interpolator_reproduces_nodes():
    library = smooth_library(60)
    interpolator = LibraryInterpolator(library, evaluations=0)
    np.testing.assert_allclose(interpolator(library.labels), library.flux, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(interpolator(library.labels[3]), interpolator(library.labels[3:4]))


def test_interpolator_predicts_between_nodes():
    """The search for length scales brings the errors down, those it counts and those it cannot know."""
    library = smooth_library()
    labels = np.random.default_rng(2).uniform([4300, 2.2, -1.2, 0.3], [8500, 4.8, 1.2, 3.7], (200, 4))
    start, found = (LibraryInterpolator(library, evaluations=n) for n in (0, 120))
    rms = [np.sqrt(np.mean((x(labels) - smooth_flux(labels)) ** 2)) for x in (start, found)]
    assert rms[1] < 0.5 * rms[0]
    assert rms[1] < 5e-4
    assert np.mean(np.log(found.leave_one_out)) < np.mean(np.log(start.leave_one_out))
    assert np.median(found.leave_one_out) < 1e-3


def matern(a, b, scales):
    """Kernel with nu = 7/2 by its formula, one pair at a time."""
    out = np.empty((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            d = np.sqrt(7 * np.sum(((x - y) / scales) ** 2))
            out[i, j] = (1 + d + 2 / 5 * d**2 + d**3 / 15) * np.exp(-d)
    return out


def test_leave_one_out_is_leaving_one_out():
    """The formula against leaving each spectrum out and solving again, with the same length scales."""
    library = smooth_library(40)
    interpolator = LibraryInterpolator(library, evaluations=0)
    teff, logg, mh, vmic = library.labels.T
    x = np.stack([5040 / teff, np.log(teff), logg, mh, np.maximum(mh - 0.5, 0), vmic], axis=1)
    x = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.zeros(40)])  # no [alpha/M]
    strength = np.log(1 - np.log(library.flux.astype("f8")) / 0.07)  # all of them absorb
    mean = strength.mean(axis=0)
    kernel = matern(x, x, interpolator.scales[:-1]) + interpolator.scales[-1] * np.eye(40)
    for i in (0, 7, 39):
        others = np.delete(np.arange(40), i)
        predicted = mean + kernel[i, others] @ np.linalg.solve(kernel[np.ix_(others, others)], strength[others] - mean)
        rms = np.sqrt(np.mean((library.flux[i] - np.exp(0.07 * (1 - np.exp(predicted)))) ** 2))
        assert interpolator.leave_one_out[i] == pytest.approx(rms, rel=1e-4)


def test_emission_and_darkness():
    """Lines above the continuum come back as they are, and so does a flux of nearly nothing."""
    library = smooth_library(40)
    spectra = 2 - smooth_flux(library.labels)
    spectra[:, 30] = 0.002
    interpolator = LibraryInterpolator(replace(library, flux=spectra.astype("f4")), evaluations=0)
    assert spectra.max() > 1.3
    np.testing.assert_allclose(interpolator(library.labels), spectra, rtol=0, atol=1e-4)


def with_a_hole(n=200):
    """A library with few spectra of cool stars rich in metals."""
    library = smooth_library(n)
    hole = (library.labels[:, 0] < 5500) & (library.labels[:, 2] > 0)
    return library.subset(~hole | (np.arange(n) % 10 == 0))


def test_expected_error_is_that_of_spectra_not_seen():
    """In size, for most, and in where it is large; in a hole nothing nearby says how large."""
    interpolator = LibraryInterpolator(with_a_hole(), evaluations=60)
    labels = np.random.default_rng(2).uniform([4100, 2.1, -1.4, 0.2], [8900, 4.9, 1.4, 3.8], (500, 4))
    error = np.sqrt(np.mean((interpolator(labels) - smooth_flux(labels)) ** 2, axis=1))
    expected = interpolator.expected_error(labels)
    assert 0.5 < np.median(error / expected) < 2
    assert spearmanr(error, expected).statistic > 0.6
    hole = (labels[:, 0] < 5500) & (labels[:, 2] > 0)
    assert np.median(expected[hole]) > 1.5 * np.median(expected[~hole])


def test_next_spectra_are_chosen_where_errors_are_large():
    library = with_a_hole()
    labels = np.random.default_rng(3).uniform([4000, 2, -1.5, 0], [9000, 5, 1.5, 4], (600, 4))
    rows = neediest(library, INTRINSIC, labels, 60)
    assert len(set(rows.tolist())) == 60 and np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(neediest(library, INTRINSIC[::-1], labels[:, ::-1], 60), rows)
    error = LibraryInterpolator(library).expected_error(labels)
    assert np.mean(error[rows] ** 2) > 1.5 * np.mean(error**2)
    np.testing.assert_array_equal(neediest(library, INTRINSIC, labels[:9], 60), np.arange(9))
    with pytest.raises(LibraryFileError, match="labels teff, logg, mh, vmic, not teff, logg"):
        neediest(library, ("teff", "logg"), labels, 60)


def test_scales_can_be_used_again():
    library = smooth_library(40)
    found = LibraryInterpolator(library, evaluations=20)
    again = LibraryInterpolator(library, scales=found.scales.tolist())
    np.testing.assert_array_equal(again(library.labels[:5] * 0.99), found(library.labels[:5] * 0.99))


def test_interpolation_of_real_spectra(small_library):
    """Nodes come back; what is left out is met far better than by the nearest library spectrum."""
    library = small_library
    interpolator = LibraryInterpolator(library, evaluations=0)
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
    interpolator = LibraryInterpolator(library, evaluations=0)
    np.testing.assert_allclose(interpolator(labels), library.flux, rtol=0, atol=1e-3)


def test_interpolator_draws_over_the_box():
    library = replace(smooth_library(30), info={"regions": to_json([BOX])})
    interpolator = LibraryInterpolator(library, evaluations=0)
    labels, flux = interpolator.draw(20000, np.random.default_rng(3))
    low, high = BOX.bounds(INTRINSIC)
    assert np.all((labels >= low) & (labels <= high))
    np.testing.assert_allclose(flux[:5], interpolator(labels[:5]), rtol=0, atol=1e-12)
    middle = np.sqrt(4000 * 9000)  # half of the log-uniform half, and less of the uniform one, lie below
    expected = 0.5 * 0.5 + 0.5 * (middle - 4000) / 5000
    assert np.mean(labels[:, 0] < middle) == pytest.approx(expected, abs=0.015)
    for i in (1, 2, 3):
        assert np.mean(labels[:, i]) == pytest.approx((low[i] + high[i]) / 2, abs=0.02 * (high[i] - low[i]))


def test_interpolator_draws_more_cool_stars():
    """Chosen with a probability proportional to Teff^-3 from half uniform, half log-uniform ones."""
    library = replace(smooth_library(30), info={"regions": to_json([BOX])})
    interpolator = LibraryInterpolator(library, evaluations=0)
    teff = np.linspace(4000.0, 9000.0, 10001)
    plain = 0.5 / 5000 + 0.5 / (teff * np.log(9000 / 4000))
    for share in (0.5, 1.0):
        labels, flux = interpolator.draw(8000, np.random.default_rng(4), share)
        assert len(labels) == len(flux) == 8000
        cool = plain * teff**-3 / np.mean(plain * teff**-3) / 5000
        expected = 5000 * np.mean(((1 - share) * plain + share * cool) * (teff < 5000))
        assert np.mean(labels[:, 0] < 5000) == pytest.approx(expected, abs=0.02)  # 3.6 standard deviations


ATLAS9 = {"structures": "ATLAS9 ODFNEW (Castelli & Kurucz 2003)"}


@pytest.mark.parametrize(
    ("teff", "logg", "expected"),
    [(5777, 4.44, 0), (11750, 2.0, 0), (12500, 2.2, 0.3), (11875, 2.2, 0.15), (13500, 2.25, 0.125), (14000, 2.0, 0)],
)
def test_how_far_below_the_structures_a_star_is(teff, logg, expected):
    """Castelli & Kurucz (2003): from 12,000 K the lowest log g is 2.5, and 2.0 at 14,000 K; linear between nodes."""
    library = replace(smooth_library(3), info=ATLAS9)
    features = structure_features(library, np.array([[teff, logg, 0.0, 2.0]]))
    assert features[0, -1] == pytest.approx(expected, abs=1e-6)


def test_structures_are_linear_between_nodes_and_held_beyond():
    library = replace(smooth_library(3), info=ATLAS9)

    def at(*labels):
        return structure_features(library, np.array([labels]))[0]

    np.testing.assert_allclose(at(5125, 4, 0, 1), (at(5000, 4, 0, 1) + at(5250, 4, 0, 1)) / 2, atol=1e-5)
    np.testing.assert_array_equal(at(5125, 4, 0.5, 1), at(5125, 4, 1.4, 3))
    assert np.abs(at(5125, 4, 0.5, 1) - at(5125, 4, 0, 1)).max() > 0.1
    assert structure_features(smooth_library(3), library.labels).shape == (3, 0)  # made of other structures


def test_interpolator_follows_bends_of_the_structures():
    """Spectra that bend where the hottest structures end are met far better when the interpolator knows it."""
    rng = np.random.default_rng(5)
    low, high = [10500, 2, -0.5, 0], [14500, 3.5, 0.5, 4]
    x = np.linspace(-1, 1, 60)

    def flux(labels):
        library = Library(labels, INTRINSIC, 8400 + np.arange(60.0), np.ones((len(labels), 60)), "air", info=ATLAS9)
        below = structure_features(library, labels)[:, -1:]
        spectra = 1 - (0.3 + 0.2 * below) * np.exp(-((x / (0.1 + 0.1 * labels[:, 1:2])) ** 2))
        return replace(library, flux=spectra.astype("f4"))

    library, others = flux(rng.uniform(low, high, (250, 4))), flux(rng.uniform(low, high, (200, 4)))
    rms = []
    for info in (ATLAS9, {}):
        interpolator = LibraryInterpolator(replace(library, info=info), evaluations=120)
        rms.append(np.sqrt(np.mean((interpolator(others.labels) - others.flux) ** 2)))
    assert rms[0] < 0.2 * rms[1]
