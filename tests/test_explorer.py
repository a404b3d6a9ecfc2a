"""The Explorer computes what the package computes, and its controls do what they say, in a real browser."""

import csv
import json
import re
import shutil
import struct
import subprocess
from dataclasses import replace

import explorer
import numpy as np
import pytest
from browser_fixtures import needs_browser
from emulator_fixtures import layers, small_emulator
from explorer_fixtures import CANVAS, READY, arrays
from specutils import Spectrum

import rvsemu
from rvsemu.emulator import ALPHA, DenseNetwork, LabelSpace
from rvsemu.emulator.regions import Region
from rvsemu.physics.resampling import interpolation_matrix
from rvsemu.physics.wavelengths import convert_medium, doppler

CHANGED = "RvsExplorer.app.shown().values.{} === {}"
LARGEST = 3_000_000  # bytes of the emulator in the page


NODES = ((6000.0, 2.0), (9000.0, 3.5))
BOX = {"teff": (3600.0, 15000.0), "logg": (2.0, 5.0), "mh": (-1.5, 1.5), "vmic": (0.0, 4.0)}
RICH = {"alpha": (-0.2, 0.6)}


def seven_labels():
    """An emulator unlike those shipped: another label, layer, medium and grid, and a domain that is no box."""
    small = small_emulator()
    rng = np.random.default_rng(3)
    linear = replace(small.labels["resolution"], transform="linear")
    even = replace(small.labels["vsini"], transform="even")
    labels = [{"resolution": linear, "vsini": even}.get(label.name, label) for label in small.labels.labels]
    return replace(
        small,
        labels=LabelSpace((*labels, ALPHA), NODES, (Region(BOX), Region(BOX | {"mh": (-1.5, 0.8), **RICH}, NODES))),
        label_network=DenseNetwork(layers((7, 9, 5), ("relu", "tanh"), rng)),
        wavelength=8500.0 + 0.2 * np.arange(40),
        medium="vacuum",
    )


@pytest.fixture(scope="module")
def emulator():
    return rvsemu.shipped()


def computed(browser, what, names, labels, columns):
    """`flux` or `sigma` of the page for rows of labels."""
    rows = json.dumps([dict(zip(names, row, strict=True)) for row in labels.tolist()])
    return arrays(browser, f"{rows}.map((x) => RvsExplorer.network.{what}(RvsExplorer.app.network(), x))", columns)


# ------------------------------------------------------------------ without a browser
def test_rounding_and_size(explorer_folder, emulator):
    assert (explorer_folder / explorer.WEIGHTS).stat().st_size <= LARGEST
    labels = emulator.labels.draw(100, np.random.default_rng(8))
    difference = explorer.rounded(emulator).flux(labels) - emulator.flux(labels)
    assert 0 < np.abs(difference).max() <= 1e-4
    assert explorer.rounding(emulator)["largest"] <= 1e-4


def test_codes_are_near_what_they_stand_for():
    values = np.random.default_rng(1).normal(size=(5, 30)) * 10.0 ** np.arange(-4, 1)[:, None]
    values[2] = 0
    for bits in (8, 14, 16):
        scales, numbers = explorer.coded(values, bits)
        assert np.abs(numbers).max() == 2 ** (bits - 1) - 1
        assert np.all(np.abs(numbers * scales[:, None] - values) <= 0.5001 * scales[:, None])


def test_scripts_are_listed_and_find_their_elements():
    assert {path.name for path in explorer.ASSETS.glob("*.js")} == set(explorer.SCRIPTS)
    text = "".join((explorer.ASSETS / name).read_text(encoding="utf-8") for name in explorer.SCRIPTS)
    there = set(re.findall(r'id="rvse-([-\w]+)"', explorer.TEMPLATE.read_text(encoding="utf-8")))
    assert set(re.findall(r'byId\("([-\w]+)"\)', text)) <= there


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("name", explorer.SCRIPTS)
def test_scripts_have_no_errors_of_syntax(name):
    subprocess.run(["node", "--check", explorer.ASSETS / name], check=True)


