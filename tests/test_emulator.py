"""The emulator: file, flux, Jacobian, and `generate`."""

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import specutils
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from scipy.interpolate import make_interp_spline

import rvsemu
from rvsemu.emulator import Emulator, ErrorModel, resolve
from rvsemu.emulator.labels import PAPER_LABELS, LabelSpace
from rvsemu.emulator.network import DenseNetwork, Layer
from rvsemu.errors import EmulatorFileError, LabelError, SpectrumError
from rvsemu.physics.wavelengths import air_to_vacuum, vacuum_to_air

SUN = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0, "vmic": 1, "resolution": 11500}
NAMES = ("teff", "logg", "vsini", "mh", "vmic", "resolution")
Spectrum = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D


def layers(sizes, activations, rng, dtype="f4"):
    return [
        Layer((rng.normal(size=(a, b)) / np.sqrt(a)).astype(dtype), rng.normal(0, 0.1, b).astype(dtype), act)
        for a, b, act in zip(sizes[:-1], sizes[1:], activations, strict=True)
    ]


@pytest.fixture(scope="module")
def small():
    """An emulator with random weights: 40 pixels, every activation, logarithmic scalings."""
    rng = np.random.default_rng(1)
    space = LabelSpace(
        tuple(replace(x, transform="log") if x.name in ("teff", "resolution") else x for x in PAPER_LABELS)
    )
    return Emulator(
        labels=space,
        label_network=DenseNetwork(layers((6, 16, 16, 5), ("silu", "tanh", "linear"), rng)),
        decoder=DenseNetwork(layers((5, 12, 40), ("silu", "linear"), rng)),
        wavelength=8400.0 + 0.1 * np.arange(40),
        medium="air",
        error=ErrorModel(np.array([4000.0, 6000.0, 12000.0]), rng.uniform(1e-3, 3e-3, (3, 40)).astype("f4")),
        info={"recipe": "test", "version": "1", "metrics": {"linked": {"mse": 1e-6}}},
        history={"autoencoder": {"loss": np.array([3.0, 2.0, 1.5]), "val_loss": np.array([3.1, 2.2, 1.9])}},
    )


@pytest.fixture(scope="module")
def box(small):
    return np.random.default_rng(2).uniform(small.labels.lower, small.labels.upper, (300, 6))


@pytest.fixture
def file(small, tmp_path):
    path = tmp_path / "emulator.h5"
    small.save(path, dtype="float32")
    return path


# ---------------------------------------------------------------- file
def test_round_trip_is_exact(small, box, file):
    again = Emulator.load(file)
    np.testing.assert_array_equal(again.flux(box), small.flux(box))
    np.testing.assert_array_equal(again.sigma(box), small.sigma(box))
    np.testing.assert_array_equal(again.wavelength, small.wavelength)
    for name in ("label_network", "decoder"):
        for a, b in zip(getattr(again, name).layers, getattr(small, name).layers, strict=True):
            assert a.activation == b.activation
            assert a.weights.dtype == a.bias.dtype == "f4"
            np.testing.assert_array_equal(a.weights, b.weights)
            np.testing.assert_array_equal(a.bias, b.bias)
    assert again.labels.labels == small.labels.labels
    assert (again.medium, again.info) == (small.medium, small.info)
    assert again.history.keys() == small.history.keys()
    for name, values in small.history["autoencoder"].items():
        np.testing.assert_array_equal(again.history["autoencoder"][name], values)
    assert "test 1" in repr(again) and "8400.0-8403.9 A in air" in repr(again)


def test_more_than_ten_layers_keep_their_order(small, tmp_path):
    rng = np.random.default_rng(3)
    deep = layers([6] + list(range(3, 15)) + [5], ["tanh"] * 13, rng)
    emulator = replace(small, label_network=DenseNetwork(deep))
    emulator.save(tmp_path / "deep.h5", dtype="float32")
    again = Emulator.load(tmp_path / "deep.h5")
    assert [x.weights.shape for x in again.label_network.layers] == [x.weights.shape for x in deep]


