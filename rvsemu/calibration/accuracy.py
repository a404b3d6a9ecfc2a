"""Error model of a calibrated emulator: what stars that it was not calibrated on have left beyond their noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..emulator import Emulator, ErrorModel
from ..observing.noise import ModelError
from .held_out import Left

__all__ = ["error_model"]

_SMOOTH = 10.0  # points
_MOST_COMPONENTS = 3
_BLOCK = 40  # points: errors of lines do not reach further
_FLIPS = 20
_FEWEST = 10  # stars for components
_DRAWS = 300  # spectra whose mean is that of a range of Teff


def error_model(
    emulator: Emulator, left: Left, labels: np.ndarray, errors: tuple[ModelError, ModelError], seed: int
) -> ErrorModel:
    """The error model with what held-out stars add to it, between the lowest and highest Teff of the stars.

    There the variance of a pixel grows by what the mean square of the residuals has beyond the noise, the emulator's
    own error and the new model error, smoothed by 1 Angstrom; principal components of the residuals are added whose
    power is above that of the same residuals with random signs in blocks of 4 Angstrom. Elsewhere the stars say
    nothing, and the difference of the old and the new model error is in the emulator's own error.

    Parameters
    ----------
    emulator : Emulator
        The calibrated one.
    left : Left
    labels : ndarray, shape (n, n_labels)
        Of the stars.
    errors : (ModelError, ModelError)
        Old and new.
    seed : int
    """
    model, names = emulator.error, emulator.labels.names
    teff = labels[:, names.index("teff")]
    old, new = errors
    flux = emulator.flux(labels).astype("f8")
    expected = emulator.sigma(labels) ** 2 + new.sigma(flux) ** 2
    excess = left.residual**2 - left.noise**2 - expected
    more = np.maximum(_mean(excess), 0.0)
    components = _components(left, seed)
    more = np.maximum(more, np.sum(components**2, axis=0))
    inside = (model.teff >= teff.min()) & (model.teff <= teff.max())
    nearest = np.argmin(np.abs(model.teff - np.median(teff)))
    inside[nearest] = True
    scale = np.mean(model.factor(dict(zip(names, labels.T, strict=True))))
    beyond = _beyond(emulator, old, new)
    sigma = np.sqrt(model.sigma**2 + np.where(inside[:, None], more / scale**2, beyond))
    added = np.where(inside[:, None, None], components / scale, 0.0)
    return replace(model, sigma=sigma, components=np.concatenate([model.components, added], axis=1))


def _mean(excess: np.ndarray) -> np.ndarray:
    """Mean (m,) of rows (n, m) with NaN where nothing is known, smoothed; 0 where there are none."""
    known = np.isfinite(excess)
    total, number = (
        gaussian_filter1d(x.sum(axis=0).astype(float), _SMOOTH, mode="constant")
        for x in (np.where(known, excess, 0.0), known)
    )
    return np.where(known.any(axis=0), total / np.maximum(number, 1e-9), 0.0)


def _components(left: Left, seed: int) -> np.ndarray:
    """Leading components (c, m) of the residuals, of a power that is not by chance."""
    rows = np.nan_to_num(left.residual)
    n, m = rows.shape
    none = np.zeros((0, m))
    if n < _FEWEST:
        return none
    values, vectors = np.linalg.eigh(rows @ rows.T / n)
    rng = np.random.default_rng(seed)
    chance = 0.0
    for _ in range(_FLIPS):
        signs = np.repeat(rng.choice([-1.0, 1.0], size=(n, -(-m // _BLOCK))), _BLOCK, axis=1)[:, :m]
        flipped = rows * signs
        chance = max(chance, float(np.linalg.eigvalsh(flipped @ flipped.T / n)[-1]))
    kept = [i for i in range(n - 1, max(n - 1 - _MOST_COMPONENTS, -1), -1) if values[i] > chance]
    if not kept:
        return none
    shapes = vectors[:, kept].T @ rows
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    return shapes * np.sqrt(values[kept] - chance)[:, None]


def _beyond(emulator: Emulator, old: ModelError, new: ModelError) -> np.ndarray:
    """Difference (k, m) of the variances of two model errors, not below 0, for mean spectra at the nodes of Teff."""
    labels = emulator.labels.draw(_DRAWS, np.random.default_rng(0))
    at = emulator.labels.names.index("teff")
    out = []
    for node in emulator.error.teff:
        labels[:, at] = np.clip(node, emulator.labels.lower[at], emulator.labels.upper[at])
        flux = emulator.flux(emulator.labels.clipped(labels)).astype("f8").mean(axis=0)
        out.append(np.maximum(old.sigma(flux) ** 2 - new.sigma(flux) ** 2, 0.0))
    return np.array(out)
