"""Wavelengths: published values, other libraries, Doppler shifts; the basis of the continuum."""

import numpy as np
import pytest
from astropy import units as u
from specutils.utils.wcs_utils import air_to_vac, vac_to_air

from rvsemu.errors import SpectrumError
from rvsemu.physics.continuum import chebyshev_basis
from rvsemu.physics.wavelengths import (
    SPEED_OF_LIGHT,
    air_to_vacuum,
    check_medium,
    convert_medium,
    doppler,
    vacuum_to_air,
)


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


@pytest.mark.parametrize("velocity", [SPEED_OF_LIGHT, -SPEED_OF_LIGHT, 1e9, np.inf, np.nan, [0.0, np.nan]])
def test_doppler_below_the_speed_of_light_only(velocity):
    with pytest.raises(SpectrumError, match="velocity=.*below that of light"):
        doppler([8500.0, 8600.0], velocity)


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
