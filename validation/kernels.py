"""Do fits end in the same minimum whichever routines the BLAS library chose for this processor?

    python validation/kernels.py

simulates stars, fits the same bytes in processes that differ in ``OPENBLAS_CORETYPE`` and ``OPENBLAS_NUM_THREADS``
alone, and compares labels with those of the first process in units of their errors. OpenBLAS has other kernels for
each family of processors, whose results differ in the last digits; where a fit depends on these, two colleagues with
the same file and the same version of this package get different labels. NumPy and SciPy each have their own copy of
OpenBLAS, and both heed the variables; what each copy has taken is asked of threadpoolctl, and kernels that this
processor or these copies do not have are left out.

300 stars of 4500-7000 K, half of them giants, at S/N 20, and 100 over the whole range of the labels at S/N 20 to 100,
are fitted with the defaults of `rvsemu.fit`; with ``--exact`` as if emulator and models had no errors, which they have
not in simulated stars. Prints a table and each star that ends elsewhere; the exit status is 1 if there is one. Takes
ten minutes of two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from simulated import draw_labels, exact, observed, simulate

import rvsemu
from rvsemu.fitting import fit_many

BLAS = Path(__file__).resolve().with_name("blas.py")
KERNELS = ("SkylakeX", "Haswell", "Zen", "Prescott")
THREADS = (1, 2)
DWARFS = {"teff": (4500.0, 7000.0), "logg": (3.8, 4.8), "vsini": (0.0, 40.0), "mh": (-1.0, 0.4)}
GIANTS = {"teff": (4500.0, 5500.0), "logg": (2.0, 3.6), "vsini": (0.0, 15.0), "mh": (-1.0, 0.4)}
BOX_NOISES = (20, 50, 100)  # S/N, in turn


@dataclass(frozen=True)
class Stars:
    """Simulated stars: flux (s, n), S/N (s,), and a word on each."""

    flux: np.ndarray
    snr: np.ndarray
    title: np.ndarray


@dataclass(frozen=True)
class Fits:
    """What one process found: labels and errors (s, m) by name, chi2 (s,)."""

    names: np.ndarray
    labels: np.ndarray
    errors: np.ndarray
    chi2: np.ndarray

    def line(self, star) -> str:
        """All about one star."""
        values = zip(self.names, self.labels[star], self.errors[star], strict=True)
        return f"chi2 {self.chi2[star]:.3f}; " + ", ".join(f"{n} {x:.4g} +- {e:.2g}" for n, x, e in values)


def simulate_stars(stars, box_stars, seed) -> Stars:
    """`stars` at S/N 20, dwarfs and giants in turn, then `box_stars` over the whole range of the labels."""
    emulator, rng = rvsemu.shipped(), np.random.default_rng(seed)
    noises = [20] * stars + [BOX_NOISES[i % len(BOX_NOISES)] for i in range(box_stars)]
    flux, titles = [], []
    for i, snr in enumerate(noises):
        ranges = {} if i >= stars else (DWARFS, GIANTS)[i % 2]
        labels = {name: float(values[0]) for name, values in draw_labels(emulator, rng, 1, **ranges).items()}
        flux.append(simulate(emulator, rng, snr, **labels))
        titles.append(f"S/N {snr}, {labels['teff']:.0f} K, log g {labels['logg']:.2f}, [M/H] {labels['mh']:+.2f}")
    return Stars(np.array(flux), np.array(noises), np.array(titles))


def fit(stars, settings) -> Fits:
    """Least squares of all stars, in this process."""
    spectra = [observed(flux, snr) for flux, snr in zip(stars.flux, stars.snr, strict=True)]
    results = fit_many(spectra, **settings)
    names = results[0].free_names
    labels = [[float(r.labels[n].value) for n in names] for r in results]
    errors = [[float(r.errors[n].value) for n in names] for r in results]
    return Fits(np.array(names), np.array(labels), np.array(errors), np.array([r.chi2 for r in results]))


def run(kernel, threads, script, *arguments) -> str:
    """Output of a script in a process that is told to take `kernel`."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def distinct(kernels) -> dict[str, str]:
    """The kernels that can be had here, each once: what was taken, by what to ask for."""
    out = {}
    for kernel in kernels:
        try:
            architecture = "/".join(json.loads(run(kernel, 1, BLAS))) or "no OpenBLAS"
        except subprocess.CalledProcessError as e:  # OpenBLAS takes what it is told: an illegal instruction follows
            print(f"{kernel}: this processor cannot run it (status {e.returncode})", flush=True)
            continue
        again = architecture in out.values()
        print(f"{kernel}: {architecture}{', which is there already' if again else ''}", flush=True)
        if not again:
            out[kernel] = architecture
    if len(out) < 2:
        raise SystemExit("fewer than two kernels can be had on this machine: there is nothing to compare.")
    return out


