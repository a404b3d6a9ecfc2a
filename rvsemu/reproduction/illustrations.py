"""Which spectra and curves the figures of the study show, and their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._files import replacing
from ..errors import TrainingError
from ..library import Library
from ..training.autoencoder import load_autoencoder
from ..training.draws import PAPER_WAVELENGTH, make_test_set
from . import figures
from .examples import HR_DIAGRAM, broadened, nearest
from .measure import rms
from .paper import BARS, EXAMPLE
from .tested import Tested

__all__ = ["draw_all"]

_SAMPLE = 400  # spectra of the colour map
_RESOLUTION = 11500.0
_RECONSTRUCTED = 5  # of the stars of Figure 8: like the Sun


def draw_all(folder, work, library: Library, tested: Tested, points, seed) -> dict[str, dict]:
    """Draw the figures into `folder`.

    Parameters
    ----------
    folder : path
    work : path
        Folder of the training of the first emulator, for its autoencoder.
    library : Library
    tested : Tested
    points : list of dict
        Learning curves; may be empty.
    seed : int

    Returns
    -------
    dict
        For each figure its ``file`` and a ``text`` for its caption, or only ``missing``, the reason why there is none.
    """
    out = {}
    stars = _stars(library, tested, seed)
    for name, text, figure in (
        _library(library, tested, seed),
        *_losses(tested.emulators),
        *_compared(stars, tested),
        *_errors(tested),
        *_learning(tested, points),
    ):
        out[name] = _saved(folder, name, text, figure)
    try:
        out["4"] = _saved(folder, "4", *_reconstruction(work, stars, tested))
    except TrainingError as e:
        out["4"] = {"missing": str(e)}
    return out


def _saved(folder, name, text, figure) -> dict:
    import matplotlib.pyplot as plt

    file = f"figure-{name}.png"
    with replacing(Path(folder) / file) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return {"file": file, "text": text}


def _library(library, tested, seed):
    labels, flux = make_test_set(library, tested.space, min(_SAMPLE, len(library)), seed)
    wanted = [[EXAMPLE["vsini"]], [EXAMPLE["resolution"]]]
    (example,), (spectrum,) = broadened(library, [nearest(library, EXAMPLE)], tested.space, *wanted)
    text = figures.star_text(tested.space.names, example)
    figure = figures.sample_of_library(PAPER_WAVELENGTH, tested.column("teff", labels), flux, spectrum, text)
    return "1", f"{len(flux)} random spectra; the example is {text}", figure


def _losses(emulators) -> Iterator:
    titles = {"label_network": "{}: labels to latent space", "finetune": "{}: linked, on flux"}
    stages = {"3": {"autoencoder": "{}: autoencoder"}, "6": titles}
    for number, named in stages.items():
        panels = {
            title.format(name): emulator.history[stage]
            for name, emulator in emulators.items()
            for stage, title in named.items()
            if stage in emulator.history
        }
        yield number, "", figures.loss_curves(panels)


def _stars(library, tested, seed):
    """Labels and SYNSPEC spectra of test stars over the HR diagram, each once."""
    chosen, rows = tested.rows.copy(), []
    for wanted in HR_DIAGRAM[: chosen.sum()]:
        rows.append(nearest(library, wanted, chosen))
        chosen[rows[-1]] = False
    vsini = 150.0 * np.random.default_rng(seed).random(len(rows)) ** 2
    return broadened(library, rows, tested.space, vsini, np.full(len(rows), _RESOLUTION))


def _compared(stars, tested) -> Iterator:
    labels, true = stars
    texts = [figures.star_text(tested.space.names, row) for row in labels]
    for name, emulator in tested.emulators.items():
        yield f"8-{name}", "", figures.spectra_compared(PAPER_WAVELENGTH, texts, true, emulator.flux(labels))


def _reconstruction(work, stars, tested):
    i = min(_RECONSTRUCTED, len(stars[0]) - 1)
    labels, true = stars[0][i], stars[1][i]
    text = figures.star_text(tested.space.names, labels)
    rebuilt = load_autoencoder(work)(true.astype("f4"))[0]
    difference = float(np.sqrt(np.mean((rebuilt - true) ** 2)))
    return f"{text}; RMS difference {difference:.2g}", figures.reconstruction(PAPER_WAVELENGTH, true, rebuilt, text)


def _errors(tested) -> Iterator:
    for name, errors in tested.errors.items():
        yield f"9-{name}", "", figures.label_errors(tested.space, errors["synthetic"], errors["generated"])


def _learning(tested, points) -> Iterator:
    """One figure against spectra, of the points with the same draws, and one against draws, of those with the same
    spectra."""
    name, inversion = [*tested.inversions.items()][-1]
    final = {
        "spectra": inversion.info["library_split"]["training and validation"],
        "draws": inversion.info["draws"],
        "test": dict(zip(tested.space.names, rms(tested.errors[name]["synthetic"]), strict=True)),
    }
    for key, other in (("spectra", "draws"), ("draws", "spectra")):
        same = [[p for p in points if p[other] == point[other]] for point in points]
        if longest := max(same, key=len, default=[]):
            ordered = sorted(longest, key=lambda point: point[key])
            text = f"{ordered[0][other]:,} {other.replace('spectra', 'library spectra')}, at most "
            text += f"{ordered[0]['epochs']} epochs"
            yield f"learning-{key}", text, figures.learning(tested.space, ordered, key, BARS, final)
