"""Fits of spectra with known labels, and of real Gaia stars with labels from the literature."""

import dataclasses
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.table import QTable, vstack
from fit_fixtures import RVS, SUN, fit, observe, replace, values
from specutils import Spectrum

import rvsemu
from rvsemu.emulator.network import DenseNetwork, Layer

STARS = {
    "cool dwarf": ({"teff": 4300, "logg": 4.6, "vsini": 4, "mh": 0.1}, -31.0),
    "giant": ({"teff": 4600, "logg": 2.3, "vsini": 3, "mh": -0.6}, 64.0),
    "metal-poor": ({"teff": 5600, "logg": 3.8, "vsini": 5, "mh": -1.3}, 2.0),
    "F star": ({"teff": 6700, "logg": 4.1, "vsini": 45, "mh": -0.2}, -77.0),
    "fast A star": ({"teff": 8600, "logg": 4.0, "vsini": 220, "mh": 0.2}, 12.0),
    "late B star": ({"teff": 12500, "logg": 3.9, "vsini": 80, "mh": 0.0}, 25.0),
}


@pytest.mark.parametrize("name", STARS)
def test_recovers_injected_labels(name, emulator):
    labels, velocity = STARS[name]
    truth = SUN | labels
    found = fit(
        observe(emulator, truth, velocity, seed=3),
        emulator=emulator,
        priors={"resolution": (11500, 200), "vmic": (1.2, 0.5)},
        noise_correlation=(),
    )
    truth = truth | {"radial_velocity": velocity}
    assert 0.9 < found.reduced_chi2 < 1.1
    assert found.residual_rms == pytest.approx(1 / 200, rel=0.1)
    for label, value in truth.items():
        assert abs(found.labels[label].value - value) < 4 * found.errors[label].value, label
    assert found.errors["teff"] < 0.02 * found.teff
    assert found.errors["logg"].value < 0.3


def test_noiseless_spectrum_gives_exact_labels_and_continuum(emulator):
    spectrum = observe(emulator, velocity=-8.0)
    found = fit(spectrum, emulator=emulator, priors={}, fixed={"resolution": 11500})
    assert found.teff.value == pytest.approx(5777, abs=3)
    assert found.logg.value == pytest.approx(4.44, abs=0.01)
    assert found.radial_velocity.value == pytest.approx(-8, abs=0.02)
    x = (RVS - RVS.mean()) / np.ptp(RVS)
    np.testing.assert_allclose(found.continuum, 1.01 + 0.05 * x - 0.03 * x**2, atol=1e-3)
    np.testing.assert_allclose(found.model.flux.value, spectrum.flux.value, atol=1e-3)


def test_result_is_complete(result, sun, emulator):
    assert result.teff.unit == u.K
    assert result.radial_velocity.unit == u.km / u.s
    assert result.resolution.unit == u.dimensionless_unscaled
    assert result.free_names == (*SUN, "radial_velocity")
    diagonal = np.sqrt(np.diag(result.covariance))
    np.testing.assert_allclose(diagonal, [result.errors[n].value for n in result.free_names])
    assert np.linalg.eigvalsh(result.covariance / np.outer(diagonal, diagonal)).min() > 0
    used = ~result.observed.mask
    assert result.n_pixels == used.sum()
    plain = fit(sun, emulator=emulator, noise_correlation=(), robust=False)
    residual = (sun.flux - plain.model.flux).value[used] * 200
    assert plain.chi2 == pytest.approx(np.sum(residual**2), rel=1e-6)
    assert result.model.flux.shape == sun.flux.shape == result.continuum.shape
    assert result.meta["source_id"] == 123456789012345678
    assert result.meta["recipe"] == rvsemu.shipped().info["recipe"]
    for text in ("teff", "+-", "reduced chi2", "flags"):
        assert text in repr(result)
    assert "teff" in dir(result)
    with pytest.raises(AttributeError, match="its labels are teff"):
        _ = result.temperature


class OwnUncertainty(InverseVariance):
    """Like that of a package with an uncertainty of its own."""


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance, OwnUncertainty])
def test_kinds_of_uncertainty_agree(kind, sun, result, emulator):
    power = 2 if kind is VarianceUncertainty else -2
    other = fit(
        replace(sun, uncertainty=kind(np.full(len(RVS), 200.0**-power))),
        emulator=emulator,
        noise_correlation=(),
    )
    np.testing.assert_allclose(values(other), values(result), rtol=1e-6)


