"""Calibration on observed stars: what it recovers, when it refuses, what the file says, and what it is made of."""

from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table
from calibration_fixtures import BEGIN, ERRORS, error_of, observed, part, sky, some_labels, table_of

import rvsemu
from rvsemu.calibration import LEAST_FROM_SCRATCH, LEAST_STARS, calibrate
from rvsemu.calibration.coordinates import Coordinates
from rvsemu.calibration.correction import Linear, Prior, solve
from rvsemu.calibration.label_errors import deviations
from rvsemu.calibration.labels import LabelTable, Wanted, matched
from rvsemu.calibration.rounds import Work
from rvsemu.calibration.scratch import from_nothing
from rvsemu.calibration.selection import folds_of, surely_less
from rvsemu.calibration.stars import Star, locate
from rvsemu.calibration.verb import against
from rvsemu.cli import main
from rvsemu.emulator import DenseNetwork, Emulator
from rvsemu.errors import CalibrationError, ComparisonError, SettingsError
from rvsemu.fitting import Settings
from rvsemu.observing import MODEL_ERRORS
from rvsemu.spectra import write_spectrum

SETTINGS = {"mask": "edges", "progress": False}
STARS = 20


@pytest.fixture(scope="module")
def made():
    """A calibration on stars of a sky whose lines are others."""
    labels = some_labels(STARS, seed=1)
    return calibrate(observed(labels), table_of(labels), emulator=part(), **SETTINGS)


def test_a_known_perturbation_is_recovered_on_stars_that_were_not_used(made):
    others = some_labels(200, seed=2)
    assert made.improved
    assert error_of(made.emulator, others) < 0.4 * error_of(part(), others)


def test_what_is_reported_agrees_with_the_truth(made):
    """The residuals of held-out stars fall as the error does, and the error model covers what is left."""
    others = some_labels(200, seed=2)
    before, after = (made.report["held_out"][when] for when in ("before", "after"))
    assert after["rms_less_noise"] < 0.6 * before["rms_less_noise"]
    assert after["rms"] > 0.008  # the noise is still there
    left = error_of(made.emulator, others)
    stated = np.hypot(
        np.sqrt(np.mean(made.emulator.sigma(others) ** 2)), np.sqrt(np.mean(_model_sigma(made, others) ** 2))
    )
    assert 0.5 * left < stated < 2.0 * left
    assert _model_sigma(made, others).mean() < 0.7 * MODEL_ERRORS["gaia-rvs"].sigma(part().flux(others)).mean()


def _model_sigma(made, labels):
    return Settings(emulator=made.emulator).model_error.sigma(made.emulator.flux(labels))


def test_stars_of_another_kind_stay_as_they_were(made):
    hot = some_labels(50, seed=4)
    hot[:, 0] += 6500
    change = made.emulator.flux(hot) - part().flux(hot)
    near = some_labels(50, seed=4)
    most = made.emulator.flux(near) - part().flux(near)
    assert np.sqrt(np.mean(change**2)) < 0.2 * np.sqrt(np.mean(most**2))


def test_labels_on_another_scale_are_said(made):
    """The corrected emulator gives them back, and neither misfit nor errors of its fits tell."""
    labels = some_labels(16, seed=4)
    table = table_of(labels)
    table["mh"] = np.clip(table["mh"] - 0.5, -1.4, 0.5)
    result = calibrate(observed(labels), table, emulator=part(), **SETTINGS)
    assert result.report["fitted_less_given"]["mh"]["median"] == pytest.approx(0.5, abs=0.2)
    assert "  mh: by more than is to be expected of synthetic spectra" in str(result)
    assert "fits with the emulator as it was, less given labels" in str(made)
    assert "by more than is to be expected" not in str(made)


def test_labels_of_other_stars_are_said(made):
    """Rows of a table in another order: the correction would still seem to be an improvement."""
    labels = some_labels(16, seed=4)
    table = table_of(labels)
    for name in ("teff", "logg", "mh"):
        table[name] = np.random.default_rng(1).permutation(np.asarray(table[name]))
    assert "mixed up?" in str(calibrate(observed(labels), table, emulator=part(), **SETTINGS))
    assert "mixed up?" not in str(made)


