"""Comparisons: who is matched and who is not, statistics of known differences, flags and calibrations of GSP-Spec."""

import re
from decimal import Decimal

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Column, MaskedColumn, QTable, Table

from rvsemu.errors import ComparisonError, RvsemuError, SettingsError

pytest.importorskip("pyarrow.parquet")
comparison = pytest.importorskip("rvsemu.comparison")
BIG = 2**62 + 1  # floats have no odd numbers from 2**53 on
GOOD = "0" * 13 + "9" * 28


def fits_table(n=6, **columns):
    """Fits of stars of 5000, 5100, ... K, whose source_ids differ by one."""
    table = Table({"source_id": BIG + np.arange(n), "teff": 5000.0 + 100 * np.arange(n)})
    table["logg"], table["mh"] = np.linspace(2, 4.5, n), np.linspace(-1, 0.2, n)
    for name, error in (("teff", 30.0), ("logg", 0.1), ("mh", 0.05)):
        table[f"{name}_error"] = np.full(n, error)
    table["flags"] = ["none"] * n
    for name, values in columns.items():
        table[name] = values
    return table


def reference_table(n=6, **columns):
    """The same stars, all 20 K cooler."""
    table = Table({"source_id": BIG + np.arange(n), "teff": 4980.0 + 100 * np.arange(n), "teff_error": [40.0] * n})
    for name, values in columns.items():
        table[name] = values
    return table


def gspspec_table(n=6, **columns):
    table = Table({"source_id": BIG + np.arange(n)})
    for name, values, half in (
        ("teff", 5000.0 + 100 * np.arange(n), 40.0),
        ("logg", np.linspace(2, 4.5, n), 0.2),
        ("mh", np.linspace(-1, 0.2, n), 0.1),
        ("alphafe", np.full(n, 0.1), 0.05),
    ):
        table[f"{name}_gspspec"] = values
        table[f"{name}_gspspec_lower"], table[f"{name}_gspspec_upper"] = values - half, values + half
    table["flags_gspspec"] = [GOOD] * n
    for name, values in columns.items():
        table[name] = values
    return table


def overall(result, label):
    (row,) = [row for row in result.table if (row["label"], row["region"]) == (label, "all")]
    return row


# ---------------------------------------------------------------- who is matched
def test_identifiers_are_matched_to_the_last_digit():
    result = comparison.compare(fits_table(), reference_table()[::-1])
    assert result.matched == 6 and result.labels == ("teff",)
    assert result.pairs["source_id"].tolist() == [BIG + i for i in range(6)]
    assert result.difference("teff").tolist() == [20.0] * 6
    one_off = reference_table(2, source_id=np.array([BIG + 5, BIG + 6]))
    result = comparison.compare(fits_table(), one_off)
    assert result.pairs["source_id"].tolist() == [BIG + 5]
    assert result.lost == {"not in the reference": 5}


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "vot", "parquet", "csv.gz"])
def test_every_format_of_both(tmp_path, ending):
    ours, theirs = fits_table(), gspspec_table()
    formats = {"csv": "ascii.csv", "csv.gz": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}
    ours["teff"] = MaskedColumn(ours["teff"], mask=[False] * 5 + [True])
    theirs["source_id"] = MaskedColumn(theirs["source_id"], mask=[True] + [False] * 5)
    if not ending.startswith("csv"):
        theirs["teff_gspspec"] = theirs["teff_gspspec"] / 1000
        theirs["teff_gspspec"].unit = "kK"
    for name, table in (("ours", ours), ("theirs", theirs)):
        path = tmp_path / f"{name}.{ending}"
        if ending == "csv.gz":
            import gzip

            table.write(tmp_path / "plain", format="ascii.csv", overwrite=True)
            path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
        else:
            table.write(path, format=formats.get(ending))
    result = comparison.compare(tmp_path / f"ours.{ending}", tmp_path / f"theirs.{ending}")
    assert result.pairs["source_id"].tolist() == [BIG + i for i in range(1, 6)]
    assert dict(result.steps)["its first 13 characters up to 0"] == 5
    assert overall(result, "teff")["n"] == 4 and overall(result, "logg")["n"] == 5
    np.testing.assert_allclose(result.pairs["teff_reference"].value, 5000.0 + 100 * np.arange(1, 6))
    np.testing.assert_allclose(result.pairs["mh_reference_error"].value, 0.1)


