"""Broadening: invariants, and rotation and LSF by direct integration."""

from pathlib import Path

import numpy as np
import pytest
from physics_fixtures import FINE, analytic, analytic_means
from scipy.integrate import quad
from scipy.interpolate import CubicSpline

from rvsemu.library import Library
from rvsemu.physics.broadening import Broadener, broaden, lsf_sigma, rotation_transfer
from rvsemu.physics.wavelengths import SPEED_OF_LIGHT

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def synthetic():
    """Real SYNSPEC spectra before rotation and instrument: G dwarf, K dwarf, B star."""
    return Library.load(DATA / "spectra_fine.h5")


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