@pytest.mark.parametrize("perturbed", [False, True])
def test_five_stars_never_make_it_worse(perturbed):
    labels, others = some_labels(5, seed=11), some_labels(200, seed=2)
    result = calibrate(few() if perturbed else observed(labels, False), table_of(labels), emulator=part(), **SETTINGS)
    if not perturbed:
        assert not result.improved and "left as it is" in str(result)
    assert error_of(result.emulator, others, perturbed) <= error_of(part(), others, perturbed)
    if not result.improved:
        assert result.emulator is part()


def test_the_command_writes_an_ordinary_emulator(made, tmp_path, capsys):
    labels = some_labels(9, seed=6)
    table = table_of(labels, errors=False)
    table["name"] = [f"star-{i}.fits" for i in range(len(labels))]
    table.remove_column("source_id")
    table.rename_column("teff", "T")
    table.write(tmp_path / "labels.csv")
    for name, spectrum in zip(table["name"], observed(labels), strict=True):
        write_spectrum(spectrum, tmp_path / name)
    files = [str(tmp_path / name) for name in table["name"]]
    part().save(tmp_path / "part.h5")
    command = ["calibrate", "--spectra", *files, "--labels", str(tmp_path / "labels.csv"), "--quiet"]
    command += ["--emulator", str(tmp_path / "part.h5"), "--mask", "edges", "-o", str(tmp_path / "out.h5")]
    errors = [word for name, error in ERRORS.items() for word in ("--label-error", f"{name}={error}")]
    assert main([*command, "--column", "teff=T", "--column", "file=name", *errors]) == 0
    assert "9 stars, 9 spectra, 0 left out" in capsys.readouterr().out
    emulator = Emulator.load(tmp_path / "out.h5")
    others = some_labels(100, seed=2)
    assert error_of(emulator, others) < 0.6 * error_of(part(), others)
    assert emulator.info["calibration"]["labels"] == ("teff", "logg", "mh")
    assert main(["info", str(tmp_path / "out.h5")]) == 0
    assert "calibrated on 9 stars of labels.csv by their teff, logg, mh" in capsys.readouterr().out
    with pytest.raises(CalibrationError, match="calibrated before"):
        calibrate(observed(labels[:1]), table_of(labels), emulator=emulator)


# ---------------------------------------------------------------- what is refused
@cache
def few():
    """Five stars."""
    return observed(some_labels(5, seed=11))


def refused(error, match, table=None, **arguments):
    known = table_of(some_labels(5, seed=11)) if table is None else table
    with pytest.raises(error, match=match):
        calibrate(few(), known, **{"emulator": part(), "progress": False, **arguments})


