"""``rvsemu fetch``."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import SpectrumError, SpectrumWarning
from .common import REJECTED, command


def add_fetch(commands):
    parser = command(commands, "fetch", _fetch)
    parser.add_argument("source_ids", nargs="*", metavar="ID", help="source_id of a Gaia source")
    parser.add_argument("--list", metavar="FILE", help="text file with one source_id per line")
    parser.add_argument(
        "-o",
        "--out",
        default=".",
        metavar="DIR",
        help="folder of the spectra, one file per source; existing files are kept (default: .)",
    )
    what = "mean spectra, or epoch spectra (one per transit, from Gaia DR4) (default: mean)"
    parser.add_argument("--product", choices=("mean", "epoch"), default="mean", help=what)
    release = "Gaia release (default: Gaia DR3, for epoch spectra Gaia DR4)"
    parser.add_argument("--release", metavar="NAME", help=release)


def _fetch(options):
    import warnings

    from ..spectra import fetch_rvs

    source_ids = [*options.source_ids, *_listed(options.list)]
    if not source_ids:
        raise SpectrumError("nothing to fetch: give source_ids, or --list FILE.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", SpectrumWarning)
        spectra = fetch_rvs(source_ids, product=options.product, data_release=options.release, cache=options.out)
    for file in dict.fromkeys(_file(spectrum.meta["file"]) for spectrum in spectra):
        if Path(file).exists():  # what came damaged is not kept
            print(file)
    for warning in caught:
        print(f"rvsemu fetch: {warning.message}", file=sys.stderr)
    found = {spectrum.meta["source_id"] for spectrum in spectra}
    return 0 if found.issuperset(map(int, source_ids)) else REJECTED


def _file(name) -> str:
    """The file in the folder; of a member of an archive, the archive."""
    archive, ending, _ = name.partition(".zip:")
    return archive + ending.removesuffix(":")


def _listed(path) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").split()
    except OSError as error:
        raise SpectrumError(f"--list {path}: cannot be read ({error.strerror}); give a text file.") from None
    except UnicodeDecodeError:
        raise SpectrumError(f"{path}: not a text file; give one source_id per line.") from None
