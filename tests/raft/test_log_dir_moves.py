"""Replicas that move between folders of log.dirs: nothing is lost, and a crash is survived."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import (
    KafkaStorageError,
    LogDirNotFoundError,
    OutOfOrderSequenceError,
)
from headrace.core.future_log import REPLACING_NAME
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.record_batch import iter_batches
from headrace.raft import log_dir_moves
from headrace.raft.cluster_commands import CreateTopic, DeleteTopic
from headrace.raft.errors import (
    InvalidTopicError,
    ReplicaNotAvailableError,
    UnknownTopicOrPartitionError,
)
from headrace.raft.follower_log import store_from_leader
from headrace.raft.log_dir_moves import LogDirMoves
from headrace.raft.partition import Partition
from headrace.raft.replication_quota import ReplicationQuota
from tests.support.folder_node import FolderNode
from tests.support.held_worker import HeldWorker
from tests.support.log_folders import make_marker
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler

ID_A = b"a" * 16
CONFIG = LogConfig(file_delete_delay_ms=60_000, segment_bytes=4096, index_interval_bytes=256)


class Node(FolderNode):
    """A broker of two folders, whose worker runs when the test says so."""

    def __init__(self, root: Path, *, config: LogConfig = CONFIG) -> None:
        self.root, self.config = root, config
        self.first, self.second = root / "first", root / "second"
        self.clock = ManualClock()
        self.worker = HeldWorker()
        super().__init__(
            self.first, self.second, clock=self.clock, worker=self.worker, config=config
        )
        self.scheduler = ManualScheduler(self.clock)
        self.quota = ReplicationQuota(broker_id=0, is_leaders=False, clock=self.clock)
        self.moves = LogDirMoves(
            self.logs,
            self.replicas,
            self.worker,
            at_once=2,
            quota=self.quota,
            schedule=self.scheduler.schedule,
        )
        self.replicas.start()

    def decide(self, command: Any) -> Any:
        result = super().decide(command)
        self.worker.run_all()
        return result

    def partition(self, index: int = 0) -> Partition:
        return self.replicas.partition("clicks", index)

    def append(self, *values: str, **fields: Any) -> None:
        self.partition().append_records(batch(*values, **fields), required_acks=-1)

    def folder(self, index: int = 0) -> Path:
        log = self.partition(index).log
        assert log is not None
        return log.path.parent

    def finish(self) -> None:
        self.worker.run_all()

    def crash(self) -> "Node":
        """What the process leaves that is killed now: its files as they are."""
        copy = self.root.with_name(self.root.name + "+")
        shutil.copytree(self.root, copy)
        return Node(copy, config=self.config)

    def again(self) -> "Node":
        self.close()
        return Node(self.root, config=self.config)

    def close(self) -> None:
        self.moves.close()
        self.replicas.close()
        self.logs.close()
        self.worker.close()
        self.wal.close()


def batch(*values: str, **fields: Any) -> bytes:
    builder = BatchBuilder(**fields)
    for number, value in enumerate(values):
        builder.append_record(timestamp=1000 + number, key=value[:1].encode(), value=value.encode())
    return bytes(builder.build())


def values_of(log: Any) -> list[str]:
    found: list[str] = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        records = log.read_records(
            start_offset=offset, max_bytes=1 << 20, upper_bound_offset=log.log_end_offset
        )
        for each in iter_batches(records):
            found += [r.value.decode() for r in each.records() if r.offset >= offset]
            offset = each.next_offset
    return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path / "node")
    made.decide(CreateTopic("clicks", ID_A, ((0,),)))
    return made


def fill(node: Node, count: int = 60) -> list[str]:
    values = [f"{number % 7}-{number:050d}" for number in range(count)]
    for value in values:
        node.append(value)
    return values


def other_folder(node: Node) -> Path:
    return node.second if node.folder() == node.first else node.first


def test_a_replica_moves_with_all_it_has_and_is_there_after_a_restart(node: Node) -> None:
    values = fill(node)
    source, target = node.folder(), other_folder(node)
    before = node.partition().log
    assert before is not None
    view = before.read_records(start_offset=0, max_bytes=1 << 20, upper_bound_offset=60)
    node.moves.alter("clicks", 0, str(target))
    assert node.folder() == source
    node.finish()
    assert node.folder() == target
    assert values_of(node.partition().log) == values
    assert node.partition().high_watermark == 60
    seen = [r.value.decode() for b in iter_batches(view) for r in b.records()]
    assert seen == values[: len(seen)]
    assert seen
    assert [path.name.rsplit(".", 1)[0] for path in source.glob("clicks-*")] == ["clicks-0"]
    assert [path.name for path in source.glob("clicks-*-delete")] != []
    assert [path.name for path in target.glob("clicks-*")] == ["clicks-0"]
    assert not list((target / "clicks-0").glob(".headrace*"))
    node.append("more")
    node = node.again()
    assert node.folder() == target
    assert values_of(node.partition().log) == [*values, "more"]
    node.close()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_dir_moves, "CHUNK_BYTES", 400)
    monkeypatch.setattr(log_dir_moves, "FLUSH_BYTES", 2000)
    monkeypatch.setattr(log_dir_moves, "UNFLUSHED_AT_SWAP_BYTES", 500)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("flush_messages", [1, 10_000])
def test_a_kill_at_any_moment_of_a_move_loses_nothing(tmp_path: Path, flush_messages: int) -> None:
    config = LogConfig(segment_bytes=4096, index_interval_bytes=256, flush_messages=flush_messages)
    node = Node(tmp_path / "node", config=config)
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    values = fill(node, 20)
    node.finish()
    source, target = node.folder(), other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    for step in range(1000):
        survivor = node.crash()
        assert values_of(survivor.partition().log) == values, step
        survivor.finish()  # an interrupted move goes on
        assert values_of(survivor.partition().log) == values, step
        assert survivor.folder().name == target.name, step
        survivor.append("after")
        survivor = survivor.again()
        assert values_of(survivor.partition().log) == [*values, "after"], step
        survivor.close()
        shutil.rmtree(survivor.root)
        if not node.worker.run_next():
            break
        if step % 3 == 0:
            values.append(f"{step}-{'w' * 40}")
            node.append(values[-1])
    assert node.folder() == target != source
    assert step >= 15
    node.close()


def test_a_move_that_fails_unforeseen_gives_its_place_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path / "node")
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,), (0,))))
    places = [node.folder(index) for index in range(3)]
    fail = ZeroDivisionError("a bug")

    def store(future: Any, *rest: Any) -> None:
        if future.partition < 2:
            raise fail
        store_from_leader(future, *rest)

    monkeypatch.setattr(log_dir_moves, "store_from_leader", store)
    for index, place in enumerate(places):
        node.partition(index).append_records(batch("a"), required_acks=-1)
        node.moves.alter("clicks", index, str(node.first if place == node.second else node.second))
    node.finish()
    assert [node.folder(index) for index in range(2)] == places[:2]
    assert node.folder(2) != places[2]
    said = [each for each in caplog.records if each.levelname == "ERROR"]
    assert [each.getMessage() for each in said] == [
        f"clicks-{index} stays where it is: a bug" for index in range(2)
    ]
    assert said[0].exc_info is not None
    assert node.logs.future_logs.all() == []
    node.close()


def test_a_power_cut_before_the_copy_is_synced_leaves_the_old_log(node: Node) -> None:
    values = fill(node)
    source, target = node.folder(), other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    while node.folder() != target:
        node.worker.run_next()
    assert (source / "clicks-0").is_dir()
    assert (target / "clicks-0").is_dir()
    newest = max((target / "clicks-0").glob("*.log"))
    newest.write_bytes(newest.read_bytes()[:150])
    survivor = node.crash()
    assert survivor.folder().name == source.name
    assert values_of(survivor.partition().log) == values
    survivor.close()
    node.close()


def test_a_mark_that_a_kill_left_is_gone_after_the_next_start(node: Node) -> None:
    fill(node)
    mark = node.folder() / "clicks-0" / REPLACING_NAME
    mark.touch()
    node = node.again()
    assert not mark.exists()
    node.close()


@pytest.mark.usefixtures("small_steps")
def test_the_copy_catches_up_with_a_log_that_is_appended_to(node: Node) -> None:
    values = fill(node)
    target = other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    while node.folder() != target:
        assert node.worker.run_next()
        if len(values) < 200:
            values.append(f"x-{len(values)}")
            node.append(values[-1])
    assert values_of(node.partition().log) == values
    assert node.partition().high_watermark == len(values)
    node.close()


def test_a_producer_and_its_transactions_move_along(node: Node) -> None:
    node.append("a", producer_id=7, producer_epoch=0, base_sequence=0)
    node.append("b", producer_id=8, producer_epoch=3, base_sequence=0, is_transactional=True)
    node.partition().append_records(make_marker(8, 0), required_acks=-1, origin="coordinator")
    node.append("c", producer_id=9, producer_epoch=0, base_sequence=0, is_transactional=True)
    target = other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    node.finish()
    assert node.folder() == target
    partition = node.partition()
    assert partition.last_stable_offset == 3
    (aborted,) = (
        partition.fetch_records(
            fetch_offset=0, max_bytes=1000, isolation_level=1
        ).aborted_transactions
        or ()
    )
    assert aborted == (8, 1)
    again = batch("a", producer_id=7, producer_epoch=0, base_sequence=0)
    assert partition.append_records(again, required_acks=-1).is_duplicate
    with pytest.raises(OutOfOrderSequenceError):
        node.append("d", producer_id=7, producer_epoch=0, base_sequence=5)
    node.close()


@pytest.mark.usefixtures("small_steps")
def test_the_copy_is_cut_where_the_log_was_cut(node: Node) -> None:
    values = fill(node)
    target = other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    for _ in range(20):
        node.worker.run_next()
    log = node.partition().log
    future = node.logs.future_logs.get(("clicks", 0))
    assert isinstance(log, Log)
    assert future is not None
    assert future.log_end_offset > 12
    log.truncate_to(10)
    node.partition().high_watermark = 10
    log.append_as_leader(batch("new"), leader_epoch=5)
    node.finish()
    assert node.folder() == target
    moved = node.partition().log
    assert values_of(moved) == [*values[:10], "new"]
    assert moved is not None
    assert (moved.epoch_at(9), moved.epoch_at(10)) == (0, 5)
    assert moved.end_offset_for_epoch(0) == (0, 10)
    node.close()


@pytest.mark.usefixtures("small_steps")
@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("steps", [1, 5])
def test_the_copy_begins_anew_where_the_log_began_anew_before_it(node: Node, steps: int) -> None:
    fill(node, 20)
    node.partition().delete_records(10)
    node.finish()
    node.moves.alter("clicks", 0, str(other_folder(node)))
    for _ in range(steps):
        assert node.worker.run_next()
    log = node.partition().log
    assert log is not None
    log.truncate_fully_and_start_at(0)  # its leader has never had these
    for number in range(30):
        log.append_as_leader(batch(f"new-{number}-{'y' * 40}"), leader_epoch=9)
    node.finish()
    assert node.partition().log is not log
    assert values_of(node.partition().log) == [f"new-{n}-{'y' * 40}" for n in range(30)]
    node.close()


def test_deleted_records_and_dropped_segments_do_not_come_back(node: Node) -> None:
    values = fill(node)
    target = other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    for _ in range(12):
        node.worker.run_next()
    node.partition().delete_records(45)
    node.finish()
    assert node.folder() == target
    assert node.partition().log_start_offset == 45
    assert values_of(node.partition().log) == values[45:]
    node = node.again()
    assert node.partition().log_start_offset == 45
    node.partition().delete_records(-1)
    node.moves.alter("clicks", 0, str(other_folder(node)))
    node.finish()
    assert node.folder() != target
    assert (node.partition().log_start_offset, node.partition().log_end_offset) == (60, 60)
    node.close()


def test_a_compacted_log_whose_end_is_gone_moves_to_where_it_ends(tmp_path: Path) -> None:
    config = LogConfig(
        cleanup_policy=("compact",), segment_bytes=600, min_cleanable_dirty_ratio=0.0
    )
    node = Node(tmp_path / "node", config=config)
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    fill(node, 40)
    node.logs.compact()
    node.finish()
    before = values_of(node.partition().log)
    assert len(before) < 40
    target = other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    assert not node.logs.compact()
    node.finish()
    assert node.folder() == target
    assert values_of(node.partition().log) == before
    survivor = node.crash()
    assert values_of(survivor.partition().log) == before
    survivor.close()
    node.close()


def test_a_move_can_be_turned_back_or_elsewhere(node: Node) -> None:
    fill(node)
    source, target = node.folder(), other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    node.moves.alter("clicks", 0, str(target))  # asked for twice
    assert len(list(target.glob("*-future"))) == 1
    node.moves.alter("clicks", 0, str(source))
    node.finish()
    assert node.folder() == source
    assert not list(target.glob("clicks-*"))
    node.moves.alter("clicks", 0, str(target))
    node.finish()
    node.moves.alter("clicks", 0, str(source))
    node.finish()
    assert node.folder() == source
    assert values_of(node.partition().log)[-1].startswith("3-")
    node.close()


@pytest.mark.parametrize("steps", [2, 1000])
def test_a_topic_deleted_on_the_way_leaves_nothing(node: Node, steps: int) -> None:
    fill(node)
    node.moves.alter("clicks", 0, str(other_folder(node)))
    while steps and node.worker.run_next():
        steps -= 1
    node.cluster.propose(DeleteTopic(ID_A), lambda _result: None)
    node.cluster.propose(CreateTopic("clicks", ID_A, ((0,),)), lambda _result: None)
    node.finish()
    node.append("new")
    assert values_of(node.partition().log) == ["new"]
    node = node.again()
    node.finish()
    assert values_of(node.partition().log) == ["new"]
    assert len([*node.first.glob("clicks-*"), *node.second.glob("clicks-*")]) == 1
    node.close()


def test_a_topic_deleted_in_the_moment_of_the_swap_leaves_its_name_free(node: Node) -> None:
    fill(node)
    target = other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    while node.folder() != target:
        node.worker.run_next()
    node.cluster.propose(DeleteTopic(ID_A), lambda _result: None)
    node.cluster.propose(CreateTopic("clicks", ID_A, ((0,),)), lambda _result: None)
    node.append("new")
    node.finish()
    assert values_of(node.partition().log) == ["new"]
    node.close()


def test_what_cannot_be_moved_is_refused_as_kafka_does(node: Node) -> None:
    target = other_folder(node)
    with pytest.raises(LogDirNotFoundError):
        node.moves.alter("clicks", 0, "/nowhere")
    with pytest.raises(UnknownTopicOrPartitionError):
        node.moves.alter("clicks", 1, str(target))
    with pytest.raises(InvalidTopicError):
        node.moves.alter("x" * 240, 0, str(target))
    node.partition().go_offline("for this test")
    with pytest.raises(KafkaStorageError, match="for this test"):
        node.moves.alter("clicks", 0, str(target))
    node.close()


def test_a_replica_that_is_not_there_yet_is_made_in_the_folder_asked_for(tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    for number in range(4):
        folder = (node.first, node.second)[number // 2]
        with pytest.raises(UnknownTopicOrPartitionError):
            node.moves.alter("clicks", number, str(folder))
    node.decide(CreateTopic("clicks", ID_A, ((0,),) * 4))
    assert [node.folder(n) for n in range(4)] == [node.first] * 2 + [node.second] * 2
    node.decide(CreateTopic("elsewhere", b"b" * 16, ((5,),)))
    with pytest.raises(ReplicaNotAvailableError):
        node.moves.alter("elsewhere", 0, str(node.second))
    node.close()


def test_a_quota_holds_a_move_back(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_dir_moves, "CHUNK_BYTES", 400)
    values = fill(node)
    target = other_folder(node)
    node.quota.bytes_per_s = 1000
    node.moves.alter("clicks", 0, str(target))
    node.finish()
    assert node.folder() != target
    seconds = 0
    while node.folder() != target:
        node.scheduler.advance(1000)
        node.finish()
        seconds += 1
        assert seconds < 60
    assert seconds >= 5
    assert values_of(node.partition().log) == values
    node.close()


def test_a_folder_that_fails_ends_the_move_and_not_the_partition(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_dir_moves, "CHUNK_BYTES", 400)
    values = fill(node)
    source, target = node.folder(), other_folder(node)
    node.moves.alter("clicks", 0, str(target))
    node.worker.run_next()
    log_dir = node.logs.online_dir_at(str(target))
    node.logs.future_logs._on_storage_failure(log_dir, target, OSError(5, "no disk"))
    node.finish()
    assert node.logs.offline_dirs == [target]
    node.append("more")
    assert node.folder() == source
    assert values_of(node.partition().log) == [*values, "more"]
    with pytest.raises(KafkaStorageError, match="offline"):
        node.moves.alter("clicks", 0, str(target))
    node.close()
