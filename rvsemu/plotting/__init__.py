"""Figures of spectra, fits and posteriors.

Each function takes ``ax=None`` and returns the Axes it drew on; `plot_corner`, which fills a figure, returns that.
"""

from .posteriors import plot_corner, plot_predictive
from .spectra import plot_fit, plot_spectrum, spread_apart

__all__ = ["plot_corner", "plot_fit", "plot_predictive", "plot_spectrum", "spread_apart"]
