"""What is known of the resolution of a spectrum of the Gaia RVS, by the number of its transits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..emulator.labels import Label
from ..physics.wavelengths import RVS_RESOLUTION
from .priors import Normal, Prior

__all__ = ["RvsResolution"]


@dataclass(frozen=True)
class RvsResolution(Normal):
    """Gaussian that is wider for spectra of few transits.

    The resolution of the RVS was measured to be 10,983-12,587 with its 24 pairs of telescope and CCD, 11,891 on average
    (Cropper et al. 2018, A&A 616, A5, table 6; nominal 11,500). A transit uses three of these pairs, and the eight such
    triples scatter by 370; the mean of n transits scatters by 370 / sqrt(n).

    Parameters
    ----------
    mean : float
    sigma : float
        Of spectra of many transits, or of an unknown number.
    transit : float
        That of one transit.

    Examples
    --------
    >>> from rvsemu.fitting import RvsResolution
    >>> [round(RvsResolution().of(transits).sigma) for transits in (None, 1, 4, 30)]
    [150, 370, 185, 150]
    """

    mean: float = RVS_RESOLUTION
    sigma: float = 150.0
    transit: float = 370.0

    def of(self, transits: int | None) -> RvsResolution:
        """That of the mean of so many transits."""
        if transits is None:
            return self
        return replace(self, sigma=max(self.sigma, self.transit / float(np.sqrt(transits))))

    def _checked(self, label: Label) -> Prior:
        if label.name != "resolution":
            raise self._bad(label, "it is for resolution alone")
        if not (np.isfinite(self.transit) and self.transit > 0):
            raise self._bad(label, "transit must be positive")
        return super()._checked(label)
