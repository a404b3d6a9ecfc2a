"""A Chromium without a window, driven through its pipe for debuggers: Chrome DevTools Protocol, JSON by JSON."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from functools import lru_cache

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 120.0  # seconds; a loaded machine takes some to start a browser


@lru_cache(maxsize=1)
def find_browser():
    """Path of a Chromium that starts, or None: that of some distributions only names another way to install it."""
    return next((path for path in map(shutil.which, NAMES) if path and _starts(path)), None)


def _starts(path):
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=_PATIENCE).returncode == 0
    except subprocess.SubprocessError:
        return False


needs_browser = pytest.mark.skipif(find_browser() is None, reason="needs Chromium: apt-get install chromium")


class Browser:
    """One page in a browser of its own."""

    def __init__(self, path, folder):
        self._numbers, self._buffer, self.problems = itertools.count(1), b"", []
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        command = [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command += ["--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={folder}"]

        def place():  # the browser reads from 3 and writes to 4
            one, other = os.dup(to_browser), os.dup(from_browser)
            high = [os.dup2(fd, 60 + i) for i, fd in enumerate((one, other))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [*command, "about:blank"],
            preexec_fn=place,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._session = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        """Send a command and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._message()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _message(self):
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            some = os.read(self._read, 1 << 20)
            if not some:
                raise RuntimeError("the browser has ended")
            self._buffer += some
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event):
        """Keep what goes wrong in the page."""
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(event["params"]["exceptionDetails"])
        if event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] == "error":
            self.problems.append(event["params"]["args"])

    def js(self, expression):
        """Value of an expression, of a promise if it is one."""
        given = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self("Runtime.evaluate", **given)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def open(self, address, ready):
        """Load a page, and wait for an expression to be true."""
        self("Page.navigate", url="about:blank")  # else a change of what is after "#" would load nothing
        self("Page.navigate", url=address)
        self.wait(f"document.readyState === 'complete' && ({ready})")

    def wait(self, expression):
        """Until an expression is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self.js(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.05)

    def size(self, width, height):
        """Size of the window in CSS pixels."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def theme(self, name):
        """Let the system be 'light' or 'dark'."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def click(self, selector):
        """Click with the mouse in the middle of an element."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def element(self, selector):
        """Expression of the element that a selector means."""
        return f"document.querySelector({selector!r})"

    def middle(self, selector):
        """Centre of an element that is scrolled into sight."""
        box = f"""(() => {{ const e = {self.element(selector)}; e.scrollIntoView({{block: 'center'}});
            const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"""
        return self.js(box)

    def drag(self, start, end):
        """Press the mouse at one place, move it to another, release it."""
        button = {"button": "left", "clickCount": 1}
        self("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], **button)
        self("Input.dispatchMouseEvent", type="mouseMoved", x=end[0], y=end[1], buttons=1, button="left")
        self("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], **button)

    def key(self, name, text=None):
        """Press and release a key; `text` is what it types."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "Tab": 9, "Enter": 13}
        key = {"key": name, "code": name, "windowsVirtualKeyCode": codes.get(name, 0)}
        self("Input.dispatchKeyEvent", type="keyDown", **key, **({"text": text} if text else {}))
        self("Input.dispatchKeyEvent", type="keyUp", **key)

    def type(self, selector, text):
        """Replace what is in a field by keys."""
        self.js(f"(() => {{ const e = {self.element(selector)}; e.focus(); e.select(); }})()")
        self("Input.insertText", text=text)

    def choose_file(self, selector, path):
        """Choose a file as the user of a file input does."""
        found = self("Runtime.evaluate", expression=self.element(selector))["result"]
        self("DOM.setFileInputFiles", objectId=found["objectId"], files=[str(path)])

    def downloaded(self, folder, selector, pattern):
        """Path of the file that a click on an element brings into a folder."""
        self("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.click(selector)
        deadline = time.monotonic() + _PATIENCE
        while not (found := list(folder.glob(pattern))):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no file {pattern} came")
            time.sleep(0.05)
        return found[0]

    def screenshot(self, path, whole=False):
        """Save what is to be seen, or the whole page, as PNG."""
        data = self("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        """End it."""
        try:
            self._session = None
            self("Browser.close")
        except (OSError, RuntimeError, TimeoutError):
            self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(find_browser(), tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()
