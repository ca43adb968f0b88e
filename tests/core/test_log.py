"""The log of one partition: append, read, roll, reopen, truncate."""

from pathlib import Path

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import (
    CorruptRecordError,
    InvalidRecordError,
    LogClosedError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceError,
)
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.core.worker import InlineWorker
from tests.support.manual_clock import ManualClock

CLOCK = ManualClock()


def open_log(
    path: Path, *, config: LogConfig | None = None, is_clean: bool = True, recovery_point: int = 0
) -> Log:
    return Log.open(
        path / "clicks-0",
        topic="clicks",
        partition=0,
        config=config or LogConfig(),
        clock=CLOCK,
        worker=InlineWorker(),
        is_clean=is_clean,
        recovery_point=recovery_point,
    )


def make_batch(
    count: int = 1,
    *,
    value: bytes = b"v" * 100,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    timestamp: int | None = None,
) -> bytes:
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=producer_epoch, base_sequence=base_sequence
    )
    for index in range(count):
        moment = CLOCK.now_ms() if timestamp is None else timestamp
        builder.append_record(timestamp=moment, key=b"k%d" % index, value=value)
    return bytes(builder.build())


def read_all(log: Log, *, max_bytes: int = 1 << 20) -> list[tuple[int, int]]:
    """(base offset, record count) of every batch, each checked, from the start of the log."""
    found = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        view = log.read_records(
            start_offset=offset, max_bytes=max_bytes, upper_bound_offset=log.log_end_offset
        )
        assert len(view) > 0
        for batch in iter_batches(view):
            assert batch.crc_is_valid()
            found.append((batch.base_offset, batch.record_count))
            offset = batch.next_offset
    return found


def test_append_gives_the_next_offsets_and_the_leader_epoch(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first = log.append_as_leader(make_batch(3), leader_epoch=4)
    second = log.append_as_leader(make_batch(2), leader_epoch=4)
    assert (first.base_offset, first.last_offset) == (0, 2)
    assert (second.base_offset, second.last_offset) == (3, 4)
    assert log.log_end_offset == 5
    view = log.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=5)
    assert [each.leader_epoch for each in iter_batches(view)] == [4, 4]
    log.close()


def test_reopened_log_continues_where_it_ended(tmp_path: Path) -> None:
    for is_clean in (True, False):
        path = tmp_path / str(is_clean)
        log = open_log(path)
        for _ in range(200):
            log.append_as_leader(make_batch(2), leader_epoch=1)
        log.close(clean=is_clean)
        log = open_log(path, is_clean=is_clean)
        assert log.log_end_offset == 400
        assert log.latest_epoch == 1
        assert log.cut_bytes == 0
        log.append_as_leader(make_batch(), leader_epoch=2)
        assert read_all(log) == [(2 * n, 2) for n in range(200)] + [(400, 1)]
        log.close()


def test_full_segment_is_rolled_and_read_across(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(segment_bytes=4096, index_interval_bytes=256))
    for _ in range(100):
        log.append_as_leader(make_batch(), leader_epoch=1)
    assert len(log.segments) > 3
    assert read_all(log) == [(n, 1) for n in range(100)]
    assert read_all(log, max_bytes=1) == [(n, 1) for n in range(100)]
    log.close()


def test_read_beyond_the_log_is_refused_and_at_its_end_is_empty(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(make_batch(), leader_epoch=1)
    assert len(log.read_records(start_offset=1, max_bytes=100, upper_bound_offset=1)) == 0
    assert len(log.read_records(start_offset=0, max_bytes=100, upper_bound_offset=0)) == 0
    for offset in (-1, 2):
        with pytest.raises(OffsetOutOfRangeError):
            log.read_records(start_offset=offset, max_bytes=100, upper_bound_offset=1)
    log.close()


def test_batch_sent_again_is_answered_with_its_first_offsets(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    batch = make_batch(3, producer_id=7, producer_epoch=0, base_sequence=0)
    log.append_as_leader(batch, leader_epoch=1)
    log.close()
    log = open_log(tmp_path)
    info = log.append_as_leader(batch, leader_epoch=1)
    assert info.is_duplicate
    assert (info.base_offset, info.last_offset, log.log_end_offset) == (0, 2, 3)
    with pytest.raises(OutOfOrderSequenceError):
        log.append_as_leader(
            make_batch(producer_id=7, producer_epoch=0, base_sequence=5), leader_epoch=1
        )
    log.close()


def test_damaged_batches_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    batch = make_batch()
    with pytest.raises(CorruptRecordError):
        log.append_as_leader(batch[:-1] + b"\x01", leader_epoch=1)
    with pytest.raises(InvalidRecordError):
        log.append_as_leader(batch + batch, leader_epoch=1)
    with pytest.raises(CorruptRecordError):
        log.append_as_leader(batch[:40], leader_epoch=1)
    assert (log.log_end_offset, log.size_bytes) == (0, 0)
    log.close()


def test_view_outlives_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(make_batch(value=b"still here"), leader_epoch=1)
    view = log.read_records(start_offset=0, max_bytes=100, upper_bound_offset=1)
    log.close()
    assert [r.value for batch in iter_batches(view) for r in batch.records()] == [b"still here"]
    with pytest.raises(LogClosedError):
        log.append_as_leader(make_batch(), leader_epoch=1)


def test_truncation_drops_whole_batches(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(segment_bytes=2048, index_interval_bytes=256))
    for _ in range(50):
        log.append_as_leader(make_batch(2), leader_epoch=1)
    log.truncate_to(30)
    assert log.log_end_offset == 30
    assert read_all(log) == [(2 * n, 2) for n in range(15)]
    info = log.append_as_leader(make_batch(), leader_epoch=2)
    assert info.base_offset == 30
    log.truncate_fully_and_start_at(500)
    assert (log.log_start_offset, log.log_end_offset) == (500, 500)
    log.append_as_leader(make_batch(), leader_epoch=3)
    log.close()
    log = open_log(tmp_path)
    assert read_all(log) == [(500, 1)]
    log.close()
