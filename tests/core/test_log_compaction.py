"""Compaction: the last record of each key stays, at its offset, through every kind of batch."""

import os
import random
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.checkpoint_file import read_offset_checkpoint
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.log_manager import LogManager
from headrace.core.log_manager_settings import LogManagerSettings
from headrace.core.log_verify import verify_log_dir
from headrace.core.record_batch import RecordBatch, iter_batches
from headrace.core.worker import InlineWorker
from tests.support.batches import FIRST_TIMESTAMP_MS, Pair, make_batch
from tests.support.held_worker import HeldWorker
from tests.support.manual_clock import ManualClock

DAY_MS = 86_400_000


class Table:
    """A compacted log in a folder, with what a test does to it."""

    def __init__(self, folder: Path, *, memory_bytes: int = 1 << 20, **settings: Any) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.worker: Any = InlineWorker()
        self.memory_bytes = memory_bytes
        defaults: dict[str, Any] = {
            "cleanup_policy": frozenset(("compact",)),
            "segment_bytes": 1000,
            "index_interval_bytes": 100,
            "min_cleanable_dirty_ratio": 0.0,
            "file_delete_delay_ms": 0,
        }
        self.config = LogConfig(**(defaults | settings))
        self.start()

    def start(self) -> None:
        self.manager = LogManager(
            [self.folder],
            clock=self.clock,
            worker=self.worker,
            settings=LogManagerSettings(log_cleaner_dedupe_buffer_size=self.memory_bytes),
        )
        self.manager.start()
        self.log = self.manager.get_or_create_log(
            "table", 0, topic_id=bytes(range(16)), config=self.config
        )

    def restart(self, *, clean: bool = True) -> None:
        self.manager.close(clean=clean)
        self.start()

    def append(self, pairs: Sequence[Pair], **settings: Any) -> None:
        origin = "coordinator" if settings.get("is_control") else "client"
        self.log.append_as_leader(make_batch(pairs, **settings), leader_epoch=0, origin=origin)
        self.log.update_high_watermark(self.log.log_end_offset)

    def append_marker(self, producer_id: int, *, commits: bool) -> None:
        builder = BatchBuilder(
            producer_id=producer_id, producer_epoch=0, is_transactional=True, is_control=True
        )
        key = b"\0\0\0\1" if commits else b"\0\0\0\0"
        builder.append_record(timestamp=FIRST_TIMESTAMP_MS, key=key, value=b"\0\0\0\0\0\0")
        self.log.append_as_leader(bytes(builder.build()), leader_epoch=0, origin="coordinator")
        self.log.update_high_watermark(self.log.log_end_offset)

    def compact(self) -> bool:
        """Make all that is there inactive, then compact until nothing is due."""
        self.log.roll()
        did = False
        while self.manager.compact():
            did = True
        assert not self.findings(), self.findings()
        return did

    def batches(self) -> list[RecordBatch]:
        found: list[RecordBatch] = []
        for segment in self.log.segments:
            if segment.size_bytes:
                found += iter_batches(segment.log.view(0, segment.size_bytes))
        return found

    def records(self) -> list[tuple[int, bytes | None, bytes | None]]:
        return [
            (record.offset, record.key, record.value)
            for batch in self.batches()
            if not batch.is_control
            for record in batch.records()
        ]

    def findings(self) -> list[str]:
        self.log.flush()
        return [str(each) for each in verify_log_dir(self.folder)]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_last_record_of_each_key_stays_at_its_offset(table: Table) -> None:
    for number in range(30):
        table.append([(b"a", b"%d" % number), (b"b%d" % (number % 3), b"x" * 50)])
    assert len(table.log.segments) > 2
    assert table.compact()
    assert [(offset, key) for offset, key, _ in table.records()] == [
        (55, b"b0"),
        (57, b"b1"),
        (58, b"a"),
        (59, b"b2"),
    ]
    assert table.records()[2][2] == b"29"
    assert table.log.log_end_offset == 60


