"""Principal components of spectra, measures of error, and the error model of an emulator."""

from dataclasses import replace

import numpy as np
import pytest
from training_fixtures import NODES

from rvsemu.emulator.network import DenseNetwork, Layer
from rvsemu.emulator.pca import MeanSpectrum, PrincipalComponents
from rvsemu.training.accuracy import TEFF_EDGES, error_model, metrics, rms_by_teff, teff_edges
from rvsemu.training.draws import PAPER_WAVELENGTH, TrainingSet
from rvsemu.training.fit import measured_emulator, r2_of


# ---------------------------------------------------------------- principal components
@pytest.fixture(scope="module")
def flux():
    """200 spectra of 50 pixels that span 12 dimensions and a little noise."""
    rng = np.random.default_rng(4)
    return (1 + 0.1 * rng.normal(size=(200, 12)) @ rng.normal(size=(12, 50))).astype("f4")


def test_components_have_unit_variance_and_are_orthonormal(flux):
    principal = PrincipalComponents.of(flux, 8)
    np.testing.assert_allclose(principal.basis @ principal.basis.T, np.eye(8), rtol=0, atol=1e-12)
    coefficients = principal.coefficients(flux, batch=64)
    assert coefficients.shape == (200, 8) and coefficients.dtype == "f4"
    np.testing.assert_allclose(coefficients.mean(axis=0), 0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(coefficients.std(axis=0), 1, rtol=1e-4)
    assert np.all(np.diff(principal.spread) < 0)


def test_few_of_many_components_are_those_of_all():
    """What iteration finds are the leading ones of the full decomposition."""
    rng = np.random.default_rng(15)
    falling = 0.8 ** np.arange(300)
    flux = (1 + (rng.normal(size=(500, 300)) * falling) @ np.linalg.qr(rng.normal(size=(400, 300)))[0].T).astype("f4")
    few, every = PrincipalComponents.of(flux, 10), PrincipalComponents.of(flux, 20)
    np.testing.assert_allclose(few.spread, every.spread[:10], rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(few.basis * every.basis[:10], axis=1)), 1, rtol=0, atol=1e-9)