def test_csv_of_spreadsheets(tmp_path):
    """They write a mark of the order of bytes first, and people blanks behind commas."""
    path = tmp_path / "theirs.csv"
    reference_table().write(path, format="ascii.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b",", b", "))
    result = comparison.compare(fits_table(), path)
    assert result.pairs["source_id"].tolist() == [BIG + i for i in range(6)]
    assert result.difference("teff").tolist() == [20.0] * 6
    path.write_text("")
    with pytest.raises(ComparisonError, match=r"theirs.csv cannot be read as a table \(it is empty\)"):
        comparison.compare(fits_table(), path)


def test_decimals_of_parquet(tmp_path):
    """Databases write integers and numbers so."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    ids = [*(Decimal(BIG + i) for i in range(1, 6)), None]
    columns = {"source_id": ids, "teff": [Decimal(f"{5000 + 100 * i}.25") for i in range(1, 7)]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    result = comparison.compare(fits_table(), tmp_path / "a.parquet")
    assert result.pairs["source_id"].tolist() == [BIG + i for i in range(1, 6)]
    np.testing.assert_allclose(result.pairs["teff_reference"].value, 5000.25 + 100 * np.arange(1, 6))
    columns["source_id"] = [Decimal(f"{BIG + i}.0") for i in range(1, 7)]
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    with pytest.raises(ComparisonError, match="column source_id has floats, which lose the last digits"):
        comparison.compare(fits_table(), tmp_path / "b.parquet")


def test_unsigned_integers_of_fits_keep_their_digits(tmp_path):
    """Source_ids, and other columns, of 64 bits."""
    theirs = reference_table(bits=np.array([2**63 + i for i in range(6)], dtype="u8"), small=np.arange(6, dtype="u4"))
    theirs["source_id"] = np.asarray(theirs["source_id"]).astype("u8")
    theirs.write(tmp_path / "theirs.fits")
    result = comparison.compare(fits_table(), tmp_path / "theirs.fits")
    np.testing.assert_array_equal(result.pairs["source_id"], fits_table()["source_id"])
    for cut, left in ((f"bits == {2**63 + 3}", [3]), ("small >= 4", [4, 5])):
        result = comparison.compare(fits_table(), tmp_path / "theirs.fits", cuts=[cut])
        assert (result.pairs["source_id"] - BIG).tolist() == left


def test_identifiers_as_text():
    texts = [f"Gaia DR3 {BIG}", str(BIG + 1), f" {BIG + 2} ", "", "-9999", "unknown"]
    result = comparison.compare(fits_table(), reference_table(source_id=texts))
    assert result.pairs["source_id"].tolist() == [BIG, BIG + 1, BIG + 2]
    assert dict(result.steps)["with a source_id"] == 3


@pytest.mark.parametrize("ids", [(BIG + np.arange(6)).astype(float), [f"{BIG + i:.6e}" for i in range(6)]])
def test_rounded_identifiers_are_refused(ids):
    with pytest.raises(ComparisonError, match="int64"):
        comparison.compare(fits_table(), reference_table(source_id=ids))


def test_no_match_names_examples():
    other = reference_table(source_id=np.arange(1, 7))
    with pytest.raises(ComparisonError) as error:
        comparison.compare(fits_table(), other)
    for words in (f"{BIG}, {BIG + 1}, {BIG + 2}, ...", "1, 2, 3, ...", "same release of Gaia", "--column source_id="):
        assert words in str(error.value)


def test_tables_without_rows():
    with pytest.raises(ComparisonError, match="there are no rows in the reference"):
        comparison.compare(fits_table(), reference_table()[:0])
    with pytest.raises(ComparisonError, match="there are no rows in the fits"):
        comparison.compare(fits_table()[:0], reference_table())


def test_nothing_left_says_why():
    with pytest.raises(ComparisonError) as error:
        comparison.compare(fits_table(), reference_table(good=np.zeros(6, dtype=int)), cuts=["good == 1"])
    assert "6: left out of the reference by its flags or cuts" in str(error.value)
    assert "--cut" in str(error.value)
    with pytest.raises(ComparisonError, match="6: the fit is flagged"):
        comparison.compare(fits_table(flags=["poor-fit"] * 6), reference_table())


def test_reasons_of_all_that_is_lost():
    ours = fits_table(7)
    ours["source_id"][1] = -1
    ours["teff"][2] = np.nan
    ours["logg"][2] = ours["mh"][2] = np.nan
    ours["flags"] = ["none", "none", "failed", "at-bound:vsini,poor-fit", "none", "none", "none"]
    theirs = reference_table(6, good=[1, 1, 1, 1, 0, 1])
    theirs["teff"][5] = np.nan
    result = comparison.compare(ours, theirs, cuts=["good == 1"])
    reasons = dict(zip(result.rejects["source_id"].tolist(), result.rejects["reason"].tolist(), strict=True))
    assert reasons == {
        0: "the fit has no source_id",
        BIG + 2: "the fit failed",
        BIG + 3: "the fit is flagged",
        BIG + 4: "left out of the reference by its flags or cuts",
        BIG + 5: "no label in both",
        BIG + 6: "not in the reference",
    }
    assert result.matched == 1 and sum(result.lost.values()) == 6 and result.flagged == 1
    kept = comparison.compare(ours, theirs, cuts=["good == 1"], flagged="keep")
    assert kept.matched == 2 and kept.flagged == 1
    assert kept.pairs["flags"].tolist() == ["none", "at-bound:vsini,poor-fit"]


def test_flags_as_bits_and_no_flags():
    ours = fits_table()
    ours.remove_column("flags")
    assert comparison.compare(ours, reference_table()).flagged == 0
    ours["flag_bits"] = np.array([0, 32, 0, 0, 1, 0], dtype="i4")
    result = comparison.compare(ours, reference_table())
    assert (result.flagged, result.matched) == (2, 4)


def test_metal_poor_stars_are_compared_whose_alpha_was_assumed():
    ours = fits_table(flags=["alpha-assumed", "alpha-assumed,poor-fit", "none", "none", "none", "none"])
    result = comparison.compare(ours, reference_table())
    assert (result.flagged, result.matched) == (1, 5)


def test_repeated_stars():
    ours = fits_table()
    ours["source_id"][1] = BIG
    theirs = reference_table()
    theirs["source_id"][4] = BIG
    theirs["teff"][4] = 9000.0
    result = comparison.compare(ours, theirs)
    assert dict(result.steps)["first of its source_id"] == 5
    assert result.pairs["teff_reference"].value[:2].tolist() == [4980.0, 4980.0]
    after_cut = comparison.compare(ours, theirs, cuts=["teff > 5500"])
    assert after_cut.pairs["teff_reference"].value.tolist() == [9000.0, 9000.0]


# ---------------------------------------------------------------- columns and units
@pytest.mark.parametrize(
    "names",
    [
        ("GAIAEDR3_SOURCE_ID", "TEFF", "TEFF_ERR", "LOGG", "LOGG_ERR", "M_H", "M_H_ERR"),
        ("dr3_source_id", "teff", "e_teff", "logg", "e_logg", "fe_h", "e_fe_h"),
        ("gaiadr3_source_id", "teff", "e_teff", "logg", "e_logg", "fe_h", "e_fe_h"),
        ("gaia_source_id", "teff", "teff_err", "logg", "logg_err", "feh", "feh_err"),
        ("source_id", "teff", "teff_error", "logg", "logg_error", "mh", "mh_error"),
    ],
)
def test_well_known_names(names):
    values = (BIG + np.arange(6), np.full(6, 5000.0), np.full(6, 40.0), np.full(6, 3.0), np.full(6, 0.2))
    theirs = Table(dict(zip(names, (*values, np.full(6, -0.3), np.full(6, 0.1)), strict=True)))
    result = comparison.compare(fits_table(), theirs)
    assert result.labels == ("teff", "logg", "mh")
    for label, value, error in (("teff", 5000.0, 40.0), ("logg", 3.0, 0.2), ("mh", -0.3, 0.1)):
        assert set(result.pairs[f"{label}_reference"].value) == {value}
        assert set(result.pairs[f"{label}_reference_error"].value) == {error}
        assert result.pairs[f"{label}_reference"].unit == result.pairs[label].unit


def test_named_columns_and_their_hint():
    theirs = reference_table()
    theirs.rename_columns(["source_id", "teff"], ["star", "MyTeff"])
    theirs["MyTeff_err"] = np.full(6, 77.0)
    with pytest.raises(ComparisonError, match=r"no column of Gaia source_ids .* star, MyTeff.*--column source_id=NAME"):
        comparison.compare(fits_table(), theirs)
    with pytest.raises(ComparisonError, match="no column of labels .*--column teff=NAME"):
        comparison.compare(fits_table(), theirs, columns={"source_id": "star"})
    result = comparison.compare(fits_table(), theirs, columns={"source_id": "star", "teff": "myteff"})
    assert set(result.pairs["teff_reference_error"].value) == {77.0}
    with pytest.raises(ComparisonError, match=r"--column teff=MyTef: .* did you mean MyTeff\?"):
        comparison.compare(fits_table(), theirs, columns={"source_id": "star", "teff": "MyTef"})
    with pytest.raises(SettingsError, match="'temperature': name one of source_id, flags, teff"):
        comparison.compare(fits_table(), theirs, columns={"temperature": "MyTeff"})


def test_units():
    theirs = QTable(reference_table())
    theirs["teff"] = u.Quantity(theirs["teff"], u.K).to(u.kK)
    theirs["teff_error"] = u.Quantity(theirs["teff_error"], u.K)
    theirs["logg"] = u.Dex(np.full(6, 3.0), u.dex(u.cm / u.s**2))
    theirs["mh"] = np.full(6, 0.1) * u.dex
    result = comparison.compare(fits_table(), theirs)
    np.testing.assert_allclose(result.difference("teff"), 20.0)
    assert set(result.pairs["logg_reference"].value) == {3.0}
    assert result.pairs["teff"].unit == u.K
    theirs["teff"] = np.full(6, 3.0) * u.m
    with pytest.raises(ComparisonError, match="column teff is in m: teff has the unit K"):
        comparison.compare(fits_table(), theirs)
    theirs["teff"] = ["hot"] * 6
    with pytest.raises(ComparisonError, match="column teff has text"):
        comparison.compare(fits_table(), theirs)


@pytest.mark.parametrize(
    ("unit", "off"),
    [("m/s2", 2.0), ("cm/s2", 0.0), (u.dex(u.m / u.s**2), 2.0), (u.dex(u.cm / u.s**2), 0.0), ("dex", 0.0)],
)
def test_units_of_gravity(unit, off):
    """Of its logarithm, written as that of the gravity; an error of a logarithm is the same in all of them."""
    theirs = QTable({"source_id": BIG + np.arange(6)})
    for name, values in (("logg", np.linspace(2, 4.5, 6) - off), ("logg_error", np.full(6, 0.1))):
        theirs[name] = Column(values, unit=unit) if isinstance(unit, str) else values * unit
    result = comparison.compare(fits_table(), theirs)
    np.testing.assert_allclose(result.difference("logg"), 0.0, atol=1e-12)
    np.testing.assert_allclose(result.pairs["logg_reference_error"].value, 0.1)


@pytest.mark.parametrize("unit", ["m/s2", "cm/s2"])
def test_gravities_that_are_no_logarithms(unit):
    """They would be taken for log g = 1000."""
    theirs = QTable({"source_id": BIG + np.arange(6), "logg": Column(np.geomspace(1.0, 1000.0, 6), unit=unit)})
    words = rf"column logg has values up to 1000 {unit[:-3]} / s2, which are no logarithms: take log10 of them in cm/s2"
    with pytest.raises(ComparisonError, match=words):
        comparison.compare(fits_table(), theirs)


def test_what_stands_for_no_value():
    theirs = reference_table(logg=[-9999.0, -999.0, -9999.99, 3.0, np.nan, 3.0])
    theirs["teff"] = MaskedColumn(theirs["teff"], mask=[True] + [False] * 5)
    theirs["teff"][1] = 0.0
    result = comparison.compare(fits_table(), theirs)
    assert result.matched == 4 and result.lost == {"no label in both": 2}
    assert (overall(result, "teff")["n"], overall(result, "logg")["n"]) == (4, 2)


# ---------------------------------------------------------------- cuts
@pytest.mark.parametrize(
    ("cut", "left"),
    [
        ("snr > 30", [4, 5]),
        ("snr>=30", [3, 4, 5]),
        ("SNR != 30", [0, 1, 4, 5]),
        ("snr <= 1e1", [0, 1]),
        ("field == north", [0, 2, 4]),
        ('field != "north"', [1, 3]),
        ("source_id == 4611686018427387906", [1]),
        ("good == True", [0, 4, 5]),
        ("good != true", [1, 2]),
        ("good == 0", [1, 2]),
    ],
)
def test_cuts(cut, left):
    theirs = reference_table(snr=[0.0, 10.0, np.nan, 30.0, 40.0, 50.0])
    theirs["field"] = MaskedColumn(["north", "south", "north", "south", "north", "south"], mask=[0, 0, 0, 0, 0, 1])
    theirs["good"] = MaskedColumn([True, False, False, True, True, True], mask=[0, 0, 0, 1, 0, 0])
    result = comparison.compare(fits_table(), theirs, cuts=[cut])
    assert [int(i) - BIG for i in result.pairs["source_id"]] == left
    assert (cut, len(left)) in result.steps


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ("snr", "write a column, one of =="),
        ("snr > ", "write a column"),
        ("__import__('os') == 1", "write a column"),
        ("snr == high", "has numbers, high is none"),
        ("good == 2", "is true or false, 2 is neither"),
        ("field < north", "use == or !="),
        ("snrr > 5", "did you mean snr"),
    ],
)
def test_bad_cuts(cut, words):
    theirs = reference_table(snr=np.arange(6.0), field=["north"] * 6, good=np.ones(6, dtype=bool))
    with pytest.raises(RvsemuError, match=re.escape(words)):
        comparison.compare(fits_table(), theirs, cuts=[cut])


# ---------------------------------------------------------------- GSP-Spec
def test_calibrations_at_known_values():
    """By hand from Table 3 of Recio-Blanco et al. (2023) at log g = 2: 0.4496 - 0.0072 - 0.0896 = 0.3528, and so on."""
    assert comparison.calibrate("logg", 2.0, 2.0) == pytest.approx(2.3528)
    assert comparison.calibrate("mh", -0.5, 2.0) == pytest.approx(-0.5 + 0.0178)
    assert comparison.calibrate("mh", -0.5, 2.0, open_clusters=True) == pytest.approx(-0.5 + 0.0479)
    assert comparison.calibrate("alpha", 0.1, 2.0) == pytest.approx(0.1 + 0.0531)
    assert comparison.calibrate("teff", 5000.0, 2.0) == 5000.0
    outside = comparison.calibrate("alpha", [0.1, 0.1, 0.1], [1.0, 1.01, 4.86])
    assert np.isnan(outside).tolist() == [True, False, True]
    with pytest.raises(SettingsError, match="label='vsini'"):
        comparison.calibrate("vsini", 1.0, 2.0)


def test_calibrations_of_columns():
    """Masked values have no correction, and units count."""
    table = QTable({"mh": MaskedColumn([0.0, 1.0, 0.0], mask=[False, True, False])})
    table["logg"] = [0.0, 0.0, np.nan] * u.dex(u.m / u.s**2)
    known = comparison.calibrate("mh", 0.0, 2.0)
    np.testing.assert_array_equal(comparison.calibrate("mh", table["mh"], table["logg"]), [known, np.nan, np.nan])
    logg = MaskedColumn([2.0, 2.0, 2.0], mask=[False, False, True])
    np.testing.assert_array_equal(comparison.calibrate("mh", table["mh"], logg), [known, np.nan, np.nan])
    assert comparison.calibrate("teff", 5.0 * u.kK, 2.0) == 5000.0
    with pytest.raises(ComparisonError, match="value is in m: give teff in K"):
        comparison.calibrate("teff", [5.0] * u.m, [2.0])


def test_flags_as_bytes_and_masked():
    good, bad = "0" * 41, "0100002000000" + "0" * 28
    flags = MaskedColumn([good, bad, good], mask=[False, False, True])
    assert comparison.worst_flag(flags).tolist() == [0, 2, -1]
    assert comparison.worst_flag(np.array([good.encode(), b""])).tolist() == [0, -1]
    with pytest.raises(SettingsError, match="is one text: give a list of them"):
        comparison.worst_flag(good)


def test_calibrated_by_the_uncalibrated_gravity():
    ours = fits_table(alpha=np.full(6, 0.1))
    plain = comparison.compare(ours, gspspec_table(), calibrated=False)
    assert plain.labels == ("teff", "logg", "mh", "alpha")
    assert np.all(np.abs(plain.difference("logg")) < 1e-12) and np.all(np.abs(plain.difference("mh")) < 1e-12)
    result = comparison.compare(ours, gspspec_table())
    logg = np.linspace(2, 4.5, 6)
    np.testing.assert_allclose(-result.difference("logg"), 0.4496 - 0.0036 * logg - 0.0224 * logg**2, atol=1e-12)
    change = 0.274 - 0.1373 * logg - 0.005 * logg**2 + 0.0048 * logg**3
    np.testing.assert_allclose(-result.difference("mh"), change, atol=1e-12)
    assert any("calibrated" in note for note in result.notes)
    np.testing.assert_allclose(result.pairs["logg_reference_error"].value, 0.2)


def test_alpha_is_left_out_where_labels_are_extrapolated():
    flags = [GOOD, "0000000100000" + "9" * 28, GOOD, GOOD, GOOD, GOOD]
    result = comparison.compare(fits_table(alpha=[0.1] * 6), gspspec_table(flags_gspspec=flags), gspspec_flags=1)
    assert (overall(result, "alpha")["n"], overall(result, "mh")["n"]) == (5, 6)


@pytest.mark.parametrize(("limit", "left"), [(None, 1), (0, 1), (1, 2), (2, 3), (5, 4), (8, 4), (9, 6)])
def test_quality_flags(limit, left):
    flags = [GOOD, "0100000000000", "0000000000002" + "9" * 28, "0000005000000", "", "0003000000000"]
    result = comparison.compare(fits_table(), gspspec_table(flags_gspspec=flags), gspspec_flags=limit)
    assert result.matched == left
    if limit != 9:
        assert dict(result.steps)["with flags_gspspec as defined"] == 4


def test_malformed_flags():
    assert comparison.worst_flag(["0" * 12, "", "x" * 13, "0" * 9 + "1000", "9" * 12 + "0"]).tolist() == [-1] * 4 + [9]


def test_flags_that_are_masked_or_not_there():
    theirs = gspspec_table()
    theirs["flags_gspspec"] = MaskedColumn(theirs["flags_gspspec"], mask=[True] + [False] * 5)
    assert comparison.compare(fits_table(), theirs).matched == 5
    theirs.remove_column("flags_gspspec")
    assert comparison.compare(fits_table(), theirs).matched == 6
    with pytest.raises(ComparisonError, match="no column flags_gspspec"):
        comparison.compare(fits_table(), theirs, gspspec_flags=0)
    with pytest.raises(SettingsError, match="gspspec_flags=10"):
        comparison.compare(fits_table(), theirs, gspspec_flags=10)


# ---------------------------------------------------------------- statistics
def test_statistics_of_known_differences():
    rng = np.random.default_rng(5)
    n = 4000
    ours = fits_table(n, teff=5000.0 + rng.uniform(-1000, 1000, n), signal_to_noise=rng.uniform(10, 150, n))
    theirs = Table({"source_id": ours["source_id"], "teff": ours["teff"] - 12.0 + rng.normal(0, 50, n)})
    theirs["teff_error"] = np.full(n, 40.0)
    theirs["teff"][:200] += 2000.0
    row = overall(comparison.compare(ours, theirs), "teff")
    assert row["n_stars"] == row["n"] == row["n_normalised"] == n
    assert row["scatter"] == pytest.approx(53, abs=4)
    assert row["bias_error"] == pytest.approx(np.sqrt(np.pi / 2) * row["scatter"] / np.sqrt(n))
    assert (
        abs(row["bias"] - 12.0 + 0.05 * 50 * 1.25) < 4 * row["bias_error"]
    )  # a share of 5 % on one side moves a median
    assert row["outliers_5"] == 0.05 and 0.05 < row["outliers_3"] < 0.055
    assert row["normalised_bias"] == pytest.approx(row["bias"] / 50)
    assert row["normalised_scatter"] == pytest.approx(row["scatter"] / 50)


def test_regions_cover_all_stars_once():
    rng = np.random.default_rng(1)
    ours = fits_table(300, teff=rng.uniform(3500, 7500, 300), signal_to_noise=rng.uniform(5, 300, 300))
    theirs = ours["source_id", "teff", "logg", "mh"]
    table = comparison.compare(ours, theirs).table
    rows = {row["region"]: int(row["n"]) for row in table if row["label"] == "logg"}
    for start in ("Teff", "[M/H]", "S/N"):
        assert sum(n for region, n in rows.items() if region.startswith(start)) == rows["all"] == 300
    assert rows["giants, log g < 3.5"] == np.sum(ours["logg"] < 3.5)
    assert rows["giants, log g < 3.5"] + rows["dwarfs, log g >= 3.5"] == 300


def test_regions_of_labels_that_the_reference_lacks():
    result = comparison.compare(fits_table(), reference_table()["source_id", "teff"])
    assert result.labels == ("teff",)
    rows = {row["region"]: int(row["n"]) for row in result.table}
    assert (rows["giants, log g < 3.5"], rows["dwarfs, log g >= 3.5"]) == (3, 3)
    np.testing.assert_array_equal(result.at("logg"), fits_table()["logg"])


def test_a_reference_without_errors():
    theirs = reference_table()
    theirs.remove_column("teff_error")
    result = comparison.compare(fits_table(), theirs)
    row = overall(result, "teff")
    assert row["bias"] == 20.0 and np.ma.is_masked(row["normalised_bias"]) and row["n_normalised"] == 0
    assert any("no errors of the reference for teff" in note for note in result.notes)
    assert np.all(np.isnan(result.normalised("teff")))


def test_one_star():
    row = overall(comparison.compare(fits_table(1), reference_table(1)), "teff")
    assert (row["n"], row["bias"]) == (1, 20.0)
    assert all(np.ma.is_masked(row[name]) for name in ("scatter", "bias_error", "outliers_3", "normalised_scatter"))
    assert row["normalised_bias"] == pytest.approx(0.4)


def test_labels_that_were_held():
    """The error 0 of a label that was held does not mean that it is known."""
    result = comparison.compare(fits_table(teff_error=np.zeros(6)), reference_table())
    row = overall(result, "teff")
    assert np.ma.is_masked(row["normalised_bias"]) and (row["n"], row["n_normalised"], row["bias"]) == (6, 0, 20.0)
    assert "held, not fitted, and so not in normalised differences: teff (6 of 6 fits)" in result.notes
    some = comparison.compare(fits_table(teff_error=[0.0, 0.0, 30.0, 30.0, 30.0, 30.0]), reference_table())
    row = overall(some, "teff")
    assert (row["n"], row["n_normalised"], row["normalised_bias"]) == (6, 4, 0.4)
    np.testing.assert_array_equal(np.isnan(some.normalised("teff")), [True] * 2 + [False] * 4)
    assert "held, not fitted, and so not in normalised differences: teff (2 of 6 fits)" in some.notes


def test_fits_of_one_star_count_once_in_the_error_of_the_bias():
    """Fifty transits of each of four stars, which are wrong by 100 K from star to star."""
    rng = np.random.default_rng(1)
    true, off = np.array([5000.0, 5500.0, 6000.0, 4800.0]), np.array([-100.0, -30.0, 40.0, 110.0])
    ours = Table({"source_id": np.repeat(BIG + np.arange(4), 50)})
    ours["teff"] = np.repeat(true + off, 50) + rng.normal(0, 5, 200)
    result = comparison.compare(ours, Table({"source_id": BIG + np.arange(4), "teff": true}))
    row = overall(result, "teff")
    assert (row["n_stars"], row["n"]) == (4, 200)
    assert row["bias_error"] == pytest.approx(np.sqrt(np.pi / 2) * row["scatter"] / 2)
    assert re.search(r"teff \(K\) +4 +200 ", str(result))
    alone = overall(comparison.compare(ours[:50], Table({"source_id": [BIG], "teff": [5000.0]})), "teff")
    assert (alone["n_stars"], alone["n"]) == (1, 50) and np.ma.is_masked(alone["bias_error"])


def test_text_says_all_counts():
    flags = ["none"] * 5 + ["poor-fit"]
    text = str(comparison.compare(fits_table(flags=flags), gspspec_table()))
    for words in (
        "fits in the fits  +6",
        "the fit is flagged +1",
        "compared +5",
        "fits with a flag +1",
        r"teff \(K\) +5",
    ):
        assert re.search(words, text), words


def test_labels_that_are_not_compared():
    result = comparison.compare(fits_table(), reference_table())
    for function in (result.difference, result.normalised):
        with pytest.raises(ComparisonError, match="label='alpha' is not compared: use one of teff"):
            function("alpha")


def test_arguments_that_are_wrong(tmp_path):
    with pytest.raises(SettingsError, match="flagged='yes'"):
        comparison.compare(fits_table(), reference_table(), flagged="yes")
    with pytest.raises(SettingsError, match="is one text"):
        comparison.compare(fits_table(), reference_table(), cuts="teff > 5")
    with pytest.raises(ComparisonError, match="5 is a int: give the path"):
        comparison.compare(5, reference_table())
    with pytest.raises(ComparisonError, match="does not exist"):
        comparison.compare(tmp_path / "nothing.fits", reference_table())
    with pytest.raises(ComparisonError, match=r"ending '\.txt' is unknown"):
        (tmp_path / "a.txt").write_text("words")
        comparison.compare(fits_table(), tmp_path / "a.txt")
    for ending in ("fits", "vot", "parquet", "ecsv"):
        (tmp_path / f"a.{ending}").write_text("words")
        with pytest.raises(ComparisonError, match="cannot be read as a table"):
            comparison.compare(fits_table(), tmp_path / f"a.{ending}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ComparisonError, match="no Parquet file"):
        comparison.compare(tmp_path / "empty", reference_table())
    with pytest.raises(ComparisonError, match="no columns source_id and teff"):
        comparison.compare(Table({"a": [1]}), reference_table())
    with pytest.raises(ComparisonError, match="column teff has arrays"):
        comparison.compare(fits_table(), reference_table(teff=np.ones((6, 2))))
