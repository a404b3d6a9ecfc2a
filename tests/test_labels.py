"""Labels: units, domain checks, broadcasting, scaling."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Column, MaskedColumn
from astropy.utils.masked import Masked

from rvsemu.emulator.labels import PAPER_LABELS, Label, LabelSpace
from rvsemu.errors import LabelError, RvsemuError

SUN = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0, "vmic": 1, "resolution": 11500}
CGS = u.dex(u.cm / u.s**2)


@pytest.fixture
def space():
    return LabelSpace()


@pytest.fixture(params=["linear", "log"])
def scaled_space(request):
    """The paper's labels; with 'log' the two that the default recipe takes the logarithm of."""
    chosen = ("teff", "resolution") if request.param == "log" else ()
    return LabelSpace(tuple(replace(x, transform="log") if x.name in chosen else x for x in PAPER_LABELS))


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("teff", 5777 * u.K, 5777),
        ("teff", 5777e3 * u.mK, 5777),
        ("teff", 5.777 * u.kK, 5777),
        ("vsini", 20 * u.km / u.s, 20),
        ("vsini", 20000 * u.m / u.s, 20),
        ("vmic", 1500 * u.m / u.s, 1.5),
        ("logg", 4.44 * u.dex, 4.44),
        ("logg", 4.44 * CGS, 4.44),
        ("logg", 2.44 * u.dex(u.m / u.s**2), 4.44),
        ("logg", u.Quantity(4.44), 4.44),
        ("mh", -0.5 * u.dex, -0.5),
        ("mh", -0.5 * u.dex(u.dimensionless_unscaled), -0.5),
        ("mh", u.Quantity(-0.5), -0.5),
        ("resolution", u.Quantity(11500), 11500),
        ("resolution", 11500, 11500),
        ("teff", np.float32(5777), 5777),
        ("teff", u.Quantity([5000 * u.K, 6e6 * u.mK]), [5000, 6000]),
        ("teff", Column([5.0, 6.0], unit="kK"), [5000, 6000]),
        ("logg", Column([4.0, 4.4], unit=CGS), [4.0, 4.4]),
        ("teff", Column([5000.0, 6000.0]), [5000, 6000]),
        ("teff", MaskedColumn([5.0, 6.0], unit="kK", mask=[False, False]), [5000, 6000]),
    ],
)
def test_units_are_converted(space, name, given, expected):
    np.testing.assert_allclose(space[name].value(given), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("teff", 5777 * u.m),
        ("teff", 5777 * u.deg_C),
        ("teff", u.Quantity(5777)),
        ("teff", 0.5 * u.eV),
        ("vsini", 2 * u.K),
        ("vsini", 2 * u.km),
        ("vsini", 2 * u.dex),
        ("vmic", u.Quantity(1)),
        ("logg", 274 * u.m / u.s**2),
        ("logg", 4.4 * u.dex(u.K)),
        ("logg", 4.4 * u.mag),
        ("logg", 4.4 * u.K),
        ("mh", 0.1 * u.mag),
        ("mh", 3.0 * CGS),
        ("mh", 0.1 * u.km / u.s),
        ("resolution", 11500 * u.AA),
        ("resolution", 11500 * u.dex),
        ("resolution", u.Dex(4.06)),
        ("mh", u.Decibel(1.0)),
        ("mh", u.Magnitude(0.1)),
        ("logg", u.Magnitude(-1.6)),
        ("teff", Column([5.0, 6.0], unit="km")),
        ("teff", np.full(100, 5777.0) * u.m),
    ],
)
def test_wrong_units_name_the_argument(space, name, given):
    """One line that names label, unit and what to give instead, also for long arrays."""
    with pytest.raises(LabelError, match=rf"^{name}=.*'{given.unit}'".replace("(", r"\(").replace(")", r"\)")) as e:
        space.values(**{**SUN, name: given})
    assert "give a value" in str(e.value)
    assert "\n" not in str(e.value)


def test_none_is_named(space):
    with pytest.raises(LabelError, match="^teff=None is not finite"):
        space.values(**{**SUN, "teff": [5000.0, None]})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, [5000.0, np.nan], None, np.nan * u.K])