def test_tables_that_do_not_do():
    table = table_of(some_labels(5, seed=11))
    refused(CalibrationError, r"teff has no errors: .*--label-error teff=", table=table[["source_id", "teff"]])
    refused(CalibrationError, "no column of Gaia source_ids or of file names", table=table[["teff", "teff_error"]])
    refused(CalibrationError, "no column of labels", table=table["source_id",])
    refused(CalibrationError, "the table has no rows", table=table[:0])
    refused(ComparisonError, "has no column TEFFF: did you mean teff", columns={"teff": "TEFFF"})
    refused(SettingsError, "column 'colour': name one of", columns={"colour": "x"})
    refused(SettingsError, "label error of teff, -1: give a positive number", label_errors={"teff": -1})
    table["source_id"] += 10**6
    refused(CalibrationError, r"none of 5 spectra has labels .*not in the table.*--column source_id=NAME", table=table)


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (("GAIAEDR3_SOURCE_ID", "TEFF", "TEFF_ERR", "LOGG", "LOGG_ERR", "M_H", "M_H_ERR"), "ASPCAPFLAG == 0"),
        (("gaiadr3_source_id", "teff", "e_teff", "logg", "e_logg", "fe_h", "e_fe_h"), "flag_sp == 0"),
        (("gaia_source_id", "teff", "teff_err", "logg", "logg_err", "feh", "feh_err"), "snrz > 30"),
    ],
    ids=["APOGEE", "GALAH", "LAMOST"],
)
def test_tables_of_surveys(names, good):
    """Rows are found by the source_id of the spectra, and those that meet no cut are left out, which is said."""
    table = table_of(some_labels(5, seed=11))
    table.rename_columns(table.colnames, names)
    if names[0] == "gaia_source_id":
        table[names[0]] = [str(number) for number in table[names[0]]]  # as LAMOST has it
    column = good.split()[0]
    table[column] = [50] * 5 if ">" in good else [0] * 5
    table[column][1] = 8
    made = LabelTable.read(table, Wanted(part().labels, cuts=[good]))
    stars, left_out = matched(made, few())
    assert left_out == [(str(BEGIN + 1), "does not meet the cuts")]
    assert stars[2].labels["mh"] == (table[names[5]][3], 0.05) and len(stars) == 4
    refused(SettingsError, "is one text: give a list", cuts=good)


def found_in(table, **meta):
    """Teff of a spectrum, or why it has none."""
    made = LabelTable.read(Table(table), Wanted(part().labels, errors={"teff": 50.0}))
    found = made.labels_for(SimpleNamespace(meta=meta))
    return found if isinstance(found, str) else found["teff"][0]


def test_a_spectrum_never_has_the_labels_of_another_source_in_its_file():
    table = {"source_id": [11, 12, 0], "file": ["bulk.csv", "bulk.csv", "own.csv"], "teff": [5000.0, 6000.0, 7000.0]}
    assert found_in(table, source_id=12, file="/data/bulk.csv") == 6000.0
    assert found_in(table, source_id=99, file="/data/bulk.csv") == "not in the table"
    assert found_in(table, source_id=99, file="/data/own.csv") == 7000.0  # whose row has no source_id
    assert found_in(table, file="/data/bulk.csv") == "2 rows of the table have the file name bulk.csv"
    table["source_id"] = [11, 11, 0]
    assert found_in(table, source_id=11, file="bulk.csv") == 5000.0
    assert found_in(table, source_id=99, file="bulk.csv") == "not in the table"


def test_files_of_one_name_are_told_apart_by_their_folders():
    table = {"file": ["a/star.fits", "b/star.fits", "all.zip:c.csv"], "teff": [5000.0, 6000.0, 7000.0]}
    assert found_in(table, file="/data/a/star.fits") == 5000.0
    assert found_in(table, file="b/star.fits") == 6000.0
    assert found_in(table, file="/data/all.zip:c.csv") == found_in(table, file="elsewhere/c.fits") == 7000.0
    assert found_in(table, file="elsewhere/star.fits") == "2 rows of the table have the file name star.fits"
    assert found_in(table, file="star.csv") == "2 rows of the table have the file name star"
    assert found_in(table, file="other.fits") == "not in the table"


def test_units_of_all_labels():
    """Those that catalogues do not have, too; and -9999 is no value."""
    table = Table({"source_id": [11, 12], "teff": [5.0, 6.0], "VSINI": [5000.0, -9999.0], "XI": [1.0, 2.0]})
    table["teff"].unit, table["VSINI"].unit = "kK", "m/s"
    columns, errors = {"vsini": "VSINI", "vmic": "XI"}, {"teff": 50.0, "vsini": 1.0, "vmic": 0.1}
    read = LabelTable.read(table, Wanted(part().labels, columns, errors))
    expected = {"teff": (5000.0, 50.0), "vsini": (5.0, 1.0), "vmic": (1.0, 0.1)}
    assert read.labels_for(SimpleNamespace(meta={"source_id": 11})) == expected
    assert read.labels_for(SimpleNamespace(meta={"source_id": 12})) == "no vsini, or no error of it, in the table"
    table["XI"].unit = "K"
    with pytest.raises(ComparisonError, match="column XI is in K: vmic has the unit km/s"):
        LabelTable.read(table, Wanted(part().labels, columns, errors))


