"""What a calibration gives: the emulator, and what it does to stars that it was not made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..emulator import Emulator

__all__ = ["Calibration"]

_HELD_OUT = "fitted less given labels of stars that it was not made from; what is added to errors of fits with it:"
_MUCH = {"teff": 200.0, "logg": 0.3, "mh": 0.2}  # by which synthetic spectra are rarely off in the mean of stars
_SURELY = 3.0  # standard errors
_APART = 2.0  # times the same: the scatter of fits and labels of the same stars is smaller
_OF_A_CORRECTION = "an offset", "usual model error"


@dataclass(frozen=True)
class Calibration:
    """An emulator corrected with observed spectra of stars whose labels are known; prints as text.

    Parameters
    ----------
    emulator : Emulator
        The corrected one; the one that was given, as it was, if no correction makes it surely better.
    improved : bool
        Whether it is corrected, or was learned from scratch.
    report : mapping
        What the file says in ``info["calibration"]`` if it is: see `rvsemu.calibration`.
    rejects : sequence of (str, str)
        Name and reason of the spectra that were left out.

    Examples
    --------
    `calibrate` makes one.

    >>> from dataclasses import fields
    >>> from rvsemu.calibration import Calibration
    >>> [field.name for field in fields(Calibration)]
    ['emulator', 'improved', 'report', 'rejects']
    """

    emulator: Emulator
    improved: bool
    report: Mapping[str, Any]
    rejects: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        before, after = (self.report["held_out"][when] for when in ("before", "after"))
        lines = [f"{self.report['stars']} stars, {self.report['spectra']} spectra, {len(self.rejects)} left out"]
        units = {label.name: label.unit for label in self.emulator.labels.labels}
        for name, (low, high) in self.report["ranges"].items():
            lines.append(f"  {name:<10} {low:.5g} to {high:.5g} {units[name]}".rstrip())
        lines += self._scale(units)
        lines += [
            f"left of stars that the {self._made} was not made from, in units of the continuum:",
            f"  RMS of the residuals        {before['rms']:.4f} -> {after['rms']:.4f}",
            f"  the same less the noise     {before['rms_less_noise']:.4f} -> {after['rms_less_noise']:.4f}",
            f"  misfit of a star (median)   {self.report['held_out']['median_gain']:.1f} lower",
        ]
        return "\n".join([*lines, *(self._good() if self.improved else self._poor())])

    def _scale(self, units: Mapping[str, str]) -> list[str]:
        """Whether the given labels are on the scale of the emulator as it was, and those of the stars."""
        found = self.report.get("fitted_less_given", {})
        lines = ["fits with the emulator as it was, less given labels (median, and scatter of stars):"] if found else []
        for name, one in found.items():
            median = f"{one['median']:+.3g} +- {one['error']:.3g}"
            lines.append(f"  {name:<10} {median}, {one['scatter']:.3g} {units[name]}".rstrip())
        known = {name: one for name, one in found.items() if name in _MUCH}
        far = [n for n, one in known.items() if abs(one["median"]) - _SURELY * one["error"] > _MUCH[n]]
        if far:
            lines.append(
                f"  {' and '.join(far)}: by more than is to be expected of synthetic spectra. Fits with the corrected "
                "emulator will follow the given labels: are these right?"
            )
        apart = [n for n, one in known.items() if one["scatter"] > _APART * _MUCH[n]]
        if apart:
            lines.append(
                f"  {' and '.join(apart)}: fits and labels of the same stars differ less from star to star. Are rows "
                "of labels and spectra mixed up?"
            )
        return lines

    @property
    def _made(self) -> str:
        return "emulator" if self.report["from_scratch"] else "correction"

    def _good(self) -> list[str]:
        count, error = self.report["coordinates"], self.report["model_error"]
        more = f" and {count - 1} change{'s' if count > 2 else ''} of it with the labels" if count > 1 else ""
        mean, size = ("the mean spectrum", "scatter of the stars") if self.report["from_scratch"] else _OF_A_CORRECTION
        return [
            f"the {self._made} is {mean}{more}",
            f"its prior has {self.report['strength']:g} times the {size}",
            f"model error left: base {error['base']:.4f}, depth {error['depth']:.3f}",
            *self._labels_off(),
        ]

    def _labels_off(self) -> list[str]:
        """Of held-out stars, if they were fitted."""
        off, units = self.report["held_out"].get("labels", {}), {x.name: x.unit for x in self.emulator.labels.labels}
        lines = [
            f"  {name:<10} {one['median']:+.2g}, scatter {one['scatter']:.2g}; {one['added']:.2g} {units[name]}"
            for name, one in off.items()
        ]
        return [_HELD_OUT, *lines] if lines else []

    def _poor(self) -> list[str]:
        left = "there is no emulator" if self.report["from_scratch"] else "the emulator is left as it is"
        return [
            f"no {self._made} lowers the misfit of stars that it was not made from by more than chance:",
            f"{left}. More stars, brighter ones, or better labels may help.",
        ]
