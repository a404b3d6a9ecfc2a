"""Table of what `rvsemu.training.structures` knows of the ATLAS9 structures.

    rvsemu synthesize setup
    python tools/structure_table.py

At the nodes of the grid up to 15,000 K: principal components of log10 of column mass, temperature, pressure and
electron density in all layers, each scaled to unit variance, and by how much log g is below the lowest of the nodes.
Where nodes are missing, both are what is interpolated there. Also log10 of temperature, pressure and electron density
at three optical depths, and the solar abundances of the grid.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from rvsemu.library.synthesis import Workspace

OUT = Path(__file__).parents[1] / "rvsemu" / "data" / "structures" / "atlas9.npz"
COMPONENTS = 14
HOTTEST = 15000.0
LAYERS = [31, 39, 47]  # log10 of the Rosseland optical depth -3, -2, -1: ATLAS9 has steps of 0.125 from -6.875 on
FIELDS = ("column_mass", "temperature", "pressure", "electrons")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    options = parser.parse_args()
    structures = Workspace.open().structures
    axes = [np.unique(column) for column in zip(*structures.labels, strict=True)]
    axes[0] = axes[0][axes[0] <= HOTTEST]
    nodes = list(product(*axes))
    logarithms = np.array([np.log10([getattr(structures.at(*node), name) for name in FIELDS]) for node in nodes])
    layers = logarithms[:, 1:, LAYERS].transpose(0, 2, 1).reshape(*map(len, axes), len(LAYERS), -1)
    rows = logarithms.reshape(len(nodes), -1)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    left, singular, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    components = left[:, :COMPONENTS] * singular[:COMPONENTS]
    below = np.array([max(structures.lowest(node[0]) - node[1], 0.0) for node in nodes])
    features = np.column_stack([components, below]).reshape(*map(len, axes), -1)
    names = ("teff", "logg", "mh", "alpha")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    axis = dict(zip(names, axes, strict=True))
    tables = {"features": features.astype("f4"), "layers": layers.astype("f4"), "abundances": structures.abundances}
    np.savez_compressed(options.out, **tables, **axis)
    shares = singular[:COMPONENTS] ** 2 / np.sum(singular**2)
    print(f"{options.out}: {len(nodes)} nodes, components with {shares.sum():.4f} of the variance")


if __name__ == "__main__":
    main()
