"""The static Explorer, open in a browser."""

import base64

import explorer
import numpy as np
import pytest

import rvsemu

READY = "window.RvsExplorer?.app?.shown()"
CANVAS = "document.querySelector('#rvse-canvas')"


@pytest.fixture(scope="module")
def explorer_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer")
    explorer.write_page(path, rvsemu.shipped())
    return path


@pytest.fixture(scope="module")
def explorer_address(explorer_folder):
    return (explorer_folder / "index.html").as_uri()


@pytest.fixture
def page(browser, explorer_address):
    """Opens the page with a state, and looks for errors in the end; it is loaded once, which takes most of the time."""

    def load(state=""):
        if browser.js("location.href.split('#')[0]") != explorer_address:
            browser.open(explorer_address, READY)
        browser.js("document.documentElement.removeAttribute('data-theme')")
        browser.js("document.querySelector('#rvse-remove').click()")
        browser.js("scrollTo(0, 0)")
        browser.js(f"location.hash = {(state or '#') + '&new=1'!r}")  # the page ignores that, and leaves it out
        browser.wait("!location.hash.includes('new=1')")
        return browser

    browser.problems.clear()
    browser.size(1400, 900)
    browser.theme("light")
    yield load
    assert not browser.problems


def arrays(browser, expression, columns):
    """Rows of float64 that an expression (a list of arrays) has."""
    text = browser.js(f"""(() => {{
        const rows = {expression};
        const bytes = new Uint8Array(Float64Array.from(rows.flatMap((row) => [...row])).buffer);
        let text = "";
        for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
        return btoa(text);
    }})()""")
    return np.frombuffer(base64.b64decode(text)).reshape(-1, columns)
