"""How often clean spectra have a flag: single stars without outliers, over the whole label box.

    python validation/flags.py --write

draws labels from the priors, observes each star with `rvsemu.simulate` at several signal to noise ratios, with errors
estimated from 30 CCD spectra, and fits them with the default settings; but without errors of models, as the stars are
the emulator's own spectra. The table has the percentage of stars with each flag; with ``--write`` it goes to
``docs/_generated/flags.rst``. Takes five minutes of one core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from results import rst
from simulated import draw_labels, exact

import rvsemu
from rvsemu.fitting import fit_many
from rvsemu.observing.flags import FLAGS

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "flags.rst"
SNRS = (20, 50, 100, 300)


def flagged(emulator, snr, count) -> Counter:
    """Number of stars with each flag."""
    rng = np.random.default_rng([20261126, snr])
    labels = draw_labels(emulator, rng, count)
    velocities = labels.pop("radial_velocity")
    stars = []
    for i, velocity in enumerate(velocities):
        star = emulator.spectrum(**{name: float(values[i]) for name, values in labels.items()})
        continuum = 0.02 * rng.normal(size=3)
        stars.append(rvsemu.simulate(star, signal_to_noise=snr, seed=i, radial_velocity=velocity, continuum=continuum))
    results = fit_many(stars, emulator=emulator, model_error=None)
    return Counter(name for one in results for name in {flag.partition(":")[0] for flag in one.flags})


def main(arguments=None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=300, help="for each signal to noise (default: 300)")
    parser.add_argument("--write", action="store_true", help="write the table of the documentation, too")
    options = parser.parse_args(arguments)
    emulator = exact(rvsemu.shipped())
    counts = {snr: flagged(emulator, snr, options.stars) for snr in SNRS}
    names = [name for name in FLAGS if any(one[name] for one in counts.values())]
    rows = [[f"``{n}``", *(f"{100 * one[n] / options.stars:.1f}" for one in counts.values())] for n in names]
    text = rst(["signal to noise", *SNRS], rows)
    print(text)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
