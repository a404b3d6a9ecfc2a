"""Chains survive what ends a program, and two programs do not write the same one."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from sampling_fixtures import Gauss, quickly, sample_into

from rvsemu import Posterior, example_path
from rvsemu.errors import PosteriorFileError
from rvsemu.fitting.chain_file import ChainFile

PROCESSES = multiprocessing.get_context("forkserver")  # all that they import is imported once
PROCESSES.set_forkserver_preload(["emcee", "rvsemu.fitting.mcmc"])


@pytest.fixture
def path(tmp_path):
    """A file to sample into, in a folder of its own."""
    (tmp_path / "chains").mkdir()
    return tmp_path / "chains" / "p.h5"


def started(path, *arguments):
    """A process that samples into `path`."""
    process = PROCESSES.Process(target=sample_into, args=(str(path), *arguments), daemon=True)
    process.start()
    return process


def said(path, process):
    """What it has written to the terminal, and as errors."""
    return tuple((path.parents[1] / f"{process.pid}.{kind}").read_text() for kind in ("out", "err"))


@contextmanager
def begun(path, slow=0.002, steps=200):
    """A process that samples into `path` for a long time, when it has written that many steps."""
    running = started(path, (100_000,), slow)
    try:
        wait(lambda: steps_in(path) >= steps or not running.is_alive())
        yield running
    finally:
        running.kill()
        running.join(60)


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def steps_in(path) -> int:
    chain = ChainFile(path).read()
    return 0 if chain is None else len(chain)


@pytest.fixture
def busy(path):
    """A file that another process is sampling into."""
    with begun(path) as running:
        yield path, running


def test_sigkill_leaves_a_file_to_resume(busy):
    path, running = busy
    running.kill()
    running.join(60)
    steps = steps_in(path)
    assert steps >= 200
    assert steps % 100 == 0
    resumed = quickly(Gauss(), steps=steps + 50, file=ChainFile(path))
    np.testing.assert_array_equal(resumed.chain, quickly(Gauss(), steps=steps + 50).chain)
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".tmp")] == ["p.h5"]


def test_every_moment_of_death_leaves_a_whole_file(path):
    """Killed again and again, each time at another moment, also while the file is being written."""
    for delay in (0.0, 0.03, 0.1):
        with begun(path, 0.0, steps_in(path) + 100):
            time.sleep(delay)
    steps = steps_in(path)
    np.testing.assert_array_equal(Posterior.load(path).chain, quickly(Gauss(), steps=steps).chain)


def test_an_interrupt_keeps_every_step(tmp_path):
    whole = quickly(Gauss(), steps=420)
    file = ChainFile(tmp_path / "p.h5")
    with pytest.raises(KeyboardInterrupt):
        quickly(Gauss(stop_after=330), steps=420, file=file)
    kept = Posterior.load(file.path)
    assert 150 < len(kept.chain) < 330
    assert kept.flags == ("not-converged",)
    assert kept.spectrum == {}
    np.testing.assert_array_equal(quickly(Gauss(), steps=420, file=file).chain, whole.chain)


def test_an_interrupt_while_the_generator_is_set(tmp_path, monkeypatch):
    """emcee sets the state of its generator at the beginning of each block, and ignores what is raised there."""
    file = ChainFile(tmp_path / "p.h5")
    mtrand, left = np.random.mtrand, [3]

    class Generator(np.random.RandomState):
        def set_state(self, state):
            super().set_state(state)
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

    monkeypatch.setattr(mtrand, "RandomState", Generator)
    with pytest.raises(KeyboardInterrupt):
        quickly(Gauss(), steps=420, file=file)
    monkeypatch.undo()
    assert len(Posterior.load(file.path).chain) == 100
    np.testing.assert_array_equal(quickly(Gauss(), steps=420, file=file).chain, quickly(Gauss(), steps=420).chain)


def test_sigint_is_quiet_and_keeps_every_step(busy):
    path, running = busy
    before = steps_in(path)
    os.kill(running.pid, signal.SIGINT)
    running.join(60)
    assert running.exitcode not in (None, 0)
    spoken, complained = said(path, running)
    assert spoken == ""
    assert "emcee: Exception" not in complained
    assert complained.count("Traceback") == 1  # Python's own, of KeyboardInterrupt
    assert complained.strip().splitlines()[-1] == "KeyboardInterrupt"
    steps = steps_in(path)
    assert steps >= before
    resumed = quickly(Gauss(), steps=steps + 50, file=ChainFile(path))
    np.testing.assert_array_equal(resumed.chain, quickly(Gauss(), steps=steps + 50).chain)


def test_sigint_to_the_command(tmp_path):
    path = tmp_path / "chains" / "2052747119115620352.h5"
    options = ["--walkers", "12", "--fix", "vmic=1", "--fix", "resolution=11900", "--all-steps", "--steps", "100000"]
    command = [sys.executable, "-m", "rvsemu", "sample", str(example_path("kepler-93")), *options]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--quiet", "-o", str(path.parent)], **output) as running:
        wait(lambda: path.exists() or running.poll() is not None, 120)
        running.send_signal(signal.SIGINT)
        spoken, complained = running.communicate(timeout=120)
    assert running.returncode == 130
    assert spoken == ""
    where, why = complained.splitlines()
    assert "the same command goes on" in where
    assert why == "rvsemu sample: interrupted"
    assert len(Posterior.load(path).chain) >= 100


# ---------------------------------------------------------------------- two processes, one file
def test_another_process_is_waited_for_and_then_named(busy, caplog):
    path, running = busy
    begin = time.monotonic()
    with pytest.raises(PosteriorFileError) as error:
        quickly(Gauss(), steps=10, file=ChainFile(path, patience=1.5))
    assert 1.5 <= time.monotonic() - begin < 50
    words = f"{path} is being written by another process (number {running.pid}), for more than 1.5 s: wait until"
    assert str(error.value).startswith(words)
    assert "give another file" in str(error.value)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is being written by another process (number {running.pid}): waiting for up to 1.5 s"
    ]


def test_what_another_process_writes_can_be_read_at_once(busy):
    path, _ = busy
    begin = time.monotonic()
    assert len(Posterior.load(path).chain) >= 200
    assert time.monotonic() - begin < 50  # it would wait for 60 s


def test_who_waits_goes_on_when_the_other_has_ended(busy):
    path, running = busy
    ending = threading.Timer(1.5, running.kill)
    ending.start()
    done = quickly(Gauss(), steps=150, file=ChainFile(path, patience=30))
    ending.join()
    assert len(done.chain) >= 200
    assert Posterior.load(path) == done


def test_processes_take_turns(path):
    """Each adds 30 steps to what it finds; the chain is that of one process."""
    running = [started(path, range(30, 241, 30), 0.0) for _ in range(2)]
    for process in running:
        process.join(120)
    assert [process.exitcode for process in running] == [0, 0], [said(path, process) for process in running]
    np.testing.assert_array_equal(Posterior.load(path).chain, quickly(Gauss(), steps=240).chain)
    assert [p.name for p in path.parent.iterdir()] == ["p.h5"]


def test_without_locks_of_the_system(path):
    """Where there is no fcntl nothing is locked, and all else is the same."""
    code = "import sys; sys.modules['fcntl'] = None; sys.path.insert(0, sys.argv[2])\n"
    code += "from sampling_fixtures import sample_into; sample_into(sys.argv[1], [130], 0.0)"
    subprocess.run([sys.executable, "-c", code, str(path), os.path.dirname(__file__)], check=True)
    np.testing.assert_array_equal(Posterior.load(path).chain, quickly(Gauss(), steps=130).chain)
