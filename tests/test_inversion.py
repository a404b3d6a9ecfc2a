"""Inversion: coefficients of whole and of observed spectra, errors, files, the command; no TensorFlow."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

import rvsemu
from rvsemu._compat import Spectrum
from rvsemu.cli import main
from rvsemu.emulator.labels import LabelSpace
from rvsemu.emulator.network import DenseNetwork, Layer
from rvsemu.emulator.pca import PrincipalComponents
from rvsemu.errors import InversionFileError, SpectrumError
from rvsemu.inversion import Inversion, LabelErrors, Limits, fit_coefficients, invert, resolve
from rvsemu.inversion import inverting as inverting_module
from rvsemu.inversion.label_errors import _between
from rvsemu.observing.noise import ModelError
from rvsemu.observing.observation import Observation
from rvsemu.physics.wavelengths import air_to_vacuum, doppler
from rvsemu.training.recipes import recipe

WAVELENGTH = 8400.0 + 0.1 * np.arange(4000)
K = 6
SPACE = recipe("inversion").label_space()  # teff and resolution enter as logarithms
NOWHERE = "none comes with this copy of rvsemu"


def exact_inversion(seed=1):
    """An inversion whose answer is known: labels are linear in the coefficients, one label a component.

    Component i is a smooth pattern; c_i = 2 z_i, z the scaled labels: a star with labels z has the spectrum
    mean + sum 2 z_i spread_i basis_i.
    """
    rng = np.random.default_rng(seed)
    centres = rng.uniform(8440, 8760, (60, 1))
    lines = np.exp(-0.5 * ((WAVELENGTH - centres) / rng.uniform(0.8, 4.0, (60, 1))) ** 2)
    basis = np.linalg.qr((rng.normal(size=(K, 60)) @ lines).T)[0].T
    spread = np.array([3.0, 2.0, 1.2, 0.9, 0.7, 0.5])
    mean = 1 - 0.3 * rng.random(60) @ lines / 3
    network = DenseNetwork([Layer(0.5 * np.eye(K, dtype="f4"), np.zeros(K, "f4"))])
    error = LabelErrors(
        np.array([4000.0, 8000.0]), np.array([0.0, 300.0]), np.tile(0.01 * (SPACE.upper - SPACE.lower), (2, 2, 1))
    )
    principal = PrincipalComponents(mean, basis, spread)
    residual, limits = np.full(4000, 1e-3), Limits(4.0, 2e-3)
    info = {"recipe": "exact", "version": "1"}
    return Inversion(SPACE, principal, (network,), WAVELENGTH, "air", error, residual, limits, info=info)


@pytest.fixture(scope="module")
def exact():
    return exact_inversion()


@pytest.fixture(scope="module")
def stars():
    """Scaled labels (n, 6), well inside of the box."""
    return np.random.default_rng(2).uniform(-0.8, 0.8, (12, K))


def fluxes(inversion, z):
    return inversion.principal.mean + (2 * z * inversion.principal.spread) @ inversion.principal.basis


def observed(inversion, z, sigma=1e-4, velocity=0.0, tilt=0.0, level=1.0, rng=None, reverse=False):
    """A spectrum of one star as the RVS has it: vacuum, 8460-8700 A, its own continuum, mask and frame."""
    vacuum = np.linspace(8460.0, 8700.0, 2401)
    rest = doppler(WAVELENGTH, velocity)
    axis = air_to_vacuum(rest)
    flux = np.interp(vacuum, axis, fluxes(inversion, z))
    continuum = level * (1 + tilt * np.linspace(-1, 1, 2401))
    noise = 0.0 if rng is None else sigma * rng.normal(size=2401)
    flux = continuum * (flux + noise)
    keep = slice(None, None, -1) if reverse else slice(None)
    return Spectrum(
        spectral_axis=vacuum[keep] * u.AA,
        flux=flux[keep] * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty((continuum * sigma)[keep]),
        meta={"medium": "vacuum", "frame": "rest", "source_id": 7},
    )


PLAIN = {"mask": None, "noise_correlation": (), "model_error": None}


def scaled(result):
    return SPACE.scaled(np.array([result.labels[name].value for name in SPACE.names]).T)


# ---------------------------------------------------------------- fluxes on the inversion's own wavelengths
def test_labels_of_fluxes(exact, stars):
    result = invert(fluxes(exact, stars), inversion=exact)
    np.testing.assert_allclose(scaled(result), stars, rtol=0, atol=2e-5)
    assert result.teff.shape == (12,) and result.teff.unit == u.K
    assert result.resolution.unit == u.dimensionless_unscaled
    assert result.flags == [()] * 12
    assert np.all(result.residual_rms < 1e-5)
    assert "12 spectra" in repr(result)
    labels, errors = exact.estimate(fluxes(exact, stars))
    np.testing.assert_allclose(labels[:, 0], result.teff.value)
    np.testing.assert_allclose(errors[:, 1], 0.03, rtol=1e-6)
    one = invert(fluxes(exact, stars)[3], inversion=exact)
    assert one.teff.shape == () and one.flags == ()
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


def curved(exact, seed=3):
    rng = np.random.default_rng(seed)
    layers = [
        Layer((0.4 * rng.normal(size=(K, 20))).astype("f4"), rng.normal(size=20).astype("f4"), "silu"),
        Layer((0.2 * rng.normal(size=(20, K))).astype("f4"), np.zeros(K, "f4")),
    ]
    return replace(exact, networks=(DenseNetwork(layers),))


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
        ("at-bound:vsini",),
        ("at-bound:logg", "outside-domain:logg"),
        ("unlike-training",),
    ]
    assert result.vsini[1].value == 0 and result.logg[2].value == 5
    assert result.residual_rms[3] == pytest.approx(0.05 / np.sqrt(2), rel=0.05)
    far = replace(exact, limits=Limits(0.5, 2e-3))
    assert "unlike-training" in invert(fluxes(exact, np.full(K, 0.7)), inversion=far).flags


@pytest.mark.parametrize(
    ("flux", "settings", "message"),
    [
        (np.ones(10), {}, r"fluxes have the shape \(10,\): give \(4000,\)"),
        (np.ones((2, 2, 4000)), {}, "shape"),
        (np.ones((0, 4000)), {}, "shape"),
        (np.where(np.arange(4000) == 5, np.nan, 1), {}, "1 fluxes are not finite: give a Spectrum with a mask"),
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


# ---------------------------------------------------------------- observed spectra
@pytest.mark.parametrize("settings", [{}, {"tilt": 0.08, "level": 250.0}, {"reverse": True}], ids=str)
def test_labels_of_an_observed_spectrum(exact, stars, settings):
    """Other medium, part of the range, any continuum: the labels that were put in come out."""
    for z in stars[:4]:
        result = invert(observed(exact, z, **settings), inversion=exact, **PLAIN)
        stated = SPACE.slope(np.array([x.value for x in result.labels.values()])) * [
            x.value for x in result.noise_errors.values()
        ]
        assert np.all(np.abs(scaled(result) - z) < 0.02)
        assert np.all(np.abs(scaled(result) - z) < 3 * stated)
        assert result.flags == ()
        assert result.meta["source_id"] == 7 and result.meta["medium"] == "vacuum"


def test_radial_velocity_is_taken_out(exact, stars):
    shifted = observed(exact, stars[1], velocity=80.0)
    right = invert(shifted, inversion=exact, radial_velocity=80.0 * u.km / u.s, **PLAIN)
    assert np.all(np.abs(scaled(right) - stars[1]) < 0.02)
    wrong = invert(shifted, inversion=exact, radial_velocity=0.0, **PLAIN)
    assert np.max(np.abs(scaled(wrong) - stars[1])) > 0.2
    assert "unlike-training" in wrong.flags


def test_bad_pixels_have_no_part(exact, stars):
    """Masked, NaN and masked-by-name pixels: any value in them gives the same labels."""
    clean = observed(exact, stars[2])
    values = clean.flux.value.copy()
    values[300:360], values[1000:1010] = -5.0, np.nan
    spoilt = Spectrum(
        spectral_axis=clean.spectral_axis,
        flux=values * clean.flux.unit,
        uncertainty=clean.uncertainty,
        mask=(np.arange(2401) >= 300) & (np.arange(2401) < 360),
        meta=clean.meta,
    )
    result = invert(spoilt, inversion=exact, **PLAIN)
    assert np.all(np.abs(scaled(result) - stars[2]) < 0.02)
    assert result.n_pixels == 2401 - 70
    values[300:360] = 1e3
    again = invert(
        Spectrum(
            spectral_axis=clean.spectral_axis,
            flux=values * clean.flux.unit,
            uncertainty=clean.uncertainty,
            mask=spoilt.mask,
            meta=clean.meta,
        ),
        inversion=exact,
        **PLAIN,
    )
    np.testing.assert_allclose(scaled(again), scaled(result), rtol=0, atol=1e-9)
    default = invert(clean, inversion=exact)
    assert 2401 - 3 * 31 - 25 < default.n_pixels < 2401 - 3 * 29 - 15
    assert np.all(np.abs(scaled(default) - stars[2]) < 0.2)


def coefficients_of(exact, spectrum, correlation=(1.0,), model_error=None, degree=3):
    observation = Observation.from_spectrum(spectrum, exact, mask=None)
    return fit_coefficients(exact, observation, 0.0, degree, np.array(correlation), model_error)


def test_whole_spectra_are_projected(exact, stars):
    """On the inversion's own grid, with little noise and white residuals, fitting is projecting."""
    flux = fluxes(exact, stars[0])
    spectrum = Spectrum(
        spectral_axis=WAVELENGTH * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(4000, 1e-4)),
        meta={"medium": "air", "frame": "rest"},
    )
    found = coefficients_of(exact, spectrum, degree=0)
    np.testing.assert_allclose(found.values, exact.coefficients(flux)[0], rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.continuum, 1.0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.model, flux, rtol=0, atol=1e-4)


