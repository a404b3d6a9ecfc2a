"""The inversion: flux -> principal components -> network -> labels, and its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from os import PathLike
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._display import labels_card
from .._frozen import frozen
from .._storage import check_output, opened, put, replacing
from .._values import numbers, one, reals
from ..emulator.files import check_grid, check_weights, read_common, read_network, write_common, write_network
from ..emulator.labels import LabelSpace
from ..emulator.network import DenseNetwork
from ..emulator.pca import PrincipalComponents
from ..errors import InversionFileError
from .label_errors import LabelErrors
from .noisy import NoiseNetworks

__all__ = ["Inversion", "Limits"]

FORMAT_VERSION = 1
_BATCH = 256


@frozen
class Limits:
    """How far the training spectra reach: what goes beyond is unlike them.

    Parameters
    ----------
    distance : float
        The largest mean square of a spectrum's coefficients (1 on average).
    residual : float
        The largest RMS of what the components leave of a spectrum.

    Examples
    --------
    >>> from rvsemu.inversion import shipped_inversion
    >>> limits = shipped_inversion().limits
    >>> bool(limits.distance > 1), bool(limits.residual < 0.1)
    (True, True)
    """

    distance: float
    residual: float


@frozen
class Inversion:
    """Trained networks that turn spectra into labels; frozen, `dataclasses.replace` makes another.

    Parameters
    ----------
    labels : LabelSpace
        What it gives, with units, bounds and scaling.
    principal : PrincipalComponents
        Flux to coefficients of unit variance.
    networks : tuple of DenseNetwork
        Coefficients to scaled labels: one network for all labels, or one for each, in their order.
    wavelength : ndarray, shape (n_pixels,)
        Uniform grid, Angstrom.
    medium : {'air', 'vacuum'}
    error : LabelErrors
        Measured on validation spectra.
    residual : ndarray, shape (n_pixels,)
        RMS of what the components leave of training spectra.
    limits : Limits
    noisy : NoiseNetworks or None
        What observed spectra are inverted with, instead of `networks`.
    info : dict
        recipe, version, metrics, fingerprint of the library, package versions ...
    history : dict of dict of ndarray
        Loss curves by network.

    Raises
    ------
    ValueError
        The parts do not fit each other.

    Examples
    --------
    >>> import rvsemu
    >>> from rvsemu.inversion import shipped_inversion
    >>> inversion = shipped_inversion()
    >>> flux = rvsemu.generate(teff=[5000, 6000], logg=4.4).flux.value
    >>> labels, errors = inversion.estimate(flux)
    >>> labels.shape == errors.shape == (2, len(inversion.labels))
    True
    >>> labels[:, inversion.labels.names.index("teff")].round(-3)
    array([5000., 6000.])
    """

    labels: LabelSpace
    principal: PrincipalComponents
    networks: tuple[DenseNetwork, ...]
    wavelength: np.ndarray
    medium: str
    error: LabelErrors
    residual: np.ndarray
    limits: Limits
    noisy: NoiseNetworks | None = None
    info: dict[str, Any] = field(default_factory=dict)
    history: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self):
        check_grid(self.wavelength, self.medium)
        k, n = len(self.principal.spread), len(self.labels)
        if self.principal.mean.shape != self.wavelength.shape:
            raise ValueError("the components do not fit the wavelengths")
        if not (self.principal.mean > 0).all():
            raise ValueError("the mean spectrum is not positive everywhere")
        if self.residual.shape != self.wavelength.shape or not np.all((self.residual >= 0) & (self.residual < np.inf)):
            raise ValueError("the residuals do not fit the wavelengths, or are no errors")
        if not (self.limits.distance > 0 and self.limits.residual > 0):
            raise ValueError("the limits of what is like training spectra are not positive")
        if any(len(network.layers[0].weights) != k for network in self.networks):
            raise ValueError("the networks do not fit the components")
        if sum(len(network.layers[-1].bias) for network in self.networks) != n:
            raise ValueError("the networks do not fit the labels")
        if not {"teff", "vsini"} <= set(self.labels.names):
            raise ValueError("teff or vsini is not among the labels")
        if self.error.sigma.shape[-1] != n:
            raise ValueError("the errors do not fit the labels")
        if self.noisy is not None and self.noisy.shape != (k, n):
            raise ValueError("the networks for noise do not fit the components or the labels")

    def __repr__(self):
        low, high = self.wavelength[[0, -1]]
        return (
            f"<Inversion {self.info.get('recipe')} {self.info.get('version')}: {len(self.wavelength)} fluxes, "
            f"{low:.1f}-{high:.1f} A in {self.medium} -> {len(self.principal.spread)} components -> "
            f"{', '.join(self.labels.names)}>"
        )

    def _repr_html_(self) -> str:
        """Labels with their ranges, grid and components, for notebooks."""
        low, high = self.wavelength[[0, -1]]
        lines = [
            f"{len(self.wavelength)} fluxes, {low:.1f}-{high:.1f} A in {self.medium}",
            f"{len(self.principal.spread)} principal components",
            f"{'without' if self.noisy is None else 'with'} networks for spectra with noise",
        ]
        title = f"Inversion: recipe {self.info.get('recipe')}, version {self.info.get('version')}"
        return labels_card(title, self.labels.labels, lines)

    # ------------------------------------------------------------------ plain floats
    def estimate(self, flux: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n, n_labels) and their errors on validation spectra, for fluxes (n, n_pixels) on its wavelengths.

        Plain floats, unchecked. Noise in `flux` makes larger errors: see `noise_covariance`.
        """
        labels = self.from_coefficients(self.coefficients(flux))
        return labels, self.sigma(labels)

    def coefficients(self, flux: ArrayLike) -> np.ndarray:
        """Coefficients (n, k) of fluxes (n, n_pixels)."""
        return self.principal.coefficients(np.atleast_2d(flux))

    def from_coefficients(self, coefficients: ArrayLike) -> np.ndarray:
        """Labels (n, n_labels) of coefficients (n, k)."""
        parts = [
            np.concatenate([network(part) for network in self.networks], axis=1)
            for part in _batches(np.atleast_2d(coefficients))
        ]
        return self.labels.unscaled(np.concatenate(parts).astype(float))

    def jacobian(self, coefficients: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n, n_labels) and d label / d coefficient (n, k, n_labels), per unit of each label."""
        both = [network.value_and_jacobian(np.atleast_2d(coefficients)) for network in self.networks]
        labels = self.labels.unscaled(np.concatenate([value for value, _ in both], axis=1).astype(float))
        slopes = np.concatenate([slope for _, slope in both], axis=2)
        return labels, slopes / self.labels.slope(labels)[:, None, :]

    def sigma(self, labels: ArrayLike) -> np.ndarray:
        """RMS errors (n, n_labels) on validation spectra whose inverted labels are near `labels` (n, n_labels)."""
        names = self.labels.names
        return self.error(*(np.atleast_2d(labels)[:, names.index(n)] for n in ("teff", "vsini")))

    def noise_covariance(self, sigma: ArrayLike) -> np.ndarray:
        """Covariance (k, k) of the coefficients that independent noise of `sigma` (n_pixels,) makes."""
        to = self.principal.basis / self.principal.spread[:, None] * np.broadcast_to(sigma, self.wavelength.shape)
        return to @ to.T

    def propagated(self, slopes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Errors (n_labels,) that a covariance (k, k) of coefficients makes through `slopes` (k, n_labels).

        To first order, and never more than of knowing nothing: the variance L^2 / 12 of a uniform distribution
        over the label's range L is a prior.
        """
        variance = np.einsum("kl,kj,jl->l", slopes, covariance, slopes)
        nothing = (self.labels.upper - self.labels.lower) ** 2 / 12.0
        return np.sqrt(variance * nothing / (variance + nothing))

    # ------------------------------------------------------------------ files
    def save(self, path: str | PathLike, dtype: DTypeLike = "float32", overwrite: bool = False) -> None:
        """Write the inversion to one HDF5 file, weights as `dtype`; replaces `path` only when complete.

        Raises
        ------
        InversionFileError
            The folder does not exist, the file does and `overwrite` does not allow to replace it, or `dtype` is neither
            float32 nor float16, or cannot hold the weights.
        """
        noisy = () if self.noisy is None else (self.noisy.posterior, self.noisy.forward)
        check_weights((*self.networks, *noisy), dtype, InversionFileError)
        with (
            replacing(check_output(path, InversionFileError, overwrite)) as temporary,
            h5py.File(temporary, "w") as file,
        ):
            write_common(file, "inversion", FORMAT_VERSION, self)
            for name in ("mean", "basis", "spread"):
                put(file, f"principal/{name}", getattr(self.principal, name).astype("f4"))
            put(file, "principal/residual", self.residual.astype("f4"))
            file["principal"].attrs.update(vars(self.limits))
            for i, network in enumerate(self.networks):
                write_network(file.create_group(f"networks/{i:02d}"), network, dtype)
            for name, values in vars(self.error).items():
                put(file, f"error/{name}", values)
            if self.noisy is not None:
                for name in ("posterior", "forward"):
                    write_network(file.create_group(f"noisy/{name}"), getattr(self.noisy, name), dtype)
                for name in ("forward_error", "prior"):
                    file["noisy"].attrs[name] = getattr(self.noisy, name)

    @classmethod
    def load(cls, path: str | PathLike) -> Inversion:
        """Read an inversion file.

        Raises
        ------
        InversionFileError
            The file is missing, is not an inversion, is damaged, or has a newer format.
        """
        with opened(path, "inversion", FORMAT_VERSION, InversionFileError) as file:
            return cls(**_read(file))


