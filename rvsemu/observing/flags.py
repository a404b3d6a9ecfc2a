"""The registry of flags: what to beware of in a result, one bit, name and sentence each.

The flags of a result are a tuple of names, empty if there is nothing to say. ``at-bound``, ``prior-disputed`` and
``held-disputed`` say of which label, after a colon: ``"at-bound:vsini"``; so does ``outside-domain`` of an inversion.
Tables have the names, joined by commas, and the bits as one integer.

"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import RvsemuError
from ..library.titanium import displaced_titanium, titanium_change

__all__ = [
    "ALPHA_ASSUMED",
    "AT_BOUND",
    "BROAD_LINES",
    "DIFFUSE_BAND",
    "DOUBLE_LINED",
    "EMISSION",
    "ERRORS_TOO_LARGE",
    "FAILED",
    "FEW_CCDS",
    "FEW_DRAWS",
    "FEW_GOOD_PIXELS",
    "FLAGS",
    "HELD_DISPUTED",
    "LABELS_CONTRADICT",
    "LINES_DISAGREE",
    "NEGATIVE_CONTINUUM",
    "NOT_AT_REST",
    "NOT_CONVERGED",
    "NOT_GAUSSIAN",
    "NO_INFORMATION",
    "OUTLIERS",
    "OUTSIDE_CALIBRATION",
    "OUTSIDE_DOMAIN",
    "POOR_FIT",
    "PRIOR_DISPUTED",
    "SECOND_MINIMUM",
    "SMOOTH_NOISE",
    "TITANIUM_OXIDE",
    "TRANSITS_DIFFER",
    "UNLIKE_TRAINING",
    "VARIABLE_VELOCITY",
    "alpha_assumed",
    "broad_lines",
    "describe",
    "few_ccds",
    "from_bits",
    "not_at_rest",
    "titanium_oxide",
    "to_bits",
]

AT_BOUND = "at-bound"
NOT_CONVERGED = "not-converged"
OUTSIDE_DOMAIN = "outside-domain"
FEW_GOOD_PIXELS = "few-good-pixels"
FEW_DRAWS = "few-draws"
POOR_FIT = "poor-fit"
UNLIKE_TRAINING = "unlike-training"
SECOND_MINIMUM = "second-minimum"
NO_INFORMATION = "no-information"
NEGATIVE_CONTINUUM = "negative-continuum"
ERRORS_TOO_LARGE = "errors-too-large"
FAILED = "failed"
OUTLIERS = "outliers"
EMISSION = "emission"
DIFFUSE_BAND = "diffuse-band"
FEW_CCDS = "few-ccds"
DOUBLE_LINED = "double-lined"
LABELS_CONTRADICT = "labels-contradict"
ALPHA_ASSUMED = "alpha-assumed"
VARIABLE_VELOCITY = "variable-velocity"
BROAD_LINES = "broad-lines"
PRIOR_DISPUTED = "prior-disputed"
NOT_GAUSSIAN = "not-gaussian"
TRANSITS_DIFFER = "transits-differ"
NOT_AT_REST = "not-at-rest"
OUTSIDE_CALIBRATION = "outside-calibration"
SMOOTH_NOISE = "smooth-noise"
HELD_DISPUTED = "held-disputed"
LINES_DISAGREE = "lines-disagree"
TITANIUM_OXIDE = "titanium-oxide"

_ALPHA_RICH = -0.3  # dex of [M/H]: below, stars are commonly rich in alpha elements (Hayden et al. 2015, ApJ 808, 132)
_COOL = 6250.0  # K: cooler stars have lost most of their rotation (Kraft 1967, ApJ 150, 551)
_SLOW = 10.0  # km/s: 2 % of K giants rotate faster (Carlberg et al. 2011, ApJ 732, 39)
_SURE = 2.0  # standard deviations by which v sin i is above that
_WANTED = 3.0  # standard deviations by which a spectrum speaks against [alpha/M] = 0
_FEWEST = 10  # CCD spectra whose scatter is an estimate of errors that is known well enough
_MOVED = 30.0  # km/s: several times the errors of velocities by which mean spectra are put at rest
_MOVED_BY = 3.0  # standard deviations above that
_DISPLACED = -3.0  # log10 of the change of the flux: of about one error in Teff at a signal to noise of 400

FLAGS: dict[str, str] = {
    AT_BOUND: "A label is at a limit of its range, and its error says nothing about what lies beyond.",
    NOT_CONVERGED: "The steps ran out before the result settled.",
    OUTSIDE_DOMAIN: "A label is outside the range that the networks were trained for.",
    FEW_GOOD_PIXELS: "Less than half of the pixels in the range of the networks were used.",
    FEW_DRAWS: "The weighted draws are worth less than 50 independent ones.",
    POOR_FIT: "Reduced chi2 is five standard deviations above 1.2: a binary, peculiar abundances, or errors too small.",
    UNLIKE_TRAINING: "The spectrum is unlike those that the networks learnt from, and its labels are a guess.",
    SECOND_MINIMUM: "Another set of labels fits nearly as well.",
    NO_INFORMATION: "The errors of the spectrum are so large that the data say nothing, or next to nothing.",
    NEGATIVE_CONTINUUM: "The polynomial of the continuum is negative somewhere: the fluxes are not those of a star.",
    ERRORS_TOO_LARGE: "Observed and model differ by less than half of the stated errors, which are too large.",
    FAILED: "No fit was possible; the column error says why.",
    OUTLIERS: "More than one in a hundred pixels differ from any model by more than noise: spikes, emission, bad data.",
    EMISSION: "The lines of the Ca II triplet are filled: by a fifth of the continuum, or by 4 standard deviations.",
    DIFFUSE_BAND: "The interstellar band at 862 nm is seen, which no model has; see the mask of this name.",
    FEW_CCDS: "Errors are estimates from the scatter of fewer than ten CCD spectra (Gaia DR3), and little known.",
    DOUBLE_LINED: "Lines of a second star, at another velocity, are in the spectrum: the labels are those of neither.",
    LABELS_CONTRADICT: "Network and spectrum contradict each other about a label, or no labels imply the spectrum.",
    ALPHA_ASSUMED: "[alpha/M] = 0 was assumed; [M/H] is below -0.3, where most stars have more, or data want another.",
    VARIABLE_VELOCITY: "The velocities of transits differ by more than chance allows once in a thousand stars.",
    BROAD_LINES: "A star below 6250 K has lines as of fast rotation, which is rare: two stars or a low R look alike.",
    PRIOR_DISPUTED: "A prior and what the spectrum says without it differ by more than 3.3 standard deviations.",
    NOT_GAUSSIAN: "The errors were widened, for the posterior is not as narrow as its curvature says: sample them.",
    TRANSITS_DIFFER: "Transits want different labels: another star, light of a neighbour in some, or a bad spectrum.",
    NOT_AT_REST: "The frame is rest, but lines are 30 km/s or more off: wrong velocity, air wavelengths, moved pixels.",
    OUTSIDE_CALIBRATION: "Teff, log g or [M/H] is outside that of the stars of the calibration: errors are too small.",
    SMOOTH_NOISE: "Neighbouring pixels differ by less than errors say: smoothed, resampled, or errors too large.",
    HELD_DISPUTED: "A label was held, and what the spectrum says of it differs by more than 3.3 standard deviations.",
    LINES_DISAGREE: "Lines of hydrogen, nitrogen or calcium want another strength than labels give them, by 4 sigma.",
    TITANIUM_OXIDE: "Lines of TiO matter; in the older library of these models most are displaced: errors too small.",
}
"""Name and meaning of each flag; the bit of a flag is 2 to the power of its place."""


def describe(flags: Iterable[str]) -> list[str]:
    """Flags in words, one line each.

    Examples
    --------
    >>> from rvsemu.observing.flags import describe
    >>> describe(("at-bound:vsini", "not-converged"))  # doctest: +NORMALIZE_WHITESPACE
    ['at-bound:vsini: A label is at a limit of its range, and its error says nothing about what lies beyond.',
     'not-converged: The steps ran out before the result settled.']
    """
    return [f"{flag}: {FLAGS[_name(flag)]}" for flag in flags]


def alpha_assumed(names: Sequence[str], values: Sequence[float], tension: float = 0.0) -> list[str]:
    """The flag of a star with these labels, if any, whose [alpha/M] was taken as 0 for want of a choice.

    Parameters
    ----------
    names : sequence of str
    values : sequence of float
    tension : float
        By how many standard deviations the spectrum wants another [alpha/M].

    Examples
    --------
    >>> from rvsemu.observing.flags import alpha_assumed
    >>> alpha_assumed(("teff", "mh"), (5777.0, -1.0)), alpha_assumed(("teff", "mh"), (5777.0, 0.1), tension=0.7)
    (['alpha-assumed'], [])
    """
    poor = any(name == "mh" and value < _ALPHA_RICH for name, value in zip(names, values, strict=False))
    return [ALPHA_ASSUMED] if poor or tension > _WANTED else []


def broad_lines(names: Sequence[str], values: Sequence[float], errors: Sequence[float]) -> list[str]:
    """The flag of a cool star with these labels, if any, whose lines are broader than those of nearly all such stars.

    Two stars whose velocities differ by less than the width of lines leave no other trace.

    Parameters
    ----------
    names : sequence of str
    values, errors : sequence of float
        An error of 0 is that of a label that was given: there is no flag then.

    Examples
    --------
    >>> from rvsemu.observing.flags import broad_lines
    >>> names = ("teff", "vsini")
    >>> broad_lines(names, (5700.0, 25.0), (50.0, 2.0)), broad_lines(names, (7200.0, 25.0), (50.0, 2.0))
    (['broad-lines'], [])
    """
    found = {name: (value, error) for name, value, error in zip(names, values, errors, strict=False)}
    if not {"teff", "vsini"} <= found.keys():
        return []
    (teff, _), (vsini, error) = found["teff"], found["vsini"]
    return [BROAD_LINES] if teff < _COOL and error > 0 and vsini - _SURE * error > _SLOW else []


def few_ccds(estimates: int | None) -> bool:
    """Whether errors that are estimates from the scatter of so many CCD spectra, if they are any, have ``few-ccds``."""
    return estimates is not None and estimates < _FEWEST


def not_at_rest(frame: str | None, velocity: ArrayLike, error: ArrayLike) -> np.ndarray:
    """Whether spectra in such a frame should be at rest and are surely not, by their velocities (km/s) with errors.

    Where the error is 0, the velocity was given.

    Examples
    --------
    >>> from rvsemu.observing.flags import not_at_rest
    >>> not_at_rest("rest", [-82.0, 2.0, 40.0], [1.0, 1.0, 5.0])
    array([ True, False, False])
    """
    error = np.asarray(error)
    return (frame == "rest") & (error > 0) & (np.abs(velocity) - _MOVED_BY * error > _MOVED)


def titanium_oxide(info: Mapping[str, Any], names: Sequence[str], values: Sequence[float]) -> list[str]:
    """The flag of a star with these labels, if any, in whose model lines of TiO matter and are displaced.

    Parameters
    ----------
    info : mapping
        Of the emulator or inversion: what library it learnt from.
    names : sequence of str
    values : sequence of float

    Examples
    --------
    >>> from rvsemu.observing.flags import titanium_oxide
    >>> info, names = {"library": {"lines": "TiO of linemake"}}, ("teff", "logg", "mh")
    >>> titanium_oxide(info, names, (3600.0, 4.7, 0.0)), titanium_oxide(info, names, (5777.0, 4.44, 0.0))
    (['titanium-oxide'], [])
    """
    found = dict(zip(names, values, strict=False))
    if not {"teff", "logg", "mh"} <= found.keys() or not displaced_titanium(info.get("library", {})):
        return []
    change = titanium_change(*(found.get(name, 0.0) for name in ("teff", "logg", "mh", "alpha")))
    return [TITANIUM_OXIDE] if change > _DISPLACED else []


def to_bits(flags: Iterable[str]) -> int:
    """Flags as the bits of one integer, which does not say of which label.

    Raises
    ------
    RvsemuError
        A flag is not in the registry.

    Examples
    --------
    >>> from rvsemu.observing.flags import to_bits
    >>> to_bits(("at-bound:vsini", "at-bound:logg", "few-good-pixels"))
    9
    """
    names = list(FLAGS)
    return sum({1 << names.index(_name(flag)) for flag in flags})


def from_bits(bits: int) -> tuple[str, ...]:
    """Names of the flags whose bits are set in `bits`, without the labels.

    Examples
    --------
    >>> from rvsemu.observing.flags import from_bits
    >>> from_bits(9)
    ('at-bound', 'few-good-pixels')
    """
    if not 0 <= bits < 1 << len(FLAGS):
        raise RvsemuError(
            f"bits={bits}: give a number from 0 to {(1 << len(FLAGS)) - 1}, the sum of the bits of flags."
        )
    return tuple(name for i, name in enumerate(FLAGS) if bits >> i & 1)


def _name(flag: str) -> str:
    name = flag.partition(":")[0]
    if name not in FLAGS:
        raise RvsemuError(f"flag '{flag}' is unknown: the flags are {', '.join(FLAGS)}.")
    return name


def _table() -> str:
    """The registry as a table of reStructuredText."""
    names = [f"``{name}``" for name in FLAGS]
    wide, long = max(map(len, names)), max(map(len, FLAGS.values()))
    digits = len(str(1 << (len(FLAGS) - 1)))
    rule = f"{'=' * digits}  {'=' * wide}  {'=' * long}\n"
    rows = "".join(f"{1 << i:<{digits}}  {name:<{wide}}  {FLAGS[name.strip('`')]}\n" for i, name in enumerate(names))
    return f"{rule}{'Bit':<{digits}}  {'Flag':<{wide}}  Meaning\n{rule}{rows}{rule}"


__doc__ += _table()
