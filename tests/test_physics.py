"""Physics: invariants, published values, and slow obvious second implementations."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from scipy.integrate import quad
from scipy.interpolate import CubicSpline
from scipy.special import erf
from specutils.utils.wcs_utils import air_to_vac, vac_to_air

from rvsemu.errors import SpectrumError
from rvsemu.library import Library
from rvsemu.physics.broadening import Broadener, broaden, lsf_sigma, rotation_transfer
from rvsemu.physics.continuum import chebyshev_basis
from rvsemu.physics.resampling import Resampler, interpolation_matrix, rebin
from rvsemu.physics.wavelengths import (
    SPEED_OF_LIGHT,
    air_to_vacuum,
    check_medium,
    convert_medium,
    doppler,
    vacuum_to_air,
)

DATA = Path(__file__).parent / "data"
FINE = np.arange(8480.0, 8620.0, 0.04)

LINES = np.array(  # centre (Angstrom), depth, sigma (Angstrom)
    [
        [8520.0, 0.6, 0.05],
        [8520.6, 0.3, 0.06],
        [8531.3, 0.8, 0.25],
        [8542.1, 0.5, 1.5],
        [8542.1, 0.4, 0.12],
        [8560.0, 0.9, 0.06],
        [8560.25, 0.05, 0.05],
        [8575.5, 0.2, 12.0],
    ]
)


def analytic(wavelength):
    """A spectrum of Gaussian lines, as a function."""
    out = np.ones_like(wavelength)
    for centre, depth, sigma in LINES:
        out -= depth * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)
    return out


def analytic_means(centres, width):
    """Its means over bins, by the error function."""
    out = np.ones_like(centres)
    for centre, depth, sigma in LINES:
        low, high = ((centres + s * width / 2 - centre) / (np.sqrt(2) * sigma) for s in (-1, 1))
        out -= depth * sigma * np.sqrt(np.pi / 2) * (erf(high) - erf(low)) / width
    return out


@pytest.fixture(scope="module")
def synthetic():
    """Real SYNSPEC spectra before rotation and instrument: G dwarf, K dwarf, B star."""
    return Library.load(DATA / "spectra_fine.h5")


# ---------------------------------------------------------------- rotation and LSF by direct integration
def strips(n, limb_darkening=0.6, across=200):
    """Distances from the rotation axis, in stellar radii, and the light of `n` strips of the disc.

    The light is the sum over `across` surface elements a strip of intensity 1 - e + e mu times area.
    """
    theta = (np.arange(n) + 0.5) / n * np.pi - np.pi / 2
    phi = (np.arange(across) + 0.5) / across * np.pi - np.pi / 2
    x = np.sin(theta)[:, None]
    half = np.cos(theta)[:, None]
    y = half * np.sin(phi)
    mu = np.sqrt(1 - x**2 - y**2)
    area = np.cos(theta)[:, None] * half * np.cos(phi)
    light = np.sum((1 - limb_darkening + limb_darkening * mu) * area, axis=1)
    return x[:, 0], light / light.sum()


def rotated(spectrum, wavelength, vsini):
    """Every strip's spectrum, Doppler-shifted, added up."""
    if vsini == 0:
        return spectrum(wavelength)
    out = np.zeros_like(wavelength)
    for distance, light in zip(*strips(16 + int(2 * vsini)), strict=True):
        beta = vsini * distance / SPEED_OF_LIGHT
        out += light * spectrum(wavelength * np.sqrt((1 - beta) / (1 + beta)))
    return out


def observed(spectrum, wavelength, vsini, resolution):
    """The rotating star through a Gaussian slit function of FWHM wavelength / resolution, by quadrature."""
    step = 0.7 if vsini < 50 else 3.0  # km/s: a fast rotator's spectrum is smooth
    sigma = 1 / resolution / np.sqrt(8 * np.log(2))
    n = int(6 * sigma * SPEED_OF_LIGHT / step) + 10
    at = np.linspace(-6, 6, 2 * n + 1)
    weights = np.exp(-0.5 * at**2)
    points = wavelength[:, None] * (1 + sigma * at)
    return rotated(spectrum, points, vsini) @ (weights / weights.sum())


