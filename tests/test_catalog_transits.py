"""Catalogues of stars whose transits are fitted together: rows of stars wherever files and partitions end."""

import csv
import itertools
import json

import numpy as np
import pytest
from astropy.table import QTable
from catalog_fixtures import OPTIONS, SETTINGS
from rvs_fixtures import epoch_star, write_bulk

import rvsemu
from rvsemu.cli import main
from rvsemu.errors import SettingsError, SpectrumError
from rvsemu.spectra import write_bulk as write_gaia_bulk
from rvsemu.spectra import write_spectrum
from rvsemu.spectra.stream import Rejected

pq = pytest.importorskip("pyarrow.parquet")
catalog = pytest.importorskip("rvsemu.catalog")
plan, work = (pytest.importorskip(f"rvsemu.catalog.{name}") for name in ("plan", "work"))
MADE = {"rows": 10, "progress": False, "jobs": 1, "transits": "joint", **SETTINGS}
NUMBERS = itertools.count(10**16)


def star(source, velocities, signal_to_noise=30.0, release="Gaia DR4"):
    """Transits of a star, with a number each."""
    rng = np.random.default_rng(source)
    noiseless = rvsemu.generate(teff=5200 + 200 * source, logg=4.3, vsini=12, mh=-0.1, vmic=1.2, resolution=11700)
    out = []
    for velocity in velocities:
        given = {"signal_to_noise": signal_to_noise, "release": release, "frame": "barycentric", "ccds": 3}
        one = rvsemu.simulate(noiseless, seed=rng, radial_velocity=velocity, source_id=source, **given)
        number = next(NUMBERS)
        one.meta |= {"transit_id": number, "obs_time_rv": number - 1e16, "normalisation_method": 0}
        out.append(one)
    return out


@pytest.fixture(scope="module")
def stars():
    """Four stars of 3, 1, 14 and 4 transits; the third goes on over a partition of 10 and into the next."""
    return [star(1, [20.0, 60.0, -10.0]), star(2, [5.0]), star(3, [30.0] * 14, 15.0), star(4, [-8.0] * 4)]


