"""Workers: jobs in order, results on the owner's thread, errors never lost."""

import queue
import threading
from collections.abc import Callable

import pytest

from headrace.core.errors import LogClosedError
from headrace.core.worker import InlineWorker, ThreadWorker


def failing_job() -> int:
    raise OSError(5, "the disk is gone")


def test_inline_worker_delivers_the_result_before_submit_returns() -> None:
    seen: list[int] = []
    InlineWorker().submit(lambda: 42, seen.append)
    assert seen == [42]


def test_inline_worker_raises_an_error_that_nobody_takes() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        InlineWorker().submit(failing_job)


def test_inline_worker_hands_an_error_to_on_error_alone() -> None:
    results: list[int] = []
    errors: list[BaseException] = []
    InlineWorker().submit(failing_job, results.append, errors.append)
    assert results == []
    assert [type(error) for error in errors] == [OSError]


def test_closed_inline_worker_refuses_jobs() -> None:
    worker = InlineWorker()
    worker.close()
    with pytest.raises(LogClosedError):
        worker.submit(lambda: None)


def test_thread_worker_runs_jobs_off_the_caller_and_posts_results_in_order() -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    worker = ThreadWorker(posted.put)
    threads: list[int] = []
    results: list[int] = []

    def job(number: int) -> int:
        threads.append(threading.get_ident())
        return number

    for number in range(50):
        worker.submit(lambda number=number: job(number), results.append)  # type: ignore[misc]
    worker.close()
    assert results == []
    while not posted.empty():
        posted.get()()
    assert results == list(range(50))
    assert set(threads) != {threading.get_ident()}
    assert len(set(threads)) == 1


def test_thread_worker_raises_an_unclaimed_error_where_results_are_delivered() -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    worker = ThreadWorker(posted.put)
    worker.submit(failing_job)
    worker.close()
    with pytest.raises(OSError, match="the disk is gone"):
        posted.get()()


def test_thread_worker_survives_a_failed_job() -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    worker = ThreadWorker(posted.put)
    outcomes: list[object] = []
    worker.submit(failing_job, None, outcomes.append)
    worker.submit(lambda: "next", outcomes.append)
    worker.close()
    while not posted.empty():
        posted.get()()
    assert isinstance(outcomes[0], OSError)
    assert outcomes[1] == "next"


def test_thread_worker_refuses_jobs_once_closed_and_closes_twice() -> None:
    worker = ThreadWorker(lambda call: call())
    worker.close()
    worker.close()
    with pytest.raises(LogClosedError):
        worker.submit(lambda: None)
