"""The test: spectra that no model was trained on, the same from the emulators, and what inversions make of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..emulator import Emulator
from ..emulator.labels import LabelSpace
from ..inversion import Inversion
from ..library import Library
from ..training.draws import make_test_set
from .models import unseen

__all__ = ["Tested", "test_all"]


@dataclass(frozen=True, eq=False)
class Tested:
    """Spectra of the test, true and generated from the same labels, and the errors of the inverted labels.

    Parameters
    ----------
    space : LabelSpace
    rows : ndarray of bool, shape (n_library,)
        Spectra of the library that were not trained on.
    labels : ndarray, shape (n, n_labels)
    flux : ndarray, shape (n, n_pixels)
        Of SYNSPEC.
    generated : dict of ndarray
        Flux of each emulator for the same labels.
    errors : dict
        For each inversion ``synthetic``, inverted - true labels (n, n_labels), and ``generated``, the same for the
        spectra of each emulator.
    emulators : dict of Emulator
    inversions : dict of Inversion
    """

    space: LabelSpace
    rows: np.ndarray
    labels: np.ndarray
    flux: np.ndarray
    generated: dict[str, np.ndarray]
    errors: dict[str, dict]
    emulators: dict[str, Emulator]
    inversions: dict[str, Inversion]

    def column(self, name, labels=None) -> np.ndarray:
        """One label of rows of labels; default: those of the test."""
        return (self.labels if labels is None else labels)[:, self.space.names.index(name)]


def test_all(library: Library, emulators, inversions, draws: int, seed: int) -> Tested:
    """Draw test spectra, generate them with each emulator, and invert all with each inversion.

    Parameters
    ----------
    library : Library
        That all models were trained on.
    emulators : dict of Emulator
    inversions : dict of Inversion
    draws : int
    seed : int
    """
    rows = unseen(library, [*emulators.values(), *inversions.values()])
    space = next(iter(inversions.values())).labels
    labels, flux = make_test_set(library.subset(rows), space, draws, seed)
    generated = {name: emulator.flux(labels) for name, emulator in emulators.items()}
    errors = {
        name: {
            "synthetic": inversion.estimate(flux)[0] - labels,
            "generated": {by: inversion.estimate(made)[0] - labels for by, made in generated.items()},
        }
        for name, inversion in inversions.items()
    }
    return Tested(space, rows, labels, flux, generated, errors, dict(emulators), dict(inversions))
