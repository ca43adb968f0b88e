"""Offsets, restarts, expiry and deletion, as the records of __consumer_offsets tell them."""

import asyncio
from dataclasses import dataclass, field

import pytest

from headrace.api.coordinator.errors import (
    CoordinatorNotAvailableError,
    GroupError,
    GroupIdNotFoundError,
    GroupSubscribedToTopicError,
    IllegalGenerationError,
    InvalidCommitOffsetSizeError,
    InvalidGroupIdError,
    NonEmptyGroupError,
    NotCoordinatorError,
    OffsetMetadataTooLargeError,
    UnknownMemberIdError,
)
from headrace.api.coordinator.group import JoinResult, SyncResult
from headrace.api.coordinator.group_coordinator import GroupCoordinator
from headrace.api.coordinator.group_records import OffsetRecord, read_record
from headrace.api.coordinator.group_settings import GroupSettings
from headrace.api.coordinator.group_state import GroupState
from headrace.api.coordinator.group_table import partition_for
from headrace.api.coordinator.membership import JoinRequest, SyncRequest
from headrace.api.coordinator.offset_store import CommittedOffset, TopicPartition
from headrace.core.batch_builder import BatchBuilder
from headrace.core.errors import RecordTooLargeError
from headrace.raft.errors import NotEnoughReplicasError, NotLeaderOrFollowerError
from tests.api.coordinator.test_subscription import subscription
from tests.support.manual_clock import ManualClock
from tests.support.manual_scheduler import ManualScheduler
from tests.support.offsets_partitions import FakeReplicas

WEEK_MS = 7 * 86_400_000


@dataclass
class Stage:
    """A coordinator over partitions that outlive it."""

    replicas: FakeReplicas = field(default_factory=FakeReplicas)
    clock: ManualClock = field(default_factory=ManualClock)
    settings: GroupSettings = field(
        default_factory=lambda: GroupSettings(group_initial_rebalance_delay_ms=0)
    )
    exists: bool = True

    def __post_init__(self) -> None:
        self.start()

    def start(self, *, load: bool = True) -> None:
        """A broker that starts anew over the same partitions."""
        self.scheduler = ManualScheduler(self.clock)
        self.groups = GroupCoordinator(
            replicas=self.replicas,
            clock=self.clock,
            schedule=self.scheduler.schedule,
            settings=self.settings,
            create_offsets_topic=self._create,
            offsets_partition_count=lambda: len(self.replicas.partitions) if self.exists else 0,
        )
        if load and self.exists:
            self._lead_all()

    async def _create(self) -> None:
        self.exists = True
        self._lead_all()

    def _lead_all(self) -> None:
        for partition in self.replicas.partitions:
            if not partition.is_held:
                partition.high_watermark = partition.log.log_end_offset
            self.groups.on_partition_online(partition)

    def commit(
        self,
        group_id: str,
        offset: int = 1,
        *,
        key: TopicPartition = ("clicks", 0),
        member_id: str = "",
        generation_id: int = -1,
        metadata: str = "",
        leader_epoch: int = -1,
    ) -> list[dict[TopicPartition, GroupError]]:
        told: list[dict[TopicPartition, GroupError]] = []
        committed = CommittedOffset(
            offset=offset,
            metadata=metadata,
            leader_epoch=leader_epoch,
            commit_timestamp_ms=self.clock.now_ms(),
        )
        self.groups.commit_offsets(
            group_id,
            member_id=member_id,
            group_instance_id=None,
            generation_id=generation_id,
            offsets={key: committed},
            on_committed=lambda errors: told.append(dict(errors)),
        )
        return told

    def offset(self, group_id: str, key: TopicPartition = ("clicks", 0)) -> int:
        found = self.groups.fetch_offsets(group_id).get(key)
        return -1 if found is None else found.offset

    def member(
        self, group_id: str, *, topics: tuple[str, ...] = ("clicks",), instance: str | None = None
    ) -> str:
        """One member that joins and is assigned; its id."""
        synced: list[SyncResult | GroupError] = []
        sync = self.join(group_id, topics, instance)
        self.groups.sync_group(group_id, sync, synced.append)
        assert isinstance(synced[0], SyncResult), synced
        return sync.member_id

    def join(
        self, group_id: str, topics: tuple[str, ...] = ("clicks",), instance: str | None = None
    ) -> SyncRequest:
        """One member that joins and leads; what it asks for next."""
        joined: list[JoinResult | GroupError] = []
        request = JoinRequest(
            member_id="",
            group_instance_id=instance,
            client_id="c",
            client_host="/127.0.0.1",
            protocol_type="consumer",
            protocols=(("range", subscription(list(topics))),),
            session_timeout_ms=10_000,
            rebalance_timeout_ms=60_000,
            requires_known_member_id=False,
            supports_skipping_assignment=True,
        )
        self.groups.join_group(group_id, request, joined.append)
        self.scheduler.advance(0)
        (result,) = joined
        assert isinstance(result, JoinResult), result
        return SyncRequest(
            member_id=result.member_id,
            group_instance_id=instance,
            generation_id=result.generation_id,
            protocol_type=None,
            protocol_name=None,
            assignment={result.member_id: b"plan"},
        )

    def leave(self, group_id: str, member_id: str) -> None:
        assert self.groups.leave_group(group_id, [(member_id, None)]) == [None]


