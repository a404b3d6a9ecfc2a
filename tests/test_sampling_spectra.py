"""Sampling spectra: labels that were put in are recovered, and figures show what was found."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty

import rvsemu
from rvsemu import Posterior, sample
from rvsemu.errors import LabelError, PosteriorFileError, SettingsError

STAR = {"teff": 5900.0, "logg": 4.3, "vsini": 8.0, "mh": -0.2, "vmic": 1.2, "resolution": 11900.0}
SETTINGS = {"fixed": {"vmic": 1.2}, "model_error": None, "noise_correlation": (), "progress": False}


@pytest.fixture(scope="module")
def spectrum():
    wave = 8460.0 + 0.1 * np.arange(2401)
    star = rvsemu.generate(**STAR, wavelength=wave * u.AA, medium="vacuum")
    noise = np.random.default_rng(11).normal(size=len(wave)) / 100
    star = type(star)(
        spectral_axis=wave * u.AA,
        flux=star.flux * (1 + 0.02 * (wave - 8580) / 120) + noise,
        uncertainty=StdDevUncertainty(np.full(len(wave), 0.01)),
        meta={"medium": "vacuum", "source_id": np.int64(42), "transit_id": 7, "ra": 12.5 * u.deg},
    )
    return star


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return tmp_path_factory.mktemp("p") / "p.h5"


@pytest.fixture(scope="module")
def posterior(spectrum, chain):
    return sample(spectrum, seed=1, walkers=16, steps=600, file=chain, **SETTINGS)


def test_labels_of_a_spectrum_are_recovered(posterior, spectrum):
    for row in posterior.summary():
        wanted = (STAR | {"radial_velocity": 0.0})[row["name"]]
        assert abs(row["mean"] - wanted) < 4 * row["std"], row["name"]
    fit = rvsemu.fit(spectrum, **{k: v for k, v in SETTINGS.items() if k != "progress"})
    assert posterior.names == fit.free_names
    ratio = posterior.summary()["std"] / np.sqrt(np.diag(fit.covariance))
    assert np.all((ratio > 0.7) & (ratio < 1.4))
    assert posterior.meta["name"] == "42-7"
    assert posterior.meta["fixed"] == {"vmic": 1.2, "alpha": 0.0}
    assert posterior.meta["medium"] == "vacuum"
    row = posterior.to_table()[0]
    assert (row["source_id"], row["transit_id"], row["vmic"], row["vmic_error"]) == (
        42,
        7,
        1.2 * u.km / u.s,
        0 * u.km / u.s,
    )
    assert row["ra"] == 12.5 * u.deg


def test_a_posterior_of_a_spectrum_comes_back(posterior, chain):
    assert Posterior.load(chain) == posterior
    assert Posterior.load(chain).to_table()["ra"][0] == 12.5 * u.deg


def test_prediction_of_a_spectrum(posterior, spectrum):
    arrays = posterior.spectrum
    low, high = arrays["predicted"][[0, 4]]
    assert np.all(low <= high)
    good = arrays["used"]
    residual = (arrays["flux"] - arrays["predicted"][2])[good]
    assert np.std(residual) == pytest.approx(0.01, rel=0.06)
    assert np.median((high - low)[good]) < 0.01
    assert 8460 <= arrays["wavelength"].min() < 8462


def test_other_settings_are_noticed(spectrum, tmp_path):
    options = SETTINGS | {"file": tmp_path / "p.h5", "steps": 4, "walkers": 14}
    sample(spectrum, **options)
    with pytest.raises(PosteriorFileError, match="other data or settings"):
        sample(spectrum, **options | {"continuum_degree": 2})
    with pytest.raises(
        PosteriorFileError, match="14 walkers for teff, logg, vsini, mh, resolution, radial_velocity, now"
    ):
        sample(spectrum, **options | {"fixed": {"vmic": 1.2, "resolution": 11900}})
    assert len(sample(spectrum, **options | {"steps": 6}).chain) == 6


@pytest.mark.parametrize("options", [{"walkers": 31}, {"steps": 0}, {"stop": float("nan")}, {"seed": "a"}])
def test_arguments_are_checked_before_anything_is_done(spectrum, options, tmp_path):
    name = next(iter(options))
    with pytest.raises(SettingsError, match=f"^{name}="):
        sample(spectrum[:3], file=tmp_path / "p.h5", **options)


def test_sampling_says_what_the_fit_says(spectrum):
    """A prior that keeps Teff 900 K away from the truth: the chain is piled up at its limit."""
    prior = {"priors": {"teff": rvsemu.fitting.Uniform(4000, 5000)}}
    flags = sample(spectrum, seed=1, walkers=16, steps=100, **SETTINGS, **prior).flags
    assert "at-bound:teff" in flags
    fit = {key: value for key, value in SETTINGS.items() if key != "progress"}
    assert set(rvsemu.fit(spectrum, **fit, **prior).flags) <= set(flags)


def test_leaving_the_domain_is_flagged(posterior, spectrum):
    posterior = replace(posterior, converged=True)
    assert not posterior.flags
    options = SETTINGS | {"fixed": {"vmic": 4.2, "resolution": 11900}, "extrapolate": True}
    assert "outside-domain" in sample(spectrum, steps=2, walkers=10, **options).flags
    low = posterior.meta | {"domain": posterior.meta["domain"] | {"teff": [3600, 5900]}}
    assert replace(posterior, meta=low).flags == ("outside-domain",)


def test_free_jitter_is_a_label(spectrum):
    posterior = sample(spectrum, steps=3, walkers=16, jitter="free", **SETTINGS)
    assert posterior.names[-1] == "log_jitter"
    assert np.all((posterior["log_jitter"] >= -14) & (posterior["log_jitter"] <= -2))


# ---------------------------------------------------------------------- figures
@pytest.fixture
def plt():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_corner_plot(posterior, plt):
    figure = posterior.plot_corner(truths={"teff": 5.9 * u.kK, "logg": 4.3})
    m = len(posterior.names)
    assert len(figure.axes) == m * m
    bottom = [figure.axes[(m - 1) * m + i].get_xlabel() for i in range(m)]
    assert bottom[0] == "$T_{\\rm eff}$ (K)"
    assert bottom[1:4] == ["log g", "v sin i (km/s)", "[M/H]"]
    first = posterior.summary()[0]
    assert f"{first['median']:.0f}" in figure.axes[0].get_title()
    marked = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert 5900 in marked
    np.testing.assert_allclose(sorted(set(marked) - {5900}), [first["p16"], first["median"], first["p84"]])


@pytest.mark.parametrize("dpi", [60, 100, 200])
@pytest.mark.parametrize("names", [None, "vsini", ("mh", "teff"), ("resolution", "vsini", "radial_velocity")])
def test_all_of_a_corner_plot_is_in_the_figure(posterior, plt, names, dpi):
    """So that savefig needs no bbox_inches."""
    figure = posterior.plot_corner(names=names)
    figure.set_dpi(dpi)
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_corner_plot_of_some(posterior, plt):
    assert len(posterior.plot_corner(names="mh").axes) == 1
    figure = posterior.plot_corner(names=("mh", "teff"), figure=plt.figure())
    assert [figure.axes[i].get_xlabel() for i in (2, 3)] == ["[M/H]", "$T_{\\rm eff}$ (K)"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"truths": {"tef": 5900}}, "truths='tef': name some of teff"),
        ({"names": ("teff", "colour")}, "names='colour': name some of teff"),
        ({"names": ()}, r"names=\(\): name some of teff"),
    ],
)
def test_corner_plot_of_what_is_no_label(posterior, plt, options, words):
    with pytest.raises(LabelError, match=words):
        posterior.plot_corner(**options)


def test_predictive_plot_without_a_prediction(posterior, plt):
    with pytest.raises(PosteriorFileError, match="has no prediction of the spectrum, as the sampling was interrupted"):
        replace(posterior, spectrum={}).plot_predictive()


def test_predictive_plot(posterior, plt):
    ax = posterior.plot_predictive()
    below = ax.figure.axes[-1]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), posterior.spectrum["flux"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), posterior.spectrum["predicted"][2])
    assert [text.get_text() for text in below.get_legend().get_texts()] == [
        "noise, 1 sigma",
        "model, 95 %",
        "model, 68 %",
    ]
    assert below.get_xlabel() == "wavelength in vacuum (Å)"
    assert "Gaia 42" in ax.get_legend().get_texts()[0].get_text()
    _, other = plt.subplots()
    assert posterior.plot_predictive(ax=other) is other
