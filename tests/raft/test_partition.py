"""One partition: roles, epochs, the high watermark, and who waits for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.errors import KafkaStorageError, OffsetOutOfRangeError
from headrace.core.log_config import LogConfig
from headrace.raft.errors import (
    FencedLeaderEpochError,
    InvalidRequestError,
    InvalidRequiredAcksError,
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    StaleBrokerEpochError,
    UnknownLeaderEpochError,
    UnknownTopicOrPartitionError,
)
from headrace.raft.offset_questions import ListedOffset
from headrace.raft.partition import NOTHING_YET, FetchedRecords, Partition
from headrace.raft.partition_group import PartitionGroup, partition_group_id, propose_together
from headrace.raft.partition_state import AlterIsr, Elect, ElectKind, Form
from headrace.raft.raft_wal import RaftWal
from tests.raft.fake_log import FakeLog

TOPIC_ID = b"t" * 16
FLUSHED = LogConfig(flush_messages=1)


class Lone:
    """A partition led by broker 0 from epoch 4 on, its log and its group."""

    def __init__(self, folder: Path, *, config: LogConfig | None = None, replicas=(0,)) -> None:
        self.wal = RaftWal.open(folder)
        self.group = PartitionGroup(self.wal, partition_group_id(TOPIC_ID, 0))
        self.log = FakeLog("clicks", 0, config=config)
        self.partition = Partition(
            topic="clicks",
            index=0,
            topic_id=TOPIC_ID,
            broker_id=0,
            group=self.group,
            incarnation_of={1: 5}.get,
        )
        self.decide(Form(0, replicas, replicas))
        self.partition.take_log(self.log)
        self.decide(Elect(1, 0, 9, ElectKind.RESTARTED, 4))

    def decide(self, command) -> None:
        propose_together(self.wal, [(self.group, command, lambda outcome: outcome)])
        self.partition.state_changed()


@pytest.fixture
def lone(tmp_path: Path) -> Lone:
    return Lone(tmp_path)


@pytest.fixture
def flushed(tmp_path: Path) -> Lone:
    return Lone(tmp_path, config=FLUSHED)


def test_batches_appended_together_are_committed_at_once(lone: Lone) -> None:
    lone.partition.append_records(b"a", required_acks=-1)
    woken: list[int] = []
    lone.partition.add_fetch_waiter(lambda: woken.append(lone.partition.high_watermark))
    assert lone.partition.append_together([b"bc", b"d"]) == (1, 4, lone.partition.leader_epoch)
    assert woken == [4]


def test_of_batches_appended_together_none_is_left_where_one_fails(lone: Lone) -> None:
    lone.partition.append_records(b"a", required_acks=-1)

    def batches() -> Iterator[bytes]:
        yield b"bc"
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        lone.partition.append_together(batches())
    assert (lone.log.content, lone.partition.high_watermark) == (b"a", 1)


def test_batches_are_not_appended_together_where_a_follower_might_see_them(tmp_path: Path) -> None:
    pair = Lone(tmp_path, replicas=(0, 1))
    with pytest.raises(NotLeaderOrFollowerError):
        pair.partition.append_together([b"a"])
    assert pair.log.content == b""


def test_batches_appended_together_wait_for_the_sync_that_the_topic_asks_for(
    flushed: Lone,
) -> None:
    flushed.partition.append_together([b"a", b"b"])
    assert flushed.partition.high_watermark == 0
    flushed.log.finish_flush()
    assert flushed.partition.high_watermark == 2


def test_a_lone_leader_commits_what_it_appends(lone: Lone) -> None:
    info = lone.partition.append_records(b"abc", required_acks=-1)
    assert (info.base_offset, info.last_offset) == (0, 2)
    assert lone.partition.high_watermark == lone.log.high_watermark == 3
    assert lone.log.epochs == [(4, 0)]
    assert lone.partition.leader_id == 0
    assert lone.partition.isr == lone.partition.replicas == (0,)


@pytest.mark.parametrize("acks", [2, -2, 7])
def test_acks_other_than_minus_one_zero_and_one_are_refused(lone: Lone, acks: int) -> None:
    with pytest.raises(InvalidRequiredAcksError):
        lone.partition.append_records(b"a", required_acks=acks)
    assert lone.log.content == b""


def test_acks_all_needs_min_insync_replicas_but_never_more_than_there_are_replicas(
    tmp_path: Path,
) -> None:
    alone = Lone(tmp_path / "1", config=LogConfig(min_insync_replicas=2))
    alone.partition.append_records(b"a", required_acks=-1)
    pair = Lone(tmp_path / "2", config=LogConfig(min_insync_replicas=2), replicas=(0, 1))
    with pytest.raises(NotEnoughReplicasError):
        pair.partition.append_records(b"a", required_acks=-1)
    pair.partition.append_records(b"a", required_acks=1)
    pair.decide(AlterIsr(2, 4, ((0, 9), (1, 5))))
    pair.partition.append_records(b"b", required_acks=-1)
    assert pair.partition.high_watermark == 0, "the other replica has not fetched anything"


def test_only_a_lone_leader_awaits_its_own_sync(flushed: Lone, tmp_path: Path) -> None:
    assert not flushed.partition.awaits_own_sync
    flushed.partition.append_records(b"a", required_acks=-1)
    assert flushed.partition.awaits_own_sync
    flushed.log.finish_flush()
    assert not flushed.partition.awaits_own_sync
    few = Lone(tmp_path / "few", config=LogConfig(min_insync_replicas=2), replicas=(0, 1))
    few.partition.append_records(b"a", required_acks=1)
    assert few.partition.high_watermark < few.partition.log_end_offset
    assert not few.partition.awaits_own_sync, "below min.insync.replicas nothing is committed"


def test_a_flushed_topic_commits_when_its_log_is_on_disk(flushed: Lone) -> None:
    partition, passed = flushed.partition, []
    info = partition.append_records(b"abc", required_acks=-1)
    assert partition.high_watermark == 0
    partition.wait_for_high_watermark(info.last_offset + 1, passed.append)
    assert partition.fetch_records(fetch_offset=0, max_bytes=9).records == b""
    flushed.log.finish_flush()
    assert passed == [None]
    assert partition.fetch_records(fetch_offset=0, max_bytes=9).records == b"abc"


def test_a_topic_may_ask_for_a_flush_every_so_many_records(tmp_path: Path) -> None:
    lone = Lone(tmp_path, config=LogConfig(flush_messages=3))
    lone.partition.append_records(b"ab", required_acks=-1)
    assert (lone.partition.high_watermark, lone.log.pending) == (2, [])
    lone.partition.append_records(b"c", required_acks=-1)
    assert lone.partition.high_watermark == 2
    lone.log.finish_flush()
    assert lone.partition.high_watermark == 3


def test_a_failed_flush_is_told_to_whoever_waits_and_commits_nothing(flushed: Lone) -> None:
    partition, passed = flushed.partition, []
    partition.append_records(b"abc", required_acks=-1)
    partition.wait_for_high_watermark(3, passed.append)
    error = KafkaStorageError(Path("/logs"), "EIO")
    flushed.log.fail_flush(error)
    assert passed == [error]
    assert partition.high_watermark == 0


def test_a_topic_that_stops_flushing_commits_what_waited(flushed: Lone) -> None:
    flushed.partition.append_records(b"abc", required_acks=1)
    flushed.log.update_config(LogConfig())
    flushed.partition.config_changed()
    assert flushed.partition.high_watermark == 3
    flushed.log.update_config(FLUSHED)
    flushed.partition.config_changed()
    flushed.partition.append_records(b"d", required_acks=1)
    assert flushed.partition.high_watermark == 3


def test_a_flushed_topic_flushes_at_election_what_a_crash_left_unflushed(tmp_path: Path) -> None:
    lone = Lone(tmp_path, config=FLUSHED)
    lone.log.content = b"recovered"
    lone.partition.state_changed()
    assert lone.partition.high_watermark == 0
    lone.log.finish_flush()
    assert lone.partition.high_watermark == 9


def test_waiting_for_what_has_passed_answers_at_once(lone: Lone) -> None:
    lone.partition.append_records(b"a", required_acks=1)
    passed: list = []
    lone.partition.wait_for_high_watermark(1, passed.append).cancel()
    assert passed == [None]


def test_a_fetch_that_waits_is_woken_by_an_append(lone: Lone) -> None:
    woken: list = []
    lone.partition.add_fetch_waiter(lambda: woken.append(1))
    cancelled = lone.partition.add_fetch_waiter(lambda: woken.append(2))
    cancelled.cancel()
    lone.partition.append_records(b"a", required_acks=0)
    lone.partition.append_records(b"b", required_acks=0)
    assert woken == [1]


def test_a_fetch_gives_committed_records_and_the_offsets_around_them(lone: Lone) -> None:
    lone.partition.append_records(b"abcdef", required_acks=1)
    lone.log.undecided_from = 4
    fetched = lone.partition.fetch_records(fetch_offset=1, max_bytes=3)
    assert (fetched.records, fetched.high_watermark) == (b"bcd", 6)
    assert (fetched.last_stable_offset, fetched.log_start_offset) == (4, 0)
    assert (fetched.aborted_transactions, fetched.diverging_epoch) == (None, None)
    stable = lone.partition.fetch_records(fetch_offset=1, max_bytes=99, isolation_level=1)
    assert stable.records == b"bcd"
    assert stable.aborted_transactions == []


def test_a_consumer_has_all_up_to_where_its_isolation_level_lets_it_read(lone: Lone) -> None:
    lone.partition.append_records(b"abcdef", required_acks=1)
    lone.log.undecided_from = 4

    def ends(*, is_stable: bool) -> list[int]:
        return [
            offset
            for offset in range(-1, 8)
            if lone.partition.has_given_all(offset, is_stable=is_stable, epochs=(4, -1))
        ]

    assert ends(is_stable=False) == [6]
    assert ends(is_stable=True) == [4]


@pytest.mark.parametrize("epochs", [(3, -1), (5, -1), (-1, 3), (4, 5)])
def test_a_consumer_of_another_epoch_may_be_refused_and_does_not_just_wait(
    lone: Lone, epochs: tuple[int, int]
) -> None:
    assert lone.partition.has_given_all(0, is_stable=False, epochs=(4, 4))
    assert not lone.partition.has_given_all(0, is_stable=False, epochs=epochs)


def test_nobody_has_all_of_a_partition_that_is_offline(lone: Lone) -> None:
    lone.partition.go_offline("it is gone")
    assert not lone.partition.has_given_all(0, is_stable=False, epochs=(-1, -1))


def test_a_fetch_between_high_watermark_and_log_end_is_empty_and_outside_is_refused(
    flushed: Lone,
) -> None:
    flushed.partition.append_records(b"abc", required_acks=1)
    for offset in (0, 2, 3):
        assert flushed.partition.fetch_records(fetch_offset=offset, max_bytes=9).records == b""
    for offset in (-1, 4):
        with pytest.raises(OffsetOutOfRangeError):
            flushed.partition.fetch_records(fetch_offset=offset, max_bytes=9)


def test_epochs_of_requests_are_compared(lone: Lone) -> None:
    lone.partition.append_records(b"abc", required_acks=1)
    ask = [
        lambda epoch: lone.partition.fetch_records(
            fetch_offset=0, max_bytes=9, current_leader_epoch=epoch
        ),
        lambda epoch: lone.partition.offset_for_timestamp(-1, current_leader_epoch=epoch),
        lambda epoch: lone.partition.end_offset_for_epoch(4, current_leader_epoch=epoch),
    ]
    for question in ask:
        question(4)
        question(-1)
        with pytest.raises(FencedLeaderEpochError):
            question(3)
        with pytest.raises(UnknownLeaderEpochError):
            question(5)


def test_a_log_that_left_ours_is_told_where(lone: Lone) -> None:
    lone.log.epochs, lone.log.content = [(1, 0), (3, 4)], b"abcdefgh"
    lone.partition.state_changed()

    def divergence(fetch_offset: int, last_fetched_epoch: int):
        return lone.partition.fetch_records(
            fetch_offset=fetch_offset, max_bytes=9, last_fetched_epoch=last_fetched_epoch
        ).diverging_epoch

    assert divergence(4, 1) is None
    assert divergence(5, 1) == (1, 4)
    assert divergence(3, 2) == (1, 4)
    assert divergence(8, 3) is None
    assert divergence(8, 4) is None, "our own epoch, which has no batch yet"
    with pytest.raises(OffsetOutOfRangeError):
        divergence(4, 5)


def test_epochs_end_where_the_next_began(lone: Lone) -> None:
    lone.log.epochs, lone.log.content = [(0, 0), (2, 4)], b"abcdefgh"
    lone.partition.state_changed()
    assert [lone.partition.end_offset_for_epoch(epoch) for epoch in range(-1, 6)] == [
        (-1, -1),
        (0, 4),
        (0, 4),
        (2, 8),
        (2, 8),
        (4, 8),
        (-1, -1),
    ]


def test_offsets_are_listed_by_time_and_by_the_special_timestamps(lone: Lone) -> None:
    assert lone.partition.offset_for_timestamp(-3) == ListedOffset(-1, -1, -1)
    assert lone.partition.offset_for_timestamp(-2) == ListedOffset(-1, 0, 4)
    lone.partition.append_records(b"abcdef", required_acks=1)
    lone.partition.delete_records(1)
    lone.log.undecided_from = 4
    listed = lone.partition.offset_for_timestamp
    assert listed(-1) == ListedOffset(-1, 6, 4)
    assert listed(-1, isolation_level=1) == ListedOffset(-1, 4, 4)
    assert listed(-2) == listed(-4) == ListedOffset(-1, 1, 4)
    assert listed(-3) == ListedOffset(500, 5, 4)
    assert listed(-5) == listed(-6) == ListedOffset(-1, -1, -1)
    assert listed(201) == ListedOffset(300, 3, 4)
    assert listed(301, isolation_level=1) == ListedOffset(-1, -1, -1)
    assert listed(501) == ListedOffset(-1, -1, -1)
    with pytest.raises(InvalidRequestError):
        listed(-7)


def test_deleting_records_moves_the_start_up_to_the_high_watermark(lone: Lone) -> None:
    lone.partition.append_records(b"abcdef", required_acks=1)
    assert lone.partition.delete_records(2) == 2
    assert lone.partition.delete_records(1) == 2
    for offset in (7, -2):
        with pytest.raises(OffsetOutOfRangeError):
            lone.partition.delete_records(offset)
    assert lone.partition.delete_records(-1) == 6
    with pytest.raises(OffsetOutOfRangeError):
        lone.partition.fetch_records(fetch_offset=5, max_bytes=9)


def test_a_deleted_partition_keeps_no_log(flushed: Lone) -> None:
    """A fetch session that nobody uses may keep it, and the log has files mapped."""
    flushed.partition.append_records(b"abc", required_acks=-1)
    flushed.partition.mark_deleted()
    assert flushed.partition.log is None
    flushed.log.finish_flush()
    with pytest.raises(UnknownTopicOrPartitionError):
        assert flushed.partition.log_end_offset


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (Partition.mark_deleted, UnknownTopicOrPartitionError),
        (Partition.stop, NotLeaderOrFollowerError),
        (lambda partition: partition.go_offline("its disk failed"), KafkaStorageError),
    ],
)
def test_a_partition_that_ends_releases_everyone_and_refuses_everything(
    flushed: Lone, end, error: type[Exception]
) -> None:
    partition, passed, woken = flushed.partition, [], []
    partition.append_records(b"abc", required_acks=-1)
    partition.wait_for_high_watermark(3, passed.append)
    partition.add_fetch_waiter(lambda: woken.append(1))
    end(partition)
    assert [type(outcome) for outcome in passed] == [error]
    assert woken == [1]
    assert partition.leader_id == -1
    flushed.log.finish_flush()
    for refused in (
        lambda: partition.append_records(b"a", required_acks=1),
        lambda: partition.fetch_records(fetch_offset=0, max_bytes=9),
        lambda: partition.offset_for_timestamp(-1),
        lambda: partition.delete_records(0),
    ):
        with pytest.raises(error):
            refused()
    partition.wait_for_high_watermark(3, passed.append)
    assert [type(outcome) for outcome in passed] == [error, error]


def test_a_leader_that_is_replaced_releases_its_producers(tmp_path: Path) -> None:
    pair = Lone(tmp_path, replicas=(0, 1))
    pair.decide(AlterIsr(2, 4, ((0, 9), (1, 5))))
    passed: list = []
    pair.partition.append_records(b"a", required_acks=-1)
    pair.partition.wait_for_high_watermark(1, passed.append)
    pair.decide(Elect(3, 1, 5))
    assert [type(outcome) for outcome in passed] == [NotLeaderOrFollowerError]
    assert (pair.partition.leader_id, pair.partition.leader_epoch) == (1, 5)
    with pytest.raises(NotLeaderOrFollowerError):
        pair.partition.append_records(b"a", required_acks=1)


def test_the_high_watermark_never_goes_back(lone: Lone) -> None:
    lone.partition.append_records(b"abc", required_acks=1)
    lone.partition.advance_high_watermark(1)
    assert lone.partition.high_watermark == 3
    with pytest.raises(AssertionError):
        lone.partition.advance_high_watermark(4)


def test_settings_replace_each_other_without_losing_the_role(lone: Lone) -> None:
    lone.log.update_config(replace(lone.log.config, min_insync_replicas=3))
    lone.partition.config_changed()
    lone.partition.append_records(b"a", required_acks=-1)
    assert lone.partition.is_leader


def test_nothing_is_committed_while_there_is_an_elr(tmp_path: Path) -> None:
    pair = Lone(tmp_path, config=LogConfig(min_insync_replicas=2), replicas=(0, 1))
    pair.decide(AlterIsr(2, 4, ((0, 9), (1, 5)), 2))
    pair.decide(AlterIsr(3, 4, ((0, 9),), 2))
    assert pair.group.state.elr == ((1, 5),)
    pair.partition.append_records(b"a", required_acks=1)
    assert pair.partition.high_watermark == 0
    assert pair.group.state.partition_epoch == 4
    # The setting is lowered: the elr goes first, since who is in it has not what is committed then.
    marks: list[tuple[int, int]] = []
    pair.partition.on_committed = lambda: marks.append(
        (len(pair.group.state.elr), pair.partition.high_watermark)
    )
    pair.log.update_config(replace(pair.log.config, min_insync_replicas=1))
    pair.partition.config_changed()
    assert pair.group.state.elr == ()
    assert marks == [(0, 1)]


def test_a_leader_of_several_copies_flushes_what_a_crash_left_unflushed(tmp_path: Path) -> None:
    led = Lone(tmp_path, config=FLUSHED, replicas=(0, 1))
    led.log.content = b"recovered"
    led.decide(AlterIsr(2, 4, ((0, 9), (1, 5))))
    led.partition.fetch_for_follower(
        broker_id=1,
        incarnation=5,
        fetch_offset=9,
        log_start_offset=0,
        last_fetched_epoch=-1,
        current_leader_epoch=4,
        max_bytes=100,
        now_ms=0,
    )
    assert led.partition.high_watermark == 0
    led.log.finish_flush()
    assert led.partition.high_watermark == 9


def test_a_follower_that_may_wait_is_given_nothing_before_there_is_a_batch(tmp_path: Path) -> None:
    led = Lone(tmp_path, replicas=(0, 1))
    led.decide(AlterIsr(2, 4, ((0, 9), (1, 5))))
    led.partition.append_records(b"abc", required_acks=-1)

    def fetch(offset: int, **fields: int) -> FetchedRecords:
        asked = {
            "broker_id": 1,
            "incarnation": 5,
            "fetch_offset": offset,
            "log_start_offset": 0,
            "last_fetched_epoch": 4,
            "current_leader_epoch": 4,
            "max_bytes": 100,
            "now_ms": 0,
        }
        return led.partition.fetch_for_follower(**(asked | fields), may_wait=True)

    assert bytes(fetch(1).records) == b"bc"
    assert led.partition.high_watermark == 1
    assert fetch(3) is NOTHING_YET
    assert led.partition.high_watermark == 3
    # Who has to be told something is told, may it wait or not.
    with pytest.raises(OffsetOutOfRangeError):
        fetch(3, last_fetched_epoch=5)
    with pytest.raises(StaleBrokerEpochError):
        fetch(3, incarnation=6)


def test_a_log_with_records_of_a_later_epoch_follows_no_deposed_leader(tmp_path: Path) -> None:
    """A broker that restarted knows only an older state until others told it the rest."""
    lone = Lone(tmp_path, replicas=(0, 1))
    partition, group = lone.partition, lone.group
    partition.append_records(b"a", required_acks=1)
    newest = group.state
    group.state = replace(newest, leader=1, leader_epoch=3)
    partition.state_changed()
    assert not partition.is_follower
    group.state = replace(newest, leader=1, leader_epoch=5)
    partition.state_changed()
    assert partition.is_follower