def test_coefficients_are_the_minimum(exact, stars):
    """The sum of squares, written out with a dense covariance, rises in all directions from what was found."""
    spectrum = observed(exact, stars[5], sigma=0.01, tilt=0.05, rng=np.random.default_rng(6))
    found = coefficients_of(exact, spectrum, degree=1)
    y, sigma = spectrum.flux.value, spectrum.uncertainty.array
    air = np.interp(spectrum.spectral_axis.value, air_to_vacuum(WAVELENGTH), WAVELENGTH)
    components = np.array([np.interp(air, WAVELENGTH, row) for row in exact.principal.basis])
    components *= exact.principal.spread[:, None]
    mean = np.interp(air, WAVELENGTH, exact.principal.mean)
    variance = sigma**2 + (1e-3 * found.continuum) ** 2
    x = np.linspace(-1, 1, 2401)

    def chi2(c, continuum):
        return np.sum((y - continuum * (mean + c @ components)) ** 2 / variance) + np.sum(c**2)

    best = chi2(found.values, found.continuum)
    step = 0.3 * np.sqrt(np.diag(found.covariance))
    for i in range(K):
        for sign in (-1, 1):
            assert chi2(found.values + sign * step * (np.arange(K) == i), found.continuum) > best
    for slope in (-2e-3, 2e-3):
        assert chi2(found.values, found.continuum * (1 + slope * x)) > best
    assert found.reduced_chi2 == pytest.approx(1.0, abs=0.1)


