"""What the commands share: a parser that says what is wrong in one line, parts of options, figures."""

from __future__ import annotations

import argparse

from .._storage import check_folder
from ..errors import LabelError, SpectrumError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see '{self.prog} --help')\n")


def command(commands, name, run, text, **extra):
    parser = commands.add_parser(name, help=text, description=text + ".", **extra)
    parser.set_defaults(run=run)
    return parser


def add_emulator_option(parser):
    parser.add_argument("--emulator", metavar="NAME|FILE", help="a shipped one, or an emulator file (default: default)")


def assignment(option):
    def split(text):
        name, equals, value = text.partition("=")
        if not equals:
            raise LabelError(f"{option} {text}: write LABEL=VALUE, e.g. vmic=1.2.")
        return name.strip(), value

    return split


def number(option, name, text) -> float:
    try:
        return float(text)
    except ValueError:
        raise LabelError(f"{option} {name}={text}: '{text}' is not a number.") from None


def pair(option, name, text) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise LabelError(f"{option} {name}={text}: write two numbers, e.g. {name}=11500,500.")
    return number(option, name, parts[0]), number(option, name, parts[1])


def save_figure(drawn, path):
    """Write a figure, or that of some axes, and close it."""
    import matplotlib.pyplot as plt

    path = check_folder(path, SpectrumError)
    figure = getattr(drawn, "figure", drawn)
    try:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except ValueError as e:
        raise SpectrumError(f"{path}: {str(e).splitlines()[0]}; use .png, .pdf or .svg.") from None
    finally:
        plt.close(figure)
    print(f"wrote {path}")


def headless():
    """Figures go to files: no window system is needed."""
    import matplotlib

    matplotlib.use("Agg")


def write_results(results, path):
    from astropy.table import vstack

    from ..spectra.write import write_table

    write_table(vstack([r.to_table() for r in results], metadata_conflicts="silent"), path)
    print(f"wrote {path}")
