"""``rvsemu library info | compact``."""

from __future__ import annotations

from .common import Parser, command


def add_library(commands):
    parser = command(commands, "library", None, "Look at a library of synthetic spectra, or make a compact copy")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    info = command(actions, "info", _library_info, "Say what a library holds")
    info.add_argument("file", metavar="FILE")
    compact = command(actions, "compact", _library_compact, "Smooth to R = 30000 and sample every 0.1 A")
    compact.add_argument("file", metavar="FILE")
    compact.add_argument("-o", "--out", required=True, metavar="FILE")


def _library_info(options):
    from ..library import Library

    library = Library.load(options.file)
    print(f"{library}, fingerprint {library.fingerprint()}")
    for name, values in zip(library.names, library.labels.T, strict=True):
        print(f"  {name:<8}{values.min():10.6g} to {values.max():<10.6g}")
    if library.extrapolated is not None:
        print(f"  {library.extrapolated.sum()} spectra on structures held at the edge of their grid")
    for key, value in library.info.items():
        print(f"  {key}: {value}")


def _library_compact(options):
    from ..library import Library

    compact = Library.load(options.file).compact()
    compact.save(options.out)
    print(f"wrote {options.out}: {compact}")
