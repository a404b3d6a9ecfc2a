"""A page about a catalogue: what its stars are, how well they are known, what the flags say, and the worst fits."""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._storage import check_output, replacing
from ..errors import RvsemuError, SpectrumError
from ..fitting import FitResult, fit_many, fit_transits
from ..fitting.transits import MOST_TRANSITS
from ..observing.flags import FLAGS, from_bits
from ..plotting.page import html_image, html_page, html_table
from ..spectra.bulk import entries
from ..spectra.stream import Rejected, files_in, usable
from .dataset import UNFINISHED, has_ended, parts_of, read_catalog
from .plan import PLAN
from .work import EMULATOR, by_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_report"]

__doctest_requires__ = {"write_report": ["pyarrow"]}

_MOST = 100_000  # stars in a plot
_WORST = 4
_NARROW, _BROAD = 0.7, 2.0  # decades of an axis: fewer may have no round number, more have too many
_LABELS = {"teff": "K", "logg": "dex", "mh": "dex", "vsini": "km/s", "radial_velocity": "km/s"}


class _Bad(NamedTuple):
    """A row with a high reduced chi2; `fitted` is the number of its transits that were fitted together."""

    chi2: float
    file: str
    source: int | None
    transit: int | None
    fitted: int
    flags: str

    def __str__(self) -> str:
        names = [f"{kind} {number}" for kind, number in (("source", self.source), ("transit", self.transit)) if number]
        return f"{', '.join(names) or 'source unknown'}, reduced chi2 {self.chi2:.2f}, flags: {self.flags}; {self.file}"


@dataclass
class _Seen:
    """What is gathered while the partitions go by."""

    spectra: int = 0
    unflagged: int = 0
    flags: Counter = field(default_factory=Counter)
    kinds: Counter = field(default_factory=Counter)
    some: list[Any] = field(default_factory=list)
    worst: list[_Bad] = field(default_factory=list)