@pytest.mark.parametrize("seed", range(6))
def test_table_agrees_with_a_dict_through_rounds_and_crashes(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    table = Table(tmp_path, delete_retention_ms=0, memory_bytes=24 * 64)
    model: dict[bytes, tuple[int, bytes | None]] = {}
    for _ in range(6):
        for _ in range(chance.randrange(1, 25)):
            pairs: list[Pair] = []
            for _ in range(chance.randrange(1, 6)):
                key = b"key-%d" % chance.randrange(40)
                value = None if chance.random() < 0.2 else chance.randbytes(chance.randrange(60))
                model[key] = (table.log.log_end_offset + len(pairs), value)
                pairs.append((key, value))
            codec = chance.choice(("none", "gzip", "snappy", "lz4", "zstd"))
            table.append(pairs, compression=codec, first_timestamp=table.clock.now_ms())
        table.clock.advance(1000)
        table.compact()
        table.restart(clean=chance.random() < 0.5)
        records = table.records()
        assert [offset for offset, _, _ in records] == sorted({each[0] for each in records})
        seen = {key: (offset, value) for offset, key, value in records}
        alive = {key: each for key, each in model.items() if each[1] is not None}
        assert {key: each for key, each in seen.items() if each[1] is not None} == alive
        assert not table.findings()


def test_everything_about_a_kept_record_is_kept(table: Table) -> None:
    builder = BatchBuilder(
        compression="zstd", producer_id=5, producer_epoch=2, base_sequence=0, leader_epoch=0
    )
    headers = (("trace", b"\x00"), ("trace", None))
    builder.append_record(timestamp=FIRST_TIMESTAMP_MS + 9, key=b"a", value=b"old")
    builder.append_record(timestamp=FIRST_TIMESTAMP_MS, key=b"b", value=b"kept", headers=headers)
    builder.append_record(timestamp=FIRST_TIMESTAMP_MS + 5, key=b"c", value=b"old")
    table.log.append_as_leader(bytes(builder.build()), leader_epoch=3)
    newer = make_batch([(b"a", b"new"), (b"c", b"new")])
    table.log.append_as_leader(newer, leader_epoch=3)
    table.log.update_high_watermark(5)
    table.compact()
    batch = table.batches()[0]
    (record,) = batch.records()
    assert (record.offset, record.timestamp, record.headers) == (1, FIRST_TIMESTAMP_MS, headers)
    assert (batch.base_offset, batch.last_offset, batch.leader_epoch) == (0, 2, 3)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (5, 2, 0)
    assert batch.last_sequence == 2
    assert batch.compression_id == 4
    assert batch.crc_is_valid()


def test_log_append_time_survives(tmp_path: Path) -> None:
    table = Table(tmp_path, message_timestamp_type="LogAppendTime")
    table.append([(b"a", b"1"), (b"b", b"2")])
    appended_ms = table.clock.now_ms()
    table.clock.advance(5)
    table.append([(b"a", b"3")])
    table.compact()
    first = table.batches()[0]
    assert first.has_log_append_time
    assert [(r.key, r.timestamp) for r in first.records()] == [(b"b", appended_ms)]


def test_tombstone_stays_until_its_horizon(tmp_path: Path) -> None:
    table = Table(tmp_path, delete_retention_ms=DAY_MS)
    table.append([(b"a", b"1")])
    table.append([(b"a", None)])
    table.append([(b"b", b"2")])
    table.compact()
    assert table.records() == [(1, b"a", None), (2, b"b", b"2")]
    assert table.batches()[0].delete_horizon_ms == table.clock.now_ms() + DAY_MS
    assert [r.timestamp for r in table.batches()[0].records()] == [FIRST_TIMESTAMP_MS]

    table.clock.advance(DAY_MS - 1)
    table.append([(b"c", b"3")])
    table.compact()
    assert (1, b"a", None) in table.records()
    table.clock.advance(1)
    table.append([(b"d", b"4")])
    table.compact()
    assert [key for _, key, _ in table.records()] == [b"b", b"c", b"d"]


def test_active_segment_and_what_is_not_committed_stay_as_they_are(table: Table) -> None:
    for _ in range(5):
        table.append([(b"a", b"x" * 300)])
    for _ in range(5):
        table.log.append_as_leader(make_batch([(b"a", b"y" * 300)]), leader_epoch=0)
    assert table.manager.compact()
    offsets = [offset for offset, _, _ in table.records()]
    committed_until = 5
    assert [each for each in offsets if each >= committed_until] == [5, 6, 7, 8, 9]
    assert len([each for each in offsets if each < committed_until]) < 5


def test_young_records_wait_for_min_compaction_lag(tmp_path: Path) -> None:
    table = Table(tmp_path, min_compaction_lag_ms=1000)
    for _ in range(10):
        table.append([(b"a", b"x" * 300)], first_timestamp=table.clock.now_ms())
    assert not table.compact()
    table.clock.advance(1001)
    assert table.compact()
    assert len(table.records()) == 1


def test_dirty_ratio_decides_and_max_lag_overrides_it(tmp_path: Path) -> None:
    table = Table(tmp_path, min_cleanable_dirty_ratio=0.5, max_compaction_lag_ms=1000)
    for number in range(20):
        table.append([(b"%d" % number, b"x" * 300)], first_timestamp=table.clock.now_ms())
    assert table.compact()
    for _ in range(3):
        table.append([(b"a", b"x" * 300)], first_timestamp=table.clock.now_ms())
    assert not table.compact()
    table.clock.advance(1001)
    assert table.compact()


def test_clean_part_is_not_read_again_after_a_restart(table: Table) -> None:
    for number in range(20):
        table.append([(b"%d" % (number % 4), b"x" * 200)])
    table.compact()
    checkpoint = read_offset_checkpoint(table.folder / "cleaner-offset-checkpoint")
    assert checkpoint == {("table", 0): 20}
    table.restart()
    assert not table.manager.compact()


@pytest.mark.parametrize("content", [None, b"0\n9\n"])
def test_lost_cleaner_checkpoint_does_not_make_gaps_look_like_lost_records(
    tmp_path: Path, content: bytes | None
) -> None:
    table = Table(tmp_path)
    for number in range(40):
        table.append([(b"first" if number == 0 else b"%d" % (number % 4), b"x" * 200)])
    table.compact()
    table.append([(b"a", b"x")])
    expected = table.records()
    assert any(two.base_offset > one.next_offset for one, two in pairwise(table.batches()))
    path = tmp_path / "cleaner-offset-checkpoint"
    # The second crash finds the file that the first start wrote.
    for crash in range(2):
        table.manager.close(clean=False)
        (tmp_path / "recovery-point-offset-checkpoint").unlink(missing_ok=True)
        if crash == 0:
            path.unlink()
            if content is not None:
                path.write_bytes(content)
        table.start()
        assert table.records() == expected


def test_memory_too_small_for_all_keys_takes_several_rounds(tmp_path: Path) -> None:
    table = Table(tmp_path, memory_bytes=24 * 64)
    for number in range(200):
        table.append([(b"%d" % (number % 100), b"x" * 20)])
    table.compact()
    assert [int(key or b"") for _, key, _ in table.records()] == list(range(100))


def test_batch_with_more_keys_than_the_memory_leaves_the_log_uncompacted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table(tmp_path, memory_bytes=24 * 64, segment_bytes=5000)
    table.append([(b"%d" % number, b"v") for number in range(100)])
    table.append([(b"a", b"v")])
    table.compact()
    assert "log.cleaner.dedupe.buffer.size" in caplog.text
    assert len(table.records()) == 101
    assert not table.manager.compact()


def test_small_segments_become_one(table: Table) -> None:
    for number in range(30):
        table.append([(b"%d" % (number % 2), b"x" * 200)])
    before = len(table.log.segments)
    table.compact()
    assert before > 6
    # Sizes before cleaning decide, so that the second round joins what the first one shrank.
    table.append([(b"a", b"x")])
    table.compact()
    assert len(table.log.segments) <= 3
    names = [f"{segment.base_offset:020d}.log" for segment in table.log.segments]
    assert sorted(path.name for path in table.log.path.glob("*.log")) == names


def test_last_batch_of_an_active_producer_survives_empty(table: Table) -> None:
    table.append([(b"a", b"1")], producer_id=7, producer_epoch=0, base_sequence=0)
    table.append([(b"a", b"2")], producer_id=7, producer_epoch=0, base_sequence=1)
    table.append([(b"a", b"3")])
    table.compact()
    kept = [(b.base_offset, b.record_count, b.last_sequence) for b in table.batches()]
    assert kept == [(1, 0, 1), (2, 1, -1)]
    table.restart(clean=False)
    for snapshot in table.log.path.glob("*.snapshot"):
        snapshot.unlink()
    table.restart(clean=False)
    (producer,) = table.log.active_producers()
    assert (producer.producer_id, producer.last_sequence) == (7, 1)
    table.append([(b"a", b"4")], producer_id=7, producer_epoch=0, base_sequence=2)


def test_aborted_records_go_and_their_marker_after_them(tmp_path: Path) -> None:
    table = Table(tmp_path, delete_retention_ms=DAY_MS)
    aborted = {"producer_id": 8, "producer_epoch": 0, "is_transactional": True}
    table.append([(b"a", b"committed")])
    table.append([(b"a", b"aborted"), (b"b", b"aborted")], base_sequence=0, **aborted)
    table.append_marker(8, commits=False)
    table.append([(b"c", b"1")], base_sequence=0, producer_id=9, producer_epoch=0)
    assert table.log.aborted_transactions(0, 10)
    table.compact()
    assert table.records() == [(0, b"a", b"committed"), (4, b"c", b"1")]
    # The producer's last data batch stays, without its records.
    assert [b.record_count for b in table.batches()] == [1, 0, 1, 1]

    table.clock.advance(2 * DAY_MS)
    table.manager.expire_producers()
    for number in range(3):
        table.append([(b"d", b"%d" % number)])
        table.compact()
        table.clock.advance(DAY_MS + 1)
    assert not any(batch.is_control for batch in table.batches())
    assert [key for _, key, _ in table.records()] == [b"a", b"c", b"d"]
    assert table.log.aborted_transactions(0, table.log.log_end_offset) == []


def test_marker_that_alone_stands_for_its_producer_survives_empty(tmp_path: Path) -> None:
    table = Table(tmp_path, delete_retention_ms=0)
    table.append_marker(8, commits=True)
    for number in range(2):
        table.append([(b"a", b"%d" % number)])
        table.compact()
        table.clock.advance(1)
    assert [(b.is_control, b.record_count) for b in table.batches()] == [(True, 0), (False, 1)]
    table.manager.close(clean=False)
    for snapshot in table.log.path.glob("*.snapshot"):
        snapshot.unlink()
    table.start()
    assert table.records() == [(2, b"a", b"1")]


def test_marker_of_a_committed_transaction_stays_while_its_records_do(tmp_path: Path) -> None:
    table = Table(tmp_path, delete_retention_ms=0)
    table.append(
        [(b"a", b"1")], base_sequence=0, producer_id=8, producer_epoch=0, is_transactional=True
    )
    table.append_marker(8, commits=True)
    for number in range(3):
        table.append([(b"b", b"%d" % number)])
        table.compact()
        table.clock.advance(1)
    assert [batch.is_control for batch in table.batches()][:2] == [False, True]
    table.append([(b"a", b"2")])
    table.clock.advance(2 * DAY_MS)
    table.manager.expire_producers()
    for number in range(3):
        table.append([(b"b", b"%d" % number)])
        table.compact()
        table.clock.advance(1)
    assert not any(batch.is_control for batch in table.batches())


def test_corrupt_batch_stops_compaction_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table(tmp_path)
    for number in range(10):
        table.append([(b"a", b"%d" % number * 200)])
    table.log.roll()
    table.log.flush()
    path = table.log.path / f"{0:020d}.log"
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xff\xff")
    assert table.manager.compact()
    assert "fails its CRC" in caplog.text
    assert not list(table.log.path.glob("*.cleaned"))
    assert len(table.log.segments) > 2
    assert not table.manager.compact()


def test_a_log_that_fails_unforeseen_keeps_no_other_from_being_compacted(
    table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = table.manager.get_or_create_log(
        "other", 0, topic_id=bytes(range(1, 17)), config=table.config
    )
    for log, rounds in ((table.log, 10), (other, 5)):
        for number in range(rounds):
            log.append_as_leader(make_batch([(b"a", b"%d" % number * 200)]), leader_epoch=0)
        log.update_high_watermark(log.log_end_offset)
        log.roll()
    before, replace = other.size_bytes, Log.replace_segments

    def fail_for_one(log: Log, *segments: Any) -> None:
        if log is table.log:
            raise ZeroDivisionError("a bug")
        replace(log, *segments)

    monkeypatch.setattr(Log, "replace_segments", fail_for_one)
    while table.manager.compact():
        pass
    assert f"{table.log.path} is not compacted any more: a bug" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert other.size_bytes < before


def test_retention_does_not_touch_a_log_under_compaction(tmp_path: Path) -> None:
    table = Table(tmp_path, cleanup_policy=frozenset(("compact", "delete")), retention_ms=0)
    table.worker = HeldWorker()
    table.restart()
    for number in range(10):
        table.append([(b"a", b"x" * 300)], first_timestamp=FIRST_TIMESTAMP_MS - 10 + number)
    assert table.manager.compact()
    table.clock.advance(10)
    assert table.manager.enforce_retention() == 0
    table.worker.run_all()
    assert table.manager.enforce_retention() > 0


@pytest.mark.parametrize("jobs_before", range(4))
def test_deleting_a_log_under_compaction_ends_it(tmp_path: Path, jobs_before: int) -> None:
    table = Table(tmp_path, segment_bytes=400)
    for number in range(20):
        table.append([(b"%d" % number, b"x" * 300)])
    table.worker = HeldWorker()
    table.restart()
    assert table.manager.compact()
    for _ in range(jobs_before):
        table.worker.run_next()
    table.manager.delete_log("table", 0)
    table.worker.run_all()
    assert not list(tmp_path.glob("table-0*"))
    table.manager.close()


@pytest.mark.parametrize("jobs_before", range(5))
def test_aborted_compaction_leaves_a_sound_log(tmp_path: Path, jobs_before: int) -> None:
    table = Table(tmp_path, segment_bytes=400)
    for number in range(20):
        table.append([(b"%d" % (number % 7), b"%d" % number * 150)])
    expected = {key: value for _, key, value in table.records()}
    table.worker = HeldWorker()
    table.restart()
    assert table.manager.compact()
    for _ in range(jobs_before):
        table.worker.run_next()
    table.manager.abort_compaction()
    table.worker.run_all()
    assert not list(table.log.path.glob("*.cleaned"))
    assert {key: value for _, key, value in table.records()} == expected
    table.worker = InlineWorker()
    table.restart(clean=False)
    assert {key: value for _, key, value in table.records()} == expected
    assert table.compact()
    assert {key: value for _, key, value in table.records()} == expected


def test_crash_at_any_rename_or_unlink_of_the_swap_loses_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(tmp_path / "live", segment_bytes=700)
    for number in range(14):
        table.append([(b"%d" % (number % 5), b"%d" % number * 90)])
    table.log.roll()
    table.log.flush()
    expected = {key: value for _, key, value in table.records()}
    copies: list[Path] = []

    def copying(change: Callable[..., None]) -> Callable[..., None]:
        def copy_then_change(*arguments: Any, **named: Any) -> None:
            copies.append(tmp_path / f"copy-{len(copies)}")
            shutil.copytree(table.folder, copies[-1])
            change(*arguments, **named)

        return copy_then_change

    renaming, unlinking = copying(os.rename), copying(os.unlink)
    monkeypatch.setattr(os, "rename", renaming)
    monkeypatch.setattr(os, "unlink", unlinking)
    assert table.manager.compact()
    monkeypatch.undo()
    assert len(copies) > 20
    for copy in copies:
        crashed = Table(copy, segment_bytes=700)
        assert {key: value for _, key, value in crashed.records()} == expected, copy
        assert crashed.log.log_end_offset == 14
        assert crashed.findings() == []
        crashed.manager.close()


def test_snapshots_of_replaced_segments_go(table: Table) -> None:
    for number in range(30):
        table.append([(b"a", b"x" * 300)], producer_id=7, producer_epoch=0, base_sequence=number)
    before = len(list(table.log.path.glob("*.snapshot")))
    table.compact()
    table.append([(b"a", b"x")], producer_id=7, producer_epoch=0, base_sequence=30)
    table.compact()
    assert before > 8
    assert len(list(table.log.path.glob("*.snapshot"))) <= len(table.log.segments) + 1


def test_log_that_is_not_compacted_is_left_alone(tmp_path: Path) -> None:
    table = Table(tmp_path, cleanup_policy=frozenset(("delete",)))
    for _ in range(10):
        table.append([(b"a", b"x" * 300)])
    assert not table.compact()
    assert isinstance(table.log, Log)