@pytest.fixture(scope="module")
def inputs(stars, tmp_path_factory):
    """Files with the ends in the middle of stars."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [one for some in stars for one in some]
    for name, part in {"a": rows[:2], "b": rows[2:9], "c": rows[9:]}.items():
        write_gaia_bulk(part, folder / f"{name}.csv.gz")
    return folder


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "labels"
    summary = catalog.fit_catalog(inputs, out, **MADE)
    assert str(summary) == f"{out}: 4 stars fitted"
    return out


def number(entry):
    return float(getattr(entry, "value", entry))


def test_a_transit_that_is_given_twice_counts_once(tmp_path):
    """In what the row says of the signal, too."""
    spectra = star(1, [20.0, 60.0])
    for name, some in {"once": spectra, "twice": [*spectra, spectra[0]]}.items():
        write_gaia_bulk(some, tmp_path / f"{name}.csv.gz")
        catalog.fit_catalog(tmp_path / f"{name}.csv.gz", tmp_path / name, **MADE)
    once, twice = (catalog.read_catalog(tmp_path / name)[0] for name in ("once", "twice"))
    assert (once["n_skipped"], twice["n_skipped"]) == (0, 1)
    assert once["combined_ccds"] == twice["combined_ccds"] == 6
    assert once["signal_to_noise"] == twice["signal_to_noise"]


def test_rows_are_those_of_fits_of_all_transits(stars, made):
    table = catalog.read_catalog(made)
    assert list(table["source_id"]) == [1, 2, 3, 4]
    assert list(table["n_transits"]) == [3, 1, 14, 4]
    assert "transit_id" not in table.colnames and "obs_time_rv" not in table.colnames
    for row, spectra in zip(table, stars, strict=True):
        result = rvsemu.fit_transits(spectra, **SETTINGS)
        for name, value in result.labels.items():
            error = result.errors[name].value
            assert abs(number(row[name]) - value.value) <= 1e-3 * error + 1e-9, name
            assert number(row[f"{name}_error"]) == pytest.approx(error, rel=1e-3), name
        np.testing.assert_allclose(row["transit_velocities"], result.velocities.value, atol=1e-2)
        np.testing.assert_allclose(row["transit_velocity_errors"], result.velocity_errors.value, rtol=1e-3)
        np.testing.assert_allclose(row["transit_velocity_noise"], result.velocity_noise.value, rtol=1e-3)
        assert list(row["transit_ids"]) == [one.meta["transit_id"] for one in spectra]
        assert list(row["transit_times"]) == [one.meta["obs_time_rv"] for one in spectra]
        assert str(row["flags"]).replace("none", "") == ",".join(result.flags)
        assert row["combined_ccds"] == 3 * len(spectra)
        assert [row[name] for name in ("release", "medium", "frame")] == ["Gaia DR4", "vacuum", "barycentric"]
    signal = table["signal_to_noise"]
    assert signal[2] == pytest.approx(15 * np.sqrt(14), rel=0.1) and signal[1] == pytest.approx(30, rel=0.1)
    assert "variable-velocity" in table["flags"][0] and table["velocity_p_value"][0] < 1e-6
    assert table["velocity_p_value"][2] > 1e-3 and np.isnan(table["velocity_p_value"][1])
    assert number(table["radial_velocity_scatter"][0]) == pytest.approx(35, rel=0.1)


def test_a_star_of_one_transit_is_that_of_the_ordinary_catalogue(inputs, made, tmp_path, kept_workers):
    catalog.fit_catalog(inputs, tmp_path / "alone", **{**MADE, "transits": "alone"})
    alone, joint = catalog.read_catalog(tmp_path / "alone"), catalog.read_catalog(made)
    assert len(alone) == 22
    (row,) = np.flatnonzero(alone["source_id"] == 2)
    errors = {n.removesuffix("_error"): number(joint[n][1]) for n in joint.colnames if n.endswith("_error")}
    pairs = {f"covariance_{a}_{b}": one * other for a, one in errors.items() for b, other in errors.items()}
    for name in set(alone.colnames) & set(joint.colnames) - {"file", "flags"}:
        one, other = (getattr(table[name][i], "value", table[name][i]) for table, i in ((alone, row), (joint, 1)))
        scale = pairs.get(name, 0.0)  # float32 sums: a covariance is known to so much of the two errors
        assert np.ma.is_masked(one) or one == pytest.approx(other, rel=1e-5, abs=1e-5 * scale, nan_ok=True), name


@pytest.mark.parametrize("rows", [11, 12, 13, 17, 18, 22, 100])
def test_every_transit_is_in_one_star_wherever_partitions_end(inputs, rows, tmp_path, monkeypatch):
    """Also where the partitions are those of two workers."""
    seen = []

    def fitted(runs, settings):
        seen.extend([one.meta["transit_id"] - 10**16 for one in run] for run in runs)
        return [], []

    monkeypatch.setattr(work, "fitted_stars", fitted)
    monkeypatch.setattr(work, "emulator_of", lambda *_: None)
    files = tuple(str(path) for path in sorted(inputs.iterdir()))
    for first in (0, 1):
        run = {"emulator": {"fingerprint": ""}}
        work.work(work.Task(str(tmp_path), files, 0, first, 2, rows, run, SETTINGS, joint=True))
    assert sorted(map(len, seen)) == [1, 3, 4, 14]
    assert sorted(one for run in seen for one in run) == sorted({one for run in seen for one in run})
    assert all(run == list(range(run[0], run[0] + len(run))) for run in seen)


def test_a_run_that_is_too_long_is_cut(inputs, monkeypatch):
    monkeypatch.setattr(work, "MOST_TRANSITS", 4)
    entries = [(str(path), entry) for path in sorted(inputs.iterdir()) for entry in work.entries(path)]
    stream = work.Stream(iter(entries))
    assert [len(run) for run in work.stars_of(None, itertools.islice(stream, 10), stream)] == [3, 1, 4, 4, 4, 2]


def test_what_does_not_say_its_source_ends_a_run():
    class Damaged(Rejected):
        pass

    found = [Rejected("f", "bad", 5), Rejected("f", "bad", 5), Damaged("f", "bad"), Rejected("f", "bad", 5)]
    stream = work.Stream(iter([("f", one) for one in found]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "usable", lambda entry, file: entry)
        assert [len(run) for run in work.stars_of(None, itertools.islice(stream, 10), stream)] == [2, 1, 1]


def test_the_same_from_more_processes_and_resumed(inputs, made, tmp_path, kept_workers):
    out = tmp_path / "out"
    catalog.fit_catalog(inputs, out, **{**MADE, "jobs": 2})
    expected = {path.name: path.read_bytes() for path in made.glob("part-*")}
    assert {path.name: path.read_bytes() for path in out.glob("part-*")} == expected
    sorted(out.glob("part-*"))[0].unlink()
    assert catalog.fit_catalog(inputs, out, resume=True, **MADE).spectra == 4
    assert {path.name: path.read_bytes() for path in out.glob("part-*")} == expected
    with pytest.raises(SpectrumError, match="was made with other transits=joint: give another folder"):
        catalog.fit_catalog(inputs, out, resume=True, **{**MADE, "transits": "alone"})


def test_a_run_from_before_there_was_a_choice_goes_on(tmp_path):
    run = {"format": 2, "rvsemu": "1.0", "settings": {}, "emulator": {}, "rows": 10, "inputs": []}
    (tmp_path / plan.PLAN).write_text(json.dumps(run))
    plan.agreed(tmp_path, run | {"transits": "alone"}, resume=True)
    with pytest.raises(SpectrumError, match="was made with other transits="):
        plan.agreed(tmp_path, run | {"transits": "joint"}, resume=True)


def test_empty_and_unnormalised_transits_by_kind(stars, tmp_path, capsys, kept_workers):
    """One left: the others are counted; none left: no row; and none of it changes the exit status."""
    one, other = star(5, [10.0] * 4), star(6, [10.0] * 2)
    for spectrum in (one[1], *other):
        spectrum.meta["normalisation_method"] = 4
    write_gaia_bulk([*one, *other, *stars[1]], tmp_path / "a.csv.gz")
    empty = epoch_star().but(flux=np.full(961, np.nan), source_id=2)
    write_bulk(tmp_path / "b.csv.gz", empty)
    out = tmp_path / "labels"
    words = ["--transits", "joint", "--jobs", "1", "--quiet", *OPTIONS]
    assert main(["catalog", "fit", str(tmp_path / "a.csv.gz"), str(tmp_path / "b.csv.gz"), "-o", str(out), *words]) == 0
    table = catalog.read_catalog(out)
    assert list(table["source_id"]) == [5, 2]
    assert list(table["n_transits"]) == [3, 1] and list(table["n_skipped"]) == [1, 1]
    assert ": 2 stars fitted, 4 transits that are empty or not normalised passed over; the" in capsys.readouterr().out
    with open(out / "_rejects.csv", newline="") as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert sum("could not normalise it (method 4)" in reason for reason in reasons) == 3
    assert sum("no good pixel" in reason for reason in reasons) == 1


def test_transits_that_cannot_be_fitted_are_rejects(tmp_path, kept_workers):
    """A transit with few pixels, and a star that has no other."""
    some, alone = star(7, [0.0] * 3), star(8, [0.0])
    for spectrum in (some[1], *alone):
        spectrum.flux[40:] = np.nan
    write_gaia_bulk([*some, *alone], tmp_path / "a.csv.gz")
    summary = catalog.fit_catalog(tmp_path / "a.csv.gz", tmp_path / "out", **MADE)
    assert (summary.spectra, summary.rejected, summary.expected) == (1, 2, 0)
    row = catalog.read_catalog(tmp_path / "out")[0]
    assert (row["n_transits"], row["n_skipped"]) == (2, 1)
    with open(summary.rejects, newline="") as file:
        rejects = list(csv.DictReader(file))
    assert [one["source_id"] for one in rejects] == ["7", "8"]
    assert rejects[0]["transit_id"] == str(some[1].meta["transit_id"])
    assert all("good pixels" in one["reason"] for one in rejects)


def test_transits_of_a_star_that_all_fail_are_a_reject_each(tmp_path, kept_workers):
    some = star(9, [0.0] * 3)
    for spectrum in some:
        spectrum.flux[40:] = np.nan
    some[1].flux[:] = np.nan
    some[2].flux[20:] = np.nan
    write_gaia_bulk(some, tmp_path / "a.csv.gz")
    summary = catalog.fit_catalog(tmp_path / "a.csv.gz", tmp_path / "out", **MADE)
    assert (summary.spectra, summary.rejected, summary.expected) == (0, 2, 1)
    with open(summary.rejects, newline="") as file:
        reasons = {row["transit_id"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {str(spectrum.meta["transit_id"]) for spectrum in some}
    first, empty, last = (reasons[str(spectrum.meta["transit_id"])] for spectrum in some)
    assert "no good pixel" in empty
    assert "good pixels" in first and "good pixels" in last and first != last


def test_stars_whose_transits_are_apart_are_counted(stars, tmp_path, kept_workers):
    write_gaia_bulk([stars[0][0], *stars[1], *stars[0][1:]], tmp_path / "a.csv.gz")
    summary = catalog.fit_catalog(tmp_path / "a.csv.gz", tmp_path / "out", **MADE)
    assert (summary.spectra, summary.repeated) == (3, 1)
    assert str(summary).endswith(
        "3 stars fitted, 1 of them in several rows, as mean spectra or other stars are among their transits"
    )


def test_a_mean_spectrum_is_no_transit(stars, inputs, made, tmp_path, kept_workers):
    """It has a row of its own, and its velocity does not count."""
    mean = rvsemu.simulate(rvsemu.generate(5400, 4.3, resolution=11700), signal_to_noise=60, seed=1, source_id=1)
    write_spectrum(mean, tmp_path / "mean.fits")
    summary = catalog.fit_catalog([tmp_path / "mean.fits", inputs], tmp_path / "out", **MADE)
    found, expected = catalog.read_catalog(tmp_path / "out"), catalog.read_catalog(made)
    assert summary.spectra == 5 and summary.repeated == 1
    assert found["frame"].tolist() == ["rest", *["barycentric"] * 4]
    assert found["n_transits"].tolist() == [1, *expected["n_transits"].tolist()]
    np.testing.assert_allclose(found["radial_velocity"][1:].value, expected["radial_velocity"].value, atol=1e-6)
    with pytest.raises(SpectrumError, match=r"1 of 4 are in the rest frame by meta\['frame'\].*leave the mean"):
        rvsemu.fit_transits([*stars[0], mean])


def test_transits_of_two_releases_say_both(tmp_path):
    write_gaia_bulk(star(1, [20.0, 60.0]), tmp_path / "a.csv.gz")
    write_spectrum(star(1, [-5.0], release="Gaia DR3")[0], tmp_path / "b.fits")
    summary = catalog.fit_catalog([tmp_path / "a.csv.gz", tmp_path / "b.fits"], tmp_path / "out", **MADE)
    (row,) = catalog.read_catalog(tmp_path / "out")
    assert (summary.spectra, row["release"], row["frame"]) == (1, "Gaia DR4,Gaia DR3", "barycentric")


def test_files_of_a_source_stay_together(tmp_path, monkeypatch):
    names = [f"EPOCH_SPECTRUM_RVS-Gaia DR4 {10**12 + i // 5}-{10**16 + i}.csv" for i in range(20)]
    files = [str(tmp_path / name) for name in names]
    for file in files:
        with open(file, "w") as opened:
            opened.write("x" * 100)
    monkeypatch.setattr(plan, "GROUP", 350)
    assert [len(group) for group in plan.groups(files)] == [5, 5, 5, 5]
    other = [str(tmp_path / f"RvsEpochSpectrum_{i:06d}-{i + 1:06d}.csv.gz") for i in range(20)]
    for file in other:
        with open(file, "w") as opened:
            opened.write("x" * 100)
    assert [len(group) for group in plan.groups(other)] == [3] * 6 + [2]


@pytest.mark.parametrize("name", ["labels.fits", "labels.csv"])
def test_one_table(inputs, made, tmp_path, name, kept_workers):
    catalog.fit_catalog(inputs, tmp_path / name, **MADE)
    table, expected = QTable.read(tmp_path / name), catalog.read_catalog(made)
    assert list(table["source_id"]) == [1, 2, 3, 4]
    if name.endswith("csv"):
        np.testing.assert_allclose(json.loads(table["transit_velocities"][0]), expected["transit_velocities"][0])
        return
    velocities, ids = (np.ma.filled(table[n], -1 if n == "transit_ids" else np.nan)
                       for n in ("transit_velocities", "transit_ids"))  # fmt: skip
    assert velocities.shape == ids.shape == (4, 14)
    np.testing.assert_allclose(velocities[0, :3], expected["transit_velocities"][0])
    assert np.isnan(velocities[0, 3:]).all() and np.all(ids[0, 3:] == -1)
    assert list(ids[2]) == list(expected["transit_ids"][2])


@pytest.mark.parametrize("ending", ["fits", "ecsv", "csv", "vot"])
def test_one_table_without_stars(tmp_path, ending, kept_workers):
    (tmp_path / "a.csv").write_text("no,spectrum\n1,2\n")
    summary = catalog.fit_catalog(tmp_path / "a.csv", tmp_path / f"stars.{ending}", **MADE)
    assert (summary.spectra, summary.rejected) == (0, 1)
    table = QTable.read(summary.path)
    assert len(table) == 0 and {"teff", "transit_velocities"} < set(table.colnames)


def test_other_readers(made):
    part = sorted(made.glob("part-*"))[0]
    schema = pq.read_schema(part)
    assert str(schema.field("transit_velocities").type.value_type) == "double"
    assert schema.field("transit_velocities").metadata[b"unit"] == b"km/s"
    pandas = pytest.importorskip("pandas")
    assert len(pandas.read_parquet(made)["transit_velocities"][2]) == 14


def test_the_report_has_the_worst_transit(made, tmp_path):
    catalog.write_report(made, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img") == 6 and "cannot be fitted" not in page


def test_what_is_refused(inputs, tmp_path):
    with pytest.raises(SettingsError, match="transits='both': use 'alone' or 'joint'"):
        catalog.fit_catalog(inputs, tmp_path / "out", **{**MADE, "transits": "both"})
    with pytest.raises(SettingsError, match="errors='sampled': transits are fitted together with errors='gaussian'"):
        catalog.fit_catalog(inputs, tmp_path / "out", errors="sampled", **MADE)
    assert not (tmp_path / "out").exists()