def test_not_finite(space, bad):
    with pytest.raises(
        LabelError, match=r"^teff=(nan|inf|-inf|None) is not finite: give a value in K within 3600 to 15000"
    ):
        space.values(**{**SUN, "teff": bad})


def test_not_finite_even_when_extrapolating(space):
    with pytest.raises(LabelError, match="logg=nan"):
        space.values(extrapolate=True, **{**SUN, "logg": np.nan})


SECONDS = np.array([2, 3], dtype="m8[s]")


@pytest.mark.parametrize(
    "bad", ["hot", {"a": 1}, [1.0, [2.0, 3.0]], [2 * u.m / u.s, "hot"], 1 + 2j, np.array([1 + 2j]), SECONDS]
)
def test_not_a_number(space, bad):
    with pytest.raises(LabelError, match=r"^vsini=.* is not a number: give a value in km/s within 0 to 300"):
        space.values(**{**SUN, "vsini": bad})


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.masked_array([5000.0, 1.0], mask=[False, True]),
        MaskedColumn([5000.0, 1.0], mask=[False, True]),
        Masked([5000.0, 1.0] * u.K, mask=[False, True]),
        [np.ma.masked_array([5000.0, 1.0], mask=[False, True])],
        [5000.0, np.ma.masked],
    ],
    ids=["numpy", "column", "quantity", "list", "element"],
)
def test_masked_values_are_not_used(space, bad):
    with pytest.raises(LabelError, match="teff has masked values"):
        space.values(extrapolate=True, **{**SUN, "teff": bad})


@pytest.mark.parametrize("given", [[[30.0, 20.0] * u.m / u.s], ([[1.0] * u.km / u.s, [2.0] * u.m / u.s],)])
def test_units_in_lists_of_arrays_are_not_dropped(space, given):
    with pytest.raises(LabelError, match=r"^vsini has a list of arrays with units: make one array .*Quantity"):
        space.values(**{**SUN, "vsini": given})


def test_lists_of_quantities_are_quantities(space):
    assert space["vsini"].value([2 * u.km / u.s, 500 * u.m / u.s]).tolist() == [2.0, 0.5]
    assert space["teff"].value((5 * u.kK, 5100 * u.K)).tolist() == pytest.approx([5000.0, 5100.0])
    for bad in ([5000 * u.K, 5100.0], [5000 * u.K, 2 * u.m], [5000 * u.K, None]):
        with pytest.raises(LabelError, match=r"^teff=.*is not a number: give a value in K within 3600 to 15000"):
            space["teff"].value(bad)


def test_lists_of_arrays_without_units_are_arrays(space):
    assert space["vsini"].value([np.array([30.0, 20.0]), [1, 2]]).tolist() == [[30.0, 20.0], [1.0, 2.0]]
    assert space["mh"].value([0.1 * u.one, 20 * u.percent]).tolist() == [0.1, 0.2]
    assert space["mh"].value(u.Dex(0.1)) == 0.1


@pytest.mark.parametrize("label", PAPER_LABELS, ids=lambda x: x.name)
def test_out_of_range(space, label):
    """The message has name, value, range and remedy; the bounds themselves are inside."""
    for bound, step in ((label.lower, -1), (label.upper, 1)):
        assert space[label.name].check(np.array(bound)) is None
        bad = bound + step * 1.25e-3
        with pytest.raises(LabelError) as e:
            space.values(**{**SUN, label.name: [bound, bad]})
        message = str(e.value)
        assert message.startswith(f"{label.name}={bad:.10g}")
        assert f"outside {label.lower:g} to {label.upper:g}" in message
        assert "extrapolate=True" in message
        row = space.values(extrapolate=True, **{**SUN, label.name: bad})
        assert row[space.names.index(label.name)] == bad
        assert not space.inside(row)


def test_out_of_range_after_conversion(space):
    """A value in another unit is checked, and told, in the label's own."""
    with pytest.raises(LabelError, match="vsini=400 km/s is outside 0 to 300 km/s"):
        space.values(**{**SUN, "vsini": 400_000 * u.m / u.s})


@pytest.mark.parametrize(("name", "bad"), [("mh", 1e300), ("mh", -1e6), ("vsini", 1e200), ("teff", 1e300)])
def test_nothing_is_extrapolated_to_where_networks_overflow(space, name, bad):
    with pytest.raises(LabelError, match=rf"^{name}=.* is too far away to be extrapolated to: give a value"):
        space.values(extrapolate=True, **{**SUN, name: [SUN[name], bad]})