def test_units_and_medium_do_not_matter(sun, result, emulator):
    flux = u.Unit("erg / (s cm2 AA)")
    scaled = replace(
        sun,
        spectral_axis=RVS / 1e4 * u.um,
        flux=3e-14 * sun.flux.value * flux,
        uncertainty=StdDevUncertainty(np.full(len(RVS), 3e-14 / 200), unit=flux),
        meta={},
    )
    other = fit(scaled, emulator=emulator, medium="vacuum", noise_correlation=())
    np.testing.assert_allclose(values(other), values(result), rtol=1e-3, atol=1e-3)
    assert other.model.flux.unit == flux
    assert other.residual_rms == pytest.approx(result.residual_rms, rel=1e-3)

    air = rvsemu.physics.wavelengths.vacuum_to_air(RVS)
    other = fit(
        replace(sun, spectral_axis=air * u.AA, meta={"medium": "air"}),
        emulator=emulator,
        noise_correlation=(),
    )
    np.testing.assert_allclose(values(other), values(result), rtol=1e-3, atol=1e-3)


def test_sigma_argument_replaces_the_uncertainty(sun, result, emulator):
    bare = replace(sun, uncertainty=None)
    other = fit(bare, emulator=emulator, sigma=0.005 * u.dimensionless_unscaled, noise_correlation=())
    np.testing.assert_allclose(values(other), values(result), rtol=1e-6)


def test_result_survives_pickling(result):
    again = pickle.loads(pickle.dumps(result))
    assert again.teff == result.teff
    np.testing.assert_array_equal(again.model.flux, result.model.flux)


def test_table_round_trip(tmp_path, result, sun, emulator):
    other = fit(sun, emulator=emulator, fixed={"vmic": 1.0}, radial_velocity=(5, 9))
    other.meta.pop("source_id")
    table = vstack([result.to_table(), other.to_table()])
    path = tmp_path / "fits.ecsv"
    table.write(path)
    again = QTable.read(path)
    assert again.colnames == table.colnames
    assert again["source_id"][0] == 123456789012345678 and np.ma.is_masked(again["source_id"][1])
    assert again["teff"].unit == u.K
    np.testing.assert_allclose(again["teff"].value, [result.teff.value, other.teff.value])
    np.testing.assert_allclose(again["vmic_error"].value, [result.errors["vmic"].value, 0.0])
    assert again["flags"].tolist() == ["none", ",".join(other.flags)]
    assert "at-bound:radial_velocity" in again["flags"][1]


def test_emulator_with_other_labels(emulator):
    """Five labels: the resolution is built in."""
    first, *rest = emulator.label_network.layers
    at = emulator.labels["resolution"].scaled(np.array(11500.0))
    fewer = dataclasses.replace(
        emulator,
        labels=type(emulator.labels)(emulator.labels.labels[:5]),
        label_network=DenseNetwork(
            [Layer(first.weights[:5], first.bias + at * first.weights[5], first.activation), *rest]
        ),
    )
    labels = {k: v for k, v in SUN.items() if k != "resolution"}
    found = fit(observe(fewer, labels, seed=8), emulator=fewer, noise_correlation=())
    assert found.free_names == (*labels, "radial_velocity")
    assert abs(found.teff.value - 5777) < 4 * found.errors["teff"].value
    assert "resolution" not in found.to_table().colnames


def test_kepler_93():
    """Literature: 5669 K, 4.468 (asteroseismic), -0.18."""
    spectrum = Spectrum.read(rvsemu.example_path("kepler-93"), format="Gaia DR3 RVS")
    found = rvsemu.fit(spectrum)
    assert abs(found.teff.value - 5669) < 100
    assert abs(found.logg.value - 4.468) < 2 * found.errors["logg"].value and found.errors["logg"].value < 0.25
    assert abs(found.mh.value + 0.18) < 0.15
    assert abs(found.radial_velocity.value) < 2
    noise = np.nanmedian(spectrum.uncertainty.array / spectrum.flux.value)
    assert found.residual_rms < 1.35 * noise
    assert "poor-fit" not in found.flags
    assert found.to_table()["source_id"][0] == 2052747119115620352
