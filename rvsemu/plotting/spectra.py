"""Spectra and fits, and the parts that figures of spectra share."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from ..errors import SettingsError, SpectrumError
from ..physics.lines import MAIN_LINES
from ..physics.wavelengths import convert_medium, doppler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from specutils import Spectrum

    from ..fitting import FitResult

__all__ = ["plot_fit", "plot_spectrum", "spread_apart"]

DATA, MODEL, _SHADE, NOISE, OUTLIER = "0.1", "#D55E00", "0.9", "#56B4E9", "#0072B2"  # of Okabe & Ito (2008)
_PASCHEN_FROM = 6500.0  # K: the Paschen lines are not seen in cooler stars
FIT_SIZE = (7, 5.6)  # inches
_LINE = 62  # characters of text that fit into it
_CHARACTER = 0.075  # inches, of text of this size
_HANDLE = 0.45  # inches, of a legend besides its text
_MARKUP = re.compile(r"[${}_\\]|rm |lpha")  # characters of text that are not drawn
SMALL = 10  # points: legible where a page shows the figure 400 pixels wide


def plot_spectrum(
    spectrum: Spectrum,
    ax: Axes | None = None,
    *,
    lines: Sequence[tuple[str, float]] = MAIN_LINES,
    label: str | None = None,
    color: str = MODEL,
) -> Axes:
    """Plot a spectrum, with the main lines named above it.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        One- or two-dimensional (one curve per row), with ``meta["medium"]``.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.
    lines : sequence of (str, float)
        Names and wavelengths in air, Angstrom. Those outside the spectrum are left out; Paschen lines
        (P17 ...) are left out for stars cooler than 6500 K, where ``meta["labels"]`` tells.
    label : str, optional
        For the legend; default: the labels of ``meta["labels"]``, if they are those of one spectrum. A row of a
        two-dimensional spectrum has the labels of all rows there, and no default.
    color : str
        Color of the curve, if there is only one.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SpectrumError
        `spectrum` is none, has more than two dimensions, no finite flux, or an axis that is no wavelength.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import rvsemu
    >>> ax = rvsemu.plot_spectrum(rvsemu.generate(teff=5777, logg=4.44))
    >>> ax.get_xlabel()
    '...'
    >>> plt.close(ax.figure)
    """
    _check_spectrum(spectrum)
    ax, room = new_axes(ax, (7, 3.6)), room_in(ax)
    wave = _angstrom(spectrum)
    flux = np.atleast_2d(spectrum.flux.value)
    stated = spectrum.meta.get("labels", {})
    single = len(flux) == 1
    of_one = {name: u.Quantity(q) for name, q in stated.items() if np.size(q) == 1}
    if single and label is None and of_one and len(of_one) == len(stated):  # a row of many has the labels of all
        label = describe({name: q.ravel()[0] for name, q in of_one.items()}, width=room)
    for i, row in enumerate(flux):
        ax.plot(wave, row, lw=0.8, color=color if single else f"C{i % 10}", label=label if i == 0 else None)
    frame(ax, wave, spectrum.meta.get("medium"), spectrum.flux.unit)
    drawn = flux[np.isfinite(flux)]
    limits(ax, drawn.min(), drawn.max(), rows=len(label.splitlines()) if label else 0)
    if label:
        ax.legend(**legend_style())
    hottest = np.max(u.Quantity(stated["teff"]).value) if "teff" in stated else np.inf
    name_lines(ax, visible(lines, hottest), spectrum.meta.get("medium", "air"), 0.0, wave)
    return ax


def plot_fit(result: FitResult, ax: Axes | None = None, *, lines: Sequence[tuple[str, float]] = MAIN_LINES) -> Axes:
    """Plot data, model and residual of a fit; pixels left out are shaded.

    The bands behind the residual are one standard deviation of a pixel: of its noise alone, and of all that the fit
    allows for, the errors of the emulator and of the models included.

    Parameters
    ----------
    result : FitResult
    ax : matplotlib Axes, optional
        Where to draw; its lower quarter becomes the panel of the residuals. Default: a new figure.
    lines : sequence of (str, float)
        As in `plot_spectrum`; they are moved by the fitted radial velocity.

    Returns
    -------
    matplotlib Axes
        The upper one; the lower one is ``ax.figure.axes[-1]``.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import rvsemu
    >>> from rvsemu.plotting import plot_fit
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> ax = plot_fit(rvsemu.fit(star))
    >>> ax.figure.axes[-1].get_ylabel()
    'residual'
    >>> plt.close(ax.figure)
    """
    ax, room = new_axes(ax, FIT_SIZE), room_in(ax)
    below = panel_below(ax)
    wave, observed = result.spectral_axis.to_value(u.AA), result.flux
    model, continuum, good = result.model_flux, result.continuum, result.used
    residual = (observed - model) / continuum
    label = describe(result.labels, result.errors, room)
    noise, total = _errors(result)

    ax.plot(wave, observed, color=DATA, lw=0.7, zorder=3, label=source_name(result))
    ax.plot(wave, model, color=MODEL, lw=1.6, label=label)
    ax.plot(wave, continuum, color=MODEL, lw=0.7, ls=":")
    below.fill_between(wave, -total, total, color=NOISE, alpha=0.3, lw=0, label="1 sigma, all errors")
    below.fill_between(wave, -noise, noise, color=NOISE, alpha=0.7, lw=0, label="1 sigma, noise")
    below.plot(wave, residual, color=DATA, lw=0.7)
    if result.n_outliers:
        doubted = np.where(result.doubted, residual, np.nan)
        below.plot(wave, doubted, ".", color=OUTLIER, ms=3, clip_on=False, label=f"{result.n_outliers} outliers")
    below.axhline(0, color=MODEL, lw=0.7)
    for panel in (ax, below):
        shade(panel, wave, ~good)

    for panel in (ax, below):
        frame(panel, wave, result.meta["medium"], result.flux_unit)
    ax.set_xlabel("")
    ax.tick_params(labelbottom=False)
    below.set_ylabel("residual")
    limit = 1.15 * max(4 * result.residual_rms, np.nanpercentile(np.abs(residual[good]), 99.7))
    below.set_ylim(-1.7 * limit, 1.7 * limit)  # the text goes above, the legend below
    below.legend(**legend_style() | {"ncols": 3})
    highest = max(np.nanpercentile(observed[good], 99.9), np.nanmax(continuum))
    limits(ax, min(observed[good].min(), np.nanmin(model)), highest, rows=1 + len(label.splitlines()))
    ax.legend(**legend_style())
    text = f"rms {result.residual_rms:.4f}   reduced $\\chi^2$ {result.reduced_chi2:.2f}   shaded: not used"
    text += f"   {result.n_outliers} outliers" if result.n_outliers else ""
    flags = textwrap.wrap(f"flags: {', '.join(result.flags)}", _LINE) if result.flags else []
    below.text(0.01, 0.95, "\n".join([text, *flags]), fontsize=SMALL, va="top", transform=below.transAxes)
    teff = result.labels["teff"].value if "teff" in result.labels else np.inf
    velocity = result.labels["radial_velocity"].value
    name_lines(ax, visible(lines, teff), result.meta["medium"], velocity, wave)
    return ax


def _check_spectrum(spectrum) -> None:
    """Refuse what is no spectrum, or cannot be drawn, before a figure is made for it."""
    if not isinstance(getattr(spectrum, "flux", None), u.Quantity):
        kind = type(spectrum).__name__
        remedy = ", or use its method plot" if hasattr(spectrum, "plot") and hasattr(spectrum, "labels") else ""
        raise SpectrumError(f"spectrum is a {kind}: give a specutils Spectrum, one at a time{remedy}.")
    flux, axis = spectrum.flux, u.Quantity(spectrum.spectral_axis)
    if flux.ndim > 2:
        raise SpectrumError(f"spectrum has the shape {flux.shape}: give one or two dimensions, e.g. spectrum[0].")
    if not np.isfinite(flux.value).any():
        raise SpectrumError(f"spectrum of the shape {flux.shape} has no finite flux: there is nothing to draw.")
    if not (axis.unit.is_equivalent(u.AA) and np.isfinite(axis.value).all()):
        raise SpectrumError(f"spectrum has an axis in '{axis.unit}': give one of finite wavelengths.")


def _errors(result: FitResult) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations of the pixels in units of the continuum: of the noise, and of all in the covariance."""
    noise, emulator = result.flux_sigma / result.continuum, result.model_sigma / result.continuum
    model_error = result.meta["model_error"]
    models = 0.0 if model_error is None else model_error.sigma(result.model_flux / result.continuum)
    return noise, np.sqrt(noise**2 + emulator**2 + models**2 + result.meta["jitter"] ** 2)


