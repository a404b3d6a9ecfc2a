"""`generate` and `Emulator.spectrum`: labels with units to a Spectrum, on any wavelengths."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import specutils
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from emulator_fixtures import NAMES, SUN, layers, small_emulator
from scipy.interpolate import make_interp_spline

import rvsemu
from rvsemu import _storage
from rvsemu.emulator import DenseNetwork, Emulator, LabelSpace, resolve
from rvsemu.emulator.regions import PAPER, WIDE
from rvsemu.errors import EmulatorFileError, LabelError, SpectrumError
from rvsemu.physics.wavelengths import air_to_vacuum, vacuum_to_air

Spectrum = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D


@pytest.fixture(scope="module")
def small():
    return small_emulator()


@pytest.fixture(scope="module")
def default():
    return rvsemu.shipped()


def test_scalar(default):
    sun = rvsemu.generate(**SUN)
    assert isinstance(sun, Spectrum)
    assert sun.flux.shape == (4000,) and sun.flux.unit == u.dimensionless_unscaled
    np.testing.assert_allclose(sun.spectral_axis.to_value(u.AA), 8400 + 0.1 * np.arange(4000), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(sun.flux.value, default.flux([*SUN.values(), 0.0])[0])
    assert sun.flux.value.min() < 0.6 and 0.9 < np.median(sun.flux.value) < 1.05


def test_lines_are_where_they_belong():
    """Ca II: the deepest pixels near its three air wavelengths are its own, in air and in vacuum."""
    for medium in ("air", "vacuum"):
        sun = rvsemu.generate(**SUN, medium=medium)
        wave, flux = sun.spectral_axis.value, sun.flux.value
        for line in (8498.02, 8542.09, 8662.14):
            line = air_to_vacuum(line) if medium == "vacuum" else line
            near = np.abs(wave - line) < 2
            assert wave[near][np.argmin(flux[near])] == pytest.approx(line, abs=0.15)


@pytest.mark.parametrize(
    ("labels", "shape"),
    [
        ({"teff": [5000, 6000, 7000]}, (3,)),
        ({"teff": [5777]}, (1,)),
        ({"teff": [[5000.0], [6000.0]], "vsini": [2.0, 50.0, 200.0]}, (2, 3)),
        ({"mh": np.linspace(-1, 1, 4).reshape(2, 2)}, (2, 2)),
    ],
)
def test_arrays_broadcast(labels, shape):
    spectrum = rvsemu.generate(**{**SUN, **labels})
    assert spectrum.flux.shape == (*shape, 4000)
    assert spectrum.uncertainty.array.shape == (*shape, 4000)
    assert spectrum.spectral_axis.shape == (4000,)
    values = np.broadcast_arrays(*({**SUN, **labels}[n] for n in NAMES))
    for index in np.ndindex(shape):
        one = rvsemu.generate(**{n: v[index] for n, v in zip(NAMES, values, strict=True)})
        np.testing.assert_allclose(spectrum.flux.value[index], one.flux.value, rtol=0, atol=2e-6)
        np.testing.assert_allclose(spectrum.uncertainty.array[index], one.uncertainty.array, rtol=1e-12)
    assert all(spectrum.meta["labels"][n].shape == shape for n in NAMES)


def test_quantities_are_floats_with_units():
    given = {
        "teff": 5.777 * u.kK,
        "logg": 2.44 * u.dex(u.m / u.s**2),
        "vsini": 2000 * u.m / u.s,
        "mh": 0 * u.dex,
        "vmic": 1 * u.km / u.s,
        "resolution": u.Quantity(11500),
    }
    np.testing.assert_allclose(
        rvsemu.generate(**given).flux.value, rvsemu.generate(**SUN).flux.value, rtol=0, atol=2e-6
    )


def test_defaults_of_generate():
    short = rvsemu.generate(5777, 4.44)
    labels = {n: float(q.value) for n, q in short.meta["labels"].items()}
    assert labels == {"teff": 5777, "logg": 4.44, "vsini": 0, "mh": 0, "vmic": 1, "resolution": 11900, "alpha": 0}


def test_meta(default):
    sun = rvsemu.generate(**SUN)
    assert {n: q.value for n, q in sun.meta["labels"].items()} == SUN | {"alpha": 0}
    assert sun.meta["labels"]["teff"].unit == u.K
    assert sun.meta["labels"]["vsini"].unit == u.km / u.s
    assert sun.meta["labels"]["resolution"].unit == u.dimensionless_unscaled
    assert (sun.meta["medium"], sun.meta["frame"], sun.meta["extrapolated"]) == ("air", "rest", False)
    assert sun.meta["recipe"] == default.info["recipe"] == "default"
    assert sun.meta["emulator_version"] == default.info["version"]


def test_uncertainty_is_positive_and_finite():
    sun = rvsemu.generate(**SUN)
    assert isinstance(sun.uncertainty, StdDevUncertainty)
    assert np.isfinite(sun.uncertainty.array).all() and (sun.uncertainty.array > 0).all()


def test_interpolated_uncertainty_lies_between_its_neighbours(default):
    """The error is rough from pixel to pixel: interpolated, it must neither vanish nor overshoot."""
    wave = np.random.default_rng(3).uniform(8400, 8799.9, 2000)
    wave.sort()
    got = rvsemu.generate(**SUN, wavelength=wave, medium="air").uncertainty.array
    own = default.sigma([*SUN.values(), 0.0])[0]
    left = np.minimum(((wave - 8400) / 0.1).astype(int), 3998)
    assert (got >= np.minimum(own[left], own[left + 1]) - 1e-9).all()
    assert (got <= np.maximum(own[left], own[left + 1]) + 1e-9).all()


def test_vacuum_shifts_the_axis_alone():
    air, vacuum = (rvsemu.generate(**SUN, medium=m) for m in ("air", "vacuum"))
    np.testing.assert_allclose(vacuum.spectral_axis.value, air_to_vacuum(air.spectral_axis.value), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(vacuum.flux.value, air.flux.value)
    assert vacuum.meta["medium"] == "vacuum"


@pytest.mark.parametrize(
    "chosen", [slice(0, 4000), slice(17, 900, 3), slice(3990, 4000), slice(0, 1), slice(99, 5, -1)]
)
def test_wavelengths_of_its_own_grid(chosen):
    whole = rvsemu.generate(**SUN)
    part = rvsemu.generate(**SUN, wavelength=whole.spectral_axis[chosen], medium="air")
    np.testing.assert_allclose(part.flux.value, whole.flux.value[chosen], rtol=0, atol=1e-7)
    np.testing.assert_allclose(part.spectral_axis.value, whole.spectral_axis.value[chosen], rtol=0, atol=1e-9)
    np.testing.assert_allclose(part.uncertainty.array, whole.uncertainty.array[chosen], rtol=1e-5)


@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_interpolated_wavelengths_are_those_of_a_spline(medium):
    wave = np.linspace(8410.03, 8790.02, 3001)
    whole = rvsemu.generate(**SUN)
    spline = make_interp_spline(whole.spectral_axis.value, whole.flux.value, k=7)
    got = rvsemu.generate(**SUN, wavelength=wave, medium=medium)
    in_air = vacuum_to_air(wave) if medium == "vacuum" else wave
    np.testing.assert_allclose(got.flux.value, spline(in_air), rtol=0, atol=1e-4)
    np.testing.assert_allclose(got.spectral_axis.value, wave, rtol=0, atol=1e-9)


def test_wavelengths_with_units():
    wave = np.linspace(8410, 8700, 500)
    expected = rvsemu.generate(**SUN, wavelength=wave, medium="air")
    got = rvsemu.generate(**SUN, wavelength=wave / 10 * u.nm, medium="air")
    np.testing.assert_allclose(got.flux.value, expected.flux.value, rtol=0, atol=1e-7)
    listed = rvsemu.generate(**SUN, wavelength=list(wave), medium="air")
    np.testing.assert_array_equal(listed.flux.value, expected.flux.value)
    two = rvsemu.generate(**{**SUN, "teff": [5777, 6000]}, wavelength=wave, medium="air")
    assert two.flux.shape == two.uncertainty.array.shape == (2, 500)
    np.testing.assert_allclose(two.flux.value[0], expected.flux.value, rtol=0, atol=2e-6)


@pytest.mark.parametrize("medium", ["air", "vacuum"])
@pytest.mark.parametrize("beyond", [-0.02, 0.02])
def test_wavelength_out_of_range(medium, beyond):
    low, high = convert = (8400.0, 8799.9) if medium == "air" else tuple(air_to_vacuum([8400.0, 8799.9]))
    rvsemu.generate(**SUN, wavelength=np.linspace(*convert, 5), medium=medium)  # the ends themselves
    wave = [low + beyond, 8500.0] if beyond < 0 else [8500.0, high + beyond]
    with pytest.raises(SpectrumError, match=r"wavelength runs from .* covers 8400.00 to 8799.90 A in air"):
        rvsemu.generate(**SUN, wavelength=wave, medium=medium)


@pytest.mark.parametrize(
    "wave",
    [
        8500.0,
        [],
        [[8500.0, 8501.0]],
        [8500.0, np.nan],
        [8500.0, 8500.0],
        [8500.0, 8502.0, 8501.0],
        [8500.0, 8501.0] * u.K,
        [8500.0, 8501.0] * u.GHz,
        ["a", "b"],
        np.ma.masked_array([8500.0, 8501.0], mask=[False, True]),
        [8500.0, np.ma.masked],
    ],
)
def test_bad_wavelengths(wave):
    with pytest.raises(SpectrumError, match="^wavelength "):
        rvsemu.generate(**SUN, wavelength=wave, medium="air")


def test_wavelengths_need_a_medium():
    gaia = np.linspace(846, 870, 2401) * u.nm
    for make in (rvsemu.generate, rvsemu.shipped().spectrum):
        with pytest.raises(SpectrumError, match="medium is not given: say whether wavelength is in air or in vacuum"):
            make(**SUN, wavelength=gaia)
    assert rvsemu.generate(**SUN).meta["medium"] == "air"


def test_bad_medium():
    with pytest.raises(SpectrumError, match="medium='ether' is unknown: use 'air' or 'vacuum'"):
        rvsemu.generate(**SUN, medium="ether")


def test_extrapolation_is_asked_for_and_told():
    cool = {**SUN, "teff": 3400}
    with pytest.raises(LabelError, match="teff=3400 K is outside 3500 to 15000 K: .*extrapolate=True"):
        rvsemu.generate(**cool)
    assert rvsemu.generate(**cool, extrapolate=True).meta["extrapolated"] is True
    assert rvsemu.generate(**SUN, extrapolate=True).meta["extrapolated"] is False


@pytest.mark.parametrize("extrapolate", ["no", 1, None])
def test_extrapolation_is_allowed_or_not(extrapolate):
    """A text, which would be taken as yes, is no answer."""
    with pytest.raises(LabelError, match="extrapolate=.*: give True or False"):
        rvsemu.generate(**SUN | {"teff": 3400.0}, extrapolate=extrapolate)


@pytest.mark.parametrize(("name", "value"), [("teff", 15000 * (1 + 1e-12)), ("mh", -2.5 - 1e-12), ("vsini", -1e-13)])
def test_a_value_next_to_a_limit_is_shown_outside_of_it(name, value):
    with pytest.raises(LabelError) as raised:
        rvsemu.generate(**SUN | {name: value})
    shown = re.search(rf"^{name}=(\S+) \S+ is outside", str(raised.value))[1]
    assert float(shown) == value
    mixed = rvsemu.generate(**{**SUN, "teff": [5777, 3400]}, extrapolate=True)
    assert mixed.meta["extrapolated"] is True
    with pytest.raises(LabelError, match="resolution=-3 is not positive"):
        rvsemu.generate(**{**SUN, "resolution": -3}, extrapolate=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"teff": np.nan}, "teff=nan is not finite"),
        ({"logg": 4.44 * u.K}, "logg=4.44 has the unit 'K'"),
        ({"vsini": 301}, "vsini=301 km/s is outside 0 to 300"),
        ({"mh": "solar"}, "mh='solar' is not a number"),
    ],
)
def test_bad_labels(wrong, message):
    with pytest.raises(LabelError, match=message):
        rvsemu.generate(**{**SUN, **wrong})


def test_unknown_emulator():
    with pytest.raises(EmulatorFileError, match=r"emulator 'best' is not shipped: use one of .*default"):
        rvsemu.generate(**SUN, emulator="best")
    with pytest.raises(EmulatorFileError, match="not shipped.*--emulator FILE.*rvsemu train --lib"):
        rvsemu.shipped("best")


def test_emulators_of_the_repository(tmp_path, monkeypatch):
    """A large one opens by name in a checkout; elsewhere an error says where it is."""
    package = tmp_path / "rvsemu"
    (package / "data" / "emulators").mkdir(parents=True)
    (tmp_path / "models" / "emulators").mkdir(parents=True)
    shutil.copy(_storage.shipped_files("emulator")["default"], package / "data" / "emulators")
    shutil.copy(package / "data" / "emulators" / "default.h5", tmp_path / "models" / "emulators" / "gebran2024.h5")
    monkeypatch.setattr(_storage.resources, "files", lambda name: package)
    with pytest.raises(EmulatorFileError, match="'gebran2024' is too large for the package.*models/emulators/gebran"):
        rvsemu.shipped("gebran2024")
    (tmp_path / "pyproject.toml").touch()
    assert rvsemu.shipped("gebran2024").info == rvsemu.shipped().info


@pytest.mark.parametrize("given", [5, rvsemu.Emulator, b"default", ["default"]])
def test_what_is_no_emulator(given):
    with pytest.raises(EmulatorFileError, match=r"emulator=.*: give the name of a shipped emulator, the path"):
        rvsemu.generate(**SUN, emulator=given)


def test_emulator_by_name_path_and_object(default, small, tmp_path):
    file = tmp_path / "emulator.h5"
    small.save(file)
    assert resolve(None) is default is resolve("default")
    assert resolve(small) is small
    for path in (file, str(file)):
        assert resolve(path) == Emulator.load(file)
    odd = shutil.copy(file, tmp_path / "without_suffix")
    assert resolve(odd).info == small.info
    spectrum = rvsemu.generate(**SUN, emulator=file)
    assert spectrum.flux.shape == (40,) and spectrum.meta["recipe"] == "test"


def test_emulator_of_other_labels(small):
    """`generate` has the paper's six labels; others go through Emulator.spectrum."""
    five = LabelSpace(small.labels.labels[:5])
    network = DenseNetwork(layers((5, 8, 5), ("silu", "linear"), np.random.default_rng(4)))
    emulator = replace(small, labels=five, label_network=network)
    with pytest.raises(LabelError, match="takes teff, logg, vsini, mh, vmic: use Emulator.spectrum"):
        rvsemu.generate(**SUN, emulator=emulator)
    labels = {n: v for n, v in SUN.items() if n != "resolution"}
    assert emulator.spectrum(**labels).flux.shape == (40,)


def test_emulator_made_in_vacuum(small):
    """Its own medium is the default of Emulator.spectrum, and `generate` converts to air."""
    emulator = replace(small, medium="vacuum")
    own = emulator.spectrum(**SUN)
    assert own.meta["medium"] == "vacuum"
    np.testing.assert_allclose(own.spectral_axis.value, small.wavelength, rtol=0, atol=1e-9)
    air = rvsemu.generate(**SUN, emulator=emulator)
    np.testing.assert_allclose(air.spectral_axis.value, vacuum_to_air(small.wavelength), rtol=0, atol=1e-9)


def test_shipped_emulator_states_its_origin(default):
    assert default.labels.names == (*NAMES, "alpha")
    assert default.labels.regions == (WIDE, PAPER)
    box = np.column_stack([LabelSpace().draw(1000, np.random.default_rng(1)), np.zeros(1000)])
    assert default.labels.inside(box).all()  # the paper's Table 1
    assert default.medium == "air"
    assert {"recipe", "version", "metrics", "library", "packages", "settings"} <= set(default.info)
    assert {"autoencoder", "label_network", "linked"} <= set(default.info["metrics"])
    assert json.dumps(default.info)
    assert set(default.history) >= {"autoencoder", "label_network"}
