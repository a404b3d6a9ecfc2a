"""The errors a user can cause: each message names what, which value, what is allowed and the remedy."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from types import MappingProxyType
from typing import Any

__all__ = [
    "CalibrationError",
    "ComparisonError",
    "EmulatorFileError",
    "FrozenError",
    "InversionFileError",
    "LabelError",
    "LibraryFileError",
    "PosteriorFileError",
    "RvsemuError",
    "SettingsError",
    "SpectrumError",
    "SpectrumWarning",
    "SynthesisError",
    "TrainingError",
    "check_whole",
]


class RvsemuError(ValueError):
    """Base of all errors raised on bad input; the command line prints it as one line and exits with 2."""


class SettingsError(RvsemuError):
    """An argument other than a label or a spectrum is of the wrong kind or out of range."""


class LabelError(RvsemuError):
    """A stellar label is missing, not finite, of the wrong kind of unit or out of range."""


class SpectrumError(RvsemuError):
    """A spectrum or spectrum file cannot be read or used; `about` names the spectrum where the file does."""

    about: Mapping[str, Any] = MappingProxyType({})


class SpectrumWarning(UserWarning):
    """Some of several spectra are not there or cannot be used; the others are."""


class ComparisonError(RvsemuError):
    """Labels cannot be compared with a reference: a table, a column, a cut, or no star in both."""


class CalibrationError(RvsemuError):
    """An emulator cannot be calibrated with what was given: a table of labels, spectra, or a decoder."""


class EmulatorFileError(RvsemuError):
    """A file is not an emulator, is damaged, or has a newer format."""


class InversionFileError(RvsemuError):
    """A file is not an inversion, is damaged, or has a newer format, or there is none."""


class LibraryFileError(RvsemuError):
    """A file is not a library of synthetic spectra, or is damaged."""


class PosteriorFileError(RvsemuError):
    """A file is not of posteriors, or a posterior in it cannot be read or continued."""


class TrainingError(RvsemuError):
    """Training cannot start or go on with what it was given."""


class SynthesisError(RvsemuError):
    """Spectra cannot be synthesised: a prerequisite is missing, or settings do not fit."""


class FrozenError(RvsemuError, FrozenInstanceError):
    """A model or a part of it cannot be changed; `dataclasses.replace` makes another."""


def check_whole(error: type[RvsemuError], name: str, value, low: int, high: int | None = None) -> int:
    """The value as an int, if it is a whole number from `low` to `high`; `error` that names it otherwise."""
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not (whole and low <= value and (high is None or value <= high)):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise error(f"{name}={value}: give a whole number {allowed}.")
    return int(value)
