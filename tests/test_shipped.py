"""The shipped emulators and inversions against real SYNSPEC spectra that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest

import rvsemu
from rvsemu.library.merging import open_library
from rvsemu.training.draws import PAPER_WAVELENGTH, make_test_set, split_library

DATA = Path(rvsemu.__file__).parent / "data"
EMULATORS, INVERSIONS = DATA / "emulators", DATA / "inversions"


@pytest.fixture(scope="module")
def libraries(library_folder):
    """Those that were trained on, by their fingerprint: that of the paper's box, and with it that of the wide one."""
    found = [open_library(library_folder / name) for name in ("paper.txt", "default.txt")]
    return {library.fingerprint(): library for library in found}


@pytest.mark.parametrize("name", sorted(p.stem for p in EMULATORS.glob("*.h5")))
def test_error_on_held_out_spectra(libraries, name):
    """Fresh draws of vsini and resolution on the validation spectra give the error that the file states."""
    emulator = rvsemu.shipped(name)
    library = libraries[emulator.info["library"]["fingerprint"]]
    settings, rng = emulator.info["settings"], np.random.default_rng(42)
    held_out = library.subset(split_library(library, settings["validation"], emulator.info["seed"]))
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


@pytest.mark.parametrize("name", sorted(p.stem for p in INVERSIONS.glob("*.h5")))
def test_inverted_labels_of_held_out_spectra(libraries, name):
    """Fresh draws on the test spectra give the errors that the file states, and intervals that hold."""
    inversion = rvsemu.inversion.shipped_inversion(name)
    library = libraries[inversion.info["library"]["fingerprint"]]
    settings = inversion.info["settings"]
    held_out = library.subset(split_library(library, settings["test"], inversion.info["seed"]))
    labels, flux = make_test_set(held_out, inversion.labels, 4000, seed=42)
    estimated, sigma = inversion.estimate(flux)
    stated = inversion.info["metrics"]["test"]
    for i, label in enumerate(inversion.labels.names):
        error = estimated[:, i] - labels[:, i]
        assert np.sqrt(np.mean(error**2)) == pytest.approx(stated[label], rel=0.2), label
        assert 0.6 < np.sqrt(np.mean((error / sigma[:, i]) ** 2)) < 1.4, label


def test_the_package_stays_small():
    assert (EMULATORS / "default.h5").stat().st_size < 15e6
    assert (INVERSIONS / "default.h5").stat().st_size < 10e6
