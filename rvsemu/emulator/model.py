"""The emulator: stellar labels -> label network -> latent space -> decoder -> flux, and its file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from astropy import units as u
from astropy.nddata import StdDevUncertainty

from .._compat import Spectrum
from .._storage import is_path, replacing, shipped_files
from ..errors import EmulatorFileError, LabelError, SpectrumError
from ..physics.resampling import interpolation_matrix
from ..physics.wavelengths import check_medium, convert_medium
from .accuracy import ErrorModel
from .files import opened, read_common, read_network, write_common, write_network
from .labels import LabelSpace
from .network import DenseNetwork, Layer

__all__ = ["DEFAULT", "Emulator", "generate", "resolve", "shipped"]

FORMAT_VERSION = 1
DEFAULT = "default"
_BATCH = 256  # spectra at a time: the widest layer then stays within the caches


@dataclass(eq=False)
class Emulator:
    """A trained pair of networks that turns labels into spectra.

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
    """

    labels: LabelSpace
    label_network: DenseNetwork
    decoder: DenseNetwork
    wavelength: np.ndarray
    medium: str
    error: ErrorModel
    info: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)

    def __post_init__(self):
        self._network = DenseNetwork(self.label_network.layers + self.decoder.layers)

    def __repr__(self):
        low, high = self.wavelength[[0, -1]]
        return (
            f"<Emulator {self.info.get('recipe')} {self.info.get('version')}: {', '.join(self.labels.names)} -> "
            f"{len(self.wavelength)} fluxes, {low:.1f}-{high:.1f} A in {self.medium}>"
        )

    # ------------------------------------------------------------------ plain floats
    def flux(self, labels) -> np.ndarray:
        """Normalised flux (n, n_pixels) for plain label values (n, n_labels), unchecked."""
        labels = np.atleast_2d(labels)
        out = np.empty((len(labels), len(self.wavelength)), dtype=self._network.layers[-1].bias.dtype)
        for i in range(0, len(labels), _BATCH):
            out[i : i + _BATCH] = self._network(self.labels.scaled(labels[i : i + _BATCH]))
        return out

    def jacobian(self, labels) -> tuple[np.ndarray, np.ndarray]:
        """Flux (n, n_pixels) and d flux / d label (n, n_labels, n_pixels), per unit of each label."""
        labels = np.atleast_2d(labels)
        flux, slope = self._network.value_and_jacobian(self.labels.scaled(labels))
        return flux, slope * self.labels.slope(labels)[:, :, None].astype(slope.dtype)

    def sigma(self, labels) -> np.ndarray:
        """RMS error (n, n_pixels) expected of `flux` at plain label values (n, n_labels)."""
        return self.error(np.atleast_2d(labels)[:, self.labels.names.index("teff")])

    def error_covariance(self, labels) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of the error of `flux` at one star's plain labels: see `ErrorModel.covariance`."""
        return self.error.covariance(labels[self.labels.names.index("teff")])

    def trimmed(self, low, high) -> Emulator:
        """The same emulator for the part of its grid that just covers `low` to `high` Angstrom (and is faster)."""
        first = max(np.searchsorted(self.wavelength, low, side="right") - 1, 0)
        some = slice(first, np.searchsorted(self.wavelength, high) + 1)
        last = self.decoder.layers[-1]
        last = Layer(np.ascontiguousarray(last.weights[:, some]), last.bias[some], last.activation)
        error = self.error
        components = None if error.components is None else error.components[..., some]
        return replace(
            self,
            decoder=DenseNetwork([*self.decoder.layers[:-1], last]),
            wavelength=self.wavelength[some],
            error=ErrorModel(error.teff, error.sigma[:, some], components),
        )

    # ------------------------------------------------------------------ units and Spectrum
    def spectrum(self, *, wavelength=None, medium=None, extrapolate=False, **labels) -> Spectrum:
        """Spectrum for labels given as floats or Quantities; see `rvsemu.generate` for the arguments."""
        values = self.labels.values(extrapolate=extrapolate, **labels)
        rows = values.reshape(-1, len(self.labels))
        medium = check_medium(self.medium if medium is None else medium)
        axis, sample = self._axis(wavelength, medium)
        flux, sigma = self.flux(rows), self.sigma(rows)
        if sample is not None:
            flux, sigma = (sample[0] @ flux.T).T, (sample[1] @ sigma.T).T
        shape = (*values.shape[:-1], len(axis))
        return Spectrum(
            spectral_axis=axis,
            flux=u.Quantity(flux.reshape(shape).astype(float), copy=False),
            uncertainty=StdDevUncertainty(sigma.reshape(shape)),
            meta={
                "labels": {n: self.labels.quantity(n, values[..., i]) for i, n in enumerate(self.labels.names)},
                "medium": medium,
                "frame": "rest",
                "recipe": self.info.get("recipe"),
                "emulator_version": self.info.get("version"),
                "extrapolated": bool(not np.all(self.labels.inside(values))),
            },
        )

    def _axis(self, wavelength, medium):
        """Spectral axis, and the matrices that take flux and error there (None for the emulator's grid).

        The error is interpolated linearly: it is rough, and must stay positive.
        """
        if wavelength is None:
            return convert_medium(self.wavelength, self.medium, medium) * u.AA, None
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
    def save(self, path, dtype="float16") -> None:
        """Write the emulator to one HDF5 file, weights as `dtype`; replaces `path` only when complete."""
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            write_common(file, "emulator", FORMAT_VERSION, self)
            for name in ("label_network", "decoder"):
                write_network(file.create_group(name), getattr(self, name), dtype)
            file["error/teff"] = self.error.teff
            file.create_dataset("error/sigma", data=self.error.sigma.astype("f4"), compression="gzip", shuffle=True)
            if self.error.components is not None:
                components = self.error.components.astype("f4")
                file.create_dataset("error/components", data=components, compression="gzip", shuffle=True)

    @classmethod
    def load(cls, path) -> Emulator:
        """Read an emulator file.

        Raises
        ------
        EmulatorFileError
            The file is missing, is not an emulator, is damaged, or has a newer format.
        """
        with opened(path, "emulator", FORMAT_VERSION, EmulatorFileError) as file:
            return cls(**_read(file))