# ---------------------------------------------------------------- from nothing
@dataclass(frozen=True)
class Learned:
    """What the command makes of 64 stars of a sky without any synthetic spectrum: a file, and what it prints."""

    path: Path
    emulator: Emulator
    text: str


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    labels, folder = some_labels(64, seed=1), tmp_path_factory.mktemp("learned")
    table_of(labels).write(folder / "labels.ecsv")
    files = [str(folder / f"{number}.fits") for number in range(len(labels))]
    for path, spectrum in zip(files, observed(labels), strict=True):
        write_spectrum(spectrum, path)
    part().save(folder / "part.h5")
    command = ["calibrate", "--from-scratch", "--labels", str(folder / "labels.ecsv"), "--quiet", "--spectra", *files]
    with redirect_stdout(StringIO()) as said:
        assert main([*command, "--emulator", str(folder / "part.h5"), "-o", str(folder / "out.h5")]) == 0
    return Learned(folder / "out.h5", Emulator.load(folder / "out.h5"), said.getvalue())


def left_of_sky(predicted, labels, grid):
    """RMS difference from the sky (n, m) but for a cubic continuum, which emulators of observed spectra do not know."""
    every = rvsemu.shipped().wavelength
    seen = sky(labels)[:, np.searchsorted(every, grid - 0.01)]
    basis = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, len(grid)), 3)
    pairs = ((star, flux[:, None] * basis) for star, flux in zip(seen, predicted, strict=True))
    left = [star - rows @ np.linalg.lstsq(rows, star, rcond=None)[0] for star, rows in pairs]
    return float(np.sqrt(np.mean(np.square(left))))


def test_an_emulator_of_observed_spectra_alone(learned):
    """Better than the mean spectrum of other stars, and than the synthetic emulator, whose lines are wrong."""
    emulator, names = learned.emulator, rvsemu.shipped().labels.names
    assert emulator.labels.names == ("teff", "logg", "mh")
    others = some_labels(300, seed=2)
    known = others[:, [names.index(name) for name in emulator.labels.names]]
    inside = np.all((known >= emulator.labels.lower) & (known <= emulator.labels.upper), axis=1)
    others, known = others[inside], known[inside]
    left = left_of_sky(emulator.flux(known).astype(float), others, emulator.wavelength)
    every = rvsemu.shipped().wavelength
    mean = sky(others)[:, np.searchsorted(every, emulator.wavelength - 0.01)].mean(axis=0)
    assert left < 0.7 * left_of_sky(np.broadcast_to(mean, (len(others), len(mean))), others, emulator.wavelength)
    shipped = rvsemu.shipped().trimmed(*emulator.wavelength[[0, -1]])
    assert left < 0.6 * left_of_sky(shipped.flux(others).astype(float), others, shipped.wavelength)


def test_what_is_learned_states_its_domain_and_what_it_leaves(learned, capsys):
    table = table_of(some_labels(64, seed=1))
    for label in learned.emulator.labels.labels:
        assert (label.lower, label.upper) == (table[label.name].min(), table[label.name].max())
    report, text = learned.emulator.info["calibration"], learned.text
    assert "64 stars, 64 spectra, 0 left out" in text and f"wrote {learned.path}" in text
    assert main(["info", str(learned.path)]) == 0
    assert "made from scratch of 64 stars of labels.ecsv" in capsys.readouterr().out
    assert report["from_scratch"] and report["stars"] == 64
    held_out = report["held_out"]
    assert held_out["after"]["rms_less_noise"] < 0.7 * held_out["before"]["rms_less_noise"]
    assert f"{held_out['after']['rms']:.4f}" in text and "the emulator is the mean spectrum and" in text
    off, added = held_out["labels"], np.sqrt(np.diag(learned.emulator.error.label_covariance))
    np.testing.assert_allclose([off[name]["added"] for name in learned.emulator.labels.names], added)
    assert "what is added to errors of fits" in text and f"{off['teff']['added']:.2g} K" in text


