"""``rvsemu info`` and ``rvsemu train``."""

from __future__ import annotations

import json
from pathlib import Path

from .common import command
from .options import interrupted, limits, seed, whole

_RECIPES = (
    "default or gebran2024 for an emulator, inversion or gebran2024-inversion for an inversion (default: default)"
)
_STAGES = ("autoencoder", "label_network", "linked", "components_test", "training", "validation", "test")


def add_info(commands):
    parser = command(commands, "info", _info)
    parser.add_argument(
        "emulator", nargs="?", metavar="NAME|FILE", help="name of a shipped emulator, or a file (default: default)"
    )
    parser.add_argument("--json", action="store_true", help="print all properties, as JSON")


def _info(options):
    model = _model(options.emulator)
    if options.json:
        history = {s: {k: v.tolist() for k, v in curves.items()} for s, curves in model.history.items()}
        print(json.dumps({**model.info, "history": history}, indent=1))
        return
    print(model)
    for label in model.labels.labels:
        print(f"  {label.name:<11}{label.lower:>8g} to {label.upper:<8g}{label.unit:<6}{label.description}")
    for stage, values in model.info.get("metrics", {}).items():
        if isinstance(values, dict):
            print(f"  {stage}: " + ", ".join(f"{k} {_shown(v)}" for k, v in values.items()))
    if "calibration" in model.info:
        _print_calibration(model.info["calibration"])


def _shown(value):
    """Three digits, or more where these would be those of a perfect 1."""
    return f"{value:.3g}" if abs(value - 1) > 0.005 else f"{value:.6f}"


def _print_calibration(report):
    """What a calibrated emulator was calibrated on, and what it was worth."""
    how = "made from scratch of" if report.get("from_scratch") else "calibrated on"
    print(f"  {how} {report['stars']} stars of {report['table']} by their {', '.join(report['labels'])}:")
    for name in report["labels"]:
        print("    {:<11}{:.5g} to {:.5g}".format(name, *report["ranges"][name]))
    before, after = (report["held_out"][when]["rms_less_noise"] for when in ("before", "after"))
    print(f"    RMS left of other stars, less the noise: {before:.4f} before, {after:.4f} after")
    if off := report["held_out"].get("labels"):
        print("    added to errors of labels: " + ", ".join(f"{n} {one['added']:.2g}" for n, one in off.items()))


def _model(given):
    """The emulator or inversion of that name or file."""
    from .._storage import kind_of
    from ..emulator import resolve
    from ..inversion import Inversion

    return Inversion.load(given) if given and kind_of(given) == "inversion" else resolve(given)


def add_train(commands):
    parser = command(commands, "train", _train)
    parser.add_argument(
        "--library",
        required=True,
        metavar="FILE",
        help="library of unbroadened spectra (HDF5), or a list of such files (.txt)",
    )
    parser.add_argument("--recipe", default="default", metavar="NAME", help=_RECIPES)
    parser.add_argument(
        "-o", "--out", metavar="FILE", help="file of the trained model (default: emulator.h5 or inversion.h5)"
    )
    parser.add_argument(
        "--draws", type=whole(100), metavar="N", help="number of training draws (default: that of the recipe)"
    )
    parser.add_argument(
        "--epochs",
        type=whole(1),
        metavar="N",
        help="maximum number of epochs in each stage (default: that of the recipe)",
    )
    text = "lowest and highest v sin i, km/s (default: 0,300)"
    parser.add_argument("--vsini", type=limits, metavar="LOW,HIGH", help=text)
    text = "lowest and highest resolving power (default: 5000,14500)"
    parser.add_argument("--resolution", type=limits, metavar="LOW,HIGH", help=text)
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="seed of the random numbers (default: 1)")
    parser.add_argument(
        "--folder",
        metavar="DIR",
        help="folder of draws and checkpoints, from which training is resumed (default: FILE.work)",
    )
    parser.add_argument("--accept-poor", action="store_true", help="write the file even if R2 is below 0.9")
    parser.add_argument("--overwrite", action="store_true", help="replace the FILE of another training")
    parser.add_argument("--quiet", action="store_true", help="show no progress bars")


def _train(options):
    from ..training.fit import LEAST_R2, r2_of, train
    from ..training.recipes import recipe as recipe_named

    recipe = recipe_named(options.recipe)
    out = Path(options.out or f"{recipe.makes}.h5")
    folder = Path(options.folder) if options.folder else out.parent / f"{out.name}.work"
    try:
        trained = train(
            options.library,
            recipe,
            out,
            folder=folder,
            draws=options.draws,
            epochs=options.epochs,
            vsini=options.vsini,
            resolution=options.resolution,
            seed=options.seed,
            least_r2=None if options.accept_poor else LEAST_R2,
            overwrite=options.overwrite,
            progress=not options.quiet,
        )
    except KeyboardInterrupt:
        return interrupted("train", folder)
    print(f"wrote {out}: {trained}")
    for name, value in trained.info["constant_labels"].items():
        print(f"  {name} is {value:g} in all spectra of the library: there is no such label")
    for stage in [stage for stage in _STAGES if stage in trained.info["metrics"]]:
        values = trained.info["metrics"][stage]
        print(f"  {stage}: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))
    if not (found := r2_of(trained.info)) >= LEAST_R2:
        print(f"note: its R2 is {found:.3g}, below {LEAST_R2:g}: no fit with it is to be trusted")
    return 0
