"""Work in a thread of its own, so that a page stays alive: it tells how far it is, and can be cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Cancelled", "Job"]

_BETWEEN = 0.2  # seconds between two reports


class Cancelled(Exception):
    """Ends the work of a job that was cancelled."""


class Job:
    """One piece of work.

    Parameters
    ----------
    work : callable
        Is given a function of two numbers, what is done and the whole, to call now and then; it raises `Cancelled` once
        the job is cancelled. Returns the result.
    on_progress : callable
        Called with the two numbers, a few times a second, in the job's thread.
    on_end : callable
        Called in the job's thread with the result, or with the exception that ended the work, unless it was cancelled.

    Examples
    --------
    >>> from rvsemu.explorer.jobs import Job
    >>> results = []
    >>> job = Job(lambda tell: 6 * 7, on_progress=print, on_end=results.append)
    >>> job.start()
    >>> job.join()
    >>> results
    [42]
    """

    def __init__(
        self, work: Callable[..., Any], on_progress: Callable[[int, int], Any], on_end: Callable[[Any], Any]
    ) -> None:
        self._work, self._on_progress, self._on_end = work, on_progress, on_end
        self._cancelled, self._told = threading.Event(), 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def cancel(self) -> None:
        """End the work when it next tells how far it is; its result is not wanted any more."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def _tell(self, done: int, whole: int) -> None:
        if self.cancelled:
            raise Cancelled
        now = time.monotonic()
        if now - self._told > _BETWEEN:
            self._told = now
            self._on_progress(done, whole)

    def _run(self) -> None:
        try:
            outcome = self._work(self._tell)
        except Exception as error:
            outcome = error
        if not self.cancelled:
            self._on_end(outcome)
