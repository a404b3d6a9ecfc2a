"""``rvsemu invert``."""

from __future__ import annotations

from ..errors import RvsemuError
from ..fitting import FitFailure
from ..inversion import invert, resolve
from .common import command
from .options import real
from .settings import add_settings, settings_of
from .tables import ResultsTable, add_table_options, complain, spectra_in

_SHARED = ("continuum_degree", "mask", "medium", "sigma", "noise_correlation", "smooth_sigma", "model_error")


def add_invert(commands):
    parser = command(commands, "invert", _invert)
    parser.add_argument("files", nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    add_table_options(parser)
    parser.add_argument("--inversion", metavar="NAME|FILE", help="a shipped one, or an inversion file")
    parser.add_argument("--source-id", type=int, metavar="ID", help="take this source only")
    parser.add_argument("--radial-velocity", type=real(-3000, 3000), metavar="V", help="km/s (default: it is found)")
    add_settings(parser, only=_SHARED)


def _invert(options):
    settings = {"inversion": resolve(options.inversion), **settings_of(options)}
    failures = []

    def failed(path, error, meta=None):
        failures.append(path)
        complain("invert", path, error)
        table.add(FitFailure(error, {"file": str(path), **(meta or {})}))

    with ResultsTable(options.table, options.overwrite, options.resume) as table:
        for spectrum in spectra_in(options.files, options.source_id, failed):
            if table.has(spectrum):
                continue
            try:
                result = invert(spectrum, **settings)
            except RvsemuError as e:
                failed(spectrum.meta["file"], e, spectrum.meta)
                continue
            table.add(result)
            print(f"{spectrum.meta['file']}: source {spectrum.meta.get('source_id', 'unknown')}\n{result}", flush=True)
    return 2 if failures else 0
