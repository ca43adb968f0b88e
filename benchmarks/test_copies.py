"""How often is a batch copied, and does a request leave memory behind?  Counts, not times.

Python's heap is traced: a copy of a batch would show as its whole size.  What is written into the
mapping of the log is outside, and is the one copy there must be.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.frames import batch_of, fetch_frame, produce_frame
from benchmarks.in_process import InProcessBroker, InProcessConnection
from headrace.api.server.receive_buffers import ReceiveBuffers

WARM_UP = 20
BATCH_RECORDS = 900
VALUE_BYTES = 250
# What the objects of one request and its answer may take at once, whatever the batch's size.
REQUEST_OBJECT_BYTES = 24 * 1024


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path, {"clicks": 1}) as started:
        yield started


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that Python's heap grew by while `call` ran."""
    for _ in range(WARM_UP):
        call()
    gc.collect()
    tracemalloc.start()
    try:
        call()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_the_probe_sees_a_copy() -> None:
    data = bytes(1 << 20)
    assert peak_bytes(lambda: bytearray(data)) >= len(data)


@pytest.mark.parametrize("version", [7, 9, 11])
def test_a_produced_batch_is_not_copied_before_the_log(
    broker: InProcessBroker, version: int
) -> None:
    """The frame fits the shared receive buffer: parsed, checked and appended where it lies."""
    connection = broker.connect()
    frame = produce_frame(version, batch_of(BATCH_RECORDS, VALUE_BYTES))
    assert 200_000 < len(frame) < 256 * 1024
    assert peak_bytes(lambda: connection.exchange(frame)) < REQUEST_OBJECT_BYTES


def test_a_frame_larger_than_the_receive_buffer_is_gathered_once(broker: InProcessBroker) -> None:
    connection = broker.connect()
    frame = produce_frame(9, batch_of(4 * BATCH_RECORDS, VALUE_BYTES))
    assert len(frame) > 2 * 256 * 1024
    assert peak_bytes(lambda: connection.exchange(frame)) < REQUEST_OBJECT_BYTES


def test_of_large_frames_that_follow_each_other_only_the_heads_are_moved(
    broker: InProcessBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one fills the shared receive buffer before anybody knows how long it is."""
    connection = broker.connect()
    large = produce_frame(9, batch_of(4 * BATCH_RECORDS, VALUE_BYTES))
    small = produce_frame(9, batch_of(1))
    moved: list[int] = []
    take = ReceiveBuffers.take

    def noted(self: ReceiveBuffers, *, wanted_bytes: int, held_bytes: int) -> memoryview:
        moved.append(held_bytes)
        return take(self, wanted_bytes=wanted_bytes, held_bytes=held_bytes)

    connection.exchange(large)
    monkeypatch.setattr(ReceiveBuffers, "take", noted)
    for _ in range(3):
        connection.exchange(large)
    assert moved == [4096] * 3
    for _ in range(2):
        connection.exchange(small)
    connection.exchange(large)
    assert moved[3:] == [256 * 1024]
    records = 5 * 4 * BATCH_RECORDS + 2
    assert broker.partition("clicks").log_end_offset == records


def test_fetched_records_are_not_copied(broker: InProcessBroker) -> None:
    partition, batch = broker.partition("clicks"), batch_of(BATCH_RECORDS, VALUE_BYTES)
    for _ in range(4):
        partition.append_records(batch, required_acks=1)
    connection, frame = broker.connect(), fetch_frame(0, 4 * len(batch))
    answer_bytes = sum(len(piece) for piece in connection.exchange(frame))
    assert answer_bytes > 4 * len(batch)
    assert peak_bytes(lambda: connection.exchange(frame)) < REQUEST_OBJECT_BYTES


def blocks_left_by(connection: InProcessConnection, frame: bytes, requests: int) -> int:
    """How many of Python's memory blocks are in use more after so many requests."""
    for _ in range(WARM_UP):
        connection.exchange(frame)
    connection.transport.pieces = []
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(requests):
        connection.exchange(frame)
    connection.transport.pieces = []
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.mark.parametrize("version", [7, 9, 11])
def test_a_produce_request_leaves_no_object_behind(broker: InProcessBroker, version: int) -> None:
    frame = produce_frame(version, batch_of(1))
    assert blocks_left_by(broker.connect(), frame, 500) < 100


def test_a_fetch_request_leaves_no_object_behind(broker: InProcessBroker) -> None:
    broker.partition("clicks").append_records(batch_of(10), required_acks=1)
    assert blocks_left_by(broker.connect(), fetch_frame(0, 1 << 20), 500) < 100


def test_answers_to_pipelined_requests_leave_in_few_writes(broker: InProcessBroker) -> None:
    connection = broker.connect()
    frames = produce_frame(7, batch_of(1)) * 64
    connection.exchange(frames)
    connection.transport.write_calls = 0
    pieces = connection.exchange(frames)
    assert sum(len(piece) for piece in pieces) % 64 == 0
    assert connection.transport.write_calls <= 2
