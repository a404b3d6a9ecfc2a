"""Figures of spectra, fits and posteriors.

Each function draws on the Axes that it is given, or on new ones, and returns them; `plot_corner` fills a whole Figure
and returns that.
"""

from .posteriors import plot_corner, plot_predictive
from .spectra import plot_fit, plot_spectrum, spread_apart

__all__ = ["plot_corner", "plot_fit", "plot_predictive", "plot_spectrum", "spread_apart"]
