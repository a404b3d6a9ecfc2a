"""Sampling the posterior of one spectrum with emcee."""

from __future__ import annotations

import numpy as np

from ..errors import PosteriorFileError, SpectrumError
from .chain_file import BLOCK, Chain, ChainFile
from .convergence import ADAPT, Convergence
from .posterior import QUANTILES, Posterior, make_posterior
from .proposals import first_ensemble, moves
from ..observing.flags import FEW_GOOD_PIXELS, POOR_FIT
from .verbs import fit, prepare

__all__ = ["name_of", "run", "sample"]

_SAME = 0.05  # difference of log probability that rounding cannot make
_DRAWS = 200  # predictions whose quantiles are kept


def sample(
    spectrum,
    *,
    seed=1,
    walkers=32,
    steps=3000,
    stop=50.0,
    file=None,
    name=None,
    resume=True,
    progress=True,
    **settings,
) -> Posterior:
    """Sample the posterior of the stellar labels of an observed spectrum with emcee.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        As for `rvsemu.fit`.
    seed : int or numpy.random.Generator
        For everything random. A chain that is resumed goes on with its own random numbers.
    walkers : int
        Even, at least twice the number of free labels.
    steps : int
        At most so many steps of all walkers, those of earlier calls included.
    stop : float or None
        Stop when the chain after its burn-in is so many times longer than the longest autocorrelation time, and
        the mean of these times has settled to 1 %. None: do all the steps.
    file : path, optional
        HDF5 file to keep the chain in, one group a star; other stars in it stay. It is written every 100 steps, and
        whole whatever ends the program. `emcee.backends.HDFBackend` can read it, too.
    name : str, optional
        Of the group. Default: the source_id (and transit_id) in ``spectrum.meta``, else ``"spectrum"``.
    resume : bool
        Go on with the chain in the file; False begins anew.
    progress : bool
        Show a progress bar.
    **settings
        Those of `rvsemu.fit` but ``scale_errors``: ``emulator``, ``fixed``, ``priors``, ``radial_velocity``,
        ``continuum_degree``, ``mask``, ``medium``, ``sigma``, ``noise_correlation``, ``model_error``, ``jitter``,
        ``extrapolate``. ``jitter="free"`` samples the logarithm of extra white noise, too, ten times slower.

    Returns
    -------
    Posterior

    Raises
    ------
    SpectrumError, LabelError
        As `rvsemu.fit`, or `walkers`, `steps` or `stop` make no sense.
    PosteriorFileError
        The file is none of posteriors, or has a chain of this name with other data or settings.

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
    >>> posterior = rvsemu.sample(star, steps=100, seed=1, progress=False)
    >>> posterior.chain.shape
    (100, 32, 7)
    """
    likelihood = prepare(spectrum, **settings)
    result = fit(spectrum, scale_errors=False, errors="sampled", **settings)
    name = name_of(spectrum) if name is None else str(name)
    return run(
        likelihood,
        result.draws,
        seed=seed,
        walkers=walkers,
        steps=steps,
        stop=stop,
        file=None if file is None else ChainFile(file, name),
        resume=resume,
        info={"name": name, **_info(result, likelihood.model.emulator.labels)},
        arrays=lambda values: _prediction(likelihood, values),
        progress=progress,
        label=name,
    )


def name_of(spectrum) -> str:
    """What `sample` calls a spectrum."""
    known = [str(spectrum.meta[key]) for key in ("source_id", "transit_id") if spectrum.meta.get(key) is not None]
    return "-".join(known) or "spectrum"


def _info(result, space) -> dict:
    """What to remember of the data, the settings and the emulator's domain: plain values, for JSON."""
    meta = {key: value if isinstance(value, int | float | str) else repr(value) for key, value in result.meta.items()}
    fixed = {n: float(q.value) for n, q in result.labels.items() if n not in result.free_names}
    flags = [flag for flag in result.flags if flag in (FEW_GOOD_PIXELS, POOR_FIT)]
    domain = {label.name: [label.lower, label.upper] for label in space.labels}
    return {**meta, "fixed": fixed, "domain": domain, "reduced_chi2": result.reduced_chi2, "flags": flags}


def _prediction(likelihood, values) -> dict:
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
