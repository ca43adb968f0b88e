"""What does it cost to find an offset or a time in a log, and to lend the bytes behind it?"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.core.batch_builder import BatchBuilder
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.core.worker import InlineWorker
from tests.support.manual_clock import ManualClock

START_MS = 1_700_000_000_000


def batch_of(timestamp: int) -> bytes:
    builder = BatchBuilder()
    for index in range(10):
        builder.append_record(timestamp=timestamp + index, key=b"k%d" % index, value=bytes(100))
    return bytes(builder.build())


@pytest.fixture
def log(tmp_path: Path, size: int) -> Iterator[Log]:
    """`size` batches of ten records in segments of 4 MiB."""
    log = Log.open(
        tmp_path / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(segment_bytes=4 << 20),
        clock=ManualClock(now_ms=START_MS + (1 << 30)),
        worker=InlineWorker(),
        is_clean=True,
    )
    for number in range(size):
        log.append_as_leader(batch_of(START_MS + 10 * number), leader_epoch=1)
    yield log
    log.close(clean=False)


@pytest.mark.sizes(100, 20_000)
def test_read_at_random_offsets(benchmark: Any, report: Report, log: Log, size: int) -> None:
    chance = random.Random(1)
    offsets = [chance.randrange(10 * size) for _ in range(100)]
    end = log.log_end_offset

    def read() -> memoryview:
        for offset in offsets:
            view = log.read_records(start_offset=offset, max_bytes=4096, upper_bound_offset=end)
        return view

    view = benchmark(read)
    report(view, records=len(offsets), size_bytes=len(offsets) * len(view))


@pytest.mark.sizes(100, 20_000)
def test_read_from_start_to_end(benchmark: Any, report: Report, log: Log, size: int) -> None:
    end = log.log_end_offset

    # Where each answer of at most 1 MiB ends, found once: a consumer knows it from what it got.
    starts = [0]
    while starts[-1] < end:
        view = log.read_records(start_offset=starts[-1], max_bytes=1 << 20, upper_bound_offset=end)
        starts.append(starts[-1] + sum(batch.record_count for batch in iter_batches(view)))

    def read() -> int:
        return sum(
            len(log.read_records(start_offset=start, max_bytes=1 << 20, upper_bound_offset=end))
            for start in starts
        )

    assert benchmark(read) == log.size_bytes
    whole = b"".join(
        log.read_records(start_offset=start, max_bytes=1 << 20, upper_bound_offset=end)
        for start in starts
    )
    report(whole, records=10 * size, size_bytes=log.size_bytes)


@pytest.mark.sizes(100, 20_000)
def test_read_the_newest_batch(benchmark: Any, report: Report, log: Log, size: int) -> None:
    end = log.log_end_offset

    def read() -> memoryview:
        return log.read_records(start_offset=end - 10, max_bytes=1 << 20, upper_bound_offset=end)

    report(benchmark(read), records=10)


@pytest.mark.sizes(100, 20_000)
def test_find_an_offset_by_its_time(benchmark: Any, report: Report, log: Log, size: int) -> None:
    target = START_MS + 10 * (size // 2) + 5
    found = benchmark(log.find_offset_by_timestamp, target)
    assert (found.offset, found.timestamp) == (10 * (size // 2) + 5, target)
    report(b"%d at %d" % (found.offset, found.timestamp))
