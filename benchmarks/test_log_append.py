"""What does it cost to append one batch to a log, from validation to the file?

A batch below 16 KiB is stored into the mapping, a larger one goes through pwrite: both sides are
measured, and the two sizes next to the limit.

Nothing is synced: this is the default of Kafka, the page cache.  The log rolls as it does in use.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from headrace.core.batch_builder import BatchBuilder
from headrace.core.clock import SystemClock
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker

# As core/mapped_file.pxd has it.
MMAP_STORE_LIMIT = 16384
NOW_MS = SystemClock().now_ms()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.open(
        tmp_path / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(retention_bytes=1 << 28),
        clock=SystemClock(),
        worker=InlineWorker(),
        is_clean=True,
    )
    yield log
    log.close(clean=False)


def batch_of(record_count: int, value_bytes: int = 100, **settings: Any) -> bytes:
    builder = BatchBuilder(**settings)
    for index in range(record_count):
        builder.append_record(timestamp=NOW_MS, key=b"k%d" % index, value=bytes(value_bytes))
    return bytes(builder.build())


@pytest.mark.sizes(100, 10_000)
@pytest.mark.parametrize(
    ("side", "records", "value_bytes"),
    [
        ("store", 1, 100),
        ("store", 10, 100),
        ("store", 15, 1000),
        ("pwrite", 17, 1000),
        ("pwrite", 100, 1000),
        ("pwrite", 900, 1000),
    ],
)
def test_append_batches(
    benchmark: Any, report: Report, log: Log, size: int, side: str, records: int, value_bytes: int
) -> None:
    batch = batch_of(records, value_bytes)
    assert (len(batch) < MMAP_STORE_LIMIT) == (side == "store")
    rounds = max(1, size * 200 // len(batch))

    def append() -> None:
        for _ in range(rounds):
            log.append_as_leader(batch, leader_epoch=1)

    benchmark(append)
    assert log.log_end_offset % (rounds * records) == 0
    report(batch, records=rounds * records, size_bytes=rounds * len(batch))


@pytest.mark.sizes(100, 10_000)
def test_append_of_an_idempotent_producer(
    benchmark: Any, report: Report, log: Log, size: int
) -> None:
    batches = [
        batch_of(1, producer_id=7, producer_epoch=0, base_sequence=sequence)
        for sequence in range(size)
    ]

    def append() -> None:
        log.truncate_fully_and_start_at(0)
        for batch in batches:
            log.append_as_leader(batch, leader_epoch=1)

    benchmark(append)
    assert log.log_end_offset == size
    report(batches[-1], records=size, size_bytes=size * len(batches[-1]))


@pytest.mark.sizes(10, 100)
def test_append_and_sync(benchmark: Any, report: Report, log: Log, size: int) -> None:
    """flush.messages=1 without anyone to share the sync with (fdatasync each time)."""
    batch = batch_of(1)

    def append() -> None:
        for _ in range(size):
            log.append_as_leader(batch, leader_epoch=1)
            log.flush()

    benchmark(append)
    assert log.recovery_point == log.log_end_offset
    report(batch, records=size, size_bytes=size * len(batch))
