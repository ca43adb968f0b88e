"""What does one request cost the broker from the bytes that arrived to the bytes that leave?

No socket: the rest of a request's cost is the kernel's.  acks=1, nothing is synced.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Report
from benchmarks.frames import (
    FETCH,
    FETCH_VERSION,
    PRODUCE,
    batch_of,
    fetch_frame,
    produce_frame,
)
from benchmarks.in_process import InProcessBroker, InProcessConnection
from headrace.api.wire import codec, headers


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path, {"clicks": 1}) as started:
        yield started


def answered(pieces: list[bytes | memoryview], api_key: int, version: int) -> dict[str, Any]:
    frame = b"".join(pieces)
    _, position = headers.decode_response_header(api_key, version, frame[4:])
    return codec.decode_response(api_key, version, frame[4:], position)


def produced(connection: InProcessConnection, frame: bytes, version: int) -> dict[str, Any]:
    topics = answered(connection.exchange(frame), PRODUCE, version)["responses"]
    partition: dict[str, Any] = topics[0]["partition_responses"][0]
    assert partition["error_code"] == 0
    return partition


@pytest.mark.parametrize("version", [7, 9, 11])
@pytest.mark.sizes(20, 2000)
def test_produce_one_record(
    benchmark: Any, report: Report, broker: InProcessBroker, size: int, version: int
) -> None:
    connection, frame = broker.connect(), produce_frame(version, batch_of(1))

    def send() -> None:
        for _ in range(size):
            connection.exchange(frame)

    benchmark(send)
    end = broker.partition("clicks").log_end_offset
    assert produced(connection, frame, version)["base_offset"] == end
    assert end % size == 0
    report(frame, records=size, size_bytes=size * len(frame))


@pytest.mark.sizes(5, 100)
def test_produce_one_record_in_each_of_64_pipelined_requests(
    benchmark: Any, report: Report, broker: InProcessBroker, size: int
) -> None:
    connection, frame = broker.connect(), produce_frame(7, batch_of(1))
    frames = frame * 64

    def send() -> None:
        for _ in range(size):
            connection.exchange(frames)

    benchmark(send)
    assert broker.partition("clicks").log_end_offset % (64 * size) == 0
    report(frame, records=64 * size, size_bytes=size * len(frames))


@pytest.mark.parametrize("records", [100, 1000])
@pytest.mark.sizes(5, 200)
def test_produce_a_batch(
    benchmark: Any, report: Report, broker: InProcessBroker, size: int, records: int
) -> None:
    connection, frame = broker.connect(), produce_frame(9, batch_of(records))

    def send() -> None:
        for _ in range(size):
            connection.exchange(frame)

    benchmark(send)
    assert produced(connection, frame, 9)["base_offset"] % (size * records) == 0
    report(frame, records=size * records, size_bytes=size * len(frame))


@pytest.mark.parametrize("max_bytes", [1000, 1 << 20])
@pytest.mark.sizes(100, 5000)
def test_fetch(
    benchmark: Any, report: Report, broker: InProcessBroker, size: int, max_bytes: int
) -> None:
    partition, batch = broker.partition("clicks"), batch_of(10)
    for _ in range(size):
        partition.append_records(batch, required_acks=1)
    connection, frame = broker.connect(), fetch_frame(10 * (size // 2), max_bytes)
    pieces = benchmark(connection.exchange, frame)
    body = answered(pieces, FETCH, FETCH_VERSION)
    records = body["responses"][0]["partitions"][0]["records"]
    assert bytes(records[61:])[: len(batch) - 61] == batch[61:]
    report(frame, records=10 * (len(records) // len(batch)), size_bytes=len(records))


def test_fetch_at_the_end_of_the_log_without_waiting(
    benchmark: Any, report: Report, broker: InProcessBroker
) -> None:
    connection, frame = broker.connect(), fetch_frame(0, 1 << 20)
    pieces = benchmark(connection.exchange, frame)
    body = answered(pieces, FETCH, FETCH_VERSION)
    assert not body["responses"][0]["partitions"][0]["records"]
    report(frame)
