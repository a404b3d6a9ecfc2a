"""Labels and velocities of stars whose transits are fitted together: are they unbiased, and are the errors right?

    python validation/transits.py --stars 100 --write

simulates stars of types F to K that rotate at 20 to 60 km/s, with spectra of the emulator in the pixels of Gaia DR4,
and observes each in six transits. Every second star has a constant velocity, the others one that scatters by 30 km/s.
Three times: with noise alone at signal to noise 10 to 20, with an error of the model besides, the same in all transits
of a star, as the default ``model_error`` has it, and this at signal to noise 100, where it is most of the error.

Measured are, for labels, velocities and their mean, the mean and the RMS of (found - true) / stated error, which are 0
and 1 if all is right, and the share of true values within 68 and 95 %; the ratio of stated errors to those of single
transits, for labels a sixth of the square where noise is all; and how many stars have the flag ``variable-velocity``.
The last columns are of fits that take the errors of models for independent in each transit.

Tables are printed, and with ``--write`` go to ``docs/_generated/transits.rst``. Takes some three minutes of one core
for 60 stars of each case; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from results import rst
from simulated import draw_labels, exact, with_model_error

import rvsemu
from rvsemu.fitting import Settings, Transits, fit_many
from rvsemu.fitting.problem import Problem

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "transits.rst"
INTERIOR = {"teff": (4800.0, 7000.0), "logg": (3.0, 4.5), "vsini": (20.0, 60.0), "mh": (-0.6, 0.4)}
LABELS = ("teff", "logg", "vsini", "mh")
ROWS = (*LABELS, "mean velocity", "velocity")
TRANSITS, AMPLITUDE = 6, 30.0
CASES = {
    "Noise alone, signal to noise 10 to 20": ((10.0, 20.0), None),
    "Noise and error of the model, signal to noise 10 to 20": ((10.0, 20.0), "gaia-rvs"),
    "Noise and error of the model, signal to noise 100": ((100.0, 100.0), "gaia-rvs"),
}


class Independent(Transits):
    """Transits whose models err independently, which is wrong."""

    def __init__(self, observations, settings):
        super().__init__(observations, settings)
        self._times = np.ones(len(observations))


@dataclass
class Found:
    """(found - true) / error of each row, and errors / those of single transits."""

    pulls: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ROWS})
    ratios: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ROWS})
    variable: list[bool] = field(default_factory=list)

    def add(self, result, truth, velocities, single) -> None:
        """A star."""
        for name in LABELS:
            error = result.errors[name].value
            self.pulls[name].append((result.labels[name].value - truth[name]) / error)
            self.ratios[name].append(error / np.median([one.errors[name].value for one in single]))
        weights = result.velocity_noise.value**-2.0
        mean, error = np.average(velocities, weights=weights), result.errors["radial_velocity"].value
        alone = np.median([one.errors["radial_velocity"].value for one in single])
        self.pulls["mean velocity"].append((result.radial_velocity.value - mean) / error)
        self.ratios["mean velocity"].append(error / alone)
        self.pulls["velocity"] += list((result.velocities.value - velocities) / result.velocity_errors.value)
        self.ratios["velocity"] += list(result.velocity_errors.value / alone)
        self.variable.append("variable-velocity" in result.flags)

    def cells(self, name) -> list[str]:
        """Mean and RMS of the pulls, and shares inside."""
        pulls = np.array(self.pulls[name])
        inside = [100 * np.mean(np.abs(pulls) < limit) for limit in (0.994, 1.96)]
        return [f"{pulls.mean():+.2f}", f"{np.sqrt(np.mean(pulls**2)):.2f}", " / ".join(f"{x:.0f}" for x in inside)]


def measure(case, count, seed) -> tuple[Found, Found]:
    """Stars of a case, fitted as they should be and as if models erred independently."""
    (low, high), error = CASES[case]
    rng = np.random.default_rng([seed, list(CASES).index(case)])
    settings = {"emulator": exact(rvsemu.shipped()), "model_error": error}
    checked = Settings(**settings)
    columns = draw_labels(rvsemu.shipped(), rng, count, **INTERIOR)
    found = Found(), Found()
    for i in range(count):
        truth = {name: float(x[i]) for name, x in columns.items()}
        mean = truth.pop("radial_velocity")
        star = rvsemu.generate(**truth)
        star = star if error is None else with_model_error(star, rng)
        velocities = mean + AMPLITUDE * (i % 2) * rng.normal(size=TRANSITS)
        given = {"release": "Gaia DR4", "frame": "barycentric", "ccds": 3, "seed": rng}
        spectra = [
            rvsemu.simulate(star, signal_to_noise=s, radial_velocity=v, continuum=rng.normal(0, 0.02, 3), **given)
            for s, v in zip(rng.uniform(low, high, TRANSITS), velocities, strict=True)
        ]
        single = fit_many(spectra, **settings)
        for one, kind in zip(found, (Transits, Independent), strict=True):
            transits = kind([Problem.observe(spectrum, checked) for spectrum in spectra], checked)
            one.add(transits.result(transits.minima()), truth, velocities, single)
    return found


def table(case, found) -> str:
    """The table of a case."""
    joint, naive = found
    head = ["", "mean pull", "RMS pull", "68 / 95 %", "error / single", "as if independent: mean", "RMS", "68 / 95 %"]
    rows = [[name, *joint.cells(name), f"{np.median(joint.ratios[name]):.2f}", *naive.cells(name)] for name in ROWS]
    count = len(joint.variable)
    return rst(head, rows, f"{case}: {count} stars, {TRANSITS} transits each")


def main(arguments=None) -> None:
    """Simulate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=60, help="for each case (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of labels and noise (default: 1)")
    parser.add_argument("--write", action="store_true", help="write the tables of the documentation")
    options = parser.parse_args(arguments)
    parts = []
    for case in CASES:
        found = measure(case, options.stars, options.seed)
        variable = np.array(found[0].variable)
        counts = [f"{some.sum()} of {len(some)}" for some in (variable[1::2], variable[::2])]
        flagged = f"Flag ``variable-velocity``: {counts[0]} stars whose velocity varies, {counts[1]} others.\n"
        parts.append(f"{table(case, found)}\n{flagged}")
        print(parts[-1], flush=True)
    if options.write:
        TABLE.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
