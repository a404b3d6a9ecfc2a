"""Workers for what is done many times: processes of this machine, or those of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from .errors import RvsemuError

__all__ = ["check_one_way", "cores", "dask_executor", "processes"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What libraries of linear algebra ask, when they are loaded, for their number of threads."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_one_way(jobs: int | None, dask: str | None, error: type[RvsemuError]) -> None:
    """Refuse a number of processes of this machine together with a cluster, which has a number of its own."""
    if jobs is not None and dask is not None:
        raise error(f"jobs={jobs} is for this machine, and dask={dask} a cluster with its own workers: leave one out.")


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Executor of new processes, each with one thread for linear algebra; none outlives the block or this process."""
    before, others = {name: os.environ.get(name) for name in _THREADS}, set(multiprocessing.active_children())
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    executor = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _end_with_the_parent)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        raise
    finally:
        executor.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_with_the_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end when that one has ended, however it has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def dask_executor(scheduler: str, error: type[RvsemuError]) -> Iterator[tuple[Executor, int]]:
    """Executor of the Dask scheduler at an address, and the number of threads of its workers.

    Raises
    ------
    error
        Dask is not installed, or no scheduler answers.
    """
    try:
        from dask.distributed import Client
    except ImportError:
        raise error('--dask needs Dask: pip install "rvsemu[dask]".') from None
    try:
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as e:
        raise error(f"dask={scheduler}: no scheduler answers there ({e}); start one with 'dask scheduler'.") from e
    with client:
        client.wait_for_workers(1, timeout=60)
        width = sum(w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values())
        yield client.get_executor(pure=False, retries=2), width
