"""Settings of the whole run, and fixtures that several files share."""

import signal

from training_fixtures import inverting, keras, small_library, tiny

__all__ = ["inverting", "keras", "small_library", "tiny"]

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