def new_axes(ax, size):
    if ax is not None and not hasattr(ax, "get_subplotspec"):
        raise SettingsError(
            f"ax is a {type(ax).__name__}: give one Axes of matplotlib. To save a figure, use ax.figure.savefig(path) "
            "on the Axes that are returned."
        )
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained").add_subplot()


def room_in(ax) -> float:
    """Width of the text of a legend in axes that were given, inches; figures of our own have enough."""
    return np.inf if ax is None else ax.figure.get_figwidth() * ax.get_position().width - _HANDLE


def _angstrom(spectrum) -> np.ndarray:
    return u.Quantity(spectrum.spectral_axis).to_value(u.AA)


def frame(ax, wave, medium, unit):
    ax.set_xlabel(f"wavelength in {medium} (Å)" if medium else "wavelength (Å)")
    ax.set_ylabel("flux" if unit == u.dimensionless_unscaled else f"flux ({unit})")
    ax.set_xlim(wave.min(), wave.max())
    ax.minorticks_on()


def limits(ax, low, high, rows=3):
    """Range of fluxes from `low` to `high`, with room below them for a legend of some rows in axes of any height."""
    height = 72 * ax.figure.get_figheight() * ax.get_position().height  # points
    room = min((2.0 + 1.5 * rows) * SMALL / height, 0.6) if rows else 0.06
    ax.set_ylim(high - (high - low) / (1 - room) - 1e-3, high + 0.08 * (high - low) + 1e-3)


