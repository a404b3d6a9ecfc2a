"""`rvsemu explore` in a real browser: sliders, files, fits and posteriors by mouse and keyboard."""

import json
import struct

import numpy as np
import pytest
from browser_fixtures import Browser, find_browser, needs_browser
from specutils import Spectrum

import rvsemu
from rvsemu.observing.flags import FLAGS
from rvsemu.physics.wavelengths import convert_medium
from rvsemu.spectra import write_spectrum

pytest.importorskip("bokeh", reason='needs Bokeh: pip install "rvsemu[explore]"')
pytestmark = needs_browser

TRUTH = {"teff": 6100.0, "logg": 4.2, "vsini": 12.0, "mh": -0.3, "vmic": 1.3, "resolution": 11800.0, "alpha": 0.0}
VELOCITY = 8.0
READY = "window.Bokeh?.documents?.[0]?.is_idle"
CARD = "explored('card').text"
FOCUSED = """(() => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element; })()"""


class Bokeh(Browser):
    """Elements are in shadows: a selector is the name of a model, and a selector within it."""

    def element(self, selector):
        name, _, within = selector.partition(" ")
        return f"Bokeh.index.find_one(explored({name!r})).shadow_el.querySelector({within!r})"

    def begin(self, address):
        """Open a page, and give a name to what finds its models."""
        self.problems.clear()
        self.size(1400, 900)
        self.open(address, READY)
        self.js("void (window.explored = (name) => Bokeh.documents[0].get_model_by_name(name))")
        return self

    def tab_to(self, name):
        """Press Tab until something of that name has the focus, at most through the whole page."""
        for _ in range(80):
            self.key("Tab")
            if self.js(f"{FOCUSED}?.labels?.[0]?.textContent === {name!r} || {FOCUSED}?.ariaLabel === {name!r} || "
                       f"{FOCUSED}?.textContent === {name!r}"):  # fmt: skip
                return
        raise AssertionError(f"Tab never leads to {name}")


@pytest.fixture(scope="module")
def served():
    with rvsemu.explore(browser=False) as page:
        yield page


