"""The log of one partition: append, read, roll, reopen, truncate."""

from pathlib import Path

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import (
    CorruptRecordError,
    InvalidRecordError,
    LogClosedError,
    LogCorruptedError,
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


def test_follower_keeps_the_offsets_and_epochs_of_the_leader(tmp_path: Path) -> None:
    leader, follower = open_log(tmp_path / "leader"), open_log(tmp_path / "follower")
    for epoch in (1, 1, 3):
        leader.append_as_leader(make_batch(2), leader_epoch=epoch)
    view = leader.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=6)
    follower.append_as_follower(view)
    assert follower.log_end_offset == 6
    assert follower.end_offset_for_epoch(1) == (1, 4)
    copy = follower.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=6)
    assert bytes(copy) == bytes(view)
    with pytest.raises(CorruptRecordError, match="does not continue"):
        follower.append_as_follower(view)
    damaged = bytearray(view)
    damaged[-2] ^= 1
    fresh = open_log(tmp_path / "fresh")
    with pytest.raises(CorruptRecordError, match="no intact record batch"):
        fresh.append_as_follower(damaged)
    assert fresh.log_end_offset == 4
    for log in (leader, follower, fresh):
        log.close()


def flip_last_byte(log: Log) -> None:
    """What a disk may do: the last byte of the last batch is another one."""
    with open(log.active_segment.path_of(".log"), "r+b") as file:
        file.seek(log.size_bytes - 1)
        (last,) = file.read(1)
        file.seek(log.size_bytes - 1)
        file.write(bytes([last ^ 1]))


def is_given_for_comparing(log: Log, offset: int) -> bool:
    """Whether who compares CRCs himself is given what nobody else is."""
    limits = {"max_bytes": 1 << 20, "upper_bound_offset": log.log_end_offset}
    with pytest.raises(LogCorruptedError, match="CRC"):
        log.read_records(start_offset=offset, **limits)
    try:
        records = log.read_records(start_offset=offset, reader_compares=True, **limits)
    except LogCorruptedError:
        return False
    assert next(iter_batches(records)).base_offset == offset
    return True


@pytest.mark.parametrize("size", [100, 50_000])  # stored into the mapping, written by pwrite
def test_what_was_compared_just_now_is_not_compared_for_who_does(tmp_path: Path, size: int) -> None:
    leader, follower = open_log(tmp_path / "leader"), open_log(tmp_path / "follower")
    for _ in range(2):
        leader.append_as_leader(make_batch(value=b"v" * size), leader_epoch=1)
    everything = leader.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=2)
    follower.append_as_follower(bytes(everything))
    for log in (leader, follower):
        flip_last_byte(log)
        assert is_given_for_comparing(log, 1)
        log.close()


