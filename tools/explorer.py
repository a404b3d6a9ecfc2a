"""The Explorer: a page that computes spectra in the browser, with an emulator in a file of JavaScript.

    python tools/explorer.py FOLDER [--emulator NAME_OR_FILE]

writes it as a folder that needs nothing else: open ``FOLDER/index.html``, from the disk or from any server. The same
page is in the documentation (``docs/_ext/explorer_page.py``).

Weights are whole numbers with a scale for each row, 16 bits, and 14 in the last layer, which is the largest and whose
errors go through no other; their bytes are compressed (zlib) and written as text (base 85).
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

import rvsemu
from rvsemu.emulator import DenseNetwork, Emulator, Label, Layer, resolve
from rvsemu.explorer.labels import nice_step, start_of, title_of
from rvsemu.explorer.observed import EXAMPLES
from rvsemu.physics.lines import MAIN_LINES

DOCS = Path(__file__).resolve().parents[1] / "docs"
ASSETS = DOCS / "_static" / "explorer"
TEMPLATE = DOCS / "_ext" / "explorer.html"
WEIGHTS = "weights.js"
SCRIPTS = (
    *("codes.js", "network.js", "labels.js", "wavelengths.js", "tables.js", "reading.js", "overlay.js"),
    *("theme.js", "state.js", "chart.js", "view.js", "controls.js", "exporting.js", "observed.js", "app.js"),
)
"""In the order in which a page must load them, after `WEIGHTS`."""
STYLE = "explorer.css"
TITLE = "<title>rvsemu Explorer</title>"

BITS, BITS_LAST, BITS_ERROR = 16, 14, 12
"""Of the shipped emulator 14 bits change the flux by at most 6e-5; one more makes that 4e-5, and adds 0.2 MB."""
_COMPARED = 500


def coded(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Scales (r,) and whole numbers (r, c) of `bits` bits, sign included, whose product is near `values` (r, c)."""
    largest = 2 ** (bits - 1) - 1
    scales = np.abs(values).max(axis=1).astype("<f4") / np.float32(largest)
    scales[scales == 0] = 1.0
    return scales, np.clip(np.rint(values / scales[:, None]), -largest, largest).astype("<i2")


def rounded(emulator: Emulator) -> Emulator:
    """The emulator that the page has: weights and errors as they come out of their codes."""
    networks = [emulator.label_network, emulator.decoder]
    layers = [[_rounded(layer, layer is networks[1].layers[-1]) for layer in network.layers] for network in networks]
    label_network, decoder = (DenseNetwork(tuple(some)) for some in layers)
    error = replace(emulator.error, sigma=_decoded(emulator.error.sigma, BITS_ERROR))
    return replace(emulator, label_network=label_network, decoder=decoder, error=error)


def _rounded(layer: Layer, last: bool) -> Layer:
    return replace(layer, weights=_decoded(layer.weights, BITS_LAST if last else BITS))


def _decoded(values: np.ndarray, bits: int) -> np.ndarray:
    scales, numbers = coded(values, bits)
    return (numbers * scales[:, None]).astype(values.dtype)


def model_of(emulator: Emulator) -> dict:
    """All that the page knows, for JSON."""
    layers = emulator.label_network.layers + emulator.decoder.layers
    start, step = emulator.wavelength[0], emulator.wavelength[1] - emulator.wavelength[0]
    error = emulator.error
    return {
        "recipe": str(emulator.info.get("recipe")),
        "version": str(emulator.info.get("version")),
        "labels": [_label(label) for label in emulator.labels.labels],
        "lowestLogg": [list(node) for node in emulator.labels.lowest_logg],
        "regions": [{"limits": region.limits, "lowestLogg": region.lowest_logg} for region in emulator.labels.regions],
        "grid": {"start": start, "step": round(step, 9), "n": len(emulator.wavelength), "medium": emulator.medium},
        "layers": [
            {
                "activation": layer.activation,
                "weights": _matrix(layer.weights, BITS_LAST if layer is layers[-1] else BITS),
                "bias": _floats(layer.bias),
            }
            for layer in layers
        ],
        "error": {
            "teff": error.teff.tolist(),
            "sigma": _matrix(error.sigma, BITS_ERROR),
            "factors": {name: table.tolist() for name, table in error.factors.items()},
        },
        "lines": [{"name": name, "wavelength": wavelength} for name, wavelength in MAIN_LINES],
        "rounding": rounding(emulator),
        "examples": {key: _example(key, name) for key, name in EXAMPLES.items()},
    }


