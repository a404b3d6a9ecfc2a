"""The figures of the study: which spectra and curves they show, and functions that draw one each from plain arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._storage import replacing
from ..emulator.labels import LabelSpace
from ..errors import TrainingError
from ..library import Library
from ..plotting.spectra import DATA, MODEL, SMALL, axis_label
from ..training.autoencoder import load_autoencoder
from ..training.draws import PAPER_WAVELENGTH, make_test_set
from .measure import Tested, rms
from .paper import BARS, EXAMPLE
from .report import along

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "broadened",
    "draw_all",
    "label_errors",
    "learning",
    "loss_curves",
    "nearest",
    "reconstruction",
    "sample_of_library",
    "spectra_compared",
    "star_text",
]

_TRAINING, _DIFFERENCE = "#3b6ea5", "#2a7f3f"
_ROOM = 0.15  # of flux, for differences between spectra
_TEFF_MARKS = (4000, 5000, 6000, 8000, 10000, 12000, 14000)  # K
_WAVELENGTH = "wavelength in air (Å)"
_STAR = {  # how labels are named above a panel
    "teff": "{:.0f} K",
    "logg": "log g {:.2f}",
    "mh": "[M/H] {:+.2f}",
    "vmic": "vmic {:.1f} km/s",
    "vsini": "v sin i {:.0f} km/s",
    "resolution": "R {:.0f}",
}

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


def star_text(names: tuple[str, ...], labels: np.ndarray) -> str:
    """Labels (n_labels,) in one line."""
    given = dict(zip(names, labels, strict=True))
    return ", ".join(text.format(given[name]) for name, text in _STAR.items() if name in given)


def _subplots(*shape, **options):
    import matplotlib.pyplot as plt

    return plt.subplots(*shape, layout="constrained", **options)


def sample_of_library(
    wavelength: np.ndarray, teff: np.ndarray, flux: np.ndarray, example: np.ndarray, text: str
) -> Figure:
    """Figure 1: spectra by Teff as a colour map, and one as a curve.

    Parameters
    ----------
    wavelength : ndarray, shape (n_pixels,)
    teff : ndarray, shape (n,)
        K; in any order.
    flux : ndarray, shape (n, n_pixels)
    example : ndarray, shape (n_pixels,)
    text : str
        Its labels.
    """
    fig, (left, right) = _subplots(1, 2, figsize=(11, 4.2), width_ratios=[1, 1.15])
    order = np.argsort(teff)
    colours = left.imshow(
        flux[order],
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="magma",
        vmin=float(np.percentile(flux, 0.2)),
        vmax=1.0,
        extent=(wavelength[0], wavelength[-1], 0, len(teff)),
    )
    fig.colorbar(colours, ax=left, label="flux", pad=0.02)
    marks = [t for t in _TEFF_MARKS if teff.min() < t < teff.max()]
    left.set_yticks(np.searchsorted(teff[order], marks), [f"{t}" for t in marks])
    left.set(xlabel=_WAVELENGTH, ylabel=f"spectra in the order of {axis_label('teff', 'K')}")
    right.plot(wavelength, example, color=DATA, lw=0.9)
    right.set(xlabel=_WAVELENGTH, ylabel="flux", xlim=(wavelength[0], wavelength[-1]))
    right.set_title(text, fontsize=SMALL + 1)
    return fig


def loss_curves(panels: dict[str, dict]) -> Figure:
    """Figures 3 and 6: training and validation loss against epoch.

    Parameters
    ----------
    panels : dict of dict of ndarray
        ``loss`` and ``val_loss`` by title.
    """
    fig, axes = _subplots(1, len(panels), figsize=(3.6 * len(panels), 3.2), squeeze=False)
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        epochs = 1 + np.arange(len(curves["loss"]))
        marker = "o" if len(epochs) < 6 else None
        ax.semilogy(epochs, curves["loss"], color=_TRAINING, lw=1.2, marker=marker, ms=3, label="training")
        ax.semilogy(epochs, curves["val_loss"], color=MODEL, lw=1.2, marker=marker, ms=3, label="validation")
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.25, which="both", lw=0.5)
    axes[0, 0].set_ylabel("loss (MSE)")
    axes[0, 0].legend(frameon=False)
    return fig


def reconstruction(wavelength: np.ndarray, true: np.ndarray, rebuilt: np.ndarray, text: str) -> Figure:
    """Figure 4: a spectrum (n_pixels,), what the autoencoder makes of it, and the difference."""
    fig, (above, below) = _subplots(2, 1, figsize=(10, 4.6), sharex=True, height_ratios=[3, 1.2])
    above.plot(wavelength, true, color=DATA, lw=1.5, label="SYNSPEC")
    above.plot(wavelength, rebuilt, color=MODEL, lw=0.8, label="after the autoencoder")
    below.plot(wavelength, rebuilt - true, color=_DIFFERENCE, lw=0.8)
    below.axhline(0, color="0.6", lw=0.6)
    above.set_title(text, fontsize=SMALL + 1)
    above.set_ylabel("flux")
    above.legend(frameon=False, fontsize=SMALL + 1, loc="lower left")
    below.set(xlabel=_WAVELENGTH, ylabel="difference", xlim=(wavelength[0], wavelength[-1]))
    return fig


def spectra_compared(wavelength: np.ndarray, texts: Sequence[str], true: np.ndarray, generated: np.ndarray) -> Figure:
    """Figure 8: SYNSPEC, the emulator, and their difference, magnified by up to 10; one panel per star.

    Parameters
    ----------
    wavelength : ndarray, shape (n_pixels,)
    texts : sequence of str
        The stars' labels.
    true, generated : ndarray, shape (n, n_pixels)
    """
    large = np.percentile(np.abs(generated - true), 99)
    magnified = max((m for m in (2, 5, 10) if m * large < _ROOM), default=1)
    fig, axes = _subplots(len(true), 1, figsize=(10, 1.75 * len(true)), sharex=True, squeeze=False)
    for i, ax in enumerate(axes[:, 0]):
        error = generated[i] - true[i]
        ax.plot(wavelength, true[i], color=DATA, lw=1.5, label="SYNSPEC")
        ax.plot(wavelength, generated[i], color=MODEL, lw=0.8, label="emulator")
        low = min(true[i].min(), generated[i].min())
        depth = 1.02 - low
        label = f"difference × {magnified}" if magnified > 1 else "difference"
        ax.plot(wavelength, low - 0.25 * depth + magnified * error, color=_DIFFERENCE, lw=0.7, label=label)
        ax.set_ylim(low - 0.42 * depth, 1.05 + 0.22 * depth)
        rms = np.sqrt(np.mean(error**2))
        ax.text(
            0.005, 0.95, f"{texts[i]};  rms difference {rms:.4f}", transform=ax.transAxes, fontsize=SMALL + 1, va="top"
        )
        ax.set(xlim=(wavelength[0], wavelength[-1]), ylabel="flux")
    axes[0, 0].legend(frameon=False, ncols=3, fontsize=SMALL + 1, loc="lower right", bbox_to_anchor=(1, 1))
    axes[-1, 0].set_xlabel(_WAVELENGTH)
    return fig


def _label_panels(space):
    """A figure with one panel per label, and its axes."""
    columns = min(3, len(space))
    rows = -(-len(space) // columns)
    fig, axes = _subplots(rows, columns, figsize=(3.5 * columns, 2.7 * rows), squeeze=False)
    for ax in axes.ravel()[len(space) :]:
        ax.set_visible(False)
    return fig, axes.ravel()[: len(space)]


def label_errors(space: LabelSpace, synthetic: np.ndarray, generated: dict[str, np.ndarray]) -> Figure:
    """Figure 9: how the errors of each label are distributed.

    Parameters
    ----------
    space : LabelSpace
    synthetic : ndarray, shape (n, n_labels)
        Inverted - true, for spectra of SYNSPEC.
    generated : dict of ndarray
        The same for spectra of emulators, by their names.
    """
    fig, axes = _label_panels(space)
    for i, (ax, label) in enumerate(zip(axes, space.labels, strict=True)):
        reach = max(np.percentile(np.abs(error[:, i]), 97) for error in (synthetic, *generated.values()))
        edges = np.linspace(-reach, reach, 61)
        ax.hist(synthetic[:, i], edges, density=True, color="0.82", label="SYNSPEC")
        ax.hist(synthetic[:, i], edges, density=True, histtype="step", color=DATA, lw=1.0)
        for colour, (name, error) in zip((MODEL, _TRAINING), generated.items(), strict=False):
            ax.hist(
                error[:, i], edges, density=True, histtype="step", color=colour, lw=1.1, label=f"generated by {name}"
            )
        ax.axvline(0, color="0.6", lw=0.6, ls=":")
        ax.set(xlabel=f"error of {axis_label(label.name, label.unit)}", xlim=(-reach, reach))
        ax.set_yticks([])
    for ax in axes[:: max(1, min(3, len(axes)))]:
        ax.set_ylabel("density")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return fig


def learning(
    space: LabelSpace,
    where: Sequence[float],
    title: str,
    curves: dict[str, list[dict]],
    lines: dict[str, dict],
    final: tuple[float, dict],
) -> Figure:
    """RMS error of each label against the number of spectra or of draws.

    Parameters
    ----------
    space : LabelSpace
    where : sequence of float
        Abscissae of the points.
    title : str
        Of the abscissa.
    curves : dict
        For each name of a curve the points' errors, by label; the first is drawn through.
    lines : dict
        For each name of a horizontal line the errors by label that it marks; some labels may be missing.
    final : (float, dict)
        One more point of the first curve, of the training that the study is about.
    """
    fig, axes = _label_panels(space)
    styles = [(MODEL, "o-"), (_TRAINING, "o--")]
    for ax, label in zip(axes, space.labels, strict=True):
        for (name, points), (colour, style) in zip(curves.items(), styles, strict=False):
            ax.loglog(where, [p[label.name] for p in points], style, color=colour, ms=4, lw=1.1, label=name)
        first = f"{next(iter(curves))}, whole training"
        ax.loglog(final[0], final[1][label.name], "*", color=MODEL, ms=9, label=first)
        for name, values in lines.items():
            if label.name in values:
                ax.axhline(values[label.name], color=DATA, lw=0.8, ls=":", label=name)
        _plain_ticks(ax)
        ax.set_xlabel(title)
        ax.set_ylabel(f"RMS error of {axis_label(label.name, label.unit)}", fontsize=SMALL + 1)
        ax.grid(alpha=0.25, which="both", lw=0.5)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return fig


def _plain_ticks(ax):
    """Numbers as people write them on logarithmic axes, few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.tick_params(labelsize=SMALL)


# ---------------------------------------------------------------------- what they show
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
