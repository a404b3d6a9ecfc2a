"""Settings of the whole run, and fixtures that several files share."""

import contextlib
import resource
import shutil
import signal
from pathlib import Path

import pytest
from browser_fixtures import browser
from catalog_fixtures import catalog_workers, kept_workers
from explorer_fixtures import explorer_address, explorer_folder, page
from fit_fixtures import exact_emulator, fit, observe
from rvs_fixtures import WRITERS
from training_fixtures import inverting, keras, small_library, tiny

__all__ = [
    "browser",
    "catalog_workers",
    "explorer_address",
    "explorer_folder",
    "inverting",
    "kept_workers",
    "keras",
    "page",
    "small_library",
    "tiny",
]

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


@pytest.fixture(scope="session")
def library_folder() -> Path:
    """With all spectra that the shipped networks were trained on."""
    folder = Path(__file__).parents[1] / "library"
    if not (folder / "parts").is_dir():
        pytest.skip("needs library/parts, which the source distribution has no room for: clone the repository")
    return folder


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