OUT = np.concatenate([np.arange(8494, 8504, 0.67), np.arange(8515, 8580, 1.43)])
RESOLUTIONS = [5000, 11500, 14500]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("vsini", [0, 1, 20, 300])
def test_broadening_is_the_direct_integral_analytic(vsini, resolution):
    _, flux = broaden(FINE, analytic(FINE), vsini, resolution, out=OUT)
    np.testing.assert_allclose(flux, observed(analytic, OUT, vsini, resolution), rtol=0, atol=1e-4)


@pytest.mark.parametrize("star", [0, 1, 2])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("vsini", [0, 1, 20, 300])
def test_broadening_is_the_direct_integral_synspec(synthetic, star, vsini, resolution):
    """The synthetic fluxes taken as points of a smooth curve by both ways."""
    spline = CubicSpline(synthetic.wavelength, synthetic.flux[star].astype(float))
    _, flux = broaden(synthetic.wavelength, synthetic.flux[star], vsini, resolution, out=OUT)
    np.testing.assert_allclose(flux, observed(spline, OUT, vsini, resolution), rtol=0, atol=1e-4)


def test_direct_integral_has_converged():
    """The second implementation itself: Gray's profile has this variance, and strips are many enough."""
    distance, light = strips(616)
    e = 0.6
    ellipse, parabola = 1 / 4, 1 / 5  # <y^2> of 2/pi sqrt(1 - y^2) and of 3/4 (1 - y^2)
    share = (1 - e) / (1 - e / 3)
    assert np.sum(light * distance**2) == pytest.approx(share * ellipse + (1 - share) * parabola, rel=1e-4)


@pytest.mark.parametrize("width", [0.04, 0.1])
@pytest.mark.parametrize(("vsini", "resolution"), [(0, 11500), (0, 14500), (20, 5000), (300, 14500)])
def test_bins_are_taken_out(width, vsini, resolution):
    """Means over bins lead to the spectrum that the point values have."""
    centres = np.arange(8480.0, 8620.0, width)
    _, flux = broaden(centres, analytic_means(centres, width), vsini, resolution, out=OUT, bin_width=width)
    np.testing.assert_allclose(flux, observed(analytic, OUT, vsini, resolution), rtol=0, atol=1e-4)


def test_bins_matter():
    """Were they ignored, 0.1 A would be seen at R = 14,500."""
    centres = np.arange(8480.0, 8620.0, 0.1)
    _, flux = broaden(centres, analytic_means(centres, 0.1), 0, 14500, out=OUT)
    assert np.max(np.abs(flux - observed(analytic, OUT, 0, 14500))) > 5e-4


@pytest.mark.parametrize(("vsini", "resolution"), [(0, 14500), (1, 11500), (20, 11500), (250, 5000)])
def test_two_steps_are_one(synthetic, vsini, resolution):
    """Smoothed to R = 30,000 and coarsened first, then broadened with that in mind; real spectra."""
    out = np.arange(8496.0, 8604.0, 0.1)
    one = Broadener(synthetic.wavelength, out, synthetic.bin_width)
    compact = synthetic.compact()
    assert compact.resolution == 30000 and np.diff(compact.wavelength)[0] == pytest.approx(0.1)
    two = Broadener(compact.wavelength, out, compact.bin_width, compact.resolution)
    once = one.apply(one.transform(synthetic.flux), vsini, resolution)
    twice = two.apply(two.transform(compact.flux), vsini, resolution)
    np.testing.assert_allclose(twice, once, rtol=0, atol=1e-4)


