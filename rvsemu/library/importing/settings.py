"""What a user may say about an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from astropy import units as u

from ...emulator.stated_units import number, pair
from ...errors import LibraryFileError, check_whole
from ...physics.wavelengths import MEDIA
from .spectrum import ABUNDANCES, LABEL_UNITS, LABELS

__all__ = ["UNITS", "Settings"]

UNITS = {"Angstrom": 1.0, "nm": 10.0, "um": 1e4}
"""Angstrom in each unit of wavelength."""


@dataclass(frozen=True)
class Settings:
    """Choices that hold for all spectra of an import. Numbers may be Quantities.

    Parameters
    ----------
    medium : {'air', 'vacuum'}, optional
        Of the files' wavelengths. Default: what the format or the file says; where neither does, it is measured
        from the Ca II triplet.
    unit : {'Angstrom', 'nm', 'um'} or unit, optional
        Of the files' wavelengths. Default: the format's.
    labels : path, optional
        A table (CSV, ECSV, FITS, VOTable) with a column ``file`` and columns of labels.
    given : dict
        Labels that hold for all spectra, e.g. ``{"vmic": 2.0}``.
    abundances : dict
        Which of the `ABUNDANCES` to take; 0 for those not named, and oxygen as alpha.
    within : dict
        Labels to take: ``{"teff": (4000, 8000)}``.
    resolution : float, optional
        Of a Gaussian LSF the spectra already have. Default: what the format or the file says.
    pseudo_continuum : int, optional
        Divide by a polynomial of this degree through the highest fluxes: for formats without a continuum.
    limits : pair of float
        Angstrom in air: the range of the library.
    step : float
        Angstrom: width of its bins.
    strict : bool
        Stop at the first spectrum that cannot be used.

    Raises
    ------
    LibraryFileError
        A value is impossible; the message says what is allowed.

    Examples
    --------
    >>> from rvsemu.library.importing import Settings
    >>> settings = Settings(medium="vacuum", given={"vmic": 2.0}, within={"teff": (4000, 8000)}, step=0.1)
    >>> settings.wavelength()[:2]
    array([8380.05, 8380.15])
    """

    medium: str | None = None
    unit: str | None = None
    labels: Path | str | None = None
    given: dict = field(default_factory=dict)
    abundances: dict = field(default_factory=dict)
    within: dict = field(default_factory=dict)
    resolution: float | None = None
    pseudo_continuum: int | None = None
    limits: tuple[float, float] = (8380.0, 8818.0)
    step: float = 0.04
    strict: bool = False

    def __post_init__(self):
        self._make_plain()
        _one_of("medium", self.medium, MEDIA)
        _one_of("unit", self.unit, UNITS)
        for kind, allowed in (("given", (*LABELS, *ABUNDANCES)), ("abundances", ABUNDANCES), ("within", LABELS)):
            for name in getattr(self, kind):
                _one_of(f"{kind}: label", name, allowed)
        for name, (low, high) in self.within.items():
            if not low <= high:
                raise LibraryFileError(f"within {name}={low:g},{high:g}: give the lower value first.")
        if self.labels is not None and not isinstance(self.labels, str | Path):
            raise LibraryFileError(f"labels is a {type(self.labels).__name__}: give the path of a table of labels.")
        if self.resolution is not None and not self.resolution > 0:
            raise LibraryFileError(f"resolution={self.resolution:g}: give lambda / FWHM, above 0.")
        if self.pseudo_continuum is not None:
            check_whole(LibraryFileError, "pseudo_continuum", self.pseudo_continuum, 0, 6)
        if not 0.001 <= self.step <= 0.2:
            raise LibraryFileError(f"step={self.step:g}: give 0.001 to 0.2 A.")
        low, high = self.limits
        if not (8000 <= low and low + 50 <= high <= 9300):
            raise LibraryFileError(f"range {low:g} to {high:g}: give 50 A or more within 8000 to 9300 A.")

    def _make_plain(self) -> None:
        """Numbers instead of Quantities."""
        units = {name: LABEL_UNITS.get(name, "dex") for name in (*LABELS, *ABUNDANCES)}
        named = [name for name in UNITS if isinstance(self.unit, u.UnitBase) and u.Unit(name) == self.unit]
        one, two = partial(number, LibraryFileError), partial(pair, LibraryFileError)
        plain = {
            "unit": named[0] if named else self.unit,
            "given": {x: one(f"given {x}", value, units.get(x, "")) for x, value in self.given.items()},
            "abundances": {x: one(f"abundance {x}", value, "dex") for x, value in self.abundances.items()},
            "within": {x: two(f"within {x}", value, units.get(x, "")) for x, value in self.within.items()},
            "limits": two("limits", self.limits, "Angstrom"),
            "step": one("step", self.step, "Angstrom"),
            "resolution": None if self.resolution is None else one("resolution", self.resolution, ""),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def wavelength(self) -> np.ndarray:
        """Centres of the library's bins, Angstrom in air."""
        low, high = self.limits
        return np.round(low + self.step * (np.arange(int((high - low) / self.step + 1e-6)) + 0.5), 9)

    def wanted(self, name: str) -> float:
        """The value an abundance must have."""
        if name == "oxygen":
            return self.abundances.get(name, self.abundances.get("alpha", 0.0))
        return self.abundances.get(name, 0.0)


def _one_of(name, value, allowed):
    if value is not None and value not in allowed:
        raise LibraryFileError(f"{name}={value} is unknown: use one of {', '.join(allowed)}.")
