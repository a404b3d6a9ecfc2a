"""The report: reStructuredText from the results, in which no number is typed; what was to be reached, and what was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from . import paper

__all__ = [
    "METRICS",
    "Learned",
    "along",
    "bars",
    "body",
    "claims",
    "number",
    "page",
    "percent",
    "rst_table",
    "significant",
    "summary",
    "with_unit",
]

METRICS = {
    "mse": "MSE",
    "rms": "RMS error",
    "mae": "MAE",
    "r2": "R\\ :sup:`2`",
    "explained_variance": "explained variance",
    "mean_relative_error": "mean relative error",
    "p99_max_error": "99 % of spectra: largest error below",
}
"""What `rvsemu.training.accuracy.metrics` measures."""

_NOTABLE = 0.05  # of an error: what it falls by where the number of spectra, or of draws, limits it


def page(results: dict[str, Any]) -> str:
    """The report as a page of its own, its figures beside it."""
    title = "The study of Gebran (2024), repeated"
    return f"{title}\n{'=' * len(title)}\n\n{body(results)}"


def body(results: dict[str, Any], figures: str = "") -> str:
    """The report without a title; `figures` goes before the names of the figures' files.

    Raises
    ------
    TrainingError
        Jinja is missing.
    """
    try:
        from jinja2 import Environment
    except ImportError:
        raise TrainingError("Jinja is needed to write the report: pip install 'rvsemu[train]'.") from None
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {f.__name__: f for f in (number, significant, percent, with_unit)} | {
        "code": lambda text: f"``{text}``",
        "count": lambda n: f"{n:,}",
        "limit": _limit,
        "ms": lambda x: f"{x:.2g} ms",
        "part": lambda part: "test (SYNSPEC)" if part == "test" else part,
        "share": lambda x: f"{100 * x:g} %",
    }
    template = environment.from_string(Path(__file__).with_name("report.rst.j2").read_text(encoding="utf-8"))

    def made(kind):
        return {name: model for name, model in results["models"].items() if model["makes"] == kind}

    text = template.render(
        results=results,
        folder=figures,
        made=made,
        bars=list(bars(results)),
        claims=[one for *_, one in claims(results)],
        limited={name: model["changes"] for name, model in results["models"].items() if model["changes"]},
        learned=Learned,
        ours=_OURS,
        paper=paper,
        METRICS=METRICS,
        NOTABLE=_NOTABLE,
    )
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


def _epochs(stage: str) -> Callable[[dict[str, Any]], int]:
    return lambda model: model["stages"][stage]["epochs"]


def _fluxes(model: dict[str, Any]) -> str:
    settings = model["settings"]
    if settings["components"]:
        return f"{settings['components']} principal components"
    return "less their mean" if settings["center"] else "as they are"


def _scaled(model: dict[str, Any]) -> str:
    settings = model["settings"]
    kinds = {"as logarithms": settings["log_labels"], "as functions of their squares": settings.get("even_labels", ())}
    return "".join(["from -1 to 1", *(f", {' and '.join(names)} {how}" for how, names in kinds.items() if names)])


_OURS = {
    "draws": lambda model: f"{model['draws']:,}",
    "autoencoder": _epochs("autoencoder"),
    "label_network": _epochs("label_network"),
    "inversion": lambda model: "-".join(str(n) for n in sorted({x["epochs"] for x in model["stages"].values()})),
    "decoder": lambda model: model["settings"]["decoder"]["output_activation"],
    "fluxes": _fluxes,
    "labels": _scaled,
    "finetune": lambda model: "yes" if "finetune" in model["stages"] else "no",
}
"""What the report says of each model where it differs from the paper."""


# ---------------------------------------------------------------------- numbers and tables
def rst_table(head: Iterable[str], rows: Iterable[Iterable[str]], title: str = "", widths: str = "auto") -> str:
    """A list-table."""
    lines = [f".. list-table:: {title}".rstrip(), "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [head, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def number(x: float) -> str:
    """A measure of errors: two digits, or four decimals of what is near 1.

    Examples
    --------
    >>> from rvsemu.reproduction.report import number
    >>> number(0.00123), number(0.9987)
    ('1.2e-03', '0.9987')
    """
    return "0" if x == 0 else f"{x:.4f}" if 0.5 <= abs(x) <= 1 else f"{x:.2g}" if abs(x) > 1 else f"{x:.1e}"


def significant(x: float) -> str:
    """Three significant digits, without an exponent; nothing for what is not a number.

    Examples
    --------
    >>> from rvsemu.reproduction.report import significant
    >>> significant(0.03127), significant(6.5), significant(1234.5)
    ('0.0313', '6.5', '1,234')
    """
    if not isinstance(x, int | float):
        return ""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def percent(share: float) -> str:
    """A share in per cent with its sign: ``+3.1 %``."""
    return f"{100 * share:+.1f} %"


def with_unit(label: dict[str, str]) -> str:
    """Name and unit of a label: ``teff (K)``."""
    return f"``{label['name']}``" + (f" ({label['unit']})" if label["unit"] else "")


# ---------------------------------------------------------------------- learning curves
def along(points: list[dict], key: str, other: str) -> list[dict]:
    """The points along `key`: those with the same `other` as most have, in order."""
    counts = [point[other] for point in points]
    return sorted((p for p in points if p[other] == max(counts, key=counts.count)), key=lambda point: point[key])


@dataclass(frozen=True)
class Learned:
    """What learning curves say: how errors change with the last doubling of the spectra, and of the draws."""

    points: list[dict]

    @property
    def by_spectra(self) -> list[dict]:
        return along(self.points, "spectra", "draws")

    @property
    def last(self) -> dict:
        return self.by_spectra[-1]

    @property
    def _pairs(self) -> tuple[list[dict], list[dict]]:
        return self.by_spectra[-2:], along(self.points, "draws", "spectra")[-2:]

    @property
    def steps(self) -> list[str]:
        pairs = zip(self._pairs, ("spectra", "draws"), strict=True)
        return [f"{less[key]:,} to {more[key]:,} {key}" for (less, more), key in pairs]

    def falls(self, *keys: str) -> list[float]:
        """Change of what is found under the keys, as a share: with the spectra, and with the draws."""

        def of(point: Any) -> float:
            for key in keys:
                point = point[key]
            return point

        return [of(more) / of(less) - 1.0 for less, more in self._pairs]


def _limit(falls: Iterable[float], otherwise: str) -> str:
    limits = [what for what, fall in zip(("spectra", "draws"), falls, strict=True) if fall < -_NOTABLE]
    return " and ".join(limits) or otherwise


# ---------------------------------------------------------------------- verdicts
def bars(results: dict[str, Any]) -> Iterator[dict]:
    """Every bar: ``what``, ``value``, ``bar`` (texts) and whether it is ``met``."""
    units = {label["name"]: label["unit"] for label in results["labels"]}
    for inversion, errors in results["errors"].items():
        for name, bar in paper.BARS.items():
            if name in errors["test"]:
                value = errors["test"][name]
                what = f"``{inversion}``: error of ``{name}`` on test spectra"
                reached, wanted = (f"{significant(x)} {units[name]}".strip() for x in (value, bar))
                yield _bar(what, reached, wanted, value <= bar)
    for inversion in results["errors"]:
        value = results["models"][inversion]["metrics"]["components_training"]["mean_relative_error"]
        what = f"``{inversion}``: mean relative error of training spectra rebuilt from components"
        limit = paper.COMPONENTS_BAR
        yield _bar(what, f"{100 * value:.2f} %", f"{100 * limit:g} %", value <= limit)
    for inversion, emulator, name, found in claims(results):
        what = f"``{inversion}``: error of ``{name}``, generated by ``{emulator}`` against SYNSPEC"
        yield _bar(what, percent(found["difference"]), f"within {100 * paper.CLAIM_BAR:g} %", found["within"])


def _bar(what: str, value: str, bar: str, met: bool) -> dict[str, Any]:
    return {"what": what, "value": value, "bar": bar, "met": met}


def claims(results: dict[str, Any]) -> Iterator[tuple[str, str, str, dict]]:
    """Inversion, emulator, label and what `compared` found, for each."""
    for inversion, by in results["differences"].items():
        for emulator, found in by.items():
            for name, one in found.items():
                yield inversion, emulator, name, one


def summary(results: dict[str, Any]) -> str:
    """Table 5 and the verdicts as plain text, for the terminal."""
    lines = []
    if results["quick"]:
        lines += ["A quick run: it shows that everything works; its numbers are not to be used.", ""]
    for inversion, errors in results["errors"].items():
        lines.append(f"RMS errors of {inversion} (the paper's Table 5)")
        lines.append("  " + " " * 18 + "".join(f"{label['name']:>11}" for label in results["labels"]))
        for part, row in errors.items():
            values = "".join(f"{significant(row[label['name']]):>11}" for label in results["labels"])
            lines.append(f"  {part.removeprefix('generated '):<18}{values}")
    met = [bar["met"] for bar in bars(results)]
    lines.append(f"{sum(met)} of {len(met)} bars met")
    for inversion, by in results["differences"].items():
        for emulator, found in by.items():
            parts = [f"{name} {percent(one['difference'])}" for name, one in found.items()]
            lines.append(f"  {inversion}, generated by {emulator} against SYNSPEC: {', '.join(parts)}")
    return "\n".join(lines)
