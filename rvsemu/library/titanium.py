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
_CONSTANTS = 3258.0, 114.7, -12.17, 240.4, 54.17, 43.38, 1.512, 360.2, -1.608


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
    From the first 1606 library spectra that were computed with both lists of lines. It is off by 0.09 (standard
    deviation) above -2 and by 0.16 from -3 to -2.5; ``python validation/titanium_change.py`` compares it with all that
    there are by now. [alpha/M] counts more than [M/H], as oxygen and titanium both are alpha elements; lines that are
    saturated change no more.

    Examples
    --------
    >>> from rvsemu.library.titanium import titanium_change
    >>> titanium_change([3600.0, 4000.0, 4500.0], [4.7, 4.6, 4.6], [0.0, 0.0, 0.5]).round(1)
    array([-2. , -2.9, -3.6])
    """
    return _change(_CONSTANTS, *map(np.asarray, (teff, logg, mh, alpha)))


def _change(constants, teff, logg, mh, alpha) -> np.ndarray:
    """`titanium_change` with any constants: where the lines begin to saturate, in K, grows with log g and metals."""
    at, logg_1, logg_2, metals_1, both, metals_2, share, steepness, most = constants
    metals = mh + share * alpha
    limit = at + logg_1 * logg + logg_2 * logg**2 + (metals_1 + both * logg) * metals + metals_2 * metals**2
    return most - np.logaddexp(0.0, np.log(10.0) * (teff - limit) / steepness) / np.log(10.0)