def _read(file: h5py.File) -> dict[str, Any]:
    group, error = file["principal"], file["error"]
    return {
        **read_common(file),
        "principal": PrincipalComponents(*(_single(group, name) for name in ("mean", "basis", "spread"))),
        "networks": tuple(read_network(file[f"networks/{name}"]) for name in sorted(file["networks"])),
        "error": LabelErrors(*(numbers(error, name) for name in ("teff", "vsini", "sigma"))),
        "residual": _single(group, "residual"),
        "limits": Limits(*(one(name, group.attrs[name]) for name in ("distance", "residual"))),
        "noisy": _read_noisy(file["noisy"]) if "noisy" in file else None,
    }


def _read_noisy(group: h5py.Group) -> NoiseNetworks:
    posterior, forward = (read_network(group[name]) for name in ("posterior", "forward"))
    return NoiseNetworks(posterior, forward, *(reals(name, group.attrs[name]) for name in ("forward_error", "prior")))


def _single(group: h5py.Group, name: str) -> np.ndarray:
    """Numbers of single precision, which are computed with in double precision."""
    return numbers(group, name, "f4").astype("f8")


def _batches(x: np.ndarray) -> Iterator[np.ndarray]:
    return (x[i : i + _BATCH] for i in range(0, len(x), _BATCH))
