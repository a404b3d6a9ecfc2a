"""``rvsemu sample``."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import RvsemuError
from ..fitting import sample
from ..observing.results import name_of
from .common import command, headless, made_plots, save_figure
from .options import whole
from .settings import add_settings, settings_of
from .tables import ResultsTable, add_table_options, spectra_in


def add_sample(commands):
    parser = command(commands, "sample", _sample)
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    parser.add_argument(
        "-o",
        "--out",
        default="posteriors",
        metavar="DIR",
        help="folder of the chains, one HDF5 file per star; existing chains are resumed (default: posteriors)",
    )
    add_table_options(parser, ("--table",))
    parser.add_argument("--plot", metavar="DIR", help="folder of the corner and predictive plots")
    parser.add_argument("--walkers", type=whole(2), default=32, metavar="N", help="number of walkers (default: 32)")
    parser.add_argument(
        "--steps", type=whole(1), default=3000, metavar="N", help="maximum number of steps (default: 3000)"
    )
    parser.add_argument(
        "--all-steps",
        action="store_true",
        help="do not stop early, when the chain is long enough by its autocorrelation times",
    )
    parser.add_argument("--restart", action="store_true", help="replace existing chains instead of resuming them")
    parser.add_argument("--quiet", action="store_true", help="show no progress bars")
    parser.add_argument("--source-id", type=whole(0), metavar="ID", help="use only the spectra of this source")
    add_settings(parser, without=("errors", "scale_errors"))


def _sample(options):
    settings = settings_of(options)
    with ResultsTable("sample", options) as table:
        for spectrum in spectra_in(options, table):
            try:
                table.add(_one(spectrum, options, settings, table.to_terminal))
            except RvsemuError as e:
                table.failed(spectrum.meta["file"], e, spectrum.meta)
            except KeyboardInterrupt:
                print(f"what has been sampled is in {options.out}: the same command goes on with it", file=sys.stderr)
                raise
    return table.status


def _one(spectrum, options, settings, silent):
    """Sample one spectrum, print the result and write its plots."""
    name = name_of(spectrum.meta, Path(spectrum.meta["file"]).stem)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    posterior = sample(
        spectrum,
        walkers=options.walkers,
        steps=options.steps,
        stop=None if options.all_steps else 50.0,
        file=folder / f"{name}.h5",
        resume=not options.restart,
        progress=not options.quiet,
        **settings,
    )
    if not silent:
        print(f"{spectrum.meta['file']}: in {folder / f'{name}.h5'}\n{posterior}", flush=True)
    if options.plot:
        headless()
        save_figure(posterior.plot_corner(), made_plots(options.plot) / f"{name}-corner.png", True)
        save_figure(posterior.plot_predictive(), made_plots(options.plot) / f"{name}-predictive.png", True)
    return posterior
