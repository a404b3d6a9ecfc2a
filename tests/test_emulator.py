"""The emulator in plain floats: flux, Jacobian, errors; what it refuses; that it is frozen."""

import copy
import pickle
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy import units as u
from emulator_fixtures import NAMES, random_labels, small_emulator

import rvsemu
from rvsemu.emulator import Emulator, LabelSpace
from rvsemu.errors import FrozenError, LabelError, SpectrumError


@pytest.fixture(scope="module")
def small():
    return small_emulator()


@pytest.fixture(scope="module")
def box(small):
    return random_labels(small)


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


CASES = [
    (which, name) for which in ("small", "default") for name in (*NAMES, "alpha") if (which, name) != ("small", "alpha")
]


@pytest.mark.parametrize(("which", "name"), CASES)
def test_jacobian_is_the_difference_quotient(small, box, which, name):
    """For each label by itself, in float64; the float32 Jacobian agrees with it."""
    emulator = small if which == "small" else rvsemu.shipped()
    names = emulator.labels.names
    rows = np.hstack([box[:8], np.full((8, len(names) - len(NAMES)), 0.1)])
    double, k, step = emulator.astype(float), names.index(name), np.zeros(len(names))
    step[k] = 1e-5 * (emulator.labels.upper - emulator.labels.lower)[k]
    difference = (double.flux(rows + step) - double.flux(rows - step)) / (2 * step[k])
    flux, jacobian = double.jacobian(rows)
    scale = np.max(np.abs(difference))
    assert scale > 0
    np.testing.assert_allclose(jacobian[:, k], difference, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(flux, double.flux(rows), rtol=0, atol=1e-12)
    flux, jacobian = emulator.jacobian(rows)
    assert jacobian.shape == (8, len(names), len(emulator.wavelength)) and jacobian.dtype == "f4"
    np.testing.assert_allclose(jacobian[:, k], difference, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(flux, emulator.flux(rows), rtol=0, atol=2e-6)


def test_error_model_with_components(small, box):
    """Between nodes the covariance is interpolated; trimming takes its part of it."""
    components = small.error.components
    variance, low_rank = small.error_covariance([5000.0, 4, 10, 0, 1, 11500])
    node = np.sum(components[:2] ** 2, axis=1)
    expected = np.mean(small.error.sigma[:2].astype(float) ** 2 - node, axis=0)
    np.testing.assert_allclose(variance, np.maximum(expected, 0), rtol=1e-4)
    np.testing.assert_allclose(np.sum(low_rank**2, axis=0), np.mean(node, axis=0), rtol=1e-5)
    trimmed = small.trimmed(8401.03, 8402.97)
    np.testing.assert_allclose(trimmed.wavelength, small.wavelength[10:31])
    np.testing.assert_allclose(trimmed.flux(box), small.flux(box)[:, 10:31], rtol=0, atol=1e-6)
    np.testing.assert_allclose(trimmed.error_covariance(box[0])[1], small.error_covariance(box[0])[1][:, 10:31])
    independent = replace(small.error, components=np.zeros((3, 0, 40)))
    plain, nothing = independent.covariance(5000.0)
    assert nothing.shape == (0, 40)
    np.testing.assert_allclose(plain, np.mean(small.error.sigma[:2].astype(float) ** 2, axis=0), rtol=1e-6)


def test_error_covariances_of_many_stars_are_those_of_each(small, box):
    rows = box[:6].reshape(3, 2, -1)
    before, share = np.tile(np.arange(4, 30), (3, 2, 1)), np.random.default_rng(1).random((3, 2, 26))
    for at in (None, (before, share)):
        variance, low_rank = small.error_covariance(rows, at)
        assert variance.shape[:2] == low_rank.shape[:2] == (3, 2)
        for i in np.ndindex(3, 2):
            one = small.error_covariance(rows[i], at and (before[i], share[i]))
            np.testing.assert_allclose(variance[i], one[0], rtol=1e-12)
            np.testing.assert_allclose(low_rank[i], one[1], rtol=1e-12)


def test_error_model_interpolates_and_holds(small):
    teff, sigma = small.error.teff, small.error.sigma
    np.testing.assert_allclose(small.error(teff), sigma, rtol=1e-6)
    np.testing.assert_allclose(small.error([5000.0])[0], (sigma[0] + sigma[1]) / 2, rtol=1e-6)
    np.testing.assert_allclose(small.error([9000.0])[0], (sigma[1] + sigma[2]) / 2, rtol=1e-6)
    np.testing.assert_allclose(small.error([100.0, 1e5]), sigma[[0, -1]], rtol=1e-6)


def test_error_model_depends_on_metallicity_and_gravity(small, box, tmp_path):
    """Factors between nodes, held outside: in sigma, in covariances, in a trimmed emulator and in a file."""
    mh, logg = (small.labels.names.index(name) for name in ("mh", "logg"))
    factors = {"mh": np.array([[-1.0, 0.0], [0.5, 1.5]]), "logg": np.array([[2.0, 4.0], [3.0, 1.0]])}
    scaled = replace(small, error=replace(small.error, factors=factors))
    scaled.save(tmp_path / "e.h5", dtype="float32")
    for metals, gravity, factor in ((-1.5, 5.0, 0.5), (-1.0, 3.0, 1.0), (-0.25, 4.0, 1.25), (1.0, 2.0, 4.5)):
        rows = box.copy()
        rows[:, mh], rows[:, logg] = metals, gravity
        plain, (variance, low_rank) = small.trimmed(8401, 8403).sigma(rows), small.error_covariance(rows[0])
        for one in (scaled, Emulator.load(tmp_path / "e.h5")):
            np.testing.assert_allclose(one.trimmed(8401, 8403).sigma(rows), factor * plain, rtol=1e-6)
            np.testing.assert_allclose(one.error_covariance(rows[0])[0], factor**2 * variance, rtol=1e-6)
            np.testing.assert_allclose(one.error_covariance(rows[0])[1], factor * low_rank, rtol=1e-6)
    for wrong in (np.ones((2, 2)), np.zeros(3), np.array([[0.0, 1.0], [1.0, np.nan]]), np.zeros((2, 0))):
        with pytest.raises(ValueError, match="error model"):
            replace(scaled.error, factors={"mh": wrong})


def test_error_model_of_first_files(small, tmp_path):
    """They had factors by [M/H] alone, in two datasets."""
    table = np.array([[-1.0, 0.0], [0.5, 1.5]])
    scaled = replace(small, error=replace(small.error, factors={"mh": table}))
    scaled.save(tmp_path / "e.h5")
    with h5py.File(tmp_path / "e.h5", "a") as file:
        del file["error/factors"]
        file["error/mh"], file["error/scale"] = table
    np.testing.assert_array_equal(Emulator.load(tmp_path / "e.h5").error.factors["mh"], table)


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [[5777, 4.44, 2]],
            r"labels have the shape \(1, 3\): give plain numbers of the shape \(n, 6\), .* teff, logg, vsini",
        ),
        ([5777, 4.44], r"labels have the shape \(2,\)"),
        (5777, r"labels have the shape \(\)"),
        (np.ones((2, 2, 6)), r"labels have the shape \(2, 2, 6\)"),
        ([[5777, 4.44, 2, 0, 1, 11500], [5777]], "are not an array of plain numbers"),
        ("sun", "labels=sun are not an array of plain numbers"),
        ([["5777 K", 4.44, 2, 0, 1, 11500]], "are not an array of plain numbers"),
        (None, "labels have the shape|not an array of plain numbers"),
        ([[5777 * u.K, 4.44, 2, 0, 1, 11500]], "are not an array of plain numbers"),
        (np.ones(6) * u.K, "are not an array of plain numbers"),
        ([np.ones(6) * u.K], "are not an array of plain numbers"),
        (np.ma.array([5777, 4.44, 2, 0, 1, 11500], mask=[1, 0, 0, 0, 0, 0]), "are not an array of plain numbers"),
        ([[1j, 4.44, 2, 0, 1, 11500]], "are not an array of plain numbers"),
        ([[5777, 4.44, np.nan, 0, 1, 11500]], "labels have vsini=nan: .*all finite"),
        ([[5777, 4.44, 2, np.inf, 1, 11500]], "labels have mh=inf"),
        ([[-5777, 4.44, 2, 0, 1, 11500]], "teff=-5777 is not positive"),  # the network sees its logarithm
    ],
)
@pytest.mark.parametrize("method", ["flux", "jacobian", "sigma"])
def test_labels_that_are_none(small, method, labels, message):
    with pytest.raises(LabelError, match=message) as e:
        getattr(small, method)(labels)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("by", [[9], [-1], ["teff"], [0.5], [True, False], 2])