@pytest.mark.parametrize("lowest", [-0.05, 0.05])
def test_alpha_that_is_known_is_fitted(lowest):
    """Not held at 0, which may not even be in the range of the stars."""
    labels = some_labels(8, seed=1)
    labels[:, -1] = np.linspace(lowest, 0.3, 8)
    known = dict(zip(rvsemu.shipped().labels.names, labels.T, strict=True))
    errors = ERRORS | {"alpha": 0.02}
    stars = [
        Star(str(i), spectrum, {name: (float(known[name][i]), error) for name, error in errors.items()})
        for i, spectrum in enumerate(observed(labels, perturbed=False, signal_to_noise=300.0))
    ]
    off = against(Work(part(), {"model_error": None}, 1, False), stars)
    assert abs(off["alpha"]["median"]) < 0.05 and 0.001 < off["alpha"]["scatter"] < 0.08
    space = part().labels
    space = replace(space, labels=tuple(replace(x, lower=lowest) if x.name == "alpha" else x for x in space.labels))
    every = ({name: (float(values[i]), 0.1) for name, values in known.items()} for i in range(len(stars)))
    some = [replace(star, labels=one) for star, one in zip(stars, every, strict=True)]
    found = deviations(some, np.zeros(8, dtype=int), {0: replace(part(), labels=space)}, {"model_error": None})
    assert found.values.shape == (8, 7) and np.isfinite(found.excess).all()


@pytest.mark.parametrize("known", [(), ("alpha",), ("teff", "logg", "mh")])
def test_labels_that_the_table_lacks_are_free(known):
    """[alpha/M] too, which fits hold at 0 unless told otherwise."""
    labels = some_labels(1, seed=1)
    labels[:, -1] = 0.3
    values = dict(zip(part().labels.names, labels[0].tolist(), strict=True))
    (spectrum,) = observed(labels, perturbed=False, signal_to_noise=300.0)
    star = Star("star", spectrum, {name: (values[name], (ERRORS | {"alpha": 0.02})[name]) for name in known})
    found = locate(star, part(), {"model_error": None})
    assert set(part().labels.names) <= set(found.problem.parameters.free_names)
    assert found.theta[part().labels.names.index("alpha")] == pytest.approx(0.3, abs=0.06)


@pytest.fixture(scope="module")
def fitted(learned):
    """Deviations (n, 3) of labels of stars that the emulator has not seen, and their errors."""
    labels, emulator, names = some_labels(200, seed=8), learned.emulator, rvsemu.shipped().labels.names
    results = rvsemu.fit_many(observed(labels), emulator=emulator)
    true = labels[:, [names.index(name) for name in ERRORS]]
    found = np.array([[one.labels[name].value for name in ERRORS] for one in results])
    return found - true, np.array([[one.errors[name].value for name in ERRORS] for one in results])


def test_fits_with_an_emulator_of_observed_spectra(fitted):
    """Errors are those that labels have: known labels of others, with errors of their own, differ by as much."""
    deviation, error = fitted
    assert (np.median(np.abs(deviation), axis=0) < (250.0, 0.4, 0.15)).all()  # of ranges of 2300 K, 2.2 and 1.2 dex
    own = np.array(list(ERRORS.values()))
    known = deviation + own * np.random.default_rng(1).normal(size=deviation.shape)
    pulls = known / np.hypot(error, own)
    scatter = 1.4826 * np.median(np.abs(pulls - np.median(pulls, axis=0)), axis=0)
    assert ((0.8 < scatter) & (scatter < 1.25)).all()


