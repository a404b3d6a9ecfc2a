"""Functions that draw one figure of the study each, from plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..emulator.labels import LabelSpace
from ..plotting.spectra import DATA, MODEL, SMALL, axis_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "label_errors",
    "learning",
    "loss_curves",
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
