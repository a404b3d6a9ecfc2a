"""Each flag for what models do not know is raised by a simulated spectrum that has it, and by no clean one."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import vstack
from specutils import Spectrum

import rvsemu
from rvsemu.errors import RvsemuError
from rvsemu.fitting import fit_many

STARS = {
    "G dwarf": {"teff": 5800, "logg": 4.4, "vsini": 5, "mh": -0.1, "vmic": 1.1, "resolution": 11900},
    "K giant": {"teff": 4600, "logg": 2.3, "vsini": 3, "mh": -0.2, "vmic": 1.5, "resolution": 11900},
    "A dwarf": {"teff": 9000, "logg": 4.0, "vsini": 60, "mh": 0.0, "vmic": 2.0, "resolution": 11900},
}
IN_BAND = ("calcium-cores", "edges")


def changed(star, change):
    """A generated star whose flux is changed at its wavelengths in Angstrom."""
    wave = star.spectral_axis.to_value(u.AA)
    return Spectrum(spectral_axis=star.spectral_axis, flux=change(wave, star.flux.value) * u.one, meta=dict(star.meta))


def bump(wave, centre, width):
    return np.exp(-0.5 * ((wave - centre) / width) ** 2)


def observed(name, change=None, snr=100, count=3, **how):
    star = rvsemu.generate(**STARS[name])
    star = star if change is None else changed(star, change)
    return [rvsemu.simulate(star, signal_to_noise=snr, seed=i, **how) for i in range(count)]


def emission(height, width):
    def change(wave, flux):
        return flux + height * sum(bump(wave, line, width) for line in (8498.02, 8542.09, 8662.14))

    return change


@pytest.mark.parametrize("name", STARS)
def test_emission_in_the_triplet(name):
    for found in fit_many(observed(name, emission(1.5, 2.5))):
        assert "emission" in found.flags
    if name != "G dwarf":  # the lines of a giant are filled, and its fit is one without these lines, and a poor one
        for found in fit_many(observed(name, emission(0.5, 1.0))):
            assert "emission" in found.flags or {"poor-fit", "outliers"} <= set(found.flags)
    active = fit_many(observed(name, emission(0.1, 0.7)))
    assert not any("emission" in found.flags for found in active)


@pytest.mark.parametrize("name", STARS)
@pytest.mark.parametrize("moved", [-150.0, 0.0, 80.0])
def test_diffuse_band(name, moved):
    def change(wave, flux):
        return flux * (1 - 0.06 * bump(wave, 8620.4 * (1 + moved / 299792.458), 2.0))

    clean, marred = observed(name, count=2), observed(name, change, count=2)
    assert all("diffuse-band" in found.flags for found in fit_many(marred, mask=IN_BAND))
    assert not any("diffuse-band" in found.flags for found in fit_many(clean, mask=IN_BAND))
    if abs(moved) < 100:  # the band is within the default mask, and does nothing
        for one, other in zip(fit_many(clean), fit_many(marred), strict=True):
            assert "diffuse-band" not in other.flags
            assert abs(one.teff - other.teff) < 0.4 * one.errors["teff"]


def test_the_mask_of_the_band_is_in_the_frame_and_medium_of_the_spectrum():
    found = rvsemu.fit(observed("G dwarf", count=1)[0])
    wave = found.spectral_axis.to_value(u.AA)
    left_out = wave[~found.used & (np.abs(wave - 8622.8) < 10)]
    assert left_out.min() == pytest.approx(8616.8, abs=0.15) and left_out.max() == pytest.approx(8628.7, abs=0.15)


# ---------------------------------------------------------------- limits


def test_upper_limits_are_where_a_label_may_be_zero():
    """Of v sin i below the resolution; 95 % of the limits are above the truth."""
    slow = fit_many(observed("G dwarf", snr=60, count=20))
    limits = np.array([found.upper_limits().get("vsini", np.nan * u.km / u.s).value for found in slow])
    assert np.isfinite(limits).sum() > 15
    assert np.sum(limits < 5) <= 3
    assert np.nanmax(limits) < 25
    table = vstack([found.to_table() for found in slow])
    assert table["vsini_upper_limit"].unit == u.km / u.s
    np.testing.assert_array_equal(table["vsini_upper_limit"].value, limits)
    assert not any(flag.startswith("at-bound:vsini") for found in slow for flag in found.flags)
    for found in slow:
        low, high = found.interval(0.95)["vsini"].value
        assert 0 <= low <= high
    (fast,) = fit_many(observed("A dwarf", count=1))
    assert "vsini" not in fast.upper_limits()
    assert np.isnan(fast.to_table()["vsini_upper_limit"][0])
    with pytest.raises(RvsemuError, match="level=0.5: give a probability between 0.5 and 1"):
        fast.upper_limits(0.5)


def test_upper_limits_of_both_kinds_of_errors_agree():
    for star in observed("G dwarf", snr=60, count=4):
        gaussian, sampled = rvsemu.fit(star), rvsemu.fit(star, errors="sampled")
        limits = [found.upper_limits()["vsini"].value for found in (gaussian, sampled) if found.upper_limits()]
        if len(limits) == 2:
            assert limits[0] == pytest.approx(limits[1], rel=0.35)
        assert sampled.upper_limits(0.99).get("vsini", np.inf * u.km / u.s) >= sampled.interval(0.68)["vsini"][1]


def test_limits_are_flagged_by_gaussian_errors_as_by_samples():
    hot = rvsemu.generate(**STARS["K giant"] | {"logg": 4.95})
    star = rvsemu.simulate(hot, signal_to_noise=25, seed=1)
    assert "at-bound:logg" in rvsemu.fit(star).flags
    assert "at-bound:logg" in rvsemu.fit(star, errors="sampled").flags


def test_few_ccds():
    assert "few-ccds" in rvsemu.fit(observed("G dwarf", count=1, ccds=7)[0]).flags
    assert "few-ccds" not in rvsemu.fit(observed("G dwarf", count=1, ccds=10)[0]).flags
    assert "few-ccds" not in rvsemu.fit(observed("G dwarf", count=1, ccds=3, release="Gaia DR4")[0]).flags


@pytest.mark.parametrize("snr", [20, 100, 300])
def test_poor_fit_means_something_at_every_signal_to_noise(snr):
    """Errors a third too small are a poor fit, true ones are not."""
    for star in observed("G dwarf", snr=snr, true_errors=True):
        sigma = star.uncertainty.array
        plain = {"model_error": None}
        assert "poor-fit" not in rvsemu.fit(star, sigma=sigma, **plain).flags
        assert "poor-fit" in rvsemu.fit(star, sigma=sigma / 1.5, **plain).flags
