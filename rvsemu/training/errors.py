"""How far an emulator is from the spectra it was not trained on, as the error model of its file."""

from __future__ import annotations

import numpy as np

from ..emulator import ErrorModel
from ..errors import TrainingError
from .draws import split_library

__all__ = ["TEFF_EDGES", "error_model", "measure_errors"]

TEFF_EDGES = np.array([3600.0, 4200, 5000, 6000, 7200, 8500, 10500, 12500, 15001])
"""K; errors are measured in the ranges between."""

_COMPONENTS = 6
_FEWEST = 10  # spectra in a range


def error_model(teff, error, components=_COMPONENTS) -> ErrorModel:
    """RMS per pixel, and the leading principal components, in ranges of Teff, at the ranges' middles.

    Parameters
    ----------
    teff : ndarray, shape (n,)
    error : ndarray, shape (n, n_pixels)
        Predicted - true. Errors are not centred: a mean error is an error.
    components : int
        At most so many in each range.

    Returns
    -------
    ErrorModel
        Its components are the eigenvectors of the second moments times the roots of their eigenvalues.
    """
    middles, sigma, leading = [], [], []
    for low, high in zip(TEFF_EDGES[:-1], TEFF_EDGES[1:], strict=True):
        rows = (teff >= low) & (teff < high)
        if np.count_nonzero(rows) >= _FEWEST:
            middles.append((low + high) / 2)
            some = np.asarray(error[rows], dtype="f8")
            sigma.append(np.sqrt(np.mean(some**2, axis=0)))
            leading.append(_leading(some, components))
    if len(middles) < 2:
        every = np.asarray(error, dtype="f8")
        middles = [TEFF_EDGES[0], TEFF_EDGES[-1]]
        sigma, leading = [np.sqrt(np.mean(every**2, axis=0))] * 2, [_leading(every, components)] * 2
    return ErrorModel(np.array(middles), np.array(sigma), np.array(leading))


def _leading(error, count):
    """Rows u (count, n_pixels) whose sum of u u^T is closest to the mean of e e^T; zeros where there are too few."""
    moments = error.T @ error if len(error) > error.shape[1] else error @ error.T
    values, vectors = np.linalg.eigh(moments / len(error))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    if len(moments) == error.shape[1]:
        rows = vectors.T * np.sqrt(np.maximum(values, 0.0))[:, None]
    else:
        rows = vectors.T @ error / np.sqrt(len(error))
    out = np.zeros((count, error.shape[1]))
    out[: len(rows)] = rows
    return out


def measure_errors(emulator, library, draws=20000, seed=0) -> ErrorModel:
    """The error model of an emulator from the library it was trained on: NumPy alone, a few minutes.

    For emulator files from before error models had components:

    .. code-block:: python

        emulator.error = measure_errors(emulator, Library.load("library/rvs_library.h5"))
        emulator.save(path)

    Parameters
    ----------
    emulator : Emulator
        Its ``info`` says which library spectra were held out.
    library : Library
    draws : int
        Of a held-out spectrum with v sin i and resolution at random in their domains.
    seed : int

    Returns
    -------
    ErrorModel

    Raises
    ------
    TrainingError
        The emulator was trained on another library.
    """
    trained_on = emulator.info["library"]["fingerprint"]
    if trained_on != library.fingerprint():
        raise TrainingError(f"the emulator was trained on library {trained_on}, not on {library.fingerprint()}.")
    held_out = split_library(len(library), emulator.info["settings"]["validation"], emulator.info["seed"])
    library = library.subset(held_out)
    space, rng = emulator.labels, np.random.default_rng(seed)
    broadener = library.broadener(emulator.wavelength)
    order = np.sort(rng.integers(len(library), size=draws))
    labels = np.empty((draws, len(space)))
    for i, label in enumerate(space.labels):
        drawn = label.lower + (label.upper - label.lower) * rng.random(draws)
        known = label.name in library.names
        labels[:, i] = library.labels[order, library.names.index(label.name)] if known else drawn
    instrument = [space.names.index(n) for n in ("vsini", "resolution")]
    error = np.empty((draws, len(emulator.wavelength)), dtype="f4")
    for star in np.unique(order):
        rows = np.flatnonzero(order == star)
        transform = broadener.transform(library.flux[star])
        error[rows] = [broadener.apply(transform, *one) for one in labels[rows][:, instrument]]
    for start in range(0, draws, 1024):
        rows = slice(start, start + 1024)
        error[rows] = emulator.flux(labels[rows]) - error[rows]
    return error_model(labels[:, space.names.index("teff")], error)