def write_report(catalog: str | os.PathLike, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write a page with plots about a catalogue: one HTML file, complete in itself.

    It has numbers of spectra and of rejects, the Kiel diagram, errors against signal to noise, flags, and the fits with
    the highest reduced chi2, which are made once more where their files are still there. Plots have at most 100,000
    stars, every n-th of more.

    Parameters
    ----------
    catalog : path
        Folder that `fit_catalog` has made.
    path : path
        HTML file.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    SpectrumError
        There is no catalogue, or the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.catalog import fit_catalog, write_report
    >>> with TemporaryDirectory() as folder:
    ...     summary = fit_catalog(rvsemu.example_path("kepler-93"), f"{folder}/labels", jobs=1, progress=False)
    ...     write_report(f"{folder}/labels", f"{folder}/labels.html")
    ...     "Catalogue labels" in Path(f"{folder}/labels.html").read_text(encoding="utf-8")
    True
    """
    folder, path = Path(catalog), check_output(path, SpectrumError, overwrite)
    parts = parts_of(folder) if folder.is_dir() else []
    if not parts:
        raise SpectrumError(f"{folder}: no catalogue is there; give the folder that 'rvsemu catalog fit -o' has made.")
    total = sum(part.spectra for part in parts)
    seen = _Seen()
    step = max(1, -(-total // _MOST))
    for part in parts:
        _look_at(part.path, seen, step)
    rejected = sum(part.rejected for part in parts)
    run = json.loads(read_catalog(parts[0].path, ["flag_bits"]).meta["rvsemu"])
    state = "" if has_ended(folder, parts) else f"<p><strong>Not complete: {escape(UNFINISHED)}.</strong></p>"
    sections = [
        state + _summary(run, seen, rejected),
        *(_plots(seen, _rows(run)) if total else []),
        *_worst_fits(folder, run, seen),
    ]
    with replacing(path) as temporary:
        temporary.write_text(html_page(f"Catalogue {folder.resolve().name}", sections), encoding="utf-8")


def _rows(run: dict) -> str:
    """What the rows of a catalogue are."""
    return "stars" if run.get("transits") == "joint" else "spectra"


def _look_at(path: Path, seen: _Seen, step: int) -> None:
    table = read_catalog(path)
    bits = np.asarray(table["flag_bits"])
    for value, count in zip(*np.unique(bits, return_counts=True), strict=True):
        seen.unflagged += int(count) * (value == 0)
        for name in from_bits(int(value)):
            seen.flags[name] += int(count)
    seen.kinds.update(zip(*(map(str, table[name]) for name in ("release", "frame")), strict=True))
    first = -seen.spectra % step
    plain = {name: np.asarray(getattr(table[name], "value", table[name])) for name in _needed(table.colnames)}
    seen.some.append({name: values[first::step] for name, values in plain.items()})
    rows = np.argsort(-plain["reduced_chi2"])[:_WORST].tolist()
    seen.worst = heapq.nlargest(_WORST, [*seen.worst, *(_bad(table[row]) for row in rows)], key=lambda one: one.chi2)
    seen.spectra += len(table)


def _bad(row: Any) -> _Bad:
    source, transit, fitted = (
        int(row[name]) if name in row.colnames and not np.ma.is_masked(row[name]) else None
        for name in ("source_id", "transit_id", "n_transits")
    )
    return _Bad(float(row["reduced_chi2"]), str(row["file"]), source, transit, fitted or 1, str(row["flags"]))


def _needed(names: list[str]) -> list[str]:
    known = [name for label in _LABELS for name in (label, f"{label}_error") if name in names]
    return [*known, "signal_to_noise", "reduced_chi2", "flag_bits"]


# ---------------------------------------------------------------- sections
def _summary(run: dict, seen: _Seen, rejected: int) -> str:
    emulator = run["emulator"]
    kinds = [f"{count:,} {release}, {frame}" for (release, frame), count in sorted(seen.kinds.items())]
    rows = {
        f"{_rows(run)} fitted": f"{seen.spectra:,}",
        "rejected, or transits passed over": f"{rejected:,}",
        "of release, in frame": "; ".join(kinds) or "none",
        "emulator": f"{emulator['recipe']} {emulator['version']}, fingerprint {emulator['fingerprint']}",
        "settings": json.dumps(run["settings"]) if run["settings"] else "the defaults",
        "rvsemu": run["rvsemu"],
    }
    return html_table([(escape(name), escape(value)) for name, value in rows.items()])


def _plots(seen: _Seen, what: str) -> Iterator[str]:
    some = {name: np.concatenate([one[name] for one in seen.some]) for name in seen.some[0]}
    if {"teff", "logg"} <= set(some):
        yield "<h2>Stars</h2>" + html_image(_kiel(some), "Effective temperature, surface gravity and metallicity")
    yield "<h2>Errors</h2>" + html_image(_errors(some), "Errors of labels against signal to noise")
    found = [(name, seen.flags[name]) for name in FLAGS if seen.flags[name]]
    rows = [(f"<code>{n}</code>", f"{count:,}", f"{count / seen.spectra:.1%}", escape(FLAGS[n])) for n, count in found]
    none = f"<p>{seen.unflagged:,} {what} ({seen.unflagged / seen.spectra:.1%}) have no flag.</p>"
    yield "<h2>Flags</h2>" + none + html_table(rows, numbers=[1])


def _kiel(some: dict[str, np.ndarray]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    ax = figure.add_subplot()
    size = float(np.clip(3000 / len(some["teff"]), 0.5, 12))
    good = some["flag_bits"] == 0
    if not good.all():
        ax.scatter(some["teff"][~good], some["logg"][~good], s=size, c="0.75", rasterized=True, label="with flags")
        ax.legend(loc="upper left")
    coloured: dict[str, Any] = {"c": some["mh"][good], "cmap": "viridis"} if "mh" in some else {}
    dots = ax.scatter(some["teff"][good], some["logg"][good], s=size, rasterized=True, **coloured)
    if coloured and good.any():
        figure.colorbar(dots, label="[M/H] (dex)")
    ax.set(xlabel="effective temperature (K)", ylabel="log g (dex)")
    ax.invert_xaxis()
    ax.invert_yaxis()
    return figure


def _errors(some: dict[str, np.ndarray]) -> Figure:
    from matplotlib.figure import Figure

    names = [name for name in _LABELS if np.any(some.get(f"{name}_error", np.zeros(1)) > 0)]
    figure = Figure(figsize=(10, 2.9 * -(-(len(names) + 1) // 3)), layout="constrained")
    panels = [(f"{name}_error", f"error of {name} ({_LABELS[name]})") for name in names]
    panels.append(("reduced_chi2", "reduced chi2"))
    for place, (column, text) in enumerate(panels, start=1):
        ax = figure.add_subplot(-(-len(panels) // 3), 3, place)
        ax.scatter(some["signal_to_noise"], some[column], s=5, color="C0", alpha=0.5, linewidths=0, rasterized=True)
        ax.set(xlabel="signal to noise", ylabel=text)
        if np.any(some["signal_to_noise"] > 0):  # as it is not for spectra without errors
            ax.set_xscale("log")
            _set_ticks(ax.xaxis)
        if np.any(some[column] > 0):
            ax.set_yscale("log")
            _set_ticks(ax.yaxis)
    return figure


def _set_ticks(axis: Any) -> None:
    """Ticks of a logarithmic axis, with labels that have room beside each other whatever its range."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    if decades < _NARROW:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < _BROAD else (1.0,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _worst_fits(folder: Path, run: dict, seen: _Seen) -> Iterator[str]:
    if not seen.worst:
        return
    yield "<h2>Worst fits</h2><p>The highest reduced chi2; spectra and models anew where the files are there.</p>"
    settings = {name: value for name, value in run["settings"].items() if name != "errors"}
    settings["emulator"] = folder / EMULATOR
    for bad in seen.worst:
        yield f"<p>{escape(str(bad))}</p>"
        joint = run.get("transits") == "joint" and bad.source is not None
        spectra = _found(folder, bad, joint)
        if spectra:
            yield _fit_again(spectra, bad, joint, settings)


def _found(folder: Path, bad: _Bad, joint: bool) -> list[Any]:
    """The spectra of a row: all of its transit or source in its file, or, of transits together, from there on."""
    found: list[Any] = []
    for file in _files(folder, bad.file) if joint else [bad.file]:
        some = list(islice(_of(file, bad, joint), MOST_TRANSITS - len(found)))
        found += some
        if not some or len(found) >= bad.fitted:
            break
    return found


def _files(folder: Path, file: str) -> list[str]:
    """A file, and those that come after it in the input of a catalogue."""
    names = [name for name, *_ in json.loads((folder / PLAN).read_text(encoding="utf-8"))["inputs"]]
    packed = file.split(":")[0]
    first = next((names.index(name) for name in (file, packed) if name in names), None)
    return [file] if first is None else names[first:]


def _of(file: str, bad: _Bad, joint: bool) -> Iterator[Any]:
    try:
        paths = files_in(file.split(":")[0] if not Path(file).exists() else file)
    except RvsemuError:
        return
    for one in (usable(entry, path) for path in paths for entry in entries(path)):
        if isinstance(one, Rejected) or one.meta.get("source_id") != bad.source:
            continue
        if joint or one.meta.get("transit_id") == bad.transit:
            yield one


def _fit_again(spectra: Sequence[Any], bad: _Bad, joint: bool, settings: dict[str, Any]) -> str:
    """The spectrum, or of all transits that are fitted together the one that fits worst."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import SubFigure

    try:
        results = _results(spectra, joint, settings)
    except (RvsemuError, TypeError):
        results = []
    if not results:
        return "<p>It cannot be fitted with settings that the catalogue has only a digest of.</p>"
    said = ""
    if joint and len(results) < bad.fitted:
        said = f"<p>{len(results)} of {bad.fitted} transits were found; below is the one of them that fits worst.</p>"
    wanted = max(one.reduced_chi2 for one in results) if joint else bad.chi2  # files may not tell spectra apart
    figure = min(results, key=lambda one: abs(one.reduced_chi2 - wanted)).plot().figure
    assert not isinstance(figure, SubFigure)  # as it is one that plot has made
    figure.set_size_inches(10, 4)
    image = html_image(figure, "Spectrum, model and residual")
    plt.close(figure)
    return said + image


def _results(spectra: Sequence[Any], joint: bool, settings: dict[str, Any]) -> list[FitResult]:
    if joint:
        return [one for some in by_frame(spectra) for one in fit_transits(iter(some), **settings).transits]
    found = fit_many(iter(spectra), on_error="skip", **settings)
    return [one for one in found if isinstance(one, FitResult)]
