"""``rvsemu catalog fit | report``."""

from __future__ import annotations

import argparse
from typing import Any

from .common import REJECTED, Parser, command
from .options import whole
from .settings import add_settings, settings_of

__all__ = ["add_catalog"]


def add_catalog(commands: Any) -> None:
    """The command and its actions."""
    parser = command(commands, "catalog", None)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    _add_fit(actions)
    report = command(actions, "report", _report, "Write a page with plots of a catalogue")
    report.add_argument("catalog", metavar="DIR", help="folder written by 'rvsemu catalog fit'")
    report.add_argument("-o", "--out", required=True, metavar="PAGE", help="HTML file, with all plots in it")
    report.add_argument("--overwrite", action="store_true", help="replace an existing PAGE")


def _add_fit(actions: Any) -> None:
    text = "Fit all spectra in any number of files; the exit status is 3 if some of them cannot be used"
    parser = command(actions, "fit", _fit, text)
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="bulk files, other files of RVS spectra, Parquet files, or folders of these",
    )
    out = "folder of Parquet files, or a table: .fits, .ecsv, .csv, .vot, .xml or .json"
    add("-o", "--out", required=True, metavar="OUT", help=out)
    add("--jobs", type=whole(1, 1024), metavar="J", help="number of processes (default: one per core)")
    add("--dask", metavar="SCHEDULER", help="address of a Dask scheduler, e.g. tcp://10.0.0.1:8786")
    add("--resume", action="store_true", help="continue an interrupted run")
    rows = whole(10, 100_000)
    add("--rows", type=rows, default=1000, metavar="N", help="number of spectra per Parquet file (default: 1000)")
    how = "alone: fit each epoch spectrum separately; joint: fit successive epoch spectra of a star together, with one "
    how += "row per star, which has the velocities, their mean and their scatter (default: alone)"
    add("--transits", choices=("alone", "joint"), default="alone", help=how)
    add("--quiet", action="store_true", help="show no progress bar")
    add_settings(parser)


def _fit(options: argparse.Namespace) -> int:
    from ..catalog import fit_catalog

    summary = fit_catalog(
        options.inputs,
        options.out,
        jobs=options.jobs,
        dask=options.dask,
        resume=options.resume,
        rows=options.rows,
        transits=options.transits,
        progress=not options.quiet,
        **settings_of(options),
    )
    print(summary)
    return REJECTED if summary.rejected else 0


def _report(options: argparse.Namespace) -> None:
    from ..catalog import write_report
    from .common import headless

    headless()
    write_report(options.catalog, options.out, overwrite=options.overwrite)
    print(f"wrote {options.out}")
