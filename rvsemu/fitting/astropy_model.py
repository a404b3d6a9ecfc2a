"""The emulator as a model of astropy.modeling, to combine with other models and to use with any fitter."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.modeling import Fittable1DModel, Parameter
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import ArrayLike

from ..emulator import Emulator, resolve
from ..emulator.labels import ALPHA, PAPER_LABELS
from ..errors import LabelError, SpectrumError
from ..observing.forward import ForwardModel
from ..physics.wavelengths import RVS_RESOLUTION, check_medium, convert_medium, doppler
from .parameters import Parameters

__all__ = ["RVSModel"]

_VELOCITIES = (-1000.0, 1000.0)
_TEXT = {label.name: f"{label.description}, {label.unit or 'no unit'}" for label in PAPER_LABELS}


class RVSModel(Fittable1DModel):
    """Normalised stellar flux against wavelength, with analytic derivatives by every parameter.

    A facade for combining the emulator with other models: `rvsemu.fit` and `rvsemu.sample` are faster and know the
    noise of the RVS.

    Parameters
    ----------
    teff, logg, vsini, mh, vmic, resolution : float or Quantity
        Labels, as in `rvsemu.generate`. The parameters of the model are plain floats in K, log10 of cm/s2, km/s,
        dex, km/s and 1; a Quantity is converted when the model is made or a parameter is set.
    radial_velocity : float or Quantity
        km/s, positive for a receding star.
    alpha : float or Quantity
        [alpha/M], dex, which is held: no parameter of the model. Emulators without this label take 0 alone.
    medium : {'air', 'vacuum'}
        Of the wavelengths that the model will be called with. It has no default: they differ by 82 km/s.
    emulator : Emulator, str or path, optional
        Another emulator than the default one, of the same labels.
    extrapolate : bool
        Allow labels outside the training domain.
    **kwargs
        ``fixed``, ``tied``, ``bounds``, ``name`` and ``meta`` of `astropy.modeling.Model`. Where not given, bounds
        are those of the training domain (10 % of its width wider with ``extrapolate=True``) and -1000 to 1000 km/s.

    Raises
    ------
    LabelError
        A label has the wrong unit or is outside the domain, also when the model is called; or ``fixed``, ``tied`` or
        ``bounds`` names something that is no parameter.
    SpectrumError
        `medium` is unknown, or the model is evaluated outside the emulator's wavelengths.

    Notes
    -----
    Bounds hold each label by itself, so a fitter may step where the domain has a gap: to a log g too low for the
    temperature, or between the regions of training. Fluxes are extrapolated there, with one warning a fit. A model that
    is called with such labels raises an error; make another one of them with ``extrapolate=True``.

    The wavelengths are a Quantity, or floats in Angstrom. The network is evaluated in double precision, because
    fitters that estimate derivatives take steps of 1e-8, which single precision does not resolve.

    For a continuum give `~astropy.modeling.models.Chebyshev1D` a ``domain``, and the fitter
    ``estimate_jacobian=True``: the derivatives of compound models, which astropy has since 7.0, forget the domain.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy.modeling.models import Chebyshev1D
    >>> star = rvsemu.RVSModel(5777, 4.44, medium="vacuum", fixed={"vmic": True})
    >>> with_continuum = star * Chebyshev1D(3, c0=0.98, domain=(8460, 8700))
    >>> bool(with_continuum(8500.0) < star(8500.0))
    True
    """

    teff = Parameter(default=5777.0, description=_TEXT["teff"])
    logg = Parameter(default=4.44, description=_TEXT["logg"])
    vsini = Parameter(default=2.0, description=_TEXT["vsini"])
    mh = Parameter(default=0.0, description=_TEXT["mh"])
    vmic = Parameter(default=1.0, description=_TEXT["vmic"])
    resolution = Parameter(default=RVS_RESOLUTION, description=_TEXT["resolution"])
    radial_velocity = Parameter(default=0.0, description="radial velocity, km/s")

    _input_units_strict = True
    _input_units_allow_dimensionless = True

    def __init__(
        self,
        teff: float | u.Quantity = teff.default,
        logg: float | u.Quantity = logg.default,
        vsini: float | u.Quantity = vsini.default,
        mh: float | u.Quantity = mh.default,
        vmic: float | u.Quantity = vmic.default,
        resolution: float | u.Quantity = resolution.default,
        radial_velocity: float | u.Quantity = radial_velocity.default,
        *,
        alpha: float | u.Quantity = 0.0,
        medium: str,
        emulator: Emulator | str | PathLike | None = None,
        extrapolate: bool = False,
        bounds: dict[str, tuple[float, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.medium, self.extrapolate = check_medium(medium), extrapolate
        self._warned = False
        self._emulator = resolve(emulator).astype(float)
        self._check_names(bounds=bounds, **kwargs)
        own = self._emulator.labels
        self._alpha = own.alpha(alpha)
        if tuple(n for n in own.names if n not in self._alpha) != self.param_names[:-1]:
            names = ", ".join(own.names)
            raise LabelError(f"This emulator takes {names}: RVSModel needs one of {', '.join(self.param_names[:-1])}.")
        limits = Parameters.make(own, None, {}, _VELOCITIES, extrapolate)
        self._space = limits.space
        given = (teff, logg, vsini, mh, vmic, resolution, radial_velocity)
        values = self._space.values(extrapolate, **dict(zip(self.param_names, given, strict=True)), **self._alpha)
        if values.ndim != 1:
            raise LabelError(f"RVSModel is one star: give single numbers, not labels of shape {values.shape[:-1]}.")
        if not extrapolate:
            own.check_edge(values[:-1])
        self._free = [i for i, name in enumerate(self._space.names) if name in self.param_names]
        domain = zip(limits.lower[self._free].tolist(), limits.upper[self._free].tolist(), strict=True)
        bounds = {**dict(zip(self.param_names, domain, strict=True)), **(bounds or {})}
        super().__init__(*values[self._free].tolist(), bounds=bounds, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a parameter that is given a Quantity takes its value in the unit of the label."""
        if isinstance(value, u.Quantity) and name in self.param_names:
            value = self._space[name].value(value)
        super().__setattr__(name, value)

    def _check_names(self, **given: Any) -> None:
        """Raise `LabelError` for what astropy's constraints name, if that is no parameter."""
        for argument in ("fixed", "tied", "bounds"):
            for name in given.get(argument) or {}:
                if name not in self.param_names:
                    held = "; [alpha/M] is always held, at alpha=" if name == ALPHA.name else ""
                    known = ", ".join(self.param_names)
                    raise LabelError(f"{argument} names {name!r}: the parameters of RVSModel are {known}{held}.")

    @property
    def labels(self) -> dict[str, u.Quantity]:
        """The parameters with their units."""
        return {name: self._space.quantity(name, getattr(self, name).value) for name in self.param_names}

    @property
    def input_units(self) -> dict[str, u.UnitBase]:
        """Angstrom; other lengths are converted."""
        return {self.inputs[0]: u.AA}

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Normalised flux at wavelengths; what a fitter tries need not be in the domain, but only within the bounds."""
        if not self.extrapolate and self.sync_constraints:  # fitters set that to False for as long as they run
            theta = self._theta(self.parameters)
            self._check_box(theta)
            self._emulator.labels.check_edge(theta[:-1])
        return super().__call__(*inputs, **options)

    def evaluate(self, x, *parameters):  # astropy takes annotations, here alone, for units
        """Normalised flux at the wavelengths `x`."""
        theta = self._theta(parameters)
        if not self.extrapolate:
            self._check_box(theta)
            self._warn_outside(theta[:-1])
        return self._forward(x, theta[-1]).flux(theta).reshape(np.shape(x)) if np.size(x) else np.zeros(np.shape(x))

    def fit_deriv(self, x: ArrayLike, *parameters: ArrayLike) -> list[np.ndarray]:
        """Derivatives of the flux by each parameter, a list of arrays of the shape of `x`.

        Outside the bounds of the domain they are those at the nearest one, as fitters hold the parameters there.
        """
        theta = self._theta(parameters)
        if not self.extrapolate:
            theta = np.clip(theta, self._space.lower, self._space.upper)
        slopes = self._forward(x, theta[-1]).jacobian(theta)[1][0]
        return [slope.reshape(np.shape(x)) for slope in slopes[self._free]]

    def _check_box(self, theta: np.ndarray) -> None:
        """Raise `LabelError` for a label outside of its own range."""
        for label, value in zip(self._space.labels, theta, strict=True):
            label.check(np.asarray(value))

    def _warn_outside(self, labels: np.ndarray) -> None:
        """Say once that the domain lacks labels that are within the range of each."""
        if self._warned:
            return
        try:
            self._emulator.labels.check_edge(labels)
        except LabelError as error:
            self._warned = True
            text = f"RVSModel extrapolates. {error} Check that the labels found in the end are inside."
            warnings.warn(text, AstropyUserWarning, stacklevel=3)

    def _theta(self, parameters) -> np.ndarray:
        """All labels and the velocity, of which [alpha/M] is held."""
        out = np.full(len(self._space), next(iter(self._alpha.values()), np.nan))
        for name, p in zip(self.param_names, parameters, strict=True):
            if isinstance(p, u.Quantity):  # of a compound model, or set by .quantity
                unit = self._space[name].unit or "no unit"
                raise LabelError(f"{name} was set to {p.squeeze()}: parameters are plain, set it to a number ({unit}).")
        out[self._free] = [float(np.squeeze(p)) for p in parameters]
        return out

    def _forward(self, x, velocity) -> ForwardModel:
        given = u.Quantity(x, u.AA, dtype=float).value.ravel()
        wavelength = convert_medium(given, self.medium, self._emulator.medium)
        low, high = self._emulator.wavelength[[0, -1]]
        rest = doppler(wavelength, -velocity)
        if not (rest.min() >= low and rest.max() <= high):
            raise SpectrumError(
                f"wavelengths {given.min():.2f} to {given.max():.2f} A in {self.medium} leave the emulator's "
                f"{low:.2f} to {high:.2f} A in {self._emulator.medium} at {velocity:g} km/s: choose some inside."
            )
        return ForwardModel(self._emulator, wavelength)

    def _parameter_units_for_data_units(self, inputs_unit, outputs_unit):
        return {}  # the parameters are plain, so fitters may be given wavelengths with units