@pytest.mark.parametrize("bad", [0.0, -100.0])
def test_no_logarithm_of_what_is_not_positive(scaled_space, bad):
    """Extrapolation stops where a logarithm does: an error rather than a spectrum of NaN."""
    values = {**SUN, "teff": [5777.0, bad]}
    if scaled_space["teff"].transform == "log":
        with pytest.raises(LabelError, match=rf"teff={bad:g} is not positive"):
            scaled_space.values(extrapolate=True, **values)
    else:
        assert np.isfinite(scaled_space.scaled(scaled_space.values(extrapolate=True, **values))).all()


@pytest.mark.parametrize("name", list(SUN))
def test_missing(space, name):
    with pytest.raises(LabelError, match=rf"^{name} is missing: give all of teff, logg, vsini"):
        space.values(**{k: v for k, v in SUN.items() if k != name})


def test_unknown(space):
    with pytest.raises(LabelError, match="no label 'alpha': the labels are teff, logg"):
        space.values(alpha=0.4, **SUN)
    with pytest.raises(LabelError, match="no label 'alpha'"):
        space["alpha"]


def test_label_errors_are_value_errors():
    assert issubclass(LabelError, RvsemuError) and issubclass(RvsemuError, ValueError)


def test_order_of_arguments_does_not_matter(space):
    expected = [5777, 4.44, 2, 0, 1, 11500]
    np.testing.assert_array_equal(space.values(**SUN), expected)
    np.testing.assert_array_equal(space.values(**dict(reversed(SUN.items()))), expected)


@pytest.mark.parametrize(
    ("teff", "logg", "shape"),
    [
        (5777, 4.44, (6,)),
        ([5000, 6000, 7000], 4.44, (3, 6)),
        ([[5000], [6000]], [4.0, 4.2, 4.4], (2, 3, 6)),
        (np.full((2, 1, 3), 5000), [[4.0], [4.4]], (2, 2, 3, 6)),
        (np.empty(0), 4.44, (0, 6)),
    ],
)
def test_broadcasting(space, teff, logg, shape):
    values = space.values(**{**SUN, "teff": teff, "logg": logg})
    assert values.shape == shape
    assert values.dtype == float
    np.testing.assert_array_equal(values[..., 0], np.broadcast_to(teff, shape[:-1]))
    np.testing.assert_array_equal(values[..., 1], np.broadcast_to(logg, shape[:-1]))
    assert np.all(values[..., 5] == 11500)
    assert space.inside(values).shape == shape[:-1]


def test_shapes_that_do_not_broadcast(space):
    with pytest.raises(LabelError, match=r"do not broadcast: teff \(2,\), logg \(3,\)"):
        space.values(**{**SUN, "teff": [5000, 6000], "logg": [4.0, 4.1, 4.2]})


def test_domain_is_mapped_to_unit_box(scaled_space):
    np.testing.assert_allclose(scaled_space.scaled(scaled_space.lower), -1, atol=1e-14)
    np.testing.assert_allclose(scaled_space.scaled(scaled_space.upper), 1, atol=1e-14)
    middle = [
        np.sqrt(x.lower * x.upper) if x.transform == "log" else (x.lower + x.upper) / 2 for x in scaled_space.labels
    ]
    np.testing.assert_allclose(scaled_space.scaled(np.array(middle)), 0, atol=1e-14)


def test_slope_is_the_derivative_of_scaled(scaled_space):
    values = np.random.default_rng(1).uniform(scaled_space.lower, scaled_space.upper, (5, 4, 6))
    step = 1e-5 * (scaled_space.upper - scaled_space.lower)
    difference = (scaled_space.scaled(values + step) - scaled_space.scaled(values - step)) / (2 * step)
    assert scaled_space.slope(values).shape == values.shape
    np.testing.assert_allclose(scaled_space.slope(values), difference, rtol=1e-7)


