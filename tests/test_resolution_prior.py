"""The prior on the resolution of the RVS, by the number of transits."""

import numpy as np
import pytest

import rvsemu
from rvsemu.errors import LabelError, SpectrumWarning
from rvsemu.fitting import RvsResolution, Settings, fit_many, fit_transits
from rvsemu.observing import Observation
from rvsemu.spectra import write_spectrum

SUN = {"teff": 5777, "logg": 4.44, "vsini": 4, "mh": 0, "vmic": 1.1}


def seen(resolution=11900.0, **how):
    return rvsemu.simulate(rvsemu.generate(**SUN, resolution=resolution), release="Gaia DR4", **how)


def without_ccds(spectrum, **meta):
    """A spectrum that says nothing of its CCD spectra, but what is in `meta`."""
    spectrum.meta.pop("combined_ccds")
    spectrum.meta.update(meta)
    return spectrum


def sigma(result) -> float:
    mean, width = result.meta["priors"]["resolution"]
    assert mean == 11900
    return width


@pytest.mark.parametrize(
    ("meta", "transits"),
    [
        ({"combined_ccds": 3}, 1),
        ({"combined_ccds": 7}, 3),
        ({"combined_ccds": 1}, 1),
        ({"combined_ccds": 30, "combined_transits": 12}, 12),
        ({"transit_id": 17091923342681}, 1),
        ({"transit_id": None}, None),
        ({"combined_ccds": np.ma.masked, "combined_transits": 0}, None),
        ({"combined_ccds": 6, "combined_transits": np.ma.masked}, 2),
        ({"combined_ccds": np.inf, "combined_transits": np.nan}, None),
        ({"combined_transits": "many", "pixel_correlation": None}, None),
        ({}, None),
    ],
)
def test_number_of_transits(meta, transits):
    spectrum = without_ccds(seen(signal_to_noise=50, seed=1), **meta)
    observation = Observation.from_spectrum(spectrum, rvsemu.shipped())
    assert observation.transits == transits
    expected = 150 if transits is None else max(150.0, 370 / np.sqrt(transits))
    assert sigma(rvsemu.fit(spectrum)) == pytest.approx(expected)


def test_spectra_of_all_numbers_of_transits_fitted_at_once():
    """Each has its own prior, and the labels that it has alone."""
    spectra = [seen(signal_to_noise=60, ccds=ccds, seed=ccds) for ccds in (30, 3, 6, 90, 4, 12)]
    together, alone = fit_many(spectra), [rvsemu.fit(spectrum) for spectrum in spectra]
    assert [round(sigma(one)) for one in together] == [150, 370, 262, 150, 262, 185]
    for one, other in zip(together, alone, strict=True):
        assert sigma(one) == sigma(other)
        assert one.resolution.value == pytest.approx(other.resolution.value, abs=0.1)


def test_a_prior_that_is_narrow_for_many_transits_in_fits_at_once():
    spectra = [without_ccds(seen(signal_to_noise=60, seed=n), combined_transits=n) for n in (7, 50)]
    spectra.append(without_ccds(seen(signal_to_noise=60, seed=1)))
    found = fit_many(spectra, priors={"resolution": RvsResolution(sigma=60)})
    assert [round(sigma(one)) for one in found] == [140, 60, 60]


def test_transits_fitted_together_count_together():
    """With CCD spectra or without; and those of each result are those of the star."""
    spectra = [seen(signal_to_noise=40, ccds=3, seed=i) for i in range(4)]
    for given in (spectra, [without_ccds(one, transit_id=i) for i, one in enumerate(spectra)]):
        found = fit_transits(given)
        assert {round(sigma(one)) for one in (found, *found.transits)} == {185}


@pytest.mark.parametrize("meta", [{}, {"combined_ccds": 3}, {"combined_transits": 2}, {"combined_transits": 40}])
def test_a_spectrum_alone_has_the_prior_of_fit(meta):
    spectrum = without_ccds(seen(signal_to_noise=60, seed=2), **meta)
    assert sigma(fit_transits([spectrum])) == sigma(rvsemu.fit(spectrum))


def test_sampled_errors_and_chains_have_the_same_prior():
    spectrum = seen(signal_to_noise=60, ccds=3, seed=2)
    chain = rvsemu.sample(spectrum, steps=60, stop=None, progress=False)
    assert "'resolution': (11900.0, 370.0)" in chain.meta["priors"]
    assert sigma(rvsemu.fit(spectrum, errors="sampled")) == 370
    priors = "gaia-rvs", (11900, 150)
    wide, narrow = (rvsemu.fit(spectrum, priors={"resolution": one}).errors["resolution"] for one in priors)
    assert wide > 1.5 * narrow


FEW = [{"combined_ccds": 5}, {"combined_ccds": 9, "combined_transits": 3}, {"transit_id": 7}]


@pytest.mark.parametrize("meta", FEW)
def test_what_was_fitted_has_the_same_prior_again(meta, tmp_path):
    """And the same flags, also out of a file."""
    first = rvsemu.fit(without_ccds(seen(signal_to_noise=60, seed=2), **meta))
    with pytest.warns(SpectrumWarning, match="not written"):
        write_spectrum(first.observed, tmp_path / "observed.fits")
    for again in (rvsemu.fit(first.observed), rvsemu.fit(*rvsemu.read_rvs(tmp_path / "observed.fits"))):
        assert sigma(again) == sigma(first) > 150
        assert again.flags == first.flags
    together = fit_transits([without_ccds(seen(signal_to_noise=60, seed=i), **meta) for i in range(2)])
    assert not {"combined_ccds", "combined_transits", "transit_id"} & set(together.meta)


def test_a_given_prior_does_not_change_with_transits():
    spectrum = seen(signal_to_noise=60, ccds=3, seed=2)
    assert sigma(rvsemu.fit(spectrum, priors={"resolution": (11900, 200)})) == 200
    assert sigma(rvsemu.fit(spectrum, priors={"resolution": RvsResolution(sigma=250, transit=300)})) == 300


def test_slow_rotation_in_single_transits_has_honest_errors():
    """Their resolutions scatter by 370, which looks like v sin i: an error for 150 is half of what is right."""
    rng = np.random.default_rng(3)
    star = SUN | {"vsini": 8.0}
    kinds = [rvsemu.generate(**star, resolution=rng.normal(11900, 370)) for _ in range(80)]
    spectra = [
        rvsemu.simulate(one, release="Gaia DR4", signal_to_noise=200, ccds=3, seed=i) for i, one in enumerate(kinds)
    ]

    def scatter(**how):
        fits = fit_many(spectra, model_error=None, fixed={"vmic": SUN["vmic"]}, **how)
        return np.std([(one.vsini.value - star["vsini"]) / one.errors["vsini"].value for one in fits])

    assert scatter() < 1.4
    assert scatter(priors={"resolution": (11900, 150)}) > 1.7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vmic": RvsResolution()}, "resolution alone"),
        ({"resolution": RvsResolution(transit=0)}, "transit must be positive"),
        ({"resolution": RvsResolution(sigma=-1)}, "sigma must be positive"),
    ],
)
def test_bad_ones(given, words):
    with pytest.raises(LabelError, match=words):
        Settings(priors=given)
