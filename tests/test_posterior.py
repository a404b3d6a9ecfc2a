"""What a Posterior says: summaries, intervals, tables, flags."""

import copy
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, vstack
from sampling_fixtures import COVARIANCE, MEAN, NAMES, Gauss, quickly
from scipy import stats

from rvsemu import RvsemuError
from rvsemu.spectra.write import write_table


@pytest.fixture(scope="module")
def gauss():
    return quickly(Gauss(), walkers=32)


def test_summary_and_samples(gauss):
    kept = gauss.chain[gauss.burn_in :: gauss.thin].reshape(-1, 3)
    np.testing.assert_array_equal(gauss.values, kept)
    summary = gauss.summary()
    assert list(summary["name"]) == list(NAMES)
    assert list(summary["unit"]) == ["K", "dex", "dex"]
    for row, column in zip(summary, kept.T, strict=True):
        low, median, high = np.percentile(column, [16, 50, 84])
        assert (row["median"], row["p16"], row["p84"]) == pytest.approx((median, low, high))
        assert (row["minus"], row["plus"]) == pytest.approx((median - low, high - median))
        assert (row["mean"], row["std"]) == pytest.approx((column.mean(), column.std(ddof=1)))
    table = gauss.samples
    assert isinstance(table, QTable)
    assert table.colnames == [*NAMES, "log_probability"]
    assert table["teff"].unit == u.K
    np.testing.assert_array_equal(table["logg"].value, kept[:, 1])
    best = np.argmax(table["log_probability"])
    likely = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(kept[best])
    assert table["log_probability"][best] == pytest.approx(likely)
    with pytest.raises(KeyError, match="teff, logg, mh"):
        gauss["vsini"]


def test_labels_errors_and_intervals(gauss):
    posterior = replace(gauss, meta={"fixed": {"vsini": 3.0}, "units": {"vsini": "km / s"}})
    assert list(posterior.labels) == [*NAMES, "vsini"]
    for i, name in enumerate(NAMES):
        low, middle, high = np.quantile(gauss.values[:, i], [0.16, 0.5, 0.84])
        assert posterior.labels[name].value == pytest.approx(middle)
        assert posterior.errors[name].value == pytest.approx((high - low) / 2)
        np.testing.assert_allclose(posterior.interval()[name].value, [low, high])
        np.testing.assert_allclose(
            posterior.interval(0.95)[name].value, np.quantile(gauss.values[:, i], [0.025, 0.975])
        )
    assert posterior.teff == posterior.labels["teff"]
    assert (posterior.labels["teff"].unit, posterior.vsini) == (u.K, 3 * u.km / u.s)
    assert posterior.errors["vsini"] == 0 * u.km / u.s
    assert list(posterior.interval()) == list(NAMES)
    with pytest.raises(RvsemuError, match="level=1.5: give a probability between 0 and 1"):
        posterior.interval(1.5)
    with pytest.raises(AttributeError, match="its labels are teff, logg, mh"):
        _ = gauss.vsini


@pytest.mark.parametrize("level", [0.5, 0.68, 0.95, 0.999999])
def test_intervals_stay_in_the_range(level):
    lower, upper = (5600, 0, -0.19), (9000, 4.3, 3)
    posterior = quickly(Gauss(lower=lower, upper=upper), steps=600, walkers=16)
    for name, a, b in zip(NAMES, lower, upper, strict=True):
        low, high = posterior.interval(level)[name].value
        assert a <= low < high <= b


def test_equality_is_that_of_the_contents(gauss):
    same = copy.deepcopy(gauss)
    assert gauss == same
    assert pickle.loads(pickle.dumps(gauss)) == gauss
    same.chain[5, 3, 1] += 1e-9
    assert gauss != same
    assert gauss != replace(gauss, converged=False)
    assert gauss != replace(gauss, meta={"medium": "air"})
    assert (gauss == 3, gauss != "teff") == (False, True)


