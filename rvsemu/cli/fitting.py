"""``rvsemu fit``, and the options that it shares with ``rvsemu sample``."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import SpectrumError
from .common import add_emulator_option, assignment, command, headless, number, pair, save_figure, write_results


def add_fit(commands):
    parser = command(commands, "fit", _fit, "Fit stellar labels to Gaia RVS spectra")
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    parser.add_argument("-o", "--out", metavar="TABLE", help="write a table of results: .ecsv, .fits, .csv or .vot")
    parser.add_argument("--plot", metavar="DIR", help="write a plot of each fit into this folder")
    parser.add_argument(
        "--errors",
        choices=("gaussian", "sampled"),
        default="gaussian",
        help="from the curvature at the best fit, or from weighted draws, for noisy spectra (default: gaussian)",
    )
    add_fit_options(parser)


def add_fit_options(parser):
    """What is fitted, and how."""
    parser.add_argument("--source-id", type=int, metavar="ID", help="take this source only")
    parser.add_argument("--fix", action="append", default=[], metavar="LABEL=X", help="hold a label, e.g. vmic=1.2")
    parser.add_argument(
        "--prior",
        action="append",
        default=[],
        metavar="LABEL=MEAN,SIGMA",
        help="a Gaussian prior; given ones replace the defaults",
    )
    parser.add_argument("--no-priors", action="store_true", help="leave out the default priors")
    add_pixel_options(parser)
    add_emulator_option(parser)


def add_pixel_options(parser):
    """Continuum and mask, for all commands that read observed spectra."""
    parser.add_argument("--continuum-degree", type=int, default=3, metavar="N", help="of the polynomial (default: 3)")
    parser.add_argument(
        "--mask",
        action="append",
        metavar="NAME|LOW,HIGH",
        help="leave out: calcium-cores, edges, none, or a range in Angstrom (default: calcium-cores and edges)",
    )


def _fit(options):
    from tqdm import tqdm

    from ..fitting import fit
    from ..spectra import read_rvs
    from ..spectra.write import check_writable

    settings = fit_settings(options) | {"errors": options.errors}
    if options.out:
        check_writable(options.out)
    if options.plot:
        headless()
        Path(options.plot).mkdir(parents=True, exist_ok=True)
    results, failures = [], 0
    for path in tqdm(options.files, desc="fit", unit="file", disable=len(options.files) < 3):
        try:
            for spectrum in read_rvs(path, options.source_id):
                results.append(fit(spectrum, **settings))
                _report(results[-1], spectrum, path, options.plot)
        except SpectrumError as e:
            failures += 1
            tqdm.write(f"rvsemu fit: error: {prefixed(path, e)}", file=sys.stderr)
    if results and options.out:
        write_results(results, options.out)
    return 2 if failures else 0


def prefixed(path, error) -> str:
    """The text of an error, with the file it is about."""
    text = str(error)
    return text if Path(path).name in text else f"{path}: {text}"


def fit_settings(options) -> dict:
    """The options of `add_fit_options` as arguments of `rvsemu.fit`."""
    settings = {
        "emulator": options.emulator,
        "fixed": {name: number("--fix", name, text) for name, text in map(assignment("--fix"), options.fix)},
        "continuum_degree": options.continuum_degree,
    }
    if options.prior or options.no_priors:
        pairs = map(assignment("--prior"), options.prior)
        settings["priors"] = {name: pair("--prior", name, text) for name, text in pairs}
    return settings | mask_setting(options)


def mask_setting(options) -> dict:
    """The option ``--mask`` as an argument, if it was given."""
    return {"mask": [_mask(text) for text in options.mask if text != "none"]} if options.mask else {}


def _mask(text):
    return pair("--mask", "range", text) if "," in text else text


def _report(result, spectrum, path, folder):
    """Print one result and write its plot."""
    name = str(spectrum.meta.get("source_id", Path(path).stem))
    print(f"{path}: source {name}\n{result}")
    if folder:
        transit = spectrum.meta.get("transit_id")
        file = Path(folder) / (f"{name}-{transit}.png" if transit is not None else f"{name}.png")
        save_figure(result.plot(), file)
