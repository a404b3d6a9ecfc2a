"""``rvsemu calibrate``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .common import command
from .options import Once, label_is, named, real
from .settings import add_settings, settings_of

__all__ = ["add_calibrate"]

_SETTINGS = (
    *("radial_velocity", "continuum_degree", "mask", "extra_mask", "medium", "sigma"),
    *("noise_correlation", "smooth_sigma", "model_error", "seed"),
)


def add_calibrate(commands: Any) -> None:
    """The command."""
    parser = command(commands, "calibrate", _calibrate)
    add = parser.add_argument
    add("--spectra", required=True, nargs="+", metavar="FILE", help="RVS spectra: DataLink CSV, VOTable, FITS, or zip")
    text = "table of known labels with errors, and source_ids or file names: ECSV, CSV, FITS, VOTable or Parquet"
    add("--labels", required=True, metavar="TABLE", help=text)
    add("-o", "--out", required=True, metavar="FILE", help="file of the calibrated emulator (.h5)")
    text = "name of a column of TABLE: teff=MYTEFF, teff_error=..., source_id=..., file=...; may be repeated"
    add("--column", action=Once, type=named, default=[], metavar="WHAT=NAME", help=text)
    text = "error of a label, if TABLE has none, e.g. teff=80; may be repeated"
    add("--label-error", action=Once, type=label_is(real(0, 1e6)), default=[], metavar="LABEL=X", help=text)
    text = 'condition on the rows of TABLE, e.g. "flag_sp == 0"; may be repeated'
    add("--cut", action="append", default=[], metavar="CONDITION", help=text)
    text = "emulator of synthetic spectra to correct: name of a shipped emulator, or a file (default: default)"
    add("--emulator", metavar="NAME|FILE", help=text)
    text = "use only the observed spectra, of at least 60 stars, and from the emulator only labels and wavelengths"
    add("--from-scratch", action="store_true", help=text)
    add("--overwrite", action="store_true", help="replace an existing FILE")
    add("--quiet", action="store_true", help="show no progress bars")
    add_settings(parser, only=_SETTINGS)


def _calibrate(options: argparse.Namespace) -> int:
    from .._storage import check_output
    from ..calibration import calibrate
    from ..errors import CalibrationError

    out = check_output(options.out, CalibrationError, options.overwrite)
    result = calibrate(
        options.spectra,
        options.labels,
        columns=dict(options.column),
        label_errors=dict(options.label_error),
        cuts=options.cut,
        from_scratch=options.from_scratch,
        progress=not options.quiet,
        **settings_of(options),
    )
    for name, reason in result.rejects:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    print(result)
    if not result.improved:
        print(f"rvsemu calibrate: {out} was not written", file=sys.stderr)
        return 2
    result.emulator.save(out, overwrite=options.overwrite)
    print(f"wrote {out}")
    return 0
