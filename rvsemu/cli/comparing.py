"""``rvsemu compare``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .common import check_only_read, command, headless
from .options import Once, named, whole

if TYPE_CHECKING:
    from ..comparison import Comparison

__all__ = ["add_compare"]

_PAGES = (".html", ".htm")


def add_compare(commands: Any) -> None:
    """The command."""
    parser = command(commands, "compare", _compare)
    add = parser.add_argument
    add("fits", metavar="FITS", help="folder written by 'rvsemu catalog fit', or table written by 'rvsemu fit'")
    text = "gspspec (fetched from the Gaia archive; needs rvsemu[gaia]), or a table with Gaia source_ids and labels"
    add("--with", required=True, dest="reference", metavar="gspspec|FILE", help=text)
    text = "page with plots (.html), or table of the statistics; may be repeated"
    add("-o", "--out", action="append", default=[], metavar="FILE", help=text)
    text = "format of what is printed on the terminal (default: text)"
    add("--format", choices=("text", "csv", "ecsv", "json"), default="text", help=text)
    add("--overwrite", action="store_true", help="replace existing files")
    text = "name of a column of FILE: teff=MYTEFF, teff_error=..., source_id=...; may be repeated"
    add("--column", action=Once, type=named, default=[], metavar="WHAT=NAME", help=text)
    text = 'condition on the rows of the reference, e.g. "flag_sp == 0"; may be repeated'
    add("--cut", action="append", default=[], metavar="CONDITION", help=text)
    _add_gspspec(parser)
    text = "drop or keep fits that have a flag other than alpha-assumed (default: drop)"
    add("--flagged", choices=("drop", "keep"), default="drop", help=text)
    add("--rejects", metavar="TABLE", help="table of the fits that were not compared, with source_id and reason")
    add("--quiet", action="store_true", help="show no progress bar")


def _add_gspspec(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "apply the published calibrations of GSP-Spec's log g, [M/H] and [alpha/Fe] (default: yes)"
    add("--calibrated", action=argparse.BooleanOptionalAction, default=True, help=text)
    text = "highest value of the first 13 flags of GSP-Spec that is allowed, 0 (default) to 9, which allows all"
    add("--gspspec-flags", type=whole(0, 9), metavar="N", help=text)


def _compare(options: argparse.Namespace) -> None:
    from ..comparison import compare

    pages, tables = _checked(options)
    result = compare(
        options.fits,
        options.reference,
        columns=dict(options.column),
        cuts=options.cut,
        calibrated=options.calibrated,
        gspspec_flags=options.gspspec_flags,
        flagged=options.flagged,
        progress=not options.quiet,
    )
    _print(result, options.format)
    _write(result, options, pages, tables)


def _checked(options: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """Pages and tables to write, if they can be written, before any work is done."""
    from .._storage import check_output
    from ..errors import ComparisonError
    from ..spectra.write import TABLE_ENDINGS, check_writable

    paths = [Path(path) for path in options.out]
    written = [path.absolute() for path in (*paths, *map(Path, [options.rejects] if options.rejects else []))]
    if twice := [path for path in written if written.count(path) > 1]:
        raise ComparisonError(f"{twice[0]} would be written twice: give each --out and --rejects a name of its own.")
    for path in written:
        check_only_read(path, [options.fits, options.reference], ComparisonError)
    pages = [check_output(p, ComparisonError, options.overwrite) for p in paths if p.suffix.lower() in _PAGES]
    tables = [path for path in paths if path.suffix.lower() not in _PAGES]
    for path in [*tables, *([options.rejects] if options.rejects else [])]:
        check_writable(path, options.overwrite, TABLE_ENDINGS if path == options.rejects else (*_PAGES, *TABLE_ENDINGS))
    return pages, tables


def _print(result: Comparison, format: str) -> None:
    from ..spectra.write import write_table

    if format == "text":
        print(result)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        write_table(result.table, path, format=format)
        sys.stdout.write(path.read_text(encoding="utf-8"))


def _write(result: Comparison, options: argparse.Namespace, pages: list[Path], tables: list[Path]) -> None:
    from ..spectra.write import write_table

    headless()
    for path in tables:
        write_table(result.table, path, overwrite=options.overwrite)
    if options.rejects:
        write_table(result.rejects, options.rejects, overwrite=options.overwrite)
    for path in pages:
        result.write_report(path, overwrite=options.overwrite)
    if options.format == "text":
        for path in [*pages, *tables, *([options.rejects] if options.rejects else [])]:
            print(f"wrote {path}")
