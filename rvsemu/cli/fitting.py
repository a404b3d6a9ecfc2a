"""``rvsemu fit``."""

from __future__ import annotations

import sys

from ..catalog.plan import made_with
from ..fitting import FitFailure, fit_stream
from ..observing.results import without_prior
from .common import command, headless, made_plots, save_figure
from .options import whole
from .settings import add_settings, checked, settings_of
from .tables import Lines, ResultsTable, add_table_options, spectra_in


def add_fit(commands):
    parser = command(commands, "fit", _fit)
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    add_table_options(parser)
    parser.add_argument("--plot", metavar="DIR", help="folder of the plots, one for each fit")
    parser.add_argument("--verbose", action="store_true", help="print the full result of each fit instead of one line")
    parser.add_argument("--source-id", type=whole(0), metavar="ID", help="use only the spectra of this source")
    add_settings(parser)


def _fit(options):
    settings, emulator = checked(settings_of(options))
    with ResultsTable("fit", options, made_with(settings, emulator)) as table:
        lines = None if table.to_terminal else Lines(options.verbose)
        notes = not (options.verbose or options.no_priors)
        for result in fit_stream(spectra_in(options, table), on_error="skip", emulator=emulator, **settings):
            name = table.names.popleft()
            if isinstance(result, FitFailure):
                table.failed(result.meta["file"], result.error, result.meta)
                continue
            table.add(result)
            for note in without_prior(result.meta) if notes else ():
                print(f"rvsemu fit: {note}", file=sys.stderr)
            notes = False
            if lines is not None:
                lines.print(result)
            if options.plot:
                with table.going_on(result.meta["file"]):
                    _plot(result, name, options)
    return table.status


def _plot(result, name, options):
    headless()
    save_figure(result.plot(), made_plots(options.plot) / f"{name}.png", options.overwrite or options.resume)
