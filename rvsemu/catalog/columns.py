"""The columns of a catalogue: what they are called and mean, and their values in the result of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from astropy import units as u

from ..fitting import FitFailure, FitResult, Settings, TransitsResult
from ..observing.flags import to_bits
from ..observing.result_table import DESCRIPTIONS, description_of
from ..observing.results import IDENTITY, WAVELENGTHS, count_of, identity_value, is_of

__all__ = ["Column", "columns_of", "star_values", "values_of", "what_it_is"]


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    name, description : str
    kind : {'int64', 'int32', 'double', 'float', 'bool', 'string', 'list<...>'}
        Type of Arrow; the last one is of a list of numbers in each row.
    unit : str
        Empty if there is none.
    """

    name: str
    kind: str
    unit: str
    description: str


def _known(name: str, kind: str, unit: str = "") -> Column:
    """A column that tables of single results have, too."""
    return Column(name, kind, unit, DESCRIPTIONS[name])


_NAMES = (
    _known("file", "string"),
    _known("source_id", "int64"),
    _known("transit_id", "int64"),
    _known("obs_time_rv", "double", "d"),
    _known("ra", "double", "deg"),
    _known("dec", "double", "deg"),
    Column("release", "string", "", "Release of Gaia that the spectrum is of, which says how its noise is; or unknown"),
    Column("medium", "string", "", "Medium of the wavelengths: vacuum or air"),
    Column("frame", "string", "", "Frame of the wavelengths: rest, barycentric or unknown"),
    Column("combined_ccds", "int32", "", "CCD spectra combined"),
    Column("signal_to_noise", "float", "", "Median of flux / stated error"),
)
_QUALITY = (
    _known("chi2", "float"),
    _known("reduced_chi2", "float"),
    _known("noise_chi2", "float"),
    _known("residual_rms", "float"),
    _known("n_pixels", "int32"),
    _known("n_outliers", "int32"),
    _known("errors_smoothed", "bool"),
    Column("errors_scaled_by", "float", "", "Factor of the noise in the errors of labels"),
)
_DRAWS = Column("effective_draws", "float", "", "Independent draws that the weighted ones are worth")
_FLAGS = (
    _known("flags", "string"),
    _known("flag_bits", "int32"),
)
_OF_TRANSITS = (
    _known("n_transits", "int32"),
    _known("n_skipped", "int32"),
    _known("radial_velocity_scatter", "float", "km/s"),
    _known("velocity_chi2", "float"),
    _known("velocity_p_value", "double"),
    Column("transit_ids", "list<int64>", "", "transit_id of each; -1 where the file does not say it"),
    Column("transit_times", "list<double>", "d", "Time of each, BJD(TCB) - 2455197.5 (d)"),
    Column("transit_velocities", "list<double>", "km/s", "Radial velocity of each (km/s)"),
    Column("transit_velocity_errors", "list<double>", "km/s", "Standard deviation of each (km/s)"),
    Column("transit_velocity_noise", "list<double>", "km/s", "The part of noise: what constant ones differ by (km/s)"),
    Column("transit_chi2", "list<float>", "", "Reduced chi2 of each"),
    Column("transit_flag_bits", "list<int32>", "", "Flags of each"),
)
_OF_ONE_TRANSIT = ("transit_id", "obs_time_rv")
_FROM_META = (*IDENTITY, *WAVELENGTHS)


def columns_of(settings: Settings, joint: bool = False) -> list[Column]:
    """Columns of a catalogue that is fitted with `settings`, in order; of stars if transits are fitted jointly."""
    parameters = settings.parameters()
    out = [column for column in _NAMES if not (joint and column.name in _OF_ONE_TRANSIT)]
    for label in parameters.space.labels:
        what = label.description or label.name
        out.append(Column(label.name, "double", label.unit, what))
        error = f"{label.name}_error"
        out.append(Column(error, "double", label.unit, description_of(error) or f"Standard deviation: {what}"))
        if label.name == "vsini":
            out.append(Column("vsini_upper_limit", "double", label.unit, "95 % limit of v sin i where it may be zero"))
    units = {label.name: u.Unit(label.unit) for label in parameters.space.labels}
    for a, b in combinations_with_replacement(parameters.free_names, 2):
        unit = (units[a] * units[b]).to_string()
        out.append(Column(f"covariance_{a}_{b}", "float", unit, f"Covariance of {a} and {b}"))
    draws = [_DRAWS] if settings.errors == "sampled" else []
    return [*out, *_QUALITY, *draws, *_FLAGS, *(_OF_TRANSITS if joint else ())]