def test_all_components_rebuild_the_spectra(flux):
    principal = PrincipalComponents.of(flux, 12)
    rebuilt = principal.mean + (principal.coefficients(flux) * principal.spread) @ principal.basis
    np.testing.assert_allclose(rebuilt, flux, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_spectra_stay_as_they_are(flux, kind):
    given = flux.astype(kind)
    PrincipalComponents.of(given, 8)
    np.testing.assert_array_equal(given, flux.astype(kind))


@pytest.mark.parametrize(("n", "components"), [(200, 50), (10, 200), (200, 12)])
def test_no_more_components_than_the_spectra_span(flux, n, components):
    """Directions without variance would turn other spectra's coefficients into huge numbers."""
    principal = PrincipalComponents.of(flux[:n], components)
    assert len(principal.spread) == min(n - 1, 12)
    assert np.max(np.abs(principal.coefficients(flux))) < 100


def test_weights_turn_the_loss_into_that_of_flux(flux):
    principal = PrincipalComponents.of(flux, 8)
    true, wrong = np.random.default_rng(5).normal(size=(2, 30, 8))
    weighted = np.mean(principal.weights * (true - wrong) ** 2)
    in_flux = np.mean((((true - wrong) * principal.spread) @ principal.basis) ** 2)
    assert weighted == pytest.approx(in_flux, rel=1e-10)


def test_merged_decoder_is_the_decoder_and_the_components(flux):
    principal, rng = PrincipalComponents.of(flux, 8), np.random.default_rng(6)
    decoder = DenseNetwork(
        [
            Layer(rng.normal(size=(3, 10)).astype("f4"), rng.normal(size=10).astype("f4"), "silu"),
            Layer(rng.normal(size=(10, 8)).astype("f4"), rng.normal(size=8).astype("f4"), "linear"),
        ]
    )
    latent = rng.normal(size=(20, 3))
    merged = principal.merged(decoder)
    assert len(merged.layers) == 2 and merged.layers[1].weights.dtype == "f4"
    by_hand = principal.mean + (decoder(latent).astype("f8") * principal.spread) @ principal.basis
    np.testing.assert_allclose(merged(latent), by_hand, rtol=0, atol=2e-6)
    bent = DenseNetwork([replace(decoder.layers[0]), replace(decoder.layers[1], activation="relu")])
    with pytest.raises(ValueError, match="ends in relu"):
        principal.merged(bent)


def test_mean_spectrum_goes_into_the_last_bias(flux):
    codec = MeanSpectrum.of(flux)
    np.testing.assert_allclose(codec.coefficients(flux) + flux.mean(axis=0), flux, rtol=0, atol=1e-6)
    rng = np.random.default_rng(16)
    decoder = DenseNetwork([Layer(rng.normal(size=(3, 50)).astype("f4"), rng.normal(size=50).astype("f4"))])
    latent = rng.normal(size=(20, 3))
    np.testing.assert_allclose(codec.merged(decoder)(latent), decoder(latent) + flux.mean(axis=0), rtol=0, atol=2e-6)


# ---------------------------------------------------------------- metrics
def test_metrics_by_brute_force():
    rng = np.random.default_rng(7)
    true = rng.uniform(0, 1, (30, 5))
    true[:, 3] = 0.7  # does not vary: no variance to explain
    true[:4, 1] = 0.0  # no relative error
    predicted = true + rng.normal(0.02, 0.05, (30, 5))
    squares, absolutes, relatives, largest = [], [], [], []
    for t_row, p_row in zip(true, predicted, strict=True):
        for t, p in zip(t_row, p_row, strict=True):
            squares.append((p - t) ** 2)
            absolutes.append(abs(p - t))
            if abs(t) > 0.01:
                relatives.append(abs(p - t) / t)
        largest.append(max(abs(p - t) for t, p in zip(t_row, p_row, strict=True)))
    r2, explained = [], []
    for j in (0, 1, 2, 4):
        t, p = true[:, j], predicted[:, j]
        total = sum((x - sum(t) / 30) ** 2 for x in t)
        r2.append(1 - sum((a - b) ** 2 for a, b in zip(t, p, strict=True)) / total)
        e = [b - a for a, b in zip(t, p, strict=True)]
        explained.append(1 - sum((x - sum(e) / 30) ** 2 for x in e) / total)
    got = metrics(true, predicted)
    expected = {
        "mse": sum(squares) / 150,
        "rms": (sum(squares) / 150) ** 0.5,
        "mae": sum(absolutes) / 150,
        "r2": sum(r2) / 4,
        "explained_variance": sum(explained) / 4,
        "mean_relative_error": sum(relatives) / len(relatives),
        "p99_max_error": sorted(largest)[28] + 0.71 * (sorted(largest)[29] - sorted(largest)[28]),
    }
    assert got == pytest.approx(expected, rel=1e-9)
    assert got["explained_variance"] > got["r2"]  # there is a bias
    assert all(type(x) is float for x in got.values())


def test_metrics_of_perfection():
    true = np.random.default_rng(8).uniform(0.5, 1, (20, 3)).astype("f4")
    got = metrics(true, true)
    assert (got["mse"], got["mae"], got["r2"], got["explained_variance"]) == (0, 0, 1, 1)


def test_rms_by_teff():
    teff = np.array([3600.0, 4000, 5000, 5500, 6000])
    error = np.arange(10.0).reshape(5, 2)
    got = rms_by_teff(teff, error, [3600, 5000, 5200, 5400, 6000])
    assert [(x["teff_low"], x["teff_high"], x["spectra"]) for x in got] == [
        (3600, 5000, 2),
        (5000, 5200, 1),
        (5400, 6000, 1),
    ]
    assert [x["rms"] for x in got] == pytest.approx([np.sqrt(14 / 4), np.sqrt(41 / 2), np.sqrt(85 / 2)])


def test_error_model_is_the_rms_by_teff():
    rng = np.random.default_rng(9)
    teff = np.concatenate([rng.uniform(3600, 4200, 50), rng.uniform(5000, 6000, 50), [9000.0]])
    error = np.concatenate([np.full((50, 3), 0.01), np.full((50, 3), -0.002), np.ones((1, 3))]).astype("f4")
    model = error_model(teff, error)
    assert model.teff.tolist() == [3850, 5500]  # one star is no measurement
    np.testing.assert_allclose(model.sigma, [[0.01] * 3, [0.002] * 3], rtol=1e-6)
    alone = error_model(teff[:50], error[:50])
    np.testing.assert_allclose(alone([3600.0, 15000.0]), 0.01, rtol=1e-6)


def test_error_model_of_stars_beyond_the_usual_ranges():
    """Every star counts; where all are inside, there are no other ranges."""
    rng = np.random.default_rng(9)
    teff = rng.uniform(2200, 49000, 4000)
    scatter = np.select([teff < 3000, teff < 15001], [0.01, 0.002], 0.02)
    error = rng.normal(size=(4000, 20)) * scatter[:, None]
    labels = {"mh": rng.uniform(-4, 2, 4000)}
    error *= np.where(labels["mh"] < -2.5, 3.0, 1.0)[:, None]
    model = error_model(teff, error, labels)
    for star, expected in ((2750.0, 0.01), (7000.0, 0.002), (25000.0, 0.02), (48000.0, 0.02)):
        assert model([star], mh=np.array([0.0]))[0].mean() == pytest.approx(expected, rel=0.1)
    assert sum(x["spectra"] for x in rms_by_teff(teff, error, teff_edges(teff))) == 4000
    poor = model([25000.0], mh=np.array([-4.0]))[0].mean() / model([25000.0], mh=np.array([-1.0]))[0].mean()
    assert 2.3 < poor <= 3.05  # the lowest range begins at -1.5
    for inside in ([3500.0, 15000.0], [4000.0]):
        np.testing.assert_array_equal(teff_edges(inside), TEFF_EDGES)
    assert [len(teff_edges([x])) - len(TEFF_EDGES) for x in (3499, 2999, 1500, 15001, 18000, 60000)] == [
        1,
        2,
        3,
        1,
        2,
        6,
    ]


def test_error_model_has_factors_by_metallicity():
    """Twice the error where metals are rich: what the model says is what was put in, in each range."""
    rng = np.random.default_rng(12)
    teff, mh = np.repeat([3900.0, 5500.0], 3000), rng.uniform(-1.5, 1.5, 6000)
    level = np.where(mh < 0.5, 1.0, 2.0)[:, None] * np.where(teff < 4500, 0.01, 0.002)[:, None]
    model = error_model(teff, level * rng.normal(size=(6000, 50)), {"mh": mh})
    for metals, expected in ((-1.4, 0.01), (-0.4, 0.01), (0.2, 0.01), (0.8, 0.02), (1.4, 0.02)):
        assert np.sqrt(np.mean(model([3900.0], mh=metals) ** 2)) == pytest.approx(expected, rel=0.05)
    poor = error_model(teff[:5], level[:5] * np.ones(50), {"mh": mh[:5]})  # too few for any factor
    np.testing.assert_allclose(poor([3900.0], mh=-1.0), poor([3900.0], mh=1.0))


def test_factors_of_labels_that_go_together():
    """Giants are metal-poor more often than dwarfs: each label gets its own factor all the same."""
    rng = np.random.default_rng(13)
    teff, logg = np.full(8000, 5500.0), rng.uniform(0, 5, 8000)
    mh = np.where(rng.random(8000) < logg / 5, 0.25, -2.0)
    level = np.where(logg < 2, 3.0, 1.0) * np.where(mh < 0, 1.0, 2.0)
    model = error_model(
        teff, 0.001 * level[:, None] * rng.normal(size=(8000, 40)), {"teff": teff, "logg": logg, "mh": mh}
    )
    for gravity, metals, expected in ((0.0, -2.0, 0.003), (1.5, 0.25, 0.006), (4.5, -2.0, 0.001), (4.5, 0.25, 0.002)):
        assert np.sqrt(np.mean(model([5500.0], logg=gravity, mh=metals) ** 2)) == pytest.approx(expected, rel=0.05)


def test_error_model_has_the_leading_components():
    """Errors of known covariance: two common patterns and independent noise."""
    rng = np.random.default_rng(10)
    patterns = np.array([np.sin(np.arange(60) / 5), np.cos(np.arange(60) / 9)]) * [[0.02], [0.01]]
    teff = np.repeat([3900.0, 5500.0], 4000)
    error = rng.normal(size=(8000, 2)) @ patterns + 0.003 * rng.normal(size=(8000, 60))
    model = error_model(teff, error, components=2)
    variance, low_rank = model.covariance(4700.0)
    found = np.diag(variance) + low_rank.T @ low_rank
    np.testing.assert_allclose(found, patterns.T @ patterns + 9e-6 * np.eye(60), atol=3e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(found)), model([4700.0])[0], rtol=0.02)
    few = error_model(teff[::400], error[::400], components=15)  # fewer spectra than components
    assert few.components.shape == (2, 15, 60) and not few.components[:, 10:].any()
    np.testing.assert_allclose(few.covariance(3900.0)[0], 0, atol=1e-12)


