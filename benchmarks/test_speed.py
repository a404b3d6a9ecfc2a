"""How fast things are; see README.rst."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rvsemu
from rvsemu.fitting import fit_many, prepare

NAMES = sorted(f.stem for f in (Path(rvsemu.__file__).parent / "data" / "emulators").glob("*.h5"))
SUN = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0, "vmic": 1, "resolution": 11500, "alpha": 0}
FRESH = {  # what a new process does, and what its CPU time is compared with
    "import rvsemu": "import rvsemu",
    "all public names": "import rvsemu; [getattr(rvsemu, name) for name in rvsemu.__all__]",
    "rvsemu --help": "import contextlib, rvsemu.cli\nwith contextlib.suppress(SystemExit): rvsemu.cli.main(['--help'])",
}
pytestmark = pytest.mark.benchmark(timer=time.process_time)  # CPU time: other work on the machine does not count


def cpu_seconds(statement):
    """CPU time of a statement in a process of its own, without the start of Python."""
    code = "import time, sys; start = time.process_time()\n" + statement
    code += "\nprint(time.process_time() - start, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stderr.split()[-1])


@pytest.fixture(params=NAMES)
def emulator(request):
    emulator = rvsemu.shipped(request.param)
    emulator.flux(emulator.labels.values(**SUN)[None])
    return emulator


@pytest.fixture
def stars(emulator):
    return emulator.labels.draw(1000, np.random.default_rng(1))


@pytest.mark.parametrize("statement", FRESH.values(), ids=FRESH)
def test_fresh_process(benchmark, statement):
    libraries = min(cpu_seconds("import specutils") for _ in range(3))
    seconds = []
    benchmark.pedantic(lambda: seconds.append(cpu_seconds(statement)), rounds=5)
    benchmark.extra_info["CPU seconds"] = round(min(seconds), 3)
    benchmark.extra_info["times the import of specutils"] = round(min(seconds) / libraries, 2)


def test_flux(benchmark, emulator, stars):
    benchmark(emulator.flux, stars[:1])


def test_batch(benchmark, emulator, stars):
    benchmark(emulator.flux, stars)


def test_jacobian(benchmark, emulator, stars):
    benchmark(emulator.jacobian, stars[:1])


def test_generate(benchmark, emulator):
    benchmark(rvsemu.generate, **SUN, emulator=emulator)


def test_fit(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    benchmark.pedantic(rvsemu.fit, (spectrum,), {"emulator": emulator}, rounds=20, warmup_rounds=1)


def test_fit_anywhere(benchmark, emulator):
    """With radial velocities of -1000 to 1000 km/s; beside it, how many times as long as with -100 to 100."""
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    settings = {"emulator": emulator, "radial_velocity": (-1000.0, 1000.0)}
    seconds = {}
    for most in (100.0, 1000.0):
        rvsemu.fit(spectrum, emulator=emulator, radial_velocity=(-most, most))
        start = time.process_time()
        for _ in range(8):
            rvsemu.fit(spectrum, emulator=emulator, radial_velocity=(-most, most))
        seconds[most] = time.process_time() - start
    benchmark.pedantic(rvsemu.fit, (spectrum,), settings, rounds=20, warmup_rounds=1)
    benchmark.extra_info["times that with -100 to 100"] = round(seconds[1000.0] / seconds[100.0], 2)


def test_fit_many(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    spectra = [spectrum] * 32
    fit_many(spectra[:1], emulator=emulator)
    start = time.process_time()
    for star in spectra[:8]:
        rvsemu.fit(star, emulator=emulator)
    alone = (time.process_time() - start) / 8
    benchmark.pedantic(fit_many, (spectra,), {"emulator": emulator}, rounds=5, warmup_rounds=1)
    each = benchmark.stats.stats.min / len(spectra)
    benchmark.extra_info["ms per star"] = round(1e3 * each, 2)
    benchmark.extra_info["share of the time of a fit alone"] = round(each / alone, 2)


def test_likelihood(benchmark, emulator):
    """Of 16 vectors at once; beside it, how many times the emulator's flux of the same."""
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    likelihood = prepare(spectrum, emulator=emulator)
    parameters = likelihood.parameters
    scale = 1e-3 * (parameters.upper - parameters.lower)[parameters.free]
    x = likelihood.start + scale * np.random.default_rng(1).normal(size=(16, len(scale)))
    x = np.clip(x, parameters.lower[parameters.free], parameters.upper[parameters.free])
    benchmark.pedantic(likelihood.log_probability, (x,), rounds=100, warmup_rounds=5)
    start = time.process_time()
    for _ in range(200):
        emulator.flux(x[:, : len(emulator.labels)])
    alone = (time.process_time() - start) / 200
    benchmark.extra_info["ms per vector"] = round(1e3 * benchmark.stats.stats.min / 16, 3)
    benchmark.extra_info["times the flux"] = round(benchmark.stats.stats.mean / alone, 1)


def test_sample(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    settings = {"emulator": emulator, "walkers": 32, "steps": 3000, "stop": None, "progress": False}
    benchmark.pedantic(rvsemu.sample, (spectrum,), settings, rounds=1)


def test_sample_until_converged(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    posterior = benchmark.pedantic(rvsemu.sample, (spectrum,), {"emulator": emulator, "progress": False}, rounds=1)
    benchmark.extra_info["steps"] = len(posterior.chain)
