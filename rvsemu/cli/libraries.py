"""``rvsemu library info | compact | merge | import``."""

from __future__ import annotations

import argparse

from .._storage import check_folder
from ..errors import LibraryFileError
from .common import Parser, assignment, command, number, pair

_LONG = 300  # characters of provenance printed


def add_library(commands):
    text = "Look at libraries of synthetic spectra, make compact copies, merge, or import spectra of other origin"
    parser = command(commands, "library", None, text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    info = command(actions, "info", _library_info, "Say what a library holds")
    info.add_argument("file", metavar="FILE")
    compact = command(actions, "compact", _library_compact, "Smooth to R = 30000 and sample every 0.1 A")
    compact.add_argument("file", metavar="FILE")
    compact.add_argument("-o", "--out", required=True, metavar="FILE")
    merge = command(actions, "merge", _library_merge, "Put libraries on the same grid together")
    merge.add_argument("files", nargs="+", metavar="FILE")
    merge.add_argument("-o", "--out", required=True, metavar="FILE")
    _add_import(actions)


def _add_import(actions):
    text = "Read synthetic spectra of other origin: normalised, in air, on a uniform grid"
    parser = command(actions, "import", _library_import, text)
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="files, or folders that are searched through")
    add("--format", required=True, metavar="NAME", help="what the files are: see --list-formats")
    add("--list-formats", action=_ListFormats, help="print the formats and what each assumes")
    add("-o", "--out", required=True, metavar="FILE", help="the library (HDF5)")
    add("--medium", choices=("air", "vacuum"), help="of the files' wavelengths (default: the format's)")
    add("--unit", choices=("Angstrom", "nm", "um"), help="of the files' wavelengths (default: the format's)")
    add("--labels", metavar="FILE", help="table with the columns file, teff, logg, mh, vmic: CSV, ECSV, FITS, VOTable")
    add("--set", action="append", default=[], metavar="LABEL=X", help="a label of all spectra, e.g. vmic=2")
    add("--alpha", metavar="X", help="take spectra with this [alpha/M], oxygen like it (default: 0)")
    add("--abundance", action="append", default=[], metavar="NAME=X", help="take spectra with this, e.g. carbon=0.25")
    add("--within", action="append", default=[], metavar="LABEL=LOW,HIGH", help="take these, e.g. teff=4000,8000")
    add("--resolution", metavar="R", help="of a Gaussian LSF in the spectra (default: the format's)")
    add("--pseudo-continuum", type=int, metavar="DEGREE", help="divide by a polynomial: for files without a continuum")
    add("--range", default="8380,8818", metavar="LOW,HIGH", help="of the library, A in air (default: 8380,8818)")
    add("--step", default="0.04", metavar="A", help="width of its bins (default: 0.04)")
    add("--strict", action="store_true", help="stop at the first spectrum that cannot be used")


class _ListFormats(argparse.Action):
    """Prints and exits, as ``--version`` does: paths and output are not needed for it."""

    def __init__(self, option_strings, dest, help=None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        from ..library.importing.formats import listing

        print(listing())
        parser.exit()


def _library_info(options):
    from ..library import Library

    library = Library.load(options.file)
    print(f"{library}, fingerprint {library.fingerprint()}")
    for name, values in zip(library.names, library.labels.T, strict=True):
        print(f"  {name:<8}{values.min():10.6g} to {values.max():<10.6g}")
    if library.extrapolated is not None:
        print(f"  {library.extrapolated.sum()} spectra on structures held at the edge of their grid")
    if library.failures:
        print(f"  {len(library.failures)} spectra failed")
    for key, value in library.info.items():
        print(f"  {key}: {value if len(value) < _LONG else value[:_LONG] + ' ...'}")


def _library_merge(options):
    from functools import reduce

    from ..library import Library

    if len(options.files) < 2:
        raise LibraryFileError(f"{options.files[0]}: name two libraries or more to merge.")
    merged = reduce(Library.merged, map(Library.load, options.files))
    merged.save(options.out)
    print(f"wrote {options.out}: {merged}")


def _library_compact(options):
    from ..library import Library

    compact = Library.load(options.file).compact()
    compact.save(options.out)
    print(f"wrote {options.out}: {compact}")


def _library_import(options):
    from ..library.importing import import_library

    out = check_folder(options.out, LibraryFileError)
    if out.is_dir():
        raise LibraryFileError(f"{out} is a folder: name a file.")
    library, report = import_library(options.paths, options.format, _settings(options))
    library.save(out)
    for line in report.reasons():
        print(f"left out: {line}")
    print(f"wrote {out}: {library}")
    if "pseudo" in library.info["normalisation"]:
        print("note: its continuum is a fitted one, poor above 6500 K and none below 4200 K; see the documentation")


def _settings(options):
    from ..library.importing import Settings

    abundances = _numbers("--abundance", options.abundance)
    if options.alpha is not None:
        abundances["alpha"] = _number("--alpha", options.alpha)
    return Settings(
        medium=options.medium,
        unit=options.unit,
        labels=options.labels,
        given=_numbers("--set", options.set),
        abundances=abundances,
        within={k: pair("--within", k, v) for k, v in map(assignment("--within"), options.within)},
        resolution=None if options.resolution is None else _number("--resolution", options.resolution),
        pseudo_continuum=options.pseudo_continuum,
        limits=_range(options.range),
        step=_number("--step", options.step),
        strict=options.strict,
    )


def _number(option, text) -> float:
    try:
        return float(text)
    except ValueError:
        raise LibraryFileError(f"{option} {text}: '{text}' is not a number.") from None


def _range(text) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise LibraryFileError(f"--range {text}: write two wavelengths, e.g. 8380,8818.")
    return _number("--range", parts[0]), _number("--range", parts[1])


def _numbers(option, given) -> dict[str, float]:
    return {name: number(option, name, value) for name, value in map(assignment(option), given)}
