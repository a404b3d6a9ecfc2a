"""The settings of a fit as options: one for each field of `rvsemu.fitting.Settings`, with its description."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields

from ..emulator import Emulator
from ..errors import SettingsError
from ..fitting.settings import Settings, described
from ..observing.noise import MODEL_ERRORS, NOISES
from .options import label_is, limits, one_or_two, pair, real, seed, whole

__all__ = ["add_settings", "checked", "settings_of"]


def _mask(text):
    return limits(text) if "," in text else text


def _prior(text):
    return pair(text) if "," in text or text[:1] in "+-.0123456789" else text


def _numbers(text):
    return text if text in ("auto", *NOISES) else tuple(real(-1, 1)(part) for part in text.split(","))


def _fixed(text):
    return text if text == "free" else real(-1e6, 1e6)(text)


def _jitter(text):
    return text if text == "free" else real(0, 1e6)(text)


_REPEATED = {"action": "append", "default": None}
_OPTIONS: dict[str, tuple[str, dict]] = {
    "emulator": ("--emulator", {"metavar": "NAME|FILE"}),
    "fixed": ("--fix", {"type": label_is(_fixed), "metavar": "LABEL=X|alpha=free", **_REPEATED}),
    "priors": ("--prior", {"type": label_is(_prior), "metavar": "LABEL=MEAN,SIGMA|NAME", **_REPEATED}),
    "radial_velocity": ("--radial-velocity", {"type": one_or_two, "metavar": "V|LOW,HIGH"}),
    "continuum_degree": ("--continuum-degree", {"type": whole(0, 20), "metavar": "N"}),
    "mask": ("--mask", {"type": _mask, "metavar": "NAME|LOW,HIGH|none", **_REPEATED}),
    "extra_mask": ("--extra-mask", {"type": _mask, "metavar": "NAME|LOW,HIGH", **_REPEATED}),
    "medium": ("--medium", {"choices": ("air", "vacuum")}),
    "sigma": ("--sigma", {"type": real(0, 1e300), "metavar": "X"}),
    "noise_correlation": ("--noise-correlation", {"type": _numbers, "metavar": "auto|gaia-dr3|gaia-dr4|white|1,R,..."}),
    "smooth_sigma": ("--smooth-sigma", {"action": argparse.BooleanOptionalAction}),
    "model_error": ("--model-error", {"choices": (*MODEL_ERRORS, "none")}),
    "jitter": ("--jitter", {"type": _jitter, "metavar": "X|free"}),
    "robust": ("--robust", {"action": argparse.BooleanOptionalAction}),
    "scale_errors": ("--scale-errors", {"action": argparse.BooleanOptionalAction}),
    "errors": ("--errors", {"choices": ("gaussian", "sampled")}),
    "seed": ("--seed", {"type": seed, "metavar": "S"}),
    "extrapolate": ("--extrapolate", {"action": "store_true"}),
}


def add_settings(
    parser: argparse.ArgumentParser, without: tuple[str, ...] = (), only: tuple[str, ...] = tuple(_OPTIONS)
) -> None:
    """Add an option for each setting in `only` but those in `without`, and ``--no-priors``."""
    texts = described()
    group = parser.add_argument_group("settings")
    for field in fields(Settings):
        if field.name in only and field.name not in without:
            option, how = _OPTIONS[field.name]
            text = _help(texts[field.name], field.default) + (
                "; may be repeated" if how.items() >= _REPEATED.items() else ""
            )
            group.add_argument(option, dest=field.name, **{"default": None, **how}, help=text)
    if "priors" in only and "priors" not in without:
        group.add_argument("--no-priors", action="store_true", help="use no priors, not even the default ones")


def settings_of(options: argparse.Namespace) -> dict:
    """Arguments of `rvsemu.fit` that were given as options."""
    names = [field.name for field in fields(Settings)]
    values = {name: getattr(options, name, None) for name in names}
    given = {name: value for name, value in values.items() if value is not None and value is not False}  # 0 is given
    for name in ("robust", "scale_errors", "smooth_sigma"):
        if getattr(options, name, None) is False:
            given[name] = False
    for name in ("fixed", "priors"):
        if name in given:
            given[name] = _once(_OPTIONS[name][0], given[name])
    if getattr(options, "no_priors", False):
        given.setdefault("priors", {})
    if given.get("mask") == ["none"]:
        given["mask"] = None
    if given.get("model_error") == "none":
        given["model_error"] = None
    return given


def checked(given: dict) -> tuple[dict, Emulator]:
    """Arguments without the emulator, and that, if they can be used: an error now is none of each spectrum."""
    emulator = Settings(**given).loaded_emulator
    return {name: value for name, value in given.items() if name != "emulator"}, emulator


def _once(option, pairs) -> dict:
    """A dictionary of (label, value), none of which may stand twice."""
    out = dict(pairs)
    if len(out) < len(pairs):
        (name, *_) = [name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1]
        raise SettingsError(f"{option} {name}=... is given twice: give it once.")
    return out


def _help(text, default) -> str:
    """First sentence of a description, and the default."""
    words = " ".join(line.strip() for line in text.splitlines()[1:])
    sentence = re.split(r"(?<=[^.])\. ", words + " ")[0].rstrip(". ")
    sentence = re.sub(r" \(`[^`]+`\)", "", sentence.replace("``", ""))  # a terminal has no links
    plain = re.sub(r"`(?:~?[\w.]+\.)?(\w+)`", r"\1", sentence).replace("%", "%%")
    plain = plain[0].lower() + plain[1:]
    if default is None or default in ((), False):
        return plain
    if default is True:
        return f"{plain} (default: yes)"
    if isinstance(default, tuple):
        joint, kind = (" and ", "{}") if isinstance(default[0], str) else (",", "{:g}")
        default = joint.join(map(kind.format, default))
    return f"{plain} (default: {default})"
