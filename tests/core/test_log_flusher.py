"""Group commit: who shares a sync, and what a log that was closed meanwhile answers."""

from collections.abc import Callable
from typing import Any

from headrace.core.errors import LogClosedError
from headrace.core.log_flusher import FlushPlan, LogFlusher


class HeldWorker:
    """Keeps jobs until the test runs them."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Any, Any]] = []

    def submit(self, job: Callable[[], Any], on_done: Any = None, on_error: Any = None) -> None:
        self.jobs.append((job, on_done, on_error))

    def run_next(self) -> None:
        job, on_done, _ = self.jobs.pop(0)
        on_done(job())

    def close(self) -> None:
        self.jobs.clear()


def test_those_who_come_while_a_sync_runs_share_the_next_one() -> None:
    worker, ends = HeldWorker(), [10, 20]
    seen: list[tuple[str, int]] = []

    def remember(who: str) -> Callable[[int], None]:
        return lambda end: seen.append((who, end))

    flusher = LogFlusher(
        worker,
        make_plan=lambda: FlushPlan(ends.pop(0), [], None),
        on_flushed=lambda end: None,
        on_failure=lambda error: None,
    )
    for name in ("first", "second", "third"):
        flusher.request_flush(remember(name), lambda error: None)
    assert len(worker.jobs) == 1
    worker.run_next()
    worker.run_next()
    assert seen == [("first", 10), ("second", 20), ("third", 20)]
    assert worker.jobs == []


def test_log_closed_while_a_sync_runs_fails_those_behind_it() -> None:
    worker = HeldWorker()
    closed: list[bool] = []
    seen: list[object] = []

    def make_plan() -> FlushPlan:
        if closed:
            raise LogClosedError("the log was closed")
        return FlushPlan(10, [], None)

    flusher = LogFlusher(
        worker, make_plan=make_plan, on_flushed=lambda end: None, on_failure=lambda error: None
    )
    flusher.request_flush(seen.append, seen.append)
    flusher.request_flush(seen.append, seen.append)
    closed.append(True)
    worker.run_next()
    assert [type(each) for each in seen] == [LogClosedError, int]
