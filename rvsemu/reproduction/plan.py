"""How much of the study is done: which trainings, of how many spectra, draws and epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..library import Library
from ..training.recipes import DEFAULT, GEBRAN2024, GEBRAN2024_INVERSION, INVERSION, InversionRecipe, Recipe
from .paper import GENERATED

__all__ = ["FULL", "QUICK", "Learning", "Plan"]


@dataclass(frozen=True)
class Learning:
    """Which trainings make the curves.

    Parameters
    ----------
    draws, epochs : int
        Numbers of the curve against the number of spectra: smaller than the recipe's, to take minutes.
    shares : tuple of float
        Shares of the spectra that are not for the test; each part holds the smaller ones. The last one is that of the
        curve against the number of draws.
    more_draws : tuple of int
        Other numbers of draws on that curve.

    Examples
    --------
    >>> from rvsemu.reproduction import Learning
    >>> Learning(draws=20_000, epochs=20, shares=(0.5, 1.0), more_draws=(40_000,)).points
    [(0.5, 20000), (1.0, 20000), (1.0, 40000)]
    """

    draws: int
    epochs: int
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    more_draws: tuple[int, ...] = ()

    @property
    def points(self) -> list[tuple[float, int]]:
        """Share and draws of each training."""
        return [(share, self.draws) for share in self.shares] + [(self.shares[-1], n) for n in self.more_draws]


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Parameters
    ----------
    emulators : tuple of Recipe
        The first one's autoencoder is shown.
    inversions : tuple of InversionRecipe
    spectra : int, optional
        Number of spectra taken from the library, evenly; default all.
    draws : int, optional
        Number of draws of each training, instead of the recipes'.
    epochs : int, optional
        Largest number in each stage of each training, where the recipe's patience would allow more.
    test_draws : int
        Number of spectra of SYNSPEC, and of each emulator, that are inverted.
    learning : dict of Learning
        Learning curves, of the last ``"inversion"`` and of the last ``"emulator"``.
    quick : bool
        The report then says that its numbers are not to be used.

    Examples
    --------
    >>> from rvsemu.reproduction import Plan
    >>> plan = Plan(spectra=500, draws=5000, epochs=10, learning={})
    >>> [recipe.name for recipe in plan.emulators], plan.quick
    (['gebran2024', 'default'], False)
    """

    emulators: tuple[Recipe, ...] = (GEBRAN2024, DEFAULT)
    inversions: tuple[InversionRecipe, ...] = (GEBRAN2024_INVERSION, INVERSION)
    spectra: int | None = None
    draws: int | None = None
    epochs: int | None = None
    test_draws: int = GENERATED
    learning: Mapping[str, Learning] = field(
        default_factory=lambda: {
            "inversion": Learning(20_000, 20, more_draws=(5_000, 10_000, 40_000)),
            "emulator": Learning(40_000, 20, more_draws=(20_000,)),
        }
    )
    quick: bool = False

    def part(self, library: Library) -> Library:
        """What of `library` is used."""
        if self.spectra is None or self.spectra >= len(library):
            return library
        return library.subset(np.linspace(0, len(library) - 1, self.spectra).round().astype(int))


FULL = Plan()
_QUICK_INVERSIONS = (GEBRAN2024_INVERSION, replace(INVERSION, conditions=100))
QUICK = Plan(inversions=_QUICK_INVERSIONS, spectra=200, draws=1000, epochs=2, test_draws=300, learning={}, quick=True)