def legend_style() -> dict:
    return {"loc": "lower left", "fontsize": SMALL, "frameon": False, "handlelength": 1.5}


def panel_below(ax):
    """Take the lower quarter of the place of `ax` for a second panel."""
    spec = ax.get_subplotspec()
    if spec is None:  # placed by hand
        box = ax.get_position()
        ax.set_position([box.x0, box.y0 + 0.3 * box.height, box.width, 0.7 * box.height])
        return ax.figure.add_axes([box.x0, box.y0, box.width, 0.27 * box.height], sharex=ax)
    upper, lower = spec.subgridspec(2, 1, height_ratios=[3, 1.7], hspace=0.04)
    ax.set_subplotspec(upper)
    return ax.figure.add_subplot(lower, sharex=ax)


def shade(ax, wave, bad):
    """Grey bands over runs of pixels that are not used."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(int)))
    half = 0.5 * np.median(np.abs(np.diff(wave)))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        low, high = sorted((wave[first], wave[after - 1]))
        ax.axvspan(low - half, high + half, color=_SHADE, lw=0, zorder=0)


def source_name(result) -> str:
    return f"Gaia {result.meta['source_id']}" if "source_id" in result.meta else "observed"


SYMBOLS = {
    "teff": ("$T_{{\\rm eff}}$ {} K", 0),
    "logg": ("log g {}", 2),
    "mh": ("[M/H] {}", 2),
    "alpha": ("[$\\alpha$/M] {}", 2),
    "vsini": ("v sin i {} km/s", 1),
    "vmic": ("$v_{{\\rm mic}}$ {} km/s", 1),
    "resolution": ("R {}", 0),
    "radial_velocity": ("RV {} km/s", 1),
}


def axis_label(name: str, unit: str) -> str:
    """Symbol and unit of a label; a label that is unknown has its name."""
    template = SYMBOLS.get(name, (name.replace("_", " "),))[0]
    symbol = template.partition("{}")[0].strip().replace("{{", "{").replace("}}", "}")
    return f"{symbol} ({unit})" if unit not in ("", "dex") else symbol


def describe(
    labels: Mapping[str, u.Quantity], errors: Mapping[str, u.Quantity] | None = None, width: float = np.inf
) -> str:
    """Values, with their errors where there are any, in two lines, or in more of a `width` in inches.

    Unknown labels have their own name.
    """
    parts = []
    for name, value in labels.items():
        symbol, digits = SYMBOLS.get(name, (f"{name} {{}} {value.unit}".rstrip(), 2))
        text = f"{value.value:.{digits}f}"
        if errors is not None:
            text += f"±{errors[name].value:.{digits}f}" if errors[name].value > 0 else " (fixed)"
        parts.append(symbol.format(text))
    for each in range((len(parts) + 1) // 2, 0, -1):
        lines = [", ".join(parts[i : i + each]) for i in range(0, len(parts), each)]
        if max(len(_MARKUP.sub("", line)) for line in lines) * _CHARACTER <= width:
            break
    return "\n".join(lines)


def visible(lines: Sequence[tuple[str, float]], teff: float) -> list[tuple[str, float]]:
    """`lines` without the Paschen series for cool stars."""
    return [(n, w) for n, w in lines if teff >= _PASCHEN_FROM or not (n[0] == "P" and n[1:].isdigit())]


def name_lines(ax, lines, medium, velocity, wave):
    """Upright names above the axes, moved apart where they would overlap, each tied to its wavelength."""
    if not lines:
        return
    names = [name for name, _ in lines]
    places = doppler(convert_medium([w for _, w in lines], "air", medium), velocity)
    low, high = wave.min(), wave.max()
    order = [i for i in np.argsort(places) if low <= places[i] <= high]
    points = 72 * ax.figure.get_figwidth() * 0.85 * ax.get_position().width / 0.775  # width of the axes
    gap = 1.45 * SMALL * (high - low) / points
    spread = spread_apart(places[order], gap, low, high)
    transform = ax.get_xaxis_transform()
    for i, x in zip(order, spread, strict=True):
        style = {"color": "0.55", "lw": 0.6, "clip_on": False, "transform": transform}
        ax.plot([places[i], places[i], x, x], [0.985, 1.01, 1.05, 1.06], **style)
        ax.text(x, 1.07, names[i], rotation=90, fontsize=SMALL, ha="center", va="bottom", transform=transform)


def spread_apart(places: ArrayLike, gap: float, low: float, high: float) -> np.ndarray:
    """Positions as near to the sorted `places` as can be with at least `gap` between neighbours.

    Without the gaps they would have to leave, positions must not decrease: an isotonic regression.

    Examples
    --------
    >>> from rvsemu.plotting import spread_apart
    >>> spread_apart([1.0, 5.0, 5.2], 1.0, 0.0, 10.0).tolist()
    [1.0, 4.6, 5.6]
    """
    places = np.asarray(places, dtype=float)
    if not len(places):
        return places
    steps = gap * np.arange(len(places))
    level = isotonic_regression(places - steps).x
    return np.clip(level, low, max(low, high - steps[-1])) + steps
