"""Fit and posterior of the observed spectrum: buttons, progress, and what was found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from bokeh.document import Document
from bokeh.models import CheckboxGroup, Column, Div, Progress, Row, Select

from ...emulator import ALPHA, Emulator
from ...errors import RvsemuError
from ...fitting import FitResult, Posterior, fit, sample
from ..exports import corner_png, data_url, labels_ecsv
from ..jobs import Job
from ..labels import title_of
from ..observed import Star
from .controls import OUTSIDE, VELOCITY, LabelControls, button, sheet
from .figures import histograms

__all__ = ["Inference"]

_STEPS = ("600", "1000", "3000")
_log = logging.getLogger(__name__)


class Inference:
    """Finds the labels of a star in a thread, one job at a time.

    Parameters
    ----------
    doc : Document
    emulator : Emulator
    controls : LabelControls
        Held labels are held at its values.
    found : callable
        Called with the labels of a result, plain numbers by name.
    send : callable
        Called with name and address of a file that the user wants.
    """

    def __init__(
        self,
        doc: Document,
        emulator: Emulator,
        controls: LabelControls,
        found: Callable[[Mapping[str, float]], object],
        send: Callable[[str, str], object],
    ) -> None:
        self._doc, self._emulator, self._controls = doc, emulator, controls
        self._found, self._send = found, send
        self._star: Star | None = None
        self._job: Job | None = None
        self._result: FitResult | Posterior | None = None
        self._names = [*emulator.labels.names, VELOCITY]
        look: dict[str, Any] = {"stylesheets": [sheet()], "margin": (3, 3, 3, 3), "sizing_mode": "stretch_width"}
        titles = [title_of(name)[0] for name in self._names]
        held = [self._names.index(ALPHA.name)] if ALPHA.name in self._names else []
        self._held = CheckboxGroup(labels=titles, active=held, inline=True, name="held", **look)
        self._fit = button("Fit", self._start_fit, button_type="primary", width=80, name="fit-button")
        self._sample = button("Posterior", self._start_sampling, width=100, name="posterior-button")
        self._steps = Select(title="Maximum number of steps", value="1000", options=list(_STEPS), name="steps", **look)
        self._cancel = button("Cancel", self._cancelled, width=80, visible=False, name="cancel")
        self._bar = Progress(visible=False, name="progress", margin=(3, 3, 3, 3), sizing_mode="stretch_width")
        self._told = Div(name="doing", **look)
        self._card = Div(name="card", **look)
        self._plots = Column(Div(), name="plots", sizing_mode="stretch_width")
        self._labels = button("Labels as ECSV", self._send_labels, name="labels-file")
        self._corner = button("Corner plot as PNG", self._send_corner, name="corner-file")
        files = Row(self._labels, self._corner)
        held_title = Div(text="Held at the value of their sliders:", **look)
        controls_of_fit = [held_title, self._held, Row(self._fit, self._sample, self._cancel), self._steps]
        self.roots = (
            Column(*controls_of_fit, self._bar, self._told, name="fit", sizing_mode="stretch_width"),
            Column(self._card, files, self._plots, name="results", sizing_mode="stretch_width"),
        )
        self._show(None)
        self._wait()

    def observe(self, star: Star | None) -> None:
        """Another star, or none: what is known of the last one is forgotten, and what is being done ends."""
        if self._job is not None:
            self._job.cancel()
        self._star, self._job = star, None
        self._show(None)
        self._wait()

    # ------------------------------------------------------------------ jobs
    def _start_fit(self) -> None:
        self._start("fitting …", lambda star, settings, tell: fit(star.spectrum, **settings))

    def _start_sampling(self) -> None:
        steps = int(self._steps.value)
        self._start(
            "looking for the best fit …",
            lambda star, settings, tell: sample(star.spectrum, steps=steps, progress=tell, **settings),
        )
        self._cancel.visible = self._job is not None

    def _start(self, words: str, work: Callable[[Star, dict, Callable], FitResult | Posterior]) -> None:
        if self._job is not None or self._star is None:
            return
        star, settings = self._star, {"emulator": self._emulator, "fixed": self._fixed()}
        job = Job(lambda tell: work(star, settings, tell), self._later(self._progress), self._later(self._ended))
        self._job, self._fit.disabled, self._sample.disabled = job, True, True
        self._told.text = f'<div role="status">{escape(words)}</div>'
        job.start()

    def _fixed(self) -> dict[str, float | str]:
        """What is held. [alpha/M] = 0 is what fits assume anyway, and say so where it matters."""
        names = [self._names[k] for k in self._held.active]
        fixed: dict[str, float | str] = {name: self._controls.values[name] for name in names}
        if ALPHA.name in self._emulator.labels.names:
            if fixed.get(ALPHA.name) == 0:
                del fixed[ALPHA.name]
            fixed |= {} if ALPHA.name in names else {ALPHA.name: "free"}
        return fixed

    def _later(self, function: Callable[..., object]) -> Callable[..., None]:
        """A function for the job's thread, which calls another one in that of the page, if the job is still wanted."""

        def call(*arguments):
            job = self._job
            if job is not None and not job.cancelled:
                self._doc.add_next_tick_callback(lambda: function(*arguments) if self._job is job else None)

        return call

    def _progress(self, done: int, steps: int) -> None:
        self._bar.update(value=done, max=steps, visible=True)
        self._told.text = f'<div role="status">step {done} of at most {steps}</div>'

    def _cancelled(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._job = None
        self._wait("cancelled")

    def _wait(self, words: str = "") -> None:
        """Nothing is being done."""
        self._fit.disabled = self._sample.disabled = self._star is None
        self._cancel.visible = self._bar.visible = False
        words = words or ("" if self._star is not None else "Choose an observed spectrum first.")
        self._told.text = f'<div role="status">{escape(words)}</div>' if words else ""

    def _ended(self, outcome: FitResult | Posterior | Exception) -> None:
        self._job = None
        if isinstance(outcome, Exception):
            self._wait()
            self._failed(outcome)
            return
        self._wait("done: see the results")
        self._show(outcome)
        self._found({name: float(value.value) for name, value in outcome.labels.items()})

    def _failed(self, error: Exception) -> None:
        if isinstance(error, RvsemuError):
            words = str(error)
        else:
            words = f"No result: {error or type(error).__name__}."
            _log.error("explorer", exc_info=error)
        self._told.text = f'<div role="alert" style="color: {OUTSIDE}; font-weight: 600">{escape(words)}</div>'

    # ------------------------------------------------------------------ results
    def _show(self, result: FitResult | Posterior | None) -> None:
        self._result = result
        self._card.text = "" if result is None else result._repr_html_()
        self._labels.visible = result is not None
        self._corner.visible = isinstance(result, Posterior)
        words = Div(text="Distribution of each label; lines: median and central 68 %", stylesheets=[sheet()])
        self._plots.children = [words, histograms(result)] if isinstance(result, Posterior) else [Div()]

    def _send_labels(self) -> None:
        if self._result is not None:
            self._send("rvsemu-labels.ecsv", data_url(labels_ecsv(self._result), "text/plain"))

    def _send_corner(self) -> None:
        if isinstance(self._result, Posterior):
            self._send("rvsemu-corner.png", data_url(corner_png(self._result), "image/png"))
