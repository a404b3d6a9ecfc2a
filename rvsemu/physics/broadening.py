"""Rotation and instrument: convolution on a log-wavelength grid, where both kernels are the same everywhere.

The kernels enter as their analytic Fourier transforms, so that a rotation slower than a pixel is as
exact as one of 300 km/s, and the width of the input's bins or of an LSF already applied is taken out
of the Gaussian rather than ignored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.interpolate import make_interp_spline
from scipy.special import j1

from .resampling import interpolation_matrix
from .wavelengths import SPEED_OF_LIGHT

__all__ = ["Broadener", "broaden", "kernel_reach", "lsf_sigma", "rotation_transfer"]

_ROUNDED = 2.1e-6  # Angstrom: differences of steps between wavelengths that were rounded to 1e-6
_REACH = 5.0  # sigma, beyond which a Gaussian does not count


def lsf_sigma(resolution: float) -> float:
    """Standard deviation in km/s of a Gaussian LSF with lambda / FWHM = `resolution`; 0 for an infinite one.

    Examples
    --------
    >>> from rvsemu.physics.broadening import lsf_sigma
    >>> round(lsf_sigma(11500), 2)
    11.07
    """
    return SPEED_OF_LIGHT / resolution / float(np.sqrt(8.0 * np.log(2.0)))


def kernel_reach(vsini: float, resolution: float) -> float:
    """Km/s that the kernels of rotation and instrument reach to either side: vsini + 5 sigma of the LSF.

    Examples
    --------
    >>> from rvsemu.physics.broadening import kernel_reach
    >>> round(kernel_reach(50, 11500), 1)
    105.4
    """
    return vsini + _REACH * lsf_sigma(resolution)


def rotation_transfer(frequency: ArrayLike, vsini: float, limb_darkening: float = 0.6) -> np.ndarray:
    """Fourier transform of the rotation profile of Gray (2005), eq. 18.14, with linear limb darkening.

    The profile ``[2 (1 - e) sqrt(1 - y^2) + pi/2 e (1 - y^2)] / [pi vsini (1 - e/3)]``, y = v / vsini,
    is an ellipse and a parabola; with x = 2 pi f vsini their transforms are 2 J1(x) / x and
    3 (sin x - x cos x) / x^3.

    Parameters
    ----------
    frequency : array_like
        Cycles per km/s.
    vsini : float
        km/s.
    limb_darkening : float
        The coefficient e.

    Examples
    --------
    >>> from rvsemu.physics.broadening import rotation_transfer
    >>> rotation_transfer([0.0, 0.02, 0.05], vsini=10).round(3)
    array([1.   , 0.833, 0.243])
    """
    exact = 2.0 * np.pi * np.abs(np.asarray(frequency, dtype=float)) * vsini
    x = np.maximum(exact, 1e-2)  # below, the parabola's formula loses digits and the series is good to 1e-10
    ellipse = np.where(exact < 1e-2, 1.0 - exact**2 / 8.0, 2.0 * j1(x) / x)
    parabola = np.where(exact < 1e-2, 1.0 - exact**2 / 10.0, 3.0 * (np.sin(x) - x * np.cos(x)) / x**3)
    share = (1.0 - limb_darkening) / (1.0 - limb_darkening / 3.0)
    return share * ellipse + (1.0 - share) * parabola


class Broadener:
    """Broadening of spectra from one input grid onto one output grid.

    Parameters
    ----------
    wavelength : array_like, shape (n,)
        Uniform input grid in Angstrom, with margins on either side of `out`.
    out : array_like, shape (m,)
        Output wavelengths in Angstrom.
    bin_width : float
        Width in Angstrom over which input values are means (0 for point values).
    native_resolution : float
        Resolution of a Gaussian LSF the input already has.
    limb_darkening : float
        Linear coefficient of the rotation profile.

    Notes
    -----
    ``transform`` is done once per spectrum, ``apply`` once per pair of vsini and resolution.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.physics.broadening import Broadener
    >>> wave = np.arange(8480, 8520, 0.04)
    >>> line = 1 - 0.5 * np.exp(-0.5 * ((wave - 8500) / 0.05) ** 2)
    >>> broadener = Broadener(wave, out=np.arange(8495, 8505, 0.1))
    >>> transform = broadener.transform(line)
    >>> slow, fast = (broadener.apply(transform, vsini, 11500) for vsini in (5, 50))
    >>> bool(slow.min() < fast.min() < 1)
    True
    """

    def __init__(
        self,
        wavelength: ArrayLike,
        out: ArrayLike,
        bin_width: float = 0.0,
        native_resolution: float = np.inf,
        limb_darkening: float = 0.6,
    ) -> None:
        self.wavelength = np.asarray(wavelength, dtype=float)
        self.out = np.asarray(out, dtype=float)
        steps = np.diff(self.wavelength)
        if len(steps) < 15 or not (np.ptp(steps) <= 1e-6 * abs(steps[0]) + _ROUNDED and steps[0] > 0):
            raise ValueError("wavelength must be a uniform, increasing grid of at least 16 points")
        if self.out.min() < self.wavelength[0] or self.out.max() > self.wavelength[-1]:
            raise ValueError("the output leaves the input grid")
        self.limb_darkening = limb_darkening
        log = np.log(self.wavelength[[0, -1]])
        n = fft.next_fast_len(int(np.ceil(1.5 * (log[1] - log[0]) * self.wavelength[-1] / steps[0])), real=True)
        self._log_step = (log[1] - log[0]) / (n - 1)
        self._log_wavelength = log[0] + self._log_step * np.arange(n)
        velocity_step = self._log_step * SPEED_OF_LIGHT
        self.frequency = fft.rfftfreq(n, velocity_step)
        bins = np.sinc(self.frequency * bin_width / self.wavelength.mean() * SPEED_OF_LIGHT)
        self._inverse_bins = 1.0 / np.maximum(bins, 0.1)
        self._native_sigma = lsf_sigma(native_resolution)
        self._sample = interpolation_matrix(log[0], self._log_step, n, np.log(self.out))
        self.margin = SPEED_OF_LIGHT * min(np.log(self.out.min()) - log[0], log[1] - np.log(self.out.max()))

    def transform(self, flux: ArrayLike) -> np.ndarray:
        """Fourier transform, shape (..., k), of fluxes (..., n) on the input grid."""
        spline = make_interp_spline(self.wavelength, np.asarray(flux, dtype=float), k=5, axis=-1)
        points = np.clip(np.exp(self._log_wavelength), self.wavelength[0], self.wavelength[-1])
        return fft.rfft(spline(points), axis=-1)

    def transfer(self, vsini: float, resolution: float) -> np.ndarray:
        """Product of the kernels' transforms at `frequency`, up to where it has died out."""
        if not (vsini >= 0 and resolution > 0):
            raise ValueError(f"vsini={vsini:g} and resolution={resolution:g}: give vsini >= 0 and resolution > 0")
        sigma2 = lsf_sigma(resolution) ** 2 - self._native_sigma**2
        reach = vsini + _REACH * np.sqrt(max(sigma2, 0.0))
        if sigma2 < 0:
            raise ValueError(f"resolution={resolution:g} is above that of the input: its LSF cannot be undone")
        if reach > self.margin:
            raise ValueError(
                f"vsini={vsini:g} and resolution={resolution:g} reach {reach:.0f} km/s over the edge; the input "
                f"has a margin of {self.margin:.0f} km/s: give a wider wavelength range"
            )
        used = self.frequency
        if sigma2 > 0:  # exp(-25) of the Gaussian is beyond double rounding of a flux
            used = used[: np.searchsorted(used, 5.0 / np.sqrt(2.0 * np.pi**2 * sigma2)) + 1]
        out = np.exp(-2.0 * np.pi**2 * sigma2 * used**2)
        if sigma2 > 0:
            out *= self._inverse_bins[: len(used)]
        return out * rotation_transfer(used, vsini, self.limb_darkening) if vsini else out

    def apply(self, transform: np.ndarray, vsini: float, resolution: float) -> np.ndarray:
        """Broadened flux (..., m) at `out` of what `transform` returned, for one (vsini, resolution)."""
        kernel = self.transfer(vsini, resolution)
        broadened = fft.irfft(transform[..., : len(kernel)] * kernel, n=len(self._log_wavelength), axis=-1)
        rows = (self._sample @ broadened.reshape(-1, broadened.shape[-1]).T).T
        return rows.reshape(*broadened.shape[:-1], len(self.out))


