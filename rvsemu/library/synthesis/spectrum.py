"""Labels to one synthetic spectrum, in bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .engine import Failure, Star
from .settings import Settings

if TYPE_CHECKING:
    from .workspace import Workspace

__all__ = ["Synthetic", "mean_in_bins", "synthesize"]

_HIGHEST = 1.02  # of the continuum: above, something went wrong
_LATE = 4.0  # Angstrom that may be missing at the beginning
_SLOPE_OVER = 1.0  # Angstrom from which they are continued


@dataclass(frozen=True)
class Synthetic:
    """Mean flux in the bins of the settings, and whether the structure is that of the grid's edge."""

    flux: np.ndarray
    extrapolated: bool


def synthesize(
    labels: Sequence[float] | np.ndarray, settings: Settings, workspace: Workspace, scratch: Path | None = None
) -> Synthetic:
    """Compute the spectrum of a star without rotation.

    Parameters
    ----------
    labels : sequence of float
        In the order of ``settings.names``: Teff (K), logg, [M/H] (dex), vmic (km/s), with [alpha/M] before vmic where
        the settings have it.
    settings : Settings
    workspace : Workspace
        Engine, structures and line lists.
    scratch : path, optional
        Folder for the run's own; the system's temporary one if not given.

    Returns
    -------
    Synthetic

    Raises
    ------
    Failure
        SYNSPEC gave no spectrum, or one with fluxes below 0 or above 1.02 of the continuum.
    SynthesisError
        The labels are impossible (`Settings.checked`), or the disk is full.

    Examples
    --------
    >>> from rvsemu.library.synthesis import Settings, Workspace, synthesize
    >>> workspace = Workspace.open()  # doctest: +SKIP
    >>> synthesize([5777, 4.44, 0.0, 1.0], Settings(), workspace).flux.shape  # doctest: +SKIP
    (10950,)
    """
    given = settings.checked(labels)
    workspace = workspace.covering(settings)
    teff, logg, vmic, metals = given["teff"], given["logg"], given["vmic"], (given["mh"], given.get("alpha", 0.0))
    structures = workspace.structures
    molecules = [workspace.molecule(name) for name in settings.molecules(teff, *metals)]
    inside = structures.at(teff, logg, *metals), structures.composition(*metals)
    star = Star(teff, logg, vmic, *inside, workspace.atoms(settings.helium), molecules)
    wavelength, flux = workspace.engine.run(star, settings.computed, settings, scratch)
    edges = settings.edges
    wavelength, flux = _from(edges[0], wavelength, flux)
    if wavelength[-1] < edges[-1]:
        raise Failure(f"SYNSPEC's spectrum ends at {wavelength[-1]:.2f} A, before {edges[-1]:g} A")
    binned = mean_in_bins(wavelength, flux, edges)
    if not (np.isfinite(binned).all() and binned.min() >= 0 and binned.max() <= _HIGHEST):
        raise Failure(f"fluxes from {binned.min():g} to {binned.max():g} of the continuum")
    return Synthetic(binned, structures.extrapolated(teff, logg, *metals))


def _from(start: float, wavelength: np.ndarray, flux: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spectrum with its beginning: SYNSPEC begins at the first line that is strong enough, in hot metal-poor
    stars some Angstrom late; up to there it is smooth, and continued by a straight line."""
    if len(wavelength) < 10 or wavelength[0] > start + _LATE:
        raise Failure(f"SYNSPEC's spectrum does not begin at {start:g} A or up to {_LATE:g} A later")
    if wavelength[0] <= start:
        return wavelength, flux
    first = wavelength < wavelength[0] + _SLOPE_OVER
    line = np.polynomial.Polynomial.fit(wavelength[first] - start, flux[first], 1)
    return np.concatenate([[start], wavelength]), np.concatenate([[line(0.0)], flux])


def mean_in_bins(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the broken line through (x, y) between neighbouring `edges`."""
    steps = np.diff(x)
    area = np.concatenate([[0.0], np.cumsum((y[1:] + y[:-1]) / 2 * steps)])
    i = np.clip(np.searchsorted(x, edges, side="right") - 1, 0, len(x) - 2)
    beyond = edges - x[i]
    slope = np.diff(y)[i] / steps[i]
    return np.diff(area[i] + y[i] * beyond + slope * beyond**2 / 2) / np.diff(edges)
