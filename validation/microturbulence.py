"""What pulls microturbulence and resolution of real stars away from what others find?

    python validation/microturbulence.py [FILE ...]

fits the shipped spectra, and those of other FILEs, again and again with one thing changed each time: the priors, the
size of the model error, pixels left out, the degree of the continuum, and wings of the instrument's profile, for which
the emulator's spectra are convolved once more. Then microturbulence is held where the relation expects it, and the
residuals are sorted by the depth of the model. Makes ``docs/_generated/microturbulence.rst`` of the shipped stars, and
prints the tables of all. Takes half a minute of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter1d
from specutils import Spectrum

import rvsemu
from rvsemu.emulator import DenseNetwork, Emulator, Layer
from rvsemu.fitting import DEFAULT_PRIORS, FitResult, Microturbulence
from rvsemu.observing import MODEL_ERRORS, ModelError
from rvsemu.reproduction.report import rst_table

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "microturbulence.rst"
SHIPPED = {"kepler-93": "Kepler-93", "hd176650": "HD 176650"}
CALCIUM = (8500.36, 8544.44, 8664.52)  # Angstrom, vacuum
NEXT_TO_CALCIUM = 8.0  # Angstrom: not counted among the other lines
LINE = 17  # pixels: a line of the RVS, and its neighbours
DEPTHS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)


def with_wings(emulator: Emulator, share: float, fwhm: float) -> Emulator:
    """`emulator` with a `share` of all light spread over a Gaussian of `fwhm` Angstrom, by its linear last layer."""
    *hidden, last = emulator.decoder.layers
    step = emulator.wavelength[1] - emulator.wavelength[0]
    x = np.arange(-int(2 * fwhm / step), int(2 * fwhm / step) + 1) * step
    kernel = np.exp(-4 * np.log(2) * (x / fwhm) ** 2)
    kernel *= share / kernel.sum()
    kernel[len(x) // 2] += 1 - share
    rows = np.pad(np.vstack([last.weights, last.bias]), ((0, 0), (len(x) // 2,) * 2), mode="edge")
    *weights, bias = (np.convolve(row, kernel, "valid").astype("f4") for row in rows)
    layers = [*hidden, Layer(np.array(weights), bias, last.activation)]
    return replace(emulator, decoder=DenseNetwork(layers))


def without(spectrum: Spectrum, pixels: np.ndarray) -> Spectrum:
    """A spectrum with more `pixels` masked."""
    parts = {name: getattr(spectrum, name) for name in ("spectral_axis", "flux", "uncertainty", "meta")}
    before = np.zeros(len(pixels), dtype=bool) if spectrum.mask is None else spectrum.mask
    return Spectrum(**parts, mask=before | pixels)


def depth(result: FitResult) -> np.ndarray:
    """Depth of the model in each pixel in units of the continuum; NaN next to calcium and beyond the emulator."""
    wavelength = result.spectral_axis.to_value("AA")
    near = np.min(np.abs(wavelength[:, None] - CALCIUM), axis=1) < NEXT_TO_CALCIUM
    return np.where(near, np.nan, 1 - result.model_flux / result.continuum)


def variants(spectrum: Spectrum) -> Iterator[tuple[str, Spectrum, dict]]:
    """What is changed, the spectrum, and the settings of its fit."""
    shipped, error = rvsemu.shipped(), MODEL_ERRORS["gaia-rvs"]
    yield "defaults", spectrum, {}
    yield "vmic 1.5 ± 0.8 km/s (``wide``)", spectrum, {"priors": DEFAULT_PRIORS | {"vmic": "wide"}}
    yield "half the scatter of vmic", spectrum, {"priors": DEFAULT_PRIORS | {"vmic": Microturbulence(0.5)}}
    yield "resolution 11,900 ± 450", spectrum, {"priors": DEFAULT_PRIORS | {"resolution": (11900, 450)}}
    yield "resolution held at 11,900", spectrum, {"fixed": {"resolution": 11900}}
    for factor in (0.5, 2.0):
        scaled = ModelError(factor * error.base, factor * error.depth, error.reach)
        yield f"model error times {factor:g}", spectrum, {"model_error": scaled}
    for width in (3.0, 5.0, 8.0):
        mask = [(line - width, line + width) for line in CALCIUM]
        yield f"Ca II out to {width:g} Å left out", spectrum, {"extra_mask": mask}
    lines = maximum_filter1d(np.nan_to_num(depth(rvsemu.fit(spectrum))), LINE)
    yield "lines deeper than 0.2 left out", without(spectrum, lines > 0.2), {}
    near_calcium = np.isnan(depth(rvsemu.fit(spectrum)))
    yield "lines weaker than 0.1 left out", without(spectrum, (lines < 0.1) & ~near_calcium), {}
    for degree in (1, 6):
        yield f"continuum of degree {degree}", spectrum, {"continuum_degree": degree}
    for share in (0.05, 0.1):
        yield f"{share:.0%} of the light in wings of 3 Å", spectrum, {"emulator": with_wings(shipped, share, 3.0)}


def fits_table(spectrum: Spectrum) -> str:
    """Labels with each change."""
    rows = []
    for title, star, settings in variants(spectrum):
        result = rvsemu.fit(star, **settings)
        teff, logg, mh, vmic, resolution = (
            result.labels[n].value for n in ("teff", "logg", "mh", "vmic", "resolution")
        )
        errors = {name: float(error.value) for name, error in result.errors.items()}
        rows.append(
            (
                title.replace("%", " %"),
                f"{vmic:.2f} ± {errors['vmic']:.2f}",
                f"{resolution:.0f}",
                f"{teff:.0f}",
                f"{logg:.2f}",
                f"{mh:.2f} ± {errors['mh']:.2f}",
                f"{result.reduced_chi2:.2f}",
            )
        )
    return rst_table(("", "vmic (km/s)", "resolution", "Teff (K)", "log g", "[M/H]", "reduced chi2"), rows)


def residuals(spectrum: Spectrum) -> list[str]:
    """Mean of observed - model by depth of the model, with vmic held where it is expected to be."""
    labels = rvsemu.fit(spectrum).labels
    expected = DEFAULT_PRIORS["vmic"].expected(*(labels[name].value for name in ("teff", "logg", "mh")))[0]
    result = rvsemu.fit(spectrum, fixed={"vmic": expected})
    deep, off = depth(result), (result.flux - result.model_flux) / result.continuum
    cells = [f"{expected:.2f}"]
    for low, high in zip(DEPTHS, (*DEPTHS[1:], 1.0), strict=True):
        some = result.used & (deep >= low) & (deep < high)
        cells.append(f"{off[some].mean():+.4f} ({some.sum()})" if some.any() else "")
    return cells


def report(stars) -> str:
    """All tables of `stars`, spectra by name."""
    parts = [f"Emulator ``default``, version {rvsemu.shipped().info['version']}.\n"]
    parts += [f"{name}:\n\n{fits_table(spectrum)}" for name, spectrum in stars.items()]
    head = ("depth of the model", *(f"from {low:g}" for low in DEPTHS))
    rows = [
        (f"{name}, vmic {first}", *others)
        for name, spectrum in stars.items()
        for first, *others in [residuals(spectrum)]
    ]
    parts.append(f"Mean of observed - model, and number of pixels:\n\n{rst_table(head, rows)}")
    return "\n".join(parts)


def main(arguments=None):
    """Fit, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="RVS spectra besides the shipped ones")
    parser.add_argument("--table", type=Path, default=TABLE, help="where to write the table of the shipped stars")
    options = parser.parse_args(arguments)
    text = report({name: rvsemu.read_rvs(rvsemu.example_path(key))[0] for key, name in SHIPPED.items()})
    options.table.write_text(text, encoding="utf-8")
    print(text)
    if options.files:
        print(report({Path(file).stem: rvsemu.read_rvs(file)[0] for file in options.files}))


if __name__ == "__main__":
    main()
