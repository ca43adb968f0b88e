"""A partition over the log on disk: what the fake log promises, the real one keeps."""

from pathlib import Path
from typing import Any

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import OffsetOutOfRangeError
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.core.worker import InlineWorker
from headrace.raft.offset_questions import ListedOffset
from headrace.raft.partition import Partition
from headrace.raft.partition_group import PartitionGroup, partition_group_id, propose_together
from headrace.raft.partition_state import Elect, ElectKind, Form
from headrace.raft.raft_wal import RaftWal
from headrace.raft.replica_log import ReplicaLog
from tests.support.manual_clock import ManualClock

TOPIC_ID = b"t" * 16
NOW_MS = 1_700_000_000_000


class PausedWorker(InlineWorker):
    """Keeps jobs until `run_all`, as a thread that has not come to them yet."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[tuple[Any, ...]] = []

    def submit(self, job: Any, on_done: Any = None, on_error: Any = None) -> None:
        self._jobs.append((job, on_done, on_error))

    def run_all(self) -> None:
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            super().submit(*job)


def batch(*values: bytes, timestamp: int = NOW_MS, **fields: Any) -> bytearray:
    builder = BatchBuilder(**fields)
    for place, value in enumerate(values):
        builder.append_record(timestamp=timestamp + place, key=None, value=value)
    return builder.build()


class Led:
    """A partition that broker 0 leads, over a log in `folder`."""

    def __init__(self, folder: Path, *, config: LogConfig | None = None, worker: Any = None):
        self.worker = worker or InlineWorker()
        self.log = Log.open(
            folder / "clicks-0",
            topic="clicks",
            partition=0,
            config=config or LogConfig(),
            clock=ManualClock(now_ms=NOW_MS),
            worker=self.worker,
            is_clean=False,
        )
        log: ReplicaLog = self.log
        self.wal = RaftWal.open(folder / "wal")
        group = PartitionGroup(self.wal, partition_group_id(TOPIC_ID, 0))
        self.partition = Partition(
            topic="clicks", index=0, topic_id=TOPIC_ID, broker_id=0, group=group
        )
        self.partition.take_log(log)
        if not group.state.replicas:
            self._decide(group, Form(0, (0,), (0,)))
        elect = Elect(group.state.partition_epoch, 0, 9, ElectKind.RESTARTED, log.latest_epoch + 1)
        self._decide(group, elect)
        self.partition.state_changed()

    def _decide(self, group: PartitionGroup, command: Any) -> None:
        propose_together(self.wal, [(group, command, lambda outcome: None)])

    def close(self, *, clean: bool) -> None:
        self.partition.stop()
        self.log.close(clean=clean)
        self.wal.close()


@pytest.mark.parametrize("is_clean", [True, False])
def test_records_and_epochs_survive_restarts(tmp_path: Path, is_clean: bool) -> None:
    for life in range(3):
        led = Led(tmp_path)
        assert led.partition.leader_epoch == life
        assert led.partition.high_watermark == 2 * life
        info = led.partition.append_records(batch(b"a", b"b"), required_acks=-1)
        assert (info.base_offset, info.last_offset) == (2 * life, 2 * life + 1)
        assert led.partition.high_watermark == 2 * life + 2
        fetched = led.partition.fetch_records(fetch_offset=0, max_bytes=1 << 20)
        found = list(iter_batches(fetched.records))
        assert [each.base_offset for each in found] == [2 * n for n in range(life + 1)]
        assert [each.leader_epoch for each in found] == list(range(life + 1))
        assert all(each.crc_is_valid() for each in found)
        led.close(clean=is_clean)


def test_a_duplicate_does_not_move_the_high_watermark(tmp_path: Path) -> None:
    led = Led(tmp_path)
    sent = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0}
    first = led.partition.append_records(batch(b"a", **sent), required_acks=-1)
    led.partition.append_records(batch(b"x"), required_acks=-1)
    again = led.partition.append_records(batch(b"a", **sent), required_acks=-1)
    assert again.is_duplicate
    assert again.base_offset == first.base_offset
    assert led.partition.high_watermark == 2


def test_a_flush_before_the_answer_is_shared_by_those_who_wait(tmp_path: Path) -> None:
    worker = PausedWorker()
    led = Led(tmp_path, config=LogConfig(flush_messages=1), worker=worker)
    passed: list[Any] = []
    for value in (b"a", b"b"):
        info = led.partition.append_records(batch(value), required_acks=-1)
        led.partition.wait_for_high_watermark(info.last_offset + 1, passed.append)
    woken: list[int] = []
    led.partition.add_fetch_waiter(lambda: woken.append(1))
    assert led.partition.high_watermark == 0
    while len(passed) < 2:
        worker.run_all()
    assert passed == [None, None]
    assert woken == [1]
    assert led.partition.high_watermark == led.log.recovery_point == 2


def test_offsets_by_time_and_by_epoch(tmp_path: Path) -> None:
    led = Led(tmp_path)
    led.partition.append_records(batch(b"a", b"b", timestamp=NOW_MS - 100), required_acks=1)
    led.close(clean=True)
    led = Led(tmp_path)
    led.partition.append_records(batch(b"c", timestamp=NOW_MS), required_acks=1)
    listed = led.partition.offset_for_timestamp
    assert listed(NOW_MS - 99) == ListedOffset(NOW_MS - 99, 1, 0)
    assert listed(-3) == ListedOffset(NOW_MS, 2, 1)
    assert listed(-1) == ListedOffset(-1, 3, 1)
    assert listed(-2) == ListedOffset(-1, 0, 0)
    assert listed(NOW_MS + 1) == ListedOffset(-1, -1, -1)
    assert led.partition.end_offset_for_epoch(0) == (0, 2)
    assert led.partition.end_offset_for_epoch(1) == (1, 3)
    assert led.partition.end_offset_for_epoch(2) == (-1, -1)


def test_an_election_that_wrote_nothing_leaves_epochs_true(tmp_path: Path) -> None:
    for _ in range(3):
        led = Led(tmp_path)
        led.close(clean=True)
    led = Led(tmp_path)
    assert led.partition.offset_for_timestamp(-2) == ListedOffset(-1, 0, 3)
    assert led.partition.end_offset_for_epoch(1) == (1, 0)
    led.partition.append_records(batch(b"a"), required_acks=1)
    assert led.partition.end_offset_for_epoch(3) == (3, 1)
    assert led.partition.offset_for_timestamp(-2) == ListedOffset(-1, 0, 3)


def test_deleted_records_are_out_of_range(tmp_path: Path) -> None:
    led = Led(tmp_path)
    for value in (b"a", b"b", b"c"):
        led.partition.append_records(batch(value), required_acks=1)
    assert led.partition.delete_records(2) == 2
    with pytest.raises(OffsetOutOfRangeError):
        led.partition.fetch_records(fetch_offset=1, max_bytes=100)
    assert led.partition.offset_for_timestamp(-2).offset == 2
    assert led.partition.delete_records(-1) == 3
    assert led.partition.fetch_records(fetch_offset=3, max_bytes=100).records == b""


def _marker(producer_id: int, *, commits: bool) -> bytearray:
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=0, is_transactional=True, is_control=True
    )
    key = b"\0\0" + (b"\0\1" if commits else b"\0\0")
    builder.append_record(timestamp=NOW_MS, key=key, value=b"\0\0" + bytes(4))
    return builder.build()


def test_read_committed_stops_at_open_transactions_and_names_the_aborted(tmp_path: Path) -> None:
    led = Led(tmp_path)

    def send(producer_id: int, sequence: int, value: bytes) -> None:
        fields = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": sequence}
        led.partition.append_records(
            batch(value, is_transactional=True, **fields), required_acks=-1
        )

    def stable(fetch_offset: int, max_bytes: int = 1 << 20) -> tuple[list[int], Any]:
        fetched = led.partition.fetch_records(
            fetch_offset=fetch_offset, max_bytes=max_bytes, isolation_level=1
        )
        return [each.base_offset for each in iter_batches(fetched.records)], (
            fetched.aborted_transactions
        )

    send(1, 0, b"a")
    send(2, 0, b"b")
    assert stable(0) == ([], [])
    assert led.partition.offset_for_timestamp(-1, isolation_level=1).offset == 0
    led.partition.append_records(_marker(1, commits=False), required_acks=-1, origin="coordinator")
    assert stable(0) == ([0], [(1, 0)])
    led.partition.append_records(_marker(2, commits=True), required_acks=-1, origin="coordinator")
    assert stable(0) == ([0, 1, 2, 3], [(1, 0)])
    assert stable(3) == ([3], [])
    send(1, 1, b"c")
    led.partition.append_records(_marker(1, commits=False), required_acks=-1, origin="coordinator")
    assert stable(0, max_bytes=1) == ([0], [(1, 0)])
    assert stable(0)[1] == [(1, 0), (1, 4)]
