"""Figures: they draw what they should, names do not overlap, and matplotlib is loaded late."""

import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SettingsError, SpectrumError
from rvsemu.plotting import plot_fit, plot_spectrum, spread_apart

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

HOT = {"teff": 9500, "logg": 4, "vsini": 60, "mh": 0, "vmic": 2, "resolution": 11500}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def result():
    wave = 8460.0 + 0.1 * np.arange(2401)
    star = rvsemu.generate(**HOT, wavelength=wave * u.AA, medium="vacuum")
    flux = star.flux.value + np.random.default_rng(0).normal(size=len(wave)) / 200
    flux[1000:1050] = np.nan
    spectrum = Spectrum(
        spectral_axis=wave * u.AA,
        flux=flux * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full(len(wave), 1 / 200)),
        meta={"medium": "vacuum"},
    )
    return rvsemu.fit(spectrum, noise_correlation=())


def _names(ax):
    return [text for text in ax.texts if text.get_rotation() == 90]


def _boxes(ax):
    ax.figure.canvas.draw()
    return sorted((text.get_window_extent() for text in _names(ax)), key=lambda box: box.x0)


@pytest.mark.parametrize("width", [7, 10, 14])
def test_line_names_do_not_overlap(width):
    _, ax = plt.subplots(figsize=(width, 4), layout="constrained")
    plot_spectrum(rvsemu.generate(**HOT), ax=ax)
    boxes = _boxes(ax)
    assert len(boxes) == 20
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
    assert boxes[0].x0 >= 0
    assert boxes[-1].x1 <= ax.figure.bbox.x1


def test_paschen_lines_are_named_in_hot_stars_only():
    hot, cool = (plot_spectrum(rvsemu.generate(**HOT | {"teff": t})) for t in (9500, 5000))
    assert "P14" in [t.get_text() for t in _names(hot)]
    assert "P14" not in [t.get_text() for t in _names(cool)]


def test_plot_spectrum_draws_each_row():
    many = rvsemu.generate(**HOT | {"teff": [5000, 6000, 9000]})
    ax = plot_spectrum(many)
    curves = [line for line in ax.lines if len(line.get_xdata()) == 4000]
    assert len(curves) == 3
    np.testing.assert_array_equal(curves[1].get_ydata(), many.flux.value[1])
    assert ax.get_xlabel() == "wavelength in air (Å)"


def test_plot_spectrum_without_meta():
    spectrum = Spectrum(spectral_axis=np.linspace(846, 870, 50) * u.nm, flux=np.ones(50) * u.Jy)
    ax = plot_spectrum(spectrum, label="mine", lines=())
    assert ax.get_ylabel() == "flux (Jy)"
    assert ax.get_xlim() == pytest.approx((8460, 8700))
    assert ax.get_legend().get_texts()[0].get_text() == "mine"


def test_plot_fit_shows_data_model_residual_and_masks(result):
    ax = result.plot()
    below = ax.figure.axes[-1]
    data, model = ax.lines[:2]
    np.testing.assert_array_equal(data.get_ydata(), result.observed.flux.value)
    np.testing.assert_array_equal(model.get_ydata(), result.model.flux.value)
    residual = next(line for line in below.lines if len(line.get_xdata()) == 2401)
    assert np.nanstd(residual.get_ydata()) == pytest.approx(1 / 200, rel=0.1)
    shaded = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    assert len(shaded) == 7  # two edges, three cores, the diffuse band, the gap
    assert any(low < 8560.1 and high > 8564.8 for low, high in shaded)
    assert "reduced" in below.texts[0].get_text()
    assert below.get_xlim() == ax.get_xlim()


def test_plot_fit_names_lines_at_the_stars_velocity(result):
    ax = plot_fit(result)
    (line,) = [x for x in ax.lines if abs(x.get_xdata()[0] - 8544.44) < 0.3 and len(x.get_xdata()) == 4]
    expected = 8544.44 * (1 + result.radial_velocity.value / 299792.458)
    assert line.get_xdata()[0] == pytest.approx(expected, abs=0.02)


def test_bands_of_plot_fit_are_noise_and_all_errors(result):
    below = result.plot().figure.axes[-1]
    bands = dict(zip([text.get_text() for text in below.get_legend().get_texts()], below.collections, strict=True))
    core = np.argmin(np.abs(result.spectral_axis.value - 8664.5))
    pixel = result.spectral_axis.value[core]
    depth = 1 - result.model_flux[core] / result.continuum[core]
    parts = [1 / 200, result.model_sigma[core], 0.0079, 0.059 * depth]  # noise, emulator, base and depth of "gaia-rvs"
    expected = {"1 sigma, noise": parts[0], "1 sigma, all errors": np.linalg.norm(parts)}
    for name, sigma in expected.items():
        edge = bands[name].get_paths()[0].vertices
        highest = edge[np.abs(edge[:, 0] - pixel) < 0.01, 1].max()
        assert highest == pytest.approx(sigma / result.continuum[core], rel=0.02), name


@pytest.mark.parametrize("height", [5.6, 4.0])
def test_legend_of_plot_fit_is_below_the_data(result, height):
    ax = plot_fit(result, ax=plt.figure(figsize=(7, height), layout="constrained").add_subplot())
    ax.figure.canvas.draw()
    top = ax.get_legend().get_window_extent().y1
    lowest = np.nanmin(np.where(result.used, result.flux, np.nan))
    assert top < ax.transData.transform((8600, lowest))[1]


