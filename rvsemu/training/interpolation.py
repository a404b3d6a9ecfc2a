"""Spectra between the nodes of a library, by a Gaussian process on principal components of line strengths.

A library of a thousand spectra is dense enough for a Gaussian process (it uses how smoothly spectra
change) long before it is for a network, which sees nothing but examples. The process therefore
supplies the network's examples; it only ever knows the training part of the library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve, eigh, solve_triangular
from scipy.spatial.distance import cdist
from tqdm import tqdm

from ..library import Library
from .molecules import molecule_features
from .structures import labels_by_name, structure_features

__all__ = ["LibraryInterpolator"]

_COMPONENTS = 300
_WEAK = 0.07  # optical depth: strengths are linear in what is below, logarithmic in what is above
_DARKEST = 1e-3  # flux
_METAL_EDGE = 0.5
"""[M/H] of the last ATLAS9 structures: beyond it only abundances change, so spectra bend there."""
_SEARCHED = 1000
"""Largest number of spectra that the search for length scales looks at: its time grows with their cube."""
_START = {"inverse": 1.4, "teff": 1.4, "logg": 4.0, "mh": 3.3, "bend": 6.0, "vmic": 11.0, "alpha": 5.0}
"""Length scales with which the search begins, in units of the standard deviation: found with 900 spectra."""
_START_NOISE = 4e-6
_WITH_STRUCTURES = (
    *(2.2, 200.0, 400.0, 4.7, 18.0, 13.0, 12.0),
    *(10.0, 6.0, 5.5, 9.0, 12.0, 25.0, 17.0, 140.0, 24.0, 80.0, 24.0, 140.0, 140.0, 70.0, 400.0),
    *(9.0, 9.0, 5.0, 25.0, 25.0, 25.0),
    3.5e-7,
)
"""The same, noise included, where the features of structures and molecules are known: they take over from log g."""
_AT_ONCE = 1000  # sets of labels
_CHOICE = 20  # times as many labels as are wanted, to choose cool ones from
_NEAR = 20  # spectra whose errors say how large those of a place are
_PIXELS = slice(None, None, 4)  # that the search looks at
_SMALL = 2.5e-6  # squared error, below which less is hardly better
_STEP, _GROWTH = 0.4, 1.3
"""Of the logarithm of a length scale in the search, and its factor after a success; after a failure it is halved."""


def _features(library, labels):
    """Inputs of the kernel: Teff as 5040/Teff and as its logarithm, so that cool and hot stars both vary evenly, the
    other labels, what the structures are, which bend between their nodes and end at some (`structure_features`), and
    how strong molecules are, which come and go all at once (`molecule_features`)."""
    label = labels_by_name(library, labels)
    teff, logg, mh, vmic, alpha = (label[name] for name in ("teff", "logg", "mh", "vmic", "alpha"))
    bend = np.maximum(mh - _METAL_EDGE, 0.0)
    simple = np.stack([5040.0 / teff, np.log(teff), logg, mh, bend, vmic, alpha], axis=1)
    return np.concatenate([simple, structure_features(library, labels), molecule_features(library, labels)], axis=1)


def _start(features: int) -> np.ndarray:
    """Length scales and noise variance of a kernel with so many inputs, before any search."""
    simple = np.array([*_START.values(), _START_NOISE])
    return simple if len(simple) == features + 1 else np.array(_WITH_STRUCTURES)


def _strengths(flux):
    """Logarithms of optical depths -ln F, linear where these are small or negative.

    Optical depths of lines are products of powers of what abundance, temperature and pressure are: their logarithms
    change far more evenly with the labels than fluxes do.
    """
    depth = -np.log(np.maximum(flux, _DARKEST)) / _WEAK
    return np.log1p(np.maximum(depth, 0.0)) + np.minimum(depth, 0.0)


def _fluxes(strengths):
    """Inverse of `_strengths`."""
    return np.exp(-_WEAK * (np.expm1(np.maximum(strengths, 0.0)) + np.minimum(strengths, 0.0)))


def _leading(rows):
    """Right singular vectors of `rows` (n, m), those of the largest singular values."""
    n, m = rows.shape
    if n <= m:
        return np.linalg.svd(rows, full_matrices=False)[2][:_COMPONENTS]
    few = min(_COMPONENTS, m)
    return eigh(rows.T @ rows, subset_by_index=(m - few, m - 1))[1][:, ::-1].T


def _matern(a, b):
    """Matern kernel with nu = 7/2 and unit length."""
    d = np.sqrt(7.0) * cdist(a, b)
    return (1.0 + d + 0.4 * d**2 + d**3 / 15.0) * np.exp(-d)


def _left_out(factor, coefficients):
    """Rasmussen & Williams (2006), eq. 5.12: coefficients (n, k) predicted for each from the others, and variances (n,)
    in units of that of the process."""
    inverse = cho_solve(factor, np.eye(len(coefficients)))
    variance = 1.0 / np.diag(inverse)
    return coefficients - (inverse @ coefficients) * variance[:, None], variance


class LibraryInterpolator:
    """Gaussian-process interpolation of unbroadened spectra.

    Parameters
    ----------
    library : Library
        With labels teff, logg, mh, vmic, alpha, of which those that do not vary may be missing (teff may not). Where
        its provenance names the ATLAS9 structures, they are inputs of the kernel, too.
    evaluations : int
        Trials in the search for length scales, along one after the other (0 keeps the starting values). They minimise
        the mean logarithm of the leave-one-out error, so that a few odd spectra do not decide.
    progress : bool
    scales : ndarray, shape (k + 1,), optional
        Length scales and noise variance as another interpolator found them, instead of a search.

    Attributes
    ----------
    scales : ndarray, shape (k + 1,)
        Length scales of 5040/Teff, ln Teff, log g, [M/H], [M/H] above +0.5, vmic, alpha and the features of
        structures and molecules, each in units of its standard deviation in the library, and the noise variance.
    leave_one_out : ndarray, shape (n,)
        RMS error of the flux of each library spectrum when predicted from the others.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.library import Library
    >>> from rvsemu.training.interpolation import LibraryInterpolator
    >>> teff = np.linspace(5000.0, 7000.0, 12)
    >>> stars = rvsemu.generate(teff=teff, logg=4.4, resolution=14500)
    >>> wavelength, flux = stars.spectral_axis.value, stars.flux.value.astype("f4")
    >>> library = Library(np.column_stack([teff, np.full(12, 4.4)]), ("teff", "logg"), wavelength, flux, "air")
    >>> interpolator = LibraryInterpolator(library, evaluations=0)
    >>> between = interpolator([[6100.0, 4.4]])[0]
    >>> bool(abs(between - rvsemu.generate(teff=6100, logg=4.4, resolution=14500).flux.value).max() < 0.02)
    True
    """

    def __init__(
        self,
        library: Library,
        evaluations: int = 300,
        progress: bool = False,
        scales: ArrayLike | None = None,
    ) -> None:
        self.names, self._library = library.names, library
        strengths = _strengths(library.flux.astype("f8"))
        self._mean = strengths.mean(axis=0)
        strengths -= self._mean
        self._basis = _leading(strengths)
        coefficients = strengths @ self._basis.T
        raw = _features(library, library.labels)
        self._center, self._spread = raw.mean(axis=0), raw.std(axis=0)
        self._spread[self._spread == 0] = 1.0  # a label that does not vary, or no [M/H] above the edge
        self._x = (raw - self._center) / self._spread
        if scales is None:
            some = np.random.default_rng(0).permutation(len(library))[:_SEARCHED]
            scales = self._search(some, coefficients[some], evaluations, progress)
        self.scales = np.asarray(scales, dtype=float)
        self._factor = cho_factor(self._kernel(self._x, self.scales), lower=True)
        self._weights = cho_solve(self._factor, coefficients)
        predicted, self._alone = _left_out(self._factor, coefficients)
        parts = (slice(i, i + _AT_ONCE) for i in range(0, len(library), _AT_ONCE))
        squares = [np.mean((self._flux(predicted[rows]) - library.flux[rows]) ** 2, axis=1) for rows in parts]
        self.leave_one_out = np.sqrt(np.concatenate(squares))

    @staticmethod
    def _kernel(x, scales):
        x = x / scales[:-1]
        return _matern(x, x) + scales[-1] * np.eye(len(x))

    def _flux(self, coefficients, pixels=slice(None)):
        """Flux (n, m) of coefficients (n, k)."""
        return _fluxes(self._mean[pixels] + coefficients @ self._basis[:, pixels])

    def _search(self, some, coefficients, evaluations, progress):
        x, flux = self._x[some], self._library.flux[some][:, _PIXELS]
        start = _start(x.shape[1])
        if not evaluations:
            return start
        with tqdm(total=evaluations, desc="interpolator", disable=not progress, unit="", mininterval=1.0) as bar:

            def loss(logarithms):
                bar.update(1)
                scales = np.exp(np.clip(logarithms, -16, 6))
                factor = cho_factor(self._kernel(x, scales), lower=True)
                predicted = self._flux(_left_out(factor, coefficients)[0], _PIXELS)
                return np.mean(np.log(np.mean((predicted - flux) ** 2, axis=1) + _SMALL))

            found = _lowest(loss, np.log(start), evaluations)
        return np.exp(np.clip(found, -16, 6))

    def __call__(self, labels: ArrayLike) -> np.ndarray:
        """Unbroadened flux (n, n_wavelengths) at labels (n, n_labels), in the library's order and units."""
        x = (_features(self._library, np.atleast_2d(labels)) - self._center) / self._spread
        kernel = _matern(x / self.scales[:-1], self._x / self.scales[:-1])
        return self._flux(kernel @ self._weights)

    def expected_error(self, labels: ArrayLike) -> np.ndarray:
        """RMS error (n,) of the flux to be expected at labels (n, n_labels), in the library's order and units.

        The process knows how its variance depends on the distance to spectra that it has, by the same factor
        everywhere; here the factor is that of the spectra nearby, each left out in turn.
        """
        rows = np.atleast_2d(labels)
        parts = [self._expected_error(rows[i : i + _AT_ONCE]) for i in range(0, len(rows), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _expected_error(self, labels: np.ndarray) -> np.ndarray:
        x = (_features(self._library, labels) - self._center) / self._spread
        kernel = _matern(x / self.scales[:-1], self._x / self.scales[:-1])
        white = solve_triangular(self._factor[0], kernel.T, lower=True)
        variance = np.maximum(1.0 + self.scales[-1] - np.sum(white**2, axis=0), self.scales[-1])
        near = min(_NEAR, kernel.shape[1])
        nearest = np.argpartition(-kernel, near - 1, axis=1)[:, :near]
        level = np.mean((self.leave_one_out**2 / self._alone)[nearest], axis=1)
        return np.sqrt(variance * level)

    def draw(self, n: int, rng: np.random.Generator, cool_share: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n, n_labels) as `Library.draw` has them, and their flux.

        A `cool_share` of the labels are chosen out of many with a probability proportional to Teff^-3.
        """
        cool = round(cool_share * n)
        labels = self._library.draw(n - cool, rng)
        if cool:
            many = self._library.draw(_CHOICE * cool, rng)
            density = many[:, self.names.index("teff")] ** -3.0
            chosen = rng.choice(len(many), cool, replace=False, p=density / density.sum())
            labels = np.concatenate([labels, many[chosen]])
        return labels, self(labels)


def _lowest(loss, x: np.ndarray, evaluations: int) -> np.ndarray:
    """Where `loss` is lowest as far as so many `evaluations` tell, one coordinate after the other."""
    best, left = loss(x), evaluations - 1
    steps = np.full(len(x), _STEP)
    while left > 0:
        for i in range(len(x)):
            for sign in (1, -1):
                trial = x.copy()
                trial[i] += sign * steps[i]
                value, left = loss(trial), left - 1
                if value < best:
                    best, x, steps[i] = value, trial, steps[i] * _GROWTH
                    break
                if left <= 0:
                    return x
            else:
                steps[i] /= 2
    return x
