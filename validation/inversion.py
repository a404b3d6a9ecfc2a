"""How good `rvsemu.invert` is on observed spectra: simulated stars, and real ones beside `rvsemu.fit`.

    python validation/inversion.py --write

draws dwarfs and giants of types F to K, and A stars, makes their spectra with the emulator, adds an error of the model
as the default ``model_error`` has it, and observes them with `rvsemu.simulate` at signal to noise 20, 50, 100 and 300.
Measured are, for each label, the RMS of (found - true) / stated error, which is 1 if errors are right, the RMS of
found - true, the share of true labels within the intervals of 68 and 95 %, and how many of the stars with a label that
is wrong by more than three errors are flagged. The shipped real stars follow, with the least-squares fit beside.

The tables are printed, and with ``--write`` go to ``docs/_generated/inversion_stars.rst``. Takes half a second of one
core for a simulated star; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from results import rst
from simulated import with_model_error
from specutils import Spectrum
from tqdm import tqdm

import rvsemu

TABLE = Path(__file__).resolve().parents[1] / "docs" / "_generated" / "inversion_stars.rst"
STARS = {
    "kepler-93": "Kepler-93, G dwarf",
    "hd176650": "HD 176650, K giant",
    "gaia-1535964555128078720": "Gaia DR3 1535964555128078720, K dwarf",
    "gaia-3174658066485297152": "Gaia DR3 3174658066485297152, G dwarf",
}
KINDS = {
    "FGK dwarfs": {"teff": (4200, 6800), "logg": (4.0, 4.8), "mh": (-0.8, 0.3), "vsini": (0, 20), "vmic": (0.6, 1.6)},
    "FGK giants": {"teff": (4000, 5300), "logg": (2.1, 3.3), "mh": (-0.8, 0.3), "vsini": (0, 10), "vmic": (1.0, 2.0)},
    "A stars": {"teff": (7500, 9800), "logg": (3.5, 4.5), "mh": (-0.5, 0.3), "vsini": (0, 200), "vmic": (1.0, 3.0)},
}
RESOLUTION = (11900.0, 450.0)
SIGNAL_TO_NOISE = (20, 50, 100, 300)
LABELS = {"teff": 0, "logg": 2, "vsini": 1, "mh": 2, "vmic": 2, "resolution": 0}  # decimals of RMS errors
FAR = 3.0


@dataclass(frozen=True)
class Found:
    """One simulated star: arrays in the order of `LABELS`."""

    kind: str
    snr: int
    deviation: np.ndarray  # found - true
    error: np.ndarray
    inside: np.ndarray  # within the intervals of 68 and of 95 %, shape (2, n_labels)
    flags: tuple[str, ...]

    @property
    def far(self) -> bool:
        return bool(np.any(np.abs(self.deviation) > FAR * self.error))


def draw(kind, rng) -> tuple[dict[str, float], Spectrum]:
    """Labels of a star, and its spectrum with an error of the model."""
    truth = {name: float(rng.uniform(*limits)) for name, limits in KINDS[kind].items()}
    truth["resolution"] = float(np.clip(rng.normal(*RESOLUTION), 10600, 13200))
    return truth, with_model_error(rvsemu.generate(**truth), rng)


def measure(kind, snr, seed) -> Found:
    """Invert one star."""
    rng = np.random.default_rng([20261126, snr, seed, list(KINDS).index(kind)])
    truth, star = draw(kind, rng)
    settings = {"radial_velocity": rng.uniform(-5, 5), "continuum": 0.02 * rng.normal(size=3)}
    result = rvsemu.invert(
        rvsemu.simulate(star, signal_to_noise=snr, ccds=int(rng.integers(10, 80)), seed=rng, **settings)
    )
    true = np.array([truth[name] for name in LABELS])
    labels, errors = (np.array([x[name].value for name in LABELS]) for x in (result.labels, result.errors))
    inside = np.empty((2, len(LABELS)), dtype=bool)
    for row, level in zip(inside, (0.68, 0.95), strict=True):
        interval = result.interval(level)
        row[:] = [interval[n][0].value <= t <= interval[n][1].value for n, t in zip(LABELS, true, strict=True)]
    return Found(kind, snr, labels - true, errors, inside, result.flags)


def simulated_tables(found) -> str:
    """Tables of normalised deviations, and of RMS errors, and coverage and flags."""
    names = [f"``{name}``" for name in LABELS]
    pulls, sizes, cover = [], [], []
    for kind, snr in product(KINDS, SIGNAL_TO_NOISE):
        some = [one for one in found if (one.kind, one.snr) == (kind, snr)]
        if not some:
            continue
        deviation, error = (np.array([getattr(one, x) for one in some]) for x in ("deviation", "error"))
        pulls.append([kind, snr, *(f"{x:.2f}" for x in _rms(deviation / error)), _flagged(some)])
        both = zip(LABELS.values(), _rms(deviation), _rms(error), strict=True)
        sizes.append([kind, snr, *(f"{a:.{digits}f} ({b:.{digits}f})" for digits, a, b in both)])
        inside = 100 * np.mean([one.inside for one in some], axis=0)
        cover.append([kind, snr, *(f"{a:.0f} / {b:.0f}" for a, b in inside.T)])
    head = ["Stars", "S/N", *names]
    parts = [
        rst([*head, "flagged / off by more than 3 errors / flagged of these"], pulls, "RMS of (found - true) / error"),
        rst(head, sizes, "RMS of found - true (RMS of stated errors)"),
        rst(head, cover, "True labels within the intervals of 68 and 95 %, in per cent"),
    ]
    return "\n".join(parts)


def _rms(x) -> np.ndarray:
    return np.sqrt(np.mean(x**2, axis=0))


def _flagged(some) -> str:
    flagged = [any(not flag.startswith("at-bound") for flag in one.flags) for one in some]
    far = [one.far for one in some]
    both = sum(a and b for a, b in zip(flagged, far, strict=True))
    return f"{sum(flagged)} of {len(some)} / {sum(far)} / {both}"


def real_table() -> str:
    """Real stars: inverted, fitted, and the difference in errors of the inversion."""
    rows = []
    for key, title in STARS.items():
        star = rvsemu.read_rvs(rvsemu.example_path(key))[0]
        inverted, fitted = rvsemu.invert(star), rvsemu.fit(star)
        for way, result in (("``invert``", inverted), ("``fit``", fitted)):
            cells = (
                f"{result.labels[name].value:.{digits}f} ± {result.errors[name].value:.{digits}f}"
                for name, digits in LABELS.items()
            )
            flags = ", ".join(f"``{flag}``" for flag in result.flags) or "none"
            rows.append([title if way == "``invert``" else "", way, *cells, flags])
        off = (float((inverted.labels[n] - fitted.labels[n]) / inverted.errors[n]) for n in LABELS)
        rows.append(["", "difference in errors of ``invert``", *(f"{x:.1f}" for x in off), ""])
    return rst(["Star", "", *(f"``{name}``" for name in LABELS), "flags"], rows, "Real stars")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=25, help="simulated stars of a kind and signal to noise")
    parser.add_argument("--write", action="store_true", help="write the tables of the documentation")
    options = parser.parse_args()
    work = list(product(KINDS, SIGNAL_TO_NOISE, range(options.stars)))
    found = [measure(*one) for one in tqdm(work, desc="stars", mininterval=1.0)]
    text = f"{real_table()}\n{simulated_tables(found)}" if found else real_table()
    print(text)
    if options.write:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
