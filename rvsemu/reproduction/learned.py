"""What the learning curves say, in a table and a sentence."""

from __future__ import annotations

from .tables import percent, rst_table, significant, with_unit

__all__ = ["learning_section"]

_NOTABLE = 0.05  # of an error: what it falls by where the one or the other limits it


def learning_section(results) -> str:
    """By how much the test error of each label falls from half of the spectra, or of the draws, to all."""
    points = results["learning"]
    if not points:
        return ""
    by_spectra, by_draws = (_doubled(points, *keys) for keys in (("spectra", "draws"), ("draws", "spectra")))
    rows = []
    for label in results["labels"]:
        name = label["name"]
        falls = [_fall(pair, "test", name) for pair in (by_spectra, by_draws)]
        last = by_spectra[1]
        errors = (significant(last[part][name]) for part in ("training", "test"))
        rows.append((with_unit(label), *errors, *map(percent, falls), _limit(falls)))
    first, last = by_spectra
    less, more = by_draws
    head = (
        "",
        "training error",
        "test error",
        f"{first['spectra']:,} to {last['spectra']:,} spectra",
        f"{less['draws']:,} to {more['draws']:,} draws",
        "limited by",
    )
    text = (
        "Trainings with fewer draws and epochs than the recipe's, all tested on the same test spectra: how much the "
        "error changes with the last doubling of the library, and of the draws. What falls by more than "
        f"{100 * _NOTABLE:g} % is called a limit; where neither does, the network and what the components keep of a "
        f"spectrum are. The errors are those with {last['spectra']:,} spectra and {last['draws']:,} draws.\n\n"
    )
    return text + rst_table(head, rows) + "\n"


def _doubled(points, key, other) -> tuple[dict, dict]:
    """The two points with the most of `key`, among those with the same `other` as most have."""
    counts = [point[other] for point in points]
    common = max(counts, key=counts.count)
    ordered = sorted((p for p in points if p[other] == common), key=lambda point: point[key])
    return ordered[-2], ordered[-1]


def _fall(pair, part, name) -> float:
    return pair[1][part][name] / pair[0][part][name] - 1.0


def _limit(falls) -> str:
    limits = [what for what, fall in zip(("spectra", "draws"), falls, strict=True) if fall < -_NOTABLE]
    return " and ".join(limits) or "neither"
