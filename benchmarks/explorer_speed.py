"""How soon the Explorer shows the spectrum of a slider that is moved; see README.rst.

    python benchmarks/explorer_speed.py
    python benchmarks/explorer_speed.py --changes 1000

opens the page in Chromium without a window (and without a graphics card) and presses arrow keys on its sliders, one
label after the other. Two times are measured, of the clock, so nothing else should run on the machine:

* the computation of the spectrum, and the commands that draw it;
* from the key to the last pixel: also the slider's own work, the wait for the next frame of the screen (up to 17 ms at
  60 frames per second), and the filling of the pixels, which is forced by reading one of them.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

import explorer  # noqa: E402
from browser_fixtures import Browser, find_browser  # noqa: E402
from explorer_fixtures import CANVAS, READY  # noqa: E402

import rvsemu  # noqa: E402

_WARMING = 20  # changes that are not counted: the browser compiles what it runs often
_LISTEN = f"""
    window.measured = [];
    addEventListener("keydown", (event) => {{ window.began = event.timeStamp; }}, true);
    addEventListener("input", () => requestAnimationFrame(() => {{
        {CANVAS}.getContext("2d").getImageData(0, 0, 1, 1);
        window.measured.push([RvsExplorer.app.shown().milliseconds, performance.now() - window.began]);
    }}));
"""


def measured(browser, address, changes):
    """Milliseconds of each change, (changes, 2): to compute and draw, and from the key to the last pixel."""
    browser.size(1400, 900)
    browser.open(address, READY)
    browser.js(_LISTEN)
    sliders = browser.js("[...document.querySelectorAll('#rvse-labels input[type=range]')].map((slider) => slider.id)")
    for i in range(_WARMING + changes):
        browser.js(f"document.getElementById('{sliders[i % len(sliders)]}').focus()")
        browser.key("ArrowRight" if (i // len(sliders)) % 2 == 0 else "ArrowLeft")
        browser.wait(f"window.measured.length === {i + 1}")
    return np.array(browser.js("window.measured"))[_WARMING:]


def main():
    parser = argparse.ArgumentParser(description="Time from a change of a slider of the Explorer to the spectrum.")
    parser.add_argument("--changes", type=int, default=100, metavar="N", help="number of changes (default: 100)")
    parser.add_argument("--emulator", default="default", metavar="NAME|FILE", help="emulator of the page")
    options = parser.parse_args()
    path = find_browser()
    if path is None:
        sys.exit("no Chromium was found: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        address = explorer.write_page(Path(folder) / "page", rvsemu.emulator.resolve(options.emulator)).as_uri()
        browser = Browser(path, Path(folder) / "profile")
        try:
            times = measured(browser, address, options.changes)
        finally:
            browser.close()
    print(f"{len(times)} changes; load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for name, column in zip(("compute and draw", "key to last pixel"), times.T, strict=True):
        median, late = np.quantile(column, [0.5, 0.95])
        print(f"{name:<18} median {median:5.1f} ms, 95th percentile {late:5.1f} ms, highest {column.max():5.1f} ms")


if __name__ == "__main__":
    main()
