"""The figures of the study: which spectra and curves they show."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .._storage import replacing
from ..emulator.labels import LabelSpace
from ..errors import TrainingError
from ..library import Library
from ..training.autoencoder import load_autoencoder
from ..training.draws import PAPER_WAVELENGTH, make_test_set
from .measure import Tested, rms
from .panels import (
    label_errors,
    learning,
    loss_curves,
    reconstruction,
    sample_of_library,
    spectra_compared,
    star_text,
)
from .paper import BARS, EXAMPLE
from .report import along

__all__ = ["broadened", "draw_all", "nearest"]

_SAMPLE = 400  # spectra of the colour map
_RESOLUTION = 11500.0
_RECONSTRUCTED = 5  # of the stars of Figure 8: like the Sun

_HR_DIAGRAM = (
    {"teff": 13500, "logg": 4.0},
    {"teff": 11000, "logg": 3.5},
    {"teff": 9000, "logg": 4.0},
    {"teff": 7500, "logg": 3.8},
    {"teff": 6400, "logg": 4.2},
    {"teff": 5600, "logg": 4.4},
    {"teff": 4700, "logg": 2.5},
    {"teff": 3900, "logg": 4.7},
)
"""Where in the HR diagram Figure 8 looks for stars."""
_SPREAD = {"teff": 0.1, "logg": 0.5, "mh": 0.5, "vmic": 1.0}  # of log Teff, dex, dex, km/s: as far as one another


def nearest(library: Library, wanted: dict[str, float], chosen: np.ndarray | None = None) -> int:
    """Row of the spectrum whose labels are closest to those of `wanted`, a dictionary.

    Among `chosen`, a boolean mask of rows, if given; spectra whose structure had to be held at the edge of its grid are
    taken if there are no others.
    """
    rows = np.arange(len(library)) if chosen is None else np.flatnonzero(chosen)
    if library.extrapolated is not None and not library.extrapolated[rows].all():
        rows = rows[~library.extrapolated[rows]]
    distance = np.zeros(len(rows))
    for name, value in wanted.items():
        if name in library.names and name in _SPREAD:
            found = library.labels[rows, library.names.index(name)]
            away = np.log(found / value) if name == "teff" else found - value
            distance += (away / _SPREAD[name]) ** 2
    return int(rows[np.argmin(distance)])


def broadened(
    library: Library, rows: np.ndarray | Sequence[int], space: LabelSpace, vsini: ArrayLike, resolution: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n, n_labels) and flux (n, n_pixels) of spectra of a library, with rotation and resolution (n,).

    The flux is on `PAPER_WAVELENGTH`.
    """
    given = {name: library.labels[rows, i] for i, name in enumerate(library.names)}
    given |= {"vsini": np.asarray(vsini, dtype=float), "resolution": np.asarray(resolution, dtype=float)}
    broadener = library.broadener(PAPER_WAVELENGTH)
    transforms = broadener.transform(library.flux[rows])
    flux = [broadener.apply(t, v, r) for t, v, r in zip(transforms, given["vsini"], given["resolution"], strict=True)]
    return np.stack([given[name] for name in space.names], axis=1), np.array(flux)


def draw_all(
    folder: str | os.PathLike,
    work: str | os.PathLike,
    library: Library,
    tested: Tested,
    points: dict[str, list[dict]],
    seed: int,
) -> dict[str, dict]:
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
        *_label_errors(tested),
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
    text = star_text(tested.space.names, example)
    figure = sample_of_library(PAPER_WAVELENGTH, tested.column("teff", labels), flux, spectrum, text)
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
        yield number, "", loss_curves(panels)


def _stars(library, tested, seed):
    """Labels and SYNSPEC spectra of test stars over the HR diagram, each once."""
    chosen, rows = tested.rows.copy(), []
    for wanted in _HR_DIAGRAM[: chosen.sum()]:
        rows.append(nearest(library, wanted, chosen))
        chosen[rows[-1]] = False
    vsini = 150.0 * np.random.default_rng(seed).random(len(rows)) ** 2
    return broadened(library, rows, tested.space, vsini, np.full(len(rows), _RESOLUTION))


def _compared(stars, tested) -> Iterator:
    labels, true = stars
    texts = [star_text(tested.space.names, row) for row in labels]
    for name, emulator in tested.emulators.items():
        yield f"8-{name}", "", spectra_compared(PAPER_WAVELENGTH, texts, true, emulator.flux(labels))


def _reconstruction(work, stars, tested):
    i = min(_RECONSTRUCTED, len(stars[0]) - 1)
    labels, true = stars[0][i], stars[1][i]
    text = star_text(tested.space.names, labels)
    rebuilt = load_autoencoder(work)(true.astype("f4"))[0]
    difference = float(np.sqrt(np.mean((rebuilt - true) ** 2)))
    return f"{text}; RMS difference {difference:.2g}", reconstruction(PAPER_WAVELENGTH, true, rebuilt, text)


def _label_errors(tested) -> Iterator:
    for name, errors in tested.errors.items():
        yield f"9-{name}", "", label_errors(tested.space, errors["synthetic"], errors["generated"])


def _learning(tested, points) -> Iterator:
    """Of the inversion one figure against spectra, of the points with the same draws, and one against draws, of those
    with the same spectra; of the emulator one against spectra."""
    name, inversion = [*tested.inversions.items()][-1]
    errors, by = tested.errors[name], [*tested.emulators][-1]
    synthetic, generated = (
        dict(zip(tested.space.names, rms(e), strict=True)) for e in (errors["synthetic"], errors["generated"][by])
    )
    paper, own = {"the paper's test error": BARS}, {"SYNSPEC's own spectra": synthetic}
    known, draws = inversion.info["library_split"]["training and validation"], inversion.info["draws"]
    for figure, kind, parts, lines, final in (
        ("learning-spectra", "inversion", ("test", "training"), paper, (known, synthetic)),
        ("learning-draws", "inversion", ("test", "training"), paper, (draws, synthetic)),
        ("learning-emulator", "emulator", ("test",), own, (int((~tested.rows).sum()), generated)),
    ):
        key, other = ("draws", "spectra") if figure == "learning-draws" else ("spectra", "draws")
        if not (some := along(points.get(kind, []), key, other)):
            continue
        names = {"test": "generated"} if kind == "emulator" else {}
        curves = {names.get(part, part): [p[part] for p in some] for part in parts}
        unit, title = {"spectra": (1, "library spectra"), "draws": (1000, "draws (thousands)")}[key]
        what = other.replace("spectra", "library spectra")
        text = f"{some[0][other]:,} {what}, at most {some[0]['epochs']} epochs"
        where = [point[key] / unit for point in some]
        yield figure, text, learning(tested.space, where, title, curves, lines, (final[0] / unit, final[1]))
