"""The emulator: stellar labels -> label network -> latent space -> decoder -> flux, and its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import csr_array

from .._display import labels_card
from .._frozen import frozen
from .._storage import check_output, opened, put, replacing
from .._values import numbers
from ..errors import EmulatorFileError, LabelError, SpectrumError
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import check_medium, convert_medium
from .accuracy import ErrorModel
from .files import check_grid, check_weights, read_common, read_network, write_common, write_network
from .labels import LabelSpace, lost
from .network import DenseNetwork, Layer

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["Emulator"]

FORMAT_VERSION = 1
MOST_BYTES = 4 * 2**30
"""Size of the largest result, in bytes, that `generate`, `Emulator.flux` and `Emulator.jacobian` make in one call."""
_OPTIONAL = {"components": "f4", "label_covariance": "f8"}  # parts of the error model
_ROUNDING = 1e-6  # Angstrom: the unit of a range does not decide on a pixel at its end
_BATCH = 256  # spectra at a time: the widest layer then stays within the caches


@frozen
class Emulator:
    """Trained pair of networks that turns labels into spectra; frozen, `dataclasses.replace` makes another.

    Parameters
    ----------
    labels : LabelSpace
        What it takes, with units, bounds and scaling.
    label_network : DenseNetwork
        Scaled labels to latent space.
    decoder : DenseNetwork
        Latent space to flux.
    wavelength : ndarray, shape (n_pixels,)
        Uniform grid, Angstrom.
    medium : {'air', 'vacuum'}
    error : ErrorModel
    info : dict
        recipe, version, metrics on the validation set, fingerprint of the library, package versions ...
    history : dict of dict of ndarray
        Loss curves by training stage.

    Raises
    ------
    ValueError
        The parts do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> import rvsemu
    >>> emulator = rvsemu.shipped()
    >>> emulator.labels.names[:3], emulator.medium
    (('teff', 'logg', 'vsini'), 'air')
    >>> star = emulator.labels.draw(1, np.random.default_rng(1))
    >>> flux, slopes = emulator.jacobian(star)
    >>> flux.shape, slopes.shape == (1, len(emulator.labels), 4000)
    ((1, 4000), True)
    >>> emulator.trimmed(8480, 8680).wavelength.round(1)[[0, -1]]
    array([8480., 8680.])
    """

    labels: LabelSpace
    label_network: DenseNetwork
    decoder: DenseNetwork
    wavelength: np.ndarray
    medium: str
    error: ErrorModel
    info: dict[str, Any] = field(default_factory=dict)
    history: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_grid(self.wavelength, self.medium)
        if self.error.sigma.shape[1:] != self.wavelength.shape:
            raise ValueError("the error model does not fit the wavelengths")
        first, last = self._network.layers[0], self._network.layers[-1]
        if (len(first.weights), len(last.bias)) != (len(self.labels), len(self.wavelength)):
            raise ValueError("the networks do not fit the labels and wavelengths")
        if len(self.error.label_covariance) not in (0, len(self.labels)):
            raise ValueError("the error model does not fit the labels")

    @cached_property
    def _network(self) -> DenseNetwork:
        return DenseNetwork(self.label_network.layers + self.decoder.layers)

    def __repr__(self) -> str:
        low, high = self.wavelength[[0, -1]]
        return (
            f"<Emulator {self.info.get('recipe')} {self.info.get('version')}: {', '.join(self.labels.names)} -> "
            f"{len(self.wavelength)} fluxes, {low:.1f}-{high:.1f} A in {self.medium}>"
        )

    def _repr_html_(self) -> str:
        """Labels with their ranges, grid and accuracy, for notebooks."""
        low, high = self.wavelength[[0, -1]]
        lines = [
            f"{len(self.wavelength)} fluxes, {low:.1f}-{high:.1f} A in {self.medium}",
            f"median RMS error {np.median(self.error.sigma):.2g} of the continuum, on validation spectra",
            *(["the lowest logg depends on teff"] if self.labels.lowest_logg else []),
        ]
        title = f"Emulator: recipe {self.info.get('recipe')}, version {self.info.get('version')}"
        return labels_card(title, self.labels.labels, lines)

    # ------------------------------------------------------------------ plain floats
    def flux(self, labels: ArrayLike) -> np.ndarray:
        """Normalised flux (n, n_pixels) for plain label values (n, n_labels), not held to the domain.

        Raises
        ------
        LabelError
            `labels` have another shape or are not finite, or the result would be larger than 4 GiB.
        """
        labels = self.labels.rows(labels)
        if len(labels) <= _BATCH:
            return self._network(self.labels.scaled(labels))
        out = _empty(len(labels), len(self.wavelength), dtype=self._network.layers[-1].bias.dtype)
        for some in _parts(len(labels)):
            out[some] = self._network(self.labels.scaled(labels[some]))
        return out

    def jacobian(self, labels: ArrayLike, by: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Flux (n, n_pixels) and d flux / d label (n, k, n_pixels), per unit of each label.

        Parameters
        ----------
        labels : array_like, shape (n, n_labels)
        by : sequence of int, optional
            Numbers of the k labels to derive by, from 0; default: all.

        Raises
        ------
        LabelError
            As for `flux`, or `by` has something else.
        """
        labels = self.labels.rows(labels)
        by = range(len(self.labels)) if by is None else self._numbers(by)
        _check_size(len(labels), (1 + len(by)) * len(self.wavelength), self._network.layers[-1].bias.dtype)
        flux, slope = self._network.value_and_jacobian(self.labels.scaled(labels), by)
        slope *= self.labels.slope(labels)[:, np.asarray(by, dtype=int), None].astype(slope.dtype)
        return flux, slope

    def _numbers(self, by: Sequence[int]) -> Sequence[int]:
        """Numbers of labels, if they are."""
        n, numbers = len(self.labels), np.asarray(by)
        if numbers.ndim != 1 or (numbers.size and not (numbers.dtype.kind in "iu" and set(by) <= set(range(n)))):
            raise LabelError(f"by={by!r}: give numbers from 0 to {n - 1}, of {', '.join(self.labels.names)}.")
        return by

    def sigma(self, labels: ArrayLike) -> np.ndarray:
        """RMS error (n, n_pixels) expected of `flux` at plain label values (n, n_labels)."""
        return self.error(**self._for_error(self.labels.rows(labels)))

    def error_covariance(
        self, labels: ArrayLike, at: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of the error of `flux` at plain labels (..., n_labels): see `ErrorModel.covariance`."""
        return self.error.covariance(**self._for_error(np.asarray(labels, dtype=float)), at=at)

    def _for_error(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Of labels (..., n_labels), by name, those that the error depends on."""
        names = self.labels.names
        return {name: labels[..., names.index(name)] for name in ("teff", *self.error.factors) if name in names}

    def astype(self, dtype: DTypeLike) -> Emulator:
        """The same emulator with weights, and so flux, of another precision."""
        networks = {name: getattr(self, name).astype(dtype) for name in ("label_network", "decoder")}
        return replace(self, **networks)

    def trimmed(self, low: float | u.Quantity, high: float | u.Quantity) -> Emulator:
        """The same emulator for the part of its grid that just covers `low` to `high` Angstrom (and is faster).

        Raises
        ------
        SpectrumError
            They are no wavelengths, in the wrong order, or outside the grid.
        """
        limits, (start, end) = self._limits(low, high), self.wavelength[[0, -1]]
        first = max(np.searchsorted(self.wavelength, limits[0] + _ROUNDING, side="right") - 1, 0)
        some = slice(first, np.searchsorted(self.wavelength, limits[1] - _ROUNDING) + 1)
        if not limits[0] <= limits[1] or len(self.wavelength[some]) < 2:
            raise SpectrumError(
                f"low={low}, high={high}: give a range, the lower end first, of the {start:.2f} to {end:.2f} A in "
                f"{self.medium} that the emulator covers."
            )
        last = self.decoder.layers[-1]
        last = Layer(np.ascontiguousarray(last.weights[:, some]), last.bias[some], last.activation)
        return replace(
            self,
            decoder=DenseNetwork((*self.decoder.layers[:-1], last)),
            wavelength=self.wavelength[some],
            error=self.error.trimmed(some),
        )

    @staticmethod
    def _limits(low: float | u.Quantity, high: float | u.Quantity) -> tuple[float, float]:
        """Both in Angstrom."""
        try:
            return float(u.Quantity(low, u.AA).value), float(u.Quantity(high, u.AA).value)
        except (TypeError, ValueError):
            raise SpectrumError(f"low={low}, high={high}: give two lengths, or floats in Angstrom.") from None

    # ------------------------------------------------------------------ units and Spectrum
    def spectrum(
        self,
        *,
        wavelength: ArrayLike | u.Quantity | None = None,
        medium: str | None = None,
        extrapolate: bool = False,
        **labels: ArrayLike | u.Quantity,
    ) -> Spectrum:
        """Spectrum for labels given as floats or Quantities; see `rvsemu.generate` for the arguments."""
        from specutils import Spectrum  # not above: plain fluxes do without it

        values = self.labels.values(extrapolate=extrapolate, **labels)
        rows = values.reshape(-1, len(self.labels))
        medium = _medium_of(wavelength, medium, self.medium)
        axis, sample = self._axis(wavelength, medium)
        _check_size(len(rows), 2 * len(axis), "f8")
        flux = np.empty((2, len(rows), len(axis)))
        for some in _parts(len(rows)):
            both = self.flux(rows[some]), self.sigma(rows[some])
            flux[:, some] = both if sample is None else [(to @ x.T).T for to, x in zip(sample, both, strict=True)]
        flux, sigma = flux
        shape = (*values.shape[:-1], len(axis))
        return Spectrum(
            spectral_axis=axis,
            flux=u.Quantity(flux.reshape(shape), copy=False),
            uncertainty=StdDevUncertainty(sigma.reshape(shape), copy=False),
            meta={
                "labels": {n: self.labels.quantity(n, values[..., i]) for i, n in enumerate(self.labels.names)},
                "medium": medium,
                "frame": "rest",
                "recipe": self.info.get("recipe"),
                "emulator_version": self.info.get("version"),
                "extrapolated": bool(not np.all(self.labels.inside(values))),
            },
        )

    def _axis(
        self, wavelength: ArrayLike | u.Quantity | None, medium: str
    ) -> tuple[u.Quantity, tuple[csr_array, csr_array] | None]:
        """Spectral axis, and the matrices that take flux and error there (None for the emulator's grid).

        The error is interpolated linearly: it is rough, and must stay positive.
        """
        if wavelength is None:
            return convert_medium(self.wavelength, self.medium, medium) * u.AA, None
        if what := lost(wavelength):
            raise SpectrumError(f"wavelength has {what}.")
        unit = getattr(wavelength, "unit", u.AA)
        try:
            plain = u.Quantity(wavelength, u.AA, dtype=float).value
        except (u.UnitConversionError, TypeError, ValueError):
            raise SpectrumError(f"wavelength has the unit '{unit}': give a length, or floats in Angstrom.") from None
        if plain.ndim != 1 or plain.size == 0 or not np.all(np.isfinite(plain)):
            raise SpectrumError("wavelength must be one row of finite numbers, in Angstrom unless it has a unit.")
        steps = np.diff(plain)
        if not (np.all(steps > 0) or np.all(steps < 0)):
            raise SpectrumError("wavelength must increase or decrease from point to point: sort it, without repeats.")
        here = convert_medium(plain, medium, self.medium)
        low, high = self.wavelength[[0, -1]]
        if here.min() < low - 1e-6 or here.max() > high + 1e-6:
            raise SpectrumError(
                f"wavelength runs from {plain.min():.2f} to {plain.max():.2f} A in {medium}: the emulator covers "
                f"{low:.2f} to {high:.2f} A in {self.medium}; choose wavelengths inside."
            )
        step = self.wavelength[1] - self.wavelength[0]
        here, grid = np.clip(here, low, high), (low, step, len(self.wavelength))
        return plain * u.AA, (interpolation_matrix(*grid, here), interpolation_matrix(*grid, here, order=2))

    # ------------------------------------------------------------------ files
    def save(self, path: str | PathLike, dtype: DTypeLike = "float32", overwrite: bool = False) -> None:
        """Write the emulator to one HDF5 file, weights as `dtype`; replaces `path` only when complete.

        With ``"float32"`` it is the same emulator when it is loaded again; ``"float16"`` makes files of half the size,
        and rounds the weights, which changes fluxes by some 1e-4.

        Raises
        ------
        EmulatorFileError
            The folder does not exist, the file does and `overwrite` does not allow to replace it, or `dtype` is another
            or cannot hold the weights.
        """
        networks = {name: getattr(self, name) for name in ("label_network", "decoder")}
        check_weights(networks.values(), dtype, EmulatorFileError)
        with (
            replacing(check_output(path, EmulatorFileError, overwrite)) as temporary,
            h5py.File(temporary, "w") as file,
        ):
            write_common(file, "emulator", FORMAT_VERSION, self)
            for name, network in networks.items():
                write_network(file.create_group(name), network, dtype)
            put(file, "error/teff", self.error.teff)
            for name, table in self.error.factors.items():
                put(file, f"error/factors/{name}", table)
            if len(self.error.label_covariance):
                put(file, "error/label_covariance", self.error.label_covariance)
            for name in ("sigma", "components"):
                put(file, f"error/{name}", getattr(self.error, name).astype("f4"), packed=True)

    @classmethod
    def load(cls, path: str | PathLike) -> Emulator:
        """Read an emulator file.

        Raises
        ------
        EmulatorFileError
            The file is missing, is not an emulator, is damaged, or has a newer format.
        """
        with opened(path, "emulator", FORMAT_VERSION, EmulatorFileError) as file:
            error = file["error"]
            more = {name: numbers(error, name, kind) for name, kind in _OPTIONAL.items() if name in error}
            return cls(
                **read_common(file),
                label_network=read_network(file["label_network"]),
                decoder=read_network(file["decoder"]),
                error=ErrorModel(
                    numbers(error, "teff"), numbers(error, "sigma", "f4"), **more, factors=_factors(error)
                ),
            )


def _factors(error: h5py.Group) -> dict[str, np.ndarray]:
    """Those of a file; the first ones had [M/H] alone."""
    if "mh" in error:
        return {"mh": np.stack([numbers(error, "mh"), numbers(error, "scale")])}
    tables = error.get("factors", {})
    return {name: numbers(tables, name) for name in tables}


def _medium_of(wavelength: ArrayLike | u.Quantity | None, stated: str | None, own: str) -> str:
    """The `stated` medium, or that of an emulator's `own` grid; never a guess for wavelengths of the user."""
    if stated is None and wavelength is not None:
        raise SpectrumError(
            "medium is not given: say whether wavelength is in air or in vacuum, as the wavelengths of Gaia are, with "
            "medium='air' or medium='vacuum'."
        )
    return check_medium(own if stated is None else stated)


def _parts(n: int) -> Iterator[slice]:
    return (slice(i, i + _BATCH) for i in range(0, n, _BATCH))


def _empty(rows: int, width: int, dtype: DTypeLike) -> np.ndarray:
    """Array for spectra, if it is not too large."""
    _check_size(rows, width, dtype)
    return np.empty((rows, width), dtype=dtype)


def _check_size(rows: int, width: int, dtype: DTypeLike) -> None:
    size = rows * width * np.dtype(dtype).itemsize
    if size > MOST_BYTES:
        raise LabelError(
            f"the result would take {size / 2**30:.1f} GiB, more than the {MOST_BYTES / 2**30:.0f} GiB of one call: "
            f"make it in parts, in a loop over at most {rows * MOST_BYTES // size} sets of labels"
        )
