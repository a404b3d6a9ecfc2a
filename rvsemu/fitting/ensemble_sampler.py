"""emcee's sampler, which Ctrl-C ends at every moment."""

from __future__ import annotations

from collections.abc import Callable

import emcee
import numpy as np

from .proposals import Mixture, moves

__all__ = ["EnsembleSampler"]


class EnsembleSampler(emcee.EnsembleSampler):
    """The sampler of emcee, without what it does to an interrupt.

    emcee ignores every exception that is raised while it sets the state of its generator, KeyboardInterrupt among them,
    and prints a traceback of those that the log probability raises.

    Parameters
    ----------
    log_probability : callable
        Takes coordinates (n, m), returns (n,) values.
    proposal : Mixture
        Of the independent proposals; see `rvsemu.fitting.proposals.moves`.
    walkers, labels : int
    """

    def __init__(
        self, log_probability: Callable[[np.ndarray], np.ndarray], proposal: Mixture, walkers: int, labels: int
    ) -> None:
        super().__init__(walkers, labels, log_probability, moves=moves(proposal), vectorize=True)
        self.log_prob_fn = log_probability  # without emcee's wrapper, which prints

    @property
    def random_state(self) -> tuple:
        """State of the generator: that of a `numpy.random.RandomState`."""
        return self._random.get_state()

    @random_state.setter
    def random_state(self, state: tuple) -> None:
        self._random.set_state(state)
