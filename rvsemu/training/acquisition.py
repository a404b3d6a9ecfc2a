"""Where the next spectra of a library are worth most: where the interpolation between those it has is worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import LibraryFileError
from ..library import Library
from .interpolation import LibraryInterpolator

__all__ = ["neediest"]


def neediest(
    library: Library, names: Sequence[str], labels: np.ndarray, most: int, seed: int = 1, progress: bool = False
) -> np.ndarray:
    """Rows of the labels (n, n_labels) that a library would learn most from, at random with the squared error expected.

    Chance keeps the choice from crowding in one place, as errors of neighbours fall together with the first new one.

    Parameters
    ----------
    library : Library
        What is there.
    names : sequence of str
        Of the labels, those of the library in any order.
    labels : ndarray, shape (n, n_labels)
    most : int
        Number of rows to choose; all of them if there are not more.
    seed : int
    progress : bool
        Show a bar of the search for the length scales.

    Returns
    -------
    ndarray of int, shape (min(most, n),)
        Increasing.

    Raises
    ------
    LibraryFileError
        The library has other labels.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.acquisition import neediest
    >>> teff = np.append(np.linspace(5000.0, 6000.0, 12), 7000.0)
    >>> stars = rvsemu.generate(teff=teff, logg=4.4, resolution=14500)
    >>> wavelength, flux = stars.spectral_axis.value, stars.flux.value.astype("f4")
    >>> library = Library(np.column_stack([teff, np.full(13, 4.4)]), ("teff", "logg"), wavelength, flux, "air")
    >>> candidates = np.array([[5500.0, 4.4], [5800.0, 4.4], [6500.0, 4.4]])
    >>> neediest(library, ("teff", "logg"), candidates, most=1)  # the hole between 6000 and 7000 K
    array([2])
    """
    if set(names) != set(library.names):
        raise LibraryFileError(f"the library has the labels {', '.join(library.names)}, not {', '.join(names)}.")
    if most >= len(labels):
        return np.arange(len(labels))
    interpolator = LibraryInterpolator(library, progress=progress)
    error = interpolator.expected_error(labels[:, [list(names).index(name) for name in library.names]])
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(len(labels), most, replace=False, p=error**2 / np.sum(error**2)))
