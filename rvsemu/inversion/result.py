"""What an inversion found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from astropy import units as u
from astropy.table import Column, QTable

from ..observing.flags import AT_BOUND, FEW_GOOD_PIXELS, OUTSIDE_DOMAIN

__all__ = ["AT_BOUND", "FEW_GOOD_PIXELS", "OUTSIDE_DOMAIN", "UNLIKE_TRAINING", "InversionResult", "flags_of"]

UNLIKE_TRAINING = "unlike-training"
"""Mean and components do not describe the spectrum as they do those that were trained on, or only with coefficients
that none of these has: whatever the networks say of it is a guess."""

_BEYOND = 2.0  # errors


@dataclass(frozen=True, repr=False)
class InversionResult:
    """Labels of one spectrum or of n, and their errors.

    Each label is an attribute, too: ``result.teff``, ``result.resolution`` ...

    Parameters
    ----------
    labels : dict of Quantity
        Scalars for one spectrum, arrays (n,) for n; within the training domain.
    errors : dict of Quantity
        One standard deviation of each: the error on validation spectra with similar labels and that of the noise,
        added in quadrature.
    noise_errors : dict of Quantity
        The second of these alone.
    flags : tuple of str, or list of n of them
        What to beware of; empty is good. ``at-bound:<label>``: the network's value was beyond the domain and was
        set to its limit. ``outside-domain:<label>``: it was so by more than two errors. ``unlike-training``.
        ``few-good-pixels``: less than half of the pixels in the inversion's range were used.
    residual_rms : float or ndarray (n,)
        Of what mean and components leave of the spectrum, in units of the continuum.
    reduced_chi2 : float or ndarray (n,)
        Of that; NaN for arrays of fluxes.
    n_pixels : int or ndarray (n,)
        Pixels used.
    coefficients : ndarray, shape (k,) or (n, k)
        Of the principal components, in units of their spread over the training spectra.
    meta : dict
        Of the spectrum's meta what names it, recipe and version of the inversion, and the settings.
    """

    labels: dict
    errors: dict
    noise_errors: dict
    flags: tuple | list
    residual_rms: float | np.ndarray
    reduced_chi2: float | np.ndarray
    n_pixels: int | np.ndarray
    coefficients: np.ndarray
    meta: dict = field(default_factory=dict)

    def __getattr__(self, name):
        labels = self.__dict__.get("labels", {})
        if name in labels:
            return labels[name]
        raise AttributeError(f"InversionResult has no attribute '{name}'; its labels are {', '.join(labels)}.")

    def __dir__(self):
        return [*super().__dir__(), *self.labels]

    def __repr__(self):
        if np.ndim(self.n_pixels):
            return f"<InversionResult of {len(self.n_pixels)} spectra: {', '.join(self.labels)}>"
        rows = [self._row(name) for name in self.labels]
        quality = f"residual rms {self.residual_rms:.4f}, {self.n_pixels} pixels"
        return "\n".join(["<InversionResult", *rows, f"  {quality}", f"  flags: {', '.join(self.flags) or 'none'}>"])

    def _row(self, name):
        value, error = self.labels[name], self.errors[name].value
        digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-9)))))
        return f"  {name:<16}{value.value:.{digits}f} +- {error:.{digits}f} {value.unit}".rstrip()

    def to_table(self) -> QTable:
        """A row for each spectrum: source_id (-1 if unknown), labels, errors as ``<label>_error``, quality, flags.

        Flags are joined by commas, ``none`` if there are none. Tables of several results stack with
        ``astropy.table.vstack`` and can be written as ECSV or FITS.
        """
        rows = np.size(self.n_pixels)
        table = QTable()
        table["source_id"] = Column(np.full(rows, int(self.meta.get("source_id", -1))), dtype="i8")
        for name, value in self.labels.items():
            table[name] = u.Quantity(np.atleast_1d(value))
            table[f"{name}_error"] = u.Quantity(np.atleast_1d(self.errors[name]))
        for name in ("reduced_chi2", "residual_rms", "n_pixels"):
            table[name] = np.atleast_1d(getattr(self, name))
        flags = self.flags if isinstance(self.flags, list) else [self.flags]
        table["flags"] = [",".join(f) or "none" for f in flags]
        for name in ("recipe", "inversion_version"):
            table[name] = [str(self.meta.get(name))] * rows
        return table


def flags_of(inversion, values, errors, unlike, few=False) -> tuple[str, ...]:
    """Flags of one spectrum, whose labels are `values` (n_labels,) before they are set to the limits of the domain."""
    out = []
    for label, value, error in zip(inversion.labels.labels, values, errors, strict=True):
        beyond = max(label.lower - value, value - label.upper)
        if beyond > 0:
            out.append(f"{AT_BOUND}:{label.name}")
        if beyond > _BEYOND * error:
            out.append(f"{OUTSIDE_DOMAIN}:{label.name}")
    if few:
        out.append(FEW_GOOD_PIXELS)
    if unlike:
        out.append(UNLIKE_TRAINING)
    return tuple(out)
