"""Sampling the posterior of one spectrum with emcee."""

from __future__ import annotations

import numpy as np

from ..errors import PosteriorFileError, SpectrumError
from .chain_file import BLOCK, Chain
from .convergence import ADAPT, Convergence
from .posterior import Posterior, make_posterior
from .proposals import first_ensemble, moves

__all__ = ["run"]

_SAME = 0.05  # difference of log probability that rounding cannot make


def run(
    likelihood,
    start,
    *,
    seed,
    walkers=32,
    steps=3000,
    stop=50.0,
    file=None,
    resume=True,
    info=None,
    arrays=None,
    progress=True,
    label="sample",
) -> Posterior:
    """Sample any log probability; `rvsemu.sample` is this for a spectrum.

    Parameters
    ----------
    likelihood : Likelihood
        With ``parameters`` (``free_names``, ``free``, ``lower``, ``upper``, ``space``) and
        ``log_probability(x)`` of rows (n, m).
    start : Draws
        From it the first ensemble is taken; with its ``proposal``.
    seed : int or numpy.random.Generator
    walkers, steps, stop, resume, progress
        See `rvsemu.sample`.
    file : ChainFile, optional
        Where to keep the chain.
    info : dict, optional
        For ``meta``; kept in the file.
    arrays : callable, optional
        Takes plain samples (n, m), returns the arrays of `Posterior.spectrum`.
    label : str
        Of the progress bar.

    Returns
    -------
    Posterior
    """
    names = likelihood.parameters.free_names
    units = [likelihood.parameters.space[name].unit for name in names]
    _check(walkers, steps, stop, len(names))
    chain = file.read_chain() if file is not None and resume else None
    if chain is None:
        rng = np.random.default_rng(seed)
        ensemble = first_ensemble(start, walkers, rng)
        chain = Chain.begin(ensemble, likelihood.log_probability(ensemble), rng, start.proposal)
        if file is not None:
            file.create(chain, names, units, info or {})
    else:
        _check_same(chain, file, likelihood, walkers)
    converged = _extend(chain, likelihood, steps, stop, file, progress, label)
    posterior = make_posterior(chain, names, units, info or {}, {"converged": converged}, {})
    if arrays is not None:
        posterior.spectrum.update(arrays(posterior.values))
    if file is not None:
        file.finish({"converged": converged}, posterior.spectrum)
    return posterior


def _extend(chain, likelihood, steps, stop, file, progress, label) -> bool:
    """Sample until `steps` or convergence; every block of steps goes to the file, and so does a part of one."""
    from tqdm import tqdm

    check = Convergence(stop)
    with tqdm(total=steps, initial=len(chain), desc=label, unit="step", disable=not progress, leave=False) as bar:
        while not check.reached(chain.coords):
            if len(chain) >= steps:
                return False
            if np.isfinite(check.tau):
                bar.set_postfix_str(f"autocorrelation {check.tau:.0f} steps", refresh=False)
            if 0 < len(chain) <= ADAPT and len(chain) % BLOCK == 0:
                last = chain.coords[len(chain) // 2 :].reshape(-1, chain.coords.shape[-1])
                chain.proposal = chain.proposal.fitted(last, np.full(len(last), 1 / len(last)))
            try:
                _advance(chain, likelihood, min(BLOCK - len(chain) % BLOCK, steps - len(chain)), bar)
            finally:
                if file is not None and len(chain) > chain.saved:
                    file.append(chain)
    return True


def _advance(chain, likelihood, steps, bar) -> None:
    import emcee

    sampler = emcee.EnsembleSampler(
        *chain.ensemble.shape, likelihood.log_probability, moves=moves(chain.proposal), vectorize=True
    )
    state = emcee.State(chain.ensemble, log_prob=chain.ensemble_log_probability, random_state=chain.random_state)
    try:
        for _ in sampler.sample(state, iterations=steps, skip_initial_state_check=True):
            bar.update()
    finally:
        chain.extend(sampler.backend)


def _check(walkers, steps, stop, m):
    if walkers < 2 * m or walkers % 2:
        raise SpectrumError(f"walkers={walkers}: give an even number of at least {2 * m}, twice the free labels.")
    if steps < 1:
        raise SpectrumError(f"steps={steps}: give a positive number.")
    if stop is not None and not stop > 0:
        raise SpectrumError(f"stop={stop}: give a positive number of autocorrelation times, or None.")


def _check_same(chain, file, likelihood, walkers):
    """The chain must be one of this data with these settings: its last ensemble has the same log probability."""
    remedy = "give another name or file, or begin anew (resume=False, --restart)"
    names, there = likelihood.parameters.free_names, file.read_rest()["names"]
    if there != tuple(names) or chain.coords.shape[1] != walkers:
        raise PosteriorFileError(
            f"{file.path}: '{file.name}' was sampled with {chain.coords.shape[1]} walkers for {', '.join(there)}, now "
            f"they are {walkers} for {', '.join(names)}: {remedy}."
        )
    was, now = chain.ensemble_log_probability, likelihood.log_probability(chain.ensemble)
    if not np.all(np.abs(was - now) < _SAME):
        raise PosteriorFileError(
            f"{file.path}: '{file.name}' was sampled with other data or settings (a log probability was {was[0]:.2f} "
            f"and is now {now[0]:.2f}): {remedy}."
        )
