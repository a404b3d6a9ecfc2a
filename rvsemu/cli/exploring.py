"""``rvsemu explore``."""

from __future__ import annotations

import argparse
from typing import Any

from .common import add_emulator_option, command
from .options import whole

__all__ = ["add_explore"]


def add_explore(commands: Any) -> None:
    """The command."""
    parser = command(commands, "explore", _explore, epilog="Ctrl-C stops the server.")
    text = "RVS spectra to start with: DataLink CSV, VOTable, FITS, or zip; others can be opened in the page"
    parser.add_argument("file", nargs="?", metavar="FILE", help=text)
    add_emulator_option(parser)
    text = "port of the server, which only this machine can reach (default: 0, any free port)"
    parser.add_argument("--port", type=whole(0, 65535), default=0, metavar="N", help=text)
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")


def _explore(options: argparse.Namespace) -> None:
    from ..explorer import explore

    page = explore(options.file, options.emulator, port=options.port, browser=not options.no_browser)
    print(f"{page.url} shows the Explorer; Ctrl-C ends it", flush=True)
    page.wait()
    print("\nended")