# ------------------------------------------------------------------ numbers
@needs_browser
def test_flux_and_error_are_those_of_numpy(page, emulator):
    labels = emulator.labels.draw(100, np.random.default_rng(4))
    browser, same = page(), explorer.rounded(emulator).astype(float)
    n = len(emulator.wavelength)
    flux = computed(browser, "flux", emulator.labels.names, labels, n)
    assert len(flux) == 100
    np.testing.assert_allclose(flux, same.flux(labels), rtol=0, atol=1e-5)
    np.testing.assert_allclose(flux, emulator.flux(labels), rtol=0, atol=1.1e-4)
    sigma = computed(browser, "sigma", emulator.labels.names, labels[:20], n)
    np.testing.assert_allclose(sigma, same.sigma(labels[:20]), rtol=1e-5, atol=1e-7)


@needs_browser
def test_any_emulator(browser, tmp_path):
    emulator = seven_labels()
    labels = emulator.labels.draw(20, np.random.default_rng(5))
    address = explorer.write_page(tmp_path / "page", emulator).as_uri()
    browser.open(f"{address}#teff=9000&logg=3&alpha=0.4", READY)
    flux = computed(browser, "flux", emulator.labels.names, labels, 40)
    np.testing.assert_allclose(flux, explorer.rounded(emulator).astype(float).flux(labels), rtol=0, atol=1e-5)
    assert browser.js("document.querySelectorAll('#rvse-labels input[type=range]').length") == 7
    assert browser.js("document.querySelector('#rvse-label-alpha-field').value") == "0.4"
    warning = "document.querySelector('#rvse-outside').textContent"
    assert "below 3.5 dex, the lowest at 9000 K" in browser.js(warning)
    browser.type("#rvse-label-teff-field", "7000")
    browser.wait(f"{warning} === ''")
    assert browser.js("document.querySelector('#rvse-label-logg-range').textContent") == "2.5 to 5"
    space, rng = emulator.labels, np.random.default_rng(6)
    values = space.lower + (space.upper - space.lower) * rng.random((200, 7))
    values[::3, -1] = 0.0
    named = json.dumps([dict(zip(space.names, row, strict=True)) for row in values.tolist()])
    inside = browser.js(
        f"(({{ model, labels }}) => {named}.map((v) => labels.inRegions(model, v) && "
        "!model.labels.some((label) => labels.beyond(model, label, v))))(RvsExplorer)"
    )
    np.testing.assert_array_equal(inside, space.inside(values))
    assert 20 < np.sum(inside) < 180
    browser.type("#rvse-label-mh-field", "1.2")
    browser.wait(f"{warning}.includes('none of its regions')")
    browser.type("#rvse-label-alpha-field", "0")
    browser.wait(f"{warning} === ''")


# ------------------------------------------------------------------ controls
@needs_browser
def test_keys_and_mouse_change_the_spectrum(page, emulator):
    browser = page()
    before = browser.js(f"{CANVAS}.toDataURL()"), browser.js("RvsExplorer.app.shown().flux[1421]")
    browser.js("document.querySelector('#rvse-label-teff-slider').focus()")
    browser.key("ArrowRight")
    browser.wait("RvsExplorer.app.shown().values.teff === 5800")
    after = browser.js(f"{CANVAS}.toDataURL()"), browser.js("RvsExplorer.app.shown().flux[1421]")
    assert before[0] != after[0] and before[1] != after[1]
    assert browser.js("document.querySelector('#rvse-label-teff-field').value") == "5800"
    browser.click("#rvse-label-mh-slider")  # its middle
    middle = (emulator.labels["mh"].lower + emulator.labels["mh"].upper) / 2
    browser.wait(f"Math.abs(RvsExplorer.app.shown().values.mh - {middle}) < 0.05")
    browser.type("#rvse-label-vsini-field", "80")
    browser.wait(CHANGED.format("vsini", 80))
    browser.type("#rvse-label-vsini-field", "")
    assert browser.js("document.querySelector('#rvse-label-vsini-field').getAttribute('aria-invalid')") == "true"
    browser.click("#rvse-sun")
    browser.wait("RvsExplorer.app.shown().values.vsini === 2 && RvsExplorer.app.shown().values.teff === 5777")