def what_it_is(spectrum: Any) -> dict[str, Any]:
    """Values of the columns that a spectrum has before it is fitted, and its result has no longer."""
    error = np.nan if spectrum.uncertainty is None else spectrum.uncertainty.array  # sigma= may stand for it
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = spectrum.flux.value / error
    good = np.isfinite(ratio) & ~np.asarray(False if spectrum.mask is None else spectrum.mask)
    signal = float(np.median(ratio[good])) if good.any() else np.nan
    return {"combined_ccds": count_of(spectrum.meta, "combined_ccds"), "signal_to_noise": signal}


def star_values(result: TransitsResult, spectra: Sequence[Any], skipped: int) -> dict[str, Any]:
    """Values of the columns of a star: those of the fit of its `spectra`, beside which some were `skipped` before."""
    known = [what_it_is(spectrum) for spectrum in _without(spectra, result.skipped)]
    ccds = [one["combined_ccds"] for one in known]
    signal = np.array([one["signal_to_noise"] for one in known])
    both = {"signal_to_noise": float(np.sqrt(np.sum(np.clip(signal, 0.0, None) ** 2)))}
    metas = [one.meta for one in result.transits]
    return (
        values_of(result, both | {"combined_ccds": None if None in ccds else sum(ccds)})
        | _wavelengths(metas)
        | {
            "n_transits": result.n_transits,
            "n_skipped": skipped + len(result.skipped),
            "radial_velocity_scatter": float(result.velocity_scatter.value),
            "velocity_chi2": result.velocity_chi2,
            "velocity_p_value": result.velocity_p_value,
            "transit_ids": _each(metas, "transit_id"),
            "transit_times": _each(metas, "obs_time_rv"),
            "transit_velocities": result.velocities.value.tolist(),
            "transit_velocity_errors": result.velocity_errors.value.tolist(),
            "transit_velocity_noise": result.velocity_noise.value.tolist(),
            "transit_chi2": [one.reduced_chi2 for one in result.transits],
            "transit_flag_bits": [to_bits(one.flags) for one in result.transits],
        }
    )


def _wavelengths(metas: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Values of the columns `WAVELENGTHS` of a star: those of all its transits, joined by commas if they differ."""
    found = {name: dict.fromkeys(str(meta[name]) for meta in metas if meta.get(name)) for name in WAVELENGTHS}
    return {name: ",".join(values) or None for name, values in found.items()}


def _identity(name: str, value: Any) -> Any:
    """A value that says which spectrum it is and how it was made, of the kind of its column; None if it is of none."""
    plain = identity_value(name, value)
    if name not in IDENTITY:
        return None if plain is None else str(plain)
    kind = IDENTITY[name][0]
    return kind(plain) if plain is not None and is_of(kind, plain) else None


def _each(metas: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Values of a column `IDENTITY` of each transit, with what stands for a missing one."""
    found = (_identity(name, meta.get(name)) for meta in metas)
    return [IDENTITY[name][2] if value is None else value for value in found]


def _without(spectra: Sequence[Any], skipped: Sequence[FitFailure]) -> list[Any]:
    """Spectra of a star but for those that were `skipped`; of two that are the same, the second one was."""
    left = list(spectra)
    for name in (_named(one.meta) for one in reversed(skipped)):
        place = max((i for i, one in enumerate(left) if _named(one.meta) == name), default=None)
        if place is not None:
            del left[place]
    return left


def _named(meta: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(identity_value(name, meta.get(name)) for name in IDENTITY)


def values_of(result: FitResult | TransitsResult, known: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the columns by name: those of a fit, and those that were `known` before."""
    out = {name: _identity(name, result.meta.get(name)) for name in _FROM_META} | dict(known)
    for name, value in result.labels.items():
        out[name], out[f"{name}_error"] = float(value.value), float(result.errors[name].value)
    out["vsini_upper_limit"] = next((float(x.value) for x in result.upper_limits().values()), None)
    free = list(enumerate(result.free_names))
    for (i, a), (j, b) in combinations_with_replacement(free, 2):
        out[f"covariance_{a}_{b}"] = float(result.covariance[i, j])
    for name in ("chi2", "reduced_chi2", "noise_chi2", "residual_rms", "n_pixels", "n_outliers"):
        out[name] = getattr(result, name)
    for name in ("errors_smoothed", "errors_scaled_by"):
        out[name] = result.meta[name]
    draws = getattr(result, "draws", None)
    out["effective_draws"] = None if draws is None else float(draws.effective)
    out["flags"], out["flag_bits"] = ",".join(result.flags) or "none", to_bits(result.flags)
    return out