def test_a_component_outside_the_range_keeps_its_prior(exact):
    """What the pixels do not tell comes out as the mean of the training spectra, with their spread."""
    basis = exact.principal.basis.copy()
    basis[0] = np.where(WAVELENGTH > 8720, np.sin(WAVELENGTH), 0)
    basis[0] /= np.linalg.norm(basis[0])
    blind = replace(exact, principal=replace(exact.principal, basis=basis))
    found = coefficients_of(blind, observed(blind, np.full(K, 0.4)))
    assert abs(found.values[0]) < 1e-3
    assert found.covariance[0, 0] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found.values[1:], 0.8, rtol=0, atol=0.03)


@pytest.mark.parametrize("correlation", [(1.0,), (1.0, 0.5, 0.1)], ids=["white", "correlated"])
def test_scatter_of_observed_coefficients_is_their_error(exact, stars, correlation):
    """Realisations of noise with the stated correlation: the pulls of the coefficients have unit variance."""
    rng, sigma = np.random.default_rng(7), 0.01
    lags = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    root = np.linalg.cholesky(np.array([*correlation, *np.zeros(40)])[lags])
    clean, pulls = observed(exact, stars[6], sigma=sigma), []
    for _ in range(60):
        noise = (root @ rng.normal(size=(40, 61))).T.ravel()[:2401]
        noisy = Spectrum(
            spectral_axis=clean.spectral_axis,
            flux=clean.flux + sigma * noise * clean.flux.unit,
            uncertainty=clean.uncertainty,
            meta=clean.meta,
        )
        found = coefficients_of(exact, noisy, correlation=correlation)
        pulls.append((found.values - 2 * stars[6]) / np.sqrt(np.diag(found.covariance)))
    rms = np.sqrt(np.mean(np.square(pulls)))
    assert 0.85 < rms < 1.15


