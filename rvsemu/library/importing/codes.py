"""Readers of what spectrum synthesis codes write: SYNSPEC, Turbospectrum, TSFitPy, MOOG, iSpec, FERRE.

Like all readers they take the `Files` of an import and the table of labels (or None), and yield a `Source` for each
spectrum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import LibraryFileError
from .labels import LabelTable
from .naming import MARCS, TLUSTY, Grammar
from .reading import Files, columns, lines_of, plain_name
from .spectrum import RawSpectrum, Source, Unusable, failing

__all__ = ["ferre", "ispec", "moog", "synspec", "tlusty", "tsfitpy", "turbospectrum"]


def lazily(files: Files, path: Path, grammar: Grammar, read: Callable[[], RawSpectrum]) -> Source:
    """A source whose labels are in its name; a name that is refused is a source that cannot be read."""
    try:
        labels = grammar.labels(path.name)
    except Unusable as reason:
        return Source(files.title(path), failing(str(reason)), path=path)
    return Source(files.title(path), read, labels, path)


def synspec(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """``fort.7`` with ``fort.17`` in folders of their own, or ``NAME.7`` with ``NAME.17``."""
    yield from _pairs(files, MARCS)


def tlusty(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """``BG25000g275v10.vis.7`` with ``.vis.17``."""
    yield from _pairs(files, TLUSTY)


def _pairs(files: Files, grammar: Grammar) -> Iterator[Source]:
    for path in files.matching(r"\.7(\.gz)?$"):
        yield lazily(files, path, grammar, partial(_pair, files, path))


def _pair(files: Files, path: Path) -> RawSpectrum:
    wavelength, flux = columns(lines_of(path), 2)[:2]
    other = files.companion(re.sub(r"\.7$", ".17", plain_name(path)), path)
    first, continuum = columns(lines_of(other), 2)[:2]
    return RawSpectrum(wavelength, flux, continuum=(first, continuum))


def turbospectrum(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """``.spec`` files: wavelength, normalised flux, flux, perhaps intensities."""
    for path in files.matching(r"\.spec(\.gz)?$", any_name=True):
        yield lazily(files, path, MARCS, partial(_two_columns, path))


def _two_columns(path: Path) -> RawSpectrum:
    return RawSpectrum(*columns(lines_of(path), 2)[:2])


def tsfitpy(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """``0.spec``, ``1.spec`` ... of which a table has the labels; models that failed are missing."""
    if table is None:
        raise LibraryFileError("tsfitpy: the labels are in a table of their own: give it with --labels.")
    yield from turbospectrum(files, table)


def ispec(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """Text with the header ``waveobs flux err``."""
    for path in files.matching(r"\.(txt|s|spec|dat)(\.gz)?$", any_name=True):
        yield lazily(files, path, MARCS, partial(_ispec, path))


def _ispec(path: Path) -> RawSpectrum:
    lines = lines_of(path)
    if lines[0].split()[:2] != ["waveobs", "flux"]:
        raise Unusable("its first line is not 'waveobs flux err'")
    return RawSpectrum(*columns(lines, 2)[:2])


def moog(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """``smoothed_out`` and ``summary_out`` files, one synthesis each."""
    for path in files.matching(r"(smooth|summary|\.out|synth)", any_name=True):
        yield lazily(files, path, MARCS, partial(_moog, path))


def _moog(path: Path) -> RawSpectrum:
    lines = lines_of(path)
    smoothed = [i for i, line in enumerate(lines) if "number of points per synthesis" in line]
    raw = [i for i, line in enumerate(lines) if "abundances NOT listed below differ" in line]
    starts = smoothed or raw
    if len(starts) != 1:
        raise Unusable(f"it holds {len(starts)} syntheses of MOOG: there must be one in a file")
    if smoothed:
        return RawSpectrum(*columns(lines[starts[0] + 2 :], 2)[:2])
    return _summary(lines[starts[0] + 1 :])


def _summary(lines: list[str]) -> RawSpectrum:
    """Depths, seven characters each, after ``MODEL:`` and a line with start, stop, step and delta."""
    after = next((i + 1 for i, line in enumerate(lines) if line.strip().startswith("MODEL:")), len(lines))
    try:
        start, stop, step = map(float, lines[after].split()[:3])
        depth = [float(line[i : i + 7]) for line in lines[after + 1 :] for i in range(0, len(line.rstrip()), 7)]
    except (IndexError, ValueError):
        raise Unusable("it has no 'MODEL:' with start, stop, step and depths of seven characters") from None
    expected = round((stop - start) / step) + 1
    if len(depth) != expected:
        raise Unusable(f"it has {len(depth)} depths where {start:g} to {stop:g} by {step:g} makes {expected}")
    return RawSpectrum(start + step * np.arange(len(depth)), 1.0 - np.array(depth))


# ---------------------------------------------------------------------- FERRE
_FERRE_LABELS: dict[str, tuple[str, Callable[[float], float]]] = {
    "teff": ("teff", float),
    "logg": ("logg", float),
    "metals": ("mh", float),
    "[m/h]": ("mh", float),
    "log10vdop": ("vmic", lambda x: 10.0**x),
    "vmic": ("vmic", float),
    "o mg si s ca ti": ("alpha", float),
    "alpha": ("alpha", float),
    "c": ("carbon", float),
    "n": ("nitrogen", float),
    "log10vsini": ("rotation", lambda x: 10.0**x),
}

_LOGW: dict[str, Callable[[np.ndarray], np.ndarray]] = {"0": lambda x: x, "1": lambda x: 10.0**x, "2": np.exp}


def ferre(files: Files, table: LabelTable | None) -> Iterator[Source]:
    """Grids as text: a header, then one spectrum per line, the last label varying fastest."""
    for path in files.matching(r"\.dat$", any_name=True):
        try:
            header, offsets = _ferre_header(path)
            wavelength, names, values = _ferre_axes(header)
        except Unusable as reason:
            yield Source(files.title(path), failing(str(reason)))
            continue
        for row in range(len(values)):
            labels = {_FERRE_LABELS[n][0]: _FERRE_LABELS[n][1](v) for n, v in zip(names, values[row], strict=True)}
            read = _ferre_row(path, offsets, row, wavelength, header)
            yield Source(f"{files.title(path)} spectrum {row + 1}", read, labels)


def _ferre_header(path: Path) -> tuple[dict[str, str], list[int]]:
    """Keywords in lower case, and where in the file each spectrum begins."""
    header: dict[str, str] = {}
    offsets: list[int] = []
    with open(path, "rb") as file:
        if not file.readline().strip().startswith(b"&"):
            raise Unusable("it does not begin with the '&' of a FERRE grid's header")
        for line in iter(file.readline, b""):
            if line.strip() == b"/":
                break
            key, _, value = line.decode("utf-8", "replace").partition("=")
            header[key.strip().lower()] = value.strip().strip("'\" ").strip()
        while True:
            offset = file.tell()
            line = file.readline()
            if not line:
                return header, offsets
            if line.strip():
                offsets.append(offset)


def _ferre_axes(header: dict[str, str]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Wavelengths, names of the labels, and their values, shape (n_spectra, n_labels)."""
    if header.get("multi", "0") not in ("0", "1"):
        raise Unusable("it holds several wavelength ranges (MULTI): give one range a file")
    try:
        shape = tuple(int(x) for x in header["n_p"].split())
        low, step = (np.array([float(x) for x in header[k].split()]) for k in ("llimits", "steps"))
        names = [" ".join(header[f"label({i + 1})"].lower().split()) for i in range(len(shape))]
        first, increment = (float(x) for x in header["wave"].split()[:2])
        wavelength = first + increment * np.arange(int(header["npix"]))
        wavelength = _LOGW[header.get("logw", "0")](wavelength)
        values = low + step * np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=-1)
    except (KeyError, ValueError) as e:
        raise Unusable(f"its header lacks {e} or has a bad value") from None
    unknown = [n for n in names if n not in _FERRE_LABELS]
    if unknown:
        raise Unusable(f"its label '{unknown[0]}' is none that rvsemu knows: {', '.join(_FERRE_LABELS)}")
    return wavelength, names, values


def _ferre_row(
    path: Path, offsets: list[int], row: int, wavelength: np.ndarray, header: dict[str, str]
) -> Callable[[], RawSpectrum]:
    def load() -> RawSpectrum:
        if row >= len(offsets):
            raise Unusable(f"the file ends after {len(offsets)} spectra")
        with open(path, "rb") as file:
            file.seek(offsets[row])
            flux = columns([file.readline().decode("utf-8", "replace")])[:, 0]
        medium = {"0": "air", "1": "vacuum"}.get(header.get("vacuum", ""))
        resolution = float(header["resolution"]) if "resolution" in header else None
        return RawSpectrum(wavelength, flux, medium=medium, resolution=resolution)

    return load