def broaden(
    wavelength: ArrayLike,
    flux: ArrayLike,
    vsini: float = 0.0,
    resolution: float = np.inf,
    out: ArrayLike | None = None,
    limb_darkening: float = 0.6,
    bin_width: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Broaden a spectrum by the rotation of the star and the resolution of the instrument.

    Parameters
    ----------
    wavelength : array_like, shape (n,)
        Uniform grid, Angstrom. Its margins beyond `out` must hold the kernels:
        vsini + 5 sigma of the LSF.
    flux : array_like, shape (..., n)
        Unbroadened flux.
    vsini : float
        Projected rotational velocity, km/s.
    resolution : float
        Resolving power lambda / FWHM of a Gaussian LSF; infinite for none.
    out : array_like, optional
        Output wavelengths, Angstrom. Default: the part of `wavelength` that the kernels allow.
    limb_darkening : float
        Linear coefficient, 0.6 as in Gray (2005).
    bin_width : float
        Width of the bins of which `flux` is the mean; compensated for when there is an LSF.

    Returns
    -------
    out, flux : ndarray
        The output wavelengths and fluxes (..., len(out)).

    Raises
    ------
    ValueError
        The grid is not uniform or its margins are too narrow.

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.physics.broadening import broaden
    >>> wave = np.arange(8380, 8420, 0.04)
    >>> line = 1 - 0.5 * np.exp(-0.5 * ((wave - 8400) / 0.05) ** 2)
    >>> out, flux = broaden(wave, line, vsini=50, resolution=11500)
    >>> area = lambda w, f: np.sum(1 - f) * (w[1] - w[0])
    >>> bool(abs(area(out, flux) / area(wave, line) - 1) < 1e-4)
    True
    """
    wavelength = np.asarray(wavelength, dtype=float)
    if out is None:
        reach = kernel_reach(vsini, resolution) / SPEED_OF_LIGHT
        inside = (wavelength > wavelength[0] * np.exp(reach)) & (wavelength < wavelength[-1] * np.exp(-reach))
        if not inside.any():
            raise ValueError(f"the grid is narrower than the kernels, {reach * SPEED_OF_LIGHT:.0f} km/s on each side")
        out = wavelength[inside]
    broadener = Broadener(wavelength, out, bin_width=bin_width, limb_darkening=limb_darkening)
    return np.asarray(out, dtype=float), broadener.apply(broadener.transform(flux), vsini, resolution)
