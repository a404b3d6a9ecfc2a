"""Files of emulators: round trips, and everything that can be wrong with them."""

import json
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from emulator_fixtures import layers, random_labels, small_emulator
from inversion_fixtures import exact_inversion

from rvsemu.emulator import DenseNetwork, Emulator, Layer
from rvsemu.errors import EmulatorFileError, InversionFileError
from rvsemu.inversion import Inversion


@pytest.fixture(scope="module")
def small():
    return small_emulator()


@pytest.fixture(scope="module")
def box(small):
    return random_labels(small)


@pytest.fixture
def file(small, tmp_path):
    path = tmp_path / "emulator.h5"
    small.save(path, dtype="float32")
    return path


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
    small.save(path, dtype="float16")
    again = Emulator.load(path)
    value, bound = small.labels.scaled(box), 0.0
    steepest = {"silu": 1.1, "tanh": 1.0, "linear": 1.0}
    pairs = [(getattr(again, name).layers, getattr(small, name).layers) for name in ("label_network", "decoder")]
    for a, b in (pair for two in pairs for pair in zip(*two, strict=True)):
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


def test_what_is_saved_is_the_same_emulator(small, tmp_path):
    """Unless float16 is asked for; numbers of NumPy in `info` become those of Python."""
    changed = replace(small, info={**small.info, "rms": np.float32(0.25), "n": np.int64(3), "each": np.arange(2.0)})
    changed.save(tmp_path / "same.h5")
    again = Emulator.load(tmp_path / "same.h5")
    assert (again.label_network, again.decoder) == (small.label_network, small.decoder)
    assert again.info == {**small.info, "rms": 0.25, "n": 3, "each": (0.0, 1.0)}


def scaled(network, factor):
    first, *others = network.layers
    return DenseNetwork((replace(first, weights=first.weights * np.float32(factor)), *others))


@pytest.mark.parametrize("dtype", ["int16", "bad", "float64", None])
@pytest.mark.parametrize("kind", [Emulator, Inversion])
def test_weights_of_another_type_are_refused(small, file, kind, dtype):
    model, error = (small, EmulatorFileError) if kind is Emulator else (exact_inversion(), InversionFileError)
    before = file.read_bytes()
    with pytest.raises(error, match=f"dtype={dtype!r}: give float32.* or float16"):
        model.save(file, dtype=dtype, overwrite=True)
    assert file.read_bytes() == before


def test_weights_that_do_not_fit_are_refused_before_a_file_is_replaced(small, file):
    """Those above 65504 are infinite in float16, and could not be loaded."""
    large = replace(small, decoder=scaled(small.decoder, 1e6))
    before = file.read_bytes()
    with pytest.raises(EmulatorFileError, match=r"weights up to .* too large for float16: save it as float32"):
        large.save(file, dtype="float16", overwrite=True)
    assert file.read_bytes() == before
    large.save(file, overwrite=True)
    assert Emulator.load(file).decoder == large.decoder


@pytest.mark.parametrize("path", [None, 5, ["a.h5"]])
def test_names_that_are_none(small, path):
    with pytest.raises(EmulatorFileError, match="give the name of a file"):
        small.save(path)


DATASETS = ("label_network/00/bias", "decoder/00/bias", "wavelength", "error/teff", "history/autoencoder/loss")


@pytest.mark.parametrize("name", DATASETS)
def test_a_flipped_bit_is_noticed(file, name):
    """In data that are not packed, which has checksums of its own."""
    with h5py.File(file) as opened:
        chunk = opened[name].id.get_chunk_info(0)
    content = bytearray(file.read_bytes())
    content[chunk.byte_offset + 5] ^= 2
    file.write_bytes(content)
    with pytest.raises(EmulatorFileError, match="damaged"):
        Emulator.load(file)


def test_a_flipped_bit_of_an_inversion_is_noticed(tmp_path):
    exact_inversion().save(tmp_path / "i.h5")
    with h5py.File(tmp_path / "i.h5") as opened:
        chunks = [opened[name].id.get_chunk_info(0) for name in ("principal/mean", "principal/basis")]
    for chunk in chunks:
        content = bytearray((tmp_path / "i.h5").read_bytes())
        content[chunk.byte_offset + 2] ^= 1
        (tmp_path / "damaged.h5").write_bytes(content)
        with pytest.raises(InversionFileError, match="damaged"):
            Inversion.load(tmp_path / "damaged.h5")


def test_files_without_checksums_can_be_loaded(small, file):
    """The first ones had none."""
    with h5py.File(file, "a") as opened:
        for name in DATASETS:
            data, attributes = opened[name][:], dict(opened[name].attrs)
            del opened[name]
            opened.create_dataset(name, data=data).attrs.update(attributes)
            assert not opened[name].fletcher32
    again = Emulator.load(file)
    assert (again.label_network, again.decoder, again.error) == (small.label_network, small.decoder, small.error)


