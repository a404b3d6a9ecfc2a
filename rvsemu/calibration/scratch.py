"""Emulators of observed spectra alone: the mean spectrum of stars, and functions of their labels to add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..emulator import DenseNetwork, Emulator, ErrorModel, Layer
from ..emulator.labels import LabelSpace
from ..errors import CalibrationError
from .correction import Linear
from .rounds import Work
from .stars import Star

__all__ = ["LEAST_FROM_SCRATCH", "from_nothing"]

LEAST_FROM_SCRATCH = 60
"""Fewer stars than this are refused: the functions of three labels are ten for each pixel, and half a dozen stars for
each of them leave some to be held out."""

_SCALE = 2.0  # of labels in [-1, 1]: x tanh(x / 2) is a parabola near 0, and straight far out


def from_nothing(work: Work, stars: Sequence[Star]) -> tuple[Work, Sequence[Star], list[tuple[str, str]]]:
    """The work that begins with the mean spectrum of the stars, those of them that can be used, and name and reason of
    the others. Stars are one for each spectrum.

    Parameters
    ----------
    work : Work
        Of an emulator of which the labels' names and units, and the wavelengths, are taken.
    stars : sequence of Star

    Raises
    ------
    CalibrationError
        There are too few stars, they have no Teff, or all have the same value of a label.
    """
    resting = [star for star in stars if not _moves(star)]
    rejects = [(star.name, "not in the rest frame of the star") for star in stars if _moves(star)]
    _check_number(len({star.name for star in resting}), rejects)
    flat = replace(work, emulator=_blank(work.emulator, resting), settings={**work.settings, "radial_velocity": 0.0})
    first, unusable = flat.begin(resting)
    rejects += unusable
    _check_number(0 if first is None else len(set(first.names)), rejects)
    assert first is not None  # as there are stars
    mean, some = _mean(first.linear)
    return replace(work, emulator=_shifted(flat.emulator, mean, some), from_scratch=True), first.stars, rejects


def _moves(star: Star) -> bool:
    return star.spectrum.meta.get("frame") != "rest"


def _check_number(found: int, rejects: Sequence[tuple[str, str]]) -> None:
    if found < LEAST_FROM_SCRATCH:
        reasons = "".join(f"; {name}: {reason}" for name, reason in rejects[:3])
        raise CalibrationError(
            f"stars with labels that can be used: {found}; from scratch at least {LEAST_FROM_SCRATCH} are needed. Give "
            f"more, or correct an emulator of synthetic spectra with these (without --from-scratch){reasons}."
        )


def _blank(template: Emulator, stars: Sequence[Star]) -> Emulator:
    """An emulator without lines, of the labels that are known of the stars, in the range that they have."""
    names = [name for name in template.labels.names if name in stars[0].labels]
    if "teff" not in names:
        raise CalibrationError(f"the table has the labels {', '.join(names)}: from scratch, Teff must be among them.")
    values = np.array([[star.labels[name][0] for name in names] for star in stars])
    low, high = values.min(axis=0).tolist(), values.max(axis=0).tolist()
    if same := [name for name, a, b in zip(names, low, high, strict=True) if not a < b]:
        raise CalibrationError(f"{same[0]} is the same for all stars: leave it out of the table, or add other stars.")
    space = LabelSpace(
        tuple(replace(template.labels[n], lower=a, upper=b) for n, a, b in zip(names, low, high, strict=True))
    )
    into, points = _directions(len(names)), len(template.wavelength)
    hidden = Layer((_SCALE * into).astype("f4"), np.zeros(into.shape[1], "f4"), "silu")
    last = Layer(np.zeros((into.shape[1], points), "f4"), np.ones(points, "f4"))
    same_labels = Layer(np.eye(len(names), dtype="f4"), np.zeros(len(names), "f4"))
    inner = np.percentile(values[:, names.index("teff")], [25.0, 75.0])  # the error is that of all stars: held beyond
    return Emulator(
        labels=space,
        label_network=DenseNetwork((same_labels,)),
        decoder=DenseNetwork((hidden, last)),
        wavelength=template.wavelength,
        medium=template.medium,
        error=ErrorModel(inner, np.zeros((2, points))),
        info={"recipe": "observed", "version": "from scratch"},
    )


def _directions(count: int) -> np.ndarray:
    """Directions (count, k) in the space of labels, each followed by its opposite: axes, and between pairs of them."""
    axes = np.eye(count)
    between = [(axes[i] + axes[j]) / np.sqrt(2) for i, j in combinations(range(count), 2)]
    rows = [sign * row for row in (*axes, *between) for sign in (1, -1)]
    return np.array(rows).T


def _mean(stars: Linear) -> tuple[np.ndarray, slice]:
    """Mean of the residuals (m,) where there are any, and that part of the grid."""
    weight = stars.weight**2
    total = weight.sum(axis=0)
    known = np.flatnonzero(total > 0)
    some = slice(int(known[0]), int(known[-1]) + 1)
    mean = np.sum(weight * stars.residual, axis=0)[known] / total[known]
    return np.interp(np.arange(some.start, some.stop), known, mean), some


def _shifted(emulator: Emulator, mean: np.ndarray, some: slice) -> Emulator:
    """The part `some` of an emulator, with `mean` added to its flux."""
    *layers, last = emulator.decoder.layers
    last = Layer(last.weights[:, some], (last.bias[some] + mean).astype("f4"))
    grid, error = emulator.wavelength[some], emulator.error.trimmed(some)
    return replace(emulator, decoder=DenseNetwork((*layers, last)), wavelength=grid, error=error)