def test_measuring_without_slow_rotators():
    """A small validation set need not have any: everything else is measured all the same."""
    rng, space = np.random.default_rng(10), NODES.label_space()
    labels = rng.uniform(space.lower, space.upper, (40, 6))
    labels[:, 2] = rng.uniform(100, 300, 40)
    flux = rng.uniform(0.5, 1, (40, 4000)).astype("f4")
    sets = TrainingSet(labels, flux, np.arange(40) < 30, PAPER_WAVELENGTH)
    label_network = DenseNetwork([Layer(np.zeros((6, 8), "f4"), np.zeros(8, "f4"))])
    decoder = DenseNetwork([Layer(np.zeros((8, 4000), "f4"), np.full(4000, 0.75, "f4"))])
    emulator = measured_emulator(NODES, sets, space, (label_network, decoder), "air")
    assert "linked_vsini_below_30" not in emulator.info["metrics"]
    expected = np.sqrt(np.mean((flux[:30].astype("f8") - 0.75) ** 2))
    assert emulator.info["metrics"]["linked"]["rms"] == pytest.approx(expected, rel=1e-6)
    assert emulator.info["metrics"]["rounding_max_change"] == 0
    variance = flux[:30].astype("f8").var(axis=0)
    r2 = np.mean(1 - np.mean((flux[:30].astype("f8") - 0.75) ** 2, axis=0) / variance)
    assert r2_of(emulator.info) == pytest.approx(r2, rel=1e-6)


def test_r2_of_a_model_without_metrics():
    assert np.isnan(r2_of({})) and np.isnan(r2_of({"metrics": {"test": {"teff": 3.0}}}))
    assert r2_of({"metrics": {"test_r2": {"teff": 0.3}}}) == 0.3
