"""The shipped emulators against real SYNSPEC spectra that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest

import rvsemu
from rvsemu.library import Library
from rvsemu.training.draws import PAPER_WAVELENGTH, split_library

EMULATORS = Path(rvsemu.__file__).parent / "data" / "emulators"
LIBRARY = Path(__file__).parents[1] / "library" / "rvs_library.h5"


@pytest.fixture(scope="module")
def library():
    return Library.load(LIBRARY)


@pytest.mark.parametrize("name", sorted(p.stem for p in EMULATORS.glob("*.h5")))
def test_error_on_held_out_spectra(library, name):
    """Fresh draws of vsini and resolution on the validation spectra give the error that the file states."""
    emulator = rvsemu.shipped(name)
    assert emulator.info["library"]["fingerprint"] == library.fingerprint()
    settings, rng = emulator.info["settings"], np.random.default_rng(42)
    held_out = library.subset(split_library(len(library), settings["validation"], emulator.info["seed"]))
    broadener = library.broadener(PAPER_WAVELENGTH)
    names, space = library.names, emulator.labels
    labels = np.empty((3 * len(held_out), len(space)))
    flux = np.empty((len(labels), len(PAPER_WAVELENGTH)))
    for i in range(len(labels)):
        star = i % len(held_out)
        draw = dict(zip(names, held_out.labels[star], strict=True))
        draw |= {"vsini": rng.uniform(0, 300), "resolution": rng.uniform(5000, 14500)}
        labels[i] = [draw[n] for n in space.names]
        flux[i] = broadener.apply(broadener.transform(held_out.flux[star]), draw["vsini"], draw["resolution"])
    error = emulator.flux(labels) - flux
    stated = emulator.info["metrics"]["linked"]["rms"]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(stated, rel=0.15)
    pull = error / np.maximum(emulator.sigma(labels), 1e-6)
    assert 0.7 < np.sqrt(np.mean(pull**2)) < 1.4  # the error model is about right, too


def test_the_package_stays_small():
    assert (EMULATORS / "default.h5").stat().st_size < 15e6