@pytest.fixture(scope="module")
def bokeh(tmp_path_factory):
    opened = Bokeh(find_browser(), tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


@pytest.fixture
def page(bokeh, served):
    yield bokeh.begin(served.url)
    problems = list(bokeh.problems)
    bokeh("Page.navigate", url="about:blank")
    assert problems == []


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    """File of a simulated star."""
    flux = rvsemu.generate(**TRUTH)
    observed = rvsemu.simulate(flux, signal_to_noise=100, radial_velocity=VELOCITY, seed=4)
    path = tmp_path_factory.mktemp("star") / "star.fits"
    write_spectrum(observed, path)
    return path


def curve(browser, name):
    """Wavelength and flux of a curve, "model" or "observed"."""
    text = browser.js(f"""JSON.stringify((() => {{ const data = explored("{name}-data").data;
        return [[...data.x], [...data.y].map((y) => Number.isFinite(y) ? y : null)]; }})())""")
    return np.array(json.loads(text), dtype=float)


def values(browser, names=tuple(TRUTH)):
    return {name: browser.js(f"explored('{name}-field').value") for name in names}


# ------------------------------------------------------------------ sliders
def test_sliders_have_the_ranges_of_the_labels_and_change_the_spectrum(page):
    for label in rvsemu.shipped().labels.labels:
        slider = page.js(f"(({{ start, end }}) => [start, end])(explored('{label.name}-slider'))")
        assert slider == [label.lower, label.upper]
        assert page.js(f"explored('{label.name}-field').title").endswith(f"({label.unit})" if label.unit else "g power")
    page.click("teff-slider .noUi-target")
    page.wait("explored('teff-field').value > 9000")
    labels = values(page)
    assert labels["teff"] == pytest.approx(9250, abs=150)
    wavelength, flux = curve(page, "model")
    page.wait("explored('model-data').data.y[1421] < 0.9")
    expected = rvsemu.generate(**labels)
    wavelength, flux = curve(page, "model")
    np.testing.assert_allclose(wavelength, expected.spectral_axis.to_value("AA"))
    np.testing.assert_allclose(flux, expected.flux.value, atol=1e-6)


def test_domain_of_two_regions(page):
    words = "explored('message').text"
    page.type("teff-field input", "9000")
    page.key("Enter", "\r")
    page.wait("explored('logg-range').text === '2 to 5'")
    page.type("logg-field input", "1.5")
    page.key("Enter", "\r")
    page.wait(f"{words}.includes('Gravity is below 2 dex, the lowest at 9000 K')")
    assert page.js("explored('logg-range').text") == "<b>outside: below 2 dex, the lowest at 9000 K</b>"
    assert page.js("explored('model-curve').glyph.line_dash.value[0] > 0")
    page.click("sun button")
    page.wait(f"!{words}.includes('utside')")
    page.type("mh-field input", "1.2")
    page.key("Enter", "\r")
    page.wait("explored('mh-slider').value === 1.2")
    assert "utside" not in page.js(words)  # the region of the paper reaches there
    page.type("alpha-field input", "0.4")
    page.key("Enter", "\r")
    page.wait(f"{words}.includes('none of the regions')")


def test_air_and_vacuum_and_the_view(page):
    page.click("view-in button")
    page.wait("explored('range').end - explored('range').start < 250")
    low, high = page.js("[explored('range').start, explored('range').end]")
    page.click("medium .bk-btn:nth-child(2)")
    page.wait("explored('model-data').data.x[0] > 8402")
    vacuum = convert_medium(rvsemu.shipped().wavelength, "air", "vacuum")
    np.testing.assert_allclose(curve(page, "model")[0], vacuum)
    ends = page.js("[explored('range').start, explored('range').end]")
    np.testing.assert_allclose(ends, convert_medium(np.array([low, high]), "air", "vacuum"))
    page.click("view-left button")
    page.wait(f"explored('range').start < {ends[0]} - 50")
    page.click("view-all button")
    page.wait("explored('range').end - explored('range').start > 399")


# ------------------------------------------------------------------ observed spectra
def test_fit_of_a_picked_file_recovers_the_labels(page, star):
    page.choose_file("file input", star)
    page.wait("explored('told').text.includes('median S/N')")
    assert page.js("explored('observed-data').data.x.length") > 2000
    page.click("fit-button button")
    page.click("teff-slider .noUi-target")  # the page is alive while the thread works
    page.wait(f"{CARD}.includes('FitResult')")
    (observed,) = rvsemu.read_rvs(star)
    result = rvsemu.fit(observed)
    card = page.js(CARD)
    for name in result.labels:
        assert result.text(name) in card
    assert f"reduced chi2 {result.reduced_chi2:.2f}" in card
    assert "flags: none" in card if not result.flags else all(FLAGS[flag] in card for flag in result.flags)
    found = values(page, tuple(result.labels))
    for name, true in {**TRUTH, "radial_velocity": VELOCITY}.items():
        assert found[name] == pytest.approx(result.labels[name].value, rel=1e-6, abs=1e-9)
        if name in result.free_names:
            assert abs(found[name] - true) < 3 * result.errors[name].value, name
    page.wait("explored('message').text.includes('rms')")
    rms = float(page.js("explored('message').text").partition("rms ")[2][:6])
    assert rms == pytest.approx(result.residual_rms, rel=0.05)


def test_held_labels_are_held(page):
    page.js("explored('example').value = 'kepler-93'")
    page.wait("explored('told').text.startsWith('<div role=\"status\">Kepler-93')")
    page.click("held label:nth-child(5) input")  # microturbulence
    page.click("fit-button button")
    page.wait(f"{CARD}.includes('1 (fixed)')")
    assert page.js("explored('vmic-field').value") == 1


def test_posterior_with_progress_and_cancel(page, tmp_path):
    page.js("explored('example').value = 'kepler-93'")
    page.js("explored('steps').value = '3000'")
    page.wait("!explored('posterior-button').disabled")
    page.click("posterior-button button")
    page.wait("explored('progress').visible && explored('progress').value > 3")
    assert page.js("explored('progress').max") == 3000
    page.click("cancel button")
    page.wait("explored('doing').text.includes('cancelled') && !explored('progress').visible")
    assert page.js(CARD) == "" and not page.js("explored('fit-button').disabled")
    page.js("explored('steps').value = '120'")
    page.click("posterior-button button")
    page.wait(f"{CARD}.includes('Posterior of')")
    (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    posterior = rvsemu.sample(star, steps=120, progress=False)
    card = page.js(CARD)
    for name in posterior.labels:
        assert posterior.text(name) in card
    page.wait("explored('teff-field').value !== 5777")
    assert values(page)["teff"] == pytest.approx(posterior.teff.value)
    assert page.js("explored('plots').children[1].children.length") == len(posterior.names)
    path = page.downloaded(tmp_path, "corner-file button", "*.png")
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert path.name == "rvsemu-corner.png" and min(width, height) > 1200


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("notes.csv", b"no, spectrum\n1, 2\n", "notes.csv"),
        ("empty.fits", b"", "empty.fits"),
        ("cut.csv.gz", b"\x1f\x8b\x08damaged", "cut.csv.gz: "),
    ],
)
def test_bad_files_are_refused_in_words(page, tmp_path, name, data, complaint):
    page.js("explored('example').value = 'kepler-93'")
    page.wait("explored('told').text.includes('Kepler-93')")
    (tmp_path / name).write_bytes(data)
    page.choose_file("file input", tmp_path / name)
    page.wait(f"explored('told').text.includes({complaint!r})")
    text = page.js("explored('told').text")
    assert 'role="alert"' in text and "Traceback" not in text
    with pytest.raises(rvsemu.RvsemuError) as refused:
        rvsemu.read_rvs(tmp_path / name)
    assert str(refused.value).replace(str(tmp_path / name), name)[:40] in text
    assert page.js("explored('fit-button').disabled")
    page.js("explored('example').value = 'hd176650'")  # the page goes on
    page.wait("explored('told').text.includes('HD 176650') && !explored('fit-button').disabled")


