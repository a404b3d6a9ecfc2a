"""What is free, fixed, masked and known before, and what is refused."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty, UnknownUncertainty
from fit_fixtures import RVS, SUN, fit, observe, replace
from scipy import stats
from specutils import Spectrum

import rvsemu
from rvsemu.emulator import Emulator
from rvsemu.emulator.network import DenseNetwork, Layer
from rvsemu.errors import LabelError, SettingsError, SpectrumError
from rvsemu.fitting.parameters import DEFAULT_PRIORS
from rvsemu.observing import MASKS


def test_fixed_labels_stay(sun, emulator):
    found = fit(sun, emulator=emulator, fixed={"vmic": 1000 * u.m / u.s, "logg": 4.4}, radial_velocity=1.5)
    assert (found.vmic.value, found.logg.value, found.radial_velocity.value) == (1.0, 4.4, 1.5)
    assert found.free_names == ("teff", "vsini", "mh", "resolution")
    assert found.covariance.shape == (4, 4)
    assert found.errors["vmic"] == 0 * u.km / u.s
    assert "(fixed)" in repr(found)


@pytest.mark.parametrize(
    ("priors", "without"),
    [
        (None, ""),
        ({"teff": (5777, 100)}, "resolution, vmic"),
        ({"resolution": (11500, 100)}, "vmic"),
        ({}, "resolution, vmic"),
        (DEFAULT_PRIORS | {"teff": (5777, 100)}, ""),
    ],
)
def test_default_priors_that_are_gone_are_named(sun, emulator, priors, without):
    for found in (
        fit(sun, emulator=emulator, priors=priors),
        rvsemu.sample(sun, emulator=emulator, priors=priors, model_error=None, steps=2, progress=False),
    ):
        assert (f"no prior on {without}: those given replace" in repr(found)) == bool(without)
        assert ("no prior" in found._repr_html_()) == bool(without)
    held = fit(sun, emulator=emulator, priors={"resolution": (11500, 100)}, fixed={"vmic": 1.2})
    assert "no prior" not in repr(held)


def test_prior_and_data_are_weighted_by_their_precision(sun, emulator):
    fixed = {k: v for k, v in SUN.items() if k != "mh"} | {"radial_velocity": 0.0}
    free = fit(sun, emulator=emulator, fixed=fixed, priors={}, noise_correlation=(), scale_errors=False)
    x, s = free.mh.value, free.errors["mh"].value
    pulled = fit(
        sun,
        emulator=emulator,
        fixed=fixed,
        priors={"mh": (x + s, s)},
        noise_correlation=(),
        scale_errors=False,
    )
    assert pulled.mh.value == pytest.approx(x + s / 2, abs=0.05 * s)
    assert pulled.errors["mh"].value == pytest.approx(s / np.sqrt(2), rel=0.02)
    assert pulled.meta["priors"] == {"mh": (x + s, s)}


def test_default_priors_can_be_turned_off(result, sun, emulator):
    assert result.meta["priors"] == DEFAULT_PRIORS | {"resolution": (11900, 150)}
    found = fit(sun, emulator=emulator, priors={}, noise_correlation=())
    assert found.meta["priors"] == {}
    assert found.errors["resolution"] > result.errors["resolution"]
    fixed = fit(sun, emulator=emulator, fixed={"vmic": 1.2}, noise_correlation=())
    assert set(fixed.meta["priors"]) == {"resolution"}


def test_a_label_without_effect_gets_the_error_of_its_range():
    """A featureless model teaches nothing: errors are those of a uniform distribution, L / sqrt(12)."""
    default = rvsemu.shipped()
    n, names = len(default.labels), [name for name in default.labels.names if name != "alpha"]  # which is held
    flat = Layer(np.zeros((n, len(default.wavelength))), np.ones(len(default.wavelength)), "linear")
    blank = Emulator(
        default.labels,
        DenseNetwork([Layer(np.eye(n), np.zeros(n))]),
        DenseNetwork([flat]),
        default.wavelength,
        default.medium,
        default.error,
    )
    spectrum = observe(default, seed=5)
    found = fit(spectrum, emulator=blank, priors={}, scale_errors=False)
    expected = np.append([default.labels[n].upper - default.labels[n].lower for n in names], 2000) / np.sqrt(12)
    np.testing.assert_allclose([found.errors[n].value for n in found.free_names], expected, rtol=1e-3)


def test_masks(emulator, sun, result):
    wave = RVS
    used = ~result.observed.mask
    for centre in (8500.36, 8544.44, 8664.52):  # vacuum
        assert not used[np.abs(wave - centre) < 1.45].any()
        assert used[(np.abs(wave - centre) > 1.6) & (np.abs(wave - centre) < 3)].all()
    assert not used[:10].any()
    assert not used[-10:].any()
    assert set(MASKS) == {"calcium-cores", "diffuse-band", "edges"}

    everything = fit(sun, emulator=emulator, mask=None)
    assert everything.n_pixels == 2401
    band = fit(sun, emulator=emulator, mask=["edges", (855.005, 856.005) * u.nm])
    assert band.n_pixels == result.n_pixels + 90 + 120 - 100
    assert fit(sun, emulator=emulator, mask=(8550.05, 8560.05)).n_pixels == 2301
    ends = [(8600, 8650), (860, 865) * u.nm, (0.86, 0.865) * u.um]  # both of them wavelengths of pixels
    assert {fit(sun, emulator=emulator, mask=mask).n_pixels for mask in ends} == {2401 - 501}
    both = fit(sun, emulator=emulator, extra_mask=(8580.05, 8590.05))
    assert both.n_pixels == result.n_pixels - 100
    assert fit(sun, emulator=emulator, mask=None, extra_mask="edges").n_pixels == 2401 - 22

    moved = fit(observe(emulator, velocity=80.0, seed=1), emulator=emulator)
    centre = 8544.44 * (1 + 80 / 299792.458)
    left_out = wave[moved.observed.mask & (np.abs(wave - centre) < 5)]
    assert left_out.mean() == pytest.approx(centre, abs=0.1)


def test_bad_pixels_are_left_out(sun, result, emulator):
    flux, error = sun.flux.value.copy(), sun.uncertainty.array.copy()
    mask = np.zeros(len(flux), dtype=bool)
    flux[100:120], error[900:910], error[910:920] = np.nan, 0.0, np.inf
    flux[1500], mask[1500] = 40.0, True
    spectrum = replace(sun, flux=flux * u.dimensionless_unscaled, uncertainty=StdDevUncertainty(error), mask=mask)
    found = fit(spectrum, emulator=emulator, noise_correlation=())
    assert found.n_pixels == result.n_pixels - 41
    assert abs(found.teff - result.teff) < result.errors["teff"]


def test_any_flux_outside_of_the_emulator_is_ignored(emulator, sun):
    wave = np.arange(8300.0, 8900.0, 0.1)
    flux = np.ones(len(wave))
    inside = (wave > 8420) & (wave < 8780)
    flux[inside] = observe(emulator, wave=wave[inside]).flux.value
    spectrum = Spectrum(spectral_axis=wave * u.AA, flux=flux * u.dimensionless_unscaled)
    found = fit(spectrum, emulator=emulator, medium="vacuum", sigma=0.005, mask=[(8300, 8420), (8780, 8900)])
    assert found.teff.value == pytest.approx(5777, abs=20)
    assert np.isnan(found.model.flux.value[:100]).all()


N = len(RVS)
BAD_SPECTRA = {
    "has no uncertainty: set": {"uncertainty": None},
    "UnknownUncertainty: use one of": {"uncertainty": UnknownUncertainty(np.ones(N))},
    "has no valid pixel": {"flux": np.full(N, np.nan) * u.dimensionless_unscaled},
    "Only 9 good pixels": {"mask": np.arange(N) > 30},
    "air or in vacuum": {"meta": {}},
    "'ether' is unknown": {"meta": {"medium": "ether"}},
    "not in the emulator's": {"spectral_axis": (RVS - 3000) * u.AA},
    "in 'mag', a logarithm": {"flux": np.ones(N) * u.mag, "uncertainty": None},
    "in 'dex', a logarithm": {"flux": np.ones(N) * u.dex, "uncertainty": None},
    "is -1: it must be positive": {"flux": -np.ones(N) * u.dimensionless_unscaled},
    "is 0: it must be positive": {"flux": np.zeros(N) * u.dimensionless_unscaled},
    "give wavelengths": {"spectral_axis": np.linspace(3.5e14, 3.4e14, N) * u.Hz},
}


@pytest.mark.parametrize("message", BAD_SPECTRA)
def test_bad_spectrum(message, sun, emulator):
    with pytest.raises(SpectrumError, match=message):
        fit(replace(sun, **BAD_SPECTRA[message]), emulator=emulator)


def test_two_dimensional_spectrum(sun, emulator):
    flux = np.vstack([sun.flux, sun.flux])
    both = Spectrum(spectral_axis=sun.spectral_axis, flux=flux, meta=sun.meta)
    with pytest.raises(SpectrumError, match="one at a time"):
        fit(both, emulator=emulator)
    with pytest.raises(SpectrumError, match="is a ndarray"):
        fit(sun.flux.value, emulator=emulator)


BAD_ARGUMENTS = [
    ({"medium": "air"}, SpectrumError, "contradicts"),
    ({"sigma": np.ones(3)}, SpectrumError, "sigma does not fit"),
    ({"sigma": 1 * u.K}, SpectrumError, "sigma does not fit"),
    ({"continuum_degree": -1}, SettingsError, "whole number from 0 to 20"),
    ({"continuum_degree": 3.0}, SettingsError, "whole number from 0 to 20"),
    ({"scale_errors": "no"}, SettingsError, "give True or False"),
    ({"extrapolate": 1}, SettingsError, "give True or False"),
    ({"errors": "wide"}, SettingsError, "use 'gaussian' or 'sampled'"),
    ({"seed": -1}, SettingsError, "seed=-1: give a whole number from 0"),
    ({"seed": "a"}, SettingsError, "seed='a': give a whole number"),
    ({"seed": np.random.RandomState(1)}, SettingsError, "seed=RandomState.*: give a whole number"),
    ({"jitter": -1}, SettingsError, "jitter=-1: give"),
    ({"jitter": "some"}, SettingsError, "or 'free'"),
    ({"jitter": "free"}, SettingsError, "least squares cannot find it"),
    ({"mask": 5}, SettingsError, "mask=5: give a name"),
    ({"mask": {}}, SettingsError, "mask={}: give a name"),
    ({"mask": np.ones(N, dtype=bool)}, SettingsError, "single pixels are left out by spectrum.mask"),
    ({"extra_mask": 5}, SettingsError, "extra_mask=5: give a name"),
    ({"mask": (850, 851)}, SpectrumError, "masks no pixel.*in Angstrom unless they have a unit"),
    ({"extra_mask": [(850, 851)]}, SpectrumError, "masks no pixel"),
    ({"extra_mask": (840 * u.nm, 841 * u.nm)}, SpectrumError, "masks no pixel"),
    ({"fixed": "vmic"}, LabelError, "give a dictionary"),
    ({"priors": [("vmic", (1, 1))]}, LabelError, "give a dictionary"),
    ({"priors": {"teff": (20000, 100)}}, LabelError, "outside 3500 to 15000"),
    ({"radial_velocity": (5,)}, LabelError, "lowest, highest"),
    ({"radial_velocity": (1, 2, 3)}, LabelError, "lowest, highest"),
    ({"radial_velocity": 4e5}, LabelError, "leaves -3000 to 3000"),
    ({"radial_velocity": (-4e5, 0)}, LabelError, "leaves -3000 to 3000"),
    ({"fixed": {"radial_velocity": 4e5}}, LabelError, "leaves -3000 to 3000"),
    ({"mask": "telluric"}, SettingsError, "'telluric' is unknown"),
    ({"mask": [(8600, 8500)]}, SettingsError, "lower wavelength first"),
    ({"mask": [(8500, 8600) * u.K]}, SettingsError, "is not a range"),
    ({"mask": [(8000, 9000)]}, SpectrumError, "Only 0 good pixels"),
    ({"noise_correlation": (2, 1)}, SpectrumError, "starting with 1"),
    ({"noise_correlation": ["a", "b"]}, SpectrumError, "noise_correlation=\\('a', 'b'\\): give the correlation"),
    ({"fixed": {"age": 5}}, LabelError, "no label 'age'"),
    ({"fixed": {"teff": 5000 * u.km}}, LabelError, "has the unit 'km'"),
    ({"fixed": {"teff": 50000}}, LabelError, "outside 3500 to 15000"),
    ({"fixed": {"teff": [5000, 6000]}}, LabelError, "give one number"),
    ({"fixed": SUN, "radial_velocity": 0}, LabelError, "leave at least one free"),
    (
        {"fixed": {"radial_velocity": 0}, "radial_velocity": 3},
        LabelError,
        "radial_velocity=3 is given, and 0 in fixed",
    ),
    ({"sigma": -0.01}, SpectrumError, "sigma=-0.01 is nowhere positive"),
    ({"fixed": {"teff": -5000}, "extrapolate": True}, LabelError, "teff=-5000 is not positive"),
    ({"fixed": {"vsini": 1e9}, "extrapolate": True}, LabelError, "vsini=1000000000 is too far away"),
    ({"fixed": {"radial_velocity": 0}, "radial_velocity": (5, 9)}, LabelError, "choose one"),
    ({"priors": {"mh": stats.norm([0.0, 1.0], 0.1)}}, LabelError, "prior mh=.* is 2 distributions: give one"),
    ({"priors": {"mh": stats.uniform([0.0, 1.0], 0.1)}}, LabelError, "is 2 distributions"),
    ({"fixed": {"vmic": 1}, "priors": {"vmic": (1, 1)}}, LabelError, "choose one"),
    ({"priors": {"vmic": 1}}, LabelError, "give \\(mean, sigma\\)"),
    ({"priors": {"vmic": (1, 0)}}, LabelError, "sigma must be positive"),
    ({"priors": {"vmic": (np.nan, 1)}}, LabelError, "not finite"),
    ({"priors": {"vmic": ("wide", 1)}}, LabelError, "vmic='wide' is not a number"),
    ({"radial_velocity": (5, -5)}, LabelError, "lowest, highest"),
    ({"radial_velocity": 5 * u.AA}, LabelError, "radial_velocity"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments(arguments, error, message, sun, emulator):
    with pytest.raises(error, match=message):
        fit(sun, emulator=emulator, **arguments)
