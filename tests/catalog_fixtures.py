"""Bulk files of simulated stars, and a catalogue of them."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import rvsemu
from rvsemu.spectra import write_bulk

__all__ = ["OPTIONS", "SETTINGS", "catalog_workers", "kept_workers", "simulated", "write_stars"]

SETTINGS = {"fixed": {"vmic": 1.2, "resolution": 11700.0}, "mask": ["edges"]}
OPTIONS = ["--fix", "vmic=1.2", "--fix", "resolution=11700", "--mask", "edges"]


def simulated(n, first=1, release="Gaia DR4", **options):
    """Stars of 4500-6500 K, one after the other."""
    rng = np.random.default_rng(first)
    for i in range(n):
        labels = {"teff": rng.uniform(4500, 6500), "logg": rng.uniform(3.5, 4.7), "mh": rng.uniform(-0.6, 0.3)}
        star = rvsemu.generate(**labels, vsini=rng.uniform(3, 20), vmic=1.2, resolution=11700)
        given = {"signal_to_noise": rng.uniform(40, 150), "radial_velocity": rng.normal(0, 2), "release": release}
        yield rvsemu.simulate(star, seed=rng, source_id=(first << 40) + i, **{**given, **options})


def write_stars(path: Path, n: int, first: int = 1, **options) -> Path:
    write_bulk(simulated(n, first, **options), path)
    return path


@pytest.fixture(scope="session")
def catalog_workers():
    """Two workers with one thread each, started once, as a process takes longer to start than the fits of a test."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                patch.setenv(name, "1")
            wait([executor.submit(time.sleep, 0.5) for _ in range(2)])  # each starts a process
        yield executor


@pytest.fixture
def kept_workers(catalog_workers, monkeypatch):
    """Catalogues of a test are made by workers that are there already."""
    monkeypatch.setattr("rvsemu.catalog.run.processes", lambda jobs: nullcontext(catalog_workers))
