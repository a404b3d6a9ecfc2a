"""``rvsemu invert``."""

from __future__ import annotations

from ..catalog.plan import made_with
from ..errors import RvsemuError
from ..inversion import invert, resolve
from .common import command
from .options import real, whole
from .settings import add_settings, checked, settings_of
from .tables import Lines, ResultsTable, add_table_options, spectra_in

_SHARED = ("continuum_degree", "mask", "medium", "sigma", "noise_correlation", "smooth_sigma", "model_error")


def add_invert(commands):
    parser = command(commands, "invert", _invert)
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    add_table_options(parser)
    parser.add_argument("--inversion", metavar="NAME|FILE", help="name of a shipped inversion, or a file")
    parser.add_argument("--verbose", action="store_true", help="print the full result of each spectrum, not one line")
    parser.add_argument("--source-id", type=whole(0), metavar="ID", help="use only the spectra of this source")
    parser.add_argument(
        "--radial-velocity", type=real(-1000, 1000), metavar="V", help="radial velocity, km/s (default: it is found)"
    )
    add_settings(parser, only=_SHARED)


def _invert(options):
    inversion = resolve(options.inversion)
    settings, _ = checked(settings_of(options))
    with ResultsTable("invert", options, made_with(settings, inversion)) as table:
        lines = None if table.to_terminal else Lines(options.verbose)
        for spectrum in spectra_in(options, table):
            try:
                result = invert(spectrum, inversion=inversion, **settings)
            except RvsemuError as e:
                table.failed(spectrum.meta["file"], e, spectrum.meta)
                continue
            table.add(result)
            if lines is not None:
                lines.print(result)
    return table.status
