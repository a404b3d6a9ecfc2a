"""`sample`: from an observed spectrum to samples of its labels."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from specutils import Spectrum

from ..emulator.regions import to_json
from ..observing.flags import NOT_CONVERGED, NOT_GAUSSIAN
from ..observing.results import IDENTITY, identity_value, name_of
from .chain_file import ChainFile
from .likelihood import Likelihood
from .mcmc import Sampler, run
from .posterior import QUANTILES, Posterior
from .problem import Problem
from .result import FitResult
from .settings import Settings, takes_settings

__all__ = ["sample"]

_DRAWS = 200  # predictions whose quantiles are kept


@takes_settings("errors", "scale_errors")
def sample(
    spectrum: Spectrum,
    *,
    walkers: int = 32,
    steps: int = 3000,
    stop: float | None = 50.0,
    file: str | PathLike | None = None,
    resume: bool = True,
    progress: bool | Callable[[int, int], object] = True,
    **settings: Any,
) -> Posterior:
    """Sample the posterior of the stellar labels of an observed spectrum with emcee.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        As for `rvsemu.fit`.
    walkers : int
        Even, at least twice the number of free labels.
    steps : int
        Maximum number of steps of all walkers, those of earlier calls included.
    stop : float or None
        Stop when the chain after its burn-in is so many times longer than the longest autocorrelation time, and
        the mean of these times has settled to 1 %. None: do all the steps.
    file : path, optional
        HDF5 file to keep the chain of this spectrum in. It is written every 100 steps, from 2000 on when the chain is
        a 20th longer, and whole whatever ends the program. `emcee.backends.HDFBackend` can read it, too.
    resume : bool
        Go on with the chain in the file; False begins anew.
    progress : bool or callable
        Show a progress bar, or call a function after each step with the number of steps that are done and `steps`; an
        exception that it raises ends the sampling.
    **settings

    Returns
    -------
    Posterior

    Raises
    ------
    SpectrumError, LabelError, SettingsError
        As `rvsemu.fit`, or `walkers`, `steps` or `stop` make no sense.
    PosteriorFileError
        The file is no posterior, has one of other data or settings, or another process has been writing it for 60 s.

    Notes
    -----
    The walkers (emcee: Foreman-Mackey et al. 2013, PASP 125, 306) start at weighted draws like those of
    ``fit(errors="sampled")``, in all modes of the posterior that a search from several starts has found. Of their moves
    70 % are independent proposals from a mixture of Student distributions, one for each mode, fitted to the draws, then
    to the ensemble after 100, 200 and 300 steps, and then held; the others are differential evolution. Where the
    posterior is nearly Gaussian this has a tenth of the autocorrelation time of emcee's default move. The first 300
    steps are never part of the samples.

    Examples
    --------
    >>> import rvsemu
    >>> (star,) = rvsemu.read_rvs(rvsemu.example_path("kepler-93"))
    >>> posterior = rvsemu.sample(star, steps=20, seed=1, progress=False)
    >>> posterior.chain.shape
    (20, 32, 7)
    """
    checked = Settings(**settings)
    sampler = Sampler(checked.generator(), walkers, steps, stop, resume, progress)
    kept = None if file is None else ChainFile(file)
    problem = Problem([Problem.observe(spectrum, checked)], checked)
    minima = problem.minima()
    likelihood, result = problem.likelihood(minima), problem.results(minima)[0]
    return run(
        likelihood,
        problem.draws(minima, likelihood),
        sampler,
        file=kept,
        info={"name": name_of(spectrum.meta), **_info(result, problem)},
        arrays=lambda values: _prediction(likelihood, values),
    )


def _info(result: FitResult, problem: Problem) -> dict[str, Any]:
    """What to remember of the data, the settings and the emulator's domain: plain values, for JSON."""
    space = problem.parameters.space
    of_fits = NOT_CONVERGED, NOT_GAUSSIAN  # chains have flags of their own for what these say
    flags = [flag for flag in result.flags if flag not in of_fits]
    return {
        **{key: _plain(key, value) for key, value in result.meta.items()},
        "units": {name: str(value.unit) for name, value in result.labels.items()},
        "fixed": {name: float(q.value) for name, q in result.labels.items() if name not in result.free_names},
        "ranges": {name: list(limits) for name, limits in result.ranges.items()},
        "label_errors": problem.label_errors.tolist(),
        "domain": {label.name: [label.lower, label.upper] for label in space.labels},
        "lowest_logg": [list(node) for node in space.lowest_logg],
        "regions": to_json(problem.settings.loaded_emulator.labels.regions),  # which the space of parameters lacks
        "reduced_chi2": result.reduced_chi2,
        "flags": flags,
    }


def _plain(key: str, value: Any) -> int | float | str | None:
    """A value for JSON: without its unit if it names the star, and as text if it is not simple."""
    value = identity_value(key, value) if key in IDENTITY else value
    value = value.item() if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1 else value
    return value if isinstance(value, int | float | str | None) else repr(value)


def _prediction(likelihood: Likelihood, values: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of `Posterior.spectrum` from plain samples (n, m)."""
    some = values[np.linspace(0, len(values) - 1, min(_DRAWS, len(values))).astype(int)]
    observation, pixels = likelihood.observation, likelihood.pixels
    return {
        "wavelength": observation.axis[pixels].to_value("AA"),
        "flux": observation.flux[pixels],
        "sigma": observation.sigma[pixels],
        "used": likelihood.used,
        "predicted": np.quantile(likelihood.predict(some), QUANTILES, axis=0).astype("f4"),
    }
