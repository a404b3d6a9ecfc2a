"""The formula for how much lines of TiO at wrong places change a spectrum, from those that were computed again.

    python validation/titanium_change.py

compares the spectra of ``library/titanium`` with those of the library of the same labels, at R = 11,900, fits the
constants of `rvsemu.library.titanium.titanium_change`, and says how well it agrees. Takes half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.optimize import least_squares

from rvsemu.library import Library
from rvsemu.library.merging import open_library
from rvsemu.library.titanium import _CONSTANTS, _change

LIBRARY = Path(__file__).resolve().parents[1] / "library"
NAMES = "teff", "logg", "mh", "alpha", "vmic"
SEEN = np.arange(8400.0, 8799.9, 0.1), 11900.0
STEPS = -3.0, -2.5, -2.0


def labels_of(library: Library) -> np.ndarray:
    """Labels (n, 5), rounded as files may round them."""
    none = np.zeros(len(library))
    columns = [library.labels[:, library.names.index(n)] if n in library.names else none for n in NAMES]
    return np.round(np.stack(columns, axis=1), 5)


def pairs() -> Iterator[tuple[np.ndarray, float]]:
    """Labels (5,) and log10 of the change, rms, of spectra that were computed again.

    Pixels next to lines of Nd II, which were wrong, too, are left out.
    """
    again = {
        tuple(labels): flux
        for file in sorted((LIBRARY / "titanium").glob("*.h5"))
        for one in [Library.load(file)]
        for labels, flux in zip(np.round(one.labels, 5).tolist(), one.flux, strict=True)
    }
    library = before()
    broadener = library.broadener(SEEN[0])
    neodymium = np.isin(library.wavelength, Library.load(LIBRARY / "isotopes" / "000.h5").wavelength)
    for labels, flux in zip(labels_of(library), library.flux, strict=True):
        if (new := again.get(tuple(labels.tolist()))) is not None:
            change = np.where(neodymium, 0.0, new - flux.astype(float))
            change = broadener.apply(broadener.transform(change), 0.0, SEEN[1])
            yield labels, float(np.log10(np.std(change)))


def before() -> Library:
    """The library without them."""
    files = [LIBRARY / "rvs_library.h5", *sorted((LIBRARY / "parts").glob("*.h5"))]
    with TemporaryDirectory() as folder:
        listing = Path(folder) / "list.txt"
        listing.write_text("\n".join(map(str, files)))
        return open_library(listing)


def main() -> None:
    """Fit and print."""
    labels, change = (np.array(column) for column in zip(*pairs(), strict=True))
    stars = labels[:, :4].T
    scale = np.abs(_CONSTANTS)
    found = least_squares(lambda constants: _change(constants, *stars) - change, _CONSTANTS, x_scale=scale)
    print(f"{len(change)} spectra, constants", *(f"{value:.5g}" for value in found.x))
    for constants in (_CONSTANTS, found.x):
        _say(_change(constants, *stars) - change, change)


def _say(off: np.ndarray, change: np.ndarray) -> None:
    """Print how much a formula is off, by change."""
    print(f"{np.std(off):.2f}, 1 to 99 per cent from {np.percentile(off, 1):+.2f} to {np.percentile(off, 99):+.2f}")
    ends = [-np.inf, *STEPS, np.inf]
    for low, high in zip(ends, ends[1:], strict=False):
        some = off[(change > low) & (change <= high)]
        said = f"off by {some.mean():+.2f} +- {some.std():.2f}, at most {np.abs(some).max():.2f}"
        print(f"{low:5.1f} to {high:4.1f}: {len(some):5d}, {said}")


if __name__ == "__main__":
    main()