def test_derivatives_by_what_is_no_label(small, by):
    with pytest.raises(LabelError, match="give numbers from 0 to 5, of teff, logg, vsini"):
        small.jacobian([[5777, 4.44, 2, 0, 1, 11500]], by=by)


@pytest.mark.parametrize(
    ("low", "high"),
    [(9000, 9100), (8300, 8390), (8402, 8401), (np.nan, 8403), (8401, None), (1 * u.K, 2 * u.K), ([8401], [8402])],
)
def test_a_part_that_is_none(small, low, high):
    with pytest.raises(SpectrumError, match="^low=.*, high=.*: give (a range|two lengths)"):
        small.trimmed(low, high)


def test_a_part_in_other_units(small):
    part = small.trimmed(840.137 * u.nm, 8402.0)
    np.testing.assert_allclose(part.wavelength, 8401.3 + 0.1 * np.arange(8), rtol=1e-12)
    for unit in (u.AA, u.nm, u.um, u.m):
        part = rvsemu.shipped().trimmed((8480 * u.AA).to(unit), (8580 * u.AA).to(unit))
        assert len(part.wavelength) == 1001


@pytest.mark.parametrize("make", ["flux", "jacobian", "generate"])
def test_results_beyond_the_size_of_one_call(make):
    """Refused at once, with the size and what to do, instead of filling the memory."""
    n, emulator = 1_000_000, rvsemu.shipped()
    size, parts = {"flux": ("14.9", 268435), "jacobian": ("119.2", 33554), "generate": ("59.6", 67108)}[make]
    tracemalloc.start()
    with pytest.raises(LabelError, match=rf"take {size} GiB, more than the 4 GiB .*loop over at most {parts} sets"):
        if make == "generate":
            rvsemu.generate(np.linspace(4000, 6000, n), 4.4)
        else:
            getattr(emulator, make)(np.broadcast_to([5777, 4.44, 2, 0, 1, 11500, 0], (n, 7)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e8
    with pytest.raises(LabelError, match=r"broadcast to the shape \(100000, 100000\): give at most 10000000 sets"):
        rvsemu.generate(np.linspace(4000, 6000, 100_000), np.linspace(4, 5, 100_000)[:, None])


def test_no_intermediate_arrays_of_the_size_of_the_result():
    """Flux and uncertainty of many spectra are computed in parts, straight into the result."""
    tracemalloc.start()
    spectrum = rvsemu.generate(np.linspace(4000, 6000, 3000), 4.4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * (2 * spectrum.flux.value.nbytes)


# ---------------------------------------------------------------- frozen
def parts_of(emulator):
    yield from (emulator, emulator.labels, emulator.labels.labels[0], emulator.label_network)
    yield from (emulator.decoder.layers[0], emulator.error)


def test_nothing_can_be_assigned(small):
    for part in parts_of(small):
        for name in list(part.__dataclass_fields__):
            with pytest.raises(
                FrozenError, match=rf"\.{name} cannot be changed, .*dataclasses.replace\(.*, {name}="
            ) as e:
                setattr(part, name, None)
            assert isinstance(e.value, AttributeError)
            with pytest.raises(FrozenError):
                delattr(part, name)
        with pytest.raises(FrozenError, match=r"\.colour cannot be changed, .* its fields are "):
            part.colour = "blue"


def test_no_array_can_be_written_to(small):
    error, layer, labels = small.error, small.decoder.layers[0], small.labels
    arrays = [small.wavelength, error.teff, error.sigma, error.components, layer.weights, layer.bias]
    arrays += [labels.lower, labels.upper, small.history["autoencoder"]["loss"]]
    arrays += [small.trimmed(8401, 8403).wavelength, small.astype(float).decoder.layers[0].weights]
    for array in [*arrays, rvsemu.shipped().wavelength]:
        with pytest.raises(ValueError, match="read-only"):
            array[..., 0] = 1
    for change in (
        lambda: small.info.update(recipe="mine"),
        lambda: small.info.pop("recipe"),
        lambda: small.info.setdefault("x", 1),
        lambda: small.info["metrics"].clear(),
        lambda: small.history["autoencoder"].__setitem__("loss", 1),
    ):
        with pytest.raises(FrozenError, match="replace"):
            change()


def test_arrays_that_it_was_made_of_are_not_its_own(small):
    """What the caller does with its arrays afterwards does not change the emulator."""
    mine, info = small.wavelength.copy(), {"recipe": "mine"}
    emulator = replace(small, wavelength=mine[:], info=info)
    mine += 1.0
    info["recipe"] = "other"
    np.testing.assert_array_equal(emulator.wavelength, small.wavelength)
    assert emulator.info["recipe"] == "mine"


def test_copies_are_equal_and_frozen(small, box):
    for again in (copy.copy(small), copy.deepcopy(small), pickle.loads(pickle.dumps(small)), replace(small)):
        assert again == small and hash(again) == hash(small) and not again != small
        np.testing.assert_array_equal(again.flux(box), small.flux(box))
        with pytest.raises(ValueError, match="read-only"):
            again.decoder.layers[0].weights[0, 0] = 1
        with pytest.raises(FrozenError):
            again.info["recipe"] = "mine"


def test_others_are_not_equal(small):
    last = small.decoder.layers[-1]
    weights = last.weights.copy()
    weights[-1, -1] += 1e-3
    decoder = replace(small.decoder, layers=(*small.decoder.layers[:-1], replace(last, weights=weights)))
    others = [replace(small, decoder=decoder), replace(small, medium="vacuum"), replace(small, info={})]
    others += [replace(small, error=replace(small.error, sigma=2 * small.error.sigma)), small.astype(float), "small"]
    for other in others:
        assert other != small


def test_replaced_parts_have_their_effect(small, box):
    """Another decoder gives another flux, and another error model another error: nothing remembers the old ones."""
    last = small.decoder.layers[-1]
    decoder = replace(small.decoder, layers=(*small.decoder.layers[:-1], replace(last, bias=last.bias + np.float32(1))))
    small.flux(box)
    np.testing.assert_allclose(replace(small, decoder=decoder).flux(box), small.flux(box) + 1, atol=1e-5)
    louder = replace(small, error=replace(small.error, sigma=3 * small.error.sigma))
    np.testing.assert_allclose(louder.sigma(box), 3 * small.sigma(box), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"wavelength": e.wavelength[:-1]}, "error model does not fit the wavelengths"),
        (lambda e: {"wavelength": e.wavelength[::-1]}, "not a uniform grid"),
        (lambda e: {"medium": "water"}, "medium='water' is unknown"),
        (lambda e: {"labels": LabelSpace(e.labels.labels[:5])}, "networks do not fit the labels"),
        (lambda e: {"error": e.trimmed(8401, 8402).error}, "error model does not fit"),
    ],
)
def test_parts_that_do_not_fit(small, change, message):
    with pytest.raises(ValueError, match=message):
        replace(small, **change(small))
