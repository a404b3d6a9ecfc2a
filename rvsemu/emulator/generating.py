"""`generate`: stellar labels to spectra, without a word about emulators."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from astropy import units as u
from numpy.typing import ArrayLike

from ..errors import LabelError
from ..physics.wavelengths import RVS_RESOLUTION
from .choosing import resolve
from .model import Emulator

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["generate"]


def generate(
    teff: ArrayLike | u.Quantity,
    logg: ArrayLike | u.Quantity,
    vsini: ArrayLike | u.Quantity = 0.0,
    mh: ArrayLike | u.Quantity = 0.0,
    vmic: ArrayLike | u.Quantity = 1.0,
    resolution: ArrayLike | u.Quantity = RVS_RESOLUTION,
    *,
    alpha: ArrayLike | u.Quantity = 0.0,
    wavelength: ArrayLike | u.Quantity | None = None,
    medium: str | None = None,
    emulator: Emulator | str | PathLike | None = None,
    extrapolate: bool = False,
) -> Spectrum:
    """Generate stellar spectra from labels.

    Parameters
    ----------
    teff : float, array or Quantity
        Effective temperature, K (3500-15000).
    logg : float, array or Quantity
        Surface gravity, log10 of cm/s2 (0-5; the lowest depends on `teff`).
    vsini : float, array or Quantity
        Projected equatorial rotational velocity, km/s (0-300).
    mh : float, array or Quantity
        Metallicity [M/H], dex (-2.5-1.5).
    vmic : float, array or Quantity
        Microturbulent velocity, km/s (0-4).
    resolution : float, array or Quantity
        Resolving power lambda / FWHM (5000-14500); default: that of the RVS as measured, 11,900.
    alpha : float, array or Quantity
        [alpha/M], dex (-0.2-0.6): O, Ne, Mg, Si, S, Ar, Ca and Ti, beyond what [M/H] makes of them. Emulators without
        this label have 0, and take nothing else.
    wavelength : array or Quantity, optional
        Where to evaluate (floats: Angstrom), within the emulator's range. Default: its own grid,
        4000 points from 8400.0 to 8799.9 A in air.
    medium : {'air', 'vacuum'}, optional
        Of `wavelength` and of the result. It must be given with `wavelength`: spectra of Gaia are in vacuum, and the
        two differ by 82 km/s. Default without `wavelength`: air.
    emulator : Emulator, str or path, optional
        Another emulator than the default one: a shipped one by name, or a file.
    extrapolate : bool
        Allow labels outside the training domain; ``meta["extrapolated"]`` then says so.

    Returns
    -------
    specutils.Spectrum
        Normalised flux; labels that are arrays broadcast and give one Spectrum with the flux of
        shape (..., n_wavelengths). The uncertainty is the emulator's own RMS error on validation
        spectra. `meta` has labels, medium, frame, recipe, emulator_version, extrapolated.

    Raises
    ------
    LabelError
        A label is not finite, of the wrong unit, or outside the domain; or the result, flux and uncertainty in
        double precision, would be larger than 4 GiB (67,000 spectra on the emulator's own grid).
    SpectrumError
        `wavelength` leaves the emulator's range, or `medium` is unknown, or missing where `wavelength` is given.

    Notes
    -----
    ``Spectrum = decoder(NN(labels))``, Gebran (2024, Astronomy 3, 1), section 2.4.

    Examples
    --------
    >>> import rvsemu
    >>> sun = rvsemu.generate(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1, resolution=11500)
    >>> sun.flux.shape, sun.meta["medium"]
    ((4000,), 'air')
    """
    emulator = resolve(emulator)
    given = {"teff": teff, "logg": logg, "vsini": vsini, "mh": mh, "vmic": vmic, "resolution": resolution}
    given |= emulator.labels.alpha(alpha)
    if set(emulator.labels.names) != set(given):
        raise LabelError(f"This emulator takes {', '.join(emulator.labels.names)}: use Emulator.spectrum.")
    medium = "air" if medium is None and wavelength is None else medium
    return emulator.spectrum(wavelength=wavelength, medium=medium, extrapolate=extrapolate, **given)