@needs_browser
def test_outside_of_the_domain(page):
    browser = page("#teff=16000&mh=2")
    text = browser.js("document.querySelector('#rvse-outside').textContent")
    assert "Temperature is above 15000 K" in text and "Metallicity is above" in text
    assert browser.js("RvsExplorer.app.shown().curves.at(-1).dashed")
    browser.type("#rvse-label-resolution-field", "-1")  # has no logarithm
    assert browser.js("document.querySelector('#rvse-label-resolution-field').getAttribute('aria-invalid')") == "true"


@needs_browser
def test_zoom_by_keys_buttons_mouse_and_fields(page):
    browser, view = page(), "['from', 'to'].map((x) => Number(document.querySelector(`#rvse-${x}`).value))"
    low, high = browser.js(view)
    browser.click("[data-view=in]")
    browser.wait(f"({view})[0] > {low} + 50")
    browser.js(f"{CANVAS}.focus()")
    start = browser.js(view)
    browser.key("ArrowRight")
    browser.wait(f"({view})[0] > {start[0]} + 20")
    start, (x, y) = browser.js(view), browser.middle("#rvse-canvas")
    browser.drag((x, y), (x + 100, y))
    browser.wait(f"({view})[0] < {start[0]} - 5")
    browser.key("Home")
    browser.wait(f"({view})[0] === {low} && ({view})[1] === {high}")
    browser.type("#rvse-from", "8600")
    browser.key("Enter", "\r")
    browser.wait(f"{CANVAS}.getAttribute('aria-label').startsWith('Computed spectrum from 8600')")
    browser.wait("location.hash.includes('from=8600')")


@needs_browser
def test_air_and_vacuum(page, emulator):
    browser = page("#from=8500&to=8600")
    browser.click("input[value=vacuum]")
    browser.wait("RvsExplorer.app.state().medium === 'vacuum' && RvsExplorer.app.shown().x[0] > 8401")
    (x,) = arrays(browser, "[RvsExplorer.app.shown().x]", len(emulator.wavelength))
    np.testing.assert_allclose(x, convert_medium(emulator.wavelength, "air", "vacuum"), rtol=0, atol=1e-7)
    view = browser.js("RvsExplorer.app.state().view")
    np.testing.assert_allclose(view, convert_medium(np.array([8500.0, 8600.0]), "air", "vacuum"), atol=1e-6)


STATE = (
    "#teff=6100&logg=4.1&vsini=12&mh=-0.3&vmic=1.5&resolution=11000&alpha=0.1&compare=5777,4.44,2,0,1,11500,0"
    "&from=8480.00&to=8680.00&medium=vacuum&continuum=cubic&star=kepler-93&lines=0&zero=0&velocity=12.5"
)


@needs_browser
def test_link_restores_the_state(page, browser, explorer_address):
    browser.open(f"{explorer_address}{STATE}", READY)
    browser.wait("RvsExplorer.app.shown().comparison")
    state = browser.js("RvsExplorer.app.state()")
    assert state["values"] == dict(teff=6100, logg=4.1, vsini=12, mh=-0.3, vmic=1.5, resolution=11000, alpha=0.1)
    assert (state["pinned"]["teff"], state["view"], state["medium"]) == (5777, [8480, 8680], "vacuum")
    assert (state["star"], state["velocity"], state["lines"], state["zero"]) == ("kepler-93", 12.5, False, False)
    browser.wait(f"location.hash === {STATE!r}")
    browser.type("#rvse-label-teff-field", "6200")
    browser.wait("location.hash.includes('teff=6200')")
    browser.open(browser.js("location.href"), READY)
    assert browser.js("RvsExplorer.app.state()") == state | {"values": state["values"] | {"teff": 6200}}


