"""Figures of posteriors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from ..errors import LabelError, PosteriorFileError
from ..physics.lines import MAIN_LINES
from .spectra import (
    DATA,
    FIT_SIZE,
    MODEL,
    NOISE,
    SMALL,
    axis_label,
    describe,
    frame,
    legend_style,
    limits,
    name_lines,
    new_axes,
    panel_below,
    room_in,
    shade,
    source_name,
    visible,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fitting import Posterior

__all__ = ["plot_corner", "plot_predictive"]

_ROOM = 0.1  # inches


def plot_predictive(
    posterior: Posterior, ax: Axes | None = None, *, lines: Sequence[tuple[str, float]] = MAIN_LINES
) -> Axes:
    """Plot data and the posterior of the model with its continuum; pixels left out are shaded.

    Parameters
    ----------
    posterior : Posterior
        With ``spectrum``.
    ax : matplotlib Axes, optional
        Where to draw; its lower quarter becomes the panel of the residuals. Default: a new figure.
    lines : sequence of (str, float)
        As in `plot_spectrum`; they are moved by the median radial velocity.

    Returns
    -------
    matplotlib Axes
        The upper one; the lower one is ``ax.figure.axes[-1]``. There the bands are the central 68 and 95 % of the
        model less its median, and the lines the noise of a pixel.

    Raises
    ------
    PosteriorFileError
        There is no prediction: the chain is not finished.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import rvsemu
    >>> from rvsemu.plotting import plot_predictive
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> ax = plot_predictive(rvsemu.sample(star, steps=10, seed=1, progress=False))
    >>> ax.figure.axes[-1].get_ylabel()
    'residual'
    >>> plt.close(ax.figure)
    """
    if "predicted" not in posterior.spectrum:
        raise PosteriorFileError(
            f"{source_name(posterior)} has no prediction of the spectrum, as the sampling was interrupted or it was "
            "sampled without a spectrum: end it with rvsemu.sample(..., file=) or 'rvsemu sample'."
        )
    ax, room = new_axes(ax, FIT_SIZE), room_in(ax)
    below = panel_below(ax)
    wave, flux, sigma, good = (posterior.spectrum[key] for key in ("wavelength", "flux", "sigma", "used"))
    outer, inner, median = _bands(posterior.spectrum["predicted"])
    medians = posterior.labels
    label = describe(medians, posterior.errors, room)

    ax.plot(wave, flux, color=DATA, lw=0.7, zorder=3, label=source_name(posterior))
    ax.fill_between(wave, *outer, color=MODEL, alpha=0.3, lw=0)
    ax.plot(wave, median, color=MODEL, lw=1.6, label=label)
    below.plot(wave, flux - median, color=DATA, lw=0.6)
    for edge in (-1, 1):
        below.plot(wave, edge * sigma, color=NOISE, lw=0.8, label="noise, 1 sigma" if edge > 0 else None)
    below.fill_between(wave, *(outer - median), color=MODEL, alpha=0.35, lw=0, label="model, 95 %")
    below.fill_between(wave, *(inner - median), color=MODEL, alpha=0.75, lw=0, label="model, 68 %")
    for panel in (ax, below):
        shade(panel, wave, ~good)
        frame(panel, wave, posterior.meta.get("medium"), u.dimensionless_unscaled)

    ax.set_xlabel("")
    ax.tick_params(labelbottom=False)
    below.set_ylabel("residual")
    limit = 1.15 * np.nanpercentile(np.abs(flux - median)[good], 99.7)
    below.set_ylim(-limit, 2 * limit)  # the legend goes above
    below.legend(**legend_style() | {"loc": "upper left", "ncols": 3})
    highest = max(np.nanpercentile(flux[good], 99.9), np.nanmax(outer))
    limits(ax, min(flux[good].min(), np.nanmin(median)), highest, rows=1 + len(label.splitlines()))
    ax.legend(**legend_style())
    teff = medians["teff"].value if "teff" in medians else np.inf
    velocity = medians["radial_velocity"].value if "radial_velocity" in medians else 0.0
    name_lines(ax, visible(lines, teff), posterior.meta.get("medium", "air"), velocity, wave)
    return ax


def plot_corner(
    posterior: Posterior,
    *,
    names: str | Sequence[str] | None = None,
    truths: Mapping[str, float | u.Quantity] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Plot the distribution of each label and of each pair of labels.

    Parameters
    ----------
    posterior : Posterior
    names : str or sequence of str, optional
        Labels to show; default: all.
    truths : dict of float or Quantity, optional
        Values to mark, by label.
    figure : matplotlib Figure, optional
        Where to draw; default: a new one.

    Returns
    -------
    matplotlib Figure
        The contours hold 39 and 86 % of the samples (1 and 2 sigma of a Gaussian), the dashed lines are the 16, 50
        and 84 % quantiles.

    Raises
    ------
    LabelError
        A name, or one of `truths`, is none of the labels.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import rvsemu
    >>> from rvsemu.plotting import plot_corner
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> posterior = rvsemu.sample(star, steps=10, seed=1, progress=False)
    >>> figure = plot_corner(posterior, names=("teff", "logg"), truths={"teff": 5669})
    >>> len(figure.axes)
    4
    >>> plt.close(figure)
    """
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of arviz, which corner imports if it is there
        import corner

    rows = {row["name"]: row for row in posterior.summary()}
    names = _checked("names", tuple(rows) if names is None else (names,) if isinstance(names, str) else names, rows)
    truths = truths or {}
    _checked("truths", tuple(truths), {**posterior.labels, **rows}, least=0)
    values = np.column_stack([posterior[name].value for name in names])
    size = 1.6 * len(names) + 0.6
    given = figure
    figure = corner.corner(
        values,
        fig=plt.figure(figsize=(size, size), layout="none") if figure is None else figure,
        labels=[axis_label(name, rows[name]["unit"]) for name in names],
        range=[_range(column) for column in values.T],
        quantiles=(0.16, 0.5, 0.84),
        levels=(0.393, 0.865),
        truths=[u.Quantity(truths[n], rows[n]["unit"]).value if n in truths else None for n in names],
        truth_color=MODEL,
        color=DATA,
        bins=30,
        max_n_ticks=4,
        smooth=0.8,
        plot_datapoints=False,
        fill_contours=True,
        label_kwargs={"fontsize": 10},
        labelpad=0.12,
    )
    for i, name in enumerate(names):
        figure.axes[i * len(names) + i].set_title(_title(rows[name]), fontsize=10)
    for axes in figure.axes:
        axes.tick_params(labelsize=SMALL)
    if given is None:  # corner leaves too little room for the names of the axes
        left, bottom = (edge + _ROOM / size for edge in (figure.subplotpars.left, figure.subplotpars.bottom))
        figure.subplots_adjust(left=left, bottom=bottom)
    return figure


def _checked(argument: str, names: Sequence[str], rows: Mapping[str, Any], least: int = 1) -> tuple[str, ...]:
    """Names of labels, if there are such."""
    unknown = [name for name in names if name not in rows]
    if unknown or len(names) < least:
        raise LabelError(f"{argument}={unknown[0] if unknown else names!r}: name some of {', '.join(rows)}.")
    return tuple(names)


def _title(row) -> str:
    """Median and the distances of the 16 and 84 % quantiles, to two digits of the smaller."""
    digits = max(0, 1 - int(np.floor(np.log10(max(min(row["minus"], row["plus"]), 1e-9)))))
    median, plus, minus = (f"{row[key]:.{digits}f}" for key in ("median", "plus", "minus"))
    return f"${median}^{{+{plus}}}_{{-{minus}}}$"


def _range(values) -> tuple[float, float]:
    """All but the outermost samples, with some room."""
    low, high = np.quantile(values, (0.001, 0.999))
    room = 0.05 * (high - low) or 1e-6
    return low - room, high + room


def _bands(predicted):
    """Outer and inner pair of curves, and the median, of `Posterior.spectrum`'s quantiles."""
    return predicted[[0, 4]], predicted[[1, 3]], predicted[2]