def _read(file) -> dict:
    parts = {
        **read_common(file),
        "label_network": read_network(file["label_network"]),
        "decoder": read_network(file["decoder"]),
        "error": _read_error(file["error"]),
    }
    grid, error = parts["wavelength"], parts["error"]
    if error.sigma.shape != (len(error.teff), len(grid)) or not np.all(np.diff(error.teff) > 0) or len(error.teff) < 2:
        raise ValueError("the error model does not fit the wavelengths")
    if error.components is not None and (
        error.components.ndim != 3 or error.components.shape[::2] != error.sigma.shape
    ):
        raise ValueError("the components of the error model do not fit the wavelengths")
    if not all(np.isfinite(x).all() for x in (error.sigma, error.components) if x is not None):
        raise ValueError("the error model is not finite")
    first, last = parts["label_network"].layers[0], parts["decoder"].layers[-1]
    if first.weights.shape[0] != len(parts["labels"]) or len(last.bias) != len(parts["wavelength"]):
        raise ValueError("the networks do not fit the labels and wavelengths")
    return parts


def _read_error(group) -> ErrorModel:
    components = group["components"][:] if "components" in group else None  # files before it have none
    return ErrorModel(group["teff"][:], group["sigma"][:], components)


def shipped(name: str = DEFAULT) -> Emulator:
    """An emulator that comes with the package, by the name of its recipe; read once a process.

    Raises
    ------
    EmulatorFileError
        There is none of that name.

    Examples
    --------
    >>> import rvsemu
    >>> rvsemu.shipped("default").labels.names
    ('teff', 'logg', 'vsini', 'mh', 'vmic', 'resolution')
    """
    files = shipped_files("emulators")
    if name not in files:
        raise EmulatorFileError(f"emulator '{name}' is not shipped: use one of {', '.join(sorted(files))}, or a path.")
    return _loaded_once(files[name])


@lru_cache(maxsize=4)
def _loaded_once(path: Path) -> Emulator:
    return Emulator.load(path)


def resolve(emulator=None) -> Emulator:
    """The `Emulator` meant by None (the default one), a shipped name, a path, or an Emulator."""
    if isinstance(emulator, Emulator):
        return emulator
    if emulator is None:
        return shipped()
    return Emulator.load(emulator) if is_path(emulator) else shipped(str(emulator))


def generate(
    teff,
    logg,
    vsini=0.0,
    mh=0.0,
    vmic=1.0,
    resolution=11500.0,
    *,
    wavelength=None,
    medium="air",
    emulator=None,
    extrapolate=False,
) -> Spectrum:
    """Generate stellar spectra from labels.

    Parameters
    ----------
    teff : float, array or Quantity
        Effective temperature, K (3600-15000).
    logg : float, array or Quantity
        Surface gravity, log10 of cm/s2 (2-5).
    vsini : float, array or Quantity
        Projected equatorial rotational velocity, km/s (0-300).
    mh : float, array or Quantity
        Metallicity [M/H], dex (-1.5-1.5).
    vmic : float, array or Quantity
        Microturbulent velocity, km/s (0-4).
    resolution : float, array or Quantity
        Resolving power lambda / FWHM (5000-14500).
    wavelength : array or Quantity, optional
        Where to evaluate (floats: Angstrom), within the emulator's range. Default: its own grid,
        4000 points from 8400.0 to 8799.9 A in air.
    medium : {'air', 'vacuum'}
        Of `wavelength` and of the result.
    emulator : Emulator, str or path, optional
        Another emulator than the default one: a shipped one by name, or a file.
    extrapolate : bool
        Allow labels outside the training domain; ``meta["extrapolated"]`` then says so.

    Returns
    -------
    specutils.Spectrum
        Normalised flux; labels that are arrays broadcast and give one Spectrum with the flux of
        shape (..., n_wavelengths). The uncertainty is the emulator's own RMS error on validation
        spectra. `meta` has labels, medium, frame, recipe, emulator_version, extrapolated.

    Raises
    ------
    LabelError
        A label is not finite, of the wrong unit, or outside the domain.
    SpectrumError
        `wavelength` leaves the emulator's range, or `medium` is unknown.

    Notes
    -----
    ``Spectrum = decoder(NN(labels))``, Gebran (2024, Astronomy 3, 1), section 2.4.

    Examples
    --------
    >>> import rvsemu
    >>> sun = rvsemu.generate(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1, resolution=11500)
    >>> sun.flux.shape, sun.meta["medium"]
    ((4000,), 'air')
    """
    emulator = resolve(emulator)
    given = {"teff": teff, "logg": logg, "vsini": vsini, "mh": mh, "vmic": vmic, "resolution": resolution}
    if set(emulator.labels.names) != set(given):
        raise LabelError(f"This emulator takes {', '.join(emulator.labels.names)}: use Emulator.spectrum.")
    return emulator.spectrum(wavelength=wavelength, medium=medium, extrapolate=extrapolate, **given)
