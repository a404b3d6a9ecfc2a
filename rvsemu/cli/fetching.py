"""``rvsemu fetch``."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import SpectrumError, SpectrumWarning
from .common import command


def add_fetch(commands):
    parser = command(commands, "fetch", _fetch)
    parser.add_argument("source_ids", nargs="*", metavar="ID", help="Gaia source_id")
    parser.add_argument("--list", metavar="FILE", help="a text file with one source_id per line")
    parser.add_argument(
        "-o", "--out", default=".", metavar="DIR", help="folder for one FITS file per source; those there are kept"
    )
    parser.add_argument("--release", default="Gaia DR3", metavar="NAME", help="(default: Gaia DR3)")


def _fetch(options):
    import warnings

    from ..spectra import fetch_rvs

    source_ids = [*options.source_ids, *_listed(options.list)]
    if not source_ids:
        raise SpectrumError("nothing to fetch: give source_ids, or --list FILE.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", SpectrumWarning)
        spectra = fetch_rvs(source_ids, data_release=options.release, cache=options.out)
    for spectrum in spectra:
        print(spectrum.meta["file"])
    for warning in caught:
        print(f"rvsemu fetch: {warning.message}", file=sys.stderr)


def _listed(path) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").split()
    except OSError as error:
        raise SpectrumError(f"--list {path}: cannot be read ({error.strerror}); give a text file.") from None
    except UnicodeDecodeError:
        raise SpectrumError(f"{path}: not a text file; give one source_id per line.") from None