@pytest.mark.parametrize("resolution", [5000, 14500])
@pytest.mark.parametrize("vsini", [0, 0.01, 1, 20, 300])
def test_area_and_centroid_stay(vsini, resolution):
    wave = np.arange(8480.0, 8620.0, 0.04)
    line = 0.7 * np.exp(-0.5 * ((wave - 8550) / 0.08) ** 2)
    out, flux = broaden(wave, 1 - line, vsini, resolution)
    moments = []
    for w, depth in ((wave, line), (out, 1 - flux)):
        log = np.log(w)
        area = np.sum(depth / w)  # in velocity; the steps are equal in wavelength
        moments.append((area, SPEED_OF_LIGHT * np.sum(depth / w * (log - np.log(8550))) / area))
    assert moments[1][0] == pytest.approx(moments[0][0], rel=1e-6)
    assert moments[1][1] == pytest.approx(moments[0][1], abs=1e-3)


def test_width_is_that_of_the_kernels():
    """Variances add: line, rotation (Gray's profile) and LSF."""
    wave = np.arange(8480.0, 8620.0, 0.04)
    velocity = SPEED_OF_LIGHT * np.log(wave / 8550)
    out, flux = broaden(wave, 1 - 0.7 * np.exp(-0.5 * (velocity / 4) ** 2), 100, 11500)
    velocity, depth = SPEED_OF_LIGHT * np.log(out / 8550), (1 - flux) / out
    share = 0.4 / 0.8
    expected = 4**2 + 100**2 * (share / 4 + (1 - share) / 5) + (SPEED_OF_LIGHT / 11500 / 2.354820045) ** 2
    assert np.sum(depth * velocity**2) / np.sum(depth) == pytest.approx(expected, rel=1e-4)


def test_continuum_stays_one():
    _, flux = broaden(FINE, np.ones_like(FINE), 300, 5000)
    np.testing.assert_allclose(flux, 1, rtol=0, atol=1e-10)
    _, flux = broaden(FINE, np.ones_like(FINE), 1e-3, 11500)
    np.testing.assert_allclose(flux, 1, rtol=0, atol=1e-10)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_slow_rotation_goes_over_into_none(resolution):
    spectra = [broaden(FINE, analytic(FINE), v, resolution, out=OUT)[1] for v in (0.0, 1e-6, 1e-3, 0.1, 0.2)]
    change = [np.max(np.abs(f - spectra[0])) for f in spectra]
    assert change[1] < 1e-12
    assert change[2] < 1e-7
    assert change[4] / change[3] == pytest.approx(4, rel=0.01)  # the profile's variance, so quadratic


def test_nothing_to_do_is_nothing_done():
    out, flux = broaden(FINE, analytic(FINE), 0, np.inf)
    np.testing.assert_allclose(flux, analytic(out), rtol=0, atol=1e-3)  # lines of 1.2 steps
    smooth = 1 - 0.5 * np.exp(-0.5 * ((FINE - 8550) / 0.2) ** 2)
    out, flux = broaden(FINE, smooth, 0, np.inf)
    np.testing.assert_allclose(flux, np.interp(out, FINE, smooth), rtol=0, atol=1e-6)