# ------------------------------------------------------------------ without a mouse
def test_everything_by_keyboard(page):
    page.tab_to("Temperature (K)")
    before = page.js("explored('teff-field').value")
    page.key("Tab")
    assert page.js(f"{FOCUSED}.getAttribute('role')") == "slider"
    assert page.js(f"{FOCUSED}.ariaLabel") == "Temperature (K)"
    assert page.js(f"getComputedStyle({FOCUSED}).outlineStyle") == "solid"
    page.key("ArrowRight")
    page.wait(f"explored('teff-field').value > {before}")
    page.tab_to("Example")
    page.key("ArrowDown")
    page.wait("explored('told').text.includes('Kepler-93')")
    page.tab_to("Fit")
    page.key("Enter", "\r")
    page.wait(f"{CARD}.includes('FitResult')")
    page.tab_to("Zoom in")
    page.key("Enter", "\r")
    page.wait("explored('range').end - explored('range').start < 250")


def test_every_control_has_a_name(page):
    page.js("explored('example').value = 'kepler-93'")
    page.wait("!explored('fit-button').disabled")
    nameless = page.js("""(() => {
        const found = [];
        const walk = (root) => { for (const e of root.querySelectorAll("*")) {
            const control = e.matches("input, select, button, [role=slider]");
            if (control && !(e.labels?.length || e.ariaLabel || e.textContent.trim())) found.push(e.outerHTML);
            if (e.shadowRoot && !e.matches(".bk-Figure")) walk(e.shadowRoot);
        } };
        walk(document);
        return found; })()""")
    assert nameless == []


# ------------------------------------------------------------------ look, and files
@pytest.mark.parametrize(("width", "beside"), [(1400, True), (400, False)])
def test_wide_and_narrow_windows(page, width, beside):
    page.js("explored('example').value = 'kepler-93'")
    page.size(width, 900)
    page.wait("!explored('fit-button').disabled")
    page.click("fit-button button")
    page.wait(f"{CARD}.includes('FitResult')")
    page.wait("document.documentElement.scrollWidth <= innerWidth")
    box = "(() => {{ const b = document.querySelector('{}').getBoundingClientRect(); return [b.left, b.right]; }})()"
    spectrum, controls = (page.js(box.format(name)) for name in (".spectrum", ".controls"))
    assert spectrum[1] - spectrum[0] > (900 if beside else 370)
    assert (controls[0] >= spectrum[1]) == beside
    page.wait(f"explored('flux').inner_width > {spectrum[1] - spectrum[0]} - 110")


def test_spectrum_as_csv_and_figure_as_png(page, tmp_path):
    page.type("teff-field input", "6000")
    page.key("Enter", "\r")
    page.wait("explored('teff-slider').value === 6000")
    path = page.downloaded(tmp_path, "csv button", "*.csv")
    same = rvsemu.generate(**values(page))
    written = Spectrum.read(path)
    np.testing.assert_allclose(written.flux.value, same.flux.value, atol=1e-6)
    assert written.meta["medium"] == "air" and written.meta["labels"]["teff"].value == 6000
    page.js("explored('example').value = 'kepler-93'")
    page.wait("explored('told').text.includes('Kepler-93')")
    data = page.downloaded(tmp_path, "png button", "*.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and width > 800 and height > 400


def test_labels_as_ecsv(page, tmp_path):
    from astropy.table import QTable

    page.js("explored('example').value = 'hd176650'")
    page.wait("!explored('fit-button').disabled")
    page.click("fit-button button")
    page.wait(f"{CARD}.includes('FitResult') && explored('labels-file').visible")
    table = QTable.read(page.downloaded(tmp_path, "labels-file button", "*.ecsv"))
    (star,) = rvsemu.read_rvs(rvsemu.example_path("hd176650"))
    assert table["teff"][0].value == pytest.approx(rvsemu.fit(star).teff.value)
