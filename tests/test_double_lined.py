"""Spectra with the lines of two stars are flagged, and those of single stars are not."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from fit_fixtures import RVS
from specutils import Spectrum

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.observing import RVS_NOISE_CORRELATION
from rvsemu.observing.flags import DOUBLE_LINED, to_bits

SPEED_OF_LIGHT = 299792.458
G_STAR = {"teff": 5700, "logg": 4.4, "vsini": 5}
PAIRS = {  # labels of both, share of the first in the light, km/s between them, S/N
    "G and K, 150 km/s, S/N 50": ({"teff": 5800, "logg": 4.35}, {"teff": 5200, "logg": 4.5}, 0.6, 150, 50),
    "G and K, 150 km/s, S/N 100": ({"teff": 5800, "logg": 4.35}, {"teff": 5200, "logg": 4.5}, 0.6, 150, 100),
    "two F stars, 80 km/s": ({"teff": 6500, "logg": 4.2}, {"teff": 6300, "logg": 4.2}, 0.53, 80, 100),
    "two F stars, 60 km/s": ({"teff": 6500, "logg": 4.2}, {"teff": 6300, "logg": 4.2}, 0.53, 60, 100),
    "G twins, 100 km/s": (G_STAR, G_STAR, 0.5, 100, 50),
    "a faint K star beside an F star": ({"teff": 6200, "logg": 4.2}, {"teff": 5000, "logg": 4.5}, 0.85, 100, 50),
}


def noise(rng, count, snr):
    """Noise with the correlation of the RVS, by its power spectrum."""
    lags = np.zeros(count)
    lags[: len(RVS_NOISE_CORRELATION)] = RVS_NOISE_CORRELATION
    lags[-len(RVS_NOISE_CORRELATION) + 1 :] = RVS_NOISE_CORRELATION[:0:-1]
    white = np.fft.rfft(rng.normal(size=count))
    return np.fft.irfft(white * np.sqrt(np.maximum(np.fft.rfft(lags).real, 0.0)), count) / snr


def light(labels, velocity):
    rest = RVS * np.sqrt((1 - velocity / SPEED_OF_LIGHT) / (1 + velocity / SPEED_OF_LIGHT))
    labels = {"vsini": 10, "mh": 0, "vmic": 1.3, "resolution": 11900} | labels
    return rvsemu.generate(**labels, wavelength=rest, medium="vacuum").flux.value


def observed(flux, snr, seed=0):
    flux = flux + noise(np.random.default_rng(seed), len(RVS), snr)
    return Spectrum(
        spectral_axis=RVS * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(RVS), 1 / snr)),
        meta={"medium": "vacuum", "frame": "rest"},
    )


def double(first, second, share, apart, snr, seed=0):
    flux = share * light(first, -apart * (1 - share)) + (1 - share) * light(second, apart * share)
    return observed(flux, snr, seed)


@pytest.mark.parametrize("name", PAIRS)
def test_two_stars_are_flagged(name):
    assert DOUBLE_LINED in rvsemu.fit(double(*PAIRS[name])).flags


def test_every_way_of_fitting_has_the_flag():
    star = double(*PAIRS["G twins, 100 km/s"])
    assert DOUBLE_LINED in rvsemu.fit(star, errors="sampled").flags
    assert DOUBLE_LINED in rvsemu.sample(star, steps=20, progress=False).flags
    (many, single) = fit_many([star, observed(light(G_STAR, 0), 50)])
    assert DOUBLE_LINED in many.flags and DOUBLE_LINED not in single.flags


@pytest.mark.parametrize("snr", [20, 50, 100, 300])
def test_single_stars_are_not_flagged(snr):
    """Over the whole range of labels."""
    space, rng = rvsemu.shipped().labels, np.random.default_rng(snr)
    stars = []
    for seed in range(25):
        labels = dict(zip(space.names, space.draw(1, rng)[0], strict=True)) | {"alpha": 0.0}
        labels |= {"vmic": rng.uniform(0.5, 2.5), "resolution": rng.uniform(11500, 12300)}
        stars.append(observed(light(labels, rng.uniform(-30, 30)), snr, seed))
    assert not any(DOUBLE_LINED in found.flags for found in fit_many(stars))


@pytest.fixture(scope="module")
def real():
    """Real spectra: fluxes without gaps, and errors."""
    (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    flux = star.flux.value
    good = np.isfinite(flux)
    return np.interp(RVS, RVS[good], flux[good]), star


def with_flux(star, flux):
    uncertainty = np.where(star.uncertainty.array > 0, star.uncertainty.array, 1.0)
    return Spectrum(
        spectral_axis=star.spectral_axis,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(uncertainty),
        mask=star.mask,
        meta=dict(star.meta),
    )


def test_a_real_star_is_not_flagged(real):
    assert DOUBLE_LINED not in rvsemu.fit(real[1]).flags


@pytest.mark.parametrize("vsini", [20.0, 40.0, 80.0, 150.0])
@pytest.mark.parametrize("limb_darkening", [0.0, 0.6])
def test_a_real_star_that_is_made_to_rotate_is_not_flagged(vsini, limb_darkening, real):
    """The profile of rotation need not be that of the models."""
    flux, star = real
    step = SPEED_OF_LIGHT * 0.1 / RVS.mean()
    x = np.clip(np.arange(-60, 61) * step / vsini, -1, 1)
    profile = 2 * (1 - limb_darkening) * np.sqrt(1 - x**2) + np.pi / 2 * limb_darkening * (1 - x**2)
    padded = np.pad(flux, 60, mode="edge")
    broad = np.convolve(padded, profile / profile.sum(), "valid")
    assert DOUBLE_LINED not in rvsemu.fit(with_flux(star, broad)).flags


@pytest.mark.parametrize("apart", [60.0, 100.0])
def test_a_real_star_and_itself_are_flagged(apart, real):
    flux, star = real
    moved = np.interp(RVS, RVS * (1 + apart / SPEED_OF_LIGHT), flux)
    assert DOUBLE_LINED in rvsemu.fit(with_flux(star, 0.6 * flux + 0.4 * moved)).flags


def test_bits_of_other_flags_are_what_they_were():
    assert to_bits(["failed"]) == 2048 < to_bits([DOUBLE_LINED])


def test_two_transits_of_many_are_enough():
    """The lines of both stars coincide in the others."""
    first, second, share, _, snr = PAIRS["G and K, 150 km/s, S/N 100"]
    apart = [150, 0, 5, 0, -130, 3, 8]
    result = rvsemu.fit_transits([double(first, second, share, v, snr, seed) for seed, v in enumerate(apart)])
    assert [DOUBLE_LINED in one.flags for one in result.transits] == [abs(v) > 50 for v in apart]
    assert DOUBLE_LINED in result.flags