def rounding(emulator: Emulator) -> dict[str, float]:
    """By how much the flux of the page differs from that of the emulator, on random labels of its domain."""
    labels = emulator.labels.draw(_COMPARED, np.random.default_rng(1))
    difference = rounded(emulator).flux(labels) - emulator.flux(labels)
    return {
        "spectra": _COMPARED,
        "largest": float(np.abs(difference).max()),
        "rms": float(np.sqrt(np.mean(np.square(difference, dtype=float)))),
    }


def _label(label: Label) -> dict:
    title, symbol = title_of(label.name)
    return {
        "name": label.name,
        "title": title,
        "symbol": symbol,
        "unit": label.unit,
        "description": label.description,
        "lower": float(label.lower),
        "upper": float(label.upper),
        "transform": label.transform,
        "start": start_of(label),
        "step": nice_step(label.lower, label.upper),
    }


def _matrix(values: np.ndarray, bits: int) -> dict:
    """Scales, then all low bytes, then all high bytes, which are much alike and compress well."""
    scales, numbers = coded(values, bits)
    planes = numbers.view(np.uint8).reshape(-1, 2).T
    return {"rows": len(values), "columns": values.shape[1], "data": _text(scales.tobytes() + planes.tobytes())}


def _floats(values: np.ndarray) -> dict:
    return {"columns": len(values), "data": _text(np.asarray(values, dtype="<f4").tobytes())}


def _text(data: bytes) -> str:
    return base64.b85encode(zlib.compress(data, 9)).decode("ascii")


def _example(key: str, name: str) -> dict:
    (spectrum,) = rvsemu.read_rvs(rvsemu.example_path(key))
    angstrom = spectrum.spectral_axis.to_value("AA")
    return {
        "name": name,
        "medium": spectrum.meta["medium"],
        "start": round(angstrom[0], 6),
        "step": round((angstrom[-1] - angstrom[0]) / (len(angstrom) - 1), 6),
        "flux": _floats(spectrum.flux.value),
        "error": _floats(spectrum.uncertainty.array),
    }


def write_weights(path: Path, emulator: Emulator) -> None:
    """Write the emulator as a script that a page can load from a disk, which it may not do with data."""
    text = json.dumps(model_of(emulator), separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    script = f"window.RvsExplorer = window.RvsExplorer || {{}};\nwindow.RvsExplorer.model = {text};\n"
    path.write_text(script, encoding="ascii")


def write_page(folder: Path, emulator: Emulator) -> Path:
    """Write the page with all that it needs, and return its path; an index.html of someone else is not replaced."""
    page = folder / "index.html"
    if page.exists() and TITLE not in page.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(f"{page} exists and is another page: give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, emulator)
    for name in (*SCRIPTS, STYLE):
        shutil.copyfile(ASSETS / name, folder / name)
    scripts = "\n".join(f'<script defer src="{name}"></script>' for name in (WEIGHTS, *SCRIPTS))
    page.write_text(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{TITLE}\n"
        f'<link rel="stylesheet" href="{STYLE}">\n{scripts}\n</head>\n<body class="rvse-alone">\n'
        f"<h1>Explorer</h1>\n{TEMPLATE.read_text(encoding='utf-8')}</body>\n</html>\n",
        encoding="utf-8",
    )
    return page


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--emulator", help="name of a shipped emulator, or a file; default: the default one")
    options = parser.parse_args()
    print(write_page(options.folder, resolve(options.emulator)))


if __name__ == "__main__":
    main()
