"""A small library of made-up lines."""

import numpy as np

from rvsemu.library import Library


def gaussian_library(n=4, step=0.04, seed=1):
    """Narrow lines on a fine grid: sharper than any star's."""
    rng = np.random.default_rng(seed)
    wave = 8480.0 + step * np.arange(int(140 / step))
    flux = np.ones((n, len(wave)))
    for row in flux:
        for _ in range(60):
            centre, depth, sigma = rng.uniform(8480, 8620), rng.uniform(0.05, 0.7), rng.uniform(0.05, 0.4)
            row *= 1 - depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
    labels = rng.uniform([3600, 2, -1.5, 0], [15000, 5, 1.5, 4], (n, 4))
    return Library(
        labels=labels,
        names=("teff", "logg", "mh", "vmic"),
        wavelength=wave,
        flux=flux.astype("f4"),
        medium="air",
        extrapolated=rng.random(n) < 0.5,
        index=np.arange(n) + 10,
        info={"code": "none: Gaussian lines", "lines": "random"},
    )
