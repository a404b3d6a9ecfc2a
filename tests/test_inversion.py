"""Inversion of fluxes on its own wavelengths, and its results."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from inversion_fixtures import (
    PLAIN,
    SPACE,
    WAVELENGTH,
    K,
    curved,
    exact_inversion,
    fluxes,
    meant,
    meant_without_noise,
    observed,
    scaled,
    star_labels,
)

import rvsemu
from rvsemu.emulator import DenseNetwork, Layer
from rvsemu.errors import FrozenError, SpectrumError
from rvsemu.inversion import Limits, invert
from rvsemu.inversion.result import flags_of
from rvsemu.observing.flags import to_bits


@pytest.fixture(scope="module")
def exact():
    return exact_inversion()


@pytest.fixture(scope="module")
def stars():
    return star_labels()


def test_labels_of_fluxes(exact, stars):
    result = invert(fluxes(exact, stars), inversion=exact)
    np.testing.assert_allclose(scaled(result), stars, rtol=0, atol=2e-5)
    assert result.teff.shape == (12,) and result.teff.unit == u.K
    assert result.resolution.unit == u.dimensionless_unscaled
    assert result.flags == meant(result)
    assert {"broad-lines", "alpha-assumed"} == set(sum(result.flags, ()))
    assert np.all(result.residual_rms < 1e-5)
    assert "12 spectra" in repr(result)
    labels, errors = exact.estimate(fluxes(exact, stars))
    np.testing.assert_allclose(labels[:, 0], result.teff.value)
    np.testing.assert_allclose(errors[:, 1], 0.03, rtol=1e-6)
    one = invert(fluxes(exact, stars)[3], inversion=exact)
    assert one.teff.shape == () and one.flags == result.flags[3]
    assert one.teff.value == pytest.approx(result.teff[3].value, rel=1e-6)
    np.testing.assert_array_equal(one.noise_errors["logg"].value, 0)


def test_one_network_a_label_is_the_same(exact, stars):
    """Networks side by side instead of one."""
    layer = exact.networks[0].layers[0]
    apart = tuple(DenseNetwork([Layer(layer.weights[:, [i]], layer.bias[[i]])]) for i in range(K))
    several = replace(exact, networks=apart)
    np.testing.assert_allclose(several.estimate(fluxes(exact, stars))[0], exact.estimate(fluxes(exact, stars))[0])
    c = exact.coefficients(fluxes(exact, stars))
    np.testing.assert_allclose(several.jacobian(c)[1], exact.jacobian(c)[1], rtol=1e-6)


def test_jacobian_against_differences(exact):
    inversion = curved(exact)
    c = np.random.default_rng(4).normal(size=(5, K))
    labels, slopes = inversion.jacobian(c)
    np.testing.assert_allclose(labels, inversion.from_coefficients(c), rtol=1e-5, atol=1e-4)
    for i in range(K):
        step = np.zeros(K)
        step[i] = 0.02
        high, low = (inversion.from_coefficients(c + s) for s in (step, -step))
        scale = np.abs(slopes[:, i]).max(axis=0)
        np.testing.assert_allclose(slopes[:, i] / scale, (high - low) / 0.04 / scale, rtol=0, atol=5e-3)


def test_noise_of_fluxes_becomes_the_scatter_of_labels(exact, stars):
    """Errors of noise are the scatter over many realisations of it, label by label."""
    rng, sigma = np.random.default_rng(5), 0.002 * (1 + 2 * (WAVELENGTH > 8600))
    clean = fluxes(exact, stars[0])
    stated = invert(clean, inversion=exact, sigma=sigma)
    many = invert(clean + sigma * rng.normal(size=(2000, 4000)), inversion=exact, sigma=sigma)
    for name in SPACE.names:
        scatter = np.std(many.labels[name].value)
        assert stated.noise_errors[name].value == pytest.approx(scatter, rel=0.08)
        together = np.hypot(stated.noise_errors[name].value, exact.sigma(exact.estimate(clean)[0])[0])
        assert stated.errors[name].value == pytest.approx(together[SPACE.names.index(name)], rel=1e-6)
    assert sum("unlike-training" in f for f in many.flags) < 20


def test_errors_are_never_larger_than_of_knowing_nothing(exact, stars):
    result = invert(fluxes(exact, stars[0]), inversion=exact, sigma=100.0)
    for i, name in enumerate(SPACE.names):
        nothing = (SPACE.upper[i] - SPACE.lower[i]) / np.sqrt(12)
        assert result.noise_errors[name].value == pytest.approx(nothing, rel=1e-2)


def test_flags_of_fluxes(exact):
    z = np.zeros((4, K))
    z[1, 2] = -1.01  # a little below v sin i = 0
    z[2, 1] = 1.5  # far above log g = 5
    flux = fluxes(exact, z)
    flux[3] += 0.05 * np.sin(WAVELENGTH)
    result = invert(flux, inversion=exact)
    assert result.flags == [
        (),
        (),  # nothing lies beyond v sin i = 0
        ("at-bound:logg", "outside-domain:logg"),
        ("unlike-training",),
    ]
    assert result.vsini[1].value == 0 and result.logg[2].value == 5
    assert result.residual_rms[3] == pytest.approx(0.05 / np.sqrt(2), rel=0.05)
    far = replace(exact, limits=Limits(0.5, 2e-3))
    assert "unlike-training" in invert(fluxes(exact, np.full(K, 0.7)), inversion=far).flags


def test_labels_at_an_upper_limit_are_flagged(exact):
    """By the rule of fits, and also those that begin at 0; Teff from further away."""
    values, errors = (SPACE.lower + SPACE.upper) / 2, (SPACE.upper - SPACE.lower) / 100
    for i, name in enumerate(SPACE.names):
        at = np.where(np.arange(len(SPACE)) == i, SPACE.upper, values)
        far = 4.0 if name == "teff" else 1.3
        for away, flagged in ((0, True), (far - 0.1, True), (far + 0.1, False)):
            assert (f"at-bound:{name}" in flags_of(exact, at - away * errors, errors, errors, unlike=False)) is flagged
        unknown = (SPACE.upper - SPACE.lower) / 5  # of 0.29 with no information
        assert f"at-bound:{name}" not in flags_of(exact, at - 0.5 * unknown, unknown, unknown, unlike=False)
        assert f"at-bound:{name}" in flags_of(exact, at, unknown, unknown, unlike=False)


def test_labels_at_a_lower_limit_are_flagged(exact):
    """Nothing lies beyond a rotation, or a microturbulence, of zero."""
    values, errors = (SPACE.lower + SPACE.upper) / 2, (SPACE.upper - SPACE.lower) / 100
    for i, name in enumerate(SPACE.names):
        at = np.where(np.arange(len(SPACE)) == i, SPACE.lower, values)
        far = 4.0 if name == "teff" else 1.3
        for away, near in ((-0.5, True), (far - 0.1, True), (far + 0.1, False)):
            flagged = f"at-bound:{name}" in flags_of(exact, at + away * errors, errors, errors, unlike=False)
            assert flagged is (near and name not in ("vsini", "vmic"))


def test_a_logarithm_of_0_is_a_limit(exact):
    labels = tuple(replace(one, lower=0.0) if one.name == "logg" else one for one in SPACE.labels)
    giants = replace(exact, labels=replace(SPACE, labels=labels))
    z = np.zeros(K)
    z[1] = -1.05
    assert "at-bound:logg" in invert(fluxes(giants, z), inversion=giants).flags


@pytest.mark.parametrize(
    ("flux", "settings", "message"),
    [
        (np.ones(10), {}, r"fluxes have the shape \(10,\): give \(4000,\)"),
        (np.ones((2, 2, 4000)), {}, "shape"),
        (np.ones((0, 4000)), {}, "shape"),
        (
            np.where(np.arange(4000) == 5, np.nan, 1),
            {},
            "1 fluxes are not finite, or masked: give a Spectrum with a mask",
        ),
        ("spectrum.fits", {}, "spectrum is a str: give a specutils Spectrum"),
        (np.ones(4000) * u.Jy, {}, "give a specutils Spectrum"),
        (np.ones(4000), {"sigma": np.ones(3)}, "sigma does not fit"),
        (np.ones(4000), {"sigma": -1}, "negative"),
        (np.ones(4000), {"radial_velocity": 3.0}, "radial_velocity= is for a Spectrum"),
        (np.ones(4000), {"mask": None}, "mask= is for a Spectrum"),
        (np.ones(4000), {"medium": "air"}, "medium= is for a Spectrum"),
    ],
)
def test_bad_fluxes(exact, flux, settings, message):
    with pytest.raises(SpectrumError, match=message) as raised:
        invert(flux, inversion=exact, **settings)
    assert "\n" not in str(raised.value)


def test_table(exact, stars, tmp_path):
    one = invert(observed(exact, stars[0]), inversion=exact, **PLAIN)
    many = invert(fluxes(exact, stars), inversion=exact)
    row, rows = one.to_table(), many.to_table()
    assert row["source_id"].tolist() == [7] and rows["source_id"].mask.tolist() == [True] * 12
    assert row.colnames[:6] == ["file", "source_id", "transit_id", "obs_time_rv", "ra", "dec"]
    (flags,) = meant_without_noise(one)
    assert row["flag_bits"].tolist() == [to_bits(flags)]
    assert row["radial_velocity"].unit == u.km / u.s
    assert row["flags"].tolist() == [",".join(flags) or "none"]
    assert row["teff_error"].unit == u.K and len(rows["vmic"]) == 12
    assert row["recipe"][0] == "exact" and row["inversion_version"][0] == "1"
    row.write(tmp_path / "t.ecsv")
    np.testing.assert_allclose(QTable.read(tmp_path / "t.ecsv")["teff"].value, one.teff.value)
    assert "teff" in repr(one) and f"flags: {', '.join(flags) or 'none'}" in repr(one)
    assert all(f"{flag}: " in one._repr_html_() for flag in flags or ("flags",))
    assert "teff" in dir(one)
    with pytest.raises(AttributeError, match="no attribute 'age'"):
        _ = one.age


def test_copies_of_results_are_equal(exact, stars):
    for result in (
        invert(observed(exact, stars[0]), inversion=exact, **PLAIN),
        invert(fluxes(exact, stars), inversion=exact),
    ):
        for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
            assert again == result
        assert replace(result, n_pixels=result.n_pixels + 1) != result


def test_intervals_stay_in_the_domain(exact):
    """A star that does not rotate, and one beyond the largest gravity."""
    z = np.zeros((2, K))
    z[0, 2], z[1, 1] = -1.0, 1.3
    interval = invert(fluxes(exact, z), inversion=exact).interval(0.95)
    assert interval["vsini"].shape == (2, 2) and interval["vsini"][0, 0] == 0
    assert interval["vsini"][1, 0].value == pytest.approx(1.959964 * 3, rel=0.01)
    assert interval["logg"][1, 1].value == 5
    observed_one = invert(observed(exact, z[0]), inversion=exact, **PLAIN)
    low, high = observed_one.interval()["radial_velocity"]
    assert low < observed_one.radial_velocity < high


def test_upper_limits_are_where_v_sin_i_may_be_zero(exact):
    """Of one spectrum and of many: the root of the 95 % quantile of its square; NaN where it is not zero."""
    z = np.zeros((2, K))
    z[0, 2], z[1, 2] = -1.0, 0.5
    many = invert(fluxes(exact, z), inversion=exact)
    one = invert(fluxes(exact, z)[0], inversion=exact)
    low, high = many.limits["vsini"]
    expected = np.sqrt(1.644854 * 2 * 0.02 * (high - low) * many.errors["vsini"][0].value)
    limit = many.upper_limits()["vsini"]
    assert limit.unit == u.km / u.s and np.isnan(limit[1])
    assert limit[0].value == pytest.approx(expected, rel=1e-3)
    assert one.upper_limits()["vsini"].value == pytest.approx(expected, rel=1e-3)
    assert f"vsini below {expected:.2g} km / s (95 %)" in repr(one)
    np.testing.assert_array_equal(many.to_table()["vsini_upper_limit"], limit)
    fast = invert(fluxes(exact, z)[1], inversion=exact)
    assert fast.upper_limits() == {} and np.isnan(fast.to_table()["vsini_upper_limit"][0])


def test_an_inversion_is_frozen(exact, stars):
    again = pickle.loads(pickle.dumps(exact))
    assert again == exact == copy.deepcopy(exact) and hash(again) == hash(exact)
    assert replace(exact, limits=Limits(1.0, 1.0)) != exact
    for part in (exact, again, exact.principal, exact.error, exact.limits):
        for name in part.__dataclass_fields__:
            with pytest.raises(FrozenError, match=rf"{name} cannot be changed"):
                setattr(part, name, None)
    for array in (again.principal.basis, again.error.sigma, again.residual, again.wavelength):
        with pytest.raises(ValueError, match="read-only"):
            array[..., 0] = 1
    louder = replace(exact, error=replace(exact.error, sigma=2 * exact.error.sigma))
    flux = fluxes(exact, stars)
    np.testing.assert_allclose(louder.estimate(flux)[1], 2 * exact.estimate(flux)[1])


@pytest.mark.parametrize(
    ("flux", "sigma", "flag"),
    [
        (lambda flux: -flux, None, "unlike-training"),
        (lambda flux: 1 + 2 * (1 - flux), None, "unlike-training"),  # lines in emission
        (lambda flux: flux + 0.1 * np.sin(np.arange(4000)), None, "unlike-training"),
        (lambda flux: flux, 1e3, "no-information"),
        (lambda flux: flux, None, None),
    ],
)
def test_spectra_that_tell_nothing(flux, sigma, flag):
    """With the inversion that comes with the package."""
    sun = rvsemu.generate(teff=5777, logg=4.44, vsini=2).flux.value
    flags = invert(flux(sun), sigma=sigma).flags
    assert flag in flags if flag else flags == ()
