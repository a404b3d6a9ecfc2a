"""Where the lines of TiO are in a library: in older ones, most of them are not where they should be.

The list of TiO lacks 48Ti16O, three quarters of titanium oxide. Its strength went to lines of 47Ti16O and 49Ti16O, up
to 10 Angstrom away, before it was interpolated between those (`rvsemu.library.synthesis.titanium`). Libraries and
emulators from before are known by their provenance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["RIGHT_TITANIUM", "displaced_titanium", "titanium_change"]

RIGHT_TITANIUM = "lines of 48Ti16O, interpolated between its isotopologues"
_WHERE = 3800.0, 60.0, 210.0, 60.0  # K: Teff at [M/H] + [alpha/M] = 0 and log g = 0, and slopes
_STEEPNESS = 400.0  # K for a factor of ten


def displaced_titanium(info: Mapping[str, str]) -> bool:
    """Whether spectra of a library of this provenance have lines of TiO, and those of 48Ti16O at the wrong places."""
    has_any = "TiO" in info.get("lines", "") or "made_by" in info
    return has_any and RIGHT_TITANIUM not in info.get("titanium", "") + info.get("mended", "")


def titanium_change(teff: ArrayLike, logg: ArrayLike, mh: ArrayLike, alpha: ArrayLike = 0.0) -> np.ndarray:
    """log10 of the change of the flux, rms, by the places of these lines at R = 11,900, roughly.

    Parameters
    ----------
    teff, logg, mh, alpha : array_like
        K and dex; of like shapes.

    Returns
    -------
    ndarray

    Notes
    -----
    From 18 stars of 3500-4500 K (``python validation/wrong_lines.py titanium --more``). Below -2 within 0.3; lines that
    are saturated change by less than it says.

    Examples
    --------
    >>> from rvsemu.library.titanium import titanium_change
    >>> titanium_change([3600.0, 4000.0, 4500.0], [4.7, 4.6, 4.6], [0.0, 0.0, 0.5]).round(1)
    array([-1.8, -2.8, -3.5])
    """
    at, with_logg, with_metals, with_both = _WHERE
    teff, logg, metals = np.asarray(teff), np.asarray(logg), np.asarray(mh) + np.asarray(alpha)
    limit = at + with_logg * logg + (with_metals + with_both * logg) * metals
    return -3.0 - (teff - limit) / _STEEPNESS
