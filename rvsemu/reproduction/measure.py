"""The test: spectra that no model was trained on, what the models make of them, and how that is compared."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..emulator import Emulator
from ..emulator.labels import LabelSpace
from ..errors import TrainingError
from ..inversion import Inversion
from ..library import Library
from ..training.draws import make_test_set, split_library
from .paper import CLAIM_BAR

__all__ = ["Tested", "compared", "machine", "milliseconds", "paired_bootstrap", "rms", "stars_of", "test_all", "unseen"]

_RESAMPLES = 4000
_FEWEST = 5


def unseen(library: Library, models: Iterable[Emulator | Inversion]) -> np.ndarray:
    """True for the library spectra of stars that no model was trained on.

    Emulators looked at them to stop in time (validation), inversions did not look at them at all (test).

    Raises
    ------
    TrainingError
        There are fewer than five.
    """
    out = np.ones(len(library), dtype=bool)
    for model in models:
        settings = model.info["settings"]
        out &= split_library(library, settings.get("test", settings["validation"]), model.info["seed"])
    if (found := int(out.sum())) < _FEWEST:
        raise TrainingError(
            f"{found} of the library's {len(library)} spectra were kept from all trainings: at least {_FEWEST} are "
            "needed. Give a larger library, or train with larger shares for validation and test."
        )
    return out


@dataclass(frozen=True, eq=False)
class Tested:
    """Spectra of the test, true and generated from the same labels, and the errors of the inverted labels.

    Parameters
    ----------
    space : LabelSpace
    rows : ndarray of bool, shape (n_library,)
        Spectra of the library that were not trained on.
    labels : ndarray, shape (n, n_labels)
    flux : ndarray, shape (n, n_pixels)
        Of SYNSPEC.
    generated : dict of ndarray
        Flux of each emulator for the same labels.
    errors : dict
        For each inversion ``synthetic``, inverted - true labels (n, n_labels), and ``generated``, the same for the
        spectra of each emulator.
    emulators : dict of Emulator
    inversions : dict of Inversion
    """

    space: LabelSpace
    rows: np.ndarray
    labels: np.ndarray
    flux: np.ndarray
    generated: dict[str, np.ndarray]
    errors: dict[str, dict]
    emulators: dict[str, Emulator]
    inversions: dict[str, Inversion]

    def column(self, name: str, labels: np.ndarray | None = None) -> np.ndarray:
        """One label of rows of labels; default: those of the test."""
        return (self.labels if labels is None else labels)[:, self.space.names.index(name)]


def test_all(
    library: Library, emulators: dict[str, Emulator], inversions: dict[str, Inversion], draws: int, seed: int
) -> Tested:
    """Draw test spectra, generate them with each emulator, and invert all with each inversion.

    Parameters
    ----------
    library : Library
        That all models were trained on.
    emulators : dict of Emulator
    inversions : dict of Inversion
    draws : int
    seed : int

    Raises
    ------
    TrainingError
        As `unseen`.
    """
    rows = unseen(library, [*emulators.values(), *inversions.values()])
    space = next(iter(inversions.values())).labels
    labels, flux = make_test_set(library.subset(rows), space, draws, seed)
    generated = {name: emulator.flux(labels) for name, emulator in emulators.items()}
    errors = {
        name: {
            "synthetic": inversion.estimate(flux)[0] - labels,
            "generated": {by: inversion.estimate(made)[0] - labels for by, made in generated.items()},
        }
        for name, inversion in inversions.items()
    }
    return Tested(space, rows, labels, flux, generated, errors, dict(emulators), dict(inversions))


def rms(error: np.ndarray) -> np.ndarray:
    """Root of the mean square (n_labels,) of errors (n, n_labels)."""
    return np.sqrt(np.mean(np.square(error, dtype="f8"), axis=0))


def stars_of(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
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


def paired_bootstrap(
    synthetic: np.ndarray, generated: np.ndarray, stars: np.ndarray, seed: int, resamples: int = _RESAMPLES
) -> np.ndarray:
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

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.reproduction.measure import paired_bootstrap
    >>> errors = np.random.default_rng(1).normal(size=(200, 1))
    >>> shares = paired_bootstrap(errors, 1.1 * errors, stars=np.arange(200), seed=1, resamples=100)
    >>> shares.shape
    (100, 1)
    >>> print(shares.mean().round(3))
    0.1
    """
    count = int(stars.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    sums = []
    for error in (synthetic, generated):
        of_star = np.zeros((count, error.shape[1]))
        np.add.at(of_star, stars, np.square(error, dtype="f8"))
        sums.append(drawn @ of_star)
    return np.sqrt(sums[1] / sums[0]) - 1.0


def compared(
    names: Sequence[str], synthetic: np.ndarray, generated: np.ndarray, stars: np.ndarray, seed: int
) -> dict[str, dict]:
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

    Examples
    --------
    >>> import numpy as np
    >>> from rvsemu.reproduction.measure import compared
    >>> errors = np.random.default_rng(1).normal(size=(200, 1))
    >>> result = compared(("teff",), errors, 1.01 * errors, stars=np.arange(200), seed=1)
    >>> round(result["teff"]["difference"], 3), result["teff"]["within"]
    (0.01, True)
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


def milliseconds(model: Callable, rows: np.ndarray, batch: int = 1000) -> dict[str, float]:
    """Time a spectrum takes by ``model(rows)``: ``alone``, the median of 50, and in a ``batch``, the median of 3."""
    some = rows[:batch]
    return {
        "alone": 1e3 * _median_seconds(model, [rows[i : i + 1] for i in range(min(50, len(rows)))]),
        "batched": 1e3 * _median_seconds(model, [some] * 3) / len(some),
        "batch": len(some),
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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
