"""What stands behind `rvsemu explore`, without a browser: words, overlay, jobs, files, server and command."""

import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from rvs_fixtures import WRITERS
from scipy.interpolate import CubicSpline
from specutils import Spectrum

import rvsemu
from rvsemu.errors import SettingsError, SpectrumError
from rvsemu.explorer.jobs import Job
from rvsemu.explorer.labels import SUN, beyond, in_words, nice_step
from rvsemu.explorer.observed import Star, uploaded
from rvsemu.explorer.overlay import overlay
from rvsemu.physics.continuum import chebyshev_basis

EXAMPLE = rvsemu.example_path("kepler-93")
needs_bokeh = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import bokeh"], capture_output=True).returncode != 0,
    reason='needs Bokeh: pip install "rvsemu[explore]"',
)


# ------------------------------------------------------------------ words
def test_words_and_domain_agree():
    space = rvsemu.shipped().labels
    rng = np.random.default_rng(6)
    values = space.lower + (space.upper - space.lower) * rng.uniform(-0.02, 1.02, (300, len(space)))
    values[::2, -1] = 0.0
    said = [in_words(space, dict(zip(space.names, row, strict=True))) for row in values]
    np.testing.assert_array_equal([not words for words in said], space.inside(values))
    assert 30 < sum(map(bool, said)) < 270
    assert any("none of the regions" in words for words in said)


def test_limits_in_words():
    space = rvsemu.shipped().labels
    assert beyond(space, SUN) == {} and in_words(space, SUN) == ""
    assert in_words(space, SUN | {"teff": 16000.0}).endswith("training domain: Temperature is above 15000 K.")
    assert beyond(space, SUN | {"mh": -3.0}) == {"mh": "below -2.5 dex"}


@pytest.mark.parametrize(
    ("ends", "step"), [((3500, 15000), 20), ((0, 5), 0.01), ((0, 300), 1), ((-0.2, 0.6), 0.002), ((0, 3), 0.01)]
)
def test_steps_of_sliders(ends, step):
    assert nice_step(*ends) == step


# ------------------------------------------------------------------ overlay
def test_what_the_emulator_made_leaves_nothing():
    """A moved star times a cubic in other units."""
    emulator, velocity = rvsemu.shipped(), 35.0
    star = rvsemu.simulate(
        rvsemu.generate(**SUN), signal_to_noise=1e5, radial_velocity=velocity, release="Gaia DR3", seed=1
    )
    basis = chebyshev_basis(star.spectral_axis.to_value("AA"), 3)
    curve = 3e-13 * basis @ [1.0, 0.2, -0.1, 0.1]
    scaled = Spectrum(
        spectral_axis=star.spectral_axis,
        flux=star.flux.value * curve * u.Unit("W m-2 um-1"),
        uncertainty=StdDevUncertainty(star.uncertainty.array * curve),
        meta=star.meta,
    )
    observation = Star.observe(scaled, emulator).observation
    flux = emulator.flux([[SUN[name] for name in emulator.labels.names]])[0]
    seen = overlay(observation, emulator, flux, velocity, 3)
    assert seen.rms < 3e-4
    assert overlay(observation, emulator, flux, 0.0, 3).rms > 0.02
    there = np.isfinite(seen.residual)
    expected = CubicSpline(emulator.wavelength, flux)(seen.wavelength[there])
    np.testing.assert_allclose(seen.flux[there] - seen.residual[there], expected, atol=1e-4)


# ------------------------------------------------------------------ jobs
def test_jobs_tell_and_end():
    told, ended = [], []

    def work(tell):
        tell(1, 2)
        time.sleep(0.3)
        tell(2, 2)
        return "result"

    job = Job(work, lambda *numbers: told.append(numbers), ended.append)
    job.start()
    job.join()
    assert told == [(1, 2), (2, 2)] and ended == ["result"]


def test_errors_of_jobs_are_their_outcome():
    ended = []
    job = Job(lambda tell: 1 / 0, print, ended.append)
    job.start()
    job.join()
    assert isinstance(ended[0], ZeroDivisionError)


def test_cancelled_jobs_end_and_say_nothing():
    begun, ended = threading.Event(), []

    def work(tell):
        for step in range(100_000):
            tell(step, 100_000)
            begun.set()
            time.sleep(1e-3)

    job = Job(work, lambda *_: None, ended.append)
    job.start()
    begun.wait()
    job.cancel()
    job.join()
    assert job.cancelled and ended == []


