"""Results in common: labels as attributes, equality, tables that can be matched, and the registry of flags."""

import copy
import io
import pickle
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, vstack
from astropy.time import Time

from rvsemu.errors import RvsemuError, SpectrumWarning
from rvsemu.observing import flags
from rvsemu.observing.results import Result, normal_interval


@dataclass(frozen=True, repr=False, eq=False)
class Two(Result):
    """A result of two labels, one of them fixed."""

    labels: dict
    errors: dict
    flags: tuple | list
    meta: dict = field(default_factory=dict)

    def interval(self, level=0.68):
        return {"teff": normal_interval(self.teff, self.errors["teff"], (3600.0, 15000.0), level)}

    def _quality(self):
        return ["reduced chi2 1.00"]

    def _columns(self):
        return {"chi2": np.full(np.size(self.teff), 3.0)}


def two(teff=5000.0, error=100.0, given=(), meta=None):
    zero = np.zeros(np.shape(teff))
    labels = {"teff": teff * u.K, "vmic": u.Quantity(zero + 1.0, u.km / u.s)}
    return Two(labels, {"teff": error * u.K, "vmic": zero * u.km / u.s}, given, meta or {})


KNOWN = {
    "file": "a.csv",
    "source_id": 2**62 + 1,
    "transit_id": 17,
    "obs_time_rv": 4000.5,
    "ra": 280.1 * u.deg,
    "dec": -3.5,
}


def test_labels_are_attributes():
    result = two()
    assert result.teff == 5000 * u.K and {"teff", "vmic"} <= set(dir(result))
    with pytest.raises(AttributeError, match="Two has no attribute 'age'; its labels are teff, vmic"):
        _ = result.age


def test_copies_are_equal_and_others_are_not():
    result = two(np.array([5000.0, np.nan]), np.array([1.0, 2.0]), [(), ("poor-fit",)], KNOWN)
    for again in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert again == result and not again != result
    assert result != two(np.array([5000.0, 1.0]), np.array([1.0, 2.0]), [(), ("poor-fit",)], KNOWN)
    assert result != two(np.array([5000.0, np.nan]), np.array([1.0, 2.0]), [(), ()], KNOWN)
    assert two() != "two" and two() != two(meta={"source_id": 1})


def test_shown_as_text_and_html():
    result = two(given=("at-bound:vmic",))
    assert repr(result).splitlines() == [
        "<Two",
        "  teff            5000 +- 100 K",
        "  vmic            1 (fixed) km / s",
        "  reduced chi2 1.00",
        "  flags: at-bound:vmic>",
    ]
    html = result._repr_html_()
    assert "5000 +- 100" in html and "at-bound:vmic: A label is at a limit" in html and html.count("<table") == 1
    assert "flags: none" in two()._repr_html_()
    many = two(np.array([5000.0, 6000.0]), np.array([1.0, 2.0]), [(), ("poor-fit",)])
    assert repr(many) == "<Two of 2 spectra: teff, vmic>" and "poor-fit" in many._repr_html_()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source_id", "HD 176650"),
        ("source_id", np.nan),
        ("source_id", 2052747119115620353.0),  # which has lost its last digits
        ("ra", "05 23 11"),
        ("ra", 5 * u.km),
        ("obs_time_rv", "2020-01-01"),
    ],
)
def test_what_is_no_number_is_left_out_with_a_warning(name, value):
    with pytest.warns(SpectrumWarning, match=rf"meta\['{name}'\]=.* is not a (whole )?number, and left out"):
        table = two(meta=KNOWN | {name: value}).to_table()
    assert np.all(table[name].mask) and not np.any(table["file"].mask)
    good = two(meta=KNOWN | {"source_id": np.uint64(2**62 + 3), "ra": "12.5"}).to_table()
    assert (int(good["source_id"][0]), good["ra"][0].value) == (2**62 + 3, 12.5)