def test_what_is_added_to_errors_of_labels_is_in_all_that_fits_give(learned):
    """Draws, chains and all transits together have it once, whatever the number of spectra."""
    (star,), emulator = observed(some_labels(1, seed=9)), learned.emulator
    added = emulator.error.label_covariance
    bare = replace(emulator, error=replace(emulator.error, label_covariance=np.zeros((0, 0))))
    one, without = (rvsemu.fit(star, emulator=which) for which in (emulator, bare))
    np.testing.assert_allclose((one.covariance - without.covariance)[:3, :3], added)
    assert one.labels == without.labels
    both, alone = (rvsemu.fit_transits([star, star], emulator=which) for which in (emulator, bare))
    np.testing.assert_allclose((both.covariance - alone.covariance)[:3, :3], added)
    assert not one.external_errors and not both.external_errors  # they are in the errors
    drawn, plain = (rvsemu.fit(star, emulator=which, errors="sampled") for which in (emulator, bare))
    chain, few = (rvsemu.sample(star, emulator=which, steps=400, progress=False) for which in (emulator, bare))
    for more, less in ((drawn, plain), (chain, few)):
        for i, name in enumerate(emulator.labels.names):
            expected = np.hypot(less.errors[name].value, np.sqrt(added[i, i]))
            assert more.errors[name].value == pytest.approx(expected, rel=0.2)


def test_a_covariance_of_labels_that_does_not_fit(learned):
    error = learned.emulator.error
    with pytest.raises(ValueError, match="not square"):
        replace(error, label_covariance=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="does not fit the labels"):
        replace(learned.emulator, error=replace(error, label_covariance=np.eye(2)))


def test_too_few_or_unsuitable_stars_from_scratch():
    known = {"from_scratch": True}
    wanted = rf"can be used: 5; from scratch at least {LEAST_FROM_SCRATCH} .*without --from-scratch"
    refused(CalibrationError, wanted, **known)
    moving = [replace_frame(one) for one in few()]
    with pytest.raises(CalibrationError, match="can be used: 0; .*not in the rest frame"):
        calibrate(moving, table_of(some_labels(5, seed=11)), emulator=part(), progress=False, **known)


def replace_frame(spectrum, frame="barycentric"):
    """The same spectrum, said to be in another frame."""
    parts = {name: getattr(spectrum, name) for name in ("flux", "spectral_axis", "uncertainty", "mask")}
    return type(spectrum)(**parts, meta={**spectrum.meta, "frame": frame})


def test_too_few_stars_say_why():
    table = table_of(some_labels(5, seed=11))
    table["teff"][0], table["mh"][1] = 1e5, np.nan
    refused(CalibrationError, rf"can be used: 3; at least {LEAST_STARS} .*no mh.*teff", table=table)


