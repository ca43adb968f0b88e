"""Idempotent producers: duplicates, sequences, epochs, snapshots, transactions."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.core import log_recovery
from headrace.core.append_info import AppendInfo
from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import (
    CorruptRecordError,
    InvalidProducerEpochError,
    OutOfOrderSequenceError,
)
from headrace.core.log import Log
from headrace.core.log_segment import LogSegment
from headrace.core.producer_entry import ProducerEntry
from headrace.core.producer_state import decode_snapshot, encode_snapshot
from tests.support.log_stage import NOW_MS, SMALL_SEGMENTS, LogStage, make_batch

OnBatch = Callable[[AppendInfo, LogSegment, int], None]
MAX_SEQUENCE = 2**31 - 1


def batch_of(
    sequence: int, count: int = 1, *, epoch: int = 0, producer_id: int = 9, in_txn: bool = False
) -> bytes:
    return make_batch(
        [b"v"] * count,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        is_transactional=in_txn,
    )


def marker(*, is_commit: bool, epoch: int = 0, producer_id: int = 9) -> bytes:
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=epoch, is_transactional=True, is_control=True
    )
    builder.append_record(
        timestamp=NOW_MS, key=struct.pack(">hh", 0, is_commit), value=struct.pack(">hi", 0, 3)
    )
    return bytes(builder.build())


def append(log: Log, batch: bytes, origin: str = "client") -> AppendInfo:
    return log.append_as_leader(batch, leader_epoch=1, origin=origin)


@pytest.fixture
def stage(tmp_path: Path) -> LogStage:
    return LogStage(tmp_path, config=SMALL_SEGMENTS)


@pytest.fixture
def log(stage: LogStage) -> Log:
    return stage.open(is_clean=True)


def test_each_of_the_last_five_batches_is_known_again(log: Log) -> None:
    for number in range(7):
        append(log, batch_of(2 * number, 2))
    for number in range(2, 7):
        info = append(log, batch_of(2 * number, 2))
        assert (info.is_duplicate, info.base_offset) == (True, 2 * number)
    for number in range(2):
        with pytest.raises(OutOfOrderSequenceError):
            append(log, batch_of(2 * number, 2))
    # Not the same batch, although it begins like one.
    with pytest.raises(OutOfOrderSequenceError):
        append(log, batch_of(12, 1))
    assert log.log_end_offset == 14


def test_sequence_wraps_to_zero(log: Log) -> None:
    append(log, batch_of(MAX_SEQUENCE - 1, 1))
    append(log, batch_of(MAX_SEQUENCE, 1))
    append(log, batch_of(0, 1))
    append(log, batch_of(1, 1))
    log_end_offset = log.log_end_offset
    assert append(log, batch_of(MAX_SEQUENCE, 1)).is_duplicate
    assert log.log_end_offset == log_end_offset == 4


def test_sequence_wraps_within_a_batch(log: Log) -> None:
    append(log, batch_of(MAX_SEQUENCE - 1, 4))
    assert log.active_producers()[0].last_sequence == 1
    append(log, batch_of(2))
    assert append(log, batch_of(MAX_SEQUENCE - 1, 4)).is_duplicate


def test_new_epoch_begins_at_zero_and_old_ones_are_refused(log: Log) -> None:
    append(log, batch_of(0, epoch=3))
    with pytest.raises(OutOfOrderSequenceError):
        append(log, batch_of(1, epoch=4))
    append(log, batch_of(0, epoch=4))
    with pytest.raises(InvalidProducerEpochError):
        append(log, batch_of(1, epoch=3))
    assert log.log_end_offset == 2


def test_forgotten_producer_may_begin_anywhere(log: Log, stage: LogStage) -> None:
    append(log, batch_of(0))
    stage.clock.advance(86_400_000)
    assert log.remove_expired_producers(stage.clock.now_ms()) == 1
    append(log, batch_of(55))
    assert log.active_producers()[0].last_sequence == 55


@pytest.mark.parametrize("is_clean", [True, False])
def test_duplicates_are_known_after_a_restart(log: Log, stage: LogStage, is_clean: bool) -> None:
    for number in range(200):
        append(log, batch_of(number // 2, producer_id=number % 2))
    assert len(log.segments) > 2
    log.close(clean=is_clean)
    log = stage.open(is_clean=is_clean, recovery_point=110)
    for producer_id in (0, 1):
        assert append(log, batch_of(99, producer_id=producer_id)).is_duplicate
        append(log, batch_of(100, producer_id=producer_id))
    log.close()


def test_damaged_snapshot_is_replaced_by_a_replay(log: Log, stage: LogStage) -> None:
    for number in range(60):
        append(log, batch_of(number))
    log.close()
    for path in stage.folder.glob("*.snapshot"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    log = stage.open(is_clean=True)
    assert append(log, batch_of(59)).is_duplicate
    log.close()


def test_truncation_takes_the_producers_back(log: Log) -> None:
    for number in range(60):
        append(log, batch_of(number))
    log.truncate_to(20)
    with pytest.raises(OutOfOrderSequenceError):
        append(log, batch_of(60))
    append(log, batch_of(20))
    log.close()


@pytest.mark.parametrize("producer_id", [9, -1])
def test_a_cut_near_the_end_of_a_long_segment_replays_little_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, producer_id: int
) -> None:
    monkeypatch.setattr("headrace.core.producer_state.BATCHES_A_COPY", 50)
    log = LogStage(tmp_path).open(is_clean=True)
    for number in range(1_000):
        append(log, batch_of(number if producer_id >= 0 else -1, producer_id=producer_id))
    looked_at: list[int] = []
    replay = log_recovery.replay_segment

    def count_replayed(segment: LogSegment, start_offset: int, on_batch: OnBatch) -> None:
        looked_at.append(segment.next_offset - start_offset)
        replay(segment, start_offset, on_batch)

    monkeypatch.setattr(log_recovery, "replay_segment", count_replayed)
    for end in (990, 955):
        log.truncate_to(end)
        assert log.log_end_offset == end
    assert sum(looked_at) == (40 + 5 if producer_id >= 0 else 0)
    log.close()


def append_and_cut(log: Log, seed: int) -> Iterator[object]:
    """Batches of four producers, transactions of two of them, and cuts; after each cut, what is
    remembered."""
    draw = random.Random(seed)
    for number in range(400):
        producer_id = draw.randrange(4)
        entry = next((e for e in log.active_producers() if e.producer_id == producer_id), None)
        sequence = 0 if entry is None else entry.last_sequence + 1
        if number % 37 == 36:
            log.update_high_watermark(max(log.high_watermark, log.log_end_offset - 30))
            log.truncate_to(draw.randrange(log.high_watermark, log.log_end_offset + 1))
            yield (
                log.log_end_offset,
                log.last_stable_offset,
                sorted(map(fields_of, log.active_producers())),
            )
        elif producer_id < 2 and number % 5 == 4:
            append(log, marker(is_commit=number % 2 == 0, producer_id=producer_id), "coordinator")
        else:
            append(log, batch_of(sequence, producer_id=producer_id, in_txn=producer_id < 2))


def fields_of(entry: ProducerEntry) -> tuple[int, ...]:
    return (
        entry.producer_id,
        entry.producer_epoch,
        entry.batch_count,
        entry.first_sequence,
        entry.last_sequence,
        entry.last_offset,
        entry.last_offset_delta,
        entry.last_timestamp,
        entry.coordinator_epoch,
        entry.current_txn_start_offset,
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_that_begins_at_a_copy_remembers_what_a_whole_replay_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("headrace.core.producer_state.BATCHES_A_COPY", 7)
    with_copies = LogStage(tmp_path / "with").open(is_clean=True)
    monkeypatch.setattr("headrace.core.producer_state.BATCHES_A_COPY", 1 << 60)
    without = LogStage(tmp_path / "without").open(is_clean=True)
    monkeypatch.setattr("headrace.core.producer_state.BATCHES_A_COPY", 7)
    whole = append_and_cut(without, seed)
    for told in append_and_cut(with_copies, seed):
        assert told == next(whole)
        assert not without._producers._copies
    assert with_copies._producers._copies
    for each in (with_copies, without):
        each.close()


def test_a_log_that_begins_anew_forgets_its_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.core.producer_state.BATCHES_A_COPY", 5)
    log = LogStage(tmp_path).open(is_clean=True)
    for number in range(20):
        append(log, batch_of(number))
    log.truncate_fully_and_start_at(20)  # where there is a copy
    assert log.active_producers() == []
    append(log, batch_of(0, producer_id=1))
    append(log, batch_of(1, producer_id=1))
    log.truncate_to(21)
    assert [each.producer_id for each in log.active_producers()] == [1]
    log.close()


def test_snapshot_is_kafkas(tmp_path: Path) -> None:
    entry = ProducerEntry(258)
    entry.restore(2, 10, 100, 3, NOW_MS, -1, 97)
    content = encode_snapshot([entry])
    assert content[:2] == b"\x00\x01"
    assert content[6:].hex(" ", 4) == (
        bytes.fromhex(
            "00000001 0000000000000102 0002 0000000a 0000000000000064 00000003"
            "0000018bcfe56800 ffffffff 0000000000000061"
        ).hex(" ", 4)
    )
    again = decode_snapshot(content)
    assert encode_snapshot(again) == content
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        with pytest.raises(CorruptRecordError):
            decode_snapshot(bytes(damaged))
        with pytest.raises(CorruptRecordError):
            decode_snapshot(content[:position])


def test_open_transaction_holds_the_last_stable_offset(log: Log, stage: LogStage) -> None:
    append(log, batch_of(0, in_txn=True, producer_id=1))
    append(log, batch_of(0, in_txn=True, producer_id=2))
    append(log, batch_of(1, 3, in_txn=True, producer_id=1))
    log.update_high_watermark(5)
    assert log.last_stable_offset == 0
    append(log, marker(is_commit=True, producer_id=1), "coordinator")
    # Committed, but the marker is not replicated yet.
    assert log.last_stable_offset == 0
    log.update_high_watermark(6)
    assert log.last_stable_offset == 1
    append(log, marker(is_commit=False, producer_id=2), "coordinator")
    log.update_high_watermark(7)
    assert log.last_stable_offset == 7
    aborted = log.aborted_transactions(0, 7)
    assert [(each.producer_id, each.first_offset, each.last_offset) for each in aborted] == [
        (2, 1, 6)
    ]
    assert aborted[0].last_stable_offset == 7
    assert log.aborted_transactions(0, 1) == []
    log.close()


@pytest.mark.parametrize("is_clean", [True, False])
def test_transactions_survive_a_restart(log: Log, stage: LogStage, is_clean: bool) -> None:
    for number in range(40):
        producer_id = number % 2
        append(log, batch_of(number // 2, in_txn=True, producer_id=producer_id))
        if number % 8 == 6:
            append(log, marker(is_commit=False, producer_id=0), "coordinator")
    log.update_high_watermark(log.log_end_offset)
    before = (log.last_stable_offset, log.aborted_transactions(0, 1000))
    assert len(before[1]) == 5
    log.close(clean=is_clean)
    log = stage.open(is_clean=is_clean)
    log.update_high_watermark(log.log_end_offset)
    assert (log.last_stable_offset, log.aborted_transactions(0, 1000)) == before
    log.close()
