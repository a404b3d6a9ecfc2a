"""Parts of a library of pixels that were computed again, as `rvsemu.library.mending` takes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from rvsemu.library import Library
from rvsemu.library.cyanogen import weak_spectra
from rvsemu.library.mending import MENDS
from rvsemu.library.model import COMPACT_RESOLUTION
from rvsemu.library.synthesis import BOXES, Settings, synthesize
from rvsemu.library.synthesis.engine import Failure

NAMES = ("teff", "logg", "mh", "alpha", "vmic")


def arguments(about: str, each: int) -> argparse.Namespace:
    """What the command line asks for; `each` is the usual number of spectra in a part."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("files", nargs="+", type=Path, help="libraries")
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder of the parts")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most", type=int, help="number of spectra, default all")
    parser.add_argument("--each", type=int, default=each, help="number in a part")
    return parser.parse_args()


def labels_of(files, outdated: Callable[[dict[str, str]], bool]) -> np.ndarray:
    """Labels (n, 5), each once, of the spectra of files whose provenance is `outdated`, without those of weak CN."""
    found = [_labels(Library.peek(file), outdated) for file in files]
    return np.unique(np.round(np.concatenate(found), 6), axis=0)


def _labels(peeked, outdated) -> np.ndarray:
    names, labels, info = peeked["names"], peeked["labels"], peeked["info"]
    labels = labels[~weak_spectra(info, names, labels)] if outdated(info) else labels[:0]
    return np.stack([labels[:, names.index(n)] if n in names else np.zeros(len(labels)) for n in NAMES], axis=1)


def spectrum(labels, settings: Settings, workspace) -> Library | None:
    """One compact spectrum; None if SYNSPEC gave none."""
    try:
        flux = synthesize(labels, settings, workspace).flux
    except Failure:
        return None
    centres = np.round((settings.edges[1:] + settings.edges[:-1]) / 2, 9)
    return Library(labels[None], NAMES, centres, flux[None].astype("f4"), "air", settings.bin_width).compact()


def make(options, labels, job: Callable, mends: str, settings: Settings = BOXES["wide"]) -> None:
    """Compute what no part has yet, in the order of `labels`, and write parts of it.

    `job` gives wavelengths and fluxes for labels, or None.
    """
    options.out.mkdir(exist_ok=True)
    had = {tuple(row) for part in _parts(options.out) for row in np.round(Library.peek(part)["labels"], 6).tolist()}
    todo = [row for row in labels if tuple(row.tolist()) not in had][: options.most]
    print(f"{len(todo)} spectra to compute, {len(had)} done before", flush=True)
    info = {MENDS: mends, "computed": settings.to_json()}
    with ProcessPoolExecutor(options.jobs) as pool:
        for first in range(0, len(todo), options.each):
            rows = todo[first : first + options.each]
            _write(options.out, rows, list(pool.map(job, rows)), info)


def _write(folder, rows, found, info) -> None:
    pairs = [(row, one) for row, one in zip(rows, found, strict=True) if one is not None]
    if not pairs:
        return
    labels, flux = np.array([row for row, _ in pairs]), np.array([one[1] for _, one in pairs], dtype="f4")
    path = folder / f"{len(_parts(folder)):03d}.h5"
    Library(labels, NAMES, pairs[0][1][0], flux, "air", resolution=COMPACT_RESOLUTION, info=info).save(path)
    print(f"wrote {path} with {len(labels)} spectra", flush=True)


def _parts(folder) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9][0-9].h5"))
