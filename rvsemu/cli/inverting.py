"""``rvsemu invert``."""

from __future__ import annotations

import sys

from ..errors import SpectrumError
from .common import command, write_results
from .fitting import add_pixel_options, mask_setting, prefixed


def add_invert(commands):
    parser = command(commands, "invert", _invert, "Invert RVS spectra to stellar labels with a neural network")
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    parser.add_argument("-o", "--out", metavar="TABLE", help="write a table of results: .ecsv, .fits, .csv or .vot")
    parser.add_argument("--inversion", metavar="NAME|FILE", help="a shipped one, or an inversion file")
    parser.add_argument("--source-id", type=int, metavar="ID", help="take this source only")
    parser.add_argument("--radial-velocity", type=float, metavar="V", help="fix it, in km/s (default: it is found)")
    add_pixel_options(parser)


def _invert(options):
    from tqdm import tqdm

    from ..inversion import invert, resolve
    from ..spectra import read_rvs
    from ..spectra.write import check_writable

    if options.out:
        check_writable(options.out)
    settings = {
        "inversion": resolve(options.inversion),
        "radial_velocity": options.radial_velocity,
        "continuum_degree": options.continuum_degree,
        **mask_setting(options),
    }
    results, failures = [], 0
    for path in tqdm(options.files, desc="invert", unit="file", disable=len(options.files) < 3):
        try:
            for spectrum in read_rvs(path, options.source_id):
                results.append(invert(spectrum, **settings))
                tqdm.write(f"{path}: source {spectrum.meta.get('source_id', 'unknown')}\n{results[-1]}")
        except SpectrumError as e:
            failures += 1
            tqdm.write(f"rvsemu invert: error: {prefixed(path, e)}", file=sys.stderr)
    if results and options.out:
        write_results(results, options.out)
    return 2 if failures else 0