@pytest.mark.parametrize(
    ("group_id", "count", "expected"),
    # Java: Math.abs("...".hashCode()) % n, worked out by hand from String.hashCode's definition.
    [
        ("", 50, 0),
        ("a", 50, 97 % 50),
        ("test", 50, 3556498 % 50),
        ("polygenelubricants", 50, 0),  # the hash is Integer.MIN_VALUE: Kafka counts it as 0
        ("\U0001f600", 50, (0xD83D * 31 + 0xDE00) % 50),
    ],
)
def test_a_group_lives_where_javas_hash_puts_it(group_id: str, count: int, expected: int) -> None:
    assert partition_for(group_id, count) == expected


# -- commits ------------------------------------------------------------------------------


def test_a_commit_is_fetched_again() -> None:
    stage = Stage()
    assert stage.commit("g", 7, metadata="note", leader_epoch=3) == [{}]
    found = stage.groups.fetch_offsets("g")["clicks", 0]
    assert (found.offset, found.metadata, found.leader_epoch) == (7, "note", 3)


def test_a_group_that_does_not_exist_has_no_offsets_and_no_error() -> None:
    assert dict(Stage().groups.fetch_offsets("nobody")) == {}


def test_a_commit_is_answered_and_seen_behind_the_high_watermark_only() -> None:
    stage = Stage()
    partition = stage.replicas.partitions[0]
    partition.is_held = True
    told = stage.commit("g", 7)
    assert told == []
    assert stage.offset("g") == -1
    partition.release()
    assert told == [{}]
    assert stage.offset("g") == 7


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (NotEnoughReplicasError("1 of 2"), CoordinatorNotAvailableError),
        (NotLeaderOrFollowerError("moved"), NotCoordinatorError),
        (RecordTooLargeError(10, 5), InvalidCommitOffsetSizeError),
    ],
)
def test_a_commit_that_cannot_be_stored_says_why(
    refusal: Exception, expected: type[GroupError]
) -> None:
    stage = Stage()
    stage.commit("g", 1)
    stage.replicas.partitions[0].refusal = refusal
    (errors,) = stage.commit("g", 2)
    assert isinstance(errors["clicks", 0], expected)
    assert stage.offset("g") == 1


def test_a_leader_that_changes_while_a_commit_waits_fails_it() -> None:
    stage = Stage()
    partition = stage.replicas.partitions[0]
    partition.is_held = True
    told = stage.commit("g", 7)
    partition.release(NotLeaderOrFollowerError("moved"))
    assert isinstance(told[0]["clicks", 0], NotCoordinatorError)
    assert stage.offset("g") == -1


