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
SUN = {"teff": 5777, "logg": 4.44, "vsini": 2, "mh": 0, "vmic": 1, "resolution": 11500}
_IMPORT = "import time, specutils; t = time.perf_counter(); import rvsemu; print(time.perf_counter() - t)"


@pytest.fixture(params=NAMES)
def emulator(request):
    emulator = rvsemu.shipped(request.param)
    emulator.flux(np.array([list(SUN.values())]))
    return emulator


@pytest.fixture
def stars(emulator):
    rng = np.random.default_rng(1)
    space = emulator.labels
    return space.lower + (space.upper - space.lower) * rng.random((1000, len(space)))


def test_import(benchmark):
    seconds = []

    def fresh():
        done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))

    benchmark.pedantic(fresh, rounds=5)
    benchmark.extra_info["import rvsemu after specutils (s)"] = round(min(seconds), 3)
    print(f"import rvsemu after specutils: {min(seconds):.3f} s (the best of {len(seconds)})")


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


def test_fit_many(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    spectra = [spectrum] * 32
    benchmark.pedantic(fit_many, (spectra,), {"emulator": emulator}, rounds=5, warmup_rounds=1)
    benchmark.extra_info["ms a star"] = round(1e3 * benchmark.stats.stats.min / len(spectra), 2)


def test_likelihood(benchmark, emulator):
    """Of 16 vectors at once; beside it, how many times the emulator's flux of the same."""
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    likelihood = prepare(spectrum, emulator=emulator)
    parameters = likelihood.parameters
    scale = 1e-3 * (parameters.upper - parameters.lower)[parameters.free]
    x = likelihood.start + scale * np.random.default_rng(1).normal(size=(16, len(scale)))
    x = np.clip(x, parameters.lower[parameters.free], parameters.upper[parameters.free])
    benchmark.pedantic(likelihood.log_probability, (x,), rounds=100, warmup_rounds=5)
    start = time.perf_counter()
    for _ in range(20):
        emulator.flux(x[:, : len(emulator.labels)])
    alone = (time.perf_counter() - start) / 20
    benchmark.extra_info["ms a vector"] = round(1e3 * benchmark.stats.stats.min / 16, 3)
    benchmark.extra_info["times the flux"] = round(benchmark.stats.stats.mean / alone, 1)


def test_sample(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    settings = {"emulator": emulator, "walkers": 32, "steps": 3000, "stop": None, "progress": False}
    benchmark.pedantic(rvsemu.sample, (spectrum,), settings, rounds=1)


def test_sample_until_converged(benchmark, emulator):
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    posterior = benchmark.pedantic(rvsemu.sample, (spectrum,), {"emulator": emulator, "progress": False}, rounds=1)
    benchmark.extra_info["steps"] = len(posterior.chain)
