"""What the commands share: a parser that says what is wrong in one line, parts of options, figures."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from .._storage import check_output, replacing
from ..errors import SpectrumError

_FIGURES = (".png", ".pdf", ".svg")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the command that it is about, and takes negative values of LOW,HIGH."""

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
        "Generate a solar spectrum, fit a real Gaia star that comes with the package, write plots and a table",
    ),
    "generate": ("generating", "Generate a spectrum from stellar labels"),
    "fetch": ("fetching", "Fetch RVS spectra from the Gaia archive (needs rvsemu[gaia])"),
    "fit": ("fitting", "Fit stellar labels to Gaia RVS spectra"),
    "catalog": ("cataloging", "Fit the labels of any number of stars into one catalogue (needs rvsemu[catalog])"),
    "compare": ("comparing", "Compare fitted labels with GSP-Spec, APOGEE, GALAH, LAMOST or another catalogue"),
    "sample": ("sampling", "Sample the posterior of the labels of Gaia RVS spectra with emcee"),
    "invert": ("inverting", "Invert RVS spectra to stellar labels with a neural network"),
    "explore": ("exploring", "Explore spectra with sliders in the browser, fit and sample (needs rvsemu[explore])"),
    "info": ("emulators", "Say what an emulator or inversion is and how well it does"),
    "train": ("emulators", "Train an emulator or an inversion on a library of spectra (needs rvsemu[train])"),
    "calibrate": ("calibrating", "Correct an emulator with observed spectra of stars whose labels are known"),
    "reproduce": (
        "reproducing",
        "Run the study of Gebran (2024) on a library and write a report (needs rvsemu[train])",
    ),
    "library": (
        "libraries",
        "Look at libraries of synthetic spectra, make compact copies, merge, or import spectra of other origin",
    ),
    "synthesize": ("synthesis", "Compute a library of spectra with SYNSPEC and ATLAS9"),
}
"""Module and description of each command, in the order of ``rvsemu --help``."""


def command(commands, name, run, text=None, **extra):
    """Parser of a command or, with a `text` of its own, of an action of a command."""
    text = text or COMMANDS[name][1]
    parser = commands.add_parser(name, help=text, description=text + ".", **extra)
    parser.set_defaults(run=run)
    return parser


def add_emulator_option(parser):
    parser.add_argument("--emulator", metavar="NAME|FILE", help="a shipped one, or an emulator file (default: default)")


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
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def headless():
    """Figures go to files: no window system is needed."""
    import matplotlib

    matplotlib.use("Agg")
