"""By how much labels of fits err: those of held-out stars, fitted with the emulator that the others made, against the
known ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from ..emulator import Emulator
from ..fitting import FitResult, fit_many
from .stars import Star, free_alpha

__all__ = ["Deviations", "deviations"]

_STEPS = 300
_FAR = 0.99  # of the stars: what the others differ by counts as if they were no farther


@dataclass(frozen=True)
class Deviations:
    """Fitted less known labels of n held-out stars.

    Parameters
    ----------
    names : sequence of str
        Of the l labels.
    values : ndarray, shape (n, l)
    covariance : ndarray, shape (n, l, l)
        What errors of the fits and of the known labels let expect.
    """

    names: Sequence[str]
    values: np.ndarray
    covariance: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """Covariance (l, l) of the labels' errors beyond what is expected, rather too large than too small.

        That of the highest likelihood, with deviations that are Gaussian of mean 0 and the covariance ``expected +
        excess``, by expectation and maximisation in turns. The few stars that are farther off than one in a hundred
        would be have less weight. To this is added one standard error of the variance of so many deviations.
        """
        found = np.cov(self.values.T, bias=True).reshape(len(self.names), -1)
        limit = chi2.ppf(_FAR, len(self.names))
        for _ in range(_STEPS):
            precision = np.linalg.inv(self.covariance + found)
            distance = np.einsum("ni,nij,nj->n", self.values, precision, self.values)
            near = self.values * np.minimum(1.0, np.sqrt(limit / np.maximum(distance, 1e-9)))[:, None]
            mean = np.einsum("ij,njk,nk->ni", found, precision, near)
            left = found - found @ precision @ found
            found = np.mean(mean[:, :, None] * mean[:, None] + left, axis=0)
        return found + np.sqrt(2.0 / len(near)) * (near.T @ near) / len(near)

    def report(self) -> dict[str, dict[str, float]]:
        """By label, median and robust scatter of the deviations, and the square root of its excess."""
        middle = np.median(self.values, axis=0)
        scatter = 1.4826 * np.median(np.abs(self.values - middle), axis=0)
        added = np.sqrt(np.diag(self.excess))
        rows = zip(self.names, middle.tolist(), scatter.tolist(), added.tolist(), strict=True)
        return {name: {"median": one, "scatter": other, "added": more} for name, one, other, more in rows}


def deviations(
    stars: Sequence[Star], folds: np.ndarray, emulators: Mapping[int, Emulator], settings: Mapping[str, Any]
) -> Deviations:
    """How far fits of the stars of each fold are from what is known of them.

    Parameters
    ----------
    stars : sequence of Star
    folds : ndarray of int, shape (n,)
    emulators : mapping of int to Emulator
        Of each fold, made without its stars.
    settings : mapping
        Of `rvsemu.fitting.Settings`.
    """
    names = next(iter(emulators.values())).labels.names
    values, covariance = [], []
    for fold, emulator in emulators.items():
        some = [stars[i] for i in np.flatnonzero(folds == fold).tolist()]
        spectra = [star.spectrum for star in some]
        results = fit_many(spectra, emulator=emulator, fixed=free_alpha(names), on_error="skip", **settings)
        for star, result in zip(some, results, strict=True):
            if isinstance(result, FitResult):
                known, errors = np.array([star.labels[name] for name in names]).T
                values.append([result.labels[name].value for name in names] - known)
                free = [result.free_names.index(name) for name in names]
                covariance.append(result.covariance[np.ix_(free, free)] + np.diag(errors**2))
    return Deviations(names, np.array(values), np.array(covariance))
