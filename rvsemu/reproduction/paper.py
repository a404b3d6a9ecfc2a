"""What Gebran (2024, Astronomy 3, 1) states, and what is asked of this implementation."""

from __future__ import annotations

__all__ = [
    "AUTOENCODER",
    "BARS",
    "CLAIM_BAR",
    "COMPONENTS_BAR",
    "EXAMPLE",
    "GENERATED",
    "SECONDS_GENERATED",
    "SECONDS_SYNSPEC",
    "TABLE_5",
]

TABLE_5: dict[str, dict[str, float]] = {
    "teff": {"training": 70, "validation": 110, "test": 120, "generated": 119},
    "logg": {"training": 0.02, "validation": 0.03, "test": 0.03, "generated": 0.05},
    "vsini": {"training": 5.0, "validation": 6.0, "test": 6.5, "generated": 7.0},
    "mh": {"training": 0.04, "validation": 0.08, "test": 0.15, "generated": 0.15},
    "vmic": {"training": 0.15, "validation": 0.17, "test": 0.17, "generated": 0.20},
}
"""Table 5, in K, dex and km/s. The paper calls the numbers MSE; they have the units of the labels."""

AUTOENCODER = {
    "mse": "4e-6",
    "mae": "0.0013",
    "r2": "0.999",
    "explained_variance": "0.998",
    "mean_relative_error": "< 0.001",
}
"""Section 2.2, by the names of `rvsemu.training.accuracy.metrics`."""

EXAMPLE = {"teff": 9950.0, "logg": 3.5, "vsini": 2.0, "mh": 0.5, "vmic": 1.3, "resolution": 11500.0}
"""Figure 1, right (section 2.1)."""

GENERATED = 5000
"""Section 3.1: number of generated spectra that were inverted, to within some."""

SECONDS_GENERATED, SECONDS_SYNSPEC = 9e-3, 180.0
"""Section 3.1: a spectrum by networks, and one by SYNSPEC, on the same machine."""

BARS = {name: row["test"] for name, row in TABLE_5.items()}
"""Errors on test spectra that are to be reached or beaten."""

COMPONENTS_BAR = 0.005
"""Mean relative error of spectra rebuilt from their components (section 3.2)."""

CLAIM_BAR = 0.1
"""How far, as a share of the error on SYNSPEC spectra, that on generated spectra may be from it."""
