"""What the learning curves say, in a table and a sentence."""

from __future__ import annotations

from .tables import number, percent, rst_table, significant, with_unit

__all__ = ["along", "learning_section"]

_NOTABLE = 0.05  # of an error: what it falls by where the one or the other limits it


def learning_section(results) -> str:
    """What an inversion and what an emulator gain from more spectra, and from more draws."""
    points = results["learning"]
    parts = (_inversion, "inversion"), (_emulator, "emulator")
    return "\n".join(section(results, points[kind]) for section, kind in parts if kind in points)


def _inversion(results, points) -> str:
    """By how much the test error of each label falls from half of the spectra, or of the draws, to all."""
    by_spectra, by_draws = _last_two(points, "spectra", "draws"), _last_two(points, "draws", "spectra")
    last = by_spectra[1]
    rows = []
    for label in results["labels"]:
        name = label["name"]
        falls = [_fall(pair, name) for pair in (by_spectra, by_draws)]
        errors = (significant(last[part][name]) for part in ("training", "test"))
        rows.append((with_unit(label), *errors, *map(percent, falls), _limit(falls)))
    text = (
        f"Trainings of ``{_last(results, 'inversion')}`` with fewer draws and epochs than the recipe's, all tested on "
        "the same test spectra: how much the error changes with the last doubling of the library, and of the draws. "
        f"What falls by more than {100 * _NOTABLE:g} % is called a limit; where neither does, the network and what the "
        "components keep of a spectrum are. The errors are those with "
        f"{last['spectra']:,} spectra and {last['draws']:,} draws.\n\n"
    )
    head = ("", "training error", "test error", *_steps(by_spectra, by_draws), "limited by")
    return text + rst_table(head, rows) + "\n"


def _emulator(results, points) -> str:
    """What generated spectra cost more than SYNSPEC's, by the number of spectra the emulator learned from."""
    name, judge = _last(results, "emulator"), _last(results, "inversion")
    synthetic = results["errors"][judge]["test"]
    some = along(points, "spectra", "draws")
    by_spectra, by_draws = _last_two(points, "spectra", "draws"), _last_two(points, "draws", "spectra")
    excess = [[p["test"][x["name"]] / synthetic[x["name"]] - 1.0 for x in results["labels"]] for p in some]
    whole = results["differences"][judge][name]
    rows = [
        (f"{p['spectra']:,}", f"{p['epochs']}", number(p["flux"]), *map(percent, over))
        for p, over in zip(some, excess, strict=True)
    ]
    labels = [x["name"] for x in results["labels"]]
    known = f"{some[-1]['spectra']:,}, the emulator itself"
    longest = max(stage["epochs"] for stage in results["models"][name]["stages"].values())
    rows.append(
        (known, f"{longest}", number(results["flux"][name]["rms"]), *(percent(whole[n]["difference"]) for n in labels))
    )
    falls = [pair[1]["flux"] / pair[0]["flux"] - 1.0 for pair in (by_spectra, by_draws)]
    text = (
        f"Generated spectra: trainings of ``{name}`` with fewer draws and epochs, the RMS error of their flux on the "
        f"same test spectra, and by how much the errors of the labels that ``{judge}`` finds in them exceed those on "
        f"SYNSPEC's spectra. With the last doubling of the library the error of the flux changes by "
        f"{percent(falls[0])}, with that of the draws by {percent(falls[1])}: it is limited by "
        f"{_limit(falls, 'the network and its training')}.\n\n"
    )
    return text + rst_table(("spectra", "epochs", "flux", *(f"``{n}``" for n in labels)), rows) + "\n"


def along(points, key, other) -> list[dict]:
    """The points along `key`: those with the same `other` as most have, in order."""
    counts = [point[other] for point in points]
    return sorted((p for p in points if p[other] == max(counts, key=counts.count)), key=lambda point: point[key])


def _last_two(points, key, other) -> list[dict]:
    return along(points, key, other)[-2:]


def _steps(by_spectra, by_draws):
    for (less, more), key in ((by_spectra, "spectra"), (by_draws, "draws")):
        yield f"{less[key]:,} to {more[key]:,} {key}"


def _last(results, kind) -> str:
    return [name for name, model in results["models"].items() if model["makes"] == kind][-1]


def _fall(pair, name) -> float:
    return pair[1]["test"][name] / pair[0]["test"][name] - 1.0


def _limit(falls, else_="neither") -> str:
    limits = [what for what, fall in zip(("spectra", "draws"), falls, strict=True) if fall < -_NOTABLE]
    return " and ".join(limits) or else_
