"""Errors of inverted labels, their differences with intervals from a paired bootstrap, and the time spectra take."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import numpy as np

from .paper import CLAIM_BAR

__all__ = ["compared", "machine", "milliseconds", "paired_bootstrap", "rms", "stars_of"]

_RESAMPLES = 4000


def rms(error) -> np.ndarray:
    """Root of the mean square (n_labels,) of errors (n, n_labels)."""
    return np.sqrt(np.mean(np.square(error, dtype="f8"), axis=0))


def stars_of(labels, names) -> np.ndarray:
    """For each row of `labels` the number of its star: rows of one star differ in v sin i and resolution alone.

    Parameters
    ----------
    labels : ndarray, shape (n, n_labels)
    names : sequence of str

    Returns
    -------
    ndarray of int, shape (n,)
    """
    intrinsic = [i for i, name in enumerate(names) if name not in ("vsini", "resolution")]
    return np.unique(labels[:, intrinsic], axis=0, return_inverse=True)[1].ravel()


def paired_bootstrap(synthetic, generated, stars, seed, resamples=_RESAMPLES) -> np.ndarray:
    """Resampled differences of two RMS errors, as shares of the first: RMS(generated) / RMS(synthetic) - 1.

    What is drawn again, with replacement, is stars, with all their rows: rows of one star are not independent. A star
    that is drawn brings its rows of both errors, so that what the two have in common cancels.

    Parameters
    ----------
    synthetic, generated : ndarray, shape (n, n_labels)
        Errors of the labels; row by row of spectra with the same labels.
    stars : ndarray of int, shape (n,)
        From `stars_of`.
    seed : int
    resamples : int

    Returns
    -------
    ndarray, shape (resamples, n_labels)
    """
    count = int(stars.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    sums = []
    for error in (synthetic, generated):
        of_star = np.zeros((count, error.shape[1]))
        np.add.at(of_star, stars, np.square(error, dtype="f8"))
        sums.append(drawn @ of_star)
    return np.sqrt(sums[1] / sums[0]) - 1.0


def compared(names, synthetic, generated, stars, seed) -> dict[str, dict]:
    """The central claim, label by label: errors on generated spectra beside those on synthetic ones.

    Parameters
    ----------
    names : sequence of str
    synthetic, generated, stars, seed
        As for `paired_bootstrap`.

    Returns
    -------
    dict
        For each label ``synthetic`` and ``generated``, the RMS errors; ``difference``, as a share of the first, with
        its 95 % interval ``low`` to ``high``; ``shift``, the RMS of what the label of one and the same star changes
        by, as a share, too; ``within``, whether the difference is within the bar; ``surely_within``, whether the
        whole interval is; ``includes_zero``.
    """
    low, high = np.quantile(paired_bootstrap(synthetic, generated, stars, seed), (0.025, 0.975), axis=0)
    first, second, shift = rms(synthetic), rms(generated), rms(generated - synthetic)
    out = {}
    for i, name in enumerate(names):
        difference = float(second[i] / first[i] - 1.0)
        out[name] = {
            "synthetic": float(first[i]),
            "generated": float(second[i]),
            "difference": difference,
            "low": float(low[i]),
            "high": float(high[i]),
            "shift": float(shift[i] / first[i]),
            "within": abs(difference) <= CLAIM_BAR,
            "surely_within": bool(max(abs(low[i]), abs(high[i])) <= CLAIM_BAR),
            "includes_zero": bool(low[i] <= 0.0 <= high[i]),
        }
    return out


def milliseconds(model, rows, batch=1000) -> dict[str, float]:
    """Time a spectrum takes by ``model(rows)``: ``alone``, the median of 50, and in a ``batch``, the median of 3."""
    batch = rows[:batch]
    return {
        "alone": 1e3 * _median_seconds(model, [rows[i : i + 1] for i in range(min(50, len(rows)))]),
        "batched": 1e3 * _median_seconds(model, [batch] * 3) / len(batch),
        "batch": len(batch),
    }


def _median_seconds(model, calls) -> float:
    model(calls[0])  # the first call also fetches the weights from memory
    taken = []
    for rows in calls:
        start = time.perf_counter()
        model(rows)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def machine() -> dict[str, str | int]:
    """What it runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()