@pytest.mark.parametrize("limb_darkening", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("vsini", [1.0, 37.0])
def test_rotation_transfer_is_the_transform_of_grays_profile(limb_darkening, vsini):
    """Gray (2005), eq. 18.14, integrated numerically."""
    e = limb_darkening

    def profile(v):
        y2 = min((v / vsini) ** 2, 1.0)
        return (2 * (1 - e) * np.sqrt(1 - y2) + np.pi / 2 * e * (1 - y2)) / (np.pi * vsini * (1 - e / 3))

    assert rotation_transfer(0.0, vsini, e) == 1.0
    for x in (1e-4, 0.5e-2, 1.5e-2, 0.3, 2.0, 8.0, 30.0):
        f = x / (2 * np.pi * vsini)
        integral, _ = quad(profile, 0, vsini, weight="cos", wvar=2 * np.pi * f, limit=200, epsabs=1e-11)
        assert rotation_transfer(f, vsini, e) == pytest.approx(2 * integral, abs=1e-8)
        assert rotation_transfer(-f, vsini, e) == rotation_transfer(f, vsini, e)


def test_rotation_transfer_has_no_step():
    x = np.linspace(0.009, 0.011, 2001)
    steps = np.diff(rotation_transfer(x / (2 * np.pi), 1.0))
    assert np.all(steps < 0)
    assert np.max(np.abs(np.diff(steps))) < 1e-10


def test_lsf_sigma():
    assert lsf_sigma(11500) * 2.354820045 == pytest.approx(26.0689, abs=1e-3)  # "26 km/s FWHM"
    assert lsf_sigma(np.inf) == 0


def test_many_spectra_at_once():
    stack = np.stack([analytic(FINE), 1 - 0.5 * (1 - analytic(FINE))])
    out, one = broaden(FINE, stack[1], 30, 11500)
    np.testing.assert_allclose(broaden(FINE, stack, 30, 11500)[1][1], one, rtol=0, atol=1e-13)
    cube = broaden(FINE, np.stack([stack, stack, stack]), 30, 11500)[1]
    assert cube.shape == (3, 2, len(out))
    np.testing.assert_allclose(cube[2, 1], one, rtol=0, atol=1e-13)


@pytest.mark.parametrize("vsini", np.linspace(0.5, 300, 23))
def test_default_output_leaves_room_for_the_kernels(vsini):
    """Also where a grid point falls just beyond the reach of the kernels."""
    for start in (8480.0, 8480.013, 8480.027):
        wave = start + 0.04 * np.arange(3000)
        out, _ = broaden(wave, np.ones_like(wave), vsini, 9000)
        reach = (vsini + 5 * lsf_sigma(9000)) / SPEED_OF_LIGHT
        assert out[0] / wave[0] - 1 == pytest.approx(reach, rel=0.01, abs=1e-5)
        assert 1 - out[-1] / wave[-1] == pytest.approx(reach, rel=0.01, abs=1e-5)


def test_what_lies_beyond_the_margin_does_not_matter():
    """The transform is periodic: a step from one end to the other must not leak in."""
    slope = 1 - 0.3 * (FINE - FINE[0]) / (FINE[-1] - FINE[0])
    out, flux = broaden(FINE, slope, 100, 11500)
    # rotation and LSF leave a straight line alone but for the curvature of the log-wavelength grid
    np.testing.assert_allclose(flux, np.interp(out, FINE, slope), rtol=0, atol=1e-6)


def test_margins_too_narrow():
    broadener = Broadener(FINE, np.arange(8485.0, 8615.0))
    transform = broadener.transform(np.ones_like(FINE))
    broadener.apply(transform, 100, 11500)
    with pytest.raises(ValueError, match=r"vsini=300 and resolution=5000 reach 427 km/s .* margin of 1\d\d km/s"):
        broadener.apply(transform, 300, 5000)
    with pytest.raises(ValueError, match="narrower than the kernels"):
        broaden(FINE[:200], np.ones(200), 300, 5000)
    with pytest.raises(ValueError, match="leaves the input grid"):
        Broadener(FINE, [8470.0, 8500.0])


@pytest.mark.parametrize(
    "grid",
    [
        np.geomspace(8480, 8620, 3500),
        FINE[::-1],
        np.delete(FINE, 100),
        FINE[:10],
        np.where(np.arange(len(FINE)) == 7, np.nan, FINE),
        np.full(100, 8500.0),
    ],
    ids=["logarithmic", "decreasing", "gap", "short", "nan", "constant"],
)
def test_grid_that_is_not_uniform(grid):
    with pytest.raises(ValueError, match="uniform, increasing grid"):
        Broadener(grid, [8500.0])


def test_resolution_above_the_inputs():
    broadener = Broadener(FINE, np.arange(8520.0, 8580.0), native_resolution=12000)
    with pytest.raises(ValueError, match="resolution=14500 is above that of the input"):
        broadener.transfer(0, 14500)
    assert broadener.transfer(0, 12000).shape == broadener.frequency.shape  # nothing left to do


@pytest.mark.parametrize(("vsini", "resolution"), [(-1, 11500), (np.nan, 11500), (1, 0.0), (1, -5.0), (1, np.nan)])
def test_impossible_kernels(vsini, resolution):
    broadener = Broadener(FINE, np.arange(8520.0, 8580.0))
    with pytest.raises(ValueError, match="give vsini >= 0 and resolution > 0"):
        broadener.transfer(vsini, resolution)


# ---------------------------------------------------------------- wavelengths
@pytest.mark.parametrize(
    ("air", "vacuum"),
    [
        (8498.02, 8500.36),
        (8542.09, 8544.44),
        (8662.14, 8664.52),
        (6562.80, 6564.61),
        (5889.95, 5891.58),
        (5006.84, 5008.24),
    ],
)
def test_published_wavelengths(air, vacuum):
    """SDSS table of spectral lines (vacuum) and their traditional air wavelengths, to their rounding."""
    assert air_to_vacuum(air) == pytest.approx(vacuum, abs=0.01)
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=0.01)


