"""``rvsemu synthesize setup | run | status``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..errors import SynthesisError
from .common import Parser, command
from .options import Once, interrupted, label_is, limits, real, seed, whole

_MOST = 500  # spectra that --improve chooses
_BOX = {"teff": "K", "logg": "dex", "mh": "dex", "alpha": "dex", "vmic": "km/s"}


def add_synthesize(commands):
    parser = command(commands, "synthesize", None)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    _add_setup(actions)
    _add_run(actions)
    _add_status(actions)


def _add_workspace_options(parser):
    parser.add_argument(
        "--cache", metavar="DIR", help="folder of the setup (default: $RVSEMU_CACHE, or rvsemu in the user's cache)"
    )
    parser.add_argument("--engine", metavar="PATH", help="executable of SYNSPEC 54 to use instead of the compiled one")


def _add_setup(actions):
    text = "Download the pinned sources (130 MB), write line lists and structures, and compile SYNSPEC with gfortran"
    parser = command(actions, "setup", _setup, text)
    _add_workspace_options(parser)
    parser.add_argument(
        "--archives", metavar="DIR", help="folder with the archives of the sources, so that nothing is downloaded"
    )


def _add_run(actions):
    parser = command(
        actions, "run", _run, "Compute spectra of labels drawn from a Sobol sequence; an interrupted run is resumed"
    )
    parser.add_argument("--n", type=whole(1), required=True, metavar="N", help="length of the sequence of labels")
    parser.add_argument("--out", "-o", required=True, metavar="FILE", help="library to make or to extend (HDF5)")
    parser.add_argument(
        "--seed", type=seed, metavar="S", help="seed of the sequence (default: that of the library, or 1)"
    )
    boxes = _boxes()
    text = "box of labels: that of the paper, or a wider one with [alpha/M] (default: that of the library, or paper)"
    parser.add_argument("--box", choices=sorted(boxes), help=text)
    for name, unit in _BOX.items():
        found = getattr(boxes["paper"], name)
        default = f"{found[0]:g},{found[1]:g}" if found else "no such label"
        parser.add_argument(
            f"--{name}", type=limits, metavar="LOW,HIGH", help=f"limits of the box ({unit}; default: {default})"
        )
    default = "default: 8380,8818, for an emulator of 8400 to 8800"
    parser.add_argument("--range", type=limits, metavar="LOW,HIGH", help=f"wavelengths, Angstrom in air ({default})")
    parser.add_argument("--bin", type=real(1e-4, 0.5), metavar="W", help="width of the bins, A (default: 0.04)")
    parser.add_argument(
        "--cool-fraction",
        type=real(0, 1),
        metavar="X",
        help="share of draws that are log-uniform in Teff below 8500 K (default: 0.4)",
    )
    parser.add_argument("--jobs", type=whole(1, 4096), metavar="J", help="number of processes (default: one per core)")
    parser.add_argument("--dask", metavar="SCHEDULER", help="address of a Dask scheduler, e.g. tcp://10.0.0.1:8786")
    parser.add_argument(
        "--within",
        type=label_is(limits),
        action=Once,
        default=[],
        metavar="LABEL=LOW,HIGH",
        help="compute only labels of the sequence in this range, e.g. teff=3600,5000",
    )
    text = "leave out spectra that these libraries have"
    parser.add_argument("--without", nargs="+", default=[], metavar="FILE", help=text)
    text = "compute only spectra at which the interpolation in this library is expected to be worst"
    parser.add_argument("--improve", metavar="LIBRARY", help=text)
    parser.add_argument(
        "--most", type=whole(1), metavar="M", help=f"number of spectra with --improve (default: {_MOST})"
    )
    parser.add_argument("--retry", action="store_true", help="compute failed spectra again")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    _add_workspace_options(parser)


def _add_status(actions):
    parser = command(actions, "status", _status, "Print the state of a library, finished or not")
    parser.add_argument("file", metavar="FILE", help="library given as --out to a run")
    parser.add_argument("--json", action="store_true", help="print all properties, as JSON")


def _boxes():
    from ..library.synthesis.settings import BOXES

    return BOXES


def _setup(options):
    from ..library.synthesis import Workspace

    workspace = Workspace.prepare(options.cache, options.engine, options.archives)
    for name, made in workspace.manifest["lines"].items():
        print(f"  {name}: {made['lines']} lines")
    print(f"ready: {workspace.folder}")


def _run(options):
    from ..library.synthesis import Workspace, build

    workspace = Workspace.open(options.cache, options.engine)
    try:
        library = build(
            options.out,
            options.n,
            _settings(options),
            workspace=workspace,
            jobs=options.jobs,
            dask=options.dask,
            within=dict(options.within),
            without=options.without,
            choose=_choice(options),
            retry=options.retry,
            progress=not options.quiet,
        )
    except KeyboardInterrupt:
        return interrupted("synthesize run", Path(options.out))
    failed = f"{len(library.failures)} spectra failed: see 'rvsemu synthesize status {options.out}'"
    if not len(library):
        raise SynthesisError(f"{options.out} has no spectrum: {failed}.")
    print(f"wrote {options.out}: {library}")
    if library.failures:
        print(failed)
    return 0


def _choice(options):
    """Function that chooses labels for ``--improve``, or None."""
    if options.improve is None:
        if options.most is not None:
            raise SynthesisError("--most chooses spectra that improve a library: name that with --improve.")
        return None
    from ..library.merging import open_library
    from ..training.acquisition import neediest

    library, most = open_library(options.improve), _MOST if options.most is None else options.most
    return lambda names, labels: neediest(library, names, labels, most, progress=not options.quiet)


def _settings(options):
    """The settings asked for on top of the library's, or None for the library's."""
    from ..library.synthesis.journal import Journal

    asked = {n: getattr(options, n) for n in (*_BOX, "seed", "cool_fraction") if getattr(options, n) is not None}
    asked |= {} if options.range is None else dict(zip(("low", "high"), options.range, strict=True))
    asked |= {} if options.bin is None else {"bin_width": options.bin}
    if not (asked or options.box):
        return None
    found = None if options.box else Journal(options.out).settings
    return replace(found or _boxes()[options.box or "paper"], **asked)


def _status(options):
    from ..library.synthesis import status

    found = status(options.file)
    if options.json:
        print(json.dumps(_as_json(found), indent=1))
        return
    library, settings = found["library"], found["settings"]
    print(f"{library}, fingerprint {library.fingerprint()}" if library else "no library written yet")
    state = "a run is writing to it" if found["running"] else "no run is writing to it"
    print(f"  {found['pending']} spectra not merged yet; {state}")
    if library is not None and len(library):
        for name, values in zip(library.names, library.labels.T, strict=True):
            print(f"  {name:<8}{values.min():10.6g} to {values.max():<10.6g}")
        if library.extrapolated is not None:
            print(f"  {library.extrapolated.sum()} spectra on structures held at the edge of their grid")
    print(f"  {len(found['failures'])} failures")
    reasons = Counter(f["error"] for f in found["failures"])
    for reason, count in reasons.most_common(5):
        print(f"    {count} x {reason}")
    if settings:
        print(f"  settings: {settings.to_json()}")
    for key, value in (library.info if library else {}).items():
        if key not in ("settings", "manifest"):
            print(f"  {key}: {value}")


def _as_json(found) -> dict:
    library, settings = found["library"], found["settings"]
    return {
        "spectra": len(library) if library else 0,
        "fingerprint": library.fingerprint() if library else None,
        "pending": found["pending"],
        "running": found["running"],
        "failures": found["failures"],
        "settings": vars(settings) if settings else None,
        "info": library.info if library else {},
    }