def test_model_error_widens_the_errors(exact, stars):
    spectrum = observed(exact, stars[0], sigma=0.002)
    plain = coefficients_of(exact, spectrum)
    wide = coefficients_of(exact, spectrum, model_error=ModelError(0.01, 0.05, 2.0))
    assert np.all(np.diag(wide.covariance) > 4 * np.diag(plain.covariance))


def without(spectrum, *names):
    return Spectrum(
        spectral_axis=spectrum.spectral_axis,
        flux=spectrum.flux,
        uncertainty=spectrum.uncertainty,
        meta={k: v for k, v in spectrum.meta.items() if k not in names},
    )


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda s: without(s, "frame"), {}, "frame of the spectrum is unknown.*give radial_velocity="),
        (lambda s: s, {"radial_velocity": 5 * u.K}, "radial_velocity=.*one velocity in km/s"),
        (lambda s: s, {"radial_velocity": 1e4}, "within -1000 to 1000"),
        (lambda s: s, {"continuum_degree": 21}, "continuum_degree=21: give a whole number from 0 to 20"),
        (lambda s: s, {"continuum_degree": 1.5}, "continuum_degree=1.5"),
        (lambda s: s, {"mask": "best"}, "mask='best' is unknown"),
        (lambda s: s, {"noise_correlation": "none"}, "noise_correlation='none' is unknown"),
        (lambda s: s, {"model_error": "none"}, "model_error='none' is unknown"),
        (lambda s: without(s, "medium"), {}, "in air or in vacuum"),
        (lambda s: s.__class__(spectral_axis=s.spectral_axis, flux=s.flux, meta=s.meta), {}, "no uncertainty"),
        (
            lambda s: s.__class__(spectral_axis=s.spectral_axis, flux=-s.flux, uncertainty=s.uncertainty, meta=s.meta),
            {},
            "median flux .* must be positive",
        ),
    ],
)
def test_bad_spectra(exact, stars, change, settings, message):
    spectrum = change(observed(exact, stars[0]))
    with pytest.raises(SpectrumError, match=message) as raised:
        invert(spectrum, inversion=exact, **settings)
    assert "\n" not in str(raised.value)


def test_few_good_pixels(exact, stars):
    spectrum = observed(exact, stars[0])
    result = invert(spectrum, inversion=exact, **PLAIN | {"mask": [(8470.0, 8600.0)]})
    assert "few-good-pixels" in result.flags
    assert np.all(np.abs(scaled(result) - stars[0]) < 0.1)


# ---------------------------------------------------------------- results
def test_table(exact, stars, tmp_path):
    one = invert(observed(exact, stars[0]), inversion=exact, **PLAIN)
    many = invert(fluxes(exact, stars), inversion=exact)
    row, rows = one.to_table(), many.to_table()
    assert row["source_id"].tolist() == [7] and rows["source_id"].tolist() == [-1] * 12
    assert row["flags"].tolist() == ["none"]
    assert row["teff_error"].unit == u.K and len(rows["vmic"]) == 12
    assert row["recipe"][0] == "exact" and row["inversion_version"][0] == "1"
    row.write(tmp_path / "t.ecsv")
    np.testing.assert_allclose(QTable.read(tmp_path / "t.ecsv")["teff"].value, one.teff.value)
    assert "teff" in repr(one) and "flags: none" in repr(one)
    assert "teff" in dir(one)
    with pytest.raises(AttributeError, match="no attribute 'age'"):
        _ = one.age


