"""Which spectra and curves the figures of the study show, and their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._storage import replacing
from ..errors import TrainingError
from ..library import Library
from ..training.autoencoder import load_autoencoder
from ..training.draws import PAPER_WAVELENGTH, make_test_set
from . import figures
from .examples import HR_DIAGRAM, broadened, nearest
from .learned import along
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
    points : dict of list
        Learning curves by what they are of; may be empty.
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
    """Of the inversion one figure against spectra, of the points with the same draws, and one against draws, of those
    with the same spectra; of the emulator one against spectra."""
    name, inversion = [*tested.inversions.items()][-1]
    by = [*tested.emulators][-1]
    errors = tested.errors[name]
    synthetic, generated = (_by_label(tested, e) for e in (errors["synthetic"], errors["generated"][by]))
    info = inversion.info
    finals = {"spectra": info["library_split"]["training and validation"], "draws": info["draws"]}
    for key, other in (("spectra", "draws"), ("draws", "spectra")):
        some = along(points.get("inversion", []), key, other)
        if some:
            curves = {part: [p[part] for p in some] for part in ("test", "training")}
            arguments = (curves, {"the paper's test error": BARS}, (finals[key], synthetic))
            yield _curve(f"learning-{key}", tested, some, key, other, *arguments)
    if some := along(points.get("emulator", []), "spectra", "draws"):
        curves = {"generated": [p["test"] for p in some]}
        arguments = (curves, {"SYNSPEC's own spectra": synthetic}, (int((~tested.rows).sum()), generated))
        yield _curve("learning-emulator", tested, some, "spectra", "draws", *arguments)


def _curve(figure, tested, points, key, other, curves, lines, final):
    unit, title = {"spectra": (1, "library spectra"), "draws": (1000, "draws (thousands)")}[key]
    text = f"{points[0][other]:,} {other.replace('spectra', 'library spectra')}, at most {points[0]['epochs']} epochs"
    where = [point[key] / unit for point in points]
    return figure, text, figures.learning(tested.space, where, title, curves, lines, (final[0] / unit, final[1]))


def _by_label(tested, errors) -> dict[str, float]:
    return dict(zip(tested.space.names, rms(errors), strict=True))
