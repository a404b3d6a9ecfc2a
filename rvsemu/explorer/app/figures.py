"""The figures of the page: spectrum and residual with a common axis of wavelengths, and histograms of a posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from bokeh.layouts import column
from bokeh.models import (
    BasicTickFormatter,
    ColumnDataSource,
    CrosshairTool,
    HoverTool,
    LabelSet,
    Range1d,
    Row,
    Span,
)
from bokeh.plotting import figure

from ...fitting import Posterior
from ...physics.lines import MAIN_LINES
from ...physics.wavelengths import convert_medium
from ...plotting.spectra import DATA, MODEL, NOISE, visible
from ..labels import title_of
from ..overlay import Overlay

__all__ = ["SpectrumFigure", "histograms"]

_KEPT = "#0072B2"  # of Okabe & Ito (2008), as the colours of all figures
_OBSERVED = "#1a1a1a" if DATA == "0.1" else DATA
_TOOLS = "xpan,xbox_zoom,xwheel_zoom,reset"
_APART = 14  # pixels between two names of lines
_ROOM = 0.28  # of the flux axis, for names of lines above the spectrum
_SPIKES = (0.2, 99.8)  # percentiles of the observed flux that must be seen


class SpectrumFigure:
    """Curves in one medium, with the limits of both axes.

    Parameters
    ----------
    grid : ndarray, shape (n,)
        Wavelengths that can be seen, Angstrom in air.
    """

    def __init__(self, grid: np.ndarray) -> None:
        self._ends = float(grid[0]), float(grid[-1])
        self.medium = "air"
        self.zero, self.names = True, True
        self.range = Range1d(*self._ends, bounds=self._ends, min_interval=2.0, name="range")
        self._sources = {
            name: ColumnDataSource({"x": [], "y": []}, name=f"{name}-data") for name in ("model", "kept", "observed")
        }
        self._residual = ColumnDataSource({"x": [], "y": [], "low": [], "high": []})
        self._lines = ColumnDataSource({"x": [], "y": [], "name": []})
        self._teff, self._width = np.inf, 600
        self._upper, self._lower = self._flux_axes(), self._residual_axes()
        self.keep()
        self.observe()
        self.layout = column(self._upper, self._lower, sizing_mode="stretch_width", name="spectrum", spacing=0)
        for end in ("start", "end"):
            self.range.on_change(end, lambda attr, old, new: self.scale())
        self._upper.on_change("inner_width", lambda attr, old, width: self._resized(width))

    def _flux_axes(self):
        out = figure(height=390, name="flux", y_range=Range1d(0, 1.4), **self._common())
        out.yaxis.axis_label = "normalised flux"
        styles = {
            "observed": {"line_color": _OBSERVED, "line_width": 1, "legend_label": "observed"},
            "kept": {"line_color": _KEPT, "line_width": 1.4, "legend_label": "kept"},
            "model": {"line_color": MODEL, "line_width": 1.8, "legend_label": "computed"},
        }
        self._curves = {
            name: out.line("x", "y", source=self._sources[name], name=f"{name}-curve", **style)
            for name, style in styles.items()
        }
        model = [self._curves["model"]]
        out.add_tools(
            HoverTool(
                renderers=model, mode="vline", line_policy="nearest", tooltips=[("Å", "@x{0.0}"), ("flux", "@y{0.000}")]
            ),
            CrosshairTool(dimensions="height", line_color="#999999"),
        )
        style = {"text_font_size": "12px", "text_color": "#333333", "text_baseline": "middle", "text_align": "right"}
        out.add_layout(
            LabelSet(x="x", y="y", text="name", source=self._lines, angle=np.pi / 2, x_offset=1, y_offset=-4, **style)
        )
        legend = out.legend[0]
        self._legend = {item.label.value: item for item in legend.items}
        legend.location, legend.orientation, legend.padding = "bottom_right", "horizontal", 4
        legend.spacing = 14
        legend.background_fill_alpha, legend.border_line_alpha = 0.8, 0
        return out

    def _residual_axes(self):
        out = figure(height=150, y_range=Range1d(-0.05, 0.05), **self._common() | {"toolbar_location": None})
        out.yaxis.axis_label = "residual"
        out.yaxis.ticker.desired_num_ticks = 4
        out.varea("x", "low", "high", source=self._residual, fill_color=NOISE, fill_alpha=0.5)
        out.line("x", "y", source=self._residual, line_color=_OBSERVED, line_width=1)
        out.add_layout(Span(location=0, dimension="width", line_color=MODEL, line_width=1))
        return out

    def _common(self) -> dict:
        return {
            "x_range": self.range,
            "tools": _TOOLS,
            "active_drag": "xpan",
            "active_scroll": None,
            "toolbar_location": "above",
            "sizing_mode": "stretch_width",
            "min_border_left": 58,
            "min_border_right": 12,
            "output_backend": "canvas",
        }

    # ------------------------------------------------------------------ what is seen
    def show(self, wavelength: np.ndarray, flux: np.ndarray, *, dashed: bool, teff: float) -> None:
        """The computed spectrum, wavelengths in the medium of the figure; dashed outside of the domain."""
        self._sources["model"].data = {"x": wavelength, "y": flux.astype("f4")}
        self._curves["model"].glyph.line_dash = "dashed" if dashed else "solid"
        self._teff = teff
        for axes in (self._upper, self._lower):
            axes.xaxis.axis_label = f"wavelength in {self.medium} (Å)"
            axes.xaxis.formatter = BasicTickFormatter(use_scientific=False)

    def keep(self, wavelength: np.ndarray | None = None, flux: np.ndarray | None = None) -> None:
        """A second computed spectrum, to compare others with; None: none."""
        self._curves["kept"].visible = self._legend["kept"].visible = flux is not None
        if flux is not None:
            self._sources["kept"].data = {"x": wavelength, "y": flux.astype("f4")}

    def observe(self, wavelength: np.ndarray | None = None, seen: Overlay | None = None) -> None:
        """An observed spectrum and its residuals; None: none."""
        there = seen is not None
        self._curves["observed"].visible = self._legend["observed"].visible = self._lower.visible = there
        self._upper.xaxis.visible = not there
        self._upper.height = 330 if there else 390
        if seen is not None:
            error = np.nan_to_num(seen.sigma)
            self._sources["observed"].data = {"x": wavelength, "y": seen.flux}
            self._residual.data = {"x": wavelength, "y": seen.residual, "low": -error, "high": error}

    def _resized(self, width: int) -> None:
        self._width = width
        self.scale()

    def scale(self) -> None:
        """Fit the vertical axes and the names of lines to what is seen."""
        view = self.range.start, self.range.end
        low, high = self._extremes(view)
        if self.zero:
            low, high = min(0.0, low), max(high, 1.0)
        else:
            low -= 0.05 * (high - low) + 1e-3
        room = _ROOM if self.names else 0.06
        top = low + (high - low + 1e-3) / (1.0 - room)
        self._upper.y_range.update(start=low, end=top)
        self._name_lines(view, top)
        if self._lower.visible:
            some = _within(self._residual.data, view)
            size = 1.2 * max(np.max(np.abs(np.percentile(some, _SPIKES))), 0.004) if len(some) else 0.05
            self._lower.y_range.update(start=-size, end=size)

    def _extremes(self, view) -> tuple[float, float]:
        ends = []
        for name, source in self._sources.items():
            some = _within(source.data, view)
            if self._curves[name].visible and len(some):
                ends += list(np.percentile(some, _SPIKES if name == "observed" else (0, 100)))
        return (float(min(ends)), float(max(ends))) if ends else (0.0, 1.0)

    def _name_lines(self, view, top) -> None:
        """Names of the lines that are seen, where there is room; the strongest come first."""
        placed: list[tuple[float, str]] = []
        if self.names:
            pixels = self._width / (view[1] - view[0])
            for name, air in visible(MAIN_LINES, self._teff):
                x = float(convert_medium(air, "air", self.medium))
                if view[0] < x < view[1] and all(abs(x - other) * pixels > _APART for other, _ in placed):
                    placed.append((x, name))
        places, names = [at for at, _ in placed], [name for _, name in placed]
        self._lines.data = {"x": places, "y": [top] * len(placed), "name": names}

    # ------------------------------------------------------------------ the range of wavelengths
    def convert(self, medium: str) -> None:
        """Change the medium, and the view with it."""
        places = np.array([*self._ends, self.range.start, self.range.end])
        first, last, low, high = convert_medium(places, self.medium, medium).tolist()
        self._ends, self.medium = (first, last), medium
        self.range.update(bounds=self._ends, start=low, end=high, reset_start=first, reset_end=last)

    def move(self, share: float) -> None:
        """Move the view by a share of its width."""
        width = self.range.end - self.range.start
        self.look(self.range.start + share * width, self.range.end + share * width)

    def zoom(self, factor: float) -> None:
        """Make the view wider by a factor."""
        middle, half = (self.range.start + self.range.end) / 2, (self.range.end - self.range.start) / 2
        self.look(middle - factor * half, middle + factor * half)

    def look(self, low: float | None = None, high: float | None = None) -> None:
        """Show a range, moved within what there is; None: everything."""
        first, last = self._ends
        low, high = first if low is None else low, last if high is None else high
        width = min(high - low, last - first)
        low = min(max(low, first), last - width)
        self.range.update(start=low, end=low + width)


def _within(data: Mapping, view: tuple[float, float]) -> np.ndarray:
    """Finite values of y where x is in the view."""
    x, y = np.asarray(data["x"], dtype=float), np.asarray(data["y"], dtype=float)
    return y[(x >= view[0]) & (x <= view[1]) & np.isfinite(y)]


def histograms(posterior: Posterior) -> Row:
    """The marginal distribution of each label, its median and central 68 % marked, in rows as wide as the page."""
    figures = [_histogram(row, posterior[row["name"]].value) for row in posterior.summary()]
    return Row(*figures, styles={"flex-wrap": "wrap"}, sizing_mode="stretch_width")


def _histogram(row: Mapping, values: Sequence[float]):
    counts, edges = np.histogram(values, bins=40, range=tuple(np.quantile(values, (0.001, 0.999))), density=True)
    name, unit = row["name"], row["unit"]
    label = title_of(name)[0] + (f" ({unit})" if unit else "")
    out = figure(height=150, width=182, tools="", toolbar_location=None, x_axis_label=label, min_border_right=12)
    out.quad(left=edges[:-1], right=edges[1:], bottom=0, top=counts, fill_color=NOISE, line_color=None)
    for key, dash in (("p16", "dashed"), ("median", "solid"), ("p84", "dashed")):
        out.add_layout(Span(location=float(row[key]), dimension="height", line_color=MODEL, line_dash=dash))
    out.yaxis.visible, out.ygrid.visible, out.xgrid.visible = False, False, False
    out.y_range.start = 0
    out.xaxis.ticker.desired_num_ticks = 3
    out.xaxis.formatter = BasicTickFormatter(use_scientific=False)
    return out