def test_one_row_tables_stack(gauss, tmp_path):
    known = {"file": "a.csv", "source_id": 2**62 + 1, "transit_id": 7, "obs_time_rv": 2100.5, "ra": 12.25, "dec": -5.5}
    posterior = replace(gauss, meta=known | {"recipe": "r", "fixed": {"vsini": 3.0}, "units": {"vsini": "km / s"}})
    table = vstack([posterior.to_table(), replace(gauss, converged=False).to_table()])
    assert table.colnames[:6] == list(known)
    for name, value in known.items():
        assert getattr(table[name][0], "value", table[name][0]) == value
        assert np.ma.is_masked(table[name][1]), name
    assert (table["ra"].unit, table["teff"].unit) == (u.deg, u.K)
    summary = gauss.summary()
    assert table["teff"][0].value == pytest.approx(summary["median"][0])
    assert table["teff_plus"][0].value == pytest.approx(summary["plus"][0])
    assert table["teff_minus"][0].value == pytest.approx(summary["minus"][0])
    assert table["teff_error"][0].value == pytest.approx((summary["plus"][0] + summary["minus"][0]) / 2)
    assert (table["vsini"][0], table["vsini_plus"][0]) == (3 * u.km / u.s, 0 * u.km / u.s)
    assert table["steps"].tolist() == [len(gauss.chain)] * 2
    assert table["flags"].tolist() == ["none", "not-converged"]
    assert table["flag_bits"].tolist()[0] == 0 < table["flag_bits"].tolist()[1]
    for name in ("t.ecsv", "t.fits"):
        write_table(table, tmp_path / name)
        back = QTable.read(tmp_path / name)
        assert back["mh_minus"].unit == u.dex
        assert back["source_id"][0] == 2**62 + 1


def test_text(gauss):
    text = repr(gauss)
    low, middle, high = np.quantile(gauss.values[:, 0], [0.16, 0.5, 0.84])
    assert f"  teff            {middle:.0f} +{high - middle:.0f} -{middle - low:.0f} K\n" in text
    assert f"{len(gauss.chain)} steps of 32 walkers" in text
    assert "flags: none>" in text
    assert "not-converged" in repr(replace(gauss, converged=False))
    fixed = replace(gauss, meta={"fixed": {"vsini": 3.0}, "units": {"vsini": "km / s"}})
    assert "vsini           3 (fixed) km / s\n" in repr(fixed)


def test_html(gauss):
    html = replace(gauss, converged=False)._repr_html_()
    assert "<table" in html
    assert f"{np.median(gauss.values[:, 0]):.0f} +" in html
    assert "not-converged: The steps ran out before the result settled." in html


# ---------------------------------------------------------------------- flags
def limited(lower, upper, **options):
    ranges = {name: pair for name, *pair in zip(NAMES, lower, upper, strict=True)}
    return quickly(Gauss(lower=lower, upper=upper), steps=1500, walkers=16, info={"ranges": ranges}, **options)


def test_a_posterior_that_is_piled_up_says_so():
    assert limited((3000, 0, -3), (9000, 9, 3)).flags == ()
    assert limited((5600, 0, -3), (9000, 9, 3)).flags == ("at-bound:teff",)
    assert limited((3000, 0, -3), (5200, 9, 3)).flags == ("at-bound:teff",)
    assert limited((3000, 4.3, -3), (9000, 9, -0.22)).flags == ("at-bound:logg", "at-bound:mh")


def test_flags_of_the_fit_stay_and_are_said_once(gauss):
    meta = {"flags": ["poor-fit", "second-minimum", "outside-domain"], "domain": {"teff": [3600, 5000]}}
    assert replace(gauss, meta=meta).flags == ("poor-fit", "second-minimum", "outside-domain")


@pytest.mark.parametrize("domain", [{"teff": [3600, 5500]}, {"mh": [0.0, 1.0]}, {"vsini": [4.0, 300.0]}])
def test_leaving_the_domain_is_flagged(gauss, domain):
    meta = {"fixed": {"vsini": 3.0}, "domain": {"teff": [3600, 15000], "vsini": [0, 300]}}
    assert replace(gauss, meta=meta).flags == ()
    assert replace(gauss, meta=meta | {"domain": domain}).flags == ("outside-domain",)


@pytest.mark.parametrize(("share", "flags"), [(0.03, ()), (0.07, ("outside-domain",))])
def test_a_few_samples_outside_the_domain_are_no_reason_for_a_flag(gauss, share, flags):
    limit = float(np.quantile(gauss.values[:, gauss.names.index("teff")], share))
    assert replace(gauss, meta={"domain": {"teff": [limit, 15000]}}).flags == flags
    low = {"domain": {"teff": [3600, 15000], "logg": [0, 5]}, "lowest_logg": [[limit - 1e-6, 5.1], [limit, 0.0]]}
    assert replace(gauss, meta=low).flags == flags


# ---------------------------------------------------------------------- arviz
def test_to_arviz(gauss):
    pytest.importorskip("arviz")
    data = gauss.to_arviz()
    assert data.posterior["teff"].shape == (32, len(gauss.chain) - gauss.burn_in)
    np.testing.assert_array_equal(data.posterior["mh"].values[5], gauss.chain[gauss.burn_in :, 5, 2])
    np.testing.assert_array_equal(data.sample_stats["lp"].values[0], gauss.log_probability[gauss.burn_in :, 0])


def test_to_arviz_without_it(gauss, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r'pip install "rvsemu\[arviz\]"'):
        gauss.to_arviz()