@pytest.mark.parametrize("by_hand", [False, True])
def test_plot_fit_stays_in_the_place_it_is_given(result, by_hand):
    figure = plt.figure(figsize=(9, 8))
    if by_hand:
        ax = figure.add_axes([0.1, 0.1, 0.8, 0.35])
    else:
        other, ax = figure.subplots(2)
        plot_spectrum(rvsemu.generate(**HOT), ax=other)
    before = ax.get_position()
    assert plot_fit(result, ax=ax) is ax
    figure.canvas.draw()
    below = figure.axes[-1].get_position()
    assert below.y0 == pytest.approx(before.y0, abs=0.005)
    assert ax.get_position().y1 == pytest.approx(before.y1, abs=0.005)
    assert below.y1 < ax.get_position().y0
    boxes = _boxes(ax)
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))


def test_spread_apart_moves_no_more_than_needed():
    places = np.sort(np.random.default_rng(1).uniform(0, 100, 30))
    spread = spread_apart(places, 2.0, 0, 100)
    assert np.all(np.diff(spread) >= 2 - 1e-9)
    assert spread.min() >= 0
    assert spread.max() <= 100 + 1e-9
    far = spread_apart([10.0, 50.0, 90.0], 2.0, 0, 100)
    np.testing.assert_allclose(far, [10, 50, 90])
    assert spread_apart([], 2.0, 0, 100).size == 0


def test_matplotlib_is_loaded_only_when_a_figure_is_made():
    """By us, that is: specutils' own dependencies load it."""
    code = (
        "import sys, specutils, specutils.manipulation; before = set(sys.modules); "
        "import rvsemu, rvsemu.plotting; new = set(sys.modules) - before; "
        "sys.exit(any(name.startswith(('matplotlib', 'mpl_toolkits')) for name in new))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_row_of_many_is_not_labelled_as_another():
    """specutils gives a row the meta of all, and the labels of the first star are not those of the second."""
    stars = rvsemu.generate(teff=[5000, 6000], logg=4.4)
    assert plot_spectrum(stars[1]).get_legend() is None
    assert "labels" not in rvsemu.simulate(stars[1], signal_to_noise=50, seed=1).meta
    (text,) = plot_spectrum(rvsemu.generate(teff=[6000], logg=4.4)[0]).get_legend().get_texts()
    assert "6000 K" in text.get_text()


@pytest.mark.parametrize("thing", [None, "star.csv", [1, 2], np.ones(3)])
def test_what_is_no_spectrum_is_refused_without_an_empty_figure(thing):
    with pytest.raises(SpectrumError, match=f"^spectrum is a {type(thing).__name__}: give a specutils Spectrum"):
        plot_spectrum(thing)
    assert plt.get_fignums() == []


def drawn(axis, flux):
    return Spectrum(spectral_axis=axis, flux=flux * u.one, meta={"medium": "air"})


UNDRAWABLE = {
    r"has the shape \(2, 3, 4000\): give one or two": lambda: rvsemu.generate([[5777], [6000]], [4.4, 4.5, 4.6]),
    "has no finite flux": lambda: rvsemu.generate([], []),
    r"\(3,\) has no finite flux": lambda: drawn([8500, 8501, 8502] * u.AA, np.full(3, np.nan)),
    "axis in 'GHz'": lambda: drawn([352000, 352001, 352002] * u.GHz, np.ones(3)),
    "axis in 'pix'": lambda: drawn([0, 1, 2] * u.pix, np.ones(3)),
}


@pytest.mark.parametrize("words", UNDRAWABLE)
def test_spectra_that_cannot_be_drawn_are_refused_without_an_empty_figure(words):
    before = plt.get_fignums()
    with pytest.raises(SpectrumError, match=words):
        plot_spectrum(UNDRAWABLE[words]())
    assert plt.get_fignums() == before


def test_fluxes_that_are_not_finite_leave_gaps():
    ax = plot_spectrum(drawn(np.arange(8500, 8504) * u.AA, [0.9, np.inf, np.nan, 0.5]))
    low, high = ax.get_ylim()
    assert 0.3 < low < 0.5 and 0.9 < high < 1.0


def test_axes_are_one(result):
    _, axes = plt.subplots(2, 1)
    for given in (axes, "fit.png"):
        with pytest.raises(SettingsError, match=f"^ax is a {type(given).__name__}: give one Axes"):
            result.plot(given)
        with pytest.raises(SettingsError, match="give one Axes"):
            plot_spectrum(result.model, given)


@pytest.mark.parametrize("size", [(6.4, 4.8), (12, 8)])
def test_labels_fit_into_axes_of_ones_own(result, size):
    """At the default size of matplotlib, and in one of four panels."""
    for draw in (result.plot, lambda ax: plot_spectrum(rvsemu.generate(**HOT), ax)):
        figure, axes = plt.subplots(*((1, 1) if size[0] < 7 else (2, 2)), figsize=size, squeeze=False)
        ax = draw(axes[0, 0])
        figure.canvas.draw()
        legend, box = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert box.x0 <= legend.x0 and legend.x1 <= box.x1 and box.y0 <= legend.y0
