"""Which libraries have lines of 48Ti16O at the wrong places, and where that matters."""

from dataclasses import replace

import numpy as np
import pytest

import rvsemu
from rvsemu.library import Library
from rvsemu.library.mending import MENDS, mended
from rvsemu.library.titanium import RIGHT_TITANIUM, displaced_titanium, titanium_change

OLD = {"lines": "atoms; CN (below 8500 K) and TiO (below 6000 K) of linemake"}
NEW = OLD | {"titanium": RIGHT_TITANIUM}
NAMES = ("teff", "logg")


def library(info, teff=3600.0):
    return Library([[teff, 4.5]], NAMES, np.arange(8400.0, 8800.0, 0.1), np.ones((1, 4000), "f4"), "air", info=info)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (OLD, True),
        ({"made_by": "SYNSPEC 54"}, True),
        (NEW, False),
        (OLD | {"mended": f"lines of Nd II, {RIGHT_TITANIUM}"}, False),
        (OLD | {"mended": "lines of Nd II"}, True),
        ({"lines": "atoms alone"}, False),
        ({"source": "PHOENIX"}, False),
        ({}, False),
    ],
)
def test_displaced_titanium(info, expected):
    assert displaced_titanium(info) is expected


def test_shipped_emulator_was_trained_with_right_lines():
    assert not displaced_titanium(rvsemu.shipped().info["library"])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (NEW, NEW, False),
        (OLD, NEW, True),
        (NEW, OLD, True),
        (OLD, OLD, True),
        (OLD | {"mended": f"lines of Nd II, {RIGHT_TITANIUM}"}, OLD, True),
        (OLD | {"mended": f"{RIGHT_TITANIUM}; lines of Nd II"}, OLD, True),
        (OLD | {"mended": RIGHT_TITANIUM}, NEW, False),
    ],
)
def test_merged_libraries_are_right_if_both_are(first, second, expected):
    both = library(first).merged(library(second, 3800.0))
    assert len(both) == 2 and displaced_titanium(both.info) is expected


def test_pixels_that_were_computed_again_mend_it(tmp_path):
    old = library(OLD)
    piece = replace(library({MENDS: RIGHT_TITANIUM}), flux=np.full((1, 4000), 0.7, "f4"))
    found = mended(old, piece)
    assert not displaced_titanium(found.info) and (found.flux == np.float32(0.7)).all()
    found.save(tmp_path / "mended.h5")
    assert not displaced_titanium(Library.peek(tmp_path / "mended.h5")["info"])


def test_change_grows_with_the_strength_of_the_lines():
    dwarfs = titanium_change(np.array([3500.0, 3800.0, 4200.0, 5000.0]), 4.7, 0.0)
    assert (np.diff(dwarfs) < 0).all() and dwarfs[0] > -2 and dwarfs[-1] < -5
    poor, solar, rich = titanium_change(3700.0, 4.7, np.array([-1.0, 0.0, 0.3]))
    assert poor < solar < rich
    assert (
        titanium_change(3700.0, 4.7, -0.4, 0.4) > titanium_change(3700.0, 4.7, 0.0) > titanium_change(3700, 4.7, -0.4)
    )
    assert titanium_change(3900.0, 4.7, 0.0) > titanium_change(3900.0, 1.0, 0.0)


def test_change_of_labels_far_outside():
    """As inversions of what is no star may find them."""
    with np.errstate(over="raise", invalid="raise"):
        assert titanium_change(2.8e7, 6.3, -1.2) < -1000 < -2 < titanium_change(-1e6, 0.0, 1.0) < -1
