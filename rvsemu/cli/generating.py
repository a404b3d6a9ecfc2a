"""``rvsemu generate`` and ``rvsemu demo``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._storage import check_output
from ..errors import LabelError, SpectrumError
from ..physics.wavelengths import RVS_RESOLUTION
from .common import add_emulator_option, check_figure, command, headless, save_figure
from .options import number

if TYPE_CHECKING:
    from ..emulator.labels import LabelSpace

_DEFAULTS = {"vsini": 0.0, "mh": 0.0, "vmic": 1.0, "resolution": RVS_RESOLUTION, "alpha": 0.0}
_DEMO = ("sun.fits", "sun.png", "kepler-93.ecsv", "kepler-93.png")


def add_generate(commands: Any) -> None:
    from ..emulator import shipped
    from ..emulator.labels import ALPHA, PAPER_LABELS

    parser = command(commands, "generate", _generate)
    of_default = {label.name: label for label in shipped().labels.labels}
    for paper in (*PAPER_LABELS, ALPHA):
        label = of_default.get(paper.name, paper)
        unit = f"{label.unit}, " if label.unit else ""
        default = _DEFAULTS.get(label.name)
        parser.add_argument(
            f"--{label.name}",
            type=number,
            required=default is None,
            metavar="X",
            help=f"{label.description} ({unit}{label.lower:g} to {label.upper:g}"
            + (")" if default is None else f"; default {default:g})"),
        )
    parser.add_argument(
        "--medium", choices=("air", "vacuum"), default="air", help="medium of the wavelengths (default: air)"
    )
    parser.add_argument("--extrapolate", action="store_true", help="allow labels outside the training domain")
    add_emulator_option(parser)
    parser.add_argument("-o", "--out", metavar="FILE", help="file of the spectrum: .fits, .ecsv, .csv or .vot")
    parser.add_argument("--plot", metavar="FILE", help="file of a plot: .png, .pdf or .svg")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def _generate(options: Namespace) -> None:
    from ..emulator import resolve
    from ..spectra.write import check_writable, write_spectrum

    if not (options.out or options.plot):
        raise SpectrumError("nothing to write: give -o FILE for the spectrum, --plot FILE for a plot, or both.")
    if options.out:
        check_writable(options.out, options.overwrite)
    if options.plot:
        check_figure(options.plot, options.overwrite)
    emulator = resolve(options.emulator)
    labels = _labels(options, emulator.labels)
    spectrum = emulator.spectrum(medium=options.medium, extrapolate=options.extrapolate, **labels)
    if options.out:
        write_spectrum(spectrum, options.out, overwrite=options.overwrite)
        print(f"wrote {options.out}")
    if options.plot:
        from ..plotting import plot_spectrum

        headless()
        save_figure(plot_spectrum(spectrum), options.plot, options.overwrite)


def _labels(options: Namespace, space: LabelSpace) -> dict[str, float]:
    """What the emulator takes, which is not all labels if the library it was trained on does not vary them all."""
    from ..emulator.labels import PAPER_LABELS

    given: dict[str, Any] = {
        x.name: getattr(options, x.name) for x in PAPER_LABELS if getattr(options, x.name) is not None
    }
    for name in given:
        if name not in space.names:
            raise LabelError(f"--{name}: this emulator has no such label, it takes {', '.join(space.names)}.")
    given |= space.alpha(space.constant_alpha if options.alpha is None else options.alpha)
    return {name: value for name, value in (_DEFAULTS | given).items() if name in space.names}


def add_demo(commands: Any) -> None:
    parser = command(commands, "demo", _demo)
    parser.add_argument(
        "-o", "--out", metavar="DIR", default="rvsemu-demo", help="folder of the results (default: rvsemu-demo)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def _demo(options: Namespace) -> None:
    from ..emulator import generate
    from ..fitting import fit
    from ..plotting import plot_spectrum
    from ..spectra import example_path, read_rvs
    from ..spectra.write import write_spectrum, write_table

    headless()
    folder = Path(options.out)
    sun, sun_plot, labels, fit_plot = files = [folder / name for name in _DEMO]
    if folder.exists():
        for path in files:
            check_output(path, SpectrumError, options.overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    spectrum = generate(teff=5777, logg=4.44, vsini=2, mh=0, vmic=1, resolution=11500)
    write_spectrum(spectrum, sun, overwrite=options.overwrite)
    print(f"A solar spectrum from its labels:\nwrote {sun}")
    save_figure(plot_spectrum(spectrum), sun_plot, options.overwrite)
    (star,) = read_rvs(example_path("kepler-93"))
    result = fit(star)
    print("\nLabels of Kepler-93 from its Gaia DR3 RVS spectrum")
    print(f"(Huber et al. 2013: teff 5669 +- 75 K, logg 4.468 +- 0.032, mh -0.18 +- 0.10):\n{result}")
    write_table(result.to_table(), labels, overwrite=options.overwrite)
    print(f"wrote {labels}")
    save_figure(result.plot(), fit_plot, options.overwrite)