@pytest.mark.parametrize(
    ("end", "seen"), [(None, 7), (NotLeaderOrFollowerError("moved"), -1)], ids=["stored", "lost"]
)
def test_a_commit_that_waits_too_long_is_refused_and_counts_if_it_is_stored_after_all(
    end: Exception | None, seen: int
) -> None:
    stage = Stage()
    partition = stage.replicas.partitions[0]
    partition.is_held = True
    told = stage.commit("g", 7)
    stage.scheduler.advance(4_999)
    assert told == []
    stage.scheduler.advance(1)
    assert isinstance(told[0]["clicks", 0], CoordinatorNotAvailableError)
    assert "offsets.commit.timeout.ms=5000" in str(told[0]["clicks", 0])
    assert stage.offset("g") == -1
    partition.release(end)
    assert len(told) == 1
    assert stage.offset("g") == seen


def test_a_commit_that_is_stored_in_time_leaves_no_timer() -> None:
    stage = Stage()
    stage.replicas.partitions[0].is_held = True
    told = stage.commit("g", 7)
    stage.replicas.partitions[0].release()
    stage.scheduler.advance(10_000)
    assert told == [{}]
    assert stage.scheduler.pending == 0


def test_an_assignment_that_waits_too_long_sends_its_members_into_a_rebalance() -> None:
    stage = Stage()
    synced: list[SyncResult | GroupError] = []
    sync = stage.join("g")
    stage.replicas.partitions[0].is_held = True
    stage.groups.sync_group("g", sync, synced.append)
    stage.scheduler.advance(5_000)
    assert isinstance(synced[0], CoordinatorNotAvailableError)
    stage.replicas.partitions[0].release()
    assert len(synced) == 1


def test_metadata_has_a_bound() -> None:
    stage = Stage()
    assert stage.commit("g", 1, metadata="x" * 4096) == [{}]
    (errors,) = stage.commit("g", 2, metadata="x" * 4097)
    assert isinstance(errors["clicks", 0], OffsetMetadataTooLargeError)
    assert stage.offset("g") == 1


def test_a_generation_of_an_unknown_group_is_illegal() -> None:
    stage = Stage()
    with pytest.raises(IllegalGenerationError):
        stage.commit("g", generation_id=3, member_id="m")


def test_members_commit_with_their_generation_and_strangers_not_at_all() -> None:
    stage = Stage()
    member_id = stage.member("g")
    assert stage.commit("g", 5, member_id=member_id, generation_id=1) == [{}]
    with pytest.raises(UnknownMemberIdError):
        stage.commit("g", 6)
    with pytest.raises(IllegalGenerationError):
        stage.commit("g", 6, member_id=member_id, generation_id=2)
    assert stage.offset("g") == 5


def test_an_empty_group_id_has_offsets_but_no_members() -> None:
    stage = Stage()
    assert stage.commit("") == [{}]
    assert stage.offset("") == 1
    with pytest.raises(InvalidGroupIdError):
        stage.member("")


# -- restart ------------------------------------------------------------------------------


def test_offsets_survive_a_restart() -> None:
    stage = Stage(FakeReplicas(5))
    for number in range(20):
        stage.commit(f"g{number}", number)
        stage.commit(f"g{number}", number + 100)
    stage.start()
    assert [stage.offset(f"g{number}") for number in range(20)] == list(range(100, 120))


def test_members_survive_a_restart_and_keep_their_assignment() -> None:
    stage = Stage()
    member_id = stage.member("g", instance="node-1")
    stage.start()
    group = stage.groups.describe_group("g")
    assert group.state is GroupState.STABLE
    assert group.members[member_id].assignment == b"plan"
    stage.groups.heartbeat("g", member_id=member_id, group_instance_id="node-1", generation_id=1)
    assert stage.commit("g", 5, member_id=member_id, generation_id=1) == [{}]


def test_members_that_do_not_come_back_after_a_restart_lose_their_session() -> None:
    stage = Stage()
    stage.member("g")
    stage.start()
    stage.scheduler.advance(10_000)
    assert stage.groups.describe_group("g").state is GroupState.EMPTY


def test_a_member_that_left_stays_away_after_a_restart() -> None:
    stage = Stage()
    stage.leave("g", stage.member("g"))
    stage.start()
    group = stage.groups.describe_group("g")
    assert (group.state, group.generation_id) == (GroupState.EMPTY, 2)
    assert group.protocol_type == "consumer"


