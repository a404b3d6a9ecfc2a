"""Observed spectra for a page: those that were given, those of a file, and the examples of the package."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from specutils import Spectrum

from ..emulator import Emulator
from ..errors import SpectrumError, SpectrumWarning
from ..observing import Observation
from ..observing.results import name_of
from ..spectra import example_path, read_rvs

__all__ = ["EXAMPLES", "Star", "example", "given", "uploaded"]

EXAMPLES = {"kepler-93": "Kepler-93", "hd176650": "HD 176650"}
"""Names of shipped spectra that a page can show, by what `rvsemu.example_path` calls them."""


@dataclass(frozen=True)
class Star:
    """A spectrum that can be fitted, with the name that the page has for it."""

    name: str
    spectrum: Spectrum
    observation: Observation

    @classmethod
    def observe(cls, spectrum: Any, emulator: Emulator, name: str | None = None) -> Star:
        """Take a spectrum; the name is that of its source if there is no other.

        Raises
        ------
        SpectrumError
            It cannot be fitted: see `rvsemu.fit`.
        """
        observation = Observation.from_spectrum(spectrum, emulator)
        prefix = "Gaia " if spectrum.meta.get("source_id") is not None else ""
        return cls(name or prefix + name_of(spectrum.meta), spectrum, observation)

    def __str__(self) -> str:
        good = self.observation.usable
        ratio = np.median(self.observation.flux[good] / self.observation.sigma[good])
        medium = self.observation.medium
        return f"{self.name}: {len(good)} pixels, {good.sum()} of them good, median S/N {ratio:.0f}, in {medium}."


def given(spectrum: Any, emulator: Emulator) -> list[Star]:
    """Stars of what `rvsemu.explore` takes: a Spectrum, several, the path of a file, or None.

    Raises
    ------
    SpectrumError
        The file cannot be read, or there is no spectrum that can be fitted.
    """
    if spectrum is None:
        return []
    if isinstance(spectrum, str | os.PathLike):
        return _stars(read_rvs(spectrum), emulator)
    if getattr(spectrum, "flux", None) is not None:
        many = spectrum.flux.ndim > 1
        return _stars([spectrum[i] for i in range(len(spectrum.flux))] if many else [spectrum], emulator)
    if isinstance(spectrum, Iterable):
        return _stars(list(spectrum), emulator)
    raise SpectrumError(f"spectrum={spectrum!r}: give a specutils.Spectrum, a list of them, or the path of a file.")


def uploaded(data: bytes, name: str, emulator: Emulator) -> tuple[list[Star], str]:
    """Stars of a file's content, and what is wrong with others in it, in words.

    Raises
    ------
    SpectrumError
        There is none that can be fitted.
    """
    file = io.BytesIO(data)
    file.name = name
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", SpectrumWarning)
        stars = _stars(read_rvs(file), emulator)
    return stars, " ".join(str(warning.message) for warning in caught)


def example(key: str, emulator: Emulator) -> Star:
    """A star of `EXAMPLES`."""
    (spectrum,) = read_rvs(example_path(key))
    return Star.observe(spectrum, emulator, EXAMPLES[key])


def _stars(spectra: list, emulator: Emulator) -> list[Star]:
    """Those spectra that can be fitted, and a warning about the others."""
    out, failed = [], []
    for spectrum in spectra:
        try:
            out.append(Star.observe(spectrum, emulator))
        except SpectrumError as error:
            failed.append(error)
    if not out:
        raise failed[0] if failed else SpectrumError("spectrum: there are none; give one at least.")
    if failed:
        text = f"{len(failed)} of {len(spectra)} spectra cannot be used; the first: {failed[0]}"
        warnings.warn(text, SpectrumWarning, stacklevel=2)
    return out
