"""Are radial velocities found, wherever they are?

    python validation/velocities.py

fits stars of all labels, simulated with the noise of the RVS at S/N 20 and radial velocities of -980 to 980 km/s, with
the defaults of `rvsemu.fit` for spectra in no known frame. Prints those whose velocity is wrong by more than five of
its errors and 10 km/s, and how many are right. Takes half a minute for 300 stars.
"""

from __future__ import annotations

import argparse

import numpy as np
from simulated import draw_labels, observed, simulate

import rvsemu
from rvsemu.fitting import fit_many


def main(arguments=None) -> None:
    """Simulate, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=300, help="(default: 300)")
    parser.add_argument("--snr", type=float, default=20.0, help="signal to noise (default: 20)")
    parser.add_argument("--seed", type=int, default=5, help="of labels and noise (default: 5)")
    options = parser.parse_args(arguments)
    emulator, rng = rvsemu.shipped(), np.random.default_rng(options.seed)
    columns = draw_labels(emulator, rng, options.stars, velocities=(-980.0, 980.0))
    stars = [{name: float(x[i]) for name, x in columns.items()} for i in range(options.stars)]
    spectra = [observed(simulate(emulator, rng, options.snr, **labels), options.snr) for labels in stars]
    for spectrum in spectra:
        del spectrum.meta["frame"]
    wrong = 0
    for labels, found in zip(stars, fit_many(spectra), strict=True):
        velocity, error = found.radial_velocity.value, found.errors["radial_velocity"].value
        if abs(velocity - labels["radial_velocity"]) > max(5 * error, 10.0):
            wrong += 1
            text = ", ".join(
                f"{name} {labels[name]:.4g}" for name in ("teff", "logg", "vsini", "mh", "radial_velocity")
            )
            print(f"{text}: found at {velocity:.0f} +- {error:.0f} km/s, flags {', '.join(found.flags) or 'none'}")
    print(f"{options.stars - wrong} of {options.stars} velocities are right")


if __name__ == "__main__":
    main()