def test_a_group_that_outgrew_its_limit_meanwhile_rebalances_when_it_is_back() -> None:
    stage = Stage()
    stage.member("g")
    stage.settings = GroupSettings(group_initial_rebalance_delay_ms=0, group_max_size=0)
    stage.start()
    assert stage.groups.describe_group("g").state is GroupState.PREPARING_REBALANCE


def test_a_partition_that_leaves_sends_its_members_away() -> None:
    stage = Stage()
    stage.member("g")
    waiting: list[JoinResult | GroupError] = []
    request = JoinRequest(
        member_id="",
        group_instance_id=None,
        client_id="c",
        client_host="/h",
        protocol_type="consumer",
        protocols=(("range", b""),),
        session_timeout_ms=10_000,
        rebalance_timeout_ms=60_000,
        requires_known_member_id=False,
        supports_skipping_assignment=True,
    )
    stage.groups.join_group("g", request, waiting.append)
    stage.groups.on_partition_offline(stage.replicas.partitions[0])
    assert isinstance(waiting[0], NotCoordinatorError)
    assert stage.scheduler.pending == 0
    with pytest.raises(NotCoordinatorError):
        stage.groups.describe_group("g")


def test_a_broken_record_is_passed_over_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.commit("g", 4)
    builder = BatchBuilder()
    builder.append_record(timestamp=0, key=b"\x00\x01\x00", value=b"")
    stage.replicas.partitions[0].log.append_batch(bytes(builder.build()))
    stage.start()
    assert stage.offset("g") == 4
    assert "passed over" in caplog.text


def test_groups_of_other_kinds_are_named_and_their_offsets_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.commit("g", 4)
    builder = BatchBuilder()
    builder.append_record(timestamp=0, key=b"\x00\x03\x00\x01g", value=b"\x00\x00\x00\x00")
    stage.replicas.partitions[0].log.append_batch(bytes(builder.build()))
    stage.start()
    assert stage.offset("g") == 4
    assert "1 records of consumer (KIP-848)" in caplog.text


def transactional(stage: Stage, producer_id: int) -> None:
    """Move the latest commit into a transaction of `producer_id`."""
    log = stage.replicas.partitions[0].log
    key, value = stage.replicas.partitions[0].records()[-1]
    builder = BatchBuilder(producer_id=producer_id, producer_epoch=0, is_transactional=True)
    builder.append_record(timestamp=0, key=key, value=value)
    end_offset = log.log_end_offset
    log.batches.pop()
    log.log_end_offset = end_offset - 1
    log.append_batch(bytes(builder.build()))


def end_transaction(stage: Stage, producer_id: int, kind: int) -> None:
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=0, is_transactional=True, is_control=True
    )
    builder.append_record(timestamp=0, key=bytes((0, 0, 0, kind)), value=bytes(6))
    stage.replicas.partitions[0].log.append_batch(bytes(builder.build()))


@pytest.mark.parametrize(("kind", "expected"), [(1, 9), (0, 4)])
def test_a_transactional_commit_counts_when_its_transaction_committed(
    kind: int, expected: int
) -> None:
    stage = Stage()
    stage.commit("g", 4)
    stage.commit("g", 9)
    transactional(stage, 77)
    end_transaction(stage, 77, kind)
    stage.start()
    assert stage.offset("g") == expected


def test_an_open_transaction_does_not_count() -> None:
    stage = Stage()
    stage.commit("g", 9)
    transactional(stage, 77)
    stage.start()
    assert stage.offset("g") == -1


# -- expiry and deletion ------------------------------------------------------------------