# ---------------------------------------------------------------- errors on validation spectra
def test_label_errors_are_those_of_their_cells():
    rng, n = np.random.default_rng(8), 6000
    teff, vsini = rng.uniform(4000, 12000, n), rng.uniform(0, 300, n)
    true = np.stack([0.01 * teff, 1 + 0.1 * vsini], axis=1)
    errors = LabelErrors.of(teff, vsini, true * rng.normal(size=(n, 2)))
    assert errors.sigma.shape == (8, 4, 2)
    np.testing.assert_allclose(errors.teff, 4000 + 1000 * (np.arange(8) + 0.5), atol=200)
    np.testing.assert_allclose(errors([6000.0, 10000.0], [150.0, 150.0])[:, 0], [60, 100], rtol=0.12)
    np.testing.assert_allclose(errors([8000.0, 8000.0], [60.0, 220.0])[:, 1], [7, 23], rtol=0.15)
    np.testing.assert_array_equal(errors([1.0], [-50.0]), errors.sigma[0, 0][None])
    np.testing.assert_array_equal(errors([1e6], [1e6]), errors.sigma[-1, -1][None])


def test_label_errors_keep_biases_and_fill_empty_cells():
    """Cool stars rotate slowly here, hot ones fast: cells of cool fast ones take the error of the cool ones."""
    rng = np.random.default_rng(9)
    teff = np.concatenate([rng.uniform(4500, 5500, 120), rng.uniform(8500, 9500, 120)])
    vsini = np.where(teff < 7000, rng.uniform(0, 10, 240), rng.uniform(200, 300, 240))
    errors = LabelErrors.of(teff, vsini, np.where(teff < 7000, 3.0, -7.0)[:, None])
    assert errors.sigma.shape == (4, 4, 1)
    np.testing.assert_allclose(errors([4800.0, 9200.0, 4800.0, 9200.0], [5.0, 250.0, 250.0, 5.0])[:, 0], [3, 7, 3, 7])
    alike = LabelErrors.of(np.full(30, 5000.0), np.full(30, 5.0), np.full((30, 1), 2.0))
    np.testing.assert_allclose(alike([4000.0, 6000.0], [0.0, 9.0]), 2.0)


def test_between_is_linear():
    i, f = _between(np.array([0.0, 1.0, 3.0]), [-1.0, 0.5, 2.0, 9.0])
    assert i.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(f, [0, 0.5, 0.5, 1])


# ---------------------------------------------------------------- files
def test_file_round_trip(exact, stars, tmp_path):
    inversion = replace(curved(exact), history={"labels": {"loss": np.array([2.0, 1.0])}})
    inversion.save(tmp_path / "i.h5")
    again = Inversion.load(tmp_path / "i.h5")
    flux = fluxes(exact, stars)
    for a, b in zip(again.estimate(flux), inversion.estimate(flux), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    assert again.labels["teff"].transform == "log" and again.labels.names == LabelSpace().names
    assert (again.medium, again.limits, again.info) == ("air", inversion.limits, inversion.info)
    np.testing.assert_array_equal(again.wavelength, WAVELENGTH)
    np.testing.assert_allclose(again.residual, inversion.residual)
    assert again.history["labels"]["loss"].tolist() == [2, 1]
    assert repr(again).startswith("<Inversion exact 1: 4000 fluxes, 8400.0-8799.9 A in air -> 6 components")
    assert [p.name for p in tmp_path.iterdir()] == ["i.h5"]


def _shorter(file, name):
    values = file[name][:-1]
    del file[name]
    file[name] = values


def _not_finite(file, name):
    file[name][0] = np.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.attrs.modify("format", "rvsemu emulator"), "is not an rvsemu inversion: 'rvsemu train' makes"),
        (lambda f: f.attrs.modify("format_version", 2), "has inversion format 2, this rvsemu reads up to 1"),
        (lambda f: f.attrs.modify("format_version", 0), "damaged"),
        (lambda f: f.pop("error"), "damaged or not an inversion file"),
        (lambda f: f.pop("networks/00/00"), "damaged"),
        (lambda f: _shorter(f, "principal/mean"), "components do not fit"),
        (lambda f: _shorter(f, "principal/residual"), "residuals do not fit"),
        (lambda f: _shorter(f, "error/teff"), "errors do not fit"),
        (lambda f: _not_finite(f, "principal/spread"), "not finite"),
        (lambda f: _not_finite(f, "error/sigma"), "not finite"),
        (lambda f: _not_finite(f, "networks/00/00/weights"), "not finite"),
        (lambda f: f.copy("networks/00", "networks/01"), "networks do not fit the labels"),
    ],
)
def test_damaged_files(exact, tmp_path, damage, message):
    exact.save(tmp_path / "i.h5")
    with h5py.File(tmp_path / "i.h5", "r+") as file:
        damage(file)
    with pytest.raises(InversionFileError, match=message) as raised:
        Inversion.load(tmp_path / "i.h5")
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(InversionFileError, match="does not exist: give the path of an inversion file"):
        Inversion.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(InversionFileError, match="damaged or not an inversion"):
        Inversion.load(tmp_path / "text.h5")


