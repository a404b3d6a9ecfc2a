"""Controls of the page: a slider and a field for each label, and buttons that are all made alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from bokeh.models import Button, Column, CustomJS, Div, InlineStyleSheet, NumericInput, Row, Slider, UIElement

from ...emulator import Label, LabelSpace
from ..labels import beyond, nice_step, start_of, title_of

__all__ = ["OUTSIDE", "VELOCITY", "LabelControls", "button", "naming", "sheet"]

VELOCITY = "radial_velocity"
_FASTEST, _STEP = 300.0, 0.5  # km/s, of the slider; the field takes more
_LARGEST = 1000.0
OUTSIDE = "#a33c00"
"""Colour of warnings."""

_STYLE = """
:host { font-size: 14px; }
.noUi-handle:focus-visible, input:focus-visible, select:focus-visible, button:focus-visible, .bk-btn:focus-visible {
  outline: 3px solid #0072B2 !important; outline-offset: 1px; box-shadow: none !important; }
.bk-input-group.bk-inline { flex-wrap: wrap; white-space: normal; }
.bk-input-group.bk-inline > label { white-space: nowrap; margin: 0 0.5rem 0.2rem 0 !important; }
"""


def sheet() -> InlineStyleSheet:
    """Style of all controls: the one that has the focus is seen."""
    return InlineStyleSheet(css=_STYLE)


def button(label: str, action: Callable[[], object], **properties) -> Button:
    """A button that calls `action`."""
    out = Button(label=label, stylesheets=[sheet()], margin=(3, 3, 3, 3), **properties)
    out.on_click(lambda _: action())
    return out


class LabelControls:
    """A field and a slider for each label of an emulator and for the radial velocity.

    Parameters
    ----------
    space : LabelSpace
    changed : callable
        Called without arguments after a user has changed a value.
    """

    def __init__(self, space: LabelSpace, changed: Callable[[], object]) -> None:
        self._space, self._changed, self._setting = space, changed, False
        self.values = {label.name: start_of(label) for label in space.labels} | {VELOCITY: 0.0}
        self._fields: dict[str, NumericInput] = {}
        self._sliders: dict[str, Slider] = {}
        self._limits: dict[str, Div] = {}
        rows = [self._row(x.name, x.lower, x.upper, nice_step(x.lower, x.upper), x.unit) for x in space.labels]
        self.labels = Column(*rows, sizing_mode="stretch_width", name="labels")
        self.velocity = self._row(VELOCITY, -_FASTEST, _FASTEST, _STEP, "km/s")
        self._mark()

    def _row(self, name: str, low: float, high: float, step: float, unit: str) -> Row:
        title = title_of(name)[0] + (f" ({unit})" if unit else "")
        look = {"stylesheets": [sheet()], "margin": (2, 6, 4, 0)}
        field = NumericInput(
            title=title,
            value=self.values[name],
            mode="float",
            format=_format(step),
            width=150,
            name=f"{name}-field",
            **look,
        )
        limits = Div(text=_range(low, high), name=f"{name}-range", stylesheets=[sheet()], margin=(2, 0, 0, 0))
        slider = Slider(start=low, end=high, step=step, value=self.values[name], name=f"{name}-slider", **look)
        slider.update(title=None, show_value=False, tooltips=False, sizing_mode="stretch_width", min_width=120)
        field.on_change("value", lambda attr, old, value: self._take(name, value))
        slider.on_change("value", lambda attr, old, value: self._take(name, value))
        self._fields[name], self._sliders[name], self._limits[name] = field, slider, limits
        beside = Column(limits, slider, sizing_mode="stretch_width", min_width=120)
        return Row(field, beside, sizing_mode="stretch_width")

    def _take(self, name: str, value: float | None) -> None:
        if self._setting or not self._possible(name, value):
            return
        self.set({name: float(value or 0.0)})
        self._changed()

    def _possible(self, name: str, value: float | None) -> bool:
        """Whether a network can take a value: an empty field, or no logarithm, changes nothing."""
        if value is None:
            return False
        if name == VELOCITY:
            return abs(value) <= _LARGEST
        return self._space[name].transform != "log" or value > 0

    def set(self, values: Mapping[str, float]) -> None:
        """Move sliders and fields."""
        self._setting = True
        try:
            for name, value in values.items():
                self.values[name] = value
                slider = self._sliders[name]
                slider.value = min(max(value, slider.start), slider.end)
                self._fields[name].value = value
        finally:
            self._setting = False
        self._mark()

    def _mark(self) -> None:
        """Range of each label, or the limit that it is beyond."""
        found = beyond(self._space, self.values)
        for label in self._space.labels:
            words = found.get(label.name)
            text = f"<b>outside: {words}</b>" if words else _range(self._lowest(label), label.upper)
            self._limits[label.name].text = text
            self._limits[label.name].styles = {"color": OUTSIDE if words else "#555"}

    def _lowest(self, label: Label) -> float:
        return float(self._space.lowest(np.array(self.values["teff"]))) if label.name == "logg" else label.lower

    def names(self) -> list[tuple[Slider, str, str]]:
        """What `naming` is given for the handles of the sliders."""
        return [(slider, ".noUi-handle", self._fields[name].title) for name, slider in self._sliders.items()]


def naming(names: Iterable[tuple[UIElement, str, str]]) -> CustomJS:
    """A script that names elements for screen readers: each is of a model, and is found by a selector within it."""
    code = """
        for (const [id, selector, name] of names) {
            const element = Bokeh.index.find_one_by_id(id)?.shadow_el.querySelector(selector);
            element?.setAttribute("aria-label", name);
        }"""
    return CustomJS(args={"names": [[model.id, selector, name] for model, selector, name in names]}, code=code)


def _range(low: float, high: float) -> str:
    return f"{low:.4g} to {high:g}".replace("-", "−")


def _format(step: float) -> str:
    """How a field shows numbers: two digits more than those of its step, where it needs them."""
    digits = max(0, 1 - math.floor(math.log10(step)))
    return f"0.[{'0' * digits}]" if digits else "0"
