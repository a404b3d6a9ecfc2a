"""``rvsemu sample``."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import PosteriorFileError, SpectrumError
from .common import command, headless, save_figure, write_results
from .fitting import add_fit_options, fit_settings, prefixed


def add_sample(commands):
    parser = command(commands, "sample", _sample, "Sample the posterior of the labels of Gaia RVS spectra with emcee")
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    parser.add_argument(
        "-o",
        "--out",
        default="posterior.h5",
        metavar="FILE",
        help="HDF5 file of the chains, a group a star; what is in it is resumed (default: posterior.h5)",
    )
    parser.add_argument("--table", metavar="TABLE", help="write a table of results: .ecsv, .fits, .csv or .vot")
    parser.add_argument("--plot", metavar="DIR", help="write corner and predictive plots into this folder")
    parser.add_argument("--walkers", type=int, default=32, metavar="N", help="(default: 32)")
    parser.add_argument("--steps", type=int, default=3000, metavar="N", help="at most so many (default: 3000)")
    parser.add_argument(
        "--all-steps", action="store_true", help="do not stop when the autocorrelation times say that it is enough"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of everything random (default: 1)")
    parser.add_argument("--restart", action="store_true", help="begin anew where the file has a chain of the star")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    add_fit_options(parser)


def _sample(options):
    from ..spectra import read_rvs
    from ..spectra.write import check_writable

    settings = fit_settings(options)
    if options.table:
        check_writable(options.table)
    if options.plot:
        headless()
        Path(options.plot).mkdir(parents=True, exist_ok=True)
    posteriors, failures = [], 0
    for path in options.files:
        try:
            for spectrum in read_rvs(path, options.source_id):
                posteriors.append(_one(spectrum, path, options, settings))
        except (PosteriorFileError, SpectrumError) as e:
            failures += 1
            print(f"rvsemu sample: error: {prefixed(path, e)}", file=sys.stderr)
        except KeyboardInterrupt:
            print(f"{path}: stopped; what has been sampled is in {options.out}, the same command goes on with it")
            raise
    if posteriors and options.table:
        write_results(posteriors, options.table)
    return 2 if failures else 0


def _one(spectrum, path, options, settings):
    """Sample one spectrum, print the result and write its plots."""
    from ..fitting import sample

    posterior = sample(
        spectrum,
        seed=options.seed,
        walkers=options.walkers,
        steps=options.steps,
        stop=None if options.all_steps else 50.0,
        file=options.out,
        resume=not options.restart,
        progress=not options.quiet,
        **settings,
    )
    print(f"{path}: in {options.out}\n{posterior}")
    if options.plot:
        name = posterior.meta["name"]
        save_figure(posterior.plot_corner(), Path(options.plot) / f"{name}-corner.png")
        save_figure(posterior.plot_predictive(), Path(options.plot) / f"{name}-predictive.png")
    return posterior
