"""Whether a spectrum speaks against [alpha/M] = 0, of which inversions know no other."""

from __future__ import annotations

import numpy as np

from ..emulator import ALPHA, shipped
from .model import Inversion

__all__ = ["by_alpha"]

_STEP = 0.2  # dex: the derivative is that of the change that matters


def by_alpha(inversion: Inversion, labels: np.ndarray) -> np.ndarray | None:
    """By what coefficients (k,) change with [alpha/M] at `labels` (n_labels,), where it is 0, as the default emulator
    has it; None if that has other labels or wavelengths.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.inversion import shipped_inversion
    >>> from rvsemu.inversion.alpha import by_alpha
    >>> inversion = shipped_inversion()
    >>> dwarf = np.array([5000.0, 4.5, 4.0, 0.0, 1.0, 11900.0])
    >>> len(by_alpha(inversion, dwarf)) == len(inversion.coefficients(inversion.principal.mean)[0])
    True
    """
    emulator, own = shipped(), inversion.labels.names
    same = inversion.medium == emulator.medium and len(inversion.wavelength) == len(emulator.wavelength)
    if not (same and set(emulator.labels.names) == {*own, ALPHA.name}):
        return None
    if not np.allclose(inversion.wavelength, emulator.wavelength):
        return None
    known = dict(zip(own, inversion.labels.clipped(labels), strict=True))
    rows = [[(known | {ALPHA.name: value})[name] for name in emulator.labels.names] for value in (0.0, _STEP)]
    at, there = inversion.coefficients(emulator.flux(rows)).astype(float)
    return (there - at) / _STEP
