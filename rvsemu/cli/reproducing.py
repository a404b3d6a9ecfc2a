"""``rvsemu reproduce``."""

from __future__ import annotations

from pathlib import Path

from .common import command, headless
from .options import interrupted, seed, whole


def add_reproduce(commands):
    parser = command(commands, "reproduce", _reproduce)
    parser.add_argument(
        "--library",
        required=True,
        metavar="FILE",
        help="library of unbroadened spectra (HDF5), or a list of such files (.txt)",
    )
    parser.add_argument(
        "--out",
        default="rvsemu-reproduction",
        metavar="DIR",
        help="folder of models and report, from which a run is resumed (default: rvsemu-reproduction)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="short run of minutes instead of hours, to test that it works"
    )
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="seed of the random numbers (default: 1)")
    parser.add_argument(
        "--epochs",
        type=whole(1),
        metavar="N",
        help="maximum number of epochs in each stage (default: those of the recipes, with --quick 2)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the report of another study in DIR")
    parser.add_argument("--quiet", action="store_true", help="show no progress bars")


def _reproduce(options):
    from ..reproduction import FULL, QUICK, reproduce, summary

    headless()
    plan = QUICK if options.quick else FULL
    try:
        results = reproduce(
            options.library,
            options.out,
            plan,
            seed=options.seed,
            epochs=options.epochs,
            overwrite=options.overwrite,
            progress=not options.quiet,
        )
    except KeyboardInterrupt:
        return interrupted("reproduce", Path(options.out))
    print(summary(results))
    print(f"wrote {options.out}/report: 'sphinx-build -C {options.out}/report {options.out}/html' makes a page of it")
    return 0
