"""Many spectra: what is wrong with one of them costs no other, and each step is taken once."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import vstack
from fit_fixtures import RVS, observe, replace, values, with_error
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SettingsError, SpectrumError
from rvsemu.fitting import FitFailure, FitResult, fit_many, fit_stream, problem
from rvsemu.observing import Observation

SETTINGS = {"noise_correlation": (), "model_error": None}


def scaled(star, factor):
    return replace(star, flux=star.flux * factor, uncertainty=StdDevUncertainty(star.uncertainty.array * factor))


def with_pixel(star, value, number=1200):
    flux = star.flux.value.copy()
    flux[number] = value
    return replace(star, flux=flux * u.dimensionless_unscaled)


def test_rows_of_a_spectrum_of_two_dimensions(emulator):
    both = rvsemu.generate(teff=[5000, 6000], logg=4.4, wavelength=RVS, medium="vacuum")
    found = fit_many(both, sigma=0.005, **SETTINGS)
    assert [round(one.teff.value, -2) for one in found] == [5000, 6000]
    alone = [rvsemu.fit(both[i], sigma=0.005, **SETTINGS) for i in (0, 1)]
    np.testing.assert_allclose([values(one) for one in found], [values(one) for one in alone], rtol=1e-3, atol=1e-2)
    (single,) = fit_many(both[0], sigma=0.005, **SETTINGS)
    assert single.teff.value == pytest.approx(alone[0].teff.value, abs=1)


def test_each_spectrum_has_its_own_noise():
    """Whatever the correlation is of others on the same pixels that are fitted at once, or transits of the star."""
    star = rvsemu.generate(teff=5800, logg=4.4, mh=0, vmic=1.1, resolution=11900)
    spectra = [rvsemu.simulate(star, signal_to_noise=60, seed=seed) for seed in range(3)]
    spectra[1].meta["pixel_correlation"] = [1.0, 0.2]
    spectra[2].meta["pixel_correlation"] = [1.0]
    together, alone = fit_many(spectra), [rvsemu.fit(one) for one in spectra]
    transits = rvsemu.fit_transits(spectra).transits
    for one, other, transit in zip(together, alone, transits, strict=True):
        assert one.meta["noise_correlation"] == other.meta["noise_correlation"] == transit.meta["noise_correlation"]
        np.testing.assert_allclose(values(one), values(other), rtol=1e-3, atol=1e-2)
        assert one.errors["teff"].value == pytest.approx(other.errors["teff"].value, rel=1e-2)


@pytest.mark.parametrize("factor", [1e-40, 1e-12, 1e12, 1e40])
def test_the_unit_of_the_flux_does_not_matter(factor, sun, emulator):
    plain, other = (rvsemu.fit(one, emulator=emulator, **SETTINGS) for one in (sun, scaled(sun, factor)))
    np.testing.assert_allclose(values(other), values(plain), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other.continuum / factor, plain.continuum, rtol=1e-3)
    assert other.chi2 == pytest.approx(plain.chi2, rel=1e-3)


@pytest.mark.parametrize("value", [1e300, -1e300, 1e30, np.inf, np.nan])
def test_a_pixel_that_cannot_be_is_a_bad_pixel(value, sun, emulator):
    plain, other = (rvsemu.fit(one, emulator=emulator, **SETTINGS) for one in (sun, with_pixel(sun, value)))
    assert other.n_pixels == plain.n_pixels - 1
    assert abs(other.teff - plain.teff) < 0.3 * plain.errors["teff"]


def test_a_spike_in_one_changes_no_other():
    star = rvsemu.generate(teff=5000, logg=2.5, mh=-1.8, vmic=1.5, resolution=11900)
    faint = [rvsemu.simulate(star, signal_to_noise=25, seed=seed, release="Gaia DR4") for seed in range(4)]
    spiked = with_pixel(rvsemu.simulate(star, signal_to_noise=25, seed=9, release="Gaia DR4"), 5.0, 600)
    alone, together = fit_many(faint), fit_many([*faint, spiked])
    assert together[-1].n_outliers > 0
    for one, other in zip(alone, together[:-1], strict=True):
        errors = np.array([one.errors[name].value for name in one.labels])
        assert np.all(np.abs(values(one) - values(other)) <= 0.005 * errors)


BAD = {
    "zeros": lambda star: replace(star, flux=0 * star.flux),
    "negated": lambda star: replace(star, flux=-star.flux),
    "all NaN": lambda star: replace(star, flux=np.nan * star.flux),
    "no uncertainty": lambda star: replace(star, uncertainty=None),
    "no medium": lambda star: replace(star, meta={}),
    "elsewhere": lambda star: replace(star, spectral_axis=(RVS - 3000) * u.AA),
    "no spectrum": lambda star: "star",
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_spectrum_costs_no_other(name, sun, emulator):
    spectra = [sun, BAD[name](sun), sun]
    with pytest.raises(SpectrumError, match=r"^spectrum 1: "):
        fit_many(spectra, emulator=emulator, **SETTINGS)
    first, failed, last = fit_many(spectra, on_error="skip", emulator=emulator, **SETTINGS)
    assert isinstance(failed, FitFailure) and failed.flags == ("failed",)
    errors = np.array([first.errors[name].value for name in first.labels])
    assert np.all(np.abs(values(first) - values(last)) <= 0.02 * errors)
    table = vstack([one.to_table() for one in (first, failed, last)])
    assert table["flags"][1] == "failed"
    assert table["error"][1] == str(failed.error)
    assert np.ma.is_masked(table["teff"][1]) or np.isnan(table["teff"][1].value)
    assert float(table["teff"][2].value) == pytest.approx(first.teff.value, abs=1)


def test_arithmetic_that_fails_for_one_is_that_of_one(sun, emulator, monkeypatch):
    """Whatever makes the linear algebra of a batch fail, the others are fitted."""
    poison = replace(sun, meta={"medium": "vacuum", "source_id": 13})
    first_minima = problem.first_minima

    def failing(stack, *rest):
        if len(stack.observations) > 1 or stack.observations[0].meta["source_id"] == 13:
            raise np.linalg.LinAlgError("Singular matrix")
        return first_minima(stack, *rest)

    other = observe(emulator, seed=2)
    monkeypatch.setattr(problem, "first_minima", failing)
    found = fit_many([other, poison, other], on_error="skip", emulator=emulator, **SETTINGS)
    assert [type(one) for one in found] == [FitResult, FitFailure, FitResult]


def test_results_come_in_order_and_as_they_are_ready(sun, emulator):
    """Spectra on different pixels; not more than a block is read ahead of what was given back."""
    read = []

    def spectra():
        for i in range(200):
            read.append(i)
            star = (
                sun
                if i % 3
                else Spectrum(
                    spectral_axis=sun.spectral_axis[:-5],
                    flux=sun.flux[:-5],
                    uncertainty=StdDevUncertainty(sun.uncertainty.array[:-5]),
                    meta=dict(sun.meta),
                )
            )
            yield replace(star, meta=star.meta | {"source_id": i})

    stream = fit_stream(spectra(), emulator=emulator, **SETTINGS)
    first = [next(stream) for _ in range(3)]
    assert [one.meta["source_id"] for one in first] == [0, 1, 2]
    assert len(read) < 100
    assert len(first[0].flux) == len(first[1].flux) - 5
    stream.close()


def test_on_error_is_checked(sun):
    with pytest.raises(SettingsError, match="on_error='ignore': use 'raise' or 'skip'"):
        fit_many([sun], on_error="ignore")


@pytest.mark.parametrize(
    "verb",
    [
        rvsemu.fit,
        lambda star: rvsemu.fit(star, errors="sampled"),
        lambda star: rvsemu.sample(star, steps=10, progress=False),
        lambda star: fit_many([star]),
    ],
)
def test_every_step_is_taken_once(verb, sun, monkeypatch):
    """One observation and one coarse search, whatever is asked for."""
    counts = {"observation": 0, "search": 0}
    first_minima, observe_one = problem.first_minima, Observation.from_spectrum

    def search(*args):
        counts["search"] += 1
        return first_minima(*args)

    def observation(*args, **kwargs):
        counts["observation"] += 1
        return observe_one(*args, **kwargs)

    monkeypatch.setattr(problem, "first_minima", search)
    monkeypatch.setattr(Observation, "from_spectrum", observation)
    verb(sun)
    assert counts == {"observation": 1, "search": 1}


def test_another_emulator_is_another_fit(sun, emulator):
    """Nothing that was kept for one model serves another one that was made of it."""
    exact = rvsemu.fit(sun, emulator=emulator, **SETTINGS)
    rough = rvsemu.fit(sun, emulator=with_error(emulator, 0.02), **SETTINGS)
    assert rough.errors["teff"] > 2 * exact.errors["teff"]
    moved = dataclasses.replace(emulator, wavelength=emulator.wavelength + 0.5)
    shifted = rvsemu.fit(sun, emulator=moved, **SETTINGS)
    assert shifted.radial_velocity.value - exact.radial_velocity.value == pytest.approx(-17.5, abs=0.5)
    again = rvsemu.fit(sun, emulator=emulator, **SETTINGS)
    np.testing.assert_array_equal(values(again), values(exact))


def test_seeds(sun, emulator):
    settings = {"emulator": emulator, "errors": "sampled", **SETTINGS}
    first, same, other = (rvsemu.fit(sun, seed=seed, **settings).draws.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first[:10], other[:10])
    generator = np.random.default_rng(7)
    one, two = (rvsemu.fit(sun, seed=generator, **settings) for _ in range(2))
    assert not np.array_equal(one.draws.x[:10], two.draws.x[:10])
    assert one.teff.value == pytest.approx(two.teff.value, abs=0.2 * one.errors["teff"].value)
    assert np.random.default_rng(7).random() != generator.random()


def test_settings_that_mean_nothing_are_refused(sun):
    with pytest.raises(SettingsError, match="errors= means nothing to sample"):
        rvsemu.sample(sun, errors="sampled")
    with pytest.raises(TypeError, match=r"^fit\(\) got an unexpected keyword argument 'prior': did you mean priors="):
        rvsemu.fit(sun, prior={})
    with pytest.raises(TypeError, match=r"^sample\(\) got .* 'nwalkers': did you mean walkers="):
        rvsemu.sample(sun, nwalkers=32)
    with pytest.raises(TypeError, match=r"^fit_many\(\) got .* 'snr': there are spectra, on_error, emulator, fixed,"):
        rvsemu.fit_many([sun], snr=100)


@pytest.mark.parametrize("verb", [rvsemu.fit_many, rvsemu.fit_transits])
@pytest.mark.parametrize("given", ["star.csv", Path("star.csv"), None, 3])
def test_what_is_no_list_of_spectra_is_named(verb, given):
    kind = type(given).__name__
    with pytest.raises(SpectrumError, match=rf"^spectra is a {kind}: give a list .* rvsemu.read_rvs\(path\)"):
        verb(given)


def test_a_result_is_no_spectrum(sun):
    result = rvsemu.fit(sun, model_error=None)
    for verb in (rvsemu.fit, rvsemu.sample, rvsemu.plot_spectrum):
        with pytest.raises(SpectrumError, match="^spectrum is a FitResult: give a specutils Spectrum"):
            verb(result)


def test_labels_that_are_all_known_leave_the_velocity():
    """Alone and together: nothing but the velocity is free."""
    star = rvsemu.generate(teff=5777, logg=4.44, vsini=2, resolution=11900)
    settings = {"signal_to_noise": 60, "seed": 3}
    spectra = [rvsemu.simulate(star, radial_velocity=velocity, **settings) for velocity in (-25.0, 40.0)]
    known = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0.0, "vmic": 1.0, "resolution": 11900, "alpha": 0.0}
    for spectrum, together, velocity in zip(spectra, fit_many(spectra, fixed=known), (-25.0, 40.0), strict=True):
        for result in (rvsemu.fit(spectrum, fixed=known), together):
            assert result.free_names == ("radial_velocity",)
            error = result.errors["radial_velocity"].value
            assert 0 < error < 1 and abs(result.radial_velocity.value - velocity) < 4 * error


def test_a_row_has_not_the_names_of_all(sun):
    """As specutils gives each row of a two-dimensional Spectrum the meta of all."""
    both = Spectrum(
        spectral_axis=sun.spectral_axis,
        flux=np.array([sun.flux.value] * 2) * u.one,
        uncertainty=StdDevUncertainty(np.array([sun.uncertainty.array] * 2)),
        meta={"medium": "vacuum", "source_id": [1, 2]},
    )
    with pytest.raises(SpectrumError, match=r"meta\['source_id'\] has 2 values: a spectrum has one. Give a list"):
        fit_many(both)
    failures = fit_many(both, on_error="skip")
    assert [str(one.to_table()["source_id"][0]) for one in failures] == ["--", "--"]


def test_a_failure_is_shown_in_one_line(sun):
    short = sun[:20]  # with what specutils adds to the meta of a slice
    (failure,) = fit_many([short], on_error="skip")
    assert repr(failure) == f"<FitFailure {sun.meta['source_id']}: {failure.error}>" and "at least 50" in repr(failure)
