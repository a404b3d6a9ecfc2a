"""The page itself: what its controls do. One `Page` is made for each window that opens it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from typing import Any

from bokeh.document import Document
from bokeh.models import (
    CheckboxGroup,
    Column,
    ColumnDataSource,
    CustomJS,
    Div,
    FileInput,
    RadioButtonGroup,
    Row,
    Select,
)

from ...emulator import Emulator
from ...errors import RvsemuError
from ...physics.lines import MAIN_LINES
from ...physics.wavelengths import convert_medium
from ..exports import data_url, spectrum_csv
from ..labels import SUN, in_words
from ..observed import EXAMPLES, Star, example, uploaded
from ..overlay import overlay
from .controls import OUTSIDE, VELOCITY, LabelControls, button, naming, sheet
from .figures import SpectrumFigure
from .inference import Inference

__all__ = ["Page"]

_CONTINUA = {"divide by a cubic": 3, "divide by a line": 1, "as it is": None}
_MEDIA = ("air", "vacuum")
_OPTIONS = ("names of lines", "flux axis from 0")
_LINE_VIEW = 25.0  # Angstrom on either side


class Page:
    """Controls and figures of one window.

    Parameters
    ----------
    doc : Document
    emulator : Emulator
    stars : sequence of Star
        Observed spectra that were given.
    """

    def __init__(self, doc: Document, emulator: Emulator, stars: Sequence[Star] = ()) -> None:
        self._doc, self._emulator, self._stars = doc, emulator, list(stars)
        self._grid = emulator.wavelength
        self._star: Star | None = None
        self._kept: dict[str, float] | None = None
        self._coming = False
        self._figure = SpectrumFigure(convert_medium(self._grid, emulator.medium, "air"))
        self._controls = LabelControls(emulator.labels, self.refresh)
        self._download = ColumnDataSource({"name": [], "address": []}, name="download")
        self._download.js_on_change("data", CustomJS(code=_DOWNLOAD))
        self._inference = Inference(doc, emulator, self._controls, self._found, self.send)
        for root in (self._view(), self._figure.layout, self._star_controls(), self._observed_controls(), self._away()):
            doc.add_root(root)
        for root in self._inference.roots:
            doc.add_root(root)
        self._message = Div(name="message", sizing_mode="stretch_width", stylesheets=[sheet()])
        doc.add_root(self._message)
        doc.title = "rvsemu Explorer"
        doc.template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        doc.js_on_event("document_ready", naming([*self._names, *self._controls.names()]))
        if self._stars:
            self._which_of(self._stars)
        self.refresh()

    # ------------------------------------------------------------------ controls
    def _view(self) -> Row:
        moves: dict[str, tuple[str, str, Callable[[], None]]] = {
            "left": ("←", "Move to shorter wavelengths", lambda: self._figure.move(-0.5)),
            "right": ("→", "Move to longer wavelengths", lambda: self._figure.move(0.5)),
            "in": ("+", "Zoom in", lambda: self._figure.zoom(0.5)),
            "out": ("−", "Zoom out", lambda: self._figure.zoom(2.0)),
            "all": ("All", "Show all wavelengths", self._figure.look),
        }
        buttons = [button(label, do, width=38, name=f"view-{key}") for key, (label, _, do) in moves.items()]
        self._names = [(model, "button", text) for model, (_, text, _) in zip(buttons, moves.values(), strict=True)]
        names = [f"{name} {x:.1f}" for name, x in sorted(MAIN_LINES, key=lambda line: line[1])]
        lines = Select(value="", options=["", *names], width=150, stylesheets=[sheet()], name="line")
        lines.options = [("", "Go to a line …"), *((name, name) for name in names)]
        lines.on_change("value", lambda attr, old, name: self._go_to(name))
        self._names.append((lines, "select", "Go to a line"))
        medium = RadioButtonGroup(labels=list(_MEDIA), active=0, stylesheets=[sheet()], name="medium")
        medium.on_change("active", lambda attr, old, k: self._convert(_MEDIA[k]))
        options = CheckboxGroup(
            labels=list(_OPTIONS), active=[0, 1], inline=True, stylesheets=[sheet()], name="options"
        )
        options.on_change("active", lambda attr, old, active: self._options(active))
        return Row(
            *buttons, lines, medium, options, name="view", sizing_mode="stretch_width", styles={"flex-wrap": "wrap"}
        )

    def _star_controls(self) -> Column:
        self._keep = button("Keep to compare", self._keep_or_forget, name="keep")
        sun = button(
            "The Sun", lambda: self._set({n: SUN[n] for n in self._emulator.labels.names if n in SUN}), name="sun"
        )
        return Column(self._controls.labels, Row(sun, self._keep), name="star", sizing_mode="stretch_width")

    def _observed_controls(self) -> Column:
        look: dict[str, Any] = {"stylesheets": [sheet()], "sizing_mode": "stretch_width", "margin": (3, 3, 3, 3)}
        self._example = Select(
            title="Example", value="", options=[("", "none"), *EXAMPLES.items()], name="example", **look
        )
        self._example.on_change("value", lambda attr, old, key: self._take_example(key))
        self._file = FileInput(title="or a file of RVS spectra", name="file", **look)
        for name in ("value", "filename"):  # of an empty file only the name is news
            self._file.on_change(name, lambda attr, old, new: self._file_changed())
        self._told = Div(name="told", **look)
        self._which = Select(title="Spectrum", options=[], name="which", visible=False, **look)
        self._which.on_change("value", lambda attr, old, k: self._choose(self._stars[int(k)]) if k else None)
        self._continuum = Select(
            title="Continuum", options=list(_CONTINUA), value=next(iter(_CONTINUA)), name="continuum", **look
        )
        self._continuum.on_change("value", lambda attr, old, new: self.refresh())
        remove = button("Remove", self._remove, name="remove")
        self._of_star = Column(
            self._which, self._controls.velocity, self._continuum, remove, visible=False, sizing_mode="stretch_width"
        )
        return Column(
            self._example, self._file, self._told, self._of_star, name="observed", sizing_mode="stretch_width"
        )

    def _away(self) -> Row:
        csv = button("CSV of the spectrum", self._send_csv, name="csv", tags=[self._download])
        png = button("PNG of the figure", lambda: None, name="png")
        png.js_on_click(CustomJS(args={"figure": self._figure.layout}, code=_PNG))
        return Row(csv, png, name="away", styles={"flex-wrap": "wrap"}, sizing_mode="stretch_width")

    # ------------------------------------------------------------------ what they do
    def refresh(self) -> None:
        """Compute the spectrum and show it, beside the observed one."""
        values, figure = self._controls.values, self._figure
        flux = self._flux(values)
        outside = in_words(self._emulator.labels, values)
        shown = convert_medium(self._grid, self._emulator.medium, figure.medium)
        figure.show(shown, flux, dashed=bool(outside), teff=values.get("teff", 0.0))
        figure.keep(shown, None if self._kept is None else self._flux(self._kept))
        text = ""
        if self._star is None:
            figure.observe()
        else:
            degree = _CONTINUA[self._continuum.value]
            seen = overlay(self._star.observation, self._emulator, flux, values[VELOCITY], degree)
            figure.observe(convert_medium(seen.wavelength, self._emulator.medium, figure.medium), seen)
            text = f"Residuals, observed − computed: rms {seen.rms:.4f}. Blue: error of the observed flux. "
        figure.scale()
        warning = f'<b style="color: {OUTSIDE}">{escape(outside)}</b>' if outside else ""
        self._message.text = f'<div role="status">{escape(text)}{warning}</div>'

    def _flux(self, values):
        return self._emulator.flux([[values[name] for name in self._emulator.labels.names]])[0]

    def _set(self, values) -> None:
        self._controls.set(values)
        self.refresh()

    def _found(self, values) -> None:
        self._set({name: value for name, value in values.items() if name in self._controls.values})

    def _keep_or_forget(self) -> None:
        self._kept = dict(self._controls.values) if self._kept is None else None
        self._keep.label = "Keep to compare" if self._kept is None else "Forget the kept one"
        self.refresh()

    def _go_to(self, name: str) -> None:
        if name:
            at = float(convert_medium(float(name.split()[-1]), "air", self._figure.medium))
            self._figure.look(at - _LINE_VIEW, at + _LINE_VIEW)

    def _convert(self, medium: str) -> None:
        self._figure.convert(medium)
        self.refresh()

    def _options(self, active) -> None:
        self._figure.names, self._figure.zero = 0 in active, 1 in active
        self._figure.scale()

    # ------------------------------------------------------------------ observed spectra
    def _take_example(self, key: str) -> None:
        if key:
            self._file.clear()
            self._try(lambda: ([example(key, self._emulator)], ""))

    def _file_changed(self) -> None:
        """Take the file once its name and its content, which come one after the other, are there."""
        if not self._coming:
            self._coming = True
            self._doc.add_next_tick_callback(self._take_file)

    def _take_file(self) -> None:
        self._coming = False
        if self._file.filename:
            data, name = base64.b64decode(self._file.value), self._file.filename
            self._example.value = ""
            self._try(lambda: uploaded(data, name, self._emulator))

    def _try(self, read: Callable[[], tuple[list[Star], str]]) -> None:
        """Take the stars that `read` returns, or say what is wrong; what was there stays away."""
        self._remove_star()
        try:
            stars, warning = read()
        except RvsemuError as error:
            self._tell(str(error), bad=True)
            return
        self._which_of(stars)
        if warning:
            self._tell(f"{self._star} {warning}")

    def _which_of(self, stars: list[Star]) -> None:
        self._stars = stars
        self._which.options = [(str(k), star.name) for k, star in enumerate(stars)]
        self._which.visible = len(stars) > 1
        if self._which.value == "0":
            self._choose(stars[0])
        self._which.value = "0"

    def _choose(self, star: Star) -> None:
        self._star = star
        self._of_star.visible = True
        self._tell(str(star))
        self._inference.observe(star)
        self.refresh()

    def _remove_star(self) -> None:
        self._star, self._stars, self._of_star.visible = None, [], False
        self._which.options, self._which.value = [], ""
        self._inference.observe(None)

    def _remove(self) -> None:
        self._remove_star()
        self._example.value = ""
        self._file.clear()
        self._tell("")
        self.refresh()

    def _tell(self, text: str, bad: bool = False) -> None:
        style = f' style="color: {OUTSIDE}; font-weight: 600"' if bad else ""
        role = "alert" if bad else "status"
        self._told.text = f'<div role="{role}"{style}>{escape(text)}</div>' if text else ""

    # ------------------------------------------------------------------ files to take away
    def _send_csv(self) -> None:
        data = spectrum_csv(self._emulator, self._controls.values, self._figure.medium)
        self.send("rvsemu-spectrum.csv", data_url(data, "text/csv"))

    def send(self, name: str, address: str) -> None:
        """Let the browser download what an address holds."""
        self._download.data = {"name": [name], "address": [address]}

    def close(self) -> None:
        """The window is gone."""
        self._inference.observe(None)


_DOWNLOAD = """
    const link = document.createElement("a");
    link.download = cb_obj.data.name[0];
    link.href = cb_obj.data.address[0];
    link.click();
"""
_PNG = """
    Bokeh.index.find_one_by_id(figure.id).export("png", true).to_blob().then((blob) => {
        const link = document.createElement("a");
        link.download = "rvsemu-spectrum.png";
        link.href = URL.createObjectURL(blob);
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
"""