@needs_browser
def test_damaged_links_begin_with_the_sun(page):
    browser = page(
        "#teff=abc&logg=&mh=NaN&resolution=-5&from=9&to=x&medium=water&star=toString&compare=1,2&velocity=1e9&=&%"
    )
    state = browser.js("RvsExplorer.app.state()")
    assert state == browser.js("RvsExplorer.state.initial(RvsExplorer.model)")
    assert state["values"]["teff"] == 5777


# ------------------------------------------------------------------ observed spectra
@needs_browser
def test_file_beside_the_spectrum(page, emulator):
    browser = page("#teff=5700&logg=4.4&mh=-0.2")
    browser.choose_file("#rvse-file", rvsemu.example_path("kepler-93"))
    browser.wait("RvsExplorer.app.shown().comparison")
    assert "2401 pixels" in browser.js("document.querySelector('#rvse-file-message').textContent")
    (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))

    def residual(velocity):
        air = convert_medium(star.spectral_axis.to_value("AA"), "vacuum", "air") / doppler(1.0, velocity)
        labels = [[5700, 4.4, 2, -0.2, 1, 11500, 0]]
        model = interpolation_matrix(8400.0, 0.1, 4000, air) @ explorer.rounded(emulator).flux(labels)[0]
        return star.flux.value - model

    (shown,) = arrays(browser, "[RvsExplorer.app.shown().comparison.residual]", 2401)
    np.testing.assert_allclose(shown, residual(0.0), atol=2e-5)
    (error,) = arrays(browser, "[RvsExplorer.app.shown().comparison.error]", 2401)
    np.testing.assert_allclose(error, star.uncertainty.array)
    browser.type("#rvse-velocity-field", "20")
    browser.wait("RvsExplorer.app.state().velocity === 20 && RvsExplorer.app.shown().comparison.rms > 0.02")
    (shown,) = arrays(browser, "[RvsExplorer.app.shown().comparison.residual]", 2401)
    np.testing.assert_allclose(shown, residual(20.0), atol=2e-5)
    browser.click("#rvse-remove")
    browser.wait("!RvsExplorer.app.shown().comparison")


@needs_browser
def test_continuum_is_taken_out(page, tmp_path, emulator):
    """A spectrum of the page itself times a cubic in other units leaves nothing."""
    x = emulator.wavelength[600:3400]
    flux = emulator.flux([[5777, 4.44, 2, 0, 1, 11500, 0]])[0][600:3400]
    t = (x - x.mean()) / 100
    data = np.stack([x, flux * (3e-13 * (1 + 0.2 * t - 0.1 * t**2 + 0.1 * t**3))], axis=1)
    np.savetxt(tmp_path / "star.txt", data, header="wavelength in air, flux")
    browser = page()
    browser.choose_file("#rvse-file", tmp_path / "star.txt")
    browser.wait("RvsExplorer.app.shown().comparison")
    assert browser.js("document.querySelector('#rvse-continuum').value") == "cubic"
    assert browser.js("document.querySelector('#rvse-file-medium').value") == "air"
    assert browser.js("RvsExplorer.app.shown().comparison.rms") < 1e-4


