"""Statistics of differences that outliers do not move, of all stars and by region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

__all__ = ["COLUMNS", "middle", "normalised", "regions", "scatter", "statistics"]

_TO_SIGMA = 1.4826  # of a normal distribution, from the median absolute deviation
_OF_MEDIAN = float(np.sqrt(np.pi / 2))  # its standard error, in those of the mean

COLUMNS = {
    "n_stars": "Stars with this label in both",
    "n": "Fits of them: of a star, each transit may have one",
    "bias": "Median of ours - theirs",
    "bias_error": "Its standard error, sqrt(pi / 2) scatter / sqrt(n_stars)",
    "scatter": "1.4826 times the median absolute deviation from the bias",
    "outliers_3": "Share of fits further than 3 scatters from the bias",
    "outliers_5": "Share of fits further than 5 scatters from the bias",
    "n_normalised": "Fits with errors in both, of a label that was not held",
    "normalised_bias": "Median of (ours - theirs) / sqrt(error^2 + error^2)",
    "normalised_scatter": "1.4826 times the median absolute deviation of the same from its median",
}
"""Columns of the statistics and what they mean."""

_EDGES = {
    "teff": (-np.inf, 4500.0, 5500.0, 6500.0, np.inf),
    "logg": (-np.inf, 3.5, np.inf),
    "mh": (-np.inf, -1.0, -0.5, 0.0, np.inf),
    "signal_to_noise": (-np.inf, 20.0, 50.0, 100.0, np.inf),
}
_TITLES = {"teff": "Teff", "logg": "log g", "mh": "[M/H]", "signal_to_noise": "S/N"}
_KINDS = {("logg", 1): "giants, log g < 3.5", ("logg", 2): "dwarfs, log g >= 3.5"}


def scatter(values: np.ndarray) -> float:
    """1.4826 times the median absolute deviation from the median; NaN of fewer than two."""
    return float(_TO_SIGMA * np.median(np.abs(values - np.median(values)))) if len(values) > 1 else np.nan


def normalised(difference: np.ndarray, ours: np.ndarray | None, theirs: np.ndarray | None) -> np.ndarray:
    """Differences over their standard deviations; NaN where an error is not known, or 0 as of a label that was held.

    Parameters
    ----------
    difference : ndarray, shape (n,)
    ours, theirs : ndarray, shape (n,), or None
        Standard deviations.
    """
    if ours is None or theirs is None:
        return np.full(len(difference), np.nan)
    out = np.full(len(difference), np.nan)
    return np.divide(difference, np.hypot(ours, theirs), out=out, where=(ours > 0) & (theirs > 0))


def statistics(difference: np.ndarray, over_error: np.ndarray, source_id: np.ndarray) -> dict[str, float]:
    """The values of `COLUMNS`.

    Parameters
    ----------
    difference : ndarray, shape (n,)
        n > 0, all finite.
    over_error : ndarray, shape (n,)
        Normalised differences; NaN is left out.
    source_id : ndarray, shape (n,)
        Of the stars. Fits of one star may be wrong in the same way, and count as one in the error of the bias.
    """
    n, bias, spread = len(difference), float(np.median(difference)), scatter(difference)
    stars = len(np.unique(source_id))
    away = np.abs(difference - bias)
    out = {"n_stars": stars, "n": n, "bias": bias}
    out |= {"bias_error": _OF_MEDIAN * spread / np.sqrt(stars) if stars > 1 else np.nan, "scatter": spread}
    for factor in (3, 5):
        out[f"outliers_{factor}"] = float(np.mean(away > factor * spread)) if n > 1 else np.nan
    known = over_error[np.isfinite(over_error)]
    out["n_normalised"] = len(known)
    out["normalised_bias"] = float(np.median(known)) if len(known) else np.nan
    out["normalised_scatter"] = scatter(known)
    return out


def middle(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Mean of two values where both are known, else ours, shape (n,)."""
    return np.where(np.isfinite(theirs), (ours + theirs) / 2, ours)


def regions(at: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Names of regions, and which stars are in each, shape (n,): all, and bins of whatever is `at` hand.

    Parameters
    ----------
    at : mapping of str to ndarray, shape (n,)
        Where stars are, by label or ``signal_to_noise``: see `middle`.
    """
    every = next(iter(at.values()))
    yield "all", np.ones(len(every), dtype=bool)
    for name, edges in _EDGES.items():
        if name in at:
            for i in range(1, len(edges)):
                yield _title(name, i), (at[name] >= edges[i - 1]) & (at[name] < edges[i])


def _title(name: str, place: int) -> str:
    low, high = _EDGES[name][place - 1 : place + 1]
    if (name, place) in _KINDS:
        return _KINDS[name, place]
    if np.isinf(low):
        return f"{_TITLES[name]} < {high:g}"
    return f"{_TITLES[name]} >= {low:g}" if np.isinf(high) else f"{_TITLES[name]} {low:g} to {high:g}"