def test_air_and_vacuum_round_trip():
    wave = np.linspace(3000, 11000, 1001)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(wave)), wave, rtol=0, atol=1e-9)
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(wave)), wave, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "tolerance"), [("Morton2000", 1e-6), ("Ciddor1996", 1e-3), ("PeckReeder1972", 1e-3)]
)
def test_air_and_vacuum_as_in_specutils(method, tolerance):
    wave = np.linspace(8400, 8800, 101)
    theirs = vac_to_air(wave * u.AA, method=method).to_value(u.AA)
    np.testing.assert_allclose(vacuum_to_air(wave), theirs, rtol=0, atol=tolerance)
    back = air_to_vac(theirs * u.AA, scheme="iteration", method=method).to_value(u.AA)
    np.testing.assert_allclose(air_to_vacuum(theirs), back, rtol=0, atol=max(tolerance, 1e-5))


def test_convert_medium():
    wave = np.array([8400.0, 8800.0])
    np.testing.assert_array_equal(convert_medium(wave, "air", "air"), wave)
    np.testing.assert_array_equal(convert_medium(wave, "air", "vacuum"), air_to_vacuum(wave))
    np.testing.assert_array_equal(convert_medium(wave, "vacuum", "air"), vacuum_to_air(wave))
    assert check_medium("air") == "air"


@pytest.mark.parametrize("medium", ["water", "Air", None, ""])
def test_unknown_medium(medium):
    for call in (lambda: convert_medium([8500.0], medium, "air"), lambda: convert_medium([8500.0], "air", medium)):
        with pytest.raises(SpectrumError, match="medium=.* is unknown: use 'air' or 'vacuum'"):
            call()


@pytest.mark.parametrize("velocity", [-500.0, -1.0, 0.0, 33.3, 30000.0])
def test_doppler(velocity):
    wave = np.linspace(8400, 8800, 11)
    shifted = doppler(wave, velocity)
    np.testing.assert_allclose(doppler(shifted, -velocity), wave, rtol=1e-14)
    theirs = (velocity * u.km / u.s).to(u.AA, equivalencies=u.doppler_relativistic(8500 * u.AA)).value
    assert doppler(8500.0, velocity) == pytest.approx(theirs, rel=1e-12)
    assert np.all(np.sign(shifted - wave) == np.sign(velocity))


# ---------------------------------------------------------------- resampling
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


# ---------------------------------------------------------------- continuum
def test_chebyshev_basis():
    wave = np.linspace(8460, 8700, 51)
    basis = chebyshev_basis(wave, 4)
    x = np.linspace(-1, 1, 51)
    assert basis.shape == (51, 5)
    for k in range(5):
        np.testing.assert_allclose(basis[:, k], np.cos(k * np.arccos(x)), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(chebyshev_basis(wave, 0), np.ones((51, 1)))


def test_chebyshev_basis_does_not_ask_for_order():
    wave = np.random.default_rng(8).permutation(np.linspace(8460, 8700, 51))
    np.testing.assert_allclose(chebyshev_basis(wave, 3)[np.argsort(wave)], chebyshev_basis(np.sort(wave), 3))


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