@pytest.mark.parametrize(
    ("time", "days"),
    [
        (Time(2455197.5, format="jd", scale="tcb"), 0.0),
        (Time("2020-01-01T00:00:00", scale="tcb"), 3652.0),
        (Time(58849.0, format="mjd", scale="tdb"), 3652.0 + 21.0 / 86400),  # TCB runs ahead of TDB
        (96 * u.hour, 4.0),
    ],
)
def test_times_are_days_of_the_archive(time, days):
    table = two(meta=KNOWN | {"obs_time_rv": time}).to_table()
    assert float(table["obs_time_rv"][0]) == pytest.approx(days, abs=1e-5)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot"])
def test_rows_can_be_matched(tmp_path, suffix):
    """What names a spectrum comes first, survives files, and is masked, not -1, where it is unknown."""
    table = vstack([two(given=("poor-fit",), meta=KNOWN).to_table(), two(meta={"source_id": 5}).to_table()])
    assert table.colnames[:7] == ["file", "source_id", "transit_id", "obs_time_rv", "ra", "dec", "teff"]
    assert table.colnames[-4:] == ["flags", "flag_bits", "recipe", "emulator_version"]
    table.write(tmp_path / f"t{suffix}", format="votable" if suffix == ".vot" else None)
    again = QTable.read(tmp_path / f"t{suffix}", **({"format": "votable"} if suffix == ".vot" else {}))
    assert [int(x) for x in again["source_id"]] == [2**62 + 1, 5]
    assert int(again["transit_id"][0]) == 17 and str(again["file"][0]) == "a.csv"
    for name in ("transit_id", "obs_time_rv", "ra", "dec"):
        assert table[name].mask.tolist() == [False, True]
    np.testing.assert_allclose(np.asarray(u.Quantity(again["ra"][:1]).value), [280.1])
    assert [str(x) for x in again["flags"]] == ["poor-fit", "none"] and [int(x) for x in again["flag_bits"]] == [32, 0]


def test_intervals_stay_in_the_range():
    low, high = normal_interval(3700 * u.K, 300 * u.K, (3600.0, 15000.0), 0.95)
    assert low == 3600 * u.K
    np.testing.assert_allclose(high.value, 3700 + 1.959964 * 300, rtol=1e-6)
    many = normal_interval([4000, 15000] * u.K, [10, 10] * u.K, (3600.0, 15000.0), 0.6826895)
    np.testing.assert_allclose(many.value, [[3990, 14990], [4010, 15000]], rtol=1e-6)


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, np.nan, "all", None])
def test_levels_are_probabilities(level):
    with pytest.raises(RvsemuError, match="level=.*: give a probability between 0 and 1"):
        two().interval(level)


def test_bits_of_flags():
    assert [flags.to_bits((name,)) for name in flags.FLAGS] == [2**i for i in range(len(flags.FLAGS))]
    every = 2 ** len(flags.FLAGS)
    for bits in (0, every - 1, *np.random.default_rng(0).integers(every, size=500).tolist()):
        assert flags.to_bits(flags.from_bits(bits)) == bits
    with pytest.raises(RvsemuError, match="flag 'good' is unknown: the flags are at-bound, "):
        flags.to_bits(("good",))
    most = 2 ** len(flags.FLAGS) - 1
    with pytest.raises(RvsemuError, match=rf"bits={most + 1}: give a number from 0 to {most}"):
        flags.from_bits(most + 1)


def test_every_flag_is_in_the_documented_table():
    for i, (name, text) in enumerate(flags.FLAGS.items()):
        assert re.search(rf"(?m)^{2**i} +``{name}`` ", flags.__doc__) and text in flags.__doc__
    core = pytest.importorskip("docutils.core", reason="docutils reads the table: pip install rvsemu[docs]")
    assert core.publish_string(flags.__doc__, settings_overrides={"warning_stream": io.StringIO(), "halt_level": 2})