@pytest.mark.parametrize("unit", [1, u.dex])
def test_single_precision_is_not_outside_at_a_limit(unit):
    """Catalogues have labels as float32, of which 0.6 is 0.60000002 and -0.2 is -0.200000003."""
    label = Label("alpha", "dex", -0.2, 0.6)
    values = label.value(np.array([-0.2, 0.1, 0.6], dtype="f4") * unit)
    label.check(values)
    assert values.tolist() == [-0.2, 0.1, 0.6]
    with pytest.raises(LabelError, match="alpha=0.6001 dex is outside"):
        label.check(label.value(np.array([0.6001], dtype="f4")))


def test_scaling_is_monotonic(scaled_space):
    values = np.linspace(scaled_space.lower, scaled_space.upper, 50)
    assert np.all(np.diff(scaled_space.scaled(values), axis=0) > 0)


@pytest.mark.parametrize("label", PAPER_LABELS, ids=lambda x: x.name)
def test_quantity_goes_there_and_back(space, label):
    quantity = space.quantity(label.name, label.upper)
    assert isinstance(quantity, u.Quantity)
    assert space[label.name].value(quantity) == label.upper


@pytest.mark.parametrize(
    "wrong", [{"transform": "cube"}, {"lower": 1.0, "upper": 1.0}, {"lower": 2.0}, {"upper": float("nan")}]
)
def test_impossible_label(wrong):
    with pytest.raises(ValueError, match="label x"):
        Label(**{"name": "x", "unit": "", "lower": 0.0, "upper": 1.0, **wrong})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": 5}, "name 5"),
        ({"name": "two words"}, "name 'two words'"),
        ({"unit": "nonsense"}, "'nonsense' is no unit"),
        ({"unit": 5}, "no text"),
        ({"lower": -np.inf}, "no finite numbers"),
        ({"upper": "high"}, "no finite numbers"),
        ({"upper": np.ones(1)}, "no finite numbers"),
        ({"lower": 0.0, "transform": "log"}, "'log' has no values from 0 on"),
        ({"lower": -2.0, "transform": "even"}, "'even' has no values from -2 on"),
    ],
)
def test_label_of_the_wrong_kind(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        Label(**{"name": "x", "unit": "", "lower": 0.0, "upper": 1.0, **wrong})


def test_paper_ranges(space):
    """Gebran (2024), Table 1."""
    assert space.names == ("teff", "logg", "vsini", "mh", "vmic", "resolution")
    assert space.lower.tolist() == [3600, 2, 0, -1.5, 0, 5000]
    assert space.upper.tolist() == [15000, 5, 300, 1.5, 4, 14500]


@pytest.mark.parametrize("transform", ["linear", "log"])
def test_unscaled_is_the_inverse_of_scaled(transform):
    label = Label("teff", "K", 3600.0, 15000.0, transform)
    values = np.linspace(3000, 16000, 30)  # beyond the domain, too
    np.testing.assert_allclose(label.unscaled(label.scaled(values)), values, rtol=1e-12)
    np.testing.assert_allclose(label.unscaled(np.array([-1.0, 1.0])), [3600, 15000], rtol=1e-12)
    assert label.unscaled(np.array([-1.0, 1.0])).tolist() == [
        3600.0,
        15000.0,
    ]  # exactly, or a limit is not known as one
    space = LabelSpace((label, Label("logg", "dex", 2.0, 5.0)))
    rows = np.array([[4000.0, 2.5], [14000.0, 6.0]])
    np.testing.assert_allclose(space.unscaled(space.scaled(rows)), rows, rtol=1e-12)


def test_labels_that_act_by_their_square():
    """The same on both sides of 0, where the slope is 0; the inverse and the derivative within the domain."""
    label = Label("vsini", "km/s", 0.0, 300.0, "even")
    values = np.linspace(0.0, 300.0, 61)
    np.testing.assert_allclose(label.unscaled(label.scaled(values)), values, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(label.scaled(-values), label.scaled(values))
    np.testing.assert_allclose(label.scaled(np.array([0.0, 300.0])), [-1, 1])
    step = 1e-4
    difference = (label.scaled(values + step) - label.scaled(values - step)) / (2 * step)
    np.testing.assert_allclose(label.slope(values), difference, atol=1e-9)
    near = label.scaled(np.array([0.0, 1.0, 2.0]))
    assert (near[2] - near[0]) / (near[1] - near[0]) == pytest.approx(4.0, rel=0.05)
    assert label.unscaled(np.array([-1.2])) == 0.0  # nothing lies beyond
