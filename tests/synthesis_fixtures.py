"""A workspace without Fortran: SYNSPEC's recorded output, played back by a script, and made-up structures."""

import json
import sys
from functools import cache
from io import StringIO
from itertools import product
from pathlib import Path

import numpy as np

from rvsemu.library.synthesis import Settings, Workspace
from rvsemu.library.synthesis.structures import Structures

RECORDED = Path(__file__).parent / "data/synspec_runs.npz"
SETTINGS = Settings(low=8530.0, high=8560.0, teff=(3800.0, 15000.0))

# Reads the labels SYNSPEC would read, and writes the two files it would write: those of the recorded star that is
# nearest in Teff. Below 3700 K it fails as SYNSPEC does; the wait leaves time to kill it. It imports nothing that takes
# time, as it is started for each star.
PLAYER = """#!{python} -IS
import sys, time

teff = float(sys.stdin.readline().split()[0])
with open("fort.55") as file:
    lines = file.read().splitlines()
assert lines[5].split()[:2] == ["8529.0", "8563.0"], lines[5]
time.sleep({seconds})
if teff < 3700:
    print("T = ", teff)
    sys.exit(" too many lines in a set")
stars = {stars}
k = min(range(3), key=lambda k: abs(stars[k] - teff))
for unit in (7, 17):
    with open(f"{folder}/fort{{unit}}_{{k}}") as recorded, open(f"fort.{{unit}}", "w") as written:
        written.write(recorded.read())
"""


@cache
def recorded() -> tuple[list[float], dict[str, str]]:
    """Teff of the recorded stars, and what SYNSPEC has written about them, by names of files."""
    texts = {}
    with np.load(RECORDED) as runs:
        for k, unit in product(range(3), (7, 17)):
            text = StringIO()
            np.savetxt(text, runs[f"fort{unit}_{k}"], fmt=("%12.5f", "%15.5E"))
            texts[f"fort{unit}_{k}"] = text.getvalue()
        return [float(runs[f"labels_{k}"][0]) for k in range(3)], texts


def structures() -> Structures:
    """Four layers at some nodes; each quantity is a power law of the labels, which interpolation must give back."""
    nodes = {}
    for teff in (3500.0, 8000.0, 15000.0):
        for logg in (2.5, 4.0, 5.0) if teff > 10000 else (1.0, 3.0, 5.0):
            for mh, alpha in product((-2.5, 0.0, 0.5), (0.0, 0.4)):
                layers = np.arange(1, 5)
                column = 10.0 ** (layers - 4.0)
                nodes[teff, logg, mh, alpha] = np.array(
                    [column, teff * layers**0.3, column * 10**logg, 1e12 * layers * 10 ** (0.5 * mh + 0.3 * alpha)]
                )
    abundances = np.full(99, 1e-20)
    abundances[:2] = 1.0, 0.085
    abundances[[19, 25]] = 2.3e-6, 3.2e-5
    return Structures(nodes, abundances)


def workspace(place, seconds=0.0) -> Workspace:
    """A folder like the one `Workspace.prepare` makes, with the player as its engine."""
    folder = Path(place) / "synthesis-6"
    (folder / "engine").mkdir(parents=True)
    structures().save(folder / "structures.npz")
    for name in ("atoms.19", "atoms-helium.19", "cn.20", "tio.20"):
        (folder / name).write_text("")
    stars, texts = recorded()
    for name, text in texts.items():
        (folder / name).write_text(text)
    player = folder / "engine/synspec54"
    player.write_text(PLAYER.format(python=sys.executable, seconds=seconds, stars=stars, folder=folder))
    player.chmod(0o755)
    (folder / "engine/compiler.txt").write_text("recorded output of SYNSPEC")
    (folder / "manifest.json").write_text(
        json.dumps({"sources": {}, "lines": {"atoms": {"sha256": "0"}}, "structures": "0", "abundances": {}})
    )
    return Workspace.open(place)
