"""Sampling a log probability with emcee."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..errors import PosteriorFileError, SettingsError, check_whole
from .chain_file import Chain, ChainFile
from .convergence import ADAPT, BLOCK, Convergence
from .importance import Draws
from .parameters import Parameters
from .posterior import Posterior, make_posterior
from .proposals import first_ensemble

__all__ = ["Sampler", "run"]

_SAME = 0.05  # difference of log probability that rounding cannot make
_TARGET = 50.0  # autocorrelation times after which a chain is long enough, if nothing else is asked for
_PART = 20  # a chain is written when it is longer by a 20th: writing it whole costs no more than that often


@dataclass(frozen=True)
class Sampler:
    """How to sample: see `rvsemu.sample`.

    Parameters
    ----------
    seed : int or numpy.random.Generator
    walkers, steps : int
    stop : float or None
    resume : bool
    progress : bool or callable

    Raises
    ------
    SettingsError
        One of them makes no sense.
    """

    seed: int | np.random.Generator
    walkers: int = 32
    steps: int = 3000
    stop: float | None = 50.0
    resume: bool = True
    progress: bool | Callable[[int, int], object] = True

    def __post_init__(self):
        if not isinstance(self.seed, np.random.Generator):
            check_whole(SettingsError, "seed", self.seed, 0, 2**63 - 1)
        check_whole(SettingsError, "walkers", self.walkers, 2, 10_000)
        check_whole(SettingsError, "steps", self.steps, 1, 10_000_000)
        if self.walkers % 2:
            raise SettingsError(f"walkers={self.walkers}: give an even number, at least twice the free labels.")
        number = isinstance(self.stop, Real) and not isinstance(self.stop, bool | np.bool_)
        if self.stop is not None and not (number and 0 < self.stop < np.inf):
            raise SettingsError(f"stop={self.stop!r}: give a positive number of autocorrelation times, or None.")
        if not isinstance(self.resume, bool | np.bool_):
            raise SettingsError(f"resume={self.resume!r}: give True or False.")
        if not (isinstance(self.progress, bool | np.bool_) or callable(self.progress)):
            raise SettingsError(f"progress={self.progress!r}: give True, False or a function of steps done and steps.")

    def check(self, parameters: Parameters) -> None:
        """Raise `SettingsError` if there are too few walkers for so many free labels."""
        least = 2 * len(parameters.free)
        if self.walkers < least:
            raise SettingsError(
                f"walkers={self.walkers}: give an even number of at least {least}, twice the free labels."
            )

    @property
    def target(self) -> float:
        """Number of autocorrelation times that make a chain long enough, whether sampling stops there or not."""
        return _TARGET if self.stop is None else float(self.stop)

    def tell(self, done: int) -> None:
        """Call `progress`, if it is a function, with the number of steps that are done, and their maximum."""
        if callable(self.progress):
            self.progress(done, self.steps)


def run(
    likelihood,
    start: Draws,
    sampler: Sampler,
    *,
    file: ChainFile | None = None,
    info: dict | None = None,
    arrays: Callable[[np.ndarray], dict] | None = None,
) -> Posterior:
    """Sample any log probability; `rvsemu.sample` is this for a spectrum.

    Parameters
    ----------
    likelihood : Likelihood
        With ``parameters`` (``free_names``, ``free``, ``lower``, ``upper``, ``space``) and
        ``log_probability(x)`` of rows (n, m).
    start : Draws
        From it the first ensemble is taken; with its ``proposal``.
    sampler : Sampler
    file : ChainFile, optional
        Where to keep the chain.
    info : dict, optional
        For ``meta``; kept in the file. Its ``name`` is that of the progress bar.
    arrays : callable, optional
        Takes plain samples (n, m), returns the arrays of `Posterior.spectrum`.

    Returns
    -------
    Posterior
    """
    sampler.check(likelihood.parameters)
    with nullcontext() if file is None else file.held():
        chain = file.read() if file is not None and sampler.resume else None
        if chain is None:
            chain = _begun(likelihood, start, sampler)
        else:
            _check_same(chain, file, likelihood, sampler.walkers)
        chain.info, chain.target = dict(info or {}), sampler.target
        _extend(chain, likelihood, sampler, file)
        posterior = make_posterior(chain)
        if arrays is not None and not chain.arrays:
            chain.arrays = arrays(posterior.visited)
            posterior.spectrum.update(chain.arrays)
        if file is not None:
            file.write(chain)
    return posterior


def _begun(likelihood, start, sampler) -> Chain:
    """No steps yet."""
    rng = np.random.default_rng(sampler.seed)
    ensemble = first_ensemble(start, sampler.walkers, rng)
    walkers, m = ensemble.shape
    names = tuple(likelihood.parameters.free_names)
    return Chain(
        names=names,
        units=tuple(str(likelihood.parameters.space[name].unit) for name in names),
        coords=np.empty((0, walkers, m)),
        log_probability=np.empty((0, walkers)),
        accepted=np.zeros(walkers),
        ensemble=ensemble,
        ensemble_log_probability=likelihood.log_probability(ensemble),
        random_state=np.random.RandomState(rng.integers(2**32, size=8, dtype=np.uint32)).get_state(legacy=True),  # type: ignore[arg-type]
        proposal=start.proposal,
        target=sampler.target,
    )


def _extend(chain, likelihood, sampler, file) -> None:
    """Sample until it is enough, and keep what there is in the file now and then, and when something ends it."""
    from tqdm import tqdm

    check, saved = Convergence(chain.target), len(chain)
    bar = {
        "total": sampler.steps,
        "initial": len(chain),
        "unit": "step",
        "disable": not sampler.progress or callable(sampler.progress),
    }
    with tqdm(desc=chain.info.get("name", "sample"), leave=False, **bar) as bar:

        def told(new):
            bar.update()
            sampler.tell(len(chain) + new)

        try:
            while len(chain) < sampler.steps and not (sampler.stop is not None and check.reached(chain.coords)):
                if np.isfinite(check.tau):
                    bar.set_postfix_str(f"autocorrelation {check.tau:.0f} steps", refresh=False)
                _adapt(chain)
                _advance(chain, likelihood, min(BLOCK - len(chain) % BLOCK, sampler.steps - len(chain)), told)
                if file is not None and len(chain) - saved >= max(BLOCK, len(chain) // _PART):
                    file.write(chain)
                    saved = len(chain)
        except BaseException:
            if file is not None and len(chain) > saved:
                file.write(chain)
            raise


def _adapt(chain) -> None:
    """Fit the proposals to the second half of the chain, after the first few blocks of steps."""
    if 0 < len(chain) <= ADAPT and len(chain) % BLOCK == 0:
        last = chain.coords[len(chain) // 2 :].reshape(-1, chain.coords.shape[-1])
        chain.proposal = chain.proposal.fitted(last, np.full(len(last), 1 / len(last)))


def _advance(chain, likelihood, steps, tell) -> None:
    """Sample so many steps, and tell how many there are after each."""
    from emcee import State

    from .ensemble_sampler import EnsembleSampler

    sampler = EnsembleSampler(likelihood.log_probability, chain.proposal, *chain.ensemble.shape)
    begin = State(chain.ensemble, log_prob=chain.ensemble_log_probability, random_state=chain.random_state)
    done: list[tuple] = []
    try:
        for state in sampler.sample(begin, iterations=steps, skip_initial_state_check=True, store=False):
            done.append((state.coords.copy(), state.log_prob.copy(), state.random_state))
            tell(len(done))
    finally:
        chain.extend(done)


def _check_same(chain, file, likelihood, walkers):
    """The chain must be one of this data with these settings: its last ensemble has the same log probability."""
    remedy = "give another file, or begin anew (resume=False, --restart)"
    names, there = tuple(likelihood.parameters.free_names), chain.names
    if there != names or chain.coords.shape[1] != walkers:
        raise PosteriorFileError(
            f"{file.path} was sampled with {chain.coords.shape[1]} walkers for {', '.join(there)}, now "
            f"they are {walkers} for {', '.join(names)}: {remedy}."
        )
    was, now = chain.ensemble_log_probability, likelihood.log_probability(chain.ensemble)
    if not np.all(np.abs(was - now) < _SAME):
        raise PosteriorFileError(
            f"{file.path} was sampled with other data or settings (a log probability was {was[0]:.2f} "
            f"and is now {now[0]:.2f}): {remedy}."
        )
