"""CPU milliseconds per star of a batch fit, by stage; see README.rst.

python benchmarks/stages.py --release "Gaia DR4" --stars 128
"""

import argparse
import cProfile
import pstats
import time

import numpy as np
from catalog import stars

from rvsemu.fitting import fit_many
from rvsemu.observing.simulate import RELEASES

STAGES = {  # function: what it does; indented ones are parts of the stage above
    ("verbs.py", "_observed"): "arrays from spectra",
    ("problem.py", "starts"): "first minima, with white noise in bins",
    ("start.py", "starts"): "  coarse look at labels and velocities",
    ("start.py", "followed"): "  from several starts to minima",
    ("search.py", "_followed"): "minima with covariances",
    ("stack.py", "weighted"): "  covariances",
    ("levenberg_marquardt.py", "minimise"): "  Levenberg-Marquardt, of this and the first minima",
    ("problem.py", "tension"): "slope by [alpha/M]",
    ("problem.py", "results"): "results and flags",
    ("double_lined.py", "double_lined"): "  lines of a second star",
    ("unmodelled.py", "unmodelled"): "  emission and the diffuse band",
    ("problem.py", "draws"): "weighted draws",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", default="Gaia DR4", choices=RELEASES)
    parser.add_argument("--stars", type=int, default=128)
    parser.add_argument("--errors", default="gaussian", choices=("gaussian", "sampled"))
    options = parser.parse_args()
    spectra = list(stars(options.stars, options.release))
    fit_many(spectra[:2], errors=options.errors)  # what is made once a process
    start = time.process_time()
    fit_many(spectra, errors=options.errors)
    each = 1e3 * (time.process_time() - start) / options.stars
    profile = cProfile.Profile(time.process_time)
    profile.runcall(fit_many, spectra, errors=options.errors)
    seconds = dict.fromkeys(STAGES, 0.0)
    for (path, _, name), (*_, cumulative, _) in pstats.Stats(profile).stats.items():
        if (key := (path.rpartition("/")[2], name)) in seconds:
            seconds[key] += cumulative
    print(f"{each:.2f} ms per star, {options.release}; with a profiler, which makes all a little slower:")
    for key, words in STAGES.items():
        print(f"{1e3 * seconds[key] / options.stars:8.2f} ms  {words}")
    print(f"matrix products here: {_products():.0f} GFlop/s in double precision")


def _products(size=1000, times=5):
    """Speed of this processor, to compare others with."""
    matrix = np.ones((size, size))
    start = time.process_time()
    for _ in range(times):
        matrix @ matrix
    return 2e-9 * times * size**3 / (time.process_time() - start)


if __name__ == "__main__":
    main()