def fit_with(kernels, threads, stars, jobs, *arguments) -> dict[str, Fits]:
    """What each kernel finds with each number of threads."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        given = Path(folder) / "stars.npz"
        np.savez(given, **vars(stars))

        def one(kernel, threads):
            found = given.with_name(f"{kernel}-{threads}.npz")
            run(kernel, threads, __file__, "--fit", given, found, *arguments)
            return read(found, Fits)

        runs = {f"{kernels[k]}, {t} thread{'s'[: t - 1]}": pool.submit(one, k, t) for k in kernels for t in threads}
        return {name: future.result() for name, future in runs.items()}


def read(path, kind):
    """Arrays that were written with `numpy.savez`, as a `kind`."""
    with np.load(path) as file:
        return kind(**file)


def distances(first, other) -> np.ndarray:
    """Difference (s, m) of the labels in units of the smaller error; infinite where only one is finite."""
    sigma = np.minimum(first.errors, other.errors)
    apart = np.abs(first.labels - other.labels) / sigma
    same = (first.labels == other.labels) | (np.isnan(first.labels) & np.isnan(other.labels))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def report(stars, fits, away) -> int:
    """Print how far each process ends from the first one; number of stars more than `away` sigma apart in any."""
    reference, first = next(iter(fits.items()))
    apart = {name: distances(first, other) for name, other in fits.items()}
    print(f"\n{len(stars.snr)} stars; compared with {reference}\n")
    print(f"{'kernel':24}{f'stars > {away} sigma':>20}{'largest (sigma)':>18}{'chi2 lower':>12}{'higher':>8}")
    for name, far in apart.items():
        elsewhere = far.max(axis=1) > away
        gain = (fits[name].chi2 - first.chi2)[elsewhere]
        print(f"{name:24}{elsewhere.sum():20}{far.max():18.3f}{(gain < 0).sum():12}{(gain > 0).sum():8}")
    worst = np.array([far.max(axis=1) for far in apart.values()])
    for star in np.flatnonzero(worst.max(axis=0) > away):
        name = list(apart)[worst[:, star].argmax()]
        label = first.names[apart[name][star].argmax()]
        print(f"\nstar {star} ({stars.title[star]}): {apart[name][star].max():.2f} sigma apart in {label}")
        for source in (reference, name):
            print(f"  {source}: {fits[source].line(star)}")
    return int((worst.max(axis=0) > away).sum())


def main(arguments=None) -> int:
    """Simulate, fit with each kernel, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=300, help="at S/N 20 (default: 300)")
    parser.add_argument("--box-stars", type=int, default=100, help="over the whole range of labels (default: 100)")
    parser.add_argument("--kernels", nargs="+", default=KERNELS, help=f"(default: {' '.join(KERNELS)})")
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS, help="of each (default: 1 2)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once (default: all cores)")
    parser.add_argument("--seed", type=int, default=1, help="of labels and noise (default: 1)")
    parser.add_argument("--away", type=float, default=0.05, metavar="SIGMA", help="apart (default: 0.05)")
    parser.add_argument("--exact", action="store_true", help="fit without errors of emulator and models")
    parser.add_argument("--fit", nargs=2, type=Path, help=argparse.SUPPRESS)  # what this script tells its processes
    options = parser.parse_args(arguments)
    if options.fit:
        settings = {"emulator": exact(rvsemu.shipped()), "model_error": None} if options.exact else {}
        np.savez(options.fit[1], **vars(fit(read(options.fit[0], Stars), settings)))
        return 0
    kernels = distinct(options.kernels)
    stars = simulate_stars(options.stars, options.box_stars, options.seed)
    elsewhere = report(
        stars, fit_with(kernels, options.threads, stars, options.jobs, *["--exact"] * options.exact), options.away
    )
    print(f"\n{elsewhere} of {len(stars.snr)} stars end more than {options.away} sigma away under some kernel")
    return int(elsewhere > 0)


if __name__ == "__main__":
    raise SystemExit(main())