def test_resolve(exact, tmp_path, monkeypatch):
    exact.save(tmp_path / "mine.h5")
    assert resolve(exact) is exact
    assert resolve(tmp_path / "mine.h5").info == exact.info
    assert resolve(str(tmp_path / "mine.h5")).info == exact.info
    monkeypatch.setattr(inverting_module, "shipped_files", lambda folder: {})
    with pytest.raises(InversionFileError, match=f"'default' is not shipped: {NOWHERE}.*rvsemu train --recipe inv"):
        invert(np.ones(4000))
    monkeypatch.setattr(inverting_module, "shipped_files", lambda folder: {"default": tmp_path / "mine.h5"})
    assert resolve().info == exact.info
    assert resolve() is resolve("default")
    with pytest.raises(InversionFileError, match="'best' is not shipped: use one of default, or give the file"):
        resolve("best")


# ---------------------------------------------------------------- the command
@pytest.fixture
def file(tmp_path):
    exact_inversion().save(tmp_path / "exact.h5")
    return str(tmp_path / "exact.h5")


def test_command(file, tmp_path, capsys):
    table, path = tmp_path / "labels.ecsv", str(rvsemu.example_path("kepler-93"))
    assert main(["invert", path, "--inversion", file, "-o", str(table), "--mask", "edges"]) == 0
    said = capsys.readouterr().out
    assert "source 2052747119115620352" in said and "logg" in said
    row = QTable.read(table)[0]
    assert row["source_id"] == 2052747119115620352
    assert 3600 <= row["teff"].value <= 15000 and row["teff_error"].value > 0
    expected = invert(rvsemu.read_rvs(path)[0], inversion=file, mask="edges")
    assert row["n_pixels"] == expected.n_pixels
    assert row["logg"].value == pytest.approx(expected.logg.value)
    assert main(["info", file]) == 0
    assert "<Inversion exact" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.csv"], ["missing.csv", "no such file"]),
        (["missing.csv", "-o", "t.doc"], ["t.doc", ".ecsv"]),
        (["missing.csv", "--mask", "1,b"], ["'b'", "not a number"]),
        (["missing.csv", "--continuum-degree", "x"], ["--continuum-degree"]),
    ],
)
def test_command_errors(file, arguments, words, capsys):
    try:
        status = main(["invert", *arguments, "--inversion", file])
    except SystemExit as e:
        status = e.code
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1 and said.startswith("rvsemu invert")
    for word in words:
        assert word in said


def test_command_goes_on_after_a_bad_file(file, tmp_path, capsys):
    table = tmp_path / "t.ecsv"
    arguments = ["invert", "missing.csv", str(rvsemu.example_path("hd176650")), "--inversion", file, "-o", str(table)]
    assert main(arguments) == 2
    assert "missing.csv" in capsys.readouterr().err
    assert len(QTable.read(table)) == 1
