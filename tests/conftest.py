"""Settings of the whole run, and fixtures that several files share."""

import signal

import pytest
from fit_fixtures import exact_emulator, fit, observe
from training_fixtures import inverting, keras, small_library, tiny

__all__ = ["inverting", "keras", "small_library", "tiny"]

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def emulator():
    """The shipped networks taken as exact: what is injected then comes from the very model that is fitted."""
    return exact_emulator()


@pytest.fixture(scope="session")
def sun(emulator):
    return observe(emulator, seed=1)


@pytest.fixture(scope="session")
def result(sun, emulator):
    return fit(sun, emulator=emulator, noise_correlation=())
