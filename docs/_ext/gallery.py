"""Look of the figures in the tutorials."""

from __future__ import annotations

OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000"]
"""Colours that people with any kind of colour vision can tell apart (Okabe & Ito 2008)."""

STYLE = {
    "figure.figsize": (7.0, 4.2),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.bbox": "tight",
}


def reset(gallery_conf, fname):
    """Start each tutorial with the same style of figures."""
    import matplotlib
    from cycler import cycler

    matplotlib.rcParams.update(STYLE)
    matplotlib.rcParams["axes.prop_cycle"] = cycler(color=OKABE_ITO)
