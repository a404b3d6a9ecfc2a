"""The command ``rvsemu``.

Whatever takes time to import is imported within `main`, so that Ctrl-C ends the command in one line from the start.
Python 3.10 and 3.11 turn it into a RuntimeError while a class is being made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .common import Parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit status: 0, also without arguments, when the help is printed; 2 after a bad input, 130 after Ctrl-C, 141
        when the reader of a pipe has gone.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    try:
        return _run(arguments, chosen)
    except (KeyboardInterrupt, RuntimeError) as e:
        if not (isinstance(e, KeyboardInterrupt) or isinstance(e.__cause__, KeyboardInterrupt)):
            raise
        print(f"{f'rvsemu {chosen}' if chosen else 'rvsemu'}: interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str], chosen: str | None) -> int:
    from ..errors import RvsemuError

    parser = _parser(chosen)
    if not arguments:
        parser.print_help()
        return 0
    options = parser.parse_args(arguments)
    try:
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as of "rvsemu ... | head": no more output, and no words about it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except RvsemuError as e:
        return _failed(options, e)
    except FileExistsError as e:  # of folders, as files are checked before
        return _failed(options, f"{e.filename} is a file, and a folder is to be made there: give another name")
    except OSError as e:
        named = f"{e.filename}: " if e.filename else ""
        return _failed(options, f"{named}{e.strerror or e}")
    except MemoryError:
        return _failed(options, "not enough memory: give fewer or smaller files at a time")


def _failed(options, message) -> int:
    print(f"{options.program}: error: {message}", file=sys.stderr)
    return 2


def _parser(chosen: str | None) -> Parser:
    """Parser with the options of the `chosen` command; of the others it has only the names, as they are slow."""
    from .common import COMMANDS, Parser

    parser = Parser(prog="rvsemu", description="Stellar spectra in the Gaia RVS range from neural networks.")
    parser.add_argument("--version", action="version", version=f"rvsemu {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, (module, text) in COMMANDS.items():
        if name == chosen:
            getattr(import_module(f".{module}", __name__), f"add_{name}")(commands)
        else:
            commands.add_parser(name, help=text)
    return parser


def _version() -> str:
    from importlib.metadata import version

    return version("rvsemu")
