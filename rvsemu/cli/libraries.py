"""``rvsemu library info | compact | merge | split | import``."""

from __future__ import annotations

import argparse

from ..errors import LibraryFileError
from .common import Parser, check_only_read, command
from .options import Once, label_is, limits, real, whole

_LONG = 300  # characters of provenance printed


def add_library(commands):
    parser = command(commands, "library", None)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    info = command(actions, "info", _library_info, "Print the properties of a library")
    info.add_argument("file", metavar="FILE", help="library (HDF5), or a list of libraries (.txt) as of 'rvsemu train'")
    compact = command(
        actions,
        "compact",
        _library_compact,
        "Write a compact copy of a library, smoothed to R = 30000 and sampled every 0.1 A",
    )
    compact.add_argument("file", metavar="FILE", help="library at full resolution (HDF5)")
    _add_out(compact)
    text = "Merge libraries with the same grid; the result is compact if one of them is. If several files have "
    text += "the same star, the spectrum of the first file is kept"
    merge = command(actions, "merge", _library_merge, text)
    merge.add_argument("files", nargs="+", metavar="FILE", help="libraries (HDF5)")
    merge.add_argument("--replace", action="store_true", help="keep the spectrum of the last file instead of the first")
    merge.add_argument("--drop-weak-cn", action="store_true", help="leave out spectra whose CN is three times too weak")
    _add_out(merge)
    split = command(
        actions, "split", _library_split, "Write spectra that are in no part yet to new parts of at most 10 MB"
    )
    split.add_argument("file", metavar="FILE", help="library (HDF5)")
    split.add_argument("-o", "--out", required=True, metavar="DIR", help="folder of the parts: 000.h5, 001.h5 ...")
    _add_import(actions)


def _add_out(parser):
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="library to write (HDF5)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE")


def _add_import(actions):
    text = "Import synthetic spectra of other codes and libraries: normalised, in air, on a uniform grid"
    parser = command(actions, "import", _library_import, text)
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="files, or folders, which are searched with all their subfolders")
    add("--format", required=True, metavar="NAME", help="format of the files: see --list-formats")
    add("--list-formats", action=_ListFormats, help="print the formats and their assumptions")
    _add_out(parser)
    add("--medium", choices=("air", "vacuum"), help="medium of the wavelengths (default: that of the format)")
    add("--unit", choices=("Angstrom", "nm", "um"), help="unit of the wavelengths (default: that of the format)")
    add("--labels", metavar="FILE", help="table with the columns file, teff, logg, mh, vmic: CSV, ECSV, FITS, VOTable")
    value, some = label_is(real(-1e6, 1e6)), {"action": Once, "default": []}
    add("--set", type=value, **some, metavar="LABEL=X", help="label that is the same for all spectra, e.g. vmic=2")
    add(
        "--alpha",
        type=real(-5, 5),
        metavar="X",
        help="use only spectra with this [alpha/M], oxygen included (default: 0)",
    )
    add(
        "--abundance",
        type=value,
        **some,
        metavar="NAME=X",
        help="use only spectra with this abundance, e.g. carbon=0.25",
    )
    add(
        "--within",
        type=label_is(limits),
        **some,
        metavar="LABEL=LOW,HIGH",
        help="use only spectra in this range, e.g. teff=4000,8000",
    )
    resolution = real(1000, 1e7)
    add(
        "--resolution",
        type=resolution,
        metavar="R",
        help="resolution of the spectra, as of a Gaussian LSF (default: that of the format)",
    )
    degree = whole(0, 6)
    add(
        "--pseudo-continuum",
        type=degree,
        metavar="DEGREE",
        help="degree of a polynomial by which spectra without a continuum are divided",
    )
    low_high = {"type": limits, "default": (8380.0, 8818.0), "metavar": "LOW,HIGH"}
    add("--range", **low_high, help="wavelengths of the library, A in air (default: 8380,8818)")
    add(
        "--step",
        type=real(0.001, 0.2),
        default=0.04,
        metavar="A",
        help="width of the bins of the library, A (default: 0.04)",
    )
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
    from ..library.merging import open_library

    library = open_library(options.file)
    print(f"{library}, fingerprint {library.fingerprint()}")
    for name, values in zip(library.names, library.labels.T, strict=True) if len(library) else ():
        print(f"  {name:<8}{values.min():10.6g} to {values.max():<10.6g}")
    if library.extrapolated is not None:
        print(f"  {library.extrapolated.sum()} spectra on structures held at the edge of their grid")
    if library.failures:
        print(f"  {len(library.failures)} spectra failed")
    for key, value in library.info.items():
        print(f"  {key}: {value if len(value) < _LONG else value[:_LONG] + ' ...'}")


def _library_merge(options):
    from .._storage import check_output
    from ..library.merging import merge_files

    check_output(options.out, LibraryFileError, options.overwrite)
    merged, left_out = merge_files(options.files, replace=options.replace, drop_weak_cn=options.drop_weak_cn)
    merged.save(options.out, overwrite=options.overwrite)
    for line in left_out:
        print(f"left out: {line}")
    print(f"wrote {options.out}: {merged}")


def _library_split(options):
    from ..library import Library
    from ..library.parts import write_parts

    written = write_parts(Library.load(options.file), options.out)
    print(f"wrote {', '.join(map(str, written)) or 'nothing: all its spectra are in the parts'}")


def _library_compact(options):
    from .._storage import check_output
    from ..library import Library

    check_output(options.out, LibraryFileError, options.overwrite)
    compact = Library.load(options.file).compact()
    compact.save(options.out, overwrite=options.overwrite)
    print(f"wrote {options.out}: {compact}")


def _library_import(options):
    from .._storage import check_output
    from ..library.importing import Settings, import_library

    out = check_output(options.out, LibraryFileError, options.overwrite)
    check_only_read(out, [*options.paths, *filter(None, [options.labels])], LibraryFileError)
    abundances = dict(options.abundance)
    if options.alpha is not None and abundances.setdefault("alpha", options.alpha) != options.alpha:
        raise LibraryFileError("--alpha and --abundance alpha differ: give one of them.")
    settings = Settings(
        medium=options.medium,
        unit=options.unit,
        labels=options.labels,
        given=dict(options.set),
        abundances=abundances,
        within=dict(options.within),
        resolution=options.resolution,
        pseudo_continuum=options.pseudo_continuum,
        limits=options.range,
        step=options.step,
        strict=options.strict,
    )
    library, report = import_library(options.paths, options.format, settings)
    library.save(out, overwrite=options.overwrite)
    for line in report.reasons():
        print(f"left out: {line}")
    print(f"wrote {out}: {library}")
    if "pseudo" in library.info["normalisation"]:
        print("note: its continuum is a fitted one, poor above 6500 K and none below 4200 K; see the documentation")
