"""``rvsemu info`` and ``rvsemu train``."""

from __future__ import annotations

import json

from .common import command


def add_info(commands):
    parser = command(commands, "info", _info, "Say what an emulator is and how well it does")
    parser.add_argument("emulator", nargs="?", metavar="NAME|FILE", help="shipped name or file (default: default)")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def _info(options):
    from ..emulator import resolve

    emulator = resolve(options.emulator)
    if options.json:
        history = {s: {k: v.tolist() for k, v in curves.items()} for s, curves in emulator.history.items()}
        print(json.dumps({**emulator.info, "history": history}, indent=1))
        return
    print(emulator)
    for label in emulator.labels.labels:
        print(f"  {label.name:<11}{label.lower:>8g} to {label.upper:<8g}{label.unit:<6}{label.description}")
    for stage, values in emulator.info.get("metrics", {}).items():
        if isinstance(values, dict):
            print(f"  {stage}: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))


def add_train(commands):
    parser = command(commands, "train", _train, "Train an emulator on a library of spectra (needs rvsemu[train])")
    parser.add_argument("--library", required=True, metavar="FILE", help="library of unbroadened spectra (HDF5)")
    parser.add_argument("--recipe", default="default", metavar="NAME", help="default or gebran2024 (default: default)")
    parser.add_argument("-o", "--out", default="emulator.h5", metavar="FILE", help="(default: emulator.h5)")
    parser.add_argument("--draws", type=int, metavar="N", help="broadened spectra to draw (default: the recipe's)")
    parser.add_argument("--epochs", type=int, metavar="N", help="at most so many in each stage (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of everything random (default: 1)")
    parser.add_argument(
        "--folder", metavar="DIR", help="draws and checkpoints; run again to resume (default: FILE.work)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _train(options):
    from ..training.fit import train

    emulator = train(
        options.library,
        options.recipe,
        options.out,
        folder=options.folder,
        draws=options.draws,
        epochs=options.epochs,
        seed=options.seed,
        progress=not options.quiet,
    )
    print(f"wrote {options.out}: {emulator}")
    for name, value in emulator.info["constant_labels"].items():
        print(f"  {name} is {value:g} in all spectra of the library: the emulator has no such label")
    for stage in ("autoencoder", "label_network", "linked"):
        values = emulator.info["metrics"][stage]
        print(f"  {stage}: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))