def test_the_command_says_it_in_one_line(tmp_path, capsys):
    table_of(some_labels(5, seed=11)).write(tmp_path / "labels.ecsv")
    write_spectrum(few()[0], tmp_path / "one.fits")
    command = ["calibrate", "--spectra", str(tmp_path / "one.fits"), "--labels", str(tmp_path / "labels.ecsv")]
    assert main([*command, "--quiet", "-o", str(tmp_path / "out.h5")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("rvsemu calibrate: error: stars with labels that can be used: 1;") and "\n" not in error
    assert not (tmp_path / "out.h5").exists()


def test_other_spectra_of_a_star_stay_if_one_cannot_be_used(monkeypatch):
    """From scratch: one of two is not at rest, and one of two has no good pixel."""
    monkeypatch.setattr("rvsemu.calibration.scratch.LEAST_FROM_SCRATCH", 4)
    known = ({"teff": (float(row[0]), 50.0)} for row in some_labels(5, seed=11))
    stars = [Star(str(i), one, labels) for i, (one, labels) in enumerate(zip(few(), known, strict=True))]
    moving = replace(stars[0], spectrum=replace_frame(stars[0].spectrum))
    dark = replace(stars[1], spectrum=replace_frame(stars[1].spectrum, "rest"))
    dark.spectrum.mask = np.ones(dark.spectrum.flux.shape, dtype=bool)
    _, used, rejects = from_nothing(Work(part(), {"mask": "edges"}, 1, False), [moving, dark, *stars])
    assert list(map(id, used)) == list(map(id, stars))
    assert [name for name, _ in rejects] == ["0", "1"] and "rest frame" in rejects[0][1]


def test_a_decoder_that_does_not_end_linearly_is_refused():
    layers = part().decoder.layers
    bent = DenseNetwork((*layers[:-1], replace(layers[-1], activation="tanh")))
    refused(CalibrationError, "only a linear one", emulator=replace(part(), decoder=bent))


# ---------------------------------------------------------------- what it is made of
@pytest.fixture
def problem():
    """A small linear problem: stars, points, and a matrix for each star's covariance."""
    rng = np.random.default_rng(8)
    stars = Linear(rng.normal(size=(6, 40)), rng.uniform(0.5, 2, (6, 40)), rng.normal(size=(6, 3, 40)))
    stars.weight[1, 5:9] = 0.0
    precision = []
    for weight, nuisance in zip(stars.weight, stars.nuisance, strict=True):
        noise = np.diag(np.where(weight > 0, weight, 1e-6) ** -2.0)
        precision.append(np.linalg.inv(noise + nuisance.T @ nuisance))
    return stars, np.array(precision)


def test_nuisances_are_marginalised(problem):
    stars, precision = problem
    np.testing.assert_allclose(
        stars.misfit(stars.residual),
        np.einsum("nm,nmk,nk->n", stars.residual, precision, stars.residual),
        rtol=1e-5,
    )


def test_the_correction_is_the_maximum_of_the_posterior(problem):
    stars, precision = problem
    g = np.random.default_rng(9).normal(size=(6, 2))
    prior = Prior(np.linspace(0.5, 2.0, 40), 1.5)
    root = np.array([prior.functions(row[None])[0] for row in np.eye(40)]).T
    design = np.array([np.kron(one[None], root) for one in g])  # (n, m, 2 m)
    normal = np.eye(80) + np.einsum("nma,nmk,nkb->ab", design, precision, design)
    expected = np.linalg.solve(normal, np.einsum("nma,nmk,nk->a", design, precision, stars.residual)).reshape(2, 40)
    np.testing.assert_allclose(prior.functions(solve(stars, g, prior)), expected @ root.T, atol=0.01)
    for rows in (np.eye(40)[3:5], np.ones((1, 40))):
        np.testing.assert_allclose(prior.adjoint(rows), rows @ root, atol=1e-12)


def test_a_corrected_decoder_adds_the_correction_times_its_coordinates():
    stars = some_labels(30, seed=1)
    coordinates = Coordinates.of(part(), stars, 4)
    values = coordinates(stars)
    assert np.abs(values[:, 0] - 1).max() < 0.1
    np.testing.assert_allclose(np.mean(values**2, axis=0), 1.0, atol=0.15)
    correction = np.random.default_rng(0).normal(scale=0.01, size=(4, len(part().wavelength)))
    change = coordinates.corrected(correction).flux(stars) - part().flux(stars)
    np.testing.assert_allclose(change, values @ correction, atol=1e-4)


def test_spectra_of_a_star_are_in_one_fold():
    names = [str(BEGIN + i // 3) for i in range(36)]
    folds = folds_of(names, seed=1)
    assert all(len(set(folds[i : i + 3])) == 1 for i in range(0, 36, 3)) and len(set(folds)) == 10
    assert len(set(folds_of(names[:12], seed=1))) == 4


def test_chance_is_not_taken_for_a_gain():
    rng = np.random.default_rng(3)
    before = rng.chisquare(500, size=(400, 8))
    taken = [surely_less(one + rng.normal(scale=5, size=8), one) for one in before]
    assert np.mean(taken) < 0.03
    assert surely_less(before[0] - rng.uniform(5, 15, 8), before[0])
    assert not surely_less(before[0, :1] - 100, before[0, :1])
