"""Library spectra with lines of TiO, computed again with those of 48Ti16O where they should be.

    rvsemu synthesize setup
    python tools/titanium.py library/rvs_library.h5 library/parts/*.h5 -o library/titanium --jobs 2

Spectra that were made before `rvsemu.library.synthesis.titanium` have most of these lines at wrong places
(`rvsemu.library.titanium`). Those that change by more than 2e-4 rms are computed with SYNSPEC again, those that change
most first, and written as numbered parts, once; labels that a part has already are passed over.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from pieces import arguments, labels_of, make, spectrum

from rvsemu.library.synthesis import BOXES, Workspace
from rvsemu.library.titanium import RIGHT_TITANIUM, displaced_titanium, titanium_change

LEAST = -3.7  # of `titanium_change`


def computed(labels, workspace) -> tuple[np.ndarray, np.ndarray] | None:
    """Wavelengths and fluxes; None if SYNSPEC gave no spectrum."""
    found = spectrum(labels, BOXES["wide"], workspace)
    return None if found is None else (found.wavelength, found.flux[0])


def main() -> None:
    """Compute and write."""
    options = arguments(__doc__.splitlines()[0], each=100)
    labels = labels_of(options.files, displaced_titanium)
    change = titanium_change(*labels[:, :4].T)
    labels, change = labels[change > LEAST], change[change > LEAST]
    make(
        options,
        labels[np.argsort(-change, kind="stable")],
        partial(computed, workspace=Workspace.open()),
        RIGHT_TITANIUM,
    )


if __name__ == "__main__":
    main()
