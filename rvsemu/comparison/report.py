"""A page about a comparison: numbers of stars, statistics, and plots of the differences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .._storage import check_output, replacing
from ..errors import ComparisonError
from ..plotting.page import html_image, html_page, html_table
from .result import HEADINGS, Comparison
from .statistics import COLUMNS, scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["write_report"]

_MANY = 3000  # stars from which on plots show density
_BINS = 12
_FEWEST = 5  # stars in a bin of the running median
_TEXT = {"teff": "Teff (K)", "logg": "log g (dex)", "mh": "[M/H] (dex)", "alpha": "[alpha/M] (dex)"}
_AXES = {**{name: _TEXT[name] for name in ("teff", "logg", "mh")}, "signal_to_noise": "signal to noise"}


def write_report(result: Comparison, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write a page with numbers and plots of a comparison: one HTML file, complete in itself.

    Parameters
    ----------
    result : Comparison
    path : path
        HTML file.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    ComparisonError
        The file cannot be written.
    """
    path = check_output(path, ComparisonError, overwrite)
    page = html_page(f"{result.fits} and {result.reference}", _sections(result))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _sections(result: Comparison) -> Iterator[str]:
    yield html_table([(_indented(text), f"{number:,}") for text, number in result.counts()], numbers=[1])
    yield "".join(f"<p>{escape(note)}</p>" for note in result.notes)
    every = [line for line in result.lines() if not line[0].startswith(" ")]
    yield "<h2>All stars</h2>" + _statistics(every)
    yield "<p>Ours - theirs. " + " ".join(f"<i>{h}</i>: {escape(text)}." for h, text in _meanings()) + "</p>"
    if {"teff", "logg"} <= set(_known(result)):
        yield "<h2>Stars</h2>" + html_image(_kiel(result), "Kiel diagrams of both catalogues")
    for label in _known(result):
        yield f"<h2>{escape(_TEXT[label])}</h2>" + html_image(_differences(result, label), f"Differences of {label}")
    yield "<h2>By region</h2>" + _statistics(result.lines())
    yield "<p>Bins are of the mean of both catalogues' labels, and of our signal to noise.</p>"


def _meanings() -> Iterator[tuple[str, str]]:
    names = ("bias", "bias_error", "scatter", "outliers_3", "outliers_5", "normalised_bias", "normalised_scatter")
    return ((escape(heading), COLUMNS[name]) for heading, name in zip(HEADINGS[3:], names, strict=True))


def _statistics(lines) -> str:
    rows = [(_indented(line[0]), *map(escape, line[1:])) for line in lines]
    return html_table(rows, numbers=range(1, len(HEADINGS)), head=[escape(heading) for heading in HEADINGS])


def _indented(text: str) -> str:
    return ("&nbsp;" * 4 if text.startswith(" ") else "") + escape(text.strip())


# ---------------------------------------------------------------- plots
def _kiel(result: Comparison) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    coloured = "mh" in _known(result)
    size = float(np.clip(3000 / result.matched, 0.5, 12))
    low, high = _limits(_values(result, "mh")) if coloured else (None, None)
    for ax, end, title in zip(axes, ("", "_reference"), (result.fits, result.reference), strict=True):
        teff, logg = (_values(result, name + end) for name in ("teff", "logg"))
        colour = _values(result, "mh" + end) if coloured else "C0"
        dots = ax.scatter(teff, logg, s=size, c=colour, vmin=low, vmax=high, rasterized=True)
        ax.set(title=title, xlabel=_TEXT["teff"])
        if coloured and end:
            figure.colorbar(dots, ax=axes, label=_TEXT["mh"])
    axes[0].set(ylabel=_TEXT["logg"])
    axes[0].invert_xaxis()
    axes[0].invert_yaxis()
    return figure


def _differences(result: Comparison, label: str) -> Figure:
    from matplotlib.figure import Figure

    places = {name: values for name in _AXES if (values := result.at(name)) is not None and np.isfinite(values).any()}
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(2, 3).flat
    _one_to_one(next(axes), result, label)
    difference = result.difference(label)
    limits = _limits(difference)
    for name, values in places.items():
        ax = next(axes)
        _cloud(ax, values, difference, _limits(values), limits)
        _running(ax, values, difference)
        ax.axhline(0, color="0.3", linewidth=0.8)
        ax.set(xlabel=_AXES[name], ylabel=f"ours - theirs, {_TEXT[label]}")
    _histogram(next(axes), result.normalised(label))
    for ax in axes:
        ax.set_axis_off()
    return figure


def _one_to_one(ax: Axes, result: Comparison, label: str) -> None:
    ours, theirs = _values(result, label), _values(result, f"{label}_reference")
    limits = _limits(np.concatenate([ours, theirs]))
    _cloud(ax, theirs, ours, limits, limits)
    ax.plot(limits, limits, color="0.3", linewidth=0.8)
    ax.set(xlabel=f"theirs, {_TEXT[label]}", ylabel=f"ours, {_TEXT[label]}")


def _cloud(ax: Axes, x: np.ndarray, y: np.ndarray, across: tuple[float, float], along: tuple[float, float]) -> None:
    """Points, or their density if they are many, within limits."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() > _MANY:
        ax.hexbin(x[known], y[known], gridsize=45, extent=(*across, *along), bins="log", cmap="Blues", mincnt=1)
    else:
        size = float(np.clip(4000 / max(known.sum(), 1), 4, 14))
        ax.scatter(x[known], y[known], s=size, color="C0", alpha=0.5, linewidths=0, rasterized=True)
    ax.set(xlim=across, ylim=along)


def _running(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Median and robust scatter in bins of about the same number of stars."""
    known = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[known])
    bins = [rows for rows in np.array_split(order, min(_BINS, len(order) // _FEWEST or 1)) if len(rows) >= _FEWEST]
    if not bins:
        return
    middle = [np.median(x[known][rows]) for rows in bins]
    median = np.array([np.median(y[known][rows]) for rows in bins])
    spread = np.array([scatter(y[known][rows]) for rows in bins])
    ax.plot(middle, median, color="C1", linewidth=1.5)
    ax.fill_between(middle, median - spread, median + spread, color="C1", alpha=0.15, linewidth=0)


def _histogram(ax: Axes, over_error: np.ndarray) -> None:
    known = over_error[np.isfinite(over_error)]
    if not len(known):
        ax.text(0.5, 0.5, "no errors in both", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    edges = np.linspace(-5, 5, 41)
    ax.hist(np.clip(known, -5, 5), edges.tolist(), density=True, color="C0", alpha=0.5)
    ax.plot(edges, np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi), color="0.3", linewidth=0.8)
    ax.set(xlabel="(ours - theirs) / error", ylabel="share per unit", xlim=(-5, 5))


def _known(result: Comparison) -> list[str]:
    """Labels of which some star has a value in both."""
    return [label for label in result.labels if np.isfinite(result.difference(label)).any()]


def _values(result: Comparison, column: str) -> np.ndarray:
    return np.asarray(result.pairs[column].value, dtype=float)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Limits of an axis that leave out the last two stars in a thousand at either end."""
    low, high = np.nanquantile(values, [0.002, 0.998])
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)
