"""Group commit: who shares a sync, and what a log that was closed meanwhile answers."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.core import log_flusher
from headrace.core.errors import KafkaStorageError, LogClosedError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_flusher import FlushPlan, LogFlusher
from headrace.core.worker import InlineWorker, _outcome_of
from tests.support.manual_clock import ManualClock
from tests.support.stored_records import make_batch


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


class LateWorker(InlineWorker):
    """Does each job at once; what came of it waits until the test tells."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Callable[[], object]] = []

    def submit(self, job: Any, on_done: Any = None, on_error: Any = None) -> None:
        self.outcomes.append(_outcome_of(job, on_done, on_error))


def test_no_sync_hides_one_that_failed_on_the_worker_a_moment_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LateWorker()
    log = Log.open(
        tmp_path / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(),
        clock=ManualClock(),
        worker=worker,
        is_clean=True,
    )
    log.append_as_leader(make_batch(b"a"), leader_epoch=0)
    failures: list[BaseException] = []

    def fail_once(_descriptor: int) -> None:
        monkeypatch.undo()  # the kernel tells of it once
        raise OSError(errno.EIO, "the disk does not write")

    monkeypatch.setattr(log_flusher, "sync_descriptor", fail_once)
    log.flush_async(lambda _: pytest.fail("it failed"), failures.append)
    with pytest.raises(KafkaStorageError):
        log.flush()
    assert log.is_offline
    assert log.recovery_point == 0
    for tell in worker.outcomes:
        tell()
    assert [type(failure) for failure in failures] == [KafkaStorageError]
    log.close(clean=True)