def test_half_precision_changes_flux_within_the_bound(small, box, tmp_path):
    """Each weight within 2^-11 of itself; the flux within what that error can grow to, layer by layer."""
    path = tmp_path / "half.h5"
    small.save(path)  # float16 by default
    again = Emulator.load(path)
    value, bound = small.labels.scaled(box), 0.0
    steepest = {"silu": 1.1, "tanh": 1.0, "linear": 1.0}
    for a, b in zip(again._network.layers, small._network.layers, strict=True):
        np.testing.assert_allclose(a.weights, b.weights, rtol=2**-11, atol=2**-25)
        np.testing.assert_array_equal(a.bias, b.bias)
        weights = np.abs(b.weights.astype("f8"))
        rounded = np.abs(a.weights.astype("f8") - b.weights)
        bound = steepest[b.activation] * (bound @ (weights + rounded) if np.ndim(bound) else 0.0)
        bound = bound + steepest[b.activation] * np.abs(value) @ rounded
        value = DenseNetwork([Layer(b.weights.astype("f8"), b.bias.astype("f8"), b.activation)])(value)
    change = np.abs(again.flux(box) - small.flux(box))
    assert np.all(change <= bound + 1e-6)
    assert 0 < change.max() < 5e-3


def test_saving_replaces_only_when_complete(small, file):
    """What cannot be written leaves the old file, and no other."""
    before = file.read_bytes()
    broken = replace(small, info={"unwritable": object()})
    with pytest.raises(TypeError):
        broken.save(file)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_missing_file(tmp_path):
    with pytest.raises(EmulatorFileError, match=r"none\.h5 does not exist: give the path"):
        Emulator.load(tmp_path / "none.h5")


@pytest.mark.parametrize("content", [b"", b"teff,logg\n5777,4.44\n" * 100], ids=["empty", "text"])
def test_file_that_is_not_hdf5(tmp_path, content):
    path = tmp_path / "emulator.h5"
    path.write_bytes(content)
    with pytest.raises(EmulatorFileError, match=r"emulator\.h5 is damaged or not an emulator file .*: get a fresh"):
        Emulator.load(path)


def test_folder_instead_of_file(tmp_path):
    with pytest.raises(EmulatorFileError):
        Emulator.load(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_file(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(EmulatorFileError, match=r"damaged or not an emulator file .*: get a fresh copy"):
        Emulator.load(file)


def test_other_hdf5(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as other:
        other["flux"] = np.ones(10)
    with pytest.raises(EmulatorFileError, match="is not an rvsemu emulator"):
        Emulator.load(path)


def test_newer_format(file):
    with h5py.File(file, "a") as opened:
        opened.attrs["format_version"] = 7
    with pytest.raises(EmulatorFileError, match=r"format 7, this rvsemu reads up to 1: update .*pip install --upgrade"):
        Emulator.load(file)


def drop(name):
    def change(opened):
        del opened[name]

    return change


def put(name, value):
    def change(opened):
        attributes = dict(opened[name].attrs) if name in opened else {}
        if name in opened:
            del opened[name]
        opened[name] = value
        opened[name].attrs.update(attributes)

    return change


def attribute(name, key, value):
    def change(opened):
        opened[name].attrs[key] = value

    return change


def no_attribute(name, key):
    def change(opened):
        del opened[name].attrs[key]

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("decoder/01/weights", np.full((12, 40), np.nan, "f2")),
        put("label_network/00/bias", np.full(16, np.inf, "f4")),
        put("decoder/00/weights", np.zeros((4, 12), "f4")),  # latent sizes differ
        put("label_network/00/weights", np.zeros((5, 16), "f4")),  # five labels
        put("decoder/01/weights", np.zeros((11, 40), "f4")),
        put("decoder/00/bias", np.zeros(11, "f4")),
        put("decoder/00/bias", np.zeros(1, "f4")),  # would broadcast
        put("decoder/00/bias", np.float32(0)),
        put("decoder/00", np.zeros(3)),
        put("decoder", np.zeros(3)),
        put("labels", np.zeros(3)),
        put("wavelength", 8400 + 0.1 * np.arange(39)),
        put("wavelength", np.geomspace(8400, 8500, 40)),
        put("wavelength", 8400 - 0.1 * np.arange(40)),
        put("error/sigma", np.zeros((3, 39), "f4")),
        put("error/sigma", np.full((3, 40), np.nan, "f4")),
        put("error/teff", np.array([4000.0, 4000.0, 5000.0])),
        put("error/components", np.zeros((3, 2, 39), "f4")),
        put("error/components", np.full((3, 2, 40), np.inf, "f4")),
        drop("decoder/01"),
        drop("decoder"),
        drop("error"),
        drop("labels/3"),
        drop("wavelength"),
        attribute("decoder/00", "activation", "gelu"),
        attribute("wavelength", "medium", "water"),
        attribute("labels/0", "transform", "cube"),
        attribute("labels/0", "colour", "blue"),
        attribute("/", "info", "{not json"),
        attribute("/", "format_version", 0),
        no_attribute("labels/0", "lower"),
        no_attribute("decoder/00", "activation"),
        no_attribute("/", "format_version"),
        no_attribute("/", "info"),
    ],
)
def test_damaged_content(file, change):
    with h5py.File(file, "a") as opened:
        change(opened)
    with pytest.raises(EmulatorFileError, match=r"emulator\.h5 is damaged or not an emulator file") as e:
        Emulator.load(file)
    assert "\n" not in str(e.value)


def test_flipped_bytes_in_compressed_weights(small, file):
    """The checks of the format and of ours notice, or the weights are as they were: never a crash."""
    content = bytearray(file.read_bytes())
    with h5py.File(file) as opened:
        info = opened["decoder/01/weights"].id.get_chunk_info(0)
    middle = info.byte_offset + info.size // 2
    content[middle : middle + 8] = b"\xff" * 8
    file.write_bytes(bytes(content))
    with pytest.raises(EmulatorFileError, match="damaged"):
        Emulator.load(file)


# ---------------------------------------------------------------- plain floats
def test_flux_does_not_depend_on_the_batch(small, box):
    """300 rows cross the internal batch of 256; sums may differ in the last bits."""
    together = small.flux(box)
    assert together.shape == (300, 40) and together.dtype == "f4"
    alone = np.concatenate([small.flux(row) for row in box])
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-6)
    np.testing.assert_allclose(small.flux(box[::-1])[::-1], together, rtol=0, atol=2e-6)
    assert small.flux(np.empty((0, 6))).shape == (0, 40)