def test_offsets_expire_a_week_after_the_group_became_empty_not_after_the_commit() -> None:
    stage = Stage()
    member_id = stage.member("g")
    stage.commit("g", 5, member_id=member_id, generation_id=1)
    for _ in range(3):
        stage.clock.wall_ms += WEEK_MS
        stage.groups.expire_offsets(stage.clock.now_ms())
    assert stage.offset("g") == 5
    stage.leave("g", member_id)
    stage.clock.wall_ms += WEEK_MS - 1
    stage.groups.expire_offsets(stage.clock.now_ms())
    assert stage.offset("g") == 5
    stage.clock.wall_ms += 1
    stage.groups.expire_offsets(stage.clock.now_ms())
    assert stage.offset("g") == -1
    assert stage.groups.groups() == []
    stage.start()
    assert stage.groups.groups() == []


def test_topics_a_running_group_gave_up_expire_by_their_commit() -> None:
    stage = Stage()
    member_id = stage.member("g", topics=("clicks",))
    for topic in ("clicks", "orders"):
        stage.commit("g", 5, key=(topic, 0), member_id=member_id, generation_id=1)
    stage.clock.wall_ms += WEEK_MS
    stage.groups.expire_offsets(stage.clock.now_ms())
    assert list(stage.groups.fetch_offsets("g")) == [("clicks", 0)]


def test_a_deleted_topic_takes_its_offsets_along() -> None:
    stage = Stage()
    for topic in ("clicks", "orders"):
        stage.commit("g", 5, key=(topic, 0))
    stage.groups.on_topic_deleted("clicks")
    assert list(stage.groups.fetch_offsets("g")) == [("orders", 0)]
    stage.start()
    assert list(stage.groups.fetch_offsets("g")) == [("orders", 0)]


def test_deletions_are_tombstones_in_the_log() -> None:
    stage = Stage()
    stage.commit("g", 5)
    stage.groups.delete_group("g")
    records = stage.replicas.partitions[0].records()
    deleted = [read_record(key, value) for key, value in records[1:] if key is not None]
    assert deleted[0] == OffsetRecord("g", "clicks", 0, None)
    assert [value for _, value in records[1:]] == [None, None]
    stage.start()
    with pytest.raises(GroupIdNotFoundError):
        stage.groups.describe_group("g")


def test_only_empty_groups_are_deleted() -> None:
    stage = Stage()
    member_id = stage.member("g")
    with pytest.raises(NonEmptyGroupError):
        stage.groups.delete_group("g")
    stage.leave("g", member_id)
    stage.groups.delete_group("g")
    with pytest.raises(GroupIdNotFoundError):
        stage.groups.delete_group("g")


def test_offsets_of_consumed_topics_are_not_deleted() -> None:
    stage = Stage()
    member_id = stage.member("g", topics=("clicks",))
    for topic in ("clicks", "orders"):
        stage.commit("g", 5, key=(topic, 0), member_id=member_id, generation_id=1)
    errors = stage.groups.delete_offsets("g", [("clicks", 0), ("orders", 0)])
    assert isinstance(errors["clicks", 0], GroupSubscribedToTopicError)
    assert list(stage.groups.fetch_offsets("g")) == [("clicks", 0)]
    with pytest.raises(GroupIdNotFoundError):
        stage.groups.delete_offsets("nobody", [])


def test_a_group_with_very_many_offsets_is_deleted_in_several_batches() -> None:
    stage = Stage()
    offsets = {("clicks", n): CommittedOffset(offset=n) for n in range(2_500)}
    stage.groups.commit_offsets(
        "g",
        member_id="",
        group_instance_id=None,
        generation_id=-1,
        offsets=offsets,
        on_committed=lambda errors: None,
    )
    stage.groups.delete_group("g")
    assert len(stage.replicas.partitions[0].log.batches) == 1 + 3 + 1


def test_the_offsets_topic_is_made_at_its_first_use() -> None:
    stage = Stage(exists=False)
    with pytest.raises(NotCoordinatorError):
        stage.commit("g")
    asyncio.run(stage.groups.ensure_offsets_topic())
    assert stage.groups.is_hosted
    assert stage.commit("g") == [{}]


def test_closing_answers_waiting_members_and_stops_all_timers() -> None:
    stage = Stage()
    stage.member("g")
    stage.groups.close()
    assert stage.scheduler.pending == 0
    stage.start()
    assert stage.groups.describe_group("g").state is GroupState.STABLE
