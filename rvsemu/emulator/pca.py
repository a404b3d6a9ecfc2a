"""Between flux and networks: the mean spectrum, or principal components."""

from __future__ import annotations

import numpy as np

from .._frozen import frozen
from .network import DenseNetwork, Layer

__all__ = ["MeanSpectrum", "PrincipalComponents"]

_ROWS = 6000  # spectra that the components are computed from
_FEW = 40  # for a smaller share of all components than one in so many, a full decomposition is a waste
_MORE, _ITERATIONS = 30, 6
_ROUNDING = 1e-2  # of squared lengths, also in files of half precision


@frozen
class MeanSpectrum:
    """flux = mean + coefficients.

    Parameters
    ----------
    mean : ndarray, shape (m,)

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.emulator.pca import MeanSpectrum
    >>> flux = np.array([[1.0, 0.6], [1.0, 0.8]])
    >>> mean = MeanSpectrum.of(flux)
    >>> mean.mean
    array([1. , 0.7])
    >>> mean.coefficients(flux).round(3)
    array([[ 0. , -0.1],
           [ 0. ,  0.1]])
    """

    mean: np.ndarray
    weights = None  # the loss is that of the flux as it is

    @classmethod
    def of(cls, flux: np.ndarray) -> MeanSpectrum:
        """Of training spectra (n, m), evenly picked."""
        return cls(np.mean(flux[:: max(1, len(flux) // _ROWS)], axis=0, dtype="f8"))

    def coefficients(self, flux: np.ndarray) -> np.ndarray:
        """Deviations (n, m) from the mean, float32."""
        return flux - self.mean.astype("f4")

    def merged(self, decoder: DenseNetwork) -> DenseNetwork:
        """`decoder` ending in flux instead of deviations: its last layer must be linear."""
        *layers, last = _linear_end(decoder)
        return DenseNetwork((*layers, Layer(last.weights, (last.bias + self.mean).astype("f4"))))


@frozen
class PrincipalComponents:
    """flux = mean + (coefficients * spread) @ basis, with coefficients of unit variance.

    Parameters
    ----------
    mean : ndarray, shape (m,)
    basis : ndarray, shape (k, m), orthonormal rows
    spread : ndarray, shape (k,), positive

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, a spread not positive or the length of a row of
        `basis` not 1.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> from rvsemu.emulator.pca import PrincipalComponents
    >>> flux = rvsemu.generate(teff=np.linspace(4000, 8000, 50), logg=4.4).flux.value
    >>> principal = PrincipalComponents.of(flux, components=5)
    >>> coefficients = principal.coefficients(flux)
    >>> coefficients.shape
    (50, 5)
    >>> left = principal.rebuilt(coefficients) - flux
    >>> bool(left.var() < 0.1 * (flux - principal.mean).var())
    True
    """

    mean: np.ndarray
    basis: np.ndarray
    spread: np.ndarray

    def __post_init__(self) -> None:
        if self.basis.shape != (*self.spread.shape, *self.mean.shape) or self.basis.ndim != 2:
            raise ValueError("mean, basis and spread of the components do not fit each other")
        if not all(np.isfinite(x).all() for x in (self.mean, self.basis, self.spread)) or not np.all(self.spread > 0):
            raise ValueError("the components are not finite, or a spread is not positive")
        if not np.allclose(np.einsum("kn,kn->k", self.basis, self.basis), 1.0, atol=_ROUNDING):
            raise ValueError("the components have not the length 1")

    @classmethod
    def of(cls, flux: np.ndarray, components: int) -> PrincipalComponents:
        """From training spectra (n, m), evenly picked."""
        rows = np.array(flux[:: max(1, len(flux) // _ROWS)], dtype="f8")  # a copy: it is centred in place
        mean = rows.mean(axis=0)
        rows -= mean
        few = components <= min(rows.shape) // _FEW
        singular, basis = _leading(rows, components) if few else np.linalg.svd(rows, full_matrices=False)[1:]
        k = min(components, np.count_nonzero(singular > 1e-6 * singular[0]))  # no more than the spectra span
        return cls(mean, basis[:k], singular[:k] / np.sqrt(len(rows)))

    def coefficients(self, flux: np.ndarray, batch: int = 4096) -> np.ndarray:
        """Coefficients (n, k) of spectra (n, m), float32."""
        to = (self.basis.T / self.spread).astype("f4")
        mean = self.mean.astype("f4")
        return np.concatenate([(flux[i : i + batch] - mean) @ to for i in range(0, len(flux), batch)])

    def rebuilt(self, coefficients: np.ndarray) -> np.ndarray:
        """Spectra (n, m) of coefficients (n, k), float32: what the components keep of the spectra they came from."""
        to_flux = (self.spread[:, None] * self.basis).astype("f4")
        return np.asarray(coefficients, dtype="f4") @ to_flux + self.mean.astype("f4")

    @property
    def weights(self) -> np.ndarray:
        """For a loss on coefficients: with them its mean over components is the mean squared error of
        the flux (without what the components leave out), since the basis is orthonormal."""
        return self.spread**2 * len(self.spread) / self.basis.shape[1]

    def merged(self, decoder: DenseNetwork) -> DenseNetwork:
        """`decoder` ending in flux instead of coefficients: its last layer must be linear."""
        *layers, last = _linear_end(decoder)
        to_flux = self.spread[:, None] * self.basis
        weights, bias = last.weights @ to_flux, last.bias @ to_flux + self.mean
        return DenseNetwork((*layers, Layer(weights.astype("f4"), bias.astype("f4"), "linear")))


def _leading(rows: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading singular values (k,) and right vectors (k, m) by subspace iteration (Halko et al. 2011, SIAM Rev. 53,
    217, algorithms 4.4 and 5.1), from the same start each time."""
    start = np.random.default_rng(0).normal(size=(rows.shape[1], components + _MORE))
    basis = np.linalg.qr(rows @ start)[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(rows @ np.linalg.qr(rows.T @ basis)[0])[0]
    _, singular, right = np.linalg.svd(basis.T @ rows, full_matrices=False)
    return singular[:components], right[:components]


def _linear_end(decoder: DenseNetwork) -> tuple[Layer, ...]:
    """The layers of `decoder`, the last of which a linear map can be merged into."""
    last = decoder.layers[-1].activation
    if last != "linear":
        raise ValueError(f"the decoder ends in {last}: only a linear layer can be merged")
    return decoder.layers
