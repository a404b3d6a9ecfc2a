"""The way every spectrum goes, whatever its format: check, normalise, bring to air, rebin."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from ...physics.continuum import chebyshev_basis
from ...physics.wavelengths import convert_medium
from .lines import shift, verdict
from .settings import UNITS, Settings
from .spectrum import ABUNDANCES, LABELS, RawSpectrum, Unusable

__all__ = ["angstrom", "check_labels", "check_wanted", "in_air", "normalised", "rebinned", "wrong_medium"]

PLAUSIBLE = {"teff": (1500.0, 60000.0), "logg": (-1.0, 7.0), "mh": (-6.0, 2.0), "vmic": (0.0, 30.0)}

_SPELLINGS = {
    **{name.lower(): name for name in UNITS},
    **dict.fromkeys(("angstroms", "aa", "a", "0.1 nm", "0.1nm"), "Angstrom"),
    **dict.fromkeys(("nanometer", "nanometers"), "nm"),
    **dict.fromkeys(("micron", "microns", "micrometer"), "um"),
}

_MARGIN = 10.0  # Angstrom kept beyond the range: air and vacuum, the triplet's neighbourhood, the continuum's slope
_GAP = 0.5  # Angstrom between samples: no line hides in less at any resolution that is of use
_DISORDER = 0.05  # share of samples that may be out of order
_BRIGHTEST = 1.09  # a library's file holds fluxes to 1.092
_EVEN = 3.0  # ratio of the widest to the narrowest step for which a cubic spline does not overshoot


def check_wanted(labels: dict, settings: Settings) -> None:
    """Raise `Unusable` if a label that is known is implausible or not wanted, or the star rotates."""
    for name in LABELS:
        low, high = PLAUSIBLE[name]
        if name in labels and not low <= labels[name] <= high:
            raise Unusable(f"{name}={labels[name]:g} is implausible: {low:g} to {high:g} would do")
        low, high = settings.within.get(name, (low, high))
        if name in labels and not low <= labels[name] <= high:
            raise Unusable(f"{name} is outside {low:g} to {high:g}, as asked")
    if labels.get("rotation", 0.0) != 0.0:
        raise Unusable("it is rotationally broadened already: rvsemu broadens by itself, take those without rotation")
    for name in ABUNDANCES:
        if name in labels and abs(labels[name] - settings.wanted(name)) > 0.0051:
            raise Unusable(f"{name}={labels[name]:g}, {settings.wanted(name):g} is wanted")


def check_labels(labels: dict, settings: Settings) -> list[float]:
    """The library's labels, in its order.

    Raises
    ------
    Unusable
        A label is missing, or an abundance that is asked for is not stated; or as `check_wanted`.
    """
    check_wanted(labels, settings)
    for name in LABELS:
        if name not in labels:
            raise Unusable(f"{name} is missing: give a table of labels or one value for all")
    for name, value in settings.abundances.items():
        if value and name not in labels:
            raise Unusable(f"{name} is not stated, {value:g} is wanted")
    return [labels[name] for name in LABELS]


def angstrom(raw: RawSpectrum, settings: Settings, unit: str) -> RawSpectrum:
    """Wavelengths in Angstrom and increasing, without samples that are not finite, cut to the range and a margin.

    Raises
    ------
    Unusable
        Wavelengths are out of order, or leave part of the range uncovered.
    """
    factor = UNITS[settings.unit or _stated(raw.unit) or unit]
    wavelength, flux = np.asarray(raw.wavelength, float) * factor, np.asarray(raw.flux, float)
    if wavelength.ndim != 1 or wavelength.shape != flux.shape:
        raise Unusable(f"it has {wavelength.size} wavelengths for {flux.size} fluxes")
    continuum = raw.continuum
    if isinstance(continuum, tuple):
        continuum = (np.asarray(continuum[0], float) * factor, np.asarray(continuum[1], float))
        continuum = tuple(_cut(_increasing(*continuum), settings, 500.0))
        columns = [wavelength, flux]
    else:
        columns = [wavelength, flux] + ([] if continuum is None else [np.asarray(continuum, float)])
        if columns[-1].shape != flux.shape:
            raise Unusable(f"it has {columns[-1].size} continuum values for {flux.size} fluxes")
    columns = _cut(_increasing(*columns), settings, _MARGIN)
    _check_coverage(wavelength, columns[0], settings)
    if len(columns) == 3:
        continuum = columns[2]
    return RawSpectrum(columns[0], columns[1], continuum, medium=raw.medium, resolution=raw.resolution)


def _stated(unit) -> str | None:
    """The unit a file states; one that is not known is refused rather than passed over."""
    if unit is None or not unit.strip():
        return None
    if unit.strip().lower() not in _SPELLINGS:
        raise Unusable(f"its wavelengths are in '{unit}': {', '.join(UNITS)} are known; state another one")
    return _SPELLINGS[unit.strip().lower()]


def _increasing(wavelength, *others):
    columns = np.stack([wavelength, *others])
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    if columns.shape[1] < 2:
        raise Unusable("it has no finite fluxes")
    if columns[0, 0] > columns[0, -1]:
        columns = columns[:, ::-1]
    before = np.maximum.accumulate(np.concatenate([[-np.inf], columns[0, :-1]]))
    ahead = columns[0] > before
    if np.mean(columns[0] < before) > _DISORDER:
        raise Unusable("its wavelengths are not in order")
    return columns[:, ahead]


def _cut(columns, settings, margin):
    low, high = settings.limits
    inside = (columns[0] > low - margin) & (columns[0] < high + margin)
    if np.count_nonzero(inside) < 2:
        raise Unusable(_covers(columns[0], settings))
    return columns[:, inside]


def _covers(wavelength, settings) -> str:
    low, high = wavelength.min(), wavelength.max()
    text = f"it covers {low:.1f} to {high:.1f} A, {settings.limits[0]:g} to {settings.limits[1]:g} A are needed"
    for unit, factor in UNITS.items():
        if low * factor <= settings.limits[0] and high * factor >= settings.limits[1] and factor != 1:
            text += f" (is its unit {unit}?)"
    return text


def _check_coverage(whole, wavelength, settings):
    """The margin of an air-vacuum conversion is left to `rebinned`."""
    low, high = settings.limits
    if wavelength[0] > low + 3 or wavelength[-1] < high - 3:
        raise Unusable(_covers(whole[np.isfinite(whole)], settings))
    if np.diff(wavelength).max() > _GAP:
        i = int(np.argmax(np.diff(wavelength)))
        raise Unusable(f"its wavelengths leave {wavelength[i]:.2f} to {wavelength[i + 1]:.2f} A out")


def normalised(raw: RawSpectrum, settings: Settings) -> np.ndarray:
    """Flux over continuum on the spectrum's own grid.

    Raises
    ------
    Unusable
        There is a continuum where a pseudo-continuum is asked for, it does not cover the range, or the result
        is not that of a normalised spectrum.
    """
    if settings.pseudo_continuum is not None:
        if raw.continuum is not None:
            raise Unusable("it carries a continuum: leave the pseudo-continuum out")
        flux = raw.flux / pseudo_continuum(raw.wavelength, raw.flux, settings.pseudo_continuum)
    elif raw.continuum is not None:
        flux = raw.flux / _continuum(raw)
    else:
        flux = raw.flux
    return _plausible(flux, raw.wavelength, settings)


def _continuum(raw) -> np.ndarray:
    if not isinstance(raw.continuum, tuple):
        if not np.all(raw.continuum > 0):
            raise Unusable("its continuum is not positive everywhere")
        return raw.continuum
    wavelength, continuum = raw.continuum
    if wavelength[0] > raw.wavelength[0] + 3 * _MARGIN or wavelength[-1] < raw.wavelength[-1] - 3 * _MARGIN:
        raise Unusable(f"its continuum covers {wavelength[0]:.1f} to {wavelength[-1]:.1f} A only")
    if len(wavelength) < 2 or not np.all(continuum > 0):
        raise Unusable("its continuum has fewer than two points or is not positive everywhere")
    return np.exp(PchipInterpolator(wavelength, np.log(continuum))(raw.wavelength))


def pseudo_continuum(wavelength: np.ndarray, flux: np.ndarray, degree: int) -> np.ndarray:
    """A polynomial through the highest fluxes: the 98th percentiles of pieces of 10 A, the low ones rejected."""
    scale = np.median(flux)
    if not scale > 0:
        raise Unusable("its flux is not positive")
    edges = np.linspace(wavelength[0], wavelength[-1], max(3 * (degree + 1), round(np.ptp(wavelength) / 10)) + 1)
    pieces = np.searchsorted(wavelength, edges[1:-1])
    x = np.array([part.mean() for part in np.split(wavelength, pieces)])
    y = np.array([np.percentile(part, 98) for part in np.split(flux / scale, pieces)])
    basis = chebyshev_basis(np.concatenate([wavelength[[0, -1]], x]), degree)[2:]
    good = np.ones(len(x), dtype=bool)
    for _ in range(10):
        solution = np.linalg.lstsq(basis[good], y[good], rcond=None)[0]
        residual = y - basis @ solution
        keep = residual > -1.0 * residual[good].std()
        if np.count_nonzero(keep) <= degree + 1 or np.array_equal(keep, good):
            break
        good = keep
    return scale * (chebyshev_basis(wavelength, degree) @ solution)


def _plausible(flux, wavelength, settings) -> np.ndarray:
    low, high = settings.limits
    inside = flux[(wavelength > low) & (wavelength < high)]
    if not np.isfinite(inside).all() or inside.min() < -0.01:
        raise Unusable(f"its normalised flux falls to {np.nanmin(inside):.3g}")
    if inside.max() > _BRIGHTEST:
        raise Unusable(
            f"its flux reaches {inside.max():.4g} of the continuum: emission, or not normalised "
            f"(a library holds up to {_BRIGHTEST:g})"
        )
    if np.percentile(inside, 99) < 0.4:
        raise Unusable(f"its flux hardly reaches {np.percentile(inside, 99):.3g} of the continuum: not normalised")
    return flux


def in_air(wavelength: np.ndarray, medium: str) -> np.ndarray:
    """Wavelengths in air."""
    return convert_medium(wavelength, medium, "air")


def wrong_medium(wavelength: np.ndarray, flux: np.ndarray, teff: float, medium: str) -> str | None:
    """The reason to refuse a spectrum whose lines are not where `medium` puts them; `wavelength` is in air then."""
    found = shift(wavelength, flux, teff)
    if found is None or verdict(found, medium) == medium:
        return None
    other = verdict(found, medium)
    if other:
        return f"its Ca II lines say that its wavelengths are in {other}, not in {medium}"
    return f"its Ca II lines lie {found:+.1f} A from their place at rest: not at rest, or another unit or medium"


def rebinned(wavelength: np.ndarray, flux: np.ndarray, centres: np.ndarray, step: float) -> np.ndarray:
    """Mean flux in bins of `step` about `centres` of a spline through the samples; its area is conserved.

    Raises
    ------
    Unusable
        The bins leave the samples.
    """
    edges = np.append(centres - step / 2, centres[-1] + step / 2)
    if wavelength[0] > edges[0] + step / 2 or wavelength[-1] < edges[-1] - step / 2:
        raise Unusable(
            f"it covers {wavelength[0]:.2f} to {wavelength[-1]:.2f} A in air, "
            f"{edges[0]:g} to {edges[-1]:g} A are needed"
        )
    steps = np.diff(wavelength)
    even = steps.max() <= _EVEN * steps.min()
    area = (CubicSpline if even else PchipInterpolator)(wavelength, flux).antiderivative()
    return np.diff(area(edges)) / step
