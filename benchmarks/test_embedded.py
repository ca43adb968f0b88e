"""What do append and read cost inside a Python process, without a server?

Durability is the page cache, as Kafka's default.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headrace
from benchmarks.conftest import Report

VALUE_BYTES = 100


@pytest.fixture
def clicks(tmp_path: Path) -> Iterator[headrace.TopicPartition]:
    with headrace.open(tmp_path / "data") as store:
        yield store.topic("clicks", config={"retention.bytes": 1 << 28}).partition(0)


@pytest.mark.sizes(20, 5000)
def test_append_one_record_a_call(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    value = bytes(VALUE_BYTES)

    def append() -> None:
        for _ in range(size):
            clicks.append(value)

    benchmark(append)
    assert clicks.log_end_offset % size == 0
    report(value, records=size, size_bytes=size * VALUE_BYTES)


@pytest.mark.sizes(1000, 100_000)
def test_append_a_list(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    values = [b"%0100d" % number for number in range(size)]
    benchmark(clicks.append_many, values)
    assert clicks.log_end_offset % size == 0
    report(values[-1], records=size, size_bytes=size * VALUE_BYTES)


@pytest.mark.sizes(1000, 100_000)
def test_append_an_array(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    rows = np.arange(size * VALUE_BYTES, dtype=np.uint8).reshape(size, VALUE_BYTES)
    benchmark(clicks.append_array, rows)
    assert clicks.log_end_offset % size == 0
    report(rows[-1].tobytes(), records=size, size_bytes=size * VALUE_BYTES)


@pytest.mark.sizes(1000, 100_000)
def test_read_as_objects(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    values = [b"%0100d" % number for number in range(size)]
    clicks.append_many(values)
    found = benchmark(lambda: clicks.read(0, max_records=size, max_bytes=1 << 30).to_pylist())
    assert found == values
    report(b"".join(found), records=size, size_bytes=size * VALUE_BYTES)


@pytest.mark.sizes(1000, 100_000)
def test_read_as_an_array(
    benchmark: Any, report: Report, clicks: headrace.TopicPartition, size: int
) -> None:
    rows = np.arange(size * VALUE_BYTES, dtype=np.uint8).reshape(size, VALUE_BYTES)
    clicks.append_array(rows)
    row_type = np.dtype((np.void, VALUE_BYTES))
    found = benchmark(
        lambda: clicks.read(0, max_records=size, max_bytes=1 << 30).to_numpy(row_type)
    )
    assert found.tobytes() == rows.tobytes()
    report(found.tobytes(), records=size, size_bytes=size * VALUE_BYTES)
