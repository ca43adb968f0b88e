"""Group commit: who shares a sync, and what a log that was closed meanwhile answers."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.core import log_flusher
from headrace.core.errors import KafkaStorageError, LogClosedError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_flusher import FlushPlan, LogFlusher
from headrace.core.worker import InlineWorker, ThreadWorker, Worker, _outcome_of
from tests.support import held_worker
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


def opened(folder: Path, worker: Worker) -> Log:
    """A log with one record, which is not synced."""
    log = Log.open(
        folder / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(),
        clock=ManualClock(),
        worker=worker,
        is_clean=True,
    )
    log.append_as_leader(make_batch(b"a"), leader_epoch=0)
    return log


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
    log = opened(tmp_path, worker)
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


class NoticedLock:
    """A lock that says when somebody waits for it."""

    def __init__(self) -> None:
        self.is_awaited = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.is_awaited.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_no_sync_says_that_all_is_well_beside_one_that_is_about_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Callable[[], object]] = []
    worker, lock, has_begun = ThreadWorker(told.append), NoticedLock(), threading.Event()
    log = opened(tmp_path, worker)
    log._sync_gate._lock = lock  # type: ignore[assignment]

    def fail_on_the_worker(_descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            has_begun.set()
            lock.is_awaited.wait(10)
            raise OSError(errno.EIO, "the disk does not write")  # told to this thread alone

    monkeypatch.setattr(log_flusher, "sync_descriptor", fail_on_the_worker)
    failures: list[BaseException] = []
    log.flush_async(lambda _: pytest.fail("it failed"), failures.append)
    assert has_begun.wait(10)
    try:
        with pytest.raises(KafkaStorageError):
            log.flush()
    finally:
        lock.is_awaited.set()
        worker.close()
    assert log.recovery_point == 0
    for tell in told:
        tell()
    assert [type(failure) for failure in failures] == [KafkaStorageError]
    log.close(clean=True)


def test_who_waits_for_the_worker_hears_of_a_sync_that_failed_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = held_worker.HeldWorker()
    log = opened(tmp_path, worker)
    failures: list[BaseException] = []
    log.flush_async(lambda _: pytest.fail("its bytes may be lost"), failures.append)

    def fail_once(_descriptor: int) -> None:
        monkeypatch.undo()
        raise OSError(errno.EIO, "the disk does not write")

    monkeypatch.setattr(log_flusher, "sync_descriptor", fail_once)
    with pytest.raises(KafkaStorageError):
        log.flush()
    worker.run_all()
    assert [type(failure) for failure in failures] == [KafkaStorageError]
    assert log.recovery_point == 0
    log.close(clean=True)


def test_names_that_a_waiting_plan_has_taken_note_of_are_synced_by_a_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = held_worker.HeldWorker()
    log = opened(tmp_path, worker)
    log.flush()
    log.roll()  # begins a sync, which waits for its turn
    synced: list[Path] = []
    monkeypatch.setattr(log_flusher, "sync_folder", synced.append)
    log.flush()
    assert synced == [log.path]
    worker.run_all()
    log.close(clean=True)
