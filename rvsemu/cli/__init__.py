"""The command ``rvsemu``."""

from __future__ import annotations

import sys

from ..errors import RvsemuError
from .common import Parser
from .emulators import add_info, add_train
from .fetching import add_fetch
from .fitting import add_fit
from .generating import add_demo, add_generate
from .inverting import add_invert
from .libraries import add_library
from .reproducing import add_reproduce
from .sampling import add_sample
from .synthesis import add_synthesize

__all__ = ["main"]


def main(arguments=None) -> int:
    """Run the command line; returns the exit status: 0, or 2 after a bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except RvsemuError as e:
        print(f"rvsemu {options.command}: error: {e}", file=sys.stderr)
        return 2
    except OSError as e:
        print(f"rvsemu {options.command}: error: {e.filename or ''}: {e.strerror or e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"rvsemu {options.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(prog="rvsemu", description="Stellar spectra in the Gaia RVS range from neural networks.")
    parser.add_argument("--version", action="version", version=f"rvsemu {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for add in (
        add_demo,
        add_generate,
        add_fetch,
        add_fit,
        add_sample,
        add_invert,
        add_info,
        add_train,
        add_reproduce,
        add_library,
        add_synthesize,
    ):
        add(commands)
    return parser


def _version() -> str:
    from .. import __version__

    return __version__
