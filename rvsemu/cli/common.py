"""What the commands share: a parser that says what is wrong in one line, parts of options, figures."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from .._storage import check_output, replacing
from ..errors import SpectrumError

REJECTED = 3
"""Exit status of a run in which some of what was asked for could not be had."""

_FIGURES = (".png", ".pdf", ".svg")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the command that it is about, and takes negative values of LOW,HIGH."""

    def __init__(self, **options):
        super().__init__(**options)
        self.set_defaults(program=self.prog)  # of the command that is run, with its action

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does it, but ``--option -10,10`` is the value of the option, and not another option."""
        joined: list[str] = []
        for word in args or ():
            if re.match(r"-[\d.][^,]*,", word) and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
                word = f"{joined.pop()}={word}"
            joined.append(word)
        known, unknown = super().parse_known_args(joined, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see '{self.prog} --help')\n")


COMMANDS = {
    "demo": (
        "generating",
        "Generate a solar spectrum, fit the Gaia spectrum of a real star, and write tables and plots",
    ),
    "generate": ("generating", "Generate a spectrum from stellar labels"),
    "fetch": ("fetching", "Fetch RVS spectra from the Gaia archive (needs rvsemu[gaia])"),
    "fit": ("fitting", "Fit the labels of stars to their RVS spectra"),
    "catalog": ("cataloging", "Fit any number of RVS spectra and write a catalogue (needs rvsemu[catalog])"),
    "compare": ("comparing", "Compare fitted labels with GSP-Spec, APOGEE, GALAH, LAMOST or another catalogue"),
    "sample": ("sampling", "Sample the posteriors of labels given RVS spectra, with emcee"),
    "invert": ("inverting", "Find labels from RVS spectra with a neural network, without a fit"),
    "explore": ("exploring", "Explore, fit and sample spectra in the browser (needs rvsemu[explore])"),
    "info": ("emulators", "Print the properties and the accuracy of an emulator or an inversion"),
    "train": ("emulators", "Train an emulator or an inversion on a library of spectra (needs rvsemu[train])"),
    "calibrate": ("calibrating", "Correct an emulator with observed spectra of stars of known labels"),
    "reproduce": (
        "reproducing",
        "Repeat the study of Gebran (2024) and write a report (needs rvsemu[train])",
    ),
    "library": (
        "libraries",
        "Inspect, compact, merge, split or import libraries of synthetic spectra",
    ),
    "synthesize": ("synthesis", "Compute a library of synthetic spectra with SYNSPEC and ATLAS9"),
}
"""Module and description of each command, in the order of ``rvsemu --help``."""


def command(commands, name, run, text=None, **extra):
    """Parser of a command or, with a `text` of its own, of an action of a command."""
    text = text or COMMANDS[name][1]
    parser = commands.add_parser(name, help=text, description=text + ".", **extra)
    parser.set_defaults(run=run)
    return parser


def add_emulator_option(parser):
    parser.add_argument(
        "--emulator", metavar="NAME|FILE", help="name of a shipped emulator, or a file (default: default)"
    )


def check_only_read(written, read, error) -> None:
    """Raise an `error` if a file that is to be written, if any, is one of those that are read."""
    if written is not None and Path(written).resolve() in [Path(path).resolve() for path in read]:
        raise error(f"{written} is read and would be replaced: give what is written another name. Nothing was done.")


def check_figure(path, overwrite) -> Path:
    """The path, if a figure can be written there."""
    path = check_output(path, SpectrumError, overwrite)
    if path.suffix.lower() not in _FIGURES:
        raise SpectrumError(f"{path}: the ending '{path.suffix}' is unknown; use one of {', '.join(_FIGURES)}.")
    return path


def save_figure(drawn, path, overwrite=False):
    """Write a figure, or that of some axes, and close it."""
    import matplotlib.pyplot as plt

    figure = getattr(drawn, "figure", drawn)
    try:
        with replacing(check_figure(path, overwrite)) as temporary:
            figure.savefig(temporary, dpi=150, bbox_inches="tight", format=Path(path).suffix[1:].lower())
    finally:
        plt.close(figure)
    print(f"wrote {path}")


def made_plots(folder) -> Path:
    """Folder for plots, made if it is not there."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SpectrumError(f"{folder} is a file, and plots need a folder: give another name.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def headless():
    """Figures go to files: no window system is needed."""
    import matplotlib

    matplotlib.use("Agg")
