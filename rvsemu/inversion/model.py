"""The inversion: flux -> principal components -> network -> labels, and its file."""

from __future__ import annotations

from dataclasses import dataclass, field

import h5py
import numpy as np

from .._storage import replacing
from ..emulator.files import opened, read_common, read_network, write_common, write_network
from ..emulator.labels import LabelSpace
from ..emulator.network import DenseNetwork
from ..emulator.pca import PrincipalComponents
from ..errors import InversionFileError
from .label_errors import LabelErrors

__all__ = ["Inversion", "Limits"]

FORMAT_VERSION = 1
_BATCH = 256


@dataclass(frozen=True)
class Limits:
    """How far the training spectra reach: what goes beyond is unlike them.

    Parameters
    ----------
    distance : float
        The largest mean square of a spectrum's coefficients (1 on average).
    residual : float
        The largest RMS of what the components leave of a spectrum.
    """

    distance: float
    residual: float


@dataclass(eq=False)
class Inversion:
    """Trained networks that turn spectra into labels.

    Parameters
    ----------
    labels : LabelSpace
        What it gives, with units, bounds and scaling.
    principal : PrincipalComponents
        Flux to coefficients of unit variance.
    networks : sequence of DenseNetwork
        Coefficients to scaled labels: one network for all labels, or one for each, in their order.
    wavelength : ndarray, shape (n_pixels,)
        Uniform grid, Angstrom.
    medium : {'air', 'vacuum'}
    error : LabelErrors
        Measured on validation spectra.
    residual : ndarray, shape (n_pixels,)
        RMS of what the components leave of training spectra.
    limits : Limits
    info : dict
        recipe, version, metrics, fingerprint of the library, package versions ...
    history : dict of dict of ndarray
        Loss curves by network.
    """

    labels: LabelSpace
    principal: PrincipalComponents
    networks: tuple[DenseNetwork, ...]
    wavelength: np.ndarray
    medium: str
    error: LabelErrors
    residual: np.ndarray
    limits: Limits
    info: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)

    def __repr__(self):
        low, high = self.wavelength[[0, -1]]
        return (
            f"<Inversion {self.info.get('recipe')} {self.info.get('version')}: {len(self.wavelength)} fluxes, "
            f"{low:.1f}-{high:.1f} A in {self.medium} -> {len(self.principal.spread)} components -> "
            f"{', '.join(self.labels.names)}>"
        )

    # ------------------------------------------------------------------ plain floats
    def estimate(self, flux) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n, n_labels) and their errors on validation spectra, for fluxes (n, n_pixels) on its wavelengths.

        Plain floats, unchecked. Noise in `flux` makes larger errors: see `noise_covariance`.
        """
        labels = self.from_coefficients(self.coefficients(flux))
        return labels, self.sigma(labels)

    def coefficients(self, flux) -> np.ndarray:
        """Coefficients (n, k) of fluxes (n, n_pixels)."""
        return self.principal.coefficients(np.atleast_2d(flux))

    def from_coefficients(self, coefficients) -> np.ndarray:
        """Labels (n, n_labels) of coefficients (n, k)."""
        parts = [
            np.concatenate([network(part) for network in self.networks], axis=1)
            for part in _batches(np.atleast_2d(coefficients))
        ]
        return self.labels.unscaled(np.concatenate(parts).astype(float))

    def jacobian(self, coefficients) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n, n_labels) and d label / d coefficient (n, k, n_labels), per unit of each label."""
        both = [network.value_and_jacobian(np.atleast_2d(coefficients)) for network in self.networks]
        labels = self.labels.unscaled(np.concatenate([value for value, _ in both], axis=1).astype(float))
        slopes = np.concatenate([slope for _, slope in both], axis=2)
        return labels, slopes / self.labels.slope(labels)[:, None, :]

    def sigma(self, labels) -> np.ndarray:
        """RMS errors (n, n_labels) on validation spectra whose inverted labels are near `labels` (n, n_labels)."""
        names = self.labels.names
        return self.error(*(np.atleast_2d(labels)[:, names.index(n)] for n in ("teff", "vsini")))

    def noise_covariance(self, sigma) -> np.ndarray:
        """Covariance (k, k) of the coefficients that independent noise of `sigma` (n_pixels,) makes."""
        to = self.principal.basis / self.principal.spread[:, None] * np.broadcast_to(sigma, self.wavelength.shape)
        return to @ to.T

    def propagated(self, slopes, covariance) -> np.ndarray:
        """Errors (n_labels,) that a covariance (k, k) of coefficients makes through `slopes` (k, n_labels).

        To first order, and never more than of knowing nothing: the variance L^2 / 12 of a uniform distribution
        over the label's range L is a prior.
        """
        variance = np.einsum("kl,kj,jl->l", slopes, covariance, slopes)
        nothing = (self.labels.upper - self.labels.lower) ** 2 / 12.0
        return np.sqrt(variance * nothing / (variance + nothing))

    # ------------------------------------------------------------------ files
    def save(self, path, dtype="float32") -> None:
        """Write the inversion to one HDF5 file, weights as `dtype`; replaces `path` only when complete."""
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            write_common(file, "inversion", FORMAT_VERSION, self)
            for name in ("mean", "basis", "spread"):
                file[f"principal/{name}"] = getattr(self.principal, name).astype("f4")
            file["principal/residual"] = self.residual.astype("f4")
            file["principal"].attrs.update(vars(self.limits))
            for i, network in enumerate(self.networks):
                write_network(file.create_group(f"networks/{i:02d}"), network, dtype)
            for name, values in vars(self.error).items():
                file[f"error/{name}"] = values

    @classmethod
    def load(cls, path) -> Inversion:
        """Read an inversion file.

        Raises
        ------
        InversionFileError
            The file is missing, is not an inversion, is damaged, or has a newer format.
        """
        with opened(path, "inversion", FORMAT_VERSION, InversionFileError) as file:
            out = cls(**_read(file))
            out._check()
            return out

    def _check(self):
        """Whether the parts fit together; `ValueError` if they do not."""
        k, pixels, n = len(self.principal.spread), len(self.wavelength), len(self.labels)
        if self.principal.basis.shape != (k, pixels) or self.principal.mean.shape != (pixels,):
            raise ValueError("the components do not fit the wavelengths")
        if self.residual.shape != (pixels,):
            raise ValueError("the residuals do not fit the wavelengths")
        if any(len(network.layers[0].weights) != k for network in self.networks):
            raise ValueError("the networks do not fit the components")
        if sum(len(network.layers[-1].bias) for network in self.networks) != n:
            raise ValueError("the networks do not fit the labels")
        if not {"teff", "vsini"} <= set(self.labels.names):
            raise ValueError("teff or vsini is not among the labels")
        nodes = (self.error.teff, self.error.vsini)
        if self.error.sigma.shape != (*map(len, nodes), n) or any(
            len(x) < 2 or not np.all(np.diff(x) > 0) for x in nodes
        ):
            raise ValueError("the errors do not fit the labels")
        principal = self.principal
        numbers = (principal.mean, principal.basis, principal.spread, self.residual, self.error.sigma)
        if not all(np.isfinite(x).all() for x in numbers) or not np.all(self.principal.spread > 0):
            raise ValueError("components or errors are not finite")


def _read(file) -> dict:
    group, error = file["principal"], file["error"]
    return {
        **read_common(file),
        "principal": PrincipalComponents(*(group[name][:].astype("f8") for name in ("mean", "basis", "spread"))),
        "networks": tuple(read_network(file[f"networks/{name}"]) for name in sorted(file["networks"])),
        "error": LabelErrors(*(error[name][:] for name in ("teff", "vsini", "sigma"))),
        "residual": group["residual"][:].astype("f8"),
        "limits": Limits(float(group.attrs["distance"]), float(group.attrs["residual"])),
    }


def _batches(x):
    return (x[i : i + _BATCH] for i in range(0, len(x), _BATCH))