def test_what_an_earlier_life_wrote_is_compared_for_everybody(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(make_batch(), leader_epoch=1)
    log.close()
    log = open_log(tmp_path)
    flip_last_byte(log)
    assert not is_given_for_comparing(log, 0)
    log.append_as_leader(make_batch(), leader_epoch=1)
    assert not is_given_for_comparing(log, 0)
    flip_last_byte(log)
    assert is_given_for_comparing(log, 1)
    log.close()


def test_what_was_written_a_while_ago_is_compared_for_everybody(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(make_batch(), leader_epoch=1)
    flip_last_byte(log)
    for _ in range(17):
        assert is_given_for_comparing(log, 0)
        log.append_as_leader(make_batch(value=bytes(1_000_000)), leader_epoch=1)
    assert not is_given_for_comparing(log, 0)
    log.close()


def test_segments_below_the_log_start_are_deleted_under_their_readers(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(segment_bytes=2048, index_interval_bytes=256))
    for _ in range(60):
        log.append_as_leader(make_batch(), leader_epoch=1)
    view = log.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=60)
    kept = bytes(view)
    log.increment_log_start_offset(35)
    assert log.log_start_offset == 35
    assert log.segments[0].base_offset <= 35 < log.segments[1].base_offset
    assert bytes(view) == kept
    with pytest.raises(OffsetOutOfRangeError):
        log.read_records(start_offset=34, max_bytes=100, upper_bound_offset=60)
    with pytest.raises(OffsetOutOfRangeError):
        log.increment_log_start_offset(61)
    log.delete_oldest_segments(1)
    assert log.log_start_offset == log.segments[0].base_offset
    log.delete_oldest_segments(len(log.segments))
    assert (log.log_start_offset, log.log_end_offset, log.size_bytes) == (60, 60, 0)
    log.append_as_leader(make_batch(), leader_epoch=1)
    log.close()
    names = {path.name for path in (tmp_path / "clicks-0").iterdir()}
    assert not [name for name in names if name.endswith(".deleted")]
    assert [name for name in names if name.endswith(".log")] == [f"{60:020d}.log"]


def test_segment_is_rolled_by_age_of_its_records(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(segment_ms=1000))
    start = CLOCK.now_ms()
    for age_ms in (0, 500, 1000, 1001, 1500):
        log.append_as_leader(make_batch(timestamp=start + age_ms), leader_epoch=1)
    assert [segment.base_offset for segment in log.segments] == [0, 3]
    log.close()


def test_full_index_rolls_the_segment(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(index_interval_bytes=0, segment_index_bytes=80))
    for _ in range(40):
        log.append_as_leader(make_batch(), leader_epoch=1)
    # Ten entries, none of them for the first batch.
    assert [segment.base_offset for segment in log.segments] == [0, 11, 22, 33]
    assert read_all(log) == [(n, 1) for n in range(40)]
    log.close()


def test_answer_holds_whole_batches_below_the_bound(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(segment_bytes=20_000, index_interval_bytes=500))
    for _ in range(150):
        log.append_as_leader(make_batch(2), leader_epoch=1)
    batch_bytes = len(make_batch(2))
    for start in range(0, 299, 7):
        for max_bytes in (1, batch_bytes, 5 * batch_bytes + 1, 1 << 20):
            for bound in sorted({start, start + 1, min(start + 20, 300), 300}):
                view = log.read_records(
                    start_offset=start, max_bytes=max_bytes, upper_bound_offset=bound
                )
                batches = list(iter_batches(view))
                if batches:
                    assert batches[0].base_offset <= start <= batches[0].last_offset
                    assert batches[-1].last_offset < bound
                    assert len(view) <= max(max_bytes, batch_bytes)
                else:
                    assert bound <= start // 2 * 2 + 1
    nothing = log.read_records(
        start_offset=0, max_bytes=10, upper_bound_offset=300, min_one_batch=False
    )
    assert len(nothing) == 0
    log.close()


def test_deleted_log_is_renamed_and_stays_readable(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(make_batch(), leader_epoch=1)
    view = log.read_records(start_offset=0, max_bytes=100, upper_bound_offset=1)
    renamed = log.rename_for_deletion()
    assert renamed.name.startswith("clicks-0.")
    assert renamed.name.endswith("-delete")
    assert renamed.is_dir()
    assert not (tmp_path / "clicks-0").exists()
    assert [batch.base_offset for batch in iter_batches(view)] == [0]
    with pytest.raises(LogClosedError):
        log.append_as_leader(make_batch(), leader_epoch=1)


def test_topic_with_log_append_time_answers_and_stores_it(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(message_timestamp_type="LogAppendTime"))
    info = log.append_as_leader(make_batch(2, timestamp=5), leader_epoch=1)
    assert info.log_append_time_ms == CLOCK.now_ms()
    found = log.find_offset_by_timestamp(CLOCK.now_ms())
    assert found is not None
    assert (found.offset, found.timestamp) == (0, CLOCK.now_ms())
    log.close()


def test_thousand_logs_need_few_descriptors_and_little_disk(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    logs = [open_log(tmp_path / str(number)) for number in range(1000)]
    for log in logs:
        log.append_as_leader(make_batch(), leader_epoch=1)
    assert len(list(Path("/proc/self/fd").iterdir())) - before < 200
    used = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*") if path.is_file())
    assert used <= 1000 * 16_384
    for log in logs:
        log.close(clean=False)
