"""How fast catalogues are made; see README.rst.

    python benchmarks/catalog.py read
    python benchmarks/catalog.py fit 1000 3000 --release "Gaia DR4" --jobs 2

All times are CPU times, of the processes and their children, as other work on the machine makes no difference to them;
the time on the clock of an idle machine with that many cores is the CPU time over the number of jobs.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import rvsemu
from rvsemu.observing.simulate import RELEASES
from rvsemu.spectra import write_bulk
from rvsemu.spectra.bulk import entries

_KINDS = 200  # different stars: simulating one takes as long as fitting it
_RUN = """
import resource, sys
from rvsemu.catalog import fit_catalog
if __name__ == "__main__":
    paths, out, jobs, rows = sys.argv[1:-3], sys.argv[-3], int(sys.argv[-2]), int(sys.argv[-1])
    print(fit_catalog(paths, out, jobs=jobs, rows=rows, progress=False))
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)
"""


def stars(n, release):
    """FGK stars of a signal to noise of 20 to 300, whose noise differs from kind to kind."""
    rng, kinds = np.random.default_rng(1), []
    for i in range(n):
        if i < _KINDS:
            labels = {"teff": rng.uniform(4200, 7000), "logg": rng.uniform(3.2, 4.8), "mh": rng.uniform(-1, 0.4)}
            star = rvsemu.generate(**labels, vsini=rng.exponential(8), vmic=1.3, resolution=11700)
            noise = {"signal_to_noise": np.exp(rng.uniform(np.log(20), np.log(300))), "ccds": int(rng.integers(10, 60))}
            kinds.append(rvsemu.simulate(star, **noise, seed=rng, release=release, radial_velocity=rng.normal(0, 2)))
        star = kinds[i % _KINDS]
        star.meta["source_id"] = i + 1
        yield star


def read(folder, spectra):
    """CPU milliseconds per spectrum to read bulk files."""
    for release, kind in RELEASES.items():
        path = folder / f"{kind.pixels}.csv.gz"
        write_bulk(stars(spectra, release), path)
        times = {
            "blocks": lambda path=path: sum(len(block) for block in rvsemu.iter_rvs(path)),
            "passed over": lambda path=path: sum(1 for _ in entries(path)),
            "read_rvs": lambda path=path: len(rvsemu.read_rvs(path)),
        }
        best = {name: min(_cpu(run) for _ in range(3)) / spectra * 1e3 for name, run in times.items()}
        size = path.stat().st_size / spectra
        said = ", ".join(f"{name} {value:.3f} ms" for name, value in best.items())
        print(f"{kind.pixels} pixels: {said}; {size:.0f} bytes per spectrum", flush=True)


def _cpu(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def fit(folder, numbers, release, jobs, rows):
    """CPU milliseconds per spectrum from bulk files to Parquet, and the memory of the largest process."""
    for n in numbers:
        path = folder / f"{n}.csv.gz"
        write_bulk(stars(n, release), path)
        begun = time.monotonic()
        command = [sys.executable, "-c", _RUN, str(path), str(folder / str(n)), str(jobs), str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        clock = time.monotonic() - begun
        (own, memory), (workers, largest) = (map(float, line.split()) for line in done[-2:])
        each = (own + workers) / n * 1e3
        print(
            f"{n} spectra of {release}, {jobs} jobs: {each:.2f} ms of CPU each, {1e3 / each:.0f} spectra per "
            f"second and core; {own:.1f} s of the first process; {clock:.0f} s on the clock here; memory of the first "
            f"process {memory:.0f} MB, of the largest worker {largest:.0f} MB",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    reading, fitting = actions.add_parser("read"), actions.add_parser("fit")
    reading.add_argument("--spectra", type=int, default=300)
    fitting.add_argument("numbers", type=int, nargs="+")
    fitting.add_argument("--release", default="Gaia DR4", choices=RELEASES)
    fitting.add_argument("--jobs", type=int, default=2)
    fitting.add_argument("--rows", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.action == "read":
            read(Path(folder), options.spectra)
        else:
            fit(Path(folder), options.numbers, options.release, options.jobs, options.rows)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
