"""``rvsemu sample``."""

from __future__ import annotations

import sys
from pathlib import Path

from ..catalog.plan import made_with
from ..errors import RvsemuError
from ..fitting import Settings, sample
from ..fitting.mcmc import Sampler
from .common import command, headless, made_plots, save_figure
from .options import whole
from .settings import add_settings, checked, settings_of
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
    settings, emulator = checked(settings_of(options))
    stop = None if options.all_steps else 50.0
    chosen = Settings(emulator=emulator, **settings)
    Sampler(chosen.generator(), options.walkers, options.steps, stop).check(chosen.parameters("rest"))
    given = {"walkers": options.walkers, "steps": options.steps, "stop": stop, "emulator": emulator, **settings}
    with ResultsTable("sample", options, made_with(settings, emulator)) as table:
        for spectrum in spectra_in(options, table):
            path = Path(options.out) / f"{table.names.popleft()}.h5"
            try:
                posterior = _one(spectrum, path, options, given)
                table.add(posterior)
                _show(posterior, spectrum, path, options, table)
            except RvsemuError as e:
                table.failed(spectrum.meta["file"], e, spectrum.meta)
            except KeyboardInterrupt:
                print(f"what has been sampled is in {options.out}: the same command goes on with it", file=sys.stderr)
                raise
    return table.status


def _one(spectrum, path, options, given):
    """Sample one spectrum; the chain is in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return sample(spectrum, file=path, resume=not options.restart, progress=not options.quiet, **given)


def _show(posterior, spectrum, path, options, table):
    """Print the result and write its plots."""
    if not table.to_terminal:
        print(f"{spectrum.meta['file']}: in {path}\n{posterior}", flush=True)
    if options.plot:
        headless()
        with table.going_on(spectrum.meta["file"]):
            save_figure(posterior.plot_corner(), made_plots(options.plot) / f"{path.stem}-corner.png", True)
            save_figure(posterior.plot_predictive(), made_plots(options.plot) / f"{path.stem}-predictive.png", True)