def test_saving_replaces_only_when_complete(small, file):
    """What cannot be written leaves the old file, and no other."""
    before = file.read_bytes()
    broken = replace(small, info={"unwritable": object()})
    with pytest.raises(TypeError):
        broken.save(file, overwrite=True)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_file_is_not_overwritten_unasked(small, file):
    before = file.read_bytes()
    with pytest.raises(EmulatorFileError, match=r"exists: give another name, or .*overwrite=True"):
        small.save(file)
    assert file.read_bytes() == before
    small.save(file, dtype="float16", overwrite=True)  # and not float32 as before
    assert len(file.read_bytes()) < len(before)


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
    with pytest.raises(EmulatorFileError, match="is a folder: give the path of an emulator file"):
        Emulator.load(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_file(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(EmulatorFileError, match=r"damaged or not an emulator file .*: get a fresh copy"):
        Emulator.load(file)


def test_without_components(small, box, file):
    """Files of emulators whose errors are independent."""
    independent = replace(small, error=replace(small.error, components=np.zeros((3, 0, 40))))
    with h5py.File(file, "a") as opened:
        del opened["error/components"]
    assert Emulator.load(file).error == independent.error
    independent.save(file, overwrite=True)
    again = Emulator.load(file)
    variance, low_rank = again.error_covariance(box[0])
    assert low_rank.shape == (0, 40)
    np.testing.assert_allclose(variance, again.error.covariance(box[0, 0])[0])


def bomb(name, shape, dtype="f4", **options):
    """A data set that promises `shape` and takes no room in the file."""

    def change(opened):
        attributes = dict(opened[name].attrs)
        del opened[name]
        opened.create_dataset(name, shape, dtype, **options).attrs.update(attributes)

    return change


def elsewhere(link):
    def change(opened):
        del opened["wavelength"]
        opened["wavelength"] = link

    return change


def many(opened):
    for i in range(100):
        opened.create_dataset(f"history/x/{i}", (10**6,), "f8", compression="gzip", chunks=True)


def virtual(opened):
    del opened["wavelength"]
    layout = h5py.VirtualLayout((40,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "wavelength", (40,))
    opened.create_virtual_dataset("wavelength", layout)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (bomb("wavelength", (10**11,), "f8", chunks=True), r"wavelength of the shape \(100000000000,\)"),
        (bomb("wavelength", (10**8,), "f8"), r"wavelength of the shape"),
        (bomb("decoder/01/weights", (10**6, 10**6), compression="gzip"), r"decoder/01/weights of the shape"),
        (bomb("error/components", (3, 10**5, 10**3), compression="gzip"), r"error/components of the shape"),
        (bomb("label_network/00/bias", (2**62,), "f8", chunks=(1024,)), r"label_network/00/bias of the shape"),
        (many, r"history/x/.* of the shape"),
        (virtual, "wavelength is a link to another place"),
        (elsewhere(h5py.ExternalLink("other.h5", "/wavelength")), "wavelength is a link to another place"),
        (elsewhere(h5py.SoftLink("/decoder/00/bias")), "wavelength is a link to another place"),
    ],
)
def test_files_that_promise_more_than_they_have(file, change, message, tmp_path):
    """Nothing is read of a file that would fill the memory, or that points to others."""
    with h5py.File(file, "a") as opened:
        change(opened)
    assert file.stat().st_size < 10**6
    tracemalloc.start()
    with pytest.raises(EmulatorFileError, match=f"damaged or not an emulator file .*{message}.*: get a fresh") as e:
        Emulator.load(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7 and "\n" not in str(e.value)


def test_a_file_of_the_other_kind(file):
    with pytest.raises(
        InversionFileError, match="is not an rvsemu inversion but an rvsemu emulator: 'rvsemu train --re"
    ):
        Inversion.load(file)


def test_folder_that_is_not_there(small, tmp_path):
    with pytest.raises(EmulatorFileError, match=r"the folder .*nowhere does not exist; make it first"):
        small.save(tmp_path / "nowhere" / "e.h5")


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


REPORT = {
    "model_error": {"base": 0.01, "depth": 0.02, "reach": 1.5},
    "stars": 5,
    "table": "stars.csv",
    "labels": ["teff"],
    "ranges": {"teff": [4000.0, 6000.0]},
    "held_out": {"before": {"rms_less_noise": 0.1}, "after": {"rms_less_noise": 0.05}},
}


def info(**properties):
    return attribute("/", "info", json.dumps(properties))


def calibration(**other):
    return info(calibration={**REPORT, **other})


def regions(limits, nodes=()):
    return attribute("labels", "regions", json.dumps([{"limits": limits, "lowest_logg": nodes}]))


TEFF = {"teff": [4000, 6000]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (attribute("labels/0", "unit", "nonsense"), "'nonsense' is no unit"),
        (attribute("labels/0", "unit", "km/s"), "label teff has the unit 'km/s' instead of 'K'"),
        (attribute("labels/0", "unit", np.ones(2)), "property that is no text"),
        (attribute("labels/0", "name", 5), "a label has the name"),
        (attribute("labels/0", "name", ""), "a label has the name ''"),
        (attribute("labels/1", "name", "mh"), "two of a name"),
        (attribute("labels/0", "description", 2.0), "property that is no text"),
        (attribute("labels/0", "transform", np.ones(2)), "property that is no text"),
        (attribute("labels/0", "lower", -1.0), "label teff: transform 'log' has no values from -1 on"),
        (attribute("labels/0", "lower", "cold"), "label teff: its limits 'cold'"),
        (attribute("labels/0", "lower", np.ones(2)), "no finite numbers"),
        (attribute("labels/0", "upper", np.inf), "no finite numbers"),
        (attribute("labels/0", "upper", 3.0), "empty range"),
        (attribute("labels", "constant_alpha", np.nan), "constant_alpha is not finite"),
        (attribute("labels", "lowest_logg", np.array([[5e3, np.nan]])), "lowest_logg is not finite"),
        (attribute("labels", "lowest_logg", np.ones(3)), "lowest_logg has no pairs"),
        (attribute("labels", "lowest_logg", "low"), "instead of real numbers"),
        (attribute("labels", "regions", "{"), "the regions .* cannot be read"),
        (attribute("labels", "regions", "[1]"), "the regions .* cannot be read"),
        (regions({}), "teff has no limits"),
        (regions({"teff": [1, 2, 3]}), "limits of teff has the shape"),
        (regions({"teff": [6000, 4000]}), "limits of teff runs from 6000 to 4000"),
        (regions({"teff": ["cold", "hot"]}), "instead of real numbers"),
        (regions({**TEFF, "size": [1, 2]}), "limits of 'size', which is no label"),
        (regions(TEFF, [[5000, 1.0]]), "logg has no limits"),
        (regions({**TEFF, "logg": [0, 5]}, [[5000, 1.0], [4000, 1.0]]), "first of which increase"),
        (attribute("/", "info", "[1, 2]"), r"info is \[1, 2\] instead of values by name"),
        (attribute("/", "info", 5), "instead of a text"),
        (attribute("/", "format_version", np.inf), "format_version is not finite"),
        (attribute("/", "format_version", 1j), "instead of real numbers"),
        (info(recipe=["default"]), "recipe is .* instead of a text"),
        (info(metrics=[1]), "no attribute"),
        (info(metrics={"linked": {"mse": "small"}}), "mse of the metrics of linked is 'small'"),
        (calibration(model_error={"base": 0.1}), "depth"),
        (calibration(model_error={**REPORT["model_error"], "reach": -1}), "reach .* is not positive"),
        (calibration(ranges={"teff": 5}), "ranges of the calibration of teff"),
        (calibration(ranges={}), "no range of teff"),
        (calibration(stars="many"), "stars of the calibration"),
        (calibration(held_out={}), "before"),
        (put("wavelength", np.linspace(-2, 2, 40)), "not a uniform grid"),
        (put("wavelength", np.full(40, np.inf)), "wavelength is not finite"),
        (put("wavelength", 1j * np.arange(40)), "wavelength is .* instead of real numbers"),
        (put("wavelength", np.array([b"a"] * 40)), "wavelength is .* instead of real numbers"),
        (put("wavelength", h5py.Empty("f8")), "instead of real numbers"),
        (attribute("wavelength", "unit", "nm"), "wavelength is in 'nm' instead of Angstrom"),
        (attribute("wavelength", "medium", 5), "medium is .* instead of a text"),
        (put("decoder/01/weights", np.full((12, 40), 1e300)), "decoder/01/weights is not finite"),
        (put("error/sigma", np.full((3, 40), -1e-3)), "errors or factors below 0"),
        (put("error/teff", np.array([4000, 5000, np.inf])), "error/teff is not finite"),
        (put("error/factors/mh", np.array([[0, 1.0], [1, -1]])), "errors or factors below 0"),
        (put("error/factors/mh", np.array([[0, 1.0], [1, np.nan]])), "error/factors/mh is not finite"),
        (put("error/label_covariance", -np.eye(6)), "label_covariance is no covariance matrix"),
        (put("error/label_covariance", np.triu(np.ones((6, 6)))), "label_covariance is no covariance matrix"),
        (put("history/autoencoder/loss", np.array([b"a"])), "history/autoencoder/loss is .* instead of real numbers"),
        (put("history/autoencoder", np.ones(3)), "history/autoencoder has no curves"),
    ],
)
def test_edited_content(file, change, reason):
    """What would fail in whatever uses the emulator, or give wrong numbers."""
    with h5py.File(file, "a") as opened:
        change(opened)
    with pytest.raises(EmulatorFileError, match=rf"emulator\.h5 is damaged .*{reason}.*'rvsemu train'") as e:
        Emulator.load(file)
    assert "\n" not in str(e.value)


def test_a_report_of_a_calibration_is_read(file):
    with h5py.File(file, "a") as opened:
        calibration()(opened)
    assert Emulator.load(file).info["calibration"]["stars"] == 5


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
