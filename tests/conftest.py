"""Settings of the whole run."""

import contextlib
import resource
import shutil
import signal
from pathlib import Path

import pytest
from rvs_fixtures import WRITERS

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def limit_of_file_size():
    """A context in which no file grows beyond so many bytes: the disk is full."""

    @contextlib.contextmanager
    def limited(n_bytes):
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of the end of the process
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)

    return limited


@pytest.fixture(scope="session", params=WRITERS)
def written(request, tmp_path_factory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp("rvs"))


@pytest.fixture
def any_file(written, tmp_path) -> Path:
    """A copy of a file of each kind: writing them takes longer than reading."""
    return Path(shutil.copy(written, tmp_path))
