"""Types of options, for argparse: what they refuse is refused with the option's name; and how Ctrl-C is reported."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "Once",
    "interrupted",
    "label_is",
    "limits",
    "named",
    "number",
    "one_or_two",
    "pair",
    "real",
    "seed",
    "whole",
]


class Once(argparse.Action):
    """Action that appends pairs of a name and a value, and refuses a name that was there before."""

    def __call__(self, parser, namespace, values, option_string=None):
        earlier = getattr(namespace, self.dest)
        if values[0] in dict(earlier):
            raise argparse.ArgumentError(self, f"{values[0]} is given twice: give one value for it")
        setattr(namespace, self.dest, [*earlier, values])


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Type of a whole number from `low` to `high`."""
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def convert(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number: give {allowed}") from None
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"{text}: give {allowed}")
        return value

    return convert


seed = whole(0, 2**32 - 1)
"""Type of the seed of random numbers."""


def real(low: float, high: float) -> Callable[[str], float]:
    """Type of a number from `low` to `high`."""

    def convert(text):
        value = _number(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: give a number from {low:g} to {high:g}")
        return value

    return convert


def pair(text: str, names: str = "MEAN,SIGMA") -> tuple[float, float]:
    """Type of two numbers with a comma."""
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{text}: write two numbers, {names}")
    return _number(parts[0]), _number(parts[1])


def one_or_two(text: str) -> float | tuple[float, float]:
    """Type of a number, or of LOW,HIGH."""
    return limits(text) if "," in text else _number(text)


def limits(text: str) -> tuple[float, float]:
    """Type of LOW,HIGH."""
    low, high = pair(text, "LOW,HIGH")
    if not low <= high:
        raise argparse.ArgumentTypeError(f"{text}: give the lower value first")
    return low, high


def label_is(value: Callable) -> Callable[[str], tuple]:
    """Type of LABEL=VALUE, where VALUE is of the type `value`."""

    def convert(text):
        name, equals, given = text.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{text}: write LABEL=VALUE")
        return name.strip(), value(given)

    return convert


def named(text: str) -> tuple[str, str]:
    """Type of WHAT=NAME."""
    what, equals, name = (part.strip() for part in text.partition("="))
    if not (what and equals and name):
        raise argparse.ArgumentTypeError(f"{text}: write WHAT=NAME, as in teff=MYTEFF")
    return what, name


def number(text: str) -> float:
    """Type of a number without a unit."""
    try:
        return float(text)
    except ValueError:
        unit = re.fullmatch(r"[-+]?[\d.]+ ?([a-zA-Z][\w/ ]*)", text.strip())
        remedy = f": leave out '{unit[1]}', the help of the command says what the unit is" if unit else ""
        raise argparse.ArgumentTypeError(f"'{text}' is not a number{remedy}") from None


def _number(text) -> float:
    value = number(text)
    if value != value or value in (float("inf"), -float("inf")):
        raise argparse.ArgumentTypeError(f"'{text}' is not finite")
    return value


def interrupted(command: str, *kept: Path) -> int:
    """Say in one line where an interrupted command has left what it has done, so that it can go on; the exit status."""
    found = [str(path) for path in kept if path.exists()]
    text = f"what is done is in {found[0]}: the same command goes on from there" if found else "nothing was done yet"
    print(f"rvsemu {command}: interrupted; {text}", file=sys.stderr)
    return 130
