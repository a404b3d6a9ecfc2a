"""``rvsemu fit``."""

from __future__ import annotations

from pathlib import Path

from ..fitting import FitFailure, fit_stream
from ..observing.results import name_of
from .common import command, headless, made_plots, save_figure
from .settings import add_settings, settings_of
from .tables import ResultsTable, add_table_options, complain, spectra_in


def add_fit(commands):
    parser = command(commands, "fit", _fit)
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    add_table_options(parser)
    parser.add_argument("--plot", metavar="DIR", help="write a plot of each fit into this folder")
    parser.add_argument("--source-id", type=int, metavar="ID", help="take this source only")
    add_settings(parser)


def _fit(options):
    settings = settings_of(options)
    failures = []

    def failed(path, error):
        failures.append(path)
        complain("fit", path, error)
        table.add(FitFailure(error, {"file": str(path)}))

    with ResultsTable(options.table, options.overwrite, options.resume) as table:
        spectra = (s for s in spectra_in(options.files, options.source_id, failed) if not table.has(s))
        for result in fit_stream(spectra, on_error="skip", **settings):
            table.add(result)
            if isinstance(result, FitFailure):
                failures.append(result.meta["file"])
                complain("fit", result.meta["file"], result.error)
            else:
                print(f"{result.meta['file']}: source {result.meta.get('source_id', 'unknown')}\n{result}", flush=True)
            if options.plot and not isinstance(result, FitFailure):
                _plot(result, options)
    return 2 if failures else 0


def _plot(result, options):
    headless()
    name = name_of(result.meta, Path(result.meta["file"]).stem)
    save_figure(result.plot(), made_plots(options.plot) / f"{name}.png", options.overwrite or options.resume)
