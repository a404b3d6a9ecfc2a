"""How strong the lines of CN are in a library: in older ones they are three times too weak.

The list of CN has gf without the spin of 14N, SYNSPEC's partition function of CN counts it (see
`rvsemu.library.synthesis.lines`). Libraries made before that was noticed are known by their provenance; spectra with
weak and with right lines do not go together, except where CN plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["RIGHT_CYANOGEN", "WEAK_CYANOGEN", "cyanogen_matters", "cyanogen_of", "weak_spectra"]

RIGHT_CYANOGEN = "gf of CN times the three states of the spin of 14N"
WEAK_CYANOGEN = "gf of CN without the spin of 14N: lines three times too weak"
_WEAK_LIST = "851cec76e6a6748de9a8ec88fae4fa0a6dd24a924cf9c3680bc643e6d3a3488d"  # SHA-256 of the list without it
_RAISED = "log gf of CN raised"  # how the parts of the wide library say it
_FADED = 7200.0, 1000.0
"""K, and K/dex of [M/H]: above this line, the factor of three changes spectra by less than 1e-4 rms."""


def cyanogen_of(info: Mapping[str, str]) -> str | None:
    """`RIGHT_CYANOGEN`, `WEAK_CYANOGEN` or, for spectra of another origin, None, from a library's provenance."""
    if "cyanogen" in info:
        return info["cyanogen"]
    if "made_by" in info:
        return RIGHT_CYANOGEN if _RAISED in info["made_by"] else WEAK_CYANOGEN
    if "manifest" in info:
        return WEAK_CYANOGEN if _WEAK_LIST in info["manifest"] else RIGHT_CYANOGEN
    return None


def weak_spectra(info: Mapping[str, str], names: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Whether CN is too weak and matters, by a library's provenance, in spectra of labels (n, n_labels), shape (n,)."""
    if cyanogen_of(info) != WEAK_CYANOGEN:
        return np.zeros(len(labels), dtype=bool)
    return cyanogen_matters(labels[:, names.index("teff")], labels[:, names.index("mh")])


def cyanogen_matters(teff: np.ndarray, mh: np.ndarray) -> np.ndarray:
    """Whether the strength of CN changes the spectra of stars of these Teff (K) and [M/H], shape as theirs."""
    return teff < _FADED[0] + _FADED[1] * mh
