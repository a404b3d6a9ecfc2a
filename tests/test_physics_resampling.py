"""Resampling: polynomials, areas, and slow obvious second implementations."""

import numpy as np
import pytest

from rvsemu.physics.resampling import Resampler, interpolation_matrix, rebin
from rvsemu.physics.wavelengths import (
    doppler,
    vacuum_to_air,
)


@pytest.mark.parametrize("degree", range(8))
def test_interpolation_is_exact_on_polynomials(degree):
    """Up to degree 7, everywhere on the grid and at its edges, and for the derivative."""
    start, step, n = 8400.0, 0.1, 40
    x = np.concatenate([np.linspace(8400.0, 8403.9, 301), start + step * np.arange(n)])
    middle, half = 8401.95, 2.0
    values = ((start + step * np.arange(n) - middle) / half) ** degree
    np.testing.assert_allclose(
        interpolation_matrix(start, step, n, x) @ values, ((x - middle) / half) ** degree, rtol=0, atol=1e-11
    )
    slope = degree * ((x - middle) / half) ** max(degree - 1, 0) / half
    got = interpolation_matrix(start, step, n, x, derivative=True) @ values
    np.testing.assert_allclose(got, slope, rtol=0, atol=1e-8)


def test_interpolation_is_not_exact_beyond():
    grid = np.arange(40.0)
    x = np.linspace(10.1, 29.9, 50)
    assert np.max(np.abs(interpolation_matrix(0, 1, 40, x) @ (grid / 20) ** 8 - (x / 20) ** 8)) > 1e-9


def test_interpolation_at_the_nodes_is_the_identity():
    got = interpolation_matrix(0, 1, 12, np.arange(12.0)).toarray()
    np.testing.assert_allclose(got, np.eye(12), rtol=0, atol=1e-13)  # of weights up to 50, in double precision


def test_interpolation_of_order_two_is_linear():
    values = np.random.default_rng(1).normal(size=30)
    x = np.random.default_rng(2).uniform(0, 29, 200)
    matrix = interpolation_matrix(0, 1, 30, x, order=2)
    np.testing.assert_allclose(matrix @ values, np.interp(x, np.arange(30), values), rtol=0, atol=1e-13)


def test_interpolation_error_is_as_documented():
    """5e-5 of the depth for a Gaussian with sigma = 2.5 steps."""
    grid, x = np.arange(60.0), np.linspace(5, 54, 997)
    worst = 0.0
    for centre in np.linspace(29.5, 30.5, 11):
        exact = np.exp(-0.5 * ((x - centre) / 2.5) ** 2)
        values = np.exp(-0.5 * ((grid - centre) / 2.5) ** 2)
        worst = max(worst, np.max(np.abs(interpolation_matrix(0, 1, 60, x) @ values - exact)))
    assert 4e-5 < worst < 6e-5


