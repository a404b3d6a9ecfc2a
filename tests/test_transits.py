"""All transits of a star together: against fits of one spectrum, likelihoods, mean spectra, and what was put in."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from fit_fixtures import exact_emulator, observe, replace

import rvsemu
from rvsemu.errors import LabelError, SettingsError, SpectrumError
from rvsemu.fitting import FitFailure, Likelihood, Settings, Transits
from rvsemu.fitting.problem import Problem
from rvsemu.observing.flags import to_bits

STAR = {"teff": 5900.0, "logg": 4.2, "vsini": 25.0, "mh": -0.2, "vmic": 1.3, "resolution": 11900.0}
FLAGS = ("broad-lines", "variable-velocity")
"""Of this star, if its velocity varies."""
FIXED = {"fixed": {"vmic": 1.3, "resolution": 11900.0}}
GIVEN = {"frame": "barycentric", "ccds": 3}


def transits(velocities, seed=1, signal_to_noise=15.0, release="Gaia DR4", **changes):
    """Spectra of one star, one for each velocity."""
    rng, star = np.random.default_rng(seed), rvsemu.generate(**STAR | changes)
    out = []
    for number, velocity in enumerate(velocities):
        continuum = 0.02 * rng.normal(size=2)
        given = {"signal_to_noise": signal_to_noise, "seed": rng, "continuum": continuum, **GIVEN, "release": release}
        one = rvsemu.simulate(star, radial_velocity=velocity, source_id=77, **given)
        one.meta |= {"transit_id": 100 + number, "obs_time_rv": 1700.0 + number}
        out.append(one)
    return out


def joint(spectra, **settings):
    return rvsemu.fit_transits(spectra, **{"emulator": exact_emulator(), "model_error": None, **FIXED, **settings})


def numbers(result):
    return np.array([value.value for value in result.labels.values()])


# ------------------------------------------------------------------ one transit
@pytest.mark.parametrize("settings", [{}, {"model_error": None}, {"radial_velocity": 12.0}, {"continuum_degree": 1}])
def test_a_transit_alone_has_the_result_of_fit(settings):
    (spectrum,) = transits([12.0])
    single, together = rvsemu.fit(spectrum, **settings), rvsemu.fit_transits([spectrum], **settings)
    for name, value in single.labels.items():
        assert (together.labels[name], together.errors[name]) == (value, single.errors[name])
    np.testing.assert_allclose(together.covariance, single.covariance, rtol=1e-12)
    for name in ("chi2", "reduced_chi2", "noise_chi2", "n_pixels", "n_outliers", "residual_rms"):
        # The variance of a doubtful pixel is from fluxes in single precision, whose last digit depends on the batch.
        assert getattr(together, name) == pytest.approx(getattr(single, name), rel=1e-7), name
    assert (together.flags, together.ranges) == (single.flags, single.ranges)
    assert together.velocities[0] == single.radial_velocity
    assert together.velocity_errors[0] == single.errors["radial_velocity"]
    assert np.isnan(together.velocity_p_value) and np.isnan(together.velocity_scatter)
    assert together.upper_limits() == single.upper_limits()


def test_a_real_spectrum_alone():
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("hd176650"))
    single, together = rvsemu.fit(spectrum), rvsemu.fit_transits(spectrum)
    assert numbers(single).tolist() == numbers(together).tolist()
    assert single.flags == together.flags


# ------------------------------------------------------------------ many
def test_labels_and_velocities_that_were_put_in():
    velocities = np.array([-120.0, 3.0, 3.5, 40.0, 88.0, -7.0])
    result = joint(transits(velocities))
    for name in ("teff", "logg", "vsini", "mh"):
        assert abs(result.labels[name].value - STAR[name]) < 3 * result.errors[name].value, name
    assert np.all(np.abs(result.velocities.value - velocities) < 4 * result.velocity_errors.value)
    assert result.flags == FLAGS and result.velocity_p_value < 1e-10
    assert result.velocity_scatter.value == pytest.approx(velocities.std(ddof=1), rel=0.3)
    assert 0.9 < result.reduced_chi2 < 1.1
    single = [rvsemu.fit(one, emulator=exact_emulator(), model_error=None, **FIXED) for one in transits(velocities)]
    for name in ("teff", "mh"):
        ratio = result.errors[name] / np.median([one.errors[name].value for one in single]) / result.errors[name].unit
        assert 0.7 / np.sqrt(6) < ratio < 1.4 / np.sqrt(6), name


def test_a_constant_velocity_is_not_variable():
    results = [joint(transits([20.0] * 5, seed)) for seed in range(4)]
    assert all("variable-velocity" not in one.flags for one in results)
    assert 1e-3 < min(one.velocity_p_value for one in results)
    away = [(one.radial_velocity.value - 20) / one.errors["radial_velocity"].value for one in results]
    assert np.max(np.abs(away)) < 3.5
    alone = [one.velocity_noise.value.min() / one.errors["radial_velocity"].value for one in results]
    np.testing.assert_allclose(alone, np.sqrt(5), rtol=0.15)


def test_a_transit_of_another_star():
    """Labels that one of four transits does not share with the others are flagged; those of one star are not."""
    velocities = [20.0, 20.0, 20.0]
    same = joint(transits([*velocities, 20.0], signal_to_noise=40.0))
    assert "transits-differ" not in same.flags
    for changes in ({"teff": 5500.0}, {"logg": 3.0}, {"vsini": 60.0}, {"mh": -0.6}):
        foreign = transits([20.0], seed=2, signal_to_noise=40.0, **changes)
        mixed = joint([*transits(velocities, signal_to_noise=40.0), *foreign])
        assert "transits-differ" in mixed.flags, changes
        assert "transits-differ" not in joint(foreign).flags


def test_transits_of_one_star_at_a_limit_agree():
    """All of them pull [M/H] beyond its limit: none more than the others."""
    spectra = transits([20.0] * 4, signal_to_noise=60.0, mh=0.4)
    found = joint(spectra, priors={"mh": rvsemu.fitting.Uniform(-1.0, 0.0)})
    assert "at-bound:mh" in found.flags and "transits-differ" not in found.flags


def test_a_transit_that_is_given_twice_counts_once():
    spectra = transits([20.0, 20.0])
    once, twice = joint(spectra), joint([*spectra, spectra[1]])
    assert twice.n_transits == 2 and numbers(twice).tolist() == numbers(once).tolist()
    assert "the same spectrum twice" in str(twice.skipped[0].error)


@pytest.mark.parametrize("way", ["unit", "order", "precision"])
def test_a_transit_is_the_same_in_any_form(way):
    spectra = transits([20.0, 20.0])
    axis, flux, error = spectra[1].spectral_axis, spectra[1].flux, spectra[1].uncertainty.array
    if way == "unit":
        flux, error = 3e-14 * u.Jy * flux, 3e-14 * error
    elif way == "order":
        axis, flux, error = axis[::-1], flux[::-1], error[::-1]
    else:
        flux = u.Quantity(flux, dtype="f4")
    again = replace(spectra[1], flux=flux, spectral_axis=axis, uncertainty=StdDevUncertainty(error), mask=None)
    assert joint([*spectra, again]).n_transits == 2


def test_errors_are_those_of_the_product_of_the_likelihoods():
    """Against second differences of the sum of log likelihoods, all labels and velocities free."""
    spectra, settings = transits([0.0, 30.0, -50.0], signal_to_noise=60.0), {"scale_errors": False, "robust": False}
    result = joint(spectra, **settings)
    checked = Settings(emulator=exact_emulator(), model_error=None, **FIXED, **settings)
    at = [np.append(numbers(one)[[0, 1, 2, 3]], one.radial_velocity.value) for one in result.transits]
    likelihoods = []
    for spectrum, start in zip(spectra, at, strict=True):
        problem = Problem([Problem.observe(spectrum, checked)], checked)
        likelihoods.append(Likelihood(problem, 0, start))
    labels, velocities = at[0][:4], np.array([one[-1] for one in at])

    def total(x):
        return sum(f.log_likelihood(np.append(x[:4], v))[0] for f, v in zip(likelihoods, x[4:], strict=True))

    best = np.concatenate([labels, velocities])
    step = 0.3 * np.concatenate([[result.errors[n].value for n in result.free_names[:4]], result.velocity_errors.value])
    n, hessian = len(best), np.zeros((len(best), len(best)))
    for i in range(n):
        for j in range(n):
            a, b = step * (np.arange(n) == i), step * (np.arange(n) == j)
            corners = total(best + a + b) - total(best + a - b) - total(best - a + b) + total(best - a - b)
            hessian[i, j] = -corners / (4 * step[i] * step[j])
    covariance = np.linalg.inv(hessian)
    known = np.sqrt(np.diag(covariance))
    found = [*(result.errors[name].value for name in result.free_names[:4]), *result.velocity_errors.value]
    np.testing.assert_allclose(found, known, rtol=0.1)
    differences = (result.covariance[:4, :4] - covariance[:4, :4]) / np.outer(known[:4], known[:4])
    assert np.max(np.abs(differences)) < 0.15
    for i in range(n):
        away = step * (np.arange(n) == i)
        assert abs(total(best + away) - total(best - away)) < 0.15, "a maximum"


def test_errors_of_models_do_not_average_out():
    """Of spectra with equal noise and velocity the mean says all there is, and its model error is that of one."""
    emulator, sigma, n = rvsemu.shipped(), 0.02, 8
    rng = np.random.default_rng(3)
    clean = observe(emulator, STAR)
    flux = [clean.flux.value + sigma * rng.normal(size=2401) for _ in range(n)]

    def spectrum(values, error):
        uncertainty = StdDevUncertainty(np.full(2401, error))
        return replace(clean, flux=values * u.dimensionless_unscaled, uncertainty=uncertainty)

    settings = {"noise_correlation": (), "robust": False, "scale_errors": False, "radial_velocity": 0.0, **FIXED}
    together = rvsemu.fit_transits([spectrum(one, sigma) for one in flux], **settings)
    mean = rvsemu.fit(spectrum(np.mean(flux, axis=0), sigma / np.sqrt(n)), **settings)
    single = rvsemu.fit(spectrum(flux[0], sigma), **settings)
    for name in together.free_names:
        error = mean.errors[name].value
        assert together.errors[name].value == pytest.approx(error, rel=0.02), name
        assert together.labels[name].value == pytest.approx(mean.labels[name].value, abs=0.05 * error), name
        assert error > 1.3 * single.errors[name].value / np.sqrt(n), "errors of models matter here"
    assert np.all(together.velocity_errors == 0) and np.isnan(together.velocity_p_value)


@pytest.mark.parametrize(("seed", "count"), [(0, 10), (2, 10), (3, 40)])
def test_minima_are_as_probable_as_those_of_the_mean_spectrum(seed, count):
    """Hot stars have two, at which models have other errors: these count once, not once for each transit."""
    star = rvsemu.generate(teff=9500, logg=4.0, vsini=60, mh=-0.3, vmic=1.5, resolution=11900)
    given = GIVEN | {"release": "Gaia DR4", "signal_to_noise": 15, "radial_velocity": 10}
    spectra = [rvsemu.simulate(star, seed=1000 * seed + i, **given) for i in range(count)]
    error = StdDevUncertainty(spectra[0].uncertainty.array / np.sqrt(count))
    mean = replace(spectra[0], flux=sum(one.flux for one in spectra) / count, uncertainty=error)
    settings = Settings(radial_velocity=10.0, priors={"resolution": (11900, 150), "vmic": "relation"})
    searches = (
        Transits([settings.observe(one) for one in spectra], settings),
        Problem([settings.observe(mean)], settings),
    )
    found = []
    for search in searches:
        minima, at = search.minima(), search.parameters.free_names.index("teff")
        teff, log_posterior = minima.found.x[:, at], minima.log_posterior
        cool, hot = (log_posterior[rows].max() for rows in (teff < 10500, teff > 10500))
        found.append(cool - hot)
        assert cool > hot
    assert found[0] == pytest.approx(found[1], abs=3.0)  # chi2 of the transits differs by 7 to 56
    together = searches[0].result(searches[0].minima())
    assert abs(together.teff.value - 9500) < 3 * together.errors["teff"].value


def test_transits_of_unequal_noise():
    """A good and a bad one: labels next to those of the good one, errors no larger."""
    good, bad = transits([5.0], 1, 80.0), transits([60.0], 2, 8.0)
    alone = rvsemu.fit(good[0], **FIXED)
    result = rvsemu.fit_transits([*bad, *good], **FIXED)
    for name in ("teff", "mh"):
        error = alone.errors[name].value
        assert abs(result.labels[name].value - alone.labels[name].value) < error
        assert 0.8 * error < result.errors[name].value < 1.02 * error
    assert result.velocity_errors[0] > 4 * result.velocity_errors[1]
    assert result.radial_velocity.value == pytest.approx(5.0, abs=2.0)


@pytest.mark.parametrize("pixels", [slice(480, 481), slice(None)])
@pytest.mark.parametrize("error", [1e-14, 1e-12, 1e-40])
def test_errors_that_are_almost_zero_do_no_harm(error, pixels):
    """A pixel with one is bad, and a transit in which all are is passed over; a fit of it alone says why it fails."""
    given = transits([0.0, 10.0, 20.0])
    given[1].uncertainty.array[pixels] = error
    result = joint(given)
    given[1].uncertainty.array[pixels] = 0.0
    expected = joint(given)
    np.testing.assert_allclose(numbers(result), numbers(expected), rtol=1e-5)
    np.testing.assert_allclose(result.velocity_errors.value, expected.velocity_errors.value, rtol=1e-4)
    assert (result.n_transits, len(result.skipped)) == ((3, 0) if pixels.stop else (2, 1))
    if not pixels.stop:
        given[1].uncertainty.array[pixels] = error
        with pytest.raises(SpectrumError, match="Only 0 good pixels are left"):
            rvsemu.fit(given[1])


def test_spectra_on_different_pixels():
    star = rvsemu.generate(**STAR)
    both = []
    for seed, (velocity, release) in enumerate([(10.0, "Gaia DR4"), (-30.0, "Gaia DR3"), (25.0, "Gaia DR4")]):
        given = {"signal_to_noise": 30.0, "frame": "barycentric", "release": release, "seed": seed}
        both.append(rvsemu.simulate(star, radial_velocity=velocity, **given))
    result = joint(both)
    assert [len(one.flux) for one in result.transits] == [961, 2401, 961]
    assert np.all(np.abs(result.velocities.value - [10.0, -30.0, 25.0]) < 4 * result.velocity_errors.value)
    assert abs(result.teff.value - STAR["teff"]) < 3 * result.errors["teff"].value


def test_each_transit_has_its_fit():
    spectra = transits([0.0, 50.0])
    spectra[1].flux[400:403] = 3.0
    result = joint(spectra)
    first, second = result.transits
    assert first.labels["teff"] == second.labels["teff"] == result.teff
    assert second.n_outliers > first.n_outliers == 0
    assert result.chi2 == pytest.approx(first.chi2 + second.chi2)
    assert result.n_pixels == first.n_pixels + second.n_pixels
    near = (first.spectral_axis.to_value("nm") > 853) & (first.spectral_axis.to_value("nm") < 856)
    lines = [np.where(near, one.model_flux, np.inf).argmin() for one in result.transits]
    assert lines[1] - lines[0] == pytest.approx(50 / 299792 * 8545 / 0.25, abs=1.01)


def test_transits_speak_against_alpha_0_together():
    """What one faint spectrum cannot tell, nine can, and each of them then says it."""
    velocities = np.linspace(-20, 20, 9)
    rich, plain = (transits(velocities, signal_to_noise=30.0, alpha=alpha) for alpha in (0.3, 0.0))
    found = joint(rich)
    assert "alpha-assumed" in found.flags and all("alpha-assumed" in one.flags for one in found.transits)
    alone = [rvsemu.fit(one, emulator=exact_emulator(), model_error=None, **FIXED).flags for one in rich[:4]]
    assert sum("alpha-assumed" in flags for flags in alone) < 4
    assert "alpha-assumed" not in joint(plain).flags
    assert "alpha-assumed" not in joint(rich, fixed=FIXED["fixed"] | {"alpha": 0.3}).flags


def test_more_flags():
    """Those of half of the transits; of all together a poor fit, and few CCD spectra, if errors are made of them."""
    for release, few in (("Gaia DR3", True), ("Gaia DR4", False)):  # errors that are estimates, and such that are not
        assert "few-ccds" not in joint(transits([0.0] * 4, release=release)).flags
        assert ("few-ccds" in joint(transits([0.0] * 3, release=release)).flags) is few
    spectra = transits([0.0] * 4)
    for one in spectra:
        one.uncertainty = StdDevUncertainty(one.uncertainty.array / 2)
    result = joint(spectra)
    assert "poor-fit" in result.flags
    assert 3.4 < result.reduced_chi2 < 4.6
    assert result.meta["errors_scaled_by"] == pytest.approx(np.sqrt(result.reduced_chi2), rel=1e-3)


# ------------------------------------------------------------------ what cannot be used
def test_empty_and_unnormalised_transits_are_passed_over():
    good = transits([0.0, 20.0, 40.0])
    empty = replace(good[0], flux=np.nan * good[0].flux, meta=good[0].meta | {"transit_id": 200})
    negative = replace(good[1], meta=good[1].meta | {"transit_id": 201, "normalisation_method": 4})
    few = replace(good[2], mask=np.arange(961) > 40, meta=good[2].meta | {"transit_id": 202})
    plain, result = joint(good), joint([empty, good[0], negative, good[1], few, good[2]])
    assert result.n_transits == 3
    assert numbers(result).tolist() == numbers(plain).tolist()
    assert [one.meta["transit_id"] for one in result.skipped] == [200, 201, 202]
    assert all(isinstance(one, FitFailure) for one in result.skipped)
    reasons = [str(one.error) for one in result.skipped]
    words = ("no valid pixel", "could not normalise it (method 4)", "good pixels")
    assert all(word in reason for word, reason in zip(words, reasons, strict=True)), reasons
    assert "3 transits, 3 skipped" in repr(result)
    with pytest.raises(SpectrumError, match=r"none of 2 transits can be used; the first: .*no valid pixel"):
        joint([empty, negative])


def test_what_is_refused():
    good = transits([0.0, 20.0])
    other = replace(good[1], meta=good[1].meta | {"source_id": 78})
    with pytest.raises(SpectrumError, match=r"2 sources \(77, 78\): give the transits of one star"):
        joint([good[0], other])
    with pytest.raises(SpectrumError, match="no transits are given; give 1 to 500"):
        joint([])
    with pytest.raises(SpectrumError, match="more than 500 transits"):
        joint(good * 251)
    with pytest.raises(LabelError, match="no label 'age'"):
        joint(good, fixed={"age": 1.0})
    with pytest.raises(SettingsError, match="errors= means nothing to fit_transits"):
        joint(good, errors="sampled")
    with pytest.raises(SettingsError, match="jitter='free'"):
        joint(good, jitter="free")


# ------------------------------------------------------------------ tables
def test_tables():
    result = joint(transits([0.0, 50.0, -20.0, 0.0]))
    table = result.to_table()
    assert len(table) == 1 and table["n_transits"] == 4 and table["n_skipped"] == 0
    assert table["source_id"][0] == 77 and table["transit_id"].mask.all()
    assert table["radial_velocity"][0] == result.radial_velocity
    assert table["radial_velocity_scatter"].unit == u.km / u.s
    assert table["flag_bits"] == to_bits(FLAGS) and table["flags"][0] == ",".join(FLAGS)
    each = result.transit_table()
    assert list(each["transit_id"]) == [100, 101, 102, 103]
    assert list(each["obs_time_rv"]) == [1700.0, 1701.0, 1702.0, 1703.0]
    assert np.all(each["radial_velocity"] == result.velocities)
    assert np.all(each["radial_velocity_noise"] < each["radial_velocity_error"])
    assert "p-value of a constant velocity" in repr(result) and "4 transits" in result._repr_html_()
