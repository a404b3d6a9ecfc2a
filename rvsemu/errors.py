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
    """Base of all errors raised on bad input; the command line prints it as one line and exits with 2.

    Examples
    --------
    >>> import rvsemu
    >>> try:
    ...     rvsemu.generate(teff=5777 * 1000, logg=4.44)
    ... except rvsemu.RvsemuError as error:
    ...     print(error)
    teff=5777000 K is outside ...: choose a value inside, or allow extrapolation ...
    """


class SettingsError(RvsemuError):
    """An argument other than a label or a spectrum is of the wrong kind or out of range.

    Examples
    --------
    >>> import rvsemu
    >>> rvsemu.fitting.Settings(continuum_degree=50)
    Traceback (most recent call last):
    ...
    rvsemu.errors.SettingsError: continuum_degree=50: give a whole number from 0 to 20.
    """


class LabelError(RvsemuError):
    """A stellar label is missing, not finite, of the wrong kind of unit or out of range.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy import units as u
    >>> rvsemu.generate(teff=5777 * u.km, logg=4.44)
    Traceback (most recent call last):
    ...
    rvsemu.errors.LabelError: teff=5777.0 has the unit 'km': give a value in K within ...
    """


class SpectrumError(RvsemuError):
    """A spectrum or spectrum file cannot be read or used; `about` names the spectrum where the file does.

    Examples
    --------
    >>> import rvsemu
    >>> rvsemu.read_rvs("missing.csv")
    Traceback (most recent call last):
    ...
    rvsemu.errors.SpectrumError: missing.csv...
    """

    about: Mapping[str, Any] = MappingProxyType({})


class SpectrumWarning(UserWarning):
    """Some of several spectra are not there or cannot be used; the others are.

    Examples
    --------
    >>> import warnings
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import rvsemu
    >>> from rvsemu.errors import SpectrumWarning
    >>> with TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", SpectrumWarning)
    ...     size = Path(folder, "notes.csv").write_text("no, spectrum")
    ...     blocks = list(rvsemu.iter_rvs([folder, rvsemu.example_path("kepler-93")]))
    >>> len(blocks)
    1
    """


class ComparisonError(RvsemuError):
    """Labels cannot be compared with a reference: a table, a column, a cut, or no star in both.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from rvsemu.comparison import compare
    >>> compare(Table({"source_id": [1], "teff": [5000.0]}), Table({"source_id": [2], "teff": [6000.0]}))
    Traceback (most recent call last):
    ...
    rvsemu.errors.ComparisonError: ...
    """


class CalibrationError(RvsemuError):
    """An emulator cannot be calibrated with what was given: a table of labels, spectra, or a decoder.

    Examples
    --------
    >>> import rvsemu
    >>> from astropy.table import Table
    >>> from rvsemu.calibration import calibrate
    >>> labels = Table({"source_id": [2052747119115620352], "teff": [5669.0], "teff_error": [75.0]})
    >>> calibrate([rvsemu.example_path("kepler-93")], labels, progress=False)
    Traceback (most recent call last):
    ...
    rvsemu.errors.CalibrationError: ...
    """


class EmulatorFileError(RvsemuError):
    """A file is not an emulator, is damaged, or has a newer format.

    Examples
    --------
    >>> import rvsemu
    >>> rvsemu.Emulator.load("missing.h5")
    Traceback (most recent call last):
    ...
    rvsemu.errors.EmulatorFileError: missing.h5 ...
    """


class InversionFileError(RvsemuError):
    """A file is not an inversion, is damaged, or has a newer format, or there is none.

    Examples
    --------
    >>> import rvsemu
    >>> rvsemu.Inversion.load(rvsemu.example_path())
    Traceback (most recent call last):
    ...
    rvsemu.errors.InversionFileError: ...kepler-93.csv ...
    """


class LibraryFileError(RvsemuError):
    """A file is not a library of synthetic spectra, or is damaged.

    Examples
    --------
    >>> from rvsemu.library import Library
    >>> Library.load("missing.h5")
    Traceback (most recent call last):
    ...
    rvsemu.errors.LibraryFileError: missing.h5 ...
    """


class PosteriorFileError(RvsemuError):
    """A file is not of posteriors, or a posterior in it cannot be read or continued.

    Examples
    --------
    >>> import rvsemu
    >>> rvsemu.Posterior.load("missing.h5")
    Traceback (most recent call last):
    ...
    rvsemu.errors.PosteriorFileError: missing.h5...
    """


class TrainingError(RvsemuError):
    """Training cannot start or go on with what it was given.

    Examples
    --------
    >>> from rvsemu.training.recipes import recipe
    >>> recipe("gebran2025")
    Traceback (most recent call last):
    ...
    rvsemu.errors.TrainingError: recipe 'gebran2025' is unknown: use one of default, gebran2024, ...
    """


class SynthesisError(RvsemuError):
    """Spectra cannot be synthesised: a prerequisite is missing, or settings do not fit.

    Examples
    --------
    >>> from rvsemu.library.synthesis import Settings
    >>> Settings(teff=(9000, 4000))
    Traceback (most recent call last):
    ...
    rvsemu.errors.SynthesisError: teff=9000,4000: give the lower and the upper end within 3500 to 50000.
    """


class FrozenError(RvsemuError, FrozenInstanceError):
    """A model or a part of it cannot be changed; `dataclasses.replace` makes another."""


def check_whole(error: type[RvsemuError], name: str, value, low: int, high: int | None = None) -> int:
    """The value as an int, if it is a whole number from `low` to `high`; `error` that names it otherwise."""
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not (whole and low <= value and (high is None or value <= high)):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise error(f"{name}={value!r}: give a whole number {allowed}.")
    return int(value)
