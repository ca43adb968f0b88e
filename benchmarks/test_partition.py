"""What does a partition add to its log: role, epoch, high watermark and waiters?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from benchmarks.in_process import InProcessBroker
from headrace.core.batch_encoder import encode_values
from headrace.core.clock import SystemClock
from headrace.core.record_batch import iter_batches
from headrace.raft.partition import Partition


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Partition]:
    with InProcessBroker(tmp_path, {"clicks": 1}) as broker:
        yield broker.partition("clicks")


def batch_of(record_count: int) -> bytes:
    return bytes(encode_values([bytes(100)] * record_count, timestamp=SystemClock().now_ms()))


@pytest.mark.parametrize("required_acks", [1, -1])
@pytest.mark.sizes(20, 5000)
def test_append_records(
    benchmark: Any, report: Report, partition: Partition, size: int, required_acks: int
) -> None:
    batch = batch_of(1)

    def append() -> None:
        for _ in range(size):
            partition.append_records(batch, required_acks=required_acks)

    benchmark(append)
    assert partition.high_watermark == partition.log_end_offset
    assert partition.log_end_offset % size == 0
    report(batch, records=size, size_bytes=size * len(batch))


@pytest.mark.parametrize("isolation_level", [0, 1])
@pytest.mark.sizes(100, 5000)
def test_fetch_records(
    benchmark: Any, report: Report, partition: Partition, size: int, isolation_level: int
) -> None:
    batch = batch_of(10)
    for _ in range(size):
        partition.append_records(batch, required_acks=1)

    def fetch() -> memoryview:
        return partition.fetch_records(
            fetch_offset=10 * (size // 2), max_bytes=1 << 16, isolation_level=isolation_level
        ).records

    records = benchmark(fetch)
    assert next(iter_batches(records)).base_offset == 10 * (size // 2)
    report(records, records=10 * (len(records) // len(batch)), size_bytes=len(records))
