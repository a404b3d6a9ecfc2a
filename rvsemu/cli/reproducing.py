"""``rvsemu reproduce``."""

from __future__ import annotations

from .common import command, headless


def add_reproduce(commands):
    text = "Run the study of Gebran (2024) on a library and write a report (needs rvsemu[train])"
    parser = command(commands, "reproduce", _reproduce, text)
    parser.add_argument("--library", required=True, metavar="FILE", help="library of unbroadened spectra (HDF5)")
    parser.add_argument(
        "--out",
        default="rvsemu-reproduction",
        metavar="DIR",
        help="models and report; run again to resume (default: rvsemu-reproduction)",
    )
    parser.add_argument("--quick", action="store_true", help="minutes instead of hours, to see that it works")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of everything random (default: 1)")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="at most so many in each stage of the trainings (default: 60; quick: 2)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _reproduce(options):
    from ..reproduction import FULL, QUICK, reproduce
    from ..reproduction.verdicts import summary

    headless()
    plan = QUICK if options.quick else FULL
    arguments = {"seed": options.seed, "epochs": options.epochs, "progress": not options.quiet}
    print(summary(reproduce(options.library, options.out, plan, **arguments)))
    print(f"wrote {options.out}/report: 'sphinx-build -C {options.out}/report {options.out}/html' makes a page of it")