def test_interpolation_derivative_is_the_difference_quotient():
    values = np.random.default_rng(3).normal(size=50)
    x = np.random.default_rng(4).uniform(8400.2, 8404.7, 100)
    x = x[np.abs((x - 8400) / 0.1 - np.round((x - 8400) / 0.1)) > 0.01]  # polynomials change at the nodes
    call = lambda x, **k: interpolation_matrix(8400.0, 0.1, 50, x, **k) @ values  # noqa: E731
    difference = (call(x + 1e-5) - call(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(call(x, derivative=True), difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("x", [[-0.01, 5.0], [5.0, 19.01], [np.nan, 5.0]])
def test_interpolation_stays_inside(x):
    with pytest.raises(ValueError, match="leave the grid 0 to 19"):
        interpolation_matrix(0, 1, 20, x)


def test_interpolation_needs_enough_points():
    with pytest.raises(ValueError):
        interpolation_matrix(0, 1, 7, [3.0])


def rebinned_by_overlap(edges, flux, new_edges):
    """Every old bin's share of every new bin, one by one."""
    out = []
    for low, high in zip(new_edges[:-1], new_edges[1:], strict=True):
        overlaps = [max(0.0, min(high, b) - max(low, a)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        out.append(sum(o * f for o, f in zip(overlaps, flux, strict=True)) / (high - low))
    return out


def test_rebin_is_the_sum_of_overlaps():
    rng = np.random.default_rng(5)
    edges = np.sort(rng.uniform(0, 10, 31))
    flux = rng.normal(size=(2, 30))
    new = np.sort(rng.uniform(edges[0], edges[-1], 12))
    got = rebin(edges, flux, new)
    assert got.shape == (2, 11)
    for row, result in zip(flux, got, strict=True):
        np.testing.assert_allclose(result, rebinned_by_overlap(edges, row, new), rtol=0, atol=1e-12)


def test_rebin_keeps_the_area():
    rng = np.random.default_rng(6)
    edges = np.sort(rng.uniform(8400, 8800, 401))
    flux = rng.normal(1, 0.1, 400)
    inner = np.sort(rng.uniform(edges[0], edges[-1], 90))
    new = np.concatenate([edges[:1], inner, edges[-1:]])
    area = np.sum(rebin(edges, flux, new) * np.diff(new))
    assert area == pytest.approx(np.sum(flux * np.diff(edges)), rel=1e-13)


def test_rebin_of_a_linear_flux():
    """Bin means of a straight line are its values at the bin centres, before and after."""
    edges = np.linspace(0, 12, 121)
    centres = (edges[1:] + edges[:-1]) / 2
    new = edges[[0, 3, 10, 11, 60, 120]]
    np.testing.assert_allclose(rebin(edges, 3 - 0.2 * centres, new), 3 - 0.1 * (new[1:] + new[:-1]), rtol=1e-13)


def test_rebin_to_the_same_bins():
    edges, flux = np.linspace(0, 1, 11), np.random.default_rng(7).normal(size=10)
    np.testing.assert_allclose(rebin(edges, flux, edges), flux, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("edges", "new", "message"),
    [
        ([0, 1, 2], [0, 3], "leave the old ones"),
        ([0, 1, 2], [-1, 1], "leave the old ones"),
        ([0, 2, 1], [0, 1], "must increase"),
        ([0, 1, 2], [1, 0.5], "must increase"),
        ([0, 1, 1], [0, 1], "must increase"),
    ],
)
def test_rebin_of_bad_bins(edges, new, message):
    with pytest.raises(ValueError, match=message):
        rebin(edges, [1.0, 2.0], new)


@pytest.mark.parametrize(
    "x",
    [
        vacuum_to_air(8460 + 0.1 * np.arange(2401)),  # about as dense as the grid
        vacuum_to_air(8460 + 0.1 * np.arange(2401))[::3],
        8400.3 + 0.25 * np.arange(1590),  # at both ends, and neither one grid point apart nor two
        np.sort(np.random.default_rng(1).uniform(8402, 8797, 500)),
        np.linspace(8780, 8420, 3000),  # decreasing
    ],
    ids=["dense", "every third", "ends", "scattered", "decreasing"],
)
def test_resampler(x):
    """Exact for polynomials of its order, and as good as the matrix for lines as sharp as those of the RVS."""
    grid = (8400.0, 0.1, 4000)
    wave = 8400.0 + 0.1 * np.arange(4000)
    velocities = np.array([-8.0, 0.0, 0.2, 3.3, 9.0])
    stretch = doppler(1.0, velocities)
    sampler = Resampler(*grid, x)
    lines = np.exp(-0.5 * ((wave - np.random.default_rng(2).uniform(8400, 8800, (5, 3, 200, 1))) / 0.3) ** 2)
    values = 1.0 - 0.05 * lines.sum(axis=2)
    got, slopes = sampler(values, stretch, derivative=True)
    for i, factor in enumerate(stretch):
        matrix = interpolation_matrix(*grid, x * factor)
        np.testing.assert_allclose(got[i].T, matrix @ values[i].T, atol=1e-5)
        expected = interpolation_matrix(*grid, x * factor, derivative=True) @ values[i, 0]
        np.testing.assert_allclose(slopes[i], expected, atol=2e-4)
        power = ((wave - 8600) / 200) ** 7
        exact, slope = sampler(power[None, None], stretch[i : i + 1], derivative=True)
        np.testing.assert_allclose(exact[0, 0], ((x * factor - 8600) / 200) ** 7, atol=1e-10)
        np.testing.assert_allclose(slope[0], 7 / 200 * ((x * factor - 8600) / 200) ** 6, atol=1e-8)
    single = Resampler(*grid, x)(values.astype("f4"), stretch)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, got, atol=1e-5)
    with pytest.raises(ValueError, match="leave the grid"):
        Resampler(*grid, x)(values, doppler(1.0, np.array([-3000.0, 0, 0, 0, 3000])))
