"""Posteriors that are known, to sample."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import stats

from rvsemu.emulator.labels import Label, LabelSpace
from rvsemu.fitting.chain_file import ChainFile
from rvsemu.fitting.importance import weighted_draws
from rvsemu.fitting.mcmc import Sampler, run
from rvsemu.fitting.proposals import Mixture

NAMES = ("teff", "logg", "mh")
MEAN = np.array([5600.0, 4.3, -0.2])
ROOT = np.array([[80.0, 0, 0], [0.08, 0.05, 0], [0.02, -0.01, 0.03]])
COVARIANCE = ROOT @ ROOT.T
BEGIN = Mixture([1], [MEAN + [20, 0.05, 0]], [1.5 * COVARIANCE])


class Gauss:
    """A Gaussian posterior of three labels, cut off at bounds."""

    def __init__(self, lower=(3000, 0, -3), upper=(9000, 9, 3), slow=0.0, shift=0.0, stop_after=None):
        units = ("K", "dex", "dex")
        labels = [Label(n, unit, a, b) for n, unit, a, b in zip(NAMES, units, lower, upper, strict=True)]
        space = LabelSpace(labels)
        self.parameters = SimpleNamespace(
            space=space, free_names=NAMES, free=np.arange(3), lower=space.lower, upper=space.upper
        )
        self._density = stats.multivariate_normal(MEAN, COVARIANCE)
        self._slow, self._shift, self._left = slow, shift, stop_after

    def log_probability(self, x):
        time.sleep(self._slow)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        return self.log_prior(x) + self.log_likelihood(x)

    def log_prior(self, x):
        inside = np.all((x >= self.parameters.lower) & (x <= self.parameters.upper), axis=1)
        return np.where(inside, 0.0, -np.inf)

    def log_likelihood(self, x):
        return self._density.logpdf(x) + self._shift


def quickly(likelihood, steps=None, file=None, info=None, arrays=None, **options):
    """Sample without a progress bar; with `steps`, that many."""
    options = {"seed": 3, "walkers": 8, "progress": False} | options
    sampler = Sampler(**(options if steps is None else options | {"steps": steps, "stop": None}))
    return run(likelihood, weighted_draws(likelihood, BEGIN), sampler, file=file, info=info, arrays=arrays)


def sample_into(path, steps=(100_000,), slow=0.002):
    """For a process of its own, which says what it has to say in files of its number beside the folder of `path`."""
    for number, kind in ((1, "out"), (2, "err")):
        with open(Path(path).parents[1] / f"{os.getpid()}.{kind}", "w") as log:
            os.dup2(log.fileno(), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for most in steps:
        quickly(Gauss(slow=slow), steps=most, file=ChainFile(path))


def autoregressive(rho, steps, walkers=16, seed=0):
    rng = np.random.default_rng(seed)
    out = np.empty((steps, walkers, len(rho)))
    out[0] = rng.normal(size=out.shape[1:])
    for i in range(1, steps):
        out[i] = rho * out[i - 1] + np.sqrt(1 - rho**2) * rng.normal(size=out.shape[1:])
    return out
