"""The command ``rvsemu``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .errors import LabelError, RvsemuError, SpectrumError

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see '{self.prog} --help')\n")


def main(arguments=None) -> int:
    """Run the command line; returns the exit status: 0, or 2 after a bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except RvsemuError as e:
        print(f"rvsemu {options.command}: error: {e}", file=sys.stderr)
        return 2
    except OSError as e:
        print(f"rvsemu {options.command}: error: {e.filename or ''}: {e.strerror or e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"rvsemu {options.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> _Parser:
    parser = _Parser(prog="rvsemu", description="Stellar spectra in the Gaia RVS range from neural networks.")
    parser.add_argument("--version", action="version", version=f"rvsemu {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for add in (_add_demo, _add_generate, _add_fit, _add_info, _add_train, _add_library):
        add(commands)
    return parser


def _version() -> str:
    from . import __version__

    return __version__


def _command(commands, name, run, text, **extra):
    parser = commands.add_parser(name, help=text, description=text + ".", **extra)
    parser.set_defaults(run=run)
    return parser


def _add_emulator_option(parser):
    parser.add_argument("--emulator", metavar="NAME|FILE", help="a shipped one, or an emulator file (default: default)")


# ---------------------------------------------------------------------- generate
def _add_generate(commands):
    from .labels import PAPER_LABELS

    parser = _command(commands, "generate", _generate, "Generate a spectrum from stellar labels")
    defaults = {"vsini": 0.0, "mh": 0.0, "vmic": 1.0, "resolution": 11500.0}
    for label in PAPER_LABELS:
        unit = f"{label.unit}, " if label.unit else ""
        default = defaults.get(label.name)
        parser.add_argument(
            f"--{label.name}",
            type=float,
            required=default is None,
            default=default,
            metavar="X",
            help=f"{label.description} ({unit}{label.lower:g} to {label.upper:g}"
            + (")" if default is None else f"; default {default:g})"),
        )
    parser.add_argument("--medium", choices=("air", "vacuum"), default="air", help="of the wavelengths (default: air)")
    parser.add_argument("--extrapolate", action="store_true", help="allow labels outside the training domain")
    _add_emulator_option(parser)
    parser.add_argument("-o", "--out", metavar="FILE", help="write the spectrum: .fits, .ecsv, .csv or .vot")
    parser.add_argument("--plot", metavar="FILE", help="write a plot: .png, .pdf or .svg")


def _generate(options):
    from .emulator import generate
    from .io.spectra import check_writable, write_spectrum
    from .labels import PAPER_LABELS

    if not (options.out or options.plot):
        raise SpectrumError("nothing to write: give -o FILE for the spectrum, --plot FILE for a plot, or both.")
    if options.out:
        check_writable(options.out)
    spectrum = generate(
        **{label.name: getattr(options, label.name) for label in PAPER_LABELS},
        medium=options.medium,
        emulator=options.emulator,
        extrapolate=options.extrapolate,
    )
    if options.out:
        write_spectrum(spectrum, options.out)
        print(f"wrote {options.out}")
    if options.plot:
        from .plotting import plot_spectrum

        _headless()
        _save_figure(plot_spectrum(spectrum), options.plot)


def _save_figure(ax, path):
    """Write the figure of `ax` and close it."""
    import matplotlib.pyplot as plt

    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise SpectrumError(f"{path}: the folder {path.absolute().parent} does not exist; make it first.")
    try:
        ax.figure.savefig(path, dpi=150, bbox_inches="tight")
    except ValueError as e:
        raise SpectrumError(f"{path}: {str(e).splitlines()[0]}; use .png, .pdf or .svg.") from None
    finally:
        plt.close(ax.figure)
    print(f"wrote {path}")


def _headless():
    """Figures go to files: no window system is needed."""
    import matplotlib

    matplotlib.use("Agg")


# ---------------------------------------------------------------------- fit
def _add_fit(commands):
    parser = _command(commands, "fit", _fit, "Fit stellar labels to Gaia RVS spectra")
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    parser.add_argument("-o", "--out", metavar="TABLE", help="write a table of results: .ecsv, .fits, .csv or .vot")
    parser.add_argument("--plot", metavar="DIR", help="write a plot of each fit into this folder")
    parser.add_argument("--source-id", type=int, metavar="ID", help="fit this source only")
    parser.add_argument("--fix", action="append", default=[], metavar="LABEL=X", help="hold a label, e.g. vmic=1.2")
    parser.add_argument(
        "--prior",
        action="append",
        default=[],
        metavar="LABEL=MEAN,SIGMA",
        help="a Gaussian prior; given ones replace the defaults",
    )
    parser.add_argument("--no-priors", action="store_true", help="leave out the default priors")
    parser.add_argument("--continuum-degree", type=int, default=3, metavar="N", help="of the polynomial (default: 3)")
    parser.add_argument(
        "--mask",
        action="append",
        metavar="NAME|LOW,HIGH",
        help="leave out: calcium-cores, edges, none, or a range in Angstrom (default: calcium-cores and edges)",
    )
    _add_emulator_option(parser)


def _fit(options):
    from tqdm import tqdm

    from .inference import fit
    from .io import read_rvs
    from .io.spectra import check_writable

    settings = _fit_settings(options)
    if options.out:
        check_writable(options.out)
    if options.plot:
        _headless()
        Path(options.plot).mkdir(parents=True, exist_ok=True)
    results, failures = [], 0
    for path in tqdm(options.files, desc="fit", unit="file", disable=len(options.files) < 3):
        try:
            for spectrum in read_rvs(path, options.source_id):
                results.append(fit(spectrum, **settings))
                _report(results[-1], spectrum, path, options.plot)
        except SpectrumError as e:
            failures += 1
            tqdm.write(f"rvsemu fit: error: {_prefixed(path, e)}", file=sys.stderr)
    if results and options.out:
        _write_results(results, options.out)
    return 2 if failures else 0


def _prefixed(path, error) -> str:
    text = str(error)
    return text if Path(path).name in text else f"{path}: {text}"


def _fit_settings(options) -> dict:
    settings = {
        "emulator": options.emulator,
        "fixed": {name: _number("--fix", name, text) for name, text in map(_assignment("--fix"), options.fix)},
        "continuum_degree": options.continuum_degree,
    }
    if options.prior or options.no_priors:
        pairs = map(_assignment("--prior"), options.prior)
        settings["priors"] = {name: _pair("--prior", name, text) for name, text in pairs}
    if options.mask:
        settings["mask"] = [_mask(text) for text in options.mask if text != "none"]
    return settings


def _assignment(option):
    def split(text):
        name, equals, value = text.partition("=")
        if not equals:
            raise LabelError(f"{option} {text}: write LABEL=VALUE, e.g. vmic=1.2.")
        return name.strip(), value

    return split


def _number(option, name, text) -> float:
    try:
        return float(text)
    except ValueError:
        raise LabelError(f"{option} {name}={text}: '{text}' is not a number.") from None


def _pair(option, name, text) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise LabelError(f"{option} {name}={text}: write two numbers, e.g. {name}=11500,500.")
    return _number(option, name, parts[0]), _number(option, name, parts[1])


def _mask(text):
    return _pair("--mask", "range", text) if "," in text else text


def _report(result, spectrum, path, folder):
    """Print one result and write its plot."""
    name = str(spectrum.meta.get("source_id", Path(path).stem))
    print(f"{path}: source {name}\n{result}")
    if folder:
        transit = spectrum.meta.get("transit_id")
        file = Path(folder) / (f"{name}-{transit}.png" if transit is not None else f"{name}.png")
        _save_figure(result.plot(), file)


def _write_results(results, path):
    from astropy.table import vstack

    from .io.spectra import write_table

    write_table(vstack([r.to_table() for r in results], metadata_conflicts="silent"), path)
    print(f"wrote {path}")


# ---------------------------------------------------------------------- demo
def _add_demo(commands):
    text = "Generate a solar spectrum, fit a real Gaia star that comes with the package, write plots and a table"
    parser = _command(commands, "demo", _demo, text)
    parser.add_argument(
        "-o", "--out", metavar="DIR", default="rvsemu-demo", help="folder for what it writes (default: rvsemu-demo)"
    )


def _demo(options):
    from .emulator import generate
    from .inference import fit
    from .io import example_path, read_rvs
    from .io.spectra import write_spectrum
    from .plotting import plot_spectrum

    _headless()
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    sun = generate(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1, resolution=11500)
    write_spectrum(sun, folder / "sun.fits")
    print(f"A solar spectrum from its labels:\nwrote {folder / 'sun.fits'}")
    _save_figure(plot_spectrum(sun), folder / "sun.png")
    (star,) = read_rvs(example_path("kepler-93"))
    result = fit(star)
    print("\nLabels of Kepler-93 from its Gaia DR3 RVS spectrum")
    print(f"(Huber et al. 2013: teff 5669 +- 75 K, logg 4.468 +- 0.032, mh -0.18 +- 0.10):\n{result}")
    _write_results([result], folder / "kepler-93.ecsv")
    _save_figure(result.plot(), folder / "kepler-93.png")


# ---------------------------------------------------------------------- info
def _add_info(commands):
    parser = _command(commands, "info", _info, "Say what an emulator is and how well it does")
    parser.add_argument("emulator", nargs="?", metavar="NAME|FILE", help="shipped name or file (default: default)")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def _info(options):
    from .emulator import resolve

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


# ---------------------------------------------------------------------- train
def _add_train(commands):
    parser = _command(commands, "train", _train, "Train an emulator on a library of spectra (needs rvsemu[train])")
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
    from .training.fit import train

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
    for stage in ("autoencoder", "label_network", "linked"):
        values = emulator.info["metrics"][stage]
        print(f"  {stage}: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))


# ---------------------------------------------------------------------- library
def _add_library(commands):
    parser = _command(commands, "library", None, "Look at a library of synthetic spectra, or make a compact copy")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    info = _command(actions, "info", _library_info, "Say what a library holds")
    info.add_argument("file", metavar="FILE")
    compact = _command(actions, "compact", _library_compact, "Smooth to R = 30000 and sample every 0.1 A")
    compact.add_argument("file", metavar="FILE")
    compact.add_argument("-o", "--out", required=True, metavar="FILE")


def _library_info(options):
    from .library import Library

    library = Library.load(options.file)
    print(f"{library}, fingerprint {library.fingerprint()}")
    for name, values in zip(library.names, library.labels.T, strict=True):
        print(f"  {name:<8}{values.min():10.6g} to {values.max():<10.6g}")
    if library.extrapolated is not None:
        print(f"  {library.extrapolated.sum()} spectra on structures held at the edge of their grid")
    for key, value in library.info.items():
        print(f"  {key}: {value}")


def _library_compact(options):
    from .library import Library

    compact = Library.load(options.file).compact()
    compact.save(options.out)
    print(f"wrote {options.out}: {compact}")


if __name__ == "__main__":
    sys.exit(main())
