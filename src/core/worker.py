"""Where work goes that must not hold up the loop thread: syncs, deletions, compaction.

A job runs on the worker; what it returned, or raised, comes back to the thread that owns the logs.
Jobs of one worker run one after the other, in the order they were submitted.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from .errors import LogClosedError

T = TypeVar("T")
Call = Callable[[], None]


class Worker(Protocol):
    """Runs jobs in order; an error without `on_error` is raised where results are delivered."""

    def submit(
        self,
        job: Callable[[], T],
        on_done: Callable[[T], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Run `job`; then `on_done(result)` or `on_error(error)` on the owner's thread."""
        ...

    def close(self) -> None:
        """Finish what was submitted, deliver nothing new after that; idempotent."""
        ...


class InlineWorker:
    """Runs each job at once, in the caller: for tests, tools and the embedded log."""

    def __init__(self) -> None:
        self._is_closed = False

    def submit(
        self,
        job: Callable[[], T],
        on_done: Callable[[T], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        if self._is_closed:
            raise LogClosedError("the worker was closed")
        _outcome_of(job, on_done, on_error)()

    def close(self) -> None:
        self._is_closed = True


class ThreadWorker:
    """One background thread.  `post` hands a call to the owner's thread, as
    `loop.call_soon_threadsafe` does; it may raise RuntimeError once that loop is closed.
    """

    def __init__(self, post: Callable[[Call], Any], *, name: str = "headrace-worker") -> None:
        self._post = post
        self._jobs: queue.SimpleQueue[Callable[[], Call] | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run_jobs, name=name, daemon=True)
        self._thread.start()

    def submit(
        self,
        job: Callable[[], T],
        on_done: Callable[[T], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        if self._is_closed:
            raise LogClosedError("the worker was closed")
        self._jobs.put(lambda: _outcome_of(job, on_done, on_error))

    def close(self) -> None:
        """Wait for the jobs submitted so far; their results are posted before this returns."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run_jobs(self) -> None:
        while (run_job := self._jobs.get()) is not None:
            self._post(run_job())


def _outcome_of(
    job: Callable[[], T],
    on_done: Callable[[T], None] | None,
    on_error: Callable[[BaseException], None] | None,
) -> Call:
    """Run `job`; the call that tells its owner how it ended."""
    try:
        result = job()
    except BaseException as error:
        failure = error
        if on_error is None:
            return lambda: _raise(failure)
        return lambda: on_error(failure)
    if on_done is None:
        return _do_nothing
    return lambda: on_done(result)


def _raise(error: BaseException) -> None:
    raise error


def _do_nothing() -> None:
    """The outcome of a job nobody waits for."""
