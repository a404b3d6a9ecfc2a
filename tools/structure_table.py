"""Table of what `rvsemu.training.structures` knows of the ATLAS9 structures.

    rvsemu synthesize setup
    python tools/structure_table.py

At the nodes of the grid up to 15,000 K: principal components of log10 of column mass, temperature, pressure and
electron density in all layers, each scaled to unit variance, and by how much log g is below the lowest of the nodes.
Where nodes are missing, both are what is interpolated there.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from rvsemu.library.synthesis import Workspace

OUT = Path(__file__).parents[1] / "rvsemu" / "data" / "structures" / "atlas9.npz"
COMPONENTS = 14
HOTTEST = 15000.0
FIELDS = ("column_mass", "temperature", "pressure", "electrons")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    options = parser.parse_args()
    structures = Workspace.open().structures
    axes = [np.unique(column) for column in zip(*structures.labels, strict=True)]
    axes[0] = axes[0][axes[0] <= HOTTEST]
    nodes = list(product(*axes))
    rows = np.array([np.log10([getattr(structures.at(*node), name) for name in FIELDS]).ravel() for node in nodes])
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    left, singular, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    components = left[:, :COMPONENTS] * singular[:COMPONENTS]
    below = np.array([max(structures.lowest(node[0]) - node[1], 0.0) for node in nodes])
    features = np.column_stack([components, below]).reshape(*map(len, axes), -1)
    names = ("teff", "logg", "mh", "alpha")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, features=features.astype("f4"), **dict(zip(names, axes, strict=True)))
    shares = singular[:COMPONENTS] ** 2 / np.sum(singular**2)
    print(f"{options.out}: {len(nodes)} nodes, components with {shares.sum():.4f} of the variance")


if __name__ == "__main__":
    main()