# ------------------------------------------------------------------ files to take away
@needs_browser
@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_csv_is_read_by_the_package(page, tmp_path, medium):
    labels = dict(teff=6000.0, logg=4.0, vsini=10.0, mh=-0.5, vmic=1.5, resolution=11000.0, alpha=0.0)
    browser = page("#" + "&".join(f"{k}={v}" for k, v in labels.items()) + f"&medium={medium}")
    spectrum = Spectrum.read(browser.downloaded(tmp_path, "#rvse-csv", "*.csv"))
    same = rvsemu.generate(**labels, medium=medium)
    np.testing.assert_allclose(spectrum.spectral_axis.to_value("AA"), same.spectral_axis.to_value("AA"), atol=6e-5)
    np.testing.assert_allclose(spectrum.flux.value, same.flux.value, atol=1e-4)
    np.testing.assert_allclose(spectrum.uncertainty.array, same.uncertainty.array, rtol=0.01, atol=1e-6)
    assert {k: v.value for k, v in spectrum.meta["labels"].items()} == labels
    assert spectrum.meta["labels"]["teff"].unit == "K"
    keys = ("medium", "frame", "recipe", "emulator_version", "extrapolated")
    assert {k: spectrum.meta[k] for k in keys} == {k: same.meta[k] for k in keys}


@needs_browser
@pytest.mark.parametrize(("mh", "alpha"), [(1.2, 0.3), (1.6, 0.0), (0.7, 0.3)])
def test_csv_says_where_it_is_extrapolated(page, mh, alpha):
    """Between the regions of the domain too, where each label by itself is inside."""
    labels = dict(teff=5777.0, logg=4.44, vsini=2.0, mh=mh, vmic=1.0, resolution=11500.0, alpha=alpha)
    row = "{ wavelength: [8500], flux: [1], sigma: [1e-3], medium: 'air' }"
    text = page().js(f"(({{ exporting, model }}) => exporting.csv({row}, {json.dumps(labels)}, model))(RvsExplorer)")
    stated = json.loads(next(csv.DictReader(text.splitlines()))["rvsemu"])
    assert stated["meta"]["extrapolated"] is rvsemu.generate(**labels, extrapolate=True).meta["extrapolated"]


@needs_browser
def test_png(page, tmp_path):
    browser = page("#star=hd176650")
    browser.wait("RvsExplorer.app.shown().comparison")  # its controls move the button
    data = browser.downloaded(tmp_path, "#rvse-png", "*.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (2400, 1188)


# ------------------------------------------------------------------ look
@needs_browser
@pytest.mark.parametrize(("width", "beside"), [(1400, True), (400, False)])
def test_wide_and_narrow_windows(page, width, beside):
    browser = page("#star=kepler-93&teff=16000")
    browser.size(width, 900)
    browser.wait(f"Math.abs({CANVAS}.width - {CANVAS}.clientWidth) <= 1")
    assert browser.js("document.documentElement.scrollWidth <= innerWidth")
    box = """(() => {{ const b = document.querySelector('{}').getBoundingClientRect();
        return [b.left, b.right, b.top]; }})()"""
    canvas, controls = (browser.js(box.format(name)) for name in ("#rvse-canvas", ".rvse-controls"))
    assert canvas[1] - canvas[0] > (800 if beside else 340)
    assert (controls[0] > canvas[1]) == beside


@needs_browser
def test_light_and_dark(page):
    browser, corner = page(), f"[...{CANVAS}.getContext('2d').getImageData(1, 1, 1, 1).data].slice(0, 3)"
    assert browser.js(corner) == [255, 255, 255]
    browser.theme("dark")
    browser.wait(f"({corner})[0] < 60")
    browser.js("document.documentElement.dataset.theme = 'light'")  # as the documentation's switch does
    browser.wait(f"({corner})[0] === 255")


@needs_browser
def test_every_control_has_a_name_and_shows_focus(page):
    browser = page("#star=kepler-93")
    browser.wait("RvsExplorer.app.shown().comparison")
    nameless = """[...document.querySelectorAll('#rvse :is(input, select, button, canvas)')].filter((e) => !(
        e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.id)"""
    assert browser.js(nameless) == []
    browser.js("document.querySelector('#rvse-sun').focus()")
    browser.key("Tab")
    assert browser.js("document.activeElement.id") == "rvse-pin"
    assert browser.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