def test_flux_is_decoder_after_label_network(small, box):
    np.testing.assert_allclose(
        small.flux(box), small.decoder(small.label_network(small.labels.scaled(box))), rtol=0, atol=2e-6
    )


def in_double(emulator):
    return replace(
        emulator,
        **{
            name: DenseNetwork(
                Layer(x.weights.astype("f8"), x.bias.astype("f8"), x.activation) for x in getattr(emulator, name).layers
            )
            for name in ("label_network", "decoder")
        },
    )


@pytest.mark.parametrize("which", ["small", "default"])
@pytest.mark.parametrize("name", NAMES)
def test_jacobian_is_the_difference_quotient(small, box, which, name):
    """For each label by itself, in float64; the float32 Jacobian agrees with it."""
    emulator = small if which == "small" else rvsemu.shipped()
    double, rows, k = in_double(emulator), box[:8], NAMES.index(name)
    step = np.zeros(6)
    step[k] = 1e-5 * (emulator.labels.upper - emulator.labels.lower)[k]
    difference = (double.flux(rows + step) - double.flux(rows - step)) / (2 * step[k])
    flux, jacobian = double.jacobian(rows)
    scale = np.max(np.abs(difference))
    assert scale > 0
    np.testing.assert_allclose(jacobian[:, k], difference, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(flux, double.flux(rows), rtol=0, atol=1e-12)
    flux, jacobian = emulator.jacobian(rows)
    assert jacobian.shape == (8, 6, len(emulator.wavelength)) and jacobian.dtype == "f4"
    np.testing.assert_allclose(jacobian[:, k], difference, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(flux, emulator.flux(rows), rtol=0, atol=2e-6)


def test_error_model_with_components(small, box, tmp_path):
    """They survive the file, trimming takes its part of them, and files without them are read."""
    components = np.random.default_rng(6).normal(size=(3, 4, 40)) * 3e-4
    emulator = replace(small, error=replace(small.error, components=components))
    emulator.save(tmp_path / "with.h5")
    again = Emulator.load(tmp_path / "with.h5")
    np.testing.assert_allclose(again.error.components, components, rtol=1e-6)
    variance, low_rank = again.error_covariance([5000.0, 4, 10, 0, 1, 11500])
    node = np.sum(components[:2] ** 2, axis=1)
    expected = np.mean(small.error.sigma[:2].astype(float) ** 2 - node, axis=0)
    np.testing.assert_allclose(variance, np.maximum(expected, 0), rtol=1e-4)
    np.testing.assert_allclose(np.sum(low_rank**2, axis=0), np.mean(node, axis=0), rtol=1e-5)
    trimmed = again.trimmed(8401.03, 8402.97)
    np.testing.assert_allclose(trimmed.wavelength, small.wavelength[10:31])
    np.testing.assert_allclose(trimmed.flux(box), again.flux(box)[:, 10:31], rtol=0, atol=1e-6)
    np.testing.assert_allclose(trimmed.error_covariance(box[0])[1], again.error_covariance(box[0])[1][:, 10:31])
    plain, nothing = small.error_covariance([5000.0, 4, 10, 0, 1, 11500])
    assert nothing.shape == (0, 40)
    np.testing.assert_allclose(plain, np.mean(small.error.sigma[:2].astype(float) ** 2, axis=0), rtol=1e-6)


def test_error_model_interpolates_and_holds(small):
    teff, sigma = small.error.teff, small.error.sigma
    np.testing.assert_allclose(small.error(teff), sigma, rtol=1e-6)
    np.testing.assert_allclose(small.error([5000.0])[0], (sigma[0] + sigma[1]) / 2, rtol=1e-6)
    np.testing.assert_allclose(small.error([9000.0])[0], (sigma[1] + sigma[2]) / 2, rtol=1e-6)
    np.testing.assert_allclose(small.error([100.0, 1e5]), sigma[[0, -1]], rtol=1e-6)


# ---------------------------------------------------------------- generate
@pytest.fixture(scope="module")
def default():
    return rvsemu.shipped()


def test_scalar(default):
    sun = rvsemu.generate(**SUN)
    assert isinstance(sun, Spectrum)
    assert sun.flux.shape == (4000,) and sun.flux.unit == u.dimensionless_unscaled
    np.testing.assert_allclose(sun.spectral_axis.to_value(u.AA), 8400 + 0.1 * np.arange(4000), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(sun.flux.value, default.flux(list(SUN.values()))[0])
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
    assert labels == {"teff": 5777, "logg": 4.44, "vsini": 0, "mh": 0, "vmic": 1, "resolution": 11500}


def test_meta(default):
    sun = rvsemu.generate(**SUN)
    assert {n: q.value for n, q in sun.meta["labels"].items()} == SUN
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
    got = rvsemu.generate(**SUN, wavelength=wave).uncertainty.array
    own = default.sigma(list(SUN.values()))[0]
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
    part = rvsemu.generate(**SUN, wavelength=whole.spectral_axis[chosen])
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
    expected = rvsemu.generate(**SUN, wavelength=wave)
    got = rvsemu.generate(**SUN, wavelength=wave / 10 * u.nm)
    np.testing.assert_allclose(got.flux.value, expected.flux.value, rtol=0, atol=1e-7)
    listed = rvsemu.generate(**SUN, wavelength=list(wave))
    np.testing.assert_array_equal(listed.flux.value, expected.flux.value)
    two = rvsemu.generate(**{**SUN, "teff": [5777, 6000]}, wavelength=wave)
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
    ],
)
def test_bad_wavelengths(wave):
    with pytest.raises(SpectrumError, match="^wavelength "):
        rvsemu.generate(**SUN, wavelength=wave)


def test_bad_medium():
    with pytest.raises(SpectrumError, match="medium='ether' is unknown: use 'air' or 'vacuum'"):
        rvsemu.generate(**SUN, medium="ether")


def test_extrapolation_is_asked_for_and_told():
    cool = {**SUN, "teff": 3500}
    with pytest.raises(LabelError, match="teff=3500 K is outside 3600 to 15000 K: .*extrapolate=True"):
        rvsemu.generate(**cool)
    assert rvsemu.generate(**cool, extrapolate=True).meta["extrapolated"] is True
    assert rvsemu.generate(**SUN, extrapolate=True).meta["extrapolated"] is False
    mixed = rvsemu.generate(**{**SUN, "teff": [5777, 3500]}, extrapolate=True)
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
    with pytest.raises(EmulatorFileError, match="not shipped"):
        rvsemu.shipped("best")


def test_emulator_by_name_path_and_object(default, small, file, tmp_path):
    assert resolve(None) is default is resolve("default")
    assert resolve(small) is small
    for path in (file, str(file)):
        np.testing.assert_array_equal(resolve(path).decoder.layers[0].weights, small.decoder.layers[0].weights)
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
    assert default.labels.names == NAMES
    np.testing.assert_array_equal(default.labels.lower, LabelSpace().lower)
    np.testing.assert_array_equal(default.labels.upper, LabelSpace().upper)
    assert default.medium == "air"
    assert {"recipe", "version", "metrics", "library", "packages", "settings"} <= set(default.info)
    assert {"autoencoder", "label_network", "linked"} <= set(default.info["metrics"])
    assert json.dumps(default.info)
    assert set(default.history) >= {"autoencoder", "label_network"}