# ------------------------------------------------------------------ observed spectra
def test_uploaded_files_are_those_of_the_reader(tmp_path):
    for name, write in WRITERS.items():
        (tmp_path / name).mkdir()
        path = write(tmp_path / name)
        stars, warning = uploaded(path.read_bytes(), path.name, rvsemu.shipped())
        spectra = rvsemu.read_rvs(path)
        assert [star.spectrum.meta["source_id"] for star in stars] == [s.meta["source_id"] for s in spectra], name
        assert warning == ""
    assert re.fullmatch(r"Gaia \d+: \d+ pixels, \d+ of them good, median S/N \d+, in vacuum.", str(stars[0]))


def test_what_explore_takes():
    (star,) = rvsemu.read_rvs(EXAMPLE)
    with pytest.raises(SpectrumError, match="give a specutils.Spectrum, a list of them, or the path"):
        rvsemu.explore(5, browser=False)
    with pytest.raises(SpectrumError, match="medium"):
        rvsemu.explore(Spectrum(flux=star.flux, spectral_axis=star.spectral_axis), browser=False)
    with pytest.raises(SettingsError, match="port=70000: give a whole number from 0 to 65535"):
        rvsemu.explore(port=70000)
    with pytest.raises(SpectrumError, match="there are none"):
        rvsemu.explore([], browser=False)


# ------------------------------------------------------------------ server and command
@needs_bokeh
def test_the_server_is_for_this_machine_and_can_be_stopped():
    (star,) = rvsemu.read_rvs(EXAMPLE)
    page = rvsemu.explore([star], browser=False)
    port = int(page.url.rstrip("/").rpartition(":")[2])
    text = urlopen(page.url).read().decode()
    assert "<title>rvsemu Explorer</title>" in text and "https://" not in text
    assert page.url in page._repr_html_() and "<iframe" in page._repr_html_()
    if Path("/proc/net/tcp").exists():
        addresses = list(_listening(port))
        assert addresses and all(address.is_loopback for address in addresses)
    page.stop()
    page.stop()
    with pytest.raises(OSError), socket.create_connection(("localhost", port), timeout=2):
        pass
    assert "stopped" in repr(page) and "stopped" in page._repr_html_()


def _listening(port):
    """Addresses on which this machine listens at a port."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = Path(name).read_text().splitlines()[1:] if Path(name).exists() else []
        for _, local, _, state, *_ in (row.split() for row in rows):
            host, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                data = bytes.fromhex(host)
                yield ipaddress.ip_address(b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4)))


def test_without_bokeh_it_says_what_to_install():
    code = "import sys; sys.modules['bokeh'] = None; from rvsemu.cli import main; sys.exit(main(['explore']))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == 'rvsemu explore: error: the explorer needs Bokeh: pip install "rvsemu[explore]".\n'


def command(*arguments):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    given = [sys.executable, "-m", "rvsemu", "explore", "--no-browser", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(given, env=environment, **pipes)


@needs_bokeh
def test_command_serves_until_ctrl_c():
    run = command(EXAMPLE)
    line = run.stdout.readline()
    assert re.fullmatch(r"http://localhost:\d+/ shows the Explorer; Ctrl-C ends it\n", line)
    assert urlopen(line.split()[0]).status == 200  # a session that stays open
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out, err) == (0, "\nended\n", "")


@needs_bokeh
def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        out, err = (run := command("--port", port)).communicate(timeout=120)
    remedy = "it is in use by another program; give another one, or 0 for any that is free."
    assert (run.returncode, out, err) == (2, "", f"rvsemu explore: error: port={port}: {remedy}\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing.csv"], "missing.csv: there is no such file; check the path"),
        ([rvsemu.example_path().parent], "it is a folder"),
        (["--emulator", "missing.h5"], "missing.h5"),
        (["--port", "99999"], "argument --port: 99999: give a whole number from 0 to 65535"),
    ],
    ids=["no file", "folder", "emulator", "port"],
)
def test_bad_input_is_one_line(arguments, complaint):
    out, err = (run := command(*arguments)).communicate(timeout=120)
    assert (run.returncode, out) == (2, "")
    assert complaint in err and err.startswith("rvsemu explore: error:") and err.count("\n") == 1
